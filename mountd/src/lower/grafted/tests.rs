//! The tree against one layer that has all of it, and what a host may do to it meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::error::FsResult;
use crate::lower::host::HostLower;
use crate::lower::memory::MemoryLower;
use crate::lower::{LowerEntry, LowerFile};
use crate::overlay::{NewInode, Overlay, RenameMode};
use crate::takeover::Kept;
use crate::types::{Attr, Caller, Ino};
use crate::upper::UpperStore;

fn name(text: &str) -> EntryName<'_> {
    EntryName::new(text.as_bytes()).unwrap()
}

fn find(lower: &dyn LowerLayer, path: &str) -> Option<LowerNode> {
    let mut at = LowerNode::ROOT;
    for component in path.split('/') {
        at = lower.lookup(at, name(component)).unwrap()?.0;
    }
    Some(at)
}

fn path_of(lower: &dyn LowerLayer, node: LowerNode) -> String {
    let mut names = Vec::new();
    let mut at = node;
    while let Some((directory, name)) = lower.location(at).unwrap() {
        names.push(String::from_utf8(name.into()).unwrap());
        at = directory;
    }
    names.reverse();
    names.join("/")
}

fn contents(file: &dyn LowerFile) -> Vec<u8> {
    let mut buffer = vec![0; 1000];
    let length = file.read_at(&mut buffer, 0).unwrap();
    buffer.truncate(length);
    buffer
}

/// Everything below `dir`: path, kind and contents. Checks on the way what a layer promises.
fn walk(
    lower: &dyn LowerLayer,
    dir: LowerNode,
    above: &str,
    seen: &mut BTreeMap<u64, String>,
) -> BTreeMap<String, (FileKind, Vec<u8>)> {
    let mut listed = Vec::new();
    let mut sink = |entry: LowerEntry<'_>| {
        listed.push((
            String::from_utf8(entry.name.to_vec()).unwrap(),
            entry.node,
            entry.kind,
        ));
    };
    lower.entries(dir, &mut sink).unwrap();
    let mut all = BTreeMap::new();
    for (last, node, kind) in listed {
        let path = format!("{above}{last}");
        assert!(node.0 < lower.first_free());
        assert_eq!(seen.insert(node.0, path.clone()), None, "one number twice");
        let (found, attr) = lower.lookup(dir, name(&last)).unwrap().unwrap();
        assert_eq!((found, attr.kind), (node, kind), "{path}");
        assert_eq!(lower.attr(node).unwrap(), attr);
        let data = match kind {
            FileKind::Regular => contents(&*lower.open(node).unwrap()),
            _ => Vec::new(),
        };
        if kind == FileKind::Directory {
            all.extend(walk(lower, node, &format!("{path}/"), seen));
        }
        lower.forget(node);
        assert_eq!(path_of(lower, node), path);
        assert!(all.insert(path, (kind, data)).is_none());
    }
    all
}

fn whole(lower: &dyn LowerLayer) -> BTreeMap<String, (FileKind, Vec<u8>)> {
    walk(lower, LowerNode::ROOT, "", &mut BTreeMap::new())
}

/// The layers of a tree with these files of which the directories `points` are parts.
fn divided(files: &BTreeSet<String>, points: &[String]) -> GraftedLower {
    let part_of = |path: &str| {
        let is_in = |point: &&String| path.starts_with(&format!("{point}/"));
        points.iter().filter(is_in).max_by_key(|point| point.len())
    };
    let below = |part: Option<&String>, path: &str| match part {
        Some(part) => path.strip_prefix(&format!("{part}/")).unwrap().to_owned(),
        None => path.to_owned(),
    };
    let build = |part: Option<&String>| {
        let mut tree = MemoryLower::builder();
        for file in files.iter().filter(|file| part_of(file) == part) {
            tree = tree.file(below(part, file), file);
        }
        for point in points.iter().filter(|point| part_of(point) == part) {
            tree = tree.file(below(part, &format!("{point}/covered")), "never seen");
        }
        Arc::new(tree.build().unwrap()) as Arc<dyn LowerLayer>
    };
    let parts = points.iter().map(|point| Part {
        point: point.clone(),
        layer: Some(build(Some(point))),
        read_only: false,
    });
    GraftedLower::new(build(None), parts.collect()).unwrap()
}

proptest! {
    #[test]
    fn a_tree_in_parts_is_the_whole_tree(
        paths in prop::collection::btree_set("[abc](/[abc]){0,4}/f[0-9]", 1..30),
        picks in prop::collection::vec((any::<prop::sample::Index>(), 1_usize..5), 0..6),
    ) {
        let listed: Vec<_> = paths.iter().cloned().collect();
        let mut points = Vec::new();
        for (pick, depth) in picks {
            let path: Vec<_> = pick.get(&listed).split('/').collect();
            let point = path[..depth.min(path.len() - 1)].join("/");
            if !points.contains(&point) {
                points.push(point);
            }
        }
        // Lower parts may come before those that they are in.
        let grafted = divided(&paths, &points);
        let plain = divided(&paths, &[]);
        let (now, expected) = (whole(&grafted), whole(&plain));
        prop_assert_eq!(&now, &expected);
        // What was found once is found again under its number, by whoever opens it.
        let again = divided(&paths, &points);
        for path in expected.keys() {
            prop_assert_eq!(find(&grafted, path), find(&again, path));
        }
    }
}

