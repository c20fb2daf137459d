//! A file in memory, read-only.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{Advice, Mmap, MmapOptions, UncheckedAdvice};

/// Bytes of the mapping that may be in the process's page tables, about.
const MOST_BYTES: u64 = 8 << 20;

/// Longest file that is read as a whole before it is asked for: 0.1 s of a slow disk's time.
const MOST_READ_IN: usize = 64 << 20;

/// How often a thread looks at the bytes until it sees how much of them is in the page tables. Each
/// look can bring 64 KiB in.
const LOOKS: u32 = 512;

/// A read-only, shared mapping of a file that nobody writes in place.
///
/// Only files that come to be by rename and are never changed afterwards (indexes) may be mapped:
/// a file that is truncated under its mapping ends the process with SIGBUS. Image archives, which
/// belong to the user, are read with `pread` instead.
///
/// What was looked at counts as memory of this process until the kernel wants it back, although it
/// is page cache, which all who map the file share. So that who measures the process sees what it
/// costs, the page tables are emptied when they hold more than a few megabytes of the file; the
/// pages stay in the page cache, and are found there again without reading.
#[derive(Debug)]
pub(crate) struct FileMap {
    map: Mmap,
    /// Pages of files that the process may have in its page tables.
    allowed: AtomicU64,
}

/// How often a thread looks at the bytes until it sees whether they had to be read.
const LOOKS_UNREAD: u32 = 64;

/// So many pages that a thread waited for are the sign that the page cache has lost the file.
const MANY_READ: i64 = 32;

thread_local! {
    /// Looks of this thread at any mapping.
    static LOOKED: Cell<u32> = const { Cell::new(0) };
    /// Pages that this thread had to wait for until it had a file read in.
    static WAITED: Cell<i64> = const { Cell::new(0) };
}

impl FileMap {
    /// Maps the whole of `file`, which must not be empty.
    pub(crate) fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the mapping is read-only and its bytes are only ever looked at as `u8` with
        // checked bounds; index files are written under another name, renamed into place and not
        // modified after that, which is the condition that memmap2 asks for.
        let map = unsafe { MmapOptions::new().map(file) }?;
        // Otherwise the kernel reads around each page that is missed, as much as the disk's
        // read-ahead is: 8 MiB in 6 ms where 4 KiB in 0.1 ms would do.
        map.advise(Advice::Random)?;
        let allowed = AtomicU64::new(resident_file_pages() + most_pages());
        Ok(Self { map, allowed })
    }

    /// Has the kernel begin to read the whole file into the page cache, if it is short enough for
    /// that to be better than page by page.
    pub(crate) fn read_in(&self) {
        if self.map.len() <= MOST_READ_IN
            && let Err(error) = self.map.advise(Advice::WillNeed)
        {
            log::debug!("cannot read an index ahead: {error}");
        }
    }

    /// Has it read in again if this thread waits for one page of it after the other.
    #[cold]
    fn read_again(&self) {
        let waited = pages_waited_for();
        if waited - WAITED.get() >= MANY_READ {
            WAITED.set(waited);
            self.read_in();
        }
    }

    /// Empties the page tables if they hold more of files than they may.
    #[cold]
    fn trim(&self) {
        let now = resident_file_pages();
        // What was of other files before may be gone.
        if now
            <= self
                .allowed
                .fetch_min(now + most_pages(), Ordering::Relaxed)
        {
            return;
        }
        // SAFETY: a shared mapping of a file, never written to: who looks at it finds the same bytes
        // again, in the page cache or in the file.
        let trimmed = unsafe { self.map.unchecked_advise(UncheckedAdvice::DontNeed) };
        if let Err(error) = trimmed {
            log::debug!("cannot take an index out of the page tables: {error}");
        }
        // What is left is of other files, and not ours to judge.
        let allowed = resident_file_pages() + most_pages();
        self.allowed.store(allowed, Ordering::Relaxed);
    }
}

impl Deref for FileMap {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let looked = LOOKED.get() + 1;
        if looked.is_multiple_of(LOOKS_UNREAD) {
            self.read_again();
        }
        if looked < LOOKS {
            LOOKED.set(looked);
        } else {
            LOOKED.set(0);
            self.trim();
        }
        &self.map
    }
}

fn most_pages() -> u64 {
    MOST_BYTES / rustix::param::page_size() as u64
}

/// Pages of files, mapped ones and those in memory, that are in this process's page tables; 0 if
/// `/proc` does not tell (`proc_pid_statm(5)`).
fn resident_file_pages() -> u64 {
    let Some(file) = statm() else {
        return 0;
    };
    let mut text = [0; 128];
    let length = file.read_at(&mut text, 0).unwrap_or(0);
    let text = text.get(..length).unwrap_or_default();
    let shared = text.split(|byte| *byte == b' ').nth(2);
    shared
        .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
        .unwrap_or(0)
}

/// The file that tells, opened once: later there may be no way to it.
pub(crate) fn statm() -> Option<&'static File> {
    static STATM: OnceLock<Option<File>> = OnceLock::new();
    STATM
        .get_or_init(|| File::open("/proc/self/statm").ok())
        .as_ref()
}

/// Pages that this thread has waited for until they were read from a disk (`getrusage(2)`).
fn pages_waited_for() -> i64 {
    // SAFETY: all zeros are a value of this structure of numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: writes the one structure that it is given.
    match unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) } {
        0 => usage.ru_majflt,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Kilobytes of `file` in the page tables (`proc_pid_smaps(5)`).
    fn resident(name: &str) -> u64 {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut lines = maps.lines().skip_while(|line| !line.ends_with(name));
        let line = lines.find(|line| line.starts_with("Rss:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    #[test]
    fn a_mapping_that_was_read_as_a_whole_does_not_stay_in_memory_of_the_process() {
        const PAGE: usize = 4096;
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for number in 0..16_384_u32 {
            file.write_all(&[number.to_ne_bytes(); PAGE / 4].concat())
                .unwrap();
        }
        let map = FileMap::new(file.as_file()).unwrap();
        let name = file.path().to_str().unwrap();
        let mut most = 0;
        for round in 0..3 {
            for at in 0..map.len() / PAGE {
                let page = &map[at * PAGE..][..PAGE];
                assert_eq!(page[..4], (at as u32).to_ne_bytes(), "{round}");
                if at % 1000 == 0 {
                    most = most.max(resident(name));
                }
            }
        }
        assert!(
            most > 0 && most <= 3 * MOST_BYTES / 1024,
            "{most} kB of 64 MiB"
        );
    }
}
