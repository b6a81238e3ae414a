//! The graded checks of chapter 11. The judged programs are servers; the checks play visitors who ask for what
//! they mustn't have, for parts, for what they have already, and for more than they read.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use grader::bytes as whole;
use grader::check;
use grader::check::{Check, Server, so_far};
use rstest::rstest;
use tempfile::TempDir;
use visitors::answer::{content_length, head_length, status};
use visitors::connection::{Connection, End, Received};
use visitors::program::{LOOK_EVERY, Trouble, Watch};

/// An answer, taken apart.
#[derive(Default)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = fields.find(|(field, _)| field.eq_ignore_ascii_case(name))?;
        Some(value.trim())
    }

    /// How often it has a field of that name.
    fn times(&self, name: &str) -> usize {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).count()
    }
}

/// Takes the answer at the beginning of `bytes` apart. `None`: it isn't whole yet.
fn parse(bytes: &[u8], is_head: bool) -> Option<(Answer, usize)> {
    let start = head_length(bytes)?;
    let head = String::from_utf8_lossy(&bytes[..start]).into_owned();
    let mut answer = Answer { status: status(bytes)?, head, body: Vec::new() };
    if is_head || matches!(answer.status, 204 | 304) {
        return Some((answer, start));
    }
    if answer.field("transfer-encoding") == Some("chunked") {
        let mut chunks = Chunks::default();
        let used = chunks.take(&bytes[start..], &mut answer.body);
        return chunks.ended.then_some((answer, start + used));
    }
    let end = start + usize::try_from(content_length(&bytes[..start])?).ok()?;
    answer.body = bytes.get(start..end)?.to_vec();
    Some((answer, end))
}

/// A body that comes in chunks.
#[derive(Default)]
struct Chunks {
    /// How many lines end in each.
    lines: Vec<usize>,
    ended: bool,
}

impl Chunks {
    /// Takes the chunks that are whole, and says how many bytes that took.
    fn take(&mut self, bytes: &[u8], to: &mut Vec<u8>) -> usize {
        let mut used = 0;
        while !self.ended {
            let rest = &bytes[used..];
            let Some(line) = rest.windows(2).take(20).position(|two| two == b"\r\n") else { break };
            let size = String::from_utf8_lossy(&rest[..line]);
            let Ok(size) = usize::from_str_radix(&size, 16) else { break };
            let Some(data) = rest.get(line + 2..line + 2 + size) else { break };
            if rest.len() < line + size + 4 {
                break;
            }
            to.extend_from_slice(data);
            used += line + size + 4;
            match size {
                0 => self.ended = true,
                _ => self.lines.push(data.iter().filter(|byte| **byte == b'\n').count()),
            }
        }
        used
    }
}

/// Whether an answer has begun that doesn't say where it ends.
fn says_no_length(bytes: &[u8], is_head: bool) -> Option<u16> {
    let head = &bytes[..head_length(bytes)?];
    let status = status(bytes)?;
    let is_chunked =
        String::from_utf8_lossy(head).to_ascii_lowercase().contains("transfer-encoding: chunked");
    let has_body = !is_head && !matches!(status, 204 | 304);
    (has_body && !is_chunked && content_length(head).is_none()).then_some(status)
}

/// Whether what has come can't be the beginning of an answer.
fn is_no_answer(bytes: &[u8]) -> bool {
    let begin = b"HTTP/1.1 ";
    let count = bytes.len().min(begin.len());
    bytes[..count] != begin[..count]
}

/// A text as it's sent. `\u{ff}` is the byte 0xff, which is no UTF-8.
fn bytes(text: &str) -> Vec<u8> {
    let byte = |character: char| match u8::try_from(character) {
        Ok(byte) => vec![byte],
        Err(_) => character.to_string().into_bytes(),
    };
    text.chars().flat_map(byte).collect()
}

#[track_caller]
fn send(server: &Server<'_>, visitor: &mut Connection, text: &str) {
    if let Err(error) = visitor.send(&bytes(text)) {
        server.fail_seeing(&format!("the {} couldn't send: {error}", visitor.name()));
    }
}

/// Fails: it's no use to wait any longer. A handler that isn't written yet doesn't end the program.
#[track_caller]
fn fail_for(server: &Server<'_>, expected: &str, trouble: &Trouble) -> ! {
    if server.program.stderr().iter().any(|line| line.contains("not yet implemented")) {
        server.fail_seeing(expected);
    }
    server.check.fail_for(expected, trouble);
}

/// The next whole answer that a visitor gets. `is_head`: the request was one for the head alone.
#[track_caller]
fn answer(server: &Server<'_>, visitor: &mut Connection, is_head: bool, when: &str) -> Answer {
    let name = visitor.name().to_owned();
    let enough = |bytes: &[u8]| {
        let is_whole = parse(bytes, is_head).is_some();
        is_no_answer(bytes) || is_whole || says_no_length(bytes, is_head).is_some()
    };
    let bytes = match visitor.receive_while_missing(&server.program, enough) {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(Received { bytes, end })) => {
            let ended = match end {
                End::Closed => "was hung up on",
                End::Reset => "got a reset",
            };
            let so_far = so_far(&bytes);
            server.fail_seeing(&format!(
                "{when}, the {name} {ended} without a whole answer ({so_far})"
            ))
        }
        Err((trouble, bytes)) => {
            let so_far = so_far(&bytes);
            let expected = format!("{when}, the {name} waits for a whole answer ({so_far})");
            fail_for(server, &expected, &trouble)
        }
    };
    if let Some(status) = says_no_length(&bytes, is_head) {
        if server.check.exercise() == "11-fresh" {
            server.check.suspect("no-length");
        }
        server.fail_seeing(&format!(
            "{when}, the {name}'s {status} has no Content-Length: nobody can tell where it ends"
        ));
    }
    match parse(&bytes, is_head) {
        Some((answer, length)) if !is_no_answer(&bytes) => {
            visitor.give_back(&bytes[length..]);
            answer
        }
        _ => {
            let so_far = so_far(&bytes);
            server.fail_seeing(&format!(
                "{when}, the {name} got what belongs to no answer ({so_far})"
            ));
        }
    }
}

/// Asks, and gives the answer. `fields` are whole lines.
#[track_caller]
fn ask(
    server: &Server<'_>,
    visitor: &mut Connection,
    method: &str,
    target: &str,
    fields: &str,
) -> Answer {
    send(server, visitor, &request(method, target, fields));
    let when = format!("after {}", called(method, target, fields));
    answer(server, visitor, method == "HEAD", &when)
}

