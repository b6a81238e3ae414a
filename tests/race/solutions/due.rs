//! Exercise race-due: a load that keeps its schedule.
//!
//! Visitors come when they like: none of them waits until the one before has been answered. So each request of a load is
//! due at a fixed time, and it's sent then, however many answers are missing. If the load is held up, what is
//! due is sent late, and the lateness is part of what a visitor would have waited: the answer's latency is counted from when
//! the request was due. Counted from when it was sent, a server that stands still for a second has one slow answer, and the
//! hundred visitors who came in that second are seen nowhere.
//!
//! Run it:      cargo run -p ch07-callbacks --bin ch07-server      and, in a second terminal,
//!              cargo run -p ex-race --bin race-due -- 127.0.0.1:7007 100 10
//! Ask it:      echo next 25 | cargo run -p ex-race --bin race-due -- 100 10
//! Be graded:   cargo grade race

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use ch07_callbacks::program;
use ch07_callbacks::{Ending, EventLoop, Token};
use ch09_timers::{Clock, Timer, Timers};

const NAME: &str = "race-due";
const HELP: &str = "race-due ADDRESS RATE COUNT
race-due RATE COUNT

Sends COUNT requests to ADDRESS, RATE of them a second, each on a connection of its own. At the end it prints a line for
each: when it was due, when it was sent, when its answer was there, and the latency, in milliseconds from the start.

Without ADDRESS it sends nothing. It reads questions, one a line, and says what the schedule answers:

    due NUMBER   when this request is due, in milliseconds from the start
    next MS      which requests are to be sent so many milliseconds after the start, and when the next one is due";

/// Which requests are sent when, and from when on their answers are counted. It's a value: it has no clock, no socket and no
/// loop. Requests are counted from 0; all times are from the start.
struct Schedule {
    /// Requests a second.
    rate: u64,
    /// How many there are.
    count: u64,
    /// How many have been given to be sent.
    given: u64,
}

impl Schedule {
    /// When a request is due: `number` seconds divided by `rate`, to the nanosecond. `None` if there is no such request, or
    /// if it's never due, because the rate is 0.
    fn due(&self, number: u64) -> Option<Duration> {
        // your turn: say when request `number` is due
        // hint: Don't add up intervals: a third of a second isn't a whole number of nanoseconds, and what you cut off is
        //   missing once for each request. Multiply first and divide then, each time anew from `number`.
        // hint: A number of nanoseconds may be more than a u64 holds. Whole seconds are `number / rate`; what is left,
        //   `number % rate`, is a part of a second. Calculate with that part as a u128.
        if number >= self.count || self.rate == 0 {
            return None;
        }
        let part = u128::from(number % self.rate) * 1_000_000_000 / u128::from(self.rate);
        Some(Duration::new(number / self.rate, part as u32))
        // end
    }

    /// Which requests are to be sent at `now`: all that are due by then, and weren't given before. And when to ask again at the
    /// latest: when the next one is due. `None`: there is no next one. It's asked whenever something has happened.
    fn next(&mut self, now: Duration) -> (Range<u64>, Option<Duration>) {
        // your turn: give what is due by now, and when the next one is
        // hint: `given` is the first that wasn't given yet. How far can you go from there, until one isn't due by `now`?
        // hint: It's asked at any time, late too, and more than once at the same time. What is due doesn't depend on when
        //   you were asked before, and neither does when the next one is due.
        // hint: Nearly the answer:
        //       let first = self.given;
        //       while …is request `self.given` there, and due by now?… {
        //           self.given += 1;
        //       }
        //       (first..self.given, …when is the one behind them due?…)
        let first = self.given;
        while self.due(self.given).is_some_and(|due| due <= now) {
            self.given += 1;
        }
        (first..self.given, self.due(self.given))
        // end
    }

    /// How long the visitor waited whose request this is. It was sent at `sent`, and `answered` is when its answer was there.
    fn latency(&self, number: u64, sent: Duration, answered: Duration) -> Duration {
        // your turn: say how long the answer took
        // hint: A visitor who came when the request was due has waited since then, for you as well as for the server.
        let from = self.due(number).unwrap_or(sent);
        answered.saturating_sub(from)
        // end
    }
}

/// A request that was sent, or was to be sent.
struct Request {
    number: u64,
    due: Option<Duration>,
    sent: Duration,
    outcome: Outcome,
}

