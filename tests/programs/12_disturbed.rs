//! One loop, and a fault in one protocol isn't felt in the others: each fault, and how long the other protocols take to
//! answer with it and without it.
//!
//! `just disturbed` runs this in release, and writes the table that the book shows.

mod disturbing;
mod screen;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use disturbing::faults::{self, Fault, Upstream};
use disturbing::kernel::Kernel;
use disturbing::{Measured, measure};
use rstest::rstest;
use screen::Display;
use visitors::setup;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ch12-kernel");
const BRITTLE: &str = env!("CARGO_BIN_EXE_brittle12");
/// Where the table is to be written, if it is.
const TABLE: &str = "WAITING_GAME_TABLE";
/// What all answers may take longer, whoever disturbs: the machine has others to serve, too, and one of its cores is
/// with whoever disturbs.
const NOISE: Duration = Duration::from_millis(2);

/// The program with all services, its mailbox in `folder`.
fn start(folder: &Path, upstream: &Upstream, display: Option<&str>) -> Kernel {
    let mut command = Command::new(PROGRAM);
    with_services(&mut command, folder, upstream);
    if let Some(display) = display {
        command.arg("--window").env("DISPLAY", display);
    }
    Kernel::start(command, 4)
}

fn with_services(command: &mut Command, folder: &Path, upstream: &Upstream) {
    for service in ["--http", "--dns", "--mail", "--chat"] {
        command.args([service, "127.0.0.1:0"]);
    }
    command.arg("--console").arg("--upstream").arg(upstream.address.to_string());
    command.arg("--mbox").arg(folder.join("mbox"));
}

/// The protocols that the fault doesn't happen to answer in at most twice their time.
#[track_caller]
fn nobody_else_feels(fault: &Fault, measured: &[Measured]) {
    for Measured { protocol, calm, disturbed } in measured {
        assert!(calm.count > 10 && disturbed.count > 10, "{protocol} was hardly asked");
        if *protocol == fault.happens_to {
            continue;
        }
        let limit = calm.median * 2 + NOISE;
        let (without, with) = (calm.median, disturbed.median);
        assert!(
            with <= limit,
            "with {}, {protocol} takes {with:?} to answer, and without it {without:?}",
            fault.name
        );
    }
}

#[rstest]
fn one_who_disturbs_one_protocol(#[values(0, 1, 2, 3, 4)] number: usize) {
    setup::by_the_clock(|| {
        let (folder, upstream) = (tempfile::tempdir().unwrap(), Upstream::start());
        let fault = faults::all(&upstream).swap_remove(number);
        let mut kernel = start(folder.path(), &upstream, None);
        let measured = measure(&mut kernel, &fault);
        nobody_else_feels(&fault, &measured);
    });
}

#[test]
fn a_window_that_is_not_drawn() {
    let Some(screen) = Display::start() else { return };
    setup::by_the_clock(|| {
        let (folder, upstream) = (tempfile::tempdir().unwrap(), Upstream::start());
        let mut kernel = start(folder.path(), &upstream, Some(&screen.name));
        let fault = faults::stopped_screen(screen.server.id());
        let measured = measure(&mut kernel, &fault);
        nobody_else_feels(&fault, &measured);
    });
}

#[test]
fn a_handler_that_panics() {
    setup::by_the_clock(|| {
        let (folder, upstream) = (tempfile::tempdir().unwrap(), Upstream::start());
        let mut kernel = brittle(folder.path(), &upstream);
        let fault = faults::panics();
        let measured = measure(&mut kernel, &fault);
        nobody_else_feels(&fault, &measured);
    });
}

/// The program, with a service besides whose handler panics when it's told to.
fn brittle(folder: &Path, upstream: &Upstream) -> Kernel {
    let mut command = Command::new(BRITTLE);
    with_services(&mut command, folder, upstream);
    // Where each panic has come from is found out in milliseconds, and that's Rust's doing.
    command.env("RUST_BACKTRACE", "0");
    Kernel::start(command, 5)
}

#[test]
fn a_full_disk() {
    setup::by_the_clock(|| {
        let (folder, upstream) = (tempfile::tempdir().unwrap(), Upstream::start());
        let Some(mut kernel) = on_a_small_disk(folder.path(), &upstream) else {
            return setup::skipped("no disk of one's own may be had here (unshare)");
        };
        let fault = faults::full_disk();
        let measured = measure(&mut kernel, &fault);
        nobody_else_feels(&fault, &measured);
    });
}

/// The program, with its mailbox on a disk of 64 KiB.
fn on_a_small_disk(folder: &Path, upstream: &Upstream) -> Option<Kernel> {
    let mount = format!("mount -t tmpfs -o size=64k none {}", folder.display());
    let try_it =
        Command::new("unshare").args(["-rm", "sh", "-c", &mount]).stderr(Stdio::null()).status();
    if !try_it.is_ok_and(|status| status.success()) {
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", &format!("{mount} && exec \"$@\""), "sh", PROGRAM]);
    with_services(&mut command, folder, upstream);
    Some(Kernel::start(command, 4))
}

/// For the book: all faults, one after the other, if it's asked for.
#[test]
fn the_table() {
    let Some(file) = env::var_os(TABLE) else { return };
    let (folder, upstream) = (tempfile::tempdir().unwrap(), Upstream::start());
    let mut text = format!("{:36}", "");
    for protocol in ["http", "dns", "mail", "chat", "console"] {
        let _ = write!(text, "{protocol:>10}");
    }
    text.push('\n');
    let mut row = |fault: &Fault, kernel: &mut Kernel| {
        let _ = write!(text, "{:36}", fault.name);
        for Measured { calm, disturbed, .. } in measure(kernel, fault) {
            let [calm, disturbed] = [calm, disturbed].map(|times| times.median.as_micros());
            let _ = write!(text, "{:>10}", format!("{calm} → {disturbed}"));
        }
        text.push('\n');
    };
    let mut kernel = start(folder.path(), &upstream, None);
    for fault in faults::all(&upstream) {
        row(&fault, &mut kernel);
    }
    row(&faults::panics(), &mut brittle(folder.path(), &upstream));
    if let Some(mut kernel) = on_a_small_disk(folder.path(), &upstream) {
        row(&faults::full_disk(), &mut kernel);
    }
    if let Some(screen) = Display::start() {
        let mut kernel = start(folder.path(), &upstream, Some(&screen.name));
        row(&faults::stopped_screen(screen.server.id()), &mut kernel);
    }
    fs::write(file, text).unwrap();
}
