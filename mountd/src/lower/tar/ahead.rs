//! Decoding in a thread of its own, a little ahead of who scans what comes of it.

use std::fs::File;
use std::io;
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, bounded};

use super::codecs;
use super::error::ScanError;
use super::format::{ChunkRecord, Codec};
use super::source::Stretch;
use super::stream::{ChunkLog, Decoder};
use super::write::pack_window;

/// Most decoded bytes in a piece.
const PIECE: usize = 256 * 1024;
/// Pieces that may wait.
const WAITING: usize = 16;

/// What a decoder gives out.
pub(super) enum Piece {
    /// Decoded bytes, and how far the stored ones are read.
    Bytes(Vec<u8>, u64),
    /// The next packed window.
    Window(Vec<u8>),
    /// The end.
    End(Ending),
}

/// What is known when all is decoded.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// The chunks, if they were wanted.
    pub(super) chunks: Vec<ChunkRecord>,
    /// Something odd that is no error.
    pub(super) remark: Option<String>,
}

/// Where pieces come from.
pub(super) trait Feed {
    /// The next piece; nothing comes after [`Piece::End`] or an error.
    fn next(&mut self) -> Result<Piece, ScanError>;

    /// Gives the memory of a piece back.
    fn recycle(&self, _bytes: Vec<u8>) {}
}

/// A decoder in the thread that asks.
pub(super) struct Direct<'d> {
    pub(super) decoder: Box<dyn Decoder + 'd>,
    pub(super) log: ChunkLog<'d>,
}

impl Feed for Direct<'_> {
    fn next(&mut self) -> Result<Piece, ScanError> {
        if let Some(bytes) = self.decoder.next(&mut self.log)? {
            let bytes = bytes.to_vec();
            return Ok(Piece::Bytes(bytes, self.decoder.position()));
        }
        Ok(Piece::End(Ending {
            chunks: self.log.finish(self.decoder.position()),
            remark: self.decoder.remark(),
        }))
    }
}

/// What is to be decoded.
#[derive(Debug)]
pub(super) struct Task {
    codec: Codec,
    file: File,
    start: u64,
    length: u64,
    copying: bool,
}

impl Task {
    /// Decoding `stored`; `copying`: all of it is copied, and its chunks do not matter.
    ///
    /// # Errors
    /// If there can be no other descriptor of the file.
    pub(super) fn new(codec: Codec, stored: Stretch<'_>, copying: bool) -> io::Result<Self> {
        let (file, start, length) = stored.place();
        Ok(Self {
            codec,
            file: file.try_clone()?,
            start,
            length,
            copying,
        })
    }
}

/// A decoder at work. It ends when this is dropped.
pub(super) struct Ahead {
    pieces: Option<Receiver<Result<Piece, ScanError>>>,
    used: Sender<Vec<u8>>,
    thread: Option<JoinHandle<()>>,
}

impl Ahead {
    /// Starts to decode.
    ///
    /// # Errors
    /// If there can be no thread.
    pub(super) fn start(task: Task) -> io::Result<Self> {
        let (sender, pieces) = bounded(WAITING);
        let (used, spare) = bounded(WAITING);
        let thread = std::thread::Builder::new().name("wpar-ahead".into());
        let thread = thread.spawn(move || decode(&task, &sender, &spare))?;
        Ok(Self {
            pieces: Some(pieces),
            used,
            thread: Some(thread),
        })
    }
}

impl Feed for Ahead {
    fn next(&mut self) -> Result<Piece, ScanError> {
        let ended = || ScanError::Read(io::Error::other("the decoding thread has ended"));
        let pieces = self.pieces.as_ref().ok_or_else(ended)?;
        pieces.recv().map_err(|_| ended())?
    }

    fn recycle(&self, bytes: Vec<u8>) {
        let _ = self.used.try_send(bytes);
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.pieces = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Decodes until the end, an error, or until nobody listens any more.
fn decode(task: &Task, sender: &Sender<Result<Piece, ScanError>>, spare: &Receiver<Vec<u8>>) {
    let mut place = 0;
    let mut windows = |window: &[u8]| {
        let packed = pack_window(window).map_err(ScanError::Write)?;
        let (at, length) = (place, packed.len() as u32);
        place += u64::from(length);
        let _ = sender.send(Ok(Piece::Window(packed)));
        Ok((at, length))
    };
    let stretch = Stretch::new(&task.file, task.start, task.length);
    let mut decoder = match codecs::decoder(task.codec, stretch, task.copying) {
        Ok(decoder) => decoder,
        Err(error) => return drop(sender.send(Err(error))),
    };
    let mut log = ChunkLog::new(!task.copying, Some(&mut windows));
    loop {
        let position = decoder.position();
        let bytes = match decoder.next(&mut log) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => break,
            Err(error) => return drop(sender.send(Err(error))),
        };
        for part in bytes.chunks(PIECE) {
            let mut piece = spare.try_recv().unwrap_or_default();
            piece.clear();
            piece.extend_from_slice(part);
            if sender.send(Ok(Piece::Bytes(piece, position))).is_err() {
                return;
            }
        }
    }
    let ending = Ending {
        chunks: log.finish(decoder.position()),
        remark: decoder.remark(),
    };
    let _ = sender.send(Ok(Piece::End(ending)));
}
