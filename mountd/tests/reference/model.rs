//! The reference: a POSIX tree in memory, simple and slow, with no layers at all.
//!
//! It says what the merged tree must be after each operation. It knows nothing of copy-up,
//! whiteouts or records, so it cannot share a mistake with the core.

use std::collections::BTreeMap;

use wpar_mountd::error::FsError;
use wpar_mountd::overlay::RenameMode;
use wpar_mountd::types::{FileKind, Timestamp};

/// Index of an inode in the model. Never used again.
pub(crate) type Id = usize;

/// The root directory.
pub(crate) const ROOT: Id = 0;

/// What is known of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Time {
    /// It is this.
    Exactly(Timestamp),
    /// It was set to the present during the test.
    Fresh,
    /// POSIX leaves it open.
    Any,
}

/// One inode.
#[derive(Clone, Debug)]
pub(crate) struct Inode {
    pub(crate) kind: FileKind,
    pub(crate) permissions: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) rdev: u32,
    pub(crate) mtime: Time,
    /// Names that it has, directories aside.
    pub(crate) names: u32,
    /// Names that it has in the lower and that are hidden.
    pub(crate) hidden_names: u32,
    /// A directory that was removed.
    pub(crate) removed: bool,
    /// A file that was made without a name and may get its first.
    pub(crate) unnamed: bool,
    pub(crate) data: Vec<u8>,
    pub(crate) target: Vec<u8>,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) entries: BTreeMap<Vec<u8>, Id>,
}

impl Inode {
    pub(crate) fn new(kind: FileKind, permissions: u16) -> Self {
        Self {
            kind,
            permissions,
            uid: 0,
            gid: 0,
            rdev: 0,
            mtime: Time::Fresh,
            names: 0,
            hidden_names: 0,
            removed: false,
            unnamed: false,
            data: Vec::new(),
            target: Vec::new(),
            xattrs: BTreeMap::new(),
            entries: BTreeMap::new(),
        }
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.kind == FileKind::Directory
    }

    /// What `st_nlink` must be, directories aside.
    pub(crate) fn nlink(&self) -> u32 {
        self.names + self.hidden_names
    }

    /// What a write by an ordinary user takes away.
    pub(crate) fn kill_privileges(&mut self) {
        self.permissions &= !0o4000;
        if self.permissions & 0o010 != 0 {
            self.permissions &= !0o2000;
        }
        self.xattrs.remove(&b"security.capability"[..]);
    }
}

/// The tree.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) inodes: Vec<Inode>,
}

