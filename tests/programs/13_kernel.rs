//! What chapter 13 must do with chapter 12 in it.
