//! The checks of race-due: a load that keeps its schedule. First the schedule itself is asked: no clock runs, and so it's told
//! any time, to the nanosecond. Then the load runs. What is due, sent and counted is in the program's own report,
//! and what is judged there follows from its numbers alone, or from the order of events. Where a check judges how late
//! something was, it measures beside it how late this machine is.

use std::collections::BTreeSet;
use std::io::{self, PipeWriter, Write};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use grader::check;
use grader::check::{Check, Server};
use rstest::rstest;
use visitors::connection::Connection;
use visitors::hosts::Host;
use visitors::program::{Program, Start, Trouble};
use visitors::setup::{skipped, with_lateness};

const SECOND: u128 = 1_000_000_000;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

/// How often to try what a busy machine may spoil.
const TRIES: usize = 3;

/// The judged load, and the host that it asks.
struct Load<'a> {
    server: Server<'a>,
    host: Host,
    rate: u64,
    count: u64,
}

/// A request that has come, and isn't answered yet.
struct Asked {
    number: u64,
    connection: Connection,
}

/// What the program reports of a request. All in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Line {
    number: u64,
    due: u128,
    sent: u128,
    answered: u128,
    latency: u128,
}

/// A schedule that is asked, and that no load keeps.
struct Schedule<'a> {
    check: &'a Check,
    rate: u64,
    count: u64,
}

/// What `next` has given: the requests that are to be sent, and when the next one is due, in nanoseconds.
#[derive(PartialEq, Eq)]
struct Given {
    requests: Range<u64>,
    next: Option<u128>,
}

impl Schedule<'_> {
    /// Such as `of 3 requests at 20 a second`.
    fn pace(&self) -> String {
        format!("of {} at {} a second", in_number(self.count), self.rate)
    }

    /// The program that is asked, and what it reads from.
    #[track_caller]
    fn start(&self) -> (Program, PipeWriter) {
        let started = io::pipe().and_then(|(reader, input)| {
            let start = Start::new(self.check.program()).env("RUST_BACKTRACE", "0").stdin(reader);
            let start = start.arg(self.rate.to_string()).arg(self.count.to_string());
            Ok((start.start()?, input))
        });
        match started {
            Ok(started) => started,
            Err(error) => self.check.fail(format!("your program can't be started: {error}")),
        }
    }

    /// Asks `questions`, one a line, and gives what is said behind each: `due 1: 10.000000` is `10.000000`.
    #[track_caller]
    fn asked(&self, questions: &[String]) -> Vec<String> {
        let check = self.check;
        let (program, mut input) = self.start();
        let lines = questions.join("\n") + "\n";
        // A program that doesn't read must not hold us up, and one that has ended has said why.
        thread::spawn(move || drop(input.write_all(lines.as_bytes())));
        let expected = || {
            format!(
                "{}, asked `{}`, your program was to answer",
                self.pace(),
                questions.join("`, `")
            )
        };
        match program.ended() {
            Ok(status) if status.success() => {}
            Ok(_) => check.fail_for(&expected(), &program.ended_with().expect("it has ended")),
            Err(trouble) => check.fail_for(&expected(), &trouble),
        }
        let printed = String::from_utf8_lossy(&program.stdout()).into_owned();
        let answers = printed.lines().filter_map(|line| Some(line.split_once(": ")?.1.to_owned()));
        let answers: Vec<String> = answers.collect();
        if answers.len() != questions.len() {
            let (is, to_be) = (answers.len(), questions.len());
            check.fail(format!("{} {to_be} times, and answered {is}:\n{printed}", expected()));
        }
        answers
    }

    /// When each of these is due, as it says.
    #[track_caller]
    fn due(&self, numbers: &[u64]) -> Vec<Option<u128>> {
        let questions: Vec<String> = numbers.iter().map(|number| format!("due {number}")).collect();
        self.asked(&questions).iter().map(|answer| from_ms(answer)).collect()
    }

    /// What is given at each of these times, in nanoseconds, one after the other.
    #[track_caller]
    fn next(&self, times: &[u128]) -> Vec<Given> {
        let questions: Vec<String> =
            times.iter().map(|time| format!("next {}", in_ms(*time))).collect();
        let given = |answer: &String| {
            let (requests, next) = answer.split_once(", then ")?;
            let requests = match requests.split_once(" to ") {
                Some((first, last)) => {
                    first.parse().ok()?..last.parse::<u64>().ok()?.checked_add(1)?
                }
                None => 0..0,
            };
            Some(Given { requests, next: from_ms(next) })
        };
        let read = |answer: &String| match given(answer) {
            Some(given) => given,
            None => {
                self.check.fail(format!("{}, `next` was asked, and it said {answer}", self.pace()))
            }
        };
        self.asked(&questions).iter().map(read).collect()
    }

    /// At each of these times just what is due by then is given, and when the next one is due. `due` says when each is.
    #[track_caller]
    fn gives(&self, times: &[u128], due: impl Fn(u64) -> Option<u128>) {
        let mut first = 0;
        for (place, (now, given)) in times.iter().zip(self.next(times)).enumerate() {
            let mut behind = first;
            while due(behind).is_some_and(|due| due <= *now) {
                behind += 1;
            }
            let expected = Given { requests: first..behind, next: due(behind) };
            let is_right = given.next == expected.next
                && (given.requests == expected.requests
                    || given.requests.is_empty() && first == behind);
            if !is_right {
                self.suspect(&given, &expected, *now);
                let before = match place.checked_sub(1).map(|place| in_ms(times[place])) {
                    Some(before) => format!("asked after {before} ms, and then"),
                    None => "asked".to_owned(),
                };
                let (now, given, expected) = (in_ms(*now), given.in_words(), expected.in_words());
                let pace = self.pace();
                self.check.fail(format!(
                    "{pace}, {before} after {now} ms, `next` gave {given}; and it was to give {expected}"
                ));
            }
            first = behind;
        }
    }

    /// What a difference speaks for.
    fn suspect(&self, given: &Given, expected: &Given, now: u128) {
        let (is, to_be) = (&given.requests, &expected.requests);
        let is_missing = is.end < to_be.end && !to_be.is_empty();
        let cause = if !is.is_empty() && is.start < to_be.start {
            "gives-the-same-again"
        } else if !is.is_empty() && is.end > to_be.end {
            "too-early"
        } else if !is.is_empty() && is.start > to_be.start {
            "drops-what-is-late"
        } else if is_missing {
            match given.next {
                // Whoever goes on behind those that are missing leaves them out.
                next if next == expected.next => "drops-what-is-late",
                _ if self.is_rounded(to_be.start) && is_beside(given.next, Some(now)) => {
                    "rounds-in-two-ways"
                }
                Some(next) if next == now && is.is_empty() => "not-what-is-due-just-now",
                _ => "catches-up-slowly",
            }
        } else {
            match (given.next, expected.next) {
                (Some(_), None) => "never-at-an-end",
                (next, due) if self.is_rounded(to_be.end) && is_beside(next, due) => {
                    "rounds-in-two-ways"
                }
                (Some(next), Some(due)) if next < due => "looks-again-and-again",
                _ => "too-late",
            }
        };
        self.check.suspect(cause);
    }

    /// Whether it's due in between two nanoseconds.
    fn is_rounded(&self, number: u64) -> bool {
        !(u128::from(number) * SECOND).is_multiple_of(u128::from(self.rate))
    }
}

