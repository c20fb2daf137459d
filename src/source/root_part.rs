//! Writing a root part into a WPAR's store, from the files of its base.
//!
//! Files come with owner, permissions, time and extended attributes.

use std::collections::BTreeMap;

use rustix::fs::XattrFlags;
use thiserror::Error;
use wpar_mountd::error::{FsError, FsResult};
use wpar_mountd::overlay::edit::Resolved;
use wpar_mountd::overlay::{Fill, LookedUp, NewInode, Overlay, SetAttr, SetTime};
use wpar_mountd::types::{Caller, EntryName, FileKind, Ino, Timestamp};

use super::files::split;
use crate::policy::system_copy::root_part::{RootItem, RootWhat};

/// How much is copied by one call.
const CHUNK: usize = 1 << 20;

/// A name that could not be written.
#[derive(Debug, Error)]
#[error("cannot write /{path} of the root part into the store: {source}")]
pub struct RootPartError {
    path: String,
    source: FsError,
}

/// Writes the items into `to`, whose store is being made: it goes if this is interrupted. What the base has
/// no more is passed over.
///
/// # Errors
/// The first that failed; those before it were made.
pub fn make(from: &Overlay, to: &Overlay, items: &Items) -> Result<(), RootPartError> {
    Making::new(from, to, false).all(items)
}

/// The same into a store that has what the WPAR wrote: whatever happens, each file is as it was or as it is
/// to be.
///
/// # Errors
/// The first that failed; those before it were made.
pub fn remake(from: &Overlay, to: &Overlay, items: &Items) -> Result<(), RootPartError> {
    Making::new(from, to, true).all(items)
}

/// What is to be written, by path.
pub type Items = BTreeMap<String, RootItem>;

struct Making<'a> {
    from: &'a Overlay,
    to: &'a Overlay,
    is_kept: bool,
    /// The directories that were looked at last. Of the next item they are mostly the same.
    source: Option<Place<'a>>,
    target: Option<Place<'a>>,
}

/// A directory by its path; nothing if there is none.
struct Place<'a> {
    path: Vec<u8>,
    directory: Option<Resolved<'a>>,
}

impl<'a> Place<'a> {
    fn look(tree: &'a Overlay, path: &[u8]) -> FsResult<Self> {
        let found = tree.resolve(path)?;
        let is_directory = |found: &Resolved<'_>| found.inode.attr().kind == FileKind::Directory;
        Ok(Self {
            path: path.to_vec(),
            directory: found.filter(is_directory),
        })
    }

    fn ino(&self) -> Option<Ino> {
        self.directory.as_ref().map(|found| found.inode.ino())
    }
}

impl<'a> Making<'a> {
    fn new(from: &'a Overlay, to: &'a Overlay, is_kept: bool) -> Self {
        Self {
            from,
            to,
            is_kept,
            source: None,
            target: None,
        }
    }

    fn all(mut self, items: &Items) -> Result<(), RootPartError> {
        for (path, item) in items {
            self.put(path.as_bytes(), &item.what)
                .map_err(|source| RootPartError {
                    path: path.clone(),
                    source,
                })?;
        }
        Ok(())
    }

    /// Puts one at `path`, in place of anything but a directory.
    fn put(&mut self, path: &[u8], what: &RootWhat) -> FsResult<()> {
        let model = self.find(path)?;
        match what {
            RootWhat::Directory => self.directory(path, model.as_ref()),
            RootWhat::File(contents) => {
                // A file of today, with an owner of the base's.
                let owner = model.map_or((0, 0, 0o644), |model| {
                    let attr = model.attr();
                    (attr.uid, attr.gid, attr.permissions)
                });
                let to = self.to;
                self.file(path, &mut |made, _| {
                    to.write(made.ino(), contents, 0, false)?;
                    give(to, made, owner, None)
                })
            }
            RootWhat::Other(other) => {
                let source = self.find(other.as_bytes())?;
                self.same(path, source.as_ref())
            }
            RootWhat::Same => self.same(path, model.as_ref()),
        }
    }

    /// Puts what `source` is at `path`, if that is a file or a link.
    fn same(&mut self, path: &[u8], source: Option<&LookedUp<'_>>) -> FsResult<()> {
        let (from, to) = (self.from, self.to);
        match source {
            Some(source) if source.attr().kind == FileKind::Regular => {
                self.file(path, &mut |made, _| {
                    copy(from, source, to, made)?;
                    let attr = source.attr();
                    let owner = (attr.uid, attr.gid, attr.permissions);
                    give(to, made, owner, Some(attr.mtime))?;
                    // Last: a new owner takes capabilities away.
                    copy_xattrs(from, source, to, made)
                })
            }
            Some(source) if source.attr().kind == FileKind::Symlink => {
                let target = from.read_link(source.ino())?;
                let link = NewInode {
                    target: &target,
                    ..new(FileKind::Symlink, 0o777)
                };
                self.entry(path, &link, &mut |_, _| Ok(()))
            }
            _ => Ok(()),
        }
    }

