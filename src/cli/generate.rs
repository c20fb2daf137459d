//! Verbs for those who build and package: manual pages and shell completions.

use std::fs;
use std::path::PathBuf;

use clap_complete::Shell;

use super::context::Context;
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::verbs::{self, Arguments, Verb, Words};
use super::{manual, output};

pub(super) const MANUAL: Verb = Verb::internal::<ManualArguments>(Words {
    name: "generate-man",
    about: "Write the manual pages",
    description: "Writes one manual page for each command into a directory.",
    examples: &[],
    compatibility: "",
});

pub(super) const COMPLETIONS: Verb = Verb::internal::<CompletionArguments>(Words {
    name: "generate-completions",
    about: "Write the completions of a shell",
    description: "Writes what a shell needs to complete the commands to standard output.",
    examples: &[],
    compatibility: "",
});

/// Arguments of `generate-man`.
#[derive(Debug, clap::Args)]
pub(super) struct ManualArguments {
    /// Directory to write to
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Arguments of `generate-completions`.
#[derive(Debug, clap::Args)]
pub(super) struct CompletionArguments {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Arguments for ManualArguments {
    fn run(self, _context: &Context) -> CliResult<Exit> {
        let write = |name: &str, page: std::io::Result<Vec<u8>>| {
            let path = self.directory.join(manual::file_name(name));
            page.and_then(|page| fs::write(&path, page))
                .map_err(|error| CliError::io(format!("cannot write {}", path.display()), &error))
        };
        for verb in verbs::ALL.iter().filter(|verb| verb.public) {
            write(&manual::title(verb), manual::page(verb))?;
        }
        write("wpar", manual::overview())?;
        Ok(Exit::Success)
    }
}

impl Arguments for CompletionArguments {
    fn run(self, _context: &Context) -> CliResult<Exit> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::whole(), "wpar", &mut script);
        for verb in verbs::ALL.iter().filter(|verb| verb.linked) {
            clap_complete::generate(self.shell, &mut super::single(verb), verb.name, &mut script);
        }
        output::print(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Success)
    }
}
