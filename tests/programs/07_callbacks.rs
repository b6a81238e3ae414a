//! What chapter 7's programs must do, besides its exercises.

#[path = "serving/hangs_up.rs"]
mod hangs_up;
#[path = "serving/never_waits.rs"]
mod never_waits;
#[path = "serving/promises.rs"]
mod promises;
mod scripts;
mod serving;

use std::process::Command;

use ch07_callbacks::{EventLoop, Poll};
use serving::Server;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ch07-server");
const CHAPTER: u32 = 7;
/// The one call in which it waits.
const WAITS_IN: &str = "poll";
/// So many silent visitors it must be able to keep.
const SILENT: usize = 5000;

fn start() -> Server {
    Server::start(PROGRAM, CHAPTER)
}

#[test]
fn random_scripts_go_as_the_model_says() {
    for seed in 0..scripts::SCRIPTS {
        scripts::play(seed, EventLoop::new(Poll), None);
    }
}

#[test]
fn the_compiler_refuses_the_very_first_attempt_as_the_page_says() {
    serving::is_refused_as_shown("ch07-attempt", include_str!("../../book/figures/07-borrow.txt"));
}

#[test]
fn the_naive_map_calls_the_wrong_one() {
    // What the page's first step ends with. If this fails, the page tells a tale.
    let said = Command::new(env!("CARGO_BIN_EXE_ch07-naive")).output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    let number = |start: &str| {
        let line = said
            .lines()
            .find_map(|line| line.strip_prefix(start))
            .unwrap_or_else(|| panic!("{said}"));
        line.split(':').next().unwrap().to_owned()
    };
    assert_eq!(number("Cid, descriptor "), number("Cid has got descriptor "), "{said}");
    assert!(said.contains("is said to be ready, and isn't"), "{said}");
}

/// The loop, with sources of this test's own.
mod the_loop {
    use std::cell::{Cell, RefCell};
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::rc::Rc;
    use std::time::Duration;

    use ch07_callbacks::{Ending, EventLoop, Poll, Token};

    /// A connection: our end in the loop, and the other side.
    fn connection(event_loop: &mut EventLoop) -> (Token, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let ours = listener.accept().unwrap().0;
        (event_loop.add_socket(ours).unwrap(), theirs)
    }

    /// Turns until `done`; a loop that is right gets there soon.
    #[track_caller]
    fn turn_until(event_loop: &mut EventLoop, done: impl Fn() -> bool) {
        for _ in 0..20_000 {
            if done() {
                return;
            }
            event_loop.turn(Some(Duration::from_millis(1))).unwrap();
        }
        panic!("it never comes to that");
    }

    #[test]
    fn a_callback_that_closes_its_neighbor_and_takes_in_another_harms_nobody() {
        // Ann, Bob and Cid once more, and now with tokens.
        let mut event_loop = EventLoop::new(Poll);
        let (ann, mut anns_peer) = connection(&mut event_loop);
        let (bob, mut bobs_peer) = connection(&mut event_loop);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let cids_peer = Rc::new(RefCell::new(None));
        let (closed, called) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        for (me, neighbor) in [(ann, bob), (bob, ann)] {
            let (cids_peer, called) = (Rc::clone(&cids_peer), Rc::clone(&called));
            let listener = listener.try_clone().unwrap();
            event_loop.set_read_callback(me, move |event_loop, _, input| {
                input.bytes.clear();
                event_loop.close(neighbor);
                *cids_peer.borrow_mut() = Some(TcpStream::connect(address).unwrap());
                let cid = event_loop.add_socket(listener.accept().unwrap().0).unwrap();
                assert_ne!(cid, neighbor);
                let called = Rc::clone(&called);
                event_loop.set_read_callback(cid, move |_, _, _| called.set(called.get() + 1));
            });
            let closed = Rc::clone(&closed);
            event_loop.set_close_callback(me, move |_, _, ending| {
                assert!(matches!(ending, Ending::Closed));
                closed.set(closed.get() + 1);
            });
        }
        anns_peer.write_all(b"hello").unwrap();
        bobs_peer.write_all(b"hello").unwrap();
        turn_until(&mut event_loop, || closed.get() == 1);
        for _ in 0..10 {
            event_loop.turn(Some(Duration::from_millis(1))).unwrap();
        }
        assert_eq!(
            (closed.get(), called.get()),
            (1, 0),
            "Cid hears nothing of what was for another"
        );
        cids_peer.borrow_mut().as_mut().unwrap().write_all(b"now").unwrap();
        turn_until(&mut event_loop, || called.get() == 1);
    }

