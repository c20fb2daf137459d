//! `savewpar`: saves a WPAR in one file.

use std::path::{Path, PathBuf};

use super::backup::{self, ImageArguments, Job};
use super::context::{Context, parse_name};
use super::create::running_host;
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::lifecycle;
use super::progress::IndexProgress;
use super::verbs::{Arguments, Verb, Words};
use crate::backup::describe::{
    BackupFacts, BackupKind, WPAR_DATA, image_data, wpar_data, wpar_stanza,
};
use crate::backup::exclude::Excludes;
use crate::backup::facts;
use crate::backup::host_tree::HostTree;
use crate::backup::merged_tree::MergedTree;
use crate::backup::save::Selection;
use crate::model::image_data::IMAGE_DATA;
use crate::model::{WparName, WparRecord, WparState};
use crate::policy::mount_spec::mount_spec;
use crate::registry::Registry;
use crate::source::files::Files;
use crate::source::image;
use crate::source::tree::OfflineTree;

pub(super) const VERB: Verb = Verb::aix::<SaveArguments>(Words {
    name: "savewpar",
    about: "Save a workload partition in one file",
    description: "Writes a backup of a WPAR in the form that mksysb writes: what the WPAR sees, \
        whether it comes from its source or was changed by it. 'restwpar' makes a WPAR of it \
        again, 'mkwpar -t -B' another one.\n\n\
        A WPAR that does not run is read as it is. One that runs is read while it runs: files \
        that change meanwhile are read again, and named if they do not stand still.\n\n\
        With --difference only what the WPAR added, changed and removed is saved. Such a file is \
        small; it is of use together with the source of the WPAR only, which it names. What was \
        removed is in it as empty files '.wh.NAME', as in layers of OCI images.",
    examples: &[
        ("Save a WPAR", "savewpar -f /backup/wpar1.savewpar wpar1"),
        (
            "Leave out what /etc/exclude.wpar1 names",
            "savewpar -e -f /backup/wpar1.savewpar wpar1",
        ),
        (
            "Save only what it changed",
            "savewpar --difference -f /backup/wpar1.diff wpar1",
        ),
        ("Make it again", "restwpar -f /backup/wpar1.savewpar"),
    ],
    compatibility: "-f has no default, since there are no tapes. -i and -m are accepted: image.data \
        is always made anew. -N and -X have no effect. The identity of the WPAR (name, host name, \
        limits) is in wpar.data instead of a specification file. --difference and -C are \
        additions.",
});

/// Arguments of `savewpar`.
#[derive(Debug, clap::Args)]
pub(super) struct SaveArguments {
    /// Name of the WPAR
    #[arg(value_name = "NAME")]
    name: String,

    /// The file
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    file: PathBuf,

    /// Leave out what matches a pattern of /etc/exclude.NAME
    #[arg(short = 'e', long = "exclude")]
    exclude: bool,

    /// Only what differs from the source of the WPAR, which must not run
    #[arg(long = "difference")]
    difference: bool,

    /// Make image.data anew: always so
    #[arg(short = 'i', long = "image-data")]
    _image_data: bool,

    /// The same
    #[arg(short = 'm', long = "maps", conflicts_with = "_image_data")]
    _maps: bool,

    /// Save NFS file systems too: a WPAR has none
    #[arg(short = 'N', long = "nfs")]
    _nfs: bool,

    #[command(flatten)]
    image: ImageArguments,
}

impl Arguments for SaveArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        let name = parse_name(&self.name)?;
        let registry = context.registry()?;
        let record = lifecycle::record(&registry, &name)?;
        let target = backup::target(&self.file)?;
        let excludes = self.excludes(context, &name)?;
        let _lock = context.lock(&registry, &name)?;
        match lifecycle::look(&registry, &record, true).state {
            _ if self.difference && record.base.is_some() => Err(CliError::new(format!(
                "{name} has the /usr of another system, and its difference cannot be made a workload \
                 partition of again"
            ))
            .hint("leave --difference out: all of it is saved then")),
            WparState::Defined => self.save_stopped(context, &registry, &record, &target, excludes),
            WparState::Active if self.difference => Err(CliError::wrong_state(
                &name,
                WparState::Active,
                format!("stop it with 'stopwpar {name}', or leave --difference out"),
            )),
            WparState::Active | WparState::Frozen | WparState::Loaded => {
                self.save_active(context, &record, &target, excludes)
            }
            state => Err(CliError::wrong_state(
                &name,
                state,
                format!("bring it to an end with 'stopwpar -F {name}' first"),
            )),
        }
    }
}

impl SaveArguments {
    fn excludes(&self, context: &Context, name: &WparName) -> CliResult<Excludes> {
        if !self.exclude {
            return Ok(Excludes::default());
        }
        let file = format!("etc/exclude.{name}");
        backup::excludes(&context.layout.root().join(file))
    }

    /// Through the core of the file system, in this process.
    fn save_stopped(
        &self,
        context: &Context,
        registry: &Registry,
        record: &WparRecord,
        target: &Path,
        excludes: Excludes,
    ) -> CliResult<Exit> {
        let mut progress = IndexProgress::new(context);
        let source = image::prepare_again(
            &registry.layout().images_dir(),
            &record.source,
            record.name.as_str(),
            &mut progress,
        );
        context.interrupts.check()?;
        let record = WparRecord {
            source: source?,
            ..record.clone()
        };
        let tree = OfflineTree::open(&mount_spec(
            &record,
            &registry.view(&record.name)?,
            registry.layout(),
            &running_host()?,
        )?)?;
        let overlay = tree.overlay();
        let facts = facts::gather(&|path| {
            let text = Files::read(overlay, path.as_bytes(), facts::LONGEST);
            text.ok().flatten()
        });
        let merged = match self.difference {
            true => MergedTree::difference(overlay),
            false => MergedTree::whole(overlay),
        };
        let job = self.job(&record, &facts, excludes);
        self.image
            .save(context, target, job, &mut |saver| merged.walk(saver))
    }

    /// Through the mount that the host has of it.
    fn save_active(
        &self,
        context: &Context,
        record: &WparRecord,
        target: &Path,
        excludes: Excludes,
    ) -> CliResult<Exit> {
        let directory = &record.directory;
        let tree = HostTree::open(directory, [], [], self.image.attributes()).map_err(|error| {
            CliError::io(format!("cannot open {}", directory.display()), &error)
        })?;
        let facts = facts::gather(&facts::below(directory));
        let job = self.job(record, &facts, excludes);
        self.image
            .save(context, target, job, &mut |saver| tree.walk(saver))
    }

    fn job(&self, record: &WparRecord, facts: &BackupFacts, excludes: Excludes) -> Job<'static> {
        let kind = match self.difference {
            true => BackupKind::Difference,
            false => BackupKind::Wpar,
        };
        let mut about = wpar_data(kind, facts, &[]);
        about.push(wpar_stanza(record));
        Job {
            seconds: facts.seconds,
            descriptions: vec![
                (IMAGE_DATA, image_data(facts).to_string()),
                (WPAR_DATA, about.to_string()),
            ],
            selection: Selection::new(&[], excludes),
            total: None,
        }
    }
}
