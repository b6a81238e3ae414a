//! Graded checks of chapter 9.
