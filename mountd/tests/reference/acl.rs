//! POSIX ACLs as acl(5) has them: the reference for keeping them and the permission bits in step,
//! and for inheriting them.

use proptest::prelude::*;

use crate::model::Inode;

pub(crate) const ACCESS: &[u8] = b"system.posix_acl_access";
pub(crate) const DEFAULT: &[u8] = b"system.posix_acl_default";

/// The entries that matter: those of the owner, the owning group and the others, and with a
/// `named` user a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acl {
    user: u16,
    /// Permissions of user 1000, and the mask.
    named: Option<(u16, u16)>,
    group: u16,
    other: u16,
}

/// Random ones, some of which say no more than nine bits can.
pub(crate) fn any() -> impl Strategy<Value = Acl> {
    let bits = || 0..8_u16;
    let named = proptest::option::weighted(0.7, (bits(), bits()));
    (bits(), named, bits(), bits()).prop_map(|(user, named, group, other)| Acl {
        user,
        named,
        group,
        other,
    })
}

impl Acl {
    pub(crate) fn is_extended(self) -> bool {
        self.named.is_some()
    }

    /// The nine bits that it amounts to.
    pub(crate) fn bits(self) -> u16 {
        let class = self.named.map_or(self.group, |(_, mask)| mask);
        self.user << 6 | class << 3 | self.other
    }

    /// After a `chmod` to these nine bits.
    fn changed_to(mut self, bits: u16) -> Self {
        (self.user, self.other) = (bits >> 6 & 7, bits & 7);
        match &mut self.named {
            Some((_, mask)) => *mask = bits >> 3 & 7,
            None => self.group = bits >> 3 & 7,
        }
        self
    }

    /// What the kernel's extended attribute has in it (`linux/posix_acl_xattr.h`).
    pub(crate) fn encode(self) -> Vec<u8> {
        let nobody = u32::MAX;
        let mut entries = vec![(1_u16, self.user, nobody)];
        entries.extend(self.named.map(|(named, _)| (2, named, 1000)));
        entries.push((4, self.group, nobody));
        entries.extend(self.named.map(|(_, mask)| (0x10, mask, nobody)));
        entries.push((0x20, self.other, nobody));
        let mut bytes = 2_u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(permissions.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    /// One that [`Self::encode`] made.
    fn decode(bytes: &[u8]) -> Self {
        let permissions = |tag: u8| {
            let entry = bytes[4..].chunks(8).find(|entry| entry[0] == tag);
            entry.map(|entry| u16::from(entry[2]))
        };
        Self {
            user: permissions(1).unwrap(),
            named: permissions(2).zip(permissions(0x10)),
            group: permissions(4).unwrap(),
            other: permissions(0x20).unwrap(),
        }
    }
}

impl Inode {
    /// Sets the ACL that governs access.
    pub(crate) fn set_access(&mut self, acl: Acl) {
        self.permissions = self.permissions & !0o777 | acl.bits();
        if acl.is_extended() {
            self.xattrs.insert(ACCESS.to_vec(), acl.encode());
        } else {
            self.xattrs.remove(ACCESS);
        }
    }

    /// `chmod(2)`.
    pub(crate) fn set_permissions(&mut self, permissions: u16) {
        self.permissions = permissions;
        if let Some(acl) = self.xattrs.get_mut(ACCESS) {
            *acl = Acl::decode(acl).changed_to(permissions).encode();
        }
    }

    /// Gives a new inode what the directory `above` has for it, or takes `umask` from it.
    pub(crate) fn inherit(&mut self, above: &Inode, umask: u16) {
        match above.xattrs.get(DEFAULT) {
            _ if self.target != [0; 0] => {}
            Some(default) => {
                let mut acl = Acl::decode(default);
                acl = acl.changed_to(acl.bits() & self.permissions);
                self.set_access(acl);
                if self.is_directory() {
                    self.xattrs.insert(DEFAULT.to_vec(), default.clone());
                }
            }
            None => self.permissions &= !umask,
        }
    }
}
