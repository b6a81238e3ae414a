//! The checks of 11-fresh: who has it already isn't sent it again.

use super::*;

const CONTENT: &str = "Good things come to those who wait.\n";
/// As long.
const OTHER: &str = "Those who wait have the best seats.\n";
/// As long as a page may be, in bytes.
const LONG: usize = 1 << 20;

const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const LATER: &str = "Mon, 07 Nov 1994 08:49:38 GMT";
/// An earlier date that looks like a later one: as words, W comes after S.
const LONG_AGO: &str = "Wed, 09 Nov 1988 08:49:37 GMT";

/// A page, and the folder that it's in.
struct Page<'a> {
    check: &'a Check,
    path: PathBuf,
    _folder: TempDir,
}

impl<'a> Page<'a> {
    #[track_caller]
    fn new(check: &'a Check) -> Self {
        let folder = folder(check);
        let page = Self { check, path: folder.path().join("page"), _folder: folder };
        page.write(CONTENT, 0.25);
        page
    }

    /// So many seconds after [`THEN`].
    #[track_caller]
    fn write(&self, content: impl AsRef<[u8]>, later: f64) {
        made(self.check, fs::write(&self.path, content), &self.path);
        let then = UNIX_EPOCH + Duration::from_secs_f64(784_111_777.0 + later);
        let file = made(self.check, File::options().write(true).open(&self.path), &self.path);
        made(self.check, file.set_modified(then), &self.path);
    }

    #[track_caller]
    fn server(&self) -> Server<'a> {
        self.check.server(&[&self.path.display().to_string()])
    }
}

/// A browser on one connection. Whatever it gets, a whole page must come next.
struct Browser<'a> {
    server: &'a Server<'a>,
    connection: Connection,
    /// What the page is, as far as it knows.
    content: Vec<u8>,
    /// The page's tag, with the quotes.
    tag: String,
    /// Behind what the next answer stands: `the head of the answer to …`.
    before: Option<String>,
}

impl<'a> Browser<'a> {
    /// It has got the page.
    #[track_caller]
    fn new(server: &'a Server<'a>) -> Self {
        Self::of(server, CONTENT)
    }

    /// It has got the page, which is this one.
    #[track_caller]
    fn of(server: &'a Server<'a>, content: impl AsRef<[u8]>) -> Self {
        let connection = server.visitor("browser").connection;
        let content = content.as_ref().to_owned();
        let mut browser = Self { server, connection, content, tag: String::new(), before: None };
        let answer = browser.gets_the_page("");
        browser.tag = answer.field("ETag").unwrap_or_default().to_owned();
        let inside = browser.tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        let is_odd = |it: char| matches!(it, '"' | ',' | ' ') || it.is_control();
        if !inside.is_some_and(|tag| !tag.is_empty() && !tag.contains(is_odd)) {
            let tag = answer.field("ETag").map_or("no ETag".to_owned(), |it| format!("`{it}`"));
            server.fail_seeing(&format!(
                "the browser got {tag}: a tag has quotes around it, and none inside, nor commas or blanks"
            ));
        }
        browser
    }

    /// Asks, and gives the answer. What comes in its place belongs to the answer before.
    #[track_caller]
    fn ask(&mut self, method: &str, fields: &str) -> Answer {
        send(self.server, &mut self.connection, &request(method, "/", fields));
        self.takes(method, fields)
    }

    /// The answer to what was asked.
    #[track_caller]
    fn takes(&mut self, method: &str, fields: &str) -> Answer {
        let called = called(method, "/", fields);
        let server = self.server;
        if let Some(before) = &self.before {
            let some = |bytes: &[u8]| bytes.len() >= "HTTP/1.1 ".len() || is_no_answer(bytes);
            // Whatever else may be wrong shows when the answer is taken.
            let come = self.connection.receive_while_missing(&server.program, some);
            let (Ok(Ok(bytes)) | Ok(Err(Received { bytes, .. })) | Err((_, bytes))) = come;
            if is_no_answer(&bytes) {
                server.check.suspect("a-body-behind-a-head-alone");
                let so_far = so_far(&bytes);
                server.fail_seeing(&format!(
                    "behind {before}, the browser got what belongs to no answer ({so_far})"
                ));
            }
            self.connection.give_back(&bytes);
        }
        let is_head = method == "HEAD";
        let answer = answer(server, &mut self.connection, is_head, &format!("after {called}"));
        let what = match answer.status {
            304 => "the head of the answer",
            _ if is_head => "the head of the answer",
            _ => "the answer",
        };
        self.before = Some(format!("{what} to {called}"));
        answer
    }

