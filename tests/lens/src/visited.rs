//! A chapter's program under the lens, with the visitors calling; or, for the chapter whose program
//! is a visitor itself, with a host to call on.

use std::fs::File;
use std::io::{Read, Seek};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use lens::Blind;
use lens::launch::{self, NO_FILTER};
use lens::record::{self, Line, microseconds};
use lens::tracer::{AllInside, Seen, Tracer};
use visitors::cast::Cast;
use visitors::chapters::{self, Chapter};
use visitors::crowd;
use visitors::doing;
use visitors::hosts::{self, Manner};
use visitors::play::{HALF_A_SECOND, HALF_AND_HALF, HALF_OF_THEM, Play};
use visitors::program::{EndedElsewhere, Program, Start};
use visitors::visit::{Doing, Ending, Visit};

use crate::protocols::Clients;
use crate::show::{Out, Shared, Show, Teller, lock};
use crate::succession::{self, Succession};
use crate::{Arguments, BAD_USAGE, FAILURE, Failed, Way, alone, signals};

/// The chapter whose program is a visitor itself.
const CLIENT: u32 = 1;

/// So many times shorter than usual are a host's rests in the book's half-second.
const HOSTS_TEMPO: u32 = 4;

/// How often it's looked at whether the play is over, or Ctrl-C was pressed.
const LOOK: Duration = Duration::from_millis(20);

/// So many of the last lines are shown of a program that failed.
const LAST_WORDS: usize = 4;

/// As a shell reports a program that was ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Runs a chapter's program to the end of the play.
pub fn run(chapter: &str, arguments: &Arguments) -> Result<u8, Failed> {
    let bad = |reason| Failed(BAD_USAGE, reason);
    let chapter = chapters::find(&chapters::checkout().map_err(bad)?, chapter).map_err(bad)?;
    let signals = signals::Signals::block()
        .map_err(|errno| Failed(FAILURE, format!("can't listen for signals: {errno}")))?;
    let blocked = signals.blocked.clone();
    let interrupted = hear(signals);
    if chapter.number == CLIENT {
        return call_on_host(&chapter, arguments, &blocked, &interrupted);
    }
    let none_chosen = arguments.visitors.is_empty();
    let mut others = Clients::of(&chapter)
        .map(|others| others.filter(|_| none_chosen))
        .map_err(|error| Failed(FAILURE, format!("can't begin: {error}")))?;
    let succession = Succession::of(&chapter)
        .map(|succession| succession.filter(|_| none_chosen))
        .map_err(|error| Failed(FAILURE, format!("can't begin: {error}")))?;
    let script = match (&others, &succession) {
        (Some(_), _) => HALF_OF_THEM,
        (_, Some(_)) => HALF_AND_HALF,
        _ => HALF_A_SECOND,
    };
    let cast = match arguments.visitors.as_slice() {
        [] => script.cast(),
        words => Cast::from_words(words).map_err(bad)?,
    };
    // Before the program starts: it needs as many descriptors, and inherits the limit.
    crowd::make_room(cast.sockets()).map_err(|reason| Failed(FAILURE, reason))?;
    let mut words = vec!["127.0.0.1:0".to_owned()];
    if let Some(others) = &others {
        let more = others.arguments();
        words.extend(more.map_err(|error| Failed(FAILURE, format!("can't begin: {error}")))?);
    }
    words.extend(succession.iter().flat_map(Succession::arguments));
    let traced = Traced::start(&chapter, words, arguments, &blocked)?;
    let address = match traced.program.listening() {
        Ok(address) => address,
        Err(trouble) => {
            let package = chapter.server();
            let failed = traced
                .failed(&format!("{package} doesn't say `listening on` and an address: {trouble}"));
            traced.end()?;
            return Err(failed);
        }
    };
    // Let it get to where it waits for the first visitor. If it finds no rest, the play begins all the same.
    let _ = traced.program.settled();

    if let Some(others) = &mut others {
        let come = others.come(&traced.program);
        come.map_err(|error| Failed(FAILURE, format!("the others can't come: {error}")))?;
    }
    let play = match arguments.visitors.as_slice() {
        [] => script.play(address),
        _ => cast.play(address, arguments.limit()),
    };
    let play = play.map_err(|error| Failed(FAILURE, format!("can't begin: {error}")))?;
    if succession.is_some() {
        lock(&traced.show).overhear();
        play.wait(succession::WHEN.saturating_sub(play.age()));
        traced.program.signal(Signal::SIGUSR2);
    }
    while !play.wait(LOOK) {
        if interrupted.load(Ordering::Relaxed) {
            play.call_off();
        }
    }
    note_play(&traced.show, &cast, play);
    if let Some(others) = others {
        others.note(&traced.show);
    }
    let ended = traced.program.exit_status();
    let ended = match (succession, ended) {
        (None, Some(status)) => {
            Some(traced.failed(&format!("{} ended during the play ({status})", chapter.server())))
        }
        (Some(_), None) => {
            Some(traced.failed(&format!("{} wasn't replaced by another process", chapter.server())))
        }
        _ => None,
    };
    let shown = traced.end();
    match ended {
        _ if interrupted.load(Ordering::Relaxed) => shown.map(|_| INTERRUPTED),
        Some(failed) => Err(failed),
        None => shown.map(|_| 0),
    }
}

