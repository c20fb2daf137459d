//! What the base of a WPAR lends it ([`Base`]): `/usr`, `/opt`, and the files of the package data base
//! that go with them.
//!
//! The data base of a system says what is in its `/usr`, so it must follow that. Where it is a directory
//! outside, it is taken along as the base has it, for the WPAR to change; what the WPAR has on record
//! is written over it when it is made and synchronized. What is hidden of the running system is hidden
//! here, too.

use std::path::Path;

use wpar_mountd::error::FsError;
use wpar_mountd::spec::{Graft, HiddenName, LowerSpec};
use wpar_mountd::types::FileKind;

use super::mount_spec::{host_lower, own_places};
use super::synchronize::shared_status;
use super::{PolicyError, exclusions, root_group};
use crate::model::base::USR_PARTS;
use crate::model::view::Part;
use crate::model::{Base, BaseSystem, CopyControls, Edit, Put, View};
use crate::registry::Layout;
use crate::source::files::Files;
use crate::source::host::HostFacts;

/// Where data bases are that are directories of many files.
const DATA_BASES: [&str; 4] = [
    "var/lib/dpkg",
    "var/lib/rpm",
    "var/lib/pacman",
    "lib/apk/db",
];

/// What a base with these files lends: the points of a new [`Base`].
///
/// # Errors
/// Those of reading the base.
pub fn points(files: &dyn Files) -> Result<Vec<String>, FsError> {
    let mut points: Vec<String> = USR_PARTS.map(str::to_owned).to_vec();
    for path in DATA_BASES {
        // One that is a link, or below one, is in /usr already.
        let real = files.real(path.as_bytes())?;
        if real == Some((path.as_bytes().to_vec(), FileKind::Directory)) {
            points.push(path.to_owned());
        }
    }
    Ok(points)
}

/// The file of a data base that says which packages there are, where it is one of several that can be
/// written over: so that a WPAR has on record what it was synchronized with, and not what its base has
/// got since.
const RECORDS: [&str; 2] = ["var/lib/dpkg/status", "lib/apk/db/installed"];
/// Largest such file.
const RECORDS_MAX: u64 = 128 << 20;

/// Writes the records of the base's packages into the WPAR, as far as `edits` do not.
///
/// # Errors
/// Those of reading the base.
pub fn pins(base: &Base, files: &dyn Files, edits: &[Edit]) -> Result<Vec<Edit>, FsError> {
    let mut pins = Vec::new();
    for path in RECORDS {
        let is_written = edits.iter().any(|edit| edit.path == path);
        if is_written || !base.lends(path) {
            continue;
        }
        if let Some(contents) = files.read(path.as_bytes(), RECORDS_MAX)? {
            pins.push(Edit {
                path: path.to_owned(),
                what: Put::File {
                    contents: match path {
                        shared_status::STATUS => shared_status::without_removed(&contents),
                        _ => contents,
                    },
                    permissions: 0o644,
                },
                reason: "the packages that the root part was made of".to_owned(),
            });
        }
    }
    Ok(pins)
}

/// The file systems of the running system that are in what it lends, of all that are part of it.
pub fn parts(base: &Base, of_system: Vec<Part>) -> Vec<Part> {
    let below = |part: &Part| base.lends(&part.point) && !base.points.contains(&part.point);
    of_system.into_iter().filter(below).collect()
}

/// What is shown of the base in a WPAR, and which names of it are hidden, besides those of the view.
///
/// # Errors
/// A base that is another one than before.
pub fn grafts(
    base: &Base,
    controls: CopyControls,
    view: &View,
    layout: &Layout,
    host: &dyn HostFacts,
) -> Result<(Vec<Graft>, Vec<HiddenName>), PolicyError> {
    require_same(base, host)?;
    let root = base.system.root();
    let lent = base.points.iter().map(|point| {
        let from = root.join(point);
        Graft {
            point: point.clone(),
            from: host.resolve(&from).is_some().then_some(from),
            mark: None,
            read_only: base.is_sealed(point),
        }
    });
    let mut grafts: Vec<_> = lent.collect();
    if base.system != BaseSystem::Host {
        return Ok((grafts, Vec::new()));
    }
    let sealed = |point: &str| {
        let above = |usr: &&str| Path::new(point).starts_with(usr);
        !base.private && USR_PARTS.iter().any(above)
    };
    let mounted = root_group::grafts(&view.parts, host)?;
    grafts.extend(mounted.into_iter().map(|graft| Graft {
        read_only: sealed(&graft.point),
        ..graft
    }));
    let hidden = exclusions::host(host, controls, &own_places(layout), view).hidden;
    let is_lent = |name: &HiddenName| base.lends(&name.path) && !base.points.contains(&name.path);
    Ok((grafts, hidden.into_iter().filter(is_lent).collect()))
}

/// The whole system that lends, to look at.
///
/// # Errors
/// A base that is another one than before, or of which a part is missing.
pub fn whole(
    base: &Base,
    controls: CopyControls,
    parts: &View,
    layout: &Layout,
    host: &dyn HostFacts,
) -> Result<(LowerSpec, Vec<HiddenName>), PolicyError> {
    require_same(base, host)?;
    match &base.system {
        BaseSystem::Tree { path, .. } => {
            Ok((LowerSpec::Directory { path: path.clone() }, Vec::new()))
        }
        BaseSystem::Host => {
            let hidden = exclusions::host(host, controls, &own_places(layout), parts).hidden;
            Ok((host_lower(parts, host)?, hidden))
        }
    }
}

fn require_same(base: &Base, host: &dyn HostFacts) -> Result<(), PolicyError> {
    let BaseSystem::Tree { path, root } = &base.system else {
        return Ok(());
    };
    let is_same = host
        .mark(path)
        .is_some_and(|mark| mark.inode == root.inode && mark.born == root.born);
    match is_same {
        true => Ok(()),
        false => Err(PolicyError::BaseChanged { path: path.clone() }),
    }
}
