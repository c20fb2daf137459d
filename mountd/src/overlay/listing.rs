//! What a directory of the merged tree contains.
//!
//! A listing is made once and kept until a name comes to the directory; one that goes is marked in
//! it, so that who removes what he reads (`rm -r`) does not have all of a large directory listed
//! again and again. The position in it is not an index but a hash of the name: an entry has the
//! same position in every listing that contains it, so `telldir` and `seekdir` stay right while
//! names come and go, whoever restarts what in between.

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::find::Found;
use super::node::Node;
use super::{LookedUp, Overlay};
use crate::error::{FsError, FsResult};
use crate::types::{EntryName, FileKind, Ino};
use crate::upper::names::{self, ListedKind, UpperName};

/// Position of `.`; that of `..` is one more. Those of names are larger.
const FIRST: u64 = 1;

/// One entry of a directory.
#[derive(Clone, Copy, Debug)]
pub struct DirectoryEntry<'a> {
    /// Its name, `.` and `..` included.
    pub name: &'a [u8],
    /// The inode's number.
    pub ino: Ino,
    /// The inode's type.
    pub kind: FileKind,
    /// Position behind this entry, to go on from.
    pub position: u64,
}

/// Takes entries until it is full.
pub trait DirectorySink {
    /// Takes an entry, with its inode if the caller asked for inodes and it is not `.` or `..`;
    /// false if there was no room for it.
    fn push(&mut self, entry: &DirectoryEntry<'_>, inode: Option<LookedUp<'_>>) -> bool;
}

/// A whole directory, sorted by position.
#[derive(Debug)]
pub(super) struct Listing {
    entries: Vec<ListedEntry>,
}

#[derive(Debug)]
struct ListedEntry {
    position: u64,
    name: Box<[u8]>,
    ino: Ino,
    kind: FileKind,
    /// Whether the name was taken away since. Changed under the `names` lock, for writing.
    gone: AtomicBool,
}

impl ListedEntry {
    fn new(name: &[u8], ino: Ino, kind: FileKind) -> Self {
        Self {
            position: position_of(name),
            name: name.into(),
            ino,
            kind,
            gone: AtomicBool::new(false),
        }
    }

    fn is_there(&self) -> bool {
        !self.gone.load(Ordering::Relaxed)
    }
}

impl Listing {
    /// The entry of a name, whether it is there or gone.
    fn find(&self, name: &[u8]) -> Option<&ListedEntry> {
        let position = position_of(name);
        let start = self
            .entries
            .partition_point(|entry| entry.position < position);
        // Of names with one hash the later ones follow without a gap.
        self.entries
            .get(start..)?
            .iter()
            .zip(position..)
            .take_while(|(entry, at)| entry.position == *at)
            .map(|(entry, _)| entry)
            .find(|entry| *entry.name == *name)
    }
}

impl Overlay {
    /// Tells `sink` the entries of a directory behind `position` (0: all of them), and looks each
    /// up if `with_inodes`.
    ///
    /// # Errors
    /// `NotDirectory`, or those of the layers.
    pub fn read_directory(
        &self,
        ino: Ino,
        position: u64,
        with_inodes: bool,
        sink: &mut dyn DirectorySink,
    ) -> FsResult<()> {
        let _names = self.names.read();
        let node = self.node(ino)?;
        for (offset, name) in [&b"."[..], b".."].into_iter().enumerate() {
            let at = FIRST + offset as u64;
            let entry = DirectoryEntry {
                name,
                ino,
                kind: FileKind::Directory,
                position: at,
            };
            if at > position && !sink.push(&entry, None) {
                return Ok(());
            }
        }
        let listing = self.listing(ino, &node, position <= FIRST)?;
        let start = listing
            .entries
            .partition_point(|entry| entry.position <= position);
        let rest = listing.entries.get(start..).unwrap_or(&[]);
        for listed in rest.iter().filter(|entry| entry.is_there()) {
            let inode = if with_inodes {
                // Gone since the listing was made: only a living lower does that.
                let Some(found) = self.find(ino, &node, EntryName::new(&listed.name)?)? else {
                    continue;
                };
                Some(self.count_found(found)?)
            } else {
                None
            };
            let entry = DirectoryEntry {
                name: &listed.name,
                ino: listed.ino,
                kind: listed.kind,
                position: listed.position,
            };
            if !sink.push(&entry, inode) {
                break;
            }
        }
        Ok(())
    }

