//! The book as `cargo book` serves it, in a real browser: all of it can be read, a change is shown at
//! once, and a page tells what its server is doing. From another host it says nothing of that, and asks
//! for nothing.

mod browser;
mod served;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use book::build::build_into;
use book::repo::{Repo, files_below};
use browser::Browser;
use rstest::rstest;
use serde_json::{Value, json};
use served::Served;
use tempfile::TempDir;

/// The place for the numbers, as chapter 11's page has it.
const PANEL: &str = r#"
<div id="live" class="live" role="group" aria-label="The server of this page" hidden>
<p>This page comes from chapter 11's server. What that is doing at this moment:</p>
<dl>
<div><dt>open connections</dt><dd data-live="open">–</dd></div>
<div><dt>connections so far</dt><dd data-live="connections">–</dd></div>
<div><dt>requests</dt><dd data-live="requests">–</dd></div>
<div><dt>turns of its loop</dt><dd data-live="turns">–</dd></div>
</dl>
</div>
"#;

const SHOWN: &str = "document.getElementById('live').getClientRects().length > 0";

/// A copy of this book, for a test to change, and a browser to read it in.
struct Reader {
    browser: Browser,
    copy: TempDir,
}

impl Reader {
    /// Unless there is no browser here.
    fn new() -> Option<Self> {
        let browser = Browser::start()?;
        let copy = tempfile::tempdir().expect("a folder can be made");
        copy_sources(Repo::this().expect("tests run in a checkout").root(), copy.path());
        let reader = Self { browser, copy };
        // A page of its own, whatever becomes of the others: a long one, with a panel.
        let long = "A paragraph.\n\n".repeat(300);
        reader.write("book/src/of-a-test.md", &format!("# Of a test\n{PANEL}\n{long}"));
        let summary = fs::read_to_string(reader.path("book/src/SUMMARY.md")).expect("it's there");
        reader.write("book/src/SUMMARY.md", &format!("{summary}\n[Of a test](of-a-test.md)\n"));
        Some(reader)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.copy.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).expect("it can be written");
    }

    fn change(&self, path: &str, from: &str, to: &str) {
        let before = fs::read_to_string(self.path(path)).expect("it's there");
        assert!(before.contains(from), "{path} has no {from:?}");
        self.write(path, &before.replace(from, to));
    }

    fn serve(&self) -> Served {
        Served::start(self.copy.path())
    }

    #[track_caller]
    fn number(&mut self, name: &str) -> f64 {
        let text = self
            .browser
            .ask_text(&format!("document.querySelector('[data-live={name}]').innerText"));
        text.replace(',', "").parse().unwrap_or_else(|_| panic!("{name} is no number: {text}"))
    }

    /// The numbers have come.
    #[track_caller]
    fn wait_for_numbers(&mut self) {
        self.browser.wait_until("document.querySelector('[data-live=turns]').innerText !== '–'");
    }

    /// Whether it has asked for something, so far.
    fn asked_for(&self, path: &str) -> bool {
        let requests = self.browser.events("Network.requestWillBeSent");
        requests.iter().any(|event| {
            let url = event["params"]["request"]["url"].as_str().unwrap_or_default();
            url.ends_with(path)
        })
    }

    /// All that it asked for was there, and it has nothing to complain of.
    #[track_caller]
    fn assert_all_is_well(&self) {
        let answers = self.browser.events("Network.responseReceived");
        assert!(!answers.is_empty());
        for answer in answers {
            let (status, url) =
                (&answer["params"]["response"]["status"], &answer["params"]["response"]["url"]);
            assert!(status.as_u64().is_some_and(|status| status < 400), "{url}: {status}");
        }
        for failed in self.browser.events("Network.loadingFailed") {
            // Whoever leaves a page hangs up on those who still talk.
            assert_eq!(failed["params"]["canceled"], true, "{failed}");
        }
        for method in ["Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"] {
            let events = self.browser.events(method);
            assert!(events.is_empty(), "{events:?}");
        }
    }
}

