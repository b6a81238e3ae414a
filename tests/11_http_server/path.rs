//! The checks of 11-path: no path leaves the root.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::thread;

use visitors::program::Watch;

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
            Some(trouble @ Trouble::Ended { .. }) => server.fail_for(when, &trouble),
            Some(_) => server.fail_seeing(&format!(
                "{when}, your program has {now} descriptors open, and it had {before} before"
            )),
            None => thread::sleep(LOOK_EVERY / 10),
        }
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
#[case::a_bare_backslash("back\\slash.txt", "/back\\slash.txt", "there is a backslash in the name")]
#[case::a_backslash_at_its_end("hello.txt\\", "/hello.txt%5C", "there is a backslash in the name")]
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
    for name in
        [".hidden", ".git/config", "folder/.hidden", "...hidden", "..hidden", "folder/.git/config"]
    {
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
        server
            .fail_seeing(&format!("`GET /folder/inner.txt` was answered with {got}, and not 200"));
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
            let Some(limited_to) = (0..).filter(|number| !open.contains(number)).nth(left) else {
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
            server
                .fail_seeing(&format!("`GET {target}` was answered with {got}, and not {status}"));
        }
    }
    let when = format!("after {TIMES} times `GET {target}`");
    as_many_descriptors_stay(&server, before, &when);
}
