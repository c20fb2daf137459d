//! Partly copied files when the daemon or the host stops in between: each call that changes the
//! store is in turn the first that is not made any more.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use rustix::io::Errno;
use tempfile::TempDir;

use super::{AllocateMode, CopyUp, Overlay, SetAttr};
use crate::error::{FsError, FsResult};
use crate::lower::LowerLayer;
use crate::lower::memory::MemoryLower;
use crate::types::{EntryName, Ino};
use crate::upper::UpperStore;
use crate::upper::calls::{self, Call};

const BLOCK: usize = 64;
/// Not a whole number of blocks.
const SIZE: usize = 20 * BLOCK + 11;

/// What the file contains before anything: no byte is zero.
fn lower_byte(at: usize) -> u8 {
    b'a' + (at % 26) as u8
}

fn lower() -> Arc<dyn LowerLayer> {
    let contents: Vec<u8> = (0..SIZE).map(lower_byte).collect();
    Arc::new(
        MemoryLower::builder()
            .file("file", contents)
            .build()
            .unwrap(),
    )
}

struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            directory: TempDir::new().unwrap(),
        }
    }

    fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    fn data(&self) -> PathBuf {
        self.store().join("tree/file")
    }

    fn map(&self) -> PathBuf {
        self.store().join("maps/2")
    }

    /// Opens the store `restarts` boots of the host later.
    fn open(&self, restarts: usize) -> (Overlay, Ino) {
        let lower = lower();
        let root = crate::source::root_of(&*lower).unwrap();
        // The logs of the first boot are looked at when the store is opened, so pretend before.
        for _ in 0..restarts {
            crate::upper::blocks::pretend_restart();
        }
        let store = UpperStore::open(&self.store(), &root, lower.first_free()).unwrap();
        let overlay = Overlay::new(lower, Some(store)).with_copy_up(CopyUp {
            whole: 0,
            whole_of_living: 0,
            block_size: BLOCK as u32,
        });
        let name = EntryName::new(b"file").unwrap();
        let ino = overlay
            .lookup(Ino::ROOT, name)
            .unwrap()
            .unwrap()
            .hand_over()
            .0;
        (overlay, ino)
    }
}

fn read(overlay: &Overlay, ino: Ino) -> Vec<u8> {
    let size = overlay.attr(ino).unwrap().size as usize;
    let mut buffer = vec![0xee; size + 1];
    let read = overlay.read(ino, &mut buffer, 0).unwrap();
    assert_eq!(read, size);
    buffer.truncate(read);
    buffer
}

/// A change of the file, and the same done to its contents.
#[derive(Clone, Copy, Debug)]
enum Change {
    Write(usize, usize, u8),
    Punch(usize, usize),
    Resize(usize),
    Sync,
    Complete,
}

use Change::{Complete, Punch, Resize, Sync, Write};

impl Change {
    fn apply(self, overlay: &Overlay, ino: Ino) -> FsResult<()> {
        match self {
            Write(at, length, byte) => overlay
                .write(ino, &vec![byte; length], at as u64, false)
                .map(drop),
            Punch(at, length) => {
                overlay.allocate(ino, at as u64, length as u64, AllocateMode::PunchHole)
            }
            Resize(size) => {
                let set = SetAttr {
                    size: Some(size as u64),
                    ..SetAttr::default()
                };
                overlay.set_attr(ino, &set).map(drop)
            }
            Sync => overlay.sync(ino, true),
            Complete => overlay.complete(ino),
        }
    }

    fn model(self, contents: &mut Vec<u8>) {
        match self {
            Write(at, length, byte) => {
                contents.resize(contents.len().max(at + length), 0);
                contents[at..at + length].fill(byte);
            }
            Punch(at, length) => {
                let end = (at + length).min(contents.len());
                contents[at.min(end)..end].fill(0);
            }
            Resize(size) => contents.resize(size, 0),
            Sync | Complete => {}
        }
    }
}

const STORIES: [&[Change]; 6] = [
    &[
        Write(100, 1, b'1'),
        Write(60, 10, b'2'),
        Sync,
        Write(200, 300, b'3'),
    ],
    &[Write(0, SIZE, b'1'), Sync, Write(5, 1, b'2')],
    &[
        Write(SIZE - 1, 100, b'1'),
        Sync,
        Write(3 * BLOCK, BLOCK, b'2'),
        Sync,
    ],
    &[Punch(100, 200), Sync, Write(150, 5, b'1'), Punch(0, 10)],
    &[
        Write(500, 9, b'1'),
        Resize(510),
        Resize(900),
        Sync,
        Write(700, 1, b'2'),
    ],
    &[Write(10, 1, b'1'), Complete, Write(500, 5, b'2'), Sync],
];

