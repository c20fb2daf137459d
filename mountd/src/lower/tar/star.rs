//! What star adds to the headers of ustar: times of access and change, and maps of sparse files.
//!
//! `xstar`, `xustar` and `exustar` headers shorten ustar's prefix by what is needed for the times; in
//! a sparse entry (type `S`) it makes room for the first stretches as well. The layout is that of
//! GNU tar's manual ("Basic Tar Format", `struct star_header`) and of star(5).

use super::header::BLOCK_LENGTH;
use super::number;
use super::sparse::{Extent, SparseMap};

const MAGIC: std::ops::Range<usize> = 257..263;
/// The last byte of the shortened prefix, always zero.
const PREFIX_END: usize = 475;
const ATIME: std::ops::Range<usize> = 476..488;
const CTIME: std::ops::Range<usize> = 488..500;
const IS_EXTENDED: usize = 355;
/// Four stretches, each an offset and a length of 12 bytes.
const STRETCHES: std::ops::Range<usize> = 356..452;
const REAL_SIZE: std::ops::Range<usize> = 452..464;

/// Times of access and change in seconds, if the header is one of star's.
pub(super) fn times(block: &[u8; BLOCK_LENGTH]) -> Option<(i64, i64)> {
    let field = |range| {
        let bytes: &[u8] = block.get(range)?;
        // All 12 bytes are used, so that no name of ustar looks like it.
        let is_time = matches!(bytes, [b'0'..=b'7' | 0x80.., .., b' ' | 0]) || bytes[0] >= 0x80;
        number::field(bytes).filter(|_| is_time)
    };
    let is_star = block.get(MAGIC)? == b"ustar\0" && block.get(PREFIX_END)? == &0;
    is_star.then_some(())?;
    Some((field(ATIME)?, field(CTIME)?))
}

/// The map of a sparse file as far as the header has it, and whether extension headers follow.
pub(super) fn sparse(block: &[u8; BLOCK_LENGTH]) -> Option<(SparseMap, bool)> {
    times(block)?;
    let mut map = SparseMap::new(number::unsigned_field(block.get(REAL_SIZE)?)?);
    for pair in block.get(STRETCHES)?.chunks_exact(24) {
        let (offset, length) = pair.split_at(12);
        if offset[0] == 0 || length[0] == 0 {
            break;
        }
        map.push(Extent {
            file_offset: number::unsigned_field(offset)?,
            length: number::unsigned_field(length)?,
            data_offset: 0,
        })?;
    }
    Some((map, *block.get(IS_EXTENDED)? != 0))
}
