//! The file system of `wpar`: a directory tree or a backup image underneath, read-only; a store
//! of the WPAR's own above it, copy-on-write; one merged tree in front.
//!
//! Read in this order: [`types`] and [`error`] (the words), [`lower`] (what is underneath),
//! `upper` (the store), `overlay` (the merged tree: the core), `fuse` and `wire` (the kernel's side,
//! thin).
//! The crate's README has the architecture, the lock order and the formats.

// The documentation is for those who work on this, private items included.
#![allow(rustdoc::private_intra_doc_links)]
// These macros panic when the output cannot be written: a full disk would end a supervisor.
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod confine;
pub mod daemon;
pub mod error;
pub mod filter;
pub mod fuse;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod hydrate;
mod logger;
pub mod lower;
mod number_map;
pub mod overlay;
pub mod source;
pub mod spec;
mod sys;
pub use sys::seccomp;
pub mod takeover;
pub mod trail;
pub mod types;
pub mod upper;
pub mod wire;