    #[track_caller]
    fn expect(&mut self, method: &str, fields: &str, status: u16) -> Answer {
        let answer = self.ask(method, fields);
        if answer.status != status {
            let (with, got) = (with(fields), answer.status);
            self.server.fail_seeing(&format!(
                "{with}, the browser's {method} was answered with {got}, and not {status}"
            ));
        }
        self.has_its_fields(&answer, fields);
        answer
    }

    /// Each answer has its fields, each once; and a 304 says nothing of a length.
    #[track_caller]
    fn has_its_fields(&self, answer: &Answer, fields: &str) {
        let status = answer.status;
        let needed: &[&str] = match status {
            200 => &["ETag", "Last-Modified", "Content-Length"],
            304 => &["ETag"],
            _ => &["Content-Length"],
        };
        if let Some(name) = needed.iter().find(|name| answer.times(name) == 0) {
            let with = with(fields);
            self.server.check.suspect(match (status, *name) {
                (304, _) => "answers-304-wrongly",
                (_, "Content-Length") => "no-length",
                _ => "no-tag-or-no-date",
            });
            self.server.fail_seeing(&format!("{with}, the browser's {status} has no {name}"));
        }
        for name in ["ETag", "Last-Modified", "Content-Length"] {
            let times = answer.times(name);
            if times > 1 {
                self.server.check.suspect("a-field-twice");
                self.server.fail_seeing(&format!(
                    "{}, the browser's {status} has {times} lines of {name}",
                    with(fields)
                ));
            }
        }
        let says_a_length = ["Content-Length", "Transfer-Encoding"];
        let says = says_a_length.iter().find(|name| answer.field(name).is_some());
        if let Some(name) = says.filter(|_| status == 304) {
            self.server.check.suspect("304-speaks-of-a-length");
            let value = answer.field(name).unwrap_or_default();
            self.server.fail_seeing(&format!(
                "{}, the browser's 304 says `{name}: {value}`, and was to say nothing of a length",
                with(fields)
            ));
        }
    }

    #[track_caller]
    fn gets_the_page(&mut self, fields: &str) -> Answer {
        let answer = self.expect("GET", fields, 200);
        if answer.body != self.content {
            let (got, with) = (shown(&answer.body), with(fields));
            self.server.fail_seeing(&format!("{with}, the browser got {got}, and not the page"));
        }
        answer
    }

    /// What it asks like this is answered with 304. `{tag}` in `fields` is the page's tag.
    #[track_caller]
    fn has_it(&mut self, fields: &str) {
        let fields = self.filled(fields);
        let answer = self.expect("GET", &fields, 304);
        if answer.field("ETag") != Some(&self.tag) {
            let (got, tag) = (answer.field("ETag").unwrap_or("none"), &self.tag);
            let with = with(&fields);
            self.server.fail_seeing(&format!(
                "{with}, the browser's 304 has the ETag {got}, and not {tag}"
            ));
        }
        self.gets_the_page("");
    }

    /// 200.
    #[track_caller]
    fn has_not(&mut self, fields: &str) {
        let fields = self.filled(fields);
        self.gets_the_page(&fields);
    }

    /// 412.
    #[track_caller]
    fn is_wrong(&mut self, fields: &str) {
        let fields = self.filled(fields);
        self.expect("GET", &fields, 412);
        self.gets_the_page("");
    }

    fn filled(&self, fields: &str) -> String {
        let inside = self.tag.trim_matches('"');
        let fields = fields.replace("{tag}", &self.tag).replace("{inside}", inside);
        fields.replace("{INSIDE}", &in_capitals(inside)) + "\r\n"
    }
}

#[test]
fn the_page_comes_with_a_tag_and_a_date() {
    let check = check!("11-fresh");
    check.suspect("no-tag-or-no-date");
    let page = Page::new(&check);
    let server = page.server();
    let mut browser = Browser::new(&server);
    let answer = browser.gets_the_page("");
    let modified = answer.field("Last-Modified").map(str::to_owned);
    if modified.as_deref() != Some(THEN) {
        let got = modified.map_or("no Last-Modified".to_owned(), |it| format!("`{it}`"));
        server.fail_seeing(&format!("the browser got {got}, and the file is of {THEN}"));
    }
}

#[test]
fn head_is_the_head_alone() {
    let check = check!("11-fresh");
    check.suspect("a-body-behind-a-head-alone");
    let page = Page::new(&check);
    let server = page.server();
    let mut browser = Browser::new(&server);
    let get = browser.gets_the_page("");
    let head = browser.expect("HEAD", "", 200);
    for name in ["Content-Length", "ETag", "Last-Modified"] {
        let (got, expected) = (head.field(name), get.field(name));
        if got != expected {
            let say = |value: Option<&str>| value.unwrap_or("nothing").to_owned();
            let (got, expected) = (say(got), say(expected));
            server.fail_seeing(&format!("to HEAD, {name} is {got}, and to GET it's {expected}"));
        }
    }
    browser.gets_the_page("");
}

