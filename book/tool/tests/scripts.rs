//! The engine behind the transcripts, with small shell scripts in the place of our programs.

mod small_book;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use book::repo::Repo;
use book::transcripts::command::{Aliases, Program};
use book::transcripts::{Mode, Outcome, play, scripts};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use rstest::rstest;
use small_book::SmallBook;

/// `cargo run -p NAME` means `tests/fixtures/NAME.sh` here; `ch07-server` is the server as well.
fn resolve(program: &Program) -> anyhow::Result<PathBuf> {
    let name = program.package.trim_start_matches("ch07-");
    let repo = Repo::this()?;
    Ok(repo.root().join(format!("book/tool/tests/fixtures/{name}.sh")))
}

/// A repository with the given `scripts.toml` and no transcripts.
fn repo_with(scripts: &str) -> SmallBook {
    let book = SmallBook::new();
    book.remove("book/transcripts/say.txt");
    book.write("book/transcripts/scripts.toml", scripts);
    book
}

fn play_all(book: &SmallBook, mode: Mode) -> Vec<Outcome> {
    let repo = book.repo();
    let aliases = Aliases::read(repo.root()).expect("the aliases can be read");
    let scripts = scripts::read(&repo).expect("the scripts can be read");
    scripts.iter().flat_map(|script| play(&repo, mode, script, &aliases, &resolve)).collect()
}

fn record(book: &SmallBook) {
    for outcome in play_all(book, Mode::Record) {
        assert!(outcome.is_well(), "{outcome}");
    }
}

/// Whether all is as recorded, and all outcomes, as they are printed.
fn compare(book: &SmallBook) -> (bool, String) {
    let outcomes = play_all(book, Mode::Compare);
    let said = outcomes.iter().map(|outcome| format!("{outcome}\n")).collect();
    (outcomes.iter().all(Outcome::is_well), said)
}

const SERVED: &str = r#"
[[script]]
beside = [{ run = "cargo run -p ch07-server", file = "server" }]
run = "cargo run -p visitor 127.0.0.1:7007 quick"
file = "visitor"
"#;

#[test]
fn the_command_comes_first_then_stdout_and_stderr_in_their_order() {
    let book = repo_with(SERVED);
    record(&book);
    let said = book.read("book/transcripts/visitor.txt");
    let (said, figures) = said.split_once("in x").expect("the path was made short");
    assert_eq!(
        said,
        "$ cargo run -p visitor 127.0.0.1:7007 quick\nvisits 127.0.0.1:7007 quick\nconnecting\nconnected\nwaiting\nHTTP/1.0 200 OK\n"
    );
    // The real figures, and a line's end where the program wrote none.
    assert!(figures.ends_with(" ms\n") && figures.contains(char::is_numeric), "{figures}");
}

#[test]
fn what_printf_writes_is_what_the_program_reads() {
    let run = "printf '%s\\r\\n' 'a' \\\n    '|' |\n  cargo run -p reader";
    let book = repo_with(&format!("[[script]]\nfile = \"x\"\nrun = '''{run}'''\n"));
    record(&book);
    assert_eq!(book.read("book/transcripts/x.txt"), format!("$ {run}\na~\n|~; 5 characters\n"));
}

#[test]
fn a_server_beside_runs_on_a_free_port_and_is_shown_on_its_own() {
    let book = repo_with(SERVED);
    record(&book);
    assert_eq!(
        book.read("book/transcripts/server.txt"),
        "$ cargo run -p ch07-server\nlistening on 127.0.0.1:7007\nwas told 127.0.0.1:****\n\
         visitor 1 from 127.0.0.1:52345 served in 3 ms\n"
    );
}

#[test]
fn a_servers_last_words_belong_to_its_transcript() {
    let book = repo_with(&SERVED.replace("ch07-server", "ch07-polite"));
    record(&book);
    assert_eq!(
        book.read("book/transcripts/server.txt"),
        "$ cargo run -p ch07-polite\nlistening on 127.0.0.1:7007\ngoodbye from 127.0.0.1:7007\n"
    );
    let (is_well, said) = compare(&book);
    assert!(is_well, "{said}");
}

