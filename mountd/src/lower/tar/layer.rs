//! An indexed image as a lower layer.

use std::path::Path;
use std::sync::Arc;

use crate::error::{FsError, FsResult};
use crate::lower::{LowerEntry, LowerFile, LowerLayer, LowerNode};
use crate::types::{Attr, EntryName, FileKind};

use super::chunks::DEFAULT_CACHE_BYTES;
use super::contents::Contents;
use super::error::ImageError;
use super::format::{INODE_PACKED, INODE_SPARSE, InodeRecord};
use super::image::Image;
use super::index::TarIndex;

/// An archive, plain or compressed, or several over one another, seen through an index.
///
/// Holds the files of the image open, so that removing or replacing them does not disturb it.
#[derive(Clone, Debug)]
pub struct TarLower {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    index: TarIndex,
    contents: Contents,
}

impl TarLower {
    /// Opens the image at `image` with the index at `index`, which [`super::ensure_index`] made.
    /// Costs a few reads, whatever the size of either.
    ///
    /// # Errors
    /// [`ImageError::Changed`] if a file of the image is not the one that was indexed,
    /// [`ImageError::Index`] if the index or the seekable copy beside it cannot be used.
    pub fn open(image: &Path, index: &Path) -> Result<Self, ImageError> {
        Self::open_with_cache(image, index, DEFAULT_CACHE_BYTES)
    }

    /// Like [`Self::open`]; what is decoded goes into the file `shared` too, from which all other mounts
    /// of the image read it, and is kept in memory for a little while only.
    ///
    /// # Errors
    /// As [`Self::open`]; not if there can be no such file.
    pub fn open_sharing(image: &Path, index: &Path, shared: &Path) -> Result<Self, ImageError> {
        Self::open_as(image, index, DEFAULT_CACHE_BYTES, Some(shared))
    }

    /// Like [`Self::open`], with the number of decoded bytes that are kept in memory at most
    /// (unless a single chunk is larger, up to 16 MiB).
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with_cache(image: &Path, index: &Path, cache: u64) -> Result<Self, ImageError> {
        Self::open_as(image, index, cache, None)
    }

    fn open_as(
        image: &Path,
        index: &Path,
        cache: u64,
        shared: Option<&Path>,
    ) -> Result<Self, ImageError> {
        let image = Image::open(image)?;
        let index = TarIndex::open(index)?;
        let contents = Contents::open(&image, &index, cache, shared)?;
        let inner = Arc::new(Inner { index, contents });
        let reading = Arc::clone(&inner);
        let thread = std::thread::Builder::new().name("wpar-index".into());
        if let Err(error) = thread.spawn(move || reading.index.read_in()) {
            log::debug!("no thread to read the index ahead: {error}");
        }
        Ok(Self { inner })
    }

    /// The index.
    pub fn index(&self) -> &TarIndex {
        &self.inner.index
    }
}

impl Inner {
    /// Fills `buffer` from `offset` of the stream.
    fn read_stream(&self, buffer: &mut [u8], offset: u64) -> FsResult<()> {
        self.contents.read(&self.index, buffer, offset)
    }
}

fn attr_of(record: &InodeRecord) -> FsResult<Attr> {
    Ok(Attr {
        kind: record.kind()?,
        permissions: record.mode & 0o7777,
        uid: record.uid,
        gid: record.gid,
        rdev: record.rdev,
        nlink: record.nlink,
        size: record.size,
        blocks: record.blocks,
        atime: record.atime,
        mtime: record.mtime,
        ctime: record.ctime,
    })
}

impl LowerLayer for TarLower {
    fn first_free(&self) -> u64 {
        self.inner.index.header().first_free
    }

    fn is_immutable(&self) -> bool {
        true
    }

    fn lookup(&self, dir: LowerNode, name: EntryName<'_>) -> FsResult<Option<(LowerNode, Attr)>> {
        let index = &self.inner.index;
        let Some(dentry) = index.find(dir.0, name.as_bytes())? else {
            return Ok(None);
        };
        let node = u64::from(dentry.inode);
        // A dentry that leads nowhere is the index's fault, not the caller's.
        let record = index.inode(node).map_err(|_| FsError::Damaged)?;
        Ok(Some((LowerNode(node), attr_of(&record)?)))
    }

    fn attr(&self, node: LowerNode) -> FsResult<Attr> {
        attr_of(&self.inner.index.inode(node.0)?)
    }

