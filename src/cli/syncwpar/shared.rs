//! WPARs whose `/usr` is the host's: there are none yet.

use super::{CliError, CliResult, SyncArguments, lifecycle};
use crate::cli::context::Context;
use crate::model::{WparName, WparRecord};
use crate::registry::Registry;

/// Whether this can be asked of the WPAR.
pub(super) fn is_one(_record: &WparRecord) -> bool {
    false
}

/// Brings one to the level of the host.
pub(super) fn run(
    _context: &Context,
    registry: &Registry,
    name: &WparName,
    _arguments: &SyncArguments,
) -> CliResult<()> {
    lifecycle::record(registry, name)?;
    Err(
        CliError::new(format!("{name} has a /usr of its own")).hint(format!(
            "bring such a copy to the level of the host with 'syncwpar -D {name}'"
        )),
    )
}
