//! New inodes: files, directories, symbolic links, device nodes, FIFOs, sockets, and files without
//! a name (`O_TMPFILE`).
//!
//! A file without a name is made in the store's `orphans`, as one that lost its last name; but its
//! record says that it may still be given a name (see `link`). If it never is, it goes when the
//! kernel forgets it, or at the next opening of the store.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::upper::calls::{self as fs, AtFlags, Mode, OFlags, XattrFlags};
use rustix::io::Errno;

use super::attr::without_set_ids;
use super::caches::{NO_PRIVILEGES, OpenFile, UNKNOWN_PRIVILEGES};
use super::find::{Found, Source};
use super::node::Place;
use super::{LookedUp, Overlay, acl};
use crate::error::{FsError, FsResult};
use crate::types::{Caller, EntryName, FileKind, Ino, Timestamp};
use crate::upper::names::{self, DIRECTORY, UpperName};
use crate::upper::object::UpperObject;
use crate::upper::record::Record;
use crate::upper::{Draft, guest_xattr, number_name, symlink};

const SET_GID: u16 = 0o2000;

/// Longest target of a symbolic link (`PATH_MAX` without the closing NUL).
const TARGET_MAX: usize = 4095;

/// What is to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewInode<'a> {
    /// Its type.
    pub kind: FileKind,
    /// Permission, set-id and sticky bits, before `umask`.
    pub permissions: u16,
    /// The caller's mask, which a default ACL of the directory replaces.
    pub umask: u16,
    /// Device number of a device node, else 0.
    pub rdev: u32,
    /// Target of a symbolic link, else empty.
    pub target: &'a [u8],
    /// Whom it belongs to.
    pub caller: Caller,
}

impl Overlay {
    /// Makes `name` in `parent` and counts a lookup of it.
    ///
    /// # Errors
    /// `Exists`, `NotFound` in a directory that was removed, or those of the store; nothing is
    /// then made.
    pub fn create(
        &self,
        parent: Ino,
        name: EntryName<'_>,
        new: &NewInode<'_>,
    ) -> FsResult<LookedUp<'_>> {
        self.store_for(parent)?;
        if new.target.len() > TARGET_MAX {
            return Err(FsError::NameTooLong);
        }
        self.await_forgotten(1);
        let _names = self.names.write();
        let node = self.node(parent)?;
        if node.removed || node.place == Some(Place::Orphan) {
            return Err(FsError::NotFound);
        }
        if self.find(parent, &node, name)?.is_some() {
            return Err(FsError::Exists);
        }
        self.admit_new(new.kind)?;
        let directory = self.copy_up_directory(parent)?;
        let _watched = self.watch(parent, &directory)?;
        let object = self.make(&directory, name, new)?;
        self.count_new(object.as_fd())?;
        self.listings.evict(parent);
        self.keep_open(&object)?;
        let source = Source::Upper {
            place: Place::Named {
                parent,
                name: name.as_bytes().into(),
            },
            object,
            lower: None,
        };
        let Source::Upper { object, .. } = &source else {
            return Err(FsError::Stale);
        };
        let ino = object.record().ino;
        self.count_found(Found { ino, source })
    }

    /// Makes a regular file that has no name, as if in `parent`, and counts a lookup of it.
    ///
    /// # Errors
    /// `InvalidArgument` for anything but a regular file, `NotDirectory`, `NotFound` in a directory
    /// that was removed, or those of the store.
    pub fn create_unnamed(&self, parent: Ino, new: &NewInode<'_>) -> FsResult<LookedUp<'_>> {
        let store = self.store_for(parent)?;
        if new.kind != FileKind::Regular {
            return Err(FsError::InvalidArgument);
        }
        self.await_forgotten(1);
        let _names = self.names.write();
        let node = self.node(parent)?;
        if node.removed || node.place == Some(Place::Orphan) {
            return Err(FsError::NotFound);
        }
        let above = self.attr_of(parent, &node)?;
        if above.kind != FileKind::Directory {
            return Err(FsError::NotDirectory);
        }
        self.admit_new(new.kind)?;
        // The directory does not change, so it is not copied up.
        let inherited = acl::inherit(new, || self.xattr_of(parent, &node, acl::DEFAULT))?;
        let owner = (above.permissions, above.gid);
        let record = Record {
            unnamed: true,
            pristine: false,
            ..self.new_record(owner, new, inherited.permissions)?
        };
        let ino = record.ino;
        let draft = Draft::new(store.work(), new.kind)?;
        fill(&draft.file()?, new, &inherited)?;
        let number = number_name(ino);
        let object = draft.publish(record, store.orphans(), EntryName::new(number.as_bytes())?)?;
        self.count_new(object.as_fd())?;
        let source = Source::Upper {
            object,
            place: Place::Orphan,
            lower: None,
        };
        self.count_found(Found { ino, source })
    }

    /// Keeps a new file open: it is nearly always written to at once. There is nothing yet that a
    /// write could take away but set-id bits.
    fn keep_open(&self, object: &UpperObject) -> FsResult<()> {
        let record = object.record();
        if record.kind != FileKind::Regular {
            return Ok(());
        }
        let privileges = match without_set_ids(record) == record.permissions {
            true => NO_PRIVILEGES,
            false => UNKNOWN_PRIVILEGES,
        };
        let opened = OpenFile::Upper {
            file: object.share_fd(),
            privileges: AtomicU8::new(privileges),
            pristine: AtomicBool::new(false),
            charge: self.charge(record.ino, object.as_fd())?,
        };
        self.files.put(record.ino, Arc::new(opened));
        Ok(())
    }

    fn make(
        &self,
        directory: &Arc<OwnedFd>,
        name: EntryName<'_>,
        new: &NewInode<'_>,
    ) -> FsResult<UpperObject> {
        let store = self.store()?;
        let (record, inherited) = self.prepare(directory, new)?;
        if let Some(file) = make_in_place(directory, name, new.kind)? {
            return fill(&file, new, &inherited)
                .and_then(|()| UpperObject::establish(file, record))
                .inspect_err(|_| discard(directory, name, new.kind));
        }
        if let UpperName::Remains = names::look_up(directory.as_fd(), name)? {
            names::remove_tree(directory.as_fd(), name.as_bytes())?;
        }
        // There is, or was, a whiteout.
        let draft = Draft::new(store.work(), new.kind)?;
        fill(&draft.file()?, new, &inherited)?;
        draft.publish(record, directory.as_fd(), name)
    }

    /// What a new inode in a directory of the store is to be.
    pub(super) fn prepare(
        &self,
        directory: &Arc<OwnedFd>,
        new: &NewInode<'_>,
    ) -> FsResult<(Record, acl::Inherited)> {
        let above = UpperObject::from_fd(Arc::clone(directory))?.ok_or(FsError::Stale)?;
        let inherited = acl::inherit(new, || guest_xattr::get(above.as_fd(), acl::DEFAULT))?;
        let owner = (above.record().permissions, above.record().gid);
        let record = self.new_record(owner, new, inherited.permissions)?;
        Ok((record, inherited))
    }

    fn new_record(
        &self,
        (above_permissions, above_gid): (u16, u32),
        new: &NewInode<'_>,
        mut permissions: u16,
    ) -> FsResult<Record> {
        let mut gid = new.caller.gid;
        if above_permissions & SET_GID != 0 {
            gid = above_gid;
            if new.kind == FileKind::Directory {
                permissions |= SET_GID;
            }
        }
        Ok(Record {
            kind: new.kind,
            permissions,
            uid: new.caller.uid,
            gid,
            rdev: new.rdev,
            ino: self.store()?.allocate_number()?,
            nlink: 0,
            opaque: new.kind == FileKind::Directory,
            linked: false,
            partial: false,
            unnamed: false,
            pristine: false,
            birth: now(),
        })
    }
}