/// Whether two times are the same to a nanosecond.
fn is_beside(one: Option<u128>, other: Option<u128>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one.abs_diff(other) <= 1)
}

impl Given {
    /// Such as `requests 0 to 2, and 30.000000 ms for the next one`.
    fn in_words(&self) -> String {
        let Range { start, end } = self.requests;
        let requests = match end.saturating_sub(start) {
            0 => "none".to_owned(),
            1 => format!("request {start}"),
            _ => format!("requests {start} to {}", end - 1),
        };
        let next = self.next.map_or("no time".to_owned(), |next| format!("{} ms", in_ms(next)));
        format!("{requests}, and {next} for the next one")
    }
}

/// `1 request`, `20 requests`.
fn in_number(count: u64) -> String {
    format!("{count} request{}", if count == 1 { "" } else { "s" })
}

/// Whether a request may be due at `time`: exactly then, or rounded up or down to a nanosecond.
fn is_due(number: u64, rate: u64, time: u128) -> bool {
    let (all, rate) = (u128::from(number) * SECOND, u128::from(rate));
    (all / rate..=all.div_ceil(rate)).contains(&time)
}

impl Asked {
    fn answer(mut self) {
        // If the program has hung up, its report says so.
        let _ = self.connection.send(ANSWER);
    }
}

