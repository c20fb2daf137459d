//! The order of the names in an index, by directory, then by bytes; and what follows from it for the
//! inodes: where directories begin, who is whose name, the counts of links. The tree is only read.

use std::io;
use std::path::Path;

use super::format::{InodeRecord, NO_DENTRY};
use super::tree::{Inodes, Name, Numbers, ROOT, Tree};
use crate::types::FileKind;

/// The order.
pub(super) struct Order {
    /// The places of all names in the tree, by directory.
    places: Numbers,
    /// Where the names of a directory end, by its number.
    ends: Numbers,
}

impl Order {
    /// The order of the names of `tree`.
    pub(super) fn of(tree: &Tree) -> Self {
        Self::by_directory(tree, tree.scratch.as_deref())
    }

    /// Calls `visit` for each name, in order, with its bytes.
    ///
    /// # Errors
    /// The first one of `visit`, which is then not called again.
    pub(super) fn try_for_each(
        &self,
        tree: &Tree,
        visit: &mut dyn FnMut(&Name, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        for (number, mode) in modes(&tree.inodes) {
            if is_directory(mode)
                && let Some(record) = tree.inodes.get(number)
            {
                self.directory(tree, number, record.count, visit)?;
            }
        }
        Ok(())
    }

    /// The names by directory, within one in the order in which they came.
    fn by_directory(tree: &Tree, scratch: Option<&Path>) -> Self {
        let mut ends = Numbers::zeros(scratch, tree.inodes.len() + 1);
        let mut start = 0;
        for (number, mode) in modes(&tree.inodes) {
            if is_directory(mode) {
                ends.set(number as usize, start);
                start += tree.inodes.get(number).map_or(0, |record| record.count);
            }
        }
        let mut places = Numbers::zeros(scratch, tree.names.len());
        for (place, name) in tree.names.iter() {
            let slot = ends.get(name.parent as usize).unwrap_or_default();
            places.set(slot as usize, place);
            ends.set(name.parent as usize, slot + 1);
        }
        Self { places, ends }
    }

    /// Where the `count` names of a directory begin.
    fn start(&self, number: u32, count: u32) -> u32 {
        let end = self.ends.get(number as usize).unwrap_or_default();
        end.saturating_sub(count)
    }

    /// The names of a directory. Their bytes are put one behind the other, so that each is read once.
    fn directory(
        &self,
        tree: &Tree,
        number: u32,
        count: u32,
        visit: &mut dyn FnMut(&Name, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let start = self.start(number, count) as usize;
        let mut text = Vec::new();
        let mut names = Vec::with_capacity(count as usize);
        for at in start..start + count as usize {
            let place = self.places.get(at).unwrap_or_default();
            if let Some(name) = tree.names.get(place) {
                let from = text.len();
                text.extend_from_slice(tree.names.text(&name));
                names.push((from, name));
            }
        }
        let bytes = |from: usize, name: &Name| text.get(from..from + usize::from(name.bytes));
        names.sort_unstable_by_key(|(from, name)| bytes(*from, name));
        names
            .iter()
            .try_for_each(|(from, name)| visit(name, bytes(*from, name).unwrap_or_default()))
    }
}

/// What names there are of each inode.
pub(super) struct Links {
    count: Numbers,
    /// The first one's place in the order, plus one.
    first: Numbers,
    /// Length of all names together.
    pub(super) names_bytes: u64,
}

impl Links {
    /// Of none yet.
    pub(super) fn new(tree: &Tree) -> Self {
        let numbers = || Numbers::zeros(tree.scratch.as_deref(), tree.inodes.len() + 1);
        Self {
            count: numbers(),
            first: numbers(),
            names_bytes: 0,
        }
    }

    /// Counts the name at `at` in the order.
    pub(super) fn add(&mut self, at: u32, name: &Name, mode: u16) {
        self.names_bytes += u64::from(name.bytes);
        self.link(name.inode);
        if self.first.get(name.inode as usize) == Some(0) {
            self.first.set(name.inode as usize, at + 1);
        }
        if is_directory(mode) {
            // Its "..".
            self.link(name.parent);
        }
    }

    fn link(&mut self, number: u32) {
        let count = self.count.get(number as usize).unwrap_or_default();
        self.count.set(number as usize, count.saturating_add(1));
    }

    /// An inode as the index has it.
    pub(super) fn complete(&self, number: u32, record: InodeRecord, order: &Order) -> InodeRecord {
        let first = self.first.get(number as usize).unwrap_or_default();
        let dentry = first.checked_sub(1).unwrap_or(NO_DENTRY);
        if dentry == NO_DENTRY && number != ROOT {
            // Replaced by a later entry: the number stays, unused.
            return InodeRecord {
                dentry,
                ..Default::default()
            };
        }
        let mut record = InodeRecord {
            nlink: self.count.get(number as usize).unwrap_or_default(),
            dentry,
            ..record
        };
        if is_directory(record.mode) {
            // Its own "."; the root has no name, but ".." in itself.
            record.nlink += if number == ROOT { 2 } else { 1 };
            record.size = 4096;
            record.blocks = 8;
            record.data = order.start(number, record.count).into();
        } else if record.mode >> 12 == FileKind::Symlink as u16 {
            record.data += self.names_bytes;
        }
        record
    }
}

fn is_directory(mode: u16) -> bool {
    mode >> 12 == FileKind::Directory as u16
}

fn modes(inodes: &Inodes) -> impl Iterator<Item = (u32, u16)> {
    let numbers = ROOT..=inodes.len() as u32;
    numbers.filter_map(|number| Some((number, inodes.mode(number)?)))
}
