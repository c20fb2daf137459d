//! The disk that a store lies on is full: every change is refused as a whole or made as a whole, and
//! goes on when there is room.
//!
//! Needs root, for a small file system of its own in a private mount namespace; says so when it is
//! skipped.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustix::fs::XattrFlags;
use rustix::io::Errno;
use wpar_mountd::error::{FsError, FsResult};
use wpar_mountd::lower::LowerLayer;
use wpar_mountd::lower::memory::MemoryLower;
use wpar_mountd::overlay::{AllocateMode, CopyUp, NewInode, Overlay, RenameMode, SetAttr};
use wpar_mountd::spec::SpaceLimits;
use wpar_mountd::types::{Caller, EntryName, FileKind, Ino};
use wpar_mountd::upper::UpperStore;

/// Set in the process that has the namespace: the directory that the file system is mounted on.
const INSIDE: &str = "WPAR_FULL_DISK";

/// Runs the test named `test` again where `mount` has mounted a small file system; true in there.
fn is_inside(test: &str, mount: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: mounting needs root");
        return false;
    }
    let directory = tempfile::tempdir().unwrap();
    let script = format!("{mount} && exec \"$0\" --exact {test} --nocapture");
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(INSIDE, directory.path())
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            eprintln!("SKIPPED: no unshare(1): {error}");
            return false;
        }
    };
    let told = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) {
        eprintln!("SKIPPED: {told}");
        return false;
    }
    let ran = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{ran}{told}");
    assert!(ran.contains("1 passed"), "it did not run: {ran}{told}");
    false
}

const TMPFS: &str = "{ mount -t tmpfs -o size=6m small $WPAR_FULL_DISK || exit 77; }";
const EXT4: &str = "{ truncate -s 12M $WPAR_FULL_DISK/image && \
    mkfs.ext4 -q -b 4096 -O ^has_journal -m 0 $WPAR_FULL_DISK/image && \
    mount -o loop $WPAR_FULL_DISK/image $WPAR_FULL_DISK || exit 77; }";

#[test]
fn a_full_tmpfs_tears_nothing() {
    if is_inside("a_full_tmpfs_tears_nothing", TMPFS) {
        for limited in [false, true] {
            tears_nothing(limited);
        }
    }
}

#[test]
fn a_full_ext4_tears_nothing() {
    if is_inside("a_full_ext4_tears_nothing", EXT4) {
        for limited in [false, true] {
            tears_nothing(limited);
        }
    }
}

fn name(name: &str) -> EntryName<'_> {
    EntryName::new(name.as_bytes()).unwrap()
}

fn lower() -> Arc<dyn LowerLayer> {
    let lower = MemoryLower::builder()
        .file("small", vec![b's'; 300_000])
        .file("other", vec![b'o'; 300_000])
        .file("large", vec![b'l'; 3_000_000])
        .file("dir/inner/file", "x")
        .build();
    Arc::new(lower.unwrap())
}

fn open(store: &Path, limited: bool) -> Overlay {
    let lower = lower();
    let root = wpar_mountd::source::root_of(&*lower).unwrap();
    let store = UpperStore::open(store, &root, lower.first_free()).unwrap();
    let limits = SpaceLimits {
        bytes: limited.then_some(1 << 40),
        inodes: limited.then_some(1 << 30),
    };
    Overlay::new(lower, Some(store.limited(limits).unwrap())).with_copy_up(CopyUp {
        whole: 1 << 20,
        ..CopyUp::default()
    })
}

fn make(overlay: &Overlay, kind: FileKind, new: &str) -> FsResult<Ino> {
    let inode = NewInode {
        kind,
        permissions: 0o644,
        umask: 0,
        rdev: 0,
        target: match kind {
            FileKind::Symlink => b"target",
            _ => b"",
        },
        caller: Caller { uid: 0, gid: 0 },
    };
    Ok(overlay.create(Ino::ROOT, name(new), &inode)?.hand_over().0)
}

