//! Writing to the user.

use std::io::{self, Write};

use super::error::{CliError, CliResult};

/// Writes `text` to standard output. That nobody reads on (`lswpar | head -1`) is no error.
pub(super) fn print(text: &str) -> CliResult<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::io("cannot write to standard output", &error))
        }
        _ => Ok(()),
    }
}

/// One line about something that was done. That it cannot be written undoes nothing.
pub(super) fn say(text: impl std::fmt::Display) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// One line on standard error, which begins with the verb.
pub(super) fn complain(verb: &str, text: impl std::fmt::Display) {
    // One write, so that lines of commands that run at once are not mixed.
    let line = format!("{verb}: {text}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}
