//! The small facts of a partly copied file, in an extended attribute of it.

use crate::upper::calls::{self as fs, XattrFlags};
use rustix::io::Errno;
use std::os::fd::BorrowedFd;
use twox_hash::XxHash3_64;

use crate::error::{FsError, FsResult};
use crate::types::{Attr, Ino, Timestamp};

/// The extended attribute that holds the state.
pub const BLOCKS_XATTR: &str = "user.wpar.blocks";

const LENGTH: usize = 64;
const VERSION: u8 = 1;

/// Smallest and largest block, as powers of two. The smallest is for tests only.
const SHIFTS: std::ops::RangeInclusive<u8> = 4..=48;

/// Most blocks that a map has: 2 MiB of bits.
pub(super) const BLOCKS_MAX: u64 = 1 << 24;

/// What is remembered of a partly copied file beside its map. See [`super`] for the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockState {
    /// Binary logarithm of the block size.
    pub shift: u8,
    /// Bytes from here on are the store's, whatever the map says.
    pub limit: u64,
    /// So many bits the map has at least; 0 if its file need not exist.
    pub settled: u64,
    /// Size of the lower file when it was copied up.
    pub lower_size: u64,
    /// Time of modification of the lower file then.
    pub lower_mtime: Timestamp,
    /// Space of the lower file then, in units of 512 bytes.
    pub lower_blocks: u64,
}

impl BlockState {
    /// The state of a file that begins as the first `limit` bytes of a lower one, nothing of it
    /// copied, in blocks of at least `smallest` bytes.
    pub fn begin(lower: &Attr, limit: u64, smallest: u32) -> Self {
        let lower_size = lower.size;
        let mut shift = smallest.max(1).ilog2().max((*SHIFTS.start()).into());
        while lower_size.div_ceil(1 << shift) > BLOCKS_MAX {
            shift += 1;
        }
        Self {
            shift: u8::try_from(shift).unwrap_or(u8::MAX),
            limit: limit.min(lower_size),
            settled: 0,
            lower_size,
            lower_mtime: lower.mtime,
            lower_blocks: lower.blocks,
        }
    }

    /// How many blocks the map has.
    pub fn count(&self) -> u32 {
        u32::try_from(self.lower_size.div_ceil(1 << self.shift)).unwrap_or(u32::MAX)
    }

    /// Space that the file takes in both layers, at the most, given what it takes in the store.
    pub fn space(&self, upper_blocks: u64) -> u64 {
        let both = upper_blocks.saturating_add(self.lower_blocks);
        both.min(self.limit.div_ceil(512)).max(upper_blocks)
    }

