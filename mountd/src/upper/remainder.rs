//! What a name leaves behind in its directory when its inode goes: a whiteout, or the device 0:0
//! that a rename with `RENAME_WHITEOUT` asks for.
//!
//! It is made whole in `work` before anything else changes, so that putting it in its place is
//! one call, which needs no space. That device is the WPAR's own whiteout, one of overlayfs for
//! example: to the store it is an inode like any other.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{self, Mode, OFlags};

use super::names;
use super::object::UpperObject;
use super::record::Record;
use crate::error::FsResult;
use crate::types::{EntryName, Ino};

/// What is left; see the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whiteout of the store.
    Whiteout,
    /// This inode.
    Device(Ino),
}

/// Something in the work directory that is to be left under a name. Dropped before it was, it is
/// removed.
#[derive(Debug)]
pub struct Remainder<'a> {
    work: BorrowedFd<'a>,
    name: String,
    kind: Kind,
    placed: bool,
}

impl<'a> Remainder<'a> {
    /// Makes a whiteout.
    ///
    /// # Errors
    /// Those of the host's file system.
    pub fn whiteout(work: BorrowedFd<'a>) -> FsResult<Self> {
        Ok(Self {
            work,
            name: names::draft_whiteout(work)?,
            kind: Kind::Whiteout,
            placed: false,
        })
    }

    /// Makes the inode of `record`, which `fill` completes.
    ///
    /// # Errors
    /// Those of the host's file system.
    pub fn device(
        work: BorrowedFd<'a>,
        record: Record,
        fill: impl FnOnce(&OwnedFd) -> FsResult<()>,
    ) -> FsResult<Self> {
        let made = Self {
            work,
            name: device_name(record.ino),
            kind: Kind::Device(record.ino),
            placed: false,
        };
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = fs::openat(work, made.name.as_str(), flags, Mode::RUSR | Mode::WUSR)?;
        fill(&file)?;
        UpperObject::establish(file, record)?;
        Ok(made)
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Puts it in its place, over nothing or over a file or whiteout that goes.
    ///
    /// # Errors
    /// Those of the host's file system; nothing is then changed.
    pub fn put(mut self, directory: BorrowedFd<'_>, name: EntryName<'_>) -> FsResult<()> {
        let own = self.name.as_str();
        fs::renameat(self.work, own, directory, name.as_bytes())?;
        self.placed = true;
        Ok(())
    }

    /// Puts it in the place of something that moves to `target` in `aside`.
    ///
    /// # Errors
    /// Those of the host's file system; what it was to replace is then where it was.
    pub fn replace(
        mut self,
        directory: BorrowedFd<'_>,
        name: EntryName<'_>,
        (aside, target): (BorrowedFd<'_>, &str),
    ) -> FsResult<()> {
        let own = self.name.as_str();
        names::exchange(self.work, own, directory, name.as_bytes())?;
        if let Err(errno) = fs::renameat(self.work, own, aside, target) {
            names::exchange(self.work, own, directory, name.as_bytes())?;
            return Err(errno.into());
        }
        self.placed = true;
        Ok(())
    }
}

impl Drop for Remainder<'_> {
    fn drop(&mut self) {
        if !self.placed {
            names::remove_quietly(self.work, &self.name);
        }
    }
}

/// The name in `work` of a device that is to be left.
pub(super) fn device_name(ino: Ino) -> String {
    format!("c{}", ino.0)
}
