//! Whether a copy of a backup can have the `/usr` of the host, or of another system, in place of its own.
//!
//! That is sound only if both have the same packages there: a program of another version than its
//! configuration, or none at all, is no copy of the system any more.

use std::collections::BTreeSet;

use wpar_mountd::spec::{Access, MountSpec, SpaceLimits};
use wpar_mountd::types::FileKind;

use super::context::Context;
use super::create::running_host;
use super::decisions::{self, Copied};
use super::error::{CliError, CliResult};
use super::lender::{Lender, fingerprint_of};
use crate::model::base::USR_PARTS;
use crate::model::{
    Base, BaseSystem, CopyControls, Edit, Hostname, Put, Source, SpecFile, WparRecord,
};
use crate::packages::{self, Detail, PackageDatabase, Status};
use crate::policy::mount_spec::{lower_spec, share};
use crate::policy::synchronize::shared_status;
use crate::policy::system_copy::{hidden_filesets, root_part};
use crate::registry::Layout;
use crate::source::files::{Files, join};
use crate::source::level;
use crate::source::tree::OfflineTree;

/// Largest file of a data base that is read.
const RECORDS_MAX: u64 = 128 << 20;

/// What a copy of this backup has of another system; `None` for nothing.
pub(super) fn base(
    context: &Context,
    source: &Source,
    controls: CopyControls,
    settings: &SpecFile,
    system: BaseSystem,
) -> CliResult<Option<Base>> {
    if matches!(source, Source::Host | Source::Fresh) {
        return Ok(None);
    }
    let layout = &context.layout;
    let image = open(layout, source)?;
    let has_usr = has_usr(image.overlay())?;
    match settings.private_usr {
        Some(true) if !has_usr && needs_usr(&image) => {
            return Err(CliError::new("the backup has no /usr")
                .hint("leave -l out, and the copy shares the /usr of the host"));
        }
        Some(true) => return Ok(None),
        Some(false) => {}
        None if settings.usr_from.is_some() => {}
        // What has neither /usr nor packages with a part there is whole as it is.
        None if has_usr || !needs_usr(&image) => return Ok(None),
        None => {}
    }
    let base = Base {
        system,
        private: false,
        points: Vec::new(),
        packages: None,
    };
    let Some(why) = unsound(layout, &image, controls, &base, has_usr)? else {
        return Ok(Some(base));
    };
    if !has_usr {
        return Err(CliError::new(format!(
            "the backup has no /usr, and cannot have that of {}: {why}",
            base.system
        ))
        .hint("bring both to the same packages, or make a backup with /usr"));
    }
    context.note(format_args!(
        "the copy has its own /usr, because it cannot share that of {}: {why}",
        base.system
    ));
    Ok(None)
}

/// The files of a backup alone.
fn open(layout: &Layout, source: &Source) -> CliResult<OfflineTree> {
    let mut lower = lower_spec(source);
    share(&mut lower, layout);
    Ok(OfflineTree::open(&MountSpec {
        lower,
        store: None,
        hidden: Vec::new(),
        limits: SpaceLimits::default(),
        access: Access::Checked,
    })?)
}

