//! What outlives a daemon, so that another one can go on where it was killed.
//!
//! Whoever starts the daemon keeps two descriptors: the connection, and one file in memory, the
//! [`Kept`] state. A daemon that finds an agreement in it does not greet the kernel: it takes the
//! mount over. Processes that wait for an answer see a pause.
//!
//! The file has four regions, far apart, which grow on their own:
//!
//! | from | what | |
//! |---|---|---|
//! | 0 | the buffers of requests, in use by daemon and kernel | `crate::wire::slots` |
//! | 2^60 | what was agreed with the kernel | [`Agreement`] |
//! | 2^61 | which inodes the kernel knows, as far as their numbers do not say it, and those that trees below are asked for, tree by tree | [`Journal`]s |
//! | 2^62 | by which names a living host's inodes were found, file system by file system | [`Journal`]s |
//!
//! Everything in it is written by this crate for itself, before it is relied on, so that it is
//! right whatever instruction the daemon dies at. It lives as long as the mount, never longer: the
//! store alone is what a mount starts from.

mod journal;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{MemfdFlags, fstat, ftruncate, memfd_create};
use rustix::io::{pread, pwrite};
use serde::{Deserialize, Serialize};

pub(crate) use journal::Journal;

use crate::sys::shared::{self, SharedPart};

const AGREEMENT: u64 = 1 << 60;
const NODES: u64 = 1 << 61;
const LOWER_NAMES: u64 = 1 << 62;
/// Room for the names of one file system. So there is room for 1024 of them.
const NAMES_OF_PART: u64 = 1 << 52;
const PARTS_MAX: u16 = 1024;
/// Room for the inodes of one merged tree. So there is room for 32 above one another.
const NODES_OF_TREE: u64 = 1 << 56;
const TREES_MAX: u16 = 32;

/// Of the layout of this file and of what is in it: a daemon of another version cannot take over.
const VERSION: u32 = 1;

/// Largest agreement that is read, in bytes: room for some thousand processors.
const LONGEST: usize = 1 << 20;

/// The state of one mount that a dying daemon leaves behind.
#[derive(Clone, Debug)]
pub struct Kept {
    file: Arc<OwnedFd>,
    /// Whether another process may have to map the buffers.
    fixed: bool,
}

/// What was agreed with the kernel when the mount was greeted.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct Agreement {
    version: u32,
    /// Minor version of the protocol that the kernel speaks.
    pub(crate) minor: u32,
    /// What it offered (`FUSE_*` of its first request).
    pub(crate) capabilities: u64,
    /// Who serves which queues, if requests come through rings.
    pub(crate) workers: Vec<Placing>,
}

/// Where a thread of the rings stays, and what it serves.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct Placing {
    /// Its processor.
    pub(crate) processor: u16,
    /// The kernel's queues, one slot of each.
    pub(crate) queues: Vec<u16>,
}

impl Agreement {
    /// This, in the words of this version.
    pub(crate) fn new(minor: u32, capabilities: u64, workers: Vec<Placing>) -> Self {
        Self {
            version: VERSION,
            minor,
            capabilities,
            workers,
        }
    }
}

impl Kept {
    /// Nothing is kept yet.
    ///
    /// # Errors
    /// Those of `memfd_create(2)`.
    pub fn new() -> io::Result<Self> {
        Ok(Self::of(
            memfd_create("wpar-mountd", MemfdFlags::CLOEXEC)?,
            true,
        ))
    }

    /// State that cannot be inherited: of a mount that ends with this process.
    pub(crate) fn of_this_process() -> io::Result<Self> {
        Ok(Self {
            fixed: false,
            ..Self::new()?
        })
    }

    /// The state that `file` was made for by [`Kept::new`].
    pub fn from_descriptor(file: OwnedFd) -> Self {
        Self::of(file, true)
    }

    fn of(file: OwnedFd, fixed: bool) -> Self {
        Self {
            file: Arc::new(file),
            fixed,
        }
    }

