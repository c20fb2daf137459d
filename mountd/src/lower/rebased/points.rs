//! Which directories of the list nodes are bound to, and where the other has them.
//!
//! Only what was found is noted, and never dropped: there are as many entries as directories that
//! somebody looked into.

use std::collections::HashMap;

use parking_lot::RwLock;

use crate::lower::LowerNode;

#[derive(Debug)]
pub(super) struct Points {
    /// The directory of the list by node; `None` for one that the list does not concern.
    bound: RwLock<HashMap<LowerNode, Option<usize>>>,
    /// The other's directory by that of the list.
    others: RwLock<Vec<Option<LowerNode>>>,
}

impl Points {
    pub(super) fn new(directories: usize) -> Self {
        let mut others = vec![None; directories];
        if let Some(root) = others.first_mut() {
            *root = Some(LowerNode::ROOT);
        }
        Self {
            bound: RwLock::new(HashMap::from([(LowerNode::ROOT, Some(0))])),
            others: RwLock::new(others),
        }
    }

    /// What is known of a node.
    pub(super) fn known(&self, node: LowerNode) -> Option<Option<usize>> {
        self.bound.read().get(&node).copied()
    }

    pub(super) fn bind(&self, node: LowerNode, directory: Option<usize>) {
        if self.known(node) != Some(directory) {
            self.bound.write().insert(node, directory);
        }
    }

    /// Where the other has a directory, as far as that is known.
    pub(super) fn other(&self, directory: usize) -> Option<LowerNode> {
        self.others.read().get(directory).copied().flatten()
    }

    pub(super) fn set_other(&self, directory: usize, node: Option<LowerNode>) {
        if directory > 0
            && let Some(place) = self.others.write().get_mut(directory)
        {
            *place = node;
        }
    }
}
