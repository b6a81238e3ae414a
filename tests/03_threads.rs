//! The graded checks of chapter 3. The judged program is the server; the check plays its visitors.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write};
use std::time::Duration;

use grader::check;
use grader::check::{Check, Guest, REQUEST, Server, so_far};
use nix::sys::signal::Signal;
use rstest::rstest;
use visitors::connection::Connection;
use visitors::doing::Snapshot;
use visitors::program::{PATIENCE, Start, Trouble};

/// Whoever wakes up now and then, and not more seldom than this, is seen to.
const LONGER_THAN_NAPS: Duration = Duration::from_millis(400);

/// So many visits are one lot, when what is left of them is looked for.
const A_LOT: usize = 700;

/// Has `count` visitors in the middle of their requests at the same time, and lets them finish in
/// reverse order: only a server that serves all of them at once can answer the last one first.
#[track_caller]
fn serves_at_once(server: &Server<'_>, count: usize, when: &str) {
    let mut visitors = in_the_middle(server, "visitor", count);
    for visitor in visitors.iter_mut().rev() {
        visitor.send(&REQUEST[20..]);
        expect_page(server, visitor, when);
    }
}

/// So many visitors in the middle of their requests: `visitor 1` and so on.
#[track_caller]
fn in_the_middle<'a>(server: &'a Server<'_>, name: &str, count: usize) -> Vec<Guest<'a>> {
    let mut visitors: Vec<_> =
        (1..=count).map(|number| server.visitor(&format!("{name} {number}"))).collect();
    for visitor in &mut visitors {
        visitor.send(&REQUEST[..20]);
    }
    visitors
}

/// So many visitors who say nothing.
#[track_caller]
fn silent<'a>(server: &'a Server<'_>, count: usize) -> Vec<Guest<'a>> {
    (1..=count).map(|number| server.visitor(&format!("silent visitor {number}"))).collect()
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

/// The visitor has to get its page, and then the end.
#[track_caller]
fn expect_page_and_end(server: &Server<'_>, visitor: &mut Guest<'_>, when: &str) {
    expect_page(server, visitor, when);
    server.check.suspect("connection-kept-open");
    let more = visitor.end(&format!("{when}, and it had its answer"));
    if !more.is_empty() {
        let (name, count) = (visitor.connection.name(), more.len());
        server.check.fail(format!("{when}, the {name} got {count} bytes behind its answer"));
    }
}

/// Waits until the server has done all that it can do with the visitors that it has.
#[track_caller]
fn settle(server: &Server<'_>, when: &str) {
    if let Err(trouble) = server.program.settled() {
        if let Trouble::Spinning = trouble {
            server.check.suspect("asks-again-and-again");
        }
        server.check.fail_for(&format!("{when}, your program was to wait"), &trouble);
    }
}

/// Nothing of the program may wake up while there is nothing to do.
#[track_caller]
fn sleeps_undisturbed(server: &Server<'_>, when: &str) {
    settle(server, when);
    let before = Snapshot::of(server.program.pid());
    std::thread::sleep(LONGER_THAN_NAPS);
    if before != Snapshot::of(server.program.pid()) {
        server.check.suspect("naps-between-looks");
        let time = LONGER_THAN_NAPS.as_millis();
        server.check.fail(format!(
            "{when}, your program woke up within {time} ms, and there was nothing to do"
        ));
    }
}

/// The numbers of the program's threads. None where the system doesn't tell.
fn threads(server: &Server<'_>) -> BTreeSet<String> {
    let entries = fs::read_dir(format!("/proc/{}/task", server.program.pid()));
    let entries = entries.into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// How many of the visitors are with the program. Where the system can't tell, `otherwise`.
fn accepted(server: &Server<'_>, otherwise: usize) -> usize {
    visitors::tcp::accepted(server.address.port()).unwrap_or(otherwise)
}

/// The program as a server for which a shell has set a limit, such as `ulimit -n 9`.
#[track_caller]
fn server_within<'a>(check: &'a Check, limit: &str, arguments: &[&str]) -> Server<'a> {
    serving(check, within(check, limit, arguments))
}

fn within(check: &Check, limit: &str, arguments: &[&str]) -> visitors::program::Program {
    let script = format!("{limit} && exec \"$0\" 127.0.0.1:0 \"$@\"");
    let start = Start::new("/bin/sh").arg("-c").arg(script).arg(check.program());
    let start = arguments.iter().fold(start, Start::arg).env("RUST_BACKTRACE", "0");
    start.start().unwrap_or_else(|error| check.fail(format!("a shell can't be started: {error}")))
}

/// How often a program is started that may end for a reason that isn't its own.
const STARTS: usize = 5;

/// Rust's library ends a program by itself where a thread that has been started finds no room for its signal stack, or somebody
/// none for a few bytes, while another thread has just taken the last room for a stack. Nobody can see to that.
fn had_no_room_for_itself(trouble: &Trouble) -> bool {
    let Trouble::Ended { last_words, .. } = trouble else { return false };
    ["alternative stack", "memory allocation of"].iter().any(|words| last_words.contains(words))
}

#[track_caller]
fn serving(check: &Check, program: visitors::program::Program) -> Server<'_> {
    match program.listening() {
        Ok(address) => Server { check, program, address },
        Err(trouble) => {
            check.fail_for("the first line on stdout was to be `listening on ADDRESS`", &trouble)
        }
    }
}

/// A visit as short as can be, for when thousands are needed.
#[track_caller]
fn a_short_visit(server: &Server<'_>) {
    let visit = || -> io::Result<Vec<u8>> {
        let visitor = Connection::connect(server.address, "quick visitor")?;
        let mut stream = visitor.stream();
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(REQUEST)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        // It's over on both sides. So the kernel needn't remember this connection for a minute.
        visitor.reset();
        Ok(answer)
    };
    match visit() {
        Ok(answer) if answer.starts_with(b"HTTP/1.0 200") => {}
        Ok(answer) => {
            let got = String::from_utf8_lossy(&answer).into_owned();
            server.fail_seeing(&format!("one of many quick visitors got {got:?}"));
        }
        Err(error) => server.fail_seeing(&format!("one of many quick visitors failed: {error}")),
    }
}

/// A visitor who is gone before it has said all, or has got anything.
#[track_caller]
fn a_rude_visit(server: &Server<'_>) {
    let mut rude = server.visitor("rude visitor");
    rude.send(&REQUEST[..20]);
    rude.connection.reset();
}

mod pool {
    use super::*;

    const WORKERS: usize = 3;
    const ARGUMENTS: &[&str] = &["3"];
    /// As in the exercise.
    const QUEUE: usize = 4;
    /// Whoever is given up for its silence is so after a second, as a rule.
    const LONGER_THAN_A_SECOND: Duration = Duration::from_millis(1100);

