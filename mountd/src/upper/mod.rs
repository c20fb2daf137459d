//! The store of one WPAR: everything that it ever wrote, and nothing else.
//!
//! ```text
//! STORE/store.json   format and version; the lock against a second daemon is held on it
//! STORE/tree/        the upper part of the merged tree, under the names that the WPAR sees
//! STORE/links/N      inode N that has, or had, several names
//! STORE/maps/N       which blocks of the partly copied inode N are the store's
//! STORE/orphans/N    inode N that has no name, or none any more, while the kernel still knows it
//! STORE/work/        what is being made; emptied when the store is opened
//! STORE/numbers      symbolic link whose target is the next unused inode number
//! STORE/usage        symbolic link whose target is what the store takes, if that is limited
//! STORE/taken        above a living lower: numbers that inodes took along; see `overlay/taken.rs`
//! STORE/hydrate.json, STORE/hydration.json    see [`crate::hydrate::note`]
//! ```
//!
//! (`STORE/generations` is the tool's: later stores, which lie above this one.)
//!
//! Regular files and directories are inodes of the WPAR (see [`record`] for what they carry); a
//! symbolic link in `tree` is a whiteout: that name of the lower does not exist here. A symbolic
//! link in `links` carries the number of names left to an inode that is otherwise still the
//! lower's. So `ls -l` and `cp` show a person what is in a store, and `tree/home/anna/letter` is
//! the contents of `/home/anna/letter`; but of a large file of the lower that was changed, the file
//! here has only the blocks that were (see [`blocks`]). Such a file is one with the extended
//! attribute `user.wpar.blocks`.
//!
//! Invariants:
//! * Every change is one atomic call of the host's file system, or a few whose crash in between
//!   is harmless or told by an intent (see [`intent`]). Nothing waits in memory: what was
//!   answered survives the daemon's death, and `fsync` makes it survive the machine's.
//! * The small facts (whiteouts, counters, intents) are symbolic links because those are
//!   journalled as metadata, in order with the renames that they belong to.
//! * This module knows directories by descriptor and checked names only. It knows nothing of the
//!   lower or of the merged tree.

pub mod blocks;
pub(crate) mod calls;
pub(crate) mod data;
mod draft;
mod founding;
pub mod guest_xattr;
pub mod intent;
pub mod names;
mod numbers;
pub mod object;
pub mod quota;
pub mod record;
pub mod remainder;
pub mod symlink;

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::upper::calls::{self as fs, AtFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use thiserror::Error;

use blocks::BootId;
pub use draft::Draft;
use names::{DIRECTORY, ListedKind};
use numbers::Numbers;
use object::UpperObject;
use quota::{Mark, Quota};

use crate::error::{FsError, FsResult};
use crate::spec::SpaceLimits;
use crate::sys::mount;
use crate::types::{Attr, EntryName, Ino};

/// Version of the store's format that this code writes.
pub const STORE_VERSION: u32 = 1;

/// Why a store cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A call of the host failed.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which object.
        path: PathBuf,
        /// What the host answered.
        source: std::io::Error,
    },
    /// The host's file system cannot hold records.
    #[error(
        "the file system of {path} has no user extended attributes, which a store needs; \
         use ext4, xfs, btrfs, or tmpfs of Linux 6.6 and later"
    )]
    NoXattrs {
        /// The store.
        path: PathBuf,
    },
    /// Somebody else has it open.
    #[error("the store {path} is in use by another process; stop that WPAR first")]
    InUse {
        /// The store.
        path: PathBuf,
    },
    /// Made by something else, or by a later version.
    #[error("{path} is not a store that this version can open: {why}")]
    Foreign {
        /// The store.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The store's contents make no sense.
    #[error("the store {path} is damaged: {source}")]
    Damaged {
        /// The store.
        path: PathBuf,
        /// What failed.
        source: FsError,
    },
}

/// What the root directory of a new store is made like.
#[derive(Clone, Debug)]
pub struct RootInode {
    /// Its attributes.
    pub attr: Attr,
    /// Its extended attributes, names and values.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Where the descriptors of a store lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Upwards, too, as those of any directory.
    Whole,
    /// To the store alone, where the kernel allows that: it is on a mount of its own, which ends at it.
    Inside,
}

