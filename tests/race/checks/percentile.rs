//! The checks of race-percentile: many latencies in little memory.

use std::fs;
use std::io::{self, PipeWriter, Write};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use grader::check;
use grader::check::Check;
use rstest::rstest;
use visitors::program::{Program, Start};

/// What is told when nothing more comes.
const AT_THE_END: [&str; 4] = ["50", "99", "99.9", "100"];

/// The judged program, and what it reads from.
struct Judged<'a> {
    check: &'a Check,
    program: Program,
    input: PipeWriter,
}

impl<'a> Judged<'a> {
    #[track_caller]
    fn start(check: &'a Check) -> Self {
        let started = io::pipe().and_then(|(reader, input)| {
            let start = Start::new(check.program()).env("RUST_BACKTRACE", "0").stdin(reader);
            Ok((start.start()?, input))
        });
        match started {
            Ok((program, input)) => Self { check, program, input },
            Err(error) => check.fail(format!("your program can't be started: {error}")),
        }
    }

    /// Is told these lines, of which the last one asks for a percentile, and goes on when it's answered.
    #[track_caller]
    fn asked(&self, lines: &str, percent: &str, when: &str) {
        let mut input = match self.input.try_clone() {
            Ok(input) => input,
            Err(error) => self.check.fail(format!("a pipe can't be cloned: {error}")),
        };
        let lines = lines.to_owned();
        thread::spawn(move || drop(input.write_all(lines.as_bytes())));
        let answer = format!("p{percent}: ");
        if let Err(trouble) = self.program.prints(|line| line.starts_with(&answer)) {
            self.check.fail_for(&format!("{when}, your program was to tell p{percent}"), &trouble);
        }
    }

    /// All that there is to say, and the end. Gives the lines that it has printed.
    #[track_caller]
    fn told(self, lines: &str, when: &str) -> Vec<String> {
        let (mut input, lines) = (self.input, lines.to_owned());
        // A program that doesn't read must not hold us up, and one that has ended has said why.
        thread::spawn(move || drop(input.write_all(lines.as_bytes())));
        let expected = format!("{when}, your program was to tell, and to end");
        match self.program.ended() {
            Ok(status) if status.success() => {}
            Ok(_) => {
                let trouble = self.program.ended_with().expect("it has ended");
                self.check.fail_for(&expected, &trouble);
            }
            Err(trouble) => self.check.fail_for(&expected, &trouble),
        }
        let printed = String::from_utf8_lossy(&self.program.stdout()).into_owned();
        printed.lines().map(str::to_owned).collect()
    }
}

/// The program is told these lines, and has to print just these.
#[track_caller]
fn tells(check: &Check, lines: &[&str], expected: &[&str], when: &str) {
    tells_or(check, lines, expected, when, |_, _| "");
}

/// The same. `suspect` is given the first line that isn't told, and the value that is told instead, if any, and names the
/// cause, if it has an opinion.
#[track_caller]
fn tells_or(
    check: &Check,
    lines: &[&str],
    expected: &[&str],
    when: &str,
    suspect: impl Fn(&str, Option<u64>) -> &'static str,
) {
    let printed = Judged::start(check).told(&(lines.join("\n") + "\n"), when);
    let shown: Vec<&str> = printed.iter().take(expected.len()).map(String::as_str).collect();
    let wrong = expected.iter().zip(&shown).find(|(expected, printed)| expected != printed);
    if let Some((expected, printed)) = wrong {
        match suspect(expected, value_of(printed)) {
            "" => {}
            cause => check.suspect(cause),
        }
        check.fail(format!("{when}, your program told {printed}, and not {expected}"));
    }
    if printed.len() != expected.len() + AT_THE_END.len() {
        let (is, to_be) = (printed.len(), expected.len() + AT_THE_END.len());
        check.fail(format!("{when}, your program printed {is} lines, and not {to_be}"));
    }
}

#[rstest]
#[case::zero(0)]
#[case::one(1)]
#[case::of_seven_bits(127)]
#[case::of_eight_bits(128)]
#[case::of_nine_bits(256)]
#[case::a_thousand(1000)]
#[case::a_minute_in_nanoseconds(60_000_000_000)]
#[case::more_than_a_float_holds((1 << 53) + 1)]
#[case::half_of_all(1 << 63)]
#[case::the_greatest(u64::MAX)]
fn a_value_alone(#[case] value: u64) {
    let check = check!("race-percentile");
    check.suspect("a-value-that-cant-be-counted");
    check.suspect_where("told p0: 0, and not", "another-rank");
    let suspect = |_: &str, told: Option<u64>| match told {
        // Behind the last bucket, what is more than a u64 holds has become 0.
        Some(0) if value == u64::MAX => "the-last-bucket",
        Some(told) => not_as_it_is(told, value),
        None if value == 0 => "a-value-that-cant-be-counted",
        None => "another-rank",
    };
    let expected = ["100", "0", "50"].map(|percent| format!("p{percent}: {value}"));
    let lines = [&value.to_string(), "p 100", "p 0", "p 50"];
    tells_or(
        &check,
        &lines,
        &expected.each_ref().map(String::as_str),
        &format!("after {value} alone"),
        suspect,
    );
}

