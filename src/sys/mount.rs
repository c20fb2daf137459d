//! `mount_setattr(2)`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::mount::MountAttrFlags;

use super::checked;

/// Changes of a mount: flags to set and clear, the user namespace of an id map, propagation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    /// Flags to set.
    pub(crate) set: MountAttrFlags,
    /// Flags to clear.
    pub(crate) clear: MountAttrFlags,
    /// User namespace whose maps the mount gets.
    pub(crate) id_map: Option<BorrowedFd<'a>>,
    /// Makes it private: no mount event goes in or out.
    pub(crate) private: bool,
    /// Everything mounted below it, too.
    pub(crate) recursive: bool,
}

impl Default for Change<'_> {
    fn default() -> Self {
        Self {
            set: MountAttrFlags::empty(),
            clear: MountAttrFlags::empty(),
            id_map: None,
            private: false,
            recursive: false,
        }
    }
}

/// Applies `change` to the mount that `mount` (an `O_PATH` or `open_tree` descriptor) is on.
pub(crate) fn set_attributes(mount: BorrowedFd<'_>, change: &Change<'_>) -> io::Result<()> {
    let mut set = change.set;
    if change.id_map.is_some() {
        set |= MountAttrFlags::MOUNT_ATTR_IDMAP;
    }
    let attributes = libc::mount_attr {
        attr_set: set.bits().into(),
        attr_clr: change.clear.bits().into(),
        propagation: if change.private { libc::MS_PRIVATE } else { 0 },
        userns_fd: change
            .id_map
            .map_or(0, |fd| u64::from(fd.as_raw_fd().cast_unsigned())),
    };
    let flags = libc::AT_EMPTY_PATH
        | if change.recursive {
            libc::AT_RECURSIVE
        } else {
            0
        };
    // SAFETY: an empty C string, and a structure of the size that is told; the kernel reads both.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    checked(result).map(drop)
}
