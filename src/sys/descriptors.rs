//! File descriptors across `fork` and `exec`: closing what must not go on, keeping what must.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::checked;

/// Closes every descriptor above standard error that is not in `keep`.
///
/// For a freshly forked child only: whatever owned one of the others must not be used any more,
/// and the process must end by `exec` or [`super::process::exit_now`], so that no owner is
/// dropped.
pub(crate) fn close_others(keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut kept: Vec<u32> = keep
        .iter()
        .map(|fd| fd.as_raw_fd().cast_unsigned())
        .collect();
    kept.sort_unstable();
    let mut first = 3;
    for fd in kept {
        if fd > first {
            close_range(first, fd - 1)?;
        }
        first = first.max(fd + 1);
    }
    close_range(first, u32::MAX)
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: takes numbers only. The caller of `close_others` gives up what owned them.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

/// Lets the process that `command` starts have `fd`, under the number that is returned.
pub(crate) fn pass(command: &mut Command, fd: OwnedFd) -> RawFd {
    let number = fd.as_raw_fd();
    let hook = move || {
        // SAFETY: `fcntl` is async-signal-safe and gets no pointer.
        let result = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) };
        checked(result.into()).map(drop)
    };
    // SAFETY: the hook only makes the call above: no allocation, no lock.
    unsafe { command.pre_exec(hook) };
    number
}

/// Takes the descriptor that this process was started with under `number`; `None` if there is
/// none, or one of the standard files. To be called once for a number.
pub(crate) fn take(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: `fcntl` gets no pointer and refuses what is not open.
    let known = number > 2 && unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } == 0;
    // SAFETY: it is open, and by the contract of the process's start it is for the caller.
    known.then(|| unsafe { OwnedFd::from_raw_fd(number) })
}