fn find(overlay: &Overlay, path: &str) -> Ino {
    let mut at = Ino::ROOT;
    for part in path.split('/') {
        at = overlay
            .lookup(at, name(part))
            .unwrap()
            .unwrap()
            .hand_over()
            .0;
    }
    at
}

/// All that a program can see of these names: type, permissions, size, names, data, attributes.
fn picture(overlay: &Overlay) -> Vec<String> {
    let names = [
        "small", "other", "large", "dir", "new", "file", "link", "node", "moved", "second",
    ];
    let seen = names.iter().map(|path| {
        let Some(found) = overlay.lookup(Ino::ROOT, name(path)).unwrap() else {
            return format!("{path}: not there");
        };
        let (ino, attr) = (found.ino(), *found.attr());
        let data = match attr.kind {
            FileKind::Regular => {
                let mut data = vec![0; attr.size as usize];
                assert_eq!(overlay.read(ino, &mut data, 0).unwrap(), data.len());
                data.chunk_by(|one, next| one == next)
                    .map(|run| format!("{}x{}", run.len(), run[0]))
                    .collect::<Vec<_>>()
                    .join(" ")
            }
            FileKind::Symlink => format!("{:?}", overlay.read_link(ino).unwrap()),
            _ => String::new(),
        };
        let xattrs: Vec<_> = overlay
            .xattr_names(ino)
            .unwrap()
            .into_iter()
            .map(|xattr| (overlay.xattr(ino, &xattr).unwrap().len(), xattr))
            .collect();
        format!(
            "{path}: {ino} {:?} {:o} {} {} {data} {xattrs:?}",
            attr.kind, attr.permissions, attr.size, attr.nlink
        )
    });
    seen.collect()
}

type Change = fn(&Overlay) -> FsResult<()>;

fn resize(overlay: &Overlay, path: &str, size: u64) -> FsResult<()> {
    let set = SetAttr {
        size: Some(size),
        ..SetAttr::default()
    };
    overlay.set_attr(find(overlay, path), &set).map(drop)
}

const CHANGES: [(&str, Change); 14] = [
    ("copy up whole", |o| {
        o.write(find(o, "small"), b"x", 1000, false).map(drop)
    }),
    ("copy up a block", |o| {
        o.write(find(o, "large"), b"x", 1_000_000, false).map(drop)
    }),
    ("copy up and cut", |o| resize(o, "other", 200_000)),
    ("change the mode", |o| {
        let set = SetAttr {
            permissions: Some(0o600),
            ..SetAttr::default()
        };
        o.set_attr(find(o, "dir/inner/file"), &set).map(drop)
    }),
    ("make a file", |o| {
        make(o, FileKind::Regular, "file").map(drop)
    }),
    ("make a directory", |o| {
        make(o, FileKind::Directory, "new").map(drop)
    }),
    ("make a link", |o| {
        make(o, FileKind::Symlink, "link").map(drop)
    }),
    ("make a node", |o| make(o, FileKind::Fifo, "node").map(drop)),
    ("give a second name", |o| {
        let linked = o.link(find(o, "small"), Ino::ROOT, name("second"))?;
        let _ = linked.hand_over();
        Ok(())
    }),
    ("move a directory", |o| {
        let (from, to) = ((Ino::ROOT, name("dir")), (Ino::ROOT, name("moved")));
        o.rename(from, to, RenameMode::Replace)
    }),
    ("replace a file", |o| {
        let (from, to) = ((Ino::ROOT, name("small")), (Ino::ROOT, name("other")));
        o.rename(from, to, RenameMode::Replace)
    }),
    ("set an attribute", |o| {
        o.set_xattr(
            find(o, "large"),
            b"user.a",
            &[b'v'; 3000],
            XattrFlags::empty(),
        )
    }),
    ("allocate", |o| {
        o.allocate(find(o, "large"), 3_000_000, 200_000, AllocateMode::Grow)
    }),
    ("remove", |o| o.unlink(Ino::ROOT, name("large"))),
];

