//! Signals as a descriptor to poll, and back to their defaults before an `exec`.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::checked;

/// Signals that this thread takes from a descriptor while this lives. The mask of before comes
/// back when it is dropped.
#[derive(Debug)]
pub(crate) struct SignalDescriptor {
    descriptor: OwnedFd,
    before: libc::sigset_t,
}

impl SignalDescriptor {
    /// Blocks `signals` and opens a non-blocking descriptor that tells them.
    pub(crate) fn new(signals: &[i32]) -> io::Result<Self> {
        let mut set = empty_set();
        for &signal in signals {
            // SAFETY: an initialised set; a bad number is refused.
            checked(unsafe { libc::sigaddset(&raw mut set, signal) }.into())?;
        }
        // SAFETY: an initialised set, and -1 for a new descriptor.
        let number =
            unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        checked(number.into())?;
        // SAFETY: just opened, owned by nobody.
        let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
        let before = change_mask(libc::SIG_BLOCK, &set)?;
        Ok(Self { descriptor, before })
    }

    /// Sends this thread a signal.
    #[cfg(test)]
    pub(crate) fn raise(&self, signal: i32) -> io::Result<()> {
        // SAFETY: takes a number; the signal is blocked here, or is the test's end.
        checked(unsafe { libc::raise(signal) }.into()).map(drop)
    }

    /// Sleeps until the signal comes to this thread.
    #[cfg(test)]
    pub(crate) fn await_one(&self, signal: i32) -> io::Result<()> {
        let mut set = empty_set();
        // SAFETY: an initialised set; a bad number is refused.
        checked(unsafe { libc::sigaddset(&raw mut set, signal) }.into())?;
        let (details, limit) = (std::ptr::null_mut(), std::ptr::null());
        // SAFETY: an initialised set; neither details nor a time limit are asked for.
        checked(unsafe { libc::sigtimedwait(&raw const set, details, limit) }.into()).map(drop)
    }

    /// The next signal's number, if one waits.
    pub(crate) fn next(&self) -> Option<i32> {
        let mut buffer = [0_u8; size_of::<libc::signalfd_siginfo>()];
        match rustix::io::read(&self.descriptor, &mut buffer) {
            Ok(read) if read == buffer.len() => {
                // `ssi_signo` is the first field.
                let number = u32::from_ne_bytes([buffer[0], buffer[1], buffer[2], buffer[3]]);
                i32::try_from(number).ok()
            }
            _ => None,
        }
    }
}

impl AsFd for SignalDescriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        debug_assert!(self.descriptor.as_raw_fd() >= 0);
        self.descriptor.as_fd()
    }
}

impl Drop for SignalDescriptor {
    fn drop(&mut self) {
        let _ = change_mask(libc::SIG_SETMASK, &self.before);
    }
}

/// Sends a signal to a thread of this process.
#[cfg(test)]
pub(crate) fn send_to_thread(thread: i32, signal: i32) -> io::Result<()> {
    // SAFETY: takes nothing.
    let process = unsafe { libc::getpid() };
    // SAFETY: takes numbers only.
    checked(unsafe { libc::tgkill(process, thread, signal) }.into()).map(drop)
}

/// Gives every signal its default action and blocks none: what a new program expects.
pub(crate) fn reset() -> io::Result<()> {
    for signal in 1..=64 {
        if signal != libc::SIGKILL && signal != libc::SIGSTOP {
            // SAFETY: sets a default action; the C library refuses the numbers it keeps.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
    change_mask(libc::SIG_SETMASK, &empty_set()).map(drop)
}

fn empty_set() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: writes the whole set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: just initialised.
    unsafe { set.assume_init() }
}

fn change_mask(how: libc::c_int, set: &libc::sigset_t) -> io::Result<libc::sigset_t> {
    let mut before = empty_set();
    // SAFETY: two valid sets.
    let error = unsafe { libc::pthread_sigmask(how, set, &raw mut before) };
    if error == 0 {
        Ok(before)
    } else {
        Err(io::Error::from_raw_os_error(error))
    }
}
