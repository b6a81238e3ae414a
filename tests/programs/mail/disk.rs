//! Disks that are full, slow, or somebody else's; and programs that are killed.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

use ch12_kernel::mail::session::DISK_TIME;
use ch12_kernel::mbox::{Entry, Mbox};
use nix::sys::signal::Signal;
use rstest::rstest;
use visitors::program::{Program, Start};
use visitors::setup::until;

use crate::house::{Client, House, PATIENCE, PROGRAM, messages, program, start, with_mail};

fn beside(path: &Path) -> PathBuf {
    path.with_file_name("mbox.lock")
}

fn entry(text: &str) -> Entry {
    let (sender, fields) = ("a@b".to_owned(), String::new());
    Entry { sender, at: SystemTime::UNIX_EPOCH, fields, text: text.as_bytes().to_vec() }
}

const FIRST: &str = "From a@b Thu Jan  1 00:00:00 1970\nx\n\n";

/// Whatever others have left at its end: a message begins behind an empty line.
#[rstest]
#[case::new("", "")]
#[case::whole("From a\nb\n\n", "")]
#[case::no_empty_line("From a\nb\n", "\n")]
#[case::no_line_end("From a\nb", "\n\n")]
#[case::one_letter("b", "\n\n")]
#[case::one_line_end("\n", "")]
fn a_message_begins_behind_an_empty_line(#[case] before: &str, #[case] between: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mbox");
    fs::write(&path, before).unwrap();
    let mbox = Mbox::open(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), before, "opened, it's as it was");
    mbox.append(&[entry("x\r\n"), entry("x")]).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{before}{between}{FIRST}{FIRST}"));
    assert!(!beside(&path).exists());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// A program was killed, and has left this, and a lock that says from where to where it was writing.
#[rstest]
#[case::half("whole\n\nFrom hal", "7 20", "whole\n\n")]
#[case::all_but_the_last("whole\n\nFrom half\n\n", "7 19", "whole\n\n")]
#[case::all("whole\n\nFrom half\n\n", "7 18", "whole\n\nFrom half\n\n")]
#[case::nothing("whole\n\n", "7 20", "whole\n\n")]
#[case::more(
    "whole\n\nFrom half\n\nFrom other\n\n",
    "7 18",
    "whole\n\nFrom half\n\nFrom other\n\n"
)]
#[case::others_have_cut_it("w\n\n", "7 18", "w\n\n")]
fn what_a_killed_program_has_left_is_cut_off(
    #[case] left: &str,
    #[case] noted: &str,
    #[case] expected: &str,
) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mbox");
    fs::write(&path, left).unwrap();
    fs::write(beside(&path), format!("1\ngrows: {noted}\n")).unwrap();
    Mbox::open(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    assert!(!beside(&path).exists());
}

#[rstest]
#[case::nothing("")]
#[case::a_number("1\n")]
#[case::something_else("1\nhost\n")]
#[case::numbers_that_are_none("1\ngrows: x y\n")]
fn a_lock_of_others_is_left_alone(#[case] text: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mbox");
    fs::write(beside(&path), text).unwrap();
    let mbox = Mbox::open(&path).expect("that is no reason not to start");
    let error = mbox.append(&[entry("x")]).expect_err("it's locked");
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(fs::read_to_string(beside(&path)).unwrap(), text);
    assert_eq!(fs::read_to_string(&path).unwrap(), "");
    fs::remove_file(beside(&path)).unwrap();
    mbox.append(&[entry("x")]).unwrap();
}

#[rstest]
#[case::no_folder("nowhere/mbox", "No such file")]
#[case::a_folder(".", "Is a directory")]
#[case::a_device("/dev/null", "it's not a file")]
fn what_cannot_be_opened_is_said_at_once(#[case] name: &str, #[case] why: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let program = start(&path).start().unwrap();
    let status = until("it ends", || program.exit_status());
    assert_eq!(status.code(), Some(1));
    let expected = format!("can't keep mail in {}: {why}", path.display());
    program.says(|line| line.contains(&expected)).expect("it says why");
}

