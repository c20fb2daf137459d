//! Hard links.
//!
//! An inode that gets a second name moves its home to the store's `links` directory; its names
//! are then hard links of that file, and its record counts them. Of an inode of the lower the
//! number of names that are left is there. The number and the name cannot change in one call: the
//! intent says what is right when a crash comes in between (see [`crate::upper::intent`]).
//!
//! A file that was made without a name gets its first one by one rename out of `orphans`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::copy_up::keeping_times;
use super::find::{Found, Source};
use super::node::{Node, Place};
use super::node_journal::Move;
use super::{LookedUp, Overlay};
use crate::error::{FsError, FsResult};
use crate::lower::LowerNode;
use crate::types::{EntryName, FileKind, Ino};
use crate::upper::calls::{self as fs, AtFlags};
use crate::upper::intent::{self, Becomes, CountIntent, Home};
use crate::upper::names::{self, UpperName};
use crate::upper::record::Record;
use crate::upper::remainder::Remainder;
use crate::upper::{LinkedInode, number_name};

/// An inode is about to have another number of names.
#[derive(Clone, Copy, Debug)]
pub(super) struct CountChange {
    ino: Ino,
    home: Home,
    /// What is recorded: 0 if nothing is, because the lower's number still holds.
    before: u32,
    /// How many there will be.
    after: u32,
}

impl CountChange {
    /// Whether no name will be left.
    pub(super) fn is_last(&self) -> bool {
        self.after == 0
    }
}

