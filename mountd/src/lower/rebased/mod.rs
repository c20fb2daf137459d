//! A tree in which listed names come from a second one.
//!
//! Below is the *base*, beside it the *other*: packages that the host has in a newer version take the
//! place of those of a copy in this way, and no file is copied. What the list names is taken from the
//! other under the same path, or is gone; whatever it does not name is the base's. Directories that lead
//! to a name in the list are merged: the base's own where it has one, else the other's, but of that
//! only what is listed is seen.
//!
//! What always holds:
//! * The base's nodes have the base's numbers; those of the other come behind them, from the next
//!   multiple of 2^48 on. Both are the same in every process as long as the base's
//!   [`LowerLayer::first_free`] is. Nothing of one is a hard link of something of the other.
//! * Nothing of the other that is not listed is ever seen, whatever becomes of it while it is shown.
//! * Which part of the list a directory is bound to follows from its path alone ([`points`]), so
//!   another process that is asked by number gives the same answer.
//!
//! The list ([`list`]) is a file of its own, as there may be a hundred thousand names in it.

mod layer;
pub mod list;
mod points;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

pub use self::list::{Fate, ListError, NameList};
use self::points::Points;
use crate::lower::LowerLayer;

/// Numbers of the other begin at a multiple of this.
const STEP: u64 = 1 << 48;

/// All numbers, with those of the store above, are below this.
const NUMBERS_MAX: u64 = 1 << 59;

/// Why a tree cannot be shown in this way.
#[derive(Debug, Error)]
pub enum RebaseError {
    /// The list.
    #[error("the list of names {} cannot be used: {why}", path.display())]
    List {
        /// The file.
        path: PathBuf,
        /// Why.
        why: ListError,
    },
    /// The layers number their nodes too high.
    #[error("too many trees lie above one another: no inode numbers are left")]
    Numbers,
}

/// A tree with names of a second one in it. See the module.
#[derive(Debug)]
pub struct RebasedLower {
    base: Arc<dyn LowerLayer>,
    other: Arc<dyn LowerLayer>,
    /// Number of the other's node 0, if it had one.
    first_other: u64,
    list: NameList,
    points: Points,
}

impl RebasedLower {
    /// Puts the names of `list` from `other` into the tree of `base`.
    ///
    /// # Errors
    /// [`RebaseError::Numbers`].
    pub fn new(
        base: Arc<dyn LowerLayer>,
        other: Arc<dyn LowerLayer>,
        list: NameList,
    ) -> Result<Self, RebaseError> {
        let first_other = base.first_free().div_ceil(STEP).saturating_mul(STEP);
        let end = first_other.saturating_add(other.first_free());
        if end >= NUMBERS_MAX {
            return Err(RebaseError::Numbers);
        }
        let points = Points::new(list.directories());
        Ok(Self {
            base,
            other,
            first_other,
            list,
            points,
        })
    }
}
