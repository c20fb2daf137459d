//! What the kernel remembers of a living lower and is not true any more.
//!
//! The kernel keeps the contents of a file as long as it likes, and drops them only when it is told
//! to, or when the size changes. So it is noted which version of a file of the lower was read, by its
//! times and size; whoever finds another one, on whatever occasion, sends word of it. A file of which
//! nothing was read takes no memory here. Likewise of a name whose file the lower has replaced. Who
//! passes that on is not known here.
//!
//! What was read through a daemon that was killed is in no memory any more. So the one that goes on in its
//! place has the kernel drop the contents of every file that may be the lower's, once, when the file is met.

use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};

use lru::LruCache;
use parking_lot::Mutex;

use super::Overlay;
use crate::error::{FsError, FsResult};
use crate::lower::LowerNode;
use crate::number_map::NumberMap;
use crate::types::{Attr, FileKind, Ino, Timestamp};

/// Files of which the version is remembered. Contents of others that were read are taken from the kernel.
const FILES: NonZeroUsize = NonZeroUsize::MIN.saturating_add((1 << 16) - 1);

/// Neighbours that share a number of bits.
const BLOCK: u64 = u64::BITS as u64;

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
    /// Only after a daemon that was killed: the files that were met since, a bit each. Behind the number
    /// of a block of neighbours, from 1 on.
    met: Option<Mutex<NumberMap<u64>>>,
}

impl Living {
    pub(super) fn new() -> Self {
        Self {
            told: Mutex::new(LruCache::unbounded()),
            sender: OnceLock::new(),
            met: None,
        }
    }

    /// Another daemon was killed, and what the kernel has read through it is not known.
    pub(super) fn follow(&mut self) {
        self.met = Some(Mutex::default());
    }

    /// A regular file is about to be shown that is the lower's, or was when it was read.
    pub(super) fn meet(&self, ino: Ino) {
        let (Some(met), Some(sender)) = (&self.met, self.sender.get()) else {
            return;
        };
        let (block, bit) = (ino.0 / BLOCK + 1, 1 << (ino.0 % BLOCK));
        let mut met = met.lock();
        let before = met.get(&block).copied().unwrap_or_default();
        if before & bit == 0 {
            met.insert(block, before | bit);
            let _ = sender.send(Outdated::Contents(ino));
        }
    }

    /// Contents of an inode of the lower are about to be read. `attr` is asked for if they were not
    /// before.
    pub(super) fn reads(&self, ino: Ino, attr: impl FnOnce() -> FsResult<Attr>) {
        let Some(sender) = self.sender.get() else {
            return;
        };
        self.meet(ino);
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

    /// An inode is about to be shown.
    pub(super) fn meet(&self, ino: Ino, attr: &Attr) {
        if attr.kind == FileKind::Regular && self.is_lower_number(ino) {
            self.living.meet(ino);
        }
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::*;
    use crate::lower::LowerLayer;
    use crate::lower::host::HostLower;
    use crate::takeover::{Agreement, Kept};
    use crate::types::EntryName;
    use crate::upper::UpperStore;

    fn name(text: &str) -> EntryName<'_> {
        EntryName::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_was_read_through_a_killed_daemon_is_forgotten_once() {
        let place = tempfile::tempdir().unwrap();
        let tree = place.path().join("tree");
        fs::create_dir(&tree).unwrap();
        for file in ["a", "b", "copied"] {
            fs::write(tree.join(file), file).unwrap();
        }
        let kept = Kept::new().unwrap();
        let open = || {
            let lower = HostLower::open(&tree).unwrap();
            let lower = lower.keep(kept.lower_names(0).unwrap()).unwrap();
            let lower: Arc<dyn LowerLayer> = Arc::new(lower);
            let root = crate::source::root_of(&*lower).unwrap();
            let store = place.path().join("store");
            let store = UpperStore::open(&store, &root, lower.first_free()).unwrap();
            Overlay::new(lower, Some(store)).keep(&kept).unwrap()
        };
        let find = |overlay: &Overlay, file| {
            let found = overlay.lookup(Ino::ROOT, name(file)).unwrap().unwrap();
            found.hand_over().0
        };
        let first = open();
        let outdated = first.outdated().unwrap();
        kept.agree(&Agreement::new(40, 0, Vec::new())).unwrap();
        let numbers = ["a", "b", "copied"].map(|file| find(&first, file));
        for ino in numbers {
            let mut buffer = [0; 8];
            first.read(ino, &mut buffer, 0).unwrap();
        }
        first.write(numbers[2], b"X", 0, false).unwrap();
        assert_eq!(outdated.try_recv().ok(), None, "nothing was before it");
        first.abandon();
        drop(first);

        let next = open();
        let outdated = next.outdated().unwrap();
        let [a, b, copied] = numbers;
        next.attr(a).unwrap();
        next.read(b, &mut [0; 8], 0).unwrap();
        next.attr(Ino::ROOT).unwrap();
        assert_eq!(find(&next, "copied"), copied);
        let made = next.create(Ino::ROOT, name("new"), &super::super::edit::new_file(0o644));
        let made = made.unwrap().hand_over().0;
        for ino in [a, b, copied, made] {
            next.attr(ino).unwrap();
        }
        let told: Vec<_> = outdated.try_iter().collect();
        assert_eq!(told, [a, b, copied].map(Outdated::Contents));
    }
}
