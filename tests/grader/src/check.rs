//! What the graded checks are made of. A check starts the program that is judged, plays visitors or
//! hosts, and fails with three things: what it saw, what is likely wrong, where the book explains it.

use std::cell::{Cell, RefCell};
use std::env;
use std::fmt::Display;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use lens::Lens;
use lens::record::{Call, Outcome};
use visitors::answer::Answer;
use visitors::calls::family;
use visitors::connection::{Connection, End, Received};
use visitors::program::{LOOK_EVERY, Program, Start, Trouble};

use crate::causes::{Causes, NOT_WRITTEN_YET};

/// The check of one exercise: `check!("02-pieces")`.
///
/// A macro, because only at compile time cargo tells where the programs of the package lie: the
/// learner's in the exercises' package, the worked answer in the chapter's.
#[macro_export]
macro_rules! check {
    ($exercise:literal) => {
        $crate::check::Check::new(
            $exercise,
            option_env!(concat!("CARGO_BIN_EXE_ex", $exercise))
                .or(option_env!(concat!("CARGO_BIN_EXE_answer", $exercise)))
                // A tool's have its name, and no number.
                .or(option_env!(concat!("CARGO_BIN_EXE_", $exercise)))
                .or(option_env!(concat!("CARGO_BIN_EXE_answer-", $exercise))),
        )
    };
}

/// A plain request, as the quick visitor sends it.
pub const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Whoever naps between two looks, and not for longer than this, is seen to.
const LONGER_THAN_NAPS: Duration = Duration::from_millis(500);
/// So much is shown whole of what somebody got, in bytes. Of more, this many bytes before the first wrong one, and behind it.
const SHOWN_WHOLE: usize = 200;
const SHOWN_BEFORE: usize = 20;
const SHOWN_BEHIND: usize = 40;

/// A check in progress.
#[derive(Debug)]
pub struct Check {
    exercise: &'static str,
    program: PathBuf,
    cause: Cell<&'static str>,
    likely: Cell<&'static str>,
    book: Cell<&'static str>,
    where_seen: RefCell<Vec<(&'static str, &'static str)>>,
}

impl Check {
    /// To be made by [`check!`]. `ANSWER=PATH` in the environment judges the program at PATH instead.
    ///
    /// # Panics
    /// When there is no program to judge.
    pub fn new(exercise: &'static str, compiled: Option<&'static str>) -> Self {
        let program = env::var_os("ANSWER").or(compiled.map(Into::into));
        let Some(program) = program else {
            panic!("no program to judge: this package has none for {exercise}; give ANSWER=PATH");
        };
        let (cause, likely, book) = (Cell::new(""), Cell::new(""), Cell::new(""));
        let where_seen = RefCell::new(Vec::new());
        Self { exercise, program: program.into(), cause, likely, book, where_seen }
    }

    /// What a failure from here on most likely means: a cause, by its name (see [`causes`](mod@crate::causes)). Where
    /// the check sees more, it says so by another name.
    pub fn suspect(&self, cause: &'static str) {
        self.cause.set(cause);
    }

    /// What a failure most likely means whose report has these words, whatever is suspected else: `a loop that never waits`,
    /// `panicked at`. Of several, the last.
    pub fn suspect_where(&self, words: &'static str, cause: &'static str) {
        self.where_seen.borrow_mut().push((words, cause));
    }

    /// What a failure from here on most likely means, and the place in the book that explains it.
    pub fn likely(&self, likely: &'static str, book: &'static str) {
        self.cause.set("");
        self.likely.set(likely);
        self.book.set(book);
    }

