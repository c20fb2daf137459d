//! What the core keeps in memory of inodes.
//!
//! Owns the counts of the kernel's lookups and the places of inodes in the store. An entry goes
//! when the kernel has given back all lookups and no other entry's place stands on it (a place
//! names its parent by number, so a parent stays as long as a child does).
//!
//! Nearly all that the kernel knows of a large tree was never changed. Of these there is nothing
//! but a count, among the [`Counts`], which need two bytes for each. As soon as an inode gets a
//! [`Node`], its count moves to the node's entry.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::counts::Counts;
use super::node_journal::{Inheritance, Move, NodeJournal};
use crate::lower::LowerNode;
use crate::types::Ino;

/// Where an inode of the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The root of the store's `tree`.
    Root,
    /// Under this name in the store's part of that directory.
    Named {
        /// The directory.
        parent: Ino,
        /// The name.
        name: Box<[u8]>,
    },
    /// In `links`, under its number.
    Linked,
    /// In `orphans`, under its number: it has no name any more.
    Orphan,
}

/// What is known of an inode. Never changed, only replaced, under the `names` lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// The lower's inode: of a file its contents unless `place` is there, of a directory the one
    /// that shows through.
    pub(super) lower: Option<LowerNode>,
    /// The store's file or directory.
    pub(super) place: Option<Place>,
    /// An inode of the lower that lost its last name.
    pub(super) removed: bool,
}

impl Node {
    /// An inode of the lower that nothing happened to.
    pub(super) fn lower(ino: Ino) -> Self {
        Self {
            lower: Some(LowerNode(ino.0)),
            place: None,
            removed: false,
        }
    }

    fn parent(&self) -> Option<Ino> {
        match &self.place {
            Some(Place::Named { parent, .. }) => Some(*parent),
            _ => None,
        }
    }

    /// Whether its number says all that there is to say.
    fn is_derivable(&self, ino: Ino) -> bool {
        *self == Self::lower(ino)
    }
}

/// What the table has for a number.
#[derive(Debug)]
pub(super) enum Tracked {
    /// This.
    Node(Arc<Node>),
    /// The kernel knows it; it is the lower's, as [`Node::lower`].
    OnlyCounted,
    /// Nothing.
    Unknown,
}

/// Of an inode with a node, or with children whose place stands on it.
#[derive(Debug, Default)]
struct Entry {
    node: Option<Arc<Node>>,
    /// 0 without a node: then they are among the counts.
    lookups: u64,
    /// Entries whose place stands on this one.
    children: u32,
}

type Entries = HashMap<Ino, Entry>;

/// What is under the table's lock.
#[derive(Debug)]
struct Known {
    entries: Entries,
    /// Lookups of inodes without a node.
    counts: Counts,
}

/// The table.
#[derive(Debug)]
pub(super) struct NodeTable {
    known: Mutex<Known>,
    /// Told of every change of an entry with a node, under the lock.
    journal: Option<NodeJournal>,
}

impl NodeTable {
    /// A table with the root in it for good.
    pub(super) fn new(root: Node) -> Self {
        let entry = Entry {
            node: Some(Arc::new(root)),
            lookups: 1,
            children: 0,
        };
        Self {
            known: Mutex::new(Known {
                entries: HashMap::from([(Ino::ROOT, entry)]),
                counts: Counts::new(),
            }),
            journal: None,
        }
    }

    /// Goes on as `inheritance` says, and notes it in `journal` from now on.
    pub(super) fn inherit(&mut self, inheritance: Inheritance, journal: NodeJournal) {
        let mut known = self.known.lock();
        for (ino, (node, lookups)) in inheritance.nodes {
            if ino != Ino::ROOT {
                known.store(ino, node).lookups = lookups;
            }
        }
        drop(known);
        self.journal = Some(journal);
    }

    /// Notes that a rename is about to move something; `which` of the two of an exchange.
    pub(super) fn announce(&self, planned: &Move, which: bool) {
        if let Some(journal) = &self.journal {
            // Under the lock, like all that is noted.
            let _known = self.known.lock();
            journal.announce(planned, which);
        }
    }

