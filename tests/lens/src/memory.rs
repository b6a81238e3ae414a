//! Looks into the program's memory, where a call's arguments point (process_vm_readv(2)); and, for a
//! lens that lies, writes there (process_vm_writev), and into the register that holds the result.

use std::io::{IoSlice, IoSliceMut};
use std::mem::offset_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::libc;
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::Pid;

/// More entries of poll's list than these aren't looked at, and no larger descriptors of select's sets. Nor
/// are more of epoll's events told one by one.
pub const MOST: usize = 8192;

/// Bytes of its memory, as many as are there. `None` where nothing can be read.
fn read(thread: Pid, address: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    let from = [RemoteIoVec { base: usize::try_from(address).ok()?, len: length }];
    let count = process_vm_readv(thread, &mut [IoSliceMut::new(&mut bytes)], &from).ok()?;
    bytes.truncate(count);
    (count > 0).then_some(bytes)
}

/// Writes bytes into its memory, and says whether all of them are there. What can't be written stays as
/// it is.
fn write(thread: Pid, address: u64, bytes: &[u8]) -> bool {
    let Ok(base) = usize::try_from(address) else { return false };
    let to = [RemoteIoVec { base, len: bytes.len() }];
    process_vm_writev(thread, &[IoSlice::new(bytes)], &to) == Ok(bytes.len())
}

/// The 64-bit number at an address.
pub fn word(thread: Pid, at: u64) -> Option<u64> {
    let bytes = if at == 0 { None } else { read(thread, at, 8) }?;
    Some(u64::from_ne_bytes(*bytes.first_chunk()?))
}

