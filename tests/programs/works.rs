//! A chapter's server does its main job here: what `cargo test` asks of a setup, in a second. All else that it must
//! do stands in `NN_name.rs`, and is part of the proof.
//!
//! Compiled into each chapter from 4 on that has a server; cargo tells which program is meant.

mod serving;

use serving::{REQUEST, Server};
use visitors::connection::Connection;

/// The chapters' servers. Each is known in its own package only.
const SERVERS: [(u32, &str, Option<&str>); 9] = [
    (4, "select", option_env!("CARGO_BIN_EXE_ch04-select")),
    (5, "poll", option_env!("CARGO_BIN_EXE_ch05-poll")),
    (6, "poll", option_env!("CARGO_BIN_EXE_ch06-nonblocking")),
    (7, "poll", option_env!("CARGO_BIN_EXE_ch07-server")),
    (8, BEST, option_env!("CARGO_BIN_EXE_ch08-epoll")),
    (9, BEST, option_env!("CARGO_BIN_EXE_ch09-timers")),
    (11, BEST, option_env!("CARGO_BIN_EXE_ch11-http-server")),
    (12, BEST, option_env!("CARGO_BIN_EXE_ch12-kernel")),
    (13, BEST, option_env!("CARGO_BIN_EXE_ch13-upgrade")),
];

/// In which call the later chapters wait.
const BEST: &str = if cfg!(target_os = "linux") { "epoll_wait" } else { "poll" };

/// The server, and the one call in which it waits.
fn start() -> (Server, &'static str) {
    let ours = SERVERS.iter().find_map(|(chapter, call, path)| Some((*chapter, *call, (*path)?)));
    let (chapter, call, path) = ours.expect("this package has a server");
    // With deadlines that a busy machine keeps.
    let patient = ["--workers", "1", "--idle", "600", "--head", "600", "--answer", "600"];
    let arguments = if [11, 13].contains(&chapter) { &patient[..] } else { &[] };
    (Server::start_with(path, chapter, arguments), call)
}

#[test]
fn a_request_in_pieces_is_answered() {
    serving::a_request_in_pieces_gets_the_same_answer(&start().0, REQUEST.len());
}

#[test]
fn a_hundred_are_served_in_reverse_order() {
    serving::visitors_are_served_in_reverse_order(&start().0, 100);
}

#[test]
fn who_hangs_up_harms_nobody() {
    let (server, _) = start();
    let leave: [fn(Connection); 2] = [Connection::reset, drop];
    for leave in leave {
        let mut rude = server.visitor("rude visitor");
        rude.send_in_pieces(&REQUEST[..20], 1, &server.program).unwrap();
        leave(rude);
        server.still_serves();
    }
}

#[test]
fn one_line_waits() {
    let (server, call) = start();
    serving::one_line_waits(&server, call);
}
