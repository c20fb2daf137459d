//! The codes of packed members: static Huffman codes as those of pack(1), without its magic number
//! and length.
//!
//! Stored are the number of levels of the tree, the number of leaves on each (for the last two
//! less), the symbols from the highest level to the lowest, and the codes, the first bit of each
//! byte being its highest. On one level, the codes of inner nodes come first, those of leaves after
//! them. The very last leaf has no symbol: it is the end of the data.
//!
//! Nothing is kept between codes but the place of the next bit, so that unpacking can go on at any
//! place that was noted down.

/// Most levels of a tree.
const LEVELS: usize = 24;
/// Most symbols.
const SYMBOLS: usize = 256;
/// Longest description of codes, in bytes.
pub(super) const HEADER_LONGEST: usize = 1 + LEVELS + SYMBOLS;

/// Codes of so many bits are found in one step.
const TABLE_BITS: usize = 11;
/// In an entry of the table, below the length of the code: the number of the symbol.
const NUMBER_BITS: u32 = 9;

/// The codes of one member.
#[derive(Clone, Debug)]
pub(super) struct Codes {
    levels: usize,
    /// How many codes of each level belong to inner nodes; the next one is the first leaf's.
    inner: [u32; LEVELS],
    /// Number of each level's first symbol.
    first: [u32; LEVELS],
    symbols: Vec<u8>,
    /// By the next bits: length of the code and number of its symbol; zero for a longer code.
    table: Box<[u16]>,
}

/// How far a stretch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    /// All that was asked for.
    Full,
    /// What there is to read; it goes on behind it.
    Hungry,
    /// To the end of the data.
    End,
}

impl Codes {
    /// Reads the description at the beginning of `stored`, and its length in bytes. `None` if it
    /// is none: each node must have two nodes or be a leaf, and each symbol may be there once.
    pub(super) fn parse(stored: &[u8]) -> Option<(Self, usize)> {
        let levels = usize::from(*stored.first()?);
        let counts = stored.get(1..1 + levels)?;
        if levels == 0 || levels > LEVELS {
            return None;
        }
        let mut leaves = [0; LEVELS];
        for (leaves, count) in leaves.iter_mut().zip(counts) {
            *leaves = u32::from(*count);
        }
        leaves[levels - 1] += 2;
        let known = leaves.iter().sum::<u32>() as usize - 1;
        let symbols = stored.get(1 + levels..1 + levels + known)?;
        if known > SYMBOLS || !are_different(symbols) {
            return None;
        }
        let mut codes = Self {
            levels,
            inner: inner_nodes(&leaves, levels)?,
            first: [0; LEVELS],
            symbols: symbols.to_vec(),
            table: Box::default(),
        };
        for level in 1..levels {
            codes.first[level] = codes.first[level - 1] + leaves[level - 1];
        }
        codes.table = codes.make_table();
        Some((codes, 1 + levels + known))
    }

    fn make_table(&self) -> Box<[u16]> {
        let entries = (0..1_u64 << TABLE_BITS).map(|index| {
            let bits = index << (u64::BITS as usize - TABLE_BITS);
            match self.find(bits, 0) {
                Some((number, length)) if length <= TABLE_BITS => {
                    (length << NUMBER_BITS) as u16 | number as u16
                }
                _ => 0,
            }
        });
        entries.collect()
    }

    /// The symbol whose code `bits` begin with, and the length of the code, if it is longer than
    /// `shorter`.
    fn find(&self, bits: u64, shorter: usize) -> Option<(u32, usize)> {
        (shorter + 1..=self.levels).find_map(|length| {
            let code = (bits >> (u64::BITS as usize - length)) as u32;
            let above = code.checked_sub(*self.inner.get(length - 1)?)?;
            Some((self.first.get(length - 1)? + above, length))
        })
    }

    /// Unpacks from bit `at` of `input` on, up to `room` bytes into `out`; `at` is then that of the
    /// next code. Unless `last`, more follows behind `input`, and some bytes may be left over.
    /// `None` if the data ends within a code.
    pub(super) fn decode(
        &self,
        input: &[u8],
        last: bool,
        at: &mut usize,
        out: &mut Vec<u8>,
        room: usize,
    ) -> Option<Decoded> {
        let full = out.len() + room;
        while out.len() < full {
            let (bits, whole) = load(input, *at);
            if !whole && !last {
                return Some(Decoded::Hungry);
            }
            let entry = *self
                .table
                .get((bits >> (u64::BITS as usize - TABLE_BITS)) as usize)?;
            let (number, length) = match entry {
                0 => self.find(bits, TABLE_BITS)?,
                entry => (
                    u32::from(entry) & ((1 << NUMBER_BITS) - 1),
                    usize::from(entry >> NUMBER_BITS),
                ),
            };
            if !whole && *at + length > input.len() * 8 {
                return None;
            }
            match self.symbols.get(number as usize) {
                Some(symbol) => out.push(*symbol),
                None => return Some(Decoded::End),
            }
            *at += length;
        }
        Some(Decoded::Full)
    }
}

