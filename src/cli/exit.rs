//! The one list of exit statuses.
//!
//! | status | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | failed; one line on standard error says what and what to do |
//! | 2 | the arguments make no sense; nothing was done |
//! | 0, 1, 2 | `diff`, as of diff(1): the two are the same, are different, cannot be compared |
//! | 125 | `clogin`, `wparexec`: failed before the command could run |
//! | 126, 127 | `clogin`, `wparexec`: the command cannot be run, does not exist |
//! | 128 + N | ended by signal N (130: Ctrl-C); what was begun is undone |
//! | other | `clogin`, `wparexec`: the command's own status |

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

/// Exit status of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Success,
    /// Failed.
    Failure,
    /// Wrong arguments.
    Usage,
    /// `diff`: what was compared is different.
    Different,
    /// `diff`: it could not be compared, or not all of it.
    Trouble,
    /// A command inside could not be run for reasons of ours.
    NotRun,
    /// Ended by this signal.
    Signal(u8),
    /// Status of a command inside.
    Command(u8),
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure | Self::Different => 1,
            Self::Usage | Self::Trouble => 2,
            Self::NotRun => 125,
            Self::Signal(signal) => 128u8.saturating_add(signal),
            Self::Command(status) => status,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        let number = |value: i32| u8::try_from(value).unwrap_or(u8::MAX);
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Command(number(code)),
            (None, Some(signal)) => Self::Signal(number(signal)),
            (None, None) => Self::Failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_a_command_is_passed_on() {
        assert_eq!(Exit::from(ExitStatus::from_raw(3 << 8)).code(), 3);
        assert_eq!(Exit::from(ExitStatus::from_raw(0)).code(), 0);
        assert_eq!(Exit::from(ExitStatus::from_raw(libc::SIGTERM)).code(), 143);
    }
}
