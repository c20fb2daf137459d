//! Sectors of a map: the durable bits, each sector with its own hash.

use twox_hash::XxHash3_64;

use super::bits::Bits;
use crate::error::{FsError, FsResult};
use crate::types::Ino;

/// Length of a sector: what a disk writes whole or not at all.
pub(super) const SECTOR: usize = 512;
/// Words of bits in a sector; the first eight bytes are the hash.
pub(super) const WORDS: usize = 63;
/// Blocks that a sector speaks of.
pub(super) const BLOCKS: u32 = 63 * 64;

/// The bytes of sector `number` of the map of `ino`. One without any bit is all zeros, so that it
/// need not be there.
pub(super) fn encode(bits: &Bits, number: u32, ino: Ino) -> [u8; SECTOR] {
    let mut bytes = [0; SECTOR];
    let first = number as usize * WORDS;
    let mut any = false;
    for (offset, word) in bytes[8..].as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let value = bits.word(first + offset);
        any |= value != 0;
        *word = value.to_le_bytes();
    }
    if any {
        let hash = hash_of(&bytes, number, ino);
        bytes[..8].copy_from_slice(&hash.to_le_bytes());
    }
    bytes
}

/// Adds the bits of a sector that was read.
///
/// # Errors
/// `Damaged` if it is not sector `number` of the map of `ino`, or has bits that do not exist.
pub(super) fn decode(bytes: &[u8; SECTOR], number: u32, ino: Ino, bits: &Bits) -> FsResult<()> {
    if bytes.iter().all(|&byte| byte == 0) {
        return Ok(());
    }
    let (hash, words) = bytes.split_first_chunk::<8>().ok_or(FsError::Damaged)?;
    if u64::from_le_bytes(*hash) != hash_of(bytes, number, ino) {
        return Err(FsError::Damaged);
    }
    let first = number as usize * WORDS;
    for (offset, word) in words.as_chunks::<8>().0.iter().enumerate() {
        if !bits.set_word(first + offset, u64::from_le_bytes(*word)) {
            return Err(FsError::Damaged);
        }
    }
    Ok(())
}

/// What stands for the number of the head, which is no sector of bits.
const HEAD: u32 = u32::MAX;

/// The head of the map of `ino`: at least `count` bits are set in it.
pub(super) fn encode_head(count: u64, ino: Ino) -> [u8; SECTOR] {
    let mut bytes = [0; SECTOR];
    bytes[8..16].copy_from_slice(&count.to_le_bytes());
    let hash = hash_of(&bytes, HEAD, ino);
    bytes[..8].copy_from_slice(&hash.to_le_bytes());
    bytes
}

/// Reads a head; one of zeros, which was never written, says 0.
///
/// # Errors
/// `Damaged` if it is not the head of the map of `ino`.
pub(super) fn decode_head(bytes: &[u8; SECTOR], ino: Ino) -> FsResult<u64> {
    let (hash, rest) = bytes.split_first_chunk::<8>().ok_or(FsError::Damaged)?;
    let (count, _) = rest.split_first_chunk::<8>().ok_or(FsError::Damaged)?;
    let unwritten = bytes.iter().all(|&byte| byte == 0);
    if unwritten || u64::from_le_bytes(*hash) == hash_of(bytes, HEAD, ino) {
        Ok(u64::from_le_bytes(*count))
    } else {
        Err(FsError::Damaged)
    }
}

fn hash_of(bytes: &[u8; SECTOR], number: u32, ino: Ino) -> u64 {
    let mut hashed = [0; SECTOR + 8];
    hashed[..8].copy_from_slice(&ino.0.to_le_bytes());
    hashed[8..16].copy_from_slice(&u64::from(number).to_le_bytes());
    hashed[16..].copy_from_slice(&bytes[8..]);
    XxHash3_64::oneshot(&hashed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sector_is_read_as_it_was_written_and_nowhere_else() {
        let bits = Bits::new(3 * BLOCKS);
        bits.set(BLOCKS + 5..BLOCKS + 200);
        bits.set(2 * BLOCKS - 1..2 * BLOCKS);
        let bytes = encode(&bits, 1, Ino(9));
        let read = Bits::new(3 * BLOCKS);
        assert_eq!(decode(&bytes, 1, Ino(9), &read), Ok(()));
        assert_eq!(read.ones(3 * BLOCKS), 196);
        assert!((0..3 * BLOCKS).all(|bit| bits.get(bit) == read.get(bit)));
        assert_eq!(decode(&bytes, 2, Ino(9), &read), Err(FsError::Damaged));
        assert_eq!(decode(&bytes, 1, Ino(8), &read), Err(FsError::Damaged));
        for at in 0..SECTOR {
            let mut bad = bytes;
            bad[at] ^= 0x80;
            assert_eq!(
                decode(&bad, 1, Ino(9), &read),
                Err(FsError::Damaged),
                "byte {at}"
            );
        }
        let short = Bits::new(BLOCKS + 100);
        assert_eq!(decode(&bytes, 1, Ino(9), &short), Err(FsError::Damaged));
    }

    #[test]
    fn a_sector_without_bits_need_not_be_there() {
        let bits = Bits::new(10);
        assert_eq!(encode(&bits, 0, Ino(9)), [0; SECTOR]);
        assert_eq!(decode(&[0; SECTOR], 0, Ino(9), &bits), Ok(()));
        bits.set(0..10);
        assert_eq!(
            decode(&encode(&bits, 0, Ino(9)), 0, Ino(9), &Bits::new(10)),
            Ok(())
        );
    }
}
