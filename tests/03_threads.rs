//! The graded checks of chapter 3. The judged program is the server; the check plays its visitors.

use grader::check;
use grader::check::{Check, Guest, REQUEST, Server};
use nix::sys::signal::Signal;
use rstest::rstest;

/// Has `count` visitors in the middle of their requests at the same time, and lets them finish in
/// reverse order: only a server that serves all of them at once can answer the last one first.
#[track_caller]
fn serves_at_once(server: &Server<'_>, count: usize, when: &str) {
    let mut visitors: Vec<_> =
        (1..=count).map(|number| server.visitor(&format!("visitor {number}"))).collect();
    for visitor in &mut visitors {
        visitor.send(&REQUEST[..20]);
    }
    for visitor in visitors.iter_mut().rev() {
        visitor.send(&REQUEST[20..]);
        expect_page(server, visitor, when);
    }
}

/// The visitor has to get its page.
#[track_caller]
fn expect_page(server: &Server<'_>, visitor: &mut Guest<'_>, when: &str) {
    let answer = visitor.answer(when);
    if answer.status != 200 {
        let (name, status) = (visitor.connection.name(), answer.status);
        server.check.fail(format!("{when}, the {name} got {status}"));
    }
}

/// Waits until the server has done all that it can do with the visitors that it has.
#[track_caller]
fn settle(check: &Check, server: &Server<'_>, when: &str) {
    if let Err(trouble) = server.program.settled() {
        check.fail_for(&format!("{when}, your program was to wait for them"), &trouble);
    }
}

mod pool {
    use super::*;

    const WORKERS: usize = 3;
    const ARGUMENTS: &[&str] = &["3"];
    /// As in the exercise.
    const QUEUE: usize = 4;

    #[test]
    fn a_visitor_is_served() {
        let check = check!("03-pool");
        check.likely(
            "no worker takes visitors out of the queue",
            "03-threads.html#so-many-and-no-more",
        );
        let server = check.server(ARGUMENTS);
        server.still_serves("at the beginning");
        server.still_serves("after one visitor");
    }

    #[test]
    fn workers_without_work_sleep() {
        let check = check!("03-pool");
        check.likely(
            "a worker, or the thread that accepts, asks again and again: `recv` and `accept` wait by themselves",
            "03-threads.html#so-many-and-no-more",
        );
        let server = check.server(ARGUMENTS);
        server.still_serves("at the beginning");
        settle(&check, &server, "with nobody there");
        let silent = server.visitor("silent visitor");
        settle(&check, &server, "with one silent visitor");
        drop(silent);
    }

    #[test]
    fn workers_wait_and_take_no_naps() {
        let check = check!("03-pool");
        check.likely(
            "a worker, or the thread that accepts, naps and looks again: who comes meanwhile waits for the end of a nap. `recv` and `accept` wait by themselves, and are woken at once",
            "03-threads.html#so-many-and-no-more",
        );
        let server = check.server(ARGUMENTS);
        let lens = server.lens();
        let _silent = server.visitor("silent visitor");
        server.still_serves("with one silent visitor");
        settle(&check, &server, "with one silent visitor");
        let allowed = ["accept", "read", "write", "futex"];
        server.waits_only_in(lens.as_ref(), &allowed, "with one silent visitor and one quick one");
    }

    #[test]
    fn a_silent_visitor_takes_one_worker() {
        let check = check!("03-pool");
        check.likely(
            "visitors are dealt out to workers before anybody knows who will be free: have one queue for all",
            "03-threads.html#so-many-and-no-more",
        );
        let server = check.server(ARGUMENTS);
        let silent = server.visitor("silent visitor");
        settle(&check, &server, "with one silent visitor");
        let quick = |number| server.visitor(&format!("quick visitor {number}"));
        let mut quick: Vec<_> = (1..=2 * WORKERS).map(quick).collect();
        for visitor in &mut quick {
            visitor.send(REQUEST);
        }
        for visitor in &mut quick {
            expect_page(&server, visitor, "with one silent visitor and six quick ones");
        }
        drop(silent);
    }

    #[test]
    fn as_many_at_once_as_there_are_workers() {
        let check = check!("03-pool");
        check.likely(
            "the lock is held while a visitor is served, so that all other workers wait for it: end it before",
            "03-threads.html#so-many-and-no-more",
        );
        let server = check.server(ARGUMENTS);
        serves_at_once(&server, WORKERS, "with three workers and three visitors at once");
    }

    #[test]
    fn a_crowd_gets_no_more_threads() {
        let check = check!("03-pool");
        check.likely(
            "it starts a thread for a visitor: a pool's threads are started once, at the beginning",
            "03-threads.html#so-many-and-no-more",
        );
        let server = check.server(ARGUMENTS);
        server.still_serves("at the beginning");
        let crowd: Vec<_> = (0..40).map(|_| server.visitor("silent visitor")).collect();
        settle(&check, &server, "with forty silent visitors");
        let threads = server.program.usage().map_or(0, |usage| usage.threads);
        // The workers, the one that accepts, and one more for whatever the answer needs it.
        if threads > WORKERS + 2 {
            check.fail(format!(
                "with {WORKERS} workers and {} silent visitors your program has {threads} threads",
                crowd.len()
            ));
        }
        drop(crowd);
        server.still_serves("after forty silent visitors have left");
    }

