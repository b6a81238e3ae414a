//! Chapter 10's parser allocates nothing, and its encoder nothing but what it writes to.
//!
//! A program of its own, because its allocator counts; and one test, because it counts for
//! all threads.

use std::time::UNIX_EPOCH;

use ch10_http::{
    Date, Event, Exchange, Fields, Limits, Parser, Size, Status, Version, chunk, head, last_chunk,
};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const REQUESTS: &[u8] = b"\r\nGET /hello?a HTTP/1.1\r\nHost: a:80\r\nAccept: */*\r\n\r\n\
    PUT /a HTTP/1.1\r\nHost: [::1]\r\nExpect: x\r\nContent-Length: 5\r\n\r\nhello\
    PUT http://a%20/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
    5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n";
const REFUSED: [&[u8]; 4] = [
    b"\0",
    b"GET / HTTP/2.0\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx",
];

#[test]
fn parser_and_encoder_allocate_nothing() {
    let mut answer = Vec::with_capacity(1000);
    let date = Date::of(UNIX_EPOCH);
    let mut fields = Fields::default();
    fields.add("ETag", "\"a\"").unwrap();
    let exchange = Exchange { is_head: false, version: Version::Http11, keep_alive: true };

    let profiler = dhat::Profiler::builder().testing().build();
    for piece in [1, 7, REQUESTS.len()] {
        assert_eq!(requests(REQUESTS, piece), 3);
        assert!(REFUSED.iter().all(|bytes| requests(bytes, piece) == 0));
    }
    for size in [Size::Known(u64::MAX), Size::Unknown] {
        answer.clear();
        head(&mut answer, exchange, Status::OK, &date, Some("text/plain"), &fields, size);
        chunk(&mut answer, b"hello");
        last_chunk(&mut answer);
    }
    let counted = dhat::HeapStats::get().total_blocks;
    drop(profiler);
    assert_eq!(counted, 0);
}

/// How many requests these bytes are, `piece` of them at a time.
fn requests(bytes: &[u8], piece: usize) -> usize {
    let mut parser = Parser::new(Limits::USUAL);
    let (mut taken, mut here, mut ends) = (0, 0, 0);
    while here < bytes.len() {
        here = bytes.len().min(here + piece);
        loop {
            match parser.next(&bytes[taken..here]) {
                Ok(None) => break,
                Ok(Some((event, took))) => {
                    taken += took;
                    ends += usize::from(event == Event::End);
                }
                Err(refusal) if refusal.close => return ends,
                Err(_) => {}
            }
        }
    }
    ends
}
