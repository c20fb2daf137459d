//! Errors as the user sees them: one line that says what failed, on which object, why, and what
//! to do next.

use std::fmt;
use std::io;

use super::exit::Exit;
use wpar_mountd::error::FsError;
use wpar_mountd::source::OpenError;

use crate::diff::DiffError;
use crate::launch::LaunchError;
use crate::model::{WparName, WparState};
use crate::policy::PolicyError;
use crate::registry::RegistryError;
use crate::source::image::ImageProblem;

/// Result of a verb.
pub(super) type CliResult<T> = Result<T, CliError>;

/// An error, ready to be shown.
#[derive(Debug)]
pub(super) struct CliError {
    /// AIX's number of the message, where one is known.
    pub(super) number: Option<&'static str>,
    /// What failed, on what, and why.
    pub(super) message: String,
    /// What to do next.
    pub(super) hint: Option<String>,
    /// The status that the command ends with.
    pub(super) exit: Exit,
}

impl CliError {
    /// A failure.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            number: None,
            message: message.into(),
            hint: None,
            exit: Exit::Failure,
        }
    }

    /// Arguments that make no sense.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            ..Self::new(message)
        }
    }

    /// Adds what to do next.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With this status instead.
    pub(super) fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// There is no WPAR of that name.
    pub(super) fn no_such_wpar(name: &WparName) -> Self {
        Self {
            number: Some("0960-419"),
            ..Self::new(format!("there is no workload partition called {name}"))
        }
        .hint("'lswpar' lists them")
    }

    /// The WPAR is in the wrong state for this.
    pub(super) fn wrong_state(name: &WparName, state: WparState, hint: impl Into<String>) -> Self {
        Self::new(format!("{name} is {}", state.word().to_lowercase())).hint(hint)
    }

    /// A file operation failed.
    pub(super) fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        let this = Self::new(format!("{what}: {}", reason(error)));
        match hint_for(error) {
            Some(hint) => this.hint(hint),
            None => this,
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(number) = self.number {
            write!(f, "{number} ")?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// The words of a system error, in the style of the other messages.
fn reason(error: &io::Error) -> String {
    lower_first(&without_number(&error.to_string()))
}

/// Without the number that the standard library puts behind the words.
fn without_number(text: &str) -> String {
    match text.split_once(" (os error ") {
        Some((before, after)) => {
            let after = after.split_once(')').map_or("", |(_number, after)| after);
            format!("{before}{after}")
        }
        None => text.to_owned(),
    }
}

/// The C library begins its words with a capital letter.
fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_lowercase().chain(letters).collect())
        .unwrap_or_default()
}

/// What helps against a system error, where that is known.
fn hint_for(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("nothing was kept; free some space there, or use --root with another disk")
        }
        io::ErrorKind::PermissionDenied => Some("needs root: run it with sudo"),
        io::ErrorKind::ReadOnlyFilesystem => {
            Some("use --root with a directory that can be written")
        }
        _ => None,
    }
}

impl From<RegistryError> for CliError {
    fn from(error: RegistryError) -> Self {
        match &error {
            RegistryError::Damaged { .. } => Self::new(error.to_string())
                .hint("restore the file, or drop the WPAR with 'rmwpar -F NAME'"),
            RegistryError::TooNew { .. } => Self::new(error.to_string())
                .hint("use the version of wpar that made it, or a later one"),
            RegistryError::Snapshot(error) => Self::new(error.to_string()),
            RegistryError::NoIds => {
                Self::new(error.to_string()).hint("remove a WPAR that is no longer needed")
            }
            RegistryError::Io { .. } | RegistryError::Lock(_) => match error.io() {
                Some(io) => Self::io(&error, io),
                None => Self::new(error.to_string()).hint("try again when it has finished"),
            },
        }
    }
}

impl From<ImageProblem> for CliError {
    fn from(problem: ImageProblem) -> Self {
        match problem {
            ImageProblem::Open { ref source, .. } => {
                Self::io(&problem, source).hint("check its path and its permissions")
            }
            // These say themselves what to do.
            ImageProblem::Archive(_)
            | ImageProblem::Aix(_)
            | ImageProblem::FileSystem(_)
            | ImageProblem::NotUsable { .. } => Self::new(problem.to_string()),
            ImageProblem::Changed { .. } => Self::new(problem.to_string())
                .hint("put the old image back, with its time of modification, or remove the WPAR"),
        }
    }
}

impl From<OpenError> for CliError {
    fn from(error: OpenError) -> Self {
        let this = Self::new(lower_first(&without_number(&error.to_string())));
        match io_error(&error).and_then(|io| hint_for(&io)) {
            Some(hint) => this.hint(hint),
            None => this,
        }
    }
}

/// The system's error among the causes of `error`.
fn io_error(error: &(dyn std::error::Error + 'static)) -> Option<io::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(number) = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error)
        {
            return Some(io::Error::from_raw_os_error(number));
        }
        if let Some(error) = error.downcast_ref::<FsError>() {
            return Some(error.errno().into());
        }
        cause = error.source();
    }
    None
}

impl From<DiffError> for CliError {
    fn from(error: DiffError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<PolicyError> for CliError {
    fn from(error: PolicyError) -> Self {
        let text = error.to_string();
        match error {
            PolicyError::SystemElsewhere { .. } => Self::new(text)
                .hint("or make a backup that contains it and use 'mkwpar -t -B IMAGE'"),
            PolicyError::SnapshotMissing { .. } => Self::new(text)
                .hint("mount it again, or remove the WPAR: without it nothing can be shown"),
            PolicyError::PartMissing { point, .. } => {
                Self::new(text).hint(format!("'findmnt --fstab {}' says how", point.display()))
            }
            PolicyError::NoMount { .. } | PolicyError::CannotInclude { .. } => {
                Self::usage(text).hint("look at include=, or leave it away")
            }
            PolicyError::PartChanged { .. } | PolicyError::BaseChanged { .. } => Self::new(text),
        }
    }
}

impl From<LaunchError> for CliError {
    fn from(error: LaunchError) -> Self {
        Self::new(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_are_shown_in_plain_words() {
        let full = io::Error::from_raw_os_error(libc::ENOSPC);
        let shown = CliError::io("cannot write /x", &full).to_string();
        assert!(
            shown.starts_with("cannot write /x: no space left on device; nothing was kept"),
            "{shown}"
        );
    }

    #[test]
    fn a_known_message_has_its_number() {
        let name = WparName::new("w1").unwrap();
        let shown = CliError::no_such_wpar(&name).to_string();
        assert!(
            shown.starts_with("0960-419 there is no workload partition called w1"),
            "{shown}"
        );
    }
}
