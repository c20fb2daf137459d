//! The only places of this crate where `unsafe` may stand, each use with its reason.

pub(crate) mod map;
