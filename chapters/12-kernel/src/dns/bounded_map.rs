//! A map with a bound: when it's full, what nobody has asked for goes first.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// What an entry costs besides its key and its value, in bytes: its slot, its place in the map,
/// and what the allocator adds to two pieces of memory. About that; measured, not proved.
const OVERHEAD: usize = 160;

/// Bytes by bytes, each until a certain time. No more entries than a bound, and no more bytes
/// than another.
#[derive(Debug)]
pub struct BoundedMap {
    most: usize,
    most_bytes: usize,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    by_key: HashMap<Rc<[u8]>, u32>,
    /// How many bytes all entries take.
    bytes: usize,
    /// Whose turn it is to go.
    hand: usize,
}

#[derive(Debug)]
struct Slot {
    key: Rc<[u8]>,
    value: Box<[u8]>,
    stored: Duration,
    until: Duration,
    /// Somebody has asked for it since the hand last came by.
    used: bool,
}

/// An entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub value: &'a [u8],
    /// Since when it's here.
    pub stored: Duration,
    /// From then on it isn't.
    pub until: Duration,
}

impl BoundedMap {
    /// An empty map. It takes memory as it fills.
    pub fn new(most: usize, most_bytes: usize) -> Self {
        Self {
            most,
            most_bytes,
            slots: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::new(),
            bytes: 0,
            hand: 0,
        }
    }

    /// How many entries there are, those included whose time is over.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// How many bytes they take, all told.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The entry, if its time isn't over.
    pub fn get(&mut self, key: &[u8], now: Duration) -> Option<Entry<'_>> {
        let number = *self.by_key.get(key)?;
        let slot = self.slots.get_mut(number as usize)?.as_mut()?;
        if slot.until <= now {
            return None;
        }
        slot.used = true;
        Some(Entry { value: &slot.value, stored: slot.stored, until: slot.until })
    }

    /// Puts an entry in, in the place of an older one with its key.
    pub fn insert(&mut self, key: &[u8], value: Vec<u8>, now: Duration, until: Duration) {
        let size = key.len() + value.len() + OVERHEAD;
        if size > self.most_bytes || self.most == 0 || until <= now {
            return;
        }
        if let Some(number) = self.by_key.get(key) {
            self.remove(*number);
        }
        while self.len() >= self.most || self.bytes + size > self.most_bytes {
            self.make_room(now);
        }
        // At most `most`, which is far less than four billion.
        let number = self.free.pop().unwrap_or(self.slots.len() as u32);
        let key: Rc<[u8]> = key.into();
        self.by_key.insert(Rc::clone(&key), number);
        self.bytes += size;
        let value = value.into_boxed_slice();
        let slot = Some(Slot { key, value, stored: now, until, used: false });
        match self.slots.get_mut(number as usize) {
            Some(place) => *place = slot,
            None => self.slots.push(slot),
        }
    }

    // ANCHOR: room
    /// The hand goes round: who was asked for since it last came by stays
    /// for another round, who wasn't goes. So a flood of questions that
    /// nobody repeats pushes out itself.
    fn make_room(&mut self, now: Duration) {
        for _ in 0..=2 * self.slots.len() {
            let number = self.hand;
            self.hand = if number + 1 < self.slots.len() { number + 1 } else { 0 };
            match self.slots.get_mut(number) {
                Some(Some(slot)) if slot.used && slot.until > now => slot.used = false,
                Some(Some(_)) => return self.remove(number as u32),
                _ => {}
            }
        }
    }
    // ANCHOR_END: room

    fn remove(&mut self, number: u32) {
        let Some(gone) = self.slots.get_mut(number as usize).and_then(Option::take) else { return };
        self.bytes -= gone.key.len() + gone.value.len() + OVERHEAD;
        self.by_key.remove(&gone.key);
        self.free.push(number);
    }

    /// Nothing is left.
    pub fn clear(&mut self) {
        *self = Self::new(self.most, self.most_bytes);
    }
}
