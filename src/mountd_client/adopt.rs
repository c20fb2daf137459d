//! Finding a daemon again whose supervisor died: its own descriptors are all that is needed to go
//! on, and to start the next one when it dies.
//!
//! Which descriptors it holds stands in its command line, which its process alone could change.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::process::{ForeignRawFd, PidfdGetfdFlags, pidfd_getfd};
use wpar_mountd::spec::MountSpec;
use wpar_mountd::takeover::Kept;

use super::{Daemon, HOLD, Handle, Inheritance, spec_file};

/// A daemon that another process started, with copies of what it was started with.
#[derive(Debug)]
pub(crate) struct Adopted {
    /// The daemon.
    pub(crate) daemon: Daemon,
    /// Its connection.
    pub(crate) connection: OwnedFd,
    /// What the next one is started with, but for what it is to hold.
    pub(crate) inheritance: Inheritance,
    /// What else it holds, in the order it was given.
    pub(crate) held: Vec<OwnedFd>,
}

/// Takes over the daemon of a mount of `spec` with the number `pid`, of which `process` is a
/// descriptor.
///
/// # Errors
/// Those of `pidfd_getfd(2)`, which is for those who may trace the process.
pub(crate) fn adopt(spec: &MountSpec, pid: u32, process: OwnedFd) -> io::Result<Adopted> {
    let line = fs::read(format!("/proc/{pid}/cmdline"))?;
    let refused = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "its command line is not that of a file system daemon which holds anything",
        )
    };
    let copies = held_numbers(&line)
        .into_iter()
        .map(|number| pidfd_getfd(&process, number, PidfdGetfdFlags::empty()));
    let mut copies = copies.collect::<rustix::io::Result<Vec<_>>>()?.into_iter();
    let (connection, kept) = copies.next().zip(copies.next()).ok_or_else(refused)?;
    let held = copies.collect();
    // Nobody tells of its trail any more: the socket for that ended with its supervisor.
    let (answer, _) = UnixStream::pair()?;
    Ok(Adopted {
        daemon: Daemon {
            handle: Handle::Foreign(pid),
            process,
            answer,
            trail: Vec::new(),
        },
        connection,
        inheritance: Inheritance {
            spec: spec_file(spec)?,
            kept: Kept::from_descriptor(kept),
            held: Vec::new(),
        },
        held,
    })
}

/// Numbers of the descriptors that a daemon holds, out of its `/proc/PID/cmdline`.
fn held_numbers(line: &[u8]) -> Vec<ForeignRawFd> {
    let mut words = line.split(|&byte| byte == 0).skip(1);
    let mut held = Vec::new();
    while let (Some(option), Some(value)) = (words.next(), words.next()) {
        let text = std::str::from_utf8(value).ok();
        let number: Option<ForeignRawFd> = text.and_then(|text| text.parse().ok());
        held.extend(number.filter(|_| option == HOLD.as_bytes()));
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_stand_in_the_command_line_in_their_order() {
        let line = b"wpar-mountd\0--fuse-fd\x009\0--spec-fd\x0011\0--ready-fd\x0012\0\
            --kept-fd\x0013\0--hold-fd\x0020\0--hold-fd\x0019\0--hold-fd\x0021\0";
        assert_eq!(held_numbers(line), [20, 19, 21]);
    }

    #[test]
    fn another_program_holds_nothing() {
        for line in [
            &b""[..],
            b"sh\0-c\0--hold-fd\0",
            b"wpar-mountd\0--fuse-fd\x009\0--spec-fd\x0011\0",
            b"wpar-mountd\0--hold-fd\0nine\0--hold-fd\0",
        ] {
            assert!(held_numbers(line).is_empty(), "{line:?}");
        }
    }
}