/// Too little room for a large one, and enough for the small ones around it.
#[track_caller]
fn large_one_is_refused_and_small_ones_are_kept(program: &Program, mbox: &Path) {
    let address = program.listening().unwrap();
    let mut client = Client::hello(address);
    let mut other = Client::hello(address);
    client.sends("first@x", "one\r\n");
    for _ in 0..3 {
        client.begins("large@x");
        client.send("x".repeat(998).repeat(200) + "\r\n");
        client.says(".", "452 4.3.1");
        other.sends("small@x", "two\r\n");
    }
    client.sends("last@x", "three\r\n");
    let froms: Vec<String> =
        messages(mbox).iter().map(|it| it.from.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(froms, ["first@x", "small@x", "small@x", "small@x", "last@x"]);
    assert!(!beside(mbox).exists());
    program.says(|line| line.contains("not kept, from <large@x>: ")).expect("it says why");
}

/// A client whose message is whole, and can't be written: another program has locked the mbox.
#[track_caller]
fn one_who_waits_for_the_disk() -> (House, Client) {
    let house = House::open();
    fs::write(beside(&house.path()), "1\n").unwrap();
    let mut client = house.client();
    client.begins("a@b");
    client.send("x\r\n.\r\n");
    house.comes_to_wait_for(&["the disk"]);
    (house, client)
}

/// `ulimit -f` limits a file's size, in blocks of 512 bytes or 1,024: the kernel sends SIGXFSZ, which would end it.
#[test]
fn a_file_that_may_not_grow() {
    let folder = tempfile::tempdir().unwrap();
    let mbox = folder.path().join("mbox");
    let start = Start::new("/bin/sh").arg("-c").arg("ulimit -f 100 && exec \"$@\"").arg("sh");
    let program = with_mail(start.arg(PROGRAM), &mbox).start().unwrap();
    large_one_is_refused_and_small_ones_are_kept(&program, &mbox);
    program.signal(Signal::SIGTERM);
    assert!(until("it ends", || program.exit_status()).success());
}

/// Written together with one that is too large, a small one is kept all the same.
#[test]
fn small_one_beside_a_large_one() {
    let folder = tempfile::tempdir().unwrap();
    let mbox = folder.path().join("mbox");
    let start = Start::new("/bin/sh").arg("-c").arg("ulimit -f 100 && exec \"$@\"").arg("sh");
    let program = with_mail(start.arg(PROGRAM), &mbox).start().unwrap();
    let address = program.listening().unwrap();
    let large = "x".repeat(998).repeat(200) + "\r\n";
    let mut clients = ["one\r\n", &large, "two\r\n"].map(|text| (Client::hello(address), text));
    fs::write(beside(&mbox), "1\n").unwrap();
    for (client, text) in &mut clients {
        client.begins("a@b");
        client.send(format!("{text}.\r\n"));
        // While the first is being tried, the others come to wait behind it.
        client.hears_nothing();
    }
    fs::remove_file(beside(&mbox)).unwrap();
    let replies = clients.map(|(mut client, _)| client.reply()[..9].to_owned());
    assert_eq!(replies, ["250 2.0.0", "452 4.3.1", "250 2.0.0"]);
    assert_eq!(messages(&mbox).len(), 2);
}

/// A disk of 128 KiB, in a namespace of mounts.
#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let with_mount = ["--map-root-user", "--mount", "sh", "-c"];
    let works = Command::new("unshare")
        .args(with_mount)
        .arg("mount -t tmpfs none \"$0\"")
        .arg(&disk)
        .output();
    if !works.is_ok_and(|it| it.status.success()) {
        visitors::skipped("no disk can be mounted here".to_owned());
        return;
    }
    let script = "mount -t tmpfs -o size=128k none \"$0\" && exec \"$@\"";
    let start = with_mount.iter().fold(Start::new("unshare"), Start::arg);
    let start = start.arg(script).arg(&disk).arg(PROGRAM);
    let program = with_mail(start, &disk.join("mbox")).start().unwrap();
    program.listening().expect("it says where");
    // As the program sees it.
    let seen = disk.join("mbox");
    let seen = Path::new("/proc")
        .join(program.pid().to_string())
        .join("root")
        .join(seen.strip_prefix("/").unwrap());
    large_one_is_refused_and_small_ones_are_kept(&program, &seen);
}

#[test]
fn another_program_has_it_for_a_moment() {
    let house = House::open();
    fs::write(beside(&house.path()), "1\n").unwrap();
    let (mut client, mut other) = (house.client(), house.client());
    client.begins("a@b");
    client.send("x\r\n.\r\nNOOP\r\n");
    house.comes_to_wait_for(&["the disk", "a command"]);
    client.hears_nothing();
    other.says("NOOP", "250");
    fs::remove_file(beside(&house.path())).unwrap();
    client.hears("250 2.0.0 Kept");
    client.hears("250 2.0.0 OK");
    assert_eq!(house.messages().len(), 1);
}

