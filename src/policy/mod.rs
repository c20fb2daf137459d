//! What of a source a WPAR does not see, and the mount that follows from it.
//!
//! Pure: facts and a record in, a [`wpar_mountd::spec::MountSpec`] out. Every hidden name has its
//! reason.

pub mod base;
mod error;
pub mod exclusions;
pub mod mount_spec;
pub mod network;
pub mod resources;
pub mod root_group;
pub mod synchronize;
pub mod system_copy;

pub use error::PolicyError;
pub use exclusions::HostExclusions;
