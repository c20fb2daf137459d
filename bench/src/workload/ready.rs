//! From nothing to a root that can be used: what instant copies are made for.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::{Measure, Needs, Scale, Turn, Unit, Workload};
use crate::Fallible;
use crate::stats::milliseconds;
use crate::suite::tree::Forest;

/// A tree of many files, shown, and a first file of it read.
pub(crate) struct Ready {
    forest: Forest,
}

impl Ready {
    /// At this scale.
    pub(crate) fn new(scale: Scale) -> Self {
        Self {
            forest: Forest::of_system(scale),
        }
    }

    fn first_file(&self, turn: &mut Turn<'_>) -> Fallible<Duration> {
        let path = self.forest.file(self.forest.count() / 2);
        let (_, time) = turn.time(|root| Ok(fs::read(root.join(&path))?))?;
        Ok(time)
    }
}

impl Workload for Ready {
    fn name(&self) -> &'static str {
        "ready"
    }

    fn group(&self) -> &'static str {
        "metadata"
    }

    fn about(&self) -> String {
        format!(
            "a tree of {} inodes is shown and a first file of it read. new: from nothing, with the copy \
             or the index that it takes; again: that is there already",
            self.forest.inodes()
        )
    }

    fn needs(&self) -> Needs {
        Needs {
            archives: true,
            cools: true,
            most_runs: Some(3),
            ..Needs::default()
        }
    }

    fn measures(&self) -> Vec<Measure> {
        ["new", "again"]
            .map(|what| Measure::new(what, Unit::Milliseconds))
            .into()
    }

    fn tree(&self) -> String {
        self.forest.name()
    }

    fn set_up(&self, tree: &Path) -> Fallible<()> {
        self.forest.plant(tree)
    }

    fn run(&self, turn: &mut Turn<'_>) -> Fallible<()> {
        let new = turn.anew()?;
        let new = new + self.first_file(turn)?;
        turn.note("new", milliseconds(new));
        let again = turn.fresh()?;
        let again = again + self.first_file(turn)?;
        turn.note("again", milliseconds(again));
        Ok(())
    }
}
