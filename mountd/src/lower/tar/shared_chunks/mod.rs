//! Decoded chunks that all mounts of an image have in common.
//!
//! Each mount has a daemon of its own. Without this, a hundred WPARs of one compressed image would
//! decode everything a hundred times, and keep it a hundred times in memory. With it, whoever decodes a
//! chunk writes it to a file, from which all others read: the kernel has its pages once, and
//! may take them back.
//!
//! The file is a cache and nothing else. It is as long as the whole stream would be, but sparse;
//! what it takes is limited, what was not used for longest is punched out again. A table at its
//! beginning, mapped by everyone, says which chunks are there ([`word`]). Processes share it without
//! a lock:
//! * A chunk is written, or punched out, by who turned its word to *being changed*, and read by who
//!   found it *there* both before and after reading. So nobody ever takes a hole for data.
//! * Who dies while changing one leaves it so: that chunk is not shared any more. Nobody could know
//!   that the other is dead, and not about to punch a hole into what was written since.
//! * What is written was compared with the hash of the index before. The file lies in a directory
//!   that only its owner can enter.
//! * It is of use for one index and one boot of the host: after a loss of power, the table and the data
//!   need not agree. Anybody who finds another one replaces it, and who has the old one open goes on
//!   with that.
//!
//! Nothing here fails: whatever goes wrong, chunks are decoded again.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};

use super::format::hash;
use super::source::read_full;
use crate::sys::shared::SharedPart;

mod file;
mod word;

use file::FIRST_WORD;
use word::{State, Word};

/// What the decoded chunks of an image may take of the disk, unless a tenth of the space that is
/// free is less.
pub(super) const LIMIT: u64 = 1 << 30;
/// What of the limit is made free at once: looking for what was not used for longest means
/// looking at all words.
const EVICTED_SHARE: u64 = 8;

/// Where a chunk has its bytes in the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Where it begins.
    pub(super) start: u64,
    /// Its length.
    pub(super) bytes: u64,
}

/// Where the shared chunks of the image with this index belong, among those of others in `directory`,
/// which only its owner may enter.
pub fn shared_file(index: &Path, directory: &Path) -> PathBuf {
    let name = hash(index.as_os_str().as_bytes());
    directory.join(format!("{name:016x}.chunks"))
}

/// Tells the place of a chunk by its number.
pub(super) type Places<'p> = &'p dyn Fn(u64) -> Option<Place>;

/// The shared chunks of one image.
pub(super) struct SharedChunks {
    file: File,
    table: SharedPart,
    chunks: u64,
    /// Where the first byte of the stream has its place in the file.
    data: u64,
    /// One thread of this process looks for what can go.
    evicting: Mutex<()>,
    /// The disk is full, or worse: this process does not write any more.
    broken: AtomicBool,
}

impl SharedChunks {
    /// Opens the cache at `path` for an index that `identity` stands for, of so many chunks of a
    /// stream so long; makes it if there is none that fits. `None`, with a line in the log, if
    /// that is not possible.
    pub(super) fn open(path: &Path, identity: u64, chunks: u64, stream: u64) -> Option<Self> {
        match file::open(path, identity, chunks, stream) {
            Ok((file, table)) => Some(Self {
                file,
                table,
                chunks,
                data: file::table_bytes(chunks),
                evicting: Mutex::new(()),
                broken: AtomicBool::new(false),
            }),
            Err(error) => {
                log::warn!(
                    "decoded chunks are not shared with other mounts: {}: {error}",
                    path.display()
                );
                None
            }
        }
    }

    /// Fills `buffer` from `start` of the stream, all of it in chunk `number`, if that is there.
    pub(super) fn read(&self, number: u64, start: u64, buffer: &mut [u8]) -> bool {
        let Some(slot) = self.slot(number) else {
            return false;
        };
        let before = Word::load(slot);
        if before.state() != State::There {
            return false;
        }
        let at = self.data + start;
        if !read_full(&self.file, buffer, at).is_ok_and(|count| count == buffer.len()) {
            return false;
        }
        // The hole of who punched this chunk out meanwhile comes after the word that says so.
        fence(Ordering::SeqCst);
        let after = Word::load(slot);
        if !after.is_same_contents(before) {
            return false;
        }
        after.touch(slot, word::now());
        true
    }

