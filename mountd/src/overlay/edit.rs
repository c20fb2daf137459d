//! A merged tree read and changed from outside, by path: what the tool looks up in a system, and
//! writes into a WPAR when it makes it (its host name, its machine id), with no mount and no process
//! in it.
//!
//! Paths are the WPAR's. Symbolic links in them are followed as they would be inside, so nothing
//! can lead out; a link at the end is replaced, never written through.

use std::collections::VecDeque;

use super::{LookedUp, NewInode, Overlay, SetAttr};
use crate::error::{FsError, FsResult};
use crate::types::{Caller, EntryName, FileKind, Ino};

/// How many links are followed at the most, as in the kernel.
const LINKS_MAX: usize = 40;

/// Largest file that is read by path.
const READ_MAX: u64 = 16 << 20;

/// An inode on the way, kept known while it is used.
pub(super) enum Step<'a> {
    Root,
    Entry {
        inode: LookedUp<'a>,
        name: Box<[u8]>,
    },
}

impl Step<'_> {
    pub(super) fn ino(&self) -> Ino {
        match self {
            Self::Root => Ino::ROOT,
            Self::Entry { inode, .. } => inode.ino(),
        }
    }
}

/// What a path leads to.
#[derive(Debug)]
pub struct Resolved<'a> {
    /// The inode, known as long as this is.
    pub inode: LookedUp<'a>,
    /// Its path without symbolic links and without a leading `/`; empty for the root.
    pub path: Vec<u8>,
    /// The directories above, known as long as this is.
    _above: Vec<Step<'a>>,
}

impl std::fmt::Debug for Step<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.ino())
    }
}

