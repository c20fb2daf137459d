//! A compressed archive as a source: decoded once, front to back, with its chunks noted down.

use std::hash::Hasher;

use twox_hash::XxHash3_64;

use super::ahead::{Ahead, Direct, Ending, Feed, Piece, Task};
use super::error::ScanError;
use super::format::{ChunkRecord, Codec};
use super::progress::Meter;
use super::seekable::CopyWriter;
use super::source::{Source, Stretch};

/// What is decoded to one chunk at least, where its window has to be kept. On a Debian system packed
/// with gzip, windows of half of this come to 1.8 percent of what is unpacked, of this to 1.0, of
/// twice this to 0.6; and what does not compress needs three times as much.
pub(super) const CHUNK_TARGET: u64 = 1 << 20;
/// What a chunk may hold at most. Reading one byte means decoding its chunk, so an archive with a
/// longer one is copied into a seekable form.
pub(super) const CHUNK_LIMIT: u64 = 16 << 20;

/// A decoder of compressed bytes, from the first to the last.
pub(super) trait Decoder {
    /// The next stretch of decoded bytes, `None` at the end. Chunks that it finished are added to
    /// `chunks`.
    fn next(&mut self, chunks: &mut ChunkLog<'_>) -> Result<Option<&[u8]>, ScanError>;

    /// How far the stored bytes have been read.
    fn position(&self) -> u64;

    /// Something odd that is no error, found at the end.
    fn remark(&self) -> Option<String> {
        None
    }
}

/// Takes the windows that chunks in the middle of a stream need; answers where it put them.
pub(super) type WindowSink<'w> = dyn FnMut(&[u8]) -> Result<(u64, u32), ScanError> + 'w;

/// The chunks found so far, and the one that is being decoded.
pub(super) struct ChunkLog<'w> {
    chunks: Vec<ChunkRecord>,
    current: ChunkRecord,
    hash: XxHash3_64,
    decoded: u64,
    /// False when a copy is made: then the chunks of the original do not matter.
    wanted: bool,
    windows: Option<&'w mut WindowSink<'w>>,
}

impl<'w> ChunkLog<'w> {
    /// An empty log; `wanted` is false if nothing is to be kept. Without `windows`, no chunk may
    /// need one.
    pub(super) fn new(wanted: bool, windows: Option<&'w mut WindowSink<'w>>) -> Self {
        let (chunks, current, hash) = (Vec::new(), ChunkRecord::default(), XxHash3_64::new());
        Self {
            chunks,
            current,
            hash,
            decoded: 0,
            wanted,
            windows,
        }
    }

    /// Bytes of the chunk being decoded.
    pub(super) fn open_bytes(&self) -> u64 {
        self.decoded - self.current.stream_offset
    }

    /// Counts decoded bytes, which end with what `position` of the file was read for.
    pub(super) fn decoded(&mut self, bytes: &[u8], position: u64) -> Result<(), ScanError> {
        self.decoded += bytes.len() as u64;
        if !self.wanted {
            return Ok(());
        }
        self.hash.write(bytes);
        let stored = position - self.current.stored_offset;
        if self.open_bytes() > CHUNK_LIMIT || stored > CHUNK_LIMIT + CHUNK_LIMIT / 4 {
            return Err(ScanError::NeedsCopy);
        }
        Ok(())
    }

    /// Adds a chunk that was decoded whole; all is there but where it begins in the stream.
    pub(super) fn whole(&mut self, mut chunk: ChunkRecord) {
        chunk.stream_offset = self.decoded;
        self.decoded += u64::from(chunk.length);
        self.current.stream_offset = self.decoded;
        if self.wanted {
            self.chunks.push(chunk);
        }
    }

    /// Ends the chunk at `position` of the file and begins the next one there. For a beginning in
    /// the middle of a stream, the first pair is what the codec needs to know of that place (of
    /// deflate, the number of left-over bits and these), `window` is the output before.
    pub(super) fn cut(
        &mut self,
        position: u64,
        inside: Option<((u8, u8), &[u8])>,
    ) -> Result<(), ScanError> {
        if !self.wanted {
            return Ok(());
        }
        self.close(position);
        self.current = ChunkRecord {
            stream_offset: self.decoded,
            stored_offset: position,
            ..Default::default()
        };
        if let Some(((count, value), window)) = inside {
            self.current.inside = true;
            (self.current.bit_count, self.current.bits) = (count, value);
            if !window.is_empty() {
                let windows = self.windows.as_mut().ok_or(ScanError::NeedsCopy)?;
                (self.current.window_offset, self.current.window_bytes) = windows(window)?;
            }
        }
        Ok(())
    }

    fn close(&mut self, position: u64) {
        if self.open_bytes() > 0 {
            let mut chunk = self.current;
            // At most CHUNK_LIMIT, see `decoded`.
            chunk.length = self.open_bytes() as u32;
            chunk.stored_bytes = position - chunk.stored_offset;
            chunk.hash = self.hash.finish();
            self.chunks.push(chunk);
        }
        self.hash = XxHash3_64::new();
    }

