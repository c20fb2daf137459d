//! Where the index of an image lies, and that there is a good one.
//!
//! One index serves every user of an image. Two processes do not build it at once: the builder
//! holds `flock` on the image's main file, so that no lock file is left lying about.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, FlockOperation};
use rustix::io::Errno;

use crate::types::NAME_MAX;

use super::atomic::directory_of;
use super::build::{build, index_permissions};
use super::error::{ImageError, IndexFault};
use super::format::{ArchiveKind, Codec, hash};
use super::image::Image;
use super::index::TarIndex;
use super::name::ImageName;
use super::progress::Progress;
use super::save;

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
    /// What the image is made of.
    pub kind: ArchiveKind,
    /// Compression of the image's main file.
    pub codec: Codec,
    /// Size of the image's files in bytes.
    pub archive_bytes: u64,
    /// Size of the archive without compression.
    pub stream_bytes: u64,
    /// Size of the index.
    pub index_bytes: u64,
    /// Size of the seekable copy beside the index, if the image's compression needs one.
    pub seekable_copy: Option<u64>,
    /// Whether the archive carries extended attributes or ACLs at all.
    pub carries_xattrs: bool,
    /// Whether the archive has any device nodes.
    pub carries_devices: bool,
    /// What the image is, beyond its kind, each without a line break.
    pub notes: Vec<String>,
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
    let name = ImageName::of(image);
    let file_name = name.file_name();
    let fits =
        !file_name.is_empty() && file_name.len() + SUFFIX.len() + COPY_SUFFIX.len() <= NAME_MAX;
    let directory = directory_of(&name.path);
    if fits && rustix::fs::access(directory, Access::WRITE_OK).is_ok() {
        return beside(image);
    }
    let canonical = name.canonical().unwrap_or_else(|_| image.to_path_buf());
    let readable = ImageName::of(&canonical).file_name();
    let readable: String = readable.to_string_lossy().chars().take(40).collect();
    cache_dir.join(format!(
        "{readable}-{:016x}{SUFFIX}",
        hash(canonical.as_os_str().as_bytes())
    ))
}

/// Of a directory that is named with a slash at its end, too.
fn beside(image: &Path) -> PathBuf {
    let name = ImageName::of(image);
    let file_name = appended(Path::new(&name.file_name()), SUFFIX);
    name.path.with_file_name(file_name)
}

/// The file by which an image is known: the image itself or, if it is a directory of archives, the
/// one in it that changes when they do.
///
/// # Errors
/// That there is no image; [`ImageError::Directory`] if it is a directory that cannot be one.
pub fn main_file(image: &Path) -> Result<PathBuf, ImageError> {
    Ok(Image::open(image)?.main_file())
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
    let opened = Image::open(image)?;
    let path = side_file(image, cache_dir);
    let shipped = beside(image);
    if shipped != path
        && let Ok(index) = usable(&opened, &shipped)
    {
        return Ok(report(&index, None));
    }
    let first_look = usable(&opened, &path);
    if let Ok(index) = &first_look {
        return Ok(report(index, None));
    }
    let _lock = lock(&opened)?;
    // Another process may have built it while this one waited.
    let reason = match usable(&opened, &path) {
        Ok(index) => return Ok(report(&index, None)),
        Err(error) => reason_of(error)?,
    };
    let directory = directory_of(&path);
    std::fs::create_dir_all(directory).map_err(|error| ImageError::writing(&path, error))?;
    if let Some(index) = shipped_inside(&opened, &path)? {
        return Ok(report(&index, None));
    }
    build(&opened, &path, progress)?;
    Ok(report(&TarIndex::open(&path)?, Some(reason)))
}

/// Unpacks the index that is in the image, if there is a good one, to `path`.
fn shipped_inside(image: &Image, path: &Path) -> Result<Option<TarIndex>, ImageError> {
    let permissions = index_permissions(image.main());
    let unpacked = save::unpack(image.main(), path, permissions);
    match unpacked.map_err(|error| ImageError::writing(path, error))? {
        Some(()) => Ok(usable(image, path)
            .ok()
            .filter(|index| index.verify().is_ok())),
        None => Ok(None),
    }
}

/// The index at `path`, if it is one of this image.
fn usable(image: &Image, path: &Path) -> Result<TarIndex, ImageError> {
    let index = TarIndex::open(path)?;
    image.files(&index)?;
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

/// What there is to tell about an index.
pub(super) fn report(index: &TarIndex, built_because: Option<BuildReason>) -> IndexReport {
    IndexReport {
        path: index.path().to_path_buf(),
        built_because,
        built: built_because.is_some(),
        entries: index.entries(),
        archive_bytes: index.archive_bytes(),
        stream_bytes: index.stream_bytes(),
        index_bytes: index.file_bytes(),
        seekable_copy: index.seekable_copy(),
        kind: index.kind(),
        codec: index.codec(),
        carries_xattrs: index.carries_xattrs(),
        carries_devices: index.carries_devices(),
        notes: index.notes(),
        warnings: index.warnings(),
        warning_count: index.warning_count(),
    }
}

/// Waits for, and holds, the right to build the index of an image; ends with the value.
fn lock(image: &Image) -> Result<File, ImageError> {
    let failed = |error| ImageError::reading(image.path(), error);
    let file = image.reopen().map_err(failed)?;
    loop {
        match rustix::fs::flock(&file, FlockOperation::LockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::INTR) => {}
            // A network file system without locks: at worst two build the same index, and the
            // later rename wins.
            Err(Errno::NOLCK | Errno::OPNOTSUPP | Errno::BADF | Errno::INVAL | Errno::NOSYS) => {
                return Ok(file);
            }
            Err(error) => return Err(failed(io::Error::from(error))),
        }
    }
}
