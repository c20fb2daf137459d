//! Names when the daemon ends in between, and locks: what only the core itself can be asked.

use std::cell::RefCell;
use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use tempfile::TempDir;

use super::{CopyUp, NewInode, Overlay, RenameMode};
use crate::error::FsError;
use crate::lower::LowerLayer;
use crate::lower::memory::MemoryLower;
use crate::types::{Caller, EntryName, FileKind, Ino};
use crate::upper::calls::{Call, with_plan};
use crate::upper::object::read_record;
use crate::upper::{UpperStore, record};

const CALLER: Caller = Caller { uid: 7, gid: 8 };
const WHITEOUT: RenameMode = RenameMode::Whiteout {
    caller: CALLER,
    replace: true,
};

fn lower() -> Arc<dyn LowerLayer> {
    let tree = MemoryLower::builder()
        .file("file", "file")
        .file("dir/inside", "inside")
        .directory("empty");
    Arc::new(tree.build().unwrap())
}

fn open_store(lower: &dyn LowerLayer, directory: &Path) -> UpperStore {
    let root = crate::source::root_of(lower).unwrap();
    UpperStore::open(directory, &root, lower.first_free()).unwrap()
}

fn open(directory: &Path) -> Overlay {
    let lower = lower();
    let store = open_store(&*lower, directory);
    Overlay::new(lower, Some(store))
}

fn name(name: &str) -> EntryName<'_> {
    EntryName::new(name.as_bytes()).unwrap()
}

fn new(kind: FileKind) -> NewInode<'static> {
    NewInode {
        kind,
        permissions: 0o644,
        umask: 0,
        rdev: 0,
        target: b"",
        caller: CALLER,
    }
}

fn find(core: &Overlay, path: &str) -> Option<Ino> {
    let mut at = Ino::ROOT;
    for component in path.split('/') {
        at = core.lookup(at, name(component)).unwrap()?.hand_over().0;
    }
    Some(at)
}

