//! The root of a running WPAR, for those who work in its files without entering it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open};

use super::error::{Doing, LaunchError};
use super::state::RunState;
use super::watch::wait_readable;

/// A running WPAR, seen from outside through its own root: its file system with all that is mounted
/// inside.
#[derive(Debug)]
pub(crate) struct Visit {
    process: OwnedFd,
}

impl Visit {
    /// Opens the root of the WPAR whose run directory this is. Paths in it are to be resolved so that
    /// they cannot leave it; owners are numbers of the host.
    ///
    /// # Errors
    /// [`LaunchError::NotActive`] if its init does not run.
    pub(crate) fn begin(run_dir: &Path) -> Result<(Self, OwnedFd), LaunchError> {
        let state = RunState::read(run_dir).ok_or(LaunchError::NotActive)?;
        // Before its execution, init's root is the host's.
        let init = state
            .init
            .filter(|_| state.executed)
            .ok_or(LaunchError::NotActive)?;
        let visit = Self {
            process: init.open().ok_or(LaunchError::NotActive)?,
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(format!("/proc/{}/root", init.pid), flags, Mode::empty())
            .doing("open the root of its first process")?;
        // It lived all the time, so the number was its.
        if visit.is_over() {
            return Err(LaunchError::NotActive);
        }
        Ok((visit, root))
    }

    /// Whether the WPAR has ended meanwhile.
    pub(crate) fn is_over(&self) -> bool {
        wait_readable(self.process.as_fd(), Some(Duration::ZERO)).unwrap_or(true)
    }
}
