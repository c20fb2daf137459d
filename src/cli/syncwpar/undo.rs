//! Going back to what a WPAR was before the last synchronization.
//!
//! One step decides: the view of before is written. Then what came since is removed; a command that dies
//! in between leaves that to the next one.

use super::{CliError, CliResult};
use crate::cli::context::Context;
use crate::cli::{chwpar, output};
use crate::model::WparRecord;
use crate::registry::Registry;

/// Goes back.
pub(super) fn undo(context: &Context, registry: &Registry, record: &WparRecord) -> CliResult<()> {
    let name = &record.name;
    let view = registry.view(name)?;
    let Some(last) = view.generations.last() else {
        registry.drop_generations(name, &view)?;
        return Err(
            CliError::new(format!("{name} was never brought to the level of the host"))
                .hint("there is nothing to go back to"),
        );
    };
    let notes = registry
        .generation_notes(name, last.number)?
        .ok_or_else(|| {
            CliError::new(format!(
                "what {name} was before is not known: {} is gone",
                registry
                    .layout()
                    .generation_notes(name, last.number)
                    .display()
            ))
        })?;
    context.interrupts.check()?;
    registry.store_view(name, &notes.before)?;
    let mut record = record.clone();
    record.level.clone_from(&last.from);
    record.version = record.needed_version();
    registry.store(&record)?;
    registry.drop_generations(name, &notes.before)?;
    if record.hostname.as_str() != notes.hostname {
        chwpar::identify(context, registry, &record)?;
    }
    let level = record.level.as_ref().map(|level| level.service_pack());
    output::say(format_args!(
        "{name} is again as it was before ({})",
        level.unwrap_or_default()
    ));
    Ok(())
}
