//! What chapter 10's library must do, besides its exercises. Its program has `10_program.rs`.

#[path = "fuzzing/corpus.rs"]
mod corpus;
#[path = "../../chapters/10-http/fuzz/property.rs"]
mod property;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use ch10_http::body::LONGEST_CHUNK_LINE;
use ch10_http::head::MOST_FIELDS;
use ch10_http::request::MOST_EMPTY_LINES;
use ch10_http::{Event, Limits, Parser, Refusal};
use fastrand::Rng;
use property::Said;
use rstest::rstest;

/// All that is said of these bytes, however they are cut, a word or two an event.
#[track_caller]
fn story(bytes: &[u8], limits: Limits) -> String {
    property::check(bytes);
    let whole = property::run(&[bytes], limits);
    for cut in 0..=bytes.len() {
        let (before, behind) = bytes.split_at(cut);
        assert_eq!(whole, property::run(&[before, behind], limits), "cut at {cut}");
    }
    let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(whole, property::run(&bytewise, limits), "byte by byte");
    let mut told = String::new();
    for (said, took) in whole {
        let _ = match said {
            Said::Head(facts) => {
                let stays = if facts.keep_alive { "stays" } else { "closes" };
                let waits = if facts.expects_continue { ", waits" } else { "" };
                write!(told, "{} {:?} {stays}{waits}", facts.line, facts.body)
            }
            Said::Body(body) => write!(told, "; {}", body.escape_ascii()),
            Said::End => write!(told, "; end. "),
            Said::Refused(Refusal { status, close, .. }) => {
                write!(told, "{} {}", status.code(), if close { "closed" } else { "goes on" })
            }
            Said::Rest { between } => {
                write!(told, "{}{took} left", if between { "" } else { "; not yet, " })
            }
        };
    }
    told
}

/// A request with these lines behind its first one, and this body.
fn post(lines: &str, body: &str) -> String {
    format!("POST /a HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n{body}")
}

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked", body)
}

mod taken {
    use super::*;

    const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    #[rstest]
    #[case::a_plain_one(GET, "GET / HTTP/1.1 None stays; end. 0 left")]
    #[case::of_1_0_without_a_host(
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.0 None closes; end. 0 left"
    )]
    #[case::of_1_0_that_stays(
        "GET / HTTP/1.0\r\nConnection: x, Keep-Alive\r\n\r\n",
        "GET / HTTP/1.0 None stays; end. 0 left"
    )]
    #[case::of_1_0_where_close_wins(
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0 None closes; end. 0 left"
    )]
    #[case::that_closes(
        "GET / HTTP/1.1\r\nHost: a\r\nconnection: ,x ,\tCLOSE, y\r\n\r\n",
        "GET / HTTP/1.1 None closes; end. 0 left"
    )]
    #[case::where_close_wins(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n",
        "GET / HTTP/1.1 None closes; end. 0 left"
    )]
    #[case::with_an_option_that_isnt_close(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close-not\r\n\r\n",
        "GET / HTTP/1.1 None stays; end. 0 left"
    )]
    #[case::behind_empty_lines(
        "\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1 None stays; end. 0 left"
    )]
    #[case::of_an_unknown_method(
        "!#$%&'*+-.^_`|~9aZ / HTTP/1.1\r\nHost: a\r\n\r\n",
        "!#$%&'*+-.^_`|~9aZ / HTTP/1.1 None stays; end. 0 left"
    )]
    #[case::with_all_that_a_target_may_have(
        "GET /a%20b//../~;=:@!$&'()*+,[]{}|\\^`\"<>?c=?d HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a%20b//../~;=:@!$&'()*+,[]{}|\\^`\"<>?c=?d HTTP/1.1 None stays; end. 0 left"
    )]
    #[case::with_odd_values(
        "GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY:\t \r\nZ: a\tb  \u{e9} \t\r\n!: :\r\n\r\n",
        "GET / HTTP/1.1 None stays; end. 0 left"
    )]
    #[case::two_in_one_piece(
        "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\nGE",
        "GET /a HTTP/1.1 None stays; end. GET /b HTTP/1.1 None stays; end. 2 left"
    )]
    #[case::with_nothing_behind_it("", "0 left")]
    fn request(#[case] bytes: &str, #[case] story_is: &str) {
        assert_eq!(story(bytes.as_bytes(), Limits::USUAL), story_is);
    }

    #[rstest]
    #[case::by_its_length("Content-Length: 5", "helloGE", "Length(5) stays; hello; end. 2 left")]
    #[case::that_is_empty("Content-Length: 0", "GE", "Length(0) stays; end. 2 left")]
    #[case::with_zeros_before_its_length(
        "Content-Length: 0002",
        "hi",
        "Length(2) stays; hi; end. 0 left"
    )]
    #[case::of_any_case("cONTENT-lENGTH: 2", "hi", "Length(2) stays; hi; end. 0 left")]
    #[case::with_blanks_around_its_length(
        "Content-Length:\t 2 \t",
        "hi",
        "Length(2) stays; hi; end. 0 left"
    )]
    #[case::that_isnt_whole("Content-Length: 3", "hi", "Length(3) stays; hi; not yet, 0 left")]
    #[case::that_hasnt_begun("Content-Length: 3", "", "Length(3) stays; not yet, 0 left")]
    #[case::that_looks_like_a_request(
        "Content-Length: 4",
        "GET GE",
        "Length(4) stays; GET ; end. 2 left"
    )]
    #[case::of_any_bytes(
        "Content-Length: 4",
        "\r\n\0\u{7f}",
        "Length(4) stays; \\r\\n\\x00\\x7f; end. 0 left"
    )]
    #[case::that_is_waited_for(
        "Expect: 100-Continue\r\nContent-Length: 1",
        "x",
        "Length(1) stays, waits; x; end. 0 left"
    )]
    #[case::that_is_empty_and_so_not_waited_for(
        "Expect: 100-continue\r\nContent-Length: 0",
        "",
        "Length(0) stays; end. 0 left"
    )]
    #[case::that_isnt_and_so_not_waited_for("Expect: 100-continue", "", "None stays; end. 0 left")]
    #[case::that_nothing_is_expected_of("Expect: ,", "", "None stays; end. 0 left")]
    fn with_a_body(#[case] lines: &str, #[case] body: &str, #[case] story_is: &str) {
        let told = story(post(lines, body).as_bytes(), Limits::USUAL);
        assert_eq!(told, format!("POST /a HTTP/1.1 {story_is}"));
    }

    #[test]
    fn one_of_1_0_isnt_waiting_whatever_it_says() {
        let bytes = b"PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx";
        assert_eq!(story(bytes, Limits::USUAL), "PUT / HTTP/1.0 Length(1) closes; x; end. 0 left");
    }

    #[rstest]
    #[case::one("5\r\nhello\r\n0\r\n\r\nGE", "; hello; end. 2 left")]
    #[case::none("0\r\n\r\n", "; end. 0 left")]
    #[case::in_hexadecimal(
        "A\r\n0123456789\r\n0b\r\n0123456789a\r\n00\r\n\r\n",
        "; 01234567890123456789a; end. 0 left"
    )]
    #[case::with_digits_of_both_cases("000aA\r\nhello", "; hello; not yet, 0 left")]
    #[case::with_extensions("2;a;b=c;d=\"e;f\"\r\nhi\r\n0;g\r\n\r\n", "; hi; end. 0 left")]
    #[case::with_blanks_before_extensions(
        "2 \t;a\r\nhi\r\n0 ; \u{e9}\r\n\r\n",
        "; hi; end. 0 left"
    )]
    #[case::with_trailers(
        "2\r\nhi\r\n0\r\nA: b\r\nContent-Length: 7\r\n\r\nGE",
        "; hi; end. 2 left"
    )]
    #[case::that_end_in_their_data("2\r\nhi\r\n", "; hi; not yet, 2 left")]
    #[case::whose_data_look_like_the_end(
        "7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
        "; \\r\\n0\\r\\n\\r\\n; end. 0 left"
    )]
    #[case::without_an_end("0\r\n", "; not yet, 3 left")]
    #[case::in_the_middle_of_trailers("0\r\nA: b\r\n", "; not yet, 9 left")]
    #[case::in_the_middle_of_a_size("1", "; not yet, 1 left")]
    #[case::with_a_size_alone("1\r\n", "; not yet, 3 left")]
    fn in_chunks(#[case] body: &str, #[case] story_is: &str) {
        let told = story(chunked(body).as_bytes(), Limits::USUAL);
        assert_eq!(told, format!("POST /a HTTP/1.1 Chunked stays{story_is}"));
    }

    #[rstest]
    #[case::of_any_case("CHUNKED")]
    #[case::with_blanks("\t chunked \t")]
    fn with_a_coding(#[case] coding: &str) {
        let bytes = post(&format!("transfer-encoding:{coding}"), "0\r\n\r\n");
        let told = story(bytes.as_bytes(), Limits::USUAL);
        assert_eq!(told, "POST /a HTTP/1.1 Chunked stays; end. 0 left");
    }

    #[rstest]
    #[case::a_name("a")]
    #[case::all_that_a_name_may_have("A-.9_~!$&'()*+,;=%7e%E9")]
    #[case::an_ipv4_address("127.0.0.1:8080")]
    #[case::an_ipv6_address("[::1]")]
    #[case::an_ipv6_address_and_a_port("[fe80::1:2]:80")]
    #[case::a_colon_without_a_port("a:")]
    #[case::nobody("")]
    fn with_a_host(#[case] host: &str) {
        let bytes = format!("GET / HTTP/1.1\r\nhOST: {host}\r\n\r\n");
        let told = story(bytes.as_bytes(), Limits::USUAL);
        assert_eq!(told, "GET / HTTP/1.1 None stays; end. 0 left");
        let mut parser = Parser::new(Limits::USUAL);
        let Ok(Some((Event::Head(head), _))) = parser.next(bytes.as_bytes()) else { panic!() };
        assert_eq!(head.host(), Some(host));
    }

    /// Path, query and host of each form. `-`: none.
    #[rstest]
    #[case::origin("GET /a/b?c=d?e", "a", "/a/b", "c=d?e", "a")]
    #[case::origin_with_an_empty_query("GET /?", "a", "/", "", "a")]
    #[case::origin_that_looks_absolute("GET //b/c", "a", "//b/c", "-", "a")]
    #[case::absolute("GET http://b:80/c?d", "a", "/c", "d", "b:80")]
    #[case::absolute_without_a_path("GET HTTPS://b", "a", "/", "-", "b")]
    #[case::absolute_with_a_query_alone("GET Http://[::1]?d/e", "a", "/", "d/e", "[::1]")]
    #[case::authority("CONNECT b:443", "a", "", "-", "b:443")]
    #[case::authority_of_ipv6("CONNECT [::1]:65535", "a", "", "-", "[::1]:65535")]
    #[case::asterisk("OPTIONS *", "a", "*", "-", "a")]
    #[case::asterisk_where_nobody_is_named("OPTIONS *", "", "*", "-", "")]
    #[case::origin_of_options("OPTIONS /", "a", "/", "-", "a")]
    fn with_a_target(
        #[case] asks: &str,
        #[case] field: &str,
        #[case] path: &str,
        #[case] query: &str,
        #[case] host: &str,
    ) {
        let bytes = format!("{asks} HTTP/1.1\r\nHost: {field}\r\n\r\n");
        assert_eq!(
            story(bytes.as_bytes(), Limits::USUAL),
            format!("{asks} HTTP/1.1 None stays; end. 0 left")
        );
        let mut parser = Parser::new(Limits::USUAL);
        let Ok(Some((Event::Head(head), _))) = parser.next(bytes.as_bytes()) else { panic!() };
        let query = (query != "-").then_some(query);
        assert_eq!((head.path(), head.query(), head.host()), (path, query, Some(host)));
    }

    #[test]
    fn fields_are_found_by_name_and_kept_in_order() {
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nAccept: b\r\nX:\xff\r\nACCEPT:\tc \r\n\r\n";
        let mut parser = Parser::new(Limits::USUAL);
        let Ok(Some((Event::Head(head), _))) = parser.next(bytes) else { panic!() };
        let fields: Vec<(&str, &[u8])> = head.fields().collect();
        let wanted: [(&str, &[u8]); 4] =
            [("Host", b"a"), ("Accept", b"b"), ("X", b"\xff"), ("ACCEPT", b"c")];
        assert_eq!(fields, wanted);
        assert_eq!(head.field("accept"), Some("b"));
        assert_eq!(head.field("x"), None, "it isn't UTF-8");
        assert_eq!(head.field("y"), None);
    }

    #[test]
    fn a_head_is_read_again_from_its_own_bytes_alone() {
        use ch10_http::Head;

        let bytes = b"\r\nHEAD /a HTTP/1.0\r\nA: b\r\n\r\nrest";
        let mut parser = Parser::new(Limits::USUAL);
        let Ok(Some((Event::Head(head), took))) = parser.next(bytes) else { panic!() };
        assert_eq!((head.raw(), took), (&bytes[2..28], 28));
        assert_eq!(Head::of(head.raw()), Some(head));
        assert!(head.exchange().is_head);
        assert_eq!(Head::of(&bytes[2..]), None, "more than a head");
        assert_eq!(Head::of(&bytes[..28]), None, "empty lines before it");
        assert_eq!(Head::of(&bytes[2..27]), None, "less than a head");
    }
}

