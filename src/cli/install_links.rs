//! `install-links`: links named after the verbs, so that they are commands of their own.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::context::Context;
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::output;
use super::verbs::{self, Arguments, Verb, Words};

pub(super) const VERB: Verb = Verb::own::<LinkArguments>(Words {
    name: "install-links",
    about: "Make links to this program named after its commands",
    description: "Makes a symbolic link to this program for each command (mkwpar, startwpar, \
        ...) in a directory, so that they can be called by their own names as in AIX. A link \
        that is there already and leads to this program is left alone; anything else of that \
        name is replaced only with -f.",
    examples: &[(
        "Make the commands of AIX",
        "wpar install-links /usr/local/sbin",
    )],
    compatibility: "AIX installs the commands themselves.",
});

/// Arguments of `install-links`.
#[derive(Debug, clap::Args)]
pub(super) struct LinkArguments {
    /// Directory for the links
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// Replace other links and files of these names
    #[arg(short = 'f', long = "force")]
    force: bool,
}

impl Arguments for LinkArguments {
    fn run(self, _context: &Context) -> CliResult<Exit> {
        let program = std::env::current_exe()
            .map_err(|error| CliError::io("cannot find this program's own file", &error))?;
        for verb in verbs::ALL.iter().filter(|verb| verb.linked) {
            let link = self.directory.join(verb.name);
            match state(&link, &program)? {
                LinkState::Ours => {}
                LinkState::Absent => make(&program, &link)?,
                LinkState::Taken if self.force => {
                    fs::remove_file(&link).map_err(failed("remove", &link))?;
                    make(&program, &link)?;
                }
                LinkState::Taken => {
                    return Err(CliError::new(format!("{} exists already", link.display()))
                        .hint("use -f to replace it"));
                }
            }
            output::say(link.display());
        }
        Ok(Exit::Success)
    }
}

enum LinkState {
    Absent,
    Ours,
    Taken,
}

fn state(link: &Path, program: &Path) -> CliResult<LinkState> {
    match fs::symlink_metadata(link) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(LinkState::Absent),
        Err(error) => Err(failed("look at", link)(error)),
        Ok(metadata) => {
            let target = fs::canonicalize(link).ok();
            let ours = metadata.is_symlink()
                && target.is_some()
                && target == fs::canonicalize(program).ok();
            Ok(if ours {
                LinkState::Ours
            } else {
                LinkState::Taken
            })
        }
    }
}

fn make(program: &Path, link: &Path) -> CliResult<()> {
    symlink(program, link).map_err(failed("make the link", link))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CliError {
    let path = path.display().to_string();
    move |error| CliError::io(format!("cannot {action} {path}"), &error)
}
