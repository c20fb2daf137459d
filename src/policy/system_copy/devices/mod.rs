//! Customised device information: what of a source is about the machine that it ran on.
//!
//! A copy sees only the devices that it is given. What names disks, arrays, addresses of network
//! cards, serial numbers or consoles of another machine is hidden, or replaced by what is true in a
//! WPAR; units that act on hardware are masked. Everything else is kept as it was copied.
//!
//! Always: the source is only read; nothing that an administrator wrote is replaced without a word
//! that says so, in the file or in a note; a file that is not there is neither hidden nor masked. The
//! contents of an image are not trusted: a file that is too long, or is no file, is hidden, not read.

use wpar_mountd::error::FsError;

use super::draft::Draft;
use super::{Decisions, Situation};

mod consoles;
mod crypt;
mod fstab;
mod host_keys;
mod mounts;
mod network;
mod runlevels;
mod table;
mod units;

/// First characters of a line that was taken out of a file of the source's.
const TAKEN_OUT: &str = "#wpar# ";

/// Adds to `decisions` what the device information asks for. What is hidden already is not there.
///
/// # Errors
/// Those of reading the source.
pub(super) fn decide(situation: &Situation<'_>, decisions: &mut Decisions) -> Result<(), FsError> {
    let mut draft = Draft::new(situation.files, std::mem::take(decisions));
    table::apply(&mut draft, situation)?;
    mounts::apply(&mut draft)?;
    crypt::apply(&mut draft)?;
    network::apply(&mut draft, situation.resolver)?;
    consoles::apply(&mut draft)?;
    runlevels::apply(&mut draft)?;
    units::apply(&mut draft)?;
    if situation.of_running_system {
        host_keys::apply(&mut draft)?;
    }
    *decisions = draft.finish();
    Ok(())
}

#[cfg(test)]
mod tests;
