//! A DNS server in a thread of its own, with one line that waits; an upstream that does as its
//! questions tell it; and somebody who asks.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ch07_callbacks::EventLoop;
use ch09_timers::{Clock, Timers};
use ch11_http_server::mailbox;
use ch11_http_server::mailbox::Sender;
use ch12_kernel::dns::{self, Dns, Options, Times, Zone};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, SOA};
use hickory_proto::rr::{IntoName, Name, RData, Record, RecordType};

/// Nothing takes as long as that, on however busy a machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub const ZONE: &str = "$ORIGIN example.test.\n$TTL 300\n\
    @ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\n@ MX 10 mail\nns A 192.0.2.53\n\
    mail A 192.0.2.25\nwww CNAME web\nweb A 192.0.2.1\nweb A 192.0.2.2\n\
    out CNAME a.other.test.\nlost CNAME nx.other.test.\nloop CNAME pool\npool CNAME loop\n\
    *.wild A 192.0.2.9\n*.wild MX 5 mail\nhere.wild TXT here\n\
    a.ent.deep A 192.0.2.8\nsub NS ns.sub\nns.sub A 192.0.2.77\n\
    dangling CNAME nobody\n*.alias CNAME web\n";

pub fn zone() -> Zone {
    Zone::from_text(ZONE).unwrap()
}

/// Short, so that a test needn't wait.
pub const QUICK: Times = Times {
    retry: Duration::from_millis(60),
    pause: Duration::from_millis(20),
    deadline: Duration::from_millis(500),
};

pub fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

pub fn question(id: u16, of: &str, kind: RecordType) -> Message {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name(of), kind));
    message
}

pub fn with_edns(mut message: Message, size: u16) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(size);
    message.edns = Some(edns);
    message
}

pub fn bytes(message: &Message) -> Vec<u8> {
    message.to_vec().unwrap()
}

pub fn address(of: impl IntoName, ttl: u32, last: u8) -> Record {
    Record::from_rdata(of.into_name().unwrap(), ttl, RData::A(A(Ipv4Addr::new(203, 0, 113, last))))
}

pub fn alias(of: impl IntoName, ttl: u32, target: &str) -> Record {
    Record::from_rdata(of.into_name().unwrap(), ttl, RData::CNAME(CNAME(name(target))))
}

pub fn soa(of: &str, ttl: u32, minimum: u32) -> Record {
    let data = SOA::new(name("ns.other.test."), name("who.other.test."), 1, 2, 3, 4, minimum);
    Record::from_rdata(name(of), ttl, RData::SOA(data))
}

/// An answer to `question`, still without any records.
pub fn answer_to(question: &Message) -> Message {
    let mut answer = Message::response(question.metadata.id, OpCode::Query);
    answer.metadata.recursion_available = true;
    answer.queries.clone_from(&question.queries);
    answer.edns = question.edns.as_ref().map(|_| Edns::new());
    answer
}

/// The addresses in an answer, by their last numbers.
pub fn addresses(answer: &Message) -> Vec<u8> {
    let last = |record: &Record| match &record.data {
        RData::A(address) => Some(address.0.octets()[3]),
        _ => None,
    };
    answer.answers.iter().filter_map(last).collect()
}

/// A server. Dropped, it stops.
pub struct House {
    pub address: SocketAddr,
    orders: Sender<Order>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

type Order = Box<dyn FnOnce(&mut EventLoop, &Dns) + Send>;

impl House {
    pub fn open(upstream: Option<SocketAddr>) -> Self {
        Self::open_with(Options { zone: Some(zone()), upstream, times: QUICK, generation: None })
    }

