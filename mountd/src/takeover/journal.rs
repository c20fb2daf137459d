//! A list of records in a region of the kept file, appended to, read once by the next daemon.
//!
//! ```text
//! header    start of the list (8 bytes), counted from the start of the region
//! record    length (4), CRC-32 of the rest (4), the rest
//! ```
//!
//! The list ends where no valid record is: a daemon that is killed while it appends may leave the
//! beginning of one. When most of a list only repeats or takes back what was said, its owner says
//! again what is true now; that becomes the list, and the memory of the old one is given back.
//! Offsets are never used again, so nothing old can be taken for something new.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::pread;

use super::write_all;

/// Where the first record of a region stands: behind the header, on a page of its own.
const FIRST: u64 = 4096;
/// Length of a record's frame.
const FRAME: usize = 8;
/// The longest record, in bytes; longer ones are taken for damage.
const LONGEST: usize = 64 << 10;
/// A list is not made anew before it has this length.
const SMALL: u64 = 1 << 20;
/// How much is read, and written when a list is made anew, at a time.
const CHUNK: usize = 256 << 10;
/// In place of a start: the list has a gap.
const BROKEN: u64 = u64::MAX;

/// The list. Appended to by one owner, under the owner's lock.
#[derive(Debug)]
pub(crate) struct Journal {
    file: Arc<OwnedFd>,
    region: u64,
    list: Mutex<List>,
}

#[derive(Debug)]
struct List {
    start: u64,
    end: u64,
    /// Room to put a record together in.
    scratch: Vec<u8>,
    /// Something could not be written: nobody can take over any more.
    broken: bool,
}

impl Journal {
    /// The journal in the region of `file` that begins at `region`; it has to be read before it
    /// is appended to.
    pub(super) fn open(file: Arc<OwnedFd>, region: u64) -> io::Result<Self> {
        let mut start = [0; 8];
        let read = pread(&*file, &mut start, region)?;
        let start = if read == start.len() {
            u64::from_ne_bytes(start)
        } else {
            0
        };
        if start == BROKEN {
            return Err(io::Error::other(
                "there was no memory to note what the kernel knows",
            ));
        }
        let start = start.max(FIRST);
        // Now that there is memory: see `give_up`.
        write_all(file.as_fd(), &start.to_ne_bytes(), region)?;
        Ok(Self {
            file,
            region,
            list: Mutex::new(List {
                start,
                end: start,
                scratch: Vec::new(),
                broken: false,
            }),
        })
    }

    /// Calls `take` for each record in the order in which they were appended.
    ///
    /// # Errors
    /// Those of reading.
    pub(crate) fn read(&self, take: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let mut list = self.list.lock();
        let mut unread = Vec::new();
        let mut at = list.start;
        loop {
            let before = unread.len();
            unread.resize(before + CHUNK, 0);
            let offset = self.region + at + before as u64;
            let read = pread(&*self.file, &mut unread[before..], offset)?;
            unread.truncate(before + read);
            let mut used = 0;
            while let Some(record) = first_record(&unread[used..]) {
                take(record);
                used += FRAME + record.len();
            }
            unread.drain(..used);
            at += used as u64;
            if used == 0 && (read == 0 || unread.len() > FRAME + LONGEST) {
                break;
            }
        }
        list.end = at;
        Ok(())
    }

    /// Appends a record that `write` writes.
    pub(crate) fn append(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut list = self.list.lock();
        if list.broken {
            return;
        }
        let mut scratch = std::mem::take(&mut list.scratch);
        scratch.clear();
        frame(&mut scratch, write);
        self.extend(&mut list, &scratch);
        list.scratch = scratch;
    }

    /// Whether it should be made anew, if what is true now takes about `needed` bytes.
    pub(crate) fn is_long(&self, needed: u64) -> bool {
        let list = self.list.lock();
        list.end - list.start > SMALL.max(needed.saturating_mul(4))
    }

    /// Makes the list anew: `say` calls its argument for each record, written by a closure.
    pub(crate) fn renew(&self, say: impl FnOnce(&mut dyn FnMut(&dyn Fn(&mut Vec<u8>)))) {
        let mut list = self.list.lock();
        let begin = list.end.next_multiple_of(FIRST);
        list.end = begin;
        let mut pending = Vec::new();
        say(&mut |write| {
            frame(&mut pending, write);
            if pending.len() >= CHUNK {
                self.extend(&mut list, &pending);
                pending.clear();
            }
        });
        self.extend(&mut list, &pending);
        if list.broken {
            return;
        }
        if let Err(error) = write_all(self.file.as_fd(), &begin.to_ne_bytes(), self.region) {
            return self.give_up(&mut list, &error);
        }
        list.start = begin;
        let old = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if let Err(errno) = fallocate(&*self.file, old, self.region + FIRST, begin - FIRST) {
            log::debug!("the memory of an old journal cannot be given back: {errno}");
        }
    }

