//! The merged tree: a lower that is read, a store that is written, one method per operation.
//!
//! This is the core. It does not know FUSE, mounts or paths of the host; it is driven by the
//! adapter in `fuse`, by the offline editor in [`edit`], and by tests, all alike.
//!
//! # How an inode is known
//!
//! An inode's number ([`Ino`]) is its identity for the kernel and in records. Numbers below
//! [`LowerLayer::first_free`] are the lower's own, kept across copy-up, rename and remount; so an
//! inode that was never written needs no memory here beyond the count of the kernel's lookups:
//! whatever is to be known of it, its number finds in the lower. Only inodes that the store holds
//! something of have a [`Node`] in the table.
//!
//! # Locks, in the order in which they may be taken
//!
//! ```text
//! copy_ups[number]     one copy-up of an inode at a time; held while its data is copied
//!   names              read: looking at names and places; write: changing any of them
//!     partials           the open partly copied files; held while the map of one is read
//!     nodes | directories | files | listings | untaken | taken | living      leaves; never two of them at once
//! partial.changes        of one partly copied file: shared to write blocks that are the store's,
//!                        alone to bring blocks in and to change the size
//!   map.durable          while it is settled
//!     map.log            a leaf; while an entry is appended
//! ```
//!
//! Of a limited store there are three more leaves, below all of these: a shard of the charges, the note
//! on the disk, and the state of counting (see [`crate::upper::quota`]).
//!
//! No lock but those of one partly copied file is held while a file's data is read, written or
//! made durable, and these are not waited for under `names`. Whoever opens a file's data does it
//! under `names`, so that it cannot open the lower's after the store's became the true one.
//!
//! # Rules
//!
//! * What is hidden (see `crate::filter`) is not here: the lower that the core gets does not
//!   have it. Nothing here could show it by mistake.
//! * A directory made by the WPAR is opaque: it never shows a lower one, whatever its name.
//! * Permission is the kernel's to check (`default_permissions`).

pub mod acl;
mod as_lower;
#[cfg(test)]
mod as_lower_tests;
mod attempt;
mod attr;
mod blocks;
mod caches;
mod closed;
mod copy_up;
#[cfg(test)]
mod cost_tests;
mod counts;
#[cfg(test)]
mod crash_tests;
mod create;
pub mod edit;
#[cfg(test)]
mod fault_tests;
mod find;
mod hydrate;
#[cfg(test)]
mod interleaving_tests;
mod io;
mod link;
mod listed;
mod listing;
mod living;
#[cfg(test)]
mod name_tests;
mod node;
mod node_journal;
mod partial;
mod partials;
mod quota;
#[cfg(test)]
mod quota_tests;
#[cfg(test)]
mod read_only_tests;
mod remove;
mod rename;
mod replace;
mod taken;
mod takeover;
pub mod trace;
mod xattr;

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use crate::upper::calls::{self as fs, Mode};
use parking_lot::{Mutex, RwLock};

pub use as_lower::OverlaidLower;
pub use attempt::Attempt;
pub use attr::{SetAttr, SetTime};
pub use blocks::CopyUp;
pub use create::NewInode;
pub use hydrate::{GIVEN_UP, Hydrated, Hydrator};
pub use io::{AllocateMode, Extent, whole_if};
pub use listing::{DirectoryEntry, DirectorySink};
pub use living::Outdated;
pub use rename::RenameMode;
pub use replace::Fill;

use caches::{DirectoryCache, FileCache, ListingCache};
use listing::NamesFirst;
use living::Living;
use node::{Node, NodeTable, Place, Tracked};
use partials::Partials;
use taken::Taken;
use takeover::Inherited;

use crate::error::{FsError, FsResult};
use crate::lower::{LowerLayer, LowerNode};
use crate::types::{Attr, EntryName, Ino};
use crate::upper::names::{self, DIRECTORY};
use crate::upper::{UpperStore, number_name};

/// Copy-ups that may run at the same time, at the most.
const COPY_UP_LOCKS: usize = 64;

/// The merged tree of one WPAR.
pub struct Overlay {
    /// Settled when it is dropped, which must be before the store is given up.
    partials: Partials,
    lower: Arc<dyn LowerLayer>,
    upper: Option<UpperStore>,
    copy_up: CopyUp,
    copy_ups: [Mutex<()>; COPY_UP_LOCKS],
    names: RwLock<()>,
    nodes: NodeTable,
    directories: DirectoryCache,
    files: FileCache,
    listings: ListingCache,
    names_first: NamesFirst,
    /// Lookups that nobody took over, to be given back with the next that are.
    untaken: Mutex<Vec<Ino>>,
    inherited: Inherited,
    /// Whether nothing of the lower was seen any more when the store was opened.
    closed: bool,
    taken: Taken,
    living: Living,
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay")
            .field("lower", &self.lower)
            .field("upper", &self.upper)
            .finish_non_exhaustive()
    }
}

