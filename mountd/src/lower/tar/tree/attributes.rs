//! Attributes of the tree's inodes: owners, times, extended attributes and ACLs.

use std::hash::BuildHasher;

use super::Tree;
use crate::lower::tar::acl::{self, IdTable, NoAcl};
use crate::lower::tar::member::Member;
use crate::types::FileKind;

/// The kernel's names of the two ACLs.
const ACL_NAMES: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];

/// Attributes whose ACLs name users that only the whole image knows.
#[derive(Debug)]
pub(super) struct PendingAcl {
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    acl: [Option<Vec<u8>>; 2],
}

impl Tree {
    pub(super) fn set_attributes(&mut self, number: u32, member: Member) {
        let kind = self.kind(number);
        self.pending.remove(&number);
        self.inodes.change(number, |record| {
            record.mode = record.mode & 0o170_000 | member.permissions & 0o7777;
            record.uid = member.uid;
            record.gid = member.gid;
            record.mtime = member.mtime;
            record.atime = member.atime;
            record.ctime = member.ctime;
        });
        self.add_xattrs(number, member.xattrs, member.acl, kind);
    }

    /// Stores the attributes now, or puts them aside until all names of users are known.
    fn add_xattrs(
        &mut self,
        number: u32,
        mut xattrs: Vec<(Vec<u8>, Vec<u8>)>,
        mut acl: [Option<Vec<u8>>; 2],
        kind: Option<FileKind>,
    ) {
        // What the kernel would let no inode of this kind have.
        let takes = match kind {
            Some(FileKind::Directory) => [true, true],
            Some(FileKind::Symlink) => [false, false],
            _ => [true, false],
        };
        if !matches!(kind, Some(FileKind::Directory | FileKind::Regular)) {
            xattrs.retain(|(name, _)| !name.starts_with(b"user."));
        }
        for ((text, name), takes) in acl.iter_mut().zip(ACL_NAMES).zip(takes) {
            // The kernel's own encoding has numbers already and needs no guess.
            let known = xattrs.iter().position(|(known, _)| known == name);
            match known {
                Some(at) if takes && acl::is_kernel_value(&xattrs[at].1) => *text = None,
                Some(at) => {
                    xattrs.remove(at);
                }
                None => {}
            }
            if !takes {
                *text = None;
            }
        }
        if acl.iter().any(Option::is_some) {
            let texts = acl.iter().flatten().map(Vec::len);
            let values = xattrs.iter().map(|(name, value)| name.len() + value.len());
            self.pending_bytes += texts.chain(values).sum::<usize>() as u64;
            self.pending.insert(number, PendingAcl { xattrs, acl });
        } else {
            self.store_xattrs(number, &xattrs);
        }
    }

    /// Gives an inode these attributes. An ACL decides about its permission bits as well.
    fn store_xattrs(&mut self, number: u32, xattrs: &[(Vec<u8>, Vec<u8>)]) {
        let access = xattrs.iter().find(|(name, _)| name == ACL_NAMES[0]);
        if let Some((_, value)) = access {
            self.set_permissions(number, value);
        }
        let at = if xattrs.is_empty() {
            0
        } else {
            self.append_xattrs(xattrs)
        };
        self.inodes.change(number, |record| record.xattrs = at);
    }

    /// Sets the bits of owner, group and others to what the kernel makes of an ACL. Some programs
    /// write the bits of the owning group into the header, where `st_mode` has the mask.
    fn set_permissions(&mut self, number: u32, acl: &[u8]) {
        if let Some(bits) = acl::mode_bits(acl) {
            self.inodes
                .change(number, |record| record.mode = record.mode & !0o777 | bits);
        }
    }

    /// Stores a set of attributes, unless the same set is there; answers its place, from 1 on.
    fn append_xattrs(&mut self, xattrs: &[(Vec<u8>, Vec<u8>)]) -> u64 {
        let mut set = (xattrs.len() as u32).to_le_bytes().to_vec();
        for (name, value) in xattrs {
            set.extend((name.len() as u32).to_le_bytes());
            set.extend((value.len() as u32).to_le_bytes());
            set.extend_from_slice(name);
            set.extend_from_slice(value);
        }
        let (stored, hasher) = (&self.xattrs, &self.hasher);
        let bytes = |place: &(u64, u32)| {
            stored
                .get(place.0 as usize, place.1 as usize)
                .unwrap_or_default()
        };
        let hash = hasher.hash_one(&*set);
        if let Some((at, _)) = self.xattr_sets.find(hash, |place| bytes(place) == set) {
            return at + 1;
        }
        let place = (self.xattrs.len() as u64, set.len() as u32);
        let rehash = |place: &(u64, u32)| hasher.hash_one(bytes(place));
        self.xattr_sets.insert_unique(hash, place, rehash);
        self.xattrs.push(&set);
        place.0 + 1
    }

    /// Whether any entry carries attributes.
    pub(in crate::lower::tar) fn carries_xattrs(&self) -> bool {
        self.xattrs.len() > 0 || !self.pending.is_empty()
    }

    /// Turns the ACLs that came as text into attributes, with the image's own users and groups;
    /// answers how many could not be, or not whole.
    pub(in crate::lower::tar) fn settle_acls(&mut self, users: &IdTable, groups: &IdTable) -> u64 {
        let mut pending: Vec<_> = std::mem::take(&mut self.pending).into_iter().collect();
        pending.sort_unstable_by_key(|(number, _)| *number);
        let mut lost = 0;
        for (number, PendingAcl { mut xattrs, acl }) in pending {
            for (text, name) in acl.iter().zip(ACL_NAMES) {
                let Some(text) = text else { continue };
                match acl::from_text(text, users, groups) {
                    // Permission bits say it already; a default ACL has no such bits.
                    Ok(found) => {
                        lost += u64::from(found.is_partial);
                        if found.is_mode && name == ACL_NAMES[0] {
                            self.set_permissions(number, &found.value);
                        } else {
                            xattrs.push((name.to_vec(), found.value));
                        }
                    }
                    Err(NoAcl) => lost += 1,
                }
            }
            self.store_xattrs(number, &xattrs);
        }
        lost
    }
}