/// What has become of it.
enum Outcome {
    UnderWay,
    Answered { at: Duration, latency: Duration },
    Failed(String),
}

/// All that is sent.
struct Load {
    address: SocketAddr,
    timers: Timers,
    schedule: RefCell<Schedule>,
    /// In the order in which they were sent.
    requests: RefCell<Vec<Request>>,
    /// What is set for the next one.
    timer: Cell<Option<Timer>>,
}

impl Load {
    /// Sends what is due, and sets the timer for what comes next. To be called whenever something has happened. When no timer
    /// is set and no connection is open, there is nothing to wait for any more, and the loop ends.
    fn go_on(self: &Rc<Self>, event_loop: &mut EventLoop) {
        if let Some(timer) = self.timer.take() {
            self.timers.cancel(event_loop, timer);
        }
        let now = self.timers.now(event_loop);
        let (due, next) = self.schedule.borrow_mut().next(now);
        for number in due {
            self.send(event_loop, number);
        }
        let Some(next) = next else { return };
        let load = Rc::clone(self);
        let timer = self.timers.at(event_loop, next, move |event_loop| load.go_on(event_loop));
        self.timer.set(Some(timer));
    }

    fn send(self: &Rc<Self>, event_loop: &mut EventLoop, number: u64) {
        let sent = self.timers.now(event_loop);
        let due = self.schedule.borrow().due(number);
        let place = self.requests.borrow().len();
        let outcome = Outcome::UnderWay;
        self.requests.borrow_mut().push(Request { number, due, sent, outcome });
        match event_loop.connect(self.address) {
            Ok(socket) => self.ask(event_loop, socket, place, number),
            Err(error) => self.has_failed(place, &error.to_string()),
        }
    }