/// An inode that was looked up, with one lookup counted for it. Dropped, the count is taken back;
/// [`Self::hand_over`] passes it to the kernel, which gives it back by [`Overlay::forget`].
#[derive(Debug)]
pub struct LookedUp<'a> {
    overlay: &'a Overlay,
    ino: Ino,
    attr: Attr,
    kept: bool,
}

impl LookedUp<'_> {
    /// The inode's number.
    pub fn ino(&self) -> Ino {
        self.ino
    }

    /// Its attributes.
    pub fn attr(&self) -> &Attr {
        &self.attr
    }

    /// Passes the counted lookup to whoever will call [`Overlay::forget`] for it.
    pub fn hand_over(mut self) -> (Ino, Attr) {
        self.kept = true;
        (self.ino, self.attr)
    }
}

impl Drop for LookedUp<'_> {
    fn drop(&mut self) {
        if !self.kept {
            // Not now: this may happen in the middle of a listing, under the `names` lock.
            self.overlay.untaken.lock().push(self.ino);
        }
    }
}

impl Overlay {
    /// Puts `upper` above `lower`; without a store the view is read-only.
    pub fn new(lower: Arc<dyn LowerLayer>, upper: Option<UpperStore>) -> Self {
        let place = upper.as_ref().map(|_| Place::Root);
        let closed = Self::is_closed(upper.as_ref());
        let taken = match &upper {
            Some(store) if !closed && !lower.is_immutable() => Taken::of(store),
            _ => Taken::default(),
        };
        let root = Node {
            lower: (!closed).then_some(LowerNode::ROOT),
            place,
            removed: false,
        };
        Self {
            lower,
            upper,
            copy_up: CopyUp::default(),
            copy_ups: std::array::from_fn(|_| Mutex::new(())),
            names: RwLock::new(()),
            nodes: NodeTable::new(root),
            directories: DirectoryCache::new(),
            files: FileCache::new(),
            partials: Partials::default(),
            listings: ListingCache::new(),
            names_first: NamesFirst::default(),
            untaken: Mutex::new(Vec::new()),
            inherited: Inherited::default(),
            closed,
            taken,
            living: Living::new(),
        }
    }

    /// As if the daemon died now: nothing is settled any more.
    #[cfg(test)]
    pub(crate) fn abandon(&self) {
        for file in self.partials.all() {
            file.map().retire();
        }
        if let Some(quota) = self.quota() {
            quota.abandon();
        }
    }

    /// Whether the attributes of an inode, or the absence of a name, stay true until a call of
    /// this object changes them.
    pub fn is_immutable(&self) -> bool {
        self.closed || self.lower.is_immutable()
    }

    /// What is underneath, without what the store says.
    pub fn lower(&self) -> &dyn LowerLayer {
        &*self.lower
    }

    /// Gives back `count` lookups of an inode.
    pub fn forget(&self, ino: Ino, count: u64) {
        // A lookup first makes the lower know an inode and then counts it here. Forgetting must
        // not come in between.
        let names = self.names.write();
        let untaken = std::mem::take(&mut *self.untaken.lock());
        let mut orphans = Vec::new();
        for ino in untaken {
            orphans.append(&mut self.give_back(ino, 1));
        }
        orphans.append(&mut self.give_back(ino, count));
        drop(names);
        for ino in orphans {
            self.drop_orphan(ino);
        }
    }

    /// The same under the `names` lock, for writing. Returns which orphans are now to be dropped: nobody
    /// can find these again, so who removes many files need not wait for each. (A number of the
    /// lower's may be met again, so its orphan goes at once.)
    fn give_back(&self, ino: Ino, count: u64) -> Vec<Ino> {
        self.finish_quietly(ino);
        let mut orphans = Vec::new();
        for (ino, node) in self.nodes.forget(ino, count).unwrap_or_default() {
            if ino.0 < self.lower.first_free() {
                self.lower.forget(LowerNode(ino.0));
            }
            if node.is_some_and(|node| matches!(node.place, Some(Place::Orphan))) {
                if self.is_lower_number(ino) {
                    self.drop_orphan(ino);
                } else {
                    orphans.push(ino);
                }
            }
        }
        orphans
    }

    fn drop_orphan(&self, ino: Ino) {
        self.files.evict(ino);
        self.directories.evict(ino);
        if let Some(store) = &self.upper
            && let Err(error) = self.drop_map(ino).and_then(|()| {
                let number = number_name(ino);
                self.release(ino, store.orphans(), &number);
                names::remove_tree(store.orphans(), number.as_str())
            })
        {
            log::warn!("cannot remove the orphan {ino}: {error}; the next start will");
        }
    }

