//! The seekable copy: the tar stream packed again, in small zstd frames.
//!
//! It is a plain `.zst` file in the seekable format (zstd `contrib/seekable_format`: a skippable
//! frame 0x184D2A5E with the sizes of all frames at the end), so that `zstd -d` unpacks it. The
//! index carries its own chunk table and does not read that frame.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, bounded};

use super::error::{ImageError, IndexFault, ScanError};
use super::format::{ChunkRecord, Fingerprint, hash};
use super::index::TarIndex;
use super::sidecar;

/// Bytes of the stream in a frame: what reading one byte costs to decode.
const FRAME: usize = 512 * 1024;
/// The fastest ordinary level: the copy is made once, while a user waits.
const LEVEL: i32 = 1;
/// Most threads that pack.
const MOST_THREADS: usize = 4;

/// A frame on its way to, and back from, a packing thread.
struct Packed {
    plain_bytes: u32,
    hash: u64,
    packed: io::Result<Vec<u8>>,
}

struct Job {
    plain: Vec<u8>,
    answer: Sender<Packed>,
}

/// Writes a seekable copy.
pub(super) struct CopyWriter {
    out: BufWriter<File>,
    frame: Vec<u8>,
    /// One answer for each frame under way, in the order of the stream.
    pending: std::collections::VecDeque<Receiver<Packed>>,
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
    chunks: Vec<ChunkRecord>,
    stream_offset: u64,
    stored_offset: u64,
    /// Where the part under way begins: its first frame, and that one's offset.
    part: (usize, u64),
}

/// A part of the stream in the copy.
pub(super) struct CopiedPart {
    /// Its frames, as chunks of it.
    pub(super) chunks: Vec<ChunkRecord>,
    /// Where it begins in the copy, and how long it is there.
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

/// How many bytes from the end of a copy identify it.
const TAIL: usize = 16 * 1024;

impl CopyWriter {
    /// A writer into the empty `file`.
    pub(super) fn new(file: File) -> io::Result<Self> {
        let count = std::thread::available_parallelism().map_or(1, |count| count.get());
        let count = count.min(MOST_THREADS);
        let (jobs, work) = bounded::<Job>(count);
        let threads = (0..count)
            .map(|_| {
                let work = work.clone();
                std::thread::Builder::new()
                    .name("wpar-pack".into())
                    .spawn(move || pack(&work))
            })
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Self {
            out: BufWriter::with_capacity(1 << 20, file),
            frame: Vec::with_capacity(FRAME),
            pending: std::collections::VecDeque::new(),
            jobs: Some(jobs),
            threads,
            chunks: Vec::new(),
            stream_offset: 0,
            stored_offset: 0,
            part: (0, 0),
        })
    }

    /// Appends bytes of the stream.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), ScanError> {
        while !bytes.is_empty() {
            let room = FRAME - self.frame.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.frame.extend_from_slice(now);
            bytes = later;
            if self.frame.len() == FRAME {
                self.send().map_err(ScanError::Write)?;
            }
        }
        Ok(())
    }

    /// Gives the gathered frame to a thread, and takes back what is done.
    fn send(&mut self) -> io::Result<()> {
        let plain = std::mem::replace(&mut self.frame, Vec::with_capacity(FRAME));
        let (answer, receiver) = bounded(1);
        let job = Job { plain, answer };
        let sent = self
            .jobs
            .as_ref()
            .is_some_and(|jobs| jobs.send(job).is_ok());
        if !sent {
            return Err(io::Error::other("a packing thread has ended"));
        }
        self.pending.push_back(receiver);
        while self.pending.len() > 2 * self.threads.len() {
            self.receive()?;
        }
        Ok(())
    }

    /// Writes the oldest frame under way.
    fn receive(&mut self) -> io::Result<()> {
        let Some(receiver) = self.pending.pop_front() else {
            return Ok(());
        };
        let done = receiver
            .recv()
            .map_err(|_| io::Error::other("a packing thread has ended"))?;
        let packed = done.packed?;
        self.out.write_all(&packed)?;
        self.chunks.push(ChunkRecord {
            stream_offset: self.stream_offset,
            stored_offset: self.stored_offset,
            stored_bytes: packed.len() as u64,
            hash: done.hash,
            length: done.plain_bytes,
            ..Default::default()
        });
        self.stream_offset += u64::from(done.plain_bytes);
        self.stored_offset += packed.len() as u64;
        Ok(())
    }

    /// Ends a part of the stream, which can be read from the file now; the next one begins.
    pub(super) fn end_part(&mut self) -> io::Result<CopiedPart> {
        if !self.frame.is_empty() {
            self.send()?;
        }
        while !self.pending.is_empty() {
            self.receive()?;
        }
        self.out.flush()?;
        let (first, offset) = self.part;
        self.part = (self.chunks.len(), self.stored_offset);
        let mut chunks = self.chunks.get(first..).unwrap_or_default().to_vec();
        let stream_offset = chunks.first().map_or(0, |chunk| chunk.stream_offset);
        for chunk in &mut chunks {
            chunk.stream_offset -= stream_offset;
            chunk.stored_offset -= offset;
        }
        Ok(CopiedPart {
            chunks,
            offset,
            bytes: self.stored_offset - offset,
        })
    }

    /// Writes the seek table; answers size and hash of the tail of what is now a whole file.
    pub(super) fn finish(mut self) -> io::Result<Fingerprint> {
        let table = seek_table(&self.chunks, None);
        self.out.write_all(&table)?;
        self.out.flush()?;
        let bytes = self.stored_offset + table.len() as u64;
        let tail = tail_hash(self.out.get_ref(), bytes)?;
        Ok(Fingerprint {
            size: bytes,
            tail,
            ..Default::default()
        })
    }
}

