//! `wpar`: workload partitions from a backup image or from the running host, at once and without
//! a copy. See the README for the tour; `wpar_mountd` is the file system underneath.
//!
//! | module | what |
//! |---|---|
//! | [`model`] | names, states, records: plain values and their rules |
//! | [`registry`] | what is on disk about WPARs, and who may change it when |
//! | [`source`] | images and the running host; the identity of a copy |
//! | [`packages`] | what is installed in a system that does not run |
//! | [`policy`] | what of a source is not seen, and why |
//! | [`diff`] | what makes two systems different |
//! | [`launch`] | starting, watching, stopping and entering |
//! | [`mounts`] | mounts to look into an image |
//! | [`mountd_client`] | the file system daemon, from outside |
//! | [`backup`] | what is saved of a system or a WPAR, and how it is found |
//! | `copy` | files on their way between the host and WPARs |
//! | [`cli`] | the commands |

// The documentation is for those who work on this, private items included.
#![allow(rustdoc::private_intra_doc_links)]
// These macros panic when the output cannot be written: a full disk would end a supervisor.
#![deny(clippy::print_stderr, clippy::print_stdout)]

pub mod backup;
pub mod cli;
mod copy;
pub mod diff;
pub mod launch;
pub mod model;
pub mod mountd_client;
pub mod mounts;
pub mod packages;
pub mod policy;
pub mod registry;
pub mod snapshots;
pub mod source;
mod sys;
