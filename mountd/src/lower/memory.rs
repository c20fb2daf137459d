//! A small tree in memory as a layer: for generated files and for tests.
//!
//! Built once by [`Builder`], then never changed, so it is immutable in the sense of
//! [`LowerLayer::is_immutable`]. Node numbers count from 1 in the order in which the objects were
//! added: the same calls give the same numbers in every process. Nothing here does I/O.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use thiserror::Error;

use crate::error::{FsError, FsResult};
use crate::lower::{LowerEntry, LowerFile, LowerLayer, LowerNode};
use crate::types::{Attr, EntryName, FileKind, Timestamp};

/// A tree in memory.
#[derive(Debug)]
pub struct MemoryLower {
    /// The object with the number `n` stands at `n - 1`.
    nodes: Vec<Node>,
}

/// One inode.
#[derive(Debug)]
struct Node {
    attr: Attr,
    /// One of its names; `None` for the root.
    location: Option<(LowerNode, Box<[u8]>)>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    body: Body,
}

/// What an inode holds.
#[derive(Debug)]
enum Body {
    Directory(BTreeMap<Box<[u8]>, LowerNode>),
    Regular(Arc<Contents>),
    Symlink(Vec<u8>),
    /// Devices, pipes, sockets.
    Special,
}

/// Contents of a regular file: ranges of data in a file of `size` bytes, holes between them.
#[derive(Debug)]
struct Contents {
    size: u64,
    /// `(start, bytes)`: in order, none empty, no two overlapping or touching, all below `size`.
    data: Vec<(u64, Vec<u8>)>,
}

/// Why [`Builder::build`] refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("cannot add \"{path}\" to the tree in memory: {why}")]
pub struct BuildError {
    /// The path that was to be added or changed.
    pub path: String,
    /// What was wrong with it.
    pub why: FsError,
}

/// Builds a [`MemoryLower`] call by call.
///
/// Paths are relative to the root, without a leading `/`. Directories above a path that do not
/// exist yet are made (mode 0755, owner 0). The first call that fails is reported by
/// [`Self::build`], the calls after it do nothing.
#[derive(Debug)]
pub struct Builder {
    nodes: Vec<Node>,
    failed: Option<BuildError>,
}

impl MemoryLower {
    /// Starts with an empty root directory (mode 0755, owner 0, all times 0).
    pub fn builder() -> Builder {
        let root = Node::new(None, FileKind::Directory, Body::Directory(BTreeMap::new()));
        Builder {
            nodes: vec![root],
            failed: None,
        }
    }

    fn node(&self, node: LowerNode) -> FsResult<&Node> {
        find(&self.nodes, node)
    }

    fn directory(&self, node: LowerNode) -> FsResult<&BTreeMap<Box<[u8]>, LowerNode>> {
        match &self.node(node)?.body {
            Body::Directory(entries) => Ok(entries),
            _ => Err(FsError::NotDirectory),
        }
    }
}

fn find(nodes: &[Node], node: LowerNode) -> FsResult<&Node> {
    let index = node.0.checked_sub(1).ok_or(FsError::Stale)?;
    nodes.get(index as usize).ok_or(FsError::Stale)
}

fn find_mut(nodes: &mut [Node], node: LowerNode) -> FsResult<&mut Node> {
    let index = node.0.checked_sub(1).ok_or(FsError::Stale)?;
    nodes.get_mut(index as usize).ok_or(FsError::Stale)
}

impl Node {
    fn new(location: Option<(LowerNode, Box<[u8]>)>, kind: FileKind, body: Body) -> Self {
        let (size, blocks) = match &body {
            Body::Regular(contents) => {
                let used = contents.data.iter().map(|(_, bytes)| bytes.len() as u64);
                (contents.size, used.sum::<u64>().div_ceil(512))
            }
            Body::Symlink(target) => (target.len() as u64, 0),
            Body::Directory(_) | Body::Special => (0, 0),
        };
        let permissions = match kind {
            FileKind::Directory => 0o755,
            FileKind::Symlink => 0o777,
            _ => 0o644,
        };
        Self {
            attr: Attr {
                kind,
                permissions,
                uid: 0,
                gid: 0,
                rdev: 0,
                nlink: if kind == FileKind::Directory { 2 } else { 1 },
                size,
                blocks,
                atime: Timestamp::default(),
                mtime: Timestamp::default(),
                ctime: Timestamp::default(),
            },
            location,
            xattrs: BTreeMap::new(),
            body,
        }
    }
}

