//! Graded checks of chapter 8.
