//! What a store may take of its host, and what it takes: space and inodes, as a disk quota.
//!
//! Counted is what the WPAR made: the space (`st_blocks`) of its files and directories, and their
//! number. What the store needs for itself (whiteouts, block maps, counts of names) is not; there
//! can be no more of it than names and blocks in the lower.
//!
//! Invariants:
//! * Space for data is reserved before it is written, and what it really took is counted before the
//!   reservation is given back: writers at the same time together stay within the limit. What a
//!   change of a name or an attribute takes is counted afterwards, and the next one refused; these
//!   come one at a time. So the limit is passed by the few blocks of one such change at the most,
//!   and by directories that have to be copied up to take a name away, which is never refused.
//! * Nothing is counted twice: of an inode that anybody uses there is one [`Charge`], which knows
//!   what was counted of it.
//! * The numbers are atomics. What is locked (the table of charges, the note on the disk) is locked
//!   when a file is opened or a 64th of the limit was used up, not when one is written to.
//! * After a crash the numbers are too high, never too low, until they were counted anew in the
//!   background: see [`saved`] and [`recount`].
//!
//! A host's file system also changes the space of a file later, by itself (blocks for a long list
//! of extents, blocks allocated ahead and given back). So the store is counted anew, too, when much
//! was removed since the last time, and when the limit is reached.

mod charge;
mod count;
mod recount;
mod saved;

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use crate::upper::calls::{self as fs, Stat};
use rustix::io::Errno;

pub use charge::Charge;
use charge::Charges;
use recount::Recount;
pub(super) use saved::Mark;
use saved::Saved;

use super::UpperStore;
use crate::error::{FsError, FsResult};
use crate::spec::SpaceLimits;
use crate::types::Ino;

/// As long as so much is free, a write reserves the most that it can take, without a look at what
/// the file has already. More than what all threads can write at the same time.
const PLENTY: u64 = 64 << 20;

/// Counted anew when one part in this many of the limit was removed since the last time.
const REMOVED_PART: u64 = 4;

/// Space and inodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Space in bytes: 512 times `st_blocks`.
    pub bytes: u64,
    /// Number of inodes.
    pub inodes: u64,
}

/// The parts of a store that are counted.
#[derive(Debug)]
struct Parts {
    tree: OwnedFd,
    links: OwnedFd,
    orphans: OwnedFd,
}

/// The quota of an open store.
pub struct Quota {
    limits: SpaceLimits,
    /// Size of the host's blocks in bytes.
    block: u64,
    /// Signed, for the host may give back more than it was seen to take.
    bytes: AtomicI64,
    inodes: AtomicI64,
    /// Space of writes that are being made.
    reserved: AtomicU64,
    /// Changes that are being made.
    active: AtomicU64,
    /// What [`recount`] has to know of what happened meanwhile.
    changes: AtomicU64,
    /// All that was ever added and taken away: bytes and inodes.
    grown: [AtomicU64; 2],
    shrunk: [AtomicU64; 2],
    moved_directories: AtomicU64,
    /// Bytes removed since the store was last counted.
    removed: AtomicU64,
    /// Whether the numbers are those of the store, not only as high at least.
    exact: AtomicBool,
    charges: Charges,
    saved: Saved,
    recount: Recount,
    parts: Parts,
}

impl fmt::Debug for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quota")
            .field("limits", &self.limits)
            .field("usage", &self.usage())
            .finish_non_exhaustive()
    }
}

impl Quota {
    /// Begins to keep `store` within `limits`. `mark` is what the last end left; without one the
    /// store is counted here and now.
    ///
    /// # Errors
    /// Those of the host's file system.
    pub(super) fn open(
        store: &UpperStore,
        limits: SpaceLimits,
        mark: Option<Mark>,
    ) -> FsResult<Arc<Self>> {
        let parts = Parts {
            tree: store.tree().try_clone_to_owned()?,
            links: store.links().try_clone_to_owned()?,
            orphans: store.orphans().try_clone_to_owned()?,
        };
        let (usage, exact) = match mark {
            Some(Mark::Exact(usage)) => (usage, true),
            Some(Mark::AtMost(usage)) => (usage, false),
            None => (count::store(&parts, &|| true)?.unwrap_or_default(), true),
        };
        let block = store.space()?.f_frsize.max(512);
        let quota = Arc::new(Self {
            limits,
            block,
            bytes: AtomicI64::new(signed(usage.bytes)),
            inodes: AtomicI64::new(signed(usage.inodes)),
            reserved: AtomicU64::new(0),
            active: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            grown: Default::default(),
            shrunk: Default::default(),
            moved_directories: AtomicU64::new(0),
            removed: AtomicU64::new(0),
            exact: AtomicBool::new(exact),
            charges: Charges::default(),
            saved: Saved::new(store, limits)?,
            recount: Recount::default(),
            parts,
        });
        quota.saved.cover(usage);
        if !exact {
            quota.recount_soon();
        }
        Ok(quota)
    }

