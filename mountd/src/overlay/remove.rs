//! Taking names away: `unlink` and `rmdir`.
//!
//! A name that the lower shows needs a whiteout in its place; the store's own object goes to
//! `orphans` while the kernel still knows the inode, so that open files and working directories
//! live on. Each case is one atomic change of the name.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{self, AtFlags};

use super::Overlay;
use super::find::{Found, Source};
use super::listing::expect_directory;
use super::node::{Node, Place};
use crate::error::{FsError, FsResult};
use crate::lower::LowerNode;
use crate::types::{Attr, EntryName, FileKind, Ino};
use crate::upper::names;
use crate::upper::remainder::Remainder;

impl Overlay {
    /// Takes the name of anything but a directory away.
    ///
    /// # Errors
    /// `NotFound`, `IsDirectory`, or those of the store.
    pub fn unlink(&self, parent: Ino, name: EntryName<'_>) -> FsResult<()> {
        self.store()?;
        let _names = self.names.write();
        let node = self.node(parent)?;
        let found = self.find(parent, &node, name)?.ok_or(FsError::NotFound)?;
        if found.kind() == FileKind::Directory {
            return Err(FsError::IsDirectory);
        }
        let whiteout = self.lower_shows(&node, name)?;
        let directory = self.copy_up_directory(parent)?;
        self.listings.evict(parent);
        self.take_name(found, &directory, name, whiteout)
    }

    /// Takes an empty directory away.
    ///
    /// # Errors
    /// `NotFound`, `NotDirectory`, `NotEmpty`, or those of the store.
    pub fn remove_directory(&self, parent: Ino, name: EntryName<'_>) -> FsResult<()> {
        self.store()?;
        let _names = self.names.write();
        let node = self.node(parent)?;
        let found = self.find(parent, &node, name)?.ok_or(FsError::NotFound)?;
        expect_directory(&found)?;
        self.expect_empty(&found, parent, name)?;
        let whiteout = self.lower_shows(&node, name)?;
        let directory = self.copy_up_directory(parent)?;
        self.listings.evict(parent);
        self.take_name(found, &directory, name, whiteout)
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
        self.give_back(found.ino, 1);
        if empty? {
            Ok(())
        } else {
            Err(FsError::NotEmpty)
        }
    }

    fn take_name(
        &self,
        found: Found,
        directory: &OwnedFd,
        name: EntryName<'_>,
        whiteout: bool,
    ) -> FsResult<()> {
        let store = self.store()?;
        let ino = found.ino;
        match found.source {
            Source::Upper {
                place: Place::Linked,
                named,
                ..
            } => {
                if whiteout {
                    names::put_whiteout(store.work(), directory.as_fd(), name)?;
                } else if named {
                    fs::unlinkat(directory, name.as_bytes(), AtFlags::empty())?;
                }
                self.drop_link(ino)
            }
            Source::Upper { .. } => {
                let remainder = whiteout.then(|| Remainder::whiteout(store.work()));
                self.dispose(ino, directory, name, remainder.transpose()?)
            }
            Source::Lower { attr } => {
                if whiteout {
                    names::put_whiteout(store.work(), directory.as_fd(), name)?;
                }
                self.lose_lower_name(ino, &attr)
            }
        }
    }

    /// Counts one name less of an inode that only the lower has; `attr` still counts it. Under
    /// the `names` lock, for writing.
    pub(super) fn lose_lower_name(&self, ino: Ino, attr: &Attr) -> FsResult<()> {
        let left = match attr.kind {
            FileKind::Directory => 0,
            _ => attr.nlink.saturating_sub(1),
        };
        if attr.kind != FileKind::Directory && self.lower.attr(LowerNode(ino.0))?.nlink > 1 {
            self.store()?.set_link_count(ino, left)?;
        }
        if left == 0 && self.nodes.is_known(ino) {
            self.nodes.set(
                ino,
                Node {
                    removed: true,
                    ..Node::lower(ino)
                },
            );
        }
        Ok(())
    }
}
