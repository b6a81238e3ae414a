//! The timelines' player (`book/theme/timeline.js`), in a real browser.
//!
//! What it ought to say is worked out here anew, from the runs that the pages carry.

mod browser;

use std::fs;
use std::path::PathBuf;

use book::build::build_what_there_is;
use book::repo::Repo;
use browser::Browser;
use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;

const BLOCKING: &str = "02-blocking-server";
const THREADS: &str = "03-threads";
const PROGRAMS: &str = "watching";
/// One program takes another's place.
const HAND_OVER: &str = "13-upgrade";

/// Parts of the first player on a page.
const WORDS: &str = "document.querySelector('.timeline-words').textContent";
const PLAY: &str = "document.querySelector('.timeline-controls button')";
const SCRUBBER: &str = "document.querySelector('.timeline-controls input')";
const PLAYHEAD: &str = "document.querySelector('.timeline-playhead')";
const IS_WHOLE: &str =
    "['.timeline-playhead', '.timeline-later', '.timeline-moment > ul'].every(part =>
    document.querySelector(part).getClientRects().length === 0)";

/// A page of the book, in a browser.
struct Reader {
    browser: Browser,
    run: Run,
    folder: TempDir,
    page: PathBuf,
}

impl Reader {
    /// The page with a chapter's timeline, opened. Unless there is no browser here.
    fn of(timeline: &str) -> Option<Self> {
        let mut reader = Self::with_closed_book(timeline)?;
        reader.open();
        Some(reader)
    }

    fn with_closed_book(timeline: &str) -> Option<Self> {
        let browser = Browser::start()?;
        let folder = tempfile::tempdir().expect("a folder can be made");
        let repo = Repo::this().expect("tests run in a checkout");
        let (built, _) = build_what_there_is(&repo, folder.path());
        built.expect("the book can be built");
        let page = folder.path().join(format!("{timeline}.html"));
        Some(Self { browser, run: Run::of(timeline), folder, page })
    }

    /// The page, with other figures instead of its own.
    fn put_on_page(&self, figures: &str) {
        let html = fs::read_to_string(&self.page).expect("the page is there");
        let (before, rest) =
            html.split_once("<figure class=\"picture timeline\">").expect("it's there");
        let (_, after) = rest.split_once("</figure>").expect("it ends");
        fs::write(&self.page, format!("{before}{figures}{after}")).expect("it can be written");
    }

    #[track_caller]
    fn open(&mut self) {
        self.browser.open(&self.page);
        self.browser.wait_until(&format!("!!{PLAYHEAD}"));
    }

    /// The focus is on the play button, where somebody who uses the keyboard has brought it.
    fn focus_on_play(&mut self) {
        self.browser.ask(&format!("{PLAY}.focus()"));
    }

    /// The moment at which the playhead stands, in microseconds since the program began.
    #[track_caller]
    fn moment(&mut self) -> f64 {
        assert_eq!(self.browser.ask(IS_WHOLE), false, "no moment is shown");
        // As it was written: the browser's own number of it is rounded.
        let x = self.browser.ask_number(&format!("Number({PLAYHEAD}.getAttribute('x1'))"));
        self.run.moment_at(x)
    }

    /// The list of what each lane does, and the line above it.
    fn list(&mut self) -> (String, Vec<String>) {
        let moment = "document.querySelector('.timeline-moment')";
        let heading =
            self.browser.ask_text(&format!("{moment}.querySelector('p').innerText.trim()"));
        let items = self.browser.ask(&format!(
            "[...{moment}.querySelectorAll('li')].map(item => item.innerText).filter(text => text !== '')"
        ));
        (heading, serde_json::from_value(items).expect("it's a list of texts"))
    }