/// The value in a line such as `p50: 7`. None if it's `none`.
fn value_of(line: &str) -> Option<u64> {
    line.split_once(": ")?.1.parse().ok()
}

/// What is wrong where this is told of the greatest value.
fn not_as_it_is(told: u64, greatest: u64) -> &'static str {
    match told {
        more if more > greatest => "p100-isnt-the-greatest",
        // The value's bucket was found, and there isn't more in it than that.
        near if near >= greatest - greatest / SHARE => "less-than-it-is",
        _ => "most-isnt-kept",
    }
}

#[rstest]
#[case::it_comes_last(&["5", "1000003"], 1_000_003)]
#[case::it_comes_first(&["1000003", "5"], 1_000_003)]
#[case::it_comes_in_between(&["5", "999999999999", "7", "999999999000"], 999_999_999_999)]
#[case::often(&["1000003 4", "5 1000"], 1_000_003)]
#[case::another_one_came_0_times(&["1000003", "2000000 0"], 1_000_003)]
fn the_greatest_is_told_as_it_is(#[case] before: &[&str], #[case] expected: u64) {
    let check = check!("race-percentile");
    check.suspect("most-isnt-kept");
    let has_come =
        |told: u64| before.iter().any(|line| line.split(' ').next() == Some(&told.to_string()));
    let suspect = |_: &str, told: Option<u64>| match told {
        Some(told) if told > expected && before.iter().any(|line| line.ends_with(" 0")) => {
            "what-came-0-times-counts"
        }
        Some(told) if has_come(told) => "most-isnt-kept",
        Some(told) => not_as_it_is(told, expected),
        None => "another-rank",
    };
    let lines = [before, &["p 100"]].concat();
    let when = format!("after `{}`", before.join("`, `"));
    tells_or(&check, &lines, &[&format!("p100: {expected}")], &when, suspect);
}

#[rstest]
#[case::yet(&[])]
#[case::or_0_times(&["1000 0"])]
#[case::in_two_parts(&["part"])]
fn nothing_has_come(#[case] before: &[&str]) {
    let check = check!("race-percentile");
    check.suspect("nothing-has-a-percentile");
    let lines = [before, &["p 0", "p 50", "p 100"]].concat();
    let when = match before {
        [] => "with nothing".to_owned(),
        before => format!("after {:?} and nothing else", before.join(" ")),
    };
    tells(&check, &lines, &["p0: none", "p50: none", "p100: none"], &when);
}

/// The page's example.
#[test]
fn a_percentile_is_a_rank() {
    let check = check!("race-percentile");
    check.suspect("another-rank");
    check.suspect_where("told p100: 0, and not", "most-isnt-kept");
    let values: Vec<String> = (1..=10).map(|n| (10 * n).to_string()).collect();
    let asked = [
        ("100", 100),
        ("0", 10),
        ("0.001", 10),
        ("10", 10),
        ("10.001", 20),
        ("50", 50),
        ("51", 60),
        ("60", 60),
        ("90", 90),
        ("91", 100),
        ("99.9", 100),
    ];
    for (percent, expected) in asked {
        let question = format!("p {percent}");
        let lines: Vec<&str> = values.iter().map(String::as_str).chain([&*question]).collect();
        let expected = format!("p{percent}: {expected}");
        tells(&check, &lines, &[&expected], "after 10, 20, 30 and so on up to 100");
    }
}

#[rstest]
#[case::three("times-arent-counted", &["7 3", "9"], "75", 7)]
#[case::more_than_a_u32_counts("numbers-too-small-for-a-count", &["7 5000000000", "9 4000000000"], "55", 7)]
#[case::more_than_a_u32_counts_of_the_next("numbers-too-small-for-a-count", &["7 4000000000", "9 5000000000"], "45", 9)]
#[case::in_several_lines("counts-are-replaced", &["7 3000000000", "9", "7 3000000000", "9 999999999"], "85", 7)]
fn many_equal_values(
    #[case] cause: &'static str,
    #[case] before: &[&str],
    #[case] percent: &str,
    #[case] expected: u64,
) {
    let check = check!("race-percentile");
    check.suspect(cause);
    check.suspect_where("a loop that never waits", "counts-one-by-one");
    let question = format!("p {percent}");
    let lines = [before, &[question.as_str()]].concat();
    let when = format!("after `{}`", before.join("`, `"));
    tells(&check, &lines, &[&format!("p{percent}: {expected}")], &when);
}

