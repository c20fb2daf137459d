//! New files: written in pieces small and large, and synced line by line.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use super::{Measure, Needs, Scale, Turn, Unit, Workload};
use crate::Fallible;
use crate::suite::target::Target;
use crate::suite::turn::{each, rate};

/// Writing to files of its own.
pub(crate) struct WriteNew {
    bytes: u64,
    synced: u64,
}

impl WriteNew {
    /// At this scale.
    pub(crate) fn new(scale: Scale) -> Self {
        Self {
            bytes: scale.of(256 << 20, 4 << 20),
            synced: scale.of(200, 20),
        }
    }
}

impl Workload for WriteNew {
    fn name(&self) -> &'static str {
        "write"
    }

    fn group(&self) -> &'static str {
        "writing"
    }

    fn about(&self) -> String {
        format!(
            "a new file of {} MiB is written, 4 KiB or 1 MiB at a time, and closed, not synced; fsync: \
             4 KiB are appended and synced (fdatasync), {} times",
            self.bytes >> 20,
            self.synced
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
        let like = |what| {
            Measure::new(what, Unit::GigabytesPerSecond).target(Target::at_least(0.95, "overlayfs"))
        };
        vec![
            like("4k"),
            like("1M"),
            Measure::new("fsync", Unit::Microseconds).target(Target::at_most(1.05, "overlayfs")),
        ]
    }

    fn tree(&self) -> String {
        "empty".to_owned()
    }

    fn set_up(&self, tree: &Path) -> Fallible<()> {
        Ok(fs::create_dir(tree.join("directory"))?)
    }

    fn run(&self, turn: &mut Turn<'_>) -> Fallible<()> {
        for (what, size) in [("4k", 4 << 10), ("1M", 1 << 20)] {
            let chunk = vec![0x5a; size];
            let path = turn.root().join("directory").join(what);
            let ((), time) = turn.time(|_| {
                let mut file = File::create(&path)?;
                for _ in 0..self.bytes / size as u64 {
                    file.write_all(&chunk)?;
                }
                Ok(())
            })?;
            turn.note(what, rate(time, self.bytes));
            // Before the kernel writes it out while others are measured.
            fs::remove_file(&path)?;
        }
        let path = turn.root().join("directory/synced");
        let mut file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&path)?;
        let ((), time) = turn.time(|_| {
            for _ in 0..self.synced {
                file.write_all(&[0x5a; 4096])?;
                file.sync_data()?;
            }
            Ok(())
        })?;
        turn.note("fsync", each(time, self.synced));
        Ok(())
    }
}
