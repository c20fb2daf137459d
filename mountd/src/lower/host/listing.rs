//! Reading a directory of the host.

use std::os::fd::OwnedFd;

use rustix::fs::{self, Mode, OFlags, RawDir};
use rustix::io::Errno;

use super::root::RESOLVE;
use crate::error::FsResult;
use crate::types::FileKind;

/// Bytes of entries per system call: about a thousand entries.
const BUFFER: usize = 32 * 1024;

/// One entry as `getdents64(2)` tells it.
pub(super) struct Listed<'a> {
    pub(super) name: &'a [u8],
    pub(super) inode: u64,
    /// `None` if the file system does not tell it here.
    pub(super) kind: Option<FileKind>,
}

/// Calls `each` for each entry of `directory` but `.` and `..`, until it fails.
pub(super) fn each(
    directory: &OwnedFd,
    mut each: impl FnMut(Listed<'_>) -> FsResult<()>,
) -> FsResult<()> {
    let opened = open_to_read(directory)?;
    let mut buffer = Vec::with_capacity(BUFFER);
    let mut entries = RawDir::new(&opened, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        each(Listed {
            name,
            inode: entry.ino(),
            kind: FileKind::of(entry.file_type()),
        })?;
    }
    Ok(())
}

/// Inode number and type with which `directory` lists `name`: for a mount point those of what is
/// underneath.
pub(super) fn find(directory: &OwnedFd, name: &[u8]) -> FsResult<Option<(u64, Option<FileKind>)>> {
    let mut found = None;
    each(directory, |entry| {
        if entry.name == name {
            found = Some((entry.inode, entry.kind));
        }
        Ok(())
    })?;
    Ok(found)
}

fn open_to_read(directory: &OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match fs::openat2(
        directory,
        ".",
        flags | OFlags::NOATIME,
        Mode::empty(),
        RESOLVE,
    ) {
        // Only the owner of a directory may ask for no access time.
        Err(Errno::PERM) => fs::openat2(directory, ".", flags, Mode::empty(), RESOLVE),
        opened => opened,
    }
}
