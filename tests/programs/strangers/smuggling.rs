//! Requests that could be read in two ways. Whoever stands before us may have read them in the other one: what
//! comes behind is somebody else's request, or a part of this one.

use rstest::rstest;

use crate::house::{End, House};

/// What must never be answered. It would be logged, and its answer says 13 bytes.
const BEHIND: &str = "GET /hello?smuggled HTTP/1.1\r\nHost: here\r\n\r\n";

const GET: &str = "GET / HTTP/1.1\r\nHost: here\r\n";
const POST: &str = "POST /echo HTTP/1.1\r\nHost: here\r\n";

/// One answer, an error, and the end, whatever is behind.
#[rstest]
#[case::both_lengths(POST, "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")]
#[case::both_the_other_way(
    POST,
    "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"
)]
#[case::two_lengths(POST, "Content-Length: 0\r\nContent-Length: 44\r\n\r\n")]
#[case::the_same_length_twice(POST, "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc")]
#[case::a_list_of_lengths(POST, "Content-Length: 0, 44\r\n\r\n")]
#[case::a_signed_length(POST, "Content-Length: +0\r\n\r\n")]
#[case::a_negative_length(POST, "Content-Length: -1\r\n\r\n")]
#[case::a_length_in_hexadecimal(POST, "Content-Length: 0x0\r\n\r\n")]
#[case::a_length_with_a_blank(POST, "Content-Length: 0 0\r\n\r\n")]
#[case::no_length(POST, "Content-Length: \r\n\r\n")]
#[case::too_large_for_a_number(POST, "Content-Length: 18446744073709551616\r\n\r\n")]
#[case::a_blank_before_the_colon(POST, "Content-Length : 0\r\n\r\n")]
#[case::a_coding_with_a_blank(POST, "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n")]
#[case::a_folded_field(POST, "X: y\r\n Content-Length: 44\r\n\r\n")]
#[case::a_blank_before_the_name(GET, " Content-Length: 44\r\n\r\n")]
#[case::chunked_twice(POST, "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n")]
#[case::chunked_not_last(POST, "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n")]
#[case::codings_in_two_fields(
    POST,
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n"
)]
#[case::a_tab_in_the_coding(POST, "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n")]
#[case::a_quoted_coding(POST, "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n")]
#[case::a_bare_cr(GET, "X: y\rContent-Length: 44\r\n\r\n")]
#[case::a_nul(GET, "X: y\0z\r\n\r\n")]
#[case::no_host("GET / HTTP/1.1\r\n", "\r\n")]
#[case::two_hosts(GET, "Host: there\r\n\r\n")]
#[case::a_coding_in_1_0("POST /echo HTTP/1.0\r\n", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")]
#[case::a_chunk_without_a_size(POST, "Transfer-Encoding: chunked\r\n\r\n\r\n\r\n")]
#[case::a_signed_chunk(POST, "Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n")]
#[case::a_chunk_in_decimal_disguise(POST, "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n")]
#[case::a_chunk_that_is_longer(POST, "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n")]
#[case::a_chunk_that_is_shorter(POST, "Transfer-Encoding: chunked\r\n\r\n3\r\nab\r\n0\r\n\r\n")]
#[case::a_lf_in_a_chunks_line(POST, "Transfer-Encoding: chunked\r\n\r\n2;a\nab\r\n0\r\n\r\n")]
#[case::a_chunk_too_large(POST, "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n")]
#[case::lines_that_end_in_lf(POST, "Transfer-Encoding: chunked\r\n\r\n0\n\n")]
#[case::a_trailer_that_is_none(POST, "Transfer-Encoding: chunked\r\n\r\n0\r\nnonsense\r\n\r\n")]
#[case::a_space_too_many("GET /  HTTP/1.1\r\n", "Host: here\r\n\r\n")]
#[case::nonsense("\u{16}\u{3}\u{1}\u{2}", "\r\n\r\n")]
fn one_error_and_the_end(#[case] begin: &str, #[case] rest: &str) {
    let house = House::open(&["--workers", "1"]);
    let text = [begin, rest].concat();
    // In one piece, in single bytes, and with the end of what was sent.
    for (piece, finishes) in [(usize::MAX, false), (1, false), (usize::MAX, true)] {
        let mut visitor = house.visitor();
        let all = [&text, BEHIND].concat();
        for piece in all.as_bytes().chunks(piece.min(all.len())) {
            // It may have been hung up on. Its answer tells.
            let _ = std::io::Write::write_all(&mut visitor.stream, piece);
        }
        if finishes {
            visitor.finish_sending();
        }
        let answer = visitor.answer();
        assert_eq!(answer.status, 400, "{text:?}: {}", answer.head);
        assert_eq!(answer.field("Connection"), Some("close"));
        let (more, end) = visitor.rest();
        assert_eq!((String::from_utf8_lossy(&more).as_ref(), end), ("", End::Closed), "{text:?}");
    }
    house.quick();
    let log = house.log_of(4);
    assert_eq!(log.len(), 4, "{log:?}");
    assert!(log.iter().all(|line| !line.request.contains("smuggled")), "{log:?}");
}

/// Other errors, after which nobody knows where the next request begins.
#[rstest]
#[case::a_coding_that_it_has_not(POST, "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501)]
#[case::a_body_that_is_too_long(POST, "Content-Length: 1048577\r\n\r\n", 413)]
#[case::a_chunk_that_is_too_long(POST, "Transfer-Encoding: chunked\r\n\r\n100001\r\n", 413)]
#[case::another_version("GET / HTTP/2.0\r\n", "Host: here\r\n\r\n", 505)]
fn another_error_and_the_end(#[case] begin: &str, #[case] rest: &str, #[case] status: u16) {
    let house = House::open(&["--workers", "1"]);
    let mut visitor = house.visitor();
    visitor.say([begin, rest, BEHIND].concat());
    let answer = visitor.answer();
    assert_eq!((answer.status, answer.field("Connection")), (status, Some("close")));
    visitor.is_hung_up_on();
    house.quick();
    let log = house.log_of(2);
    assert!(log.iter().all(|line| !line.request.contains("smuggled")), "{log:?}");
}

/// What looks alike and is right is answered, and so is what comes behind.
#[rstest]
#[case::no_body(GET, "\r\n", 200)]
#[case::a_length_of_zero(POST, "Content-Length: 000\r\n\r\n", 200)]
#[case::a_chunked_body(
    POST,
    "transfer-encoding:CHUNKED\r\n\r\n3;x=y\r\nabc\r\n0\r\nX: y\r\n\r\n",
    200
)]
#[case::a_request_in_a_body(
    POST,
    "Content-Length: 44\r\n\r\nGET /hello?smuggled HTTP/1.1\r\nHost: here\r\n\r\n",
    200
)]
#[case::a_body_for_get(GET, "Content-Length: 3\r\n\r\nabc", 200)]
#[case::a_body_for_what_is_not_there(
    "PUT /nowhere HTTP/1.1\r\nHost: here\r\n",
    "Content-Length: 3\r\n\r\nabc",
    405
)]
fn what_is_right_is_answered(#[case] begin: &str, #[case] rest: &str, #[case] status: u16) {
    let house = House::open(&["--workers", "1"]);
    let mut visitor = house.visitor();
    visitor.say(
        [begin, rest, "GET /hello?behind HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"]
            .concat(),
    );
    assert_eq!(visitor.answer().status, status);
    assert_eq!(visitor.answer().text(), "Hello, World!");
    visitor.is_hung_up_on();
    let log = house.log_of(2);
    assert!(log[1].request.contains("behind") && log.len() == 2, "{log:?}");
}
