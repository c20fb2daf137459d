//! Bzip2, several streams: decoding the whole, and one chunk.
//!
//! A chunk is one block. Blocks begin at any bit, with a mark of 48 bits that also may occur
//! within one by chance; so a block is what decodes from one mark to the next, and a file where
//! that fails is decoded from its begin to its end instead. A block is decoded as a stream of its
//! own that is put together around its bits, by the crate `bzip2` with `libbz2-rs-sys`, a pure
//! Rust translation of bzip2 (26 MB/s, bzip2 itself 31; `bzip2-rs` did 29, but is kept by nobody).

use ::bzip2::{Decompress, Status};

use crate::error::{FsError, FsResult};

use super::bits::{BitString, find_mark};
use super::error::ScanError;
use super::format::ChunkRecord;
use super::input::Input;
use super::parallel::{Cutter, Job, Parallel};
use super::source::Stretch;
use super::stream::{ChunkLog, Decoder};

/// Begins a block.
const BLOCK: u64 = 0x3141_5926_5359;
/// Ends a stream.
const END: u64 = 0x1772_4538_5090;
/// Longest block: 900,000 symbols that each decode to at most 259 / 5 bytes.
pub(super) const BLOCK_LIMIT: u64 = 48 << 20;
/// Most stored bytes of a block: 900,000 symbols of 20 bits, and its tables.
const STORED_LIMIT: u64 = 2400 * 1024;
/// What a block usually decodes to.
const USUAL: usize = 1 << 20;
/// Output decoded at a time.
const STRETCH: usize = 256 * 1024;
/// Stored bytes read at a time.
const READ: usize = 256 * 1024;

/// A decoder of `stored`: of many blocks at once, or (`copying`) of one after the other.
pub(super) fn decoder<'f>(stored: Stretch<'f>, copying: bool) -> Box<dyn Decoder + 'f> {
    if copying {
        Box::new(BzipDecoder::new(stored))
    } else {
        Box::new(Parallel::new(BlockCutter::new(stored), decode, false))
    }
}

/// Finds blocks by their marks.
struct BlockCutter<'f> {
    stored: Stretch<'f>,
    /// Stored bytes from `base` on.
    held: Vec<u8>,
    base: u64,
    /// The next bit, from the first one of `held` on.
    at: u64,
    /// Inside a stream: what the checksums of its blocks come to so far.
    stream: Option<u32>,
    streams: u64,
    garbage: Option<u64>,
}

impl<'f> BlockCutter<'f> {
    fn new(stored: Stretch<'f>) -> Self {
        Self {
            stored,
            held: Vec::new(),
            base: 0,
            at: 0,
            stream: None,
            streams: 0,
            garbage: None,
        }
    }

    fn corrupt(&self, why: &str) -> ScanError {
        ScanError::Corrupt {
            offset: self.base + self.at / 8,
            why: why.to_owned(),
        }
    }

    /// Sees to it that `bytes` behind the next bit are held, as far as there are any.
    fn hold(&mut self, bytes: usize) -> Result<(), ScanError> {
        let gone = (self.at / 8) as usize;
        if self.held.len() >= gone + bytes {
            return Ok(());
        }
        self.held.drain(..gone.min(self.held.len()));
        self.base += gone as u64;
        self.at %= 8;
        let from = self.held.len();
        self.held.resize(from + bytes.max(READ), 0);
        let read = self
            .stored
            .read(&mut self.held[from..], self.base + from as u64);
        self.held.truncate(from + read.map_err(ScanError::Read)?);
        Ok(())
    }

    fn bits(&self, at: u64, count: u32) -> Option<u64> {
        super::bits::bits(&self.held, at, count)
    }

    /// Goes into the next stream; false at the end.
    fn next_stream(&mut self) -> Result<bool, ScanError> {
        self.hold(4)?;
        let header = self.held.get((self.at / 8) as usize..).unwrap_or_default();
        match *header {
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => {}
            [] if self.streams > 0 => return Ok(false),
            [_, ..] if self.streams > 0 => {
                self.garbage = Some(self.base + self.at / 8);
                return Ok(false);
            }
            _ if header.len() < 4 => return Err(ScanError::Truncated),
            _ => return Err(self.corrupt("no bzip2 stream begins here")),
        }
        self.streams += 1;
        self.at += 32;
        self.stream = Some(0);
        Ok(true)
    }

    /// The block or the end of the stream that is next.
    fn next_block(&mut self, sum: u32) -> Result<Option<Job>, ScanError> {
        self.hold(16)?;
        match (self.bits(self.at, 48), self.bits(self.at + 48, 32)) {
            (Some(END), Some(check)) => {
                if check != u64::from(sum) {
                    return Err(self.corrupt("the checksum of a bzip2 stream does not hold"));
                }
                self.at = (self.at + 80).next_multiple_of(8);
                self.stream = None;
                Ok(None)
            }
            (Some(BLOCK), Some(check)) => {
                self.stream = Some(sum.rotate_left(1) ^ check as u32);
                self.block().map(Some)
            }
            // Cut off or damaged: decoding all of it says where.
            _ => Err(ScanError::NeedsCopy),
        }
    }

    fn block(&mut self) -> Result<Job, ScanError> {
        let end = loop {
            let known = self.held.len() as u64;
            if let Some(end) = find_mark(&self.held, self.at + 80, [BLOCK, END]) {
                break end;
            }
            if known - self.at / 8 > STORED_LIMIT {
                return Err(ScanError::NeedsCopy);
            }
            let more = known - self.at / 8 + READ as u64;
            let last = self.base + known;
            self.hold(more as usize)?;
            if self.base + self.held.len() as u64 == last {
                return Err(ScanError::NeedsCopy);
            }
        };
        let (first, last) = (self.at / 8, end.div_ceil(8));
        let stored = self.held[first as usize..last as usize].to_vec();
        let record = ChunkRecord {
            stored_offset: self.base + first,
            inside: true,
            bit_count: (self.at % 8) as u8,
            bits: (end % 8) as u8,
            ..Default::default()
        };
        self.at = end;
        Ok(Job {
            record,
            stored,
            expected: USUAL as u64,
        })
    }
}

