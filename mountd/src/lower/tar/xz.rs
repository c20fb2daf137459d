//! Xz (.xz file format 1.2.1), several streams and blocks: decoding the whole, and one chunk.
//!
//! A chunk is a run of whole blocks of one stream; what of the stream's header it needs, the kind
//! of check, is kept. A file of at most [`CHUNK_LIMIT`] may be one chunk, headers and all. The
//! blocks are decoded by `lzma-rust2` (pure Rust): 86 MB/s where liblzma did 120 on the same
//! machine, and no C that reads what strangers wrote. Several blocks are decoded at once.

use std::io;

use lzma_rust2::XzStream;
use lzma_rust2::{Action, Status};

use crate::error::{FsError, FsResult};

use super::error::ScanError;
use super::format::ChunkRecord;
use super::input::Input;
use super::parallel::{Cutter, Job, Parallel};
use super::source::Stretch;
use super::stream::{CHUNK_LIMIT, ChunkLog, Decoder};
use super::xz_table::{self, Block};

/// Blocks are gathered into a chunk until it holds this much.
const BLOCK_TARGET: u64 = 512 * 1024;
/// Longest block, in decoded bytes, of which several are in memory at once.
const PARALLEL_LIMIT: u64 = 32 << 20;
/// What a decoder may use, in KiB: enough for `xz -9`.
const MEMORY_KIB: u32 = 192 * 1024;
/// Output decoded at a time.
const STRETCH: usize = 256 * 1024;

/// A decoder of `stored`: of many blocks at once where they are short enough, else of one after
/// the other.
///
/// # Errors
/// [`ScanError::NeedsCopy`] if all is read for chunks (not `copying`) and blocks are too long for
/// that.
pub(super) fn decoder<'f>(
    stored: Stretch<'f>,
    copying: bool,
) -> Result<Box<dyn Decoder + 'f>, ScanError> {
    let blocks = xz_table::read(stored).map_err(ScanError::Read)?;
    let limit = if copying { PARALLEL_LIMIT } else { CHUNK_LIMIT };
    match blocks {
        Some(blocks) if blocks.iter().all(|block| block.fits(limit)) => {
            let cutter = BlockCutter {
                stored,
                blocks: blocks.into_iter().peekable(),
            };
            Ok(Box::new(Parallel::new(cutter, decode, copying)))
        }
        Some(_) if !copying => Err(ScanError::NeedsCopy),
        _ => Ok(Box::new(XzDecoder::new(stored))),
    }
}

/// Takes the blocks of a table as chunks.
struct BlockCutter<'f> {
    stored: Stretch<'f>,
    blocks: std::iter::Peekable<std::vec::IntoIter<Block>>,
}

impl Cutter for BlockCutter<'_> {
    fn next(&mut self) -> Result<Option<Job>, ScanError> {
        let Some(first) = self.blocks.next() else {
            return Ok(None);
        };
        let (mut end, mut expected) = (first.end(), first.length);
        while expected < BLOCK_TARGET
            && let Some(next) = self.blocks.next_if(|next| {
                next.stored_offset == end
                    && next.check == first.check
                    && expected + next.length <= CHUNK_LIMIT
            })
        {
            end = next.end();
            expected += next.length;
        }
        let mut stored = vec![0; (end - first.stored_offset) as usize];
        let count = self.stored.read(&mut stored, first.stored_offset);
        if count.map_err(ScanError::Read)? < stored.len() {
            return Err(ScanError::Truncated);
        }
        let record = ChunkRecord {
            stored_offset: first.stored_offset,
            inside: true,
            bits: first.check,
            ..Default::default()
        };
        Ok(Some(Job {
            record,
            stored,
            expected,
        }))
    }
}

