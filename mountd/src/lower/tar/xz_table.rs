//! Where the blocks of an xz file are, from the indexes at the ends of its streams.
//!
//! Read backwards, after `xz-file-format.txt` of XZ Utils. A file whose indexes do not fit
//! together has no table; what is wrong with it is found out by decoding it.

use std::io;

use super::source::Stretch;

const HEADER_MAGIC: [u8; 6] = *b"\xfd7zXZ\0";
const FOOTER_MAGIC: [u8; 2] = *b"YZ";
/// Length of a stream's header, and of its footer.
const EDGE: u64 = 12;
/// Longest index that is read: a block has two bytes of it at least.
const INDEX_LIMIT: u64 = 32 << 20;
/// Most blocks in a file.
const BLOCKS_LIMIT: usize = 8 << 20;

/// A block of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) stored_offset: u64,
    /// With its padding.
    pub(super) stored_bytes: u64,
    /// Decoded bytes.
    pub(super) length: u64,
    /// The kind of check of its stream.
    pub(super) check: u8,
}

impl Block {
    /// Where it ends.
    pub(super) fn end(&self) -> u64 {
        self.stored_offset + self.stored_bytes
    }

    /// Whether it has at most `limit` decoded bytes, and not many more stored ones.
    pub(super) fn fits(&self, limit: u64) -> bool {
        self.length <= limit && self.stored_bytes <= limit + limit / 8 + 1024
    }
}

/// The header of a stream with this kind of check.
pub(super) fn stream_header(check: u8) -> [u8; EDGE as usize] {
    let mut header = [0; EDGE as usize];
    header[..6].copy_from_slice(&HEADER_MAGIC);
    header[7] = check & 0xf;
    let sum = crc32fast::hash(&header[6..8]);
    header[8..].copy_from_slice(&sum.to_le_bytes());
    header
}

/// All blocks in their order; `None` if the file has no good index.
///
/// # Errors
/// Those of reading.
pub(super) fn read(stored: Stretch<'_>) -> io::Result<Option<Vec<Block>>> {
    let mut blocks = Vec::new();
    let mut end = stored.length();
    while end > 0 {
        match stream_before(stored, end, &mut blocks)? {
            Some(start) if blocks.len() <= BLOCKS_LIMIT => end = start,
            _ => return Ok(None),
        }
    }
    blocks.reverse();
    Ok(Some(blocks))
}

/// Reads `count` bytes that end at `end`; `None` if there are not so many.
fn bytes_before(stored: Stretch<'_>, end: u64, count: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(start) = end.checked_sub(count) else {
        return Ok(None);
    };
    let mut bytes = vec![0; count as usize];
    let read = stored.read(&mut bytes, start)?;
    Ok((read == bytes.len()).then_some(bytes))
}

/// Appends the blocks of the stream that ends at `end` (before padding), the last one first;
/// returns where the stream begins.
fn stream_before(
    stored: Stretch<'_>,
    mut end: u64,
    blocks: &mut Vec<Block>,
) -> io::Result<Option<u64>> {
    let footer = loop {
        match bytes_before(stored, end, EDGE)? {
            None => return Ok(None),
            // Padding between streams: any number of four zeros.
            Some(footer) if footer.ends_with(&[0; 4]) => end -= 4,
            Some(footer) => break footer,
        }
    };
    let Some((index_bytes, flags)) = parse_footer(&footer) else {
        return Ok(None);
    };
    let Some(index_end) = end.checked_sub(EDGE).filter(|_| index_bytes <= INDEX_LIMIT) else {
        return Ok(None);
    };
    let Some(index) = bytes_before(stored, index_end, index_bytes)? else {
        return Ok(None);
    };
    let Some(records) = parse_index(&index) else {
        return Ok(None);
    };
    let mut at = index_end - index_bytes;
    for (unpadded, length) in records.into_iter().rev() {
        let stored_bytes = unpadded.next_multiple_of(4);
        let Some(start) = at.checked_sub(stored_bytes) else {
            return Ok(None);
        };
        at = start;
        blocks.push(Block {
            stored_offset: at,
            stored_bytes,
            length,
            check: flags[1],
        });
    }
    let header = bytes_before(stored, at, EDGE)?;
    let fits = flags[0] == 0 && header.is_some_and(|header| header == stream_header(flags[1]));
    Ok(fits.then(|| at - EDGE))
}

/// Length of the index before a footer, and the stream's flags.
fn parse_footer(footer: &[u8]) -> Option<(u64, [u8; 2])> {
    let sum = u32::from_le_bytes(*footer.first_chunk()?);
    let fields = footer.get(4..10)?;
    if footer.get(10..)? != FOOTER_MAGIC || crc32fast::hash(fields) != sum {
        return None;
    }
    let size = u32::from_le_bytes(*fields.first_chunk()?);
    Some(((u64::from(size) + 1) * 4, [fields[4], fields[5]]))
}

/// The records of an index: stored bytes without padding, and decoded bytes, of each block.
fn parse_index(index: &[u8]) -> Option<Vec<(u64, u64)>> {
    let (body, sum) = index.split_last_chunk::<4>()?;
    if crc32fast::hash(body) != u32::from_le_bytes(*sum) || *body.first()? != 0 {
        return None;
    }
    let mut rest = &body[1..];
    let count = number(&mut rest)?;
    let most = rest.len() as u64 / 2;
    if count > most {
        return None;
    }
    let mut records = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let (unpadded, length) = (number(&mut rest)?, number(&mut rest)?);
        if !(5..=i64::MAX as u64).contains(&unpadded) {
            return None;
        }
        records.push((unpadded, length));
    }
    (rest.len() < 4 && rest.iter().all(|byte| *byte == 0)).then_some(records)
}

/// A number of variable length.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
