//! After a crash: removing what a WPAR without a supervisor has left. Idempotent.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::mount::{UnmountFlags, unmount};

use super::cgroup::Groups;
use super::error::{Doing, LaunchError};
use super::state::RunState;
use super::{ProcessId, mountinfo};
use crate::sys::process::send_signal;

/// How many mounts on top of each other are removed before that is taken for an error.
const MOST_MOUNTS: usize = 16;

/// Kills what still runs of a WPAR whose supervisor is gone and removes its mount, its control
/// groups and its run directory. Returns what there was, in words.
///
/// # Errors
/// [`LaunchError::AlreadyActive`] if the supervisor lives, [`LaunchError::Stuck`] if something
/// cannot be removed; it can be called again then.
pub fn clean_up(
    run_dir: &Path,
    mount_point: &Path,
    cgroup: &str,
) -> Result<Vec<String>, LaunchError> {
    let state = RunState::read(run_dir);
    if let Some(state) = &state
        && state.supervisor.is_alive()
        && state.supervisor.pid != std::process::id()
    {
        return Err(LaunchError::AlreadyActive(state.supervisor.pid));
    }
    let mut removed = Vec::new();
    let groups = Groups::open(cgroup)?;
    // The processes first: while the daemon serves them they can die.
    if groups.is_populated() {
        groups.kill()?;
        removed.push(format!("the processes in control group {cgroup}"));
    }
    let recorded = state.as_ref().map(|state| state.mount_point.as_path());
    for point in recorded.into_iter().chain([mount_point]) {
        if unmount_all(point)? {
            removed.push(format!("the mount on {}", point.display()));
        }
    }
    if let Some(daemon) = state.and_then(|state| state.daemon)
        && kill_process(daemon)?
    {
        removed.push(format!("the file system daemon, process {}", daemon.pid));
    }
    let groups = groups.remove()?;
    removed.extend(
        groups
            .iter()
            .map(|group| format!("control group {}", group.display())),
    );
    match fs::remove_dir_all(run_dir) {
        Ok(()) => removed.push(format!("run directory {}", run_dir.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => result.doing(format!("remove {}", run_dir.display()))?,
    }
    Ok(removed)
}

/// Takes off whatever is mounted on `point`, busy or not. Tells whether there was anything.
pub(crate) fn unmount_all(point: &Path) -> Result<bool, LaunchError> {
    let mut any = false;
    for _ in 0..MOST_MOUNTS {
        if !mountinfo::is_mounted(point) {
            return Ok(any);
        }
        unmount(point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
            .doing(format!("unmount {}", point.display()))?;
        any = true;
    }
    Err(LaunchError::Stuck(format!(
        "{}: there are ever more mounts on it",
        point.display()
    )))
}

/// Kills a process that may have ended; waits until it has.
fn kill_process(process: ProcessId) -> Result<bool, LaunchError> {
    let Some(descriptor) = process.open() else {
        return Ok(false);
    };
    match send_signal(descriptor.as_fd(), libc::SIGKILL) {
        Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
            return Err(error).doing(format!("kill process {}", process.pid));
        }
        _ => {}
    }
    if super::watch::wait_readable(descriptor.as_fd(), Some(std::time::Duration::from_secs(10)))? {
        Ok(true)
    } else {
        Err(LaunchError::Stuck(format!("process {}", process.pid)))
    }
}
