//! The checks of 11-stream: an answer that is made as it's taken.

use std::time::Instant;

use super::*;

/// The exercise's LINES: so many lines are in a piece, at the most.
const LINES: usize = 1024;
/// So many lines are made for who doesn't read, at the most. The kernel takes more than half a megabyte.
const AHEAD: u64 = 250_000;

fn count(from: usize, to: usize) -> Vec<u8> {
    (from..=to).flat_map(|number| format!("{number:07}\n").into_bytes()).collect()
}

fn ticks(from: usize, to: usize) -> Vec<u8> {
    (from..=to).flat_map(|number| format!("tick {number}\n").into_bytes()).collect()
}

/// A body as it comes, in either way.
enum Coming {
    InChunks(Chunks),
    /// So many bytes are to come, as Content-Length says.
    OfLength(usize),
}

impl Coming {
    /// What the head says of it.
    fn new(head: &str) -> Option<Self> {
        if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            return Some(Self::InChunks(Chunks::default()));
        }
        Some(Self::OfLength(usize::try_from(content_length(head.as_bytes())?).ok()?))
    }

    /// Takes what can be taken, and says how many bytes that took.
    fn take(&mut self, bytes: &[u8], to: &mut Vec<u8>) -> usize {
        match self {
            Self::InChunks(chunks) => chunks.take(bytes, to),
            Self::OfLength(left) => {
                let used = bytes.len().min(*left);
                to.extend_from_slice(&bytes[..used]);
                *left -= used;
                used
            }
        }
    }

    /// Whether something can be taken of this.
    fn can_take(&self, bytes: &[u8]) -> bool {
        match self {
            Self::InChunks(_) => Chunks::default().take(bytes, &mut Vec::new()) > 0,
            Self::OfLength(_) => !bytes.is_empty(),
        }
    }

    fn ended(&self) -> bool {
        match self {
            Self::InChunks(chunks) => chunks.ended,
            Self::OfLength(left) => *left == 0,
        }
    }
}

/// Somebody who is being answered with a stream.
struct Reader<'a> {
    server: &'a Server<'a>,
    connection: Connection,
    coming: Coming,
    /// What has come, and hasn't been looked at.
    body: Vec<u8>,
    /// How much of it has been, in bytes.
    read: usize,
}

impl<'a> Reader<'a> {
    /// Asks, and reads the answer's head.
    #[track_caller]
    fn new(server: &'a Server<'a>, name: &str, target: &str) -> Self {
        let mut connection = server.visitor(name).connection;
        send(server, &mut connection, &format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        let is_whole = |bytes: &[u8]| head_length(bytes).is_some();
        let head = match connection.receive_while_missing(&server.program, is_whole) {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(Received { bytes, .. })) => {
                let so_far = so_far(&bytes);
                server.fail_seeing(&format!(
                    "after `GET {target}`, the {name} was hung up on ({so_far})"
                ))
            }
            Err((trouble, bytes)) => {
                let so_far = so_far(&bytes);
                let expected =
                    format!("after `GET {target}`, the {name} waits for an answer ({so_far})");
                server.fail_for(&expected, &trouble)
            }
        };
        let (head, rest) = head.split_at(head_length(&head).unwrap_or(head.len()));
        let head = String::from_utf8_lossy(head).into_owned();
        if status(head.as_bytes()) != Some(200) {
            let first = head.lines().next().unwrap_or_default();
            server.fail_seeing(&format!("after `GET {target}`, the {name} got `{first}`"));
        }
        let Some(coming) = Coming::new(&head) else {
            server.fail_seeing(&format!(
                "after `GET {target}`, the {name} got an answer that doesn't say where it ends"
            ));
        };
        connection.give_back(rest);
        Self { server, connection, coming, body: Vec::new(), read: 0 }
    }

