//! From a [`MountSpec`] to the merged tree that it describes.

use std::collections::BTreeSet;
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
use crate::lower::memory::{BuildError, MemoryLower};
use crate::lower::rebased::{NameList, RebaseError, RebasedLower};
use crate::lower::tar::{ImageError, TarLower};
use crate::overlay::OverlaidLower;
use crate::overlay::Overlay;
use crate::spec::{Below, Graft, HiddenName, LowerSpec, MountSpec};
use crate::takeover::Kept;
use crate::upper::{Opening, Reach, RootInode, StoreError, UpperStore};

/// Why a spec cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The directory underneath.
    #[error(transparent)]
    Directory(#[from] HostError),
    /// Several file systems in one tree.
    #[error(transparent)]
    Grafted(#[from] GraftError),
    /// The directories that lead to them.
    #[error(transparent)]
    Way(#[from] BuildError),
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
    /// Names of another tree in the one underneath.
    #[error(transparent)]
    Rebased(#[from] RebaseError),
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
    let mut opener = Opener::new(kept)?;
    let lower = match (&spec.lower, &spec.store, kept) {
        (LowerSpec::Directory { path }, None, None) => Arc::new(HostLower::open_to_look(path)?),
        (lower, ..) => opener.lower(lower)?,
    };
    let lower = hiding(lower, &spec.hidden)?;
    let upper = match &spec.store {
        Some(path) => Some(opener.store(path, &*lower)?.limited(spec.limits)?),
        None => None,
    };
    Ok(Overlay::new(lower, upper))
}

/// `lower` without the names that are hidden.
fn hiding(
    lower: Arc<dyn LowerLayer>,
    hidden: &[HiddenName],
) -> Result<Arc<dyn LowerLayer>, OpenError> {
    Ok(match hidden.is_empty() {
        true => lower,
        false => Arc::new(HiddenLower::new(lower, hidden)?),
    })
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

/// Opens what a spec describes, piece by piece. Each piece that keeps something for the next daemon has a
/// place of its own for it, by the order in which the spec names them.
struct Opener<'a> {
    kept: Option<&'a Kept>,
    opening: Opening,
    /// Place of the next directory's names.
    next_part: u16,
    /// Place of the next merged tree below.
    next_tree: u16,
}

impl<'a> Opener<'a> {
    fn new(kept: Option<&'a Kept>) -> Result<Self, OpenError> {
        let opening = match kept.map(Kept::agreement).transpose()?.flatten() {
            Some(_) => Opening::Takeover,
            None => Opening::AfterAll,
        };
        Ok(Self {
            kept,
            opening,
            next_part: 0,
            next_tree: 1,
        })
    }

    fn store(&self, path: &Path, lower: &dyn LowerLayer) -> Result<UpperStore, OpenError> {
        let root = root_of(lower).map_err(OpenError::Root)?;
        let first = lower.first_free();
        let reach = match self.kept {
            Some(_) => Reach::Inside,
            None => Reach::Whole,
        };
        Ok(UpperStore::open_as(
            path,
            &root,
            first,
            self.opening,
            reach,
        )?)
    }

    fn lower(&mut self, spec: &LowerSpec) -> Result<Arc<dyn LowerLayer>, OpenError> {
        match spec {
            LowerSpec::Directory { path } => self.keep_names(HostLower::open(path)?),
            LowerSpec::Grafted { path, grafts } => {
                let root = self.keep_names(HostLower::open(path)?)?;
                self.grafted(root, grafts, &|lower| lower)
            }
            LowerSpec::Frozen { path, grafts } => {
                let root = self.keep_names(HostLower::open(path)?.unchanging())?;
                self.grafted(root, grafts, &HostLower::unchanging)
            }
            LowerSpec::Joined { root, grafts } => {
                let root = match root {
                    None => Arc::new(ways_to(grafts)?),
                    Some(root) => self.lower(root)?,
                };
                self.grafted(root, grafts, &|lower| lower)
            }
            LowerSpec::FileSystem(image) => self.keep_names(image.lower()?),
            LowerSpec::Image {
                path,
                index,
                shared,
            } => Ok(Arc::new(match shared {
                Some(shared) => TarLower::open_sharing(path, index, shared)?,
                None => TarLower::open(path, index)?,
            })),
            LowerSpec::Rebased { below, other, list } => {
                let names = NameList::open(list).map_err(|why| RebaseError::List {
                    path: list.clone(),
                    why,
                })?;
                let base = self.below(below)?;
                let other = self.lower(other)?;
                Ok(Arc::new(RebasedLower::new(base, other, names)?))
            }
        }
    }

    /// A merged tree as the lower of another one.
    fn below(&mut self, below: &Below) -> Result<Arc<dyn LowerLayer>, OpenError> {
        let lower = hiding(self.lower(&below.lower)?, &below.hidden)?;
        let store = self.store(&below.store, &*lower)?;
        let mut overlay = Overlay::new(lower, Some(store));
        if let Some(kept) = self.kept {
            overlay = overlay.keep_as(kept, self.next_tree)?;
        }
        self.next_tree = self.next_tree.saturating_add(1);
        Ok(Arc::new(OverlaidLower::new(overlay)))
    }

    /// The file systems of `grafts` in `root`. Each must be the one that is expected: the store's
    /// records carry the numbers of its inodes.
    fn grafted(
        &mut self,
        root: Arc<dyn LowerLayer>,
        grafts: &[Graft],
        taken_for: &dyn Fn(HostLower) -> HostLower,
    ) -> Result<Arc<dyn LowerLayer>, OpenError> {
        let mut parts = Vec::with_capacity(grafts.len());
        for graft in grafts {
            let layer = match &graft.from {
                Some(from) => {
                    let lower = HostLower::open(from)?;
                    if let Some(expected) = graft.mark
                        && lower.mark().map_err(OpenError::Root)? != expected
                    {
                        return Err(OpenError::Changed(from.clone()));
                    }
                    Some(self.keep_names(taken_for(lower))?)
                }
                None => {
                    self.next_part = self.next_part.saturating_add(1);
                    None
                }
            };
            parts.push(Part {
                point: graft.point.clone(),
                layer,
                read_only: graft.read_only,
            });
        }
        Ok(Arc::new(GraftedLower::new(root, parts)?))
    }

    /// The directory, with the names by which its inodes were found kept for the next daemon.
    fn keep_names(&mut self, lower: HostLower) -> Result<Arc<dyn LowerLayer>, OpenError> {
        let part = self.next_part;
        self.next_part = part.saturating_add(1);
        Ok(Arc::new(match self.kept {
            Some(kept) => lower.keep(kept.lower_names(part)?)?,
            None => lower,
        }))
    }
}

/// The directories that `grafts` are shown in, and nothing else.
fn ways_to(grafts: &[Graft]) -> Result<MemoryLower, OpenError> {
    let mut above = BTreeSet::new();
    for graft in grafts {
        let slashes = graft.point.match_indices('/');
        above.extend(slashes.filter_map(|(at, _)| graft.point.get(..at)));
    }
    let is_inside = |path: &str, graft: &Graft| {
        let rest = path.strip_prefix(graft.point.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mut tree = MemoryLower::builder();
    for path in above {
        if !grafts.iter().any(|graft| is_inside(path, graft)) {
            tree = tree.directory(path);
        }
    }
    Ok(tree.build()?)
}
