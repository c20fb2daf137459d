//! Making a WPAR: for `mkwpar`, `restwpar` and `wparexec`.
//!
//! Order: everything is checked and the source is made ready first (`checks`, `base_directory`); then
//! the name is reserved by a pending note (`creation`), the directories and the store are made
//! (`populate`), and the record is written last. Until then the `Creation` undoes everything when it
//! is dropped; if the process is killed, the next command does, by the note.

use super::connection;
use super::context::Context;
use super::error::{CliError, CliResult};
use crate::model::{Hostname, Source, WparName, WparRecord};
use crate::registry::Registry;
use crate::source::host::RunningHost;

mod base_directory;
mod checks;
mod creation;
mod plan;
mod populate;

pub(super) use base_directory::base_directory;
use checks::require_plain;
pub(super) use checks::{require_free, require_unique};
use creation::Creation;
pub(super) use plan::Plan;

/// The host name for a WPAR: as asked for, else its name.
pub(super) fn hostname(asked: Option<&str>, name: &WparName) -> CliResult<Hostname> {
    match asked {
        Some(text) => Hostname::new(text)
            .map_err(|error| CliError::usage(format!("'{}': {error}", text.escape_debug()))),
        None => Hostname::new(name.as_str()).map_err(|error| {
            CliError::usage(format!(
                "the name {name} cannot be a host name too: {error}"
            ))
            .hint("give one with -h HOST")
        }),
    }
}

/// The facts about the running system.
pub(super) fn running_host() -> CliResult<RunningHost> {
    RunningHost::read().map_err(|error| CliError::io("cannot read /proc/self/mountinfo", &error))
}

/// Makes the WPAR, whose name is free and whose lock is held, and returns its record.
pub(super) fn create(context: &Context, registry: &Registry, plan: Plan) -> CliResult<WparRecord> {
    let host = running_host()?;
    if plan.source != Source::Host {
        require_plain(&plan.selection)?;
    }
    let (directory, directory_exists) =
        base_directory(registry, &plan.name, plan.directory.as_deref())?;
    context.interrupts.check()?;
    let selection = plan.selection.clone();
    let mut creation = Creation::reserve(context, registry, plan, directory, directory_exists)?;
    let notes = creation.populate(context, &host, &selection)?;
    context.interrupts.check()?;
    let record = creation.finish()?;
    connection::report_resolver(context, &record.network);
    for note in notes {
        context.note(note);
    }
    Ok(record)
}
