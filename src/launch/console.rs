//! The log of what a WPAR writes to its console: appended, bounded, with one predecessor.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
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

    /// The last `longest` bytes of it and its predecessor.
    pub(super) fn last_bytes(&self, longest: usize) -> Vec<u8> {
        let mut text = tail(&self.path, longest);
        if let Some(rest) = longest.checked_sub(text.len()).filter(|rest| *rest > 0) {
            let before = tail(&self.predecessor(), rest);
            text.splice(0..0, before);
        }
        text
    }

    /// About the last `longest` bytes of it and its predecessor, from the beginning of a line.
    pub(super) fn last(&self, longest: usize) -> Vec<u8> {
        let mut text = self.last_bytes(longest);
        let whole = text.len() < longest;
        let start = text
            .iter()
            .position(|byte| *byte == b'\n')
            .filter(|_| !whole);
        text.split_off(start.map_or(0, |end| end + 1))
    }

    fn predecessor(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".1");
        PathBuf::from(path)
    }

    /// Appends what the WPAR wrote, as it is.
    pub(super) fn append(&mut self, data: &[u8]) -> io::Result<()> {
        if self.size >= LONGEST {
            fs::rename(&self.path, self.predecessor())?;
            *self = Self::open(&self.path)?;
        }
        self.file.write_all(data)?;
        self.size += data.len() as u64;
        Ok(())
    }
}

/// The last `longest` bytes of a file; nothing of one that cannot be read.
fn tail(path: &Path, longest: usize) -> Vec<u8> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let longest = longest as u64;
        file.seek(SeekFrom::Start(length.saturating_sub(longest)))?;
        let mut text = Vec::new();
        file.take(longest).read_to_end(&mut text)?;
        Ok(text)
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_found_over_the_change_of_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("console.log");
        let mut log = ConsoleLog::open(&path).unwrap();
        assert_eq!(log.last(100), b"");
        log.append(b"one\ntwo\n").unwrap();
        assert_eq!(log.last(100), b"one\ntwo\n");
        assert_eq!(log.last(6), b"two\n");
        fs::rename(&path, directory.path().join("console.log.1")).unwrap();
        let mut log = ConsoleLog::open(&path).unwrap();
        log.append(b"three\n").unwrap();
        assert_eq!(log.last(12), b"two\nthree\n");
    }

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
