//! What is installed in a system, read from its files, whether it runs or not.
//!
//! Owns the readers of the package data bases of dpkg, rpm, apk and pacman, and the order of their
//! versions. Everything is read through [`Files`], so an image, a WPAR and the host are all alike, and
//! no program of the system is run. What is read is not trusted: a line or record that makes no sense
//! is left out and counted in [`PackageDatabase::damaged`], no length is believed, nothing panics.

use std::fmt;

use serde::Serialize;
use thiserror::Error;
use wpar_mountd::error::FsError;

use crate::source::files::Files;

mod apk;
mod digest;
mod dpkg;
pub mod fingerprint;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod owner;
mod pacman;
#[cfg(test)]
mod property_tests;
mod rpm;
#[cfg(test)]
mod tests;
pub mod version;

pub use digest::{Algorithm, Digest};

/// Largest text file of a data base that is read, in bytes.
const TEXT_MAX: u64 = 128 << 20;

/// Longest path, as in the kernel.
const PATH_MAX: usize = 4096;

/// Most components of a path. What goes through all directories above all paths must end.
const DEEPEST: usize = 256;

/// The family of a package data base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Debian and what comes from it.
    Dpkg,
    /// Red Hat, SUSE and others.
    Rpm,
    /// Alpine.
    Apk,
    /// Arch.
    Pacman,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dpkg => "dpkg",
            Self::Rpm => "rpm",
            Self::Apk => "apk",
            Self::Pacman => "pacman",
        })
    }
}

/// How much of a package is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// All.
    #[default]
    Installed,
    /// It was begun, or failed: unpacked, half configured and the like.
    Incomplete,
    /// It was removed, and its configuration files are left.
    Removed,
}

/// What a dependency says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// Cannot work without.
    Requires,
    /// Cannot be unpacked without.
    PreRequires,
    /// Stands for.
    Provides,
    /// Cannot be there together with.
    Conflicts,
    /// Takes the place of.
    Replaces,
    /// Is installed when all of these are (apk).
    InstallIf,
}

/// A dependency in the words of its data base, not looked into: of dpkg a whole field, of the others
/// one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// What it says.
    pub relation: Relation,
    /// On what.
    pub on: String,
}

/// A configuration file of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    /// Its path, without a leading `/`.
    pub path: Vec<u8>,
    /// What it was like in the package, where that is known.
    pub digest: Option<Digest>,
}

/// One package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its architecture in the words of its family; empty if there is none.
    pub architecture: String,
    /// Its version with everything that belongs to it (epoch, release).
    pub version: String,
    /// How much of it is there.
    pub status: Status,
    /// What it is, in one line.
    pub summary: String,
    /// Bytes that it takes, as the data base says; 0 where it does not.
    pub size: u64,
    /// Paths that it owns, without a leading `/`, in the order and the words of the data base: they
    /// may lead through symbolic links. Of rpm without, of the others with directories. Empty
    /// unless asked for.
    pub paths: Vec<Vec<u8>>,
    /// Its configuration files. Empty unless paths were asked for.
    pub config_files: Vec<ConfigFile>,
    /// What it needs, gives and excludes.
    pub dependencies: Vec<Dependency>,
}

/// A package data base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageDatabase {
    /// Whose it is.
    pub family: Family,
    /// Its packages, sorted by name, architecture and version as text.
    pub packages: Vec<Package>,
    /// How many records made no sense and are left out.
    pub damaged: usize,
}

/// What is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// All but paths and configuration files.
    Packages,
    /// Everything.
    Paths,
}

/// Why a data base cannot be read.
#[derive(Debug, Error)]
pub enum PackageError {
    /// A file or directory of it.
    #[error("cannot read /{path} of the package data base: {source}")]
    Read {
        /// Its path in the system.
        path: String,
        /// Why.
        source: FsError,
    },
    /// It is not what its name says.
    #[error("the package data base /{path} cannot be used: {what}")]
    Format {
        /// Its path in the system.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// How much memory what is read may take. Data bases name directories once and use them again and
/// again, and a byte can stand for a whole object: a small file can mean very much.
#[derive(Debug)]
struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(512 << 20)
    }
}

/// There is no room for more.
#[derive(Debug)]
struct TooMuch;

impl Budget {
    /// Takes what one object of this many bytes needs.
    fn spend(&mut self, bytes: usize) -> Result<(), TooMuch> {
        const EACH: usize = 64;
        let needed = bytes.saturating_add(EACH);
        self.0 = self.0.checked_sub(needed).ok_or(TooMuch)?;
        Ok(())
    }
}

impl TooMuch {
    fn of(self, path: &[u8]) -> PackageError {
        PackageError::Format {
            path: path.escape_ascii().to_string(),
            what: "it says more than any system has",
        }
    }
}

/// Reads the package data base of a system; `None` if it has none that is known. Of several, the one
/// with packages in it, in the order dpkg, rpm, apk, pacman.
///
/// # Errors
/// See [`PackageError`].
pub fn read(files: &dyn Files, detail: Detail) -> Result<Option<PackageDatabase>, PackageError> {
    type Reader = fn(&dyn Files, Detail) -> Result<Option<PackageDatabase>, PackageError>;
    const READERS: [Reader; 4] = [dpkg::read, rpm::read, apk::read, pacman::read];
    let mut empty = None;
    for reader in READERS {
        match reader(files, detail)? {
            Some(found) if found.packages.is_empty() => empty = empty.or(Some(found)),
            Some(mut found) => {
                found.packages.sort_by(|a, b| key(a).cmp(&key(b)));
                return Ok(Some(found));
            }
            None => {}
        }
    }
    Ok(empty)
}

fn key(package: &Package) -> (&str, &str, &str) {
    (&package.name, &package.architecture, &package.version)
}

/// Reads a file of a data base; `None` if there is none.
fn read_file(files: &dyn Files, path: &[u8], limit: u64) -> Result<Option<Vec<u8>>, PackageError> {
    files
        .read(path, limit)
        .map_err(|source| reading(path, source))
}

/// Names in a directory of a data base.
fn names_in(files: &dyn Files, path: &[u8]) -> Result<Vec<Vec<u8>>, PackageError> {
    let names = files.names(path).map_err(|source| reading(path, source))?;
    Ok(names.into_iter().map(|(name, _)| name).collect())
}

fn reading(path: &[u8], source: FsError) -> PackageError {
    PackageError::Read {
        path: path.escape_ascii().to_string(),
        source,
    }
}

/// Bytes of a data base as text.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.trim_ascii()).into_owned()
}

/// A size in a data base of text; 0 if it makes no sense.
fn number(bytes: &[u8]) -> u64 {
    let text = std::str::from_utf8(bytes.trim_ascii()).unwrap_or_default();
    text.parse().unwrap_or(0)
}

/// A path of a data base without what may stand before it.
fn relative(path: &[u8]) -> &[u8] {
    let path = path
        .strip_prefix(b".")
        .filter(|rest| rest.first() == Some(&b'/'))
        .unwrap_or(path);
    let start = path.iter().position(|&byte| byte != b'/');
    start.and_then(|at| path.get(at..)).unwrap_or_default()
}

/// Whether a path may be one of a system: not longer than any, nor deeper.
fn is_path(path: &[u8]) -> bool {
    path.len() < PATH_MAX && path.iter().filter(|&&byte| byte == b'/').count() < DEEPEST
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}
