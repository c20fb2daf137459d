//! What a limited store says that it takes, against a walk over its files.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use wpar_mountd::spec::SpaceLimits;
use wpar_mountd::upper::quota::Usage;

use crate::world::Verdict;

/// Limits that nothing here reaches.
pub(crate) const LIMITS: SpaceLimits = SpaceLimits {
    bytes: Some(1 << 40),
    inodes: Some(1 << 20),
};

/// Checks what the core counted for `store`.
pub(crate) fn check(store: &Path, counted: Option<Usage>) -> Verdict {
    let mut walked = Usage::default();
    add(&mut walked, &fs::metadata(store.join("tree")).unwrap());
    walk(&store.join("tree"), &mut walked, &|found| {
        found.is_dir() || found.nlink() == 1
    });
    for part in ["links", "orphans"] {
        walk(&store.join(part), &mut walked, &|_| true);
    }
    if counted == Some(walked) {
        return Ok(());
    }
    Err(format!("{counted:?} was counted, and {walked:?} is there"))
}

fn add(usage: &mut Usage, found: &Metadata) {
    usage.bytes += found.blocks() * 512;
    usage.inodes += 1;
}

fn walk(directory: &Path, usage: &mut Usage, counts: &dyn Fn(&Metadata) -> bool) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let found = fs::symlink_metadata(&path).unwrap();
        if found.is_symlink() || !counts(&found) {
            continue;
        }
        add(usage, &found);
        if found.is_dir() {
            walk(&path, usage, counts);
        }
    }
}
