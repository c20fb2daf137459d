//! Which inode a name of the merged tree stands for.

use std::os::fd::AsFd;

use super::node::{Node, Place};
use super::{LookedUp, Overlay};
use crate::error::{FsError, FsResult};
use crate::lower::{LowerLayer, LowerNode};
use crate::types::{Attr, EntryName, FileKind, Ino};
use crate::upper::LinkedInode;
use crate::upper::blocks::BlockState;
use crate::upper::names::{self, UpperName};
use crate::upper::object::UpperObject;

/// What is further below the root is in itself: a living host may move a directory into one that was in it,
/// and then each was found in the other.
const DEEPEST: usize = 1 << 16;

/// An inode, found under a name.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) ino: Ino,
    pub(super) source: Source,
}

/// Where what was found is.
#[derive(Debug)]
pub(super) enum Source {
    /// In the lower only.
    Lower {
        /// Its attributes there, with the number of names that are left to it.
        attr: Attr,
    },
    /// In the store.
    Upper {
        object: UpperObject,
        place: Place,
        /// The directory of the lower that shows through.
        lower: Option<LowerNode>,
    },
}

impl Found {
    pub(super) fn kind(&self) -> FileKind {
        match &self.source {
            Source::Lower { attr } => attr.kind,
            Source::Upper { object, .. } => object.record().kind,
        }
    }

    pub(super) fn into_node(self) -> Node {
        match self.source {
            Source::Lower { .. } => Node::lower(self.ino),
            Source::Upper { place, lower, .. } => Node {
                lower,
                place: Some(place),
                removed: false,
            },
        }
    }

    pub(super) fn attr(&self) -> FsResult<Attr> {
        match &self.source {
            Source::Lower { attr } => Ok(*attr),
            Source::Upper {
                object,
                place,
                lower,
                ..
            } => upper_attr(object, place, lower.is_some()),
        }
    }
}

/// Attributes of an inode of the store.
pub(super) fn upper_attr(object: &UpperObject, place: &Place, merged: bool) -> FsResult<Attr> {
    let record = object.record();
    let stat = object.stat()?;
    let nlink = match place {
        Place::Orphan => 0,
        Place::Linked => record.nlink,
        // As everywhere on Linux, 1 says "not counted": how many directories a merged one has is
        // known only after reading both.
        _ if record.kind == FileKind::Directory && merged => 1,
        _ if record.kind == FileKind::Directory => u32::try_from(stat.st_nlink).unwrap_or(1),
        _ => 1,
    };
    let mut attr = crate::upper::object::attr_of(record, &stat, nlink);
    if record.partial {
        // Some programs take a file without space for one hole.
        attr.blocks = BlockState::read(object.as_fd(), record.ino)?.space(attr.blocks);
    }
    Ok(attr)
}