    /// The playhead, the dimming, the scrubber, and the list show the same moment, and what is
    /// said of it is what the run has.
    #[track_caller]
    fn assert_shows(&mut self, moment: f64) {
        assert!((self.moment() - moment).abs() < 1.0, "it's at {}, not {moment}", self.moment());
        let (heading, items) = self.list();
        assert_eq!(items, self.run.words_at(moment), "at {moment}");
        let time = in_words(moment - self.run.from);
        assert_eq!(heading, format!("At {time}:"));
        let (valuetext, value) = (
            self.browser.ask_text(&format!("{SCRUBBER}.getAttribute('aria-valuetext')")),
            self.browser.ask_number(&format!("{SCRUBBER}.value / {SCRUBBER}.max")),
        );
        assert_eq!(valuetext, time);
        let share = (moment - self.run.from) / (self.run.to - self.run.from);
        assert!((value - share).abs() < 0.001, "the scrubber is at {value}, not {share}");
        let dimmed = self.browser.ask(
            "(({ x, y, width, height }) => [x, x + width, y, y + height])(
                document.querySelector('.timeline-later').getBBox())",
        );
        let side = |index: usize| dimmed[index].as_f64().expect("it's a number");
        assert!((self.run.moment_at(side(0)) - moment).abs() < 1.0, "{dimmed}");
        assert!((side(1) - 355.0).abs() < 0.01 && side(2) == 24.0, "{dimmed}");
        assert_eq!(side(3), 24.0 + 42.0 * self.run.lanes as f64, "all lanes are dimmed");
    }

    #[track_caller]
    fn assert_whole(&mut self) {
        assert_eq!(self.browser.ask(IS_WHOLE), true, "the whole picture isn't shown");
        assert_eq!(self.browser.ask_text(&format!("{PLAY}.innerText")), "Play");
    }

    /// It has asked nobody for anything but the book's own files when it was opened, and it has
    /// nothing to complain of.
    #[track_caller]
    fn assert_quiet(&self) {
        let requests = self.browser.events("Network.requestWillBeSent");
        let url =
            |event: &Value| event["params"]["request"]["url"].as_str().unwrap_or("").to_owned();
        assert!(
            requests.iter().any(|event| url(event).contains("timeline")),
            "it was never loaded"
        );
        let own = format!("file://{}/", self.folder.path().display());
        for request in requests {
            let url = url(request);
            assert!(url.starts_with(&own) || url.starts_with("data:"), "it asks for {url}");
            let kind = request["params"]["type"].as_str().unwrap_or_default();
            let of_a_page = ["Document", "Stylesheet", "Script", "Font", "Image", "Other"];
            assert!(of_a_page.contains(&kind), "it asks for {url} while it runs: {kind}");
        }
        for method in ["Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"] {
            let events = self.browser.events(method);
            assert!(events.is_empty(), "{events:?}");
        }
    }
}

/// A run, read without the lens: another reader would notice what ours overlooks.
struct Run {
    from: f64,
    to: f64,
    lanes: usize,
    threads: Vec<Value>,
    waits: Vec<Value>,
    /// What one program says to the other.
    marks: Vec<Value>,
    visitors: Vec<Value>,
}

