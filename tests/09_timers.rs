//! The graded checks of chapter 9. The judged program is the server; the check plays its visitors. Time is
//! judged by lower bounds, which hold on any machine ("never sooner"), and by the order in which the program
//! itself has done things. How late something comes says more about the machine.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use grader::bytes::{self, Call, Outcome, Wait};
use grader::check;
use grader::check::{Check, Server, so_far};
use nix::sys::socket::{setsockopt, sockopt};
use rstest::rstest;
use visitors::calls::family;
use visitors::connection::{Connection, End, Received};
use visitors::program::{PATIENCE, Trouble};

/// The calls in which chapter 8's loop waits.
const LOOP_WAITS: [&str; 2] = ["epoll_wait", "poll"];

/// How often to try again where this machine was too slow for what was to be seen.
const TRIES: usize = 10;

/// A visitor who has connected.
#[track_caller]
fn visitor(server: &Server<'_>, name: &str) -> Connection {
    server.visitor(name).connection
}

#[track_caller]
fn send(server: &Server<'_>, visitor: &mut Connection, text: &str) {
    if let Err(error) = visitor.send(text.as_bytes()) {
        server.fail_seeing(&format!("the {} couldn't send: {error}", visitor.name()));
    }
}

/// Fails: it's no use to wait any longer. A callback that isn't written yet doesn't end the program.
#[track_caller]
fn fail_for(server: &Server<'_>, expected: &str, trouble: &Trouble) -> ! {
    if server.program.stderr().iter().any(|line| line.contains("not yet implemented")) {
        server.fail_seeing(expected);
    }
    explain(server.check, trouble);
    server.check.fail_for(expected, trouble);
}

/// Fails: somebody was left alone. If that is because the program has ended, its last words tell why.
#[track_caller]
fn fail_left_alone(server: &Server<'_>, saw: &str) -> ! {
    // A process that is dying closes its sockets a moment before it can be seen to have ended.
    let deadline = Instant::now() + ms(1000);
    while Instant::now() < deadline {
        if let Some(trouble) = server.program.ended_with() {
            explain(server.check, &trouble);
            break;
        }
        thread::sleep(ms(5));
    }
    server.fail_seeing(saw)
}

/// Some causes are known by the trouble, whatever the check was about.
fn explain(check: &Check, trouble: &Trouble) {
    if check.exercise() != "09-later" {
        return;
    }
    let Trouble::Ended { last_words, .. } = trouble else { return };
    if ["already borrowed", "already mutably borrowed"].iter().any(|it| last_words.contains(it)) {
        check.suspect("queue-is-borrowed-still");
    }
    if last_words.contains("overflow when subtracting durations") {
        check.suspect("overdue-panics");
    }
}

/// The next line that a visitor gets, without its end.
#[track_caller]
fn next_line(server: &Server<'_>, visitor: &mut Connection, when: &str) -> String {
    let name = visitor.name().to_owned();
    let whole = |bytes: &[u8]| bytes.contains(&b'\n');
    match visitor.receive_while_missing(&server.program, whole) {
        Ok(Ok(bytes)) => {
            let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len() - 1);
            visitor.give_back(&bytes[end + 1..]);
            String::from_utf8_lossy(&bytes[..end]).into_owned()
        }
        Ok(Err(Received { end: End::Closed, .. })) => {
            fail_left_alone(server, &format!("{when}, the {name} was hung up on"))
        }
        Ok(Err(_)) => fail_left_alone(server, &format!("{when}, the {name} got a reset")),
        Err((trouble, bytes)) => {
            let so_far = so_far(&bytes);
            let expected = format!("{when}, the {name} waits for a line ({so_far})");
            if server.check.exercise() == "09-later" && matches!(trouble, Trouble::Spinning) {
                server.check.suspect("asks-the-clock-again");
            }
            fail_for(server, &expected, &trouble);
        }
    }
}

/// The next `count` lines that a visitor gets: many are looked at faster together than one by one.
#[track_caller]
fn next_lines(
    server: &Server<'_>,
    visitor: &mut Connection,
    count: usize,
    when: &str,
) -> Vec<String> {
    let ends = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
    match visitor.receive_while_missing(&server.program, |bytes| ends(bytes) >= count) {
        Ok(Ok(bytes)) => {
            let all = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
            let end = all.take(count).last().map_or(0, |(end, _)| end + 1);
            visitor.give_back(&bytes[end..]);
            String::from_utf8_lossy(&bytes[..end]).lines().map(str::to_owned).collect()
        }
        // Whatever there is, is looked at line by line: what is missing is said then.
        Ok(Err(Received { bytes, .. })) | Err((_, bytes)) => {
            visitor.give_back(&bytes);
            (0..count).map(|_| next_line(server, visitor, when)).collect()
        }
    }
}

/// The visitor has to get just this line next.
#[track_caller]
fn expect(server: &Server<'_>, visitor: &mut Connection, expected: &str, when: &str) {
    let line = next_line(server, visitor, when);
    if line != expected {
        let name = visitor.name();
        server.fail_seeing(&format!("{when}, the {name} got `{line}`, and not `{expected}`"));
    }
}

/// Waits until the program has done all that it can do for now. It mustn't use CPU time then.
#[track_caller]
fn settle(server: &Server<'_>, when: &str) {
    if let Err(trouble) = server.program.settled() {
        fail_for(server, &format!("{when}, your program was to wait"), &trouble);
    }
}

/// Nothing may have come that wasn't expected.
#[track_caller]
fn nothing_more(server: &Server<'_>, visitor: &mut Connection, when: &str) {
    let bytes = all_so_far(server, visitor);
    if !bytes.is_empty() {
        let (name, so_far) = (visitor.name(), so_far(&bytes));
        server.fail_seeing(&format!("{when}, the {name} was to get nothing ({so_far})"));
    }
}

/// What has come by now.
fn all_so_far(server: &Server<'_>, visitor: &mut Connection) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let nothing_is_enough = !visitor.readable_within(Duration::ZERO);
        let enough = |bytes: &[u8]| nothing_is_enough || !bytes.is_empty();
        match visitor.receive_while_missing(&server.program, enough) {
            Ok(Ok(bytes)) => all.extend(bytes),
            Ok(Err(Received { bytes, .. })) | Err((_, bytes)) => {
                all.extend(bytes);
                return all;
            }
        }
        if nothing_is_enough {
            return all;
        }
    }
}

/// Waits for the program's line on stderr that begins like this. It has to say that so many timers are set.
#[track_caller]
fn timers_set(server: &Server<'_>, line_begins: &str, count: usize, when: &str) {
    match server.program.says(|line| line.starts_with(line_begins)) {
        Ok(line) => {
            let set = line.rsplit_once("timers set: ").map_or("?", |(_, count)| count);
            if set != count.to_string() {
                server.fail_seeing(&format!("{when}, {set} timers are set, and not {count}"));
            }
        }
        Err(trouble) => {
            fail_for(server, &format!("{when}, `{line_begins}` was to be said"), &trouble);
        }
    }
}

/// How long a check rests so that a time that goes on can be told from one that begins anew.
const REST: Duration = ms(100);

/// A program that has nothing to do is asleep by then, as a rule; nothing depends on it.
const SOON: Duration = ms(200);

/// A deadline that the program is to have: it's due so long after a moment between these two.
#[derive(Clone, Copy)]
struct Due {
    after: Duration,
    /// Begun at this moment at the soonest.
    soonest: Instant,
    /// And at this one at the latest.
    latest: Instant,
}

impl Due {
    /// It begins with what `begin` does: when that has returned, it has begun.
    fn begun_by(server: &Server<'_>, after: Duration, begin: impl FnOnce()) -> Self {
        let soonest = Instant::now();
        begin();
        Self { after, soonest, latest: has_done(server) }
    }
}

/// Looks at the wait that the program sleeps in: it has to last until this deadline, neither longer nor shorter; without one,
/// for as long as it takes. `since` is a moment before which it can't have gone to sleep. Each of these holds, however slow
/// this machine is. Where the system doesn't tell, nothing is said.
#[track_caller]
fn sleeps_until(server: &Server<'_>, due: Option<Due>, since: Instant, when: &str) {
    let Some(Wait { call, time, .. }) = falls_asleep(server, when) else { return };
    let looked = Instant::now();
    let saw = match (time, due) {
        (None, None) => return,
        (None, Some(Due { after, .. })) => {
            server.check.suspect("no-deadline");
            format!("for as long as it takes: it was to wake up after {} ms", after.as_millis())
        }
        (Some(time), None) => {
            server.check.suspect("deadline-for-nothing");
            format!("for {} ms at the most, and there is nothing to wake up for", time.as_millis())
        }
        (Some(time), Some(Due { after, soonest, latest })) => {
            let least = (soonest + after).saturating_duration_since(looked);
            // Rounded up, by the queue and by the loop.
            let most = (latest + after).saturating_duration_since(since) + ms(2);
            if least <= time && time <= most {
                return;
            }
            let by = if time > most { time - most } else { least - time };
            let so_much = if time > most { "longer" } else { "shorter" };
            format!(
                "for {}, {} {so_much} than until its deadline, which is {}",
                rough(time),
                rough(by),
                rough(after)
            )
        }
    };
    fail_saying(server, &format!("{when}, your program sleeps in {call} {saw}"));
}

/// Fails with this and nothing else, unless the program has come upon what isn't written yet.
#[track_caller]
fn fail_saying(server: &Server<'_>, saw: &str) -> ! {
    if server.program.stderr().iter().any(|line| line.contains("not yet implemented")) {
        server.fail_seeing(saw);
    }
    server.check.fail(saw);
}

/// A moment by which the program has done what it was told to do: it's asleep. What it has said may come before it has done all of it:
/// where many others want a processor, it may be a while until it goes on.
fn has_done(server: &Server<'_>) -> Instant {
    soon_asleep(server);
    Instant::now()
}

/// The wait that the program sleeps in, if it does so soon.
fn soon_asleep(server: &Server<'_>) -> Option<Wait> {
    let deadline = Instant::now() + SOON;
    while Instant::now() < deadline {
        if let Some(wait) = Wait::of(server) {
            return Some(wait);
        }
        thread::sleep(Duration::from_micros(100));
    }
    None
}

/// The wait that the program sleeps in, as soon as it does: so little time has passed by then.
#[track_caller]
fn falls_asleep(server: &Server<'_>, when: &str) -> Option<Wait> {
    if let Some(wait) = soon_asleep(server) {
        return Some(wait);
    }
    settle(server, when);
    Wait::of(server)
}

/// A time that is told the same in each run: what has passed in the meantime is little.
fn rough(time: Duration) -> String {
    match time.as_millis() {
        0 => format!("{} µs", time.as_micros()),
        1..1000 => "less than a second".to_owned(),
        milliseconds => format!("{} s", (milliseconds + 500) / 1000),
    }
}

/// Waits until all that a visitor has sent was read.
fn is_read(server: &Server<'_>, visitor: &Connection, when: &str) {
    if !visitor.wait_until_read(PATIENCE) {
        server.fail_seeing(&format!("{when}, what the {} sent wasn't read", visitor.name()));
    }
}

/// So many strangers come and say `words`, and leave with a reset: no port is kept for them afterwards.
#[track_caller]
fn come_and_go(server: &Server<'_>, count: usize, words: &str) {
    let mut all = Vec::new();
    for _ in 0..count {
        let stranger = TcpStream::connect_timeout(&server.address, PATIENCE);
        let sent = stranger.and_then(|mut stranger| {
            stranger.write_all(words.as_bytes())?;
            Ok(stranger)
        });
        match sent {
            Ok(stranger) => all.push(stranger),
            Err(error) => server.fail_seeing(&format!("a visitor couldn't come: {error}")),
        }
    }
    for stranger in all {
        let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        // Fails only for one who is gone already.
        let _ = setsockopt(&stranger, sockopt::Linger, &linger);
    }
}