/// What a directory of the store has in it.
fn stored(directory: &TempDir, part: &str) -> Vec<String> {
    let entries = fs::read_dir(directory.path().join(part)).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_file_that_got_no_name_is_swept_at_the_next_opening() {
    let directory = TempDir::new().unwrap();
    let core = open(directory.path());
    let make = |text: &[u8]| {
        let made = core
            .create_unnamed(Ino::ROOT, &new(FileKind::Regular))
            .unwrap();
        assert_eq!(made.attr().nlink, 0);
        let ino = made.hand_over().0;
        core.write(ino, text, 0, false).unwrap();
        ino
    };
    let (lost, kept) = (make(b"lost"), make(b"kept"));
    core.link(kept, Ino::ROOT, name("kept"))
        .unwrap()
        .hand_over();
    assert_eq!(stored(&directory, "orphans"), [lost.0.to_string()]);
    drop(core);
    let core = open(directory.path());
    assert_eq!(stored(&directory, "orphans"), [""; 0]);
    let ino = find(&core, "kept").unwrap();
    assert_eq!(ino, kept, "its number stays");
    let mut text = [0; 9];
    assert_eq!(core.read(ino, &mut text, 0), Ok(4));
    assert_eq!(core.attr(ino).unwrap().nlink, 1);
}

#[test]
fn a_file_that_nobody_holds_is_gone_at_once() {
    let directory = TempDir::new().unwrap();
    let core = open(directory.path());
    let ino = core.create_unnamed(Ino::ROOT, &new(FileKind::Regular));
    let ino = ino.unwrap().hand_over().0;
    core.forget(ino, 1);
    assert_eq!(stored(&directory, "orphans"), [""; 0]);
    assert_eq!(core.attr(ino), Err(FsError::Stale));
}

#[test]
fn only_regular_files_are_made_without_a_name_and_only_in_directories() {
    let directory = TempDir::new().unwrap();
    let core = open(directory.path());
    for kind in [FileKind::Directory, FileKind::Fifo, FileKind::Symlink] {
        let made = core.create_unnamed(Ino::ROOT, &new(kind));
        assert_eq!(made.unwrap_err(), FsError::InvalidArgument);
    }
    let file = find(&core, "file").unwrap();
    let made = core.create_unnamed(file, &new(FileKind::Regular));
    assert_eq!(made.unwrap_err(), FsError::NotDirectory);
    let empty = find(&core, "empty").unwrap();
    core.remove_directory(Ino::ROOT, name("empty")).unwrap();
    let made = core.create_unnamed(empty, &new(FileKind::Regular));
    assert_eq!(made.unwrap_err(), FsError::NotFound);
    assert_eq!(stored(&directory, "work"), [""; 0]);
}

#[test]
fn what_got_a_name_does_not_say_that_it_had_none() {
    let directory = TempDir::new().unwrap();
    let core = open(directory.path());
    let ino = core.create_unnamed(Ino::ROOT, &new(FileKind::Regular));
    let ino = ino.unwrap().hand_over().0;
    let record = |path: &str| {
        let file = fs::File::open(directory.path().join(path)).unwrap();
        read_record(file.as_fd()).unwrap().unwrap()
    };
    let orphan = format!("orphans/{}", ino.0);
    assert!(record(&orphan).unnamed);
    // A name that is taken changes nothing.
    let taken = core.link(ino, Ino::ROOT, name("file"));
    assert_eq!(taken.unwrap_err(), FsError::Exists);
    assert!(record(&orphan).unnamed);
    core.link(ino, Ino::ROOT, name("named"))
        .unwrap()
        .hand_over();
    let expected = record::Record {
        unnamed: false,
        pristine: false,
        ..record("tree/named")
    };
    assert_eq!(record("tree/named"), expected);
    core.unlink(Ino::ROOT, name("named")).unwrap();
    let again = core.link(ino, Ino::ROOT, name("again"));
    assert_eq!(again.unwrap_err(), FsError::NotFound);
}

#[test]
fn a_whiteout_of_the_guest_belongs_to_who_asked_and_is_counted_by_nobody() {
    let directory = TempDir::new().unwrap();
    let core = open(directory.path());
    let root = Ino::ROOT;
    let renamed = core.rename((root, name("file")), (root, name("dir")), WHITEOUT);
    assert_eq!(renamed, Err(FsError::IsDirectory));
    assert_eq!(
        stored(&directory, "work"),
        [""; 0],
        "refused, it leaves nothing"
    );
    core.rename((root, name("file")), (root, name("new")), WHITEOUT)
        .unwrap();
    assert_eq!(stored(&directory, "work"), [""; 0]);
    let found = core.lookup(root, name("file")).unwrap().unwrap();
    let attr = *found.attr();
    assert_eq!((attr.kind, attr.rdev), (FileKind::CharDevice, 0));
    assert_eq!((attr.permissions, attr.uid, attr.gid), (0, 7, 8));
    assert_eq!((attr.nlink, attr.size), (1, 0));
}

#[test]
fn nothing_is_made_durable_under_a_lock_of_the_order() {
    const FILES: usize = 100;
    let tree = (0..FILES).fold(MemoryLower::builder(), |tree, number| {
        tree.file(format!("f{number}"), [b'x'; 1000])
    });
    let lower: Arc<dyn LowerLayer> = Arc::new(tree.build().unwrap());
    let directory = TempDir::new().unwrap();
    let store = open_store(&*lower, directory.path());
    let copy_up = CopyUp {
        whole: 0,
        whole_of_living: 0,
        block_size: 64,
    };
    let core = Arc::new(Overlay::new(lower, Some(store)).with_copy_up(copy_up));
    let asked = Arc::clone(&core);
    // For each sync whether a lock was held.
    let syncs = Rc::new(RefCell::new(Vec::new()));
    let told = Rc::clone(&syncs);
    let plan = move |call: &Call<'_>| {
        if matches!(call.name, "fsync" | "fdatasync" | "syncfs") {
            let copies = asked.copy_ups.iter().any(|lock| lock.is_locked());
            told.borrow_mut().push(copies || asked.names.is_locked());
        }
        Ok(())
    };
    with_plan(plan, || {
        for number in 0..FILES {
            let ino = find(&core, &format!("f{number}")).unwrap();
            core.write(ino, b"y", 100, false).unwrap();
        }
    });
    // So many that files which nobody uses were closed, and settled before.
    assert!(!syncs.borrow().is_empty());
    assert!(syncs.borrow().iter().all(|held| !held));
    assert!(core.partials.all().len() <= 70);
    for number in 0..FILES {
        let mut seen = [0; 3];
        let ino = find(&core, &format!("f{number}")).unwrap();
        assert_eq!(core.read(ino, &mut seen, 99), Ok(3));
        assert_eq!(&seen, b"xyx");
    }
}

/// What a crash in the middle of a creation leaves: something without a record.
fn leave_remains(directory: &TempDir, path: &str, is_directory: bool) {
    let path = directory.path().join("tree").join(path);
    if is_directory {
        fs::create_dir(path).unwrap();
    } else {
        fs::write(path, "").unwrap();
    }
}

type Deed = fn(&Overlay) -> Result<(), FsError>;

