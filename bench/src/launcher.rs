//! The one place that knows the launcher's interface.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::Fallible;

const MISSING: &str = "this tree has no launcher yet";

/// The launcher runs this very program again for its own processes: does what it was called for.
pub(crate) fn role() -> Option<ExitCode> {
    None
}

/// Starts the system in `root`, with its running state in `dir`; returns when its init has been
/// executed.
pub(crate) fn start(_root: &Path, _dir: &Path) -> Fallible<()> {
    Err(MISSING.into())
}

/// Runs `/bin/true` inside.
pub(crate) fn first_command(_run_dir: &Path) -> Fallible<()> {
    Err(MISSING.into())
}

/// Ends what [`start`] began; nothing happens if nothing runs.
pub(crate) fn stop(_run_dir: &Path) -> Fallible<()> {
    Ok(())
}

/// Waits until the init of the system with this run directory says READY=1; how long after
/// `begin` that was.
pub(crate) fn ready(_run_dir: &Path, _begin: Instant) -> Fallible<Duration> {
    Err(MISSING.into())
}

/// Process of the file system daemon, as a name below `/proc`.
pub(crate) fn daemon(_run_dir: &Path) -> Option<String> {
    None
}
