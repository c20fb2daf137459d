//! The second way to the kernel: FUSE over `io_uring`, over the same core.
//!
//! `fuser` (see `crate::fuse`) greets the kernel and goes on serving `/dev/fuse`, where forgotten
//! inodes are announced; everything else comes here once the rings are there. A request costs
//! about as much whatever the machine does, because it never has to wake another processor.
//!
//! Layers, bottom up, each pure but the last: `abi` (numbers), `request` and `reply` (bytes to
//! values and back), `dispatch` (a request to a call of the core), `slots` (where both lie),
//! `uring` (threads and rings); `latency` keeps processors awake for these threads, `notify` is
//! what we say without having been asked.
//!
//! What this way knows and the other does not: which changes of size take set-id bits away, times
//! of birth, and that nothing here has device controls, which is answered without a look at the
//! inode.

mod abi;
mod dispatch;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod latency;
pub(crate) mod notify;
mod reply;
mod request;
mod slots;
#[cfg(test)]
mod tests;
pub(crate) mod uring;

use std::ffi::OsString;
use std::fs;

/// Whether the kernel offers rings to mounts that are made from now on.
const PARAMETER: &str = "/sys/module/fuse/parameters/enable_uring";

/// Environment variable that, being `no`, keeps requests on `/dev/fuse`.
const VARIABLE: &str = "WPAR_FUSE_URING";

/// Those variables of this process' environment that a daemon looks at: all that it is started with.
pub fn environment() -> impl Iterator<Item = (&'static str, OsString)> {
    let value = |name| std::env::var_os(name).map(|value| (name, value));
    [VARIABLE, latency::VARIABLE].into_iter().filter_map(value)
}

/// How requests travel between the kernel and us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// By reads and writes of `/dev/fuse`.
    Device,
    /// Through `io_uring`.
    Rings,
}

impl Transport {
    /// The one to try first: rings, unless the environment forbids them.
    pub fn preferred() -> Self {
        if std::env::var_os(VARIABLE).is_some_and(|value| value == "no") {
            Self::Device
        } else {
            Self::Rings
        }
    }

    /// Asks the kernel, before a mount is made, to offer what this transport needs. It concerns
    /// only servers that ask for it, so it is never turned off again. Returns whether the
    /// transport can be expected to work; if not, the mount will work by the device.
    pub fn request(self) -> bool {
        if self == Self::Device {
            return true;
        }
        match fs::read(PARAMETER) {
            Ok(value) if value.starts_with(b"Y") => true,
            Ok(_) => match fs::write(PARAMETER, "Y") {
                Ok(()) => true,
                Err(error) => {
                    log::info!("cannot turn on FUSE over io_uring: {PARAMETER}: {error}");
                    false
                }
            },
            Err(error) => {
                log::info!("this kernel has no FUSE over io_uring: {PARAMETER}: {error}");
                false
            }
        }
    }
}