impl Run {
    fn of(page: &str) -> Self {
        let path = Repo::this()
            .expect("tests run in a checkout")
            .timelines()
            .join(format!("{page}.jsonl"));
        let text = fs::read_to_string(path).expect("the run is there");
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("it's JSON")).collect();
        let of = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).cloned().collect();
        let (plays, mut threads, calls): (Vec<Value>, Vec<Value>, Vec<Value>) =
            (of("play"), of("thread"), of("call"));
        let end = |line: &Value| number(&line["ended_us"]);
        let (from, to) = match plays.first() {
            Some(play) => (number(&play["began_us"]), end(play)),
            None => (0.0, threads.iter().map(end).fold(0.0, f64::max)),
        };
        let are_alike = threads.iter().all(|thread| thread["name"] == threads[0]["name"]);
        for thread in &mut threads {
            let name = thread["name"].as_str().expect("it's a text");
            let number = &thread["thread"];
            let program = of("program").into_iter().find(|program| program["pid"] == thread["pid"]);
            let label = if let Some(program) = program {
                format!("thread {number}, {}", program["name"].as_str().expect("it's a text"))
            } else if are_alike {
                format!("thread {number}")
            } else {
                format!("thread {number}, {name}")
            };
            thread["label"] = json!(label);
        }
        threads.retain(|thread| {
            number(&thread["began_us"]) < to && number(&thread["ended_us"]) > from
        });
        threads.sort_by_key(|thread| thread["thread"].as_u64());
        let waits = calls.into_iter().filter(|call| call["waited"] == true).collect();
        let visitors: Vec<Value> = of("visitor");
        let (lanes, marks) = (threads.len() + visitors.len(), of("mark"));
        Self { from, to, lanes, threads, waits, marks, visitors }
    }

    fn moment_at(&self, x: f64) -> f64 {
        self.from + (x - 5.0) / 350.0 * (self.to - self.from)
    }

    /// Beginning and end of a wait, as far as it's in the picture.
    fn span(&self, wait: &Value) -> (f64, f64) {
        let began = number(&wait["began_us"]);
        (began.max(self.from), (began + number(&wait["took_us"])).min(self.to))
    }

    fn longest_wait(&self) -> Value {
        let length = |wait: &&Value| {
            let (began, ended) = self.span(wait);
            (ended - began) as i64
        };
        self.waits.iter().max_by_key(length).expect("somebody waits").clone()
    }

    /// What the list has to say.
    fn words_at(&self, moment: f64) -> Vec<String> {
        // A step is at a whole microsecond, which it went to the screen and back as a fraction.
        let moment = if (moment - moment.round()).abs() < 0.01 { moment.round() } else { moment };
        let is_in = |began: f64, ended: f64| began <= moment && moment < ended;
        let mut words = Vec::new();
        for thread in &self.threads {
            let name = thread["label"].as_str().expect("it has one");
            if !is_in(number(&thread["began_us"]), number(&thread["ended_us"])) {
                continue;
            }
            let wait = self.waits.iter().find(|wait| {
                let began = number(&wait["began_us"]);
                wait["thread"] == thread["thread"] && is_in(began, began + number(&wait["took_us"]))
            });
            // It takes no time to say something. It's told for a fiftieth of the whole.
            let said = self.marks.iter().rev().find(|mark| {
                let at = number(&mark["at_us"]);
                mark["thread"] == thread["thread"] && is_in(at, at + 10.0 * self.close())
            });
            words.push(match (said, wait) {
                (Some(mark), _) => {
                    format!("{name} says “{}”", mark["says"].as_str().expect("it's a word"))
                }
                (None, None) => format!("{name} works"),
                (None, Some(wait)) => format!("{name} waits in {}", sentence(wait)),
            });
        }
        for visitor in &self.visitors {
            let name = visitor["name"].as_str().expect("it has one");
            let ending = visitor["ending"].as_str().expect("it has one");
            let track = visitor["track"].as_array().expect("it has one");
            let doing = track.iter().rev().find(|doing| number(&doing[0]) <= moment);
            if moment >= number(&visitor["ended_us"]) {
                words.push(format!("{name}: {ending}"));
            } else if let Some(doing) = doing {
                words.push(match doing[1].as_str().expect("it's a word") {
                    "connecting" => format!("{name} connects"),
                    "sending" => format!("{name} sends"),
                    "waiting" => format!("{name} waits"),
                    "silent" => format!("{name} says nothing"),
                    "receiving" => format!("{name} receives"),
                    other => format!("{name}: {other}"),
                });
            }
        }
        words
    }

    /// All that a step may lead to: beginnings and ends.
    fn changes(&self) -> Vec<f64> {
        let mut changes = vec![self.to];
        for thread in &self.threads {
            changes.extend([number(&thread["began_us"]), number(&thread["ended_us"])]);
            let said = self.marks.iter().filter(|mark| mark["thread"] == thread["thread"]);
            changes.extend(said.map(|mark| number(&mark["at_us"])));
            for wait in self.waits.iter().filter(|wait| wait["thread"] == thread["thread"]) {
                if number(&wait["took_us"]) >= self.close() {
                    let began = number(&wait["began_us"]);
                    changes.extend([began, began + number(&wait["took_us"])]);
                }
            }
        }
        for visitor in &self.visitors {
            let track = visitor["track"].as_array().expect("it has one");
            changes.extend(track.iter().map(|doing| number(&doing[0])));
            changes.push(number(&visitor["ended_us"]));
        }
        changes.retain(|change| *change > self.from && *change <= self.to);
        changes
    }

    fn close(&self) -> f64 {
        (self.to - self.from) / 500.0
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("it's a number")
}

/// `recvfrom(4) on the silent visitor`
fn sentence(wait: &Value) -> String {
    let text = |name: &str| wait[name].as_str().map(str::to_owned);
    let descriptor = wait["descriptor"].as_i64().map_or(String::new(), |fd| format!("({fd})"));
    let what = text("what").map_or(String::new(), |what| format!(" on {what}"));
    format!("{}{descriptor}{what}", text("call").expect("it has a name"))
}

fn in_words(us: f64) -> String {
    match us {
        0.0 => "0 ms".to_owned(),
        ..10_000.0 => format!("{:.1} ms", (us / 100.0).round() / 10.0),
        _ => format!("{} ms", (us / 1000.0).round()),
    }
}

/// The wait of the picture that shows a call.
fn drawn(wait: &Value) -> String {
    format!(
        "document.querySelector('.wait[data-thread=\"{}\"][data-began=\"{}\"]')",
        wait["thread"], wait["began_us"]
    )
}