    pub fn open_with(options: Options) -> Self {
        let (udp, tcp) = same_port();
        let address = udp.local_addr().unwrap();
        let (sends, receives) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut event_loop = ch08_epoll_or_poll()?;
            let timers = Timers::start(&mut event_loop, Clock::system());
            let dns = dns::serve(&mut event_loop, timers, udp, tcp, options)?;
            let (_, orders) = mailbox(&mut event_loop, move |event_loop, order: Order| {
                order(event_loop, &dns);
            })?;
            sends.send(orders).unwrap();
            event_loop.run()
        });
        Self { address, orders: receives.recv().unwrap(), thread: Some(thread) }
    }

    /// Has something done in the loop, and waits for what it gives.
    pub fn order<T: Send + 'static>(
        &self,
        order: impl FnOnce(&mut EventLoop, &Dns) -> T + Send + 'static,
    ) -> T {
        let (sends, receives) = mpsc::channel();
        self.orders.send(Box::new(move |event_loop, dns| {
            sends.send(order(event_loop, dns)).unwrap();
        }));
        receives.recv_timeout(PATIENCE).unwrap()
    }

    /// Somebody with a socket of their own.
    pub fn asker(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// Asks by UDP, and waits for the answer.
    #[track_caller]
    pub fn ask(&self, message: &Message) -> Message {
        let socket = self.asker();
        socket.send(&bytes(message)).unwrap();
        hear(&socket)
    }

    #[track_caller]
    pub fn ask_for(&self, of: &str) -> Message {
        self.ask(&question(77, of, RecordType::A))
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// It still answers: whatever was done to it, it was done to nobody else.
    #[track_caller]
    pub fn is_well(&self) {
        assert_eq!(self.ask_for("web.example.test.").answers.len(), 2);
        let mut stream = self.connect();
        stream
            .write_all(&framed(&bytes(&question(5, "web.example.test.", RecordType::A))))
            .unwrap();
        assert_eq!(hear_framed(&mut stream).unwrap().answers.len(), 2);
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.orders.send(Box::new(|event_loop, _| event_loop.stop()));
        let ended = self.thread.take().unwrap().join();
        if !thread::panicking() {
            ended.expect("the loop's thread is well").expect("the loop is well");
        }
    }
}

#[cfg(target_os = "linux")]
pub fn ch08_epoll_or_poll() -> io::Result<EventLoop> {
    ch08_epoll::event_loop()
}

#[cfg(not(target_os = "linux"))]
pub fn ch08_epoll_or_poll() -> io::Result<EventLoop> {
    Ok(EventLoop::new(ch07_callbacks::Poll))
}

/// Two sockets on one port.
pub fn same_port() -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
            return (udp, tcp);
        }
    }
}

#[track_caller]
pub fn hear(socket: &UdpSocket) -> Message {
    let mut buffer = [0; 65_535];
    let count = socket.recv(&mut buffer).expect("there is an answer");
    Message::from_vec(&buffer[..count]).expect("it can be read")
}

pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap();
    [&length.to_be_bytes(), message].concat()
}

/// The next message of a stream, or its end.
pub fn hear_framed(stream: &mut TcpStream) -> Option<Message> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut message).ok()?;
    Some(Message::from_vec(&message).expect("it can be read"))
}

/// An upstream. What it does is said by the first label of the name that it's asked for.
pub struct Upstream {
    pub address: SocketAddr,
    /// What it was asked, and how.
    heard: Arc<Mutex<Vec<Asked>>>,
}

#[derive(Clone, Debug)]
pub struct Asked {
    pub message: Message,
    pub from: SocketAddr,
    pub by_tcp: bool,
}

impl Upstream {
    pub fn open() -> Self {
        let (udp, tcp) = same_port();
        let address = udp.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((count, from)) = udp.recv_from(&mut buffer) {
                let message = Message::from_vec(&buffer[..count]).expect("it's a question");
                let asked = Asked { message, from, by_tcp: false };
                let times = {
                    let mut heard = hears.lock().unwrap();
                    heard.push(asked.clone());
                    heard
                        .iter()
                        .filter(|other| other.message.queries == asked.message.queries)
                        .count()
                };
                let udp = udp.try_clone().unwrap();
                thread::spawn(move || by_udp(&udp, &asked, times));
            }
        });
        let hears = Arc::clone(&heard);
        thread::spawn(move || {
            for stream in tcp.incoming() {
                let (mut stream, hears) = (stream.unwrap(), Arc::clone(&hears));
                thread::spawn(move || {
                    let from = stream.peer_addr().unwrap();
                    while let Some(message) = hear_framed(&mut stream) {
                        let asked = Asked { message, from, by_tcp: true };
                        hears.lock().unwrap().push(asked.clone());
                        by_tcp(&mut stream, &asked.message);
                    }
                });
            }
        });
        Self { address, heard }
    }

    pub fn heard(&self) -> Vec<Asked> {
        self.heard.lock().unwrap().clone()
    }

    /// How often it was asked for this name.
    pub fn times(&self, of: &str) -> usize {
        let name = name(of);
        self.heard().iter().filter(|asked| *asked.message.queries[0].name() == name).count()
    }
}

