//! Bytes that grow and are looked at anywhere, kept in a file without a name instead of in memory.
//!
//! What is small stays in memory. What grows moves into a file that nobody else knows, mapped: it is
//! page cache then, which the kernel writes to the disk and takes back when memory is short. Only the
//! part that was touched lately is in the page tables of the process.
//!
//! Nothing here fails. Where there can be no such file, or no more room for it, the bytes are kept in
//! memory: a mapped file that has no room for a page would end the process with SIGBUS, so room is
//! always allocated first.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use memmap2::{MmapMut, MmapOptions, RemapOptions, UncheckedAdvice};
use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate};

/// Up to so many bytes are kept in memory.
const SMALL: usize = 256 << 10;
/// The file grows by at least so much at a time.
const STEP: usize = 1 << 20;
/// A fault brings at most so much into the page tables (the kernel maps what is around).
const BLOCK: usize = 64 << 10;
/// Blocks that may be in the page tables.
const MOST_BLOCKS: u32 = 8;
/// Numbers of blocks that are remembered, each in the place that follows from it.
const REMEMBERED: usize = 16;

/// Bytes, appended at the end, read and changed anywhere.
pub(crate) struct Scratch {
    place: Place,
    length: usize,
    /// Where the file may be made, as long as there is none and one was not refused.
    directory: Option<PathBuf>,
    touched: Touched,
}

enum Place {
    Memory(Vec<u8>),
    File(File, MmapMut),
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch")
            .field("length", &self.length)
            .field("in_file", &matches!(self.place, Place::File(..)))
            .finish()
    }
}

impl Scratch {
    /// No bytes. The file will have no name, and its room from the file system of `directory`; without
    /// one all is kept in memory.
    pub(crate) fn new(directory: Option<&Path>) -> Self {
        Self {
            place: Place::Memory(Vec::new()),
            length: 0,
            directory: directory.map(Path::to_path_buf),
            touched: Touched::default(),
        }
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// `length` bytes from `at` on; `None` if there are not so many.
    pub(crate) fn get(&self, at: usize, length: usize) -> Option<&[u8]> {
        let end = at.checked_add(length).filter(|end| *end <= self.length)?;
        self.touch(at, end);
        match &self.place {
            Place::Memory(bytes) => bytes.get(at..end),
            Place::File(_, map) => map.get(at..end),
        }
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, at: usize, length: usize) -> Option<&mut [u8]> {
        let end = at.checked_add(length).filter(|end| *end <= self.length)?;
        self.touch(at, end);
        match &mut self.place {
            Place::Memory(bytes) => bytes.get_mut(at..end),
            Place::File(_, map) => map.get_mut(at..end),
        }
    }

    /// Appends `bytes`.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let at = self.length;
        let end = at + bytes.len();
        self.make_room(end);
        self.length = end;
        if let Place::Memory(held) = &mut self.place {
            held.extend_from_slice(bytes);
        } else if let Some(place) = self.get_mut(at, bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    /// Appends `count` zeros.
    pub(crate) fn push_zeros(&mut self, count: usize) {
        let end = self.length + count;
        self.make_room(end);
        if let Place::Memory(held) = &mut self.place {
            held.resize(end, 0);
        }
        // What was allocated for the file and never written is zeros, and nothing is ever given back.
        self.length = end;
    }

    /// Sees to it that a file has room for `wanted` bytes; moves to one, or away from it, as need be.
    fn make_room(&mut self, wanted: usize) {
        let there = match &self.place {
            Place::Memory(_) if wanted <= SMALL || self.directory.is_none() => return,
            Place::Memory(_) => 0,
            Place::File(_, map) if wanted <= map.len() => return,
            Place::File(_, map) => map.len(),
        };
        let length = wanted.max(there + there / 2).next_multiple_of(STEP);
        let grown = match &mut self.place {
            Place::File(file, map) => grow(file, map, length),
            Place::Memory(bytes) => {
                let directory = self.directory.take().unwrap_or_default();
                match file_of(&directory, bytes, length) {
                    Ok((file, map)) => {
                        self.place = Place::File(file, map);
                        Ok(())
                    }
                    Err(error) => Err(error),
                }
            }
        };
        if let Err(error) = grown {
            log::debug!("what is being indexed is kept in memory: {error}");
            if let Place::File(_, map) = &self.place {
                self.place = Place::Memory(map.get(..self.length).unwrap_or_default().to_vec());
            }
        }
    }

    /// Notes what is about to be looked at; empties the page tables if that is too much.
    fn touch(&self, at: usize, end: usize) {
        let Place::File(_, map) = &self.place else {
            return;
        };
        let blocks = at / BLOCK..end.div_ceil(BLOCK);
        if blocks.into_iter().fold(false, |full, block| {
            // Each of them, whatever the one before said.
            self.touched.note(block) || full
        }) {
            // SAFETY: a shared mapping of a file: what was written is in the page cache, and who
            // looks at it again finds it there. No bytes change under a reference.
            let emptied = unsafe { map.unchecked_advise(UncheckedAdvice::DontNeed) };
            if let Err(error) = emptied {
                log::debug!("cannot take a scratch file out of the page tables: {error}");
            }
        }
    }
}

fn file_of(directory: &Path, bytes: &[u8], length: usize) -> io::Result<(File, MmapMut)> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::TMPFILE | OFlags::EXCL;
    let file = File::from(rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR)?);
    fallocate(&file, FallocateFlags::empty(), 0, length as u64)?;
    // SAFETY: the file has no name and this is its only descriptor, so nobody else changes or cuts it;
    // all of it is allocated.
    let mut map = unsafe { MmapOptions::new().len(length).map_mut(&file) }?;
    if let Some(place) = map.get_mut(..bytes.len()) {
        place.copy_from_slice(bytes);
    }
    Ok((file, map))
}

