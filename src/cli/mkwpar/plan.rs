//! The plan for a WPAR with a new store.

use crate::cli::context::Context;
use crate::cli::create::{self, Plan};
use crate::cli::error::{CliError, CliResult};
use crate::cli::prepared::Prepared;
use crate::cli::{controls, lender, shared_copy};
use crate::model::copy_controls::Selection;
use crate::model::{
    Base, CopyControls, Network, Privileges, Resources, SpaceLimits, SpecFile, WparKind, WparName,
};
use crate::registry::Registry;

/// Only what has the `/usr` of another system can say of which.
pub(super) fn require_lender(settings: &SpecFile, is_copy: bool) -> CliResult<()> {
    let shared = settings.private_usr == Some(false) || settings.usr_from.is_some();
    if settings.usr_from.is_some() && is_copy && settings.private_usr == Some(true) {
        return Err(
            CliError::usage("a system copy with -l has /usr and /opt of its own")
                .hint("leave -l out to have those of another system, or --usr-from"),
        );
    }
    if shared && is_copy && settings.backup.is_none() {
        return Err(
            CliError::usage("a copy of the running system has all of it")
                .hint("leave -t out for a standard workload partition, which shares /usr"),
        );
    }
    Ok(())
}

/// What is said of the network, over what is so before.
pub(super) fn said_network(settings: &SpecFile, before: Network) -> CliResult<Network> {
    let is_routed = settings.routing == Some(true);
    controls::network(before, &settings.network, is_routed, &settings.routes)
}

/// A plan for a new WPAR. A name that is taken is found before a long index is made, not after.
pub(super) fn plan(
    context: &Context,
    registry: &Registry,
    name: WparName,
    copy_controls: CopyControls,
    is_copy: bool,
    settings: &SpecFile,
) -> CliResult<(Plan, Prepared)> {
    create::require_free(registry, &name, false)?;
    create::require_unique(registry, settings.uuid.as_deref())?;
    let hostname = create::hostname(settings.hostname.as_deref(), &name)?;
    let prepared = match is_copy {
        true => Prepared::new(context, settings.backup.as_deref())?,
        false => Prepared::fresh(),
    };
    let system = lender::system(settings.usr_from.as_deref())?;
    let base = match is_copy {
        true => shared_copy::base(context, &prepared.source, copy_controls, settings, system)?,
        false => Some(Base {
            system,
            private: settings.private_usr == Some(true),
            points: Vec::new(),
            packages: None,
        }),
    };
    let plan = Plan {
        name,
        hostname,
        kind: WparKind::System,
        directory: settings.directory.clone(),
        source: prepared.source.clone(),
        base,
        copy_controls,
        selection: Selection::default(),
        limits: SpaceLimits::default(),
        devices: Vec::new(),
        network: Network::default(),
        leave_clashes_out: false,
        copy_resolver: false,
        resources: Resources::default(),
        privileges: Privileges::default(),
        uuid: settings.uuid.clone(),
        versioned: settings.versioned == Some(true),
        auto: settings.auto == Some(true),
        script: settings.script.clone(),
        owner: None,
        kept: None,
    };
    Ok((plan, prepared))
}
