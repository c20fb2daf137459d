//! The only unsafe code of this package: system calls that neither `std` nor `rustix` offers as
//! safe functions.
//!
//! Each function here is safe to call; what it needs of its caller beyond the types is written
//! on it. Nothing here knows what a WPAR is.
#![allow(unsafe_code)]

pub(crate) mod bpf;
pub(crate) mod btrfs;
pub(crate) mod descriptors;
pub(crate) mod mount;
pub(crate) mod namespace;
pub(crate) mod pidfd;
pub(crate) mod process;
pub(crate) mod signals;

use std::io;

/// The result of a raw system call: -1 is an error whose number stands in `errno`.
fn checked(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
