//! From a [`MountSpec`] to the merged tree that it describes.

use std::sync::Arc;

use thiserror::Error;

use crate::error::{FsError, FsResult};
use crate::filter::{HiddenError, HiddenLower};
use crate::lower::LowerLayer;
use crate::lower::LowerNode;
use crate::lower::host::{HostError, HostLower};
use crate::lower::tar::{ImageError, TarLower};
use crate::overlay::Overlay;
use crate::spec::{LowerSpec, MountSpec};
use crate::upper::{RootInode, StoreError, UpperStore};

/// Why a spec cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The directory underneath.
    #[error(transparent)]
    Directory(#[from] HostError),
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
}

/// Opens what `spec` describes: the lower with its hidden names, and the store above it.
///
/// # Errors
/// See [`OpenError`].
pub fn open(spec: &MountSpec) -> Result<Overlay, OpenError> {
    let lower = open_lower(&spec.lower)?;
    let lower: Arc<dyn LowerLayer> = if spec.hidden.is_empty() {
        lower
    } else {
        Arc::new(HiddenLower::new(lower, &spec.hidden)?)
    };
    let upper = match &spec.store {
        Some(path) => {
            let root = root_of(&*lower).map_err(OpenError::Root)?;
            let store = UpperStore::open(path, &root, lower.first_free())?;
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

fn open_lower(spec: &LowerSpec) -> Result<Arc<dyn LowerLayer>, OpenError> {
    match spec {
        LowerSpec::Directory { path } => Ok(Arc::new(HostLower::open(path)?)),
        LowerSpec::Image { path, index } => Ok(Arc::new(TarLower::open(path, index)?)),
    }
}
