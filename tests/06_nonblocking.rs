//! The graded checks of chapter 6. The judged program is the server; the check plays its visitors, above
//! all those who don't read.

use std::io::Read;
use std::time::Duration;

use grader::bytes::{
    all_are_in, between, between_when_still, compare, expect, expect_end, narrow_visitor,
    nothing_more, read_exactly, send, settle, visitor,
};
use grader::check;
use grader::check::{Check, Server, shown};
use lens::Lens;
use lens::record::{Call, Outcome};
use rstest::rstest;
use visitors::calls::family;
use visitors::connection::{Connection, End, Received};
use visitors::program::PATIENCE;

/// The most that the exercises keep for a visitor, in bytes.
const MOST: usize = 64 * 1024;

/// The bytes number `from` and following of something long in which nothing comes twice.
fn words(from: usize, count: usize) -> Vec<u8> {
    let block = |number: usize| {
        let mixed = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_be_bytes()
    };
    let blocks = from / 8..(from + count).div_ceil(8);
    let mut bytes: Vec<u8> = blocks.flat_map(block).collect();
    bytes.drain(..from % 8);
    bytes.truncate(count);
    bytes
}

/// The program's memory in use, in bytes. Where nobody can tell, 0.
fn memory(server: &Server<'_>) -> u64 {
    server.program.usage().map_or(0, |usage| usage.resident)
}

/// Pieces that don't go well with whoever makes text of bytes, or looks for lines: each by itself, and all values together.
fn pieces_of_all_kinds() -> Vec<Vec<u8>> {
    let all: Vec<u8> = (0..=u8::MAX).collect();
    let pieces =
        [&b"\0"[..], b" ", b"\r\n", b"\n", b"0", b"caf\xe9", b"\xc3", b"\xa9", b"\0\0", &all];
    pieces.map(<[u8]>::to_vec).to_vec()
}

/// Fails if a wait has come back with nothing since the lens was put on: somewhere it's told to wait for a while only.
#[track_caller]
fn never_waits_in_vain(server: &Server<'_>, lens: Option<&Lens>, when: &str) {
    let Some(lens) = lens else { return };
    let in_vain = |call: &&Call| {
        let waits_for_many = ["select", "poll", "epoll_wait"].contains(&family(&call.call));
        waits_for_many && call.outcome == Outcome::Result(0)
    };
    let times = lens.calls().iter().filter(in_vain).count();
    if times > 0 {
        server.check.suspect("naps-between-looks");
        server.check.fail(format!(
            "{when}, your program waited for a while only: {times} times poll came back, and nobody was ready"
        ));
    }
}

/// Fails if the program needs much more memory than before. `much` is in bytes.
#[track_caller]
fn takes_no_more(server: &Server<'_>, before: u64, much: u64, when: &str) {
    let grown = memory(server).saturating_sub(before);
    if grown > much {
        server.check.fail(format!("{when}, your program takes {} KiB more", grown / 1024));
    }
}

/// The program has to say on stderr that this visitor is lost: that is what `main` makes of an error.
#[track_caller]
fn says_that_it_is_lost(server: &Server<'_>, number: usize, when: &str) {
    let begin = format!("visitor {number}: ");
    let lost = format!("{begin}lost: ");
    if server.program.says(|line| line.starts_with(&lost)).is_err() {
        let words = server.program.stderr();
        let said = words.iter().rev().find(|line| line.starts_with(&begin));
        let said = said.map_or("nothing", String::as_str);
        server.check.suspect("error-not-returned");
        server.check.fail(format!("{when}, its error was to be returned, so that the program says {lost:?}; it said {said:?}"));
    }
}

mod writer {
    use super::*;

