//! Names of the lower that do not exist for the WPAR.
//!
//! A rule hides a *name* in a directory, never an inode: another hard link of the same inode
//! stays visible (and is still counted in `nlink`, as is a hidden subdirectory in its parent's).
//! Rules are paths, but they are asked by node: the paths form a trie, and each directory of the
//! lower that lies on a rule's path is *bound* to its point of the trie. Directories that exist
//! at the start are bound then, without following symbolic links. On a living host a directory
//! may be made or replaced later; [`HiddenLower`] binds it when its name is first answered, that
//! is before anybody can ask for something in it. A binding is never dropped, so a bound
//! directory that the host renames keeps hiding what it hid.
//!
//! [`HiddenLower`] applies the rules in front of a layer, so that nothing above can forget them.

mod layer;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use thiserror::Error;

use crate::error::{FsError, FsResult};
use crate::lower::{LowerLayer, LowerNode};
use crate::spec::{HiddenExtent, HiddenName};
use crate::types::{EntryName, FileKind};

pub use layer::HiddenLower;

/// The rules, bound to the directories of one lower.
#[derive(Debug)]
pub struct HiddenNames {
    /// The trie of all paths; the root's point is 0. Never changes.
    points: Vec<Point>,
    /// The points of each directory: nearly always one.
    bound: RwLock<HashMap<LowerNode, Arc<[usize]>>>,
    unresolved: Vec<Unresolved>,
}

/// What the rules say about one directory.
#[derive(Debug, Default)]
struct Point {
    /// Why nothing in the directory is shown.
    contents: Option<Box<str>>,
    /// The names in it that lie on a rule's path.
    names: HashMap<Box<[u8]>, Named>,
}

/// What the rules say about one name.
#[derive(Debug, Default)]
struct Named {
    /// Why the name is hidden.
    hidden: Option<Box<str>>,
    /// What they say about the directory of that name.
    point: Option<usize>,
}

/// A rule that hides nothing at present, because its directory does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolved {
    /// Path of the rule.
    pub path: String,
    /// The part of the path that was looked up last.
    pub missing: String,
    /// `NotFound`, or `NotDirectory` where that part exists as something else (a symbolic link,
    /// for example).
    pub why: FsError,
}

/// Why rules were refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HiddenError {
    /// The path is none below the root.
    #[error(
        "cannot hide {path:?}: it must be a path below the root without a leading \"/\", \
         its components neither empty nor \".\" nor \"..\", without NUL, at most 255 bytes each"
    )]
    BadPath {
        /// The path as it was given.
        path: String,
    },
    /// The lower could not be read.
    #[error("cannot hide {path:?}: looking up {at:?} in the lower failed: {why}")]
    Lower {
        /// The rule's path.
        path: String,
        /// How far it was followed.
        at: String,
        /// What the lower said.
        why: FsError,
    },
}

impl HiddenNames {
    /// Checks `rules` and binds them to the directories of `lower` that exist.
    ///
    /// The last name of a path need not exist: if it comes into being later, it is hidden. If a
    /// directory above it is missing, see [`Self::unresolved`].
    ///
    /// # Errors
    /// A path that is no path; a lower that cannot be read.
    pub fn new(rules: &[HiddenName], lower: &dyn LowerLayer) -> Result<Self, HiddenError> {
        let mut hidden = Self {
            points: vec![Point::default()],
            bound: RwLock::default(),
            unresolved: Vec::new(),
        };
        for rule in rules {
            hidden.add(rule)?;
        }
        if !hidden.is_empty() {
            hidden.bind(LowerNode::ROOT, 0);
        }
        for rule in rules {
            if let Some(unresolved) = hidden.resolve(rule, lower)? {
                hidden.unresolved.push(unresolved);
            }
        }
        Ok(hidden)
    }

    /// The rules whose directory did not exist when the rules were bound. They take effect once
    /// it is there and [`HiddenLower`] has answered its name.
    pub fn unresolved(&self) -> &[Unresolved] {
        &self.unresolved
    }

    /// Whether there are no rules at all.
    pub fn is_empty(&self) -> bool {
        self.points[0].names.is_empty()
    }

    /// Whether any rule is about `dir` or about something below it.
    pub fn concerns(&self, dir: LowerNode) -> bool {
        !self.is_empty() && self.bound.read().contains_key(&dir)
    }

    /// Why `name` in `dir` is hidden, if it is, be it by its name or with all of the directory.
    pub fn name_hidden(&self, dir: LowerNode, name: &[u8]) -> Option<&str> {
        self.reason(&self.points_of(dir)?, name)
    }

