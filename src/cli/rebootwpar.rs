//! `rebootwpar`: stops an active WPAR and starts it again.

use super::context::{Context, parse_name};
use super::error::CliResult;
use super::exit::Exit;
use super::lifecycle;
use super::stopwpar::HowArguments;
use super::verbs::{Arguments, Verb, Words};

pub(super) const VERB: Verb = Verb::aix::<RebootArguments>(Words {
    name: "rebootwpar",
    about: "Restart a workload partition",
    description: "Stops an active WPAR as stopwpar does, and starts it again. What was changed \
        in it stays.",
    examples: &[
        ("Restart a WPAR", "rebootwpar wpar1"),
        ("Restart one that hangs", "rebootwpar -F wpar1"),
    ],
    compatibility: "As in AIX.",
});

/// Arguments of `rebootwpar`.
#[derive(Debug, clap::Args)]
pub(super) struct RebootArguments {
    /// Name of the WPAR
    #[arg(value_name = "NAME")]
    name: String,

    #[command(flatten)]
    how: HowArguments,

    /// Say what happens
    #[arg(short = 'v', long = "verbose")]
    verbose: bool,
}

impl Arguments for RebootArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        let name = parse_name(&self.name)?;
        let registry = context.registry()?;
        let record = lifecycle::record(&registry, &name)?;
        let _lock = context.lock(&registry, &name)?;
        if self.verbose {
            context.note(format_args!("stopping {name}, then starting it again"));
        }
        lifecycle::stop(context, &registry, &record, self.how.ending(true))?;
        lifecycle::say_active(&name);
        Ok(Exit::Success)
    }
}
