//! Stores that somebody changed: they open or are refused, all of them answers or fails, and
//! nothing beside them is touched.

use std::collections::HashSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::XattrFlags;

use super::{Input, scratch};
use crate::lower::LowerLayer;
use crate::lower::memory::MemoryLower;
use crate::overlay::{CopyUp, DirectoryEntry, DirectorySink, LookedUp, NewInode, Overlay};
use crate::source;
use crate::types::{Caller, EntryName, FileKind, Ino};
use crate::upper::UpperStore;
use crate::upper::object::REDIRECT_XATTR;
use crate::upper::record::RECORD_XATTR;

/// Most inodes that are looked at: a store can be made to show a directory within itself.
const INODES: usize = 200;

/// The target of the link that tells of a rename: whatever it says, only names below `tree` are
/// touched.
pub(super) fn intent(data: &[u8]) {
    if data.is_empty() || data.len() > 4095 || data.contains(&0) {
        return;
    }
    with_store(|lower, store| {
        let outside = store.parent().unwrap().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "untouched").unwrap();
        let target = std::ffi::OsStr::from_bytes(data);
        if symlink(target, store.join("work/intent")).is_err() {
            return;
        }
        visit(lower, store);
        assert_eq!(fs::read(outside.join("file")).unwrap(), b"untouched");
        for part in ["tree", "links", "maps", "orphans", "work"] {
            assert!(store.join(part).is_dir(), "{part} is gone");
        }
    });
}

pub(super) fn intents() -> Vec<Vec<u8>> {
    [
        "rename//2//dir/file//other//whiteout",
        "rename//8//dir//moved//nothing",
        "rename//7//../outside/file//made//nothing",
        "rename//7//made//../../outside//whiteout",
    ]
    .map(Vec::from)
    .to_vec()
}

/// Changes files, links and attributes of a store as the bytes say, and then uses it.
pub(super) fn tampered(data: &[u8]) {
    with_store(|lower, store| {
        let mut input = Input::new(data);
        while !input.is_empty() {
            tamper(store, &mut input);
        }
        visit(lower, store);
    });
}

pub(super) fn tamperings() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (what, file) in [(0, 3_u8), (1, 4), (2, 5), (3, 6), (4, 0), (5, 7)] {
        let mut seed = vec![what, file, 40];
        seed.extend([1, 4, 0, 0].into_iter().cycle().take(40));
        seeds.push(seed);
    }
    for text in ["3", "../..", "dir", "rename//7//a//b//nothing"] {
        let mut seed = vec![3, 5, text.len() as u8];
        seed.extend(text.bytes());
        seeds.push(seed);
    }
    seeds
}

/// One change of the store at `store`.
fn tamper(store: &Path, input: &mut Input<'_>) {
    let (what, which) = (input.byte(), input.byte());
    let value = input.piece();
    let mut paths = Vec::new();
    collect(store, &mut paths);
    // None of these changes has to work: a directory may be where a file was.
    let path = &paths[usize::from(which) % paths.len()];
    let _ = match what % 7 {
        0 => fs::write(path, value),
        1 => set(path, RECORD_XATTR, value),
        2 => set(path, REDIRECT_XATTR, value),
        3 => fs::remove_file(path)
            .and_then(|()| symlink(std::ffi::OsStr::from_bytes(&without_nul(value)), path)),
        4 => fs::remove_file(path).and_then(|()| fs::create_dir(path)),
        5 => set(path, "user.wpar.blocks", value),
        _ => {
            // The record of another one: two of the same number, a directory of a file's.
            let other = &paths[usize::from(value.first().copied().unwrap_or(0)) % paths.len()];
            let mut record = [0; 64];
            match rustix::fs::lgetxattr(other, RECORD_XATTR, &mut record[..]) {
                Ok(length) => set(path, RECORD_XATTR, &record[..length]),
                Err(errno) => Err(errno.into()),
            }
        }
    };
}

fn without_nul(value: &[u8]) -> Vec<u8> {
    value.iter().copied().filter(|&byte| byte != 0).collect()
}

fn set(path: &Path, name: &str, value: &[u8]) -> std::io::Result<()> {
    Ok(rustix::fs::lsetxattr(
        path,
        name,
        value,
        XattrFlags::empty(),
    )?)
}

fn collect(directory: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    let mut found: Vec<_> = entries.map(|entry| entry.unwrap()).collect();
    found.sort_by_key(fs::DirEntry::file_name);
    for entry in found {
        paths.push(entry.path());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), paths);
        }
    }
}

