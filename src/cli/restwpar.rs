//! `restwpar`: makes a WPAR of a backup of one.

use std::path::PathBuf;
use std::time::Instant;

use super::context::{Context, parse_name, require_fuse};
use super::create::{self, Plan, Prepared};
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::remove::StoreFate;
use super::verbs::{Arguments, Verb, Words};
use super::{mkwpar, output};
use crate::backup::describe::BackupKind;
use crate::backup::saved::Saved;
use crate::model::image_data::Stanza;
use crate::model::{CopyControls, Source, SpaceLimits, WparKind};

pub(super) const VERB: Verb = Verb::aix::<RestoreArguments>(Words {
    name: "restwpar",
    about: "Make a workload partition of a backup of one",
    description: "Makes a WPAR of a file that savewpar wrote, with the name, host name and limits \
        that the saved one had, unless others are given. Nothing is unpacked: the file becomes \
        the source of the WPAR, and must stay where it is.",
    examples: &[
        (
            "Make a WPAR again as it was",
            "restwpar -f /backup/wpar1.savewpar",
        ),
        (
            "Make another one of it, and start it",
            "restwpar -f /backup/wpar1.savewpar -n wpar2 -h wpar2 -s",
        ),
    ],
    compatibility: "-f has no default, since there are no tapes. -s starts the WPAR, as it does in \
        mkwpar; in AIX that is another letter. A backup by 'mksysb' is refused: 'mkwpar -t -B' \
        takes it.",
});

/// Arguments of `restwpar`.
#[derive(Debug, clap::Args)]
pub(super) struct RestoreArguments {
    /// The file
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    file: PathBuf,

    /// Another name
    #[arg(short = 'n', long = "name", value_name = "NAME")]
    name: Option<String>,

    /// Another host name
    #[arg(short = 'h', long = "hostname", value_name = "HOST")]
    hostname: Option<String>,

    /// Base directory, where the WPAR is seen on the host [default: /wpars/NAME]
    #[arg(short = 'd', long = "directory", value_name = "DIR")]
    directory: Option<PathBuf>,

    /// Start it when it is made
    #[arg(short = 's', long = "start")]
    start: bool,

    /// Say more
    #[arg(short = 'v', long = "verbose")]
    verbose: bool,
}

impl Arguments for RestoreArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        let begun = Instant::now();
        let registry = context.registry()?;
        if self.start {
            require_fuse()?;
        }
        let prepared = Prepared::new(context, Some(&self.file))?;
        let saved = open(&prepared.source)?;
        let about = self.about(&saved)?;
        let asked = self.name.as_deref().or_else(|| about.get("NAME"));
        let name = parse_name(asked.unwrap_or_default())?;
        let hostname = self.hostname.as_deref().or_else(|| match &self.name {
            // A WPAR of another name beside the saved one should not have the same host name.
            Some(_) => None,
            None => about.get("HOSTNAME"),
        });
        let hostname = create::hostname(hostname, &name)?;
        let lock = context.lock(&registry, &name)?;
        create::require_free(&registry, &name, false)?;
        let plan = Plan {
            name,
            hostname,
            kind: WparKind::System,
            directory: self.directory.clone(),
            source: prepared.source.clone(),
            copy_controls: controls(about),
            limits: limits(about),
            owner: None,
            kept: None,
        };
        let record = create::create(context, &registry, plan)?;
        prepared.report(context, record.copy_controls, self.verbose);
        if self.start {
            let how = (begun, self.verbose);
            mkwpar::start_new(context, &registry, &record, lock, StoreFate::Removed, how)?;
        } else {
            output::say(format_args!("{} was made", record.name));
            context.note(format_args!(
                "0960-390 start it with 'startwpar {}'",
                record.name
            ));
        }
        Ok(Exit::Success)
    }
}

impl RestoreArguments {
    /// What the image says about the WPAR.
    fn about<'s>(&self, saved: &'s Saved) -> CliResult<&'s Stanza> {
        let shown = self.file.display();
        match (saved.kind(), saved.wpar()) {
            (Some(BackupKind::Wpar), Some(about)) => Ok(about),
            (Some(BackupKind::Difference), about) => {
                let source = about.and_then(|about| about.get("IMAGE").or(about.get("SOURCE")));
                Err(CliError::new(format!(
                    "{shown} holds only what a WPAR changed, of a copy of {}",
                    source.unwrap_or("something unknown")
                ))
                .hint("restore a backup that was made without --difference; 'lsmksysb -r' gets files out of this one"))
            }
            _ => Err(
                CliError::new(format!("{shown} is no backup of a WPAR")).hint(format!(
                    "make a WPAR of it with 'mkwpar -t -B {shown} -n NAME'"
                )),
            ),
        }
    }
}

fn open(source: &Source) -> CliResult<Saved> {
    match source {
        Source::Image { path, index, .. } => {
            Saved::open(path, index).map_err(|error| CliError::new(error.to_string()))
        }
        Source::Host => Err(CliError::usage("missing the image").hint("name one with -f FILE")),
    }
}

fn controls(about: &Stanza) -> CopyControls {
    let yes = |key: &str| about.get(key) == Some("yes");
    CopyControls {
        preserve_private: yes("PRESERVE_PRIVATE"),
        preserve_wpars: yes("PRESERVE_WPARS"),
    }
}

fn limits(about: &Stanza) -> SpaceLimits {
    let number = |key: &str| about.get(key).and_then(|value| value.parse().ok());
    SpaceLimits {
        size: number("SIZE"),
        inodes: number("INODES"),
    }
}
