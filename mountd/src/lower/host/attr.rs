//! From `statx(2)` to [`Attr`].

use rustix::fs::{Statx, StatxTimestamp};

use crate::error::{FsError, FsResult};
use crate::types::{Attr, FileKind, Timestamp};

/// The attributes in `stat`.
///
/// # Errors
/// `Damaged` for a type of file that Linux does not have.
pub fn attr_of(stat: &Statx) -> FsResult<Attr> {
    let mode = u32::from(stat.stx_mode);
    Ok(Attr {
        kind: FileKind::from_mode(mode).ok_or(FsError::Damaged)?,
        permissions: stat.stx_mode & 0o7777,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        rdev: encode_device(stat.stx_rdev_major, stat.stx_rdev_minor),
        nlink: stat.stx_nlink,
        size: stat.stx_size,
        blocks: stat.stx_blocks,
        atime: timestamp(&stat.stx_atime),
        mtime: timestamp(&stat.stx_mtime),
        ctime: timestamp(&stat.stx_ctime),
    })
}

/// The directory of another file system of which nothing is known but that it is there.
pub fn unknown_directory() -> Attr {
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

fn timestamp(time: &StatxTimestamp) -> Timestamp {
    Timestamp {
        seconds: time.tv_sec,
        nanoseconds: time.tv_nsec,
    }
}

/// The kernel's 32-bit encoding (`new_encode_dev`): 12 bits major, 20 bits minor around it.
fn encode_device(major: u32, minor: u32) -> u32 {
    minor & 0xff | (major & 0xfff) << 8 | (minor & 0xf_ff00) << 12
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_are_encoded_as_the_kernel_does() {
        assert_eq!(encode_device(1, 3), 0x103);
        assert_eq!(encode_device(8, 0x12_3456 & 0xf_ffff), 0x2340_0856);
        assert_eq!(encode_device(0xfff, 0xf_ffff), u32::MAX);
    }
}
