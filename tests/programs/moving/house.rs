//! A server in a loop of this thread, which moves to another loop through bytes and descriptors, as
//! it would to another process.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once};
use std::thread;
use std::time::{Duration, Instant};

use ch07_callbacks::EventLoop;
use ch09_timers::{Clock, Timers};
use ch12_kernel::chat::{self, Chat};
use ch12_kernel::line_server::handover::{HandedOver, Visitor};
use ch12_kernel::mail::{self, Mail};
use ch12_kernel::mbox::Mbox;
use ch13_upgrade::state::{Incoming, Outgoing};
use tempfile::TempDir;

/// Nothing takes as long as that, on however busy a machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The room's.
pub const KEY: &str = "sesame";
/// So much time passes whenever nothing happens.
const MEANWHILE: Duration = Duration::from_millis(50);

/// State as it goes through the channel.
pub type State = (Vec<u8>, Vec<OwnedFd>);

/// What mail and chat have in common.
pub trait Moves: Clone + 'static {
    fn serve(
        event_loop: &mut EventLoop,
        timers: Timers,
        listener: TcpListener,
        mbox: &Path,
    ) -> io::Result<Self>;
    fn hold(&self, _: &mut EventLoop) {}
    fn go_on(&self, _: &mut EventLoop) {}
    fn gather(&self, event_loop: &EventLoop) -> io::Result<State>;
    /// Of a state, the listener; and what makes a server of the rest.
    fn read(state: Incoming<'_>) -> io::Result<(Option<OwnedFd>, Adopt<Self>)>;
    fn leave(&self, event_loop: &mut EventLoop, stopped: Box<dyn FnOnce(&mut EventLoop)>);
}

pub type Adopt<M> = Box<dyn FnOnce(&M, &mut EventLoop) -> io::Result<()>>;

impl Moves for Mail {
    fn serve(
        event_loop: &mut EventLoop,
        timers: Timers,
        listener: TcpListener,
        mbox: &Path,
    ) -> io::Result<Self> {
        let options = mail::Options::new(Mbox::open(mbox)?, "mx.example".to_owned());
        mail::serve(event_loop, timers, listener, options)
    }

    fn hold(&self, event_loop: &mut EventLoop) {
        Mail::hold(self, event_loop);
    }

    fn go_on(&self, event_loop: &mut EventLoop) {
        Mail::go_on(self, event_loop);
    }

    fn gather(&self, event_loop: &EventLoop) -> io::Result<State> {
        let visitors = self.visitors(event_loop)?;
        let mut to = Outgoing::default();
        ch13_upgrade::mail::write(&mut to, &visitors);
        Ok(duplicated(to))
    }

    fn read(state: Incoming<'_>) -> io::Result<(Option<OwnedFd>, Adopt<Self>)> {
        let mut state = ch13_upgrade::mail::read(state)?;
        let listener = state.lines.listener.take();
        Ok((listener, Box::new(move |mail, event_loop| mail.adopt(event_loop, state))))
    }

    fn leave(&self, event_loop: &mut EventLoop, stopped: Box<dyn FnOnce(&mut EventLoop)>) {
        Mail::leave(self, event_loop, stopped);
    }
}

impl Moves for Chat {
    fn serve(
        event_loop: &mut EventLoop,
        timers: Timers,
        listener: TcpListener,
        _: &Path,
    ) -> io::Result<Self> {
        let options = chat::Options { key: Some(KEY.to_owned()), ..chat::Options::default() };
        chat::serve(event_loop, timers, listener, options)
    }

    fn gather(&self, event_loop: &EventLoop) -> io::Result<State> {
        let visitors = self.visitors(event_loop)?;
        let mut to = Outgoing::default();
        ch13_upgrade::chat::write(&mut to, &visitors);
        Ok(duplicated(to))
    }

    fn read(state: Incoming<'_>) -> io::Result<(Option<OwnedFd>, Adopt<Self>)> {
        let mut state = ch13_upgrade::chat::read(state)?;
        let listener = state.listener.take();
        Ok((listener, Box::new(move |chat, event_loop| chat.adopt(event_loop, state))))
    }

