//! From a [`MountSpec`] to the merged tree that it describes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::error::{FsError, FsResult};
use crate::filter::{HiddenError, HiddenLower};
use crate::lower::LowerLayer;
use crate::lower::LowerNode;
use crate::lower::filesystem::FileSystemError;
use crate::lower::grafted::{GraftError, GraftedLower, Part};
use crate::lower::host::{HostError, HostLower};
use crate::lower::tar::{ImageError, TarLower};
use crate::overlay::Overlay;
use crate::spec::{Graft, LowerSpec, MountSpec};
use crate::takeover::Kept;
use crate::upper::{Opening, RootInode, StoreError, UpperStore};

/// Why a spec cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The directory underneath.
    #[error(transparent)]
    Directory(#[from] HostError),
    /// Several file systems in one tree.
    #[error(transparent)]
    Grafted(#[from] GraftError),
    /// Another file system than before.
    #[error(
        "another file system is mounted at {} than when this was begun; mount the one that was",
        .0.display()
    )]
    Changed(PathBuf),
    /// The file system underneath.
    #[error(transparent)]
    FileSystem(#[from] FileSystemError),
    /// The image underneath.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The root of what is underneath.
    #[error("cannot read the root of the lower: {0}")]
    Root(FsError),
    /// The names to be hidden.
    #[error(transparent)]
    Hidden(#[from] HiddenError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the daemon before this one left.
    #[error("cannot go on from what the daemon before this one noted: {0}")]
    Kept(#[from] std::io::Error),
}

/// Opens what `spec` describes: the lower with its hidden names, and the store above it.
///
/// # Errors
/// See [`OpenError`].
pub fn open(spec: &MountSpec) -> Result<Overlay, OpenError> {
    open_as(spec, None)
}

/// The same for a mount whose daemon can be followed by another, which goes on from what is
/// `kept`.
///
/// # Errors
/// See [`OpenError`].
pub fn open_kept(spec: &MountSpec, kept: &Kept) -> Result<Overlay, OpenError> {
    Ok(open_as(spec, Some(kept))?.keep(kept)?)
}

fn open_as(spec: &MountSpec, kept: Option<&Kept>) -> Result<Overlay, OpenError> {
    let opening = match kept.map(Kept::agreement).transpose()?.flatten() {
        Some(_) => Opening::Takeover,
        None => Opening::AfterAll,
    };
    let lower = open_lower(&spec.lower, kept)?;
    let lower: Arc<dyn LowerLayer> = if spec.hidden.is_empty() {
        lower
    } else {
        Arc::new(HiddenLower::new(lower, &spec.hidden)?)
    };
    let upper = match &spec.store {
        Some(path) => {
            let root = root_of(&*lower).map_err(OpenError::Root)?;
            let store = UpperStore::open_as(path, &root, lower.first_free(), opening)?;
            Some(store.limited(spec.limits)?)
        }
        None => None,
    };
    Ok(Overlay::new(lower, upper))
}

/// What a store above `lower` begins with.
///
/// # Errors
/// Those of the lower.
pub fn root_of(lower: &dyn LowerLayer) -> FsResult<RootInode> {
    let root = LowerNode::ROOT;
    let mut xattrs = Vec::new();
    for name in lower.xattr_names(root)? {
        if let Some(value) = lower.xattr(root, &name)? {
            xattrs.push((name, value));
        }
    }
    Ok(RootInode {
        attr: lower.attr(root)?,
        xattrs,
    })
}

fn open_lower(spec: &LowerSpec, kept: Option<&Kept>) -> Result<Arc<dyn LowerLayer>, OpenError> {
    match spec {
        LowerSpec::Directory { path } => keep_names(HostLower::open(path)?, kept, 0),
        LowerSpec::Grafted { path, grafts } => open_grafted(path, grafts, kept, &|lower| lower),
        LowerSpec::Frozen { path, grafts } => {
            open_grafted(path, grafts, kept, &HostLower::unchanging)
        }
        LowerSpec::FileSystem(image) => keep_names(image.lower()?, kept, 0),
        LowerSpec::Image {
            path,
            index,
            shared,
        } => Ok(Arc::new(match shared {
            Some(shared) => TarLower::open_sharing(path, index, shared)?,
            None => TarLower::open(path, index)?,
        })),
    }
}

/// The file systems of `grafts` in that of `path`. Each must be the one that is expected: the store's
/// records carry the numbers of its inodes.
fn open_grafted(
    path: &Path,
    grafts: &[Graft],
    kept: Option<&Kept>,
    taken_for: &dyn Fn(HostLower) -> HostLower,
) -> Result<Arc<dyn LowerLayer>, OpenError> {
    let root = keep_names(taken_for(HostLower::open(path)?), kept, 0)?;
    let mut parts = Vec::with_capacity(grafts.len());
    for (graft, part) in grafts.iter().zip(1..) {
        let layer = match &graft.from {
            Some(from) => {
                let lower = HostLower::open(from)?;
                if let Some(expected) = graft.mark
                    && lower.mark().map_err(OpenError::Root)? != expected
                {
                    return Err(OpenError::Changed(from.clone()));
                }
                Some(keep_names(taken_for(lower), kept, part)?)
            }
            None => None,
        };
        parts.push(Part {
            point: graft.point.clone(),
            layer,
        });
    }
    Ok(Arc::new(GraftedLower::new(root, parts)?))
}

/// The directory, with the names by which its inodes were found kept for the next daemon. `part` is
/// its place in the tree.
fn keep_names(
    lower: HostLower,
    kept: Option<&Kept>,
    part: u16,
) -> Result<Arc<dyn LowerLayer>, OpenError> {
    Ok(Arc::new(match kept {
        Some(kept) => lower.keep(kept.lower_names(part)?)?,
        None => lower,
    }))
}
