//! Facts about the running system: its mounts, the disks that they are on, its swap files.
//!
//! What they mean is decided in [`crate::policy`].

mod disks;
mod mountinfo;
mod open_files;
mod subvolumes;

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use wpar_mountd::spec::RootMark;

pub use disks::Disks;
pub(crate) use mountinfo::parse_mountinfo;
use mountinfo::parse_swaps;
pub use mountinfo::visible;
pub use open_files::{OpenFile, open_for_writing};

/// One mount, from a line of `/proc/PID/mountinfo` (proc_pid_mountinfo(5)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// Its number.
    pub id: u64,
    /// Number of the mount that it is mounted in.
    pub parent: u64,
    /// Major and minor number of its file system.
    pub device: (u32, u32),
    /// The directory of the file system that it shows.
    pub root: PathBuf,
    /// Where it is mounted.
    pub point: PathBuf,
    /// Type of the file system, with its sub-type: `ext4`, `fuse.sshfs`.
    pub fs_type: String,
    /// Device or other source, as the file system names it.
    pub source: String,
    /// Whether it shows a file system (of btrfs, a subvolume) from its root on; if not, it is a bind
    /// mount of some directory or file in it.
    pub is_whole: bool,
}

impl Mount {
    /// Whether it is the kernel's own disk that answers, not a server or another process.
    pub fn answers_locally(&self) -> bool {
        const LOCAL: &[&str] = &[
            "bcachefs", "btrfs", "erofs", "ext2", "ext3", "ext4", "f2fs", "jfs", "squashfs",
            "tmpfs", "xfs", "zfs",
        ];
        LOCAL.contains(&self.fs_type.as_str())
    }

    /// Whether files that outlive a boot of the host are kept in it.
    pub fn is_storage(&self) -> bool {
        const VOLATILE: &[&str] = &[
            "autofs",
            "binfmt_misc",
            "bpf",
            "cgroup",
            "cgroup2",
            "configfs",
            "debugfs",
            "devpts",
            "devtmpfs",
            "efivarfs",
            "fusectl",
            "hugetlbfs",
            "mqueue",
            "nsfs",
            "proc",
            "pstore",
            "ramfs",
            "rpc_pipefs",
            "securityfs",
            "selinuxfs",
            "squashfs",
            "sysfs",
            "tmpfs",
            "tracefs",
        ];
        !VOLATILE.contains(&self.fs_type.as_str())
    }
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// A directory.
    Directory,
    /// Anything else.
    Other,
}

/// What the policy needs to know of the running system.
pub trait HostFacts {
    /// All mounts, in the kernel's order.
    fn mounts(&self) -> &[Mount];

    /// Swap space in files.
    fn swap_files(&self) -> &[PathBuf];

    /// `path` without symbolic links, and what is there; `None` if there is nothing.
    fn resolve(&self, path: &Path) -> Option<(PathBuf, PathKind)>;

    /// The disks that a mounted file system lies on, as far as that can be told.
    fn disks(&self, mount: &Mount) -> Disks;

    /// What tells the file system that is mounted at `point` from any other; `None` if it cannot be
    /// asked.
    fn mark(&self, point: &Path) -> Option<RootMark>;

    /// Subvolumes of a btrfs that can be seen in `mount` although nothing is mounted there, sorted.
    fn subvolumes(&self, mount: &Mount) -> Vec<PathBuf>;
}

/// The system that this process runs in.
#[derive(Clone, Debug)]
pub struct RunningHost {
    mounts: Vec<Mount>,
    swap_files: Vec<PathBuf>,
}

impl RunningHost {
    /// Asks the kernel.
    ///
    /// # Errors
    /// Those of reading `/proc/self/mountinfo`.
    pub fn read() -> io::Result<Self> {
        let mounts = parse_mountinfo(&fs::read("/proc/self/mountinfo")?);
        // A kernel without swap has no such file.
        let swap_files = parse_swaps(&fs::read("/proc/swaps").unwrap_or_default());
        Ok(Self { mounts, swap_files })
    }
}

impl HostFacts for RunningHost {
    fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    fn swap_files(&self) -> &[PathBuf] {
        &self.swap_files
    }

    fn resolve(&self, path: &Path) -> Option<(PathBuf, PathKind)> {
        let path = fs::canonicalize(path).ok()?;
        let is_directory = fs::symlink_metadata(&path).ok()?.is_dir();
        Some((
            path,
            if is_directory {
                PathKind::Directory
            } else {
                PathKind::Other
            },
        ))
    }

    fn disks(&self, mount: &Mount) -> Disks {
        disks::of(mount, Path::new("/sys"), Path::new("/dev"))
    }

    fn mark(&self, point: &Path) -> Option<RootMark> {
        wpar_mountd::lower::host::mark_at(point).ok()
    }

    fn subvolumes(&self, mount: &Mount) -> Vec<PathBuf> {
        subvolumes::below(mount, &self.mounts)
    }
}

/// Path below the root as a string without the leading `/`; `None` if it is not UTF-8.
pub fn below_root(path: &Path) -> Option<&str> {
    let bytes = path.as_os_str().as_bytes();
    std::str::from_utf8(bytes.strip_prefix(b"/").unwrap_or(bytes)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_system_has_a_root() {
        let host = RunningHost::read().unwrap();
        assert!(
            host.mounts()
                .iter()
                .any(|mount| mount.point == Path::new("/"))
        );
    }
}
