//! Mounts of users without privileges, made by the set-user-ID helper of libfuse.
//!
//! The protocol is that of `fusermount3(1)`: it is called with options and a directory, mounts,
//! and sends the connection to the kernel over the socket whose number is in `_FUSE_COMMFD`.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
    recvmsg, socketpair,
};

use crate::sys::descriptors::pass;

/// The helper, of libfuse 3.
const HELPER: &str = "fusermount3";

/// Mounts on `point` and returns the connection; `source` is what the list of mounts has.
///
/// # Errors
/// In words: that the helper is not there, or what it says.
pub(super) fn mount(point: &Path, source: &str, read_only: bool) -> Result<OwnedFd, String> {
    let failed = |error: io::Error| format!("cannot talk to {HELPER}: {error}");
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|errno| failed(errno.into()))?;
    let mut command = Command::new(HELPER);
    let number = pass(&mut command, theirs);
    command
        .env("_FUSE_COMMFD", number.to_string())
        .arg("-o")
        .arg(options(source, read_only));
    run(command, point)?;
    receive(&ours)
        .map_err(failed)?
        .ok_or_else(|| format!("{HELPER} sent no connection"))
}

/// Takes the mount on `point` off, if `lazily` also while it is in use.
///
/// # Errors
/// In words, as [`mount`].
pub(super) fn unmount(point: &Path, lazily: bool) -> Result<(), String> {
    let mut command = Command::new(HELPER);
    command.arg(if lazily { "-uz" } else { "-u" });
    run(command, point)
}

/// Runs the helper for `point`; it owns the descriptors that it was given, which end with it.
fn run(mut command: Command, point: &Path) -> Result<(), String> {
    let output = command
        .arg("--")
        .arg(point)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output();
    drop(command);
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(complaint(&output)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!(
            "users other than root need {HELPER}, which is not there; install the package fuse3, \
             or use 'unshare -Urm'"
        )),
        Err(error) => Err(format!("cannot run {HELPER}: {error}")),
    }
}

/// Its last line, or how it ended.
fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    match text.lines().rfind(|line| !line.trim().is_empty()) {
        Some(line) => line.trim().to_owned(),
        None => format!("{HELPER} failed ({})", output.status),
    }
}

/// A comma ends an option, unless a backslash is before it.
fn options(source: &str, read_only: bool) -> String {
    let mut name = String::with_capacity(source.len());
    for character in source.chars() {
        if matches!(character, ',' | '\\') {
            name.push('\\');
        }
        name.push(character);
    }
    let writing = if read_only { "ro" } else { "rw" };
    format!("{writing},nosuid,nodev,subtype=wpar,fsname={name}")
}

fn receive(socket: &OwnedFd) -> io::Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    rustix::io::retry_on_intr(|| {
        let mut data = [IoSliceMut::new(&mut byte)];
        recvmsg(socket, &mut data, &mut control, RecvFlags::CMSG_CLOEXEC)
    })?;
    let received = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Ok(received)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_smuggle_options() {
        assert_eq!(
            options("/a,allow_other\\", true),
            "ro,nosuid,nodev,subtype=wpar,fsname=/a\\,allow_other\\\\"
        );
        assert!(options("x", false).starts_with("rw,"));
    }

    #[test]
    fn a_helper_that_fails_says_why() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo one >&2; echo two >&2; exit 1", "sh"]);
        assert_eq!(run(command, Path::new("/")), Err("two".to_owned()));
        let missing = run(Command::new("no-such-helper"), Path::new("/"));
        assert!(missing.unwrap_err().contains("fuse3"));
    }
}
