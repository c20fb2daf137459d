//! Halting all processes of a WPAR, and letting them go on.
//!
//! This is the freezer of cgroup2 alone, which is there whatever else the host has. The group's file
//! is root's of the host: nothing inside can undo it. The file system's daemon is outside and goes
//! on, so that others can look at the files meanwhile.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::cgroup::Groups;
use super::error::{Doing, LaunchError};
use super::state::RunState;

/// How long processes may take to halt: those that wait for something in the kernel first end that.
const PATIENCE: Duration = Duration::from_secs(10);

/// Halts every process of the WPAR of `run_dir`; returns when they stand still.
///
/// # Errors
/// [`LaunchError::NotActive`]; or that some do not halt, in which case all go on.
pub fn pause(run_dir: &Path) -> Result<(), LaunchError> {
    let groups = groups(run_dir)?;
    groups.freeze(true).doing("halt the processes")?;
    let deadline = Instant::now() + PATIENCE;
    while !groups.is_frozen() {
        if Instant::now() > deadline {
            groups.freeze(false).doing("let the processes go on")?;
            return Err(LaunchError::other(format!(
                "its processes did not halt within {} s, and go on",
                PATIENCE.as_secs()
            )));
        }
        sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Lets the processes go on.
///
/// # Errors
/// [`LaunchError::NotActive`], or those of the control group.
pub fn resume(run_dir: &Path) -> Result<(), LaunchError> {
    let groups = groups(run_dir)?;
    groups.freeze(false).doing("let the processes go on")
}

fn groups(run_dir: &Path) -> Result<Groups, LaunchError> {
    let state = RunState::read(run_dir).ok_or(LaunchError::NotActive)?;
    Groups::open(&state.cgroup)
}