    /// The limits.
    pub fn limits(&self) -> SpaceLimits {
        self.limits
    }

    /// What the store takes. Higher for a while after a crash: see [`Self::is_exact`].
    pub fn usage(&self) -> Usage {
        Usage {
            bytes: unsigned(self.bytes.load(Ordering::Relaxed)),
            inodes: unsigned(self.inodes.load(Ordering::Relaxed)),
        }
    }

    /// Whether [`Self::usage`] is what the store takes, not what it takes at the most.
    pub fn is_exact(&self) -> bool {
        self.exact.load(Ordering::Acquire)
    }

    /// Counts the store now, which changes nothing; it is right if nothing changes meanwhile.
    ///
    /// # Errors
    /// Those of the host's file system.
    pub fn count(&self) -> FsResult<Usage> {
        Ok(count::store(&self.parts, &|| true)?.unwrap_or_default())
    }

    /// Size of the host's blocks in bytes.
    pub fn block_size(&self) -> u64 {
        self.block
    }

    /// Bytes that may still be written.
    pub fn free_bytes(&self) -> u64 {
        let Some(limit) = self.limits.bytes else {
            return u64::MAX;
        };
        let used = unsigned(self.bytes.load(Ordering::Acquire));
        let reserved = self.reserved.load(Ordering::Acquire);
        limit.saturating_sub(used.saturating_add(reserved))
    }

    /// Inodes that may still be made.
    pub fn free_inodes(&self) -> u64 {
        let limit = self.limits.inodes.unwrap_or(u64::MAX);
        limit.saturating_sub(self.usage().inodes)
    }

    /// Whether there is room for so much more; of nothing more there is as long as the limit is
    /// not passed.
    ///
    /// # Errors
    /// `NOSPC`.
    pub fn admit(self: &Arc<Self>, more: Usage) -> FsResult<()> {
        let used = self.usage();
        let within = |used: u64, more: u64, limit: Option<u64>| {
            limit.is_none_or(|limit| used.saturating_add(more) <= limit)
        };
        if within(used.bytes, more.bytes, self.limits.bytes)
            && within(used.inodes, more.inodes, self.limits.inodes)
        {
            return Ok(());
        }
        Err(self.full())
    }

    /// Reserves space if `bytes` and `spare` more are free.
    fn try_reserve(self: &Arc<Self>, bytes: u64, spare: u64) -> Option<Reservation> {
        if let Some(limit) = self.limits.bytes {
            let before = self.reserved.fetch_add(bytes, Ordering::AcqRel);
            let used = unsigned(self.bytes.load(Ordering::Acquire));
            let after = used.saturating_add(before).saturating_add(bytes);
            if bytes > 0 && after.saturating_add(spare) > limit {
                self.reserved.fetch_sub(bytes, Ordering::AcqRel);
                return None;
            }
            self.saved.cover(Usage {
                bytes: after,
                inodes: self.usage().inodes,
            });
        } else {
            self.reserved.fetch_add(bytes, Ordering::AcqRel);
        }
        self.active.fetch_add(1, Ordering::AcqRel);
        Some(Reservation {
            quota: Arc::clone(self),
            bytes,
        })
    }

    /// Reserves space for what may take so much, if there is plenty.
    pub fn reserve_of_plenty(self: &Arc<Self>, bytes: u64) -> Option<Reservation> {
        self.try_reserve(bytes, PLENTY)
    }

    /// Reserves space. Nothing is always to be had.
    ///
    /// # Errors
    /// `NOSPC`.
    pub fn reserve(self: &Arc<Self>, bytes: u64) -> FsResult<Reservation> {
        // For a moment what was written is both counted and reserved: look twice.
        let reservation = self.try_reserve(bytes, 0).or_else(|| {
            std::thread::yield_now();
            self.try_reserve(bytes, 0)
        });
        reservation.ok_or_else(|| self.full())
    }

    /// The answer that the limit is reached; before it is given again, that is looked into.
    pub fn full(self: &Arc<Self>) -> FsError {
        if self.changes.load(Ordering::Relaxed) > 0 {
            self.recount_soon();
        }
        FsError::Layer(Errno::NOSPC)
    }

