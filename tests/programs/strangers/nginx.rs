//! nginx in front, as many would put it there: it keeps its connections to us.

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rstest::rstest;
use tempfile::TempDir;

use crate::house::{House, MIB, PAGE, Visitor, noise};
use crate::tools::{Ended, PATIENCE, alone, tool};

/// So many connections it keeps to us.
const KEPT: usize = 4;

/// nginx in front of a house.
struct Front {
    address: SocketAddr,
    process: Ended,
    folder: TempDir,
}

impl Front {
    /// Unless there is none here.
    fn of(house: &House) -> Option<Self> {
        let nginx = tool("nginx")?;
        // The port is free now; somebody else may take it before nginx does.
        for _ in 0..10 {
            let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let folder = tempfile::tempdir().unwrap();
            let config = folder.path().join("nginx.conf");
            fs::write(&config, configuration(free, house.address)).unwrap();
            let process = Command::new(&nginx)
                .arg("-p")
                .arg(folder.path())
                .arg("-c")
                .arg(&config)
                .arg("-e")
                .arg(folder.path().join("errors"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("it can be started");
            let mut front = Self { address: free, process: Ended(process), folder };
            if front.listens() {
                return Some(front);
            }
        }
        panic!("it never listens");
    }

    fn listens(&mut self) -> bool {
        let began = Instant::now();
        while self.process.0.try_wait().unwrap().is_none() {
            // Its pid is written when it listens; somebody else's server may be there, too.
            let pid = fs::read_to_string(self.folder.path().join("pid")).unwrap_or_default();
            if pid.trim() == self.process.0.id().to_string()
                && Visitor::try_call(self.address).is_ok()
            {
                return true;
            }
            assert!(began.elapsed() < PATIENCE, "it doesn't start: {}", self.errors());
            thread::sleep(Duration::from_millis(10));
        }
        false
    }

    fn visitor(&self) -> Visitor {
        Visitor::call(self.address)
    }

    fn errors(&self) -> String {
        fs::read_to_string(self.folder.path().join("errors")).unwrap_or_default()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        // As it's done: it has temporary files. By its number, which is ours: we haven't waited for it.
        let pid = i32::try_from(self.process.0.id()).expect("it's a process");
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        let _ = self.process.0.wait();
    }
}

fn configuration(address: SocketAddr, behind: SocketAddr) -> String {
    format!(
        "daemon off; master_process off; worker_processes 1; pid pid; error_log errors warn;
events {{ worker_connections 500; }}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    client_max_body_size 10m;
    upstream ours {{ server {behind}; keepalive {KEPT}; }}
    server {{
        listen {address};
        proxy_http_version 1.1;
        proxy_set_header Connection \"\";
        location / {{ proxy_pass http://ours; }}
        # As if all that is said were proxy_pass: as old as HTTP/1.0, and a connection for each request.
        location /bare/ {{
            proxy_pass http://{behind}/;
            proxy_http_version 1.0;
            proxy_set_header Connection close;
        }}
        # It sends on what comes as it comes, in chunks if it came so, and takes no more than its visitor.
        location /direct/ {{
            proxy_pass http://ours/;
            proxy_request_buffering off;
            proxy_buffering off;
        }}
    }}
}}"
    )
}

#[test]
fn thousands_of_requests_over_few_connections() {
    const VISITORS: usize = 4;
    const EACH: usize = 1000;
    let _alone = alone();
    let house = House::open(&["--workers", "2"]);
    let file = house.file("file", 20_000);
    let Some(front) = Front::of(&house) else { return };
    thread::scope(|scope| {
        for _ in 0..VISITORS {
            scope.spawn(|| {
                let mut visitor = front.visitor();
                for number in 0..EACH {
                    match number % 4 {
                        0 => {
                            visitor.get("/file", "");
                            let answer = visitor.answer();
                            assert_eq!(answer.status, 200);
                            assert!(answer.body == file);
                        }
                        1 => {
                            visitor.say("HEAD /file HTTP/1.1\r\nHost: here\r\n\r\n");
                            let answer = visitor.answer_to_head();
                            assert_eq!((answer.status, answer.field("Content-Length")), (200, Some("20000")));
                        }
                        2 => {
                            let body = format!("number {number}");
                            let length = body.len();
                            visitor.say(format!(
                                "POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: {length}\r\n\r\n{body}"
                            ));
                            assert_eq!(visitor.answer().text(), body);
                        }
                        _ => {
                            visitor.get("/nowhere", "");
                            assert_eq!(visitor.answer().status, 404);
                        }
                    }
                    // nginx hangs up after 1,000 requests, by default.
                    if number == EACH / 2 {
                        visitor = front.visitor();
                    }
                }
            });
        }
    });
    // It keeps four, takes each for 1,000 requests, and has as many again where all ask at once.
    let connections = house.count("connections_total");
    assert!(connections < 40, "{connections} connections for {} requests", VISITORS * EACH);
    assert!(house.count("requests_total") >= (VISITORS * EACH) as u64);
    assert_eq!(front.errors(), "");
}

#[test]
fn all_kinds_of_requests() {
    let house = House::open(&["--workers", "1"]);
    let large = house.file("large", 10 * MIB);
    let Some(front) = Front::of(&house) else { return };
    let mut visitor = front.visitor();
    for prefix in ["", "/direct"] {
        visitor.get(&format!("{prefix}/large"), "");
        let answer = visitor.answer();
        assert!(answer.body == large, "{prefix}");
        let tag = answer.field("ETag").expect("it has one").to_owned();
        let modified = answer.field("Last-Modified").expect("it has one").to_owned();
        for condition in [format!("If-None-Match: {tag}"), format!("If-Modified-Since: {modified}")]
        {
            visitor.get(&format!("{prefix}/large"), &format!("{condition}\r\n"));
            let answer = visitor.answer();
            assert_eq!(
                (answer.status, answer.field("ETag")),
                (304, Some(tag.as_str())),
                "{condition}"
            );
        }
        for (range, expected) in [("5-14", &large[5..15]), ("-1000", &large[10 * MIB - 1000..])] {
            visitor.get(
                &format!("{prefix}/large"),
                &format!("Range: bytes={range}\r\nIf-Range: {tag}\r\n"),
            );
            let answer = visitor.answer();
            assert!(answer.status == 206 && answer.body == expected, "{range}: {}", answer.head);
        }
        visitor.say(format!("HEAD {prefix}/large HTTP/1.1\r\nHost: here\r\n\r\n"));
        assert_eq!(visitor.answer_to_head().field("Content-Length"), Some("10485760"));
        for length in [0, 1, 100_000, MIB] {
            let body = noise(length);
            let head = format!("POST {prefix}/echo HTTP/1.1\r\nHost: here\r\n");
            visitor.say(format!("{head}Content-Length: {length}\r\n\r\n"));
            visitor.say(&body);
            assert!(visitor.answer().body == body, "{prefix}: {length} bytes");
            visitor.say(format!("{head}Transfer-Encoding: chunked\r\n\r\n"));
            for piece in body.chunks(30_000) {
                visitor.say(format!("{:x}\r\n", piece.len()));
                visitor.say(piece);
                visitor.say("\r\n");
            }
            visitor.say("0\r\n\r\n");
            assert!(visitor.answer().body == body, "{prefix}: {length} bytes in chunks");
        }
        visitor.get(&format!("{prefix}/"), "");
        assert_eq!(visitor.answer().text(), PAGE);
    }
    // More than we take: nginx passes our answer on.
    visitor
        .say(format!("POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: {}\r\n\r\n", MIB + 1));
    visitor.say(noise(MIB + 1));
    assert_eq!(visitor.answer().status, 413);
    house.quick();
}

/// The front's visitor reads slowly, and so the front does. Others aren't kept waiting.
#[test]
fn a_slow_reader_behind_it() {
    let house = House::open(&["--workers", "1"]);
    let large = house.file("large", 10 * MIB);
    let Some(front) = Front::of(&house) else { return };
    let mut slow = Visitor::with_little_room(front.address, 16 * 1024);
    slow.get("/direct/large", "");
    slow.stream.peek(&mut [0]).expect("it has begun");
    let mut quick = front.visitor();
    for _ in 0..20 {
        quick.get("/", "");
        assert_eq!(quick.answer().text(), PAGE);
    }
    assert_eq!(house.log_of(20).len(), 20, "the slow one isn't at its end");
    assert!(slow.answer().body == large);
    assert_eq!(front.errors(), "");
}

/// Our time for saying nothing is over now and then just when nginx asks: then it asks again.
#[test]
fn closing_idle_connections_costs_no_request() {
    const VISITORS: usize = 8;
    const IDLE: Duration = Duration::from_millis(100);
    let _alone = alone();
    let house = House::open(&["--workers", "1", "--idle", "0.1"]);
    let Some(front) = Front::of(&house) else { return };
    let before = house.count("connections_total");
    thread::scope(|scope| {
        for seed in 0..VISITORS {
            let front = &front;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed as u64);
                let mut visitor = front.visitor();
                for number in 0..150 {
                    for _ in 0..random.usize(1..5) {
                        visitor.get("/", "");
                        let answer = visitor.answer();
                        assert_eq!(
                            (answer.status, answer.text().as_str()),
                            (200, PAGE),
                            "number {number}"
                        );
                    }
                    // Around that time, a bit before or after it.
                    if number % 4 == 0 {
                        let part = 0.7 + random.f64() * 0.6;
                        thread::sleep(IDLE.mul_f64(part));
                    }
                }
            });
        }
    });
    let connections = house.count("connections_total") - before;
    assert!(connections > 8, "only {connections}: none was closed, and this test shows nothing");
}

