//! Bytes that grow and are looked at anywhere, kept in a file without a name instead of in memory.
//!
//! What is small stays in memory. What grows moves into a file that nobody else knows: it is page cache
//! then, which the kernel writes to the disk and takes back when memory is short. What comes is put
//! aside and written in pieces, for that costs a tenth of what the page faults of a mapping would; what
//! was written is looked at, and now and then changed, in a mapping, of which only the blocks that were
//! touched last are in the page tables of the process.
//!
//! Nothing here fails. Where there can be no such file, or no more room for it, the bytes are kept in
//! memory: a mapped file that has no room for a page would end the process with SIGBUS, so room is
//! always allocated first, and file systems on which that says nothing are not used.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use memmap2::{MmapMut, MmapOptions, RemapOptions, UncheckedAdvice};
use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate};

/// Up to so many bytes are kept in memory.
const SMALL: usize = 128 << 10;
/// So much is put aside before it is written.
const PIECE: usize = 64 << 10;
/// The file grows by at least so much at a time.
const STEP: usize = 1 << 20;
/// A fault brings at most so much into the page tables (the kernel maps what is around).
const BLOCK: usize = 64 << 10;
/// Blocks that may be in the page tables; and as many are taken out one by one before all are, since the
/// kernel maps whole folios, which do not begin and end where blocks do.
const MOST_BLOCKS: usize = 6;
/// Looks at blocks that are there which pay for taking one out. An archive whose entries stand by directory has
/// more than twice as many for each block that comes; where looks jump about (300,000 names in random order
/// over 4,000 directories, some ten for each), taking out took nine tenths of the time: then pages stay, and
/// the kernel takes them back if it must.
const PRICE: usize = 64;
/// Looks that can be saved up, so that what begins to jump about is noticed soon.
const SAVED: usize = 4096 * PRICE;

/// btrfs, bcachefs, ZFS (`f_type` of statfs(2)): there a page that changes needs room again, whatever was
/// allocated.
const COPY_ON_WRITE: [u32; 3] = [0x9123_683e, 0xca45_1a4e, 0x2fc1_2fc1];

/// Bytes, appended at the end, read and changed anywhere. What is appended at once stays together.
pub(crate) struct Scratch {
    place: Place,
    /// What comes behind `written` bytes in the file, or all.
    tail: Vec<u8>,
    written: usize,
    /// Where the file may be made, as long as there is none and one was not refused.
    directory: Option<PathBuf>,
    touched: Touched,
}

enum Place {
    Memory,
    File(File, MmapMut),
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch")
            .field("length", &self.len())
            .field("written", &self.written)
            .finish()
    }
}

impl Scratch {
    /// No bytes. The file will have no name, and its room from the file system of `directory`; without
    /// one all is kept in memory.
    pub(crate) fn new(directory: Option<&Path>) -> Self {
        Self {
            place: Place::Memory,
            tail: Vec::new(),
            written: 0,
            directory: directory.map(Path::to_path_buf),
            touched: Touched::default(),
        }
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.written + self.tail.len()
    }

    /// `length` bytes from `at` on, appended at once or part of what was; `None` if they are not there.
    pub(crate) fn get(&self, at: usize, length: usize) -> Option<&[u8]> {
        let end = at.checked_add(length)?;
        match &self.place {
            Place::File(_, map) if end <= self.written => {
                self.touch(map, at, end);
                map.get(at..end)
            }
            _ => self
                .tail
                .get(at.checked_sub(self.written)?..end.checked_sub(self.written)?),
        }
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, at: usize, length: usize) -> Option<&mut [u8]> {
        let end = at.checked_add(length)?;
        if let Place::File(_, map) = &self.place
            && end <= self.written
        {
            self.touch(map, at, end);
        }
        match &mut self.place {
            Place::File(_, map) if end <= self.written => map.get_mut(at..end),
            _ => self
                .tail
                .get_mut(at.checked_sub(self.written)?..end.checked_sub(self.written)?),
        }
    }

