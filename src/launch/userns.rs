//! The user namespace of a WPAR, made before any of its processes.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::read;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitOptions, waitpid};

use super::IdRange;
use super::error::{Doing, LaunchError};
use crate::sys::descriptors::close_others;
use crate::sys::process::{Birth, spawn};

/// A new user namespace in which `ids` are the ids from 0 up. It lives as long as the descriptor,
/// or anything in it, does.
///
/// # Errors
/// Those of making it; the host may forbid user namespaces.
pub(crate) fn create(ids: IdRange) -> Result<OwnedFd, LaunchError> {
    if ids.first == 0 || ids.count == 0 || ids.first.checked_add(ids.count).is_none() {
        return Err(LaunchError::other(format!(
            "{} user ids from {} up are no range for a WPAR",
            ids.count, ids.first
        )));
    }
    let (wait, go) = pipe_with(PipeFlags::CLOEXEC).doing("make a pipe")?;
    // A namespace is born with a process; this one only waits for the end of the pipe.
    let pid = spawn(Birth::InUserNamespace, || {
        // The writing end among others: else it would wait for itself.
        if close_others(&[wait.as_fd()]).is_ok() {
            let _ = read(&wait, &mut [0; 1]);
        }
        0
    })
    .doing("make a user namespace")?;
    let result = fill(pid.as_raw_nonzero().get(), ids);
    drop(go);
    waitpid(Some(pid), WaitOptions::empty()).doing("wait for a process")?;
    result
}

fn fill(pid: i32, ids: IdRange) -> Result<OwnedFd, LaunchError> {
    let map = format!("0 {} {}", ids.first, ids.count);
    for file in ["uid_map", "gid_map"] {
        fs::write(format!("/proc/{pid}/{file}"), &map).doing("map the ids of the WPAR")?;
    }
    open(
        format!("/proc/{pid}/ns/user"),
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .doing("open the user namespace")
}
