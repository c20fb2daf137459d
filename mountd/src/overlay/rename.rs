//! Renaming.
//!
//! What moves is copied up first: a file whole, a directory without its contents but with a
//! *redirect* to the directory of the lower that it goes on showing. Then the store renames. Where
//! that takes two calls of the host, an intent is declared before the first (see
//! [`crate::upper::intent`]), so that a crash in between is completed by the next opening. What
//! the old name leaves behind is made before both (see [`crate::upper::remainder`]).

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs;

use super::Overlay;
use super::create::{NewInode, fill};
use super::find::{Found, Source};
use super::listing::expect_directory;
use super::node::{Node, Place};
use crate::error::{FsError, FsResult};
use crate::types::{Caller, EntryName, FileKind, Ino};
use crate::upper::intent::RenameIntent;
use crate::upper::names;
use crate::upper::object::UpperObject;
use crate::upper::record::Record;
use crate::upper::remainder::{self, Remainder};

/// What to do if the new name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameMode {
    /// Replace what has it.
    Replace,
    /// Fail with `Exists`.
    NoReplace,
    /// Let both change names.
    Exchange,
    /// Leave a character device 0:0 under the old name, as the kernel's overlayfs asks for.
    Whiteout {
        /// Whose it is.
        caller: Caller,
        /// Whether to replace what has the new name; otherwise it is as [`Self::NoReplace`].
        replace: bool,
    },
}

impl RenameMode {
    fn replaces(self) -> bool {
        match self {
            Self::Replace | Self::Exchange => true,
            Self::NoReplace => false,
            Self::Whiteout { replace, .. } => replace,
        }
    }
}

/// One end of a rename.
struct End<'a> {
    parent: Ino,
    node: Arc<Node>,
    name: EntryName<'a>,
    directory: Arc<OwnedFd>,
}