    /// Fails the check, having seen `saw`.
    ///
    /// # Panics
    /// Always: that is how a check fails.
    #[track_caller]
    pub fn fail(&self, saw: impl Display) -> ! {
        let saw = saw.to_string().replace('\n', "\n          ");
        let seen = self.where_seen.borrow().iter().rfind(|(words, _)| saw.contains(words)).copied();
        let cause = match (self.cause.get(), seen) {
            (suspected, Some((_, cause))) if suspected != NOT_WRITTEN_YET => cause,
            (suspected, _) => suspected,
        };
        let label = self.exercise.split('-').next().unwrap_or_default();
        let (likely, book) = match Causes::of(label).get(cause) {
            Some(cause) => (cause.likely.clone(), cause.book.clone()),
            None => (format!("{}{cause}", self.likely.get()), self.book.get().to_owned()),
        };
        panic!(
            "\nsaw:      {saw}\ncause:    {cause}\nlikely:   {likely}\nbook:     book/build/{book}\n"
        );
    }

    /// Fails the check: the program was expected to do something, and there was trouble.
    ///
    /// # Panics
    /// Always.
    #[track_caller]
    pub fn fail_for(&self, expected: &str, trouble: &Trouble) -> ! {
        if let Trouble::Ended { last_words, .. } = trouble
            && last_words.contains("not yet implemented")
        {
            self.not_written_yet();
        }
        let trouble = trouble.to_string();
        let trouble = trouble.strip_prefix("it ").unwrap_or(&trouble);
        self.fail(format!("{expected}, but your program {trouble}"));
    }

    /// The program has come upon a `todo!`.
    fn not_written_yet(&self) {
        self.cause.set(NOT_WRITTEN_YET);
    }

    /// Starts the program.
    #[track_caller]
    pub fn start(&self, arguments: &[&str]) -> Program {
        // A backtrace would push the program's last words out of what is kept of them.
        let start = Start::new(&self.program).env("RUST_BACKTRACE", "0");
        let start = arguments.iter().fold(start, Start::arg);
        match start.start() {
            Ok(program) => program,
            Err(error) => {
                self.fail(format!("{} can't be started: {error}", self.program.display()))
            }
        }
    }

    /// Starts the program as a server on a free port, with `arguments` after its address.
    #[track_caller]
    pub fn server(&self, arguments: &[&str]) -> Server<'_> {
        let arguments = [&["127.0.0.1:0"], arguments].concat();
        self.serving(self.start(&arguments))
    }

    #[track_caller]
    fn serving(&self, program: Program) -> Server<'_> {
        match program.listening() {
            Ok(address) => Server { check: self, program, address },
            Err(trouble) => {
                self.fail_for("the first line on stdout was to be `listening on ADDRESS`", &trouble)
            }
        }
    }

    /// The program that is judged.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Starts the program as a server that has some files open already, as a program may that was started by
    /// another one. (By a shell: it knows how.)
    #[track_caller]
    pub fn server_with_open_files(&self) -> Server<'_> {
        let open =
            "exec 5</dev/null 6</dev/null 7</dev/null 8</dev/null && exec \"$0\" 127.0.0.1:0";
        let start = Start::new("/bin/sh").arg("-c").arg(open).arg(&self.program);
        let program = match start.env("RUST_BACKTRACE", "0").start() {
            Ok(program) => program,
            Err(error) => self.fail(format!("a shell can't be started: {error}")),
        };
        self.serving(program)
    }

    /// The exercise's name, such as `02-pieces`.
    pub fn exercise(&self) -> &'static str {
        self.exercise
    }
}

