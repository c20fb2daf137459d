//! Ways out of a WPAR, tried.
//!
//! A probe is a small static program (`probes/`) that tries one way that some container system has
//! had, and says whether it got out. Each runs twice: in a WPAR with the default settings, where it
//! must be held, and in a weakened profile (`probes/weak.c`: a root directory, masks and a mount
//! namespace, nothing else), where it must get out. A probe that is held in both proves nothing, and
//! fails. No probe does harm where it succeeds.
//!
//! Needs root, `/dev/fuse` and a C compiler; says so aloud when it is left out.

// All of this crate is test code; the lints' own exception covers only the test functions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;

mod cell;
mod daemon;
mod entering;
mod image;
mod privileges;
mod second_architecture;
mod shared_network;
mod table;