/// A request. `fields` are whole lines.
fn request(method: &str, target: &str, fields: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

/// A request, as reports call it.
fn called(method: &str, target: &str, fields: &str) -> String {
    match lines(fields, "`, `") {
        None => format!("`{method} {target}`"),
        Some(lines) => format!("`{method} {target}` with `{lines}`"),
    }
}

/// The fields of a request, as reports call them.
fn with(fields: &str) -> String {
    match lines(fields, "` and `") {
        None => "with no field of that kind".to_owned(),
        Some(lines) => format!("with `{lines}`"),
    }
}

/// The lines of a request's fields, with this between two. A tab isn't to be taken for blanks.
fn lines(fields: &str, between: &str) -> Option<String> {
    let fields = fields.strip_suffix("\r\n").unwrap_or(fields);
    let shown = fields.replace("\r\n", between).replace('\t', "\\t");
    (!fields.is_empty()).then_some(shown)
}

/// Waits until the program has done all that it can do for now. It mustn't use CPU time then.
#[track_caller]
fn settle(server: &Server<'_>, when: &str) {
    if let Err(trouble) = server.program.settled() {
        fail_for(server, &format!("{when}, your program was to wait"), &trouble);
    }
}

/// The most memory that the program has had so far, in bytes, where the system can tell.
fn peak(server: &Server<'_>) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", server.program.pid())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// Fails if the program needed much more memory than before.
#[track_caller]
fn needs_little_memory(server: &Server<'_>, before: Option<u64>, limit: u64, when: &str) {
    if let (Some(before), Some(now)) = (before, peak(server))
        && now - before.min(now) > limit
    {
        let (more, limit) = ((now - before) >> 10, limit >> 10);
        server.fail_seeing(&format!(
            "{when}, your program needed {more} KiB more memory than before, and {limit} KiB are plenty"
        ));
    }
}

/// How many descriptors the program has open. `None` where the system can't tell.
fn descriptors(server: &Server<'_>) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{}/fd", server.program.pid())).ok()?.count())
}

/// Fails if more descriptors stay open than there were before.
#[track_caller]
fn as_many_descriptors_stay(server: &Server<'_>, before: Option<usize>, when: &str) {
    let (Some(before), mut watch) = (before, Watch::new(&server.program)) else { return };
    while let Some(now) = descriptors(server).filter(|now| *now > before) {
        match watch.trouble() {
            Some(trouble @ Trouble::Ended { .. }) => fail_for(server, when, &trouble),
            Some(_) => server.fail_seeing(&format!(
                "{when}, your program has {now} descriptors open, and it had {before} before"
            )),
            None => thread::sleep(LOOK_EVERY / 10),
        }
    }
}

/// A folder of the check's own, which goes with it. Its name has no dot in it.
#[track_caller]
fn folder(check: &Check) -> TempDir {
    let made = tempfile::Builder::new().prefix("waiting-game-").tempdir();
    made.unwrap_or_else(|error| check.fail(format!("no folder could be made: {error}")))
}

/// Fails if a file of the check's own can't be made.
#[track_caller]
fn made<T>(check: &Check, result: std::io::Result<T>, path: &Path) -> T {
    result
        .unwrap_or_else(|error| check.fail(format!("{} couldn't be made: {error}", path.display())))
}

/// A word in capitals, or another word if it has no small letters.
fn in_capitals(word: &str) -> String {
    let capitals = word.to_uppercase();
    if capitals == word { format!("{word}X") } else { capitals }
}

/// What there is of a body, for a report.
fn shown(body: &[u8]) -> String {
    let text = body[..body.len().min(40)].escape_ascii();
    let more = if body.len() > 40 { " …" } else { "" };
    format!("{} bytes, \"{text}\"{more}", body.len())
}

mod path {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    use super::*;

    const SECRET: &str = "This lies outside of the root.\n";
    const HIDDEN: &str = "This is hidden.\n";

    /// A root with a secret beside it.
    struct Place<'a> {
        check: &'a Check,
        folder: TempDir,
    }

    impl<'a> Place<'a> {
        #[track_caller]
        fn new(check: &'a Check) -> Self {
            let place = Self { check, folder: folder(check) };
            place.file("../secret.txt", SECRET);
            place.file("../root-of-others/secret.txt", SECRET);
            place.file("hello.txt", "Hello!\n");
            place.file("folder/inner.txt", "In a folder.\n");
            // Nobody asks for them: a folder isn't served by another name.
            place.file("index.html", "An index.\n");
            place.file("folder/index.html", "An index.\n");
            place
        }

        fn outside(&self) -> &Path {
            self.folder.path()
        }

        fn root(&self) -> PathBuf {
            self.folder.path().join("root")
        }

        /// A file below the root, in folders that are made if need be.
        #[track_caller]
        fn file(&self, name: impl AsRef<OsStr>, content: &str) {
            let path = self.root().join(name.as_ref());
            made(self.check, fs::create_dir_all(self.root()), &path);
            made(self.check, fs::create_dir_all(path.parent().expect("it has one")), &path);
            made(self.check, fs::write(&path, content), &path);
        }

        #[track_caller]
        fn pipe(&self, name: &str) {
            match Command::new("mkfifo").arg(self.root().join(name)).status() {
                Ok(status) if status.success() => {}
                result => self.check.fail(format!("no pipe could be made: {result:?}")),
            }
        }

        #[track_caller]
        fn link(&self, name: &str, to: impl AsRef<Path>) {
            let path = self.root().join(name);
            made(self.check, symlink(to, &path), &path);
        }

        #[track_caller]
        fn server(&self) -> Server<'a> {
            self.check.server(&[&self.root().display().to_string()])
        }
    }

    #[track_caller]
    fn get(server: &Server<'_>, target: &str) -> Answer {
        let mut visitor = server.visitor("curious visitor").connection;
        ask(server, &mut visitor, "GET", target, "")
    }

    /// It has to get this.
    #[track_caller]
    fn serves(server: &Server<'_>, target: &str, content: &str) {
        let Answer { status, body, .. } = get(server, target);
        if status != 200 {
            server.fail_seeing(&format!("`GET {target}` was answered with {status}, and not 200"));
        }
        if body != content.as_bytes() {
            let (got, expected) = (shown(&body), shown(content.as_bytes()));
            server.fail_seeing(&format!("`GET {target}` brought {got}, and not {expected}"));
        }
    }

    /// It has to be told that this isn't there. `what` is what lies there.
    #[track_caller]
    fn refuses(server: &Server<'_>, target: &str, what: &str) {
        let Answer { status, body, .. } = get(server, target);
        let has = |text: &str| body.windows(text.len()).any(|window| window == text.as_bytes());
        if has(SECRET) {
            server.fail_seeing(&format!(
                "`GET {target}` brought the curious visitor the secret, which lies outside of the root"
            ));
        }
        if status == 200 {
            let got = shown(&body);
            server.fail_seeing(&format!(
                "`GET {target}` was answered with 200, and not 404: {what} ({got})"
            ));
        }
        if status != 404 {
            if status == 500 {
                server.check.suspect("panics-at-what-is-not-there");
            }
            server.fail_seeing(&format!(
                "`GET {target}` was answered with {status}, and not 404: {what}"
            ));
        }
    }

    #[rstest]
    #[case::in_the_root("hello.txt")]
    #[case::in_a_folder("folder/inner.txt")]
    #[case::in_a_folder_in_a_folder("one/two/three.txt")]
    #[case::in_many_folders("a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/w/x/y/z/file")]
    #[case::in_capitals("README")]
    #[case::without_a_dot("file")]
    fn a_file_is_served(#[case] name: &str) {
        let check = check!("11-path");
        check.suspect("folders-are-not-gone-through");
        let place = Place::new(&check);
        place.file(name, name);
        serves(&place.server(), &format!("/{name}"), name);
    }

    #[rstest]
    #[case::a_blank("a file.txt", "/a%20file.txt")]
    #[case::an_umlaut("tür.txt", "/t%C3%BCr.txt")]
    #[case::a_folder("über uns/wir.txt", "/%c3%bcber%20uns/wir.txt")]
    #[case::a_letter("hello.txt", "/%68ello%2etxt")]
    #[case::a_plus("a+b.txt", "/a+b.txt")]
    #[case::a_percent_sign("100%.txt", "/100%25.txt")]
    #[case::encoded_again("a%20file.txt", "/a%2520file.txt")]
    #[case::dots_in_the_middle("a..b.txt", "/a..b.txt")]
    #[case::dots_at_the_end("what...", "/what...")]
    #[case::a_tab("a\tb.txt", "/a%09b.txt")]
    #[case::a_delete("a\u{7f}b.txt", "/a%7fb.txt")]
    #[case::a_blank_at_its_end("hello.txt ", "/hello.txt%20")]
    #[case::a_blank_at_its_beginning(" hello.txt", "/%20hello.txt")]
    #[case::blanks_alone("  ", "/%20%20")]
    #[case::a_line_end("a\nb.txt", "/a%0Ab.txt")]
    #[case::a_cr_at_its_end("a.txt\r", "/a.txt%0d")]
    #[case::a_question_mark("what?", "/what%3f")]
    #[case::a_hash("c#", "/c%23")]
    #[case::a_dot_at_its_end("hello.txt.", "/hello.txt.")]
    #[case::signs("-~!$&'()*,;=:@", "/-~!$&'()*,;=:@")]
    #[case::a_percent_sign_as_it_is("100%", "/100%")]
    #[case::a_percent_sign_before_no_digits("5%zz", "/5%zz")]
    #[case::a_percent_sign_before_one_digit("7%2", "/7%2")]
    #[case::with_a_query("hello.txt", "/hello.txt?a=b")]
    #[case::with_a_path_in_its_query("hello.txt", "/hello.txt?/../..//.")]
    #[case::a_blank_in_a_folders_name("a /b", "/a%20/b")]
    #[case::signs_that_are_encoded("a=b&c", "/a%3Db%26c")]
    #[case::a_percent_sign_before_a_plus_and_a_digit("a%+5.txt", "/a%+5.txt")]
    #[case::a_percent_sign_before_a_minus_and_a_digit("a%-5.txt", "/a%-5.txt")]
    #[case::a_percent_sign_before_an_encoded_letter("a%b.txt", "/a%%62.txt")]
    #[case::a_percent_sign_before_an_encoded_digit("%25", "/%2%35")]
    fn a_name_is_decoded(#[case] name: &str, #[case] target: &str) {
        let check = check!("11-path");
        check.suspect(match name {
            "a%20file.txt" | "%25" => "decodes-more-than-once",
            "a%+5.txt" | "a%-5.txt" => "a-sign-is-no-hex-digit",
            "a..b.txt" | "what..." => "looks-for-dots-as-text",
            "a file.txt" | "tür.txt" | "über uns/wir.txt" => "does-not-decode",
            _ if name.contains(|it: char| it.is_control()) || name.contains('%') => {
                "refuses-names-that-are-fine"
            }
            _ => "changes-a-name",
        });
        let place = Place::new(&check);
        place.file(name, name);
        serves(&place.server(), target, name);
    }

    #[test]
    fn a_name_is_bytes() {
        let check = check!("11-path");
        check.suspect("makes-text-of-a-name");
        let place = Place::new(&check);
        // macOS has no such names.
        if fs::write(place.root().join(OsStr::from_bytes(b"t\xfcr.txt")), "Latin").is_ok() {
            serves(&place.server(), "/t%FCr.txt", "Latin");
        }
    }

    #[test]
    fn a_long_name_is_one() {
        /// On Linux and on macOS no name is longer.
        const LONGEST: usize = 255;
        let check = check!("11-path");
        check.suspect("refuses-names-that-are-fine");
        let place = Place::new(&check);
        let name = "n".repeat(LONGEST);
        // Some file systems have no such names.
        if fs::write(place.root().join(&name), "Long.\n").is_ok() {
            let server = place.server();
            let Answer { status, body, .. } = get(&server, &format!("/{name}"));
            if status != 200 || body != b"Long.\n" {
                let got = shown(&body);
                server.fail_seeing(&format!(
                    "there is a file whose name is {LONGEST} bytes long, and asked for it your program answered \
                     {status} with {got}"
                ));
            }
        }
    }

    #[rstest]
    #[case::with_a_blank_behind_it("/hello.txt%20")]
    #[case::with_a_blank_before_it("/%20hello.txt")]
    #[case::with_a_dot_behind_it("/hello.txt.")]
    #[case::without_its_ending("/hello")]
    #[case::with_a_tab_behind_it("/hello.txt%09")]
    #[case::with_a_semicolon("/hello.txt;a")]
    #[case::with_an_encoded_query("/hello.txt%3fa=b")]
    #[case::in_capitals("/HELLO.TXT")]
    #[case::longer_than_names_are(&format!("/{}", "n".repeat(256)))]
    #[case::in_far_too_many_folders(&"/f".repeat(2000))]
    fn another_name_is_not_it(#[case] target: &str) {
        let check = check!("11-path");
        check.suspect("changes-a-name");
        let place = Place::new(&check);
        // Where names are the same in capitals, it's there.
        if target == "/HELLO.TXT" && place.root().join("HELLO.TXT").exists() {
            return;
        }
        refuses(&place.server(), target, "there is no file of that name");
    }

    #[test]
    fn an_empty_file_is_served() {
        let check = check!("11-path");
        check.suspect("folders-are-not-gone-through");
        let place = Place::new(&check);
        place.file("empty", "");
        serves(&place.server(), "/empty", "");
    }

    #[rstest]
    #[case::no_such_file("/nothing.txt", "there is no such file")]
    #[case::no_such_folder("/nowhere/hello.txt", "there is no such folder")]
    #[case::the_root_itself("/", "that's the root itself")]
    #[case::a_folder("/folder", "that's a folder")]
    #[case::a_folder_with_a_slash("/folder/", "the last name is empty")]
    #[case::a_slash_behind_a_file("/hello.txt/", "the last name is empty")]
    #[case::two_slashes("/folder//inner.txt", "there is an empty name in it")]
    #[case::two_slashes_at_first("//hello.txt", "the first name is empty")]
    #[case::a_file_as_a_folder("/hello.txt/inner.txt", "hello.txt is no folder")]
    fn what_is_not_there(#[case] target: &str, #[case] what: &str) {
        let check = check!("11-path");
        check.suspect(match target {
            "/" | "/folder" | "/folder/" => "serves-an-index",
            _ => "passes-over-empty-names",
        });
        let place = Place::new(&check);
        refuses(&place.server(), target, what);
    }

    #[rstest]
    #[case::plain("/../secret.txt")]
    #[case::from_a_folder("/folder/../../secret.txt")]
    #[case::encoded("/%2e%2e/secret.txt")]
    #[case::in_capitals("/%2E%2E/secret.txt")]
    #[case::half_encoded("/.%2e/secret.txt")]
    #[case::with_the_slash("/%2E%2E%2Fsecret.txt")]
    #[case::all_of_it("/folder%2f..%2f..%2fsecret.txt")]
    #[case::with_a_backslash("/..%5csecret.txt")]
    #[case::with_a_host_before_it("http://localhost/%2e%2e/secret.txt")]
    #[case::with_bare_backslashes("/folder\\..\\..\\secret.txt")]
    #[case::in_two_bytes_each("/%c0%ae%c0%ae/secret.txt")]
    #[case::at_the_end_of_a_query("/folder/..%2f..%2fsecret.txt?a")]
    fn dots_lead_nowhere(#[case] target: &str) {
        let check = check!("11-path");
        check.suspect(match target {
            _ if target.contains("..\\") => "lets-odd-bytes-through",
            _ if target.contains("2f..") || target.contains("2F") => "lets-a-slash-through",
            _ => "looks-before-it-decodes",
        });
        let place = Place::new(&check);
        refuses(&place.server(), target, "there are dots in it that lead out");
    }

    #[rstest]
    #[case::down_and_up("/folder/../hello.txt")]
    #[case::here("/./hello.txt")]
    #[case::here_at_the_end("/folder/.")]
    #[case::encoded("/folder/%2E%2e/hello.txt")]
    #[case::up_at_the_end("/folder/one/..")]
    #[case::three_dots("/.../hello.txt")]
    #[case::up_and_down("/../root/hello.txt")]
    fn dots_are_no_names(#[case] target: &str) {
        let check = check!("11-path");
        check.suspect("works-dots-out");
        let place = Place::new(&check);
        refuses(&place.server(), target, "one of the names begins with a dot");
    }

    #[rstest]
    #[case::dots("/%252e%252e/secret.txt")]
    #[case::a_slash("/folder%252f..%252f..%252fsecret.txt")]
    #[case::three_times("/%25252e%25252e/secret.txt")]
    #[case::a_file("/%2568ello.txt")]
    fn it_is_decoded_once(#[case] target: &str) {
        let check = check!("11-path");
        check.suspect("decodes-more-than-once");
        let place = Place::new(&check);
        refuses(&place.server(), target, "decoded once, there is no file of that name");
    }

    #[rstest]
    #[case::in_a_name("/folder%2finner.txt")]
    #[case::in_capitals("/folder%2Finner.txt")]
    #[case::at_first("/%2fhello.txt")]
    #[case::at_the_end("/hello.txt%2f")]
    fn a_slash_is_part_of_no_name(#[case] target: &str) {
        let check = check!("11-path");
        check.suspect("lets-a-slash-through");
        let place = Place::new(&check);
        refuses(&place.server(), target, "there is a slash in a name");
    }

    #[rstest]
    #[case::behind_a_slash("/")]
    #[case::behind_an_encoded_slash("")]
    fn no_path_begins_at_the_top(#[case] slash: &str) {
        let check = check!("11-path");
        check.suspect("lets-a-slash-through");
        let place = Place::new(&check);
        let secret = place.outside().join("secret.txt").display().to_string();
        let target = match slash {
            "/" => format!("/{secret}"),
            _ => format!("/{}", secret.replace('/', "%2f")),
        };
        refuses(&place.server(), &target, "that's a path from the top");
    }

    #[rstest]
    #[case::a_nul("hello.txt", "/hello.txt%00", "there is a NUL in the name")]
    #[case::a_nul_before_an_ending("hello.txt", "/hello.txt%00.png", "there is a NUL in the name")]
    #[case::a_backslash("back\\slash.txt", "/back%5cslash.txt", "there is a backslash in the name")]
    #[case::a_bare_backslash(
        "back\\slash.txt",
        "/back\\slash.txt",
        "there is a backslash in the name"
    )]
    #[case::a_backslash_at_its_end(
        "hello.txt\\",
        "/hello.txt%5C",
        "there is a backslash in the name"
    )]
    #[case::a_nul_in_a_folders_name(
        "folder/inner.txt",
        "/folder%00/inner.txt",
        "there is a NUL in the name"
    )]
    #[case::a_nul_alone("hello.txt", "/%00", "there is a NUL in the name")]
    fn odd_bytes(#[case] name: &str, #[case] target: &str, #[case] what: &str) {
        let check = check!("11-path");
        check.suspect("lets-odd-bytes-through");
        let place = Place::new(&check);
        place.file(name, name);
        let server = place.server();
        let bare = target.replace("%5c", "\\").replace("%5C", "\\");
        if bare != target && get(&server, &bare).status == 404 {
            check.suspect("looks-before-it-decodes");
        }
        refuses(&server, target, what);
    }

    #[rstest]
    #[case::a_file("/.hidden")]
    #[case::encoded("/%2ehidden")]
    #[case::in_a_hidden_folder("/.git/config")]
    #[case::in_a_folder("/folder/.hidden")]
    #[case::with_many_dots("/...hidden")]
    #[case::two_dots_and_more("/..hidden")]
    #[case::encoded_in_a_folder("/folder/%2Ehidden")]
    #[case::a_hidden_folder_further_on("/folder/.git/config")]
    fn what_is_hidden_stays_so(#[case] target: &str) {
        let check = check!("11-path");
        check.suspect("serves-hidden-files");
        let place = Place::new(&check);
        for name in [
            ".hidden",
            ".git/config",
            "folder/.hidden",
            "...hidden",
            "..hidden",
            "folder/.git/config",
        ] {
            place.file(name, HIDDEN);
        }
        refuses(&place.server(), target, "that's a hidden file");
    }

    #[rstest]
    #[case::to_a_file_outside("/link-to-secret.txt")]
    #[case::to_a_file_outside_by_its_whole_path("/link-from-the-top.txt")]
    #[case::to_a_folder_outside("/link-out/secret.txt")]
    #[case::to_a_folder_whose_name_begins_like_the_roots("/link-to-others/secret.txt")]
    #[case::to_a_folder_outside_further_on("/folder/link-out/secret.txt")]
    #[case::with_an_encoded_slash("/link-out%2fsecret.txt")]
    #[case::to_a_file_inside("/link-to-hello.txt")]
    #[case::to_a_folder_inside("/link-to-folder/inner.txt")]
    #[case::to_nothing("/link-to-nothing")]
    #[case::to_itself("/link-to-itself")]
    #[case::to_itself_on_the_way("/link-to-itself/hello.txt")]
    #[case::to_a_file_inside_further_on("/folder/link-to-inner.txt")]
    #[case::in_the_middle_of_folders("/folder/link-to-here/inner.txt")]
    fn no_link_is_followed(#[case] target: &str) {
        let check = check!("11-path");
        check.suspect(match target.matches('/').count() {
            1 => "follows-links",
            _ => "opens-the-whole-path",
        });
        let place = Place::new(&check);
        place.link("link-to-secret.txt", "../secret.txt");
        place.link("link-from-the-top.txt", place.outside().join("secret.txt"));
        place.link("link-out", "..");
        place.link("link-to-others", "../root-of-others");
        place.link("folder/link-out", "../..");
        place.link("link-to-hello.txt", "hello.txt");
        place.link("link-to-folder", "folder");
        place.link("link-to-nothing", "nothing");
        place.link("link-to-itself", "link-to-itself");
        place.link("folder/link-to-inner.txt", "inner.txt");
        place.link("folder/link-to-here", ".");
        refuses(&place.server(), target, "there is a link on the way");
    }

    #[test]
    fn the_root_is_the_one_that_is_held() {
        let check = check!("11-path");
        check.suspect("opens-by-the-roots-name");
        let place = Place::new(&check);
        let server = place.server();
        serves(&server, "/hello.txt", "Hello!\n");
        let elsewhere = place.outside().join("elsewhere");
        made(&check, fs::rename(place.root(), &elsewhere), &elsewhere);
        let when = "the root has got another name, and another folder has its old one";
        for (name, content) in [("hello.txt", "Hello!\n"), ("folder/inner.txt", "In a folder.\n")] {
            place.file(name, "This is another root.\n");
            let Answer { status, body, .. } = get(&server, &format!("/{name}"));
            if status != 200 || body != content.as_bytes() {
                let (got, expected) = (shown(&body), shown(content.as_bytes()));
                server.fail_seeing(&format!(
                    "{when}: `GET /{name}` brought {status} and {got}, and not 200 and {expected}"
                ));
            }
        }
    }

    #[rstest]
    #[case::as_the_file("/pipe", "that's a named pipe, and no file")]
    #[case::on_the_way("/pipe/hello.txt", "that's a named pipe, and no folder")]
    #[case::in_a_folder("/folder/pipe", "that's a named pipe, and no file")]
    fn a_pipe_keeps_nobody_waiting(#[case] target: &str, #[case] what: &str) {
        let check = check!("11-path");
        check.suspect("waits-for-a-pipe");
        let place = Place::new(&check);
        place.pipe("pipe");
        place.pipe("folder/pipe");
        let server = place.server();
        refuses(&server, target, what);
        serves(&server, "/hello.txt", "Hello!\n");
    }

    #[test]
    fn a_socket_is_no_file() {
        let check = check!("11-path");
        check.suspect("panics-at-what-is-not-there");
        let place = Place::new(&check);
        let path = place.root().join("socket");
        // Some folders have names that are too long for that.
        let Ok(_socket) = UnixListener::bind(&path) else { return };
        refuses(&place.server(), "/socket", "that's a socket, and no file");
    }

    #[test]
    fn what_cannot_be_opened_may_well_be_there() {
        let check = check!("11-path");
        check.suspect("every-error-is-404");
        let place = Place::new(&check);
        let server = place.server();
        let mut visitor = server.visitor("curious visitor").connection;
        let before = ask(&server, &mut visitor, "GET", "/folder/inner.txt", "");
        if before.status != 200 {
            let got = before.status;
            server.fail_seeing(&format!(
                "`GET /folder/inner.txt` was answered with {got}, and not 200"
            ));
        }
        // Its first three stay open, so that no other can be opened. Not everywhere is there such a program.
        let limit = |nofile: &str| {
            let pid = server.program.pid().to_string();
            let set = Command::new("prlimit").args(["--pid", &pid, nofile]).output();
            set.is_ok_and(|output| output.status.success())
        };
        if !limit("--nofile=3:") {
            return;
        }
        for target in ["/folder/inner.txt", "/hello.txt"] {
            let answer = ask(&server, &mut visitor, "GET", target, "");
            if answer.status != 503 {
                let got = answer.status;
                server.fail_seeing(&format!(
                    "with no descriptor left, `GET {target}` was answered with {got}, and not 503: the file is there"
                ));
            }
        }
        limit("--nofile=1024:");
        let after = ask(&server, &mut visitor, "GET", "/hello.txt", "");
        if after.status != 200 {
            let got = after.status;
            server.fail_seeing(&format!(
                "with descriptors to be had again, `GET /hello.txt` was answered with {got}, and not 200"
            ));
        }
    }

    /// There may be none left for the file, or none for a folder on the way: it depends on how many are needed at a time.
    #[test]
    fn descriptors_may_run_out_on_the_way() {
        let check = check!("11-path");
        check.suspect("every-error-is-404");
        let place = Place::new(&check);
        place.file("one/two/three.txt", "Three.\n");
        let server = place.server();
        let mut visitor = server.visitor("curious visitor").connection;
        let pid = server.program.pid();
        let limit = |nofile: String| {
            let set = Command::new("prlimit").args(["--pid", &pid.to_string(), &nofile]).output();
            set.is_ok_and(|output| output.status.success())
        };
        for target in ["/one/two/three.txt", "/folder/inner.txt", "/hello.txt"] {
            let before = ask(&server, &mut visitor, "GET", target, "");
            if before.status != 200 {
                let got = before.status;
                server.fail_seeing(&format!("`GET {target}` was answered with {got}, and not 200"));
            }
            for left in 0..=3 {
                // What the answer before needed is closed by now.
                settle(&server, "before descriptors run out");
                let Some(open) = open_descriptors(pid) else { return };
                let Some(limited_to) = (0..).filter(|number| !open.contains(number)).nth(left)
                else {
                    return;
                };
                if !limit(format!("--nofile={limited_to}:")) {
                    return;
                }
                let answer = ask(&server, &mut visitor, "GET", target, "");
                if !limit("--nofile=1024:".to_owned()) {
                    return;
                }
                if answer.status != 503 && (left == 0 || answer.status != 200) {
                    let got = answer.status;
                    server.fail_seeing(&format!(
                        "with {left} descriptors left, `GET {target}` was answered with {got}, and not 503: the file is there"
                    ));
                }
            }
        }
    }

    /// The numbers of those that are open. `None` where the system can't tell.
    fn open_descriptors(pid: i32) -> Option<Vec<u64>> {
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let number = |entry: std::io::Result<fs::DirEntry>| {
            entry.ok()?.file_name().to_string_lossy().parse().ok()
        };
        Some(entries.filter_map(number).collect())
    }

    #[rstest]
    #[case::to_a_file("/one/two/three.txt", 200)]
    #[case::to_a_file_that_is_not_there("/one/two/four.txt", 404)]
    #[case::to_a_folder("/one/two", 404)]
    #[case::to_a_link("/one/two/link", 404)]
    #[case::to_a_pipe("/one/two/pipe", 404)]
    #[case::to_a_folder_that_is_not_there("/one/none/three.txt", 404)]
    #[case::through_a_file("/one/two/three.txt/four.txt", 404)]
    #[case::to_what_is_refused("/one/two/.three", 404)]
    fn what_was_opened_is_closed(#[case] target: &str, #[case] status: u16) {
        const TIMES: usize = 30;
        let check = check!("11-path");
        check.suspect("leaves-folders-open");
        let place = Place::new(&check);
        place.file("one/two/three.txt", "Three.\n");
        place.link("one/two/link", "three.txt");
        place.pipe("one/two/pipe");
        let server = place.server();
        // On one connection: it's open before and after.
        let mut visitor = server.visitor("curious visitor").connection;
        let _ = ask(&server, &mut visitor, "GET", "/hello.txt", "");
        settle(&server, "after `GET /hello.txt`");
        let before = descriptors(&server);
        for _ in 0..TIMES {
            let answer = ask(&server, &mut visitor, "GET", target, "");
            if answer.status != status {
                let got = answer.status;
                server.fail_seeing(&format!(
                    "`GET {target}` was answered with {got}, and not {status}"
                ));
            }
        }
        let when = format!("after {TIMES} times `GET {target}`");
        as_many_descriptors_stay(&server, before, &when);
    }
}

