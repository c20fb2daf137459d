//! The map of one open file. See [`super`] for what makes it safe.

use std::fmt;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::upper::calls::{self as fs, Mode, OFlags};
use parking_lot::Mutex;
use rustix::io::Errno;

use super::bits::Bits;
use super::log::{self, ENTRY, HALF, HALF_ENTRIES, LOG};
use super::sector::{self, SECTOR};
use super::state::BlockState;
use super::{BootId, HEAD, PAGE, SECTORS, discard_log};
use crate::error::{FsError, FsResult};
use crate::types::Ino;
use crate::upper::data::{read_full, write_all};
use crate::upper::{UpperStore, number_name};

/// The block map of one file. There is one object for each such file, whoever has it open.
///
/// Locks: `durable`, then `log`. The bits and the limit are read without any.
pub struct BlockMap {
    ino: Ino,
    boot: Option<BootId>,
    data: Arc<OwnedFd>,
    maps: OwnedFd,
    /// The map's file; made when it is first needed.
    file: OnceLock<OwnedFd>,
    shift: u8,
    count: u32,
    limit: AtomicU64,
    /// The state that was read; of it only what never changes is looked at.
    begun: BlockState,
    /// Blocks that are the store's.
    present: Bits,
    log: Mutex<Log>,
    durable: Mutex<Durable>,
    /// The limit on disk may be too high: nothing may change before it is stored.
    failed: AtomicBool,
    /// Data could not be synced, and no program knows that yet.
    lost: AtomicBool,
    /// The file is complete, or gone: nothing of this is stored any more.
    retired: AtomicBool,
}

/// What is not settled.
#[derive(Debug, Default)]
struct Log {
    /// Which half is written to.
    half: usize,
    /// Entries in it.
    used: usize,
    /// Ranges that are in the log alone.
    pending: Vec<Range<u32>>,
    /// Ranges that are being settled.
    settling: Vec<Range<u32>>,
    /// Both halves may have entries that count: settle before writing to the other one.
    both: bool,
}

/// What is settled.
#[derive(Debug)]
struct Durable {
    /// Blocks whose data are durable; the map's file has them, or will.
    bits: Bits,
    state: BlockState,
}

