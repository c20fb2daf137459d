//! Reading and writing of whole ranges: calls of the host may do less than was asked.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use super::calls as fs;
use crate::error::{FsError, FsResult};

/// Reads until `buffer` is full or the file ends; returns how many bytes.
///
/// # Errors
/// Those of the host's file system.
pub(crate) fn read_full(file: BorrowedFd<'_>, buffer: &mut [u8], offset: u64) -> FsResult<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match fs::pread(file, rest, offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(done)
}

/// Writes everything at `offset`.
///
/// # Errors
/// Those of the host's file system; a part may then have been written.
pub(crate) fn write_all(file: BorrowedFd<'_>, mut data: &[u8], mut offset: u64) -> FsResult<()> {
    while !data.is_empty() {
        let written = match fs::pwrite(file, data, offset) {
            Ok(0) => return Err(FsError::Layer(Errno::IO)),
            Ok(written) => written,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        };
        data = data.get(written..).unwrap_or(&[]);
        offset += written as u64;
    }
    Ok(())
}