    /// A speaker, listeners who don't read, and a good listener who hears all after them.
    struct Room<'a> {
        server: &'a Server<'a>,
        speaker: Connection,
        stuck: Vec<Connection>,
        good: Connection,
        /// How many bytes have been said.
        said: usize,
    }

    impl<'a> Room<'a> {
        #[track_caller]
        fn new(server: &'a Server<'a>, stuck: usize) -> Self {
            let speaker = visitor(server, "speaker");
            let name = |number| match stuck {
                1 => "stuck listener".to_owned(),
                _ => format!("stuck listener {number}"),
            };
            let stuck_ones = (1..=stuck).map(|number| narrow_visitor(server, &name(number)));
            let stuck_ones = stuck_ones.collect();
            let good = visitor(server, "good listener");
            all_are_in(server, stuck + 2);
            Self { server, speaker, stuck: stuck_ones, good, said: 0 }
        }

        /// The speaker says so many bytes, and the good listener hears them.
        #[track_caller]
        fn say(&mut self, count: usize, when: &str) {
            let words = words(self.said, count);
            send(self.server, &mut self.speaker, &words);
            expect(self.server, &mut self.good, &words, when);
            self.said += count;
        }

        /// How much of what was said to the stuck listener, from byte number `from` on, the program has
        /// still, at least.
        fn queued(&self, from: usize) -> Option<usize> {
            let between = between(self.server, &self.stuck[0])?;
            Some((self.said - from).saturating_sub(between.to_visitor))
        }

        /// The same, exactly.
        fn queued_exactly(&self, from: usize) -> Option<usize> {
            let between = between_when_still(self.server, &self.stuck[0])?;
            Some((self.said - from).saturating_sub(between.to_visitor))
        }

        /// Speaks until the program has just [`MOST`] bytes for the stuck listener, who has read nothing. `None` where
        /// nobody can tell.
        #[track_caller]
        fn fill_up(&mut self) -> Option<()> {
            self.fill(0, MOST - 8 * 1024, STUCK)?;
            self.top_up()
        }

        /// The same, once there is much already: the kernel may have taken a few more since.
        #[track_caller]
        fn top_up(&mut self) -> Option<()> {
            loop {
                let queued = self.queued_exactly(0)?;
                if queued >= MOST {
                    return Some(());
                }
                // At most 4 KiB at a time: that is how much the program reads, and says, at once.
                // The last byte comes by itself: it tells whoever refuses a full outbox from whoever has another limit.
                let next = (MOST - queued - 1).clamp(1, 4096);
                self.say(next, STUCK);
                settle(self.server, STUCK);
                if between(self.server, &self.stuck[0]).is_some_and(|between| !between.open) {
                    let kept = queued + next;
                    self.server.check.suspect(match kept {
                        MOST => "exactly-the-limit-refused",
                        _ => "limit-off-by-some",
                    });
                    self.server.check.fail(format!(
                        "with {kept} bytes in its outbox, the stuck listener was hung up on: {MOST} are allowed"
                    ));
                }
            }
        }

        /// Speaks until the program has at least `least` bytes for the stuck listener, who has read all
        /// up to byte number `from`. Gives how many, or `None` where nobody can tell.
        #[track_caller]
        fn fill(&mut self, from: usize, least: usize, when: &str) -> Option<usize> {
            // So much can't be too much, whatever the kernel takes: a few dozen KiB, where it has been asked to,
            // and more for a listener who has been seen to read.
            self.say(48 * 1024, when);
            for _ in 0..100 {
                match self.queued(from)? {
                    0 => self.say(32 * 1024, when),
                    queued if queued < least => self.say(((least - queued) / 2).max(4096), when),
                    queued => return Some(queued),
                }
            }
            None
        }
    }

    /// When nothing has come for so long, the kernels have nothing more.
    const NOTHING_COMES: Duration = Duration::from_millis(300);
    const STUCK: &str = "with a stuck listener";
    /// So many bytes in an outbox come in several pieces, for which there was no room at all. And now and then
    /// the kernel still takes a few.
    const SOME: usize = 20_000;

    #[test]
    fn what_one_says_reaches_all_others() {
        let check = check!("06-writer");
        check.suspect("flush-does-not-send");
        let server = check.server(&[]);
        let mut all: Vec<_> =
            (1..=4).map(|number| visitor(&server, &format!("visitor {number}"))).collect();
        all_are_in(&server, 4);
        for speaker in 0..4 {
            let words = words(8 * speaker, 8);
            send(&server, &mut all[speaker], &words);
            for listener in (0..4).filter(|listener| *listener != speaker) {
                expect(&server, &mut all[listener], &words, "after somebody said 8 bytes");
            }
        }
        settle(&server, "after each of four had said something");
        for visitor in &all {
            nothing_more(&server, visitor, "after each of four had said something");
        }
    }

    #[test]
    fn bytes_of_all_values() {
        let check = check!("06-writer");
        check.suspect("text-for-bytes");
        let server = check.server(&[]);
        let mut room = Room::new(&server, 0);
        for piece in pieces_of_all_kinds() {
            let when = format!("after somebody said {}", shown(&piece));
            send(&server, &mut room.speaker, &piece);
            expect(&server, &mut room.good, &piece, &when);
        }
        settle(&server, "after pieces of all kinds");
        nothing_more(&server, &room.good, "after pieces of all kinds");
    }

    #[rstest]
    #[case::in_one_piece(1)]
    #[case::in_many_pieces(200)]
    fn a_long_speech(#[case] pieces: usize) {
        let check = check!("06-writer");
        check.suspect("counts-what-was-sent");
        let server = check.server(&[]);
        let mut room = Room::new(&server, 0);
        let words = words(0, 150_000);
        let sent = room.speaker.send_in_pieces(&words, pieces, &server.program);
        if let Err(error) = sent {
            server.fail_seeing(&format!("the speaker couldn't send: {error}"));
        }
        expect(&server, &mut room.good, &words, "after a speech of 150,000 bytes");
        settle(&server, "after a speech of 150,000 bytes");
        nothing_more(&server, &room.good, "after a speech of 150,000 bytes");
    }

    #[test]
    fn a_quiet_room_costs_nothing() {
        let check = check!("06-writer");
        check.suspect("asks-for-room-without-need");
        let server = check.server(&[]);
        settle(&server, "with nobody there");
        let mut room = Room::new(&server, 0);
        settle(&server, "with two visitors who say nothing");
        room.say(1000, "with two visitors");
        settle(&server, "after a speech that everybody heard");
    }

    #[test]
    fn a_stuck_listener_holds_up_nobody() {
        let check = check!("06-writer");
        check.suspect("waits-for-room");
        let server = check.server(&[]);
        let mut room = Room::new(&server, 1);
        // 8 MiB: more than any kernel keeps for the stuck one.
        for _ in 0..256 {
            room.say(32 * 1024, STUCK);
        }
    }

    #[test]
    fn bytes_that_wait_cost_nothing() {
        let check = check!("06-writer");
        check.suspect("tries-again-and-again");
        let server = check.server(&[]);
        let mut room = Room::new(&server, 1);
        room.fill(0, SOME, STUCK);
        settle(&server, "with some bytes in the outbox of a stuck listener");
    }

    #[rstest]
    #[case::a_little(1, 1)]
    #[case::a_lot(60_000, 1)]
    #[case::again_and_again(5000, 3)]
    fn who_reads_late_gets_everything(#[case] least: usize, #[case] times: usize) {
        let check = check!("06-writer");
        check.suspect("part-for-the-whole");
        let server = check.server(&[]);
        let mut room = Room::new(&server, 1);
        let mut read = 0;
        for _ in 0..times {
            if room.fill(read, least, STUCK).is_none() {
                return;
            }
            let missed = words(read, room.said - read);
            let when = "after it hadn't read for a while";
            expect(&server, &mut room.stuck[0], &missed, when);
            read = room.said;
        }
        settle(&server, "after the stuck listener had read everything");
        nothing_more(&server, &room.stuck[0], "after it had read everything");
    }

    #[test]
    fn a_small_rest_is_sent_too() {
        let check = check!("06-writer");
        check.suspect("small-rest-kept-back");
        let server = check.server(&[]);
        let mut room = Room::new(&server, 1);
        room.say(16 * 1024, STUCK);
        // Until the kernels are full and a little is left: less than a KiB. (They take a few dozen KiB, where they have
        // been asked to, or some hundred. Each look at what they have takes many milliseconds.)
        let mut tries = 0..600;
        while tries.next().is_some() && room.queued_exactly(0) == Some(0) {
            room.say(900, STUCK);
        }
        settle(&server, "with a few bytes in the outbox of a stuck listener");
        let missed = words(0, room.said);
        expect(&server, &mut room.stuck[0], &missed, "after it hadn't read for a while");
        nothing_more(&server, &room.stuck[0], "after it had read everything");
    }

    #[test]
    fn a_single_byte_is_sent_too() {
        /// How much is said at a time, in bytes; how near to what the kernels take it's a byte at a time; and how often
        /// to try.
        const STEP: usize = 1000;
        const NEAR: usize = 16;
        const TRIES: usize = 8;
        let check = check!("06-writer");
        check.suspect("small-rest-kept-back");
        // How much the kernels take before there's no room: the same in each try, or nearly.
        let mut room_for = usize::MAX;
        for _ in 0..TRIES {
            let server = check.server(&[]);
            let mut room = Room::new(&server, 1);
            let queued = loop {
                let step = match room_for.saturating_sub(room.said) {
                    ..=NEAR => 1,
                    left => STEP.min(left - NEAR),
                };
                // It's told before the good listener is, who hears it.
                room.say(step, STUCK);
                let queued = room.queued(0).and_then(|some| match some {
                    0 => Some(0),
                    _ => room.queued_exactly(0),
                });
                match queued {
                    None => return,
                    // What the kernel is about to take is no rest.
                    Some(0) => {}
                    Some(queued) => break queued,
                }
            };
            room_for = room.said - queued;
            if room_for == 0 {
                // It was hung up on, or the like: that's for other checks.
                return;
            }
            if queued != 1 {
                continue;
            }
            let when = "after a single byte was left in its outbox, and it began to read";
            let missed = words(0, room.said);
            expect(&server, &mut room.stuck[0], &missed, when);
            return nothing_more(&server, &room.stuck[0], when);
        }
        visitors::skipped("the kernel takes more or less each time, and a single byte never stays");
    }

    #[test]
    fn an_empty_outbox_may_be_flushed() {
        let check = check!("06-writer");
        check.suspect("nothing-written-is-an-error");
        let server = check.server(&[]);
        let mut room = Room::new(&server, 1);
        if room.fill(0, 1000, STUCK).is_none() {
            return;
        }
        // The program sleeps. Meanwhile the listener reads what the kernels have, and the speaker goes on.
        server.program.stop();
        let mut stream = room.stuck[0].stream();
        stream.set_read_timeout(Some(NOTHING_COMES)).expect("it's a socket");
        let (mut heard, mut piece) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = Read::read(&mut stream, &mut piece) {
            heard.extend_from_slice(&piece[..count]);
        }
        let when = "after it had read, and the speaker had said more, at the same moment";
        compare(&check, "stuck listener", &heard, &words(0, heard.len()), when);
        let more = words(room.said, 10);
        send(&server, &mut room.speaker, &more);
        room.said += more.len();
        server.program.go_on();
        let rest = words(heard.len(), room.said - heard.len());
        expect(&server, &mut room.stuck[0], &rest, when);
        expect(&server, &mut room.good, &more, when);
        settle(&server, when);
        nothing_more(&server, &room.stuck[0], when);
    }

    #[test]
    fn after_the_last_byte_it_sleeps() {
        let check = check!("06-writer");
        check.suspect("asks-for-room-without-need");
        let server = check.server(&[]);
        let mut room = Room::new(&server, 1);
        if room.fill(0, SOME, STUCK).is_none() {
            return;
        }
        let missed = words(0, room.said);
        expect(&server, &mut room.stuck[0], &missed, "after it hadn't read for a while");
        settle(&server, "after the stuck listener had read everything");
    }

    #[test]
    fn who_is_too_slow_is_hung_up_on() {
        let check = check!("06-writer");
        check.suspect("no-limit");
        let server = check.server(&[]);
        let mut room = Room::new(&server, 20);
        let before = memory(&server);
        let mut most = 0;
        for _ in 0..64 {
            room.say(32 * 1024, "with twenty stuck listeners");
            most = most.max(memory(&server).saturating_sub(before));
        }
        let said = words(0, room.said);
        for stuck in &mut room.stuck {
            let name = stuck.name().to_owned();
            let when = "after 2 MiB that it didn't read";
            match stuck.receive_all(&server.program) {
                Ok(Received { bytes, end: End::Closed }) => {
                    compare(&check, &name, &bytes, &said, when);
                    if cfg!(target_os = "linux") && bytes.len() == room.said {
                        check.fail(format!("{when}, the {name} got all of it"));
                    }
                }
                Ok(Received { .. }) => {
                    server.fail_seeing(&format!("{when}, the {name} got a reset"))
                }
                Err((trouble, _)) => {
                    check.fail_for(&format!("{when}, the {name} was to be hung up on"), &trouble);
                }
            }
        }
        // Twenty full outboxes, and as much again while they grow.
        let allowed = 20 * 2 * MOST as u64 + (2 << 20);
        if most > allowed {
            check.fail(format!("with twenty stuck listeners your program took {most} bytes more"));
        }
        room.say(1000, "after twenty listeners were hung up on");
    }

    #[test]
    fn exactly_64_kib_are_kept() {
        let check = check!("06-writer");
        check.suspect("limit-off-by-some");
        let server = check.server(&[]);
        let mut room = Room::new(&server, 1);
        if room.fill_up().is_none() {
            return;
        }
        check.suspect("limit-off-by-some");
        loop {
            room.say(1, STUCK);
            settle(&server, STUCK);
            let Some(between) = between(&server, &room.stuck[0]) else { return };
            let queued = room.said.saturating_sub(between.to_visitor);
            if !between.open {
                return;
            }
            if queued > MOST {
                if a_whole_piece_is_kept_too(&check) {
                    check.suspect("limit-without-the-new-bytes");
                }
                check.fail(format!(
                    "with {queued} bytes in its outbox, the stuck listener wasn't hung up on: {MOST} are allowed"
                ));
            }
            // The kernel has taken some meanwhile.
            if room.top_up().is_none() {
                return;
            }
            check.suspect("limit-off-by-some");
        }
    }

    #[test]
    fn a_piece_that_does_not_fit_is_too_much() {
        let check = check!("06-writer");
        check.suspect("limit-without-the-new-bytes");
        let server = check.server(&[]);
        let mut room = Room::new(&server, 1);
        if room.fill(0, MOST - 12 * 1024, STUCK).is_none() {
            return;
        }
        loop {
            room.say(4096, STUCK);
            settle(&server, STUCK);
            let Some(between) = between(&server, &room.stuck[0]) else { return };
            if !between.open {
                return;
            }
            let queued = room.said.saturating_sub(between.to_visitor);
            if queued > MOST {
                check.fail(format!(
                    "4096 bytes came that had no room any more, and the stuck listener wasn't hung up on: {queued} bytes are in its \
                     outbox, and {MOST} are allowed"
                ));
            }
        }
    }

    /// Whether 4 KiB more are kept behind a full outbox: then the limit isn't a byte too high.
    #[track_caller]
    fn a_whole_piece_is_kept_too(check: &Check) -> bool {
        let server = check.server(&[]);
        let mut room = Room::new(&server, 1);
        if room.fill_up().is_none() {
            return false;
        }
        room.say(4096, STUCK);
        settle(&server, STUCK);
        between(&server, &room.stuck[0]).is_some_and(|between| between.open)
    }

    #[test]
    fn a_full_outbox_is_sent() {
        let check = check!("06-writer");
        check.suspect("part-for-the-whole");
        let server = check.server(&[]);
        let mut room = Room::new(&server, 1);
        if room.fill_up().is_none() {
            return;
        }
        settle(&server, "with a full outbox");
        let when = "after its outbox was full to the last byte, and it began to read";
        let missed = words(0, room.said);
        expect(&server, &mut room.stuck[0], &missed, when);
        settle(&server, when);
        nothing_more(&server, &room.stuck[0], when);
    }

    #[test]
    fn each_has_a_limit_of_its_own() {
        let check = check!("06-writer");
        check.suspect("one-for-all");
        let server = check.server(&[]);
        let mut room = Room::new(&server, 3);
        if room.fill(0, MOST - 16 * 1024, "with three stuck listeners").is_none() {
            return;
        }
        let missed = words(0, room.said);
        for stuck in &mut room.stuck {
            let when = "with three stuck listeners, and some 50,000 bytes in the outbox of each";
            expect(&server, stuck, &missed, when);
        }
    }

    #[test]
    fn who_is_always_a_little_behind() {
        /// How much is read and said in a round, in bytes, and how many rounds there are between two looks.
        const ROUND: usize = 24 * 1024;
        const ROUNDS: usize = 5;
        /// How much is to be in the outbox when one looks. It's more than what is taken out of it in a round: so it has
        /// never been empty since the last look.
        const BEHIND: usize = 44 * 1024;
        const LEAST: usize = 32 * 1024;
        /// How much is to be sent while the outbox is never empty, in bytes, and how much more memory is nothing kept.
        const MUCH: usize = 600 * 1024;
        const LITTLE: u64 = 256 * 1024;
        let check = check!("06-writer");
        check.suspect("counts-what-was-sent");
        let server = check.server(&[]);
        let mut room = Room::new(&server, 1);
        if room.fill(0, SOME, STUCK).is_none() {
            return;
        }
        let when = "with a listener who reads, and is always some KiB behind";
        let mut read = 0;
        let mut before = None;
        // So much has gone through before the queue was empty: room that a queue may have still.
        let mut longest = 0;
        // The kernel may have more room for somebody who reads, for a while.
        for _ in 0..100 {
            let Some(queued) = room.queued_exactly(read) else { return };
            match queued {
                0 => drop(room.fill(read, BEHIND, when)),
                _ => room.say(BEHIND.saturating_sub(queued), when),
            }
            let (since, resident) = match before {
                Some(before) if queued >= LEAST => before,
                _ => {
                    longest = before.map_or(0, |(since, _)| read - since).max(longest);
                    *before.insert((read, memory(&server)))
                }
            };
            if read - since >= longest + MUCH {
                check.suspect("keeps-what-was-sent");
                return takes_no_more(&server, resident, LITTLE, when);
            }
            for _ in 0..ROUNDS {
                read_exactly(&server, &room.stuck[0], &words(read, ROUND), when);
                read += ROUND;
                room.say(ROUND, when);
            }
        }
    }

    #[test]
    fn nothing_is_kept_of_who_has_left() {
        /// How many pairs come and leave in each lot.
        const EACH: usize = 100;
        let check = check!("06-writer");
        check.suspect("keeps-those-who-left");
        let server = check.server(&[]);
        let mut came = 0;
        server.keeps_nothing(EACH, "pairs of visitors", |_| {
            for number in 0..EACH {
                let when = "after many had come and left";
                let mut listener = visitor(&server, "listener");
                let mut speaker = visitor(&server, "speaker");
                came += 2;
                // Who speaks before both are in isn't heard by the other.
                let is_in = format!("visitor {came}: connected");
                if let Err(trouble) = server.program.says(|line| line.starts_with(&is_in)) {
                    check.fail_for("a visitor was to be let in", &trouble);
                }
                send(&server, &mut listener, b"hello");
                expect(&server, &mut speaker, b"hello", when);
                send(&server, &mut speaker, b"welcome");
                expect(&server, &mut listener, b"welcome", when);
                // A reset leaves no port taken; one in ten leaves politely.
                if number % 10 > 0 {
                    speaker.reset();
                    listener.reset();
                }
            }
        });
    }

    #[test]
    fn one_line_waits() {
        let check = check!("06-writer");
        check.suspect("naps-between-looks");
        let server = check.server(&[]);
        let mut room = Room::new(&server, 1);
        let lens = server.lens();
        room.fill(0, SOME, STUCK);
        settle(&server, "with some bytes in the outbox of a stuck listener");
        let when = "with some bytes in the outbox of a stuck listener";
        server.waits_only_in(lens.as_ref(), &["poll"], when);
        never_waits_in_vain(&server, lens.as_ref(), when);
    }

    #[test]
    fn a_flush_sends_what_there_is_room_for() {
        /// As much as the program reads at once.
        const PIECE: usize = 4096;
        let check = check!("06-writer");
        check.suspect("flush-does-not-send");
        let server = check.server(&[]);
        let mut room = Room::new(&server, 0);
        settle(&server, "with two visitors who say nothing");
        let lens = server.lens();
        let when = "after a speech of 4 KiB, with nothing kept and much room";
        room.say(PIECE, when);
        settle(&server, when);
        let Some(lens) = lens else { return };
        let calls = lens.calls();
        let result = |call: &Call| match call.outcome {
            Outcome::Result(result) => usize::try_from(result).unwrap_or(0),
            _ => 0,
        };
        let is_read = |call: &Call| family(&call.call) == "read" && result(call) == PIECE;
        // It may have been read in two parts: then there's nothing to be seen.
        let Some(read) = calls.iter().position(is_read) else { return };
        let turn = calls[read..].iter().take_while(|call| family(&call.call) != "poll");
        let written: usize = turn.filter(|call| family(&call.call) == "write").map(result).sum();
        if written < PIECE {
            check.fail(format!(
                "{when}, {written} bytes of it were written before poll was asked again, and there was room for all of it"
            ));
        }
    }

    #[test]
    fn readiness_is_a_hint() {
        let check = check!("06-writer");
        check.suspect("no-room-is-an-error");
        let server = check.server(&[]);
        let mut room = Room::new(&server, 1);
        let queued = room.fill(0, SOME, STUCK);
        settle(&server, "with some bytes in the outbox of a stuck listener");
        let lens = server.lens_that_lies();
        let when = "when poll says of everybody, stuck or silent, that they are ready";
        for _ in 0..50 {
            room.say(10, when);
        }
        settle(&server, when);
        server.waits_only_in(lens.as_ref(), &["poll"], when);
        if queued.is_some() {
            let missed = words(0, room.said);
            expect(&server, &mut room.stuck[0], &missed, when);
        }
    }

    #[rstest]
    #[case::while_nobody_speaks(false)]
    #[case::while_somebody_speaks(true)]
    fn a_reset_ends_one_visitor(#[case] speaking: bool) {
        let check = check!("06-writer");
        check.suspect("a-lost-visitor-ends-it-all");
        let server = check.server(&[]);
        let mut room = Room::new(&server, 1);
        room.fill(0, SOME, STUCK);
        settle(&server, STUCK);
        let stuck = room.stuck.remove(0);
        if speaking {
            // The program finds both at once: something to be said, and nobody to say it to.
            server.program.stop();
            send(&server, &mut room.speaker, &words(room.said, 100));
            stuck.reset();
            server.program.go_on();
            expect(
                &server,
                &mut room.good,
                &words(room.said, 100),
                "after a stuck listener was gone",
            );
            room.said += 100;
        } else {
            stuck.reset();
        }
        settle(&server, "after a stuck listener was gone");
        room.say(1000, "after a stuck listener was gone");
        // The speaker was the first, and the stuck one the second.
        says_that_it_is_lost(&server, 2, "after a stuck listener was reset");
    }
}

