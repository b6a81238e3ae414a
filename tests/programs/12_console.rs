//! The console of chapter 12, whatever standard input is.

mod front;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use front::{PATH, Program, wait_until};
use visitors::setup::LOOKED_FOR as PATIENCE;
use visitors::skipped;

/// What nobody should do in it, nobody does: a second is long for a program that spins.
const A_WHILE: Duration = Duration::from_secs(2);
/// More turns than that in a while are a loop that doesn't wait.
const FEW_TURNS: u64 = 50;

impl Program {
    fn start(stdin: Stdio) -> Self {
        Self::start_as(Command::new(PATH).stdin(stdin))
    }

    #[track_caller]
    fn prints(&self, text: &str) {
        let stdout = || self.stdout();
        wait_until(&format!("{text:?} on stdout"), || stdout().contains(text));
    }

    /// How often its loop has turned, which it's asked.
    fn turns(&mut self) -> u64 {
        let before = self.stdout().matches(" turns\n").count();
        self.types("turns\n");
        let turns = || self.stdout();
        wait_until("the number of turns", || turns().matches(" turns\n").count() > before);
        let stdout = self.stdout();
        let line = stdout.lines().rfind(|line| line.ends_with(" turns")).unwrap();
        line.trim_end_matches(" turns").parse().unwrap()
    }

    /// It has ended by itself.
    #[track_caller]
    fn ends(&mut self) {
        let child = &mut self.child;
        wait_until("its end", || child.try_wait().unwrap().is_some());
        assert!(self.child.wait().unwrap().success(), "{}", self.stderr());
    }

    /// It doesn't burn the processor, and still lets people in.
    #[track_caller]
    fn still_serves(&mut self) {
        assert_sleeps(self.child.id());
        let stdout = self.stdout();
        let address = stdout.lines().next().unwrap().trim_start_matches("listening on ").to_owned();
        std::net::TcpStream::connect(address).unwrap();
        assert!(self.child.try_wait().unwrap().is_none(), "it has ended");
    }
}

/// The processor time that a process has used, in ticks of the clock (proc(5): `utime`, `stime`).
fn ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, behind) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = behind.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

#[track_caller]
fn assert_sleeps(pid: u32) {
    let Some(before) = ticks(pid) else { return };
    thread::sleep(A_WHILE);
    let used = ticks(pid).unwrap_or(before) - before;
    assert!(used < 20, "it has used {used} hundredths of a second in {A_WHILE:?}, for nothing");
}

mod a_pipe {
    use super::*;

    #[test]
    fn commands_are_obeyed_in_their_order() {
        let mut program = Program::start(Stdio::piped());
        program.types("who\r\nSAY hi there\nhlep\n\nhelp\n");
        program
            .prints("nobody is here\nsaid to 0\nno command is called \"hlep\". Did you mean help?");
        program.prints("  help        shows this\n");
        program.types("sto");
        program.types("p");
        program.types("\n");
        program.ends();
        assert!(!program.stdout().contains("> "), "a prompt for nobody");
    }

    #[test]
    fn the_last_line_needs_no_end_and_the_end_ends_only_the_console() {
        let mut program = Program::start(Stdio::piped());
        program.types("say last words");
        assert!(!program.stdout().contains("said"));
        program.stdin = None;
        program.prints("said to 0");
        program.says("console: its input has ended; the rest goes on");
        program.still_serves();
    }

    #[test]
    fn a_line_of_a_megabyte_is_dropped_and_what_follows_is_obeyed() {
        let mut program = Program::start(Stdio::piped());
        program.types("stop ".repeat(200_000) + "\nsay \0\u{1b}[2J\nwho\n");
        program.prints("a line of more than 1024 bytes: dropped\nsaid to 0\nnobody is here\n");
        program.still_serves();
    }

    #[test]
    fn a_command_that_panics_ends_neither_the_console_nor_those_behind_it() {
        let mut program = Program::start(Stdio::piped());
        program.types("panic\nwho\n");
        program.prints("nobody is here");
        program.says("as was asked for");
    }

    #[test]
    fn what_is_not_utf_8_is_said_all_the_same() {
        let mut program = Program::start(Stdio::piped());
        program.types(b"\xff\xfe\nsay \xff\nwho\n");
        program.prints("no command is called");
        program.prints("said to 0\nnobody is here\n");
    }

    #[test]
    fn nobody_typing_costs_nothing() {
        let mut program = Program::start(Stdio::piped());
        let before = program.turns();
        thread::sleep(A_WHILE);
        let turns = program.turns() - before;
        assert!(turns < FEW_TURNS, "{turns} turns for nothing");
    }

    /// Ten thousand commands don't keep one turn: they're obeyed a few at a time.
    #[test]
    fn many_commands_leave_turns_to_the_others() {
        let mut program = Program::start(Stdio::piped());
        let before = program.turns();
        program.types("say x\n".repeat(10_000));
        let turns = program.turns() - before;
        assert_eq!(program.stdout().matches("said to 0").count(), 10_000);
        assert!(turns >= 10_000 / 16, "{turns} turns for 10,000 commands");
    }

