//! Which snapshots a copy of the running system needs, and whether they can be taken.

use std::path::{Path, PathBuf};

use super::Ground;
use crate::model::Frozen;
use crate::model::frozen::{DIRECTORY, Snapshot, SnapshotKind};
use crate::model::view::Part;
use crate::source::host::{HostFacts, Mount, visible};

/// Number of the root of every subvolume (`BTRFS_FIRST_FREE_OBJECTID`).
const SUBVOLUME_ROOT: u64 = 256;

/// What snapshots are wanted of.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Name of the WPAR.
    pub name: &'a str,
    /// The file systems besides that of `/`.
    pub parts: &'a [Part],
    /// Where the tool keeps snapshots on its own file system.
    pub place: &'a Path,
    /// Now, in seconds since 1970.
    pub now: u64,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Planned {
    /// These can be taken.
    All(Frozen),
    /// There is one that no snapshot can be taken of: why.
    Impossible(String),
}

/// Plans snapshots of `/` and of all parts.
pub fn plan(ground: &dyn Ground, facts: &dyn HostFacts, wanted: &Wanted<'_>) -> Planned {
    let seen = visible(facts.mounts());
    let name = format!("wpar-{}-{}", wanted.name, wanted.now);
    let place = Place::of(&seen, facts, wanted.place);
    let mut snapshots = Vec::new();
    let nested = wanted
        .parts
        .iter()
        .map(|part| (part.point.as_str(), part.nested));
    for (number, (point, nested)) in std::iter::once(("", false)).chain(nested).enumerate() {
        let path = Path::new("/").join(point);
        let Some(mount) = seen
            .iter()
            .find(|mount| path.starts_with(&mount.point) && (nested || mount.point == path))
        else {
            return Planned::Impossible(format!("{} is not mounted", path.display()));
        };
        // Of nested ones the nearest mount counts.
        let mount = match nested {
            true => nearest(&seen, &path).unwrap_or(mount),
            false => mount,
        };
        let name = match number {
            0 => name.clone(),
            number => format!("{name}.{number}"),
        };
        match one(ground, facts, mount, &path, name, &place) {
            Ok(snapshot) => snapshots.push(Snapshot {
                point: point.to_owned(),
                ..snapshot
            }),
            Err(why) => return Planned::Impossible(format!("{}: {why}", path.display())),
        }
    }
    Planned::All(Frozen {
        taken: wanted.now,
        spread: 0,
        snapshots,
    })
}

/// Where the tool keeps snapshots, and the device that it is on.
struct Place {
    path: PathBuf,
    device: Option<String>,
}

impl Place {
    fn of(seen: &[&Mount], facts: &dyn HostFacts, path: &Path) -> Self {
        let parent = path.parent().unwrap_or(path);
        let real = facts.resolve(parent).map(|(real, _)| real);
        let mount = real.and_then(|real| nearest(seen, &real.join("x")));
        Self {
            path: path.to_owned(),
            device: mount
                .filter(|mount| mount.fs_type == "btrfs")
                .map(|mount| mount.source.clone()),
        }
    }
}

fn nearest<'m>(seen: &[&'m Mount], path: &Path) -> Option<&'m Mount> {
    let of_path = |above: &Path| seen.iter().find(|mount| mount.point == above).copied();
    path.ancestors().find_map(of_path)
}

