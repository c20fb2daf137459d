//! `wparexec`: runs one command in a throw-away WPAR.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::context::{Context, parse_name, require_fuse};
use super::controls::{self, NewControlArguments};
use super::create::{self, Plan};
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::lifecycle;
use super::prepared::Prepared;
use super::remove::{self, StoreFate};
use super::source_arguments::SourceArguments;
use super::verbs::{Arguments, Verb, Words};
use crate::launch::Payload;
use crate::model::name::NAME_LENGTH_MAX;
use crate::model::{
    CopyControls, FileSystemAttributes, Network, Privileges, Resources, SpaceLimits, WparKind,
    WparName, WparRecord,
};
use crate::registry::{Lock, Registry, process};

pub(super) const VERB: Verb = Verb::aix::<ExecArguments>(Words {
    name: "wparexec",
    about: "Run one command in a throw-away workload partition",
    description: "Makes a WPAR from an image or from the running system, runs one command in it \
        with the standard files of this one, and removes it with everything that the command \
        changed when the command ends or this one is interrupted. The exit status is that of the \
        command.\n\n\
        A copy of the running system is live, and no snapshot is taken of it unless \
        -T snapshot=require or snapshot=auto asks for one.",
    examples: &[
        (
            "Try something on a copy of the running system",
            "wparexec -t -- apt-get -y dist-upgrade",
        ),
        (
            "Look into a backup",
            "wparexec -t -B web.tar.zst -- cat /etc/os-release",
        ),
        (
            "Try a program without letting it take the machine",
            "wparexec -t -N mode=nat -R memory=1GB CPU=50% totalProcesses=200 -- ./program",
        ),
        (
            "A shell in a backup",
            "wparexec -t -B web.tar.zst -- /bin/bash -l",
        ),
    ],
    compatibility: "In AIX the command sees the global file systems; here it sees a copy (-t). \
        The WPAR is of type A and is gone when the command ends, as in AIX. Network (-N, -i, -I, -r, -a) and \
        resource controls (-R) are as of mkwpar.",
});

/// Arguments of `wparexec`.
#[derive(Debug, clap::Args)]
pub(super) struct ExecArguments {
    #[command(flatten)]
    source: SourceArguments,

    /// Name of the WPAR [default: made of the command]
    #[arg(short = 'n', long = "name", value_name = "NAME")]
    name: Option<String>,

    #[command(flatten)]
    more: NewControlArguments,
    /// Say more: what is left out of a copy, steps of the start
    #[arg(short = 'v', long = "verbose")]
    verbose: bool,

    /// Command and its arguments
    #[arg(value_name = "COMMAND", last = true, required = true)]
    command: Vec<OsString>,
}

impl Arguments for ExecArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        self.execute(context).map_err(|error| match error.exit {
            Exit::Failure => error.exit(Exit::NotRun),
            _ => error,
        })
    }
}

impl ExecArguments {
    fn execute(self, context: &Context) -> CliResult<Exit> {
        let name = match &self.name {
            Some(name) => parse_name(name)?,
            None => made_up_name(self.command.first())?,
        };
        let hostname = create::hostname(self.source.hostname.as_deref(), &name)?;
        let (copy_controls, selection) =
            CopyControls::parse_with_selection(&self.source.copy_controls)
                .map_err(|error| CliError::usage(error.to_string()))?;
        let limits = FileSystemAttributes::parse(&self.source.file_system)
            .map_err(|error| CliError::usage(error.to_string()))?
            .over(SpaceLimits::default());
        let said = &self.more.controls;
        let network = controls::network(
            Network::default(),
            &said.network,
            said.routing,
            &said.routes,
        )?;
        let resources = controls::resources(Resources::default(), &said.resources)?;
        lifecycle::limits_of(&resources)?;
        let privileges = Privileges::default()
            .with(&self.source.security)
            .map_err(|error| CliError::usage(error.to_string()))?;
        if !self.source.system_copy {
            return Err(CliError::usage("only system copies can be run")
                .hint("add -t, with -B IMAGE or for the running system"));
        }
        let registry = context.registry()?;
        require_fuse()?;
        let lock = context.lock(&registry, &name)?;
        create::require_free(&registry, &name, false)?;
        let owner =
            process::current().map_err(|error| CliError::io("cannot read /proc", &error))?;
        let prepared = Prepared::new(context, self.source.image.as_deref())?;
        let plan = Plan {
            base: None,
            name,
            hostname,
            kind: WparKind::Application,
            directory: None,
            source: prepared.source.clone(),
            copy_controls,
            selection,
            limits,
            uuid: None,
            versioned: false,
            auto: false,
            script: None,
            devices: Vec::new(),
            network,
            leave_clashes_out: said.resolve_clashes,
            copy_resolver: said.resolver,
            resources,
            privileges,
            owner: Some(owner),
            kept: None,
        };
        let payload = Payload::Command {
            argv: self.command,
            env: environment(),
            cwd: PathBuf::from("/"),
            terminal: terminal(),
        };
        let record = create::create(context, &registry, plan)?;
        if self.verbose {
            let view = registry.view(&record.name)?;
            prepared.report(context, copy_controls, &view, true);
        }
        run_and_remove(context, &registry, record, payload, self.verbose, lock)
    }
}

/// Runs the command in the WPAR that was made, and removes that, whatever happens.
fn run_and_remove(
    context: &Context,
    registry: &Registry,
    record: WparRecord,
    payload: Payload,
    verbose: bool,
    lock: Lock,
) -> CliResult<Exit> {
    let result = lifecycle::run_command(context, registry, &record, payload, verbose, lock);
    // While the command ran, others could work on the WPAR: one of them may have removed it.
    let lock = context.lock(registry, &record.name)?;
    if registry.load(&record.name)?.as_ref() == Some(&record) {
        lifecycle::end(registry, &record)?;
        remove::remove(context, registry, &record, StoreFate::Removed, lock)?;
    }
    context.interrupts.check()?;
    result
}

/// A name made of the command's and of this process' number, so that two never meet.
fn made_up_name(program: Option<&OsString>) -> CliResult<WparName> {
    let number = std::process::id().to_string();
    let program = program
        .map(Path::new)
        .and_then(Path::file_name)
        .and_then(OsStr::to_str);
    let stem: String = program
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric())
        .skip_while(|c| *c == '0')
        .take(NAME_LENGTH_MAX - number.len() - 1)
        .collect();
    let stem = if stem.is_empty() { "exec" } else { &stem };
    parse_name(&format!("{stem}-{number}"))
}

/// What of this command's environment the command inside gets: the terminal and the language.
fn environment() -> Vec<(OsString, OsString)> {
    let wanted = |key: &OsString| {
        key.to_str()
            .is_some_and(|key| matches!(key, "TERM" | "LANG") || key.starts_with("LC_"))
    };
    std::env::vars_os().filter(|(key, _)| wanted(key)).collect()
}

/// A terminal of its own if this command has one.
fn terminal() -> bool {
    use std::io::IsTerminal;
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_any_command() {
        for program in [
            "/bin/ls",
            "0",
            "[",
            "",
            "a-very-long-program-name-indeed-it-is",
            "..",
            "\u{e9}",
        ] {
            let name = made_up_name(Some(&OsString::from(program))).unwrap();
            assert!(
                name.as_str().ends_with(&format!("-{}", std::process::id())),
                "{name}"
            );
        }
        assert!(
            made_up_name(Some(&OsString::from("/bin/ls")))
                .unwrap()
                .as_str()
                .starts_with("ls-")
        );
    }
}
