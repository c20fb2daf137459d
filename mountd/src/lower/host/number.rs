//! Node numbers of the host's inodes.
//!
//! A node has the number of its inode, so it is the same in every process. Two exceptions:
//! * The root is 1 for everybody above. If another inode really has number 1, it takes the number
//!   that the root left free.
//! * A directory of another file system (a mount, a btrfs subvolume) is shown empty, and its own
//!   inode number means nothing here: it is the number that its parent lists it with, plus 2^47.
//!
//! So inode numbers from 2^47 on cannot be shown. No Linux file system on a disk of less than
//! 32 PiB has them; some that are served by processes do, that of a WPAR among them. Who only looks,
//! and keeps no numbers, is shown them by others.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{FsError, FsResult};
use crate::lower::LowerNode;

/// From here on the numbers are free for the store.
pub(super) const FIRST_FREE: u64 = 1 << 48;

/// From here on the numbers are those of directories of other file systems.
const FOREIGN: u64 = 1 << 47;

/// From here on they are given, in a tree of which no number is kept.
const GIVEN: u64 = 1 << 46;

/// The numbering of one tree.
#[derive(Clone, Debug)]
pub(super) struct Numbering {
    root: u64,
    /// What large numbers have become, if that may be another thing each time.
    given: Option<Arc<Mutex<HashMap<u64, u64>>>>,
}

impl Numbering {
    /// For the tree whose root has this inode number; `None` if that is too large.
    pub(super) fn new(root: u64) -> Option<Self> {
        let given = None;
        (root < FOREIGN).then_some(Self { root, given })
    }

    /// The same for who keeps none of the numbers: those that are too large get others.
    pub(super) fn passing(root: u64) -> Self {
        let given = Some(Arc::default());
        Self { root, given }
    }

    /// Number of the node with this inode number.
    ///
    /// # Errors
    /// `Damaged` for a number that cannot be shown.
    pub(super) fn node(&self, inode: u64) -> FsResult<LowerNode> {
        match inode {
            inode if inode == self.root => Ok(LowerNode::ROOT),
            1 => self.number(self.root).map(LowerNode),
            inode => self.number(inode).map(LowerNode),
        }
    }

    /// Number of the directory of another file system that its parent lists as `listed`.
    ///
    /// # Errors
    /// `Damaged` for a number that cannot be shown.
    pub(super) fn foreign(&self, listed: u64) -> FsResult<LowerNode> {
        Ok(LowerNode(FOREIGN + self.number(listed)?))
    }

    /// Whether the node is a directory of another file system.
    pub(super) fn is_foreign(&self, node: LowerNode) -> bool {
        node.0 >= FOREIGN
    }

    /// A number below `FOREIGN` that only this inode has.
    fn number(&self, inode: u64) -> FsResult<u64> {
        match &self.given {
            _ if inode == 0 => Err(FsError::Damaged),
            Some(given) if inode >= GIVEN => {
                let mut given = given.lock();
                let next = GIVEN + given.len() as u64;
                Ok(*given.entry(inode).or_insert(next))
            }
            None if inode >= FOREIGN => Err(FsError::Damaged),
            _ => Ok(inode),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_inode_numbers_except_for_the_root() {
        let numbering = Numbering::new(128).unwrap();
        assert_eq!(numbering.node(128), Ok(LowerNode(1)));
        assert_eq!(numbering.node(1), Ok(LowerNode(128)));
        assert_eq!(numbering.node(2), Ok(LowerNode(2)));
        let same = Numbering::new(1).unwrap();
        assert_eq!(same.node(1), Ok(LowerNode(1)));
        assert_eq!(same.node(2), Ok(LowerNode(2)));
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let numbering = Numbering::new(2).unwrap();
        for bad in [0, FOREIGN, FIRST_FREE, u64::MAX] {
            assert_eq!(numbering.node(bad), Err(FsError::Damaged));
            assert_eq!(numbering.foreign(bad), Err(FsError::Damaged));
        }
        let highest = numbering.foreign(FOREIGN - 1).unwrap();
        assert_eq!(highest.0, FIRST_FREE - 1);
        assert!(numbering.is_foreign(highest));
        assert!(!numbering.is_foreign(numbering.node(FOREIGN - 1).unwrap()));
        assert!(Numbering::new(FOREIGN).is_none());
    }

    #[test]
    fn large_numbers_are_replaced_for_who_keeps_none() {
        let numbering = Numbering::passing(1);
        let large = [1 << 48, u64::MAX, (1 << 46) + 1];
        let nodes: Vec<_> = large
            .iter()
            .map(|&inode| numbering.node(inode).unwrap())
            .collect();
        let again = large.iter().map(|&inode| numbering.node(inode).unwrap());
        assert!(again.eq(nodes.iter().copied()));
        let mut distinct = nodes.clone();
        distinct.dedup();
        assert_eq!(distinct.len(), 3);
        assert!(nodes.iter().all(|node| !numbering.is_foreign(*node)));
        assert!(numbering.is_foreign(numbering.foreign(1 << 48).unwrap()));
        assert_eq!(numbering.node(7), Ok(LowerNode(7)));
        assert_eq!(numbering.node(0), Err(FsError::Damaged));
    }
}
