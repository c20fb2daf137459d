//! Who this process is while it makes files in a WPAR.
//!
//! A file that is made belongs to whoever makes it, and the kernel refuses (`EOVERFLOW`) one whose
//! maker has no number inside. So the process has the number of the root inside meanwhile, and all
//! the capabilities that it has as the host's root.

use std::io;

use rustix::process::{Gid, Uid};
use rustix::thread::{
    CapabilitySets, capabilities, set_capabilities, set_thread_res_gid, set_thread_res_uid,
};

/// The guise; it is taken off when this is dropped.
#[derive(Debug)]
pub(super) struct Guise(());

impl Guise {
    /// Takes the effective ids `root` of the host.
    pub(super) fn put_on(root: u32) -> io::Result<Self> {
        let guise = Self(());
        become_effectively(root)?;
        Ok(guise)
    }
}

impl Drop for Guise {
    fn drop(&mut self) {
        // The real and saved ids are still root's, so this cannot fail.
        let _ = become_effectively(0);
    }
}

fn become_effectively(id: u32) -> io::Result<()> {
    let sets = capabilities(None)?;
    set_thread_res_gid(Gid::ROOT, Gid::from_raw(id), Gid::ROOT)?;
    set_thread_res_uid(Uid::ROOT, Uid::from_raw(id), Uid::ROOT)?;
    // The change of the ids has taken them from the effective set.
    set_capabilities(
        None,
        CapabilitySets {
            effective: sets.permitted,
            ..sets
        },
    )?;
    Ok(())
}
