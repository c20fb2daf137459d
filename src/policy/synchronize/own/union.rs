//! The packages that a copy would have, and whether they fit together.
//!
//! What was broken already, on the host or in the copy, is not held against the plan: only what would
//! become so.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Class, Planned, Situation};
use crate::packages::{Family, Package, PackageDatabase, Relation, Status};
use crate::policy::system_copy::filesets::dependency::{Wanted, alternatives, holds};

/// How many givers are looked at, in all. Real systems take some hundred thousand.
const STEPS_MAX: usize = 20_000_000;

/// Who gives what in one system: packages, and the version in which they give it.
type Givers<'a> = HashMap<&'a str, Vec<(usize, Option<&'a str>)>>;

/// Which of the two systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Host,
    Copy,
}

pub(super) struct Union<'a> {
    situation: &'a Situation<'a>,
    family: Family,
    host: Givers<'a>,
    copy: Givers<'a>,
    /// Those of the copy that are there now.
    copy_all: BTreeSet<usize>,
    host_all: BTreeSet<usize>,
    /// Taken from the host: what of the copy it replaces, and why.
    taken: BTreeMap<usize, (Option<usize>, String)>,
    replaced: BTreeSet<usize>,
    /// Those of the copy that go: why.
    dropped: BTreeMap<usize, String>,
    steps: usize,
}

/// What would be broken, and the package of the copy that is in the way.
struct Obstacle {
    text: String,
    culprit: Option<usize>,
}

impl<'a> Union<'a> {
    pub(super) fn new(
        situation: &'a Situation<'a>,
        host_all: BTreeSet<usize>,
        copy_all: BTreeSet<usize>,
    ) -> Self {
        Self {
            situation,
            family: situation.host.family,
            host: givers(situation.host),
            copy: givers(situation.copy),
            copy_all,
            host_all,
            taken: BTreeMap::new(),
            replaced: BTreeSet::new(),
            dropped: BTreeMap::new(),
            steps: STEPS_MAX,
        }
    }

    pub(super) fn take(&mut self, theirs: usize, reason: String) {
        self.taken.entry(theirs).or_insert((None, reason));
    }

    pub(super) fn replace(&mut self, own: usize, theirs: usize, reason: String) {
        self.taken.insert(theirs, (Some(own), reason));
        self.replaced.insert(own);
    }

    /// Whether one of the copy stays.
    pub(super) fn stays(&self, own: usize) -> bool {
        self.copy_all.contains(&own)
            && !self.replaced.contains(&own)
            && !self.dropped.contains_key(&own)
    }

    /// What of the copy goes.
    pub(super) fn dropped(&self) -> Vec<Planned> {
        let dropped = self.dropped.iter();
        dropped
            .map(|(own, reason)| Planned {
                class: Class::Dropped,
                copy: Some(*own),
                host: None,
                reason: reason.clone(),
            })
            .collect()
    }

    /// What is taken from the host.
    pub(super) fn taken(&self) -> Vec<Planned> {
        let taken = self.taken.iter();
        taken
            .map(|(theirs, (own, reason))| Planned {
                class: match own {
                    Some(_) => Class::Replaced,
                    None => Class::Added,
                },
                copy: *own,
                host: Some(*theirs),
                reason: reason.clone(),
            })
            .collect()
    }

    /// Adds from the host what is needed and not there.
    pub(super) fn close(&mut self) {
        let situation = self.situation;
        let mut to_do: Vec<(Side, usize)> = self.kept().map(|own| (Side::Copy, own)).collect();
        to_do.extend(self.taken.keys().map(|&theirs| (Side::Host, theirs)));
        while let Some((side, at)) = to_do.pop() {
            let Some(package) = self.package(side, at) else {
                continue;
            };
            for wanted in needs(self.family, package) {
                if self.is_given(&wanted) {
                    continue;
                }
                // The one that is named first is the one that is meant.
                let giver = wanted.iter().find_map(|wanted| {
                    let known = self.host.get(wanted.name)?;
                    let installed = known.iter().filter(|(at, _)| self.host_all.contains(at));
                    let mut fitting =
                        installed.filter(|(_, given)| fits(self.family, wanted, *given));
                    fitting.next().map(|(at, _)| *at)
                });
                let Some(giver) = giver else {
                    continue;
                };
                // What has its name in the copy is replaced already.
                if situation.host.packages.get(giver).is_some() {
                    self.take(giver, format!("{} needs it", package.name));
                    to_do.push((Side::Host, giver));
                }
            }
        }
    }

