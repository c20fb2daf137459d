//! Copies of a backup, with a `/usr` of their own.

use super::{CliError, CliResult, SyncArguments, lifecycle};
use crate::cli::context::Context;
use crate::model::{Source, WparName, WparRecord};
use crate::registry::Registry;

/// Whether this can be asked of the WPAR.
pub(super) fn is_one(_registry: &Registry, record: &WparRecord, _undo: bool) -> CliResult<bool> {
    Ok(record.source != Source::Host && !record.versioned)
}

/// Brings one to the level of the host, or back.
pub(super) fn run(
    _context: &Context,
    registry: &Registry,
    name: &WparName,
    _arguments: &SyncArguments,
) -> CliResult<()> {
    let record = lifecycle::record(registry, name)?;
    if record.source == Source::Host {
        return Err(
            CliError::new(format!("{name} is a copy of the running system"))
                .hint("it is at the level of the host, always"),
        );
    }
    Err(CliError::new("this is not there yet"))
}
