//! What the kernel itself asks at devices and sockets of a WPAR, by programs on its group of cgroup2.
//!
//! [`devices`] and [`addresses`] make the programs, which is pure; here they are loaded and attached.
//! They are for the group and all below it, and go when it is removed; nobody inside can take them off.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};

use crate::sys::bpf::{Hook, Instruction, Program};

mod addresses;
mod assembler;
mod devices;
#[cfg(test)]
mod machine;

pub use addresses::OwnAddresses;
pub(super) use devices::{ALWAYS, DeviceKind, DeviceRule};

/// Lets the group open what `rules` allow, and nothing else.
///
/// # Errors
/// Those of `bpf(2)`, as where the host does not allow it.
pub(super) fn filter_devices(group: &Path, rules: &[DeviceRule]) -> io::Result<()> {
    let program = devices::program(rules).ok_or(io::ErrorKind::InvalidInput)?;
    attach(group, vec![(Hook::Device, program)])
}

/// Holds the sockets of the group to these addresses.
///
/// # Errors
/// As [`filter_devices`]; nothing is attached then.
pub(super) fn hold_to_addresses(group: &Path, own: &OwnAddresses) -> io::Result<()> {
    attach(
        group,
        addresses::programs(own).ok_or(io::ErrorKind::InvalidInput)?,
    )
}

fn attach(group: &Path, programs: Vec<(Hook, Vec<Instruction>)>) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let group = open(group, flags, Mode::empty())?;
    // All of them, or none: half of them would be a promise that is not kept.
    let loaded = programs
        .iter()
        .map(|(hook, program)| Program::load(*hook, "wpar", program))
        .collect::<io::Result<Vec<_>>>()?;
    loaded
        .iter()
        .try_for_each(|program| program.attach(group.as_fd()))
}
