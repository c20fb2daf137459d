//! What is to be written: one entry of an image, in the words of `stat(2)`.

use crate::types::Timestamp;

use super::super::sparse::Extent;

/// What an entry is.
#[derive(Clone, Copy, Debug)]
pub enum EntryKind<'a> {
    /// A regular file of so many bytes.
    File(u64),
    /// A directory.
    Directory,
    /// A symbolic link to this target.
    Symlink(&'a [u8]),
    /// Another name of the entry that was written under this path.
    HardLink(&'a [u8]),
    /// A character device: major and minor number.
    CharDevice(u32, u32),
    /// A block device: major and minor number.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
}

/// One entry.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its name, beginning with `./`; the root itself is `./`.
    pub path: &'a [u8],
    /// What it is.
    pub kind: EntryKind<'a>,
    /// `st_mode & 07777`.
    pub permissions: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of modification.
    pub mtime: Timestamp,
    /// Extended attributes by their full names; ACLs in the kernel's encoding.
    pub xattrs: &'a [(Vec<u8>, Vec<u8>)],
}

/// A stretch of data of a file with holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataRange {
    /// Where it begins in the file.
    pub offset: u64,
    /// Its length.
    pub length: u64,
}

impl From<&DataRange> for Extent {
    fn from(range: &DataRange) -> Self {
        Self {
            file_offset: range.offset,
            length: range.length,
            data_offset: 0,
        }
    }
}

/// The bytes of a file that is written to an image.
pub trait Contents {
    /// Reads into `buffer` from `offset` of the file; fewer bytes than asked only at its end.
    ///
    /// # Errors
    /// Those of the file's source.
    fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize>;
}

impl Contents for &[u8] {
    fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.get(from..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

/// How the contents of a file came into the image.
#[derive(Debug)]
pub enum Written {
    /// As announced.
    Whole,
    /// The file ended before the announced size; zeros stand for the rest, from this offset on.
    Short(u64),
    /// It could not be read from this offset on; zeros stand for the rest.
    Unreadable(u64, std::io::Error),
}