    #[test]
    fn a_callback_that_panics_ends_its_own_connection() {
        let mut event_loop = EventLoop::new(Poll);
        let (one, mut ones_peer) = connection(&mut event_loop);
        let (other, mut others_peer) = connection(&mut event_loop);
        let ending = Rc::new(RefCell::new(None));
        let told = Rc::clone(&ending);
        event_loop.set_read_callback(one, |_, _, _| panic!("on purpose, in a test"));
        event_loop.set_close_callback(one, move |_, _, ending| *told.borrow_mut() = Some(ending));
        event_loop.set_read_callback(other, |event_loop, me, input| {
            event_loop.send(me, &std::mem::take(&mut input.bytes));
        });
        ones_peer.write_all(b"x").unwrap();
        turn_until(&mut event_loop, || ending.borrow().is_some());
        assert!(matches!(*ending.borrow(), Some(Ending::Panicked)));
        assert_eq!(ones_peer.read(&mut [0; 8]).unwrap_or(0), 0, "it's hung up on");
        others_peer.write_all(b"still here").unwrap();
        others_peer.set_nonblocking(true).unwrap();
        let echo = RefCell::new(Vec::new());
        turn_until(&mut event_loop, || {
            let mut piece = [0; 16];
            let count = (&others_peer).read(&mut piece).unwrap_or(0);
            echo.borrow_mut().extend_from_slice(&piece[..count]);
            *echo.borrow() == b"still here"
        });
    }

    #[test]
    fn a_callback_in_anothers_place_hears_of_the_rest_and_of_the_end() {
        let mut event_loop = EventLoop::new(Poll);
        let (me, mut peer) = connection(&mut event_loop);
        let heard = Rc::new(RefCell::new(Vec::new()));
        let ended = Rc::new(Cell::new(false));
        let (all, end) = (Rc::clone(&heard), Rc::clone(&ended));
        event_loop.set_read_callback(me, move |event_loop, me, input| {
            let name: Vec<u8> = input.bytes.drain(..3).collect();
            all.borrow_mut().push(name);
            let (all, end) = (Rc::clone(&all), Rc::clone(&end));
            event_loop.set_read_callback(me, move |_, _, input| {
                all.borrow_mut().push(std::mem::take(&mut input.bytes));
                end.set(input.ended);
            });
        });
        // All in one piece: nothing more comes that could wake the second one.
        peer.write_all(b"anna line").unwrap();
        turn_until(&mut event_loop, || heard.borrow().len() == 2);
        assert_eq!(*heard.borrow(), [b"ann".to_vec(), b"a line".to_vec()]);
        drop(peer);
        turn_until(&mut event_loop, || ended.get());
    }

    #[test]
    fn nobody_can_run_the_loop_from_inside() {
        let mut event_loop = EventLoop::new(Poll);
        let (me, mut peer) = connection(&mut event_loop);
        let refused = Rc::new(Cell::new(false));
        let told = Rc::clone(&refused);
        event_loop.set_read_callback(me, move |event_loop, me, _| {
            told.set(event_loop.run().is_err());
            event_loop.close(me);
        });
        peer.write_all(b"x").unwrap();
        event_loop.run().unwrap(); // and it ends by itself: nobody is left to wait for
        assert!(refused.get());
    }

