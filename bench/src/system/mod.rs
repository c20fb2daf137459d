//! Whole systems: how soon one is there, how soon it is up, how many fit, and how soon a command
//! runs in one; beside the ways to the same that others have.
//!
//! | case | what |
//! |---|---|
//! | [`sizes`] | create, start and first command, of images of several sizes, against full copies and [`rivals`] |
//! | [`boot`] | until the system is up, against the same launcher over the kernel's overlay |
//! | [`crowd`] | many at once, against `runc` over the kernel's overlay ([`bundle`]), and what each more takes |
//! | [`enter`] | until a command runs, against bubblewrap |
//!
//! All work in one [`world`], which takes down what is left in it, whatever happened before. Sides
//! take turns, as everywhere here.

pub(crate) mod boot;
mod bundle;
pub(crate) mod crowd;
pub(crate) mod enter;
mod groups;
mod memory;
mod rivals;
pub(crate) mod sizes;
mod tree;
mod world;

use std::path::PathBuf;

use clap::Args;

/// What all cases have.
#[derive(Debug, Args)]
pub(crate) struct SystemOptions {
    /// Runs of each side [default: by the case]
    #[arg(long)]
    runs: Option<usize>,
    /// Where to work: must be a disk, not a memory file system
    #[arg(long, default_value = "/var/tmp")]
    work: PathBuf,
    /// The wpar to measure; by default the one built beside this program
    #[arg(long)]
    wpar: Option<PathBuf>,
    /// Directory to record the results in, as in bench/runs/2026-01-31-laptop
    #[arg(long)]
    record: Option<PathBuf>,
}

impl SystemOptions {
    /// As many runs as are wanted.
    fn runs_or(&self, default: usize) -> usize {
        self.runs.unwrap_or(default)
    }
}