    /// All that would be broken, one line each. What is in the way and can go, as in an upgrade, goes
    /// first.
    pub(super) fn obstacles(&mut self) -> Vec<String> {
        loop {
            let found = self.broken();
            let mut has_dropped = false;
            for obstacle in &found {
                if let Some(own) = obstacle.culprit
                    && !self.dropped.contains_key(&own)
                    && self.can_go(own)
                {
                    self.dropped.insert(own, obstacle.text.clone());
                    has_dropped = true;
                }
            }
            if !has_dropped {
                let mut told = BTreeSet::new();
                let all = found.into_iter().map(|found| found.text);
                let mut texts: Vec<_> = all.filter(|text| told.insert(text.clone())).collect();
                if self.steps == 0 {
                    texts.push("the package data bases say more than any do".to_owned());
                }
                return texts;
            }
        }
    }

    /// Whether a package of the copy is nobody's choice: a library that came with what needed it, or
    /// something that a package of the host takes the place of.
    fn can_go(&self, own: usize) -> bool {
        let Some(package) = self.package(Side::Copy, own) else {
            return false;
        };
        if self.situation.libraries.contains(&package.name) {
            return true;
        }
        let taken = self
            .taken
            .keys()
            .filter_map(|&at| self.package(Side::Host, at));
        let stands_for = [Relation::Provides, Relation::Replaces];
        taken.into_iter().any(|theirs| {
            let mut named = related(theirs, &stands_for)
                .flat_map(|text| alternatives(self.family, text))
                .flatten();
            named.any(|wanted| {
                let given = Some(&*package.version);
                wanted.name == package.name && (fits(self.family, &wanted, given))
            })
        })
    }

    fn broken(&mut self) -> Vec<Obstacle> {
        let mut obstacles = Vec::new();
        let kept: Vec<_> = self.kept().collect();
        for &own in &kept {
            self.look_at_needs(Side::Copy, own, &mut obstacles);
        }
        let taken: Vec<_> = self.taken.keys().copied().collect();
        for &theirs in &taken {
            self.look_at_needs(Side::Host, theirs, &mut obstacles);
        }
        for &theirs in &taken {
            self.look_at_conflicts(Side::Host, theirs, &mut obstacles);
        }
        for &own in &kept {
            self.look_at_conflicts(Side::Copy, own, &mut obstacles);
        }
        obstacles
    }

    fn look_at_needs(&mut self, side: Side, at: usize, obstacles: &mut Vec<Obstacle>) {
        let Some(package) = self.package(side, at) else {
            return;
        };
        for wanted in needs(self.family, package) {
            if self.is_given(&wanted) || !self.was_given(side, &wanted) {
                continue;
            }
            let asked: Vec<_> = wanted.iter().map(shown).collect();
            obstacles.push(Obstacle {
                text: format!(
                    "{} {} ({}) needs {}, which would not be there",
                    package.name,
                    package.version,
                    whose(side),
                    asked.join(" or ")
                ),
                culprit: (side == Side::Copy).then_some(at),
            });
        }
    }

    /// What a package cannot be together with is looked for in the other system only: its own has been
    /// with it so far.
    fn look_at_conflicts(&mut self, side: Side, at: usize, obstacles: &mut Vec<Obstacle>) {
        let Some(package) = self.package(side, at) else {
            return;
        };
        for text in related(package, &[Relation::Conflicts]) {
            for wanted in alternatives(self.family, text).flatten() {
                let other = match side {
                    Side::Host => Side::Copy,
                    Side::Copy => Side::Host,
                };
                let known = self
                    .givers(other)
                    .get(wanted.name)
                    .cloned()
                    .unwrap_or_default();
                self.spend(known.len());
                for (found, given) in known {
                    let is_there = match other {
                        Side::Host => self.taken.contains_key(&found),
                        Side::Copy => self.stays(found),
                    };
                    let Some(there) = self.package(other, found).filter(|_| is_there) else {
                        continue;
                    };
                    if there.name != package.name && fits(self.family, &wanted, given) {
                        obstacles.push(Obstacle {
                            text: format!(
                                "{} {} ({}) cannot be together with {} {} ({})",
                                package.name,
                                package.version,
                                whose(side),
                                there.name,
                                there.version,
                                whose(other)
                            ),
                            culprit: Some(if side == Side::Copy { at } else { found }),
                        });
                    }
                }
            }
        }
    }

