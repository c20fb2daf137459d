//! What an operation costs in calls to the host's file system and in inodes that nobody asked for:
//! counted, not timed.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use tempfile::TempDir;

use super::{DirectoryEntry, DirectorySink, LookedUp, NewInode, Overlay, SetAttr};
use crate::lower::LowerLayer;
use crate::lower::memory::MemoryLower;
use crate::types::{Caller, EntryName, FileKind, Ino};
use crate::upper::UpperStore;
use crate::upper::calls::{Call, with_plan};

fn overlay(lower: MemoryLower, store: &Path) -> Overlay {
    let lower: Arc<dyn LowerLayer> = Arc::new(lower);
    let root = crate::source::root_of(&*lower).unwrap();
    let store = UpperStore::open(store, &root, lower.first_free()).unwrap();
    Overlay::new(lower, Some(store))
}

fn name(bytes: &[u8]) -> EntryName<'_> {
    EntryName::new(bytes).unwrap()
}

fn create(core: &Overlay, bytes: &[u8]) -> Ino {
    let new = NewInode {
        kind: FileKind::Regular,
        permissions: 0o644,
        umask: 0,
        rdev: 0,
        target: b"",
        caller: Caller { uid: 7, gid: 8 },
    };
    let made = core.create(Ino::ROOT, name(bytes), &new).unwrap();
    made.hand_over().0
}

/// Names of the calls that `body` makes.
fn calls(body: impl FnOnce()) -> Vec<&'static str> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let told = Rc::clone(&seen);
    let plan = move |call: &Call<'_>| {
        told.borrow_mut().push(call.name);
        Ok(())
    };
    with_plan(plan, body);
    seen.take()
}

#[test]
fn a_new_file_and_its_directory_are_not_opened_again() {
    let place = TempDir::new().unwrap();
    let lower = MemoryLower::builder().file("file", b"");
    let core = overlay(lower.build().unwrap(), &place.path().join("store"));
    // The directory is open from then on, and there are numbers to hand out.
    create(&core, b"first");
    let made = calls(|| {
        let ino = create(&core, b"second");
        // As the kernel asks for each: attributes of the directory, a capability, the data.
        core.attr(Ino::ROOT).unwrap();
        let capability = core.xattr(ino, b"security.capability");
        assert!(capability.is_err());
        core.write(ino, b"text", 0, true).unwrap();
        let set = SetAttr {
            permissions: Some(0o600),
            ..SetAttr::default()
        };
        core.set_attr(ino, &set).unwrap();
        core.write(ino, b"more", 4, false).unwrap();
        let mut text = [0; 8];
        assert_eq!(core.read(ino, &mut text, 0), Ok(8));
        assert_eq!(&text, b"textmore");
    });
    // One to see that the name is free, one to make it.
    let opened = made.iter().filter(|call| **call == "openat").count();
    assert_eq!(opened, 2, "{made:?}");
}

#[test]
fn a_set_id_bit_that_comes_after_a_write_goes_with_the_next_one() {
    let place = TempDir::new().unwrap();
    let lower = MemoryLower::builder().file("file", b"");
    let core = overlay(lower.build().unwrap(), &place.path().join("store"));
    let ino = create(&core, b"program");
    core.write(ino, b"1", 0, true).unwrap();
    let set = SetAttr {
        permissions: Some(0o4755),
        ..SetAttr::default()
    };
    core.set_attr(ino, &set).unwrap();
    core.write(ino, b"2", 0, false).unwrap();
    assert_eq!(core.attr(ino).unwrap().permissions, 0o4755, "root wrote it");
    core.write(ino, b"3", 0, true).unwrap();
    assert_eq!(core.attr(ino).unwrap().permissions, 0o755);
    let capability = b"security.capability";
    let flags = crate::upper::calls::XattrFlags::empty();
    core.set_xattr(ino, capability, b"any", flags).unwrap();
    core.write(ino, b"4", 0, true).unwrap();
    assert!(core.xattr(ino, capability).is_err());
}

/// Takes so many entries, and counts those that came with their inode.
struct Part {
    room: usize,
    alone: bool,
    names: usize,
    inodes: usize,
    position: u64,
}

impl DirectorySink for Part {
    fn takes_names_alone(&self) -> bool {
        self.alone
    }

    fn push(&mut self, entry: &DirectoryEntry<'_>, inode: Option<LookedUp<'_>>) -> bool {
        if self.names == self.room {
            return false;
        }
        self.position = entry.position;
        self.names += 1;
        self.inodes += usize::from(inode.is_some());
        true
    }
}

fn inodes(core: &Overlay, directory: Ino, position: &mut u64, alone: bool) -> usize {
    let mut part = Part {
        room: 100,
        alone,
        names: 0,
        inodes: 0,
        position: *position,
    };
    core.read_directory(directory, *position, true, &mut part)
        .unwrap();
    assert_eq!(part.names, 100);
    *position = part.position;
    part.inodes
}

#[test]
fn a_huge_directory_is_told_by_names_until_one_of_them_is_looked_up() {
    let place = TempDir::new().unwrap();
    let mut lower = MemoryLower::builder()
        .directory("huge")
        .directory("ordinary");
    for number in 0..5000 {
        lower = lower.file(format!("huge/{number}"), b"");
    }
    for number in 0..500 {
        lower = lower.file(format!("ordinary/{number}"), b"");
    }
    let core = overlay(lower.build().unwrap(), &place.path().join("store"));
    let find = |parent, bytes: &[u8]| {
        let found = core.lookup(parent, name(bytes)).unwrap().unwrap();
        found.hand_over().0
    };
    let (huge, ordinary) = (find(Ino::ROOT, b"huge"), find(Ino::ROOT, b"ordinary"));
    let mut at = 0;
    // `.` and `..` have none.
    assert_eq!(inodes(&core, ordinary, &mut at, true), 98);
    at = 0;
    assert_eq!(inodes(&core, huge, &mut at, true), 0);
    assert_eq!(inodes(&core, huge, &mut at, true), 0);
    let _ = find(huge, b"17");
    assert_eq!(inodes(&core, huge, &mut at, true), 100);
    assert_eq!(inodes(&core, huge, &mut at, true), 100);
    at = 0;
    assert_eq!(inodes(&core, huge, &mut at, true), 0, "from the beginning");
    at = 0;
    let all = inodes(&core, huge, &mut at, false);
    assert_eq!(all, 98, "who cannot be told of names alone");
}
