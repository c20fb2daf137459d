//! A mount on its way: made, not yet served.
//!
//! Whoever is root, be it in a user namespace, makes it by the kernel's calls, and it is attached
//! when the daemon serves it. Others have it made by the helper, which attaches it at once.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::mount::{MoveMountFlags, move_mount};

use super::{MountOrder, fusermount};
use crate::mountd_client::{self, Wanted};

/// A mount that no daemon serves yet.
pub(super) enum Begun {
    /// Attached nowhere.
    Detached(mountd_client::FuseMount),
    /// There already, by the helper; taken off again when this is dropped.
    Attached(Helped),
}

/// What the helper mounted.
pub(super) struct Helped {
    point: PathBuf,
    connection: OwnedFd,
    /// It is served, and stays.
    finished: bool,
}

impl Drop for Helped {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fusermount::unmount(&self.point, true);
        }
    }
}

impl Begun {
    /// Makes it.
    ///
    /// # Errors
    /// In words.
    pub(super) fn new(order: &MountOrder) -> Result<Self, String> {
        let read_only = order.spec.store.is_none();
        if !rustix::process::geteuid().is_root() {
            let connection = fusermount::mount(&order.point, &order.source, read_only)?;
            return Ok(Self::Attached(Helped {
                point: order.point.clone(),
                connection,
                finished: false,
            }));
        }
        let wanted = Wanted {
            source: &order.source,
            access: order.spec.access,
            read_only,
        };
        match mountd_client::mount(&wanted) {
            Ok(mount) => Ok(Self::Detached(mount)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(format!(
                "cannot make a FUSE mount: {error}; this needs /dev/fuse and, in a user namespace, a \
                 mount namespace of its own: try 'unshare -Urm'"
            )),
            Err(error) => Err(format!("cannot make a FUSE mount: {error}")),
        }
    }

    /// The connection for its daemon.
    pub(super) fn connection(&self) -> BorrowedFd<'_> {
        match self {
            Self::Detached(mount) => mount.connection.as_fd(),
            Self::Attached(helped) => helped.connection.as_fd(),
        }
    }

    /// Attaches it, if it is not yet, and returns its connection.
    pub(super) fn finish(self, point: &Path) -> Result<OwnedFd, String> {
        match self {
            Self::Detached(mountd_client::FuseMount { mount, connection }) => {
                // An answer means that the kernel and the daemon have greeted each other.
                let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
                statx(&mount, "", flags, StatxFlags::MODE)
                    .map_err(|errno| format!("cannot read the root directory: {errno}"))?;
                let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
                move_mount(&mount, "", CWD, point, flags)
                    .map_err(|errno| format!("cannot mount on {}: {errno}", point.display()))?;
                Ok(connection)
            }
            Self::Attached(mut helped) => {
                let connection = helped.connection.try_clone();
                let connection = connection.map_err(|error| error.to_string())?;
                helped.finished = true;
                Ok(connection)
            }
        }
    }
}