impl Overlay {
    /// Gives an inode the further name `name` in `parent` and counts a lookup of it.
    ///
    /// # Errors
    /// `Exists`; `NotPermitted` for a directory; `NotFound` for an inode that lost its last name;
    /// or those of the store.
    pub fn link(&self, ino: Ino, parent: Ino, name: EntryName<'_>) -> FsResult<LookedUp<'_>> {
        if self.attr(ino)?.kind == FileKind::Directory {
            return Err(FsError::NotPermitted);
        }
        self.store_for(parent)?;
        self.copy_up(ino, u64::MAX)?;
        let _names = self.names.write();
        let node = self.node(parent)?;
        if node.removed || node.place == Some(Place::Orphan) {
            return Err(FsError::NotFound);
        }
        if self.find(parent, &node, name)?.is_some() {
            return Err(FsError::Exists);
        }
        self.admit(0, 0)?;
        let directory = self.copy_up_directory(parent)?;
        let _watched = self.watch(parent, &directory)?;
        if self.node(ino)?.place == Some(Place::Orphan) {
            self.give_first_name(ino, (parent, name), &directory)?;
        } else {
            self.add_name(ino, (parent, name), &directory)?;
        }
        self.listings.evict(parent);
        let node = self.node(parent)?;
        let found = self.find(parent, &node, name)?.ok_or(FsError::Stale)?;
        self.count_found(found)
    }

    /// Moves a file that was made without a name to its first one. Under the `names` lock, for
    /// writing.
    fn give_first_name(
        &self,
        ino: Ino,
        (parent, name): (Ino, EntryName<'_>),
        directory: &OwnedFd,
    ) -> FsResult<()> {
        let mut object = self.object(ino, &Place::Orphan)?;
        let _watched = self.watch_moved(ino, &object)?;
        let record = *object.record();
        if !record.unnamed {
            return Err(FsError::NotFound);
        }
        if let UpperName::Remains = names::look_up(directory.as_fd(), name)? {
            names::remove_tree(directory.as_fd(), name.as_bytes())?;
        }
        // A daemon that takes over looks whether it is there.
        let planned = Move {
            request: 0,
            ino,
            parent,
            name: name.as_bytes().into(),
        };
        self.nodes.announce(&planned, false);
        // First: what has a name must not say that it never had one.
        object.set_record(Record {
            unnamed: false,
            ..record
        })?;
        let orphans = self.store()?.orphans();
        if let Err(errno) = fs::renameat(orphans, number_name(ino), directory, name.as_bytes()) {
            object.set_record(record)?;
            return Err(errno.into());
        }
        let place = Place::Named {
            parent,
            name: name.as_bytes().into(),
        };
        self.nodes.set(
            ino,
            Node {
                lower: None,
                place: Some(place),
                removed: false,
            },
        );
        Ok(())
    }

    /// Makes one more name of an inode that has some. Under the `names` lock, for writing.
    fn add_name(
        &self,
        ino: Ino,
        (parent, name): (Ino, EntryName<'_>),
        directory: &OwnedFd,
    ) -> FsResult<()> {
        let before = match &self.node(ino)?.place {
            Some(place @ Place::Linked) => self.object(ino, place)?.record().nlink,
            Some(Place::Named { .. }) => 1,
            Some(Place::Orphan | Place::Root) | None => return Err(FsError::Stale),
        };
        let after = before.checked_add(1).ok_or(FsError::TooManyLinks)?;
        let change = CountChange {
            ino,
            home: Home::Store,
            before,
            after,
        };
        self.with_count(Some(change), (parent, name), Becomes::Inode(ino), || {
            self.make_link(ino, directory, name)
        })
    }

    /// Makes a name of an inode in `links`.
    fn make_link(&self, ino: Ino, directory: &OwnedFd, name: EntryName<'_>) -> FsResult<()> {
        let store = self.store()?;
        let link = |dir: BorrowedFd<'_>, name: &[u8]| {
            let flags = AtFlags::empty();
            match fs::linkat(store.links(), number_name(ino), dir, name, flags) {
                Err(Errno::MLINK) => Err(FsError::TooManyLinks),
                other => Ok(other?),
            }
        };
        match names::look_up(directory.as_fd(), name)? {
            UpperName::Whiteout => {
                // A link cannot replace a name, but can be renamed over one.
                let draft = names::temporary_name();
                link(store.work(), draft.as_bytes())?;
                fs::renameat(store.work(), draft.as_str(), directory, name.as_bytes())
                    .inspect_err(|_| names::remove_quietly(store.work(), &draft))?;
                return Ok(());
            }
            UpperName::Remains => names::remove_tree(directory.as_fd(), name.as_bytes())?,
            UpperName::Absent | UpperName::Object(_) => {}
        }
        link(directory.as_fd(), name.as_bytes())
    }

    /// What it is that an inode which was found has one name less; `None` if its names are not
    /// counted.
    pub(super) fn one_name_less(&self, found: &Found) -> FsResult<Option<CountChange>> {
        let ino = found.ino;
        let (home, before, left) = match &found.source {
            Source::Upper {
                place: Place::Linked,
                object,
                ..
            } => (Home::Store, object.record().nlink, object.record().nlink),
            Source::Lower { attr }
                if attr.kind != FileKind::Directory
                    && self.lower.attr(LowerNode(ino.0))?.nlink > 1 =>
            {
                let recorded = match self.store()?.linked(ino)? {
                    LinkedInode::Counted(count) => count,
                    LinkedInode::Unknown | LinkedInode::Copied(_) => 0,
                };
                (Home::Lower, recorded, attr.nlink)
            }
            _ => return Ok(None),
        };
        Ok(Some(CountChange {
            ino,
            home,
            before,
            after: left.saturating_sub(1),
        }))
    }

    /// Does `change_name` and what that means for the
    /// number of an inode's names: both or, whatever happens, none. Under the `names` lock, for
    /// writing.
    pub(super) fn with_count(
        &self,
        change: Option<CountChange>,
        (parent, name): (Ino, EntryName<'_>),
        becomes: Becomes,
        change_name: impl FnOnce() -> FsResult<()>,
    ) -> FsResult<()> {
        let Some(change) = change else {
            return change_name();
        };
        let path = self.path_of(parent, name)?;
        let intent = CountIntent {
            ino: change.ino,
            home: change.home,
            before: change.before,
            after: change.after,
            path: &path,
            becomes,
        };
        let standing = intent.declare(self.store()?)?;
        let in_use = self.nodes.is_known(change.ino);
        self.begin_count(&change, in_use)?;
        if let Err(error) = change_name() {
            if let Err(second) = self.set_count(&change, change.before) {
                log::error!(
                    "the number of names of inode {} is wrong until the next start: {second}",
                    change.ino
                );
                standing.abandon();
            }
            return Err(error);
        }
        drop(standing);
        if change.home == Home::Store && change.after == 0 {
            self.bury(change.ino, in_use);
        }
        Ok(())
    }

    /// Records the new number; an inode without any name loses its home, one with its first
    /// second name gets one.
    fn begin_count(&self, change: &CountChange, in_use: bool) -> FsResult<()> {
        let store = self.store()?;
        let ino = change.ino;
        if change.home == Home::Store && change.after == 0 {
            let (dir, name) = intent::grave(store, ino, in_use);
            return Ok(fs::renameat(store.links(), number_name(ino), dir, name)?);
        }
        if change.after < change.before || change.home == Home::Lower {
            // Of an inode that loses a name the kernel need not know anything.
            return self.set_count(change, change.after);
        }
        let Some(Place::Named { parent, name }) = self.node(ino)?.place.clone() else {
            return self.set_count(change, change.after);
        };
        let directory = self.directory(parent)?;
        let flags = AtFlags::empty();
        match fs::linkat(&directory, &*name, store.links(), number_name(ino), flags) {
            // What a crash left of an earlier try is the same file.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let place = Some(Place::Linked);
        let linked = Node {
            lower: None,
            place,
            removed: false,
        };
        self.set_count(change, change.after)
            .inspect_err(|_| names::remove_again(store.links(), &number_name(ino)))?;
        self.nodes.set(ino, linked);
        Ok(())
    }

    fn set_count(&self, change: &CountChange, count: u32) -> FsResult<()> {
        let store = self.store()?;
        if change.home == Home::Lower {
            return store.set_link_count(change.ino, count);
        }
        if change.after == 0 {
            return intent::bring_back(store, change.ino);
        }
        let object = self.object(change.ino, &Place::Linked)?;
        // A record may be moved to where it takes no block, or to where it does.
        let _watched = self.watch_moved(change.ino, &object)?;
        intent::record_count(object, count)
    }

    /// What is to be done when the home of an inode is in its grave.
    fn bury(&self, ino: Ino, in_use: bool) {
        if in_use {
            let place = Some(Place::Orphan);
            self.nodes.set(
                ino,
                Node {
                    lower: None,
                    place,
                    removed: true,
                },
            );
            if let Err(error) = self.sweep_orphan(ino) {
                log::warn!("cannot empty the orphan {ino}: {error}; the next start will");
            }
        } else if let Err(error) = self.discard(ino) {
            log::warn!("cannot discard inode {ino}: {error}; the next start will");
        }
    }

    /// Removes what is in `work` of an inode that is gone: its map first, so that what a crash
    /// leaves is found.
    fn discard(&self, ino: Ino) -> FsResult<()> {
        self.drop_map(ino)?;
        let (dir, name) = intent::grave(self.store()?, ino, false);
        self.release(ino, dir, &name);
        names::remove_tree(dir, name.as_str())
    }

    /// Takes the whole home of an inode with one name away: into `orphans` while the kernel knows
    /// it. `remainder` stays under the name. Under the `names` lock, for writing.
    pub(super) fn dispose(
        &self,
        ino: Ino,
        directory: &OwnedFd,
        name: EntryName<'_>,
        remainder: Remainder<'_>,
    ) -> FsResult<()> {
        let store = self.store()?;
        if let Some(quota) = self.quota() {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            quota.moved(&fs::statat(directory, name.as_bytes(), flags)?);
        }
        let in_use = self.nodes.is_known(ino);
        let (target, target_name) = intent::grave(store, ino, in_use);
        let target_name = target_name.as_str();
        match remainder {
            Remainder::Whiteout => {
                // The two change places: one call.
                let number = EntryName::new(target_name.as_bytes())?;
                names::put_whiteout(store.work(), target, number)?;
                names::exchange(target, target_name, directory.as_fd(), name.as_bytes())
                    .inspect_err(|_| names::remove_again(target, target_name))?;
            }
            Remainder::Device(device) => {
                device.replace(directory.as_fd(), name, (target, target_name))?;
            }
            Remainder::Nothing => {
                fs::renameat(directory, name.as_bytes(), target, target_name)?;
            }
        }
        self.bury(ino, in_use);
        Ok(())
    }

    /// A directory that was removed may still have whiteouts in it.
    fn sweep_orphan(&self, ino: Ino) -> FsResult<()> {
        let object = self.object(ino, &Place::Orphan)?;
        if object.record().kind == FileKind::Directory {
            self.listings.evict(ino);
            let directory = self.directory(ino)?;
            keeping_times(&directory, || names::remove_all_below(directory.as_fd()))?;
        }
        Ok(())
    }
}
