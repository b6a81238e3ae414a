//! The graded checks of chapter 5. For `both`, the check tells a command what to do; for `proxy`, it plays the
//! visitor and the server.

use std::thread;
use std::time::{Duration, Instant};

use grader::check;
use grader::check::{Check, Server};
use rstest::rstest;
use visitors::calls::family;
use visitors::program::{LOOK_EVERY, Program, Trouble, Watch};

/// The first and the last of `bytes`, readable.
fn shown(bytes: &[u8]) -> String {
    let text = |bytes: &[u8]| format!("\"{}\"", bytes.escape_ascii());
    match bytes.len() {
        0 => "nothing".to_owned(),
        1..=200 => text(bytes),
        count => {
            let (first, last) = (text(&bytes[..60]), text(&bytes[count - 60..]));
            format!("{first} … {last} ({count} bytes)")
        }
    }
}

mod both {
    use super::*;
    use std::collections::BTreeMap;
    use std::fs::{self, File, OpenOptions};
    use std::io::{self, Read, Write};
    use std::net::Ipv4Addr;
    use std::os::fd::AsFd;
    use std::os::unix::fs::OpenOptionsExt;
    use std::path::{Path, PathBuf};
    use std::process;
    use std::sync::atomic::{AtomicU32, Ordering};

    use grader::bytes::{Call, Outcome};
    use nix::libc;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    /// A program that talks to nobody is given so long to notice.
    const GONE_WITHIN: Duration = Duration::from_secs(10);

    /// The judged program may sleep this long while the command, which is another program, is at work.
    const COMMAND_AT_WORK: Duration = Duration::from_secs(5);

