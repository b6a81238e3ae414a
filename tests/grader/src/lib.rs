//! The grader: checks that judge a program from outside, and `cargo grade`, which runs them and keeps score.
//!
//! - [`mod@check`]: what the graded checks in `tests/NN_name.rs`, `tests/NN_name/` or `tests/race/checks/` are made of. Read it to write one.
//! - [`bytes`]: more of that, for programs that pass on what they are sent.
//! - [`steady`]: more of that, for programs that must not keep what is over.
//! - [`contract`]: what an exercise promises, sentence by sentence, and which check looks at it.
//! - [`course`]: chapters and exercises as they lie on the disk; [`place`]: what they belong to, and what that is called.
//! - [`causes`]: what can be wrong with an answer, in a sentence.
//! - [`markers`]: how a starter and its hints come out of a worked answer.
//! - [`wrong`]: wrong answers, which prove the checks.
//! - [`evidence`]: what the checks saw of a program, and which causes that speaks for; [`panicked`]: that it panicked.
//! - [`workshop`], [`trial`]: build many answers at once, and try them; [`mutants`]: answers with one small change, made mechanically.
//! - [`cargo`], [`run`]: building what is judged, and running checks on it.
//! - [`progress`]: what is remembered from one time to the next.

pub mod bytes;
pub mod cargo;
pub mod causes;
pub mod check;
pub mod contract;
pub mod course;
pub mod evidence;
pub mod markers;
pub mod mutants;
pub mod panicked;
pub mod place;
pub mod progress;
pub mod run;
pub mod steady;
pub mod trial;
pub mod workshop;
pub mod wrong;