/// A chapter's program that calls on a host.
fn call_on_host(
    chapter: &Chapter,
    arguments: &Arguments,
    blocked: &[Signal],
    interrupted: &AtomicBool,
) -> Result<u8, Failed> {
    let (manner, tempo) = match arguments.visitors.as_slice() {
        [] => (Manner::Slow, HOSTS_TEMPO),
        [word] => (word.parse().map_err(|reason| Failed(BAD_USAGE, reason))?, 1),
        _ => {
            let reason =
                format!("chapter {CLIENT}'s program calls on one host: give one --visitors");
            return Err(Failed(BAD_USAGE, reason));
        }
    };
    let host = Host::start(manner, tempo)
        .map_err(|error| Failed(FAILURE, format!("can't start a host: {error}")))?;
    let began = Instant::now();
    let traced = Traced::start(chapter, vec![host.address.to_string()], arguments, blocked)?;
    let mut stopped = false;
    while traced.program.exit_status().is_none() && !stopped {
        thread::sleep(LOOK);
        stopped = interrupted.load(Ordering::Relaxed) || began.elapsed() > arguments.limit();
    }
    host.note(&traced.show, began);
    let ended = traced.end()?;
    Ok(match ended {
        _ if interrupted.load(Ordering::Relaxed) => INTERRUPTED,
        Some(status) => {
            use std::os::unix::process::ExitStatusExt;
            alone::exit_status(status.into_raw())
        }
        None => 0,
    })
}

/// Hears Ctrl-C, and whatever else would end us: the program is ended first.
fn hear(signals: signals::Signals) -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let heard = Arc::clone(&interrupted);
    let hear = move || {
        while signals.next().is_some() {
            heard.store(true, Ordering::Relaxed);
        }
    };
    drop(thread::Builder::new().name("signals".to_owned()).spawn(hear));
    interrupted
}

/// A program under the lens, and what is seen of it.
struct Traced {
    program: Program,
    /// What it says on stderr.
    said: File,
    show: Shared,
    teller: Teller,
    tracer: JoinHandle<i32>,
}

impl Traced {
    fn start(
        chapter: &Chapter,
        words: Vec<String>,
        arguments: &Arguments,
        blocked: &[Signal],
    ) -> Result<Self, Failed> {
        let path = chapters::build(chapter).map_err(|reason| Failed(FAILURE, reason))?;
        let mut command = vec![path.display().to_string()];
        command.extend(words);
        command.extend(arguments.command.iter().map(|word| word.to_string_lossy().into_owned()));
        // The book's files are the same wherever the repository lies.
        let mut shown = command.clone();
        shown[0] = chapter.server();
        let show = Arc::new(Mutex::new(Show::new(arguments, shown, Out::Stdout)?));
        let filtered = !arguments.every_call && launch::can_filter();
        let way = Way { filtered, lies: arguments.lie };
        match Self::launch(&path, &command[1..], (way, blocked), &show)? {
            Some(traced) => Ok(traced),
            // This kernel has no filters to give: then at every call.
            None => Self::launch(
                &path,
                &command[1..],
                (Way { filtered: false, ..way }, blocked),
                &show,
            )?
            .ok_or_else(|| Failed(FAILURE, format!("can't start {}", path.display()))),
        }
    }

