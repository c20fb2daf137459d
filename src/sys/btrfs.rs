//! Snapshots of btrfs: `BTRFS_IOC_SNAP_CREATE_V2` and `BTRFS_IOC_SNAP_DESTROY` of `linux/btrfs.h`.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::checked;

const SNAP_CREATE_V2: libc::c_ulong = 0x5000_9417;
const SNAP_DESTROY: libc::c_ulong = 0x5000_940f;
const SUBVOL_RDONLY: u64 = 1 << 1;

/// `struct btrfs_ioctl_vol_args_v2`.
#[repr(C)]
struct CreateArguments {
    fd: i64,
    transid: u64,
    flags: u64,
    unused: [u64; 4],
    name: [u8; 4040],
}

/// `struct btrfs_ioctl_vol_args`.
#[repr(C)]
struct DestroyArguments {
    fd: i64,
    name: [u8; 4088],
}

const _: () = assert!(size_of::<CreateArguments>() == 4096);
const _: () = assert!(size_of::<DestroyArguments>() == 4096);

/// Longest name of a subvolume.
const LONGEST: usize = 255;

fn field<const N: usize>(name: &CStr) -> io::Result<[u8; N]> {
    let bytes = name.to_bytes();
    let mut field = [0; N];
    match field.get_mut(..bytes.len()) {
        Some(start) if bytes.len() <= LONGEST => start.copy_from_slice(bytes),
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    }
    Ok(field)
}

/// Makes a read-only snapshot of the subvolume whose root is open as `subvolume`, as `name` in
/// `directory` of the same file system.
///
/// # Errors
/// Those of the call: `ETXTBSY` for a subvolume with an active swap file.
pub(crate) fn snapshot(
    subvolume: BorrowedFd<'_>,
    directory: BorrowedFd<'_>,
    name: &CStr,
) -> io::Result<()> {
    let arguments = CreateArguments {
        fd: subvolume.as_raw_fd().into(),
        transid: 0,
        flags: SUBVOL_RDONLY,
        unused: [0; 4],
        name: field(name)?,
    };
    // SAFETY: the kernel reads 4096 bytes of the arguments, which live for the call, and keeps
    // nothing of them; both descriptors are borrowed for as long.
    let result =
        unsafe { libc::ioctl(directory.as_raw_fd(), SNAP_CREATE_V2, &raw const arguments) };
    checked(result.into()).map(drop)
}

/// Deletes the subvolume `name` in `directory`.
///
/// # Errors
/// Those of the call.
pub(crate) fn delete(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    let arguments = DestroyArguments {
        fd: 0,
        name: field(name)?,
    };
    // SAFETY: as above.
    let result = unsafe { libc::ioctl(directory.as_raw_fd(), SNAP_DESTROY, &raw const arguments) };
    checked(result.into()).map(drop)
}
