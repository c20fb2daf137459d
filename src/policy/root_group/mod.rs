//! The root volume group of a running system: which of its file systems a copy of it has.
//!
//! Decided once, when the copy is made, from the mounts as they are seen then; kept in the
//! [`View`], and followed at each start ([`at_start`]). Every file system that
//! keeps files is either in, or out with a reason.
//!
//! In are: `/`; what is mounted at or below `/usr`, `/var`, `/opt`, `/etc` and `/root`, whatever it is
//! on; and what lies on the same volume group, pool or disks as `/`. Never what is on servers, made of
//! other directories, served by processes, or by its place no part of the system. The administrator
//! can take in more, or leave out more.

mod at_start;
mod kinds;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use wpar_mountd::spec::HiddenName;

pub use at_start::{grafts, is_transparent};

use self::kinds::{by_place, by_type, describe, is_system, is_vital, keeps_files};
use super::{PolicyError, exclusions};
use crate::model::copy_controls::Selection;
use crate::model::view::{LeftOut, Part};
use crate::model::{CopyControls, View};
use crate::source::host::{Disks, HostFacts, Mount, PathKind, below_root, visible};

/// Subvolumes that are shown without being mounted, at most.
const MOST_NESTED: usize = 200;

/// What is in a copy of the running system, and what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RootGroup {
    /// File systems that are part of it, besides that of `/`, sorted by mount point.
    pub parts: Vec<Part>,
    /// File systems that are not, but for those in directories of which nothing is.
    pub left_out: Vec<LeftOut>,
}

/// Where a mount belongs.
enum Verdict {
    /// Part of the copy.
    In(String),
    /// Not.
    Out(String),
    /// Not, and nobody misses it.
    Nothing,
    /// It shows what is there without it.
    Transparent,
}

/// Decides it. Nothing that `hidden` covers is looked at.
///
/// # Errors
/// If the system cannot do without something that is out, or something that cannot be in is asked for.
pub fn divide(
    facts: &dyn HostFacts,
    hidden: &[HiddenName],
    selection: &Selection,
) -> Result<RootGroup, PolicyError> {
    let seen = visible(facts.mounts());
    if let Some(path) = selection
        .include
        .iter()
        .find(|path| seen.iter().all(|mount| mount.point != Path::new(path)))
    {
        return Err(PolicyError::NoMount { point: path.into() });
    }
    let Some(root) = seen.iter().find(|mount| mount.point == Path::new("/")) else {
        return Ok(RootGroup::default());
    };
    let mut division = Division {
        facts,
        hidden,
        selection,
        disks: facts.disks(root),
        members: vec![root],
        group: RootGroup::default(),
    };
    for mount in &seen {
        if mount.point != Path::new("/") {
            division.place(mount, &seen)?;
        }
    }
    division.add_nested(&seen);
    division.group.parts.sort_by(|a, b| a.point.cmp(&b.point));
    Ok(division.group)
}

/// The view of a new copy of the running system, as far as it follows from what is mounted. `own` are
/// the places of the tool itself.
///
/// # Errors
/// Those of [`divide`].
pub fn new_view(
    facts: &dyn HostFacts,
    controls: CopyControls,
    own: &[PathBuf],
    selection: &Selection,
) -> Result<View, PolicyError> {
    let hidden = exclusions::always_hidden(facts, controls, own);
    let RootGroup { parts, left_out } = divide(facts, &hidden, selection)?;
    Ok(View {
        parts,
        left_out,
        ..View::default()
    })
}

struct Division<'a> {
    facts: &'a dyn HostFacts,
    hidden: &'a [HiddenName],
    selection: &'a Selection,
    /// What `/` lies on.
    disks: Disks,
    /// What is in, `/` first.
    members: Vec<&'a Mount>,
    group: RootGroup,
}

