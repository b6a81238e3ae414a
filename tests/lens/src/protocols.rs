//! Clients of other protocols than HTTP, for the chapter whose program speaks many: each a lane of the timeline.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lens::record::{self, Line, microseconds};
use tempfile::TempDir;
use visitors::chapters::Chapter;
use visitors::doing;
use visitors::program::Program;

use crate::show::{Shared, lock};

/// The chapter whose program speaks many protocols.
const MANY: u32 = 12;
/// How long the other name server takes for a name that it has to ask others for.
const FAR_AWAY: Duration = Duration::from_millis(180);
/// How long anybody waits at the most.
const PATIENCE: Duration = Duration::from_secs(5);

/// All of them, and what they need.
pub struct Clients {
    upstream: UdpSocket,
    folder: TempDir,
    lanes: Vec<Lane>,
}

/// What one of them has been doing.
struct Lane {
    track: Track,
    client: JoinHandle<io::Result<String>>,
}

#[derive(Clone)]
struct Track {
    name: &'static str,
    doing: Arc<Mutex<Vec<(Instant, &'static str)>>>,
}

impl Clients {
    /// For chapters whose program has work for them.
    ///
    /// # Errors
    /// When there's no socket to be had, or no folder.
    pub fn of(chapter: &Chapter) -> io::Result<Option<Self>> {
        if chapter.number != MANY {
            return Ok(None);
        }
        let (upstream, folder) = (UdpSocket::bind("127.0.0.1:0")?, tempfile::tempdir()?);
        Ok(Some(Self { upstream, folder, lanes: Vec::new() }))
    }

    /// What the program is told, besides where it serves HTTP.
    ///
    /// # Errors
    /// When the system can't tell where a socket is.
    pub fn arguments(&self) -> io::Result<Vec<String>> {
        let any = "127.0.0.1:0".to_owned();
        let upstream = self.upstream.local_addr()?.to_string();
        let mbox = self.folder.path().join("mbox").display().to_string();
        let services = [("--dns", any.clone()), ("--upstream", upstream), ("--mail", any.clone())];
        let all = services.into_iter().chain([("--mbox", mbox), ("--chat", any)]);
        Ok(all.flat_map(|(option, value)| [option.to_owned(), value]).collect())
    }

    /// They come, each in its time.
    ///
    /// # Errors
    /// When the program doesn't say where it listens.
    pub fn come(&mut self, program: &Program) -> io::Result<()> {
        let address = |service: &str| -> io::Result<SocketAddr> {
            let end = format!("({service})");
            let line = program.prints(|line| line.ends_with(&end));
            let line = line.map_err(|trouble| io::Error::other(trouble.to_string()))?;
            let word = line.split_whitespace().nth(2).and_then(|word| word.parse().ok());
            word.ok_or_else(|| io::Error::other(format!("{line:?} says no address")))
        };
        let (dns, mail, chat) = (address("dns")?, address("mail")?, address("chat")?);
        let upstream = self.upstream.try_clone()?;
        // It ends with us: whoever answers questions does so for ever.
        thread::spawn(move || answer_later(&upstream));
        self.begin("dns, a name of ours", move |track| {
            ask(track, dns, "www.example.test", &[20, 130, 240, 350, 450])
        });
        self.begin("dns, a name far away", move |track| ask(track, dns, "far.example.org", &[60]));
        self.begin("mail", move |track| send_mail(track, mail));
        self.begin("chat, Ada", move |track| chat_with(track, chat, "Ada", &[180, 320]));
        self.begin("chat, Bob", move |track| chat_with(track, chat, "Bob", &[240, 400]));
        Ok(())
    }

    fn begin(
        &mut self,
        name: &'static str,
        act: impl FnOnce(&Track) -> io::Result<String> + Send + 'static,
    ) {
        let track = Track { name, doing: Arc::default() };
        let of_client = track.clone();
        let client = thread::spawn(move || act(&of_client));
        self.lanes.push(Lane { track, client });
    }

