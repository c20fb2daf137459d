//! What the kernel is told without having asked (`enum fuse_notify_code`).

use std::io;
use std::os::fd::BorrowedFd;

use super::abi::OUT_HEADER;
use super::reply::Writer;
use crate::overlay::Outdated;

const INVALIDATE_INODE: u32 = 2;
const INVALIDATE_ENTRY: u32 = 3;
const RESEND: u32 = 7;

/// Has the kernel send all requests again that were read from the device and not answered. Their
/// numbers then have [`RESENT`].
///
/// # Errors
/// Those of the device.
pub(crate) fn resend(device: BorrowedFd<'_>) -> io::Result<()> {
    let mut message = [0; OUT_HEADER];
    let length = u32::try_from(OUT_HEADER).unwrap_or(u32::MAX);
    // A message that answers no request has the code in place of an error.
    Writer::new(&mut message)
        .u32(length)
        .u32(RESEND)
        .u64(0)
        .finish()
        .map_err(|error| io::Error::from(error.errno()))?;
    rustix::io::write(device, &message)?;
    Ok(())
}

/// Has the kernel forget something. It may wait for requests to be answered: no thread that answers
/// may call this.
///
/// # Errors
/// Those of the device; `ENOENT` if the kernel does not know it anyway.
pub(crate) fn forget(device: BorrowedFd<'_>, outdated: &Outdated) -> io::Result<()> {
    let (code, length) = match outdated {
        Outdated::Contents(_) => (INVALIDATE_INODE, 24),
        Outdated::Name(_, name) => (INVALIDATE_ENTRY, 16 + name.len() + 1),
    };
    let mut message = vec![0; OUT_HEADER + length];
    let all = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut writer = Writer::new(&mut message);
    writer.u32(all).u32(code).u64(0);
    match outdated {
        // From the first byte to the last (`struct fuse_notify_inval_inode_out`).
        Outdated::Contents(ino) => writer.u64(ino.0).u64(0).u64(0),
        // `struct fuse_notify_inval_entry_out`, and the name with a zero behind it.
        Outdated::Name(parent, name) => {
            let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
            writer
                .u64(parent.0)
                .u32(length)
                .u32(0)
                .bytes(name)
                .bytes(&[0])
        }
    };
    writer
        .finish()
        .map_err(|error| io::Error::from(error.errno()))?;
    rustix::io::write(device, &message)?;
    Ok(())
}

/// Bit of a request's number: it was sent before (`FUSE_UNIQUE_RESEND`).
pub(crate) const RESENT: u64 = 1 << 63;
