//! Those who ask by TCP (RFC 7766): many questions on one connection, and the answers in
//! whatever order they come.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ch07_callbacks::{Connection, EventLoop, Input, Token};

use super::asking;
use super::forwarder::Whom;
use super::framing;
use super::question::{HEADER, Transport};
use super::responder::Said;
use super::shared::{Client, IDLE, MOST_UNSENT, Shared, send_framed};

/// How many connections there are at the most. The next one is closed at once.
pub const MOST_CLIENTS: usize = 256;
/// How many of a connection's questions are under way at the most. It isn't read any more then.
pub const MOST_PIPELINED: usize = 64;
/// How many of its questions are looked at in one turn: the others want theirs, too.
const QUESTIONS_A_TURN: usize = 64;
/// With so much unsent, in bytes, no more questions are taken from a connection.
const MUCH_UNSENT: usize = MOST_UNSENT / 4;
/// The longest question, in bytes. A name has 255, and EDNS adds some options.
const LONGEST_QUESTION: usize = 4096;

/// Somebody has come in, or couldn't.
pub fn came(
    event_loop: &mut EventLoop,
    shared: &Rc<Shared>,
    came: io::Result<(Token, SocketAddr)>,
) {
    match came {
        Ok((client, from)) => welcome(event_loop, shared, client, from),
        Err(error) => {
            shared.tell(event_loop, &shared.notices.trouble, &format!("not accepted: {error}"));
        }
    }
}

/// Somebody has connected.
fn welcome(event_loop: &mut EventLoop, shared: &Rc<Shared>, me: Token, from: SocketAddr) {
    let most = shared.most_clients.get();
    if shared.clients.borrow().len() >= most {
        let what = format!("{most} connections are as many as there may be: {from} is hung up on");
        shared.tell(event_loop, &shared.notices.crowd, &what);
        return event_loop.close(me);
    }
    // To a listener of both kinds, 127.0.0.1 is ::ffff:127.0.0.1 (RFC 4291, section 2.5.5.2).
    let from = SocketAddr::new(from.ip().to_canonical(), from.port());
    serve(event_loop, shared, me, from, IDLE);
}

/// Takes what somebody asks, and what they have asked already and wasn't looked at. Their
/// connection is closed after so much time, unless they do something.
pub fn serve(
    event_loop: &mut EventLoop,
    shared: &Rc<Shared>,
    me: Token,
    from: SocketAddr,
    time_left: Duration,
) {
    let idle = shared.now(event_loop).saturating_add(time_left);
    let client = Client { from, under_way: 0, go_on: None, has_ended: false, idle, timer: None };
    shared.clients.borrow_mut().insert(me, client);
    watch(event_loop, shared, me, idle);
    let of_client = Rc::clone(shared);
    listen(event_loop, shared, me);
    event_loop.set_close_callback(me, move |event_loop, me, _| {
        let gone = of_client.clients.borrow_mut().remove(&me);
        if let Some(timer) = gone.and_then(|client| client.timer) {
            of_client.timers.cancel(event_loop, timer);
        }
    });
}

/// What lies there is looked at in the next turn, and whatever comes, too.
fn listen(event_loop: &mut EventLoop, shared: &Rc<Shared>, me: Token) {
    let hears = Rc::clone(shared);
    event_loop.set_read_callback(me, move |event_loop, me, input| {
        data_available(event_loop, &hears, me, input);
    });
}

/// Why the rest of what has come isn't looked at now.
enum HeldBack {
    /// The others' turn comes first.
    Turn,
    /// It doesn't read its answers.
    Room,
    /// Too many of its questions are under way.
    Answers,
}

