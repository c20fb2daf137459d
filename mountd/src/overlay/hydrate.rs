//! Hydration: what nobody changed is brought from a living lower into the store, name by name, so
//! that the lower can change, or go, without being seen.
//!
//! What always holds:
//! * A file gets its place in the store whole, with the attributes that it had before and after it
//!   was copied; nothing is locked while its data is copied, and who writes to it meanwhile wins.
//! * Number, contents and attributes stay as they were. Its record says that it is pristine until
//!   somebody changes it.
//! * A directory is closed ([`super::closed`]) only when the store has an answer for every name that
//!   the lower has in it.
//!
//! Which names, in which order, and how far it is, is not decided here (see [`crate::hydrate`]).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::copy_up::{clone_data, copy_data, keeping_times, record_of};
use super::find::Source;
use super::node::Place;
use super::quota::space_of_copy;
use super::{LookedUp, Overlay};
use crate::error::{FsError, FsResult};
use crate::lower::LowerNode;
use crate::types::{Attr, EntryName, FileKind, Ino, Timestamp};
use crate::upper::calls as fs;
use crate::upper::names::{self, UpperName};
use crate::upper::object::{UpperObject, times_of};
use crate::upper::quota::Reservation;
use crate::upper::record::Record;
use crate::upper::{Draft, symlink};

/// How often a file is copied that changes meanwhile, before its last copy is taken as it is.
const ATTEMPTS: u32 = 4;

/// How often a name is looked up that the lower gives to another file each time.
const REPLACED: u32 = 20;

/// What became of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hydrated {
    /// The store had it already.
    Ours,
    /// It is not there any more.
    Gone,
    /// A directory, which the store has now; what is in it comes next.
    Directory,
    /// A copy of it is ready, and will be seen after [`Hydrator::publish`].
    Ready {
        /// Bytes that it takes in the lower.
        bytes: u64,
        /// When the lower changed it last.
        changed: Timestamp,
        /// Whether it changed each time while it was copied: the copy may be of no one moment.
        torn: bool,
    },
}

/// A copy that waits to be seen.
#[derive(Debug)]
struct Ready<'a> {
    inode: LookedUp<'a>,
    parent: Ino,
    name: Box<[u8]>,
    draft: Draft<'a>,
    record: Record,
    /// Its attributes in the lower, when it was copied.
    attr: Attr,
    _reserved: Option<Reservation>,
}

/// Brings names into the store, several at a time: to make one copy durable costs as much as to make
/// many.
#[derive(Debug)]
pub struct Hydrator<'a> {
    overlay: &'a Overlay,
    ready: Vec<Ready<'a>>,
    bytes: u64,
}

impl<'a> Hydrator<'a> {
    /// Of `overlay`.
    pub fn new(overlay: &'a Overlay) -> Self {
        Self {
            overlay,
            ready: Vec::new(),
            bytes: 0,
        }
    }

    /// How many copies wait, and their bytes.
    pub fn waiting(&self) -> (usize, u64) {
        (self.ready.len(), self.bytes)
    }

    /// Makes a copy of what `name` is in the directory `parent`, which the caller keeps known, until
    /// `go_on` says no.
    ///
    /// # Errors
    /// `CANCELED` if it said so; those of the layers, and `NOSPC` of a limited store.
    pub fn add(
        &mut self,
        parent: Ino,
        name: EntryName<'_>,
        go_on: &dyn Fn() -> bool,
    ) -> FsResult<Hydrated> {
        // Each time that the lower puts another file there, it is the other one's turn.
        for _ in 0..REPLACED {
            match self.add_once(parent, name, go_on) {
                Err(FsError::Stale) => {}
                added => return added,
            }
        }
        Err(FsError::Stale)
    }

    fn add_once(
        &mut self,
        parent: Ino,
        name: EntryName<'_>,
        go_on: &dyn Fn() -> bool,
    ) -> FsResult<Hydrated> {
        let overlay = self.overlay;
        let Some(inode) = overlay.lookup(parent, name)? else {
            return Ok(Hydrated::Gone);
        };
        let ino = inode.ino();
        if inode.attr().kind == FileKind::Directory {
            overlay.hydrate_directory(ino)?;
            return Ok(Hydrated::Directory);
        }
        if overlay.in_store(ino)? {
            overlay.own_link(ino, parent, name)?;
            if overlay.is_partly_copied(ino)? {
                overlay.complete(ino)?;
            }
            return Ok(Hydrated::Ours);
        }
        let copied = overlay.copy_of(LowerNode(ino.0), go_on)?;
        let bytes = copied.attr.blocks.saturating_mul(512);
        let (changed, torn) = (copied.attr.ctime, copied.torn);
        self.bytes += bytes;
        self.ready.push(Ready {
            inode,
            parent,
            name: name.as_bytes().into(),
            draft: copied.draft,
            record: Record {
                pristine: true,
                ..record_of(&copied.attr, ino)
            },
            attr: copied.attr,
            _reserved: copied.reserved,
        });
        Ok(Hydrated::Ready {
            bytes,
            changed,
            torn,
        })
    }

