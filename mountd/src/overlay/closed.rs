//! Directories that show nothing of the lower any more: from then on no name comes or goes by it.
//!
//! What is closed stays so. The root is the last; when it is closed, the lower is not looked at.

use std::collections::HashSet;
use std::os::fd::AsFd;

use super::Overlay;
use super::node::Node;
use crate::error::{FsError, FsResult};
use crate::types::{EntryName, Ino};
use crate::upper::names::{self, ListedKind, UpperName};
use crate::upper::record::Record;

impl Overlay {
    /// Closes a directory to the lower, if the store has an answer for each name that the lower has in
    /// it; whether it is closed now. What is below its directories does not matter. If it is to be
    /// closed `at_once`, names without an answer are of a later moment, and never seen.
    ///
    /// # Errors
    /// Those of the layers.
    pub fn close_directory(&self, ino: Ino, at_once: bool) -> FsResult<bool> {
        let covered = {
            let _names = self.names.read();
            let node = self.node(ino)?;
            match (&node.place, node.lower) {
                (_, None) => return Ok(true),
                (None, Some(_)) => return Ok(false),
                (Some(_), Some(_)) => self.covered_names(ino)?,
            }
        };
        // What is covered stays so as long as the lower has the name; what it got since is looked
        // for under the lock.
        let _names = self.names.write();
        let node = self.node(ino)?;
        let (Some(place), Some(lower)) = (&node.place, node.lower) else {
            return Ok(node.lower.is_none());
        };
        let mut missing = false;
        let listed = self.lower.entries(lower, &mut |entry| {
            missing |= !covered.contains(entry.name);
        });
        match listed {
            // The host has removed it. It may make another one there.
            Err(FsError::Stale) => missing = false,
            listed => listed?,
        }
        if missing && !at_once {
            return Ok(false);
        }
        let mut object = self.object(ino, place)?;
        let record = Record {
            opaque: true,
            ..*object.record()
        };
        object.keep_record(record)?;
        self.nodes.set(
            ino,
            Node {
                lower: None,
                ..(*node).clone()
            },
        );
        self.listings.evict(ino);
        Ok(true)
    }

    /// Names for which the store's part of a directory has an answer. Under the `names` lock.
    fn covered_names(&self, ino: Ino) -> FsResult<HashSet<Box<[u8]>>> {
        let directory = self.directory(ino)?;
        let mut covered = HashSet::new();
        let mut objects: Vec<Box<[u8]>> = Vec::new();
        names::list(directory.as_fd(), &mut |name, kind| match kind {
            ListedKind::Whiteout => drop(covered.insert(name.into())),
            ListedKind::Object => objects.push(name.into()),
        })?;
        for name in objects {
            let checked = EntryName::new(&name)?;
            if let UpperName::Object(_) = names::look_up(directory.as_fd(), checked)? {
                covered.insert(name);
            }
        }
        Ok(covered)
    }

    /// Whether a directory shows nothing of the lower.
    ///
    /// # Errors
    /// `Stale` for a number that is not known.
    pub fn is_closed_directory(&self, ino: Ino) -> FsResult<bool> {
        let _names = self.names.read();
        let node = self.node(ino)?;
        Ok(node.place.is_some() && node.lower.is_none())
    }

    /// Whether nothing of the lower is seen any more, since before the store was opened.
    pub(super) fn is_closed(upper: Option<&crate::upper::UpperStore>) -> bool {
        let root = upper.map(|store| crate::upper::object::read_record(store.tree()));
        matches!(root, Some(Ok(Some(record))) if record.opaque)
    }
}
