//! The record of an inode: what a program in the WPAR may not be able, or not be allowed, to do
//! to a real file of the host, and yet has to see done.
//!
//! Every object of the store is a plain file (mode 0600) or a directory (mode 0700) of the
//! daemon's user. Type, permissions, owner, device number and link count are only *recorded*, in
//! the extended attribute [`RECORD_XATTR`]; so no setuid file and no device node of a WPAR is
//! ever real on a path that a user of the host could reach. An object without a valid record does
//! not exist: that makes "create, then write the record" atomic.
//!
//! Format, version 1, 48 bytes, little-endian:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 1 | type: the `S_IFMT` nibble (`st_mode >> 12`) |
//! | 2 | 2 | permissions: `st_mode & 07777` |
//! | 4 | 4 | owner |
//! | 8 | 4 | group |
//! | 12 | 4 | device number of a device node, else 0 |
//! | 16 | 8 | inode number |
//! | 24 | 4 | number of names, only meaningful with flag `LINKED` |
//! | 28 | 4 | flags: 1 `OPAQUE`, 2 `LINKED`, 4 `PARTIAL` (see [`super::blocks`]), 8 `UNNAMED`, 16 `PRISTINE`; others must be 0 |
//! | 32 | 8 | birth time, seconds |
//! | 40 | 4 | birth time, nanoseconds |
//! | 44 | 4 | 0 |
//!
//! Size, space, and the times of access, modification and change are the real file's.

use crate::error::{FsError, FsResult};
use crate::types::{FileKind, Ino, Timestamp};

/// The extended attribute that holds the record.
pub const RECORD_XATTR: &str = "user.wpar";

/// Length of a record of version 1.
pub const RECORD_LENGTH: usize = 48;

const VERSION: u8 = 1;
const FLAG_OPAQUE: u32 = 1;
const FLAG_LINKED: u32 = 2;
const FLAG_PARTIAL: u32 = 4;
const FLAG_UNNAMED: u32 = 8;
const FLAG_PRISTINE: u32 = 16;

/// What is recorded of an inode. See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Type of the file.
    pub kind: FileKind,
    /// Permission, set-id and sticky bits.
    pub permissions: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device node.
    pub rdev: u32,
    /// Inode number.
    pub ino: Ino,
    /// Number of names if `linked`.
    pub nlink: u32,
    /// A directory that shows nothing of the lower.
    pub opaque: bool,
    /// The inode lives in the store's `links` directory, its names are hard links of that file or
    /// still the lower's.
    pub linked: bool,
    /// A regular file of which blocks are still the lower's.
    pub partial: bool,
    /// A regular file that was made without a name and can still be given its first (`O_TMPFILE`).
    pub unnamed: bool,
    /// As the lower had it when it was copied: the WPAR changed neither contents nor attributes.
    pub pristine: bool,
    /// When the inode was made.
    pub birth: Timestamp,
}

impl Record {
    /// The bytes to store.
    pub fn encode(&self) -> [u8; RECORD_LENGTH] {
        let mut bytes = [0; RECORD_LENGTH];
        let mut flags = 0;
        if self.opaque {
            flags |= FLAG_OPAQUE;
        }
        if self.linked {
            flags |= FLAG_LINKED;
        }
        if self.partial {
            flags |= FLAG_PARTIAL;
        }
        if self.unnamed {
            flags |= FLAG_UNNAMED;
        }
        if self.pristine {
            flags |= FLAG_PRISTINE;
        }
        bytes[0] = VERSION;
        bytes[1] = self.kind as u8;
        bytes[2..4].copy_from_slice(&self.permissions.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.uid.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.gid.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.rdev.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.ino.0.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.nlink.to_le_bytes());
        bytes[28..32].copy_from_slice(&flags.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.birth.seconds.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.birth.nanoseconds.to_le_bytes());
        bytes
    }

