//! One 512-byte header block: checksum, fields, names.
//!
//! The layouts are those of `tar::Header`; numbers are read by [`super::number`], which also knows
//! negative ones.

use ::tar::Header;

use super::number;
use super::sparse::{Extent, SparseMap};
use super::star;

/// Size of a header, and the unit in which the archive is laid out.
pub(super) const BLOCK: u64 = 512;
/// [`BLOCK`] as a length in memory.
pub(super) const BLOCK_LENGTH: usize = 512;

/// The part of the header that holds its checksum.
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// Where the type byte is.
const TYPE: usize = 156;

/// Numbers of a device.
const DEVICE_MAJOR: std::ops::Range<usize> = 329..337;
/// See [`DEVICE_MAJOR`].
const DEVICE_MINOR: std::ops::Range<usize> = 337..345;

/// What a header block says, before extended headers have their say.
#[derive(Debug)]
pub(super) struct RawHeader {
    /// The type byte.
    pub(super) typeflag: u8,
    /// Name, with the ustar prefix.
    pub(super) path: Vec<u8>,
    /// Target of a link.
    pub(super) link: Vec<u8>,
    /// Length of the stored data in bytes.
    pub(super) size: u64,
    /// Permission bits.
    pub(super) mode: u32,
    /// Owner; `None` if it does not fit.
    pub(super) uid: Option<u32>,
    /// Group; `None` if it does not fit.
    pub(super) gid: Option<u32>,
    /// Seconds.
    pub(super) mtime: i64,
    /// Of access and change, in seconds; only star has them in its headers.
    pub(super) other_times: Option<(i64, i64)>,
    /// Major and minor number of a device.
    pub(super) device: (u32, u32),
    /// Of an old GNU sparse file, or one of star's: the map so far, and whether extension headers follow; `None` if
    /// it cannot be read.
    pub(super) sparse: Option<(SparseMap, bool)>,
}

/// What a block can be where a header is due.
#[derive(Debug)]
pub(super) enum Block {
    /// Only zeros: half of the end mark.
    Zero,
    /// A header.
    Header(Box<RawHeader>),
    /// Neither.
    Bad(&'static str),
}

/// Reads the block at a header's place.
pub(super) fn parse(block: &[u8; BLOCK_LENGTH]) -> Block {
    if !checksum_holds(block) {
        return if block.iter().all(|byte| *byte == 0) {
            Block::Zero
        } else {
            Block::Bad("the checksum of an entry's header does not hold")
        };
    }
    match fields(block) {
        Some(header) => Block::Header(Box::new(header)),
        None => Block::Bad("the size in an entry's header is no number"),
    }
}

/// Whether the block carries the checksum of its bytes; old programs summed them up as signed.
pub(super) fn checksum_holds(block: &[u8; BLOCK_LENGTH]) -> bool {
    let Some(stored) = block.get(CHECKSUM).and_then(number::field) else {
        return false;
    };
    // In 32 bits, which the compiler sums up many at a time.
    let sum_of = |part: &[u8]| i64::from(part.iter().map(|byte| u32::from(*byte)).sum::<u32>());
    let (head, tail) = (&block[..CHECKSUM.start], &block[CHECKSUM.end..]);
    // The checksum itself counts as eight blanks.
    let sum = sum_of(head) + sum_of(tail) + 8 * i64::from(b' ');
    if stored == sum {
        return stored != 8 * i64::from(b' ');
    }
    let high = |part: &[u8]| part.iter().filter(|byte| **byte >= 0x80).count() as i64;
    stored == sum - 256 * (high(head) + high(tail))
}

fn fields(block: &[u8; BLOCK_LENGTH]) -> Option<RawHeader> {
    let header = Header::from_byte_slice(block);
    let old = header.as_old();
    let id = |bytes: &[u8]| number::unsigned_field(bytes).and_then(|id| u32::try_from(id).ok());
    Some(RawHeader {
        typeflag: header.entry_type().as_byte(),
        path: header.path_bytes().into_owned(),
        link: header.link_name_bytes().unwrap_or_default().into_owned(),
        size: number::unsigned_field(&old.size).filter(|size| *size <= i64::MAX as u64)?,
        mode: number::field(&old.mode).unwrap_or(0) as u32 & 0o7777,
        uid: id(&old.uid),
        gid: id(&old.gid),
        mtime: number::field(&old.mtime).unwrap_or(0),
        other_times: star::times(block),
        device: device(header, block),
        sparse: gnu_sparse(header).or_else(|| star::sparse(block)),
    })
}

/// Numbers of a device; 0 where they make no sense, in headers without a magic (v7), and for all that is
/// no device: many programs leave the fields empty there.
fn device(header: &Header, block: &[u8; BLOCK_LENGTH]) -> (u32, u32) {
    let has_them = header.as_ustar().is_some() || header.as_gnu().is_some();
    if !has_them || !matches!(block[TYPE], b'3' | b'4') {
        return (0, 0);
    }
    let number = |place: std::ops::Range<usize>| {
        let value = block.get(place).and_then(number::unsigned_field);
        value
            .and_then(|value| u32::try_from(value).ok())
            .unwrap_or(0)
    };
    (number(DEVICE_MAJOR), number(DEVICE_MINOR))
}

fn gnu_sparse(header: &Header) -> Option<(SparseMap, bool)> {
    let gnu = header.as_gnu().filter(|gnu| gnu.typeflag == *b"S")?;
    let mut map = SparseMap::new(number::unsigned_field(&gnu.realsize)?);
    gnu_pairs(&mut map, gnu.sparse.iter())?;
    Some((map, gnu.isextended[0] != 0))
}

/// Adds one extension header to an old GNU sparse map; tells whether another one follows.
pub(super) fn gnu_sparse_extension(
    map: &mut SparseMap,
    block: &[u8; BLOCK_LENGTH],
) -> Option<bool> {
    let pairs = block.get(..21 * 24)?.chunks_exact(24);
    for pair in pairs {
        let (offset, length) = pair.split_at(12);
        if offset[0] == 0 || length[0] == 0 {
            break;
        }
        map.push(stretch(offset, length)?)?;
    }
    Some(block[504] != 0)
}

fn gnu_pairs<'h>(
    map: &mut SparseMap,
    pairs: impl Iterator<Item = &'h ::tar::GnuSparseHeader>,
) -> Option<()> {
    for pair in pairs.take_while(|pair| !pair.is_empty()) {
        map.push(stretch(&pair.offset, &pair.numbytes)?)?;
    }
    Some(())
}