mod known {
    use super::*;
    use ch10_http::{Head, KnownFields, Place};

    fn head(bytes: &str) -> Head<'_> {
        let Ok(Some((Event::Head(head), _))) = Parser::new(Limits::USUAL).next(bytes.as_bytes())
        else {
            panic!("{bytes}")
        };
        head
    }

    /// What is known of `next` behind `first`.
    fn behind<'n>(first: &str, next: &'n str) -> Option<Head<'n>> {
        let mut known = KnownFields::new();
        let place = known.note(&head(first));
        known.read(place, next.as_bytes(), &Limits::USUAL)
    }

    #[rstest]
    #[case("GET / HTTP/1.1\r\nHost: a\r\n\r\n")]
    #[case("HEAD /b?c HTTP/1.1\r\nHost: a\r\n\r\n")]
    #[case("GET /~!\"$%&'()*+,-.:;<=>?@[\\]^_`{|} HTTP/1.1\r\nHost: a\r\n\r\nPOST")]
    fn fields_are_known_again(#[case] next: &str) {
        let known = behind("GET /first HTTP/1.1\r\nHost: a\r\n\r\n", next);
        assert_eq!(known, Some(head(next)));
        assert!(known.unwrap().keep_alive);
    }

    #[test]
    fn that_the_answer_depends_on_a_condition_is_known_too() {
        let bytes = "GET / HTTP/1.1\r\nHost: a\r\nif-none-match: *\r\n\r\n";
        assert!(behind(bytes, bytes).unwrap().has_conditions);
        let bytes = "GET / HTTP/1.1\r\nHost: a\r\nX-If-Match: *\r\n\r\n";
        assert!(!behind(bytes, bytes).unwrap().has_conditions);
    }

    #[test]
    fn that_the_connection_closes_is_known_too() {
        let bytes = "GET / HTTP/1.1\r\nConnection: close\r\nHost: a\r\n\r\n";
        assert!(!behind(bytes, bytes).unwrap().keep_alive);
    }

    #[rstest]
    #[case::another_value("GET / HTTP/1.1\r\nHost: b\r\n\r\n")]
    #[case::more_of_them("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n")]
    #[case::not_yet("GET / HTTP/1.1\r\nHost: a\r\n\r")]
    #[case::another_version("GET / HTTP/1.0\r\nHost: a\r\n\r\n")]
    #[case::another_method("POST / HTTP/1.1\r\nHost: a\r\n\r\n")]
    #[case::a_method_in_small_letters("get / HTTP/1.1\r\nHost: a\r\n\r\n")]
    #[case::another_form("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n")]
    #[case::two_blanks("GET  / HTTP/1.1\r\nHost: a\r\n\r\n")]
    #[case::a_blank_behind("GET /  HTTP/1.1\r\nHost: a\r\n\r\n")]
    #[case::a_lone_lf("GET / HTTP/1.1\nHost: a\r\n\r\n")]
    #[case::an_empty_line("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")]
    #[case::a_fragment("GET /#b HTTP/1.1\r\nHost: a\r\n\r\n")]
    #[case::a_letter_that_isnt_ascii("GET /\u{e4} HTTP/1.1\r\nHost: a\r\n\r\n")]
    #[case::a_delete("GET /\u{7f} HTTP/1.1\r\nHost: a\r\n\r\n")]
    fn all_others_must_be_read(#[case] next: &str) {
        assert_eq!(behind("GET / HTTP/1.1\r\nHost: a\r\n\r\n", next), None);
    }

    #[rstest]
    #[case::a_secret("Cookie: id=1\r\n")]
    #[case::a_password("authorization: Basic YTpi\r\n")]
    #[case::a_password_for_a_proxy("PROXY-AUTHORIZATION: Basic YTpi\r\n")]
    #[case::a_body("Content-Length: 1\r\n")]
    #[case::a_body_of_nothing("Content-Length: 0\r\n")]
    #[case::a_body_in_chunks("Transfer-Encoding: chunked\r\n")]
    #[case::too_long(&format!("A: {}\r\n", "a".repeat(1024)))]
    fn some_fields_arent_kept(#[case] field: &str) {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n");
        assert_eq!(behind(&bytes, &bytes), None);
    }

    #[rstest]
    #[case::of_its_line(Limits { line: 13, ..Limits::USUAL }, Limits { line: 14, ..Limits::USUAL })]
    #[case::of_its_head(Limits { head: 34, ..Limits::USUAL }, Limits { head: 35, ..Limits::USUAL })]
    #[case::of_its_fields(Limits { fields: 1, ..Limits::USUAL }, Limits { fields: 2, ..Limits::USUAL })]
    fn a_limit_holds_for_it_as_well(#[case] short: Limits, #[case] enough: Limits) {
        let bytes = "GET / HTTP/1.1\r\nHost: a\r\nB: c d\r\n\r\n";
        let mut known = KnownFields::new();
        let place = known.note(&head(bytes));
        assert_eq!(known.read(place, bytes.as_bytes(), &short), None);
        assert_eq!(known.read(place, bytes.as_bytes(), &enough), Some(head(bytes)));
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let of = |number| format!("GET / HTTP/1.1\r\nHost: a{number}\r\n\r\n");
        let mut known = KnownFields::new();
        let places: Vec<(Place, String)> =
            (0..65).map(|number| (known.note(&head(&of(number))), of(number))).collect();
        for (number, (place, bytes)) in places.iter().enumerate() {
            let is_known = known.read(*place, bytes.as_bytes(), &Limits::USUAL).is_some();
            assert_eq!(is_known, number != 0, "{number} of 65");
        }
        // They have a place once, however often they come.
        for (place, bytes) in &places[1..] {
            let again = known.note(&head(bytes));
            assert!(known.read(again, bytes.as_bytes(), &Limits::USUAL).is_some());
            assert!(known.read(*place, bytes.as_bytes(), &Limits::USUAL).is_some());
        }
    }

    #[test]
    fn whoever_is_new_is_taken_for_the_last_one() {
        let (first, second) =
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: b\r\n\r\n");
        let mut known = KnownFields::new();
        assert_eq!(known.read(Place::default(), first.as_bytes(), &Limits::USUAL), None);
        known.note(&head(first));
        known.note(&head(second));
        assert_eq!(known.read(Place::default(), first.as_bytes(), &Limits::USUAL), None);
        assert!(known.read(Place::default(), second.as_bytes(), &Limits::USUAL).is_some());
    }
}

