//! What a name leaves behind in its directory when its inode goes: nothing, a whiteout, or the
//! device 0:0 that a rename with `RENAME_WHITEOUT` asks for.
//!
//! That device is the WPAR's own whiteout, one of overlayfs for example: to the store it is an
//! inode like any other. It is made whole in `work`, as `cNUMBER`, before anything else changes, so
//! that putting it in its place is one call, which needs no space.

use std::os::fd::{BorrowedFd, OwnedFd};

use super::calls::{self as fs, Mode, OFlags};
use super::intent::Becomes;
use super::names;
use super::object::UpperObject;
use super::record::Record;
use crate::error::FsResult;
use crate::types::{EntryName, Ino};

/// What is left; see the module.
#[derive(Debug)]
pub enum Remainder<'a> {
    /// Nothing.
    Nothing,
    /// A whiteout of the store.
    Whiteout,
    /// An inode that was made for that.
    Device(Device<'a>),
}

impl Remainder<'_> {
    /// A whiteout if there has to be one.
    pub fn whiteout(is_needed: bool) -> Self {
        if is_needed {
            Self::Whiteout
        } else {
            Self::Nothing
        }
    }

    /// What becomes of the name that it is left under.
    pub fn becomes(&self) -> Becomes {
        match self {
            Self::Nothing => Becomes::Nothing,
            Self::Whiteout => Becomes::Whiteout,
            Self::Device(device) => Becomes::Inode(device.ino),
        }
    }
}

/// An inode in the work directory. Dropped before it was put in its place, it is removed.
#[derive(Debug)]
pub struct Device<'a> {
    work: BorrowedFd<'a>,
    ino: Ino,
    placed: bool,
}

impl<'a> Device<'a> {
    /// Makes the inode of `record`, which `fill` completes.
    ///
    /// # Errors
    /// Those of the host's file system.
    pub fn new(
        work: BorrowedFd<'a>,
        record: Record,
        fill: impl FnOnce(&OwnedFd) -> FsResult<()>,
    ) -> FsResult<Self> {
        let made = Self {
            work,
            ino: record.ino,
            placed: false,
        };
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = fs::openat(work, device_name(made.ino), flags, mode)?;
        fill(&file)?;
        UpperObject::establish(file, record)?;
        Ok(made)
    }

    /// Puts it in its place, over nothing or over a file or whiteout that goes.
    ///
    /// # Errors
    /// Those of the host's file system; nothing is then changed.
    pub fn put(mut self, directory: BorrowedFd<'_>, name: EntryName<'_>) -> FsResult<()> {
        fs::renameat(self.work, device_name(self.ino), directory, name.as_bytes())?;
        self.placed = true;
        Ok(())
    }

    /// Puts it in the place of something that moves to `target` in `aside`.
    ///
    /// # Errors
    /// Those of the host's file system; nothing is then changed.
    pub fn replace(
        mut self,
        directory: BorrowedFd<'_>,
        name: EntryName<'_>,
        (aside, target): (BorrowedFd<'_>, &str),
    ) -> FsResult<()> {
        // First where the other one goes: then the two change places, and that is one call.
        fs::renameat(self.work, device_name(self.ino), aside, target)?;
        let replaced = names::exchange(aside, target, directory, name.as_bytes());
        if replaced.is_err() {
            names::remove_again(aside, target);
        }
        self.placed = true;
        replaced
    }
}

impl Drop for Device<'_> {
    fn drop(&mut self) {
        if !self.placed {
            names::remove_quietly(self.work, &device_name(self.ino));
        }
    }
}

/// The name in `work` of a device that is to be left.
pub(super) fn device_name(ino: Ino) -> String {
    format!("c{}", ino.0)
}
