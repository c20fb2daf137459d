//! `ioprio_set(2)`, which rustix does not have.
#![allow(unsafe_code)]

use std::io;

const IOPRIO_WHO_PROCESS: libc::c_int = 1;
/// `IOPRIO_CLASS_IDLE` of `linux/ioprio.h`, in its place.
const IDLE: libc::c_int = 3 << 13;

/// Lets all others use disks and processors before the calling thread.
pub(crate) fn give_way() -> io::Result<()> {
    // SAFETY: the call takes three numbers and touches no memory; 0 is the calling thread.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IDLE) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // On Linux it is of a thread.
    rustix::process::nice(19)?;
    Ok(())
}
