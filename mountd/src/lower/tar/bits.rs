//! Strings of bits, the highest of each byte first, as bzip2 has them.

/// The `count` (at most 56) bits at bit `at`; `None` if there are not so many.
pub(super) fn bits(bytes: &[u8], at: u64, count: u32) -> Option<u64> {
    let first = usize::try_from(at / 8).ok()?;
    let end = usize::try_from((at + u64::from(count)).div_ceil(8)).ok()?;
    let value = bytes.get(first..end)?.iter();
    let value = value.fold(0, |value: u64, byte| value << 8 | u64::from(*byte));
    let behind = end as u64 * 8 - at - u64::from(count);
    Some(value >> behind & ((1 << count) - 1))
}

/// The first bit from `from` on where one of two marks of 48 bits is.
pub(super) fn find_mark(bytes: &[u8], from: u64, marks: [u64; 2]) -> Option<u64> {
    const MASK: u64 = (1 << 48) - 1;
    let first = usize::try_from(from / 8).ok()?;
    let mut window = 0_u64;
    for (number, byte) in bytes.get(first..)?.iter().enumerate() {
        window = window << 8 | u64::from(*byte);
        // Which of the eight places it is, if any, is looked at only for the one in a million.
        let found = (0..8).fold(false, |found, shift| {
            let value = window >> shift & MASK;
            found | (value == marks[0]) | (value == marks[1])
        });
        if !found {
            continue;
        }
        let end = (first as u64 + number as u64 + 1) * 8;
        for shift in (0..8).rev() {
            let value = window >> shift & MASK;
            let start = (end - shift).checked_sub(48);
            if let Some(start) = start.filter(|start| *start >= from)
                && marks.contains(&value)
            {
                return Some(start);
            }
        }
    }
    None
}

/// Bits that are put together.
#[derive(Debug)]
pub(super) struct BitString {
    bytes: Vec<u8>,
    /// Bits of the last byte that are not used yet.
    free: u32,
}

impl BitString {
    /// Begins with whole bytes.
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, free: 0 }
    }

    /// Appends the low `count` (at most 56) bits of `value`.
    pub(super) fn push(&mut self, value: u64, count: u32) {
        for at in (0..count).rev() {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            self.free -= 1;
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> at & 1) as u8) << self.free;
            }
        }
    }

    /// Appends `count` bits of `bytes` from bit `start` (at most 7) on, to whole bytes; `None` if
    /// there are not so many.
    pub(super) fn copy(&mut self, bytes: &[u8], start: u64, count: u64) -> Option<()> {
        if self.free != 0 || start > 7 || (start + count).div_ceil(8) > bytes.len() as u64 {
            return None;
        }
        let whole = (count / 8) as usize;
        let pairs = bytes.iter().zip(bytes.iter().skip(1).chain([&0]));
        let joined = pairs.map(|(high, low)| {
            let pair = u16::from(*high) << 8 | u16::from(*low);
            (pair >> (8 - start)) as u8
        });
        self.bytes.extend(joined.take(whole));
        let rest = (count % 8) as u32;
        if rest > 0 {
            self.push(bits(bytes, start + whole as u64 * 8, rest)?, rest);
        }
        Some(())
    }

    /// The bytes; bits that are not used are zero.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_at_every_bit() {
        const MARKS: [u64; 2] = [0x3141_5926_5359, 0x1772_4538_5090];
        for mark in MARKS {
            for lead in 0..70 {
                let mut string = BitString::new(Vec::new());
                (0..lead).for_each(|_| string.push(1, 1));
                string.push(mark, 48);
                string.push(0, 9);
                let bytes = string.into_bytes();
                assert_eq!(
                    find_mark(&bytes, 0, MARKS),
                    Some(lead),
                    "{mark:x} at {lead}"
                );
                assert_eq!(bits(&bytes, lead, 48), Some(mark));
                assert_eq!(find_mark(&bytes, lead, MARKS), Some(lead));
                assert_eq!(find_mark(&bytes, lead + 1, MARKS), None);
                let mut copy = BitString::new(b"xy".to_vec());
                let from = &bytes[(lead / 8) as usize..];
                copy.copy(from, lead % 8, 48 + 5).unwrap();
                let copy = copy.into_bytes();
                assert_eq!(copy.len(), 2 + 7);
                assert_eq!(bits(&copy, 16, 48), Some(mark));
            }
        }
        assert_eq!(bits(&[1, 2], 9, 8), None);
    }
}
