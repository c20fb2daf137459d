//! Descriptors that were handed to this process by number.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

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

/// Lets the descriptor `target` stand for what `by` stands for, whoever owns it.
///
/// # Errors
/// Those of `dup3(2)`.
pub(crate) fn replace(target: BorrowedFd<'_>, by: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both are open; the owner of `target` goes on to own an open descriptor of that
    // number, which is all that ownership of one says.
    let replaced = unsafe { libc::dup3(by.as_raw_fd(), target.as_raw_fd(), libc::O_CLOEXEC) };
    if replaced < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
