//! `wpar umount`: takes mounts of images off.

use std::path::{Path, PathBuf};

use super::context::Context;
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::verbs::{Arguments, Verb, Words};
use super::{mount, output};
use crate::mounts::{self, UnmountProblem};

pub(super) const VERB: Verb = Verb::own::<UmountArguments>(Words {
    name: "umount",
    about: "Take off what 'wpar mount' mounted",
    description: "Unmounts an image, and waits until what was written to it is on the disk. A mount \
        whose daemon is dead is taken away in the same way. One that is in use stays, and who \
        uses it is named; with -f it is taken away nevertheless and lives on only for those who use it.",
    examples: &[
        ("Unmount", "wpar umount /mnt"),
        ("Unmount although a shell is in it", "wpar umount -f /mnt"),
    ],
    compatibility: "As unmount of AIX, with its -f, for mounts of images only.",
});

/// How many users of a mount are named.
const HOLDERS_SHOWN: usize = 4;

/// Arguments of `wpar umount`.
#[derive(Debug, clap::Args)]
pub(super) struct UmountArguments {
    /// Where it is mounted; without it, the mounts are listed
    #[arg(value_name = "DIR")]
    directories: Vec<PathBuf>,

    /// Also if it is in use
    #[arg(short = 'f', long = "force")]
    force: bool,
}

impl Arguments for UmountArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        if self.directories.is_empty() {
            return mount::list();
        }
        let mut exit = Exit::Success;
        for directory in &self.directories {
            let point = mounts::point_of(directory);
            if let Err(problem) = mounts::unmount(&point, self.force) {
                output::complain(context.verb, explain(&point, problem));
                exit = Exit::Failure;
            }
        }
        Ok(exit)
    }
}

fn explain(point: &Path, problem: UnmountProblem) -> CliError {
    let shown = point.display();
    let error = CliError::new(problem.to_string());
    match problem {
        UnmountProblem::NotOurs { .. } => error.hint("'wpar mount' lists those that are"),
        UnmountProblem::OfWpar { .. } => error.hint("stop that with 'stopwpar NAME'"),
        UnmountProblem::Busy { .. } => {
            let holders = mounts::holders(point);
            let named: Vec<_> = holders
                .iter()
                .take(HOLDERS_SHOWN)
                .map(|(pid, name)| format!("{name} ({pid})"))
                .collect();
            let by = match (named.is_empty(), holders.len() > HOLDERS_SHOWN) {
                (true, _) => String::new(),
                (false, true) => format!(" by {} and others", named.join(", ")),
                (false, false) => format!(" by {}", named.join(", ")),
            };
            CliError::new(format!("{shown} is in use{by}")).hint(format!(
                "end what uses it, or take it away with 'wpar umount -f {shown}'"
            ))
        }
        UnmountProblem::Refused { .. } => error.hint("only who mounted it, and root, can do that"),
        UnmountProblem::Unfinished { .. } => error.hint("wait for that before the store is used"),
    }
}