type Outcome<T = ()> = Result<T, FsError>;

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            inodes: vec![Inode::new(FileKind::Directory, 0o755)],
        }
    }

    pub(crate) fn find(&self, dir: Id, name: &[u8]) -> Outcome<Id> {
        let found = self.inodes[dir].entries.get(name);
        found.copied().ok_or(FsError::NotFound)
    }

    /// Whether `id` is `above` or somewhere below it.
    pub(crate) fn is_within(&self, id: Id, above: Id) -> bool {
        let below = &self.inodes[above].entries;
        id == above || below.values().any(|&next| self.is_within(id, next))
    }

    fn touch(&mut self, dir: Id) {
        self.inodes[dir].mtime = Time::Fresh;
    }

    fn attach(&mut self, dir: Id, name: &[u8], id: Id) {
        assert_eq!(self.inodes[dir].entries.insert(name.to_vec(), id), None);
        self.inodes[id].names += 1;
    }

    fn detach(&mut self, dir: Id, name: &[u8]) -> Option<Id> {
        let id = self.inodes[dir].entries.remove(name)?;
        self.inodes[id].names -= 1;
        Some(id)
    }

    /// Where a name may be made.
    fn expect_free(&self, dir: Id, name: &[u8]) -> Outcome {
        if self.inodes[dir].removed {
            Err(FsError::NotFound)
        } else if self.find(dir, name).is_ok() {
            Err(FsError::Exists)
        } else {
            Ok(())
        }
    }

    pub(crate) fn create(&mut self, dir: Id, name: &[u8], inode: Inode) -> Outcome<Id> {
        self.expect_free(dir, name)?;
        let id = self.add(dir, inode);
        self.attach(dir, name, id);
        self.touch(dir);
        Ok(id)
    }

    /// Makes a file without a name.
    pub(crate) fn create_unnamed(&mut self, dir: Id, mut inode: Inode) -> Outcome<Id> {
        if self.inodes[dir].removed {
            return Err(FsError::NotFound);
        }
        inode.unnamed = true;
        Ok(self.add(dir, inode))
    }

    /// Adds an inode that gets from `dir` what a new one gets.
    fn add(&mut self, dir: Id, mut inode: Inode) -> Id {
        let above = &self.inodes[dir];
        if above.permissions & 0o2000 != 0 {
            inode.gid = above.gid;
            if inode.is_directory() {
                inode.permissions |= 0o2000;
            }
        }
        self.inodes.push(inode);
        self.inodes.len() - 1
    }

    pub(crate) fn link(&mut self, id: Id, dir: Id, name: &[u8]) -> Outcome {
        if self.inodes[id].is_directory() {
            return Err(FsError::NotPermitted);
        }
        self.expect_free(dir, name)?;
        if self.inodes[id].nlink() == 0 && !self.inodes[id].unnamed {
            return Err(FsError::NotFound);
        }
        self.inodes[id].unnamed = false;
        self.attach(dir, name, id);
        self.touch(dir);
        Ok(())
    }

    pub(crate) fn unlink(&mut self, dir: Id, name: &[u8]) -> Outcome {
        let id = self.find(dir, name)?;
        if self.inodes[id].is_directory() {
            return Err(FsError::IsDirectory);
        }
        self.detach(dir, name);
        self.touch(dir);
        Ok(())
    }

    pub(crate) fn remove_directory(&mut self, dir: Id, name: &[u8]) -> Outcome {
        let id = self.find(dir, name)?;
        if !self.inodes[id].is_directory() {
            return Err(FsError::NotDirectory);
        }
        if !self.inodes[id].entries.is_empty() {
            return Err(FsError::NotEmpty);
        }
        self.detach(dir, name);
        self.inodes[id].removed = true;
        self.touch(dir);
        Ok(())
    }

    /// Renames, but for the loops that the kernel refuses before any file system is asked.
    pub(crate) fn rename(
        &mut self,
        from: (Id, &[u8]),
        to: (Id, &[u8]),
        mode: RenameMode,
    ) -> Outcome {
        let id = self.find(from.0, from.1)?;
        let other = self.find(to.0, to.1).ok();
        if self.inodes[to.0].removed {
            return Err(FsError::NotFound);
        }
        match (mode, other) {
            (RenameMode::NoReplace | RenameMode::Whiteout { replace: false, .. }, Some(_)) => {
                return Err(FsError::Exists);
            }
            (RenameMode::Exchange, None) => return Err(FsError::NotFound),
            (_, Some(other)) if other == id => return Ok(()),
            (RenameMode::Exchange, _) | (_, None) => {}
            (_, Some(other)) => self.expect_replaceable(id, other)?,
        }
        self.detach(from.0, from.1);
        if let Some(other) = self.detach(to.0, to.1) {
            if mode == RenameMode::Exchange {
                self.attach(from.0, from.1, other);
            } else {
                self.inodes[other].removed = self.inodes[other].is_directory();
            }
        }
        self.attach(to.0, to.1, id);
        if let RenameMode::Whiteout { caller, .. } = mode {
            let mut device = Inode::new(FileKind::CharDevice, 0);
            (device.uid, device.gid) = (caller.uid, caller.gid);
            device.inherit(&self.inodes[from.0], 0);
            self.create(from.0, from.1, device)?;
        }
        self.touch(from.0);
        self.touch(to.0);
        Ok(())
    }

    fn expect_replaceable(&self, id: Id, other: Id) -> Outcome {
        let other = &self.inodes[other];
        match (self.inodes[id].is_directory(), other.is_directory()) {
            (true, false) => Err(FsError::NotDirectory),
            (false, true) => Err(FsError::IsDirectory),
            (true, true) if !other.entries.is_empty() => Err(FsError::NotEmpty),
            _ => Ok(()),
        }
    }

    /// Takes a name of the lower away that is hidden, with everything below it.
    pub(crate) fn hide(&mut self, dir: Id, name: &[u8]) {
        let Some(id) = self.detach(dir, name) else {
            return;
        };
        self.inodes[id].hidden_names += 1;
        self.hide_contents(id);
    }

    /// Takes everything in a directory of the lower away.
    pub(crate) fn hide_contents(&mut self, dir: Id) {
        for name in self.inodes[dir].entries.keys().cloned().collect::<Vec<_>>() {
            self.hide(dir, &name);
        }
    }
}

/// `setxattr(2)` with its flags.
pub(crate) fn set_xattr(
    xattrs: &mut BTreeMap<Vec<u8>, Vec<u8>>,
    name: &[u8],
    value: &[u8],
    create: bool,
    replace: bool,
) -> Outcome {
    match xattrs.contains_key(name) {
        true if create => return Err(FsError::Exists),
        false if replace => return Err(FsError::NoAttribute),
        _ => {}
    }
    xattrs.insert(name.to_vec(), value.to_vec());
    Ok(())
}