    /// `None` when the kernel has no filter to give.
    fn launch(
        path: &Path,
        words: &[String],
        (way, blocked): (Way, &[Signal]),
        show: &Shared,
    ) -> Result<Option<Self>, Failed> {
        let failed = |error| Failed(FAILURE, format!("can't start {}: {error}", path.display()));
        // What it says goes into a file: with a pipe it would wait for us now and then, and be seen to.
        let said = tempfile::tempfile().map_err(failed)?;
        let (ourselves, words_before) = launch::command(way.filtered, blocked);
        let start = words_before.iter().fold(Start::new(ourselves), Start::arg).arg(path).apart();
        let start = start.stderr_to(said.try_clone().map_err(failed)?);
        let program = words.iter().fold(start, Start::arg).start().map_err(failed)?;
        let ended = EndedElsewhere::default();
        let (tracer, inside, begun) = trace(program.pid(), way, show, &ended)
            .map_err(|blind| Failed(BAD_USAGE, blind.to_string()))?;
        program.is_waited_for_elsewhere(ended);
        if !begun.recv().unwrap_or(false) {
            let status = program.exit_status().and_then(|status| status.code());
            return match status {
                Some(NO_FILTER) => Ok(None),
                _ => Err(failed(std::io::Error::other(last_words(&said)))),
            };
        }
        let teller = Teller::start(show, inside);
        Ok(Some(Self { program, said, show: Arc::clone(show), teller, tracer }))
    }

    /// Why the program is no use, with what it said last.
    fn failed(&self, what: &str) -> Failed {
        let said = last_words(&self.said);
        let said = if said.is_empty() { said } else { format!("; its last words:\n{said}") };
        Failed(FAILURE, format!("{what}{said}"))
    }

    /// Ends the program if it goes on still, and shows the rest. How it ended, if it did so by itself.
    fn end(self) -> Result<Option<ExitStatus>, Failed> {
        let by_itself = self.program.exit_status();
        self.program.signal(Signal::SIGKILL);
        // And whatever it has started: it has a group of its own.
        let _ = killpg(Pid::from_raw(self.program.pid()), Signal::SIGKILL);
        let status = self.tracer.join().unwrap_or(0);
        drop(self.teller);
        let words = match by_itself {
            Some(_) if lock(&self.show).is_of_two() => {
                "replaced; the other one was ended by the lens, with the play".to_owned()
            }
            Some(_) => alone::ending(status),
            None => "ended by the lens, with the play".to_owned(),
        };
        drop(self.program);
        let show = Arc::into_inner(self.show).map(Mutex::into_inner);
        if let Some(Ok(show)) = show {
            show.end(words)?;
        }
        Ok(by_itself)
    }
}

/// The last lines that a program has written into a file.
fn last_words(mut file: &File) -> String {
    let mut text = Vec::new();
    // Unreadable, it has no last words.
    let _ = file.rewind().and_then(|()| file.read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n")
}

/// A tracer's thread, what the program's threads are inside, and whether the program has begun.
type Tracing = (JoinHandle<i32>, AllInside, std::sync::mpsc::Receiver<bool>);

/// Takes hold of the process, on a thread of its own: the kernel knows a tracer by its thread.
fn trace(pid: i32, way: Way, show: &Shared, ended: &EndedElsewhere) -> Result<Tracing, Blind> {
    use std::os::unix::process::ExitStatusExt;
    let (held, hold) = channel();
    let (begins, begun) = channel();
    let (show, ended) = (Arc::clone(show), Arc::clone(ended));
    let trace = move || {
        let mut tracer = match Tracer::seize(Pid::from_raw(pid), way.filtered) {
            Ok(tracer) => tracer,
            Err(blind) => {
                let _ = held.send(Err(blind));
                return 0;
            }
        };
        if way.lies {
            tracer.lie();
        }
        let _ = held.send(Ok(tracer.inside()));
        let mut see = |tracer: &Tracer, seen: Seen| {
            if matches!(seen, Seen::Begun) {
                lock(&show).begin(tracer.origin());
                let _ = begins.send(true);
            }
            lock(&show).see(seen);
        };
        tracer.run(&mut see, &mut |status| {
            let _ = ended.set(ExitStatus::from_raw(status));
        })
    };
    let thread = thread::Builder::new().name("tracer".to_owned()).spawn(trace);
    let thread = thread.map_err(|_| Blind::Failed(Errno::EAGAIN))?;
    let inside = hold.recv().unwrap_or(Err(Blind::Gone))?;
    Ok((thread, inside, begun))
}

/// Writes down what the visitors did.
fn note_play(show: &Shared, cast: &Cast, play: Play) {
    let began = play.began();
    let scenes = play.scenes();
    let visits = play.end();
    let mut show = lock(show);
    let offset = began.saturating_duration_since(show.origin());
    let at = |time: Duration| microseconds(offset + time);
    let length = match visits
        .iter()
        .zip(&scenes)
        .map(|(_, scene)| scene.track.last())
        .max_by_key(|last| last.map(|(moment, _)| *moment))
    {
        Some(Some((last, _))) => (*last).max(Duration::from_millis(1)),
        _ => Duration::from_millis(1),
    };
    show.keep(Line::Play(record::Play { began_us: at(Duration::ZERO), ended_us: at(length) }));
    for ((scene, visit), name) in scenes.iter().zip(&visits).zip(cast.names()) {
        let track: Vec<_> = scene
            .track
            .iter()
            .map(|(moment, doing)| (at(*moment), word(*doing).to_owned()))
            .collect();
        let ended_us = track.last().map_or(at(length), |(moment, _)| *moment);
        let ending = ending(visit);
        show.keep(Line::Visitor(record::Visitor { name, track, ended_us, ending }));
    }
}

fn word(doing: Doing) -> &'static str {
    match doing {
        Doing::Connecting => "connecting",
        Doing::Sending => "sending",
        Doing::Waiting => "waiting",
        Doing::Silent => "silent",
        Doing::Receiving => "receiving",
        Doing::Answered => "answered",
        Doing::Refused => "refused",
        Doing::CutOff => "cut off",
        Doing::GaveUp => "gave up",
        Doing::Left => "left",
    }
}

