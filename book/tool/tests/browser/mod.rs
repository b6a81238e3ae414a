//! Chromium without a window, for a test to read a page in: real keys, a real mouse, real layout.
//!
//! It's told what to do in the DevTools protocol, as JSON over a pair of pipes. So there is no port
//! that others could take, and when the test ends in any way at all, the browser does as well.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Nothing takes as long as that, on however busy a machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// The browser as its makers and distributions call it.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// The browser reads commands from descriptor 3 and answers on 4.
const ON_PIPES: &str = "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null";

const OPTIONS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
    "about:blank",
];

/// A browser is many processes: one at a time is enough for a machine with two cores.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A browser with one page.
#[allow(dead_code, reason = "each test program uses a part of it")]
pub struct Browser {
    process: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    /// Which page the commands are for.
    session: String,
    last_id: u64,
    events: Vec<Value>,
    // Declared last, to be dropped last: the browser writes to its profile until it's dead.
    profile: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// Where something is on the screen.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

#[allow(dead_code, reason = "each test program uses a part of it")]
impl Browser {
    /// Starts one, unless there is none on this machine.
    pub fn start() -> Option<Self> {
        let Some(name) = NAMES.into_iter().find(|name| is_on_path(name)) else {
            visitors::skipped("there is no chromium here");
            return None;
        };
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let profile = tempfile::tempdir().expect("a folder can be made");
        let mut process = Command::new("sh")
            .args(["-c", ON_PIPES, "sh", name])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(OPTIONS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0) // so that all that it starts can be ended with it
            .spawn()
            .expect("the browser can be started");
        let commands = process.stdin.take().expect("it's a pipe");
        let answers = process.stdout.take().expect("it's a pipe");
        let (sender, messages) = channel();
        thread::spawn(move || {
            // Each message ends with a zero.
            for message in BufReader::new(answers).split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).expect("the browser speaks JSON");
                if sender.send(message).is_err() {
                    return;
                }
            }
        });

