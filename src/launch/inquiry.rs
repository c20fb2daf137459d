//! Processes that ask the file system for something, so that nobody else has to wait for it.
//!
//! One that waits for an answer ends only with it, whatever happens; so it is a process of its
//! own, neither the supervisor nor the daemon, and holds nothing but the root directory.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, StatxFlags, statx};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::error::{Doing, LaunchError};
use crate::sys::descriptors::close_others;
use crate::sys::process::{Birth, spawn};

/// Such a process.
#[derive(Debug)]
pub(crate) struct Inquiry {
    process: Pid,
}

impl Inquiry {
    /// Lets a process `ask` below `root`.
    pub(crate) fn start(
        root: OwnedFd,
        ask: impl FnOnce(BorrowedFd<'_>),
    ) -> Result<Self, LaunchError> {
        let process = spawn(Birth::Child, move || {
            let _ = rustix::thread::set_name(c"wpar-inquiry");
            // Above all the connection: it could not be ended while this process waits for it.
            if close_others(&[root.as_fd()]).is_ok() {
                ask(root.as_fd());
            }
            0
        });
        let process = process.doing("make a process")?;
        Ok(Self { process })
    }

    /// Whether it has ended. If so it must not be asked again.
    pub(crate) fn is_over(&self) -> bool {
        !matches!(waitpid(Some(self.process), WaitOptions::NOHANG), Ok(None))
    }

    /// Tells it to end. It does, once no answer of the daemon is due to it any more.
    pub(crate) fn kill(&self) {
        let _ = kill_process(self.process, Signal::KILL);
    }

    /// Waits for its end.
    pub(crate) fn wait(self) {
        let _ = waitpid(Some(self.process), WaitOptions::empty());
    }
}

/// Asks for the attributes of `root` once on each processor.
///
/// What the kernel queued for a processor while there was no daemon it hands on only when another
/// request from there comes, behind those that wait.
pub(crate) fn prompt(root: BorrowedFd<'_>) {
    for processor in 0..CpuSet::MAX_CPU {
        let mut here = CpuSet::new();
        here.set(processor);
        if sched_setaffinity(None, &here).is_ok() {
            let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
            // Whatever the answer is, there was one.
            let _ = statx(root, "", flags, StatxFlags::MODE);
        }
    }
}
