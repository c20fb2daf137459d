//! `wpar mount`: shows what is in an image, without a system that runs.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use wpar_mountd::spec::{Access, MountSpec, SpaceLimits};

use super::context::Context;
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::output;
use super::prepared::Prepared;
use super::verbs::{Arguments, Verb, Words};
use crate::model::Source;
use crate::mounts::{self, MountOrder, StoreProblem};
use crate::policy::mount_spec::{lower_spec, share};
use crate::registry::Layout;
use crate::source::image::Purpose;
use crate::source::privilege::is_host_root;

pub(super) const VERB: Verb = Verb::own::<MountArguments>(Words {
    name: "mount",
    about: "Show what is in a backup image, or list what is shown",
    description: "Mounts an image on a directory, read-only: to look into a backup, to compare it, to \
        take files from it with cp or rsync. Nothing is unpacked. The image is anything that \
        mkwpar -B takes: an archive, which is indexed when it is used for the first time; a \
        file system in a file or a disk, for root only; or a directory.\n\n\
        With -w the mount can be written to: what is written goes to the directory UPPER, which \
        is made if it does not exist and can be used again with the same image.\n\n\
        A mount that root makes is for everybody, and owners and modes count in it. Users \
        without privileges need the program fusermount3, or 'unshare -Urm'; their mounts are for \
        themselves, who can read all of the image, and so also files of mode 0600 in it.\n\n\
        The command ends when the mount can be used; a process stays with it, which \
        lets another daemon go on if the one that answers dies. Without arguments, the mounts are listed.",
    examples: &[
        ("Look into a backup", "wpar mount /backup/web1.tar /mnt"),
        (
            "Change files in it, in a directory of one's own",
            "wpar mount -w ~/changes web1.tar.zst ~/web1",
        ),
        ("List the mounts", "wpar mount"),
    ],
    compatibility: "AIX has restorevgfiles and 'lsmksysb', which read a mksysb from one end to the other; this \
        is an addition.",
});

/// Arguments of `wpar mount`.
#[derive(Debug, clap::Args)]
pub(super) struct MountArguments {
    /// The image; without it, the mounts are listed
    #[arg(value_name = "IMAGE", requires = "directory")]
    image: Option<PathBuf>,

    /// An existing directory
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,

    /// Let it be written to, and keep what is written in the directory UPPER
    #[arg(short = 'w', long = "rw", value_name = "UPPER", requires = "image")]
    upper: Option<PathBuf>,

    /// Stay, and unmount when this command is ended
    #[arg(short = 'f', long = "foreground", requires = "image")]
    foreground: bool,

    /// Append what the daemon has to say to FILE
    #[arg(short = 'l', long = "log", value_name = "FILE", requires = "image")]
    log: Option<PathBuf>,

    /// Say more: all warnings about the image, how long it took
    #[arg(short = 'v', long = "verbose")]
    verbose: bool,
}

impl Arguments for MountArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        match (&self.image, &self.directory) {
            (Some(image), Some(directory)) => self.mount(context, image, directory),
            _ => list(),
        }
    }
}

/// Prints the mounts, in the words of mount(8).
pub(super) fn list() -> CliResult<Exit> {
    let mounts =
        mounts::list().map_err(|error| CliError::io("cannot read /proc/self/mountinfo", &error))?;
    let line = |mount: &mounts::Mounted| {
        let writing = if mount.read_only { "ro" } else { "rw" };
        format!(
            "{} on {} ({writing})\n",
            mount.source,
            mount.point.display()
        )
    };
    output::print(&mounts.iter().map(line).collect::<String>())?;
    Ok(Exit::Success)
}