    /// What `path` of the base is itself.
    fn find(&mut self, path: &[u8]) -> FsResult<Option<LookedUp<'a>>> {
        let (directory, name) = split(path);
        let known = self.source.take().filter(|place| place.path == directory);
        let place = match known {
            Some(known) => known,
            None => Place::look(self.from, directory)?,
        };
        let found = match place.ino() {
            Some(ino) => self.from.lookup(ino, EntryName::new(name)?)?,
            None => None,
        };
        self.source = Some(place);
        Ok(found)
    }

    /// The directory `path` of the WPAR, made if it is missing.
    fn parent(&mut self, path: &[u8]) -> FsResult<Ino> {
        let known = self.target.take().filter(|place| place.path == path);
        let place = match known {
            Some(known) => known,
            None => {
                let found = Place::look(self.to, path)?;
                match found.directory {
                    Some(_) => found,
                    None => {
                        self.to.make_directories(path)?;
                        Place::look(self.to, path)?
                    }
                }
            }
        };
        let ino = place.ino().ok_or(FsError::NotDirectory)?;
        self.target = Some(place);
        Ok(ino)
    }

    fn directory(&mut self, path: &[u8], model: Option<&LookedUp<'_>>) -> FsResult<()> {
        let (above, name) = split(path);
        let parent = self.parent(above)?;
        let name = EntryName::new(name)?;
        let resolved;
        let found = match self.to.lookup(parent, name)? {
            None => self
                .to
                .create(parent, name, &new(FileKind::Directory, 0o755))?,
            Some(found) if found.attr().kind == FileKind::Directory => found,
            Some(_) => {
                resolved = self.to.resolve(path)?;
                match resolved {
                    Some(found) if found.inode.attr().kind == FileKind::Directory => found.inode,
                    _ => return Err(FsError::NotDirectory),
                }
            }
        };
        let Some(model) = model.filter(|model| model.attr().kind == FileKind::Directory) else {
            return Ok(());
        };
        let attr = model.attr();
        give(
            self.to,
            &found,
            (attr.uid, attr.gid, attr.permissions),
            None,
        )?;
        copy_xattrs(self.from, model, self.to, &found)
    }

    /// Makes a regular file that `fill` fills.
    fn file(&mut self, path: &[u8], fill: Fill<'_>) -> FsResult<()> {
        self.entry(path, &new(FileKind::Regular, 0o600), fill)
    }

    fn entry(&mut self, path: &[u8], new: &NewInode<'_>, fill: Fill<'_>) -> FsResult<()> {
        let (above, name) = split(path);
        let parent = self.parent(above)?;
        let name = EntryName::new(name)?;
        if !self.is_kept {
            match self.to.create(parent, name, new) {
                Err(FsError::Exists) => {}
                made => return fill(&made?, None),
            }
        }
        self.to.replace_in(parent, name, new, fill)
    }
}

/// Something of root's.
fn new(kind: FileKind, permissions: u16) -> NewInode<'static> {
    NewInode {
        kind,
        permissions,
        umask: 0,
        rdev: 0,
        target: b"",
        caller: Caller { uid: 0, gid: 0 },
    }
}

/// Owner, group and permissions, and the time.
fn give(
    to: &Overlay,
    inode: &LookedUp<'_>,
    (uid, gid, permissions): (u32, u32, u16),
    time: Option<Timestamp>,
) -> FsResult<()> {
    let set = SetAttr {
        uid: Some(uid),
        gid: Some(gid),
        permissions: Some(permissions),
        mtime: time.map(SetTime::To),
        ..SetAttr::default()
    };
    to.set_attr(inode.ino(), &set).map(drop)
}

fn copy(from: &Overlay, source: &LookedUp<'_>, to: &Overlay, into: &LookedUp<'_>) -> FsResult<()> {
    let size = usize::try_from(source.attr().size).unwrap_or(CHUNK);
    let mut buffer = vec![0; size.clamp(1, CHUNK)];
    let mut at = 0;
    loop {
        let read = from.read(source.ino(), &mut buffer, at)?;
        let part = buffer.get(..read).unwrap_or_default();
        if part.is_empty() {
            return Ok(());
        }
        to.write(into.ino(), part, at, false)?;
        at += read as u64;
        if at >= source.attr().size {
            return Ok(());
        }
    }
}

fn copy_xattrs(
    from: &Overlay,
    source: &LookedUp<'_>,
    to: &Overlay,
    into: &LookedUp<'_>,
) -> FsResult<()> {
    for name in from.xattr_names(source.ino())? {
        // Labels are the host's; a WPAR has those of its mount.
        if name == b"security.selinux" {
            continue;
        }
        match from.xattr(source.ino(), &name) {
            Ok(value) => to.set_xattr(into.ino(), &name, &value, XattrFlags::empty())?,
            // Those of the source's file system alone (`btrfs.compression`) mean nothing here.
            Err(FsError::NoAttribute | FsError::NotSupported) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
