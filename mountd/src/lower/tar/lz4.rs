//! LZ4 frames, legacy and skippable ones included: decoding the whole, and one chunk.
//!
//! A chunk begins at a frame, or between two blocks of one. Blocks that refer to what is before
//! them need the 64 KiB of output there. The blocks are decoded by `lz4_flex` (pure Rust without
//! `unsafe`, 1.7 GB/s, as fast as its unsafe form); its frames cannot be entered in the middle, so
//! they are read here, after `lz4_Frame_format.md` of the LZ4 project.

use std::hash::Hasher;

use lz4_flex::block::decompress_into_with_dict;
use twox_hash::XxHash32;

use crate::error::{FsError, FsResult};

use super::error::ScanError;
use super::format::ChunkRecord;
use super::source::Stretch;
use super::stream::{CHUNK_TARGET, ChunkLog, Decoder, Input};

/// How far back a block may refer.
const WINDOW: usize = 64 * 1024;
/// What is decoded to one chunk at least, where chunks need no window.
const BLOCK_TARGET: u64 = 512 * 1024;

const MAGIC: u32 = 0x184d_2204;
const MAGIC_LEGACY: u32 = 0x184c_2102;
/// Of a block's length: it is stored as it is.
const UNPACKED: u32 = 1 << 31;

fn is_skippable(magic: u32) -> bool {
    magic & !0xf == 0x184d_2a50
}

fn is_magic(word: u32) -> bool {
    word == MAGIC || word == MAGIC_LEGACY || is_skippable(word)
}

/// What has to be known of a frame to read its blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shape {
    /// Blocks refer to the output of those before.
    linked: bool,
    block_sums: bool,
    content_sum: bool,
    legacy: bool,
    /// Longest block in decoded bytes, as the number in the header: 4 is 64 KiB, 7 is 4 MiB.
    size_code: u8,
}

impl Shape {
    const LEGACY: Self = Self {
        linked: false,
        block_sums: false,
        content_sum: false,
        legacy: true,
        size_code: 7,
    };

    /// The shape that a descriptor tells of, its checksum included.
    fn read(descriptor: &[u8]) -> Result<Self, &'static str> {
        let (&sum, fields) = descriptor.split_last().ok_or("a frame without a header")?;
        let [flags, sizes, ..] = *fields else {
            return Err("a frame without a header");
        };
        if (XxHash32::oneshot(0, fields) >> 8) as u8 != sum {
            return Err("the checksum of a frame's header does not hold");
        }
        let size_code = sizes >> 4;
        if flags & 0b1100_0010 != 0b0100_0000 || sizes & 0x8f != 0 || size_code < 4 {
            return Err("the header of a frame makes no sense");
        }
        Ok(Self {
            linked: flags & 0x20 == 0,
            block_sums: flags & 0x10 != 0,
            content_sum: flags & 4 != 0,
            legacy: false,
            size_code,
        })
    }

    /// Length of a descriptor that begins with `flags`.
    fn descriptor_bytes(flags: u8) -> usize {
        3 + usize::from(flags & 8) + usize::from(flags & 1) * 4
    }

    fn longest(self) -> usize {
        match self.legacy {
            true => 8 << 20,
            false => 1 << (8 + 2 * self.size_code),
        }
    }

    /// As a chunk record keeps it.
    fn bits(self) -> (u8, u8) {
        let bits = u8::from(self.linked)
            | u8::from(self.block_sums) << 1
            | u8::from(self.content_sum) << 2
            | u8::from(self.legacy) << 3;
        (self.size_code, bits)
    }

    fn from_bits((size_code, bits): (u8, u8)) -> Self {
        Self {
            linked: bits & 1 != 0,
            block_sums: bits & 2 != 0,
            content_sum: bits & 4 != 0,
            legacy: bits & 8 != 0,
            size_code: size_code.clamp(4, 7),
        }
    }
}

/// Decodes a block into `output`; returns how many bytes it made.
fn decode_block(word: u32, stored: &[u8], output: &mut [u8], before: &[u8]) -> Option<usize> {
    if word & UNPACKED == 0 {
        return decompress_into_with_dict(stored, output, before).ok();
    }
    output.get_mut(..stored.len())?.copy_from_slice(stored);
    Some(stored.len())
}

/// Decoder of an LZ4 file.
pub(super) struct Lz4Decoder<'f> {
    input: Input<'f>,
    /// The frame that is open.
    frame: Option<Shape>,
    frames: u64,
    /// Read already: the magic number behind a legacy frame.
    magic: Option<u32>,
    checksum: XxHash32,
    stored: Vec<u8>,
    output: Vec<u8>,
    made: usize,
    /// The last output of a frame with linked blocks.
    window: Vec<u8>,
    garbage: Option<u64>,
}