mod refused {
    use super::*;

    /// Not a line of theirs is read as anything.
    #[rstest]
    #[case::both_lengths(post("Content-Length: 5\r\nTransfer-Encoding: chunked", ""), 400)]
    #[case::both_lengths_the_other_way(
        post("Transfer-Encoding: chunked\r\nContent-Length: 5", ""),
        400
    )]
    #[case::both_lengths_with_an_unknown_coding(
        post("Transfer-Encoding: x\r\nContent-Length: 5", ""),
        400
    )]
    #[case::two_lengths(post("Content-Length: 5\r\nContent-Length: 6", ""), 400)]
    #[case::the_same_length_twice(post("Content-Length: 5\r\nContent-Length: 5", ""), 400)]
    #[case::a_list_of_lengths(post("Content-Length: 5, 6", ""), 400)]
    #[case::a_list_of_the_same_length(post("Content-Length: 5, 5", ""), 400)]
    #[case::a_sign(post("Content-Length: +5", ""), 400)]
    #[case::a_minus(post("Content-Length: -5", ""), 400)]
    #[case::a_space_in_a_number(post("Content-Length: 5 5", ""), 400)]
    #[case::an_empty_number(post("Content-Length:", ""), 400)]
    #[case::a_number_in_hexadecimal(post("Content-Length: 0x5", ""), 400)]
    #[case::a_fraction(post("Content-Length: 5.0", ""), 400)]
    #[case::a_number_in_other_digits(post("Content-Length: \u{665}", ""), 400)]
    #[case::a_number_that_overflows(post("Content-Length: 18446744073709551616", ""), 400)]
    #[case::a_number_that_overflows_to_a_small_one(
        post("Content-Length: 18446744073709551621", ""),
        400
    )]
    #[case::a_coding_in_1_0("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".into(), 400)]
    #[case::an_unknown_coding_in_1_0("POST / HTTP/1.0\r\nTransfer-Encoding: x\r\n\r\n".into(), 400)]
    #[case::chunked_not_last(post("Transfer-Encoding: chunked, gzip", ""), 400)]
    #[case::chunked_not_last_over_two_lines(
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip", ""),
        400
    )]
    #[case::chunked_twice(post("Transfer-Encoding: chunked, chunked", ""), 400)]
    #[case::chunked_twice_over_two_lines(
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", ""),
        400
    )]
    #[case::chunked_with_parameters(post("Transfer-Encoding: chunked;a=b", ""), 400)]
    #[case::no_coding(post("Transfer-Encoding:", ""), 400)]
    #[case::an_empty_member_before_chunked(post("Transfer-Encoding: ,chunked", ""), 400)]
    #[case::an_empty_member_behind_chunked(post("Transfer-Encoding: chunked,", ""), 400)]
    #[case::a_coding_that_is_no_token(post("Transfer-Encoding: \"chunked\"", ""), 400)]
    #[case::a_coding_with_a_space(post("Transfer-Encoding: x chunked", ""), 400)]
    #[case::a_coding_beyond_ascii(post("Transfer-Encoding: \u{a0}chunked", ""), 400)]
    #[case::an_unknown_coding(post("Transfer-Encoding: x", ""), 501)]
    #[case::an_unknown_coding_that_looks_like_chunked(post("Transfer-Encoding: xchunked", ""), 501)]
    #[case::identity(post("Transfer-Encoding: identity", ""), 501)]
    #[case::a_coding_that_we_dont_undo(post("Transfer-Encoding: gzip, chunked", ""), 501)]
    #[case::a_coding_with_parameters(post("Transfer-Encoding: x ;a=b, chunked", ""), 501)]
    #[case::no_host("GET / HTTP/1.1\r\n\r\n".into(), 400)]
    #[case::two_hosts(post("Host: b", ""), 400)]
    #[case::the_same_host_twice(post("Host: a", ""), 400)]
    #[case::two_hosts_in_1_0("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n".into(), 400)]
    #[case::an_invalid_host_in_1_0("GET / HTTP/1.0\r\nHost: a b\r\n\r\n".into(), 400)]
    #[case::an_empty_host_beside_one_in_the_target("GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n".into(), 400)]
    #[case::an_empty_host_beside_connect("CONNECT a:1 HTTP/1.1\r\nHost:\r\n\r\n".into(), 400)]
    #[case::no_host_beside_one_in_the_target("GET http://a/ HTTP/1.1\r\n\r\n".into(), 400)]
    #[case::an_invalid_host_beside_one_in_the_target("GET http://a/ HTTP/1.1\r\nHost: /\r\n\r\n".into(), 400)]
    #[case::a_lone_cr_in_a_value(post("A: b\rc", ""), 400)]
    #[case::a_lone_lf_in_a_value(post("A: b\nc: d", ""), 400)]
    #[case::a_lone_lf_behind_the_first_line("GET / HTTP/1.1\nHost: a\r\n\r\n".into(), 400)]
    #[case::a_lone_lf_behind_a_field("GET / HTTP/1.1\r\nHost: a\n\r\n".into(), 400)]
    #[case::a_lone_lf_at_the_end("GET / HTTP/1.1\r\nHost: a\r\n\n".into(), 400)]
    #[case::a_lone_lf_before_all("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400)]
    #[case::a_lone_cr_before_all("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400)]
    #[case::nothing_but_lone_lfs("GET / HTTP/1.1\nHost: a\n\n".into(), 400)]
    #[case::two_crs("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n".into(), 400)]
    #[case::a_folded_line(post("A: b\r\n c", ""), 400)]
    #[case::a_line_folded_by_a_tab(post("A: b\r\n\tc", ""), 400)]
    #[case::a_folded_first_field("GET / HTTP/1.1\r\n Host: a\r\n\r\n".into(), 400)]
    #[case::a_space_before_a_colon(post("Content-Length : 5", ""), 400)]
    #[case::a_tab_before_a_colon(post("A\t: b", ""), 400)]
    #[case::no_colon(post("A", ""), 400)]
    #[case::no_name(post(": b", ""), 400)]
    #[case::a_name_beyond_ascii(post("\u{e9}: b", ""), 400)]
    #[case::a_name_in_parentheses(post("(A): b", ""), 400)]
    #[case::a_nul_in_a_name(post("A\0: b", ""), 400)]
    #[case::a_nul_in_a_value(post("A: b\0", ""), 400)]
    #[case::a_del_in_a_value(post("A: \u{7f}", ""), 400)]
    #[case::an_escape_in_a_value(post("A: b\u{1b}[2J", ""), 400)]
    #[case::a_vertical_tab_in_a_value(post("Transfer-Encoding: \u{b}chunked", ""), 400)]
    #[case::a_nul_in_the_target("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400)]
    #[case::a_del_in_the_target("GET /\u{7f} HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400)]
    #[case::a_tab_in_the_target("GET /\t HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400)]
    #[case::a_character_beyond_ascii_in_the_target("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400)]
    #[case::a_fragment("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400)]
    #[case::a_space_before_all(" GET / HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400)]
    #[case::two_spaces_before_the_target("GET  / HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400)]
    #[case::two_spaces_before_the_version("GET /  HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400)]
    #[case::a_tab_before_the_version("GET /\tHTTP/1.1\r\nHost: a\r\n\r\n".into(), 400)]
    #[case::a_space_behind_the_version("GET / HTTP/1.1 \r\nHost: a\r\n\r\n".into(), 400)]
    #[case::a_space_in_the_target("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400)]
    #[case::no_target("GET HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400)]
    #[case::no_version("GET /\r\nHost: a\r\n\r\n".into(), 400)]
    #[case::no_method("/ HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400)]
    #[case::a_method_in_quotes("\"GET\" / HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400)]
    #[case::a_method_with_a_colon("GET: / HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400)]
    #[case::a_version_in_lower_case("GET / http/1.1\r\nHost: a\r\n\r\n".into(), 400)]
    #[case::a_version_of_three_digits("GET / HTTP/1.10\r\nHost: a\r\n\r\n".into(), 400)]
    #[case::a_version_of_one_digit("GET / HTTP/1\r\nHost: a\r\n\r\n".into(), 400)]
    #[case::a_version_that_isnt_whole("GET / HTTP/1.\r\nHost: a\r\n\r\n".into(), 400)]
    #[case::another_protocol("GET / ICY/1.1\r\nHost: a\r\n\r\n".into(), 400)]
    #[case::version_2_0("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), 505)]
    #[case::version_1_2_without_a_host("GET / HTTP/1.2\r\n\r\n".into(), 400)]
    #[case::version_0_9("GET / HTTP/0.9\r\n\r\n".into(), 505)]
    #[case::too_many_empty_lines(format!("{}GET / HTTP/1.0\r\n\r\n", "\r\n".repeat(MOST_EMPTY_LINES + 1)), 400)]
    #[case::a_body_that_is_too_long(post("Content-Length: 1048577", ""), 413)]
    #[case::a_body_that_is_far_too_long(post("Content-Length: 18446744073709551615", ""), 413)]
    #[case::a_body_that_is_too_long_and_waits(
        post("Expect: 100-continue\r\nContent-Length: 1048577", ""),
        413
    )]
    fn with_a_head(#[case] bytes: String, #[case] status: u16) {
        assert_eq!(story(bytes.as_bytes(), Limits::USUAL), format!("{status} closed"));
    }

    #[rstest]
    #[case::a_space("a b")]
    #[case::a_slash("a/b")]
    #[case::two_of_them("a,b c")]
    #[case::a_name_before_it("a@b")]
    #[case::a_port_that_is_no_number("a:b")]
    #[case::a_port_with_a_sign("a:+1")]
    #[case::two_ports("a:1:2")]
    #[case::a_port_alone(":80")]
    #[case::an_ipv6_address_without_brackets("::1")]
    #[case::an_ipv6_address_without_an_end("[::1")]
    #[case::something_behind_an_ipv6_address("[::1]a")]
    #[case::no_ipv6_address("[1.2.3.4]")]
    #[case::empty_brackets("[]")]
    #[case::a_zone("[fe80::1%eth0]")]
    #[case::half_a_percent("a%4")]
    #[case::a_percent_without_digits("a%zz")]
    #[case::a_percent_and_a_digit("a%4z")]
    #[case::a_percent_and_a_late_digit("a%z4")]
    #[case::a_character_beyond_ascii("\u{e9}")]
    #[case::a_backslash("a\\b")]
    #[case::a_quote("\"a\"")]
    #[case::a_question_mark("a?b")]
    fn with_a_host(#[case] host: &str) {
        for bytes in [
            format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            format!("GET / HTTP/1.0\r\nHost: {host}\r\n\r\n"),
        ] {
            assert_eq!(story(bytes.as_bytes(), Limits::USUAL), "400 closed");
        }
    }

    #[rstest]
    #[case::an_asterisk_of_get("GET *")]
    #[case::an_asterisk_with_more("OPTIONS *a")]
    #[case::an_asterisk_of_connect("CONNECT *")]
    #[case::a_host_of_get("GET a:80")]
    #[case::a_host_of_options("OPTIONS a:80")]
    #[case::a_path_of_connect("CONNECT /")]
    #[case::a_uri_of_connect("CONNECT http://a:80/")]
    #[case::connect_without_a_port("CONNECT a")]
    #[case::connect_with_an_empty_port("CONNECT a:")]
    #[case::connect_with_port_0("CONNECT a:0")]
    #[case::connect_with_no_such_port("CONNECT a:65536")]
    #[case::connect_with_a_sign("CONNECT a:+80")]
    #[case::connect_with_a_name("CONNECT b@a:80")]
    #[case::connect_without_a_host("CONNECT :80")]
    #[case::connect_with_an_ipv6_address_without_brackets("CONNECT ::1:80")]
    #[case::another_scheme("GET ftp://a/")]
    #[case::no_scheme("GET ://a/")]
    #[case::a_scheme_with_one_slash("GET http:/a/")]
    #[case::no_host("GET http:///a")]
    #[case::a_name_before_the_host("GET http://b@a/")]
    #[case::a_name_and_a_password("GET http://b:c@a/")]
    #[case::an_invalid_port("GET http://a:b/")]
    #[case::a_fragment_behind_the_host("GET http://a#b")]
    #[case::a_relative_path("GET a/b")]
    #[case::a_query_alone("GET ?a")]
    #[case::a_backslash_for_a_slash("GET \\a")]
    fn with_a_target(#[case] asks: &str) {
        let bytes = format!("{asks} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(story(bytes.as_bytes(), Limits::USUAL), "400 closed");
    }

    /// Behind "hi", which is told. Whatever follows, nothing more is.
    #[rstest]
    #[case::no_size("\r\nhi", 400)]
    #[case::a_size_that_is_no_number("x\r\n", 400)]
    #[case::an_extension_alone(";a\r\nhi", 400)]
    #[case::a_size_with_a_prefix("0x2\r\nhi", 400)]
    #[case::a_size_with_a_sign("+2\r\nhi", 400)]
    #[case::a_space_before_a_size(" 2\r\nhi", 400)]
    #[case::a_space_in_a_size("2 2\r\nhi", 400)]
    #[case::a_space_behind_a_size("2 \r\nhi", 400)]
    #[case::a_size_that_overflows("10000000000000002\r\nhi", 400)]
    #[case::a_size_that_overflows_in_its_last_digit("fffffffffffffffff\r\nhi", 400)]
    #[case::a_lone_lf_behind_a_size("2\nhi", 400)]
    #[case::a_lone_cr_behind_a_size("2\rhi", 400)]
    #[case::a_size_and_a_cr_too_many("2\r\r\nhi", 400)]
    #[case::something_behind_a_size("2,a\r\nhi", 400)]
    #[case::an_extension_without_a_semicolon("2 a\r\nhi", 400)]
    #[case::a_lone_lf_in_an_extension("2;a\nb\r\nhi", 400)]
    #[case::a_lone_cr_in_an_extension("2;a\rb\r\nhi", 400)]
    #[case::a_nul_in_an_extension("2;\0\r\nhi", 400)]
    #[case::a_del_in_an_extension("2;\u{7f}\r\nhi", 400)]
    #[case::a_size_alone_that_is_too_long("100001\r\n", 413)]
    #[case::a_size_that_is_the_largest("ffffffffffffffff\r\n", 413)]
    #[case::a_trailer_without_a_colon("0\r\nA\r\n\r\n", 400)]
    #[case::a_trailer_with_a_space_before_its_colon("0\r\nA : b\r\n\r\n", 400)]
    #[case::a_folded_trailer("0\r\nA: b\r\n c\r\n\r\n", 400)]
    #[case::a_nul_in_a_trailer("0\r\nA: \0\r\n\r\n", 400)]
    #[case::a_lone_lf_behind_a_trailer("0\r\nA: b\n\r\n", 400)]
    #[case::a_lone_cr_in_a_trailer("0\r\nA: b\rc\r\n\r\n", 400)]
    #[case::a_lone_lf_at_the_end("0\r\n\n", 400)]
    #[case::a_request_in_place_of_the_end("0\r\nGET / HTTP/1.1\r\n\r\n", 400)]
    fn with_a_chunk(#[case] broken: &str, #[case] status: u16) {
        let told = story(chunked(&format!("2\r\nhi\r\n{broken}")).as_bytes(), Limits::USUAL);
        let told = told.strip_prefix("POST /a HTTP/1.1 Chunked stays; hi");
        // What of a broken chunk's data came before it broke is told as well.
        assert_eq!(told, Some(format!("{status} closed").as_str()));
        let told = story(chunked(broken).as_bytes(), Limits::USUAL);
        assert_eq!(told, format!("POST /a HTTP/1.1 Chunked stays{status} closed"));
    }

    #[rstest]
    #[case::nothing("0\r\n\r\n")]
    #[case::an_lf("\n0\r\n\r\n")]
    #[case::a_cr("\r0\r\n\r\n")]
    #[case::a_byte_too_many("x\r\n0\r\n\r\n")]
    #[case::another_byte_before_the_lf("\rx\n0\r\n\r\n")]
    #[case::two_bytes_in_its_place("xx0\r\n\r\n")]
    fn a_chunk_with_something_else_than_crlf_behind_it(#[case] behind: &str) {
        let told = story(chunked(&format!("2\r\nhi{behind}")).as_bytes(), Limits::USUAL);
        assert_eq!(told, "POST /a HTTP/1.1 Chunked stays; hi400 closed");
    }

    /// Who takes quotes for what they are elsewhere takes "hi" for the data.
    #[test]
    fn a_line_break_in_quotes_is_the_end_of_a_chunks_line() {
        let told = story(chunked("2;a=\"\r\n\"\r\nhi\r\n0\r\n\r\n").as_bytes(), Limits::USUAL);
        assert_eq!(told, "POST /a HTTP/1.1 Chunked stays; \\\"\\r400 closed");
    }

    /// At once: who waits for an answer to that would wait for ever.
    #[rstest]
    #[case::tls(b"\x16")]
    #[case::a_space(b" ")]
    #[case::a_nul(b"\0")]
    #[case::a_brace(b"{")]
    #[case::behind_an_empty_line(b"\r\n\xff")]
    #[case::a_broken_first_line(b"GET / HTTP/1.1 \r\n")]
    #[case::a_broken_target(b"GET * HTTP/1.1\r\n")]
    #[case::http_0_9(b"GET /\r\n")]
    #[case::a_lone_lf(b"GET / HTTP/1.1\r\nA: b\n")]
    #[case::a_lone_cr(b"GET / HTTP/1.1\r\nA: b\rc")]
    #[case::a_chunks_size(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx")]
    #[case::a_trailer(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA\r\n")]
    fn without_waiting_for_more(#[case] bytes: &[u8]) {
        let told = story(bytes, Limits::USUAL);
        assert!(told.ends_with("400 closed"), "{told}");
        let told = story(&bytes[..bytes.len() - 1], Limits::USUAL);
        assert!(told.ends_with("left"), "too early: {told}");
    }

    #[test]
    fn a_later_minor_version_is_read_as_1_1() {
        let bytes = b"GET http://a.b:80/c?d HTTP/1.9\r\nHost: a\r\nHosts: e\r\n\r\nrest";
        let mut parser = Parser::new(Limits::USUAL);
        let (event, took) = parser.next(bytes).unwrap().unwrap();
        let Event::Head(head) = event else { panic!("{event:?}") };
        assert_eq!(took, bytes.len() - "rest".len());
        assert_eq!((head.method, head.version), ("GET", ch10_http::Version::Http11));
        assert_eq!((head.host(), head.path(), head.query()), (Some("a.b:80"), "/c", Some("d")));
        assert_eq!((head.field("hosts"), head.keep_alive), (Some("e"), true));
        // It's told of as it was sent.
        assert_eq!(head.raw(), &bytes[..took]);
        // However it comes.
        let told = story(b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", Limits::USUAL);
        assert_eq!(told, "GET / HTTP/1.2 None stays; end. 0 left");
        assert_eq!(story(b"GET / HTTP/1.2\r\nHost: a\r\nb\r\n\r\n", Limits::USUAL), "400 closed");
    }

    #[rstest]
    #[case::a_body_that_is_too_long(
        "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n"
    )]
    #[case::a_field_that_is_none("\r\nHEAD / HTTP/1.1\r\nHost : a\r\n\r\n")]
    #[case::a_chunk_that_is_none(
        "HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx"
    )]
    #[case::another_version("HEAD / HTTP/2.0\r\n\r\n")]
    #[case::an_expectation("HEAD / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n")]
    fn of_a_head_request_knows_that_it_is_one(#[case] request: &str) {
        for (request, is_head) in
            [(request.to_owned(), true), (request.replace("HEAD", "GET"), false)]
        {
            let mut parser = Parser::new(Limits::USUAL);
            let mut bytes = request.as_bytes();
            let refusal = loop {
                match parser.next(bytes) {
                    Ok(Some((_, took))) => bytes = &bytes[took..],
                    Ok(None) => panic!("it wasn't refused"),
                    Err(refusal) => break refusal,
                }
            };
            assert_eq!(refusal.exchange.is_head, is_head, "{request:?}");
        }
    }

    #[test]
    fn a_version_without_waiting_for_more() {
        assert_eq!(story(b"GET / HTTP/3.0\r\n", Limits::USUAL), "505 closed");
    }

    /// Which of two is judged must not depend on how much has come.
    #[rstest]
    #[case::a_version_before_a_lone_lf("GET / HTTP/2.0\r\nA\n", 505)]
    #[case::a_lone_lf_before_a_field("GET / HTTP/1.1\r\nA : b\r\nC\n", 400)]
    #[case::a_coding_before_a_field(
        "POST / HTTP/1.1\r\nTransfer-Encoding: x\r\nHost: a\r\nA : b\r\n\r\n",
        400
    )]
    #[case::a_host_before_a_coding("POST / HTTP/1.1\r\nTransfer-Encoding: x\r\n\r\n", 400)]
    fn the_first_offence_counts(#[case] bytes: &str, #[case] status: u16) {
        assert_eq!(story(bytes.as_bytes(), Limits::USUAL), format!("{status} closed"));
    }

    #[test]
    fn whatever_is_refused_is_refused_for_a_reason() {
        for bytes in ["\0", "GET / HTTP/2.0\r\n", "GET / HTTP/1.1\r\n\r\n"] {
            let refusal = Parser::new(Limits::USUAL).next(bytes.as_bytes()).unwrap_err();
            assert!(!refusal.why.is_empty() && refusal.why.len() <= 60, "{refusal}");
            assert_eq!(refusal.to_string(), format!("{}: {}", refusal.status.code(), refusal.why));
        }
    }
}

