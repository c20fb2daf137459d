//! The data of a partly copied file: each byte from the layer that has it.
//!
//! Which blocks are whose says the block map ([`crate::upper::blocks`], where the order of writes
//! is reasoned). Here a block is brought in: what a change leaves of it is copied from the lower,
//! the change is made, then the block is marked. Reading takes no lock: a block that is marked
//! meanwhile was the lower's when the read began.

use std::fmt;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::upper::calls::{self as fs, FallocateFlags, SeekFrom};
use parking_lot::RwLock;
use rustix::io::Errno;

use super::find::lower_at;
use super::io::{AllocateMode, Extent, host_flags};
use crate::error::{FsError, FsResult};
use crate::lower::{LowerFile, LowerLayer, LowerNode};
use crate::types::{Attr, FileKind, Ino};
use crate::upper::UpperStore;
use crate::upper::blocks::BlockMap;
use crate::upper::data::{read_full, write_all};
use crate::upper::names;
use crate::upper::object::{REDIRECT_XATTR, read_xattr, times_of};
use crate::upper::quota::{Charge, Reservation};

/// How much is copied by one call.
const CHUNK: u64 = 1 << 20;

/// A partly copied file. There is one object for each, whoever has it open (see `partials`).
pub(super) struct PartialFile {
    ino: Ino,
    map: BlockMap,
    /// What is counted of it, if the store is limited.
    charge: Option<Arc<Charge>>,
    lower: Arc<dyn LowerLayer>,
    /// Path in the lower.
    origin: Vec<u8>,
    opened: OnceLock<Arc<dyn LowerFile>>,
    /// Held shared while blocks that are the store's are written, alone while blocks are brought
    /// in or the size changes. The kernel lets one program at a time write to a file anyway.
    changes: RwLock<()>,
    /// Whether it was told that something is wrong with the lower.
    complained: AtomicBool,
}

impl fmt::Debug for PartialFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartialFile")
            .field("map", &self.map)
            .finish_non_exhaustive()
    }
}

impl PartialFile {
    /// Takes `file`, open for reading and writing.
    ///
    /// # Errors
    /// `Damaged`, and a line in the log, if its map cannot be trusted; else those of the store.
    pub(super) fn open(
        store: &UpperStore,
        lower: &Arc<dyn LowerLayer>,
        file: Arc<std::os::fd::OwnedFd>,
        ino: Ino,
    ) -> FsResult<Self> {
        let origin = read_xattr(file.as_fd(), REDIRECT_XATTR)?;
        let charge = match store.quota() {
            Some(quota) => Some(quota.charge(ino, file.as_fd())?),
            None => None,
        };
        let map = BlockMap::load(store, file, ino).inspect_err(|&error| {
            if error == FsError::Damaged {
                log::error!(
                    "the block map of inode {ino} in {} is damaged: which of its blocks were \
                     written cannot be told, so it cannot be read or written; restore the file \
                     from a backup, or remove it",
                    store.path().display()
                );
            }
        })?;
        Ok(Self {
            ino,
            map,
            charge,
            lower: Arc::clone(lower),
            origin: origin.ok_or(FsError::Damaged)?,
            opened: OnceLock::new(),
            changes: RwLock::new(()),
            complained: AtomicBool::new(false),
        })
    }

    pub(super) fn ino(&self) -> Ino {
        self.ino
    }

    pub(super) fn map(&self) -> &BlockMap {
        &self.map
    }

    pub(super) fn charge(&self) -> Option<&Arc<Charge>> {
        self.charge.as_ref()
    }

    /// Counts what the file takes now.
    pub(super) fn observe(&self) {
        if let Some(charge) = &self.charge {
            charge.observe(self.file());
        }
    }

    /// Whether the store has room for all that is missing, and for much else.
    pub(super) fn is_better_complete(&self) -> bool {
        let (missing, _) = self.map.missing();
        self.charge.as_ref().is_none_or(|charge| {
            let needed = missing.saturating_mul(self.map.block_size());
            charge.quota().free_bytes() / 2 > needed
        })
    }

    /// Reserves space for `bytes` of the lower.
    fn reserve(&self, bytes: u64) -> FsResult<Option<Reservation>> {
        let quota = self.charge.as_ref().map(|charge| charge.quota());
        quota.map(|quota| quota.reserve(bytes)).transpose()
    }

