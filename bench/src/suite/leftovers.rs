//! The working directory of a run, and those of runs that were killed.
//!
//! A run that ends, whatever made it end, leaves nothing. One that is killed outright cannot clean up;
//! its mounts and files are removed by the next run in the same place. A lock, which the kernel lets
//! go when the process is gone, tells the one from the other.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::mount::{UnmountFlags, unmount};

use crate::Fallible;

/// What names of working directories begin with.
const PREFIX: &str = "wpar-bench-suite-";
/// The file in one that is locked as long as it is used.
const LOCK: &str = "lock";

/// A new directory of our own; it is removed with the value.
#[derive(Debug)]
pub(super) struct Workplace {
    dir: tempfile::TempDir,
    _lock: File,
}

impl Workplace {
    /// Makes one below `parent`.
    pub(super) fn new(parent: &Path) -> Fallible<Self> {
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let lock = File::create(dir.path().join(LOCK))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { dir, _lock: lock })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Removes it.
    ///
    /// # Errors
    /// What could not be removed.
    pub(super) fn close(self) -> Fallible<()> {
        Ok(self.dir.close()?)
    }
}

/// Removes what killed runs left below `parent`; how many there were.
pub(super) fn remove(parent: &Path) -> Fallible<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let Some(lock) = ours
            .then(|| File::open(entry.path().join(LOCK)).ok())
            .flatten()
        else {
            continue;
        };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        for point in mounts_below(&entry.path())? {
            unmount(&point, UnmountFlags::DETACH)
                .map_err(|error| format!("cannot unmount {}: {error}", point.display()))?;
        }
        fs::remove_dir_all(entry.path())
            .map_err(|error| format!("cannot remove {}: {error}", entry.path().display()))?;
        removed += 1;
    }
    Ok(removed)
}

/// Mount points below a directory, the last one that was mounted first. Our own paths have no character
/// that the list of mounts escapes, but for what the user gave as the place.
fn mounts_below(dir: &Path) -> Fallible<Vec<PathBuf>> {
    let dir = fs::canonicalize(dir)?;
    let table = fs::read_to_string("/proc/self/mounts")?;
    let points = table.lines().filter_map(|line| line.split(' ').nth(1));
    let mut points: Vec<_> = points
        .map(PathBuf::from)
        .filter(|point| point.starts_with(&dir))
        .collect();
    points.reverse();
    Ok(points)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_is_left_alone_and_what_was_left_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let used = Workplace::new(parent.path()).unwrap();
        let left = parent.path().join(format!("{PREFIX}killed"));
        let other = parent.path().join("wpar-bench-other");
        for dir in [&left, &other] {
            fs::create_dir(dir).unwrap();
            File::create(dir.join(LOCK)).unwrap();
        }
        assert_eq!(remove(parent.path()).unwrap(), 1);
        assert!(used.path().exists() && other.exists() && !left.exists());
    }
}
