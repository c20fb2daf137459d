//! What the package data base says about hidden filesets: nothing, so that the package manager inside
//! neither misses their files nor upgrades them; and what keeps them from coming back.
//!
//! Everything that is changed is a whole file in its family's own format, written with the rest of the
//! file as it was. What cannot be changed safely stays as it is, and a note says so.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use wpar_mountd::error::FsError;
use wpar_mountd::types::FileKind;

use super::fate::Verdict;
use super::mark::Mark;
use super::names::{Names, above};
use super::places::{Places, lenient};
use crate::model::view::FilesetFate;
use crate::model::{Edit, Put};
use crate::packages::{Family, PackageDatabase};

mod apk;
mod dpkg;
mod dpkg_alternatives;
mod dpkg_diversions;
pub(in crate::policy) mod dpkg_stanzas;
mod pacman;
mod pins;
mod rpm;

/// Largest file of a data base that is written anew, in bytes.
const FILE_MAX: u64 = 64 << 20;

/// What is said of what is written here.
const REASON: &str = "hidden filesets are not on record";

/// Where a file really is, and its contents.
type File = (Vec<u8>, Vec<u8>);

/// The hidden filesets and ghosts, and what is to be done about their records.
pub(super) struct Record<'a, 'b> {
    pub(super) database: &'a PackageDatabase,
    pub(super) marks: &'a [Option<Mark>],
    pub(super) verdicts: &'a HashMap<usize, Verdict>,
    pub(super) places: &'a mut Places<'b>,
    pub(super) names: &'a mut Names,
    /// What is to be written.
    pub(super) edits: Vec<Edit>,
    /// What the administrator should know.
    pub(super) notes: Vec<String>,
}

impl Record<'_, '_> {
    /// Decides what is written and hidden, and gives the edits and notes.
    pub(super) fn make(mut self) -> Result<(Vec<Edit>, Vec<String>), FsError> {
        match self.database.family {
            Family::Dpkg => dpkg::make(&mut self)?,
            Family::Rpm => rpm::make(&mut self)?,
            Family::Apk => apk::make(&mut self)?,
            Family::Pacman => pacman::make(&mut self)?,
        }
        pins::make(&mut self)?;
        Ok((self.edits, self.notes))
    }

    /// The filesets of this fate: their places in the data base, sorted.
    fn of(&self, fate: FilesetFate) -> Vec<usize> {
        let all = self.verdicts.iter();
        let mut found: Vec<_> = all
            .filter(|(_, verdict)| verdict.fate == fate)
            .map(|(index, _)| *index)
            .collect();
        found.sort_unstable();
        found
    }

    /// Fates by name and architecture.
    fn fates(&self) -> Fates {
        let all = self.verdicts.iter().filter_map(|(index, verdict)| {
            let package = self.database.packages.get(*index)?;
            let key = (package.name.clone(), package.architecture.clone());
            (verdict.fate != FilesetFate::Kept).then_some((key, verdict.fate))
        });
        Fates::new(all)
    }

    /// A file of the data base, where it really is; `None` with a note if it cannot be used.
    fn read(&mut self, path: &[u8]) -> Result<Option<File>, FsError> {
        let Some((real, FileKind::Regular)) = lenient(self.places.files().real(path))? else {
            return Ok(None);
        };
        match self.places.files().read(&real, FILE_MAX) {
            Ok(contents) => Ok(contents.map(|contents| (real, contents))),
            Err(FsError::FileTooBig) => {
                self.notes.push(format!(
                    "/{} still names hidden filesets: it is longer than any such file",
                    path.escape_ascii()
                ));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes a file anew with what `change` makes of it, if that is something else.
    fn rewrite(
        &mut self,
        path: &[u8],
        change: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> Result<(), FsError> {
        if let Some((real, contents)) = self.read(path)? {
            let changed = change(&contents);
            if changed != contents {
                self.write(&real, changed, REASON)?;
            }
        }
        Ok(())
    }

    /// Writes a file.
    fn write(&mut self, path: &[u8], contents: Vec<u8>, reason: &str) -> Result<(), FsError> {
        let permissions = 0o644;
        let what = Put::File {
            contents,
            permissions,
        };
        self.put(path, what, reason)
    }

    /// Puts something at `path`; a note says so if what the source has there does not let it.
    fn put(&mut self, path: &[u8], what: Put, reason: &str) -> Result<(), FsError> {
        let files = self.places.files();
        for (step, path) in std::iter::once(path).chain(above(path)).enumerate() {
            let found = lenient(files.real(path))?.map(|(_, kind)| kind);
            let must_be_directory = step > 0;
            let is_in_the_way = match found {
                Some(kind) => (kind == FileKind::Directory) != must_be_directory,
                // A link that leads nowhere can be replaced, but nothing can be put below it.
                None => must_be_directory && lenient(files.link(path))?.is_some(),
            };
            if is_in_the_way {
                self.notes.push(format!(
                    "/{} stands in the way of what would be written",
                    path.escape_ascii()
                ));
                return Ok(());
            }
        }
        if let Ok(path) = String::from_utf8(path.to_vec()) {
            let reason = reason.to_owned();
            self.edits.push(Edit { path, what, reason });
        }
        Ok(())
    }

    /// Hides a file or directory of the data base.
    fn hide(&mut self, path: &[u8]) -> Result<(), FsError> {
        let reason: Rc<str> = REASON.into();
        let path = self.places.name(path)?;
        self.names.hide(path, &reason);
        Ok(())
    }
}

/// Fates of hidden filesets by name and architecture.
struct Fates {
    known: HashMap<(String, String), FilesetFate>,
    names: HashSet<String>,
}

impl Fates {
    fn new(all: impl IntoIterator<Item = ((String, String), FilesetFate)>) -> Self {
        let known: HashMap<_, _> = all.into_iter().collect();
        let names = known.keys().map(|(name, _)| name.clone()).collect();
        Self { known, names }
    }

    /// The fate of one, if it is hidden.
    fn get(&self, name: &[u8], architecture: &[u8]) -> Option<FilesetFate> {
        let key = (
            String::from_utf8_lossy(name).into_owned(),
            String::from_utf8_lossy(architecture).into_owned(),
        );
        self.known.get(&key).copied()
    }

    /// Whether `NAME` or `NAME:ARCHITECTURE` is hidden, in any architecture if none is given.
    fn hides(&self, name: &[u8]) -> bool {
        let name = String::from_utf8_lossy(name);
        match name.split_once(':') {
            Some((name, architecture)) => {
                self.get(name.as_bytes(), architecture.as_bytes()).is_some()
            }
            None => self.names.contains(&*name),
        }
    }
}

/// A text without the lines that `drop` says.
fn without_lines(text: &[u8], mut drop: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let lines = text.split_inclusive(|&byte| byte == b'\n');
    let kept = lines.filter(|line| !drop(line.trim_ascii_end()));
    kept.collect::<Vec<_>>().concat()
}
