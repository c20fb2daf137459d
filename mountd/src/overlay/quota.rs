//! The store's quota in the merged tree: room for data before it is written, what names and
//! attributes took after they were changed, and what `df` shows.
//!
//! What is counted, and why nothing passes the limit: [`crate::upper::quota`]. Without a limit all of
//! this is one look at an `Option`.

use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::upper::calls::{self as fs, AtFlags, SeekFrom, StatVfs};
use rustix::io::Errno;

use super::Overlay;
use super::caches::OpenFile;
use crate::error::FsResult;
use crate::lower::LowerFile;
use crate::sys::extents;
use crate::types::{FileKind, Ino};
use crate::upper::names;
use crate::upper::object::UpperObject;
use crate::upper::quota::{Charge, Quota, Reservation, Usage, Watch};

/// How long, and how often, to wait for the kernel to forget what was removed.
const MOMENT: Duration = Duration::from_millis(2);
const MOMENTS: u32 = 20;

/// How much room a change needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// For all of the range, or it fails.
    All,
    /// For as much as there is room for, at least one byte.
    Some,
    /// For none: nothing will grow.
    Nothing,
}

/// Room for data, until this is dropped. What they took is counted then.
#[derive(Debug)]
pub(super) struct Room<'a> {
    /// Of so many bytes from the beginning of the range.
    pub(super) length: u64,
    _growing: Option<Growing<'a>>,
}

#[derive(Debug)]
struct Growing<'a> {
    charge: &'a Charge,
    file: BorrowedFd<'a>,
    /// Dropped last.
    _reservation: Reservation,
}

impl Drop for Growing<'_> {
    fn drop(&mut self) {
        self.charge.observe(self.file);
    }
}

impl OpenFile {
    /// Makes room for a change of the bytes in `range`.
    ///
    /// # Errors
    /// `NOSPC`.
    pub(super) fn room(&self, range: Range<u64>, need: Need) -> FsResult<Room<'_>> {
        let (charge, file, unit) = match self {
            Self::Upper { charge, file, .. } => (charge.as_ref(), file.as_fd(), 1),
            Self::Partial { file, .. } => {
                (file.charge(), file.map().data(), file.map().block_size())
            }
            Self::Lower(_) => (None, fs::CWD, 1),
        };
        let length = range.end.saturating_sub(range.start);
        let Some(charge) = charge else {
            return Ok(Room {
                length,
                _growing: None,
            });
        };
        let (length, reservation) = if need == Need::Nothing || length == 0 {
            (length, charge.quota().reserve(0)?)
        } else {
            reserve(charge.quota(), file, &range, unit, need)?
        };
        Ok(Room {
            length,
            _growing: Some(Growing {
                charge,
                file,
                _reservation: reservation,
            }),
        })
    }
}

/// Reserves what a change of the bytes in `range` of `file` can take at the most, and says of how
/// many of them. The file grows by whole units.
fn reserve(
    quota: &Arc<Quota>,
    file: BorrowedFd<'_>,
    range: &Range<u64>,
    unit: u64,
    need: Need,
) -> FsResult<(u64, Reservation)> {
    let unit = unit.max(quota.block_size());
    let start = range.start - range.start % unit;
    let aligned = |end: u64| end.checked_next_multiple_of(unit).unwrap_or(u64::MAX);
    let length = range.end - range.start;
    if let Some(reservation) = quota.reserve_of_plenty(aligned(range.end) - start) {
        return Ok((length, reservation));
    }
    let holes = |end: u64| holes_in(file, start..aligned(end), quota.block_size());
    let whole = quota.reserve(holes(range.end)?);
    if whole.is_ok() || need == Need::All {
        return Ok((length, whole?));
    }
    // The longest beginning that there is room for: the holes in it grow with it.
    let free = quota.free_bytes();
    let (mut fits, mut fits_not) = (0, (aligned(range.end) - start) / unit);
    while fits + 1 < fits_not {
        let middle = fits + (fits_not - fits) / 2;
        if holes(start + middle * unit)? <= free {
            fits = middle;
        } else {
            fits_not = middle;
        }
    }
    let end = start + fits * unit;
    if end <= range.start {
        return Err(quota.full());
    }
    Ok((end - range.start, quota.reserve(holes(end)?)?))
}

/// Bytes in `range` that have no space yet, in whole blocks.
fn holes_in(file: BorrowedFd<'_>, range: Range<u64>, block: u64) -> FsResult<u64> {
    let (mut holes, mut at) = (0, range.start);
    let told = extents::each(file, range.clone(), &mut |part| {
        holes += part.start.clamp(at, range.end) - at;
        at = part.end.clamp(at, range.end);
    });
    match told {
        Ok(()) => Ok(holes + (range.end - at)),
        Err(_) => holes_in_data(file, range, block),
    }
}

/// The same where the host's file system tells only of data: what was allocated ahead is a hole.
fn holes_in_data(file: BorrowedFd<'_>, range: Range<u64>, block: u64) -> FsResult<u64> {
    let (mut holes, mut at) = (0, range.start);
    while at < range.end {
        let data = match fs::seek(file, SeekFrom::Data(at)) {
            Ok(data) => data - data % block,
            Err(Errno::NXIO) => range.end,
            Err(errno) => return Err(errno.into()),
        };
        holes += data.clamp(at, range.end) - at;
        if data >= range.end {
            break;
        }
        at = match fs::seek(file, SeekFrom::Hole(data.max(at))) {
            Ok(hole) => hole.next_multiple_of(block),
            Err(Errno::NXIO) => break,
            Err(errno) => return Err(errno.into()),
        };
    }
    Ok(holes)
}

