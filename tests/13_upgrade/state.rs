//! The checks of 13-state: a conversation as bytes.

use fastrand::Rng;

use super::*;

/// As in the exercise.
const FIRST_DEADLINE: u64 = 30_000;

/// Of random states, so many are tried.
const MANY: usize = 4000;
/// More memory than any state in these checks needs, in bytes; and less than a length that can't be true.
const PLENTY: u64 = 256 << 20;

const MALFORMED: &str = "refused: malformed";

/// What is written, as it's to be read again: what was used and sent is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Conversation {
    answered: u64,
    place: Place,
    /// By the clock of whoever has it.
    deadline: Option<u64>,
    input: Vec<u8>,
    output: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Head,
    Body(u64),
    Closing,
}

/// One to begin with: nothing has come.
fn new() -> Conversation {
    let (input, output) = (Vec::new(), Vec::new());
    Conversation { answered: 0, place: Place::Head, deadline: None, input, output }
}

/// In the middle of everything.
fn busy() -> Conversation {
    let (input, output) = (b"GET /half HT".to_vec(), b"the rest".to_vec());
    Conversation { answered: 7, place: Place::Body(300), deadline: Some(6500), input, output }
}

fn hex(bytes: &[u8]) -> String {
    match bytes.len() {
        0 => "-".to_owned(),
        _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok();
    text.as_bytes().chunks(2).map(digits).collect()
}

impl Conversation {
    /// As a line has it, with so many bytes before the input that are used, and before the output that are sent.
    fn words(&self, used: &[u8], sent: &[u8]) -> String {
        let place = match self.place {
            Place::Head => "head".to_owned(),
            Place::Body(left) => format!("body:{left}"),
            Place::Closing => "closing".to_owned(),
        };
        let deadline = self.deadline.map_or("never".to_owned(), |deadline| deadline.to_string());
        let (input, output) = ([used, &self.input].concat(), [sent, &self.output].concat());
        let Self { answered, .. } = self;
        let (input, output, used, sent) = (hex(&input), hex(&output), used.len(), sent.len());
        format!("{answered} {place} {deadline} {input} {used} {output} {sent}")
    }

    /// In version 2, written at `now`.
    fn state(&self, now: u64) -> Vec<u8> {
        let mut state = vec![2];
        state.extend(self.answered.to_le_bytes());
        state.extend(place(self.place));
        match self.deadline {
            None => state.push(0),
            Some(deadline) => {
                state.push(1);
                state.extend(deadline.saturating_sub(now).to_le_bytes());
            }
        }
        state.extend(counted(&self.input));
        state.extend(counted(&self.output));
        state
    }

    /// In version 1, which has less.
    fn old_state(&self) -> Vec<u8> {
        [&[1], &place(self.place)[..], &counted(&self.input), &counted(&self.output)].concat()
    }
}

fn place(place: Place) -> Vec<u8> {
    match place {
        Place::Head => vec![0],
        Place::Body(left) => [&[1], &left.to_le_bytes()[..]].concat(),
        Place::Closing => vec![2],
    }
}

fn counted(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u64).to_le_bytes()[..], bytes].concat()
}

/// What is to be answered to a state that is read at `now`.
fn expected(state: &[u8], now: u64) -> String {
    match state.first() {
        Some(1 | 2) => read(state, now).map_or(MALFORMED.to_owned(), |it| it.words(&[], &[])),
        Some(version) => format!("refused: version {version}"),
        None => MALFORMED.to_owned(),
    }
}

