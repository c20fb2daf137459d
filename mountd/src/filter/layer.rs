//! The rules in front of a layer.

use std::sync::Arc;

use super::{HiddenError, HiddenNames};
use crate::error::FsResult;
use crate::lower::{LowerEntry, LowerFile, LowerLayer, LowerNode};
use crate::spec::HiddenName;
use crate::types::{Attr, EntryName, FileKind};

/// A layer without the names that the rules hide: they are neither found nor listed.
#[derive(Debug)]
pub struct HiddenLower {
    lower: Arc<dyn LowerLayer>,
    hidden: HiddenNames,
}

impl HiddenLower {
    /// Puts `rules` in front of `lower`.
    ///
    /// # Errors
    /// Those of [`HiddenNames::new`].
    pub fn new(lower: Arc<dyn LowerLayer>, rules: &[HiddenName]) -> Result<Self, HiddenError> {
        let hidden = HiddenNames::new(rules, lower.as_ref())?;
        Ok(Self { lower, hidden })
    }

    /// The rules, to ask why something is not shown.
    pub fn hidden(&self) -> &HiddenNames {
        &self.hidden
    }
}

impl LowerLayer for HiddenLower {
    fn first_free(&self) -> u64 {
        self.lower.first_free()
    }

    fn is_immutable(&self) -> bool {
        self.lower.is_immutable()
    }

    fn lookup(&self, dir: LowerNode, name: EntryName<'_>) -> FsResult<Option<(LowerNode, Attr)>> {
        let Some(points) = self.hidden.points_of(dir) else {
            return self.lower.lookup(dir, name);
        };
        if self.hidden.reason(&points, name.as_bytes()).is_some() {
            return Ok(None);
        }
        let found = self.lower.lookup(dir, name)?;
        if let Some((node, attr)) = found
            && attr.kind == FileKind::Directory
        {
            self.hidden.follow(&points, name.as_bytes(), node);
        }
        Ok(found)
    }

    fn attr(&self, node: LowerNode) -> FsResult<Attr> {
        self.lower.attr(node)
    }

    fn entries(&self, dir: LowerNode, sink: &mut dyn FnMut(LowerEntry<'_>)) -> FsResult<()> {
        let Some(points) = self.hidden.points_of(dir) else {
            return self.lower.entries(dir, sink);
        };
        self.lower.entries(dir, &mut |entry| {
            if self.hidden.reason(&points, entry.name).is_some() {
                return;
            }
            if entry.kind == FileKind::Directory {
                self.hidden.follow(&points, entry.name, entry.node);
            }
            sink(entry);
        })
    }

    /// As the layer underneath says it, so for a hard link it may be a name that is hidden.
    fn location(&self, node: LowerNode) -> FsResult<Option<(LowerNode, Box<[u8]>)>> {
        self.lower.location(node)
    }

    fn read_link(&self, node: LowerNode) -> FsResult<Vec<u8>> {
        self.lower.read_link(node)
    }

    fn xattr(&self, node: LowerNode, name: &[u8]) -> FsResult<Option<Vec<u8>>> {
        self.lower.xattr(node, name)
    }

    fn xattr_names(&self, node: LowerNode) -> FsResult<Vec<Vec<u8>>> {
        self.lower.xattr_names(node)
    }

    fn open(&self, node: LowerNode) -> FsResult<Arc<dyn LowerFile>> {
        self.lower.open(node)
    }

    fn is_read_only(&self, node: LowerNode) -> bool {
        self.lower.is_read_only(node)
    }

    fn forget(&self, node: LowerNode) {
        self.lower.forget(node);
    }
}