#[test]
fn who_has_it_is_told_so() {
    let check = check!("11-fresh");
    check.suspect("answers-304-wrongly");
    let page = Page::new(&check);
    let server = page.server();
    let mut browser = Browser::new(&server);
    let tag = browser.tag.clone();
    browser.expect("GET", &format!("If-None-Match: {tag}\r\n"), 304);
    browser.gets_the_page("");
    browser.has_it("If-None-Match: {tag}");
}

#[rstest]
#[case::get_behind_head(&[("HEAD", "", 200), ("GET", "", 200)])]
#[case::head_behind_get(&[("GET", "", 200), ("HEAD", "", 200)])]
#[case::with_who_has_it_between(
    &[("HEAD", "", 200), ("GET", "If-None-Match: {tag}", 304), ("GET", "", 200)]
)]
#[case::with_who_is_wrong_between(
    &[("GET", "", 200), ("GET", "If-Match: \"another\"", 412), ("HEAD", "", 200)]
)]
fn each_in_one_piece_has_its_answer(#[case] asked: &[(&str, &str, u16)]) {
    let check = check!("11-fresh");
    check.suspect("clears-what-is-there");
    let page = Page::new(&check);
    let server = page.server();
    let mut browser = Browser::new(&server);
    let filled = |fields: &str| match fields {
        "" => String::new(),
        fields => browser.filled(fields),
    };
    let asked: Vec<_> =
        asked.iter().map(|(method, fields, status)| (*method, filled(fields), *status)).collect();
    let requests: String =
        asked.iter().map(|(method, fields, _)| request(method, "/", fields)).collect();
    let names: Vec<_> =
        asked.iter().map(|(method, fields, _)| called(method, "/", fields)).collect();
    let (count, names) = (asked.len(), names.join(", "));
    send(&server, &mut browser.connection, &requests);
    // No page has such words in it.
    let answers = |bytes: &[u8]| bytes.windows(9).filter(|some| some == b"HTTP/1.1 ").count();
    let come =
        browser.connection.receive_while_missing(&server.program, |bytes| answers(bytes) == count);
    let bytes = match come {
        Ok(Ok(bytes)) => bytes,
        Err((trouble @ Trouble::Ended { .. }, _)) => server.fail_for(&names, &trouble),
        Ok(Err(Received { bytes, .. })) | Err((_, bytes)) => {
            let got = match answers(&bytes) {
                1 => "1 answer".to_owned(),
                got => format!("{got} answers"),
            };
            server.fail_seeing(&format!(
                "{count} requests came in one piece ({names}), and the browser got {got} in all ({})",
                so_far(&bytes)
            ))
        }
    };
    browser.connection.give_back(&bytes);
    for (method, fields, status) in &asked {
        let answer = browser.takes(method, fields);
        if answer.status != *status {
            let (got, called) = (answer.status, called(method, "/", fields));
            server.fail_seeing(&format!(
                "{count} requests came in one piece ({names}), and {called} was answered with {got}"
            ));
        }
    }
    browser.gets_the_page("");
}

#[rstest]
#[case::the_first("If-None-Match: {tag}, \"another\"")]
#[case::the_last("If-None-Match: \"one\", \"another\", {tag}")]
#[case::without_blanks("If-None-Match: \"one\",{tag},\"another\"")]
#[case::with_many_blanks("If-None-Match: \"one\"  ,\t {tag}  ")]
#[case::a_weak_one("If-None-Match: W/{tag}")]
#[case::a_weak_one_in_a_list("If-None-Match: \"one\", W/{tag}")]
#[case::behind_a_comma("If-None-Match: \"one,two\", {tag}")]
#[case::any("If-None-Match: *")]
#[case::twice_the_same("If-None-Match: {tag}, {tag}")]
#[case::between_others("If-None-Match: \"one\", {tag}, \"two\"")]
#[case::behind_empty_places("If-None-Match: , ,{tag}")]
#[case::behind_what_is_no_text("If-None-Match: \"\u{ff}\", {tag}")]
#[case::any_with_blanks_around_it("If-None-Match:   *  ")]
#[case::behind_many(&format!("If-None-Match: {}{{tag}}", "\"another\", ".repeat(100)))]
#[case::with_tabs_around_it("If-None-Match:\t{tag}\t,\"one\"")]
fn one_of_its_tags_is_enough(#[case] fields: &str) {
    let check = check!("11-fresh");
    check.suspect(match fields {
        "If-None-Match: *" | "If-None-Match:   *  " => "knows-no-star",
        _ if fields.contains("W/") => "weak-tags-are-misread",
        _ if fields.contains('\t') || fields.contains(",{") || fields.contains("  ") => {
            "blanks-in-a-list"
        }
        _ => "takes-a-list-for-one-tag",
    });
    let page = Page::new(&check);
    let server = page.server();
    let mut browser = Browser::new(&server);
    let without = fields.replace(", ", ",");
    if without != fields && browser.ask("GET", &browser.filled(&without)).status == 304 {
        check.suspect("blanks-in-a-list");
    }
    browser.has_it(fields);
}