/// Runs a story until call number `stop`; returns how many changes were answered, and whether it
/// came to its end.
fn run(
    overlay: &Overlay,
    ino: Ino,
    story: &[Change],
    stop: usize,
    disk: &Rc<RefCell<Disk>>,
) -> (usize, bool) {
    let mut left = stop;
    let seen = Rc::clone(disk);
    let plan = move |call: &Call<'_>| {
        if !call.changes {
            return Ok(());
        }
        if left == 0 {
            return Err(Errno::IO);
        }
        left -= 1;
        seen.borrow_mut().learn(call);
        Ok(())
    };
    calls::with_plan(plan, || {
        for (number, change) in story.iter().enumerate() {
            if change.apply(overlay, ino).is_err() {
                return (number, false);
            }
            if matches!(change, Sync | Complete) {
                disk.borrow_mut().answered = number + 1;
            }
        }
        (story.len(), true)
    })
}

/// What is surely on the disk.
#[derive(Debug)]
struct Disk {
    place: (PathBuf, PathBuf),
    data: Vec<u8>,
    map: Vec<u8>,
    /// So many changes were answered when a program synced last.
    answered: usize,
}

impl Disk {
    /// What is there when a sync begins is there when it has ended.
    fn learn(&mut self, call: &Call<'_>) {
        if !matches!(call.name, "fsync" | "fdatasync" | "syncfs") {
            return;
        }
        let synced = |path: &Path| {
            let file = rustix::fs::fstat(call.file).unwrap();
            let same = fs::metadata(path).is_ok_and(|found| found.ino() == file.st_ino);
            (same || call.name == "syncfs").then(|| fs::read(path).unwrap_or_default())
        };
        if let Some(data) = synced(&self.place.0) {
            self.data = data;
        }
        if let Some(map) = synced(&self.place.1) {
            self.map = map;
        }
    }
}

fn new_disk(place: &Place) -> Rc<RefCell<Disk>> {
    Rc::new(RefCell::new(Disk {
        place: (place.data(), place.map()),
        data: Vec::new(),
        map: Vec::new(),
        answered: 0,
    }))
}

/// The contents after each number of changes.
fn versions(story: &[Change]) -> Vec<Vec<u8>> {
    let mut contents: Vec<u8> = (0..SIZE).map(lower_byte).collect();
    let mut versions = vec![contents.clone()];
    for change in story {
        change.model(&mut contents);
        versions.push(contents.clone());
    }
    versions
}

#[test]
fn a_daemon_that_dies_at_any_call_loses_nothing_that_was_answered() {
    for story in STORIES {
        let versions = versions(story);
        for stop in 0.. {
            let place = Place::new();
            let (overlay, ino) = place.open(0);
            let (answered, ended) = run(&overlay, ino, story, stop, &new_disk(&place));
            // It is dead: nothing is settled any more.
            overlay.abandon();
            drop(overlay);
            let (overlay, ino) = place.open(0);
            let now = read(&overlay, ino);
            let next = versions.get(answered + 1).unwrap_or(&versions[answered]);
            let old = &versions[answered];
            assert!(
                now.len() == old.len() || now.len() == next.len(),
                "{story:?} {stop}"
            );
            for (at, &byte) in now.iter().enumerate() {
                let allowed = [old.get(at), next.get(at)];
                assert!(
                    allowed.contains(&Some(&byte)),
                    "{story:?}, {stop} calls, byte {at}: {byte}"
                );
            }
            if ended {
                break;
            }
        }
    }
}

/// Puts a file as it may be after a loss of power: each page as it is now, or as it surely is on
/// the disk.
fn tear(path: &Path, sure: &[u8], chaos: &mut u64, page: usize) {
    let Ok(now) = fs::read(path) else { return };
    let mut torn = now.clone();
    for (number, part) in torn.chunks_mut(page).enumerate() {
        *chaos = chaos
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        if *chaos >> 63 == 0 {
            part.fill(0);
            if let Some(old) = sure.get(number * page..) {
                let length = old.len().min(part.len());
                part[..length].copy_from_slice(&old[..length]);
            }
        }
    }
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&torn, 0).unwrap();
}