impl Drop for CopyWriter {
    fn drop(&mut self) {
        // Without a sender the threads end; a panic of theirs was answered by `receive`.
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Opens the seekable copy that belongs to `index`, which knows it by its size and its tail.
///
/// # Errors
/// [`IndexFault::Copy`] if it is not there or is another one.
pub(super) fn open_copy(index: &TarIndex, known: &Fingerprint) -> Result<File, ImageError> {
    let fault = |what| ImageError::Index {
        path: index.path().to_path_buf(),
        fault: IndexFault::Copy(what),
    };
    let file =
        File::open(sidecar::copy_file(index.path())).map_err(|_| fault("it is not there"))?;
    let length = file.metadata().map(|metadata| metadata.len()).unwrap_or(0);
    if length != known.size {
        return Err(fault("its size is another one"));
    }
    match tail_hash(&file, length) {
        Ok(tail) if tail == known.tail => Ok(file),
        _ => Err(fault("it is another one")),
    }
}

/// Hash of the last bytes of a copy of `bytes` bytes.
fn tail_hash(file: &File, bytes: u64) -> io::Result<u64> {
    let mut tail = [0; TAIL];
    let offset = bytes.saturating_sub(TAIL as u64);
    let count = super::source::read_full(file, &mut tail, offset)?;
    Ok(hash(&tail[..count]))
}

fn pack(work: &Receiver<Job>) {
    let mut context = ::zstd::zstd_safe::CCtx::create();
    let checksum = ::zstd::zstd_safe::CParameter::ChecksumFlag(true);
    let level = ::zstd::zstd_safe::CParameter::CompressionLevel(LEVEL);
    let ready = context
        .set_parameter(checksum)
        .and(context.set_parameter(level));
    for job in work {
        let mut packed = Vec::with_capacity(::zstd::zstd_safe::compress_bound(job.plain.len()));
        let result = ready.and_then(|_| context.compress2(&mut packed, &job.plain));
        let packed = result
            .map(|_| packed)
            .map_err(|code| io::Error::other(::zstd::zstd_safe::get_error_name(code)));
        let plain_bytes = job.plain.len() as u32;
        // The receiver is gone if the scan has failed meanwhile.
        let _ = job.answer.send(Packed {
            plain_bytes,
            hash: hash(&job.plain),
            packed,
        });
    }
}

/// The seek table of these frames and, if there is one, of a skippable frame behind them.
pub(super) fn seek_table(chunks: &[ChunkRecord], skippable: Option<usize>) -> Vec<u8> {
    const FOOTER: usize = 9;
    let count = chunks.len() + usize::from(skippable.is_some());
    let content = count * 8 + FOOTER;
    let mut table = Vec::with_capacity(content + 8);
    table.extend(0x184D_2A5E_u32.to_le_bytes());
    table.extend((content as u32).to_le_bytes());
    for chunk in chunks {
        table.extend((chunk.stored_bytes as u32).to_le_bytes());
        table.extend(chunk.length.to_le_bytes());
    }
    if let Some(bytes) = skippable {
        table.extend((bytes as u32).to_le_bytes());
        table.extend(0_u32.to_le_bytes());
    }
    table.extend((count as u32).to_le_bytes());
    table.push(0);
    table.extend(0x8F92_EAB1_u32.to_le_bytes());
    table
}
