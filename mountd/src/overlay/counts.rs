//! How often the kernel looked up the inodes of which there is nothing else to know.
//!
//! A tree's inode numbers lie close together, in an image without a gap. So a block of neighbours
//! has a byte for each: about two bytes for an inode whose neighbours are known too, thirty for one
//! that is alone. What a byte cannot hold is in a map beside it.
//!
//! No count is 0: a number without one is not there, and neither is a block without any.

use crate::number_map::NumberMap;
use crate::types::Ino;

/// Numbers of a block.
const NEIGHBOURS: u64 = 16;

/// Parts that grow on their own, so that none takes long, and that what one gives back when it
/// grows is soon of use to another.
const PARTS: usize = 64;

/// In place of a count that a byte cannot hold.
const MANY: u8 = u8::MAX;

type Block = [u8; NEIGHBOURS as usize];

/// The counts. See the module.
#[derive(Debug)]
pub(super) struct Counts {
    parts: [Part; PARTS],
}

#[derive(Debug, Default)]
struct Part {
    /// By the number of the block, from 1 on.
    blocks: NumberMap<Block>,
    /// The counts that blocks have [`MANY`] for.
    many: NumberMap<u64>,
}

impl Counts {
    pub(super) fn new() -> Self {
        Self {
            parts: std::array::from_fn(|_| Part::default()),
        }
    }

    /// Whether the inode has a count.
    pub(super) fn has(&self, ino: Ino) -> bool {
        self.get(ino) > 0
    }

    fn get(&self, ino: Ino) -> u64 {
        self.parts[part_of(ino)].get(ino)
    }

    /// One lookup more.
    pub(super) fn add(&mut self, ino: Ino) {
        let part = &mut self.parts[part_of(ino)];
        let (block, at) = place_of(ino);
        match part.blocks.get_mut(&block) {
            Some(block) if block[at] < MANY - 1 => block[at] += 1,
            _ => part.set(ino, part.get(ino).saturating_add(1)),
        }
    }

    /// Takes all lookups of the inode out; 0 if there are none.
    pub(super) fn take(&mut self, ino: Ino) -> u64 {
        self.take_back(ino, u64::MAX)
    }

    /// Takes `count` lookups back, or all if there are fewer; returns how many were taken.
    pub(super) fn take_back(&mut self, ino: Ino, count: u64) -> u64 {
        let part = &mut self.parts[part_of(ino)];
        let before = part.get(ino);
        let taken = before.min(count);
        if taken > 0 {
            part.set(ino, before - taken);
        }
        taken
    }

    /// How many inodes have a count.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let blocks = self.parts.iter().flat_map(|part| {
            let blocks = part.blocks.keys();
            blocks.filter_map(|number| part.blocks.get(number))
        });
        blocks.flatten().filter(|count| **count > 0).count()
    }
}

impl Part {
    fn get(&self, ino: Ino) -> u64 {
        let (block, at) = place_of(ino);
        match self.blocks.get(&block).map_or(0, |block| block[at]) {
            MANY => self.many.get(&ino.0).copied().unwrap_or(MANY.into()),
            count => count.into(),
        }
    }

    fn set(&mut self, ino: Ino, count: u64) {
        let short = u8::try_from(count).unwrap_or(MANY);
        if short == MANY {
            self.many.insert(ino.0, count);
        } else if self.many.remove(&ino.0).is_some() {
            give_back(&mut self.many);
        }
        let (number, at) = place_of(ino);
        let mut block = self.blocks.get(&number).copied().unwrap_or_default();
        block[at] = short;
        if block != Block::default() {
            self.blocks.insert(number, block);
        } else if self.blocks.remove(&number).is_some() {
            give_back(&mut self.blocks);
        }
    }
}

/// Gives memory back when most of it is unused.
fn give_back<V: Copy + Default>(map: &mut NumberMap<V>) {
    const SMALL: usize = 128;
    if map.capacity() > SMALL && map.len() < map.capacity() / 4 {
        map.shrink_to(map.len() * 2);
    }
}

fn part_of(ino: Ino) -> usize {
    (ino.0 / NEIGHBOURS) as usize % PARTS
}

/// Number of the block, and the place in it.
fn place_of(ino: Ino) -> (u64, usize) {
    (ino.0 / NEIGHBOURS + 1, (ino.0 % NEIGHBOURS) as usize)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn they_are_what_was_counted_and_not_taken_back() {
        let mut counts = Counts::new();
        let mut expected: BTreeMap<u64, u64> = BTreeMap::new();
        let mut state = 1_u64;
        for step in 0..300_000_u32 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            // Few that are counted often, many that are not, neighbours and lonely ones.
            let number = match state >> 60 {
                0..8 => 1 + (state >> 40) % 8,
                8..14 => 1 + (state >> 40) % 5000,
                _ => u64::MAX - (((state >> 40) % 50) << 30),
            };
            let ino = Ino(number);
            let before = expected.get(&number).copied().unwrap_or(0);
            let taken = match state >> 24 & 4095 {
                0 => u64::MAX,
                1..500 => state >> 36 & 7,
                _ => 0,
            };
            let left = if taken > 0 {
                assert_eq!(counts.take_back(ino, taken), before.min(taken), "{step}");
                before.saturating_sub(taken)
            } else {
                counts.add(ino);
                before + 1
            };
            match left {
                0 => drop(expected.remove(&number)),
                left => drop(expected.insert(number, left)),
            }
            assert_eq!((counts.get(ino), counts.has(ino)), (left, left > 0));
        }
        assert!(expected.values().any(|count| *count > 1000));
        assert_eq!(counts.len(), expected.len());
        for (number, count) in expected {
            assert_eq!(counts.take(Ino(number)), count);
        }
        assert_eq!(counts.len(), 0);
        assert!(counts.parts.iter().all(|part| part.many.len() == 0));
    }

    fn bytes(counts: &Counts) -> usize {
        let parts = counts.parts.iter();
        parts
            .map(|part| part.blocks.capacity() * (8 + size_of::<Block>()))
            .sum()
    }

    #[test]
    fn a_million_neighbours_take_three_bytes_each_at_the_most_and_give_them_back() {
        let mut counts = Counts::new();
        for number in 1..=1_000_000 {
            counts.add(Ino(number));
        }
        assert!(bytes(&counts) < 3_000_000, "{}", bytes(&counts));
        for number in 1..=1_000_000 {
            assert_eq!(counts.take(Ino(number)), 1);
        }
        assert!(bytes(&counts) < 300_000, "{}", bytes(&counts));
    }
}