#[test]
fn the_remains_of_a_creation_are_in_nobodys_way() {
    const ROOT: Ino = Ino::ROOT;
    let deeds: [(&str, Deed); 9] = [
        ("file", |core| {
            core.create(ROOT, name("x"), &new(FileKind::Regular))
                .map(drop)
        }),
        ("directory", |core| {
            core.create(ROOT, name("x"), &new(FileKind::Directory))
                .map(drop)
        }),
        ("link", |core| {
            let ino = find(core, "file").unwrap();
            core.link(ino, ROOT, name("x")).map(drop)
        }),
        ("first name", |core| {
            let ino = core.create_unnamed(ROOT, &new(FileKind::Regular))?;
            core.link(ino.hand_over().0, ROOT, name("x")).map(drop)
        }),
        ("rename of a file", |core| {
            core.rename((ROOT, name("file")), (ROOT, name("x")), RenameMode::Replace)
        }),
        ("rename of a directory", |core| {
            core.rename(
                (ROOT, name("dir")),
                (ROOT, name("x")),
                RenameMode::NoReplace,
            )
        }),
        ("whiteout for a file", |core| {
            core.rename((ROOT, name("file")), (ROOT, name("x")), WHITEOUT)
        }),
        ("whiteout for a directory", |core| {
            core.rename((ROOT, name("dir")), (ROOT, name("x")), WHITEOUT)
        }),
        ("linked again", |core| {
            let ino = find(core, "file").unwrap();
            core.link(ino, ROOT, name("y")).map(drop)?;
            core.link(ino, ROOT, name("x")).map(drop)
        }),
    ];
    for is_directory in [false, true] {
        for (what, deed) in deeds {
            let what = format!("{what}, remains of a directory: {is_directory}");
            let directory = TempDir::new().unwrap();
            let core = open(directory.path());
            leave_remains(&directory, "x", is_directory);
            assert_eq!(find(&core, "x"), None);
            assert_eq!(core.unlink(Ino::ROOT, name("x")), Err(FsError::NotFound));
            assert_eq!(deed(&core), Ok(()), "{what}");
            drop(core);
            let core = open(directory.path());
            assert!(find(&core, "x").is_some(), "{what}");
        }
    }
}

#[test]
fn a_path_is_resolved_inside_the_tree() {
    let tree = MemoryLower::builder()
        .file("usr/lib/x/file", "file")
        .symlink("lib", "usr/lib")
        .symlink("usr/lib/out", "../../../../lib/x/./file")
        .symlink("loop", "loop");
    let overlay = Overlay::new(Arc::new(tree.build().unwrap()), None);
    let path = |asked: &str| {
        let found = overlay.resolve(asked.as_bytes()).unwrap();
        found.map(|found| String::from_utf8(found.path).unwrap())
    };
    for (asked, real) in [
        ("", Some("")),
        ("/", Some("")),
        ("../..", Some("")),
        ("lib", Some("usr/lib")),
        ("/lib//x/file", Some("usr/lib/x/file")),
        ("lib/out", Some("usr/lib/x/file")),
        ("lib/x/../out", Some("usr/lib/x/file")),
        ("lib/none", None),
        ("lib/\0", None),
        ("lib/x/file/below", None),
    ] {
        assert_eq!(path(asked).as_deref(), real, "{asked}");
    }
    assert!(overlay.resolve(b"loop").is_err());
}

#[test]
fn what_the_store_has_nothing_of_is_the_lowers() {
    let temp = TempDir::new().unwrap();
    let overlay = open(temp.path());
    let is_of_lower = |path: &str| {
        let found = overlay.resolve(path.as_bytes()).unwrap().unwrap();
        overlay.is_of_lower(found.inode.ino()).unwrap()
    };
    assert!(is_of_lower("dir") && is_of_lower("dir/inside") && is_of_lower("file"));
    assert!(!overlay.has_linked().unwrap());
    let found = overlay.resolve(b"dir/inside").unwrap().unwrap();
    overlay.write(found.inode.ino(), b"x", 0, false).unwrap();
    assert!(!is_of_lower("dir") && !is_of_lower("dir/inside"));
    assert!(is_of_lower("file") && is_of_lower("empty") && !is_of_lower(""));
    let file = overlay.resolve(b"file").unwrap().unwrap();
    overlay
        .link(file.inode.ino(), Ino::ROOT, name("second"))
        .unwrap();
    assert!(overlay.has_linked().unwrap());
    overlay
        .create(Ino::ROOT, name("new"), &new(FileKind::Regular))
        .unwrap();
    assert!(!is_of_lower("new"));
}
