//! The checks of 11-range: a part of a file.

use std::io::{Seek, SeekFrom, Write};

use visitors::program::Start;

use super::*;

/// How long the file is, in most checks.
const LENGTH: u64 = 1000;
/// A long one, in bytes.
const LONG: u64 = 64 << 20;
/// One whose length doesn't fit into 32 bits.
const HUGE: u64 = 5 << 30;
/// What stands at the end of these two.
const END: &str = "the end";
/// When it was changed.
const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
/// How much more memory it may take to serve a long file, in bytes.
const PLENTY: u64 = 16 << 20;

/// A file, and the folder that it's in.
struct Film<'a> {
    check: &'a Check,
    path: PathBuf,
    content: Vec<u8>,
    _folder: TempDir,
}

impl<'a> Film<'a> {
    /// Each five bytes of it say where they are.
    #[track_caller]
    fn new(check: &'a Check, length: u64) -> Self {
        let content = (0..length).step_by(5).flat_map(|at| format!("{at:04} ").into_bytes());
        let mut content: Vec<u8> = content.collect();
        content.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        let folder = folder(check);
        let path = folder.path().join("film");
        made(check, fs::write(&path, &content), &path);
        // Not this second: a file that may be changed again in it has no certain date.
        let then = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let file = made(check, File::options().write(true).open(&path), &path);
        made(check, file.set_modified(then), &path);
        Self { check, path, content, _folder: folder }
    }

    /// A long one, which takes no room on the disk but for its end.
    #[track_caller]
    fn long(check: &'a Check, length: u64) -> Self {
        let film = Self::new(check, 0);
        let mut file = made(check, File::create(&film.path), &film.path);
        made(check, file.set_len(length - END.len() as u64), &film.path);
        made(check, file.seek(SeekFrom::End(0)), &film.path);
        made(check, file.write_all(END.as_bytes()), &film.path);
        film
    }

    #[track_caller]
    fn server(&self) -> Server<'a> {
        self.check.server(&[&self.path.display().to_string()])
    }

    /// A server that isn't given the memory for the file: who wants to read all of it mustn't take it
    /// from everybody else.
    #[track_caller]
    fn poor_server(&self) -> Server<'a> {
        let poor = "ulimit -v 2000000 2>/dev/null; exec \"$0\" \"$@\"";
        let start = Start::new("/bin/sh").arg("-c").arg(poor).arg(self.check.program());
        let start = start.arg("127.0.0.1:0").arg(&self.path).env("RUST_BACKTRACE", "0");
        let program = match start.start() {
            Ok(program) => program,
            Err(error) => self.check.fail(format!("a shell can't be started: {error}")),
        };
        match program.listening() {
            Ok(address) => Server { check: self.check, program, address },
            Err(trouble) => self
                .check
                .fail_for("the first line on stdout was to be `listening on ADDRESS`", &trouble),
        }
    }
}

#[track_caller]
fn get(server: &Server<'_>, fields: &str) -> Answer {
    let mut visitor = server.visitor("visitor").connection;
    ask(server, &mut visitor, "GET", "/", fields)
}

#[track_caller]
fn expect_status(server: &Server<'_>, answer: &Answer, status: u16, fields: &str) {
    if answer.status != status {
        let (with, got) = (with(fields), answer.status);
        server.fail_seeing(&format!("{with}, the visitor got {got}, and not {status}"));
    }
}

#[track_caller]
fn expect_field(
    server: &Server<'_>,
    answer: &Answer,
    name: &str,
    value: Option<&str>,
    fields: &str,
) {
    let got = answer.field(name);
    if got != value {
        let say = |value: Option<&str>| match value {
            Some(value) => format!("`{name}: {value}`"),
            None => format!("no {name}"),
        };
        let (status, with) = (answer.status, with(fields));
        let (got, value) = (say(got), say(value));
        server.fail_seeing(&format!(
            "{with}, the visitor's {status} has {got}, and was to have {value}"
        ));
    }
}