impl MountArguments {
    fn mount(&self, context: &Context, image: &Path, directory: &Path) -> CliResult<Exit> {
        let begun = Instant::now();
        let point = mount_point(directory)?;
        context
            .interrupts
            .install()
            .map_err(|error| CliError::io("cannot take over the signals", &error))?;
        let log = self.log()?;
        let prepared = Prepared::for_purpose(context, image, Purpose::Look)?;
        let order = self.order(&context.layout, image, point, &prepared.source)?;
        context.interrupts.check()?;
        let interrupted = || context.interrupts.pending();
        let kept = mounts::start(&order, log, &interrupted);
        context.interrupts.check()?;
        let keeping = kept.map_err(|reason| {
            CliError::new(format!("cannot mount {}: {reason}", image.display()))
        })?;
        prepared.report_image(context, self.verbose);
        if self.verbose {
            context.note(format_args!(
                "{} is mounted on {} ({})",
                order.source,
                order.point.display(),
                output::duration(begun.elapsed())
            ));
        }
        if self.foreground {
            keeping.attend(&interrupted).map_err(CliError::new)?;
        }
        Ok(Exit::Success)
    }

    fn order(
        &self,
        layout: &Layout,
        image: &Path,
        point: PathBuf,
        source: &Source,
    ) -> CliResult<MountOrder> {
        let store = match &self.upper {
            Some(upper) => Some(store(upper, &point, source)?),
            None => None,
        };
        let access = if is_host_root() {
            Access::Checked
        } else {
            Access::Owner
        };
        let mut lower = lower_spec(source);
        if access == Access::Checked {
            share(&mut lower, layout);
        }
        Ok(MountOrder {
            source: source.path().unwrap_or(image).display().to_string(),
            point,
            spec: MountSpec {
                lower,
                store,
                hidden: Vec::new(),
                limits: SpaceLimits::default(),
                access,
            },
            foreground: self.foreground,
        })
    }

    /// Where the daemon's words go.
    fn log(&self) -> CliResult<Stdio> {
        let Some(path) = &self.log else {
            return Ok(match self.foreground {
                true => Stdio::inherit(),
                false => Stdio::null(),
            });
        };
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map(Stdio::from)
            .map_err(|error| CliError::io(format!("cannot open {}", path.display()), &error))
    }
}

/// The directory to mount on, which must exist and not be a mount of ours already.
fn mount_point(directory: &Path) -> CliResult<PathBuf> {
    let shown = directory.display();
    let point = mounts::point_of(directory);
    let there = mounts::list().unwrap_or_default();
    if let Some(mount) = there.iter().find(|mount| mount.point == point) {
        return Err(
            CliError::new(format!("{} is mounted on {shown} already", mount.source))
                .hint(format!("take it off first with 'wpar umount {shown}'")),
        );
    }
    match fs::metadata(&point) {
        Ok(metadata) if metadata.is_dir() => Ok(point),
        Ok(_) => Err(CliError::new(format!("{shown} is not a directory"))
            .hint("name an existing directory to mount on")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(CliError::new(format!("there is no directory {shown}"))
                .hint(format!("make it with 'mkdir {shown}'")))
        }
        Err(error) => Err(CliError::io(format!("cannot mount on {shown}"), &error)),
    }
}

/// The store in `upper`, apart from what is shown and from where it is shown.
fn store(upper: &Path, point: &Path, source: &Source) -> CliResult<PathBuf> {
    let store = mounts::prepare_store(upper, source)?;
    let shown = upper.display();
    if store.starts_with(point) {
        return Err(
            CliError::usage(format!("{shown} lies in the directory that is mounted on"))
                .hint("name a directory elsewhere with -w"),
        );
    }
    match source {
        Source::Tree { path, .. } if store.starts_with(path) => Err(CliError::usage(format!(
            "{shown} lies in the directory that is shown"
        ))
        .hint("name a directory elsewhere with -w")),
        _ => Ok(store),
    }
}

impl From<StoreProblem> for CliError {
    fn from(problem: StoreProblem) -> Self {
        match &problem {
            StoreProblem::Io { source, .. } => Self::io(&problem, source),
            StoreProblem::Foreign { .. } => Self::new(problem.to_string())
                .hint("name an empty directory, or one that does not exist yet"),
            StoreProblem::OfAnother { .. } => Self::new(problem.to_string())
                .hint("name another directory with -w, or remove that one"),
        }
    }
}
