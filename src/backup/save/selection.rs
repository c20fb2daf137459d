//! What is left out of a backup.

use std::collections::HashMap;

use wpar_mountd::spec::{HiddenExtent, HiddenName};

use crate::backup::exclude::Excludes;
use crate::backup::tree::Verdict;

/// What is to be left out.
#[derive(Debug, Default)]
pub struct Selection {
    /// Names that are no part of the system.
    hidden: HashMap<Vec<u8>, HiddenExtent>,
    /// Patterns of the administrator.
    excludes: Excludes,
}

impl Selection {
    /// Leaves these out.
    pub fn new(hidden: &[HiddenName], excludes: Excludes) -> Self {
        let path = |name: &HiddenName| [b"./", name.path.as_bytes()].concat();
        Self {
            hidden: hidden
                .iter()
                .map(|name| (path(name), name.extent))
                .collect(),
            excludes,
        }
    }

    /// Whether a name is wanted.
    pub(super) fn verdict(&mut self, path: &[u8]) -> Verdict {
        match self.hidden.get(path) {
            Some(HiddenExtent::Name) => return Verdict::Leave,
            Some(HiddenExtent::Contents) => return Verdict::Empty,
            None => {}
        }
        if self.excludes.matches(path) {
            Verdict::Leave
        } else {
            Verdict::Take
        }
    }

    /// Leaves one more name out.
    pub(super) fn hide(&mut self, path: Vec<u8>) {
        self.hidden.insert(path, HiddenExtent::Name);
    }

    /// What the administrator should know of the patterns.
    pub(super) fn remarks(&self) -> Vec<String> {
        self.excludes.remarks()
    }
}
