//! `rmwpar`: removes a WPAR with all that belongs to it.

use super::context::{Context, parse_name};
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::lifecycle::{self, Ending};
use super::output;
use super::remove::{self, StoreFate};
use super::verbs::{Arguments, Verb, Words};
use crate::launch::StopMode;
use crate::model::{WparName, WparRecord, WparState};
use crate::registry::{Lock, Registry};

pub(super) const VERB: Verb = Verb::aix::<RemoveArguments>(Words {
    name: "rmwpar",
    about: "Remove a workload partition",
    description: "Removes a WPAR: its store with all that was changed in it, its logs, its base \
        directory if it was made for it. The source, image or running system, is not touched. \
        An active WPAR is removed only with -s or -F.\n\n\
        With -p the store is kept; 'mkwpar -p -n NAME' uses it again, and a second 'rmwpar NAME' \
        removes it too.",
    examples: &[
        ("Remove a WPAR that is stopped", "rmwpar wpar1"),
        ("Stop it first", "rmwpar -s wpar1"),
        ("Remove one in any state", "rmwpar -F wpar1"),
        ("Keep what was changed in it", "rmwpar -p wpar1"),
    ],
    compatibility: "-p keeps the store, where AIX keeps the file systems.",
});

/// Arguments of `rmwpar`.
#[derive(Debug, clap::Args)]
pub(super) struct RemoveArguments {
    /// Name of the WPAR
    #[arg(value_name = "NAME")]
    name: String,

    /// Stop it first
    #[arg(short = 's', long = "stop")]
    stop: bool,

    /// Kill it first, and go on whatever fails
    #[arg(short = 'F', long = "force")]
    force: bool,

    /// Keep its store for 'mkwpar -p'
    #[arg(short = 'p', long = "preserve")]
    preserve: bool,

    /// Say what happens
    #[arg(short = 'v', long = "verbose")]
    verbose: bool,
}

impl Arguments for RemoveArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        let name = parse_name(&self.name)?;
        let registry = context.registry()?;
        let lock = context.lock(&registry, &name)?;
        let record = match registry.load(&name) {
            Ok(Some(record)) => record,
            Ok(None) => return self.remove_kept(context, &registry, &name, lock),
            Err(error) if self.force => {
                return self.remove_unreadable(context, &registry, &name, lock, error.into());
            }
            Err(error) => return Err(error.into()),
        };
        self.stop_first(context, &registry, &record)?;
        let fate = if self.preserve {
            StoreFate::Kept
        } else {
            StoreFate::Removed
        };
        if self.verbose {
            context.note(format_args!(
                "removing {}",
                registry.layout().store(&name).display()
            ));
        }
        remove::remove(context, &registry, &record, fate, lock)?;
        match fate {
            StoreFate::Removed => output::say(format_args!("{name} is removed")),
            StoreFate::Kept => output::say(format_args!(
                "{name} is removed; its store {} is kept for 'mkwpar -p -n {name}'",
                registry.layout().store(&name).display()
            )),
        }
        Ok(Exit::Success)
    }
}

impl RemoveArguments {
    /// Brings the WPAR to state D, as far as the options allow.
    fn stop_first(
        &self,
        context: &Context,
        registry: &Registry,
        record: &WparRecord,
    ) -> CliResult<()> {
        let name = &record.name;
        match lifecycle::look(registry, record, true).state {
            WparState::Defined => Ok(()),
            _ if self.force => lifecycle::end(registry, record),
            WparState::Broken => Err(CliError::wrong_state(
                name,
                WparState::Broken,
                format!("remove it with 'rmwpar -F {name}'"),
            )),
            _ if self.stop => {
                if self.verbose {
                    context.note(format_args!("stopping {name}"));
                }
                let ending = Ending {
                    mode: StopMode::Soft,
                    timeout: Some(lifecycle::SOFT_TIMEOUT),
                    restart: false,
                };
                lifecycle::stop(context, registry, record, ending)
            }
            state => Err(CliError::wrong_state(
                name,
                state,
                format!("stop it first with 'rmwpar -s {name}', or by force with -F"),
            )),
        }?;
        context.interrupts.check()
    }

    /// There is no WPAR of that name; there may be a store that an earlier `-p` kept.
    fn remove_kept(
        &self,
        context: &Context,
        registry: &Registry,
        name: &WparName,
        lock: Lock,
    ) -> CliResult<Exit> {
        let Some(kept) = registry.load_kept(name)? else {
            lock.remove();
            return Err(CliError::no_such_wpar(name));
        };
        if self.preserve {
            return Err(
                CliError::new(format!("{name} is removed already, and its store is kept"))
                    .hint(format!("'rmwpar {name}' removes the store too")),
            );
        }
        remove::remove_kept(context, registry, &kept, lock)?;
        output::say(format_args!("the kept store of {name} is removed"));
        Ok(Exit::Success)
    }

    /// The record is damaged: all that can be known by the name goes.
    fn remove_unreadable(
        &self,
        context: &Context,
        registry: &Registry,
        name: &WparName,
        lock: Lock,
        error: CliError,
    ) -> CliResult<Exit> {
        context.note(format_args!("warning: {}", error.message));
        remove::remove_unreadable(context, registry, name, lock)?;
        output::say(format_args!("{name} is removed"));
        Ok(Exit::Success)
    }
}