    /// Fails if anybody who waits in the queue or before it has been answered.
    #[track_caller]
    fn nobody_is_answered_yet(server: &Server<'_>, waiting: &mut [Guest<'_>], when: &str) {
        settle(server, when);
        for visitor in waiting {
            visitor.no_answer_yet(when);
        }
    }

    #[rstest]
    #[case::three_workers("3")]
    #[case::one_worker("1")]
    fn a_visitor_is_served(#[case] workers: &str) {
        let check = check!("03-pool");
        check.suspect("never-gets-to-accept");
        let server = check.server(&[workers]);
        server.still_serves("at the beginning");
        server.still_serves("after one visitor");
    }

    #[test]
    fn who_was_served_is_hung_up_on() {
        let check = check!("03-pool");
        check.suspect("connection-kept-open");
        let server = check.server(ARGUMENTS);
        for number in 1..=2 * WORKERS {
            let mut visitor = server.visitor(&format!("quick visitor {number}"));
            visitor.send(REQUEST);
            expect_page_and_end(&server, &mut visitor, "one after the other");
        }
    }

    #[test]
    fn workers_without_work_sleep() {
        let check = check!("03-pool");
        check.suspect("asks-again-and-again");
        let server = check.server(ARGUMENTS);
        settle(&server, "with nobody there");
        server.still_serves("at the beginning");
        settle(&server, "after one visitor");
        let _silent = silent(&server, 1);
        settle(&server, "with one silent visitor");
        let _crowd = silent(&server, 20);
        settle(&server, "with the queue full, and more in the backlog");
    }

    #[test]
    fn workers_wait_and_take_no_naps() {
        let check = check!("03-pool");
        check.suspect("naps-between-looks");
        let server = check.server(ARGUMENTS);
        let lens = server.lens();
        let _silent = silent(&server, 1);
        server.still_serves("with one silent visitor");
        settle(&server, "with one silent visitor");
        let allowed = ["accept", "read", "write", "futex"];
        server.waits_only_in(lens.as_ref(), &allowed, "with one silent visitor and one quick one");
        drop(lens);
        let _crowd = silent(&server, 20);
        settle(&server, "with the queue full, and more in the backlog");
        server.check.suspect("naps-between-looks");
        if server.program.doing().contains("waits for time to pass") {
            check.fail(format!(
                "with the queue full, and more in the backlog, your program {}",
                server.program.doing()
            ));
        }
    }

    #[test]
    fn nobody_wakes_up_for_nothing() {
        let check = check!("03-pool");
        check.suspect("naps-between-looks");
        let server = check.server(ARGUMENTS);
        server.still_serves("at the beginning");
        sleeps_undisturbed(&server, "with nobody there");
        let _crowd = silent(&server, 20);
        sleeps_undisturbed(&server, "with the queue full, and more in the backlog");
    }

    #[test]
    fn a_silent_visitor_takes_one_worker() {
        let check = check!("03-pool");
        check.suspect("a-queue-for-each-worker");
        let server = check.server(ARGUMENTS);
        let silent = silent(&server, 1);
        settle(&server, "with one silent visitor");
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
    fn who_stands_behind_a_silent_one_is_served() {
        let check = check!("03-pool");
        check.suspect("takes-several-out-of-the-queue");
        let server = check.server(ARGUMENTS);
        let mut busy = Vec::new();
        for number in 1..=WORKERS {
            // One by one: a worker that takes several out of the queue finds one in it.
            let mut visitor = server.visitor(&format!("busy visitor {number}"));
            visitor.send(&REQUEST[..20]);
            busy.push(visitor);
            settle(&server, "with no more visitors than workers");
        }
        let _silent = silent(&server, 1);
        let mut quick: Vec<_> =
            (1..=3).map(|number| server.visitor(&format!("quick visitor {number}"))).collect();
        for visitor in &mut quick {
            visitor.send(REQUEST);
        }
        settle(&server, "with a silent visitor and three quick ones in the queue");
        for mut visitor in busy {
            visitor.send(&REQUEST[20..]);
            expect_page(&server, &mut visitor, "in the middle of its request");
        }
        for visitor in &mut quick {
            expect_page(
                &server,
                visitor,
                "when all three workers had become free, and the first in the queue was silent",
            );
        }
    }

    #[rstest]
    #[case::one_worker(1)]
    #[case::three_workers(3)]
    #[case::nine_workers(9)]
    fn as_many_at_once_as_there_are_workers(#[case] workers: usize) {
        let check = check!("03-pool");
        check.suspect("lock-held-while-serving");
        let server = check.server(&[&workers.to_string()]);
        let when = format!("with {workers} workers and as many visitors at once");
        let mut visitors = in_the_middle(&server, "visitor", workers);
        settle(&server, &when);
        // Whom is nobody with? All of them are accepted, in any case.
        let waits_for = |number: usize| {
            let doing = server.program.doing();
            doing.contains(&format!("waits for the visitor {number} to send"))
        };
        let served = (1..=workers).filter(|number| waits_for(*number)).count();
        if cfg!(target_os = "linux") && served > 1 && served < workers {
            check.suspect("another-number-of-workers");
        }
        for visitor in visitors.iter_mut().rev() {
            visitor.send(&REQUEST[20..]);
            expect_page(&server, visitor, &when);
        }
    }

    #[rstest]
    #[case::one_worker(1)]
    #[case::three_workers(3)]
    #[case::nine_workers(9)]
    fn and_no_more_at_once(#[case] workers: usize) {
        let check = check!("03-pool");
        check.suspect("another-number-of-workers");
        let server = check.server(&[&workers.to_string()]);
        let mut busy = in_the_middle(&server, "busy visitor", workers);
        settle(&server, "with as many visitors as workers");
        let name = |number| format!("waiting visitor {number}");
        let waiting = (1..=QUEUE + 3).map(|number| server.visitor(&name(number)));
        let mut waiting: Vec<_> = waiting.collect();
        let when = format!(
            "with {workers} workers, and {workers} visitors in the middle of their requests"
        );
        for visitor in &mut waiting {
            visitor.send(REQUEST);
            settle(&server, &when);
            if visitor.connection.readable_within(Duration::ZERO) {
                if threads(&server).len() > workers + 2 {
                    check.suspect("a-thread-for-a-visitor");
                } else if waiting_is_full(&server, workers) {
                    check.suspect("the-accepting-thread-serves");
                }
            }
            visitor.no_answer_yet(&when);
        }
        nobody_is_answered_yet(&server, &mut waiting, &when);
        check.suspect("lock-held-while-serving");
        let mut first = busy.remove(0);
        first.send(&REQUEST[20..]);
        expect_page(&server, &mut first, "in the middle of its request");
        for visitor in &mut waiting {
            expect_page(&server, visitor, "when one worker had become free");
        }
    }

    /// There is nobody left in the queue for whom there is room, or it's just full.
    fn waiting_is_full(server: &Server<'_>, workers: usize) -> bool {
        accepted(server, 0) >= workers + QUEUE
    }

    #[test]
    fn threads_are_started_once() {
        let check = check!("03-pool");
        check.suspect("a-thread-for-a-visitor");
        let server = check.server(ARGUMENTS);
        settle(&server, "with nobody there");
        let before = threads(&server);
        if (1..=WORKERS).contains(&before.len()) {
            check.fail(format!(
                "with {WORKERS} workers and before the first visitor came, your program has {} threads",
                before.len()
            ));
        }
        for _ in 0..2 * WORKERS {
            server.still_serves("at the beginning");
        }
        serves_at_once(&server, WORKERS, "with as many visitors as workers");
        settle(&server, "after nine visitors");
        let new = threads(&server).difference(&before).count();
        if new > 0 {
            check.fail(format!(
                "after nine visitors your program has {new} threads that weren't there before the first of them"
            ));
        }
    }

    #[test]
    fn a_crowd_gets_no_more_threads() {
        let check = check!("03-pool");
        check.suspect("a-thread-for-a-visitor");
        let server = check.server(ARGUMENTS);
        server.still_serves("at the beginning");
        let crowd = silent(&server, 40);
        settle(&server, "with forty silent visitors");
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

    #[rstest]
    #[case::one_worker(1)]
    #[case::three_workers(3)]
    fn the_queue_has_an_end(#[case] workers: usize) {
        const CROWD: usize = 40;
        let check = check!("03-pool");
        check.suspect("a-queue-without-an-end");
        let server = check.server(&[&workers.to_string()]);
        server.still_serves("at the beginning");
        let mut crowd = silent(&server, CROWD);
        // With each worker, in the queue, and in the hand of the thread that accepts.
        let (least, most) = (workers + QUEUE, workers + QUEUE + 1);
        let look = |when: &str| {
            settle(&server, when);
            // Where the system can't tell, nobody can.
            let accepted = accepted(&server, least);
            let holds = format!("{workers} workers and a queue for {QUEUE} hold {least} visitors");
            if accepted > most {
                let is_longer = accepted < CROWD - 3;
                check.suspect(if is_longer { "a-longer-queue" } else { "a-queue-without-an-end" });
                check.fail(format!(
                    "{holds}, and one may be on its way into it; {when}, your program has accepted {accepted}"
                ));
            }
            if accepted < least {
                check.suspect("a-shorter-queue");
                check.fail(format!("{holds}; {when}, your program has accepted only {accepted}"));
            }
        };
        look("with forty silent visitors");
        for left in 1..=3 {
            drop(crowd.remove(0));
            look(&format!("with forty silent visitors, of whom {left} left"));
        }
        drop(crowd);
        check.suspect("gone-visitor-ends-it");
        server.still_serves("after forty silent visitors have left");
    }

    #[test]
    fn nobody_is_forgotten() {
        let check = check!("03-pool");
        check.suspect("drops-when-full");
        let server = check.server(ARGUMENTS);
        let silent = silent(&server, WORKERS);
        settle(&server, "with a silent visitor for each worker");
        let mut quick: Vec<_> =
            (1..=20).map(|number| server.visitor(&format!("quick visitor {number}"))).collect();
        for visitor in &mut quick {
            visitor.send(REQUEST);
        }
        settle(&server, "with twenty more visitors");
        drop(silent);
        for visitor in &mut quick {
            let answer = visitor.answer("after the silent visitors had left");
            if answer.status != 200 {
                check.fail(format!("{} got {}", visitor.connection.name(), answer.status));
            }
        }
    }

    #[test]
    fn the_first_to_come_is_the_first_to_be_served() {
        let check = check!("03-pool");
        check.suspect("last-come-first-served");
        let server = check.server(&["1"]);
        let mut busy = in_the_middle(&server, "busy visitor", 1);
        settle(&server, "with one worker and one visitor");
        let count = QUEUE + 3;
        let mut waiting = Vec::new();
        for number in 1..=count {
            let mut visitor = server.visitor(&format!("waiting visitor {number}"));
            visitor.send(&REQUEST[..20]);
            // Each has taken its place before the next one comes.
            settle(&server, "with one worker, and one visitor after the other");
            waiting.push(visitor);
        }
        busy[0].send(&REQUEST[20..]);
        expect_page(&server, &mut busy[0], "in the middle of its request");
        for (index, visitor) in waiting.iter_mut().enumerate() {
            let number = index + 1;
            settle(&server, "with one worker, and others waiting");
            // Where the system doesn't tell, the answer below does.
            let doing = server.program.doing();
            let with =
                |number: &usize| doing.contains(&format!("waiting visitor {number} to send"));
            if let Some(with) = (1..=count).find(with).filter(|with| *with != number) {
                check.fail(format!(
                    "{count} visitors had come one after the other, and were waiting for the only worker; when it was the \
                     turn of waiting visitor {number}, it was with waiting visitor {with}"
                ));
            }
            visitor.send(&REQUEST[20..]);
            let when = format!("when it was the turn of waiting visitor {number} of {count}");
            expect_page(&server, visitor, &when);
        }
    }

    #[test]
    fn the_silent_are_not_given_up() {
        let check = check!("03-pool");
        check.suspect("gives-up-the-silent");
        let server = check.server(ARGUMENTS);
        let mut silent = silent(&server, WORKERS + QUEUE);
        settle(&server, "with silent visitors for all workers and in the queue");
        std::thread::sleep(LONGER_THAN_A_SECOND);
        // On a busy machine, a worker that gives them up may have woken up, and not yet run.
        settle(&server, "with visitors who have said nothing for a second");
        for visitor in &mut silent {
            if visitor.connection.readable_within(Duration::ZERO) {
                let name = visitor.connection.name();
                server.fail_seeing(&format!(
                    "the {name} said nothing for a second, and was hung up on"
                ));
            }
        }
        for visitor in &mut silent {
            visitor.send(REQUEST);
            expect_page(&server, visitor, "after it had said nothing for a second");
        }
    }

    #[test]
    fn a_bug_loses_one_visitor() {
        let check = check!("03-pool");
        check.suspect("panic-ends-the-worker");
        let server = check.server(ARGUMENTS);
        settle(&server, "with nobody there");
        let before = threads(&server).len();
        for _ in 0..2 * WORKERS {
            let mut unlucky = server.visitor("unlucky visitor");
            unlucky.send(b"GET /panic HTTP/1.1\r\n\r\n");
            let _ = server.program.settled();
            // What has become of the worker?
            check.suspect(if server.program.exit_status().is_some() {
                "panic-ends-everything"
            } else if threads(&server).len() < before {
                "panic-ends-the-worker"
            } else {
                "connection-kept-open"
            });
            unlucky.end("after it met a bug");
        }
        check.suspect("panic-ends-the-worker");
        server.still_serves("after six visitors met a bug");
        serves_at_once(
            &server,
            WORKERS,
            "after six visitors met a bug, with three visitors at once",
        );
    }

    #[test]
    fn bugs_while_others_are_served() {
        let check = check!("03-pool");
        check.suspect("panic-ends-the-worker");
        let server = check.server(ARGUMENTS);
        let mut present = in_the_middle(&server, "present visitor", 1);
        settle(&server, "with one visitor in the middle of its request");
        let before = threads(&server);
        let mut unlucky: Vec<_> = (1..=WORKERS + QUEUE)
            .map(|number| server.visitor(&format!("unlucky visitor {number}")))
            .collect();
        for visitor in &mut unlucky {
            visitor.send(b"GET /panic HTTP/1.1\r\n\r\n");
        }
        for visitor in &mut unlucky {
            visitor.end("after it met a bug, as six others did");
        }
        present[0].send(&REQUEST[20..]);
        let when = "in the middle of its request, while seven others met a bug";
        expect_page(&server, &mut present[0], when);
        let when = "after seven visitors met a bug, with three visitors at once";
        serves_at_once(&server, WORKERS, when);
        settle(&server, when);
        let new = threads(&server).difference(&before).count();
        if new > 0 {
            check.suspect("a-thread-for-a-visitor");
            check.fail(format!(
                "after seven visitors met a bug your program has {new} threads that weren't there before the first of them: all \
                 workers are started at the beginning"
            ));
        }
    }

    #[test]
    fn a_rude_visitor_changes_nothing() {
        let check = check!("03-pool");
        check.suspect("gone-visitor-ends-it");
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

    #[test]
    fn who_leaves_while_it_waits_ends_nothing() {
        let check = check!("03-pool");
        check.suspect("gone-visitor-ends-it");
        let server = check.server(ARGUMENTS);
        let mut busy = in_the_middle(&server, "busy visitor", WORKERS);
        settle(&server, "with as many visitors as workers");
        let waiting = silent(&server, 2 * QUEUE);
        settle(&server, "with the queue full, and more in the backlog");
        for (number, visitor) in waiting.into_iter().enumerate() {
            match number % 2 {
                0 => visitor.connection.reset(),
                _ => drop(visitor),
            }
        }
        let when = "after eight visitors had left the queue and the backlog";
        for visitor in busy.iter_mut().rev() {
            visitor.send(&REQUEST[20..]);
            expect_page(&server, visitor, when);
        }
        serves_at_once(&server, WORKERS, when);
    }

    #[test]
    fn without_a_descriptor_it_rests() {
        let check = check!("03-pool");
        check.suspect("accept-that-fails-ends-it");
        // Three and the listener: there is room for five visitors, and the others have to wait at the door.
        let server = server_within(&check, "ulimit -n 9", ARGUMENTS);
        server.still_serves("with nine descriptors");
        let mut silent = silent(&server, 12);
        let when = "with nine descriptors and twelve silent visitors";
        if let Err(trouble) = server.program.settled() {
            if let Trouble::Spinning = trouble {
                check.suspect("no-pause-when-accept-fails");
            }
            check.fail_for(&format!("{when}, your program was to rest"), &trouble);
        }
        for visitor in &mut silent {
            visitor.send(REQUEST);
            expect_page(&server, visitor, &format!("{when}, who speak one after the other"));
        }
        drop(silent);
        server.still_serves("when there were descriptors again");
        serves_at_once(&server, WORKERS, "when there were descriptors again");
    }

    #[test]
    fn without_room_for_a_worker_it_says_so() {
        let check = check!("03-pool");
        check.suspect("worker-that-cannot-be-started");
        if !cfg!(target_os = "linux") {
            return visitors::skipped("only Linux limits a program's address space in this way");
        }
        let when = "with no room for the stacks of a thousand workers";
        let expected = format!("{when}, your program was to end with an error");
        let mut trouble = None;
        for _ in 0..STARTS {
            // A thousand stacks of 2 MiB have no room in 200.
            let program = within(&check, "ulimit -v 200000", &["1000"]);
            let ended = program.ended();
            if matches!(&ended, Ok(status) if status.code() == Some(1)) {
                return;
            }
            let met = ended.err().or_else(|| program.ended_with()).expect("it has ended");
            let by_itself = had_no_room_for_itself(&met);
            trouble = Some(met);
            if !by_itself {
                break;
            }
        }
        check.fail_for(&expected, &trouble.expect("it was tried"));
    }

    #[test]
    fn nothing_is_kept() {
        let check = check!("03-pool");
        check.suspect("keeps-those-who-left");
        let server = check.server(ARGUMENTS);
        server.keeps_nothing(A_LOT, "quick visitors", |_| {
            (0..A_LOT).for_each(|_| a_short_visit(&server));
            (0..5).for_each(|_| a_rude_visit(&server));
        });
    }
}

mod stop {
    use super::*;
    use std::ffi::OsStr;
    use std::io::ErrorKind;
    use std::os::unix::process::ExitStatusExt;
    use std::thread;
    use std::time::Instant;

    use visitors::program::{LOOK_EVERY, Watch};
    use visitors::tcp;

    /// Whoever isn't waited for, but given a fixed time to finish, takes longer than that.
    const LONGER_THAN_A_GRACE: Duration = Duration::from_secs(4);

    /// Naps are to be short. On a busy machine a short one takes longer, but not so much.
    const LONGER_THAN_A_SHORT_NAP: Duration = Duration::from_secs(3);

    /// How often to try whether the door is closed: two seconds, where it isn't.
    const TRIES: usize = 100;

    /// A server that connects before it sets its flag goes to sleep again only now and then. So its pause between the two is
    /// made longer; where that can't be done, it has to be tried often.
    const ROUNDS: usize = 12;

    /// Sends SIGTERM, and holds back the thread that hears it as soon as it has connected, until all others have done
    /// what they can do.
    mod signal_and_hold {
        use super::*;

        #[cfg(not(target_os = "linux"))]
        pub fn who_has_connected(server: &Server<'_>) -> bool {
            server.program.signal(Signal::SIGTERM);
            false
        }

        /// False where it couldn't be held, or hasn't connected.
        #[cfg(target_os = "linux")]
        pub fn who_has_connected(server: &Server<'_>) -> bool {
            use nix::sys::ptrace::{self, Options};
            use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
            use nix::unistd::Pid;

            let pid = server.program.pid();
            let hears = |thread: &String| call_of(pid, thread) == Some("rt_sigtimedwait");
            let thread = threads(server).into_iter().find(hears);
            let thread = thread.and_then(|thread| thread.parse().ok()).map(Pid::from_raw);
            let traced = thread.filter(|thread| {
                ptrace::seize(*thread, Options::PTRACE_O_TRACESYSGOOD).is_ok()
                    && ptrace::interrupt(*thread).is_ok()
            });
            server.program.signal(Signal::SIGTERM);
            let Some(thread) = traced else { return false };
            let mut connects = 0;
            let mut watch = Watch::new(&server.program);
            while connects < 2 {
                match waitpid(thread, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)) {
                    Ok(WaitStatus::StillAlive) => {
                        if watch.trouble().is_some() {
                            break;
                        }
                        thread::sleep(LOOK_EVERY / 20);
                        continue;
                    }
                    Ok(WaitStatus::PtraceSyscall(_)) => {
                        // Once when the call begins, and once when it's over.
                        let connect = call_of(pid, &thread.to_string()) == Some("connect");
                        connects += usize::from(connect);
                    }
                    Ok(WaitStatus::PtraceEvent(..) | WaitStatus::Stopped(..)) => {}
                    // It has ended.
                    _ => return false,
                }
                if connects < 2 && ptrace::syscall(thread, None).is_err() {
                    break;
                }
            }
            if connects == 2 {
                wait_for_the_others(server, thread);
            }
            if ptrace::detach(thread, None).is_err() {
                // It isn't stopped: it sleeps, or was ended with all the others.
                let _ = ptrace::interrupt(thread);
                let _ = waitpid(thread, Some(WaitPidFlag::__WALL));
                let _ = ptrace::detach(thread, None);
            }
            connects == 2
        }

        /// The name of the call in which a thread is, or from which it is coming back.
        #[cfg(target_os = "linux")]
        fn call_of(pid: i32, thread: &str) -> Option<&'static str> {
            let call = fs::read_to_string(format!("/proc/{pid}/task/{thread}/syscall")).ok()?;
            let number = call.split_whitespace().next()?.parse().ok()?;
            visitors::calls::find(number).map(|call| call.name)
        }

        /// Until all of them sleep or have ended, and none has moved since the last look.
        #[cfg(target_os = "linux")]
        fn wait_for_the_others(server: &Server<'_>, held: nix::unistd::Pid) {
            let pid = server.program.pid();
            let rests = |thread: &String| {
                let stat = fs::read_to_string(format!("/proc/{pid}/task/{thread}/stat"));
                let stat = stat.unwrap_or_default();
                let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
                *thread == held.to_string() || matches!(state, None | Some('S' | 'Z' | 'X'))
            };
            let deadline = Instant::now() + PATIENCE;
            let mut before = None;
            while Instant::now() < deadline {
                let now = Snapshot::of(pid);
                if threads(server).iter().all(rests) && now == before {
                    break;
                }
                before = now;
                thread::sleep(LOOK_EVERY * 2);
            }
        }
    }

    /// Gives the server the time to do whatever it does now, be it to end.
    fn settle_or_end(server: &Server<'_>) {
        let _ = server.program.settled();
    }

    /// The server has to end with status 0.
    #[track_caller]
    fn ends_well(server: &Server<'_>, when: &str) {
        let check = server.check;
        let trouble = match server.program.ended() {
            Ok(status) if status.success() => return,
            Ok(_) => server.program.ended_with().expect("it has ended"),
            Err(trouble) => trouble,
        };
        // What it looks like says more than where in the check it happened.
        let words = trouble.to_string();
        if words.contains("signal: 15") {
            check.suspect("signal-not-blocked");
        } else if let Trouble::Ended { .. } = trouble {
            check.suspect("ends-with-an-error");
        } else if let Trouble::Spinning = trouble {
            check.suspect("asks-again-and-again");
        } else if words.contains("waits for the next visitor to connect") {
            // It came out of `accept`, took its own connection for a visitor, and went back.
            let own_visit = server.program.stderr().iter().any(|line| line.contains("hung up"));
            let _late = Connection::connect(server.address, "late visitor");
            let wakes = server.program.ended().is_ok();
            let (cause, seen) = match (own_visit, wakes) {
                (true, _) => {
                    ("connects-before-the-flag", "it had taken its own connection for a visitor's")
                }
                (false, true) => ("nobody-wakes-accept", "one more visitor woke it, and it ended"),
                (false, false) => ("goes-on-accepting", "one more visitor didn't make it end"),
            };
            check.suspect(cause);
            check.fail(format!(
                "{when}, it was to end, but your program {}; {seen}",
                words.trim_start_matches("it ")
            ));
        }
        check.fail_for(&format!("{when}, your program was to end"), &trouble);
    }

    /// Tells the server to stop, and waits until it has done what it can do.
    #[track_caller]
    fn is_told(server: &Server<'_>, when: &str) {
        server.program.signal(Signal::SIGTERM);
        if let Err(trouble) = server.program.settled() {
            match trouble {
                Trouble::Spinning => server.check.suspect("asks-again-and-again"),
                Trouble::Ended { status, .. } if status.to_string().contains("signal: 15") => {
                    server.check.suspect("signal-not-blocked");
                }
                _ => {}
            }
            server.check.fail_for(&format!("{when}, your program was to wait for them"), &trouble);
        }
    }

    /// Whether its listener is open, without a visit. True where the system doesn't tell.
    fn listens(server: &Server<'_>) -> bool {
        let sockets = tcp::of_port(server.address.port());
        sockets.is_empty() || sockets.iter().any(|socket| socket.remote.port() == 0)
    }

    /// Whoever comes from now on has to be refused.
    #[track_caller]
    fn refuses(server: &Server<'_>, when: &str) {
        let refused = (0..TRIES).any(|_| {
            let late = Connection::connect(server.address, "late visitor");
            let refused =
                matches!(late, Err(error) if error.kind() == ErrorKind::ConnectionRefused);
            if !refused {
                thread::sleep(LOOK_EVERY);
            }
            refused
        });
        if !refused {
            let address = server.address;
            server.fail_seeing(&format!("{when}, late visitors can still connect to {address}"));
        }
    }

    #[rstest]
    #[case::four(4)]
    #[case::sixty(60)]
    fn visitors_are_served_at_once(#[case] count: usize) {
        let check = check!("03-stop");
        check.suspect("one-after-the-other");
        let server = check.server(&[]);
        let silent = silent(&server, 1);
        serves_at_once(&server, count, &format!("with {count} visitors at once"));
        drop(silent);
        server.still_serves("after all of them");
    }

    #[test]
    fn who_was_served_is_hung_up_on() {
        let check = check!("03-stop");
        check.suspect("connection-kept-open");
        let server = check.server(&[]);
        for number in 1..=4 {
            let mut visitor = server.visitor(&format!("quick visitor {number}"));
            visitor.send(REQUEST);
            expect_page_and_end(&server, &mut visitor, "one after the other");
        }
    }

    #[test]
    fn it_sleeps_while_there_is_nothing_to_do() {
        let check = check!("03-stop");
        check.suspect("asks-again-and-again");
        let server = check.server(&[]);
        settle(&server, "with nobody there");
        let mut present = in_the_middle(&server, "present visitor", 3);
        settle(&server, "with three visitors in the middle of their requests");
        is_told(&server, "after SIGTERM, with three visitors in the middle of their requests");
        for visitor in &mut present {
            visitor.send(&REQUEST[20..]);
            check.suspect("present-visitors-cut-off");
            expect_page(&server, visitor, "after SIGTERM, in the middle of its request");
        }
    }

    #[test]
    fn it_ends_when_nobody_is_there() {
        let check = check!("03-stop");
        check.suspect("nobody-wakes-accept");
        let server = check.server(&[]);
        server.still_serves("before the signal");
        settle(&server, "with nobody there");
        server.program.signal(Signal::SIGTERM);
        let began = Instant::now();
        ends_well(&server, "after SIGTERM, with nobody there");
        let seconds = began.elapsed().as_secs_f64();
        if seconds > LONGER_THAN_A_SHORT_NAP.as_secs_f64() {
            check.suspect("looks-too-seldom");
            check.fail(format!(
                "after SIGTERM, with nobody there, it took your program {seconds:.0} s to end"
            ));
        }
    }

    #[rstest]
    #[case::another_loopback("127.0.0.2:0")]
    #[case::any_address("0.0.0.0:0")]
    #[case::ipv6("[::1]:0")]
    #[case::any_ipv6_address("[::]:0")]
    fn it_ends_wherever_it_listens(#[case] address: &str) {
        let check = check!("03-stop");
        check.suspect("connects-to-another-address");
        let program = check.start(&[address]);
        if let Err(Trouble::Ended { last_words, .. }) = program.listening()
            && last_words.contains("can't listen on")
        {
            return visitors::skipped(last_words);
        }
        let server = serving(&check, program);
        server.still_serves("before the signal");
        settle(&server, "with nobody there");
        server.program.signal(Signal::SIGTERM);
        let when = format!("after SIGTERM, on {address}, with nobody there");
        if let Err(trouble) = server.program.ended() {
            check.fail_for(&format!("{when}, your program was to end"), &trouble);
        }
        ends_well(&server, &when);
    }

    #[test]
    fn it_ends_each_time() {
        let check = check!("03-stop");
        for round in 1..=ROUNDS {
            check.suspect("nobody-wakes-accept");
            let server = check.server(&[]);
            server.still_serves("before the signal");
            settle_or_end(&server);
            let held = signal_and_hold::who_has_connected(&server);
            check.suspect("connects-before-the-flag");
            let when = match held {
                true => {
                    "after SIGTERM, with a pause behind the connection that wakes `accept`".into()
                }
                false => format!("after SIGTERM, in round {round} of {ROUNDS}"),
            };
            ends_well(&server, &when);
            if held {
                // Once shows it all. Luck has to be tried more often.
                break;
            }
        }
    }

    #[rstest]
    #[case::one(1)]
    #[case::three(3)]
    #[case::twenty(20)]
    fn those_who_are_there_are_served(#[case] count: usize) {
        let check = check!("03-stop");
        check.suspect("present-visitors-cut-off");
        let server = check.server(&[]);
        let mut present: Vec<_> = (1..=count)
            .map(|number| server.visitor(&format!("present visitor {number}")))
            .collect();
        for visitor in &mut present {
            visitor.send_in_pieces(&REQUEST[..20], 1);
        }
        is_told(&server, "after SIGTERM, with visitors in the middle of their requests");
        let mut rest = &REQUEST[20..];
        if server.program.doing().contains("waits for time to pass") {
            // It naps until they are done, or it gives them a fixed time: a while will tell.
            let before = Snapshot::of(server.program.pid());
            thread::sleep(LONGER_THAN_A_GRACE);
            if Snapshot::of(server.program.pid()) == before {
                // That is no short nap. It may give them as long as `serve` waits for a silent visitor; but none of these is
                // silent for so long.
                check.suspect("gives-them-a-fixed-time");
                for _ in 0..2 {
                    present.iter_mut().for_each(|visitor| visitor.send(&rest[..1]));
                    rest = &rest[1..];
                    thread::sleep(LONGER_THAN_A_GRACE);
                }
            }
        }
        // The one who came last finishes first: it mustn't be the only one who is waited for.
        for visitor in present.iter_mut().rev() {
            visitor.send(rest);
            expect_page(&server, visitor, "after SIGTERM, in the middle of its request");
            drop(visitor.end("after its answer"));
        }
        check.suspect("waits-for-those-who-left");
        ends_well(&server, "after SIGTERM, when the last visitor was served");
    }

    #[test]
    fn the_last_of_them_is_waited_for() {
        let check = check!("03-stop");
        check.suspect("present-visitors-cut-off");
        let server = check.server(&[]);
        let mut present = in_the_middle(&server, "present visitor", 4);
        settle(&server, "with four visitors in the middle of their requests");
        is_told(&server, "after SIGTERM, with four visitors in the middle of their requests");
        // In no order.
        for index in [2, 0, 2, 0] {
            let mut visitor = present.remove(index.min(present.len() - 1));
            visitor.send(&REQUEST[20..]);
            let left = present.len();
            let when = format!("after SIGTERM, with {left} more in the middle of their requests");
            expect_page(&server, &mut visitor, &when);
            drop(visitor.end("after its answer"));
            settle_or_end(&server);
        }
        check.suspect("waits-for-those-who-left");
        ends_well(&server, "after SIGTERM, when the last visitor was served");
    }

    #[test]
    fn the_silent_are_present_too() {
        let check = check!("03-stop");
        check.suspect("present-visitors-cut-off");
        let server = check.server(&[]);
        let mut silent = silent(&server, 3);
        settle(&server, "with three silent visitors");
        is_told(&server, "after SIGTERM, with three silent visitors");
        for visitor in &mut silent {
            visitor.send(REQUEST);
            let when = "after SIGTERM, before which it had said nothing";
            expect_page(&server, visitor, when);
        }
        check.suspect("waits-for-those-who-left");
        ends_well(&server, "after SIGTERM, when three silent visitors had spoken");
    }

    #[test]
    fn who_hangs_up_after_the_signal_is_not_waited_for() {
        let check = check!("03-stop");
        check.suspect("present-visitors-cut-off");
        let server = check.server(&[]);
        let mut present = in_the_middle(&server, "present visitor", 3);
        settle(&server, "with three visitors in the middle of their requests");
        is_told(&server, "after SIGTERM, with three visitors in the middle of their requests");
        drop(present.remove(0));
        present.remove(0).connection.reset();
        settle_or_end(&server);
        present[0].send(&REQUEST[20..]);
        let when = "after SIGTERM, and after two others had hung up";
        expect_page(&server, &mut present[0], when);
        check.suspect("waits-for-those-who-left");
        ends_well(&server, "after SIGTERM, when two had hung up and one was served");
    }

    #[test]
    fn nobody_new_can_come() {
        let check = check!("03-stop");
        check.suspect("listener-left-open");
        let server = check.server(&[]);
        let mut present = server.visitor("present visitor");
        present.send_in_pieces(&REQUEST[..20], 1);
        is_told(&server, "after SIGTERM, with a visitor in the middle of its request");
        refuses(&server, "after SIGTERM, with a visitor in the middle of its request");
        check.suspect("present-visitors-cut-off");
        present.send(&REQUEST[20..]);
        expect_page(&server, &mut present, "after SIGTERM, and after a late visitor was refused");
        ends_well(&server, "after SIGTERM, when the present visitor was served");
    }

    #[rstest]
    #[case::for_want_of_a_descriptor(true)]
    #[case::at_the_same_moment(false)]
    fn who_is_in_the_backlog_is_not_left_waiting(#[case] no_descriptor: bool) {
        match no_descriptor {
            true => who_has_no_descriptor_is_not_left_waiting(),
            false => who_comes_with_the_signal_is_not_left_waiting(),
        }
    }

    fn who_has_no_descriptor_is_not_left_waiting() {
        let check = check!("03-stop");
        check.suspect("listener-left-open");
        check.suspect_where("your program ended", "present-visitors-cut-off");
        let server = server_within(&check, "ulimit -n 12", &[]);
        let mut present = silent(&server, 20);
        let when = "with twelve descriptors and twenty silent visitors";
        settle(&server, when);
        // There is no descriptor for these.
        let mut waiting = present.split_off(12);
        is_told(&server, &format!("after SIGTERM, {when}"));
        for visitor in &mut waiting {
            if let Err((trouble, _)) = visitor.connection.receive_all(&server.program) {
                let name = visitor.connection.name();
                let expected =
                    format!("after SIGTERM, {when}, the {name}, in the backlog, waits for the end");
                check.fail_for(&expected, &trouble);
            }
        }
        drop(present);
        ends_well(&server, &format!("after SIGTERM, {when}, when all had left"));
    }

    fn who_comes_with_the_signal_is_not_left_waiting() {
        let check = check!("03-stop");
        check.suspect("listener-left-open");
        let server = check.server(&[]);
        let mut present = server.visitor("present visitor");
        present.send_in_pieces(&REQUEST[..20], 1);
        settle(&server, "with a visitor in the middle of its request");
        // Whether these are accepted before the signal is heard is chance.
        server.program.stop();
        let mut waiting: Vec<_> = (1..=5)
            .map(|number| server.visitor(&format!("visitor {number} in the backlog")))
            .collect();
        for visitor in &mut waiting {
            visitor.send(REQUEST);
        }
        server.program.signal(Signal::SIGTERM);
        server.program.go_on();
        for visitor in &mut waiting {
            if let Err((trouble, bytes)) = visitor.connection.receive_all(&server.program) {
                let (name, so_far) = (visitor.connection.name(), so_far(&bytes));
                check.fail_for(
                    &format!("after SIGTERM, the {name} waits for an answer or the end ({so_far})"),
                    &trouble,
                );
            }
        }
        check.suspect("present-visitors-cut-off");
        present.send(&REQUEST[20..]);
        expect_page(&server, &mut present, "after SIGTERM, when others were in the backlog");
        ends_well(&server, "after SIGTERM, when the present visitor was served");
    }

    #[test]
    fn a_second_signal_changes_nothing() {
        let check = check!("03-stop");
        check.suspect("second-signal-cuts-off");
        let server = check.server(&[]);
        let mut present = in_the_middle(&server, "present visitor", 2);
        settle(&server, "with two visitors in the middle of their requests");
        is_told(&server, "after SIGTERM, with two visitors in the middle of their requests");
        check.suspect("second-signal-cuts-off");
        for _ in 0..2 {
            server.program.signal(Signal::SIGTERM);
            if let Err(trouble) = server.program.settled() {
                check.fail_for("after one more SIGTERM, your program was to wait", &trouble);
            }
        }
        for visitor in &mut present {
            visitor.send(&REQUEST[20..]);
            expect_page(&server, visitor, "after SIGTERM, sent three times");
        }
        ends_well(&server, "after SIGTERM, sent three times, when both visitors were served");
    }

    #[test]
    fn other_signals_stop_nothing() {
        let check = check!("03-stop");
        check.suspect("other-signals-stop-it");
        let server = check.server(&[]);
        let mut present = in_the_middle(&server, "present visitor", 1);
        settle(&server, "with a visitor in the middle of its request");
        for signal in [Signal::SIGCHLD, Signal::SIGWINCH, Signal::SIGURG, Signal::SIGCONT] {
            server.program.signal(signal);
            settle_or_end(&server);
            let when = format!("after {signal}");
            if let Some(trouble) = server.program.ended_with() {
                check.fail_for(&format!("{when}, your program was to go on"), &trouble);
            }
            if !listens(&server) {
                check.fail(format!("{when}, your program has closed its listener"));
            }
            server.still_serves(&when);
        }
        present[0].send(&REQUEST[20..]);
        expect_page(&server, &mut present[0], "after signals that mean nothing");
        server.still_serves("after signals that mean nothing");
    }

    #[test]
    fn ctrl_c_ends_it_on_the_spot() {
        ends_it_on_the_spot(Signal::SIGINT, "SIGINT (Ctrl-C)");
    }

    #[rstest]
    #[case::when_a_terminal_is_closed(Signal::SIGHUP)]
    #[case::of_an_alarm_clock(Signal::SIGALRM)]
    #[case::of_the_users(Signal::SIGUSR1)]
    fn other_signals_end_it_on_the_spot(#[case] signal: Signal) {
        ends_it_on_the_spot(signal, signal.as_str());
    }

    fn ends_it_on_the_spot(signal: Signal, name: &str) {
        let check = check!("03-stop");
        check.suspect("blocks-other-signals");
        if visitors::setup::ignores(signal) {
            return visitors::skipped(format!(
                "whatever is started here ignores {signal}: it runs in the background, or under nohup"
            ));
        }
        let server = check.server(&[]);
        server.still_serves("at the beginning");
        let _present = in_the_middle(&server, "present visitor", 1);
        settle(&server, "with a visitor in the middle of its request");
        server.program.signal(signal);
        let expected = format!(
            "after {name}, with a visitor in the middle of its request, your program was to end on the spot"
        );
        match server.program.ended() {
            Ok(status) if status.signal() == Some(signal as i32) => {}
            Ok(_) => {
                check.suspect("other-signals-stop-it");
                let trouble = server.program.ended_with().expect("it has ended");
                check.fail_for(&format!("{expected} by that signal"), &trouble);
            }
            Err(trouble) => {
                if !listens(&server) {
                    check.suspect("other-signals-stop-it");
                }
                check.fail_for(&expected, &trouble)
            }
        }
    }

    #[test]
    fn the_ones_served_before_are_no_burden() {
        let check = check!("03-stop");
        check.suspect("waits-for-those-who-left");
        let server = check.server(&[]);
        for _ in 0..20 {
            server.still_serves("before the signal");
        }
        let mut rude = server.visitor("rude visitor");
        rude.send(&REQUEST[..20]);
        rude.connection.reset();
        settle(&server, "after a rude visitor");
        server.program.signal(Signal::SIGTERM);
        ends_well(&server, "after SIGTERM, with twenty-one visitors gone");
    }

    #[test]
    fn a_rude_visitor_changes_nothing() {
        let check = check!("03-stop");
        check.suspect("gone-visitor-ends-it");
        let server = check.server(&[]);
        for _ in 0..3 {
            let mut rude = server.visitor("rude visitor");
            rude.send_in_pieces(&REQUEST[..20], 1);
            rude.connection.reset();
        }
        // The server sleeps while these come and go: they are gone before they are accepted.
        server.program.stop();
        for _ in 0..3 {
            server.visitor("rude visitor").connection.reset();
        }
        server.program.go_on();
        settle(&server, "after six rude visitors");
        serves_at_once(&server, 3, "after six rude visitors, with three visitors at once");
        server.program.signal(Signal::SIGTERM);
        ends_well(&server, "after SIGTERM, when all had gone");
    }

    #[test]
    fn without_a_descriptor_it_rests() {
        let check = check!("03-stop");
        check.suspect("accept-that-fails-ends-it");
        let server = server_within(&check, "ulimit -n 12", &[]);
        server.still_serves("with twelve descriptors");
        let mut silent = silent(&server, 20);
        let when = "with twelve descriptors and twenty silent visitors";
        if let Err(trouble) = server.program.settled() {
            if let Trouble::Spinning = trouble {
                check.suspect("no-pause-when-accept-fails");
            }
            check.fail_for(&format!("{when}, your program was to rest"), &trouble);
        }
        for visitor in &mut silent {
            visitor.send(REQUEST);
            expect_page(&server, visitor, &format!("{when}, who speak one after the other"));
        }
        server.still_serves("when there were descriptors again");
    }

    #[test]
    fn without_a_descriptor_it_stops() {
        let check = check!("03-stop");
        check.suspect("flag-not-looked-at-after-a-failure");
        let server = server_within(&check, "ulimit -n 12", &[]);
        let mut silent = silent(&server, 20);
        let when = "with twelve descriptors and twenty silent visitors";
        if let Err(trouble) = server.program.settled() {
            if let Trouble::Spinning = trouble {
                check.suspect("no-pause-when-accept-fails");
            } else {
                check.suspect("accept-that-fails-ends-it");
            }
            check.fail_for(&format!("{when}, your program was to rest"), &trouble);
        }
        is_told(&server, &format!("after SIGTERM, {when}"));
        refuses(&server, &format!("after SIGTERM, {when}"));
        // Two are with the server for sure.
        for visitor in &mut silent[..2] {
            visitor.send(REQUEST);
            expect_page(&server, visitor, &format!("after SIGTERM, {when}, to one of the first"));
        }
        drop(silent);
        ends_well(&server, "after SIGTERM, with twelve descriptors, when all had left");
    }

    /// On Linux, an `accept` that waits has a descriptor for the next visitor already. Here that's the last one, so that
    /// nobody else gets any, and `accept` doesn't fail.
    #[test]
    fn when_accept_has_the_last_descriptor_it_stops() {
        let check = check!("03-stop");
        check.suspect("wakes-without-a-descriptor");
        const LIMIT: usize = 12;
        let server = server_within(&check, &format!("ulimit -n {LIMIT}"), &[]);
        settle(&server, "with nobody there");
        let Ok(open) = fs::read_dir(format!("/proc/{}/fd", server.program.pid())) else {
            return visitors::skipped("only Linux tells how many descriptors a program has open");
        };
        // Whoever started it may have left it some, with higher numbers too.
        let number = |name: &OsStr| name.to_str().and_then(|name| name.parse::<usize>().ok());
        let below = open.flatten().filter_map(|entry| number(&entry.file_name()));
        let room = LIMIT.saturating_sub(below.filter(|number| *number < LIMIT).count() + 1);
        let mut present = silent(&server, room);
        let when = format!("with {room} silent visitors, and no descriptor left for anybody else");
        settle(&server, &when);
        server.program.signal(Signal::SIGTERM);
        // Nobody tries to connect: that would wake `accept`.
        if (0..TRIES).all(|_| {
            thread::sleep(LOOK_EVERY);
            listens(&server)
        }) {
            server.fail_seeing(&format!("after SIGTERM, {when}, the listener is still open"));
        }
        check.suspect("present-visitors-cut-off");
        for visitor in &mut present {
            visitor.send(REQUEST);
            expect_page(&server, visitor, &format!("after SIGTERM, {when}"));
        }
        ends_well(&server, &format!("after SIGTERM, {when}, when all had their answers"));
    }

    #[test]
    fn without_a_thread_the_visitor_is_sent_away() {
        let check = check!("03-stop");
        check.suspect("thread-that-cannot-be-had");
        if !cfg!(target_os = "linux") {
            return visitors::skipped("only Linux limits a program's address space in this way");
        }
        for starts_left in (0..STARTS).rev() {
            let Err(trouble) = without_a_thread(&check) else { return };
            if starts_left == 0 || !had_no_room_for_itself(&trouble) {
                check.fail_for(&format!("{WITHOUT_A_THREAD}, your program was to go on"), &trouble);
            }
        }
    }

    const WITHOUT_A_THREAD: &str =
        "with sixty visitors, and no room for the stacks of so many threads";

    /// An error: it didn't go on with its visitors.
    fn without_a_thread(check: &Check) -> Result<(), Trouble> {
        let when = WITHOUT_A_THREAD;
        // There is room for the stacks of some thirty threads.
        let server = server_within(check, "ulimit -v 80000", &[]);
        server.still_serves("with little room for stacks");
        let mut silent = silent(&server, 60);
        server.program.settled()?;
        let inside = accepted(&server, 60);
        let waiting = silent
            .iter()
            .filter(|visitor| !visitor.connection.readable_within(Duration::ZERO))
            .count();
        if inside == silent.len() {
            let threads = server.program.usage().map_or(0, |usage| usage.threads);
            if threads > silent.len() {
                visitors::skipped("there was room for all the threads");
                return Ok(());
            }
            check.fail(format!("{when}, there are {threads} threads, and nobody was sent away"));
        }
        if waiting != inside {
            check.fail(format!(
                "{when}, {inside} visitors are with the program, and {waiting} wait for an answer"
            ));
        }
        silent[0].send(REQUEST);
        expect_page(&server, &mut silent[0], when);
        drop(silent);
        settle(&server, "when sixty visitors had left");
        server.still_serves("when there was room for stacks again");
        server.program.signal(Signal::SIGTERM);
        ends_well(&server, "after SIGTERM, when there had been no thread for some visitors");
        Ok(())
    }

    #[test]
    fn no_stack_is_kept() {
        let check = check!("03-stop");
        check.suspect("keeps-every-join-handle");
        let server = check.server(&[]);
        let visits = |count: usize| {
            (0..count).for_each(|_| a_short_visit(&server));
            settle(&server, "after many visitors");
            // None where the system doesn't tell. A stack is two rows: itself, and the page that guards it.
            let maps = fs::read_to_string(format!("/proc/{}/maps", server.program.pid()));
            maps.unwrap_or_default().lines().count()
        };
        let before = visits(50);
        let after = visits(200);
        if after > before + 100 {
            check.fail(format!(
                "200 visitors came and went, and your program has {} parts of memory more than before them, as many as stacks",
                after - before
            ));
        }
    }

    #[test]
    fn nothing_is_kept() {
        let check = check!("03-stop");
        check.suspect("keeps-those-who-left");
        let server = check.server(&[]);
        server.keeps_nothing(A_LOT, "quick visitors", |_| {
            (0..A_LOT).for_each(|_| a_short_visit(&server));
            (0..5).for_each(|_| a_rude_visit(&server));
        });
    }
}