    /// The bytes to store for inode `ino`.
    pub fn encode(&self, ino: Ino) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[0] = VERSION;
        bytes[1] = self.shift;
        bytes[8..16].copy_from_slice(&self.limit.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.settled.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.lower_size.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.lower_mtime.seconds.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.lower_mtime.nanoseconds.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.lower_blocks.to_le_bytes());
        let hash = hash_of(ino, &bytes);
        bytes[56..].copy_from_slice(&hash.to_le_bytes());
        bytes
    }

    /// Reads a state back.
    ///
    /// # Errors
    /// `Damaged` if it is not one of inode `ino` and of a version that is known.
    pub fn decode(bytes: &[u8], ino: Ino) -> FsResult<Self> {
        let bytes: &[u8; LENGTH] = bytes.try_into().map_err(|_| FsError::Damaged)?;
        let state = Self {
            shift: bytes[1],
            limit: u64_at(bytes, 8),
            settled: u64_at(bytes, 16),
            lower_size: u64_at(bytes, 24),
            lower_mtime: Timestamp {
                seconds: u64_at(bytes, 32).cast_signed(),
                nanoseconds: u32::try_from(u64_at(bytes, 40)).map_err(|_| FsError::Damaged)?,
            },
            lower_blocks: u64_at(bytes, 48),
        };
        let sound = bytes[0] == VERSION
            && u64_at(bytes, 56) == hash_of(ino, bytes)
            && SHIFTS.contains(&state.shift)
            && state.limit <= state.lower_size
            && state.lower_size.div_ceil(1 << state.shift) <= BLOCKS_MAX;
        if sound {
            Ok(state)
        } else {
            Err(FsError::Damaged)
        }
    }

    /// The state of an open file of the store.
    ///
    /// # Errors
    /// `Damaged` if there is none that can be read, else those of the host's file system.
    pub fn read(file: BorrowedFd<'_>, ino: Ino) -> FsResult<Self> {
        let mut buffer = [0; LENGTH + 1];
        match fs::fgetxattr(file, BLOCKS_XATTR, &mut buffer) {
            Ok(length) => Self::decode(buffer.get(..length).unwrap_or(&[]), ino),
            Err(Errno::NODATA | Errno::RANGE) => Err(FsError::Damaged),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Stores the state with an open file.
    ///
    /// # Errors
    /// Those of the host's file system; the old state then stands.
    pub fn write(&self, file: BorrowedFd<'_>, ino: Ino) -> FsResult<()> {
        let bytes = self.encode(ino);
        Ok(fs::fsetxattr(
            file,
            BLOCKS_XATTR,
            &bytes,
            XattrFlags::empty(),
        )?)
    }
}

fn hash_of(ino: Ino, bytes: &[u8; LENGTH]) -> u64 {
    let mut hashed = [0; LENGTH];
    hashed[..8].copy_from_slice(&ino.0.to_le_bytes());
    hashed[8..].copy_from_slice(&bytes[..56]);
    XxHash3_64::oneshot(&hashed)
}

fn u64_at(bytes: &[u8; LENGTH], at: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> BlockState {
        BlockState {
            shift: 14,
            limit: 0x1_0000_0001,
            settled: 7,
            lower_size: 0x2_0000_0000,
            lower_mtime: Timestamp {
                seconds: -1,
                nanoseconds: 999_999_999,
            },
            lower_blocks: 16,
        }
    }

    #[test]
    fn what_is_written_is_read_for_this_inode_only() {
        let bytes = sample().encode(Ino(5));
        assert_eq!(BlockState::decode(&bytes, Ino(5)), Ok(sample()));
        assert_eq!(BlockState::decode(&bytes, Ino(6)), Err(FsError::Damaged));
        assert_eq!(
            BlockState::decode(&bytes[..63], Ino(5)),
            Err(FsError::Damaged)
        );
    }

    #[test]
    fn no_byte_of_a_state_can_change_unseen() {
        let good = sample().encode(Ino(5));
        for at in 0..LENGTH {
            let mut bad = good;
            bad[at] ^= 0x10;
            assert_eq!(
                BlockState::decode(&bad, Ino(5)),
                Err(FsError::Damaged),
                "byte {at}"
            );
        }
    }

    #[test]
    fn the_format_is_that_of_version_1() {
        let golden = [
            1, 14, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
            0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 201, 154, 59, 0, 0, 0, 0, 16, 0,
            0, 0, 0, 0, 0, 0,
        ];
        let bytes = sample().encode(Ino(5));
        assert_eq!(bytes[..56], golden);
        assert_eq!(u64_at(&bytes, 56), 11_486_069_595_971_519_123);
    }

    #[test]
    fn blocks_grow_so_that_a_map_stays_small() {
        let attr = |size| Attr {
            size,
            kind: crate::types::FileKind::Regular,
            permissions: 0,
            uid: 0,
            gid: 0,
            rdev: 0,
            nlink: 1,
            blocks: 0,
            atime: Timestamp::default(),
            mtime: Timestamp::default(),
            ctime: Timestamp::default(),
        };
        for (size, shift) in [
            (1, 14),
            (1 << 38, 14),
            ((1 << 38) + 1, 15),
            (1 << 40, 16),
            (i64::MAX.cast_unsigned(), 39),
        ] {
            let state = BlockState::begin(&attr(size), u64::MAX, 1 << 14);
            assert_eq!((state.shift, state.limit), (shift, size));
            assert!(u64::from(state.count()) <= BLOCKS_MAX);
            assert_eq!(BlockState::decode(&state.encode(Ino(2)), Ino(2)), Ok(state));
        }
    }
}