impl fmt::Debug for BlockMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockMap")
            .field("ino", &self.ino)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl BlockMap {
    /// Reads the map of the partly copied file `data` (open for reading and writing).
    ///
    /// # Errors
    /// `Damaged` if state or map make no sense, else those of the host's file system.
    pub fn load(store: &UpperStore, data: impl Into<Arc<OwnedFd>>, ino: Ino) -> FsResult<Self> {
        let data = data.into();
        let mut state = BlockState::read(data.as_fd(), ino)?;
        let size = fs::fstat(&*data)?.st_size.cast_unsigned();
        if state.limit > size {
            // The file was cut, and a crash came before the limit was.
            state.limit = size;
            state.write(data.as_fd(), ino)?;
        }
        let count = state.count();
        let bits = Bits::new(count);
        let mut log = Log::default();
        let mut expected = state.settled;
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match fs::openat(store.maps(), number_name(ino), flags, Mode::empty()) {
            Ok(file) => Some(file),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(errno.into()),
        };
        if let Some(file) = &file {
            expected = expected.max(read_head(file.as_fd(), ino)?);
            read_sectors(file.as_fd(), ino, &bits)?;
            if let Some(boot) = &store.boot {
                log.pending = read_log(file.as_fd(), boot, ino)?;
            }
        }
        if bits.ones(count) < expected || log.pending.iter().any(|range| range.end > count) {
            return Err(FsError::Damaged);
        }
        let present = Bits::new(count);
        for index in 0..count.div_ceil(u64::BITS) as usize {
            present.set_word(index, bits.word(index));
        }
        for range in &log.pending {
            present.set(range.clone());
        }
        if !log.pending.is_empty() {
            (log.used, log.both) = (HALF_ENTRIES, true);
        }
        Ok(Self {
            ino,
            boot: store.boot,
            data,
            maps: store.maps().try_clone_to_owned()?,
            file: file.map_or_else(OnceLock::new, OnceLock::from),
            shift: state.shift,
            count,
            limit: AtomicU64::new(state.limit),
            begun: state,
            present,
            log: Mutex::new(log),
            durable: Mutex::new(Durable { bits, state }),
            failed: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            retired: AtomicBool::new(false),
        })
    }

    /// The store's file.
    pub fn data(&self) -> BorrowedFd<'_> {
        self.data.as_fd()
    }

    /// Bytes from here on are the store's.
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Acquire)
    }

    /// Size of a block.
    pub fn block_size(&self) -> u64 {
        1 << self.shift
    }

    /// What is remembered of the lower file. The limit in it may be old: see [`Self::limit`].
    pub fn begun(&self) -> &BlockState {
        &self.begun
    }

    fn block_of(&self, offset: u64) -> u32 {
        u32::try_from(offset >> self.shift).unwrap_or(u32::MAX)
    }

    /// The blocks that have bytes in `range` below the limit.
    fn blocks_in(&self, range: &Range<u64>) -> Range<u32> {
        let end = range.end.min(self.limit());
        if range.start >= end {
            return 0..0;
        }
        let end = end.div_ceil(self.block_size());
        self.block_of(range.start)..u32::try_from(end).unwrap_or(u32::MAX)
    }

    /// Whose the byte at `offset` is, true for the store's, and up to where that is so, at most
    /// to `end`.
    pub fn run(&self, offset: u64, end: u64) -> (bool, u64) {
        let limit = self.limit();
        if offset >= limit {
            return (true, end);
        }
        let first = self.block_of(offset);
        let blocks = self.blocks_in(&(offset..end));
        let stop = self.present.run_end(first, blocks.end.max(first + 1));
        let stop = (u64::from(stop) << self.shift).min(limit).min(end);
        (self.present.get(first), stop.max(offset))
    }

    /// Whether all bytes of `range` are the store's.
    pub fn has(&self, range: Range<u64>) -> bool {
        let blocks = self.blocks_in(&range);
        blocks.is_empty()
            || (self.present.get(blocks.start)
                && self.present.run_end(blocks.start, blocks.end) == blocks.end)
    }

    /// What has to be brought in before the bytes of `range` change and their blocks are marked:
    /// the rest of the first and of the last block, as far as it is the lower's.
    pub fn edges(&self, range: &Range<u64>) -> [Range<u64>; 2] {
        let blocks = self.blocks_in(range);
        let (mut head, mut tail) = (0..0, 0..0);
        if blocks.is_empty() {
            return [head, tail];
        }
        if !self.present.get(blocks.start) {
            head = u64::from(blocks.start) << self.shift..range.start;
        }
        if !self.present.get(blocks.end - 1) {
            let end = (u64::from(blocks.end) << self.shift).min(self.limit());
            tail = range.end.min(end)..end;
        }
        [head, tail]
    }

    /// Whether anything may be changed.
    ///
    /// # Errors
    /// Those of the host's file system, if the limit could not be stored earlier and cannot now.
    pub fn check(&self) -> FsResult<()> {
        if self.failed.load(Ordering::Acquire) {
            let durable = self.durable.lock();
            self.store_state(&durable.state)?;
            self.failed.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// Makes all blocks with bytes in `range` the store's. Their data must be in its file.
    ///
    /// # Errors
    /// Those of the host's file system; the blocks then stay the lower's.
    pub fn mark(&self, range: Range<u64>) -> FsResult<()> {
        let blocks = self.blocks_in(&range);
        if self.has(range) {
            return Ok(());
        }
        let Some(boot) = &self.boot else {
            // No boot id: nothing but a sync tells data that survived from data that did not.
            self.log.lock().pending.push(blocks.clone());
            self.settle(true)?;
            self.present.set(blocks);
            return Ok(());
        };
        let file = self.file()?;
        loop {
            let mut log = self.log.lock();
            if log.used == HALF_ENTRIES && !log.change_half(file, boot, self.ino)? {
                drop(log);
                self.settle(true)?;
                continue;
            }
            let at = log.half * HALF + log.used * ENTRY;
            write_all(file, &log::encode(&blocks, boot, self.ino), at as u64)?;
            log.used += 1;
            log.pending.push(blocks.clone());
            self.present.set(blocks);
            return Ok(());
        }
    }

    /// The file was cut to `size`: what is behind is the store's, and zeros, for ever.
    ///
    /// # Errors
    /// Those of the host's file system; nothing can be changed until it can be stored.
    pub fn cut(&self, size: u64) -> FsResult<()> {
        let mut durable = self.durable.lock();
        if size >= self.limit() {
            return Ok(());
        }
        self.limit.store(size, Ordering::Release);
        durable.state.limit = size;
        let stored = self.store_state(&durable.state);
        if let Err(error) = stored {
            ::log::error!(
                "{}: cannot store where the lower's part ends: {error}",
                self.ino
            );
            self.failed.store(true, Ordering::Release);
        }
        stored
    }

    fn store_state(&self, state: &BlockState) -> FsResult<()> {
        if self.retired.load(Ordering::Acquire) {
            return Ok(());
        }
        state.write(self.data.as_fd(), self.ino)
    }

    /// Settles because a program asks for it.
    ///
    /// # Errors
    /// As [`Self::settle`]; also if it failed earlier and no program was told: the host's file
    /// system reports that it lost data only once.
    pub fn sync(&self, data_only: bool) -> FsResult<()> {
        let result = self.settle(data_only);
        if self.lost.swap(false, Ordering::AcqRel) && result.is_ok() {
            return Err(FsError::Layer(Errno::IO));
        }
        result
    }

    /// Makes data and map durable; of attributes only what the data need if `data_only`.
    ///
    /// # Errors
    /// Those of the host's file system; what was not settled is tried again the next time.
    pub fn settle(&self, data_only: bool) -> FsResult<()> {
        let mut durable = self.durable.lock();
        let ranges = {
            let mut log = self.log.lock();
            let pending = std::mem::take(&mut log.pending);
            log.settling = log::merge(pending);
            log.settling.clone()
        };
        let result = self.settle_ranges(&mut durable, &ranges, data_only);
        let mut log = self.log.lock();
        let settling = std::mem::take(&mut log.settling);
        if result.is_err() {
            log.pending.extend(settling);
        } else if log.pending.is_empty() {
            // All entries are of blocks that the sectors have: they may be overwritten.
            (log.used, log.both) = (0, false);
        }
        result
    }

    fn settle_ranges(
        &self,
        durable: &mut Durable,
        ranges: &[Range<u32>],
        data_only: bool,
    ) -> FsResult<()> {
        let synced = if data_only {
            fs::fdatasync(&self.data)
        } else {
            fs::fsync(&self.data)
        };
        synced.inspect_err(|_| self.lost.store(true, Ordering::Release))?;
        if ranges.is_empty() || self.retired.load(Ordering::Acquire) {
            return Ok(());
        }
        for range in ranges {
            durable.bits.set(range.clone());
        }
        let file = self.file()?;
        write_sectors(file, self.ino, &durable.bits, ranges)?;
        fs::fdatasync(file)?;
        let settled = durable.bits.ones(self.count);
        write_all(file, &sector::encode_head(settled, self.ino), HEAD)?;
        if durable.state.settled > 0 {
            return Ok(());
        }
        durable.state.settled = settled;
        let stored = self.store_state(&durable.state);
        if stored.is_err() {
            durable.state.settled = 0;
        }
        stored
    }

    /// Whether there is something to settle.
    pub fn is_dirty(&self) -> bool {
        let log = self.log.lock();
        !log.pending.is_empty() || !log.settling.is_empty()
    }

    /// Whether all is the store's, and that is durable; `None` if that is being changed.
    pub fn is_complete(&self) -> Option<bool> {
        let durable = self.durable.try_lock()?;
        let blocks = self.blocks_in(&(0..u64::MAX));
        Some(blocks.is_empty() || durable.bits.ones(blocks.end) == u64::from(blocks.end))
    }

    /// Blocks that are the lower's still, and all blocks.
    pub fn missing(&self) -> (u64, u64) {
        let blocks = self.blocks_in(&(0..u64::MAX)).end;
        let all = u64::from(blocks);
        (all - self.present.ones(blocks), all)
    }

    /// The file became complete, or goes: nothing is stored for it from now on.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Settles, and gives the space of the log back. The last thing that is done with a map.
    ///
    /// # Errors
    /// As [`Self::settle`].
    pub fn close(&self) -> FsResult<()> {
        if self.retired.load(Ordering::Acquire) || !self.is_dirty() && self.log.lock().used == 0 {
            return Ok(());
        }
        self.settle(true)?;
        let log = self.log.lock();
        if let Some(file) = self.file.get()
            && log.pending.is_empty()
            && log.settling.is_empty()
        {
            discard_log(file.as_fd());
        }
        Ok(())
    }

    /// The map's file, made if it is not there.
    fn file(&self) -> FsResult<BorrowedFd<'_>> {
        if let Some(file) = self.file.get() {
            return Ok(file.as_fd());
        }
        if self.retired.load(Ordering::Acquire) {
            return Err(FsError::Stale);
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let made = fs::openat(&self.maps, number_name(self.ino), flags, mode)?;
        Ok(self.file.get_or_init(|| made).as_fd())
    }
}

impl Log {
    /// Goes on in the other half, with fewer entries; false if they are too many, and have to be
    /// settled.
    fn change_half(&mut self, file: BorrowedFd<'_>, boot: &BootId, ino: Ino) -> FsResult<bool> {
        if self.both {
            return Ok(false);
        }
        let all = [&self.settling[..], &self.pending[..]].concat();
        let merged = log::merge(all);
        if merged.len() > HALF_ENTRIES / 2 {
            return Ok(false);
        }
        let other = 1 - self.half;
        let bytes: Vec<u8> = merged
            .iter()
            .flat_map(|range| log::encode(range, boot, ino))
            .collect();
        // The half that was full stays as it is until this one is.
        write_all(file, &bytes, (other * HALF) as u64)?;
        (self.half, self.used) = (other, merged.len());
        self.pending = log::merge(std::mem::take(&mut self.pending));
        Ok(true)
    }
}

/// The entries of the log that count.
pub(super) fn read_log(file: BorrowedFd<'_>, boot: &BootId, ino: Ino) -> FsResult<Vec<Range<u32>>> {
    let mut bytes = vec![0; LOG];
    let read = read_full(file, &mut bytes, 0)?;
    bytes.truncate(read);
    let mut found = Vec::new();
    for half in bytes.chunks(HALF) {
        log::read_half(half, boot, ino, &mut found)?;
    }
    Ok(log::merge(found))
}

/// Adds `ranges`, whose data are durable, to a map that nobody has open, and makes that durable.
pub(super) fn promote(file: BorrowedFd<'_>, ino: Ino, ranges: &[Range<u32>]) -> FsResult<()> {
    let blocks = ranges.iter().map(|range| range.end).max().unwrap_or(0);
    let stored = fs::fstat(file)?.st_size.cast_unsigned();
    let sectors = stored.saturating_sub(SECTORS).div_ceil(SECTOR as u64);
    let stored = sectors.saturating_mul(sector::BLOCKS.into());
    let count = u64::from(blocks).max(stored).min(super::state::BLOCKS_MAX);
    let bits = Bits::new(u32::try_from(count).map_err(|_| FsError::Damaged)?);
    if blocks > bits.count() {
        return Err(FsError::Damaged);
    }
    read_sectors(file, ino, &bits)?;
    for range in ranges {
        bits.set(range.clone());
    }
    write_sectors(file, ino, &bits, ranges)?;
    Ok(fs::fdatasync(file)?)
}

fn read_head(file: BorrowedFd<'_>, ino: Ino) -> FsResult<u64> {
    let mut head = [0; SECTOR];
    read_full(file, &mut head, HEAD)?;
    sector::decode_head(&head, ino)
}

fn read_sectors(file: BorrowedFd<'_>, ino: Ino, bits: &Bits) -> FsResult<()> {
    let mut page = [0; PAGE];
    let mut number = 0;
    let sectors = bits.count().div_ceil(sector::BLOCKS);
    let mut at = SECTORS;
    while number < sectors {
        page.fill(0);
        if read_full(file, &mut page, at)? == 0 {
            return Ok(());
        }
        for bytes in page.as_chunks::<SECTOR>().0 {
            if number < sectors {
                sector::decode(bytes, number, ino, bits)?;
            }
            number += 1;
        }
        at += PAGE as u64;
    }
    Ok(())
}

/// Writes the pages that have a bit of `ranges`.
fn write_sectors(
    file: BorrowedFd<'_>,
    ino: Ino,
    bits: &Bits,
    ranges: &[Range<u32>],
) -> FsResult<()> {
    const PER_PAGE: u32 = (PAGE / SECTOR) as u32;
    let mut next = 0;
    for range in ranges.iter().filter(|range| !range.is_empty()) {
        let page_of = |block: u32| block / sector::BLOCKS / PER_PAGE;
        for number in page_of(range.start).max(next)..=page_of(range.end - 1) {
            let mut page = [0; PAGE];
            for (offset, bytes) in (0_u32..).zip(page.as_chunks_mut::<SECTOR>().0) {
                *bytes = sector::encode(bits, number * PER_PAGE + offset, ino);
            }
            write_all(file, &page, SECTORS + u64::from(number) * PAGE as u64)?;
            next = number + 1;
        }
    }
    Ok(())
}
