//! Many threads change the same few names at once; then everything must fit together.
//!
//! Each thread is a kernel of its own: it looks names up, holds what it found while it works with
//! it, and gives the lookups back. What is held must never be unknown to the core. Directories
//! (`D0` to `D2`) are only in the root, so that no rename can make a loop, which the kernel itself
//! refuses.
//!
//! `WPAR_STRESS_SECONDS=60 cargo test -p wpar-mountd interleaving` goes on for longer.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use super::{
    AllocateMode, CopyUp, DirectoryEntry, DirectorySink, LookedUp, NewInode, Overlay, RenameMode,
    SetAttr,
};
use crate::error::{FsError, FsResult};
use crate::lower::LowerLayer;
use crate::lower::host::HostLower;
use crate::lower::memory::MemoryLower;
use crate::types::{Attr, Caller, EntryName, FileKind, Ino};
use crate::upper::UpperStore;

const THREADS: u64 = 6;
/// What is written at once, always bytes that are the same: a mixture of two is a mistake.
const PIECE: usize = 512;
/// Pieces of the longest file.
const PIECES: u64 = 24;
/// No operation takes so long.
const STUCK: Duration = Duration::from_secs(120);

const ROOT_FILES: [&str; 3] = ["f0", "f1", "f2"];
const DIRECTORIES: [&str; 3] = ["D0", "D1", "D2"];

fn duration() -> Duration {
    let seconds = std::env::var("WPAR_STRESS_SECONDS");
    Duration::from_secs(seconds.map_or(2, |text| text.parse().unwrap()))
}

fn contents() -> Vec<u8> {
    (0..PIECES as usize * PIECE)
        .map(|at| b'A' + (at / PIECE) as u8)
        .collect()
}

#[test]
fn threads_above_an_image_leave_a_tree_that_fits_together() {
    let lower = MemoryLower::builder()
        .file("f0", contents())
        .file("D0/f1", contents())
        .file("D0/f2", b"")
        .hard_link("f0", "D0/f0")
        .hard_link("f0", "D1/f1")
        .directory("D2")
        .build()
        .unwrap();
    stress(Arc::new(lower));
}

#[test]
fn threads_above_a_directory_leave_a_tree_that_fits_together() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for name in DIRECTORIES {
        fs::create_dir(path(name)).unwrap();
    }
    for name in ["f0", "D0/f1"] {
        fs::write(path(name), contents()).unwrap();
    }
    fs::write(path("D0/f2"), "").unwrap();
    for name in ["D0/f0", "D1/f1"] {
        fs::hard_link(path("f0"), path(name)).unwrap();
    }
    stress(Arc::new(HostLower::open(directory.path()).unwrap()));
}

/// Found by the threads above: what a rename copies up is known for a moment only, and another
/// thread may end that moment before the name moves.
#[test]
fn a_rename_of_what_nobody_holds_leaves_nothing_behind() {
    let lower: Arc<dyn LowerLayer> = Arc::new(MemoryLower::builder().build().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let overlay = open(&lower, directory.path());
    let mut worker = Worker {
        overlay: &overlay,
        numbers: Numbers(1),
        held: Vec::new(),
    };
    worker.create(Ino::ROOT, "f0", FileKind::Regular).unwrap();
    worker.let_go();
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                overlay.forget(Ino(u64::MAX), 1);
            }
        });
        let names = [name("f0"), name("f1")];
        for (from, to) in (0..2000).map(|turn| (turn % 2, (turn + 1) % 2)) {
            let (from, to) = ((Ino::ROOT, names[from]), (Ino::ROOT, names[to]));
            let moved = overlay.rename(from, to, RenameMode::Replace);
            assert_eq!(moved, Ok(()));
        }
        ended.store(true, Ordering::Relaxed);
    });
    overlay.forget(Ino(u64::MAX), 1);
    assert_eq!(overlay.nodes.len(), 1);
}