impl<'f> Lz4Decoder<'f> {
    /// A decoder of `stored`, from its first byte on.
    pub(super) fn new(stored: Stretch<'f>) -> Self {
        Self {
            input: Input::new(stored),
            frame: None,
            frames: 0,
            magic: None,
            checksum: XxHash32::with_seed(0),
            stored: Vec::new(),
            output: Vec::new(),
            made: 0,
            window: Vec::new(),
            garbage: None,
        }
    }

    fn corrupt(&self, why: &str) -> ScanError {
        ScanError::Corrupt {
            offset: self.input.position(),
            why: format!("lz4: {why}"),
        }
    }

    /// Reads `count` bytes into the buffer of stored ones.
    fn take(&mut self, count: usize) -> Result<(), ScanError> {
        self.stored.clear();
        match self.input.take(count, &mut self.stored)? {
            true => Ok(()),
            false => Err(ScanError::Truncated),
        }
    }

    /// The next 32 bits; `None` at the end of the file.
    fn word(&mut self) -> Result<Option<u32>, ScanError> {
        if self.input.available()?.is_empty() {
            return Ok(None);
        }
        self.take(4)?;
        Ok(self.stored.first_chunk().copied().map(u32::from_le_bytes))
    }

    /// Goes into the next frame; false at the end of the file.
    fn next_frame(&mut self, chunks: &mut ChunkLog<'_>) -> Result<bool, ScanError> {
        let magic = match self.magic.take() {
            Some(magic) => magic,
            None if self.frames == 0 => self.word()?.ok_or(ScanError::Truncated)?,
            // A few bytes of something else at the end are no frame cut off.
            None => match self.trailing_magic()? {
                Some(magic) => magic,
                None => return Ok(false),
            },
        };
        let start = self.input.position() - 4;
        self.frames += 1;
        if is_skippable(magic) {
            let length = self.word()?.ok_or(ScanError::Truncated)?;
            return match self.input.skip(length.into())? {
                true => Ok(true),
                false => Err(ScanError::Truncated),
            };
        }
        if chunks.open_bytes() >= BLOCK_TARGET {
            chunks.cut(start, None)?;
        }
        self.window.clear();
        self.checksum = XxHash32::with_seed(0);
        self.frame = Some(match magic {
            MAGIC => self.descriptor()?,
            MAGIC_LEGACY => Shape::LEGACY,
            _ => return Err(self.corrupt("no frame begins here")),
        });
        Ok(true)
    }

    fn trailing_magic(&mut self) -> Result<Option<u32>, ScanError> {
        let start = self.input.position();
        self.stored.clear();
        let whole = self.input.take(4, &mut self.stored)?;
        let word = self.stored.first_chunk().copied().map(u32::from_le_bytes);
        match word.filter(|word| whole && is_magic(*word)) {
            Some(magic) => Ok(Some(magic)),
            None => {
                self.garbage = (!self.stored.is_empty()).then_some(start);
                self.input.skip(u64::MAX)?;
                Ok(None)
            }
        }
    }

    fn descriptor(&mut self) -> Result<Shape, ScanError> {
        let flags = self.input.byte()?.ok_or(ScanError::Truncated)?;
        self.stored.clear();
        self.stored.push(flags);
        let left = Shape::descriptor_bytes(flags) - 1;
        if !self.input.take(left, &mut self.stored)? {
            return Err(ScanError::Truncated);
        }
        if flags & 1 != 0 {
            return Err(ScanError::Compression {
                what: "it is lz4-compressed with a dictionary".to_owned(),
                remedy: "unpack it with \"lz4 -d -D DICTIONARY IMAGE\" and use the plain archive",
            });
        }
        Shape::read(&self.stored).map_err(|why| self.corrupt(why))
    }

    /// Decodes the next block of the frame; false if there is none.
    fn block(&mut self, shape: Shape, chunks: &mut ChunkLog<'_>) -> Result<bool, ScanError> {
        let word = match self.word()? {
            Some(word) if shape.legacy && is_magic(word) => {
                self.magic = Some(word);
                return Ok(false);
            }
            None if shape.legacy => return Ok(false),
            None => return Err(ScanError::Truncated),
            Some(0) if !shape.legacy => {
                self.end_frame(shape)?;
                return Ok(false);
            }
            Some(word) => word,
        };
        self.cut(shape, chunks)?;
        let length = (word & !UNPACKED) as usize;
        if length > shape.longest() + shape.longest() / 128 {
            return Err(self.corrupt("a block is longer than its frame allows"));
        }
        self.take(length)?;
        if self.output.len() < shape.longest() {
            self.output.resize(shape.longest(), 0);
        }
        let output = &mut self.output[..shape.longest()];
        self.made = decode_block(word, &self.stored, output, &self.window)
            .ok_or_else(|| self.corrupt("a block cannot be decoded"))?;
        if shape.block_sums {
            let sum = XxHash32::oneshot(0, &self.stored);
            if self.word()? != Some(sum) {
                return Err(self.corrupt("the checksum of a block does not hold"));
            }
        }
        let made = &self.output[..self.made];
        if shape.content_sum {
            self.checksum.write(made);
        }
        if shape.linked {
            let kept = made.len().min(WINDOW);
            self.window.extend_from_slice(&made[made.len() - kept..]);
            self.window
                .drain(..self.window.len().saturating_sub(WINDOW));
        }
        chunks.decoded(made, self.input.position())?;
        Ok(true)
    }