/// The ways to leave.
#[derive(Clone, Copy)]
enum Way {
    HangUp,
    Finish,
    Reset,
}

impl Way {
    const ALL: [Self; 3] = [Self::HangUp, Self::Finish, Self::Reset];

    /// Leaves. Whoever has only finished sending is given back: it's still there.
    fn leave(self, visitor: Connection) -> Option<Connection> {
        match self {
            Self::HangUp => drop(visitor),
            Self::Reset => visitor.reset(),
            Self::Finish => {
                visitor.finish_sending();
                return Some(visitor);
            }
        }
        None
    }

    fn name(self) -> &'static str {
        match self {
            Self::HangUp => "hung up",
            Self::Finish => "finished sending",
            Self::Reset => "sent a reset",
        }
    }
}

/// An interval, in milliseconds.
const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

mod ping {
    use super::*;

    /// An interval in which a check can mostly stop the program in time, in milliseconds. Where this machine is too slow for
    /// that, twice as long is, or three times.
    const LONG: u64 = 120;

    /// A visitor who is ticked for.
    struct Ticked<'a> {
        server: &'a Server<'a>,
        visitor: Connection,
        interval: Duration,
        /// It was asked for at some moment between these two.
        asked: Instant,
        heard: Instant,
        /// A moment before it was let go on, where it was stopped.
        went_on: Instant,
        /// The number of the last tick.
        last: u64,
        /// Another interval was asked for before this one: which.
        before: Duration,
    }

    impl<'a> Ticked<'a> {
        #[track_caller]
        fn new(server: &'a Server<'a>, name: &str, interval: u64) -> Self {
            let visitor = visitor(server, name);
            let now = Instant::now();
            let (interval, none) = (ms(interval), Duration::ZERO);
            let mut new = Self {
                server,
                visitor,
                interval: none,
                asked: now,
                heard: now,
                went_on: now,
                last: 0,
                before: none,
            };
            new.every(interval.as_millis() as u64);
            new
        }

        /// Asks for it. What belongs to the interval before may come until that is heard.
        #[track_caller]
        fn every(&mut self, interval: u64) {
            self.asked = Instant::now();
            self.say(&format!("every {interval}"), &format!("every {interval} ms"));
            self.heard = has_done(self.server);
            self.before = self.interval;
            self.interval = ms(interval);
            self.last = 0;
        }

        #[track_caller]
        fn stop(&mut self) {
            self.say("stop", "stopped");
        }

        #[track_caller]
        fn say(&mut self, order: &str, answer: &str) {
            let when = format!("after `{order}`");
            send(self.server, &mut self.visitor, &format!("{order}\n"));
            loop {
                let line = next_line(self.server, &mut self.visitor, &when);
                if line == answer {
                    return;
                }
                if !line.starts_with("tick ") {
                    let name = self.visitor.name();
                    self.server.fail_seeing(&format!(
                        "{when}, the {name} got `{line}`, and not `{answer}`"
                    ));
                }
            }
        }

        /// The next tick, which mustn't come too soon.
        #[track_caller]
        fn tick(&mut self, when: &str) -> (u64, Instant) {
            let line = next_line(self.server, &mut self.visitor, when);
            self.judge(&line, when)
        }

        #[track_caller]
        fn judge(&mut self, line: &str, when: &str) -> (u64, Instant) {
            let at = Instant::now();
            let (server, name) = (self.server, self.visitor.name());
            let number = line.strip_prefix("tick ").and_then(|number| number.parse().ok());
            let Some(number) = number else {
                server.fail_seeing(&format!("{when}, the {name} got `{line}`, and no tick"));
            };
            let (last, asked) = (self.last, format!("`every {}`", self.interval.as_millis()));
            if number <= last {
                let said = match last {
                    0 => "as the first one, which is tick 1".to_owned(),
                    _ => format!("after `tick {last}`"),
                };
                server.fail_seeing(&format!("{when}, the {name} got `{line}` {said}"));
            }
            let (due, came) = (self.due(number), at - self.asked);
            if came < due {
                if due - came < ms(1) {
                    server.check.suspect("beginning-is-cut");
                } else if due - came < ms(2) || self.went_on > self.asked {
                    server.check.suspect("rounds-up");
                } else if self.before == self.interval {
                    server.check.suspect("same-interval-is-nothing-new");
                } else if self.before > Duration::ZERO {
                    let old = came < self.interval;
                    server.check.suspect(if old { "old-timer-goes-on" } else { "counts-on" });
                }
                server.fail_seeing(&format!(
                    "{when}, the {name} got `{line}` {} ms after {asked}: it's due after {} ms, and not sooner",
                    came.as_millis(),
                    due.as_millis()
                ));
            }
            self.last = number;
            (number, at)
        }

        /// When the first tick is due.
        fn due_first(&self) -> Due {
            Due { after: self.interval, soonest: self.asked, latest: self.heard }
        }

        fn due(&self, number: u64) -> Duration {
            self.interval * u32::try_from(number).unwrap_or(u32::MAX)
        }

        /// Begins anew, stops the program after a tick for `intervals`, and lets it go on between two ticks, in this `part` of
        /// the interval. Gives the number of the last tick, and of the one that it's time for since.
        /// `None` if this machine was too slow for that.
        #[track_caller]
        fn held_up(
            &mut self,
            interval: u64,
            intervals: f64,
            part: std::ops::Range<f64>,
            when: &str,
        ) -> Option<(u64, u64)> {
            self.every(interval);
            self.tick(&format!("after `every {interval}`"));
            self.server.program.stop();
            // What it has sent before is no news.
            let sent = all_so_far(self.server, &mut self.visitor);
            for line in String::from_utf8_lossy(&sent).lines() {
                self.judge(line, when);
            }
            let (last, interval) = (self.last, self.interval.as_secs_f64());
            let passed = || self.asked.elapsed().as_secs_f64() / interval;
            let in_the_middle = |passed: f64| part.contains(&passed.fract());
            while passed() < last as f64 + intervals || !in_the_middle(passed()) {
                thread::sleep(ms(3));
            }
            let number = passed() as u64;
            let went_on = Instant::now();
            self.server.program.go_on();
            let in_time = in_the_middle(passed()) && self.heard - self.asked < self.interval / 10;
            self.went_on = went_on;
            in_time.then_some((last, number))
        }
    }

    #[rstest]
    #[case::twenty_milliseconds(20)]
    #[case::a_third_of_a_second(300)]
    fn ticks_come_in_order(#[case] interval: u64) {
        let check = check!("09-ping");
        check.suspect("wrong-moment");
        let server = check.server(&[]);
        let when = format!("after `every {interval}`");
        let mut numbers = Vec::new();
        for _ in 0..TRIES {
            let mut ticked = Ticked::new(&server, "visitor", interval);
            numbers = vec![ticked.tick(&when).0];
            if numbers == [1] {
                check.suspect_where("waits for a line", "ticks-once");
            }
            numbers.extend((1..4).map(|_| ticked.tick(&when).0));
            if numbers == [1, 2, 3, 4] {
                return;
            }
        }
        check.fail(format!("{when}, the visitor got the ticks {numbers:?}, and not [1, 2, 3, 4]"));
    }

    #[test]
    fn the_shortest_interval_is_a_millisecond() {
        let check = check!("09-ping");
        check.suspect("wrong-moment");
        let server = check.server(&[]);
        let mut ticked = Ticked::new(&server, "visitor", 1);
        if ticked.tick("after `every 1`").0 < 100 {
            check.suspect_where("waits for a line", "ticks-once");
        }
        // On a busy machine some are left out. Each has a number that is larger than the one before, and none is early.
        for _ in 0..50 {
            ticked.tick("after `every 1`");
        }
        ticked.stop();
        timers_set(&server, "visitor 1: stopped", 0, "after `every 1` and `stop`");
    }

    /// Wherever in a millisecond it begins. A wait's length is in whole milliseconds, so who begins too early by a part of one comes
    /// too early only at some of the ticks. That is why there are many.
    #[test]
    fn no_tick_is_early_by_a_part_of_a_millisecond() {
        let check = check!("09-ping");
        check.suspect("beginning-is-cut");
        let server = check.server(&[]);
        for _ in 0..16 {
            // Somebody new each time: later on, the kernel acknowledges what comes only after a while, and the next tick waits for that.
            let mut ticked = Ticked::new(&server, "visitor", 3);
            for _ in 0..10 {
                ticked.tick("after `every 3`");
            }
        }
    }

    /// What is done before the program goes to sleep.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Done {
        Every,
        TheLongest,
        AnotherShorter,
        AnotherLonger,
        TheSame,
        Stop,
        StopAndEvery,
        TwoVisitors,
        TheFirstOfTwoStops,
        TheFirstOfTwoLeaves,
    }

    #[rstest]
    #[case::every(Done::Every)]
    #[case::the_longest(Done::TheLongest)]
    #[case::another_that_is_shorter(Done::AnotherShorter)]
    #[case::another_that_is_longer(Done::AnotherLonger)]
    #[case::the_same_again(Done::TheSame)]
    #[case::stop(Done::Stop)]
    #[case::stop_and_every(Done::StopAndEvery)]
    #[case::two_visitors(Done::TwoVisitors)]
    #[case::the_first_of_two_stops(Done::TheFirstOfTwoStops)]
    #[case::the_first_of_two_leaves(Done::TheFirstOfTwoLeaves)]
    fn it_sleeps_until_the_next_tick(#[case] done: Done) {
        const DAY: u64 = 24 * 60 * 60 * 1000;
        let check = check!("09-ping");
        check.suspect("wrong-moment");
        let server = check.server(&[]);
        let mut ticked = Ticked::new(&server, "visitor", 300_000);
        let mut when = "after `every 300000`".to_owned();
        let mut due = ticked.due_first();
        let another = match done {
            Done::TheLongest => DAY,
            Done::AnotherShorter => 200_000,
            Done::AnotherLonger => 400_000,
            _ => 300_000,
        };
        let mut other = None;
        match done {
            Done::Every => {}
            Done::TheLongest | Done::AnotherShorter | Done::AnotherLonger | Done::TheSame => {
                thread::sleep(REST);
                ticked.every(another);
                when = format!("{when}, and then `every {another}`");
                due = ticked.due_first();
                if another >= 300_000 {
                    check.suspect("old-timer-goes-on");
                }
            }
            Done::Stop | Done::StopAndEvery => {
                ticked.stop();
                when.push_str(" and `stop`");
                if done == Done::Stop {
                    check.suspect("timer-is-not-canceled");
                    return sleeps_until(&server, None, ticked.heard, &when);
                }
                ticked.every(300_000);
                when.push_str(", and `every 300000` again");
                due = ticked.due_first();
                check.suspect("timer-is-not-canceled");
            }
            Done::TwoVisitors => {
                other = Some(Ticked::new(&server, "other visitor", 400_000));
                when.push_str(", and `every 400000` of another visitor");
            }
            Done::TheFirstOfTwoStops | Done::TheFirstOfTwoLeaves => {
                let new = Ticked::new(&server, "other visitor", 400_000);
                due = new.due_first();
                other = Some(new);
                when.push_str(", `every 400000` of another visitor, and ");
                if done == Done::TheFirstOfTwoStops {
                    ticked.stop();
                    when.push_str("`stop` of the first");
                } else {
                    when.push_str("the first one has left");
                    ticked.visitor.reset();
                    // It has been seen to leave when the other one's line is heard.
                    let Some(other) = &mut other else { return };
                    other.stop();
                    other.every(400_000);
                    let due = other.due_first();
                    return sleeps_until(&server, Some(due), other.asked, &when);
                }
            }
        }
        let since = ticked.asked.max(other.as_ref().map_or(ticked.asked, |other| other.asked));
        sleeps_until(&server, Some(due), since, &when);
    }

    #[test]
    fn orders_that_come_in_one_piece() {
        let check = check!("09-ping");
        check.suspect("timer-is-not-canceled");
        let server = check.server(&[]);
        let plays: [(&str, &[&str], usize); 4] = [
            ("every 30\nstop\n", &["every 30 ms", "stopped"], 0),
            ("stop\nevery 60000\n", &["stopped", "every 60000 ms"], 1),
            ("every 30\nevery 60000\n", &["every 30 ms", "every 60000 ms"], 1),
            (
                "every 30\nevery 30\nstop\nstop\n",
                &["every 30 ms", "every 30 ms", "stopped", "stopped"],
                0,
            ),
        ];
        let mut number = 0;
        for (orders, answers, set) in plays {
            let when = format!("after `{}`, in one piece", orders.trim_end().replace('\n', "`, `"));
            let mut one = visitor(&server, "visitor");
            send(&server, &mut one, orders);
            for answer in answers {
                expect(&server, &mut one, answer, &when);
            }
            thread::sleep(REST);
            settle(&server, &when);
            nothing_more(&server, &mut one, &when);
            let mut other = visitor(&server, "other visitor");
            number += 2;
            send(&server, &mut other, "stop\n");
            expect(&server, &mut other, "stopped", &when);
            timers_set(&server, &format!("visitor {number}: stopped"), set, &when);
            one.reset();
            timers_set(&server, &format!("visitor {}: gone", number - 1), 0, &when);
        }
    }

    #[test]
    fn who_is_hung_up_on_leaves_no_timer_behind() {
        let check = check!("09-ping");
        check.suspect("clean-up-cancels-nothing");
        let server = check.server(&[]);
        let when = "after a visitor was hung up on who reads nothing";
        let mut silent = Ticked::new(&server, "visitor who reads nothing", 60_000);
        // Each is answered with a longer line: when too much is queued, it's hung up on.
        let much = "what?\n".repeat(2000);
        for _ in 0..2000 {
            if silent.visitor.send(much.as_bytes()).is_err() {
                break;
            }
        }
        timers_set(&server, "visitor 1: gone", 0, when);
        settle(&server, when);
    }

    #[test]
    fn nothing_is_kept_of_ticks() {
        const VISITORS: usize = 20;
        const TICKS: usize = 100;
        let check = check!("09-ping");
        let server = check.server(&[]);
        let mut all: Vec<_> = (0..VISITORS).map(|_| visitor(&server, "visitor")).collect();
        let when = "with twenty visitors who have a millisecond each";
        server.keeps_nothing(VISITORS * TICKS, "ticks", |_| {
            for visitor in &mut all {
                send(&server, visitor, "every 1\n");
            }
            for visitor in &mut all {
                next_lines(&server, visitor, TICKS, when);
            }
            // While it's looked at, it sleeps.
            for visitor in &mut all {
                send(&server, visitor, "stop\n");
            }
            for visitor in &mut all {
                let stopped = |bytes: &[u8]| bytes.ends_with(b"stopped\n");
                if !matches!(visitor.receive_while_missing(&server.program, stopped), Ok(Ok(_))) {
                    server.fail_seeing(&format!("{when}, `stop` wasn't answered with `stopped`"));
                }
            }
        });
    }

    #[test]
    fn nothing_is_kept_of_other_intervals_and_visitors() {
        const EACH: usize = 1000;
        let check = check!("09-ping");
        let server = check.server(&[]);
        let mut ticked = Ticked::new(&server, "visitor", 60_000);
        server.keeps_nothing(2 * EACH, "orders and visitors", |_| {
            for _ in 0..EACH / 50 {
                send(&server, &mut ticked.visitor, &"every 60000\n".repeat(50));
                next_lines(&server, &mut ticked.visitor, 50, "after `every 60000`, many times");
                come_and_go(&server, 50, "every 60000\n");
                ticked.every(60_000);
            }
        });
    }

    #[test]
    fn between_two_ticks_it_costs_nothing() {
        let check = check!("09-ping");
        check.suspect("looks-in-place-of-a-timer");
        let server = check.server(&[]);
        let ticked = Ticked::new(&server, "visitor", 60_000);
        let when = "with a minute to go until the next tick";
        settle(&server, when);
        let lens = server.lens();
        server.takes_no_naps(lens.as_ref(), when);
        drop(ticked);
    }

    #[test]
    fn each_visitor_has_its_own_interval() {
        let check = check!("09-ping");
        check.suspect("one-timer-for-all");
        let server = check.server(&[]);
        let mut quick = Ticked::new(&server, "visitor with 30 ms", 30);
        let mut other = Ticked::new(&server, "visitor with 70 ms", 70);
        let mut patient = Ticked::new(&server, "visitor with a minute", 60_000);
        let when = "with three visitors, who have an interval each";
        for _ in 0..2 {
            quick.tick(when);
            other.tick(when);
        }
        other.stop();
        let when = "after one of three visitors has said `stop`";
        for _ in 0..5 {
            quick.tick(when);
        }
        quick.stop();
        nothing_more(&server, &mut patient.visitor, when);
        // It is still set.
        patient.stop();
    }

    #[test]
    fn another_interval_takes_the_place_of_the_first() {
        let check = check!("09-ping");
        check.suspect("old-timer-goes-on");
        let server = check.server(&[]);
        let mut ticked = Ticked::new(&server, "visitor", 40);
        for _ in 0..2 {
            ticked.tick("after `every 40`");
        }
        for interval in [120, 120, 40, 40, 20] {
            let when = format!("after `every {interval}` took the place of another one");
            let mut first = Vec::new();
            while first.last() != Some(&1) {
                if first.len() == 5 {
                    check.fail(format!(
                        "{when}, five times, the first ticks were {first:?}, and not tick 1"
                    ));
                }
                ticked.every(interval);
                first.push(ticked.tick(&when).0);
            }
            for _ in 0..2 {
                ticked.tick(&when);
            }
        }
        ticked.every(60_000);
        ticked.every(20);
        ticked.tick("after `every 60000` and `every 20`");
        ticked.stop();
        let when = "after `every 60000`, `every 20` and `stop`";
        timers_set(&server, "visitor 1: stopped", 0, when);
    }

    #[test]
    fn stop_ends_it() {
        let check = check!("09-ping");
        check.suspect("timer-is-not-canceled");
        let server = check.server(&[]);
        let mut ticked = Ticked::new(&server, "visitor", 30);
        ticked.tick("after `every 30`");
        ticked.tick("after `every 30`");
        for _ in 0..2 {
            ticked.stop();
            settle(&server, "after `stop`");
            nothing_more(&server, &mut ticked.visitor, "after `stop`");
        }
        ticked.every(25);
        ticked.tick("after `stop` and `every 25`");
        // Others: each says it once, and so it is known who has said it.
        let mut second = Ticked::new(&server, "second visitor", 60_000);
        second.stop();
        timers_set(&server, "visitor 2: stopped", 1, "after one of two visitors has said `stop`");
        ticked.stop();
        let mut third = visitor(&server, "third visitor");
        send(&server, &mut third, "stop\n");
        expect(&server, &mut third, "stopped", "after it said `stop` with nothing to end");
        timers_set(&server, "visitor 3: stopped", 0, "after all visitors have said `stop`");
    }

    #[test]
    fn who_leaves_leaves_no_timer_behind() {
        let check = check!("09-ping");
        check.suspect("clean-up-cancels-nothing");
        let server = check.server(&[]);
        let stays = Ticked::new(&server, "visitor who stays", 60_000);
        let mut number = 1;
        for way in Way::ALL {
            for interval in [60_000, 20] {
                let mut ticked = Ticked::new(&server, "visitor who leaves", 60_001);
                ticked.every(interval);
                number += 1;
                let rest = way.leave(ticked.visitor);
                let when = format!(
                    "after one of two visitors (`every 60001`, then `every {interval}`) has {}",
                    way.name()
                );
                timers_set(&server, &format!("visitor {number}: gone"), 1, &when);
                drop(rest);
            }
        }
        drop(stays);
    }

    #[test]
    fn what_was_missed_is_left_out() {
        let check = check!("09-ping");
        check.suspect("says-what-it-missed");
        let server = check.server(&[]);
        let mut ticked = Ticked::new(&server, "visitor", LONG);
        // Once for more than an interval, once for several; and the next tick is near, or isn't.
        for (intervals, part) in [(1.0, 0.1..0.3), (3.0, 0.4..0.6), (2.0, 0.7..0.9)] {
            let when =
                format!("after your program had been stopped for {intervals} intervals or more");
            let mut left_out = Vec::new();
            let seen = (1..=TRIES as u64).any(|times| {
                let part = part.clone();
                let held_up = ticked.held_up(LONG * times.min(8), intervals, part, &when);
                let Some((last, due)) = held_up else { return false };
                let (number, _) = ticked.tick(&when);
                if number < due {
                    check.fail(format!(
                        "{when}, after `tick {last}`, the visitor got `tick {number}` next: by then it was time for `tick {due}`"
                    ));
                }
                left_out.push(due);
                number == due
            });
            if !seen {
                check.suspect("leaves-out-what-is-due");
                check.fail(format!(
                    "{when}, each time, the visitor got the tick after the one that it was time for: it didn't get {left_out:?}"
                ));
            }
        }
    }

    #[test]
    fn late_once_is_not_late_for_ever() {
        let check = check!("09-ping");
        const SEEN_LATE: usize = 4;
        check.suspect("wrong-number-when-late");
        let server = check.server(&[]);
        let mut ticked = Ticked::new(&server, "visitor", LONG);
        let when = "after your program had been stopped for a few intervals";
        let (mut late, mut seen_late) = (Vec::new(), 0);
        for times in 1..=TRIES as u64 {
            let held_up = ticked.held_up(LONG * times.min(8), 2.0, 0.4..0.6, when);
            let Some((_, due)) = held_up else { continue };
            // Before this moment it was stopped.
            let go_on = ticked.went_on;
            // The first is late by right. Who counts from when it was called comes an interval after that at the
            // soonest, and again an interval after that.
            let (first, _) = ticked.tick(when);
            if first > due {
                // By the time it was called, it was time for a later one.
                continue;
            }
            late.clear();
            for count in 1..=3 {
                let (number, at) = ticked.tick(when);
                if at - go_on < ticked.due(count) {
                    if first == due {
                        return;
                    }
                    check.suspect("says-what-it-missed");
                    check.fail(format!(
                        "{when}, the visitor got `tick {first}` next: by then it was time for `tick {due}`"
                    ));
                }
                late.push(((at - ticked.asked) - ticked.due(number)).as_millis());
            }
            seen_late += 1;
            if seen_late == SEEN_LATE {
                check.suspect("drifts");
                check.fail(format!(
                    "{when}, each of the next ticks came late, and it didn't get better. How late, in milliseconds: {late:?}"
                ));
            }
        }
        check.fail(format!("{TRIES} times, this machine was too slow for what was to be seen"));
    }

    #[test]
    fn one_line_waits() {
        let check = check!("09-ping");
        check.suspect("sleeps-by-itself");
        let server = check.server(&[]);
        let lens = server.lens();
        let mut ticked = Ticked::new(&server, "visitor with 50 ms", 50);
        let mut other = Ticked::new(&server, "visitor with 20 ms", 20);
        let when = "with two visitors who have an interval each";
        for _ in 0..3 {
            ticked.tick(when);
            other.tick(when);
        }
        server.waits_only_in(lens.as_ref(), &LOOP_WAITS, when);
    }
}