/// What the first `length` bytes of a lower file take when they are copied.
pub(super) fn space_of_copy(source: &dyn LowerFile, length: u64, block: u64) -> FsResult<u64> {
    let (mut space, mut at) = (0, 0);
    while at < length {
        let Some((start, end)) = source.next_data(at)? else {
            break;
        };
        let (start, end) = (start.max(at), end.min(length));
        if start >= end {
            break;
        }
        let first = start - start % block;
        space += end.checked_next_multiple_of(block).unwrap_or(u64::MAX) - first;
        at = end;
    }
    Ok(space)
}

impl Overlay {
    /// The quota that the store is kept within, if any.
    pub(super) fn quota(&self) -> Option<&Arc<Quota>> {
        self.upper.as_ref()?.quota()
    }

    /// What the store takes; `None` without a limit, for nobody counts then.
    pub fn usage(&self) -> Option<Usage> {
        Some(self.quota()?.usage())
    }

    /// Space and inodes as the WPAR sees them: those of the host's file system, or the limits.
    ///
    /// # Errors
    /// `ReadOnly` without a store, else those of the host's file system.
    pub fn space(&self) -> FsResult<StatVfs> {
        let mut space = self.store()?.space()?;
        let Some(quota) = self.quota() else {
            return Ok(space);
        };
        let limits = quota.limits();
        let used = quota.usage();
        let block = space.f_frsize.max(1);
        if let Some(limit) = limits.bytes {
            // What is used is all of it that is not free, and what can be had is what the host has.
            space.f_blocks = limit / block;
            space.f_bfree = limit.saturating_sub(used.bytes) / block;
            space.f_bavail = space.f_bavail.min(space.f_bfree);
        }
        if let Some(limit) = limits.inodes {
            let free = limit.saturating_sub(used.inodes);
            // Some file systems have no limit of their own, and say 0 of 0.
            let host = if space.f_files == 0 {
                free
            } else {
                space.f_favail
            };
            space.f_files = limit;
            space.f_ffree = free.min(host);
            space.f_favail = space.f_ffree;
        }
        Ok(space)
    }

    /// Whether there is room for so many more bytes and inodes.
    ///
    /// # Errors
    /// `NOSPC`.
    pub(super) fn admit(&self, bytes: u64, inodes: u64) -> FsResult<()> {
        match self.quota() {
            Some(quota) => quota.admit(Usage { bytes, inodes }),
            None => Ok(()),
        }
    }

    /// The same for a new inode of `kind` without data. Directories and symbolic links take a block.
    ///
    /// # Errors
    /// `NOSPC`.
    pub(super) fn admit_new(&self, kind: FileKind) -> FsResult<()> {
        let Some(quota) = self.quota() else {
            return Ok(());
        };
        let bytes = match kind {
            FileKind::Directory | FileKind::Symlink => quota.block_size(),
            _ => 0,
        };
        quota.admit(Usage { bytes, inodes: 1 })
    }

    /// Waits a moment if there is no room for `bytes` more, or for an inode.
    ///
    /// What lost its name counts until the kernel forgets it, and it says so only after the program
    /// was answered: who removes a file to make room would find none. Not under the `names` lock,
    /// which forgetting takes.
    pub(super) fn await_forgotten(&self, bytes: u64) {
        let Some(quota) = self.quota() else { return };
        for _ in 0..MOMENTS {
            let is_room = quota.free_bytes() >= bytes && quota.free_inodes() > 0;
            if is_room || !self.has_orphans() {
                return;
            }
            thread::sleep(MOMENT);
        }
    }

    fn has_orphans(&self) -> bool {
        let mut found = false;
        let listed = self
            .store()
            .and_then(|store| names::list(store.orphans(), &mut |_, _| found = true));
        listed.is_ok() && found
    }

    /// What is counted of an inode of the store, open as `file`.
    pub(super) fn charge(&self, ino: Ino, file: BorrowedFd<'_>) -> FsResult<Option<Arc<Charge>>> {
        self.quota()
            .map(|quota| quota.charge(ino, file))
            .transpose()
    }

    /// Watches an inode of the store whose names or attributes are about to change.
    pub(super) fn watch<F: AsFd>(&self, ino: Ino, file: F) -> FsResult<Option<Watch<F>>> {
        self.quota().map(|quota| quota.watch(ino, file)).transpose()
    }

    /// The same of an object that is needed meanwhile.
    pub(super) fn watch_owned(
        &self,
        ino: Ino,
        file: BorrowedFd<'_>,
    ) -> FsResult<Option<Watch<OwnedFd>>> {
        if self.quota().is_none() {
            return Ok(None);
        }
        self.watch(ino, file.try_clone_to_owned()?)
    }

    /// The same of an object that gets another place in the store.
    pub(super) fn watch_moved(
        &self,
        ino: Ino,
        object: &UpperObject,
    ) -> FsResult<Option<Watch<OwnedFd>>> {
        let watched = self.watch_owned(ino, object.as_fd())?;
        if let Some(quota) = self.quota() {
            quota.moved(&object.stat()?);
        }
        Ok(watched)
    }

    /// Counts an inode that was made in the store.
    pub(super) fn count_new(&self, file: BorrowedFd<'_>) -> FsResult<()> {
        self.quota().map_or(Ok(()), |quota| quota.add(file))
    }

    /// Uncounts an inode that is about to be removed from the store, where it is `name` in `dir`.
    pub(super) fn release(&self, ino: Ino, dir: BorrowedFd<'_>, name: &str) {
        if let Some(quota) = self.quota()
            && let Ok(stat) = fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
        {
            quota.release(ino, &stat);
        }
    }
}
