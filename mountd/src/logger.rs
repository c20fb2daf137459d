//! Where the daemon's words go: to standard error, which its starter has made a file.
//!
//! That file lies where space is dear, and what runs in a WPAR can cause some of the words. So
//! there is an end of them: after [`MOST`] lines the daemon is silent, and says so.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU32, Ordering};

use log::{LevelFilter, Log, Metadata, Record};

/// Lines that one daemon writes.
const MOST: u32 = 2000;

/// The crate that serves the device. What goes wrong there it also returns; what it says beyond
/// that are answers which the kernel no longer waits for.
const QUIET: &str = "fuser";

#[derive(Debug)]
struct Logger {
    lines: AtomicU32,
}

static LOGGER: Logger = Logger {
    lines: AtomicU32::new(0),
};

/// Sends all that is logged from now on, but for details, to standard error.
pub(crate) fn begin() {
    // There is one already only if this is no daemon of its own.
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        !metadata.target().starts_with(QUIET)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = match self.lines.fetch_add(1, Ordering::Relaxed) {
            ..MOST => format!("{}: {}\n", record.level(), record.args()),
            MOST => "there was too much to be said; the rest is silence\n".to_owned(),
            // Not to begin anew when the number runs over.
            _ => return self.lines.store(MOST + 1, Ordering::Relaxed),
        };
        // A full disk is no reason to fall over.
        let _ = io::stderr().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_crate_that_serves_the_device_are_left_out() {
        let enabled = |target| LOGGER.enabled(&Metadata::builder().target(target).build());
        assert!(!enabled("fuser::reply"));
        assert!(enabled("wpar_mountd::overlay::blocks"));
    }

    #[test]
    fn there_is_an_end() {
        let logger = Logger {
            lines: AtomicU32::new(MOST + 1),
        };
        let record = Record::builder().target("wpar_mountd").build();
        for _ in 0..3 {
            logger.log(&record);
            assert_eq!(logger.lines.load(Ordering::Relaxed), MOST + 1);
        }
    }
}
