//! The tree of an archive while its entries come in.
//!
//! Numbers are given in the order in which a new inode first appears: the root is 1, the first
//! entry (or the first parent that it needs) is 2, and so on. A number is never given twice; the
//! inode of an entry that a later one replaces leaves its number unused.
//!
//! `walk` follows symbolic links that lead to an entry, never out of the root; `layers` lays one
//! archive over another and takes away what whiteouts name.

mod layers;
mod walk;

pub(in crate::lower::tar) use layers::LayerEntry;
pub(in crate::lower::tar) use walk::StoredFile;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use crate::types::{FileKind, Timestamp};

use crate::lower::tar::acl::{self, IdTable, NoAcl};
use crate::lower::tar::error::ScanError;
use crate::lower::tar::format::{INODE_PACKED, INODE_SPARSE, InodeRecord, NO_DENTRY};
use crate::lower::tar::member::{Member, MemberData, MemberKind};
use crate::lower::tar::path;
use crate::lower::tar::sparse::Extent;

/// Number of the root.
pub(in crate::lower::tar) const ROOT: u32 = 1;
/// Most inodes and most names, so that numbers of both fit in 32 bits with room to spare.
pub(in crate::lower::tar) const COUNT_LIMIT: usize = 1 << 31;

/// A name, while the tree grows.
#[derive(Clone, Copy, Debug)]
pub(in crate::lower::tar) struct Name {
    /// Where its bytes begin in [`Tree::names`].
    pub(in crate::lower::tar) at: u64,
    pub(in crate::lower::tar) parent: u32,
    pub(in crate::lower::tar) inode: u32,
    pub(in crate::lower::tar) bytes: u8,
}

/// Why an entry was left out, or what is odd about it, in words that follow its name.
pub(in crate::lower::tar) type Remark = String;

/// Attributes whose ACLs name users that only the whole image knows.
#[derive(Debug)]
struct PendingAcl {
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    acl: [Option<Vec<u8>>; 2],
}

/// The growing tree.
#[derive(Debug)]
pub(in crate::lower::tar) struct Tree {
    /// Inodes by number, from 1 on. A directory's `count` is kept up to date.
    pub(in crate::lower::tar) inodes: Vec<InodeRecord>,
    /// Names in the order in which they came; one that is given to another inode stays in place.
    pub(in crate::lower::tar) dentries: Vec<Name>,
    /// Bytes of all names.
    pub(in crate::lower::tar) names: Vec<u8>,
    /// Targets of symbolic links.
    pub(in crate::lower::tar) targets: Vec<u8>,
    /// Extents of sparse files.
    pub(in crate::lower::tar) extents: Vec<Extent>,
    /// Sets of extended attributes, as the index stores them.
    pub(in crate::lower::tar) xattrs: Vec<u8>,
    /// Where sets begin in `xattrs`, by their bytes: most inodes have the same few.
    xattr_sets: HashTable<(u64, u32)>,
    table: HashTable<u32>,
    hasher: RandomState,
    pending: HashMap<u32, PendingAcl>,
    /// Bytes of all that was ever put aside.
    pending_bytes: u64,
    /// The last directory that was looked up, by the bytes that led there.
    recent: Option<(Vec<u8>, u32)>,
    generated_mtime: Timestamp,
    /// The archive that is laid over what was there before it, if one is.
    layer: Option<layers::Layer>,
    /// Whether some names lead nowhere any more.
    has_lost_names: bool,
}

impl Tree {
    /// A tree of a root only. Directories that the archive does not describe, the root among
    /// them, belong to root, have mode 0755 and `generated_mtime`.
    pub(in crate::lower::tar) fn new(generated_mtime: Timestamp) -> Self {
        let mut tree = Self {
            inodes: Vec::new(),
            dentries: Vec::new(),
            names: Vec::new(),
            targets: Vec::new(),
            extents: Vec::new(),
            xattrs: Vec::new(),
            xattr_sets: HashTable::new(),
            table: HashTable::new(),
            hasher: RandomState::new(),
            pending: HashMap::new(),
            pending_bytes: 0,
            recent: None,
            generated_mtime,
            layer: None,
            has_lost_names: false,
        };
        tree.inodes.push(tree.generated_directory());
        tree
    }

    fn generated_directory(&self) -> InodeRecord {
        InodeRecord {
            mode: FileKind::Directory.mode_bits() as u16 | 0o755,
            mtime: self.generated_mtime,
            atime: self.generated_mtime,
            ctime: self.generated_mtime,
            dentry: NO_DENTRY,
            ..Default::default()
        }
    }

    fn inode(&self, number: u32) -> Option<&InodeRecord> {
        self.inodes.get((number as usize).checked_sub(1)?)
    }

    fn inode_mut(&mut self, number: u32) -> Option<&mut InodeRecord> {
        self.inodes.get_mut((number as usize).checked_sub(1)?)
    }

    fn kind(&self, number: u32) -> Option<FileKind> {
        FileKind::from_mode(u32::from(self.inode(number)?.mode))
    }