    /// Whether a directory shows no names. Under the `names` lock.
    pub(super) fn is_empty_directory(&self, ino: Ino, node: &Node) -> FsResult<bool> {
        let listing = self.listing(ino, node, true)?;
        Ok(!listing.entries.iter().any(ListedEntry::is_there))
    }

    /// A name goes: takes it out of the listing of `parent`, if there is one. Under the `names`
    /// lock, for writing.
    pub(super) fn unlist(&self, parent: Ino, name: EntryName<'_>) {
        let Some(listing) = self.listings.get(parent) else {
            return;
        };
        match listing.find(name.as_bytes()) {
            Some(entry) => entry.gone.store(true, Ordering::Relaxed),
            None => self.listings.evict(parent),
        }
    }

    /// The listing of a directory. What only a living host has in it is listed anew whenever
    /// somebody begins to read; who goes on reading goes on with the same.
    fn listing(&self, ino: Ino, node: &Node, begins: bool) -> FsResult<Arc<Listing>> {
        let may_change = node.lower.is_some() && !self.lower.is_immutable();
        if !(begins && may_change)
            && let Some(listing) = self.listings.get(ino)
        {
            return Ok(listing);
        }
        let listing = Arc::new(self.merge(ino, node)?);
        self.listings.put(ino, Arc::clone(&listing));
        Ok(listing)
    }

    fn merge(&self, ino: Ino, node: &Node) -> FsResult<Listing> {
        let mut entries = Vec::new();
        if node.removed {
            return Ok(Listing { entries });
        }
        let mut covered = HashSet::new();
        if node.place.is_some() {
            self.list_store(ino, node, &mut entries, &mut covered)?;
        }
        if let Some(lower) = node.lower {
            self.lower.entries(lower, &mut |entry| {
                if !covered.contains(entry.name) {
                    let ino = Ino(entry.node.0);
                    entries.push(ListedEntry::new(entry.name, ino, entry.kind));
                }
            })?;
        }
        entries.sort_unstable_by(|a, b| (a.position, &a.name).cmp(&(b.position, &b.name)));
        // Two names with one hash must not have one position.
        for at in 1..entries.len() {
            if let [before, after] = &mut entries[at - 1..=at]
                && after.position <= before.position
            {
                after.position = before.position + 1;
            }
        }
        Ok(Listing { entries })
    }

    fn list_store(
        &self,
        ino: Ino,
        node: &Node,
        entries: &mut Vec<ListedEntry>,
        covered: &mut HashSet<Box<[u8]>>,
    ) -> FsResult<()> {
        let directory = self.directory(ino)?;
        let mut objects: Vec<Box<[u8]>> = Vec::new();
        names::list(directory.as_fd(), &mut |name, kind| match kind {
            ListedKind::Whiteout => drop(covered.insert(name.into())),
            ListedKind::Object => objects.push(name.into()),
        })?;
        for name in objects {
            let checked = EntryName::new(&name)?;
            let UpperName::Object(object) = names::look_up(directory.as_fd(), checked)? else {
                // Never completed, or gone meanwhile: the lower's name shows, if there is one.
                continue;
            };
            let record = object.record();
            entries.push(ListedEntry::new(&name, record.ino, record.kind));
            if node.lower.is_some() {
                covered.insert(name);
            }
        }
        Ok(())
    }
}

/// Position of a name: FNV-1a, mixed, and kept clear of the sign bit and of `.` and `..`.
fn position_of(name: &[u8]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let hash = name.iter().fold(OFFSET, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(PRIME)
    });
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 2) + FIRST + 2
}

