//! The merged tree through a real mount, as programs see it, over `crate::TRANSPORT`.
//!
//! Needs root, `/dev/fuse` and what the transport needs; says so when it is skipped.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wpar_mountd::fuse::session::{self, Mounted};
use wpar_mountd::lower::LowerLayer;
use wpar_mountd::lower::memory::{Builder, MemoryLower};
use wpar_mountd::overlay::Overlay;
use wpar_mountd::types::Timestamp;
use wpar_mountd::upper::UpperStore;
use wpar_mountd::wire::Transport;

use crate::TRANSPORT;

struct Fixture {
    mounted: Option<Mounted>,
    directory: tempfile::TempDir,
    lower: Arc<MemoryLower>,
}

impl Fixture {
    fn root(&self) -> PathBuf {
        self.directory.path().join("mnt")
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root().join(name)
    }

    fn upper(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join("store/tree").join(name)
    }

    fn mount(&mut self) {
        self.mounted = None;
        let root = wpar_mountd::source::root_of(&*self.lower).unwrap();
        let store = UpperStore::open(
            &self.directory.path().join("store"),
            &root,
            self.lower.first_free(),
        )
        .unwrap();
        let lower: Arc<dyn LowerLayer> = self.lower.clone();
        let overlay = Overlay::new(lower, Some(store));
        let mounted = session::mount_over(overlay, &self.root(), TRANSPORT).unwrap();
        assert_eq!(mounted.transport(), TRANSPORT);
        self.mounted = Some(mounted);
    }
}

/// Mounts what `build` makes; `None`, with the reason on standard error, where that cannot be.
fn fixture(build: impl FnOnce(Builder) -> Builder) -> Option<Fixture> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: mounting needs root");
        return None;
    }
    if !Path::new("/dev/fuse").exists() {
        eprintln!("SKIPPED: this machine has no /dev/fuse");
        return None;
    }
    if TRANSPORT == Transport::Rings && !TRANSPORT.request() {
        eprintln!("SKIPPED: this kernel has no FUSE over io_uring, or it cannot be turned on");
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("mnt")).unwrap();
    let lower = Arc::new(build(MemoryLower::builder()).build().unwrap());
    let mut fixture = Fixture {
        mounted: None,
        directory,
        lower,
    };
    fixture.mount();
    Some(fixture)
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_lower_shows_and_is_not_copied_by_reading() {
    let Some(fixture) = fixture(|tree| {
        tree.file("etc/hostname", "host\n")
            .symlink("link", "etc/hostname")
            .directory("empty")
    }) else {
        return;
    };
    assert_eq!(fs::read_to_string(fixture.path("link")).unwrap(), "host\n");
    assert_eq!(names(&fixture.root()), ["empty", "etc", "link"]);
    assert_eq!(names(&fixture.path("empty")), [""; 0]);
    assert!(!fixture.path("etc/none").exists());
    assert_eq!(names(&fixture.upper("")), [""; 0], "reading must not write");
}

#[test]
fn a_write_copies_up_and_survives_a_remount() {
    let Some(mut fixture) = fixture(|tree| {
        tree.file("a/b/file", "0123456789")
            .attributes("a/b/file", |attr| {
                attr.permissions = 0o640;
                attr.uid = 1000;
                attr.mtime = Timestamp {
                    seconds: -2,
                    nanoseconds: 800_000_000,
                };
            })
    }) else {
        return;
    };
    let path = fixture.path("a/b/file");
    let before = fs::metadata(&path).unwrap();
    assert_eq!((before.mtime(), before.mtime_nsec()), (-2, 800_000_000));
    let mut reader = fs::File::open(&path).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"XY", 3).unwrap();
    let mut seen = String::new();
    reader.seek(SeekFrom::Start(0)).unwrap();
    reader.read_to_string(&mut seen).unwrap();
    assert_eq!(
        seen, "012XY56789",
        "a descriptor from before the copy-up sees the write"
    );
    drop((file, reader));
    fixture.mount();
    let after = fs::metadata(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "012XY56789");
    assert_eq!(after.ino(), before.ino());
    assert_eq!((after.mode(), after.uid()), (before.mode(), 1000));
    let stored = fs::metadata(fixture.upper("a/b/file")).unwrap();
    assert_eq!(
        (stored.mode() & 0o7777, stored.uid()),
        (0o600, 0),
        "nothing of it is real"
    );
}

#[test]
fn names_come_and_go() {
    let Some(mut fixture) = fixture(|tree| {
        tree.file("dir/one", "1")
            .file("dir/two", "2")
            .file("dir/sub/three", "3")
    }) else {
        return;
    };
    let dir = fixture.path("dir");
    fs::remove_file(dir.join("one")).unwrap();
    fs::write(dir.join("new"), "n").unwrap();
    symlink("new", dir.join("link")).unwrap();
    fs::create_dir(dir.join("made")).unwrap();
    assert!(fs::remove_dir(dir.join("sub")).is_err(), "not empty");
    fs::remove_file(dir.join("sub/three")).unwrap();
    fs::remove_dir(dir.join("sub")).unwrap();
    fs::create_dir(dir.join("sub")).unwrap();
    for _ in 0..2 {
        assert_eq!(names(&dir), ["link", "made", "new", "sub", "two"]);
        assert_eq!(
            names(&dir.join("sub")),
            [""; 0],
            "a new directory shows no old one"
        );
        assert_eq!(fs::read_link(dir.join("link")).unwrap(), Path::new("new"));
        fixture.mount();
    }
}