#[track_caller]
fn expect_body(server: &Server<'_>, answer: &Answer, body: &[u8], fields: &str) {
    if answer.body != body {
        let (got, body, with) = (shown(&answer.body), shown(body), with(fields));
        server.fail_seeing(&format!("{with}, the visitor got {got}, and not {body}"));
    }
}

/// What each answer has in which there is something of the file, or which is about it.
#[track_caller]
fn has_its_fields(server: &Server<'_>, answer: &Answer, fields: &str) {
    server.check.suspect("fields-are-missing");
    expect_field(server, answer, "Accept-Ranges", Some("bytes"), fields);
    expect_field(server, answer, "Last-Modified", Some(THEN), fields);
    let (tag, status) = (answer.field("ETag").unwrap_or_default(), answer.status);
    if !(tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"')) {
        let with = with(fields);
        server.fail_seeing(&format!("{with}, the visitor's {status} has no ETag"));
    }
}

/// It has to get the whole.
#[track_caller]
fn expect_whole(server: &Server<'_>, film: &Film<'_>, fields: &str) {
    let answer = get(server, fields);
    expect_status(server, &answer, 200, fields);
    expect_field(server, &answer, "Content-Range", None, fields);
    expect_body(server, &answer, &film.content, fields);
    has_its_fields(server, &answer, fields);
}

/// It has to get the part from `first` to `last`, both included.
#[track_caller]
fn expect_part(server: &Server<'_>, film: &Film<'_>, fields: &str, first: u64, last: u64) {
    let answer = get(server, fields);
    expect_status(server, &answer, 206, fields);
    let length = film.content.len();
    let range = format!("bytes {first}-{last}/{length}");
    expect_field(server, &answer, "Content-Range", Some(&range), fields);
    let part = &film.content[first as usize..=last as usize];
    expect_body(server, &answer, part, fields);
    has_its_fields(server, &answer, fields);
}

/// It has to be told that there is no such part.
#[track_caller]
fn expect_nothing(server: &Server<'_>, film: &Film<'_>, fields: &str) {
    let answer = get(server, fields);
    expect_status(server, &answer, 416, fields);
    server.check.suspect("416-without-a-length");
    let range = format!("bytes */{}", film.content.len());
    expect_field(server, &answer, "Content-Range", Some(&range), fields);
}

fn range(word: &str) -> String {
    format!("Range: {word}\r\n")
}

#[rstest]
#[case::a_film(LENGTH)]
#[case::an_empty_file(0)]
fn without_a_range_it_is_the_whole(#[case] length: u64) {
    let check = check!("11-range");
    check.suspect("the-whole-as-a-part");
    let film = Film::new(&check, length);
    let server = film.server();
    expect_whole(&server, &film, "");
}

#[rstest]
#[case::the_whole("", 200)]
#[case::a_part("bytes=5-9", 206)]
fn it_says_what_it_is_and_that_there_are_parts(#[case] word: &str, #[case] status: u16) {
    let check = check!("11-range");
    check.suspect("fields-are-missing");
    let film = Film::new(&check, LENGTH);
    let server = film.server();
    let fields = if word.is_empty() { String::new() } else { range(word) };
    let answer = get(&server, &fields);
    expect_status(&server, &answer, status, &fields);
    has_its_fields(&server, &answer, &fields);
    let mut visitor = server.visitor("visitor").connection;
    let head = ask(&server, &mut visitor, "HEAD", "/", &fields);
    has_its_fields(&server, &head, &fields);
    let (tag, other) = (answer.field("ETag"), head.field("ETag"));
    if tag != other {
        server.fail_seeing(&format!("to GET its ETag is {tag:?}, and to HEAD it's {other:?}"));
    }
}

