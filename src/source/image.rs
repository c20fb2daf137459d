//! A backup image as a source: find it, check it, have its index.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;
use wpar_mountd::lower::tar::{
    ImageError, ImageName, IndexReport, Progress, ensure_index, main_file,
};

use crate::model::Source;
use crate::model::record::Fingerprint;
use crate::registry::Layout;

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
    /// It is not what it was when the WPAR was made.
    #[error("the image {} has changed since {} was made from it", path.display(), owner)]
    Changed {
        /// The image.
        path: PathBuf,
        /// The WPAR.
        owner: String,
    },
}

/// The source that the archive `image` is, with its index, which is made if there is none yet.
///
/// # Errors
/// What is wrong with the image, or with the disk that the index is written to.
pub fn prepare(
    layout: &Layout,
    image: &Path,
    progress: &mut dyn Progress,
) -> Result<(Source, IndexReport), ImageProblem> {
    let failed = |source| ImageProblem::Open {
        path: image.to_owned(),
        source,
    };
    let path = ImageName::of(image).canonical().map_err(failed)?;
    // Before the index: if the image is changed while it is read, the next look at it tells.
    let fingerprint = fingerprint(&path)?;
    let report = ensure_index(&path, &layout.images_dir(), progress)?;
    Ok((
        Source::Image {
            path,
            index: report.path.clone(),
            fingerprint,
        },
        report,
    ))
}

/// Sees to it that a source can be used again by the WPAR called `owner`: that the image is there
/// and unchanged, and its index too, which is made again if it was lost.
///
/// # Errors
/// [`ImageProblem::Changed`], and those of [`prepare`].
pub fn prepare_again(
    layout: &Layout,
    source: &Source,
    owner: &str,
    progress: &mut dyn Progress,
) -> Result<Source, ImageProblem> {
    let Source::Image {
        path,
        fingerprint: before,
        ..
    } = source
    else {
        return Ok(source.clone());
    };
    if fingerprint(path)? != *before {
        return Err(ImageProblem::Changed {
            path: path.clone(),
            owner: owner.to_owned(),
        });
    }
    prepare(layout, path, progress).map(|(source, _report)| source)
}

/// Of a directory of archives, that of the file in it by which it is known.
fn fingerprint(path: &Path) -> Result<Fingerprint, ImageProblem> {
    let main = main_file(path)?;
    let metadata = fs::metadata(&main).map_err(|source| ImageProblem::Open {
        path: path.to_owned(),
        source,
    })?;
    Ok(Fingerprint {
        bytes: metadata.size(),
        modified: metadata.mtime(),
        nanoseconds: metadata.mtime_nsec(),
    })
}
