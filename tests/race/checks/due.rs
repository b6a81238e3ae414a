//! The checks of race-due: a load that keeps its schedule. What is due, sent and counted is in the program's own report,
//! and what is judged there follows from its numbers alone, or from the order of events. Where a check judges how late
//! something was, it measures beside it how late this machine is.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use grader::check;
use grader::check::{Check, Server};
use rstest::rstest;
use visitors::connection::Connection;
use visitors::hosts::Host;
use visitors::program::{Program, Trouble};
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
        check.suspect_where("more requests came than that", "another-count");
        check.suspect_where("was to end when all were answered", "never-at-an-end");
        Self { server: Server { check, program, address }, host, rate, count }
    }

    fn program(&self) -> &Program {
        &self.server.program
    }

    /// Such as `with 3 requests at 20 a second`.
    fn pace(&self) -> String {
        let requests = if self.count == 1 { "request" } else { "requests" };
        format!("with {} {requests} at {} a second", self.count, self.rate)
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
            let seen = match wrong {
                Some(0) => format!("the first one was {}", numbers[0]),
                Some(place) => format!("behind {} came {}", numbers[place - 1], numbers[place]),
                None => format!("{} were sent", numbers.len()),
            };
            self.fail(&format!(
                "{when}, requests 0, 1, 2 and so on were to be sent, {} in all: {seen}",
                all.len()
            ));
        }
        lines
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
            if line.due.abs_diff(due) > 1 {
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
        Ok(Asked { number, .. }) => load.server.fail_seeing(&format!("{when}, {number} came")),
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
    const PIECES: usize = 3000;
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
        let others: Vec<_> = (1..load.count).map(|_| load.next_or_trouble()).collect();
        is_over.store(true, Ordering::Relaxed);
        others
    });
    for (number, other) in (1..).zip(others) {
        match other {
            Ok(asked) => asked.answer(),
            Err(trouble) => {
                load.server.fail_for(&format!("{when}, request {number} was to come"), &trouble);
            }
        }
    }
    load.answer_all(&when);
    for Line { number, sent, .. } in load.report(&when) {
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
    let check = check!("race-due");
    check.suspect("looks-at-all-of-them");
    let load = Load::start(&check, 100, u64::MAX);
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
