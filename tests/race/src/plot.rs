//! How figures become curves: what the race's pictures and those of `book/figures` have in common.
//!
//! - [`sheet`]: an SVG picture in the theme's colors. Read this first.
//! - [`scale`]: logarithmic scales, on which 0 stands apart.
//! - [`marks`]: what a curve's points look like.
//! - [`labels`]: names beside the curves' ends, none on another.
//! - [`words`]: numbers and text as they're written.

pub mod labels;
pub mod marks;
pub mod scale;
pub mod sheet;
pub mod words;
