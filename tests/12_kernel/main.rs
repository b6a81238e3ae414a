//! The graded checks of chapter 12. The judged programs are servers; the checks play visitors who speak the protocol,
//! cut what they say wherever it hurts, and say what no client would.
//!
//! Each exercise's checks are a file beside this one. What they share stands here.

mod fair;
mod forward;
mod mail;
mod telnet;
mod udp;
#[path = "../visiting/mod.rs"]
mod visiting;

use std::time::Duration;

use grader::check;
use grader::check::Server;
use rstest::rstest;
use visiting::{Visitor, settle, shown};
use visitors::connection::Received;
use visitors::program::PATIENCE;
