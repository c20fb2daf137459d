//! What the kernel is told, written straight into the buffer that it takes it from.
//!
//! Pure. Every writer checks the room that there is and says how many bytes it used.

use std::time::Duration;

use rustix::fs::StatVfs;

use super::abi::{DIRENT, ENTRY, OPEN_KEEP_CACHE, OUT_HEADER, STATX_BASIC, STATX_BIRTH};
use crate::error::{FsError, FsResult};
use crate::overlay::{DirectoryEntry, DirectorySink, LookedUp};
use crate::types::{Attr, Ino, NAME_MAX, Timestamp};

/// Preferred size of a read or write, in bytes, as `stat` tells it.
const BLOCK_SIZE: u32 = 4096;

/// Writes one after the other; what does not fit is remembered and refused at the end.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    buffer: &'a mut [u8],
    used: usize,
    fits: bool,
}

impl<'a> Writer<'a> {
    pub(super) fn new(buffer: &'a mut [u8]) -> Self {
        Self {
            buffer,
            used: 0,
            fits: true,
        }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        let end = self.used.saturating_add(bytes.len());
        match self.buffer.get_mut(self.used..end) {
            Some(room) if self.fits => {
                room.copy_from_slice(bytes);
                self.used = end;
            }
            _ => self.fits = false,
        }
        self
    }

    pub(super) fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_ne_bytes())
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_ne_bytes())
    }

    pub(super) fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_ne_bytes())
    }

    /// Bytes that were written.
    ///
    /// # Errors
    /// `Range` if there was no room for all.
    pub(super) fn finish(&self) -> FsResult<usize> {
        if self.fits {
            Ok(self.used)
        } else {
            Err(FsError::Range)
        }
    }

    /// `struct fuse_attr`.
    fn attr(&mut self, ino: Ino, attr: &Attr) -> &mut Self {
        self.u64(ino.0).u64(attr.size).u64(attr.blocks);
        for time in [attr.atime, attr.mtime, attr.ctime] {
            self.u64(time.seconds.cast_unsigned());
        }
        for time in [attr.atime, attr.mtime, attr.ctime] {
            self.u32(time.nanoseconds);
        }
        self.u32(mode(attr))
            .u32(attr.nlink)
            .u32(attr.uid)
            .u32(attr.gid);
        self.u32(attr.rdev).u32(BLOCK_SIZE).u32(0)
    }

    /// `struct fuse_entry_out`: for an inode, or for the absence of one.
    fn entry(&mut self, inode: Option<(Ino, &Attr)>, remember: Duration) -> &mut Self {
        const GENERATION: u64 = 0;
        self.u64(inode.map_or(0, |(ino, _)| ino.0)).u64(GENERATION);
        self.u64(remember.as_secs()).u64(remember.as_secs());
        self.u32(remember.subsec_nanos())
            .u32(remember.subsec_nanos());
        match inode {
            Some((ino, attr)) => self.attr(ino, attr),
            None => self.bytes(&[0; ENTRY - 40]),
        }
    }

    /// `struct fuse_dirent`, padded to eight bytes.
    fn dirent(&mut self, entry: &DirectoryEntry<'_>) -> &mut Self {
        let length = entry.name.len();
        self.u64(entry.ino.0).u64(entry.position);
        self.u32(u32::try_from(length).unwrap_or(u32::MAX));
        self.u32(u32::from(entry.kind as u8)).bytes(entry.name);
        let padding = length.next_multiple_of(8) - length;
        self.bytes([0; 8].get(..padding).unwrap_or(&[]))
    }

    /// `struct fuse_sx_time`.
    fn statx_time(&mut self, time: Timestamp) -> &mut Self {
        self.u64(time.seconds.cast_unsigned())
            .u32(time.nanoseconds)
            .u32(0)
    }
}

fn mode(attr: &Attr) -> u32 {
    attr.kind.mode_bits() | u32::from(attr.permissions)
}

/// The header of an answer (`struct fuse_out_header`), `error` being 0 or a negative number.
pub(super) fn header(
    buffer: &mut [u8],
    unique: u64,
    error: i32,
    payload: usize,
) -> FsResult<usize> {
    let length = u32::try_from(OUT_HEADER.saturating_add(payload)).map_err(|_| FsError::Range)?;
    let mut writer = Writer::new(buffer);
    writer
        .u32(length)
        .bytes(&error.to_ne_bytes())
        .u64(unique)
        .finish()
}

/// The inode of a name, or that there is none.
pub(super) fn entry(
    buffer: &mut [u8],
    inode: Option<(Ino, &Attr)>,
    remember: Duration,
) -> FsResult<usize> {
    Writer::new(buffer).entry(inode, remember).finish()
}

/// An inode that was made and is open: with no OPEN there is no handle, and RELEASE, if it comes,
/// means nothing (`struct fuse_entry_out`, `struct fuse_open_out`).
pub(super) fn opened(
    buffer: &mut [u8],
    (ino, attr): (Ino, &Attr),
    remember: Duration,
) -> FsResult<usize> {
    const HANDLE: u64 = 0;
    let mut writer = Writer::new(buffer);
    writer.entry(Some((ino, attr)), remember);
    writer.u64(HANDLE).u32(OPEN_KEEP_CACHE).u32(0).finish()
}