mod idle {
    use super::*;

    /// So long that it never passes, in milliseconds.
    const NEVER: u64 = 600_000;

    #[track_caller]
    fn start<'a>(check: &'a Check, idle: u64, line: u64) -> Server<'a> {
        check.server(&[&idle.to_string(), &line.to_string()])
    }

    /// The visitor has to get just this, as its last, and to be hung up on. Here is when that was.
    #[track_caller]
    fn expect_goodbye(
        server: &Server<'_>,
        visitor: &mut Connection,
        word: &str,
        when: &str,
    ) -> Instant {
        let name = visitor.name().to_owned();
        match visitor.receive_all(&server.program) {
            Ok(Received { bytes, end: End::Closed }) => {
                let at = Instant::now();
                if bytes != format!("{word}\n").as_bytes() {
                    let so_far = so_far(&bytes);
                    server.fail_seeing(&format!(
                        "{when}, the {name} was hung up on, and its last word was to be `{word}` ({so_far})"
                    ));
                }
                at
            }
            Ok(_) => server.fail_seeing(&format!("{when}, the {name} got a reset")),
            Err((trouble, bytes)) => {
                let so_far = so_far(&bytes);
                let expected =
                    format!("{when}, the {name} was to be hung up on with `{word}` ({so_far})");
                fail_for(server, &expected, &trouble);
            }
        }
    }

    /// Fails if somebody was hung up on too soon: `within` hadn't passed since `from`.
    #[track_caller]
    fn not_before(server: &Server<'_>, at: Instant, from: Instant, within: Duration, what: &str) {
        let passed = at.saturating_duration_since(from);
        if passed < within {
            let (passed, within) = (passed.as_millis(), within.as_millis());
            server.check.fail(format!(
                "a visitor was hung up on {passed} ms after {what}: it has {within} ms from then on"
            ));
        }
    }

    /// Says a line, and hears it. Gives what came in its place.
    #[track_caller]
    fn says(
        server: &Server<'_>,
        talker: &mut Connection,
        line: &str,
        when: &str,
    ) -> Result<(), String> {
        send(server, talker, &format!("{line}\n"));
        let heard = next_line(server, talker, when);
        if heard == line { Ok(()) } else { Err(heard) }
    }

    /// Waits until a moment at which a visitor's time is over at the latest, doing something in the meantime.
    /// Then the visitor has to have been told `word` before it hears the talker's last line: the program did
    /// the one before the other. False if the talker was hung up on, for being slow itself.
    #[track_caller]
    fn is_over_by(
        server: &Server<'_>,
        by: Instant,
        (talker, visitor): (&mut Connection, &mut Connection),
        word: &str,
        when: &str,
        mut meanwhile: impl FnMut(&mut Connection, &mut Connection) -> bool,
    ) -> bool {
        while Instant::now() < by {
            if !meanwhile(talker, visitor) {
                return false;
            }
            thread::sleep(ms(20));
        }
        // In the turn in which the first is heard the timers haven't been called yet.
        for line in ["one more", "and the last"] {
            if says(server, talker, line, when).is_err() {
                return false;
            }
        }
        let name = visitor.name().to_owned();
        loop {
            let line = next_line(server, visitor, when);
            if line == word {
                return true;
            }
            if line == "and the last" {
                server.fail_seeing(&format!(
                    "{when}, the {name} is still in the room: it was to be told `{word}`"
                ));
            }
            if ["idle", "too slow"].contains(&line.as_str()) {
                server.fail_seeing(&format!("{when}, the {name} got `{line}`, and not `{word}`"));
            }
        }
    }

    /// What a visitor does, and the deadline that it has then.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Until {
        Idle,
        Line,
    }

    #[rstest]
    #[case::it_came(&[], Until::Idle)]
    #[case::a_byte(&["h"], Until::Line)]
    #[case::a_byte_in_the_middle(&["h", "e"], Until::Line)]
    #[case::bytes_in_the_middle(&["h", "e", "ll", "o"], Until::Line)]
    #[case::a_line_in_one_piece(&["hello\n"], Until::Idle)]
    #[case::a_second_line_in_one_piece(&["hello\n", "hello\n"], Until::Idle)]
    #[case::an_empty_line(&["\n"], Until::Idle)]
    #[case::a_line_in_pieces(&["hel", "lo\n"], Until::Idle)]
    #[case::a_lines_end_alone(&["hello", "\n"], Until::Idle)]
    #[case::two_lines_in_one_piece(&["one\ntwo\n"], Until::Idle)]
    #[case::a_line_and_a_half(&["one\ntw"], Until::Line)]
    #[case::an_end_and_a_beginning(&["on", "e\ntw"], Until::Line)]
    #[case::ends_and_beginnings(&["on", "e\ntw", "o\nthr"], Until::Line)]
    #[case::an_end_and_an_empty_line(&["on", "e\n\n"], Until::Idle)]
    #[case::a_blank(&[" "], Until::Line)]
    #[case::the_next_lines_first_byte(&["one\n", "t"], Until::Line)]
    #[case::a_line_and_a_half_and_a_byte(&["one\ntw", "o"], Until::Line)]
    fn it_sleeps_until_the_deadline(
        #[case] pieces: &[&str],
        #[case] until: Until,
        #[values(300_000, 600_000)] idle: u64,
    ) {
        // The one is longer than the other, and the other way round.
        let line = 900_000 - idle;
        let check = check!("09-idle");
        let server = start(&check, idle, line);
        let came = Instant::now();
        let mut visitor = visitor(&server, "visitor");
        is_let_in(&server, "after it came");
        let mut due = Due { after: ms(idle), soonest: came, latest: has_done(&server) };
        let (mut since, mut said, mut in_line) = (came, String::new(), false);
        let mut all = String::new();
        for piece in pieces {
            thread::sleep(REST);
            since = Instant::now();
            let begun = !piece.ends_with('\n');
            let ended = piece.contains('\n');
            let begins = ended || !in_line;
            let after = ms(if begun { line } else { idle });
            said = format!(
                "{said}{}`{}`",
                if said.is_empty() { "" } else { ", " },
                piece.escape_debug()
            );
            let new = Due::begun_by(&server, after, || {
                send(&server, &mut visitor, piece);
                is_read(&server, &visitor, "after it said something");
            });
            if begins {
                due = new;
            }
            in_line = begun;
            // Whole lines come back: then they are done with.
            all.push_str(piece);
            for expected in
                all.drain(..all.rfind('\n').map_or(0, |end| end + 1)).collect::<String>().lines()
            {
                expect(&server, &mut visitor, expected, "after it said a line");
            }
        }
        check.suspect(match until {
            _ if pieces.is_empty() => "wrong-time-for-a-stage",
            Until::Line if pieces.len() > 1 && !pieces.concat().contains('\n') => {
                "each-byte-renews"
            }
            Until::Line if pieces.concat().contains('\n') => "line-behind-a-line",
            Until::Line => "first-byte-begins-nothing",
            Until::Idle => "line-does-not-renew",
        });
        let what =
            if pieces.is_empty() { "after it came".to_owned() } else { format!("after {said}") };
        let which = match until {
            Until::Idle => "IDLE",
            Until::Line => "LINE",
        };
        let when = format!(
            "with {idle} ms to begin a line and {line} ms to end it, {what} ({which} runs)"
        );
        sleeps_until(&server, Some(due), since, &when);
    }

    /// Waits until the one visitor that has come has been let in, and its deadline is set.
    #[track_caller]
    fn is_let_in(server: &Server<'_>, when: &str) {
        let came = server.program.says(|line| line.starts_with("visitor 1: connected"));
        if let Err(trouble) = came {
            fail_for(server, &format!("{when}, a visitor was to be let in"), &trouble);
        }
    }

    #[rstest]
    #[case::who_said_a_line_too_long("x", "too long")]
    fn it_sleeps_until_who_was_told_goodbye_must_be_gone(
        #[case] letter: &str,
        #[case] word: &str,
        #[values(300_000, 600_000)] idle: u64,
    ) {
        let check = check!("09-idle");
        let server = start(&check, idle, 900_000 - idle);
        let mut visitor = visitor(&server, "visitor");
        is_let_in(&server, "after it came");
        thread::sleep(REST);
        let when = "after a visitor was told goodbye, and hasn't hung up";
        let due = Due::begun_by(&server, ms(idle), || {
            send(&server, &mut visitor, &letter.repeat(1000));
            expect_goodbye(&server, &mut visitor, word, when);
        });
        check.suspect("another-time-to-leave");
        sleeps_until(&server, Some(due), due.soonest, when);
        // What it says then, it says to nobody.
        thread::sleep(REST);
        let since = Instant::now();
        let _ = visitor.send(b"one more\n");
        sleeps_until(&server, Some(due), due.soonest.min(since), when);
        drop(visitor);
        timers_set(&server, "visitor 1: gone", 0, "after it has hung up");
        check.suspect("timer-is-left-behind");
        sleeps_until(&server, None, since, "with nobody left");
    }

    #[test]
    fn what_others_do_changes_no_deadline() {
        const IDLE: u64 = 300_000;
        let check = check!("09-idle");
        check.suspect("others-renew");
        let server = start(&check, IDLE, 2 * IDLE);
        let came = Instant::now();
        let mut first = visitor(&server, "first visitor");
        is_let_in(&server, "after it came");
        let due = Due { after: ms(IDLE), soonest: came, latest: has_done(&server) };
        thread::sleep(REST);
        let mut other = visitor(&server, "other visitor");
        let mut since = Instant::now();
        for line in ["one", "two", "three"] {
            since = Instant::now();
            if let Err(heard) = says(&server, &mut other, line, "after another visitor came") {
                server.fail_seeing(&format!("a visitor who says `{line}` got `{heard}`"));
            }
        }
        let when = "with a silent visitor, and another one who came later and has said three lines";
        sleeps_until(&server, Some(due), since, when);
        for line in ["one", "two", "three"] {
            expect(&server, &mut first, line, when);
        }
        other.reset();
        timers_set(&server, "visitor 2: gone", 1, "after the other one has left");
        sleeps_until(
            &server,
            Some(due),
            since,
            "with a silent visitor, and another one who has left",
        );
        drop(first);
        timers_set(&server, "visitor 1: gone", 0, "after both have left");
        check.suspect("timer-is-left-behind");
        sleeps_until(&server, None, since, "after both have left");
    }

    /// With one time for all stages, deadlines pass in the order in which the stages began. The program's log tells in which
    /// they did: that holds on any machine.
    #[test]
    fn deadlines_pass_in_the_order_in_which_they_began() {
        let check = check!("09-idle");
        check.suspect("one-deadline-for-all");
        let mut all_in_time = false;
        for time in [600, 1200, 2400, 4800] {
            let server = start(&check, time, time);
            let began = Instant::now();
            let mut all: Vec<Connection> = Vec::new();
            let come = |all: &mut Vec<Connection>| {
                let number = all.len() + 1;
                all.push(visitor(&server, &format!("visitor {number}")));
                let line = format!("visitor {number}: connected");
                if let Err(trouble) = server.program.says(|said| said.starts_with(&line)) {
                    fail_for(&server, "a visitor was to be let in", &trouble);
                }
            };
            let say = |all: &mut Vec<Connection>, number: usize, words: &str| {
                let visitor = &mut all[number - 1];
                // If it's gone, that is seen in the end.
                let _ = visitor.send(words.as_bytes());
                visitor.wait_until_read(PATIENCE);
                thread::sleep(ms(2));
            };
            come(&mut all);
            come(&mut all);
            say(&mut all, 2, "h");
            come(&mut all);
            say(&mut all, 1, "hello\n");
            say(&mut all, 2, "e");
            come(&mut all);
            say(&mut all, 3, "abc\nd");
            come(&mut all);
            say(&mut all, 2, "y\n");
            say(&mut all, 4, "\n");
            say(&mut all, 3, "e");
            // On a machine as slow as this, the first may be over by now.
            all_in_time = began.elapsed() < ms(time) * 3 / 4;
            if !all_in_time {
                continue;
            }
            let goodbye = |line: &&String| line.contains(": goodbye ");
            let count =
                |server: &Server<'_>| server.program.stderr().iter().filter(goodbye).count();
            let deadline = Instant::now() + ms(time) + PATIENCE;
            while count(&server) < all.len() && Instant::now() < deadline {
                if let Some(trouble) = server.program.ended_with() {
                    fail_for(&server, "five visitors were to be told goodbye", &trouble);
                }
                thread::sleep(ms(5));
            }
            let came: Vec<String> =
                server.program.stderr().iter().filter(goodbye).cloned().collect();
            let expected = [
                "visitor 1: goodbye idle",
                "visitor 3: goodbye too slow",
                "visitor 5: goodbye idle",
                "visitor 2: goodbye idle",
                "visitor 4: goodbye idle",
            ];
            if came != expected {
                fail_saying(
                    &server,
                    &format!(
                        "with as much time to begin a line as to end it, of five visitors the one whose time began first was to be \
                     told goodbye first\ncame:     {}\nexpected: {}",
                        came.join(", "),
                        expected.join(", ")
                    ),
                );
            }
            break;
        }
        if !all_in_time {
            check.fail("four times, this machine was too slow for what was to be seen");
        }
    }

    #[test]
    fn nothing_is_kept_of_lines() {
        const EACH: usize = 2000;
        let check = check!("09-idle");
        let server = start(&check, NEVER, NEVER);
        let mut busy = visitor(&server, "busy visitor");
        server.keeps_nothing(EACH, "lines", |_| {
            for _ in 0..EACH / 50 {
                for piece in ["x\ny", "\n"] {
                    send(&server, &mut busy, piece);
                    is_read(&server, &busy, "after it said something");
                }
                send(&server, &mut busy, &"x\n".repeat(46));
                next_lines(&server, &mut busy, 48, "after it said many lines");
            }
        });
    }

    #[test]
    fn nothing_is_kept_of_visitors() {
        const EACH: usize = 1000;
        let check = check!("09-idle");
        let server = start(&check, NEVER, NEVER);
        let mut busy = visitor(&server, "busy visitor");
        server.keeps_nothing(EACH, "visitors", |_| {
            for _ in 0..EACH / 50 {
                come_and_go(&server, 50, "h");
                // When this is heard, they have been let in; most of them have been seen to leave.
                send(&server, &mut busy, "still here\n");
                expect(&server, &mut busy, "still here", "while visitors came and went");
            }
        });
    }

    #[rstest]
    #[case::for_a_tenth_of_a_second(100)]
    #[case::for_half_a_second(500)]
    fn who_says_nothing_is_hung_up_on(#[case] idle: u64) {
        let check = check!("09-idle");
        check.suspect("closed-in-place-of-goodbye");
        let server = start(&check, idle, NEVER);
        let came = Instant::now();
        let mut silent = visitor(&server, "silent visitor");
        let when = format!("with {idle} ms to begin a line");
        let at = expect_goodbye(&server, &mut silent, "idle", &when);
        not_before(&server, at, came, ms(idle), "it came, without a word");
    }

    #[rstest]
    #[case::in_one_piece(1)]
    #[case::in_pieces(4)]
    fn a_line_renews_it(#[case] pieces: usize) {
        const IDLE: u64 = 400;
        const LINE: u64 = 300;
        let check = check!("09-idle");
        check.suspect("line-does-not-renew");
        let server = start(&check, IDLE, LINE);
        for _ in 0..TRIES {
            let mut since = Instant::now();
            let mut busy = visitor(&server, "busy visitor");
            let when = "after it said a line now and then";
            let all_heard = (0..3).all(|_| {
                thread::sleep(ms(IDLE * 5 / 8));
                let sent = Instant::now();
                // If it's gone, that is seen next.
                let _ = busy.send_in_pieces(b"hello\n", pieces, &server.program);
                let heard = next_line(&server, &mut busy, when);
                let at = Instant::now();
                match heard.as_str() {
                    "idle" => not_before(&server, at, since, ms(IDLE), "its last line"),
                    "too slow" => not_before(&server, at, sent, ms(LINE), "it began a line"),
                    "hello" => {}
                    _ => server.fail_seeing(&format!("{when}, the busy visitor got `{heard}`")),
                }
                since = sent;
                heard == "hello"
            });
            if all_heard {
                let at = expect_goodbye(&server, &mut busy, "idle", when);
                return not_before(&server, at, since, ms(IDLE), "its last line");
            }
        }
        check.fail(format!("{TRIES} times, the busy visitor was too slow on this machine"));
    }

    #[test]
    fn who_began_a_line_has_time_to_end_it() {
        const IDLE: u64 = 400;
        const LINE: u64 = 900;
        let check = check!("09-idle");
        check.suspect("first-byte-begins-nothing");
        let server = start(&check, IDLE, LINE);
        for _ in 0..TRIES {
            let came = Instant::now();
            let mut slow = visitor(&server, "slow visitor");
            thread::sleep(ms(IDLE / 2));
            let began = Instant::now();
            let _ = slow.send(b"h");
            slow.wait_until_read(PATIENCE);
            if came.elapsed() >= ms(IDLE) {
                continue;
            }
            let when = "after the first byte of a line";
            let at = expect_goodbye(&server, &mut slow, "too slow", when);
            return not_before(&server, at, began, ms(LINE), "the first byte of its line");
        }
        check.fail(format!("{TRIES} times, the slow visitor was too slow on this machine"));
    }

    #[test]
    fn a_byte_now_and_then_buys_no_time() {
        const LINE: u64 = 400;
        let check = check!("09-idle");
        check.suspect("each-byte-renews");
        let server = start(&check, NEVER, LINE);
        let mut talker = visitor(&server, "talkative visitor");
        let mut slow = visitor(&server, "slow visitor");
        let when = format!("with {LINE} ms for a line, and a byte now and then");
        send(&server, &mut slow, "h");
        slow.wait_until_read(PATIENCE);
        if let Err(heard) = says(&server, &mut talker, "good morning", &when) {
            server.fail_seeing(&format!("{when}, the talkative visitor got `{heard}`"));
        }
        // It was read before the other one's line.
        let by = Instant::now() + ms(LINE);
        let both = (&mut talker, &mut slow);
        let seen = is_over_by(&server, by, both, "too slow", &when, |_, slow| {
            // If it's hung up on, that is seen in the end.
            let _ = slow.send(b"m");
            true
        });
        if !seen {
            server.fail_seeing(&format!("{when}, the talkative visitor was hung up on"));
        }
    }

    #[rstest]
    #[case::in_the_middle_of_a_line("hel", "lo\nwor")]
    #[case::before_any_line("", "hello\nwor")]
    fn each_line_has_its_own_time(#[case] first: &str, #[case] then: &str) {
        const LINE: u64 = 500;
        let check = check!("09-idle");
        check.suspect("line-behind-a-line");
        let server = start(&check, NEVER, LINE);
        let when = "after the end of a line and the beginning of the next, in one piece";
        for _ in 0..TRIES {
            let began = Instant::now();
            let mut visitor = visitor(&server, "visitor");
            let _ = visitor.send(first.as_bytes());
            visitor.wait_until_read(PATIENCE);
            thread::sleep(ms(LINE * 5 / 8));
            let next_began = Instant::now();
            let _ = visitor.send(then.as_bytes());
            match next_line(&server, &mut visitor, when).as_str() {
                "hello" => {
                    let at = expect_goodbye(&server, &mut visitor, "too slow", when);
                    return not_before(
                        &server,
                        at,
                        next_began,
                        ms(LINE),
                        "it began its second line",
                    );
                }
                "too slow" => {
                    not_before(&server, Instant::now(), began, ms(LINE), "it began its first line");
                }
                line => server.fail_seeing(&format!("{when}, the visitor got `{line}`")),
            }
        }
        check.fail(format!("{TRIES} times, the visitor was too slow on this machine"));
    }

    #[test]
    fn what_others_say_buys_no_time() {
        const IDLE: u64 = 400;
        let check = check!("09-idle");
        check.suspect("others-renew");
        let server = start(&check, IDLE, NEVER);
        let when = "with a talkative visitor in the room";
        for _ in 0..TRIES {
            let mut talker = visitor(&server, "talkative visitor");
            let came = Instant::now();
            let mut silent = visitor(&server, "silent visitor");
            // When the silent one hears something, it has been let in.
            if says(&server, &mut talker, "good morning", when).is_err()
                || talks_until_heard(&server, &mut talker, &mut silent, when).is_none()
            {
                continue;
            }
            let by = Instant::now() + ms(IDLE);
            let both = (&mut talker, &mut silent);
            let seen = is_over_by(&server, by, both, "idle", when, |talker, _| {
                says(&server, talker, "and so on", when).is_ok()
            });
            if seen {
                return not_before(
                    &server,
                    Instant::now(),
                    came,
                    ms(IDLE),
                    "it came, without a word",
                );
            }
        }
        check.fail(format!("{TRIES} times, the talkative visitor was too slow on this machine"));
    }

    /// `None` if one of them is hung up on.
    #[track_caller]
    fn talks_until_heard(
        server: &Server<'_>,
        talker: &mut Connection,
        silent: &mut Connection,
        when: &str,
    ) -> Option<()> {
        while !silent.readable_within(ms(5)) {
            says(server, talker, "are you there?", when).ok()?;
        }
        let line = next_line(server, silent, when);
        (line != "idle").then_some(())
    }

    #[test]
    fn who_does_not_leave_is_left() {
        const IDLE: u64 = 300;
        let check = check!("09-idle");
        check.suspect("leaves-leavers-alone");
        let server = start(&check, IDLE, NEVER);
        let when = "after it was told goodbye, with a visitor who doesn't hang up";
        // Late once, it may have been held up by others. Who gives more time does so to each.
        let late: Option<Vec<Duration>> =
            (1..=3).map(|number| is_left(&server, number, IDLE, when)).collect();
        if let Some(late) = late {
            check.suspect("another-time-to-leave");
            let times: Vec<u128> = late.iter().map(Duration::as_millis).collect();
            check.fail(format!(
                "{when}, its connection was closed {times:?} ms after the goodbye, with three of them: it has {IDLE} ms"
            ));
        }
        settle(&server, when);
    }

    #[test]
    fn who_was_too_slow_and_does_not_leave_is_left() {
        let check = check!("09-idle");
        check.suspect("leaves-leavers-alone");
        let server = start(&check, 250, 100);
        let when = "after it was told goodbye, with a visitor who doesn't hang up";
        let mut slow = visitor(&server, "slow visitor");
        let began = Instant::now();
        send(&server, &mut slow, "hel");
        expect_goodbye(&server, &mut slow, "too slow", "after the beginning of a line");
        timers_set(&server, "visitor 1: gone", 0, when);
        let passed = began.elapsed();
        if passed < ms(350) {
            check.suspect("another-time-to-leave");
            let passed = passed.as_millis();
            check.fail(format!(
                "{when}, its connection was closed {passed} ms after it had begun a line: it has 100 ms to end it, and 250 ms more \
                 to hang up"
            ));
        }
        sleeps_until(&server, None, began, when);
    }

    /// Waits for the program's line that begins like this, and is due `within` this time. Who sleeps in another wait long after
    /// that has been awake in between, and won't ever say it.
    #[track_caller]
    fn says_in_time(server: &Server<'_>, begin: &str, within: Duration, when: &str, what: &str) {
        let (began, mut looks) = (Instant::now(), 0);
        while !server.program.stderr().iter().any(|line| line.starts_with(begin)) {
            if let Some(trouble) = server.program.ended_with() {
                fail_for(server, &format!("{when}, {what}"), &trouble);
            }
            let sleeps = began.elapsed() > 3 * within && Wait::of(server).is_some();
            looks = if sleeps { looks + 1 } else { 0 };
            if looks > 20 || began.elapsed() > PATIENCE {
                let within = within.as_millis();
                server.fail_seeing(&format!(
                    "{when}, {what} within {within} ms, and three times as much later it wasn't"
                ));
            }
            thread::sleep(ms(5));
        }
    }

    /// A visitor says lines, and hears none of them, until the kernel takes no more and something is queued for it. False if it
    /// was told goodbye before that, or is gone.
    #[track_caller]
    fn has_something_queued(server: &Server<'_>, greedy: &mut Connection) -> bool {
        // More than 256 KiB are too much for the program.
        let portion = (".".repeat(399) + "\n").repeat(20);
        let mut said = 0;
        loop {
            if greedy.send(portion.as_bytes()).is_err() || !greedy.wait_until_read(PATIENCE) {
                return false;
            }
            said += portion.len();
            let Some(mut now) = bytes::between_when_still(server, greedy) else { return false };
            if said > now.to_visitor {
                // What was read a moment ago may be on its way to the kernel.
                settle(server, "after a visitor said much that it doesn't read");
                let Some(later) = bytes::between_when_still(server, greedy) else { return false };
                now = later;
            }
            if !now.open || server.program.stderr().iter().any(|line| line.contains(": goodbye ")) {
                return false;
            }
            if said > now.to_visitor {
                return true;
            }
        }
    }

    /// A stage's time is over as well if something is queued for the visitor, and always will be.
    #[test]
    fn who_does_not_read_is_left_too() {
        let check = check!("09-idle");
        check.suspect("waits-for-who-does-not-read");
        for idle in [150, 600, 2400] {
            let server = start(&check, idle, NEVER);
            let mut greedy = bytes::narrow_visitor(&server, "visitor who doesn't read");
            if bytes::both_ends(&server, &greedy).is_none() {
                // This machine doesn't tell what its kernel has.
                return;
            }
            if !has_something_queued(&server, &mut greedy) {
                let begun = "a visitor was to be let in, and to hear what it says";
                if let Some(trouble) = server.program.ended_with() {
                    fail_for(&server, begun, &trouble);
                }
                if server.program.stderr().iter().any(|it| it.contains("not yet implemented")) {
                    server.fail_seeing(begun);
                }
                // This machine was too slow: the visitor's time was over by then.
                continue;
            }
            let (goodbye, gone) = ("visitor 1: goodbye idle", "visitor 1: gone");
            let when = "with a visitor who doesn't read, and something queued for it";
            says_in_time(&server, goodbye, ms(idle), when, "it was to be told goodbye");
            let when = "after it was told goodbye, with something still queued for it";
            says_in_time(&server, gone, ms(idle), when, "its connection was to be closed");
            return timers_set(&server, gone, 0, when);
        }
        check.fail("three times, a visitor who doesn't read was gone before anything was queued");
    }

    /// Visitor `number` says nothing, is told goodbye, and doesn't hang up. How long after the goodbye it was left, if
    /// that is half as long again as it may take, or more.
    #[track_caller]
    fn is_left(server: &Server<'_>, number: u32, idle: u64, when: &str) -> Option<Duration> {
        let check = server.check;
        let came = Instant::now();
        let mut silent = visitor(server, "silent visitor");
        let told = expect_goodbye(server, &mut silent, "idle", "with a visitor who says nothing");
        let gone = format!("visitor {number}: gone");
        if let Err(trouble) = server.program.says(|line| line.starts_with(&gone)) {
            let waited = told.elapsed().as_millis();
            let expected = format!(
                "{when}, its connection was to be closed: it has {idle} ms to hang up, and {waited} ms later it was still \
                 waited for"
            );
            fail_for(server, &expected, &trouble);
        }
        let (passed, after) = (came.elapsed(), told.elapsed());
        if passed < 2 * ms(idle) {
            check.suspect("another-time-to-leave");
            let passed = passed.as_millis();
            check.fail(format!(
                "{when}, its connection was closed {passed} ms after it came: it has {idle} ms to begin a line, and {idle} \
                 ms more to hang up"
            ));
        }
        timers_set(server, &gone, 0, when);
        (after >= ms(idle) * 3 / 2).then_some(after)
    }

    #[test]
    fn who_leaves_leaves_no_timer_behind() {
        let check = check!("09-idle");
        check.suspect("timer-is-left-behind");
        let server = start(&check, NEVER, NEVER);
        let stays = visitor(&server, "visitor who stays");
        let mut number = 1;
        for way in Way::ALL {
            for last in ["", "hal"] {
                let mut leaves = visitor(&server, "visitor who leaves");
                number += 1;
                let when = format!("after one of two visitors has {}", way.name());
                for line in ["one", "two", "three"] {
                    if let Err(heard) = says(&server, &mut leaves, line, &when) {
                        server.fail_seeing(&format!("a visitor who says `{line}` got `{heard}`"));
                    }
                }
                send(&server, &mut leaves, last);
                leaves.wait_until_read(PATIENCE);
                let rest = way.leave(leaves);
                timers_set(&server, &format!("visitor {number}: gone"), 1, &when);
                drop(rest);
            }
        }
        drop(stays);
    }

    #[test]
    fn a_quiet_room_costs_nothing() {
        let check = check!("09-idle");
        check.suspect("looks-in-place-of-a-timer");
        let server = start(&check, NEVER, NEVER);
        let mut visitors: Vec<_> = (0..2).map(|_| visitor(&server, "visitor")).collect();
        let when = "with three visitors who have ten minutes";
        for visitor in visitors.iter_mut().rev() {
            if let Err(heard) = says(&server, visitor, "hello", when) {
                server.fail_seeing(&format!("{when}, a visitor got `{heard}`"));
            }
        }
        settle(&server, when);
        let mut silent = visitor(&server, "silent visitor");
        settle(&server, when);
        let lens = server.lens();
        server.takes_no_naps(lens.as_ref(), when);
        if let Err(heard) = says(&server, &mut silent, "hello", when) {
            server.fail_seeing(&format!("{when}, a visitor got `{heard}`"));
        }
        server.waits_only_in(lens.as_ref(), &LOOP_WAITS, when);
    }
}

