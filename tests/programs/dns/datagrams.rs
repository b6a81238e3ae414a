//! Datagrams as a source of the loop.

use std::cell::{Cell, RefCell};
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

use ch07_callbacks::{EventLoop, Poll, Token};
use ch12_kernel::datagrams::{
    Arrival, BATCH, Buffers, Datagrams, LONGEST, MOST_QUEUED, MOST_QUEUED_BYTES,
};
use rstest::rstest;

use crate::house::ch08_epoll_or_poll;

#[derive(Clone, Debug, PartialEq)]
enum Came {
    Datagram(Vec<u8>, SocketAddr),
    CutShort(usize),
    Undeliverable(i32),
}

fn came(arrival: Arrival<'_>) -> Came {
    match arrival {
        Arrival::Datagram { bytes, from } => Came::Datagram(bytes.to_vec(), from),
        Arrival::CutShort { bytes, .. } => Came::CutShort(bytes.len()),
        Arrival::Undeliverable(error) => Came::Undeliverable(error.raw_os_error().unwrap()),
    }
}

type Heard = Rc<RefCell<Vec<Came>>>;

/// A socket in a loop, and all that comes to it.
fn open(event_loop: &mut EventLoop, socket: UdpSocket, buffers: &Buffers) -> (Token, Heard) {
    let heard = Heard::default();
    let hears = Rc::clone(&heard);
    let token = Datagrams::add(event_loop, socket, buffers, move |_, _, arrival| {
        hears.borrow_mut().push(came(arrival));
    });
    (token.unwrap(), heard)
}

fn turns(event_loop: &mut EventLoop, mut is_over: impl FnMut(&mut EventLoop) -> bool) {
    for _ in 0..2000 {
        if is_over(event_loop) {
            return;
        }
        event_loop.turn(Some(Duration::from_millis(5))).unwrap();
    }
    panic!("it's never over");
}

fn bound(to: &str) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(to).unwrap();
    let address = socket.local_addr().unwrap();
    socket.set_read_timeout(Some(crate::house::PATIENCE)).unwrap();
    (socket, address)
}

fn loops() -> [EventLoop; 2] {
    [EventLoop::new(Poll), ch08_epoll_or_poll().unwrap()]
}

#[rstest]
#[case::of_the_fourth("127.0.0.1:0")]
#[case::of_the_sixth("[::1]:0")]
fn what_is_sent_arrives_with_its_sender(#[case] here: &str) {
    for mut event_loop in loops() {
        let buffers = Buffers::default();
        let (socket, address) = bound(here);
        let (me, heard) = open(&mut event_loop, socket, &buffers);
        // Sockets of both kinds have the same buffers.
        let (other, other_address) = bound("127.0.0.1:0");
        let (_, other_heard) = open(&mut event_loop, other, &buffers);
        let (friend, friend_address) = bound(here);
        for round in 0..3u8 {
            heard.borrow_mut().clear();
            other_heard.borrow_mut().clear();
            UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"you", other_address).unwrap();
            for bytes in [&b"first"[..], b"", &[round; LONGEST], &[7; LONGEST + 1]] {
                friend.send_to(bytes, address).unwrap();
            }
            turns(&mut event_loop, |_| {
                heard.borrow().len() == 4 && other_heard.borrow().len() == 1
            });
            let datagram = |bytes: &[u8]| Came::Datagram(bytes.to_vec(), friend_address);
            let expected = [
                datagram(b"first"),
                datagram(b""),
                datagram(&[round; LONGEST]),
                Came::CutShort(LONGEST),
            ];
            assert!(*heard.borrow() == expected, "round {round}");
        }
        // And back: empty ones too.
        for bytes in [&b"answer"[..], b"", b"x"] {
            assert!(Datagrams::send(&mut event_loop, me, Some(friend_address), bytes));
        }
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        let mut sizes: Vec<usize> = (0..3).map(|_| friend.recv(&mut [0; 99]).unwrap()).collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [0, 1, 6]);
    }
}

