//! Copy-up: an inode of the lower gets its place in the store, because it is about to change.
//!
//! Steps for a file: draft in the work directory, data (of a large file none, see `blocks`) which
//! are made durable, attributes, record, then one rename into place. A crash before the rename leaves nothing but a draft that the next opening sweeps; after
//! it, everything. Directories are made empty. What a copy-up must not be seen by: the number, all
//! attributes and times, and the times of the directory that it happens in.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use parking_lot::MutexGuard;

use crate::upper::calls::{self as fs, OFlags, XattrFlags};

use super::Overlay;
use super::hydrate::GIVEN_UP;
use super::node::{Node, Place};
use super::quota::space_of_copy;
use crate::error::{FsError, FsResult};
use crate::lower::{LowerFile, LowerNode};
use crate::types::{Attr, EntryName, FileKind, Ino, Timestamp};
use crate::upper::data::write_all;
use crate::upper::object::{UpperObject, attr_of};
use crate::upper::quota::Reservation;
use crate::upper::record::Record;
use crate::upper::{Draft, LinkedInode, UpperStore, guest_xattr, names, number_name, symlink};

/// How much is copied by one call.
const CHUNK: usize = 1 << 20;

impl Overlay {
    /// Gives an inode its place in the store, if it has none yet. Of a regular file the first
    /// `keep` bytes are copied; the caller is about to cut it there.
    ///
    /// Takes the copy-up lock and the `names` lock; call it with neither held.
    ///
    /// # Errors
    /// `ReadOnly` without a store or in a part that may not be changed, else those of the layers; the
    /// inode is then as before.
    pub(super) fn copy_up(&self, ino: Ino, keep: u64) -> FsResult<()> {
        let store = self.store_for(ino)?;
        if self.in_store(ino)? {
            return Ok(());
        }
        let _one_at_a_time = self.copy_up_lock(ino);
        let attr = {
            let _names = self.names.read();
            let node = self.node(ino)?;
            if node.place.is_some() {
                return Ok(());
            }
            self.attr_of(ino, &node)?
        };
        self.admit_new(attr.kind)?;
        if attr.kind == FileKind::Directory {
            let _names = self.names.write();
            return self.copy_up_directory(ino).map(drop);
        }
        let lower = LowerNode(ino.0);
        let draft = Draft::new(store.work(), attr.kind)?;
        let (partial, _reserved) = self.fill(lower, &attr, draft.file()?, keep)?;
        let record = Record {
            partial,
            ..record_of(&attr, ino)
        };
        let _names = self.names.write();
        self.publish_file(record, draft, None)?;
        self.living.tell(ino, &attr);
        Ok(())
    }

