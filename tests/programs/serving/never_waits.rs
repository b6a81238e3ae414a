//! The promises of the programs from chapter 6 on: no visitor can make them wait, however slowly it reads.

use lens::record::Outcome;
use visitors::calls::family;

use crate::serving::{self, LARGE, Server};
use crate::{CHAPTER, PROGRAM, WAITS_IN, start};

#[test]
fn one_line_waits_even_with_a_greedy_visitor() {
    let server = start();
    let Some(lens) = server.lens() else { return };
    let mut greedy = server.visitor("greedy visitor");
    greedy.send(LARGE).unwrap();
    server.settled();
    server.still_serves();
    serving::expect_large_page(&server, &mut greedy);
    server.settled();
    assert_eq!(lens.waits_only_in(&[WAITS_IN]), Ok(()));
}

#[test]
fn a_greedy_visitor_that_reads_nothing_is_no_burden() {
    let server = start();
    let mut greedy = server.visitor("greedy visitor");
    greedy.send(LARGE).unwrap();
    // Asked about room all the time, and there is none: that must cost nothing.
    server.does_nothing();
    server.still_serves();
    serving::expect_large_page(&server, &mut greedy);
    drop(greedy);
    server.does_nothing();
}

#[test]
fn hundreds_of_others_are_unharmed() {
    let server = start();
    let mut greedy = server.visitors("greedy visitor", 20, LARGE);
    serving::visitors_are_served_in_reverse_order(&server, 300);
    for visitor in &mut greedy {
        serving::expect_large_page(&server, visitor);
    }
}

#[test]
fn at_most_64_kib_are_queued_for_who_does_not_read() {
    const GREEDY: usize = 200;
    let server = start();
    server.still_serves();
    let Some(before) = server.program.usage() else {
        return visitors::skipped("this system doesn't tell what a program uses");
    };
    let greedy = server.visitors("greedy visitor", GREEDY, LARGE);
    server.settled();
    let now = server.program.usage().expect("it runs").resident;
    // Besides each queue, some for the rest; the whole pages would be 1.6 GiB.
    let most = GREEDY as u64 * (64 + 4) * 1024 + (1 << 20);
    let grown = now.saturating_sub(before.resident);
    assert!(grown <= most, "{grown} bytes for {GREEDY} visitors who don't read");
    // And it's let go of with them.
    drop(greedy);
    server.settled();
    server.still_serves();
}

#[test]
fn a_false_readiness_makes_nobody_wait() {
    let server = start();
    let Some((lens, mut silent)) = serving::under_a_lens_that_lies(&server) else { return };
    let mut greedy = server.visitor("greedy visitor");
    greedy.send(LARGE).unwrap();
    // Until there is no room any more: to say that there is will be a lie.
    server.settled();
    let no = Outcome::Error("EAGAIN".to_owned());
    let said_no = |name: &str| {
        lens.calls().iter().any(|call| family(&call.call) == name && call.outcome == no)
    };
    // Each of them is a few lies. Some room is left although poll says that there is none: it has to
    // be quite a lot before poll says that there is some.
    for _ in 0..100 {
        server.still_serves();
        if said_no("write") {
            break;
        }
    }
    server.settled();
    // Nobody is at the door while somebody inside speaks.
    let mut last = silent.pop().expect("three are here");
    last.send(&serving::REQUEST[..20]).unwrap();
    server.settled();
    last.send(&serving::REQUEST[20..]).unwrap();
    server.expect_page(&mut last);
    server.settled();
    assert_eq!(lens.waits_only_in(&[WAITS_IN]), Ok(()));
    // Or the lens hasn't lied, and this test shows nothing.
    for name in ["read", "accept", "write"] {
        assert!(said_no(name), "no {name} was refused");
    }
    serving::expect_large_page(&server, &mut greedy);
}

/// One answer at a time: what comes while a large one is sent is neither answered in the middle of it nor
/// taken for a hang-up.
#[test]
fn a_large_page_arrives_whole_whatever_comes_meanwhile() {
    let server = start();
    let mut finished = server.visitor("visitor who has finished sending");
    finished.send(LARGE).unwrap();
    server.settled();
    finished.finish_sending();
    server.settled();
    serving::expect_large_page(&server, &mut finished);
    let mut eager = server.visitor("eager visitor");
    eager.send(LARGE).unwrap();
    server.settled();
    for more in [serving::REQUEST, &[b'x'; 20_000]] {
        // A server that reads nothing meanwhile is right, too.
        eager.send(more).unwrap();
        server.settled();
    }
    serving::expect_large_page(&server, &mut eager);
}

/// The last one who found a descriptor is inside, and nobody is at the door: there is nothing to try again.
#[test]
fn a_full_house_with_nobody_at_the_door_is_quiet() {
    let server = Server::start_with_few_descriptors(PROGRAM, CHAPTER, 20);
    let refusals = || {
        let said = server.program.stderr();
        said.iter().filter(|line| line.contains("not accepted")).count()
    };
    let mut inside = Vec::new();
    while refusals() == 0 && inside.len() < 30 {
        // Whoever has said something is let in at once.
        let mut visitor = server.visitor("visitor");
        visitor.send(&serving::REQUEST[..1]).unwrap();
        inside.push(visitor);
        server.settled();
    }
    let before = refusals();
    server.does_nothing();
    assert!(refusals() <= before + 1, "{} lines say that nobody was let in", refusals());
    inside.pop();
    server.still_serves();
}
