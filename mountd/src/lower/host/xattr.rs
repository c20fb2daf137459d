//! Extended attributes of an object that is held by an `O_PATH` descriptor.
//!
//! `fgetxattr(2)` refuses such a descriptor, and opening the object for real could wake whoever
//! waits at a pipe, a lease or a device. So the calls by path are made on `/proc/self/fd/N`
//! ([`descriptor::path`]). [`proc_is_mounted`] must have been
//! asked before: the path means nothing if something else is mounted there.

use std::os::fd::OwnedFd;

use rustix::fs;
use rustix::io::Errno;

use crate::error::FsResult;
use crate::sys::descriptor;

/// Room for what most attributes are; the kernel's own limit for values and lists.
const USUAL: usize = 512;
const LIMIT: usize = 65536;

/// Whether `/proc/self/fd` is what it should be.
pub(super) fn proc_is_mounted() -> bool {
    fs::statfs("/proc/self/fd").is_ok_and(|stat| stat.f_type == fs::PROC_SUPER_MAGIC)
}

/// Value of the attribute `name` of `object`; `None` if there is none, also where the file system
/// has no attributes at all.
pub(super) fn get(object: &OwnedFd, name: &[u8]) -> FsResult<Option<Vec<u8>>> {
    if name.is_empty() || name.contains(&0) {
        return Ok(None);
    }
    let path = descriptor::path(object);
    match read_all(|buffer| fs::getxattr(path.as_str(), name, buffer)) {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Names of the attributes of `object`.
pub(super) fn list(object: &OwnedFd) -> FsResult<Vec<Vec<u8>>> {
    let path = descriptor::path(object);
    let list = match read_all(|buffer| fs::listxattr(path.as_str(), buffer)) {
        Ok(list) => list,
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let names = list.split(|&byte| byte == 0);
    Ok(names
        .filter(|name| !name.is_empty())
        .map(<[u8]>::to_vec)
        .collect())
}

/// Calls `read` with a buffer that is surely large enough, if a usual one is not.
fn read_all(read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut usual = [0; USUAL];
    match read(&mut usual) {
        Ok(length) => Ok(usual[..length].to_vec()),
        Err(Errno::RANGE) => {
            let mut buffer = vec![0; LIMIT];
            let length = read(&mut buffer)?;
            buffer.truncate(length);
            Ok(buffer)
        }
        Err(error) => Err(error),
    }
}