    fn extend(&self, list: &mut List, bytes: &[u8]) {
        if list.broken {
            return;
        }
        match write_all(self.file.as_fd(), bytes, self.region + list.end) {
            Ok(()) => list.end += bytes.len() as u64,
            Err(error) => self.give_up(list, &error),
        }
    }

    /// A journal with a gap would lie to whoever takes over.
    fn give_up(&self, list: &mut List, error: &io::Error) {
        log::error!("if this daemon dies, its mount does too: cannot note what it knows: {error}");
        list.broken = true;
        // The page of the header is there already, so this needs no memory.
        if let Err(error) = write_all(self.file.as_fd(), &BROKEN.to_ne_bytes(), self.region) {
            log::error!("cannot note that either: {error}");
        }
    }
}

fn frame(buffer: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = buffer.len();
    buffer.extend_from_slice(&[0; FRAME]);
    write(buffer);
    let (frame, record) = buffer.split_at_mut(at + FRAME);
    let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
    let sum = crc32fast::hash(record);
    frame[at..at + 4].copy_from_slice(&length.to_ne_bytes());
    frame[at + 4..].copy_from_slice(&sum.to_ne_bytes());
}

/// The first record of `bytes`, if a whole valid one is there. None is empty.
fn first_record(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (sum, rest) = rest.split_first_chunk()?;
    let length = u32::from_ne_bytes(*length) as usize;
    if length == 0 || length > LONGEST {
        return None;
    }
    let record = rest.get(..length)?;
    (crc32fast::hash(record) == u32::from_ne_bytes(*sum)).then_some(record)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::fs::{MemfdFlags, fstat, memfd_create};

    use super::*;

    fn file() -> Arc<OwnedFd> {
        Arc::new(memfd_create("journal", MemfdFlags::CLOEXEC).unwrap())
    }

    fn open(file: &Arc<OwnedFd>) -> (Journal, Vec<Vec<u8>>) {
        let journal = Journal::open(Arc::clone(file), 1 << 61).unwrap();
        let mut found = Vec::new();
        journal
            .read(&mut |record| found.push(record.to_vec()))
            .unwrap();
        (journal, found)
    }

    fn add(journal: &Journal, record: &[u8]) {
        journal.append(|buffer| buffer.extend_from_slice(record));
    }

    #[test]
    fn what_was_appended_is_read_in_order_by_the_next() {
        let file = file();
        let (journal, found) = open(&file);
        assert!(found.is_empty());
        let many: Vec<Vec<u8>> = (0..40_000_u32).map(|n| n.to_ne_bytes().to_vec()).collect();
        many.iter().for_each(|record| add(&journal, record));
        let (journal, found) = open(&file);
        assert!(found == many);
        add(&journal, b"more");
        assert_eq!(open(&file).1.last().unwrap(), b"more");
        assert_eq!(open(&file).1.len(), many.len() + 1);
    }

    #[test]
    fn a_record_that_was_torn_at_any_byte_ends_the_list() {
        for kept in 0..FRAME + 5 {
            let file = file();
            let (journal, _) = open(&file);
            add(&journal, b"whole");
            let mut torn = Vec::new();
            frame(&mut torn, |buffer| buffer.extend_from_slice(b"torn!"));
            let end = (1 << 61) + journal.list.lock().end;
            write_all(file.as_fd(), &torn[..kept], end).unwrap();
            let (journal, found) = open(&file);
            assert_eq!(found, [b"whole"], "{kept} bytes");
            add(&journal, b"next");
            assert_eq!(open(&file).1, [&b"whole"[..], b"next"]);
        }
    }

    #[test]
    fn a_list_made_anew_replaces_the_old_one_and_its_memory() {
        let file = file();
        let (journal, _) = open(&file);
        let mut longest = 0;
        for round in 0..200_000_u32 {
            add(&journal, &round.to_ne_bytes());
            if journal.is_long(12) {
                journal.renew(|say| say(&|buffer: &mut Vec<u8>| buffer.extend_from_slice(b"now")));
            }
            longest = longest.max(fstat(&*file).unwrap().st_blocks);
        }
        let found = open(&file).1;
        assert_eq!(found[0], b"now");
        assert_eq!(found.last().unwrap(), &199_999_u32.to_ne_bytes());
        assert!(longest * 512 < 3 << 20, "{longest} blocks");
    }

    #[test]
    fn a_journal_with_a_gap_is_refused() {
        let file = file();
        let (journal, _) = open(&file);
        let error = io::Error::other("no memory");
        journal.give_up(&mut journal.list.lock(), &error);
        add(&journal, b"lost");
        assert!(Journal::open(file, 1 << 61).is_err());
    }
}