    fn file(&self) -> BorrowedFd<'_> {
        self.map.data()
    }

    /// Reads into `buffer` from `offset`; returns how many bytes, fewer only at the end.
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> FsResult<usize> {
        let end = offset.saturating_add(buffer.len() as u64);
        let mut done = 0;
        while done < buffer.len() {
            let at = offset + done as u64;
            let (ours, stop) = self.map.run(at, end);
            let rest = buffer.get_mut(done..).unwrap_or(&mut []);
            let length = rest
                .len()
                .min(usize::try_from(stop - at).unwrap_or(usize::MAX));
            let part = rest.get_mut(..length).unwrap_or(&mut []);
            if ours {
                let read = read_full(self.file(), part, at)?;
                done += read;
                if read < length {
                    break;
                }
            } else {
                self.read_lower(part, at)?;
                done += length;
            }
        }
        Ok(done)
    }

    /// Writes all of `data` at `offset`.
    pub(super) fn write(&self, data: &[u8], offset: u64) -> FsResult<()> {
        let range = offset..offset.saturating_add(data.len() as u64);
        self.map.check()?;
        {
            let _shared = self.changes.read();
            if self.map.has(range.clone()) {
                return write_all(self.file(), data, offset);
            }
        }
        let _alone = self.changes.write();
        self.bring_in_edges(&range)?;
        write_all(self.file(), data, offset)?;
        self.map.mark(range)
    }

    /// Gives, or takes away, the space of a range.
    pub(super) fn allocate(&self, offset: u64, length: u64, mode: AllocateMode) -> FsResult<()> {
        let range = offset..offset.saturating_add(length);
        self.map.check()?;
        let flags = host_flags(mode);
        if matches!(mode, AllocateMode::Grow | AllocateMode::KeepSize) {
            // Space alone changes no byte.
            let _shared = self.changes.read();
            return Ok(fs::fallocate(self.file(), flags, offset, length)?);
        }
        let _alone = self.changes.write();
        let (_, modified) = times_of(&fs::fstat(self.file())?);
        self.bring_in_edges(&range)?;
        if let Err(errno) = fs::fallocate(self.file(), flags, offset, length) {
            // What was brought in has not changed the file.
            names::set_times(self.file(), None, Some(modified))?;
            return Err(errno.into());
        }
        self.map.mark(range)
    }

    /// Cuts the file, or lets it grow.
    pub(super) fn resize(&self, size: u64) -> FsResult<()> {
        self.map.check()?;
        let _alone = self.changes.write();
        // The size first: if a crash comes in between, the limit is cut when the map is read.
        fs::ftruncate(self.file(), size)?;
        self.map.cut(size)
    }

    /// Copies up to `length` bytes from `source`; returns how many.
    pub(super) fn copy_from(
        &self,
        source: BorrowedFd<'_>,
        mut from: u64,
        to: u64,
        length: usize,
    ) -> FsResult<usize> {
        let range = to..to.saturating_add(length as u64);
        self.map.check()?;
        let _alone = self.changes.write();
        let needed = !self.map.has(range.clone());
        if needed {
            self.bring_in_edges(&range)?;
        }
        let mut at = to;
        let copied =
            fs::copy_file_range(source, Some(&mut from), self.file(), Some(&mut at), length)?;
        if needed && copied > 0 {
            let range = to..to + copied as u64;
            if copied < length {
                // It ended in the middle of what was to be replaced.
                let [_, tail] = self.map.edges(&range);
                self.bring_in(tail)?;
            }
            self.map.mark(range)?;
        }
        Ok(copied)
    }

    /// Where, from `offset` on, the next data or hole is.
    pub(super) fn seek(&self, offset: u64, extent: Extent) -> FsResult<u64> {
        let size = fs::fstat(self.file())?.st_size.cast_unsigned();
        if offset >= size {
            return Err(FsError::Layer(Errno::NXIO));
        }
        let mut at = offset;
        while at < size {
            let (ours, stop) = self.map.run(at, size);
            let data = if ours {
                self.next_data_here(at)?
            } else {
                self.lower_file()?.next_data(at)?
            };
            let (start, end) = match data {
                Some((start, end)) if start < stop => (start.max(at), end.min(stop)),
                _ => (stop, stop),
            };
            match extent {
                Extent::Data if start < stop => return Ok(start),
                Extent::Data => at = stop,
                Extent::Hole if start > at => return Ok(at),
                // No progress: a source that changes. What is left may be taken for data.
                Extent::Hole if end <= at => at = stop,
                Extent::Hole => at = end,
            }
        }
        match extent {
            Extent::Data => Err(FsError::Layer(Errno::NXIO)),
            Extent::Hole => Ok(size),
        }
    }

    /// The next range of data in the store's file.
    fn next_data_here(&self, at: u64) -> FsResult<Option<(u64, u64)>> {
        match fs::seek(self.file(), SeekFrom::Data(at)) {
            Ok(start) => match fs::seek(self.file(), SeekFrom::Hole(start)) {
                Ok(end) => Ok(Some((start, end))),
                Err(Errno::NXIO) => Ok(None),
                Err(errno) => Err(errno.into()),
            },
            Err(Errno::NXIO) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Copies what is the lower's still, without a trace in the times of the file, and makes it
    /// durable. Stops early, without an error, when `go_on` says no.
    pub(super) fn complete(&self, go_on: impl Fn() -> bool) -> FsResult<()> {
        let mut at = 0;
        while at < self.map.limit() {
            if !go_on() {
                return Ok(());
            }
            let (ours, stop) = self.map.run(at, self.map.limit());
            if ours {
                at = stop.max(at + 1);
                continue;
            }
            let _alone = self.changes.write();
            // Whole blocks only, and what is true now.
            let step = CHUNK.max(self.map.block_size());
            let (ours, stop) = self.map.run(at, at.saturating_add(step));
            if !ours && at < stop {
                let stat = fs::fstat(self.file())?;
                let reservation = self.reserve(stop - at)?;
                let brought = self.bring_in(at..stop);
                self.observe();
                drop(reservation);
                brought?;
                let before = times_of(&stat);
                names::set_times(self.file(), Some(before.0), Some(before.1))?;
                self.map.mark(at..stop)?;
                at = stop;
            }
        }
        let settled = self.map.settle(true);
        self.observe();
        settled
    }

    fn bring_in_edges(&self, range: &Range<u64>) -> FsResult<()> {
        for edge in self.map.edges(range) {
            self.bring_in(edge)?;
        }
        Ok(())
    }

    /// Copies bytes of the lower into the store's file, whatever was there; holes stay holes.
    fn bring_in(&self, range: Range<u64>) -> FsResult<()> {
        let mut buffer = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let data = self.lower_file()?.next_data(at)?;
            let start = data.map_or(range.end, |(start, _)| start.clamp(at, range.end));
            if at < start {
                self.empty(at..start)?;
                at = start;
                continue;
            }
            let end = data
                .map_or(range.end, |(_, end)| end.min(range.end))
                .max(at + 1);
            let length = (end - at).min(CHUNK);
            buffer.resize(usize::try_from(length).map_err(|_| FsError::FileTooBig)?, 0);
            self.read_lower(&mut buffer, at)?;
            write_all(self.file(), &buffer, at)?;
            at += length;
        }
        Ok(())
    }

    /// Makes a range zeros, without space if the host can.
    fn empty(&self, range: Range<u64>) -> FsResult<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fs::fallocate(self.file(), flags, range.start, range.end - range.start) {
            Ok(()) => return Ok(()),
            Err(Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno.into()),
        }
        let zeros = vec![0; usize::try_from(CHUNK).unwrap_or(1 << 16)];
        let mut at = range.start;
        while at < range.end {
            let length = usize::try_from(range.end - at).unwrap_or(usize::MAX);
            let part = zeros.get(..length.min(zeros.len())).unwrap_or(&zeros);
            write_all(self.file(), part, at)?;
            at += part.len() as u64;
        }
        Ok(())
    }

    /// Fills `buffer` from the lower, all of it.
    fn read_lower(&self, buffer: &mut [u8], offset: u64) -> FsResult<()> {
        let read = self.lower_file()?.read_at(buffer, offset)?;
        if !self.lower.is_immutable() {
            // After the read: what was read is of before any change that is not seen here.
            self.expect_unchanged()?;
        }
        if read < buffer.len() {
            return Err(self.complain("is shorter than it was"));
        }
        Ok(())
    }

    fn lower_file(&self) -> FsResult<&Arc<dyn LowerFile>> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        self.expect_unchanged()?;
        let opened = self.lower.open(LowerNode(self.ino.0))?;
        Ok(self.opened.get_or_init(|| opened))
    }

    /// Checks that the lower file is the one that was copied up.
    fn expect_unchanged(&self) -> FsResult<()> {
        let begun = self.map.begun();
        match self.lower_attr()? {
            None => Err(self.complain("is not there any more")),
            Some(attr)
                if (attr.kind, attr.size, attr.mtime)
                    != (FileKind::Regular, begun.lower_size, begun.lower_mtime) =>
            {
                Err(self.complain("was changed"))
            }
            Some(_) => Ok(()),
        }
    }

    /// Attributes of the lower file, found by its path if the layer does not know its number now.
    fn lower_attr(&self) -> FsResult<Option<Attr>> {
        let node = LowerNode(self.ino.0);
        match self.lower.attr(node) {
            Err(FsError::Stale) => {}
            other => return other.map(Some),
        }
        let found = lower_at(&*self.lower, &self.origin)?;
        Ok(found.filter(|found| found.0 == node).map(|found| found.1))
    }

    fn complain(&self, what: &str) -> FsError {
        if !self.complained.swap(true, Ordering::Relaxed) {
            log::error!(
                "/{} of the lower {what} after a part of it was copied up as inode {}: the rest of \
                 it cannot be read; restore the file from a backup, or remove it",
                self.origin.escape_ascii(),
                self.ino
            );
        }
        FsError::Damaged
    }
}
