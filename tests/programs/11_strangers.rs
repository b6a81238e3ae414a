//! Chapter 11's server against strangers: programs that somebody else wrote, visitors who mean no good,
//! and handlers that go wrong.
//!
//! Each test that needs a program of others says so on stderr where it isn't installed, and is skipped.
//! `house` is what the tests are made of: the server's program with a folder to serve, and a visitor who
//! reads its answers to the byte. `inside` are servers in the test's own process, for handlers that the
//! program hasn't got.

#[path = "strangers/browser.rs"]
mod browser;
#[path = "strangers/cap.rs"]
mod cap;
#[path = "strangers/curl.rs"]
mod curl;
#[path = "strangers/fairness.rs"]
mod fairness;
#[path = "strangers/files.rs"]
mod files;
#[path = "strangers/house.rs"]
mod house;
#[path = "strangers/inside.rs"]
mod inside;
#[path = "strangers/memory.rs"]
mod memory;
#[path = "strangers/nginx.rs"]
mod nginx;
#[path = "strangers/python.rs"]
mod python;
#[path = "strangers/slow.rs"]
mod slow;
#[path = "strangers/smuggling.rs"]
mod smuggling;
#[path = "strangers/stopping.rs"]
mod stopping;
#[path = "strangers/tools.rs"]
mod tools;
#[path = "strangers/workers.rs"]
mod workers;
#[path = "strangers/wrk.rs"]
mod wrk;
