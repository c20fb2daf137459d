//! The layers as one.

use std::sync::Arc;

use super::GraftedLower;
use super::number::{self, join, root_of, split};
use super::points::Name;
use crate::error::{FsError, FsResult};
use crate::lower::{LowerEntry, LowerFile, LowerLayer, LowerNode};
use crate::types::{Attr, EntryName, FileKind};

impl GraftedLower {
    /// A node's layer, the layer's place and the number in it.
    fn layer(&self, node: LowerNode) -> FsResult<(&dyn LowerLayer, usize, LowerNode)> {
        let (place, local) = split(node);
        match self.layers.get(place) {
            Some(Some(layer)) => Ok((&**layer, place, local)),
            _ => Err(FsError::Stale),
        }
    }
}

impl LowerLayer for GraftedLower {
    fn first_free(&self) -> u64 {
        number::first_free(self.layers.len())
    }

    fn is_immutable(&self) -> bool {
        self.layers
            .iter()
            .flatten()
            .all(|layer| layer.is_immutable())
    }

    fn lookup(&self, dir: LowerNode, name: EntryName<'_>) -> FsResult<Option<(LowerNode, Attr)>> {
        let point = self.points.point_of(dir);
        let on_way = point.and_then(|point| self.points.name(point, name.as_bytes()));
        if let Some(Name::Part(part)) = on_way {
            let node = root_of(part);
            return Ok(Some((node, self.attr(node)?)));
        }
        let (layer, place, local) = self.layer(dir)?;
        let Some((found, attr)) = layer.lookup(local, name)? else {
            return Ok(None);
        };
        let node = join(place, found)?;
        if let Some(Name::Way(point)) = on_way
            && attr.kind == FileKind::Directory
        {
            self.points.bind(point, node);
        }
        Ok(Some((node, attr)))
    }

    fn attr(&self, node: LowerNode) -> FsResult<Attr> {
        let (layer, _, local) = self.layer(node)?;
        layer.attr(local)
    }

    fn entries(&self, dir: LowerNode, sink: &mut dyn FnMut(LowerEntry<'_>)) -> FsResult<()> {
        let (layer, place, local) = self.layer(dir)?;
        let point = self.points.point_of(dir);
        let mut failed = None;
        layer.entries(local, &mut |entry| {
            let on_way = point.and_then(|point| self.points.name(point, entry.name));
            if let Some(Name::Part(_)) = on_way {
                return;
            }
            match join(place, entry.node) {
                Ok(node) => {
                    if let Some(Name::Way(point)) = on_way
                        && entry.kind == FileKind::Directory
                    {
                        self.points.bind(point, node);
                    }
                    sink(LowerEntry { node, ..entry });
                }
                Err(error) => failed = Some(error),
            }
        })?;
        for (name, part) in point
            .into_iter()
            .flat_map(|point| self.points.parts_in(point))
        {
            sink(LowerEntry {
                name,
                node: root_of(part),
                kind: FileKind::Directory,
            });
        }
        failed.map_or(Ok(()), Err)
    }

    /// Of a part's root, its mount point.
    fn location(&self, node: LowerNode) -> FsResult<Option<(LowerNode, Box<[u8]>)>> {
        let (layer, place, local) = self.layer(node)?;
        if local == LowerNode::ROOT && place > 0 {
            return self.points.place_of(place).ok_or(FsError::Stale).map(Some);
        }
        match layer.location(local)? {
            Some((directory, name)) => Ok(Some((join(place, directory)?, name))),
            None => Ok(None),
        }
    }

    fn read_link(&self, node: LowerNode) -> FsResult<Vec<u8>> {
        let (layer, _, local) = self.layer(node)?;
        layer.read_link(local)
    }

    fn xattr(&self, node: LowerNode, name: &[u8]) -> FsResult<Option<Vec<u8>>> {
        let (layer, _, local) = self.layer(node)?;
        layer.xattr(local, name)
    }

    fn xattr_names(&self, node: LowerNode) -> FsResult<Vec<Vec<u8>>> {
        let (layer, _, local) = self.layer(node)?;
        layer.xattr_names(local)
    }

    fn open(&self, node: LowerNode) -> FsResult<Arc<dyn LowerFile>> {
        let (layer, _, local) = self.layer(node)?;
        layer.open(local)
    }

    fn is_read_only(&self, node: LowerNode) -> bool {
        let (place, local) = split(node);
        match self.layers.get(place) {
            Some(Some(layer)) => {
                self.read_only.get(place).is_some_and(|sealed| *sealed) || layer.is_read_only(local)
            }
            _ => false,
        }
    }

    /// The directories that lead to a part are never forgotten: it is found by them.
    fn forget(&self, node: LowerNode) {
        if self.points.point_of(node).is_none()
            && let Ok((layer, _, local)) = self.layer(node)
        {
            layer.forget(local);
        }
    }
}
