//! The short way: this process becomes the new program (execve(2)). It keeps its number, its
//! terminal, and whoever waits for it. If the new program fails, all is lost: nobody is left who
//! could go on.
//!
//! What is handed over lies in a channel meanwhile, of which the new program has the other end as
//! its standard input: the kernel keeps descriptors that are on their way.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;

use nix::unistd::dup2_stdin;

use crate::channel::{Channel, MOST_DESCRIPTORS};
use crate::command::take_over;
use crate::message::Message;
use crate::state::{self, Outgoing};

// ANCHOR: become
/// Becomes that program, with this state. It comes back only if it
/// can't: then nothing has changed.
///
/// # Errors
/// Always.
pub fn become_it(
    program: &Path,
    arguments: &[OsString],
    generation: u64,
    state: Outgoing<'_>,
) -> io::Result<()> {
    let (ours, theirs) = Channel::pair()?;
    let (bytes, descriptors) = state.finish();
    let file = state::in_memory(&bytes)?;
    let first = Message::state(generation, descriptors.len());
    put(&ours, &first, &[file.as_fd()])?;
    for some in descriptors.chunks(MOST_DESCRIPTORS) {
        put(&ours, &Message::Descriptors, some)?;
    }
    put(&ours, &Message::Go, &[])?;
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    dup2_stdin(theirs)?;
    let error = take_over(program, arguments).exec();
    dup2_stdin(stdin)?;
    Err(error)
}
// ANCHOR_END: become

/// Nobody reads yet: what doesn't fit will never fit.
fn put(channel: &Channel, message: &Message, with: &[BorrowedFd<'_>]) -> io::Result<()> {
    match channel.send(&message.to_bytes(), with)? {
        true => Ok(()),
        false => {
            Err(io::Error::other("there are too many visitors for a channel that nobody reads"))
        }
    }
}
