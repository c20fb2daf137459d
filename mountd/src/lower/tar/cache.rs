//! Decoded stretches, the recently used ones kept.
//!
//! A cache is bounded in bytes and shared by all files of an open image. A stretch is decoded by
//! one thread; others that want it meanwhile wait for that one only, not for each other's.

use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use crate::error::FsResult;

/// A decoded stretch, empty until somebody has decoded it.
type Slot = Arc<Mutex<Option<Arc<Vec<u8>>>>>;

/// Decoded stretches by a number.
#[derive(Debug)]
pub(super) struct SlotCache {
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    slots: LruCache<u64, (u64, Slot)>,
    bytes: u64,
    limit: u64,
}

impl SlotCache {
    /// A cache of at most `limit` bytes, unless a single stretch has more.
    pub(super) fn new(limit: u64) -> Self {
        let held = Held {
            slots: LruCache::unbounded(),
            bytes: 0,
            limit,
        };
        Self {
            held: Mutex::new(held),
        }
    }

    /// The stretch `number` of `bytes` decoded bytes, which `decode` makes if it is not kept.
    ///
    /// # Errors
    /// Those of `decode`; then nothing is kept, and the next call tries again.
    pub(super) fn get(
        &self,
        number: u64,
        bytes: u64,
        decode: impl FnOnce() -> FsResult<Vec<u8>>,
    ) -> FsResult<Arc<Vec<u8>>> {
        let slot = self.held.lock().slot(number, bytes);
        let mut held = slot.lock();
        if let Some(bytes) = &*held {
            return Ok(Arc::clone(bytes));
        }
        match decode() {
            Ok(bytes) => {
                let bytes = Arc::new(bytes);
                *held = Some(Arc::clone(&bytes));
                Ok(bytes)
            }
            Err(error) => {
                self.held.lock().remove(number);
                Err(error)
            }
        }
    }
}

impl Held {
    /// The slot of a stretch, now the most recently used one.
    fn slot(&mut self, number: u64, bytes: u64) -> Slot {
        if let Some((_, slot)) = self.slots.get(&number) {
            return Arc::clone(slot);
        }
        let slot = Slot::default();
        self.slots.put(number, (bytes, Arc::clone(&slot)));
        self.bytes += bytes;
        // The new one stays, whatever its size.
        while self.bytes > self.limit && self.slots.len() > 1 {
            if let Some((_, (bytes, _))) = self.slots.pop_lru() {
                self.bytes -= bytes;
            }
        }
        slot
    }

    fn remove(&mut self, number: u64) {
        if let Some((bytes, _)) = self.slots.pop(&number) {
            self.bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_stays_within_its_limit() {
        let mut cache = SlotCache::new(100).held.into_inner();
        for number in 0..50 {
            cache.slot(number, 30);
            assert!(cache.bytes <= 100);
        }
        assert_eq!(cache.slots.len(), 3);
        cache.slot(47, 30);
        cache.slot(99, 30);
        assert!(cache.slots.contains(&47), "used lately");
        assert!(!cache.slots.contains(&48));
        cache.slot(100, 1000);
        assert_eq!(cache.slots.len(), 1);
        cache.remove(100);
        assert_eq!((cache.bytes, cache.slots.len()), (0, 0));
    }
}
