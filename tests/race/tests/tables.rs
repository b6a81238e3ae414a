//! What a race looks like in a terminal.

mod made;

use race::result::{Answers, Counted, Pace, Race, Role, Server};
use race::table::print;
use race::units::Unit;
use rstest::rstest;
use textwrap::core::display_width;

/// The table with this title, as rows of cells.
fn table(text: &str, title: &str) -> Vec<Vec<String>> {
    let lines = text.lines().skip_while(|line| !line.starts_with(title));
    let rows: Vec<Vec<String>> = lines
        .skip(1)
        .take_while(|line| line.starts_with("  ") && !line.contains(": "))
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .map(str::to_owned)
                .collect()
        })
        .collect();
    assert!(!rows.is_empty(), "{title} isn't in\n{text}");
    rows
}

fn row(text: &str, title: &str, name: &str) -> String {
    let rows = table(text, title);
    let row = rows.into_iter().find(|row| row[0] == name);
    row.unwrap_or_else(|| panic!("no row of {name} in\n{text}"))[1..].join(" | ")
}

#[test]
fn nothing_is_wider_than_a_terminal_or_obeyed_by_it() {
    let (open, closed) = made::both_ways();
    let races = [("chapters", made::chapters()), ("open", open), ("closed", closed)];
    for (name, race) in made::odd().into_iter().chain(races) {
        let text = print(&race);
        assert!(text.ends_with('\n'), "{name}: {text}");
        for line in text.lines() {
            assert!(display_width(line) <= 80, "{name}: {line}\n{text}");
            assert!(!line.contains(char::is_control), "{name}: {line:?}");
        }
    }
}

#[test]
fn what_was_measured_and_where() {
    let mut race = made::chapters();
    let head = |race: &Race| print(race).replace('\n', " ");
    let text = head(&race);
    for part in [
        "The race of Sun, 29 Nov 2026 13:00:00 GMT",
        "Invented Processor 9000 @ 2.40GHz, 2 cores, Linux 6.12.1; server and load on a core of their own each",
        "5 rounds; 500 requests a second, each timed from when it was due, for 2 s with each crowd; \
         then as fast as answers came, for 500 ms; a new connection for each request",
        "  nginx    nginx 1.26",
    ] {
        assert!(text.contains(part), "{part} isn't in\n{text}");
    }
    assert!(!text.contains("cut short"));
    race.machine.pinned = false;
    race.machine.processor = None;
    race.plan.pace = Pace::Closed { at_once: 64, a_second: None };
    race.plan.rush = 0;
    race.plan.stays = true;
    race.plan.meanwhile = Some("a greedy visitor".to_owned());
    race.cut_short = true;
    let text = head(&race);
    for part in [
        "unknown processor, 2 cores, Linux 6.12.1; server and load on the same cores, so that the load may have been the limit anywhere",
        "64 at once, each timed from when it was sent, for 2 s with each crowd; visitors stayed; \
         in the middle third of the time there was a greedy visitor",
        "It was cut short",
    ] {
        assert!(text.contains(part), "{part} isn't in\n{text}");
    }
}

#[rstest]
#[case("Latency: 99 of 100", "3", "174 µs | 175 µs | 180 µs | 229 µs | 449 µs | ×")]
#[case("Latency: 99 of 100", "4", "128 µs | 135 µs | 193 µs | 770 µs | 3.34 ms*")]
#[case("Latency: the median", "2", "70 µs | ×")]
#[case("Failures", "3", "0 % | 0 % | 0 % | 0 % | 0 % | 100 %×")]
#[case("CPU time", "nginx", "23.5 µs | 23.5 µs | 23.5 µs | 23.6 µs | 24.1 µs | 24.8 µs")]
#[case("Answers", "8", "30,000° | 30,000° | 30,000 | 30,000 | 29,900 | 29,800")]
#[case("Memory", "11", "2.6 MB | 2.62 MB | 2.79 MB | 4.5 MB | 12.1 MB | 21.6 MB")]
#[case("Memory for each", "11", "1.9 kB | 1.9 kB | 1.9 kB | 1.9 kB | 1.9 kB")]
#[case("Threads", "3", "2 | 12 | 102 | 1,002 | 5,002 | ×")]
fn a_row(#[case] title: &str, #[case] name: &str, #[case] cells: &str) {
    assert_eq!(row(&print(&made::chapters()), title, name), cells);
}