// ANCHOR: data
/// Takes out all questions that are whole. Some are answered at once,
/// and so before others that came earlier.
fn data_available(event_loop: &mut EventLoop, shared: &Rc<Shared>, me: Token, input: &mut Input) {
    let (mut taken, mut questions, mut held_back) = (0, 0, None);
    while let Some(stream) = input.bytes.get(taken..)
        && let Some(length) = framing::announced(stream)
    {
        if !(HEADER..=LONGEST_QUESTION).contains(&length) {
            // Not even a header, or no question that anybody has: this isn't DNS.
            return event_loop.close(me);
        }
        let Some(message) = framing::first(stream) else { break };
        held_back = held_back_by(event_loop, shared, me, questions);
        if held_back.is_some() {
            break;
        }
        question_has_come(event_loop, shared, me, message);
        taken += framing::PREFIX + length;
        questions += 1;
    }
    input.bytes.drain(..taken);
    match held_back {
        Some(HeldBack::Turn) => listen(event_loop, shared, me),
        Some(HeldBack::Room) => {
            let of_client = Rc::clone(shared);
            event_loop.set_write_callback(me, move |event_loop, me| {
                listen(event_loop, &of_client, me);
            });
        }
        // Whoever delivers the next answer lets it go on.
        Some(HeldBack::Answers) => {
            let of_client = Rc::clone(shared);
            if let Some(client) = shared.clients.borrow_mut().get_mut(&me) {
                client.go_on = Some(Box::new(move |event_loop| listen(event_loop, &of_client, me)));
            }
        }
        None if input.ended => is_at_its_end(event_loop, shared, me),
        None => {}
    }
}
// ANCHOR_END: data

fn held_back_by(
    event_loop: &EventLoop,
    shared: &Shared,
    me: Token,
    questions: usize,
) -> Option<HeldBack> {
    let clients = shared.clients.borrow();
    let under_way = clients.get(&me).map_or(0, |client| client.under_way);
    if under_way >= MOST_PIPELINED {
        Some(HeldBack::Answers)
    } else if event_loop.queued(me) > MUCH_UNSENT {
        Some(HeldBack::Room)
    } else {
        (questions == QUESTIONS_A_TURN).then_some(HeldBack::Turn)
    }
}

fn question_has_come(event_loop: &mut EventLoop, shared: &Rc<Shared>, me: Token, message: &[u8]) {
    if shared.stopping.get() {
        return;
    }
    let now = shared.now(event_loop);
    let whom = Whom::Connection(me);
    let mut clients = shared.clients.borrow_mut();
    let Some(client) = clients.get_mut(&me) else { return };
    client.idle = now.saturating_add(IDLE);
    let mut responder = shared.responder.borrow_mut();
    match responder.hear(message, Transport::Tcp, whom, now) {
        Said::Answer(bytes) => send_framed(event_loop, me, bytes),
        Said::Nothing => {}
        Said::Later => client.under_way += 1,
        Said::Ask(question) => {
            client.under_way += 1;
            drop((clients, responder));
            asking::begin(event_loop, shared, question);
        }
    }
}

/// It has asked all that it wants to ask, and may still listen.
fn is_at_its_end(event_loop: &mut EventLoop, shared: &Shared, me: Token) {
    let mut clients = shared.clients.borrow_mut();
    let Some(client) = clients.get_mut(&me) else { return };
    client.has_ended = true;
    if client.under_way == 0 {
        event_loop.finish(me);
    }
}

/// Closes a connection that does nothing for too long. Looked after again and again: to set the
/// timer anew with each question would cost more.
fn watch(event_loop: &mut EventLoop, shared: &Rc<Shared>, me: Token, due: Duration) {
    let of_client = Rc::clone(shared);
    let timer = shared.timers.at(event_loop, due, move |event_loop| {
        let shared = &of_client;
        let now = shared.now(event_loop);
        let clients = shared.clients.borrow();
        let Some(client) = clients.get(&me) else { return };
        // While we are asked to wait, it can't be blamed for waiting.
        let idle = if client.under_way > 0 { now.saturating_add(IDLE) } else { client.idle };
        drop(clients);
        if idle > now {
            watch(event_loop, shared, me, idle);
        } else {
            event_loop.close(me);
        }
    });
    if let Some(client) = shared.clients.borrow_mut().get_mut(&me) {
        client.timer = Some(timer);
    }
}

/// What we wait for on a connection, in words.
pub fn waits_for(event_loop: &EventLoop, me: Token, client: &Client) -> &'static str {
    let Some(connection) = event_loop.get::<Connection>(me) else { return "the end" };
    if client.under_way > 0 {
        "the upstream's answer"
    } else if connection.queued() > 0 {
        "room to send"
    } else if connection.input.bytes.is_empty() {
        "a question"
    } else {
        "the rest of a question"
    }
}
