//! curl, which does by the book what its options say.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::house::{House, MIB, PAGE, noise};
use crate::tools::{Said, run, run_with, tool};

/// curl, told to say nothing but what comes, and to wait for nobody for ever.
#[track_caller]
fn curl(arguments: &[&str]) -> Option<Said> {
    let curl = tool("curl")?;
    let usual = ["--silent", "--show-error", "--max-time", "50", "--noproxy", "*"];
    Some(run(&curl, usual.iter().chain(arguments)))
}

/// The same, with something on its standard input.
#[track_caller]
fn curl_with(arguments: &[&str], input: &[u8]) -> Option<Said> {
    let mut command = Command::new(tool("curl")?);
    command
        .args(["--silent", "--show-error", "--max-time", "50", "--noproxy", "*"])
        .args(arguments);
    Some(run_with(&mut command, input))
}

/// Only the status and so on, as `format` says it.
#[track_caller]
fn ask(format: &str, arguments: &[&str]) -> Option<String> {
    let what = [&["--output", "/dev/null", "--write-out", format], arguments].concat();
    Some(curl(&what)?.well().text())
}

#[test]
fn get_and_head() {
    let house = House::open(&[]);
    let Some(said) = curl(&[&house.url("/hello")]) else { return };
    assert_eq!(said.well().text(), "Hello, World!");
    assert_eq!(curl(&[&house.url("/")]).unwrap().well().text(), PAGE);
    let head = curl(&["--head", &house.url("/")]).unwrap().well().text();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", PAGE.len())), "{head}");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    // A body behind the answer to HEAD would be the next answer.
    let format = "%{http_code} %{num_connects} %{size_download}\n";
    let both = [&house.url("/"), &house.url("/")].map(String::clone);
    let said = ask(format, &["--head", &both[0], "--output", "/dev/null", &both[1]]).unwrap();
    assert_eq!(said, "200 1 0\n200 0 0\n");
}

#[test]
fn many_urls_over_one_connection() {
    let house = House::open(&[]);
    house.file("small", 1000);
    house.file("large", MIB);
    let mut urls = Vec::new();
    for _ in 0..10 {
        for path in ["/hello", "/small", "/", "/large", "/nowhere", "/metrics"] {
            urls.extend(["--output".to_owned(), "/dev/null".to_owned(), house.url(path)]);
        }
    }
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let options = ["--write-out", "%{http_code} %{num_connects}\n"];
    let Some(said) = curl(&[&options, urls.as_slice()].concat()) else { return };
    let said = said.well().text();
    let (connects, statuses): (Vec<_>, Vec<_>) =
        said.lines().map(|line| (&line[4..], &line[..3])).unzip();
    assert_eq!(connects.len(), 60);
    assert_eq!(connects[0], "1");
    assert!(connects[1..].iter().all(|connects| *connects == "0"), "{said}");
    let expected = ["200", "200", "200", "200", "404", "200"];
    assert!(statuses.chunks(6).all(|six| six == expected), "{said}");
}

#[test]
fn http_1_0() {
    let house = House::open(&[]);
    let format = "%{http_code} %{num_connects} %{size_download}\n";
    let url = house.url("/hello");
    let two = ["--http1.0", &url, "--output", "/dev/null", &url];
    let Some(said) = ask(format, &two) else { return };
    assert_eq!(said, "200 1 13\n200 1 13\n", "one connection each");
    // What has no length ends with the connection.
    let live = curl(&["--http1.0", "--include", "--max-time", "2", &house.url("/live")]).unwrap();
    let text = live.text();
    assert!(
        text.contains("\nConnection: close\r\n") && !text.contains("Transfer-Encoding"),
        "{text}"
    );
    assert!(text.contains("\r\n\r\n: welcome\n\n"), "{text}");
}

/// What is sent comes back, and one byte too many doesn't.
#[test]
fn bodies_up_to_1_mib() {
    let house = House::open(&[]);
    for expect in ["Expect: 100-continue", "Expect:"] {
        for (length, status) in [(0, 200), (1, 200), (MIB, 200), (MIB + 1, 413)] {
            let body = noise(length);
            let arguments = [
                "--header",
                expect,
                "--header",
                "Content-Type: application/x-noise",
                "--data-binary",
                "@-",
                "--write-out",
                "|%{http_code} %{content_type}",
                &house.url("/echo"),
            ];
            let Some(said) = curl_with(&arguments, &body) else { return };
            // It's told what is wrong even where it hasn't sent all: a reset would be an error of curl's.
            let said = said.well().bytes;
            let (content, end) =
                said.split_at(said.iter().rposition(|byte| *byte == b'|').unwrap());
            let end = String::from_utf8_lossy(end);
            if status == 200 {
                assert_eq!(end, "|200 application/x-noise", "{length} bytes, {expect}");
                assert!(content == body, "{length} bytes, {expect}");
            } else {
                assert!(end.starts_with("|413 text/html"), "{length} bytes, {expect}: {end}");
            }
        }
    }
}

