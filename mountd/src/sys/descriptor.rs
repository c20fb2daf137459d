//! Descriptors that were handed to this process by number, and paths that stand for descriptors.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Whether the working directory is that of this process's descriptors, and stays it.
#[cfg(not(test))]
static IS_AT_OWN: AtomicBool = AtomicBool::new(false);
// Tests share a process, and have working directories of their own at most by threads.
#[cfg(test)]
thread_local! {
    static IS_AT_OWN: AtomicBool = const { AtomicBool::new(false) };
}

/// From now on [`path`] is relative to the working directory, which the caller has made the directory of
/// this process's descriptors, for good.
pub(crate) fn stay_at_own() {
    #[cfg(not(test))]
    IS_AT_OWN.store(true, Ordering::Relaxed);
    #[cfg(test)]
    IS_AT_OWN.with(|own| own.store(true, Ordering::Relaxed));
}

fn is_at_own() -> bool {
    #[cfg(not(test))]
    return IS_AT_OWN.load(Ordering::Relaxed);
    #[cfg(test)]
    IS_AT_OWN.with(|own| own.load(Ordering::Relaxed))
}

/// A path of what `descriptor` stands for, for calls that take nothing else. It is that object
/// itself, also if that is a symbolic link.
pub(crate) fn path(descriptor: impl AsFd) -> String {
    let number = descriptor.as_fd().as_raw_fd();
    match is_at_own() {
        true => number.to_string(),
        false => format!("/proc/self/fd/{number}"),
    }
}

/// For tests: gives this thread, and those that it makes, a root and a working directory of their own.
#[cfg(test)]
pub(crate) fn unshare_root() -> io::Result<()> {
    // SAFETY: only `chdir` and `chroot` are concerned, and nothing here relies on another thread's.
    Ok(unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::FS) }?)
}