mod flow {
    use super::*;
    use std::io::{ErrorKind, Write};
    use std::os::fd::{AsFd, AsRawFd};

    use grader::bytes::both_ends;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::socket::MsgFlags;

    /// The kernels keep less for a visitor, on both sides: who can send more is read, and read, and read.
    const ENDLESS: usize = 8 << 20;
    /// The same for each of many: by far more than it is where a kernel does as it's asked to.
    const ENDLESS_EACH: usize = 2 << 20;
    /// How often one of them sends before it's the next one's turn.
    const AT_ONCE: usize = 16;

    /// A visitor who sends and doesn't read.
    struct Greedy {
        connection: Connection,
        sent: usize,
    }

    impl Greedy {
        #[track_caller]
        fn new(server: &Server<'_>, name: &str) -> Self {
            Self { connection: narrow_visitor(server, name), sent: 0 }
        }

        /// Sends so many bytes, each after the one before has been read or can't be.
        #[track_caller]
        fn send(&mut self, server: &Server<'_>, count: usize) {
            send(server, &mut self.connection, &words(self.sent, count));
            self.sent += count;
        }

        /// What comes back must be all that was sent.
        #[track_caller]
        fn expect_all(&mut self, server: &Server<'_>, when: &str) {
            let all = words(0, self.sent);
            expect(server, &mut self.connection, &all, when);
        }