#[rstest]
#[case::another("If-None-Match: \"another\"")]
#[case::two_others("If-None-Match: \"one\", W/\"another\"")]
#[case::a_longer_one("If-None-Match: \"x{inside}\"")]
#[case::another_longer_one("If-None-Match: \"{inside}x\"")]
#[case::without_quotes("If-None-Match: {inside}")]
#[case::a_star_in_quotes("If-None-Match: \"*\"")]
#[case::nothing("If-None-Match:")]
#[case::a_star_in_a_list("If-None-Match: \"one\", *")]
#[case::a_weak_one_in_a_small_letter("If-None-Match: w/{tag}")]
#[case::an_empty_one("If-None-Match: \"\"")]
#[case::no_text("If-None-Match: \"\u{ff}\"")]
#[case::in_capitals("If-None-Match: \"{INSIDE}\"")]
#[case::half_of_its_quotes("If-None-Match: {inside}\"")]
#[case::in_other_quotes("If-None-Match: '{inside}'")]
#[case::two_stars("If-None-Match: *, *")]
#[case::a_blank_behind_the_w("If-None-Match: W/ {tag}")]
#[case::twice_weak("If-None-Match: W/W/{tag}")]
#[case::its_beginning("If-None-Match: \"{inside}")]
#[case::without_a_comma("If-None-Match: \"one\" {tag}")]
#[case::a_semicolon("If-None-Match: \"one\"; {tag}")]
#[case::a_weak_star("If-None-Match: W/*")]
fn another_tag_is_none_of_it(#[case] fields: &str) {
    let check = check!("11-fresh");
    check.suspect(match fields {
        _ if fields.contains('*') => "a-star-that-is-not-alone",
        _ if fields.contains("/ {") || fields.contains("W/W") || fields.contains("w/") => {
            "weak-tags-are-misread"
        }
        _ if fields.contains("\" {") || fields.contains(';') => "guesses-at-a-list",
        _ if !fields.to_lowercase().contains("{inside}") => "a-field-is-enough",
        _ => "a-part-of-a-tag-will-do",
    });
    let page = Page::new(&check);
    let server = page.server();
    Browser::new(&server).has_not(fields);
}

#[rstest]
#[case::it_has_the_second("If-None-Match: \"one\"\r\nIf-None-Match: {tag}", 304)]
#[case::it_has_the_first("If-None-Match: {tag}\r\nIf-None-Match: \"one\"", 304)]
#[case::it_is_the_second("If-Match: \"one\"\r\nIf-Match: {tag}", 200)]
#[case::it_is_the_first("If-Match: {tag}\r\nIf-Match: \"one\"", 200)]
#[case::with_another_field_between(
    "If-None-Match: \"one\"\r\nAccept: */*\r\nif-none-match: {tag}",
    304
)]
#[case::it_has_neither("If-None-Match: \"one\"\r\nIf-None-Match: \"another\"", 200)]
#[case::it_is_neither("If-Match: \"one\"\r\nIf-Match: W/{tag}", 412)]
#[case::it_has_the_one_between(
    "If-None-Match: \"one\"\r\nIf-None-Match: {tag}\r\nIf-None-Match: \"two\"",
    304
)]
#[case::a_star_beside_another_line("If-None-Match: *\r\nIf-None-Match: \"one\"", 200)]
#[case::a_star_in_the_last_line("If-Match: \"one\"\r\nIf-Match: *", 412)]
#[case::behind_an_empty_line("If-None-Match:\r\nIf-None-Match: {tag}", 304)]
#[case::behind_a_line_that_is_no_text("If-None-Match: \"\u{ff}\"\r\nIf-None-Match: {tag}", 304)]
#[case::it_has_the_last_of_the_second(
    "If-None-Match: \"one\", \"two\"\r\nIf-None-Match: \"three\", {tag}",
    304
)]
fn lines_of_one_name_are_one_list(#[case] fields: &str, #[case] status: u16) {
    let check = check!("11-fresh");
    check.suspect(match fields {
        _ if fields.contains('*') && !fields.contains("*/*") => "a-star-that-is-not-alone",
        _ if fields.contains("if-none-match") => "names-letter-by-letter",
        _ => "looks-at-one-line-of-a-list",
    });
    let page = Page::new(&check);
    let server = page.server();
    let mut browser = Browser::new(&server);
    match status {
        200 => browser.has_not(fields),
        304 => browser.has_it(fields),
        _ => browser.is_wrong(fields),
    }
}