    /// The judged program and its command: a shell that does what it is told.
    ///
    /// It is told through a named pipe and answers through another. When nobody holds their other ends
    /// any more, the shell ends by itself.
    struct Play<'a> {
        check: &'a Check,
        /// The judged program. It is no server, and its address is nobody's.
        judged: Server<'a>,
        orders: File,
        done: File,
        folder: PathBuf,
    }

    impl Drop for Play<'_> {
        fn drop(&mut self) {
            // Before they are closed: a shell that comes too late must find no pipe to wait at.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }

    /// A folder of this check alone.
    fn folder() -> PathBuf {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("check05-both-{}-{number}", process::id());
        let folder = std::env::temp_dir().join(name);
        // One with this name is from a process that is long gone.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).expect("the folder for temporary files can be written");
        folder
    }

    /// A named pipe, open at both of its ends: whoever opens it next doesn't wait.
    fn named_pipe(path: &Path) -> File {
        mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).expect("a named pipe can be made");
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_NONBLOCK);
        options.open(path).expect("it was made a moment ago")
    }

    /// Starts the program with a command that waits for orders.
    #[track_caller]
    fn play(check: &Check) -> Play<'_> {
        let folder = folder();
        let (orders_path, done_path) = (folder.join("orders"), folder.join("done"));
        let (orders, done) = (named_pipe(&orders_path), named_pipe(&done_path));
        let program = check.start(&["sh", &orders_path.to_string_lossy()]);
        let judged = Server { check, program, address: (Ipv4Addr::LOCALHOST, 0).into() };
        let mut play = Play { check, judged, orders, done, folder };
        // Not opened anew each time: the pipe must stay open as long as the shell lives, and no longer.
        play.order(&format!("exec 9>'{}'", done_path.display()));
        play.does("", "at the beginning");
        play
    }

    impl Play<'_> {
        /// Tells the command to do something, and doesn't wait for it.
        fn order(&mut self, order: &str) {
            // A few bytes; should the shell be gone, what comes next tells.
            let _ = self.orders.write_all(format!("{order}\n").as_bytes());
        }

        /// Has the command do something, and waits until it is done: what it writes is in the pipes then.
        #[track_caller]
        fn does(&mut self, order: &str, when: &str) {
            self.order(&format!("{order}\necho done >&9"));
            let mut watch = Watch::new(&self.judged.program);
            let began = Instant::now();
            let mut answer = [0; 64];
            // `read` doesn't wait here.
            while !matches!(self.done.read(&mut answer), Ok(count) if count > 0) {
                match watch.trouble() {
                    None => {}
                    Some(Trouble::Asleep { .. }) if began.elapsed() < COMMAND_AT_WORK => {}
                    Some(trouble) => {
                        let expected = format!("{when}, the command was to get on with its work");
                        self.check.fail_for(&expected, &trouble);
                    }
                }
                let mut list = [PollFd::new(self.done.as_fd(), PollFlags::POLLIN)];
                let time = u16::try_from(LOOK_EVERY.as_millis()).unwrap_or(u16::MAX);
                // Interrupted or not: the pipe is looked at next.
                let _ = poll(&mut list, PollTimeout::from(time));
            }
        }

        /// The program has to print this line, among others.
        #[track_caller]
        fn prints(&self, line: &str, when: &str) {
            if let Err(trouble) = self.judged.program.prints(|printed| printed == line) {
                let printed = shown(&self.judged.program.stdout());
                let expected =
                    format!("{when}, the line {line:?} was to come out ({printed} came out)");
                self.check.fail_for(&expected, &trouble);
            }
        }

        /// The program has to have printed this and nothing else, when it has done what it can do.
        #[track_caller]
        fn has_printed(&self, expected: &str, when: &str) {
            self.settles(when);
            self.compare(expected.as_bytes(), when);
        }

        #[track_caller]
        fn compare(&self, expected: &[u8], when: &str) {
            compare(self.check, &self.judged.program.stdout(), expected, when);
        }

        /// The program has to wait, and to use no CPU time.
        #[track_caller]
        fn settles(&self, when: &str) {
            if let Err(trouble) = self.judged.program.settled() {
                self.check.fail_for(&format!("{when}, your program was to wait"), &trouble);
            }
        }

        /// The command closes its pipes, and ends in this way; the program has to end as well.
        #[track_caller]
        fn ends_by(&mut self, order: &str, when: &str) -> i32 {
            self.order("exec >&- 2>&-");
            self.order(order);
            self.ended(when)
        }

        /// The program has to end; here is its status.
        #[track_caller]
        fn ended(&mut self, when: &str) -> i32 {
            ended(self.check, &self.judged.program, when)
        }

        /// The command ends well; the program has to end with status 0, and to have printed just this.
        #[track_caller]
        fn ends_well(&mut self, expected: &[u8], when: &str) {
            let status = self.ends_by("exit 0", when);
            self.ended_well(status, expected, when);
        }

        #[track_caller]
        fn ended_well(&self, status: i32, expected: &[u8], when: &str) {
            self.compare(expected, when);
            if status != 0 {
                let trouble = self.judged.program.ended_with().expect("it has ended");
                let expected = format!("{when}, your program was to end with status 0");
                self.check.fail_for(&expected, &trouble);
            }
        }
    }

    /// The program has to end; here is its status.
    #[track_caller]
    fn ended(check: &Check, judged: &Program, when: &str) -> i32 {
        let began = Instant::now();
        let mut ended = judged.ended();
        while matches!(ended, Err(Trouble::Asleep { .. })) && began.elapsed() < COMMAND_AT_WORK {
            ended = judged.ended();
        }
        let expected = format!("{when}, your program was to end");
        let code = match ended {
            Err(trouble) => check.fail_for(&expected, &trouble),
            Ok(status) => status.code(),
        };
        // A program whose part isn't written yet ends early.
        let unwritten = |line: &String| line.contains("not yet implemented");
        match code {
            Some(code) if !judged.stderr().iter().any(unwritten) => code,
            _ => {
                let trouble = judged.ended_with().expect("it has ended");
                check.fail_for(&expected, &trouble);
            }
        }
    }

    /// Has the program hear a command that asks for nothing; it has to end with status 0, and to have printed just this.
    #[track_caller]
    fn hears(check: &Check, command: &[&str], expected: &[u8], when: &str) {
        let judged = check.start(command);
        let status = ended(check, &judged, when);
        compare(check, &judged.stdout(), expected, when);
        if status != 0 {
            let trouble = judged.ended_with().expect("it has ended");
            check.fail_for(&format!("{when}, your program was to end with status 0"), &trouble);
        }
    }

    /// Says which line that came out isn't the one that was to come.
    #[track_caller]
    fn compare(check: &Check, printed: &[u8], expected: &[u8], when: &str) {
        if printed == expected {
            return;
        }
        let lines = |bytes: &[u8]| -> Vec<Vec<u8>> {
            bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
        };
        let (came, wanted) = (lines(printed), lines(expected));
        let same = came.iter().zip(&wanted).take_while(|(came, wanted)| came == wanted).count();
        let line = |lines: &[Vec<u8>]| {
            lines.get(same).map_or("nothing more".to_owned(), |line| shown(line))
        };
        check.fail(format!(
            "{when}, line {} of {} that came out is wrong\ncame:     {}\nexpected: {}",
            same + 1,
            wanted.len(),
            line(&came),
            line(&wanted)
        ));
    }

    /// What `printf` needs to write these bytes.
    fn octal(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("\\{byte:03o}")).collect()
    }

    /// A pipe, and the other one: what the program calls them, and what the shell does.
    #[derive(Clone, Copy)]
    struct Way {
        name: &'static str,
        /// What sends an order's output there.
        to: &'static str,
        /// What closes it.
        close: &'static str,
    }

    const OUT: Way = Way { name: "out", to: ">&1", close: "exec >&-" };
    const ERR: Way = Way { name: "err", to: ">&2", close: "exec 2>&-" };

    #[test]
    fn each_line_gets_its_name() {
        let check = check!("05-both");
        check.suspect("pollin-alone");
        let mut play = play(&check);
        play.does("echo good morning", "at the beginning");
        play.prints("out: good morning", "after a line on stdout");
        play.does("echo good evening >&2", "after a line on stdout");
        play.prints("err: good evening", "after a line on stderr");
        play.ends_well(
            b"out: good morning\nerr: good evening\n",
            "after a line on each pipe, and the end of both",
        );
    }

    #[rstest]
    #[case::on_stdout(OUT)]
    #[case::on_stderr(ERR)]
    fn a_line_comes_out_while_the_other_pipe_is_silent(#[case] way: Way) {
        let check = check!("05-both");
        check.suspect("reads-on-without-asking");
        let mut play = play(&check);
        let mut expected = String::new();
        for number in ["one", "two", "three"] {
            let when =
                format!("after line {number} on std{}, with the other pipe silent", way.name);
            play.does(&format!("echo {number} {}", way.to), &when);
            play.prints(&format!("{}: {number}", way.name), &when);
            expected += &format!("{}: {number}\n", way.name);
        }
        play.ends_well(expected.as_bytes(), "after three lines on one pipe");
    }

    #[test]
    fn a_silent_command_costs_no_processor_time() {
        let check = check!("05-both");
        check.suspect("waits-for-a-while-only");
        let mut play = play(&check);
        play.settles("with a command that says nothing");
        play.does("echo after a while", "with a command that says nothing");
        play.prints("out: after a while", "after a silence");
        play.settles("with a command that says nothing more");
        let lens = play.judged.lens();
        play.judged.takes_no_naps(lens.as_ref(), "with a command that says nothing more");
        play.ends_well(b"out: after a while\n", "after a silence");
    }

    #[rstest]
    #[case::on_stdout(OUT)]
    #[case::on_stderr(ERR)]
    fn a_line_in_pieces(#[case] way: Way) {
        let check = check!("05-both");
        check.suspect("a-read-for-a-line");
        let mut play = play(&check);
        let when = format!("after half a line on std{}", way.name);
        for piece in ["h", "alf a ", "line"] {
            play.does(&format!("printf '{piece}' {}", way.to), &when);
            play.has_printed("", &when);
        }
        play.does(&format!(r"printf '\nand an' {}", way.to), &when);
        let line = format!("{}: half a line\n", way.name);
        play.prints(line.trim_end(), "after the line end");
        play.has_printed(&line, "after a line end, and half of the next line");
        play.does(&format!("echo other {}", way.to), &when);
        let both = format!("{line}{}: and another\n", way.name);
        play.ends_well(both.as_bytes(), "after two lines in pieces");
    }

    #[rstest]
    #[case::on_stdout(OUT)]
    #[case::on_stderr(ERR)]
    fn several_lines_at_once(#[case] way: Way) {
        let check = check!("05-both");
        check.suspect("one-line-of-each-read");
        let mut play = play(&check);
        let when = "after four lines in one piece";
        play.does(&format!(r"printf 'one\ntwo\n\nfour\nfi' {}", way.to), when);
        let name = way.name;
        play.prints(&format!("{name}: four"), when);
        let four = format!("{name}: one\n{name}: two\n{name}: \n{name}: four\n");
        play.has_printed(&four, when);
        play.does(&format!("echo ve {}", way.to), when);
        play.ends_well(format!("{four}{name}: five\n").as_bytes(), "after five lines");
    }

    #[test]
    fn half_a_line_on_each() {
        let check = check!("05-both");
        check.suspect("one-place-for-both");
        let mut play = play(&check);
        let when = "after half a line on each pipe";
        play.does("printf 'to be '", when);
        play.has_printed("", when);
        play.does("printf 'file not ' >&2", when);
        play.has_printed("", when);
        play.does("echo or not", when);
        play.prints("out: to be or not", "after the rest of the line on stdout");
        play.does("echo found >&2", when);
        play.ends_well(
            b"out: to be or not\nerr: file not found\n",
            "after a line on each pipe, the one within the other",
        );
    }

    #[rstest]
    #[case::stdout_ends(OUT, ERR)]
    #[case::stderr_ends(ERR, OUT)]
    fn one_ends_and_the_other_goes_on(#[case] ends: Way, #[case] goes_on: Way) {
        let check = check!("05-both");
        check.suspect("ended-pipe-stays-in-the-list");
        let mut play = play(&check);
        let when =
            format!("with std{} closed by the command, and std{} open", ends.name, goes_on.name);
        play.does(&format!("echo my last {}", ends.to), "at the beginning");
        let mut expected = format!("{}: my last\n", ends.name);
        play.prints(expected.trim_end(), "after a line");
        play.does(ends.close, &when);
        play.settles(&when);
        for number in ["one", "two"] {
            play.does(&format!("echo {number} {}", goes_on.to), &when);
            play.prints(&format!("{}: {number}", goes_on.name), &when);
            expected += &format!("{}: {number}\n", goes_on.name);
        }
        play.settles(&when);
        play.ends_well(expected.as_bytes(), "after the one pipe ended, and then the other");
    }

    #[rstest]
    #[case::on_stdout(OUT)]
    #[case::on_stderr(ERR)]
    fn last_words_without_a_line_end(#[case] way: Way) {
        let check = check!("05-both");
        check.suspect("last-words-lost");
        let mut play = play(&check);
        play.does(&format!(r"printf 'a line\nlast words' {}", way.to), "at the beginning");
        let name = way.name;
        let line = format!("{name}: a line\n");
        play.prints(line.trim_end(), "after a line, and words without a line end");
        play.has_printed(&line, "after a line, and words without a line end");
        let when = format!("after last words on std{name} without a line end");
        play.does(way.close, &when);
        // The other pipe is still open.
        play.prints(&format!("{name}: last words"), &when);
        play.ends_well(format!("{line}{name}: last words\n").as_bytes(), &when);
    }

    #[rstest]
    #[case::a_few(OUT, 10)]
    #[case::many(OUT, 20_000)]
    #[case::a_few_on_stderr(ERR, 10)]
    #[case::many_on_stderr(ERR, 60_000)]
    fn last_words_and_the_hang_up_at_once(#[case] way: Way, #[case] length: usize) {
        let check = check!("05-both");
        check.suspect("hang-up-for-the-end");
        let mut play = play(&check);
        let words = "x".repeat(length);
        fs::write(play.folder.join("words"), &words).expect("the folder can be written");
        let when = format!("after {length} bytes and the end of both pipes at once");
        // The program sleeps meanwhile: when it looks, all has been said, and nobody is there any more.
        play.judged.program.stop();
        let say = format!("cat '{}' {}", play.folder.join("words").display(), way.to);
        play.does(&format!("{say}; exec >&- 2>&-"), &when);
        play.judged.program.go_on();
        play.ends_well(format!("{}: {words}\n", way.name).as_bytes(), &when);
    }

    #[rstest]
    #[case::on_stdout(OUT, ERR)]
    #[case::on_stderr(ERR, OUT)]
    fn exactly_what_a_buffer_holds(#[case] full: Way, #[case] other: Way) {
        let check = check!("05-both");
        check.suspect("reads-on-without-asking");
        let mut play = play(&check);
        // A multiple of what buffers usually hold.
        let words = "x".repeat(32 * 1024);
        let file = play.folder.join("words");
        fs::write(&file, &words).expect("the folder can be written");
        let when = format!("after 32 KiB without a line end on std{}", full.name);
        // The program sleeps until all of it is there.
        play.judged.program.stop();
        play.does(&format!("cat '{}' {}", file.display(), full.to), &when);
        play.judged.program.go_on();
        play.has_printed("", &when);
        play.does(&format!("echo well {}", other.to), &when);
        play.prints(&format!("{}: well", other.name), &when);
        let expected = format!("{}: well\n{}: {words}\n", other.name, full.name);
        play.ends_well(expected.as_bytes(), &when);
    }

    #[test]
    fn more_than_a_pipe_holds_on_each() {
        let check = check!("05-both");
        check.suspect("one-pipe-and-then-the-other");
        let mut play = play(&check);
        let mut all = Vec::new();
        for way in [OUT, ERR] {
            // Lines of all lengths up to 300 bytes, 1 MiB of them.
            let line = |number: usize| format!("{number}{}", "-".repeat(number * 7 % 300));
            let lines: Vec<String> = (0..6800).map(line).collect();
            let text = lines.join("\n") + "\n";
            fs::write(play.folder.join(way.name), text).expect("the folder can be written");
            all.push((way.name, lines));
        }
        let file = |name| format!("'{}'", play.folder.join(name).display());
        let order = format!("cat {} >&2; cat {}", file("err"), file("out"));
        let when = "after 1 MiB on each pipe";
        play.does(&order, when);
        let status = play.ends_by("exit 0", when);
        let printed = String::from_utf8_lossy(&play.judged.program.stdout()).into_owned();
        for (name, lines) in all {
            let prefix = format!("{name}: ");
            let came: Vec<&str> =
                printed.lines().filter_map(|line| line.strip_prefix(&prefix)).collect();
            if came != lines {
                let same = came.iter().zip(&lines).take_while(|(came, line)| came == line).count();
                let (came, sent) = (came.len(), lines.len());
                check.fail(format!(
                    "{when}, what came out of std{name} isn't what went in: {came} lines, and not {sent}, of which the first \
                     {same} are right"
                ));
            }
        }
        if status != 0 {
            check.fail(format!("{when}, your program ended with status {status}"));
        }
    }

    #[rstest]
    #[case::on_stdout(OUT)]
    #[case::on_stderr(ERR)]
    fn lines_of_all_kinds(#[case] way: Way) {
        let check = check!("05-both");
        let lines: [(&[u8], &str); 17] = [
            (b"caf\xe9 \xff", "text-for-bytes"),
            (b"\xc3", "text-for-bytes"),
            ("naïve".as_bytes(), "text-for-bytes"),
            (b"a zero \0 within", "other-line-ends"),
            (b"\0", "other-line-ends"),
            (b"50 %\r100 %", "other-line-ends"),
            (b"a\x0bb\x0cc\x1ed\xe2\x80\xa8e", "other-line-ends"),
            (b"with two line ends\r", "line-trimmed"),
            (b"\r", "line-trimmed"),
            (b"  in front", "line-trimmed"),
            (b"behind \t", "line-trimmed"),
            (b"\t", "line-trimmed"),
            (b"   ", "line-trimmed"),
            (b"", "empty-lines-dropped"),
            (b"", "empty-lines-dropped"),
            (b"0", "line-trimmed"),
            (b"out: err: \\n", "line-trimmed"),
        ];
        // All of them, each by itself, on one pipe. The last one stands behind an empty line and in front of one.
        for (line, cause) in lines {
            check.suspect(cause);
            let all = [line, b"\n\n", line, b"\n"].concat();
            let order = format!("printf '{}' {}", octal(&all), way.to);
            let when = format!("after the line {}, an empty one, and the same again", shown(line));
            let name = way.name.as_bytes();
            let expected =
                [name, b": ", line, b"\n", name, b": \n", name, b": ", line, b"\n"].concat();
            hears(&check, &["sh", "-c", &order], &expected, &when);
        }
    }

    #[rstest]
    #[case::on_stdout(OUT)]
    #[case::on_stderr(ERR)]
    fn last_words_of_all_kinds(#[case] way: Way) {
        let check = check!("05-both");
        let words: [(&[u8], &[u8]); 11] = [
            (b"", b"x"),
            (b"", b"0"),
            (b"", b" "),
            (b"", b"\t \x0c"),
            (b"", b"\r"),
            (b"", b"\0"),
            (b"", b"\xc3"),
            (b"a line\n", b" "),
            (b"a line\n\n", b"."),
            (b"a line\n", b""),
            (b"a line\n\n", b""),
        ];
        for (before, words) in words {
            check.suspect(match words.trim_ascii() {
                _ if words.is_empty() => "nothing-for-a-line",
                b"" => "last-words-of-blanks",
                _ => "last-words-lost",
            });
            let all = [before, words].concat();
            let order = format!("printf '{}' {}", octal(&all), way.to);
            let when = format!("after {}, and the end", shown(&all));
            let name = way.name.as_bytes();
            let mut expected = Vec::new();
            for line in all.split_inclusive(|byte| *byte == b'\n') {
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                expected.extend([name, b": ", line, b"\n"].concat());
            }
            hears(&check, &["sh", "-c", &order], &expected, &when);
        }
        check.suspect("nothing-for-a-line");
        hears(&check, &["true"], b"", "after a command that says nothing at all");
    }

    #[test]
    fn last_words_on_both_at_once() {
        let check = check!("05-both");
        check.suspect("one-end-ends-both");
        let mut play = play(&check);
        let when = "after last words on both pipes, and the end of both at once";
        play.judged.program.stop();
        play.does("printf 'a line\nso long'; printf 'a line\ngood night' >&2; exec >&- 2>&-", when);
        play.judged.program.go_on();
        let status = play.ends_by("exit 0", when);
        let printed = play.judged.program.stdout();
        // In which order the pipes are heard is the program's business.
        for (way, expected) in
            [(OUT, "out: a line\nout: so long\n"), (ERR, "err: a line\nerr: good night\n")]
        {
            let its_own = |line: &&[u8]| line.starts_with(way.name.as_bytes());
            let lines = printed.split_inclusive(|byte| *byte == b'\n').filter(its_own);
            let when = format!("{when}, looking at std{}", way.name);
            compare(&check, &lines.collect::<Vec<_>>().concat(), expected.as_bytes(), &when);
        }
        if status != 0 {
            check.fail(format!("{when}, your program ended with status {status}"));
        }
    }

    #[rstest]
    #[case::on_stdout(OUT)]
    #[case::on_stderr(ERR)]
    fn line_ends_at_the_edges_of_a_read(#[case] way: Way) {
        let check = check!("05-both");
        check.suspect("line-broken-at-a-read");
        let mut play = play(&check);
        // The last byte that a read brings, or the first of the next one; two of them with the edge in between.
        let mut bytes = vec![b'x'; 40_000];
        for at in [1023, 4095, 8192, 12_287, 12_288, 16_383, 16_385, 32_767, 32_769, 39_999] {
            bytes[at] = b'\n';
        }
        let file = play.folder.join("lines");
        fs::write(&file, &bytes).expect("the folder can be written");
        let when = format!("after ten lines in 40,000 bytes on std{}", way.name);
        play.judged.program.stop();
        play.does(&format!("cat '{}' {}", file.display(), way.to), &when);
        play.judged.program.go_on();
        let line = |line: &[u8]| [way.name.as_bytes(), b": ", line].concat();
        let lines = bytes.split_inclusive(|byte| *byte == b'\n').map(line);
        play.ends_well(&lines.collect::<Vec<_>>().concat(), &when);
    }

    #[rstest]
    #[case::stdout_ends(OUT, ERR)]
    #[case::stderr_ends(ERR, OUT)]
    fn one_ends_as_the_other_speaks(#[case] ends: Way, #[case] other: Way) {
        let check = check!("05-both");
        check.suspect("list-and-pipes-out-of-step");
        let mut play = play(&check);
        let when =
            format!("after std{} ended and std{} spoke, both at once", ends.name, other.name);
        play.settles(&when);
        play.judged.program.stop();
        play.does(&format!("echo one {}; {}", other.to, ends.close), &when);
        play.judged.program.go_on();
        play.prints(&format!("{}: one", other.name), &when);
        play.settles(&when);
        play.does(&format!("echo two {}", other.to), &when);
        let expected = format!("{0}: one\n{0}: two\n", other.name);
        play.ends_well(expected.as_bytes(), &when);
    }

    #[rstest]
    #[case::well("exit 0", 0)]
    #[case::with_an_error("exit 3", 3)]
    #[case::by_a_signal("kill -TERM $$", 143)]
    fn the_commands_status_is_passed_on(#[case] order: &str, #[case] expected: i32) {
        let check = check!("05-both");
        check.suspect("ends-the-program-itself");
        let mut play = play(&check);
        let when = format!("after the command's {order:?}");
        play.does("echo something", "at the beginning");
        let status = play.ends_by(order, &when);
        play.compare(b"out: something\n", &when);
        if status != expected {
            check
                .fail(format!("{when}, your program ended with {status}, and not with {expected}"));
        }
        let missing = check.start(&["/a/command/that/is/not/there"]);
        match missing.ended().map(|status| status.code()) {
            Ok(Some(127)) if missing.stderr().len() == 1 => {}
            Ok(_) => {
                let trouble = missing.ended_with().expect("it has ended");
                check.fail_for(
                    "with a command that isn't there, one line and status 127 were to come",
                    &trouble,
                );
            }
            Err(trouble) => {
                check.fail_for("with a command that isn't there, your program was to end", &trouble)
            }
        }
    }

    #[test]
    fn whoever_is_ready_is_heard() {
        let check = check!("05-both");
        check.suspect("hears-one-a-turn");
        let mut play = play(&check);
        let lens = play.judged.lens();
        let when = "after 30 KB on each pipe, both at once";
        play.settles(when);
        // The program sleeps meanwhile: it finds both at once.
        play.judged.program.stop();
        // More than one read brings.
        let line = "-".repeat(299);
        let order = format!("for n in $(seq 100); do echo {line}; done");
        play.does(&format!("{order}; echo one; ({order}; echo two) >&2"), when);
        play.judged.program.go_on();
        play.prints("out: one", when);
        play.prints("err: two", when);
        play.settles(when);
        let Some(lens) = lens else {
            return visitors::skipped("there is no lens here to look through");
        };
        let calls = lens.calls();
        let is_poll = |call: &str| family(call) == "poll";
        let Some(told) = calls.iter().position(|call| is_poll(&call.call) && call.ready.len() == 2)
        else {
            return visitors::skipped("nothing here tells what poll said");
        };
        let turn = calls[told + 1..].iter().take_while(|call| !is_poll(&call.call));
        let reads = turn.filter(|call| family(&call.call) == "read");
        let mut heard: BTreeMap<_, usize> = BTreeMap::new();
        reads.for_each(|call| *heard.entry(call.descriptor).or_default() += 1);
        if heard.len() < 2 {
            let heard = heard.len();
            check.fail(format!(
                "{when}, poll said that both can be read, and {heard} of them was read before poll was asked again"
            ));
        }
        if let Some(times) = heard.values().max().filter(|times| **times > 1) {
            check.suspect("reads-on-without-asking");
            check.fail(format!(
                "{when}, one of them was read {times} times in a row, before poll was asked again and the other was heard"
            ));
        }
    }

    #[rstest]
    #[case::on_stdout(OUT)]
    #[case::on_stderr(ERR)]
    fn a_long_line(#[case] way: Way) {
        let check = check!("05-both");
        check.suspect("long-lines-cut");
        let mut play = play(&check);
        let line = "x".repeat(300_000);
        fs::write(play.folder.join("line"), format!("{line}\n"))
            .expect("the folder can be written");
        let when = format!("after a line of 300,000 bytes on std{}", way.name);
        play.does(&format!("cat '{}' {}", play.folder.join("line").display(), way.to), &when);
        play.ends_well(format!("{}: {line}\n", way.name).as_bytes(), &when);
    }

    /// `say` writes each line in one piece, as long as there is room for it in the pipe.
    #[rstest]
    #[case::on_stdout(OUT)]
    #[case::on_stderr(ERR)]
    fn each_line_is_said_by_itself(#[case] way: Way) {
        /// Our own stdout.
        const STDOUT: i64 = 1;
        let check = check!("05-both");
        check.suspect("lines-said-without-say");
        let mut play = play(&check);
        let lens = play.judged.lens();
        let file = play.folder.join("lines");
        // (The long one is longer than what a `LineWriter` keeps. All of them fit into one read.)
        let long = "x".repeat(3000);
        let lines = ["one", "two", "", &long, "five"];
        fs::write(&file, lines.join("\n") + "\nand").expect("the folder can be written");
        let when = format!("after five lines in one piece on std{}, one of 3,000 bytes", way.name);
        play.settles(&when);
        play.does(&format!("cat '{}' {}", file.display(), way.to), &when);
        play.prints(&format!("{}: five", way.name), &when);
        play.settles(&when);
        // These are last words.
        play.does(way.close, &when);
        play.prints(&format!("{}: and", way.name), &when);
        play.settles(&when);
        let Some(lens) = lens else {
            return visitors::skipped("there is no lens here to look through");
        };
        let said = |call: &Call| match call.outcome {
            Outcome::Result(count)
                if family(&call.call) == "write" && call.descriptor == Some(STDOUT) =>
            {
                usize::try_from(count).ok()
            }
            _ => None,
        };
        let came: Vec<usize> = lens.calls().iter().filter_map(said).collect();
        let lines = lines.iter().chain(&["and"]);
        let expected: Vec<usize> = lines.map(|line| format!("out: {line}\n").len()).collect();
        if came != expected {
            check.fail(format!(
                "{when}, and last words, your program wrote pieces of {came:?} bytes: `say` writes a line each, {expected:?}"
            ));
        }
    }

    #[test]
    fn a_signal_changes_nothing() {
        let check = check!("05-both");
        check.suspect("signal-for-an-error");
        let mut play = play(&check);
        let when = "after a signal came while it waited";
        let mut expected = String::new();
        // Each pipe has said half a line, and nothing is in it. (A program that handles no signal goes on.)
        loop {
            play.does("printf we; printf go >&2", when);
            play.settles("with a command that has said half a line");
            if !play.judged.program.handles_a_signal() {
                break;
            }
            play.settles(when);
            // One who reads a pipe without being told to is held up by the one, and doesn't hear the other.
            for (order, line) in
                [("echo od >&2", "err: good"), ("echo od >&2", "err: od"), ("echo ll", "out: well")]
            {
                play.does(order, when);
                expected += &format!("{line}\n");
                play.has_printed(&expected, when);
            }
        }
        play.ends_well(format!("{expected}out: we\nerr: go\n").as_bytes(), when);
    }

    #[test]
    fn nothing_is_kept_of_a_line() {
        /// So many times a file of 1 MiB.
        const BEFORE: usize = 2;
        const AFTER: usize = 8;
        /// How much more memory is nothing kept, in bytes.
        const LITTLE: u64 = 256 * 1024;
        let check = check!("05-both");
        check.suspect("keeps-what-it-has-said");
        let mut play = play(&check);
        let file = play.folder.join("lines");
        // (Half a line is left of each.)
        let lines = format!("{}\n", "x".repeat(510)).repeat(2048) + "half a line";
        fs::write(&file, lines).expect("the folder can be written");
        let memory_after = |times, play: &mut Play<'_>| {
            let when = "with many lines on both pipes";
            for _ in 0..times {
                play.does(&format!("cat '{0}'; cat '{0}' >&2", file.display()), when);
            }
            play.settles(when);
            play.judged.program.usage().map(|usage| usage.resident)
        };
        let before = memory_after(BEFORE, &mut play);
        let after = memory_after(AFTER, &mut play);
        let grown = after.zip(before).map_or(0, |(after, before)| after.saturating_sub(before));
        if grown > LITTLE {
            check.fail(format!(
                "after {AFTER} MiB of short lines had been passed on, your program needs {} KiB more memory",
                grown / 1024
            ));
        }
    }

    #[rstest]
    #[case::of_a_line("echo well")]
    #[case::of_a_line_on_stderr("echo well >&2")]
    #[case::of_many_lines("while :; do echo well; done")]
    #[case::of_last_words("printf well")]
    #[case::of_last_words_on_stderr("printf well >&2")]
    fn nobody_reads_what_comes_out(#[case] order: &str) {
        let check = check!("05-both");
        check.suspect("error-of-say-passed-over");
        // Whoever would read it is gone before it begins.
        let (reader, writer) = io::pipe().expect("there are descriptors left");
        drop(reader);
        can_not_be_said(&check, order, writer.into(), "with nobody who reads its stdout");
        // Nothing can be written there: the disk is full.
        if let Ok(full) = OpenOptions::new().write(true).open("/dev/full") {
            can_not_be_said(&check, order, full.into(), "with its stdout on a disk that is full");
        }
    }

    /// The program has to end with status 1 when it can't say what the command has said.
    #[track_caller]
    fn can_not_be_said(check: &Check, order: &str, stdout: process::Stdio, when: &str) {
        let mut command = process::Command::new(check.program());
        command.args(["sh", "-c", order]).env("RUST_BACKTRACE", "0");
        command.stdout(stdout).stderr(process::Stdio::piped());
        let mut judged = command.spawn().expect("it could be started before");
        let deadline = Instant::now() + GONE_WITHIN;
        let status = loop {
            match judged.try_wait() {
                Ok(None) if Instant::now() < deadline => thread::sleep(LOOK_EVERY),
                status => break status.ok().flatten(),
            }
        };
        // Ended by itself, it can't be killed.
        let _ = judged.kill().and_then(|()| judged.wait());
        let mut words = String::new();
        // What can't be read wasn't said.
        let _ = judged.stderr.take().map(|mut stderr| stderr.read_to_string(&mut words));
        if words.contains("not yet implemented") {
            check.suspect("not-written-yet");
        }
        let when = format!("{when}, and the command {order:?}");
        match status.map(|status| status.code()) {
            Some(Some(1)) => {}
            Some(status) => {
                let status = status.map_or("by a signal".to_owned(), |code| format!("with {code}"));
                check.fail(format!(
                    "{when}, your program was to end with status 1 and a word about it; it ended {status}: {words}"
                ))
            }
            None => check.fail(format!("{when}, your program goes on, and talks to nobody")),
        }
    }

    #[rstest]
    #[case::both_open("")]
    #[case::stdout_has_ended("exec >&-")]
    #[case::stderr_has_ended("exec 2>&-")]
    fn one_line_waits(#[case] before: &str) {
        let check = check!("05-both");
        check.suspect("waits-elsewhere");
        let mut play = play(&check);
        let lens = play.judged.lens();
        let when = match before {
            "" => "with a command that speaks now and then".to_owned(),
            _ => format!("with a command that speaks now and then, after {before:?}"),
        };
        play.does(before, &when);
        let mut expected = String::new();
        let ways = [OUT, ERR, ERR, OUT];
        for way in ways.iter().filter(|way| way.close != before) {
            play.settles(&when);
            // Half a line is something to be kept, and nothing to be waited for elsewhere.
            play.does(&format!("printf 'we' {}", way.to), &when);
            play.settles(&when);
            play.does(&format!("echo ll {}", way.to), &when);
            play.prints(&format!("{}: well", way.name), &when);
            expected += &format!("{}: well\n", way.name);
        }
        play.settles(&when);
        play.judged.waits_only_in(lens.as_ref(), &["poll"], &when);
        play.judged.takes_no_naps(lens.as_ref(), &when);
        play.ends_well(expected.as_bytes(), &when);
    }
}