    /// Reads a record back.
    ///
    /// # Errors
    /// `Damaged` if it is not one of a version that is known, or says what cannot be.
    pub fn decode(bytes: &[u8]) -> FsResult<Self> {
        let bytes: &[u8; RECORD_LENGTH] = bytes.try_into().map_err(|_| FsError::Damaged)?;
        let flags = u32_at(bytes, 28);
        let known_flags = FLAG_OPAQUE | FLAG_LINKED | FLAG_PARTIAL | FLAG_UNNAMED | FLAG_PRISTINE;
        let known = bytes[0] == VERSION && flags & !known_flags == 0;
        let kind = FileKind::from_code(bytes[1])
            .filter(|_| known)
            .ok_or(FsError::Damaged)?;
        let record = Self {
            kind,
            permissions: u16::from_le_bytes([bytes[2], bytes[3]]),
            uid: u32_at(bytes, 4),
            gid: u32_at(bytes, 8),
            rdev: u32_at(bytes, 12),
            ino: Ino(u64_at(bytes, 16)),
            nlink: u32_at(bytes, 24),
            opaque: flags & FLAG_OPAQUE != 0,
            linked: flags & FLAG_LINKED != 0,
            partial: flags & FLAG_PARTIAL != 0,
            unnamed: flags & FLAG_UNNAMED != 0,
            pristine: flags & FLAG_PRISTINE != 0,
            birth: Timestamp {
                seconds: u64_at(bytes, 32).cast_signed(),
                nanoseconds: u32_at(bytes, 40),
            },
        };
        let only_of_files = record.partial || record.unnamed;
        let kind_fits = !only_of_files || record.kind == FileKind::Regular;
        if record.ino.0 == 0 || record.permissions > 0o7777 || !kind_fits {
            return Err(FsError::Damaged);
        }
        Ok(record)
    }
}

fn u32_at(bytes: &[u8; RECORD_LENGTH], at: usize) -> u32 {
    let mut field = [0; 4];
    field.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(field)
}

fn u64_at(bytes: &[u8; RECORD_LENGTH], at: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Record {
        Record {
            kind: FileKind::CharDevice,
            permissions: 0o4755,
            uid: 1000,
            gid: 0xffff_fffe,
            rdev: 0x0103,
            ino: Ino(0x1_0000_0000_0001),
            nlink: 3,
            opaque: false,
            linked: true,
            partial: false,
            unnamed: false,
            pristine: false,
            birth: Timestamp {
                seconds: -1,
                nanoseconds: 999_999_999,
            },
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let opaque = Record {
            kind: FileKind::Directory,
            opaque: true,
            linked: false,
            ..sample()
        };
        let partial = Record {
            kind: FileKind::Regular,
            partial: true,
            ..sample()
        };
        let unnamed = Record {
            kind: FileKind::Regular,
            linked: false,
            unnamed: true,
            ..sample()
        };
        let pristine = Record {
            pristine: true,
            ..sample()
        };
        for record in [sample(), opaque, partial, unnamed, pristine] {
            assert_eq!(Record::decode(&record.encode()), Ok(record));
        }
    }

    #[test]
    fn the_format_of_version_1_never_changes() {
        let golden = [
            1, 2, 0xed, 0x09, 0xe8, 3, 0, 0, 0xfe, 0xff, 0xff, 0xff, 3, 1, 0, 0, 1, 0, 0, 0, 0, 0,
            1, 0, 3, 0, 0, 0, 2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            0xc9, 0x9a, 0x3b, 0, 0, 0, 0,
        ];
        assert_eq!(sample().encode(), golden);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let good = sample().encode();
        assert_eq!(Record::decode(&good[..47]), Err(FsError::Damaged));
        assert_eq!(Record::decode(&[]), Err(FsError::Damaged));
        for (at, value) in [
            (0, 2),
            (1, 3),
            (3, 0x10),
            (28, 32),
            (28, 8),
            (28, 4),
            (31, 1),
        ] {
            let mut bad = good;
            bad[at] = value;
            assert_eq!(
                Record::decode(&bad),
                Err(FsError::Damaged),
                "byte {at} = {value}"
            );
        }
        let mut nameless = good;
        nameless[16..24].fill(0);
        assert_eq!(Record::decode(&nameless), Err(FsError::Damaged));
    }
}
