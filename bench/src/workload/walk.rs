//! Walking through a tree: each inode, or each name only.

use std::path::Path;

use super::{Measure, Needs, Scale, Turn, Unit, Workload};
use crate::Fallible;
use crate::suite::target::Target;
use crate::suite::tree::{Forest, walk};
use crate::suite::turn::each;

/// A walk through the whole tree, as `find` and backups do it.
pub(crate) struct Walk {
    forest: Forest,
    /// Whether each inode is looked at.
    look: bool,
}

impl Walk {
    /// With a look at each inode.
    pub(crate) fn inodes(scale: Scale) -> Self {
        Self {
            forest: Forest::of_system(scale),
            look: true,
        }
    }

    /// By names alone.
    pub(crate) fn names(scale: Scale) -> Self {
        Self {
            look: false,
            ..Self::inodes(scale)
        }
    }
}

impl Workload for Walk {
    fn name(&self) -> &'static str {
        if self.look { "walk" } else { "names" }
    }

    fn group(&self) -> &'static str {
        "metadata"
    }

    fn about(&self) -> String {
        let how = match self.look {
            true => "each inode is looked at (lstat), directory by directory",
            false => "each name is read, no inode is looked at",
        };
        format!("a tree of {} inodes; {how}", self.forest.inodes())
    }

    fn needs(&self) -> Needs {
        Needs {
            archives: true,
            ..Needs::default()
        }
    }

    fn measures(&self) -> Vec<Measure> {
        let [first, again] = ["first", "again"].map(|what| Measure::new(what, Unit::Microseconds));
        match self.look {
            true => vec![
                first.target(Target::at_most(1.2, "overlayfs")),
                again.target(Target::at_most(1.0, "overlayfs")),
            ],
            false => vec![first, again],
        }
    }

    fn tree(&self) -> String {
        self.forest.name()
    }

    fn set_up(&self, tree: &Path) -> Fallible<()> {
        self.forest.plant(tree)
    }

    fn run(&self, turn: &mut Turn<'_>) -> Fallible<()> {
        for what in ["first", "again"] {
            let (found, time) = turn.time(|root| walk(root, self.look))?;
            self.forest.check(found)?;
            turn.note(what, each(time, found));
        }
        Ok(())
    }
}
