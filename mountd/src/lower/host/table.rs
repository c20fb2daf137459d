//! Which names the known nodes were found by.
//!
//! The host is addressed by names, the kernel names nodes by number: this table leads from a
//! number to one directory and name. A node is in it while the kernel knows it (from
//! [`NodeTable::learn`] to [`NodeTable::forget`]) or while something in it is there, so the chain
//! of parents of every node in the table ends at the root, which itself is never in it. On a
//! living host the chain is what was true once; whoever follows it checks each inode number.
//!
//! A million nodes must fit: a record is 24 bytes in a map without much air, and its name lies in a string of
//! all names of its shard. Locks: one shard at a time, never two.

use std::collections::HashSet;

use parking_lot::{Mutex, MutexGuard};
use rustix::io::Errno;

use super::name_journal::NameJournal;
use crate::error::{FsError, FsResult};
use crate::lower::LowerNode;
use crate::number_map::NumberMap;
use crate::types::FileKind;

const SHARDS: usize = 64;

/// Numbers take 48 bits; length of the name, kind and flag stand above the parent's number.
const NUMBER_BITS: u32 = 48;

/// The table. See the module.
#[derive(Debug)]
pub(super) struct NodeTable {
    shards: Box<[Mutex<Shard>]>,
    /// Told of every change, by callers that do not forget what another one learns meanwhile.
    journal: Option<NameJournal>,
}

/// How a node was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The directory.
    pub(super) parent: LowerNode,
    /// The name in it.
    pub(super) name: Box<[u8]>,
    /// What it was then.
    pub(super) kind: FileKind,
}

#[derive(Debug, Default)]
struct Shard {
    records: NumberMap<Record>,
    names: Names,
}

#[derive(Clone, Copy, Debug, Default)]
struct Record {
    /// Parent (48 bits), length of the name (8), kind (4), whether the kernel knows it (1).
    packed: u64,
    /// Start of the name in [`Names`].
    name: u32,
    /// Number of records whose parent this is.
    children: u32,
}

/// The names of one shard, one after the other.
#[derive(Debug, Default)]
struct Names {
    bytes: Vec<u8>,
    /// How many of `bytes` belong to no record any more.
    dead: usize,
}

impl Record {
    const KNOWN: u64 = 1 << 60;

    fn new(parent: LowerNode, length: usize, kind: FileKind, name: u32) -> Self {
        let packed = parent.0
            | (length as u64) << NUMBER_BITS
            | (kind as u64) << (NUMBER_BITS + 8)
            | Self::KNOWN;
        Self {
            packed,
            name,
            children: 0,
        }
    }

    fn parent(&self) -> LowerNode {
        LowerNode(self.packed & ((1 << NUMBER_BITS) - 1))
    }

    fn length(&self) -> usize {
        (self.packed >> NUMBER_BITS & 0xff) as usize
    }

    fn kind(&self) -> Option<FileKind> {
        FileKind::from_code((self.packed >> (NUMBER_BITS + 8) & 0xf) as u8)
    }

    fn known(&self) -> bool {
        self.packed & Self::KNOWN != 0
    }
}

