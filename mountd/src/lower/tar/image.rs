//! The files of an image, opened.
//!
//! An image is a file, or a directory of files such as an OCI image layout. The *main file* is
//! what it is known by: the file itself, or the one in the directory that names the others. All
//! other files are found by paths, which come from an index or from the image and are believed to
//! be nothing but names below one directory: the image, or the one that it lies in.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

use super::atomic::directory_of;
use super::error::ImageError;
use super::format::{FilePlace, FileRecord, Fingerprint};
use super::index::TarIndex;
use super::seekable;

/// Files in a directory that is an image, by one of which it is known, and what it is then.
const MAIN_FILES: &[&str] = &["index.json"];

/// An image that exists and has something in it.
#[derive(Debug)]
pub(super) struct Image {
    path: PathBuf,
    main: File,
    /// The main file's path from the image on; `None` if the image is a file.
    main_path: Option<&'static str>,
}

impl Image {
    /// Opens the image at `path`.
    ///
    /// # Errors
    /// That there is none, that it is no file with something in it and no directory that can be
    /// an image, or the kernel's refusal.
    pub(super) fn open(path: &Path) -> Result<Self, ImageError> {
        let owned = || path.to_path_buf();
        let metadata = std::fs::metadata(path).map_err(|error| ImageError::reading(path, error))?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            return Self::open_directory(path);
        }
        if kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
            return Err(ImageError::NotRegular { path: owned() });
        }
        if metadata.len() == 0 {
            return Err(ImageError::Empty {
                path: owned(),
                what: "it has no bytes",
            });
        }
        let main = File::open(path).map_err(|error| ImageError::reading(path, error))?;
        Ok(Self {
            path: owned(),
            main,
            main_path: None,
        })
    }

    fn open_directory(path: &Path) -> Result<Self, ImageError> {
        for name in MAIN_FILES {
            match open_beneath(path, name.as_bytes()) {
                Ok(main) => {
                    return Ok(Self {
                        path: path.to_path_buf(),
                        main,
                        main_path: Some(name),
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(ImageError::reading(&path.join(name), error)),
            }
        }
        Err(ImageError::Directory {
            path: path.to_path_buf(),
        })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The main file.
    pub(super) fn main(&self) -> &File {
        &self.main
    }

    /// The main file, opened once more, so that a lock on it is one of its own.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn reopen(&self) -> io::Result<File> {
        match self.main_path {
            Some(path) => self.beside(path.as_bytes()),
            None => File::open(&self.path),
        }
    }

    /// The main file's record without its fingerprint, and its path if the image is a directory.
    pub(super) fn main_place(&self) -> (FilePlace, &'static [u8]) {
        match self.main_path {
            Some(path) => (FilePlace::Beside, path.as_bytes()),
            None => (FilePlace::Image, b""),
        }
    }

    /// The directory that paths of other files start from.
    fn base(&self) -> &Path {
        match self.main_path {
            Some(_) => &self.path,
            None => directory_of(&self.path),
        }
    }

    /// Opens a regular file at a path from the image.
    ///
    /// # Errors
    /// `InvalidInput` if the path is more than names, else the kernel's answer.
    pub(super) fn beside(&self, path: &[u8]) -> io::Result<File> {
        open_beneath(self.base(), path)
    }

    /// Opens all files that `index` names, in its order, and checks that each is the one that was
    /// indexed.
    ///
    /// # Errors
    /// [`ImageError::Changed`] with the file that is another one, [`ImageError::Index`] if the
    /// copy is, or if the index makes no sense.
    pub(super) fn files(&self, index: &TarIndex) -> Result<Vec<File>, ImageError> {
        let count = index.file_count()?;
        (0..count)
            .map(|number| {
                let (record, path) = index.file(number)?;
                self.file(index, &record, path)
            })
            .collect()
    }

    fn file(&self, index: &TarIndex, record: &FileRecord, path: &[u8]) -> Result<File, ImageError> {
        let (file, path) = match record.place {
            FilePlace::Copy => return seekable::open_copy(index, &record.fingerprint),
            FilePlace::Image => {
                let file = self.main.try_clone();
                (file, self.path.clone())
            }
            FilePlace::Beside => {
                let name = Path::new(std::ffi::OsStr::from_bytes(path));
                (self.beside(path), self.base().join(name))
            }
        };
        let changed = |what| ImageError::Changed {
            path: path.clone(),
            what,
        };
        let file = match file {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(changed("it is not there any more"));
            }
            Err(error) => return Err(ImageError::reading(&path, error)),
        };
        let now = Fingerprint::of(&file).map_err(|error| ImageError::reading(&path, error))?;
        match record.fingerprint.difference(&now) {
            Some(what) => Err(changed(what)),
            None => Ok(file),
        }
    }
}

/// Opens a regular file below `base`; no symbolic link leads out of it.
fn open_beneath(base: &Path, path: &[u8]) -> io::Result<File> {
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    let plain = path
        .components()
        .all(|component| matches!(component, Component::Normal(_)));
    if !plain || path.as_os_str().is_empty() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let base = rustix::fs::openat(CWD, base, flags | OFlags::DIRECTORY, Mode::empty())?;
    // A pipe must not stop us.
    let flags = flags | OFlags::NONBLOCK;
    let file = rustix::fs::openat2(&base, path, flags, Mode::empty(), ResolveFlags::BENEATH)?;
    let file = File::from(file);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_of_the_base_is_opened() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().join("base");
        std::fs::create_dir_all(base.join("in")).unwrap();
        std::fs::write(base.join("in/file"), "x").unwrap();
        std::fs::write(directory.path().join("outside"), "x").unwrap();
        std::os::unix::fs::symlink("in/file", base.join("good")).unwrap();
        std::os::unix::fs::symlink("../outside", base.join("bad")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", base.join("absolute")).unwrap();
        for path in ["in/file", "good"] {
            assert!(open_beneath(&base, path.as_bytes()).is_ok(), "{path}");
        }
        for path in [
            "",
            ".",
            "/etc/passwd",
            "../outside",
            "in/../../outside",
            "in",
            "bad",
            "absolute",
            "missing",
        ] {
            assert!(open_beneath(&base, path.as_bytes()).is_err(), "{path}");
        }
    }
}