    /// The lock of copying an inode up.
    pub(super) fn copy_up_lock(&self, ino: Ino) -> Option<MutexGuard<'_, ()>> {
        let slot = usize::try_from(ino.0 % self.copy_ups.len() as u64).unwrap_or(0);
        self.copy_ups.get(slot).map(parking_lot::Mutex::lock)
    }

    /// Whether an inode has its place in the store already.
    ///
    /// # Errors
    /// `Stale` for a number that is not known.
    pub fn in_store(&self, ino: Ino) -> FsResult<bool> {
        let _names = self.names.read();
        Ok(self.node(ino)?.place.is_some())
    }

    /// Fills a draft; true if blocks stay the lower's. What was reserved for it is given back after it
    /// was counted.
    fn fill(
        &self,
        lower: LowerNode,
        attr: &Attr,
        draft: BorrowedFd<'_>,
        keep: u64,
    ) -> FsResult<(bool, Option<Reservation>)> {
        let mut filled = (false, None);
        match attr.kind {
            FileKind::Regular => {
                let source = self.lower.open(lower)?;
                let length = attr.size.min(keep);
                filled = self.fill_data(Ino(lower.0), attr, &*source, draft, length)?;
            }
            FileKind::Symlink => symlink::write(draft, &self.lower.read_link(lower)?)?,
            _ => {}
        }
        self.copy_xattrs(lower, draft)?;
        names::set_times(draft, Some(attr.atime), Some(attr.mtime))?;
        Ok(filled)
    }

    fn fill_data(
        &self,
        ino: Ino,
        attr: &Attr,
        source: &dyn LowerFile,
        draft: BorrowedFd<'_>,
        length: u64,
    ) -> FsResult<(bool, Option<Reservation>)> {
        let by_block = self.copies_by_block(length);
        // Shared blocks count as others do.
        if !by_block || source.backing().is_some() {
            match self.reserve_copy(source, length) {
                Ok(reserved) => {
                    if clone_data(source, draft, length)? {
                        return Ok((false, reserved));
                    }
                }
                Err(_) if by_block => {}
                Err(error) => return Err(error),
            }
        }
        if by_block && self.begin_partial(ino, attr, draft, length)? {
            return Ok((true, None));
        }
        let reserved = self.reserve_copy(source, length)?;
        copy_data(source, draft, length, &|| true)?;
        make_durable(draft, length)?;
        Ok((false, reserved))
    }

    /// Reserves the space that a copy of the data takes.
    fn reserve_copy(&self, source: &dyn LowerFile, length: u64) -> FsResult<Option<Reservation>> {
        let Some(quota) = self.quota() else {
            return Ok(None);
        };
        let space = space_of_copy(source, length, quota.block_size())?;
        quota.reserve(space).map(Some)
    }

    pub(super) fn copy_xattrs(&self, lower: LowerNode, draft: BorrowedFd<'_>) -> FsResult<()> {
        for name in self.lower.xattr_names(lower)? {
            if let Some(value) = self.lower.xattr(lower, &name)? {
                guest_xattr::set(draft, &name, &value, XattrFlags::empty())?;
            }
        }
        Ok(())
    }

    /// Gives a filled draft its place. The names may have changed while it was filled: the inode
    /// may have lost its last one. `links` is how many names it had in the lower, if it is to be
    /// published although that has it no more.
    pub(super) fn publish_file(
        &self,
        mut record: Record,
        draft: Draft<'_>,
        links: Option<u32>,
    ) -> FsResult<()> {
        let ino = record.ino;
        let store = self.store()?;
        let node = self.node(ino)?;
        let number = number_name(ino);
        let number = EntryName::new(number.as_bytes())?;
        let links_of = |attr: FsResult<Attr>| match (attr, links) {
            (Err(FsError::Stale), Some(links)) => Ok(links),
            (attr, _) => attr.map(|attr| attr.nlink),
        };
        let nlink = links_of(self.attr_of(ino, &node))?;
        let place = if node.removed {
            let object = draft.publish(record, store.orphans(), number)?;
            self.count_new(object.as_fd())?;
            Place::Orphan
        } else if links_of(self.lower.attr(LowerNode(ino.0)))? > 1 {
            record.linked = true;
            record.nlink = nlink;
            let object = draft.publish(record, store.links(), number)?;
            self.count_new(object.as_fd())?;
            Place::Linked
        } else {
            let (parent, name) = self
                .lower
                .location(LowerNode(ino.0))?
                .ok_or(FsError::InvalidArgument)?;
            let parent = Ino(parent.0);
            let directory = self.copy_up_directory(parent)?;
            let name_in_parent = EntryName::new(&name)?;
            self.taken.note(ino, parent, &name)?;
            let _watched = self.watch(parent, &directory)?;
            let object = keeping_times(&directory, || {
                draft.publish(record, directory.as_fd(), name_in_parent)
            })?;
            self.count_new(object.as_fd())?;
            self.listings.evict(parent);
            Place::Named { parent, name }
        };
        self.nodes.set(
            ino,
            Node {
                lower: None,
                place: Some(place),
                removed: node.removed,
            },
        );
        self.files.evict(ino);
        Ok(())
    }

    /// The store's directory of a directory of the merged tree, made with all above it where the
    /// store does not have them yet. Under the `names` lock, for writing.
    pub(super) fn copy_up_directory(&self, ino: Ino) -> FsResult<Arc<OwnedFd>> {
        let store = self.store_for(ino)?;
        let node = self.node(ino)?;
        if node.place.is_some() {
            return self.directory(ino);
        }
        if node.removed {
            return self.copy_up_removed_directory(store, ino);
        }
        let lower = LowerNode(ino.0);
        let attr = self.lower.attr(lower)?;
        if attr.kind != FileKind::Directory {
            return Err(FsError::NotDirectory);
        }
        let (parent, name) = self.lower.location(lower)?.ok_or(FsError::Stale)?;
        let parent = Ino(parent.0);
        let above = self.copy_up_directory(parent)?;
        let draft = self.directory_draft(store, lower, &attr)?;
        let name_above = EntryName::new(&name)?;
        self.taken.note(ino, parent, &name)?;
        let _watched = self.watch(parent, &above)?;
        let object = keeping_times(&above, || {
            draft.publish(record_of(&attr, ino), above.as_fd(), name_above)
        })?;
        self.count_new(object.as_fd())?;
        let place = Place::Named { parent, name };
        self.nodes.set(
            ino,
            Node {
                lower: Some(lower),
                place: Some(place),
                removed: false,
            },
        );
        self.listings.evict(parent);
        self.directory(ino)
    }

    pub(super) fn directory_draft<'a>(
        &self,
        store: &'a UpperStore,
        lower: LowerNode,
        attr: &Attr,
    ) -> FsResult<Draft<'a>> {
        let draft = Draft::new(store.work(), FileKind::Directory)?;
        self.copy_xattrs(lower, draft.file()?)?;
        names::set_times(draft.file()?, Some(attr.atime), Some(attr.mtime))?;
        Ok(draft)
    }

    /// A directory that was removed while somebody stands in it can still be given other
    /// attributes.
    fn copy_up_removed_directory(&self, store: &UpperStore, ino: Ino) -> FsResult<Arc<OwnedFd>> {
        let lower = LowerNode(ino.0);
        let attr = self.lower.attr(lower)?;
        let draft = self.directory_draft(store, lower, &attr)?;
        let number = number_name(ino);
        let record = Record {
            opaque: true,
            ..record_of(&attr, ino)
        };
        let object = draft.publish(record, store.orphans(), EntryName::new(number.as_bytes())?)?;
        self.count_new(object.as_fd())?;
        self.nodes.set(
            ino,
            Node {
                lower: None,
                place: Some(Place::Orphan),
                removed: true,
            },
        );
        self.directory(ino)
    }

    /// Makes sure that a name which is about to move or go is the store's own. Returns the
    /// inode's object. Under the `names` lock, for writing; the inode was copied up.
    pub(super) fn own_name(
        &self,
        ino: Ino,
        directory: &Arc<OwnedFd>,
        name: EntryName<'_>,
    ) -> FsResult<UpperObject> {
        let store = self.store()?;
        if let names::UpperName::Object(object) = names::look_up(directory.as_fd(), name)? {
            return Ok(object);
        }
        match store.linked(ino)? {
            LinkedInode::Copied(object) => {
                let number = number_name(ino);
                let flags = fs::AtFlags::empty();
                keeping_times(directory, || {
                    fs::linkat(
                        store.links(),
                        number.as_str(),
                        directory,
                        name.as_bytes(),
                        flags,
                    )?;
                    Ok(())
                })?;
                Ok(object)
            }
            LinkedInode::Counted(_) | LinkedInode::Unknown => Err(FsError::Stale),
        }
    }
}

