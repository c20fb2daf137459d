//! What a directory of the merged tree contains.
//!
//! A listing is made once and kept until a name in the directory changes. The position in it is
//! not an index but a hash of the name: an entry has the same position in every listing that
//! contains it, so `telldir` and `seekdir` stay right while names come and go, whoever restarts
//! what in between.

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::sync::Arc;

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
        for listed in listing.entries.get(start..).unwrap_or(&[]) {
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
        Ok(self.listing(ino, node, true)?.entries.is_empty())
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
                    entries.push(ListedEntry {
                        position: position_of(entry.name),
                        name: entry.name.into(),
                        ino: Ino(entry.node.0),
                        kind: entry.kind,
                    });
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
            entries.push(ListedEntry {
                position: position_of(&name),
                name: name.clone(),
                ino: record.ino,
                kind: record.kind,
            });
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
    use super::position_of;

    #[test]
    fn positions_are_those_of_earlier_versions_and_fit_in_off_t() {
        // A program may keep a position over an upgrade of the daemon.
        assert_eq!(position_of(b"etc"), position_of(b"etc"));
        for name in [&b"a"[..], b"b", b"", &[0xff; 255]] {
            let position = position_of(name);
            assert!(position > 2 && position < 1 << 63, "{position}");
        }
    }
}
