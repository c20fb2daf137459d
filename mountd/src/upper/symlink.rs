//! Symbolic links of the WPAR: where their targets are.
//!
//! On any file system a link is there with its target or not at all, whatever power does, and no
//! program can sync one. But the data of a file reach the disk later than its name. So the target
//! is in the extended attribute [`TARGET_XATTR`], which is journalled with the names, and the file
//! has as many bytes, a hole. A target that is too long for an attribute of the host's file system
//! is the contents of the file, and these are synced.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;

use super::calls::{self as fs, XattrFlags};
use super::data::{read_full, write_all};
use super::object::{UpperObject, read_xattr};
use crate::error::{FsError, FsResult};

/// The attribute that holds the target.
const TARGET_XATTR: &str = "user.wpar.target";

/// Longest path that Linux knows.
const PATH_MAX: usize = 4096;

/// Makes an empty file, which nobody sees yet, the link to `target`.
///
/// # Errors
/// Those of the host's file system.
pub fn write(file: BorrowedFd<'_>, target: &[u8]) -> FsResult<()> {
    match fs::fsetxattr(file, TARGET_XATTR, target, XattrFlags::empty()) {
        // The size is what `stat` shows of a link.
        Ok(()) => Ok(fs::ftruncate(file, target.len() as u64)?),
        Err(Errno::NOSPC | Errno::TOOBIG | Errno::RANGE) => {
            write_all(file, target, 0)?;
            Ok(fs::fdatasync(file)?)
        }
        Err(errno) => Err(errno.into()),
    }
}

/// The target of a link.
///
/// # Errors
/// Those of the host's file system.
pub fn read(object: &UpperObject) -> FsResult<Vec<u8>> {
    if let Some(target) = read_xattr(object.as_fd(), TARGET_XATTR)? {
        return Ok(target);
    }
    let length = usize::try_from(object.stat()?.st_size).map_err(|_| FsError::Damaged)?;
    let mut target = vec![0; length.min(PATH_MAX)];
    let read = read_full(object.as_fd(), &mut target, 0)?;
    target.truncate(read);
    Ok(target)
}
