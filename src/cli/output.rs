//! Writing to the user.

use std::io::{self, Write};
use std::time::Duration;

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

/// A time for people: in milliseconds below ten seconds, in seconds from there on.
pub(super) fn duration(time: Duration) -> String {
    if time < Duration::from_secs(10) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{} s", time.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short_words() {
        for (milliseconds, text) in [
            (0, "0 ms"),
            (38, "38 ms"),
            (9_999, "9999 ms"),
            (10_000, "10 s"),
            (75_900, "75 s"),
        ] {
            assert_eq!(duration(Duration::from_millis(milliseconds)), text);
        }
    }
}