#[rstest]
#[case::the_first_byte("bytes=0-0", 0, 0)]
#[case::the_beginning("bytes=0-9", 0, 9)]
#[case::in_the_middle("bytes=500-509", 500, 509)]
#[case::two_bytes("bytes=9-10", 9, 10)]
#[case::the_last_byte("bytes=999-999", 999, 999)]
#[case::all_of_it("bytes=0-999", 0, 999)]
#[case::beyond_the_end("bytes=990-1000", 990, 999)]
#[case::far_beyond_the_end("bytes=990-100000", 990, 999)]
#[case::all_but_the_last("bytes=0-998", 0, 998)]
#[case::the_last_two("bytes=998-999", 998, 999)]
#[case::one_beyond_the_end("bytes=999-1000", 999, 999)]
fn from_here_to_there(#[case] word: &str, #[case] first: u64, #[case] last: u64) {
    let check = check!("11-range");
    check.suspect(match word {
        "bytes=990-1000" | "bytes=990-100000" | "bytes=999-1000" => "not-cut-at-the-end",
        _ => "ends-are-included",
    });
    let film = Film::new(&check, LENGTH);
    expect_part(&film.server(), &film, &range(word), first, last);
}

#[rstest]
#[case::in_the_middle("bytes=500-", 500)]
#[case::all_of_it("bytes=0-", 0)]
#[case::the_last_byte("bytes=999-", 999)]
fn from_here_on(#[case] word: &str, #[case] first: u64) {
    let check = check!("11-range");
    check.suspect("to-the-end");
    let film = Film::new(&check, LENGTH);
    expect_part(&film.server(), &film, &range(word), first, LENGTH - 1);
}

#[rstest]
#[case::the_last_byte("bytes=-1", 999)]
#[case::ten_of_them("bytes=-10", 990)]
#[case::all_of_them("bytes=-1000", 0)]
#[case::more_than_there_are("bytes=-1001", 0)]
#[case::all_but_one("bytes=-999", 1)]
#[case::far_more_than_there_are("bytes=-4000000000", 0)]
fn the_last_ones(#[case] word: &str, #[case] first: u64) {
    let check = check!("11-range");
    check.suspect(match word {
        "bytes=-1001" | "bytes=-4000000000" => "more-than-there-are",
        _ => "last-ones-are-misread",
    });
    let film = Film::new(&check, LENGTH);
    expect_part(&film.server(), &film, &range(word), first, LENGTH - 1);
}

#[rstest]
#[case::right_behind_the_end("bytes=1000-", LENGTH)]
#[case::and_on("bytes=1000-1009", LENGTH)]
#[case::far_behind_it("bytes=4000-", LENGTH)]
#[case::the_last_0("bytes=-0", LENGTH)]
#[case::the_last_0_with_zeros("bytes=-000", LENGTH)]
#[case::behind_the_only_byte("bytes=1-", 1)]
#[case::behind_the_only_byte_to_far_away("bytes=1-4000", 1)]
fn what_there_is_none_of(#[case] word: &str, #[case] length: u64) {
    let check = check!("11-range");
    check.suspect("no-such-part-is-416");
    let film = Film::new(&check, length);
    expect_nothing(&film.server(), &film, &range(word));
}

#[rstest]
#[case::from_here_on("bytes=0-")]
#[case::from_here_to_there("bytes=0-0")]
#[case::the_last_ones("bytes=-5")]
#[case::the_last_one("bytes=-1")]
#[case::the_last_0("bytes=-0")]
#[case::behind_its_end("bytes=5-")]
#[case::beyond_all_numbers("bytes=99999999999999999999-")]
fn an_empty_file_has_no_parts(#[case] word: &str) {
    let check = check!("11-range");
    check.suspect("parts-of-an-empty-file");
    let film = Film::new(&check, 0);
    expect_whole(&film.server(), &film, &range(word));
}

#[rstest]
#[case::from_here_to_there("bytes=0-0")]
#[case::from_here_to_far_away("bytes=0-9")]
#[case::from_here_on("bytes=0-")]
#[case::the_last_one("bytes=-1")]
#[case::the_last_two("bytes=-2")]
fn a_file_of_one_byte(#[case] word: &str) {
    let check = check!("11-range");
    check.suspect("ends-are-included");
    let film = Film::new(&check, 1);
    expect_part(&film.server(), &film, &range(word), 0, 0);
}

