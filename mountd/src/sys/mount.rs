//! `mount_setattr(2)`, which rustix does not have.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

/// `struct mount_attr` of `linux/mount.h`.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

const MOUNT_ATTR_RDONLY: u64 = 0x01;
const MOUNT_ATTR_NOSUID: u64 = 0x02;
const MOUNT_ATTR_NODEV: u64 = 0x04;
const MOUNT_ATTR_NOEXEC: u64 = 0x08;
const MOUNT_ATTR_NOATIME: u64 = 0x10;
/// The field that `MOUNT_ATTR_NOATIME` is a value of: it is cleared before it is set.
const MOUNT_ATTR_ATIME: u64 = 0x70;

/// Makes the mount at whose root `mount` is open private (no mount of the host appears in it) and
/// read-only, without access times and devices.
pub(crate) fn seal_mount(mount: impl AsFd) -> Result<(), Errno> {
    let set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME;
    set_attributes(mount, set, MOUNT_ATTR_ATIME)
}

/// Makes the mount at whose root `mount` is open private, without devices, programs and set-id bits.
pub(crate) fn keep_for_data(mount: impl AsFd) -> Result<(), Errno> {
    set_attributes(
        mount,
        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
        0,
    )
}

fn set_attributes(mount: impl AsFd, set: u64, clear: u64) -> Result<(), Errno> {
    let attr = MountAttr {
        set,
        clear,
        propagation: libc::MS_PRIVATE,
        userns: 0,
    };
    // SAFETY: the kernel reads an empty C string and `size_of` bytes of `attr`, both alive for
    // the call, and writes nothing; the descriptor is borrowed for as long.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        let code = std::io::Error::last_os_error().raw_os_error();
        Err(code.map_or(Errno::IO, Errno::from_raw_os_error))
    }
}