#[test]
fn it_plays_and_pauses_and_shows_the_whole_picture_when_it_is_over() {
    let Some(mut reader) = Reader::of(BLOCKING) else { return };
    reader.assert_whole();
    reader.browser.click(PLAY);
    assert_eq!(reader.browser.ask_text(&format!("{PLAY}.innerText")), "Pause");
    let mut last = reader.run.from;
    for _ in 0..3 {
        let x = (last - reader.run.from) / (reader.run.to - reader.run.from) * 350.0 + 5.0;
        reader.browser.wait_until(&format!("{PLAYHEAD}.x1.baseVal.value > {x} + 0.01"));
        last = reader.moment();
    }
    assert_eq!(reader.browser.ask("document.querySelector('[aria-live=polite]')"), Value::Null);

    reader.browser.click(PLAY);
    assert_eq!(reader.browser.ask_text(&format!("{PLAY}.innerText")), "Play");
    let paused_at = reader.moment();
    reader.assert_shows(paused_at);
    let ten_frames = "new Promise(resolve => {
        let left = 10;
        const next = () => left-- > 0 ? requestAnimationFrame(next) : resolve();
        next();
    })";
    reader.browser.ask(ten_frames);
    assert_eq!(reader.moment(), paused_at, "it plays on while it's paused");

    let speed = "document.querySelector('.timeline-controls select')";
    assert_eq!(reader.browser.ask_text(&format!("{speed}.selectedOptions[0].text")), "1/10");
    reader
        .browser
        .ask(&format!("{speed}.value = [...{speed}.options].find(o => o.text === '1/2').value"));
    let began = reader.browser.ask_number("performance.now()");
    reader.browser.click(PLAY);
    reader.browser.wait_until(IS_WHOLE);
    let took = reader.browser.ask_number("performance.now()") - began;
    reader.assert_whole();
    let at_half_speed = (reader.run.to - paused_at) / 1000.0 * 2.0;
    assert!(took >= at_half_speed - 1.0, "it was over after {took} ms, not {at_half_speed}");
    reader.assert_quiet();
}

#[rstest]
#[case::of_one_thread(BLOCKING)]
#[case::of_many(THREADS)]
#[case::of_programs(PROGRAMS)]
#[case::of_one_that_takes_anothers_place(HAND_OVER)]
fn it_steps_by_keyboard_to_each_change_and_says_what_each_lane_does(#[case] page: &str) {
    let Some(mut reader) = Reader::of(page) else { return };
    let address = reader.browser.ask_text("location.href");
    reader.focus_on_play();
    let mut steps = Vec::new();
    loop {
        reader.browser.press("ArrowRight");
        assert_eq!(reader.browser.ask_text("location.href"), address, "the page was turned");
        assert_eq!(reader.browser.ask("!!document.querySelector('[aria-live=polite]')"), true);
        let moment = reader.moment().round();
        if steps.last() == Some(&moment) {
            break;
        }
        reader.assert_shows(moment);
        assert!(steps.last() < Some(&moment), "{moment} comes after {steps:?}");
        steps.push(moment);
    }
    assert_eq!(steps.last(), Some(&reader.run.to));

    let crowded = steps.windows(3).find(|three| three[2] - three[0] < reader.run.close());
    assert_eq!(crowded, None, "these steps look the same");

    let changes = reader.run.changes();
    let no_change = steps.iter().find(|step| !changes.contains(step));
    assert_eq!(no_change, None, "nothing changes at a step");
    let is_near = |change: f64, step: f64| step >= change && step - change < reader.run.close();
    let left_out = changes.iter().find(|change| !steps.iter().any(|step| is_near(**change, *step)));
    assert_eq!(left_out, None, "a change has no step");

    let wait = reader.run.longest_wait();
    let (began, ended) = reader.run.span(&wait);
    let inside =
        steps.iter().position(|step| *step >= began && *step < ended).expect("there is one");
    for step in steps[inside..steps.len() - 1].iter().rev() {
        reader.browser.press("ArrowLeft");
        reader.assert_shows(*step);
    }
    let (_, items) = reader.list();
    let is_it = |item: &String| item.ends_with(&format!(" waits in {}", sentence(&wait)));
    assert!(items.iter().any(is_it), "{} isn't in {items:?}", sentence(&wait));
    assert_eq!(reader.browser.ask_text("location.href"), address, "the page was turned");
    reader.assert_quiet();
}

#[test]
fn a_step_on_the_range_input_and_on_the_picture_is_the_same_step() {
    let Some(mut reader) = Reader::of(BLOCKING) else { return };
    let address = reader.browser.ask_text("location.href");
    reader.focus_on_play();
    reader.browser.press("ArrowRight");
    reader.browser.press("ArrowRight");
    let second = reader.moment().round();
    let wait = "document.querySelector('.wait')";
    let speed = "document.querySelector('.timeline-controls select')";
    for place in [SCRUBBER, wait, speed] {
        reader.browser.press("Escape");
        reader.assert_whole();
        reader.browser.ask(&format!("{place}.focus()"));
        reader.browser.press("ArrowRight");
        reader.browser.press("ArrowRight");
        reader.assert_shows(second);
        reader.browser.press("ArrowRight");
        reader.browser.press("ArrowLeft");
        reader.assert_shows(second);
    }
    assert_eq!(reader.browser.ask_text(&format!("{speed}.selectedOptions[0].text")), "1/10");
    assert_eq!(reader.browser.ask_text("location.href"), address, "the page was turned");
    reader.assert_quiet();
}