#[rstest]
#[case::before_both("bytes=0005-0009", 5, 9)]
#[case::many_before_both("bytes=0000000000000000000000000005-0000000000000000000000000009", 5, 9)]
#[case::from_here_on("bytes=000000000000000000000000000990-", 990, 999)]
#[case::the_last_ones("bytes=-0000000000000000000000000010", 990, 999)]
#[case::nothing_but_zeros("bytes=000000000000000000000000-000000000000000000000000", 0, 0)]
#[case::another_number_of_them("bytes=00009-10", 9, 10)]
fn zeros_change_nothing(#[case] word: &str, #[case] first: u64, #[case] last: u64) {
    let check = check!("11-range");
    check.suspect("counts-the-digits-of-a-number");
    let film = Film::new(&check, LENGTH);
    expect_part(&film.server(), &film, &range(word), first, last);
}

#[rstest]
#[case::no_form("bytes")]
#[case::no_numbers("bytes=-")]
#[case::nothing("bytes=")]
#[case::one_number("bytes=5")]
#[case::ends_before_it_begins("bytes=5-4")]
#[case::words("bytes=a-b")]
#[case::a_letter("bytes=0-4x")]
#[case::a_letter_and_on("bytes=4x-")]
#[case::with_a_plus("bytes=+1-2")]
#[case::another_plus("bytes=1-+2")]
#[case::two_minuses("bytes=--5")]
#[case::a_point("bytes=0-4.0")]
#[case::hexadecimal("bytes=0x0-0x4")]
#[case::no_unit("0-4")]
#[case::another_unit("lines=0-4")]
#[case::two_parts("bytes=0-0,5-9")]
#[case::two_parts_and_on("bytes=0-,5-9")]
#[case::ends_before_it_begins_behind_the_end("bytes=2000-1500")]
#[case::in_capitals("BYTES=0-4")]
#[case::in_one_capital("Bytes=0-4")]
#[case::a_blank_behind_the_unit("bytes= 0-4")]
#[case::a_blank_before_the_minus("bytes=0 -4")]
#[case::a_blank_behind_the_minus("bytes=0- 4")]
#[case::a_blank_before_the_sign("bytes =0-4")]
#[case::a_tab("bytes=\t0-4")]
#[case::a_comma_behind("bytes=0-4,")]
#[case::a_comma_before("bytes=,0-4")]
#[case::three_numbers("bytes=0-4-5")]
#[case::two_minuses_between("bytes=0--4")]
#[case::a_semicolon("bytes=0-4;")]
#[case::of_another_script("bytes=\u{663}-\u{664}")]
#[case::two_equal_signs("bytes==0-4")]
#[case::something_before_the_unit("xbytes=0-4")]
#[case::a_colon("bytes:0-4")]
#[case::something_behind("bytes=0-4 x")]
#[case::ends_one_before_it_begins("bytes=10-9")]
#[case::ends_before_it_begins_at_the_end("bytes=1000-999")]
#[case::ends_before_it_begins_with_zeros("bytes=5-0004")]
#[case::three_parts("bytes=0-0,5-5,9-9")]
#[case::two_parts_with_a_blank("bytes=0-4, 5-9")]
#[case::the_last_ones_and_more("bytes=-5,0-0")]
#[case::no_text("bytes=0-4\u{ff}")]
#[case::no_text_alone("\u{ff}")]
#[case::without_a_value("")]
#[case::an_underscore("bytes=1_0-1_9")]
#[case::a_huge_word("bytes=99999999999999999999x-")]
#[case::none("none")]
#[case::ends_far_before_it_begins("bytes=99999999999999999999-5")]
fn what_cannot_be_understood(#[case] word: &str) {
    let check = check!("11-range");
    check.suspect(match word {
        "bytes=+1-2" | "bytes=1-+2" => "rust-parses-a-sign",
        _ if word.contains(',') => "takes-one-of-several-parts",
        _ => "guesses-at-a-range",
    });
    let film = Film::new(&check, LENGTH);
    let server = film.server();
    if get(&server, &range(word)).status == 416 {
        check.suspect("not-understood-is-no-error");
    }
    expect_whole(&server, &film, &range(word));
}