/// A figure stands below its crowd: a cell that's missing isn't filled by the next one.
#[test]
fn figures_stand_below_their_crowds() {
    let text = print(&made::chapters());
    let lines: Vec<&str> =
        text.lines().skip_while(|line| !line.starts_with("Memory for each")).collect();
    let end = |line: &str, part: &str| {
        let at = line.find(part).unwrap_or_else(|| panic!("{part} isn't in {line}"));
        display_width(&line[..at + part.len()])
    };
    let nginx = lines.iter().find(|line| line.starts_with("  nginx")).expect("a row");
    // It begins with the second: with nobody, there's nobody to share the memory.
    assert_eq!(end(lines[1], " 10 "), end(nginx, "510 B") + 1, "{text}");
}

#[test]
fn why_something_failed() {
    let text = print(&made::chapters());
    for line in [
        "  2, with 10: nobody was answered in 5 of 5 rounds, 500 refused, 4,500 not\n    answered\n",
        "  3, with 10,000: nobody was answered in 5 of 5 rounds, 5,000 refused, 7,000 of\n    10,000 inside \
         (Connection refused (os error 111))\n",
        "  4, with 5,000: 1,020 of 5,000 inside (hung up on)\n",
        "\n×: nobody was answered\n",
        "\n*: not all of the crowd were inside\n",
        "\n°: the load was the limit, not the server\n",
    ] {
        assert!(text.contains(line), "{line} isn't in\n{text}");
    }
    let well = print(&made::race(vec![made::growing("5", "poll", 10, 0, 50, 0)]));
    for word in ["What failed", "×:", "*:", "°:", "busy"] {
        assert!(!well.contains(word), "{word} is in\n{well}");
    }
}

/// One round of five in which nobody was answered is no cross, and is told.
#[test]
fn one_bad_round_is_told() {
    let mut race = made::race(vec![made::growing("5", "poll", 3_000_000, 0, 50, 0)]);
    race.servers[0].rounds[2].cells[1] = made::failed(10);
    race.servers[0].rounds[2].cells.truncate(2);
    let text = print(&race);
    assert!(
        text.contains("  5, with 10: nobody was answered in 1 of 5 rounds, 100 refused, 900 not\n"),
        "{text}"
    );
    assert!(!text.contains('×'), "{text}");
}

#[test]
fn the_noise_floor() {
    let flat = |text: &str| text.replace('\n', " ");
    let mut race = made::chapters();
    let text = flat(&print(&race));
    assert!(text.contains("The noise floor: 8 and 8 again are the same program, and differ by up to ×1.06 (latency: 99 of 100 took no longer)"), "{text}");
    // In whichever crowd it's the largest, and whichever of the two is slower.
    for round in &mut race.servers[7].rounds {
        let cell = &mut round.cells[3];
        cell.window.latency = cell.window.latency.iter().map(|latency| latency / 4).collect();
    }
    assert!(flat(&print(&race)).contains("×3.78 (latency: 99 of 100"), "{}", print(&race));
    race.servers.retain(|server| server.role != Role::Again);
    assert!(print(&race).contains("how large the noise is isn't known"));
    // One that's called so and isn't measured as such is none.
    let not_again = Server { role: Role::Measured, ..made::growing("5 again", "x", 10, 0, 5, 0) };
    race.servers.push(not_again);
    assert!(print(&race).contains("how large the noise is isn't known"));
}

/// A load that doesn't keep to its times says so.
#[test]
fn a_load_that_is_late() {
    let mut race = made::chapters();
    for round in &mut race.servers[4].rounds {
        round.cells[4].window.late = 7_000_000;
    }
    // Once is no median.
    race.servers[5].rounds[0].cells[0].window.late = 900_000_000;
    let text = print(&race).replace('\n', " ");
    let said = "one request in a hundred was sent 7 ms after it was due, or later (most with 6, and 5,000 silent visitors).";
    assert!(text.contains(said), "{text}");
}

#[test]
fn other_programs_are_named_once() {
    let text = print(&made::chapters());
    assert!(text.ends_with("Other programs were busy meanwhile: chromium, rustc.\n"), "{text}");
}

/// The one in the middle of the rounds, and not their mean.
#[test]
fn one_slow_round_changes_nothing() {
    let cell = |slowest| vec![made::cell(0, slowest, 500, 500)];
    let rounds = [1_000_000, 1_200_000, 900_000_000].map(cell).to_vec();
    let mut race = made::race(vec![made::server("5", "poll", rounds)]);
    race.plan.crowds = vec![0];
    assert_eq!(row(&print(&race), "Latency: 99 of 100", "5"), "1.1 ms");
}

