//! Names by their hash, five bytes and a little room for each.
//!
//! An open table with linear probing. A slot has the number of a name, and a byte of its hash, so that
//! hardly any other name is looked at. It does not grow by itself: who has the names fills a larger one,
//! after this one is gone, so that never two of them take memory.

/// So much of the slots is in use at the most.
const FULL: (usize, usize) = (3, 4);
/// What there is at first.
const LEAST: usize = 64;

/// A slot: number of the name plus one (0 if it is free), and a part of the hash.
type Slot = [u8; 5];
const FREE: Slot = [0; 5];
/// Number of a slot whose name was taken away.
const GONE: u32 = u32::MAX;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct NameTable {
    slots: Vec<Slot>,
    used: usize,
}

impl NameTable {
    /// A table with room for `names` and half as many more.
    pub(super) fn with_room(names: usize) -> Self {
        let slots = (names + names / 2).max(LEAST) * FULL.1 / FULL.0 + 1;
        Self {
            slots: vec![FREE; slots],
            used: 0,
        }
    }

    /// Whether another name fits.
    pub(super) fn has_room(&self) -> bool {
        self.used * FULL.1 < self.slots.len() * FULL.0
    }

    /// The number with this hash that `is_it` is true for.
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        self.place(hash, is_it).map(|(_, number)| number)
    }

    /// Adds a number; there must be room.
    pub(super) fn insert(&mut self, hash: u64, number: u32) {
        let free = self.places(hash).find(|(_, slot)| *slot == FREE);
        if let Some((at, _)) = free
            && let Some(slot) = self.slots.get_mut(at)
        {
            *slot = slot_of(number + 1, hash);
            self.used += 1;
        }
    }

    /// Takes a number away.
    pub(super) fn remove(&mut self, hash: u64, number: u32) {
        if let Some((at, _)) = self.place(hash, |found| found == number)
            && let Some(slot) = self.slots.get_mut(at)
        {
            // Those behind it must still be found.
            *slot = slot_of(GONE, hash);
        }
    }

    fn place(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<(usize, u32)> {
        for (at, slot) in self.places(hash) {
            if slot == FREE {
                return None;
            }
            let [a, b, c, d, tag] = slot;
            let number = u32::from_le_bytes([a, b, c, d]);
            if tag == hash as u8 && number != GONE && is_it(number - 1) {
                return Some((at, number - 1));
            }
        }
        None
    }

    /// All slots, beginning with that of a hash.
    fn places(&self, hash: u64) -> impl Iterator<Item = (usize, Slot)> {
        // The high bits choose the slot, whatever the number of slots is.
        let first = ((u128::from(hash) * self.slots.len() as u128) >> 64) as usize;
        let slots = self.slots.iter().copied().enumerate();
        let (behind, before) = (slots.clone().skip(first), slots.take(first));
        behind.chain(before)
    }
}

fn slot_of(number: u32, hash: u64) -> Slot {
    let [a, b, c, d] = number.to_le_bytes();
    [a, b, c, d, hash as u8]
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use super::*;

    #[test]
    fn numbers_are_found_until_they_are_taken_away() {
        let hasher = RandomState::new();
        // Many have the same hash.
        let hash = |number: u32| hasher.hash_one(number / 3);
        let mut table = NameTable::default();
        assert!(!table.has_room());
        assert_eq!(table.find(7, |_| true), None);
        for number in 0..5000 {
            if !table.has_room() {
                table = NameTable::with_room(number as usize);
                (0..number).for_each(|number| table.insert(hash(number), number));
            }
            table.insert(hash(number), number);
        }
        let found = |table: &NameTable, number| table.find(hash(number), |at| at == number);
        assert!((0..5000).all(|number| found(&table, number) == Some(number)));
        assert_eq!(found(&table, 5001), None);
        (0..5000)
            .step_by(2)
            .for_each(|number| table.remove(hash(number), number));
        for number in 0..5000 {
            assert_eq!(found(&table, number).is_some(), number % 2 == 1, "{number}");
        }
    }
}