    #[test]
    fn what_was_queued_last_is_sent_when_the_loop_is_stopped() {
        let mut event_loop = EventLoop::new(Poll);
        let (me, mut peer) = connection(&mut event_loop);
        let refused = Rc::new(Cell::new(false));
        let told = Rc::clone(&refused);
        event_loop.set_read_callback(me, move |event_loop, me, input| {
            input.bytes.clear();
            event_loop.send(me, b"goodbye");
            event_loop.finish(me);
            event_loop.stop();
            // Refused, and it doesn't undo the stop.
            told.set(event_loop.run().is_err());
        });
        peer.write_all(b"x").unwrap();
        event_loop.run().unwrap();
        assert!(refused.get());
        let mut said = Vec::new();
        peer.read_to_end(&mut said).unwrap();
        assert_eq!(said, b"goodbye");
    }

    #[test]
    fn who_is_not_listened_to_ends_all_the_same() {
        let mut event_loop = EventLoop::new(Poll);
        let (me, mut peer) = connection(&mut event_loop);
        let ended = Rc::new(Cell::new(false));
        let told = Rc::clone(&ended);
        event_loop.set_close_callback(me, move |_, _, ending| {
            told.set(matches!(ending, Ending::Finished));
        });
        event_loop.send(me, b"all there is");
        event_loop.finish_sending(me);
        let mut said = [0; 12];
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        peer.read_exact(&mut said).unwrap();
        drop(peer);
        turn_until(&mut event_loop, || ended.get());
    }

    #[test]
    fn what_came_before_a_reset_is_heard_before_it() {
        let mut event_loop = EventLoop::new(Poll);
        let (me, mut peer) = connection(&mut event_loop);
        let heard = Rc::new(RefCell::new(Vec::new()));
        let (of_bytes, of_end) = (Rc::clone(&heard), Rc::clone(&heard));
        event_loop.set_read_callback(me, move |_, _, input| {
            of_bytes.borrow_mut().append(&mut input.bytes);
        });
        event_loop.set_close_callback(me, move |_, _, ending| {
            assert!(matches!(ending, Ending::Failed(_)));
            of_end.borrow_mut().extend_from_slice(b", and gone");
        });
        peer.write_all(b"the answer").unwrap();
        let no_waiting = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        nix::sys::socket::setsockopt(&peer, nix::sys::socket::sockopt::Linger, &no_waiting)
            .unwrap();
        drop(peer);
        turn_until(&mut event_loop, || heard.borrow().ends_with(b"gone"));
        assert_eq!(*heard.borrow(), b"the answer, and gone");
    }

    #[test]
    fn a_socket_that_connects_is_not_inherited() {
        use ch07_callbacks::{Connection, Source};
        use nix::fcntl::{FcntlArg, FdFlag, fcntl};
        let mut event_loop = EventLoop::new(Poll);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let me = event_loop.connect(listener.local_addr().unwrap()).unwrap();
        let connection = event_loop.get::<Connection>(me).unwrap();
        let flags = fcntl(connection.descriptor().unwrap(), FcntlArg::F_GETFD).unwrap();
        assert!(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC));
    }

    #[test]
    fn a_chain_of_closings_is_no_deep_recursion() {
        const MANY: usize = 400;
        let mut event_loop = EventLoop::new(Poll);
        let mut peers = Vec::new();
        let mut last: Option<Token> = None;
        let closed = Rc::new(Cell::new(0));
        for _ in 0..MANY {
            let (me, peer) = connection(&mut event_loop);
            let (next, closed) = (last.replace(me), Rc::clone(&closed));
            let depth = Rc::new(());
            event_loop.set_close_callback(me, move |event_loop, _, _| {
                let before = closed.get();
                if let Some(next) = next {
                    event_loop.close(next);
                }
                assert_eq!(closed.get(), before, "nobody is called in the middle of this");
                closed.set(before + 1);
                drop(depth);
            });
            peers.push(peer);
        }
        event_loop.close(last.unwrap());
        turn_until(&mut event_loop, || closed.get() == MANY);
    }
}

mod client {
    use std::process::Command;
    use std::time::Duration;

    use lens::Lens;
    use visitors::connection::Connection;
    use visitors::hosts::Host;
    use visitors::program::{Program, Start};

