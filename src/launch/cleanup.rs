//! After a crash: removing what a WPAR without a supervisor has left. Idempotent.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open, syncfs};
use rustix::mount::{UnmountFlags, unmount};

use super::cgroup::Groups;
use super::error::{Doing, LaunchError};
use super::state::RunState;
use super::{ProcessId, mountinfo, network};
use crate::sys::process::send_signal;

/// How long the daemon may take to let processes die, or to write back what the kernel holds.
pub(super) const DAEMON_PATIENCE: Duration = Duration::from_secs(5);
/// How long killed processes may take to be gone.
pub(super) const KILL_PATIENCE: Duration = Duration::from_secs(10);

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
    let daemon = state.as_ref().and_then(|state| state.daemon);
    let end_daemon = || daemon.map_or(Ok(false), kill_process);
    // The processes first: while the daemon serves them they can die.
    if groups.is_populated() {
        if groups.kill(DAEMON_PATIENCE).is_err() {
            // Perhaps they wait for its answer.
            end_daemon()?;
            groups.kill(KILL_PATIENCE)?;
        }
        removed.push(format!("the processes in control group {cgroup}"));
    }
    if network::disconnect(run_dir)? {
        removed.push("its network".to_owned());
    }
    let recorded = state.as_ref().map(|state| state.mount_point.as_path());
    for point in recorded.into_iter().chain([mount_point]) {
        if unmount_all(point, || drop(end_daemon()))? {
            removed.push(format!("the mount on {}", point.display()));
        }
    }
    if end_daemon()? {
        removed.push("the file system daemon".to_owned());
    }
    groups.remove_disks()?;
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

/// Writes back and takes off whatever is mounted on `point`, busy or not. Tells whether there
/// was anything. `end_daemon` is called if its daemon does not answer.
pub(super) fn unmount_all(point: &Path, end_daemon: impl FnOnce()) -> Result<bool, LaunchError> {
    if !mountinfo::is_mounted(point) {
        return Ok(false);
    }
    let (done, result) = mpsc::channel();
    let path = point.to_owned();
    // These calls wait for the daemon, and nothing interrupts them.
    thread::spawn(move || {
        // Without an answer to this nobody listens any more, which is fine.
        let _ = done.send(unmount_each(&path));
    });
    let answer = result.recv_timeout(DAEMON_PATIENCE).or_else(|_| {
        end_daemon();
        result.recv_timeout(KILL_PATIENCE)
    });
    match answer {
        Ok(result) => result.map(|()| true),
        Err(_) => Err(LaunchError::Stuck(format!(
            "the mount on {}",
            point.display()
        ))),
    }
}

fn unmount_each(point: &Path) -> Result<(), LaunchError> {
    if let Ok(top) = open(
        point,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        // An error is that of a dead daemon, or will show in the unmounting.
        let _ = syncfs(top);
    }
    for _ in 0..MOST_MOUNTS {
        if unmount(point, UnmountFlags::NOFOLLOW).is_err() {
            unmount(point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
                .doing(format!("unmount {}", point.display()))?;
        }
        if !mountinfo::is_mounted(point) {
            return Ok(());
        }
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
    if super::watch::wait_readable(descriptor.as_fd(), Some(KILL_PATIENCE))? {
        Ok(true)
    } else {
        Err(LaunchError::Stuck(format!("process {}", process.pid)))
    }
}
