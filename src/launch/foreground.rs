//! A command in the foreground of the administrator's terminal.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::{read, retry_on_intr, write};

use super::ExitStatus;
use super::channel::Channel;
use super::error::{Doing, LaunchError};
use super::message::{Order, Report};
use super::terminal::{RawMode, Size, set_size};
use super::watch::Watch;
use crate::sys::signals::SignalDescriptor;

/// Signals that are the command's, not this process's.
pub(super) const PASSED_ON: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// Waits for the command's end. If it has a terminal, `master` is that, and this process's
/// standard input and output are connected to it.
pub(super) fn attend(
    channel: &Channel<Order, Report>,
    master: Option<OwnedFd>,
) -> Result<ExitStatus, LaunchError> {
    let mut signals = vec![libc::SIGWINCH];
    signals.extend(PASSED_ON);
    let signals = SignalDescriptor::new(&signals).doing("take signals")?;
    let _raw = match &master {
        Some(master) => {
            rustix::io::ioctl_fionbio(master, true).doing("set up the terminal")?;
            RawMode::enter().doing("set up the terminal")?
        }
        None => None,
    };
    let mut foreground = Foreground {
        channel,
        master,
        signals,
        typing: true,
        passed: None,
    };
    let result = foreground.run();
    foreground.print_rest();
    result
}

struct Foreground<'a> {
    channel: &'a Channel<Order, Report>,
    master: Option<OwnedFd>,
    signals: SignalDescriptor,
    /// Whether there may be more input.
    typing: bool,
    /// The last signal that was passed on.
    passed: Option<i32>,
}

impl Foreground<'_> {
    fn run(&mut self) -> Result<ExitStatus, LaunchError> {
        let input = io::stdin();
        loop {
            let mut watch = Watch::default();
            let reports = watch.add(self.channel.as_fd());
            let signals = watch.add(self.signals.as_fd());
            let output = watch.add_optional(self.master.as_ref().map(AsFd::as_fd));
            let typed = self.master.is_some() && self.typing;
            let typed = watch.add_optional(typed.then(|| input.as_fd()));
            watch.wait(None).doing("wait for the command")?;
            let (reported, signalled) = (watch.happened(reports), watch.happened(signals));
            let (written, typed) = (watch.happened(output), watch.happened(typed));
            drop(watch);
            if written {
                self.print();
            }
            if typed {
                self.type_in();
            }
            if signalled {
                self.pass_signals();
            }
            if reported && let Some(status) = self.hear()? {
                return Ok(status);
            }
        }
    }

    fn hear(&self) -> Result<Option<ExitStatus>, LaunchError> {
        match self.channel.receive().doing("hear from the command")? {
            Some((Report::Ended(status), _)) => Ok(Some(status)),
            Some((Report::Failed(failure), _)) => Err(LaunchError::Remote(failure)),
            Some(_) => Ok(None),
            // Whoever asks for the end gets it, even if the answer is lost on the way.
            None => match self.passed {
                Some(signal) => Ok(Some(ExitStatus::Signaled(signal))),
                None => Err(LaunchError::Lost("command's supervisor")),
            },
        }
    }

    fn pass_signals(&mut self) {
        while let Some(signal) = self.signals.next() {
            if signal == libc::SIGWINCH {
                if let Some(master) = &self.master {
                    set_size(master.as_fd(), Size::of_standard_output());
                }
            } else {
                self.passed = Some(signal);
                let _ = self.channel.send(&Order::Signal(signal));
            }
        }
    }

    /// Moves what the command wrote to standard output; `false` if there was nothing.
    fn print(&mut self) -> bool {
        let Some(master) = &self.master else {
            return false;
        };
        let mut buffer = [0; 16 * 1024];
        match read(master, &mut buffer) {
            Ok(length) if length > 0 => {
                // Nobody reads any more: the command will notice by itself.
                let _ = write_all(io::stdout(), &buffer[..length]);
                true
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => false,
            // The last program has closed the terminal.
            _ => {
                self.master = None;
                false
            }
        }
    }

    fn print_rest(&mut self) {
        while self.print() {}
    }

    /// Moves what was typed to the command.
    fn type_in(&mut self) {
        let Some(master) = &self.master else { return };
        let mut buffer = [0; 4096];
        match read(io::stdin(), &mut buffer) {
            Ok(0) => {
                // The end of a file, not of a terminal: say so as a terminal would.
                self.typing = false;
                let _ = write_all(master, &[4]);
            }
            Ok(length) => {
                let _ = write_all(master, &buffer[..length]);
            }
            Err(_) => self.typing = false,
        }
    }
}

/// Writes everything, waiting where the other side is slow.
pub(super) fn write_all(to: impl AsFd, mut data: &[u8]) -> rustix::io::Result<()> {
    while !data.is_empty() {
        match retry_on_intr(|| write(&to, data)) {
            Ok(length) => data = &data[length..],
            Err(rustix::io::Errno::AGAIN) => {
                let mut descriptors = [rustix::event::PollFd::new(
                    &to,
                    rustix::event::PollFlags::OUT,
                )];
                retry_on_intr(|| rustix::event::poll(&mut descriptors, None))?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