    /// Writes down what they did.
    pub fn note(self, show: &Shared) {
        for Lane { track, client } in self.lanes {
            let outcome = client.join().unwrap_or_else(|_| Err(io::Error::other("failed")));
            let mut show = lock(show);
            let at =
                |moment: Instant| microseconds(moment.saturating_duration_since(show.origin()));
            let doing = track.doing.lock().unwrap_or_else(PoisonError::into_inner);
            let steps: Vec<_> =
                doing.iter().map(|(moment, doing)| (at(*moment), (*doing).to_owned())).collect();
            let ended_us = steps.last().map_or(0, |(moment, _)| *moment);
            let ending = outcome.unwrap_or_else(|error| error.to_string());
            let visitor =
                record::Visitor { name: track.name.to_owned(), track: steps, ended_us, ending };
            show.keep(Line::Visitor(visitor));
        }
    }
}

impl Track {
    fn note(&self, doing: &'static str) {
        let mut track = self.doing.lock().unwrap_or_else(PoisonError::into_inner);
        track.push((Instant::now(), doing));
    }
}

/// Waits until so many milliseconds have passed.
fn until(began: Instant, moment: u64) {
    thread::sleep(Duration::from_millis(moment).saturating_sub(began.elapsed()));
}

/// A question for the address of `name` (RFC 1035, section 4).
fn question(number: u16, name: &str) -> Vec<u8> {
    let mut message = number.to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap_or(0));
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

fn ask(track: &Track, dns: SocketAddr, name: &str, moments: &[u64]) -> io::Result<String> {
    let began = Instant::now();
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(dns)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    for (number, moment) in (1..).zip(moments) {
        until(began, *moment);
        track.note("sending");
        socket.send(&question(number, name))?;
        track.note("waiting");
        socket.recv(&mut [0; 512])?;
        track.note(if usize::from(number) == moments.len() { "answered" } else { "silent" });
    }
    Ok(match moments.len() {
        1 => "answered, later".to_owned(),
        count => format!("answered {count} times"),
    })
}

/// The name server that the program asks: it takes its time, and says that there is no such name.
fn answer_later(socket: &UdpSocket) -> io::Result<()> {
    let mut message = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut message)?;
        thread::sleep(FAR_AWAY);
        let answer = message.get_mut(..length).unwrap_or_default();
        if let Some(flags) = answer.get_mut(2..4) {
            flags.copy_from_slice(&[0x81, 0x83]);
        }
        socket.send_to(answer, from)?;
    }
}

/// A client that speaks lines.
struct Lines<'a> {
    track: &'a Track,
    socket: BufReader<TcpStream>,
}

impl<'a> Lines<'a> {
    fn connect(track: &'a Track, to: SocketAddr) -> io::Result<Self> {
        track.note("connecting");
        let socket = TcpStream::connect(to)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        doing::call(socket.local_addr()?.port(), to.port(), track.name);
        Ok(Self { track, socket: BufReader::new(socket) })
    }

    fn say(&mut self, line: &str) -> io::Result<()> {
        self.track.note("sending");
        self.socket.get_mut().write_all(line.as_bytes())
    }

    fn hear(&mut self, wanted: &str) -> io::Result<()> {
        self.track.note("waiting");
        let mut line = Vec::new();
        while !String::from_utf8_lossy(&line).contains(wanted) {
            line.clear();
            if self.socket.read_until(b'\n', &mut line)? == 0 {
                return Err(io::Error::other("hung up on"));
            }
        }
        self.track.note("silent");
        Ok(())
    }
}

/// A message, a line now and then.
fn send_mail(track: &Track, mail: SocketAddr) -> io::Result<String> {
    let began = Instant::now();
    until(began, 80);
    let mut client = Lines::connect(track, mail)?;
    client.hear("220 ")?;
    client.say("HELO client.example.test\r\nMAIL FROM:<ada@example.test>\r\n")?;
    client.say("RCPT TO:<bob@example.test>\r\nDATA\r\n")?;
    client.hear("354 ")?;
    for (moment, line) in
        [(150, "Subject: waiting\r\n\r\n"), (230, "A line.\r\n"), (310, "The last.\r\n")]
    {
        until(began, moment);
        client.say(line)?;
        track.note("silent");
    }
    until(began, 390);
    client.say(".\r\n")?;
    client.hear("250 ")?;
    track.note("answered");
    Ok("kept".to_owned())
}

fn chat_with(track: &Track, chat: SocketAddr, name: &str, moments: &[u64]) -> io::Result<String> {
    let began = Instant::now();
    until(began, moments.first().map_or(0, |first| first - 80));
    let mut client = Lines::connect(track, chat)?;
    client.say(&format!("{name}\r\n"))?;
    track.note("silent");
    for (number, moment) in (1..).zip(moments) {
        until(began, *moment);
        client.say(&format!("{name}'s line {number}\r\n"))?;
        track.note("silent");
    }
    track.note("left");
    Ok("here".to_owned())
}
