//! The two trees as one layer.

use std::collections::HashSet;
use std::sync::Arc;

use super::RebasedLower;
use super::list::Listed;
use crate::error::{FsError, FsResult};
use crate::lower::{LowerEntry, LowerFile, LowerLayer, LowerNode};
use crate::types::{Attr, EntryName, FileKind};

/// How deep a directory can be, so that a damaged tree ends the search for its root.
const DEEPEST: usize = 4096;

impl RebasedLower {
    /// The other's own number of a node that is the other's.
    fn of_other(&self, node: LowerNode) -> Option<LowerNode> {
        node.0.checked_sub(self.first_other).map(LowerNode)
    }

    fn in_tree(&self, node: LowerNode) -> LowerNode {
        LowerNode(self.first_other + node.0)
    }

    /// The layer of a node, and its number there.
    fn layer(&self, node: LowerNode) -> (&dyn LowerLayer, LowerNode) {
        match self.of_other(node) {
            Some(local) => (&*self.other, local),
            None => (&*self.base, node),
        }
    }

    /// The directory of the list that a directory is, found by its path if it was not looked up here.
    fn point(&self, dir: LowerNode) -> FsResult<Option<usize>> {
        let mut below: Vec<(LowerNode, Box<[u8]>)> = Vec::new();
        let mut at = dir;
        let mut point = loop {
            if let Some(known) = self.points.known(at) {
                break known;
            }
            if below.len() > DEEPEST {
                return Err(FsError::Damaged);
            }
            let (parent, name) = self.location(at)?.ok_or(FsError::Stale)?;
            below.push((at, name));
            at = parent;
        };
        while let Some((node, name)) = below.pop() {
            point = point.and_then(|point| match self.list.find(point, &name) {
                Some(Listed::Directory(below)) => Some(below),
                _ => None,
            });
            self.points.bind(node, point);
        }
        Ok(point)
    }

    /// What the other has as `name` in the directory `dir`, whose place in the list is `point`.
    fn other_name(
        &self,
        dir: LowerNode,
        point: usize,
        name: EntryName<'_>,
    ) -> FsResult<Option<(LowerNode, Attr)>> {
        let Some(directory) = self.other_directory(dir, point)? else {
            return Ok(None);
        };
        match self.other.lookup(directory, name) {
            // The host has another directory there by now.
            Err(FsError::Stale) => {
                self.points.set_other(point, None);
                match self.other_directory(dir, point)? {
                    Some(directory) => self.other.lookup(directory, name),
                    None => Ok(None),
                }
            }
            Err(FsError::NotDirectory) => Ok(None),
            found => found,
        }
    }

    /// The other's directory of that place in the list.
    fn other_directory(&self, dir: LowerNode, point: usize) -> FsResult<Option<LowerNode>> {
        if let Some(known) = self.points.other(point) {
            return Ok(Some(known));
        }
        let mut names: Vec<Box<[u8]>> = Vec::new();
        let mut at = dir;
        while let Some((parent, name)) = self.location(at)? {
            if names.len() > DEEPEST {
                return Err(FsError::Damaged);
            }
            names.push(name);
            at = parent;
        }
        let mut found = LowerNode::ROOT;
        while let Some(name) = names.pop() {
            match self.other.lookup(found, EntryName::new(&name)?)? {
                Some((node, attr)) if attr.kind == FileKind::Directory => found = node,
                _ => return Ok(None),
            }
        }
        self.points.set_other(point, Some(found));
        Ok(Some(found))
    }

    /// What the base has as `name`; nothing if the directory is not the base's.
    fn base_name(
        &self,
        dir: LowerNode,
        name: EntryName<'_>,
    ) -> FsResult<Option<(LowerNode, Attr)>> {
        match self.of_other(dir) {
            None => self.base.lookup(dir, name),
            Some(_) => Ok(None),
        }
    }

    /// A directory of the list: the base's, or else the other's.
    fn directory(
        &self,
        dir: LowerNode,
        point: usize,
        name: EntryName<'_>,
        below: usize,
    ) -> FsResult<Option<(LowerNode, Attr)>> {
        if let Some((node, attr)) = self.base_name(dir, name)?
            && attr.kind == FileKind::Directory
        {
            self.points.bind(node, Some(below));
            return Ok(Some((node, attr)));
        }
        match self.other_name(dir, point, name)? {
            Some((local, attr)) if attr.kind == FileKind::Directory => {
                let node = self.in_tree(local);
                self.points.bind(node, Some(below));
                self.points.set_other(below, Some(local));
                Ok(Some((node, attr)))
            }
            _ => Ok(None),
        }
    }
}

impl LowerLayer for RebasedLower {
    fn first_free(&self) -> u64 {
        self.first_other + self.other.first_free()
    }

