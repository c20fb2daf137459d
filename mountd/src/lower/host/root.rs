//! The root of the tree: how it is opened and what belongs to it.
//!
//! The normal way is a private clone of the one mount that the path lies on, read-only and
//! without the mounts below it: what they cover is seen as it is, and neither `/proc` nor a file
//! system of this very daemon can be entered, which would be waiting for itself. Where the kernel
//! refuses that, the directory is opened as it is and every step is checked not to leave the
//! mount ([`Root::sealed`] is false then).

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use log::warn;
use rustix::fs::{self, AtFlags, CWD, Mode, OFlags, ResolveFlags, Statx, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use thiserror::Error;

use crate::spec::RootMark;
use crate::sys::mount;

/// Why a directory of the host cannot be shown.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HostError {
    /// It cannot be opened.
    #[error("cannot open the directory {} to show it: {why}", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        why: Errno,
    },
    /// Extended attributes could not be read.
    #[error(
        "cannot show the directory {}: /proc is not mounted, and extended attributes are read \
         through /proc/self/fd; mount it first",
        path.display()
    )]
    NoProc {
        /// The directory.
        path: PathBuf,
    },
    /// Its file system numbers inodes in a way that leaves the store none.
    #[error(
        "cannot show the directory {}: its inode number {inode} is over the limit of 2^47; \
         use a directory on another file system",
        path.display()
    )]
    InodeNumber {
        /// The directory.
        path: PathBuf,
        /// Number of its inode.
        inode: u64,
    },
}

/// The opened root.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) fd: Arc<OwnedFd>,
    /// Whether `fd` is on a mount of our own that nothing else is mounted in.
    pub(super) sealed: bool,
    /// Whether every directory below is certainly of the same file system, without asking each.
    pub(super) whole: bool,
    /// Whether it is a btrfs: see [`Self::owns`].
    btrfs: bool,
    pub(super) inode: u64,
    /// Major and minor number of the file system.
    device: (u32, u32),
    /// Number of the mount, 0 before Linux 5.8.
    mount: u64,
}

/// `f_type` of btrfs (`linux/magic.h`).
const BTRFS_SUPER_MAGIC: fs::FsWord = 0x9123_683e;

/// Number of the directory in a snapshot of btrfs that is in the place of a subvolume
/// (`BTRFS_EMPTY_SUBVOL_DIR_OBJECTID`).
const EMPTY_SUBVOLUME: u64 = 2;

/// `f_type` of ext2, ext3 and ext4.
const EXT4_SUPER_MAGIC: fs::FsWord = 0xef53;

/// Attributes asked for in every call.
pub(super) const STATX: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::MNT_ID);

impl Root {
    pub(super) fn open(path: &Path) -> Result<Self, HostError> {
        let failed = |why| HostError::Open {
            path: path.to_owned(),
            why,
        };
        let (fd, sealed) = match clone_mount(path) {
            Ok(fd) => (fd, true),
            Err(why @ (Errno::PERM | Errno::NOSYS | Errno::INVAL | Errno::ACCESS)) => {
                warn!(
                    "no private view of {} ({why}): mounts below it are left out one by one",
                    path.display()
                );
                (open_directory(path).map_err(failed)?, false)
            }
            Err(why) => return Err(failed(why)),
        };
        Self::of(fd, sealed).map_err(failed)
    }

    /// The root of a mount that is nobody else's.
    pub(super) fn of_mount(mount: OwnedFd, path: &Path) -> Result<Self, HostError> {
        Self::of(mount, true).map_err(|why| HostError::Open {
            path: path.to_owned(),
            why,
        })
    }

    /// The root without a clone of the mount.
    #[cfg(test)]
    pub(super) fn open_unsealed(path: &Path) -> Result<Self, HostError> {
        let fd = open_directory(path).and_then(|fd| Self::of(fd, false));
        fd.map_err(|why| HostError::Open {
            path: path.to_owned(),
            why,
        })
    }

    fn of(fd: OwnedFd, sealed: bool) -> Result<Self, Errno> {
        let stat = fs::statx(&fd, "", AtFlags::EMPTY_PATH, STATX)?;
        // Everything relies on openat2: a kernel or a filter without it is told here.
        drop(fs::openat2(
            &fd,
            ".",
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
            RESOLVE,
        )?);
        // Subvolumes of btrfs have devices of their own without being mounts.
        let btrfs = fs::fstatfs(&fd)?.f_type == BTRFS_SUPER_MAGIC;
        let whole = sealed && !btrfs;
        Ok(Self {
            btrfs,
            fd: Arc::new(fd),
            sealed,
            whole,
            inode: stat.stx_ino,
            device: (stat.stx_dev_major, stat.stx_dev_minor),
            mount: stat.stx_mnt_id,
        })
    }

    /// Whether `stat` is of the root's own file system and mount. In a snapshot of btrfs the place of
    /// each subvolume is an empty directory, all of one number: none of them is counted as its own.
    pub(super) fn owns(&self, stat: &Statx) -> bool {
        let is_place = self.btrfs && stat.stx_ino == EMPTY_SUBVOLUME;
        !is_place
            && (stat.stx_dev_major, stat.stx_dev_minor) == self.device
            && stat.stx_mnt_id == self.mount
    }
}

/// What tells the root of the file system that is mounted at `path` from any other.
///
/// # Errors
/// Those of opening it and of `statx(2)`.
pub fn mark_at(path: &Path) -> io::Result<RootMark> {
    Ok(mark(&open_directory(path)?)?)
}

pub(super) fn mark(root: &OwnedFd) -> Result<RootMark, Errno> {
    let asked = StatxFlags::INO | StatxFlags::BTIME;
    let stat = fs::statx(root, "", AtFlags::EMPTY_PATH, asked)?;
    // Of these two it is made of the UUID; of others it may be the number of the device.
    let is_lasting = [BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC].contains(&fs::fstatfs(root)?.f_type);
    let is_born = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
    Ok(RootMark {
        inode: stat.stx_ino,
        born: is_born.then_some((stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec)),
        id: is_lasting
            .then(|| fs::fstatvfs(root).map(|stat| stat.f_fsid))
            .transpose()?,
    })
}

/// How one component is resolved: within its directory, in every respect.
pub(super) const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

fn clone_mount(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, path, flags)?;
    // The descriptor of the clone itself is the only thing that keeps the mount alive.
    let stat = fs::statx(&tree, "", AtFlags::EMPTY_PATH, StatxFlags::TYPE)?;
    if !fs::FileType::from_raw_mode(stat.stx_mode.into()).is_dir() {
        return Err(Errno::NOTDIR);
    }
    mount::seal_mount(&tree)?;
    Ok(tree)
}

fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fs::open(path, flags, Mode::empty())
}
