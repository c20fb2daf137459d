//! `startwpar`: starts a defined WPAR.

use std::time::Instant;

use super::connection;
use super::context::Context;
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::lender;
use super::levels::{self, Insist};
use super::verbs::{Arguments, Verb, Words};
use super::{lifecycle, output, several};
use crate::launch::Payload;
use crate::model::{WparName, WparRecord, WparState};
use crate::registry::Registry;

pub(super) const VERB: Verb = Verb::aix::<StartArguments>(Words {
    name: "startwpar",
    about: "Start a workload partition",
    description: "Mounts the WPAR's file system at its base directory and starts its init in \
        namespaces of its own: systemd, System V init, OpenRC or busybox, or a built-in one if \
        the system has none. The command returns when the init runs; --wait waits until the \
        system says that it is up, if its init ever does (systemd). On a terminal, or with -v, it \
        says how long that took.\n\n\
        -m is for maintenance: the WPAR is mounted and set up as for a start, but nothing in it \
        runs, and it is in state L. clogin works; stopwpar ends it.\n\n\
        A copy of an image starts if it is at the level of the host (oslevel: the same \
        distribution, release and architecture), or if it is a versioned WPAR ('mkwpar -C', \
        'chwpar -C'). Either is refused if its programs cannot run on this host: they are for \
        another architecture, a newer kernel or a newer processor, or need what this kernel does \
        not have. What may work is refused too, unless -F is given.\n\n\
        A WPAR that shares /usr starts also if its root part is behind the host, whose packages have \
        changed; a note says so, and 'syncwpar' makes it good.",
    examples: &[
        ("Start a WPAR", "startwpar wpar1"),
        (
            "Start all that 'mkwpar -A' marked, in a unit of the host",
            "startwpar --auto",
        ),
        (
            "Repair one that does not boot, without starting it",
            "startwpar -m wpar1; clogin wpar1; stopwpar wpar1",
        ),
        (
            "Wait until it is up, and watch",
            "startwpar -v --wait wpar1",
        ),
    ],
    compatibility: "--wait, -F and --auto are additions; AIX has rc.wpars for the last, as 'wpar rc' is. -a resolves clashes of addresses alone. Several names are an addition. -1, -2, -e, -I \
        and -R are refused: they let a program take a start of AIX in two steps, and here a start is one \
        step, which is done or undone as a whole. A WPAR in state B must be \
        cleaned up with 'stopwpar -F' first.",
});

/// Arguments of `startwpar`.
#[derive(Debug, clap::Args)]
pub(super) struct StartArguments {
    /// Name of the WPAR; several are started one after the other
    #[arg(value_name = "NAME", required_unless_present = "auto")]
    names: Vec<String>,

    /// All that are marked to start with the host, for what the host starts
    #[arg(long = "auto", conflicts_with = "names")]
    auto: bool,

    /// Return only when the system in it says that it is up
    #[arg(long = "wait")]
    wait: bool,

    /// Start it although it is not known whether its programs run on this host
    #[arg(short = 'F', long = "force")]
    force: bool,

    /// Leave addresses out, for good, that this host or another WPAR has by now
    #[arg(short = 'a', long = "resolve")]
    resolve: bool,
    /// For maintenance: mounted and set up, with nothing running but what clogin starts
    #[arg(short = 'm', long = "maintenance", conflicts_with_all = ["auto", "wait"])]
    maintenance: bool,

    /// Say what happens
    #[arg(short = 'v', long = "verbose")]
    verbose: bool,
}

impl Arguments for StartArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        let registry = context.registry()?;
        if self.auto {
            return self.start_marked(context, &registry);
        }
        several::each(context, &self.names, |name| {
            self.start(context, &registry, name)
        })
    }
}

impl StartArguments {
    fn start(&self, context: &Context, registry: &Registry, name: &WparName) -> CliResult<()> {
        let record = lifecycle::record(registry, name)?;
        let _lock = context.lock(registry, name)?;
        let record = match self.resolve {
            true => connection::without_clashes(context, registry, record)?,
            false => record,
        };
        let insist = if self.force { Insist::Yes } else { Insist::No };
        start(
            context,
            registry,
            &record,
            How {
                wait: self.wait,
                insist,
                maintenance: self.maintenance,
            },
            self.verbose,
        )
    }

    /// Starts all that are marked and do not run. One that fails keeps no other from starting.
    fn start_marked(&self, context: &Context, registry: &Registry) -> CliResult<Exit> {
        let mut exit = Exit::Success;
        for name in registry.names()? {
            let record = match registry.load(&name) {
                Ok(record) => record,
                Err(error) => {
                    context.note(CliError::from(error));
                    exit = Exit::Failure;
                    continue;
                }
            };
            let Some(record) = record.filter(|record| record.auto) else {
                continue;
            };
            if lifecycle::look(registry, &record, false).state == WparState::Active {
                continue;
            }
            if let Err(error) = self.start(context, registry, &name) {
                context.interrupts.check()?;
                context.note(error);
                exit = Exit::Failure;
            }
        }
        Ok(exit)
    }
}

/// How a WPAR is started.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    /// Until it says that it is up.
    pub(super) wait: bool,
    pub(super) insist: Insist,
    /// With nothing of its own running.
    pub(super) maintenance: bool,
}

/// Starts the WPAR and says so; an interrupted start is undone.
pub(super) fn start(
    context: &Context,
    registry: &Registry,
    record: &WparRecord,
    how: How,
    verbose: bool,
) -> CliResult<()> {
    let begun = Instant::now();
    for record in lender::behind(&context.layout, std::iter::once(record)) {
        context.note(lender::behind_note(record));
    }
    levels::require(context, registry, record, how.insist)?;
    let payload = if how.maintenance {
        Payload::Maintenance
    } else {
        Payload::Init
    };
    let mut started = lifecycle::start(context, registry, record, payload, verbose)?;
    if !how.maintenance {
        started = lifecycle::announce(context, registry, record, started)?;
    }
    let waited = if how.wait {
        lifecycle::wait_ready(context, record, &mut started, verbose)
    } else {
        Ok(())
    };
    if let Err(interrupt) = context.interrupts.check() {
        lifecycle::end(registry, record)?;
        return Err(interrupt);
    }
    waited?;
    if how.maintenance {
        output::say(format_args!(
            "{name} is ready for maintenance: 'clogin {name}', then 'stopwpar {name}'",
            name = record.name
        ));
    } else {
        lifecycle::say_active_since(&record.name, begun, verbose);
    }
    Ok(())
}
