//! Chunks that can be decoded on their own: decoded by several threads, taken in order.
//!
//! What is under way is bounded in number and in the bytes that are expected of it.

use std::collections::VecDeque;
use std::io;
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, bounded};

use super::error::ScanError;
use super::format::{ChunkRecord, hash};
use super::stream::{ChunkLog, Decoder};

/// Most threads that decode.
const MOST_THREADS: usize = 8;
/// Stored and decoded bytes that may be under way, unless a single chunk has more.
const BUDGET: u64 = 96 << 20;

/// A chunk before it is decoded.
#[derive(Debug, Default)]
pub(super) struct Job {
    /// Where it is stored and how it is entered.
    pub(super) record: ChunkRecord,
    pub(super) stored: Vec<u8>,
    /// Decoded bytes, as far as it is known before.
    pub(super) expected: u64,
}

/// Finds the chunks of a file by a look at it, without decoding.
pub(super) trait Cutter {
    /// The next chunk, `None` at the end.
    fn next(&mut self) -> Result<Option<Job>, ScanError>;

    /// Something odd that is no error, found at the end.
    fn remark(&self) -> Option<String> {
        None
    }
}

/// Decodes a chunk, whole.
pub(super) type Decode = fn(&Job) -> Result<Vec<u8>, ScanError>;

type Answer = Result<(ChunkRecord, Vec<u8>), ScanError>;

/// A decoder of the chunks that a [`Cutter`] finds.
pub(super) struct Parallel<C> {
    cutter: C,
    decode: Decode,
    copying: bool,
    threads: Vec<JoinHandle<()>>,
    jobs: Option<Sender<(Job, Sender<Answer>)>>,
    /// One answer for each chunk under way, and what it counts for.
    pending: VecDeque<(Receiver<Answer>, u64)>,
    under_way: u64,
    /// What the cutter answered last, if there is nothing more to come.
    cut: Option<Result<(), ScanError>>,
    current: Vec<u8>,
    position: u64,
}

impl<C: Cutter> Parallel<C> {
    /// A decoder of what `cutter` finds; `copying`: everything is copied.
    pub(super) fn new(cutter: C, decode: Decode, copying: bool) -> Self {
        Self {
            cutter,
            decode,
            copying,
            threads: Vec::new(),
            jobs: None,
            pending: VecDeque::new(),
            under_way: 0,
            cut: None,
            current: Vec::new(),
            position: 0,
        }
    }

    fn start(&mut self) -> io::Result<()> {
        let count = std::thread::available_parallelism().map_or(1, |count| count.get());
        let count = count.min(MOST_THREADS);
        let (jobs, work) = bounded(count);
        self.jobs = Some(jobs);
        for _ in 0..count {
            let (work, decode) = (work.clone(), self.decode);
            let thread = std::thread::Builder::new().name("wpar-decode".into());
            self.threads
                .push(thread.spawn(move || decode_all(&work, decode))?);
        }
        Ok(())
    }

    /// Gives chunks to the threads, as many as may be under way.
    fn hand_out(&mut self) -> Result<(), ScanError> {
        if self.threads.is_empty() {
            self.start().map_err(ScanError::Read)?;
        }
        while self.cut.is_none()
            && self.pending.len() < self.threads.len() + 2
            && (self.under_way < BUDGET || self.pending.is_empty())
        {
            match self.cutter.next() {
                Ok(Some(job)) => self.send(job)?,
                Ok(None) => self.cut = Some(Ok(())),
                Err(error) => self.cut = Some(Err(error)),
            }
        }
        Ok(())
    }

    /// What to report of an error: one in the data is left to a second pass, which decodes from
    /// begin to end and can say where it is and what was good before.
    fn told(&self, error: ScanError) -> ScanError {
        match error {
            ScanError::Corrupt { .. } | ScanError::Truncated if !self.copying => {
                ScanError::NeedsCopy
            }
            error => error,
        }
    }

    fn send(&mut self, job: Job) -> Result<(), ScanError> {
        let counts = job.stored.len() as u64 + job.expected;
        let (answer, receiver) = bounded(1);
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        jobs.send((job, answer)).map_err(|_| ended())?;
        self.pending.push_back((receiver, counts));
        self.under_way += counts;
        Ok(())
    }
}

impl<C: Cutter> Decoder for Parallel<C> {
    fn next(&mut self, chunks: &mut ChunkLog<'_>) -> Result<Option<&[u8]>, ScanError> {
        loop {
            self.hand_out()?;
            let Some((answer, counts)) = self.pending.pop_front() else {
                let end = self.cut.take().unwrap_or(Ok(()));
                return end.map(|()| None).map_err(|error| self.told(error));
            };
            self.under_way -= counts;
            let answer = answer.recv().map_err(|_| ended())?;
            let (record, bytes) = answer.map_err(|error| self.told(error))?;
            self.position = record.stored_offset + record.stored_bytes;
            self.current = bytes;
            if !self.current.is_empty() {
                chunks.whole(record);
                return Ok(Some(&self.current));
            }
        }
    }

    fn position(&self) -> u64 {
        self.position
    }

    fn remark(&self) -> Option<String> {
        self.cutter.remark()
    }
}

impl<C> Drop for Parallel<C> {
    fn drop(&mut self) {
        self.jobs = None;
        self.pending.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn decode_all(work: &Receiver<(Job, Sender<Answer>)>, decode: Decode) {
    for (job, answer) in work {
        let decoded = decode(&job).map(|bytes| {
            let record = ChunkRecord {
                stored_bytes: job.stored.len() as u64,
                hash: hash(&bytes),
                length: bytes.len() as u32,
                ..job.record
            };
            (record, bytes)
        });
        // Nobody waits any more if the scan was given up.
        let _ = answer.send(decoded);
    }
}

fn ended() -> ScanError {
    ScanError::Read(io::Error::other("a decoding thread has ended"))
}