/// Sent in whatever pieces, each arrives as itself, at whom it was for.
#[test]
fn many_of_all_lengths_to_many() {
    let mut random = fastrand::Rng::with_seed(3);
    let mut event_loop = ch08_epoll_or_poll().unwrap();
    let (socket, _) = bound("127.0.0.1:0");
    let (me, _) = open(&mut event_loop, socket, &Buffers::default());
    let friends: Vec<_> = (0..5).map(|_| bound("127.0.0.1:0")).collect();
    for _ in 0..60 {
        let lengths: &[usize] =
            random.choice(&[&[33][..], &[33, 40], &[0, 5, 900, 1400], &[1000]]).unwrap();
        let mut sent: Vec<Vec<Vec<u8>>> = vec![Vec::new(); friends.len()];
        for number in 0..random.u8(1..150) {
            let to = random.usize(0..friends.len());
            let bytes = vec![number; *random.choice(lengths).unwrap()];
            assert!(Datagrams::send(&mut event_loop, me, Some(friends[to].1), &bytes));
            sent[to].push(bytes);
        }
        turns(&mut event_loop, |event_loop| event_loop.get::<Datagrams>(me).unwrap().queued() == 0);
        for ((friend, _), mut expected) in friends.iter().zip(sent) {
            let mut buffer = [0; 4096];
            let mut got: Vec<Vec<u8>> = expected
                .iter()
                .map(|_| friend.recv(&mut buffer).map(|count| buffer[..count].to_vec()).unwrap())
                .collect();
            // Datagrams may overtake each other.
            got.sort();
            expected.sort();
            assert_eq!(got, expected);
            friend.set_nonblocking(true).unwrap();
            assert!(friend.recv(&mut buffer).is_err(), "nothing is sent twice");
            friend.set_nonblocking(false).unwrap();
        }
    }
}

/// A closed port is news, and no end: the one behind it still arrives.
#[test]
fn nobody_has_that_port() {
    for mut event_loop in loops() {
        let (gone, address) = bound("127.0.0.1:0");
        drop(gone);
        let (socket, own) = bound("127.0.0.1:0");
        socket.connect(address).unwrap();
        let (me, heard) = open(&mut event_loop, socket, &Buffers::default());
        Datagrams::send(&mut event_loop, me, None, b"anybody?");
        turns(&mut event_loop, |_| !heard.borrow().is_empty());
        assert!(matches!(heard.borrow()[0], Came::Undeliverable(_)), "{heard:?}");
        // Several: sending hears of the refusal before receiving does.
        for _ in 0..5 {
            Datagrams::send(&mut event_loop, me, None, b"anybody?");
            event_loop.turn(Some(Duration::from_millis(5))).unwrap();
        }
        let lost = event_loop.get::<Datagrams>(me).unwrap().lost();
        assert_eq!(lost, 0);
        // Somebody takes the port.
        let somebody = UdpSocket::bind(address).unwrap();
        turns(&mut event_loop, |event_loop| {
            Datagrams::send(event_loop, me, None, b"anybody?");
            event_loop.turn(Some(Duration::from_millis(5))).unwrap();
            somebody.set_nonblocking(true).unwrap();
            somebody.recv(&mut [0; 99]).is_ok()
        });
        somebody.send_to(b"I", own).unwrap();
        let expected = Came::Datagram(b"I".to_vec(), address);
        turns(&mut event_loop, |_| heard.borrow().contains(&expected));
    }
}

/// A flood takes no more than a batch of each turn.
#[test]
fn a_flood_leaves_turns_for_others() {
    let mut event_loop = ch08_epoll_or_poll().unwrap();
    let buffers = Buffers::default();
    let (flooded, address) = bound("127.0.0.1:0");
    let (_, flood) = open(&mut event_loop, flooded, &buffers);
    let (quiet, quiet_address) = bound("127.0.0.1:0");
    let (_, typed) = open(&mut event_loop, quiet, &buffers);
    let (friend, _) = bound("127.0.0.1:0");
    for _ in 0..BATCH * 3 {
        friend.send_to(b"flood", address).unwrap();
    }
    friend.send_to(b"typed", quiet_address).unwrap();
    event_loop.turn(Some(Duration::from_secs(1))).unwrap();
    assert_eq!((flood.borrow().len(), typed.borrow().len()), (BATCH, 1));
    turns(&mut event_loop, |_| flood.borrow().len() == BATCH * 3);
}

#[test]
fn what_has_no_room_is_dropped_and_counted() {
    let mut event_loop = ch08_epoll_or_poll().unwrap();
    let (socket, _) = bound("127.0.0.1:0");
    let (me, _) = open(&mut event_loop, socket, &Buffers::default());
    let (_friend, to) = bound("127.0.0.1:0");
    let taken = (0..MOST_QUEUED + 10)
        .filter(|_| Datagrams::send(&mut event_loop, me, Some(to), b"x"))
        .count();
    assert_eq!(taken, MOST_QUEUED);
    let datagrams = event_loop.get::<Datagrams>(me).unwrap();
    assert_eq!((datagrams.lost(), datagrams.queued()), (10, MOST_QUEUED));
    // The last word, and then it's closed.
    Datagrams::finish(&mut event_loop, me);
    turns(&mut event_loop, |event_loop| event_loop.get::<Datagrams>(me).is_none());
    // As much as there may be, in bytes.
    let (socket, _) = bound("127.0.0.1:0");
    let (me, _) = open(&mut event_loop, socket, &Buffers::default());
    let taken =
        (0..100).filter(|_| Datagrams::send(&mut event_loop, me, Some(to), &[0; 60_000])).count();
    assert_eq!(taken, MOST_QUEUED_BYTES / 60_000);
}

