//! What `statx(2)` is asked of an object of the host, and what makes two names one object.

use std::os::fd::BorrowedFd;

use rustix::fs::{self, AtFlags, Statx, StatxFlags};
use rustix::io::Errno;

pub(super) const STAT_FLAGS: AtFlags = AtFlags::SYMLINK_NOFOLLOW.union(AtFlags::NO_AUTOMOUNT);
pub(super) const STAT_MASK: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::MNT_ID);

/// Attributes of an open object.
pub(super) fn stat(object: BorrowedFd<'_>) -> Result<Statx, Errno> {
    fs::statx(object, "", STAT_FLAGS | AtFlags::EMPTY_PATH, STAT_MASK)
}

/// What the names of an object have in common.
pub(super) fn identity(stat: &Statx) -> (u64, u64) {
    let device = u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor);
    (device, stat.stx_ino)
}