fn has_usr(files: &dyn Files) -> CliResult<bool> {
    for path in ["usr/bin", "usr/lib", "usr/sbin"] {
        let found = files.real(path.as_bytes()).map_err(decisions::unreadable)?;
        if matches!(found, Some((_, FileKind::Directory))) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether packages of the backup have something in `/usr`.
fn needs_usr(image: &OfflineTree) -> bool {
    let database = packages::read(image.overlay(), Detail::Paths);
    let packages = database.ok().flatten().map(|database| database.packages);
    let in_usr = |path: &Vec<u8>| path.starts_with(b"usr/");
    packages
        .into_iter()
        .flatten()
        .any(|package| package.status != Status::Removed && package.paths.iter().any(in_usr))
}

/// The packages of a system, and which of them a WPAR does not see.
fn known(
    layout: &Layout,
    files: &dyn Files,
    controls: CopyControls,
) -> CliResult<Option<(PackageDatabase, BTreeSet<String>)>> {
    let Ok(Some(database)) = packages::read(files, Detail::Paths) else {
        return Ok(None);
    };
    let hostname = Hostname::new("copy").map_err(|error| CliError::new(error.to_string()))?;
    let copied = Copied {
        files,
        is_running: false,
        controls,
        hostname: &hostname,
    };
    let found = decisions::with(layout, &copied, |situation| {
        root_part::filesets_of(situation, Some(&database))
    })?;
    Ok(Some((database, hidden_filesets(&found.view))))
}

/// Why the copy cannot share; `None` if it can.
fn unsound(
    layout: &Layout,
    image: &OfflineTree,
    controls: CopyControls,
    base: &Base,
    has_usr: bool,
) -> CliResult<Option<String>> {
    let host = running_host()?;
    let lender = Lender::open(layout, &host, controls, base)?;
    let of_base = known(layout, lender.tree.overlay(), controls)?;
    let of_image = known(layout, image.overlay(), controls)?;
    let (Some((of_base, hidden)), Some((of_image, hidden_too))) = (of_base, of_image) else {
        return Ok(Some("one of the two has no package data base".to_owned()));
    };
    if has_usr {
        let read = |tree: &OfflineTree| level::read(tree.overlay()).map_err(decisions::unreadable);
        let (one, other) = (read(image)?, read(&lender.tree)?);
        if !one.is_same(&other) {
            return Ok(Some(format!(
                "it is at level {}, the other at {}",
                one.beside(&other),
                other.beside(&one)
            )));
        }
    }
    if fingerprint_of(&of_base, &hidden).usr == fingerprint_of(&of_image, &hidden_too).usr {
        return Ok(None);
    }
    Ok(Some(format!(
        "their packages differ{}",
        example(&of_base, &hidden, &of_image, &hidden_too)
    )))
}

/// One package that only one of two systems has in this version.
fn example(
    base: &PackageDatabase,
    hidden: &BTreeSet<String>,
    image: &PackageDatabase,
    hidden_too: &BTreeSet<String>,
) -> String {
    let versions = |database: &PackageDatabase, hidden: &BTreeSet<String>| -> BTreeSet<String> {
        let present = database.packages.iter().filter(|package| {
            let key = format!("{}:{}", package.name, package.architecture);
            package.status != Status::Removed && !hidden.contains(&key)
        });
        present
            .map(|package| format!("{} {}", package.name, package.version))
            .collect()
    };
    let (base, image) = (versions(base, hidden), versions(image, hidden_too));
    let only =
        |one: &BTreeSet<String>, other: &BTreeSet<String>| one.difference(other).next().cloned();
    match (only(&image, &base), only(&base, &image)) {
        (Some(name), _) => format!(": the backup has {name}, for one"),
        (None, Some(name)) => format!(": the backup lacks {name}, for one"),
        (None, None) => String::new(),
    }
}

/// Records of packages that only the backup has, and that are wholly outside of what is shared: written
/// besides those of the base.
pub(super) fn local_records(
    layout: &Layout,
    record: &WparRecord,
    base: &Base,
    lender: &Lender,
    edits: &mut [Edit],
) -> CliResult<Vec<Edit>> {
    if !base.lends(shared_status::STATUS) {
        return Ok(Vec::new());
    }
    let image = open(layout, &record.source)?;
    let files = image.overlay();
    let Some((database, hidden)) = known(layout, files, record.copy_controls)? else {
        return Ok(Vec::new());
    };
    let of_base = lender.database();
    let of_base: BTreeSet<_> = of_base
        .iter()
        .flat_map(|database| &database.packages)
        .map(|package| format!("{}:{}", package.name, package.architecture))
        .collect();
    let in_usr = |path: &Vec<u8>| {
        let mut first = path.split(|&byte| byte == b'/');
        let first = first.next().unwrap_or_default();
        USR_PARTS.iter().any(|usr| usr.as_bytes() == first)
    };
    let mut keys = BTreeSet::new();
    let mut names = BTreeSet::new();
    for package in &database.packages {
        let key = format!("{}:{}", package.name, package.architecture);
        let is_local = package.status != Status::Removed
            && !hidden.contains(&key)
            && !of_base.contains(&key)
            && !package.paths.iter().any(in_usr);
        if is_local {
            names.insert(package.name.clone());
            names.insert(key.clone());
            keys.insert(key);
        }
    }
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let read = |path: &[u8]| {
        let contents = Files::read(files, path, RECORDS_MAX).map_err(decisions::unreadable);
        contents.map(Option::unwrap_or_default)
    };
    let stanzas = shared_status::only(&read(shared_status::STATUS.as_bytes())?, &keys);
    for edit in edits {
        if let (true, Put::File { contents, .. }) =
            (edit.path == shared_status::STATUS, &mut edit.what)
        {
            contents.extend_from_slice(&stanzas);
        }
    }
    let mut more = Vec::new();
    let info = shared_status::INFO.as_bytes();
    for (file, _) in Files::names(files, info).map_err(decisions::unreadable)? {
        let Ok(name) = String::from_utf8(file) else {
            continue;
        };
        let Some((owner, _)) = name.rsplit_once('.') else {
            continue;
        };
        if names.contains(owner) {
            let is_script = !name.ends_with("list") && !name.ends_with("sums");
            more.push(Edit {
                path: format!("{}/{name}", shared_status::INFO),
                what: Put::File {
                    contents: read(&join(info, name.as_bytes()))?,
                    permissions: if is_script { 0o755 } else { 0o644 },
                },
                reason: "a package that only the backup has".to_owned(),
            });
        }
    }
    Ok(more)
}