    fn is_directory(&self, number: u32) -> bool {
        self.kind(number) == Some(FileKind::Directory)
    }

    /// Bytes of a name.
    pub(in crate::lower::tar) fn name(&self, name: &Name) -> &[u8] {
        let at = name.at as usize;
        self.names
            .get(at..at + usize::from(name.bytes))
            .unwrap_or_default()
    }

    fn hash(&self, parent: u32, name: &[u8]) -> u64 {
        self.hasher.hash_one((parent, name))
    }

    fn find(&self, parent: u32, name: &[u8]) -> Option<u32> {
        let found = self.table.find(self.hash(parent, name), |at| {
            self.dentries
                .get(*at as usize)
                .is_some_and(|dentry| dentry.parent == parent && self.name(dentry) == name)
        });
        found.copied()
    }

    /// The inode that a name of a directory has.
    fn child(&self, parent: u32, name: &[u8]) -> Option<u32> {
        let dentry = self.find(parent, name)?;
        Some(self.dentries.get(dentry as usize)?.inode)
    }

    fn add_inode(&mut self, record: InodeRecord) -> Result<u32, ScanError> {
        if self.inodes.len() >= COUNT_LIMIT {
            return Err(ScanError::TooMany);
        }
        self.inodes.push(record);
        Ok(self.inodes.len() as u32)
    }

    fn add_name(&mut self, parent: u32, name: &[u8], inode: u32) -> Result<(), ScanError> {
        if self.dentries.len() >= COUNT_LIMIT {
            return Err(ScanError::TooMany);
        }
        let hash = self.hash(parent, name);
        let at = self.names.len() as u64;
        self.names.extend_from_slice(name);
        self.dentries.push(Name {
            at,
            parent,
            inode,
            bytes: name.len() as u8,
        });
        let (dentries, names, hasher) = (&self.dentries, &self.names, &self.hasher);
        let rehash = |at: &u32| {
            dentries.get(*at as usize).map_or(0, |dentry| {
                let start = dentry.at as usize;
                let name = names.get(start..start + usize::from(dentry.bytes));
                hasher.hash_one((dentry.parent, name.unwrap_or_default()))
            })
        };
        self.table
            .insert_unique(hash, dentries.len() as u32 - 1, rehash);
        if let Some(parent) = self.inode_mut(parent) {
            parent.count += 1;
        }
        Ok(())
    }

    /// Takes in the next entry. The inner error says why it was left out.
    pub(in crate::lower::tar) fn add(
        &mut self,
        member: Member,
    ) -> Result<Result<(), Remark>, ScanError> {
        if let Err(fault) = path::check(&member.path) {
            return Ok(Err(fault.words().to_owned()));
        }
        let Some((directory, name)) = path::split(&member.path) else {
            return Ok(self.update_root(member));
        };
        let (directory, name) = (directory.to_vec(), name.to_vec());
        let parent = match self.directory(&directory)? {
            Ok(parent) => parent,
            Err(remark) => return Ok(Err(remark)),
        };
        let existing = self.find(parent, &name);
        let old = existing
            .and_then(|at| self.dentries.get(at as usize))
            .map(|found| found.inode);
        if let Some(fault) = link_fault(&member) {
            return Ok(Err(fault.to_owned()));
        }
        let makes_directory = member.kind == MemberKind::Node(FileKind::Directory);
        if let Some(old) = old.filter(|old| self.is_directory(*old)) {
            if makes_directory {
                self.set_attributes(old, member);
                self.touch(existing);
                return Ok(Ok(()));
            }
            if self.inode(old).is_some_and(|old| old.count > 0) {
                if self.layer.is_none() {
                    return Ok(Err(
                        "would replace a directory that is not empty; left out".to_owned()
                    ));
                }
                self.has_lost_names = true;
            }
        }
        if old.is_some_and(|old| self.kind(old) != Some(FileKind::Regular)) {
            // What was found by way of it is not there any more.
            self.recent = None;
        }
        let number = match member.kind {
            MemberKind::HardLink => match self.link_target(&member.link) {
                Ok(target) => target,
                Err(remark) => return Ok(Err(remark.to_owned())),
            },
            MemberKind::Node(kind) => self.add_node(kind, member)?,
        };
        match existing.and_then(|at| self.dentries.get_mut(at as usize)) {
            Some(dentry) => {
                dentry.inode = number;
                self.touch(existing);
            }
            None => self.add_name(parent, &name, number)?,
        }
        Ok(Ok(()))
    }

    fn update_root(&mut self, member: Member) -> Result<(), Remark> {
        if member.kind != MemberKind::Node(FileKind::Directory) {
            return Err("is named like the root but is no directory; left out".to_owned());
        }
        self.set_attributes(ROOT, member);
        Ok(())
    }

