//! From `statx(2)` to the words of the core.

use std::os::fd::BorrowedFd;

use rustix::fs::{self, AtFlags, Statx, StatxFlags};
use rustix::io::Errno;
use wpar_mountd::types::{Attr, FileKind, Timestamp};

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

/// The attributes; `None` for a type that Linux does not have.
pub(super) fn attr_of(stat: &Statx) -> Option<Attr> {
    let time = |time: &fs::StatxTimestamp| Timestamp {
        seconds: time.tv_sec,
        nanoseconds: time.tv_nsec,
    };
    let (major, minor) = (stat.stx_rdev_major, stat.stx_rdev_minor);
    Some(Attr {
        kind: FileKind::from_mode(u32::from(stat.stx_mode))?,
        permissions: stat.stx_mode & 0o7777,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        rdev: minor & 0xff | (major & 0xfff) << 8 | (minor & 0xf_ff00) << 12,
        nlink: stat.stx_nlink,
        size: stat.stx_size,
        blocks: stat.stx_blocks,
        atime: time(&stat.stx_atime),
        mtime: time(&stat.stx_mtime),
        ctime: time(&stat.stx_ctime),
    })
}

/// A mount point of which nothing is asked.
pub(super) fn unknown_directory() -> Attr {
    Attr {
        kind: FileKind::Directory,
        permissions: 0o755,
        uid: 0,
        gid: 0,
        rdev: 0,
        nlink: 2,
        size: 0,
        blocks: 0,
        atime: Timestamp::default(),
        mtime: Timestamp::default(),
        ctime: Timestamp::default(),
    }
}