/// The judged program, as a server.
#[derive(Debug)]
pub struct Server<'a> {
    /// The check that it's part of.
    pub check: &'a Check,
    /// The process.
    pub program: Program,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server<'_> {
    /// A visitor who has connected. `name` is what a report calls it: `silent visitor`.
    #[track_caller]
    pub fn visitor(&self, name: &str) -> Guest<'_> {
        match Connection::connect(self.address, name) {
            Ok(connection) => Guest { server: self, connection },
            Err(error) => self.fail_seeing(&format!("the {name} couldn't connect: {error}")),
        }
    }

    /// A quick visitor comes and has to get the answer 200. `when` says what has happened before.
    #[track_caller]
    pub fn still_serves(&self, when: &str) {
        // The program sleeps meanwhile: however slow this machine is, the visitor isn't.
        self.program.stop();
        let mut quick = self.visitor("quick visitor");
        quick.send(REQUEST);
        self.program.go_on();
        let answer = quick.answer(when);
        if answer.status != 200 {
            self.check.fail(format!("{when}, the quick visitor got {}", answer.status));
        }
    }

    /// Looks at where the program waits, from now on. `None` where that can't be seen: this isn't Linux,
    /// or the system forbids it.
    pub fn lens(&self) -> Option<Lens> {
        Lens::on(&self.program).ok()
    }

    /// Looks at where the program waits, and lies to it meanwhile: see [`Lens::that_lies_to`].
    pub fn lens_that_lies(&self) -> Option<Lens> {
        Lens::that_lies_to(&self.program).ok()
    }

    /// Fails if the program's `select` or `poll` comes back with nothing: then it looks again and again whether
    /// somebody is ready, in place of being woken. To be asked while nobody has any news, and the program sleeps: under
    /// a lens, one that turns in a loop is hardly told from one that is stopped.
    #[track_caller]
    pub fn takes_no_naps(&self, lens: Option<&Lens>, when: &str) {
        let Some(lens) = lens else { return };
        let in_vain = || {
            let nothing = |call: &Call| {
                let waits_for_many = ["select", "poll", "epoll_wait"].contains(&family(&call.call));
                waits_for_many && call.outcome == Outcome::Result(0)
            };
            lens.calls().iter().filter(|call| nothing(call)).count()
        };
        let before = in_vain();
        thread::sleep(LONGER_THAN_NAPS);
        let naps = in_vain() - before;
        if naps > 0 {
            let time = LONGER_THAN_NAPS.as_millis();
            self.check.suspect("waits-for-a-while-only");
            self.check.fail(format!(
                "{when}, your program was woken for nothing: the call that waits came back {naps} times in {time} ms, and \
                 nobody was ready"
            ));
        }
    }

    /// Fails if the program has waited in other calls than `allowed` since the lens was put on: `read`
    /// stands for `recvfrom` too (see [`visitors::calls::family`]). `when` says what has happened.
    #[track_caller]
    pub fn waits_only_in(&self, lens: Option<&Lens>, allowed: &[&str], when: &str) {
        if let Some(Err(elsewhere)) = lens.map(|lens| lens.waits_only_in(allowed)) {
            self.check.fail(format!("{when}, looking where it waits: {elsewhere}"));
        }
    }

    /// Fails: it's no use to wait any longer. A callback that isn't written yet doesn't end the program.
    ///
    /// # Panics
    /// Always.
    #[track_caller]
    pub fn fail_for(&self, expected: &str, trouble: &Trouble) -> ! {
        if self.program.stderr().iter().any(|line| line.contains("not yet implemented")) {
            self.fail_seeing(expected);
        }
        self.check.fail_for(expected, trouble);
    }

    /// Fails if what somebody got is wrong as far as it goes. (More may be right, or on its way.) `name` is what a report
    /// calls them.
    #[track_caller]
    pub fn compare(&self, name: &str, came: &[u8], expected: &[u8], when: &str) {
        let differs = came.iter().zip(expected).position(|(came, expected)| came != expected);
        let Some(at) = differs else { return };
        if expected.len() <= SHOWN_WHOLE {
            let (came, expected) = (shown(came), shown(expected));
            self.fail_seeing(&format!("{when}, {name} got {came}, and not {expected}"));
        }
        let from = at.saturating_sub(SHOWN_BEFORE);
        let part = |bytes: &[u8]| shown(&bytes[from..bytes.len().min(at + SHOWN_BEHIND)]);
        let (came, expected) = (part(came), part(expected));
        self.fail_seeing(&format!(
            "{when}, what {name} got is wrong from byte {at} on: {came}, and not {expected}"
        ));
    }

    /// The most memory that the program has had so far, in bytes, where the system can tell (proc_pid_status(5)).
    pub fn peak(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.program.pid())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
    }

    /// Fails if the program needed more than `limit` bytes of memory more than `before`, an earlier
    /// [`peak`](Self::peak).
    #[track_caller]
    pub fn needs_little_memory(&self, before: Option<u64>, limit: u64, when: &str) {
        if let (Some(before), Some(now)) = (before, self.peak())
            && now - before.min(now) > limit
        {
            let (more, limit) = ((now - before) >> 10, limit >> 10);
            self.fail_seeing(&format!(
                "{when}, your program needed {more} KiB more memory than before, and {limit} KiB are plenty"
            ));
        }
    }

    /// Fails with what was seen, and with the program's last words if it has ended.
    ///
    /// # Panics
    /// Always.
    #[track_caller]
    pub fn fail_seeing(&self, saw: &str) -> ! {
        // A process that is dying closes its sockets a moment before it can be seen to have ended.
        let deadline = Instant::now() + Duration::from_secs(1);
        while Instant::now() < deadline {
            if let Some(trouble) = self.program.ended_with() {
                self.check.fail_for(saw, &trouble);
            }
            thread::sleep(LOOK_EVERY);
        }
        let words = self.program.stderr();
        if words.iter().any(|line| line.contains("not yet implemented")) {
            self.check.not_written_yet();
        }
        match last_words(&words) {
            Some(words) => self.check.fail(format!("{saw}\nyour program's last words: {words}")),
            None => self.check.fail(saw),
        }
    }
}