fn open(lower: &Arc<dyn LowerLayer>, directory: &Path) -> Overlay {
    let root = crate::source::root_of(&**lower).unwrap();
    let store = UpperStore::open(&directory.join("store"), &root, lower.first_free()).unwrap();
    let copy_up = CopyUp {
        whole: 0,
        whole_of_living: 0,
        block_size: 2048,
    };
    Overlay::new(Arc::clone(lower), Some(store)).with_copy_up(copy_up)
}

fn stress(lower: Arc<dyn LowerLayer>) {
    let directory = tempfile::tempdir().unwrap();
    let overlay = open(&lower, directory.path());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = now.as_nanos() as u64;
    println!("seed {seed}");
    let ended = AtomicBool::new(false);
    let beats: Vec<AtomicU64> = (0..THREADS).map(|_| AtomicU64::new(0)).collect();
    thread::scope(|scope| {
        let running: Vec<_> = (0..THREADS)
            .map(|number| {
                let numbers = Numbers(seed.wrapping_add(number.wrapping_mul(0x9e37_79b9)) | 1);
                let mut worker = Worker {
                    overlay: &overlay,
                    numbers,
                    held: Vec::new(),
                };
                let (ended, beat) = (&ended, &beats[number as usize]);
                scope.spawn(move || {
                    while !ended.load(Ordering::Relaxed) {
                        worker.step();
                        beat.fetch_add(1, Ordering::Relaxed);
                    }
                    worker.let_go();
                })
            })
            .collect();
        watch(&beats, || running.iter().any(|one| one.is_finished()));
        ended.store(true, Ordering::Relaxed);
    });
    let steps: u64 = beats.iter().map(|beat| beat.load(Ordering::Relaxed)).sum();
    println!("{steps} operations");
    assert!(steps > 100 * THREADS, "only {steps} operations");
    let live = snapshot(&overlay);
    overlay.forget(Ino(u64::MAX), 1);
    assert_eq!(overlay.nodes.len(), 1, "the root alone is known at the end");
    drop(overlay);
    let again = open(&lower, directory.path());
    assert_eq!(snapshot(&again), live, "opened again");
    for part in ["orphans", "work"] {
        let left = fs::read_dir(directory.path().join("store").join(part)).unwrap();
        assert_eq!(left.count(), 0, "left in {part}");
    }
}

/// Waits for the time to pass; ends the process if a thread stands still.
fn watch(beats: &[AtomicU64], failed: impl Fn() -> bool) {
    let begun = Instant::now();
    let mut last: Vec<(u64, Instant)> = vec![(0, begun); beats.len()];
    while begun.elapsed() < duration() && !failed() {
        thread::sleep(Duration::from_millis(50));
        for (beat, (seen, since)) in beats.iter().zip(&mut last) {
            let now = beat.load(Ordering::Relaxed);
            if now != *seen {
                (*seen, *since) = (now, Instant::now());
            } else if since.elapsed() > STUCK {
                eprintln!("a thread stands still after {now} operations: a deadlock");
                std::process::abort();
            }
        }
    }
}

struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

/// A thread, and what it holds.
struct Worker<'o> {
    overlay: &'o Overlay,
    numbers: Numbers,
    held: Vec<Ino>,
}

fn name(name: &str) -> EntryName<'_> {
    EntryName::new(name.as_bytes()).unwrap()
}

/// Whether a failure is one that a race of programs can have. Never is what is held unknown, or
/// damaged, or without a descriptor.
fn allowed(error: FsError) {
    let usual = matches!(
        error,
        FsError::NotFound
            | FsError::Exists
            | FsError::NotEmpty
            | FsError::IsDirectory
            | FsError::NotDirectory
            | FsError::NoAttribute
            | FsError::NotPermitted
            | FsError::InvalidArgument
            | FsError::Layer(Errno::XDEV | Errno::NXIO | Errno::OPNOTSUPP | Errno::INVAL)
    );
    assert!(usual, "{error:?}");
}

