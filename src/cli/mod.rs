//! The commands, in the shape that AIX gave them.
//!
//! One file for each verb: its arguments, its examples, its work. The table in [`verbs`] is the
//! only list of them: sub-commands, names of links, help, manual pages and shell completions all
//! come from it. What several verbs do is in `create`, `lifecycle` and `remove`.
//!
//! Rules that all verbs keep: results go to standard output, everything else to standard error in
//! lines that begin with the verb; the exit status is one of [`exit`]; a command that fails or is
//! interrupted leaves nothing half-made.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};

mod backup;
mod chwpar;
mod clogin;
mod connection;
mod console;
mod context;
mod controls;
mod cp;
mod create;
mod decisions;
mod diff;
mod error;
pub mod exit;
mod explain;
mod filesets;
mod frozen;
mod generate;
mod generations;
mod hydrate;
mod index;
mod install_links;
mod interrupt;
mod lender;
mod levels;
mod lifecycle;
mod logs;
mod lsmksysb;
mod lswpar;
mod manual;
mod mend;
mod mksysb;
mod mkszfile;
mod mkwpar;
mod mount;
mod oci;
mod oslevel;
mod output;
mod pause;
mod prepared;
mod progress;
mod rc;
mod rebootwpar;
mod remove;
mod restored;
mod restwpar;
mod rmwpar;
mod savewpar;
mod script;
mod several;
mod shared_copy;
mod source_arguments;
mod specification;
mod startwpar;
mod stopwpar;
mod syncwpar;
mod top;
mod umount;
pub mod verbs;
mod wparexec;

use context::Context;
use error::CliError;
use exit::Exit;
use verbs::Verb;

/// Runs the command that `args` (with the program's name first) names, and returns its status.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let called = args
        .first()
        .map(Path::new)
        .and_then(Path::file_name)
        .and_then(OsStr::to_str);
    match called.and_then(verbs::find_public) {
        Some(verb) => run_verb(verb, &single(verb), args),
        None => run_subcommand(args),
    }
    .into()
}

/// Called through a link with the name of a verb.
fn run_verb(verb: &'static Verb, command: &Command, args: Vec<OsString>) -> Exit {
    match command.clone().try_get_matches_from(args) {
        Ok(matches) => execute(verb, &matches, &matches),
        Err(error) => usage(verb.name, &error),
    }
}

/// Called as `wpar`, with the verb as its first word.
fn run_subcommand(args: Vec<OsString>) -> Exit {
    let matches = match whole().try_get_matches_from(args.clone()) {
        Ok(matches) => matches,
        Err(error) => return usage(verb_among(&args), &error),
    };
    match matches.subcommand() {
        Some((name, inner)) => match verbs::find(name) {
            Some(verb) => execute(verb, inner, &matches),
            None => Exit::Usage,
        },
        None => Exit::Usage,
    }
}

fn execute(verb: &'static Verb, matches: &ArgMatches, outer: &ArgMatches) -> Exit {
    let root = matches
        .get_one::<OsString>("root")
        .or_else(|| outer.get_one::<OsString>("root"));
    let result = Context::new(verb.name, root.map(OsString::as_os_str))
        .and_then(|context| (verb.run)(&context, matches));
    match result {
        Ok(exit) => exit,
        Err(error) => {
            output::complain(verb.name, &error);
            error.exit
        }
    }
}

/// The verb that the arguments seem to mean, for a message about them.
fn verb_among(args: &[OsString]) -> &'static str {
    args.iter()
        .skip(1)
        .filter_map(|arg| arg.to_str())
        .find_map(verbs::find)
        .map_or("wpar", |verb| verb.name)
}

/// Shows help and version; reports a mistake in the arguments in the form of all messages.
fn usage(verb: &str, error: &clap::Error) -> Exit {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        return match output::print(&error.render().to_string()) {
            Ok(()) => Exit::Success,
            Err(error) => error.exit,
        };
    }
    let rendered = error.render().to_string();
    let mut lines = rendered
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let first = lines
        .next()
        .unwrap_or("wrong arguments")
        .trim_start_matches("error: ")
        .to_owned();
    let message = match error.kind() {
        // The names stand in lines of their own.
        ErrorKind::MissingRequiredArgument => {
            let missing: Vec<_> = lines
                .clone()
                .take_while(|l| !l.starts_with("Usage"))
                .collect();
            format!("missing {}", missing.join(", "))
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            "no command was named".to_owned()
        }
        _ => first,
    };
    let hint = match similar(error) {
        Some(similar) => format!("did you mean '{similar}'? see '{verb} --help'"),
        None => format!("see '{verb} --help'"),
    };
    output::complain(verb, CliError::usage(message).hint(hint));
    Exit::Usage
}

/// The word that was probably meant.
fn similar(error: &clap::Error) -> Option<&str> {
    let similar = [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg]
        .into_iter()
        .find_map(|kind| error.get(kind))?;
    match similar {
        ContextValue::String(word) => Some(word),
        // The best one comes last.
        ContextValue::Strings(words) => words.last().map(String::as_str),
        _ => None,
    }
}

/// `wpar` with all its verbs.
pub(crate) fn whole() -> Command {
    let mut command = Command::new("wpar")
        .version(env!("CARGO_PKG_VERSION"))
        .about(
            "Workload partitions: every host and every system backup is a system you can start now",
        )
        .long_about(
            "Makes workload partitions (WPARs) from a system backup or from the running system, \
             at once and without copying it, and runs them. Each command can also be called by \
             its own name: see 'wpar install-links'.",
        )
        .subcommand_required(true)
        .disable_help_flag(true)
        .arg(help_argument())
        .arg(root_argument());
    for verb in verbs::ALL {
        command = command.subcommand(bare(verb));
    }
    command
}

/// One verb as a program of its own.
pub(crate) fn single(verb: &Verb) -> Command {
    bare(verb)
        .arg(root_argument())
        .no_binary_name(false)
        .bin_name(verb.name)
}

fn bare(verb: &Verb) -> Command {
    (verb.augment)(Command::new(verb.name))
        .about(verb.about)
        .long_about(verb.description)
        .after_long_help(manual::examples_text(verb))
        .hide(!verb.public)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .arg(help_argument())
}

/// Place of the arguments that every verb has.
const LAST: usize = 900;

fn help_argument() -> Arg {
    // No letter: -h is a host name or a hard stop in AIX.
    Arg::new("help")
        .long("help")
        .action(ArgAction::Help)
        .help("Show this help")
        .display_order(LAST)
}

fn root_argument() -> Arg {
    Arg::new("root")
        .long("root")
        .value_name("DIR")
        .env("WPAR_ROOT")
        .hide_env_values(true)
        .global(true)
        .display_order(LAST)
        .value_parser(clap::value_parser!(OsString))
        .help("Keep everything (state, run files, base directories) below DIR instead of /")
}