/// What the book is made of.
fn copy_sources(from: &Path, to: &Path) {
    let repo = Repo::at(from);
    for part in ["book/book.toml", "book/src", "book/theme", "book/pictures", "book/timelines"]
        .into_iter()
        .chain(["book/figures", "book/transcripts", "chapters", "tests/race/src"])
    {
        let part = repo.root().join(part);
        let files = if part.is_dir() { files_below(&part) } else { vec![part] };
        for file in files {
            let target = to.join(file.strip_prefix(repo.root()).expect("it's below"));
            fs::create_dir_all(target.parent().expect("it has one")).expect("it can be made");
            fs::copy(&file, target).expect("a file can be copied");
        }
    }
}

#[test]
fn every_page_is_there_with_all_that_it_needs() {
    let Some(mut reader) = Reader::new() else { return };
    let served = reader.serve();
    reader.browser.open_url(&served.url("/"));
    let links = "[...document.querySelectorAll('#mdbook-sidebar a[href]')].map(link => link.href)";
    let links = reader.browser.ask(links);
    let links: BTreeSet<String> = serde_json::from_value(links).expect("it's a list");
    let links: BTreeSet<&str> =
        links.iter().map(|link| link.split('#').next().unwrap_or_default()).collect();
    // The headings of this page are there too.
    let links: Vec<&str> = links.into_iter().filter(|link| link.ends_with(".html")).collect();
    let sources = fs::read_to_string(reader.path("book/src/SUMMARY.md")).expect("it's there");
    assert_eq!(links.len(), sources.matches(".md)").count(), "{links:?}");
    for link in links.into_iter().chain([served.url("/print.html").as_str()]) {
        reader.browser.open_url(link);
        let heading = reader.browser.ask_text("document.querySelector('main h1').innerText");
        assert!(!heading.is_empty(), "{link}");
    }
    assert!(reader.asked_for("/live"));
    reader.assert_all_is_well();
}

#[test]
fn search_finds_a_page_and_goes_there() {
    let Some(mut reader) = Reader::new() else { return };
    let served = reader.serve();
    reader.browser.open_url(&served.url("/"));
    reader.browser.click("document.getElementById('mdbook-search-toggle')");
    reader.browser.wait_until("document.activeElement.id === 'mdbook-searchbar'");
    reader.browser.write("descriptor");
    let found = "document.querySelector('#mdbook-searchresults a')";
    reader.browser.wait_until(&format!("!!{found}"));
    let target = reader.browser.ask_text(&format!("{found}.pathname"));
    assert!(target.ends_with(".html"), "{target}");
    reader.browser.click(found);
    reader.browser.wait_until(&format!(
        "location.pathname === '{target}' && document.querySelectorAll('mark').length > 0"
    ));
    reader.assert_all_is_well();
}

#[test]
fn a_change_is_shown_where_the_reader_is() {
    let Some(mut reader) = Reader::new() else { return };
    let served = reader.serve();
    reader.browser.open_url(&served.url("/of-a-test.html"));
    reader.wait_for_numbers();
    reader.browser.ask("scrollTo({ top: 2000, behavior: 'instant' })");
    reader.browser.ask("window.isTheOldOne = true");
    reader.change("book/src/of-a-test.md", "# Of a test", "# Of a second test");
    let heading = "document.querySelector('main h1')?.innerText";
    reader.browser.wait_until(&format!("{heading} === 'Of a second test'"));
    assert_eq!(reader.browser.ask("window.isTheOldOne"), Value::Null, "it's another page");
    reader.browser.wait_until("Math.abs(scrollY - 2000) < 2");
    // And again: the new page listens too.
    reader.wait_for_numbers();
    reader.change("book/src/of-a-test.md", "# Of a second test", "# Of a third test");
    reader.browser.wait_until(&format!("{heading} === 'Of a third test'"));

    // It's loaded anew for a change, and for nothing else.
    reader.wait_for_numbers();
    reader.browser.ask("window.isTheOldOne = true");
    let turns = reader.number("turns");
    reader.browser.wait_until(&format!(
        "Number(document.querySelector('[data-live=turns]').innerText.replace(',', '')) > {turns}"
    ));
    assert_eq!(reader.browser.ask("window.isTheOldOne"), true);
    reader.assert_all_is_well();
}