/// What a state holds, or what is wrong with whoever reads it all the same: a cause.
fn read(state: &[u8], now: u64) -> Result<Conversation, &'static str> {
    let mut rest = state;
    let rest = &mut rest;
    let version = byte(rest)?;
    let answered = if version == 1 { 0 } else { number(rest)? };
    let place = match byte(rest)? {
        0 => Place::Head,
        1 => Place::Body(number(rest)?),
        2 if version == 2 => Place::Closing,
        _ if version == 1 => return Err("old-version-has-what-it-had-not"),
        _ => return Err("unknown-is-taken-for-known"),
    };
    let left = match version {
        1 => Some(FIRST_DEADLINE),
        _ => match byte(rest)? {
            0 => None,
            1 => Some(number(rest)?),
            _ => return Err("unknown-is-taken-for-known"),
        },
    };
    let deadline = match left {
        Some(left) => Some(now.checked_add(left).ok_or("a-time-is-believed")?),
        None => None,
    };
    let (input, output) = (bytes(rest)?, bytes(rest)?);
    match rest.is_empty() {
        true => Ok(Conversation { answered, place, deadline, input, output }),
        false => Err("more-is-taken"),
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], &'static str> {
    let (taken, left) = rest.split_at_checked(count).ok_or("cut-short-is-read")?;
    *rest = left;
    Ok(taken)
}

fn byte(rest: &mut &[u8]) -> Result<u8, &'static str> {
    take(rest, 1).map(|byte| byte[0])
}

fn number(rest: &mut &[u8]) -> Result<u64, &'static str> {
    Ok(u64::from_le_bytes(take(rest, 8)?.try_into().expect("these are eight")))
}

fn bytes(rest: &mut &[u8]) -> Result<Vec<u8>, &'static str> {
    let length = number(rest)?;
    take(rest, usize::try_from(length).unwrap_or(usize::MAX)).map(<[u8]>::to_vec)
}

/// What is wrong with a line that should be this one, if just one of its words is another: a cause.
fn of_one_word(line: &str, expected: &str) -> Option<&'static str> {
    let (words, right) = (line.split(' '), expected.split(' '));
    let differs = words.clone().zip(right.clone()).map(|(word, right)| word != right);
    let differs: Vec<bool> = differs.collect();
    let one = differs.iter().filter(|it| **it).count() == 1;
    let alike = words.count() == right.clone().count() && differs.len() > 1 && one;
    let place = differs.iter().position(|it| *it).filter(|_| alike)?;
    match place {
        0 => Some("answered-is-lost"),
        1 => Some("another-place"),
        2 if right.clone().nth(place) == Some("never") => Some("no-deadline-becomes-one"),
        2 => Some("deadline-is-a-clocks-time"),
        3 | 4 => Some("half-a-request-is-lost"),
        5 | 6 => Some("output-is-lost"),
        _ => None,
    }
}

