//! What a directory of the merged tree contains.
//!
//! A listing is made once and kept until a name comes to the directory; one that goes is marked in
//! it, so that who removes what he reads (`rm -r`) does not have all of a large directory listed
//! again and again. The position in it is not an index but a hash of the name: an entry has the
//! same position in every listing that contains it, so `telldir` and `seekdir` stay right while
//! names come and go, whoever restarts what in between.
//!
//! To tell an entry with its inode costs several times what the name alone does, on both sides. That
//! is well spent on what is looked at next, which is nearly everything of a directory of ordinary size.
//! A huge one is told by names alone, until somebody looks one of them up ([`NamesFirst`]).

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::find::Found;
use super::listed::{FIRST, Listing};
use super::node::Node;
use super::{LookedUp, Overlay};
use crate::error::{FsError, FsResult};
use crate::types::{EntryName, FileKind, Ino};
use crate::upper::names::{self, ListedKind, UpperName};

/// More names than this make a directory huge.
const HUGE: usize = 4096;

/// The huge directory that is being told by names alone, if any: 0 is no inode's number. If several
/// are read at the same time, this one's reader gets what the others do not: it is only about speed.
#[derive(Debug, Default)]
pub(super) struct NamesFirst(AtomicU64);

impl NamesFirst {
    /// Somebody looked a name of `directory` up: who reads it seems to want inodes.
    pub(super) fn looked_up(&self, directory: Ino) {
        if self.0.load(Ordering::Relaxed) == directory.0 {
            self.0.store(0, Ordering::Relaxed);
        }
    }

    /// Whether what is to be read of a huge directory next is told by names alone.
    fn is_for(&self, directory: Ino, begins: bool) -> bool {
        if begins {
            self.0.store(directory.0, Ordering::Relaxed);
        }
        self.0.load(Ordering::Relaxed) == directory.0
    }
}

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
    /// Whether the caller, who asks for inodes, takes entries without them too.
    fn takes_names_alone(&self) -> bool {
        false
    }

    /// Takes an entry, with its inode if the caller asked for inodes and it is not `.` or `..`, or of a
    /// huge directory; false if there was no room for it.
    fn push(&mut self, entry: &DirectoryEntry<'_>, inode: Option<LookedUp<'_>>) -> bool;
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
        self.read_behind(ino, position, with_inodes, sink, true)
    }

    /// The same; if it `may_number`, inodes of a living lower that need other numbers get them.
    fn read_behind(
        &self,
        ino: Ino,
        position: u64,
        with_inodes: bool,
        sink: &mut dyn DirectorySink,
        may_number: bool,
    ) -> FsResult<()> {
        let names = self.names.read();
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
        let with_inodes = with_inodes
            && !(listing.len() > HUGE
                && sink.takes_names_alone()
                && self.names_first.is_for(ino, position <= FIRST + 1));
        let mut last = None;
        for listed in listing.behind(position) {
            let inode = if with_inodes {
                let name = EntryName::new(listed.name)?;
                let found = match self.find(ino, &node, name) {
                    Err(FsError::Stale) if may_number => {
                        // It gets a number of its own, and the rest is told behind what was.
                        drop(names);
                        let numbered = self.number_anew(ino, name)?;
                        return match last {
                            Some(_) => Ok(()),
                            None => {
                                let behind = position.max(FIRST + 1);
                                self.read_behind(ino, behind, with_inodes, sink, numbered)
                            }
                        };
                    }
                    // Gone since the listing was made: only a living lower does that.
                    Err(FsError::Stale) | Ok(None) => continue,
                    Ok(Some(found)) => found,
                    Err(error) => return Err(error),
                };
                Some(self.count_found(found)?)
            } else {
                None
            };
            let entry = DirectoryEntry {
                name: listed.name,
                ino: listed.ino,
                kind: listed.kind,
                position: listed.position,
            };
            if !sink.push(&entry, inode) {
                break;
            }
            last = Some(listed.position);
        }
        Ok(())
    }

    /// Whether a directory shows no names. Under the `names` lock.
    pub(super) fn is_empty_directory(&self, ino: Ino, node: &Node) -> FsResult<bool> {
        let listing = self.listing(ino, node, true)?;
        Ok(listing.behind(0).next().is_none())
    }

    /// A name goes: takes it out of the listing of `parent`, if there is one. Under the `names`
    /// lock, for writing.
    pub(super) fn unlist(&self, parent: Ino, name: EntryName<'_>) {
        let listing = self.listings.get(parent);
        if listing.is_some_and(|listing| !listing.mark_gone(name.as_bytes())) {
            self.listings.evict(parent);
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
        let mut listing = Listing::default();
        if node.removed {
            return Ok(listing);
        }
        let mut covered = HashSet::new();
        if node.place.is_some() {
            self.list_store(ino, node, &mut listing, &mut covered)?;
        }
        if let Some(lower) = node.lower {
            let mut pushed = Ok(());
            self.lower.entries(lower, &mut |entry| {
                if pushed.is_ok() && !covered.contains(entry.name) {
                    pushed = listing.push(entry.name, Ino(entry.node.0), entry.kind);
                }
            })?;
            pushed?;
        }
        Ok(listing.complete())
    }

    fn list_store(
        &self,
        ino: Ino,
        node: &Node,
        listing: &mut Listing,
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
            listing.push(&name, record.ino, record.kind)?;
            if node.lower.is_some() {
                covered.insert(name);
            }
        }
        Ok(())
    }
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

    use super::{DirectoryEntry, DirectorySink, LookedUp, Overlay};
    use crate::error::FsError;
    use crate::lower::LowerLayer;
    use crate::lower::memory::MemoryLower;
    use crate::types::{EntryName, Ino};
    use crate::upper::UpperStore;

    /// A few names, as a reader with a small buffer gets them, and where they end.
    struct Part {
        names: Vec<Vec<u8>>,
        position: u64,
    }

    impl DirectorySink for Part {
        fn takes_names_alone(&self) -> bool {
            true
        }

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
