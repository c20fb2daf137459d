//! `mksysb`: saves the running system in one file.

use std::path::{Path, PathBuf};

use wpar_mountd::spec::{HiddenExtent, HiddenName};

use super::backup::{self, ImageArguments, Job};
use super::context::Context;
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::mkszfile;
use super::verbs::{Arguments, Verb, Words};
use crate::backup::describe::{BackupKind, WPAR_DATA, wpar_data};
use crate::backup::exclude::Excludes;
use crate::backup::host_tree::HostTree;
use crate::backup::plan::SystemPlan;
use crate::backup::save::Selection;
use crate::model::CopyControls;
use crate::model::image_data::IMAGE_DATA;
use crate::policy::mount_spec::describe;

pub(super) const VERB: Verb = Verb::aix::<SystemArguments>(Words {
    name: "mksysb",
    about: "Save the running system in one file",
    description: "Writes a backup of the running system: a PAX tar archive in zstd frames, with \
        its index at the end. 'mkwpar -t -B FILE' starts it at once on any host, nothing is \
        scanned first; and 'tar --zstd -xpf FILE' extracts it anywhere. The file appears when it \
        is complete, with mode 0600: it contains passwords and keys.\n\n\
        The root volume group is saved: the root file system, what is mounted at or below /usr, \
        /var, /opt, /etc and /root, and other file systems on the same disks. Temporary files, \
        swap files, boot partitions, workload partitions and stores of container engines are left \
        out, as from a copy of the running system. The empty directories stay.\n\n\
        With -e, names that match a pattern of /etc/exclude.rootvg are left out: one basic \
        regular expression of grep to a line, compared with names that begin with './'. A \
        directory that matches is left out with all that is in it. '^./tmp/' leaves out what is \
        in /tmp; '/tmp/', without the '^.', also what is in /var/tmp.\n\n\
        A file that changes while it is read is read again, if it is small; one that still \
        changes, or is large, is named at the end, and the exit status is 1. All others are each \
        as they were at one moment.",
    examples: &[
        ("Save this system", "mksysb -i /backup/web1.mksysb"),
        (
            "Leave out what /etc/exclude.rootvg names",
            "mksysb -i -e /backup/web1.mksysb",
        ),
        (
            "See what would be saved",
            "mksysb -i -P -v /backup/web1.mksysb",
        ),
        (
            "Start the backup as a WPAR",
            "mkwpar -t -B /backup/web1.mksysb -n web1 -s",
        ),
        (
            "Extract it elsewhere",
            "tar --zstd --xattrs --xattrs-include='*' --acls -xpf /backup/web1.mksysb -C /mnt",
        ),
    ],
    compatibility: "The file is no backup of AIX (BFF). Without -i, /image.data must be there, as in \
        AIX. -G is what happens anyway; -N takes stores of container engines along, but never \
        WPARs themselves (see savewpar). -x takes directories that are no file systems too. -T is \
        refused: snapshots are not made yet. -p writes a plain tar archive. -C (the level of zstd) \
        is an addition; tapes are not supported.",
});

/// Arguments of `mksysb`.
#[derive(Debug, clap::Args)]
pub(super) struct SystemArguments {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Make /image.data first
    #[arg(short = 'i', long = "image-data")]
    make_image_data: bool,

    /// The same, with the disks of the system
    #[arg(short = 'm', long = "maps")]
    maps: bool,

    /// Leave out what matches a pattern of /etc/exclude.rootvg
    #[arg(short = 'e', long = "exclude")]
    exclude: bool,

    /// Leave out what is in the file systems or directories that FILE names, one to a line
    #[arg(short = 'x', long = "exclude-file-systems", value_name = "FILE")]
    exclude_list: Option<PathBuf>,

    /// Leave out file systems of WPARs: always so
    #[arg(short = 'G', long = "no-wpars", conflicts_with = "wpars")]
    _no_wpars: bool,

    /// Take stores of container engines along
    #[arg(short = 'N', long = "wpars")]
    wpars: bool,

    /// Save snapshots of the file systems: not possible yet
    #[arg(short = 'T', long = "snapshot")]
    snapshot: bool,