    /// Begins a chunk at the block whose length was just read, if it is time.
    fn cut(&mut self, shape: Shape, chunks: &mut ChunkLog<'_>) -> Result<(), ScanError> {
        let target = if shape.linked {
            CHUNK_TARGET
        } else {
            BLOCK_TARGET
        };
        if chunks.open_bytes() < target {
            return Ok(());
        }
        let start = self.input.position() - 4;
        chunks.cut(start, Some((shape.bits(), &self.window)))
    }

    fn end_frame(&mut self, shape: Shape) -> Result<(), ScanError> {
        if shape.content_sum {
            let sum = self.word()?.ok_or(ScanError::Truncated)?;
            if sum != self.checksum.finish() as u32 {
                return Err(self.corrupt("the checksum of a frame does not hold"));
            }
        }
        Ok(())
    }
}

impl Decoder for Lz4Decoder<'_> {
    fn next(&mut self, chunks: &mut ChunkLog<'_>) -> Result<Option<&[u8]>, ScanError> {
        loop {
            if let Some(shape) = self.frame {
                if !self.block(shape, chunks)? {
                    self.frame = None;
                } else if self.made > 0 {
                    return Ok(Some(&self.output[..self.made]));
                }
            } else if !self.next_frame(chunks)? {
                return Ok(None);
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

/// Decodes one chunk from its stored bytes and, inside a frame, from the packed window before it.
///
/// # Errors
/// [`FsError::Damaged`] if that does not give exactly the chunk's length.
pub(super) fn decode_chunk(chunk: &ChunkRecord, stored: &[u8], packed: &[u8]) -> FsResult<Vec<u8>> {
    let mut output = match packed {
        [] => Vec::new(),
        packed => ::zstd::bulk::decompress(packed, WINDOW).map_err(|_| FsError::Damaged)?,
    };
    let window = output.len();
    output.resize(window + chunk.length as usize, 0);
    let mut blocks = Blocks {
        rest: stored,
        frame: chunk
            .inside
            .then(|| Shape::from_bits((chunk.bit_count, chunk.bits))),
        start: 0,
    };
    let mut filled = window;
    while filled < output.len() {
        filled += blocks.next(&mut output, filled).ok_or(FsError::Damaged)?;
    }
    output.drain(..window);
    Ok(output)
}

/// The blocks of a chunk, one after the other.
struct Blocks<'s> {
    rest: &'s [u8],
    frame: Option<Shape>,
    /// Where in the output the open frame begins.
    start: usize,
}

impl<'s> Blocks<'s> {
    fn bytes(&mut self, count: usize) -> Option<&'s [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(bytes)
    }

    fn word(&mut self) -> Option<u32> {
        self.bytes(4)?
            .first_chunk()
            .copied()
            .map(u32::from_le_bytes)
    }

    /// Decodes the next block to `filled`; `None` if that is not possible.
    fn next(&mut self, output: &mut [u8], filled: usize) -> Option<usize> {
        loop {
            let Some(shape) = self.frame else {
                self.enter(filled)?;
                continue;
            };
            let rest = self.rest;
            match self.word()? {
                word if shape.legacy && is_magic(word) => {
                    (self.frame, self.rest) = (None, rest);
                }
                0 if !shape.legacy => {
                    self.bytes(if shape.content_sum { 4 } else { 0 })?;
                    self.frame = None;
                }
                word => {
                    let stored = self.bytes((word & !UNPACKED) as usize)?;
                    self.bytes(if shape.block_sums { 4 } else { 0 })?;
                    let (before, room) = output.split_at_mut_checked(filled)?;
                    let from = if shape.linked {
                        self.start.max(filled.saturating_sub(WINDOW))
                    } else {
                        filled
                    };
                    let count = room.len().min(shape.longest());
                    return decode_block(word, stored, &mut room[..count], before.get(from..)?);
                }
            }
        }
    }

    /// Goes into the next frame, which begins at `filled` of the output.
    fn enter(&mut self, filled: usize) -> Option<()> {
        self.start = filled;
        match self.word()? {
            MAGIC => {
                let length = Shape::descriptor_bytes(*self.rest.first()?);
                self.frame = Some(Shape::read(self.bytes(length)?).ok()?);
            }
            MAGIC_LEGACY => self.frame = Some(Shape::LEGACY),
            magic if is_skippable(magic) => {
                let length = self.word()?;
                self.bytes(length as usize)?;
            }
            _ => return None,
        }
        Some(())
    }
}
