//! Several file systems in one tree, as they are mounted.
//!
//! A root layer, and layers that take the place of directories in it or in each other ([`Part`]s). To
//! everybody above it is one layer: a name may be moved and linked from anywhere to anywhere.
//!
//! What always holds:
//! * A node's number is its number in its own layer, with the place of that layer in the list above
//!   ([`number`]). The root layer's nodes have their own numbers, so a tree without parts is the root
//!   layer. Nothing is a hard link of something in another layer.
//! * At its point a part shows its own root, attributes and all; what the directory underneath has
//!   in it is not seen.
//! * A point is a path, and is found by the names that were answered on the way ([`points`]), as in
//!   [`crate::filter`]: a host may replace the directories that lead to it.
//!
//! It opens nothing itself, and never looks at a layer's file system.

mod layer;
mod number;
mod points;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use thiserror::Error;

use self::points::Points;
use crate::error::FsError;
use crate::lower::{LowerLayer, LowerNode};
use crate::types::{EntryName, FileKind};

/// Most parts of a tree: their numbers, and those of the store above, are below 2^59.
pub const MOST_PARTS: usize = 1000;

/// A layer that is shown in another one.
#[derive(Debug)]
pub struct Part {
    /// The directory in whose place it is: a path below the root, without a leading `/`.
    pub point: String,
    /// The layer; `None` if it is gone: its numbers are kept, and the directory is as it is.
    pub layer: Option<Arc<dyn LowerLayer>>,
    /// Whether nothing in it may be changed.
    pub read_only: bool,
}

/// Several layers in one tree. See the module.
#[derive(Debug)]
pub struct GraftedLower {
    /// The root, and then the parts in their order.
    layers: Vec<Option<Arc<dyn LowerLayer>>>,
    /// Of each layer, whether nothing in it may be changed.
    read_only: Vec<bool>,
    points: Points,
}

/// Why parts cannot be put into a tree.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum GraftError {
    /// The path is none below the root.
    #[error(
        "cannot show a file system at {point:?}: it must be a path below the root without a leading \
         \"/\", its components neither empty nor \".\" nor \"..\""
    )]
    BadPath {
        /// The path as it was given.
        point: String,
    },
    /// There is one already.
    #[error("cannot show two file systems at {point:?}")]
    Twice {
        /// The path.
        point: String,
    },
    /// There are more than [`MOST_PARTS`].
    #[error("cannot show {0} file systems in one tree: {MOST_PARTS} are the most")]
    TooMany(usize),
    /// The directories that lead to it are not there.
    #[error("cannot show a file system at {point:?}: {at:?} is no directory of what is below it")]
    NoDirectory {
        /// The path.
        point: String,
        /// The part of it that was looked up last.
        at: String,
    },
    /// A layer could not be read.
    #[error("cannot show a file system at {point:?}: looking up {at:?} failed: {why}")]
    Lower {
        /// The path.
        point: String,
        /// The part of it that was looked up last.
        at: String,
        /// What the layer said.
        why: FsError,
    },
    /// A layer numbers its nodes too high.
    #[error("cannot show a file system at {point:?}: its inode numbers are too large")]
    Numbers {
        /// The path; empty for the root.
        point: String,
    },
}

impl GraftedLower {
    /// Puts `parts` into the tree of `root`.
    ///
    /// # Errors
    /// See [`GraftError`].
    pub fn new(root: Arc<dyn LowerLayer>, parts: Vec<Part>) -> Result<Self, GraftError> {
        if parts.len() > MOST_PARTS {
            return Err(GraftError::TooMany(parts.len()));
        }
        let mut points = Points::new();
        let mut layers = vec![Some(root)];
        let mut paths = vec![String::new()];
        let mut read_only = vec![false];
        for part in parts {
            if part.layer.is_some() {
                points.add(&part.point, layers.len())?;
            }
            layers.push(part.layer);
            paths.push(part.point);
            read_only.push(part.read_only);
        }
        for (layer, path) in layers.iter().zip(&paths) {
            if let Some(layer) = layer
                && layer.first_free() > number::FIRST_OF_NEXT
            {
                return Err(GraftError::Numbers {
                    point: path.clone(),
                });
            }
        }
        let this = Self {
            layers,
            read_only,
            points,
        };
        for (layer, path) in this.layers.iter().zip(&paths).skip(1) {
            if layer.is_some() {
                this.find(path)?;
            }
        }
        Ok(this)
    }

    /// Looks up what leads to `point`, which makes the point known.
    fn find(&self, point: &str) -> Result<(), GraftError> {
        let mut at = LowerNode::ROOT;
        let mut end = 0;
        for component in point.split('/') {
            end += component.len();
            let seen = || point.get(..end).unwrap_or(point).to_owned();
            let name = EntryName::new(component.as_bytes()).map_err(|_| GraftError::BadPath {
                point: point.to_owned(),
            })?;
            match self.lookup(at, name) {
                Ok(Some((node, attr))) if attr.kind == FileKind::Directory => at = node,
                Ok(_) => {
                    return Err(GraftError::NoDirectory {
                        point: point.to_owned(),
                        at: seen(),
                    });
                }
                Err(why) => {
                    return Err(GraftError::Lower {
                        point: point.to_owned(),
                        at: seen(),
                        why,
                    });
                }
            }
            end += 1;
        }
        Ok(())
    }
}