    #[command(flatten)]
    image: ImageArguments,
}

impl Arguments for SystemArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        if self.snapshot {
            return Err(CliError::usage("snapshots are not made yet").hint(
                "leave -T out; or make one of the file system, mount it, and save it with tar",
            ));
        }
        context.require_root()?;
        context
            .interrupts
            .install()
            .map_err(|error| CliError::io("cannot take over the signals", &error))?;
        let target = backup::target(&self.file)?;
        let excludes = self.excludes(context)?;
        let directories = match &self.exclude_list {
            Some(path) => backup::directories(path)?,
            None => Vec::new(),
        };
        let controls = CopyControls {
            preserve_wpars: self.wpars,
            ..CopyControls::default()
        };
        let plan = mkszfile::system_plan(context, controls, &directories)?;
        self.save(context, &target, &plan, excludes)
    }
}

impl SystemArguments {
    fn excludes(&self, context: &Context) -> CliResult<Excludes> {
        if !self.exclude {
            return Ok(Excludes::default());
        }
        backup::excludes(&context.layout.root().join("etc/exclude.rootvg"))
    }

    fn say_what_is_left_out(&self, context: &Context, plan: &SystemPlan) {
        if self.image.verbose {
            for name in &plan.hidden {
                context.note(format_args!("not in the backup: {}", describe(name)));
            }
        }
        let others = plan.others.iter();
        let others = others.map(|out| format!("/{} ({})", out.point, out.reason));
        let others: Vec<_> = others.collect();
        if !others.is_empty() {
            context.note(format_args!(
                "other file systems are not in the backup: {}",
                others.join(", ")
            ));
        }
    }

    fn save(
        &self,
        context: &Context,
        target: &Path,
        plan: &SystemPlan,
        excludes: Excludes,
    ) -> CliResult<Exit> {
        let facts = mkszfile::system_facts(plan);
        let image_data = self.image_data(context, &facts)?;
        self.say_what_is_left_out(context, plan);
        let mut hidden = plan.hidden.clone();
        hidden.extend(own_file(target));
        let wpar_data = wpar_data(BackupKind::System, &facts, &plan.hidden).to_string();
        let job = Job {
            seconds: facts.seconds,
            descriptions: vec![(IMAGE_DATA, image_data), (WPAR_DATA, wpar_data)],
            selection: Selection::new(&hidden, excludes),
            total: Some(facts.file_systems.iter().map(|system| system.used).sum()),
        };
        let tree = HostTree::open(
            Path::new("/"),
            plan.members
                .iter()
                .map(|mount| &mount.point)
                .chain(&plan.nested)
                .cloned(),
            plan.silent.iter().cloned(),
            self.image.attributes(),
        )
        .map_err(|error| CliError::io("cannot open /", &error))?;
        self.image
            .save(context, target, job, &mut |saver| tree.walk(saver))
    }

    /// The text of `image.data`, made or found.
    fn image_data(
        &self,
        context: &Context,
        facts: &crate::backup::describe::BackupFacts,
    ) -> CliResult<String> {
        let path = mkszfile::path(&context.layout);
        if self.make_image_data || self.maps {
            let data = mkszfile::describe(facts, self.maps);
            if !self.image.preview {
                mkszfile::write(&context.layout, &data)?;
            }
            return Ok(data.to_string());
        }
        std::fs::read_to_string(&path).map_err(|error| {
            CliError::io(format!("cannot read {}", path.display()), &error)
                .hint("add -i to make it, or call 'mkszfile'")
        })
    }
}

/// The image itself, an older one of its name, and what belongs to that.
fn own_file(target: &Path) -> Vec<HiddenName> {
    let Some(path) = crate::source::host::below_root(target) else {
        return Vec::new();
    };
    let name = |suffix: &str| HiddenName {
        path: format!("{path}{suffix}"),
        extent: HiddenExtent::Name,
        reason: "the backup itself".to_owned(),
    };
    ["", ".wparidx", ".wparidx.zst", ".wparidx.trail"]
        .map(name)
        .into()
}
