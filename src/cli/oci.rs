//! `wpar oci`: a mounted WPAR as a bundle for other runtimes of containers.

use std::io;
use std::path::{Path, PathBuf};

use super::context::{Context, parse_name};
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::verbs::{Arguments, Verb, Words};
use super::{lifecycle, output};
use crate::launch::{self, BundleCommand};
use crate::model::{WparName, WparRecord, WparState};
use crate::registry::Registry;

pub(super) const VERB: Verb = Verb::own::<BundleArguments>(Words {
    name: "oci",
    about: "Let runc, crun or podman start what a workload partition has mounted",
    description: "Makes the directory DIR a bundle of the Open Container Initiative: config.json and \
        rootfs, which crun, runc and others start. The WPAR must be mounted, and nothing of it may run: \
        'startwpar -m NAME' does that. What the container writes stays in the WPAR.\n\n\
        The container has the user ids, resource controls, privileges and devices of the WPAR and the \
        same namespaces, hidden paths and refused system calls. Its network has a loopback interface \
        only: the network of the WPAR is not in it. It runs COMMAND, or else the init inside, or a \
        shell.\n\n\
        podman makes a configuration of its own for rootfs, and needs an /etc/mtab inside. Where a \
        host has version 1 of control groups, runtimes let no container make groups, and systemd does not \
        start in one.\n\n\
        End the container, and take the bundle away with -r, before 'stopwpar NAME'.",
    examples: &[
        (
            "Start a WPAR with crun",
            "startwpar -m web1; wpar oci web1 /run/web1; crun run -b /run/web1 web1",
        ),
        (
            "With podman, which makes a configuration of its own",
            "podman run --uidmap 0:FIRST:65536 --gidmap 0:FIRST:65536 --rootfs /run/web1/rootfs /sbin/init",
        ),
        (
            "Take the bundle away again",
            "wpar oci -r web1 /run/web1; stopwpar web1",
        ),
    ],
    compatibility: "An addition.",
});

/// Arguments of `wpar oci`.
#[derive(Debug, clap::Args)]
pub(super) struct BundleArguments {
    /// Take the bundle away
    #[arg(short = 'r', long = "remove", conflicts_with_all = ["terminal", "command"])]
    remove: bool,

    /// Let COMMAND have a terminal
    #[arg(short = 't', long = "terminal")]
    terminal: bool,

    /// Name of the WPAR
    #[arg(value_name = "NAME")]
    name: String,

    /// The directory of the bundle, which is made if it does not exist
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// Command and its arguments [default: the init inside]
    #[arg(
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<String>,
}

impl Arguments for BundleArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        let name = parse_name(&self.name)?;
        let registry = context.registry()?;
        let record = lifecycle::record(&registry, &name)?;
        let _lock = context.lock(&registry, &name)?;
        let shown = self.directory.display();
        let directory = real(&self.directory)
            .map_err(|error| CliError::io(format!("cannot use {shown}"), &error))?;
        if directory.to_str().is_none_or(|path| path.contains('\n')) {
            return Err(CliError::usage("this directory cannot be a bundle")
                .hint("name one in UTF-8 without a line end"));
        }
        let run_dir = registry.layout().run_dir(&name);
        let there = launch::bundles(&run_dir).contains(&directory);
        if self.remove {
            if !there {
                return Err(CliError::new(format!("{shown} is no bundle of {name}"))
                    .hint("name the directory that 'wpar oci' made one"));
            }
            launch::remove_bundle(&directory).map_err(|error| lifecycle::named(&name, error))?;
            output::say(format_args!("{shown} is no bundle of {name} any more"));
            return Ok(Exit::Success);
        }
        require_mounted(&registry, &record)?;
        if there {
            return Err(
                CliError::new(format!("{shown} is a bundle of {name} already"))
                    .hint(format!("take it away with 'wpar oci -r {name} {shown}'")),
            );
        }
        let empty = |entries: std::fs::ReadDir| entries.count() == 0;
        if directory.exists() && !std::fs::read_dir(&directory).is_ok_and(empty) {
            return Err(CliError::new(format!("{shown} is no empty directory"))
                .hint("name an empty directory, or one that does not exist yet"));
        }
        let command = BundleCommand {
            arguments: self.command,
            terminal: self.terminal,
        };
        launch::make_bundle(&run_dir, &directory, &command)
            .map_err(|error| lifecycle::named(&name, error))?;
        output::say(format_args!(
            "{shown} is a bundle of {name}: 'crun run -b {shown} {name}'"
        ));
        Ok(Exit::Success)
    }
}

/// Checks that the WPAR is mounted with nothing of its own running.
fn require_mounted(registry: &Registry, record: &WparRecord) -> CliResult<()> {
    let name = &record.name;
    let state = lifecycle::look(registry, record, true).state;
    let hint = match state {
        WparState::Loaded => return Ok(()),
        WparState::Defined => format!("mount it first with 'startwpar -m {name}'"),
        WparState::Broken => format!("clean up with 'stopwpar -F {name}'"),
        _ => format!(
            "it runs already, and only one may run it: 'stopwpar {name}', then 'startwpar -m {name}'"
        ),
    };
    Err(CliError::wrong_state(name, state, hint))
}

/// Checks that no bundle has the files of a WPAR that is to be stopped.
pub(super) fn require_no_bundle(registry: &Registry, name: &WparName) -> CliResult<()> {
    match launch::bundles(&registry.layout().run_dir(name)).first() {
        None => Ok(()),
        Some(directory) => {
            let shown = directory.display();
            Err(CliError::new(format!("{name}: the bundle {shown} has its files")).hint(format!(
                "end what runs of it, then 'wpar oci -r {name} {shown}'; 'stopwpar -F {name}' takes it away"
            )))
        }
    }
}

/// The directory as the list of mounts has it, without links; it need not exist yet.
fn real(path: &Path) -> io::Result<PathBuf> {
    match std::fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let absolute = std::path::absolute(path)?;
            match (absolute.parent(), absolute.file_name()) {
                (Some(parent), Some(name)) => Ok(real(parent)?.join(name)),
                _ => Err(error),
            }
        }
        found => found,
    }
}

/// Takes all bundles of a WPAR away that is ended by force.
pub(super) fn remove_bundles(registry: &Registry, name: &WparName) {
    for directory in launch::bundles(&registry.layout().run_dir(name)) {
        // What is left of one has no files any more; that is all that counts now.
        let _ = launch::remove_bundle(&directory);
    }
}