impl<'a> Division<'a> {
    fn place(&mut self, mount: &'a Mount, seen: &[&'a Mount]) -> Result<(), PolicyError> {
        let Some(point) = below_root(&mount.point) else {
            return Ok(());
        };
        let asked = self.is_asked(&mount.point);
        if self.covering(&mount.point).is_some() && !asked {
            return Ok(());
        }
        match self.judge(mount, seen)? {
            Verdict::In(reason) => {
                self.members.push(mount);
                self.group.parts.push(Part {
                    point: point.to_owned(),
                    fs_type: mount.fs_type.clone(),
                    source: mount.source.clone(),
                    mark: self.facts.mark(&mount.point),
                    nested: false,
                    reason,
                });
            }
            Verdict::Out(reason) => self.group.left_out.push(LeftOut {
                point: point.to_owned(),
                reason,
            }),
            Verdict::Transparent => self.members.push(mount),
            Verdict::Nothing => {}
        }
        Ok(())
    }

    fn judge(&self, mount: &Mount, seen: &[&Mount]) -> Result<Verdict, PolicyError> {
        let what = describe(mount);
        let asked = self.is_asked(&mount.point);
        let refused = |why: &str| {
            Err(PolicyError::CannotInclude {
                point: mount.point.clone(),
                why: why.to_owned(),
            })
        };
        if asked && let Some(name) = self.covering(&mount.point) {
            return refused(&name.reason);
        }
        let can_be_in = keeps_files(mount) || asked && mount.fs_type == "tmpfs";
        if !can_be_in {
            if asked {
                return refused(&format!("{} keeps no files", mount.fs_type));
            } else if is_vital(mount) {
                return Err(PolicyError::SystemElsewhere {
                    point: mount.point.clone(),
                    what,
                    why: "kept nowhere but in memory",
                });
            }
            return Ok(Verdict::Nothing);
        }
        let excluded = |path: &String| mount.point.starts_with(path);
        if self.selection.exclude.iter().any(excluded) {
            return Ok(Verdict::Out(format!(
                "{what}, left out by the administrator"
            )));
        }
        let nearest = nearest(&mount.point, seen);
        let above =
            nearest.and_then(|near| self.members.iter().find(|member| member.id == near.id));
        let Some(above) = above else {
            return match asked {
                true => refused("what it is mounted in is not in the copy"),
                false => Ok(Verdict::Out(format!(
                    "{what}, mounted in something that is left out"
                ))),
            };
        };
        if shows_the_same(mount, above) {
            return Ok(Verdict::Transparent);
        }
        if !mount.is_whole && mount.answers_locally() && self.is_file(mount) {
            return match asked {
                true => refused("it is a file"),
                false => Ok(Verdict::Out(format!("a file of another place ({what})"))),
            };
        }
        if asked {
            return Ok(Verdict::In(format!(
                "{what}, taken in by the administrator"
            )));
        }
        self.judge_by_rules(mount, what)
    }

    fn judge_by_rules(&self, mount: &Mount, what: String) -> Result<Verdict, PolicyError> {
        if let Some(why) = by_type(mount) {
            if is_vital(mount) {
                return Err(PolicyError::SystemElsewhere {
                    point: mount.point.clone(),
                    what,
                    why,
                });
            }
            return Ok(Verdict::Out(format!("{what}, {why}")));
        }
        if let Some(why) = by_place(&mount.point) {
            return Ok(Verdict::Out(format!("{what}, {why}")));
        }
        let of_same = |member: &&&Mount| member.device == mount.device;
        let same: Vec<_> = self.members.iter().filter(of_same).collect();
        let again = same.iter().find(|member| {
            member.root.starts_with(&mount.root) && (member.root != mount.root || !is_system(mount))
        });
        if let Some(member) = again {
            let point = member.point.display();
            return Ok(Verdict::Out(format!(
                "{what}, which shows {point} once more"
            )));
        }
        let original = same.iter().find_map(|member| {
            let below = mount.root.strip_prefix(&member.root).ok()?;
            Some(member.point.join(below).display().to_string())
        });
        let is_bind = !mount.is_whole;
        Ok(match (is_system(mount), original) {
            (true, Some(path)) if is_bind => Verdict::In(format!(
                "{what}, part of the system; {path} shows the same on the host, not in the copy"
            )),
            (true, _) => Verdict::In(format!("{what}, part of the system")),
            (false, Some(path)) if is_bind => {
                Verdict::Out(format!("{what}, which shows {path} once more"))
            }
            (false, None) if is_bind => Verdict::Out(format!(
                "{what}, a part of something that is not mounted itself"
            )),
            _ if self.is_of_group(mount) => {
                Verdict::In(format!("{what}, in the root volume group"))
            }
            _ => Verdict::Out(format!("{what}, not in the root volume group")),
        })
    }

    fn is_of_group(&self, mount: &Mount) -> bool {
        let root = self.members.first();
        root.is_some_and(|root| root.device == mount.device)
            || self.disks.include(&self.facts.disks(mount))
    }

    fn is_asked(&self, point: &Path) -> bool {
        let paths = &self.selection.include;
        paths.iter().any(|path| Path::new(path) == point)
    }

    fn is_file(&self, mount: &Mount) -> bool {
        matches!(self.facts.resolve(&mount.point), Some((_, PathKind::Other)))
    }

    /// What hides `path`, if something does.
    fn covering(&self, path: &Path) -> Option<&HiddenName> {
        let path = path.strip_prefix("/").unwrap_or(path);
        let mut hidden = self.hidden.iter();
        hidden.find(|name| path.starts_with(&name.path))
    }

    /// Subvolumes of what is in that are seen without being mounted.
    fn add_nested(&mut self, seen: &[&Mount]) {
        let mut nested = Vec::new();
        for member in &self.members {
            for path in self.facts.subvolumes(member) {
                let is_here = nearest(&path.join("x"), seen).is_some_and(|m| m.id == member.id);
                let excluded = |out: &String| path.starts_with(out);
                let is_out = by_place(&path).is_some()
                    || self.covering(&path).is_some()
                    || self.selection.exclude.iter().any(excluded);
                if is_here && !is_out && nested.len() < MOST_NESTED {
                    nested.extend(self.nested(member, &path));
                }
            }
        }
        self.group.parts.extend(nested);
    }

    fn nested(&self, member: &Mount, path: &Path) -> Option<Part> {
        Some(Part {
            point: below_root(path)?.to_owned(),
            fs_type: member.fs_type.clone(),
            source: member.source.clone(),
            // Without it nobody could tell it from one that is made later.
            mark: Some(self.facts.mark(path)?),
            nested: true,
            reason: format!("{}, a subvolume", describe(member)),
        })
    }
}

/// The mount that something at `path` is mounted in.
fn nearest<'m>(path: &Path, seen: &[&'m Mount]) -> Option<&'m Mount> {
    let above = path.ancestors().skip(1);
    let mut found = above.filter_map(|above| seen.iter().find(|mount| mount.point == above));
    found.next().copied()
}

/// Whether `mount` shows the directory that is there without it, in `above`.
fn shows_the_same(mount: &Mount, above: &Mount) -> bool {
    // A directory shows subvolumes of a btrfs empty.
    let is_subvolume = mount.fs_type == "btrfs" && mount.is_whole;
    let place = mount.point.strip_prefix(&above.point);
    mount.device == above.device
        && !is_subvolume
        && place.is_ok_and(|place| above.root.join(place) == mount.root)
}
