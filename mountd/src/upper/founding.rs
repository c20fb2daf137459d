//! The founding of a store: its description, its directories, its root.
//!
//! Each step can be repeated, so a crash in the middle of them is completed by the next opening.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use crate::upper::calls::{self as fs, FlockOperation, Mode, OFlags, XattrFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::names::{self, DIRECTORY};
use super::object::{self, UpperObject};
use super::record::Record;
use super::{RootInode, STORE_VERSION, StoreError, guest_xattr};
use crate::error::{FsError, FsResult};
use crate::types::Ino;

const STORE_FORMAT: &str = "wpar upper store";
pub(super) const DESCRIPTION: &str = "store.json";

#[derive(Debug, Serialize, Deserialize)]
struct Description {
    format: String,
    version: u32,
}

pub(super) fn open_or_make(store: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    match fs::mkdirat(store, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => fs::openat(store, name, DIRECTORY, Mode::empty()),
        Err(errno) => Err(errno),
    }
}

/// Opens the description, makes it if the store is new, and takes the lock on it.
pub(super) fn lock_description(store: &OwnedFd, path: &Path) -> Result<OwnedFd, StoreError> {
    let io = |action| {
        move |source: std::io::Error| StoreError::Io {
            action,
            path: path.join(DESCRIPTION),
            source,
        }
    };
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = fs::openat(store, DESCRIPTION, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|errno| io("open")(errno.into()))?;
    match fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            return Err(StoreError::InUse {
                path: path.to_path_buf(),
            });
        }
        Err(errno) => return Err(io("lock")(errno.into())),
    }
    let foreign = |why: String| StoreError::Foreign {
        path: path.to_path_buf(),
        why,
    };
    let mut text = [0; 512];
    let length = fs::pread(&file, &mut text, 0).map_err(|errno| io("read")(errno.into()))?;
    let text = text.get(..length).unwrap_or(&[]);
    if text.is_empty() {
        let new = Description {
            format: STORE_FORMAT.to_owned(),
            version: STORE_VERSION,
        };
        let mut line = serde_json::to_vec(&new).map_err(|error| foreign(error.to_string()))?;
        line.push(b'\n');
        // One call for one short line: after a crash it is there whole, or not at all.
        fs::pwrite(&file, &line, 0).map_err(|errno| io("write")(errno.into()))?;
        return Ok(file);
    }
    let found: Description =
        serde_json::from_slice(text).map_err(|error| foreign(format!("{DESCRIPTION}: {error}")))?;
    if found.format != STORE_FORMAT {
        return Err(foreign(format!("its format is \"{}\"", found.format)));
    }
    if found.version != STORE_VERSION {
        return Err(foreign(format!(
            "version {}, not {STORE_VERSION}",
            found.version
        )));
    }
    Ok(file)
}

pub(super) fn establish_root(
    tree: &OwnedFd,
    root: &RootInode,
    path: &Path,
) -> Result<(), StoreError> {
    match object::read_record(tree.as_fd()) {
        Ok(Some(_)) => return Ok(()),
        Ok(None) => {}
        Err(FsError::Layer(Errno::OPNOTSUPP)) => {
            return Err(StoreError::NoXattrs {
                path: path.to_path_buf(),
            });
        }
        Err(source) => {
            return Err(StoreError::Damaged {
                path: path.to_path_buf(),
                source,
            });
        }
    }
    let record = Record {
        kind: root.attr.kind,
        permissions: root.attr.permissions,
        uid: root.attr.uid,
        gid: root.attr.gid,
        rdev: 0,
        ino: Ino::ROOT,
        nlink: 0,
        opaque: false,
        linked: false,
        partial: false,
        unnamed: false,
        pristine: false,
        birth: root.attr.assumed_birth(),
    };
    let own = tree.try_clone().map_err(|source| StoreError::Io {
        action: "open",
        path: path.to_path_buf(),
        source,
    })?;
    let (access, modification) = (root.attr.atime, root.attr.mtime);
    // The record comes last: with it the root is founded.
    let established = copy_xattrs(own.as_fd(), root)
        .and_then(|()| names::set_times(own.as_fd(), Some(access), Some(modification)))
        .and_then(|()| UpperObject::establish(own, record).map(drop));
    established.map_err(|source| match source {
        FsError::NotSupported | FsError::Layer(Errno::OPNOTSUPP) => StoreError::NoXattrs {
            path: path.to_path_buf(),
        },
        source => StoreError::Io {
            action: "write the first record of",
            path: path.to_path_buf(),
            source: source.errno().into(),
        },
    })
}

fn copy_xattrs(tree: BorrowedFd<'_>, root: &RootInode) -> FsResult<()> {
    for (name, value) in &root.xattrs {
        guest_xattr::set(tree, name, value, XattrFlags::empty())?;
    }
    Ok(())
}
