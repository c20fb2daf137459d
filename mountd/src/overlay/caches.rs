//! Bounded caches: open directories of the store, open files, merged listings.
//!
//! What is dropped is opened or made again. Each is a leaf in the order of locks.

use std::fmt;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use lru::LruCache;
use parking_lot::Mutex;

use super::listed::Listing;
use super::partial::PartialFile;
use crate::lower::LowerFile;
use crate::types::Ino;
use crate::upper::quota::Charge;

const DIRECTORIES: usize = 256;
const FILES: usize = 512;
const LISTINGS: usize = 256;
/// Bytes of listings, but the last few are kept whatever they take: reading one to its end must
/// not list it again for every few names.
const LISTING_BYTES: usize = 4 << 20;
const LISTINGS_AT_LEAST: usize = 4;

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

impl DirectoryCache {
    pub(super) fn new() -> Self {
        Self::with_capacity(DIRECTORIES)
    }
}

impl FileCache {
    pub(super) fn new() -> Self {
        Self::with_capacity(FILES)
    }

    /// What an open file remembers of privileges may be wrong now. Who looked before and has yet to
    /// note what it saw notes it where nobody looks any more. Under the `names` lock, for writing.
    pub(super) fn forget_privileges(&self, ino: Ino) {
        match self.get(ino).as_deref() {
            Some(OpenFile::Upper {
                file,
                pristine,
                charge,
                ..
            }) => {
                let again = OpenFile::Upper {
                    file: Arc::clone(file),
                    privileges: AtomicU8::new(UNKNOWN_PRIVILEGES),
                    pristine: AtomicBool::new(pristine.load(Ordering::Acquire)),
                    charge: charge.clone(),
                };
                self.put(ino, Arc::new(again));
            }
            Some(_) => self.evict(ino),
            None => {}
        }
    }
}

/// The listings that were used last.
#[derive(Debug)]
pub(super) struct ListingCache(Mutex<Listings>);

#[derive(Debug)]
struct Listings {
    values: LruCache<Ino, Arc<Listing>>,
    /// What they take.
    bytes: usize,
}

impl ListingCache {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Listings {
            values: LruCache::unbounded(),
            bytes: 0,
        }))
    }

    pub(super) fn get(&self, ino: Ino) -> Option<Arc<Listing>> {
        self.0.lock().values.get(&ino).map(Arc::clone)
    }

    pub(super) fn put(&self, ino: Ino, listing: Arc<Listing>) {
        // Dropped after the lock is given back.
        let mut _dropped = Vec::new();
        let mut listings = self.0.lock();
        listings.bytes += listing.bytes();
        let old = listings.values.put(ino, listing);
        _dropped.extend(listings.let_go(old));
        while listings.are_too_many()
            && let Some((_, oldest)) = listings.values.pop_lru()
        {
            _dropped.extend(listings.let_go(Some(oldest)));
        }
    }

    pub(super) fn evict(&self, ino: Ino) {
        let mut listings = self.0.lock();
        let old = listings.values.pop(&ino);
        let _dropped = listings.let_go(old);
    }
}

impl Listings {
    fn are_too_many(&self) -> bool {
        let count = self.values.len();
        count > LISTINGS || count > LISTINGS_AT_LEAST && self.bytes > LISTING_BYTES
    }

    fn let_go(&mut self, listing: Option<Arc<Listing>>) -> Option<Arc<Listing>> {
        self.bytes -= listing.as_ref().map_or(0, |listing| listing.bytes());
        listing
    }
}

/// Nobody has looked yet for what a write takes away.
pub(super) const UNKNOWN_PRIVILEGES: u8 = 0;
/// No set-id bit and no capability: a write takes nothing away.
pub(super) const NO_PRIVILEGES: u8 = 1;

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
        file: Arc<OwnedFd>,
        /// Whether a write has anything to take away: see `io`.
        privileges: AtomicU8,
        /// Whether it is noted that nothing was written to it: see [`Record::pristine`].
        ///
        /// [`Record::pristine`]: crate::upper::record::Record::pristine
        pristine: AtomicBool,
        /// What is counted of it, if the store is limited.
        charge: Option<Arc<Charge>>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::FileKind;

    fn listing(names: u64) -> Arc<Listing> {
        let mut listing = Listing::default();
        for number in 0..names {
            let name = number.to_string();
            let pushed = listing.push(name.as_bytes(), Ino(number + 2), FileKind::Regular);
            pushed.unwrap();
        }
        Arc::new(listing.complete())
    }

    #[test]
    fn large_listings_do_not_stay_because_they_are_few() {
        let cache = ListingCache::new();
        let large = listing(20_000);
        for number in 1..=200 {
            cache.put(Ino(number), Arc::clone(&large));
        }
        assert!(cache.0.lock().bytes <= LISTING_BYTES);
        assert!(cache.get(Ino(200)).is_some() && cache.get(Ino(100)).is_none());
        let huge = listing(300_000);
        for number in 1..=LISTINGS_AT_LEAST as u64 {
            cache.put(Ino(number), Arc::clone(&huge));
        }
        for number in 1..=LISTINGS_AT_LEAST as u64 {
            assert!(cache.get(Ino(number)).is_some(), "who reads it goes on");
        }
        assert_eq!(cache.0.lock().values.len(), LISTINGS_AT_LEAST);
        for number in 1..=300 {
            cache.put(Ino(number), listing(number));
            cache.put(Ino(number), listing(1));
        }
        assert_eq!(cache.0.lock().values.len(), LISTINGS);
        for number in 1..=300 {
            cache.evict(Ino(number));
        }
        assert_eq!(cache.0.lock().bytes, 0);
    }
}