mod an_expectation {
    use super::*;

    #[rstest]
    #[case::is_refused_alone(post("Expect: x", "GE"), "417 goes on; end. 2 left")]
    #[case::beside_one_that_we_know(
        post("Expect: 100-continue, x", ""),
        "417 goes on; end. 0 left"
    )]
    #[case::in_a_second_line(
        post("Expect: 100-continue\r\nExpect: x", ""),
        "417 goes on; end. 0 left"
    )]
    #[case::with_a_parameter(post("Expect: 100-continue;a", ""), "417 goes on; end. 0 left")]
    #[case::and_the_body_is_skipped(
        post("Expect: x\r\nContent-Length: 5", "helloGE"),
        "417 goes on; hello; end. 2 left"
    )]
    #[case::and_the_chunks_are_skipped(
        post("Expect: x\r\nTransfer-Encoding: chunked", "5\r\nhello\r\n0\r\nA: b\r\n\r\nGE"),
        "417 goes on; hello; end. 2 left"
    )]
    #[case::and_no_chunks(
        post("Expect: x\r\nTransfer-Encoding: chunked", "0\r\n\r\nGE"),
        "417 goes on; end. 2 left"
    )]
    #[case::and_a_broken_chunk_is_refused(
        post("Expect: x\r\nTransfer-Encoding: chunked", "x"),
        "417 goes on400 closed"
    )]
    #[case::and_the_body_isnt_whole(
        post("Expect: x\r\nContent-Length: 5", "hell"),
        "417 goes on; hell; not yet, 0 left"
    )]
    #[case::and_the_next_request_is_read(
        format!("\r\n{}", post("Expect: x", "GET /b HTTP/1.0\r\n\r\n")),
        "417 goes on; end. GET /b HTTP/1.0 None closes; end. 0 left"
    )]
    #[case::of_1_0(
        "PUT / HTTP/1.0\r\nExpect: x\r\nContent-Length: 1\r\n\r\nx".into(),
        "417 goes on; x; end. 0 left"
    )]
    #[case::comes_after_all_else(post("Expect: x\r\nContent-Length: 2000000", ""), "413 closed")]
    fn that_we_cant_meet(#[case] bytes: String, #[case] story_is: &str) {
        assert_eq!(story(bytes.as_bytes(), Limits::USUAL), story_is);
    }

    #[test]
    fn is_refused_with_what_the_answer_depends_on() {
        let bytes = b"HEAD / HTTP/1.0\r\nExpect: x\r\nConnection: keep-alive\r\n\r\n";
        let refusal = Parser::new(Limits::USUAL).next(bytes).unwrap_err();
        let exchange = refusal.exchange;
        assert!(
            exchange.is_head
                && exchange.keep_alive
                && exchange.version == ch10_http::Version::Http10
        );
        let refusal = Parser::new(Limits::USUAL).next(b"\0").unwrap_err();
        assert_eq!(refusal.exchange, ch10_http::Exchange::UNKNOWN);
    }
}

