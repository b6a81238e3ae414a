//! What each visitor experiences, on servers that do one thing right or wrong.

mod servers;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rstest::rstest;

use servers::{ANSWER, PATIENCE, concurrent, good, nobody, read_request, reset};
use visitors::cast::{Cast, Who};
use visitors::visit::{Doing, Ending, MOST_KEPT, SLOW_REQUEST, Visit, visit};

/// For visits that end at their limit.
const SHORT: Duration = Duration::from_secs(1);

fn call(who: Who, address: SocketAddr, limit: Duration) -> Visit {
    let began = Instant::now();
    let visit = visit(who, address, limit).expect("a thread").end();
    // Not exact, since the machine may be busy: but a visit that knows no bounds lasts for ever.
    assert!(began.elapsed() < limit + PATIENCE, "{visit:?}");
    visit
}

fn answered(status: u16) -> Ending {
    Ending::Answered { status }
}

#[test]
fn a_good_server_gives_a_quick_visitor_all_it_wants() {
    let (said, heard) = mpsc::channel();
    let address = concurrent(move |mut stream| {
        let (request, _) = read_request(&mut stream);
        said.send(request).expect("the test listens");
        stream.write_all(ANSWER).expect("the visitor listens");
    });
    let visit = call(Who::Quick, address, PATIENCE);

    assert_eq!(visit.ending, answered(200));
    assert_eq!(visit.answer, ANSWER);
    assert_eq!(visit.received, ANSWER.len() as u64);
    assert_eq!(visit.body(), b"from tests\n");
    let request = String::from_utf8(heard.recv().expect("the server heard it")).expect("ASCII");
    assert_eq!(request, format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"));
    let moments = [visit.connected, visit.sent, visit.first_byte, visit.last_byte];
    let moments: Vec<Duration> = moments.into_iter().flatten().chain([visit.took]).collect();
    assert_eq!(moments.len(), 5, "{visit:?}");
    assert!(moments.is_sorted(), "{visit:?}");
}

/// What the server sends after the request, and what it does then.
#[derive(Clone, Copy)]
enum Then {
    Close,
    Reset,
    Hold,
}

#[rstest]
#[case::closed_without_a_word(b"", Then::Close, Ending::Closed)]
#[case::reset_without_a_word(b"", Then::Reset, Ending::Reset)]
#[case::held_without_a_word(b"", Then::Hold, Ending::GaveUp)]
#[case::whole_and_closed(ANSWER, Then::Close, answered(200))]
#[case::whole_and_held_open(ANSWER, Then::Hold, answered(200))]
#[case::no_length_and_closed(b"HTTP/1.0 404 Not Found\r\n\r\nno", Then::Close, answered(404))]
#[case::no_length_and_held_open(b"HTTP/1.0 200 OK\r\n\r\nyes", Then::Hold, Ending::GaveUp)]
#[case::half_a_body(&ANSWER[..ANSWER.len() - 3], Then::Close, Ending::CutShort)]
#[case::half_a_body_and_held_open(&ANSWER[..ANSWER.len() - 3], Then::Hold, Ending::GaveUp)]
#[case::half_a_head(&ANSWER[..30], Then::Close, Ending::CutShort)]
#[case::a_length_in_small_letters(
    b"HTTP/1.1 200 OK\r\ncontent-length:2\r\n\r\nok",
    Then::Hold,
    answered(200)
)]
#[case::nonsense(b"220 mail server ready\r\n", Then::Close, Ending::Nonsense)]
fn how_it_ends_follows_from_what_came(
    #[case] sent: &'static [u8],
    #[case] then: Then,
    #[case] ending: Ending,
) {
    let address = concurrent(move |mut stream| {
        read_request(&mut stream);
        stream.write_all(sent).expect("the visitor listens");
        match then {
            Then::Close => {}
            Then::Reset => reset(stream),
            // Until the visitor goes.
            Then::Hold => drop(stream.read(&mut [0])),
        }
    });
    // Only who gives up waits for the limit to come.
    let limit = if ending == Ending::GaveUp { SHORT } else { PATIENCE };
    let visit = call(Who::Quick, address, limit);
    assert_eq!(visit.ending, ending, "{visit:?}");
    assert_eq!(visit.answer, sent);
}