    /// It has to get just this next.
    #[track_caller]
    fn reads(&mut self, expected: &[u8], when: &str) {
        let name = self.connection.name().to_owned();
        while self.body.len() < expected.len() && !self.coming.ended() {
            let has_more = |bytes: &[u8]| self.coming.can_take(bytes);
            match self.connection.receive_while_missing(&self.server.program, has_more) {
                Ok(Ok(bytes)) => {
                    let used = self.coming.take(&bytes, &mut self.body);
                    self.connection.give_back(&bytes[used..]);
                }
                Ok(Err(_)) => {
                    self.compare(&name, expected, when);
                    let (read, missing) = self.got(expected);
                    self.server.fail_seeing(&format!(
                        "{when}, the {name} was hung up on after {read} bytes, and {missing} were to come"
                    ));
                }
                Err((trouble, _)) => {
                    self.compare(&name, expected, when);
                    let (read, missing) = self.got(expected);
                    let expected =
                        format!("{when}, the {name} got {read} bytes and waits for {missing} more");
                    self.server.fail_for(&expected, &trouble);
                }
            }
        }
        self.compare(&name, expected, when);
        if self.body.len() < expected.len() {
            let (read, missing) = self.got(expected);
            self.server.fail_seeing(&format!(
                "{when}, the {name}'s answer ended after {read} bytes, and {missing} were to come"
            ));
        }
        self.body.drain(..expected.len());
        self.read += expected.len();
    }

    fn got(&self, expected: &[u8]) -> (usize, usize) {
        (self.read + self.body.len(), expected.len().saturating_sub(self.body.len()))
    }

    #[track_caller]
    fn compare(&self, name: &str, expected: &[u8], when: &str) {
        let wrong = self.body.iter().zip(expected).position(|(got, expected)| got != expected);
        let Some(at) = wrong else { return };
        let line = |bytes: &[u8]| {
            let begin = bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let end = bytes[at..].iter().position(|byte| *byte == b'\n');
            let end = end.map_or(bytes.len(), |end| at + end);
            String::from_utf8_lossy(&bytes[begin..end]).into_owned()
        };
        let (got, expected) = (line(&self.body), line(expected));
        self.server.fail_seeing(&format!(
            "{when}, the {name} got the line `{got}` where `{expected}` was to come"
        ));
    }

    /// Its answer has to end here.
    #[track_caller]
    fn is_at_the_end(&mut self, when: &str) {
        let name = self.connection.name().to_owned();
        if !self.coming.ended() {
            let has_more = |bytes: &[u8]| self.coming.can_take(bytes);
            match self.connection.receive_while_missing(&self.server.program, has_more) {
                Ok(Ok(bytes)) => {
                    self.coming.take(&bytes, &mut self.body);
                }
                Ok(Err(_)) => self.server.fail_seeing(&format!(
                    "{when}, the {name} was hung up on, and the answer had no end"
                )),
                Err((trouble, _)) => {
                    let expected = format!("{when}, the {name}'s answer was to end");
                    self.server.fail_for(&expected, &trouble);
                }
            }
        }
        if !self.body.is_empty() {
            let got = shown(&self.body);
            self.server.fail_seeing(&format!(
                "{when}, the {name}'s answer was to end, and there came {got}"
            ));
        }
    }

    /// No piece had more lines than LINES. What came without chunks doesn't tell its pieces.
    #[track_caller]
    fn came_in_pieces(&self) {
        let Coming::InChunks(chunks) = &self.coming else { return };
        if let Some(lines) = chunks.lines.iter().find(|lines| **lines > LINES) {
            let name = self.connection.name();
            self.server.fail_seeing(&format!(
                "the {name} got a piece of {lines} lines, and {LINES} are the most"
            ));
        }
    }

    /// Nothing has come that wasn't expected.
    #[track_caller]
    fn nothing_more(&mut self, when: &str) {
        settle(self.server, when);
        // What came together with something else.
        let at_once = self.connection.receive_while_missing(&self.server.program, |_| true);
        let has_some = matches!(at_once, Ok(Ok(bytes)) if !bytes.is_empty());
        let has_more = has_some || self.connection.readable_within(Duration::ZERO);
        if !self.body.is_empty() || has_more {
            let name = self.connection.name();
            self.server.fail_seeing(&format!("{when}, the {name} got more, or a hang-up"));
        }
    }
}

/// What a short answer says, which must be a number.
#[track_caller]
fn number(server: &Server<'_>, method: &str, target: &str) -> u64 {
    let mut visitor = server.visitor("curious visitor").connection;
    let answer = ask(server, &mut visitor, method, target, "");
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    match text.trim().parse() {
        Ok(number) if answer.status == 200 => number,
        _ => {
            let status = answer.status;
            server.fail_seeing(&format!("`{method} {target}` was answered with {status}: {text}"))
        }
    }
}

