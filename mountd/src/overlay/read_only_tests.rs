//! A part of the tree that may not be changed, below a store that may.

use std::path::Path;

use rustix::fs::XattrFlags;
use tempfile::TempDir;

use super::{AllocateMode, NewInode, Overlay, RenameMode, SetAttr};
use crate::error::{FsError, FsResult};
use crate::source;
use crate::spec::{Access, Graft, LowerSpec, MountSpec, SpaceLimits};
use crate::types::{Caller, EntryName, FileKind, Ino};

const FILE: NewInode<'static> = NewInode {
    kind: FileKind::Regular,
    permissions: 0o644,
    umask: 0,
    rdev: 0,
    target: b"",
    caller: Caller { uid: 0, gid: 0 },
};

fn spec(directory: &Path) -> MountSpec {
    let graft = |point: &str, from: &str, read_only| Graft {
        point: point.to_owned(),
        from: Some(directory.join(from)),
        mark: None,
        read_only,
    };
    MountSpec {
        lower: LowerSpec::Joined {
            root: None,
            grafts: vec![
                graft("usr", "usr", true),
                graft("usr/local", "local", true),
                graft("var/lib/data", "data", false),
            ],
        },
        store: Some(directory.join("store")),
        hidden: Vec::new(),
        limits: SpaceLimits::default(),
        access: Access::Checked,
    }
}

fn host() -> TempDir {
    let directory = TempDir::new().unwrap();
    for (path, contents) in [
        ("usr/bin/program", "old"),
        ("usr/local/covered", ""),
        ("local/own", "local"),
        ("data/base", "data"),
    ] {
        let path = directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
    }
    directory
}

fn name(text: &str) -> EntryName<'_> {
    EntryName::new(text.as_bytes()).unwrap()
}

fn read(overlay: &Overlay, path: &str) -> Option<String> {
    let contents = overlay.read_path(path.as_bytes()).unwrap()?;
    Some(String::from_utf8(contents).unwrap())
}

#[test]
fn nothing_changes_in_a_part_that_is_read_only() {
    let host = host();
    let overlay = source::open(&spec(host.path())).unwrap();
    overlay.write_path(b"mine", b"mine", 0o644).unwrap();
    let at = |path: &str| overlay.resolve(path.as_bytes()).unwrap().unwrap();
    let (bin, program, mine) = (at("usr/bin"), at("usr/bin/program"), at("mine"));
    let (bin, program, mine) = (bin.inode.ino(), program.inode.ino(), mine.inode.ino());
    let (usr, local) = (at("usr"), at("usr/local"));
    let (usr, local) = (usr.inode.ino(), local.inode.ino());
    let size = SetAttr {
        size: Some(0),
        ..SetAttr::default()
    };
    let mode = SetAttr {
        permissions: Some(0o777),
        ..SetAttr::default()
    };
    type Step<'a> = (&'a str, Box<dyn Fn() -> FsResult<()> + 'a>);
    let move_to = |from: (Ino, &str), to: (Ino, &str), mode| {
        overlay.rename((from.0, name(from.1)), (to.0, name(to.1)), mode)
    };
    let steps: Vec<Step<'_>> = vec![
        (
            "create",
            Box::new(|| overlay.create(bin, name("new"), &FILE).map(drop)),
        ),
        (
            "create in a part in it",
            Box::new(|| overlay.create(local, name("new"), &FILE).map(drop)),
        ),
        (
            "create at its root",
            Box::new(|| overlay.create(usr, name("new"), &FILE).map(drop)),
        ),
        (
            "tmpfile",
            Box::new(|| overlay.create_unnamed(bin, &FILE).map(drop)),
        ),
        ("unlink", Box::new(|| overlay.unlink(bin, name("program")))),
        (
            "rmdir",
            Box::new(|| overlay.remove_directory(usr, name("bin"))),
        ),
        (
            "link in",
            Box::new(|| overlay.link(mine, bin, name("new")).map(drop)),
        ),
        (
            "link out",
            Box::new(|| overlay.link(program, Ino::ROOT, name("new")).map(drop)),
        ),
        (
            "rename in",
            Box::new(|| move_to((Ino::ROOT, "mine"), (bin, "new"), RenameMode::Replace)),
        ),
        (
            "rename out",
            Box::new(|| move_to((bin, "program"), (Ino::ROOT, "new"), RenameMode::Replace)),
        ),
        (
            "exchange",
            Box::new(|| move_to((Ino::ROOT, "mine"), (bin, "program"), RenameMode::Exchange)),
        ),
        (
            "write",
            Box::new(|| overlay.write(program, b"new", 0, false).map(drop)),
        ),
        (
            "write as a user",
            Box::new(|| overlay.write(program, b"new", 0, true).map(drop)),
        ),
        (
            "truncate",
            Box::new(|| overlay.set_attr(program, &size).map(drop)),
        ),
        ("chmod", Box::new(|| overlay.set_attr(usr, &mode).map(drop))),
        (
            "allocate",
            Box::new(|| overlay.allocate(program, 0, 9, AllocateMode::Grow)),
        ),
        (
            "copy range",
            Box::new(|| overlay.copy_range((mine, 0), (program, 0), 4).map(drop)),
        ),
        (
            "setxattr",
            Box::new(|| overlay.set_xattr(program, b"user.x", b"1", XattrFlags::empty())),
        ),
    ];
    for (what, step) in steps {
        assert_eq!(step(), Err(FsError::ReadOnly), "{what}");
    }
    assert_eq!(read(&overlay, "usr/bin/program").unwrap(), "old");
    assert_eq!(read(&overlay, "usr/local/own").unwrap(), "local");
    assert_eq!(read(&overlay, "mine").unwrap(), "mine");
    assert_eq!(read(&overlay, "new"), None);
}

#[test]
fn beside_it_everything_can_be_changed() {
    let host = host();
    let overlay = source::open(&spec(host.path())).unwrap();
    assert_eq!(read(&overlay, "var/lib/data/base").unwrap(), "data");
    overlay
        .write_path(b"var/lib/data/base", b"new", 0o644)
        .unwrap();
    overlay.make_directories(b"var/lib/other").unwrap();
    overlay
        .write_path(b"var/lib/other/file", b"x", 0o644)
        .unwrap();
    assert_eq!(read(&overlay, "var/lib/data/base").unwrap(), "new");
    let untouched = std::fs::read_to_string(host.path().join("data/base")).unwrap();
    assert_eq!(untouched, "data");
}

#[test]
fn what_was_prepared_from_outside_is_seen_and_cannot_be_changed_inside() {
    let host = host();
    let prepared = source::open(&spec(host.path()).all_writable()).unwrap();
    prepared
        .write_path(b"usr/bin/program", b"prepared", 0o644)
        .unwrap();
    drop(prepared);
    let overlay = source::open(&spec(host.path())).unwrap();
    assert_eq!(read(&overlay, "usr/bin/program").unwrap(), "prepared");
    let refused = overlay.write_path(b"usr/bin/program", b"changed", 0o644);
    assert_eq!(refused, Err(FsError::ReadOnly));
}

#[test]
fn a_spec_of_before_is_read_and_a_graft_of_before_is_written_as_it_was() {
    let text = r#"{"point":"usr","from":"/usr"}"#;
    let graft: Graft = serde_json::from_str(text).unwrap();
    assert!(!graft.read_only);
    assert_eq!(serde_json::to_string(&graft).unwrap(), text);
}
