//! A look at the console of a running WPAR: the administrator's side.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, retry_on_intr, write};

use super::control::ask;
use super::error::{Doing, LaunchError};
use super::foreground::write_all;
use super::message::{Answer, Control};
use super::terminal::{RawMode, Size, set_size};
use super::watch::Watch;
use crate::sys::signals::SignalDescriptor;

/// The key that ends it, as with virsh and telnet: Ctrl-].
const LEAVE: u8 = 0x1d;

/// Signals that end it.
const ENDING: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// How long a console may take what was typed before it is thrown away: nobody reads inside.
const TYPING_PATIENCE: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// Why somebody does not look at a console any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsoleEnd {
    /// The key was pressed, or nobody reads what is shown.
    Left,
    /// There is nothing more to see: the WPAR ended, restarts, or its supervisor died.
    Closed,
    /// This signal came.
    Signal(i32),
}

/// Connects this process's standard input and output with the console of the WPAR of `run_dir`, what
/// was printed last before if `past`, until one of [`ConsoleEnd`].
///
/// # Errors
/// [`LaunchError::NotActive`], or that it has no console.
pub fn console(run_dir: &Path, past: bool) -> Result<ConsoleEnd, LaunchError> {
    let channel = ask(run_dir, &Control::Attach { past })?;
    let (console, stream) = match channel.receive().doing("hear from the supervisor")? {
        Some((Answer::Console, fds)) => {
            let mut fds = fds.into_iter();
            let both = fds.next().zip(fds.next());
            both.ok_or(LaunchError::Lost("supervisor"))?
        }
        Some((Answer::Failed(failure), _)) => return Err(LaunchError::Remote(failure)),
        _ => return Err(LaunchError::Lost("supervisor")),
    };
    drop(channel);
    let mut signals = vec![libc::SIGWINCH];
    signals.extend(ENDING);
    let look = Look {
        console,
        stream,
        signals: SignalDescriptor::new(&signals).doing("take signals")?,
    };
    look.take_size();
    let _raw = RawMode::enter().doing("set up the terminal")?;
    look.run()
}

struct Look {
    /// The master side of the console, to type and to size.
    console: OwnedFd,
    /// What is printed on it.
    stream: OwnedFd,
    signals: SignalDescriptor,
}

impl Look {
    fn run(&self) -> Result<ConsoleEnd, LaunchError> {
        let input = io::stdin();
        let mut typing = true;
        loop {
            let mut watch = Watch::default();
            let printed = watch.add(self.stream.as_fd());
            let signals = watch.add(self.signals.as_fd());
            let typed = watch.add_optional(typing.then(|| input.as_fd()));
            watch.wait(None).doing("wait for the console")?;
            if watch.happened(signals)
                && let Some(signal) = self.heed_signals()
            {
                return Ok(ConsoleEnd::Signal(signal));
            }
            if watch.happened(printed)
                && let Some(end) = self.print()
            {
                return Ok(end);
            }
            if watch.happened(typed) {
                match self.type_in() {
                    Typed::Some => {}
                    Typed::End => typing = false,
                    Typed::Leave => return Ok(ConsoleEnd::Left),
                }
            }
        }
    }

    fn heed_signals(&self) -> Option<i32> {
        while let Some(signal) = self.signals.next() {
            if signal != libc::SIGWINCH {
                return Some(signal);
            }
            self.take_size();
        }
        None
    }

    /// Gives the console the size of this terminal. Of several who look, the last one decides.
    fn take_size(&self) {
        let size = Size::of_standard_output();
        if size != Size::default() {
            set_size(self.console.as_fd(), size);
        }
    }

    /// Moves what was printed to standard output; why there is no more to do, if so.
    fn print(&self) -> Option<ConsoleEnd> {
        let mut buffer = [0; 16 * 1024];
        match retry_on_intr(|| read(&self.stream, &mut buffer)) {
            Ok(0) | Err(_) => Some(ConsoleEnd::Closed),
            Ok(length) => write_all(io::stdout(), buffer.get(..length).unwrap_or_default())
                .is_err()
                .then_some(ConsoleEnd::Left),
        }
    }

    fn type_in(&self) -> Typed {
        let input = io::stdin();
        let mut buffer = [0; 4096];
        let length = match retry_on_intr(|| read(&input, &mut buffer)) {
            Ok(0) | Err(_) => return Typed::End,
            Ok(length) => length,
        };
        let typed = buffer.get(..length).unwrap_or_default();
        // What comes through a pipe is data.
        let leave = typed.iter().position(|byte| *byte == LEAVE);
        match leave.filter(|_| rustix::termios::isatty(&input)) {
            Some(end) => {
                self.put(typed.get(..end).unwrap_or_default());
                Typed::Leave
            }
            None => {
                self.put(typed);
                Typed::Some
            }
        }
    }

    /// Types `text` into the console, as far as that takes it.
    fn put(&self, mut text: &[u8]) {
        while !text.is_empty() {
            match retry_on_intr(|| write(&self.console, text)) {
                Ok(length) => text = text.get(length..).unwrap_or_default(),
                Err(Errno::AGAIN) => {
                    let mut room = [PollFd::new(&self.console, PollFlags::OUT)];
                    if !matches!(poll(&mut room, Some(&TYPING_PATIENCE)), Ok(1..)) {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }
}

enum Typed {
    Some,
    /// No more will come.
    End,
    /// The key was pressed.
    Leave,
}
