//! A part of a file as a block device, read-only: `loop(4)`.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::PathBuf;

/// `struct loop_info64` of `linux/loop.h`, without the names of its dead fields.
#[repr(C)]
#[derive(Clone, Copy)]
struct LoopInfo {
    unused: [u64; 3],
    offset: u64,
    size_limit: u64,
    number: u32,
    unused_type: u32,
    unused_key_size: u32,
    flags: u32,
    names: [u8; 64 + 64 + 32],
    init: [u64; 2],
}

/// `struct loop_config` of `linux/loop.h`.
#[repr(C)]
struct LoopConfig {
    file: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;
const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// How often a free device may be taken by somebody else first.
const TRIES: usize = 64;

/// A device; it is gone when this is dropped and nothing has it mounted.
#[derive(Debug)]
pub(crate) struct LoopDevice {
    path: PathBuf,
    _device: File,
}

impl LoopDevice {
    /// Makes a device of the `bytes` bytes of `file` from `offset` on; 0 bytes for all the rest.
    ///
    /// # Errors
    /// Those of `/dev/loop-control` and of the device: `PermissionDenied` without
    /// `CAP_SYS_ADMIN`, `NotFound` where the kernel has no such devices.
    pub(crate) fn new(file: BorrowedFd<'_>, offset: u64, bytes: u64) -> io::Result<Self> {
        let control = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/loop-control")?;
        for _ in 0..TRIES {
            // SAFETY: the call takes no argument and returns a number.
            let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE as _) };
            if number < 0 {
                return Err(io::Error::last_os_error());
            }
            let path = PathBuf::from(format!("/dev/loop{number}"));
            let device = File::open(&path)?;
            match configure(&device, file, offset, bytes) {
                Ok(()) => {
                    return Ok(Self {
                        path,
                        _device: device,
                    });
                }
                // Somebody else was faster.
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::from_raw_os_error(libc::EBUSY))
    }

    /// Its name.
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }
}

fn configure(device: &File, file: BorrowedFd<'_>, offset: u64, bytes: u64) -> io::Result<()> {
    let config = LoopConfig {
        file: file.as_raw_fd().cast_unsigned(),
        block_size: 0,
        info: LoopInfo {
            unused: [0; 3],
            offset,
            size_limit: bytes,
            number: 0,
            unused_type: 0,
            unused_key_size: 0,
            flags: LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR,
            names: [0; 160],
            init: [0; 2],
        },
        reserved: [0; 8],
    };
    // SAFETY: the kernel reads one `loop_config`, which lives over the call, and writes nothing.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE as _, &raw const config) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_are_as_long_as_the_kernels() {
        assert_eq!(size_of::<LoopInfo>(), 232);
        assert_eq!(size_of::<LoopConfig>(), 304);
    }
}
