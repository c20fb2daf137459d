//! A limited store without a mount: where it stops, what it counts, and what a crash leaves of that.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::XattrFlags;
use rustix::io::Errno;
use tempfile::TempDir;

use super::{AllocateMode, CopyUp, NewInode, Overlay, RenameMode, SetAttr};
use crate::error::{FsError, FsResult};
use crate::lower::LowerLayer;
use crate::lower::memory::MemoryLower;
use crate::spec::SpaceLimits;
use crate::types::{Caller, EntryName, FileKind, Ino};
use crate::upper::UpperStore;
use crate::upper::quota::Usage;

const FULL: FsError = FsError::Layer(Errno::NOSPC);
const MIB: u64 = 1 << 20;

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

    fn mark(&self) -> Option<String> {
        let target = fs::read_link(self.store().join("usage")).ok()?;
        Some(target.to_str().unwrap().to_owned())
    }

    fn open(&self, limits: SpaceLimits) -> Overlay {
        let lower = MemoryLower::builder()
            .file("small", vec![b's'; 100_000])
            .file("large", vec![b'l'; 3_000_000])
            .file("dir/inner/file", "x")
            .build();
        let lower: Arc<dyn LowerLayer> = Arc::new(lower.unwrap());
        let root = crate::source::root_of(&*lower).unwrap();
        let store = UpperStore::open(&self.store(), &root, lower.first_free()).unwrap();
        Overlay::new(lower, Some(store.limited(limits).unwrap())).with_copy_up(CopyUp {
            whole: MIB,
            ..CopyUp::default()
        })
    }

    /// What a walk finds that knows nothing of ours.
    fn walked(&self) -> Usage {
        let mut usage = Usage::default();
        let root = fs::metadata(self.store().join("tree")).unwrap();
        (usage.bytes, usage.inodes) = (root.blocks() * 512, 1);
        for part in ["tree", "links", "orphans"] {
            walk(&self.store().join(part), part == "tree", &mut usage);
        }
        usage
    }
}

fn walk(directory: &Path, is_tree: bool, usage: &mut Usage) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let found = fs::symlink_metadata(&path).unwrap();
        if found.is_symlink() || is_tree && found.is_file() && found.nlink() > 1 {
            continue;
        }
        usage.bytes += found.blocks() * 512;
        usage.inodes += 1;
        if found.is_dir() {
            walk(&path, is_tree, usage);
        }
    }
}

fn bytes(limit: u64) -> SpaceLimits {
    SpaceLimits {
        bytes: Some(limit),
        inodes: None,
    }
}

fn inodes(limit: u64) -> SpaceLimits {
    SpaceLimits {
        bytes: None,
        inodes: Some(limit),
    }
}

fn name(name: &str) -> EntryName<'_> {
    EntryName::new(name.as_bytes()).unwrap()
}

fn make(overlay: &Overlay, kind: FileKind, new: &str) -> FsResult<Ino> {
    let inode = NewInode {
        kind,
        permissions: 0o644,
        umask: 0,
        rdev: 0,
        target: if kind == FileKind::Symlink { b"x" } else { b"" },
        caller: Caller { uid: 0, gid: 0 },
    };
    let made = overlay.create(Ino::ROOT, name(new), &inode)?;
    Ok(made.hand_over().0)
}

fn file(overlay: &Overlay, new: &str) -> FsResult<Ino> {
    make(overlay, FileKind::Regular, new)
}

fn find(overlay: &Overlay, path: &str) -> Ino {
    let found = overlay.lookup(Ino::ROOT, name(path)).unwrap().unwrap();
    found.hand_over().0
}

/// Removes a file and forgets it.
fn remove(overlay: &Overlay, ino: Ino, path: &str) {
    overlay.unlink(Ino::ROOT, name(path)).unwrap();
    overlay.forget(ino, 1);
}

fn resize(overlay: &Overlay, ino: Ino, size: u64) -> FsResult<()> {
    let set = SetAttr {
        size: Some(size),
        ..SetAttr::default()
    };
    overlay.set_attr(ino, &set).map(drop)
}