fn one(
    ground: &dyn Ground,
    facts: &dyn HostFacts,
    mount: &Mount,
    path: &Path,
    name: String,
    place: &Place,
) -> Result<Snapshot, String> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let snapshot = |kind, path: PathBuf, of: String, name: String| Snapshot {
        point: String::new(),
        kind,
        path,
        of,
        name,
        fs_type: mount.fs_type.clone(),
        mark: None,
    };
    match mount.fs_type.as_str() {
        "btrfs" => {
            if facts
                .mark(path)
                .is_none_or(|mark| mark.inode != SUBVOLUME_ROOT)
            {
                return Err("a directory of a btrfs, not a subvolume".to_owned());
            }
            let directory = match &place.device {
                Some(device) if *device == mount.source => place.path.clone(),
                _ => mount.point.join(DIRECTORY),
            };
            let at = directory.join(&name);
            Ok(snapshot(SnapshotKind::Btrfs, at, text(path), name))
        }
        "zfs" => {
            let at = path.join(".zfs/snapshot").join(&name);
            Ok(snapshot(SnapshotKind::Zfs, at, mount.source.clone(), name))
        }
        fs_type if !mount.is_whole => Err(format!("a directory of an {fs_type}")),
        fs_type => match thin_volume(ground, mount) {
            Some(volume) => {
                let at = place.path.join(&name);
                Ok(snapshot(SnapshotKind::Lvm, at, volume, name))
            }
            None => Err(format!(
                "{fs_type} on {}, neither btrfs nor ZFS nor on a thin volume of LVM",
                mount.source
            )),
        },
    }
}

/// `VG/LV`, if the file system lies on a thin volume.
fn thin_volume(ground: &dyn Ground, mount: &Mount) -> Option<String> {
    let looks_so = mount.source.starts_with("/dev/mapper/") || mount.source.starts_with("/dev/dm-");
    if !looks_so {
        return None;
    }
    let columns = "vg_name,lv_name,segtype";
    let arguments = [
        "--noheadings",
        "--separator",
        "/",
        "-o",
        columns,
        &mount.source,
    ];
    let told = ground.run("lvs", &arguments).ok()?;
    let mut fields = told.trim().split('/');
    match (fields.next(), fields.next(), fields.next(), fields.next()) {
        (Some(group), Some(volume), Some("thin"), None) => Some(format!("{group}/{volume}")),
        _ => None,
    }
}

/// What the administrator has mounted at `path`: a snapshot of `/`, and what is mounted in it.
///
/// # Errors
/// Why it is none.
pub fn given(
    ground: &dyn Ground,
    facts: &dyn HostFacts,
    path: &Path,
    now: u64,
) -> Result<(Vec<Part>, Frozen), String> {
    let real = match facts.resolve(path) {
        Some((real, crate::source::host::PathKind::Directory)) if real != Path::new("/") => real,
        Some(_) => return Err("it is not a directory with a snapshot of /".to_owned()),
        None => return Err("there is nothing".to_owned()),
    };
    if facts.resolve(&real.join("etc")).is_none() || facts.resolve(&real.join("usr")).is_none() {
        return Err("there are no etc and usr in it".to_owned());
    }
    let seen = visible(facts.mounts());
    let root = nearest(&seen, &real).map(|mount| mount.fs_type.clone());
    let snapshot = |point: &str, path: &Path, fs_type: String| Snapshot {
        point: point.to_owned(),
        kind: SnapshotKind::Given,
        path: path.to_owned(),
        of: Path::new("/").join(point).display().to_string(),
        name: path.display().to_string(),
        fs_type,
        mark: ground.mark(path),
    };
    let mut snapshots = vec![snapshot("", &real, root.unwrap_or_default())];
    let mut parts = Vec::new();
    for mount in seen.iter().filter(|mount| mount.is_storage()) {
        let below = mount.point.strip_prefix(&real).ok();
        let Some(point) = below
            .and_then(Path::to_str)
            .filter(|point| !point.is_empty())
        else {
            continue;
        };
        snapshots.push(snapshot(point, &mount.point, mount.fs_type.clone()));
        parts.push(Part {
            point: point.to_owned(),
            fs_type: mount.fs_type.clone(),
            source: mount.source.clone(),
            mark: ground.mark(&mount.point),
            nested: false,
            reason: format!("mounted in {}", real.display()),
        });
    }
    let frozen = Frozen {
        taken: now,
        spread: 0,
        snapshots,
    };
    Ok((parts, frozen))
}