#[test]
fn an_answer_in_pieces_is_one_answer() {
    let address = concurrent(|mut stream| {
        read_request(&mut stream);
        stream.set_nodelay(true).expect("an open socket");
        for byte in ANSWER.chunks(1) {
            stream.write_all(byte).expect("the visitor listens");
        }
    });
    let visit = call(Who::Quick, address, PATIENCE);
    assert_eq!(visit.ending, answered(200));
    assert_eq!(visit.answer, ANSWER);
}

#[rstest]
fn where_nobody_listens_everyone_is_refused(
    #[values(Who::Quick, Who::Slow, Who::Silent, Who::Greedy, Who::Rude, Who::Crowd(5))] who: Who,
) {
    let (address, _port) = nobody();
    let visit = call(who, address, PATIENCE);
    assert_eq!(visit.ending, Ending::Refused);
    assert_eq!(visit.connected, None);
    if let Some(fared) = visit.crowd {
        assert_eq!((fared.refused, fared.connected), (5, 0));
    }
}

#[test]
fn a_server_that_never_accepts_is_given_up_although_the_kernel_connected() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let visit = call(Who::Quick, address, SHORT);
    assert_eq!(visit.ending, Ending::GaveUp);
    assert!(visit.sent.is_some(), "the kernel's queue takes it: {visit:?}");
    assert!(visit.took > SHORT.mul_f64(0.9), "{visit:?}");
    assert_eq!(visit.received, 0);
}

#[rstest]
fn a_server_that_sends_for_ever_neither_holds_the_visitor_nor_fills_its_memory(
    #[values(Who::Quick, Who::Silent, Who::Slow)] who: Who,
) {
    let address = concurrent(|mut stream| {
        let nothing = [b'.'; 16 * 1024];
        while stream.write_all(&nothing).is_ok() {}
    });
    let limit = if who == Who::Slow { 2 * SLOW_REQUEST } else { SHORT };
    let visit = call(who, address, limit);
    assert!(visit.received > 2 * MOST_KEPT as u64, "{}", visit.received);
    assert_eq!(visit.answer.len(), MOST_KEPT);
    let left = if who == Who::Silent { Ending::Left } else { Ending::GaveUp };
    assert_eq!(visit.ending, left);
}

#[test]
fn a_slow_visitor_sends_its_request_bit_by_bit() {
    let (said, heard) = mpsc::channel();
    let address = concurrent(move |mut stream| {
        let request = read_request(&mut stream);
        stream.write_all(ANSWER).expect("the visitor listens");
        said.send(request).expect("the test listens");
    });
    let visit = call(Who::Slow, address, PATIENCE);
    assert_eq!(visit.ending, answered(200));
    let sent = visit.sent.expect("it has sent all");
    assert!(sent > SLOW_REQUEST.mul_f64(0.9), "{sent:?}");
    let (request, reads) = heard.recv().expect("the server heard it");
    assert!(request.starts_with(b"GET / HTTP/1.1\r\n"));
    // On a busy machine, several bytes may be read at once: but never so many.
    assert!(reads > 5, "{reads} reads for {} bytes", request.len());
}

#[test]
fn a_slow_visitor_hears_why_it_was_hung_up_on() {
    let address = concurrent(|mut stream| {
        drop(stream.read(&mut [0]));
        let late = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(late).expect("the visitor is there");
        stream.shutdown(std::net::Shutdown::Write).expect("an open socket");
        // Reads on, as one must: otherwise a reset might eat the answer.
        drop(stream.read_to_end(&mut Vec::new()));
    });
    assert_eq!(call(Who::Slow, address, PATIENCE).ending, answered(408));
}

#[test]
fn a_silent_visitor_says_nothing_and_stays() {
    let (said, heard) = mpsc::channel();
    let address = concurrent(move |mut stream| {
        let mut all = Vec::new();
        let end = stream.read_to_end(&mut all).map_err(|error| error.kind());
        said.send((end, all)).expect("the test listens");
    });
    let visit = call(Who::Silent, address, SHORT);
    assert_eq!(visit.ending, Ending::Left);
    assert!(visit.took > SHORT.mul_f64(0.9), "{visit:?}");
    // It left politely, and hadn't said a word.
    assert_eq!(heard.recv(), Ok((Ok(0), Vec::new())));
}