impl Reach {
    /// The directory, and the mount of its own, which is not given up before the end: that would wait
    /// for all processors.
    pub(crate) fn open(self, path: &Path) -> Result<(OwnedFd, Option<OwnedFd>), Errno> {
        let store = fs::openat(fs::CWD, path, DIRECTORY, Mode::empty())?;
        if self == Self::Whole {
            return Ok((store, None));
        }
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        let inside = open_tree(&store, "", flags).and_then(|tree| {
            mount::keep_for_data(&tree)?;
            // What is read of it needs more than the place, which is all that this descriptor is.
            let store = fs::openat(&tree, ".", DIRECTORY, Mode::empty())?;
            Ok((store, Some(tree)))
        });
        match inside {
            Err(why @ (Errno::PERM | Errno::NOSYS | Errno::INVAL | Errno::ACCESS)) => {
                log::warn!("no private view of the store ({why}): its descriptors lead out of it");
                Ok((store, None))
            }
            inside => inside,
        }
    }
}

/// Who had a store open before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Whoever it was, the mount is gone: nobody has an inode without a name open.
    AfterAll,
    /// A daemon that died, of a mount that goes on.
    Takeover,
}

/// An open store. Only one process can have a store open.
pub struct UpperStore {
    path: PathBuf,
    directory: OwnedFd,
    tree: OwnedFd,
    links: OwnedFd,
    maps: OwnedFd,
    orphans: OwnedFd,
    work: OwnedFd,
    boot: Option<BootId>,
    numbers: Numbers,
    /// What the last end noted, until somebody asks.
    mark: Option<Mark>,
    quota: Option<Arc<Quota>>,
    /// Holds the lock.
    _lock: OwnedFd,
    /// A file of the host's own mount, which cannot be taken away meanwhile. Nothing leads up from a file.
    _busy: Option<OwnedFd>,
    _mount: Option<OwnedFd>,
}

