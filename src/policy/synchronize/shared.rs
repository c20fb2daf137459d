//! A WPAR that shares `/usr`: what its root part lacks or has too much of, after the packages of its
//! base have changed.
//!
//! A pure function of the records then ([`Synced`]) and now ([`RootPart`]), of the base's files and the
//! WPAR's own. The rule for configuration files is that of the package managers: what the WPAR has not
//! changed is replaced, what it has changed stays, with the new one beside it, what it has removed stays
//! away. Packages that are gone leave their configuration behind.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use wpar_mountd::error::FsError;
use wpar_mountd::types::FileKind;

use crate::model::view::{Synced, SyncedPackage};
use crate::packages::{Digest, Family};
use crate::policy::system_copy::root_part::{RootItem, RootPart, RootWhat};
use crate::source::files::{Files, split};

/// Longest file that is compared.
const LONGEST: u64 = 64 << 20;

/// Files that are made of what is in `/usr`: always those of the base.
const DERIVED: [&str; 2] = ["etc/ld.so.cache", "etc/ssl/certs/ca-certificates.crt"];

/// How it is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Only add: packages that are older or gone in the base are left as they are on record.
    pub add_only: bool,
    /// Take the base's configuration files in place of changed ones.
    pub force: bool,
}

/// What is compared.
pub struct Question<'a> {
    /// Whose packages they are.
    pub family: Family,
    /// What was on record of the base the last time.
    pub before: &'a Synced,
    /// What a new root part would be.
    pub now: &'a RootPart,
    /// The base's files.
    pub base: &'a dyn Files,
    /// The WPAR's files.
    pub own: &'a dyn Files,
    /// How it is asked for.
    pub wish: Wish,
}

impl fmt::Debug for Question<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question")
            .field("family", &self.family)
            .field("wish", &self.wish)
            .finish_non_exhaustive()
    }
}

/// What became of a package in the base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new, with this version.
    New(String),
    /// It had the first version, and has the second.
    Changed(String, String),
    /// It is gone, and had this version.
    Gone(String),
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Packages that are different, by [`SyncedPackage::key`].
    pub packages: BTreeMap<String, Change>,
    /// Packages that are, but stay on record as they were, because only additions are asked for.
    pub skipped: BTreeSet<String>,
    /// Names to be written.
    pub items: BTreeMap<String, RootItem>,
    /// Names to be taken away.
    pub removed: Vec<String>,
    /// What the administrator should know, one line each.
    pub notes: Vec<String>,
    /// What is on record afterwards.
    pub synced: Synced,
}

impl Plan {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty() && self.items.is_empty() && self.removed.is_empty()
    }
}

/// Compares.
///
/// # Errors
/// Those of reading either system.
pub fn plan(question: &Question<'_>) -> Result<Plan, FsError> {
    let index = |synced: &'_ Synced| -> BTreeMap<String, SyncedPackage> {
        let packages = synced.packages.iter();
        packages.map(|one| (one.key(), one.clone())).collect()
    };
    let before = index(question.before);
    let now = index(&question.now.synced);
    let mut planning = Planning {
        question,
        plan: Plan::default(),
        before: &before,
        now: &now,
    };
    planning.packages();
    planning.items()?;
    planning.links()?;
    Ok(planning.plan)
}

struct Planning<'a> {
    question: &'a Question<'a>,
    plan: Plan,
    before: &'a BTreeMap<String, SyncedPackage>,
    now: &'a BTreeMap<String, SyncedPackage>,
}

