//! Gzip (RFC 1952), several members included: decoding the whole, and one chunk of it.
//!
//! A chunk begins at a member, or between two blocks of a deflate stream; the latter needs the
//! left-over bits of the last byte and the 32 KiB of output before it.

use std::io;

use crate::error::{FsError, FsResult};
use crate::sys::inflate::{Inflate, Step, Stop};

use super::error::ScanError;
use super::format::ChunkRecord;
use super::input::Input;
use super::source::Stretch;
use super::stream::{CHUNK_TARGET, ChunkLog, Decoder};

/// How far back a deflate stream may refer.
const WINDOW: usize = 32 * 1024;
/// Output decoded at a time, behind the window.
const STRETCH: usize = 256 * 1024;
/// A member after this much output begins a chunk: it costs no window.
const MEMBER_TARGET: u64 = 512 * 1024;
/// Longest extra field, name or comment of a member that is skipped.
const HEADER_LIMIT: u64 = 1 << 20;

/// Decoder of a gzip file.
pub(super) struct GzipDecoder<'f> {
    input: Input<'f>,
    inflate: Inflate,
    /// The byte before the next one.
    last: u8,
    /// Output of this member: up to [`WINDOW`] bytes already given out, then new ones.
    output: Box<[u8]>,
    filled: usize,
    in_member: bool,
    members: u64,
    checksum: crc32fast::Hasher,
    member_bytes: u32,
    garbage: Option<u64>,
    /// What the next call has to report.
    failed: Option<ScanError>,
}

impl<'f> GzipDecoder<'f> {
    /// A decoder of `stored`, from its first byte on.
    ///
    /// # Errors
    /// If there is no memory.
    pub(super) fn new(stored: Stretch<'f>) -> Result<Self, ScanError> {
        Ok(Self {
            input: Input::new(stored),
            inflate: Inflate::new().map_err(|_| no_memory())?,
            last: 0,
            output: vec![0; WINDOW + STRETCH].into(),
            filled: 0,
            in_member: false,
            members: 0,
            checksum: crc32fast::Hasher::new(),
            member_bytes: 0,
            garbage: None,
            failed: None,
        })
    }

    fn corrupt(&self, why: &str) -> ScanError {
        ScanError::Corrupt {
            offset: self.input.position(),
            why: why.to_owned(),
        }
    }

    /// Goes into the next member; false at the end of the file.
    fn next_member(&mut self, chunks: &mut ChunkLog<'_>) -> Result<bool, ScanError> {
        let start = self.input.position();
        // Some writers pad the file with zeros.
        while self.members > 0 && self.input.available()?.first() == Some(&0) {
            self.input.consume(1);
        }
        let Some(first) = self.input.byte()? else {
            return Ok(false);
        };
        if self.members > 0 && (first != 0x1f || self.input.available()?.first() != Some(&0x8b)) {
            self.garbage = Some(start);
            self.input.skip(u64::MAX)?;
            return Ok(false);
        }
        if self.members > 0 && chunks.open_bytes() >= MEMBER_TARGET {
            chunks.cut(self.input.position() - 1, None)?;
        }
        if first != 0x1f || !skip_header(|| self.input.byte())? {
            if self.input.available()?.is_empty() {
                return Err(ScanError::Truncated);
            }
            return Err(self.corrupt("the header of a gzip member makes no sense"));
        }
        self.members += 1;
        self.in_member = true;
        self.inflate.reset().map_err(|_| no_memory())?;
        self.filled = 0;
        self.checksum.reset();
        self.member_bytes = 0;
        Ok(true)
    }

    /// Checks the eight bytes behind a member.
    fn end_member(&mut self) -> Result<(), ScanError> {
        let mut trailer = [0; 8];
        for byte in &mut trailer {
            *byte = self.input.byte()?.ok_or(ScanError::Truncated)?;
        }
        let (crc, length) = trailer.split_at(4);
        self.in_member = false;
        if crc != self.checksum.clone().finalize().to_le_bytes() {
            return Err(self.corrupt("the checksum of a gzip member does not hold"));
        }
        if length != self.member_bytes.to_le_bytes() {
            return Err(self.corrupt("the length of a gzip member does not hold"));
        }
        Ok(())
    }

    /// Keeps the last window's worth of output in front of the buffer.
    fn make_room(&mut self) {
        if self.filled > WINDOW {
            self.output
                .copy_within(self.filled - WINDOW..self.filled, 0);
            self.filled = WINDOW;
        }
    }

