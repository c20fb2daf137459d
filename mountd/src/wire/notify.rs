//! What the kernel is told without having asked (`enum fuse_notify_code`).

use std::io;
use std::os::fd::BorrowedFd;

use super::abi::OUT_HEADER;
use super::reply::Writer;

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

/// Bit of a request's number: it was sent before (`FUSE_UNIQUE_RESEND`).
pub(crate) const RESENT: u64 = 1 << 63;
