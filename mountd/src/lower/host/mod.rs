//! A directory tree of this host as a layer: for `/` of the running machine.
//!
//! The tree is alive: the host goes on changing it. What this module promises nevertheless:
//! * Nothing of it is ever written, not even an access time, and nothing but regular files and
//!   directories is opened.
//! * Nothing leads out of it: each access is one name within a held directory, no symbolic link is
//!   followed, no mount is entered (`root`). Directories of other file systems are shown empty;
//!   anything else that lies on another device answers `EXDEV`.
//! * A node is its inode (`number`). An object that was renamed or replaced answers `Stale` until
//!   it is looked up again, and is never served as another. If the host frees an inode and uses
//!   its number again for the same type of file at the same name, that is a change of the file.
//!
//! Nodes are found again by the names that [`LowerLayer::lookup`] has met (`table`, `dirs`); a
//! node that only [`LowerLayer::entries`] named answers `Stale` until it is looked up, because a
//! listing of a large directory must not cost memory for ever.
//!
//! Locks: a shard of the table or the list of open directories, one at a time, never held during
//! a system call.

pub mod attr;
mod dirs;
mod file;
mod listing;
mod name_journal;
mod number;
mod root;
mod table;
#[cfg(test)]
mod tests;
mod xattr;

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{self, AtFlags, OFlags, Statx};
use rustix::io::Errno;

pub use root::{HostError, mark_at};

use self::attr::{attr_of, unknown_directory};
use self::dirs::{Directories, moved, open_component};
use self::file::HostFile;
use self::name_journal::NameJournal;
use self::number::{FIRST_FREE, Numbering};
use self::root::{Root, STATX};
use self::table::NodeTable;
use crate::error::{FsError, FsResult};
use crate::lower::{LowerEntry, LowerFile, LowerLayer, LowerNode};
use crate::spec::RootMark;
use crate::takeover::Journal;
use crate::types::{Attr, EntryName, FileKind};

/// A directory tree of this host.
#[derive(Debug)]
pub struct HostLower {
    root: Root,
    numbering: Numbering,
    table: NodeTable,
    directories: Directories,
    unchanging: bool,
}

/// What a name in a directory stands for.
enum Object {
    /// An object of the tree.
    Own(Statx),
    /// The root of another file system; its attributes are known if it could be asked without
    /// entering it.
    Foreign(Option<Statx>),
}

impl HostLower {
    /// Opens the directory `path`.
    ///
    /// # Errors
    /// See [`HostError`].
    pub fn open(path: &Path) -> Result<Self, HostError> {
        Self::from_root(Root::open(path)?, path)
    }

    /// The same for who keeps no inode number: also those are shown that are too large to be kept.
    ///
    /// # Errors
    /// See [`HostError`].
    pub fn open_to_look(path: &Path) -> Result<Self, HostError> {
        let root = Root::open(path)?;
        let numbering = Numbering::passing(root.inode);
        Self::numbered(root, numbering, path)
    }

    /// Shows the mount at whose root `mount` is, which is this process' own: attached nowhere,
    /// private and read-only. `path` is what to call it in errors.
    ///
    /// # Errors
    /// See [`HostError`].
    pub(crate) fn of_mount(mount: OwnedFd, path: &Path) -> Result<Self, HostError> {
        Self::from_root(Root::of_mount(mount, path)?, path)
    }

    fn from_root(root: Root, path: &Path) -> Result<Self, HostError> {
        let inode = root.inode;
        let numbering = Numbering::new(inode).ok_or_else(|| HostError::InodeNumber {
            path: path.to_owned(),
            inode,
        })?;
        Self::numbered(root, numbering, path)
    }

