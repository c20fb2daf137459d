//! A small world for one trial: a lower, a store, the merged tree, and what the kernel remembers.

use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::XattrFlags;
use tempfile::TempDir;

use crate::error::{FsError, FsResult};
use crate::lower::LowerLayer;
use crate::lower::memory::MemoryLower;
use crate::overlay::{CopyUp, NewInode, Overlay, RenameMode, SetAttr};
use crate::types::{Caller, EntryName, FileKind, Ino};
use crate::upper::{StoreError, UpperStore};

/// Size of a block of partly copied files.
pub(super) const BLOCK: usize = 64;

/// The two places that a trial is about.
pub(super) const FROM: &str = "d1/a";
pub(super) const TO: &str = "d2/b";

/// The encoding of `u::rwx,u:1000:rw-,g::r-x,m::rwx,o::r--`.
pub(super) fn acl() -> Vec<u8> {
    let entries = [
        (1, 7, u32::MAX),
        (2, 6, 1000),
        (4, 5, u32::MAX),
        (16, 7, u32::MAX),
    ];
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, bits, id) in entries.into_iter().chain([(32_u16, 4_u16, u32::MAX)]) {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(bits.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// What is at a place before the trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thing {
    Absent,
    /// A name of the lower that was removed.
    Whiteout,
    /// What a crash left of a creation: a file, or a directory, without a record.
    FileRemains,
    DirectoryRemains,
    LowerFile,
    /// Larger than what is copied whole.
    LowerBig,
    CopiedFile,
    CopiedBig,
    NewFile,
    /// A new file where the lower had another one.
    NewOverWhiteout,
    LowerLinked,
    /// One of two names of the lower, the other of which is gone.
    LastLowerName,
    CopiedLinked,
    NewLinked,
    NewSymlink,
    LowerDirectory,
    LowerEmpty,
    /// A directory of the lower with a new file in it.
    Merged,
    /// A directory of the lower from which everything was removed.
    Emptied,
    /// A directory of the lower that was somewhere else before.
    Moved,
    NewDirectory,
}

pub(super) struct World {
    directory: TempDir,
    lower: Arc<dyn LowerLayer>,
    pub(super) overlay: Option<Overlay>,
    lookups: Vec<Ino>,
    /// Files that a program has open.
    pub(super) held: Vec<Ino>,
    /// Whether the kernel looks up what a call is about, as it does for a program.
    pub(super) looks: bool,
}

fn text(seed: u8, length: usize) -> Vec<u8> {
    (0..length).map(|at| seed + (at % 20) as u8).collect()
}

fn lower_with(things: &[(&str, Thing)]) -> MemoryLower {
    let mut lower = MemoryLower::builder().directory("d1/other").directory("d2");
    for &(path, thing) in things {
        let second = format!("{path}-second");
        lower = match thing {
            Thing::Whiteout | Thing::LowerFile | Thing::CopiedFile | Thing::NewOverWhiteout => {
                lower
                    .file(path, text(b'a', 300))
                    .attributes(path, |attr| attr.permissions = 0o6755)
                    .xattr(path, "security.capability", b"cap")
                    .xattr(path, "user.k", b"value")
                    .xattr(path, "system.posix_acl_access", acl())
            }
            Thing::LowerBig | Thing::CopiedBig => lower.file(path, text(b'A', 20 * BLOCK + 11)),
            Thing::LowerLinked | Thing::CopiedLinked | Thing::LastLowerName => {
                lower.file(path, text(b'a', 200)).hard_link(path, &second)
            }
            Thing::LowerDirectory | Thing::Merged | Thing::Emptied => lower
                .file(format!("{path}/leaf"), b"leaf")
                .xattr(path, "system.posix_acl_default", acl()),
            Thing::LowerEmpty => lower.directory(path),
            Thing::Moved => lower.file(format!("{second}/leaf"), b"leaf"),
            _ => lower,
        };
    }
    lower.build().unwrap()
}

impl World {
    /// A world with these things in it, which the kernel has forgotten since.
    pub(super) fn new(things: &[(&str, Thing)], looks: bool) -> Self {
        let memory = std::path::Path::new("/dev/shm");
        let directory = if memory.is_dir() {
            TempDir::new_in(memory).unwrap()
        } else {
            TempDir::new().unwrap()
        };
        let mut world = Self {
            directory,
            lower: Arc::new(lower_with(things)),
            overlay: None,
            lookups: Vec::new(),
            held: Vec::new(),
            looks,
        };
        world.open().unwrap();
        for &(path, thing) in things {
            world.prepare(path, thing).unwrap();
        }
        world.forget_all();
        world
    }

    pub(super) fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    pub(super) fn core(&self) -> &Overlay {
        self.overlay.as_ref().unwrap()
    }

    /// Opens the store, as a daemon that starts.
    pub(super) fn open(&mut self) -> Result<(), StoreError> {
        self.overlay = None;
        self.lookups.clear();
        self.held.clear();
        let root = crate::source::root_of(&*self.lower).unwrap();
        let store = UpperStore::open(&self.store(), &root, self.lower.first_free())?;
        let overlay = Overlay::new(Arc::clone(&self.lower), Some(store));
        self.overlay = Some(overlay.with_copy_up(CopyUp {
            whole: 10 * BLOCK as u64,
            whole_of_living: 0,
            block_size: BLOCK as u32,
        }));
        Ok(())
    }

    /// The daemon is killed.
    pub(super) fn die(&mut self) {
        self.core().abandon();
        self.overlay = None;
    }

    pub(super) fn is_new(&self, ino: Ino) -> bool {
        ino.0 >= self.lower.first_free()
    }

    fn prepare(&mut self, path: &str, thing: Thing) -> FsResult<()> {
        let second = format!("{path}-second");
        match thing {
            Thing::Whiteout => self.unlink(path),
            Thing::FileRemains | Thing::DirectoryRemains => {
                // Makes the directory the store's.
                self.create(&second, FileKind::Regular)?;
                self.unlink(&second)?;
                let remains = self.store().join("tree").join(path);
                if thing == Thing::FileRemains {
                    std::fs::write(remains, b"torn")?;
                } else {
                    std::fs::create_dir(remains)?;
                }
                Ok(())
            }
            Thing::CopiedFile | Thing::CopiedLinked => self.write(path, 5, b"0123456789"),
            Thing::CopiedBig => {
                self.write(path, 100, b"0123456789")?;
                let ino = self.ino(path)?;
                self.core().sync(ino, true)?;
                self.write(path, 500, b"0123456789")
            }
            Thing::NewFile => self.make_file(path),
            Thing::NewOverWhiteout => {
                self.unlink(path)?;
                self.make_file(path)
            }
            Thing::LastLowerName => self.unlink(&second),
            Thing::NewLinked => {
                self.make_file(path)?;
                self.link(path, &second)
            }
            Thing::NewSymlink => self.create(path, FileKind::Symlink),
            Thing::Merged => self.make_file(&format!("{path}/new")),
            Thing::Emptied => self.unlink(&format!("{path}/leaf")),
            Thing::Moved => self.rename(&second, path, RenameMode::Replace),
            Thing::NewDirectory => self.create(path, FileKind::Directory),
            Thing::Absent
            | Thing::LowerFile
            | Thing::LowerBig
            | Thing::LowerLinked
            | Thing::LowerDirectory
            | Thing::LowerEmpty => Ok(()),
        }
    }

    fn make_file(&mut self, path: &str) -> FsResult<()> {
        self.create(path, FileKind::Regular)?;
        self.write(path, 0, &text(b'n', 150))
    }

    /// The kernel gives everything back that no program has open.
    pub(super) fn forget_all(&mut self) {
        for ino in std::mem::take(&mut self.lookups) {
            self.core().forget(ino, 1);
        }
    }

    /// A program opens a file.
    pub(super) fn hold(&mut self, path: &str) {
        let ino = self.ino(path).unwrap();
        self.lookups.pop();
        self.held.push(ino);
    }

    pub(super) fn look_up(&mut self, dir: Ino, name: &[u8]) -> FsResult<Option<Ino>> {
        let overlay = self.overlay.as_ref().unwrap();
        let Some(found) = overlay.lookup(dir, EntryName::new(name)?)? else {
            return Ok(None);
        };
        let ino = found.hand_over().0;
        self.lookups.push(ino);
        Ok(Some(ino))
    }

    pub(super) fn ino(&mut self, path: &str) -> FsResult<Ino> {
        let mut at = Ino::ROOT;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let found = self.look_up(at, name.as_bytes())?;
            at = found.ok_or(FsError::NotFound)?;
        }
        Ok(at)
    }

    fn end<'p>(&mut self, path: &'p str) -> FsResult<(Ino, EntryName<'p>)> {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let dir = self.ino(above)?;
        if self.looks {
            self.look_up(dir, name.as_bytes())?;
        }
        Ok((dir, EntryName::new(name.as_bytes())?))
    }

    pub(super) fn create(&mut self, path: &str, kind: FileKind) -> FsResult<()> {
        let (dir, name) = self.end(path)?;
        let is_link = kind == FileKind::Symlink;
        let new = NewInode {
            kind,
            permissions: 0o777,
            umask: 0o022,
            rdev: if kind == FileKind::CharDevice { 7 } else { 0 },
            target: if is_link { b"some/where" } else { b"" },
            caller: Caller { uid: 3, gid: 4 },
        };
        let ino = self.core().create(dir, name, &new)?.hand_over().0;
        self.lookups.push(ino);
        Ok(())
    }

    /// As a program does it that opens with `O_TMPFILE` and links; if that fails it closes.
    pub(super) fn create_unnamed(&mut self, path: &str) -> FsResult<()> {
        let (dir, name) = self.end(path)?;
        let new = NewInode {
            kind: FileKind::Regular,
            permissions: 0o644,
            umask: 0,
            rdev: 0,
            target: b"",
            caller: Caller { uid: 3, gid: 4 },
        };
        let ino = self.core().create_unnamed(dir, &new)?.hand_over().0;
        self.lookups.push(ino);
        self.core().write(ino, b"without a name", 0, false)?;
        self.core().link(ino, dir, name)?.hand_over();
        self.lookups.push(ino);
        Ok(())
    }

    pub(super) fn link(&mut self, path: &str, new: &str) -> FsResult<()> {
        let ino = self.ino(path)?;
        let (dir, name) = self.end(new)?;
        let ino = self.core().link(ino, dir, name)?.hand_over().0;
        self.lookups.push(ino);
        Ok(())
    }

    pub(super) fn unlink(&mut self, path: &str) -> FsResult<()> {
        let (dir, name) = self.end(path)?;
        self.core().unlink(dir, name)
    }

    pub(super) fn remove_directory(&mut self, path: &str) -> FsResult<()> {
        let (dir, name) = self.end(path)?;
        self.core().remove_directory(dir, name)
    }

    pub(super) fn rename(&mut self, from: &str, to: &str, mode: RenameMode) -> FsResult<()> {
        let from = self.end(from)?;
        let to = self.end(to)?;
        self.core().rename(from, to, mode)
    }

    pub(super) fn write(&mut self, path: &str, at: u64, data: &[u8]) -> FsResult<()> {
        let ino = self.ino(path)?;
        self.core().write(ino, data, at, true).map(drop)
    }

    pub(super) fn set_attr(&mut self, path: &str, set: SetAttr) -> FsResult<()> {
        let ino = self.ino(path)?;
        self.core().set_attr(ino, &set).map(drop)
    }

    pub(super) fn set_xattr(&mut self, path: &str, name: &str, value: &[u8]) -> FsResult<()> {
        let ino = self.ino(path)?;
        let flags = XattrFlags::empty();
        self.core().set_xattr(ino, name.as_bytes(), value, flags)
    }
}
