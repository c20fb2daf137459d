//! What packages need of one another, out of the words of their data bases.

use std::collections::{BTreeSet, HashMap};

use super::dependency::{Wanted, alternatives, holds};
use crate::packages::{Family, Package, PackageDatabase, Relation, Status};

/// One thing that a package needs, and who gives it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Need {
    /// Who needs it, by its place in the data base.
    pub(super) who: usize,
    /// Any of these will do; the one that the package names first comes first.
    pub(super) givers: Vec<usize>,
}

/// Who gives what: for each name, packages and the version in which they give it.
type Givers<'a> = HashMap<&'a str, Vec<(usize, Option<&'a str>)>>;

/// How many times a package is looked at, in all, to see what it gives. Real systems take thousands to
/// a million.
const STEPS_MAX: usize = 5_000_000;

/// A data base says so much that finding out who needs whom would not end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMuch;

/// What installed packages need that nobody but `marked` ones gives: what others give is never hidden.
pub(super) fn of_marked(
    database: &PackageDatabase,
    marked: &BTreeSet<usize>,
) -> Result<Vec<Need>, TooMuch> {
    let family = database.family;
    let givers = all_givers(database);
    let mut steps = STEPS_MAX;
    let mut needs = Vec::new();
    for (who, package) in installed(database) {
        for text in related(package, &[Relation::Requires, Relation::PreRequires]) {
            for alternatives in alternatives(family, text) {
                let mut found: Vec<usize> = Vec::new();
                for wanted in alternatives {
                    let known = givers.get(wanted.name).map_or(&[][..], Vec::as_slice);
                    steps = steps.checked_sub(known.len()).ok_or(TooMuch)?;
                    found.extend(satisfying(family, known, wanted));
                }
                let is_private = found.iter().all(|giver| marked.contains(giver));
                if is_private && !found.is_empty() && !found.contains(&who) {
                    needs.push(Need { who, givers: found });
                }
            }
        }
    }
    Ok(needs)
}

/// The packages that are there, by their places.
fn installed(database: &PackageDatabase) -> impl Iterator<Item = (usize, &Package)> {
    let all = database.packages.iter().enumerate();
    all.filter(|(_, package)| package.status != Status::Removed)
}

/// Who gives what.
fn all_givers(database: &PackageDatabase) -> Givers<'_> {
    let mut givers = Givers::new();
    for (index, package) in installed(database) {
        let own = Some(&*package.version);
        givers.entry(&package.name).or_default().push((index, own));
        for text in related(package, &[Relation::Provides]) {
            for wanted in alternatives(database.family, text).flatten() {
                let version = wanted.version.map(|(_, version)| version);
                let known = givers.entry(wanted.name).or_default();
                // An rpm provides itself by name, too.
                if known.last() != Some(&(index, version)) {
                    known.push((index, version));
                }
            }
        }
    }
    add_owners(database, &mut givers);
    givers
}

fn related<'a>(package: &'a Package, relations: &'a [Relation]) -> impl Iterator<Item = &'a str> {
    let all = package.dependencies.iter();
    all.filter(|dependency| relations.contains(&dependency.relation))
        .map(|dependency| dependency.on.as_str())
}

/// Files can be asked for, too: whoever owns one gives it.
fn add_owners<'a>(database: &'a PackageDatabase, givers: &mut Givers<'a>) {
    if !matches!(database.family, Family::Rpm | Family::Apk) {
        return;
    }
    let mut asked: HashMap<&[u8], &str> = HashMap::new();
    for package in &database.packages {
        let texts = related(package, &[Relation::Requires, Relation::PreRequires]);
        for name in texts.filter(|text| text.starts_with('/')) {
            let path = name.trim_start_matches('/');
            asked.insert(path.as_bytes(), name);
        }
    }
    for (index, package) in database.packages.iter().enumerate() {
        for path in &package.paths {
            // With a merged /usr, both names are the same file.
            let short = path.strip_prefix(b"usr/").unwrap_or(path);
            for path in [&path[..], short] {
                if let Some(name) = asked.get(path) {
                    let known = givers.entry(name).or_default();
                    if known.last() != Some(&(index, None)) {
                        known.push((index, None));
                    }
                }
            }
        }
    }
}

/// Those of `known` that give what is wanted. If the version of none is right, all count: who is
/// broken already must not be broken further.
fn satisfying(
    family: Family,
    known: &[(usize, Option<&str>)],
    wanted: Wanted<'_>,
) -> impl Iterator<Item = usize> {
    let fits = move |given: Option<&str>| match (wanted.version, given) {
        (None, _) => true,
        (Some(_), None) => family == Family::Rpm,
        (Some((operator, version)), Some(given)) => holds(family, given, operator, version),
    };
    let is_met = known.iter().any(|(_, given)| fits(*given));
    known
        .iter()
        .filter(move |(_, given)| !is_met || fits(*given))
        .map(|(index, _)| *index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::Dependency;

    #[test]
    fn everybody_who_needs_everybody_is_too_much() {
        let relate = |relation| Dependency {
            relation,
            on: "x".to_owned(),
        };
        let database = |count: usize| PackageDatabase {
            family: Family::Apk,
            packages: (0..count)
                .map(|index| Package {
                    name: format!("p{index}"),
                    dependencies: vec![relate(Relation::Provides), relate(Relation::Requires)],
                    ..Package::default()
                })
                .collect(),
            damaged: 0,
        };
        let marked = |count| (0..count).collect();
        assert_eq!(of_marked(&database(100), &marked(100)), Ok(Vec::new()));
        assert_eq!(of_marked(&database(2500), &marked(2500)), Err(TooMuch));
    }
}
