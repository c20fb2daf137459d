//! Small files: opened, read, closed.

use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::read;

use super::{Measure, Needs, Scale, Turn, Unit, Workload};
use crate::Fallible;
use crate::suite::target::Target;
use crate::suite::tree::Forest;
use crate::suite::turn::each;

/// Files of a tree, one after the other.
pub(crate) struct Open {
    forest: Forest,
    files: u32,
}

impl Open {
    /// At this scale.
    pub(crate) fn new(scale: Scale) -> Self {
        let forest = Forest::of_system(scale);
        Self {
            forest,
            files: scale.of(10_000, 500).min(forest.count()),
        }
    }
}

impl Workload for Open {
    fn name(&self) -> &'static str {
        "open"
    }

    fn group(&self) -> &'static str {
        "metadata"
    }

    fn about(&self) -> String {
        format!(
            "{} files of 4 KiB on average are opened, read and closed; cold: nothing is in the page \
             cache",
            self.files
        )
    }

    fn needs(&self) -> Needs {
        Needs {
            archives: true,
            cools: true,
            ..Needs::default()
        }
    }

    fn measures(&self) -> Vec<Measure> {
        vec![
            Measure::new("first", Unit::Microseconds).target(Target::at_most(3.0, "overlayfs")),
            Measure::new("again", Unit::Microseconds).target(Target::at_most(1.0, "overlayfs")),
            Measure::new("cold", Unit::Microseconds),
        ]
    }

    fn tree(&self) -> String {
        self.forest.name()
    }

    fn set_up(&self, tree: &Path) -> Fallible<()> {
        self.forest.plant(tree)
    }

    fn run(&self, turn: &mut Turn<'_>) -> Fallible<()> {
        // Some of each directory, from one end of the tree to the other.
        let step = (self.forest.count() / self.files).max(1);
        let paths: Vec<_> = (0..self.files)
            .map(|number| self.forest.file(number * step))
            .collect();
        for what in ["first", "again", "cold"] {
            if what == "cold" {
                turn.cold()?;
            }
            let (bytes, time) = turn.time(|root| read_files(root, &paths))?;
            if bytes == 0 {
                return Err("the files are empty".into());
            }
            turn.note(what, each(time, u64::from(self.files)));
        }
        Ok(())
    }
}

/// Opens, reads and closes each of the files, which are shorter than 16 KiB; bytes that were read.
pub(super) fn read_files(root: &Path, paths: &[String]) -> Fallible<u64> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, root, flags, Mode::empty())?;
    let mut space = [0; 16 << 10];
    let mut bytes = 0;
    for path in paths {
        let file = openat(
            &root,
            path.as_str(),
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        bytes += read(&file, &mut space)? as u64;
    }
    Ok(bytes)
}