#[test]
fn a_loss_of_power_at_any_call_never_shows_what_nobody_wrote() {
    let mut chaos = 1;
    for story in STORIES {
        let versions = versions(story);
        for stop in 0.. {
            let mut ended = false;
            for round in 0..4 {
                let place = Place::new();
                let disk = new_disk(&place);
                let (overlay, ino) = place.open(0);
                let (answered, whole) = run(&overlay, ino, story, stop, &disk);
                ended = whole;
                overlay.abandon();
                drop(overlay);
                let disk = disk.borrow();
                match round {
                    0 => {}
                    // What a data page is lost by is that nothing of it was written.
                    _ => tear(&place.data(), &disk.data, &mut chaos, 4096 / 64),
                }
                if round % 2 == 0 {
                    tear(&place.map(), &disk.map, &mut chaos, 512);
                }
                let (overlay, ino) = place.open(1);
                let now = read(&overlay, ino);
                let possible = &versions[disk.answered..(answered + 2).min(versions.len())];
                let limit = possible.iter().map(Vec::len).min().unwrap_or(0).min(SIZE);
                for (at, &byte) in now.iter().enumerate().take(limit) {
                    assert!(
                        possible
                            .iter()
                            .any(|version| version.get(at) == Some(&byte)),
                        "{story:?}, {stop} calls, round {round}, byte {at}: {byte}"
                    );
                }
                // And it can be used.
                overlay.write(ino, b"!", 77, false).unwrap();
                overlay.sync(ino, true).unwrap();
            }
            if ended {
                break;
            }
        }
    }
}

#[test]
fn a_map_that_was_tampered_with_is_refused() {
    type Damage = fn(&Place);
    let damages: [(&str, Damage); 5] = [
        ("a bit", |place| flip(&place.map(), 131_072 + 4096 + 9)),
        ("the head", |place| flip(&place.map(), 131_072 + 9)),
        ("cut", |place| {
            fs::OpenOptions::new()
                .write(true)
                .open(place.map())
                .unwrap()
                .set_len(0)
                .unwrap();
        }),
        ("gone", |place| fs::remove_file(place.map()).unwrap()),
        ("no state", |place| {
            let file = fs::File::open(place.data()).unwrap();
            rustix::fs::fremovexattr(&file, "user.wpar.blocks").unwrap();
        }),
    ];
    for (what, damage) in damages {
        let place = Place::new();
        let (overlay, ino) = place.open(0);
        overlay.write(ino, b"x", 100, false).unwrap();
        overlay.sync(ino, true).unwrap();
        overlay.write(ino, b"y", 500, false).unwrap();
        drop(overlay);
        damage(&place);
        let lower = lower();
        let root = crate::source::root_of(&*lower).unwrap();
        let store = UpperStore::open(&place.store(), &root, lower.first_free()).unwrap();
        let overlay = Overlay::new(lower, Some(store));
        let name = EntryName::new(b"file").unwrap();
        let found = overlay.lookup(Ino::ROOT, name);
        let read = found.and_then(|found| overlay.read(found.unwrap().ino(), &mut [0; 9], 0));
        assert_eq!(read, Err(FsError::Damaged), "{what}");
    }
}

fn flip(path: &Path, at: u64) {
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 4], at).unwrap();
}

#[test]
fn parallel_writers_lose_no_block() {
    let place = Place::new();
    let (overlay, ino) = place.open(0);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let overlay = &overlay;
            scope.spawn(move || {
                for at in (0..SIZE).filter(|at| at % 4 == worker) {
                    overlay
                        .write(ino, &[b'A' + worker as u8], at as u64, false)
                        .unwrap();
                    if at % 300 == worker {
                        overlay.sync(ino, true).unwrap();
                    }
                    let mut seen = [0];
                    overlay.read(ino, &mut seen, at as u64).unwrap();
                    assert_eq!(seen, [b'A' + worker as u8]);
                }
            });
        }
    });
    let expected: Vec<u8> = (0..SIZE).map(|at| b'A' + (at % 4) as u8).collect();
    assert_eq!(read(&overlay, ino), expected);
    drop(overlay);
    let (overlay, ino) = place.open(1);
    assert_eq!(
        read(&overlay, ino),
        expected,
        "what was written is settled when all ends"
    );
}