impl Cutter for BlockCutter<'_> {
    fn next(&mut self) -> Result<Option<Job>, ScanError> {
        loop {
            if let Some(sum) = self.stream {
                if let Some(job) = self.next_block(sum)? {
                    return Ok(Some(job));
                }
            } else if !self.next_stream()? {
                return Ok(None);
            }
        }
    }

    fn remark(&self) -> Option<String> {
        self.garbage
            .map(|at| format!("what follows the compressed data at byte {at} is ignored"))
    }
}

/// Decodes a block; one that does not end where it should is left to [`BzipDecoder`].
fn decode(job: &Job) -> Result<Vec<u8>, ScanError> {
    unpack(&job.record, &job.stored, USUAL).ok_or(ScanError::NeedsCopy)
}

/// A block as a stream of its own.
fn as_stream(record: &ChunkRecord, stored: &[u8]) -> Option<Vec<u8>> {
    let end = match record.bits {
        0 => stored.len() as u64 * 8,
        bits => (stored.len() as u64 * 8).checked_sub(u64::from(8 - bits.min(7)))?,
    };
    let start = u64::from(record.bit_count.min(7));
    let check = super::bits::bits(stored, start + 48, 32)?;
    let mut stream = BitString::new(b"BZh9".to_vec());
    stream.copy(stored, start, end.checked_sub(start)?)?;
    stream.push(END, 48);
    stream.push(check, 32);
    Some(stream.into_bytes())
}

/// Decodes the block of a record, which decodes to about `usual` bytes.
fn unpack(record: &ChunkRecord, stored: &[u8], usual: usize) -> Option<Vec<u8>> {
    let stream = as_stream(record, stored)?;
    let mut decompress = Decompress::new(false);
    let mut output = Vec::with_capacity(usual);
    loop {
        let (taken, made) = (decompress.total_in(), decompress.total_out());
        let input = stream.get(usize::try_from(taken).ok()?..)?;
        let status = decompress.decompress_vec(input, &mut output).ok()?;
        let idle = decompress.total_in() == taken && decompress.total_out() == made;
        match status {
            Status::StreamEnd => return Some(output),
            _ if output.len() as u64 > BLOCK_LIMIT => return None,
            _ if output.len() == output.capacity() => output.reserve(output.len().max(STRETCH)),
            _ if idle => return None,
            _ => {}
        }
    }
}

/// Decoder of one block after the other.
struct BzipDecoder<'f> {
    input: Input<'f>,
    /// The stream that is open.
    stream: Option<Decompress>,
    streams: u64,
    output: Vec<u8>,
    garbage: Option<u64>,
}

impl<'f> BzipDecoder<'f> {
    fn new(stored: Stretch<'f>) -> Self {
        Self {
            input: Input::new(stored),
            stream: None,
            streams: 0,
            output: Vec::with_capacity(STRETCH),
            garbage: None,
        }
    }

    /// Sees to it that a stream is open; false at the end.
    fn at_stream(&mut self) -> Result<bool, ScanError> {
        if self.stream.is_some() {
            return Ok(true);
        }
        match self.input.available()?.first() {
            Some(b'B') => {}
            None if self.streams > 0 => return Ok(false),
            Some(_) if self.streams > 0 => {
                self.garbage = Some(self.input.position());
                self.input.skip(u64::MAX)?;
                return Ok(false);
            }
            _ => return Err(ScanError::Truncated),
        }
        self.streams += 1;
        self.stream = Some(Decompress::new(false));
        Ok(true)
    }
}

impl Decoder for BzipDecoder<'_> {
    fn next(&mut self, chunks: &mut ChunkLog<'_>) -> Result<Option<&[u8]>, ScanError> {
        while self.at_stream()? {
            let Some(stream) = &mut self.stream else {
                return Ok(None);
            };
            self.output.clear();
            let offset = self.input.position();
            let input = self.input.available()?;
            let at_end = input.is_empty();
            let before = stream.total_in();
            let status = stream.decompress_vec(input, &mut self.output);
            let taken = stream.total_in() - before;
            let status = status.map_err(|error| ScanError::Corrupt {
                offset,
                why: format!("bzip2: {error}"),
            })?;
            self.input.consume(taken as usize);
            if status == Status::StreamEnd {
                self.stream = None;
            } else if at_end && self.output.is_empty() {
                return Err(ScanError::Truncated);
            }
            chunks.decoded(&self.output, self.input.position())?;
            if !self.output.is_empty() {
                return Ok(Some(&self.output));
            }
        }
        Ok(None)
    }

    fn position(&self) -> u64 {
        self.input.position()
    }

    fn remark(&self) -> Option<String> {
        self.garbage
            .map(|at| format!("what follows the compressed data at byte {at} is ignored"))
    }
}

/// Decodes one chunk, a block.
///
/// # Errors
/// [`FsError::Damaged`] if that does not give exactly the chunk's length.
pub(super) fn decode_chunk(chunk: &ChunkRecord, stored: &[u8]) -> FsResult<Vec<u8>> {
    unpack(chunk, stored, chunk.length as usize)
        .filter(|bytes| bytes.len() == chunk.length as usize)
        .ok_or(FsError::Damaged)
}