#[rstest]
#[case::seven_of_a_hundred(&["1 7", "2 93"], "7", 1)]
#[case::and_a_little_more(&["1 7", "2 93"], "7.001", 2)]
#[case::fourteen_of_fifty(&["1 7", "2 43"], "14", 1)]
#[case::all_but_one_of_a_thousand(&["1 999", "2"], "99.9", 1)]
#[case::and_a_little_more_of_a_thousand(&["1 999", "2"], "99.901", 2)]
fn the_rank_is_exact(#[case] before: &[&str], #[case] percent: &str, #[case] expected: u64) {
    let check = check!("race-percentile");
    check.suspect("another-rank");
    // One that is too high, where others have been right.
    check.suspect_where(": 2, and not", "a-rank-in-floating-point");
    has_the_rank(&check, before, percent, expected);
}

#[rstest]
#[case::just_more_than_half(&["1 9223372036854775807", "2 9223372036854775808"], "50", 2)]
#[case::half(&["1 4611686018427387904", "2 4611686018427387904"], "50", 1)]
#[case::a_part(&["1 9223372036854775807", "2 9223372036854775808"], "49.999", 1)]
#[case::all(&["1 18446744073709551614", "2"], "100", 2)]
#[case::all_but_one(&["1 18446744073709551614", "2"], "99.999", 1)]
#[case::one_more_than_a_float_can_tell(&["1 4611686018427387904", "2 4611686018427387905"], "50", 2)]
fn the_rank_of_very_many_is_exact(
    #[case] before: &[&str],
    #[case] percent: &str,
    #[case] expected: u64,
) {
    let check = check!("race-percentile");
    check.suspect("numbers-too-small-for-a-count");
    // A f64 takes the greatest u64 for one more than it is, and none has that rank.
    check.suspect_where(": none, and not", "a-rank-in-floating-point");
    check.suspect_where("a loop that never waits", "counts-one-by-one");
    has_the_rank(&check, before, percent, expected);
}

#[track_caller]
fn has_the_rank(check: &Check, before: &[&str], percent: &str, expected: u64) {
    let question = format!("p {percent}");
    let lines = [before, &[question.as_str()]].concat();
    let when = format!("after `{}`", before.join("`, `"));
    tells(check, &lines, &[&format!("p{percent}: {expected}")], &when);
}

/// How far what is told may be from what is true.
const SHARE: u64 = 100;
/// So many values are told of each sort: then each has a percentile of its own.
const MANY: usize = 1000;

/// All of these values are counted, in any order, and each is asked for.
#[track_caller]
fn none_is_far_off(check: &Check, mut values: Vec<u64>) {
    check.suspect_where("panicked at", "a-value-that-cant-be-counted");
    check.suspect_where("a loop that never waits", "a-table-too-large");
    // The greatest is told as it is, and so nothing would be seen of it.
    values.push(u64::MAX);
    assert_eq!(values.len(), MANY);
    let mut rng = Rng::with_seed(7);
    rng.shuffle(&mut values);
    let mut lines: String = values.iter().map(|value| format!("{value}\n")).collect();
    let percents = (1..=MANY).map(|rank| format!("{}.{}", rank / 10, rank % 10));
    lines.extend(percents.map(|percent| format!("p {percent}\n")));
    let printed = Judged::start(check).told(&lines, "after a thousand values");
    values.sort_unstable();
    // Each of these has a bucket of its own, and what is behind it is one more.
    let mut small = values.iter().zip(&printed).filter(|(value, _)| **value < SHARE).peekable();
    let is_behind =
        small.peek().is_some() && small.all(|(value, line)| value_of(line) == Some(value + 1));
    for (value, line) in values.iter().zip(&printed) {
        let Some(told) = value_of(line) else {
            check.fail(format!("your program told {line}, and the value is {value}"));
        };
        let most = value.saturating_add(value / SHARE);
        if told < *value || told > most {
            let how = match told < *value {
                true => "less than it is",
                false => "more than 1 % too much",
            };
            check.suspect_where("less than it is", "less-than-it-is");
            if is_behind {
                check.suspect("the-last-bucket");
            }
            check.fail(format!("a value is {value}, and your program told {told}: {how}"));
        }
    }
}

