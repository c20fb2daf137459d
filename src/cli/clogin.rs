//! `clogin`: a login or a command in an active WPAR.

use std::ffi::OsString;

use super::context::{Context, parse_name};
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::verbs::{Arguments, Verb, Words};
use super::{console, lifecycle};
use crate::launch::{Session, TerminalChoice};

pub(super) const VERB: Verb = Verb::aix::<LoginArguments>(Words {
    name: "clogin",
    about: "Log in to a workload partition, or run a command in it",
    description: "Opens a login shell of a user of the WPAR, or runs a command as that user, \
        with a terminal of the WPAR's own if standard input and output are terminals. No \
        password is asked. The exit status is that of the command.\n\n\
        With -C, this terminal is connected to the console of the WPAR instead, where its init and what \
        logs in there write; what was printed last is shown first. Ctrl-] leaves it, and nothing inside \
        notices. Several can look at once; the size is that of the last one.\n\n\
        All words after the name (and after -l USER behind it) belong to the command.",
    examples: &[
        ("Log in as root", "clogin wpar1"),
        ("Log in as another user", "clogin wpar1 -l alice"),
        ("Watch it boot, log in on its console", "clogin -C wpar1"),
        ("Run a command", "clogin wpar1 systemctl is-system-running"),
        (
            "Copy a file out",
            "clogin wpar1 cat /etc/passwd > passwd.wpar1",
        ),
    ],
    compatibility: "A command needs no -l. -C asks for no password of its own: the getty inside does.",
});

/// Arguments of `clogin`.
#[derive(Debug, clap::Args)]
pub(super) struct LoginArguments {
    /// Name of the WPAR
    #[arg(value_name = "NAME")]
    name: String,

    /// Connect to the console; Ctrl-] leaves it
    #[arg(short = 'C', long = "console", conflicts_with_all = ["user", "command"])]
    console: bool,

    /// User of the WPAR [default: root]
    #[arg(short = 'l', long = "login", value_name = "USER")]
    user: Option<String>,

    /// Command and its arguments [default: the user's login shell]
    #[arg(
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<OsString>,
}

impl Arguments for LoginArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        let not_run = |error: CliError| match error.exit {
            Exit::Failure => error.exit(Exit::NotRun),
            _ => error,
        };
        let name = parse_name(&self.name)?;
        context.require_root().map_err(not_run)?;
        let registry = context.registry_to_read();
        let record = lifecycle::record(&registry, &name).map_err(not_run)?;
        if self.console {
            return console::look(context, &registry, &record);
        }
        let session = Session {
            user: self.user,
            argv: self.command,
            terminal: TerminalChoice::Auto,
        };
        lifecycle::enter(&registry, &record, &session).map_err(not_run)
    }
}