impl Worker<'_> {
    fn step(&mut self) {
        let done = match self.numbers.below(16) {
            0..4 => self.change_names(),
            4..6 => self.rename(),
            6..13 => self.use_file(),
            13 => self.list(),
            14 => self.hold(),
            _ => {
                self.let_go();
                Ok(())
            }
        };
        done.unwrap_or_else(allowed);
    }

    fn look_up(&mut self, dir: Ino, entry: &str) -> FsResult<Ino> {
        let found = self.overlay.lookup(dir, name(entry))?;
        let ino = found.ok_or(FsError::NotFound)?.hand_over().0;
        self.held.push(ino);
        Ok(ino)
    }

    /// Gives back all, what was found last first: nothing is forgotten before what is in it.
    fn let_go(&mut self) {
        while let Some(ino) = self.held.pop() {
            self.overlay.forget(ino, 1);
        }
    }

    /// The root, or a directory in it.
    fn dir(&mut self) -> FsResult<Ino> {
        if self.numbers.below(3) == 0 {
            return Ok(Ino::ROOT);
        }
        let entry = self.numbers.of(&DIRECTORIES);
        self.look_up(Ino::ROOT, entry)
    }

    /// Goes on holding some things for long.
    fn hold(&mut self) -> FsResult<()> {
        let dir = self.dir()?;
        let entry = self.numbers.of(&ROOT_FILES);
        let ino = self.look_up(dir, entry)?;
        self.overlay.attr(ino).map(drop)
    }

    fn change_names(&mut self) -> FsResult<()> {
        let (entry, directory) = (self.numbers.of(&ROOT_FILES), self.numbers.of(&DIRECTORIES));
        match self.numbers.below(8) {
            0 => self.create(Ino::ROOT, directory, FileKind::Directory),
            1 => self.overlay.remove_directory(Ino::ROOT, name(directory)),
            2..5 => {
                let dir = self.dir()?;
                self.create(dir, entry, FileKind::Regular)
            }
            5 => {
                let (from, to) = (self.dir()?, self.dir()?);
                let target = self.look_up(from, entry)?;
                let new = self.numbers.of(&ROOT_FILES);
                let linked = self.overlay.link(target, to, name(new))?;
                self.held.push(linked.hand_over().0);
                Ok(())
            }
            _ => {
                let dir = self.dir()?;
                self.overlay.unlink(dir, name(entry))
            }
        }
    }

    fn create(&mut self, dir: Ino, entry: &str, kind: FileKind) -> FsResult<()> {
        let new = NewInode {
            kind,
            permissions: 0o644,
            umask: 0,
            rdev: 0,
            target: b"",
            caller: Caller { uid: 0, gid: 0 },
        };
        let made = self.overlay.create(dir, name(entry), &new)?;
        self.held.push(made.hand_over().0);
        Ok(())
    }

    fn rename(&mut self) -> FsResult<()> {
        let modes = [
            RenameMode::Replace,
            RenameMode::NoReplace,
            RenameMode::Exchange,
        ];
        let mode = self.numbers.of(&modes);
        let (from, to, names) = if self.numbers.below(3) == 0 {
            (Ino::ROOT, Ino::ROOT, DIRECTORIES)
        } else {
            (self.dir()?, self.dir()?, ROOT_FILES)
        };
        let (old, new) = (self.numbers.of(&names), self.numbers.of(&names));
        self.overlay
            .rename((from, name(old)), (to, name(new)), mode)
    }

    fn use_file(&mut self) -> FsResult<()> {
        let dir = self.dir()?;
        let entry = self.numbers.of(&ROOT_FILES);
        let ino = self.look_up(dir, entry)?;
        let offset = self.numbers.below(PIECES) * PIECE as u64;
        let byte = b'a' + self.numbers.below(26) as u8;
        match self.numbers.below(12) {
            0..4 => self
                .overlay
                .write(ino, &[byte; PIECE], offset, true)
                .map(drop),
            4 | 5 => {
                let mut buffer = [0; 3 * PIECE];
                self.overlay.read(ino, &mut buffer, offset).map(drop)
            }
            6 => {
                let set = SetAttr {
                    size: Some(offset),
                    ..SetAttr::default()
                };
                self.overlay.set_attr(ino, &set).map(drop)
            }
            7 => {
                let length = 2 * PIECE as u64;
                self.overlay
                    .allocate(ino, offset, length, AllocateMode::PunchHole)
            }
            8 => {
                let other = self.look_up(Ino::ROOT, "f0")?;
                let to = self.numbers.below(PIECES) * PIECE as u64;
                let length = PIECE as u64;
                self.overlay
                    .copy_range((ino, offset), (other, to), length)
                    .map(drop)
            }
            9 => {
                let flags = XattrFlags::empty();
                self.overlay.set_xattr(ino, b"user.n", &[byte], flags)?;
                self.overlay.xattr(ino, b"user.n").map(drop)
            }
            10 => self.overlay.complete(ino),
            _ => {
                self.overlay.sync(ino, true)?;
                self.overlay.attr(ino).map(drop)
            }
        }
    }

    fn list(&mut self) -> FsResult<()> {
        let dir = self.dir()?;
        let mut sink = Listed(Vec::new());
        self.overlay.read_directory(dir, 0, true, &mut sink)?;
        self.held
            .extend(sink.0.into_iter().filter_map(|entry| entry.1));
        Ok(())
    }
}