/// How a visit ended, in a few words.
fn ending(visit: &Visit) -> String {
    match &visit.ending {
        Ending::Answered { status: 200 } => {
            format!("answered after {:.0} ms", visit.took.as_secs_f64() * 1000.0)
        }
        Ending::Answered { status } => format!("answered with {status}"),
        Ending::CutShort => "cut off in the answer".to_owned(),
        Ending::Nonsense => "got nonsense".to_owned(),
        Ending::Refused => "refused".to_owned(),
        Ending::Reset => "reset".to_owned(),
        Ending::Closed => "hung up on".to_owned(),
        Ending::GaveUp if visit.received > 0 => "not done at the end".to_owned(),
        Ending::GaveUp => "not served".to_owned(),
        Ending::Left => "left".to_owned(),
        Ending::Unstarted => "never came".to_owned(),
        Ending::Failed(reason) => reason.clone(),
    }
}

/// A host that runs, and what it has been doing.
struct Host {
    address: SocketAddr,
    manner: Manner,
    track: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Host {
    fn start(manner: Manner, tempo: u32) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        doing::call(address.port(), doing::ANYBODY, &format!("{manner} host"));
        let track: Arc<Mutex<Vec<(Instant, String)>>> = Arc::default();
        let kept = Arc::clone(&track);
        let tell = move |_, words: &str| {
            let now = Instant::now();
            let doing: &[&str] = match words.split(' ').next() {
                Some("connected") => &["waiting"],
                Some("asked:") => &["silent"],
                Some("was") => &["sending", "silent"],
                _ => &[],
            };
            let mut track = kept.lock().unwrap_or_else(PoisonError::into_inner);
            track.extend(doing.iter().map(|doing| (now, (*doing).to_owned())));
        };
        // It ends with us: a host serves for ever.
        let serve = move || hosts::serve_hurried(&listener, manner, tempo, tell);
        thread::Builder::new().name("host".to_owned()).spawn(serve)?;
        Ok(Self { address, manner, track })
    }

    /// Writes down what it did.
    fn note(&self, show: &Shared, began: Instant) {
        let ended = Instant::now();
        let mut show = lock(show);
        let at = |moment: Instant| microseconds(moment.saturating_duration_since(show.origin()));
        let track = self.track.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = track.iter().filter(|(_, doing)| doing == "sending").count();
        let last = track.iter().rev().find(|(_, doing)| doing == "sending");
        let ended_us = at(last.map_or(ended, |(moment, _)| *moment));
        let track: Vec<_> = track
            .iter()
            .filter(|(moment, _)| *moment >= began)
            .map(|(moment, doing)| (at(*moment), doing.clone()))
            .filter(|(moment, _)| *moment <= ended_us)
            .collect();
        let ending = match sent {
            0 => "sent nothing".to_owned(),
            1 => "sent its answer".to_owned(),
            pieces => format!("sent its answer in {pieces} pieces"),
        };
        let name = format!("the {} host", self.manner);
        show.keep(Line::Visitor(record::Visitor { name, track, ended_us, ending }));
    }
}
