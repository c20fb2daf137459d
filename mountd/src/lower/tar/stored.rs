//! What an index is told about where things are stored, while it is built.

use super::format::{ChunkRecord, Codec, FileRecord, PartRecord};

/// Files, parts and chunks found so far.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// With their paths. The first one is the main file.
    pub(super) files: Vec<(FileRecord, Vec<u8>)>,
    pub(super) parts: Vec<PartRecord>,
    pub(super) chunks: Vec<ChunkRecord>,
}

/// Where a part is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StoredPlace {
    /// Number of the file.
    pub(super) file: u32,
    pub(super) codec: Codec,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

impl Stored {
    /// Length of the stream: where the next part begins.
    pub(super) fn stream_bytes(&self) -> u64 {
        self.parts
            .last()
            .map_or(0, |part| part.stream_offset + part.stream_bytes)
    }

    /// Appends a part of `stream_bytes`, with its chunks; an empty one is left out.
    pub(super) fn add_part(
        &mut self,
        place: StoredPlace,
        stream_bytes: u64,
        chunks: Vec<ChunkRecord>,
    ) {
        if stream_bytes == 0 {
            return;
        }
        self.parts.push(PartRecord {
            stream_offset: self.stream_bytes(),
            stream_bytes,
            file: place.file,
            codec: place.codec,
            stored_offset: place.offset,
            stored_bytes: place.bytes,
            first_chunk: self.chunks.len() as u64,
            chunks: chunks.len() as u64,
        });
        if self.chunks.is_empty() {
            self.chunks = chunks;
        } else {
            self.chunks.extend(chunks);
        }
    }
}
