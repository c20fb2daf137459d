//! What a program of a WPAR may not do, whoever runs it: taken away right before each `exec`.

use std::io;

use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

use super::seccomp;
use crate::sys::signals;

/// Capabilities that mean nothing in a user namespace but that units ask for before they try to
/// load modules, to set the clock, to mount debugfs: without them they are skipped, not failed.
const WITHHELD: [CapabilitySet; 12] = [
    CapabilitySet::SYS_MODULE,
    CapabilitySet::SYS_RAWIO,
    CapabilitySet::SYS_TIME,
    CapabilitySet::SYS_PACCT,
    CapabilitySet::SYSLOG,
    CapabilitySet::MAC_OVERRIDE,
    CapabilitySet::MAC_ADMIN,
    CapabilitySet::WAKE_ALARM,
    CapabilitySet::BLOCK_SUSPEND,
    CapabilitySet::AUDIT_READ,
    CapabilitySet::PERFMON,
    CapabilitySet::BPF,
];

/// Withholds capabilities, filters system calls, and gives signals their defaults.
///
/// # Errors
/// Those of the system calls. The program must not be executed then.
pub(super) fn confine() -> io::Result<()> {
    signals::reset()?;
    for capability in WITHHELD {
        remove_capability_from_bounding_set(capability)?;
    }
    seccomp::load()
}