mod range {
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
                Err(trouble) => self.check.fail_for(
                    "the first line on stdout was to be `listening on ADDRESS`",
                    &trouble,
                ),
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
    #[case::many_before_both(
        "bytes=0000000000000000000000000005-0000000000000000000000000009",
        5,
        9
    )]
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
                server
                    .fail_seeing(&format!("{when}, the {name} got neither 200 nor 206 ({so_far})"))
            }
            Err((trouble, bytes)) => {
                let so_far = so_far(&bytes);
                let expected = format!("{when}, the {name} waits for an answer ({so_far})");
                fail_for(server, &expected, &trouble)
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
        let before = peak(&server);
        for word in ["bytes=-7", "bytes=67108857-"] {
            let fields = range(word);
            let answer = get(&server, &fields);
            expect_status(&server, &answer, 206, &fields);
            expect_body(&server, &answer, END.as_bytes(), &fields);
        }
        needs_little_memory(&server, before, PLENTY, "for seven bytes of a file of 64 MiB");
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
        let before = peak(&server);
        let mut greedy = server.visitor("greedy visitor").connection;
        asks_for_much(&server, &mut greedy, fields);
        settle(&server, "with a greedy visitor who doesn't read");
        needs_little_memory(
            &server,
            before,
            PLENTY,
            "with a greedy visitor who doesn't read 64 MiB",
        );
    }
}

