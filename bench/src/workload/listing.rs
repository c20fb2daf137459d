//! One large directory.

use std::fs::{self, File};
use std::path::Path;

use super::{Measure, Needs, Scale, Turn, Unit, Workload};
use crate::Fallible;
use crate::stats::milliseconds;
use crate::suite::target::Target;
use crate::suite::tree::walk;

/// The names of a directory with many entries.
pub(crate) struct Listing {
    entries: u64,
}

impl Listing {
    /// At this scale.
    pub(crate) fn new(scale: Scale) -> Self {
        Self {
            entries: scale.of(20_000, 1000),
        }
    }
}

impl Workload for Listing {
    fn name(&self) -> &'static str {
        "listing"
    }

    fn group(&self) -> &'static str {
        "metadata"
    }

    fn about(&self) -> String {
        format!("the names of one directory of {} empty files", self.entries)
    }

    fn needs(&self) -> Needs {
        Needs {
            archives: true,
            ..Needs::default()
        }
    }

    fn measures(&self) -> Vec<Measure> {
        vec![
            Measure::new("first", Unit::Milliseconds).target(Target::at_most(2.0, "overlayfs")),
            Measure::new("again", Unit::Milliseconds).target(Target::at_most(1.0, "overlayfs")),
        ]
    }

    fn tree(&self) -> String {
        format!("directory-{}", self.entries)
    }

    fn set_up(&self, tree: &Path) -> Fallible<()> {
        let directory = tree.join("large");
        fs::create_dir(&directory)?;
        for number in 0..self.entries {
            File::create(directory.join(format!("entry{number:06}")))?;
        }
        Ok(())
    }

    fn run(&self, turn: &mut Turn<'_>) -> Fallible<()> {
        for what in ["first", "again"] {
            let (found, time) = turn.time(|root| walk(&root.join("large"), false))?;
            if found != self.entries {
                return Err(format!("{found} of {} entries were found", self.entries).into());
            }
            turn.note(what, milliseconds(time));
        }
        Ok(())
    }
}
