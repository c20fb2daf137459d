//! The tree of an archive while its entries come in.
//!
//! Numbers are given in the order in which a new inode first appears: the root is 1, the first
//! entry (or the first parent that it needs) is 2, and so on. A number is never given twice; the
//! inode of an entry that a later one replaces leaves its number unused.
//!
//! What there is one of for each entry is in [`Scratch`] files (`records`), so that a tree takes no more
//! memory for it than a few bytes in the `table` of names. `walk` follows symbolic links that lead to an entry, never out of the root; `layers` lays one
//! archive over another and takes away what whiteouts name.

mod attributes;
mod layers;
mod records;
mod table;
mod walk;

pub(in crate::lower::tar) use layers::LayerEntry;
pub(in crate::lower::tar) use records::{Inodes, Name, Names, Numbers};
pub(in crate::lower::tar) use walk::StoredFile;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use hashbrown::HashTable;

use crate::sys::scratch::Scratch;
use crate::types::{FileKind, Timestamp};

use crate::lower::tar::error::ScanError;
use crate::lower::tar::format::{
    EXTENT_BYTES, INODE_PACKED, INODE_SPARSE, InodeRecord, NO_DENTRY, encode_extent,
};
use crate::lower::tar::member::{Member, MemberData, MemberKind};
use crate::lower::tar::path;
use crate::lower::tar::sparse::Extent;
use attributes::PendingAcl;
use table::NameTable;

/// Number of the root.
pub(in crate::lower::tar) const ROOT: u32 = 1;
/// Most inodes and most names, so that numbers of both fit in 32 bits with room to spare.
pub(in crate::lower::tar) const COUNT_LIMIT: usize = 1 << 31;

/// Why an entry was left out, or what is odd about it, in words that follow its name.
pub(in crate::lower::tar) type Remark = String;

/// The growing tree.
#[derive(Debug)]
pub(in crate::lower::tar) struct Tree {
    /// Inodes by number. A directory's `count` is kept up to date.
    pub(in crate::lower::tar) inodes: Inodes,
    /// Names in the order in which they came.
    pub(in crate::lower::tar) names: Names,
    /// Targets of symbolic links.
    pub(in crate::lower::tar) targets: Scratch,
    /// Extents of sparse files, as the index stores them.
    pub(in crate::lower::tar) extents: Scratch,
    /// Sets of extended attributes, as the index stores them.
    pub(in crate::lower::tar) xattrs: Scratch,
    /// Where scratch files are made.
    pub(in crate::lower::tar) scratch: Option<PathBuf>,
    /// Where sets begin in `xattrs`, by their bytes: most inodes have the same few.
    xattr_sets: HashTable<(u64, u32)>,
    table: NameTable,
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
    /// A tree of a root only, which grows in files without names in the directory `scratch`, or in
    /// memory. Directories that the archive does not describe, the root among them, belong to root, have
    /// mode 0755 and `generated_mtime`.
    pub(in crate::lower::tar) fn new(generated_mtime: Timestamp, scratch: Option<&Path>) -> Self {
        let mut tree = Self {
            inodes: Inodes::new(scratch),
            names: Names::new(scratch),
            targets: Scratch::new(scratch),
            extents: Scratch::new(scratch),
            xattrs: Scratch::new(scratch),
            scratch: scratch.map(Path::to_path_buf),
            xattr_sets: HashTable::new(),
            table: NameTable::default(),
            hasher: RandomState::new(),
            pending: HashMap::new(),
            pending_bytes: 0,
            recent: None,
            generated_mtime,
            layer: None,
            has_lost_names: false,
        };
        let root = tree.generated_directory();
        tree.inodes.push(&root);
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

    fn kind(&self, number: u32) -> Option<FileKind> {
        FileKind::from_mode(u32::from(self.inodes.mode(number)?))
    }

    fn is_directory(&self, number: u32) -> bool {
        self.kind(number) == Some(FileKind::Directory)
    }

    fn hash(&self, parent: u32, name: &[u8]) -> u64 {
        self.hasher.hash_one((parent, name))
    }

    fn find(&self, parent: u32, name: &[u8]) -> Option<u32> {
        self.table.find(self.hash(parent, name), |at| {
            self.names
                .get(at)
                .is_some_and(|found| found.parent == parent && self.names.text(&found) == name)
        })
    }

    /// The inode that a name of a directory has.
    fn child(&self, parent: u32, name: &[u8]) -> Option<u32> {
        Some(self.names.get(self.find(parent, name)?)?.inode)
    }

    fn add_inode(&mut self, record: &InodeRecord) -> Result<u32, ScanError> {
        if self.inodes.len() >= COUNT_LIMIT {
            return Err(ScanError::TooMany);
        }
        self.inodes.push(record);
        Ok(self.inodes.len() as u32)
    }

    fn add_name(&mut self, parent: u32, name: &[u8], inode: u32) -> Result<(), ScanError> {
        if self.names.len() >= COUNT_LIMIT {
            return Err(ScanError::TooMany);
        }
        if !self.table.has_room() {
            self.grow_table();
        }
        let hash = self.hash(parent, name);
        let place = self.names.push(parent, name, inode);
        self.table.insert(hash, place);
        self.inodes.change(parent, |parent| parent.count += 1);
        Ok(())
    }

    /// Fills a larger table, in the order of the names, which are read front to back.
    fn grow_table(&mut self) {
        self.table = NameTable::default();
        let mut table = NameTable::with_room(self.names.len());
        for (place, name) in self.names.iter().filter(|(_, name)| name.inode != 0) {
            table.insert(self.hash(name.parent, self.names.text(&name)), place);
        }
        self.table = table;
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
            .and_then(|at| self.names.get(at))
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
            if self.inodes.get(old).is_some_and(|old| old.count > 0) {
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
        match existing.and_then(|at| Some((at, self.names.get(at)?))) {
            Some((at, name)) => {
                let inode = number;
                self.names.set(at, &Name { inode, ..name });
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
                self.targets.push(&member.link);
            }
            _ => {}
        }
        let number = self.add_inode(&record)?;
        self.set_attributes(number, member);
        if kind == FileKind::Symlink {
            self.inodes.change(number, |record| record.mode |= 0o777);
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
        record.data = (self.extents.len() / EXTENT_BYTES) as u64;
        record.count = u32::try_from(extents.len()).map_err(|_| ScanError::TooMany)?;
        for extent in extents {
            self.extents.push(&encode_extent(extent));
        }
        Ok(())
    }

    /// About how many bytes the tree takes, in memory and in scratch files.
    pub(in crate::lower::tar) fn memory(&self) -> u64 {
        let bytes = self.inodes.len() * size_of::<InodeRecord>()
            + self.names.len() * (size_of::<Name>() + 2 * size_of::<u32>())
            + self.extents.len()
            + self.names.text_bytes()
            + self.targets.len()
            + self.xattrs.len();
        bytes as u64 + self.pending_bytes
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