#[track_caller]
fn tick(server: &Server<'_>, more: usize) {
    number(server, "POST", &format!("/tick/{more}"));
}

#[rstest]
#[case::none(0)]
#[case::one(1)]
#[case::ten(10)]
#[case::a_piece_but_one(LINES - 1)]
#[case::a_piece(LINES)]
#[case::a_piece_and_one(LINES + 1)]
#[case::two_pieces(2 * LINES)]
#[case::ten_thousand(10_000)]
fn so_many_lines_and_no_more(#[case] lines: usize) {
    let check = check!("11-stream");
    check.suspect(match lines {
        0..LINES => "wrong-where-all-lines-end",
        _ => "wrong-where-a-piece-ends",
    });
    let server = check.server(&[]);
    let target = format!("/count/{lines}");
    let mut reader = Reader::new(&server, "visitor", &target);
    let when = format!("after `GET {target}`");
    reader.reads(&count(1, lines), &when);
    reader.is_at_the_end(&when);
    let made = number(&server, "GET", "/made");
    if made != lines as u64 {
        server.fail_seeing(&format!("{when}, `GET /made` says {made}"));
    }
}

#[test]
fn a_piece_is_no_longer_than_it_may_be() {
    let check = check!("11-stream");
    check.suspect("pieces-are-too-long");
    let server = check.server(&[]);
    let mut reader = Reader::new(&server, "visitor", "/count/20000");
    reader.reads(&count(1, 20_000), "after `GET /count/20000`");
    reader.came_in_pieces();
}

#[test]
fn it_is_made_as_it_is_taken() {
    let check = check!("11-stream");
    check.suspect("made-beforehand");
    let server = check.server(&[]);
    let before = server.peak();
    let mut greedy = Reader::new(&server, "greedy visitor", "/count/1000000");
    let when = "with a greedy visitor who doesn't read";
    settle(&server, when);
    let made = number(&server, "GET", "/made");
    if made > AHEAD {
        server.fail_seeing(&format!(
            "{when}, {made} of 1000000 lines were made, and the kernel takes fewer than {AHEAD}"
        ));
    }
    let when = "when the greedy visitor reads at last";
    greedy.reads(&count(1, 1_000_000), when);
    greedy.is_at_the_end(when);
    greedy.came_in_pieces();
    server.needs_little_memory(before, 4 << 20, "after a million lines that were taken");
}

/// A piece is made when all of the one before is with the kernel. So there is one at the most that isn't, or not all of it.
#[test]
fn no_piece_is_made_ahead() {
    let check = check!("11-stream");
    check.suspect("a-piece-ahead");
    let server = check.server(&[]);
    let mut greedy = whole::narrow_visitor(&server, "greedy visitor");
    send(&server, &mut greedy, &request("GET", "/count/1000000", ""));
    let when = "with a greedy visitor who doesn't read";
    settle(&server, when);
    let made = number(&server, "GET", "/made");
    // What was made by then is what the kernel has by now, and a piece, or less than that.
    settle(&server, when);
    server.program.stop();
    let mut came = Vec::new();
    // Where the kernel doesn't tell when it has passed on all that it has, nobody can.
    while whole::between(&server, &greedy).is_some_and(|between| between.to_visitor > 0) {
        while greedy.readable_within(LOOK_EVERY) {
            match greedy.receive_while_missing(&server.program, |bytes| !bytes.is_empty()) {
                Ok(Ok(bytes)) => came.extend(bytes),
                _ => server.fail_seeing(&format!("{when}, it was hung up on")),
            }
        }
    }
    server.program.go_on();
    let Some(head) = head_length(&came) else { return };
    let Some(mut coming) = Coming::new(&String::from_utf8_lossy(&came[..head])) else { return };
    let mut body = Vec::new();
    coming.take(&came[head..], &mut body);
    let taken = body.iter().filter(|byte| **byte == b'\n').count();
    if made > (taken + LINES) as u64 {
        server.fail_seeing(&format!(
            "{when}, {made} lines were made, and the kernel has {taken}, in whole pieces: besides these, one piece of \
             {LINES} lines is made, and the next one when it's taken"
        ));
    }
}