#[test]
fn a_server_that_is_the_load() {
    let mut race = made::chapters();
    for round in &mut race.servers[3].rounds {
        let window = &mut round.cells[0].window;
        *window = Answers { load_cpu: 1_900_000_000, ..window.clone() };
    }
    let text = print(&race);
    assert!(row(&text, "Latency: 99 of 100", "5").starts_with("126 µs° | 133 µs |"), "{text}");
    assert!(
        row(&text, "CPU time", "5").starts_with("26.9 µs |"),
        "CPU time holds however late it's asked"
    );
}

#[rstest]
#[case(Unit::Time, 0.0, "0 ns")]
#[case(Unit::Time, 999.4, "999 ns")]
#[case(Unit::Time, 999.6, "1 µs")]
#[case(Unit::Time, 12_345.0, "12.3 µs")]
#[case(Unit::Time, 999_600.0, "1 ms")]
#[case(Unit::Time, 1e9, "1 s")]
#[case(Unit::Time, u64::MAX as f64, "18.4 Gs")]
#[case(Unit::Bytes, 999.0, "999 B")]
#[case(Unit::Bytes, 2_600_000.0, "2.6 MB")]
#[case(Unit::Bytes, u64::MAX as f64, "18.4 EB")]
#[case(Unit::Percent, 0.1, "0.1 %")]
#[case(Unit::Percent, 33.333, "33.3 %")]
#[case(Unit::Percent, 100.0, "100 %")]
#[case(Unit::Rate, 57.123, "57.1")]
#[case(Unit::Rate, 29_998.0, "30,000")]
#[case(Unit::Count, 10_002.0, "10,002")]
#[case(Unit::Count, 1_000_000.0, "1 M")]
fn units(#[case] unit: Unit, #[case] figure: f64, #[case] shown: &str) {
    assert_eq!(unit.show(figure), shown);
}

#[test]
fn calls_and_turns_are_for_each_answer_and_counted_once() {
    let mut race = made::chapters();
    for server in &mut race.servers {
        for (place, round) in server.rounds.iter_mut().enumerate() {
            for cell in &mut round.cells {
                cell.counted = (place == 0).then_some(Counted {
                    answers: 10,
                    calls: 163,
                    turns: cell.crowd as u64,
                });
            }
        }
    }
    let text = print(&race);
    assert_eq!(row(&text, "System calls for each", "8"), "16.3 | 16.3 | 16.3 | 16.3 | 16.3 | 16.3");
    assert_eq!(row(&text, "Turns of the loop", "8"), "0 | 1 | 10 | 100 | 500 | 1,000");
    assert!(!text.contains("weren't counted"), "{text}");
    for round in race.servers.iter_mut().flat_map(|server| &mut server.rounds) {
        for cell in &mut round.cells {
            cell.counted = None;
        }
    }
    let text = print(&race);
    assert!(text.contains("System calls weren't counted"), "{text}");
    assert!(!text.contains("System calls for each"), "{text}");
}

#[test]
fn one_in_a_thousand_is_told_where_there_were_a_thousand() {
    let race = |answered| {
        let mut cell = made::cell(0, 1_200_000, 1000, 1_000_000);
        cell.window.answered = answered;
        cell.window.latency = (1..=12).map(|part| part * 1_000_000).collect();
        let mut race = made::race(vec![made::server("5", "chapter 5", vec![vec![cell]])]);
        race.plan.crowds = vec![0];
        print(&race)
    };
    assert_eq!(row(&race(1000), "Latency: 999 of 1,000", "5"), "9 ms");
    assert_eq!(row(&race(1000), "Latency: the longest", "5"), "12 ms");
    let text = race(999);
    assert!(!text.contains("999 of 1,000"), "{text}");
    assert_eq!(row(&text, "Latency: the longest", "5"), "12 ms");
}

#[test]
fn a_server_that_has_ended_is_told_though_all_were_inside() {
    let mut race = made::chapters();
    let server = race.servers.iter_mut().find(|server| server.name == "8").unwrap();
    let cell = server.rounds[1].cells.last_mut().unwrap();
    cell.why = Some("it has ended".to_owned());
    let text = print(&race);
    assert!(text.contains("\n  8, with 10,000: it has ended\n"), "{text}");
}

#[test]
fn who_met_a_crowd_in_some_rounds_only_is_told() {
    let mut race = made::chapters();
    let server = race.servers.iter_mut().find(|server| server.name == "5").unwrap();
    for round in &mut server.rounds[3..] {
        round.cells.pop();
    }
    let text = print(&race);
    let told = "\nIn some of the rounds only\n  5, with 10,000: 3 of 5 rounds\n";
    assert!(text.contains(told), "{text}");
    assert!(!print(&made::chapters()).contains("In some of the rounds"));
}
