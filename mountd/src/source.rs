//! From a [`MountSpec`] to the merged tree that it describes.

use std::sync::Arc;

use thiserror::Error;

use crate::error::{FsError, FsResult};
use crate::filter::{HiddenError, HiddenLower};
use crate::lower::LowerLayer;
use crate::lower::LowerNode;
use crate::lower::filesystem::FileSystemError;
use crate::lower::host::{HostError, HostLower};
use crate::lower::tar::{ImageError, TarLower};
use crate::overlay::Overlay;
use crate::spec::{LowerSpec, MountSpec};
use crate::takeover::Kept;
use crate::upper::{Opening, RootInode, StoreError, UpperStore};

/// Why a spec cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The directory underneath.
    #[error(transparent)]
    Directory(#[from] HostError),
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
        LowerSpec::Directory { path } => keep_names(HostLower::open(path)?, kept),
        LowerSpec::FileSystem(image) => keep_names(image.lower()?, kept),
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

/// The directory, with the names by which its inodes were found kept for the next daemon.
fn keep_names(lower: HostLower, kept: Option<&Kept>) -> Result<Arc<dyn LowerLayer>, OpenError> {
    Ok(Arc::new(match kept {
        Some(kept) => lower.keep(kept.lower_names()?)?,
        None => lower,
    }))
}