impl NodeTable {
    pub(super) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            journal: None,
        }
    }

    /// Notes every change in `journal` from now on.
    pub(super) fn keep(&mut self, journal: NameJournal) {
        self.journal = Some(journal);
    }

    /// Calls `take` for each node, parents before their children, with how it was found and
    /// whether the kernel knows it.
    pub(super) fn tell(&self, take: &mut dyn FnMut(LowerNode, &Found, bool)) {
        let shards: Vec<_> = self.shards.iter().map(Mutex::lock).collect();
        let record = |node: LowerNode| {
            let shard = shards.get(node.0 as usize % SHARDS)?;
            let record = shard.records.get(&node.0)?;
            let found = Found {
                parent: record.parent(),
                name: shard.names.get(record).into(),
                kind: record.kind()?,
            };
            Some((found, record.known(), record.children))
        };
        // Only of directories: what has no children is met once.
        let mut told = HashSet::new();
        let mut chain = Vec::new();
        for number in shards.iter().flat_map(|shard| shard.records.keys()) {
            let mut at = LowerNode(*number);
            while at != LowerNode::ROOT
                && !told.contains(&at)
                && let Some((found, known, children)) = record(at)
            {
                if children > 0 {
                    told.insert(at);
                }
                let node = std::mem::replace(&mut at, found.parent);
                chain.push((node, found, known));
            }
            while let Some((node, found, known)) = chain.pop() {
                take(node, &found, known);
            }
        }
    }

    /// Number of nodes in the table.
    pub(super) fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().records.len())
            .sum()
    }

    fn shard(&self, node: LowerNode) -> MutexGuard<'_, Shard> {
        self.shards[node.0 as usize % SHARDS].lock()
    }

    /// How `node` was found last.
    pub(super) fn get(&self, node: LowerNode) -> Option<Found> {
        let shard = self.shard(node);
        let record = shard.records.get(&node.0)?;
        Some(Found {
            parent: record.parent(),
            name: shard.names.get(record).into(),
            kind: record.kind()?,
        })
    }

    /// Remembers that `node` was found as `name` in `parent`; the latest name wins.
    ///
    /// # Errors
    /// `Stale` if `parent` is neither the root nor in the table; `ENOMEM` when the names of a
    /// shard outgrow 4 GiB.
    pub(super) fn learn(
        &self,
        node: LowerNode,
        parent: LowerNode,
        name: &[u8],
        kind: FileKind,
    ) -> FsResult<()> {
        let known = self.shard(node).relearn(node, parent, name, kind);
        if known != Some(true) {
            if known.is_none() {
                self.learn_anew(node, parent, name, kind)?;
            }
            if let Some(journal) = &self.journal {
                journal.learn(node, parent, name, kind);
                self.tidy(journal);
            }
        }
        Ok(())
    }

    fn tidy(&self, journal: &NameJournal) {
        // The number of nodes is asked for only when it can matter.
        if journal.is_long(0) && journal.is_long(self.len()) {
            journal.renew(self);
        }
    }

    fn learn_anew(
        &self,
        node: LowerNode,
        parent: LowerNode,
        name: &[u8],
        kind: FileKind,
    ) -> FsResult<()> {
        // The parent is held first, so that it cannot go before its child is in.
        self.adopt(parent)?;
        let before = self.shard(node).insert(node, parent, name, kind);
        match before {
            Ok(None) => Ok(()),
            Ok(Some(old_parent)) => {
                self.release(old_parent);
                Ok(())
            }
            Err(error) => {
                self.release(parent);
                Err(error)
            }
        }
    }

    /// The kernel no longer knows `node`: it goes, with the directories above that were only
    /// kept for it, unless something in it is still there.
    pub(super) fn forget(&self, node: LowerNode) {
        let parent = {
            let mut shard = self.shard(node);
            let Some(record) = shard.records.get_mut(&node.0) else {
                return;
            };
            record.packed &= !Record::KNOWN;
            shard.remove_if_unused(node)
        };
        if let Some(parent) = parent {
            self.release(parent);
        }
        if let Some(journal) = &self.journal {
            journal.forget(node);
            self.tidy(journal);
        }
    }

    fn adopt(&self, parent: LowerNode) -> FsResult<()> {
        if parent != LowerNode::ROOT {
            let mut shard = self.shard(parent);
            let record = shard.records.get_mut(&parent.0).ok_or(FsError::Stale)?;
            record.children += 1;
        }
        Ok(())
    }

    /// One child less; upwards as far as that leaves directories without a use.
    fn release(&self, mut parent: LowerNode) {
        while parent != LowerNode::ROOT {
            let mut shard = self.shard(parent);
            let Some(record) = shard.records.get_mut(&parent.0) else {
                return;
            };
            record.children = record.children.saturating_sub(1);
            match shard.remove_if_unused(parent) {
                Some(above) => parent = above,
                None => return,
            }
        }
    }
}

impl Shard {
    /// If the node is already there, found in the same way, the kernel knows it from now on;
    /// returns whether it did before.
    fn relearn(
        &mut self,
        node: LowerNode,
        parent: LowerNode,
        name: &[u8],
        kind: FileKind,
    ) -> Option<bool> {
        let record = self.records.get_mut(&node.0)?;
        let same = record.parent() == parent
            && record.kind() == Some(kind)
            && self.names.get(record) == name;
        let known = record.known();
        if same {
            record.packed |= Record::KNOWN;
        }
        same.then_some(known)
    }

    /// Puts the node in and returns the parent that it replaces, if any.
    fn insert(
        &mut self,
        node: LowerNode,
        parent: LowerNode,
        name: &[u8],
        kind: FileKind,
    ) -> FsResult<Option<LowerNode>> {
        let start = self.names.push(name)?;
        let mut record = Record::new(parent, name.len(), kind, start);
        let old = self.records.get(&node.0).copied();
        record.children = old.map_or(0, |old| old.children);
        self.records.insert(node.0, record);
        if let Some(old) = old {
            self.names.dead += old.length();
            self.tidy();
        }
        Ok(old.map(|old| old.parent()))
    }

    /// Takes the node out if neither the kernel nor a child needs it; returns its parent then.
    fn remove_if_unused(&mut self, node: LowerNode) -> Option<LowerNode> {
        let record = *self.records.get(&node.0)?;
        if record.known() || record.children > 0 {
            return None;
        }
        self.records.remove(&node.0);
        self.names.dead += record.length();
        self.tidy();
        Some(record.parent())
    }

