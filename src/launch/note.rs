//! What a process of the launcher has to say on standard error, which is a log file or the starter's.

use std::fmt::Display;
use std::io::Write;

/// Writes one line. That it cannot be written is nobody's business: a full disk must not end a
/// system that runs. (`eprintln!` would panic.)
pub(crate) fn note(what: impl Display) {
    let line = format!("{what}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}
