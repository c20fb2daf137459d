//! Where parts are shown: a trie of their paths, bound to directories as they are found.
//!
//! Each point of the trie is bound to at most one directory, the one that was found last under its
//! name: so a part is shown in one place, whatever the host does to the directories that lead there.

use std::collections::HashMap;

use parking_lot::RwLock;

use super::{GraftError, number};
use crate::lower::LowerNode;
use crate::types::EntryName;

/// The root's place in the trie.
const TOP: usize = 0;

/// The trie with what it is bound to.
#[derive(Debug)]
pub(super) struct Points {
    points: Vec<Point>,
    bound: RwLock<Bound>,
}

#[derive(Debug, Default)]
struct Point {
    /// The part that is shown here.
    part: Option<usize>,
    /// The point that this one is a name in.
    above: Option<(usize, Box<[u8]>)>,
    names: HashMap<Box<[u8]>, usize>,
}

#[derive(Debug)]
struct Bound {
    /// Directory by point.
    nodes: Vec<Option<LowerNode>>,
    /// Point by directory.
    points: HashMap<LowerNode, usize>,
}

/// What a name in a directory on the way to a part stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// The part with this number.
    Part(usize),
    /// A directory on the way to one, if it is a directory.
    Way(usize),
}

impl Points {
    pub(super) fn new() -> Self {
        Self {
            points: vec![Point::default()],
            bound: RwLock::new(Bound {
                nodes: vec![Some(LowerNode::ROOT)],
                points: HashMap::from([(LowerNode::ROOT, TOP)]),
            }),
        }
    }

    /// Shows `part` at `path`.
    pub(super) fn add(&mut self, path: &str, part: usize) -> Result<(), GraftError> {
        let mut at = TOP;
        for component in path.split('/') {
            let name = EntryName::new(component.as_bytes()).map_err(|_| GraftError::BadPath {
                point: path.to_owned(),
            })?;
            at = self.below(at, name.as_bytes());
        }
        let Some(point) = self.points.get_mut(at) else {
            return Ok(());
        };
        if point.part.replace(part).is_some() {
            return Err(GraftError::Twice {
                point: path.to_owned(),
            });
        }
        self.bind(at, number::root_of(part));
        Ok(())
    }

    /// The point for `name` in that of `at`.
    fn below(&mut self, at: usize, name: &[u8]) -> usize {
        let new = self.points.len();
        let Some(point) = self.points.get_mut(at) else {
            return at;
        };
        if let Some(&known) = point.names.get(name) {
            return known;
        }
        point.names.insert(name.into(), new);
        self.points.push(Point {
            above: Some((at, name.into())),
            ..Point::default()
        });
        self.bound.write().nodes.push(None);
        new
    }

    /// The point that the directory `node` is bound to.
    pub(super) fn point_of(&self, node: LowerNode) -> Option<usize> {
        self.bound.read().points.get(&node).copied()
    }

    /// What `name` is in the directory of a point, if it lies on the way to a part.
    pub(super) fn name(&self, point: usize, name: &[u8]) -> Option<Name> {
        let at = *self.points.get(point)?.names.get(name)?;
        Some(match self.points.get(at)?.part {
            Some(part) => Name::Part(part),
            None => Name::Way(at),
        })
    }

    /// The parts that are shown in the directory of a point.
    pub(super) fn parts_in(&self, point: usize) -> impl Iterator<Item = (&[u8], usize)> {
        let names = self.points.get(point).map(|point| &point.names);
        names.into_iter().flatten().filter_map(|(name, at)| {
            let part = self.points.get(*at)?.part?;
            Some((&**name, part))
        })
    }

    /// `node` was found where the point is.
    pub(super) fn bind(&self, point: usize, node: LowerNode) {
        let is_so = |bound: &Bound| bound.nodes.get(point) == Some(&Some(node));
        if is_so(&self.bound.read()) {
            return;
        }
        let mut bound = self.bound.write();
        let Some(place) = bound.nodes.get_mut(point) else {
            return;
        };
        if let Some(old) = place.replace(node) {
            bound.points.remove(&old);
        }
        // A directory that the host moved from the place of one point to that of another.
        if let Some(other) = bound.points.insert(node, point)
            && other != point
            && let Some(place) = bound.nodes.get_mut(other)
        {
            *place = None;
        }
    }

    /// Directory and name where `part` is shown; `None` if the directory was not found.
    pub(super) fn place_of(&self, part: usize) -> Option<(LowerNode, Box<[u8]>)> {
        let point = self.point_of(number::root_of(part))?;
        let (above, name) = self.points.get(point)?.above.as_ref()?;
        let directory = (*self.bound.read().nodes.get(*above)?)?;
        Some((directory, name.clone()))
    }
}