impl Builder {
    /// Adds an empty directory (mode 0755).
    pub fn directory(self, path: impl AsRef<[u8]>) -> Self {
        let body = Body::Directory(BTreeMap::new());
        self.add(path.as_ref(), FileKind::Directory, body)
    }

    /// Adds a regular file (mode 0644) with these contents.
    pub fn file(self, path: impl AsRef<[u8]>, contents: impl AsRef<[u8]>) -> Self {
        let bytes = contents.as_ref();
        self.sparse_file(path, bytes.len() as u64, &[(0, bytes)])
    }

    /// Adds a regular file of `size` bytes that is a hole but for `data`: `(offset, bytes)` in
    /// rising order, without overlap, within `size`.
    pub fn sparse_file(self, path: impl AsRef<[u8]>, size: u64, data: &[(u64, &[u8])]) -> Self {
        let path = path.as_ref();
        match Contents::new(size, data) {
            Ok(contents) => self.add(path, FileKind::Regular, Body::Regular(Arc::new(contents))),
            Err(why) => self.step(path, |_| Err(why)),
        }
    }

    /// Adds a symbolic link.
    pub fn symlink(self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        let body = Body::Symlink(target.as_ref().to_vec());
        self.add(path.as_ref(), FileKind::Symlink, body)
    }

    /// Adds a device (with its number as in [`Attr::rdev`]), a pipe or a socket.
    pub fn special(self, path: impl AsRef<[u8]>, kind: FileKind, rdev: u32) -> Self {
        let path = path.as_ref();
        if matches!(
            kind,
            FileKind::Directory | FileKind::Regular | FileKind::Symlink
        ) {
            return self.step(path, |_| Err(FsError::InvalidArgument));
        }
        self.add(path, kind, Body::Special)
            .attributes(path, |attr| attr.rdev = rdev)
    }

    /// Gives the object at `existing`, which must not be a directory, the further name `path`.
    pub fn hard_link(self, existing: impl AsRef<[u8]>, path: impl AsRef<[u8]>) -> Self {
        self.step(path.as_ref(), |nodes| {
            let target = resolve(nodes, existing.as_ref())?;
            let attr = &mut find_mut(nodes, target)?.attr;
            if attr.kind == FileKind::Directory {
                return Err(FsError::NotPermitted);
            }
            attr.nlink += 1;
            let (parent, name) = make_parent(nodes, path.as_ref())?;
            insert(nodes, parent, name, target)
        })
    }

