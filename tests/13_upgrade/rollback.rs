//! The checks of 13-rollback: the child that may fail.

use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use grader::check::Check;
#[cfg(target_os = "linux")]
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use visitors::program::{LOOK_EVERY, PATIENCE, Trouble, Watch};

use super::*;

/// As in the exercise.
const TO_TAKE_OVER: Duration = Duration::from_secs(3);
const LONGEST_LINE: usize = 100;
const UNDER_WAY: &str = "an upgrade is under way: ask again when it has ended";
const LATE: &str = "not replaced: it wasn't serving within 3 s";

/// While a child does something, the program sleeps for no longer than that.
const ASLEEP_FOR_A_CHILD: Duration = Duration::from_secs(2 * TO_TAKE_OVER.as_secs());
/// Whoever says it later than this after the deadline has had another deadline.
const SOMEWHAT_LATER: Duration = Duration::from_millis(900);
/// How often to try what a busy machine may spoil.
const TRIES: usize = 3;
/// Memory that nobody needs to hear a line, in bytes.
const PLENTY: u64 = 3 << 20;

/// Takes over as it should.
const GOOD: &str = "echo ready; read go; test \"$go\" = go || exit 9; echo serving; exec sleep 20";

/// The judged server, whose new program is whatever lies in a file at that moment.
struct House<'a> {
    server: Server<'a>,
    script: PathBuf,
    _folder: TempDir,
}

impl<'a> House<'a> {
    #[track_caller]
    fn new(check: &'a Check) -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        let script = folder.path().join("new");
        let server = check.server(&["/bin/sh", script.to_str().expect("it's text")]);
        Self { server, script, _folder: folder }
    }

    /// Asks for an upgrade, by a child that does this: a script of the shell.
    fn ask(&self, script: &str) {
        fs::write(&self.script, script).expect("there is room");
        self.ask_again();
    }

    fn ask_again(&self) {
        self.server.program.signal(Signal::SIGUSR2);
    }

    /// A file beside the script, which is `"$0.NAME"` to it.
    fn beside(&self, name: &str) -> PathBuf {
        self.script.with_extension(name)
    }

    /// What the program has said of upgrades, so far.
    fn said(&self) -> Vec<String> {
        let begins = ["not replaced", "replaced", UNDER_WAY];
        let is_one = |line: &String| begins.iter().any(|begin| line.starts_with(begin));
        self.server.program.stderr().into_iter().filter(is_one).collect()
    }

