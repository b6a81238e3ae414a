//! Several races beside each other.

mod made;

use race::agreement::print;
use race::result::Race;
use rstest::rstest;
use textwrap::core::display_width;

/// Two servers and one of them again, asked with nobody else there. In each of the rounds they have used so much CPU time,
/// in µs for each answer.
fn race(one: [u64; 3], other: [u64; 3], again: [u64; 3]) -> Race {
    let server = |name: &str, each: [u64; 3]| {
        let cell = |micros: u64| {
            let mut cell = made::cell(0, 100_000, 1000, 1_000_000);
            cell.window.cpu = Some(cell.window.answered * micros * 1000);
            vec![cell]
        };
        made::server(name, name, each.map(cell).to_vec())
    };
    let mut again = server("5 again", again);
    again.role = race::result::Role::Again;
    let mut race = made::race(vec![server("5", one), server("8", other), again]);
    race.plan.crowds = vec![0];
    race
}

fn compared(races: Vec<Race>) -> String {
    let named = races.into_iter().enumerate();
    let named: Vec<(String, Race)> =
        named.map(|(place, race)| (format!("{place}.json"), race)).collect();
    print(&named)
}

/// What is said of CPU time: how many pairs are told apart, and how many have another order elsewhere. `None`: none is.
fn of_cpu(text: &str) -> Option<(String, String)> {
    let line = text.lines().find(|line| line.starts_with("  CPU time"))?;
    let mut words = line.split_whitespace().rev();
    let (differ, pairs) = (words.next()?.to_owned(), words.next()?.to_owned());
    Some((pairs, differ))
}

const LOW: [u64; 3] = [10, 11, 12];
const HIGH: [u64; 3] = [20, 21, 22];

#[rstest]
#[case::they_are_far_apart(LOW, HIGH, LOW, Some("1"))]
#[case::they_are_the_same(LOW, LOW, LOW, None)]
#[case::their_bars_overlap([10, 11, 21], HIGH, LOW, None)]
#[case::their_bars_touch([10, 11, 20], HIGH, LOW, None)]
#[case::there_is_more_noise_than_that(LOW, HIGH, [30, 31, 32], None)]
#[case::one_has_nothing([0, 0, 0], HIGH, [0, 0, 0], Some("1"))]
#[case::both_have_nothing([0, 0, 0], [0, 0, 0], [0, 0, 0], None)]
#[case::one_has_nothing_in_some_rounds([0, 0, 20], HIGH, [0, 0, 20], None)]
fn who_is_told_apart(
    #[case] one: [u64; 3],
    #[case] other: [u64; 3],
    #[case] again: [u64; 3],
    #[case] pairs: Option<&str>,
) {
    let of = || race(one, other, again);
    let text = compared(vec![of(), of()]);
    // With the same race twice, nothing differs.
    assert_eq!(of_cpu(&text), pairs.map(|pairs| (pairs.to_owned(), "0".to_owned())), "{text}");
}

#[test]
fn who_has_another_order_elsewhere_is_named() {
    // The second race tells nothing apart, and has the two the other way round; or just as they were.
    let same = compared(vec![race(LOW, HIGH, LOW), race([10, 19, 30], [9, 20, 31], LOW)]);
    assert_eq!(of_cpu(&same), Some(("1".to_owned(), "0".to_owned())), "{same}");
    assert!(!same.contains("In another order"), "{same}");
    let other = compared(vec![race(LOW, HIGH, LOW), race([10, 21, 30], [9, 20, 31], LOW)]);
    assert_eq!(of_cpu(&other), Some(("1".to_owned(), "1".to_owned())), "{other}");
    let line = "CPU time for each answer, with 0: 5 is lower than 8 in 0.json, and isn't in 1.json";
    assert!(other.replace("\n    ", " ").contains(line), "{other}");
    // In whichever of them it is told.
    let turned = compared(vec![race([10, 21, 30], [9, 20, 31], LOW), race(LOW, HIGH, LOW)]);
    assert!(turned.replace("\n    ", " ").contains("in 1.json, and isn't in 0.json"), "{turned}");
}

#[test]
fn where_the_load_is_the_limit_nothing_is_told() {
    let rushed = |busy: bool| {
        let mut race = race([10; 3], [10; 3], [10; 3]);
        for (place, server) in race.servers.iter_mut().enumerate() {
            for cell in server.rounds.iter_mut().flat_map(|round| &mut round.cells) {
                let rush = cell.rush.as_mut().unwrap();
                // Chapter 8's answers twice as many.
                rush.answered = if place == 1 { 2000 } else { 1000 };
                rush.load_cpu = if busy { rush.lasted } else { 0 };
            }
        }
        race
    };
    let is_told = |text: &str| text.lines().any(|line| line.starts_with("  Answers a second"));
    let idle = compared(vec![rushed(false), rushed(false)]);
    assert!(is_told(&idle), "{idle}");
    let busy = compared(vec![rushed(true), rushed(true)]);
    assert!(!is_told(&busy), "{busy}");
}

#[test]
fn only_who_ran_in_all_of_them_is_compared() {
    let mut fewer = race(LOW, HIGH, LOW);
    fewer.servers.retain(|server| server.name != "8");
    let text = compared(vec![race(LOW, HIGH, LOW), fewer]);
    assert_eq!(of_cpu(&text), None, "{text}");
}

#[test]
fn nothing_is_wider_than_a_terminal_or_obeyed_by_it() {
    let (open, closed) = made::both_ways();
    let mut all: Vec<(String, Race)> =
        made::odd().into_iter().map(|(name, race)| (name.to_owned(), race)).collect();
    all.extend([("open".to_owned(), open), ("closed".to_owned(), closed)]);
    for (name, race) in all {
        let long = format!("/tmp/{}/\u{1b}[31m.json", "folder-".repeat(8));
        let text = print(&[(name.clone(), race), (long, made::chapters())]);
        for line in text.lines() {
            assert!(!line.contains(char::is_control), "{name}: {line:?}");
            assert!(display_width(line) <= 80, "{name}: {line}");
        }
    }
}
