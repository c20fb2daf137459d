//! What the end-to-end tests share: running a command under a watchdog, a private root for the
//! tool with clean-up, a checker of what is left behind, the fixtures, manifests of trees, and a
//! terminal.
//!
//! Nothing here knows how `wpar` works inside. What a test may rely on is what a user has: the
//! commands, the base directory, and what the kernel shows under `/proc` and `/sys`.

// Each test binary compiles this directory for itself and uses a part of it.
#![allow(dead_code, unused_macros, unused_imports, unreachable_pub)]

pub mod fixtures;
pub mod lan;
pub mod manifest;
pub mod procfs;
pub mod program;
pub mod run;
pub mod skip;
pub mod terminal;
pub mod world;

pub use manifest::Manifest;
pub use run::{Output, Run};
pub use world::World;
