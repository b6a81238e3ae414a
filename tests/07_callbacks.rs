//! Graded checks of chapter 7.
