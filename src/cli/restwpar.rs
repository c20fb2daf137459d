//! `restwpar`: makes a WPAR of a backup of one.

use std::path::PathBuf;
use std::time::Instant;

use super::context::{Context, parse_name, require_fuse};
use super::create::{self, Plan};
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::mkwpar;
use super::prepared::Prepared;
use super::remove::{self, StoreFate};
use super::restored;
use super::verbs::{Arguments, Verb, Words};
use crate::backup::apply::apply;
use crate::backup::describe::{BackupKind, WPAR_DATA};
use crate::backup::saved::Saved;
use crate::model::copy_controls::Selection;
use crate::model::image_data::{IMAGE_DATA, Stanza};
use crate::model::view::Conversion;
use crate::model::{Network, Source, WparKind, WparRecord};
use crate::policy::mount_spec::mount_spec;
use crate::registry::Registry;
use crate::source::identity::{self, Identity};
use crate::source::tree::OfflineTree;

pub(super) const VERB: Verb = Verb::aix::<RestoreArguments>(Words {
    name: "restwpar",
    about: "Make a workload partition of a backup of one",
    description: "Makes a WPAR of a file that savewpar wrote, with the name, host name, limits, resource \
        controls and privileges that the saved one had, unless others are given; with those of its \
        devices that /etc/wpars/devexports names here; and with its script if --script is given, \
        because that runs on the host. Its addresses are not taken over. Nothing is unpacked: the file becomes \
        the source of the WPAR, and must stay where it is.\n\n\
        Of a file that 'savewpar --difference' wrote, the source is what the saved WPAR was a copy \
        of: the image that the file names, or another place of that image (-B), or the running \
        system. What the file holds is put into the store of the new WPAR.",
    examples: &[
        (
            "Make a WPAR again as it was",
            "restwpar -f /backup/wpar1.savewpar",
        ),
        (
            "Make another one of it, and start it",
            "restwpar -f /backup/wpar1.savewpar -n wpar2 -h wpar2 -s",
        ),
        (
            "Make one of what it changed, and of its image, which was moved",
            "restwpar -f /backup/wpar1.diff -B /images/web.tar.zst",
        ),
    ],
    compatibility: "-C is for a level other than the host's, as in mkwpar. -f has no default, since there are no tapes. -s starts the WPAR, as it does in \
        mkwpar; in AIX that is another letter. -B names the image of a difference. A backup by 'mksysb' is refused: 'mkwpar -t -B' \
        takes it.",
});

/// Arguments of `restwpar`.
#[derive(Debug, clap::Args)]
pub(super) struct RestoreArguments {
    /// The file
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    file: PathBuf,

    /// Image that a difference belongs to, if it is not where it was
    #[arg(short = 'B', long = "base", value_name = "IMAGE")]
    base: Option<PathBuf>,

    /// Another name
    #[arg(short = 'n', long = "name", value_name = "NAME")]
    name: Option<String>,

    /// Another host name
    #[arg(short = 'h', long = "hostname", value_name = "HOST")]
    hostname: Option<String>,

    /// Base directory, where the WPAR is seen on the host [default: /wpars/NAME]
    #[arg(short = 'd', long = "directory", value_name = "DIR")]
    directory: Option<PathBuf>,

    /// Make it versioned: it may run at a level that is not the host's
    #[arg(short = 'C', long = "versioned")]
    versioned: bool,

    /// Let the host's script that the backup names run at its start and stop, too
    #[arg(long = "script")]
    script: bool,

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
        let is_difference = saved.kind() == Some(BackupKind::Difference);
        if self.base.is_some() && !is_difference {
            return Err(
                CliError::usage("-B goes with a difference, and this is a whole WPAR")
                    .hint("leave -B out"),
            );
        }
        let prepared = match is_difference {
            true => self.base(context, about)?,
            false => prepared,
        };
        let plan = self.plan(context, about, prepared.source.clone())?;
        let lock = context.lock(&registry, &plan.name)?;
        create::require_free(&registry, &plan.name, false)?;
        let record = create::create(context, &registry, plan)?;
        if is_difference && let Err(error) = put_back(context, &registry, &record, &saved) {
            remove::remove(context, &registry, &record, StoreFate::Removed, lock)?;
            context.interrupts.check()?;
            return Err(error);
        }
        let view = registry.view(&record.name)?;
        prepared.report(context, record.copy_controls, &view, self.verbose);
        if self.start {
            let how = (begun, self.verbose);
            mkwpar::start_new(context, &registry, &record, lock, StoreFate::Removed, how)?;
        } else {
            mkwpar::say_made(context, &record);
        }
        Ok(Exit::Success)
    }
}

