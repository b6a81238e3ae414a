//! One of the two programs is killed (SIGKILL) in the middle of the handover. It isn't left to chance when: the old one
//! is stopped where it's about to send a certain message (ptrace(2)).
#![cfg(target_os = "linux")]

mod upgrading;

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use lens::kernel::{At, at};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal::{SIGKILL, SIGTERM, SIGUSR2};
use nix::sys::signal::kill;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rstest::rstest;
use tempfile::TempDir;
use upgrading::{Client, Family, PATIENCE, address, is_gone, text};
use visitors::setup::until;

const UPGRADE: &str = env!("CARGO_BIN_EXE_ch13-upgrade");
const KERNEL: &str = env!("CARGO_BIN_EXE_ch13-kernel");
/// So many that their descriptors take three messages, of 253 at the most.
const VISITORS: usize = 600;

/// Where the old one is stopped. It sends its state, three messages with descriptors, and go.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    /// It's about to send that message.
    Before(usize),
    /// It has sent all that it has, and hasn't heard yet that the new one is ready.
    AllIsSent,
    /// The new one is ready. It's about to say go.
    Go,
}

impl Step {
    /// How many of its calls have begun, and how many have ended.
    fn calls(self) -> (usize, usize) {
        match self {
            Self::Before(message) => (message, message - 1),
            Self::AllIsSent => (4, 4),
            Self::Go => (5, 4),
        }
    }
}

/// A program with visitors, each in the middle of a request.
struct Scene {
    family: Family,
    folder: TempDir,
    visitors: Vec<Client>,
    /// In the other program's house.
    others: Option<Others>,
}

/// Somebody who writes a mail, and two who chat.
struct Others {
    writer: Client,
    ada: Client,
    bob: Client,
}

impl Scene {
    fn of(program: &str) -> Self {
        visitors::crowd::make_room(VISITORS).unwrap();
        let folder = TempDir::new().unwrap();
        let mbox = folder.path().join("mbox");
        let any = "127.0.0.1:0";
        let family = match program {
            UPGRADE => Family::start(program, &[any, "--workers", "1"]),
            _ => {
                let mbox = mbox.to_str().unwrap();
                let of_mail = ["--mail", any, "--mbox", mbox];
                Family::start(program, &[&["--http", any, "--chat", any], &of_mail[..]].concat())
            }
        };
        let others = (program == KERNEL).then(|| Others::come(&family));
        let before = family.descriptors();
        let mut visitors: Vec<Client> = (0..VISITORS).map(|_| family.connect()).collect();
        for visitor in &mut visitors {
            visitor.send("GET /hello HTTP/1.1\r\nHo");
        }
        until("all are in", || (family.descriptors() == before + VISITORS).then_some(()));
        Self { family, folder, visitors, others }
    }

    /// Whoever it is: they go on as if nothing had been.
    #[track_caller]
    fn all_are_served_by(&mut self, generation: u64) {
        for visitor in &mut self.visitors {
            visitor.send("st: here\r\n\r\n");
            assert_eq!(visitor.answer().generation(), generation);
            visitor.send("GET /hello HTTP/1.1\r\nHo");
        }
        if let Some(Others { writer, ada, bob }) = &mut self.others {
            writer.send(format!("of generation {generation}\r\nline "));
            ada.send("tea\r\nmore ");
            bob.until(b"tea\r\n");
        }
    }

    /// They were in a process that isn't there any more.
    #[track_caller]
    fn all_are_hung_up_on(self) {
        for visitor in self.visitors {
            assert_eq!(visitor.has_lost_it(), "");
        }
        if let Some(Others { writer, ada, bob }) = self.others {
            let heard = [writer, ada, bob].map(Client::has_lost_it).concat();
            assert!(!heard.contains("Goodbye") && !heard.contains("421"), "{heard}");
        }
        // Nobody has the door either.
        until("the port is free", || TcpListener::bind(self.family.address).ok());
    }

    fn mbox(&self) -> PathBuf {
        self.folder.path().join("mbox")
    }
}

impl Others {
    fn come(family: &Family) -> Self {
        let member = |name: &str| {
            let mut member = Client::connect(address(family, "chat"));
            member.until(b"What is your name?");
            member.send(format!("{name}\r\n"));
            member.until(name.as_bytes());
            member
        };
        let (mut ada, bob) = (member("Ada"), member("Bob"));
        ada.until(b"Bob");
        ada.send("more ");
        let mut writer = Client::connect(address(family, "mail"));
        writer.until(b"220 ");
        writer
            .send("HELO me\r\nMAIL FROM:<a@example.test>\r\nRCPT TO:<b@example.test>\r\nDATA\r\n");
        writer.until(b"354");
        writer.until(b"\r\n");
        writer.send("Subject: x\r\n\r\nline ");
        Self { writer, ada, bob }
    }
}

/// The old program, stopped where it's about to send a message.
struct Held {
    pid: Pid,
    /// The new one.
    child: i32,
}

