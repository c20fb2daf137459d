//! A file system of the kernel's in a file as a layer: squashfs, EROFS, ext2 to ext4, XFS, btrfs.
//!
//! The kernel reads it, through a read-only loop device that goes with its last user; the mount
//! is attached nowhere and seen by nobody but this process. [`super::host`] shows it. What always
//! holds:
//! * Nothing is written to the file. Journals are not replayed: what was only in them is not seen.
//! * Nothing of it is executed, and no device of it opened, for the mount says so.
//! * The file is the one that the layer was asked for, by size and time of modification, so what
//!   it shows never changes.
//!
//! The kernel believes more of what is in a file system than this crate believes of an archive;
//! that is why only root can have it, and what `SECURITY.md` says about it.

mod attach;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod partition;
mod superblock;

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use attach::attach;
pub use partition::{Partition, partitions};
pub use superblock::{FileSystemKind, Journal, Superblock, examine};

use crate::lower::host::{HostError, HostLower};

/// A stretch of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Its first byte.
    pub offset: u64,
    /// Its length; 0 for all up to the end.
    pub bytes: u64,
}

/// A file system in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSystemImage {
    /// The file.
    pub path: PathBuf,
    /// What is in it.
    pub format: FileSystemKind,
    /// Where in it.
    #[serde(default)]
    pub region: Region,
    /// The sub-volume that is the root, if it is not the one that the file system chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subvolume: Option<String>,
    /// Size of the file in bytes.
    pub size: u64,
    /// Its time of modification: seconds since 1970, and nanoseconds after them.
    pub modified: (i64, i64),
}

/// Why a file system cannot be shown.
#[derive(Debug, Error)]
pub enum FileSystemError {
    /// The file cannot be read.
    #[error("image {}: {source}; check its path and its permissions", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not the one that was meant.
    #[error(
        "image {} has changed: its size or its time of modification is another one; put the old \
         one back", path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// No device could be made of the file.
    #[error(
        "image {}: cannot make a loop device of it: {source}; it needs root, and the kernel's \
         loop module", path.display()
    )]
    Device {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel does not show it.
    #[error("image {}: the kernel cannot mount its {} file system: {why}", path.display(), format.name())]
    Mount {
        /// The file.
        path: PathBuf,
        /// What is in it.
        format: FileSystemKind,
        /// What the kernel said.
        why: String,
    },
    /// It is mounted, but not as it has to be.
    #[error(transparent)]
    Shown(#[from] HostError),
}

impl FileSystemImage {
    /// The file system `format` in `region` of the file `path`, as it is now.
    ///
    /// # Errors
    /// Those of looking at the file.
    pub fn of(path: &Path, format: FileSystemKind, region: Region) -> io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            format,
            region,
            subvolume: None,
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }

    /// Opens the file, if it still is the same.
    fn open(&self) -> Result<File, FileSystemError> {
        let failed = |source| FileSystemError::Open {
            path: self.path.clone(),
            source,
        };
        let file = File::open(&self.path).map_err(failed)?;
        let now = file.metadata().map_err(failed)?;
        if (now.size(), (now.mtime(), now.mtime_nsec())) == (self.size, self.modified) {
            Ok(file)
        } else {
            Err(FileSystemError::Changed {
                path: self.path.clone(),
            })
        }
    }

    /// The layer that it is.
    ///
    /// # Errors
    /// See [`FileSystemError`].
    pub fn lower(&self) -> Result<HostLower, FileSystemError> {
        let mount = attach(self)?;
        Ok(HostLower::of_mount(mount, &self.path)?.unchanging())
    }
}