#[test]
fn a_lower_directory_moves_without_being_copied() {
    let Some(mut fixture) = fixture(|tree| {
        tree.file("old/deep/file", "text")
            .file("other/x", "x")
            .file("old/y", "y")
    }) else {
        return;
    };
    let ino = fs::metadata(fixture.path("old/deep/file")).unwrap().ino();
    fs::rename(fixture.path("old"), fixture.path("other/new")).unwrap();
    for _ in 0..2 {
        assert!(!fixture.path("old").exists());
        let moved = fixture.path("other/new/deep/file");
        assert_eq!(fs::read_to_string(&moved).unwrap(), "text");
        assert_eq!(fs::metadata(&moved).unwrap().ino(), ino);
        assert!(!fixture.upper("other/new/deep").exists());
        fixture.mount();
    }
    fs::write(fixture.path("other/new/deep/file"), "changed").unwrap();
    fs::create_dir(fixture.path("old")).unwrap();
    fixture.mount();
    assert_eq!(
        fs::read_to_string(fixture.path("other/new/deep/file")).unwrap(),
        "changed"
    );
    assert_eq!(names(&fixture.path("old")), [""; 0]);
}

#[test]
fn hard_links_of_the_lower_stay_one_file() {
    let Some(mut fixture) = fixture(|tree| {
        tree.file("a", "old")
            .hard_link("a", "dir/b")
            .hard_link("a", "c")
    }) else {
        return;
    };
    fs::remove_file(fixture.path("c")).unwrap();
    assert_eq!(fs::metadata(fixture.path("a")).unwrap().nlink(), 2);
    fs::write(fixture.path("a"), "new text").unwrap();
    fs::hard_link(fixture.path("dir/b"), fixture.path("d")).unwrap();
    for _ in 0..2 {
        let ino = fs::metadata(fixture.path("a")).unwrap().ino();
        for name in ["a", "dir/b", "d"] {
            let attr = fs::metadata(fixture.path(name)).unwrap();
            assert_eq!((attr.ino(), attr.nlink()), (ino, 3), "{name}");
            assert_eq!(fs::read_to_string(fixture.path(name)).unwrap(), "new text");
        }
        fixture.mount();
    }
    for name in ["a", "dir/b", "d"] {
        fs::remove_file(fixture.path(name)).unwrap();
    }
    let links = fixture.directory.path().join("store/links");
    fixture.mount();
    assert_eq!(names(&links), [""; 0], "nothing is left of it");
}

#[test]
fn an_open_file_without_a_name_lives_on() {
    let Some(fixture) = fixture(|tree| tree.file("lower", "lower text")) else {
        return;
    };
    fs::write(fixture.path("upper"), "upper text").unwrap();
    for name in ["lower", "upper"] {
        let mut file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(fixture.path(name))
            .unwrap();
        fs::remove_file(fixture.path(name)).unwrap();
        assert_eq!(file.metadata().unwrap().nlink(), 0, "{name}");
        file.write_all(b"LOWER").unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "LOWER text");
        file.set_permissions(fs::Permissions::from_mode(0o600))
            .unwrap();
        file.set_len(3).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 3);
    }
}

#[test]
fn renames_replace_exchange_and_refuse() {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let Some(mut fixture) = fixture(|tree| {
        tree.file("a", "a")
            .file("b", "b")
            .directory("empty")
            .file("full/x", "x")
            .file("low/y", "y")
    }) else {
        return;
    };
    let path = |name: &str| fixture.path(name);
    let refused = renameat_with(CWD, path("a"), CWD, path("b"), RenameFlags::NOREPLACE);
    assert_eq!(refused, Err(rustix::io::Errno::EXIST));
    renameat_with(CWD, path("full"), CWD, path("b"), RenameFlags::EXCHANGE).unwrap();
    assert_eq!(fs::read_to_string(path("full")).unwrap(), "b");
    assert_eq!(fs::read_to_string(path("b/x")).unwrap(), "x");
    fs::rename(path("a"), path("full")).unwrap();
    assert_eq!(fs::read_to_string(path("full")).unwrap(), "a");
    assert!(
        fs::rename(path("empty"), path("low")).is_err(),
        "low is not empty"
    );
    fs::remove_file(path("low/y")).unwrap();
    fs::rename(path("b"), path("low")).unwrap();
    assert_eq!(fs::read_to_string(path("low/x")).unwrap(), "x");
    fixture.mount();
    assert_eq!(names(&fixture.root()), ["empty", "full", "low"]);
    assert_eq!(names(&fixture.path("low")), ["x"]);
}

#[test]
fn a_large_directory_lists_every_name_once() {
    let Some(fixture) = fixture(|tree| {
        (0..3000).fold(tree, |tree, number| {
            tree.file(format!("big/lower-{number}"), "")
        })
    }) else {
        return;
    };
    for number in 0..1000 {
        fs::write(fixture.path(format!("big/upper-{number}")), "").unwrap();
        fs::remove_file(fixture.path(format!("big/lower-{}", number * 3))).unwrap();
    }
    let listed = names(&fixture.path("big"));
    let mut unique = listed.clone();
    unique.dedup();
    assert_eq!(listed.len(), unique.len());
    assert_eq!(listed.len(), 3000);
}