    fn entries(&self, dir: LowerNode, sink: &mut dyn FnMut(LowerEntry<'_>)) -> FsResult<()> {
        let index = &self.inner.index;
        for place in index.directory(dir.0)? {
            let dentry = index.dentry(place)?;
            sink(LowerEntry {
                name: index.name(&dentry)?,
                node: LowerNode(u64::from(dentry.inode)),
                kind: FileKind::from_code(dentry.kind).ok_or(FsError::Damaged)?,
            });
        }
        Ok(())
    }

    fn location(&self, node: LowerNode) -> FsResult<Option<(LowerNode, Box<[u8]>)>> {
        let index = &self.inner.index;
        let record = index.inode(node.0)?;
        if node == LowerNode::ROOT {
            return Ok(None);
        }
        let dentry = index.dentry(u64::from(record.dentry))?;
        Ok(Some((
            LowerNode(u64::from(dentry.parent)),
            index.name(&dentry)?.into(),
        )))
    }

    fn read_link(&self, node: LowerNode) -> FsResult<Vec<u8>> {
        let record = self.inner.index.inode(node.0)?;
        match record.kind()? {
            FileKind::Symlink => Ok(self.inner.index.target(&record)?.to_vec()),
            _ => Err(FsError::InvalidArgument),
        }
    }

    fn xattr(&self, node: LowerNode, name: &[u8]) -> FsResult<Option<Vec<u8>>> {
        let record = self.inner.index.inode(node.0)?;
        let mut found = None;
        self.inner.index.xattrs(&record, |known, value| {
            if known == name {
                found = Some(value.to_vec());
            }
            found.is_none()
        })?;
        Ok(found)
    }

    fn xattr_names(&self, node: LowerNode) -> FsResult<Vec<Vec<u8>>> {
        let record = self.inner.index.inode(node.0)?;
        let mut names = Vec::new();
        self.inner.index.xattrs(&record, |name, _| {
            names.push(name.to_vec());
            true
        })?;
        Ok(names)
    }

    fn open(&self, node: LowerNode) -> FsResult<Arc<dyn LowerFile>> {
        let record = self.inner.index.inode(node.0)?;
        match record.kind()? {
            FileKind::Regular => {}
            FileKind::Directory => return Err(FsError::IsDirectory),
            _ => return Err(FsError::InvalidArgument),
        }
        if record.flags & (INODE_SPARSE | INODE_PACKED) != 0 {
            self.inner.index.check_extents(&record)?;
        }
        Ok(Arc::new(TarFile {
            inner: Arc::clone(&self.inner),
            record,
        }))
    }
}

/// The contents of a member.
#[derive(Debug)]
struct TarFile {
    inner: Arc<Inner>,
    record: InodeRecord,
}

impl TarFile {
    fn is_sparse(&self) -> bool {
        self.record.flags & INODE_SPARSE != 0
    }

    /// Begins to decode what will probably be read next.
    fn decode_ahead(&self) {
        while let Some(due) = self.inner.contents.due() {
            let inner = Arc::clone(&self.inner);
            let thread = std::thread::Builder::new().name("wpar-ahead".into());
            let started = thread.spawn(move || inner.contents.warm(&inner.index, &due));
            if started.is_err() {
                // No more threads: who wants it decodes it.
                self.inner.contents.cool();
                return;
            }
        }
    }

    /// Begins to give to other mounts what was decoded for the answer.
    fn keep_decoded(&self) {
        if self.inner.contents.is_to_keep() {
            let inner = Arc::clone(&self.inner);
            let thread = std::thread::Builder::new().name("wpar-keep".into());
            let started = thread.spawn(move || inner.contents.keep_all(&inner.index));
            if started.is_err() {
                self.inner.contents.keep_all(&self.inner.index);
            }
        }
    }

    /// The first extent of a sparse file that ends after `offset`, as its place in the index.
    fn extent_after(&self, offset: u64) -> FsResult<u64> {
        let mut range = self.record.data..self.record.data + u64::from(self.record.count);
        while !range.is_empty() {
            let middle = range.start + (range.end - range.start) / 2;
            if self.inner.index.extent(middle)?.end() <= offset {
                range.start = middle + 1;
            } else {
                range.end = middle;
            }
        }
        Ok(range.start)
    }

    fn read_sparse(&self, buffer: &mut [u8], offset: u64) -> FsResult<()> {
        buffer.fill(0);
        let end = offset + buffer.len() as u64;
        let mut place = self.extent_after(offset)?;
        let last = self.record.data + u64::from(self.record.count);
        while place < last {
            let extent = self.inner.index.extent(place)?;
            let (from, to) = (extent.file_offset.max(offset), extent.end().min(end));
            if extent.file_offset >= end {
                break;
            }
            let part = (from.checked_sub(offset), to.checked_sub(offset));
            let (Some(start), Some(stop)) = part else {
                return Err(FsError::Damaged);
            };
            let part = buffer
                .get_mut(start as usize..stop as usize)
                .ok_or(FsError::Damaged)?;
            let data = extent.data_offset.checked_add(from - extent.file_offset);
            self.inner
                .read_stream(part, data.ok_or(FsError::Damaged)?)?;
            place += 1;
        }
        Ok(())
    }
}

impl LowerFile for TarFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> FsResult<usize> {
        let left = self.record.size.saturating_sub(offset);
        let count = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let buffer = &mut buffer[..count];
        if count == 0 {
            return Ok(0);
        }
        if self.is_sparse() {
            self.read_sparse(buffer, offset)?;
        } else if self.record.flags & INODE_PACKED != 0 {
            let Inner { index, contents } = &*self.inner;
            contents.read_packed(index, &self.record, buffer, offset)?;
        } else {
            let at = self
                .record
                .data
                .checked_add(offset)
                .ok_or(FsError::Damaged)?;
            self.inner.read_stream(buffer, at)?;
        }
        self.keep_decoded();
        self.decode_ahead();
        Ok(count)
    }

    fn next_data(&self, offset: u64) -> FsResult<Option<(u64, u64)>> {
        if offset >= self.record.size {
            return Ok(None);
        }
        if !self.is_sparse() {
            return Ok(Some((offset, self.record.size)));
        }
        let place = self.extent_after(offset)?;
        if place >= self.record.data + u64::from(self.record.count) {
            return Ok(None);
        }
        let extent = self.inner.index.extent(place)?;
        let end = extent.end().min(self.record.size);
        let start = extent.file_offset.max(offset);
        if start >= end {
            Err(FsError::Damaged)
        } else {
            Ok(Some((start, end)))
        }
    }
}
