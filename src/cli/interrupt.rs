//! Ctrl-C and its relatives: noted, and looked at between steps, so that what was begun can be
//! undone.
//!
//! A command that changes nothing by itself (`clogin`) leaves the signals alone: it just ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::error::{CliError, CliResult};
use super::exit::Exit;

/// The signals that ask a command to end.
pub(super) const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// The signal that asked this command to end.
#[derive(Clone, Debug, Default)]
pub(super) struct Interrupts {
    last: Arc<AtomicUsize>,
}

impl Interrupts {
    /// Takes the signals over for the rest of the process' life.
    pub(super) fn install(&self) -> io::Result<()> {
        for signal in SIGNALS {
            let number = signal.unsigned_abs() as usize;
            signal_hook::flag::register_usize(signal, Arc::clone(&self.last), number)?;
        }
        Ok(())
    }

    /// Whether the command was asked to end.
    pub(super) fn pending(&self) -> bool {
        self.last.load(Ordering::Relaxed) != 0
    }

    /// An error if the command was asked to end.
    pub(super) fn check(&self) -> CliResult<()> {
        self.check_saying("interrupted; what was begun is undone")
    }

    /// As [`Self::check`], where something else than an undoing follows.
    pub(super) fn check_saying(&self, what: &str) -> CliResult<()> {
        match u8::try_from(self.last.load(Ordering::Relaxed)) {
            Ok(0) | Err(_) => Ok(()),
            Ok(signal) => Err(CliError::new(what).exit(Exit::Signal(signal))),
        }
    }
}
