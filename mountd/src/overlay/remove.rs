//! Taking names away: `unlink` and `rmdir`.
//!
//! A name that the lower shows needs a whiteout in its place; the store's own object goes to
//! `orphans` while the kernel still knows the inode, so that open files and working directories
//! live on. Each case is one atomic change of the name.

use std::os::fd::{AsFd, OwnedFd};

use crate::upper::calls::{self as fs, AtFlags};

use rustix::io::Errno;

use super::Overlay;
use super::find::{Found, Source};
use super::link::CountChange;
use super::listing::expect_directory;
use super::node::{Node, Place};
use crate::error::{FsError, FsResult};
use crate::types::{EntryName, FileKind, Ino};
use crate::upper::intent::Becomes;
use crate::upper::names;
use crate::upper::remainder::Remainder;

impl Overlay {
    /// Takes the name of anything but a directory away.
    ///
    /// # Errors
    /// `NotFound`, `IsDirectory`, or those of the store.
    pub fn unlink(&self, parent: Ino, name: EntryName<'_>) -> FsResult<()> {
        self.store_for(parent)?;
        let _names = self.names.write();
        let node = self.node(parent)?;
        let found = self.find(parent, &node, name)?.ok_or(FsError::NotFound)?;
        if found.kind() == FileKind::Directory {
            return Err(FsError::IsDirectory);
        }
        let whiteout = self.lower_shows(&node, name)?;
        let directory = self.copy_up_directory(parent)?;
        let _watched = self.watch(parent, &directory)?;
        self.unlist(parent, name);
        self.take_name(&found, (parent, name), &directory, whiteout)
            .inspect_err(|_| self.listings.evict(parent))
    }

    /// Takes an empty directory away.
    ///
    /// # Errors
    /// `NotFound`, `NotDirectory`, `NotEmpty`, or those of the store.
    pub fn remove_directory(&self, parent: Ino, name: EntryName<'_>) -> FsResult<()> {
        self.store_for(parent)?;
        let _names = self.names.write();
        let node = self.node(parent)?;
        let found = self.find(parent, &node, name)?.ok_or(FsError::NotFound)?;
        expect_directory(&found)?;
        self.expect_empty(&found, parent, name)?;
        let whiteout = self.lower_shows(&node, name)?;
        let directory = self.copy_up_directory(parent)?;
        let _watched = self.watch(parent, &directory)?;
        self.unlist(parent, name);
        self.take_name(&found, (parent, name), &directory, whiteout)
            .inspect_err(|_| self.listings.evict(parent))
    }

    /// Checks that a directory that was found shows no names.
    pub(super) fn expect_empty(
        &self,
        found: &Found,
        parent: Ino,
        name: EntryName<'_>,
    ) -> FsResult<()> {
        // It may never have been looked up by the kernel: ask by what was found, not by number.
        let node = match &found.source {
            Source::Lower { .. } => Node::lower(found.ino),
            Source::Upper { lower, .. } => Node {
                lower: *lower,
                place: Some(Place::Named {
                    parent,
                    name: name.as_bytes().into(),
                }),
                removed: false,
            },
        };
        self.nodes.count(found.ino, || node.clone());
        let empty = self.is_empty_directory(found.ino, &node);
        for orphan in self.give_back(found.ino, 1) {
            self.drop_orphan(orphan);
        }
        if empty? {
            Ok(())
        } else {
            Err(FsError::NotEmpty)
        }
    }

    fn take_name(
        &self,
        found: &Found,
        (parent, name): (Ino, EntryName<'_>),
        directory: &OwnedFd,
        whiteout: bool,
    ) -> FsResult<()> {
        if let Source::Upper { place, .. } = &found.source
            && *place != Place::Linked
        {
            let remainder = Remainder::whiteout(whiteout);
            return self.dispose(found.ino, directory, name, remainder);
        }
        let becomes = if whiteout {
            Becomes::Whiteout
        } else {
            Becomes::Nothing
        };
        let change = self.one_name_less(found)?;
        self.with_count(change, (parent, name), becomes, || {
            if whiteout {
                return names::put_whiteout(self.store()?.work(), directory.as_fd(), name);
            }
            match fs::unlinkat(directory, name.as_bytes(), AtFlags::empty()) {
                // Only a living lower takes its name away itself.
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(errno) => Err(errno.into()),
            }
        })?;
        self.lost_name(found, change);
        Ok(())
    }

    /// Notes that an inode that only the lower has may have lost its last name. Under the `names`
    /// lock, for writing.
    pub(super) fn lost_name(&self, found: &Found, change: Option<CountChange>) {
        let is_last = change.is_none_or(|change| change.is_last());
        if is_last && matches!(found.source, Source::Lower { .. }) && self.nodes.is_known(found.ino)
        {
            self.nodes.set(
                found.ino,
                Node {
                    removed: true,
                    ..Node::lower(found.ino)
                },
            );
        }
    }
}
