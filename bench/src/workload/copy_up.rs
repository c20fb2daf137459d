//! What is there already, changed for the first time.
//!
//! Of a large file of an image `ours-tar` copies only the blocks that are written; a directory may
//! change underneath, so `ours` copies the whole file, as all others do.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{Measure, Needs, Scale, Turn, Unit, Workload};
use crate::Fallible;
use crate::suite::target::Target;
use crate::suite::turn::each;

/// Files of the first and of the second size.
const LARGE: [(&str, u64); 2] = [("1MB", 20), ("100MB", 2)];

/// Many small files and a few large ones.
pub(crate) struct CopyUp {
    scale: Scale,
    files: u64,
}

impl CopyUp {
    /// At this scale.
    pub(crate) fn new(scale: Scale) -> Self {
        Self {
            scale,
            files: scale.of(2000, 100),
        }
    }

    fn bytes(&self, what: &str) -> usize {
        let full = if what == "1MB" {
            1_000_000
        } else {
            100_000_000
        };
        self.scale.of(full, full / 100)
    }
}

/// Writes 4 KiB into the middle of a file.
fn change(path: &Path, length: u64) -> Fallible<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.write_all_at(&[0x5a; 4096], length / 2 / 4096 * 4096)?;
    Ok(())
}

impl Workload for CopyUp {
    fn name(&self) -> &'static str {
        "copy-up"
    }

    fn group(&self) -> &'static str {
        "writing"
    }

    fn about(&self) -> String {
        format!(
            "append: 1 byte to each of {} files of 4 KiB of the lower; remove: as many other ones are \
             removed; 1MB, 100MB: 4 KiB are written into the middle of a file of that size, for the \
             first time",
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
        let measure = |what, times, subject| {
            let target = Target::at_most(times, "overlayfs").of(subject);
            Measure::new(what, Unit::Microseconds).target(target)
        };
        vec![
            measure("append", 2.0, "ours"),
            measure("remove", 3.0, "ours"),
            measure("1MB", 2.0, "ours"),
            measure("100MB", 0.01, "ours-tar"),
        ]
    }

    fn tree(&self) -> String {
        "changed".to_owned()
    }

    fn set_up(&self, tree: &Path) -> Fallible<()> {
        for kind in ["append", "remove"] {
            fs::create_dir(tree.join(kind))?;
            for number in 0..self.files {
                fs::write(tree.join(kind).join(number.to_string()), [0x61; 4096])?;
            }
        }
        for (what, count) in LARGE {
            let contents = vec![0x61; self.bytes(what)];
            for number in 0..count {
                fs::write(tree.join(format!("{what}-{number}")), &contents)?;
            }
        }
        Ok(())
    }

    fn run(&self, turn: &mut Turn<'_>) -> Fallible<()> {
        let ((), time) = turn.time(|root| {
            for number in 0..self.files {
                let path = root.join("append").join(number.to_string());
                OpenOptions::new()
                    .append(true)
                    .open(path)?
                    .write_all(b"x")?;
            }
            Ok(())
        })?;
        turn.note("append", each(time, self.files));
        let ((), time) = turn.time(|root| {
            for number in 0..self.files {
                fs::remove_file(root.join("remove").join(number.to_string()))?;
            }
            Ok(())
        })?;
        turn.note("remove", each(time, self.files));
        for (what, count) in LARGE {
            let ((), time) = turn.time(|root| {
                for number in 0..count {
                    change(
                        &root.join(format!("{what}-{number}")),
                        self.bytes(what) as u64,
                    )?;
                }
                Ok(())
            })?;
            turn.note(what, each(time, count));
        }
        Ok(())
    }
}

/// One very large file, most of it a hole: who copies a file copies at least what is no hole.
pub(crate) struct CopyUpSparse {
    bytes: u64,
    data: u64,
}

impl CopyUpSparse {
    /// At this scale.
    pub(crate) fn new(scale: Scale) -> Self {
        Self {
            bytes: scale.of(10 << 30, 100 << 20),
            data: scale.of(1 << 30, 1 << 20),
        }
    }
}

impl Workload for CopyUpSparse {
    fn name(&self) -> &'static str {
        "copy-up-10GB"
    }

    fn group(&self) -> &'static str {
        "writing"
    }

    fn about(&self) -> String {
        format!(
            "4 KiB are written into the middle of a file of {} MiB, for the first time; it has {} MiB of \
             data at its begin, and the rest is a hole, which those who copy may leave out",
            self.bytes >> 20,
            self.data >> 20
        )
    }

    fn needs(&self) -> Needs {
        Needs {
            writes: true,
            archives: true,
            // Some copy every byte of it.
            most_runs: Some(1),
            ..Needs::default()
        }
    }

    fn measures(&self) -> Vec<Measure> {
        let target = Target::at_most(0.01, "overlayfs").of("ours-tar");
        vec![Measure::new("write", Unit::Microseconds).target(target)]
    }

    fn tree(&self) -> String {
        "sparse".to_owned()
    }

    fn set_up(&self, tree: &Path) -> Fallible<()> {
        let room = rustix::fs::statvfs(tree)?;
        // Twice: who copies may do so next to what it copied before.
        if room.f_bavail * room.f_frsize < 2 * self.bytes {
            return Err(format!("it needs {} MiB of room", self.bytes >> 19).into());
        }
        let mut file = File::create(tree.join("sparse"))?;
        let chunk = vec![0x61; 1 << 20];
        for _ in 0..self.data >> 20 {
            file.write_all(&chunk)?;
        }
        Ok(file.set_len(self.bytes)?)
    }

    fn run(&self, turn: &mut Turn<'_>) -> Fallible<()> {
        let ((), time) = turn.time(|root| change(&root.join("sparse"), self.bytes))?;
        turn.note("write", each(time, 1));
        Ok(())
    }
}
