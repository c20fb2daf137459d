//! What was counted of one inode.
//!
//! Everybody who uses an inode shares one [`Charge`], so that two who look at the same growth count
//! it once. While nobody uses it there is none: the host's own number is then what was counted.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use crate::upper::calls as fs;
use parking_lot::Mutex;

use super::{Quota, signed, space_of};
use crate::error::FsResult;
use crate::types::Ino;

const SHARDS: usize = 16;

/// In place of a number: the inode is not counted any more.
const RELEASED: u64 = u64::MAX;

/// See the module.
#[derive(Debug)]
pub struct Charge {
    ino: Ino,
    quota: Arc<Quota>,
    /// Bytes that were counted.
    seen: AtomicU64,
}

impl Charge {
    /// The quota that the inode is counted in.
    pub fn quota(&self) -> &Arc<Quota> {
        &self.quota
    }

    /// Counts what the inode, open as `file`, takes now.
    pub fn observe(&self, file: BorrowedFd<'_>) {
        loop {
            let seen = self.seen.load(Ordering::Acquire);
            if seen == RELEASED {
                return;
            }
            // That fails for no file that was ever open.
            let Ok(stat) = fs::fstat(file) else { return };
            let now = space_of(&stat);
            // Somebody else may have looked meanwhile, and earlier or later than this.
            if self
                .seen
                .compare_exchange(seen, now, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
            {
                self.quota.change(signed(now) - signed(seen), 0);
                return;
            }
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.quota.charges.forget(self.ino);
    }
}

/// All charges, by inode.
#[derive(Debug, Default)]
pub(super) struct Charges {
    shards: [Mutex<HashMap<Ino, Weak<Charge>>>; SHARDS],
}

impl Charges {
    fn shard(&self, ino: Ino) -> Option<&Mutex<HashMap<Ino, Weak<Charge>>>> {
        let number = usize::try_from(ino.0 % SHARDS as u64).ok()?;
        self.shards.get(number)
    }

    pub(super) fn get_or_make(
        &self,
        quota: &Arc<Quota>,
        ino: Ino,
        file: BorrowedFd<'_>,
    ) -> FsResult<Arc<Charge>> {
        let mut shard = self.shard(ino).map(Mutex::lock);
        let found = shard.as_ref().and_then(|shard| shard.get(&ino));
        if let Some(charge) = found.and_then(Weak::upgrade) {
            return Ok(charge);
        }
        let seen = space_of(&fs::fstat(file)?);
        let charge = Arc::new(Charge {
            ino,
            quota: Arc::clone(quota),
            seen: AtomicU64::new(seen),
        });
        if let Some(shard) = &mut shard {
            shard.insert(ino, Arc::downgrade(&charge));
        }
        Ok(charge)
    }

    /// What was counted of an inode that is not counted from now on; `None` if nobody uses it.
    pub(super) fn take(&self, ino: Ino) -> Option<u64> {
        let removed = self.shard(ino)?.lock().remove(&ino);
        let charge = removed?.upgrade()?;
        let seen = charge.seen.swap(RELEASED, Ordering::AcqRel);
        (seen != RELEASED).then_some(seen)
    }

    fn forget(&self, ino: Ino) {
        let Some(shard) = self.shard(ino) else { return };
        let mut shard = shard.lock();
        // There may be a new one already.
        if shard
            .get(&ino)
            .is_some_and(|charge| charge.strong_count() == 0)
        {
            shard.remove(&ino);
        }
    }
}