    /// All bytes, in pieces.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let written = (0..self.written).step_by(PIECE);
        let written = written.filter_map(|at| self.get(at, PIECE.min(self.written - at)));
        written.chain([self.tail.as_slice()])
    }

    /// Appends `bytes`.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let most = match self.place {
            Place::Memory => SMALL,
            Place::File(..) => PIECE,
        };
        if self.tail.len() + bytes.len() > most && !self.tail.is_empty() {
            self.write_tail();
        }
        self.tail.extend_from_slice(bytes);
    }

    /// Appends `count` zeros, which do not stay together.
    pub(crate) fn push_zeros(&mut self, count: usize) {
        let mut left = count;
        if self.len() + count > SMALL {
            self.write_tail();
            // What was allocated for the file and never written is zeros.
            if self.tail.is_empty() && self.make_room(self.written + count) {
                self.written += count;
                left = 0;
            }
        }
        self.tail.resize(self.tail.len() + left, 0);
    }

    /// Writes what was put aside to the file, if there can be one.
    fn write_tail(&mut self) {
        // Room for nothing is refused, and then there would never be a file.
        if self.tail.is_empty() {
            return;
        }
        let end = self.written + self.tail.len();
        if !self.make_room(end) {
            return;
        }
        if let Place::File(file, _) = &self.place {
            match file.write_all_at(&self.tail, self.written as u64) {
                Ok(()) => {
                    self.written = end;
                    self.tail.clear();
                }
                Err(error) => self.back_to_memory(&error),
            }
        }
    }

    /// Sees to it that there is a file with room for `wanted` bytes; false if there cannot be one, and
    /// all is in memory.
    fn make_room(&mut self, wanted: usize) -> bool {
        let there = match &self.place {
            Place::File(_, map) if wanted <= map.len() => return true,
            Place::File(_, map) => map.len(),
            Place::Memory => 0,
        };
        let length = wanted.max(there + there / 2).next_multiple_of(STEP);
        let grown = match (&mut self.place, self.directory.take()) {
            (Place::File(file, map), _) => grow(file, map, length),
            (Place::Memory, None) => return false,
            (Place::Memory, Some(directory)) => {
                file_in(&directory, length).map(|(file, map)| self.place = Place::File(file, map))
            }
        };
        if let Err(error) = &grown {
            self.back_to_memory(error);
        }
        grown.is_ok()
    }

    fn back_to_memory(&mut self, error: &io::Error) {
        log::debug!("what is being indexed is kept in memory: {error}");
        if let Place::File(_, map) = std::mem::replace(&mut self.place, Place::Memory) {
            let mut all = map.get(..self.written).unwrap_or_default().to_vec();
            all.append(&mut self.tail);
            self.tail = all;
            self.written = 0;
        }
    }

    /// Notes what is about to be looked at; takes out of the page tables what was not for longest.
    fn touch(&self, map: &MmapMut, at: usize, end: usize) {
        for block in at / BLOCK..end.div_ceil(BLOCK) {
            let Some(old) = self.touched.note(block) else {
                continue;
            };
            let (start, length) = match self.touched.is_due() {
                true => (0, map.len()),
                false => (old * BLOCK, BLOCK.min(map.len() - old * BLOCK)),
            };
            // SAFETY: a shared mapping of a file: what was written is in the page cache, and who looks
            // at it again finds it there. No bytes change under a reference.
            let taken =
                unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, start, length) };
            if let Err(error) = taken {
                log::debug!("cannot take a scratch file out of the page tables: {error}");
            }
        }
    }
}

fn file_in(directory: &Path, length: usize) -> io::Result<(File, MmapMut)> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::TMPFILE | OFlags::EXCL;
    let file = File::from(rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR)?);
    let kind = rustix::fs::fstatfs(&file)?.f_type;
    if COPY_ON_WRITE.iter().any(|one| i64::from(*one) == kind) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    fallocate(&file, FallocateFlags::empty(), 0, length as u64)?;
    // SAFETY: the file has no name and this is its only descriptor, so nobody else changes or cuts it;
    // all of it is allocated. It is written otherwise too, but never while its bytes are borrowed.
    let map = unsafe { MmapOptions::new().len(length).map_mut(&file) }?;
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