#[test]
fn each_visitor_has_its_own() {
    let check = check!("11-stream");
    check.suspect("a-stream-is-shared");
    let server = check.server(&[]);
    let mut greedy = Reader::new(&server, "greedy visitor", "/count/300000");
    let others = ["second visitor", "third visitor"];
    let mut others = others.map(|name| Reader::new(&server, name, "/count/200000"));
    greedy.reads(&count(1, 1000), "with three visitors at once");
    for other in &mut others {
        other.reads(&count(1, 200_000), "with three visitors at once");
        other.is_at_the_end("with three visitors at once");
    }
    greedy.reads(&count(1001, 300_000), "when two others have got all of theirs");
    greedy.is_at_the_end("when two others have got all of theirs");
}

#[test]
fn who_hangs_up_ends_it() {
    let check = check!("11-stream");
    check.suspect("goes-on-without-its-visitor");
    let server = check.server(&[]);
    let mut rude = Reader::new(&server, "rude visitor", "/count/9999999");
    rude.reads(&count(1, 1000), "after `GET /count/9999999`");
    drop(rude);
    let when = "after the rude visitor has hung up";
    settle(&server, when);
    let made = number(&server, "GET", "/made");
    settle(&server, when);
    let later = number(&server, "GET", "/made");
    if later != made {
        server.fail_seeing(&format!("{when}, lines are still made: {made}, and then {later}"));
    }
}

#[test]
fn one_answer_after_the_other() {
    let check = check!("11-stream");
    check.suspect("a-stream-is-shared");
    let server = check.server(&[]);
    let mut visitor = server.visitor("visitor").connection;
    let numbers = [1500, 0, 3, LINES, 3];
    let requests = numbers.map(|lines| request("GET", &format!("/count/{lines}"), ""));
    send(&server, &mut visitor, &requests.concat());
    for (place, lines) in (1..).zip(numbers) {
        let when = format!("after five requests in one piece, answer {place}, of {lines} lines");
        let answer = answer(&server, &mut visitor, false, &when);
        let expected = count(1, lines);
        if answer.status != 200 || answer.body != expected {
            let (status, got) = (answer.status, shown(&answer.body));
            let expected = shown(&expected);
            server.fail_seeing(&format!("{when}, came as {status} with {got}, and not {expected}"));
        }
    }
    let made = number(&server, "GET", "/made");
    let sum: usize = numbers.iter().sum();
    if made != sum as u64 {
        server.fail_seeing(&format!(
            "{sum} lines were asked for and taken, and `GET /made` says {made}"
        ));
    }
}

#[test]
fn head_has_nothing_made() {
    let check = check!("11-stream");
    check.suspect("made-beforehand");
    let server = check.server(&[]);
    let mut visitor = server.visitor("visitor").connection;
    let answer = ask(&server, &mut visitor, "HEAD", "/count/5000", "");
    if answer.status != 200 {
        let got = answer.status;
        server.fail_seeing(&format!("`HEAD /count/5000` was answered with {got}, and not 200"));
    }
    let made = number(&server, "GET", "/made");
    if made != 0 {
        server.fail_seeing(&format!("after `HEAD /count/5000`, `GET /made` says {made}"));
    }
    let next = ask(&server, &mut visitor, "GET", "/count/2", "");
    if next.body != count(1, 2) {
        let got = shown(&next.body);
        server.fail_seeing(&format!("after `HEAD /count/5000`, `GET /count/2` brought {got}"));
    }
}

#[test]
fn no_tick_at_all() {
    let check = check!("11-stream");
    check.suspect("no-tick-is-one");
    let server = check.server(&[]);
    let none = number(&server, "POST", "/tick/0");
    if none != 0 {
        server.fail_seeing(&format!("after `POST /tick/0` there are {none} ticks"));
    }
    let mut listener = Reader::new(&server, "listener", "/ticks");
    tick(&server, 0);
    listener.nothing_more("after `POST /tick/0`");
    tick(&server, 2);
    listener.reads(&ticks(1, 2), "after `POST /tick/0` and `POST /tick/2`");
    tick(&server, 0);
    listener.nothing_more("after two ticks and `POST /tick/0`");
    tick(&server, 1);
    listener.reads(&ticks(3, 3), "after two ticks, `POST /tick/0` and one more");
    let listening = number(&server, "GET", "/listeners");
    if listening != 1 {
        server.fail_seeing(&format!("with one listener, `GET /listeners` says {listening}"));
    }
}