#[rstest]
#[case::to_the_largest_number("bytes=990-18446744073709551615", Some(990))]
#[case::to_one_more("bytes=990-18446744073709551616", Some(990))]
#[case::to_a_huge_one("bytes=990-99999999999999999999999999999999999999999", Some(990))]
#[case::the_last_huge_one("bytes=-99999999999999999999999999999999999999999", Some(0))]
#[case::from_the_largest("bytes=18446744073709551615-", None)]
#[case::from_the_largest_to_it("bytes=18446744073709551615-18446744073709551615", None)]
#[case::from_a_huge_one("bytes=99999999999999999999999999999999999999999-", None)]
fn a_number_beyond_all_numbers(#[case] word: &str, #[case] first: Option<u64>) {
    let check = check!("11-range");
    check.suspect("numbers-beyond-64-bits");
    let film = Film::new(&check, LENGTH);
    let server = film.server();
    match first {
        Some(first) => expect_part(&server, &film, &range(word), first, LENGTH - 1),
        None => expect_nothing(&server, &film, &range(word)),
    }
}

#[test]
fn beyond_four_gigabytes() {
    let check = check!("11-range");
    check.suspect("counts-in-32-bits");
    let film = Film::long(&check, HUGE);
    let server = film.poor_server();
    for word in ["bytes=5368709113-5368709119", "bytes=-7", "bytes=5368709113-"] {
        let fields = range(word);
        let mut visitor = server.visitor("visitor").connection;
        // The head first: of the wrong part there may be gigabytes.
        let head = asks_for_much(&server, &mut visitor, &fields);
        let status = status(head.as_bytes()).unwrap_or_default();
        let answer = Answer { status, head, ..Answer::default() };
        let range = "bytes 5368709113-5368709119/5368709120";
        expect_field(&server, &answer, "Content-Range", Some(range), &fields);
        expect_field(&server, &answer, "Content-Length", Some("7"), &fields);
        let answer = super::answer(&server, &mut visitor, false, &with(&fields));
        expect_body(&server, &answer, END.as_bytes(), &fields);
    }
}

/// It has answered somebody: what it needs for anybody at all, it has.
#[track_caller]
fn is_running_in(server: &Server<'_>) {
    let mut visitor = server.visitor("first visitor").connection;
    ask(server, &mut visitor, "GET", "/nothing", "");
}

/// Asks, and gives the answer's head. All that has come is put back.
#[track_caller]
fn asks_for_much(server: &Server<'_>, visitor: &mut Connection, fields: &str) -> String {
    send(server, visitor, &format!("GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"));
    let (when, name) = (with(fields), visitor.name().to_owned());
    let is_whole = |bytes: &[u8]| head_length(bytes).is_some();
    match visitor.receive_while_missing(&server.program, is_whole) {
        Ok(Ok(bytes)) if status(&bytes).is_some_and(|status| matches!(status, 200 | 206)) => {
            visitor.give_back(&bytes);
            let head = &bytes[..head_length(&bytes).unwrap_or_default()];
            String::from_utf8_lossy(head).into_owned()
        }
        Ok(Ok(bytes) | Err(Received { bytes, .. })) => {
            let so_far = so_far(&bytes);
            server.fail_seeing(&format!("{when}, the {name} got neither 200 nor 206 ({so_far})"))
        }
        Err((trouble, bytes)) => {
            let so_far = so_far(&bytes);
            let expected = format!("{when}, the {name} waits for an answer ({so_far})");
            server.fail_for(&expected, &trouble)
        }
    }
}