    #[test]
    fn the_queue_has_an_end() {
        let check = check!("03-pool");
        check.likely(
            "the queue takes in everybody: `channel` has no end, `sync_channel(QUEUE)` has",
            "03-threads.html#so-many-and-no-more",
        );
        let server = check.server(ARGUMENTS);
        server.still_serves("at the beginning");
        let crowd: Vec<_> = (0..40).map(|_| server.visitor("silent visitor")).collect();
        settle(&check, &server, "with forty silent visitors");
        // With each worker, in the queue, and in the hand of one or two threads in between.
        let (least, most) = (WORKERS + QUEUE, WORKERS + QUEUE + 2);
        // Where the system can't tell, nobody can.
        let accepted = visitors::doing::accepted(server.address.port()).unwrap_or(least);
        let crowd_size = crowd.len();
        if accepted > most {
            check.fail(format!(
                "{WORKERS} workers and a queue for {QUEUE} hold {least} visitors, but of {crowd_size} your program accepted {accepted}"
            ));
        }
        if accepted < least {
            check.likely(
                "there is no queue, or a shorter one: who comes when all workers are busy is to be accepted, QUEUE of them",
                "03-threads.html#so-many-and-no-more",
            );
            check.fail(format!(
                "{WORKERS} workers and a queue for {QUEUE} hold {least} visitors, but of {crowd_size} your program accepted only {accepted}"
            ));
        }
        drop(crowd);
        server.still_serves("after forty silent visitors have left");
    }

    #[test]
    fn nobody_is_forgotten() {
        let check = check!("03-pool");
        check.likely(
            "a visitor who finds the queue full is dropped: `send` waits for room, `try_send` doesn't",
            "03-threads.html#so-many-and-no-more",
        );
        let server = check.server(ARGUMENTS);
        let silent: Vec<_> = (0..WORKERS).map(|_| server.visitor("silent visitor")).collect();
        settle(&check, &server, "with a silent visitor for each worker");
        let mut quick: Vec<_> =
            (1..=20).map(|number| server.visitor(&format!("quick visitor {number}"))).collect();
        for visitor in &mut quick {
            visitor.send(REQUEST);
        }
        settle(&check, &server, "with twenty more visitors");
        drop(silent);
        for visitor in &mut quick {
            let answer = visitor.answer("after the silent visitors had left");
            if answer.status != 200 {
                check.fail(format!("{} got {}", visitor.connection.name(), answer.status));
            }
        }
    }

    #[test]
    fn a_bug_loses_one_visitor() {
        let check = check!("03-pool");
        check.likely(
            "a panic ends the worker in which it happens, and nobody takes its place: catch it in the worker",
            "03-threads.html#a-bug-in-a-thread",
        );
        let server = check.server(ARGUMENTS);
        for _ in 0..2 * WORKERS {
            let mut unlucky = server.visitor("unlucky visitor");
            unlucky.send(b"GET /panic HTTP/1.1\r\n\r\n");
            unlucky.end("after it met a bug");
        }
        server.still_serves("after six visitors met a bug");
        serves_at_once(
            &server,
            WORKERS,
            "after six visitors met a bug, with three visitors at once",
        );
    }

    #[test]
    fn a_rude_visitor_changes_nothing() {
        let check = check!("03-pool");
        check.likely(
            "a visitor that is gone ends the worker, or the accepting: its error must end nothing else",
            "03-threads.html#a-bug-in-a-thread",
        );
        let server = check.server(ARGUMENTS);
        for _ in 0..WORKERS {
            let mut rude = server.visitor("rude visitor");
            rude.send_in_pieces(&REQUEST[..20], 1);
            rude.connection.reset();
        }
        // The server sleeps while these come and go: they are gone before they are accepted.
        server.program.stop();
        for _ in 0..WORKERS {
            server.visitor("rude visitor").connection.reset();
        }
        server.program.go_on();
        serves_at_once(&server, WORKERS, "after six rude visitors, with three visitors at once");
    }
}

mod stop {
    use super::*;
    use std::io::ErrorKind;
    use std::thread;
    use std::time::Duration;

    use visitors::connection::Connection;
    use visitors::program::{LOOK_EVERY, Trouble};

    /// Whoever isn't waited for, but given a fixed time to finish, takes longer than that.
    const LONGER_THAN_A_GRACE: Duration = Duration::from_secs(4);

    /// How often to try whether the door is closed: two seconds, where it isn't.
    const TRIES: usize = 100;

    /// Gives the server the time to do whatever it does now, be it to end.
    fn settle_or_end(server: &Server<'_>) {
        let _ = server.program.settled();
    }

