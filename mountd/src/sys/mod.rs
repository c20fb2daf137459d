//! The only `unsafe` of this crate, each use with its reason.

pub(crate) mod allocator;
pub(crate) mod descriptor;
pub(crate) mod extents;
pub(crate) mod inflate;
pub(crate) mod loop_device;
pub(crate) mod map;
pub(crate) mod mount;
pub(crate) mod priority;
pub(crate) mod ring;
pub(crate) mod scratch;
pub mod seccomp;
pub(crate) mod shared;