impl<'a> Load<'a> {
    #[track_caller]
    fn start(check: &'a Check, rate: u64, count: u64) -> Self {
        let host = match Host::bind() {
            Ok(host) => host,
            Err(error) => check.fail(format!("no host could be made for it: {error}")),
        };
        let address = host.address();
        let words = [address.to_string(), rate.to_string(), count.to_string()];
        let program = check.start(&words.each_ref().map(String::as_str));
        check.suspect_where("were to be sent, ", "another-count");
        check.suspect_where("never sent: ", "drops-what-is-late");
        check.suspect_where("more requests came than that", "another-count");
        check.suspect_where("was to end when all were answered", "never-at-an-end");
        Self { server: Server { check, program, address }, host, rate, count }
    }

    fn program(&self) -> &Program {
        &self.server.program
    }

    /// Such as `with 3 requests at 20 a second`.
    fn pace(&self) -> String {
        format!("with {} at {} a second", in_number(self.count), self.rate)
    }

    /// Fails with what was seen in the report: the program has ended as it should. What it said meanwhile may tell more.
    #[track_caller]
    fn fail(&self, saw: &str) -> ! {
        match self.program().stderr().is_empty() {
            true => self.server.check.fail(saw),
            false => self.server.fail_seeing(saw),
        }
    }

    /// The next request that comes. Fails with `expected` if none does.
    #[track_caller]
    fn next(&self, expected: &str) -> Asked {
        match self.next_or_trouble() {
            Ok(asked) => asked,
            Err(trouble) => self.server.fail_for(expected, &trouble),
        }
    }

    fn next_or_trouble(&self) -> Result<Asked, Trouble> {
        let mut connection = self.host.accept(self.program(), "host")?;
        let is_whole = |bytes: &[u8]| bytes.ends_with(b"\r\n\r\n");
        let head = connection.receive_while_missing(self.program(), is_whole);
        let head = match head {
            Ok(Ok(head)) => String::from_utf8_lossy(&head).into_owned(),
            Ok(Err(_)) => String::new(),
            Err((trouble, _)) => return Err(trouble),
        };
        let number = head.strip_prefix("GET /?").and_then(|rest| rest.split(' ').next());
        match number.and_then(|number| number.parse().ok()) {
            Some(number) => Ok(Asked { number, connection }),
            None => self.server.fail_seeing(&format!("this came, and is no request: {head:?}")),
        }
    }

    /// Answers all that come, at once, until the program has ended.
    #[track_caller]
    fn answer_all(&self, when: &str) {
        let mut came = BTreeSet::new();
        loop {
            let asked = match self.next_or_trouble() {
                Ok(asked) => asked,
                Err(Trouble::Ended { .. }) => return,
                Err(trouble) => {
                    let (all, came) = (self.count, came.len());
                    let expected = format!(
                        "{when}, your program was to end when all were answered, {all} in number, and {came} came now"
                    );
                    self.server.fail_for(&expected, &trouble);
                }
            };
            let number = asked.number;
            asked.answer();
            if !came.insert(number) {
                self.server.check.suspect("gives-the-same-again");
                self.server.fail_seeing(&format!("{when}, request {number} came twice"));
            }
            if number >= self.count {
                let last = self.count.saturating_sub(1);
                self.server.fail_seeing(&format!(
                    "{when}, more requests came than that: {number}, and the last is {last}"
                ));
            }
        }
    }

    /// What it reports when it has ended: of each request that there is, in order.
    #[track_caller]
    fn report(&self, when: &str) -> Vec<Line> {
        match self.program().ended() {
            Ok(status) if status.success() => {}
            Ok(_) => {
                let trouble = self.program().ended_with().expect("it has ended");
                self.server.fail_for(&format!("{when}, it was to end well"), &trouble);
            }
            Err(trouble) => {
                self.server.fail_for(&format!("{when}, your program was to end"), &trouble);
            }
        }
        let printed = String::from_utf8_lossy(&self.program().stdout()).into_owned();
        let lines = printed.lines().take_while(|line| !line.starts_with("of "));
        let read = |line| match read(line) {
            Some(line) => line,
            None => self.fail(&format!("{when}, your program reported\n  {line}")),
        };
        let lines: Vec<Line> = lines.map(read).collect();
        let numbers: Vec<u64> = lines.iter().map(|line| line.number).collect();
        let all: Vec<u64> = (0..if self.rate == 0 { 0 } else { self.count }).collect();
        if numbers != all {
            let wrong = numbers.iter().zip(&all).position(|(is, was_to_be)| is != was_to_be);
            let seen = left_out(&numbers, all.len() as u64).unwrap_or_else(|| match wrong {
                Some(0) => format!("the first one was {}", numbers[0]),
                Some(place) => format!("behind {} came {}", numbers[place - 1], numbers[place]),
                None => format!("{} were sent", numbers.len()),
            });
            self.fail(&format!(
                "{when}, requests 0, 1, 2 and so on were to be sent, {} in all: {seen}",
                all.len()
            ));
        }
        lines
    }