    /// It has to have said these lines by now, or within some time, and no others.
    #[track_caller]
    fn says(&self, lines: &[&str], when: &str) {
        let server = &self.server;
        let began = Instant::now();
        let mut watch = Watch::new(&server.program);
        let mut in_vain = false;
        let right = |said: &[String]| said.iter().zip(lines).position(|(said, line)| said != line);
        loop {
            let said = self.said();
            if let Some(at) = right(&said) {
                let (said, line) = (&said[at], lines[at]);
                server.fail_seeing(&format!(
                    "{when}, your program said\n  {said}\nand not\n  {line}"
                ));
            }
            if said.len() == lines.len() {
                return;
            }
            if let Some(more) = said.get(lines.len()) {
                server.fail_seeing(&format!("{when}, your program said this, too:\n  {more}"));
            }
            match watch.trouble() {
                Some(Trouble::Asleep { .. }) if self.may_be_woken(began) => {
                    watch = Watch::new(&server.program);
                }
                // What it said last may still be on its way, or its child may have ended in this very moment.
                Some(_) if !in_vain => {
                    in_vain = true;
                    watch = Watch::new(&server.program);
                    thread::sleep(LOOK_EVERY * 5);
                }
                Some(trouble) => {
                    let missing = lines[said.len()];
                    if self.says_it_at_the_end(lines) {
                        server.check.suspect("the-child-lives-on");
                        server.fail_seeing(&format!(
                            "{when}, your program said\n  {missing}\nonly when somebody else had ended the new one"
                        ));
                    }
                    let what = format!("{when}, your program was to say\n  {missing}\n");
                    // A callback that panics ends itself, and not the program.
                    if server.program.stderr().iter().any(|line| line.contains(" panicked at ")) {
                        server.fail_seeing(&what);
                    }
                    server.fail_for(&what, &trouble);
                }
                None => {}
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// It knew all of this, and has waited for an end for which it hasn't seen to: when somebody else does, it says these lines.
    fn says_it_at_the_end(&self, lines: &[&str]) -> bool {
        for (pid, _) in self.children() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let began = Instant::now();
        while self.said() != lines && began.elapsed() < Duration::from_secs(1) {
            thread::sleep(LOOK_EVERY);
        }
        self.said() == lines
    }

    fn children(&self) -> Vec<(i32, char)> {
        children(self.server.program.pid())
    }

    /// Somebody is there for whom it may wait, and not for too long yet.
    fn may_be_woken(&self, since: Instant) -> bool {
        let lives = |(_, state): &(i32, char)| *state != 'Z';
        since.elapsed() < ASLEEP_FOR_A_CHILD && self.children().iter().any(lives)
    }

    /// Waits until there is a child, and gives its number.
    #[track_caller]
    fn started(&self, when: &str) -> i32 {
        self.wait_until(&format!("{when}, your program was to start the new one"), || {
            self.children().first().map(|(pid, _)| *pid)
        })
    }

    /// Waits until the child has made that file.
    #[track_caller]
    fn is_there(&self, name: &str, what: &str) {
        let file = self.beside(name);
        self.wait_until(what, || file.exists().then_some(()));
    }

    #[track_caller]
    fn wait_until<T>(&self, what: &str, found: impl Fn() -> Option<T>) -> T {
        let began = Instant::now();
        let mut watch = Watch::new(&self.server.program);
        let mut in_vain = false;
        loop {
            if let Some(found) = found() {
                return found;
            }
            match watch.trouble() {
                Some(Trouble::Asleep { .. }) if self.may_be_woken(began) => {
                    watch = Watch::new(&self.server.program);
                }
                Some(_) if !in_vain => {
                    in_vain = true;
                    watch = Watch::new(&self.server.program);
                    thread::sleep(LOOK_EVERY * 5);
                }
                Some(trouble) => self.server.fail_for(what, &trouble),
                None => thread::sleep(LOOK_EVERY),
            }
        }
    }

    /// Nothing is left of the child.
    #[track_caller]
    fn is_rid_of_it(&self, when: &str) {
        let check = self.server.check;
        let began = Instant::now();
        loop {
            let children = self.children();
            let Some((pid, state)) = children.first().copied() else { return };
            if began.elapsed() > Duration::from_secs(2) {
                let what = match state {
                    'Z' => {
                        check.suspect("a-zombie-is-left");
                        "has ended, and nobody has asked how: it's a zombie"
                    }
                    _ => {
                        check.suspect("the-child-lives-on");
                        "lives on"
                    }
                };
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                self.server.fail_seeing(&format!("{when}, the child {what}"));
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// After a failure: it has said just these lines, nothing is left of the child, and it serves.
    #[track_caller]
    fn goes_on(&self, lines: &[&str], when: &str) {
        self.says(lines, when);
        self.is_rid_of_it(when);
        settle(&self.server, when);
        self.says(lines, when);
        self.serves(when);
    }

    /// It serves somebody new.
    #[track_caller]
    fn serves(&self, when: &str) {
        let mut visitor = Visitor::new(&self.server, "new visitor");
        visitor.sends_and_gets("hello\n", when);
    }

    /// It's replaced, and has ended. Gives the number of its child, which lives.
    #[track_caller]
    fn is_replaced(&self, before: &[&str], when: &str) {
        let found = || {
            let said = self.said();
            let last = said.get(before.len())?;
            Some(
                last.strip_prefix("replaced by ")
                    .map_or(Err(last.clone()), |pid| Ok(pid.to_owned())),
            )
        };
        let what = format!("{when}, your program was to say that it's replaced");
        let pid = self.wait_until(&what, found);
        let Some(pid) = pid.as_ref().ok().and_then(|pid| pid.parse().ok()) else {
            let said = pid.unwrap_or_else(|said| said);
            self.server.fail_seeing(&format!(
                "{when}, your program said\n  {said}\nand not that it's replaced"
            ));
        };
        let check = self.server.check;
        match self.server.program.ended() {
            Ok(status) if status.success() => {}
            Ok(status) => {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                check.suspect("the-end-is-none");
                check.fail(format!("{when}, your program was replaced, and ended with {status}"));
            }
            Err(trouble) => {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                check.suspect("the-end-is-none");
                check.fail_for(&format!("{when}, your program was to end"), &trouble);
            }
        }
        let lives = look(pid).is_none_or(|(state, _)| state != 'Z') && look(pid).is_some();
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        if !lives && fs::exists("/proc/self").unwrap_or_default() {
            check.suspect("the-new-one-ends-too");
            check.fail(format!("{when}, your program ended, and the new one with it"));
        }
    }
}

impl Visitor<'_> {
    #[track_caller]
    fn sends_and_gets(&mut self, line: &str, when: &str) {
        self.send(line.as_bytes());
        self.expect(line.as_bytes(), when);
    }
}

#[test]
fn it_is_replaced() {
    let check = check!("13-rollback");
    check.suspect("it-isnt-replaced");
    let house = House::new(&check);
    house.serves("before anything else");
    house.ask(GOOD);
    house.is_replaced(&[], "after the new one said ready, heard go, and said serving");
}

#[test]
fn it_is_told_to_go() {
    let check = check!("13-rollback");
    check.suspect("go-isnt-said");
    let house = House::new(&check);
    house.ask("echo ready; read go; echo \"heard $go\"; exec sleep 20");
    house.goes_on(&["not replaced: it said \"heard go\""], "after the new one was ready");
    check.suspect("go-is-said-too-soon");
    house.ask("read go; echo \"heard $go\"; exec sleep 20");
    let said = ["not replaced: it said \"heard go\"", LATE];
    house.goes_on(&said, "when another new one waits for go before it's ready");
    check.suspect("go-isnt-said");
    house.ask("echo ready; read go; read more; echo \"heard $more\"; exec sleep 20");
    let said = [said[0], LATE, LATE];
    house.goes_on(&said, "when a third one was told go, and waits for another line");
}

/// Until it says that it serves, nobody else does.
#[rstest]
#[case::it_is_silent("waits-for-the-child", ": > \"$0.here\"; exec sleep 20")]
#[case::it_is_ready("ready-is-believed", "echo ready; read go; : > \"$0.here\"; exec sleep 20")]
#[case::it_says_half_a_word("waits-for-the-child", "printf re; : > \"$0.here\"; exec sleep 20")]
fn it_serves_meanwhile(#[case] cause: &'static str, #[case] script: &str) {
    let check = check!("13-rollback");
    check.suspect(cause);
    if cause == "ready-is-believed" {
        check.suspect_where("get as far as it can, but your program is inside", "go-isnt-said");
    }
    let house = House::new(&check);
    let mut visitor = Visitor::new(&house.server, "old visitor");
    visitor.sends_and_gets("one\n", "before an upgrade");
    visitor.send(b"tw");
    house.ask(script);
    house
        .is_there("here", "after SIGUSR2, the new one was to be started, and get as far as it can");
    let when = "while the new one isn't serving yet";
    visitor.send(b"o\n");
    visitor.expect(b"two\n", when);
    house.serves(when);
    house.goes_on(&[LATE], "when the new one never said that it serves");
    visitor.sends_and_gets("three\n", "after an upgrade that came to nothing");
}

#[rstest]
#[case::at_once("exit 3", "exit status: 3")]
#[case::with_status_0("exit 0", "exit status: 0")]
#[case::by_a_signal("kill -9 $$", "signal: 9 (SIGKILL)")]
#[case::after_a_second("sleep 1; exit 4", "exit status: 4")]
#[case::in_the_middle_of_a_word("printf rea; exit 5", "exit status: 5")]
#[case::when_it_is_ready("echo ready; exit 6", "exit status: 6")]
#[case::when_it_is_told_to_go("echo ready; read go; exit 7", "exit status: 7")]
#[case::in_the_middle_of_its_last_word(
    "echo ready; read go; printf serving; exit 8",
    "exit status: 8"
)]
fn it_ends(#[case] script: &str, #[case] status: &str) {
    let check = check!("13-rollback");
    check.suspect(match status {
        "exit status: 0" => "status-0-is-believed",
        _ => "its-end-isnt-heard",
    });
    let house = House::new(&check);
    house.ask(script);
    let said = format!("not replaced: it ended before it was serving ({status})");
    house.goes_on(&[&said], &format!("after the new one did `{script}`"));
}

#[rstest]
#[case::there_is_none("/no/such/program", "No such file or directory (os error 2)")]
#[case::it_is_a_folder("/", "Permission denied (os error 13)")]
#[case::it_is_no_program("/etc/passwd", "Permission denied (os error 13)")]
fn it_cant_be_run(#[case] program: &str, #[case] error: &str) {
    let check = check!("13-rollback");
    check.suspect("what-cant-be-run");
    let server = check.server(&[program]);
    let folder = tempfile::tempdir().expect("there is room");
    let house = House { server, script: folder.path().join("none"), _folder: folder };
    let said = format!("not replaced: it can't be run: {error}");
    let when = format!("asked to be replaced by {program}");
    house.ask_again();
    house.goes_on(&[&said], &when);
    house.ask_again();
    house.goes_on(&[&said, &said], &format!("{when} once more"));
}

#[rstest]
#[case::silent("it-waits-for-ever", "exec sleep 20")]
#[case::when_it_is_ready("it-waits-for-ever", "echo ready; exec sleep 20")]
#[case::when_it_is_told_to_go("it-waits-for-ever", "echo ready; read go; exec sleep 20")]
#[case::without_an_output("its-output-isnt-it", "exec 1>&-; exec sleep 20")]
#[case::and_doesnt_want_to_be_ended(
    "it-waits-for-ever",
    "trap '' TERM INT HUP; for word in a b c d e f g h; do sleep 2; sleep 1; done"
)]
fn it_hangs(#[case] cause: &'static str, #[case] script: &str) {
    let check = check!("13-rollback");
    check.suspect(cause);
    let house = House::new(&check);
    let began = Instant::now();
    house.ask(script);
    let when = format!("after the new one did `{script}`");
    // Or it's over already, and shouldn't be.
    house.wait_until(&format!("{when}, your program was to start the new one"), || {
        (!house.children().is_empty() || !house.said().is_empty()).then_some(())
    });
    settle(&house.server, &when);
    house.says(&[LATE], &when);
    let took = began.elapsed();
    if took < TO_TAKE_OVER {
        if cause == "it-waits-for-ever" {
            check.suspect("another-deadline");
        }
        house.server.fail_seeing(&format!("{when}, that was too late after {took:?} already"));
    }
    house.goes_on(&[LATE], &when);
}

#[rstest]
#[case::hello("echo hello", "hello")]
#[case::nothing("echo", "")]
#[case::that_it_serves("echo serving", "serving")]
#[case::ready_twice("echo ready; echo ready", "ready")]
#[case::in_capitals("echo READY", "READY")]
#[case::ready_and_more("echo ready or not", "ready or not")]
#[case::with_a_blank("echo 'ready '", "ready ")]
#[case::with_a_cr("printf 'ready\\r\\n'", "ready\\r")]
#[case::when_it_is_told_to_go("echo ready; read go; echo going", "going")]
#[case::no_text("printf '\\377\\000\\n'", "\\xff\\x00")]
fn it_says_something_else(#[case] script: &str, #[case] line: &str) {
    let check = check!("13-rollback");
    check.suspect("any-word-is-taken");
    let house = House::new(&check);
    house.ask(&format!("{script}; exec sleep 20"));
    let said = format!("not replaced: it said \"{line}\"");
    house.goes_on(&[&said], &format!("after the new one did `{script}`"));
}

/// After a wrong word, the right ones come too late.
#[rstest]
#[case::before_ready("hello\\nready\\nserving\\n", "hello")]
#[case::before_serving("ready\\nhello\\nserving\\n", "hello")]
#[case::two_of_them("hello\\nyou\\n", "hello")]
fn what_it_says_then_doesnt_count(#[case] words: &str, #[case] line: &str) {
    let check = check!("13-rollback");
    check.suspect("it-isnt-over");
    let house = House::new(&check);
    house.ask(&format!("printf '{words}'; exec sleep 20"));
    let said = format!("not replaced: it said \"{line}\"");
    house.goes_on(&[&said], &format!("after the new one said {words}"));
}

#[rstest]
#[case::in_pieces(
    "a-piece-is-a-line",
    "printf rea; sleep 0.3; printf 'dy\\nser'; sleep 0.3; printf 'ving\\n'"
)]
#[case::with_its_end_alone(
    "a-piece-is-a-line",
    "printf ready; sleep 0.3; echo; sleep 0.3; printf serving; sleep 0.3; echo"
)]
#[case::in_one_piece("one-line-a-piece", "printf 'ready\\nserving\\n'")]
fn lines_come(#[case] cause: &'static str, #[case] script: &str) {
    let check = check!("13-rollback");
    check.suspect(cause);
    let house = House::new(&check);
    house.ask(&format!("{script}; exec sleep 20"));
    house.is_replaced(&[], &format!("after the new one did `{script}`"));
}

