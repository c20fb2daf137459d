//! Attributes: reading them, and changing them (which copies up).

use std::os::fd::AsFd;
use std::sync::Arc;

use crate::upper::calls::{self as fs, OFlags, Timespec, Timestamps};

use super::caches::OpenFile;
use super::find::upper_attr;
use super::node::{Node, Place};
use super::quota::Need;
use super::{Overlay, acl};
use crate::error::{FsError, FsResult};
use crate::lower::LowerNode;
use crate::types::{Attr, FileKind, Ino, Timestamp};
use crate::upper::LinkedInode;
use crate::upper::guest_xattr;
use crate::upper::object::UpperObject;
use crate::upper::record::Record;

/// Largest size of a file: what the kernel can address.
const SIZE_MAX: u64 = i64::MAX as u64;

const SET_UID: u16 = 0o4000;
const SET_GID: u16 = 0o2000;
const GROUP_EXECUTE: u16 = 0o010;

/// A time to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// The present.
    Now,
    /// This one.
    To(Timestamp),
}

/// Attributes to be changed; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetAttr {
    /// Permission, set-id and sticky bits.
    pub permissions: Option<u16>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Size in bytes.
    pub size: Option<u64>,
    /// Time of last access.
    pub atime: Option<SetTime>,
    /// Time of last modification.
    pub mtime: Option<SetTime>,
    /// Take set-id bits and file capabilities away, as a write by an ordinary user does.
    pub kill_privileges: bool,
}

impl Overlay {
    /// Attributes of an inode.
    ///
    /// # Errors
    /// `Stale` for a number that is not known, else those of the layers.
    pub fn attr(&self, ino: Ino) -> FsResult<Attr> {
        let _names = self.names.read();
        let node = self.node(ino)?;
        let attr = self
            .attr_of(ino, &node)
            .map_err(|error| self.when_stale(ino, error))?;
        if node.place.is_none() {
            self.living.tell(ino, &attr);
        }
        self.meet(ino, &attr);
        Ok(attr)
    }

    /// The same under the `names` lock.
    pub(super) fn attr_of(&self, ino: Ino, node: &Node) -> FsResult<Attr> {
        match &node.place {
            Some(place) => {
                let object = self.object(ino, place)?;
                upper_attr(&object, place, node.lower.is_some())
            }
            None => self.lower_attr(ino, node),
        }
    }

    /// When an inode was made. Of what only the lower has that is assumed: a layer does not tell.
    ///
    /// # Errors
    /// As [`Self::attr`].
    pub fn birth(&self, ino: Ino) -> FsResult<Timestamp> {
        let _names = self.names.read();
        let node = self.node(ino)?;
        match &node.place {
            Some(place) => Ok(self.object(ino, place)?.record().birth),
            None => Ok(self.lower_attr(ino, &node)?.assumed_birth()),
        }
    }

    fn lower_attr(&self, ino: Ino, node: &Node) -> FsResult<Attr> {
        let mut attr = self.lower.attr(node.lower.unwrap_or(LowerNode(ino.0)))?;
        if node.removed {
            attr.nlink = 0;
        } else if attr.nlink > 1
            && attr.kind != FileKind::Directory
            && let Some(store) = &self.upper
            && let LinkedInode::Counted(count) = store.linked(ino)?
        {
            attr.nlink = count;
        }
        Ok(attr)
    }

    /// The open object of the store that an inode is. Under the `names` lock.
    pub(super) fn object(&self, ino: Ino, place: &Place) -> FsResult<UpperObject> {
        let file = match self.files.get(ino).as_deref() {
            Some(OpenFile::Upper { file, .. }) => Arc::clone(file),
            Some(OpenFile::Partial { file, .. }) => {
                Arc::new(file.map().data().try_clone_to_owned()?)
            }
            // A directory is asked for its attributes after each change in it.
            _ => match self.directories.get(ino) {
                Some(directory) => directory,
                None => Arc::new(self.open_upper(ino, place, OFlags::RDONLY)?),
            },
        };
        UpperObject::from_fd(file)?.ok_or(FsError::Stale)
    }

