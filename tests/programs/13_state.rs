//! What is handed over is what arrives, and nothing that can't be read does any harm.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{Seek, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use ch10_http::Status;
use ch11_http_server::connection::handover::Visitor;
use ch11_http_server::conversation::parts::{Parts, Place};
use ch11_http_server::conversation::wait::Wait;
use ch11_http_server::conversation::{Answered, Length};
use ch11_http_server::log::Line;
use ch11_http_server::queue::FilePart;
use ch11_http_server::server::HandedOver;
use ch13_upgrade::channel::{Channel, MOST_DESCRIPTORS};
use ch13_upgrade::format::Malformed;
use ch13_upgrade::http;
use ch13_upgrade::message::Message;
use ch13_upgrade::peer::Peer;
use ch13_upgrade::state::{Incoming, Outgoing};

fn from(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 7], port))
}

fn idle() -> Visitor {
    let parts = Parts {
        input: Vec::new(),
        input_ended: false,
        output: Vec::new(),
        file: None,
        request: 7,
        answered: None,
        place: Place::Reading,
        wait: Wait::Idle,
        time_left: Some(Duration::from_millis(59_999)),
    };
    Visitor { from: from(1), parts, line: None, stream: None }
}

/// One of each.
fn visitors() -> Vec<Visitor> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"0123456789").unwrap();
    let file = Rc::new(file);
    let part = |at, left| Some(FilePart { file: Rc::clone(&file), at, left });
    let line = Line {
        from: from(2).ip(),
        request: "GET /caf\\xC3 HTTP/1.1".to_owned(),
        referer: "-".to_owned(),
        agent: "x".repeat(300),
    };
    let places = [
        Place::Reading,
        Place::Receiving,
        Place::Streaming { length: Length::InChunks, closes: None },
        Place::Streaming { length: Length::UntilClose, closes: Some(true) },
        Place::Streaming { length: Length::Left(u64::MAX), closes: Some(false) },
        Place::Closing { lingers: true },
        Place::Closing { lingers: false },
        Place::Lingering { told: true },
        Place::Lingering { told: false },
    ];
    let waits = [
        Wait::Idle,
        Wait::Head,
        Wait::Body,
        Wait::Handler,
        Wait::Send,
        Wait::Stream,
        Wait::Linger,
        Wait::Nothing,
    ];
    let mut all: Vec<Visitor> = places
        .into_iter()
        .zip(waits.into_iter().cycle())
        .map(|(place, wait)| Visitor { parts: Parts { place, wait, ..idle().parts }, ..idle() })
        .collect();
    let mut busy = idle();
    busy.from = "[2001:db8::1]:65535".parse().unwrap();
    busy.parts.input = b"GET /\0\xff".to_vec();
    busy.parts.input_ended = true;
    busy.parts.output = vec![200; 3000];
    busy.parts.file = part(3, 4);
    busy.parts.answered = Some(Answered { status: Status::PARTIAL_CONTENT, bytes: 4 });
    busy.parts.time_left = None;
    busy.line = Some(line);
    busy.stream = Some("/live".to_owned());
    all.push(busy);
    let mut other = idle();
    other.parts.file = part(0, 10);
    all.push(other);
    all
}

/// As it's said; a file by its name in the kernel.
fn told(visitor: &Visitor) -> String {
    let file = visitor.parts.file.as_ref();
    let file = file.map(|part| {
        (std::fs::metadata(format!("/proc/self/fd/{}", part.file.as_raw_fd())).unwrap(), part)
    });
    let file = file.map(|(data, part)| {
        use std::os::unix::fs::MetadataExt;
        (data.ino(), part.at, part.left)
    });
    let mut visitor = visitor.clone();
    visitor.parts.file = None;
    format!("{visitor:?} {file:?}")
}

/// The state's bytes, and its descriptors.
fn written(visitors: &[Visitor]) -> (Vec<u8>, Vec<OwnedFd>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let sockets: Vec<TcpStream> = visitors
        .iter()
        .map(|_| TcpStream::connect(listener.local_addr().unwrap()).unwrap())
        .collect();
    let server = HandedOver {
        listener: Some(listener.as_fd()),
        visitors: sockets.iter().map(AsFd::as_fd).zip(visitors.iter().cloned()).collect(),
        staying: 0,
    };
    let mut state = Outgoing::default();
    http::write(&mut state, &server);
    let (bytes, descriptors) = state.finish();
    (bytes, descriptors.iter().map(|it| it.try_clone_to_owned().unwrap()).collect())
}

fn again(descriptors: &[OwnedFd]) -> Vec<OwnedFd> {
    descriptors.iter().map(|it| it.try_clone().unwrap()).collect()
}

fn read(bytes: &[u8], descriptors: Vec<OwnedFd>) -> Result<Vec<(TcpStream, Visitor)>, Malformed> {
    let mut state = Incoming::new(bytes, descriptors);
    http::read_listener(&mut state)?.ok_or(Malformed)?;
    http::read_visitors(state)
}