/// Whoever asks first is told to go on, or not to begin.
#[test]
fn expect_is_answered_before_the_body() {
    let house = House::open(&[]);
    let with_body = |path: &str| {
        let url = house.url(path);
        let options =
            ["--verbose", "--expect100-timeout", "40", "--header", "Expect: 100-continue"];
        curl_with(&[&options[..], &["--data-binary", "@-", &url]].concat(), b"patience")
    };
    let Some(said) = with_body("/echo") else { return };
    let said = said.well();
    assert_eq!(said.text(), "patience");
    assert!(said.errors.contains("< HTTP/1.1 100 Continue"), "{}", said.errors);
    let nowhere = with_body("/nowhere").unwrap().well();
    assert!(!nowhere.errors.contains("100 Continue"), "{}", nowhere.errors);
    assert!(nowhere.errors.contains("< HTTP/1.1 40"), "{}", nowhere.errors);
    house.quick();
}

#[test]
fn a_chunked_upload() {
    let house = House::open(&[]);
    let url = house.url("/echo");
    let chunked = "Transfer-Encoding: chunked";
    let arguments = ["--upload-file", "-", "--request", "POST", "--header", chunked, &url];
    for length in [0, 1, 100_000, MIB] {
        let body = noise(length);
        let Some(said) = curl_with(&arguments, &body) else { return };
        assert!(said.well().bytes == body, "{length} bytes");
    }
    let format = ["--output", "/dev/null", "--write-out", "%{http_code}"];
    let too_much = [&format[..], &arguments].concat();
    assert_eq!(curl_with(&too_much, &noise(MIB + 1)).unwrap().text(), "413");
}

#[test]
fn a_large_file_arrives_to_the_byte() {
    let house = House::open(&[]);
    let large = house.file("large.bin", 10 * MIB);
    let Some(said) = curl(&[&house.url("/large.bin")]) else { return };
    assert!(said.well().bytes == large, "other bytes");
    let slowly = curl(&["--limit-rate", "5M", &house.url("/large.bin")]).unwrap();
    assert!(slowly.well().bytes == large, "other bytes, read slowly");
}

#[test]
fn ranges() {
    let house = House::open(&[]);
    for (name, length) in [("small", 1000), ("large", 2 * MIB)] {
        let file = house.file(name, length);
        let url = house.url(&format!("/{name}"));
        let cases = [
            ("0-0", 0..1),
            ("10-19", 10..20),
            ("990-", 990..length),
            ("-5", length - 5..length),
            ("500-99999999", 500..length),
        ];
        for (range, expected) in cases {
            let format = "|%{http_code}|%header{content-range}";
            let Some(said) = curl(&["--range", range, "--write-out", format, &url]) else { return };
            let end = format!("|206|bytes {}-{}/{length}", expected.start, expected.end - 1);
            let said = said.well().bytes;
            let content = said.strip_suffix(end.as_bytes());
            assert!(content == Some(&file[expected]), "{range} of {name}");
        }
        let beyond = ask("%{http_code}|%header{content-range}", &["--range", "99999999-", &url]);
        assert_eq!(beyond.unwrap(), format!("416|bytes */{length}"));
        let several = ask("%{http_code}|%{size_download}", &["--range", "0-1,4-5", &url]);
        assert_eq!(several.unwrap(), format!("200|{length}"));
    }
}

/// A download that broke off goes on where it was.
#[test]
fn a_download_is_resumed() {
    let house = House::open(&[]);
    let file = house.file("large.bin", 3 * MIB);
    let part = house.beside("part");
    fs::write(&part, &file[..MIB + 7]).unwrap();
    let (part_name, url) = (part.to_str().unwrap(), house.url("/large.bin"));
    let format = "%{http_code} %{size_download}";
    let resume = ["--continue-at", "-", "--output", part_name, "--write-out", format, &url];
    let Some(said) = curl(&resume) else { return };
    assert_eq!(said.well().text(), format!("206 {}", 2 * MIB - 7));
    assert!(fs::read(&part).unwrap() == file);
    // There is nothing left: it's told so, and takes it for done.
    assert_eq!(curl(&resume).unwrap().well().text().split(' ').next(), Some("416"));
    assert!(fs::read(&part).unwrap() == file);
}