#[test]
fn small_values_are_told_as_they_are() {
    let check = check!("race-percentile");
    check.suspect("small-values-are-wrong");
    // Below a hundred, one percent is less than 1.
    none_is_far_off(&check, (0..MANY as u64 - 1).map(|n| n / 10).collect());
}

#[test]
fn values_one_after_the_other() {
    let check = check!("race-percentile");
    check.suspect("too-far-off");
    none_is_far_off(&check, (0..MANY as u64 - 1).collect());
}

/// Around each power of two, and around each place where a bucket might end.
#[test]
fn values_at_the_edges() {
    let check = check!("race-percentile");
    check.suspect("too-far-off");
    let mut rng = Rng::with_seed(11);
    let powers = (0..64).map(|exponent| 1u64 << exponent);
    let around = |power: u64| {
        [power - 1, power, power.saturating_add(1), power.wrapping_shl(1).wrapping_sub(1)]
    };
    let mut values: Vec<u64> = powers.flat_map(around).collect();
    while values.len() < MANY - 1 {
        let shift = rng.u32(0..56);
        let edge = rng.u64(128..256) << shift;
        values.extend([edge, edge - 1, edge + (1 << shift) / 2]);
    }
    values.truncate(MANY - 1);
    none_is_far_off(&check, values);
}

#[test]
fn values_of_any_size() {
    let check = check!("race-percentile");
    check.suspect("too-far-off");
    let mut rng = Rng::with_seed(13);
    none_is_far_off(&check, (0..MANY - 1).map(|_| rng.u64(..) >> rng.u32(0..64)).collect());
}

#[test]
fn very_many_values() {
    const VALUES: usize = 60_000;
    let check = check!("race-percentile");
    check.suspect("leaves-some-out");
    let mut rng = Rng::with_seed(19);
    let mut values: Vec<u64> = (0..VALUES).map(|_| rng.u64(..1 << 40)).collect();
    values.sort_unstable();
    // The greatest come last: whoever leaves out what comes late misses them.
    let mut lines: String = values.iter().map(|value| format!("{value}\n")).collect();
    lines.extend((1..100).map(|percent| format!("p {percent}\n")));
    let when = format!("after {VALUES} values");
    let printed = Judged::start(&check).told(&lines, &when);
    for (percent, line) in (1..100).zip(printed) {
        let value = values[VALUES * percent / 100 - 1];
        let told = value_of(&line);
        let most = value + value / SHARE;
        if told.is_none_or(|told| !(value..=most).contains(&told)) {
            check.fail(format!("{when}, your program told {line}, and p{percent} is {value}"));
        }
    }
}

#[test]
fn asked_in_between() {
    let check = check!("race-percentile");
    check.suspect("asking-changes-it");
    let lines = ["10", "p 50", "p 50", "20", "20", "p 50", "5 7", "p 50", "p 100", "30", "p 100"];
    let expected = ["p50: 10", "p50: 10", "p50: 20", "p50: 5", "p100: 20", "p100: 30"];
    tells(&check, &lines, &expected, "asked again and again while values come");
}

#[rstest]
#[case::the_slow_part_is_small(&["1 99", "part", "80 1"], &[("50", 1), ("99", 1), ("99.1", 80)])]
#[case::the_slow_part_comes_first(&["80 1", "part", "1 99"], &[("50", 1), ("99", 1), ("99.1", 80), ("100", 80)])]
#[case::the_same_in_both(&["7 2", "9", "part", "7 2", "9"], &[("66", 7), ("67", 9)])]
#[case::an_empty_one_at_the_end(&["1", "5", "part"], &[("50", 1), ("100", 5)])]
#[case::an_empty_one_at_the_beginning(&["part", "1", "5"], &[("50", 1), ("100", 5)])]
#[case::four(&["1", "part", "2", "part", "3", "part", "4"], &[("25", 1), ("50", 2), ("75", 3), ("100", 4)])]
#[case::with_large_values(&["1000003 3", "part", "5"], &[("25", 5), ("100", 1_000_003)])]
#[case::of_very_many(&["1 6000000000", "part", "2 6000000000"], &[("50", 1), ("50.001", 2)])]
fn parts_are_told_together(#[case] before: &[&str], #[case] asked: &[(&str, u64)]) {
    let check = check!("race-percentile");
    check.suspect("parts-arent-added-up");
    let is_near_above =
        |told: u64, value: Option<u64>| value.is_some_and(|v| told > v && told <= v + v / SHARE);
    let suspect = |expected: &str, told: Option<u64>| match told {
        // It may have the same bucket as the value, but it hasn't come.
        Some(told) if is_near_above(told, value_of(expected)) => "merges-other-values",
        // Only the greatest is wrong, or nothing more than 0 is told.
        Some(0) => "most-isnt-merged",
        Some(_) if expected.starts_with("p100: ") => "most-isnt-merged",
        _ => "",
    };
    check.suspect_where("a loop that never waits", "counts-one-by-one");
    let questions: Vec<String> = asked.iter().map(|(percent, _)| format!("p {percent}")).collect();
    let questions: Vec<&str> = questions.iter().map(String::as_str).collect();
    let expected: Vec<String> =
        asked.iter().map(|(percent, value)| format!("p{percent}: {value}")).collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    let when = format!("after `{}`", before.join("`, `"));
    tells_or(&check, &[before, &questions].concat(), &expected, &when, suspect);
}

