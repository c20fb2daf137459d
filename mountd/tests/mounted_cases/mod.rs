//! The merged tree through a real mount, as programs see it, over `crate::TRANSPORT`.
//!
//! Needs root, `/dev/fuse` and what the transport needs; says so when it is skipped.

mod limits;

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wpar_mountd::fuse::session::{self, Mounted};
use wpar_mountd::lower::LowerLayer;
use wpar_mountd::lower::memory::{Builder, MemoryLower};
use wpar_mountd::overlay::Overlay;
use wpar_mountd::spec::SpaceLimits;
use wpar_mountd::types::Timestamp;
use wpar_mountd::upper::UpperStore;
use wpar_mountd::wire::Transport;

use crate::TRANSPORT;

mod names;
mod nested;
mod posix;

struct Fixture {
    mounted: Option<Mounted>,
    directory: tempfile::TempDir,
    lower: Arc<MemoryLower>,
    limits: SpaceLimits,
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
        let store = store.limited(self.limits).unwrap();
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
        limits: SpaceLimits::default(),
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

/// Bytes that the file at `path` and all maps of the store take.
fn stored(fixture: &Fixture, name: &str) -> u64 {
    let maps = fs::read_dir(fixture.directory.path().join("store/maps")).unwrap();
    let maps = maps.map(|map| map.unwrap().metadata().unwrap().blocks());
    (fs::metadata(fixture.upper(name)).unwrap().blocks() + maps.sum::<u64>()) * 512
}

fn xattrs_of(path: &Path) -> Vec<String> {
    let mut buffer = vec![0; 4096];
    let length = rustix::fs::listxattr(path, &mut buffer[..]).unwrap();
    buffer[..length]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8(name.to_vec()).unwrap())
        .collect()
}

#[test]
fn the_first_write_to_a_huge_file_stores_almost_nothing() {
    const SIZE: u64 = 10 << 30;
    const BLOCK: u64 = 16 << 10;
    let offsets = [0, 5 << 30, SIZE - 3 * BLOCK];
    let pattern: Vec<u8> = (0..3 * BLOCK).map(|at| (at % 251) as u8 + 1).collect();
    let Some(mut fixture) = fixture(|tree| {
        let data = offsets.map(|at| (at, &pattern[..]));
        tree.sparse_file("huge", SIZE, &data)
    }) else {
        return;
    };
    let path = fixture.path("huge");
    let ino = fs::metadata(&path).unwrap().ino();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let mut expected = pattern.clone();
    expected[BLOCK as usize] = b'!';
    expected[(2 * BLOCK) as usize - 1] = b'?';
    for at in offsets {
        file.write_all_at(b"!", at + BLOCK).unwrap();
        file.write_all_at(b"?", at + 2 * BLOCK - 1).unwrap();
    }
    drop(file);
    for round in 0..2 {
        assert!(stored(&fixture, "huge") <= 1 << 20, "round {round}");
        let attr = fs::metadata(&path).unwrap();
        assert_eq!((attr.ino(), attr.len()), (ino, SIZE));
        assert!(attr.blocks() * 512 >= pattern.len() as u64);
        let file = fs::File::open(&path).unwrap();
        for at in offsets {
            let mut seen = vec![0; expected.len()];
            file.read_exact_at(&mut seen, at).unwrap();
            assert!(seen == expected, "round {round}, at {at}");
            let beside = if at == 0 { at + 3 * BLOCK } else { at - BLOCK };
            let mut seen = vec![1; BLOCK as usize];
            file.read_exact_at(&mut seen, beside).unwrap();
            assert!(seen.iter().all(|&byte| byte == 0), "beside {at}");
        }
        let data = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(3 * BLOCK)).unwrap();
        assert_eq!(data, 5 << 30);
        let hole = rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(0)).unwrap();
        assert_eq!(hole, 3 * BLOCK);
        drop(file);
        fixture.mount();
    }
}