#[test]
fn it_doesnt_hear_it() {
    let check = check!("13-rollback");
    check.suspect("nobody-hears-go");
    let house = House::new(&check);
    house.ask("exec 0<&-; echo ready; exec sleep 20");
    house.goes_on(&[LATE], "after the new one closed its input, and said ready");
}

#[rstest]
#[case::never_ends("exec tr '\\0' x < /dev/zero")]
#[case::is_too_long("printf '%0101d' 0 | tr 0 x; exec sleep 20")]
#[case::is_far_too_long("printf '%0200d\\nready\\n' 0 | tr 0 x; exec sleep 20")]
fn a_line_that(#[case] script: &str) {
    let check = check!("13-rollback");
    check.suspect("lines-without-an-end");
    let house = House::new(&check);
    let before = house.server.peak();
    house.ask(script);
    let said = format!("not replaced: it said \"{}\"", "x".repeat(LONGEST_LINE));
    let when = format!("after the new one did `{script}`");
    house.goes_on(&[&said], &when);
    house.server.needs_little_memory(before, PLENTY, &when);
}

#[test]
fn the_longest_line() {
    let check = check!("13-rollback");
    check.suspect("lines-without-an-end");
    let house = House::new(&check);
    house.ask("printf '%0100d' 0 | tr 0 x; exec sleep 20");
    house.goes_on(&[LATE], "after the new one said 100 bytes without a line's end");
}

