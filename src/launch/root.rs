//! The root file system of a WPAR as the host has it: made, attached, copied for the WPAR, and
//! taken off again.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::mount::{MountAttrFlags, OpenTreeFlags, open_tree};

use super::cleanup::unmount_all;
use super::error::{Doing, LaunchError};
use super::mountinfo;
use super::stage::attach;
use crate::mountd_client::{self, Wanted};
use crate::sys::mount::{Change, set_attributes};

/// A root file system.
#[derive(Debug)]
pub(super) struct Root {
    mount: OwnedFd,
    /// The FUSE connection. It stays open here so that another daemon could take it over.
    connection: Option<OwnedFd>,
    point: PathBuf,
    attached: bool,
}

impl Root {
    /// Makes the FUSE mount, attached nowhere, for the mount point `point`.
    pub(super) fn fuse(point: &Path) -> Result<Self, LaunchError> {
        let fuse = mountd_client::mount(&Wanted::default()).doing("make a FUSE mount")?;
        let connection = Some(fuse.connection);
        Ok(Self {
            mount: fuse.mount,
            connection,
            point: point.to_owned(),
            attached: false,
        })
    }

    /// Makes a mount of `directory`, attached nowhere; file systems mounted below are not in it.
    pub(super) fn directory(directory: &Path, point: &Path) -> Result<Self, LaunchError> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let mount = open_tree(CWD, directory, flags)
            .doing(format!("use the directory {}", directory.display()))?;
        let change = Change {
            set: MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV,
            private: true,
            ..Change::default()
        };
        set_attributes(mount.as_fd(), &change).doing("set the flags of the root mount")?;
        Ok(Self {
            mount,
            connection: None,
            point: point.to_owned(),
            attached: false,
        })
    }

    /// The FUSE mount that is attached to `point`, with a copy of its connection.
    pub(super) fn attached(point: &Path, connection: OwnedFd) -> Result<Self, LaunchError> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let mount =
            open_tree(CWD, point, flags).doing(format!("copy the mount on {}", point.display()))?;
        Ok(Self {
            mount,
            connection: Some(connection),
            point: point.to_owned(),
            attached: true,
        })
    }

    /// The FUSE connection, if it is one.
    pub(super) fn connection(&self) -> Option<BorrowedFd<'_>> {
        self.connection.as_ref().map(AsFd::as_fd)
    }

    /// Whether it is attached to its mount point.
    pub(super) fn is_attached(&self) -> bool {
        self.attached
    }

    /// Attaches it to its mount point. The daemon must be ready.
    pub(super) fn attach(&mut self) -> Result<(), LaunchError> {
        // An answer from the daemon means that the kernel knows all it can do, id maps above all.
        statx(
            &self.mount,
            "",
            AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC,
            StatxFlags::MODE,
        )
        .doing("read the root directory")?;
        if mountinfo::is_mounted(&self.point) {
            return Err(LaunchError::LeftOver(format!(
                "a mount on {}",
                self.point.display()
            )));
        }
        attach(self.mount.as_fd(), CWD, &self.point.display().to_string())
            .doing(format!("mount on {}", self.point.display()))?;
        self.attached = true;
        Ok(())
    }

    /// Another mount of the same tree, attached nowhere.
    pub(super) fn copy(&self) -> Result<OwnedFd, LaunchError> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        open_tree(&self.mount, "", flags).doing("copy the root mount")
    }

    /// Ends the connection: whoever waits for an answer of the daemon gets an error.
    pub(super) fn abort(&mut self) {
        self.connection = None;
    }

    /// Writes back what the kernel holds and takes the mount off, lazily if somebody is in it.
    /// `end_daemon` is called if its daemon does not answer.
    pub(super) fn unmount(self, end_daemon: impl FnOnce()) -> Result<(), LaunchError> {
        // A descriptor of a mount keeps it busy; one of the connection, unanswered requests.
        drop((self.mount, self.connection));
        if self.attached {
            unmount_all(&self.point, end_daemon).map(drop)
        } else {
            Ok(())
        }
    }
}

/// Checks that `point` can be mounted on, which is no promise that it still can later.
pub(super) fn check_point(point: &Path) -> Result<(), LaunchError> {
    // First this: a look at a mount whose daemon is dead could last for ever.
    if mountinfo::is_mounted(point) {
        return Err(LaunchError::LeftOver(format!(
            "a mount on {}",
            point.display()
        )));
    }
    let step = format!("mount on {}", point.display());
    if std::fs::symlink_metadata(point).doing(&step)?.is_dir() {
        return Ok(());
    }
    Err(std::io::Error::from_raw_os_error(libc::ENOTDIR)).doing(&step)
}