/// A store with a bit of everything above a lower with a bit of everything.
fn with_store(use_it: impl FnOnce(&Arc<dyn LowerLayer>, &Path)) {
    scratch::emptied(|directory| {
        let lower = MemoryLower::builder()
            .file("dir/file", b"text")
            .file("dir/sub/deep", b"deep")
            .file("linked", b"linked")
            .hard_link("linked", "dir/again")
            .file("big", vec![b'x'; 5000])
            .symlink("link", "dir/file")
            .build()
            .unwrap();
        let lower: Arc<dyn LowerLayer> = Arc::new(lower);
        let store = directory.join("store");
        let overlay = open(&lower, &store).unwrap();
        fill(&overlay);
        drop(overlay);
        use_it(&lower, &store);
    });
}

fn open(lower: &Arc<dyn LowerLayer>, store: &Path) -> Option<Overlay> {
    let root = source::root_of(&**lower).unwrap();
    let store = UpperStore::open(store, &root, lower.first_free()).ok()?;
    let copy_up = CopyUp {
        whole: 1000,
        whole_of_living: 1000,
        block_size: 512,
    };
    Some(Overlay::new(Arc::clone(lower), Some(store)).with_copy_up(copy_up))
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
        target: if kind == FileKind::Symlink { b"x" } else { b"" },
        caller: Caller { uid: 0, gid: 0 },
    }
}

fn fill(overlay: &Overlay) {
    use crate::overlay::RenameMode::Replace;
    let at = |dir, entry| overlay.lookup(dir, name(entry)).unwrap().unwrap();
    let root = Ino::ROOT;
    let dir = at(root, "dir");
    let big = at(root, "big");
    overlay.write(big.ino(), b"new", 600, false).unwrap();
    overlay.sync(big.ino(), false).unwrap();
    overlay.write(big.ino(), b"newer", 2000, false).unwrap();
    drop(big);
    let linked = at(root, "linked");
    overlay.link(linked.ino(), root, name("third")).unwrap();
    overlay.write(linked.ino(), b"L", 0, false).unwrap();
    overlay.unlink(dir.ino(), name("file")).unwrap();
    let sub = (dir.ino(), name("sub"));
    overlay.rename(sub, (root, name("moved")), Replace).unwrap();
    let made = overlay
        .create(root, name("made"), &new(FileKind::Directory))
        .unwrap();
    for (entry, kind) in [("pipe", FileKind::Fifo), ("link", FileKind::Symlink)] {
        overlay.create(made.ino(), name(entry), &new(kind)).unwrap();
    }
}

/// Opens the store, looks at everything in it, and changes some of it.
fn visit(lower: &Arc<dyn LowerLayer>, store: &Path) {
    let Some(overlay) = open(lower, store) else {
        return;
    };
    let mut waiting = vec![(Ino::ROOT, 0)];
    let mut seen = HashSet::new();
    while let Some((ino, depth)) = waiting.pop() {
        if depth > 10 || seen.len() > INODES || !seen.insert(ino) {
            continue;
        }
        use_inode(&overlay, ino);
        let mut sink = Names::default();
        let _ = overlay.read_directory(ino, 0, false, &mut sink);
        for entry in sink.0 {
            let entry = EntryName::new(&entry).expect("a listing has only names");
            if let Ok(Some(found)) = overlay.lookup(ino, entry) {
                let ino = found.hand_over().0;
                waiting.push((ino, depth + 1));
            }
        }
        let _ = overlay.create(ino, name("c"), &new(FileKind::Regular));
        let _ = overlay.unlink(ino, name("again"));
        let from = (ino, name("c"));
        let _ = overlay.rename(
            from,
            (Ino::ROOT, name("d")),
            crate::overlay::RenameMode::Replace,
        );
        let _ = overlay.remove_directory(ino, name("moved"));
    }
    let _ = overlay.sync_all();
}

fn use_inode(overlay: &Overlay, ino: Ino) {
    let _ = overlay.attr(ino);
    let _ = overlay.birth(ino);
    let _ = overlay.read_link(ino);
    for name in overlay.xattr_names(ino).unwrap_or_default() {
        let _ = overlay.xattr(ino, &name);
    }
    let mut buffer = [0; 6000];
    let _ = overlay.read(ino, &mut buffer, 100);
    let _ = overlay.write(ino, b"w", 3000, true);
    let _ = overlay.set_xattr(ino, b"user.n", b"v", XattrFlags::empty());
    let _ = overlay.complete(ino);
}

#[derive(Default)]
struct Names(Vec<Vec<u8>>);

impl DirectorySink for Names {
    fn push(&mut self, entry: &DirectoryEntry<'_>, _: Option<LookedUp<'_>>) -> bool {
        if entry.name != b"." && entry.name != b".." {
            self.0.push(entry.name.to_vec());
        }
        true
    }
}
