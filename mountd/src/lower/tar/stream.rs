//! A compressed archive as a source: decoded once, front to back, with its chunks noted down.

use std::hash::Hasher;

use twox_hash::XxHash3_64;

use super::error::ScanError;
use super::format::ChunkRecord;
use super::progress::Meter;
use super::seekable::CopyWriter;
use super::source::{Source, Stretch};

/// What is decoded to one chunk at least, where the compression allows to start there.
pub(super) const CHUNK_TARGET: u64 = 2 << 20;
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

/// Takes the windows that chunks in the middle of a gzip member need.
pub(super) type WindowSink<'w> = dyn FnMut(&[u8]) -> Result<(u64, u32), ScanError> + 'w;

/// The chunks found so far, and the one that is being decoded.
pub(super) struct ChunkLog<'w> {
    chunks: Vec<ChunkRecord>,
    current: ChunkRecord,
    hash: XxHash3_64,
    decoded: u64,
    /// False when a copy is made: then the chunks of the original do not matter.
    wanted: bool,
    windows: &'w mut WindowSink<'w>,
}

impl<'w> ChunkLog<'w> {
    /// An empty log; `wanted` is false if nothing is to be kept.
    pub(super) fn new(wanted: bool, windows: &'w mut WindowSink<'w>) -> Self {
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

    /// Ends the chunk at `position` of the file and begins the next one there. For a beginning in
    /// the middle of a deflate stream, `bits` are the left-over bits and their number, `window` is
    /// the output before.
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
            (self.current.window_offset, self.current.window_bytes) = (self.windows)(window)?;
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
    fn finish(&mut self, position: u64) -> Vec<ChunkRecord> {
        if self.wanted {
            self.close(position);
        }
        std::mem::take(&mut self.chunks)
    }
}

/// The decoded stream as a [`Source`].
pub(super) struct StreamSource<'w, 'p> {
    decoder: Box<dyn Decoder + 'w>,
    log: ChunkLog<'w>,
    meter: &'w Meter<'p>,
    copy: Option<&'w mut CopyWriter>,
    buffer: Vec<u8>,
    start: u64,
    total: u64,
    ended: bool,
}

impl<'w, 'p> StreamSource<'w, 'p> {
    /// A source over `decoder`; with `copy`, all that is decoded goes there as well.
    pub(super) fn new(
        decoder: Box<dyn Decoder + 'w>,
        copy: Option<&'w mut CopyWriter>,
        windows: &'w mut WindowSink<'w>,
        meter: &'w Meter<'p>,
    ) -> Self {
        let log = ChunkLog::new(copy.is_none(), windows);
        Self {
            decoder,
            log,
            meter,
            copy,
            buffer: Vec::new(),
            start: 0,
            total: 0,
            ended: false,
        }
    }

    /// Decodes one more stretch and keeps what lies at or after `offset`.
    fn pull(&mut self, offset: u64) -> Result<(), ScanError> {
        let Some(bytes) = self.decoder.next(&mut self.log)? else {
            self.ended = true;
            return Ok(());
        };
        if let Some(copy) = &mut self.copy {
            copy.write(bytes)?;
        }
        let from = usize::try_from(offset.saturating_sub(self.total)).unwrap_or(usize::MAX);
        self.total += bytes.len() as u64;
        if self.buffer.is_empty() {
            self.start = offset.max(self.total - bytes.len() as u64);
        }
        self.buffer
            .extend_from_slice(bytes.get(from..).unwrap_or_default());
        self.meter.tick(self.decoder.position())
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
        while !self.ended {
            self.buffer.clear();
            self.pull(u64::MAX)?;
        }
        Ok((
            self.log.finish(self.decoder.position()),
            self.total,
            self.decoder.remark(),
        ))
    }
}

impl Source for StreamSource<'_, '_> {
    fn bytes(&mut self, offset: u64, length: usize) -> Result<&[u8], ScanError> {
        self.discard_before(offset);
        while !self.ended && self.start + (self.buffer.len() as u64) < offset + length as u64 {
            self.pull(offset)?;
        }
        let from = usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let rest = self.buffer.get(from..).unwrap_or_default();
        Ok(rest.get(..length).unwrap_or(rest))
    }

    fn end(&self) -> Option<u64> {
        self.ended.then_some(self.total)
    }

    fn position(&self) -> u64 {
        self.decoder.position()
    }
}

/// Stored bytes, read front to back.
#[derive(Debug)]
pub(super) struct Input<'f> {
    stored: Stretch<'f>,
    buffer: Box<[u8]>,
    filled: usize,
    at: usize,
    offset: u64,
}

impl<'f> Input<'f> {
    /// A reader from the first byte on.
    pub(super) fn new(stored: Stretch<'f>) -> Self {
        Self {
            stored,
            buffer: vec![0; 256 * 1024].into(),
            filled: 0,
            at: 0,
            offset: 0,
        }
    }

    /// What is left in the buffer, after reading more if it was empty; empty only at the end.
    pub(super) fn available(&mut self) -> Result<&[u8], ScanError> {
        if self.at == self.filled {
            self.offset += self.filled as u64;
            (self.at, self.filled) = (0, 0);
            let read = self.stored.read(&mut self.buffer, self.offset);
            self.filled = read.map_err(ScanError::Read)?;
        }
        Ok(&self.buffer[self.at..self.filled])
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> Result<Option<u8>, ScanError> {
        let byte = self.available()?.first().copied();
        self.consume(usize::from(byte.is_some()));
        Ok(byte)
    }

    /// Takes `count` bytes of [`Self::available`].
    pub(super) fn consume(&mut self, count: usize) {
        self.at = self.at.saturating_add(count).min(self.filled);
    }

    /// Offset of the next byte.
    pub(super) fn position(&self) -> u64 {
        self.offset + self.at as u64
    }
}