#[rstest]
#[case::with_a_word(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", answered(408))]
#[case::without_a_word(b"", Ending::Closed)]
fn a_silent_visitor_notices_that_it_is_sent_away(
    #[case] words: &'static [u8],
    #[case] ending: Ending,
) {
    let address = concurrent(move |mut stream| {
        stream.write_all(words).expect("the visitor is there");
    });
    assert_eq!(call(Who::Silent, address, PATIENCE).ending, ending);
}

#[test]
fn a_greedy_visitor_makes_the_server_wait_for_it() {
    const PAGE: usize = 16 * 1024 * 1024;
    let (said, heard) = mpsc::channel();
    let address = concurrent(move |mut stream| {
        let (request, _) = read_request(&mut stream);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {PAGE}\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("the visitor listens");
        let page = vec![b'.'; PAGE];
        let outcome = stream.write_all(&page).map_err(|error| error.kind());
        said.send((request, outcome)).expect("the test listens");
    });
    let visit = call(Who::Greedy, address, SHORT);
    assert_eq!(visit.ending, Ending::GaveUp);
    assert_eq!(visit.status(), Some(200));
    // It did read, but no more than 4 KiB each 50 ms.
    assert!((4096..=30 * 4096).contains(&visit.received), "{}", visit.received);
    let (request, outcome) = heard.recv().expect("the server tells");
    assert!(request.starts_with(b"GET /large HTTP/1.1\r\n"));
    // The page didn't fit in between: the server was still writing when the visitor left.
    assert!(outcome.is_err(), "{outcome:?}");
}