#[test]
fn another_program_has_it_for_too_long() {
    let house = House::open();
    fs::write(beside(&house.path()), "1\n").unwrap();
    let mut client = house.client();
    client.begins("a@b");
    client.says("x\r\n.", "451 4.3.0");
    fs::remove_file(beside(&house.path())).unwrap();
    client.sends("a@b", "x\r\n");
    assert_eq!(house.messages().len(), 1);
}

/// What waits for the disk takes memory, too.
#[test]
fn memory_is_taken_until_it_is_on_the_disk() {
    let house = House::with(|options| (options.memory, options.largest) = (100_000, 80_000));
    fs::write(beside(&house.path()), "1\n").unwrap();
    let (mut client, mut other) = (house.client(), house.client());
    client.begins("a@b");
    client.send("x".repeat(70_000) + "\r\n.\r\n");
    house.comes_to_wait_for(&["the disk", "a command"]);
    other.says("MAIL FROM:<a@b> SIZE=50000", "452 4.3.1");
    fs::remove_file(beside(&house.path())).unwrap();
    client.hears("250 2.0.0");
    other.says("MAIL FROM:<a@b> SIZE=50000", "250 2.1.0");
}

/// It's been moved away, as people do who put old mail aside.
#[test]
fn a_file_that_was_moved_is_not_written_to() {
    let house = House::open();
    house.works();
    let moved = house.path().with_file_name("moved");
    fs::rename(house.path(), &moved).unwrap();
    house.client().sends("a@b", "x\r\n");
    assert_eq!((messages(&moved).len(), house.messages().len()), (1, 1));
}

/// Whoever sends and leaves, again and again, can't make it a pile without end.
#[test]
fn so_many_wait_for_the_disk_and_no_more() {
    const MOST: usize = 5;
    let house = House::with(|options| options.most = MOST);
    fs::write(beside(&house.path()), "1\n").unwrap();
    // The thread has one in hand, or all that waited when it began, or none yet.
    for number in 0..=2 * MOST + 1 {
        let mut client = house.client();
        client.begins("a@b");
        client.send("x\r\n.\r\n");
        let waits = until("it's with the disk, or refused", || {
            let waits = house.waits_for().pop()?;
            (waits != "the rest of a message").then_some(waits)
        });
        if waits != "the disk" {
            client.hears("452 4.3.1");
            assert!(number >= MOST, "no room for {number}");
            fs::remove_file(beside(&house.path())).unwrap();
            until("all are kept", || (house.messages().len() == number).then_some(()));
            return client.sends("a@b", "x\r\n");
        }
        client.reset();
        house.comes_to_wait_for(&[]);
    }
    panic!("it never ends");
}

/// As many as there are clients: none is refused because of the others.
#[test]
fn all_clients_send_at_once() {
    let house = House::open();
    let mut clients: Vec<Client> = (0..200).map(|_| house.client()).collect();
    clients.iter_mut().for_each(|client| client.begins("a@b"));
    clients.iter_mut().for_each(|client| client.send("x\r\n.\r\n"));
    for client in &mut clients {
        client.hears("250 2.0.0");
    }
    assert_eq!(house.messages().len(), 200);
}

#[test]
fn stopping_it_waits_for_the_disk() {
    let (house, mut client) = one_who_waits_for_the_disk();
    let stopped = house.stop();
    client.hears_nothing();
    assert!(stopped.try_recv().is_err());
    fs::remove_file(beside(&house.path())).unwrap();
    client.hears("250 2.0.0");
    client.hears("421 4.3.2");
    client.is_hung_up_on();
    drop(client);
    stopped.recv_timeout(PATIENCE).expect("it stops");
    assert_eq!(house.messages().len(), 1);
}

/// The second time it ends at once, whatever the disk does.
#[test]
fn stopping_it_twice_waits_for_no_disk() {
    let (house, mut client) = one_who_waits_for_the_disk();
    let first = house.stop();
    assert!(first.try_recv().is_err());
    house.stop().try_recv().expect("it has stopped");
    first.try_recv().expect("and the first one was told so");
    client.is_hung_up_on();
}

/// So long no client waits. It will send it again, and then it's there twice: better than never.
#[test]
fn disk_that_takes_too_long() {
    let (house, mut client) = one_who_waits_for_the_disk();
    house.passes(DISK_TIME);
    client.hears("421 4.4.2");
    client.is_hung_up_on();
    fs::remove_file(beside(&house.path())).unwrap();
    until("it's kept", || (house.messages().len() == 1).then_some(()));
    house.works();
}

