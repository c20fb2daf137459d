//! Between the words of the core and those of `fuser`. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{Errno, FileAttr, FileType, INodeNo, RenameFlags, Request, TimeOrNow};

use crate::error::FsError;
use crate::overlay::{RenameMode, SetTime};
use crate::types::{Attr, Caller, FileKind, Ino, Timestamp};

/// Preferred size of a read or write, in bytes, as `stat` tells it.
const BLOCK_SIZE: u32 = 4096;

pub(super) fn errno(error: FsError) -> Errno {
    Errno::from_i32(error.errno().raw_os_error())
}

pub(super) fn caller(request: &Request) -> Caller {
    Caller {
        uid: request.uid(),
        gid: request.gid(),
    }
}

/// Permission bits of the kernel's mode.
pub(super) fn permissions(mode: u32) -> u16 {
    (mode & 0o7777) as u16
}

/// What the flags of `renameat2` ask for, if they make sense together.
pub(super) fn rename_mode(flags: RenameFlags, caller: Caller) -> Option<RenameMode> {
    const NO_REPLACE: RenameFlags = RenameFlags::RENAME_NOREPLACE;
    const EXCHANGE: RenameFlags = RenameFlags::RENAME_EXCHANGE;
    const WHITEOUT: RenameFlags = RenameFlags::RENAME_WHITEOUT;
    const WHITEOUT_NO_REPLACE: RenameFlags = WHITEOUT.union(NO_REPLACE);
    let whiteout = |replace| RenameMode::Whiteout { caller, replace };
    match flags {
        _ if flags.is_empty() => Some(RenameMode::Replace),
        NO_REPLACE => Some(RenameMode::NoReplace),
        EXCHANGE => Some(RenameMode::Exchange),
        WHITEOUT => Some(whiteout(true)),
        WHITEOUT_NO_REPLACE => Some(whiteout(false)),
        _ => None,
    }
}

pub(super) fn file_type(kind: FileKind) -> FileType {
    match kind {
        FileKind::Fifo => FileType::NamedPipe,
        FileKind::CharDevice => FileType::CharDevice,
        FileKind::Directory => FileType::Directory,
        FileKind::BlockDevice => FileType::BlockDevice,
        FileKind::Regular => FileType::RegularFile,
        FileKind::Symlink => FileType::Symlink,
        FileKind::Socket => FileType::Socket,
    }
}

pub(super) fn file_attr(ino: Ino, attr: &Attr) -> FileAttr {
    FileAttr {
        ino: INodeNo(ino.0),
        size: attr.size,
        blocks: attr.blocks,
        atime: system_time(attr.atime),
        mtime: system_time(attr.mtime),
        ctime: system_time(attr.ctime),
        crtime: UNIX_EPOCH,
        kind: file_type(attr.kind),
        perm: attr.permissions,
        nlink: attr.nlink,
        uid: attr.uid,
        gid: attr.gid,
        rdev: attr.rdev,
        blksize: BLOCK_SIZE,
        flags: 0,
    }
}

/// The answer that a name does not exist, which the kernel may remember.
pub(super) fn no_attr() -> FileAttr {
    FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: FileType::RegularFile,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: BLOCK_SIZE,
        flags: 0,
    }
}

fn system_time(time: Timestamp) -> SystemTime {
    let whole = Duration::from_secs(time.seconds.unsigned_abs());
    let base = if time.seconds < 0 {
        UNIX_EPOCH.checked_sub(whole)
    } else {
        UNIX_EPOCH.checked_add(whole)
    };
    base.and_then(|base| base.checked_add(Duration::from_nanos(time.nanoseconds.into())))
        .unwrap_or(UNIX_EPOCH)
}

/// What the kernel sent as a time to be set.
pub(super) fn set_time(time: TimeOrNow) -> SetTime {
    let time = match time {
        TimeOrNow::Now => return SetTime::Now,
        TimeOrNow::SpecificTime(time) => time,
    };
    SetTime::To(match time.duration_since(UNIX_EPOCH) {
        Ok(after) => Timestamp {
            seconds: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: after.subsec_nanos(),
        },
        // fuser 0.18 takes both parts of a time before 1970 off the epoch, where the kernel
        // means the nanoseconds to be added. Taking it apart the same way undoes that.
        Err(before) => Timestamp {
            seconds: i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |secs| -secs),
            nanoseconds: before.duration().subsec_nanos(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_keep_their_nanoseconds() {
        let time = Timestamp {
            seconds: -2,
            nanoseconds: 800_000_000,
        };
        let back = UNIX_EPOCH.duration_since(system_time(time)).ok();
        assert_eq!(back, Some(Duration::new(1, 200_000_000)));
    }

    #[test]
    fn a_time_before_1970_is_read_as_the_kernel_meant_it() {
        // As fuser makes it of (-2, 800_000_000).
        let from_fuser = UNIX_EPOCH - Duration::new(2, 800_000_000);
        assert_eq!(
            set_time(TimeOrNow::SpecificTime(from_fuser)),
            SetTime::To(Timestamp {
                seconds: -2,
                nanoseconds: 800_000_000
            })
        );
    }
}
