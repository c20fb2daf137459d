//! Which package a changed file belongs to.
//!
//! Data bases name files by paths that may lead through symbolic links (`/bin/sh` where `/bin` is
//! `usr/bin`). The directory of each is resolved in its own tree, once, and the last component kept.

use std::collections::{HashMap, HashSet};

use wpar_mountd::types::FileKind;

use super::files::FileChange;
use super::packages_changed::PackageChange;
use crate::packages::{ConfigFile, PackageDatabase, Status};
use crate::source::files::{Files, join, split};

/// Owners of the changed files of one side, by their real paths.
#[derive(Debug, Default)]
pub(super) struct Owners<'d> {
    packages: HashMap<Vec<u8>, &'d str>,
    config: HashMap<Vec<u8>, &'d ConfigFile>,
}

impl<'d> Owners<'d> {
    /// Finds the owners of `changes` in the tree `files`.
    pub(super) fn find(
        files: &dyn Files,
        database: Option<&'d PackageDatabase>,
        changes: &[FileChange],
    ) -> Self {
        let mut found = Self::default();
        let wanted: HashSet<&[u8]> = changes.iter().map(|change| &*change.path).collect();
        // Most paths are of files that are the same: their last names are not among the changed.
        let names: HashSet<&[u8]> = wanted.iter().map(|path| split(path).1).collect();
        let mut real = Real::new(files);
        for package in database.iter().flat_map(|database| &database.packages) {
            for path in package
                .paths
                .iter()
                .filter(|path| names.contains(split(path).1))
            {
                let path = real.path(path);
                if wanted.contains(&*path) && package.status != Status::Removed {
                    found.packages.entry(path).or_insert(&package.name);
                }
            }
            let config = package.config_files.iter();
            for file in config.filter(|file| names.contains(split(&file.path).1)) {
                let path = real.path(&file.path);
                if wanted.contains(&*path) {
                    found.config.entry(path.clone()).or_insert(file);
                    found.packages.entry(path).or_insert(&package.name);
                }
            }
        }
        found
    }

    /// The package that has the file.
    pub(super) fn package(&self, path: &[u8]) -> Option<&'d str> {
        self.packages.get(path).copied()
    }

    /// What the package says of it if it is a configuration file.
    pub(super) fn config(&self, path: &[u8]) -> Option<&'d ConfigFile> {
        self.config.get(path).copied()
    }
}

/// Paths without links in their directories.
struct Real<'f> {
    files: &'f dyn Files,
    directories: HashMap<Vec<u8>, Vec<u8>>,
}

impl<'f> Real<'f> {
    fn new(files: &'f dyn Files) -> Self {
        Self {
            files,
            directories: HashMap::new(),
        }
    }

    fn path(&mut self, path: &[u8]) -> Vec<u8> {
        let (directory, name) = split(path);
        if let Some(real) = self.directories.get(directory) {
            return join(real, name);
        }
        let real = match self.files.real(directory) {
            Ok(Some((real, FileKind::Directory))) => real,
            // A loop of links leads nowhere, as a directory that is not there.
            Ok(_) | Err(_) => directory.to_vec(),
        };
        let path = join(&real, name);
        self.directories.insert(directory.to_vec(), real);
        path
    }
}

/// Places that belong to the package manager itself.
const DATA_BASES: [&[u8]; 6] = [
    b"var/lib/dpkg/",
    b"var/lib/rpm/",
    b"usr/lib/sysimage/rpm/",
    b"lib/apk/db/",
    b"usr/lib/apk/db/",
    b"var/lib/pacman/",
];

/// Gives each change its package, and says whether a change of that explains it.
pub(super) fn attribute(
    files: &mut [FileChange],
    (before, after): &(Owners<'_>, Owners<'_>),
    packages: &[PackageChange],
) {
    let changed: HashSet<&str> = packages.iter().map(|change| &*change.name).collect();
    for file in files {
        let owners = [after.package(&file.path), before.package(&file.path)];
        file.explained = owners.iter().flatten().any(|owner| changed.contains(owner))
            || !packages.is_empty() && DATA_BASES.iter().any(|base| file.path.starts_with(base));
        file.package = owners.into_iter().flatten().next().map(str::to_owned);
    }
}
