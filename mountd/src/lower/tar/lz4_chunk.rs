//! Decoding one chunk of LZ4 frames.

use crate::error::{FsError, FsResult};

use super::format::ChunkRecord;
use super::lz4_frame::{
    MAGIC, MAGIC_LEGACY, Shape, UNPACKED, WINDOW, decode_block, is_magic, is_skippable,
};

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
