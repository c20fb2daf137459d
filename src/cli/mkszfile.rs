//! `mkszfile`: writes `/image.data`.

use std::fs;
use std::path::{Path, PathBuf};

use super::context::Context;
use super::create::running_host;
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::output;
use super::verbs::{Arguments, Verb, Words};
use crate::backup::describe::{BackupFacts, image_data};
use crate::backup::facts;
use crate::backup::plan::{self, SystemPlan};
use crate::model::CopyControls;
use crate::model::image_data::{IMAGE_DATA, ImageData, Stanza};
use crate::policy::mount_spec::own_places;
use crate::registry::{Layout, atomic};

pub(super) const VERB: Verb = Verb::aix::<SizeArguments>(Words {
    name: "mkszfile",
    about: "Describe the running system in /image.data",
    description: "Writes /image.data: level, time and file systems of the root volume group, with \
        their sizes. A backup made by mksysb begins with it. 'mksysb -i' does this by itself; to \
        change the file by hand, call mkszfile, edit it, and call mksysb without -i.",
    examples: &[
        ("Write /image.data", "mkszfile"),
        ("With the disks of the system", "mkszfile -m"),
    ],
    compatibility: "There are no logical volumes in it: fs_data says type and device of each file \
        system instead. -m adds one source_disk_data for each disk. -X has no effect.",
});

/// Arguments of `mkszfile`.
#[derive(Debug, clap::Args)]
pub(super) struct SizeArguments {
    /// With the disks of the system
    #[arg(short = 'm', long = "maps")]
    maps: bool,

    /// Let /tmp grow if need be: accepted for AIX's sake, nothing is put there
    #[arg(short = 'X', long = "expand")]
    _expand: bool,
}

impl Arguments for SizeArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        context.require_root()?;
        let plan = system_plan(context, CopyControls::default(), &[])?;
        let facts = system_facts(&plan);
        let path = write(&context.layout, &describe(&facts, self.maps))?;
        output::say(format_args!("{} was written", path.display()));
        Ok(Exit::Success)
    }
}

/// Where `image.data` is.
pub(super) fn path(layout: &Layout) -> PathBuf {
    layout.root().join(IMAGE_DATA)
}

/// What a backup of the running system takes.
pub(super) fn system_plan(
    context: &Context,
    controls: CopyControls,
    directories: &[String],
) -> CliResult<SystemPlan> {
    let host = running_host()?;
    let own = own_places(&context.layout);
    Ok(plan::system(&host, controls, &own, directories)?)
}

/// The facts about the running system.
pub(super) fn system_facts(plan: &SystemPlan) -> BackupFacts {
    BackupFacts {
        file_systems: facts::file_systems(&plan.members),
        ..facts::gather(&facts::below(Path::new("/")))
    }
}

/// `image.data` of these facts; with `maps`, the disks too.
pub(super) fn describe(facts: &BackupFacts, maps: bool) -> ImageData {
    let mut data = image_data(facts);
    if maps {
        disks().into_iter().for_each(|disk| data.push(disk));
    }
    data
}

/// Writes `image.data` in its place.
pub(super) fn write(layout: &Layout, data: &ImageData) -> CliResult<PathBuf> {
    let path = path(layout);
    let root = layout.root();
    fs::create_dir_all(root)
        .map_err(|error| CliError::io(format!("cannot make {}", root.display()), &error))?;
    atomic::write(&path, data.to_string().as_bytes())?;
    Ok(path)
}

/// One stanza for each disk of the host.
fn disks() -> Vec<Stanza> {
    let entries = fs::read_dir("/sys/block").into_iter().flatten();
    let mut names: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .filter(|name| {
            !["loop", "ram", "zram"]
                .iter()
                .any(|kind| name.starts_with(kind))
        })
        .collect();
    names.sort_unstable();
    let text = |name: &str, file: &str| {
        let text = fs::read_to_string(format!("/sys/block/{name}/{file}")).unwrap_or_default();
        text.trim().to_owned()
    };
    let disk = |name: &String| {
        let blocks: u64 = text(name, "size").parse().unwrap_or(0);
        Stanza::new("source_disk_data")
            .field("HDISKNAME", name)
            .field("SIZE_MB", blocks / 2048)
            .field("MODEL", text(name, "device/model"))
    };
    names.iter().map(disk).collect()
}