    /// Sets an extended attribute, by its full name, of the object at `path` (`""` is the root).
    pub fn xattr(
        self,
        path: impl AsRef<[u8]>,
        name: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Self {
        self.step(path.as_ref(), |nodes| {
            let target = resolve(nodes, path.as_ref())?;
            let xattrs = &mut find_mut(nodes, target)?.xattrs;
            xattrs.insert(name.as_ref().to_vec(), value.as_ref().to_vec());
            Ok(())
        })
    }

    /// Changes attributes of the object at `path` (`""` is the root): permissions, owner, times,
    /// `rdev`. Its kind, size and number of names stay what they are, whatever `change` does.
    pub fn attributes(self, path: impl AsRef<[u8]>, change: impl FnOnce(&mut Attr)) -> Self {
        self.step(path.as_ref(), |nodes| {
            let target = resolve(nodes, path.as_ref())?;
            let attr = &mut find_mut(nodes, target)?.attr;
            let before = *attr;
            change(attr);
            attr.permissions &= 0o7777;
            (attr.kind, attr.size, attr.nlink) = (before.kind, before.size, before.nlink);
            Ok(())
        })
    }

    /// The finished tree.
    ///
    /// # Errors
    /// The first thing that went wrong: a path that is no path, a name that is taken
    /// (`Exists`), a component that is no directory, an object that does not exist.
    pub fn build(self) -> Result<MemoryLower, BuildError> {
        match self.failed {
            Some(error) => Err(error),
            None => Ok(MemoryLower { nodes: self.nodes }),
        }
    }

    fn add(self, path: &[u8], kind: FileKind, body: Body) -> Self {
        self.step(path, |nodes| {
            let (parent, name) = make_parent(nodes, path)?;
            add_node(nodes, parent, name, kind, body).map(|_| ())
        })
    }

    fn step(mut self, path: &[u8], work: impl FnOnce(&mut Vec<Node>) -> FsResult<()>) -> Self {
        if self.failed.is_none()
            && let Err(why) = work(&mut self.nodes)
        {
            let path = path.escape_ascii().to_string();
            self.failed = Some(BuildError { path, why });
        }
        self
    }
}

/// The object at `path`; the empty path is the root.
fn resolve(nodes: &[Node], path: &[u8]) -> FsResult<LowerNode> {
    let mut at = LowerNode::ROOT;
    if path.is_empty() {
        return Ok(at);
    }
    for component in path.split(|&byte| byte == b'/') {
        let name = EntryName::new(component)?;
        match &find(nodes, at)?.body {
            Body::Directory(entries) => {
                at = *entries.get(name.as_bytes()).ok_or(FsError::NotFound)?;
            }
            _ => return Err(FsError::NotDirectory),
        }
    }
    Ok(at)
}

/// The directory above `path`, made if it does not exist, and the last name of `path`.
fn make_parent<'a>(nodes: &mut Vec<Node>, path: &'a [u8]) -> FsResult<(LowerNode, EntryName<'a>)> {
    let mut at = LowerNode::ROOT;
    let mut components = path.split(|&byte| byte == b'/').peekable();
    while let Some(component) = components.next() {
        let name = EntryName::new(component)?;
        if components.peek().is_none() {
            return Ok((at, name));
        }
        at = match &find(nodes, at)?.body {
            Body::Directory(entries) => match entries.get(name.as_bytes()) {
                Some(&next) => next,
                None => {
                    let body = Body::Directory(BTreeMap::new());
                    add_node(nodes, at, name, FileKind::Directory, body)?
                }
            },
            _ => return Err(FsError::NotDirectory),
        };
    }
    Err(FsError::InvalidArgument)
}

fn add_node(
    nodes: &mut Vec<Node>,
    parent: LowerNode,
    name: EntryName<'_>,
    kind: FileKind,
    body: Body,
) -> FsResult<LowerNode> {
    let number = LowerNode(nodes.len() as u64 + 1);
    insert(nodes, parent, name, number)?;
    if kind == FileKind::Directory {
        find_mut(nodes, parent)?.attr.nlink += 1;
    }
    nodes.push(Node::new(
        Some((parent, name.as_bytes().into())),
        kind,
        body,
    ));
    Ok(number)
}

fn insert(
    nodes: &mut [Node],
    parent: LowerNode,
    name: EntryName<'_>,
    number: LowerNode,
) -> FsResult<()> {
    let Body::Directory(entries) = &mut find_mut(nodes, parent)?.body else {
        return Err(FsError::NotDirectory);
    };
    match entries.entry(name.as_bytes().into()) {
        Entry::Vacant(free) => free.insert(number),
        Entry::Occupied(_) => return Err(FsError::Exists),
    };
    Ok(())
}

impl Contents {
    fn new(size: u64, data: &[(u64, &[u8])]) -> FsResult<Self> {
        let mut kept: Vec<(u64, Vec<u8>)> = Vec::with_capacity(data.len());
        let mut end = 0;
        for &(start, bytes) in data {
            let next = start
                .checked_add(bytes.len() as u64)
                .filter(|&next| start >= end && next <= size)
                .ok_or(FsError::InvalidArgument)?;
            match kept.last_mut() {
                _ if bytes.is_empty() => {}
                Some((_, before)) if start == end => before.extend_from_slice(bytes),
                _ => kept.push((start, bytes.to_vec())),
            }
            end = next;
        }
        Ok(Self { size, data: kept })
    }
}

