//! `stopwpar`: stops an active WPAR.

use std::time::Duration;

use super::context::Context;
use super::error::CliResult;
use super::exit::Exit;
use super::levels::Insist;
use super::lifecycle::Ending;
use super::startwpar::{self, How};
use super::verbs::{Arguments, Verb, Words};
use super::{lifecycle, output, several};
use crate::launch::StopMode;
use crate::model::WparName;
use crate::registry::Registry;

pub(super) const VERB: Verb = Verb::aix::<StopArguments>(Words {
    name: "stopwpar",
    about: "Stop a workload partition",
    description: "Shuts a WPAR down by its own init (soft), or ends its processes (-h hard, -F \
        by force), and unmounts its file system. What was changed in it stays in its store. A \
        stop that does not finish in time fails and leaves the WPAR in state T, still stopping.\n\n\
        -F also cleans up a WPAR in state B, whose processes or mounts were left when something \
        died.",
    examples: &[
        ("Shut a WPAR down", "stopwpar wpar1"),
        ("Give it half a minute", "stopwpar -t 30 wpar1"),
        ("End its processes", "stopwpar -h wpar1"),
        (
            "Clean up a broken one, keeping its files",
            "stopwpar -F wpar1",
        ),
    ],
    compatibility: "Several names are an addition. The times are AIX's: 600 s for a soft stop, 60 s for a hard one.",
});

/// How to stop: shared by `stopwpar` and `rebootwpar`.
#[derive(Debug, clap::Args)]
pub(super) struct HowArguments {
    /// By force: kill all its processes at once; clean up a broken one
    #[arg(short = 'F', long = "force", conflicts_with = "hard")]
    force: bool,

    /// Hard: tell its processes to end, and kill those that do not
    #[arg(short = 'h', long = "hard")]
    hard: bool,

    /// Fail if it takes longer than this [default: 600, with -h or -F 60]
    #[arg(short = 't', long = "timeout", value_name = "SECONDS")]
    timeout: Option<u32>,

    /// Wait as long as it takes
    #[arg(short = 'N', long = "no-timeout", conflicts_with = "timeout")]
    no_timeout: bool,
}

impl HowArguments {
    fn mode(&self) -> StopMode {
        match (self.force, self.hard) {
            (true, _) => StopMode::Force,
            (false, true) => StopMode::Hard,
            (false, false) => StopMode::Soft,
        }
    }

    /// What is asked for.
    pub(super) fn ending(&self, restart: bool) -> Ending {
        Ending {
            mode: self.mode(),
            timeout: self.timeout(),
            restart,
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let usual = match self.mode() {
            StopMode::Soft => lifecycle::SOFT_TIMEOUT,
            StopMode::Hard | StopMode::Force => lifecycle::HARD_TIMEOUT,
        };
        let asked = self
            .timeout
            .map(|seconds| Duration::from_secs(seconds.into()));
        (!self.no_timeout).then(|| asked.unwrap_or(usual))
    }
}

/// Arguments of `stopwpar`.
#[derive(Debug, clap::Args)]
pub(super) struct StopArguments {
    /// Name of the WPAR; several are stopped one after the other
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,

    #[command(flatten)]
    how: HowArguments,

    /// Start it again afterwards
    #[arg(short = 'r', long = "restart")]
    restart: bool,

    /// Say what happens
    #[arg(short = 'v', long = "verbose")]
    verbose: bool,
}

impl Arguments for StopArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        let registry = context.registry()?;
        several::each(context, &self.names, |name| {
            self.stop(context, &registry, name)
        })
    }
}

impl StopArguments {
    fn stop(&self, context: &Context, registry: &Registry, name: &WparName) -> CliResult<()> {
        let record = lifecycle::record(registry, name)?;
        let _lock = context.lock(registry, name)?;
        lifecycle::stop(context, registry, &record, self.how.ending(false))?;
        context.interrupts.check()?;
        if self.restart {
            startwpar::start(
                context,
                registry,
                &record,
                How {
                    wait: false,
                    insist: Insist::No,
                    maintenance: false,
                },
                self.verbose,
            )?;
        } else {
            output::say(format_args!("{name} is stopped"));
        }
        Ok(())
    }
}