/// We are told to stop. What has begun is finished, and whoever comes hears from nginx that nobody is here.
#[test]
fn stopping_cuts_nobody_off() {
    let house = House::open(&["--workers", "1"]);
    let large = house.file("large", 10 * MIB);
    let Some(front) = Front::of(&house) else { return };
    let mut begun: Vec<Visitor> =
        (0..3).map(|_| Visitor::with_little_room(front.address, 16 * 1024)).collect();
    for visitor in &mut begun {
        visitor.get("/direct/large", "");
        visitor.stream.peek(&mut [0]).expect("it has begun");
    }
    let mut visitor = front.visitor();
    visitor.get("/", "");
    assert_eq!(visitor.answer().status, 200);
    house.stop();
    // The connection that it keeps is closed. It may find out when it asks.
    visitor.get("/", "");
    assert_eq!(visitor.answer().status, 502);
    assert!(house.program.exit_status().is_none(), "somebody is being served");
    for visitor in &mut begun {
        assert!(visitor.answer().body == large);
    }
    house.has_ended();
}

/// Events come when there are some, though nginx collects other answers: a field of ours tells it not to.
#[rstest]
#[case::all_that_is_said_is_where_we_are("/bare/live")]
#[case::over_connections_that_stay("/live")]
#[case::told_not_to_anyway("/direct/live")]
fn events_are_not_kept_back(#[case] path: &str) {
    let house = House::open(&["--workers", "1"]);
    let Some(front) = Front::of(&house) else { return };
    let mut visitor = front.visitor();
    visitor.get(path, "");
    let mut heard = Vec::new();
    let count = |heard: &[u8]| heard.windows(8).filter(|window| window == b"numbers\n").count();
    while count(&heard) == 0 {
        let mut piece = [0; 16 * 1024];
        match visitor.stream.read(&mut piece) {
            Ok(count @ 1..) => heard.extend_from_slice(&piece[..count]),
            other => panic!("{other:?}, after {:?}", String::from_utf8_lossy(&heard)),
        }
    }
    // There is one a second. Collected, they come some forty at a time: as many as are 4 KiB.
    assert!(count(&heard) < 20, "{} at once", count(&heard));
    assert!(heard.starts_with(b"HTTP/1.1 200 OK\r\n"), "{:?}", String::from_utf8_lossy(&heard));
    drop(visitor);
    // It tells us that its visitor has left, sooner or later; until then we are to stay alive.
    house.quick();
}
