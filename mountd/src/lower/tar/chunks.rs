//! Decoded chunks of a compressed archive, the recently used ones kept.
//!
//! The cache is bounded in bytes and shared by all files of an open image. A chunk is decoded by
//! one thread; others that want it meanwhile wait for that one only, not for each other's chunks.

use std::fs::File;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use crate::error::{FsError, FsResult};

use super::format::{ChunkRecord, Codec, hash};
use super::index::TarIndex;
use super::source::read_full;
use super::stream::CHUNK_LIMIT;
use super::{gzip, zstandard};

/// What the cache of an image holds unless told otherwise.
pub(super) const DEFAULT_CACHE_BYTES: u64 = 64 << 20;

/// A decoded chunk, empty until somebody has decoded it.
type Slot = Arc<Mutex<Option<Arc<Vec<u8>>>>>;

/// The chunks of one image.
pub(super) struct ChunkStore {
    file: File,
    codec: Codec,
    cache: Mutex<Cache>,
}

struct Cache {
    slots: LruCache<u64, (u64, Slot)>,
    bytes: u64,
    limit: u64,
}

impl ChunkStore {
    /// The chunks stored in `file`, which is the archive or its seekable copy.
    pub(super) fn new(file: File, codec: Codec, limit: u64) -> Self {
        let cache = Cache {
            slots: LruCache::unbounded(),
            bytes: 0,
            limit,
        };
        Self {
            file,
            codec,
            cache: Mutex::new(cache),
        }
    }

    /// Reads from `offset` of the stream until `buffer` is full.
    pub(super) fn read(&self, index: &TarIndex, buffer: &mut [u8], offset: u64) -> FsResult<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            let at = offset.checked_add(filled as u64).ok_or(FsError::Damaged)?;
            let (number, chunk) = index.chunk_at(at)?;
            let bytes = self.chunk(index, number, &chunk)?;
            let from = (at - chunk.stream_offset) as usize;
            let part = bytes
                .get(from..)
                .filter(|part| !part.is_empty())
                .ok_or(FsError::Damaged)?;
            let count = part.len().min(buffer.len() - filled);
            buffer[filled..filled + count].copy_from_slice(&part[..count]);
            filled += count;
        }
        Ok(())
    }

    fn chunk(&self, index: &TarIndex, number: u64, chunk: &ChunkRecord) -> FsResult<Arc<Vec<u8>>> {
        let slot = self.cache.lock().slot(number, u64::from(chunk.length));
        let mut held = slot.lock();
        if let Some(bytes) = &*held {
            return Ok(Arc::clone(bytes));
        }
        match self.decode(index, chunk) {
            Ok(bytes) => {
                let bytes = Arc::new(bytes);
                *held = Some(Arc::clone(&bytes));
                Ok(bytes)
            }
            Err(error) => {
                // Nothing to keep; the next read tries again.
                self.cache.lock().remove(number);
                Err(error)
            }
        }
    }

    fn decode(&self, index: &TarIndex, chunk: &ChunkRecord) -> FsResult<Vec<u8>> {
        // The bounds that the writer kept; a damaged record must not ask for more.
        if u64::from(chunk.length) > CHUNK_LIMIT || chunk.stored_bytes > 2 * CHUNK_LIMIT {
            return Err(FsError::Damaged);
        }
        let mut stored = vec![0; chunk.stored_bytes as usize];
        let count = read_full(&self.file, &mut stored, chunk.stored_offset)?;
        if count < stored.len() {
            return Err(FsError::Damaged);
        }
        let bytes = match self.codec {
            Codec::Plain => return Err(FsError::Damaged),
            Codec::Zstd => zstandard::decode_chunk(chunk, &stored)?,
            Codec::Gzip => {
                let window = match index.window(chunk)? {
                    [] => Vec::new(),
                    packed => ::zstd::bulk::decompress(packed, gzip::WINDOW)
                        .map_err(|_| FsError::Damaged)?,
                };
                gzip::decode_chunk(chunk, &stored, &window)?
            }
        };
        if hash(&bytes) == chunk.hash {
            Ok(bytes)
        } else {
            Err(FsError::Damaged)
        }
    }
}

impl Cache {
    /// The slot of a chunk, now the most recently used one.
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

impl std::fmt::Debug for ChunkStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChunkStore")
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_stays_within_its_limit() {
        let mut cache = Cache {
            slots: LruCache::unbounded(),
            bytes: 0,
            limit: 100,
        };
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
