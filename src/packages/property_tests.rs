//! Whatever bytes a data base is made of, its reader neither panics nor hangs, and what it makes of
//! them is no larger than they are.

use std::cmp::Ordering;

use proptest::prelude::*;
use wpar_mountd::lower::memory::MemoryLower;

use super::rpm::tests::{BDB, LOG, NDB, SETTLED, SQLITE};
use super::tests::{DESC, DIVERSIONS, FILES, INSTALLED, LIST, STATUS, tree};
use super::*;

/// Where each family looks, with a good file to be there.
const PLACES: [(&str, &[u8]); 11] = [
    ("var/lib/dpkg/status", STATUS),
    ("var/lib/dpkg/info/libc6.list", LIST),
    ("var/lib/dpkg/diversions", DIVERSIONS),
    ("var/lib/dpkg/status.d/base", STATUS),
    ("lib/apk/db/installed", INSTALLED),
    ("var/lib/pacman/local/bash-5.2.026-2/desc", DESC),
    ("var/lib/pacman/local/bash-5.2.026-2/files", FILES),
    ("var/lib/rpm/rpmdb.sqlite", SETTLED),
    ("var/lib/rpm/rpmdb.sqlite-wal", LOG),
    ("var/lib/rpm/Packages.db", NDB),
    ("var/lib/rpm/Packages", BDB),
];

/// What else has to be there for a file to be read at all.
fn companion(path: &str) -> Option<(&'static str, &'static [u8])> {
    match path {
        "var/lib/dpkg/info/libc6.list" | "var/lib/dpkg/diversions" => {
            Some(("var/lib/dpkg/status", STATUS))
        }
        "var/lib/pacman/local/bash-5.2.026-2/files" => {
            Some(("var/lib/pacman/local/bash-5.2.026-2/desc", DESC))
        }
        "var/lib/rpm/rpmdb.sqlite-wal" => Some(("var/lib/rpm/rpmdb.sqlite", SQLITE)),
        _ => None,
    }
}

fn try_reading(path: &str, contents: &[u8]) {
    let mut builder = MemoryLower::builder().file(path, contents);
    if let Some((path, contents)) = companion(path) {
        builder = builder.file(path, contents);
    }
    if let Ok(Some(found)) = read(&tree(builder), Detail::Paths) {
        let paths = found.packages.iter().flat_map(|package| &package.paths);
        let bytes: usize = paths.map(Vec::len).sum();
        assert!(bytes <= 64 * (contents.len() + STATUS.len() + SQLITE.len()));
    }
}

/// A change of some bytes: where, as a share of the length, and what.
fn change() -> impl Strategy<Value = (u32, Vec<u8>)> {
    let edges = prop::sample::select(vec![
        vec![0],
        vec![0xff],
        vec![0xff; 4],
        vec![0; 4],
        vec![0x7f, 0xff, 0xff, 0xff],
        vec![0, 0, 0, 1],
        vec![1, 0, 0, 0],
        b"\n".to_vec(),
        b"\n\n".to_vec(),
        b":".to_vec(),
    ]);
    (
        any::<u32>(),
        prop_oneof![edges, prop::collection::vec(any::<u8>(), 1..9)],
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_can_be_read(
        place in 0..PLACES.len(),
        contents in prop::collection::vec(any::<u8>(), 0..2048),
    ) {
        let (path, good) = PLACES[place];
        try_reading(path, &contents);
        // Behind a beginning that is right.
        try_reading(path, &[&good[..good.len().min(100)], &contents].concat());
    }

    #[test]
    fn a_changed_data_base_can_be_read(
        place in 0..PLACES.len(),
        changes in prop::collection::vec(change(), 1..6),
        cut in prop::option::of(any::<u32>()),
    ) {
        let (path, good) = PLACES[place];
        let at = |share: u32, length: usize| share as usize % length.max(1);
        let mut contents = good.to_vec();
        for (share, bytes) in changes {
            let start = at(share, contents.len());
            let end = (start + bytes.len()).min(contents.len());
            contents.splice(start..end, bytes);
        }
        if let Some(share) = cut {
            contents.truncate(at(share, contents.len()));
        }
        try_reading(path, &contents);
    }

    #[test]
    fn any_versions_have_an_order(a in "[0-9a-z.:~^+_-]{0,12}", b in "\\PC{0,12}", c in "[0-9.~^a-]{0,6}") {
        for family in [Family::Dpkg, Family::Rpm, Family::Apk, Family::Pacman] {
            prop_assert_eq!(family.compare(&a, &a), Ordering::Equal);
            for other in [&b, &c] {
                let order = family.compare(&a, other);
                prop_assert_eq!(family.compare(other, &a), order.reverse(), "{} {} {}", family, a, other);
            }
        }
    }
}