/// Walks `path`, components separated by `/`, in the lower alone.
pub(super) fn lower_at(lower: &dyn LowerLayer, path: &[u8]) -> FsResult<Option<(LowerNode, Attr)>> {
    let mut at = (LowerNode::ROOT, lower.attr(LowerNode::ROOT)?);
    for component in path
        .split(|&byte| byte == b'/')
        .filter(|part| !part.is_empty())
    {
        let name = EntryName::new(component).map_err(|_| FsError::Damaged)?;
        if at.1.kind != FileKind::Directory {
            return Ok(None);
        }
        match lower.lookup(at.0, name)? {
            Some(next) => at = next,
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

impl Overlay {
    /// Looks `name` up in the directory `parent` and counts the lookup; `None` if there is no
    /// such name.
    ///
    /// # Errors
    /// `NotDirectory` if `parent` is none, else those of the layers.
    pub fn lookup(&self, parent: Ino, name: EntryName<'_>) -> FsResult<Option<LookedUp<'_>>> {
        let found = self.lookup_known(parent, name);
        if found.as_ref().is_err_and(|error| *error == FsError::Stale)
            && self.number_anew(parent, name)?
        {
            return self.lookup_known(parent, name);
        }
        found
    }

    /// The same; `Stale` also if the number of what is found is that of another inode.
    fn lookup_known(&self, parent: Ino, name: EntryName<'_>) -> FsResult<Option<LookedUp<'_>>> {
        self.names_first.looked_up(parent);
        let _names = self.names.read();
        let node = self.node(parent)?;
        match self.find(parent, &node, name)? {
            Some(found) => self.count_found(found).map(Some),
            None => Ok(None),
        }
    }

    /// The root, as if it had been looked up.
    ///
    /// # Errors
    /// Those of the layers.
    pub fn root(&self) -> FsResult<LookedUp<'_>> {
        let attr = self.attr(Ino::ROOT)?;
        Ok(LookedUp {
            overlay: self,
            ino: Ino::ROOT,
            attr,
            kept: false,
        })
    }

    /// Whether an inode is as the lower has it ([`Self::is_untouched`]); of a directory, the lower's
    /// alone: the store has nothing of it. That means that it shows what the lower has under its names, but for hard links to files that were
    /// changed under another name: see [`Self::has_linked`].
    ///
    /// # Errors
    /// `Stale` for a number that is not known, else those of the layers.
    pub fn is_of_lower(&self, ino: Ino) -> FsResult<bool> {
        let is_copied_directory = {
            let _names = self.names.read();
            let node = self.node(ino)?;
            node.place.is_some() && self.attr_of(ino, &node)?.kind == FileKind::Directory
        };
        Ok(!is_copied_directory && self.is_untouched(ino)?)
    }

    /// Whether the store has, or had, any file with several names.
    ///
    /// # Errors
    /// Those of the host's file system.
    pub fn has_linked(&self) -> FsResult<bool> {
        let Some(store) = &self.upper else {
            return Ok(false);
        };
        let mut found = false;
        names::list(store.links(), &mut |_, _| found = true)?;
        Ok(found)
    }

    /// Counts a lookup of what was found. Under the `names` lock.
    pub(super) fn count_found(&self, found: Found) -> FsResult<LookedUp<'_>> {
        let attr = found.attr()?;
        let ino = found.ino;
        if matches!(found.source, Source::Lower { .. }) {
            self.living.tell(ino, &attr);
        }
        self.meet(ino, &attr);
        self.nodes.count(ino, || found.into_node());
        Ok(LookedUp {
            overlay: self,
            ino,
            attr,
            kept: false,
        })
    }

    /// What `name` in the directory `dir` is, as `node` says where that directory is. Under the
    /// `names` lock.
    ///
    /// # Errors
    /// `Stale` for an inode of a living lower whose number is that of another one, until it was looked
    /// up; else those of the layers.
    pub(super) fn find(
        &self,
        dir: Ino,
        node: &Node,
        name: EntryName<'_>,
    ) -> FsResult<Option<Found>> {
        if node.removed {
            return Ok(None);
        }
        if node.place.is_some() {
            match names::look_up(self.directory(dir)?.as_fd(), name)? {
                UpperName::Object(object) => {
                    return self.found_in_store(dir, node, name, object).map(Some);
                }
                UpperName::Whiteout => return Ok(None),
                UpperName::Absent | UpperName::Remains => {}
            }
        }
        let Some(lower_dir) = node.lower else {
            return Ok(None);
        };
        match self.lower.lookup(lower_dir, name)? {
            Some((lower, _)) if self.taken.is_taken(lower, lower_dir, name.as_bytes()) => {
                Err(FsError::Stale)
            }
            Some((lower, attr)) => self.found_in_lower(lower, attr).map(Some),
            None => Ok(None),
        }
    }

    fn found_in_store(
        &self,
        dir: Ino,
        node: &Node,
        name: EntryName<'_>,
        object: UpperObject,
    ) -> FsResult<Found> {
        let record = object.record();
        let place = if record.linked {
            Place::Linked
        } else {
            Place::Named {
                parent: dir,
                name: name.as_bytes().into(),
            }
        };
        let lower = if record.kind == FileKind::Directory && !record.opaque {
            self.directory_shown(node.lower, name, &object)?
        } else {
            None
        };
        Ok(Found {
            ino: record.ino,
            source: Source::Upper {
                object,
                place,
                lower,
            },
        })
    }

    /// The directory of the lower that shows through one of the store.
    fn directory_shown(
        &self,
        parent: Option<LowerNode>,
        name: EntryName<'_>,
        object: &UpperObject,
    ) -> FsResult<Option<LowerNode>> {
        let found = match object.redirect()? {
            Some(path) => lower_at(&*self.lower, &path)?,
            None => match parent {
                Some(parent) => self.lower.lookup(parent, name)?,
                None => None,
            },
        };
        Ok(found
            .filter(|(_, attr)| attr.kind == FileKind::Directory)
            .map(|(node, _)| node))
    }

    fn found_in_lower(&self, lower: LowerNode, mut attr: Attr) -> FsResult<Found> {
        let ino = Ino(lower.0);
        if attr.nlink > 1
            && attr.kind != FileKind::Directory
            && let Some(store) = &self.upper
        {
            match store.linked(ino)? {
                LinkedInode::Unknown => {}
                LinkedInode::Counted(count) => attr.nlink = count,
                LinkedInode::Copied(object) => {
                    let source = Source::Upper {
                        object,
                        place: Place::Linked,
                        lower: None,
                    };
                    return Ok(Found { ino, source });
                }
            }
        }
        Ok(Found {
            ino,
            source: Source::Lower { attr },
        })
    }

    /// Path of a node in the lower alone, components separated by `/`.
    pub(super) fn lower_path(&self, node: LowerNode) -> FsResult<Vec<u8>> {
        let mut components = Vec::new();
        let mut at = node;
        while let Some((parent, name)) = self.lower.location(at)? {
            if components.len() == DEEPEST {
                return Err(FsError::Stale);
            }
            components.push(name);
            at = parent;
        }
        components.reverse();
        Ok(components.join(&b'/'))
    }

    /// Path of an inode in the lower, if it is the lower's, wherever it is now.
    pub(crate) fn path_in_lower(&self, ino: Ino) -> Option<Vec<u8>> {
        self.is_lower_number(ino)
            .then(|| self.lower_path(LowerNode(ino.0)).ok())
            .flatten()
    }

    /// Whether the lower shows `name` in a directory, so that taking it away needs a whiteout.
    pub(super) fn lower_shows(&self, node: &Node, name: EntryName<'_>) -> FsResult<bool> {
        match node.lower {
            Some(lower) => Ok(self.lower.lookup(lower, name)?.is_some()),
            None => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::*;
    use crate::lower::host::HostLower;

    #[test]
    fn two_directories_that_the_host_moved_into_each_other_have_no_path() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        fs::create_dir_all(root.join("a/b")).unwrap();
        let overlay = Overlay::new(Arc::new(HostLower::open(root).unwrap()), None);
        let find = |dir, name: &[u8]| {
            let found = overlay.lookup(dir, EntryName::new(name).unwrap());
            found.unwrap().unwrap().hand_over().0
        };
        let a = find(Ino::ROOT, b"a");
        let b = find(a, b"b");
        // Somebody stands in it, so that it is open.
        assert!(
            overlay
                .lookup(b, EntryName::new(b"x").unwrap())
                .unwrap()
                .is_none()
        );
        fs::rename(root.join("a/b"), root.join("b")).unwrap();
        fs::rename(root.join("a"), root.join("b/a")).unwrap();
        assert_eq!(find(b, b"a"), a);
        assert_eq!(overlay.path_in_lower(a), None);
        assert_eq!(find(Ino::ROOT, b"b"), b);
        assert_eq!(overlay.path_in_lower(a).as_deref(), Some(&b"b/a"[..]));
    }
}