    fn link_target(&self, link: &[u8]) -> Result<u32, &'static str> {
        if path::check(link).is_err() {
            return Err("is a hard link to a name that no entry can have; left out");
        }
        match self.resolve(link) {
            None => Err("is a hard link to an entry that is not there (yet); left out"),
            Some(target) if self.is_directory(target) => {
                Err("is a hard link to a directory; left out")
            }
            Some(target) => Ok(target),
        }
    }

    fn add_node(&mut self, kind: FileKind, member: Member) -> Result<u32, ScanError> {
        let mut record = InodeRecord {
            mode: kind.mode_bits() as u16,
            rdev: member.rdev,
            dentry: NO_DENTRY,
            ..Default::default()
        };
        match kind {
            FileKind::Regular => self.place_data(&mut record, &member.data)?,
            FileKind::Symlink => {
                record.size = member.link.len() as u64;
                record.data = self.targets.len() as u64;
                self.targets.extend_from_slice(&member.link);
            }
            _ => {}
        }
        let number = self.add_inode(record)?;
        self.set_attributes(number, member);
        if kind == FileKind::Symlink
            && let Some(record) = self.inode_mut(number)
        {
            record.mode |= 0o777;
        }
        Ok(number)
    }

    /// Fills in where the contents of a regular file are.
    fn place_data(&mut self, record: &mut InodeRecord, data: &MemberData) -> Result<(), ScanError> {
        record.size = data.size;
        record.blocks = data.size.div_ceil(512);
        let packed;
        let extents = match (&data.extents, data.packed) {
            (Some(extents), _) => {
                record.flags = INODE_SPARSE;
                let lengths = extents.iter().map(|extent| extent.length.div_ceil(512));
                record.blocks = lengths.sum();
                &extents[..]
            }
            (None, Some(length)) => {
                record.flags = INODE_PACKED;
                packed = [Extent {
                    file_offset: 0,
                    length,
                    data_offset: data.offset,
                }];
                &packed
            }
            (None, None) => {
                record.data = data.offset;
                return Ok(());
            }
        };
        record.data = self.extents.len() as u64;
        record.count = u32::try_from(extents.len()).map_err(|_| ScanError::TooMany)?;
        self.extents.extend_from_slice(extents);
        Ok(())
    }

    fn set_attributes(&mut self, number: u32, member: Member) {
        let kind = self.kind(number);
        self.pending.remove(&number);
        let Some(record) = self.inode_mut(number) else {
            return;
        };
        record.mode = record.mode & 0o170_000 | member.permissions & 0o7777;
        record.uid = member.uid;
        record.gid = member.gid;
        record.mtime = member.mtime;
        record.atime = member.atime;
        record.ctime = member.ctime;
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
        if let Some(record) = self.inode_mut(number) {
            record.xattrs = at;
        }
    }

    /// Sets the bits of owner, group and others to what the kernel makes of an ACL. Some programs
    /// write the bits of the owning group into the header, where `st_mode` has the mask.
    fn set_permissions(&mut self, number: u32, acl: &[u8]) {
        if let (Some(record), Some(bits)) = (self.inode_mut(number), acl::mode_bits(acl)) {
            record.mode = record.mode & !0o777 | bits;
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
            let at = place.0 as usize;
            stored.get(at..at + place.1 as usize).unwrap_or_default()
        };
        let hash = hasher.hash_one(&*set);
        if let Some((at, _)) = self.xattr_sets.find(hash, |place| bytes(place) == set) {
            return at + 1;
        }
        let place = (self.xattrs.len() as u64, set.len() as u32);
        let rehash = |place: &(u64, u32)| hasher.hash_one(bytes(place));
        self.xattr_sets.insert_unique(hash, place, rehash);
        self.xattrs.extend_from_slice(&set);
        place.0 + 1
    }

    /// About how many bytes the tree takes.
    pub(in crate::lower::tar) fn memory(&self) -> u64 {
        let bytes = self.inodes.len() * size_of::<InodeRecord>()
            + self.dentries.len() * (size_of::<Name>() + 2 * size_of::<u32>())
            + self.extents.len() * size_of::<Extent>()
            + self.names.len()
            + self.targets.len()
            + self.xattrs.len();
        bytes as u64 + self.pending_bytes
    }

    /// Whether any entry carries attributes.
    pub(in crate::lower::tar) fn carries_xattrs(&self) -> bool {
        !self.xattrs.is_empty() || !self.pending.is_empty()
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

/// What is wrong with the target of a symbolic link; the kernel could not answer with it.
fn link_fault(member: &Member) -> Option<&'static str> {
    if member.kind != MemberKind::Node(FileKind::Symlink) {
        return None;
    }
    match &member.link {
        target if target.is_empty() => Some("is a symbolic link to nothing; left out"),
        target if target.contains(&0) => Some("is a symbolic link with a zero byte; left out"),
        target if target.len() > TARGET_MAX => {
            Some("is a symbolic link with a target of over 4095 bytes; left out")
        }
        _ => None,
    }
}

/// Longest target of a symbolic link (`PATH_MAX` without the zero behind it).
const TARGET_MAX: usize = 4095;

/// The kernel's names of the two ACLs.
const ACL_NAMES: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];
