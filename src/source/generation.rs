//! Writing into the store of a new generation what comes from the host as a copy: records,
//! configuration files, and owners by name.
//!
//! What comes from the host's files themselves is not here, but in a list of names that the mount
//! follows. Only where a file belongs to somebody whose number is another one in the copy, its owner is
//! written, and with it the file.

use thiserror::Error;
use wpar_mountd::error::{FsError, FsResult};
use wpar_mountd::lower::rebased::Fate;
use wpar_mountd::overlay::{Overlay, SetAttr};
use wpar_mountd::types::{EntryName, FileKind};

use super::accounts::Translation;
use super::below::Below;
use super::files::split;
use crate::model::generation::Written;

/// Bits that give the rights of the owner.
const SET_ID: u16 = 0o6000;

/// What failed.
#[derive(Debug, Error)]
#[error("cannot write /{path} into the store: {source}")]
pub struct WriteError {
    path: String,
    source: FsError,
}

fn failed(path: &[u8]) -> impl FnOnce(FsError) -> WriteError {
    let path = path.escape_ascii().to_string();
    move |source| WriteError { path, source }
}

/// Writes the files, in their order.
///
/// # Errors
/// The first that failed.
pub fn write(
    overlay: &Overlay,
    host: &Below,
    translation: &Translation,
    files: &[Written],
) -> Result<(), WriteError> {
    for file in files {
        write_one(overlay, host, translation, file).map_err(failed(&file.path))?;
    }
    Ok(())
}

fn write_one(
    overlay: &Overlay,
    host: &Below,
    translation: &Translation,
    file: &Written,
) -> FsResult<()> {
    overlay.make_directories(split(&file.path).0)?;
    let is_new = find(overlay, &file.path)?.is_none();
    overlay.write_path(&file.path, &file.contents, file.permissions)?;
    let Some(like) = &file.like else {
        return Ok(());
    };
    if is_new && let Some((uid, gid, permissions)) = host.owner(like)? {
        own(overlay, &file.path, translation, (uid, gid), permissions)?;
    }
    Ok(())
}

/// Gives what is taken from the host owners of the same names.
///
/// # Errors
/// The first that failed.
pub fn translate_owners<'a>(
    overlay: &Overlay,
    translation: &Translation,
    listed: impl Iterator<Item = (&'a Vec<u8>, &'a Fate)>,
) -> Result<(), WriteError> {
    for (path, fate) in listed {
        if *fate == Fate::Gone {
            continue;
        }
        let found = find(overlay, path).map_err(failed(path))?;
        let Some(attr) = found.filter(|attr| attr.kind != FileKind::Symlink) else {
            continue;
        };
        let same = translation.user(attr.uid) == Some(attr.uid)
            && translation.group(attr.gid) == Some(attr.gid);
        if !same {
            let owner = (attr.uid, attr.gid);
            own(overlay, path, translation, owner, attr.permissions).map_err(failed(path))?;
        }
    }
    Ok(())
}

/// What a path is, its links followed but for the last.
fn find(overlay: &Overlay, path: &[u8]) -> FsResult<Option<wpar_mountd::types::Attr>> {
    let (directory, name) = split(path);
    let Some(above) = overlay.resolve(directory)? else {
        return Ok(None);
    };
    if above.inode.attr().kind != FileKind::Directory {
        return Ok(None);
    }
    let found = overlay.lookup(above.inode.ino(), EntryName::new(name)?)?;
    Ok(found.map(|inode| *inode.attr()))
}

/// Gives a file an owner of the other system. Whom there is none for yet, root stands in, without the
/// rights that the file would give: the package's scripts make him and hand it over.
fn own(
    overlay: &Overlay,
    path: &[u8],
    translation: &Translation,
    (uid, gid): (u32, u32),
    permissions: u16,
) -> FsResult<()> {
    let (user, group) = (translation.user(uid), translation.group(gid));
    let is_known = user.is_some() && group.is_some();
    let permissions = if is_known {
        permissions
    } else {
        permissions & !SET_ID
    };
    let (directory, name) = split(path);
    let Some(above) = overlay.resolve(directory)? else {
        return Ok(());
    };
    let Some(inode) = overlay.lookup(above.inode.ino(), EntryName::new(name)?)? else {
        return Ok(());
    };
    let set = SetAttr {
        uid: Some(user.unwrap_or(0)),
        gid: Some(group.unwrap_or(0)),
        ..SetAttr::default()
    };
    overlay.set_attr(inode.ino(), &set)?;
    let set = SetAttr {
        permissions: Some(permissions),
        ..SetAttr::default()
    };
    overlay.set_attr(inode.ino(), &set)?;
    Ok(())
}
