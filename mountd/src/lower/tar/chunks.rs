//! Chunks of compressed parts: read, decoded, checked, the recently used ones kept.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use crate::error::{FsError, FsResult};

use super::cache::SlotCache;
use super::codecs;
use super::format::{ChunkRecord, PartRecord, hash};
use super::index::TarIndex;
use super::keeping::Keeping;
use super::readahead::{Due, ReadAhead};
use super::shared_chunks::{Place, SharedChunks};
use super::source::read_full;
use super::stream::CHUNK_LIMIT;

/// What the cache of an image holds unless told otherwise.
pub(super) const DEFAULT_CACHE_BYTES: u64 = 64 << 20;

/// What it holds if all that is decoded is also in a file that mounts share.
const SHARING_CACHE_BYTES: u64 = 16 << 20;

/// When what was decoded is given to other mounts.
#[derive(Clone, Copy, Debug)]
enum When {
    Now,
    /// After the answer to who reads it.
    Later,
}

/// The chunks of one image.
#[derive(Debug)]
pub(super) struct ChunkStore {
    cache: SlotCache,
    ahead: ReadAhead,
    shared: Option<SharedChunks>,
    keeping: Keeping,
}

impl ChunkStore {
    /// A store that keeps at most `limit` decoded bytes.
    pub(super) fn new(limit: u64) -> Self {
        Self {
            cache: SlotCache::new(limit),
            ahead: ReadAhead::new(limit),
            shared: None,
            keeping: Keeping::default(),
        }
    }

    /// The same with a file that all mounts of the image share, if it can be had.
    pub(super) fn sharing(limit: u64, file: &Path, index: &TarIndex) -> Self {
        let chunks = index.chunk_count();
        let stream = index.stream_bytes();
        let shared = match chunks {
            0 => None,
            _ => SharedChunks::open(file, index.identity(), chunks, stream),
        };
        let limit = match shared {
            Some(_) => limit.min(SHARING_CACHE_BYTES),
            None => limit,
        };
        Self {
            shared,
            ..Self::new(limit)
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
            let from = (at - chunk.stream_offset) as usize;
            let left = (chunk.length as usize).saturating_sub(from);
            let count = left.min(buffer.len() - filled);
            if self.is_shared(number, part, at, &mut buffer[filled..filled + count]) {
                filled += count;
                continue;
            }
            self.ahead.note(number, part, &chunk);
            let bytes = self.get(index, file, part, number, &chunk, When::Later)?;
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
            let _ = self.get(index, file, &due.part, due.chunk, &chunk, When::Now);
        }
        self.ahead.done();
    }

    /// Fills `piece` from `at` of a part, if another mount, or this one, decoded that before.
    fn is_shared(&self, number: u64, part: &PartRecord, at: u64, piece: &mut [u8]) -> bool {
        let shared = self.shared.as_ref();
        let start = part.stream_offset.checked_add(at);
        !piece.is_empty()
            && shared
                .zip(start)
                .is_some_and(|(shared, start)| shared.read(number, start, piece))
    }

    /// Whether somebody has to call [`Self::keep_all`], in a thread that nobody waits for.
    pub(super) fn is_to_keep(&self) -> bool {
        self.keeping.needs_thread()
    }

    /// Gives to everybody else what was decoded meanwhile.
    pub(super) fn keep_all(&self, index: &TarIndex) {
        while let Some((number, bytes)) = self.keeping.next() {
            self.keep(index, number, &bytes);
        }
    }

    fn keep(&self, index: &TarIndex, number: u64, bytes: &[u8]) {
        if let Some(shared) = &self.shared {
            shared.keep(number, bytes, &|number| place(index, number));
        }
    }

    /// The decoded bytes of a chunk, which everybody else is given as well, at once or later.
    fn get(
        &self,
        index: &TarIndex,
        file: &File,
        part: &PartRecord,
        number: u64,
        chunk: &ChunkRecord,
        keep: When,
    ) -> FsResult<Arc<Vec<u8>>> {
        let mut is_new = false;
        let bytes = self.cache.get(number, u64::from(chunk.length), || {
            is_new = true;
            decode(index, file, part, chunk)
        })?;
        if is_new && self.shared.is_some() {
            let now = match keep {
                When::Now => Some((number, Arc::clone(&bytes))),
                When::Later => self.keeping.put((number, Arc::clone(&bytes))),
            };
            if let Some((number, bytes)) = now {
                self.keep(index, number, &bytes);
            }
        }
        Ok(bytes)
    }

    /// Lets a chunk that was due be.
    pub(super) fn cool(&self) {
        self.ahead.done();
    }
}

/// Where a chunk is in the stream.
fn place(index: &TarIndex, number: u64) -> Option<Place> {
    let chunk = index.chunk(number).ok()?;
    let part = index.part_of_chunk(number).ok()?;
    Some(Place {
        start: part.stream_offset.checked_add(chunk.stream_offset)?,
        bytes: u64::from(chunk.length),
    })
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
