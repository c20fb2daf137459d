//! Going on where another daemon was killed: what the kernel knows, found again.
//!
//! The journal says where the store has inodes (see `node_journal`). Where the daemon died in the
//! middle of a change, the store may be one step ahead of it:
//! * a rename that was announced is looked at: if the inode is where it was to get, that is so;
//! * an inode that the store has without a name has none, whatever name the journal says.
//!
//! All other inodes that the kernel asks for are the lower's, where that has them; or they were
//! removed, for else they would be there.

use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use super::Overlay;
use super::node::{Node, Place};
use super::node_journal::{Move, NodeJournal};
use crate::error::{FsError, FsResult};
use crate::lower::LowerNode;
use crate::takeover::Kept;
use crate::types::{EntryName, FileKind, Ino};
use crate::upper::names::{self, UpperName};
use crate::upper::{LinkedInode, number_name};

/// What came from a daemon before this one.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    /// Whether there was one.
    pub(super) is_there: bool,
    /// The kernel's numbers of renames that it made and perhaps did not answer.
    pub(super) moved: HashSet<u64>,
}

impl Overlay {
    /// Notes in `kept` from now on what the kernel knows, and goes on from what another daemon
    /// noted there.
    ///
    /// # Errors
    /// If what it noted cannot be read.
    pub fn keep(self, kept: &Kept) -> io::Result<Self> {
        self.keep_as(kept, 0)
    }

    /// The same for one of several trees above one another: 0 is the one that the kernel sees.
    pub(crate) fn keep_as(mut self, kept: &Kept, tree: u16) -> io::Result<Self> {
        let (journal, inheritance) = NodeJournal::inherit(kept.nodes(tree)?)?;
        let moves = inheritance.moves.clone();
        self.inherited.is_there = kept.agreement()?.is_some();
        self.nodes.inherit(inheritance, journal);
        if self.inherited.is_there {
            self.living.follow();
        }
        if self.inherited.is_there && self.upper.is_some() {
            let settled = self
                .settle_orphans()
                .and_then(|()| self.settle_moves(moves.into_values()));
            settled.map_err(|error| io::Error::from(error.errno()))?;
        }
        Ok(self)
    }

    /// Gives the inodes that lost their name the place where they are.
    fn settle_orphans(&self) -> FsResult<()> {
        let mut orphans = Vec::new();
        names::list(self.store()?.orphans(), &mut |name, _| {
            let number = std::str::from_utf8(name).ok();
            orphans.extend(number.and_then(|number| number.parse().ok()).map(Ino));
        })?;
        for ino in orphans {
            if self.nodes.is_known(ino) {
                self.nodes.set(ino, orphan());
            }
        }
        Ok(())
    }

    fn settle_moves(&mut self, moves: impl Iterator<Item = Move>) -> FsResult<()> {
        for planned in moves {
            let name = EntryName::new(&planned.name)?;
            // Nothing is there any more if its directory is not.
            let Ok(directory) = self.directory(planned.parent) else {
                continue;
            };
            match names::look_up(directory.as_fd(), name)? {
                UpperName::Object(object) if object.record().ino == planned.ino => {}
                _ => continue,
            }
            let parent = self.node(planned.parent)?;
            let found = self.find(planned.parent, &parent, name)?;
            if let Some(found) = found.filter(|found| found.ino == planned.ino) {
                self.nodes.adopt(planned.ino, &found.into_node());
            }
            self.inherited.moved.insert(planned.request);
        }
        Ok(())
    }

    /// What is to be known of an inode that the kernel knows from the daemon before this one.
    pub(super) fn recall(&self, ino: Ino) -> FsResult<Arc<Node>> {
        let derived = if self.is_lower_number(ino) {
            self.derive(ino)
        } else {
            Err(FsError::Stale)
        };
        let node = match derived {
            Ok(node) if !node.removed => node,
            Ok(_) | Err(FsError::Stale) => Arc::new(self.recall_removed(ino)?),
            Err(error) => return Err(error),
        };
        self.nodes.adopt(ino, &node);
        Ok(node)
    }

    /// An inode that is not, or no longer, under the name that the lower has for it.
    fn recall_removed(&self, ino: Ino) -> FsResult<Node> {
        if let Some(store) = &self.upper {
            let number = number_name(ino);
            let name = EntryName::new(number.as_bytes())?;
            if matches!(names::look_up(store.orphans(), name)?, UpperName::Object(_)) {
                return Ok(orphan());
            }
        }
        if !self.is_lower_number(ino) {
            return Err(FsError::Stale);
        }
        let attr = self.lower.attr(LowerNode(ino.0))?;
        if attr.kind != FileKind::Directory
            && attr.nlink > 1
            && let Some(store) = &self.upper
        {
            match store.linked(ino)? {
                LinkedInode::Counted(_) => return Ok(Node::lower(ino)),
                LinkedInode::Copied(_) => {
                    return Ok(Node {
                        lower: None,
                        place: Some(Place::Linked),
                        removed: false,
                    });
                }
                LinkedInode::Unknown => {}
            }
        }
        Ok(Node {
            removed: true,
            ..Node::lower(ino)
        })
    }
}

fn orphan() -> Node {
    Node {
        lower: None,
        place: Some(Place::Orphan),
        removed: true,
    }
}