fn two_parts() -> GraftedLower {
    let files = [
        "usr/bin/sh",
        "home/ann/mail",
        "home/bob/mail",
        "srv/www/index",
    ];
    divided(
        &files.map(str::to_owned).into(),
        &["home".to_owned(), "srv/www".to_owned()],
    )
}

#[test]
fn the_root_keeps_its_numbers_and_a_part_shows_its_own_attributes() {
    let part = MemoryLower::builder()
        .file("in", "in")
        .xattr("in", "user.x", "1")
        .attributes("", |attr| attr.uid = 77);
    let root = MemoryLower::builder()
        .file("a/b", "")
        .directory("home/under");
    let root: Arc<dyn LowerLayer> = Arc::new(root.build().unwrap());
    let part = Part {
        point: "home".to_owned(),
        layer: Some(Arc::new(part.build().unwrap())),
        read_only: false,
    };
    let grafted = GraftedLower::new(Arc::clone(&root), vec![part]).unwrap();
    assert_eq!(find(&grafted, "a/b"), find(&*root, "a/b"));
    let home = find(&grafted, "home").unwrap();
    assert_eq!(home, LowerNode(1 << 48 | 1));
    assert_eq!(grafted.attr(home).unwrap().uid, 77);
    assert_eq!(find(&grafted, "home/under"), None);
    let inside = find(&grafted, "home/in").unwrap();
    assert_eq!(grafted.xattr_names(inside).unwrap(), [b"user.x"]);
    assert_eq!(grafted.first_free(), 2 << 48);
    assert!(grafted.is_immutable());
}

#[test]
fn a_place_whose_part_is_gone_keeps_the_numbers_of_the_others() {
    let layer = |contents: &str| {
        let tree = MemoryLower::builder().file("x", contents).build();
        Some(Arc::new(tree.unwrap()) as Arc<dyn LowerLayer>)
    };
    let root = MemoryLower::builder().directory("a").file("b/mine", "");
    let root: Arc<dyn LowerLayer> = Arc::new(root.build().unwrap());
    let with = |first: Option<Arc<dyn LowerLayer>>| {
        let part = |point: &str, layer| Part {
            point: point.to_owned(),
            layer,
            read_only: false,
        };
        let parts = vec![part("b", first), part("a", layer("second"))];
        GraftedLower::new(Arc::clone(&root), parts).unwrap()
    };
    let (full, less) = (with(layer("first")), with(None));
    assert_eq!(find(&full, "a/x"), find(&less, "a/x"));
    assert_eq!(full.first_free(), less.first_free());
    assert_eq!(find(&full, "b/mine"), None);
    assert!(find(&less, "b/mine").is_some());
    let gone = find(&full, "b/x").unwrap();
    assert_eq!(less.attr(gone), Err(FsError::Stale));
}

#[test]
fn what_makes_no_tree_is_refused() {
    let root = || Arc::new(MemoryLower::builder().file("f", "").build().unwrap());
    let part = |point: &str| Part {
        point: point.to_owned(),
        layer: Some(root()),
        read_only: false,
    };
    let refused = |parts: Vec<Part>| GraftedLower::new(root(), parts).unwrap_err();
    for path in ["", "/f", "a//b", "a/../b", "."] {
        assert!(
            matches!(refused(vec![part(path)]), GraftError::BadPath { .. }),
            "{path}"
        );
    }
    let twice = refused(vec![part("d"), part("d")]);
    assert!(matches!(twice, GraftError::Twice { .. }));
    assert_eq!(
        refused(vec![part("f/deep")]),
        GraftError::NoDirectory {
            point: "f/deep".to_owned(),
            at: "f".to_owned()
        }
    );
    let many = (0..1001).map(|number| part(&number.to_string())).collect();
    assert_eq!(refused(many), GraftError::TooMany(1001));
}

/// A root directory with `way/here`, and a directory with the file `in`.
fn host_tree() -> (TempDir, TempDir) {
    let (root, part) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::create_dir_all(root.path().join("way/here")).unwrap();
    fs::write(part.path().join("in"), "in").unwrap();
    (root, part)
}

fn on_host(root: &TempDir, part: &TempDir) -> GraftedLower {
    let part = Part {
        point: "way/here".to_owned(),
        layer: Some(Arc::new(HostLower::open(part.path()).unwrap())),
        read_only: false,
    };
    let root = HostLower::open(root.path()).unwrap();
    GraftedLower::new(Arc::new(root), vec![part]).unwrap()
}