#[rstest]
#[case::named_in_the_command("{ run = \"cargo run -p server 127.0.0.1:9001 1007\" }")]
#[case::told_and_in_the_command(
    "{ run = \"cargo run -p server 127.0.0.1:9001 1007\", address = \"127.0.0.1:9001\" }"
)]
#[case::told("{ run = \"cargo run -p server\", address = \"127.0.0.1:9001\" }")]
fn a_servers_shown_address(#[case] beside: &str) {
    let book = repo_with(&format!(
        "[[script]]\nbeside = [{beside}]\nrun = \"cargo run -p counter 127.0.0.1:9001\"\nfile = \"x\"\n"
    ));
    // The counter keeps its lines in a file of the name it is given: the real address.
    record(&book);
    assert!(book.root().join("127.0.0.1:41007").is_file(), "it wasn't told the real address");
    // And the server was told to take any port: it says so.
    book.replace("book/transcripts/scripts.toml", " }]", ", file = \"server\" }]");
    record(&book);
    let server = book.read("book/transcripts/server.txt");
    assert!(
        server.contains("\nlistening on 127.0.0.1:9001\nwas told 127.0.0.1:****\n"),
        "{server}"
    );
}

#[test]
fn two_servers_and_the_second_is_told_of_the_first() {
    let book = repo_with(
        r#"
[[script]]
beside = [
  { run = "cargo run -p ch07-server", file = "first" },
  { run = "cargo run -p server 127.0.0.1:9002 1008 127.0.0.1:7007", file = "second" },
]
run = "cargo run -p visitor 127.0.0.1:7007 127.0.0.1:9002"
file = "visitor"
"#,
    );
    record(&book);
    let visitor = book.read("book/transcripts/visitor.txt");
    assert!(visitor.contains("visits 127.0.0.1:7007 127.0.0.1:9002\n"), "{visitor}");
    let second = book.read("book/transcripts/second.txt");
    assert!(second.contains("listening on 127.0.0.1:9002\n"), "{second}");
}

#[test]
fn recorded_then_compared_all_is_well() {
    let book = repo_with(SERVED);
    record(&book);
    let (is_well, said) = compare(&book);
    assert!(is_well, "{said}");
}

#[rstest]
#[case::of_the_command("visitor", "waiting\n", "", "+ waiting")]
#[case::of_the_server(
    "server",
    "served",
    "refused",
    "- visitor 1 from 127.0.0.1:52345 refused in 3 ms"
)]
#[case::of_the_command_line(
    "visitor",
    "quick\nv",
    "slow\nv",
    "- $ cargo run -p visitor 127.0.0.1:7007 slow"
)]
fn a_difference_is_shown_and_changes_nothing(
    #[case] name: &str,
    #[case] now: &str,
    #[case] before: &str,
    #[case] difference: &str,
) {
    let book = repo_with(SERVED);
    record(&book);
    let path = format!("book/transcripts/{name}.txt");
    book.replace(&path, now, before);
    let recorded = book.read(&path);
    let (is_well, said) = compare(&book);
    assert!(!is_well, "{said}");
    assert!(said.contains(&format!("{path}: not as recorded")), "{said}");
    assert!(said.contains(&format!("\n{difference}\n")), "{said}");
    assert!(
        said.contains("run `cargo book transcripts` to record it anew, if the change is wanted"),
        "{said}"
    );
    assert_eq!(book.read(&path), recorded);
}

#[test]
fn what_was_never_recorded_differs() {
    let book = repo_with(SERVED);
    assert!(!compare(&book).0);
    assert!(!book.root().join("book/transcripts/visitor.txt").exists());
}

