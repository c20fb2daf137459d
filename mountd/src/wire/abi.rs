//! The kernel's protocol in numbers: operations, flags, and lengths of what is exchanged.
//!
//! Version 7.31 to 7.45 of `linux/fuse.h`, only what is used here. All numbers are in the
//! machine's own byte order; [`Fields`] takes them apart without trusting any length.

use crate::error::{FsError, FsResult};

/// What is asked for (`enum fuse_opcode`).
pub(super) mod opcode {
    pub(crate) const LOOKUP: u32 = 1;
    pub(crate) const GETATTR: u32 = 3;
    pub(crate) const SETATTR: u32 = 4;
    pub(crate) const READLINK: u32 = 5;
    pub(crate) const SYMLINK: u32 = 6;
    pub(crate) const MKNOD: u32 = 8;
    pub(crate) const MKDIR: u32 = 9;
    pub(crate) const UNLINK: u32 = 10;
    pub(crate) const RMDIR: u32 = 11;
    pub(crate) const RENAME: u32 = 12;
    pub(crate) const LINK: u32 = 13;
    pub(crate) const READ: u32 = 15;
    pub(crate) const WRITE: u32 = 16;
    pub(crate) const STATFS: u32 = 17;
    pub(crate) const FSYNC: u32 = 20;
    pub(crate) const SETXATTR: u32 = 21;
    pub(crate) const GETXATTR: u32 = 22;
    pub(crate) const LISTXATTR: u32 = 23;
    pub(crate) const REMOVEXATTR: u32 = 24;
    pub(crate) const READDIR: u32 = 28;
    pub(crate) const FSYNCDIR: u32 = 30;
    pub(crate) const IOCTL: u32 = 39;
    pub(crate) const FALLOCATE: u32 = 43;
    pub(crate) const READDIRPLUS: u32 = 44;
    pub(crate) const RENAME2: u32 = 45;
    pub(crate) const LSEEK: u32 = 46;
    pub(crate) const COPY_FILE_RANGE: u32 = 47;
    pub(crate) const SYNCFS: u32 = 50;
    pub(crate) const TMPFILE: u32 = 51;
    pub(crate) const STATX: u32 = 52;
    pub(crate) const COPY_FILE_RANGE_64: u32 = 53;
}

/// Which fields of a SETATTR request count (`FATTR_*`).
pub(super) mod valid {
    pub(crate) const MODE: u32 = 1;
    pub(crate) const UID: u32 = 1 << 1;
    pub(crate) const GID: u32 = 1 << 2;
    pub(crate) const SIZE: u32 = 1 << 3;
    pub(crate) const ATIME: u32 = 1 << 4;
    pub(crate) const MTIME: u32 = 1 << 5;
    pub(crate) const ATIME_NOW: u32 = 1 << 7;
    pub(crate) const MTIME_NOW: u32 = 1 << 8;
    pub(crate) const KILL_SUIDGID: u32 = 1 << 11;
}

/// A write comes from the kernel's page cache (`FUSE_WRITE_CACHE`).
pub(super) const WRITE_CACHE: u32 = 1 << 0;
/// A write takes set-id bits and capabilities away (`FUSE_WRITE_KILL_SUIDGID`).
pub(super) const WRITE_KILL_SUIDGID: u32 = 1 << 2;

/// Only the data is to be made safe (`FUSE_FSYNC_FDATASYNC`).
pub(super) const FSYNC_DATA_ONLY: u32 = 1;

/// What the kernel remembers of the data stays (`FOPEN_KEEP_CACHE`).
pub(super) const OPEN_KEEP_CACHE: u32 = 1 << 1;

/// All that a plain `stat` tells (`STATX_BASIC_STATS`).
pub(super) const STATX_BASIC: u32 = 0x07ff;
/// Time of birth (`STATX_BTIME`).
pub(super) const STATX_BIRTH: u32 = 0x0800;

/// Length of `struct fuse_in_header`.
pub(super) const IN_HEADER: usize = 40;
/// Length of `struct fuse_out_header`.
pub(super) const OUT_HEADER: usize = 16;
/// Length of `struct fuse_entry_out`.
pub(super) const ENTRY: usize = 128;
/// Length of `struct fuse_dirent` before the name.
pub(super) const DIRENT: usize = 24;

/// What is left of a message, read from its beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next `length` bytes.
    pub(super) fn bytes(&mut self, length: usize) -> FsResult<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(FsError::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn skip(&mut self, length: usize) -> FsResult<()> {
        self.bytes(length).map(drop)
    }

    pub(super) fn u32(&mut self) -> FsResult<u32> {
        let (field, rest) = self.0.split_first_chunk().ok_or(FsError::Damaged)?;
        self.0 = rest;
        Ok(u32::from_ne_bytes(*field))
    }

    pub(super) fn u64(&mut self) -> FsResult<u64> {
        let (field, rest) = self.0.split_first_chunk().ok_or(FsError::Damaged)?;
        self.0 = rest;
        Ok(u64::from_ne_bytes(*field))
    }

    /// The bytes before the next NUL, which is taken too.
    pub(super) fn name(&mut self) -> FsResult<&'a [u8]> {
        let length = self.0.iter().position(|&byte| byte == 0);
        let name = self.bytes(length.ok_or(FsError::Damaged)?)?;
        self.skip(1)?;
        Ok(name)
    }
}