    /// All chunks, the last ending at `position`.
    pub(super) fn finish(&mut self, position: u64) -> Vec<ChunkRecord> {
        if self.wanted {
            self.close(position);
        }
        std::mem::take(&mut self.chunks)
    }
}

/// The decoded stream as a [`Source`].
pub(super) struct StreamSource<'w, 'p> {
    feed: Box<dyn Feed + 'w>,
    /// Takes packed windows.
    windows: &'w mut WindowSink<'w>,
    /// Where the first one was put: the chunks count from there.
    first_window: Option<u64>,
    meter: &'w Meter<'p>,
    copy: Option<&'w mut CopyWriter>,
    buffer: Vec<u8>,
    start: u64,
    total: u64,
    position: u64,
    ending: Option<Ending>,
}

impl<'w, 'p> StreamSource<'w, 'p> {
    /// A source of what comes of `stored`; with `copy`, all that is decoded goes there as well.
    ///
    /// # Errors
    /// If there can be no thread to decode.
    pub(super) fn start(
        codec: Codec,
        stored: Stretch<'_>,
        copy: Option<&'w mut CopyWriter>,
        windows: &'w mut WindowSink<'w>,
        meter: &'w Meter<'p>,
    ) -> Result<Self, ScanError> {
        let ahead = Task::new(codec, stored, copy.is_some()).and_then(Ahead::start);
        let ahead = ahead.map_err(ScanError::Read)?;
        Ok(Self::new(Box::new(ahead), copy, windows, meter))
    }

    /// A source of what `decoder`, which needs no windows, makes in this thread.
    pub(super) fn over(
        decoder: Box<dyn Decoder + 'w>,
        copy: Option<&'w mut CopyWriter>,
        windows: &'w mut WindowSink<'w>,
        meter: &'w Meter<'p>,
    ) -> Self {
        let log = ChunkLog::new(copy.is_none(), None);
        let decoder = Box::new(Direct { decoder, log });
        Self::new(decoder, copy, windows, meter)
    }

    fn new(
        feed: Box<dyn Feed + 'w>,
        copy: Option<&'w mut CopyWriter>,
        windows: &'w mut WindowSink<'w>,
        meter: &'w Meter<'p>,
    ) -> Self {
        Self {
            feed,
            windows,
            first_window: None,
            meter,
            copy,
            buffer: Vec::new(),
            start: 0,
            total: 0,
            position: 0,
            ending: None,
        }
    }

    /// Takes one more piece and keeps what lies at or after `offset`.
    fn pull(&mut self, offset: u64) -> Result<(), ScanError> {
        let bytes = match self.feed.next()? {
            Piece::Bytes(bytes, position) => {
                self.position = position;
                bytes
            }
            Piece::Window(packed) => {
                let (at, _) = (self.windows)(&packed)?;
                self.first_window.get_or_insert(at);
                return Ok(());
            }
            Piece::End(ending) => {
                self.ending = Some(ending);
                return Ok(());
            }
        };
        if let Some(copy) = &mut self.copy {
            copy.write(&bytes)?;
        }
        let from = usize::try_from(offset.saturating_sub(self.total)).unwrap_or(usize::MAX);
        self.total += bytes.len() as u64;
        if self.buffer.is_empty() {
            self.start = offset.max(self.total - bytes.len() as u64);
        }
        self.buffer
            .extend_from_slice(bytes.get(from..).unwrap_or_default());
        self.feed.recycle(bytes);
        self.meter.tick(self.position)
    }

    fn discard_before(&mut self, offset: u64) {
        let ahead = usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        if ahead >= self.buffer.len() {
            self.buffer.clear();
            self.start = offset;
        } else if ahead > self.buffer.len() / 2 {
            self.buffer.drain(..ahead);
            self.start = offset;
        }
    }

    /// Decodes the rest, so that every checksum is looked at; returns the chunks, the length of
    /// the stream and a remark.
    pub(super) fn finish(mut self) -> Result<(Vec<ChunkRecord>, u64, Option<String>), ScanError> {
        while self.ending.is_none() {
            self.buffer.clear();
            self.pull(u64::MAX)?;
        }
        let Ending { mut chunks, remark } = self.ending.take().unwrap_or_default();
        let first = self.first_window.unwrap_or(0);
        for chunk in chunks.iter_mut().filter(|chunk| chunk.window_bytes > 0) {
            chunk.window_offset += first;
        }
        Ok((chunks, self.total, remark))
    }
}

impl Source for StreamSource<'_, '_> {
    fn bytes(&mut self, offset: u64, length: usize) -> Result<&[u8], ScanError> {
        self.discard_before(offset);
        while self.ending.is_none()
            && self.start + (self.buffer.len() as u64) < offset + length as u64
        {
            self.pull(offset)?;
        }
        let from = usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let rest = self.buffer.get(from..).unwrap_or_default();
        Ok(rest.get(..length).unwrap_or(rest))
    }

    fn end(&self) -> Option<u64> {
        self.ending.as_ref().map(|_| self.total)
    }

    fn position(&self) -> u64 {
        self.position
    }
}