#[rstest]
#[case::has_nothing("If-None-Match:\r\nIf-Modified-Since: LATER", 200)]
#[case::has_nothing_behind_commas("If-None-Match: , ,\r\nIf-Modified-Since: LATER", 200)]
#[case::is_nothing("If-Match:", 412)]
#[case::is_nothing_and_unmodified("If-Match:\r\nIf-Unmodified-Since: LATER", 412)]
#[case::is_nothing_behind_a_comma("If-Match: ,\r\nIf-Unmodified-Since: LATER", 412)]
#[case::is_no_tag("If-Match: nonsense\r\nIf-Unmodified-Since: LATER", 412)]
#[case::has_no_tag("If-None-Match: nonsense\r\nIf-Modified-Since: LATER", 200)]
#[case::has_no_text("If-None-Match: \u{ff}\r\nIf-Modified-Since: LATER", 200)]
fn an_empty_list_is_one(#[case] fields: &str, #[case] status: u16) {
    let check = check!("11-fresh");
    check.suspect("an-empty-list-is-none");
    let page = Page::new(&check);
    let server = page.server();
    let mut browser = Browser::new(&server);
    let fields = fields.replace("LATER", LATER);
    match status {
        200 => browser.has_not(&fields),
        _ => browser.is_wrong(&fields),
    }
}

#[test]
fn an_empty_page_is_one() {
    let check = check!("11-fresh");
    check.suspect("an-empty-page-is-none");
    let page = Page::new(&check);
    page.write("", 0.25);
    let server = page.server();
    let mut browser = Browser::of(&server, "");
    browser.has_it("If-None-Match: {tag}");
    browser.has_it("If-None-Match: *");
    browser.has_not("If-None-Match: \"another\"");
    browser.is_wrong("If-Match: \"another\"");
    browser.expect("HEAD", "", 200);
    browser.gets_the_page("");
}

#[test]
fn a_page_is_bytes() {
    let check = check!("11-fresh");
    check.suspect("makes-text-of-a-page");
    let page = Page::new(&check);
    let content: Vec<u8> = (0..=u8::MAX).rev().collect();
    page.write(&content, 0.25);
    let server = page.server();
    let mut browser = Browser::of(&server, &content);
    let length = browser.expect("HEAD", "", 200).field("Content-Length").map(str::to_owned);
    if length.as_deref() != Some("256") {
        let got = length.unwrap_or_default();
        server.fail_seeing(&format!("of a page of 256 bytes, HEAD's Content-Length is {got}"));
    }
    browser.has_it("If-None-Match: {tag}");
}

#[rstest]
#[case::just_on_the_second(0.0)]
#[case::half_a_second_later(0.5)]
#[case::nearly_a_second_later(0.999)]
fn a_second_is_whole(#[case] later: f64) {
    let check = check!("11-fresh");
    check.suspect("dates-not-in-whole-seconds");
    let page = Page::new(&check);
    page.write(CONTENT, later);
    let server = page.server();
    let mut browser = Browser::new(&server);
    let says = browser.gets_the_page("").field("Last-Modified").map(str::to_owned);
    if says.as_deref() != Some(THEN) {
        let got = says.unwrap_or_default();
        server.fail_seeing(&format!(
            "the file is {later} s younger than {THEN}, and its Last-Modified is {got}"
        ));
    }
    browser.has_it(&format!("If-Modified-Since: {THEN}"));
    browser.has_not(&format!("If-Modified-Since: {EARLIER}"));
    browser.has_not(&format!("If-Unmodified-Since: {THEN}"));
    browser.is_wrong(&format!("If-Unmodified-Since: {EARLIER}"));
}

#[rstest]
#[case::the_same(THEN, true)]
#[case::later(LATER, true)]
#[case::earlier(EARLIER, false)]
#[case::long_ago(LONG_AGO, false)]
#[case::as_it_was_written_once("Sunday, 06-Nov-94 08:49:37 GMT", true)]
#[case::as_c_writes_it("Sun Nov  6 08:49:37 1994", true)]
#[case::a_word("yesterday", false)]
#[case::nothing("", false)]
#[case::far_in_the_future("Sat, 06 Nov 2094 08:49:37 GMT", true)]
#[case::a_second_later("Sun, 06 Nov 1994 08:49:38 GMT", true)]
#[case::earlier_as_it_was_written_once("Sunday, 06-Nov-94 08:49:36 GMT", false)]
#[case::earlier_as_c_writes_it("Sun Nov  6 08:49:36 1994", false)]
#[case::the_date_without_a_zone("Sun, 06 Nov 1994 08:49:37", false)]
#[case::a_number("784111777", false)]
#[case::in_another_zone("Mon, 07 Nov 1994 08:49:37 +0100", false)]
fn not_modified_since(#[case] date: &str, #[case] has_it: bool) {
    let check = check!("11-fresh");
    check.suspect(match date {
        "yesterday" | "" | "784111777" | "784111776" => "no-date-counts",
        _ if date.contains("2094") => "future-dates-do-not-count",
        _ if date.contains("day,") || !date.contains(',') || date.contains("1988") => {
            "dates-as-words"
        }
        _ => "dates-the-other-way-round",
    });
    let page = Page::new(&check);
    let server = page.server();
    let mut browser = Browser::new(&server);
    let field = format!("If-Modified-Since: {date}");
    match has_it {
        true => browser.has_it(&field),
        false => browser.has_not(&field),
    }
}