fn stretch(offset: &[u8], length: &[u8]) -> Option<Extent> {
    Some(Extent {
        file_offset: number::unsigned_field(offset)?,
        length: number::unsigned_field(length)?,
        data_offset: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(change: impl FnOnce(&mut Header)) -> [u8; BLOCK_LENGTH] {
        let mut header = Header::new_ustar();
        header.set_path("a/b").unwrap();
        header.set_size(3);
        header.set_mode(0o644);
        change(&mut header);
        header.set_cksum();
        *header.as_bytes()
    }

    #[test]
    fn checksums_signed_and_unsigned() {
        let good = block(|_| ());
        assert!(checksum_holds(&good));
        let mut bad = good;
        bad[0] ^= 1;
        assert!(!checksum_holds(&bad));
        assert!(!checksum_holds(&[0; BLOCK_LENGTH]));

        let mut signed = block(|header| header.set_path("\u{e9}").unwrap());
        let sum: i64 = signed
            .iter()
            .enumerate()
            .map(|(at, byte)| {
                if CHECKSUM.contains(&at) {
                    32
                } else {
                    i64::from(*byte as i8)
                }
            })
            .sum();
        signed[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        assert!(checksum_holds(&signed));
    }

    #[test]
    fn only_devices_have_numbers() {
        let device = |kind: u8| {
            let block = block(|header| {
                header.set_entry_type(::tar::EntryType::new(kind));
                header.set_device_major(0o1234).unwrap();
                header.set_device_minor(7).unwrap();
            });
            let Block::Header(header) = parse(&block) else {
                panic!("no header")
            };
            header.device
        };
        assert_eq!(device(b'3'), (0o1234, 7));
        assert_eq!(device(b'4'), (0o1234, 7));
        assert_eq!(device(b'0'), (0, 0));
    }

    #[test]
    fn a_block_is_zero_a_header_or_bad() {
        assert!(matches!(parse(&[0; BLOCK_LENGTH]), Block::Zero));
        assert!(matches!(parse(&[b'x'; BLOCK_LENGTH]), Block::Bad(_)));
        let Block::Header(header) = parse(&block(|_| ())) else {
            panic!("no header")
        };
        assert_eq!(
            (&header.path[..], header.size, header.mode),
            (&b"a/b"[..], 3, 0o644)
        );
        let negative = block(|header| {
            header.as_old_mut().size = *b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
        });
        assert!(matches!(parse(&negative), Block::Bad(_)));
    }
}
