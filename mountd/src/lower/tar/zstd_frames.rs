//! Finds the frames of a zstd file by their headers and those of their blocks (RFC 8878).

use super::error::ScanError;
use super::input::Input;
use super::parallel::{Cutter, Job};
use super::source::Stretch;
use super::stream::CHUNK_LIMIT;

/// Frames are gathered into a chunk until it holds this much.
const FRAME_TARGET: u64 = 512 * 1024;
/// What a frame is counted for that does not say how long it is.
const UNKNOWN: u64 = FRAME_TARGET;
/// Most stored bytes of a chunk.
const STORED_LIMIT: usize = (CHUNK_LIMIT + CHUNK_LIMIT / 4) as usize;

const MAGIC: [u8; 4] = *b"\x28\xb5\x2f\xfd";

/// Takes runs of whole frames as chunks.
pub(super) struct FrameCutter<'f> {
    input: Input<'f>,
    frames: u64,
    garbage: Option<u64>,
    ended: bool,
}

impl<'f> FrameCutter<'f> {
    /// A cutter of `stored`, from its first byte on.
    pub(super) fn new(stored: Stretch<'f>) -> Self {
        Self {
            input: Input::new(stored),
            frames: 0,
            garbage: None,
            ended: false,
        }
    }

    /// Moves `count` bytes into the job.
    fn take(&mut self, count: usize, job: &mut Job) -> Result<(), ScanError> {
        if job.stored.len() + count > STORED_LIMIT {
            return Err(ScanError::NeedsCopy);
        }
        match self.input.take(count, &mut job.stored)? {
            true => Ok(()),
            false => Err(ScanError::Truncated),
        }
    }

    /// Reads a magic number: whether a frame follows, whose bytes so far are in the job.
    fn magic(&mut self, job: &mut Job) -> Result<bool, ScanError> {
        let start = self.input.position();
        let mut magic = Vec::with_capacity(4);
        let whole = self.input.take(4, &mut magic)?;
        match *magic {
            [] => self.ended = true,
            _ if magic == MAGIC => {
                if job.stored.is_empty() {
                    job.record.stored_offset = start;
                }
                job.stored.extend_from_slice(&magic);
                self.frames += 1;
                return Ok(true);
            }
            [low, 0x2a, 0x4d, 0x18] if low & 0xf0 == 0x50 => {
                let mut length = Vec::with_capacity(4);
                self.input.take(4, &mut length)?;
                let length = length.first_chunk().copied().map(u32::from_le_bytes);
                if !self
                    .input
                    .skip(length.ok_or(ScanError::Truncated)?.into())?
                {
                    return Err(ScanError::Truncated);
                }
            }
            _ if self.frames > 0 && !MAGIC.starts_with(&magic) => {
                self.garbage = Some(start);
                self.ended = true;
            }
            _ if !whole => return Err(ScanError::Truncated),
            _ => {
                return Err(ScanError::Corrupt {
                    offset: start,
                    why: "no zstd frame begins here".to_owned(),
                });
            }
        }
        Ok(false)
    }

    /// Moves the rest of a frame into the job; returns how many bytes it decodes to.
    fn frame(&mut self, job: &mut Job) -> Result<u64, ScanError> {
        self.take(1, job)?;
        let flags = job.stored.last().copied().unwrap_or(0);
        let single = flags & 0x20 != 0;
        let window = usize::from(!single);
        let dictionary = [0, 1, 2, 4][usize::from(flags & 3)];
        let size_bytes = match flags >> 6 {
            0 => usize::from(single),
            1 => 2,
            2 => 4,
            _ => 8,
        };
        self.take(window + dictionary + size_bytes, job)?;
        let size = job.stored.len() - size_bytes;
        let size = job.stored[size..].iter().rev();
        let size = size.fold(0, |value: u64, byte| value << 8 | u64::from(*byte));
        loop {
            self.take(3, job)?;
            let header = job.stored.last_chunk().copied().unwrap_or([0; 3]);
            let header = u32::from_le_bytes([header[0], header[1], header[2], 0]);
            let length = match header >> 1 & 3 {
                // A byte that is repeated.
                1 => 1,
                _ => (header >> 3) as usize,
            };
            self.take(length, job)?;
            if header & 1 != 0 {
                break;
            }
        }
        if flags & 4 != 0 {
            self.take(4, job)?;
        }
        Ok(match size_bytes {
            0 => UNKNOWN,
            2 => size + 256,
            _ => size,
        })
    }
}

impl Cutter for FrameCutter<'_> {
    fn next(&mut self) -> Result<Option<Job>, ScanError> {
        let mut job = Job::default();
        while !self.ended && job.expected < FRAME_TARGET {
            if self.magic(&mut job)? {
                job.expected = job.expected.saturating_add(self.frame(&mut job)?);
                if job.expected > CHUNK_LIMIT {
                    return Err(ScanError::NeedsCopy);
                }
            } else if !job.stored.is_empty() {
                break;
            }
        }
        Ok((!job.stored.is_empty()).then_some(job))
    }

    fn remark(&self) -> Option<String> {
        self.garbage
            .map(|at| format!("what follows the compressed data at byte {at} is ignored"))
    }
}