    fn leave(&self, event_loop: &mut EventLoop, stopped: Box<dyn FnOnce(&mut EventLoop)>) {
        Chat::leave(self, event_loop, stopped);
    }
}

fn duplicated(to: Outgoing<'_>) -> State {
    let (bytes, descriptors) = to.finish();
    (bytes, duplicates(descriptors))
}

pub fn duplicates<'l>(descriptors: impl IntoIterator<Item = BorrowedFd<'l>>) -> Vec<OwnedFd> {
    let one = |descriptor: BorrowedFd<'_>| descriptor.try_clone_to_owned().unwrap();
    descriptors.into_iter().map(one).collect()
}

/// A server in its loop, by a clock that stands.
pub struct House<M> {
    pub event_loop: EventLoop,
    pub clock: Clock,
    pub server: M,
    mbox: PathBuf,
}

impl<M: Moves> House<M> {
    pub fn open(folder: &TempDir) -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let house = Self::start(&folder.path().join("mbox"), listener, |_, _| Ok(()));
        (house.unwrap(), address)
    }

    fn start(
        mbox: &Path,
        listener: TcpListener,
        adopt: impl FnOnce(&M, &mut EventLoop) -> io::Result<()>,
    ) -> io::Result<Self> {
        let mut event_loop = ch08_epoll::event_loop()?;
        let clock = Clock::standing();
        let timers = Timers::start(&mut event_loop, clock.clone());
        let server = M::serve(&mut event_loop, timers, listener, mbox)?;
        adopt(&server, &mut event_loop)?;
        Ok(Self { event_loop, clock, server, mbox: mbox.to_owned() })
    }

    /// One that goes on with this state.
    pub fn of_state(mbox: &Path, (bytes, descriptors): State) -> io::Result<Self> {
        let (listener, adopt) = M::read(Incoming::new(&bytes, descriptors))?;
        // As a program would whose door is gone.
        let door = listener.map_or_else(|| TcpListener::bind("127.0.0.1:0"), |it| Ok(it.into()))?;
        Self::start(mbox, door, adopt)
    }

    /// A turn. If nothing happens, some time passes.
    pub fn turn(&mut self) {
        let began = Instant::now();
        let wait = Duration::from_millis(5);
        self.event_loop.turn(Some(wait)).unwrap();
        if began.elapsed() >= wait {
            self.clock.turn(MEANWHILE);
        }
    }

    pub fn turn_until<T>(
        &mut self,
        what: &str,
        mut is_so: impl FnMut(&mut Self) -> Option<T>,
    ) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(so) = is_so(self) {
                return so;
            }
            assert!(Instant::now() < until, "never: {what}");
            self.turn();
        }
    }

    /// What it has, as soon as that can be had.
    pub fn gather(&mut self) -> State {
        self.turn_until("the state can be had", |house| {
            house.server.hold(&mut house.event_loop);
            match house.server.gather(&house.event_loop) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => None,
                gathered => Some(gathered.expect("it can be gathered")),
            }
        })
    }

    /// Moves it into another loop. The one that it was in goes, and takes nothing with it.
    pub fn moves(mut self) -> Self {
        let state = self.gather();
        let new = Self::of_state(&self.mbox, state).expect("it can go on there");
        self.leaves();
        new
    }

    pub fn leaves(mut self) {
        let (tell, told) = std::sync::mpsc::channel();
        let stopped = Box::new(move |_: &mut EventLoop| tell.send(()).unwrap());
        self.server.leave(&mut self.event_loop, stopped);
        self.turn_until("it has ended", |_| told.try_recv().ok());
    }

    /// Makes another loop ready, which then doesn't begin.
    pub fn stays(&mut self) {
        let state = self.gather();
        let new = Self::of_state(&self.mbox, state).expect("it could go on there");
        drop(new);
        self.server.go_on(&mut self.event_loop);
    }
}

/// Somebody who is connected.
pub struct Client {
    socket: TcpStream,
    /// All that it was told.
    pub heard: Vec<u8>,
    /// How much of that it has waited for.
    seen: usize,
    pub ended: bool,
}

