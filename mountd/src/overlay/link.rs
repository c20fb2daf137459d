//! Hard links.
//!
//! An inode that gets a second name moves its home to the store's `links` directory; its names
//! are then hard links of that file, and its record counts them. The count is raised before a
//! name is made and lowered after one went: a crash can leave it too high, which costs space,
//! never too low, which would cost data.
//!
//! A file that was made without a name gets its first one by one rename out of `orphans`.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{self, AtFlags};
use rustix::io::Errno;

use super::copy_up::keeping_times;
use super::node::{Node, Place};
use super::{LookedUp, Overlay};
use crate::error::{FsError, FsResult};
use crate::types::{EntryName, FileKind, Ino};
use crate::upper::names::{self, UpperName};
use crate::upper::record::Record;
use crate::upper::remainder::Remainder;
use crate::upper::{DISCARDED, number_name};

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
        self.copy_up(ino, u64::MAX)?;
        let _names = self.names.write();
        let node = self.node(parent)?;
        if node.removed || node.place == Some(Place::Orphan) {
            return Err(FsError::NotFound);
        }
        if self.find(parent, &node, name)?.is_some() {
            return Err(FsError::Exists);
        }
        let directory = self.copy_up_directory(parent)?;
        names::clear_remains(directory.as_fd(), name)?;
        if self.node(ino)?.place == Some(Place::Orphan) {
            self.give_first_name(ino, (parent, name), &directory)?;
        } else {
            self.add_name(ino, name, &directory)?;
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
        let record = *object.record();
        if !record.unnamed {
            return Err(FsError::NotFound);
        }
        // First: what has a name must not say that it never had one.
        object.set_record(Record {
            unnamed: false,
            ..record
        })?;
        let number = number_name(ino);
        let orphans = self.store()?.orphans();
        if let Err(errno) = fs::renameat(orphans, number.as_str(), directory, name.as_bytes()) {
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
    fn add_name(&self, ino: Ino, name: EntryName<'_>, directory: &OwnedFd) -> FsResult<()> {
        self.settle_in_links(ino)?;
        self.change_link_count(ino, 1)?;
        let store = self.store()?;
        let number = number_name(ino);
        let linked = match names::look_up(directory.as_fd(), name)? {
            UpperName::Whiteout => {
                // A link cannot replace a name, but can be renamed over one.
                let draft = format!("l{number}");
                let flags = AtFlags::empty();
                fs::linkat(
                    store.links(),
                    number.as_str(),
                    store.work(),
                    draft.as_str(),
                    flags,
                )
                .and_then(|()| {
                    fs::renameat(store.work(), draft.as_str(), directory, name.as_bytes())
                })
            }
            _ => {
                let flags = AtFlags::empty();
                fs::linkat(
                    store.links(),
                    number.as_str(),
                    directory,
                    name.as_bytes(),
                    flags,
                )
            }
        };
        if let Err(errno) = linked {
            self.change_link_count(ino, -1)?;
            return Err(match errno {
                Errno::MLINK => FsError::TooManyLinks,
                other => other.into(),
            });
        }
        Ok(())
    }

    /// Moves the home of an inode that has one name to `links`.
    fn settle_in_links(&self, ino: Ino) -> FsResult<()> {
        let node = self.node(ino)?;
        let (parent, name) = match &node.place {
            Some(Place::Linked) => return Ok(()),
            Some(Place::Named { parent, name }) => (*parent, name.clone()),
            Some(Place::Orphan) => return Err(FsError::NotFound),
            Some(Place::Root) | None => return Err(FsError::Stale),
        };
        let store = self.store()?;
        let directory = self.directory(parent)?;
        let number = number_name(ino);
        match fs::linkat(
            &directory,
            &*name,
            store.links(),
            number.as_str(),
            AtFlags::empty(),
        ) {
            // What a crash left of an earlier try is the same file.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let mut object = self.object(ino, &Place::Linked)?;
        let record = *object.record();
        object.set_record(Record {
            linked: true,
            nlink: 1,
            ..record
        })?;
        let place = Some(Place::Linked);
        self.nodes.set(
            ino,
            Node {
                lower: None,
                place,
                removed: false,
            },
        );
        Ok(())
    }

    /// Changes how many names an inode in `links` has, and returns how many are left.
    pub(super) fn change_link_count(&self, ino: Ino, change: i32) -> FsResult<u32> {
        let mut object = self.object(ino, &Place::Linked)?;
        let mut record = *object.record();
        record.nlink = record.nlink.saturating_add_signed(change);
        object.set_record(record)?;
        Ok(record.nlink)
    }

    /// Takes one name from an inode in `links`. The store's own name, if there was one, is
    /// already gone. Under the `names` lock, for writing.
    pub(super) fn drop_link(&self, ino: Ino) -> FsResult<()> {
        if self.change_link_count(ino, -1)? > 0 {
            return Ok(());
        }
        let store = self.store()?;
        let number = number_name(ino);
        if self.nodes.is_known(ino) {
            fs::renameat(
                store.links(),
                number.as_str(),
                store.orphans(),
                number.as_str(),
            )?;
            let place = Some(Place::Orphan);
            self.nodes.set(
                ino,
                Node {
                    lower: None,
                    place,
                    removed: true,
                },
            );
        } else {
            self.drop_map(ino)?;
            fs::unlinkat(store.links(), number.as_str(), AtFlags::empty())?;
        }
        Ok(())
    }

    /// Takes the whole home of an inode with one name away: into `orphans` while the kernel knows
    /// it. `remainder` stays under the name. Under the `names` lock, for writing.
    pub(super) fn dispose(
        &self,
        ino: Ino,
        directory: &OwnedFd,
        name: EntryName<'_>,
        remainder: Option<Remainder<'_>>,
    ) -> FsResult<()> {
        let store = self.store()?;
        let (target, target_name) = if self.nodes.is_known(ino) {
            (store.orphans(), number_name(ino))
        } else {
            (store.work(), format!("{DISCARDED}{}", ino.0))
        };
        match remainder {
            Some(remainder) => {
                remainder.replace(directory.as_fd(), name, (target, target_name.as_str()))?;
            }
            None => fs::renameat(directory, name.as_bytes(), target, target_name.as_str())?,
        }
        if self.nodes.is_known(ino) {
            let place = Some(Place::Orphan);
            self.nodes.set(
                ino,
                Node {
                    lower: None,
                    place,
                    removed: true,
                },
            );
            self.sweep_orphan(ino)?;
        } else {
            self.drop_map(ino)?;
            names::remove_quietly(store.work(), &target_name);
        }
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