        let (session, last_id, events) = (String::new(), 0, Vec::new());
        let mut browser =
            Self { process, commands, messages, session, last_id, events, profile, _turn: turn };
        browser.attach();
        Some(browser)
    }

    fn attach(&mut self) {
        let target = self.command("Target.createTarget", json!({"url": "about:blank"}));
        let attached = self.command(
            "Target.attachToTarget",
            json!({"targetId": target["targetId"], "flatten": true}),
        );
        self.session = attached["sessionId"].as_str().expect("it's a string").to_owned();
        for domain in ["Page", "Runtime", "Network", "Log"] {
            self.command(&format!("{domain}.enable"), json!({}));
        }
    }

    /// Has a command carried out, and returns its result.
    #[track_caller]
    pub fn command(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        let mut command = json!({"id": id, "method": method, "params": params});
        if !self.session.is_empty() {
            command["sessionId"] = json!(self.session);
        }
        write!(self.commands, "{command}\0").expect("the browser lives");
        self.commands.flush().expect("the browser lives");
        let mut answer = self.answer(id, method);
        assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        answer["result"].take()
    }

    /// The answer to a command. Events on the way to it are kept.
    #[track_caller]
    fn answer(&mut self, id: u64, method: &str) -> Value {
        let until = Instant::now() + DEADLINE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let message = self.messages.recv_timeout(left);
            let message = message.unwrap_or_else(|error| panic!("{method}: {error}"));
            if message["id"] == id {
                return message;
            }
            self.events.push(message);
        }
    }

    /// Opens a file, and waits until it has loaded.
    #[track_caller]
    pub fn open(&mut self, file: &Path) {
        self.open_url(&format!("file://{}", file.display()));
    }

    /// Opens a page, and waits until it has loaded.
    #[track_caller]
    pub fn open_url(&mut self, url: &str) {
        let opened = self.command("Page.navigate", json!({"url": url}));
        assert!(opened["errorText"].is_null(), "{url}: {}", opened["errorText"]);
        self.wait_until(&format!(
            "location.href === '{url}' && document.readyState === 'complete'"
        ));
    }

    /// What an expression of JavaScript gives, in the page. A promise is awaited.
    #[track_caller]
    pub fn ask(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut answer = self.command("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    /// A text in the page.
    #[track_caller]
    pub fn ask_text(&mut self, expression: &str) -> String {
        let answer = self.ask(expression);
        answer.as_str().unwrap_or_else(|| panic!("{expression}: {answer}")).to_owned()
    }

    /// A number in the page.
    #[track_caller]
    pub fn ask_number(&mut self, expression: &str) -> f64 {
        let answer = self.ask(expression);
        answer.as_f64().unwrap_or_else(|| panic!("{expression}: {answer}"))
    }

    /// Looks at a condition until it holds.
    #[track_caller]
    pub fn wait_until(&mut self, condition: &str) {
        let until = Instant::now() + DEADLINE;
        while self.ask(condition) != true {
            assert!(Instant::now() < until, "it never became true: {condition}");
            thread::sleep(LOOK);
        }
    }

    /// Presses a key, and lets go of it.
    #[track_caller]
    pub fn press(&mut self, key: &str) {
        self.press_with(key, 0);
    }

    /// Presses a key while others are held: 1 is Alt, 2 Ctrl, 4 Meta, 8 Shift.
    #[track_caller]
    pub fn press_with(&mut self, key: &str, held: u32) {
        let (code, number, text) = match key {
            " " => ("Space", 32, " "),
            "k" => ("KeyK", 75, "k"),
            "Tab" => ("Tab", 9, ""),
            "Escape" => ("Escape", 27, ""),
            "End" => ("End", 35, ""),
            "Home" => ("Home", 36, ""),
            "ArrowLeft" => ("ArrowLeft", 37, ""),
            "ArrowUp" => ("ArrowUp", 38, ""),
            "ArrowRight" => ("ArrowRight", 39, ""),
            "ArrowDown" => ("ArrowDown", 40, ""),
            other => panic!("no number is known of the key {other}"),
        };
        for way in ["keyDown", "keyUp"] {
            let mut event = json!({
                "type": way, "key": key, "code": code, "windowsVirtualKeyCode": number,
                "modifiers": held,
            });
            if way == "keyDown" && !text.is_empty() {
                event["text"] = json!(text);
            }
            self.command("Input.dispatchKeyEvent", event);
        }
    }

    /// Types a text where the focus is.
    pub fn write(&mut self, text: &str) {
        self.command("Input.insertText", json!({"text": text}));
    }

    /// Where an element is, after the page was scrolled to show it.
    #[track_caller]
    pub fn place(&mut self, element: &str) -> Place {
        let rect = self.ask(&format!(
            "(element => {{
                element.scrollIntoView({{ block: 'center', behavior: 'instant' }});
                return element.getBoundingClientRect().toJSON();
            }})({element})"
        ));
        let side = |name: &str| rect[name].as_f64().expect("it's a number");
        Place { left: side("left"), top: side("top"), width: side("width"), height: side("height") }
    }

    /// Moves the mouse onto the middle of a place.
    pub fn point_at(&mut self, place: Place) {
        self.mouse("mouseMoved", place);
    }

    /// Clicks on the middle of an element.
    #[track_caller]
    pub fn click(&mut self, element: &str) {
        let place = self.place(element);
        self.click_at(place);
    }

    /// Clicks on the middle of a place.
    pub fn click_at(&mut self, place: Place) {
        for what in ["mouseMoved", "mousePressed", "mouseReleased"] {
            self.mouse(what, place);
        }
    }

    fn mouse(&mut self, what: &str, place: Place) {
        let button = if what == "mouseMoved" { "none" } else { "left" };
        let (x, y) = place.middle();
        let event = json!({"type": what, "x": x, "y": y, "button": button, "clickCount": 1});
        self.command("Input.dispatchMouseEvent", event);
    }

    /// Taps on the middle of a place with a finger.
    pub fn tap(&mut self, place: Place) {
        let (x, y) = place.middle();
        self.command("Emulation.setTouchEmulationEnabled", json!({"enabled": true}));
        for (what, touched) in [("touchStart", json!([{"x": x, "y": y}])), ("touchEnd", json!([]))]
        {
            let event = json!({"type": what, "touchPoints": touched});
            self.command("Input.dispatchTouchEvent", event);
        }
    }

    /// The events so far, by their method's name.
    pub fn events(&self, method: &str) -> Vec<&Value> {
        self.events.iter().filter(|event| event["method"] == method).collect()
    }
}

#[allow(dead_code, reason = "as above")]
impl Place {
    /// Its middle.
    pub fn middle(self) -> (f64, f64) {
        (self.left + self.width / 2.0, self.top + self.height / 2.0)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let group = i32::try_from(self.process.id()).expect("the kernel's numbers are small");
        // Its first process isn't waited for yet: nobody else can have been given its number.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        let _ = self.process.wait();
        // The others die in a moment, and until then one may still write there.
        let until = Instant::now() + DEADLINE;
        while self.profile.path().exists() && Instant::now() < until {
            if fs::remove_dir_all(self.profile.path()).is_err() {
                thread::sleep(LOOK);
            }
        }
    }
}

fn is_on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}
