//! The files of a system that does not run, by path: what its package data bases, its users and its
//! services are read through.
//!
//! Paths are the system's own, with or without a leading `/`. Symbolic links are followed inside it
//! and never lead out of it; nothing is ever written.

use std::sync::Arc;

use wpar_mountd::error::{FsError, FsResult};
use wpar_mountd::overlay::{DirectoryEntry, DirectorySink, LookedUp, Overlay};
use wpar_mountd::types::{EntryName, FileKind, Ino};

/// How much is read by one call.
const CHUNK: usize = 1 << 20;

/// A system's files.
pub trait Files {
    /// Contents of the regular file that `path` leads to; `None` if there is none.
    ///
    /// # Errors
    /// `FileTooBig` over `limit` bytes, else those of what the files are in.
    fn read(&self, path: &[u8], limit: u64) -> FsResult<Option<Vec<u8>>>;

    /// Names in the directory that `path` leads to, sorted, and what they are themselves; none if
    /// there is no such directory.
    ///
    /// # Errors
    /// Those of what the files are in.
    fn names(&self, path: &[u8]) -> FsResult<Vec<(Vec<u8>, FileKind)>>;

    /// Target of the symbolic link that `path` is itself; `None` if it is none.
    ///
    /// # Errors
    /// As [`Self::names`].
    fn link(&self, path: &[u8]) -> FsResult<Option<Vec<u8>>>;

    /// What `path` leads to: its path without links and without a leading `/`, and its kind;
    /// `None` if there is nothing.
    ///
    /// # Errors
    /// As [`Self::names`].
    fn real(&self, path: &[u8]) -> FsResult<Option<(Vec<u8>, FileKind)>>;

    /// When what `path` leads to was modified, in seconds since 1970; `None` if there is nothing, or
    /// no time to it.
    ///
    /// # Errors
    /// As [`Self::names`].
    fn modified(&self, path: &[u8]) -> FsResult<Option<i64>> {
        let _ = path;
        Ok(None)
    }
}

/// `path` as directory and last component, neither with slashes at its ends.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let end = path
        .iter()
        .rposition(|&byte| byte != b'/')
        .map_or(0, |at| at + 1);
    let path = path.get(..end).unwrap_or(path);
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(at) => (
            path.get(..at).unwrap_or_default(),
            path.get(at + 1..).unwrap_or_default(),
        ),
        None => (b"", path),
    }
}

/// `name` in the directory `dir`.
pub fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() {
        name.to_vec()
    } else {
        [dir, name].join(&b'/')
    }
}

/// Puts what it is given in a list.
struct Names(Vec<(Vec<u8>, FileKind)>);

impl DirectorySink for Names {
    fn push(&mut self, entry: &DirectoryEntry<'_>, _inode: Option<LookedUp<'_>>) -> bool {
        if entry.name != b"." && entry.name != b".." {
            self.0.push((entry.name.to_vec(), entry.kind));
        }
        true
    }
}

/// Reads a whole regular file.
///
/// # Errors
/// `FileTooBig` over `limit` bytes, else those of the layers.
pub fn read_inode(overlay: &Overlay, inode: &LookedUp<'_>, limit: u64) -> FsResult<Vec<u8>> {
    // What an image says about the size costs nothing until there are data to it.
    if inode.attr().size > limit {
        return Err(FsError::FileTooBig);
    }
    let mut contents = Vec::new();
    loop {
        let at = contents.len();
        let left = inode.attr().size.saturating_sub(at as u64);
        let step = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        if step == 0 {
            return Ok(contents);
        }
        contents.resize(at + step, 0);
        let part = contents.get_mut(at..).unwrap_or_default();
        let read = overlay.read(inode.ino(), part, at as u64)?;
        if read < step {
            contents.truncate(at + read);
            return Ok(contents);
        }
    }
}

impl Files for Overlay {
    fn read(&self, path: &[u8], limit: u64) -> FsResult<Option<Vec<u8>>> {
        match self.resolve(path)? {
            Some(found) if found.inode.attr().kind == FileKind::Regular => {
                read_inode(self, &found.inode, limit).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn names(&self, path: &[u8]) -> FsResult<Vec<(Vec<u8>, FileKind)>> {
        let mut names = Names(Vec::new());
        if let Some(found) = self.resolve(path)?
            && found.inode.attr().kind == FileKind::Directory
        {
            self.read_directory(found.inode.ino(), 0, false, &mut names)?;
        }
        names.0.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(names.0)
    }

    fn link(&self, path: &[u8]) -> FsResult<Option<Vec<u8>>> {
        let (dir, name) = split(path);
        let (Some(dir), Ok(name)) = (self.resolve(dir)?, EntryName::new(name)) else {
            return Ok(None);
        };
        if dir.inode.attr().kind != FileKind::Directory {
            return Ok(None);
        }
        match self.lookup(dir.inode.ino(), name)? {
            Some(inode) if inode.attr().kind == FileKind::Symlink => {
                self.read_link(inode.ino()).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn real(&self, path: &[u8]) -> FsResult<Option<(Vec<u8>, FileKind)>> {
        let found = self.resolve(path)?;
        Ok(found.map(|found| (found.path, found.inode.attr().kind)))
    }

    fn modified(&self, path: &[u8]) -> FsResult<Option<i64>> {
        let found = self.resolve(path)?;
        Ok(found.map(|found| found.inode.attr().mtime.seconds))
    }
}

impl<F: Files + ?Sized> Files for Arc<F> {
    fn read(&self, path: &[u8], limit: u64) -> FsResult<Option<Vec<u8>>> {
        (**self).read(path, limit)
    }

    fn names(&self, path: &[u8]) -> FsResult<Vec<(Vec<u8>, FileKind)>> {
        (**self).names(path)
    }

    fn link(&self, path: &[u8]) -> FsResult<Option<Vec<u8>>> {
        (**self).link(path)
    }

    fn real(&self, path: &[u8]) -> FsResult<Option<(Vec<u8>, FileKind)>> {
        (**self).real(path)
    }

    fn modified(&self, path: &[u8]) -> FsResult<Option<i64>> {
        (**self).modified(path)
    }
}

/// Lets the layers forget what was looked up and dropped since the last time.
pub fn settle(overlay: &Overlay) {
    overlay.forget(Ino::ROOT, 0);
}