    /// `O_NONBLOCK` belongs to the pipe's end, and whoever gave it to us has it, too.
    #[test]
    fn those_who_share_it_are_not_told_not_to_wait() {
        let (ours, theirs) = std::io::pipe().unwrap();
        let kept = ours.try_clone().unwrap();
        let mut program = Program::start(Stdio::from(ours));
        (&theirs).write_all(b"who\n").unwrap();
        program.prints("nobody is here");
        let flags = nix::fcntl::fcntl(&kept, nix::fcntl::FcntlArg::F_GETFL).unwrap();
        let flags = nix::fcntl::OFlag::from_bits_truncate(flags);
        assert!(!flags.contains(nix::fcntl::OFlag::O_NONBLOCK));
        drop(theirs);
        program.says("its input has ended");
        program.still_serves();
    }
}

mod a_socket {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn commands_are_obeyed_and_its_end_ends_only_the_console() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut program = Program::start(Stdio::from(OwnedFd::from(ours)));
        theirs.write_all(b"who\n").unwrap();
        program.prints("nobody is here");
        drop(theirs);
        program.says("its input has ended");
        program.still_serves();
    }
}

mod a_file {
    use super::*;

    fn file(content: impl AsRef<[u8]>) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content.as_ref()).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        file
    }

    /// epoll refuses one (EPERM).
    #[test]
    fn its_commands_are_obeyed_to_its_end() {
        let mut program = Program::start(file("who\nsay so\nhelp").into());
        program.prints("nobody is here\nsaid to 0\n  who ");
        program.says("console: its input has ended; the rest goes on");
        program.still_serves();
    }

    #[test]
    fn it_may_stop_the_program() {
        Program::start(file("who\nstop\n").into()).ends();
    }

    #[test]
    fn a_large_one_is_read_to_its_end() {
        let mut program = Program::start(file("say x\n".repeat(50_000)).into());
        program.says("its input has ended");
        assert_eq!(program.stdout().matches("said to 0").count(), 50_000);
        program.still_serves();
    }

    #[test]
    fn one_that_can_not_be_read_ends_only_the_console() {
        let mut program = Program::start(File::open("/").unwrap().into());
        program.says("console: lost: ");
        program.still_serves();
    }
}

mod nothing {
    use super::*;

    #[test]
    fn the_null_device_is_no_console_and_nothing_is_said() {
        let mut program = Program::start(Stdio::null());
        program.prints("listening on ");
        program.still_serves();
        assert_eq!(program.stderr(), "");
    }

    #[test]
    fn a_closed_standard_input_is_no_error() {
        let mut shell = Command::new("sh");
        let mut program = Program::start_as(shell.args(["-c", "exec \"$0\" <&-", PATH]));
        program.prints("listening on ");
        program.still_serves();
        assert_eq!(program.stderr(), "");
    }

    #[test]
    fn a_standard_output_that_nobody_reads_any_more_ends_nothing() {
        let mut shell = Command::new("sh");
        let script = "\"$0\" | head -n 1";
        let mut program = Program::start_as(shell.args(["-c", script, PATH]).stdin(Stdio::piped()));
        program.prints("listening on ");
        let address = program.stdout();
        program.types("who\nhelp\nwho\n".repeat(100));
        thread::sleep(A_WHILE);
        let address = address.lines().next().unwrap().trim_start_matches("listening on ");
        std::net::TcpStream::connect(address).unwrap();
        program.types("stop\n");
        program.ends();
    }
}

mod a_terminal {
    use super::*;

    /// A terminal of our own, and a shell in it. It ends with the test.
    struct Tmux {
        name: String,
    }

    impl Tmux {
        fn start(test: &str, columns: u16) -> Option<Self> {
            let Ok(_) = Command::new("tmux").arg("-V").output() else {
                skipped("tmux isn't installed");
                return None;
            };
            let tmux = Self { name: format!("console12-{}-{test}", std::process::id()) };
            let (width, shell) = (columns.to_string(), "env PS1='$ ' ENV= sh -i");
            let began = tmux.run(&["new-session", "-d", "-x", &width, "-y", "50", shell]);
            assert!(began.is_some(), "tmux doesn't start");
            tmux.shows("$");
            Some(tmux)
        }

        fn run(&self, arguments: &[&str]) -> Option<String> {
            let mut tmux = Command::new("tmux");
            let out = tmux.args(["-L", &self.name, "-f", "/dev/null"]).args(arguments).output();
            let out = out.ok().filter(|out| out.status.success())?;
            Some(String::from_utf8_lossy(&out.stdout).into_owned())
        }

