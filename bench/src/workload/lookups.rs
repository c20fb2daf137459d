//! Looking for names that are not there, as every search along a path does.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use super::{Measure, Needs, Scale, Turn, Unit, Workload};
use crate::Fallible;
use crate::suite::target::Target;
use crate::suite::tree::Forest;
use crate::suite::turn::each;

/// Names looked for in each directory.
const NAMES: u64 = 10;

/// Failing lookups in every directory of a tree.
pub(crate) struct Lookups {
    forest: Forest,
}

impl Lookups {
    /// At this scale.
    pub(crate) fn new(scale: Scale) -> Self {
        Self {
            forest: Forest::of_system(scale),
        }
    }

    /// Looks for all of them; only the lookups count, not the way to the directory.
    fn look(&self, root: &Path) -> Fallible<(u64, Duration)> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let (mut count, mut time) = (0, Duration::ZERO);
        let names: Vec<_> = (0..NAMES)
            .map(|number| format!("missing{number}.so"))
            .collect();
        for path in self.forest.directory_paths() {
            let directory = openat(CWD, root.join(path), flags, Mode::empty())?;
            let begin = Instant::now();
            for name in &names {
                match statat(&directory, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => count += 1,
                    other => return Err(format!("{name} is no missing name: {other:?}").into()),
                }
            }
            time += begin.elapsed();
        }
        Ok((count, time))
    }
}

impl Workload for Lookups {
    fn name(&self) -> &'static str {
        "lookups"
    }

    fn group(&self) -> &'static str {
        "metadata"
    }

    fn about(&self) -> String {
        format!("{NAMES} names that do not exist, in each directory of the tree (lstat)")
    }

    fn needs(&self) -> Needs {
        Needs {
            archives: true,
            ..Needs::default()
        }
    }

    fn measures(&self) -> Vec<Measure> {
        vec![
            Measure::new("first", Unit::Microseconds).target(Target::at_most(3.0, "overlayfs")),
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
            let (count, time) = self.look(turn.root())?;
            turn.note(what, each(time, count));
        }
        Ok(())
    }
}