#[test]
fn the_scrubber_and_home_and_end_and_escape_go_where_they_say() {
    let Some(mut reader) = Reader::of(BLOCKING) else { return };
    let (began, ended) = reader.run.span(&reader.run.longest_wait());
    let (from, to) = (reader.run.from, reader.run.to);
    // A real click on the track, where its thumb would be in the middle of the longest wait.
    let share = ((began + ended) / 2.0 - from) / (to - from);
    let mut place = reader.browser.place(SCRUBBER);
    place.left += place.width * (share - 0.5);
    reader.browser.click_at(place);
    let moment = reader.moment();
    assert!(began < moment && moment < ended, "{moment} isn't between {began} and {ended}");
    reader.assert_shows(moment);

    for place in [SCRUBBER, PLAY, "document.querySelector('.wait')"] {
        reader.browser.ask(&format!("{place}.focus()"));
        reader.browser.press("Home");
        reader.assert_shows(from);
        reader.browser.press("End");
        reader.assert_shows(to);
        reader.browser.press("Escape");
        reader.assert_whole();
    }
    reader.assert_quiet();
}

#[test]
fn a_space_or_a_k_plays_and_pauses_once() {
    let Some(mut reader) = Reader::of(BLOCKING) else { return };
    let scrolled = "document.scrollingElement.scrollTop";
    for place in [PLAY, SCRUBBER, "document.querySelector('.wait')"] {
        reader.browser.ask(&format!("{place}.focus()"));
        for key in [" ", "k"] {
            let before = reader.browser.ask_number(scrolled);
            reader.browser.press(key);
            assert_eq!(
                reader.browser.ask_text(&format!("{PLAY}.innerText")),
                "Pause",
                "{place} {key}"
            );
            reader.browser.press(key);
            assert_eq!(
                reader.browser.ask_text(&format!("{PLAY}.innerText")),
                "Play",
                "{place} {key}"
            );
            assert_eq!(reader.browser.ask_number(scrolled), before, "the page has scrolled");
            reader.browser.press("Escape");
        }
    }
    // On another button, a space presses that one.
    reader.browser.ask("document.querySelectorAll('.timeline-controls button')[2].focus()");
    reader.browser.press(" ");
    assert_eq!(reader.browser.ask_text(&format!("{PLAY}.innerText")), "Play");
    let stepped_to = reader.moment();
    reader.focus_on_play();
    reader.browser.press("Escape");
    reader.browser.press("ArrowRight");
    assert_eq!(reader.moment(), stepped_to);
    reader.assert_quiet();
}

#[test]
fn keys_pressed_with_ctrl_alt_meta_or_shift_are_left_to_others() {
    let Some(mut reader) = Reader::of(BLOCKING) else { return };
    reader.browser.ask(
        "window.taken = []; document.body.addEventListener('keydown', event =>
        event.defaultPrevented && taken.push(event.key))",
    );
    reader.browser.ask("document.querySelector('.wait').focus()");
    for held in [2, 8] {
        for key in ["ArrowRight", "ArrowDown", "k", "End"] {
            reader.browser.press_with(key, held);
        }
    }
    assert_eq!(reader.browser.ask("taken"), json!([]));
    reader.assert_whole();
    reader.browser.press("ArrowRight");
    assert_eq!(reader.browser.ask("taken"), json!(["ArrowRight"]));
    reader.assert_quiet();
}