#[test]
fn a_page_that_nobody_looks_at_keeps_no_connection_and_finds_out_later() {
    let Some(mut reader) = Reader::new() else { return };
    let served = reader.serve();
    reader.browser.open_url(&served.url("/of-a-test.html"));
    reader.wait_for_numbers();
    let look = |hidden: bool| {
        format!(
            "Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }});
            document.dispatchEvent(new Event('visibilitychange'))"
        )
    };
    reader.browser.ask(&look(true));
    // The server hasn't told anybody of this one.
    reader.change("book/src/of-a-test.md", "# Of a test", "# Of a second test");
    served.wait_for("/of-a-test.html", "Of a second test");
    let heading = "document.querySelector('main h1')?.innerText";
    assert_eq!(reader.browser.ask_text(heading), "Of a test");
    reader.browser.ask(&look(false));
    reader.browser.wait_until(&format!("{heading} === 'Of a second test'"));
    reader.wait_for_numbers();
    reader.assert_all_is_well();
}

#[test]
fn the_numbers_are_the_server_s_and_move() {
    let Some(mut reader) = Reader::new() else { return };
    let served = reader.serve();
    reader.browser.open_url(&served.url("/of-a-test.html"));
    assert_eq!(reader.browser.ask(SHOWN), true);
    reader.wait_for_numbers();
    let (requests, connections) = (reader.number("requests"), reader.number("connections"));
    let turns = reader.number("turns");
    for _ in 0..1200 {
        served.get("/of-a-test.html");
    }
    let requests_now =
        "Number(document.querySelector('[data-live=requests]').innerText.replace(',', ''))";
    reader.browser.wait_until(&format!("{requests_now} >= {requests} + 1200"));
    let connections_now = reader.number("connections");
    assert!(connections_now >= connections + 1200.0, "{connections} and then {connections_now}");
    assert!(reader.number("turns") > turns);
    let open = reader.number("open");
    assert!((1.0..=7.0).contains(&open), "{open}, of one browser");
    // To be read by people, and read out to nobody each second.
    let text = reader.browser.ask_text("document.querySelector('[data-live=requests]').innerText");
    assert!(text.contains(','), "{text}");
    let read_out =
        "!!document.querySelector('#live').closest('[aria-live], [role=status], [role=log]')
        || !!document.querySelector('#live :is([aria-live], [role=status], output)')";
    assert_eq!(reader.browser.ask(read_out), false);
    reader.assert_all_is_well();
}

#[test]
fn a_page_outlives_its_server() {
    let Some(mut reader) = Reader::new() else { return };
    let served = reader.serve();
    let port = served.port;
    reader.browser.open_url(&served.url("/of-a-test.html"));
    reader.wait_for_numbers();

    drop(served);
    // They are nobody's any more.
    reader.browser.wait_until(
        "[...document.querySelectorAll('[data-live]')].every(place => place.innerText === '–')",
    );
    reader.change("book/src/of-a-test.md", "# Of a test", "# Of a second test");
    let port = port.to_string();
    let next = Served::start_with(reader.copy.path(), &["--port", &port], |start| start);
    if next.port.to_string() != port {
        return visitors::skipped(format!("somebody else has taken port {port}"));
    }
    reader
        .browser
        .wait_until("document.querySelector('main h1')?.innerText === 'Of a second test'");
    reader.wait_for_numbers();
}

