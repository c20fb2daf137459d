//! Which package a file belongs to.

use std::collections::HashMap;

use wpar_mountd::error::FsResult;

use super::{Package, PackageDatabase, Status};
use crate::source::files::{Files, join, split};

/// The packages of `database` (read with paths) that own the file whose path in the system, links on
/// the way followed, is `path`. Usually one; a directory is of many.
///
/// # Errors
/// Those of reading the system.
pub fn owners<'d>(
    files: &dyn Files,
    database: &'d PackageDatabase,
    path: &[u8],
) -> FsResult<Vec<&'d Package>> {
    let (_, wanted) = split(path);
    let mut real = HashMap::new();
    let mut found = Vec::new();
    for package in &database.packages {
        if package.status == Status::Removed {
            continue;
        }
        for owned in &package.paths {
            let (directory, name) = split(owned);
            if name != wanted {
                continue;
            }
            // The data base may call a directory by another name: /bin for /usr/bin.
            if !real.contains_key(directory) {
                let path = files.real(directory)?.map(|(path, _)| path);
                real.insert(directory.to_vec(), path);
            }
            let is_it = match real.get(directory) {
                Some(Some(directory)) => join(directory, name) == path,
                _ => owned == path,
            };
            if is_it {
                found.push(package);
                break;
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use wpar_mountd::lower::memory::MemoryLower;
    use wpar_mountd::overlay::Overlay;

    use super::super::Family;
    use super::*;

    #[test]
    fn a_file_is_found_by_the_directory_that_it_is_really_in() {
        let lower = MemoryLower::builder()
            .file("usr/bin/ls", "")
            .file("usr/sbin/ls", "")
            .symlink("bin", "usr/bin");
        let files = Overlay::new(std::sync::Arc::new(lower.build().unwrap()), None);
        let package = |name: &str, paths: &[&str], status| Package {
            name: name.to_owned(),
            paths: paths.iter().map(|path| path.as_bytes().to_vec()).collect(),
            status,
            ..Package::default()
        };
        let database = PackageDatabase {
            family: Family::Dpkg,
            packages: vec![
                package("coreutils", &["bin", "bin/ls"], Status::Installed),
                package("old", &["usr/bin/ls"], Status::Removed),
                package("other", &["usr/sbin/ls", "gone/ls"], Status::Installed),
            ],
            damaged: 0,
        };
        let names = |path: &str| -> Vec<_> {
            let found = owners(&files, &database, path.as_bytes()).unwrap();
            found.iter().map(|package| package.name.as_str()).collect()
        };
        assert_eq!(names("usr/bin/ls"), ["coreutils"]);
        assert_eq!(names("usr/sbin/ls"), ["other"]);
        assert_eq!(names("gone/ls"), ["other"], "which is not there any more");
        assert_eq!(names("usr/bin/cp"), [""; 0]);
    }
}
