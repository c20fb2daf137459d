//! Extended attributes that programs in the WPAR set, kept apart from the store's own.
//!
//! A guest's `NAME` is stored as `user.wpar.x.NAME`, whatever its namespace: nothing that a guest
//! writes can therefore be taken for a record or a redirect, and a `trusted.` or `security.`
//! attribute means nothing to the host. The price: a name may have at most 243 bytes.

use std::os::fd::BorrowedFd;

use crate::upper::calls::{self as fs, XattrFlags};
use rustix::io::Errno;

use super::object::read_xattr;
use crate::error::{FsError, FsResult};

const PREFIX: &str = "user.wpar.x.";
const XATTR_NAME_MAX: usize = 255;

fn stored_name(name: &[u8]) -> FsResult<String> {
    let name = std::str::from_utf8(name).map_err(|_| FsError::NotSupported)?;
    if PREFIX.len() + name.len() > XATTR_NAME_MAX {
        return Err(FsError::Range);
    }
    Ok(format!("{PREFIX}{name}"))
}

/// Value of the guest's attribute `name`.
///
/// # Errors
/// Those of the host's file system.
pub fn get(file: BorrowedFd<'_>, name: &[u8]) -> FsResult<Option<Vec<u8>>> {
    match stored_name(name) {
        Ok(stored) => read_xattr(file, &stored),
        // What cannot be stored is not there.
        Err(_) => Ok(None),
    }
}

/// Sets the guest's attribute `name`; `flags` are `XATTR_CREATE` and `XATTR_REPLACE`.
///
/// # Errors
/// `Exists` or `NoAttribute` by the flags, `Range` for a name over 243 bytes.
pub fn set(file: BorrowedFd<'_>, name: &[u8], value: &[u8], flags: XattrFlags) -> FsResult<()> {
    Ok(fs::fsetxattr(file, stored_name(name)?, value, flags)?)
}

/// Removes the guest's attribute `name`.
///
/// # Errors
/// `NoAttribute` if there is none.
pub fn remove(file: BorrowedFd<'_>, name: &[u8]) -> FsResult<()> {
    let stored = stored_name(name).map_err(|_| FsError::NoAttribute)?;
    Ok(fs::fremovexattr(file, stored)?)
}

/// Names of all the guest's attributes.
///
/// # Errors
/// Those of the host's file system.
pub fn list(file: BorrowedFd<'_>) -> FsResult<Vec<Vec<u8>>> {
    let mut buffer = vec![0_u8; 512];
    let length = loop {
        match fs::flistxattr(file, &mut buffer[..]) {
            Ok(length) => break length,
            Err(Errno::RANGE) if buffer.len() < 1 << 16 => buffer.resize(1 << 16, 0),
            Err(errno) => return Err(errno.into()),
        }
    };
    let names = buffer.get(..length).unwrap_or(&[]);
    Ok(names
        .split(|&byte| byte == 0)
        .filter_map(|name| name.strip_prefix(PREFIX.as_bytes()))
        .map(<[u8]>::to_vec)
        .collect())
}
