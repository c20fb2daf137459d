//! Asking the rules of a system copy, with what the host says to them: for commands that make a copy
//! or explain one.

use std::io;

use wpar_mountd::error::FsError;

use super::error::{CliError, CliResult};
use crate::model::{CopyControls, Hostname};
use crate::policy::system_copy::{self, Decisions, Situation};
use crate::registry::Layout;
use crate::source::files::Files;
use crate::source::{private_lists, resolver};

/// A system that is copied, and how.
pub(super) struct Copied<'a> {
    /// Its files.
    pub(super) files: &'a dyn Files,
    /// Whether it is the running system rather than a backup.
    pub(super) is_running: bool,
    /// What is to be kept.
    pub(super) controls: CopyControls,
    /// Host name of the copy.
    pub(super) hostname: &'a Hostname,
}

/// What the rules say about it.
pub(super) fn decide(layout: &Layout, copied: &Copied<'_>) -> CliResult<Decisions> {
    with(layout, copied, system_copy::decide)
}

/// What `ask` says about it.
pub(super) fn with<T>(
    layout: &Layout,
    copied: &Copied<'_>,
    ask: impl FnOnce(&Situation<'_>) -> Result<T, FsError>,
) -> CliResult<T> {
    let private_lists = private_lists::read(layout)
        .map_err(|(path, error)| CliError::io(format!("cannot read {}", path.display()), &error))?;
    let resolver = resolver::upstream();
    ask(&Situation {
        files: copied.files,
        of_running_system: copied.is_running,
        controls: copied.controls,
        hostname: copied.hostname,
        private_lists: &private_lists,
        resolver: resolver.as_deref(),
    })
    .map_err(unreadable)
}

/// The system cannot be read.
pub(super) fn unreadable(error: FsError) -> CliError {
    let error = io::Error::from(error.errno());
    CliError::io("cannot look at the system that is copied", &error)
}