    /// Takes in what was found of an inode that the kernel knows since before this daemon. How
    /// often it was looked up is not known, but it was: what the kernel gives back at the end is
    /// at least that.
    pub(super) fn adopt(&self, ino: Ino, node: &Node) {
        let mut known = self.known.lock();
        if node.is_derivable(ino) && !known.entries.contains_key(&ino) {
            if !known.counts.has(ino) {
                known.counts.add(ino);
            }
            return;
        }
        let entry = known.store(ino, node.clone());
        entry.lookups = entry.lookups.max(1);
        self.note(&known.entries, ino);
    }

    /// Tells the journal what the entry of `ino` is now.
    fn note(&self, entries: &Entries, ino: Ino) {
        let Some(journal) = &self.journal else {
            return;
        };
        if let Some(entry) = entries.get(&ino)
            && let Some(node) = &entry.node
        {
            journal.node(ino, node, entry.lookups);
        }
        Self::tidy(entries, journal);
    }

    /// Tells the journal how often the inode was looked up.
    fn note_lookups(&self, entries: &Entries, ino: Ino) {
        if let Some(journal) = &self.journal
            && let Some(entry) = entries.get(&ino)
            && entry.node.is_some()
        {
            journal.count(ino, entry.lookups);
            Self::tidy(entries, journal);
        }
    }

    fn tidy(entries: &Entries, journal: &NodeJournal) {
        if journal.is_long(entries.len()) {
            let nodes = entries
                .iter()
                .filter_map(|(&ino, entry)| Some((ino, &**entry.node.as_ref()?, entry.lookups)));
            journal.renew(nodes);
        }
    }

    pub(super) fn get(&self, ino: Ino) -> Tracked {
        let known = self.known.lock();
        match known.entries.get(&ino) {
            Some(Entry {
                node: Some(node), ..
            }) => Tracked::Node(Arc::clone(node)),
            Some(_) => Tracked::OnlyCounted,
            None if known.counts.has(ino) => Tracked::OnlyCounted,
            None => Tracked::Unknown,
        }
    }

    /// Counts a lookup of an inode that is found to be `node`. What is already known of it
    /// stays: a second name of an inode must not change the place it is known by.
    pub(super) fn count(&self, ino: Ino, node: impl FnOnce() -> Node) {
        let mut known = self.known.lock();
        let entry = known.entries.get_mut(&ino);
        if let Some(entry) = entry.filter(|entry| entry.node.is_some()) {
            entry.lookups += 1;
            return self.note_lookups(&known.entries, ino);
        }
        let node = node();
        if node.is_derivable(ino) {
            return known.counts.add(ino);
        }
        known.store(ino, node).lookups += 1;
        self.note(&known.entries, ino);
    }

    /// Whether the kernel knows the inode.
    pub(super) fn is_known(&self, ino: Ino) -> bool {
        let known = self.known.lock();
        let entry = known.entries.get(&ino);
        entry.is_some_and(|entry| entry.lookups > 0) || known.counts.has(ino)
    }

    /// Replaces what is known of an inode.
    pub(super) fn set(&self, ino: Ino, node: Node) {
        let mut known = self.known.lock();
        known.store(ino, node);
        self.note(&known.entries, ino);
    }

