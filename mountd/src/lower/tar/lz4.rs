//! LZ4 frames, legacy and skippable ones included: decoding the whole.
//!
//! A chunk begins at a frame, or between two blocks of one. Blocks that refer to what is before
//! them need the 64 KiB of output there. The blocks are decoded by `lz4_flex` (pure Rust without
//! `unsafe`, 1.7 GB/s, as fast as its unsafe form); its frames cannot be entered in the middle, so
//! they are read here, after `lz4_Frame_format.md` of the LZ4 project.

use std::hash::Hasher;

use twox_hash::XxHash32;

use super::error::ScanError;
use super::input::Input;
use super::lz4_frame::{
    MAGIC, MAGIC_LEGACY, Shape, UNPACKED, WINDOW, decode_block, is_magic, is_skippable,
};
use super::source::Stretch;
use super::stream::{CHUNK_TARGET, ChunkLog, Decoder};

/// What is decoded to one chunk at least, where chunks need no window.
const BLOCK_TARGET: u64 = 512 * 1024;

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