impl RestoreArguments {
    /// What the image says about the WPAR.
    fn about<'s>(&self, saved: &'s Saved) -> CliResult<&'s Stanza> {
        let shown = self.file.display();
        match (saved.kind(), saved.wpar()) {
            (Some(BackupKind::Wpar | BackupKind::Difference), Some(about)) => Ok(about),
            _ => Err(
                CliError::new(format!("{shown} is no backup of a WPAR")).hint(format!(
                    "make a WPAR of it with 'mkwpar -t -B {shown} -n NAME'"
                )),
            ),
        }
    }

    /// What a difference differs from. An image must have the size that it had: another one would
    /// be mixed with what belongs to the first.
    fn base(&self, context: &Context, about: &Stanza) -> CliResult<Prepared> {
        if about.get("SOURCE") == Some("host") && self.base.is_none() {
            return Prepared::new(context, None);
        }
        let named = about.get("IMAGE").map(PathBuf::from);
        let Some(image) = self.base.clone().or(named) else {
            return Err(CliError::new(format!(
                "{} does not say what it differs from",
                self.file.display()
            ))
            .hint("name its image with -B IMAGE"));
        };
        let found = std::fs::metadata(&image).map_err(|error| {
            CliError::io(format!("cannot open the image {}", image.display()), &error)
                .hint("name the place that it has now with -B IMAGE")
        })?;
        if about.get("IMAGE_BYTES") != Some(found.len().to_string().as_str()) {
            return Err(CliError::new(format!(
                "{} is not the image that {} differs from: it has another size",
                image.display(),
                self.file.display()
            ))
            .hint("name the right one with -B IMAGE"));
        }
        Prepared::new(context, Some(&image))
    }

    fn plan(&self, context: &Context, about: &Stanza, source: Source) -> CliResult<Plan> {
        let asked = self.name.as_deref().or_else(|| about.get("NAME"));
        let name = parse_name(asked.unwrap_or_default())?;
        let hostname = self.hostname.as_deref().or_else(|| match &self.name {
            // A WPAR of another name beside the saved one should not have the same host name.
            Some(_) => None,
            None => about.get("HOSTNAME"),
        });
        Ok(Plan {
            base: None,
            hostname: create::hostname(hostname, &name)?,
            name: name.clone(),
            kind: WparKind::System,
            directory: self.directory.clone(),
            source,
            copy_controls: restored::controls(about),
            selection: Selection::default(),
            limits: restored::limits(about),
            uuid: None,
            versioned: self.versioned || about.get("VERSIONED") == Some("yes"),
            auto: about.get("AUTO") == Some("yes"),
            script: restored::script(context, about, &name, self.script)?,
            devices: restored::devices(context, about, &name)?,
            network: Network::default(),
            leave_clashes_out: false,
            copy_resolver: false,
            resources: restored::resources(about),
            privileges: restored::privileges(about)?,
            owner: None,
            kept: None,
        })
    }
}

/// Puts what a difference holds into the store of a WPAR, and gives that its identity again.
fn put_back(
    context: &Context,
    registry: &Registry,
    record: &WparRecord,
    saved: &Saved,
) -> CliResult<()> {
    // What was saved has been converted, if it ever was started.
    let mut view = registry.view(&record.name)?;
    view.conversion = Conversion::default();
    registry.store_view(&record.name, &view)?;
    let spec = mount_spec(record, &view, registry.layout(), &create::running_host()?)?;
    let mut tree = OfflineTree::open(&spec)?;
    let go_on = || !context.interrupts.pending();
    let own = [IMAGE_DATA, WPAR_DATA];
    apply(tree.overlay(), saved.lower(), &own, &go_on)
        .map_err(|error| CliError::new(error.to_string()).hint("nothing was kept"))?;
    let identity = Identity {
        hostname: record.hostname.clone(),
        machine_id: record.machine_id(),
    };
    identity::apply(&mut tree, &identity).map_err(|error| {
        let error = std::io::Error::from(error.errno());
        CliError::io("cannot give the WPAR its identity", &error)
    })
}

fn open(source: &Source) -> CliResult<Saved> {
    match source {
        Source::Image { path, index, .. } => {
            Saved::open(path, index).map_err(|error| CliError::new(error.to_string()))
        }
        Source::FileSystem(_) | Source::Tree { .. } => {
            Err(CliError::new("the image is not one that savewpar wrote")
                .hint("make a WPAR of it with 'mkwpar -t -B IMAGE -n NAME'"))
        }
        Source::Host | Source::Fresh => {
            Err(CliError::usage("missing the image").hint("name one with -f FILE"))
        }
    }
}
