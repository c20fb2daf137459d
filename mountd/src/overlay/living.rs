//! What the kernel remembers of a living lower and is not true any more.
//!
//! The kernel keeps the contents of a file as long as it likes, and drops them only when it is told
//! to, or when the size changes. So it is noted which version of a file of the lower was read, by its
//! times and size; whoever finds another one, on whatever occasion, sends word of it. A file of which
//! nothing was read takes no memory here. Likewise of a
//! name whose file the lower has replaced. Who passes that on is not known here.

use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};

use lru::LruCache;
use parking_lot::Mutex;

use super::Overlay;
use crate::error::{FsError, FsResult};
use crate::lower::LowerNode;
use crate::types::{Attr, Ino, Timestamp};

/// Files of which the version is remembered. Contents of others that were read are taken from the kernel.
const FILES: NonZeroUsize = NonZeroUsize::MIN.saturating_add((1 << 16) - 1);

/// Something that the kernel should forget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outdated {
    /// The contents of an inode.
    Contents(Ino),
    /// What a name in a directory is.
    Name(Ino, Box<[u8]>),
}

type Version = (u64, Timestamp, Timestamp);

/// See the module. A leaf in the order of locks.
#[derive(Debug)]
pub(super) struct Living {
    told: Mutex<LruCache<Ino, Version>>,
    sender: OnceLock<Sender<Outdated>>,
}

impl Living {
    pub(super) fn new() -> Self {
        Self {
            told: Mutex::new(LruCache::unbounded()),
            sender: OnceLock::new(),
        }
    }

    /// Contents of an inode of the lower are about to be read. `attr` is asked for if they were not
    /// before.
    pub(super) fn reads(&self, ino: Ino, attr: impl FnOnce() -> FsResult<Attr>) {
        let Some(sender) = self.sender.get() else {
            return;
        };
        if self.told.lock().get(&ino).is_some() {
            return;
        }
        // Before they are read: what is found to be newer later may have been read or not.
        let Ok(attr) = attr() else {
            return;
        };
        let mut told = self.told.lock();
        told.put(ino, version(&attr));
        if told.len() > FILES.get()
            && let Some((ino, _)) = told.pop_lru()
        {
            let _ = sender.send(Outdated::Contents(ino));
        }
    }

    /// An inode of the lower is told to have these attributes, or gets them in the store.
    pub(super) fn tell(&self, ino: Ino, attr: &Attr) {
        let Some(sender) = self.sender.get() else {
            return;
        };
        let mut told = self.told.lock();
        let Some(before) = told.peek_mut(&ino) else {
            return;
        };
        let before = std::mem::replace(before, version(attr));
        drop(told);
        if before != version(attr) {
            // Nobody listens any more at the end of the mount only.
            let _ = sender.send(Outdated::Contents(ino));
        }
    }
}

fn version(attr: &Attr) -> Version {
    (attr.size, attr.mtime, attr.ctime)
}

impl Overlay {
    /// What the kernel is to forget, from now on; `None` if nothing ever is, or somebody asked before.
    pub fn outdated(&self) -> Option<Receiver<Outdated>> {
        if self.is_immutable() {
            return None;
        }
        let (sender, receiver) = channel();
        self.living.sender.set(sender).ok().map(|()| receiver)
    }

    /// Passes an error on; if it says that an inode of the lower is not where it was, the name by which
    /// it was found is outdated.
    pub(super) fn when_stale(&self, ino: Ino, error: FsError) -> FsError {
        if error == FsError::Stale
            && self.is_lower_number(ino)
            && let Some(sender) = self.living.sender.get()
            && let Ok(Some((parent, name))) = self.lower.location(LowerNode(ino.0))
        {
            let _ = sender.send(Outdated::Name(Ino(parent.0), name));
        }
        error
    }
}