    fn is_immutable(&self) -> bool {
        self.base.is_immutable() && self.other.is_immutable()
    }

    fn lookup(&self, dir: LowerNode, name: EntryName<'_>) -> FsResult<Option<(LowerNode, Attr)>> {
        let point = self.point(dir)?;
        let listed = point.and_then(|at| Some((at, self.list.find(at, name.as_bytes())?)));
        match listed {
            None => {
                let found = self.base_name(dir, name)?;
                if let Some((node, attr)) = found
                    && attr.kind == FileKind::Directory
                {
                    self.points.bind(node, None);
                }
                Ok(found)
            }
            Some((_, Listed::Gone)) => Ok(None),
            Some((point, Listed::Taken)) => {
                let found = self.other_name(dir, point, name)?;
                let found = found.filter(|(_, attr)| attr.kind != FileKind::Directory);
                Ok(found.map(|(local, attr)| (self.in_tree(local), attr)))
            }
            Some((point, Listed::Directory(below))) => self.directory(dir, point, name, below),
        }
    }

    fn attr(&self, node: LowerNode) -> FsResult<Attr> {
        let (layer, local) = self.layer(node);
        layer.attr(local)
    }

    fn entries(&self, dir: LowerNode, sink: &mut dyn FnMut(LowerEntry<'_>)) -> FsResult<()> {
        let Some(point) = self.point(dir)? else {
            return self.base.entries(dir, sink);
        };
        // Directories of the list that the base has.
        let mut merged: HashSet<Box<[u8]>> = HashSet::new();
        if self.of_other(dir).is_none() {
            self.base
                .entries(dir, &mut |entry| match self.list.find(point, entry.name) {
                    None => sink(entry),
                    Some(Listed::Directory(_)) if entry.kind == FileKind::Directory => {
                        merged.insert(entry.name.into());
                        sink(entry);
                    }
                    Some(_) => {}
                })?;
        }
        let Some(directory) = self.other_directory(dir, point)? else {
            return Ok(());
        };
        let listed = self.other.entries(directory, &mut |entry| {
            let is_directory = entry.kind == FileKind::Directory;
            let shown = match self.list.find(point, entry.name) {
                Some(Listed::Taken) => !is_directory,
                Some(Listed::Directory(_)) => is_directory && !merged.contains(entry.name),
                Some(Listed::Gone) | None => false,
            };
            if shown {
                sink(LowerEntry {
                    node: self.in_tree(entry.node),
                    ..entry
                });
            }
        });
        match listed {
            // It is looked for anew when it is next asked for.
            Err(FsError::Stale) => {
                self.points.set_other(point, None);
                Err(FsError::Stale)
            }
            listed => listed,
        }
    }

    /// Of what is the other's, the name by which the other has it, in the merged directory there.
    fn location(&self, node: LowerNode) -> FsResult<Option<(LowerNode, Box<[u8]>)>> {
        let Some(local) = self.of_other(node) else {
            return self.base.location(node);
        };
        let mut names: Vec<Box<[u8]>> = Vec::new();
        let mut at = local;
        while let Some((parent, name)) = self.other.location(at)? {
            if names.len() > DEEPEST {
                return Err(FsError::Damaged);
            }
            names.push(name);
            at = parent;
        }
        let Some(last) = (!names.is_empty()).then(|| names.remove(0)) else {
            return Err(FsError::Stale);
        };
        let mut parent = LowerNode::ROOT;
        while let Some(name) = names.pop() {
            match self.lookup(parent, EntryName::new(&name)?)? {
                Some((found, attr)) if attr.kind == FileKind::Directory => parent = found,
                _ => return Err(FsError::Stale),
            }
        }
        Ok(Some((parent, last)))
    }

    fn read_link(&self, node: LowerNode) -> FsResult<Vec<u8>> {
        let (layer, local) = self.layer(node);
        layer.read_link(local)
    }

    fn xattr(&self, node: LowerNode, name: &[u8]) -> FsResult<Option<Vec<u8>>> {
        let (layer, local) = self.layer(node);
        layer.xattr(local, name)
    }

    fn xattr_names(&self, node: LowerNode) -> FsResult<Vec<Vec<u8>>> {
        let (layer, local) = self.layer(node);
        layer.xattr_names(local)
    }

    fn open(&self, node: LowerNode) -> FsResult<Arc<dyn LowerFile>> {
        let (layer, local) = self.layer(node);
        layer.open(local)
    }

    /// The directories of the list are kept: what is in them is found by them.
    fn forget(&self, node: LowerNode) {
        let is_point = matches!(self.points.known(node), Some(Some(_)));
        if !is_point {
            let (layer, local) = self.layer(node);
            layer.forget(local);
        }
    }
}