mod later {
    use super::*;

    /// Sets an alarm. Gives a moment before that.
    #[track_caller]
    fn set(server: &Server<'_>, visitor: &mut Connection, order: &str, number: usize) -> Instant {
        let before = Instant::now();
        send(server, visitor, &format!("{order}\n"));
        expect(server, visitor, &format!("set {number}"), &format!("after `{order}`"));
        before
    }

    /// Says several lines, which the program finds there all at once.
    #[track_caller]
    fn say_at_once(server: &Server<'_>, visitor: &mut Connection, lines: &[&str]) {
        settle(server, "before anything is said");
        server.program.stop();
        send(server, visitor, &(lines.join("\n") + "\n"));
        server.program.go_on();
    }

    /// Keeps the program from running until so much time has passed.
    fn hold_up(server: &Server<'_>, milliseconds: u64) {
        server.program.stop();
        thread::sleep(ms(milliseconds));
        server.program.go_on();
    }

    /// A visitor whose alarm goes off in every turn: the program never sleeps.
    #[track_caller]
    fn restless(server: &Server<'_>) -> Connection {
        let mut restless = visitor(server, "restless visitor");
        set(server, &mut restless, "in 0 !snooze 0", 1);
        restless
    }

    #[rstest]
    #[case::at_once(0)]
    #[case::after_a_microsecond(1)]
    #[case::after_a_moment(1500)]
    #[case::after_a_tenth_of_a_second(100_000)]
    fn it_rings_when_its_time_has_come(#[case] delay: u64) {
        let check = check!("09-later");
        check.suspect("wrong-timeout");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        let when = format!("after `in {delay} wake up`");
        for number in 1..=5 {
            let before = set(&server, &mut visitor, &format!("in {delay} wake up"), number);
            expect(&server, &mut visitor, "wake up", &when);
            let passed = before.elapsed();
            if passed < Duration::from_micros(delay) {
                check.suspect("rings-early");
                let passed = passed.as_micros();
                check.fail(format!("{when}, it came {passed} microseconds later: that's too soon"));
            }
        }
        settle(&server, &when);
        nothing_more(&server, &mut visitor, &when);
    }