    fn numbered(root: Root, numbering: Numbering, path: &Path) -> Result<Self, HostError> {
        if !xattr::proc_is_mounted() {
            return Err(HostError::NoProc {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            root,
            numbering,
            table: NodeTable::new(),
            directories: Directories::new(),
            unchanging: false,
        })
    }

    /// Promises that nobody changes the tree while it is shown (an image unpacked into a
    /// directory), so that answers may be remembered for ever.
    pub fn unchanging(mut self) -> Self {
        self.unchanging = true;
        self
    }

    /// Goes on from the names that a daemon before this one noted in `journal`, and notes them
    /// from now on.
    pub(crate) fn keep(mut self, journal: Journal) -> io::Result<Self> {
        let journal = NameJournal::inherit(journal, &self.table)?;
        self.table.keep(journal);
        Ok(self)
    }

    /// What tells the root from that of any other file system.
    ///
    /// # Errors
    /// Those of `statx(2)`.
    pub fn mark(&self) -> FsResult<RootMark> {
        Ok(root::mark(&self.root.fd)?)
    }

    /// Number of nodes that are remembered at present.
    pub fn known_nodes(&self) -> usize {
        self.table.len()
    }

    fn directory(&self, node: LowerNode) -> FsResult<Arc<OwnedFd>> {
        self.directories
            .get(node, &self.root, &self.numbering, &self.table)
    }

    /// What `name` in `directory` is; `None` if there is no such name.
    fn examine(&self, directory: &OwnedFd, name: &[u8]) -> FsResult<Option<Object>> {
        let stat = if self.root.sealed {
            let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
            fs::statx(directory, name, flags, STATX)
        } else {
            // Asking by name would ask the file system that is mounted there.
            open_component(directory, name, OFlags::PATH).map(|(_, stat)| stat)
        };
        match stat {
            Ok(stat) if self.root.owns(&stat) => Ok(Some(Object::Own(stat))),
            Ok(stat) => Ok(Some(Object::Foreign(Some(stat)))),
            // A name too long for this file system is in no directory of it.
            Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(None),
            Err(Errno::XDEV) => Ok(Some(Object::Foreign(None))),
            Err(error) => Err(error.into()),
        }
    }

    /// Number and attributes of what [`Self::examine`] found as `name` in `directory`.
    fn identify(
        &self,
        directory: &OwnedFd,
        name: &[u8],
        object: &Object,
    ) -> FsResult<(LowerNode, Attr)> {
        let stat = match object {
            Object::Own(stat) => return Ok((self.numbering.node(stat.stx_ino)?, attr_of(stat)?)),
            Object::Foreign(stat) => stat,
        };
        let attr = match stat {
            Some(stat) => attr_of(stat)?,
            None => unknown_directory(),
        };
        let (listed, kind) = listing::find(directory, name)?.ok_or(FsError::Stale)?;
        if attr.kind != FileKind::Directory || kind != Some(FileKind::Directory) {
            return Err(FsError::Layer(Errno::XDEV));
        }
        Ok((self.numbering.foreign(listed)?, attr))
    }

    /// Attributes of the root now.
    fn root_stat(&self) -> FsResult<Statx> {
        Ok(fs::statx(&self.root.fd, "", AtFlags::EMPTY_PATH, STATX)?)
    }

    /// Opens the object `node`, which is not the root, if it is still where it was found.
    fn reach(&self, node: LowerNode, flags: OFlags) -> FsResult<(OwnedFd, Statx)> {
        let found = self.table.get(node).ok_or(FsError::Stale)?;
        let directory = self.directory(found.parent)?;
        let (fd, stat) = match open_component(&directory, &found.name, flags) {
            // Only the owner of a file may ask for no access time.
            Err(Errno::PERM) if flags.contains(OFlags::NOATIME) => {
                open_component(&directory, &found.name, flags.difference(OFlags::NOATIME))
            }
            opened => opened,
        }
        .map_err(moved)?;
        let same = self.root.owns(&stat)
            && self.numbering.node(stat.stx_ino)? == node
            && FileKind::from_mode(stat.stx_mode.into()) == Some(found.kind);
        if same {
            Ok((fd, stat))
        } else {
            Err(FsError::Stale)
        }
    }

    /// A descriptor that holds the object without opening it; the kind that it has.
    fn hold(&self, node: LowerNode) -> FsResult<(Arc<OwnedFd>, FileKind)> {
        if node == LowerNode::ROOT {
            return Ok((Arc::clone(&self.root.fd), FileKind::Directory));
        }
        let (fd, stat) = self.reach(node, OFlags::PATH)?;
        let kind = FileKind::from_mode(stat.stx_mode.into()).ok_or(FsError::Damaged)?;
        Ok((Arc::new(fd), kind))
    }
}

impl LowerLayer for HostLower {
    fn first_free(&self) -> u64 {
        FIRST_FREE
    }

    fn is_immutable(&self) -> bool {
        self.unchanging
    }