    /// Those of the copy that stay.
    fn kept(&self) -> impl Iterator<Item = usize> {
        let kept = self.copy_all.iter().copied();
        kept.filter(|own| self.stays(*own))
    }

    fn package(&self, side: Side, at: usize) -> Option<&'a Package> {
        let database: &PackageDatabase = match side {
            Side::Host => self.situation.host,
            Side::Copy => self.situation.copy,
        };
        database.packages.get(at)
    }

    fn givers(&self, side: Side) -> &Givers<'a> {
        match side {
            Side::Host => &self.host,
            Side::Copy => &self.copy,
        }
    }

    fn spend(&mut self, steps: usize) {
        self.steps = self.steps.saturating_sub(steps);
    }

    /// Whether any of these would be there.
    fn is_given(&mut self, wanted: &[Wanted<'_>]) -> bool {
        let mut is_given = false;
        let mut steps = 0;
        for wanted in wanted {
            let host = self.host.get(wanted.name).map_or(&[][..], Vec::as_slice);
            let copy = self.copy.get(wanted.name).map_or(&[][..], Vec::as_slice);
            steps += host.len() + copy.len();
            is_given |= host.iter().any(|(at, given)| {
                self.taken.contains_key(at) && fits(self.family, wanted, *given)
            });
            is_given |= copy
                .iter()
                .any(|(at, given)| self.stays(*at) && fits(self.family, wanted, *given));
        }
        self.spend(steps);
        is_given || self.steps == 0
    }

    /// Whether any of these is there now.
    fn was_given(&self, side: Side, wanted: &[Wanted<'_>]) -> bool {
        let all = match side {
            Side::Host => &self.host_all,
            Side::Copy => &self.copy_all,
        };
        wanted.iter().any(|wanted| {
            let known = self.givers(side).get(wanted.name);
            let mut known = known.into_iter().flatten();
            known.any(|(at, given)| all.contains(at) && fits(self.family, wanted, *given))
        })
    }
}

fn whose(side: Side) -> &'static str {
    match side {
        Side::Host => "the host's",
        Side::Copy => "the copy's",
    }
}

fn shown(wanted: &Wanted<'_>) -> String {
    match wanted.version {
        Some((operator, version)) => format!("{} {operator} {version}", wanted.name),
        None => wanted.name.to_owned(),
    }
}

/// What a package cannot do without: of each, any will do.
fn needs<'a>(family: Family, package: &'a Package) -> Vec<Vec<Wanted<'a>>> {
    related(package, &[Relation::Requires, Relation::PreRequires])
        .flat_map(|text| alternatives(family, text))
        .collect()
}

fn related<'a>(package: &'a Package, relations: &'a [Relation]) -> impl Iterator<Item = &'a str> {
    let all = package.dependencies.iter();
    all.filter(|dependency| relations.contains(&dependency.relation))
        .map(|dependency| dependency.on.as_str())
}

fn fits(family: Family, wanted: &Wanted<'_>, given: Option<&str>) -> bool {
    match (wanted.version, given) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some((operator, version)), Some(given)) => holds(family, given, operator, version),
    }
}

fn givers(database: &PackageDatabase) -> Givers<'_> {
    let mut givers = Givers::new();
    for (at, package) in database.packages.iter().enumerate() {
        if package.status == Status::Removed {
            continue;
        }
        let own = Some(&*package.version);
        givers.entry(&package.name).or_default().push((at, own));
        for text in related(package, &[Relation::Provides]) {
            for wanted in alternatives(database.family, text).flatten() {
                let version = wanted.version.map(|(_, version)| version);
                givers.entry(wanted.name).or_default().push((at, version));
            }
        }
    }
    givers
}