impl fmt::Debug for UpperStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpperStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl UpperStore {
    /// Opens the store at `path`, or makes one there if there is nothing yet; its root directory
    /// is then made like `root`, and its own inodes numbers from `first_number` on.
    ///
    /// Completes what a crash interrupted; that takes time only for what was in flight.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open(path: &Path, root: &RootInode, first_number: u64) -> Result<Self, StoreError> {
        Self::open_as(path, root, first_number, Opening::AfterAll, Reach::Whole)
    }

    /// The same, knowing who had it open before, and by which way.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open_as(
        path: &Path,
        root: &RootInode,
        first_number: u64,
        opening: Opening,
        reach: Reach,
    ) -> Result<Self, StoreError> {
        let io = |action| {
            move |errno: Errno| StoreError::Io {
                action,
                path: path.to_path_buf(),
                source: errno.into(),
            }
        };
        match fs::mkdirat(fs::CWD, path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(io("create the store")(errno)),
        }
        let (store, mount) = reach.open(path).map_err(io("open the store"))?;
        let lock = founding::lock_description(&store, path)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let busy = fs::openat(
            fs::CWD,
            path.join(founding::DESCRIPTION),
            flags,
            Mode::empty(),
        )
        .ok();
        let directory =
            |name: &str| founding::open_or_make(&store, name).map_err(io("open a part of"));
        let tree = directory("tree")?;
        let links = directory("links")?;
        let maps = directory("maps")?;
        let orphans = directory("orphans")?;
        let work = directory("work")?;
        founding::establish_root(&tree, root, path)?;
        let own = rustix::io::fcntl_dupfd_cloexec(&store, 3).map_err(io("open the store"))?;
        let numbers = Numbers::open(own, first_number).map_err(|source| StoreError::Damaged {
            path: path.to_path_buf(),
            source,
        })?;
        let mark = Mark::take(&store).map_err(io("read what was noted of"))?;
        let opened = Self {
            path: path.to_path_buf(),
            directory: store,
            tree,
            links,
            maps,
            orphans,
            work,
            boot: BootId::of_this_host(),
            numbers,
            mark,
            quota: None,
            _lock: lock,
            _busy: busy,
            _mount: mount,
        };
        opened
            .recover(opening)
            .map_err(|source| StoreError::Damaged {
                path: path.to_path_buf(),
                source,
            })?;
        Ok(opened)
    }

    /// Keeps the store within `limits` from now on. Unless it was kept within any when it was last
    /// open, it is counted here, which takes about a second for some 200,000 files.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn limited(mut self, limits: SpaceLimits) -> Result<Self, StoreError> {
        if limits.is_none() {
            return Ok(self);
        }
        let mark = self.mark.take();
        let quota = Quota::open(&self, limits, mark).map_err(|error| StoreError::Io {
            action: "count what is in",
            path: self.path.clone(),
            source: error.errno().into(),
        })?;
        self.quota = Some(quota);
        Ok(self)
    }

    fn recover(&self, opening: Opening) -> FsResult<()> {
        intent::complete(self)?;
        if opening == Opening::AfterAll {
            self.remove_maps_of(self.orphans(), "")?;
            names::remove_all_below(self.orphans.as_fd())?;
        }
        self.remove_maps_of(self.work(), DISCARDED)?;
        names::remove_all_below(self.work.as_fd())?;
        match opening {
            Opening::AfterAll => blocks::recover(self),
            // The logs of block maps count until the host is restarted, and a sync may last.
            Opening::Takeover => Ok(()),
        }
    }

    /// Removes the maps of the inodes that are in `directory` as their number behind `prefix`. A
    /// map goes before its file: so what a crash leaves is found by the file.
    fn remove_maps_of(&self, directory: BorrowedFd<'_>, prefix: &str) -> FsResult<()> {
        let mut found = Vec::new();
        names::list(directory, &mut |name, kind| {
            // A whiteout is there on its way to the name that it is for: see `dispose`.
            let name = Some(name).filter(|_| kind == ListedKind::Object);
            let number = name.and_then(|name| std::str::from_utf8(name).ok());
            let number = number.and_then(|name| name.strip_prefix(prefix));
            found.extend(number.and_then(|number| number.parse().ok()).map(Ino));
        })?;
        for ino in found {
            blocks::remove_map(self, ino)?;
        }
        Ok(())
    }

    /// Where the store is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The quota that the store is kept within, if any.
    pub fn quota(&self) -> Option<&Arc<Quota>> {
        self.quota.as_ref()
    }

    /// The store's own directory.
    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Root of the upper part of the merged tree.
    pub fn tree(&self) -> BorrowedFd<'_> {
        self.tree.as_fd()
    }

    /// Directory of the inodes with several names.
    pub fn links(&self) -> BorrowedFd<'_> {
        self.links.as_fd()
    }

    /// Directory of the block maps.
    pub fn maps(&self) -> BorrowedFd<'_> {
        self.maps.as_fd()
    }

    /// Directory of the inodes without a name.
    pub fn orphans(&self) -> BorrowedFd<'_> {
        self.orphans.as_fd()
    }

    /// Directory of what is being made.
    pub fn work(&self) -> BorrowedFd<'_> {
        self.work.as_fd()
    }

    /// An inode number that was never used in this store.
    ///
    /// # Errors
    /// Those of the host's file system.
    pub fn allocate_number(&self) -> FsResult<Ino> {
        self.numbers.allocate(self.work.as_fd())
    }

    /// The first inode number that was never handed out in this store.
    pub fn first_unused(&self) -> u64 {
        self.numbers.first_unused()
    }

    /// What is known of inode `ino` in `links`.
    ///
    /// # Errors
    /// Those of the host's file system.
    pub fn linked(&self, ino: Ino) -> FsResult<LinkedInode> {
        let name = number_name(ino);
        let entry = EntryName::new(name.as_bytes())?;
        match fs::readlinkat(&self.links, name.as_str(), Vec::new()) {
            Ok(count) => {
                let count = count.to_str().ok().and_then(|text| text.parse().ok());
                Ok(LinkedInode::Counted(count.ok_or(FsError::Damaged)?))
            }
            Err(Errno::NOENT) => Ok(LinkedInode::Unknown),
            // Not a symbolic link: the inode itself.
            Err(Errno::INVAL) => match names::look_up(self.links.as_fd(), entry)? {
                names::UpperName::Object(object) => Ok(LinkedInode::Copied(object)),
                _ => Ok(LinkedInode::Unknown),
            },
            Err(errno) => Err(errno.into()),
        }
    }

    /// Records that `count` names are left to an inode of the lower; 0 forgets it.
    ///
    /// # Errors
    /// Those of the host's file system.
    pub fn set_link_count(&self, ino: Ino, count: u32) -> FsResult<()> {
        let name = number_name(ino);
        if count == 0 {
            return match fs::unlinkat(&self.links, name.as_str(), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(errno) => Err(errno.into()),
            };
        }
        names::replace_symlink(
            self.work(),
            count.to_string().as_bytes(),
            self.links(),
            &name,
        )
    }

    /// Space of the host's file system that the store lies on.
    ///
    /// # Errors
    /// Those of the host's file system.
    pub fn space(&self) -> FsResult<fs::StatVfs> {
        Ok(fs::fstatvfs(&self.tree)?)
    }
}

impl Drop for UpperStore {
    fn drop(&mut self) {
        if let Some(quota) = &self.quota {
            quota.end();
        }
    }
}

/// What `links` says of an inode.
#[derive(Debug)]
pub enum LinkedInode {
    /// Nothing: all is as the lower has it.
    Unknown,
    /// Still the lower's, with this number of names left.
    Counted(u32),
    /// Copied up.
    Copied(UpperObject),
}

/// What is before the number in the name, in `work`, of an inode that is being discarded.
pub const DISCARDED: &str = "d";

/// The name of inode `ino` in `links`, `maps` and `orphans`.
pub fn number_name(ino: Ino) -> String {
    ino.0.to_string()
}