mod limits {
    use super::*;

    const LIMITS: Limits = Limits { line: 30, head: 80, fields: 3, body: 10 };

    fn line(length: usize) -> String {
        format!("GET /{} HTTP/1.0", "a".repeat(length - "GET / HTTP/1.0".len()))
    }

    /// What is at the limit is taken, one more isn't.
    #[rstest]
    #[case::a_line(format!("{}\r\n\r\n", line(30)), format!("{}\r\n\r\n", line(31)), 414)]
    #[case::a_line_without_an_end(line(30), line(31), 414)]
    #[case::a_line_behind_empty_ones(format!("\r\n\r\n{}\r\n\r\n", line(30)), format!("\r\n\r\n{}\r\n\r\n", line(31)), 414)]
    #[case::a_line_and_a_lone_lf(format!("{}\r\n", line(30)), format!("{}\n", line(31)), 414)]
    #[case::a_head(
        format!("GET / HTTP/1.0\r\nA: {}\r\n\r\n", "a".repeat(57)),
        format!("GET / HTTP/1.0\r\nA: {}\r\n\r\n", "a".repeat(58)),
        431
    )]
    #[case::a_head_with_empty_lines(
        format!("\r\nGET / HTTP/1.0\r\nA: {}\r\n\r\n", "a".repeat(55)),
        format!("\r\nGET / HTTP/1.0\r\nA: {}\r\n\r\n", "a".repeat(56)),
        431
    )]
    #[case::a_head_without_an_end(
        format!("GET / HTTP/1.0\r\nA: {}", "a".repeat(60)),
        format!("GET / HTTP/1.0\r\nA: {}", "a".repeat(61)),
        431
    )]
    #[case::fields(
        format!("GET / HTTP/1.0\r\n{}\r\n", "A: b\r\n".repeat(3)),
        format!("GET / HTTP/1.0\r\n{}\r\n", "A: b\r\n".repeat(4)),
        431
    )]
    #[case::fields_without_an_end(
        format!("GET / HTTP/1.0\r\n{}", "A: b\r\n".repeat(3)),
        format!("GET / HTTP/1.0\r\n{}", "A: b\r\n".repeat(4)),
        431
    )]
    #[case::a_body(
        "GET / HTTP/1.0\r\nContent-Length: 10\r\n\r\n".into(),
        "GET / HTTP/1.0\r\nContent-Length: 11\r\n\r\n".into(),
        413
    )]
    fn of_a_request(#[case] fits: String, #[case] doesnt: String, #[case] status: u16) {
        let told = story(fits.as_bytes(), LIMITS);
        assert!(told.ends_with("left"), "{told}");
        assert_eq!(story(doesnt.as_bytes(), LIMITS), format!("{status} closed"));
    }

    const CHUNKED: &str = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

    #[rstest]
    #[case::a_chunk("a\r\n", "b\r\n", 413)]
    #[case::the_sum_of_chunks("5\r\nhello\r\n5\r\n", "5\r\nhello\r\n6\r\n", 413)]
    #[case::the_sum_of_chunks_that_would_overflow(
        "a\r\n0123456789\r\n0\r\n",
        "a\r\n0123456789\r\nfffffffffffffff6\r\n",
        413
    )]
    fn of_chunks(#[case] fits: &str, #[case] doesnt: &str, #[case] status: u16) {
        let told = story(format!("{CHUNKED}{fits}").as_bytes(), LIMITS);
        assert!(told.ends_with("left"), "{told}");
        let told = story(format!("{CHUNKED}{doesnt}").as_bytes(), LIMITS);
        assert!(told.ends_with(&format!("{status} closed")), "{told}");
    }

    #[test]
    fn of_trailers() {
        let trailers = |length| format!("{CHUNKED}0\r\nA: {}\r\nB:\r\n\r\n", "a".repeat(length));
        // "A: ", CRLF, "B:", CRLF, CRLF
        let told = story(trailers(80 - 11).as_bytes(), LIMITS);
        assert!(told.ends_with("end. 0 left"), "{told}");
        let told = story(trailers(80 - 10).as_bytes(), LIMITS);
        assert!(told.ends_with("431 closed"), "{told}");
    }

    #[rstest]
    #[case::with_extensions("1;", "a")]
    #[case::with_zeros("", "0")]
    fn of_a_chunks_line(#[case] begin: &str, #[case] filled_with: &str) {
        let line = |length: usize| {
            let filled = filled_with.repeat(length - begin.len() - 3);
            format!("{CHUNKED}{begin}{filled}{}\r\nx", &"1"[..1])
        };
        let told = story(line(LONGEST_CHUNK_LINE).as_bytes(), Limits::USUAL);
        assert!(told.ends_with("; x; not yet, 0 left"), "{told}");
        let told = story(line(LONGEST_CHUNK_LINE + 1).as_bytes(), Limits::USUAL);
        assert!(told.ends_with("400 closed"), "{told}");
        let open = &line(LONGEST_CHUNK_LINE + 1)[..CHUNKED.len() + LONGEST_CHUNK_LINE];
        let told = story(open.as_bytes(), Limits::USUAL);
        assert!(told.ends_with("400 closed"), "no end of it: {told}");
    }

    #[test]
    fn no_more_fields_than_there_is_room_for() {
        let wide = Limits { fields: usize::MAX, ..Limits::USUAL };
        let head = |fields| format!("GET / HTTP/1.0\r\n{}\r\n", "A: b\r\n".repeat(fields));
        let told = story(head(MOST_FIELDS).as_bytes(), wide);
        assert!(told.ends_with("end. 0 left"), "{told}");
        let one_more = head(MOST_FIELDS + 1);
        assert_eq!(story(one_more.as_bytes(), wide), "431 closed");
        let open = one_more.strip_suffix("\r\n").unwrap();
        assert_eq!(story(open.as_bytes(), wide), "431 closed", "no need to wait for the end");
    }

    /// Were each line searched from its beginning for each byte, this would take hours.
    #[rstest]
    #[case::a_first_line("GET /", "a", " HTTP/1.0\r\n\r\n")]
    #[case::a_field("GET / HTTP/1.0\r\nA: ", "a", "\r\n\r\n")]
    #[case::trailers(
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: ",
        "a",
        "\r\n\r\n"
    )]
    #[case::many_trailers(
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        "A: b\r\n",
        "\r\n"
    )]
    fn what_comes_byte_by_byte_is_searched_once(
        #[case] begin: &str,
        #[case] middle: &str,
        #[case] end: &str,
    ) {
        const LENGTH: usize = 1 << 20;
        let limits = Limits { line: 2 * LENGTH, head: 2 * LENGTH, ..Limits::USUAL };
        let bytes = format!("{begin}{}{end}", middle.repeat(LENGTH / middle.len()));
        let (mut parser, mut taken) = (Parser::new(limits), 0);
        let began = Instant::now();
        for here in 0..=bytes.len() {
            while let Some((_, took)) = parser.next(&bytes.as_bytes()[taken..here]).unwrap() {
                taken += took;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "only {here} of {LENGTH} are read");
        }
        assert!(parser.is_between() && taken == bytes.len());
    }
}