#[test]
fn the_tab_key_reaches_the_picture_once_and_arrows_go_from_wait_to_wait() {
    let Some(mut reader) = Reader::of(THREADS) else { return };
    let browser = &mut reader.browser;
    let stops = "document.querySelectorAll('svg.timeline [tabindex=\"0\"]').length";
    assert_eq!(browser.ask_number(stops), 1.0);
    browser.ask(
        "document.querySelector('figure.timeline').insertAdjacentHTML('beforebegin', '<p tabindex=-1>');
        document.querySelector('p[tabindex]').focus()",
    );
    browser.press("Tab");
    let titles = browser.ask(
        "[...document.querySelectorAll('.wait')].map(wait =>
            `thread ${wait.dataset.thread}: ${wait.querySelector('title').textContent}`)",
    );
    let titles: Vec<String> = serde_json::from_value(titles).expect("it's a list of texts");
    assert!(titles.len() > 10, "the picture shows waits");
    let focused = "document.activeElement.getAttribute('aria-label')";
    for title in &titles[..10] {
        assert_eq!(browser.ask_text(focused), *title);
        assert_eq!(browser.ask_text(WORDS), *title);
        assert_eq!(browser.ask_text("document.activeElement.getAttribute('role')"), "img");
        let is_marked = "(() => {
            const mark = document.querySelector('.timeline-focus').getBoundingClientRect();
            const wait = document.activeElement.querySelector('rect').getBoundingClientRect();
            return mark.width >= 2 && mark.left < wait.left && mark.right > wait.right &&
                mark.top < wait.top && mark.bottom > wait.bottom;
        })()";
        assert_eq!(browser.ask(is_marked), true, "{title} has no mark");
        browser.press("ArrowDown");
    }
    browser.press("ArrowUp");
    browser.press("ArrowUp");
    assert_eq!(browser.ask_text(focused), titles[8]);
    assert_eq!(browser.ask_number(stops), 1.0);
    browser.press("Tab");
    assert_eq!(browser.ask(&format!("document.activeElement === {PLAY}")), true);
    let is_marked =
        "getComputedStyle(document.querySelector('.timeline-focus')).display !== 'none'";
    assert_eq!(browser.ask(is_marked), false, "what has no focus has a mark");
    browser.press_with("Tab", 8);
    assert_eq!(browser.ask_text(focused), titles[8], "it comes back to where it was");

    // What is in an image, a screen reader can't reach.
    let svg = "document.querySelector('svg.timeline')";
    assert_eq!(browser.ask_text(&format!("{svg}.getAttribute('role')")), "group");
    let named = "document.querySelector('svg.timeline').getAttribute('aria-labelledby').split(' ')
        .every(id => document.getElementById(id).textContent !== '')";
    assert_eq!(browser.ask(named), true);
    reader.assert_quiet();
}

#[test]
fn a_mouse_or_a_finger_on_a_wait_is_told_what_is_waited_for() {
    let Some(mut reader) = Reader::of(BLOCKING) else { return };
    let wait = reader.run.longest_wait();
    let browser = &mut reader.browser;
    let hint = browser.ask_text(WORDS);
    let place = browser.place(&drawn(&wait));
    browser.point_at(place);
    browser.wait_until(&format!("{WORDS} !== '{hint}'"));
    let said = browser.ask_text(WORDS);
    let began = format!("thread {}: {}, ", wait["thread"], sentence(&wait));
    assert!(said.starts_with(&began), "{said} doesn't begin with {began}");
    let title = browser.ask_text(&format!("{}.querySelector('title').textContent", drawn(&wait)));
    assert!(said.ends_with(&title), "{said} doesn't end with {title}");
    let is_lit =
        format!("getComputedStyle({}.querySelector('rect')).fill !== 'none'", drawn(&wait));
    assert_eq!(browser.ask(&is_lit), true, "it isn't highlighted");

    let elsewhere = browser::Place { left: 0.0, top: 0.0, width: 2.0, height: 2.0 };
    browser.point_at(elsewhere);
    browser.wait_until(&format!("{WORDS} === '{hint}'"));
    // A playhead over it, and what is dimmed, are no obstacle.
    browser.ask(&format!("{PLAY}.focus()"));
    browser.press("Home");
    browser.press("ArrowRight");
    let place = browser.place(&drawn(&wait));
    browser.point_at(place);
    browser.wait_until(&format!("{WORDS} !== '{hint}'"));
    browser.point_at(elsewhere);
    browser.wait_until(&format!("{WORDS} === '{hint}'"));

    let place = browser.place(&drawn(&wait));
    browser.tap(place);
    browser.wait_until(&format!("{WORDS} !== '{hint}'"));
    assert_eq!(browser.ask_text(WORDS), said);
    reader.assert_quiet();
}

#[test]
fn a_page_out_of_sight_pauses() {
    let Some(mut reader) = Reader::of(BLOCKING) else { return };
    reader.browser.click(PLAY);
    reader.browser.ask(
        "Object.defineProperty(document, 'hidden', { value: true });
        document.dispatchEvent(new Event('visibilitychange'))",
    );
    assert_eq!(reader.browser.ask_text(&format!("{PLAY}.innerText")), "Play");
    assert_eq!(reader.browser.ask(IS_WHOLE), false, "it has forgotten where it was");
    reader.assert_quiet();
}

