//! Packages that came, went, or changed their version.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet, VecDeque};

use crate::packages::{Family, Package, PackageDatabase, Status};

/// What happened to a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PackageChangeKind {
    /// It is in B only.
    Added,
    /// It is in A only; its configuration may be left.
    Removed,
    /// B has a later version.
    Upgraded,
    /// B has an earlier version.
    Downgraded,
    /// Its architecture or state changed, or which version is the later one cannot be told.
    Changed,
}

/// A package that is different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageChange {
    /// Its name.
    pub name: String,
    /// What happened.
    pub kind: PackageChangeKind,
    /// It in A.
    pub before: Option<Installed>,
    /// It in B.
    pub after: Option<Installed>,
}

/// What one side has of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Its version.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
    /// Whether all of it is there.
    pub is_complete: bool,
}

impl Installed {
    fn new(package: &Package) -> Self {
        Self {
            version: package.version.clone(),
            architecture: package.architecture.clone(),
            is_complete: package.status == Status::Installed,
        }
    }
}

/// Compares two data bases; one that is not there has no packages.
pub fn compare(
    before: Option<&PackageDatabase>,
    after: Option<&PackageDatabase>,
) -> Vec<PackageChange> {
    let family = match (before, after) {
        (Some(a), Some(b)) if a.family == b.family => Some(a.family),
        _ => None,
    };
    let mut names: BTreeMap<&str, [Vec<&Package>; 2]> = BTreeMap::new();
    for (side, database) in [before, after].into_iter().enumerate() {
        for package in database.iter().flat_map(|database| &database.packages) {
            let sides = names.entry(&package.name).or_default();
            if let Some(list) = sides.get_mut(side)
                && package.status != Status::Removed
            {
                list.push(package);
            }
        }
    }
    let mut changes = Vec::new();
    for (name, [before, after]) in &names {
        compare_name(name, before, after, family, &mut changes);
    }
    changes
}

/// Compares all packages of a name: of several versions or architectures at once, those that both
/// sides have are the same ones, and of the rest one that is left on each side is taken for a change.
fn compare_name(
    name: &str,
    before: &[&Package],
    after: &[&Package],
    family: Option<Family>,
    changes: &mut Vec<PackageChange>,
) {
    let mut gone = without(before, after);
    let mut come: BTreeMap<&str, VecDeque<&Package>> = BTreeMap::new();
    for package in without(after, before) {
        come.entry(&package.architecture)
            .or_default()
            .push_back(package);
    }
    let mut pairs = Vec::new();
    // Of one architecture first.
    gone.retain(|old| {
        let same = come.get_mut(&*old.architecture);
        let new = same.and_then(VecDeque::pop_front);
        pairs.extend(new.map(|new| (Some(*old), Some(new))));
        new.is_none()
    });
    let come: Vec<_> = come.into_values().flatten().collect();
    if let ([old], [new]) = (&*gone, &*come) {
        pairs.push((Some(*old), Some(*new)));
    } else {
        pairs.extend(gone.into_iter().map(|old| (Some(old), None)));
        pairs.extend(come.into_iter().map(|new| (None, Some(new))));
    }
    changes.extend(pairs.into_iter().map(|(before, after)| PackageChange {
        name: name.to_owned(),
        kind: kind(before, after, family),
        before: before.map(Installed::new),
        after: after.map(Installed::new),
    }));
}

