//! `mkwpar`: makes a system copy WPAR, from an image or of the running system.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::context::{Context, parse_name, require_fuse};
use super::create::{self, Plan};
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::levels::{self, Insist};
use super::lifecycle;
use super::output;
use super::prepared::Prepared;
use super::remove::{self, StoreFate};
use super::verbs::{Arguments, Verb, Words};
use crate::launch::Payload;
use crate::model::{
    CopyControls, FileSystemAttributes, SpaceLimits, WparKind, WparName, WparRecord,
};
use crate::registry::{Lock, Registry};

pub(super) const VERB: Verb = Verb::aix::<MakeArguments>(Words {
    name: "mkwpar",
    about: "Make a workload partition from a backup image or from the running system",
    description: "Makes a system copy WPAR: one that starts as everything that the source \
        contains, users, software and settings, with a host name and a machine-id of its own. \
        Nothing is copied: the source is shown underneath, read-only, and what the WPAR changes \
        goes to a store of its own. The source is never written.\n\n\
        The source is what -B names, or the running system. What -B names is told by its \
        contents: a tar archive of a system (plain or compressed), which is indexed when it is used for \
        the first time; a file system in a file (squashfs, EROFS, ext2 to ext4, XFS, btrfs) or a \
        disk image with a partition table, which the kernel shows read-only, without replaying \
        its journal; or a directory with etc and usr. Other kinds of backups are refused, with \
        the command that makes them usable. The source must stay where it is, unchanged, as long as \
        WPARs of it exist.\n\n\
        Of the running system everything below / is taken but other file systems, temporary \
        files, swap files and other partitions; -v lists what is left out and why.\n\n\
        With -M the WPAR can take only so much of the host's disk: size limits the space of what \
        it writes, inodes the number of files. What the source has counts nothing until it is \
        changed. Inside, df shows the limits, and beyond them there is no space left on the \
        device. A size is a number with K, M, G or T (powers of 1024), or one of 512-byte \
        blocks; 'unlimited' takes a limit away that a kept store had.",
    examples: &[
        (
            "Make a WPAR from a backup and start it",
            "mkwpar -t -B /backup/web.tar.zst -n web1 -s",
        ),
        ("Make a copy of the running system", "mkwpar -t -n clone1"),
        (
            "Make a WPAR from a tree that rsync or debootstrap made",
            "mkwpar -t -B /srv/trees/web1 -n web1",
        ),
        (
            "Use another host name and base directory",
            "mkwpar -t -n db1 -h db1.example.org -d /srv/db1",
        ),
        (
            "Let it write no more than 10 GiB, in 200,000 files",
            "mkwpar -t -n test1 -M size=10G inodes=200000",
        ),
        (
            "Take container stores along",
            "mkwpar -t -n clone2 -T preserve_wpars=yes",
        ),
        (
            "Use a store again that 'rmwpar -p' kept",
            "mkwpar -p -n web1",
        ),
    ],
    compatibility: "Only system copies (-t) are made. -B takes a tar archive, the image of a file \
        system or a directory where AIX takes a mksysb. The WPAR is in state D until startwpar or -s starts it. preserve_private is \
        accepted and kept, and will matter when filesets are hidden. A \
        WPAR has one file system: of -M there are size, in AIX's units, and directory=/ \
        (other directories and attributes are refused); inodes, K and T are additions.",
});

/// Arguments of `mkwpar`.
#[derive(Debug, clap::Args)]
pub(super) struct MakeArguments {
    /// Make a system copy: of the image of -B, or of the running system
    #[arg(short = 't', long = "system-copy")]
    system_copy: bool,

    /// Backup to make it from: an archive, the image of a file system or disk, or a directory
    #[arg(short = 'B', long = "backup", value_name = "IMAGE")]
    image: Option<PathBuf>,

