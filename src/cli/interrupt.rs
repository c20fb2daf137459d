//! Ctrl-C and its relatives: noted, and looked at between steps, so that what was begun can be
//! undone.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::error::{CliError, CliResult};
use super::exit::Exit;

/// The signals that asked this command to end.
#[derive(Clone, Debug)]
pub(super) struct Interrupts {
    last: Arc<AtomicUsize>,
}

impl Interrupts {
    /// Takes the signals over for the rest of the process' life.
    pub(super) fn install() -> io::Result<Self> {
        let last = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let number = signal.unsigned_abs() as usize;
            signal_hook::flag::register_usize(signal, Arc::clone(&last), number)?;
        }
        Ok(Self { last })
    }

    /// Whether the command was asked to end.
    pub(super) fn pending(&self) -> bool {
        self.last.load(Ordering::Relaxed) != 0
    }

    /// An error if the command was asked to end.
    pub(super) fn check(&self) -> CliResult<()> {
        match u8::try_from(self.last.load(Ordering::Relaxed)) {
            Ok(0) => Ok(()),
            Ok(signal) => {
                Err(CliError::new("interrupted; what was begun is undone")
                    .exit(Exit::Signal(signal)))
            }
            Err(_) => Ok(()),
        }
    }
}
