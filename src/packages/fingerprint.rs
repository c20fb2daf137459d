//! By what a set of packages is known: whether two systems have the same, or one has others than
//! before.

use std::fmt::Write as _;

use sha2::Sha256;
use sha2::digest::Digest as _;

use super::{Package, PackageDatabase, Status};
use crate::model::PackageFingerprint;

/// Where the part of a package is that systems can share, in the words of data bases: names that lead
/// into `/usr` are used as well.
const USR: [&[u8]; 8] = [
    b"usr/", b"opt/", b"bin/", b"sbin/", b"lib/", b"lib32/", b"lib64/", b"libx32/",
];

/// The fingerprint of a data base that was read with paths; `is_visible` says what of it a WPAR sees.
pub fn fingerprint(
    database: &PackageDatabase,
    is_visible: impl Fn(&Package) -> bool,
) -> PackageFingerprint {
    let in_usr = |path: &Vec<u8>| USR.iter().any(|usr| path.starts_with(usr));
    PackageFingerprint {
        all: of_all(database),
        usr: digest(
            database
                .packages
                .iter()
                .filter(|package| is_visible(package) && package.paths.iter().any(in_usr)),
        ),
    }
}

/// The part of it that needs no paths.
pub fn of_all(database: &PackageDatabase) -> String {
    digest(database.packages.iter())
}

fn digest<'a>(packages: impl Iterator<Item = &'a Package>) -> String {
    let present = packages.filter(|package| package.status != Status::Removed);
    let mut lines: Vec<_> = present
        .map(|package| {
            format!(
                "{} {} {}\n",
                package.name, package.architecture, package.version
            )
        })
        .collect();
    lines.sort_unstable();
    let mut hash = Sha256::new();
    for line in lines {
        hash.update(line);
    }
    let mut text = String::new();
    for byte in hash.finalize() {
        // Writing to a string never fails.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::Family;
    use super::*;

    fn package(name: &str, version: &str, path: &str) -> Package {
        Package {
            name: name.to_owned(),
            architecture: "amd64".to_owned(),
            version: version.to_owned(),
            paths: vec![path.as_bytes().to_vec()],
            ..Package::default()
        }
    }

    fn of(packages: Vec<Package>) -> PackageFingerprint {
        let database = PackageDatabase {
            family: Family::Dpkg,
            packages,
            damaged: 0,
        };
        fingerprint(&database, |package| package.name != "hidden")
    }

    #[test]
    fn it_is_that_of_sha256sum_in_any_order() {
        let two = || {
            [
                package("bash", "5.2.15-2", "bin/bash"),
                package("adduser", "3.134", "usr/sbin/adduser"),
            ]
        };
        let [bash, adduser] = two();
        let found = of(vec![bash, adduser]);
        // printf 'adduser amd64 3.134\nbash amd64 5.2.15-2\n' | sha256sum
        assert_eq!(
            found.all,
            "0bdb11b179a877e432380f0ba3b5c9eaafe2ea5b81668420fe3112461f22d6e9"
        );
        assert_eq!(found.usr, found.all);
        let [bash, adduser] = two();
        assert_eq!(of(vec![adduser, bash]), found);
    }

    #[test]
    fn only_what_is_seen_in_usr_is_shared() {
        let shared = || package("bash", "5.2.15-2", "bin/bash");
        let plain = of(vec![shared()]);
        let more = of(vec![
            shared(),
            package("hidden", "1", "usr/lib/hidden"),
            package("config", "1", "etc/config"),
            Package {
                status: Status::Removed,
                ..package("gone", "1", "usr/gone")
            },
        ]);
        assert_eq!(plain.usr, more.usr);
        assert_ne!(plain.all, more.all);
        assert_ne!(
            of(vec![package("bash", "5.2.15-3", "bin/bash")]).usr,
            plain.usr
        );
    }
}