#[test]
fn a_rude_visitor_hangs_up_in_its_request_and_then_in_the_answer() {
    let (said, heard) = mpsc::channel();
    let address = concurrent(move |mut stream| {
        let (request, _) = read_request(&mut stream);
        let mut end = Ok(());
        if request.ends_with(b"\r\n\r\n") {
            // Far more than fits in between.
            end = stream.write_all(ANSWER).and_then(|()| stream.write_all(&[b'.'; 32 << 20]));
        } else if let Err(error) = stream.read(&mut [0]) {
            end = Err(error);
        }
        said.send((request, end.map_err(|error| error.kind()))).expect("the test listens");
    });
    // A reset takes with it what the server hasn't read yet. A server that is slow to look doesn't
    // see the half request: then the visitor calls again.
    for _ in 0..20 {
        let visit = call(Who::Rude, address, PATIENCE);
        assert_eq!(visit.ending, Ending::Left);
        assert_eq!(visit.rude_hang_ups, 2);

        let calls = [heard.recv().expect("one call"), heard.recv().expect("and another")];
        let whole = |(request, _): &&(Vec<u8>, _)| request.ends_with(b"\r\n\r\n");
        let (_, end) = calls.iter().find(whole).expect("one whole request");
        let end = end.expect_err("hung up in the answer");
        assert!(matches!(end, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{end:?}");
        let half = |(request, _): &&(Vec<u8>, _)| !request.ends_with(b"\r\n\r\n");
        let (request, _) = calls.iter().find(half).expect("one half request");
        if request.starts_with(b"GET /") {
            return;
        }
    }
    panic!("never was half a request seen");
}

#[test]
fn a_rude_visitor_resets_where_a_polite_one_closes() {
    let (said, heard) = mpsc::channel();
    let address = concurrent(move |mut stream| {
        let mut all = Vec::new();
        let end = stream.read_to_end(&mut all);
        // The second call ends when the test's limit is over; only the first is of interest.
        let _ = said.send(end.map_err(|error| error.kind()));
    });
    let visit = call(Who::Rude, address, SHORT);
    assert_eq!(heard.recv(), Ok(Err(ErrorKind::ConnectionReset)));
    assert_eq!(visit.rude_hang_ups, 1, "the second time, no answer came");
    assert_eq!(visit.ending, Ending::GaveUp);
}

#[test]
fn a_crowd_is_connected_all_at_the_same_time() {
    let inside = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (counted, peak) = (Arc::clone(&inside), Arc::clone(&most));
    let address = concurrent(move |mut stream| {
        let now = counted.fetch_add(1, Ordering::SeqCst) + 1;
        peak.fetch_max(now, Ordering::SeqCst);
        let said = stream.read(&mut [0]);
        counted.fetch_sub(1, Ordering::SeqCst);
        assert!(matches!(said, Ok(0)), "a crowd says nothing: {said:?}");
    });
    let crowd = visit(Who::Crowd(150), address, PATIENCE).expect("a thread");
    let began = Instant::now();
    while most.load(Ordering::SeqCst) < 150 && began.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(crowd.wait_until(|doing| doing == Doing::Silent));
    crowd.leave();
    let visit = crowd.end();
    let fared = visit.crowd.expect("it was one");
    assert_eq!((fared.size, fared.connected, fared.stayed), (150, 150, 150));
    assert_eq!(visit.ending, Ending::Left);
    assert_eq!(most.load(Ordering::SeqCst), 150);
}

#[test]
fn a_crowd_counts_who_was_sent_away_and_how() {
    let number = AtomicUsize::new(0);
    let address =
        concurrent(move |mut stream: TcpStream| match number.fetch_add(1, Ordering::SeqCst) {
            0..20 => {
                let full = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
                stream.write_all(full).expect("the visitor is there");
            }
            20..30 => reset(stream),
            _ => drop(stream),
        });
    // It ends by itself: nobody is left to stay.
    let visit = call(Who::Crowd(40), address, PATIENCE);
    assert!(visit.took < PATIENCE, "{visit:?}");
    let fared = visit.crowd.expect("it was one");
    assert_eq!((fared.connected, fared.stayed), (40, 0));
    assert_eq!(fared.sent_away.into_iter().collect::<Vec<_>>(), [(503, 20)]);
    assert_eq!((fared.hung_up_on, fared.refused, fared.left_outside), (20, 0, 0));
}

#[test]
fn a_visitor_can_be_watched_while_it_plays() {
    use Doing::{Answered, Connecting, Receiving, Refused, Sending, Waiting};
    let (go, gone) = mpsc::channel();
    let gone = Mutex::new(gone);
    let address = concurrent(move |stream| {
        gone.lock().expect("no panic before").recv().expect("the test says when");
        good(stream);
    });
    let visitor = visit(Who::Quick, address, PATIENCE).expect("a thread");
    assert!(visitor.wait_until(|doing| doing == Waiting));
    assert!(!visitor.is_over());
    go.send(()).expect("the server listens");
    assert!(visitor.wait_until(|doing| doing == Answered));
    let track: Vec<Doing> = visitor.track().into_iter().map(|(_, doing)| doing).collect();
    assert_eq!(track, [Connecting, Sending, Waiting, Receiving, Answered]);
    assert!(!visitor.wait_until(|doing| doing == Refused), "it never was");
    assert_eq!(visitor.end().ending, answered(200));
}

#[test]
fn a_crowd_that_the_program_lets_stand_outside_is_told_from_one_that_is_in() {
    // Not accepted, and a queue of one: on Linux two get in, and the rest knocks in vain.
    let (_, listener) = nobody();
    let one = nix::sys::socket::Backlog::new(1).expect("small enough");
    nix::sys::socket::listen(&listener, one).expect("a bound socket");
    let address = TcpListener::from(listener);
    let cast = Cast(vec![Who::Crowd(20), Who::Quick]);
    let limit = Duration::from_secs(2);
    let began = Instant::now();
    let play = cast.play(address.local_addr().expect("it is bound"), limit);
    let visits = play.expect("a thread").end();
    assert!(began.elapsed() < limit + PATIENCE);
    let fared = visits[0].crowd.clone().expect("it was one");
    assert_eq!(fared.connected + fared.left_outside, 20, "{fared:?}");
    assert_eq!(fared.stayed, fared.connected);
    assert_eq!(visits[1].ending, Ending::GaveUp);
    if cfg!(target_os = "linux") {
        assert!(fared.left_outside >= 15, "{fared:?}");
        assert_eq!(visits[1].connected, None);
    }
}