#[test]
fn a_partly_copied_file_is_like_any_other() {
    let contents: Vec<u8> = (0..4 << 20).map(|at: u32| (at % 253) as u8).collect();
    let Some(mut fixture) = fixture(|tree| tree.file("dir/big", &contents)) else {
        return;
    };
    let mut expected = contents.clone();
    let write = |path: &Path, at: u64| {
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(b"new", at).unwrap();
        file.sync_all().unwrap();
    };
    write(&fixture.path("dir/big"), 99_999);
    expected[99_999..100_002].copy_from_slice(b"new");
    assert!(stored(&fixture, "dir/big") < 1 << 20);
    let own = xattrs_of(&fixture.upper("dir/big"));
    assert!(own.contains(&"user.wpar.blocks".to_owned()), "{own:?}");
    assert_eq!(
        xattrs_of(&fixture.path("dir/big")),
        [""; 0],
        "the guest does not see them"
    );
    // Renamed, linked, changed through the other name, its first name gone.
    fs::rename(fixture.path("dir/big"), fixture.path("moved")).unwrap();
    fs::hard_link(fixture.path("moved"), fixture.path("dir/other")).unwrap();
    write(&fixture.path("dir/other"), 2_000_000);
    expected[2_000_000..2_000_003].copy_from_slice(b"new");
    fixture.mount();
    assert!(fs::read(fixture.path("moved")).unwrap() == expected);
    fs::remove_file(fixture.path("moved")).unwrap();
    assert!(fs::read(fixture.path("dir/other")).unwrap() == expected);
    // Cut in the middle of a block, and grown again: what was behind is gone.
    let file = fs::OpenOptions::new()
        .write(true)
        .open(fixture.path("dir/other"))
        .unwrap();
    file.set_len(1_000_001).unwrap();
    file.set_len(1_100_000).unwrap();
    expected.truncate(1_000_001);
    expected.resize(1_100_000, 0);
    assert!(fs::read(fixture.path("dir/other")).unwrap() == expected);
    drop(file);
    fixture.mount();
    assert!(fs::read(fixture.path("dir/other")).unwrap() == expected);
    // Removed while it is open: its map goes with it, but not before.
    let file = fs::File::open(fixture.path("dir/other")).unwrap();
    fs::remove_file(fixture.path("dir/other")).unwrap();
    let mut seen = vec![0; expected.len()];
    file.read_exact_at(&mut seen, 0).unwrap();
    assert!(seen == expected);
    drop(file);
    fixture.mount();
    let maps = fixture.directory.path().join("store/maps");
    assert_eq!(names(&maps), [""; 0], "nothing is left of it");
}

#[test]
fn a_copy_from_a_partly_copied_file_has_all_of_it() {
    let contents: Vec<u8> = (0..3 << 20).map(|at: u32| (at % 241) as u8).collect();
    let Some(fixture) = fixture(|tree| tree.file("big", &contents).file("target", &contents))
    else {
        return;
    };
    let mut expected = contents.clone();
    for name in ["big", "target"] {
        let file = fs::OpenOptions::new()
            .write(true)
            .open(fixture.path(name))
            .unwrap();
        file.write_all_at(&[7; 40_000], 1_000_000).unwrap();
    }
    expected[1_000_000..1_040_000].fill(7);
    fs::copy(fixture.path("big"), fixture.path("copy")).unwrap();
    assert!(fs::read(fixture.path("copy")).unwrap() == expected);
    // A range that the store has, into the middle of blocks that it does not have.
    let from = fs::File::open(fixture.path("big")).unwrap();
    let to = fs::OpenOptions::new()
        .write(true)
        .open(fixture.path("target"))
        .unwrap();
    let (mut at, mut target_at) = (1_001_000, 2_000_100);
    let copied =
        rustix::fs::copy_file_range(&from, Some(&mut at), &to, Some(&mut target_at), 30_000);
    assert_eq!(copied, Ok(30_000));
    expected[2_000_100..2_030_100].fill(7);
    assert!(fs::read(fixture.path("target")).unwrap() == expected);
}