/// Random requests out of parts, of which we know what they mean.
mod random {
    use super::*;

    const REQUESTS: u64 = 3000;
    const MUTATIONS: u64 = 6000;

    fn pick<'a>(random: &mut Rng, among: &[&'a str]) -> &'a str {
        among[random.usize(..among.len())]
    }

    /// A valid request, and what is to be told of it.
    fn request(random: &mut Rng) -> (Vec<u8>, String) {
        let method = pick(random, &["GET", "HEAD", "POST", "PUT", "OPTIONS", "X-Y"]);
        let target =
            pick(random, &["/", "/a/b?c", "http://a/b", "/%00?#"[..4].into(), "HTTP://[::1]:80"]);
        let is_11 = random.bool();
        let version = if is_11 { "HTTP/1.1" } else { "HTTP/1.0" };
        let mut bytes = "\r\n".repeat(random.usize(..3).saturating_sub(1));
        let line = format!("{method} {target} {version}");
        let _ = write!(bytes, "{line}\r\n");
        if is_11 || random.bool() {
            let _ = write!(bytes, "{}\r\n", pick(random, &["Host: a", "host:a:80", "HOST:\ta\t "]));
        }
        for _ in 0..random.usize(..3) {
            let other = ["Accept: */*", "A:", "Content-Type: x", "Content-Lengt: 5", "Hosts: /"];
            let _ = write!(bytes, "{}\r\n", pick(random, &other));
        }
        let mut stays = is_11;
        match random.u8(..4) {
            0 => {
                bytes += "Connection: x, close\r\n";
                stays = false;
            }
            1 => {
                bytes += "Connection: Keep-Alive\r\n";
                stays = true;
            }
            _ => {}
        }
        let body: Vec<u8> = (0..random.usize(..30)).map(|_| random.u8(..)).collect();
        let mut sent = Vec::new();
        let framing = match random.u8(..3) {
            0 => "None".to_owned(),
            1 if is_11 => {
                bytes += "Transfer-Encoding: chunked\r\n";
                chunks(random, &body, &mut sent);
                "Chunked".to_owned()
            }
            _ => {
                let _ = write!(bytes, "Content-Length: {}\r\n", body.len());
                sent.extend_from_slice(&body);
                format!("Length({})", body.len())
            }
        };
        let stays = if stays { "stays" } else { "closes" };
        let told = if sent.is_empty() || body.is_empty() {
            String::new()
        } else {
            format!("; {}", body.escape_ascii())
        };
        let mut bytes = bytes.into_bytes();
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&sent);
        (bytes, format!("{line} {framing} {stays}{told}; end. "))
    }

    /// Encodes a body in chunks of random size, by our own encoder or by hand.
    fn chunks(random: &mut Rng, mut body: &[u8], to: &mut Vec<u8>) {
        let by_hand = random.bool();
        while !body.is_empty() {
            let (piece, rest) = body.split_at(random.usize(1..=body.len()));
            if by_hand {
                let extension = pick(random, &["", ";a", " ;a=\"b\""]);
                let size = format!("{:0width$X}", piece.len(), width = random.usize(..4));
                to.extend_from_slice(format!("{size}{extension}\r\n").as_bytes());
                to.extend_from_slice(piece);
                to.extend_from_slice(b"\r\n");
            } else {
                ch10_http::chunk(to, piece);
            }
            body = rest;
        }
        if by_hand {
            to.extend_from_slice(pick(random, &["0\r\n\r\n", "000;x\r\nA: b\r\n\r\n"]).as_bytes());
        } else {
            ch10_http::last_chunk(to);
        }
    }

    #[test]
    fn requests_are_told_as_they_were_made() {
        for seed in 0..REQUESTS / 10 {
            println!("seed {seed}");
            let mut random = Rng::with_seed(seed);
            let (mut bytes, mut told) = (Vec::new(), String::new());
            for _ in 0..random.usize(1..4) {
                let (request, story) = request(&mut random);
                bytes.extend_from_slice(&request);
                told += &story;
            }
            assert_eq!(story(&bytes, Limits::USUAL), format!("{told}0 left"));
        }
    }

    /// Lines that go together badly, or hardly.
    #[test]
    fn odd_requests_are_told_the_same_in_any_pieces() {
        let parts = [
            "GET / HTTP/1.1\r\n",
            "POST /a HTTP/1.0\r\n",
            "PUT http://a HTTP/1.1\r\n",
            "Host: a\r\n",
            "Host:\r\n",
            "Content-Length: 5\r\n",
            "Content-Length: 2,2\r\n",
            "Content-Length: 99\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Transfer-Encoding: x\r\n",
            "Expect: 100-continue\r\n",
            "Expect: x\r\n",
            "Connection: close\r\n",
            "A: b\r\n",
            " c\r\n",
            "A : b\r\n",
            "A: b\n",
            "A\r",
            "\r\n",
            "\r\n",
            "\r\n",
            "5\r\nhello\r\n",
            "5\r\nhell",
            "0\r\n\r\n",
            "0\r\n",
            "a;b\r\n",
            "hello",
            "HTTP/2.0\r\n",
            "GET",
            " ",
            "\0",
            "\n",
            "\u{e9}",
            "0123456789012345678901234567890123456789",
        ];
        for seed in 0..REQUESTS {
            println!("seed {seed}");
            let mut random = Rng::with_seed(seed);
            let mut bytes = String::new();
            if random.bool() {
                bytes += "POST / HTTP/1.1\r\nHost: a\r\n";
            }
            for _ in 0..random.usize(1..10) {
                bytes += pick(&mut random, &parts);
            }
            property::check(bytes.as_bytes());
        }
    }

    /// What the fuzzer does, without it: bytes of the corpus, changed at random.
    #[test]
    fn the_corpus_changed_at_random() {
        let corpus = corpus::files("chapters/10-http/fuzz/corpus/parse");
        for bytes in &corpus {
            property::check(bytes);
        }
        for seed in 0..MUTATIONS {
            println!("seed {seed}");
            property::check(&corpus::changed(&mut Rng::with_seed(seed), &corpus));
        }
    }
}

