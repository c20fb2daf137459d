//! What is to be made: all that is decided before anything is made.

use std::path::PathBuf;

use crate::model::copy_controls::Selection;
use crate::model::{
    Base, CopyControls, DeviceName, Hostname, Network, Owner, Privileges, Resources, Source,
    SpaceLimits, WparKind, WparName, WparRecord,
};

/// What is to be made.
#[derive(Debug)]
pub(in crate::cli) struct Plan {
    pub(in crate::cli) name: WparName,
    pub(in crate::cli) hostname: Hostname,
    pub(in crate::cli) kind: WparKind,
    /// Base directory, if it is not the usual one.
    pub(in crate::cli) directory: Option<PathBuf>,
    pub(in crate::cli) source: Source,
    /// The system whose /usr and /opt it has, if it has not its source's.
    pub(in crate::cli) base: Option<Base>,
    pub(in crate::cli) copy_controls: CopyControls,
    /// What else is in it, or not.
    pub(in crate::cli) selection: Selection,
    pub(in crate::cli) limits: SpaceLimits,
    /// Its identity, if it is not to be a new one.
    pub(in crate::cli) uuid: Option<String>,
    /// Whether it may run at a level of its own.
    pub(in crate::cli) versioned: bool,
    /// Whether it is to start with the host.
    pub(in crate::cli) auto: bool,
    /// The host's script that is run when it starts and stops.
    pub(in crate::cli) script: Option<PathBuf>,
    /// Devices of the host that it gets.
    pub(in crate::cli) devices: Vec<DeviceName>,
    /// How it is connected.
    pub(in crate::cli) network: Network,
    /// Whether it gets the host's files about names.
    pub(in crate::cli) copy_resolver: bool,
    /// Whether addresses that another has are left out.
    pub(in crate::cli) leave_clashes_out: bool,
    /// What it may use of the host.
    pub(in crate::cli) resources: Resources,
    /// What its programs may do.
    pub(in crate::cli) privileges: Privileges,
    /// The command that the WPAR lives and dies with.
    pub(in crate::cli) owner: Option<Owner>,
    /// The record of a store that `rmwpar -p` kept and that is to be used again.
    pub(in crate::cli) kept: Option<WparRecord>,
}
