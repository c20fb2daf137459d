//! One bit for each block, set once and never cleared; read without a lock.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bits in a word.
const WORD: u32 = u64::BITS;

/// A fixed number of bits. Setting is monotone, so readers need no lock: who sees a bit set also
/// sees what was written to the file before it was set.
#[derive(Debug)]
pub(super) struct Bits {
    words: Vec<AtomicU64>,
    count: u32,
}

impl Bits {
    pub(super) fn new(count: u32) -> Self {
        let words = (0..count.div_ceil(WORD)).map(|_| AtomicU64::new(0));
        Self {
            words: words.collect(),
            count,
        }
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// The word with the bits from `index * 64` on; 0 behind the last one.
    pub(super) fn word(&self, index: usize) -> u64 {
        self.words
            .get(index)
            .map_or(0, |word| word.load(Ordering::Acquire))
    }

    /// Whether a bit is set; what does not exist is not.
    pub(super) fn get(&self, bit: u32) -> bool {
        self.word((bit / WORD) as usize) >> (bit % WORD) & 1 != 0
    }

    /// Sets all bits of `range`, which must be within the count.
    pub(super) fn set(&self, range: Range<u32>) {
        let end = range.end.min(self.count);
        let mut at = range.start;
        while at < end {
            let low = at % WORD;
            let high = (low + (end - at)).min(WORD);
            let mask = (u64::MAX << low) & (u64::MAX >> (WORD - high));
            if let Some(word) = self.words.get((at / WORD) as usize) {
                word.fetch_or(mask, Ordering::Release);
            }
            at += high - low;
        }
    }

    /// Takes over a word that was stored; false if it has bits that do not exist here.
    pub(super) fn set_word(&self, index: usize, value: u64) -> bool {
        let first = u64::try_from(index)
            .unwrap_or(u64::MAX)
            .saturating_mul(WORD.into());
        let left = u64::from(self.count).saturating_sub(first);
        let allowed = match left {
            0 => 0,
            1..64 => u64::MAX >> (u64::from(WORD) - left),
            _ => u64::MAX,
        };
        if value & !allowed != 0 {
            return false;
        }
        if let Some(word) = self.words.get(index) {
            word.fetch_or(value, Ordering::Release);
        }
        true
    }

    /// Where the run of equal bits that `from` is in ends, at `limit` at the latest.
    pub(super) fn run_end(&self, from: u32, limit: u32) -> u32 {
        let same = if self.get(from) { 0 } else { u64::MAX };
        let mut at = from;
        while at < limit {
            // Bits that differ from the first one, from `at` on.
            let differing = (self.word((at / WORD) as usize) ^ same ^ u64::MAX) >> (at % WORD);
            if differing != 0 {
                return (at + differing.trailing_zeros()).min(limit);
            }
            at += WORD - at % WORD;
        }
        limit
    }

    /// How many bits below `limit` are set.
    pub(super) fn ones(&self, limit: u32) -> u64 {
        let limit = limit.min(self.count);
        let mut ones = 0;
        for index in 0..limit.div_ceil(WORD) {
            let left = (limit - index * WORD).min(WORD);
            let word = self.word(index as usize) & (u64::MAX >> (WORD - left));
            ones += u64::from(word.count_ones());
        }
        ones
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_runs_and_counts_are_those_of_a_list_of_bools() {
        let ranges = [
            0..0,
            0..1,
            63..64,
            64..65,
            60..70,
            100..300,
            64..128,
            299..300,
            0..300,
            128..192,
        ];
        for first in &ranges {
            for second in &ranges {
                let bits = Bits::new(300);
                let mut model = vec![false; 300];
                for range in [first, second] {
                    bits.set(range.clone());
                    model[range.start as usize..range.end as usize].fill(true);
                }
                for at in 0..300_u32 {
                    let told = model[at as usize];
                    assert_eq!(bits.get(at), told);
                    let end = (at..300).find(|&next| model[next as usize] != told);
                    let end = end.unwrap_or(300);
                    assert_eq!(bits.run_end(at, 300), end, "{first:?} {second:?} {at}");
                    assert_eq!(bits.run_end(at, end.min(at + 2)), end.min(at + 2));
                    let ones = model[..at as usize].iter().filter(|bit| **bit).count();
                    assert_eq!(bits.ones(at), ones as u64);
                }
            }
        }
    }

    #[test]
    fn a_stored_word_with_bits_that_do_not_exist_is_refused() {
        let bits = Bits::new(70);
        assert!(bits.set_word(0, u64::MAX));
        assert!(bits.set_word(1, 0b11_1111));
        assert!(!bits.set_word(1, 0b100_0000));
        assert!(!bits.set_word(2, 1));
        assert!(bits.set_word(2, 0));
        assert_eq!(bits.ones(70), 70);
    }
}