    /// Each that comes behind the first, unanswered, until all have come, or none comes any more; and why none does.
    fn others_that_come(&self) -> (Vec<Asked>, Option<Trouble>) {
        let mut asked = Vec::new();
        for _ in 1..self.count {
            match self.next_or_trouble() {
                Ok(one) => asked.push(one),
                Err(trouble) => return (asked, Some(trouble)),
            }
        }
        (asked, None)
    }

    /// More than two intervals of a load that is held up.
    fn is_late(&self, line: &Line) -> bool {
        line.sent > self.due(line.number) + 2 * SECOND / u128::from(self.rate)
    }

    /// When a request is due, cut to a nanosecond.
    fn due(&self, number: u64) -> u128 {
        u128::from(number) * SECOND / u128::from(self.rate)
    }

    #[track_caller]
    fn is_due_when_it_should(&self, lines: &[Line], when: &str) {
        for line in lines {
            let due = self.due(line.number);
            if !is_due(line.number, self.rate, line.due) {
                let (is, due) = (in_ms(line.due), in_ms(due));
                let number = line.number;
                self.fail(&format!(
                    "{when}, request {number} was due after {is} ms, and not after {due} ms"
                ));
            }
        }
    }

    /// Of the lines with these latencies each is what its own numbers say.
    #[track_caller]
    fn counts_from_when_it_was_due(&self, lines: &[Line], when: &str) {
        for line in lines {
            let Line { number, due, sent, answered, latency } = *line;
            if latency.abs_diff(answered.saturating_sub(due)) > 1 {
                let [due, sent, answered, latency] = [due, sent, answered, latency].map(in_ms);
                self.fail(&format!(
                    "{when}, request {number} was due at {due}, sent at {sent}, answered at {answered}, and its latency was \
                     said to be {latency} ms"
                ));
            }
        }
    }
}

/// What was left out of `count` requests: `never sent: 3, 4, 7 and 20 others`. `None` if none was, or the last one alone: then
/// it's the count that is wrong.
fn left_out(came: &[u64], count: u64) -> Option<String> {
    /// More say no more.
    const SHOWN: usize = 3;
    let missing: Vec<u64> = (0..count).filter(|number| !came.contains(number)).collect();
    if missing.is_empty() || missing == [count - 1] {
        return None;
    }
    let shown: Vec<String> = missing.iter().take(SHOWN).map(u64::to_string).collect();
    let others = match missing.len().saturating_sub(SHOWN) {
        0 => String::new(),
        1 => " and one other".to_owned(),
        others => format!(" and {others} others"),
    };
    Some(format!("never sent: {}{others}", shown.join(", ")))
}

/// `3 due 30.000000 sent 30.112233 answered 31.000000 latency 1.000000`
fn read(line: &str) -> Option<Line> {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        [number, "due", due, "sent", sent, "answered", answered, "latency", latency] => {
            Some(Line {
                number: number.parse().ok()?,
                due: from_ms(due)?,
                sent: from_ms(sent)?,
                answered: from_ms(answered)?,
                latency: from_ms(latency)?,
            })
        }
        _ => None,
    }
}

fn from_ms(word: &str) -> Option<u128> {
    let (whole, part) = word.split_once('.').filter(|(_, part)| part.len() == 6)?;
    Some(whole.parse::<u128>().ok()? * 1_000_000 + part.parse::<u128>().ok()?)
}

fn in_ms(time: u128) -> String {
    format!("{}.{:06}", time / 1_000_000, time % 1_000_000)
}