    /// The server has to end with status 0.
    #[track_caller]
    fn ends_well(check: &Check, server: &Server<'_>, when: &str) {
        let book = "03-threads.html#an-orderly-stop";
        let trouble = match server.program.ended() {
            Ok(status) if status.success() => return,
            Ok(_) => server.program.ended_with().expect("it has ended"),
            Err(trouble) => trouble,
        };
        // What it looks like says more than where in the check it happened.
        let words = trouble.to_string();
        if words.contains("signal: 15") {
            check.likely(
                "SIGTERM isn't blocked in every thread, so it ends the program: block it before the first thread is started",
                book,
            );
        } else if let Trouble::Ended { .. } = trouble {
            check.likely(
                "an orderly stop ends with status 0: return from `main` without an error",
                book,
            );
        } else if let Trouble::Spinning = trouble {
            check.likely(
                "it asks again and again: whatever you wait for, have a call that waits do it",
                book,
            );
        }
        check.fail_for(&format!("{when}, your program was to end"), &trouble);
    }

    #[test]
    fn visitors_are_served_at_once() {
        let check = check!("03-stop");
        check.likely(
            "each visitor needs a thread of its own",
            "03-threads.html#somebody-else-waits",
        );
        let server = check.server(&[]);
        serves_at_once(&server, 4, "with four visitors at once");
    }

    #[test]
    fn it_ends_when_nobody_is_there() {
        let check = check!("03-stop");
        check.likely(
            "`accept` goes on waiting although the signal has come: somebody has to wake it, after the flag is set",
            "03-threads.html#an-orderly-stop",
        );
        let server = check.server(&[]);
        server.still_serves("before the signal");
        settle(&check, &server, "with nobody there");
        server.program.signal(Signal::SIGTERM);
        ends_well(&check, &server, "after SIGTERM, with nobody there");
    }

    #[rstest]
    #[case::one(1)]
    #[case::three(3)]
    fn those_who_are_there_are_served(#[case] count: usize) {
        let check = check!("03-stop");
        check.likely(
            "when `main` returns, all threads end with it: wait for those that serve somebody",
            "03-threads.html#an-orderly-stop",
        );
        let server = check.server(&[]);
        let mut present: Vec<_> = (1..=count)
            .map(|number| server.visitor(&format!("present visitor {number}")))
            .collect();
        for visitor in &mut present {
            visitor.send_in_pieces(&REQUEST[..20], 1);
        }
        server.program.signal(Signal::SIGTERM);
        settle(&check, &server, "after SIGTERM, with visitors in the middle of their requests");
        if server.program.doing().contains("waits for time to pass") {
            // It naps until they are done, or it gives them a fixed time: a while will tell.
            thread::sleep(LONGER_THAN_A_GRACE);
        }
        // The one who came last finishes first: it mustn't be the only one who is waited for.
        for visitor in present.iter_mut().rev() {
            visitor.send(&REQUEST[20..]);
            expect_page(&server, visitor, "after SIGTERM, in the middle of its request");
            drop(visitor.end("after its answer"));
            settle_or_end(&server);
        }
        ends_well(&check, &server, "after SIGTERM, when the last visitor was served");
    }

    #[test]
    fn nobody_new_can_come() {
        let check = check!("03-stop");
        check.likely(
            "the listener is still open: the kernel lets people queue whom nobody will serve; drop it first",
            "03-threads.html#an-orderly-stop",
        );
        let server = check.server(&[]);
        let mut present = server.visitor("present visitor");
        present.send_in_pieces(&REQUEST[..20], 1);
        server.program.signal(Signal::SIGTERM);
        settle(&check, &server, "after SIGTERM, with a visitor in the middle of its request");
        let refused = (0..TRIES).any(|_| {
            thread::sleep(LOOK_EVERY);
            let late = Connection::connect(server.address, "late visitor");
            matches!(late, Err(error) if error.kind() == ErrorKind::ConnectionRefused)
        });
        if !refused {
            check.fail("after SIGTERM, late visitors can still connect");
        }
        present.send(&REQUEST[20..]);
        expect_page(&server, &mut present, "after SIGTERM, and after a late visitor was refused");
        ends_well(&check, &server, "after SIGTERM, when the present visitor was served");
    }

    #[test]
    fn the_ones_served_before_are_no_burden() {
        let check = check!("03-stop");
        check.likely(
            "it waits for visitors who have long been served: count only those who are there",
            "03-threads.html#an-orderly-stop",
        );
        let server = check.server(&[]);
        for _ in 0..20 {
            server.still_serves("before the signal");
        }
        let mut rude = server.visitor("rude visitor");
        rude.send(&REQUEST[..20]);
        rude.connection.reset();
        settle(&check, &server, "after a rude visitor");
        server.program.signal(Signal::SIGTERM);
        ends_well(&check, &server, "after SIGTERM, with twenty-one visitors gone");
    }
}