/// A phone, and dark themes.
#[rstest]
#[case::light("light")]
#[case::dark("navy")]
#[case::darkest("coal")]
fn the_numbers_can_be_read_on_a_phone(#[case] theme: &str) {
    let Some(mut reader) = Reader::new() else { return };
    let served = reader.serve();
    reader.browser.command(
        "Emulation.setDeviceMetricsOverride",
        json!({"width": 320, "height": 640, "deviceScaleFactor": 1, "mobile": true}),
    );
    reader.browser.open_url(&served.url("/of-a-test.html"));
    reader.browser.ask(&format!("localStorage.setItem('mdbook-theme', '{theme}')"));
    reader.browser.open_url(&served.url("/of-a-test.html?again"));
    reader.wait_for_numbers();
    assert_eq!(
        reader.browser.ask(&format!("document.documentElement.classList.contains('{theme}')")),
        true
    );
    // The widest that there will be.
    reader.browser.ask(
        "for (const place of document.querySelectorAll('[data-live]')) {
            place.textContent = '999,999,999';
        }",
    );
    let widths = "[...document.querySelectorAll('#live, #live *')].filter(part =>
        part.getBoundingClientRect().right > innerWidth || part.scrollWidth > part.clientWidth + 1
    ).map(part => part.outerHTML)";
    assert_eq!(reader.browser.ask(widths), json!([]));
    let contrast = reader.browser.ask_number(
        "(() => {
            const light = color => {
                const parts = color.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255)
                    .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
                return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
            };
            const text = light(getComputedStyle(document.querySelector('#live dd')).color);
            const ground = light(getComputedStyle(document.getElementById('live')).backgroundColor);
            return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
        })()",
    );
    assert!(contrast >= 4.5, "{contrast}");
}

/// The same pages, from a server that isn't ours, and from no server.
#[rstest]
#[case::another_host(true)]
#[case::a_file(false)]
fn elsewhere_it_says_nothing_and_asks_for_nothing(#[case] is_served: bool) {
    let Some(mut reader) = Reader::new() else { return };
    let built = tempfile::tempdir().expect("a folder can be made");
    build_into(&Repo::at(reader.copy.path()), built.path()).expect("the book can be built");
    let other = OtherHost::of(built.path());
    let pages: Vec<PathBuf> = files_below(built.path())
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "html"))
        .filter(|file| !file.ends_with("toc.html")) // is shown within others
        .filter(|file| is_served || !file.ends_with("404.html")) // has its styles from a server
        .collect();
    assert!(pages.len() > 10, "{pages:?}");
    for page in pages {
        match is_served {
            true => {
                let name = page.strip_prefix(built.path()).expect("it's below").display();
                reader.browser.open_url(&format!("http://127.0.0.1:{}/{name}", other.port));
            }
            false => reader.browser.open(&page),
        }
        let hidden = format!("!document.getElementById('live') || !({SHOWN})");
        assert_eq!(reader.browser.ask(&hidden), true, "{}", page.display());
    }
    assert!(!reader.asked_for("/live"));
    let asked = other.asked.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(asked.iter().any(|path| path.contains("live-")), is_served, "its script: {asked:?}");
    assert!(!asked.iter().any(|path| path == "/live"), "{asked:?}");
    if is_served {
        reader.assert_all_is_well();
    }
    for method in ["Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"] {
        let events = reader.browser.events(method);
        assert!(events.is_empty(), "{events:?}");
    }
}

/// A server that sends files, and nothing else: any host of static pages.
struct OtherHost {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl OtherHost {
    fn of(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = listener.local_addr().expect("it has one").port();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (folder, notes) = (folder.to_path_buf(), Arc::clone(&asked));
        // Ends with the test's process.
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (folder, notes) = (folder.clone(), Arc::clone(&notes));
                thread::spawn(move || send_file(socket, &folder, &notes));
            }
        });
        Self { port, asked }
    }
}

fn send_file(mut socket: TcpStream, folder: &Path, asked: &Mutex<Vec<String>>) -> Option<()> {
    let mut lines = BufReader::new(socket.try_clone().ok()?).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    lines.find(String::is_empty)?;
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
    let file = folder.join(path.trim_start_matches('/').split('?').next()?);
    let kind = match file.extension()?.to_str()? {
        "html" => "text/html",
        "css" => "text/css",
        "js" => "text/javascript",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    };
    let (status, body) = match fs::read(&file) {
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    socket.write_all(&[head.as_bytes(), &body].concat()).ok()
}
