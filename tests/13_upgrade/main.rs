//! The graded checks of chapter 13. The judged programs are servers; the checks play visitors, and whoever replaces a
//! program: they send it signals, bring it children that fail, and look at what it leaves behind.
//!
//! Each exercise's checks are a file beside this one. What they share stands here.

mod state;

use grader::check;
use grader::check::Server;
use rstest::rstest;
use visitors::connection::{Connection, Received};

/// A visitor of the judged server. Whatever goes wrong fails the check.
struct Visitor<'a> {
    server: &'a Server<'a>,
    connection: Connection,
}

impl<'a> Visitor<'a> {
    #[track_caller]
    fn new(server: &'a Server<'a>, name: &str) -> Self {
        Self { server, connection: server.visitor(name).connection }
    }

    /// As reports call it.
    fn name(&self) -> String {
        format!("the {}", self.connection.name())
    }

    #[track_caller]
    fn send(&mut self, bytes: &[u8]) {
        if let Err(error) = self.connection.send_to(&self.server.program, bytes) {
            self.server.fail_seeing(&format!("{} couldn't send: {error}", self.name()));
        }
    }
}
