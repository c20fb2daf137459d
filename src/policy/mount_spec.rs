//! From the record of a WPAR to the mount of its root.

use std::path::{Path, PathBuf};

use wpar_mountd::lower::tar::shared_file;
use wpar_mountd::spec::{Access, Below, Graft, HiddenName, LowerSpec, MountSpec, SpaceLimits};

use super::{PolicyError, base, exclusions, root_group};
use crate::model::view::Part;
use crate::model::{Frozen, Source, View, WparRecord};
use crate::registry::Layout;
use crate::source::host::HostFacts;

/// The mount of a WPAR's root, with what `view` hides. What the running system has mounted is looked at anew each time:
/// a file system that was mounted since must not appear in the copy.
///
/// # Errors
/// A file system that is part of a copy of the running system, and is not there.
pub fn mount_spec(
    record: &WparRecord,
    view: &View,
    layout: &Layout,
    host: &dyn HostFacts,
) -> Result<MountSpec, PolicyError> {
    let (mut lower, mut hidden) = match (&record.source, &record.base) {
        (source, Some(lender)) => {
            let (grafts, hidden) = base::grafts(lender, record.copy_controls, view, layout, host)?;
            let root = match source {
                Source::Fresh => None,
                source => {
                    let mut root = lower_spec(source);
                    share(&mut root, layout);
                    Some(Box::new(root))
                }
            };
            (LowerSpec::Joined { root, grafts }, hidden)
        }
        (Source::Host, None) => {
            let found = exclusions::host(host, record.copy_controls, &own_places(layout), view);
            (host_lower(view, host)?, found.hidden)
        }
        (source, None) => (lower_spec(source), Vec::new()),
    };
    hidden.extend(view.hidden.iter().cloned());
    share(&mut lower, layout);
    let mut store = layout.store(&record.name);
    for generation in &view.generations {
        let number = generation.number;
        let below = Below {
            lower,
            hidden: std::mem::take(&mut hidden),
            store,
        };
        lower = LowerSpec::Rebased {
            below: Box::new(below),
            other: Box::new(running_lower(&generation.parts, host)?),
            list: layout.generation_names(&record.name, number),
        };
        store = layout.generation_store(&record.name, number);
    }
    Ok(MountSpec {
        lower,
        store: Some(store),
        hidden,
        limits: SpaceLimits {
            bytes: record.limits.size,
            inodes: record.limits.inodes,
        },
        access: Access::Checked,
    })
}

/// What is shown underneath of what is made from `source`.
pub fn lower_spec(source: &Source) -> LowerSpec {
    match source {
        Source::Host => LowerSpec::Directory {
            path: PathBuf::from("/"),
        },
        Source::Fresh => LowerSpec::Joined {
            root: None,
            grafts: Vec::new(),
        },
        Source::Tree { path, .. } => LowerSpec::Directory { path: path.clone() },
        Source::FileSystem(source) => LowerSpec::FileSystem(source.into()),
        Source::Image { path, index, .. } => LowerSpec::Image {
            path: path.clone(),
            index: index.clone(),
            shared: None,
        },
    }
}

/// The running system, with the file systems that are part of it by `view`.
///
/// # Errors
/// Those of [`root_group::grafts`].
pub fn host_lower(view: &View, host: &dyn HostFacts) -> Result<LowerSpec, PolicyError> {
    match &view.frozen {
        Some(frozen) => frozen_lower(frozen, view, host),
        None => running_lower(&view.parts, host),
    }
}

/// The running system with these file systems in it.
fn running_lower(parts: &[Part], host: &dyn HostFacts) -> Result<LowerSpec, PolicyError> {
    let path = PathBuf::from("/");
    if parts.is_empty() {
        return Ok(LowerSpec::Directory { path });
    }
    let grafts = root_group::grafts(parts, host)?;
    Ok(LowerSpec::Grafted { path, grafts })
}

/// The snapshots in place of the running system. Each must be the one that was taken.
fn frozen_lower(
    frozen: &Frozen,
    view: &View,
    host: &dyn HostFacts,
) -> Result<LowerSpec, PolicyError> {
    let missing = |point: &str| PolicyError::SnapshotMissing {
        point: Path::new("/").join(point),
        path: PathBuf::new(),
    };
    let mut snapshots = frozen.snapshots.iter().map(|snapshot| {
        let is_there = snapshot.mark.is_some() && host.mark(&snapshot.path) == snapshot.mark;
        match is_there {
            true => Ok(snapshot),
            false => Err(PolicyError::SnapshotMissing {
                point: Path::new("/").join(&snapshot.point),
                path: snapshot.path.clone(),
            }),
        }
    });
    let root = snapshots.next().ok_or_else(|| missing(""))??;
    let mut grafts = Vec::with_capacity(view.parts.len());
    for part in &view.parts {
        let snapshot = snapshots.next().ok_or_else(|| missing(&part.point))??;
        grafts.push(Graft {
            point: part.point.clone(),
            from: Some(snapshot.path.clone()),
            mark: snapshot.mark,
            read_only: false,
        });
    }
    Ok(LowerSpec::Frozen {
        path: root.path.clone(),
        grafts,
    })
}

/// Lets a lower share what is decoded of it with all others of its image.
pub fn share(lower: &mut LowerSpec, layout: &Layout) {
    if let LowerSpec::Image { index, shared, .. } = lower {
        *shared = Some(shared_file(index, &layout.chunks_dir()));
    }
}

/// Where the tool keeps things, and so what a copy of the running system never shows.
pub fn own_places(layout: &Layout) -> Vec<PathBuf> {
    vec![layout.state_dir(), layout.run_parent(), layout.wpars_dir()]
}

/// Directories that the launcher mounts a temporary file system on: those that every boot is to
/// find empty. (An image's `/tmp` is part of the image.)
pub fn temporary_directories(source: &Source) -> Vec<String> {
    match source {
        Source::Host | Source::Fresh => vec!["/tmp".to_owned()],
        Source::Image { .. } | Source::FileSystem(_) | Source::Tree { .. } => Vec::new(),
    }
}

/// One line for a hidden name, for `-v`.
pub fn describe(name: &HiddenName) -> String {
    let what = match name.extent {
        wpar_mountd::spec::HiddenExtent::Name => "",
        wpar_mountd::spec::HiddenExtent::Contents => "/*",
    };
    format!("/{}{what} ({})", name.path, name.reason)
}