#[test]
fn two_at_once() {
    let check = check!("13-rollback");
    check.suspect("two-at-once");
    let house = House::new(&check);
    let goes_on = house.beside("on");
    house.ask(
        "echo ready; read go; : > \"$0.here\"; while ! test -e \"$0.on\" && test -e \"$0\"; do sleep 0.05; done; \
         echo serving; exec sleep 20",
    );
    let when = "asked while an upgrade is under way";
    let first = house.started("after SIGUSR2");
    house.is_there("here", "after the new one said ready, it was to hear go");
    house.ask_again();
    house.says(&[UNDER_WAY], when);
    house.ask_again();
    house.says(&[UNDER_WAY, UNDER_WAY], &format!("{when}, once more"));
    let children: Vec<i32> = house.children().into_iter().map(|(pid, _)| pid).collect();
    if !children.is_empty() && children != [first] {
        let count = children.len();
        house
            .server
            .fail_seeing(&format!("{when}, there are {count} children, or it's another one"));
    }
    fs::write(goes_on, "").expect("there is room");
    house.is_replaced(&[UNDER_WAY, UNDER_WAY], "after the first one said that it serves");
}

#[test]
fn asked_twice_it_fails_once() {
    let check = check!("13-rollback");
    check.suspect("two-at-once");
    let house = House::new(&check);
    // It says something when it should have been ended, and before another deadline, set anew, would do that.
    house.ask("sleep 1.5; : > \"$0.here\"; sleep 2.5; echo hello; exec sleep 20");
    house.is_there("here", "after SIGUSR2, the new one was to be started");
    house.ask_again();
    house.goes_on(&[UNDER_WAY, LATE], "asked while an upgrade is under way that comes to nothing");
}

