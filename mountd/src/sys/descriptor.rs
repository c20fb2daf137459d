//! Descriptors that were handed to this process by number.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::io::FdFlags;

/// Takes over the open descriptor `number`, which the parent process passed for this one use.
///
/// # Errors
/// If it is one of the three standard ones, or not open.
pub(crate) fn take(number: RawFd) -> io::Result<OwnedFd> {
    if number <= 2 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the number was passed to us by our parent as ours to own, nothing else in this
    // process knows it, and the next line finds out whether it is open at all.
    let taken = unsafe { OwnedFd::from_raw_fd(number) };
    match rustix::io::fcntl_setfd(&taken, FdFlags::CLOEXEC) {
        Ok(()) => Ok(taken),
        Err(errno) => {
            // Not open: closing it would be wrong.
            std::mem::forget(taken);
            Err(errno.into())
        }
    }
}
