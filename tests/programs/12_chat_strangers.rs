//! Chapter 12's chat, with clients that somebody else wrote, each at a terminal of its own.
//!
//! Each test that needs a program of others says so on stderr where it isn't installed, and is
//! skipped.

#![cfg(target_os = "linux")]

#[path = "chatting/house.rs"]
#[allow(dead_code)]
mod house;
#[path = "chatting/terminal.rs"]
mod terminal;
#[path = "strangers/tools.rs"]
#[allow(dead_code)]
mod tools;

use house::House;
use rstest::rstest;
use terminal::Terminal;
use tools::{run_with, tool};
use visitors::setup::until;

/// A client at a terminal that is 60 columns wide; None where it isn't installed.
fn client(command: &str, house: &House) -> Option<Terminal> {
    tool(command.split(' ').next()?)?;
    let (host, port) = (house.address.ip().to_string(), house.address.port().to_string());
    let command = command.replace("HOST", &host).replace("PORT", &port);
    Terminal::open(60, &command)
}

const TELNET: &str = "telnet HOST PORT";
const BUSYBOX: &str = "busybox telnet HOST PORT";
const PLINK: &str = "plink -telnet -P PORT HOST";

#[rstest]
#[case::inetutils(TELNET)]
#[case::busybox(BUSYBOX)]
#[case::plink(PLINK)]
#[case::nc_openbsd("nc.openbsd HOST PORT")]
#[case::nc_openbsd_t("nc.openbsd -t HOST PORT")]
#[case::nc_openbsd_cr_lf("nc.openbsd -C HOST PORT")]
#[case::nc_traditional("nc.traditional HOST PORT")]
#[case::nc_traditional_t("nc.traditional -t HOST PORT")]
#[case::ncat("ncat HOST PORT")]
#[case::ncat_t("ncat -t HOST PORT")]
#[case::curl("curl -sN telnet://HOST:PORT")]
fn all_can_talk_in_the_room(#[case] command: &str) {
    let house = House::open(None);
    let mut bob = house.member("Bob");
    let Some(mut ada) = client(command, &house) else { return };
    // curl shows nothing before it has sent something.
    until("it's connected", || (house.waits().len() == 2).then_some(()));
    ada.types("Ada\r");
    ada.expect("Here now: ");
    bob.expect("-- Ada is here.\r\n");
    // The second time, she is known to speak Telnet, if she does.
    ada.types("Hello\r");
    bob.expect("Ada: Hello\r\n");
    // 9C is Ctrl-\ in seven bits, 83 is Ctrl-C.
    ada.types("Grüße, 日本 ッ\r");
    bob.expect("Ada: Grüße, 日本 ッ\r\n");
    bob.say("Schöne Grüße, 日本\n".as_bytes());
    ada.expect("Bob: Schöne Grüße, 日本\r");
    ada.types("/quit\r");
    bob.expect("-- Ada has left.\r\n");
    ada.expect("Goodbye.");
    assert_eq!(house.waits().iter().filter(|waits| *waits == "a line").count(), 1);
}

#[rstest]
#[case::inetutils(TELNET)]
#[case::busybox(BUSYBOX)]
#[case::plink(PLINK)]
fn who_speaks_telnet_does_not_show_the_key(#[case] command: &str) {
    let house = House::open(Some("sesame"));
    let Some(mut ada) = client(command, &house) else { return };
    ada.expect("What is your name? ");
    ada.types("Ada\r");
    assert!(ada.expect("And the key to this room? ").contains("Ada"), "a name is shown");
    ada.types("simsim\r");
    let shown = ada.expect("And the key to this room? ");
    assert!(shown.contains("That isn't the key.") && !shown.contains("sim"), "{shown}");
    // A key typed wrong, and corrected.
    ada.types("sesx\x7fame\r");
    let shown = ada.expect("Here now: Ada.");
    assert!(!shown.contains("sesame") && !shown.contains("ses"), "{shown}");
    ada.types("visible\r/who\r");
    assert!(ada.expect("Here now: Ada.").contains("visible"));
}

