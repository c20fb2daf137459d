//! Subvolumes of btrfs that are seen without being mounted: each looks like a directory, with a device
//! of its own.
//!
//! They are found by looking at the directories a few levels below the mount, where installers and
//! systemd make them. One that lies deeper is not found.

use std::fs::{self, DirEntry};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Mount;

/// How many levels below a mount or a subvolume are looked at: enough for `/var/lib/machines`.
const LEVELS: usize = 3;
/// Directories that are looked into at most.
const MOST: usize = 50_000;
/// Number of the root of every subvolume (`BTRFS_FIRST_FREE_OBJECTID`).
const FIRST_INODE: u64 = 256;

/// Those below `mount`, one of `mounts`, sorted.
pub(super) fn below(mount: &Mount, mounts: &[Mount]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if mount.fs_type != "btrfs" {
        return found;
    }
    let Ok(metadata) = fs::symlink_metadata(&mount.point) else {
        return found;
    };
    let mut left = MOST;
    let mut to_do = vec![(mount.point.clone(), metadata.dev(), LEVELS)];
    while let Some((directory, device, levels)) = to_do.pop() {
        let Some(less) = left.checked_sub(1) else {
            break;
        };
        left = less;
        for path in directories_in(&directory) {
            // What is mounted looks the same, and it may be on a server that does not answer.
            if mounts.iter().any(|other| other.point == path) {
                continue;
            }
            let Ok(metadata) = fs::symlink_metadata(&path) else {
                continue;
            };
            if metadata.dev() != device && metadata.ino() == FIRST_INODE {
                found.push(path.clone());
                to_do.push((path, metadata.dev(), LEVELS));
            } else if metadata.dev() == device && levels > 1 {
                to_do.push((path, device, levels - 1));
            }
        }
    }
    found.sort();
    found
}

fn directories_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let is_directory = |entry: &DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries
        .filter(is_directory)
        .map(|entry| entry.path())
        .collect()
}