    fn lookup(&self, dir: LowerNode, name: EntryName<'_>) -> FsResult<Option<(LowerNode, Attr)>> {
        if self.numbering.is_foreign(dir) {
            return Ok(None);
        }
        let directory = self.directory(dir)?;
        let name = name.as_bytes();
        let Some(object) = self.examine(&directory, name)? else {
            return Ok(None);
        };
        let (node, attr) = self.identify(&directory, name, &object)?;
        self.table.learn(node, dir, name, attr.kind)?;
        Ok(Some((node, attr)))
    }

    fn attr(&self, node: LowerNode) -> FsResult<Attr> {
        if node == LowerNode::ROOT {
            return attr_of(&self.root_stat()?);
        }
        let found = self.table.get(node).ok_or(FsError::Stale)?;
        let directory = self.directory(found.parent)?;
        let object = self
            .examine(&directory, &found.name)?
            .ok_or(FsError::Stale)?;
        match (&object, self.numbering.is_foreign(node)) {
            (Object::Own(stat), false) if self.numbering.node(stat.stx_ino)? == node => {
                let attr = attr_of(stat)?;
                if attr.kind == found.kind {
                    Ok(attr)
                } else {
                    Err(FsError::Stale)
                }
            }
            (Object::Foreign(_), true) => {
                let (now, attr) = self.identify(&directory, &found.name, &object)?;
                if now == node {
                    Ok(attr)
                } else {
                    Err(FsError::Stale)
                }
            }
            _ => Err(FsError::Stale),
        }
    }

    fn entries(&self, dir: LowerNode, sink: &mut dyn FnMut(LowerEntry<'_>)) -> FsResult<()> {
        if self.numbering.is_foreign(dir) {
            return Ok(());
        }
        let directory = self.directory(dir)?;
        listing::each(&directory, |entry| {
            let suspect =
                entry.kind.is_none() || entry.kind == Some(FileKind::Directory) && !self.root.whole;
            let (node, kind) = match entry.kind {
                Some(kind) if !suspect => (self.numbering.node(entry.inode)?, kind),
                _ => {
                    let Some(object) = self.examine(&directory, entry.name)? else {
                        return Ok(());
                    };
                    let (node, attr) = self.identify(&directory, entry.name, &object)?;
                    (node, attr.kind)
                }
            };
            sink(LowerEntry {
                name: entry.name,
                node,
                kind,
            });
            Ok(())
        })
    }

    fn location(&self, node: LowerNode) -> FsResult<Option<(LowerNode, Box<[u8]>)>> {
        if node == LowerNode::ROOT {
            return Ok(None);
        }
        let found = self.table.get(node).ok_or(FsError::Stale)?;
        Ok(Some((found.parent, found.name)))
    }

    fn read_link(&self, node: LowerNode) -> FsResult<Vec<u8>> {
        let (object, kind) = self.hold(node)?;
        if kind != FileKind::Symlink {
            return Err(FsError::InvalidArgument);
        }
        Ok(fs::readlinkat(&*object, "", Vec::new())?.into_bytes())
    }

    fn xattr(&self, node: LowerNode, name: &[u8]) -> FsResult<Option<Vec<u8>>> {
        if self.numbering.is_foreign(node) {
            return Ok(None);
        }
        xattr::get(&self.hold(node)?.0, name)
    }

    fn xattr_names(&self, node: LowerNode) -> FsResult<Vec<Vec<u8>>> {
        if self.numbering.is_foreign(node) {
            return Ok(Vec::new());
        }
        xattr::list(&self.hold(node)?.0)
    }

    fn open(&self, node: LowerNode) -> FsResult<Arc<dyn LowerFile>> {
        if node == LowerNode::ROOT {
            return Err(FsError::IsDirectory);
        }
        // What it was when it was looked up decides whether it is opened at all: a pipe would
        // wake its writers. If it has become one since, NONBLOCK keeps us from waiting for them.
        match self.table.get(node).ok_or(FsError::Stale)?.kind {
            FileKind::Regular => {}
            FileKind::Directory => return Err(FsError::IsDirectory),
            _ => return Err(FsError::InvalidArgument),
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOATIME;
        Ok(Arc::new(HostFile::new(self.reach(node, flags)?.0)))
    }

    fn forget(&self, node: LowerNode) {
        self.directories.close(node);
        self.table.forget(node);
    }
}
