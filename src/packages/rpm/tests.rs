//! Data bases that rpm made (see `tests/fixtures/make-package-data.sh`), against what rpm says of them.

use wpar_mountd::lower::memory::MemoryLower;

use super::super::tests::{tree, whole};
use super::super::{PackageDatabase, read as read_any};
use super::*;

macro_rules! data {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/data/packages/rpm/", $name))
    };
}

const SQLITE: &[u8] = data!("rpmdb.sqlite");
const LOG: &[u8] = data!("rpmdb.sqlite-wal");
const SETTLED: &[u8] = data!("settled.sqlite");
const NDB: &[u8] = data!("Packages.db");
const BDB: &[u8] = data!("Packages");

/// What `rpm -qa` and `rpm -qal` say.
fn expect_as_rpm(found: &PackageDatabase, what: &str) {
    let lines: Vec<_> = found
        .packages
        .iter()
        .map(|p| {
            format!(
                "{} {} {} {}\n",
                p.name, p.version, p.architecture, p.summary
            )
        })
        .collect();
    assert_eq!(lines.concat().as_bytes(), data!("expected.txt"), "{what}");
    let all = found.packages.iter().flat_map(|package| &package.paths);
    let mut paths: Vec<_> = all
        .map(|path| format!("/{}\n", path.escape_ascii()))
        .collect();
    paths.sort();
    let mut expected: Vec<_> = String::from_utf8_lossy(data!("expected-paths.txt"))
        .lines()
        .map(|line| format!("{line}\n"))
        .collect();
    expected.sort();
    assert_eq!(paths, expected, "{what}");
}

#[test]
fn every_format_is_read_as_rpm_reads_it() {
    for (path, contents) in [
        ("var/lib/rpm/rpmdb.sqlite", SETTLED),
        ("usr/lib/sysimage/rpm/rpmdb.sqlite", SETTLED),
        ("usr/lib/sysimage/rpm/Packages.db", NDB),
        ("var/lib/rpm/Packages", BDB),
    ] {
        let found = whole(MemoryLower::builder().file(path, contents));
        assert_eq!((found.family, found.damaged), (Family::Rpm, 0));
        expect_as_rpm(&found, path);
    }
}

#[test]
fn what_is_only_in_the_log_counts() {
    let with_log = |log: &[u8]| {
        let builder = MemoryLower::builder()
            .file("var/lib/rpm/rpmdb.sqlite", SQLITE)
            .file("var/lib/rpm/rpmdb.sqlite-wal", log);
        whole(builder)
    };
    expect_as_rpm(&with_log(LOG), "with its log");
    let without = whole(MemoryLower::builder().file("var/lib/rpm/rpmdb.sqlite", SQLITE));
    assert_eq!(without.packages.len(), 1);
    // A log that was cut off, or of which a byte is wrong, has no whole transaction.
    assert_eq!(with_log(&LOG[..LOG.len() - 1]), without);
    let mut wrong = LOG.to_vec();
    let last = wrong.len() - 1;
    wrong[last] ^= 1;
    assert_eq!(with_log(&wrong), without);
    assert_eq!(with_log(b""), without);
}

#[test]
fn a_package_has_its_configuration_and_relations() {
    let found = whole(MemoryLower::builder().file("var/lib/rpm/Packages", BDB));
    let alpha = &found.packages[0];
    assert_eq!(alpha.config_files.len(), 1, "no ghost");
    assert_eq!(alpha.config_files[0].path, b"etc/alpha/alpha.conf");
    assert!(
        alpha.config_files[0]
            .digest
            .as_ref()
            .unwrap()
            .is_of(b"key = value\n")
    );
    let relations: Vec<_> = alpha.dependencies.iter().map(|d| d.on.as_str()).collect();
    for wanted in ["beta >= 1.0", "/bin/sh", "alpha-api = 7", "gamma < 3"] {
        assert!(relations.contains(&wanted), "no {wanted} in {relations:?}");
    }
}

#[test]
fn a_damaged_data_base_is_an_error_not_a_short_list() {
    for (path, contents) in [
        ("var/lib/rpm/rpmdb.sqlite", &SETTLED[..SETTLED.len() - 1024]),
        ("var/lib/rpm/Packages.db", &NDB[..NDB.len() - 512]),
        ("var/lib/rpm/Packages", &BDB[..BDB.len() - 4096]),
        ("var/lib/rpm/rpmdb.sqlite", b"text"),
        ("var/lib/rpm/Packages", b"text"),
    ] {
        let tree = tree(MemoryLower::builder().file(path, contents));
        let error = read_any(&tree, Detail::Paths).unwrap_err().to_string();
        let expected = format!("the package data base /{path} cannot be used: ");
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[test]
fn pages_that_form_a_loop_end() {
    // The first interior page of the table points to itself wherever a number of it stands.
    for number in 0u8..=20 {
        let mut file = SETTLED.to_vec();
        for page in file.chunks_exact_mut(1024).skip(1) {
            page[..4].copy_from_slice(&[0, 0, 0, number]);
        }
        let _ = sqlite::headers(&file, b"", &mut |_| {});
        let mut file = SETTLED.to_vec();
        for page in file.chunks_exact_mut(1024).skip(1) {
            page[0] = 5;
            page[8..12].copy_from_slice(&[0, 0, 0, number]);
        }
        assert!(sqlite::headers(&file, b"", &mut |_| {}).is_err());
    }
}
