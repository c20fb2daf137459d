//! Chunks of compressed parts: read, decoded, checked, the recently used ones kept.

use std::fs::File;

use crate::error::{FsError, FsResult};

use super::cache::SlotCache;
use super::codecs;
use super::format::{ChunkRecord, PartRecord, hash};
use super::index::TarIndex;
use super::readahead::{Due, ReadAhead};
use super::source::read_full;
use super::stream::CHUNK_LIMIT;

/// What the cache of an image holds unless told otherwise.
pub(super) const DEFAULT_CACHE_BYTES: u64 = 64 << 20;

/// The chunks of one image.
#[derive(Debug)]
pub(super) struct ChunkStore {
    cache: SlotCache,
    ahead: ReadAhead,
}

impl ChunkStore {
    /// A store that keeps at most `limit` decoded bytes.
    pub(super) fn new(limit: u64) -> Self {
        Self {
            cache: SlotCache::new(limit),
            ahead: ReadAhead::new(limit),
        }
    }

    /// Reads from `offset` of a part, which is stored in `file`, until `buffer` is full.
    pub(super) fn read(
        &self,
        index: &TarIndex,
        file: &File,
        part: &PartRecord,
        buffer: &mut [u8],
        offset: u64,
    ) -> FsResult<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            let at = offset.checked_add(filled as u64).ok_or(FsError::Damaged)?;
            let (number, chunk) = index.chunk_at(part, at)?;
            self.ahead.note(number, part, &chunk);
            let bytes = self.cache.get(number, u64::from(chunk.length), || {
                decode(index, file, part, &chunk)
            })?;
            let from = (at - chunk.stream_offset) as usize;
            let piece = bytes
                .get(from..)
                .filter(|piece| !piece.is_empty())
                .ok_or(FsError::Damaged)?;
            let count = piece.len().min(buffer.len() - filled);
            buffer[filled..filled + count].copy_from_slice(&piece[..count]);
            filled += count;
        }
        Ok(())
    }

    /// A chunk that will probably be read soon, and that nobody decodes yet.
    pub(super) fn due(&self) -> Option<Due> {
        self.ahead.due()
    }

    /// Decodes a chunk that was due, of a part that is stored in `file`, for who reads it next.
    /// That it cannot be decoded is for them to hear.
    pub(super) fn warm(&self, index: &TarIndex, file: &File, due: &Due) {
        if let Ok(chunk) = index.chunk(due.chunk) {
            let length = u64::from(chunk.length);
            let _ = self
                .cache
                .get(due.chunk, length, || decode(index, file, &due.part, &chunk));
        }
        self.ahead.done();
    }

    /// Lets a chunk that was due be.
    pub(super) fn cool(&self) {
        self.ahead.done();
    }
}

fn decode(
    index: &TarIndex,
    file: &File,
    part: &PartRecord,
    chunk: &ChunkRecord,
) -> FsResult<Vec<u8>> {
    // The bounds that the writer kept; a damaged record must not ask for more.
    if u64::from(chunk.length) > codecs::chunk_limit(part.codec)
        || chunk.stored_bytes > 2 * CHUNK_LIMIT
    {
        return Err(FsError::Damaged);
    }
    let mut stored = vec![0; chunk.stored_bytes as usize];
    let at = part.stored_offset.checked_add(chunk.stored_offset);
    let count = read_full(file, &mut stored, at.ok_or(FsError::Damaged)?)?;
    if count < stored.len() {
        return Err(FsError::Damaged);
    }
    let window = index.window(chunk)?;
    let bytes = codecs::decode_chunk(part.codec, chunk, &stored, window)?;
    if hash(&bytes) == chunk.hash {
        Ok(bytes)
    } else {
        Err(FsError::Damaged)
    }
}