/// Writes at the end of a file until nothing more goes; gives its size.
fn fill(overlay: &Overlay, ino: Ino, chunk: usize) -> u64 {
    let data = vec![b'f'; chunk];
    let mut size = 0;
    loop {
        match overlay.write(ino, &data, size, false) {
            Ok(written) => {
                assert!(written > 0, "a write of nothing is no answer");
                size += written as u64;
            }
            Err(error) => {
                assert_eq!(error, FULL);
                return size;
            }
        }
    }
}

/// Waits for the count in the background.
fn until_exact(overlay: &Overlay) {
    let begun = Instant::now();
    while !overlay.quota().unwrap().is_exact() {
        assert!(begun.elapsed() < Duration::from_secs(60), "never counted");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn assert_counted(place: &Place, overlay: &Overlay) {
    assert_eq!(overlay.usage(), Some(place.walked()));
    assert_eq!(overlay.quota().unwrap().count(), Ok(place.walked()));
}

#[test]
fn writing_stops_at_the_limit_to_the_block_and_goes_on_when_there_is_room() {
    for chunk in [1000, 4096, 70_000, MIB as usize] {
        let place = Place::new();
        let overlay = place.open(bytes(3 * MIB));
        let ino = file(&overlay, "new").unwrap();
        let size = fill(&overlay, ino, chunk);
        let used = place.walked().bytes;
        assert!(used <= 3 * MIB, "{used} for writes of {chunk}");
        assert!(3 * MIB - used < 4096 + chunk as u64 % 4096, "{used}");
        assert_counted(&place, &overlay);
        let space = overlay.space().unwrap();
        assert_eq!(space.f_blocks * space.f_frsize, 3 * MIB);
        assert_eq!((space.f_bfree, space.f_bavail), (0, 0));
        // What is there can be written again, and nothing was torn.
        assert_eq!(overlay.write(ino, b"again", 77, false), Ok(5));
        let mut seen = vec![0; 5];
        assert_eq!(overlay.read(ino, &mut seen, size - 5), Ok(5));
        assert_eq!(seen, b"fffff");
        resize(&overlay, ino, MIB).unwrap();
        assert_eq!(overlay.write(ino, &[1; 8192], MIB, false), Ok(8192));
        remove(&overlay, ino, "new");
        assert_counted(&place, &overlay);
        assert!(place.walked().bytes < 64 << 10);
        let free = overlay.space().unwrap().f_bavail * overlay.space().unwrap().f_frsize;
        assert_eq!(free, 3 * MIB - place.walked().bytes);
    }
}

#[test]
fn inodes_stop_at_their_limit() {
    let place = Place::new();
    let overlay = place.open(inodes(100));
    let mut made = 0;
    let last = loop {
        let kind = [FileKind::Regular, FileKind::Directory, FileKind::Symlink][made % 3];
        match make(&overlay, kind, &format!("n{made}")) {
            Ok(_) => made += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(last, FULL);
    assert_eq!(made, 99, "and the root");
    assert_eq!(place.walked().inodes, 100);
    let space = overlay.space().unwrap();
    assert_eq!((space.f_files, space.f_ffree, space.f_favail), (100, 0, 0));
    // A file of the lower needs an inode to be changed, but none to be read or removed.
    assert_eq!(
        overlay.write(find(&overlay, "small"), b"x", 0, false),
        Err(FULL)
    );
    assert_eq!(resize(&overlay, find(&overlay, "small"), 0), Err(FULL));
    overlay.unlink(Ino::ROOT, name("small")).unwrap();
    // A further name needs none.
    let ino = find(&overlay, "n0");
    overlay
        .link(ino, Ino::ROOT, name("other"))
        .unwrap()
        .hand_over();
    overlay.unlink(Ino::ROOT, name("other")).unwrap();
    overlay.unlink(Ino::ROOT, name("n0")).unwrap();
    assert_eq!(file(&overlay, "late"), Err(FULL), "it is still open");
    overlay.forget(ino, 3);
    file(&overlay, "late").unwrap();
    assert_counted(&place, &overlay);
}

#[test]
fn a_copy_up_that_does_not_fit_changes_nothing() {
    let place = Place::new();
    let overlay = place.open(bytes(MIB));
    let filler = file(&overlay, "filler").unwrap();
    overlay
        .write(filler, &vec![1; 1_000_000], 0, false)
        .unwrap();
    let small = find(&overlay, "small");
    let before = overlay.attr(small).unwrap();
    assert_eq!(overlay.write(small, b"x", 50_000, false), Err(FULL));
    assert_eq!(overlay.attr(small).unwrap(), before);
    assert!(!place.store().join("tree/small").exists());
    assert_eq!(fs::read_dir(place.store().join("work")).unwrap().count(), 0);
    // Of a large one only the block.
    let large = find(&overlay, "large");
    assert_eq!(overlay.write(large, b"x", 2_000_000, false), Ok(1));
    assert_counted(&place, &overlay);
    assert!(place.walked().bytes <= MIB);
    let size = (0..200).map(|number| number * 16_384).find(|&at| {
        let written = overlay.write(large, b"x", at, false);
        assert!(written == Ok(1) || written == Err(FULL));
        written.is_err()
    });
    assert!(size.is_some(), "three megabytes fit into one");
    assert!(place.walked().bytes <= MIB, "{:?}", place.walked());
    // All of it that was not written is the lower's still.
    let mut seen = vec![0; 3_000_000];
    assert_eq!(overlay.read(large, &mut seen, 0), Ok(3_000_000));
    assert!(seen.iter().all(|&byte| matches!(byte, b'l' | b'x')));
    assert_eq!(seen.iter().rposition(|&byte| byte == b'x'), Some(2_000_000));
    remove(&overlay, filler, "filler");
    assert_eq!(overlay.write(small, b"x", 50_000, false), Ok(1));
    assert_counted(&place, &overlay);
}

#[test]
fn only_what_takes_space_is_counted() {
    let place = Place::new();
    let overlay = place.open(bytes(4 * MIB));
    let ino = file(&overlay, "sparse").unwrap();
    let empty = overlay.usage().unwrap().bytes;
    resize(&overlay, ino, 1 << 40).unwrap();
    assert_eq!(overlay.usage().unwrap().bytes, empty, "a hole");
    assert_eq!(
        overlay.allocate(ino, 0, 5 * MIB, AllocateMode::KeepSize),
        Err(FULL)
    );
    assert_counted(&place, &overlay);
    overlay
        .allocate(ino, 0, MIB, AllocateMode::KeepSize)
        .unwrap();
    assert!(overlay.usage().unwrap().bytes >= empty + MIB);
    overlay
        .allocate(ino, 0, MIB, AllocateMode::PunchHole)
        .unwrap();
    assert_counted(&place, &overlay);
    assert!(overlay.usage().unwrap().bytes < empty + 64 * 1024);
    // What is opened ahead may be written wherever the hole is.
    let written = overlay
        .write(ino, &vec![1; 8 << 20], 1 << 39, false)
        .unwrap();
    assert!(
        written >= 3 * MIB as usize && written < 4 * MIB as usize,
        "{written}"
    );
    assert_counted(&place, &overlay);
    let other = file(&overlay, "copy").unwrap();
    let copied = overlay.copy_range((ino, 1 << 39), (other, 0), 2 * MIB);
    assert!(copied == Err(FULL) || copied.is_ok_and(|copied| copied < MIB as usize));
    assert_counted(&place, &overlay);
}

#[test]
fn space_that_was_allocated_ahead_can_be_written_to_at_the_limit() {
    let place = Place::new();
    let overlay = place.open(bytes(4 * MIB));
    let ahead = file(&overlay, "ahead").unwrap();
    overlay
        .allocate(ahead, MIB, MIB, AllocateMode::KeepSize)
        .unwrap();
    let filler = file(&overlay, "filler").unwrap();
    fill(&overlay, filler, 50_000);
    assert_eq!(
        overlay.write(ahead, &vec![1; MIB as usize], MIB, false),
        Ok(MIB as usize)
    );
    assert_eq!(overlay.write(ahead, b"x", 0, false), Err(FULL));
    assert_eq!(
        overlay.allocate(ahead, MIB, MIB, AllocateMode::Grow),
        Ok(())
    );
    assert!(place.walked().bytes <= 4 * MIB);
    assert_counted(&place, &overlay);
}

#[test]
fn attributes_and_names_are_counted_too() {
    let place = Place::new();
    let overlay = place.open(bytes(2 * MIB));
    let mut before = overlay.usage().unwrap();
    let ino = file(&overlay, "attributes").unwrap();
    let value = vec![b'v'; 3000];
    overlay
        .set_xattr(ino, b"user.long", &value, XattrFlags::empty())
        .unwrap();
    assert_counted(&place, &overlay);
    overlay.remove_xattr(ino, b"user.long").unwrap();
    assert_counted(&place, &overlay);
    for number in 0..300 {
        let long = format!("{number:0>200}");
        let target = overlay.link(ino, Ino::ROOT, name(&long));
        target.unwrap().hand_over();
    }
    assert_counted(&place, &overlay);
    assert_eq!(overlay.usage().unwrap().inodes, before.inodes + 1);
    assert_ne!(
        overlay.usage().unwrap().bytes,
        before.bytes,
        "the directory grew"
    );
    overlay
        .rename(
            (Ino::ROOT, name("dir")),
            (Ino::ROOT, name("moved")),
            RenameMode::Replace,
        )
        .unwrap();
    assert_counted(&place, &overlay);
    // At the limit, names can go and move, and new ones are refused once it is passed.
    let filler = file(&overlay, "filler").unwrap();
    fill(&overlay, filler, 4096);
    before = overlay.usage().unwrap();
    assert!(before.bytes <= 2 * MIB);
    assert_eq!(make(&overlay, FileKind::Directory, "late"), Err(FULL));
    overlay
        .rename(
            (Ino::ROOT, name("moved")),
            (Ino::ROOT, name("again")),
            RenameMode::Replace,
        )
        .unwrap();
    overlay.unlink(Ino::ROOT, name("small")).unwrap();
    let mut refused = 0;
    for number in 0..400 {
        let long = format!("{number:a>220}");
        match overlay.link(ino, Ino::ROOT, name(&long)) {
            Ok(made) => drop(made.hand_over()),
            Err(error) => {
                assert_eq!(error, FULL);
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "a directory grew for ever");
    assert!(
        place.walked().bytes <= 2 * MIB + 3 * 4096,
        "by what one name can take: a directory that is hashed grows by several blocks at once"
    );
    assert_counted(&place, &overlay);
}

#[test]
fn a_clean_end_keeps_the_numbers() {
    let place = Place::new();
    let limits = bytes(8 * MIB);
    let overlay = place.open(limits);
    for number in 0..20 {
        let ino = file(&overlay, &format!("f{number}")).unwrap();
        overlay
            .write(ino, &vec![1; 10_000 * number], 0, false)
            .unwrap();
    }
    // One that is open without a name goes at the next start.
    overlay.unlink(Ino::ROOT, name("f19")).unwrap();
    assert_counted(&place, &overlay);
    assert!(place.mark().unwrap().starts_with("atmost "));
    drop(overlay);
    let overlay = place.open(limits);
    assert!(overlay.quota().unwrap().is_exact());
    assert_counted(&place, &overlay);
    drop(overlay);
    let walked = place.walked();
    let expected = format!("exact {} {}", walked.bytes, walked.inodes);
    assert_eq!(place.mark().as_ref(), Some(&expected));
    // The numbers are believed, not counted: these are not the store's.
    let link = place.store().join("usage");
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("exact 4096000 7", &link).unwrap();
    let overlay = place.open(limits);
    let told = Usage {
        bytes: 4_096_000,
        inodes: 7,
    };
    assert_eq!(overlay.usage(), Some(told));
}

#[test]
fn a_crash_leaves_an_upper_bound_that_is_counted_down_in_the_background() {
    let place = Place::new();
    let limits = SpaceLimits {
        bytes: Some(64 * MIB),
        inodes: Some(10_000),
    };
    let overlay = place.open(limits);
    for number in 0..500 {
        let ino = file(&overlay, &format!("f{number}")).unwrap();
        overlay.write(ino, &vec![1; 20_000], 0, false).unwrap();
        if number % 3 == 0 {
            remove(&overlay, ino, &format!("f{number}"));
        }
    }
    assert_counted(&place, &overlay);
    let before = overlay.usage().unwrap();
    overlay.abandon();
    drop(overlay);
    assert!(place.mark().unwrap().starts_with("atmost "));
    let overlay = place.open(limits);
    let first = overlay.usage().unwrap();
    assert!(
        first.bytes >= before.bytes && first.bytes <= before.bytes + 4 * MIB,
        "{first:?}"
    );
    assert!(
        first.inodes >= before.inodes && first.inodes <= before.inodes + 640,
        "{first:?}"
    );
    until_exact(&overlay);
    assert_counted(&place, &overlay);
}

#[test]
fn a_store_that_was_not_limited_is_counted_when_it_is() {
    let place = Place::new();
    drop(place.open(bytes(8 * MIB)));
    assert!(place.mark().is_some());
    let overlay = place.open(SpaceLimits::default());
    assert_eq!(overlay.usage(), None);
    assert_eq!(place.mark(), None, "nobody keeps it");
    let ino = file(&overlay, "new").unwrap();
    assert_eq!(
        overlay.write(ino, &vec![1; 20 << 20], 0, false),
        Ok(20 << 20)
    );
    drop(overlay);
    // Less than it takes already.
    let overlay = place.open(bytes(8 * MIB));
    assert_counted(&place, &overlay);
    let space = overlay.space().unwrap();
    assert_eq!(
        (space.f_blocks * space.f_frsize, space.f_bfree),
        (8 * MIB, 0)
    );
    let ino = find(&overlay, "new");
    assert_eq!(overlay.write(ino, b"more", 20 << 20, false), Err(FULL));
    assert_eq!(file(&overlay, "other"), Err(FULL));
    assert_eq!(overlay.write(ino, b"again", 0, false), Ok(5));
    resize(&overlay, ino, MIB).unwrap();
    file(&overlay, "other").unwrap();
    assert_counted(&place, &overlay);
}

#[test]
fn parallel_writers_stay_within_the_limit_together() {
    let place = Place::new();
    let overlay = place.open(bytes(16 * MIB));
    std::thread::scope(|scope| {
        for worker in 0..8_usize {
            let overlay = &overlay;
            scope.spawn(move || {
                let own = file(overlay, &format!("own{worker}")).unwrap();
                fill(overlay, own, 30_000 + 7000 * worker);
            });
        }
    });
    let walked = place.walked();
    assert!(walked.bytes <= 16 * MIB, "{walked:?}");
    assert!(walked.bytes > 16 * MIB - 8 * 4096, "{walked:?}");
    assert_counted(&place, &overlay);
}

#[test]
fn counting_while_everything_changes_is_never_too_low_and_right_in_the_end() {
    let place = Place::new();
    let overlay = place.open(bytes(1 << 40));
    let quota = Arc::clone(overlay.quota().unwrap());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3_u64)
            .map(|worker| {
                let overlay = &overlay;
                scope.spawn(move || {
                    for round in 0..400_u64 {
                        let (old, new) =
                            (format!("w{worker}-{round}"), format!("m{worker}-{round}"));
                        let ino = file(overlay, &old).unwrap();
                        let data = vec![1; 5000 + 100 * round as usize];
                        overlay.write(ino, &data, 0, false).unwrap();
                        let (from, to) = ((Ino::ROOT, name(&old)), (Ino::ROOT, name(&new)));
                        overlay.rename(from, to, RenameMode::Replace).unwrap();
                        if round % 4 > 0 {
                            remove(overlay, ino, &new);
                        }
                    }
                })
            })
            .collect();
        while !workers.iter().all(|worker| worker.is_finished()) {
            quota.recount();
        }
    });
    assert!(quota.usage().bytes >= place.walked().bytes);
    assert!(quota.recount(), "nothing changes any more");
    assert_counted(&place, &overlay);
}
