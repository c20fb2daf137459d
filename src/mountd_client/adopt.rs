//! Finding a daemon again whose supervisor died: its own descriptors are all that is needed to go
//! on, and to start the next one when it dies.
//!
//! Which descriptor is which stands in its command line, which its process alone could change.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;

use rustix::process::{ForeignRawFd, PidfdGetfdFlags, pidfd_getfd};
use wpar_mountd::takeover::Kept;

use super::{Daemon, Handle, Inheritance};

/// A daemon that another process started, with copies of what it was started with.
#[derive(Debug)]
pub(crate) struct Adopted {
    /// The daemon.
    pub(crate) daemon: Daemon,
    /// Its connection.
    pub(crate) connection: OwnedFd,
    /// What the next one is started with; what it holds is not among it.
    pub(crate) inheritance: Inheritance,
    /// What it holds, in the order it was given.
    pub(crate) held: Vec<OwnedFd>,
}

/// Takes over the daemon with the number `pid`, of which `process` is a descriptor.
///
/// # Errors
/// Those of `pidfd_getfd(2)`, which is for those who may trace the process.
pub(crate) fn adopt(pid: u32, process: OwnedFd) -> io::Result<Adopted> {
    let line = fs::read(format!("/proc/{pid}/cmdline"))?;
    let numbers = Numbers::of(&line).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "its command line is not that of a file system daemon",
        )
    })?;
    let copy = |number: ForeignRawFd| {
        pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).map_err(io::Error::from)
    };
    let connection = copy(numbers.fuse)?;
    let spec = File::from(copy(numbers.spec)?);
    let kept = Kept::from_descriptor(copy(numbers.kept)?);
    let held = numbers.held.iter().map(|&number| copy(number));
    let held = held.collect::<io::Result<Vec<_>>>()?;
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
            spec,
            kept,
            held: Vec::new(),
        },
        held,
    })
}

/// Numbers of a daemon's descriptors.
#[derive(Debug, PartialEq, Eq)]
struct Numbers {
    fuse: ForeignRawFd,
    spec: ForeignRawFd,
    kept: ForeignRawFd,
    held: Vec<ForeignRawFd>,
}

impl Numbers {
    /// Out of `/proc/PID/cmdline`.
    fn of(line: &[u8]) -> Option<Self> {
        let mut words = line.split(|&byte| byte == 0);
        words.next()?;
        let (mut fuse, mut spec, mut kept, mut held) = (None, None, None, Vec::new());
        while let (Some(option), Some(value)) = (words.next(), words.next()) {
            let number: ForeignRawFd = OsStr::from_bytes(value).to_str()?.parse().ok()?;
            match option {
                b"--fuse-fd" => fuse = Some(number),
                b"--spec-fd" => spec = Some(number),
                b"--kept-fd" => kept = Some(number),
                b"--hold-fd" => held.push(number),
                _ => {}
            }
        }
        Some(Self {
            fuse: fuse?,
            spec: spec?,
            kept: kept?,
            held,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_stand_in_the_command_line_in_any_order() {
        let line = b"wpar-mountd\0--fuse-fd\x009\0--spec-fd\x0011\0--ready-fd\x0012\0\
            --kept-fd\x0013\0--hold-fd\x0020\0--hold-fd\x0021\0";
        let numbers = Numbers::of(line).unwrap();
        assert_eq!((numbers.fuse, numbers.spec, numbers.kept), (9, 11, 13));
        assert_eq!(numbers.held, [20, 21]);
    }

    #[test]
    fn another_program_is_no_daemon() {
        for line in [
            &b""[..],
            b"sh\0-c\0sleep 5\0",
            b"wpar-mountd\0--fuse-fd\x009\0--spec-fd\x0011\0",
            b"wpar-mountd\0--fuse-fd\0nine\0--spec-fd\x0011\0--kept-fd\x003\0",
        ] {
            assert_eq!(Numbers::of(line), None, "{line:?}");
        }
    }
}