    /// Why everything in `dir` is hidden, if it is.
    pub fn contents_hidden(&self, dir: LowerNode) -> Option<&str> {
        let points = self.points_of(dir)?;
        points
            .iter()
            .find_map(|&point| self.points[point].contents.as_deref())
    }

    /// The points that `dir` is bound to: a shared list, so that no lock is held while it is used.
    fn points_of(&self, dir: LowerNode) -> Option<Arc<[usize]>> {
        if self.is_empty() {
            return None;
        }
        self.bound.read().get(&dir).cloned()
    }

    fn reason(&self, points: &[usize], name: &[u8]) -> Option<&str> {
        points.iter().find_map(|&point| {
            let point = &self.points[point];
            let named = || point.names.get(name)?.hidden.as_deref();
            point.contents.as_deref().or_else(named)
        })
    }

    /// Binds the directory `node`, found as `name` in a directory bound to `points`, if some rule
    /// is about it.
    fn follow(&self, points: &[usize], name: &[u8], node: LowerNode) {
        for &point in points {
            if let Some(next) = self.points[point]
                .names
                .get(name)
                .and_then(|named| named.point)
            {
                self.bind(node, next);
            }
        }
    }

    fn bind(&self, node: LowerNode, point: usize) {
        if let Some(points) = self.bound.read().get(&node)
            && points.contains(&point)
        {
            return;
        }
        let mut bound = self.bound.write();
        let points = bound.entry(node).or_insert_with(|| Arc::from([]));
        if !points.contains(&point) {
            *points = points.iter().copied().chain([point]).collect();
        }
    }

    /// Puts the path of `rule` into the trie.
    fn add(&mut self, rule: &HiddenName) -> Result<(), HiddenError> {
        let names = components(rule)?;
        let mut at = 0;
        for (index, name) in names.iter().enumerate() {
            let last = index + 1 == names.len();
            if last && rule.extent == HiddenExtent::Name {
                let named = self.points[at]
                    .names
                    .entry(name.as_bytes().into())
                    .or_default();
                named
                    .hidden
                    .get_or_insert_with(|| rule.reason.as_str().into());
                return Ok(());
            }
            at = self.point_below(at, *name);
        }
        let contents = &mut self.points[at].contents;
        contents.get_or_insert_with(|| rule.reason.as_str().into());
        Ok(())
    }

    /// The point of the directory `name` below the point `at`, made if it is new.
    fn point_below(&mut self, at: usize, name: EntryName<'_>) -> usize {
        let next = self.points.len();
        let named = self.points[at]
            .names
            .entry(name.as_bytes().into())
            .or_default();
        if let Some(point) = named.point {
            return point;
        }
        named.point = Some(next);
        self.points.push(Point::default());
        next
    }

    /// Binds the directories on the rule's path as far as they exist in `lower`.
    fn resolve(
        &self,
        rule: &HiddenName,
        lower: &dyn LowerLayer,
    ) -> Result<Option<Unresolved>, HiddenError> {
        let names = components(rule)?;
        let directories = match rule.extent {
            HiddenExtent::Name => names.len() - 1,
            HiddenExtent::Contents => names.len(),
        };
        let mut at = LowerNode::ROOT;
        let mut length = 0;
        for name in &names[..directories] {
            length += name.as_bytes().len();
            let so_far = rule.path[..length].to_owned();
            length += 1;
            let why = match lower.lookup(at, *name) {
                Ok(Some((node, attr))) if attr.kind == FileKind::Directory => {
                    if let Some(points) = self.points_of(at) {
                        self.follow(&points, name.as_bytes(), node);
                    }
                    at = node;
                    continue;
                }
                Ok(Some(_)) => FsError::NotDirectory,
                Ok(None) | Err(FsError::NotFound) => FsError::NotFound,
                Err(why) => {
                    let path = rule.path.clone();
                    return Err(HiddenError::Lower {
                        path,
                        at: so_far,
                        why,
                    });
                }
            };
            let path = rule.path.clone();
            return Ok(Some(Unresolved {
                path,
                missing: so_far,
                why,
            }));
        }
        Ok(None)
    }
}

/// The checked components of the rule's path: at least one.
fn components(rule: &HiddenName) -> Result<Vec<EntryName<'_>>, HiddenError> {
    let names = rule
        .path
        .split('/')
        .map(|name| EntryName::new(name.as_bytes()));
    names
        .collect::<FsResult<_>>()
        .map_err(|_| HiddenError::BadPath {
            path: rule.path.clone(),
        })
}

#[cfg(test)]
mod tests;
