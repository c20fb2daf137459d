//! Two trees in memory as one.

use std::sync::Arc;

use super::list::{Fate, encode};
use super::{NameList, RebasedLower};
use crate::lower::memory::MemoryLower;
use crate::lower::{LowerLayer, LowerNode};
use crate::types::{EntryName, FileKind};

fn rebased() -> RebasedLower {
    let base = MemoryLower::builder()
        .file("usr/bin/old", "old")
        .file("usr/bin/both", "of the copy")
        .file("usr/bin/own", "own")
        .file("usr/lib/lib.so.1", "1")
        .symlink("usr/share/doc", "/elsewhere")
        .file("etc/hosts", "localhost")
        .build()
        .unwrap();
    let other = MemoryLower::builder()
        .file("usr/bin/both", "of the host")
        .file("usr/bin/new", "new")
        .file("usr/bin/secret", "not listed")
        .file("usr/share/doc/both/copyright", "free")
        .file("usr/share/doc/both/unlisted", "not listed")
        .hard_link("usr/bin/new", "usr/bin/other-name")
        .file("var/lib/empty/data", "not listed")
        .build()
        .unwrap();
    let list = encode([
        (&b"usr/bin/both"[..], Fate::Taken),
        (b"usr/bin/new", Fate::Taken),
        (b"usr/bin/other-name", Fate::Taken),
        (b"usr/bin/lost", Fate::Taken),
        (b"usr/bin/old", Fate::Gone),
        (b"usr/share/doc/both/copyright", Fate::Taken),
        (b"var/lib/empty", Fate::Directory),
    ]);
    let list = NameList::decode(list.unwrap()).unwrap();
    RebasedLower::new(Arc::new(base), Arc::new(other), list).unwrap()
}

fn find(layer: &dyn LowerLayer, path: &str) -> Option<(LowerNode, FileKind)> {
    let mut at = (LowerNode::ROOT, FileKind::Directory);
    for name in path.split('/') {
        let name = EntryName::new(name.as_bytes()).unwrap();
        let (node, attr) = layer.lookup(at.0, name).unwrap()?;
        at = (node, attr.kind);
    }
    Some(at)
}

fn text(layer: &dyn LowerLayer, path: &str) -> String {
    let (node, _) = find(layer, path).unwrap_or_else(|| panic!("no {path}"));
    let mut buffer = [0; 64];
    let length = layer.open(node).unwrap().read_at(&mut buffer, 0).unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

fn names(layer: &dyn LowerLayer, path: &str) -> Vec<String> {
    let at = match path {
        "" => LowerNode::ROOT,
        path => find(layer, path).unwrap().0,
    };
    let mut names = Vec::new();
    let mut push = |name: &[u8]| names.push(String::from_utf8(name.to_vec()).unwrap());
    layer.entries(at, &mut |entry| push(entry.name)).unwrap();
    names.sort();
    names
}

#[test]
fn what_is_listed_comes_from_the_other_and_nothing_else_does() {
    let layer = rebased();
    assert_eq!(text(&layer, "usr/bin/both"), "of the host");
    assert_eq!(text(&layer, "usr/bin/own"), "own");
    assert_eq!(text(&layer, "etc/hosts"), "localhost");
    for gone in [
        "usr/bin/old",
        "usr/bin/lost",
        "usr/bin/secret",
        "var/lib/empty/data",
    ] {
        assert_eq!(find(&layer, gone), None, "{gone}");
    }
    assert_eq!(
        names(&layer, "usr/bin"),
        ["both", "new", "other-name", "own"]
    );
    assert_eq!(names(&layer, "usr/lib"), ["lib.so.1"]);
    assert_eq!(names(&layer, ""), ["etc", "usr", "var"]);
    assert_eq!(names(&layer, "var/lib/empty"), [""; 0]);
}

#[test]
fn a_directory_takes_the_place_of_a_link() {
    let layer = rebased();
    assert_eq!(
        find(&layer, "usr/share/doc").unwrap().1,
        FileKind::Directory
    );
    assert_eq!(names(&layer, "usr/share"), ["doc"]);
    assert_eq!(names(&layer, "usr/share/doc/both"), ["copyright"]);
    assert_eq!(text(&layer, "usr/share/doc/both/copyright"), "free");
}

#[test]
fn hard_links_of_the_other_stay_one_file() {
    let layer = rebased();
    let one = find(&layer, "usr/bin/new").unwrap();
    assert_eq!(find(&layer, "usr/bin/other-name"), Some(one));
    assert_ne!(find(&layer, "usr/bin/both").unwrap(), one);
}

/// A daemon that follows another is asked by numbers alone, in any order.
#[test]
fn a_number_means_the_same_to_who_never_looked_it_up() {
    let first = rebased();
    let paths = [
        "usr/bin/both",
        "usr/bin/own",
        "usr/share/doc/both/copyright",
        "usr/lib/lib.so.1",
    ];
    for path in paths {
        let (dir, last) = path.rsplit_once('/').unwrap();
        let (dir, _) = find(&first, dir).unwrap();
        let (node, _) = find(&first, path).unwrap();
        let second = rebased();
        let name = EntryName::new(last.as_bytes()).unwrap();
        let found = second.lookup(dir, name).unwrap().unwrap();
        assert_eq!(found.0, node, "{path}");
        let second = rebased();
        let (parent, name) = second.location(node).unwrap().unwrap();
        assert_eq!((parent, &*name), (dir, last.as_bytes()), "{path}");
        let secret = EntryName::new(b"secret").unwrap();
        assert_eq!(second.lookup(parent, secret).unwrap(), None);
    }
}

#[test]
fn forgetting_is_harmless() {
    let layer = rebased();
    for path in [
        "usr/bin",
        "usr/bin/both",
        "usr/share/doc/both",
        "usr/share/doc/both/copyright",
    ] {
        let (node, kind) = find(&layer, path).unwrap();
        layer.forget(node);
        assert_eq!(find(&layer, path), Some((node, kind)));
        assert!(layer.attr(node).is_ok());
    }
    assert_eq!(text(&layer, "usr/bin/both"), "of the host");
}