    /// Lets the copies be seen. What somebody else was faster with is dropped; and so is what the lower
    /// has replaced or removed since, unless this copy is to `stand_for` it.
    ///
    /// # Errors
    /// The first that failed; the others were tried.
    pub fn publish(&mut self, stand_for: bool) -> FsResult<()> {
        self.bytes = 0;
        let mut result = Ok(());
        for ready in std::mem::take(&mut self.ready) {
            let published = self.overlay.publish_copy(ready, stand_for);
            // Gone since: as if it had never been met.
            if let Err(error) = published
                && error != FsError::Stale
                && result.is_ok()
            {
                result = Err(error);
            }
        }
        result
    }
}

/// The space that was reserved for a copy, and size and time of the file that was read after that,
/// wherever its name is now.
type Filled = (Option<Reservation>, Option<(u64, Timestamp)>);

/// A copy of a file of the lower that nobody sees yet.
struct Copied<'a> {
    draft: Draft<'a>,
    attr: Attr,
    torn: bool,
    reserved: Option<Reservation>,
}

impl Overlay {
    fn copy_of(&self, lower: LowerNode, go_on: &dyn Fn() -> bool) -> FsResult<Copied<'_>> {
        let mut attempt = 1;
        loop {
            let attr = self.lower.attr(lower)?;
            self.admit_new(attr.kind)?;
            let draft = Draft::new(self.store()?.work(), attr.kind)?;
            let (reserved, after) = self.fill_copy(lower, &attr, draft.file()?, go_on)?;
            let torn = match self.lower.attr(lower) {
                // Its last name is gone, or another file's, which is no change of what is in it.
                Err(FsError::Stale) if after.is_some() => after != Some((attr.size, attr.mtime)),
                after => {
                    let after = after?;
                    (attr.size, attr.mtime, attr.ctime) != (after.size, after.mtime, after.ctime)
                }
            };
            if !torn || attempt == ATTEMPTS {
                return Ok(Copied {
                    draft,
                    attr,
                    torn,
                    reserved,
                });
            }
            attempt += 1;
        }
    }

    /// Fills a draft.
    fn fill_copy(
        &self,
        lower: LowerNode,
        attr: &Attr,
        draft: BorrowedFd<'_>,
        go_on: &dyn Fn() -> bool,
    ) -> FsResult<Filled> {
        let mut reserved = None;
        let mut after = None;
        // First: what is read by name takes the least time, what is read from an open file can wait.
        self.copy_xattrs(lower, draft)?;
        match attr.kind {
            FileKind::Regular => {
                let source = self.lower.open(lower)?;
                if let Some(quota) = self.quota() {
                    let space = space_of_copy(&*source, attr.size, quota.block_size())?;
                    reserved = Some(quota.reserve(space)?);
                }
                if !clone_data(&*source, draft, attr.size)? {
                    copy_data(&*source, draft, attr.size, go_on)?;
                }
                if let Some(file) = source.backing() {
                    let stat = fs::fstat(file)?;
                    after = Some((stat.st_size.cast_unsigned(), times_of(&stat).1));
                }
                // Nobody is going to read it soon, here or there; and writing begins now, so that
                // one commit of the file system's journal does for many copies.
                for file in [Some(draft), source.backing()].into_iter().flatten() {
                    let _ = fs::fadvise(file, 0, None, fs::Advice::DontNeed);
                }
            }
            FileKind::Symlink => symlink::write(draft, &self.lower.read_link(lower)?)?,
            _ => {}
        }
        names::set_times(draft, Some(attr.atime), Some(attr.mtime))?;
        Ok((reserved, after))
    }

    fn publish_copy(&self, ready: Ready<'_>, stand_for: bool) -> FsResult<()> {
        let ino = ready.inode.ino();
        if ready.record.kind == FileKind::Regular {
            fs::fdatasync(ready.draft.file()?)?;
        }
        {
            let _one_at_a_time = self.copy_up_lock(ino);
            let _names = self.names.write();
            let node = self.node(ino)?;
            if node.place.is_none() && !node.removed {
                let links = stand_for.then_some(ready.attr.nlink);
                self.publish_file(ready.record, ready.draft, links)?;
                self.living.tell(ino, &ready.attr);
            }
        }
        self.own_link(ino, ready.parent, EntryName::new(&ready.name)?)
    }

    /// Gives an inode of a living lower, whose own number is that of another one by now, a number of the
    /// store's, and with it its place there. False if it is no such inode.
    ///
    /// # Errors
    /// Those of the layers.
    pub(super) fn number_anew(&self, parent: Ino, name: EntryName<'_>) -> FsResult<bool> {
        let (lower, attr) = {
            let _names = self.names.read();
            let node = self.node(parent)?;
            let Some(directory) = node.lower.filter(|_| self.upper.is_some()) else {
                return Ok(false);
            };
            match self.lower.lookup(directory, name)? {
                Some((lower, attr)) if self.taken.is_taken(lower, directory, name.as_bytes()) => {
                    (lower, attr)
                }
                _ => return Ok(false),
            }
        };
        let store = self.store()?;
        let (draft, attr, _reserved) = match attr.kind {
            FileKind::Directory => {
                self.admit_new(attr.kind)?;
                (self.directory_draft(store, lower, &attr)?, attr, None)
            }
            _ => {
                let copied = self.copy_of(lower, &|| true)?;
                fs::fdatasync(copied.draft.file()?)?;
                self.lower.forget(lower);
                (copied.draft, copied.attr, copied.reserved)
            }
        };
        let _names = self.names.write();
        let directory = self.copy_up_directory(parent)?;
        if !matches!(
            names::look_up(directory.as_fd(), name)?,
            UpperName::Absent | UpperName::Remains
        ) {
            return Ok(true);
        }
        let record = record_of(&attr, store.allocate_number()?);
        let _watched = self.watch(parent, &directory)?;
        let object = keeping_times(&directory, || {
            draft.publish(record, directory.as_fd(), name)
        })?;
        self.count_new(object.as_fd())?;
        self.listings.evict(parent);
        Ok(true)
    }

    /// Makes a name of an inode with several the store's own.
    fn own_link(&self, ino: Ino, parent: Ino, name: EntryName<'_>) -> FsResult<()> {
        let _names = self.names.write();
        let node = self.node(parent)?;
        if node.lower.is_none() || self.node(ino)?.place != Some(Place::Linked) {
            return Ok(());
        }
        let found = self.find(parent, &node, name)?;
        let is_linked = |source: &Source| matches!(source, Source::Upper { place, .. } if *place == Place::Linked);
        if found.is_some_and(|found| found.ino == ino && is_linked(&found.source)) {
            let directory = self.copy_up_directory(parent)?;
            self.own_name(ino, &directory, name)?;
        }
        Ok(())
    }

    fn hydrate_directory(&self, ino: Ino) -> FsResult<()> {
        let _names = self.names.write();
        let node = self.node(ino)?;
        if node.place.is_some() || node.removed {
            return Ok(());
        }
        let directory = self.copy_up_directory(ino)?;
        let mut object = UpperObject::from_fd(directory)?.ok_or(FsError::Stale)?;
        let record = Record {
            pristine: true,
            ..*object.record()
        };
        object.keep_record(record)
    }

    fn is_partly_copied(&self, ino: Ino) -> FsResult<bool> {
        let _names = self.names.read();
        let node = self.node(ino)?;
        match &node.place {
            Some(place) => Ok(self.object(ino, place)?.record().partial),
            None => Ok(false),
        }
    }

    /// The directory of the store, for notes beside the tree; `None` without a store.
    ///
    /// # Errors
    /// Those of copying a descriptor.
    pub fn store_directory(&self) -> std::io::Result<Option<OwnedFd>> {
        let store = self.upper.as_ref();
        store
            .map(|store| store.directory().try_clone_to_owned())
            .transpose()
    }

    /// Whether an inode is as the lower has it: the store has nothing of it, or a copy that nobody
    /// changed, neither here nor there. Of a directory that says nothing about the names in it.
    ///
    /// # Errors
    /// `Stale` for a number that is not known, else those of the layers.
    pub fn is_untouched(&self, ino: Ino) -> FsResult<bool> {
        let _names = self.names.read();
        let node = self.node(ino)?;
        let Some(place) = &node.place else {
            return Ok(!node.removed && self.is_lower_number(ino));
        };
        let object = self.object(ino, place)?;
        if !object.record().pristine || *place == Place::Orphan || !self.is_lower_number(ino) {
            return Ok(false);
        }
        let lower = match self.lower.attr(LowerNode(ino.0)) {
            Err(FsError::Stale) => return Ok(false),
            attr => attr?,
        };
        let here = object.attr(lower.nlink)?;
        let is_same = (here.kind, here.permissions, here.uid, here.gid)
            == (lower.kind, lower.permissions, lower.uid, lower.gid);
        let has_same = here.kind == FileKind::Directory
            || (here.size, here.mtime) == (lower.size, lower.mtime);
        Ok(is_same && has_same)
    }
}

/// The error of a copy that was given up because it is not wanted any more.
pub const GIVEN_UP: FsError = FsError::Layer(Errno::CANCELED);
