//! `syncwpar`: brings workload partitions to the level of the host.
//!
//! What it was called for is told apart here, and each WPAR is done on its own: one that fails keeps no
//! other from being done. [`own`] is for a copy with a `/usr` of its own (`-D`), [`shared`] for one that
//! has the host's.

use std::fs;

use super::context::{Context, parse_name};
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::verbs::{Arguments, Verb, Words};
use super::{lifecycle, output};
use crate::model::{WparKind, WparName};
use crate::registry::Registry;

mod own;
mod shared;
mod told;
mod undo;

pub(in crate::cli) use own::host_files;

pub(super) const VERB: Verb = Verb::aix::<SyncArguments>(Words {
    name: "syncwpar",
    about: "Bring workload partitions to the level of the host",
    description: "Without -D, a WPAR that shares /usr with the host (or with the system that 'mkwpar \
        --usr-from' named) and is stopped: its root part follows the packages there. Of new ones it gets directories, \
        configuration files and accounts. Of changed ones it gets the new configuration files where it has not changed \
        them; a changed one stays, with the new one beside it (.dpkg-dist, .rpmnew), and one that was removed stays away. \
        Of those that are gone the configuration stays. The records of the package manager are brought to that, and \
        the scripts of new and changed packages (of dpkg) run at the next start; what they write to /usr \
        is thrown away, because it is there already. An interrupted run is made good by the next.\n\n\
        With -D, a copy of a backup that has a /usr of its own is brought to the level of the \
        host, by package: what both have is the host's from then on, what only the copy has stays, \
        and what is needed besides is added. A library that does not fit and that nothing needs goes, \
        as it does in an upgrade. No file is copied but records and configuration. Whether all fits \
        together is looked at first: dependencies, conflicts, whose a file is, and that nothing in \
        the copy is newer than on the host (unless -F). If it does not, nothing is changed, and what \
        is in the way is listed. Configuration that was changed stays, with the new one beside it \
        (.dpkg-dist). The scripts of the packages run once, at the next start.\n\n\
        The copy needs the host's files then: when the host is upgraded, it does not start until this \
        was done again. What it was before stays as it was until the WPAR is removed, and -R goes \
        back to it; what was written since is lost by that. Systems of dpkg only, so far.",
    examples: &[
        (
            "See what a WPAR that shares /usr lacks",
            "syncwpar -p wpar1",
        ),
        ("Bring all of them to the level of the host", "syncwpar -A"),
        ("See what would be done", "syncwpar -D -p -v wpar1"),
        (
            "Bring a copy of an older release to the level of the host",
            "syncwpar -D wpar1",
        ),
        ("Go back to what it was before", "syncwpar -D -R wpar1"),
    ],
    compatibility: "In AIX -D repeats installations from images of filesets; here the host's own \
        files take their place, so -d does not exist. -R without a label (there: remove a fix) and --json are \
        additions. -E is not there: there are no interim fixes. -X has no effect, because a store \
        has no size of its own.",
});

/// Arguments of `syncwpar`.
#[derive(Debug, clap::Args)]
pub(super) struct SyncArguments {
    /// Names of WPARs
    #[arg(value_name = "NAME", required_unless_present_any = ["all", "list"])]
    names: Vec<String>,

    /// All system WPARs to which this applies
    #[arg(short = 'A', long = "all", conflicts_with_all = ["names", "list"])]
    all: bool,