/// From the last word on, nothing touches the new one. It lives when nobody is there any more who could end it.
#[rstest]
#[case::another_word("printf 'ready\\nserving\\nhello\\n'")]
#[case::serving_again("printf 'ready\\nserving\\nserving\\n'")]
#[case::a_long_one("printf 'ready\\nserving\\n%0200d' 0")]
fn nothing_touches_it_then(#[case] script: &str) {
    let check = check!("13-rollback");
    check.suspect("it-has-taken-over");
    let house = House::new(&check);
    let lives = house.beside("lives");
    let waits = "while kill -0 $PPID 2> /dev/null; do sleep 0.05; done";
    house.ask(&format!("{script}; {waits}; : > \"$0.lives\"; exec sleep 5"));
    let when = format!("after the new one did `{script}`");
    let says = || house.said().first().cloned();
    let said = house.wait_until(&format!("{when}, your program was to be replaced"), says);
    let Some(pid) = said.strip_prefix("replaced by ").and_then(|pid| pid.parse().ok()) else {
        house.server.fail_seeing(&format!("{when}, your program said\n  {said}"));
    };
    if let Err(trouble) = house.server.program.ended() {
        check.suspect("the-end-is-none");
        check.fail_for(&format!("{when}, your program was to end"), &trouble);
    }
    let is_gone = || look(pid).is_none_or(|(state, _)| state == 'Z');
    while !lives.exists() && !is_gone() {
        thread::sleep(LOOK_EVERY);
    }
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    if !lives.exists() && fs::exists("/proc/self").unwrap_or_default() {
        check.fail(format!("{when}, your program ended, and the new one with it"));
    }
    if let Some(more) = house.said().get(1) {
        check.fail(format!("{when}, your program said this, too:\n  {more}"));
    }
}

