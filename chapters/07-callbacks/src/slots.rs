//! Where the loop keeps what it owns: numbered slots, each with one tenant after the
//! other.

use std::fmt;

// ANCHOR: token
/// Names one tenant of one slot, for as long as the program runs.
///
/// Descriptors are numbers that the kernel gives again as soon as they
/// are free. A token is never given again: the generation says which of
/// the slot's tenants is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token {
    slot: u32,
    generation: u32,
}
// ANCHOR_END: token

impl Token {
    /// As one number, for a kernel that keeps it for us.
    pub fn to_bits(self) -> u64 {
        u64::from(self.slot) << 32 | u64::from(self.generation)
    }

    /// The token that [`to_bits`](Self::to_bits) made the number of.
    pub fn from_bits(bits: u64) -> Self {
        // The halves: each `as` cuts off what belongs to the other.
        Self { slot: (bits >> 32) as u32, generation: bits as u32 }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

/// Slots, each free or with a tenant.
#[derive(Debug)]
pub struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot<T> {
    /// How many tenants it has had before.
    generation: u32,
    tenant: Option<T>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

// ANCHOR: slots
impl<T> Slots<T> {
    /// Gives a slot to `tenant`: one that was used before, if any is
    /// free.
    ///
    /// # Panics
    /// With more than 4,294,967,295 tenants at the same time.
    pub fn insert(&mut self, tenant: T) -> Token {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, tenant: None });
            u32::try_from(self.slots.len() - 1).expect("so many things were never waited for")
        });
        let place = &mut self.slots[slot as usize];
        place.tenant = Some(tenant);
        Token { slot, generation: place.generation }
    }

    /// The tenant, unless it's gone. Whoever has the slot now isn't
    /// meant.
    pub fn get(&self, token: Token) -> Option<&T> {
        let slot = self.slots.get(token.slot as usize)?;
        slot.tenant.as_ref().filter(|_| slot.generation == token.generation)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        let slot = self.slots.get_mut(token.slot as usize)?;
        slot.tenant.as_mut().filter(|_| slot.generation == token.generation)
    }

    /// Takes the tenant out. Its token names nobody from now on.
    pub fn remove(&mut self, token: Token) -> Option<T> {
        self.get(token)?;
        let slot = &mut self.slots[token.slot as usize];
        // A slot that has had all the tenants that can be told apart is
        // never used again.
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.push(token.slot);
        }
        slot.tenant.take()
    }
    // ANCHOR_END: slots

    /// All tenants, by slot.
    pub fn iter(&self) -> impl Iterator<Item = (Token, &T)> {
        self.slots.iter().zip(0..).filter_map(|(slot, number)| {
            let token = Token { slot: number, generation: slot.generation };
            Some((token, slot.tenant.as_ref()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_outlives_its_tenant_and_names_nobody_else() {
        let mut slots = Slots::default();
        let first = slots.insert("first");
        assert_eq!(slots.remove(first), Some("first"));
        let second = slots.insert("second");
        assert_eq!(second.slot, first.slot, "the slot is used again");
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.get_mut(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get(second), Some(&"second"));
        assert_eq!(slots.iter().collect::<Vec<_>>(), [(second, &"second")]);
    }

    #[test]
    fn a_slot_that_has_had_all_its_tenants_is_retired() {
        let mut slots = Slots::default();
        slots.slots.push(Slot { generation: u32::MAX, tenant: Some("last") });
        let last = Token { slot: 0, generation: u32::MAX };
        assert_eq!(slots.remove(last), Some("last"));
        assert_ne!(slots.insert("next").slot, 0);
        assert_eq!(slots.get(last), None);
    }

    #[test]
    fn tokens_survive_being_a_number() {
        for (slot, generation) in [(0, 0), (1, 2), (u32::MAX, 7), (7, u32::MAX)] {
            let token = Token { slot, generation };
            assert_eq!(Token::from_bits(token.to_bits()), token);
        }
    }
}
