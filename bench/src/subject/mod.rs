//! Subjects: the ways to show a tree that take part in the measurements.
//!
//! A subject is given a lower, a directory that is never changed or the same tree as an archive, and a
//! place of its own; it raises a root directory over the one in the other. What is written to the root
//! is kept in that place, so that the lower stays the same for all. Whoever drops what was raised
//! takes it down, whatever happened before; a subject that runs a program puts it into a process
//! group of its own, so that Ctrl-C in a terminal ends the benchmark and not the mount under it.
//!
//! One file for each; [`all`] names them, in the order of the reports.

mod copy;
mod daemon;
mod fuse_overlayfs;
mod native;
mod ours;
mod overlayfs;
mod ratarmount;
mod unionfs;
mod warm;

use std::fs;
use std::path::{Path, PathBuf};

use crate::Fallible;

/// What a subject shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shows {
    /// A directory.
    Directory,
    /// An archive.
    Archive,
}

/// Where a subject works.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The tree that is shown, as a directory.
    pub(crate) lower: PathBuf,
    /// The same tree as an archive, uncompressed; it is only there for subjects that show archives.
    pub(crate) archive: PathBuf,
    /// A directory of the subject's own for this tree. It need not exist.
    pub(crate) own: PathBuf,
    /// Whether the root will be written to.
    pub(crate) writes: bool,
}

impl Place {
    /// A directory of the subject's own, which is made if it is not there.
    fn directory(&self, name: &str) -> Fallible<PathBuf> {
        let path = self.own.join(name);
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }
}

/// One way to show a tree.
pub(crate) trait Subject {
    /// Its name in reports and for `--subjects`: one word, always the same.
    fn name(&self) -> &'static str;

    /// What it is, in a line, with the version of the program.
    fn about(&self) -> String;

    /// Why it cannot take part here.
    fn missing(&self) -> Option<String> {
        None
    }

    /// What it shows.
    fn shows(&self) -> Shows {
        Shows::Directory
    }

    /// Whether its root can be written to.
    fn writes(&self) -> bool {
        true
    }

    /// Shows the tree. What was written to the same place before is there again; what a mount has
    /// in memory is not.
    ///
    /// # Errors
    /// In words; then nothing of it is left mounted.
    fn raise(&self, place: &Place) -> Fallible<Box<dyn Raised>>;

    /// Reads what is underneath into the page cache.
    ///
    /// # Errors
    /// Those of reading.
    fn warm(&self, place: &Place) -> Fallible<()> {
        match self.shows() {
            Shows::Directory => warm::read(&place.lower),
            Shows::Archive => warm::read(&place.archive),
        }
    }

    /// Removes all that it has in its place. Nothing is raised there.
    ///
    /// # Errors
    /// In words.
    fn clear(&self, place: &Place) -> Fallible<()> {
        remove(&place.own)
    }
}

/// A root that is there as long as this lives.
pub(crate) trait Raised {
    /// The root directory.
    fn root(&self) -> &Path;

    /// Memory of the processes that serve it, in bytes: what is theirs alone and no file. `None` if
    /// there are none.
    fn memory(&self) -> Option<u64> {
        None
    }
}

/// Where the programs are that cannot be found by themselves.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// `wpar`.
    pub(crate) wpar: PathBuf,
    /// `fuse-overlayfs` of version 2, which no distribution has yet.
    pub(crate) fuse_overlayfs_2: Option<PathBuf>,
    /// `ratarmount`.
    pub(crate) ratarmount: PathBuf,
}

/// The kernel's overlay, for cases of their own.
pub(crate) const OVERLAYFS: overlayfs::Overlayfs = overlayfs::Overlayfs;

/// All subjects.
pub(crate) fn all(programs: &Programs) -> Vec<Box<dyn Subject>> {
    vec![
        Box::new(native::Native),
        Box::new(copy::Copy),
        Box::new(overlayfs::Overlayfs),
        Box::new(ours::Ours::directory(&programs.wpar)),
        Box::new(ours::Ours::device(&programs.wpar)),
        Box::new(ours::Ours::archive(&programs.wpar)),
        Box::new(fuse_overlayfs::FuseOverlayfs::packaged()),
        Box::new(fuse_overlayfs::FuseOverlayfs::second(
            programs.fuse_overlayfs_2.as_deref(),
        )),
        Box::new(unionfs::Unionfs::new()),
        Box::new(ratarmount::Ratarmount::new(&programs.ratarmount)),
    ]
}

/// Removes a tree, if it is there.
fn remove(path: &Path) -> Fallible<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", path.display()).into())
        }
        _ => Ok(()),
    }
}

/// The program `name` as a path, if it can be executed: as it is given, or by `PATH`.
fn find(name: &Path) -> Option<PathBuf> {
    if name.components().count() > 1 {
        return name.is_file().then(|| name.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}