/// How many random changes an ordinary run makes; `WPAR_CHANGES` asks for more.
const CHANGES: usize = 1500;

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

#[test]
fn random_changes_of_a_large_lower_file_are_those_of_a_buffer() {
    use rustix::fs::{FallocateFlags, fallocate};
    const LONGEST: u64 = 100_000;
    const SIZE: u64 = 3 << 20;
    let changes = std::env::var("WPAR_CHANGES").map_or(CHANGES, |text| text.parse().unwrap());
    let contents: Vec<u8> = (0..SIZE).map(|at| (at % 247) as u8 + 1).collect();
    let Some(mut fixture) = fixture(|tree| {
        (0..10).fold(tree, |tree, number| {
            tree.file(format!("f{number}"), &contents)
        })
    }) else {
        return;
    };
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for number in 0..10 {
        let path = fixture.path(format!("f{number}"));
        let mut expected = contents.clone();
        for change in 0..changes / 10 {
            let file = fs::OpenOptions::new()
                .read(true)
                .write(true)
                .open(&path)
                .unwrap();
            let (at, length) = (numbers.below(SIZE), numbers.below(LONGEST) + 1);
            let end = (at + length) as usize;
            let within = (at as usize).min(expected.len())..end.min(expected.len());
            match numbers.below(40) {
                0 => {
                    // Not often: it leaves less of the lower.
                    let size = SIZE - numbers.below(SIZE) / 50;
                    file.set_len(size).unwrap();
                    expected.resize(size as usize, 0);
                }
                1..8 => {
                    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                    fallocate(&file, flags, at, length).unwrap();
                    expected[within].fill(0);
                }
                8..10 => {
                    let flags = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
                    match fallocate(&file, flags, at, length) {
                        Ok(()) => expected[within].fill(0),
                        // tmpfs does not have it.
                        Err(error) => assert_eq!(error, rustix::io::Errno::OPNOTSUPP),
                    }
                }
                10..12 => fallocate(&file, FallocateFlags::KEEP_SIZE, at, length).unwrap(),
                12..20 => {
                    let byte = numbers.below(255) as u8;
                    let length = length.min(40);
                    let end = (at + length) as usize;
                    file.write_all_at(&vec![byte; length as usize], at).unwrap();
                    expected.resize(expected.len().max(end), 0);
                    expected[at as usize..end].fill(byte);
                }
                20..24 => {
                    let byte = numbers.below(255) as u8;
                    file.write_all_at(&vec![byte; length as usize], at).unwrap();
                    expected.resize(expected.len().max(end), 0);
                    expected[at as usize..end].fill(byte);
                }
                24..28 => {
                    let mut target = numbers.below(SIZE);
                    let mut source = at;
                    if target.abs_diff(source) >= length && end <= expected.len() {
                        let copied = rustix::fs::copy_file_range(
                            &file,
                            Some(&mut source),
                            &file,
                            Some(&mut target),
                            length as usize,
                        )
                        .unwrap();
                        let start = target as usize - copied;
                        expected.resize(expected.len().max(start + copied), 0);
                        let from = source as usize - copied;
                        expected.copy_within(from..from + copied, start);
                    }
                }
                28 => file.sync_all().unwrap(),
                _ => {
                    let mut seen = vec![0; within.len()];
                    file.read_exact_at(&mut seen, at).unwrap();
                    assert!(seen == expected[within], "file {number}, change {change}");
                }
            }
            drop(file);
            if numbers.below(100) == 0 {
                fixture.mount();
            }
        }
        assert!(fs::read(&path).unwrap() == expected, "file {number}");
        fixture.mount();
        assert!(
            fs::read(&path).unwrap() == expected,
            "file {number}, mounted again"
        );
    }
}
