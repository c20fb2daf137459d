//! Making, signalling and leaving processes.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::process::Pid;

use super::checked;

/// Exit status of a child whose body panicked (`EX_SOFTWARE`).
const PANICKED: i32 = 70;

/// How a child is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Birth {
    /// As by `fork(2)`.
    Child,
    /// As a child of the caller's own parent, which then waits for it.
    Sibling,
    /// In a new user namespace, of which it is the first process.
    InUserNamespace,
}

/// Makes a copy of this process that runs `body` and exits with what that returns.
///
/// Only for a process with a single thread: the copy may then do anything that this one may.
/// It never returns into the caller's frames, so no destructor of the caller's values runs twice.
///
/// # Errors
/// Those of `clone3(2)`, and `EDEADLK` where the process has further threads.
pub(crate) fn spawn(birth: Birth, body: impl FnOnce() -> i32) -> io::Result<Pid> {
    if std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() > 1) {
        return Err(io::Error::from_raw_os_error(libc::EDEADLK));
    }
    let (flags, exit_signal) = match birth {
        Birth::Child => (0, libc::SIGCHLD),
        // The exit signal is then that of the caller itself.
        Birth::Sibling => (libc::CLONE_PARENT, 0),
        Birth::InUserNamespace => (libc::CLONE_NEWUSER, libc::SIGCHLD),
    };
    // SAFETY: `clone_args` is plain data, all zeros is a value of it.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = u64::from(flags.cast_unsigned());
    arguments.exit_signal = u64::from(exit_signal.cast_unsigned());
    // SAFETY: no memory is shared (no CLONE_VM) and the stack is the copied one, as with fork;
    // there is no other thread whose locks the copy could inherit.
    let result = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const arguments,
            size_of::<libc::clone_args>(),
        )
    };
    match checked(result)? {
        0 => exit_now(catch_unwind(AssertUnwindSafe(body)).unwrap_or(PANICKED)),
        pid => i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| io::Error::other("clone3 returned no process id")),
    }
}

/// Ends the process at once: no destructor, no `atexit`, no flush.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: always allowed.
    unsafe { libc::_exit(status) }
}

/// Sends a signal by its number, real-time signals included.
pub(crate) fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: a null siginfo asks for the default one.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    checked(result).map(drop)
}

/// Sends a signal to every process of the PID namespace but this one, its first.
pub(crate) fn signal_all(signal: i32) -> io::Result<()> {
    // SAFETY: takes numbers only.
    checked(unsafe { libc::kill(-1, signal) }.into()).map(drop)
}
