//! The tool from end to end, as an administrator uses it: real images, real namespaces, real
//! terminals. Needs root and `/dev/fuse`; says so aloud when it is left out.
//!
//! Each file is one theme of the promise that the README makes. Tests have a world of their own
//! (`common::World`) and take turns, because what they leave behind is looked for on the machine.

// All of this crate is test code; the lints' own exception covers only the test functions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;

mod adopt;
mod ahead;
mod backup;
mod bad_input;
mod bundles;
mod changing;
mod consistency;
mod console;
mod containers;
mod conversion;
mod copying;
mod crash;
mod cycles;
mod devices;
mod diff;
mod disk_full;
mod elsewhere;
mod explain;
mod filesets;
mod host;
mod images;
mod indexing;
mod interrupt;
mod isolation;
mod kernel_images;
mod levels;
mod limits;
mod listing;
mod login;
mod looking;
mod network;
mod own_addresses;
mod rc;
mod resources;
mod restoring;
mod root_group;
mod scripts;
mod session;
mod shared;
mod source;
mod states;
mod store;
mod synchronizing;
mod takeover;
mod throw_away;
mod trees;
mod users_mounts;