    /// Takes `count` lookups back. If nothing holds the entry any more it is removed, and so are
    /// those that were only held by it; these are returned.
    pub(super) fn forget(&self, ino: Ino, count: u64) -> Option<Vec<(Ino, Option<Arc<Node>>)>> {
        if ino == Ino::ROOT {
            return None;
        }
        let mut known = self.known.lock();
        let Known { entries, counts } = &mut *known;
        let counted = counts.take_back(ino, count);
        let Some(entry) = entries.get_mut(&ino) else {
            let gone = || (!counts.has(ino)).then_some((ino, None));
            return (counted > 0).then(|| gone().into_iter().collect());
        };
        entry.lookups = entry.lookups.saturating_sub(count - counted);
        self.note_lookups(entries, ino);
        let mut removed = Vec::new();
        let mut at = Some(ino);
        while let Some(ino) = at.take() {
            let unheld = entries
                .get(&ino)
                .is_some_and(|entry| entry.lookups == 0 && entry.children == 0);
            if !unheld || ino == Ino::ROOT {
                break;
            }
            let Some(entry) = entries.remove(&ino) else {
                break;
            };
            if let (Some(journal), Some(_)) = (&self.journal, &entry.node) {
                journal.gone(ino);
            }
            if let Some(parent) = entry.node.as_ref().and_then(|node| node.parent()) {
                release(entries, parent);
                at = Some(parent);
            }
            // The kernel may know one that only children were remembered of.
            if !counts.has(ino) {
                removed.push((ino, entry.node));
            }
        }
        const SMALL: usize = 1024;
        if entries.capacity() > SMALL && entries.len() < entries.capacity() / 4 {
            let kept = entries.len() * 2;
            entries.shrink_to(kept);
        }
        Some(removed)
    }

    /// Number of inodes that something is known of.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let known = self.known.lock();
        known.entries.len() + known.counts.len()
    }
}

impl Known {
    /// Gives an inode a node, and with it its count; returns its entry.
    fn store(&mut self, ino: Ino, node: Node) -> &mut Entry {
        if let Some(parent) = node.parent() {
            self.entries.entry(parent).or_default().children += 1;
        }
        let node = Some(Arc::new(node));
        let old = std::mem::replace(&mut self.entries.entry(ino).or_default().node, node);
        if let Some(parent) = old.and_then(|old| old.parent()) {
            release(&mut self.entries, parent);
        }
        let entry = self.entries.entry(ino).or_default();
        entry.lookups += self.counts.take(ino);
        entry
    }
}

fn release(entries: &mut Entries, parent: Ino) {
    if let Some(entry) = entries.get_mut(&parent) {
        entry.children = entry.children.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(parent: u64) -> Node {
        let place = Place::Named {
            parent: Ino(parent),
            name: b"x".as_slice().into(),
        };
        Node {
            lower: None,
            place: Some(place),
            removed: false,
        }
    }

    fn table() -> NodeTable {
        NodeTable::new(Node::lower(Ino::ROOT))
    }

    #[test]
    fn an_inode_of_the_lower_needs_no_node() {
        let table = table();
        table.count(Ino(5), || Node::lower(Ino(5)));
        assert!(matches!(table.get(Ino(5)), Tracked::OnlyCounted));
        assert!(table.is_known(Ino(5)));
        assert_eq!(table.forget(Ino(5), 1).map(|gone| gone.len()), Some(1));
        assert!(matches!(table.get(Ino(5)), Tracked::Unknown));
    }

    #[test]
    fn a_parent_stays_as_long_as_a_child_stands_on_it() {
        let table = table();
        table.count(Ino(10), || named(1));
        table.count(Ino(11), || named(10));
        assert_eq!(table.forget(Ino(10), 1), Some(vec![]), "held by its child");
        assert!(matches!(table.get(Ino(10)), Tracked::Node(_)));
        let gone = table.forget(Ino(11), 1).unwrap_or_default();
        assert_eq!(
            gone.iter().map(|(ino, _)| ino.0).collect::<Vec<_>>(),
            [11, 10]
        );
        assert_eq!(table.len(), 1, "only the root is left");
    }

    #[test]
    fn a_second_name_does_not_change_the_place() {
        let table = table();
        table.count(Ino(10), || named(1));
        table.count(Ino(10), || named(2));
        let Tracked::Node(node) = table.get(Ino(10)) else {
            panic!("no node")
        };
        assert_eq!(*node, named(1));
        assert_eq!(table.forget(Ino(10), 1), Some(vec![]));
        assert!(table.is_known(Ino(10)));
    }

    #[test]
    fn the_root_is_never_forgotten() {
        let table = table();
        assert_eq!(table.forget(Ino::ROOT, 99), None);
        assert!(matches!(table.get(Ino::ROOT), Tracked::Node(_)));
    }
}