#[rstest]
#[case::three_a_second(3, &[0, 1, 2, 3, 1000, 1_000_000_007])]
#[case::one_a_second(1, &[0, 1, 18_446_744_074, u64::MAX - 1])]
#[case::more_than_a_float_holds(7, &[7, (1 << 53) + 1, (1 << 60) + 3, u64::MAX - 1])]
#[case::about_one_a_nanosecond(1_000_000_007, &[1, 1_000_000_006, 1_000_000_007, (1 << 62) + 1, u64::MAX - 1])]
#[case::as_many_as_can_be(u64::MAX, &[0, 1, (1 << 54) + 1, 1 << 63, u64::MAX - 1])]
fn each_is_due_whichever_its_number(#[case] rate: u64, #[case] numbers: &[u64]) {
    /// Up to here nanoseconds fit into a u64.
    const SMALL: u64 = 1 << 33;
    let check = check!("race-due");
    check.suspect_where("attempt to", "a-time-is-a-large-number");
    let schedule = Schedule { check: &check, rate, count: u64::MAX };
    for (number, due) in numbers.iter().zip(schedule.due(numbers)) {
        let expected = u128::from(*number) * SECOND / u128::from(rate);
        if due.is_none_or(|due| !is_due(*number, rate, due)) {
            // An interval that was rounded is further off.
            let is_near = due.is_some_and(|due| due.abs_diff(expected) <= expected >> 40);
            check.suspect(match *number {
                0 => "first-isnt-due-at-once",
                _ if is_near => "due-in-floating-point",
                small if small < SMALL => "interval-is-rounded",
                _ => "a-time-is-a-large-number",
            });
            let is = due.map_or("never".to_owned(), |due| format!("after {} ms", in_ms(due)));
            let (pace, to_be) = (schedule.pace(), in_ms(expected));
            check.fail(format!("{pace}, request {number} is due {is}, and not after {to_be} ms"));
        }
    }
}

#[rstest]
#[case::behind_the_last(7, 3, 3)]
#[case::with_a_rate_of_0(0, 5, 1)]
#[case::with_a_count_of_0(7, 0, 0)]
fn what_isnt_there_is_never_due(#[case] rate: u64, #[case] count: u64, #[case] number: u64) {
    let check = check!("race-due");
    check.suspect(if rate == 0 { "rate-of-0" } else { "due-behind-the-last" });
    let schedule = Schedule { check: &check, rate, count };
    if let Some(due) = schedule.due(&[number])[0] {
        let (pace, due) = (schedule.pace(), in_ms(due));
        check.fail(format!("{pace}, request {number} is due after {due} ms, and not never"));
    }
}

/// In milliseconds: a thousand a second.
#[rstest]
#[case::several_at_once(&[0, 20, 21, 50, 5000, 5001])]
#[case::often(&[0, 0, 1, 1, 1, 2, 3])]
fn what_is_due_by_then_is_given(#[case] times: &[u64]) {
    /// A whole number of milliseconds is between two: so nothing is rounded.
    const RATE: u64 = 1000;
    const COUNT: u64 = 100;
    const MS: u128 = 1_000_000;
    let check = check!("race-due");
    check.suspect("catches-up-slowly");
    let schedule = Schedule { check: &check, rate: RATE, count: COUNT };
    // In the middle between two: whether one is due that is due just now is asked elsewhere.
    let times: Vec<u128> = times.iter().map(|time| u128::from(*time) * MS + MS / 2).collect();
    schedule.gives(&times, |number| (number < COUNT).then_some(u128::from(number) * MS));
}

/// A nanosecond before one is due, and just when it is, as the program itself says.
#[rstest]
#[case::in_whole_milliseconds(1000)]
#[case::rounded(3)]
#[case::rounded_often(700)]
fn what_is_due_just_now_is_given(#[case] rate: u64) {
    const COUNT: u64 = 9;
    let check = check!("race-due");
    let schedule = Schedule { check: &check, rate, count: COUNT };
    let numbers: Vec<u64> = (0..COUNT).collect();
    let due = schedule.due(&numbers);
    let times = due.iter().flatten().flat_map(|due| [due.saturating_sub(1), *due]);
    let times: Vec<u128> = times.collect();
    schedule.gives(&times, |number| *due.get(usize::try_from(number).ok()?)?);
}

#[rstest]
#[case::one(1)]
#[case::two(2)]
#[case::twenty(20)]
fn each_is_sent_once(#[case] count: u64) {
    let check = check!("race-due");
    check.suspect("another-count");
    let load = Load::start(&check, 200, count);
    let when = load.pace();
    load.answer_all(&when);
    load.report(&when);
}

#[rstest]
#[case::a_rate_of_0(0, 5)]
#[case::a_count_of_0(100, 0)]
#[case::both(0, 0)]
fn there_is_nothing_to_send(#[case] rate: u64, #[case] count: u64) {
    let check = check!("race-due");
    check.suspect(if rate == 0 { "rate-of-0" } else { "another-count" });
    let load = Load::start(&check, rate, count);
    let when = load.pace();
    match load.next_or_trouble() {
        Ok(Asked { number, .. }) => {
            load.server.fail_seeing(&format!("{when}, request {number} came"))
        }
        Err(Trouble::Ended { .. }) => {}
        Err(trouble) => {
            load.server.fail_for(&format!("{when}, it was to end at once"), &trouble);
        }
    }
    load.report(&when);
}

