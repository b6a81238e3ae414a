//! Several that end, each by itself; and what is done when the last of them has.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ch07_callbacks::EventLoop;

/// To be called by each of so many. The last one calls `all`.
pub fn countdown(
    count: usize,
    all: impl FnOnce(&mut EventLoop) + 'static,
) -> impl Fn(&mut EventLoop) + Clone + 'static {
    let (left, all) = (Rc::new(Cell::new(count)), Rc::new(RefCell::new(Some(all))));
    move |event_loop| {
        left.set(left.get().saturating_sub(1));
        if left.get() == 0
            && let Some(all) = all.take()
        {
            all(event_loop);
        }
    }
}