    /// What is counted of an inode, open as `file`. Ask before it is changed.
    ///
    /// # Errors
    /// Those of the host's file system.
    pub fn charge(self: &Arc<Self>, ino: Ino, file: BorrowedFd<'_>) -> FsResult<Arc<Charge>> {
        self.charges.get_or_make(self, ino, file)
    }

    /// Watches an inode that is about to change, open as `file`, until what is returned is dropped.
    ///
    /// # Errors
    /// Those of the host's file system.
    pub fn watch<F: AsFd>(self: &Arc<Self>, ino: Ino, file: F) -> FsResult<Watch<F>> {
        let charge = self.charge(ino, file.as_fd())?;
        let reservation = self.reserve(0)?;
        Ok(Watch {
            charge,
            file,
            _active: reservation,
        })
    }

    /// Counts a new inode.
    ///
    /// # Errors
    /// Those of the host's file system.
    pub fn add(&self, file: BorrowedFd<'_>) -> FsResult<()> {
        let bytes = space_of(&fs::fstat(file)?);
        self.change(signed(bytes), 1);
        Ok(())
    }

    /// An inode is about to be removed for good; `stat` is of its file.
    pub fn release(self: &Arc<Self>, ino: Ino, stat: &Stat) {
        let bytes = self.charges.take(ino).unwrap_or_else(|| space_of(stat));
        self.change(-signed(bytes), -1);
        let removed = self.removed.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if self
            .limits
            .bytes
            .is_some_and(|limit| removed > limit / REMOVED_PART)
        {
            self.removed.store(0, Ordering::Relaxed);
            self.recount_soon();
        }
    }

    /// An inode is being moved: whoever counts may miss it, or meet it twice.
    pub fn moved(&self, stat: &Stat) {
        if fs::FileType::from_raw_mode(stat.st_mode) == fs::FileType::Directory {
            self.moved_directories.fetch_add(1, Ordering::AcqRel);
        } else {
            for changed in [&self.grown, &self.shrunk] {
                changed[0].fetch_add(space_of(stat), Ordering::AcqRel);
                changed[1].fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    fn change(&self, bytes: i64, inodes: i64) {
        if bytes == 0 && inodes == 0 {
            return;
        }
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.grown[0].fetch_add(unsigned(bytes), Ordering::AcqRel);
        self.grown[1].fetch_add(unsigned(inodes), Ordering::AcqRel);
        self.shrunk[0].fetch_add(unsigned(-bytes), Ordering::AcqRel);
        self.shrunk[1].fetch_add(unsigned(-inodes), Ordering::AcqRel);
        let bytes = self.bytes.fetch_add(bytes, Ordering::AcqRel) + bytes;
        let inodes = self.inodes.fetch_add(inodes, Ordering::AcqRel) + inodes;
        self.saved.cover(Usage {
            bytes: unsigned(bytes),
            inodes: unsigned(inodes),
        });
    }

    /// Nothing is changed any more: notes what is used, for the next opening.
    pub(super) fn end(&self) {
        if !self.recount.end() {
            return;
        }
        let used = self.usage();
        // What has no name goes when the store is opened.
        let orphans = count::orphans(&self.parts);
        let mark = match orphans {
            Ok(orphans) if self.is_exact() => Mark::Exact(Usage {
                bytes: used.bytes.saturating_sub(orphans.bytes),
                inodes: used.inodes.saturating_sub(orphans.inodes),
            }),
            _ => Mark::AtMost(used),
        };
        self.saved.finish(mark);
    }

    /// As if the daemon died now.
    #[cfg(test)]
    pub(crate) fn abandon(&self) {
        self.recount.end();
    }
}

/// Space that is reserved, and a change that is being made, until this is dropped.
#[derive(Debug)]
pub struct Reservation {
    quota: Arc<Quota>,
    bytes: u64,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.quota.reserved.fetch_sub(self.bytes, Ordering::AcqRel);
        self.quota.changes.fetch_add(1, Ordering::AcqRel);
        self.quota.active.fetch_sub(1, Ordering::AcqRel);
    }
}

/// An inode that is being changed: what that took is counted when this is dropped.
#[derive(Debug)]
pub struct Watch<F: AsFd> {
    charge: Arc<Charge>,
    file: F,
    /// Dropped last.
    _active: Reservation,
}

impl<F: AsFd> Drop for Watch<F> {
    fn drop(&mut self) {
        self.charge.observe(self.file.as_fd());
    }
}

/// Space of a file in bytes.
fn space_of(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks)
        .unwrap_or(0)
        .saturating_mul(512)
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