    /// How late something comes says more about the machine than about the program. For how long it means to sleep doesn't.
    #[test]
    fn it_sleeps_until_the_first_alarm() {
        let check = check!("09-later");
        check.suspect("wrong-timeout");
        let server = check.server(&[]);
        sleeps_until(&server, None, Instant::now(), "with no alarm set");
        let mut visitor = visitor(&server, "visitor");
        let mut number = 0;
        let mut say = |order: &str, answer: &str| {
            let soonest = Instant::now();
            send(&server, &mut visitor, &format!("{order}\n"));
            expect(&server, &mut visitor, answer, &format!("after `{order}`"));
            thread::sleep(ms(2));
            (soonest, has_done(&server))
        };
        let mut alarm = |seconds: u64, say: &mut dyn FnMut(&str, &str) -> (Instant, Instant)| {
            number += 1;
            let order = format!("in {seconds}000000 x");
            let (soonest, latest) = say(&order, &format!("set {number}"));
            let due = Due { after: Duration::from_secs(seconds), soonest, latest };
            (due, format!("after `{order}`"))
        };
        let (hour, when) = alarm(3600, &mut say);
        sleeps_until(&server, Some(hour), hour.soonest, &when);
        let (later, when) = alarm(4000, &mut say);
        sleeps_until(
            &server,
            Some(hour),
            later.soonest,
            &format!("{when}, with another one in an hour"),
        );
        let (sooner, when) = alarm(600, &mut say);
        check.suspect("first-is-remembered");
        sleeps_until(
            &server,
            Some(sooner),
            sooner.soonest,
            &format!("{when}, with another one in an hour"),
        );
        let (same, when) = alarm(600, &mut say);
        sleeps_until(
            &server,
            Some(sooner),
            same.soonest,
            &format!("{when}, with another one at that time"),
        );
        for (canceled, due, left) in [
            (3, Some(same), "of two that are due first"),
            (4, Some(hour), "which is the first one"),
            (2, Some(hour), "which is the last one"),
            (1, None, "which is the only one"),
        ] {
            let (since, _) = say(&format!("cancel {canceled}"), "canceled");
            let when = format!("after `cancel {canceled}`, {left}");
            sleeps_until(&server, due, since, &when);
        }
        // The longest that can be said.
        let (soonest, latest) = say("in 4294967295 x", "set 5");
        let due = Due { after: Duration::from_micros(u32::MAX.into()), soonest, latest };
        check.suspect("wrong-timeout");
        sleeps_until(&server, Some(due), soonest, "after `in 4294967295 x`");
    }