/// Makes an empty file or directory under its final name; `None` if something is there. Without a
/// record it does not exist yet.
fn make_in_place(
    directory: &Arc<OwnedFd>,
    name: EntryName<'_>,
    kind: FileKind,
) -> FsResult<Option<OwnedFd>> {
    let made = if kind == FileKind::Directory {
        fs::mkdirat(directory, name.as_bytes(), Mode::RWXU).and_then(|()| {
            fs::openat(directory, name.as_bytes(), DIRECTORY, Mode::empty())
                .inspect_err(|_| discard(directory, name, kind))
        })
    } else {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::openat(directory, name.as_bytes(), flags, Mode::RUSR | Mode::WUSR)
    };
    match made {
        Ok(file) => Ok(Some(file)),
        Err(Errno::EXIST) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Gives a new inode's file what it has beside its record.
pub(super) fn fill(
    file: &impl AsFd,
    new: &NewInode<'_>,
    inherited: &acl::Inherited,
) -> FsResult<()> {
    let file = file.as_fd();
    if new.kind == FileKind::Symlink {
        symlink::write(file, new.target)?;
    }
    if let Some(access) = &inherited.access {
        guest_xattr::set(file, acl::ACCESS, access, XattrFlags::empty())?;
    }
    if let Some(default) = &inherited.default {
        guest_xattr::set(file, acl::DEFAULT, default, XattrFlags::empty())?;
    }
    Ok(())
}

/// Takes away what could not be completed. Without a record nobody sees it if even that fails.
fn discard(directory: &Arc<OwnedFd>, name: EntryName<'_>, kind: FileKind) {
    let flags = if kind == FileKind::Directory {
        AtFlags::REMOVEDIR
    } else {
        AtFlags::empty()
    };
    if let Err(error) = fs::unlinkat(directory, name.as_bytes(), flags) {
        log::debug!("left an incomplete {name:?}: {error}");
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanoseconds: since.subsec_nanos(),
    }
}