fn label(message: &Message) -> String {
    let name = message.queries[0].name();
    String::from_utf8_lossy(name.iter().next().unwrap_or_default()).to_lowercase()
}

fn right(asked: &Message) -> Message {
    let mut answer = answer_to(asked);
    answer.add_answer(address(asked.queries[0].name().clone(), 300, 1));
    answer
}

fn by_udp(udp: &UdpSocket, asked: &Asked, times: usize) {
    let say = |answer: &Message| {
        udp.send_to(&bytes(answer), asked.from).unwrap();
    };
    let mut answer = right(&asked.message);
    let mut lie = answer.clone();
    lie.answers[0] = address(asked.message.queries[0].name().clone(), 300, 66);
    match label(&asked.message).as_str() {
        "silent" => return,
        "second" if times < 2 => return,
        "wrongid" => {
            lie.metadata.id ^= 1;
            say(&lie);
        }
        "wrongname" => {
            lie.queries[0].set_name(name("another.test."));
            say(&lie);
        }
        "wrongtype" => {
            lie.queries[0].set_query_type(RecordType::AAAA);
            say(&lie);
        }
        "noquestion" => {
            lie.queries.clear();
            say(&lie);
        }
        "echo" => {
            lie.metadata.message_type = MessageType::Query;
            say(&lie);
        }
        "garbage" => {
            udp.send_to(b"this is no message of theirs", asked.from).unwrap();
            udp.send_to(b"", asked.from).unwrap();
            udp.send_to(&[0xff; 4000], asked.from).unwrap();
        }
        "elsewhere" => {
            let other = UdpSocket::bind("127.0.0.1:0").unwrap();
            other.send_to(&bytes(&lie), asked.from).unwrap();
        }
        "slow" => thread::sleep(Duration::from_millis(150)),
        "tc" | "tcsilent" | "tcreset" => {
            answer.answers.clear();
            answer.metadata.truncation = true;
        }
        "nx" => {
            answer.answers.clear();
            answer.metadata.response_code = ResponseCode::NXDomain;
            answer.add_authority(soa("other.test.", 900, 30));
        }
        "servfail" => answer.metadata.response_code = ResponseCode::ServFail,
        "oldserver" if asked.message.edns.is_some() => {
            answer.answers.clear();
            answer.edns = None;
            answer.metadata.response_code = ResponseCode::FormErr;
        }
        "chain" => {
            let own = asked.message.queries[0].name().clone();
            answer.answers = vec![
                address("end.other.test.", 300, 1),
                address("web.example.test.", 300, 66),
                alias("middle.other.test.", 200, "end.other.test."),
                alias(own, 100, "middle.other.test."),
            ];
        }
        _ => {}
    }
    say(&answer);
}

fn by_tcp(stream: &mut TcpStream, asked: &Message) {
    let mut answer = right(asked);
    match label(asked).as_str() {
        "tcsilent" => return,
        "tcreset" => {
            let _ = stream.shutdown(std::net::Shutdown::Both);
            return;
        }
        "tc" => {
            let own = asked.queries[0].name();
            answer.answers = (0..100).map(|last| address(own.clone(), 300, last)).collect();
        }
        _ => {}
    }
    // In pieces, as a network may deliver it; and a lie before it.
    let mut lie = answer.clone();
    lie.metadata.id ^= 0x100;
    let stream_bytes = [framed(&bytes(&lie)), framed(&bytes(&answer))].concat();
    for piece in stream_bytes.chunks(700) {
        stream.write_all(piece).unwrap();
    }
}
