//! Locks between commands: `flock` on a file that also says who has it.
//!
//! The kernel releases a lock with the process that holds it, however that process ends, so a
//! lock is never stale. (Its file descriptor is closed on exec: what a command starts and leaves
//! behind does not hold it.)

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

/// How often a lock that is held is tried again.
const RETRY: Duration = Duration::from_millis(20);

/// A lock that this process holds until the value is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

/// Why a lock was not taken.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another command has it.
    #[error("{}", held(holder))]
    Held {
        /// Process number and verb, as far as the file says.
        holder: Option<(u32, String)>,
    },
    /// The lock's file cannot be used.
    #[error("cannot lock {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn held(holder: &Option<(u32, String)>) -> String {
    match holder {
        Some((pid, verb)) => format!("{verb} is at work (process {pid})"),
        None => "another command is at work".to_owned(),
    }
}

impl Lock {
    /// Takes the lock at `path` for a command called `verb`, waiting up to `wait` for another
    /// process to release it.
    ///
    /// # Errors
    /// [`LockError::Held`] after that time; [`LockError::Io`] if the file cannot be made.
    pub fn acquire(path: &Path, verb: &str, wait: Duration) -> Result<Self, LockError> {
        let failed = |source| LockError::Io {
            path: path.to_owned(),
            source,
        };
        let deadline = Instant::now() + wait;
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(path)
                .map_err(failed)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // The file may have been removed, with its WPAR, between open and lock.
                Ok(()) if is_at(&file, path) => {
                    let mut lock = Self {
                        file,
                        path: path.to_owned(),
                    };
                    lock.sign(verb).map_err(failed)?;
                    return Ok(lock);
                }
                Ok(()) => continue,
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {
                    std::thread::sleep(RETRY);
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(LockError::Held {
                        holder: holder(path),
                    });
                }
                Err(error) => return Err(failed(error.into())),
            }
        }
    }

    /// Whether some process holds the lock at `path` now. A lock whose file cannot be opened is
    /// held by nobody.
    pub fn is_held(path: &Path) -> bool {
        let Ok(file) = File::open(path) else {
            return false;
        };
        flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
    }

    /// The process and verb of the command that holds the lock at `path` now.
    pub fn holder(path: &Path) -> Option<(u32, String)> {
        Self::is_held(path).then(|| holder(path)).flatten()
    }

    /// Removes the lock's file and releases the lock: for the lock of a WPAR that is no more.
    pub fn remove(self) {
        // Whoever waits finds the file gone and makes a new one.
        let _ = fs::remove_file(&self.path);
    }

    fn sign(&mut self, verb: &str) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file
            .write_all(format!("{} {verb}\n", std::process::id()).as_bytes())
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => ours.dev() == there.dev() && ours.ino() == there.ino(),
        _ => false,
    }
}

fn holder(path: &Path) -> Option<(u32, String)> {
    let text = fs::read_to_string(path).ok()?;
    let (pid, verb) = text.trim_end().split_once(' ')?;
    Some((pid.parse().ok()?, verb.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_names_its_holder_and_is_free_again_after_drop() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("w1");
        assert!(!Lock::is_held(&path));
        let lock = Lock::acquire(&path, "startwpar", Duration::ZERO).unwrap();
        assert!(Lock::is_held(&path));
        match Lock::acquire(&path, "rmwpar", Duration::ZERO).unwrap_err() {
            LockError::Held { holder } => {
                assert_eq!(holder, Some((std::process::id(), "startwpar".to_owned())));
            }
            other => panic!("{other}"),
        }
        drop(lock);
        assert!(!Lock::is_held(&path));
        Lock::acquire(&path, "rmwpar", Duration::ZERO)
            .unwrap()
            .remove();
        assert!(!path.exists());
    }

    #[test]
    fn whoever_waits_gets_the_lock_of_a_removed_file() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("w1");
        let lock = Lock::acquire(&path, "rmwpar", Duration::ZERO).unwrap();
        let waiting = std::thread::spawn({
            let path = path.clone();
            move || Lock::acquire(&path, "mkwpar", Duration::from_secs(60)).map(|_lock| ())
        });
        std::thread::sleep(RETRY * 3);
        lock.remove();
        waiting.join().unwrap().unwrap();
    }
}
