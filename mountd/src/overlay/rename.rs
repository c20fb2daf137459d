//! Renaming.
//!
//! What moves is copied up first: a file whole, a directory without its contents but with a
//! *redirect* to the directory of the lower that it goes on showing. Then the store renames. Where
//! that takes two calls of the host, an intent is declared before the first (see
//! [`crate::upper::intent`]), so that a crash in between is completed by the next opening.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use crate::upper::calls as fs;

use super::Overlay;
use super::create::{NewInode, fill};
use super::find::{Found, Source};
use super::listing::expect_directory;
use super::node::{Node, Place, Tracked};
use super::node_journal::Move;
use crate::error::{FsError, FsResult};
use crate::types::{Caller, EntryName, FileKind, Ino};
use crate::upper::intent::{Becomes, RenameIntent};
use crate::upper::names::{self, UpperName};
use crate::upper::object::UpperObject;
use crate::upper::record::Record;
use crate::upper::remainder::{Device, Remainder};

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

impl End<'_> {
    fn rename(&self, to: &Self) -> FsResult<()> {
        let names = (self.name.as_bytes(), to.name.as_bytes());
        Ok(fs::renameat(
            &self.directory,
            names.0,
            &to.directory,
            names.1,
        )?)
    }

    fn change_places(&self, with: &Self) -> FsResult<()> {
        names::exchange(
            self.directory.as_fd(),
            self.name.as_bytes(),
            with.directory.as_fd(),
            with.name.as_bytes(),
        )
    }
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
        self.rename_for(0, (parent, name), (new_parent, new_name), mode)
    }

    /// The same for the kernel's request of this number: a daemon that has to carry it out again
    /// will know whether this one did.
    pub(super) fn rename_for(
        &self,
        request: u64,
        (parent, name): (Ino, EntryName<'_>),
        (new_parent, new_name): (Ino, EntryName<'_>),
        mode: RenameMode,
    ) -> FsResult<()> {
        self.store_for(parent)?;
        self.store_for(new_parent)?;
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
        let _watched = (
            self.watch(parent, Arc::clone(&directory))?,
            self.watch(new_parent, Arc::clone(&new_directory))?,
        );
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
        let announce = |found: &Found, end: &End<'_>, which| {
            let planned = Move {
                request,
                ino: found.ino,
                parent: end.parent,
                name: end.name.as_bytes().into(),
            };
            self.nodes.announce(&planned, which);
        };
        announce(&found, &to, false);
        if let (RenameMode::Exchange, Some(other)) = (mode, &replaced) {
            announce(other, &from, true);
        }
        match (mode, replaced) {
            (RenameMode::Exchange, Some(other)) => self.exchange(&from, found, &to, other),
            (RenameMode::Exchange, None) => Err(FsError::NotFound),
            (_, replaced) => {
                let remainder = self.remainder(&from, mode)?;
                let device = matches!(remainder, Remainder::Device(_)) && self.quota().is_some();
                self.replace(&from, found, &to, replaced, remainder)?;
                if device
                    && let UpperName::Object(device) =
                        names::look_up(from.directory.as_fd(), from.name)?
                {
                    self.count_new(device.as_fd())?;
                }
                Ok(())
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
    fn remainder(&self, from: &End<'_>, mode: RenameMode) -> FsResult<Remainder<'_>> {
        let RenameMode::Whiteout { caller, .. } = mode else {
            let whiteout = self.lower_shows(&from.node, from.name)?;
            return Ok(Remainder::whiteout(whiteout));
        };
        let new = NewInode {
            kind: FileKind::CharDevice,
            permissions: 0,
            umask: 0,
            rdev: 0,
            target: b"",
            caller,
        };
        self.admit_new(new.kind)?;
        let (record, inherited) = self.prepare(&from.directory, &new)?;
        let work = self.store()?.work();
        let device = Device::new(work, record, |file| fill(file, &new, &inherited))?;
        Ok(Remainder::Device(device))
    }

    fn replace(
        &self,
        from: &End<'_>,
        found: Found,
        to: &End<'_>,
        replaced: Option<Found>,
        remainder: Remainder<'_>,
    ) -> FsResult<()> {
        let object = self.prepare_to_move(from, &found)?;
        let is_directory = object.record().kind == FileKind::Directory;
        let change = match &replaced {
            Some(replaced) => self.one_name_less(replaced)?,
            None => None,
        };
        if replaced.is_some() {
            begin_to_store(&object);
        }
        let becomes = Becomes::Inode(found.ino);
        self.with_count(change, (to.parent, to.name), becomes, || {
            self.move_name(&found, is_directory, from, to, remainder)
        })?;
        self.moved(&found, to);
        if let Some(replaced) = &replaced {
            self.lost_name(replaced, change);
        }
        Ok(())
    }

    /// Gives what moves its new name and takes the old one from it, leaving what is to be left: all
    /// of that or nothing.
    fn move_name(
        &self,
        found: &Found,
        is_directory: bool,
        from: &End<'_>,
        to: &End<'_>,
        remainder: Remainder<'_>,
    ) -> FsResult<()> {
        let mut there = names::look_up(to.directory.as_fd(), to.name)?;
        if let UpperName::Remains = there {
            names::remove_tree(to.directory.as_fd(), to.name.as_bytes())?;
            there = UpperName::Absent;
        }
        let victim = match &there {
            UpperName::Object(object) if !object.record().linked => Some(object.record().ino),
            _ => None,
        };
        // A directory cannot be renamed over a whiteout, but can change places with it.
        let over_whiteout = is_directory && matches!(there, UpperName::Whiteout);
        let leaves = remainder.becomes();
        if leaves == Becomes::Nothing && victim.is_none() && !over_whiteout {
            return from.rename(to);
        }
        let intent = RenameIntent {
            ino: found.ino,
            from: &self.path_of(from.parent, from.name)?,
            to: &self.path_of(to.parent, to.name)?,
            leaves,
            replaced: match &there {
                UpperName::Object(object) => Some(object.record().ino),
                _ => None,
            },
        };
        let standing = intent.declare(self.store()?)?;
        let is_absent = matches!(there, UpperName::Absent);
        if is_absent {
            from.rename(to)?;
        } else {
            from.change_places(to)?;
        }
        let tidied = match (victim, remainder) {
            (Some(victim), remainder) => {
                self.dispose(victim, &from.directory, from.name, remainder)
            }
            // It was a whiteout that came here.
            (None, Remainder::Whiteout) if matches!(there, UpperName::Whiteout) => Ok(()),
            (None, Remainder::Whiteout) => {
                let work = self.store()?.work();
                names::put_whiteout(work, from.directory.as_fd(), from.name)
            }
            (None, Remainder::Device(device)) => device.put(from.directory.as_fd(), from.name),
            (None, Remainder::Nothing) => {
                names::remove_tree(from.directory.as_fd(), from.name.as_bytes())
            }
        };
        let Err(error) = tidied else {
            return Ok(());
        };
        let undone = if is_absent {
            to.rename(from)
        } else {
            from.change_places(to)
        };
        if let Err(second) = undone {
            log::error!("a rename stays half done until the next start: {second}");
            standing.abandon();
        }
        Err(error)
    }

    fn exchange(&self, from: &End<'_>, found: Found, to: &End<'_>, other: Found) -> FsResult<()> {
        self.prepare_to_move(from, &found)?;
        self.prepare_to_move(to, &other)?;
        from.change_places(to)?;
        self.moved(&found, to);
        self.moved(&other, from);
        Ok(())
    }

    /// Makes sure that the store has the name that moves, and that a directory says what it shows.
    fn prepare_to_move(&self, end: &End<'_>, found: &Found) -> FsResult<UpperObject> {
        let mut object = self.own_name(found.ino, &end.directory, end.name)?;
        let _watched = self.watch_moved(found.ino, &object)?;
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
        if matches!(self.nodes.get(found.ino), Tracked::Unknown) {
            // Nobody would ever give it back; its new name will say where it is.
            return;
        }
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
}

/// Sends the data of a file, which is about to replace another one, on their way to the disk.
///
/// Programs that write a new file and rename it over the old one, without a sync, get the old or
/// the new contents after a loss of power on ext4, which does the same; but not when names change
/// places, as they do here. Nothing waits for it.
fn begin_to_store(object: &UpperObject) {
    // The one call that starts to write and does nothing else that matters: what it drops of the
    // page cache is a second copy, the mount has its own.
    if object.record().kind == FileKind::Regular
        && let Err(errno) = fs::fadvise(object, 0, None, fs::Advice::DontNeed)
    {
        log::debug!("cannot begin to store what replaces a file: {errno}");
    }
}