/// A visitor of the judged server, driven step by step. Whatever goes wrong fails the check.
#[derive(Debug)]
pub struct Guest<'a> {
    server: &'a Server<'a>,
    /// Its end of the connection.
    pub connection: Connection,
}

impl Guest<'_> {
    /// Sends `bytes`.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        if let Err(error) = self.connection.send_to(&self.server.program, bytes) {
            let name = self.connection.name().to_owned();
            self.server.fail_seeing(&format!("the {name} couldn't send: {error}"));
        }
    }

    /// Sends `bytes` in about `pieces` pieces, each after the one before has been read.
    #[track_caller]
    pub fn send_in_pieces(&mut self, bytes: &[u8], pieces: usize) {
        if let Err(error) = self.connection.send_in_pieces(bytes, pieces, &self.server.program) {
            let name = self.connection.name().to_owned();
            self.server.fail_seeing(&format!(
                "the {name} sent its request in {pieces} pieces, and couldn't send all: {error}"
            ));
        }
    }

    /// Nothing may have come yet, although the server has done all that it can do. `when` says what has happened.
    #[track_caller]
    pub fn no_answer_yet(&mut self, when: &str) {
        if let Err(trouble) = self.server.program.settled() {
            self.server.check.fail_for(when, &trouble);
        }
        if self.connection.readable_within(Duration::ZERO) {
            let answer = self.answer(when);
            let (status, name) = (answer.status, self.connection.name());
            self.server.check.fail(format!("{when}, the {name} was answered already: {status}"));
        }
    }

    /// Waits for the next whole answer. `when` says what has happened before: `sent in two pieces`.
    #[track_caller]
    pub fn answer(&mut self, when: &str) -> Answer {
        let name = self.connection.name().to_owned();
        let whole = |bytes: &[u8]| Answer::parse(bytes, false).is_some();
        let received = self.connection.receive_while_missing(&self.server.program, whole);
        let (bytes, ended) = match received {
            Ok(Ok(bytes)) => (bytes, None),
            Ok(Err(Received { bytes, end })) => (bytes, Some(end)),
            Err((trouble, bytes)) => {
                let so_far = so_far(&bytes);
                let expected = format!("{when}, the {name} waits for an answer ({so_far})");
                self.server.check.fail_for(&expected, &trouble);
            }
        };
        match (Answer::parse(&bytes, ended.is_some()), ended) {
            (Some((answer, length)), _) => {
                self.connection.give_back(&bytes[length..]);
                answer
            }
            (None, Some(End::Reset)) => self.server.fail_seeing(&format!(
                "{when}, the {name} got a reset instead of an answer ({})",
                so_far(&bytes)
            )),
            (None, _) => self.server.fail_seeing(&format!(
                "{when}, the server hung up on the {name} without a whole answer ({})",
                so_far(&bytes)
            )),
        }
    }

    /// Waits until the server has closed the connection properly, and gives what came before that.
    #[track_caller]
    pub fn end(&mut self, when: &str) -> Vec<u8> {
        let name = self.connection.name().to_owned();
        match self.connection.receive_all(&self.server.program) {
            Ok(Received { bytes, end: End::Closed }) => bytes,
            Ok(Received { end: End::Reset, .. }) => {
                self.server.fail_seeing(&format!("{when}, the {name} got a reset"))
            }
            Err((trouble, _)) => {
                let expected = format!("{when}, the {name} waits for the server to hang up");
                self.server.check.fail_for(&expected, &trouble);
            }
        }
    }
}

