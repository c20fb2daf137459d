//! What was decided when a copy was made, at each of its starts.

use std::path::{Path, PathBuf};

use wpar_mountd::spec::Graft;

use super::super::PolicyError;
use super::{nearest, shows_the_same};
use crate::model::view::Part;
use crate::source::host::{HostFacts, Mount, visible};

/// The file systems of `parts`, as they are mounted now. Each must be the one that it was.
///
/// # Errors
/// One that is not mounted, or another one in its place.
pub fn grafts(parts: &[Part], facts: &dyn HostFacts) -> Result<Vec<Graft>, PolicyError> {
    let seen = visible(facts.mounts());
    parts.iter().map(|part| graft(part, &seen, facts)).collect()
}

fn graft(part: &Part, seen: &[&Mount], facts: &dyn HostFacts) -> Result<Graft, PolicyError> {
    let path = PathBuf::from(format!("/{}", part.point));
    let mounted = seen.iter().find(|mount| mount.point == path);
    let from = if part.nested {
        let is_there = mounted.is_none() && facts.mark(&path) == part.mark;
        is_there.then_some(path)
    } else {
        let Some(mount) = mounted else {
            return Err(PolicyError::PartMissing {
                point: path,
                what: format!("{} on {}", part.fs_type, part.source),
            });
        };
        let is_same = mount.fs_type == part.fs_type
            && (part.mark.is_none() || facts.mark(&path) == part.mark);
        if !is_same {
            return Err(PolicyError::PartChanged {
                point: path,
                was: format!("{} on {}", part.fs_type, part.source),
                is: format!("{} on {}", mount.fs_type, mount.source),
            });
        }
        Some(path)
    };
    Ok(Graft {
        point: part.point.clone(),
        from,
        mark: part.mark,
        read_only: false,
    })
}

/// Whether the mount at `point` shows the directory that is there without it.
pub fn is_transparent(point: &Path, seen: &[&Mount]) -> bool {
    let mount = seen.iter().find(|mount| mount.point == point);
    match (mount, nearest(point, seen)) {
        (Some(mount), Some(above)) => shows_the_same(mount, above),
        _ => false,
    }
}
