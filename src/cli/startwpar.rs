//! `startwpar`: starts a defined WPAR.

use super::context::{Context, parse_name};
use super::error::CliResult;
use super::exit::Exit;
use super::lifecycle;
use super::verbs::{Arguments, Verb, Words};
use crate::launch::Payload;

pub(super) const VERB: Verb = Verb::aix::<StartArguments>(Words {
    name: "startwpar",
    about: "Start a workload partition",
    description: "Mounts the WPAR's file system at its base directory and starts its init in \
        namespaces of its own: systemd, System V init, OpenRC or busybox, or a built-in one if \
        the system has none. The command returns when the system says that it is up, or has \
        begun to run if it does not say so.",
    examples: &[
        ("Start a WPAR", "startwpar wpar1"),
        ("Watch what its init says", "startwpar -v wpar1"),
    ],
    compatibility: "-a, -m, -1, -2, -e, -I and -R do not exist yet. A WPAR in state B must be \
        cleaned up with 'stopwpar -F' first.",
});

/// Arguments of `startwpar`.
#[derive(Debug, clap::Args)]
pub(super) struct StartArguments {
    /// Name of the WPAR
    #[arg(value_name = "NAME")]
    name: String,

    /// Say what happens
    #[arg(short = 'v', long = "verbose")]
    verbose: bool,
}

impl Arguments for StartArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        let name = parse_name(&self.name)?;
        let registry = context.registry()?;
        let record = lifecycle::record(&registry, &name)?;
        let _lock = context.lock(&registry, &name)?;
        start(context, &registry, &record, self.verbose)?;
        Ok(Exit::Success)
    }
}

/// Starts the WPAR and says so; an interrupted start is undone.
pub(super) fn start(
    context: &Context,
    registry: &crate::registry::Registry,
    record: &crate::model::WparRecord,
    verbose: bool,
) -> CliResult<()> {
    let started = lifecycle::start(context, registry, record, Payload::Init, verbose);
    if started.is_ok() {
        if let Err(interrupt) = context.interrupts.check() {
            lifecycle::end(registry, record)?;
            return Err(interrupt);
        }
        lifecycle::say_active(&record.name);
    }
    started.map(|_started| ())
}
