//! A real browser.

use std::fs;
use std::process::{Command, Stdio};

use crate::house::{House, LogLine};
use crate::tools::{one_of, run_with};
use visitors::setup::until;

/// The browser as its makers and distributions call it.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

const BROWSER_PAGE: &str = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>A page</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="style.css"></head>
<body><p id="words">not yet</p><img src="picture.svg" alt="a square"><script src="script.js"></script></body></html>
"#;
const PICTURE: &str = r#"<svg xmlns="http://www.w3.org/2000/svg" width="31" height="17"><rect width="31" height="17"/></svg>"#;
const SCRIPT: &str = "addEventListener('load', async () => {
    const image = document.querySelector('img'), words = document.querySelector('#words');
    const style = getComputedStyle(words).letterSpacing;
    const hello = await (await fetch('/hello')).text();
    const part = await fetch('/script.js', { headers: { Range: 'bytes=0-15' } });
    words.textContent = [image.naturalWidth, image.naturalHeight, style, hello, part.status, await part.text()].join('|');
});";

#[test]
fn a_page_with_all_that_belongs_to_it() {
    let Some(browser) = one_of(&NAMES) else { return };
    let house = House::open(&[]);
    fs::create_dir(house.path("page")).unwrap();
    for (name, text) in [
        ("page/index.html", BROWSER_PAGE),
        ("page/picture.svg", PICTURE),
        ("page/script.js", SCRIPT),
        ("script.js", SCRIPT),
        ("page/style.css", "#words { letter-spacing: 7px; }"),
    ] {
        fs::write(house.path(name), text).unwrap();
    }
    let profile = tempfile::tempdir().unwrap();
    let mut command = Command::new(browser);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-sync",
    ]);
    command.args(["--disable-background-networking", "--disable-component-update"]);
    command.arg("--no-proxy-server").arg("--virtual-time-budget=20000").arg("--dump-dom");
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    command.arg(house.url("/page")).stderr(Stdio::null());
    let dom = run_with(&mut command, b"").well().text();
    // It found the folder, and took each file for what it is: a picture or a style sheet of the wrong type
    // would be as good as none.
    let expected = "31|17|7px|Hello, World!|206|addEventListener";
    assert!(dom.contains(expected), "{dom}");
    let log = until("all is in the log", || Some(house.log()).filter(|log| log.len() >= 7));
    let asked = |log: &[LogLine]| {
        let mut asked: Vec<_> =
            log.iter().map(|line| format!("{} {}", line.status, line.request)).collect();
        asked.sort();
        asked
    };
    let expected = [
        "200 GET /hello HTTP/1.1",
        "200 GET /page/ HTTP/1.1",
        "200 GET /page/picture.svg HTTP/1.1",
        "200 GET /page/script.js HTTP/1.1",
        "200 GET /page/style.css HTTP/1.1",
        "206 GET /script.js HTTP/1.1",
        "308 GET /page HTTP/1.1",
    ];
    assert_eq!(asked(&log), expected);
    let others = log.iter().filter(|line| !line.request.contains("/page"));
    assert!(others.clone().count() == 2, "{log:?}");
    for line in &log {
        assert!(line.agent.contains("Chrome"), "{line:?}");
    }
}
