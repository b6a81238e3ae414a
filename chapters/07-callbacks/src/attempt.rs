//! Chapter 7, the very first attempt, which the compiler refuses: a callback is called
//! where it lies.

use std::collections::BTreeMap;
use std::os::fd::RawFd;

// ANCHOR: attempt
type Callback = Box<dyn FnMut(&mut Naive, RawFd)>;

struct Naive {
    callbacks: BTreeMap<RawFd, Callback>,
}

impl Naive {
    fn call(&mut self, number: RawFd) {
        if let Some(callback) = self.callbacks.get_mut(&number) {
            callback(self, number);
        }
    }
}
// ANCHOR_END: attempt

fn main() {
    Naive { callbacks: BTreeMap::new() }.call(0);
}
