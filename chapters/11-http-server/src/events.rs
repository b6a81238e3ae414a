//! Server-sent events: answers that go on for as long as somebody listens (HTML Living
//! Standard, section 9.2).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ch07_callbacks::EventLoop;

use crate::answer::{Flow, Response, Stream, Ticket};
use crate::routes::Context;

/// So much may wait for somebody who doesn't read, in bytes. Who falls further behind is
/// dropped: a browser connects again by itself.
const MOST_BEHIND: usize = 64 * 1024;
/// Who hears nothing for so long gets a comment: if they have left without a word, that
/// finds it out.
const STILL_HERE: Duration = Duration::from_secs(15);

/// A stage that many listen to. Clones are the same one.
#[derive(Clone, Default)]
pub struct Events(Rc<Hall>);

#[derive(Default)]
struct Hall {
    listeners: RefCell<Vec<Listener>>,
    knocks: Cell<bool>,
    name: Option<&'static str>,
}

#[derive(Clone)]
struct Listener {
    ticket: Ticket,
    /// What it hasn't heard yet.
    queue: Rc<RefCell<Queue>>,
}

#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    is_over: bool,
}

impl Events {
    /// Nobody listens yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, for a server that may be replaced: see [`Stream::named`].
    pub fn named(name: &'static str) -> Self {
        Self(Rc::new(Hall { name: Some(name), ..Hall::default() }))
    }

    /// The answer to one who wants to listen.
    pub fn listen(&self, context: &mut Context<'_>) -> Response {
        // Says that it has begun, for a browser that waits for a first byte.
        let stream = self.join(context, b": welcome\n\n");
        let mut response = Response::of_stream("text/event-stream", stream);
        // Without the second, nginx would collect events until it has some kilobytes.
        for (name, value) in [("Cache-Control", "no-store"), ("X-Accel-Buffering", "no")] {
            let added = response.fields.add(name, value);
            debug_assert!(added.is_ok());
        }
        response
    }

    /// The rest of the answer to one who has listened to another process until now.
    pub fn go_on(&self, context: &mut Context<'_>) -> Stream {
        self.join(context, b"")
    }

    fn join(&self, context: &mut Context<'_>, first: &[u8]) -> Stream {
        let listener = Listener { ticket: context.ticket, queue: Rc::default() };
        listener.queue.borrow_mut().bytes.extend_from_slice(first);
        self.0.listeners.borrow_mut().push(listener.clone());
        self.knock(context);
        let stream = Stream::new(move |_, to| {
            let mut queue = listener.queue.borrow_mut();
            to.append(&mut queue.bytes);
            if queue.is_over { Flow::End } else { Flow::Pause }
        });
        match self.0.name {
            Some(name) => stream.named(name),
            None => stream,
        }
    }

    /// Tells all who listen. Line breaks in `data` are lines of it; a name has none.
    pub fn send(&self, event_loop: &mut EventLoop, name: &str, data: &str) {
        let name: String = name.chars().filter(|letter| !letter.is_control()).collect();
        let mut text = format!("event: {name}\n");
        // All three are line breaks to a browser.
        for line in data.replace("\r\n", "\n").split(['\n', '\r']) {
            text.push_str("data: ");
            text.push_str(line);
            text.push('\n');
        }
        text.push('\n');
        self.say(event_loop, text.as_bytes());
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.0.listeners.borrow().len()
    }

    fn say(&self, event_loop: &mut EventLoop, text: &[u8]) {
        self.0.listeners.borrow_mut().retain(|listener| {
            let mut queue = listener.queue.borrow_mut();
            queue.is_over = queue.bytes.len() + text.len() > MOST_BEHIND;
            if !queue.is_over {
                queue.bytes.extend_from_slice(text);
            }
            listener.ticket.resume(event_loop) && !queue.is_over
        });
    }

    /// Says something now and then, while anybody listens.
    fn knock(&self, context: &mut Context<'_>) {
        if self.0.knocks.replace(true) {
            return;
        }
        let (hall, timers) = (Rc::clone(&self.0), context.timers);
        knock_later(context.event_loop, timers, hall);
    }
}

fn knock_later(event_loop: &mut EventLoop, timers: ch09_timers::Timers, hall: Rc<Hall>) {
    timers.after(event_loop, STILL_HERE, move |event_loop| {
        let events = Events(hall);
        events.say(event_loop, b": still here\n\n");
        match events.listeners() {
            0 => events.0.knocks.set(false),
            _ => knock_later(event_loop, timers, events.0),
        }
    });
}
