//! The root part of a fresh system: what of a system outside `/usr` and `/opt` belongs to its packages,
//! and nothing that its people, its administrator or its programs made.
//!
//! Taken are directories, configuration files and links that packages own, as the base has them (a
//! configuration file that was changed there is taken with a note: what it was like is not kept
//! anywhere); links below `/etc` that lead to what is taken or lent, by which scripts of packages enable
//! services and choose alternatives; and a few files that such scripts make ([`rules`]). Accounts are
//! those of the system ([`accounts`]). All else is not there, so `/home`, `/root`, `/srv`, `/tmp` and
//! `/var/log` begin empty.
//!
//! The base is read and never believed: what makes no sense is left out.

use std::collections::{BTreeMap, HashMap};

use wpar_mountd::error::FsError;
use wpar_mountd::types::FileKind;

pub mod accounts;
pub(in crate::policy) mod rules;
#[cfg(test)]
mod tests;

use super::draft::Draft;
use super::filesets;
use super::{Decisions, Situation};
use crate::model::view::{Synced, SyncedPackage};
use crate::packages::{Digest, Family, Package, PackageDatabase, Status};
use accounts::Accounts;
use rules::{FRESH, GENERATED, MASTERS, REMEMBERED, SKELETON, is_taken, is_usr};

/// Most names that a root part has. A data base that asks for more is made to do harm.
const MOST: usize = 200_000;
/// How many changed configuration files are named in a note.
const NAMED: usize = 10;
/// Longest file that is compared with what its package says of it.
const LONGEST: u64 = 16 << 20;

/// One name of a root part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootItem {
    /// What it is.
    pub what: RootWhat,
    /// The package that owns it, as in [`SyncedPackage::key`]; `None` for what no package has in its
    /// list.
    pub package: Option<String>,
}

/// What a [`RootItem`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootWhat {
    /// A directory with owner and permissions as at this path of the base, if it is there.
    Directory,
    /// The file or link at this path of the base.
    Same,
    /// The file at another path of the base.
    Other(String),
    /// A file with these contents, its owner and permissions as at this path of the base.
    File(Vec<u8>),
}

/// The root part of a fresh system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RootPart {
    /// Its names, without a leading `/`: a directory comes before what is in it.
    pub items: BTreeMap<String, RootItem>,
    /// What the administrator should know.
    pub notes: Vec<String>,
    /// What is on record of the base.
    pub synced: Synced,
}

/// Plans the root part of a fresh system with the visible packages of `situation`, which is the base;
/// `database` is what it has on record of them, with paths.
///
/// # Errors
/// Those of reading the base.
pub fn plan(
    situation: &Situation<'_>,
    database: Option<&PackageDatabase>,
) -> Result<RootPart, FsError> {
    let decisions = filesets_of(situation, database)?;
    let hidden = super::hidden_filesets(&decisions.view);
    let mut making = Making {
        draft: Draft::new(situation.files, decisions),
        files: situation,
        part: RootPart::default(),
        places: HashMap::new(),
    };
    making.skeleton()?;
    match database {
        Some(database) => {
            let visible = |package: &&Package| !hidden.contains(&key_of(package));
            making.owned(database, &mut database.packages.iter().filter(visible))?;
        }
        None => making.part.notes.push(
            "the system that lends /usr has no package data base: the root part has what every \
             system has, and no more"
                .to_owned(),
        ),
    }
    making.registered()?;
    making.made_by_scripts()?;
    making.links()?;
    making.accounts()?;
    for (path, text) in FRESH {
        making.add(path, RootWhat::File(text.as_bytes().to_vec()), None);
    }
    Ok(making.finish())
}

/// By what a package is told from others, as in [`SyncedPackage::key`].
pub(in crate::policy) fn key_of(package: &Package) -> String {
    format!("{}:{}", package.name, package.architecture)
}

/// What is on record of a package.
fn synced_package(package: &Package) -> SyncedPackage {
    let config = package.config_files.iter().filter_map(|file| {
        let path = String::from_utf8(file.path.clone()).ok()?;
        let digest = file.digest.as_ref().map(ToString::to_string);
        Some((path, digest.unwrap_or_default()))
    });
    SyncedPackage {
        name: package.name.clone(),
        architecture: package.architecture.clone(),
        version: package.version.clone(),
        config: config.collect(),
    }
}

struct Making<'a> {
    draft: Draft<'a>,
    files: &'a Situation<'a>,
    part: RootPart,
    /// Directories without links, by what they are called.
    places: HashMap<String, Option<String>>,
}

