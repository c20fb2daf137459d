//! Where a workload is run: its tree, the archive of it, and places for the subjects.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::MEMORY;
use super::interrupt::Interrupt;
use super::turn::{Sample, Turn};
use crate::Fallible;
use crate::subject::{Place, Subject};
use crate::workload::Workload;

/// A tree that is ready, in a directory of its own.
#[derive(Debug)]
pub(super) struct Stage {
    dir: PathBuf,
    archive: Option<PathBuf>,
}

impl Stage {
    /// Makes the tree of a workload in the new directory `dir`, and if `archive`, an archive of it.
    pub(super) fn new(dir: &Path, workload: &dyn Workload, archive: bool) -> Fallible<Self> {
        let lower = dir.join("lower");
        fs::create_dir_all(&lower)?;
        workload
            .set_up(&lower)
            .map_err(|error| format!("{}: cannot make its tree: {error}", workload.name()))?;
        let archive = match archive {
            true => Some(pack(&lower, &dir.join("tree.tar"))?),
            false => None,
        };
        let stage = Self {
            dir: dir.to_owned(),
            archive,
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
            lower: self.dir.join("lower"),
            archive: self.archive.clone().unwrap_or_default(),
            own: self.dir.join(kind).join(subject.name()),
            writes,
        }
    }

    /// Lets a subject make what it keeps: a copy, an index.
    pub(super) fn prepare(&self, subject: &dyn Subject, writes: bool) -> Fallible<()> {
        let place = self.place(subject, writes);
        drop(subject.raise(&place)?);
        subject.warm(&place)?;
        self.settle()
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
        if place.writes {
            subject.clear(&place)?;
        }
        if needs.cools {
            subject.warm(&place)?;
        }
        let mut turn = Turn::begin(subject, &place, interrupt)?;
        if place.writes {
            // What others wrote must not be written out meanwhile.
            self.settle()?;
        }
        workload.run(&mut turn)?;
        if let Some(memory) = turn.memory() {
            turn.note(MEMORY, memory as f64);
        }
        let samples = turn.end();
        if place.writes {
            subject.clear(&place)?;
        }
        Ok(samples)
    }

    /// Everything that was written is on the disk.
    fn settle(&self) -> Fallible<()> {
        Ok(rustix::fs::syncfs(File::open(&self.dir)?)?)
    }
}

/// Writes the tree as an archive, sorted by name.
fn pack(tree: &Path, path: &Path) -> Fallible<PathBuf> {
    let mut archive = tar::Builder::new(BufWriter::with_capacity(1 << 20, File::create(path)?));
    archive.follow_symlinks(false);
    append(&mut archive, tree, Path::new("."))?;
    archive.into_inner()?.flush()?;
    Ok(path.to_owned())
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