fn decode(job: &Job) -> Result<Vec<u8>, ScanError> {
    let corrupt = |why: String| ScanError::Corrupt {
        offset: job.record.stored_offset,
        why,
    };
    let mut stream = XzStream::new_mem_limit(true, MEMORY_KIB);
    let header = xz_table::stream_header(job.record.bits);
    let result = inflate_all(&mut stream, &[&header, &job.stored], job.expected as usize);
    match result {
        Ok(bytes) if bytes.len() as u64 == job.expected => Ok(bytes),
        Ok(_) => Err(corrupt(
            "the length of an xz block does not hold".to_owned(),
        )),
        Err(error) => Err(explain(&error, job.record.stored_offset)),
    }
}

/// Decodes `parts`, one behind the other, to at most `length` bytes.
fn inflate_all(stream: &mut XzStream, parts: &[&[u8]], length: usize) -> io::Result<Vec<u8>> {
    let mut output = vec![0; length];
    let mut filled = 0;
    for part in parts {
        let mut rest = *part;
        loop {
            let room = &mut output[filled..];
            let step = stream.process(rest, room, Action::Run)?;
            filled += step.bytes_produced;
            rest = rest.get(step.bytes_consumed..).unwrap_or_default();
            let stuck = step.bytes_consumed == 0 && step.bytes_produced == 0;
            if stuck || step.status == Status::StreamEnd {
                break;
            }
        }
    }
    output.truncate(filled);
    Ok(output)
}

fn explain(error: &io::Error, offset: u64) -> ScanError {
    const REMEDY: &str = "run \"xz -dc IMAGE | zstd -o NEW.tar.zst\"";
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ScanError::Truncated,
        io::ErrorKind::OutOfMemory => ScanError::Compression {
            what: "it is xz-compressed with a dictionary too large for this program".to_owned(),
            remedy: REMEDY,
        },
        io::ErrorKind::Unsupported => ScanError::Compression {
            what: format!("it is xz-compressed in a way that is not read ({error})"),
            remedy: REMEDY,
        },
        _ => ScanError::Corrupt {
            offset,
            why: format!("xz: {error}"),
        },
    }
}

/// Decoder of one block after the other.
struct XzDecoder<'f> {
    input: Input<'f>,
    stream: XzStream,
    output: Vec<u8>,
    ended: bool,
}

impl<'f> XzDecoder<'f> {
    fn new(stored: Stretch<'f>) -> Self {
        Self {
            input: Input::new(stored),
            stream: XzStream::new_mem_limit(true, MEMORY_KIB),
            output: vec![0; STRETCH],
            ended: false,
        }
    }
}

impl Decoder for XzDecoder<'_> {
    fn next(&mut self, chunks: &mut ChunkLog<'_>) -> Result<Option<&[u8]>, ScanError> {
        while !self.ended {
            let input = self.input.available()?;
            let action = match input {
                [] => Action::Finish,
                _ => Action::Run,
            };
            let at_end = input.is_empty();
            let step = self.stream.process(input, &mut self.output, action);
            let offset = self.input.position();
            let step = step.map_err(|error| explain(&error, offset))?;
            self.input.consume(step.bytes_consumed);
            self.ended = step.status == Status::StreamEnd;
            let made = &self.output[..step.bytes_produced];
            chunks.decoded(made, self.input.position())?;
            if !made.is_empty() {
                return Ok(Some(&self.output[..step.bytes_produced]));
            }
            if at_end && !self.ended {
                return Err(ScanError::Truncated);
            }
        }
        Ok(None)
    }

    fn position(&self) -> u64 {
        self.input.position()
    }
}

/// Decodes one chunk: whole blocks, or a whole file.
///
/// # Errors
/// [`FsError::Damaged`] if that does not give exactly the chunk's length.
pub(super) fn decode_chunk(chunk: &ChunkRecord, stored: &[u8]) -> FsResult<Vec<u8>> {
    let mut stream = XzStream::new_mem_limit(true, MEMORY_KIB);
    let header = xz_table::stream_header(chunk.bits);
    let header = if chunk.inside { &header[..] } else { &[] };
    let length = chunk.length as usize;
    match inflate_all(&mut stream, &[header, stored], length) {
        Ok(bytes) if bytes.len() == length => Ok(bytes),
        _ => Err(FsError::Damaged),
    }
}