impl Making<'_> {
    fn add(&mut self, path: &str, what: RootWhat, package: Option<&str>) {
        if self.part.items.len() >= MOST || is_usr(path) {
            return;
        }
        let item = RootItem {
            what,
            package: package.map(str::to_owned),
        };
        for (at, _) in path.match_indices('/') {
            let Some(above) = path.get(..at) else {
                continue;
            };
            let directory = RootItem {
                what: RootWhat::Directory,
                package: item.package.clone(),
            };
            self.part.items.entry(above.to_owned()).or_insert(directory);
        }
        self.part.items.entry(path.to_owned()).or_insert(item);
    }

    /// What every system has at its root, and links from there to what is lent.
    fn skeleton(&mut self) -> Result<(), FsError> {
        let top = self.draft.listing("")?;
        for (name, kind) in &top.names {
            match kind {
                FileKind::Symlink => {
                    let leads = self.draft.real(name)?;
                    if leads.is_some_and(|(real, _)| is_usr(&real)) {
                        self.add(name, RootWhat::Same, None);
                    }
                }
                FileKind::Directory if SKELETON.contains(&name.as_str()) => {
                    self.add(name, RootWhat::Directory, None);
                }
                _ => {}
            }
        }
        for name in SKELETON {
            if !["bin", "sbin", "lib"].contains(&name) {
                self.add(name, RootWhat::Directory, None);
            }
        }
        Ok(())
    }

    fn owned(
        &mut self,
        database: &PackageDatabase,
        packages: &mut dyn Iterator<Item = &Package>,
    ) -> Result<(), FsError> {
        let mut changed = Vec::new();
        for package in packages.filter(|package| package.status != Status::Removed) {
            let mut synced = synced_package(package);
            let key = synced.key();
            for path in &package.paths {
                let Ok(path) = std::str::from_utf8(path) else {
                    continue;
                };
                let Some((place, kind)) = self.place(path)? else {
                    continue;
                };
                if accounts::FILES.contains(&place.as_str())
                    || !is_taken(database.family, &place, kind)
                {
                    continue;
                }
                let what = match kind {
                    FileKind::Directory => RootWhat::Directory,
                    _ => RootWhat::Same,
                };
                self.add(&place, what, Some(&key));
            }
            for (path, digest) in &mut synced.config {
                if self.correct(path, digest) {
                    changed.push(path.clone());
                }
            }
            self.part.synced.packages.push(synced);
        }
        self.note_changed(&changed);
        Ok(())
    }

    /// If the base's file is not what its package says, the digest is made that of the file: what a
    /// WPAR gets, and what is compared with later. Says whether it was.
    fn correct(&self, path: &str, digest: &mut String) -> bool {
        let is_same = |item: &RootItem| item.what == RootWhat::Same;
        if !self.part.items.get(path).is_some_and(is_same) {
            return false;
        }
        let Ok(Some(contents)) = self.files.files.read(path.as_bytes(), LONGEST) else {
            return false;
        };
        let said = digest.parse::<Digest>();
        if said.as_ref().is_ok_and(|said| said.is_of(&contents)) {
            return false;
        }
        *digest = Digest::sha256(&contents).to_string();
        said.is_ok()
    }

    fn note_changed(&mut self, changed: &[String]) {
        if changed.is_empty() {
            return;
        }
        let named: Vec<_> = changed
            .iter()
            .take(NAMED)
            .map(|p| format!("/{p}"))
            .collect();
        let rest = match changed.len() - named.len() {
            0 => String::new(),
            rest => format!(" and {rest} more"),
        };
        self.part.notes.push(format!(
            "configuration files that were changed in the system that lends /usr are taken as they are \
             there: {}{rest}",
            named.join(", ")
        ));
    }

    /// Where a path of the data base is, its directory free of links, and what it is; `None` for what
    /// is not there, or lent.
    fn place(&mut self, path: &str) -> Result<Option<(String, FileKind)>, FsError> {
        let path = path.trim_end_matches('/');
        if path.is_empty() || is_usr(path) {
            return Ok(None);
        }
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let place = match self.places.get(dir) {
            Some(known) => known.clone(),
            None => {
                let real = match dir {
                    "" => Some(String::new()),
                    _ => self.draft.real(dir)?.map(|(real, _)| real),
                };
                let real = real.filter(|real| !is_usr(real));
                self.places.insert(dir.to_owned(), real.clone());
                real
            }
        };
        let Some(dir) = place else {
            return Ok(None);
        };
        let listing = self.draft.listing(&dir)?;
        Ok(listing.kind(name).map(|kind| (listing.join(name), kind)))
    }

    /// Configuration files that packages have registered with ucf(1): lines of package and path.
    fn registered(&mut self) -> Result<(), FsError> {
        let registry = self.draft.text("var/lib/ucf/registry")?.unwrap_or_default();
        let hashes = self.draft.text("var/lib/ucf/hashfile")?.unwrap_or_default();
        let (registry, hashes) = (
            String::from_utf8_lossy(&registry),
            String::from_utf8_lossy(&hashes),
        );
        let pairs = |line: &str| {
            let (first, path) = line.split_once(char::is_whitespace)?;
            Some((path.trim().strip_prefix('/')?.to_owned(), first.to_owned()))
        };
        let digests: HashMap<_, _> = hashes.lines().filter_map(pairs).collect();
        let mut changed = Vec::new();
        for (path, package) in registry.lines().filter_map(pairs) {
            let Some((place, kind)) = self.place(&path)? else {
                continue;
            };
            let of_package = |known: &&SyncedPackage| known.name == package;
            let Some(known) = self.part.synced.packages.iter().find(of_package) else {
                continue;
            };
            if !is_taken(Family::Dpkg, &place, kind) || kind != FileKind::Regular {
                continue;
            }
            let key = known.key();
            self.add(&place, RootWhat::Same, Some(&key));
            let mut digest = match digests.get(&path) {
                Some(hex) => format!("md5:{hex}"),
                None => String::new(),
            };
            if self.correct(&place, &mut digest) {
                changed.push(place.clone());
            }
            let mut packages = self.part.synced.packages.iter_mut();
            if let Some(known) = packages.find(|known| known.name == package) {
                known.config.insert(place, digest);
            }
        }
        self.note_changed(&changed);
        Ok(())
    }

    fn made_by_scripts(&mut self) -> Result<(), FsError> {
        for pattern in GENERATED {
            for (path, kind) in self.draft.expand(pattern)? {
                if kind == FileKind::Regular {
                    self.add(&path, RootWhat::Same, None);
                }
            }
        }
        for directory in REMEMBERED {
            self.tree(directory)?;
        }
        for (path, master) in MASTERS {
            if let Some((real, FileKind::Regular)) = self.draft.real(master)? {
                // In place of what the administrator may have made of it.
                let owned = self.part.items.get(path);
                if owned.is_none_or(|item| item.package.is_none()) {
                    self.part.items.remove(path);
                    self.add(path, RootWhat::Other(real), None);
                }
            }
        }
        Ok(())
    }

    /// All of a small directory.
    fn tree(&mut self, directory: &str) -> Result<(), FsError> {
        let mut pending = vec![directory.to_owned()];
        while let Some(directory) = pending.pop() {
            let listing = self.draft.listing(&directory)?;
            for (name, kind) in &listing.names {
                let path = listing.join(name);
                match kind {
                    FileKind::Directory if path.split('/').count() < 32 => pending.push(path),
                    FileKind::Regular | FileKind::Symlink => self.add(&path, RootWhat::Same, None),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Links below `/etc` that lead to what a fresh system has.
    fn links(&mut self) -> Result<(), FsError> {
        let mut pending = vec!["etc".to_owned()];
        while let Some(directory) = pending.pop() {
            let listing = self.draft.listing(&directory)?;
            for (name, kind) in &listing.names {
                let path = listing.join(name);
                match kind {
                    FileKind::Directory if path.split('/').count() < 32 => pending.push(path),
                    FileKind::Symlink if !self.part.items.contains_key(&path) => {
                        let leads = self.draft.real(&path)?;
                        let is_there = leads.is_some_and(|(real, _)| {
                            is_usr(&real) && !rules::is_in(&real, "usr/local")
                                || self.part.items.contains_key(&real)
                        });
                        if is_there {
                            self.add(&path, RootWhat::Same, None);
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn accounts(&mut self) -> Result<(), FsError> {
        let mut found = Accounts::default();
        for (path, text) in accounts::FILES.iter().zip(&mut found.0) {
            *text = self.draft.text(path)?;
        }
        let login_defs = self.draft.text("etc/login.defs")?.unwrap_or_default();
        let made = accounts::of_system(&found, &login_defs);
        for (path, text) in accounts::FILES.iter().zip(made.0) {
            if let Some(text) = text {
                self.add(path, RootWhat::File(text), None);
            }
        }
        Ok(())
    }

    fn finish(self) -> RootPart {
        let mut part = self.part;
        let unowned = part
            .items
            .iter()
            .filter(|(_, item)| item.package.is_none() && item.what == RootWhat::Same);
        part.synced.made = unowned.map(|(path, _)| path.clone()).collect();
        part
    }
}

/// What the rules say about the filesets of the base alone, which `database` is of.
///
/// # Errors
/// Those of reading the base.
pub fn filesets_of(
    situation: &Situation<'_>,
    database: Option<&PackageDatabase>,
) -> Result<Decisions, FsError> {
    match database {
        Some(database) => filesets::decide_in(situation, database),
        None => Ok(Decisions::default()),
    }
}
