//! Calls in which programs wait seldom: the lens knows them too. Those that are made all the time are told only
//! where they waited.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod shared;

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use lens::record::Outcome;
use rstest::rstest;
use shared::{WAITER, calls, can_look, look};
use visitors::calls::CALLS;

#[rstest]
#[case::with_a_filter(&[])]
#[case::at_every_call(&["--every-call"])]
fn a_close_that_lingers_is_a_wait_and_the_others_are_nothing(#[case] options: &[&str]) {
    if !can_look() {
        return;
    }
    let (output, lines) = look(options, &[WAITER, "lingers"]);
    assert_eq!(output.status.code(), Some(0));
    let calls = calls(&lines);
    let closes: Vec<_> = calls.iter().filter(|call| call.call == "close").collect();
    let [close] = closes[..] else { panic!("one of many waited: {closes:?}") };
    assert!(close.waited, "{close:?}");
    assert!(close.took() >= Duration::from_millis(900), "{close:?}");
    assert_eq!(close.outcome, Outcome::Result(0));
    assert!(close.what.as_ref().is_some_and(|what| what.starts_with("127.0.0.1:")), "{close:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("  close "), "it's in the summary: {said}");
}

#[test]
fn what_was_closed_is_forgotten_as_before() {
    if !can_look() {
        return;
    }
    // The number of what was closed is used again, for something else.
    let (_, lines) = look(&[], &[WAITER, "reuses"]);
    let calls = calls(&lines);
    let what = |name: &str| {
        let call = calls.iter().find(|call| call.call == name && call.waited);
        call.and_then(|call| call.what.clone())
    };
    assert_eq!(what("read").as_deref(), Some("a pipe"));
    assert_eq!(what("accept4").as_deref(), Some("the listener"));
}

#[rstest]
#[case::with_a_filter(&[])]
#[case::at_every_call(&["--every-call"])]
fn whoever_lends_its_memory_to_a_child_can_wait_and_whoever_starts_a_thread_cannot(
    #[case] options: &[&str],
) {
    if !can_look() {
        return;
    }
    let (output, lines) = look(options, &[WAITER, "spawns"]);
    assert_eq!(output.status.code(), Some(0));
    let calls = calls(&lines);
    let starts = calls.iter().filter(|call| ["vfork", "clone", "clone3"].contains(&&*call.call));
    assert_eq!(starts.count(), 1, "{calls:?}");
}

#[test]
fn whatever_brings_a_file_to_the_disk_is_looked_at() {
    if !can_look() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("synced");
    let (output, lines) = look(&[], &[WAITER, "syncs", file.to_str().expect("a plain path")]);
    assert_eq!(output.status.code(), Some(0));
    for name in ["fsync", "fdatasync", "syncfs"] {
        assert!(calls(&lines).iter().any(|call| call.call == name), "{name}: {lines:?}");
    }
}

/// Calls that neither Rust's library nor nix makes: python can, by their numbers.
#[rstest]
#[case::futex_wait("futex_wait", FUTEX_WAIT)]
#[case::vmsplice("vmsplice", VMSPLICE)]
#[case::io_pgetevents("io_pgetevents", IO_PGETEVENTS)]
#[case::fifo("openat", FIFO)]
fn it_waits_where_it_is_put_to_sleep(#[case] name: &str, #[case] script: &str) {
    if !can_look() {
        return;
    }
    let script = format!("{PYTHON}{script}");
    let alone = Command::new("python3").args(["-c", &script]).output();
    if !alone.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no python3, or no {name}, on this machine: {alone:?}");
        return;
    }
    let (output, lines) = look(&[], &["python3", "-c", &script]);
    assert!(output.status.success(), "{output:?}");
    let calls = calls(&lines);
    let waited = calls.iter().filter(|call| call.call == name).map(|call| call.blocked()).max();
    assert!(waited >= Some(Duration::from_millis(80)), "{name}: {waited:?}, {calls:?}");
}

const PYTHON: &str = "
import ctypes, os, sys, threading, time, platform
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *arguments)
    return result, ctypes.get_errno()
class Time(ctypes.Structure):
    _fields_ = [('s', ctypes.c_long), ('ns', ctypes.c_long)]
x86 = platform.machine() == 'x86_64'
";

const FUTEX_WAIT: &str = "
word = ctypes.c_uint32(7)
now = time.clock_gettime(time.CLOCK_MONOTONIC) + 0.1
until = Time(int(now), int((now % 1) * 1e9))
result, error = call(455, ctypes.byref(word), ctypes.c_ulong(7), ctypes.c_ulong(0xffffffff), 2, ctypes.byref(until), 1)
sys.exit(error != 110)
";

const VMSPLICE: &str = "
reader, writer = os.pipe()
os.set_blocking(writer, False)
try:
    while True: os.write(writer, b'x' * 4096)
except BlockingIOError: os.set_blocking(writer, True)
def read():
    time.sleep(0.1)
    os.read(reader, 1 << 20)
threading.Thread(target=read).start()
bytes = ctypes.create_string_buffer(b'y' * 16)
class Vector(ctypes.Structure):
    _fields_ = [('base', ctypes.c_void_p), ('length', ctypes.c_size_t)]
vector = Vector(ctypes.cast(bytes, ctypes.c_void_p), 16)
result, error = call(278 if x86 else 75, writer, ctypes.byref(vector), ctypes.c_ulong(1), 0)
sys.exit(result != 16)
";

const IO_PGETEVENTS: &str = "
context = ctypes.c_ulong(0)
result, error = call(206 if x86 else 0, 8, ctypes.byref(context))
if result: sys.exit(1)
events = ctypes.create_string_buffer(64)
result, error = call(333 if x86 else 292, context, ctypes.c_long(1), ctypes.c_long(1), events, ctypes.byref(Time(0, 100000000)), None)
sys.exit(result != 0)
";

const FIFO: &str = "
import tempfile
folder = tempfile.mkdtemp()
path = folder + '/fifo'
os.mkfifo(path)
def write():
    time.sleep(0.1)
    os.close(os.open(path, os.O_WRONLY))
threading.Thread(target=write).start()
os.close(os.open(path, os.O_RDONLY))
os.remove(path); os.rmdir(folder)
";

#[test]
fn no_call_is_there_twice() {
    let numbers: BTreeSet<i64> = CALLS.iter().map(|call| call.number).collect();
    let names: BTreeSet<&str> = CALLS.iter().map(|call| call.name).collect();
    assert_eq!((numbers.len(), names.len()), (CALLS.len(), CALLS.len()));
}
