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
use super::chain::chain;
use super::error::ImageError;
use super::format::{FilePlace, FileRecord, Fingerprint};
use super::index::TarIndex;
use super::name::ImageName;
use super::seekable;

/// The files that an OCI image layout is known by; the second one names the others.
const LAYOUT: [&str; 2] = ["oci-layout", "index.json"];

/// An image that exists and has something in it.
#[derive(Debug)]
pub(super) struct Image {
    /// As it was named.
    name: PathBuf,
    at: ImageName,
    main: File,
    /// Where other files of the image are.
    base: PathBuf,
    contents: Contents,
}

/// What an image is that is a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Contents {
    /// It is a file.
    File,
    /// An OCI image layout.
    Layout,
    /// Archives to be laid over one another; the last one is the main file.
    Chain(Vec<String>),
}

impl Image {
    /// Opens the image with this name.
    ///
    /// # Errors
    /// That there is none, that it is no file with something in it and no directory that can be
    /// an image, or the kernel's refusal.
    pub(super) fn open(name: &Path) -> Result<Self, ImageError> {
        let at = ImageName::of(name);
        let failed = |error| ImageError::reading(name, error);
        let metadata = std::fs::metadata(&at.path).map_err(failed)?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            return Self::open_directory(name, at);
        }
        let path = || name.to_path_buf();
        if kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
            return Err(ImageError::NotRegular { path: path() });
        }
        if metadata.len() == 0 {
            return Err(ImageError::Empty {
                path: path(),
                what: "it has no bytes",
            });
        }
        Ok(Self {
            name: path(),
            main: File::open(&at.path).map_err(failed)?,
            base: directory_of(&at.path).to_path_buf(),
            at,
            contents: Contents::File,
        })
    }

    fn open_directory(name: &Path, at: ImageName) -> Result<Self, ImageError> {
        let failed = |error| ImageError::reading(name, error);
        let layout = LAYOUT.map(|name| open_beneath(&at.path, name.as_bytes()));
        let [mark, index] = layout;
        let (path, contents) = match mark.and(index) {
            Ok(_) => (LAYOUT[1].to_owned(), Contents::Layout),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let chain = chain(&at.path, at.wanted.as_deref()).map_err(failed)?;
                let Some(last) = chain.last().cloned() else {
                    let path = name.to_path_buf();
                    return Err(ImageError::Directory { path });
                };
                (last, Contents::Chain(chain))
            }
            Err(error) => return Err(failed(error)),
        };
        Ok(Self {
            name: name.to_path_buf(),
            main: open_beneath(&at.path, path.as_bytes()).map_err(failed)?,
            base: at.path.clone(),
            at,
            contents,
        })
    }

    /// How it was named.
    pub(super) fn path(&self) -> &Path {
        &self.name
    }

    /// Which of several images in it is meant.
    pub(super) fn wanted(&self) -> Option<&str> {
        self.at.wanted.as_deref()
    }

    /// The main file.
    pub(super) fn main(&self) -> &File {
        &self.main
    }

    /// What is in it, if it is a directory.
    pub(super) fn contents(&self) -> &Contents {
        &self.contents
    }

    /// The main file, opened once more, so that a lock on it is one of its own.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn reopen(&self) -> io::Result<File> {
        File::open(self.main_file())
    }

    /// Where the main file is.
    pub(super) fn main_file(&self) -> PathBuf {
        match self.main_path() {
            "" => self.at.path.clone(),
            path => self.base.join(path),
        }
    }

    /// The main file's path from the directory on; empty if the image is a file.
    pub(super) fn main_path(&self) -> &str {
        match &self.contents {
            Contents::File => "",
            Contents::Layout => LAYOUT[1],
            Contents::Chain(chain) => chain.last().map_or("", String::as_str),
        }
    }

    /// Opens a regular file at a path from the image.
    ///
    /// # Errors
    /// `InvalidInput` if the path is more than names, else the kernel's answer.
    pub(super) fn beside(&self, path: &[u8]) -> io::Result<File> {
        open_beneath(&self.base, path)
    }

    /// Opens all files that `index` names, in its order, and checks that each is the one that was
    /// indexed.
    ///
    /// # Errors
    /// [`ImageError::Changed`] with the file that is another one, [`ImageError::Index`] if the
    /// copy is, or if the index makes no sense.
    pub(super) fn files(&self, index: &TarIndex) -> Result<Vec<File>, ImageError> {
        let count = index.file_count()?;
        let (_, main_path) = index.file(0)?;
        if main_path != self.main_path().as_bytes() {
            return Err(ImageError::Changed {
                path: self.name.clone(),
                what: "its newest file is another one",
            });
        }
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
                (file, self.name.clone())
            }
            FilePlace::Beside => {
                let name = Path::new(std::ffi::OsStr::from_bytes(path));
                (self.beside(path), self.base.join(name))
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
