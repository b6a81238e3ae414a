//! The curves: what is drawn is what was measured, and what can't be drawn is told of.

#[path = "../../../tests/race/tests/made/mod.rs"]
mod made;

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use book::curves::table::Table;
use book::curves::{self, CURVES, picture, races};
use book::repo::Repo;
use race::result::Race;
use regex::Regex;
use rstest::rstest;
use tempfile::TempDir;

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

#[test]
fn each_committed_picture_of_a_race_is_what_its_file_gives() {
    let repo = Repo::this().expect("tests run in a checkout");
    let drawings = races::drawings(&repo, &[]).expect("the races can be drawn");
    for (name, drawn) in &drawings.pictures {
        let path = repo.pictures().join(format!("{name}.svg"));
        let committed = fs::read_to_string(&path).expect("the picture is there");
        assert!(*drawn == committed, "{name}.svg is out of date: run `cargo book curves {name}`");
    }
    for path in fs::read_dir(repo.pictures()).expect("there are pictures").flatten() {
        let file = path.file_name().to_string_lossy().into_owned();
        let Some(name) = file.strip_suffix(".svg").filter(|name| name.starts_with("race-")) else {
            continue;
        };
        let is_drawn = drawings.pictures.iter().any(|(drawn, _)| drawn == name);
        assert!(is_drawn, "{file} comes from no race that's there");
    }
}

/// A book with one table, one page, and the races that are given: their files' names, and what is in them.
fn small_book(page: &str, races: &[(&str, String)]) -> TempDir {
    let root = TempDir::new().expect("there's a place for it");
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
        fs::write(path, text).expect("it can be written");
    };
    write("book/figures/08-turns.txt", GOOD);
    write("book/pictures/keep", "");
    write("book/src/page.md", page);
    for (name, text) in races {
        write(&format!("book/figures/{name}"), text);
    }
    root
}

fn json(race: &Race) -> String {
    serde_json::to_string(race).expect("a race can be written down")
}

/// What `cargo book curves` says, whether it's well, and how many pictures there are then.
fn curves_in(root: &Path, names: &[&str]) -> (String, bool, usize) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_book"));
    let output = command.arg("--root").arg(root).arg("curves").args(names).output();
    let output = output.expect("it can be started");
    let said = [output.stdout, output.stderr].concat();
    let pictures = fs::read_dir(root.join("book/pictures")).expect("there's a folder").flatten();
    let pictures = pictures.filter(|file| file.path().extension().is_some_and(|it| it == "svg"));
    (String::from_utf8_lossy(&said).into_owned(), output.status.success(), pictures.count())
}

#[test]
fn all_pictures_of_races() {
    let (open, closed) = made::both_ways();
    let files = [
        ("race.json", json(&made::chapters())),
        ("race-open.json", json(&open)),
        ("race-closed.json", json(&closed)),
    ];
    let root = small_book("{{#include ../pictures/race-5.svg}}", &files);
    let (said, is_well, pictures) = curves_in(root.path(), &[]);
    assert!(is_well && !said.contains("not drawn"), "{said}");
    assert_eq!(pictures, 1 + races::names().len(), "{said}");
    assert!(said.contains("drawn: book/pictures/race-latency.svg\n"), "{said}");
    let five =
        fs::read_to_string(root.path().join("book/pictures/race-5.svg")).expect("it's there");
    assert!(five.contains("5: chapter 5, poll") && five.contains("4: chapter 4, select"), "{five}");
    assert!(!five.contains("nginx") && five.contains("<title id=\"race-5-title\">"), "{five}");
}

#[test]
fn one_picture_of_a_race() {
    let root = small_book("", &[("race.json", json(&made::chapters()))]);
    let (said, is_well, pictures) = curves_in(root.path(), &["race-most"]);
    assert!(is_well && pictures == 1, "{said}");
    assert_eq!(said, "drawn: book/pictures/race-most.svg\n");
}

#[test]
fn a_race_that_is_not_there_is_told() {
    let root = small_book("{{#include ../pictures/08-turns.svg}}", &[]);
    let (said, is_well, pictures) = curves_in(root.path(), &[]);
    assert!(is_well && pictures == 1, "{said}");
    for line in [
        "race-11, for book/figures/race.json isn't there\n",
        "not drawn: race-two-ways, for book/figures/race-open.json and book/figures/race-closed.json aren't there\n",
    ] {
        assert!(said.contains(line), "{said}");
    }
}

#[rstest]
#[case::shown("{{#include ../pictures/race-cpu.svg}}", &[], "error: book/src/page.md shows race-cpu, and it can't be drawn: ")]
#[case::wanted("", &["race-cpu"], "error: race-cpu can't be drawn: ")]
#[case::ways("", &["race-two-ways"], "error: race-two-ways can't be drawn: ")]
fn a_race_that_is_not_there_and_needed(
    #[case] page: &str,
    #[case] names: &[&str],
    #[case] error: &str,
) {
    let root = small_book(page, &[]);
    let (said, is_well, _) = curves_in(root.path(), names);
    assert!(!is_well && said.contains(error) && said.contains("there"), "{said}");
}

#[test]
fn a_server_that_did_not_run() {
    let mut race = made::chapters();
    race.servers.retain(|server| server.name != "9");
    let files = [("race.json", json(&race))];
    let (said, is_well, pictures) = curves_in(small_book("", &files).path(), &[]);
    assert!(is_well, "{said}");
    for line in ["race-9, for 9 isn't among", "race-11, for 9 isn't among"] {
        assert!(said.contains(&format!("not drawn: {line} race.json's servers\n")), "{said}");
    }
    assert_eq!(pictures, 1 + races::names().len() - 3);
    let root = small_book("{{#include ../pictures/race-9.svg}}", &files);
    let (said, is_well, _) = curves_in(root.path(), &[]);
    assert!(!is_well && said.contains("page.md shows race-9, and it can't be drawn"), "{said}");
}

#[rstest]
#[case::a_version(
    json(&made::chapters()).replacen("\"version\":1,", "\"version\":2,\"else\":", 1).replacen("\"date\":", "1,\"when\":", 1),
    "it's written in version 2 of the format, and only version 1 is known"
)]
#[case::no_version("{}".to_owned(), "missing field `version`")]
#[case::no_json("race".to_owned(), "expected value at line 1")]
#[case::half(json(&made::chapters())[..2000].to_owned(), "EOF")]
fn a_race_that_can_not_be_read(#[case] text: String, #[case] error: &str) {
    let root = small_book("", &[("race.json", text)]);
    let (said, is_well, pictures) = curves_in(root.path(), &["race-cpu"]);
    assert!(!is_well && pictures == 0, "{said}");
    assert!(
        said.starts_with("error: reading book/figures/race.json: ") && said.contains(error),
        "{said}"
    );
}

#[test]
fn two_ways_of_two_servers() {
    let (open, mut closed) = made::both_ways();
    closed.servers[0].name = "3".to_owned();
    let files = [("race-open.json", json(&open)), ("race-closed.json", json(&closed))];
    let (said, is_well, _) = curves_in(small_book("", &files).path(), &["race-two-ways"]);
    assert!(
        !is_well && said.contains("have no server in common: the first one's is `2`"),
        "{said}"
    );
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