impl LowerFile for Contents {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> FsResult<usize> {
        let left = self.size.saturating_sub(offset);
        let length = left.min(buffer.len() as u64) as usize;
        let out = &mut buffer[..length];
        out.fill(0);
        for (start, bytes) in &self.data {
            // Where the range and the window meet, in both of their own coordinates.
            let skip = offset.saturating_sub(*start).min(bytes.len() as u64) as usize;
            let at = start.saturating_sub(offset).min(length as u64) as usize;
            let count = (bytes.len() - skip).min(length - at);
            out[at..at + count].copy_from_slice(&bytes[skip..skip + count]);
        }
        Ok(length)
    }

    fn next_data(&self, offset: u64) -> FsResult<Option<(u64, u64)>> {
        let ranges = self
            .data
            .iter()
            .map(|(start, bytes)| (*start, start + bytes.len() as u64));
        Ok(ranges
            .filter(|&(_, end)| end > offset)
            .map(|(start, end)| (start.max(offset), end))
            .next())
    }
}

impl LowerLayer for MemoryLower {
    fn first_free(&self) -> u64 {
        self.nodes.len() as u64 + 1
    }

    fn is_immutable(&self) -> bool {
        true
    }

    fn lookup(&self, dir: LowerNode, name: EntryName<'_>) -> FsResult<Option<(LowerNode, Attr)>> {
        match self.directory(dir)?.get(name.as_bytes()) {
            Some(&node) => Ok(Some((node, self.node(node)?.attr))),
            None => Ok(None),
        }
    }

    fn attr(&self, node: LowerNode) -> FsResult<Attr> {
        Ok(self.node(node)?.attr)
    }

