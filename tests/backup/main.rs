//! Images that are written here, against the tools that others read them with.
//!
//! Oracles: GNU tar extracts each image as root, and the result is compared with the tree that was
//! saved; the index inside an image is compared with one that a scan makes.

// All of this crate is test code; the lints' own exception covers only the test functions.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub
)]

mod damage;
mod full_disk;
mod golden;
mod round_trip;
#[path = "../../mountd/tests/tar_support/mod.rs"]
mod tar_support;

use std::path::{Path, PathBuf};

use wpar::backup::host_tree::HostTree;
use wpar::backup::save::{Outcome, Saver, Selection, Watcher};
use wpar_mountd::lower::tar::save::{DEFAULT_LEVEL, ImageWriter, SaveError, SaveOptions};
use wpar_mountd::types::Timestamp;

/// An empty directory, which goes with the first value.
pub fn scratch(name: &str) -> (tempfile::TempDir, PathBuf) {
    let (temp, dir) = tar_support::scratch(name);
    std::fs::create_dir(&dir).unwrap();
    (temp, dir)
}

/// Watches nothing.
#[derive(Debug)]
pub struct Quiet;

impl Watcher for Quiet {
    fn entry(&mut self, _path: &[u8], _size: u64) {}
    fn advance(&mut self, _entries: u64, _bytes: u64) {}
    fn interrupted(&self) -> bool {
        false
    }
}

/// How test images are written.
pub fn options(level: Option<i32>) -> SaveOptions {
    SaveOptions {
        level,
        threads: 3,
        permissions: 0o600,
        time: Timestamp {
            seconds: 1_700_000_000,
            nanoseconds: 0,
        },
    }
}

/// Saves the tree below `root` to `image`.
pub fn save(root: &Path, image: &Path, level: Option<i32>) -> Result<Outcome, SaveError> {
    let writer = ImageWriter::create(image, options(level))?;
    let mut quiet = Quiet;
    let mut saver = Saver::new(
        Some(writer),
        image.to_owned(),
        Selection::default(),
        &mut quiet,
    );
    let tree = HostTree::open(root, [], [], true).unwrap();
    tree.walk(&mut saver)?;
    saver.finish()
}

/// Saves a tree as `mksysb` does by default.
pub fn save_packed(root: &Path, image: &Path) -> Outcome {
    save(root, image, Some(DEFAULT_LEVEL)).unwrap()
}