#[test]
fn who_wants_less_motion_sees_one_step_after_the_other() {
    let Some(mut reader) = Reader::of(BLOCKING) else { return };
    let calm = json!({"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]});
    reader.browser.command("Emulation.setEmulatedMedia", calm);
    reader.browser.ask(&format!(
        "window.shown = [];
        new MutationObserver(() => shown.push({PLAYHEAD}.x1.baseVal.value))
            .observe({PLAYHEAD}, {{ attributes: true, attributeFilter: ['x1'] }})"
    ));
    let began = reader.browser.ask_number("performance.now()");
    reader.browser.click(PLAY);
    reader.browser.wait_until("new Set(shown).size >= 4");
    let took = reader.browser.ask_number("performance.now()") - began;
    assert!(took > 2900.0, "three steps took only {took} ms");
    let shown = reader.browser.ask("shown");
    let mut steps = reader.run.changes();
    steps.push(reader.run.from);
    for x in shown.as_array().expect("it's a list") {
        let moment = reader.run.moment_at(number(x));
        assert!(steps.iter().any(|step| (step - moment).abs() < 1.0), "{moment} is no step");
    }
    reader.assert_quiet();
}

#[test]
fn without_javascript_the_picture_is_there_and_says_what_it_shows() {
    let Some(mut reader) = Reader::with_closed_book(BLOCKING) else { return };
    reader.browser.command("Emulation.setScriptExecutionDisabled", json!({"value": true}));
    reader.browser.open(&reader.page);
    let browser = &mut reader.browser;
    assert_eq!(browser.ask("!!document.querySelector('.skip-link')"), false, "JavaScript runs");
    let place = browser.place("document.querySelector('svg.timeline')");
    assert!(place.width > 300.0 && place.height > 300.0, "{place:?}");
    let svg = "document.querySelector('svg.timeline')";
    for part in ["title", "desc"] {
        let text = browser.ask_text(&format!("{svg}.querySelector('{part}').textContent"));
        assert!(text.contains(" ms"), "{part}: {text}");
    }
    assert_eq!(browser.ask_text(&format!("{svg}.getAttribute('role')")), "img");
    let controls = "figure.timeline :is(button, input, select, [tabindex])";
    assert_eq!(browser.ask(&format!("document.querySelector('{controls}')")), Value::Null);
    assert_eq!(
        browser.ask_text("document.querySelector('figure.timeline').dataset.arrows ?? ''"),
        ""
    );
    let shown = browser.ask_text("document.querySelector('figure.timeline').innerText");
    assert!(!shown.contains("\"kind\""), "the run is shown as text");
}

#[test]
fn on_a_phone_no_figure_of_a_table_or_of_what_was_printed_is_cut_off() {
    let Some(mut reader) = Reader::with_closed_book(THREADS) else { return };
    let phone = json!({"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": true});
    reader.browser.command("Emulation.setDeviceMetricsOverride", phone);
    for entry in fs::read_dir(reader.folder.path()).expect("the pages are there") {
        let page = entry.expect("a page").path();
        // print.html has all pages once more; 404.html none.
        let name = page.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.ends_with(".html") || ["print.html", "404.html", "toc.html"].contains(&&*name) {
            continue;
        }
        reader.browser.open(&page);
        let cut_off = reader.browser.ask(
            "[...document.querySelectorAll('main .table-wrapper, main pre > code.language-console')]
                .filter(box => box.scrollWidth > box.clientWidth)
                .map(box => box.innerText.slice(0, 80))",
        );
        assert_eq!(cut_off, json!([]), "{name}");
    }
}

#[rstest]
#[case(BLOCKING)]
#[case(THREADS)]
#[case(PROGRAMS)]
#[case(HAND_OVER)]
fn a_phone_has_room_for_it(#[case] page: &str) {
    let Some(mut reader) = Reader::with_closed_book(page) else { return };
    let phone = json!({"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": true});
    reader.browser.command("Emulation.setDeviceMetricsOverride", phone);
    reader.open();
    assert_eq!(reader.browser.ask_number("innerWidth"), 360.0);
    reader.focus_on_play();
    // Each step has other sentences.
    for _ in 0..12 {
        let width = reader.browser.ask_number("document.documentElement.scrollWidth");
        assert!(width <= 360.0, "the page is {width} wide");
        let outside = "[...document.querySelectorAll('figure.timeline, figure.timeline *')]
            .filter(element => element.getClientRects().length > 0 && !element.closest('svg svg, g'))
            .map(element => element.getBoundingClientRect())
            .filter(({ left, right }) => left < 0 || right > 360).length";
        assert_eq!(reader.browser.ask_number(outside), 0.0, "something is outside the page");
        for _ in 0..5 {
            reader.browser.press("ArrowRight");
        }
    }
    let heights = reader.browser.ask(
        "[...document.querySelectorAll('.timeline-controls :is(button, input, select)')]
            .map(control => control.getBoundingClientRect().height)",
    );
    let heights = heights.as_array().expect("it's a list");
    let players = reader.browser.ask_number("document.querySelectorAll('figure.timeline').length");
    assert_eq!(heights.len() as f64, 5.0 * players);
    assert!(heights.iter().all(|height| number(height) >= 40.0), "{heights:?}");
    reader.assert_quiet();
}

#[test]
fn paper_has_the_whole_picture_and_nothing_to_press() {
    let Some(mut reader) = Reader::of(BLOCKING) else { return };
    reader.focus_on_play();
    reader.browser.press("ArrowRight");
    reader.browser.command("Emulation.setEmulatedMedia", json!({"media": "print"}));
    reader.browser.wait_until(IS_WHOLE);
    let seen = "[...document.querySelectorAll('figure.timeline > *')]
        .filter(part => part.getClientRects().length > 0).map(part => part.localName).join(' ')";
    assert_eq!(reader.browser.ask_text(seen), "svg figcaption");
    reader.assert_quiet();
}

#[test]
fn each_figure_of_a_page_has_a_player_of_its_own() {
    let Some(mut reader) = Reader::with_closed_book(BLOCKING) else { return };
    reader.put_on_page(&figure("").repeat(2));
    reader.open();
    assert_eq!(
        reader.browser.ask_number("document.querySelectorAll('.timeline-controls').length"),
        2.0
    );
    reader
        .browser
        .ask("document.querySelectorAll('.timeline-controls')[1].querySelector('button').focus()");
    reader.browser.press("ArrowRight");
    let shown = "[...document.querySelectorAll('.timeline-playhead')]
        .map(playhead => getComputedStyle(playhead).display !== 'none')";
    assert_eq!(reader.browser.ask(shown), json!([false, true]));
    reader.assert_quiet();
}

#[rstest]
#[case::no_json("{\"kind\":\"call\"\n")]
#[case::no_object("null\n")]
#[case::no_track("{\"kind\":\"visitor\",\"name\":\"quick\",\"ended_us\":1,\"ending\":\"left\"}\n")]
fn a_run_that_is_broken_leaves_the_picture_alone(#[case] line: &str) {
    let Some(mut reader) = Reader::with_closed_book(BLOCKING) else { return };
    // The second is well: it shows that the script runs, and that it runs on.
    let unknown = "{\"kind\":\"weather\",\"is\":\"fine\"}\n";
    reader.put_on_page(&format!("{}{}", figure(line), figure(unknown)));
    reader.open();
    let count = "[...document.querySelectorAll('figure.timeline')].map(figure =>
        figure.querySelectorAll('button, input, .timeline-playhead, [tabindex]').length > 0)";
    assert_eq!(reader.browser.ask(count), json!([false, true]));
    let picture = "document.querySelector('svg.timeline')";
    assert_eq!(reader.browser.ask_text(&format!("{picture}.getAttribute('role')")), "img");
    let place = reader.browser.place(picture);
    assert!(place.width > 300.0, "{place:?}");
    reader.assert_quiet();
}

/// The blocking server's timeline as its page has it, with `more` lines at the end of the run.
fn figure(more: &str) -> String {
    let read = |ending: &str| {
        let path = Repo::this()
            .expect("tests run in a checkout")
            .timelines()
            .join(format!("{BLOCKING}.{ending}"));
        fs::read_to_string(path).expect("the timeline is there")
    };
    let (svg, run) = (read("svg"), read("jsonl"));
    format!(
        "<figure class=\"picture timeline\">{svg}<script type=\"application/jsonl\">\n{run}{more}\n</script></figure>"
    )
}

/// The moment of a hand-over is a run of its own, cut out of the whole: those who aren't there have no lane, and it's
/// played so slowly that it can be followed.
#[test]
fn a_moment_is_played_more_slowly() {
    let Some(mut reader) = Reader::of(HAND_OVER) else { return };
    let of_all = |what: &str| {
        format!("[...document.querySelectorAll('figure.timeline')].map(figure => {what})")
    };
    let speed = of_all("figure.querySelector('select').selectedOptions[0].text");
    assert_eq!(reader.browser.ask(&speed), json!(["1/10", "1/500"]));
    let lanes = of_all("figure.querySelectorAll('.timeline-moment li').length");
    let moment = Run::of("13-upgrade-hand-over");
    assert!(moment.lanes < reader.run.lanes, "or nobody is left out");
    assert_eq!(reader.browser.ask(&lanes), json!([reader.run.lanes, moment.lanes]));
    reader.assert_quiet();
}