/// Names, with the inodes that were counted.
struct Listed(Vec<(String, Option<Ino>)>);

impl DirectorySink for Listed {
    fn push(&mut self, entry: &DirectoryEntry<'_>, inode: Option<LookedUp<'_>>) -> bool {
        let name = String::from_utf8(entry.name.to_vec()).unwrap();
        self.0.push((name, inode.map(|inode| inode.hand_over().0)));
        true
    }
}

/// What can be seen of one inode.
#[derive(Debug, PartialEq)]
struct Seen {
    ino: Ino,
    attr: Attr,
    data: Vec<u8>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Everything by its path, checked to fit together.
fn snapshot(overlay: &Overlay) -> BTreeMap<String, Seen> {
    let mut all = BTreeMap::new();
    collect(overlay, Ino::ROOT, "", &mut all);
    let mut names: BTreeMap<Ino, u32> = BTreeMap::new();
    for seen in all.values() {
        *names.entry(seen.ino).or_default() += 1;
    }
    for (path, seen) in &all {
        if seen.attr.kind == FileKind::Regular {
            assert_eq!(seen.attr.nlink, names[&seen.ino], "names of {path}");
            for piece in seen.data.chunks(PIECE) {
                let first = piece[0];
                assert!(
                    piece.iter().all(|&byte| byte == first),
                    "a mixture in {path}"
                );
            }
        } else {
            assert_eq!(names[&seen.ino], 1, "names of the directory {path}");
        }
    }
    all
}

fn collect(overlay: &Overlay, dir: Ino, path: &str, all: &mut BTreeMap<String, Seen>) {
    let mut listed = Listed(Vec::new());
    overlay.read_directory(dir, 0, false, &mut listed).unwrap();
    for (entry, _) in listed.0 {
        if entry == "." || entry == ".." {
            continue;
        }
        let found = overlay.lookup(dir, name(&entry)).unwrap();
        let (ino, attr) = found.expect("what is listed is there").hand_over();
        let path = format!("{path}/{entry}");
        let mut data = vec![0; attr.size as usize];
        if attr.kind == FileKind::Regular {
            assert_eq!(overlay.read(ino, &mut data, 0), Ok(data.len()), "{path}");
        } else {
            data.clear();
            collect(overlay, ino, &path, all);
        }
        let xattrs = overlay.xattr_names(ino).unwrap().into_iter();
        let xattrs = xattrs.map(|name| (name.clone(), overlay.xattr(ino, &name).unwrap()));
        // Neither is the tree's: who reads moves the one on, a copy in the background the other.
        let attr = Attr {
            atime: attr.mtime,
            blocks: 0,
            ..overlay.attr(ino).unwrap()
        };
        let seen = Seen {
            ino,
            attr,
            data,
            xattrs: xattrs.collect(),
        };
        overlay.forget(ino, 1);
        all.insert(path, seen);
    }
}