impl Visitor<'_> {
    /// Asks in a line, and has to get this one.
    #[track_caller]
    fn asks(&mut self, line: &str, expected: &str, when: &str) {
        let answer = self.is_answered(line, expected, when);
        if answer != expected {
            self.fails(&answer, expected, when);
        }
    }

    #[track_caller]
    fn fails(&self, answer: &str, expected: &str, when: &str) -> ! {
        self.server
            .fail_seeing(&format!("{when}, your program gave\n  {answer}\nand not\n  {expected}"));
    }

    /// Asks in a line, and gives the answer. `expected` is for whoever waits for one in vain.
    #[track_caller]
    fn is_answered(&mut self, line: &str, expected: &str, when: &str) -> String {
        self.send(format!("{line}\n").as_bytes());
        let name = self.name();
        let is_line = |bytes: &[u8]| bytes.contains(&b'\n');
        let line = match self.connection.receive_while_missing(&self.server.program, is_line) {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(Received { .. })) => self
                .server
                .fail_seeing(&format!("{when}, {name} was hung up on: {expected} was to come")),
            Err((trouble, _)) => {
                self.server.fail_for(&format!("{when}, {name} waits for {expected}"), &trouble)
            }
        };
        String::from_utf8_lossy(&line).trim_end().to_owned()
    }

    /// Has it written, at this time.
    #[track_caller]
    fn writes(&mut self, it: &Conversation, used: &[u8], sent: &[u8], now: u64, when: &str) {
        let line = format!("write {now} {}", it.words(used, sent));
        let when = format!("{when}, asked to {line}");
        self.asks(&line, &hex(&it.state(now)), &when);
    }

    /// The same; and if only one part of it is wrong, it's said which.
    #[track_caller]
    fn writes_each_part(&mut self, it: &Conversation, now: u64, when: &str) {
        let line = format!("write {now} {}", it.words(b"", b""));
        let (when, expected) = (format!("{when}, asked to {line}"), hex(&it.state(now)));
        let answer = self.is_answered(&line, &expected, &when);
        if answer == expected {
            return;
        }
        let read = from_hex(&answer).and_then(|state| read(&state, now).ok());
        if let Some(cause) = read.and_then(|read| {
            let right = Conversation { deadline: it.deadline.map(|it| it.max(now)), ..it.clone() };
            of_one_word(&read.words(&[], &[]), &right.words(&[], &[]))
        }) {
            self.server.check.suspect(cause);
        }
        self.fails(&answer, &expected, &when);
    }

    /// Has a state read, at this time.
    #[track_caller]
    fn reads(&mut self, state: &[u8], now: u64, when: &str) {
        let line = format!("read {now} {}", hex(state));
        let shown = if line.len() < 300 { line.clone() } else { format!("{} …", &line[..300]) };
        self.asks(&line, &expected(state, now), &format!("{when}, asked to {shown}"));
    }

    /// The same; and if only one part of it is wrong, it's said which.
    #[track_caller]
    fn reads_each_part(&mut self, state: &[u8], now: u64, when: &str) {
        let (line, expected) = (format!("read {now} {}", hex(state)), expected(state, now));
        let when = format!("{when}, asked to {line}");
        let answer = self.is_answered(&line, &expected, &when);
        if answer == expected {
            return;
        }
        if let Some(cause) = of_one_word(&answer, &expected) {
            self.server.check.suspect(cause);
        }
        self.fails(&answer, &expected, &when);
    }
}

#[rstest]
#[case::nothing_yet("another-order", new())]
#[case::in_a_head("another-place", Conversation { answered: 1, ..new() })]
#[case::in_a_body("another-place", Conversation { place: Place::Body(258), ..new() })]
#[case::about_to_close("another-place", Conversation { place: Place::Closing, ..new() })]
#[case::after_many_requests("answered-is-lost", Conversation { answered: u64::MAX - 1, ..new() })]
#[case::with_input("half-a-request-is-lost", Conversation { input: b"GET / HT".to_vec(), ..new() })]
#[case::with_output("output-is-lost", Conversation { output: b"HTTP/1.1 ".to_vec(), ..new() })]
#[case::with_all_of_it("another-order", busy())]
fn it_is_written(#[case] cause: &'static str, #[case] it: Conversation) {
    let check = check!("13-state");
    check.suspect(cause);
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "caller");
    visitor.writes_each_part(&it, 5000, "before anything else");
}

#[rstest]
#[case::nothing_yet("another-order", new())]
#[case::in_a_body("another-place", Conversation { place: Place::Body(258), ..new() })]
#[case::about_to_close("another-place", Conversation { place: Place::Closing, ..new() })]
#[case::after_many_requests("answered-is-lost", Conversation { answered: u64::MAX - 1, ..new() })]
#[case::with_input("half-a-request-is-lost", Conversation { input: b"GET / HT".to_vec(), ..new() })]
#[case::with_output("output-is-lost", Conversation { output: b"HTTP/1.1 ".to_vec(), ..new() })]
#[case::with_all_of_it("another-order", busy())]
fn it_is_read(#[case] cause: &'static str, #[case] it: Conversation) {
    let check = check!("13-state");
    check.suspect(cause);
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "caller");
    visitor.reads_each_part(&it.state(5000), 5000, "before anything else");
}

