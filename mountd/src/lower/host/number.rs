//! Node numbers of the host's inodes.
//!
//! A node has the number of its inode, so it is the same in every process. Two exceptions:
//! * The root is 1 for everybody above. If another inode really has number 1, it takes the number
//!   that the root left free.
//! * A directory of another file system (a mount, a btrfs subvolume) is shown empty, and its own
//!   inode number means nothing here: it is the number that its parent lists it with, plus 2^47.
//!
//! So inode numbers from 2^47 on cannot be shown. No Linux file system on a disk of less than
//! 32 PiB has them.

use crate::error::{FsError, FsResult};
use crate::lower::LowerNode;

/// From here on the numbers are free for the store.
pub(super) const FIRST_FREE: u64 = 1 << 48;

/// From here on the numbers are those of directories of other file systems.
const FOREIGN: u64 = 1 << 47;

/// The numbering of one tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbering {
    root: u64,
}

impl Numbering {
    /// For the tree whose root has this inode number; `None` if that is too large.
    pub(super) fn new(root: u64) -> Option<Self> {
        (root < FOREIGN).then_some(Self { root })
    }

    /// Number of the node with this inode number.
    ///
    /// # Errors
    /// `Damaged` for a number that cannot be shown.
    pub(super) fn node(self, inode: u64) -> FsResult<LowerNode> {
        match inode {
            inode if inode == self.root => Ok(LowerNode::ROOT),
            1 => Ok(LowerNode(self.root)),
            0 | FOREIGN.. => Err(FsError::Damaged),
            inode => Ok(LowerNode(inode)),
        }
    }

    /// Number of the directory of another file system that its parent lists as `listed`.
    ///
    /// # Errors
    /// `Damaged` for a number that cannot be shown.
    pub(super) fn foreign(self, listed: u64) -> FsResult<LowerNode> {
        match listed {
            0 | FOREIGN.. => Err(FsError::Damaged),
            listed => Ok(LowerNode(FOREIGN + listed)),
        }
    }

    /// Whether the node is a directory of another file system.
    pub(super) fn is_foreign(self, node: LowerNode) -> bool {
        node.0 >= FOREIGN
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
}