    /// Keeps the decoded bytes of chunk `number` for everybody. `places` tells where any chunk is, for
    /// what may have to go in exchange.
    pub(super) fn keep(&self, number: u64, bytes: &[u8], places: Places<'_>) {
        if self.broken.load(Ordering::Relaxed) || bytes.len() as u64 > self.limit() {
            return;
        }
        let (Some(slot), Some(place)) = (self.slot(number), places(number)) else {
            return;
        };
        let Some(changing) = Word::load(slot).begin(slot, State::Empty, word::now()) else {
            return;
        };
        self.kept().fetch_add(place.bytes, Ordering::Relaxed);
        self.make_room(places);
        match self.file.write_all_at(bytes, self.data + place.start) {
            Ok(()) => changing.end(slot, State::There),
            Err(error) => {
                self.broken.store(true, Ordering::Relaxed);
                log::warn!("decoded chunks are no longer shared: {error}");
                self.punch(place);
                changing.end(slot, State::Empty);
            }
        }
    }

    fn slot(&self, number: u64) -> Option<&AtomicU64> {
        if number >= self.chunks {
            return None;
        }
        self.table
            .number(FIRST_WORD + usize::try_from(number).ok()?)
    }

    fn limit(&self) -> u64 {
        let limit = self.table.number(file::LIMIT);
        limit.map_or(0, |limit| limit.load(Ordering::Relaxed))
    }

    /// What all chunks that are there take, an estimate: who dies leaves it too high.
    fn kept(&self) -> &AtomicU64 {
        static NOWHERE: AtomicU64 = AtomicU64::new(0);
        self.table.number(file::KEPT).unwrap_or(&NOWHERE)
    }

    /// Punches out what was not used for longest, if more is kept than may be. Does nothing while
    /// another thread or process is at it.
    fn make_room(&self, places: Places<'_>) {
        let limit = self.limit();
        if self.kept().load(Ordering::Relaxed) <= limit {
            return;
        }
        let Some(_one_thread) = self.evicting.try_lock() else {
            return;
        };
        if flock(self.file.as_fd(), FlockOperation::NonBlockingLockExclusive).is_err() {
            return;
        }
        self.evict(limit - limit / EVICTED_SHARE, places);
        let _ = flock(self.file.as_fd(), FlockOperation::Unlock);
    }

    fn evict(&self, wanted: u64, places: Places<'_>) {
        let now = word::now();
        let mut there: Vec<(u32, u64)> = Vec::new();
        let mut kept = 0;
        let bytes = |number| places(number).map_or(0, |place| place.bytes);
        for number in 0..self.chunks {
            let Some(slot) = self.slot(number) else { break };
            let word = Word::load(slot);
            match word.state() {
                State::Empty => continue,
                State::There => there.push((word.unused(now), number)),
                State::Changing => {}
            }
            kept += bytes(number);
        }
        there.sort_unstable();
        while kept > wanted
            && let Some((_, number)) = there.pop()
        {
            let (Some(slot), Some(place)) = (self.slot(number), places(number)) else {
                break;
            };
            let word = Word::load(slot);
            if let Some(changing) = word.begin(slot, State::There, now) {
                self.punch(place);
                changing.end(slot, State::Empty);
            }
            kept -= place.bytes;
        }
        self.kept().store(kept, Ordering::Relaxed);
    }

    fn punch(&self, place: Place) {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let start = self.data + place.start;
        if let Err(errno) = fallocate(&self.file, flags, start, place.bytes) {
            // It takes more than it should, but nothing is wrong.
            log::debug!("cannot give back the space of a chunk: {errno}");
        }
    }
}

impl std::fmt::Debug for SharedChunks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedChunks")
            .field("chunks", &self.chunks)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