/// Turns what was found into an error if it is not a directory.
pub(super) fn expect_directory(found: &Found) -> FsResult<()> {
    match found.kind() {
        FileKind::Directory => Ok(()),
        _ => Err(FsError::NotDirectory),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::{DirectoryEntry, DirectorySink, LookedUp, Overlay, position_of};
    use crate::error::FsError;
    use crate::lower::LowerLayer;
    use crate::lower::memory::MemoryLower;
    use crate::types::{EntryName, Ino};
    use crate::upper::UpperStore;

    #[test]
    fn positions_are_those_of_earlier_versions_and_fit_in_off_t() {
        // A program may keep a position over an upgrade of the daemon.
        assert_eq!(position_of(b"etc"), position_of(b"etc"));
        for name in [&b"a"[..], b"b", b"", &[0xff; 255]] {
            let position = position_of(name);
            assert!(position > 2 && position < 1 << 63, "{position}");
        }
    }

    /// A few names, as a reader with a small buffer gets them, and where they end.
    struct Part {
        names: Vec<Vec<u8>>,
        position: u64,
    }

    impl DirectorySink for Part {
        fn push(&mut self, entry: &DirectoryEntry<'_>, _: Option<LookedUp<'_>>) -> bool {
            if self.names.len() == 7 {
                return false;
            }
            self.position = entry.position;
            if entry.name != b"." && entry.name != b".." {
                self.names.push(entry.name.to_vec());
            }
            true
        }
    }

    fn read(overlay: &Overlay, ino: Ino, position: u64) -> Part {
        let names = Vec::new();
        let mut some = Part { names, position };
        overlay
            .read_directory(ino, position, false, &mut some)
            .unwrap();
        some
    }

    fn name(bytes: &[u8]) -> EntryName<'_> {
        EntryName::new(bytes).unwrap()
    }

    /// An overlay with `directory`, in which are 100 files of the lower and 100 names of the store.
    fn two_hundred(store: &std::path::Path) -> (Overlay, Ino) {
        let mut builder = MemoryLower::builder().directory("directory");
        for number in 0..100 {
            builder = builder.file(format!("directory/lower{number}"), b"");
        }
        let lower: Arc<dyn LowerLayer> = Arc::new(builder.build().unwrap());
        let root = crate::source::root_of(&*lower).unwrap();
        let store = UpperStore::open(store, &root, lower.first_free()).unwrap();
        let overlay = Overlay::new(lower, Some(store));
        let find = |parent, bytes: &[u8]| {
            let found = overlay.lookup(parent, name(bytes)).unwrap().unwrap();
            found.hand_over().0
        };
        let directory = find(Ino::ROOT, b"directory");
        let file = find(directory, b"lower0");
        for number in 0..100 {
            let link = format!("store{number}");
            let _ = overlay
                .link(file, directory, name(link.as_bytes()))
                .unwrap();
        }
        (overlay, directory)
    }

    #[test]
    fn removing_what_is_read_of_a_large_directory_does_not_list_it_again() {
        let place = tempfile::TempDir::new().unwrap();
        let (overlay, directory) = two_hundred(&place.path().join("store"));
        let mut seen = BTreeSet::new();
        let mut position = 0;
        let _ = read(&overlay, directory, position);
        let listing = overlay.listings.get(directory).unwrap();
        loop {
            let some = read(&overlay, directory, position);
            if some.names.is_empty() {
                break;
            }
            for found in &some.names {
                assert!(seen.insert(found.clone()), "{} twice", found.escape_ascii());
                overlay.unlink(directory, name(found)).unwrap();
                let again = overlay.unlink(directory, name(found));
                assert_eq!(again, Err(FsError::NotFound));
            }
            position = some.position;
            let now = overlay.listings.get(directory).unwrap();
            assert!(Arc::ptr_eq(&listing, &now), "listed again");
        }
        assert_eq!(seen.len(), 200);
        assert!(read(&overlay, directory, 0).names.is_empty());
        overlay
            .remove_directory(Ino::ROOT, name(b"directory"))
            .unwrap();
    }

    #[test]
    fn a_name_that_comes_back_is_listed_again() {
        let place = tempfile::TempDir::new().unwrap();
        let (overlay, directory) = two_hundred(&place.path().join("store"));
        let _ = read(&overlay, directory, 0);
        overlay.unlink(directory, name(b"store1")).unwrap();
        overlay.unlink(directory, name(b"lower2")).unwrap();
        let file = overlay
            .lookup(directory, name(b"lower1"))
            .unwrap()
            .unwrap()
            .hand_over()
            .0;
        let _ = overlay.link(file, directory, name(b"lower2")).unwrap();
        let (mut names, mut position) = (BTreeSet::new(), 0);
        loop {
            let some = read(&overlay, directory, position);
            if some.names.is_empty() {
                break;
            }
            position = some.position;
            names.extend(some.names);
        }
        assert_eq!(names.len(), 199);
        assert!(names.contains(&b"lower2"[..]) && !names.contains(&b"store1"[..]));
    }
}