fn grow(file: &File, map: &mut MmapMut, length: usize) -> io::Result<()> {
    let there = map.len();
    let more = (length - there) as u64;
    fallocate(file, FallocateFlags::empty(), there as u64, more)?;
    // SAFETY: nothing is borrowed from the mapping, which may move; the file is as long, and no shorter
    // than it was.
    unsafe { map.remap(length, RemapOptions::new().may_move(true)) }
}

/// Which blocks were touched since the page tables were emptied.
struct Touched {
    blocks: [Cell<usize>; REMEMBERED],
    count: Cell<u32>,
}

impl Default for Touched {
    fn default() -> Self {
        Self {
            blocks: std::array::from_fn(|_| Cell::new(usize::MAX)),
            count: Cell::new(0),
        }
    }
}

impl Touched {
    /// Notes a block; true when they are too many, and then it begins anew with this one.
    fn note(&self, block: usize) -> bool {
        let Some(slot) = self.blocks.get(block % REMEMBERED) else {
            return false;
        };
        if slot.replace(block) == block {
            return false;
        }
        self.count.set(self.count.get() + 1);
        if self.count.get() <= MOST_BLOCKS {
            return false;
        }
        self.blocks.iter().for_each(|slot| slot.set(usize::MAX));
        slot.set(block);
        self.count.set(1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(at: usize) -> [u8; 8] {
        (at as u64)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .to_le_bytes()
    }

    fn filled(directory: Option<&Path>, count: usize) -> Scratch {
        let mut scratch = Scratch::new(directory);
        (0..count).for_each(|at| scratch.push(&number(at)));
        scratch
    }

    #[test]
    fn what_is_small_stays_in_memory_and_what_grows_is_the_same_in_a_file() {
        let directory = tempfile::tempdir_in(".").unwrap();
        for (count, in_file) in [(1000, false), (SMALL / 8, false), (1 << 20, true)] {
            for directory in [None, Some(directory.path())] {
                let mut scratch = filled(directory, count);
                let is_file = matches!(scratch.place, Place::File(..));
                assert_eq!(is_file, in_file && directory.is_some());
                assert_eq!(scratch.len(), count * 8);
                for at in (0..count).step_by(331).chain([count - 1]) {
                    assert_eq!(scratch.get(at * 8, 8).unwrap(), number(at));
                }
                let middle = count / 2 * 8;
                scratch.get_mut(middle, 8).unwrap().fill(7);
                scratch.push_zeros(STEP + 5);
                assert_eq!(scratch.get(middle, 8).unwrap(), [7; 8]);
                let zeros = scratch.get(count * 8, STEP + 5).unwrap();
                assert!(zeros.iter().all(|byte| *byte == 0));
                assert_eq!(scratch.get(scratch.len(), 1), None);
                assert_eq!(scratch.get(usize::MAX, 2), None);
            }
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn without_room_for_a_file_all_is_in_memory() {
        let nowhere = Path::new("/nonexistent");
        let scratch = filled(Some(nowhere), SMALL);
        assert!(matches!(scratch.place, Place::Memory(_)));
        assert_eq!(scratch.get(80, 8).unwrap(), number(10));
        assert_eq!(scratch.len(), SMALL * 8);
    }

    #[test]
    fn little_of_a_large_one_is_in_the_page_tables() {
        let directory = tempfile::tempdir_in(".").unwrap();
        let scratch = filled(Some(directory.path()), 2 << 20);
        let Place::File(_, map) = &scratch.place else {
            panic!("in memory");
        };
        let start = format!("{:x}-", map.as_ptr() as usize);
        let resident = || -> usize {
            let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
            let mut lines = maps.lines().skip_while(|line| !line.starts_with(&start));
            let line = lines.find(|line| line.starts_with("Rss:")).unwrap();
            let kilobytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
            kilobytes << 10
        };
        let mut most = resident();
        for at in (0..2 << 20).step_by(4099).cycle().take(2000) {
            assert_eq!(scratch.get(at * 8, 8).unwrap(), number(at));
            most = most.max(resident());
        }
        assert!(
            most > 0 && most <= (MOST_BLOCKS as usize + 2) * BLOCK,
            "{most}"
        );
    }
}
