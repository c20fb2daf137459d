//! What follows when a WPAR is made: its start, or how to start it.

use std::time::Instant;

use crate::cli::context::Context;
use crate::cli::error::{CliError, CliResult};
use crate::cli::levels::{self, Insist};
use crate::cli::remove::{self, StoreFate};
use crate::cli::{lifecycle, output};
use crate::launch::Payload;
use crate::model::WparRecord;
use crate::registry::{Lock, Registry};

/// Says that a WPAR was made, and what to do next.
pub(in crate::cli) fn say_made(context: &Context, record: &WparRecord) {
    output::say(format_args!("{} was made", record.name));
    match levels::note(record) {
        Some(why) => context.note(why),
        None => context.note(format_args!(
            "0960-390 start it with 'startwpar {}'",
            record.name
        )),
    }
}

/// Starts what was made. A start that fails leaves a defined WPAR; one that is interrupted leaves
/// none, and of its store what `fate` says.
pub(in crate::cli) fn start_new(
    context: &Context,
    registry: &Registry,
    record: &WparRecord,
    lock: Lock,
    fate: StoreFate,
    (begun, verbose): (Instant, bool),
) -> CliResult<()> {
    let name = &record.name;
    let started = levels::require(context, registry, record, Insist::No)
        .and_then(|()| lifecycle::start(context, registry, record, Payload::Init, verbose));
    if let Err(interrupt) = context.interrupts.check() {
        lifecycle::end(registry, record)?;
        remove::remove(context, registry, record, fate, lock)?;
        return Err(interrupt);
    }
    let started =
        started.and_then(|started| lifecycle::announce(context, registry, record, started));
    started.map_err(|error| CliError {
        message: format!("{name} was made but did not start: {}", error.message),
        ..error
    })?;
    lifecycle::say_active_since(name, begun, verbose);
    Ok(())
}
