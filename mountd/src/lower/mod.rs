//! What lies underneath: a tree that is read and never written.
//!
//! A layer knows its own objects by [`LowerNode`] and nothing else: no path, no kernel number, no
//! FUSE. It answers for names that the core has checked ([`EntryName`]) and never follows a
//! symbolic link: links are data, the kernel inside the WPAR follows them.
//!
//! Invariants that the core relies on:
//! * A node's number is the same in every process that opens the same source, so that inode
//!   numbers, and records in the upper store that carry them, keep their meaning.
//! * Two names with one number are hard links of one inode, and `attr().nlink` says how many
//!   there are (a directory's `nlink` is only informative).
//! * The number 1 is the root's and only the root's; numbers below [`LowerLayer::first_free`]
//!   are the layer's, the others are free for the store.
//! * If [`LowerLayer::is_immutable`], nothing it ever said changes while it is open.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use crate::error::FsResult;
use crate::types::{Attr, EntryName, FileKind};

pub(crate) mod aix;
pub mod filesystem;
pub mod grafted;
pub mod host;
pub mod memory;
pub mod rebased;
pub mod tar;

/// Number of an inode in its layer. See the module's invariants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LowerNode(pub u64);

impl LowerNode {
    /// Root of every layer.
    pub const ROOT: LowerNode = LowerNode(1);
}

/// One entry of a directory, as [`LowerLayer::entries`] reports it.
#[derive(Clone, Copy, Debug)]
pub struct LowerEntry<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// The inode that it names.
    pub node: LowerNode,
    /// The type of that inode.
    pub kind: FileKind,
}

/// A read-only tree.
pub trait LowerLayer: Send + Sync + fmt::Debug {
    /// The smallest number that no node of this layer has, now or later.
    fn first_free(&self) -> u64;

    /// Whether what was read once stays true as long as the layer is open: true of an image,
    /// false of a living host. Decides how long the kernel may remember answers.
    fn is_immutable(&self) -> bool;

    /// The inode named `name` in `dir`, with its attributes; `None` if there is no such name.
    ///
    /// # Errors
    /// `NotDirectory` if `dir` is none, else what the source answers.
    fn lookup(&self, dir: LowerNode, name: EntryName<'_>) -> FsResult<Option<(LowerNode, Attr)>>;

    /// Attributes of a node that [`Self::lookup`] or [`Self::entries`] named, or of the root.
    ///
    /// # Errors
    /// `Stale` if a living source no longer has it.
    fn attr(&self, node: LowerNode) -> FsResult<Attr>;

    /// Calls `sink` once for each entry of `dir`, without `.` and `..`, in the layer's own order.
    ///
    /// # Errors
    /// Those of the source; the entries told so far are then to be thrown away.
    fn entries(&self, dir: LowerNode, sink: &mut dyn FnMut(LowerEntry<'_>)) -> FsResult<()>;

    /// One directory and name by which the node can be reached (for a hard link any of its
    /// names); `None` for the root.
    ///
    /// # Errors
    /// `Stale` for a node that the layer does not know.
    fn location(&self, node: LowerNode) -> FsResult<Option<(LowerNode, Box<[u8]>)>>;

    /// Target of a symbolic link.
    ///
    /// # Errors
    /// `InvalidArgument` if the node is none.
    fn read_link(&self, node: LowerNode) -> FsResult<Vec<u8>>;

    /// Value of an extended attribute, `None` if there is none of that name (full name with its
    /// namespace, such as `security.capability`; ACLs are in the kernel's xattr encoding).
    ///
    /// # Errors
    /// Those of the source.
    fn xattr(&self, node: LowerNode, name: &[u8]) -> FsResult<Option<Vec<u8>>>;

    /// Names of the extended attributes.
    ///
    /// # Errors
    /// Those of the source.
    fn xattr_names(&self, node: LowerNode) -> FsResult<Vec<Vec<u8>>>;

    /// Opens the contents of a regular file.
    ///
    /// # Errors
    /// Those of the source.
    fn open(&self, node: LowerNode) -> FsResult<Arc<dyn LowerFile>>;

    /// Whether nothing may be changed at the node, although there is a store: it is in a part of the
    /// tree that several share. A node's answer never changes.
    fn is_read_only(&self, _node: LowerNode) -> bool {
        false
    }

    /// The kernel no longer knows this node: what the layer keeps for it may go. A later call
    /// with the node's number is still answered where the source allows it, else with `Stale`.
    fn forget(&self, _node: LowerNode) {}
}

/// The contents of one regular file.
pub trait LowerFile: Send + Sync + fmt::Debug {
    /// Reads into `buffer` from `offset`; returns how many bytes, fewer than asked only at the
    /// end of the file.
    ///
    /// # Errors
    /// Those of the source; `Damaged` where an image's data cannot be decoded.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> FsResult<usize>;

    /// The next range `(start, end)` of data that ends after `offset`, `start >= offset`; `None`
    /// if only a hole is left. A file without holes answers one range up to its end.
    ///
    /// # Errors
    /// Those of the source.
    fn next_data(&self, offset: u64) -> FsResult<Option<(u64, u64)>>;

    /// The real file with exactly these contents from its first byte on, if there is one.
    fn backing(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