/// How much a program that hasn't panicked is heard, in lines: what it said of the visitor in question may stand before
/// what it said of the next one.
const LAST_LINES: usize = 3;

/// What of a program's stderr is worth showing: its last panic (where, and its message), or else its last lines.
pub fn last_words(stderr: &[String]) -> Option<String> {
    // How to get a backtrace is what Rust says after the first panic, and no word of the program's.
    let is_words = |line: &&str| !line.is_empty() && !line.starts_with("note: run with");
    let said: Vec<&str> = stderr.iter().map(String::as_str).filter(is_words).collect();
    match said.iter().rposition(|line| line.contains(" panicked at ")) {
        Some(place) => Some(said[place..said.len().min(place + 2)].join("\n")),
        None if said.is_empty() => None,
        None => Some(said[said.len().saturating_sub(LAST_LINES)..].join("\n")),
    }
}

/// How much of what came is shown, in bytes: a whole head, where it isn't a long one.
const MOST_SHOWN: usize = 400;

/// What has come, in words.
pub fn so_far(bytes: &[u8]) -> String {
    match bytes.len() {
        0 => "nothing has come".to_owned(),
        count => format!("{count} bytes have come: {}", shown(bytes)),
    }
}

/// Bytes as they are, each seen: what isn't text is written as its number, `\xff`, and never as a sign that stands
/// for any of them.
pub fn shown(bytes: &[u8]) -> String {
    let text = bytes[..bytes.len().min(MOST_SHOWN)].escape_ascii();
    format!("\"{text}\"{}", if bytes.len() > MOST_SHOWN { " …" } else { "" })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::last_words;

    #[rstest]
    #[case::of_nobody(&[], None)]
    #[case::a_line(&["visitor 1: gone", ""], Some("visitor 1: gone"))]
    #[case::no_more_than_the_last_lines(&["one", "two", "three", "four"], Some("two\nthree\nfour"))]
    #[case::a_panic(
        &["visitor 1: connected", "", "thread 'main' (7) panicked at seats.rs:9:1:", "RefCell already borrowed",
            "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace"],
        Some("thread 'main' (7) panicked at seats.rs:9:1:\nRefCell already borrowed")
    )]
    #[case::the_last_panic_and_what_came_of_it(
        &["thread 'main' (7) panicked at chat.rs:9:1:", "one", "note: run with `RUST_BACKTRACE=1`", "visitor 1: gone",
            "", "thread 'main' (7) panicked at chat.rs:8:1:", "two", "visitor 2: gone"],
        Some("thread 'main' (7) panicked at chat.rs:8:1:\ntwo")
    )]
    fn last_words_are_a_panic_or_lines(#[case] stderr: &[&str], #[case] words: Option<&str>) {
        let stderr: Vec<String> = stderr.iter().map(|line| (*line).to_owned()).collect();
        assert_eq!(last_words(&stderr).as_deref(), words);
    }
}