/// Whoever does a request again does it twice; whoever loses a part of one gets the next one wrong.
#[rstest]
#[case::nothing(b"", b"GET / HT")]
#[case::a_request(b"GET /one HTTP/1.1\r\n\r\n", b"GET /two H")]
#[case::all(b"GET / HTTP/1.1\r\n\r\n", b"")]
#[case::a_byte(b"x", b"y")]
fn what_was_used_stays_behind(#[case] used: &[u8], #[case] input: &[u8]) {
    let check = check!("13-state");
    check.suspect("what-is-used-goes-too");
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "caller");
    let it = Conversation { input: input.to_vec(), ..busy() };
    visitor.writes(&it, used, b"", 5000, "with input of which a part is used");
}

#[rstest]
#[case::nothing(b"", b"all of it")]
#[case::a_part(b"HTTP/1.1 200 ", b"OK\r\n\r\n")]
#[case::all(b"HTTP/1.1 200 OK\r\n\r\n", b"")]
#[case::a_byte(b"x", b"y")]
fn what_was_sent_stays_behind(#[case] sent: &[u8], #[case] output: &[u8]) {
    let check = check!("13-state");
    check.suspect("what-is-sent-goes-again");
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "caller");
    let it = Conversation { output: output.to_vec(), ..busy() };
    visitor.writes(&it, b"", sent, 5000, "with output of which a part is sent");
    visitor.writes(&it, b"used", sent, 5000, "with input and output of which a part is gone");
}

#[test]
fn any_bytes() {
    let check = check!("13-state");
    check.suspect("bytes-are-taken-for-text");
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "caller");
    let all: Vec<u8> = (0..=255).collect();
    for bytes in [&b"\0\xff\r\n \x80"[..], "größer".as_bytes(), &all, &all.repeat(100)] {
        let it = Conversation { input: bytes.to_vec(), ..new() };
        visitor.writes(&it, b"\xff", b"", 0, "with input of any bytes");
        visitor.reads(&it.state(0), 0, "with input of any bytes");
        let it = Conversation { output: bytes.to_vec(), ..new() };
        visitor.writes(&it, b"", b"\0", 0, "with output of any bytes");
        visitor.reads(&it.state(0), 0, "with output of any bytes");
    }
}

#[rstest]
#[case::some("deadline-is-a-clocks-time", Some(6500))]
#[case::a_moment("deadline-is-a-clocks-time", Some(5001))]
#[case::none_any_more("a-time-that-is-over", Some(5000))]
#[case::less_than_none("a-time-that-is-over", Some(4999))]
#[case::long_ago("a-time-that-is-over", Some(0))]
#[case::as_much_as_one_likes("no-deadline-becomes-one", None)]
fn the_time_that_is_left_is_written(#[case] cause: &'static str, #[case] deadline: Option<u64>) {
    let check = check!("13-state");
    check.suspect(cause);
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "caller");
    let it = Conversation { deadline, ..new() };
    visitor.writes(&it, b"", b"", 5000, "with that deadline at 5000");
}

/// Its clock tells another time than the one by which it was written.
#[rstest]
#[case::some("deadline-is-a-clocks-time", Some(6500))]
#[case::none_any_more("a-time-that-is-over", Some(5000))]
#[case::long_ago("a-time-that-is-over", Some(0))]
#[case::as_much_as_one_likes("no-deadline-becomes-one", None)]
fn the_time_that_is_left_is_read(#[case] cause: &'static str, #[case] deadline: Option<u64>) {
    let check = check!("13-state");
    check.suspect(cause);
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "caller");
    let it = Conversation { deadline, ..new() };
    for now in [0, 5000, 1_000_000] {
        visitor.reads(&it.state(5000), now, "by a clock of its own");
    }
}

#[rstest]
#[case::by_one(u64::MAX - 99)]
#[case::by_far(u64::MAX)]
fn a_time_that_no_clock_tells(#[case] left: u64) {
    let check = check!("13-state");
    check.suspect("a-time-is-believed");
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "caller");
    let it = Conversation { deadline: Some(left), ..busy() };
    visitor.reads(&it.state(0), 100, "with a time left that goes beyond the clock");
    visitor.reads(&it.state(0), 0, "with a time left that the clock can just tell");
}