/// The loop ends its turn all the same, and somebody asks in it.
#[test]
fn it_starts_no_other_one() {
    let check = check!("13-rollback");
    check.suspect("go-isnt-said");
    let house = House::new(&check);
    let waits = "while ! test -e \"$0.on\" && test -e \"$0\"; do sleep 0.05; done";
    house.ask(&format!(
        "echo >> \"$0.starts\"; echo ready; read go; : > \"$0.here\"; {waits}; echo serving; : > \"$0.said\"; exec sleep 5"
    ));
    house.is_there("here", "after the new one said ready, it was to hear go");
    let when = "after the new one said that it serves, and SIGUSR2 came in the same turn";
    house.server.program.stop();
    fs::write(house.beside("on"), "").expect("there is room");
    let began = Instant::now();
    while !house.beside("said").exists() && began.elapsed() < PATIENCE {
        thread::sleep(LOOK_EVERY / 4);
    }
    house.ask_again();
    house.server.program.go_on();
    check.suspect("it-isnt-replaced");
    let says = || {
        let said = house.said();
        said.iter().find_map(|line| line.strip_prefix("replaced by ")?.parse().ok())
    };
    let pid: i32 = house.wait_until(&format!("{when}, your program was to be replaced"), says);
    check.suspect("the-end-is-none");
    let ended = house.server.program.ended();
    // Whoever isn't seen any more has left a line.
    let others: Vec<i32> = named_after(&house.script).into_iter().filter(|it| *it != pid).collect();
    let starts = fs::read(house.beside("starts")).map_or(0, |lines| lines.len());
    for pid in others.iter().chain(&[pid]) {
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
    if let Err(trouble) = ended {
        check.fail_for(&format!("{when}, your program was to end"), &trouble);
    }
    check.suspect("one-more-is-started");
    if !others.is_empty() || starts > 1 {
        check.fail(format!("{when}, your program started another one"));
    }
}

/// Its end and its last words are seen in the same turn, and its end first.
#[rstest]
#[case::hello("its-last-word-is-lost", "echo hello", "it said \"hello\"")]
#[case::that_it_serves(
    "one-that-has-ended-is-believed",
    "echo ready; echo serving",
    "it ended before it was serving (exit status: 3)"
)]
#[case::half_a_word(
    "its-last-word-is-lost",
    "echo ready; printf serv",
    "it ended before it was serving (exit status: 3)"
)]
fn what_it_said_before_its_end(
    #[case] cause: &'static str,
    #[case] script: &str,
    #[case] said: &str,
) {
    let check = check!("13-rollback");
    check.suspect(cause);
    let house = House::new(&check);
    // Whoever stops is news, too: the program is told of that first, and looks.
    let waits = "while ! test -e \"$0.on\" && test -e \"$0\"; do sleep 0.05; done";
    house.ask(&format!(": > \"$0.here\"; {waits}; kill -STOP $$; {script}; exit 3"));
    house.is_there("here", "after SIGUSR2, the new one was to be started");
    let when = format!("after the new one did `{script}; exit 3` while your program stood still");
    let pid = house.started(&when);
    let becomes = |wanted: char| {
        let began = Instant::now();
        let is_so = || look(pid).is_none_or(|(state, _)| state == wanted);
        while !is_so() && began.elapsed() < PATIENCE {
            thread::sleep(LOOK_EVERY / 4);
        }
    };
    house.server.program.stop();
    fs::write(house.beside("on"), "").expect("there is room");
    becomes('T');
    let _ = kill(Pid::from_raw(pid), Signal::SIGCONT);
    becomes('Z');
    house.server.program.go_on();
    house.goes_on(&[&format!("not replaced: {said}")], &when);
}