impl Held {
    /// Has it replaced, up to this step. `None`, and that is said: it can't be looked at here.
    fn at(family: &Family, step: Step) -> Option<Self> {
        let pid = Pid::from_raw(family.pid());
        if ptrace::seize(pid, Options::PTRACE_O_TRACESYSGOOD).is_err() {
            visitors::skipped("no program may look at another's system calls here (ptrace)");
            return None;
        }
        ptrace::interrupt(pid).unwrap();
        family.signal(SIGUSR2);
        let (mut calls, mut sends, began) = ((0, 0), false, Instant::now());
        loop {
            assert!(began.elapsed() < PATIENCE, "{calls:?}: {}", family.said());
            match waitpid(pid, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)).unwrap() {
                WaitStatus::StillAlive => {
                    thread::sleep(Duration::from_micros(200));
                    continue;
                }
                WaitStatus::PtraceSyscall(_) => match at(pid).unwrap() {
                    At::Entry { number, .. } => {
                        sends = is_sending(number);
                        calls.0 += usize::from(sends);
                    }
                    At::Exit(_) => calls.1 += usize::from(std::mem::take(&mut sends)),
                    At::Elsewhere => {}
                },
                WaitStatus::PtraceEvent(..) | WaitStatus::Stopped(..) => {}
                other => panic!("{other:?}: {}", family.said()),
            }
            if calls == step.calls() {
                let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
                return Some(Self { pid, child: children.unwrap().trim().parse().unwrap() });
            }
            ptrace::syscall(pid, None).unwrap();
        }
    }

    fn kill_the_old_one(&self) {
        kill(self.pid, SIGKILL).unwrap();
        until("it's gone", || is_gone(self.pid.as_raw()).then_some(()));
        // We are its parent, too.
        let status = waitpid(self.pid, Some(WaitPidFlag::__WALL)).unwrap();
        assert!(matches!(status, WaitStatus::Signaled(_, SIGKILL, _)), "{status:?}");
    }

    fn kill_the_new_one(&self) {
        kill(Pid::from_raw(self.child), SIGKILL).unwrap();
        until("it's gone", || is_gone(self.child).then_some(()));
        ptrace::detach(self.pid, None).unwrap();
    }
}

/// Nothing else that it sends is sent by this call.
fn is_sending(number: u64) -> bool {
    visitors::calls::find(number.cast_signed()).is_some_and(|call| call.name == "sendmsg")
}

/// As long as it hasn't sent all that it had, it's lost with it, as if there had been no upgrade: the new one has touched
/// nobody, and ends. From then on the new one serves them.
#[rstest]
fn the_old_one_is_killed(
    #[values(UPGRADE, KERNEL)] program: &str,
    #[values(
        Step::Before(1),
        Step::Before(2),
        Step::Before(3),
        Step::Before(4),
        Step::AllIsSent,
        Step::Go
    )]
    step: Step,
) {
    let mut scene = Scene::of(program);
    let Some(held) = Held::at(&scene.family, step) else { return };
    for visitor in &mut scene.visitors {
        visitor.has_heard_nothing();
    }
    held.kill_the_old_one();
    if !matches!(step, Step::Before(_)) {
        scene.all_are_served_by(2);
        assert!(!is_gone(held.child));
        return;
    }
    until("the new one ends", || is_gone(held.child).then_some(()));
    scene.family.says(": the old program is gone");
    assert_eq!(scene.family.said().matches("old program").count(), 1, "{}", scene.family.said());
    scene.all_are_hung_up_on();
}

/// It's gone, with whatever it has received: the old one goes on.
#[rstest]
fn the_new_one_is_killed(
    #[values(UPGRADE, KERNEL)] program: &str,
    #[values(
        Step::Before(1),
        Step::Before(2),
        Step::Before(3),
        Step::Before(4),
        Step::AllIsSent,
        Step::Go
    )]
    step: Step,
) {
    let mut scene = Scene::of(program);
    let before = scene.family.descriptors();
    let Some(held) = Held::at(&scene.family, step) else { return };
    held.kill_the_new_one();
    scene.family.goes_on(match step {
        Step::Before(_) => "it ended before it was ready (signal: 9 (SIGKILL))",
        // Whether it has said that it's ready is up to it.
        Step::AllIsSent => " (signal: 9 (SIGKILL))",
        Step::Go => "it ended before it served (signal: 9 (SIGKILL))",
    });
    scene.all_are_served_by(1);
    assert_eq!(scene.family.descriptors(), before);
    scene.family.upgrade();
    scene.all_are_served_by(2);
    let mbox = scene.mbox();
    let Some(Others { writer, .. }) = &mut scene.others else { return };
    writer.send("three\r\n.\r\n");
    assert!(text(&writer.until(b"\r\n")).starts_with("250 "));
    // It would wait for the rest of what they ask.
    scene.visitors.clear();
    scene.family.signal(SIGTERM);
    scene.family.has_ended();
    let kept = fs::read_to_string(mbox).unwrap();
    let lines = "\n\nline of generation 1\nline of generation 2\nline three\n\n";
    assert!(kept.ends_with(lines) && kept.matches("Subject: x").count() == 1, "{kept}");
}
