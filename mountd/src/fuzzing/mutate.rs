//! Changed bytes, the same for the same seed, without knowing what is reached by them.

/// Numbers that look random.
#[derive(Clone, Debug)]
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Numbers at which something ends.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    1 << 32,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// Longest input.
const LONGEST: usize = 1 << 18;

/// One of `seeds`, changed in one to eight ways.
pub(super) fn changed(numbers: &mut Numbers, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[numbers.below(seeds.len())].clone();
    for _ in 0..=numbers.below(8) {
        change(numbers, &mut bytes, seeds);
    }
    bytes.truncate(LONGEST);
    bytes
}

fn change(numbers: &mut Numbers, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let at = numbers.below(bytes.len() + 1);
    let longest = if numbers.below(4) == 0 { 600 } else { 9 };
    let length = 1 + numbers.below(longest);
    let end = (at + length).min(bytes.len());
    match numbers.below(10) {
        0 | 1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << numbers.below(8);
            }
        }
        2 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = numbers.next() as u8;
            }
        }
        3 | 4 => {
            let value = EDGES[numbers.below(EDGES.len())].to_le_bytes();
            let width = [1, 2, 4, 8][numbers.below(4)].min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&value[..width]);
        }
        5 => {
            // Digits, as numbers in archives are written.
            let digits = [b'7', b'0', b'9', b' ', 0, b'-', 0x80];
            let digit = digits[numbers.below(digits.len())];
            bytes[at..end].fill(digit);
        }
        6 => drop(bytes.drain(at..end)),
        7 => {
            let again = bytes[at..end].to_vec();
            let to = numbers.below(bytes.len() + 1);
            bytes.splice(to..to, again);
        }
        8 => {
            let other = &seeds[numbers.below(seeds.len())];
            let from = numbers.below(other.len() + 1);
            let until = (from + length).min(other.len());
            bytes.splice(at..end, other[from..until].iter().copied());
        }
        _ => bytes.truncate(at),
    }
}