    /// Sends the request, and listens to its answer, which ends with the connection.
    fn ask(self: &Rc<Self>, event_loop: &mut EventLoop, socket: Token, place: usize, number: u64) {
        let address = self.address;
        let request =
            format!("GET /?{number} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        event_loop.send(socket, request.as_bytes());
        let load = Rc::clone(self);
        let mut has_come = false;
        event_loop.set_read_callback(socket, move |event_loop, socket, input| {
            has_come |= !input.bytes.is_empty();
            input.bytes.clear();
            match (input.ended, has_come) {
                (true, true) => load.is_answered(event_loop, place),
                (true, false) => load.has_failed(place, "hung up on without an answer"),
                (false, _) => {}
            }
            if input.ended {
                event_loop.close(socket);
            }
            load.go_on(event_loop);
        });
        let load = Rc::clone(self);
        event_loop.set_close_callback(socket, move |event_loop, _, ending| {
            if let Ending::Failed(error) = ending {
                load.has_failed(place, &error.to_string());
            }
            load.go_on(event_loop);
        });
    }

    fn is_answered(&self, event_loop: &EventLoop, place: usize) {
        let at = self.timers.now(event_loop);
        if let Some(request) = self.requests.borrow_mut().get_mut(place) {
            let latency = self.schedule.borrow().latency(request.number, request.sent, at);
            request.outcome = Outcome::Answered { at, latency };
        }
    }

    /// It counts as a failure, and stays in the list: whoever leaves out what has failed has a fast server.
    fn has_failed(&self, place: usize, why: &str) {
        if let Some(request) = self.requests.borrow_mut().get_mut(place) {
            request.outcome = Outcome::Failed(why.to_owned());
        }
    }

    /// A line for each, and one for all.
    fn print(&self, mut to: impl Write) -> io::Result<()> {
        let requests = self.requests.borrow();
        let mut latencies = Vec::new();
        for Request { number, due, sent, outcome } in requests.iter() {
            let due = due.map_or("never".to_owned(), in_ms);
            write!(to, "{number} due {due} sent {} ", in_ms(*sent))?;
            match outcome {
                Outcome::UnderWay => writeln!(to, "failed: it's under way still")?,
                Outcome::Failed(why) => writeln!(to, "failed: {why}")?,
                Outcome::Answered { at, latency } => {
                    writeln!(to, "answered {} latency {}", in_ms(*at), in_ms(*latency))?;
                    latencies.push(*latency);
                }
            }
        }
        latencies.sort_unstable();
        let (sent, answered, count) =
            (requests.len(), latencies.len(), self.schedule.borrow().count);
        writeln!(to, "of {count} requests {sent} were sent, and {answered} answered")?;
        if let Some(most) = latencies.last() {
            let half = latencies[(latencies.len() - 1) / 2];
            let (half, most) = (in_ms(half), in_ms(*most));
            writeln!(to, "latency: half of them {half} ms at most, all {most} ms")?;
        }
        Ok(())
    }
}

/// In milliseconds, to the nanosecond: `333.333333`.
fn in_ms(time: Duration) -> String {
    format!("{}.{:06}", time.as_millis(), time.subsec_nanos() % 1_000_000)
}

/// `333.333333`, or with fewer digits behind the point, or none.
fn from_ms(word: &str) -> Option<Duration> {
    let (whole, part) = word.split_once('.').unwrap_or((word, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || part.len() > 6 {
        return None;
    }
    let part = Duration::from_nanos(format!("{part:0<6}").parse().ok()?);
    Duration::from_millis(whole.parse().ok()?).checked_add(part)
}

fn main() {
    let words = program::arguments(HELP);
    match words.as_slice() {
        [address, rate, count] => load(program::address(NAME, address), schedule(rate, count)),
        [rate, count] => {
            if let Err(error) = ask(schedule(rate, count), io::stdin().lock(), io::stdout().lock())
            {
                program::complain(NAME, 1, &error.to_string());
            }
        }
        _ => program::complain(
            NAME,
            2,
            "give ADDRESS, RATE and COUNT, or RATE and COUNT; see --help",
        ),
    }
}

fn schedule(rate: &str, count: &str) -> Schedule {
    Schedule { rate: number(rate), count: number(count), given: 0 }
}

/// Asks the schedule what the lines say. No clock runs: time passes as they say.
fn ask(mut schedule: Schedule, mut from: impl BufRead, mut to: impl Write) -> io::Result<()> {
    let mut line = String::new();
    // waits: until the next line has come, or nothing more comes
    while from.read_line(&mut line)? > 0 {
        let Some(answer) = answer(&mut schedule, line.trim()) else {
            let advice = format!("{:?} is no question; see --help", line.trim());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, advice));
        };
        writeln!(to, "{answer}")?;
        to.flush()?;
        line.clear();
    }
    Ok(())
}

/// What the schedule says to a question: `due 1: 10.000000`, `next 25.000000: 0 to 2, then 30.000000`. `None` if it's none that
/// there is.
fn answer(schedule: &mut Schedule, question: &str) -> Option<String> {
    let when = |due: Option<Duration>| due.map_or("never".to_owned(), in_ms);
    let words: Vec<&str> = question.split_whitespace().collect();
    match words[..] {
        ["due", number] => {
            let number = number.parse().ok()?;
            Some(format!("due {number}: {}", when(schedule.due(number))))
        }
        ["next", now] => {
            let now = from_ms(now)?;
            let (given, next) = schedule.next(now);
            let given = match given.is_empty() {
                true => "none".to_owned(),
                false => format!("{} to {}", given.start, given.end - 1),
            };
            Some(format!("next {}: {given}, then {}", in_ms(now), when(next)))
        }
        _ => None,
    }
}

/// Sends all, and says what came of it.
fn load(address: SocketAddr, schedule: Schedule) {
    program::raise_limit();
    match run(address, schedule) {
        Ok(load) => {
            // waits: if nobody takes what we say
            if let Err(error) = load.print(io::stdout().lock()) {
                program::complain(NAME, 1, &format!("can't print: {error}"));
            }
        }
        Err(error) => program::complain(NAME, 1, &format!("the loop failed: {error}")),
    }
}

fn number(word: &str) -> u64 {
    word.parse().unwrap_or_else(|_| {
        program::complain(NAME, 2, &format!("{word:?} is no whole number; see --help"))
    })
}

fn run(address: SocketAddr, schedule: Schedule) -> io::Result<Rc<Load>> {
    let mut event_loop = ch08_epoll::event_loop()?;
    let load = Rc::new(Load {
        address,
        timers: Timers::start(&mut event_loop, Clock::system()),
        schedule: RefCell::new(schedule),
        requests: RefCell::default(),
        timer: Cell::new(None),
    });
    load.go_on(&mut event_loop);
    event_loop.run()?; // waits: inside, until the next one is due, and for all who are asked
    Ok(load)
}