impl Overlay {
    /// What `path` leads to, with links followed, one at its end too; `None` if there is nothing.
    ///
    /// # Errors
    /// `ELOOP` for more than 40 links, else those of the layers.
    pub fn resolve(&self, path: &[u8]) -> FsResult<Option<Resolved<'_>>> {
        let mut steps = match self.walk_all(path) {
            Ok(steps) => steps,
            // What is no name is nowhere.
            Err(
                FsError::NotFound
                | FsError::NotDirectory
                | FsError::NameTooLong
                | FsError::InvalidArgument,
            ) => return Ok(None),
            Err(error) => return Err(error),
        };
        let names = steps.iter().filter_map(|step| match step {
            Step::Root => None,
            Step::Entry { name, .. } => Some(&**name),
        });
        let path = names.collect::<Vec<_>>().join(&b'/');
        let inode = match steps.pop() {
            Some(Step::Entry { inode, .. }) => inode,
            Some(Step::Root) | None => self.root()?,
        };
        Ok(Some(Resolved {
            inode,
            path,
            _above: steps,
        }))
    }

    /// Reads the regular file at `path`, following links; `None` if there is none.
    ///
    /// # Errors
    /// `FileTooBig` over 16 MiB, else those of the layers.
    pub fn read_path(&self, path: &[u8]) -> FsResult<Option<Vec<u8>>> {
        let inode = match self.walk(path) {
            Ok(Step::Entry { inode, .. }) if inode.attr().kind == FileKind::Regular => inode,
            Ok(_) | Err(FsError::NotFound | FsError::NotDirectory) => return Ok(None),
            Err(error) => return Err(error),
        };
        let size = inode.attr().size;
        if size > READ_MAX {
            return Err(FsError::FileTooBig);
        }
        let mut contents = vec![0; usize::try_from(size).map_err(|_| FsError::FileTooBig)?];
        let read = self.read(inode.ino(), &mut contents, 0)?;
        contents.truncate(read);
        Ok(Some(contents))
    }

    /// Makes the file at `path` have `contents`, step by step (see [`Self::replace_path`]): a regular file keeps its owner and permissions,
    /// anything else but a directory is replaced by one of root's with `permissions`.
    ///
    /// # Errors
    /// `NotFound` if its directory does not exist, `IsDirectory`, or those of the store.
    pub fn write_path(&self, path: &[u8], contents: &[u8], permissions: u16) -> FsResult<()> {
        let (parent, name) = self.parent_of(path)?;
        let existing = self.lookup(parent.ino(), name)?;
        let inode = match existing {
            Some(inode) if inode.attr().kind == FileKind::Regular => {
                let cut = SetAttr {
                    size: Some(0),
                    ..SetAttr::default()
                };
                self.set_attr(inode.ino(), &cut)?;
                inode
            }
            other => {
                if let Some(inode) = other {
                    drop(inode);
                    self.unlink(parent.ino(), name)?;
                }
                self.create(parent.ino(), name, &new_file(permissions))?
            }
        };
        self.write(inode.ino(), contents, 0, false)?;
        Ok(())
    }

    /// Puts a symbolic link of root's with this target at `path`, in place of anything but a
    /// directory.
    ///
    /// # Errors
    /// As [`Self::write_path`].
    pub fn link_path(&self, path: &[u8], target: &[u8]) -> FsResult<()> {
        let (parent, name) = self.parent_of(path)?;
        if self.lookup(parent.ino(), name)?.is_some() {
            self.unlink(parent.ino(), name)?;
        }
        self.create(parent.ino(), name, &new_link(target))?;
        Ok(())
    }

    /// Makes the directories of `path` that are missing: root's, with mode 0755. Links on the way
    /// are followed.
    ///
    /// # Errors
    /// `NotDirectory` if something else is in the way, or those of the store.
    pub fn make_directories(&self, path: &[u8]) -> FsResult<()> {
        // Mostly nothing is missing.
        if let Some(found) = self.resolve(path)? {
            return match found.inode.attr().kind {
                FileKind::Directory => Ok(()),
                _ => Err(FsError::NotDirectory),
            };
        }
        let mut at = Vec::new();
        for component in components(path) {
            at.push(component);
            let so_far = at.join(&b'/');
            match self.resolve(&so_far)? {
                Some(found) if found.inode.attr().kind == FileKind::Directory => {}
                Some(_) => return Err(FsError::NotDirectory),
                None => {
                    let (parent, name) = self.parent_of(&so_far)?;
                    self.create(parent.ino(), name, &new_directory())?;
                }
            }
        }
        Ok(())
    }

    /// Takes the name `path` away if it is anything but a directory; false if there is none.
    ///
    /// # Errors
    /// `IsDirectory`, or those of the store.
    pub fn remove_path(&self, path: &[u8]) -> FsResult<bool> {
        let found = self
            .parent_of(path)
            .and_then(|(parent, name)| self.unlink(parent.ino(), name));
        match found {
            Ok(()) => Ok(true),
            Err(FsError::NotFound | FsError::NotDirectory) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn parent_of<'p>(&self, path: &'p [u8]) -> FsResult<(Step<'_>, EntryName<'p>)> {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let (above, name) = match path.iter().rposition(|&byte| byte == b'/') {
            Some(at) => path.split_at(at + 1),
            None => path.split_at(0),
        };
        let parent = self.walk(above)?;
        Ok((parent, EntryName::new(name)?))
    }

    /// Follows `path` from the root, a link at its end too, as the kernel would inside.
    fn walk(&self, path: &[u8]) -> FsResult<Step<'_>> {
        Ok(self.walk_all(path)?.pop().unwrap_or(Step::Root))
    }

    /// The same, with all inodes from the root on.
    fn walk_all(&self, path: &[u8]) -> FsResult<Vec<Step<'_>>> {
        let mut pending: VecDeque<Vec<u8>> = components(path).collect();
        let mut at = vec![Step::Root];
        let mut links = 0;
        while let Some(component) = pending.pop_front() {
            if component == b".." {
                if at.len() > 1 {
                    at.pop();
                }
                continue;
            }
            let dir = at.last().map_or(Ino::ROOT, Step::ino);
            let name = EntryName::new(&component)?;
            let inode = self.lookup(dir, name)?.ok_or(FsError::NotFound)?;
            let is_last = pending.is_empty();
            match inode.attr().kind {
                FileKind::Symlink => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(FsError::Layer(rustix::io::Errno::LOOP));
                    }
                    let target = self.read_link(inode.ino())?;
                    if target.starts_with(b"/") {
                        at.truncate(1);
                    }
                    for component in components(&target).collect::<Vec<_>>().into_iter().rev() {
                        pending.push_front(component);
                    }
                }
                kind if kind == FileKind::Directory || is_last => {
                    let name = component.into();
                    at.push(Step::Entry { inode, name });
                }
                _ => return Err(FsError::NotDirectory),
            }
        }
        Ok(at)
    }
}

fn components(path: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    path.split(|&byte| byte == b'/')
        .filter(|component| !component.is_empty() && *component != b".")
        .map(<[u8]>::to_vec)
}

fn new_link(target: &[u8]) -> NewInode<'_> {
    NewInode {
        kind: FileKind::Symlink,
        permissions: 0o777,
        target,
        ..new_file(0)
    }
}

fn new_directory() -> NewInode<'static> {
    NewInode {
        kind: FileKind::Directory,
        ..new_file(0o755)
    }
}

pub(super) fn new_file(permissions: u16) -> NewInode<'static> {
    NewInode {
        kind: FileKind::Regular,
        permissions,
        umask: 0,
        rdev: 0,
        target: b"",
        caller: Caller { uid: 0, gid: 0 },
    }
}