    /// Name of the WPAR: up to 25 characters
    #[arg(
        short = 'n',
        long = "name",
        value_name = "NAME",
        required_unless_present = "preserved"
    )]
    name: Option<String>,

    /// Host name, if it is not to be the name
    #[arg(short = 'h', long = "hostname", value_name = "HOST")]
    hostname: Option<String>,

    /// Base directory, where the WPAR is seen on the host [default: /wpars/NAME]
    #[arg(short = 'd', long = "directory", value_name = "DIR")]
    directory: Option<PathBuf>,

    /// Start it when it is made; say how long that took, on a terminal or with -v
    #[arg(short = 's', long = "start")]
    start: bool,

    /// Make it versioned: it may run at a level that is not the host's
    #[arg(short = 'C', long = "versioned")]
    versioned: bool,

    /// Start it with the host
    #[arg(short = 'A', long = "auto")]
    auto: bool,

    /// Copy controls: preserve_private=yes|no, preserve_wpars=yes|no
    #[arg(short = 'T', long = "copy-controls", value_name = "NAME=VALUE", num_args = 1..)]
    copy_controls: Vec<String>,

    /// How large its file system may become: directory=/, size=SIZE, inodes=NUMBER
    #[arg(short = 'M', long = "file-system", value_name = "NAME=VALUE", num_args = 1..)]
    file_system: Vec<String>,

    /// Use the store that 'rmwpar -p' kept
    #[arg(short = 'p', long = "preserved", value_name = "NAME", num_args = 0..=1)]
    #[arg(default_missing_value = "")]
    preserved: Option<String>,

    /// Say more: what is left out of a copy, steps of the start
    #[arg(short = 'v', long = "verbose")]
    verbose: bool,
}

impl Arguments for MakeArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        let begun = Instant::now();
        let name = self.name()?;
        let hostname = self.hostname.as_deref();
        if hostname.is_some() {
            create::hostname(hostname, &name)?;
        }
        let controls = CopyControls::parse(&self.copy_controls)
            .map_err(|error| CliError::usage(error.to_string()))?;
        let attributes = FileSystemAttributes::parse(&self.file_system)
            .map_err(|error| CliError::usage(error.to_string()))?;
        if !self.system_copy && self.preserved.is_none() {
            return Err(CliError::usage("only system copies can be made")
                .hint("add -t, with -B IMAGE or for the running system"));
        }
        if self.versioned && self.image.is_none() && self.preserved.is_none() {
            return Err(CliError::usage("-C goes with a backup")
                .hint("name one with -B IMAGE; the running system is at its own level"));
        }
        let registry = context.registry()?;
        self.check_fuse(context)?;
        let lock = context.lock(&registry, &name)?;
        let (plan, prepared) = match &self.preserved {
            Some(_) => self.plan_from_kept(context, &registry, name)?,
            None => self.plan(context, &registry, name, controls)?,
        };
        let plan = Plan {
            limits: attributes.over(plan.limits),
            ..plan
        };
        let controls = plan.copy_controls;
        let record = create::create(context, &registry, plan)?;
        prepared.report(context, controls, self.verbose);
        if self.start {
            let fate = match self.preserved {
                Some(_) => StoreFate::Kept,
                None => StoreFate::Removed,
            };
            let how = (begun, self.verbose);
            start_new(context, &registry, &record, lock, fate, how)?;
        } else {
            say_made(context, &record);
        }
        Ok(Exit::Success)
    }
}

impl MakeArguments {
    fn name(&self) -> CliResult<WparName> {
        let preserved = self.preserved.as_deref().filter(|name| !name.is_empty());
        match (self.name.as_deref(), preserved) {
            (Some(name), Some(kept)) if name != kept => Err(CliError::usage(format!(
                "the store of {kept} cannot be used as {name}"
            ))
            .hint(format!("use 'mkwpar -p -n {kept}'"))),
            (Some(name), _) | (None, Some(name)) => parse_name(name),
            (None, None) => Err(CliError::usage("missing the name").hint("give one with -n NAME")),
        }
    }

