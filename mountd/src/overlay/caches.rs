//! Bounded caches: open directories of the store, open files, merged listings.
//!
//! What is dropped is opened or made again. Each is a leaf in the order of locks.

use std::fmt;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;

use lru::LruCache;
use parking_lot::Mutex;

use super::listing::Listing;
use super::partial::PartialFile;
use crate::lower::LowerFile;
use crate::types::Ino;
use crate::upper::quota::Charge;

const DIRECTORIES: usize = 256;
const FILES: usize = 512;
const LISTINGS: usize = 256;

/// A cache of values by inode.
pub(super) struct Cache<V> {
    values: Mutex<LruCache<Ino, Arc<V>>>,
}

impl<V> fmt::Debug for Cache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("len", &self.values.lock().len())
            .finish()
    }
}

impl<V> Cache<V> {
    fn with_capacity(capacity: usize) -> Self {
        let capacity = NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN);
        Self {
            values: Mutex::new(LruCache::new(capacity)),
        }
    }

    pub(super) fn get(&self, ino: Ino) -> Option<Arc<V>> {
        self.values.lock().get(&ino).map(Arc::clone)
    }

    pub(super) fn put(&self, ino: Ino, value: Arc<V>) {
        // What falls out is dropped, and its descriptor closed, after the lock is given back.
        let _dropped = self.values.lock().push(ino, value);
    }

    pub(super) fn evict(&self, ino: Ino) {
        let _dropped = self.values.lock().pop(&ino);
    }
}

pub(super) type DirectoryCache = Cache<OwnedFd>;
pub(super) type FileCache = Cache<OpenFile>;
pub(super) type ListingCache = Cache<Listing>;

impl DirectoryCache {
    pub(super) fn new() -> Self {
        Self::with_capacity(DIRECTORIES)
    }
}

impl FileCache {
    pub(super) fn new() -> Self {
        Self::with_capacity(FILES)
    }
}

impl ListingCache {
    pub(super) fn new() -> Self {
        Self::with_capacity(LISTINGS)
    }
}

/// The data of a regular file, open.
#[derive(Debug)]
pub(super) enum OpenFile {
    /// Still the lower's.
    Lower(Arc<dyn LowerFile>),
    /// Some blocks the lower's, some the store's.
    Partial {
        /// The file.
        file: Arc<PartialFile>,
        /// As of [`Self::Upper`].
        privileges: AtomicU8,
    },
    /// The store's, for reading and writing.
    Upper {
        /// The file.
        file: OwnedFd,
        /// Whether a write has anything to take away: see `io`.
        privileges: AtomicU8,
        /// What is counted of it, if the store is limited.
        charge: Option<Arc<Charge>>,
    },
}