#[rstest]
#[case::a_few_a_second(7, 3)]
#[case::for_more_than_a_second(5, 8)]
#[case::many_a_second(700, 40)]
#[case::thousands_a_second(30_000, 100)]
#[case::millions_a_second(3_000_000, 100)]
#[case::more_than_a_u32_holds(4_294_967_297, 5)]
#[case::more_than_one_a_nanosecond(3_000_000_000, 100)]
#[case::very_many_a_second(1_000_000_000_000, 5)]
#[case::as_many_as_can_be(u64::MAX, 5)]
fn each_is_due_at_its_own_time(#[case] rate: u64, #[case] count: u64) {
    let check = check!("race-due");
    check.suspect("interval-is-rounded");
    let load = Load::start(&check, rate, count);
    let when = load.pace();
    load.answer_all(&when);
    let lines = load.report(&when);
    load.is_due_when_it_should(&lines, &when);
}

/// The first answer comes in many pieces: at each of them `next` is asked, and mostly nothing is due.
#[rstest]
#[case::a_few_a_second(20, 4)]
#[case::many_a_second(700, 40)]
#[case::thousands_a_second(30_000, 100)]
fn none_is_sent_early(#[case] rate: u64, #[case] count: u64) {
    const EACH: Duration = Duration::from_millis(3);
    /// Far more than are needed: it ends whatever goes wrong.
    const PIECES: usize = 1000;
    let check = check!("race-due");
    check.suspect("too-early");
    let load = Load::start(&check, rate, count);
    let when = format!("{}, and an answer that comes in many pieces", load.pace());
    let first = load.next("the first request was to come");
    let is_over = AtomicBool::new(false);
    let others = thread::scope(|scope| {
        scope.spawn(|| {
            let mut connection = first.connection;
            for _ in 0..PIECES {
                if is_over.load(Ordering::Relaxed) || connection.send(b"x").is_err() {
                    break;
                }
                thread::sleep(EACH);
            }
        });
        let others = load.others_that_come();
        is_over.store(true, Ordering::Relaxed);
        others
    });
    let (others, trouble) = others;
    let came = 1 + others.len();
    others.into_iter().for_each(Asked::answer);
    load.answer_all(&when);
    let lines = load.report(&when);
    if let Some(trouble) = trouble {
        // It came when others had been answered.
        check.suspect("waits-for-answers");
        load.server.fail_for(&format!("{when}, request {came} was to come"), &trouble);
    }
    for Line { number, sent, .. } in lines {
        let due = load.due(number);
        if sent < due {
            let (sent, due) = (in_ms(sent), in_ms(due));
            load.fail(&format!(
                "{when}, request {number} is due after {due} ms, and was sent after {sent} ms"
            ));
        }
    }
}

#[rstest]
#[case::a_few_a_second(4, 4)]
#[case::many_a_second(700, 400)]
fn each_is_sent_in_time(#[case] rate: u64, #[case] count: u64) {
    /// So much later is no fault of a timer's, in milliseconds.
    const LATE: u128 = 100;
    /// One of them at least is less late than that, in nanoseconds.
    const ALL_LATE: u128 = 10_000_000;
    let check = check!("race-due");
    check.suspect("too-late");
    let mut seen = String::new();
    for _ in 0..TRIES {
        let load = Load::start(&check, rate, count);
        let when = load.pace();
        let (lines, late) = with_lateness(|| {
            load.answer_all(&when);
            load.report(&when)
        });
        let limit = LATE * 1_000_000 + late.as_nanos();
        let is_late = |line: &&Line| line.sent > load.due(line.number) + limit;
        let by = |line: &Line| line.sent.saturating_sub(load.due(line.number));
        let least = lines.iter().map(by).min().unwrap_or_default();
        if let Some(line) = lines.iter().find(is_late) {
            let (number, sent, due) = (line.number, in_ms(line.sent), in_ms(load.due(line.number)));
            seen = format!(
                "{when}, request {number} is due after {due} ms, and was sent after {sent} ms"
            );
        } else if least > ALL_LATE {
            seen = format!("{when}, all were sent late, by {} ms at the least", in_ms(least));
        } else {
            return;
        }
        if late < Duration::from_millis(30) {
            break;
        }
    }
    check.fail(seen);
}