/// Its client has gone, and the program is to end. What was taken is written before.
#[test]
fn stopping_it_writes_what_nobody_waits_for() {
    let (house, client) = one_who_waits_for_the_disk();
    client.reset();
    house.comes_to_wait_for(&[]);
    let stopped = house.stop();
    assert!(stopped.try_recv().is_err());
    fs::remove_file(beside(&house.path())).unwrap();
    stopped.recv_timeout(PATIENCE).expect("it stops");
    assert_eq!(house.messages().len(), 1);
}

/// Sends so many messages that say which they are, as long as it's answered. Gives those that were kept.
fn send_all(address: std::net::SocketAddr, name: &str, count: usize, length: usize) -> Vec<String> {
    let mut kept = Vec::new();
    let Ok(mut stream) = std::net::TcpStream::connect(address) else { return kept };
    let mut say = |text: &str, replies: usize| {
        if stream.write_all(text.as_bytes()).is_err() {
            return false;
        }
        let mut piece = [0; 4096];
        let mut heard = Vec::new();
        while heard.iter().filter(|&&it| it == b'\n').count() < replies {
            match std::io::Read::read(&mut stream, &mut piece) {
                Ok(0) | Err(_) => return false,
                Ok(count) => heard.extend_from_slice(&piece[..count]),
            }
        }
        heard.starts_with(b"2")
    };
    if !say("HELO x\r\n", 2) {
        return kept;
    }
    for number in 0..count {
        let mark = format!("{name} {number}");
        let filling = "x".repeat(78) + "\r\n";
        let filling = filling.repeat(length / filling.len());
        let envelope = "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n";
        if !say(envelope, 3) || !say(&format!("begin {mark}\r\n{filling}end {mark}\r\n.\r\n"), 1) {
            break;
        }
        kept.push(mark);
    }
    kept
}

/// Each message of the mbox is whole. Gives their marks.
#[track_caller]
fn marks(path: &Path) -> Vec<String> {
    let whole = |kept: crate::house::Kept| {
        let mark =
            kept.sent().lines().next().and_then(|it| it.strip_prefix("begin ")).map(str::to_owned);
        let mark = mark.unwrap_or_else(|| panic!("no beginning: {:?}", kept.from));
        assert!(kept.sent().ends_with(&format!("end {mark}\n")), "half of {mark}");
        mark
    };
    messages(path).into_iter().map(whole).collect()
}

#[test]
fn two_programs_append_to_one_mbox() {
    let folder = tempfile::tempdir().unwrap();
    let mbox = folder.path().join("mbox");
    let programs = [program(&mbox), program(&mbox)];
    let mut kept: Vec<String> = thread::scope(|scope| {
        let send = |program: usize, client: usize| {
            let address = programs[program].listening().unwrap();
            move || send_all(address, &format!("{program}.{client}"), 25, 20_000)
        };
        let all = [(0, 0), (1, 0), (0, 1), (1, 1)]
            .map(|(program, client)| scope.spawn(send(program, client)));
        all.into_iter().flat_map(|it| it.join().unwrap()).collect()
    });
    assert_eq!(kept.len(), 100);
    let mut found = marks(&mbox);
    found.sort();
    kept.sort();
    assert_eq!(found, kept);
}

/// Killed at any moment, it leaves no half of a message behind that the next start doesn't cut off; and what
/// was promised is there.
#[test]
fn killed_in_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    let mbox = folder.path().join("mbox");
    let mut promised: Vec<String> = Vec::new();
    let mut cut = 0;
    let mut rounds = 0..300;
    while let Some(round) = rounds.next().filter(|round| *round < 20 || cut == 0) {
        let program = program(&mbox);
        let said = program.stderr();
        cut += said.iter().filter(|line| line.starts_with("mbox: cut off")).count();
        let found = marks(&mbox);
        for mark in &promised {
            assert!(found.contains(mark), "round {round}: {mark} is lost");
        }
        assert!(!beside(&mbox).exists());
        let address = program.listening().unwrap();
        let pause = Duration::from_millis(20 + fastrand::Rng::with_seed(round).u64(..100));
        let kept = thread::scope(|scope| {
            let sends: Vec<_> = (0..3)
                .map(|client| {
                    scope.spawn(move || {
                        send_all(address, &format!("{round}.{client}"), 1000, 300_000)
                    })
                })
                .collect();
            thread::sleep(pause);
            program.signal(Signal::SIGKILL);
            sends.into_iter().flat_map(|it| it.join().unwrap()).collect::<Vec<_>>()
        });
        promised.extend(kept);
        if fs::metadata(&mbox).unwrap().len() > 64 << 20 {
            fs::remove_file(&mbox).unwrap();
            let _ = fs::remove_file(beside(&mbox));
            promised.clear();
        }
    }
    assert!(cut > 0, "it was never in the middle: this proves nothing");
}

