//! Headers of records: what they say, if their checksum holds.

use super::checksum::checksum;

/// Everything begins at a multiple of so many bytes, and header lengths count in them.
pub(super) const UNIT: u64 = 8;
/// Longest header.
pub(super) const LONGEST: usize = 255 * UNIT as usize;

const MAGIC: u16 = 0xea6b;
const MAGIC_PACKED: u16 = 0xea6c;
const VOLUME: u8 = 0;
const END: u8 = 7;
const NAME: u8 = 11;
/// Length of a volume's header.
const VOLUME_BYTES: usize = 72;
/// Where in an entry's header the name begins; it has at least a unit.
const NAME_AT: usize = 64;

/// A header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// The beginning of a volume.
    Volume {
        /// Its number, from 1 on.
        number: u16,
    },
    /// An entry.
    Name(Box<NameHeader>),
    /// The end of the archive.
    End,
    /// A record of another type.
    Unknown,
}

/// The header of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NameHeader {
    /// Whether the data is packed.
    pub(super) packed: bool,
    pub(super) nlink: u16,
    pub(super) inode: u32,
    /// POSIX' bits in the low half, AIX' own above.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) size: u32,
    pub(super) times: [u32; 3],
    pub(super) device: (u32, u32),
    pub(super) rdev: (u32, u32),
    /// Bytes of data as it is stored; of no meaning unless the data is packed.
    pub(super) stored: u32,
    /// Zero in all archives that were seen; it may be the high half of `size`.
    pub(super) reserved: u32,
    pub(super) name: Vec<u8>,
}

/// Why there is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderFault {
    /// These bytes are none, or damaged.
    None,
    /// The bytes end within what may be one.
    Short,
}

/// How many bytes [`is_volume`] needs.
pub(in crate::lower) const MAGIC_BYTES: usize = 4;

/// Whether an archive begins with these bytes; its checksum may still not hold.
pub(in crate::lower) fn is_volume(bytes: &[u8]) -> bool {
    matches!(bytes, [9, VOLUME, low, high, ..] if is_magic(u16::from_le_bytes([*low, *high])))
}

fn is_magic(magic: u16) -> bool {
    matches!(magic, MAGIC | MAGIC_PACKED)
}

/// Whether the magic number is where a header would have it.
pub(super) fn has_magic(bytes: &[u8]) -> bool {
    matches!(bytes, [_, _, low, high, ..] if is_magic(u16::from_le_bytes([*low, *high])))
}

/// Whether the volume's header was written without a checksum, as by some who write archives by hand.
pub(super) fn is_unchecked(bytes: &[u8]) -> bool {
    is_volume(bytes) && u16_at(bytes, 4) == 0
}

/// Reads the header at the beginning of `bytes`, and its length. A checksum of zero holds if
/// `unchecked`.
pub(super) fn parse(bytes: &[u8], unchecked: bool) -> Result<(Header, u64), HeaderFault> {
    let Some(prefix) = bytes.first_chunk::<{ UNIT as usize }>() else {
        return Err(HeaderFault::Short);
    };
    let length = usize::from(prefix[0]) * UNIT as usize;
    let least = match prefix[1] {
        VOLUME => VOLUME_BYTES,
        NAME => NAME_AT + UNIT as usize,
        _ => UNIT as usize,
    };
    if !has_magic(prefix) || length < least {
        return Err(HeaderFault::None);
    }
    let header = bytes.get(..length).ok_or(HeaderFault::Short)?;
    let stored = u16_at(header, 4);
    if stored != checksum(header) && !(unchecked && stored == 0) {
        return Err(HeaderFault::None);
    }
    let parsed = match prefix[1] {
        VOLUME => Header::Volume {
            number: u16_at(header, 6),
        },
        NAME => Header::Name(Box::new(name_header(header))),
        END => Header::End,
        _ => Header::Unknown,
    };
    Ok((parsed, length as u64))
}

fn name_header(header: &[u8]) -> NameHeader {
    let word = |at| u32_at(header, at);
    let room = header.get(NAME_AT..).unwrap_or_default();
    // What follows the zero is what the buffer held before.
    let name = room.split(|byte| *byte == 0).next().unwrap_or_default();
    NameHeader {
        packed: u16_at(header, 2) == MAGIC_PACKED,
        nlink: u16_at(header, 6),
        inode: word(8),
        mode: word(12),
        uid: word(16),
        gid: word(20),
        size: word(24),
        times: [word(28), word(32), word(36)],
        device: (word(40), word(44)),
        rdev: (word(48), word(52)),
        stored: word(56),
        reserved: word(60),
        name: name.to_vec(),
    }
}

/// The number at `at`, zero if there is none.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk);
    bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk);
    bytes.map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::super::writer::{Entry, Writer};
    use super::*;

    fn written() -> Vec<u8> {
        let mut writer = Writer::new();
        let entry = Entry {
            name: b"./a/name",
            stale: b"left over",
            mode: 0o104_750,
            nlink: 2,
            inode: 77,
            uid: 204,
            gid: 205,
            times: [1, 2, 3],
            device: (4, 5),
            rdev: (6, 7),
            ..Entry::default()
        };
        writer.add(&entry);
        writer.finish_plain()
    }

    #[test]
    fn headers_say_what_was_written() {
        let bytes = written();
        assert!(is_volume(&bytes) && !is_unchecked(&bytes));
        assert_eq!(parse(&bytes, false), Ok((Header::Volume { number: 1 }, 72)));
        let Ok((Header::Name(header), length)) = parse(&bytes[72..], false) else {
            panic!("no entry")
        };
        assert_eq!(length, 64 + 24);
        let expected = NameHeader {
            nlink: 2,
            inode: 77,
            mode: 0o104_750,
            uid: 204,
            gid: 205,
            times: [1, 2, 3],
            device: (4, 5),
            rdev: (6, 7),
            name: b"./a/name".to_vec(),
            ..NameHeader::default()
        };
        assert_eq!(*header, expected);
    }

    #[test]
    fn each_flipped_bit_and_each_cut_is_noticed() {
        let bytes = written();
        for range in [0..72, 72..160] {
            let header = &bytes[range];
            for bit in 0..header.len() * 8 {
                let mut flipped = header.to_vec();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(parse(&flipped, false).is_err(), "bit {bit}");
            }
            for length in 0..header.len() {
                assert_eq!(parse(&header[..length], false), Err(HeaderFault::Short));
            }
        }
    }

    #[test]
    fn a_checksum_of_zero_is_for_archives_without_any() {
        let mut bytes = written();
        bytes[4..6].fill(0);
        assert!(is_unchecked(&bytes));
        assert!(parse(&bytes, true).is_ok());
        assert_eq!(parse(&bytes, false), Err(HeaderFault::None));
    }

    #[test]
    fn other_bytes_are_no_headers() {
        let long = [0; LONGEST];
        assert_eq!(parse(&long, false), Err(HeaderFault::None));
        assert_eq!(
            parse(b"\x08\x0b\x6b\xea....", false),
            Err(HeaderFault::None)
        );
        assert_eq!(
            parse(b"\x09\x00\x6f\xea....", false),
            Err(HeaderFault::None)
        );
        assert_eq!(parse(b"", false), Err(HeaderFault::Short));
    }
}
