//! Mounts of an image, a directory or a file system to look into it: what `wpar mount` makes.
//!
//! A mount is the file system of `wpar_mountd` and nothing else: no namespace, no system that
//! runs. One process stays with it, the *keeper* (`keeper`): it made the mount, starts the daemon
//! again if that dies, and ends with the mount. There is no record of mounts: the kernel's own
//! list tells them by their type and source (`table`).
//!
//! Root makes mounts by the kernel's calls, for everybody, with the permissions of the image.
//! So does who is root in a user namespace; other users go through `fusermount3` (`fusermount`).
//! Their mounts are for themselves alone, and modes mean nothing in them.

mod begun;
mod fusermount;
mod keeper;
mod starting;
mod store;
mod table;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use wpar_mountd::spec::MountSpec;

pub use keeper::keeper_main;
pub use starting::{Keeping, start};
pub use store::{StoreProblem, prepare_store};
pub use table::{Mounted, UnmountProblem, holders, list, point_of, unmount};

/// The name under which the executable keeps a mount.
pub const KEEPER: &str = "wpar-keeper";

/// What is to be mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MountOrder {
    /// Where: an existing directory, absolute and without symbolic links.
    pub point: PathBuf,
    /// What the list of mounts calls it: the path of the image.
    pub source: String,
    /// What is shown.
    pub spec: MountSpec,
    /// Ends with the command that asked for it.
    pub foreground: bool,
}