#[test]
fn a_part_is_in_one_place_whatever_the_host_renames() {
    let (root, part) = host_tree();
    let lower = on_host(&root, &part);
    let old = find(&lower, "way").unwrap();
    fs::rename(root.path().join("way"), root.path().join("old")).unwrap();
    fs::create_dir_all(root.path().join("way/here/mine")).unwrap();
    let new = find(&lower, "way").unwrap();
    assert_ne!(old, new);
    assert!(find(&lower, "way/here/in").is_some());
    assert_eq!(find(&lower, "way/here/mine"), None, "it is covered");
    let moved = find(&lower, "old").unwrap();
    assert_eq!(moved, old);
    assert_eq!(find(&lower, "old/here/in"), None);
    let inside = find(&lower, "way/here/in").unwrap();
    assert_eq!(path_of(&lower, inside), "way/here/in");
}

#[test]
fn the_way_to_a_part_is_not_forgotten() {
    let (root, part) = host_tree();
    let lower = on_host(&root, &part);
    let inside = find(&lower, "way/here/in").unwrap();
    for path in ["way", "way/here"] {
        lower.forget(find(&lower, path).unwrap());
    }
    assert_eq!(path_of(&lower, inside), "way/here/in");
}

#[test]
fn the_next_daemon_knows_the_names_of_every_part() {
    let (root, part) = host_tree();
    fs::create_dir_all(part.path().join("deep/er")).unwrap();
    fs::write(root.path().join("way/beside"), "").unwrap();
    let kept = Kept::new().unwrap();
    let open = || {
        let open = |path: &TempDir, place| -> Arc<dyn LowerLayer> {
            let lower = HostLower::open(path.path()).unwrap();
            Arc::new(lower.keep(kept.lower_names(place).unwrap()).unwrap())
        };
        let part = Part {
            point: "way/here".to_owned(),
            layer: Some(open(&part, 1)),
            read_only: false,
        };
        GraftedLower::new(open(&root, 0), vec![part]).unwrap()
    };
    let lower = open();
    let nodes = ["way/beside", "way/here/in", "way/here/deep/er"]
        .map(|path| (path, find(&lower, path).unwrap()));
    drop(lower);
    let next = open();
    for (path, node) in nodes {
        next.attr(node).unwrap();
        assert_eq!(path_of(&next, node), path);
    }
}

fn overlay(lower: GraftedLower, directory: &TempDir) -> Overlay {
    let root = crate::source::root_of(&lower).unwrap();
    let store = UpperStore::open(&directory.path().join("store"), &root, lower.first_free());
    Overlay::new(Arc::new(lower), Some(store.unwrap()))
}

fn ino(overlay: &Overlay, path: &str) -> FsResult<Ino> {
    let mut at = Ino::ROOT;
    for component in path.split('/') {
        let found = overlay.lookup(at, name(component))?;
        at = found.ok_or(FsError::NotFound)?.hand_over().0;
    }
    Ok(at)
}

#[test]
fn above_it_everything_is_one_file_system() {
    let directory = TempDir::new().unwrap();
    let core = overlay(two_parts(), &directory);
    let at = |path: &str| ino(&core, path).unwrap();
    let before = ["home/ann/mail", "home/bob", "usr/bin/sh"].map(at);
    // From a part to the root, to another part, and a directory with what is in it.
    core.rename(
        (at("home/ann"), name("mail")),
        (at("usr/bin"), name("mail")),
        RenameMode::Replace,
    )
    .unwrap();
    core.rename(
        (at("home"), name("bob")),
        (at("srv/www"), name("bob")),
        RenameMode::Replace,
    )
    .unwrap();
    core.link(at("usr/bin/sh"), at("home/ann"), name("shell"))
        .unwrap();
    core.write_path(b"srv/www/index", b"new", 0o644).unwrap();
    let new = NewInode {
        kind: FileKind::Regular,
        permissions: 0o600,
        umask: 0,
        rdev: 0,
        target: b"",
        caller: Caller { uid: 0, gid: 0 },
    };
    let own = core
        .create(at("home"), name("own"), &new)
        .unwrap()
        .hand_over()
        .0;
    assert!(own.0 >= 3 << 48, "not a number of a part");
    drop(core);
    let core = overlay(two_parts(), &directory);
    let at = |path: &str| ino(&core, path).unwrap();
    let moved = ["usr/bin/mail", "srv/www/bob", "usr/bin/sh"].map(at);
    assert_eq!(moved, before);
    assert_eq!(at("home/ann/shell"), at("usr/bin/sh"));
    assert_eq!(at("home/own"), own);
    assert_eq!(ino(&core, "home/bob"), Err(FsError::NotFound));
    assert_eq!(
        core.read_path(b"srv/www/bob/mail").unwrap().unwrap(),
        b"home/bob/mail"
    );
    assert_eq!(core.read_path(b"srv/www/index").unwrap().unwrap(), b"new");
    let attr: Attr = core.attr(at("srv/www/bob")).unwrap();
    assert_eq!(attr.kind, FileKind::Directory);
}

#[test]
fn a_root_is_told_from_another_one() {
    let (root, part) = host_tree();
    let mark = |path: &TempDir| HostLower::open(path.path()).unwrap().mark().unwrap();
    assert_eq!(mark(&root), mark(&root));
    assert_ne!(mark(&root), mark(&part));
    let at = crate::lower::host::mark_at(root.path()).unwrap();
    assert_eq!(at, mark(&root));
}
