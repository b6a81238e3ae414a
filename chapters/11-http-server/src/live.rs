//! What a server does at this moment, for whoever wants to watch.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ch07_callbacks::EventLoop;
use ch09_timers::Timers;

use crate::events::Events;
use crate::metrics::{AllCounters, sum};
use crate::routes::{Context, Routes};

/// How often the numbers are told.
const EVERY: Duration = Duration::from_secs(1);

/// Adds a route where the server's numbers are told once a second, as server-sent events
/// named `numbers`, in JSON.
pub fn live(routes: &mut Routes, path: &'static str, all: AllCounters, events: Events) {
    let ticks = Rc::new(Cell::new(false));
    let begin = move |context: &mut Context<'_>, events: &Events| {
        if !ticks.replace(true) {
            tick(context.event_loop, context.timers, &all, events.clone(), Rc::clone(&ticks));
        }
    };
    let begin = Rc::new(begin);
    let (of_resumed, begins) = (events.clone(), Rc::clone(&begin));
    routes.get(path, move |context, _| {
        let response = events.listen(context);
        begin(context, &events);
        response
    });
    // Of one who has listened to the program that was here before.
    routes.resume(path, move |context| {
        let stream = of_resumed.go_on(context);
        begins(context, &of_resumed);
        stream
    });
}

/// Only while somebody listens: a server that nobody asks sleeps.
fn tick(
    event_loop: &mut EventLoop,
    timers: Timers,
    all: &AllCounters,
    events: Events,
    ticks: Rc<Cell<bool>>,
) {
    events.send(event_loop, "numbers", &numbers(all));
    if events.listeners() == 0 {
        return ticks.set(false);
    }
    let all = AllCounters::clone(all);
    timers.after(event_loop, EVERY, move |event_loop| {
        tick(event_loop, timers, &all, events, ticks);
    });
}

/// Such as `{"open":1,"connections":7,"requests":31,"turns":40}`.
fn numbers(all: &AllCounters) -> String {
    let open = sum(all, |counters| &counters.open);
    let connections = sum(all, |counters| &counters.accepted);
    let requests = sum(all, |counters| &counters.requests);
    let turns = sum(all, |counters| &counters.turns);
    format!(
        "{{\"open\":{open},\"connections\":{connections},\"requests\":{requests},\"turns\":{turns}}}"
    )
}
