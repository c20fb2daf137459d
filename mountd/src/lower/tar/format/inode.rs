//! Records of the tree: inodes, names, extents.

use crate::types::Timestamp;

use super::{DENTRY_BYTES, EXTENT_BYTES, INODE_BYTES, Reader, Writer};
use crate::lower::tar::sparse::Extent;

/// An inode. What `data` and `count` mean depends on the type of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::lower::tar) struct InodeRecord {
    /// `st_mode`: type and permissions; 0 for a number that no longer has an inode.
    pub(in crate::lower::tar) mode: u16,
    /// [`super::INODE_SPARSE`], [`super::INODE_PACKED`].
    pub(in crate::lower::tar) flags: u16,
    pub(in crate::lower::tar) nlink: u32,
    pub(in crate::lower::tar) uid: u32,
    pub(in crate::lower::tar) gid: u32,
    pub(in crate::lower::tar) rdev: u32,
    /// Directory: number of dentries. Sparse or packed file: number of extents.
    pub(in crate::lower::tar) count: u32,
    pub(in crate::lower::tar) size: u64,
    pub(in crate::lower::tar) blocks: u64,
    /// Directory: its first dentry. File: where its data begins in the stream; sparse or
    /// packed: its first extent. Symbolic link: where its target begins in the strings.
    pub(in crate::lower::tar) data: u64,
    pub(in crate::lower::tar) mtime: Timestamp,
    pub(in crate::lower::tar) atime: Timestamp,
    pub(in crate::lower::tar) ctime: Timestamp,
    /// A dentry that names it.
    pub(in crate::lower::tar) dentry: u32,
    /// Where its attributes begin in their section, plus one; 0 if it has none.
    pub(in crate::lower::tar) xattrs: u64,
}

impl InodeRecord {
    /// The record's bytes.
    pub(in crate::lower::tar) fn encode(&self) -> [u8; INODE_BYTES] {
        let mut writer = Writer::<INODE_BYTES>::new();
        writer.bytes(&self.mode.to_le_bytes());
        writer.bytes(&self.flags.to_le_bytes());
        for value in [self.nlink, self.uid, self.gid, self.rdev, self.count] {
            writer.u32(value);
        }
        for value in [self.size, self.blocks, self.data] {
            writer.u64(value);
        }
        let times = [self.mtime, self.atime, self.ctime];
        times
            .iter()
            .for_each(|time| writer.u64(time.seconds as u64));
        times.iter().for_each(|time| writer.u32(time.nanoseconds));
        writer.u32(self.dentry);
        writer.u64(self.xattrs);
        writer.out
    }

    /// Reads a record.
    pub(in crate::lower::tar) fn decode(bytes: &[u8; INODE_BYTES]) -> Self {
        let mut reader = Reader { rest: bytes };
        let modes = reader.u32();
        let mut record = Self {
            mode: modes as u16,
            flags: (modes >> 16) as u16,
            ..Default::default()
        };
        record.nlink = reader.u32();
        record.uid = reader.u32();
        record.gid = reader.u32();
        record.rdev = reader.u32();
        record.count = reader.u32();
        record.size = reader.u64();
        record.blocks = reader.u64();
        record.data = reader.u64();
        let times = [&mut record.mtime, &mut record.atime, &mut record.ctime];
        for time in times {
            time.seconds = reader.u64() as i64;
        }
        record.mtime.nanoseconds = reader.u32();
        record.atime.nanoseconds = reader.u32();
        record.ctime.nanoseconds = reader.u32();
        record.dentry = reader.u32();
        record.xattrs = reader.u64();
        record
    }
    /// `mode` of a record as it is stored.
    pub(in crate::lower::tar) fn mode_in(bytes: &[u8; INODE_BYTES]) -> u16 {
        bytes
            .first_chunk()
            .map_or(0, |mode| u16::from_le_bytes(*mode))
    }
}

/// A name in a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::lower::tar) struct DentryRecord {
    /// Where the name begins in the strings.
    pub(in crate::lower::tar) name: u64,
    /// The directory's number.
    pub(in crate::lower::tar) parent: u32,
    /// The number of the inode that is named.
    pub(in crate::lower::tar) inode: u32,
    /// Length of the name.
    pub(in crate::lower::tar) name_bytes: u16,
    /// Type of the inode, as `S_IFMT` nibble.
    pub(in crate::lower::tar) kind: u8,
}

impl DentryRecord {
    /// The record's bytes.
    pub(in crate::lower::tar) fn encode(&self) -> [u8; DENTRY_BYTES] {
        let mut writer = Writer::<DENTRY_BYTES>::new();
        writer.u64(self.name);
        writer.u32(self.parent);
        writer.u32(self.inode);
        writer.bytes(&self.name_bytes.to_le_bytes());
        writer.bytes(&[self.kind]);
        writer.out
    }

    /// Reads a record.
    pub(in crate::lower::tar) fn decode(bytes: &[u8; DENTRY_BYTES]) -> Self {
        let mut reader = Reader { rest: bytes };
        let (name, parent, inode) = (reader.u64(), reader.u32(), reader.u32());
        let last = reader.u32();
        Self {
            name,
            parent,
            inode,
            name_bytes: last as u16,
            kind: (last >> 16) as u8,
        }
    }
}

/// An extent record's bytes.
pub(in crate::lower::tar) fn encode_extent(extent: &Extent) -> [u8; EXTENT_BYTES] {
    let mut writer = Writer::<EXTENT_BYTES>::new();
    writer.u64(extent.file_offset);
    writer.u64(extent.length);
    writer.u64(extent.data_offset);
    writer.out
}

/// Reads an extent record.
pub(in crate::lower::tar) fn decode_extent(bytes: &[u8; EXTENT_BYTES]) -> Extent {
    let mut reader = Reader { rest: bytes };
    Extent {
        file_offset: reader.u64(),
        length: reader.u64(),
        data_offset: reader.u64(),
    }
}
