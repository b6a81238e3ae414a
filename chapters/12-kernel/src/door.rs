//! Doors that are closed for good.

use std::io;
use std::net::{SocketAddr, TcpListener};

use ch07_callbacks::{EventLoop, Listener, Token};

/// Lets in all who are at a door of the loop's, and closes it. Whoever has knocked has been told by
/// the kernel that they're in: closed over their heads, the door would be a connection reset. `came`
/// is called for each of them, and if one can't be let in.
pub fn close(
    event_loop: &mut EventLoop,
    door: Token,
    mut came: impl FnMut(&mut EventLoop, io::Result<(Token, SocketAddr)>),
) {
    while let Some(listener) = event_loop.get_mut::<Listener>(door) {
        let Some(accepted) = listener.accept().transpose() else { break };
        let added = accepted.and_then(|(socket, from)| Ok((event_loop.add_socket(socket)?, from)));
        let answerable = added.as_ref().ok().map(|(connection, _)| *connection);
        event_loop.guard(answerable, |event_loop| came(event_loop, added));
    }
    event_loop.close(door);
}

/// The same for one that isn't in the loop.
///
/// # Errors
/// When it can't be told not to wait.
pub fn close_another(
    event_loop: &mut EventLoop,
    door: TcpListener,
    came: impl FnMut(&mut EventLoop, io::Result<(Token, SocketAddr)>),
) -> io::Result<()> {
    let door = event_loop.add(Listener::new(door)?, |_, _, _| Ok(()));
    close(event_loop, door, came);
    Ok(())
}
