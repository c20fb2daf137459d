//! POSIX ACLs as far as a file system has to know them: the kernel checks access by them, but
//! keeping them and the permission bits in step, and inheriting them, is the file system's duty.
//!
//! Encoding: that of the kernel's `system.posix_acl_*` attributes (`include/uapi/linux/
//! posix_acl_xattr.h`): a little-endian `u32` version 2, then entries of `u16` tag, `u16`
//! permissions, `u32` id. Rules: acl(5).

use std::os::fd::BorrowedFd;

use crate::upper::calls::XattrFlags;

use super::create::NewInode;
use crate::error::{FsError, FsResult};
use crate::types::FileKind;
use crate::upper::guest_xattr;

/// The ACL that governs access.
pub const ACCESS: &[u8] = b"system.posix_acl_access";
/// The ACL that a directory gives to what is made in it.
pub const DEFAULT: &[u8] = b"system.posix_acl_default";
/// File capabilities, which go with the ownership of a file.
pub const CAPABILITY: &[u8] = b"security.capability";

const VERSION: u32 = 2;
const HEADER: usize = 4;
const ENTRY: usize = 8;

const USER_OBJ: u16 = 0x01;
const GROUP_OBJ: u16 = 0x04;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// An ACL taken apart: entries of tag, permissions and id.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Acl(Vec<(u16, u16, u32)>);

impl Acl {
    fn decode(bytes: &[u8]) -> FsResult<Self> {
        let (version, entries) = bytes
            .split_at_checked(HEADER)
            .ok_or(FsError::InvalidArgument)?;
        if version != VERSION.to_le_bytes() || entries.len() % ENTRY != 0 {
            return Err(FsError::InvalidArgument);
        }
        let entries = entries
            .chunks_exact(ENTRY)
            .map(|entry| {
                let half = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
                let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
                (half(0), half(2), id)
            })
            .collect();
        Ok(Self(entries))
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for (tag, permissions, id) in &self.0 {
            bytes.extend_from_slice(&tag.to_le_bytes());
            bytes.extend_from_slice(&permissions.to_le_bytes());
            bytes.extend_from_slice(&id.to_le_bytes());
        }
        bytes
    }

    fn find(&mut self, tag: u16) -> Option<&mut u16> {
        self.0
            .iter_mut()
            .find(|entry| entry.0 == tag)
            .map(|entry| &mut entry.1)
    }

    /// The entry that the group bits of the mode stand for.
    fn group_class(&mut self) -> Option<&mut u16> {
        let tag = if self.0.iter().any(|entry| entry.0 == MASK) {
            MASK
        } else {
            GROUP_OBJ
        };
        self.find(tag)
    }

    /// Whether it says no more than nine permission bits can.
    fn is_minimal(&self) -> bool {
        self.0
            .iter()
            .all(|entry| matches!(entry.0, USER_OBJ | GROUP_OBJ | OTHER))
    }

    /// The nine bits that it amounts to.
    fn bits(&mut self) -> u16 {
        let of = |class: Option<&mut u16>| class.map_or(0, |bits| *bits & 7);
        let user = of(self.find(USER_OBJ));
        let group = of(self.group_class());
        let other = of(self.find(OTHER));
        user << 6 | group << 3 | other
    }

    /// Changes each class's permissions by the nine bits of a mode.
    fn apply(&mut self, mode: u16, change: impl Fn(u16, u16) -> u16) {
        let bits = [mode >> 6 & 7, mode >> 3 & 7, mode & 7];
        if let Some(user) = self.find(USER_OBJ) {
            *user = change(*user, bits[0]);
        }
        if let Some(group) = self.group_class() {
            *group = change(*group, bits[1]);
        }
        if let Some(other) = self.find(OTHER) {
            *other = change(*other, bits[2]);
        }
    }
}

/// What a new inode gets from its directory.
#[derive(Debug)]
pub(super) struct Inherited {
    /// Permissions, after umask or default ACL.
    pub(super) permissions: u16,
    /// Access ACL to be set.
    pub(super) access: Option<Vec<u8>>,
    /// Default ACL to be set.
    pub(super) default: Option<Vec<u8>>,
}

/// What `new` gets in a directory whose default ACL is what `default` reads.
pub(super) fn inherit(
    new: &NewInode<'_>,
    default: impl FnOnce() -> FsResult<Option<Vec<u8>>>,
) -> FsResult<Inherited> {
    let default = match new.kind {
        FileKind::Symlink => None,
        _ => default()?,
    };
    let Some(default) = default else {
        // The mode of a symbolic link is not masked.
        let umask = if new.kind == FileKind::Symlink {
            0
        } else {
            new.umask
        };
        let permissions = new.permissions & !umask & 0o7777;
        return Ok(Inherited {
            permissions,
            access: None,
            default: None,
        });
    };
    let mut acl = Acl::decode(&default)?;
    acl.apply(new.permissions, |entry, bits| entry & bits);
    let permissions = new.permissions & 0o7000 | acl.bits();
    Ok(Inherited {
        permissions,
        access: (!acl.is_minimal()).then(|| acl.encode()),
        default: (new.kind == FileKind::Directory).then_some(default),
    })
}

/// Brings the access ACL of an inode in step with new permissions.
pub(super) fn follow_chmod(file: BorrowedFd<'_>, permissions: u16) -> FsResult<()> {
    let Some(old) = guest_xattr::get(file, ACCESS)? else {
        return Ok(());
    };
    let mut acl = Acl::decode(&old)?;
    acl.apply(permissions, |_, bits| bits);
    guest_xattr::set(file, ACCESS, &acl.encode(), XattrFlags::empty())
}

/// What setting an access ACL amounts to.
pub(super) struct AccessChange {
    /// The new nine permission bits.
    pub(super) bits: u16,
    /// Whether the ACL has to be stored; otherwise the bits say it all.
    pub(super) is_extended: bool,
}

/// Reads an access ACL that is being set.
pub(super) fn access_change(value: &[u8]) -> FsResult<AccessChange> {
    let mut acl = Acl::decode(value)?;
    Ok(AccessChange {
        bits: acl.bits(),
        is_extended: !acl.is_minimal(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extended() -> Acl {
        Acl(vec![
            (USER_OBJ, 7, u32::MAX),
            (0x02, 6, 1000),
            (GROUP_OBJ, 5, u32::MAX),
            (MASK, 7, u32::MAX),
            (OTHER, 4, u32::MAX),
        ])
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let acl = extended();
        assert_eq!(Acl::decode(&acl.encode()), Ok(acl));
        for bad in [&b""[..], &[2, 0, 0], &[1, 0, 0, 0], &[2, 0, 0, 0, 1]] {
            assert_eq!(Acl::decode(bad), Err(FsError::InvalidArgument));
        }
    }

    #[test]
    fn the_mask_is_the_group_class() {
        let mut acl = extended();
        assert_eq!(acl.bits(), 0o774);
        acl.apply(0o640, |_, bits| bits);
        assert_eq!(acl.bits(), 0o640);
        assert_eq!(
            acl.find(GROUP_OBJ),
            Some(&mut 5),
            "the group's own entry is not the class"
        );
        assert!(!acl.is_minimal());
    }

    #[test]
    fn three_entries_are_the_mode_itself() {
        let change =
            access_change(&Acl(vec![(USER_OBJ, 6, 0), (GROUP_OBJ, 4, 0), (OTHER, 0, 0)]).encode());
        let change = change.map(|change| (change.bits, change.is_extended));
        assert_eq!(change, Ok((0o640, false)));
    }
}