    const CLIENT: &str = env!("CARGO_BIN_EXE_ch07-callbacks");
    const ANSWER: &[u8] = b"HTTP/1.0 200 OK\r\n\r\nfirst\nsecond\nthe rest";

    /// The program, with so many hosts, who have read its requests.
    fn start(count: usize) -> (Program, Vec<Host>, Vec<Connection>) {
        let hosts: Vec<Host> = (0..count).map(|_| Host::bind().unwrap()).collect();
        let address = |host: &Host| host.address().to_string();
        let start = hosts.iter().fold(Start::new(CLIENT), |start, host| start.arg(address(host)));
        let program = start.start().unwrap();
        let accept = |(number, host): (usize, &Host)| {
            let mut connection = host.accept(&program, &format!("host {number}")).unwrap();
            let whole = |bytes: &[u8]| bytes.ends_with(b"\r\n\r\n");
            let received = connection.receive_while_missing(&program, whole);
            received.expect("no trouble").expect("a request");
            connection
        };
        let connections = hosts.iter().enumerate().map(accept).collect();
        (program, hosts, connections)
    }

    #[track_caller]
    fn prints(program: &Program, start: &str) {
        program.prints(|line| line.starts_with(start)).expect("it says so");
    }

    #[test]
    fn each_line_is_printed_when_it_is_whole() {
        let (program, hosts, mut connections) = start(2);
        let lens = Lens::on(&program);
        let mut quick = connections.pop().unwrap();
        let mut slow = connections.pop().unwrap();
        let [slow_name, quick_name] = [0, 1].map(|index: usize| hosts[index].address().to_string());
        slow.send(&ANSWER[..22]).unwrap();
        assert!(slow.wait_until_read(Duration::from_secs(20)));
        prints(&program, &format!("{slow_name} HTTP/1.0 200 OK"));
        quick.send(ANSWER).unwrap();
        prints(&program, &format!("{quick_name} second"));
        drop(quick);
        prints(&program, &format!("{quick_name} the rest"));
        prints(&program, &format!("{quick_name} the end after"));
        program.settled().unwrap();
        let printed = String::from_utf8(program.stdout()).unwrap();
        assert!(!printed.contains(&format!("{slow_name} fir")), "that line isn't whole: {printed}");
        for piece in ANSWER[22..].chunks(1) {
            slow.send(piece).unwrap();
            assert!(slow.wait_until_read(Duration::from_secs(20)));
        }
        prints(&program, &format!("{slow_name} first"));
        drop(slow);
        prints(&program, &format!("{slow_name} the end after"));
        assert!(program.ended().unwrap().success());
        if let Ok(lens) = lens {
            assert_eq!(lens.waits_only_in(&[super::WAITS_IN]), Ok(()));
        }
    }

    #[test]
    fn three_hundred_at_once_in_reverse_order() {
        let (program, hosts, mut connections) = start(300);
        for host in hosts.iter().rev() {
            let mut connection = connections.pop().unwrap();
            connection.send(ANSWER).unwrap();
            drop(connection);
            prints(&program, &format!("{} the end after", host.address()));
        }
        assert!(program.ended().unwrap().success());
    }

    #[test]
    fn one_that_refuses_or_resets_is_named_and_the_others_are_heard() {
        let (program, hosts, mut connections) = start(2);
        let mut good = connections.pop().unwrap();
        connections.pop().unwrap().reset();
        prints(&program, &format!("{} Connection reset", hosts[0].address()));
        good.send(ANSWER).unwrap();
        drop(good);
        prints(&program, &format!("{} the end after", hosts[1].address()));
        assert_eq!(program.ended().unwrap().code(), Some(1));
        // Nobody listens there.
        let output = Command::new(CLIENT).arg("127.0.0.1:1").output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.starts_with("127.0.0.1:1 Connection refused"), "{said}");
    }

    #[test]
    fn bad_arguments_get_one_line() {
        for arguments in [&["here"][..], &["127.0.0.1:1", ""], &["--quickly"]] {
            let output = Command::new(CLIENT).args(arguments).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }
}
