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
                say(&mut peer, &Message::Hello { oldest: VERSION + 1, newest: VERSION + 2 });
            }
            "reads-older" => say(&mut peer, &Message::Hello { oldest: 0, newest: OLDEST - 1 }),
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
                say(&mut peer, &Message::Ready);
            }
            "ready-and-hangs" => {
                say_hello(&mut peer);
                say(&mut peer, &Message::Ready);
                sleep(LONG);
            }
            "gone-and-exits" => {
                say_hello(&mut peer);
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

    fn say(peer: &mut Peer, message: &Message) {
        peer.send(message, &[]).unwrap();
    }

    fn say_hello(peer: &mut Peer) {
        say(peer, &Message::Hello { oldest: OLDEST, newest: VERSION });
    }
}
