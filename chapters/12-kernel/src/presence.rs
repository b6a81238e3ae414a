//! Who is here: what the console's `who` prints, and what the window draws.
//!
//! Nobody keeps a list of it. Each service is asked, and answers from what it has in the loop:
//! so the list can't be out of step with what is.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::rc::Rc;

use ch07_callbacks::{EventLoop, Token};

/// Somebody who is here: one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The connection. Closing it ends this visit and no other.
    pub token: Token,
    /// What is spoken on it, such as `http`.
    pub protocol: &'static str,
    pub from: SocketAddr,
    /// What the server waits for, in words that complete "it waits for": `a request`.
    pub waits_for: Cow<'static, str>,
}

/// What the program runs: one line of its table.
pub trait Service {
    /// All who are connected to it now.
    fn rows(&self, event_loop: &EventLoop) -> Vec<Row>;

    /// Lets nobody in any more, and calls `stopped` when what was begun is done. Called a
    /// second time, it ends at once.
    fn stop(&self, event_loop: &mut EventLoop, stopped: Stopped);
}

/// What is called when a service has ended.
pub type Stopped = Box<dyn FnOnce(&mut EventLoop)>;

/// All services of a program.
pub type Services = Rc<[Rc<dyn Service>]>;

/// All who are here, service by service, each in the order in which the loop has them.
pub fn rows(services: &Services, event_loop: &EventLoop) -> Vec<Row> {
    services.iter().flat_map(|service| service.rows(event_loop)).collect()
}