    /// Without `/dev/fuse` nothing can be started: an error if that is asked for, else worth a
    /// word.
    fn check_fuse(&self, context: &Context) -> CliResult<()> {
        match require_fuse() {
            Err(error) if self.start => Err(error),
            Err(error) => {
                context.note(format_args!(
                    "warning: the WPAR cannot be started yet: {error}"
                ));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// A plan for a new WPAR. A name that is taken is found before a long index is made, not
    /// after.
    fn plan(
        &self,
        context: &Context,
        registry: &Registry,
        name: WparName,
        copy_controls: CopyControls,
    ) -> CliResult<(Plan, Prepared)> {
        create::require_free(registry, &name, false)?;
        let hostname = create::hostname(self.hostname.as_deref(), &name)?;
        let prepared = Prepared::new(context, self.image.as_deref())?;
        let plan = Plan {
            name,
            hostname,
            kind: WparKind::System,
            directory: self.directory.clone(),
            source: prepared.source.clone(),
            copy_controls,
            limits: SpaceLimits::default(),
            versioned: self.versioned,
            auto: self.auto,
            owner: None,
            kept: None,
        };
        Ok((plan, prepared))
    }

    /// A plan that uses a kept store again. What it was made from cannot be chosen anew.
    fn plan_from_kept(
        &self,
        context: &Context,
        registry: &Registry,
        name: WparName,
    ) -> CliResult<(Plan, Prepared)> {
        create::require_free(registry, &name, true)?;
        let kept = registry.load_kept(&name)?.ok_or_else(|| {
            CliError::new(format!("no store of a WPAR called {name} was kept"))
                .hint("'rmwpar -p' keeps one")
        })?;
        let image = kept.source.path().map(Path::to_owned);
        if self.image.is_some() || self.system_copy {
            let asked = self
                .image
                .as_ref()
                .map(|path| path.canonicalize().unwrap_or(path.clone()));
            if asked != image {
                let of = image.map_or("the running system".to_owned(), |p| p.display().to_string());
                return Err(
                    CliError::usage(format!("the kept store of {name} belongs to {of}"))
                        .hint("leave -t and -B out to use it with that"),
                );
            }
        }
        let prepared = Prepared::new(context, image.as_deref())?;
        if !prepared.source.is_same(&kept.source) {
            return Err(CliError::new(format!(
                "the image of the kept store of {name} has changed"
            ))
            .hint(format!(
                "put the old image back, or drop the store with 'rmwpar {name}'"
            )));
        }
        let hostname = match self.hostname.as_deref() {
            Some(asked) => create::hostname(Some(asked), &name)?,
            None => kept.hostname.clone(),
        };
        let plan = Plan {
            name,
            hostname,
            kind: WparKind::System,
            directory: self.directory.clone(),
            source: prepared.source.clone(),
            copy_controls: kept.copy_controls,
            limits: kept.limits,
            versioned: self.versioned || kept.versioned,
            auto: self.auto,
            owner: None,
            kept: Some(kept),
        };
        Ok((plan, prepared))
    }
}

/// Says that a WPAR was made, and what to do next.
pub(super) fn say_made(context: &Context, record: &WparRecord) {
    output::say(format_args!("{} was made", record.name));
    match levels::note(record) {
        Some(why) => context.note(why),
        None => context.note(format_args!(
            "0960-390 start it with 'startwpar {}'",
            record.name
        )),
    }
}

/// Starts what was made. A start that fails leaves a defined WPAR; one that is interrupted leaves
/// none, and of its store what `fate` says.
pub(super) fn start_new(
    context: &Context,
    registry: &Registry,
    record: &WparRecord,
    lock: Lock,
    fate: StoreFate,
    (begun, verbose): (Instant, bool),
) -> CliResult<()> {
    let name = &record.name;
    let started = levels::require(context, registry, record, Insist::No)
        .and_then(|()| lifecycle::start(context, registry, record, Payload::Init, verbose));
    if let Err(interrupt) = context.interrupts.check() {
        lifecycle::end(registry, record)?;
        remove::remove(context, registry, record, fate, lock)?;
        return Err(interrupt);
    }
    started.map_err(|error| CliError {
        message: format!("{name} was made but did not start: {}", error.message),
        ..error
    })?;
    lifecycle::say_active_since(name, begun, verbose);
    Ok(())
}