    /// Gives memory back when most of it is unused.
    fn tidy(&mut self) {
        const SMALL: usize = 1024;
        if self.names.dead > SMALL && self.names.dead > self.names.bytes.len() / 2 {
            let live = self.names.bytes.len() - self.names.dead;
            let mut bytes = Vec::with_capacity(live);
            for record in self.records.values_mut() {
                let name = self.names.get(record);
                // Shorter than before, so it still fits.
                record.name = bytes.len() as u32;
                bytes.extend_from_slice(name);
            }
            self.names = Names { bytes, dead: 0 };
        }
        if self.records.capacity() > SMALL && self.records.len() < self.records.capacity() / 4 {
            self.records.shrink_to(self.records.len() * 2);
        }
    }
}

impl Names {
    fn get(&self, record: &Record) -> &[u8] {
        let start = record.name as usize;
        &self.bytes[start..start + record.length()]
    }

    fn push(&mut self, name: &[u8]) -> FsResult<u32> {
        let start = u32::try_from(self.bytes.len()).map_err(|_| FsError::Layer(Errno::NOMEM))?;
        if self.bytes.capacity() - self.bytes.len() < name.len() {
            // By a quarter, not by doubling: names are the larger half of the memory.
            self.bytes.reserve_exact(name.len() + self.bytes.len() / 4);
        }
        self.bytes.extend_from_slice(name);
        Ok(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIR: FileKind = FileKind::Directory;
    const FILE: FileKind = FileKind::Regular;

    fn node(number: u64) -> LowerNode {
        LowerNode(number)
    }

    #[test]
    fn the_latest_name_wins_and_old_parents_are_released() {
        let table = NodeTable::new();
        table.learn(node(2), LowerNode::ROOT, b"a", DIR).unwrap();
        table.learn(node(3), LowerNode::ROOT, b"b", DIR).unwrap();
        table.learn(node(4), node(2), b"file", FILE).unwrap();
        table.forget(node(2));
        assert_eq!(table.len(), 3, "a child keeps its directory");
        table.learn(node(4), node(3), b"renamed", FILE).unwrap();
        let found = table.get(node(4)).unwrap();
        assert_eq!(
            (found.parent, &*found.name, found.kind),
            (node(3), &b"renamed"[..], FILE)
        );
        assert_eq!(table.get(node(2)), None, "nothing needs it any more");
        table.forget(node(3));
        assert_eq!(table.len(), 2);
        table.forget(node(4));
        table.forget(node(4));
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn a_forgotten_chain_goes_with_its_last_node() {
        let table = NodeTable::new();
        for number in 2..100 {
            table
                .learn(node(number), node(number - 1), b"deeper", DIR)
                .unwrap();
        }
        for number in 2..99 {
            table.forget(node(number));
        }
        assert_eq!(table.len(), 98);
        table.forget(node(99));
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn a_directory_known_again_stays() {
        let table = NodeTable::new();
        table.learn(node(2), LowerNode::ROOT, b"a", DIR).unwrap();
        table.learn(node(3), node(2), b"b", FILE).unwrap();
        table.forget(node(2));
        table.learn(node(2), LowerNode::ROOT, b"a", DIR).unwrap();
        table.forget(node(3));
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn a_parent_must_be_known() {
        let table = NodeTable::new();
        assert_eq!(
            table.learn(node(3), node(2), b"x", FILE),
            Err(FsError::Stale)
        );
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn memory_is_given_back() {
        let table = NodeTable::new();
        let count = 200_000_u64;
        let name = |number: u64| format!("file-with-number-{number:06}");
        for number in 2..count {
            let name = name(number);
            table
                .learn(node(number), LowerNode::ROOT, name.as_bytes(), FILE)
                .unwrap();
        }
        let size = |table: &NodeTable| -> (usize, usize) {
            table.shards.iter().fold((0, 0), |(records, names), shard| {
                let shard = shard.lock();
                (
                    records + shard.records.capacity(),
                    names + shard.names.bytes.capacity(),
                )
            })
        };
        let full = size(&table);
        for number in (2..count).filter(|number| number % 50 != 0) {
            table.forget(node(number));
        }
        let small = size(&table);
        assert!(small.0 < full.0 / 4, "{small:?} of {full:?} records");
        assert!(small.1 < full.1 / 4, "{small:?} of {full:?} name bytes");
        for number in (50..count).step_by(50) {
            let found = table.get(node(number)).unwrap();
            assert_eq!(&*found.name, name(number).as_bytes());
        }
    }
}