        /// How much of what was sent the program has, while nothing has been read.
        fn queued(&self, server: &Server<'_>) -> Option<usize> {
            let between = between(server, &self.connection)?;
            Some(self.sent.saturating_sub(between.to_server + between.to_visitor))
        }

        /// The same, exactly.
        fn queued_exactly(&self, server: &Server<'_>) -> Option<usize> {
            let between = between_when_still(server, &self.connection)?;
            Some(self.sent.saturating_sub(between.to_server + between.to_visitor))
        }

        /// It has read just so many bytes: is it read as long as there is room, and no longer? To be asked when the program
        /// has done what it can do. `None` where nobody can tell.
        #[track_caller]
        fn is_read_while_there_is_room(
            &self,
            server: &Server<'_>,
            read: usize,
            when: &str,
        ) -> Option<()> {
            let between = between_when_still(server, &self.connection)?;
            let queued = (self.sent - read).saturating_sub(between.to_server + between.to_visitor);
            if queued > MOST {
                server.check.suspect("reads-more-than-there-is-room-for");
                server.check.fail(format!(
                    "{when}, your program keeps {queued} bytes of what the greedy visitor sent: {MOST} are allowed"
                ));
            }
            let (there, _) = both_ends(server, &self.connection)?;
            if there.unread > 0 && queued < MOST {
                server.check.suspect("reads-less-than-there-is-room-for");
                server.check.fail(format!(
                    "{when}, your program keeps {queued} bytes for the greedy visitor and reads no more of the {} that lie \
                     ready: as long as fewer than {MOST} are queued it's to be read",
                    there.unread
                ));
            }
            Some(())
        }

