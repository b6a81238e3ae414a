//! What the book shows of its programs' output is what they say today.

#[cfg(target_os = "linux")]
use assert_cmd::Command;

/// On Linux only: elsewhere less is known of a program, and less is said.
#[test]
#[cfg(target_os = "linux")]
fn every_command_says_what_the_book_shows() {
    let first = compare(&[]);
    let different: Vec<String> = of_kind(&first, ": not as recorded").collect();
    for (name, stranger) in first.lines().filter_map(|line| line.split_once(": skipped, ")) {
        visitors::skipped(format!("{name}: {stranger}"));
    }
    let failed: Vec<&str> = first.lines().filter(|line| line.contains("` failed: ")).collect();
    assert!(failed.is_empty(), "{first}");
    // Thousands of visitors in five seconds are too many for a machine that has other things to do.
    for name in different {
        visitors::setup::by_the_clock(|| {
            let again = compare(&[&name]);
            assert!(again.contains(&format!("{name}.txt: as recorded")), "{again}");
        });
    }
}

/// What `cargo book transcripts --check` says.
#[cfg(target_os = "linux")]
fn compare(names: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_book"));
    let output = command.args(["transcripts", "--check"]).args(names).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    // Or whoever says nothing would have nothing to complain of.
    assert!(said.contains(": as recorded") || !output.status.success(), "{said}{errors}");
    assert!(output.status.success() || said.contains("recorded"), "{said}{errors}");
    said
}

/// The names of the transcripts of which it says so.
#[cfg(target_os = "linux")]
fn of_kind(said: &str, kind: &str) -> impl Iterator<Item = String> {
    let names = said.lines().filter_map(move |line| line.split_once(kind)).map(|(path, _)| path);
    names.filter_map(|path| path.rsplit('/').next()?.strip_suffix(".txt")).map(str::to_owned)
}
