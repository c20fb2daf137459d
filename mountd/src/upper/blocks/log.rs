//! Entries of the log: ranges of blocks that are the store's for the rest of this boot.

use std::ops::Range;

use twox_hash::XxHash3_64;

use super::BootId;
use crate::error::{FsError, FsResult};
use crate::types::Ino;

/// Length of an entry.
pub(super) const ENTRY: usize = 16;
/// Entries in one half of the log.
pub(super) const HALF_ENTRIES: usize = 4096;
/// Length of one half.
pub(super) const HALF: usize = HALF_ENTRIES * ENTRY;
/// Length of the log.
pub(super) const LOG: usize = 2 * HALF;

/// The bytes of an entry for the map of `ino`, valid while the host runs as `boot`.
pub(super) fn encode(range: &Range<u32>, boot: &BootId, ino: Ino) -> [u8; ENTRY] {
    let mut bytes = [0; ENTRY];
    bytes[..4].copy_from_slice(&range.start.to_le_bytes());
    bytes[4..8].copy_from_slice(&(range.end - range.start).to_le_bytes());
    let hash = hash_of(&bytes, boot, ino);
    bytes[8..].copy_from_slice(&hash.to_le_bytes());
    bytes
}

fn hash_of(bytes: &[u8; ENTRY], boot: &BootId, ino: Ino) -> u64 {
    let mut hashed = [0; 8 + 8 + BootId::LENGTH];
    hashed[..8].copy_from_slice(&bytes[..8]);
    hashed[8..16].copy_from_slice(&ino.0.to_le_bytes());
    hashed[16..].copy_from_slice(boot.as_bytes());
    XxHash3_64::oneshot(&hashed)
}

fn decode(bytes: &[u8; ENTRY], boot: &BootId, ino: Ino) -> Option<Range<u32>> {
    let (start, rest) = bytes.split_first_chunk::<4>()?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let (hash, _) = rest.split_first_chunk::<8>()?;
    let start = u32::from_le_bytes(*start);
    let count = u32::from_le_bytes(*count);
    let end = start.checked_add(count)?;
    (u64::from_le_bytes(*hash) == hash_of(bytes, boot, ino)).then_some(start..end)
}

/// The entries of this boot in one half of a log.
///
/// # Errors
/// `Damaged` if there is one behind something that is none: they are written one after the other.
pub(super) fn read_half(
    bytes: &[u8],
    boot: &BootId,
    ino: Ino,
    found: &mut Vec<Range<u32>>,
) -> FsResult<()> {
    let mut ended = false;
    for entry in bytes.as_chunks::<ENTRY>().0 {
        match decode(entry, boot, ino) {
            Some(_) if ended => return Err(FsError::Damaged),
            Some(range) => found.push(range),
            None => ended = true,
        }
    }
    Ok(())
}

/// The same blocks in as few ranges as possible.
pub(super) fn merge(mut ranges: Vec<Range<u32>>) -> Vec<Range<u32>> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<u32>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(text: &str) -> BootId {
        BootId::parse(text.as_bytes()).unwrap()
    }

    const TODAY: &str = "da6813d4-860e-4b24-b681-74e6a863bd58";
    const YESTERDAY: &str = "11111111-860e-4b24-b681-74e6a863bd58";

    fn read(bytes: &[u8], ino: u64) -> FsResult<Vec<Range<u32>>> {
        let mut found = Vec::new();
        read_half(bytes, &boot(TODAY), Ino(ino), &mut found).map(|()| found)
    }

    #[test]
    fn only_entries_of_this_boot_and_inode_count() {
        let mine = encode(&(3..9), &boot(TODAY), Ino(5));
        let old = encode(&(1..2), &boot(YESTERDAY), Ino(5));
        let found: Vec<Range<u32>> = std::iter::once(3..9).collect();
        assert_eq!(read(&mine, 5), Ok(found.clone()));
        assert_eq!(read(&mine, 6), Ok(vec![]));
        assert_eq!(read(&[mine, old, [0; ENTRY]].concat(), 5), Ok(found));
        assert_eq!(read(&[old, mine].concat(), 5), Err(FsError::Damaged));
        assert_eq!(read(&[[0; ENTRY], mine].concat(), 5), Err(FsError::Damaged));
        for at in 0..ENTRY {
            let mut torn = mine;
            torn[at] ^= 1;
            assert_eq!(read(&torn, 5), Ok(vec![]), "byte {at}");
        }
    }

    #[test]
    fn merging_keeps_the_blocks() {
        let ranges = vec![5..7, 1..2, 7..8, 20..30, 22..23, 2..3];
        assert_eq!(merge(ranges), [1..3, 5..8, 20..30]);
    }
}