    /// Changes attributes and returns the new ones.
    ///
    /// # Errors
    /// `InvalidArgument` for a size of something that has none, `FileTooBig`, or those of the
    /// layers; nothing is then changed, or, if the host's disk fails in the middle, a part.
    pub fn set_attr(&self, ino: Ino, set: &SetAttr) -> FsResult<Attr> {
        self.store()?;
        if set.size.is_some_and(|size| size > SIZE_MAX) {
            return Err(FsError::FileTooBig);
        }
        self.copy_up(ino, set.size.unwrap_or(u64::MAX))?;
        let resized = match set.size {
            Some(size) => self.resize_partial(ino, size)?,
            None => false,
        };
        let _names = self.names.write();
        let node = self.node(ino)?;
        let place = node.place.as_ref().ok_or(FsError::Stale)?;
        let mut object = match (set.size, self.files.get(ino).as_deref()) {
            (None, _) => self.object(ino, place)?,
            (Some(_), Some(OpenFile::Upper { file, .. })) => {
                UpperObject::from_fd(Arc::clone(file))?.ok_or(FsError::Stale)?
            }
            (Some(_), _) => {
                let file = self.open_upper(ino, place, OFlags::RDWR)?;
                UpperObject::from_fd(file)?.ok_or(FsError::Stale)?
            }
        };
        let _watched = self.watch_owned(ino, object.as_fd())?;
        object.touch()?;
        if let Some(size) = set.size {
            if object.record().kind != FileKind::Regular {
                return Err(FsError::InvalidArgument);
            }
            if !resized {
                fs::ftruncate(&object, size)?;
            }
        }
        self.set_record(ino, &mut object, set)?;
        set_times(&object, set)?;
        upper_attr(&object, place, node.lower.is_some())
    }

    /// Changes the size of a partly copied file; false if it is none. Not under the `names` lock:
    /// somebody may be bringing a block in.
    fn resize_partial(&self, ino: Ino, size: u64) -> FsResult<bool> {
        if self.attr(ino)?.kind != FileKind::Regular {
            return Ok(false);
        }
        let opened = self.open_for_writing(ino)?;
        let _room = opened.room(0..size, Need::Nothing)?;
        match &*opened {
            OpenFile::Partial { file, .. } => file.resize(size).map(|()| true),
            OpenFile::Upper { .. } | OpenFile::Lower(_) => Ok(false),
        }
    }

    fn set_record(&self, ino: Ino, object: &mut UpperObject, set: &SetAttr) -> FsResult<()> {
        let old = *object.record();
        let mut new = old;
        new.pristine = false;
        let changes_owner = set.uid.is_some() || set.gid.is_some();
        let kills = old.kind == FileKind::Regular && (changes_owner || set.kill_privileges);
        if kills {
            new.permissions = without_set_ids(&new);
            if guest_xattr::get(object.as_fd(), acl::CAPABILITY)?.is_some() {
                guest_xattr::remove(object.as_fd(), acl::CAPABILITY)?;
            }
        }
        new.uid = set.uid.unwrap_or(new.uid);
        new.gid = set.gid.unwrap_or(new.gid);
        if let Some(permissions) = set.permissions {
            new.permissions = permissions & 0o7777;
            acl::follow_chmod(object.as_fd(), new.permissions)?;
        }
        // Written even if nothing differs: that is what moves the time of change on.
        if new != old || changes_owner || set.permissions.is_some() {
            object.set_record(new)?;
        }
        self.files.forget_privileges(ino);
        Ok(())
    }
}

/// Permissions after set-id bits were taken away: set-group-ID without group execution is no
/// privilege (it once meant mandatory locking) and stays.
pub(super) fn without_set_ids(record: &Record) -> u16 {
    let mut permissions = record.permissions & !SET_UID;
    if permissions & GROUP_EXECUTE != 0 {
        permissions &= !SET_GID;
    }
    permissions
}

fn set_times(object: &UpperObject, set: &SetAttr) -> FsResult<()> {
    if set.atime.is_none() && set.mtime.is_none() {
        return Ok(());
    }
    let spec = |time: Option<SetTime>| match time {
        None => Timespec {
            tv_sec: 0,
            tv_nsec: fs::UTIME_OMIT,
        },
        Some(SetTime::Now) => Timespec {
            tv_sec: 0,
            tv_nsec: fs::UTIME_NOW,
        },
        Some(SetTime::To(time)) => Timespec {
            tv_sec: time.seconds,
            tv_nsec: time.nanoseconds.into(),
        },
    };
    let times = Timestamps {
        last_access: spec(set.atime),
        last_modification: spec(set.mtime),
    };
    Ok(fs::futimens(object, &times)?)
}
