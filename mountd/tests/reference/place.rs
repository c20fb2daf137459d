//! Where the directories of cases are.
//!
//! In memory if it can be: a case makes some hundred files and syncs some of them, and what a disk
//! adds to that is time. That the disk's file system does the same is seen by the few others.

use std::path::Path;
use std::sync::OnceLock;

use rustix::fs::XattrFlags;
use tempfile::TempDir;

/// A file system in memory.
const MEMORY: &str = "/dev/shm";

/// A new directory, on the disk or in memory.
pub(crate) fn directory(on_disk: bool) -> TempDir {
    static USABLE: OnceLock<bool> = OnceLock::new();
    let in_memory = !on_disk && *USABLE.get_or_init(can_hold_stores);
    let made = if in_memory {
        TempDir::new_in(MEMORY)
    } else {
        TempDir::new()
    };
    made.unwrap()
}

/// Whether files there can have extended attributes, which is so since Linux 6.6.
fn can_hold_stores() -> bool {
    let Ok(directory) = TempDir::new_in(MEMORY) else {
        return false;
    };
    let path: &Path = directory.path();
    rustix::fs::setxattr(path, "user.wpar", b"?", XattrFlags::empty()).is_ok()
}