/// The record of an inode of the lower.
pub(super) fn record_of(attr: &Attr, ino: Ino) -> Record {
    Record {
        kind: attr.kind,
        permissions: attr.permissions,
        uid: attr.uid,
        gid: attr.gid,
        rdev: attr.rdev,
        ino,
        nlink: 0,
        opaque: false,
        linked: false,
        partial: false,
        unnamed: false,
        pristine: false,
        birth: attr.assumed_birth(),
    }
}

/// Does something to a directory of the store that the WPAR must not see in its times.
pub(super) fn keeping_times<T>(
    directory: &Arc<OwnedFd>,
    change: impl FnOnce() -> FsResult<T>,
) -> FsResult<T> {
    let before: (Timestamp, Timestamp) = {
        let object = UpperObject::from_fd(Arc::clone(directory))?.ok_or(FsError::Stale)?;
        let attr = attr_of(object.record(), &object.stat()?, 0);
        (attr.atime, attr.mtime)
    };
    let result = change()?;
    // It is done: an error would say that it is not.
    if let Err(error) = names::set_times(directory.as_fd(), Some(before.0), Some(before.1)) {
        log::warn!("a directory of the store keeps the time of a copy-up: {error}");
    }
    Ok(result)
}

/// Copies by reference, if both files are on one file system that can share blocks and all of the
/// source is wanted; false if that cannot be.
pub(super) fn clone_data(
    source: &dyn LowerFile,
    draft: BorrowedFd<'_>,
    length: u64,
) -> FsResult<bool> {
    let Some(backing) = source.backing() else {
        return Ok(false);
    };
    Ok(fs::fstat(backing)?.st_size.cast_unsigned() == length
        && fs::ioctl_ficlone(draft, backing).is_ok())
}

/// Copies the first `length` bytes, keeping holes, until `go_on` says no.
pub(super) fn copy_data(
    source: &dyn LowerFile,
    draft: BorrowedFd<'_>,
    length: u64,
    go_on: &dyn Fn() -> bool,
) -> FsResult<()> {
    let mut buffer = Vec::new();
    let mut at = 0;
    while at < length {
        let Some((start, end)) = source.next_data(at)? else {
            break;
        };
        let end = end.min(length);
        at = start.max(at);
        while at < end {
            if !go_on() {
                return Err(GIVEN_UP);
            }
            let want = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
            buffer.resize(want, 0);
            let got = source.read_at(&mut buffer, at)?;
            if got == 0 {
                break;
            }
            write_all(draft, buffer.get(..got).unwrap_or(&[]), at)?;
            at += got as u64;
        }
        if at < end {
            // The lower is shorter than it said: a living source. What is left is a hole.
            break;
        }
    }
    Ok(fs::ftruncate(draft, length)?)
}

/// Names reach the disk when the host's file system likes, data later: without this, a loss of
/// power would leave the name of what was copied, and nothing in it, where the lower's file was.
fn make_durable(draft: BorrowedFd<'_>, length: u64) -> FsResult<()> {
    if length > 0 {
        fs::fdatasync(draft)?;
    }
    Ok(())
}

/// How the data of a file of the store is opened.
pub(super) const READ_WRITE: OFlags = OFlags::RDWR;