    /// Each wait that ends by itself ends with an alarm that rings.
    #[test]
    fn it_is_never_woken_for_nothing() {
        let check = check!("09-later");
        check.suspect("cut-to-nothing");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        settle(&server, "before anything is said");
        let Some(lens) = server.lens() else { return };
        let mut number = 0;
        for delay in [300, 900, 1000, 1001, 1999, 2500, 20_300, 50_000, 50_900] {
            // One is canceled, and is due before the other.
            let orders = format!("in {} never\nin {delay} wake up\n", delay / 2);
            let when = format!("after `in {delay} wake up`");
            if delay > 2500 {
                send(&server, &mut visitor, &format!("{orders}cancel {}\n", number + 1));
                number += 2;
                for answer in
                    [format!("set {}", number - 1), format!("set {number}"), "canceled".to_owned()]
                {
                    expect(&server, &mut visitor, &answer, &when);
                }
            } else {
                number += 1;
                set(&server, &mut visitor, &format!("in {delay} wake up"), number);
            }
            expect(&server, &mut visitor, "wake up", &when);
        }
        settle(&server, "after nine alarms had rung");
        check.suspect("sleeps-by-itself");
        server.waits_only_in(Some(&lens), &LOOP_WAITS, "after nine alarms had rung");
        check.suspect("cut-to-nothing");
        let (mut alone, mut in_vain) = (false, 0);
        for call in lens.calls() {
            match (family(&call.call), &call.outcome) {
                ("epoll_wait" | "poll", Outcome::Result(count)) => {
                    in_vain += usize::from(alone);
                    alone = *count == 0;
                }
                ("write", _) => alone = false,
                _ => {}
            }
        }
        if in_vain > 0 {
            check.fail(format!(
                "with nine alarms, {in_vain} waits ended by themselves, and no alarm rang after them: each was over before the \
                 first alarm was due, or had no alarm to wait for"
            ));
        }
    }

