//! Data bases of text: small ones of each family, in trees in memory.

use std::sync::Arc;

use wpar_mountd::lower::memory::{Builder, MemoryLower};
use wpar_mountd::overlay::Overlay;

use super::*;

const STATUS: &[u8] = include_bytes!("../../tests/data/packages/text/dpkg-status");
const LIST: &[u8] = include_bytes!("../../tests/data/packages/text/libc6.list");
const DIVERSIONS: &[u8] = include_bytes!("../../tests/data/packages/text/diversions");
const INSTALLED: &[u8] = include_bytes!("../../tests/data/packages/text/apk-installed");
const DESC: &[u8] = include_bytes!("../../tests/data/packages/text/pacman/bash-5.2.026-2/desc");
const FILES: &[u8] = include_bytes!("../../tests/data/packages/text/pacman/bash-5.2.026-2/files");
const NANO: &[u8] = include_bytes!("../../tests/data/packages/text/nano.list");

pub(super) fn tree(builder: Builder) -> Overlay {
    Overlay::new(Arc::new(builder.build().unwrap()), None)
}

pub(super) fn whole(builder: Builder) -> PackageDatabase {
    read(&tree(builder), Detail::Paths).unwrap().unwrap()
}

fn shown(paths: &[Vec<u8>]) -> Vec<&str> {
    let shown = |path| std::str::from_utf8(path).unwrap();
    paths.iter().map(|path| shown(path)).collect()
}

fn find<'a>(database: &'a PackageDatabase, name: &str) -> &'a Package {
    let mut found = database
        .packages
        .iter()
        .filter(|package| package.name == name);
    let package = found.next().unwrap_or_else(|| panic!("no {name}"));
    assert!(found.next().is_none(), "{name} is there twice");
    package
}

fn related(package: &Package, relation: Relation) -> Vec<&str> {
    let all = package.dependencies.iter();
    all.filter(|dependency| dependency.relation == relation)
        .map(|dependency| dependency.on.as_str())
        .collect()
}

#[test]
fn a_system_without_packages_has_no_data_base() {
    assert!(
        read(&tree(MemoryLower::builder()), Detail::Paths)
            .unwrap()
            .is_none()
    );
}

#[test]
fn dpkg_is_read_with_states_lists_and_diversions() {
    let builder = MemoryLower::builder()
        .file("var/lib/dpkg/status", STATUS)
        .file("var/lib/dpkg/diversions", DIVERSIONS)
        .file("var/lib/dpkg/info/libc6:amd64.list", LIST)
        .file("var/lib/dpkg/info/nano.list", NANO);
    let found = whole(builder);
    assert_eq!((found.family, found.damaged), (Family::Dpkg, 1));
    let names: Vec<_> = found
        .packages
        .iter()
        .map(|package| &*package.name)
        .collect();
    assert_eq!(names, ["half", "left", "libc6", "nano"]);
    assert_eq!(find(&found, "half").status, Status::Incomplete);
    assert_eq!(find(&found, "left").status, Status::Removed);
    let libc = find(&found, "libc6");
    assert_eq!(
        (
            &*libc.version,
            &*libc.architecture,
            &*libc.summary,
            libc.status
        ),
        (
            "2.36-9+deb12u4",
            "amd64",
            "GNU C Library: Shared libraries",
            Status::Installed
        )
    );
    assert_eq!(
        shown(&libc.paths),
        [
            "lib",
            "lib/x86_64-linux-gnu",
            "lib/x86_64-linux-gnu/libc.so.6",
            "usr/bin/ldd.real"
        ],
        "nano has its own ldd"
    );
    assert_eq!(
        shown(&find(&found, "nano").paths),
        ["usr/bin/nano", "usr/bin/name\\with"]
    );
    let config: Vec<_> = libc
        .config_files
        .iter()
        .map(|file| file.path.clone())
        .collect();
    assert_eq!(
        shown(&config),
        [
            "etc/ld.so.conf.d/x86_64-linux-gnu.conf",
            "etc/a name with spaces",
            "etc/gone"
        ]
    );
    assert!(libc.config_files[1].digest.as_ref().unwrap().is_of(b"abc"));
    assert_eq!(find(&found, "left").config_files[0].digest, None);
    assert_eq!(
        related(libc, Relation::Requires),
        ["libgcc-s1, libcrypt1 (>= 1:4.4.10-10~)"]
    );
    assert_eq!(
        related(find(&found, "nano"), Relation::PreRequires),
        ["dpkg (>= 1.16)"]
    );
    assert_eq!(
        related(find(&found, "nano"), Relation::Provides),
        ["editor, nano-api (= 1)"]
    );
}