impl Client {
    pub fn at(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, heard: Vec::new(), seen: 0, ended: false }
    }

    /// As much as the kernel takes now.
    pub fn send_some(&mut self, bytes: &[u8]) -> usize {
        match self.socket.write(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            sent => sent.expect("it's listened to"),
        }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        assert_eq!(self.send_some(bytes), bytes.len(), "there is room");
    }

    pub fn listen(&mut self) {
        let mut piece = [0; 64 * 1024];
        while !self.ended {
            match self.socket.read(&mut piece) {
                Ok(0) => {
                    self.ended = true;
                    let _ = self.socket.shutdown(Shutdown::Write);
                }
                Ok(count) => self.heard.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}, after {}", self.heard.escape_ascii()),
            }
        }
    }

    /// No more than so much.
    pub fn listen_to(&mut self, most: usize) {
        let mut piece = vec![0; most];
        if let Ok(count) = self.socket.read(&mut piece) {
            self.heard.extend_from_slice(&piece[..count]);
        }
    }

    /// Whether that has come, behind what was waited for before.
    pub fn has_heard(&mut self, what: &[u8]) -> bool {
        self.listen();
        let new = self.heard.get(self.seen..).unwrap_or_default();
        let found = new.windows(what.len()).position(|bytes| bytes == what);
        // What isn't there now doesn't begin earlier, either.
        let skip = (new.len() + 1).saturating_sub(what.len());
        self.seen += found.map_or(skip, |start| start + what.len());
        found.is_some()
    }

    #[track_caller]
    pub fn hears<M: Moves>(&mut self, house: &mut House<M>, what: &str) {
        house.turn_until(what, |_| self.has_heard(what.as_bytes()).then_some(()));
    }

    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }
}

/// One thing that somebody says, and who hears what of it.
pub struct Step {
    pub who: usize,
    pub says: Vec<u8>,
    pub then: Vec<(usize, &'static [u8])>,
}

pub fn step(who: usize, says: impl AsRef<[u8]>, then: &[(usize, &'static [u8])]) -> Step {
    Step { who, says: says.as_ref().to_vec(), then: then.to_vec() }
}

/// When the server moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Never,
    /// Behind so many bytes that were said.
    Behind(usize),
    /// At each byte.
    Always,
    /// At each byte it wants to, and can't.
    NeverCan,
}

/// Plays all steps. Gives what everybody has heard, to the byte.
pub fn play<M: Moves>(folder: &TempDir, greeting: &str, steps: &[Step], when: When) -> Vec<String> {
    let (mut house, address) = House::<M>::open(folder);
    let count = steps.iter().map(|step| step.who + 1).max().unwrap_or(0);
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = Client::at(address);
        client.hears(&mut house, greeting);
        clients.push(client);
    }
    let mut said = 0;
    for Step { who, says, then } in steps {
        let cuts = match when {
            When::Never => Vec::new(),
            When::Behind(at) => {
                at.checked_sub(said).filter(|at| *at < says.len()).into_iter().collect()
            }
            When::Always | When::NeverCan => (0..says.len()).collect(),
        };
        let mut from = 0;
        for cut in cuts {
            clients[*who].send(&says[from..cut]);
            // What comes may still be in the kernel, or have been read, or answered.
            for _ in 0..(said + cut) % 4 {
                house.event_loop.turn(Some(Duration::ZERO)).unwrap();
            }
            match when {
                When::NeverCan => house.stays(),
                _ => house = house.moves(),
            }
            from = cut;
        }
        clients[*who].send(&says[from..]);
        for (hearer, what) in then {
            let told = format!("{when:?}: {hearer} hears {}", what.escape_ascii());
            house.turn_until(&told, |_| clients[*hearer].has_heard(what).then_some(()));
        }
        said += says.len();
    }
    for client in &mut clients {
        house.turn_until("the end", |_| {
            client.listen();
            client.ended.then_some(())
        });
    }
    house.leaves();
    clients.iter().map(|client| client.heard.escape_ascii().to_string()).collect()
}

/// Where it's cut: at each byte, except in the middle of what is only long.
pub fn cuts(steps: &[Step]) -> Vec<usize> {
    let all: Vec<u8> = steps.iter().flat_map(|step| step.says.clone()).collect();
    let is_filler = |at: usize| {
        let around = all.get(at.saturating_sub(4)..at + 4).unwrap_or_default();
        !around.is_empty() && around.iter().all(|byte| *byte == b'x')
    };
    (0..all.len()).filter(|at| !is_filler(*at) || at % 97 == 0).collect()
}

static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// How many panics there were so far, of this test and of threads that write: the loop survives
/// them, and so would their tests.
pub fn panics() -> usize {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.lock().unwrap().push(thread_name());
            usual(info);
        }));
    });
    let ours = [thread_name(), "mbox".to_owned()];
    PANICS.lock().unwrap().iter().filter(|name| ours.contains(name)).count()
}

