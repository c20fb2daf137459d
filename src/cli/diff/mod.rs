//! `wpar diff`: what makes two systems different.

use std::ffi::OsString;

use super::context::Context;
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::output;
use super::verbs::{Arguments, Verb, Words};
use crate::diff::{Options, Problem, Section, compare, escape};

mod copied;
mod json;
mod operand;
mod text;

/// How many files that cannot be compared are named without `-v`.
const PROBLEMS_SHOWN: usize = 3;

pub(super) const VERB: Verb = Verb::own::<DiffArguments>(Words {
    name: "diff",
    about: "Show what makes two systems different",
    description: "Compares A with B: images, directories, WPARs and the running system, in any \
        combination and without mounting or starting anything. First comes what the differences \
        mean: host name and keys, packages, users, services, set-user-ID programs, configuration \
        files; then the files themselves, those that a changed package explains only as a number. \
        What is the same is not mentioned; if all is, nothing is printed.\n\n\
        A and B are each: 'host' or '/' for the running system, as a copy of it would show it; a \
        path, which has a '/' in it, of an image or a directory; the name of a WPAR; or, if there is \
        no WPAR of that name, a file in the working directory. What a WPAR was made of is shown as a new \
        copy of it would be, so that filesets that are hidden and files that were written when it was \
        made are no differences. A WPAR that runs is read through its \
        base directory, one that is stopped from its store. Time of access and, without -v, of \
        modification do not count.\n\n\
        Lines begin with + for what only B has, - for what only A has, > for an upgrade, < for a \
        downgrade, ~ for other changes. Passwords, private keys and the texts of files that not \
        everybody may read are compared, but never shown. Names are shown with a backslash escape \
        for what is not printed.",
    examples: &[
        (
            "What a WPAR changed since it was made",
            "wpar diff /backup/web1.tar wpar1",
        ),
        (
            "Two backups, with the texts of configuration files",
            "wpar diff -v old.tar new.tar",
        ),
        (
            "Which packages the host has more than a backup",
            "wpar diff --only packages old.tar host",
        ),
        (
            "Is the copy still as it was, for a script",
            "wpar diff --json image.tar wpar1",
        ),
    ],
    compatibility: "AIX has no such command.",
});

/// Arguments of `diff`.
#[derive(Debug, clap::Args)]
pub(super) struct DiffArguments {
    /// One system
    #[arg(value_name = "A")]
    a: OsString,

    /// The other one
    #[arg(value_name = "B")]
    b: OsString,

    /// Compare times of modification too, and show the texts of changed configuration files
    #[arg(short = 'v', long = "verbose")]
    verbose: bool,

    /// Everything, as JSON
    #[arg(long = "json", conflicts_with = "files")]
    json: bool,

    /// Show every file, also those that changed packages explain
    #[arg(long = "files")]
    files: bool,

    /// Compare only this: identity, packages, users, services, privileges, config, kernels, files;
    /// separated by commas
    #[arg(long = "only", value_name = "SECTION", value_delimiter = ',')]
    only: Vec<String>,
}

impl Arguments for DiffArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        // Status 1 says that there are differences.
        self.compare(context).map_err(|error| match error.exit {
            Exit::Failure => error.exit(Exit::Trouble),
            _ => error,
        })
    }
}

impl DiffArguments {
    fn compare(&self, context: &Context) -> CliResult<Exit> {
        let sections = self.sections()?;
        let Some((a, b)) = operand::open(context, &self.a, &self.b)? else {
            return Ok(Exit::Success);
        };
        let options = Options {
            sections: sections.clone(),
            times: self.verbose,
            texts: self.verbose,
            same_lower: a.has_lower_of(&b),
            same_numbers: a.has_numbers_of(&b),
        };
        let go_on = || !context.interrupts.pending();
        let compared = compare(a.tree(), b.tree(), &options, &go_on);
        // A signal explains the end of the work better than the error that it caused.
        context.interrupts.check()?;
        let found = compared?;
        let systems = [a.describe()?, b.describe()?];
        let shown = if self.json {
            json::render(&systems, &found, &sections)?
        } else {
            text::render(&systems, &found, &sections, self.files)
        };
        output::print(&shown)?;
        self.report(context, &found.problems);
        Ok(match (found.problems.is_empty(), found.is_empty()) {
            (false, _) => Exit::Trouble,
            (true, true) => Exit::Success,
            (true, false) => Exit::Different,
        })
    }

    fn sections(&self) -> CliResult<Vec<Section>> {
        if self.only.is_empty() {
            return Ok(Section::ALL.to_vec());
        }
        let parse = |text: &String| {
            let mut all = Section::ALL.into_iter();
            all.find(|section| section.name() == text.trim())
                .ok_or_else(|| {
                    let names = Section::ALL.map(Section::name).join(", ");
                    CliError::usage(format!(
                        "there is no section '{}'; there are {names}",
                        text.escape_debug()
                    ))
                })
        };
        let mut sections = self.only.iter().map(parse).collect::<CliResult<Vec<_>>>()?;
        sections.sort_unstable();
        sections.dedup();
        Ok(sections)
    }

    /// Says what could not be compared.
    fn report(&self, context: &Context, problems: &[Problem]) {
        let shown = if self.verbose {
            problems.len()
        } else {
            PROBLEMS_SHOWN
        };
        for problem in problems.iter().take(shown) {
            let path = escape::bytes(&problem.path);
            context.note(format_args!(
                "warning: cannot compare /{path}: {}",
                problem.why
            ));
        }
        if problems.len() > shown {
            let rest = problems.len() - shown;
            context.note(format_args!(
                "warning: and {rest} more files; -v names them"
            ));
        }
    }
}