#[test]
fn what_is_written_is_read() {
    let visitors = visitors();
    let (bytes, descriptors) = written(&visitors);
    // The listener, a socket each, and the file that two are sent, once.
    assert_eq!(descriptors.len(), 1 + visitors.len() + 1);
    let read = read(&bytes, descriptors).unwrap();
    assert_eq!(read.len(), visitors.len());
    for ((_, read), visitor) in read.iter().zip(&visitors) {
        assert_eq!(told(read), told(visitor));
    }
}

/// A state that is cut off, or to which something was added, is refused; and one that was altered is refused or read,
/// and neither panics nor asks for memory that isn't there.
#[test]
fn what_is_altered_does_no_harm() {
    let (bytes, descriptors) = written(&visitors());
    for length in 0..bytes.len() {
        assert!(read(&bytes[..length], again(&descriptors)).is_err(), "{length}");
    }
    assert!(read(&[&bytes[..], b"x"].concat(), again(&descriptors)).is_err());
    assert!(read(&bytes, again(&descriptors[1..])).is_err(), "a descriptor is missing");
    let more = again(&descriptors).into_iter().chain(again(&descriptors[..1])).collect();
    assert!(read(&bytes, more).is_err(), "nobody has asked for that descriptor");
    let mut random = fastrand::Rng::with_seed(13);
    for _ in 0..3000 {
        let mut altered = bytes.clone();
        let at = random.usize(..altered.len());
        altered[at] = random.u8(..);
        let _ = read(&altered, again(&descriptors));
    }
}

/// Whoever does nothing costs little.
#[test]
fn an_idle_visitor_takes_less_than_two_kibibytes() {
    let visitors: Vec<Visitor> = (0..100).map(|_| idle()).collect();
    let (bytes, _) = written(&visitors);
    let each = bytes.len() / visitors.len();
    assert!(each <= 256, "{each} bytes");
}

/// A descriptor is one's own once.
#[test]
fn no_descriptor_is_given_out_twice() {
    let file = File::open("/dev/null").unwrap();
    let mut state = Outgoing::default();
    state.descriptor(file.as_fd());
    state.descriptor(file.as_fd());
    let (bytes, descriptors) = state.finish();
    assert_eq!(descriptors.len(), 1);
    let came = descriptors.iter().map(|it| it.try_clone_to_owned().unwrap()).collect();
    let mut state = Incoming::new(&bytes, came);
    assert!(state.descriptor().is_ok());
    assert_eq!(state.descriptor().err(), Some(Malformed));
}

/// A packet is whole, with all its descriptors, in the order in which they were sent.
#[test]
fn packets_arrive_as_they_were_sent() {
    let (here, there) = Channel::pair().unwrap();
    assert!(there.receive().unwrap().is_none(), "nothing has come");
    let mut file = tempfile::tempfile().unwrap();
    let pipe = std::io::pipe().unwrap();
    let many = vec![file.as_fd(); MOST_DESCRIPTORS - 1];
    assert!(here.send(b"one", &[]).unwrap());
    assert!(here.send(b"two", &[&many[..], &[pipe.0.as_fd()]].concat()).unwrap());
    drop(here);
    let first = there.receive().unwrap().unwrap();
    assert_eq!((&first.bytes[..], first.descriptors.len()), (&b"one"[..], 0));
    let second = there.receive().unwrap().unwrap();
    assert_eq!((&second.bytes[..], second.descriptors.len()), (&b"two"[..], MOST_DESCRIPTORS));
    // It's the same file: it has one place, for all its descriptors.
    file.write_all(b"abc").unwrap();
    let mut came: Vec<OwnedFd> = second.descriptors;
    let last = came.pop().unwrap();
    assert_eq!(File::from(came.remove(0)).stream_position().unwrap(), 3);
    assert!(File::from(last).stream_position().is_err(), "it's the pipe");
    // And then the end.
    let end = there.receive().unwrap().unwrap();
    assert!(end.bytes.is_empty() && end.descriptors.is_empty());
    assert!(there.send(b"x", &[]).is_err());
}

/// On a socket of packets, that something was left unread is told before what was said last (unix(7) doesn't say so).
#[test]
fn last_words_are_heard_of_one_who_has_left_something_unread() {
    let (here, there) = Channel::pair().unwrap();
    let mut peer = Peer::new(Rc::new(here), Duration::from_secs(60)).unwrap();
    peer.send(&Message::Go, &[]).unwrap();
    assert!(there.send(&Message::Refused("no port".to_owned()).to_bytes(), &[]).unwrap());
    drop(there);
    let heard = peer.receive().unwrap().map(|(message, _)| message);
    assert_eq!(heard, Some(Message::Refused("no port".to_owned())));
    assert!(peer.receive().unwrap().is_none(), "and then it's gone");
}

#[test]
fn no_packet_has_more_descriptors_than_the_kernel_takes() {
    let (here, _there) = Channel::pair().unwrap();
    let file = File::open("/dev/null").unwrap();
    let error = here.send(b"x", &vec![file.as_fd(); MOST_DESCRIPTORS + 1]).unwrap_err();
    assert_eq!(error.to_string(), "too many descriptors for one packet");
}