#[rstest]
#[case::another_tag("\"another\"", LATER, false)]
#[case::the_tag("{tag}", EARLIER, true)]
#[case::a_weak_tag("W/{tag}", EARLIER, true)]
#[case::any("*", EARLIER, true)]
#[case::two_others("\"one\", \"two\"", THEN, false)]
fn a_tag_counts_more_than_a_date(#[case] tag: &str, #[case] date: &str, #[case] has_it: bool) {
    let check = check!("11-fresh");
    check.suspect("looks-at-the-date-beside-tags");
    let page = Page::new(&check);
    let server = page.server();
    let mut browser = Browser::new(&server);
    let fields = format!("If-None-Match: {tag}\r\nIf-Modified-Since: {date}");
    match has_it {
        true => browser.has_it(&fields),
        false => browser.has_not(&fields),
    }
}

#[rstest]
#[case::it("{tag}", true)]
#[case::one_of_a_list("\"one\", {tag}", true)]
#[case::any("*", true)]
#[case::another("\"another\"", false)]
#[case::a_weak_one("W/{tag}", false)]
#[case::a_weak_one_in_a_list("\"one\", W/{tag}", false)]
#[case::without_quotes("{inside}", false)]
#[case::behind_a_weak_one("W/\"another\", {tag}", true)]
#[case::a_star_in_a_list("\"one\", *", false)]
#[case::a_longer_one("\"{inside}x\"", false)]
#[case::with_tabs("\"one\"\t,\t{tag}", true)]
#[case::two_weak_ones("W/{tag}, W/{tag}", false)]
#[case::weak_and_strong("W/{tag}, {tag}", true)]
#[case::a_star_in_quotes("\"*\"", false)]
#[case::behind_what_is_no_text("\"\u{ff}\", {tag}", true)]
#[case::a_weak_one_in_a_small_letter("w/{tag}", false)]
#[case::a_weak_star("W/*", false)]
fn only_if_it_is_that_one(#[case] tags: &str, #[case] is_that_one: bool) {
    let check = check!("11-fresh");
    check.suspect(match tags {
        _ if tags.contains('*') && tags != "*" => "a-star-that-is-not-alone",
        _ if tags.contains("W/") || tags.contains("w/") => "weak-tags-for-if-match",
        _ if is_that_one => "412-the-other-way-round",
        _ => "if-match-is-not-looked-at",
    });
    let page = Page::new(&check);
    let server = page.server();
    let mut browser = Browser::new(&server);
    let field = format!("If-Match: {tags}");
    match is_that_one {
        true => browser.has_not(&field),
        false => browser.is_wrong(&field),
    }
}

#[rstest]
#[case::the_same(THEN, true)]
#[case::later(LATER, true)]
#[case::earlier(EARLIER, false)]
#[case::long_ago(LONG_AGO, false)]
#[case::a_word("yesterday", true)]
#[case::as_it_was_written_once("Sunday, 06-Nov-94 08:49:37 GMT", true)]
#[case::earlier_as_it_was_written_once("Sunday, 06-Nov-94 08:49:36 GMT", false)]
#[case::as_c_writes_it("Sun Nov  6 08:49:37 1994", true)]
#[case::earlier_as_c_writes_it("Sun Nov  6 08:49:36 1994", false)]
#[case::nothing("", true)]
#[case::a_number("784111776", true)]
#[case::far_in_the_future("Sat, 06 Nov 2094 08:49:37 GMT", true)]
fn only_if_it_is_unmodified(#[case] date: &str, #[case] is_unmodified: bool) {
    let check = check!("11-fresh");
    check.suspect(match date {
        "yesterday" | "" | "784111777" | "784111776" => "no-date-counts",
        _ if date.contains("2094") => "future-dates-do-not-count",
        _ if date.contains("day,") || !date.contains(',') || date.contains("1988") => {
            "dates-as-words"
        }
        EARLIER => "if-unmodified-since-is-not-looked-at",
        _ => "dates-the-other-way-round",
    });
    let page = Page::new(&check);
    let server = page.server();
    let mut browser = Browser::new(&server);
    let field = format!("If-Unmodified-Since: {date}");
    match is_unmodified {
        true => browser.has_not(&field),
        false => browser.is_wrong(&field),
    }
}

