//! Which package is what.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::union::Union;
use super::{Class, Plan, Planned, Situation};
use crate::packages::{Family, Package, PackageDatabase, Status};

/// Most lines about what is in the way.
pub(super) const MOST_OBSTACLES: usize = 10_000;

/// By what a package is the same in both systems.
type Key<'a> = (&'a str, &'a str);

/// What is to be done, or all that is in the way of it, one line each.
///
/// # Errors
/// What is in the way.
pub fn plan(situation: &Situation<'_>) -> Result<Plan, Vec<String>> {
    let obstacles = of_systems(situation);
    if !obstacles.is_empty() {
        return Err(obstacles);
    }
    let mut obstacles = Vec::new();
    let host = Side::new(situation.host, &BTreeSet::new(), "the host", &mut obstacles);
    let copy = Side::new(situation.copy, situation.ghosts, "the copy", &mut obstacles);
    let family = situation.host.family;
    let mut union = Union::new(situation, host.all(), copy.all());
    for (key, &theirs) in &host.packages {
        let Some(&own) = copy.packages.get(key) else {
            if situation.essential.contains(key.0) {
                union.take(theirs, "no system is without it".to_owned());
            }
            continue;
        };
        let (Some(there), Some(here)) = (
            situation.host.packages.get(theirs),
            situation.copy.packages.get(own),
        ) else {
            continue;
        };
        let order = family.compare(&there.version, &here.version);
        let reason = match order {
            Ordering::Greater => "the host has a newer one",
            Ordering::Equal => "the host has the same",
            Ordering::Less => "the host has an older one",
        };
        if order == Ordering::Less && !situation.force {
            obstacles.push(format!(
                "{} is newer in the copy ({}) than on the host ({})",
                here.name, here.version, there.version
            ));
        }
        union.replace(own, theirs, reason.to_owned());
    }
    for own in copy.packages.values().filter(|own| union.stays(**own)) {
        if let Some(here) = situation.copy.packages.get(*own)
            && situation
                .borrowed
                .contains(&(here.name.clone(), here.architecture.clone()))
        {
            obstacles.push(format!(
                "{} came from the host, which does not have it any more; install it there, or go back \
                 with -R",
                here.name
            ));
        }
    }
    union.close();
    obstacles.append(&mut union.obstacles());
    if !obstacles.is_empty() {
        obstacles.truncate(MOST_OBSTACLES);
        return Err(obstacles);
    }
    let mut packages: Vec<Planned> = union.taken();
    packages.append(&mut union.dropped());
    for &own in copy.packages.values() {
        if union.stays(own) {
            packages.push(Planned {
                class: Class::Kept,
                copy: Some(own),
                host: None,
                reason: "only the copy has it".to_owned(),
            });
        }
    }
    for &own in &copy.ghosts {
        packages.push(Planned {
            class: Class::Kept,
            copy: Some(own),
            host: None,
            reason: "it is not visible, and on record only".to_owned(),
        });
    }
    let name = |planned: &Planned| {
        let package = match (planned.host, planned.copy) {
            (Some(at), _) => situation.host.packages.get(at),
            (None, Some(at)) => situation.copy.packages.get(at),
            (None, None) => None,
        };
        package.map(|package| (package.name.clone(), package.architecture.clone()))
    };
    packages.sort_by_cached_key(name);
    Ok(Plan { packages })
}

/// What is wrong before any package is looked at.
fn of_systems(situation: &Situation<'_>) -> Vec<String> {
    let (copy, host) = (situation.copy_level, situation.host_level);
    let mut obstacles = Vec::new();
    if copy.id != host.id || copy.id.is_empty() {
        obstacles.push(format!(
            "the copy is of another distribution ({}) than the host ({})",
            shown(&copy.id),
            shown(&host.id)
        ));
    }
    if copy.architecture != host.architecture {
        obstacles.push(format!(
            "the copy is for {}, the host is {}",
            shown(&copy.architecture),
            shown(&host.architecture)
        ));
    }
    let (family, theirs) = (situation.copy.family, situation.host.family);
    if family != theirs {
        obstacles.push(format!(
            "the copy has a package data base of {family}, the host one of {theirs}"
        ));
    } else if family != Family::Dpkg {
        obstacles.push(format!(
            "the records of {family} cannot be brought to those of the host yet, only those of dpkg"
        ));
    }
    for (name, database) in [("copy", situation.copy), ("host", situation.host)] {
        if database.damaged > 0 {
            obstacles.push(format!(
                "{} records of the package data base of the {name} make no sense",
                database.damaged
            ));
        }
    }
    obstacles
}

fn shown(text: &str) -> &str {
    if text.is_empty() { "unknown" } else { text }
}

/// The packages of one system that are there.
struct Side<'a> {
    packages: BTreeMap<Key<'a>, usize>,
    /// Those that are on record only.
    ghosts: Vec<usize>,
}

impl<'a> Side<'a> {
    fn new(
        database: &'a PackageDatabase,
        ghosts: &BTreeSet<(String, String)>,
        whose: &str,
        obstacles: &mut Vec<String>,
    ) -> Self {
        let native = native(database);
        let mut side = Self {
            packages: BTreeMap::new(),
            ghosts: Vec::new(),
        };
        for (at, package) in database.packages.iter().enumerate() {
            match package.status {
                Status::Removed => continue,
                Status::Incomplete => obstacles.push(format!(
                    "{} is not completely installed on {whose}; 'dpkg --configure -a' there may \
                     help",
                    package.name
                )),
                Status::Installed => {}
            }
            let key = (package.name.clone(), package.architecture.clone());
            if ghosts.contains(&key) {
                side.ghosts.push(at);
            } else {
                side.packages.insert(key_of(package, native), at);
            }
        }
        side
    }

    /// All of them, by their places in the data base.
    fn all(&self) -> BTreeSet<usize> {
        let all = self.packages.values().chain(&self.ghosts);
        all.copied().collect()
    }
}

/// A package for all architectures is the same as one for the system's own.
fn key_of<'a>(package: &'a Package, native: &'a str) -> Key<'a> {
    let architecture = match &*package.architecture {
        "all" => native,
        architecture => architecture,
    };
    (&package.name, architecture)
}

/// The system's own architecture, in the words of the data base.
fn native(database: &PackageDatabase) -> &str {
    let all = database.packages.iter();
    let mut named = all.filter(|package| matches!(&*package.name, "dpkg" | "libc6" | "base-files"));
    named.next().map_or("", |package| &package.architecture)
}
