//! `wpar pause` and `wpar resume`: all processes of a WPAR stand still, and go on.

use super::context::{Context, parse_name};
use super::error::CliResult;
use super::exit::Exit;
use super::verbs::{Arguments, Verb, Words};
use super::{lifecycle, output};
use crate::launch;
use crate::model::WparState;

pub(super) const PAUSE: Verb = Verb::own::<PauseArguments>(Words {
    name: "pause",
    about: "Halt all processes of a workload partition",
    description: "Halts every process of an active WPAR, by the freezer of control groups: it uses \
        no processor time and does not change any more, and goes on where it stood with 'wpar \
        resume'. It is in state F then. Its files stay mounted and can be read; nobody can log \
        in. Stopping it lets it go on first.",
    examples: &[(
        "Halt a WPAR, and let it go on",
        "wpar pause wpar1; wpar resume wpar1",
    )],
    compatibility: "AIX freezes a WPAR only as a part of a checkpoint.",
});

pub(super) const RESUME: Verb = Verb::own::<ResumeArguments>(Words {
    name: "resume",
    about: "Let a workload partition go on that was paused",
    description: "Lets the processes of a WPAR in state F go on where 'wpar pause' halted them.",
    examples: &[("Let a WPAR go on", "wpar resume wpar1")],
    compatibility: "AIX freezes a WPAR only as a part of a checkpoint.",
});

/// Arguments of `wpar pause`.
#[derive(Debug, clap::Args)]
pub(super) struct PauseArguments {
    /// Name of the WPAR
    #[arg(value_name = "NAME")]
    name: String,
}

/// Arguments of `wpar resume`.
#[derive(Debug, clap::Args)]
pub(super) struct ResumeArguments {
    /// Name of the WPAR
    #[arg(value_name = "NAME")]
    name: String,
}

impl Arguments for PauseArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        let wanted = |name: &str| format!("only an active one can be paused; see 'lswpar {name}'");
        change(
            context,
            &self.name,
            WparState::Active,
            wanted,
            launch::pause,
        )?;
        output::say(format_args!("{} is paused", self.name));
        Ok(Exit::Success)
    }
}

impl Arguments for ResumeArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        let wanted = |name: &str| format!("only one that 'wpar pause {name}' halted can go on");
        change(
            context,
            &self.name,
            WparState::Frozen,
            wanted,
            launch::resume,
        )?;
        output::say(format_args!("{} goes on", self.name));
        Ok(Exit::Success)
    }
}

/// Does `what` to the WPAR if it is in state `from`.
fn change(
    context: &Context,
    name: &str,
    from: WparState,
    otherwise: impl Fn(&str) -> String,
    what: fn(&std::path::Path) -> Result<(), launch::LaunchError>,
) -> CliResult<()> {
    let name = parse_name(name)?;
    let registry = context.registry()?;
    let record = lifecycle::record(&registry, &name)?;
    let _lock = context.lock(&registry, &name)?;
    let state = lifecycle::look(&registry, &record, true).state;
    if state != from {
        let hint = otherwise(name.as_str());
        return Err(super::error::CliError::wrong_state(&name, state, hint));
    }
    what(&registry.layout().run_dir(&name)).map_err(|error| lifecycle::named(&name, error))
}