#[rstest]
#[case::three(1000, 3)]
#[case::a_hundred(1000, 100)]
#[case::a_hundred_at_once(1_000_000_000, 100)]
fn none_waits_for_an_answer(#[case] rate: u64, #[case] count: u64) {
    let check = check!("race-due");
    check.suspect("waits-for-answers");
    let load = Load::start(&check, rate, count);
    let pace = load.pace();
    let mut asked = Vec::new();
    for number in 0..count {
        let missing = format!("{pace}, and no answer to any, request {number} was to come");
        asked.push(load.next(&missing));
    }
    let when = format!("{pace}, answered when all had come");
    check.suspect("latency-from-sending");
    asked.into_iter().rev().for_each(Asked::answer);
    load.answer_all(&when);
    let lines = load.report(&when);
    load.counts_from_when_it_was_due(&lines, &when);
}

#[test]
fn a_latency_counts_from_when_it_was_due() {
    let check = check!("race-due");
    check.suspect("latency-from-sending");
    let load = Load::start(&check, 100, 10);
    let when = load.pace();
    load.answer_all(&when);
    let lines = load.report(&when);
    load.counts_from_when_it_was_due(&lines, &when);
}

/// The load is stopped for a while, in which many fall due. Whoever judges is given what it reports, and how late this
/// machine was.
#[track_caller]
fn hold_up(check: &Check, judge: impl Fn(&Load<'_>, &[Line], Duration, &str)) {
    const RATE: u64 = 50;
    /// So long it's stopped: 60 fall due. If the machine makes it longer, more do.
    const STOPPED: Duration = Duration::from_millis(1200);
    /// So many at least were to be late.
    const LATE: usize = 5;
    for _ in 0..TRIES {
        let load = Load::start(check, RATE, 75);
        check.suspect_where("were to be sent, ", "drops-what-is-late");
        let when = format!("{}, stopped for {} ms", load.pace(), STOPPED.as_millis());
        load.next("the first request was to come").answer();
        load.program().stop();
        thread::sleep(STOPPED);
        let (lines, late) = with_lateness(|| {
            load.program().go_on();
            load.answer_all(&when);
            load.report(&when)
        });
        judge(&load, &lines, late, &when);
        if lines.iter().filter(|line| load.is_late(line)).count() >= LATE {
            return;
        }
    }
    skipped("whenever the load was stopped, it had sent all already");
}

#[test]
fn what_is_late_is_sent_all_the_same() {
    let check = check!("race-due");
    check.suspect("drops-what-is-late");
    // That each number is there is in the report.
    hold_up(&check, |_, _, _, _| {});
}

#[test]
fn what_is_late_is_sent_at_once() {
    /// So long it may take to send all of them, in nanoseconds.
    const ALL: u128 = 150_000_000;
    let check = check!("race-due");
    check.suspect("catches-up-slowly");
    hold_up(&check, |load, lines, late, when| {
        let sent = || lines.iter().filter(|line| load.is_late(line)).map(|line| line.sent);
        let (Some(first), Some(last)) = (sent().min(), sent().max()) else { return };
        let (took, count) = (last - first, sent().count());
        // Where the machine is late, nothing is known.
        if took > ALL && late < Duration::from_millis(30) {
            let took = in_ms(took);
            load.fail(&format!("{when}, {count} were late, and to send them took {took} ms"));
        }
    });
}

#[test]
fn what_is_late_stays_due_when_it_was() {
    let check = check!("race-due");
    check.suspect("schedule-moves");
    hold_up(&check, |load, lines, _, when| load.is_due_when_it_should(lines, when));
}

#[test]
fn what_is_late_counts_each_from_its_own_time() {
    let check = check!("race-due");
    check.suspect("burst-counts-from-now");
    hold_up(&check, |load, lines, _, when| load.counts_from_when_it_was_due(lines, when));
}

/// The first answer comes in the middle between two requests, and so `next` is asked there. The other request is due when
/// it was due before. A machine that has other things to do may be so late once or twice.
#[test]
fn an_answer_delays_nothing() {
    const RATE: u64 = 5;
    const HALF: Duration = Duration::from_millis(100);
    const TRIES: usize = 6;
    let check = check!("race-due");
    check.suspect("schedule-begins-anew");
    let mut seen = String::new();
    for _ in 0..TRIES {
        let load = Load::start(&check, RATE, 2);
        let when = load.pace();
        let first = load.next("the first request was to come");
        thread::sleep(HALF);
        first.answer();
        load.answer_all(&when);
        let lines = load.report(&when);
        let [answered, sent, interval] = [lines[0].answered, lines[1].sent, load.due(1)];
        if sent < answered + interval {
            return;
        }
        let [answered, sent, due] = [answered, sent, interval].map(in_ms);
        seen = format!(
            "{when}, number 0 was answered after {answered} ms; and number 1, which is due after {due} ms, was sent after \
             {sent} ms: an interval behind the answer, or more"
        );
    }
    check.fail(format!("{seen}; and so it was {TRIES} times"));
}

#[test]
fn between_two_it_sleeps() {
    /// A second is between two of them.
    const RATE: u64 = 1;
    const COUNT: u64 = 3;
    /// Much more than it takes to send three requests.
    const PLENTY: Duration = Duration::from_millis(100);
    const OFTEN: u64 = 200;
    let check = check!("race-due");
    check.suspect("looks-again-and-again");
    check.suspect_where("was to come", "too-late");
    check.suspect_where("a loop that never waits", "looks-again-and-again");
    let load = Load::start(&check, RATE, COUNT);
    let when = load.pace();
    let (mut asked, mut used) = (Vec::new(), (Duration::ZERO, None));
    for number in 0..COUNT {
        asked.push(load.next(&format!("{when}, request {number} was to come")));
        let cpu = load.program().usage().unwrap_or_default().cpu;
        used = (cpu, times_asleep(load.program()));
    }
    asked.into_iter().for_each(Asked::answer);
    load.answer_all(&when);
    load.report(&when);
    let (cpu, slept) = used;
    if cpu > PLENTY {
        let ms = cpu.as_millis();
        check.fail(format!("{when}, your program used {ms} ms of CPU time in 2 seconds"));
    }
    if let Some(slept) = slept.filter(|slept| *slept > OFTEN) {
        check.fail(format!("{when}, your program woke up {slept} times in 2 seconds"));
    }
}

/// How often it has gone to sleep so far (proc_pid_status(5)). `None` where the system can't tell.
fn times_asleep(program: &Program) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid())).ok()?;
    let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    count?.trim().parse().ok()
}

