//! Counting a store: a walk over the parts of it that are the WPAR's.
//!
//! In the order in which inodes move (`tree`, `links`, `orphans`), so that one that moves meanwhile
//! is counted twice rather than not at all.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};

use crate::upper::calls::{self as fs, AtFlags, FileType, Mode, Stat};
use rustix::io::Errno;

use super::{Parts, Usage, space_of};
use crate::error::{FsError, FsResult};
use crate::upper::names::DIRECTORY;

/// Counts the store; `None` if `go_on` said no.
///
/// # Errors
/// `AGAIN` if a directory was moved meanwhile, else those of the host's file system.
pub(super) fn store(parts: &Parts, go_on: &dyn Fn() -> bool) -> FsResult<Option<Usage>> {
    let mut usage = Usage::default();
    usage.add(&fs::fstat(&parts.tree)?);
    // An inode with several names is in `links` too.
    let in_tree = |stat: &Stat| is_directory(stat) || stat.st_nlink == 1;
    let whole = below(parts.tree.as_fd(), &in_tree, go_on, &mut usage)?
        && below(parts.links.as_fd(), &|_| true, go_on, &mut usage)?
        && below(parts.orphans.as_fd(), &|_| true, go_on, &mut usage)?;
    Ok(whole.then_some(usage))
}

/// Counts what has no name any more.
pub(super) fn orphans(parts: &Parts) -> FsResult<Usage> {
    let mut usage = Usage::default();
    below(parts.orphans.as_fd(), &|_| true, &|| true, &mut usage)?;
    Ok(usage)
}

impl Usage {
    fn add(&mut self, stat: &Stat) {
        self.bytes = self.bytes.saturating_add(space_of(stat));
        self.inodes += 1;
    }
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// Counts what is below `root`; false if `go_on` said no.
fn below(
    root: BorrowedFd<'_>,
    counts: &dyn Fn(&Stat) -> bool,
    go_on: &dyn Fn() -> bool,
    usage: &mut Usage,
) -> FsResult<bool> {
    // One directory is open at a time: a WPAR can make deeper trees than there are descriptors.
    let mut at = fs::openat(root, ".", DIRECTORY, Mode::empty())?;
    let mut levels = vec![Level::read(at.as_fd(), counts, usage)?];
    while let Some(level) = levels.last_mut() {
        if !go_on() {
            return Ok(false);
        }
        if let Some(name) = level.directories.pop() {
            match fs::openat(&at, &*name, DIRECTORY, Mode::empty()) {
                Ok(child) => at = child,
                // It was removed, or moved, meanwhile.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(errno) => return Err(errno.into()),
            }
            levels.push(Level::read(at.as_fd(), counts, usage)?);
            continue;
        }
        levels.pop();
        if let Some(above) = levels.last() {
            at = match fs::openat(&at, "..", DIRECTORY, Mode::empty()) {
                Err(Errno::NOENT) => return Err(FsError::Layer(Errno::AGAIN)),
                other => other?,
            };
            if fs::fstat(&at)?.st_ino != above.inode {
                return Err(FsError::Layer(Errno::AGAIN));
            }
        }
    }
    Ok(true)
}

/// A directory on the way.
struct Level {
    /// The host's number of it.
    inode: u64,
    /// Those in it that are still to be looked into.
    directories: Vec<CString>,
}

impl Level {
    /// Counts what is in `directory`.
    fn read(
        directory: BorrowedFd<'_>,
        counts: &dyn Fn(&Stat) -> bool,
        usage: &mut Usage,
    ) -> FsResult<Self> {
        let mut directories = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            // A symbolic link is the store's own.
            if matches!(name.to_bytes(), b"." | b"..") || entry.file_type() == FileType::Symlink {
                continue;
            }
            let stat = match fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                other => other?,
            };
            if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink || !counts(&stat) {
                continue;
            }
            usage.add(&stat);
            if is_directory(&stat) {
                directories.push(name.to_owned());
            }
        }
        Ok(Self {
            inode: fs::fstat(directory)?.st_ino,
            directories,
        })
    }
}