#[test]
fn nothing_is_kept() {
    /// So many answers are over in each lot, of either kind.
    const EACH: usize = 1000;
    let check = check!("11-stream");
    let server = check.server(&[]);
    let mut visitor = server.visitor("visitor").connection;
    let lines = request("GET", "/count/3", "").repeat(EACH);
    // What HEAD wants is over at once; it's a listener who has left.
    let listeners = request("HEAD", "/ticks", "").repeat(EACH);
    server.keeps_nothing(2 * EACH, "answers", |lot| {
        for (requests, is_head) in [(&lines, false), (&listeners, true)] {
            send(&server, &mut visitor, requests);
            for place in 1..=EACH {
                let when = format!("in lot {lot}, at answer {place} of {EACH}");
                answer(&server, &mut visitor, is_head, &when);
            }
        }
        tick(&server, 1);
        tick(&server, 1);
    });
    let listening = number(&server, "GET", "/listeners");
    if listening != 0 {
        check.suspect("keeps-who-has-left");
        server.fail_seeing(&format!(
            "all listeners have left, and two ticks later `GET /listeners` says {listening}"
        ));
    }
}

#[test]
fn a_tick_is_told() {
    let check = check!("11-stream");
    check.suspect("listeners-are-not-resumed");
    let server = check.server(&[]);
    let mut listener = Reader::new(&server, "listener", "/ticks");
    for number in 1..=3 {
        tick(&server, 1);
        listener.reads(&ticks(number, number), &format!("after tick {number}"));
    }
    listener.nothing_more("after three ticks");
}

#[test]
fn silence_costs_nothing() {
    let check = check!("11-stream");
    check.suspect("never-pauses");
    let server = check.server(&[]);
    let mut listener = Reader::new(&server, "listener", "/ticks");
    settle(&server, "with a listener and no tick");
    tick(&server, 1);
    listener.reads(&ticks(1, 1), "after the first tick");
    settle(&server, "with a listener, after the first tick");
    listener.nothing_more("after the first tick");
}

#[test]
fn from_then_on() {
    let check = check!("11-stream");
    check.suspect("begins-with-another-tick");
    let server = check.server(&[]);
    tick(&server, 5);
    let mut listener = Reader::new(&server, "listener", "/ticks");
    listener.nothing_more("with five ticks before it came");
    tick(&server, 1);
    listener.reads(&ticks(6, 6), "with five ticks before it came, after one more");
}

#[rstest]
#[case::two(2)]
#[case::a_piece_but_one(LINES - 1)]
#[case::a_piece(LINES)]
#[case::a_piece_and_one(LINES + 1)]
#[case::two_pieces(2 * LINES)]
#[case::ten_thousand(10_000)]
#[case::three_pieces(3 * LINES)]
fn all_of_many_at_once(#[case] more: usize) {
    let check = check!("11-stream");
    check.suspect("pauses-too-early");
    let server = check.server(&[]);
    let mut listener = Reader::new(&server, "listener", "/ticks");
    settle(&server, "with a listener and no tick");
    let when = format!("after {more} ticks at once");
    tick(&server, more);
    listener.reads(&ticks(1, more), &when);
    listener.nothing_more(&when);
    listener.came_in_pieces();
    tick(&server, 1);
    listener.reads(&ticks(more + 1, more + 1), &format!("{when}, and one more"));
}

#[test]
fn each_listener_begins_when_it_comes() {
    let check = check!("11-stream");
    check.suspect("begins-with-another-tick");
    let server = check.server(&[]);
    let mut listeners: Vec<Reader<'_>> = Vec::new();
    // Each has missed another number of ticks, and more than a piece of them in the end.
    for (so_far, more) in [(0, 1), (1, 2), (3, LINES), (3 + LINES, 2 * LINES + 5)] {
        let name = ["first", "second", "third", "fourth"][listeners.len()];
        listeners.push(Reader::new(&server, &format!("{name} listener"), "/ticks"));
        settle(&server, "with a listener more");
        tick(&server, more);
        for listener in &mut listeners {
            let when = format!("with {so_far} ticks before, after {more} more");
            listener.reads(&ticks(so_far + 1, so_far + more), &when);
            listener.came_in_pieces();
        }
    }
}

