//! Cost as something grows: names in a directory, files in an image, threads.

use std::fs::{self, File};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, statat};

use super::open::read_files;
use super::{Measure, Needs, Scale, Turn, Unit, Workload};
use crate::Fallible;
use crate::archive::{self, Numbers};
use crate::stats::milliseconds;
use crate::suite::tree::{Forest, walk};
use crate::suite::turn::each;

/// The group of all curves.
const GROUP: &str = "growth";
/// Runs of a curve: more points make up for less runs.
const RUNS: usize = 3;

/// Directories with more and more names.
pub(crate) struct Names {
    sizes: &'static [u64],
    looks: u64,
}

impl Names {
    /// At this scale.
    pub(crate) fn new(scale: Scale) -> Self {
        Self {
            sizes: scale.of(&[100, 1000, 10_000, 100_000], &[10, 100]),
            looks: scale.of(1000, 50),
        }
    }
}

impl Workload for Names {
    fn name(&self) -> &'static str {
        "directory-size"
    }

    fn group(&self) -> &'static str {
        GROUP
    }

    fn about(&self) -> String {
        format!(
            "directories with more and more empty files. list: their names, for each name; look: {} of \
             them are looked at (lstat), here and there, on another mount",
            self.looks
        )
    }

    fn needs(&self) -> Needs {
        Needs {
            archives: true,
            most_runs: Some(RUNS),
            ..Needs::default()
        }
    }

    fn measures(&self) -> Vec<Measure> {
        ["list", "look"]
            .map(|what| Measure::new(what, Unit::Microseconds))
            .into()
    }

    fn tree(&self) -> String {
        "directories".to_owned()
    }

    fn set_up(&self, tree: &Path) -> Fallible<()> {
        for size in self.sizes {
            let directory = tree.join(size.to_string());
            fs::create_dir(&directory)?;
            for number in 0..*size {
                File::create(directory.join(format!("entry{number:06}")))?;
            }
        }
        Ok(())
    }

    fn run(&self, turn: &mut Turn<'_>) -> Fallible<()> {
        for size in self.sizes {
            let (found, time) = turn.time(|root| walk(&root.join(size.to_string()), false))?;
            if found != *size {
                return Err(format!("{found} of {size} entries were found").into());
            }
            turn.note_at("list", *size, each(time, found));
        }
        turn.fresh()?;
        for size in self.sizes {
            let ((), time) = turn.time(|root| {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let directory = openat(CWD, root.join(size.to_string()), flags, Mode::empty())?;
                let mut numbers = Numbers(11);
                for _ in 0..self.looks {
                    let name = format!("entry{:06}", numbers.below(*size));
                    statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                }
                Ok(())
            })?;
            turn.note_at("look", *size, each(time, self.looks));
        }
        Ok(())
    }
}

/// An image of more and more files: one workload for each size.
pub(crate) struct Files {
    files: u64,
    on_request: bool,
}

impl Files {
    /// All of them.
    pub(crate) fn all(scale: Scale) -> impl Iterator<Item = Self> {
        let sizes: &[(u64, bool)] = scale.of(
            &[
                (10_000, false),
                (100_000, false),
                (1_000_000, false),
                (10_000_000, true),
            ],
            &[(500, false), (1000, false)],
        );
        sizes.iter().map(|(files, on_request)| Self {
            files: *files,
            on_request: *on_request,
        })
    }
}

impl Workload for Files {
    fn name(&self) -> &'static str {
        if self.on_request {
            "image-size-10M"
        } else {
            "image-size"
        }
    }

    fn group(&self) -> &'static str {
        GROUP
    }

    fn about(&self) -> String {
        "an uncompressed tar archive of more and more entries, most of them files of up to 1 KiB. mount: \
         its index is there already; walk: each inode is looked at, for each"
            .to_owned()
    }

    fn needs(&self) -> Needs {
        Needs {
            only_archives: true,
            // The largest ones take long enough to be told from chance.
            most_runs: Some(if self.files < 1_000_000 { RUNS } else { 1 }),
            on_request: self.on_request,
            ..Needs::default()
        }
    }

    fn at(&self) -> Option<u64> {
        Some(self.files)
    }

    fn measures(&self) -> Vec<Measure> {
        vec![
            Measure::new("mount", Unit::Milliseconds),
            Measure::new("walk", Unit::Microseconds),
        ]
    }

    fn tree(&self) -> String {
        format!("image-{}", self.files)
    }

    fn set_up(&self, _tree: &Path) -> Fallible<()> {
        Ok(())
    }

    fn pack(&self, _tree: &Path, archive: &Path) -> Fallible<()> {
        archive::write(archive, self.files, 1024)
    }

    fn run(&self, turn: &mut Turn<'_>) -> Fallible<()> {
        // Once more: the first time may have made the index.
        let time = turn.fresh()?;
        turn.note("mount", milliseconds(time));
        let (found, time) = turn.time(|root| walk(root, true))?;
        if found < self.files {
            return Err(format!("{found} of {} inodes were found", self.files).into());
        }
        turn.note("walk", each(time, found));
        Ok(())
    }
}

/// More and more threads that read small files.
pub(crate) struct Threads {
    forest: Forest,
    files: u32,
}

/// How many at once.
const THREADS: [u32; 5] = [1, 2, 4, 8, 16];

impl Threads {
    /// At this scale.
    pub(crate) fn new(scale: Scale) -> Self {
        let forest = Forest::of_system(scale);
        Self {
            forest,
            files: scale.of(4000, 320).min(forest.count()),
        }
    }

    fn read(&self, root: &Path, threads: u32) -> Fallible<()> {
        let part = self.files / threads;
        let read = |thread: u32| {
            let paths: Vec<_> = (0..part)
                .map(|number| {
                    self.forest
                        .file((thread * part + number) * (self.forest.count() / self.files))
                })
                .collect();
            read_files(root, &paths).map_err(|error| error.to_string())
        };
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..threads)
                .map(|thread| scope.spawn(move || read(thread)))
                .collect();
            for thread in all {
                thread.join().map_err(|_| "a thread ended early")??;
            }
            Ok(())
        })
    }
}

impl Workload for Threads {
    fn name(&self) -> &'static str {
        "threads"
    }

    fn group(&self) -> &'static str {
        GROUP
    }

    fn about(&self) -> String {
        format!(
            "{} files of 4 KiB on average are opened, read and closed by more and more threads, each \
             file by one; time of all for each file",
            self.files
        )
    }

    fn needs(&self) -> Needs {
        Needs {
            archives: true,
            most_runs: Some(RUNS),
            ..Needs::default()
        }
    }

    fn measures(&self) -> Vec<Measure> {
        ["first", "again"]
            .map(|what| Measure::new(what, Unit::Microseconds))
            .into()
    }

    fn tree(&self) -> String {
        self.forest.name()
    }

    fn set_up(&self, tree: &Path) -> Fallible<()> {
        self.forest.plant(tree)
    }

    fn run(&self, turn: &mut Turn<'_>) -> Fallible<()> {
        for (number, threads) in THREADS.into_iter().enumerate() {
            if number > 0 {
                turn.fresh()?;
            }
            for what in ["first", "again"] {
                let ((), time) = turn.time(|root| self.read(root, threads))?;
                turn.note_at(what, u64::from(threads), each(time, u64::from(self.files)));
            }
        }
        Ok(())
    }
}