/// The bits of `input` from bit `at` on, at least 57 of them, and whether these are all its own;
/// zeros follow its end.
fn load(input: &[u8], at: usize) -> (u64, bool) {
    let rest = input.get(at / 8..).unwrap_or_default();
    let (bytes, whole) = match rest.first_chunk() {
        Some(bytes) => (*bytes, true),
        None => {
            let mut bytes = [0; 8];
            bytes[..rest.len()].copy_from_slice(rest);
            (bytes, false)
        }
    };
    (u64::from_be_bytes(bytes) << (at % 8), whole)
}

/// The number of inner nodes on each level, from the numbers of leaves.
fn inner_nodes(leaves: &[u32; LEVELS], levels: usize) -> Option<[u32; LEVELS]> {
    let mut inner = [0; LEVELS];
    for level in (0..levels).rev() {
        let nodes = inner[level] + leaves[level];
        if !nodes.is_multiple_of(2) {
            return None;
        }
        match level.checked_sub(1) {
            Some(above) => inner[above] = nodes / 2,
            None if nodes != 2 => return None,
            None => {}
        }
    }
    Some(inner)
}

fn are_different(symbols: &[u8]) -> bool {
    let mut seen = [false; SYMBOLS];
    symbols
        .iter()
        .all(|symbol| !std::mem::replace(&mut seen[usize::from(*symbol)], true))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::writer::pack;
    use super::*;

    /// All of it at once, or in steps of so many bytes of input and output.
    fn unpack(stored: &[u8], steps: Option<(usize, usize)>) -> Option<Vec<u8>> {
        let (codes, header) = Codes::parse(stored)?;
        let mut out = Vec::new();
        let mut at = header * 8;
        let (window, room) = steps.unwrap_or((stored.len(), 1 << 20));
        loop {
            let start = at / 8;
            let end = (start + window.max(8)).min(stored.len());
            let mut bit = at % 8;
            let input = stored.get(start..end).unwrap_or_default();
            let last = end == stored.len();
            let step = codes.decode(input, last, &mut bit, &mut out, room)?;
            at = start * 8 + bit;
            if step == Decoded::End || out.len() > 1 << 22 {
                return Some(out);
            }
        }
    }

    #[test]
    fn a_packed_text_worked_out_by_hand() {
        // a: 0 -> leaf "a" is code 1 on level 1; level 2 has codes 0 ("b") and 1 (the end).
        let stored = [2, 1, 0, b'a', b'b', 0b1001_1010, 0];
        // "a" = 1, "b" = 00, end = 01: 1 00 1 1 01
        assert_eq!(unpack(&stored, None).unwrap(), b"abaa");
        assert_eq!(pack(b"aaab")[..4], [2, 1, 0, b'a']);
    }

    #[test]
    fn impossible_trees_are_refused() {
        for stored in [
            &b""[..],
            b"\0",
            b"\x19\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0a",
            b"\x01\x01ab",     // three leaves on the first level
            b"\x02\x00\x00ab", // one inner node too few
            b"\x02\x01\x00aa", // the same symbol twice
            b"\x02\x01",       // cut off
            b"\x01\xff",       // as many as there can be, cut off
        ] {
            assert!(Codes::parse(stored).is_none(), "{stored:?}");
        }
    }

    #[test]
    fn deep_trees_are_read() {
        // Fibonacci numbers give the deepest tree for their sum.
        let (mut one, mut two, mut text) = (1_usize, 1, Vec::new());
        for symbol in 0..22_u8 {
            text.extend(vec![symbol; one]);
            (one, two) = (two, one + two);
        }
        let packed = pack(&text);
        assert!(packed[0] > TABLE_BITS as u8, "{} levels", packed[0]);
        assert_eq!(unpack(&packed, None).unwrap(), text);
        assert_eq!(unpack(&packed, Some((9, 3))).unwrap(), text);
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_back(
            text in proptest::collection::vec(any::<u8>(), 1..3000),
            few in 0_u8..=7,
            window in 8_usize..200,
            room in 1_usize..400,
        ) {
            let text: Vec<u8> = text.iter().map(|byte| byte >> few).collect();
            let packed = pack(&text);
            prop_assert_eq!(unpack(&packed, None).unwrap(), text.clone());
            prop_assert_eq!(unpack(&packed, Some((window, room))).unwrap(), text);
        }

        #[test]
        fn any_bytes_are_refused_or_unpacked(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = unpack(&bytes, Some((20, 50)));
        }

        #[test]
        fn flipped_bits_and_cuts_are_refused_or_give_other_bytes(
            text in proptest::collection::vec(0_u8..20, 1..300),
            bit in any::<proptest::sample::Index>(),
        ) {
            let mut packed = pack(&text);
            let whole = packed.len();
            packed.truncate(bit.index(whole));
            prop_assert_ne!(unpack(&packed, None), Some(text.clone()));
            let mut packed = pack(&text);
            let bit = bit.index(whole * 8);
            packed[bit / 8] ^= 1 << (bit % 8);
            let _ = unpack(&packed, None);
        }
    }
}
