//! A file or directory in the making: nobody sees it until it is published whole.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::upper::calls::{self as fs, Mode, OFlags};
use rustix::io::Errno;

use super::names::{self, DIRECTORY};
use super::object::UpperObject;
use super::record::Record;
use crate::error::FsResult;
use crate::types::{EntryName, FileKind};

/// A name in the work directory that this process did not use before; the directory is empty
/// when a store is opened, so it is free.
pub(crate) fn temporary_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// An object in the work directory. Dropped unpublished, it is removed.
#[derive(Debug)]
pub struct Draft<'a> {
    work: BorrowedFd<'a>,
    name: String,
    file: Option<std::os::fd::OwnedFd>,
    published: bool,
}

impl<'a> Draft<'a> {
    /// Makes an empty file, or a directory, for an inode of `kind`.
    ///
    /// # Errors
    /// Those of the host's file system.
    pub fn new(work: BorrowedFd<'a>, kind: FileKind) -> FsResult<Self> {
        let name = temporary_name();
        let mut draft = Self {
            work,
            name,
            file: None,
            published: false,
        };
        let file = if kind == FileKind::Directory {
            fs::mkdirat(work, draft.name.as_str(), Mode::RWXU)?;
            fs::openat(work, draft.name.as_str(), DIRECTORY, Mode::empty())?
        } else {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            fs::openat(work, draft.name.as_str(), flags, Mode::RUSR | Mode::WUSR)?
        };
        draft.file = Some(file);
        Ok(draft)
    }

    /// The open file, to be filled.
    ///
    /// # Errors
    /// Never before [`Self::publish`].
    pub fn file(&self) -> FsResult<BorrowedFd<'_>> {
        Ok(self.file.as_ref().ok_or(Errno::BADF)?.as_fd())
    }

    /// Writes the record and gives the object its place: over nothing, over a whiteout, or over a
    /// file that it replaces.
    ///
    /// # Errors
    /// Those of the host's file system; the place is then as it was.
    pub fn publish(
        mut self,
        record: Record,
        dir: BorrowedFd<'_>,
        name: EntryName<'_>,
    ) -> FsResult<UpperObject> {
        let file = self.file.take().ok_or(Errno::BADF)?;
        let object = UpperObject::establish(file, record)?;
        match fs::renameat(self.work, self.name.as_str(), dir, name.as_bytes()) {
            Ok(()) => self.published = true,
            // A directory cannot be renamed over a whiteout, but can change places with it.
            Err(Errno::NOTDIR) => {
                names::exchange(self.work, self.name.as_str(), dir, name.as_bytes())?;
            }
            Err(errno) => return Err(errno.into()),
        }
        Ok(object)
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if !self.published {
            names::remove_quietly(self.work, &self.name);
        }
    }
}
