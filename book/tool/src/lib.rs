//! What `cargo book` is made of.
//!
//! Six jobs, each in its own file; read them in this order:
//!
//! - [`build`] makes the pages, just as stock mdBook does;
//! - [`serve`] has chapter 11's server send them, and makes them anew at each change;
//! - [`check`] looks for what mdBook says nothing about: missing anchors, dead links, orphans.
//!   What it looks at comes from [`summary`], [`includes`], [`markdown`] and [`html`]; what it
//!   finds out comes from [`links`], [`pictures`] and [`places`];
//! - [`transcripts`] runs the commands whose output the pages show, and compares;
//! - [`timelines`] runs the chapters' programs under the lens, and has them drawn;
//! - [`curves`] draws what was measured.

pub mod build;
pub mod check;
pub mod curves;
pub mod fault;
pub mod html;
pub mod includes;
pub mod links;
pub mod log;
pub mod markdown;
pub mod open;
pub mod pictures;
pub mod places;
pub mod repo;
pub mod serve;
pub mod summary;
pub mod timelines;
pub mod transcripts;
