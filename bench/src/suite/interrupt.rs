//! Ctrl-C: the turn that runs comes to its end, all is taken down, and then the benchmark ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Fallible;

/// What interrupts a benchmark.
const SIGNALS: [i32; 3] = [
    signal_hook::consts::SIGINT,
    signal_hook::consts::SIGTERM,
    signal_hook::consts::SIGHUP,
];

/// Whether somebody asked for the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Takes the signals over.
    ///
    /// # Errors
    /// Those of sigaction(2).
    pub(crate) fn install() -> Fallible<Self> {
        let interrupt = Self::default();
        for signal in SIGNALS {
            signal_hook::flag::register(signal, Arc::clone(&interrupt.0))?;
        }
        Ok(interrupt)
    }

    /// Whether somebody did.
    pub(crate) fn pending(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// That nobody did.
    ///
    /// # Errors
    /// Somebody did.
    pub(crate) fn check(&self) -> Fallible<()> {
        match self.pending() {
            false => Ok(()),
            true => Err("interrupted".into()),
        }
    }
}
