//! The checksum of a record's header.
//!
//! The sum, modulo 2^16, of all bytes of the header, each shifted left by its own low three bits.
//! The two bytes of the checksum count as zeros. Found by `bffextract`'s users' archives: it holds
//! for each header of each real archive that was seen. It detects every change of a single bit: a
//! byte that changes gives another term, as no two bytes give the same.

/// Where in a header the checksum is.
const PLACE: std::ops::Range<usize> = 4..6;

const TERMS: [u16; 256] = {
    let mut terms = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        terms[byte] = (byte as u16) << (byte & 7);
        byte += 1;
    }
    terms
};

/// The checksum of `header`, name and padding included.
pub(super) fn checksum(header: &[u8]) -> u16 {
    let bytes = header.iter().enumerate();
    bytes
        .filter(|(at, _)| !PLACE.contains(at))
        .fold(0, |sum, (_, byte)| {
            u16::wrapping_add(sum, TERMS[usize::from(*byte)])
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_record_of_real_archives() {
        assert_eq!(checksum(&[1, 7, 0x6b, 0xea, 0x84, 0x0a, 1, 0]), 0x0a84);
    }

    #[test]
    fn no_single_bit_is_lost() {
        for (one, term) in TERMS.iter().enumerate() {
            for bit in 0..8 {
                assert_ne!(*term, TERMS[one ^ 1 << bit], "{one:#x}, bit {bit}");
            }
        }
    }
}
