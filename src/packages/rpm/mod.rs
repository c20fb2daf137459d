//! rpm: one file with a header for each package, in one of three formats. Headers: `header`;
//! SQLite (Fedora, RHEL 9 and later): `sqlite`, `wal`; ndb (SUSE): `ndb`; Berkeley DB (RHEL 8 and
//! before): `bdb`. Sources of the formats stand in these files.
//!
//! All of them are read by hand, with every number checked against what is there: the file comes from
//! an image, and the libraries that write these formats want a path, a lock and to write.

use super::{Budget, Detail, Family, PackageDatabase, PackageError, TooMuch, read_file, reading};
use crate::source::files::{Files, join};

mod bdb;
mod bytes;
mod header;
mod ndb;
mod sqlite;
#[cfg(test)]
mod tests;
mod wal;

/// Where distributions keep it.
const PLACES: [&[u8]; 3] = [b"var/lib/rpm", b"usr/lib/sysimage/rpm", b"usr/share/rpm"];

/// Largest data base that is read, in bytes.
const FILE_MAX: u64 = 512 << 20;

/// Why a data base cannot be read further; what was read before is right.
type Damage = &'static str;

/// Calls a function with each header of a data base.
type Reader = fn(&[u8], &mut dyn FnMut(&[u8])) -> Result<(), Damage>;

pub(super) fn read(
    files: &dyn Files,
    detail: Detail,
) -> Result<Option<PackageDatabase>, PackageError> {
    const OTHERS: [(&[u8], Reader); 2] =
        [(b"Packages.db", ndb::headers), (b"Packages", bdb::headers)];
    for place in PLACES {
        let path = join(place, b"rpmdb.sqlite");
        // The log first: what is moved from it to the file meanwhile is then seen in one of them.
        let log = read_file(files, &[&path, &b"-wal"[..]].concat(), FILE_MAX)?;
        if let Some(file) = read_file(files, &path, FILE_MAX)? {
            let log = log.unwrap_or_default();
            let reader = |sink: &mut dyn FnMut(&[u8])| sqlite::headers(&file, &log, sink);
            return collect(&path, reader, detail).map(Some);
        }
        for (name, reader) in OTHERS {
            let path = join(place, name);
            if let Some(file) = read_file(files, &path, FILE_MAX)? {
                return collect(&path, |sink| reader(&file, sink), detail).map(Some);
            }
        }
    }
    unread(files)
}

/// Old data bases of Berkeley DB could be made of directories: not known, but not to be missed.
fn unread(files: &dyn Files) -> Result<Option<PackageDatabase>, PackageError> {
    let path = b"var/lib/rpm/Packages";
    match files.real(path).map_err(|source| reading(path, source))? {
        None => Ok(None),
        Some(_) => Err(PackageError::Format {
            path: path.escape_ascii().to_string(),
            what: "it is no regular file",
        }),
    }
}

fn collect(
    path: &[u8],
    reader: impl FnOnce(&mut dyn FnMut(&[u8])) -> Result<(), Damage>,
    detail: Detail,
) -> Result<PackageDatabase, PackageError> {
    let mut found = PackageDatabase {
        family: Family::Rpm,
        packages: Vec::new(),
        damaged: 0,
    };
    let mut budget = Budget::default();
    let mut fits = true;
    let end = reader(&mut |header| {
        match header::package(header, detail, &mut budget) {
            _ if !fits => {}
            Ok(Some(package)) => found.packages.push(package),
            Ok(None) => found.damaged += 1,
            Err(TooMuch) => fits = false,
        };
    });
    match end {
        Ok(()) if fits => Ok(found),
        Ok(()) => Err(TooMuch.of(path)),
        // Half a list would be taken for a system from which much was removed.
        Err(what) => Err(PackageError::Format {
            path: path.escape_ascii().to_string(),
            what,
        }),
    }
}
