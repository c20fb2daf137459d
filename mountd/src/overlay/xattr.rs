//! Extended attributes of the merged tree.

use std::os::fd::AsFd;

use crate::upper::calls::XattrFlags;

use super::node::Node;
use super::{Overlay, acl};
use crate::error::{FsError, FsResult};
use crate::lower::LowerNode;
use crate::types::{FileKind, Ino};
use crate::upper::guest_xattr;

const ACCESS_BITS: u16 = 0o777;

/// Longest value, as in the kernel.
const VALUE_MAX: usize = 1 << 16;

impl Overlay {
    /// Value of an extended attribute.
    ///
    /// # Errors
    /// `NoAttribute` if there is none, `NotSupported` for a namespace that does not exist.
    pub fn xattr(&self, ino: Ino, name: &[u8]) -> FsResult<Vec<u8>> {
        check_namespace(name)?;
        let _names = self.names.read();
        let node = self.node(ino)?;
        let value = self.xattr_of(ino, &node, name)?;
        value.ok_or(FsError::NoAttribute)
    }

    /// The same under the `names` lock, whatever the namespace; `None` if there is none.
    pub(super) fn xattr_of(&self, ino: Ino, node: &Node, name: &[u8]) -> FsResult<Option<Vec<u8>>> {
        match &node.place {
            Some(place) => guest_xattr::get(self.object(ino, place)?.as_fd(), name),
            None => self
                .lower
                .xattr(node.lower.unwrap_or(LowerNode(ino.0)), name),
        }
    }

    /// Names of the extended attributes.
    ///
    /// # Errors
    /// Those of the layers.
    pub fn xattr_names(&self, ino: Ino) -> FsResult<Vec<Vec<u8>>> {
        let _names = self.names.read();
        let node = self.node(ino)?;
        match &node.place {
            Some(place) => guest_xattr::list(self.object(ino, place)?.as_fd()),
            None => self
                .lower
                .xattr_names(node.lower.unwrap_or(LowerNode(ino.0))),
        }
    }

    /// Sets an extended attribute; an access ACL changes the permissions with it.
    ///
    /// # Errors
    /// `Exists` and `NoAttribute` as `flags` ask, `Range` for a name that cannot be stored,
    /// `NotSupported` for a namespace that does not exist.
    pub fn set_xattr(
        &self,
        ino: Ino,
        name: &[u8],
        value: &[u8],
        flags: XattrFlags,
    ) -> FsResult<()> {
        check_namespace(name)?;
        if value.len() > VALUE_MAX {
            return Err(FsError::Range);
        }
        self.copy_up(ino, u64::MAX)?;
        self.admit(value.len() as u64, 0)?;
        let _names = self.names.write();
        let node = self.node(ino)?;
        let place = node.place.as_ref().ok_or(FsError::Stale)?;
        let mut object = self.object(ino, place)?;
        let _watched = self.watch_owned(ino, object.as_fd())?;
        self.files.forget_privileges(ino);
        if name == acl::DEFAULT && object.record().kind != FileKind::Directory {
            return Err(FsError::InvalidArgument);
        }
        object.touch()?;
        if name != acl::ACCESS {
            return guest_xattr::set(object.as_fd(), name, value, flags);
        }
        let change = acl::access_change(value)?;
        if change.is_extended {
            guest_xattr::set(object.as_fd(), name, value, flags)?;
        } else if guest_xattr::get(object.as_fd(), name)?.is_some() {
            guest_xattr::remove(object.as_fd(), name)?;
        }
        let mut record = *object.record();
        record.permissions = record.permissions & !ACCESS_BITS | change.bits;
        object.set_record(record)
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    /// `NoAttribute` if there is none.
    pub fn remove_xattr(&self, ino: Ino, name: &[u8]) -> FsResult<()> {
        self.xattr(ino, name)?;
        self.copy_up(ino, u64::MAX)?;
        let _names = self.names.write();
        let node = self.node(ino)?;
        let place = node.place.as_ref().ok_or(FsError::Stale)?;
        let mut object = self.object(ino, place)?;
        let _watched = self.watch_owned(ino, object.as_fd())?;
        self.files.forget_privileges(ino);
        object.touch()?;
        guest_xattr::remove(object.as_fd(), name)
    }
}

fn check_namespace(name: &[u8]) -> FsResult<()> {
    let known = [&b"user."[..], b"trusted.", b"security."];
    let is_known = known
        .iter()
        .any(|prefix| name.len() > prefix.len() && name.starts_with(prefix));
    if is_known || name == acl::ACCESS || name == acl::DEFAULT {
        Ok(())
    } else {
        Err(FsError::NotSupported)
    }
}
