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
use super::input::Input;
use super::parallel::{Job, Parallel};
use super::source::Stretch;
use super::stream::{CHUNK_LIMIT, ChunkLog, Decoder};
use super::zstd_frames::FrameCutter;

/// Output decoded at a time.
const STRETCH: usize = 256 * 1024;

/// A decoder of `stored`: of many frames at once, or (`copying`) of one after the other.
pub(super) fn decoder<'f>(stored: Stretch<'f>, copying: bool) -> Box<dyn Decoder + 'f> {
    if copying {
        Box::new(ZstdDecoder::new(stored))
    } else {
        Box::new(Parallel::new(FrameCutter::new(stored), decode, false))
    }
}

/// Decodes the frames of a chunk.
fn decode(job: &Job) -> Result<Vec<u8>, ScanError> {
    let mut context = DCtx::create();
    let mut output = Vec::with_capacity(job.expected.clamp(1, CHUNK_LIMIT) as usize);
    let mut input = InBuffer::around(&job.stored);
    let mut hint = 0;
    while hint > 0 || input.pos() < job.stored.len() {
        if output.len() == output.capacity() {
            output.reserve(output.len().max(STRETCH));
        }
        let before = (input.pos(), output.len());
        let mut out = OutBuffer::around_pos(&mut output, before.1);
        let result = context.decompress_stream(&mut out, &mut input);
        let offset = job.record.stored_offset + input.pos() as u64;
        hint = result.map_err(|code| failed(code, offset))?;
        if output.len() as u64 > CHUNK_LIMIT {
            return Err(ScanError::NeedsCopy);
        }
        if hint > 0 && before == (input.pos(), output.len()) {
            return Err(ScanError::Truncated);
        }
    }
    Ok(output)
}

fn failed(code: usize, offset: u64) -> ScanError {
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
    ScanError::Corrupt { offset, why: what }
}

/// Decoder of one frame after the other, for a copy.
struct ZstdDecoder<'f> {
    input: Input<'f>,
    context: DCtx<'static>,
    output: Vec<u8>,
    in_frame: bool,
    frames: u64,
    garbage: Option<u64>,
}

impl<'f> ZstdDecoder<'f> {
    fn new(stored: Stretch<'f>) -> Self {
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
            self.input.skip(u64::MAX)?;
            return Ok(false);
        }
        self.in_frame = true;
        Ok(true)
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
            let hint = result.map_err(|code| failed(code, self.input.position()))?;
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