    /// Those that this file names, one a line
    #[arg(
        short = 'f',
        long = "list",
        value_name = "FILE",
        conflicts_with = "names"
    )]
    list: Option<String>,

    /// Copies that have a /usr of their own
    #[arg(short = 'D', long = "detached")]
    detached: bool,

    /// (Where filesets are; only the host's are taken)
    #[arg(short = 'd', long = "source", value_name = "SOURCE")]
    source: Option<String>,

    /// Only say what would be done
    #[arg(short = 'p', long = "preview")]
    preview: bool,

    /// Say what is done with each package
    #[arg(short = 'v', long = "verbose")]
    verbose: bool,

    /// Go back to what it was before the last time (with -D)
    #[arg(short = 'R', long = "undo", requires = "detached", conflicts_with_all = ["preview", "force"])]
    undo: bool,

    /// Only add
    #[arg(short = 'a', long = "add-only")]
    add_only: bool,

    /// Only packages of the system's first package manager
    #[arg(short = 'i', long = "installp", conflicts_with = "rpm")]
    installp: bool,

    /// Only packages of rpm
    #[arg(short = 'r', long = "rpm")]
    rpm: bool,

    /// With -D, also if something in the copy is newer than on the host; else, take the host's configuration files
    #[arg(short = 'F', long = "force")]
    force: bool,

    /// (Let the file systems grow; they need not)
    #[arg(short = 'X', long = "expand")]
    expand: bool,

    /// Say what would be, or was, done in JSON
    #[arg(long = "json")]
    json: bool,
}

impl Arguments for SyncArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        self.require_sense()?;
        let asked = self.asked()?;
        let registry = context.registry()?;
        let names = match asked {
            Some(names) => names,
            None => self.applicable(context, &registry)?,
        };
        let mut exit = Exit::Success;
        for name in &names {
            context.interrupts.check()?;
            let done = match self.detached {
                true => own::run(context, &registry, name, &self),
                false => shared::run(context, &registry, name, &self),
            };
            if let Err(error) = done {
                context.interrupts.check()?;
                if names.len() == 1 {
                    return Err(error);
                }
                context.note(error);
                exit = Exit::Failure;
            }
        }
        Ok(exit)
    }
}

impl SyncArguments {
    fn require_sense(&self) -> CliResult<()> {
        let refuse = |what: &str, why: &str| Err(CliError::usage(what.to_owned()).hint(why));
        if self.source.is_some() {
            return refuse(
                "-d SOURCE: filesets are taken from the host only",
                "to take them from elsewhere make it a versioned workload partition with 'chwpar \
                 -C' and upgrade inside",
            );
        }
        if self.json && !self.detached {
            return refuse("--json goes with -D", "leave it away");
        }
        if self.detached {
            let shared_only = [
                (self.add_only, "-a"),
                (self.installp, "-i"),
                (self.rpm, "-r"),
            ];
            if let Some((_, flag)) = shared_only.iter().find(|(given, _)| *given) {
                return refuse(
                    &format!("{flag} is not for copies with a /usr of their own"),
                    "with -D all packages are brought to one level, or none; leave it away",
                );
            }
        }
        Ok(())
    }

    /// The names that were given; `None` for all.
    fn asked(&self) -> CliResult<Option<Vec<WparName>>> {
        if self.all {
            return Ok(None);
        }
        let Some(list) = &self.list else {
            return self
                .names
                .iter()
                .map(|name| parse_name(name))
                .collect::<CliResult<_>>()
                .map(Some);
        };
        let text = fs::read_to_string(list)
            .map_err(|error| CliError::io(format!("cannot read {list}"), &error))?;
        let lines = text.lines().map(str::trim);
        let names = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        names.map(parse_name).collect::<CliResult<_>>().map(Some)
    }

    /// All WPARs that this can be asked of.
    fn applicable(&self, context: &Context, registry: &Registry) -> CliResult<Vec<WparName>> {
        let mut names = Vec::new();
        for name in registry.names()? {
            match registry.load(&name) {
                Ok(Some(record)) if record.kind == WparKind::System && record.owner.is_none() => {
                    let is_one = match self.detached {
                        true => own::is_one(registry, &record, self.undo)?,
                        false => shared::is_one(&record),
                    };
                    if is_one {
                        names.push(name);
                    }
                }
                Ok(_) => {}
                Err(error) => context.note(CliError::from(error)),
            }
        }
        if names.is_empty() {
            output::say("there is no workload partition that this applies to");
        }
        Ok(names)
    }
}
