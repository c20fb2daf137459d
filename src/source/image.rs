//! An image as a source: find out what it is, check it, have what is needed to show it.
//!
//! What it is says its contents, never its name: an archive, which gets an index; a directory;
//! a file system or a disk, which the kernel shows. What cannot be used is answered with the command
//! that makes it usable.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;
use wpar_mountd::lower::filesystem::{FileSystemError, FileSystemImage};
use wpar_mountd::lower::tar::{
    ImageError, ImageName, IndexReport, Progress, begins_like_tar, ensure_index, main_file,
};

use super::aix::{self, AixRefusal};
use super::{directory, disk};
use crate::model::Source;
use crate::model::record::{FileSystemSource, Fingerprint, TreeMark};

/// Why an image cannot be a source.
#[derive(Debug, Error)]
pub enum ImageProblem {
    /// It cannot be found or looked at.
    #[error("cannot open the image {}", path.display())]
    Open {
        /// The image, as it was named.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no archive that can be used, or its index cannot be made.
    #[error(transparent)]
    Archive(#[from] ImageError),
    /// It is of another operating system.
    #[error(transparent)]
    Aix(#[from] AixRefusal),
    /// It is a file system that the kernel does not show.
    #[error(transparent)]
    FileSystem(#[from] FileSystemError),
    /// It is something that can be used only after something was done with it.
    #[error("image {} is {what}; {remedy}", path.display())]
    NotUsable {
        /// The image.
        path: PathBuf,
        /// What it is.
        what: String,
        /// The one command that makes it usable.
        remedy: String,
    },
    /// It is not what it was when the WPAR was made.
    #[error("the image {} has changed since {} was made from it", path.display(), owner)]
    Changed {
        /// The image.
        path: PathBuf,
        /// The WPAR.
        owner: String,
    },
}

impl ImageProblem {
    pub(super) fn open(path: &Path, source: io::Error) -> Self {
        Self::Open {
            path: path.to_owned(),
            source,
        }
    }
}

/// What an image is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be started: it must be a system, where that can be seen before.
    Start,
    /// To be looked at: anything will do.
    Look,
}

/// A source that is ready to be shown.
#[derive(Debug)]
pub struct Ready {
    /// The source.
    pub source: Source,
    /// About its index, if it has one.
    pub report: Option<IndexReport>,
    /// What the user should know once.
    pub notes: Vec<String>,
}

/// The source that `image` is, with its index if it is an archive, which is made if there is none
/// yet; in `cache` if not beside it.
///
/// # Errors
/// What is wrong with the image, or with the disk that the index is written to.
pub fn prepare(
    cache: &Path,
    image: &Path,
    purpose: Purpose,
    progress: &mut dyn Progress,
) -> Result<Ready, ImageProblem> {
    let failed = |source| ImageProblem::open(image, source);
    let name = ImageName::of(image);
    let path = name.canonical().map_err(failed)?;
    let metadata = fs::metadata(&name.path).map_err(failed)?;
    let must_be_system = purpose == Purpose::Start;
    let is_whole = name.wanted.is_none();
    if is_whole && metadata.is_dir() && directory::recognise(&path)? == directory::Kind::Tree {
        return Ok(Ready {
            source: directory::source(&path, must_be_system)?,
            report: None,
            notes: Vec::new(),
        });
    }
    if must_be_system
        && metadata.is_file()
        && let Some(refusal) = aix::refusal(&name.path)?
    {
        return Err(refusal.into());
    }
    // Before the index: if the image is changed while it is read, the next look at it tells.
    let fingerprint = fingerprint(&path)?;
    let choice = match is_whole && metadata.is_file() {
        true => of_kernel(&path, must_be_system)?,
        false => None,
    };
    match choice {
        Some(choice) => Ok(shown_by_kernel(path, fingerprint, choice)),
        None => indexed(path, fingerprint, cache, progress),
    }
}

fn shown_by_kernel(path: PathBuf, fingerprint: Fingerprint, choice: disk::Choice) -> Ready {
    let disk::Choice { image, notes } = choice;
    let source = FileSystemSource {
        path,
        format: image.format,
        region: image.region,
        subvolume: image.subvolume,
        fingerprint,
    };
    Ready {
        source: Source::FileSystem(source),
        report: None,
        notes,
    }
}

fn indexed(
    path: PathBuf,
    fingerprint: Fingerprint,
    cache: &Path,
    progress: &mut dyn Progress,
) -> Result<Ready, ImageProblem> {
    let report = ensure_index(&path, cache, progress)?;
    let source = Source::Image {
        path,
        index: report.path.clone(),
        fingerprint,
    };
    Ok(Ready {
        source,
        report: Some(report),
        notes: Vec::new(),
    })
}

/// The file system or disk that the file is; an archive is none, whatever follows its header.
fn of_kernel(path: &Path, must_be_system: bool) -> Result<Option<disk::Choice>, ImageProblem> {
    let failed = |source| ImageProblem::open(path, source);
    let file = File::open(path).map_err(failed)?;
    if begins_like_tar(&file).map_err(failed)? {
        return Ok(None);
    }
    disk::choose(path, &file, must_be_system)
}

/// Sees to it that a source can be used again by the WPAR called `owner`: that the image is there
/// and unchanged, and its index too, which is made again if it was lost.
///
/// # Errors
/// [`ImageProblem::Changed`], and those of [`prepare`].
pub fn prepare_again(
    cache: &Path,
    source: &Source,
    owner: &str,
    progress: &mut dyn Progress,
) -> Result<Source, ImageProblem> {
    let changed = |path: &Path| ImageProblem::Changed {
        path: path.to_owned(),
        owner: owner.to_owned(),
    };
    match source {
        Source::Host | Source::Fresh => {}
        Source::Tree { path, root } => {
            if directory::mark(path)? != *root {
                return Err(changed(path));
            }
        }
        Source::FileSystem(FileSystemSource {
            path,
            fingerprint: before,
            ..
        }) => {
            if fingerprint(path)? != *before {
                return Err(changed(path));
            }
        }
        Source::Image {
            path,
            fingerprint: before,
            ..
        } => {
            if fingerprint(path)? != *before {
                return Err(changed(path));
            }
            let ready = prepare(cache, path, Purpose::Start, progress)?;
            return Ok(ready.source);
        }
    }
    Ok(source.clone())
}

/// By what a directory that holds a system is known.
///
/// # Errors
/// If it cannot be looked at, or there is no system in it.
pub fn tree_mark(path: &Path) -> Result<TreeMark, ImageProblem> {
    match directory::source(path, true)? {
        Source::Tree { root, .. } => Ok(root),
        _ => directory::mark(path),
    }
}

impl From<&FileSystemSource> for FileSystemImage {
    fn from(source: &FileSystemSource) -> Self {
        let Fingerprint {
            bytes,
            modified,
            nanoseconds,
        } = source.fingerprint;
        Self {
            path: source.path.clone(),
            format: source.format,
            region: source.region,
            subvolume: source.subvolume.clone(),
            size: bytes,
            modified: (modified, nanoseconds),
        }
    }
}

/// Of a directory of archives, that of the file in it by which it is known.
fn fingerprint(path: &Path) -> Result<Fingerprint, ImageProblem> {
    let main = main_file(path)?;
    let metadata = fs::metadata(main).map_err(|source| ImageProblem::open(path, source))?;
    Ok(Fingerprint {
        bytes: metadata.size(),
        modified: metadata.mtime(),
        nanoseconds: metadata.mtime_nsec(),
    })
}