#[rstest]
#[case::told_so("order = \"any\"", true)]
#[case::not_told("", false)]
fn lines_in_another_order(#[case] key: &str, #[case] is_well: bool) {
    let book = repo_with(&format!(
        "[[script]]\nrun = \"cargo run -p chance here\"\nfile = \"chance\"\n{key}\n"
    ));
    record(&book);
    assert_eq!(compare(&book).0, is_well);
}

#[test]
fn a_line_more_is_a_difference_in_any_order_too() {
    let book = repo_with(
        "[[script]]\nrun = \"cargo run -p counter here\"\nfile = \"counter\"\norder = \"any\"\n",
    );
    record(&book);
    assert!(compare(&book).1.contains("\n+ line\n"));
}

#[rstest]
#[case::beside("beside = [{ run = \"cargo run -p mute\", address = \"127.0.0.1:9001\" }]\nrun = \"cargo run -p visitor\"", &[
    "`cargo run -p visitor` failed: `cargo run -p mute`, which runs beside it: it didn't start",
    "can't listen",
])]
#[case::not_there("run = \"cargo run -p nothing\"", &["nothing.sh can't be started"])]
#[case::address_unknown("beside = [{ run = \"cargo run -p server\" }]\nrun = \"cargo run -p visitor\"", &[
    "which address is it shown at? Say it with `address = \"127.0.0.1:…\"`",
])]
#[case::failing("run = \"cargo run -p mute\"", &["it ended with exit status: 3", "`status = …`", "can't listen"])]
#[case::not_failing_as_told("status = 2\nrun = \"cargo run -p visitor\"", &["it ended with exit status: 0"])]
fn a_script_that_fails_says_why(#[case] script: &str, #[case] messages: &[&str]) {
    let book = repo_with(&format!("[[script]]\n{script}\nfile = \"x\"\n"));
    let outcomes = play_all(&book, Mode::Record);
    assert_eq!(outcomes.len(), 1);
    assert!(!outcomes[0].is_well());
    let said = outcomes[0].to_string();
    for message in messages {
        assert!(said.contains(message), "doesn't say `{message}`: {said}");
    }
    assert!(!book.root().join("book/transcripts/x.txt").exists());
}

#[test]
fn a_command_may_fail_if_the_script_says_so() {
    let book = repo_with("[[script]]\nstatus = 3\nrun = \"cargo run -p mute\"\nfile = \"x\"\n");
    record(&book);
    assert_eq!(book.read("book/transcripts/x.txt"), "$ cargo run -p mute\ncan't listen\n");
}

#[test]
fn a_command_that_does_not_end_is_ended() {
    let book = repo_with(
        "[[script]]\ntimeout_seconds = 1\nrun = \"cargo run -p endless\"\nfile = \"x\"\n",
    );
    let start = Instant::now();
    let (_, said) = compare(&book);
    assert!(said.contains("it isn't done after 1 s"), "{said}");
    assert!(start.elapsed() < Duration::from_secs(60), "it took as long as the program");
    assert!(!is_running(&said), "it still runs: {said}");
}

#[test]
fn a_server_that_does_not_end_when_asked_is_killed() {
    let book = repo_with(
        "[[script]]\nbeside = [{ run = \"cargo run -p ch07-stubborn\", file = \"server\" }]\nrun = \"cargo run -p visitor\"\nfile = \"x\"\n",
    );
    record(&book);
    let said = book.read("book/transcripts/server.txt");
    assert!(!is_running(&said), "it still runs: {said}");
}

/// Whether the program that said `pid N` is there.
fn is_running(said: &str) -> bool {
    let (_, rest) = said.split_once("pid ").expect("it said its number");
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let pid = digits.parse().expect("it is a number");
    kill(Pid::from_raw(pid), None).is_ok()
}

#[test]
fn no_scripts_no_transcripts() {
    let book = SmallBook::new();
    fs::remove_dir_all(book.root().join("book/transcripts")).expect("it can be removed");
    assert!(compare(&book).1.is_empty());
}
