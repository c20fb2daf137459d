//! The user namespace of a WPAR, made before any of its processes.
//!
//! What the kernel lets one user have (instances of inotify, 128 of them on most hosts; watches, locked
//! memory, pending signals) it counts for the user inside, and once more for the *owner* of the
//! namespace, who is the user that made it. Were that root of the host, all WPARs and the host itself
//! would share one budget, and the fortieth systemd could not start. So the WPAR's own root, as the host
//! numbers it, is the owner; to a user of the host with that number, and there is none, it would give
//! rights in the WPAR only.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Gid, Mode, OFlags, Uid, open};
use rustix::io::{read, write};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitOptions, waitpid};
use rustix::thread::{
    UnshareFlags, capabilities, set_capabilities, set_keep_capabilities, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};

use super::IdRange;
use super::error::{Doing, LaunchError};
use crate::sys::descriptors::close_others;
use crate::sys::namespace::unshare;
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
    match create_owned(ids) {
        Ok(namespace) => Ok(namespace),
        // Inside of another user namespace that has no such user, or where a policy forbids it.
        Err(_) => create_as(ids, Birth::InUserNamespace, || Ok(())),
    }
}

/// One that is owned by the root of the WPAR.
fn create_owned(ids: IdRange) -> Result<OwnedFd, LaunchError> {
    create_as(ids, Birth::Child, || become_owner(ids.first))
}

/// Lets a child that is born so, and then does `enter`, be the first process of the namespace.
fn create_as(
    ids: IdRange,
    birth: Birth,
    enter: impl FnOnce() -> io::Result<()>,
) -> Result<OwnedFd, LaunchError> {
    let (wait, go) = pipe_with(PipeFlags::CLOEXEC).doing("make a pipe")?;
    let (told, tell) = pipe_with(PipeFlags::CLOEXEC).doing("make a pipe")?;
    // A namespace is born with a process; this one only waits for the end of the pipe.
    let pid = spawn(birth, || {
        // The writing end among others: else it would wait for itself.
        let entered = close_others(&[wait.as_fd(), tell.as_fd()]).and_then(|()| enter());
        if entered.is_ok() && write(&tell, &[0]).is_ok() {
            let _ = read(&wait, &mut [0; 1]);
        }
        0
    })
    .doing("make a user namespace")?;
    drop(tell);
    let result = match read(&told, &mut [0; 1]) {
        Ok(1) => fill(pid.as_raw_nonzero().get(), ids),
        _ => Err(LaunchError::other("cannot make a user namespace")),
    };
    drop(go);
    waitpid(Some(pid), WaitOptions::empty()).doing("wait for a process")?;
    result
}

/// Makes a user namespace that belongs to the user `id`, and enters it. This process is that user then.
fn become_owner(id: u32) -> io::Result<()> {
    // Some hosts let only the privileged make one.
    set_keep_capabilities(true)?;
    set_thread_groups(&[])?;
    let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    let mut sets = capabilities(None)?;
    sets.effective = sets.permitted;
    set_capabilities(None, sets)?;
    unshare(UnshareFlags::NEWUSER)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_with_the_roots_of_the_host_is_refused() {
        for (first, count) in [(0, 65536), (100_000, 0), (u32::MAX, 2)] {
            assert!(create(IdRange { first, count }).is_err(), "{first} {count}");
        }
    }
}
