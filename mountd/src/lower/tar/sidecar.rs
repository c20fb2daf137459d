//! Where the index of an image lies, and that there is a good one.
//!
//! One index serves every user of an image. Two processes do not build it at once: the builder
//! holds `flock` on the image itself, so that no lock file is left lying about.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, FlockOperation};
use rustix::io::Errno;

use crate::types::NAME_MAX;

use super::atomic::directory_of;
use super::build::build;
use super::error::{ImageError, IndexFault};
use super::format::hash;
use super::index::TarIndex;
use super::layer::{check_unchanged, open_copy};
use super::progress::Progress;

/// What the name of an image's index ends in.
const SUFFIX: &str = ".wparidx";
/// What the name of a seekable copy has behind that of the index.
const COPY_SUFFIX: &str = ".zst";

/// What [`ensure_index`] found or did.
#[derive(Clone, Debug)]
pub struct IndexReport {
    /// Where the index is.
    pub path: PathBuf,
    /// Why it had to be built; `None` if it was there and good.
    pub built_because: Option<BuildReason>,
    /// Whether it was built just now.
    pub built: bool,
    /// Entries of the archive, duplicates included.
    pub entries: u64,
    /// Size of the image file in bytes.
    pub archive_bytes: u64,
    /// Size of the archive without compression.
    pub stream_bytes: u64,
    /// Size of the index.
    pub index_bytes: u64,
    /// Size of the seekable copy beside the index, if the image's compression needs one.
    pub seekable_copy: Option<u64>,
    /// Whether the archive carries extended attributes or ACLs at all.
    pub carries_xattrs: bool,
    /// The first warnings about the archive, each without a line break.
    pub warnings: Vec<String>,
    /// How many warnings there are in all.
    pub warning_count: u64,
}

/// Why an index was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildReason {
    /// There was none.
    Missing,
    /// There was one of another version of the format.
    OtherVersion,
    /// There was one, but it or its seekable copy could not be used.
    Damaged,
    /// The archive is not the one that had been indexed. A WPAR made from the old contents must
    /// not be started on the new ones.
    ArchiveChanged,
}

/// Where the index of `image` belongs: beside it, as `<image>.wparidx`, if that directory can be
/// written; else in `cache_dir`, under a name made from the image's canonical path.
pub fn side_file(image: &Path, cache_dir: &Path) -> PathBuf {
    let name = image.file_name().unwrap_or_default();
    let fits = name.len() + SUFFIX.len() + COPY_SUFFIX.len() <= NAME_MAX;
    if fits && rustix::fs::access(directory_of(image), Access::WRITE_OK).is_ok() {
        return beside(image);
    }
    let canonical = std::fs::canonicalize(image).unwrap_or_else(|_| image.to_path_buf());
    let name = canonical.file_name().unwrap_or_default().to_string_lossy();
    let readable: String = name.chars().take(40).collect();
    cache_dir.join(format!(
        "{readable}-{:016x}{SUFFIX}",
        hash(canonical.as_os_str().as_bytes())
    ))
}

fn beside(image: &Path) -> PathBuf {
    appended(image, SUFFIX)
}

/// The seekable copy that belongs to an index.
pub(super) fn copy_file(index: &Path) -> PathBuf {
    appended(index, COPY_SUFFIX)
}

fn appended(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Opens an image, which must be a regular file with something in it.
pub(super) fn open_image(image: &Path) -> Result<File, ImageError> {
    let path = || image.to_path_buf();
    let metadata = std::fs::metadata(image).map_err(|error| ImageError::reading(image, error))?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Err(ImageError::Directory { path: path() });
    }
    if kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
        return Err(ImageError::NotRegular { path: path() });
    }
    if metadata.len() == 0 {
        return Err(ImageError::Empty {
            path: path(),
            what: "it has no bytes",
        });
    }
    File::open(image).map_err(|error| ImageError::reading(image, error))
}

/// Sees to it that `image` has an index that is whole and true, and tells about it.
///
/// Builds one if there is none, if it is damaged or of another version, or if the archive has
/// changed. While it is built, others that want the same wait; an interruption leaves nothing
/// behind, and an old index stays until the new one is complete.
///
/// # Errors
/// Any [`ImageError`]; none of them leaves a half index.
pub fn ensure_index(
    image: &Path,
    cache_dir: &Path,
    progress: &mut dyn Progress,
) -> Result<IndexReport, ImageError> {
    let file = open_image(image)?;
    let path = side_file(image, cache_dir);
    let shipped = beside(image);
    if shipped != path
        && let Ok(index) = usable(image, &file, &shipped)
    {
        return Ok(report(&index, None));
    }
    let first_look = usable(image, &file, &path);
    if let Ok(index) = &first_look {
        return Ok(report(index, None));
    }
    let _lock = lock(image)?;
    // Another process may have built it while this one waited.
    let reason = match usable(image, &file, &path) {
        Ok(index) => return Ok(report(&index, None)),
        Err(error) => reason_of(error)?,
    };
    let directory = directory_of(&path);
    std::fs::create_dir_all(directory).map_err(|error| ImageError::writing(&path, error))?;
    build(image, &file, &path, progress)?;
    Ok(report(&TarIndex::open(&path)?, Some(reason)))
}

/// The index at `path`, if it is one of this archive.
fn usable(image: &Path, file: &File, path: &Path) -> Result<TarIndex, ImageError> {
    let index = TarIndex::open(path)?;
    check_unchanged(image, file, &index)?;
    if index.seekable_copy().is_some() {
        open_copy(&index)?;
    }
    Ok(index)
}

fn reason_of(error: ImageError) -> Result<BuildReason, ImageError> {
    match error {
        ImageError::Changed { .. } => Ok(BuildReason::ArchiveChanged),
        ImageError::Index { fault, .. } => Ok(match fault {
            IndexFault::Missing => BuildReason::Missing,
            IndexFault::OtherVersion(_) => BuildReason::OtherVersion,
            IndexFault::Unreadable(_) | IndexFault::Damaged(_) | IndexFault::Copy(_) => {
                BuildReason::Damaged
            }
        }),
        error => Err(error),
    }
}

fn report(index: &TarIndex, built_because: Option<BuildReason>) -> IndexReport {
    IndexReport {
        path: index.path().to_path_buf(),
        built_because,
        built: built_because.is_some(),
        entries: index.entries(),
        archive_bytes: index.archive_bytes(),
        stream_bytes: index.stream_bytes(),
        index_bytes: index.file_bytes(),
        seekable_copy: index.seekable_copy(),
        carries_xattrs: index.carries_xattrs(),
        warnings: index.warnings(),
        warning_count: index.warning_count(),
    }
}

/// Waits for, and holds, the right to build the index of an image; ends with the value.
fn lock(image: &Path) -> Result<File, ImageError> {
    let file = File::open(image).map_err(|error| ImageError::reading(image, error))?;
    loop {
        match rustix::fs::flock(&file, FlockOperation::LockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::INTR) => {}
            // A network file system without locks: at worst two build the same index, and the
            // later rename wins.
            Err(Errno::NOLCK | Errno::OPNOTSUPP | Errno::BADF | Errno::INVAL | Errno::NOSYS) => {
                return Ok(file);
            }
            Err(error) => return Err(ImageError::reading(image, io::Error::from(error))),
        }
    }
}
