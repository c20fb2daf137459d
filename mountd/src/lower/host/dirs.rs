//! Descriptors of directories, from the table of names.
//!
//! A directory is reached from the nearest one above that is still open, one checked component
//! at a time. What is found must have the expected inode number: a host that renamed or replaced
//! something gets [`FsError::Stale`], never another object served under the old number. A bounded
//! number of `O_PATH` descriptors is kept, those used last.

use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;
use rustix::fs::{self, AtFlags, Mode, OFlags, Statx};
use rustix::io::Errno;

use super::number::Numbering;
use super::root::{RESOLVE, Root, STATX};
use super::table::NodeTable;
use crate::error::{FsError, FsResult};
use crate::lower::LowerNode;
use crate::types::FileKind;

/// How many directories are kept open.
const OPEN_DIRECTORIES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// Names more than this many levels below the root are not found again by number: the host has
/// moved directories into each other while the table was filled, or it is absurd.
const DEEPEST: usize = 1 << 16;

/// The open directories.
#[derive(Debug)]
pub(super) struct Directories {
    open: Mutex<LruCache<u64, Arc<OwnedFd>>>,
}

impl Directories {
    pub(super) fn new() -> Self {
        Self {
            open: Mutex::new(LruCache::new(OPEN_DIRECTORIES)),
        }
    }

    /// Closes the directory `node` if it is open.
    pub(super) fn close(&self, node: LowerNode) {
        let closed = self.open.lock().pop(&node.0);
        // Outside of the lock: closing may be slow.
        drop(closed);
    }

    /// A descriptor of the directory `node`, `O_PATH`.
    ///
    /// # Errors
    /// `Stale` if it is not known or no longer where it was, `NotDirectory` if it is none.
    pub(super) fn get(
        &self,
        node: LowerNode,
        root: &Root,
        numbering: &Numbering,
        table: &NodeTable,
    ) -> FsResult<Arc<OwnedFd>> {
        let mut missing = Vec::new();
        let mut at = node;
        let mut fd = loop {
            if at == LowerNode::ROOT {
                break Arc::clone(&root.fd);
            }
            if let Some(fd) = self.open.lock().get(&at.0) {
                break Arc::clone(fd);
            }
            let found = table.get(at).ok_or(FsError::Stale)?;
            if found.kind != FileKind::Directory {
                return Err(FsError::NotDirectory);
            }
            if missing.len() == DEEPEST {
                return Err(FsError::Stale);
            }
            missing.push((at, found.name));
            at = found.parent;
        };
        for (node, name) in missing.into_iter().rev() {
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            let (opened, stat) = open_component(&fd, &name, flags).map_err(moved)?;
            if !root.owns(&stat) || numbering.node(stat.stx_ino)? != node {
                return Err(FsError::Stale);
            }
            fd = Arc::new(opened);
            let evicted = self.open.lock().push(node.0, Arc::clone(&fd));
            drop(evicted);
        }
        Ok(fd)
    }
}

/// How often an opening that a rename disturbed is tried.
const RENAME_ATTEMPTS: u32 = 100;

/// Opens `name` in `directory` without following anything, and its attributes.
pub(super) fn open_component(
    directory: impl AsFd,
    name: &[u8],
    flags: OFlags,
) -> Result<(OwnedFd, Statx), Errno> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut attempts = 1;
    let fd = loop {
        match fs::openat2(&directory, name, flags, Mode::empty(), RESOLVE) {
            // A rename on the host at this very moment looks like a way out of the directory; a
            // mount that really is there looks like one every time.
            Err(Errno::XDEV | Errno::AGAIN) if attempts < RENAME_ATTEMPTS => attempts += 1,
            result => break result?,
        }
    };
    let stat = fs::statx(&fd, "", AtFlags::EMPTY_PATH, STATX)?;
    Ok((fd, stat))
}

/// The error for an object that was found under this name before.
pub(super) fn moved(error: Errno) -> FsError {
    match error {
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV => FsError::Stale,
        error => error.into(),
    }
}