        /// Whether its kernel takes more, now or soon.
        fn has_room(&self, time: Duration) -> bool {
            let mut list = [PollFd::new(self.connection.stream().as_fd(), PollFlags::POLLOUT)];
            let time = u16::try_from(time.as_millis()).unwrap_or(u16::MAX);
            matches!(poll(&mut list, PollTimeout::from(time)), Ok(count) if count > 0)
        }

        /// Sends as much as its kernel takes now, and at most so many bytes.
        #[track_caller]
        fn send_what_goes(&mut self, server: &Server<'_>, most: usize) {
            let mut stream = self.connection.stream();
            // Fails only for what is no socket.
            let _ = stream.set_nonblocking(true);
            let piece = words(self.sent, most);
            match stream.write(&piece) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => {
                    let name = self.connection.name();
                    server.fail_seeing(&format!("the {name} couldn't send: {error}"));
                }
            }
            let _ = self.connection.stream().set_nonblocking(false);
        }
    }

    /// So many greedy visitors, who send until nobody takes any more from them.
    #[track_caller]
    fn stuck(server: &Server<'_>, count: usize) -> Vec<Greedy> {
        let name = |number| match count {
            1 => "greedy visitor".to_owned(),
            _ => format!("greedy visitor {number}"),
        };
        let mut all: Vec<_> =
            (1..=count).map(|number| Greedy::new(server, &name(number))).collect();
        let sum = |all: &[Greedy]| all.iter().map(|greedy| greedy.sent).sum::<usize>();
        let mut rested = false;
        loop {
            let before = sum(&all);
            for greedy in &mut all {
                for _ in 0..AT_ONCE {
                    if !greedy.has_room(Duration::from_millis(1)) {
                        break;
                    }
                    greedy.send_what_goes(server, 64 * 1024);
                }
            }
            let sent = sum(&all);
            if sent > ENDLESS.max(count * ENDLESS_EACH) {
                server.check.fail(format!(
                    "{count} visitors who read nothing have sent {sent} bytes, and your program reads on"
                ));
            }
            match (sent > before, rested) {
                (true, _) => rested = false,
                (false, true) => return all,
                (false, false) => {
                    // The program may have been about to read some of it.
                    settle(server, "with somebody there who sends and doesn't read");
                    rested = true;
                }
            }
        }
    }

    /// Somebody comes, and what it sends comes back at once.
    #[track_caller]
    fn still_serves(server: &Server<'_>, when: &str) {
        let mut quick = visitor(server, "quick visitor");
        let bytes = words(0, 100);
        send(server, &mut quick, &bytes);
        expect(server, &mut quick, &bytes, when);
        quick.finish_sending();
        expect_end(server, &mut quick, b"", when);
    }

    #[rstest]
    #[case::in_one_piece(1)]
    #[case::in_seven_pieces(7)]
    #[case::byte_by_byte(usize::MAX)]
    fn what_is_sent_comes_back(#[case] pieces: usize) {
        let check = check!("06-flow");
        check.suspect("sent-again");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        for round in 0..3 {
            let bytes = words(50 * round, 50);
            let sent = visitor.send_in_pieces(&bytes, pieces, &server.program);
            if let Err(error) = sent {
                server.fail_seeing(&format!("the visitor couldn't send: {error}"));
            }
            expect(&server, &mut visitor, &bytes, "after it sent 50 bytes");
        }
        settle(&server, "after 150 bytes had come back");
        nothing_more(&server, &visitor, "after 150 bytes had come back");
    }

    #[test]
    fn bytes_of_all_values() {
        let check = check!("06-flow");
        check.suspect("text-for-bytes");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        for piece in pieces_of_all_kinds() {
            let when = format!("after it sent {}", shown(&piece));
            send(&server, &mut visitor, &piece);
            expect(&server, &mut visitor, &piece, &when);
        }
        settle(&server, "after pieces of all kinds");
        nothing_more(&server, &visitor, "after pieces of all kinds");
    }

    #[test]
    fn a_byte_out_of_band() {
        let check = check!("06-flow");
        check.suspect("asks-for-urgent-bytes");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        let when = "after it sent a byte out of band, which a read doesn't give";
        send(&server, &mut visitor, b"hello");
        expect(&server, &mut visitor, b"hello", "at the beginning");
        let sent = nix::sys::socket::send(visitor.stream().as_raw_fd(), b"!", MsgFlags::MSG_OOB);
        sent.expect("there is room");
        settle(&server, when);
        send(&server, &mut visitor, b"hello again");
        expect(&server, &mut visitor, b"hello again", when);
        settle(&server, when);
    }

    #[test]
    fn many_at_once_in_reverse_order() {
        let check = check!("06-flow");
        check.suspect("waits-for-one-visitor");
        let server = check.server(&[]);
        let mut all: Vec<_> =
            (1..=50).map(|number| visitor(&server, &format!("visitor {number}"))).collect();
        all_are_in(&server, all.len());
        for round in 0..2 {
            for (number, visitor) in all.iter_mut().enumerate().rev() {
                let bytes = words(1000 * number + 100 * round, 100);
                send(&server, visitor, &bytes);
                expect(&server, visitor, &bytes, "with fifty visitors, the last one first");
            }
        }
    }

    #[rstest]
    #[case::after_nothing(0)]
    #[case::after_a_byte(1)]
    #[case::after_much(40_000)]
    fn who_has_finished_gets_it_all_and_the_end(#[case] count: usize) {
        let check = check!("06-flow");
        check.suspect("never-done");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "visitor");
        let bytes = words(0, count);
        server.program.stop();
        send(&server, &mut visitor, &bytes);
        visitor.finish_sending();
        server.program.go_on();
        expect_end(&server, &mut visitor, &bytes, "after it had finished sending");
        settle(&server, "after it had left");
    }

    #[test]
    fn idle_visitors_cost_nothing() {
        let check = check!("06-flow");
        check.suspect("asks-for-room-without-need");
        let server = check.server(&[]);
        settle(&server, "with nobody there");
        let mut visitor = visitor(&server, "idle visitor");
        all_are_in(&server, 1);
        settle(&server, "with an idle visitor");
        send(&server, &mut visitor, b"hello");
        expect(&server, &mut visitor, b"hello", "after it sent 5 bytes");
        settle(&server, "with a visitor who got everything back");
    }

    #[test]
    fn who_does_not_read_is_not_read() {
        let check = check!("06-flow");
        check.suspect("reads-more-than-there-is-room-for");
        let server = check.server(&[]);
        let greedy = stuck(&server, 1).remove(0);
        let when = "with a greedy visitor who has read nothing";
        let _ = greedy.is_read_while_there_is_room(&server, 0, when);
    }

    #[test]
    fn who_is_always_a_little_behind() {
        /// How much is read in a round, in bytes, and how many rounds there are.
        const ROUND: usize = 32 * 1024;
        const ROUNDS: usize = 24;
        /// How much more memory is nothing kept, in bytes.
        const LITTLE: u64 = 256 * 1024;
        let check = check!("06-flow");
        check.suspect("part-for-the-whole");
        let server = check.server(&[]);
        let mut greedy = stuck(&server, 1).remove(0);
        let when = "with a visitor who sends and reads, and is always some KiB behind";
        let mut read = 0;
        let mut before = None;
        for round in 0..ROUNDS {
            read_exactly(&server, &greedy.connection, &words(read, ROUND), when);
            read += ROUND;
            settle(&server, when);
            if greedy.is_read_while_there_is_room(&server, read, when).is_none() {
                return;
            }
            check.suspect("part-for-the-whole");
            for _ in 0..AT_ONCE {
                if !greedy.has_room(Duration::from_millis(1)) {
                    break;
                }
                greedy.send_what_goes(&server, 64 * 1024);
            }
            // Until then its queue may grow to its size.
            if round == 3 {
                before = Some(memory(&server));
            }
        }
        check.suspect("keeps-what-was-sent");
        takes_no_more(&server, before.unwrap_or_default(), LITTLE, when);
    }

    #[test]
    fn a_single_byte_is_sent_too() {
        /// How much is sent at a time, in bytes; how near to what the kernels take it's a byte at a time; and how often
        /// to try.
        const STEP: usize = 1000;
        const NEAR: usize = 16;
        const TRIES: usize = 8;
        let check = check!("06-flow");
        check.suspect("small-rest-kept-back");
        // How much the kernels take before there's no room: the same in each try, or nearly.
        let mut room_for = usize::MAX;
        for _ in 0..TRIES {
            let server = check.server(&[]);
            still_serves(&server, "at the beginning");
            let mut greedy = Greedy::new(&server, "greedy visitor");
            let queued = loop {
                let step = match room_for.saturating_sub(greedy.sent) {
                    ..=NEAR => 1,
                    left => STEP.min(left - NEAR),
                };
                greedy.send(&server, step);
                greedy.connection.wait_until_read(PATIENCE);
                let queued = greedy.queued(&server).and_then(|some| match some {
                    0 => Some(0),
                    _ => greedy.queued_exactly(&server),
                });
                match queued {
                    None => return,
                    // What the kernel is about to take is no rest.
                    Some(0) => {}
                    Some(queued) => break queued,
                }
            };
            room_for = greedy.sent - queued;
            if room_for == 0 {
                // It was hung up on, or the like: that's for other checks.
                return;
            }
            if queued == 1 {
                let when = "after a single byte was left in its queue, and it began to read";
                greedy.expect_all(&server, when);
                return nothing_more(&server, &greedy.connection, when);
            }
        }
        visitors::skipped("the kernel takes more or less each time, and a single byte never stays");
    }

    #[test]
    fn whose_queue_is_never_empty() {
        /// How much is read and sent in a round, in bytes, and how many rounds there are between two looks.
        const ROUND: usize = 16 * 1024;
        const ROUNDS: usize = 5;
        /// How often it's looked until so much has gone through.
        const LOOKS: usize = 200;
        /// How much is to be queued, at least, when one looks. It's more than what is taken out in a round: so the queue
        /// has never been empty since the last look.
        const LEAST: usize = 32 * 1024;
        /// How much is to go through a queue that is never empty, in bytes, and how much more memory is nothing kept.
        const MUCH: usize = 600 * 1024;
        const LITTLE: u64 = 256 * 1024;
        /// With room in its queue it's read by then, or a little later: nothing depends on it.
        const SOON: Duration = Duration::from_millis(100);
        let check = check!("06-flow");
        check.suspect("part-for-the-whole");
        let server = check.server(&[]);
        still_serves(&server, "at the beginning");
        let Some(mut greedy) = some_is_queued(&server, "greedy visitor") else { return };
        let when =
            "with a visitor who reads as much as it sends, and for whom something is always queued";
        let mut read = 0;
        let mut before = None;
        // So much has gone through before the queue was empty: room that a queue may have still.
        let mut longest = 0;
        // The kernel may have more room for somebody who reads, for a while.
        for _ in 0..LOOKS {
            let look = |greedy: &Greedy| {
                let between = between_when_still(&server, &greedy.connection)?;
                let outside = between.to_server + between.to_visitor;
                Some((between.to_server, (greedy.sent - read).saturating_sub(outside)))
            };
            let Some((unread, found)) = look(&greedy) else { return };
            if unread > 0 {
                // It had to wait for room, and so its queue may have been sent all at once.
                longest = before.take().map_or(0, |(since, _)| read - since).max(longest);
                let round = ROUND.min(greedy.sent - read);
                read_exactly(&server, &greedy.connection, &words(read, round), when);
                read += round;
                settle(&server, when);
                continue;
            }
            if found < LEAST {
                longest = before.take().map_or(0, |(since, _)| read - since).max(longest);
                // Where there is no room, the program may be waiting for a reader.
                greedy.send_what_goes(&server, ROUND);
                greedy.connection.wait_until_read(SOON);
                settle(&server, when);
                continue;
            }
            let (since, kept) = *before.get_or_insert_with(|| (read, memory(&server)));
            if read - since >= longest + MUCH {
                check.suspect("keeps-what-was-sent");
                return takes_no_more(&server, kept, LITTLE, when);
            }
            for _ in 0..ROUNDS {
                let round = ROUND.min(greedy.sent - read);
                read_exactly(&server, &greedy.connection, &words(read, round), when);
                read += round;
                // Where there is no room, the program may be waiting for a reader.
                greedy.send_what_goes(&server, ROUND);
                greedy.connection.wait_until_read(SOON);
            }
        }
        visitors::skipped("the kernel takes more and more here, and the queue doesn't stay filled");
    }

    #[test]
    fn nothing_is_kept_of_who_has_left() {
        /// How many come and leave in each lot.
        const EACH: usize = 200;
        let check = check!("06-flow");
        check.suspect("keeps-those-who-left");
        let server = check.server(&[]);
        server.keeps_nothing(EACH, "visitors", |_| {
            for number in 0..EACH {
                let when = "after many had come and left";
                let mut visitor = visitor(&server, "visitor");
                send(&server, &mut visitor, b"hello");
                expect(&server, &mut visitor, b"hello", when);
                // A reset leaves no port taken; one in ten leaves politely.
                match number % 10 {
                    0 => {
                        visitor.finish_sending();
                        expect_end(&server, &mut visitor, b"", when);
                    }
                    _ => visitor.reset(),
                }
            }
        });
    }

    #[test]
    fn stuck_visitors_cost_nothing() {
        let check = check!("06-flow");
        check.suspect("asks-to-read-without-reading");
        let server = check.server(&[]);
        // One has a full queue, the other has finished, and a part of what it sent is queued.
        let full = stuck(&server, 1);
        settle(&server, "with a greedy visitor whose queue is full");
        let finished = some_is_queued(&server, "finished visitor");
        if let Some(finished) = &finished {
            finished.connection.finish_sending();
        }
        settle(&server, "with a visitor who has finished sending, and reads nothing");
        drop((full, finished));
    }

    /// A visitor for whom some bytes are queued, and who has sent none that the program hasn't read.
    #[track_caller]
    fn some_is_queued(server: &Server<'_>, name: &str) -> Option<Greedy> {
        let mut greedy = Greedy::new(server, name);
        // Where it has been asked to, the kernel takes less than 200 KiB.
        for _ in 0..40 {
            greedy.send(server, 8 * 1024);
            greedy.connection.wait_until_read(PATIENCE);
            if greedy.queued(server)? == 0 {
                continue;
            }
            settle(server, &format!("with a {name} who hasn't read so far"));
            if greedy.queued(server)? > 0 {
                return Some(greedy);
            }
        }
        None
    }

    #[rstest]
    #[case::and_stays(false)]
    #[case::and_has_finished(true)]
    fn when_it_reads_all_comes_back(#[case] finished: bool) {
        let check = check!("06-flow");
        check.suspect("part-for-the-whole");
        let server = check.server(&[]);
        let mut greedy = stuck(&server, 1).remove(0);
        let when = "after it had sent until it was stuck, and began to read";
        if finished {
            greedy.connection.finish_sending();
            expect_end(&server, &mut greedy.connection, &words(0, greedy.sent), when);
            return;
        }
        greedy.expect_all(&server, when);
        settle(&server, "after the greedy visitor had got everything back");
        let more = words(greedy.sent, 1000);
        send(&server, &mut greedy.connection, &more);
        expect(&server, &mut greedy.connection, &more, "after it had been stuck, and sent more");
        nothing_more(&server, &greedy.connection, "after everything had come back");
    }

    #[test]
    fn with_nothing_to_read_it_writes() {
        let check = check!("06-flow");
        check.suspect("refused-read-stops-writing");
        let server = check.server(&[]);
        let Some(mut greedy) = some_is_queued(&server, "greedy visitor") else { return };
        greedy.expect_all(&server, "after it had sent something, and began to read");
        settle(&server, "after the greedy visitor had got everything back");
    }

    #[test]
    fn what_is_queued_at_the_end_is_sent() {
        let check = check!("06-flow");
        check.suspect("leaves-with-bytes-queued");
        let server = check.server(&[]);
        let Some(mut greedy) = some_is_queued(&server, "greedy visitor") else { return };
        greedy.connection.finish_sending();
        settle(&server, "with a visitor who has finished sending, and reads nothing");
        let all = words(0, greedy.sent);
        expect_end(&server, &mut greedy.connection, &all, "after it had finished sending");
    }

    #[test]
    fn fifty_of_them_take_little_memory() {
        const COUNT: usize = 50;
        let check = check!("06-flow");
        check.suspect("reads-more-than-there-is-room-for");
        let server = check.server(&[]);
        still_serves(&server, "at the beginning");
        let before = memory(&server);
        let greedy = stuck(&server, COUNT);
        let grown = memory(&server).saturating_sub(before);
        let allowed = (COUNT * (MOST + 16 * 1024)) as u64 + (2 << 20);
        if grown > allowed {
            check.fail(format!(
                "with {COUNT} visitors who don't read your program takes {grown} bytes more: at most {allowed} are allowed"
            ));
        }
        drop(greedy);
        still_serves(&server, "after fifty visitors left who hadn't read");
    }

    #[test]
    fn what_has_gone_back_is_forgotten() {
        let check = check!("06-flow");
        check.suspect("keeps-what-was-sent");
        let server = check.server(&[]);
        let mut visitor = visitor(&server, "talkative visitor");
        let before = memory(&server);
        for round in 0..256 {
            let bytes = words(round * 32 * 1024, 32 * 1024);
            send(&server, &mut visitor, &bytes);
            expect(&server, &mut visitor, &bytes, "with 32 KiB at a time");
        }
        takes_no_more(&server, before, 2 << 20, "after 8 MiB had come back");
    }

    #[test]
    fn hundreds_of_others_are_unharmed() {
        let check = check!("06-flow");
        check.suspect("waits-for-room");
        let server = check.server(&[]);
        let greedy = stuck(&server, 10);
        for _ in 0..300 {
            still_serves(&server, "with ten visitors who send and don't read");
        }
        drop(greedy);
    }

    #[test]
    fn one_line_waits() {
        let check = check!("06-flow");
        check.suspect("naps-between-looks");
        let server = check.server(&[]);
        let lens = server.lens();
        let silent = visitor(&server, "silent visitor");
        let mut greedy = stuck(&server, 1).remove(0);
        still_serves(&server, "with a silent visitor and one who doesn't read");
        greedy.expect_all(&server, "after it had sent until it was stuck, and began to read");
        settle(&server, "with a silent visitor");
        server.waits_only_in(
            lens.as_ref(),
            &["poll"],
            "with a silent visitor and one who didn't read",
        );
        never_waits_in_vain(
            &server,
            lens.as_ref(),
            "with a silent visitor and one who didn't read",
        );
        drop(silent);
    }

    #[test]
    fn readiness_is_a_hint() {
        let check = check!("06-flow");
        check.suspect("nothing-to-read-is-the-end");
        let server = check.server(&[]);
        let mut greedy = stuck(&server, 1).remove(0);
        let mut silent = visitor(&server, "silent visitor");
        all_are_in(&server, 2);
        let lens = server.lens_that_lies();
        let when = "when poll says of everybody, stuck or silent, that they are ready";
        for _ in 0..30 {
            still_serves(&server, when);
        }
        settle(&server, when);
        server.waits_only_in(lens.as_ref(), &["poll"], when);
        nothing_more(&server, &silent, when);
        send(&server, &mut silent, b"at last");
        expect(&server, &mut silent, b"at last", when);
        greedy.expect_all(&server, when);
        settle(&server, when);
        // It had a full queue, and wasn't to be read. It hasn't finished.
        let read = greedy.sent;
        greedy.send(&server, 10);
        let when = "from one who had a full queue while poll said that everybody is ready";
        expect(&server, &mut greedy.connection, &words(read, 10), when);
    }

    #[test]
    fn a_reset_ends_one_visitor() {
        let check = check!("06-flow");
        check.suspect("a-lost-visitor-ends-it-all");
        let server = check.server(&[]);
        let mut bystander = visitor(&server, "bystander");
        let when = "after a rude visitor";
        let silent = visitor(&server, "rude visitor");
        all_are_in(&server, 2);
        silent.reset();
        still_serves(&server, when);
        says_that_it_is_lost(&server, 2, "after a silent visitor was reset");
        check.suspect("a-lost-visitor-ends-it-all");
        stuck(&server, 1).remove(0).connection.reset();
        still_serves(&server, "after a greedy visitor was gone");
        says_that_it_is_lost(&server, 4, "after a visitor with a full queue was reset");
        check.suspect("a-lost-visitor-ends-it-all");
        if let Some(finished) = some_is_queued(&server, "finished visitor") {
            finished.connection.finish_sending();
            settle(&server, "with a visitor who has finished sending, and reads nothing");
            finished.connection.reset();
            still_serves(&server, "after a finished visitor was gone");
            says_that_it_is_lost(
                &server,
                6,
                "after a visitor was reset who had finished, and had something queued",
            );
            check.suspect("a-lost-visitor-ends-it-all");
        }
        // These are gone before they are let in; or have sent something, and won't read the answer.
        for sent in [&b""[..], b"hello"] {
            server.program.stop();
            for by_reset in [true, false] {
                let mut gone = visitor(&server, "rude visitor");
                send(&server, &mut gone, sent);
                if by_reset {
                    gone.reset();
                }
            }
            server.program.go_on();
            still_serves(&server, when);
        }
        settle(&server, when);
        send(&server, &mut bystander, b"hello");
        expect(&server, &mut bystander, b"hello", when);
    }
}