mod fresh {
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
            let mut browser =
                Self { server, connection, content, tag: String::new(), before: None };
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
                self.server
                    .fail_seeing(&format!("{with}, the browser got {got}, and not the page"));
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
                server
                    .fail_seeing(&format!("to HEAD, {name} is {got}, and to GET it's {expected}"));
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
        let asked: Vec<_> = asked
            .iter()
            .map(|(method, fields, status)| (*method, filled(fields), *status))
            .collect();
        let requests: String =
            asked.iter().map(|(method, fields, _)| request(method, "/", fields)).collect();
        let names: Vec<_> =
            asked.iter().map(|(method, fields, _)| called(method, "/", fields)).collect();
        let (count, names) = (asked.len(), names.join(", "));
        send(&server, &mut browser.connection, &requests);
        // No page has such words in it.
        let answers = |bytes: &[u8]| bytes.windows(9).filter(|some| some == b"HTTP/1.1 ").count();
        let come = browser
            .connection
            .receive_while_missing(&server.program, |bytes| answers(bytes) == count);
        let bytes = match come {
            Ok(Ok(bytes)) => bytes,
            Err((trouble @ Trouble::Ended { .. }, _)) => fail_for(&server, &names, &trouble),
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
    #[case::no_date_and_it_has_it(
        "If-Unmodified-Since: yesterday\r\nIf-Modified-Since: LATER",
        304
    )]
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
        let [old, content] =
            [old, new].map(|content| [vec![b'-'; before], bytes(content)].concat());
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
}

