//! A merged tree that nobody writes any more, as the lower of another one.
//!
//! Its numbers are those of the merged tree: the lower's, and from there on those that its store has
//! handed out, of which there are no more to come. Nothing is written through it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::node::Place;
use super::{DirectoryEntry, DirectorySink, Extent, LookedUp, Overlay};
use crate::error::{FsError, FsResult};
use crate::lower::{LowerEntry, LowerFile, LowerLayer, LowerNode};
use crate::types::{Attr, EntryName, FileKind, Ino};

/// A directory, and a name in it.
type NamePlace = (Ino, Box<[u8]>);

/// A merged tree as a layer. See the module.
#[derive(Debug)]
pub struct OverlaidLower {
    overlay: Arc<Overlay>,
    first_free: u64,
    /// Where inodes with several names were found last, which the store notes of none.
    linked: Mutex<HashMap<Ino, NamePlace>>,
}

/// A file that the store has, at least in part.
#[derive(Debug)]
struct OverlaidFile {
    overlay: Arc<Overlay>,
    ino: Ino,
}

impl OverlaidLower {
    /// The tree of `overlay`, which this alone has from now on.
    pub fn new(overlay: Overlay) -> Self {
        let first_free = match &overlay.upper {
            Some(store) => store.first_unused().max(overlay.lower.first_free()),
            None => overlay.lower.first_free(),
        };
        Self {
            overlay: Arc::new(overlay),
            first_free,
            linked: Mutex::default(),
        }
    }

    fn is_of_store(&self, ino: Ino) -> FsResult<bool> {
        Ok(!self.overlay.is_of_lower(ino)?)
    }
}

impl Overlay {
    /// One directory and name by which the inode can be reached; `None` for the root.
    fn location(&self, ino: Ino) -> FsResult<Option<NamePlace>> {
        if ino == Ino::ROOT {
            return Ok(None);
        }
        let _names = self.names.read();
        let node = self.node(ino)?;
        match &node.place {
            Some(Place::Root) => return Ok(None),
            Some(Place::Named { parent, name }) => return Ok(Some((*parent, name.clone()))),
            Some(Place::Linked | Place::Orphan) | None => {}
        }
        if node.removed || !self.is_lower_number(ino) {
            return Err(FsError::Stale);
        }
        let Some((parent, name)) = self.lower.location(LowerNode(ino.0))? else {
            return Err(FsError::Stale);
        };
        let parent = Ino(parent.0);
        let above = self.node(parent)?;
        match self.find(parent, &above, EntryName::new(&name)?)? {
            Some(found) if found.ino == ino => Ok(Some((parent, name))),
            _ => Err(FsError::Stale),
        }
    }
}

/// Passes entries on, without `.` and `..`.
struct Entries<'a>(&'a mut dyn FnMut(LowerEntry<'_>));

impl DirectorySink for Entries<'_> {
    fn push(&mut self, entry: &DirectoryEntry<'_>, _inode: Option<LookedUp<'_>>) -> bool {
        if !matches!(entry.name, b"." | b"..") {
            (self.0)(LowerEntry {
                name: entry.name,
                node: LowerNode(entry.ino.0),
                kind: entry.kind,
            });
        }
        true
    }
}

impl LowerLayer for OverlaidLower {
    fn first_free(&self) -> u64 {
        self.first_free
    }

    fn is_immutable(&self) -> bool {
        self.overlay.is_immutable()
    }

    /// The lookup stays counted in the tree below until it is forgotten here.
    fn lookup(&self, dir: LowerNode, name: EntryName<'_>) -> FsResult<Option<(LowerNode, Attr)>> {
        let Some(found) = self.overlay.lookup(Ino(dir.0), name)? else {
            return Ok(None);
        };
        let (ino, attr) = found.hand_over();
        if attr.nlink > 1 && attr.kind != FileKind::Directory && self.is_of_store(ino)? {
            let place = (Ino(dir.0), name.as_bytes().into());
            self.linked.lock().insert(ino, place);
        }
        Ok(Some((LowerNode(ino.0), attr)))
    }

    fn attr(&self, node: LowerNode) -> FsResult<Attr> {
        self.overlay.attr(Ino(node.0))
    }

    fn entries(&self, dir: LowerNode, sink: &mut dyn FnMut(LowerEntry<'_>)) -> FsResult<()> {
        self.overlay
            .read_directory(Ino(dir.0), 0, false, &mut Entries(sink))
    }

    fn location(&self, node: LowerNode) -> FsResult<Option<(LowerNode, Box<[u8]>)>> {
        let ino = Ino(node.0);
        let found = match self.overlay.location(ino) {
            Err(FsError::Stale) => {
                let known = self.linked.lock().get(&ino).cloned();
                Some(known.ok_or(FsError::Stale)?)
            }
            found => found?,
        };
        Ok(found.map(|(parent, name)| (LowerNode(parent.0), name)))
    }

    fn read_link(&self, node: LowerNode) -> FsResult<Vec<u8>> {
        self.overlay.read_link(Ino(node.0))
    }

    fn xattr(&self, node: LowerNode, name: &[u8]) -> FsResult<Option<Vec<u8>>> {
        let ino = Ino(node.0);
        let _names = self.overlay.names.read();
        let known = self.overlay.node(ino)?;
        self.overlay.xattr_of(ino, &known, name)
    }

    fn xattr_names(&self, node: LowerNode) -> FsResult<Vec<Vec<u8>>> {
        self.overlay.xattr_names(Ino(node.0))
    }

    fn open(&self, node: LowerNode) -> FsResult<Arc<dyn LowerFile>> {
        let ino = Ino(node.0);
        if !self.is_of_store(ino)? {
            return self.overlay.lower.open(node);
        }
        if self.overlay.attr(ino)?.kind != FileKind::Regular {
            return Err(FsError::InvalidArgument);
        }
        Ok(Arc::new(OverlaidFile {
            overlay: Arc::clone(&self.overlay),
            ino,
        }))
    }

    fn forget(&self, node: LowerNode) {
        let ino = Ino(node.0);
        self.linked.lock().remove(&ino);
        self.overlay.forget(ino, u64::MAX);
    }
}

impl LowerFile for OverlaidFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> FsResult<usize> {
        self.overlay.read(self.ino, buffer, offset)
    }

    fn next_data(&self, offset: u64) -> FsResult<Option<(u64, u64)>> {
        let start = match self.overlay.seek(self.ino, offset, Extent::Data) {
            Ok(start) => start,
            Err(FsError::Layer(rustix::io::Errno::NXIO)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let end = self.overlay.seek(self.ino, start, Extent::Hole)?;
        Ok(Some((start, end)))
    }
}
