//! The graded checks of the race's exercises. One of the judged programs is a load: the checks play the server, answer when
//! they like, and hold the load up. The other one counts what it's told.
//!
//! Each exercise's checks are a file beside this one.

mod due;
mod percentile;
