//! A copy with a `/usr` of its own, rebased onto the host by package.
//!
//! The host is the repository: packages that both have are taken from it ([`Class::Replaced`]), what
//! only the copy has stays ([`Class::Kept`]), and of what only the host has the copy gets what is needed
//! now ([`Class::Added`]). In this order: which package is what ([`plan()`]), whether all that fits together
//! ([`union`]), which names come from the host ([`names`]), and what the package data base says then
//! ([`dpkg`]). If it does not fit, there is no plan, but all that is in the way.
//!
//! Pure but for reading both systems through [`crate::source::files::Files`]; the copy is not trusted.

pub mod dpkg;
pub mod names;
mod plan;
mod stanza;
#[cfg(test)]
mod tests;
mod union;

use std::collections::BTreeSet;

use serde::Serialize;

pub use plan::plan;

use crate::model::Level;
use crate::packages::{Package, PackageDatabase};

/// What is looked at.
#[derive(Debug)]
pub struct Situation<'a> {
    /// The packages of the copy, with paths.
    pub copy: &'a PackageDatabase,
    /// Those of the host.
    pub host: &'a PackageDatabase,
    /// Level of the copy.
    pub copy_level: &'a Level,
    /// Level of the host.
    pub host_level: &'a Level,
    /// Packages of the host that no system can do without.
    pub essential: &'a BTreeSet<String>,
    /// Packages of the copy, by name and architecture, that are on record only: their files are hidden.
    pub ghosts: &'a BTreeSet<(String, String)>,
    /// Packages of the copy that are libraries.
    pub libraries: &'a BTreeSet<String>,
    /// Packages of the copy, by name and architecture, whose files are the host's already.
    pub borrowed: &'a BTreeSet<(String, String)>,
    /// Whether what is newer in the copy is replaced by what the host has.
    pub force: bool,
}

/// What becomes of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Both have it: the host's.
    Replaced,
    /// Only the host has it, and it is needed.
    Added,
    /// Only the copy has it: it stays.
    Kept,
    /// Only the copy has it, it does not fit, nobody chose it and nobody needs it: it goes, as in an
    /// upgrade.
    Dropped,
}

/// A package in a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// What becomes of it.
    pub class: Class,
    /// Its place in the copy's data base.
    pub copy: Option<usize>,
    /// Its place in the host's data base, if it is taken from there.
    pub host: Option<usize>,
    /// Why, in words for the administrator.
    pub reason: String,
}

/// What is to be done; sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// All packages that the copy will have.
    pub packages: Vec<Planned>,
}

impl Plan {
    /// How many there are of a class.
    pub fn count(&self, class: Class) -> usize {
        let all = self.packages.iter();
        all.filter(|package| package.class == class).count()
    }

    /// The packages that are taken from the host, with the copy's own of the same name.
    pub fn taken<'a>(
        &'a self,
        situation: &'a Situation<'a>,
    ) -> impl Iterator<Item = (&'a Package, Option<&'a Package>)> {
        self.packages.iter().filter_map(|planned| {
            let host = situation.host.packages.get(planned.host?)?;
            Some((
                host,
                planned.copy.and_then(|at| situation.copy.packages.get(at)),
            ))
        })
    }

    /// The packages of the copy alone that this becomes of.
    pub fn own<'a>(
        &'a self,
        situation: &'a Situation<'a>,
        class: Class,
    ) -> impl Iterator<Item = &'a Package> {
        let all = self.packages.iter();
        let own = all.filter(move |one| one.class == class && one.host.is_none());
        own.filter_map(|planned| situation.copy.packages.get(planned.copy?))
    }
}