    /// Makes all that the store holds safe against a crash of the host.
    ///
    /// # Errors
    /// Those of the host's file system.
    pub fn sync_all(&self) -> FsResult<()> {
        for file in self.partials.all() {
            file.map().settle(true)?;
        }
        match &self.upper {
            Some(store) => Ok(fs::syncfs(store.tree())?),
            None => Ok(()),
        }
    }

    fn store(&self) -> FsResult<&UpperStore> {
        self.upper.as_ref().ok_or(FsError::ReadOnly)
    }

    /// The store, if something may be changed at `ino`. An inode that the store made itself may
    /// always be changed; nothing but who prepares a tree from outside puts one into a part that may
    /// not.
    fn store_for(&self, ino: Ino) -> FsResult<&UpperStore> {
        if self.is_lower_number(ino) && self.lower.is_read_only(LowerNode(ino.0)) {
            return Err(FsError::ReadOnly);
        }
        self.store()
    }

    /// What is known of an inode.
    fn node(&self, ino: Ino) -> FsResult<Arc<Node>> {
        match self.nodes.get(ino) {
            Tracked::Node(node) => Ok(node),
            Tracked::OnlyCounted if self.is_lower_number(ino) => Ok(Arc::new(Node::lower(ino))),
            Tracked::Unknown if self.inherited.is_there => self.recall(ino),
            Tracked::Unknown if self.is_lower_number(ino) => self.derive(ino),
            Tracked::OnlyCounted | Tracked::Unknown => Err(FsError::Stale),
        }
    }

    fn is_lower_number(&self, ino: Ino) -> bool {
        ino.0 < self.lower.first_free()
    }

    /// What is to be known of an inode of the lower that nobody looked up: where the lower has
    /// it, unless the store has it there.
    fn derive(&self, ino: Ino) -> FsResult<Arc<Node>> {
        // What a living host has moved into itself has no path, and would be looked for without end.
        if !self.lower.is_immutable() {
            self.lower_path(LowerNode(ino.0))?;
        }
        let Some((parent, name)) = self.lower.location(LowerNode(ino.0))? else {
            return Err(FsError::Stale);
        };
        let parent = Ino(parent.0);
        let parent_node = self.node(parent)?;
        let found = self.find(parent, &parent_node, EntryName::new(&name)?)?;
        match found {
            Some(found) if found.ino == ino => Ok(Arc::new(found.into_node())),
            _ => Err(FsError::Stale),
        }
    }

    /// The store's directory of a directory that the store has, open.
    fn directory(&self, ino: Ino) -> FsResult<Arc<OwnedFd>> {
        if let Some(directory) = self.directories.get(ino) {
            return Ok(directory);
        }
        let node = self.node(ino)?;
        let store = self.store()?;
        let opened = match &node.place {
            Some(Place::Root) => fs::openat(store.tree(), ".", DIRECTORY, Mode::empty())?,
            Some(Place::Named { parent, name }) => {
                let parent = self.directory(*parent)?;
                fs::openat(&parent, &**name, DIRECTORY, Mode::empty())?
            }
            Some(Place::Orphan) => {
                let name = number_name(ino);
                fs::openat(store.orphans(), name.as_str(), DIRECTORY, Mode::empty())?
            }
            Some(Place::Linked) | None => return Err(FsError::Stale),
        };
        let opened = Arc::new(opened);
        self.directories.put(ino, Arc::clone(&opened));
        Ok(opened)
    }

    /// Opens the file or directory of the store that an inode is, with `access`.
    fn open_upper(&self, ino: Ino, place: &Place, access: fs::OFlags) -> FsResult<OwnedFd> {
        let store = self.store()?;
        let number = number_name(ino);
        let opened = match place {
            Place::Root => fs::openat(store.tree(), ".", DIRECTORY, Mode::empty()),
            Place::Named { parent, name } => names::open(
                self.directory(*parent)?.as_fd(),
                EntryName::new(name)?,
                access,
            ),
            Place::Linked => names::open(store.links(), EntryName::new(number.as_bytes())?, access),
            Place::Orphan => {
                names::open(store.orphans(), EntryName::new(number.as_bytes())?, access)
            }
        };
        Ok(opened?)
    }

    /// Path of a directory below the store's `tree`, without a leading slash.
    fn upper_path(&self, ino: Ino) -> FsResult<Vec<u8>> {
        let mut components = Vec::new();
        let mut at = ino;
        loop {
            match &self.node(at)?.place {
                Some(Place::Root) => break,
                Some(Place::Named { parent, name }) => {
                    components.push(name.clone());
                    at = *parent;
                }
                _ => return Err(FsError::Stale),
            }
        }
        components.reverse();
        Ok(components.join(&b'/'))
    }

    /// Path of a name below the store's `tree`.
    fn path_of(&self, parent: Ino, name: EntryName<'_>) -> FsResult<Vec<u8>> {
        let mut path = self.upper_path(parent)?;
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name.as_bytes());
        Ok(path)
    }
}