#[rstest]
#[case::nc_openbsd("nc.openbsd HOST PORT")]
#[case::nc_openbsd_t("nc.openbsd -t HOST PORT")]
#[case::nc_traditional_t("nc.traditional -t HOST PORT")]
#[case::ncat("ncat HOST PORT")]
#[case::curl("curl -sN telnet://HOST:PORT")]
fn who_does_not_is_shown_nothing_of_it(#[case] command: &str) {
    let house = House::open(Some("sesame"));
    let Some(mut ada) = client(command, &house) else { return };
    until("it's connected", || (house.waits().len() == 1).then_some(()));
    ada.types("Ada\r");
    ada.expect("And the key to this room? ");
    ada.types("sesame\r/who\r");
    ada.expect("Here now: Ada.");
    ada.expect("Here now: Ada.");
    assert!(!ada.all().contains(&0xff), "{}", ada.all().escape_ascii());
}

#[rstest]
#[case::inetutils(TELNET)]
#[case::plink(PLINK)]
fn lines_are_cut_for_its_window(#[case] command: &str) {
    let house = House::open(None);
    let mut bob = house.member("Bob");
    let Some(mut ada) = client(command, &house) else { return };
    ada.expect("What is your name? ");
    ada.types("Ada\r");
    bob.expect("Ada is here.");
    // Her window is known before her next line.
    ada.types("ready\r");
    bob.expect("Ada: ready");
    let words = "one two three four five six seven eight nine ten eleven twelve thirteen\n";
    bob.say(words.as_bytes());
    ada.expect("one two three four five six seven eight nine ten");
    assert_eq!(ada.expect("thirteen").replace('\r', ""), "\n   eleven twelve thirteen");
    ada.resize(30);
    // Its client is told by the kernel, and tells us; nobody tells when.
    until("it's cut anew", || {
        bob.say(words.as_bytes());
        ada.expect("one two three");
        ada.expect("thirteen").replace('\r', "").contains("five\n   six").then_some(())
    });
}

#[test]
fn ctrl_c_in_inetutils_telnet() {
    let house = House::open(None);
    let mut bob = house.member("Bob");
    let Some(mut ada) = client(TELNET, &house) else { return };
    ada.expect("What is your name? ");
    ada.types("Ada\r");
    bob.expect("Ada is here.");
    ada.types("never said\x03");
    // Its client throws away all that comes before the answer to its timing mark.
    ada.expect("-- That line is forgotten. Ctrl-C once more leaves.");
    ada.types("said\r");
    bob.expect("Ada: said\r\n");
    ada.types("\x03");
    ada.expect("-- That line is forgotten.");
    ada.types("\x03");
    bob.expect("-- Ada has left.");
    ada.expect("Goodbye.");
}

#[test]
fn ctrl_d_in_inetutils_telnet() {
    let house = House::open(None);
    let Some(mut ada) = client(TELNET, &house) else { return };
    ada.expect("What is your name? ");
    ada.types("Ada\r");
    ada.expect("Here now: Ada.");
    ada.types("\x04");
    ada.expect("Goodbye.");
    until("she has left", || house.waits().is_empty().then_some(()));
}

#[rstest]
#[case::inetutils(TELNET)]
#[case::busybox(BUSYBOX)]
#[case::plink(PLINK)]
#[case::nc("nc.openbsd HOST PORT")]
fn a_client_that_is_killed_has_left(#[case] command: &str) {
    let house = House::open(None);
    let mut bob = house.member("Bob");
    let Some(mut ada) = client(command, &house) else { return };
    ada.expect("What is your name? ");
    ada.types("Ada\r");
    bob.expect("-- Ada is here.");
    drop(ada);
    bob.expect("-- Ada has left.");
}

/// Those that read from a pipe: the end of their input is the end of the visit, where they tell.
#[rstest]
#[case::ncat("ncat")]
#[case::nc_openbsd_n("nc.openbsd -N")]
fn a_script_says_its_lines_and_leaves(#[case] command: &str) {
    let house = House::open(None);
    let mut bob = house.member("Bob");
    let mut words = command.split(' ');
    let Some(program) = words.next().and_then(tool) else { return };
    let mut client = std::process::Command::new(program);
    client.args(words);
    client.arg(house.address.ip().to_string()).arg(house.address.port().to_string());
    let said = run_with(&mut client, b"Ada\nfrom a script\n").well().text();
    assert!(said.contains("-- Hello, Ada."), "{said}");
    bob.expect("-- Ada is here.\r\nAda: from a script\r\n-- Ada has left.\r\n");
}
