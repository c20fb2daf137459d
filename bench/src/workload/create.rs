//! New names: files made, renamed and removed, and directories.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, renameat, unlinkat};
use rustix::io::write;

use super::{Measure, Needs, Scale, Turn, Unit, Workload};
use crate::Fallible;
use crate::suite::target::Target;
use crate::suite::turn::each;

/// One call for each of many names.
type Step = fn(BorrowedFd<'_>, u64) -> rustix::io::Result<()>;

/// What is done to all names, one after the other.
const STEPS: [(&str, Step); 6] = [
    ("create", create),
    ("rename", |directory, number| {
        renameat(
            directory,
            name("file", number),
            directory,
            name("renamed", number),
        )
    }),
    ("unlink", |directory, number| {
        unlinkat(directory, name("renamed", number), AtFlags::empty())
    }),
    ("mkdir", |directory, number| {
        mkdirat(directory, name("directory", number), Mode::from(0o755))
    }),
    ("rename-directory", |directory, number| {
        renameat(
            directory,
            name("directory", number),
            directory,
            name("moved", number),
        )
    }),
    ("rmdir", |directory, number| {
        unlinkat(directory, name("moved", number), AtFlags::REMOVEDIR)
    }),
];

fn name(kind: &str, number: u64) -> String {
    format!("{kind}{number:06}")
}

/// Creates a file, writes 4 KiB and closes it.
fn create(directory: BorrowedFd<'_>, number: u64) -> rustix::io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = openat(directory, name("file", number), flags, Mode::from(0o644))?;
    write(&file, &[0x5a; 4096]).map(|_| ())
}

/// Names that come and go.
pub(crate) struct Create {
    files: u64,
}

impl Create {
    /// At this scale.
    pub(crate) fn new(scale: Scale) -> Self {
        Self {
            files: scale.of(5000, 200),
        }
    }
}

impl Workload for Create {
    fn name(&self) -> &'static str {
        "create"
    }

    fn group(&self) -> &'static str {
        "writing"
    }

    fn about(&self) -> String {
        format!(
            "{} files are made with 4 KiB each, then all renamed, then all removed; the same of \
             directories",
            self.files
        )
    }

    fn needs(&self) -> Needs {
        Needs {
            writes: true,
            archives: true,
            ..Needs::default()
        }
    }

    fn measures(&self) -> Vec<Measure> {
        let measure = |(what, _)| {
            let measure = Measure::new(what, Unit::Microseconds);
            match what {
                "create" | "unlink" => measure.target(Target::at_most(3.0, "overlayfs")),
                _ => measure,
            }
        };
        STEPS.into_iter().map(measure).collect()
    }

    fn tree(&self) -> String {
        "empty".to_owned()
    }

    fn set_up(&self, tree: &Path) -> Fallible<()> {
        Ok(fs::create_dir(tree.join("directory"))?)
    }

    fn run(&self, turn: &mut Turn<'_>) -> Fallible<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, turn.root().join("directory"), flags, Mode::empty())?;
        for (what, step) in STEPS {
            let ((), time) = turn.time(|_| {
                for number in 0..self.files {
                    step(directory.as_fd(), number)
                        .map_err(|error| format!("{what} {number}: {error}"))?;
                }
                Ok(())
            })?;
            turn.note(what, each(time, self.files));
        }
        Ok(())
    }
}
