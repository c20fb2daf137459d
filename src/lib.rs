//! `wpar`: workload partitions from a backup image or from the running host, at once and without
//! a copy. See the README for the tour; `wpar_mountd` is the file system underneath.

pub mod launch;
pub mod mountd_client;
mod sys;