    fn entries(&self, dir: LowerNode, sink: &mut dyn FnMut(LowerEntry<'_>)) -> FsResult<()> {
        for (name, &node) in self.directory(dir)? {
            let kind = self.node(node)?.attr.kind;
            sink(LowerEntry { name, node, kind });
        }
        Ok(())
    }

    fn location(&self, node: LowerNode) -> FsResult<Option<(LowerNode, Box<[u8]>)>> {
        Ok(self.node(node)?.location.clone())
    }

    fn read_link(&self, node: LowerNode) -> FsResult<Vec<u8>> {
        match &self.node(node)?.body {
            Body::Symlink(target) => Ok(target.clone()),
            _ => Err(FsError::InvalidArgument),
        }
    }

    fn xattr(&self, node: LowerNode, name: &[u8]) -> FsResult<Option<Vec<u8>>> {
        Ok(self.node(node)?.xattrs.get(name).cloned())
    }

    fn xattr_names(&self, node: LowerNode) -> FsResult<Vec<Vec<u8>>> {
        Ok(self.node(node)?.xattrs.keys().cloned().collect())
    }

    fn open(&self, node: LowerNode) -> FsResult<Arc<dyn LowerFile>> {
        match &self.node(node)?.body {
            Body::Regular(contents) => Ok(Arc::clone(contents) as Arc<dyn LowerFile>),
            Body::Directory(_) => Err(FsError::IsDirectory),
            _ => Err(FsError::InvalidArgument),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(bytes: &[u8]) -> EntryName<'_> {
        EntryName::new(bytes).unwrap()
    }

    fn small() -> MemoryLower {
        MemoryLower::builder()
            .directory("etc")
            .file("etc/motd", "hello\n")
            .symlink("etc/link", "../nowhere")
            .special("dev/null", FileKind::CharDevice, 0x103)
            .hard_link("etc/motd", "etc/motd2")
            .xattr("etc/motd", "user.a", "1")
            .attributes("etc/motd", |attr| {
                attr.permissions = 0o10_4755;
                attr.uid = 7;
                attr.size = 99;
            })
            .build()
            .unwrap()
    }

    #[test]
    fn what_was_added_is_found() {
        let lower = small();
        let (etc, etc_attr) = lower
            .lookup(LowerNode::ROOT, name(b"etc"))
            .unwrap()
            .unwrap();
        assert_eq!(etc_attr.nlink, 2);
        let (motd, attr) = lower.lookup(etc, name(b"motd")).unwrap().unwrap();
        assert_eq!(
            (attr.size, attr.nlink, attr.uid, attr.permissions),
            (6, 2, 7, 0o4755)
        );
        let (other, _) = lower.lookup(etc, name(b"motd2")).unwrap().unwrap();
        assert_eq!(other, motd);
        assert_eq!(
            lower.location(motd).unwrap(),
            Some((etc, b"motd".as_slice().into()))
        );
        assert_eq!(lower.location(LowerNode::ROOT).unwrap(), None);
        assert_eq!(lower.xattr_names(motd).unwrap(), [b"user.a"]);
        assert_eq!(lower.xattr(motd, b"user.b").unwrap(), None);
        assert_eq!(lower.attr(LowerNode::ROOT).unwrap().nlink, 4);
        let mut seen = Vec::new();
        lower
            .entries(etc, &mut |entry| {
                seen.push((entry.name.to_vec(), entry.kind))
            })
            .unwrap();
        let expected = [
            (b"link".to_vec(), FileKind::Symlink),
            (b"motd".to_vec(), FileKind::Regular),
            (b"motd2".to_vec(), FileKind::Regular),
        ];
        assert_eq!(seen, expected);
        let (link, _) = lower.lookup(etc, name(b"link")).unwrap().unwrap();
        assert_eq!(lower.read_link(link).unwrap(), b"../nowhere");
        assert_eq!(lower.read_link(etc), Err(FsError::InvalidArgument));
        assert_eq!(lower.open(etc).unwrap_err(), FsError::IsDirectory);
        assert_eq!(
            lower.lookup(motd, name(b"x")).unwrap_err(),
            FsError::NotDirectory
        );
        assert_eq!(
            lower.attr(LowerNode(lower.first_free())),
            Err(FsError::Stale)
        );
        assert_eq!(lower.attr(LowerNode(0)), Err(FsError::Stale));
    }

    #[test]
    fn every_window_of_a_sparse_file_reads_as_the_plain_bytes() {
        let ranges: &[(u64, &[u8])] = &[(2, b"abc"), (5, b"de"), (7, b""), (9, b"f")];
        let lower = MemoryLower::builder()
            .sparse_file("s", 12, ranges)
            .build()
            .unwrap();
        let plain = b"\0\0abcde\0\0f\0\0";
        let (node, attr) = lower.lookup(LowerNode::ROOT, name(b"s")).unwrap().unwrap();
        assert_eq!((attr.size, attr.blocks), (12, 1));
        let file = lower.open(node).unwrap();
        for offset in 0..14_usize {
            for length in 0..14_usize {
                let mut buffer = vec![0xff; length];
                let count = file.read_at(&mut buffer, offset as u64).unwrap();
                let end = (offset + length).min(plain.len());
                assert_eq!(buffer[..count], plain[offset.min(end)..end]);
            }
        }
        assert_eq!(file.next_data(0).unwrap(), Some((2, 7)));
        assert_eq!(file.next_data(6).unwrap(), Some((6, 7)));
        assert_eq!(file.next_data(7).unwrap(), Some((9, 10)));
        assert_eq!(file.next_data(10).unwrap(), None);
    }

    #[test]
    fn the_first_mistake_is_reported() {
        let failed = |builder: Builder| builder.build().unwrap_err().why;
        let start = || MemoryLower::builder().file("a", "");
        assert_eq!(failed(start().file("a", "")), FsError::Exists);
        assert_eq!(failed(start().file("a/b", "")), FsError::NotDirectory);
        assert_eq!(failed(start().file("/b", "")), FsError::InvalidArgument);
        assert_eq!(failed(start().file("", "")), FsError::InvalidArgument);
        assert_eq!(failed(start().hard_link("b", "c")), FsError::NotFound);
        assert_eq!(
            failed(start().directory("d").hard_link("d", "e")),
            FsError::NotPermitted
        );
        assert_eq!(
            failed(start().special("b", FileKind::Regular, 0)),
            FsError::InvalidArgument
        );
        for data in [
            &[(0_u64, &b"abc"[..])][..],
            &[(1, b"a"), (0, b"b")],
            &[(u64::MAX, b"ab")],
        ] {
            assert_eq!(
                failed(start().sparse_file("s", 2, data)),
                FsError::InvalidArgument
            );
        }
        let error = start().xattr("x", "n", "v").file("a", "").build();
        assert_eq!(
            error.unwrap_err().to_string(),
            "cannot add \"x\" to the tree in memory: no such file or directory"
        );
    }
}
