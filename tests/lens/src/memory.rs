//! Looks into the program's memory, where a call's arguments point (process_vm_readv(2)); and, for a
//! lens that lies, writes there (process_vm_writev).

use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::libc;
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::Pid;

/// More entries of poll's list than these aren't looked at, and no larger descriptors of select's sets.
const MOST: usize = 8192;

/// Bytes of its memory, as many as are there. `None` where nothing can be read.
fn read(thread: Pid, address: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    let from = [RemoteIoVec { base: usize::try_from(address).ok()?, len: length }];
    let count = process_vm_readv(thread, &mut [IoSliceMut::new(&mut bytes)], &from).ok()?;
    bytes.truncate(count);
    (count > 0).then_some(bytes)
}

/// Writes bytes into its memory. What can't be written stays as it is.
fn write(thread: Pid, address: u64, bytes: &[u8]) {
    let Ok(base) = usize::try_from(address) else { return };
    let to = [RemoteIoVec { base, len: bytes.len() }];
    let _ = process_vm_writev(thread, &[IoSlice::new(bytes)], &to);
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
