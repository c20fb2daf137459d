//! What the kernel remembers of a living lower and is not true any more.
//!
//! The kernel keeps the contents of a file as long as it likes, and drops them only when it is told
//! to, or when the size changes. So it is noted which version of a file of the lower was told last, by
//! its times and size; whoever finds another one, on whatever occasion, sends word of it. Likewise of a
//! name whose file the lower has replaced. Who passes that on is not known here.

use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};

use lru::LruCache;
use parking_lot::Mutex;

use super::Overlay;
use crate::error::FsError;
use crate::lower::LowerNode;
use crate::types::{Attr, FileKind, Ino, Timestamp};

/// Files of which the version is remembered. Of older ones it is assumed that the kernel has to be told.
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

    /// An inode of the lower is told to have these attributes, or gets them in the store.
    pub(super) fn tell(&self, ino: Ino, attr: &Attr) {
        let Some(sender) = self.sender.get() else {
            return;
        };
        if attr.kind != FileKind::Regular {
            return;
        }
        let now = (attr.size, attr.mtime, attr.ctime);
        let mut told = self.told.lock();
        let before = told.put(ino, now);
        if told.len() > FILES.get() {
            let forgotten = told.pop_lru();
            if let Some((ino, _)) = forgotten {
                let _ = sender.send(Outdated::Contents(ino));
            }
        }
        drop(told);
        if before.is_some_and(|before| before != now) {
            // Nobody listens any more at the end of the mount only.
            let _ = sender.send(Outdated::Contents(ino));
        }
    }
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