/// Whoever comes from the version before has so much time, and is read by any clock.
#[rstest]
#[case::by_one(u64::MAX - FIRST_DEADLINE + 1)]
#[case::by_far(u64::MAX)]
fn a_first_deadline_that_no_clock_tells(#[case] now: u64) {
    let check = check!("13-state");
    check.suspect("a-time-is-believed");
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "caller");
    for state in [new().old_state(), busy().old_state()] {
        visitor.reads(&state, now, "with a state of version 1 late in the clock's life");
    }
    let when = "with a state of version 1 when the clock can just tell its deadline";
    visitor.reads(&busy().old_state(), u64::MAX - FIRST_DEADLINE, when);
}

/// Where no other state would be told from one whose numbers are cut.
#[test]
fn large_numbers() {
    let check = check!("13-state");
    check.suspect("a-number-is-cut");
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "caller");
    for number in [256, 70_000, u64::from(u32::MAX) + 1, 0x0102_0304_0506_0708, u64::MAX] {
        let when = format!("with {number} as a number");
        for it in [
            Conversation { place: Place::Body(number), ..busy() },
            Conversation { answered: number, ..busy() },
            Conversation { deadline: Some(number), ..busy() },
        ] {
            visitor.writes(&it, b"", b"", 0, &when);
            visitor.reads(&it.state(0), 0, &when);
        }
        let old = Conversation { place: Place::Body(number), ..busy() };
        visitor.reads(&old.old_state(), 0, &when);
    }
}

#[rstest]
#[case::nothing_yet("old-version-isnt-read", new())]
#[case::in_a_body("old-version-isnt-read", Conversation { place: Place::Body(258), ..new() })]
#[case::with_input("old-version-isnt-read", Conversation { input: b"GET / HT".to_vec(), ..new() })]
#[case::with_all_of_it("old-version-isnt-read", busy())]
fn the_version_before_is_read(#[case] cause: &'static str, #[case] it: Conversation) {
    let check = check!("13-state");
    check.suspect(cause);
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "caller");
    for now in [0, 5000] {
        visitor.reads(&it.old_state(), now, "with a state of version 1");
    }
}

#[rstest]
#[case::none(0)]
#[case::the_next_one(3)]
#[case::a_later_one(4)]
#[case::the_last_one(255)]
fn another_version_is_refused(#[case] version: u8) {
    let check = check!("13-state");
    check.suspect("another-version-is-read");
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "caller");
    let when = format!("with a state of version {version}");
    for mut state in [new().state(0), busy().state(0), new().old_state(), busy().old_state()] {
        state[0] = version;
        visitor.reads(&state, 5000, &when);
    }
    check.suspect("the-version-isnt-looked-at-first");
    visitor.reads(&[version], 5000, &when);
    visitor.reads(&[version, 9, 9, 9], 5000, &when);
}

/// Each beginning of a state, from nothing on.
#[rstest]
#[case::of_this_version("cut-short-is-read", busy().state(0))]
#[case::of_the_version_before("cut-short-is-read", busy().old_state())]
#[case::while_it_closes("cut-short-is-read", Conversation { place: Place::Closing, ..new() }.state(0))]
fn what_is_cut_short_is_refused(#[case] cause: &'static str, #[case] state: Vec<u8>) {
    let check = check!("13-state");
    check.suspect(cause);
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "caller");
    for length in 0..state.len() {
        visitor.reads(&state[..length], 0, &format!("with the first {length} bytes of a state"));
    }
    visitor.reads(&state, 0, "with a whole state");
}

#[rstest]
#[case::a_zero(&[0])]
#[case::a_byte(&[7])]
#[case::many(&[1; 100])]
fn nothing_may_follow(#[case] more: &[u8]) {
    let check = check!("13-state");
    check.suspect("more-is-taken");
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "caller");
    for state in [new().state(0), busy().state(0), new().old_state(), busy().old_state()] {
        let state = [&state, more].concat();
        let count = match more.len() {
            1 => "one more byte".to_owned(),
            count => format!("{count} more bytes"),
        };
        visitor.reads(&state, 0, &format!("with {count} behind a state"));
    }
}

