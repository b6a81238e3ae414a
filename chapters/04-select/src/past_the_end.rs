//! What nix does with a descriptor that no set has room for: opens one after the other, and puts each
//! into a set.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::select::{FD_SETSIZE, FdSet};

fn main() -> io::Result<()> {
    // Most systems give a program 1,024 descriptors, and more if it asks.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    // Where that is refused, what we have must do.
    let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    // The hook says where in nix it happened, which differs from one machine to the next. Here it says what.
    set_hook(Box::new(|panic| {
        let message = panic.payload().downcast_ref::<&str>().copied();
        println!("panicked: {}", message.unwrap_or("without a word"));
    }));

    let mut files = Vec::new();
    loop {
        let file = File::open("/dev/null")?;
        let descriptor = file.as_raw_fd();
        let mut set = FdSet::new();
        let inserted = catch_unwind(AssertUnwindSafe(|| set.insert(file.as_fd())));
        if inserted.is_err() {
            println!("descriptor {descriptor} doesn't go into a set of {FD_SETSIZE}");
            return Ok(());
        }
        files.push(file);
    }
}