    /// Inflates once, with all the book-keeping.
    fn step(&mut self, chunks: &mut ChunkLog<'_>) -> Result<(), ScanError> {
        // Every block that ends costs a little, so that is looked for only when it is time.
        let at_blocks = chunks.open_bytes() >= CHUNK_TARGET;
        let input = self.input.available()?;
        let at_end = input.is_empty();
        let output = &mut self.output[self.filled..];
        let step = self.inflate.step(input, output, at_blocks);
        let Ok(Step { taken, made, stop }) = step else {
            return Err(self.corrupt("the compressed data cannot be decoded"));
        };
        self.last = match taken.checked_sub(1).and_then(|last| input.get(last)) {
            Some(last) => *last,
            None => self.last,
        };
        self.input.consume(taken);
        let made = &self.output[self.filled..self.filled + made];
        self.filled += made.len();
        self.checksum.update(made);
        self.member_bytes = self.member_bytes.wrapping_add(made.len() as u32);
        chunks.decoded(made, self.input.position())?;
        match stop {
            Stop::End => self.end_member(),
            Stop::Boundary(count) => {
                let bits = u16::from(self.last) >> (8 - u16::from(count));
                let window = &self.output[self.filled.saturating_sub(WINDOW)..self.filled];
                chunks.cut(self.input.position(), Some(((count, bits as u8), window)))
            }
            Stop::Waiting if made.is_empty() && at_end => Err(ScanError::Truncated),
            Stop::Waiting => Ok(()),
        }
    }
}

fn no_memory() -> ScanError {
    ScanError::Read(io::ErrorKind::OutOfMemory.into())
}

impl Decoder for GzipDecoder<'_> {
    fn next(&mut self, chunks: &mut ChunkLog<'_>) -> Result<Option<&[u8]>, ScanError> {
        loop {
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            if !self.in_member && !self.next_member(chunks)? {
                return Ok(None);
            }
            self.make_room();
            let first = self.filled;
            // As much as fits, in as many steps as it takes. What was good before an error goes
            // out first, so that the message can name the last good entry.
            while self.failed.is_none() && self.in_member && self.filled < self.output.len() {
                self.failed = self.step(chunks).err();
            }
            if self.filled > first {
                return Ok(Some(&self.output[first..self.filled]));
            }
        }
    }

    fn position(&self) -> u64 {
        self.input.position()
    }

    fn remark(&self) -> Option<String> {
        self.garbage
            .map(|at| format!("what follows the compressed data at byte {at} is ignored"))
    }
}

/// Reads a member's header behind its first byte; `Ok(false)` if it is none.
///
/// A file that ends in it is reported by the caller's next read, as a deflate stream cut off.
fn skip_header<E>(mut byte: impl FnMut() -> Result<Option<u8>, E>) -> Result<bool, E> {
    let mut next = || Ok(byte()?.unwrap_or(0));
    if next()? != 0x8b || next()? != 8 {
        return Ok(false);
    }
    let flags = next()?;
    for _ in 0..6 {
        next()?;
    }
    if flags & 0xe0 != 0 {
        return Ok(false);
    }
    if flags & 4 != 0 {
        let length = u16::from_le_bytes([next()?, next()?]);
        for _ in 0..length {
            next()?;
        }
    }
    for text in [8, 16] {
        let mut left = HEADER_LIMIT;
        while flags & text != 0 && next()? != 0 {
            left -= 1;
            if left == 0 {
                return Ok(false);
            }
        }
    }
    if flags & 2 != 0 {
        next()?;
        next()?;
    }
    Ok(true)
}

/// Decodes one chunk from its stored bytes and, inside a member, from the packed window before it.
///
/// # Errors
/// [`FsError::Damaged`] if that does not give exactly the chunk's length.
pub(super) fn decode_chunk(chunk: &ChunkRecord, stored: &[u8], packed: &[u8]) -> FsResult<Vec<u8>> {
    let damaged = |_| FsError::Damaged;
    let mut input = stored;
    let mut inflate = Inflate::new().map_err(damaged)?;
    if chunk.inside {
        let window = match packed {
            [] => Vec::new(),
            packed => ::zstd::bulk::decompress(packed, WINDOW).map_err(|_| FsError::Damaged)?,
        };
        let entered = inflate.enter(chunk.bit_count.min(7), chunk.bits, &window);
        entered.map_err(damaged)?;
    } else {
        enter_member(&mut input)?;
    }
    let mut output = vec![0; chunk.length as usize];
    let mut filled = 0;
    while filled < output.len() {
        let step = inflate.step(input, &mut output[filled..], false);
        let Step { taken, made, stop } = step.map_err(damaged)?;
        input = input.get(taken..).ok_or(FsError::Damaged)?;
        filled += made;
        match stop {
            _ if filled == output.len() => {}
            Stop::End => {
                input = input.get(8..).ok_or(FsError::Damaged)?;
                input = &input[input.iter().take_while(|byte| **byte == 0).count()..];
                enter_member(&mut input)?;
                inflate.reset().map_err(damaged)?;
            }
            _ if made == 0 => return Err(FsError::Damaged),
            _ => {}
        }
    }
    Ok(output)
}

fn enter_member(input: &mut &[u8]) -> FsResult<()> {
    let mut next = || {
        let (first, rest) = input.split_first().ok_or(FsError::Damaged)?;
        *input = rest;
        Ok::<_, FsError>(Some(*first))
    };
    if next()? == Some(0x1f) && skip_header(next)? {
        Ok(())
    } else {
        Err(FsError::Damaged)
    }
}
