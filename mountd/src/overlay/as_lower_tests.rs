//! A merged tree below another one: it shows what it showed, by the same numbers, and does not change.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::{OverlaidLower, Overlay, RenameMode};
use crate::lower::memory::MemoryLower;
use crate::lower::{LowerLayer, LowerNode};
use crate::types::{EntryName, FileKind, Ino};
use crate::upper::UpperStore;

fn name(name: &str) -> EntryName<'_> {
    EntryName::new(name.as_bytes()).unwrap()
}

fn above(lower: Arc<dyn LowerLayer>, store: &Path) -> Overlay {
    let root = crate::source::root_of(&*lower).unwrap();
    let store = UpperStore::open(store, &root, lower.first_free()).unwrap();
    Overlay::new(lower, Some(store))
}

fn image() -> Arc<dyn LowerLayer> {
    let tree = MemoryLower::builder()
        .file("etc/passwd", "root")
        .file("etc/group", "root")
        .file("usr/bin/one", "one")
        .hard_link("usr/bin/one", "usr/bin/two")
        .hard_link("usr/bin/one", "usr/bin/three")
        .file("srv/deep/file", "deep")
        .file("gone", "gone");
    Arc::new(tree.build().unwrap())
}

fn first(directory: &TempDir) -> Overlay {
    above(image(), &directory.path().join("first"))
}

/// Does to a tree what can be done to one.
fn change(tree: &Overlay) {
    let find = |path: &str| tree.resolve(path.as_bytes()).unwrap().unwrap().inode.ino();
    tree.write_path(b"etc/passwd", b"changed", 0o644).unwrap();
    tree.make_directories(b"opt/new/dir").unwrap();
    tree.write_path(b"opt/new/dir/file", b"new", 0o600).unwrap();
    tree.link_path(b"opt/link", b"new/dir").unwrap();
    tree.unlink(Ino::ROOT, name("gone")).unwrap();
    let bin = find("usr/bin");
    tree.unlink(bin, name("two")).unwrap();
    tree.link(find("opt/new/dir/file"), bin, name("linked"))
        .unwrap();
    // A directory of the lower that was moved, and one that took its place.
    let root = Ino::ROOT;
    tree.rename(
        (root, name("srv")),
        (root, name("moved")),
        RenameMode::NoReplace,
    )
    .unwrap();
    tree.make_directories(b"srv").unwrap();
}

/// Paths with number, kind and contents.
type Seen = BTreeMap<String, (u64, FileKind, u32, Vec<u8>)>;

fn see(layer: &dyn LowerLayer) -> Seen {
    let mut seen = Seen::new();
    let mut to_do = vec![(LowerNode::ROOT, String::new())];
    while let Some((dir, path)) = to_do.pop() {
        let mut names = Vec::new();
        let mut push = |name: &[u8]| names.push(String::from_utf8(name.to_vec()).unwrap());
        layer.entries(dir, &mut |entry| push(entry.name)).unwrap();
        for entry in names {
            let (node, attr) = layer.lookup(dir, name(&entry)).unwrap().unwrap();
            let path = format!("{path}/{entry}");
            let contents = match attr.kind {
                FileKind::Directory => {
                    to_do.push((node, path.clone()));
                    Vec::new()
                }
                FileKind::Symlink => layer.read_link(node).unwrap(),
                _ => {
                    let mut buffer = vec![0; 64];
                    let length = layer.open(node).unwrap().read_at(&mut buffer, 0).unwrap();
                    buffer.truncate(length);
                    buffer
                }
            };
            seen.insert(path, (node.0, attr.kind, attr.nlink, contents));
        }
    }
    seen
}

#[test]
fn a_tree_below_shows_what_it_showed_by_the_same_numbers() {
    let directory = TempDir::new().unwrap();
    change(&first(&directory));
    let seen = see(&OverlaidLower::new(first(&directory)));
    assert_eq!(seen["/etc/passwd"].3, b"changed");
    assert_eq!(seen["/moved/deep/file"].3, b"deep");
    assert_eq!(seen["/usr/bin/linked"].0, seen["/opt/new/dir/file"].0);
    assert_eq!(seen["/usr/bin/linked"].2, 2, "names");
    assert_eq!(seen["/usr/bin/one"].2, 2, "names that are left");
    for gone in ["/gone", "/usr/bin/two", "/srv/deep"] {
        assert!(!seen.contains_key(gone), "{gone}");
    }
    assert_eq!(see(&OverlaidLower::new(first(&directory))), seen);
    let layer = OverlaidLower::new(first(&directory));
    assert!(
        seen.values()
            .all(|(number, ..)| *number < layer.first_free())
    );
}

#[test]
fn each_number_leads_back_to_a_name() {
    let directory = TempDir::new().unwrap();
    change(&first(&directory));
    let layer = OverlaidLower::new(first(&directory));
    for (path, (number, kind, ..)) in see(&layer) {
        let (parent, last) = layer.location(LowerNode(number)).unwrap().unwrap();
        let last = EntryName::new(&last).unwrap();
        let (found, attr) = layer.lookup(parent, last).unwrap().unwrap();
        assert_eq!((found.0, attr.kind), (number, kind), "{path}");
    }
}

#[test]
fn changes_above_leave_what_is_below_as_it_was() {
    let directory = TempDir::new().unwrap();
    change(&first(&directory));
    let before = see(&OverlaidLower::new(first(&directory)));
    let second = || {
        let lower = Arc::new(OverlaidLower::new(first(&directory)));
        above(lower, &directory.path().join("second"))
    };
    let tree = second();
    tree.write_path(b"opt/new/dir/file", b"above", 0o600)
        .unwrap();
    tree.write_path(b"opt/new/dir/another", b"above", 0o600)
        .unwrap();
    tree.write_path(b"moved/deep/file", b"above", 0o600)
        .unwrap();
    let bin = tree.resolve(b"usr/bin").unwrap().unwrap().inode.ino();
    tree.unlink(bin, name("one")).unwrap();
    tree.rename(
        (Ino::ROOT, name("opt")),
        (Ino::ROOT, name("opt2")),
        RenameMode::NoReplace,
    )
    .unwrap();
    drop(tree);
    let after = see(&OverlaidLower::new(second()));
    assert_eq!(after["/opt2/new/dir/file"].3, b"above");
    assert_eq!(after["/usr/bin/linked"].3, b"above", "the same file");
    assert_eq!(after["/opt2/new/dir/another"].3, b"above");
    assert_eq!(after["/moved/deep/file"].3, b"above");
    assert_eq!(after["/usr/bin/three"].2, 1);
    assert_eq!(
        after["/opt2/new/dir/file"].0, before["/opt/new/dir/file"].0,
        "a number stays when the file is copied up once more"
    );
    assert_eq!(see(&OverlaidLower::new(first(&directory))), before);
}

#[test]
fn what_was_forgotten_is_found_again() {
    let directory = TempDir::new().unwrap();
    change(&first(&directory));
    let layer = OverlaidLower::new(first(&directory));
    let before = see(&layer);
    for (number, ..) in before.values() {
        layer.forget(LowerNode(*number));
    }
    assert_eq!(see(&layer), before);
}
