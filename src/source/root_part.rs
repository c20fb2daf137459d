//! Writing a root part into a WPAR's store, from the files of its base.
//!
//! A file is made under its own name only when it is complete, with owner, permissions, time and
//! extended attributes, so that what was there stays if that fails.

use std::collections::BTreeMap;

use rustix::fs::XattrFlags;
use thiserror::Error;
use wpar_mountd::error::{FsError, FsResult};
use wpar_mountd::overlay::edit::Resolved;
use wpar_mountd::overlay::{LookedUp, Overlay, SetAttr, SetTime};
use wpar_mountd::types::{Attr, EntryName, FileKind, Timestamp};

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

/// Writes the items into `to`. What the base has no more is passed over.
///
/// # Errors
/// The first that failed; those before it were made.
pub fn make(
    from: &Overlay,
    to: &Overlay,
    items: &BTreeMap<String, RootItem>,
) -> Result<(), RootPartError> {
    for (path, item) in items {
        put(from, to, path, &item.what).map_err(|source| RootPartError {
            path: path.clone(),
            source,
        })?;
    }
    Ok(())
}

/// Puts one at `path`, in place of anything but a directory.
///
/// # Errors
/// Those of both trees.
pub fn put(from: &Overlay, to: &Overlay, path: &str, what: &RootWhat) -> FsResult<()> {
    let plain = |kind| attr(kind, 0o644);
    let model = find(from, path)?;
    let model = model.as_ref().map(|(inode, _)| inode);
    match what {
        RootWhat::Directory => directory(from, to, path, model),
        RootWhat::File(contents) => {
            // A file of today, with an owner of the base's.
            let like = model.map_or_else(|| plain(FileKind::Regular), |model| *model.attr());
            let like = Attr {
                mtime: Timestamp::default(),
                ..like
            };
            file(to, path, &like, &mut |into| {
                to.write(into.ino(), contents, 0, false).map(drop)
            })
        }
        RootWhat::Other(other) => {
            let source = find(from, other)?;
            same(from, to, path, source.as_ref().map(|(inode, _)| inode))
        }
        RootWhat::Same => same(from, to, path, model),
    }
}

/// Puts what `source` is at `path`, if that is a file or a link.
fn same(from: &Overlay, to: &Overlay, path: &str, source: Option<&LookedUp<'_>>) -> FsResult<()> {
    match source {
        Some(source) if source.attr().kind == FileKind::Regular => {
            file(to, path, source.attr(), &mut |into| {
                copy(from, source, to, into)?;
                copy_xattrs(from, source, to, into)
            })
        }
        Some(source) if source.attr().kind == FileKind::Symlink => {
            let target = from.read_link(source.ino())?;
            to.make_directories(split(path.as_bytes()).0)?;
            to.link_path(path.as_bytes(), &target)
        }
        _ => Ok(()),
    }
}

fn attr(kind: FileKind, permissions: u16) -> Attr {
    Attr {
        kind,
        permissions,
        uid: 0,
        gid: 0,
        rdev: 0,
        nlink: 1,
        size: 0,
        blocks: 0,
        atime: Timestamp::default(),
        mtime: Timestamp::default(),
        ctime: Timestamp::default(),
    }
}

/// What `path` is itself, and what keeps it known.
fn find<'a>(tree: &'a Overlay, path: &str) -> FsResult<Option<(LookedUp<'a>, Resolved<'a>)>> {
    let (dir, name) = split(path.as_bytes());
    let Some(dir) = tree.resolve(dir)? else {
        return Ok(None);
    };
    if dir.inode.attr().kind != FileKind::Directory {
        return Ok(None);
    }
    let found = tree.lookup(dir.inode.ino(), EntryName::new(name)?)?;
    Ok(found.map(|found| (found, dir)))
}

fn directory(
    from: &Overlay,
    to: &Overlay,
    path: &str,
    model: Option<&LookedUp<'_>>,
) -> FsResult<()> {
    to.make_directories(path.as_bytes())?;
    let Some(model) = model.filter(|model| model.attr().kind == FileKind::Directory) else {
        return Ok(());
    };
    let Some(made) = to.resolve(path.as_bytes())? else {
        return Ok(());
    };
    give(to, &made.inode, model.attr(), false)?;
    copy_xattrs(from, model, to, &made.inode)
}

/// Makes a regular file like `like` that `fill` fills.
fn file(
    to: &Overlay,
    path: &str,
    like: &Attr,
    fill: &mut dyn FnMut(&LookedUp<'_>) -> FsResult<()>,
) -> FsResult<()> {
    to.make_directories(split(path.as_bytes()).0)?;
    to.replace_with(path.as_bytes(), &mut |made, _| {
        fill(made)?;
        give(to, made, like, like.mtime != Timestamp::default())
    })
}

/// Owner, permissions and, of files, the time.
fn give(to: &Overlay, inode: &LookedUp<'_>, like: &Attr, with_time: bool) -> FsResult<()> {
    let owner = SetAttr {
        uid: Some(like.uid),
        gid: Some(like.gid),
        ..SetAttr::default()
    };
    to.set_attr(inode.ino(), &owner)?;
    let rest = SetAttr {
        permissions: Some(like.permissions),
        mtime: with_time.then_some(SetTime::To(like.mtime)),
        ..SetAttr::default()
    };
    to.set_attr(inode.ino(), &rest).map(drop)
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
            Err(FsError::NoAttribute) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
