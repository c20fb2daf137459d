//! What a program of a WPAR may not do, whoever runs it: taken away right before each `exec`.

use std::io;

use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};
use serde::{Deserialize, Serialize};

use super::seccomp;
use crate::sys::signals;

/// What is taken from one WPAR and given to one, beside what is so for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Confinement {
    /// Capabilities that it does not have, as a bit for each number.
    pub withheld: u64,
    /// Whether it cannot mount.
    pub refuse_mounts: bool,
    /// Whether it may use keyrings of the kernel.
    pub allow_keys: bool,
    /// Whether it may use `io_uring`.
    pub allow_uring: bool,
}

/// Capabilities that mean nothing in a user namespace but that units ask for before they try to
/// load modules, to set the clock, to mount debugfs: without them they are skipped, not failed.
pub(super) const WITHHELD: [CapabilitySet; 12] = [
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
pub(super) fn confine(own: Confinement) -> io::Result<()> {
    signals::reset()?;
    for capability in WITHHELD {
        remove_capability_from_bounding_set(capability)?;
    }
    for capability in CapabilitySet::from_bits_truncate(own.withheld).iter() {
        remove_capability_from_bounding_set(capability)?;
    }
    seccomp::load(own)
}
