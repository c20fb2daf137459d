//! Where a workload is run: its tree, the archive of it, and places for the subjects.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::interrupt::Interrupt;
use super::turn::{Sample, Turn};
use super::{MEMORY, contest};
use crate::Fallible;
use crate::subject::{Place, Shows, Subject};
use crate::workload::{Scale, Workload};

/// A tree that is ready, in a directory of its own.
///
/// Not for threads: subjects have their turns one after the other.
#[derive(Debug)]
pub(super) struct Stage {
    dir: PathBuf,
    scale: Scale,
    /// The places in which everything is made and in the page cache.
    prepared: RefCell<HashSet<PathBuf>>,
}

/// Names in that directory.
const LOWER: &str = "lower";
const ARCHIVE: &str = "tree.tar";

impl Stage {
    /// Makes what the workloads, which have the same tree, need for those subjects that can take part,
    /// in the new directory `dir`.
    pub(super) fn new(
        dir: &Path,
        workloads: &[Box<dyn Workload>],
        subjects: &[Box<dyn Subject>],
        scale: Scale,
    ) -> Fallible<Self> {
        let lower = dir.join(LOWER);
        fs::create_dir_all(&lower)?;
        let wants_archive = |workload: &dyn Workload| {
            subjects.iter().any(|subject| {
                subject.shows() == Shows::Archive && contest::can(&**subject, workload)
            })
        };
        if let Some(first) = workloads.first() {
            let failed = |error| format!("cannot make its tree: {error}");
            first.set_up(&lower).map_err(failed)?;
            if workloads.iter().any(|workload| wants_archive(&**workload)) {
                first.pack(&lower, &dir.join(ARCHIVE)).map_err(failed)?;
            }
        }
        let stage = Self {
            dir: dir.to_owned(),
            scale,
            prepared: RefCell::default(),
        };
        stage.settle()?;
        Ok(stage)
    }

    /// Removes all of it.
    pub(super) fn remove(self) -> Fallible<()> {
        Ok(fs::remove_dir_all(&self.dir)?)
    }

    fn place(&self, subject: &dyn Subject, writes: bool) -> Place {
        let kind = if writes { "written" } else { "read" };
        Place {
            lower: self.dir.join(LOWER),
            archive: self.dir.join(ARCHIVE),
            own: self.dir.join(kind).join(subject.name()),
            writes,
        }
    }

    /// Lets a subject make what it keeps, a copy or an index, and fills the page cache. What is
    /// written to begins from nothing each time, and so there is nothing to make.
    pub(super) fn prepare(&self, subject: &dyn Subject, writes: bool) -> Fallible<()> {
        let place = self.place(subject, writes);
        if self.prepared.borrow().contains(&place.own) {
            return Ok(());
        }
        if !writes {
            drop(subject.raise(&place)?);
        }
        subject.warm(&place)?;
        self.settle()?;
        self.prepared.borrow_mut().insert(place.own);
        Ok(())
    }

    /// One turn: on a root just raised, over an empty store if anything is written.
    pub(super) fn turn(
        &self,
        subject: &dyn Subject,
        workload: &dyn Workload,
        interrupt: &Interrupt,
    ) -> Fallible<Vec<Sample>> {
        let needs = workload.needs();
        let place = self.place(subject, needs.writes);
        if needs.writes {
            subject.clear(&place)?;
        }
        if needs.cools {
            subject.warm(&place)?;
            self.prepared.borrow_mut().clear();
        }
        let mut turn = Turn::begin(subject, &place, interrupt, self.scale)?;
        if needs.writes {
            // What others wrote must not be written out meanwhile.
            self.settle()?;
        }
        workload.run(&mut turn)?;
        if let Some(memory) = turn.memory() {
            turn.note(MEMORY, memory as f64);
        }
        let samples = turn.end();
        if needs.writes {
            subject.clear(&place)?;
        }
        Ok(samples)
    }

    /// Everything that was written is on the disk.
    fn settle(&self) -> Fallible<()> {
        if self.scale == Scale::Full {
            rustix::fs::syncfs(File::open(&self.dir)?)?;
        }
        Ok(())
    }
}

/// Writes a tree as an archive, sorted by name. Holes stay holes.
pub(crate) fn pack(tree: &Path, path: &Path) -> Fallible<()> {
    let mut archive = tar::Builder::new(BufWriter::with_capacity(1 << 20, File::create(path)?));
    archive.follow_symlinks(false);
    append(&mut archive, tree, Path::new("."))?;
    Ok(archive.into_inner()?.flush()?)
}

fn append<W: Write>(archive: &mut tar::Builder<W>, from: &Path, name: &Path) -> Fallible<()> {
    archive.append_dir(name, from)?;
    let mut entries = fs::read_dir(from)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = name.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => append(archive, &entry.path(), &name)?,
            false => archive.append_path_with_name(entry.path(), &name)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_archive_has_all_of_the_tree() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("a/empty")).unwrap();
        fs::write(tree.join("a/file"), "text").unwrap();
        std::os::unix::fs::symlink("file", tree.join("a/link")).unwrap();
        let archive = dir.path().join("tree.tar");
        pack(&tree, &archive).unwrap();
        let mut archive = tar::Archive::new(File::open(archive).unwrap());
        let names: BTreeSet<_> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .map(|name| {
                name.trim_start_matches("./")
                    .trim_end_matches('/')
                    .to_owned()
            })
            .collect();
        let expected = ["", "a", "a/empty", "a/file", "a/link"];
        let is_root = |name: &str| name.is_empty() || name == ".";
        assert!(names.iter().any(|name| is_root(name)), "{names:?}");
        for name in expected.iter().filter(|name| !is_root(name)) {
            assert!(names.contains(*name), "{name} is missing: {names:?}");
        }
    }
}
