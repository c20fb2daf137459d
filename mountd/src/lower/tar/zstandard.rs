//! Zstandard (RFC 8878), several and skippable frames included: decoding the whole, and one chunk.
//!
//! A chunk is a run of whole frames. The crate `zstd` (the reference implementation, built from
//! bundled C by `cc`) does the work: on the same machine it decoded 640 MB/s where the pure-Rust
//! `ruzstd` 0.9 did 170 MB/s, and the seekable copy needs an encoder, where the distance is
//! larger (260 MB/s at level 1 against 42 MB/s, with a better ratio).

use ::zstd::zstd_safe::{DCtx, InBuffer, OutBuffer, get_error_name};

use crate::error::{FsError, FsResult};

use super::error::ScanError;
use super::format::ChunkRecord;
use super::source::Stretch;
use super::stream::{ChunkLog, Decoder, Input};

/// Frames are gathered into a chunk until it holds this much.
const FRAME_TARGET: u64 = 512 * 1024;
/// Output decoded at a time.
const STRETCH: usize = 256 * 1024;

/// Decoder of a zstd file.
pub(super) struct ZstdDecoder<'f> {
    input: Input<'f>,
    context: DCtx<'static>,
    output: Vec<u8>,
    in_frame: bool,
    frames: u64,
    garbage: Option<u64>,
}

impl<'f> ZstdDecoder<'f> {
    /// A decoder of `stored`, from its first byte on.
    pub(super) fn new(stored: Stretch<'f>) -> Self {
        Self {
            input: Input::new(stored),
            context: DCtx::create(),
            output: Vec::with_capacity(STRETCH),
            in_frame: false,
            frames: 0,
            garbage: None,
        }
    }

    /// Sees to it that a frame is due or open; false at the end.
    fn at_frame(&mut self, chunks: &mut ChunkLog<'_>) -> Result<bool, ScanError> {
        if self.in_frame {
            return Ok(true);
        }
        let Some(&first) = self.input.available()?.first() else {
            return Ok(false);
        };
        // A magic number begins with 28 (a frame) or 50 to 5f (a skippable one).
        if self.frames > 0 && first != 0x28 && first & 0xf0 != 0x50 {
            self.garbage = Some(self.input.position());
            // Whoever decodes the last chunk must not meet the garbage.
            chunks.cut(self.input.position(), None)?;
            while !self.input.available()?.is_empty() {
                self.input.consume(usize::MAX);
            }
            return Ok(false);
        }
        if chunks.open_bytes() >= FRAME_TARGET {
            chunks.cut(self.input.position(), None)?;
        }
        self.in_frame = true;
        Ok(true)
    }

    fn failed(&self, code: usize) -> ScanError {
        let name = get_error_name(code);
        let what = format!("zstd says \"{name}\"");
        if name.contains("memory") {
            return ScanError::Compression {
                what: format!("{what}, its window is over 128 MiB"),
                remedy: "unpack it with \"zstd -d --long=31 IMAGE\" and use the plain archive",
            };
        }
        if name.contains("ictionary") {
            return ScanError::Compression {
                what: format!("{what}, it was packed with a dictionary"),
                remedy: "unpack it with \"zstd -d -D DICTIONARY IMAGE\" and use the plain archive",
            };
        }
        ScanError::Corrupt {
            offset: self.input.position(),
            why: what,
        }
    }
}

impl Decoder for ZstdDecoder<'_> {
    fn next(&mut self, chunks: &mut ChunkLog<'_>) -> Result<Option<&[u8]>, ScanError> {
        loop {
            if !self.at_frame(chunks)? {
                return Ok(None);
            }
            self.output.clear();
            let input = self.input.available()?;
            let at_end = input.is_empty();
            let mut input = InBuffer::around(input);
            let mut output = OutBuffer::around(&mut self.output);
            let result = self.context.decompress_stream(&mut output, &mut input);
            let taken = input.pos();
            self.input.consume(taken);
            let hint = result.map_err(|code| self.failed(code))?;
            if hint == 0 {
                self.in_frame = false;
                self.frames += 1;
            } else if at_end && self.output.is_empty() {
                return Err(ScanError::Truncated);
            }
            chunks.decoded(&self.output, self.input.position())?;
            if !self.output.is_empty() {
                return Ok(Some(&self.output));
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

/// Decodes one chunk of whole frames.
///
/// # Errors
/// [`FsError::Damaged`] if that does not give exactly the chunk's length.
pub(super) fn decode_chunk(chunk: &ChunkRecord, stored: &[u8]) -> FsResult<Vec<u8>> {
    let mut output = Vec::with_capacity(chunk.length as usize);
    let mut context = DCtx::create();
    // ZSTD_decompress takes frame after frame, skippable ones too.
    let length = context
        .decompress(&mut output, stored)
        .map_err(|_| FsError::Damaged)?;
    if length == chunk.length as usize {
        Ok(output)
    } else {
        Err(FsError::Damaged)
    }
}