#[test]
fn all_who_listen_hear_it() {
    let check = check!("11-stream");
    check.suspect("some-are-not-resumed");
    let server = check.server(&[]);
    let names = ["first listener", "second listener", "third listener"];
    let mut listeners = names.map(|name| Reader::new(&server, name, "/ticks"));
    let listening = number(&server, "GET", "/listeners");
    if listening != 3 {
        server.fail_seeing(&format!("with three listeners, `GET /listeners` says {listening}"));
    }
    settle(&server, "with three listeners and no tick");
    for number in 1..=3 {
        tick(&server, 1);
        for listener in &mut listeners {
            listener.reads(&ticks(number, number), &format!("after tick {number}"));
        }
    }
    for listener in &mut listeners {
        listener.nothing_more("after three ticks");
    }
}

#[test]
fn who_does_not_read_fills_no_memory() {
    let check = check!("11-stream");
    check.suspect("queues-lines-for-listeners");
    let server = check.server(&[]);
    let mut greedy = Reader::new(&server, "greedy listener", "/ticks");
    let mut other = Reader::new(&server, "listener", "/ticks");
    tick(&server, 1);
    other.reads(&ticks(1, 1), "after the first tick");
    let before = server.peak();
    let began = Instant::now();
    tick(&server, 1_000_000);
    let when = "after a million ticks, with a greedy listener who doesn't read";
    other.reads(&ticks(2, 1_000_001), when);
    settle(&server, when);
    server.needs_little_memory(before, 8 << 20, when);
    // The server hangs up on who takes nothing for half a minute. On a very busy machine the other one took as long.
    if began.elapsed() < Duration::from_secs(15) {
        let listening = number(&server, "GET", "/listeners");
        if listening != 2 {
            check.suspect("on-the-list-while-it-pauses");
            server.fail_seeing(&format!(
                "{when}, that one is still there, and `GET /listeners` says {listening}"
            ));
        }
        greedy.reads(&ticks(1, 1_000_001), "when the greedy listener reads at last");
    }
}

#[rstest]
#[case::who_has_hung_up(false)]
#[case::who_was_cut_off(true)]
fn who_has_left_is_forgotten(#[case] rudely: bool) {
    let check = check!("11-stream");
    check.suspect("keeps-who-has-left");
    let server = check.server(&[]);
    let mut faithful = Reader::new(&server, "faithful listener", "/ticks");
    for _ in 0..3 {
        let listener = Reader::new(&server, "listener", "/ticks");
        match rudely {
            true => listener.connection.reset(),
            false => drop(listener),
        }
    }
    settle(&server, "after three listeners have left");
    for number in 1..=2 {
        tick(&server, 1);
        faithful.reads(&ticks(number, number), "after three listeners have left");
        settle(&server, "after three listeners have left");
    }
    let listening = number(&server, "GET", "/listeners");
    if listening != 1 {
        server.fail_seeing(&format!(
            "three of four listeners have left, and two ticks later `GET /listeners` says {listening}"
        ));
    }
    tick(&server, 1);
    faithful.reads(&ticks(3, 3), "after three listeners have left");
}

#[test]
fn the_next_tick_reaches_all_who_stayed() {
    let check = check!("11-stream");
    check.suspect("passes-over-who-moves-up");
    let server = check.server(&[]);
    let names = [
        "first listener",
        "second listener",
        "third listener",
        "fourth listener",
        "fifth listener",
        "sixth listener",
    ];
    let listeners = names.map(|name| Reader::new(&server, name, "/ticks"));
    let mut stayed = Vec::new();
    for (listener, stays) in listeners.into_iter().zip([true, false, false, true, false, true]) {
        match stays {
            true => stayed.push(listener),
            false => listener.connection.reset(),
        }
    }
    let when = "with the second, the third and the fifth of six listeners gone";
    settle(&server, when);
    for number in 1..=3 {
        tick(&server, 1);
        let when = format!("{when}, after tick {number}");
        for listener in &mut stayed {
            listener.reads(&ticks(number, number), &when);
        }
        settle(&server, &when);
    }
    let listening = number(&server, "GET", "/listeners");
    if listening != 3 {
        check.suspect("keeps-who-has-left");
        server.fail_seeing(&format!("{when}, three ticks later `GET /listeners` says {listening}"));
    }
}
