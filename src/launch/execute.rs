//! Starting a program in a child, and knowing whether that worked.

use std::io;

use rustix::io::{read, write};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, waitpid};

use super::error::{Doing, LaunchError};
use crate::sys::process::{Birth, spawn};

/// Exit status of a child that could not become the program. The reason goes another way.
const NOT_EXECUTED: i32 = 127;

/// Makes a child that runs `become_program`, which returns only if that fails; returns once the
/// program called `name` runs.
///
/// # Errors
/// The reason why it does not.
pub(super) fn start(
    name: &str,
    become_program: impl FnOnce() -> io::Error,
) -> Result<Pid, LaunchError> {
    let (failed, report) = pipe_with(PipeFlags::CLOEXEC).doing("make a pipe")?;
    let child = spawn(Birth::Child, || {
        let number = become_program().raw_os_error().unwrap_or(libc::EINVAL);
        let _ = write(&report, &number.to_ne_bytes());
        NOT_EXECUTED
    })
    .doing("make a process")?;
    drop(report);
    let mut number = [0; 4];
    // The end of the pipe is the exec.
    let length = read(&failed, &mut number).doing("wait for the start of a program")?;
    if length == 0 {
        return Ok(child);
    }
    let _ = waitpid(Some(child), WaitOptions::empty());
    let error = io::Error::from_raw_os_error(i32::from_ne_bytes(number));
    Err(LaunchError::program(name, &error))
}