        fn types(&self, text: &str) {
            self.run(&["send-keys", "-l", text]).unwrap();
            self.run(&["send-keys", "Enter"]).unwrap();
        }

        fn presses(&self, key: &str) {
            self.run(&["send-keys", key]).unwrap();
        }

        fn screen(&self) -> String {
            self.run(&["capture-pane", "-p"]).unwrap_or_default()
        }

        #[track_caller]
        fn shows(&self, text: &str) {
            let until = Instant::now() + PATIENCE;
            while !self.screen().contains(text) {
                assert!(Instant::now() < until, "no {text:?} on the screen:\n{}", self.screen());
                thread::sleep(Duration::from_millis(20));
            }
        }

        /// The number that the shell's `$!` has.
        fn last_job(&self) -> u32 {
            self.types("echo job=$!=");
            let number = || {
                let screen = self.screen();
                let (_, behind) = screen.rsplit_once("job=")?;
                behind.split('=').next()?.parse().ok()
            };
            wait_until("the job's number", || number().is_some());
            number().unwrap()
        }
    }

    impl Drop for Tmux {
        fn drop(&mut self) {
            let _ = self.run(&["kill-server"]);
        }
    }

    #[test]
    fn there_is_a_prompt_and_ctrl_d_ends_only_the_console() {
        let Some(tmux) = Tmux::start("prompt", 80) else { return };
        tmux.types(PATH);
        tmux.shows("\n>");
        tmux.types("who");
        tmux.shows("> who\nnobody is here\n>");
        tmux.presses("C-d");
        tmux.shows("console: its input has ended; the rest goes on");
        tmux.presses("C-c");
        tmux.shows("stopping\n$");
    }

    #[test]
    fn ctrl_c_stops_it_and_the_terminal_is_as_before() {
        let Some(tmux) = Tmux::start("interrupt", 80) else { return };
        tmux.types(PATH);
        tmux.shows("\n>");
        tmux.types("say half a line");
        tmux.run(&["send-keys", "-l", "and another"]).unwrap();
        tmux.presses("C-c");
        tmux.shows("stopping\n\n$");
        // Left non-blocking, the next program would read nothing, and say so.
        tmux.types("cat");
        tmux.types("meow");
        tmux.shows("meow\nmeow");
        tmux.presses("C-d");
        tmux.types("echo end=$?=");
        tmux.shows("end=0=");
    }

    /// With its output elsewhere, nobody would see a prompt.
    #[test]
    fn there_is_no_prompt_where_nobody_sees_it() {
        let Some(tmux) = Tmux::start("quiet", 80) else { return };
        tmux.types(&format!("{PATH} | cat"));
        tmux.shows("listening on");
        tmux.types("who");
        tmux.shows("nobody is here");
        assert!(!tmux.screen().contains("> "), "{}", tmux.screen());
    }

    /// What is typed is for the shell: a read fails with EIO, and the line stays ready.
    #[test]
    fn in_the_background_it_leaves_the_terminal_to_the_shell_and_comes_back() {
        let Some(tmux) = Tmux::start("background", 120) else { return };
        tmux.types(&format!("{PATH} &"));
        tmux.shows("listening on");
        let job = tmux.last_job();
        // A program in front that doesn't read: the line lies there, ready.
        tmux.types("sleep 4");
        tmux.types("true");
        assert_sleeps(job);
        let state = fs::read_to_string(format!("/proc/{job}/stat")).unwrap();
        assert!(!state.contains(") T "), "stopped: {state}");
        tmux.types("jobs");
        tmux.shows("Running");
        tmux.types("fg");
        tmux.types("who");
        tmux.shows("nobody is here");
        tmux.types("stop");
        tmux.shows("stopping\n>\n$");
    }

    #[test]
    fn a_terminal_that_is_gone_ends_only_the_console() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let Some(tmux) = Tmux::start("gone", 80) else { return };
        // Out of the session's reach: a hang-up's signal would end it.
        let command = format!("trap '' HUP; {PATH} 2> {}", log.display());
        tmux.types(&command);
        tmux.shows("\n>");
        let job = process_that_writes_to(&log);
        drop(tmux);
        let log = || fs::read_to_string(&log).unwrap_or_default();
        wait_until("it says that its terminal is gone", || log().contains("console: "));
        assert!(log().contains("console: its input has ended; the rest goes on"), "{}", log());
        assert_sleeps(job);
        let pid = nix::unistd::Pid::from_raw(i32::try_from(job).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    }

    fn process_that_writes_to(log: &Path) -> u32 {
        let writes = |pid: &u32| {
            let descriptors = format!("/proc/{pid}/fd/2");
            let program = fs::read_link(format!("/proc/{pid}/exe"));
            fs::read_link(descriptors).is_ok_and(|open| open == log)
                && program.is_ok_and(|program| program.ends_with("front12"))
        };
        let all = fs::read_dir("/proc").unwrap().flatten();
        all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(writes).unwrap()
    }
}
