//! What can go wrong between a WPAR's description and its first process, in words for the
//! administrator. Errors of the processes in between arrive here as text, with the exit status
//! that a command should end with.

use std::fmt;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a WPAR was not started, entered, stopped or cleaned up.
#[derive(Debug, Error)]
pub enum LaunchError {
    /// A step that this process took itself.
    #[error("cannot {doing}: {}", cause(.source))]
    Step {
        /// The step, as in "open /dev/fuse".
        doing: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// A step that the supervisor, the file system daemon or a process inside took.
    #[error("{0}")]
    Remote(Failure),
    /// There is a supervisor for this run directory already.
    #[error("already active: process {0} supervises it")]
    AlreadyActive(u32),
    /// Something is left of an earlier life whose supervisor is gone.
    #[error("left over from before: {0}; clean it up first")]
    LeftOver(String),
    /// There is no running init to talk to or to enter.
    #[error("not active")]
    NotActive,
    /// It did not end in time; it still tries to.
    #[error("it did not end within {} s and is still stopping", .0.as_secs())]
    Timeout(Duration),
    /// Processes survived even SIGKILL, or something cannot be removed.
    #[error("cannot be removed: {0}")]
    Stuck(String),
    /// The other end went away in the middle of a conversation.
    #[error("the {0} ended unexpectedly")]
    Lost(&'static str),
}

/// An error that came from another process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What failed and why.
    pub text: String,
    /// The exit status for it in the manner of shells: 127 no such command, 126 not executable,
    /// 125 anything else.
    pub code: u8,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl LaunchError {
    /// The exit status that a command which fails with this should end with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Remote(failure) => failure.code,
            _ => 125,
        }
    }

    /// A failure of this process in a form that can be sent.
    pub(crate) fn to_failure(&self) -> Failure {
        Failure {
            text: self.to_string(),
            code: self.exit_code(),
        }
    }

    /// The failure to start the program `name` inside.
    pub(crate) fn program(name: &str, error: &io::Error) -> Self {
        let code = if error.kind() == io::ErrorKind::NotFound {
            127
        } else {
            126
        };
        Self::Remote(Failure {
            text: format!("cannot run {name}: {}", cause(error)),
            code,
        })
    }

    /// A failure without a number of its own.
    pub(crate) fn other(text: impl Into<String>) -> Self {
        Self::Remote(Failure {
            text: text.into(),
            code: 125,
        })
    }
}

/// Names the step that failed.
pub(crate) trait Doing<T> {
    /// Turns the error into one that says what was being done.
    ///
    /// # Errors
    /// The error of `self`, with the step.
    fn doing(self, step: impl fmt::Display) -> Result<T, LaunchError>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, step: impl fmt::Display) -> Result<T, LaunchError> {
        self.map_err(|error| LaunchError::Step {
            doing: step.to_string(),
            source: error.into(),
        })
    }
}

/// The reason in the style of the other messages: no capital, no number.
pub(crate) fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    let text = match text.find(" (os error ") {
        Some(end) if error.raw_os_error().is_some() => &text[..end],
        _ => &text,
    };
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_neither_capital_nor_number() {
        let error = Err::<(), _>(rustix::io::Errno::NOENT)
            .doing("open /x")
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot open /x: no such file or directory"
        );
        let error = LaunchError::program("foo", &io::Error::from_raw_os_error(libc::EACCES));
        assert_eq!(error.to_string(), "cannot run foo: permission denied");
        assert_eq!(error.exit_code(), 126);
    }
}
