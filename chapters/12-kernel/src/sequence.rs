//! What an X server sends, cut into packets, with its count of requests brought in line with the
//! library's.
//!
//! Nothing that the server sends says to which request it belongs, but by how many there were (X
//! Window System Protocol, section 1: the sequence number, of which it sends the lower 16 bits). A
//! connection that comes from another process has made requests already. The library begins at 0.

use std::collections::VecDeque;

/// Each packet has at least so many bytes. Some say that they have more.
const LEAST: usize = 32;
/// What a packet begins with: a reply, a generic event, and the one event without a number.
const REPLY: u8 = 1;
const GENERIC: u8 = 35;
const KEYMAP_NOTIFY: u8 = 11;
/// An event that another client has sent has this bit besides.
const SENT: u8 = 0x80;

/// What the server sends, between the kernel and the library.
#[derive(Debug, Default)]
pub struct Packets {
    /// Less than one.
    partial: Vec<u8>,
    /// For the library, which takes all of them.
    whole: VecDeque<u8>,
    count: Count,
    /// What belongs to requests of before has all come.
    is_past: bool,
}

/// How far the server is with counting. Sixteen bits of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many requests other processes have made on this connection, before the library.
    pub before: u16,
    /// The number in the last packet that came.
    pub last: u16,
}

impl Packets {
    /// Goes on where another process has been.
    pub fn resume(partial: Vec<u8>, count: Count) -> Self {
        Self { partial, count, ..Self::default() }
    }

    /// What has come of a packet, and the server's count.
    pub fn parts(&self) -> (&[u8], Count) {
        (&self.partial, self.count)
    }

    /// What has come.
    pub fn put(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        let mut used = 0;
        while let Some(packet) = first(self.partial.get_mut(used..).unwrap_or_default()) {
            used += packet.len();
            if settle(packet, &mut self.count, &mut self.is_past) {
                self.whole.extend(&*packet);
            }
        }
        self.partial.drain(..used);
    }

    /// Gives what is whole, as far as there is room for it.
    pub fn take(&mut self, into: &mut [u8]) -> usize {
        let count = self.whole.len().min(into.len());
        for (to, byte) in into.iter_mut().zip(self.whole.drain(..count)) {
            *to = byte;
        }
        count
    }
}

/// The first packet, if all of it is there.
fn first(bytes: &mut [u8]) -> Option<&mut [u8]> {
    let [kind, _, _, _, a, b, c, d, ..] = *bytes else { return None };
    let has_more = kind == REPLY || kind & !SENT == GENERIC;
    // In the order of this machine: the library asks for that.
    let more = if has_more { u32::from_ne_bytes([a, b, c, d]) } else { 0 };
    let length = usize::try_from(more).ok()?.checked_mul(4)?.checked_add(LEAST)?;
    bytes.get_mut(..length)
}

// ANCHOR: settle
/// Counts from where the library has begun. False: the library must not
/// have it.
fn settle(packet: &mut [u8], count: &mut Count, is_past: &mut bool) -> bool {
    let [kind, _, low, high, ..] = packet else { return true };
    if *kind & !SENT == KEYMAP_NOTIFY {
        return true;
    }
    let number = u16::from_ne_bytes([*low, *high]);
    // Numbers only grow, until they begin anew: what counts is how far it
    // is from the last one.
    let ahead = number.wrapping_sub(count.last);
    *is_past = *is_past || ahead > count.before.wrapping_sub(count.last);
    count.last = number;
    let ours = if *is_past { number.wrapping_sub(count.before) } else { 0 };
    [*low, *high] = ours.to_ne_bytes();
    // Whoever has asked for a reply of before is gone.
    *is_past || *kind != REPLY
}
// ANCHOR_END: settle

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const EVENT: u8 = 12;

    fn packet(kind: u8, number: u16, more: u32) -> Vec<u8> {
        let mut packet = vec![kind, 0];
        packet.extend(number.to_ne_bytes());
        packet.extend(more.to_ne_bytes());
        packet.resize(LEAST + 4 * usize::try_from(more).unwrap(), 7);
        packet
    }

    /// The numbers of all packets that the library gets.
    fn numbers(packets: &mut Packets) -> Vec<u16> {
        let mut all = vec![0; 10_000];
        let count = packets.take(&mut all);
        let mut rest = &mut all[..count];
        let mut numbers = Vec::new();
        while let Some(packet) = first(rest) {
            numbers.push(u16::from_ne_bytes([packet[2], packet[3]]));
            let length = packet.len();
            rest = &mut rest[length..];
        }
        assert!(rest.is_empty(), "all of them are whole");
        numbers
    }

    #[rstest]
    fn however_they_come_they_are_given_on_whole(#[values(1, 7, 31, 32, 33, 1000)] piece: usize) {
        let all = [packet(EVENT, 1, 9)[..LEAST].to_vec(), packet(REPLY, 2, 3), packet(0, 3, 0)];
        let (mut packets, mut given) = (Packets::default(), Vec::new());
        for piece in all.concat().chunks(piece) {
            packets.put(piece);
            given.extend(numbers(&mut packets));
        }
        assert_eq!(given, [1, 2, 3]);
        assert_eq!(packets.parts(), (&[][..], Count { before: 0, last: 3 }));
    }

    /// What belongs to requests of before has number 0; what belongs to ours is counted from 1.
    #[rstest]
    #[case::few(10, 7)]
    #[case::none_is_under_way(10, 10)]
    #[case::around_the_end_of_the_numbers(3, 65_530)]
    #[case::at_the_end_of_the_numbers(65_535, 65_530)]
    #[case::at_their_beginning(0, 65_530)]
    #[case::very_many(60_000, 5)]
    fn what_comes_is_counted_from_where_the_library_begins(#[case] before: u16, #[case] last: u16) {
        let mut packets = Packets::resume(Vec::new(), Count { before, last });
        let of_before = before.wrapping_sub(last);
        for late in [0, of_before / 2, of_before] {
            packets.put(&packet(EVENT, last.wrapping_add(late), 0)[..LEAST]);
            // Its asker is gone, and so it's nobody's.
            packets.put(&packet(REPLY, last.wrapping_add(late), 2));
        }
        assert_eq!(numbers(&mut packets), [0, 0, 0]);
        for ours in [1, 2, 2, 30_000, 60_000, 65_535] {
            packets.put(&packet(REPLY, before.wrapping_add(ours), 0));
            assert_eq!(numbers(&mut packets), [ours]);
        }
    }

    #[test]
    fn an_event_that_somebody_has_sent_has_a_number_and_that_of_keys_has_none() {
        let mut packets = Packets::resume(Vec::new(), Count { before: 5, last: 5 });
        packets.put(&packet(SENT | 33, 6, 77)[..LEAST]);
        packets.put(&packet(KEYMAP_NOTIFY, 9, 0));
        assert_eq!(numbers(&mut packets), [1, 9]);
    }
}