/// To kill somebody takes a while, and its end is known when it's over. Here it takes as long as we like: who is traced is
/// first of all its tracer's.
#[cfg(target_os = "linux")]
#[test]
fn the_line_comes_last() {
    let check = check!("13-rollback");
    check.suspect("said-before-its-end");
    let house = House::new(&check);
    let on = house.beside("on");
    nix::unistd::mkfifo(&on, nix::sys::stat::Mode::S_IRWXU).expect("there is room");
    house.ask(": > \"$0.here\"; read on < \"$0.on\"; echo hello; read on < \"$0.on\"");
    house.is_there("here", "after SIGUSR2, the new one was to be started");
    let when = "when the new one said hello, and was killed, and hasn't ended yet";
    let pid = Pid::from_raw(house.started(when));
    let is_ours = ptrace::seize(pid, ptrace::Options::empty()).is_ok();
    fs::write(&on, "on\n").expect("it's there");
    let said = "not replaced: it said \"hello\"";
    if !is_ours {
        // The system forbids it.
        return house.goes_on(&[said], "after the new one said hello");
    }
    check.suspect("the-child-lives-on");
    house.wait_until(&format!("{when}, your program was to kill it"), || {
        look(pid.as_raw()).is_none_or(|(state, _)| state == 'Z').then_some(())
    });
    check.suspect("said-before-its-end");
    settle(&house.server, when);
    if let Some(said) = house.said().first() {
        house.server.fail_seeing(&format!("{when}, your program said already\n  {said}"));
    }
    check.suspect("two-at-once");
    check.suspect_where("waits for a child to end", "waits-for-the-child");
    house.ask_again();
    house.says(&[UNDER_WAY], &format!("{when}, asked again"));
    check.suspect("its-end-isnt-heard");
    // Now it's its parent's.
    let _ = nix::sys::wait::waitpid(pid, None);
    house.goes_on(&[UNDER_WAY, said], "when the new one had ended");
}