mod stream {
    use super::*;

    /// The exercise's LINES: so many lines are in a piece, at the most.
    const LINES: usize = 1024;
    /// So many lines are made for who doesn't read, at the most. The kernel takes more than half a megabyte.
    const AHEAD: u64 = 250_000;

    fn count(from: usize, to: usize) -> Vec<u8> {
        (from..=to).flat_map(|number| format!("{number:07}\n").into_bytes()).collect()
    }

    fn ticks(from: usize, to: usize) -> Vec<u8> {
        (from..=to).flat_map(|number| format!("tick {number}\n").into_bytes()).collect()
    }

    /// A body as it comes, in either way.
    enum Coming {
        InChunks(Chunks),
        /// So many bytes are to come, as Content-Length says.
        OfLength(usize),
    }

    impl Coming {
        /// What the head says of it.
        fn new(head: &str) -> Option<Self> {
            if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
                return Some(Self::InChunks(Chunks::default()));
            }
            Some(Self::OfLength(usize::try_from(content_length(head.as_bytes())?).ok()?))
        }

        /// Takes what can be taken, and says how many bytes that took.
        fn take(&mut self, bytes: &[u8], to: &mut Vec<u8>) -> usize {
            match self {
                Self::InChunks(chunks) => chunks.take(bytes, to),
                Self::OfLength(left) => {
                    let used = bytes.len().min(*left);
                    to.extend_from_slice(&bytes[..used]);
                    *left -= used;
                    used
                }
            }
        }