impl Planning<'_> {
    fn packages(&mut self) {
        let keys: BTreeSet<&String> = self.before.keys().chain(self.now.keys()).collect();
        for key in keys {
            let (before, now) = (self.before.get(key), self.now.get(key));
            let change = match (before, now) {
                (None, Some(now)) => Change::New(now.version.clone()),
                (Some(before), None) => Change::Gone(before.version.clone()),
                (Some(before), Some(now)) if before.version != now.version => {
                    Change::Changed(before.version.clone(), now.version.clone())
                }
                _ => {
                    self.plan.synced.packages.extend(now.cloned());
                    continue;
                }
            };
            let is_addition = match &change {
                Change::New(_) => true,
                Change::Changed(from, to) => {
                    self.question.family.compare(to, from) != Ordering::Less
                }
                Change::Gone(_) => false,
            };
            if self.question.wish.add_only && !is_addition {
                self.plan.skipped.insert(key.clone());
                self.plan.synced.packages.extend(before.cloned());
                continue;
            }
            self.plan.synced.packages.extend(now.cloned());
            self.plan.packages.insert(key.clone(), change);
        }
    }

    fn items(&mut self) -> Result<(), FsError> {
        for (path, item) in &self.question.now.items {
            let Some(key) = &item.package else {
                continue;
            };
            match self.plan.packages.get(key) {
                Some(Change::New(_) | Change::Changed(..)) => self.item(path, item, key)?,
                Some(Change::Gone(_)) => {}
                None if self.question.wish.force && !self.plan.skipped.contains(key) => {
                    self.restored(path, item, key)?;
                }
                None => {}
            }
        }
        Ok(())
    }

    /// A name of a package that is new or changed.
    fn item(&mut self, path: &str, item: &RootItem, key: &str) -> Result<(), FsError> {
        let kind = kind_of(self.question.own, path)?;
        if item.what == RootWhat::Directory {
            if kind.is_none() {
                self.put(path, item.what.clone());
            }
            return Ok(());
        }
        let digest = |packages: &BTreeMap<String, SyncedPackage>| {
            let package = packages.get(key);
            package.and_then(|package| package.config.get(path).cloned())
        };
        let (old, new) = (digest(self.before), digest(self.now));
        let Some(kind) = kind else {
            if old.is_some() && !self.question.wish.force {
                self.note(format!("/{path} was removed in the WPAR and stays away"));
            } else {
                self.put(path, item.what.clone());
            }
            return Ok(());
        };
        if new.is_none() {
            // Not configuration: as in /usr, the package has the word.
            if !self.is_the_same(path, kind)? {
                self.put(path, item.what.clone());
            }
            return Ok(());
        }
        let same_package_file = old.as_ref().is_some_and(|old| !old.is_empty()) && old == new;
        if (same_package_file && !self.question.wish.force) || self.is_the_same(path, kind)? {
            return Ok(());
        }
        let is_unmodified = match (&old, kind) {
            (Some(old), FileKind::Regular) => self.own_is(path, old)?,
            _ => false,
        };
        let is_new_already = match (&new, kind) {
            (Some(new), FileKind::Regular) => self.own_is(path, new)?,
            _ => false,
        };
        if is_new_already && !self.question.wish.force {
            return Ok(());
        }
        if is_unmodified || self.question.wish.force {
            self.put(path, item.what.clone());
        } else if kind == FileKind::Directory {
            self.note(format!("/{path} is a directory in the WPAR and stays one"));
        } else {
            let beside = format!("{path}{}", suffix(self.question.family));
            self.note(format!(
                "/{path} was changed in the WPAR and stays; the new one is /{beside}"
            ));
            self.put(&beside, RootWhat::Other(path.to_owned()));
        }
        Ok(())
    }

    /// A name of a package that is as it was, if that is to be as in the base.
    fn restored(&mut self, path: &str, item: &RootItem, key: &str) -> Result<(), FsError> {
        let config = |packages: &BTreeMap<String, SyncedPackage>| {
            let package = packages.get(key);
            package.is_some_and(|package| package.config.contains_key(path))
        };
        if config(self.now) {
            self.item(path, item, key)?;
        }
        Ok(())
    }

    /// Links and files that scripts of packages make.
    fn links(&mut self) -> Result<(), FsError> {
        let known: BTreeSet<&String> = self.question.before.made.iter().collect();
        let made: BTreeSet<&String> = self.question.now.synced.made.iter().collect();
        for path in &made {
            let kind = kind_of(self.question.own, path)?;
            let is_derived = DERIVED.contains(&path.as_str());
            let is_missing = kind.is_none() && !known.contains(path);
            let is_old = match kind {
                Some(kind) if is_derived => !self.is_the_same(path, kind)?,
                _ => false,
            };
            if is_missing || is_old {
                self.put(path, RootWhat::Same);
            }
        }
        let mut kept = Vec::new();
        for path in known.difference(&made) {
            if self.question.wish.add_only {
                kept.push((*path).clone());
            } else if kind_of(self.question.own, path)? == Some(FileKind::Symlink)
                && self.question.own.real(path.as_bytes())?.is_none()
            {
                self.plan.removed.push((*path).clone());
            }
        }
        kept.extend(made.into_iter().cloned());
        kept.sort_unstable();
        self.plan.synced.made = kept;
        Ok(())
    }

    fn put(&mut self, path: &str, what: RootWhat) {
        for (at, _) in path.match_indices('/') {
            let Some(above) = path.get(..at) else {
                continue;
            };
            let directory = RootItem {
                what: RootWhat::Directory,
                package: None,
            };
            if matches!(kind_of(self.question.own, above), Ok(None)) {
                self.plan.items.entry(above.to_owned()).or_insert(directory);
            }
        }
        let item = RootItem {
            what,
            package: None,
        };
        self.plan.items.insert(path.to_owned(), item);
    }

    fn note(&mut self, line: String) {
        self.plan.notes.push(line);
    }

    /// Whether both systems have the same at `path`.
    fn is_the_same(&self, path: &str, kind: FileKind) -> Result<bool, FsError> {
        let (base, own) = (self.question.base, self.question.own);
        if kind_of(base, path)? != Some(kind) {
            return Ok(false);
        }
        Ok(match kind {
            FileKind::Symlink => base.link(path.as_bytes())? == own.link(path.as_bytes())?,
            FileKind::Regular => contents(base, path)? == contents(own, path)?,
            _ => true,
        })
    }

    fn own_is(&self, path: &str, digest: &str) -> Result<bool, FsError> {
        let Ok(digest) = digest.parse::<Digest>() else {
            return Ok(false);
        };
        let contents = contents(self.question.own, path)?;
        Ok(contents.is_some_and(|contents| digest.is_of(&contents)))
    }
}

/// What a new configuration file is called beside one that stays.
fn suffix(family: Family) -> &'static str {
    match family {
        Family::Dpkg => ".dpkg-dist",
        Family::Rpm => ".rpmnew",
        Family::Apk => ".apk-new",
        Family::Pacman => ".pacnew",
    }
}

/// What `path` is itself.
fn kind_of(files: &dyn Files, path: &str) -> Result<Option<FileKind>, FsError> {
    let (dir, name) = split(path.as_bytes());
    let names = files.names(dir)?;
    let at = names.binary_search_by(|(known, _)| known.as_slice().cmp(name));
    Ok(at.ok().and_then(|at| names.get(at)).map(|(_, kind)| *kind))
}

/// Contents of a regular file; of one that is too long to be configuration, none.
fn contents(files: &dyn Files, path: &str) -> Result<Option<Vec<u8>>, FsError> {
    match files.read(path.as_bytes(), LONGEST) {
        Err(FsError::FileTooBig) => Ok(None),
        read => read,
    }
}

#[cfg(test)]
#[path = "shared_tests.rs"]
mod tests;