mod proxy {
    use super::*;
    use grader::check::so_far;
    use std::fs;
    use std::io::{ErrorKind, Write};
    use std::net::{Ipv4Addr, SocketAddr};
    use std::os::fd::{AsRawFd, OwnedFd};

    use grader::bytes::{between_when_still, narrow_visitor};
    use nix::sys::signal::{Signal, kill};

    use nix::sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockType, SockaddrIn, bind, getsockname, setsockopt,
        socket, sockopt,
    };
    use nix::unistd::Pid;
    use visitors::connection::{Connection, End, Received};
    use visitors::hosts::Host;

    /// More than all kernels on the way keep in their buffers, in bytes.
    const MORE_THAN_FITS: usize = 64 << 20;
    /// The most that is on its way in a direction, in bytes.
    const PIECE: usize = 4 * 1024;
    /// A proxy needs a few KiB for each direction. This much is a queue without an end.
    const MUCH_MEMORY: u64 = 4 << 20;
    /// What a visitor sends who sends much, in bytes.
    const MUCH: usize = 16 << 20;
    /// What is still unread after this time is left unread: the kernels on the way have had their last exchange.
    const UNREAD_FOR_GOOD: Duration = Duration::from_millis(300);
    /// How often to try to bring a proxy into a state that depends on what the kernels keep.
    const TRIES: usize = 5;
    /// How much one who doesn't read lets its own kernel take in, in bytes.
    const SMALL_BUFFER: usize = 64 * 1024;

    /// The judged proxy, and the server to which it brings its visitors.
    struct Play<'a> {
        proxy: Server<'a>,
        host: Host,
    }

    /// When there is no use in sending more to somebody who doesn't read.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Enough {
        /// The proxy has left something unread.
        SomeUnread,
        /// All buffers on the way are full.
        NoRoom,
    }

    /// A visitor, and the server's end of its connection.
    struct Pair {
        visitor: Connection,
        server: Connection,
    }

    #[track_caller]
    fn play(check: &Check) -> Play<'_> {
        let host = Host::bind().expect("a port of this machine is free");
        let proxy = check.server(&[&host.address().to_string()]);
        Play { proxy, host }
    }

    /// Fails with what was seen. A part that isn't written yet ends a thread, and not the program: look for it.
    #[track_caller]
    fn fail(proxy: &Server<'_>, saw: &str) -> ! {
        let unwritten = |line: &str| line.contains("not yet implemented");
        if proxy.program.says(unwritten).is_ok() {
            proxy.check.suspect("not-written-yet");
        }
        match proxy.program.stderr().last() {
            Some(line) => proxy.check.fail(format!("{saw}\nyour program's last words: {line}")),
            None => proxy.check.fail(saw),
        }
    }

    impl Play<'_> {
        /// A visitor comes, and the proxy has to bring it to the server.
        #[track_caller]
        fn visitor(&self, name: &str) -> Pair {
            let visitor = self.proxy.visitor(name).connection;
            match self.host.accept(&self.proxy.program, "server") {
                Ok(server) => Pair { visitor, server },
                Err(trouble) => self
                    .proxy
                    .check
                    .fail_for(&format!("the {name} was to be connected to the server"), &trouble),
            }
        }

        /// Waits until the proxy has done what it can do.
        #[track_caller]
        fn settles(&self, when: &str) {
            if let Err(trouble) = self.proxy.program.settled() {
                self.proxy.check.fail_for(&format!("{when}, your program was to wait"), &trouble);
            }
        }

        /// The visitor and its server talk to each other.
        #[track_caller]
        fn talk(&self, pair: &mut Pair, when: &str) {
            let Pair { visitor, server } = pair;
            self.carries(visitor, server, b"a question", when);
            self.carries(server, visitor, b"an answer", when);
        }

        /// One says something, and the other has to hear it.
        #[track_caller]
        fn carries(&self, from: &mut Connection, to: &mut Connection, bytes: &[u8], when: &str) {
            self.send(from, bytes, when);
            self.hears(to, bytes, when);
        }

        #[track_caller]
        fn send(&self, from: &mut Connection, bytes: &[u8], when: &str) {
            if let Err(error) = from.send(bytes) {
                let name = from.name();
                fail(&self.proxy, &format!("{when}, the {name} couldn't send: {error}"));
            }
        }

        /// `who` has to receive just this, and may receive more later.
        #[track_caller]
        fn hears(&self, who: &mut Connection, expected: &[u8], when: &str) {
            let all = |bytes: &[u8]| bytes.len() >= expected.len();
            let received = who.receive_while_missing(&self.proxy.program, all);
            let name = who.name();
            let length = match expected.len() {
                1 => "a byte".to_owned(),
                length => format!("{length} bytes"),
            };
            match received {
                Ok(Ok(bytes)) => self.compare(who, &bytes, expected, when),
                Ok(Err(Received { bytes, end })) => {
                    let how = how(end);
                    let so_far = so_far(&bytes);
                    fail(
                        &self.proxy,
                        &format!(
                            "{when}, the {name} was {how} and had been sent {length} ({so_far})"
                        ),
                    );
                }
                Err((trouble, bytes)) => {
                    let so_far = so_far(&bytes);
                    self.proxy.check.fail_for(
                        &format!("{when}, the {name} waits for {length} ({so_far})"),
                        &trouble,
                    );
                }
            }
        }

        #[track_caller]
        fn compare(&self, who: &Connection, bytes: &[u8], expected: &[u8], when: &str) {
            if bytes == expected {
                return;
            }
            let same = bytes.iter().zip(expected).take_while(|(one, other)| one == other).count();
            let (name, came, sent) = (who.name(), bytes.len(), expected.len());
            let next = |bytes: &[u8]| shown(&bytes[same..bytes.len().min(same + 24)]);
            let (next_came, next_sent) = (next(bytes), next(expected));
            fail(
                &self.proxy,
                &format!(
                    "{when}, the {name} was sent {sent} bytes, and got {came}: the first {same} are right\n\
                     then came: {next_came}\nexpected:  {next_sent}"
                ),
            );
        }

        /// `who` has to receive just this, and then the end.
        #[track_caller]
        fn hears_last(&self, who: &mut Connection, expected: &[u8], when: &str) {
            let name = who.name().to_owned();
            match who.receive_all(&self.proxy.program) {
                Ok(Received { bytes, end: End::Closed }) => {
                    self.compare(who, &bytes, expected, when);
                }
                Ok(Received { bytes, end: End::Reset }) => {
                    let so_far = so_far(&bytes);
                    fail(&self.proxy, &format!("{when}, the {name} got a reset ({so_far})"));
                }
                Err((trouble, bytes)) => {
                    let so_far = so_far(&bytes);
                    self.proxy.check.fail_for(
                        &format!(
                            "{when}, the {name} waits to hear that there is no more ({so_far})"
                        ),
                        &trouble,
                    );
                }
            }
        }

        /// The proxy has to say this on stderr.
        #[track_caller]
        fn logs(&self, line: &str, when: &str) {
            if let Err(trouble) = self.proxy.program.says(|said| said.contains(line)) {
                let said = self.proxy.program.stderr();
                let panics = |line: &&String| line.contains(" panicked at ");
                let said = said.iter().rfind(panics).or(said.last());
                let said = said.map_or("nothing", String::as_str);
                let trouble = trouble.to_string();
                let trouble = trouble.strip_prefix("it ").unwrap_or(&trouble);
                self.proxy.check.fail(format!(
                    "{when}, your program was to say {line:?}, and its last words are {said:?}; it {trouble}"
                ));
            }
        }

        /// Has the thread that joins somebody handle a signal, where the system tells which one that is: the call in
        /// which it waits fails with EINTR.
        fn visitors_thread_handles_a_signal(&self) {
            let pid = self.proxy.program.pid();
            let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            let others = threads.filter_map(|thread| {
                let number = thread.file_name().to_str()?.parse().ok()?;
                (number != pid).then_some(Pid::from_raw(number))
            });
            for thread in others {
                // The kernel gives it to this thread, although it's for the whole process. Rust's runtime has a handler
                // for these two, and each works once (see `Program::handles_a_signal`).
                let handled = |signal: Signal| {
                    let status =
                        fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
                    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
                    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
                    mask.is_some_and(|mask| mask & (1 << (signal as i32 - 1)) != 0)
                };
                let Some(signal) =
                    [Signal::SIGBUS, Signal::SIGSEGV].into_iter().find(|s| handled(*s))
                else {
                    return;
                };
                let mut watch = Watch::new(&self.proxy.program);
                if kill(thread, signal).is_ok() {
                    while handled(signal) && watch.trouble().is_none() {
                        thread::sleep(LOOK_EVERY / 10);
                    }
                }
            }
        }

        /// The proxy's threads, where the system tells.
        fn threads(&self) -> usize {
            self.proxy.program.usage().map_or(0, |usage| usage.threads)
        }

        /// The proxy has to be done with a visitor: it has no more than so many threads.
        #[track_caller]
        fn is_down_to(&self, threads: usize, when: &str) {
            let mut watch = Watch::new(&self.proxy.program);
            while self.threads() > threads {
                if let Some(trouble) = watch.trouble() {
                    self.proxy.check.fail_for(&format!("{when}, `join` was to return"), &trouble);
                }
                thread::sleep(LOOK_EVERY);
            }
        }

        /// `from` sends, without waiting, until the proxy has done what it can do and `enough` says so, or nothing
        /// more is taken in. Gives what was sent.
        #[track_caller]
        fn fill(&self, from: &Connection, enough: Enough, when: &str) -> Vec<u8> {
            let bytes = pattern(MORE_THAN_FITS);
            let mut stream = from.stream();
            let mut sent = 0;
            let mut stuck = 0;
            stream.set_nonblocking(true).expect("it's a socket");
            while stuck < 2 && sent < bytes.len() {
                match stream.write(&bytes[sent..bytes.len().min(sent + SMALL_BUFFER / 4)]) {
                    Ok(count) => {
                        sent += count;
                        stuck = 0;
                        if enough == Enough::SomeUnread && !from.wait_until_read(UNREAD_FOR_GOOD) {
                            self.settles(when);
                            break;
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        self.settles(when);
                        stuck += 1;
                    }
                    Err(error) => {
                        let name = from.name();
                        fail(&self.proxy, &format!("{when}, the {name} couldn't send: {error}"));
                    }
                }
            }
            stream.set_nonblocking(false).expect("it's a socket");
            bytes[..sent].to_vec()
        }
    }

    /// `who` has to see that the connection is over, in whatever way.
    #[track_caller]
    fn sees_the_end(proxy: &Server<'_>, who: &mut Connection, when: &str) {
        if let Err((trouble, _)) = who.receive_all(&proxy.program) {
            let expected = format!("{when}, the {} waits to see the end", who.name());
            proxy.check.fail_for(&expected, &trouble);
        }
    }

    /// A port that is taken, and at which nobody listens: whoever connects is refused, for now.
    fn reserved_port() -> (OwnedFd, SocketAddr) {
        let (family, kind) = (AddressFamily::Inet, SockType::Stream);
        let socket = socket(family, kind, SockFlag::empty(), None).expect("there are some left");
        // A copy: unlike the first one, it isn't handed down to programs that are started.
        let socket = socket.try_clone().expect("there are some left");
        // Whoever will listen there must be able to, with this socket still open.
        setsockopt(&socket, sockopt::ReuseAddr, &true).expect("it may be shared");
        bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).expect("some port is free");
        let address: SockaddrIn = getsockname(socket.as_raw_fd()).expect("it has one");
        (socket, SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())))
    }

    fn how(end: End) -> &'static str {
        match end {
            End::Closed => "told that there is no more,",
            End::Reset => "sent a reset,",
        }
    }

    /// Bytes of all values, in which a piece that is missing, doubled, or in the wrong place shows.
    fn pattern(length: usize) -> Vec<u8> {
        // A prime: pieces of all usual lengths differ from the ones before them.
        const PERIOD: usize = 65_521;
        let mut state: u32 = 1;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        let period: Vec<u8> = (0..PERIOD).map(|_| next()).collect();
        let mut bytes = period.repeat(length.div_ceil(PERIOD));
        bytes.truncate(length);
        bytes
    }

    /// Sends all of it, from a thread of its own: whoever sends much may have to wait.
    fn send_aside(from: &Connection, bytes: Vec<u8>) {
        let mut stream = from.stream().try_clone().expect("there are descriptors left");
        // What arrives tells whether it worked.
        thread::spawn(move || drop(stream.write_all(&bytes)));
    }

    /// Lets its kernel take in no more than a little.
    fn takes_in_little(who: &Connection) {
        setsockopt(who.stream(), sockopt::RcvBuf, &SMALL_BUFFER).expect("a buffer may be small");
    }

    #[rstest]
    #[case::the_visitor_speaks_first(true)]
    #[case::the_server_speaks_first(false)]
    fn bytes_go_both_ways(#[case] visitor_first: bool) {
        let check = check!("05-proxy");
        check.suspect("one-direction-first");
        let play = play(&check);
        let Pair { mut visitor, mut server } = play.visitor("visitor");
        let when = "with both at their ends";
        if !visitor_first {
            play.carries(&mut server, &mut visitor, b"welcome", when);
        }
        for _ in 0..3 {
            play.carries(&mut visitor, &mut server, b"a question", when);
            play.carries(&mut server, &mut visitor, b"an answer", when);
        }
    }

    #[rstest]
    #[case::of_the_visitor(true)]
    #[case::of_the_server(false)]
    fn bytes_of_all_values(#[case] visitor_sends: bool) {
        let check = check!("05-proxy");
        check.suspect("text-for-bytes");
        let play = play(&check);
        let Pair { visitor, server } = play.visitor("visitor");
        let (mut from, mut to) = if visitor_sends { (visitor, server) } else { (server, visitor) };
        let all: Vec<u8> = (0..=u8::MAX).collect();
        for piece in
            [&b"\0"[..], b" ", b"\r\n", b"\n", b"caf\xe9", b"\xc3", b"\xa9", b"0", b"\0\0", &all]
        {
            let when = format!("after {} from the {}", shown(piece), from.name());
            play.carries(&mut from, &mut to, piece, &when);
        }
    }

    #[rstest]
    #[case::of_the_visitor(true)]
    #[case::of_the_server(false)]
    fn byte_by_byte(#[case] visitor_sends: bool) {
        let check = check!("05-proxy");
        check.suspect("waits-for-a-whole-piece");
        let play = play(&check);
        let Pair { visitor, server } = play.visitor("visitor");
        let (mut from, mut to) = if visitor_sends { (visitor, server) } else { (server, visitor) };
        for byte in b"hello" {
            play.carries(&mut from, &mut to, &[*byte], "byte by byte");
        }
        let bytes = b"and some more, each byte after the one before was read";
        if let Err(error) = from.send_in_pieces(bytes, usize::MAX, &play.proxy.program) {
            fail(&play.proxy, &format!("the {} couldn't send: {error}", from.name()));
        }
        play.hears(&mut to, bytes, "byte by byte");
    }

    #[rstest]
    #[case::of_the_visitor(true)]
    #[case::of_the_server(false)]
    fn exactly_what_a_piece_holds(#[case] visitor_sends: bool) {
        let check = check!("05-proxy");
        check.suspect("reads-on-without-asking");
        let play = play(&check);
        let Pair { visitor, server } = play.visitor("visitor");
        let (mut from, mut to) = if visitor_sends { (visitor, server) } else { (server, visitor) };
        let when = format!("after eight times 4 KiB from the {}, all at once", from.name());
        // The proxy sleeps until all of it is there.
        play.proxy.program.stop();
        let bytes = pattern(32 * 1024);
        play.send(&mut from, &bytes, &when);
        play.proxy.program.go_on();
        play.hears(&mut to, &bytes, &when);
        play.carries(&mut to, &mut from, b"an answer", &when);
    }

    #[test]
    fn a_silent_pair_costs_no_processor_time() {
        let check = check!("05-proxy");
        check.suspect("asks-for-room-without-need");
        let play = play(&check);
        let mut pair = play.visitor("silent visitor");
        play.settles("with a silent visitor, and a silent server");
        play.talk(&mut pair, "after a silence");
        play.settles("with a visitor that is silent again");
        play.talk(&mut pair, "after a second silence");
        play.settles("with a visitor that is silent for the third time");
        let lens = play.proxy.lens();
        play.proxy.takes_no_naps(lens.as_ref(), "with a silent visitor, and a silent server");
    }

    #[test]
    fn a_signal_changes_nothing() {
        let check = check!("05-proxy");
        check.suspect("signal-for-an-error");
        let play = play(&check);
        let mut pair = play.visitor("visitor");
        let when = "after a signal came while it waited";
        play.talk(&mut pair, "at the beginning");
        for _ in 0..2 {
            play.settles(when);
            play.visitors_thread_handles_a_signal();
            play.settles(when);
            // One who reads without being told to is held up by the one, and doesn't hear the other.
            play.carries(&mut pair.server, &mut pair.visitor, b"well", when);
            play.carries(&mut pair.server, &mut pair.visitor, b"well", when);
            play.carries(&mut pair.visitor, &mut pair.server, b"well", when);
            play.carries(&mut pair.visitor, &mut pair.server, b"well", when);
        }
    }

    #[rstest]
    #[case::of_the_visitor(true)]
    #[case::of_the_server(false)]
    fn a_byte_out_of_band(#[case] visitor_sends: bool) {
        let check = check!("05-proxy");
        check.suspect("asks-for-urgent-bytes");
        let play = play(&check);
        let mut pair = play.visitor("visitor");
        let when = "after a byte was sent out of band, which a read doesn't give";
        play.talk(&mut pair, "at the beginning");
        let sender = if visitor_sends { &pair.visitor } else { &pair.server };
        let sent = nix::sys::socket::send(sender.stream().as_raw_fd(), b"!", MsgFlags::MSG_OOB);
        sent.expect("there is room");
        play.settles(when);
        // The other one first: whoever took that byte for something to read sits in a read now.
        let Pair { visitor, server } = &mut pair;
        let (sender, other) = if visitor_sends { (visitor, server) } else { (server, visitor) };
        play.carries(other, sender, b"an answer", when);
        play.talk(&mut pair, when);
        play.settles(when);
    }

    #[rstest]
    #[case::the_visitor(true)]
    #[case::the_server(false)]
    fn one_finishes_and_the_other_goes_on(#[case] visitor_finishes: bool) {
        let check = check!("05-proxy");
        check.suspect("one-end-ends-both");
        let play = play(&check);
        let Pair { visitor, server } = play.visitor("visitor");
        let (mut first, mut other) =
            if visitor_finishes { (visitor, server) } else { (server, visitor) };
        let when = format!("after the {} has said its last", first.name());
        play.send(&mut first, b"my last words", &when);
        first.finish_sending();
        play.hears_last(&mut other, b"my last words", &when);
        play.carries(&mut other, &mut first, b"my answer", &when);
        let more = pattern(300_000);
        send_aside(&other, more.clone());
        play.hears(&mut first, &more, &when);
        other.finish_sending();
        play.hears_last(&mut first, b"", "after both have said their last");
    }

    #[rstest]
    #[case::the_visitor_first(true)]
    #[case::the_server_first(false)]
    fn it_is_over_when_both_have_finished(#[case] visitor_first: bool) {
        let check = check!("05-proxy");
        check.suspect("never-returns");
        let play = play(&check);
        let before = play.threads();
        for number in 1..=3 {
            let Pair { visitor, server } = play.visitor("visitor");
            let (mut first, mut other) =
                if visitor_first { (visitor, server) } else { (server, visitor) };
            let when = format!("with visitor {number}, after both have finished");
            play.carries(&mut first, &mut other, b"farewell", &when);
            first.finish_sending();
            play.hears_last(&mut other, b"", &when);
            other.finish_sending();
            play.hears_last(&mut first, b"", &when);
            // Both are still open here: nobody but the proxy can have ended it.
            play.is_down_to(before, &when);
            // What `main` makes of `Ok`.
            check.suspect("error-at-a-good-end");
            play.logs(&format!("visitor {number}: both have finished"), &when);
            check.suspect("never-returns");
        }
    }

    #[test]
    fn both_finish_at_once() {
        let check = check!("05-proxy");
        check.suspect("one-end-ends-both");
        let play = play(&check);
        let before = play.threads();
        let when = "after both have said 10,000 bytes and their last, at once";
        let mut pair = play.visitor("visitor");
        play.talk(&mut pair, "at the beginning");
        play.settles(when);
        let Pair { mut visitor, mut server } = pair;
        play.proxy.program.stop();
        let words = pattern(20_000);
        let (of_visitor, of_server) = words.split_at(10_000);
        play.send(&mut visitor, of_visitor, when);
        play.send(&mut server, of_server, when);
        visitor.finish_sending();
        server.finish_sending();
        play.proxy.program.go_on();
        play.hears_last(&mut server, of_visitor, when);
        play.hears_last(&mut visitor, of_server, when);
        play.is_down_to(before, when);
    }

    #[rstest]
    #[case::the_visitor_has_finished(true)]
    #[case::the_server_has_finished(false)]
    fn one_has_finished_and_the_other_is_silent(#[case] visitor_finishes: bool) {
        let check = check!("05-proxy");
        check.suspect("finished-side-stays-in-the-list");
        let play = play(&check);
        let Pair { visitor, server } = play.visitor("visitor");
        let (mut first, mut other) =
            if visitor_finishes { (visitor, server) } else { (server, visitor) };
        let when =
            format!("with a {} that has finished, and a silent {}", first.name(), other.name());
        first.finish_sending();
        play.hears_last(&mut other, b"", &when);
        play.settles(&when);
        // Now it's asked about the other direction alone.
        check.suspect("answers-slip");
        play.carries(&mut other, &mut first, b"at last", &when);
        check.suspect("finished-side-stays-in-the-list");
        play.settles(&when);
        // Now it's over in both directions there, and nobody wants anything of it: poll isn't asked about it.
        let when = format!("{when}, and a reset from the one that has finished");
        first.reset();
        play.settles(&when);
    }

    #[rstest]
    #[case::a_few(10, true)]
    #[case::many(20_000, true)]
    #[case::many_of_the_server(20_000, false)]
    fn last_words_and_the_hang_up_at_once(#[case] length: usize, #[case] visitor_leaves: bool) {
        let check = check!("05-proxy");
        check.suspect("hang-up-for-the-end");
        let play = play(&check);
        let Pair { visitor, server } = play.visitor("visitor");
        let (mut leaves, mut other) =
            if visitor_leaves { (visitor, server) } else { (server, visitor) };
        // When this one has finished, and the proxy has passed that on, the other's end is a hang-up.
        other.finish_sending();
        play.hears_last(&mut leaves, b"", "at the beginning");
        let when =
            format!("after {length} bytes from the {} and its hang-up at once", leaves.name());
        // The proxy sleeps until all of it is there.
        play.proxy.program.stop();
        let words = pattern(length);
        play.send(&mut leaves, &words, &when);
        drop(leaves);
        play.proxy.program.go_on();
        play.hears_last(&mut other, &words, &when);
    }

    #[rstest]
    #[case::the_server_reads_first(true)]
    #[case::the_visitor_reads_first(false)]
    fn a_stalled_direction_does_not_stop_the_other(#[case] server_first: bool) {
        let check = check!("05-proxy");
        check.suspect("writes-without-asking");
        let play = play(&check);
        let Pair { visitor, server } = play.visitor("visitor");
        let (mut one, mut other) = if server_first { (server, visitor) } else { (visitor, server) };
        takes_in_little(&one);
        takes_in_little(&other);
        let when = format!(
            "with 16 MiB each way, and a {} that doesn't read before it has sent all",
            other.name()
        );
        let bytes = pattern(2 * MUCH);
        let (for_one, for_other) = bytes.split_at(MUCH);
        send_aside(&one, for_other.to_vec());
        send_aside(&other, for_one.to_vec());
        play.hears(&mut one, for_one, &when);
        play.hears(&mut other, for_other, &when);
    }

    #[rstest]
    #[case::the_server(true)]
    #[case::the_visitor(false)]
    fn who_does_not_read_stops_the_one_who_sends(#[case] server_stalls: bool) {
        let check = check!("05-proxy");
        check.suspect("reads-before-it-has-written");
        let play = play(&check);
        let Pair { visitor, server } = play.visitor("visitor");
        let (from, mut stalled) = if server_stalls { (visitor, server) } else { (server, visitor) };
        takes_in_little(&stalled);
        let when = format!("with a {} that reads nothing", stalled.name());
        play.settles(&when);
        let resident = || Some(play.proxy.program.usage()?.resident);
        let before = resident();
        let sent = play.fill(&from, Enough::NoRoom, &when);
        let grown = resident().zip(before).map(|(now, before)| now.saturating_sub(before));
        // Where the system doesn't tell, nobody can take in so much without a queue of its own.
        let grown = grown.unwrap_or(if sent.len() < MORE_THAN_FITS { 0 } else { u64::MAX });
        if grown > MUCH_MEMORY {
            check.fail(format!(
                "{when}, your program takes in {} KiB from the {}, and needs {} KiB more memory",
                sent.len() >> 10,
                from.name(),
                grown >> 10
            ));
        }
        from.finish_sending();
        let when = format!("with a {} that reads late", stalled.name());
        play.hears_last(&mut stalled, &sent, &when);
    }

    #[rstest]
    #[case::of_the_visitor(true)]
    #[case::of_the_server(false)]
    fn no_more_than_a_piece_is_held(#[case] visitor_sends: bool) {
        let check = check!("05-proxy");
        check.suspect("more-than-a-piece");
        let play = play(&check);
        let Pair { visitor, server } = play.visitor("visitor");
        let (from, stalled) = if visitor_sends { (visitor, server) } else { (server, visitor) };
        takes_in_little(&stalled);
        let when = format!("with a {} that reads nothing", stalled.name());
        let sent = play.fill(&from, Enough::NoRoom, &when).len();
        play.settles(&when);
        // What isn't in a kernel is with the program.
        let unread = between_when_still(&play.proxy, &from).map(|between| between.to_server);
        let passed_on = between_when_still(&play.proxy, &stalled).map(|between| between.to_visitor);
        let Some((unread, passed_on)) = unread.zip(passed_on) else { return };
        let held = sent.saturating_sub(unread + passed_on);
        if held > PIECE {
            check.fail(format!(
                "{when}, your program holds {held} bytes of what the {} has sent: {PIECE} are allowed",
                from.name()
            ));
        }
    }

    #[test]
    fn nothing_is_read_behind_a_small_piece() {
        /// Less than a piece, in bytes, and more than a buffer's last corner.
        const LITTLE: usize = 500;
        /// So much can't be in the kernels' buffers, where they have been asked to keep little.
        const TOO_MUCH: usize = 2 << 20;
        let check = check!("05-proxy");
        check.suspect("reads-into-a-begun-piece");
        let play = play(&check);
        let mut stalled = narrow_visitor(&play.proxy, "visitor");
        let mut from = match play.host.accept(&play.proxy.program, "server") {
            Ok(server) => server,
            Err(trouble) => {
                check.fail_for("the visitor was to be connected to the server", &trouble)
            }
        };
        play.carries(&mut stalled, &mut from, b"send me much", "at the beginning");
        let when = "with a server that sends 500 bytes at a time, and a visitor that reads nothing";
        let bytes = pattern(TOO_MUCH);
        // Each after the one before was read: so what is on its way is as little as that.
        for piece in bytes.chunks(LITTLE) {
            play.send(&mut from, piece, when);
            if from.wait_until_read(UNREAD_FOR_GOOD) {
                continue;
            }
            play.settles(when);
            let Some(unread) = between_when_still(&play.proxy, &from) else { return };
            if unread.to_server == 0 {
                continue;
            }
            let Some(passed_on) = between_when_still(&play.proxy, &stalled) else { return };
            let sent = piece.as_ptr() as usize - bytes.as_ptr() as usize + piece.len();
            let held = sent.saturating_sub(unread.to_server + passed_on.to_visitor);
            if held > LITTLE {
                check.fail(format!(
                    "{when}, your program holds {held} bytes: with {LITTLE} on their way it was to read nothing more"
                ));
            }
            return;
        }
    }

    #[rstest]
    #[case::the_visitor(true)]
    #[case::the_server(false)]
    fn gone_while_the_other_does_not_read(#[case] visitor_leaves: bool) {
        let check = check!("05-proxy");
        check.suspect("in-the-list-without-a-wish");
        let play = play(&check);
        let before = play.threads();
        for _ in 0..TRIES {
            let Pair { visitor, server } = play.visitor("visitor");
            let (mut leaves, mut stalled) =
                if visitor_leaves { (visitor, server) } else { (server, visitor) };
            takes_in_little(&stalled);
            stalled.finish_sending();
            let when = format!("with a {} that has finished and reads nothing", stalled.name());
            play.hears_last(&mut leaves, b"", &when);
            let sent = play.fill(&leaves, Enough::SomeUnread, &when);
            let when = format!("{when}, and a {} that is gone", leaves.name());
            drop(leaves);
            play.settles(&when);
            // Otherwise the kernels found room for the rest, and it was no such case.
            let was_stalled = play.threads() > before;
            play.hears_last(&mut stalled, &sent, &when);
            play.is_down_to(before, &when);
            if was_stalled {
                return;
            }
        }
    }

    #[rstest]
    #[case::by_the_visitor(true, false)]
    #[case::by_the_server(false, false)]
    #[case::by_the_visitor_when_the_server_has_finished(true, true)]
    #[case::by_the_server_when_the_visitor_has_finished(false, true)]
    fn a_reset_ends_both_and_nobody_else(#[case] visitor_resets: bool, #[case] finished: bool) {
        let check = check!("05-proxy");
        check.suspect("reset-for-an-end");
        let (reserved, address) = reserved_port();
        let proxy = check.server(&[&address.to_string()]);
        let mut early = proxy.visitor("early visitor").connection;
        sees_the_end(&proxy, &mut early, "with a server that isn't there");
        let host = Host::bind_to(address).expect("the port is ours");
        drop(reserved);
        let play = Play { proxy, host };

        let mut present = play.visitor("present visitor");
        play.talk(&mut present, "after a visitor whom the server refused");
        let before = play.threads();
        let Pair { visitor, server } = play.visitor("visitor");
        let (mut resets, mut other) =
            if visitor_resets { (visitor, server) } else { (server, visitor) };
        play.carries(&mut resets, &mut other, b"hello", "with two visitors");
        let mut when = format!("after the {} has sent a reset", resets.name());
        if finished {
            when = format!("{when}, and the {} had finished", other.name());
            other.finish_sending();
            play.hears_last(&mut resets, b"", "after one has finished");
        }
        resets.reset();
        sees_the_end(&play.proxy, &mut other, &when);
        play.is_down_to(before, &when);
        // What `main` makes of an error.
        check.suspect("error-not-returned");
        check.suspect_where("panicked at", "panics-at-an-error");
        play.logs("lost: ", &when);
        check.suspect("reset-for-an-end");
        play.talk(&mut present, &when);
        play.talk(&mut play.visitor("next visitor"), &when);
    }

    #[rstest]
    #[case::by_the_server(true)]
    #[case::by_the_visitor(false)]
    fn a_reset_is_met_by_the_others_end(#[case] server_resets: bool) {
        let check = check!("05-proxy");
        check.suspect("reset-for-an-end");
        let play = play(&check);
        let before = play.threads();
        let mut pair = play.visitor("visitor");
        play.talk(&mut pair, "at the beginning");
        play.settles("at the beginning");
        let Pair { visitor, server } = pair;
        let (resets, mut finishes) =
            if server_resets { (server, visitor) } else { (visitor, server) };
        let (one, other) = (finishes.name().to_owned(), resets.name().to_owned());
        let when =
            format!("after the {one} has finished, and the {other} has sent a reset, both at once");
        // The proxy sleeps meanwhile: when it passes the end on, nobody is there to hear of it.
        play.proxy.program.stop();
        finishes.finish_sending();
        resets.reset();
        play.proxy.program.go_on();
        sees_the_end(&play.proxy, &mut finishes, &when);
        play.is_down_to(before, &when);
        check.suspect("error-not-returned");
        check.suspect_where("panicked at", "panics-at-an-error");
        play.logs("lost: ", &when);
    }

    #[rstest]
    #[case::by_the_server(true)]
    #[case::by_the_visitor(false)]
    fn a_reset_is_met_in_a_write(#[case] server_resets: bool) {
        let check = check!("05-proxy");
        check.suspect("reset-for-an-end");
        let play = play(&check);
        let before = play.threads();
        let Pair { visitor, server } = play.visitor("visitor");
        let (mut from, stalled) = if server_resets { (visitor, server) } else { (server, visitor) };
        takes_in_little(&stalled);
        // The other direction is over: the reset can't be met in a read there.
        stalled.finish_sending();
        let when = format!("with a {} that has finished and reads nothing", stalled.name());
        play.hears_last(&mut from, b"", &when);
        play.fill(&from, Enough::NoRoom, &when);
        let when = format!("after a reset from a {} that had read nothing", stalled.name());
        stalled.reset();
        sees_the_end(&play.proxy, &mut from, &when);
        play.is_down_to(before, &when);
        check.suspect("error-not-returned");
        play.logs("lost: ", &when);
    }

    #[rstest]
    #[case::both_talk(None)]
    #[case::the_visitor_has_finished(Some(true))]
    #[case::the_server_has_finished(Some(false))]
    fn one_line_waits(#[case] finishes: Option<bool>) {
        let check = check!("05-proxy");
        check.suspect("waits-elsewhere");
        let play = play(&check);
        let lens = play.proxy.lens();
        let mut pair = play.visitor("visitor");
        let mut when = "with a visitor and a server that talk".to_owned();
        play.settles(&when);
        play.talk(&mut pair, &when);
        let Pair { mut visitor, mut server } = pair;
        if let Some(visitor_finishes) = finishes {
            let (first, other) = match visitor_finishes {
                true => (&mut visitor, &mut server),
                false => (&mut server, &mut visitor),
            };
            when = format!(
                "with a {} that has finished, and a {} that talks",
                first.name(),
                other.name()
            );
            first.finish_sending();
            play.hears_last(other, b"", &when);
            for _ in 0..2 {
                play.settles(&when);
                play.carries(other, first, b"and another thing", &when);
            }
        } else {
            for _ in 0..2 {
                play.settles(&when);
                play.carries(&mut server, &mut visitor, b"a question", &when);
                play.carries(&mut visitor, &mut server, b"an answer", &when);
            }
        }
        play.settles(&when);
        let allowed = ["poll", "accept", "connect"];
        play.proxy.waits_only_in(lens.as_ref(), &allowed, &when);
        play.proxy.takes_no_naps(lens.as_ref(), &when);
    }

    #[test]
    fn nothing_is_kept_of_a_visit() {
        /// How many there are in each lot.
        const EACH: usize = 60;
        let check = check!("05-proxy");
        check.suspect("never-returns");
        let play = play(&check);
        let before = play.threads();
        play.proxy.keeps_nothing(EACH, "visits", |_| {
            let when = "with many visits, one after the other";
            for number in 0..EACH {
                let mut pair = play.visitor("visitor");
                play.talk(&mut pair, when);
                let Pair { mut visitor, mut server } = pair;
                if number % 2 == 0 {
                    visitor.reset();
                    sees_the_end(&play.proxy, &mut server, when);
                    continue;
                }
                visitor.finish_sending();
                play.hears_last(&mut server, b"", when);
                server.finish_sending();
                play.hears_last(&mut visitor, b"", when);
            }
            play.is_down_to(before, when);
        });
    }
}