/// What If-Range may say.
#[derive(Clone, Copy, Debug)]
enum If {
    TheTag,
    TheDate,
    AWeakTag,
    APartOfTheTag,
    TheTagWithoutQuotes,
    AListWithTheTag,
    TheTagInCapitals,
    MoreThanTheTag,
    TheTagTwice,
    TheTagAndTheDate,
    Is(&'static str),
}

#[rstest]
#[case::the_tag(If::TheTag, true)]
#[case::the_date(If::TheDate, true)]
#[case::another_tag(If::Is("\"another\""), false)]
#[case::a_weak_tag(If::AWeakTag, false)]
#[case::a_part_of_the_tag(If::APartOfTheTag, false)]
#[case::any_tag(If::Is("*"), false)]
#[case::an_earlier_date(If::Is("Sun, 06 Nov 1994 08:49:36 GMT"), false)]
#[case::a_later_date(If::Is("Sun, 06 Nov 1994 08:49:38 GMT"), false)]
#[case::the_tag_without_quotes(If::TheTagWithoutQuotes, false)]
#[case::a_list_with_the_tag(If::AListWithTheTag, false)]
#[case::the_beginning_of_the_date(If::Is("Sun, 06 Nov 1994"), false)]
#[case::the_date_and_more(If::Is("Sun, 06 Nov 1994 08:49:37 GMT+0100"), false)]
#[case::the_date_as_it_was_written_once(If::Is("Sunday, 06-Nov-94 08:49:37 GMT"), false)]
#[case::the_date_as_c_writes_it(If::Is("Sun Nov  6 08:49:37 1994"), false)]
#[case::the_date_in_small_letters(If::Is("sun, 06 nov 1994 08:49:37 gmt"), false)]
#[case::nothing(If::Is(""), false)]
#[case::the_tag_in_capitals(If::TheTagInCapitals, false)]
#[case::more_than_the_tag(If::MoreThanTheTag, false)]
#[case::the_tag_twice(If::TheTagTwice, false)]
#[case::the_tag_and_the_date(If::TheTagAndTheDate, false)]
#[case::no_text(If::Is("\u{ff}"), false)]
#[case::a_word(If::Is("yesterday"), false)]
fn a_part_of_the_same_only(#[case] what: If, #[case] is_same: bool) {
    let check = check!("11-range");
    check.suspect("if-range-not-word-for-word");
    let film = Film::new(&check, LENGTH);
    let server = film.server();
    let answer = get(&server, "");
    expect_status(&server, &answer, 200, "");
    let field = |name| answer.field(name).unwrap_or_default().to_owned();
    let tag = field("ETag");
    let word = match what {
        If::TheTag => tag,
        If::TheDate => field("Last-Modified"),
        If::AWeakTag => format!("W/{tag}"),
        If::APartOfTheTag => format!("{}\"", &tag[..tag.len().saturating_sub(3)]),
        If::TheTagWithoutQuotes => tag.trim_matches('"').to_owned(),
        If::AListWithTheTag => format!("\"another\", {tag}"),
        If::TheTagInCapitals => in_capitals(&tag),
        If::MoreThanTheTag => format!("{tag}x"),
        If::TheTagTwice => format!("{tag}, {tag}"),
        If::TheTagAndTheDate => format!("{tag}, {}", field("Last-Modified")),
        If::Is(word) => word.to_owned(),
    };
    let fields = |word_of_range| format!("If-Range: {word}\r\nRange: {word_of_range}\r\n");
    check.suspect(match what {
        _ if is_same => "if-range-is-never-fulfilled",
        If::Is("\"another\"") => "if-range-is-not-looked-at",
        If::Is("\u{ff}") => "if-range-that-is-no-text",
        If::Is(word) if word.contains("94") => "if-range-compares-dates",
        _ => "if-range-not-word-for-word",
    });
    let status = |word| get(&server, &fields(word)).status;
    if !is_same && status("bytes=500-") == 200 && status("bytes=1000-") == 416 {
        check.suspect("416-though-it-is-another-one");
    }
    match is_same {
        true => {
            expect_part(&server, &film, &fields("bytes=500-"), 500, LENGTH - 1);
            expect_nothing(&server, &film, &fields("bytes=1000-"));
        }
        false => {
            expect_whole(&server, &film, &fields("bytes=500-"));
            expect_whole(&server, &film, &fields("bytes=1000-"));
        }
    }
}

#[rstest]
#[case::a_part("bytes=0-9")]
#[case::no_part("bytes=4000-")]
#[case::the_last_ones("bytes=-5")]
#[case::a_part_of_the_same("bytes=0-9\r\nIf-Range: Sun, 06 Nov 1994 08:49:37 GMT")]
fn head_has_no_parts(#[case] word: &str) {
    let check = check!("11-range");
    check.suspect("head-has-parts");
    let film = Film::new(&check, LENGTH);
    let server = film.server();
    let mut visitor = server.visitor("visitor").connection;
    let fields = range(word);
    let answer = ask(&server, &mut visitor, "HEAD", "/", &fields);
    expect_status(&server, &answer, 200, &fields);
    expect_field(&server, &answer, "Content-Range", None, &fields);
    expect_field(&server, &answer, "Content-Length", Some("1000"), &fields);
    has_its_fields(&server, &answer, &fields);
    let next = ask(&server, &mut visitor, "GET", "/", "");
    expect_body(&server, &next, &film.content, "");
}

#[test]
fn each_has_its_own_answer() {
    let check = check!("11-range");
    check.suspect("the-whole-as-a-part");
    let film = Film::new(&check, LENGTH);
    let server = film.server();
    let mut visitor = server.visitor("visitor").connection;
    let words = ["bytes=0-4", "bytes=1000-", "", "bytes=-5", "bytes=5-4", "bytes=0-4"];
    let expected = [
        (206, &film.content[..5]),
        (416, &[][..]),
        (200, &film.content[..]),
        (206, &film.content[995..]),
        (200, &film.content[..]),
        (206, &film.content[..5]),
    ];
    let fields = words.map(|word| if word.is_empty() { String::new() } else { range(word) });
    let requests = fields.each_ref().map(|fields| request("GET", "/", fields)).concat();
    send(&server, &mut visitor, &requests);
    for (fields, (status, body)) in fields.iter().zip(expected) {
        let when = format!("of six requests on one connection, to the one {}", with(fields));
        let answer = answer(&server, &mut visitor, false, &when);
        expect_status(&server, &answer, status, fields);
        if status != 416 {
            expect_body(&server, &answer, body, fields);
        }
    }
}

#[test]
fn it_is_the_file_of_now() {
    let check = check!("11-range");
    check.suspect("if-range-is-not-looked-at");
    let mut film = Film::new(&check, LENGTH);
    let server = film.server();
    let before = get(&server, "");
    let tag = before.field("ETag").unwrap_or_default().to_owned();
    film.content = b"Another film, and a longer one. ".repeat(50);
    made(&check, fs::write(&film.path, &film.content), &film.path);
    let fields = format!("If-Range: {tag}\r\nRange: bytes=500-\r\n");
    let after = get(&server, &fields);
    expect_status(&server, &after, 200, &fields);
    expect_body(&server, &after, &film.content, &fields);
    let tag = after.field("ETag").unwrap_or_default();
    let fields = format!("If-Range: {tag}\r\nRange: bytes=-5\r\n");
    let part = get(&server, &fields);
    expect_status(&server, &part, 206, &fields);
    let range = Some("bytes 1595-1599/1600");
    expect_field(&server, &part, "Content-Range", range, &fields);
    expect_body(&server, &part, &film.content[1595..], &fields);
}

#[test]
fn a_part_is_read_alone() {
    let check = check!("11-range");
    check.suspect("reads-the-file-into-memory");
    let film = Film::long(&check, LONG);
    let server = film.poor_server();
    is_running_in(&server);
    let before = server.peak();
    for word in ["bytes=-7", "bytes=67108857-"] {
        let fields = range(word);
        let answer = get(&server, &fields);
        expect_status(&server, &answer, 206, &fields);
        expect_body(&server, &answer, END.as_bytes(), &fields);
    }
    server.needs_little_memory(before, PLENTY, "for seven bytes of a file of 64 MiB");
}

#[rstest]
#[case::the_whole("")]
#[case::a_part("Range: bytes=1-\r\n")]
fn who_does_not_read_fills_no_memory(#[case] fields: &str) {
    let check = check!("11-range");
    check.suspect("reads-the-file-into-memory");
    let film = Film::long(&check, LONG);
    let server = film.poor_server();
    is_running_in(&server);
    let before = server.peak();
    let mut greedy = server.visitor("greedy visitor").connection;
    asks_for_much(&server, &mut greedy, fields);
    settle(&server, "with a greedy visitor who doesn't read");
    server.needs_little_memory(before, PLENTY, "with a greedy visitor who doesn't read 64 MiB");
}