/// One that can't be sent at all is in nobody's way.
#[test]
fn one_that_cannot_be_sent() {
    let mut event_loop = ch08_epoll_or_poll().unwrap();
    let (socket, _) = bound("127.0.0.1:0");
    let (me, _) = open(&mut event_loop, socket, &Buffers::default());
    let (friend, to) = bound("127.0.0.1:0");
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    Datagrams::send(&mut event_loop, me, Some(nowhere), b"to nobody");
    Datagrams::send(&mut event_loop, me, Some(to), &[0; 65_530]);
    Datagrams::send(
        &mut event_loop,
        me,
        Some(SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 7))),
        b"of the other kind",
    );
    Datagrams::send(&mut event_loop, me, Some(to), b"to somebody");
    turns(&mut event_loop, |event_loop| event_loop.get::<Datagrams>(me).unwrap().queued() == 0);
    let mut buffer = [0; 99];
    let count = friend.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"to somebody");
    assert_eq!(event_loop.get::<Datagrams>(me).unwrap().lost(), 3);
}

/// The callback may do as it likes: panic, close its socket, send to others by the same buffers.
#[test]
fn whatever_the_callback_does() {
    let mut event_loop = ch08_epoll_or_poll().unwrap();
    let (socket, address) = bound("127.0.0.1:0");
    let (friend, _) = bound("127.0.0.1:0");
    let count = Rc::new(Cell::new(0));
    let counts = Rc::clone(&count);
    let me = Datagrams::add(
        &mut event_loop,
        socket,
        &Buffers::default(),
        move |event_loop, me, arrival| {
            counts.set(counts.get() + 1);
            match came(arrival) {
                Came::Datagram(bytes, _) if bytes == b"panic" => panic!("as it was told"),
                Came::Datagram(bytes, _) if bytes == b"close" => event_loop.close(me),
                Came::Datagram(bytes, from) => {
                    Datagrams::send(event_loop, me, Some(from), &bytes);
                }
                _ => {}
            }
        },
    )
    .unwrap();
    for word in ["panic", "echo", "panic", "close", "late", "later"] {
        friend.send_to(word.as_bytes(), address).unwrap();
    }
    turns(&mut event_loop, |event_loop| event_loop.get::<Datagrams>(me).is_none());
    assert_eq!(count.get(), 4);
}

/// What a crowd sends next is left where it is for a moment, and taken all at once.
#[cfg(target_os = "linux")]
#[test]
fn a_crowd_is_let_gather() {
    use ch12_kernel::gathering::CROWD;

    let mut event_loop = ch08_epoll_or_poll().unwrap();
    let (socket, address) = bound("127.0.0.1:0");
    let (me, heard) = open(&mut event_loop, socket, &Buffers::default());
    Datagrams::gather(&mut event_loop, me).unwrap();
    let reads = |event_loop: &EventLoop| {
        let datagrams = event_loop.get::<Datagrams>(me).unwrap();
        ch07_callbacks::Source::interest(datagrams).read
    };
    let (friend, _) = bound("127.0.0.1:0");
    let send = |count: usize| {
        for _ in 0..count {
            friend.send_to(b"x", address).unwrap();
        }
    };
    send(CROWD - 1);
    turns(&mut event_loop, |_| heard.borrow().len() == CROWD - 1);
    assert!(reads(&event_loop), "these are few");
    send(CROWD);
    turns(&mut event_loop, |_| heard.borrow().len() == 2 * CROWD - 1);
    assert!(!reads(&event_loop), "this is a crowd");
    // However many come now, they come in one turn, and nobody is forgotten.
    for round in 1..=5 {
        send(BATCH - 1);
        let before = heard.borrow().len();
        turns(&mut event_loop, |_| heard.borrow().len() > before);
        assert_eq!(heard.borrow().len() - before, BATCH - 1, "round {round}");
        assert!(!reads(&event_loop), "round {round}: still a crowd");
    }
    turns(&mut event_loop, |event_loop| reads(event_loop));
    send(1);
    let before = heard.borrow().len();
    turns(&mut event_loop, |_| heard.borrow().len() > before);
    assert!(reads(&event_loop));
}

/// A timer that outlived its socket would keep the loop from ending.
#[rstest]
#[timeout(crate::house::PATIENCE)]
fn whoever_gathers_leaves_nothing_behind() {
    let mut event_loop = ch08_epoll_or_poll().unwrap();
    let (_alone, address) = bound("127.0.0.1:0");
    for _ in 0..10 {
        let (socket, _) = bound("127.0.0.1:0");
        let (me, _) = open(&mut event_loop, socket, &Buffers::default());
        Datagrams::gather(&mut event_loop, me).unwrap();
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        Datagrams::send(&mut event_loop, me, Some(address), b"last words");
        Datagrams::finish(&mut event_loop, me);
    }
    // With nobody left in it, it has nothing to wait for.
    event_loop.run().unwrap();
}