impl Overlay {
    /// Renames `name` in `parent` to `new_name` in `new_parent`.
    ///
    /// # Errors
    /// Those of rename(2); nothing is then changed.
    pub fn rename(
        &self,
        (parent, name): (Ino, EntryName<'_>),
        (new_parent, new_name): (Ino, EntryName<'_>),
        mode: RenameMode,
    ) -> FsResult<()> {
        self.store()?;
        self.copy_up_named(parent, name)?;
        if mode == RenameMode::Exchange {
            self.copy_up_named(new_parent, new_name)?;
        }
        let _names = self.names.write();
        let node = self.node(parent)?;
        let new_node = self.node(new_parent)?;
        let found = self.find(parent, &node, name)?.ok_or(FsError::NotFound)?;
        let replaced = self.find(new_parent, &new_node, new_name)?;
        if new_node.removed || new_node.place == Some(Place::Orphan) {
            return Err(FsError::NotFound);
        }
        if replaced
            .as_ref()
            .is_some_and(|replaced| replaced.ino == found.ino)
        {
            // Two names of one inode: nothing happens, as POSIX has it.
            return if mode.replaces() {
                Ok(())
            } else {
                Err(FsError::Exists)
            };
        }
        self.check_replaced(&found, replaced.as_ref(), (new_parent, new_name), mode)?;
        let directory = self.copy_up_directory(parent)?;
        let new_directory = self.copy_up_directory(new_parent)?;
        // Read again: copying up may have given them a place.
        let from = End {
            parent,
            node: self.node(parent)?,
            name,
            directory,
        };
        let to = End {
            parent: new_parent,
            node: self.node(new_parent)?,
            name: new_name,
            directory: new_directory,
        };
        self.listings.evict(parent);
        self.listings.evict(new_parent);
        match (mode, replaced) {
            (RenameMode::Exchange, Some(other)) => self.exchange(&from, found, &to, other),
            (RenameMode::Exchange, None) => Err(FsError::NotFound),
            (_, replaced) => {
                let remainder = self.remainder(&from, mode)?;
                self.replace(&from, found, &to, replaced, remainder)
            }
        }
    }

    /// Copies up what a name stands for, before the `names` lock is taken: that may last.
    fn copy_up_named(&self, parent: Ino, name: EntryName<'_>) -> FsResult<()> {
        let found = self.lookup(parent, name)?.ok_or(FsError::NotFound)?;
        self.copy_up(found.ino(), u64::MAX)
    }

    fn check_replaced(
        &self,
        found: &Found,
        replaced: Option<&Found>,
        (new_parent, new_name): (Ino, EntryName<'_>),
        mode: RenameMode,
    ) -> FsResult<()> {
        let Some(replaced) = replaced else {
            return Ok(());
        };
        if !mode.replaces() {
            return Err(FsError::Exists);
        }
        if mode == RenameMode::Exchange {
            return Ok(());
        }
        if found.kind() == FileKind::Directory {
            expect_directory(replaced)?;
            self.expect_empty(replaced, new_parent, new_name)
        } else if replaced.kind() == FileKind::Directory {
            Err(FsError::IsDirectory)
        } else {
            Ok(())
        }
    }

    /// What the old name leaves behind.
    fn remainder(&self, from: &End<'_>, mode: RenameMode) -> FsResult<Option<Remainder<'_>>> {
        let work = self.store()?.work();
        if let RenameMode::Whiteout { caller, .. } = mode {
            let new = NewInode {
                kind: FileKind::CharDevice,
                permissions: 0,
                umask: 0,
                rdev: 0,
                target: b"",
                caller,
            };
            let (record, inherited) = self.prepare(&from.directory, &new)?;
            return Remainder::device(work, record, |file| fill(file, &new, &inherited)).map(Some);
        }
        if self.lower_shows(&from.node, from.name)? {
            return Remainder::whiteout(work).map(Some);
        }
        Ok(None)
    }

    fn replace(
        &self,
        from: &End<'_>,
        found: Found,
        to: &End<'_>,
        replaced: Option<Found>,
        remainder: Option<Remainder<'_>>,
    ) -> FsResult<()> {
        if replaced.is_none() {
            names::clear_remains(to.directory.as_fd(), to.name)?;
        }
        let object = self.prepare_to_move(from, &found)?;
        let victim = replaced.as_ref().and_then(victim_of);
        let is_directory = object.record().kind == FileKind::Directory;
        let intent = if remainder.is_some() || victim.is_some() || is_directory {
            let remains = remainder.as_ref().map(Remainder::kind);
            Some(self.intent(found.ino, from, to, remains)?)
        } else {
            None
        };
        if victim.is_some() || (is_directory && self.has_whiteout(to)?) {
            names::exchange(
                from.directory.as_fd(),
                from.name.as_bytes(),
                to.directory.as_fd(),
                to.name.as_bytes(),
            )?;
            match (victim, remainder) {
                (Some(victim), remainder) => {
                    self.dispose(victim, &from.directory, from.name, remainder)?;
                }
                // It was a whiteout that came here.
                (None, Some(remainder)) => remainder.put(from.directory.as_fd(), from.name)?,
                (None, None) => {
                    names::remove_tree(from.directory.as_fd(), from.name.as_bytes())?;
                }
            }
        } else {
            fs::renameat(
                &from.directory,
                from.name.as_bytes(),
                &to.directory,
                to.name.as_bytes(),
            )?;
            if let Some(remainder) = remainder {
                remainder.put(from.directory.as_fd(), from.name)?;
            }
        }
        drop(intent);
        self.moved(&found, to);
        match replaced {
            Some(replaced) => self.lose_replaced(replaced),
            None => Ok(()),
        }
    }

    /// What a replaced inode loses by losing its name, where the store's rename did not do it.
    fn lose_replaced(&self, replaced: Found) -> FsResult<()> {
        let ino = replaced.ino;
        match replaced.source {
            Source::Upper {
                place: Place::Linked,
                ..
            } => self.drop_link(ino),
            Source::Upper { .. } => Ok(()),
            Source::Lower { attr } => self.lose_lower_name(ino, &attr),
        }
    }

    fn exchange(&self, from: &End<'_>, found: Found, to: &End<'_>, other: Found) -> FsResult<()> {
        self.prepare_to_move(from, &found)?;
        self.prepare_to_move(to, &other)?;
        names::exchange(
            from.directory.as_fd(),
            from.name.as_bytes(),
            to.directory.as_fd(),
            to.name.as_bytes(),
        )?;
        self.moved(&found, to);
        self.moved(&other, from);
        Ok(())
    }

    /// Makes sure that the store has the name that moves, and that a directory says what it shows.
    fn prepare_to_move(&self, end: &End<'_>, found: &Found) -> FsResult<UpperObject> {
        let mut object = self.own_name(found.ino, &end.directory, end.name)?;
        let record = *object.record();
        if record.kind != FileKind::Directory || record.opaque {
            return Ok(object);
        }
        match &found.source {
            Source::Upper {
                lower: Some(lower), ..
            } => {
                if object.redirect()?.is_none() {
                    object.set_redirect(&self.lower_path(*lower)?)?;
                }
            }
            // What it once showed is gone; it must not begin to show what its new name had.
            _ => object.set_record(Record {
                opaque: true,
                ..record
            })?,
        }
        Ok(object)
    }

    fn moved(&self, found: &Found, to: &End<'_>) {
        if let Source::Upper {
            place: Place::Named { .. },
            lower,
            ..
        } = &found.source
        {
            let place = Place::Named {
                parent: to.parent,
                name: to.name.as_bytes().into(),
            };
            let node = Node {
                lower: *lower,
                place: Some(place),
                removed: false,
            };
            self.nodes.set(found.ino, node);
        }
    }

    fn has_whiteout(&self, end: &End<'_>) -> FsResult<bool> {
        let found = names::look_up(end.directory.as_fd(), end.name)?;
        Ok(matches!(found, names::UpperName::Whiteout))
    }

    fn intent(
        &self,
        ino: Ino,
        from: &End<'_>,
        to: &End<'_>,
        remains: Option<remainder::Kind>,
    ) -> FsResult<crate::upper::intent::Standing<'_>> {
        let path = |end: &End<'_>| -> FsResult<Vec<u8>> {
            let mut path = self.upper_path(end.parent)?;
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(end.name.as_bytes());
            Ok(path)
        };
        let intent = RenameIntent {
            ino,
            from: &path(from)?,
            to: &path(to)?,
            remains,
        };
        intent.declare(self.store()?)
    }
}

/// The inode that a rename puts aside: one that is an object of the store with this only name.
fn victim_of(replaced: &Found) -> Option<Ino> {
    match &replaced.source {
        Source::Upper {
            place: Place::Named { .. },
            ..
        } => Some(replaced.ino),
        _ => None,
    }
}