#[test]
fn to_count_costs_little() {
    let check = check!("race-percentile");
    check.suspect("searches-for-the-bucket");
    check.suspect_where("panicked at", "a-value-that-cant-be-counted");
    counts_at_little_cost(&check, |n| u64::MAX - n);
}

/// Whoever searches has found these at once.
#[test]
fn to_count_a_small_value_costs_little() {
    let check = check!("race-percentile");
    check.suspect("goes-through-all-buckets");
    counts_at_little_cost(&check, |n| n % 5);
}

#[track_caller]
fn counts_at_little_cost(check: &Check, value: impl Fn(u64) -> u64) {
    const VALUES: u64 = 50_000;
    /// Much more than it takes to read so many lines.
    const PLENTY: Duration = Duration::from_millis(1000);
    let values: String = (0..VALUES).map(|n| format!("{}\n", value(n))).collect();
    let judged = Judged::start(check);
    judged.asked(&(values + "p 50\n"), "50", &format!("after {VALUES} values"));
    let used = judged.program.usage().unwrap_or_default().cpu;
    if used > PLENTY {
        let ms = used.as_millis();
        check.fail(format!("your program used {ms} ms of CPU time to count {VALUES} values"));
    }
}

#[test]
fn memory_has_an_end() {
    /// So many touch all of a table, in each of two parts.
    const FEW: usize = 2000;
    const VALUES: usize = 150_000;
    const PARTS: usize = 200;
    /// More than is touched for the first time of a table that is there already, in bytes; and less than the values take.
    const MORE: u64 = 512 << 10;
    /// More than three histograms may take, of two parts and of both together, in bytes, and what else is touched for the first
    /// time.
    const PLENTY: u64 = 4 << 20;
    let check = check!("race-percentile");
    check.suspect("keeps-the-values");
    check.suspect_where("a loop that never waits", "a-table-too-large");
    let judged = Judged::start(&check);
    if let Err(trouble) = judged.program.settled() {
        check.fail_for("your program was to wait for the first line", &trouble);
    }
    let peak = |judged: &Judged<'_>| -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", judged.program.pid())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
    };
    // Where the system can't tell, nobody can.
    let grown = |before: Option<u64>, limit: u64, what: &str, cause: &'static str| {
        let now = peak(&judged);
        let more = now.unwrap_or_default().saturating_sub(before.unwrap_or(u64::MAX));
        if more > limit {
            let (more, limit) = (more >> 10, limit >> 10);
            check.suspect(cause);
            check.fail(format!(
                "after {what} your program needed {more} KiB more memory than before, and {limit} KiB are plenty"
            ));
        }
        now
    };
    let mut rng = Rng::with_seed(17);
    let few = (0..2 * FEW).map(|_| rng.u64(..) >> rng.u32(0..64)).enumerate();
    let line = |(place, value)| format!("{value}\n{}", if place == FEW { "part\n" } else { "" });
    let few: String = few.map(line).collect();
    let values = (0..VALUES).map(|_| format!("{}\n", rng.u64(..) >> rng.u32(0..40)));
    let values: String = values.collect();
    let parts = (0..PARTS).map(|_| format!("{}\npart\n", rng.u64(..)));
    let parts: String = parts.collect();

    let before = peak(&judged);
    judged.asked(&(few + "p 50\n"), "50", "after 4,000 values in two parts");
    let table = grown(before, PLENTY, "4,000 values in two parts", "a-table-too-large");
    judged.asked(&(values + "p 99\n"), "99", "after 150,000 values");
    grown(table, MORE, "150,000 values", "keeps-the-values");
    judged.asked(&(parts + "p 99.9\n"), "99.9", "after 200 parts");
    grown(table, MORE, "200 parts", "keeps-the-values");
}
