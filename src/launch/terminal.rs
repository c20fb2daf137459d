//! Terminals: pairs made inside a WPAR, and the administrator's own in raw mode.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{ioctl_tiocsctty, setsid};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, ptsname, unlockpt};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::termios::{
    OptionalActions, Termios, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};
use serde::{Deserialize, Serialize};

/// A pseudo-terminal of the WPAR that this process is in.
#[derive(Debug)]
pub(super) struct Pair {
    /// The side of whoever types and reads.
    pub(super) master: OwnedFd,
    /// The side of the programs.
    pub(super) slave: OwnedFd,
    /// Path of that inside.
    pub(super) path: String,
}

impl Pair {
    /// A new pair of the devpts on `/dev/pts`.
    pub(super) fn open(size: Size) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let master = open("/dev/pts/ptmx", flags, Mode::empty())?;
        // What is there could be another file once the WPAR runs; this fails on any but a ptmx.
        unlockpt(&master)?;
        let path = ptsname(&master, Vec::new())?;
        let path = path.into_string().map_err(io::Error::other)?;
        // Now, not later: a program may ask at once.
        set_size(master.as_fd(), size);
        let peer = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = ioctl_tiocgptpeer(&master, peer)?;
        Ok(Self {
            master,
            slave,
            path,
        })
    }

    /// Makes it the standard files of this process, which leads a session without a terminal, as
    /// process 1 of any machine does: the console is for the getty that it starts to take.
    pub(super) fn become_console(&self) -> io::Result<()> {
        let _ = setsid();
        use_as_standard([self.slave.as_fd(); 3])
    }

    /// Makes it the terminal of a new session of this process, and its standard files.
    pub(super) fn become_controlling(&self) -> io::Result<()> {
        // Fails in a process that leads a session already, which then is the one.
        let _ = setsid();
        ioctl_tiocsctty(&self.slave)?;
        use_as_standard([self.slave.as_fd(); 3])
    }
}

/// Makes the three files standard input, output and error.
pub(super) fn use_as_standard(files: [BorrowedFd<'_>; 3]) -> io::Result<()> {
    let [input, output, error] = files;
    dup2_stdin(input)?;
    dup2_stdout(output)?;
    Ok(dup2_stderr(error)?)
}

/// Puts the null device of the tree that this process sees on its standard files.
pub(super) fn silence() -> io::Result<()> {
    let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    use_as_standard([null.as_fd(); 3])
}

/// The administrator's terminal in raw mode, until this is dropped.
#[derive(Debug)]
pub(super) struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Switches standard input, if that is a terminal.
    pub(super) fn enter() -> io::Result<Option<Self>> {
        let input = rustix::stdio::stdin();
        if !rustix::termios::isatty(input) {
            return Ok(None);
        }
        let before = tcgetattr(input)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(input, OptionalActions::Drain, &raw)?;
        Ok(Some(Self { before }))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &self.before);
    }
}

/// Lines and columns of a terminal; zeros where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Size {
    rows: u16,
    columns: u16,
}

impl Size {
    /// That of the administrator's terminal.
    pub(super) fn of_standard_output() -> Self {
        tcgetwinsize(rustix::stdio::stdout()).map_or(Self::default(), |size| Self {
            rows: size.ws_row,
            columns: size.ws_col,
        })
    }
}

/// Gives the pair behind `master` a size. Programs cope with a wrong one.
pub(super) fn set_size(master: BorrowedFd<'_>, size: Size) {
    let size = Winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let _ = tcsetwinsize(master, size);
}