/// Attributes (`struct fuse_attr_out`).
pub(super) fn attr(
    buffer: &mut [u8],
    ino: Ino,
    attr: &Attr,
    remember: Duration,
) -> FsResult<usize> {
    let mut writer = Writer::new(buffer);
    writer
        .u64(remember.as_secs())
        .u32(remember.subsec_nanos())
        .u32(0);
    writer.attr(ino, attr).finish()
}

/// Attributes with the time of birth, if it is known (`struct fuse_statx_out`).
pub(super) fn statx(
    buffer: &mut [u8],
    ino: Ino,
    attr: &Attr,
    birth: Option<Timestamp>,
    remember: Duration,
) -> FsResult<usize> {
    let mask = STATX_BASIC | if birth.is_some() { STATX_BIRTH } else { 0 };
    let mut writer = Writer::new(buffer);
    writer
        .u64(remember.as_secs())
        .u32(remember.subsec_nanos())
        .u32(0)
        .bytes(&[0; 16]);
    writer.u32(mask).u32(BLOCK_SIZE).u64(0);
    writer.u32(attr.nlink).u32(attr.uid).u32(attr.gid);
    // Neither permissions nor the type has more than 16 bits.
    writer.u16((mode(attr) & 0xffff) as u16).u16(0);
    writer.u64(ino.0).u64(attr.size).u64(attr.blocks).u64(0);
    writer
        .statx_time(attr.atime)
        .statx_time(birth.unwrap_or_default());
    writer.statx_time(attr.ctime).statx_time(attr.mtime);
    let (major, minor) = device_parts(attr.rdev);
    writer.u32(major).u32(minor).u32(0).u32(0).bytes(&[0; 112]);
    writer.finish()
}

/// Major and minor of Linux' 32-bit encoding of a device number.
fn device_parts(device: u32) -> (u32, u32) {
    let major = (device >> 8) & 0xfff;
    let minor = (device & 0xff) | ((device >> 12) & 0xf_ff00);
    (major, minor)
}

/// Space of a file system (`struct fuse_kstatfs`); without any it is full, as read-only media are.
pub(super) fn space(buffer: &mut [u8], space: Option<&StatVfs>) -> FsResult<usize> {
    let mut writer = Writer::new(buffer);
    let (mut block, mut fragment) = (BLOCK_SIZE, BLOCK_SIZE);
    match space {
        Some(space) => {
            writer
                .u64(space.f_blocks)
                .u64(space.f_bfree)
                .u64(space.f_bavail);
            writer.u64(space.f_files).u64(space.f_ffree);
            block = u32::try_from(space.f_bsize).unwrap_or(BLOCK_SIZE);
            fragment = u32::try_from(space.f_frsize).unwrap_or(BLOCK_SIZE);
        }
        None => drop(writer.bytes(&[0; 40])),
    }
    writer.u32(block).u32(NAME_MAX as u32).u32(fragment).u32(0);
    writer.bytes(&[0; 24]).finish()
}

/// Bytes, as they are.
pub(super) fn data(buffer: &mut [u8], bytes: &[u8]) -> FsResult<usize> {
    Writer::new(buffer).bytes(bytes).finish()
}

/// A count of bytes (`struct fuse_write_out`, `struct fuse_getxattr_out`).
pub(super) fn count(buffer: &mut [u8], count: usize) -> FsResult<usize> {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    Writer::new(buffer).u32(count).u32(0).finish()
}

/// A 64-bit number (`struct fuse_lseek_out`, `struct fuse_copy_file_range_out`).
pub(super) fn number(buffer: &mut [u8], number: u64) -> FsResult<usize> {
    Writer::new(buffer).u64(number).finish()
}

/// Entries of a directory, with their inodes or without.
#[derive(Debug)]
pub(super) struct Entries<'a> {
    buffer: &'a mut [u8],
    used: usize,
    with_inodes: bool,
    remember: Duration,
}

impl<'a> Entries<'a> {
    pub(super) fn new(buffer: &'a mut [u8], with_inodes: bool, remember: Duration) -> Self {
        Self {
            buffer,
            used: 0,
            with_inodes,
            remember,
        }
    }

    /// Bytes that were written.
    pub(super) fn used(&self) -> usize {
        self.used
    }
}

impl DirectorySink for Entries<'_> {
    /// A node of 0 says that only the name is told. (`fuser` has no way to say that.)
    fn takes_names_alone(&self) -> bool {
        true
    }

    fn push(&mut self, entry: &DirectoryEntry<'_>, inode: Option<LookedUp<'_>>) -> bool {
        let room = self.buffer.get_mut(self.used..).unwrap_or(&mut []);
        let length = DIRENT + entry.name.len().next_multiple_of(8);
        let length = length + if self.with_inodes { ENTRY } else { 0 };
        if room.len() < length {
            return false;
        }
        let mut writer = Writer::new(room);
        if self.with_inodes {
            // Of `.` and `..` the kernel takes number and type and counts no lookup.
            let inode = inode.as_ref().map(|inode| (inode.ino(), inode.attr()));
            writer.entry(inode, self.remember);
        }
        if writer.dirent(entry).finish() != Ok(length) {
            return false;
        }
        self.used += length;
        if let Some(inode) = inode {
            inode.hand_over();
        }
        true
    }
}