#[test]
fn what_was_not_asked_for_is_not_read() {
    let builder = MemoryLower::builder()
        .file("var/lib/dpkg/status", STATUS)
        // To read this would be an error.
        .sparse_file("var/lib/dpkg/info/nano.list", TEXT_MAX + 1, &[]);
    let tree = tree(builder);
    let found = read(&tree, Detail::Packages).unwrap().unwrap();
    assert_eq!(find(&found, "nano").version, "7.2-1");
    assert!(find(&found, "libc6").config_files.is_empty());
    let error = read(&tree, Detail::Paths).unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot read /var/lib/dpkg/info/nano.list of the package data base: file too large"
    );
}

#[test]
fn images_without_a_package_manager_have_one_file_for_each_package() {
    let builder = MemoryLower::builder()
        .file(
            "var/lib/dpkg/status.d/base",
            "Package: base-files\nVersion: 12.4\nArchitecture: amd64\nDescription: Debian base\n",
        )
        .file(
            "var/lib/dpkg/status.d/base.md5sums",
            "900150983cd24fb0d6963f7d28e17f72  usr/share/doc/base-files/README\nshort\n",
        );
    let found = whole(builder);
    assert_eq!(found.packages.len(), 1);
    let base = find(&found, "base-files");
    assert_eq!(base.status, Status::Installed);
    assert_eq!(shown(&base.paths), ["usr/share/doc/base-files/README"]);
}

#[test]
fn apk_is_read_through_a_merged_usr() {
    let builder = MemoryLower::builder()
        .file("usr/lib/apk/db/installed", INSTALLED)
        .symlink("lib", "usr/lib");
    let found = whole(builder);
    assert_eq!(
        (found.family, found.packages.len(), found.damaged),
        (Family::Apk, 3, 1)
    );
    let musl = find(&found, "musl");
    assert_eq!(
        shown(&musl.paths),
        [
            "lib",
            "lib/ld-musl-x86_64.so.1",
            "lib/libc.musl-x86_64.so.1"
        ]
    );
    assert!(musl.config_files.is_empty());
    assert_eq!(
        related(musl, Relation::Provides),
        ["so:libc.musl-x86_64.so.1=1"]
    );
    let layout = find(&found, "alpine-baselayout-data");
    assert_eq!(layout.version, "3.4.3-r1");
    assert_eq!(
        shown(&layout.paths),
        ["etc", "etc/fstab", "etc/group", "etc/secfixes.d"]
    );
    assert_eq!(
        related(layout, Relation::Requires),
        ["musl>=1.2", "/bin/sh"]
    );
    assert_eq!(related(layout, Relation::Conflicts), ["old-baselayout"]);
    assert_eq!(related(layout, Relation::InstallIf), ["musl", "busybox"]);
    let group = &layout.config_files[1];
    assert_eq!(group.path, b"etc/group");
    assert!(group.digest.as_ref().unwrap().is_of(b"abc"));
}

#[test]
fn pacman_is_read_directory_by_directory() {
    let builder = MemoryLower::builder()
        .file("var/lib/pacman/local/ALPM_DB_VERSION", "9\n")
        .file("var/lib/pacman/local/bash-5.2.026-2/desc", DESC)
        .file("var/lib/pacman/local/bash-5.2.026-2/files", FILES)
        .file("var/lib/pacman/local/empty-1-1/desc", "");
    let found = whole(builder);
    assert_eq!(
        (found.family, found.packages.len(), found.damaged),
        (Family::Pacman, 1, 1)
    );
    let bash = find(&found, "bash");
    assert_eq!(
        (&*bash.version, &*bash.architecture, &*bash.summary),
        ("5.2.026-2", "x86_64", "The GNU Bourne Again shell")
    );
    assert_eq!(
        shown(&bash.paths),
        ["bin", "usr/bin/bash", "etc/bash.bashrc"]
    );
    assert_eq!(
        related(bash, Relation::Requires),
        ["readline", "libreadline.so=8-64"]
    );
    assert!(bash.config_files[0].digest.as_ref().unwrap().is_of(b"abc"));
    assert_eq!(bash.config_files[1].digest, None);
}

