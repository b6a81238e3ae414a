//! The curves: what is drawn is what was measured, and a table that can't be drawn is told of.

use std::fs;

use assert_cmd::Command;
use book::curves::table::Table;
use book::curves::{self, CURVES, picture};
use book::repo::Repo;
use regex::Regex;
use rstest::rstest;

const GOOD: &str = "\
 silent visitors      select        poll
               0      1.7 µs      0.8 µs
             100      7.2 µs      7.7 µs
(a note)
            1000     74.7 µs     69.5 µs
            8000  impossible   1045.5 µs
";

fn drawn(table: &str) -> String {
    let table = Table::read("x.txt", table).expect("the table is in order");
    picture::draw("05-x", "A & B", &table)
}

#[test]
fn each_committed_picture_is_what_its_committed_table_gives() {
    let repo = Repo::this().expect("tests run in a checkout");
    for (name, what) in CURVES {
        let drawn = curves::drawing(&repo, name, what).expect("the table can be drawn");
        let path = repo.pictures().join(format!("{name}.svg"));
        let committed = fs::read_to_string(&path).expect("the picture is there");
        assert!(drawn == committed, "{name}.svg is out of date: run `cargo book curves {name}`");
    }
}

#[rstest]
#[case::no_size("             100", "             1e2", "x.txt:3: `1e2` is no size")]
#[case::no_growth(
    "             100",
    "               0",
    "x.txt:3: the sizes must grow, and 0 doesn't"
)]
#[case::a_cell_too_few("7.2 µs", "", "x.txt:3: the table has 3 columns, and this row 2")]
#[case::one_space("7.2 µs      7", "7.2 µs 7", "x.txt:3: the table has 3 columns, and this row 2")]
#[case::no_unit("69.5 µs", "69.5", "x.txt:5: `69.5` is neither a figure with its unit")]
#[case::no_number("69.5 µs", "69,5 µs", "x.txt:5: `69,5 µs` is neither a figure with its unit")]
#[case::zero("69.5 µs", "0.0 µs", "x.txt:5: `0.0 µs` can't be on a logarithmic scale")]
#[case::less("69.5 µs", "-1.0 µs", "x.txt:5: `-1.0 µs` can't be on a logarithmic scale")]
#[case::another_unit("69.5 µs", "69.5 ms", "x.txt:5: `69.5 ms` has another unit")]
#[case::one_column("      select        poll", "", "x.txt:1: a first column of sizes")]
fn a_broken_table(#[case] good: &str, #[case] broken: &str, #[case] message: &str) {
    let table = GOOD.replacen(good, broken, 1);
    assert_ne!(table, GOOD, "nothing was broken");
    let error = Table::read("x.txt", &table).err().expect("it can't be drawn").to_string();
    assert!(error.starts_with(message), "{error}");
}

#[rstest]
#[case::empty("\n", "x.txt:1: there is no table")]
#[case::only_its_head("n  a\n", "x.txt:1: `a` is no line: it takes two figures")]
#[case::one_figure("n  a\n5  1 s\n6  none\n", "x.txt:1: `a` is no line: it takes two figures")]
#[case::five_lines("n  a  b  c  d  e\n", "x.txt:1: a first column of sizes and one to 4 others")]
fn hardly_a_table(#[case] table: &str, #[case] message: &str) {
    let error = Table::read("x.txt", table).err().expect("it can't be drawn").to_string();
    assert!(error.starts_with(message), "{error}");
}

#[test]
fn all_figures_are_told_in_words() {
    let svg = drawn(GOOD);
    for part in [
        "<title id=\"05-x-title\">A &amp; B, by the number of silent visitors: select, poll</title>",
        "<desc id=\"05-x-desc\">A &amp; B, in µs,",
        "select (circles), poll (squares)",
        "0 has no place on such a scale: it stands apart, left of a break.",
        "With 0: select 1.7 µs, poll 0.8 µs.",
        "With 8,000: select impossible, poll 1,046 µs.</desc>",
    ] {
        assert!(svg.contains(part), "{part} isn't in\n{svg}");
    }
    assert_eq!(svg.matches("<circle").count(), 3, "a mark where there is no figure:\n{svg}");
    assert_eq!(svg.matches("<rect").count(), 4, "{svg}");
}

/// A fixed color or background can't be seen in one theme or another; an id or a blank line is a fault of
/// the book.
#[test]
fn it_follows_the_theme_and_the_page() {
    let svg = drawn(GOOD);
    let color = Regex::new(r#" (?:fill|stroke)="([^"]*)""#).expect("the expression is right");
    for found in color.captures_iter(&svg) {
        let is_of_the_theme = found[1].starts_with("var(--") || &found[1] == "none";
        assert!(is_of_the_theme, "{} in\n{svg}", &found[1]);
    }
    assert_eq!(svg.matches("<svg").count(), 1);
    assert_eq!(svg.matches("font-size").count(), 1, "all text is as large as in other pictures");
    assert_eq!(svg.matches(" id=").count(), 2);
    assert!(svg.ends_with("\n</svg>\n") && svg.lines().all(|line| !line.trim().is_empty()));
}

#[test]
fn four_lines_without_a_zero_and_with_one_end() {
    let svg = drawn("n  a  b  c  d\n5  1 s  2 s  3 s  4 s\n50  1 s  1 s  1 s  1 s\n");
    assert!(!svg.contains("break"), "nothing is broken here:\n{svg}");
    let place = Regex::new(r#"y="(\d+)"[^>]*font-weight="bold">[abcd]<"#).expect("it's right");
    let mut places: Vec<i32> =
        place.captures_iter(&svg).map(|found| found[1].parse().expect("a number")).collect();
    places.sort_unstable();
    assert_eq!(places.len(), 4, "{svg}");
    assert!(places.windows(2).all(|two| two[1] - two[0] >= 2 * 17), "names on names: {places:?}");
}

#[test]
fn a_curve_that_is_not_there() {
    let said =
        Command::new(env!("CARGO_BIN_EXE_book")).args(["curves", "nothing"]).assert().code(1);
    let error = String::from_utf8_lossy(&said.get_output().stderr).into_owned();
    assert!(error.starts_with("error: there is no curve nothing; there are 08-turns"), "{error}");
}
