//! Walking through a tree: each name, and each inode.

use std::path::Path;

use super::{Measure, Needs, Scale, Turn, Unit, Workload};
use crate::Fallible;
use crate::suite::target::Target;
use crate::suite::tree::{Forest, walk};
use crate::suite::turn::each;

/// Every name of a tree is read, and every inode looked at, as `find -size` and backups do.
pub(crate) struct Walk {
    forest: Forest,
}

impl Walk {
    /// At this scale.
    pub(crate) fn new(scale: Scale) -> Self {
        Self {
            forest: Forest::of_system(scale),
        }
    }
}

impl Workload for Walk {
    fn name(&self) -> &'static str {
        "walk"
    }

    fn group(&self) -> &'static str {
        "metadata"
    }

    fn about(&self) -> String {
        format!(
            "each of {} inodes is looked at, directory by directory (lstat)",
            self.forest.inodes()
        )
    }

    fn needs(&self) -> Needs {
        Needs {
            archives: true,
            ..Needs::default()
        }
    }

    fn measures(&self) -> Vec<Measure> {
        vec![
            Measure::new("first", Unit::Microseconds).target(Target::at_most(1.2, "overlayfs")),
            Measure::new("again", Unit::Microseconds).target(Target::at_most(1.0, "overlayfs")),
        ]
    }

    fn tree(&self) -> String {
        self.forest.name()
    }

    fn set_up(&self, tree: &Path) -> Fallible<()> {
        self.forest.plant(tree)
    }

    fn run(&self, turn: &mut Turn<'_>) -> Fallible<()> {
        for what in ["first", "again"] {
            let (found, time) = turn.time(|root| walk(root, true))?;
            self.forest.check(found)?;
            turn.note(what, each(time, found));
        }
        Ok(())
    }
}
