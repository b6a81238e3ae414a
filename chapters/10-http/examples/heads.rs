//! What reading a head costs: next to httparse alone, and when it comes byte by byte.
//!
//! `just heads` writes the result into the book. The same bytes are read in turns, so that
//! what else the machine does meanwhile is shared out fairly.

use std::hint::black_box;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

use ch10_http::{Event, KnownFields, Limits, Parser, Place};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
/// What a browser sends, with nobody's name in it.
const BROWSER: &str = "GET /10-http.html HTTP/1.1\r\n\
    Host: 127.0.0.1:7000\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Connection: keep-alive\r\n\
    Referer: http://127.0.0.1:7000/09-timers.html\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Priority: u=0, i\r\n\r\n";
/// So many heads make one figure, and of so many figures the least counts: whatever else the
/// machine does can only make it larger.
const TIMES: u32 = 200;
const FIGURES: usize = 301;
/// As many fields as [`Limits::USUAL`] allows.
const FIELDS: usize = 100;

fn main() {
    let columns = ["httparse", "this parser", "ratio", "fields known"];
    let [first, second, third, fourth] = columns;
    println!("{:>16}{first:>14}{second:>16}{third:>8}{fourth:>15}", "head, whole");
    for (name, head) in [("a plain GET", GET), ("a browser's", BROWSER)] {
        let (known, place) = known(head);
        let again = &mut || again(head, &known, place);
        let [theirs, ours, again] =
            in_turns([&mut || theirs(head), &mut || ours(head), again], TIMES);
        let (ratio, again) = (ratio(ours, theirs), shown(again));
        println!("{name:>16}{:>14}{:>16}{ratio:>8}{again:>15}", shown(theirs), shown(ours));
    }
    println!();
    println!("{:>16}{:>14}{:>16}{:>8}", "byte by byte", "remembering", "anew each time", "ratio");
    for length in [100, 1000, 4000] {
        let head = head_of(length);
        let remembers = &mut || byte_by_byte(&head, true);
        let forgets = &mut || byte_by_byte(&head, false);
        let [remembering, anew] = in_turns([remembers, forgets], 1);
        let name = format!("{length} bytes");
        let ratio = ratio(anew, remembering);
        println!("{name:>16}{:>14}{:>16}{ratio:>8}", shown(remembering), shown(anew));
    }
}

fn theirs(head: &str) {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let status = request.parse_with_uninit_headers(black_box(head).as_bytes(), &mut fields);
    let status = status.expect("it's a head");
    assert!(black_box(status).is_complete());
}

fn ours(head: &str) {
    let mut parser = Parser::new(Limits::USUAL);
    let event = parser.next(black_box(head).as_bytes()).expect("it's a head");
    assert!(matches!(black_box(event), Some((Event::Head(_), _))));
}

/// A head's fields, read once.
fn known(head: &str) -> (KnownFields, Place) {
    let event = Parser::new(Limits::USUAL).next(head.as_bytes()).expect("it's a head");
    let Some((Event::Head(head), _)) = event else { panic!("it's whole") };
    let mut known = KnownFields::new();
    let place = known.note(&head);
    (known, place)
}

fn again(head: &str, known: &KnownFields, place: Place) {
    let head = known.read(place, black_box(head).as_bytes(), &Limits::USUAL);
    assert!(black_box(head).is_some());
}

/// A parser that is new each time begins at the head's beginning.
fn byte_by_byte(head: &str, remembers: bool) {
    let mut parser = Parser::new(Limits::USUAL);
    for here in 1..head.len() {
        if !remembers {
            parser = Parser::new(Limits::USUAL);
        }
        let event = parser.next(black_box(&head.as_bytes()[..here])).expect("it's a head");
        assert!(event.is_none());
    }
    assert!(matches!(parser.next(head.as_bytes()), Ok(Some((Event::Head(_), _)))));
}

/// A head of so many bytes, most of them in fields as long as others are.
fn head_of(length: usize) -> String {
    let mut head = "GET / HTTP/1.1\r\nHost: a\r\n".to_owned();
    while length - head.len() > 300 {
        head += &format!("X: {}\r\n", "a".repeat(195));
    }
    let fill = length - head.len() - "X: \r\n\r\n".len();
    head + &format!("X: {}\r\n\r\n", "a".repeat(fill))
}

/// What each takes: the least of its figures.
fn in_turns<const N: usize>(mut functions: [&mut dyn FnMut(); N], times: u32) -> [Duration; N] {
    let mut least = [Duration::MAX; N];
    for _ in 0..FIGURES {
        for (function, least) in functions.iter_mut().zip(&mut least) {
            let began = Instant::now();
            for _ in 0..times {
                function();
            }
            *least = (*least).min(began.elapsed() / times);
        }
    }
    least
}

fn ratio(this: Duration, that: Duration) -> String {
    let ratio = this.as_secs_f64() / that.as_secs_f64();
    if ratio < 10.0 { format!("{ratio:.1}") } else { format!("{ratio:.0}") }
}

fn shown(time: Duration) -> String {
    match time.as_nanos() {
        nanoseconds @ 0..10_000 => format!("{nanoseconds} ns"),
        nanoseconds => format!("{} µs", nanoseconds / 1000),
    }
}