#[test]
fn however_many_there_are() {
    const RATE: u64 = 100;
    const INTERVAL: u128 = 10_000_000;
    let check = check!("race-due");
    check.suspect("looks-at-all-of-them");
    // Asked first: a load that goes on for ever and sends nothing would be waited for for a long time.
    let schedule = Schedule { check: &check, rate: RATE, count: u64::MAX };
    schedule.gives(&[0, 25_000_000, 45_000_000], |number| Some(u128::from(number) * INTERVAL));
    let load = Load::start(&check, RATE, u64::MAX);
    let when = load.pace();
    for number in 0..5 {
        let asked = load.next(&format!("{when}, request {number} was to come"));
        if asked.number != number {
            let came = asked.number;
            load.server.fail_seeing(&format!("{when}, {came} came, and {number} was to come"));
        }
        asked.answer();
    }
}

/// Questions that are asked when much has been given cost no more than those before, and than giving all that.
#[test]
fn what_was_given_costs_nothing() {
    /// One a millisecond.
    const RATE: u64 = 1000;
    const QUESTIONS: u64 = 40;
    const MANY: u64 = 500_000;
    /// The later ones may cost so many times as much as all that was asked before.
    const TIMES: u32 = 4;
    /// And so much more: CPU time is told in steps of 10 ms.
    const MORE: Duration = Duration::from_millis(30);
    let check = check!("race-due");
    check.suspect("counts-what-was-given");
    let schedule = Schedule { check: &check, rate: RATE, count: u64::MAX };
    let (program, mut input) = schedule.start();
    // Asks `next` at each of these milliseconds, and gives how much CPU time was used when all is answered.
    let mut used_after = |times: Range<u64>, what: &str| {
        let end = format!("due {}", times.end);
        let questions: String = times.map(|ms| format!("next {ms}\n")).collect();
        // It's less than a pipe holds. A program that has ended has said why.
        let _ = input.write_all(format!("{questions}{end}\n").as_bytes());
        if let Err(trouble) = program.prints(|line| line.starts_with(&end)) {
            let pace = schedule.pace();
            check.fail_for(&format!("{pace}, your program was to answer {what}"), &trouble);
        }
        program.usage().unwrap_or_default().cpu
    };
    let more = format!("{QUESTIONS} more questions when {MANY} requests had been given");
    used_after(0..QUESTIONS, &format!("{QUESTIONS} questions at the start"));
    let before =
        used_after(MANY - 1..MANY, &format!("a question that gives all of {MANY} requests"));
    let later = used_after(MANY..MANY + QUESTIONS, &more).saturating_sub(before);
    if later > TIMES * before + MORE {
        let (pace, before, later) = (schedule.pace(), before.as_millis(), later.as_millis());
        check.fail(format!(
            "{pace}, your program used {later} ms of CPU time to answer {more}; until then it had used {before} ms"
        ));
    }
}