    /// What was agreed with the kernel; `None` if nobody greeted it yet.
    ///
    /// # Errors
    /// If the state is damaged, or of another version of this crate.
    pub(crate) fn agreement(&self) -> io::Result<Option<Agreement>> {
        let mut length = [0; 4];
        if pread(&*self.file, &mut length, AGREEMENT)? < length.len() {
            return Ok(None);
        }
        let length = u32::from_ne_bytes(length) as usize;
        if length == 0 {
            return Ok(None);
        }
        let mut text = vec![0; length.min(LONGEST)];
        let read = pread(&*self.file, &mut text, AGREEMENT + 4)?;
        let agreement: Agreement = serde_json::from_slice(text.get(..read).unwrap_or(&[]))?;
        if agreement.version != VERSION {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!(
                    "the mount was begun by a daemon that keeps its state in format {}, this one \
                     knows format {VERSION}",
                    agreement.version
                ),
            ));
        }
        Ok(Some(agreement))
    }

    /// Notes what was agreed with the kernel.
    pub(crate) fn agree(&self, agreement: &Agreement) -> io::Result<()> {
        let text = serde_json::to_vec(agreement)?;
        let length = u32::try_from(text.len()).map_err(io::Error::other)?;
        write_all(self.file.as_fd(), &text, AGREEMENT + 4)?;
        // The length last: without it there is no agreement.
        write_all(self.file.as_fd(), &length.to_ne_bytes(), AGREEMENT)
    }

    /// Maps the buffers; see [`shared::map`].
    pub(crate) fn buffers(&self, lengths: &[usize]) -> io::Result<Vec<SharedPart>> {
        let length = lengths.iter().sum::<usize>() as u64;
        if fstat(&*self.file)?.st_size.cast_unsigned() < length {
            ftruncate(&*self.file, length)?;
        }
        shared::map(self.file.as_fd(), lengths, self.fixed)
    }

    /// The journal of inodes that the kernel knows; `tree` is 0 for the tree that it sees, and counts
    /// those below that.
    pub(crate) fn nodes(&self, tree: u16) -> io::Result<Journal> {
        if tree >= TREES_MAX {
            return Err(too_many("merged trees"));
        }
        Journal::open(
            Arc::clone(&self.file),
            NODES + u64::from(tree) * NODES_OF_TREE,
        )
    }

    /// The journal of names that a living host's inodes were found by, of the file system with this
    /// place in the tree.
    pub(crate) fn lower_names(&self, part: u16) -> io::Result<Journal> {
        if part >= PARTS_MAX {
            return Err(too_many("file systems"));
        }
        Journal::open(
            Arc::clone(&self.file),
            LOWER_NAMES + u64::from(part) * NAMES_OF_PART,
        )
    }
}

impl AsFd for Kept {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn too_many(what: &str) -> io::Error {
    io::Error::other(format!(
        "there are more {what} in this mount than can be kept"
    ))
}

/// Writes all of `bytes` at `offset`; a file in memory takes them at once or has no room.
fn write_all(file: BorrowedFd<'_>, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = pwrite(file, bytes, offset)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = bytes.get(written..).unwrap_or(&[]);
        offset += written as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agreement_is_found_by_whoever_takes_over() {
        let kept = Kept::new().unwrap();
        assert_eq!(kept.agreement().unwrap(), None);
        let placing = Placing {
            processor: 1,
            queues: vec![1, 3],
        };
        let agreement = Agreement::new(45, 0x1234_5678_9abc, vec![placing]);
        kept.agree(&agreement).unwrap();
        let heir = Kept::from_descriptor(kept.as_fd().try_clone_to_owned().unwrap());
        assert_eq!(heir.agreement().unwrap(), Some(agreement));
    }

    #[test]
    fn another_format_is_refused_and_half_an_agreement_is_none() {
        let kept = Kept::new().unwrap();
        write_all(kept.as_fd(), b"{\"version\":1", AGREEMENT + 4).unwrap();
        assert_eq!(kept.agreement().unwrap(), None);
        let agreement = Agreement {
            version: VERSION + 1,
            ..Agreement::new(45, 0, Vec::new())
        };
        kept.agree(&agreement).unwrap();
        let error = kept.agreement().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
    }
}
