//! The graded checks of chapter 9. The judged program is the server; the check plays its visitors. Time is
//! judged by lower bounds, which hold on any machine ("never sooner"), and by the order in which the program
//! itself has done things. How late something comes says more about the machine.

use std::thread;
use std::time::{Duration, Instant};

use grader::check;
use grader::check::{Check, Server, so_far};
use rstest::rstest;
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
        check.likely(
            "`perform` borrows the queue, and it's still borrowed: in `while let Some(alarm) = \
             self.queue.borrow_mut().take_due(now)` it stays so to the end of the body. Put what is taken out into a \
             variable first",
            "09-timers.html#the-queue",
        );
    }
    if last_words.contains("overflow when subtracting durations") {
        check.likely(
            "an alarm may be overdue: `due - now` panics then. `timeout` is 0 for it",
            "09-timers.html#waiting-with-a-deadline",
        );
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
                server.check.likely(later::RINGS_FOR_EVER, "09-timers.html#the-queue");
            }
            fail_for(server, &expected, &trouble);
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

    /// An interval in which a check can be sure to stop the program, in milliseconds.
    const LONG: u64 = 300;

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
        /// Another interval was asked for before this one.
        anew: bool,
    }

    impl<'a> Ticked<'a> {
        #[track_caller]
        fn new(server: &'a Server<'a>, name: &str, interval: u64) -> Self {
            let visitor = visitor(server, name);
            let now = Instant::now();
            let interval_is_set = ms(0);
            let mut new = Self {
                server,
                visitor,
                interval: interval_is_set,
                asked: now,
                heard: now,
                went_on: now,
                last: 0,
                anew: false,
            };
            new.every(interval);
            new.anew = false;
            new
        }

        /// Asks for it. What belongs to the interval before may come until that is heard.
        #[track_caller]
        fn every(&mut self, interval: u64) {
            self.asked = Instant::now();
            self.say(&format!("every {interval}"), &format!("every {interval} ms"));
            self.heard = Instant::now();
            self.interval = ms(interval);
            self.last = 0;
            self.anew = true;
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
                if self.anew && came < self.interval {
                    server.check.likely(
                        "the timer that was set before goes on: it has to be canceled when another takes its place",
                        "09-timers.html#the-queue",
                    );
                } else if self.anew {
                    server.check.likely(
                        "N goes on from the ticks before: with another `every` it counts from 1, from that moment on",
                        "09-timers.html#exercise-09-ping",
                    );
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

        fn due(&self, number: u64) -> Duration {
            self.interval * u32::try_from(number).unwrap_or(u32::MAX)
        }

        /// Begins anew, stops the program after a tick for some intervals, and lets it go on about in the middle
        /// between two ticks. Gives the number of the last tick, and of the one that it's time for since.
        /// `None` if this machine was too slow for that.
        #[track_caller]
        fn held_up(&mut self, when: &str) -> Option<(u64, u64)> {
            self.every(LONG);
            self.tick(&format!("after `every {LONG}`"));
            self.server.program.stop();
            // What it has sent before is no news.
            let sent = all_so_far(self.server, &mut self.visitor);
            for line in String::from_utf8_lossy(&sent).lines() {
                self.judge(line, when);
            }
            let (last, interval) = (self.last, self.interval.as_secs_f64());
            let passed = || self.asked.elapsed().as_secs_f64() / interval;
            let in_the_middle = |passed: f64| (0.4..0.6).contains(&passed.fract());
            while passed() < last as f64 + 3.0 || !in_the_middle(passed()) {
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
        check.likely(
            "tick 1 is due an interval after it began, and tick N at N intervals; each one sets the timer for the next",
            "09-timers.html#exercise-09-ping",
        );
        let server = check.server(&[]);
        let when = format!("after `every {interval}`");
        let mut numbers = Vec::new();
        for _ in 0..TRIES {
            let mut ticked = Ticked::new(&server, "visitor", interval);
            numbers = (0..4).map(|_| ticked.tick(&when).0).collect();
            if numbers == [1, 2, 3, 4] {
                return;
            }
        }
        check.fail(format!("{when}, the visitor got the ticks {numbers:?}, and not [1, 2, 3, 4]"));
    }

    #[test]
    fn between_two_ticks_it_costs_nothing() {
        let check = check!("09-ping");
        check.likely(
            "it looks again and again whether it's time: set a timer for the tick itself, and the wait lasts until then",
            "09-timers.html#waiting-with-a-deadline",
        );
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
        check.likely(
            "what belongs to one visitor is kept in one place for all: `self.next` is this visitor's own timer",
            "09-timers.html#exercise-09-ping",
        );
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
        check.likely(
            "the timer that was set before goes on: cancel it, and begin to count anew",
            "09-timers.html#the-queue",
        );
        let server = check.server(&[]);
        let mut ticked = Ticked::new(&server, "visitor", 40);
        for _ in 0..2 {
            ticked.tick("after `every 40`");
        }
        for interval in [300, 40, 20] {
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
        check.likely(
            "the timer that is set has to be canceled: a callback that does nothing any more is still waited for",
            "09-timers.html#the-queue",
        );
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
        check.likely(
            "`clean_up` has to cancel the timer: it holds on to a visitor who is gone, and sets itself again for ever",
            "09-timers.html#the-queue",
        );
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
        check.likely(
            "when the timer is called much too late, its tick is over: N is how many intervals have passed by now. The \
             ticks before that are left out, and this one isn't",
            "09-timers.html#drift",
        );
        let server = check.server(&[]);
        let mut ticked = Ticked::new(&server, "visitor", LONG);
        let when = "after your program had been stopped for a few intervals";
        let mut left_out = Vec::new();
        for _ in 0..TRIES {
            let Some((last, due)) = ticked.held_up(when) else { continue };
            let (number, _) = ticked.tick(when);
            if number < due {
                check.fail(format!(
                    "{when}, after `tick {last}`, the visitor got `tick {number}` next: by then it was time for `tick {due}`"
                ));
            }
            if number == due {
                return;
            }
            left_out.push(due);
        }
        check.fail(format!(
            "{when}, each time, the visitor got the tick after the one that it was time for: it didn't get {left_out:?}"
        ));
    }

    #[test]
    fn late_once_is_not_late_for_ever() {
        let check = check!("09-ping");
        const SEEN_LATE: usize = 3;
        check.likely(
            "N says which moment it is: how many whole intervals have passed since it began. After a late tick N the timer \
             is set for the moment of N + 1, and nothing begins anew",
            "09-timers.html#drift",
        );
        let server = check.server(&[]);
        let mut ticked = Ticked::new(&server, "visitor", LONG);
        let when = "after your program had been stopped for a few intervals";
        let (mut late, mut seen_late) = (Vec::new(), 0);
        for _ in 0..TRIES {
            let Some((_, due)) = ticked.held_up(when) else { continue };
            // Before this moment it was stopped.
            let go_on = ticked.went_on;
            // The first is late by right. Who counts from when it was called comes an interval after that at the
            // soonest, and again an interval after that.
            let (first, _) = ticked.tick(when);
            late.clear();
            for count in 1..=3 {
                let (number, at) = ticked.tick(when);
                if first == due && at - go_on < ticked.due(count) {
                    return;
                }
                late.push(((at - ticked.asked) - ticked.due(number)).as_millis());
            }
            seen_late += 1;
            if seen_late == SEEN_LATE {
                check.likely(
                    "it drifts: `after` counts from the moment at which it's called, which is late. `at` takes the moment at \
                     which the next tick is due, and that is counted from the beginning",
                    "09-timers.html#drift",
                );
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
        check.likely(
            "it sleeps until it's time, and meanwhile nobody else has theirs: the timer is enough",
            "09-timers.html#waiting-with-a-deadline",
        );
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

    #[rstest]
    #[case::for_a_tenth_of_a_second(100)]
    #[case::for_half_a_second(500)]
    fn who_says_nothing_is_hung_up_on(#[case] idle: u64) {
        let check = check!("09-idle");
        check.likely(
            "set a timer when the stage begins, and say `goodbye` when it's called. What is sent before a `close` is lost",
            "09-timers.html#deadlines",
        );
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
        check.likely(
            "a whole line begins a new stage with its whole time. And the timer that was set before has to be canceled: \
             otherwise it's called all the same",
            "09-timers.html#deadlines",
        );
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
        check.likely(
            "with its first byte, the line's own time begins, and the time to begin one is no longer asked for",
            "09-timers.html#deadlines",
        );
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
        check.likely(
            "a line's time runs from its first byte on: whatever comes in the middle of a line begins no stage",
            "09-timers.html#deadlines",
        );
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
        check.likely(
            "the end of one line and the beginning of the next come as one piece: then, whichever stage it was in, a stage \
             InLine begins, with the whole time",
            "09-timers.html#deadlines",
        );
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
        check.likely(
            "a visitor's time begins anew with what it says, not with what it's told",
            "09-timers.html#deadlines",
        );
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
        check.likely(
            "who has been told goodbye has a deadline too: when it has passed, close the connection",
            "09-timers.html#deadlines",
        );
        let server = start(&check, IDLE, NEVER);
        let when = "after it was told goodbye, with a visitor who doesn't hang up";
        // Late once, it may have been held up by others. Who gives more time does so to each.
        let late: Option<Vec<Duration>> =
            (1..=3).map(|number| is_left(&server, number, IDLE, when)).collect();
        if let Some(late) = late {
            check.likely(
                "who has been told goodbye has as much time as to begin a line, and no more",
                "09-timers.html#deadlines",
            );
            let times: Vec<u128> = late.iter().map(Duration::as_millis).collect();
            check.fail(format!(
                "{when}, its connection was closed {times:?} ms after the goodbye, with three of them: it has {IDLE} ms"
            ));
        }
        settle(&server, when);
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
            check.likely(
                "who has been told goodbye has time to hang up itself, as much as to begin a line",
                "09-timers.html#deadlines",
            );
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
        check.likely(
            "each visitor has one timer, and that is canceled when another takes its place, and when the visitor is gone",
            "09-timers.html#the-queue",
        );
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
        check.likely(
            "it looks again and again who is late: with a timer for each visitor's deadline, the wait lasts until the first",
            "09-timers.html#waiting-with-a-deadline",
        );
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

    /// What is likely where an alarm is due already and the program sleeps.
    const OVERDUE: &str = "it sleeps with an alarm that is overdue: `timeout` is 0 then. `None` (as of `due.checked_sub(now)?`) is \
                           to wait for ever";

    /// What is likely where nobody else gets a turn.
    pub(super) const RINGS_FOR_EVER: &str = "an alarm that sets itself again is due at once, and that never ends: look at the clock once, when \
                                  `ring` begins, and what is due after that has time until the next turn";

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

    /// An alarm may be late by a millisecond, and by what else the machine does.
    const TOO_LATE: Duration = ms(15);
    /// On a busy machine some are late, and many in a row.
    const MANY_TRIES: usize = 50;

    #[rstest]
    #[case::at_once(0)]
    #[case::after_a_moment(1500)]
    #[case::after_a_tenth_of_a_second(100_000)]
    fn it_rings_when_its_time_has_come(#[case] delay: u64) {
        let check = check!("09-later");
        check.likely(
            "`timeout` is in milliseconds, 0 if the first alarm is due, and `None` only if there's none at all",
            "09-timers.html#waiting-with-a-deadline",
        );
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        let when = format!("after `in {delay} wake up`");
        let mut least_late = Duration::MAX;
        for number in 1..=MANY_TRIES {
            let before = set(&server, &mut visitor, &format!("in {delay} wake up"), number);
            expect(&server, &mut visitor, "wake up", &when);
            let passed = before.elapsed();
            let Some(late) = passed.checked_sub(Duration::from_micros(delay)) else {
                let passed = passed.as_micros();
                check.fail(format!("{when}, it came {passed} microseconds later: that's too soon"));
            };
            least_late = least_late.min(late);
            // Not all of them.
            if number >= 3 && least_late < TOO_LATE {
                return;
            }
        }
        check.likely(
            "`timeout` is the time until the first alarm, rounded up to the next millisecond, and no more than that",
            "09-timers.html#rounded-up",
        );
        let (late, allowed) = (least_late.as_millis(), TOO_LATE.as_millis());
        check.fail(format!(
            "{when}, {MANY_TRIES} times, each came at least {late} ms too late: a few are no matter, {allowed} are too many"
        ));
    }

    #[rstest]
    #[case::each_in_its_time(0)]
    #[case::all_in_one_turn(300)]
    fn in_the_order_in_which_they_are_due(#[case] held_up: u64) {
        let check = check!("09-later");
        check.likely(
            "the one that is due first comes first, whenever it was set",
            "09-timers.html#the-queue",
        );
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
        check.likely(
            "several alarms may be due at the same moment: each has its place, behind those that were set before",
            "09-timers.html#the-queue",
        );
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
        check.likely(
            "moments are kept as they are, to the last microsecond: rounded to whole milliseconds, different ones become the \
             same. Only the wait is rounded",
            "09-timers.html#rounded-up",
        );
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
    fn all_that_are_due_ring_in_one_turn() {
        const COUNT: usize = 100;
        let check = check!("09-later");
        check.likely(
            "after each wait, `ring` rings one alarm only, although more of them are due: it goes on until none is",
            "09-timers.html#the-queue",
        );
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        settle(&server, "before anything is said");
        let Some(lens) = server.lens() else { return };
        let turns = || lens.calls().iter().filter(|call| call.call.starts_with("epoll")).count();
        let before = turns();
        let when = "after a hundred alarms were set for the same moment";
        send(&server, &mut visitor, &"in 50000 wake up\n".repeat(COUNT));
        let mut rung = 0;
        while rung < COUNT {
            let line = next_line(&server, &mut visitor, when);
            rung += usize::from(line == "wake up");
        }
        let turns = turns() - before;
        if turns > COUNT / 2 {
            check.fail(format!(
                "{when}, your program waited {turns} times until all of them had rung"
            ));
        }
    }

    #[test]
    fn set_later_and_due_sooner() {
        const LATE: u64 = 800;
        let check = check!("09-later");
        check.likely(
            "the wait lasts until an alarm that isn't the first any more: ask the queue for its first one before each wait",
            "09-timers.html#the-queue",
        );
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
        check.likely(
            "`cancel` takes out the alarm with this number, and no other; and it's too late for one that has rung",
            "09-timers.html#the-queue",
        );
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
        check.likely(
            "all that are due are taken out before the first one rings: then it's too late to cancel one. Take out one, \
             perform it, and look again",
            "09-timers.html#the-queue",
        );
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
        check.likely(OVERDUE, "09-timers.html#waiting-with-a-deadline");
        set(&server, &mut visitor, "in 0 !in 0 !in 1000 at last", 4);
        for line in ["set 5", "set 6", "at last"] {
            expect(&server, &mut visitor, line, when);
        }
    }

    #[test]
    fn one_that_rings_again_and_again_keeps_nobody_waiting() {
        let check = check!("09-later");
        check.likely(OVERDUE, "09-timers.html#waiting-with-a-deadline");
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
        check.likely(OVERDUE, "09-timers.html#waiting-with-a-deadline");
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
                check.likely(
                    "a moment is cut to whole milliseconds: the wait is rounded up, and what is due stays as it is",
                    "09-timers.html#rounded-up",
                );
                check.fail(format!(
                    "{when}, the last one rang {passed} microseconds after the first one was set: it's due after {due}"
                ));
            }
        }
        drop(restless);
    }

    #[test]
    fn with_nothing_due_it_costs_nothing() {
        let check = check!("09-later");
        check.likely(
            "without an alarm, `timeout` is `None`: for as long as it takes. With one, it's all of the time that is left",
            "09-timers.html#waiting-with-a-deadline",
        );
        let server = check.server(&[]);
        settle(&server, "with no alarm set");
        let lens = server.lens();
        server.takes_no_naps(lens.as_ref(), "with no alarm set");
        let mut visitor = visitor(&server, "visitor");
        set(&server, &mut visitor, "in 2000 wake up", 1);
        expect(&server, &mut visitor, "wake up", "after `in 2000 wake up`");
        server.takes_no_naps(lens.as_ref(), "after the only alarm has rung");
        set(&server, &mut visitor, "in 60000000 a minute", 2);
        server.takes_no_naps(lens.as_ref(), "with a minute to go until the only alarm");
    }

    #[test]
    fn below_a_millisecond_it_waits_too() {
        const COUNT: usize = 110;
        let check = check!("09-later");
        check.likely(
            "the last part of a millisecond is cut to 0: not to wait at all. It asks again and again until it's over; round up",
            "09-timers.html#rounded-up",
        );
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        let when = "with alarms, each of which sets the next (`in 900 !in 900 …`)";
        settle(&server, "before anything is said");
        let before = times_asleep(&server);
        let chain = "in 900 !".repeat(COUNT - 1);
        send(&server, &mut visitor, &format!("{chain}in 900 the end\n"));
        for number in 1..=COUNT {
            expect(&server, &mut visitor, &format!("set {number}"), when);
        }
        expect(&server, &mut visitor, "the end", when);
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
        check.likely(
            "to find one, it looks at all of them: a map finds an alarm by its key",
            "09-timers.html#costs",
        );
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
        check.likely(
            "what is canceled still takes room: take it out of all that the queue keeps, not only out of one part of it",
            "09-timers.html#the-queue",
        );
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
            for _ in portion {
                let heard = next_line(server, visitor, &when);
                if heard.split(' ').next() != Some(answer) {
                    server.fail_seeing(&format!("{when}, the visitor got `{heard}`"));
                }
            }
        }
    }
}