/// The blocks that were touched last, the latest one in front.
struct Touched {
    blocks: [Cell<usize>; MOST_BLOCKS],
    /// Blocks that were taken out since all were.
    taken: Cell<usize>,
    /// Looks at blocks that were there, not yet spent on taking one out.
    hits: Cell<usize>,
}

impl Default for Touched {
    fn default() -> Self {
        Self {
            blocks: std::array::from_fn(|_| Cell::new(usize::MAX)),
            taken: Cell::new(0),
            hits: Cell::new(0),
        }
    }
}

impl Touched {
    /// Notes a block; answers the one that has to go for it, if one has.
    fn note(&self, block: usize) -> Option<usize> {
        let mut next = block;
        for slot in &self.blocks {
            next = slot.replace(next);
            if next == block {
                self.hits.set((self.hits.get() + 1).min(SAVED));
                return None;
            }
        }
        if next == usize::MAX {
            return None;
        }
        self.hits.set(self.hits.get().checked_sub(PRICE)?);
        Some(next)
    }

    /// Whether all that is in the page tables has to go, with the block that has.
    fn is_due(&self) -> bool {
        let taken = (self.taken.get() + 1) % MOST_BLOCKS;
        self.taken.set(taken);
        taken == 0
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
    fn many_zeros_at_the_beginning_are_in_a_file() {
        let directory = tempfile::tempdir_in(".").unwrap();
        let mut scratch = Scratch::new(Some(directory.path()));
        scratch.push_zeros(STEP + 5);
        assert!(matches!(scratch.place, Place::File(..)));
        assert_eq!(scratch.get(STEP, 5), Some(&[0; 5][..]));
    }

    #[test]
    fn what_is_small_stays_in_memory_and_what_grows_is_the_same_in_a_file() {
        let directory = tempfile::tempdir_in(".").unwrap();
        for (count, in_file) in [(1000, false), (SMALL / 8, false), (1 << 20, true)] {
            for directory in [None, Some(directory.path())] {
                let mut scratch = filled(directory, count);
                let is_file = matches!(scratch.place, Place::File(..));
                assert_eq!(is_file, in_file && directory.is_some(), "{count}");
                assert_eq!(scratch.len(), count * 8);
                for at in (0..count).step_by(331).chain([count - 1]) {
                    assert_eq!(scratch.get(at * 8, 8).unwrap(), number(at));
                }
                let middle = count / 2 * 8;
                scratch.get_mut(middle, 8).unwrap().fill(7);
                scratch.push_zeros(STEP + 5);
                assert_eq!(scratch.get(middle, 8).unwrap(), [7; 8]);
                let zero = |at: usize| scratch.get(count * 8 + at, 1) == Some(&[0]);
                assert!((0..STEP + 5).step_by(97).all(zero));
                let mut at = 0;
                for piece in scratch.pieces() {
                    let some = piece.len().min(8);
                    assert_eq!(scratch.get(at, some).unwrap(), &piece[..some]);
                    at += piece.len();
                }
                assert_eq!(at, scratch.len());
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
        assert!(matches!(scratch.place, Place::Memory));
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
        let places = || (0..2 << 20).step_by(4099).cycle();
        for at in places().take(2000) {
            // As many for each as there are where entries stand by directory.
            for _ in 0..=PRICE {
                assert_eq!(scratch.get(at * 8, 8).unwrap(), number(at));
            }
            most = most.max(resident());
        }
        let bound = (2 * MOST_BLOCKS + 2) * BLOCK;
        assert!(most > 0 && most <= bound, "{most}");
        // Those that jump about are not made to pay for each.
        scratch.touched.hits.set(0);
        assert!(
            places()
                .take(2000)
                .all(|at| scratch.get(at * 8, 8) == Some(&number(at)[..]))
        );
        assert!(resident() > bound);
    }
}