#[test]
fn it_can_be_asked_again() {
    let check = check!("13-rollback");
    check.suspect("it-cant-be-asked-again");
    let house = House::new(&check);
    let ended = "not replaced: it ended before it was serving (exit status: 3)";
    let said = "not replaced: it said \"hello\"";
    let expected = [ended, said, LATE, ended, said];
    let scripts = [
        "exit 3",
        "echo hello; exec sleep 20",
        "exec sleep 20",
        "exit 3",
        "echo ready; echo hello; exec sleep 20",
    ];
    for (number, script) in scripts.iter().enumerate() {
        house.ask(script);
        // As soon as it has said so: nobody has to wait for something that can't be seen.
        house.says(&expected[..=number], &format!("asked for the {}. time", number + 1));
    }
    house.ask(GOOD);
    house.is_replaced(&expected, "asked once more after five that failed");
}

#[test]
fn no_word_prolongs_it() {
    let check = check!("13-rollback");
    check.suspect("another-deadline");
    for attempt in 1..=TRIES {
        let house = House::new(&check);
        let began = Instant::now();
        house.ask("sleep 1; echo ready; exec sleep 20");
        let when = "when the new one is ready after a second, and then hangs";
        house.says(&[LATE], when);
        let took = began.elapsed();
        if took < TO_TAKE_OVER + SOMEWHAT_LATER {
            return;
        }
        if attempt == TRIES {
            house.server.fail_seeing(&format!("{when}, it was too late only after {took:.1?}"));
        }
    }
}

/// The deadline of one that failed isn't the next one's.
#[test]
fn the_next_one_has_all_of_its_time() {
    let check = check!("13-rollback");
    check.suspect("an-old-deadline");
    let house = House::new(&check);
    let ended = "not replaced: it ended before it was serving (exit status: 3)";
    house.ask("exit 3");
    house.goes_on(&[ended], "after the new one ended at once");
    // So that the two deadlines are told apart.
    thread::sleep(Duration::from_secs(1));
    let began = Instant::now();
    house.ask("exec sleep 20");
    let when = "when the one after it hangs";
    house.says(&[ended, LATE], when);
    let took = began.elapsed();
    if took < TO_TAKE_OVER {
        house.server.fail_seeing(&format!("{when}, that was too late after {took:.1?} already"));
    }
}

/// Its parent is told of that, too; but it may go on.
#[test]
fn a_stopped_child() {
    let check = check!("13-rollback");
    check.suspect("stopped-is-no-end");
    let house = House::new(&check);
    house.ask("(sleep 0.5; kill -CONT $$) & kill -STOP $$; echo ready; read go; echo serving; exec sleep 20");
    house.is_replaced(&[], "after the new one was stopped for half a second");
}

/// What the child has started may hold its output open, and say something when nobody asks any more.
#[test]
fn a_childs_child_isnt_heard() {
    let check = check!("13-rollback");
    check.suspect("its-end-isnt-heard");
    let house = House::new(&check);
    house.ask("(sleep 1; echo hello; sleep 4) & exit 3");
    let ended = "not replaced: it ended before it was serving (exit status: 3)";
    let when = "after the new one ended, and left a child that has its output";
    house.goes_on(&[ended], when);
    check.suspect("an-old-ear");
    house.ask("exec sleep 20");
    house.goes_on(
        &[ended, LATE],
        "when the child of one that failed says something, and the next one nothing",
    );
}

#[test]
fn nothing_is_kept() {
    const EACH: usize = 8;
    let check = check!("13-rollback");
    check.suspect("a-zombie-is-left");
    let house = House::new(&check);
    let ended = "not replaced: it ended before it was serving (exit status: 3)";
    let mut said = Vec::new();
    house.server.keeps_nothing(EACH, "upgrades that failed", |_| {
        for _ in 0..EACH {
            house.ask("exit 3");
            said.push(ended);
            house.says(&said, "asked again and again");
        }
    });
    house.is_rid_of_it("after many that failed");
}