fn thread_name() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

/// Whatever is done to a state: it's refused, or there is a server that works.
pub fn survives_anything<M: Moves>(folder: &TempDir, state: &State, greeting: &str) {
    use std::os::fd::AsFd;
    let before = panics();
    let mbox = folder.path().join("mbox");
    let (bytes, descriptors) = state;
    let again = || duplicates(descriptors.iter().map(AsFd::as_fd));
    for length in 0..bytes.len() {
        let cut = M::read(Incoming::new(&bytes[..length], again()));
        assert!(cut.is_err(), "the first {length} of {} will do", bytes.len());
    }
    assert!(M::read(Incoming::new(bytes, again().into_iter().skip(1).collect())).is_err());
    let mut rng = fastrand::Rng::with_seed(13);
    let (mut refused, mut taken) = (0, 0);
    for round in 0..600 {
        let mut altered = bytes.clone();
        for _ in 0..rng.usize(1..=3) {
            let at = rng.usize(..altered.len());
            altered[at] = if rng.bool() { altered[at] ^ (1 << rng.u8(..8)) } else { rng.u8(..) };
        }
        let Ok(mut house) = House::<M>::of_state(&mbox, (altered, again())) else {
            refused += 1;
            continue;
        };
        taken += 1;
        for _ in 0..4 {
            house.event_loop.turn(Some(Duration::ZERO)).unwrap();
            house.clock.turn(Duration::from_secs(100));
        }
        works(&mut house, greeting, round);
        house.leaves();
        assert_eq!(panics(), before, "round {round}");
    }
    println!("of 600 altered states, {refused} were refused, and {taken} taken");
    assert!(refused > 0 && taken > 0);
}

/// Somebody who comes is let in, whichever its door is.
fn works<M: Moves>(house: &mut House<M>, greeting: &str, round: usize) {
    let (_, descriptors) = house.gather();
    let doors = descriptors.into_iter().filter_map(|it| TcpListener::from(it).local_addr().ok());
    for address in doors {
        let Ok(socket) = TcpStream::connect(address) else { continue };
        socket.set_nonblocking(true).unwrap();
        let mut client = Client { socket, heard: Vec::new(), seen: 0, ended: false };
        let what = format!("round {round}: {greeting:?}");
        house.turn_until(&what, |_| client.has_heard(greeting.as_bytes()).then_some(()));
        return;
    }
}

/// What was lent, as one's own.
pub fn owned<P>(state: HandedOver<BorrowedFd<'_>, P>) -> HandedOver<OwnedFd, P> {
    let HandedOver { last, visitors, .. } = state;
    let one = |(socket, visitor): (BorrowedFd<'_>, Visitor<P>)| {
        (socket.try_clone_to_owned().unwrap(), visitor)
    };
    HandedOver { listener: None, last, visitors: visitors.into_iter().map(one).collect() }
}

pub fn make_large<P>(visitor: &mut Visitor<P>) {
    (visitor.decoded, visitor.queued, visitor.number) = (usize::MAX, usize::MAX, u64::MAX);
    (visitor.data_left, visitor.time_left) = (Duration::MAX, Some(Duration::MAX));
}
