//! Looks into the program's memory, where a call's arguments point (process_vm_readv(2)).

use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::libc;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
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

/// The descriptors in a `fd_set`, below `limit`.
pub fn members_of_set(thread: Pid, at: u64, limit: u64) -> Vec<i64> {
    let limit = usize::try_from(limit).unwrap_or(MOST).min(MOST);
    let bytes = if at == 0 || limit == 0 { None } else { read(thread, at, limit.div_ceil(64) * 8) };
    let bytes = bytes.unwrap_or_default();
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
