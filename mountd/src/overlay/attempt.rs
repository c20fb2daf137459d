//! Requests that a daemon may have carried out before it died, carried out again.
//!
//! Whoever asked still waits, and the kernel holds the directories concerned until it is
//! answered. So where the first attempt would now be refused because it has succeeded, that is
//! success: nobody else can have made or taken the name meanwhile. Operations that are not here
//! need nothing of the kind: doing them twice is the same as doing them once.

use rustix::fs::XattrFlags;

use super::{LookedUp, NewInode, Overlay, RenameMode};
use crate::error::{FsError, FsResult};
use crate::types::{EntryName, Ino};

/// One of the kernel's requests, that is carried out for the first time or once more.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'o> {
    overlay: &'o Overlay,
    request: u64,
    again: bool,
}

impl Overlay {
    /// The kernel's request of this number; `again`, if another daemon had it.
    pub fn attempt(&self, request: u64, again: bool) -> Attempt<'_> {
        Attempt {
            overlay: self,
            request,
            again,
        }
    }
}

impl<'o> Attempt<'o> {
    /// As [`Overlay::create`].
    ///
    /// # Errors
    /// As [`Overlay::create`].
    pub fn create(
        &self,
        parent: Ino,
        name: EntryName<'_>,
        new: &NewInode<'_>,
    ) -> FsResult<LookedUp<'o>> {
        let made = self.overlay.create(parent, name, new);
        self.or_there(made, parent, name, |found| found.attr().kind == new.kind)
    }

    /// As [`Overlay::link`].
    ///
    /// # Errors
    /// As [`Overlay::link`].
    pub fn link(&self, ino: Ino, parent: Ino, name: EntryName<'_>) -> FsResult<LookedUp<'o>> {
        let made = self.overlay.link(ino, parent, name);
        self.or_there(made, parent, name, |found| found.ino() == ino)
    }

    /// As [`Overlay::unlink`].
    ///
    /// # Errors
    /// As [`Overlay::unlink`].
    pub fn unlink(&self, parent: Ino, name: EntryName<'_>) -> FsResult<()> {
        self.or_gone(self.overlay.unlink(parent, name))
    }

    /// As [`Overlay::remove_directory`].
    ///
    /// # Errors
    /// As [`Overlay::remove_directory`].
    pub fn remove_directory(&self, parent: Ino, name: EntryName<'_>) -> FsResult<()> {
        self.or_gone(self.overlay.remove_directory(parent, name))
    }

    /// As [`Overlay::rename`].
    ///
    /// # Errors
    /// As [`Overlay::rename`].
    pub fn rename(
        &self,
        from: (Ino, EntryName<'_>),
        to: (Ino, EntryName<'_>),
        mode: RenameMode,
    ) -> FsResult<()> {
        if self.again && self.overlay.inherited.moved.contains(&self.request) {
            return Ok(());
        }
        self.overlay.rename_for(self.request, from, to, mode)
    }

    /// As [`Overlay::set_xattr`].
    ///
    /// # Errors
    /// As [`Overlay::set_xattr`].
    pub fn set_xattr(
        &self,
        ino: Ino,
        name: &[u8],
        value: &[u8],
        flags: XattrFlags,
    ) -> FsResult<()> {
        match self.overlay.set_xattr(ino, name, value, flags) {
            Err(FsError::Exists) if self.again && self.overlay.xattr(ino, name)? == value => Ok(()),
            other => other,
        }
    }

    /// As [`Overlay::remove_xattr`].
    ///
    /// # Errors
    /// As [`Overlay::remove_xattr`].
    pub fn remove_xattr(&self, ino: Ino, name: &[u8]) -> FsResult<()> {
        self.or_gone(self.overlay.remove_xattr(ino, name))
    }

    fn or_there(
        &self,
        made: FsResult<LookedUp<'o>>,
        parent: Ino,
        name: EntryName<'_>,
        is_it: impl FnOnce(&LookedUp<'_>) -> bool,
    ) -> FsResult<LookedUp<'o>> {
        match made {
            Err(FsError::Exists) if self.again => match self.overlay.lookup(parent, name)? {
                Some(found) if is_it(&found) => Ok(found),
                _ => Err(FsError::Exists),
            },
            made => made,
        }
    }

    fn or_gone(&self, removed: FsResult<()>) -> FsResult<()> {
        match removed {
            Err(FsError::NotFound | FsError::NoAttribute) if self.again => Ok(()),
            removed => removed,
        }
    }
}