/// Fills the file system to the last byte and inode.
fn fill(disk: &Path) {
    let filler = fs::File::create(disk.join("filler")).unwrap();
    for size in [1 << 16, 4096, 512, 1] {
        let data = vec![1; size];
        while std::io::Write::write_all(&mut &filler, &data).is_ok() {}
    }
    // What is allocated later is allocated now.
    let _ = filler.sync_all();
    while std::io::Write::write_all(&mut &filler, &[1; 4096]).is_ok() {}
}

fn is_full(error: FsError) -> bool {
    matches!(error, FsError::Layer(Errno::NOSPC | Errno::DQUOT))
}

/// Tries each change on a disk that is full, from a store where nothing, or everything before it,
/// was done.
fn tears_nothing(limited: bool) {
    let disk = std::env::var_os(INSIDE).unwrap();
    let disk = Path::new(&disk);
    let store = disk.join("store");
    let mut refused = 0;
    for (number, (what, change)) in CHANGES.iter().enumerate() {
        let overlay = open(&store, limited);
        for (_, earlier) in &CHANGES[..number] {
            earlier(&overlay).unwrap();
        }
        let before = picture(&overlay);
        fill(disk);
        let answer = change(&overlay);
        let after = picture(&overlay);
        if let Err(error) = answer {
            assert!(is_full(error), "{what}: {error:?}");
            assert_eq!(after, before, "{what} was refused, and is there in part");
            refused += 1;
        } else {
            assert_ne!(after, before, "{what} was answered, and is not there");
        }
        // Neither a restart changes that, which has no room either.
        drop(overlay);
        eprintln!("{what}: {answer:?}");
        let overlay = open(&store, limited);
        assert_eq!(picture(&overlay), after, "{what}, opened again");
        fs::remove_file(disk.join("filler")).unwrap();
        if answer.is_err() {
            change(&overlay).unwrap();
            assert_ne!(picture(&overlay), before, "{what}, with room");
        }
        drop(overlay);
        assert_eq!(
            fs::read_dir(store.join("work")).unwrap().count(),
            0,
            "{what} left a draft"
        );
        fs::remove_dir_all(&store).unwrap();
    }
    assert!(refused >= 3, "the disk was never full");
}

#[test]
fn a_write_that_does_not_fit_is_short_or_refused_and_the_rest_stays() {
    let test = "a_write_that_does_not_fit_is_short_or_refused_and_the_rest_stays";
    if !is_inside(test, TMPFS) {
        return;
    }
    let disk = std::env::var_os(INSIDE).unwrap();
    let disk = Path::new(&disk);
    for limited in [false, true] {
        let overlay = open(&disk.join("store"), limited);
        let ino = make(&overlay, FileKind::Regular, "file").unwrap();
        overlay.write(ino, &vec![b'1'; 100_000], 0, false).unwrap();
        fill(disk);
        let error = overlay.write(ino, &vec![b'2'; 100_000], 100_000, false);
        assert!(is_full(error.unwrap_err()));
        let mut seen = vec![0; 100_000];
        assert_eq!(overlay.read(ino, &mut seen, 0), Ok(100_000));
        assert!(seen.iter().all(|&byte| byte == b'1'));
        assert_eq!(overlay.write(ino, b"again", 0, false), Ok(5));
        fs::remove_file(disk.join("filler")).unwrap();
        let written = overlay.write(ino, &vec![b'2'; 100_000], 100_000, false);
        assert_eq!(written, Ok(100_000));
        assert_eq!(overlay.attr(ino).unwrap().size, 200_000);
        if limited {
            let free = overlay.space().unwrap();
            let host = rustix::fs::statvfs(disk).unwrap();
            assert_eq!(free.f_bavail, host.f_bavail, "what the host has");
            assert_eq!(free.f_blocks * free.f_frsize, 1 << 40);
        }
        drop(overlay);
        fs::remove_dir_all(disk.join("store")).unwrap();
    }
}