/// The packages of `some` that `others` does not have.
fn without<'p>(some: &[&'p Package], others: &[&'p Package]) -> Vec<&'p Package> {
    let key = |package: &&'p Package| (&package.architecture, &package.version, package.status);
    let others: HashSet<_> = others.iter().map(key).collect();
    let is_new = |package: &&&'p Package| !others.contains(&key(package));
    some.iter().filter(is_new).copied().collect()
}

fn kind(
    before: Option<&Package>,
    after: Option<&Package>,
    family: Option<Family>,
) -> PackageChangeKind {
    use PackageChangeKind::{Added, Changed, Downgraded, Removed, Upgraded};
    match (before, after, family) {
        (None, _, _) => Added,
        (_, None, _) => Removed,
        (Some(_), Some(_), None) => Changed,
        (Some(before), Some(after), Some(family)) => {
            match family.compare(&before.version, &after.version) {
                Ordering::Less => Upgraded,
                Ordering::Greater => Downgraded,
                Ordering::Equal => Changed,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PackageChangeKind::{Added, Changed, Downgraded, Removed, Upgraded};

    fn database(family: Family, packages: &[(&str, &str, &str, Status)]) -> PackageDatabase {
        let package =
            |(name, architecture, version, status): &(&str, &str, &str, Status)| Package {
                name: (*name).to_owned(),
                architecture: (*architecture).to_owned(),
                version: (*version).to_owned(),
                status: *status,
                ..Package::default()
            };
        PackageDatabase {
            family,
            packages: packages.iter().map(package).collect(),
            damaged: 0,
        }
    }

    fn shown(changes: &[PackageChange]) -> Vec<(String, PackageChangeKind, String)> {
        let version = |side: &Option<Installed>| {
            side.as_ref().map_or("-".to_owned(), |i| {
                format!("{}/{}", i.version, i.architecture)
            })
        };
        let show = |change: &PackageChange| {
            let versions = format!("{} {}", version(&change.before), version(&change.after));
            (change.name.clone(), change.kind, versions)
        };
        changes.iter().map(show).collect()
    }

    fn expect(
        a: &PackageDatabase,
        b: &PackageDatabase,
        expected: &[(&str, PackageChangeKind, &str)],
    ) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, kind, text)| ((*name).to_owned(), *kind, (*text).to_owned()))
            .collect();
        assert_eq!(shown(&compare(Some(a), Some(b))), expected);
    }

    #[test]
    fn each_kind_of_change_is_told() {
        const I: Status = Status::Installed;
        let a = database(
            Family::Dpkg,
            &[
                ("down", "all", "2", I),
                ("gone", "all", "1", I),
                ("half", "all", "1", I),
                ("moved", "all", "1", I),
                ("same", "all", "1", I),
                ("up", "all", "1.9", I),
                ("was", "all", "1", I),
            ],
        );
        let b = database(
            Family::Dpkg,
            &[
                ("down", "all", "2~rc1", I),
                ("half", "all", "1", Status::Incomplete),
                ("moved", "amd64", "1", I),
                ("new", "all", "1", I),
                ("same", "all", "1", I),
                ("up", "all", "1.10", I),
                ("was", "all", "1", Status::Removed),
            ],
        );
        expect(
            &a,
            &b,
            &[
                ("down", Downgraded, "2/all 2~rc1/all"),
                ("gone", Removed, "1/all -"),
                ("half", Changed, "1/all 1/all"),
                ("moved", Changed, "1/all 1/amd64"),
                ("new", Added, "- 1/all"),
                ("up", Upgraded, "1.9/all 1.10/all"),
                ("was", Removed, "1/all -"),
            ],
        );
        assert!(compare(Some(&a), Some(&a)).is_empty());
        assert!(compare(None, None).is_empty());
        assert_eq!(compare(None, Some(&a)).len(), 7);
    }

    #[test]
    fn several_versions_and_architectures_are_kept_apart() {
        const I: Status = Status::Installed;
        let a = database(
            Family::Rpm,
            &[
                ("kernel", "x86_64", "6.1-1", I),
                ("kernel", "x86_64", "6.2-1", I),
                ("lib", "i686", "1-1", I),
                ("lib", "x86_64", "1-1", I),
            ],
        );
        let b = database(
            Family::Rpm,
            &[
                ("kernel", "x86_64", "6.2-1", I),
                ("kernel", "x86_64", "6.3-1", I),
                ("kernel", "x86_64", "6.4-1", I),
                ("lib", "i686", "2-1", I),
                ("lib", "x86_64", "2-1", I),
            ],
        );
        expect(
            &a,
            &b,
            &[
                ("kernel", Upgraded, "6.1-1/x86_64 6.3-1/x86_64"),
                ("kernel", Added, "- 6.4-1/x86_64"),
                ("lib", Upgraded, "1-1/i686 2-1/i686"),
                ("lib", Upgraded, "1-1/x86_64 2-1/x86_64"),
            ],
        );
    }

    #[test]
    fn versions_of_different_families_have_no_order() {
        let a = database(
            Family::Dpkg,
            &[("bash", "amd64", "5.2-1", Status::Installed)],
        );
        let b = database(
            Family::Rpm,
            &[("bash", "x86_64", "5.3-1", Status::Installed)],
        );
        expect(&a, &b, &[("bash", Changed, "5.2-1/amd64 5.3-1/x86_64")]);
    }
}
