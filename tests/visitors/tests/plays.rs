//! Several visitors at a time: who stands before whom, and when it's over.

mod servers;

use std::io::Read;
use std::time::{Duration, Instant};

use rstest::rstest;

use servers::{PATIENCE, concurrent, good, nobody, sequential};
use visitors::cast::Cast;
use visitors::cast::Who::{self, Crowd, Greedy, Quick, Rude, Silent, Slow};
use visitors::play::LONGEST;
use visitors::visit::{Doing, Ending, Visit};

const SHORT: Duration = Duration::from_millis(1500);

fn endings(visits: &[Visit]) -> Vec<&Ending> {
    visits.iter().map(|visit| &visit.ending).collect()
}

/// A cast that comes in any other order, or whose members let the next one in by giving up, fails
/// this now and then: so it's played several times, side by side.
#[test]
fn behind_the_silent_one_nobody_is_served_and_before_it_everyone() {
    let plays: Vec<_> = (0..8)
        .map(|_| {
            let cast = Cast(vec![Quick, Quick, Silent, Quick, Quick, Quick]);
            cast.play(sequential(good), SHORT).expect("a thread")
        })
        .collect();
    let answered = &Ending::Answered { status: 200 };
    let gave_up = &Ending::GaveUp;
    for play in plays {
        let visits = play.end();
        let expected = [answered, answered, &Ending::Left, gave_up, gave_up, gave_up];
        assert_eq!(endings(&visits), expected);
    }
}

#[test]
fn on_a_server_that_serves_all_at_once_only_the_silent_one_waits() {
    let address = concurrent(good);
    let cast = Cast(vec![Quick, Slow, Silent, Quick, Greedy, Quick]);
    let began = Instant::now();
    let visits = cast.play(address, LONGEST).expect("a thread").end();
    // It ends when all who want an answer have it, long before its time.
    assert!(began.elapsed() < PATIENCE);
    for visit in &visits {
        let expected = match visit.who {
            Silent => Ending::Left,
            _ => Ending::Answered { status: 200 },
        };
        assert_eq!(visit.ending, expected, "{visit:?}");
    }
    let order: Vec<Who> = visits.iter().map(|visit| visit.who).collect();
    assert_eq!(order, cast.0);
}

#[test]
fn where_everyone_is_refused_it_is_over_at_once() {
    let (address, _port) = nobody();
    let cast = Cast(vec![Quick, Silent, Rude, Crowd(3)]);
    let began = Instant::now();
    let visits = cast.play(address, LONGEST).expect("a thread").end();
    assert!(began.elapsed() < PATIENCE);
    assert_eq!(endings(&visits), [&Ending::Refused; 4]);
}

#[rstest]
#[case(&[Silent])]
#[case(&[Crowd(10), Silent])]
fn those_who_wait_for_nothing_stay_to_the_end_and_leave(#[case] cast: &[Who]) {
    let address = concurrent(good);
    let began = Instant::now();
    let limit = Duration::from_secs(2);
    let play = Cast(cast.to_vec()).play(address, limit).expect("a thread");
    let visits = play.end();
    assert!(began.elapsed() >= limit);
    assert!(began.elapsed() < limit + PATIENCE);
    assert!(visits.iter().all(|visit| visit.ending == Ending::Left), "{visits:?}");
}

#[test]
fn the_whole_is_bounded_whatever_the_server_does() {
    // Says nothing, never ends; nobody's visit ends by itself.
    let address =
        concurrent(|mut stream| while stream.read(&mut [0]).is_ok_and(|count| count > 0) {});
    let cast = Cast(vec![Quick, Slow, Silent, Greedy, Rude, Crowd(20), Quick]);
    let limit = Duration::from_secs(2);
    let began = Instant::now();
    let visits = cast.play(address, limit).expect("a thread").end();
    assert!(began.elapsed() >= limit);
    assert!(began.elapsed() < limit + PATIENCE);
    let (left, gave_up) = (&Ending::Left, &Ending::GaveUp);
    let expected = [gave_up, gave_up, left, gave_up, gave_up, left, gave_up];
    assert_eq!(endings(&visits), expected);
}

#[test]
fn a_play_that_is_called_off_is_over_and_can_be_seen_to_be() {
    let address = sequential(good);
    let play = Cast(vec![Silent, Quick]).play(address, LONGEST).expect("a thread");
    let began = Instant::now();
    // Both are there, and the quick one waits for its answer.
    let waits =
        |doing| move |track: &[(Duration, Doing)]| track.last().is_some_and(|l| l.1 == doing);
    loop {
        let scenes = play.scenes();
        if waits(Doing::Silent)(&scenes[0].track) && waits(Doing::Waiting)(&scenes[1].track) {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{scenes:?}");
        assert!(!play.wait(Duration::from_millis(5)));
    }
    play.call_off();
    assert!(play.wait(PATIENCE));
    // The last scene stays to be drawn.
    assert_eq!(play.scenes()[1].track.last().map(|last| last.1), Some(Doing::GaveUp));
    assert_eq!(endings(&play.end()), [&Ending::Left, &Ending::GaveUp]);
}