#[test]
fn what_curl_has_already_is_not_sent() {
    let house = House::open(&[]);
    let file = house.file("file.css", 5000);
    let old = house.path("file.css");
    let modified = std::time::SystemTime::now() - Duration::from_secs(3600);
    fs::File::options().append(true).open(&old).unwrap().set_modified(modified).unwrap();
    let url = house.url("/file.css");
    let copy = house.beside("copy.css");
    let copy = copy.to_str().unwrap();
    let Some(said) = curl(&["--remote-time", "--output", copy, &url]) else { return };
    said.well();
    assert!(fs::read(copy).unwrap() == file);
    let format = "%{http_code} %{size_download} %{num_connects}";
    // By its date, from the copy's own.
    assert_eq!(ask(format, &["--time-cond", copy, &url]).unwrap(), "304 0 1");
    assert_eq!(
        ask(format, &["--time-cond", "Sun, 06 Nov 1994 08:49:37 GMT", &url]).unwrap(),
        "200 5000 1"
    );
    assert_eq!(
        ask(format, &["--time-cond", "-Sun, 06 Nov 1994 08:49:37 GMT", &url])
            .unwrap()
            .split(' ')
            .next(),
        Some("412")
    );
    // And by its tag.
    let tag = house.beside("tag");
    let tag = tag.to_str().unwrap();
    assert_eq!(ask(format, &["--etag-save", tag, &url]).unwrap(), "200 5000 1");
    assert!(fs::read_to_string(tag).unwrap().trim().len() > 4);
    assert_eq!(ask(format, &["--etag-compare", tag, &url]).unwrap(), "304 0 1");
    let mut other = file;
    other.reverse();
    fs::write(house.path("other"), &other).unwrap();
    fs::rename(house.path("other"), &old).unwrap();
    fs::File::options().append(true).open(&old).unwrap().set_modified(modified).unwrap();
    // As long, and as old; and yet it's another. It's seen within a second.
    visitors::setup::until("the change is seen", || {
        let said = curl(&["--etag-compare", tag, &url]).unwrap().well();
        (said.bytes == other).then_some(())
    });
}

#[test]
fn no_path_leads_out() {
    let house = House::open(&[]);
    fs::write(house.beside("secret"), "the secret").unwrap();
    fs::write(house.path(".hidden"), "the secret").unwrap();
    fs::create_dir(house.path("folder")).unwrap();
    fs::write(house.path("folder/page"), "a page").unwrap();
    std::os::unix::fs::symlink(house.beside("secret"), house.path("link")).unwrap();
    std::os::unix::fs::symlink("..", house.path("folder/up")).unwrap();
    let absolute = house.beside("secret");
    let absolute = absolute.to_str().unwrap();
    let paths = [
        "/../secret",
        "/folder/../../secret",
        "/%2e%2e/secret",
        "/%2E%2E%2Fsecret",
        "/.%2e/secret",
        "/..%2fsecret",
        "/..%5csecret",
        "/..\\secret",
        "/folder/%2e%2e/%2e%2e/secret",
        "/%252e%252e/secret",
        "/..%00/secret",
        "/index.html%00",
        "/link",
        "/folder/up/index.html",
        "/.hidden",
        "/%2ehidden",
        "/./index.html",
        "//index.html",
        "/folder//page",
        "/folder/page/",
        "/..;/secret",
        "/%c0%ae%c0%ae/secret",
        &format!("/{absolute}"),
        &format!("/%2f{}", &absolute[1..]),
        "/folder%2fpage",
    ];
    for path in paths {
        let what = ["--path-as-is", "--write-out", "|%{http_code}", &house.url(path)];
        let Some(said) = curl(&what) else { return };
        let said = said.well().text();
        assert!(said.ends_with("|404") || said.ends_with("|400"), "{path}: {said}");
        assert!(!said.contains("the secret"), "{path}: {said}");
    }
    let there = ["--path-as-is", "--write-out", "|%{http_code}", &house.url("/f%6flder/p%61ge")];
    assert_eq!(curl(&there).unwrap().well().text(), "a page|200");
    // Where a folder is.
    let moved = ask("%{http_code} %{redirect_url}", &[&house.url("/folder?a=b")]).unwrap();
    assert_eq!(moved, format!("308 {}", house.url("/folder/?a=b")));
}