#[rstest]
#[case::that_one_and_modified("If-Match: {tag}\r\nIf-Unmodified-Since: EARLIER", 200)]
#[case::another_and_unmodified("If-Match: \"another\"\r\nIf-Unmodified-Since: LATER", 412)]
#[case::another_one_that_it_has("If-Match: \"another\"\r\nIf-None-Match: {tag}", 412)]
#[case::that_one_and_it_has_it("If-Match: {tag}\r\nIf-None-Match: {tag}", 304)]
#[case::modified_and_it_has_it("If-Unmodified-Since: EARLIER\r\nIf-None-Match: {tag}", 412)]
#[case::that_one_by_its_date("If-Match: {tag}\r\nIf-Modified-Since: LATER", 304)]
#[case::unmodified_both_ways("If-Unmodified-Since: LATER\r\nIf-Modified-Since: LATER", 304)]
#[case::any_and_it_has_it("If-Match: *\r\nIf-None-Match: *", 304)]
#[case::another_and_all_else(
    "If-Match: \"another\"\r\nIf-Unmodified-Since: LATER\r\nIf-None-Match: {tag}\r\nIf-Modified-Since: LATER",
    412
)]
#[case::that_one_and_all_else(
    "If-Modified-Since: LATER\r\nIf-None-Match: \"another\"\r\nIf-Unmodified-Since: EARLIER\r\nIf-Match: {tag}",
    200
)]
#[case::modified_and_not_the_newest(
    "If-Unmodified-Since: EARLIER\r\nIf-Modified-Since: LATER",
    412
)]
#[case::unmodified_and_another("If-Unmodified-Since: LATER\r\nIf-None-Match: \"another\"", 200)]
#[case::no_date_and_it_has_it("If-Unmodified-Since: yesterday\r\nIf-Modified-Since: LATER", 304)]
fn first_whether_it_is_that_one(#[case] fields: &str, #[case] status: u16) {
    let check = check!("11-fresh");
    check.suspect(match fields {
        _ if fields.starts_with("If-Match: {tag}\r\nIf-U") => "looks-at-the-date-beside-tags",
        _ => "questions-in-another-order",
    });
    let page = Page::new(&check);
    let server = page.server();
    let mut browser = Browser::new(&server);
    let fields = fields.replace("EARLIER", EARLIER).replace("LATER", LATER);
    match status {
        200 => browser.has_not(&fields),
        304 => browser.has_it(&fields),
        _ => browser.is_wrong(&fields),
    }
}