#[rstest]
#[case::a_place_that_there_isnt(9, 3)]
#[case::another_place(9, 255)]
#[case::neither_a_deadline_nor_none(10, 2)]
#[case::something_like_a_deadline(10, 255)]
fn what_stands_for_nothing_is_refused(#[case] at: usize, #[case] byte: u8) {
    let check = check!("13-state");
    check.suspect("unknown-is-taken-for-known");
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "caller");
    // As long as one with a number there, and as long as one without.
    for deadline in [None, Some(3)] {
        let mut state = Conversation { deadline, ..new() }.state(0);
        state[at] = byte;
        visitor.reads(&state, 0, &format!("with a byte {byte} where none may be"));
    }
}

#[rstest]
#[case::it_never_closed(2)]
#[case::nor_this(3)]
fn a_place_that_the_version_before_had_not(#[case] byte: u8) {
    let check = check!("13-state");
    check.suspect("old-version-has-what-it-had-not");
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "caller");
    let mut state = new().old_state();
    state[1] = byte;
    visitor.reads(&state, 0, &format!("with the place {byte} in version 1"));
}

/// The most memory that it has asked for, in bytes, where the system can tell.
fn asked_for(server: &Server<'_>) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", server.program.pid())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

#[rstest]
#[case::one_more(13)]
#[case::a_gigabyte(1 << 30)]
#[case::four_gigabytes_and_what_is_there((1 << 32) + 12)]
#[case::far_too_many(1 << 62)]
#[case::all_that_a_number_holds(u64::MAX)]
#[case::nearly_all(u64::MAX - 20)]
fn no_length_is_believed(#[case] length: u64) {
    let check = check!("13-state");
    check.suspect("a-length-is-believed");
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "caller");
    visitor.reads(&busy().state(0), 0, "before anything else");
    let before = asked_for(&server);
    let when = format!("with a length of {length} bytes");
    for of_input in [true, false] {
        let mut state = busy().state(0);
        let end = state.len();
        // 12 bytes of input stand behind their length, and then 8 of output behind theirs.
        let at = if of_input { end - 36 } else { end - 16 };
        state[at..at + 8].copy_from_slice(&length.to_le_bytes());
        visitor.reads(&state, 0, &when);
    }
    if let (Some(before), Some(after)) = (before, asked_for(&server))
        && after - before > PLENTY
    {
        let more = (after - before) >> 20;
        server.fail_seeing(&format!("{when}, your program asked for {more} MiB of memory"));
    }
}

/// States with a byte that is another one, with one more or one fewer, with nonsense in them: each is read as it's written, or
/// refused. The same ones each time.
#[test]
fn broken_states() {
    let check = check!("13-state");
    check.suspect("cut-short-is-read");
    let server = check.server(&[]);
    let mut visitor = Visitor::new(&server, "caller");
    let mut rng = Rng::with_seed(13);
    let whole = [
        new().state(0),
        busy().state(0),
        new().old_state(),
        busy().old_state(),
        Conversation { place: Place::Closing, ..busy() }.state(0),
    ];
    for number in 0..MANY {
        let mut state = whole[number % whole.len()].clone();
        for _ in 0..=rng.usize(..2) {
            let at = rng.usize(1..state.len());
            match rng.u8(..8) {
                0 => drop(state.remove(at)),
                1 => state.insert(at, rng.u8(..)),
                2 => state.truncate(at + 1),
                _ => state[at] = if rng.bool() { rng.u8(..4) } else { rng.u8(..) },
            }
        }
        // What is wrong with whoever reads it all the same.
        let cause = match read(&state, 5000) {
            Err(cause) => cause,
            Ok(_) if state.first() == Some(&1) => "old-version-isnt-read",
            Ok(_) => "another-order",
        };
        check.suspect(cause);
        visitor.reads(&state, 5000, "with a broken state");
    }
}