    /// In an order of how many come back to it, in one turn each.
    #[test]
    fn all_that_are_due_ring_in_one_turn() {
        const COUNT: usize = 10_000;
        let check = check!("09-later");
        check.suspect("rings-only-some");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        let when = "after ten thousand alarms were due";
        let wait = Duration::from_secs(1);
        for times in 1..=4 {
            let asked = Instant::now();
            let order = format!("in {} x\n", (wait * times).as_micros());
            send(&server, &mut visitor, &order.repeat(COUNT));
            let lines = next_lines(&server, &mut visitor, COUNT, when);
            let rung = lines.iter().filter(|line| *line == "x").count();
            let asked_last = Instant::now();
            if rung > 0 || asked_last - asked > wait * times / 2 {
                // On a machine as slow as this, some have rung by now.
                next_lines(&server, &mut visitor, COUNT, when);
                continue;
            }
            let Some(lens) = server.lens() else { return };
            server.program.stop();
            thread::sleep((asked_last + wait * times + ms(5)) - Instant::now());
            server.program.go_on();
            next_lines(&server, &mut visitor, COUNT, when);
            settle(&server, when);
            // Some may have to wait for room to send; alarms ring in a turn that begins when its wait is over.
            let waits = |call: &&Call| {
                family(&call.call) == "epoll_wait" && call.outcome == Outcome::Result(0)
            };
            let turns = lens.calls().iter().filter(waits).count();
            if turns > 2 {
                check.fail(format!(
                    "{when}, your program looked for news {turns} times, without waiting, until all of them had rung: all that \
                     are due ring after the same wait"
                ));
            }
            return;
        }
    }

    #[test]
    fn what_is_set_while_alarms_ring_rings_after_the_next_wait() {
        let check = check!("09-later");
        check.suspect("asks-the-clock-again");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        settle(&server, "before anything is said");
        let Some(lens) = server.lens() else { return };
        let when = "after an alarm had set another one for at once";
        // What rings in one turn is written together: by its length it's seen what that was.
        let text = "n".repeat(100);
        for number in 0..5 {
            set(&server, &mut visitor, &format!("in 20000 !in 0 {text}"), 2 * number + 1);
            expect(&server, &mut visitor, &format!("set {}", 2 * number + 2), when);
            expect(&server, &mut visitor, &text, when);
        }
        settle(&server, when);
        let alone = i64::try_from(text.len()).unwrap_or(0) + 1;
        let together = |call: &&Call| {
            let is_write = family(&call.call) == "write";
            is_write && matches!(call.outcome, Outcome::Result(count) if count > alone)
        };
        let is_ours =
            |call: &&Call| call.what.as_ref().is_some_and(|what| what.contains("visitor"));
        let calls = lens.calls();
        let together = calls.iter().filter(is_ours).filter(together).count();
        if together > 0 {
            check.fail(format!(
                "{when}, five times, that one rang in the same turn {together} times: what is set while alarms ring was to ring \
                 after the next wait"
            ));
        }
    }

    #[test]
    fn numbers_are_given_once_and_for_all_visitors() {
        let check = check!("09-later");
        check.suspect("wrong-number");
        let server = check.server(&[]);
        let mut one = visitor(&server, "first visitor");
        let mut other = visitor(&server, "second visitor");
        let when = "with alarms of two visitors";
        set(&server, &mut one, "in 900000000 x", 1);
        set(&server, &mut other, "in 900000000 x", 2);
        set(&server, &mut one, "in 0 first", 3);
        expect(&server, &mut one, "first", when);
        check.suspect("cancels-another");
        for (order, answer) in [
            ("cancel 0", "too late"),
            ("cancel 4", "too late"),
            ("cancel 18446744073709551615", "too late"),
            ("cancel -1", "too late"),
            ("cancel x", "too late"),
            ("cancel 2", "canceled"),
            ("cancel 2", "too late"),
            ("cancel 3", "too late"),
        ] {
            send(&server, &mut other, &format!("{order}\n"));
            expect(&server, &mut other, answer, &format!("{when}, after `{order}`"));
        }
        check.suspect("wrong-number");
        set(&server, &mut other, "in 0 second", 4);
        expect(&server, &mut other, "second", when);
        set(&server, &mut one, "in 900000000 x", 5);
        send(&server, &mut one, "cancel 1\n");
        expect(&server, &mut one, "canceled", when);
        set(&server, &mut one, "in 900000000 x", 6);
        // The alarms of somebody who has left ring for nobody.
        check.suspect("wrong-order");
        let mut leaves = visitor(&server, "visitor who leaves");
        set(&server, &mut leaves, "in 30000 never", 7);
        set(&server, &mut one, "in 31000 at last", 8);
        leaves.reset();
        expect(&server, &mut one, "at last", "after somebody left who had set an alarm");
    }

    #[test]
    fn of_those_at_the_same_moment_one_is_canceled() {
        let check = check!("09-later");
        check.suspect("cancels-another");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        let when = "after three alarms were set for the same moment, and one of them was canceled";
        for (round, canceled) in [1, 2, 3].into_iter().enumerate() {
            let cancel = format!("cancel {}", 3 * round + canceled);
            let lines = ["in 20000 alarm 1", "in 20000 alarm 2", "in 20000 alarm 3", &cancel];
            say_at_once(&server, &mut visitor, &lines);
            for number in 1..=3 {
                expect(&server, &mut visitor, &format!("set {}", 3 * round + number), when);
            }
            expect(&server, &mut visitor, "canceled", when);
            for number in (1..=3).filter(|number| *number != canceled) {
                expect(&server, &mut visitor, &format!("alarm {number}"), when);
            }
        }
        settle(&server, when);
        nothing_more(&server, &mut visitor, when);
    }

    #[rstest]
    #[case::that_have_rung("in 0 x", 250)]
    #[case::that_rang_at_the_same_moment("in 1000 x", 1000)]
    #[case::that_were_canceled("cancel", 250)]
    fn nothing_is_kept_of_alarms(#[case] order: &str, #[case] portion: usize) {
        const EACH: usize = 2000;
        let check = check!("09-later");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        let mut number = 0;
        server.keeps_nothing(EACH, "alarms", |_| {
            for _ in 0..EACH / portion {
                let lines: String = (1..=portion)
                    .map(|place| match order {
                        "cancel" => format!("in 900000000 x\ncancel {}\n", number + place),
                        order => format!("{order}\n"),
                    })
                    .collect();
                number += portion;
                send(&server, &mut visitor, &lines);
                let when = format!("after `{order}`, many times");
                // Each has two: one when it's set, and one when it has rung or is canceled.
                next_lines(&server, &mut visitor, 2 * portion, &when);
            }
        });
    }

    #[test]
    fn nothing_is_kept_of_alarms_of_who_has_left() {
        const EACH: usize = 1000;
        let check = check!("09-later");
        let server = check.server(&[]);
        let mut stays = visitor(&server, "visitor who stays");
        server.keeps_nothing(EACH, "visitors with an alarm that rang for nobody", |_| {
            for _ in 0..EACH / 50 {
                come_and_go(&server, 50, "in 2000 x\nin 0 !snooze 2000\n");
                send(&server, &mut stays, "in 0 still here\n");
                for _ in 0..2 {
                    next_line(&server, &mut stays, "while visitors came and went");
                }
            }
        });
    }

    #[rstest]
    #[case::each_in_its_time(0)]
    #[case::all_in_one_turn(300)]
    fn in_the_order_in_which_they_are_due(#[case] held_up: u64) {
        let check = check!("09-later");
        check.suspect("wrong-order");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        let lines = ["in 250000 third", "in 150000 first", "in 200000 second"];
        say_at_once(&server, &mut visitor, &lines);
        let when = "after three alarms were set in another order";
        for number in 1..=3 {
            expect(&server, &mut visitor, &format!("set {number}"), when);
        }
        hold_up(&server, held_up);
        for text in ["first", "second", "third"] {
            expect(&server, &mut visitor, text, when);
        }
    }

