//! The log of what a WPAR writes to its console: appended, bounded, with one predecessor.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Size at which the log becomes the predecessor (`.1`) of a new one.
const LONGEST: u64 = 4 * 1024 * 1024;

/// An open log.
#[derive(Debug)]
pub(super) struct ConsoleLog {
    path: PathBuf,
    file: File,
    size: u64,
}

impl ConsoleLog {
    /// Opens the log to append to it; readable by its owner only.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        let size = file.metadata()?.len();
        Ok(Self {
            path: path.to_owned(),
            file,
            size,
        })
    }

    /// Appends what the WPAR wrote, as it is.
    pub(super) fn append(&mut self, data: &[u8]) -> io::Result<()> {
        if self.size >= LONGEST {
            let mut predecessor = self.path.clone().into_os_string();
            predecessor.push(".1");
            fs::rename(&self.path, predecessor)?;
            *self = Self::open(&self.path)?;
        }
        self.file.write_all(data)?;
        self.size += data.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_never_grows_much_beyond_its_bound() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("console.log");
        let chunk = vec![b'x'; 1024 * 1024];
        let mut log = ConsoleLog::open(&path).unwrap();
        for _ in 0..11 {
            log.append(&chunk).unwrap();
        }
        drop(log);
        ConsoleLog::open(&path).unwrap().append(b"end\n").unwrap();
        let text = fs::read(&path).unwrap();
        assert_eq!(text.len(), 3 * 1024 * 1024 + 4);
        assert!(text.ends_with(b"xend\n"));
        assert_eq!(
            fs::metadata(directory.path().join("console.log.1"))
                .unwrap()
                .len(),
            LONGEST
        );
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
