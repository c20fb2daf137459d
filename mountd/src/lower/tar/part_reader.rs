//! A part that was just decoded, read anywhere while its index is still being written.

use std::fs::File;
use std::io;

use parking_lot::Mutex;

use super::codecs;
use super::format::{ChunkRecord, Codec};
use super::source::{StoredBytes, read_full};

/// Longest packed window: of 64 KiB that do not pack.
const WINDOW_LIMIT: u32 = 1 << 18;

/// A compressed part as plain bytes. Keeps the chunk that was read last.
pub(super) struct PartReader {
    pub(super) file: File,
    /// Where the part begins in the file.
    pub(super) offset: u64,
    pub(super) codec: Codec,
    pub(super) chunks: Vec<ChunkRecord>,
    /// The unfinished index, and where in it the windows begin.
    pub(super) windows: (File, u64),
    pub(super) last: Mutex<Option<(usize, Vec<u8>)>>,
}

impl PartReader {
    fn decode(&self, chunk: &ChunkRecord) -> io::Result<Vec<u8>> {
        let mut stored = vec![0; chunk.stored_bytes as usize];
        let at = self.offset + chunk.stored_offset;
        if read_full(&self.file, &mut stored, at)? < stored.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut window = vec![0; chunk.window_bytes.min(WINDOW_LIMIT) as usize];
        let (windows, start) = &self.windows;
        read_full(windows, &mut window, start + chunk.window_offset)?;
        codecs::decode_chunk(self.codec, chunk, &stored, &window)
            .map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// The number of the chunk that holds the byte at `offset`.
    fn chunk_at(&self, offset: u64) -> Option<usize> {
        let after = self
            .chunks
            .partition_point(|chunk| chunk.stream_offset <= offset);
        after.checked_sub(1)
    }
}

impl StoredBytes for PartReader {
    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        let mut last = self.last.lock();
        while filled < buffer.len() {
            let at = offset.saturating_add(filled as u64);
            let Some(number) = self.chunk_at(at) else {
                break;
            };
            let chunk = &self.chunks[number];
            let bytes = match &mut *last {
                Some((held, bytes)) if *held == number => &*bytes,
                other => &other.insert((number, self.decode(chunk)?)).1,
            };
            let from = usize::try_from(at - chunk.stream_offset).unwrap_or(usize::MAX);
            let piece = bytes.get(from..).unwrap_or_default();
            if piece.is_empty() {
                break;
            }
            let count = piece.len().min(buffer.len() - filled);
            buffer[filled..filled + count].copy_from_slice(&piece[..count]);
            filled += count;
        }
        Ok(filled)
    }

    fn length(&self) -> u64 {
        self.chunks
            .last()
            .map_or(0, |chunk| chunk.stream_offset + u64::from(chunk.length))
    }
}
