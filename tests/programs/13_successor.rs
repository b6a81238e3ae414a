//! Programs that should take over, and don't: for the tests of chapter 13.
//!
//! `successor13 HOW …`: `HOW` says what it does; the rest are the arguments of a program that takes over.

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::io;
    use std::os::fd::AsFd;
    use std::os::unix::process::parent_id;
    use std::process::exit;
    use std::rc::Rc;
    use std::thread::sleep;
    use std::time::Duration;

    use ch13_upgrade::channel::Channel;
    use ch13_upgrade::inherit::Inheritance;
    use ch13_upgrade::message::Message;
    use ch13_upgrade::peer::Peer;
    use ch13_upgrade::state::{OLDEST, VERSION};

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    const LONG: Duration = Duration::from_secs(60);

    pub fn main() {
        let how = std::env::args().nth(1).expect("give HOW");
        if how == "old-one-dies" {
            return old_one_dies();
        }
        let stdin = io::stdin().as_fd().try_clone_to_owned().unwrap();
        let mut peer = Peer::new(Rc::new(Channel::from(stdin)), LONG).unwrap();
        match how.as_str() {
            "exits" => exit(3),
            "exits-later" => {
                sleep(Duration::from_secs(1));
                exit(4);
            }
            "hangs" => sleep(LONG),
            "hangs-up" => {
                drop(peer);
                let null = fs::File::open("/dev/null").unwrap();
                nix::unistd::dup2_stdin(null).unwrap();
                sleep(LONG);
            }
            "nonsense" => say(&mut peer, &Message::Serving),
            "reads-newer" => {
                hello(&mut peer, VERSION + 1, VERSION + 2);
            }
            "reads-older" => hello(&mut peer, 0, OLDEST - 1),
            "hello-and-exits" => say_hello(&mut peer),
            "hello-and-hangs" => {
                say_hello(&mut peer);
                sleep(LONG);
            }
            "hello-and-refuses" => {
                say_hello(&mut peer);
                say(&mut peer, &Message::Refused("there is no room".to_owned()));
                sleep(LONG);
            }
            "ready-and-exits" => {
                say_hello(&mut peer);
                receive_all(&mut peer);
                say(&mut peer, &Message::Ready);
            }
            "ready-and-hangs" => {
                say_hello(&mut peer);
                receive_all(&mut peer);
                say(&mut peer, &Message::Ready);
                sleep(LONG);
            }
            "gone-and-hangs" => {
                say_hello(&mut peer);
                receive_all(&mut peer);
                say(&mut peer, &Message::Ready);
                while !matches!(peer.receive(), Ok(Some((Message::Go, _)))) {}
                sleep(LONG);
            }
            "gone-and-exits" => {
                say_hello(&mut peer);
                receive_all(&mut peer);
                say(&mut peer, &Message::Ready);
                while !matches!(peer.receive(), Ok(Some((Message::Go, _)))) {}
            }
            _ => panic!("unknown: {how} (parent {})", parent_id()),
        }
    }

    /// When all has been received, and before it's told to go.
    fn old_one_dies() {
        let inheritance = Inheritance::receive().unwrap();
        let old = Pid::from_raw(i32::try_from(parent_id()).unwrap());
        kill(old, Signal::SIGKILL).unwrap();
        inheritance.ready().expect("nobody else has what it had");
        eprintln!("took over from one that died");
    }

    /// What isn't read when it ends would be an error to the old one, which hides what we have said.
    fn receive_all(peer: &mut Peer) {
        let mut left = None;
        while left != Some(0) {
            match peer.receive().unwrap().unwrap() {
                (Message::State { descriptors, .. }, _) => left = Some(descriptors),
                (_, came) => left = left.map(|left| left - came.len() as u64),
            }
        }
    }

    fn say(peer: &mut Peer, message: &Message) {
        peer.send(message, &[]).unwrap();
    }

    fn say_hello(peer: &mut Peer) {
        hello(peer, OLDEST, VERSION);
    }

    fn hello(peer: &mut Peer, oldest: u64, newest: u64) {
        say(peer, &Message::Hello { pid: std::process::id().into(), oldest, newest });
    }
}