#[rstest]
#[case::who_has_it("If-None-Match: {tag}", 304)]
#[case::who_has_it_by_its_date("If-Modified-Since: LATER", 304)]
#[case::who_is_wrong("If-Match: \"another\"", 412)]
#[case::who_has_not("If-None-Match: \"another\"", 200)]
#[case::who_asks_nothing("", 200)]
#[case::who_is_late("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT", 412)]
fn head_is_answered_like_get(#[case] fields: &str, #[case] status: u16) {
    let check = check!("11-fresh");
    check.suspect("head-is-answered-otherwise");
    let page = Page::new(&check);
    let server = page.server();
    let mut browser = Browser::new(&server);
    let fields = match fields {
        "" => String::new(),
        fields => browser.filled(&fields.replace("LATER", LATER)),
    };
    let get = browser.expect("GET", &fields, status);
    let head = browser.expect("HEAD", &fields, status);
    let lines = |answer: &Answer| {
        let lines = answer.head.lines().filter(|line| !line.starts_with("Date:"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let (get, head) = (lines(&get), lines(&head));
    if get != head {
        let differ = |some: &[String], others: &[String]| {
            let only = some.iter().find(|line| !others.contains(line));
            only.map_or("nothing more".to_owned(), |line| format!("`{line}`"))
        };
        server.fail_seeing(&format!(
            "{}, HEAD's {status} has {}, and GET's has {}",
            with(&fields),
            differ(&head, &get),
            differ(&get, &head)
        ));
    }
    browser.gets_the_page("");
}

#[rstest]
#[case::which_is_longer("Good things come to those who wait, and wait, and wait.\n", 0.25, 0)]
#[case::of_the_same_length(OTHER, 0.75, 0)]
#[case::in_its_last_letter("Good things come to those who wait!\n", 0.75, 0)]
#[case::at_the_same_moment(OTHER, 0.25, 0)]
#[case::of_two_letters_that_change_places("Good thigns come to those who wait.\n", 0.25, 0)]
#[case::at_the_end_of_a_long_page("Good things come to those who wait!\n", 0.25, LONG - CONTENT.len())]
#[case::in_the_case_of_a_letter("Good things come to Those who wait.\n", 0.25, 0)]
#[case::in_its_first_letter("good things come to those who wait.\n", 0.25, 0)]
#[case::in_a_blank_at_its_end("Good things come to those who wait. \n", 0.25, 0)]
#[case::in_its_line_end("Good things come to those who wait.\r\n", 0.25, 0)]
#[case::in_a_line_end_at_its_end("Good things come to those who wait.\n\n", 0.25, 0)]
#[case::in_a_nul_at_its_end("Good things come to those who wait.\n\0", 0.25, 0)]
#[case::to_nothing("", 0.25, 0)]
#[case::of_words_that_change_places("those things come to Good who wait.\n", 0.25, 0)]
#[case::at_the_end_of_a_page_of_4_kilobytes("Good things come to those who wait!\n", 0.25, 4096 - CONTENT.len())]
fn a_change_is_seen(#[case] content: &str, #[case] later: f64, #[case] before: usize) {
    sees_a_change(CONTENT, content, later, before);
}

#[rstest]
#[case::in_what_is_no_text("caf\u{e8}\n", "caf\u{e9}\n")]
#[case::in_how_much_is_no_text("\u{ff}\u{ff}\u{fe}", "\u{fe}\u{ff}\u{ff}")]
#[case::behind_what_is_no_text("\u{ff} one", "\u{ff} two")]
#[case::behind_a_nul("a\0b", "a\0c")]
fn a_change_of_bytes_is_seen(#[case] old: &str, #[case] new: &str) {
    sees_a_change(old, new, 0.25, 0);
}

/// The page is changed: so many `-` stand before what differs.
#[track_caller]
fn sees_a_change(old: &str, new: &str, later: f64, before: usize) {
    let check = check!("11-fresh");
    check.suspect(match new {
        _ if new == OTHER || new.contains("and wait") => "tag-of-length-or-date",
        _ if !old.is_ascii() => "makes-text-of-a-page",
        _ => "tag-of-a-part-of-the-content",
    });
    let page = Page::new(&check);
    let [old, content] = [old, new].map(|content| [vec![b'-'; before], bytes(content)].concat());
    page.write(&old, 0.25);
    let server = page.server();
    let mut browser = Browser::of(&server, &old);
    page.write(&content, later);
    browser.content.clone_from(&content);
    let (from, to) = (shown(&old), shown(&content));
    let what = format!("the page was changed, from {from} to {to}");
    let fields = browser.filled("If-None-Match: {tag}");
    let answer = browser.ask("GET", &fields);
    if answer.status != 200 || answer.body != content {
        let (status, tag) = (answer.status, &browser.tag);
        server.fail_seeing(&format!(
            "{what}, and who has the one before, {tag}, was answered with {status}"
        ));
    }
    if answer.field("ETag") == Some(&browser.tag) {
        let tag = &browser.tag;
        server.fail_seeing(&format!("{what}, and its tag is {tag} as before"));
    }
    let (old, fields) = (browser.tag.clone(), browser.filled("If-Match: {tag}"));
    browser.tag = answer.field("ETag").unwrap_or_default().to_owned();
    let answer = browser.expect("GET", &fields, 412);
    if answer.field("ETag") == Some(&old) {
        server.fail_seeing(&format!("{what}, and a 412 says it's still {old}"));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// It's asked for again.
    Nothing,
    ANewStart,
    /// The page is written again as it was, with a date a minute later.
    WrittenAgain,
}

#[rstest]
#[case::at_the_next_request(Then::Nothing)]
#[case::after_a_new_start(Then::ANewStart)]
#[case::after_it_was_written_again(Then::WrittenAgain)]
fn what_stays_has_its_tag(#[case] then: Then) {
    let check = check!("11-fresh");
    check.suspect("tag-changes-though-the-page-does-not");
    let page = Page::new(&check);
    let first = page.server();
    let tag = Browser::new(&first).tag;
    if then == Then::WrittenAgain {
        page.write(CONTENT, 60.75);
    }
    let second = (then == Then::ANewStart).then(|| page.server());
    let server = second.as_ref().unwrap_or(&first);
    let again = Browser::new(server).tag;
    if again != tag {
        let when = match then {
            Then::Nothing => "once more",
            Then::ANewStart => "after the server was started again",
            Then::WrittenAgain => "after it was written again as it was",
        };
        server.fail_seeing(&format!(
            "asked for {when}, the same page has the tag {again}, and it had {tag}"
        ));
    }
}
