//! Requests of no consequence, for queues that have to be set going again.
//!
//! What the kernel queued while nobody served a queue, it hands on only when an answer to another
//! request comes. So after a takeover the daemon asks for something itself, once on each
//! processor, behind all who wait there.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread;

use rustix::fs::{AtFlags, StatxFlags, statx};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Asks for the attributes of `root`, the mount's root directory, on each of `processors`, in the
/// background. The descriptor is closed when all were answered: it keeps the mount busy.
///
/// # Errors
/// Those of making a thread.
pub(super) fn prompt(root: OwnedFd, processors: impl Iterator<Item = u16>) -> io::Result<()> {
    let root = Arc::new(root);
    for processor in processors {
        let root = Arc::clone(&root);
        thread::Builder::new()
            .name(format!("prompt-{processor}"))
            .spawn(move || ask(&root, processor))?;
    }
    Ok(())
}

fn ask(root: &OwnedFd, processor: u16) {
    let mut here = CpuSet::new();
    if usize::from(processor) < CpuSet::MAX_CPU {
        here.set(usize::from(processor));
        if let Err(errno) = sched_setaffinity(None, &here) {
            // It is gone: nobody can wait there.
            return log::debug!("no processor {processor}: {errno}");
        }
    }
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
    if let Err(errno) = statx(root.as_fd(), "", flags, StatxFlags::MODE) {
        log::warn!("requests may wait on processor {processor}: {errno}");
    }
}