#[test]
fn of_two_data_bases_the_one_with_packages_counts() {
    // Debian with the program rpm, and nothing installed by it.
    let builder = MemoryLower::builder()
        .file("var/lib/dpkg/status", "")
        .file("lib/apk/db/installed", INSTALLED);
    assert_eq!(whole(builder).family, Family::Apk);
    let builder = MemoryLower::builder().file("var/lib/dpkg/status", "");
    assert_eq!(whole(builder).family, Family::Dpkg);
}

#[test]
fn a_data_base_cannot_lead_out_of_its_system() {
    let builder = MemoryLower::builder()
        .symlink("var/lib/dpkg/status", "../../../../../../etc/hostname")
        .symlink("lib/apk", "/proc/self");
    assert!(read(&tree(builder), Detail::Paths).unwrap().is_none());
}

#[test]
fn a_small_file_that_means_very_much_is_refused() {
    // Each name stands for a path of 4,000 bytes.
    let mut installed = b"P:bomb\nF:".to_vec();
    installed.extend(b"x".repeat(4000));
    installed.push(b'\n');
    installed.extend(b"R:a\n".repeat(200_000));
    let tree = tree(MemoryLower::builder().file("lib/apk/db/installed", installed));
    assert!(read(&tree, Detail::Packages).unwrap().is_some());
    let error = read(&tree, Detail::Paths).unwrap_err().to_string();
    assert_eq!(
        error,
        "the package data base /lib/apk/db/installed cannot be used: it says more than any system \
         has"
    );
}

#[test]
fn paths_deeper_than_any_are_left_out() {
    let deep = "x/".repeat(300) + "y";
    let long = "x".repeat(5000);
    let stanza =
        |more: &str| format!("Package: a\nStatus: install ok installed\nVersion: 1\n{more}\n");
    let conffiles = stanza(&format!("Conffiles:\n /etc/a 0\n /{deep} 0\n"));
    let dpkg = whole(
        MemoryLower::builder()
            .file("var/lib/dpkg/status", conffiles)
            .file(
                "var/lib/dpkg/info/a.list",
                format!("/usr/a\n/{deep}\n/{long}\n"),
            )
            .file("var/lib/dpkg/status.d/b", stanza(""))
            .file(
                "var/lib/dpkg/status.d/b.md5sums",
                format!("{}  usr/b\n{}  {deep}\n", "0".repeat(32), "0".repeat(32)),
            ),
    );
    let apk = whole(MemoryLower::builder().file(
        "lib/apk/db/installed",
        format!("P:a\nV:1\nF:usr\nR:a\nF:{deep}\nR:b\n"),
    ));
    let local = "var/lib/pacman/local/a-1";
    let pacman = whole(
        MemoryLower::builder()
            .file(format!("{local}/desc"), "%NAME%\na\n")
            .file(
                format!("{local}/files"),
                format!("%FILES%\nusr/a\n{deep}\n"),
            ),
    );
    assert_eq!(shown(&apk.packages[0].paths), ["usr", "usr/a"]);
    for database in [dpkg, apk, pacman] {
        for package in &database.packages {
            assert!(!package.paths.is_empty(), "{package:?}");
            let config = package.config_files.iter().map(|file| &file.path);
            for path in package.paths.iter().chain(config) {
                assert!(path.len() < 20, "{:?}: {package:?}", database.family);
            }
        }
    }
}

#[test]
fn a_package_of_a_million_lines_is_none() {
    let mut status = b"Package: a\nVersion: 1\nConffiles:\n".to_vec();
    for _ in 0..=1 << 20 {
        status.extend_from_slice(b" a b\n");
    }
    let tree = tree(MemoryLower::builder().file("var/lib/dpkg/status", status));
    assert!(read(&tree, Detail::Packages).is_err());
}