/// The internet address at a `struct sockaddr`, as accept fills one in (sockaddr(3type)).
pub fn socket_address(thread: Pid, at: u64) -> Option<SocketAddr> {
    let bytes = if at == 0 { None } else { read(thread, at, 28) }?;
    let family = i32::from(u16::from_ne_bytes(*bytes.first_chunk()?));
    let port = u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
    let ip: IpAddr = match family {
        libc::AF_INET => Ipv4Addr::from(*bytes.get(4..)?.first_chunk::<4>()?).into(),
        libc::AF_INET6 => Ipv6Addr::from(*bytes.get(8..)?.first_chunk::<16>()?).into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// The descriptors at an array of `struct pollfd` for which something was reported.
pub fn ready_of_poll(thread: Pid, at: u64, count: u64) -> Vec<i64> {
    let count = usize::try_from(count).unwrap_or(MOST).min(MOST);
    let entries = if count == 0 { None } else { read(thread, at, count * 8) };
    let entry = |bytes: &[u8]| {
        let descriptor = i32::from_ne_bytes(*bytes.first_chunk()?);
        let reported = u16::from_ne_bytes(*bytes.get(6..)?.first_chunk()?);
        (reported != 0).then_some(i64::from(descriptor))
    };
    entries.unwrap_or_default().chunks_exact(8).filter_map(entry).collect()
}

/// Makes poll's answer a lie: everybody in the list is reported as ready for what was asked.
pub fn report_everybody(thread: Pid, at: u64, count: u64) {
    let count = usize::try_from(count).unwrap_or(MOST).min(MOST);
    let entries = if count == 0 { None } else { read(thread, at, count * 8) };
    let mut entries = entries.unwrap_or_default();
    for entry in entries.chunks_exact_mut(8) {
        for (asked, reported) in [(4, 6), (5, 7)] {
            entry[reported] |= entry[asked];
        }
    }
    write(thread, at, &entries);
}

/// The bytes of a `fd_set`, as far as descriptors below `limit` need them, and where they lie.
pub fn bytes_of_set(thread: Pid, at: u64, limit: u64) -> Option<(u64, Vec<u8>)> {
    let limit = usize::try_from(limit).unwrap_or(MOST).min(MOST);
    let bytes = if at == 0 || limit == 0 { None } else { read(thread, at, limit.div_ceil(64) * 8) };
    Some((at, bytes?))
}

/// Makes select's answer a lie: the set is again what was asked.
pub fn put_back_set(thread: Pid, (at, bytes): &(u64, Vec<u8>)) {
    write(thread, *at, bytes);
}

/// The descriptors in a `fd_set`, below `limit`.
pub fn members_of_set(thread: Pid, at: u64, limit: u64) -> Vec<i64> {
    let bytes = bytes_of_set(thread, at, limit).map(|(_, bytes)| bytes).unwrap_or_default();
    let limit = usize::try_from(limit).unwrap_or(MOST).min(MOST);
    // Words of the kernel's `long`: on a big-endian machine the bits aren't in the bytes' order.
    let words =
        bytes.chunks_exact(8).filter_map(|word| Some(u64::from_ne_bytes(*word.first_chunk()?)));
    let mut members = Vec::new();
    for (index, word) in words.enumerate() {
        let bits = (0..64).filter(|bit| word & (1 << bit) != 0);
        members.extend(bits.map(|bit| index * 64 + bit).filter(|descriptor| *descriptor < limit));
    }
    members.into_iter().filter_map(|descriptor| i64::try_from(descriptor).ok()).collect()
}

/// A `struct epoll_event`: what a program asks epoll about a descriptor, or is told about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpollEvent {
    /// For what it's ready, or shall be.
    pub events: u32,
    /// The program's own mark for the descriptor.
    pub data: u64,
}

/// How long the kernel's is, in bytes. (On x86-64 nothing stands between its two fields.)
const EVENT: usize = size_of::<libc::epoll_event>();
/// Where the mark lies in it.
const DATA: usize = offset_of!(libc::epoll_event, u64);

/// The event that epoll_ctl was given.
pub fn epoll_event(thread: Pid, at: u64) -> Option<EpollEvent> {
    epoll_events(thread, at, 1).pop()
}

/// The events that epoll_wait has reported: all, or none where they can't be read.
pub fn epoll_events(thread: Pid, at: u64, count: usize) -> Vec<EpollEvent> {
    let bytes = if count == 0 { None } else { read(thread, at, count * EVENT) };
    let bytes = bytes.filter(|bytes| bytes.len() == count * EVENT);
    let event = |bytes: &[u8]| {
        let events = u32::from_ne_bytes(*bytes.first_chunk()?);
        Some(EpollEvent { events, data: u64::from_ne_bytes(*bytes.get(DATA..)?.first_chunk()?) })
    };
    bytes.unwrap_or_default().chunks_exact(EVENT).filter_map(event).collect()
}

/// Makes epoll_wait's answer a lie, at the end of that call: after the `count` events that it has reported
/// come `more`, and it returns the number of all. (Programs look at no more events than that.)
pub fn report_more(thread: Pid, at: u64, count: usize, more: &[EpollEvent]) {
    let mut bytes = vec![0; more.len() * EVENT];
    for (bytes, event) in bytes.chunks_exact_mut(EVENT).zip(more) {
        bytes[..4].copy_from_slice(&event.events.to_ne_bytes());
        bytes[DATA..][..8].copy_from_slice(&event.data.to_ne_bytes());
    }
    if !more.is_empty() && write(thread, at + (count * EVENT) as u64, &bytes) {
        // Where it can't be done, nobody looks at what was written.
        let _ = change_result(thread, (count + more.len()) as u64);
    }
}

/// Whether the lens can change a call's result on this kind of processor.
pub const CAN_CHANGE_RESULTS: bool = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));

/// Changes the result of the call at whose end the thread is stopped.
#[cfg(target_arch = "x86_64")]
fn change_result(thread: Pid, result: u64) -> nix::Result<()> {
    let registers = nix::sys::ptrace::getregs(thread)?;
    nix::sys::ptrace::setregs(thread, libc::user_regs_struct { rax: result, ..registers })
}

#[cfg(target_arch = "aarch64")]
fn change_result(thread: Pid, result: u64) -> nix::Result<()> {
    let mut registers = nix::sys::ptrace::getregs(thread)?;
    registers.regs[0] = result;
    nix::sys::ptrace::setregs(thread, registers)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn change_result(_: Pid, _: u64) -> nix::Result<()> {
    Err(nix::errno::Errno::ENOSYS)
}