    #[test]
    fn at_the_same_moment_in_the_order_of_setting() {
        const COUNT: usize = 100;
        let check = check!("09-later");
        check.suspect("one-for-each-moment");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        let lines: Vec<String> = (1..=COUNT).map(|n| format!("in 20000 number {n}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        say_at_once(&server, &mut visitor, &lines);
        let when = "after a hundred alarms were set for the same moment";
        for number in 1..=COUNT {
            expect(&server, &mut visitor, &format!("set {number}"), when);
        }
        for number in 1..=COUNT {
            expect(&server, &mut visitor, &format!("number {number}"), when);
        }
    }

    #[test]
    fn within_a_millisecond_in_the_order_in_which_they_are_due() {
        let check = check!("09-later");
        check.suspect("moments-are-rounded");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        let lines = ["in 20900 later", "in 20500 mid", "in 20100 sooner"];
        let when = "after three alarms were set that are due within a millisecond";
        for round in 0..3 {
            say_at_once(&server, &mut visitor, &lines);
            for number in 1..=3 {
                expect(&server, &mut visitor, &format!("set {}", 3 * round + number), when);
            }
            for text in ["sooner", "mid", "later"] {
                expect(&server, &mut visitor, text, when);
            }
        }
    }

    #[test]
    fn set_later_and_due_sooner() {
        const LATE: u64 = 800;
        let check = check!("09-later");
        check.suspect("first-is-remembered");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        let when = "after an alarm was set that is due before the one set earlier";
        for number in (1..).step_by(2).take(3) {
            let late = format!("in {} late", LATE * 1000);
            let before = set(&server, &mut visitor, &late, number);
            settle(&server, &format!("after `{late}`"));
            set(&server, &mut visitor, "in 50000 soon", number + 1);
            expect(&server, &mut visitor, "soon", when);
            if before.elapsed() < ms(LATE) {
                return;
            }
            expect(&server, &mut visitor, "late", when);
        }
        check.fail(format!("{when}, it came when the other was due, and not before"));
    }

    #[test]
    fn what_is_canceled_does_not_ring() {
        let check = check!("09-later");
        check.suspect("cancels-another");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        let lines = [
            "in 50000 one",
            "in 60000 two",
            "in 70000 three",
            "in 80000 four",
            "cancel 1",
            "cancel 3",
            "cancel 3",
            "cancel 77",
        ];
        say_at_once(&server, &mut visitor, &lines);
        let when = "after four alarms were set, and 1 and 3 canceled";
        let answers = ["set 1", "set 2", "set 3", "set 4"];
        let others = ["canceled", "canceled", "too late", "too late", "two", "four"];
        for line in answers.iter().chain(&others) {
            expect(&server, &mut visitor, line, when);
        }
        let when = "after alarms 2 and 4 have rung";
        for line in ["cancel 2", "cancel 4"] {
            send(&server, &mut visitor, &format!("{line}\n"));
            expect(&server, &mut visitor, "too late", when);
        }
        set(&server, &mut visitor, "in 0 five", 5);
        expect(&server, &mut visitor, "five", when);
        settle(&server, when);
        nothing_more(&server, &mut visitor, when);
    }

    #[test]
    fn one_that_rings_cancels_the_next() {
        let check = check!("09-later");
        check.suspect("takes-all-out-first");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        let lines = ["in 200000 !cancel 2", "in 210000 never", "in 220000 the end"];
        say_at_once(&server, &mut visitor, &lines);
        let when = "after an alarm was to cancel the next one, with both due";
        for number in 1..=3 {
            expect(&server, &mut visitor, &format!("set {number}"), when);
        }
        hold_up(&server, 300);
        for line in ["canceled", "the end"] {
            expect(&server, &mut visitor, line, when);
        }
        let when = "after an alarm was to set another one";
        check.suspect("sleeps-when-overdue");
        set(&server, &mut visitor, "in 0 !in 0 !in 1000 at last", 4);
        for line in ["set 5", "set 6", "at last"] {
            expect(&server, &mut visitor, line, when);
        }
    }

    #[test]
    fn one_that_rings_again_and_again_keeps_nobody_waiting() {
        let check = check!("09-later");
        check.suspect("sleeps-when-overdue");
        let server = check.server(&[]);
        let restless = restless(&server);
        let mut visitor = visitor(&server, "visitor");
        let when = "with an alarm that rings again and again";
        for _ in 0..20 {
            send(&server, &mut visitor, "in 1000 wake up\n");
            let said = next_line(&server, &mut visitor, when);
            if !said.starts_with("set ") {
                server.fail_seeing(&format!("{when}, the visitor got `{said}`"));
            }
            expect(&server, &mut visitor, "wake up", when);
        }
        drop(restless);
        settle(&server, "after the visitor left whose alarm rang again and again");
    }

    #[rstest]
    #[case::when_it_sleeps_in_between(false)]
    #[case::when_it_never_sleeps(true)]
    fn it_never_rings_early(#[case] never_sleeps: bool) {
        const EACH: u32 = 500;
        const COUNT: u32 = 110;
        let check = check!("09-later");
        check.suspect("sleeps-when-overdue");
        let server = check.server(&[]);
        let restless = never_sleeps.then(|| restless(&server));
        let mut visitor = visitor(&server, "visitor");
        // What is early adds up.
        let chain = format!("in {EACH} !").repeat(COUNT as usize - 1);
        let due = Duration::from_micros((EACH * COUNT).into());
        let when =
            format!("with {COUNT} alarms, each of which sets the next (`in {EACH} !in {EACH} …`)");
        for _ in 0..3 {
            let before = Instant::now();
            send(&server, &mut visitor, &format!("{chain}in {EACH} the end\n"));
            for _ in 0..COUNT {
                let said = next_line(&server, &mut visitor, &when);
                if !said.starts_with("set ") {
                    server.fail_seeing(&format!("{when}, the visitor got `{said}`"));
                }
            }
            expect(&server, &mut visitor, "the end", &when);
            let (passed, due) = (before.elapsed().as_micros(), due.as_micros());
            if passed < due {
                check.suspect("moments-are-rounded");
                check.fail(format!(
                    "{when}, the last one rang {passed} microseconds after the first one was set: it's due after {due}"
                ));
            }
        }
        drop(restless);
    }

    /// An alarm that sets another one when it rings, and a third one that is due at the moment of that: each step begins at its
    /// own time or later, so two steps never take less time than one that is as long as both. Who rings the first of them
    /// too early, by however little, rings the second before the third. The program's own clock tells: how fast it
    /// is, or this machine, makes no difference.
    #[test]
    fn two_steps_take_no_less_time_than_one() {
        const PAIRS: u64 = 100;
        /// The first of them is due after so many microseconds, and the others each so many later: in each millisecond
        /// there are many, wherever in it they begin.
        const FIRST: u64 = 2000;
        const APART: u64 = 37;
        const SECOND_STEP: u64 = 2000;
        let check = check!("09-later");
        check.suspect("rings-early");
        let server = check.server(&[]);
        // In one piece, so that all are said at the same moment.
        let orders = (1..=PAIRS).map(|pair| {
            let (step, both) = (FIRST + APART * pair, FIRST + APART * pair + SECOND_STEP);
            format!("in {both} one {pair}\nin {step} !in {SECOND_STEP} two {pair}\n")
        });
        let orders: String = orders.collect();
        for _ in 0..12 {
            // Somebody new each time: later on, the kernel takes its time to acknowledge what comes.
            let mut visitor = visitor(&server, "visitor");
            send(&server, &mut visitor, &orders);
            let (mut came, mut ones) = (0, BTreeSet::new());
            // Each is set, and so is what each of the pairs sets when it rings; and it comes.
            while came < 5 * PAIRS {
                came += 1;
                let line = next_line(&server, &mut visitor, "with alarms that set others");
                let number = |begin| line.strip_prefix(begin).and_then(|it| it.parse::<u64>().ok());
                if let Some(pair) = number("one ") {
                    ones.insert(pair);
                } else if let Some(pair) = number("two ")
                    && !ones.contains(&pair)
                {
                    let step = FIRST + APART * pair;
                    server.fail_seeing(&format!(
                        "with two alarms set at the same moment, `in {step} !in {SECOND_STEP} two` and \
                         `in {} one`, `two` rang before `one`: the first alarm rang before its time",
                        step + SECOND_STEP
                    ));
                } else if number("set ").is_none() && number("two ").is_none() {
                    server.fail_seeing(&format!(
                        "with alarms that set others, the visitor got `{line}`"
                    ));
                }
            }
        }
    }

    #[rstest]
    #[case::before_one_is_set("with no alarm set", &[])]
    #[case::after_the_only_one_has_rung("after the only alarm has rung", &["in 2000 wake up"])]
    #[case::a_minute_before_the_only_one(
        "with a minute to go until the only alarm",
        &["in 2000 wake up", "in 60000000 a minute"]
    )]
    fn with_nothing_due_it_costs_nothing(#[case] when: &str, #[case] orders: &[&str]) {
        let check = check!("09-later");
        check.suspect("looks-in-place-of-a-timer");
        let server = check.server(&[]);
        settle(&server, "with no alarm set");
        let lens = server.lens();
        let mut visitor = visitor(&server, "visitor");
        for (number, order) in (1..).zip(orders) {
            set(&server, &mut visitor, order, number);
            if let Some(text) = order.strip_prefix("in 2000 ") {
                expect(&server, &mut visitor, text, &format!("after `{order}`"));
            }
        }
        server.takes_no_naps(lens.as_ref(), when);
    }

    #[rstest]
    #[case::by_a_little(900)]
    #[case::by_much(300)]
    fn below_a_millisecond_it_waits_too(#[case] delay: u64) {
        const COUNT: usize = 110;
        let check = check!("09-later");
        check.suspect("cut-to-nothing");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        let when = format!("with alarms, each of which sets the next (`in {delay} !in {delay} …`)");
        settle(&server, "before anything is said");
        let before = times_asleep(&server);
        let chain = format!("in {delay} !").repeat(COUNT - 1);
        send(&server, &mut visitor, &format!("{chain}in {delay} the end\n"));
        for number in 1..=COUNT {
            expect(&server, &mut visitor, &format!("set {number}"), &when);
        }
        expect(&server, &mut visitor, "the end", &when);
        let (Some(before), Some(after)) = (before, times_asleep(&server)) else { return };
        let slept = after - before;
        // A right one too, if it isn't given the processor in time, finds that the next is due already.
        if slept < COUNT / 2 {
            check.fail(format!(
                "{when}, your program went to sleep {slept} times for {COUNT} alarms: it turned in a loop until each was due"
            ));
        }
    }

    /// How often the program has gone to sleep so far (proc(5)). `None` where the system can't tell.
    fn times_asleep(server: &Server<'_>) -> Option<usize> {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", server.program.pid())).ok()?;
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        count?.trim().parse().ok()
    }

    #[test]
    fn many_alarms_cost_little() {
        const FEW: usize = 1000;
        /// As many as the program has room for.
        const MANY: usize = 30_000;
        let check = check!("09-later");
        check.suspect("looks-at-all");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        let cpu = || server.program.usage().unwrap_or_default().cpu;
        let mut set_so_far = 0;
        let mut cancel_after = |count: usize| {
            while set_so_far < count {
                let numbers = set_so_far + 1..=set_so_far + FEW;
                say_and_hear(
                    &server,
                    &mut visitor,
                    numbers,
                    |_| "in 900000000 x".to_owned(),
                    "set",
                );
                set_so_far += FEW;
            }
            let before = cpu();
            let numbers = set_so_far + 1 - FEW..=set_so_far;
            let cancel = |number| format!("cancel {number}");
            say_and_hear(&server, &mut visitor, numbers, cancel, "canceled");
            cpu() - before
        };
        let of_few = cancel_after(FEW);
        let of_many = cancel_after(MANY);
        if of_many > 10 * of_few + ms(200) {
            let (few, many) = (of_few.as_millis(), of_many.as_millis());
            check.fail(format!(
                "to cancel {FEW} alarms took your program {few} ms of CPU time with {FEW} of them set, and {many} ms \
                 with {MANY}"
            ));
        }
        check.suspect("keeps-what-is-canceled");
        // As many as were canceled: with them, all that there is room for are set.
        let numbers = MANY + 1..=MANY + 2 * FEW;
        say_and_hear(&server, &mut visitor, numbers, |_| "in 900000000 x".to_owned(), "set");
        let when = "with as many alarms set as there may be";
        send(&server, &mut visitor, "in 900000000 x\n");
        expect(&server, &mut visitor, "too many alarms", when);
    }

    /// Says a line for each number, in small portions, and hears the answers.
    #[track_caller]
    fn say_and_hear(
        server: &Server<'_>,
        visitor: &mut Connection,
        numbers: std::ops::RangeInclusive<usize>,
        line: impl Fn(usize) -> String,
        answer: &str,
    ) {
        const PORTION: usize = 250;
        let numbers: Vec<usize> = numbers.collect();
        for portion in numbers.chunks(PORTION) {
            let lines: Vec<String> = portion.iter().map(|number| line(*number)).collect();
            let when = format!("after `{}`, and more of that kind", lines[0]);
            send(server, visitor, &(lines.join("\n") + "\n"));
            for heard in next_lines(server, visitor, portion.len(), &when) {
                if heard.split(' ').next() != Some(answer) {
                    server.fail_seeing(&format!("{when}, the visitor got `{heard}`"));
                }
            }
        }
    }
}
