//! The bytes of an index file: offsets of the header, layout of the records.
//!
//! `docs/index-format.md` describes the format for readers without this source; what is here is
//! its only implementation. Everything is little-endian, nothing relies on alignment, and a
//! reader takes no length for granted: all decoding here is of fixed-size slices.

mod codec;
mod header;
mod inode;
mod stored;
#[cfg(test)]
mod tests;

pub use codec::{ArchiveKind, Codec};
pub(super) use header::IndexHeader;
pub(super) use inode::{DentryRecord, InodeRecord, decode_extent, encode_extent};
pub(super) use stored::{ChunkRecord, FilePlace, FileRecord, Fingerprint, PartRecord};

/// First bytes of an index.
pub(super) const MAGIC: [u8; 8] = *b"WPARTIDX";
/// The version that is written, and the only one that is read.
pub(super) const VERSION: u32 = 2;
/// Size of the header.
pub(super) const HEADER_BYTES: usize = 512;
/// Where in the header the checksum of the bytes before it stands.
pub(super) const HEADER_HASH: usize = HEADER_BYTES - 8;
/// Size of an inode record.
pub(super) const INODE_BYTES: usize = 96;
/// Size of a dentry record.
pub(super) const DENTRY_BYTES: usize = 24;
/// Size of an extent record.
pub(super) const EXTENT_BYTES: usize = 24;
/// Size of a chunk record.
pub(super) const CHUNK_BYTES: usize = 56;
/// Size of a file record.
pub(super) const FILE_BYTES: usize = 64;
/// Size of a part record.
pub(super) const PART_BYTES: usize = 56;
/// Most files that an index may name: all are opened with it.
pub(super) const MOST_FILES: u64 = 512;
/// Longest path of such a file.
pub(super) const FILE_PATH_LIMIT: u32 = 4096;

/// Header flag: at least one entry carried an extended attribute or an ACL.
pub(super) const FLAG_XATTRS: u32 = 1;
/// Header flag: at least one inode is a device.
pub(super) const FLAG_DEVICES: u32 = 2;

/// Inode flag: the data is described by extent records, what they leave out is a hole.
pub(super) const INODE_SPARSE: u16 = 1;
/// Inode flag: one extent record says where the data, packed by AIX pack(1), is stored.
pub(super) const INODE_PACKED: u16 = 2;

/// `dentry` of an inode without a name (the root).
pub(super) const NO_DENTRY: u32 = u32::MAX;

/// The sections of an index after its header, in the order of the header's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Section {
    /// Inode records, by number from 1 on.
    Inodes,
    /// Dentry records, by directory and name.
    Dentries,
    /// Names in the order of the dentries, targets of symbolic links, paths of files.
    Strings,
    /// Extent records of sparse and packed files.
    Extents,
    /// Sets of extended attributes.
    Xattrs,
    /// Chunk records of compressed parts, part by part.
    Chunks,
    /// Packed windows that chunks start from.
    Windows,
    /// Warnings of the scan, one to a line, in UTF-8.
    Warnings,
    /// File records; the first one is the image's main file.
    Files,
    /// Part records, in the order of the stream.
    Parts,
    /// What the image is, one statement to a line, in UTF-8.
    Notes,
}

/// Number of [`Section`]s.
pub(super) const SECTIONS: usize = 11;

/// A place in the header's table of sections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SectionPlace {
    /// Where it begins in the file.
    pub(super) offset: u64,
    /// Its length in bytes.
    pub(super) bytes: u64,
    /// XXH3-64 of its bytes, looked at by a full check only.
    pub(super) hash: u64,
}

/// The hash of the format: XXH3-64 with seed 0.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    twox_hash::XxHash3_64::oneshot(bytes)
}

/// Fills a record from its first byte on; what is left stays zero.
struct Writer<const N: usize> {
    out: [u8; N],
    at: usize,
}

impl<const N: usize> Writer<N> {
    fn new() -> Self {
        Self { out: [0; N], at: 0 }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if let Some(place) = self.out.get_mut(self.at..self.at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        self.at += bytes.len();
    }

    fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }
}

/// Reads a record from its first byte on; zeros behind its end.
struct Reader<'r> {
    rest: &'r [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.rest.split_first_chunk::<N>() {
            Some((value, rest)) => {
                self.rest = rest;
                *value
            }
            None => [0; N],
        }
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}
