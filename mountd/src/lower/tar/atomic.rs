//! A file that appears under its name whole, or not at all.
//!
//! It is written without a name (`O_TMPFILE`) where the file system can do that, so that nothing
//! is left if the process is killed; elsewhere under a temporary name, which is removed on drop.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

/// A file on its way to `target`.
#[derive(Debug)]
pub(super) struct AtomicFile {
    file: File,
    target: PathBuf,
    /// The name that it has for the time being.
    temporary: Option<PathBuf>,
}

impl AtomicFile {
    /// Opens a file for reading and writing that is to become `target`, with these permissions.
    pub(super) fn create(target: &Path, permissions: u32) -> io::Result<Self> {
        let mode = Mode::from_raw_mode(permissions);
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let target = target.to_path_buf();
        match rustix::fs::open(directory_of(&target), flags | OFlags::TMPFILE, mode) {
            Ok(fd) => {
                return Ok(Self {
                    file: fd.into(),
                    target,
                    temporary: None,
                });
            }
            // What file systems and kernels without it answer.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let temporary = temporary_name(&target);
        let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        // Left over from a process with our number that was killed.
        let _ = rustix::fs::unlink(&temporary);
        let file = rustix::fs::open(&temporary, flags, mode)?.into();
        Ok(Self {
            file,
            target,
            temporary: Some(temporary),
        })
    }

    /// The file, to be written.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Synchronises the file and gives it its name, in the place of what had it before.
    pub(super) fn commit(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        let temporary = match self.temporary.take() {
            Some(temporary) => temporary,
            None => {
                let temporary = temporary_name(&self.target);
                let _ = rustix::fs::unlink(&temporary);
                let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
                rustix::fs::linkat(CWD, own, CWD, &temporary, AtFlags::SYMLINK_FOLLOW)?;
                temporary
            }
        };
        // From here on the drop removes the name if the rename fails.
        self.temporary = Some(temporary.clone());
        rustix::fs::rename(&temporary, &self.target)?;
        self.temporary = None;
        let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(directory_of(&self.target), directory, Mode::empty())?;
        // Some file systems cannot synchronise a directory; the rename is atomic all the same.
        let _ = rustix::fs::fsync(directory);
        Ok(())
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = rustix::fs::unlink(temporary);
        }
    }
}

/// The directory of a file's name.
pub(super) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn temporary_name(target: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    // A name of nearly 255 bytes leaves no room for more: shorten it, the number tells it apart.
    let full = target.file_name().unwrap_or_default().as_encoded_bytes();
    name.push(String::from_utf8_lossy(full.get(..100).unwrap_or(full)).as_ref());
    name.push(format!(".{}.tmp", std::process::id()));
    directory_of(target).join(name)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("x".repeat(250));
        std::fs::write(&target, "old").unwrap();

        let file = AtomicFile::create(&target, 0o600).unwrap();
        file.file().write_all(b"half").unwrap();
        drop(file);
        assert_eq!(std::fs::read(&target).unwrap(), b"old");
        assert_eq!(names(directory.path()).len(), 1);

        let file = AtomicFile::create(&target, 0o600).unwrap();
        file.file().write_all(b"new").unwrap();
        file.commit().unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"new");
        assert_eq!(names(directory.path()).len(), 1);
    }

    #[test]
    fn a_target_that_cannot_be_replaced_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("d");
        std::fs::create_dir(&target).unwrap();
        let file = AtomicFile::create(&target, 0o600).unwrap();
        assert!(file.commit().is_err());
        assert_eq!(names(directory.path()), ["d"]);
    }
}