mod answers {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use ch10_http::{
        BadField, Date, Delivery, Exchange, Fields, Size, Status, Version, chunk, head, last_chunk,
    };
    use rstest::rstest;

    const PLAIN: Exchange = Exchange { is_head: false, version: Version::Http11, keep_alive: true };
    const HEAD: Exchange = Exchange { is_head: true, ..PLAIN };
    const CLOSES: Exchange = Exchange { keep_alive: false, ..PLAIN };
    const OLD: Exchange = Exchange { version: Version::Http10, ..CLOSES };
    const OLD_STAYS: Exchange = Exchange { version: Version::Http10, ..PLAIN };
    const OLD_HEAD: Exchange = Exchange { is_head: true, ..OLD_STAYS };

    /// A head's lines behind the first one and the date, how the body goes out, and
    /// whether the connection stays.
    #[rstest]
    #[case::a_length(PLAIN, 200, Size::Known(13), "Content-Length: 13", Delivery::Plain, true)]
    #[case::no_bytes(PLAIN, 200, Size::Known(0), "Content-Length: 0", Delivery::Plain, true)]
    #[case::the_largest(
        PLAIN,
        200,
        Size::Known(u64::MAX),
        "Content-Length: 18446744073709551615",
        Delivery::Plain,
        true
    )]
    #[case::chunks(
        PLAIN,
        200,
        Size::Unknown,
        "Transfer-Encoding: chunked",
        Delivery::Chunked,
        true
    )]
    #[case::that_closes(
        CLOSES,
        404,
        Size::Known(5),
        "Content-Length: 5|Connection: close",
        Delivery::Plain,
        false
    )]
    #[case::chunks_that_close(
        CLOSES,
        200,
        Size::Unknown,
        "Transfer-Encoding: chunked|Connection: close",
        Delivery::Chunked,
        false
    )]
    #[case::to_1_0(
        OLD,
        200,
        Size::Known(5),
        "Content-Length: 5|Connection: close",
        Delivery::Plain,
        false
    )]
    #[case::to_1_0_that_stays(
        OLD_STAYS,
        200,
        Size::Known(5),
        "Content-Length: 5|Connection: keep-alive",
        Delivery::Plain,
        true
    )]
    #[case::to_1_0_without_a_length(
        OLD_STAYS,
        200,
        Size::Unknown,
        "Connection: close",
        Delivery::UntilClose,
        false
    )]
    #[case::head(HEAD, 200, Size::Known(13), "Content-Length: 13", Delivery::None, true)]
    #[case::head_without_a_length(HEAD, 200, Size::Unknown, "", Delivery::None, true)]
    #[case::head_of_1_0_without_a_length(
        OLD_HEAD,
        200,
        Size::Unknown,
        "Connection: keep-alive",
        Delivery::None,
        true
    )]
    #[case::head_of_what_isnt_there(
        HEAD,
        404,
        Size::Known(9),
        "Content-Length: 9",
        Delivery::None,
        true
    )]
    #[case::no_content(PLAIN, 204, Size::Known(13), "", Delivery::None, true)]
    #[case::no_content_of_unknown_size(PLAIN, 204, Size::Unknown, "", Delivery::None, true)]
    #[case::not_modified(PLAIN, 304, Size::Known(13), "", Delivery::None, true)]
    #[case::not_modified_of_unknown_size(PLAIN, 304, Size::Unknown, "", Delivery::None, true)]
    #[case::not_modified_to_1_0(
        OLD,
        304,
        Size::Unknown,
        "Connection: close",
        Delivery::None,
        false
    )]
    #[case::not_modified_head(HEAD, 304, Size::Known(13), "", Delivery::None, true)]
    #[case::an_interim_one(PLAIN, 103, Size::Unknown, "", Delivery::None, true)]
    #[case::reset_content(PLAIN, 205, Size::Unknown, "Content-Length: 0", Delivery::None, true)]
    fn heads(
        #[case] exchange: Exchange,
        #[case] code: u16,
        #[case] size: Size,
        #[case] lines: &str,
        #[case] delivery: Delivery,
        #[case] stays: bool,
    ) {
        let (date, status) = (Date::of(UNIX_EPOCH), Status::of(code).unwrap());
        let mut bytes = b"before".to_vec();
        let how = head(&mut bytes, exchange, status, &date, None, &Fields::NONE, size);
        assert_eq!(how, (delivery, stays));
        let text = String::from_utf8(bytes).unwrap();
        let lines: String = lines.split_terminator('|').map(|line| format!("{line}\r\n")).collect();
        let reason = status.reason();
        assert_eq!(
            text,
            format!(
                "beforeHTTP/1.1 {code} {reason}\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n{lines}\r\n"
            )
        );
    }

    #[test]
    fn fields_and_type_stand_in_the_head() {
        let mut fields = Fields::default();
        fields.add("ETag", "\"a\"").unwrap();
        fields.add("X", " \tb\tc \u{e9} ").unwrap();
        let text = with_type("text/plain", &fields);
        assert!(text.contains("\r\nContent-Type: text/plain\r\n"), "{text}");
        assert!(text.contains("\r\nETag: \"a\"\r\nX: b\tc \u{e9}\r\n\r\n"), "{text}");
        assert_eq!((fields.get("etag"), fields.get("x")), (Some("\"a\""), Some("b\tc \u{e9}")));
        assert_eq!((fields.get("y"), fields.is_empty()), (None, false));
        assert!(Fields::NONE.is_empty() && Fields::default().is_empty());
    }

    fn with_type(content_type: &str, fields: &Fields) -> String {
        let mut bytes = Vec::new();
        let date = Date::of(UNIX_EPOCH);
        let size = Size::Known(1);
        head(&mut bytes, PLAIN, Status::OK, &date, Some(content_type), fields, size);
        String::from_utf8(bytes).unwrap()
    }

    /// Each control character by itself, and what they would be used for.
    #[test]
    fn nothing_can_be_smuggled() {
        let controls = (0..0x20_u8).filter(|byte| *byte != b'\t').chain([0x7f]);
        for byte in controls {
            let control = char::from(byte);
            for value in [
                format!("a{control}"),
                format!("{control}a"),
                format!("a{control}Set-Cookie: b"),
                format!("{control}{control}<html>"),
            ] {
                let mut fields = Fields::NONE;
                assert_eq!(fields.add("Location", &value), Err(BadField::Value), "{value:?}");
                assert_eq!(fields.add(&value, "a"), Err(BadField::Name), "{value:?}");
                assert!(fields.is_empty());
                let text = with_type(&value, &fields);
                assert!(
                    !text.contains("Content-Type")
                        && text.ends_with("\r\nContent-Length: 1\r\n\r\n"),
                    "{text}"
                );
            }
        }
        let mut fields = Fields::NONE;
        assert_eq!(fields.add("A", "b\r\nC: d"), Err(BadField::Value));
    }

    #[rstest]
    fn names_that_arent_ours_to_give(
        #[values("", "a b", "a:", "a\tb", "\u{e9}", "a\0", "(a)", "a/b")] name: &str,
    ) {
        assert_eq!(Fields::default().add(name, "x"), Err(BadField::Name));
    }

    #[rstest]
    fn names_that_the_encoder_alone_may_write(
        #[values("Connection", "content-length", "TRANSFER-ENCODING", "Date")] name: &str,
    ) {
        let mut fields = Fields::NONE;
        assert_eq!(fields.add(name, "x"), Err(BadField::Reserved));
        assert!(fields.is_empty());
    }

    #[test]
    fn chunks_are_what_they_should_be() {
        let mut bytes = Vec::new();
        chunk(&mut bytes, b"");
        assert_eq!(bytes, b"", "an empty chunk would be the end");
        chunk(&mut bytes, b"hello");
        chunk(&mut bytes, &[b'a'; 0x1af]);
        last_chunk(&mut bytes);
        let long = "a".repeat(0x1af);
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            format!("5\r\nhello\r\n1af\r\n{long}\r\n0\r\n\r\n")
        );
        for (length, size) in
            [(1, "1"), (9, "9"), (15, "f"), (16, "10"), (255, "ff"), (4096, "1000")]
        {
            let mut bytes = Vec::new();
            chunk(&mut bytes, &vec![b'a'; length]);
            assert!(bytes.starts_with(format!("{size}\r\n").as_bytes()));
        }
    }

    /// RFC 9110's own example, the days around a leap day, and clocks that are wrong.
    #[rstest]
    #[case::the_rfcs(784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT")]
    #[case::the_first(0, "Thu, 01 Jan 1970 00:00:00 GMT")]
    #[case::a_leap_day(1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT")]
    #[case::the_day_after(1_709_251_200, "Fri, 01 Mar 2024 00:00:00 GMT")]
    #[case::the_last(253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT")]
    #[case::one_too_late(253_402_300_800, "Fri, 31 Dec 9999 23:59:59 GMT")]
    #[case::one_that_is_far_too_late(i64::MAX as u64 - 1, "Fri, 31 Dec 9999 23:59:59 GMT")]
    fn dates(#[case] seconds: u64, #[case] text: &str) {
        assert_eq!(Date::of(UNIX_EPOCH + Duration::from_secs(seconds)).as_str(), text);
    }

    #[test]
    fn a_date_before_all_dates_is_the_first() {
        let early = Date::of(UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(early.as_str(), "Thu, 01 Jan 1970 00:00:00 GMT");
        let now = SystemTime::now();
        let read = httpdate::parse_http_date(Date::of(now).as_str()).unwrap();
        assert!(now.duration_since(read).unwrap() < Duration::from_secs(1));
    }

    #[test]
    fn statuses_are_three_digits() {
        for code in [0, 1, 99, 600, 1000, u16::MAX] {
            assert_eq!(Status::of(code), None);
        }
        for code in 100..600 {
            let status = Status::of(code).unwrap();
            assert_eq!(status.code(), code);
            assert!(!status.reason().contains(['\r', '\n']));
        }
        assert_eq!(Status::of(431), Some(Status::HEADERS_TOO_LARGE));
        assert_eq!(Status::of(418).unwrap().reason(), "");
    }

    #[test]
    fn to_go_on_is_an_answer() {
        assert_eq!(ch10_http::CONTINUE, b"HTTP/1.1 100 Continue\r\n\r\n");
    }
}