/// The program with a disk on which something happens to a call for the mbox (each thread's are counted by themselves): `strace` sees to that.
/// None: there is no strace here, or it may not look into programs.
#[cfg(target_os = "linux")]
fn tampered(mbox: &Path, injections: &[&str]) -> Option<Program> {
    let works = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    if !works.is_ok_and(|it| it.status.success()) {
        visitors::skipped("there is no strace that could look into a program here".to_owned());
        return None;
    }
    // -D: what we start, and end, is the program itself, and strace only looks on.
    let options = ["-D", "-f", "-qq", "-o", "/dev/null"];
    let start = options.iter().fold(Start::new("strace"), Start::arg);
    let inject = |start: Start, what: &&str| start.arg(format!("--inject={what}"));
    let start = injections.iter().fold(start, inject).arg("-P").arg(mbox);
    let program = with_mail(start.arg(PROGRAM), mbox).start().unwrap();
    Client::call(program.listening().expect("it says where"));
    Some(program)
}

/// What was written isn't on the disk, and is gone again.
#[test]
#[cfg(target_os = "linux")]
fn a_disk_with_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let mbox = folder.path().join("mbox");
    let Some(program) = tampered(&mbox, &["fdatasync:error=EIO:when=2"]) else { return };
    let mut client = Client::hello(program.listening().unwrap());
    client.sends("a@b", "one\r\n");
    client.begins("a@b");
    client.says("two\r\n.", "451 4.3.0");
    client.sends("a@b", "three\r\n");
    let sent: Vec<String> = messages(&mbox).iter().map(|kept| kept.sent().to_owned()).collect();
    assert_eq!(sent, ["one\n", "three\n"]);
    program
        .says(|line| line.contains("not kept, from <a@b>: Input/output error"))
        .expect("it says why");
}

/// And it can't be cut off either. The next one does it, or the next program.
#[test]
#[cfg(target_os = "linux")]
fn a_disk_with_two_faults() {
    let folder = tempfile::tempdir().unwrap();
    let mbox = folder.path().join("mbox");
    let faults = ["fdatasync:error=EIO:when=2", "ftruncate:error=EIO:when=1"];
    let Some(program) = tampered(&mbox, &faults) else { return };
    let mut client = Client::hello(program.listening().unwrap());
    client.sends("a@b", "one\r\n");
    client.begins("a@b");
    client.says("two\r\n.", "451 4.3.0");
    assert!(beside(&mbox).exists() && messages(&mbox).len() == 2, "it couldn't be cut off");
    client.sends("a@b", "three\r\n");
    // Whole it was, for all that anybody can tell: a client that sends it again has it twice.
    assert!(!beside(&mbox).exists());
    assert_eq!(
        messages(&mbox).last().map(|kept| kept.sent().to_owned()),
        Some("three\n".to_owned())
    );
}

/// Nobody hears of it before it's on the disk, and nobody else waits.
#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_is_slow() {
    let folder = tempfile::tempdir().unwrap();
    let mbox = folder.path().join("mbox");
    let Some(program) = tampered(&mbox, &["fdatasync:delay_enter=3s:when=2"]) else { return };
    let address = program.listening().unwrap();
    let (mut client, mut other) = (Client::hello(address), Client::hello(address));
    client.sends("a@b", "one\r\n");
    client.begins("a@b");
    client.send("two\r\n.\r\n");
    until("it's written", || (messages(&mbox).len() == 2).then_some(()));
    for _ in 0..100 {
        other.says("NOOP", "250 2.0.0");
    }
    client.hears_nothing();
    client.hears("250 2.0.0");
}

/// Killed between two pieces of a message.
#[test]
#[cfg(target_os = "linux")]
fn killed_between_two_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let mbox = folder.path().join("mbox");
    // The first message, and two pieces of the second.
    let Some(tampered) = tampered(&mbox, &["write:signal=SIGKILL:when=4"]) else { return };
    let address = tampered.listening().unwrap();
    assert_eq!(send_all(address, "small", 1, 100), ["small 0"]);
    let whole = fs::metadata(&mbox).unwrap().len();
    assert_eq!(send_all(address, "large", 1, 1_000_000), [""; 0]);
    until("it's killed", || tampered.exit_status());
    let half = fs::metadata(&mbox).unwrap().len() - whole;
    assert!(half > 100_000 && beside(&mbox).exists(), "{half} bytes are left");
    let program = program(&mbox);
    assert_eq!(marks(&mbox), ["small 0"]);
    let expected = format!("mbox: cut off {half} bytes of a message that was never whole");
    program.says(|line| line == expected).expect("it says so");
}
