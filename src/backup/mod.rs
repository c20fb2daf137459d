//! Backups: what is saved of a system or of a WPAR, and how it is found.
//!
//! [`host_tree`], [`merged_tree`] and [`save`] read. Images are written by
//! [`wpar_mountd::lower::tar::save`], which knows nothing of systems.

pub mod apply;
pub mod bre;
pub mod describe;
pub mod exclude;
pub mod facts;
pub mod host_tree;
pub mod merged_tree;
pub mod plan;
pub mod restore;
pub mod save;
pub mod saved;
pub mod tree;