        /// Whether something can be taken of this.
        fn can_take(&self, bytes: &[u8]) -> bool {
            match self {
                Self::InChunks(_) => Chunks::default().take(bytes, &mut Vec::new()) > 0,
                Self::OfLength(_) => !bytes.is_empty(),
            }
        }

        fn ended(&self) -> bool {
            match self {
                Self::InChunks(chunks) => chunks.ended,
                Self::OfLength(left) => *left == 0,
            }
        }
    }

    /// Somebody who is being answered with a stream.
    struct Reader<'a> {
        server: &'a Server<'a>,
        connection: Connection,
        coming: Coming,
        /// What has come, and hasn't been looked at.
        body: Vec<u8>,
        /// How much of it has been, in bytes.
        read: usize,
    }

    impl<'a> Reader<'a> {
        /// Asks, and reads the answer's head.
        #[track_caller]
        fn new(server: &'a Server<'a>, name: &str, target: &str) -> Self {
            let mut connection = server.visitor(name).connection;
            send(
                server,
                &mut connection,
                &format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            );
            let is_whole = |bytes: &[u8]| head_length(bytes).is_some();
            let head = match connection.receive_while_missing(&server.program, is_whole) {
                Ok(Ok(bytes)) => bytes,
                Ok(Err(Received { bytes, .. })) => {
                    let so_far = so_far(&bytes);
                    server.fail_seeing(&format!(
                        "after `GET {target}`, the {name} was hung up on ({so_far})"
                    ))
                }
                Err((trouble, bytes)) => {
                    let so_far = so_far(&bytes);
                    let expected =
                        format!("after `GET {target}`, the {name} waits for an answer ({so_far})");
                    fail_for(server, &expected, &trouble)
                }
            };
            let (head, rest) = head.split_at(head_length(&head).unwrap_or(head.len()));
            let head = String::from_utf8_lossy(head).into_owned();
            if status(head.as_bytes()) != Some(200) {
                let first = head.lines().next().unwrap_or_default();
                server.fail_seeing(&format!("after `GET {target}`, the {name} got `{first}`"));
            }
            let Some(coming) = Coming::new(&head) else {
                server.fail_seeing(&format!(
                    "after `GET {target}`, the {name} got an answer that doesn't say where it ends"
                ));
            };
            connection.give_back(rest);
            Self { server, connection, coming, body: Vec::new(), read: 0 }
        }

        /// It has to get just this next.
        #[track_caller]
        fn reads(&mut self, expected: &[u8], when: &str) {
            let name = self.connection.name().to_owned();
            while self.body.len() < expected.len() && !self.coming.ended() {
                let has_more = |bytes: &[u8]| self.coming.can_take(bytes);
                match self.connection.receive_while_missing(&self.server.program, has_more) {
                    Ok(Ok(bytes)) => {
                        let used = self.coming.take(&bytes, &mut self.body);
                        self.connection.give_back(&bytes[used..]);
                    }
                    Ok(Err(_)) => {
                        self.compare(&name, expected, when);
                        let (read, missing) = self.got(expected);
                        self.server.fail_seeing(&format!(
                            "{when}, the {name} was hung up on after {read} bytes, and {missing} were to come"
                        ));
                    }
                    Err((trouble, _)) => {
                        self.compare(&name, expected, when);
                        let (read, missing) = self.got(expected);
                        let expected = format!(
                            "{when}, the {name} got {read} bytes and waits for {missing} more"
                        );
                        fail_for(self.server, &expected, &trouble);
                    }
                }
            }
            self.compare(&name, expected, when);
            if self.body.len() < expected.len() {
                let (read, missing) = self.got(expected);
                self.server.fail_seeing(&format!(
                    "{when}, the {name}'s answer ended after {read} bytes, and {missing} were to come"
                ));
            }
            self.body.drain(..expected.len());
            self.read += expected.len();
        }

        fn got(&self, expected: &[u8]) -> (usize, usize) {
            (self.read + self.body.len(), expected.len().saturating_sub(self.body.len()))
        }

        #[track_caller]
        fn compare(&self, name: &str, expected: &[u8], when: &str) {
            let wrong = self.body.iter().zip(expected).position(|(got, expected)| got != expected);
            let Some(at) = wrong else { return };
            let line = |bytes: &[u8]| {
                let begin =
                    bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                let end = bytes[at..].iter().position(|byte| *byte == b'\n');
                let end = end.map_or(bytes.len(), |end| at + end);
                String::from_utf8_lossy(&bytes[begin..end]).into_owned()
            };
            let (got, expected) = (line(&self.body), line(expected));
            self.server.fail_seeing(&format!(
                "{when}, the {name} got the line `{got}` where `{expected}` was to come"
            ));
        }

        /// Its answer has to end here.
        #[track_caller]
        fn is_at_the_end(&mut self, when: &str) {
            let name = self.connection.name().to_owned();
            if !self.coming.ended() {
                let has_more = |bytes: &[u8]| self.coming.can_take(bytes);
                match self.connection.receive_while_missing(&self.server.program, has_more) {
                    Ok(Ok(bytes)) => {
                        self.coming.take(&bytes, &mut self.body);
                    }
                    Ok(Err(_)) => self.server.fail_seeing(&format!(
                        "{when}, the {name} was hung up on, and the answer had no end"
                    )),
                    Err((trouble, _)) => {
                        let expected = format!("{when}, the {name}'s answer was to end");
                        fail_for(self.server, &expected, &trouble);
                    }
                }
            }
            if !self.body.is_empty() {
                let got = shown(&self.body);
                self.server.fail_seeing(&format!(
                    "{when}, the {name}'s answer was to end, and there came {got}"
                ));
            }
        }

        /// No piece had more lines than LINES. What came without chunks doesn't tell its pieces.
        #[track_caller]
        fn came_in_pieces(&self) {
            let Coming::InChunks(chunks) = &self.coming else { return };
            if let Some(lines) = chunks.lines.iter().find(|lines| **lines > LINES) {
                let name = self.connection.name();
                self.server.fail_seeing(&format!(
                    "the {name} got a piece of {lines} lines, and {LINES} are the most"
                ));
            }
        }

        /// Nothing has come that wasn't expected.
        #[track_caller]
        fn nothing_more(&mut self, when: &str) {
            settle(self.server, when);
            // What came together with something else.
            let at_once = self.connection.receive_while_missing(&self.server.program, |_| true);
            let has_some = matches!(at_once, Ok(Ok(bytes)) if !bytes.is_empty());
            let has_more = has_some || self.connection.readable_within(Duration::ZERO);
            if !self.body.is_empty() || has_more {
                let name = self.connection.name();
                self.server.fail_seeing(&format!("{when}, the {name} got more, or a hang-up"));
            }
        }
    }

    /// What a short answer says, which must be a number.
    #[track_caller]
    fn number(server: &Server<'_>, method: &str, target: &str) -> u64 {
        let mut visitor = server.visitor("curious visitor").connection;
        let answer = ask(server, &mut visitor, method, target, "");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        match text.trim().parse() {
            Ok(number) if answer.status == 200 => number,
            _ => {
                let status = answer.status;
                server
                    .fail_seeing(&format!("`{method} {target}` was answered with {status}: {text}"))
            }
        }
    }

    #[track_caller]
    fn tick(server: &Server<'_>, more: usize) {
        number(server, "POST", &format!("/tick/{more}"));
    }

    #[rstest]
    #[case::none(0)]
    #[case::one(1)]
    #[case::ten(10)]
    #[case::a_piece_but_one(LINES - 1)]
    #[case::a_piece(LINES)]
    #[case::a_piece_and_one(LINES + 1)]
    #[case::two_pieces(2 * LINES)]
    #[case::ten_thousand(10_000)]
    fn so_many_lines_and_no_more(#[case] lines: usize) {
        let check = check!("11-stream");
        check.suspect(match lines {
            0..LINES => "wrong-where-all-lines-end",
            _ => "wrong-where-a-piece-ends",
        });
        let server = check.server(&[]);
        let target = format!("/count/{lines}");
        let mut reader = Reader::new(&server, "visitor", &target);
        let when = format!("after `GET {target}`");
        reader.reads(&count(1, lines), &when);
        reader.is_at_the_end(&when);
        let made = number(&server, "GET", "/made");
        if made != lines as u64 {
            server.fail_seeing(&format!("{when}, `GET /made` says {made}"));
        }
    }

    #[test]
    fn a_piece_is_no_longer_than_it_may_be() {
        let check = check!("11-stream");
        check.suspect("pieces-are-too-long");
        let server = check.server(&[]);
        let mut reader = Reader::new(&server, "visitor", "/count/20000");
        reader.reads(&count(1, 20_000), "after `GET /count/20000`");
        reader.came_in_pieces();
    }

    #[test]
    fn it_is_made_as_it_is_taken() {
        let check = check!("11-stream");
        check.suspect("made-beforehand");
        let server = check.server(&[]);
        let before = peak(&server);
        let mut greedy = Reader::new(&server, "greedy visitor", "/count/1000000");
        let when = "with a greedy visitor who doesn't read";
        settle(&server, when);
        let made = number(&server, "GET", "/made");
        if made > AHEAD {
            server.fail_seeing(&format!(
                "{when}, {made} of 1000000 lines were made, and the kernel takes fewer than {AHEAD}"
            ));
        }
        let when = "when the greedy visitor reads at last";
        greedy.reads(&count(1, 1_000_000), when);
        greedy.is_at_the_end(when);
        greedy.came_in_pieces();
        needs_little_memory(&server, before, 4 << 20, "after a million lines that were taken");
    }

    /// A piece is made when all of the one before is with the kernel. So there is one at the most that isn't, or not all of it.
    #[test]
    fn no_piece_is_made_ahead() {
        let check = check!("11-stream");
        check.suspect("a-piece-ahead");
        let server = check.server(&[]);
        let mut greedy = whole::narrow_visitor(&server, "greedy visitor");
        send(&server, &mut greedy, &request("GET", "/count/1000000", ""));
        let when = "with a greedy visitor who doesn't read";
        settle(&server, when);
        let made = number(&server, "GET", "/made");
        // What was made by then is what the kernel has by now, and a piece, or less than that.
        settle(&server, when);
        server.program.stop();
        let mut came = Vec::new();
        // Where the kernel doesn't tell when it has passed on all that it has, nobody can.
        while whole::between(&server, &greedy).is_some_and(|between| between.to_visitor > 0) {
            while greedy.readable_within(LOOK_EVERY) {
                match greedy.receive_while_missing(&server.program, |bytes| !bytes.is_empty()) {
                    Ok(Ok(bytes)) => came.extend(bytes),
                    _ => server.fail_seeing(&format!("{when}, it was hung up on")),
                }
            }
        }
        server.program.go_on();
        let Some(head) = head_length(&came) else { return };
        let Some(mut coming) = Coming::new(&String::from_utf8_lossy(&came[..head])) else { return };
        let mut body = Vec::new();
        coming.take(&came[head..], &mut body);
        let taken = body.iter().filter(|byte| **byte == b'\n').count();
        if made > (taken + LINES) as u64 {
            server.fail_seeing(&format!(
                "{when}, {made} lines were made, and the kernel has {taken}, in whole pieces: besides these, one piece of \
                 {LINES} lines is made, and the next one when it's taken"
            ));
        }
    }

    #[test]
    fn each_visitor_has_its_own() {
        let check = check!("11-stream");
        check.suspect("a-stream-is-shared");
        let server = check.server(&[]);
        let mut greedy = Reader::new(&server, "greedy visitor", "/count/300000");
        let others = ["second visitor", "third visitor"];
        let mut others = others.map(|name| Reader::new(&server, name, "/count/200000"));
        greedy.reads(&count(1, 1000), "with three visitors at once");
        for other in &mut others {
            other.reads(&count(1, 200_000), "with three visitors at once");
            other.is_at_the_end("with three visitors at once");
        }
        greedy.reads(&count(1001, 300_000), "when two others have got all of theirs");
        greedy.is_at_the_end("when two others have got all of theirs");
    }

    #[test]
    fn who_hangs_up_ends_it() {
        let check = check!("11-stream");
        check.suspect("goes-on-without-its-visitor");
        let server = check.server(&[]);
        let mut rude = Reader::new(&server, "rude visitor", "/count/9999999");
        rude.reads(&count(1, 1000), "after `GET /count/9999999`");
        drop(rude);
        let when = "after the rude visitor has hung up";
        settle(&server, when);
        let made = number(&server, "GET", "/made");
        settle(&server, when);
        let later = number(&server, "GET", "/made");
        if later != made {
            server.fail_seeing(&format!("{when}, lines are still made: {made}, and then {later}"));
        }
    }

    #[test]
    fn one_answer_after_the_other() {
        let check = check!("11-stream");
        check.suspect("a-stream-is-shared");
        let server = check.server(&[]);
        let mut visitor = server.visitor("visitor").connection;
        let numbers = [1500, 0, 3, LINES, 3];
        let requests = numbers.map(|lines| request("GET", &format!("/count/{lines}"), ""));
        send(&server, &mut visitor, &requests.concat());
        for (place, lines) in (1..).zip(numbers) {
            let when =
                format!("after five requests in one piece, answer {place}, of {lines} lines");
            let answer = answer(&server, &mut visitor, false, &when);
            let expected = count(1, lines);
            if answer.status != 200 || answer.body != expected {
                let (status, got) = (answer.status, shown(&answer.body));
                let expected = shown(&expected);
                server.fail_seeing(&format!(
                    "{when}, came as {status} with {got}, and not {expected}"
                ));
            }
        }
        let made = number(&server, "GET", "/made");
        let sum: usize = numbers.iter().sum();
        if made != sum as u64 {
            server.fail_seeing(&format!(
                "{sum} lines were asked for and taken, and `GET /made` says {made}"
            ));
        }
    }

    #[test]
    fn head_has_nothing_made() {
        let check = check!("11-stream");
        check.suspect("made-beforehand");
        let server = check.server(&[]);
        let mut visitor = server.visitor("visitor").connection;
        let answer = ask(&server, &mut visitor, "HEAD", "/count/5000", "");
        if answer.status != 200 {
            let got = answer.status;
            server.fail_seeing(&format!("`HEAD /count/5000` was answered with {got}, and not 200"));
        }
        let made = number(&server, "GET", "/made");
        if made != 0 {
            server.fail_seeing(&format!("after `HEAD /count/5000`, `GET /made` says {made}"));
        }
        let next = ask(&server, &mut visitor, "GET", "/count/2", "");
        if next.body != count(1, 2) {
            let got = shown(&next.body);
            server.fail_seeing(&format!("after `HEAD /count/5000`, `GET /count/2` brought {got}"));
        }
    }

    #[test]
    fn no_tick_at_all() {
        let check = check!("11-stream");
        check.suspect("no-tick-is-one");
        let server = check.server(&[]);
        let none = number(&server, "POST", "/tick/0");
        if none != 0 {
            server.fail_seeing(&format!("after `POST /tick/0` there are {none} ticks"));
        }
        let mut listener = Reader::new(&server, "listener", "/ticks");
        tick(&server, 0);
        listener.nothing_more("after `POST /tick/0`");
        tick(&server, 2);
        listener.reads(&ticks(1, 2), "after `POST /tick/0` and `POST /tick/2`");
        tick(&server, 0);
        listener.nothing_more("after two ticks and `POST /tick/0`");
        tick(&server, 1);
        listener.reads(&ticks(3, 3), "after two ticks, `POST /tick/0` and one more");
        let listening = number(&server, "GET", "/listeners");
        if listening != 1 {
            server.fail_seeing(&format!("with one listener, `GET /listeners` says {listening}"));
        }
    }

    #[test]
    fn nothing_is_kept() {
        /// So many answers are over in each lot, of either kind.
        const EACH: usize = 1000;
        let check = check!("11-stream");
        let server = check.server(&[]);
        let mut visitor = server.visitor("visitor").connection;
        let lines = request("GET", "/count/3", "").repeat(EACH);
        // What HEAD wants is over at once; it's a listener who has left.
        let listeners = request("HEAD", "/ticks", "").repeat(EACH);
        server.keeps_nothing(2 * EACH, "answers", |lot| {
            for (requests, is_head) in [(&lines, false), (&listeners, true)] {
                send(&server, &mut visitor, requests);
                for place in 1..=EACH {
                    let when = format!("in lot {lot}, at answer {place} of {EACH}");
                    answer(&server, &mut visitor, is_head, &when);
                }
            }
            tick(&server, 1);
            tick(&server, 1);
        });
        let listening = number(&server, "GET", "/listeners");
        if listening != 0 {
            check.suspect("keeps-who-has-left");
            server.fail_seeing(&format!(
                "all listeners have left, and two ticks later `GET /listeners` says {listening}"
            ));
        }
    }

    #[test]
    fn a_tick_is_told() {
        let check = check!("11-stream");
        check.suspect("listeners-are-not-resumed");
        let server = check.server(&[]);
        let mut listener = Reader::new(&server, "listener", "/ticks");
        for number in 1..=3 {
            tick(&server, 1);
            listener.reads(&ticks(number, number), &format!("after tick {number}"));
        }
        listener.nothing_more("after three ticks");
    }

    #[test]
    fn silence_costs_nothing() {
        let check = check!("11-stream");
        check.suspect("never-pauses");
        let server = check.server(&[]);
        let mut listener = Reader::new(&server, "listener", "/ticks");
        settle(&server, "with a listener and no tick");
        tick(&server, 1);
        listener.reads(&ticks(1, 1), "after the first tick");
        settle(&server, "with a listener, after the first tick");
        listener.nothing_more("after the first tick");
    }

    #[test]
    fn from_then_on() {
        let check = check!("11-stream");
        check.suspect("begins-with-another-tick");
        let server = check.server(&[]);
        tick(&server, 5);
        let mut listener = Reader::new(&server, "listener", "/ticks");
        listener.nothing_more("with five ticks before it came");
        tick(&server, 1);
        listener.reads(&ticks(6, 6), "with five ticks before it came, after one more");
    }

    #[rstest]
    #[case::two(2)]
    #[case::a_piece_but_one(LINES - 1)]
    #[case::a_piece(LINES)]
    #[case::a_piece_and_one(LINES + 1)]
    #[case::two_pieces(2 * LINES)]
    #[case::ten_thousand(10_000)]
    #[case::three_pieces(3 * LINES)]
    fn all_of_many_at_once(#[case] more: usize) {
        let check = check!("11-stream");
        check.suspect("pauses-too-early");
        let server = check.server(&[]);
        let mut listener = Reader::new(&server, "listener", "/ticks");
        settle(&server, "with a listener and no tick");
        let when = format!("after {more} ticks at once");
        tick(&server, more);
        listener.reads(&ticks(1, more), &when);
        listener.nothing_more(&when);
        listener.came_in_pieces();
        tick(&server, 1);
        listener.reads(&ticks(more + 1, more + 1), &format!("{when}, and one more"));
    }

    #[test]
    fn each_listener_begins_when_it_comes() {
        let check = check!("11-stream");
        check.suspect("begins-with-another-tick");
        let server = check.server(&[]);
        let mut listeners: Vec<Reader<'_>> = Vec::new();
        // Each has missed another number of ticks, and more than a piece of them in the end.
        for (so_far, more) in [(0, 1), (1, 2), (3, LINES), (3 + LINES, 2 * LINES + 5)] {
            let name = ["first", "second", "third", "fourth"][listeners.len()];
            listeners.push(Reader::new(&server, &format!("{name} listener"), "/ticks"));
            settle(&server, "with a listener more");
            tick(&server, more);
            for listener in &mut listeners {
                let when = format!("with {so_far} ticks before, after {more} more");
                listener.reads(&ticks(so_far + 1, so_far + more), &when);
                listener.came_in_pieces();
            }
        }
    }

    #[test]
    fn all_who_listen_hear_it() {
        let check = check!("11-stream");
        check.suspect("some-are-not-resumed");
        let server = check.server(&[]);
        let names = ["first listener", "second listener", "third listener"];
        let mut listeners = names.map(|name| Reader::new(&server, name, "/ticks"));
        let listening = number(&server, "GET", "/listeners");
        if listening != 3 {
            server.fail_seeing(&format!("with three listeners, `GET /listeners` says {listening}"));
        }
        settle(&server, "with three listeners and no tick");
        for number in 1..=3 {
            tick(&server, 1);
            for listener in &mut listeners {
                listener.reads(&ticks(number, number), &format!("after tick {number}"));
            }
        }
        for listener in &mut listeners {
            listener.nothing_more("after three ticks");
        }
    }

    #[test]
    fn who_does_not_read_fills_no_memory() {
        let check = check!("11-stream");
        check.suspect("queues-lines-for-listeners");
        let server = check.server(&[]);
        let mut greedy = Reader::new(&server, "greedy listener", "/ticks");
        let mut other = Reader::new(&server, "listener", "/ticks");
        tick(&server, 1);
        other.reads(&ticks(1, 1), "after the first tick");
        let before = peak(&server);
        let began = Instant::now();
        tick(&server, 1_000_000);
        let when = "after a million ticks, with a greedy listener who doesn't read";
        other.reads(&ticks(2, 1_000_001), when);
        settle(&server, when);
        needs_little_memory(&server, before, 8 << 20, when);
        // The server hangs up on who takes nothing for half a minute. On a very busy machine the other one took as long.
        if began.elapsed() < Duration::from_secs(15) {
            let listening = number(&server, "GET", "/listeners");
            if listening != 2 {
                check.suspect("on-the-list-while-it-pauses");
                server.fail_seeing(&format!(
                    "{when}, that one is still there, and `GET /listeners` says {listening}"
                ));
            }
            greedy.reads(&ticks(1, 1_000_001), "when the greedy listener reads at last");
        }
    }

    #[rstest]
    #[case::who_has_hung_up(false)]
    #[case::who_was_cut_off(true)]
    fn who_has_left_is_forgotten(#[case] rudely: bool) {
        let check = check!("11-stream");
        check.suspect("keeps-who-has-left");
        let server = check.server(&[]);
        let mut faithful = Reader::new(&server, "faithful listener", "/ticks");
        for _ in 0..3 {
            let listener = Reader::new(&server, "listener", "/ticks");
            match rudely {
                true => listener.connection.reset(),
                false => drop(listener),
            }
        }
        settle(&server, "after three listeners have left");
        for number in 1..=2 {
            tick(&server, 1);
            faithful.reads(&ticks(number, number), "after three listeners have left");
            settle(&server, "after three listeners have left");
        }
        let listening = number(&server, "GET", "/listeners");
        if listening != 1 {
            server.fail_seeing(&format!(
                "three of four listeners have left, and two ticks later `GET /listeners` says {listening}"
            ));
        }
        tick(&server, 1);
        faithful.reads(&ticks(3, 3), "after three listeners have left");
    }

    #[test]
    fn the_next_tick_reaches_all_who_stayed() {
        let check = check!("11-stream");
        check.suspect("passes-over-who-moves-up");
        let server = check.server(&[]);
        let names = [
            "first listener",
            "second listener",
            "third listener",
            "fourth listener",
            "fifth listener",
            "sixth listener",
        ];
        let listeners = names.map(|name| Reader::new(&server, name, "/ticks"));
        let mut stayed = Vec::new();
        for (listener, stays) in listeners.into_iter().zip([true, false, false, true, false, true])
        {
            match stays {
                true => stayed.push(listener),
                false => listener.connection.reset(),
            }
        }
        let when = "with the second, the third and the fifth of six listeners gone";
        settle(&server, when);
        for number in 1..=3 {
            tick(&server, 1);
            let when = format!("{when}, after tick {number}");
            for listener in &mut stayed {
                listener.reads(&ticks(number, number), &when);
            }
            settle(&server, &when);
        }
        let listening = number(&server, "GET", "/listeners");
        if listening != 3 {
            check.suspect("keeps-who-has-left");
            server.fail_seeing(&format!(
                "{when}, three ticks later `GET /listeners` says {listening}"
            ));
        }
    }
}
