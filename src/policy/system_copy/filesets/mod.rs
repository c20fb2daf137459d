//! Filesets that are not visible in a WPAR: packages that act on the kernel, the boot or hardware.
//!
//! AIX marks them private where they are packaged; here there is a list, what they own, and what the
//! site says. In this order: which are private (`mark`), which of them somebody visible needs (`fate`),
//! which names go with the others (`hide`, `generated`, `links`), and what the package data base says
//! then (`record`). The source is an untrusted image: a data base that makes no sense hides nothing,
//! and a note says so.

use std::collections::{BTreeSet, HashMap};

use wpar_mountd::error::FsError;

use super::{Decisions, Situation};
use crate::model::View;
use crate::model::view::{Fileset, FilesetFate};
use crate::packages::{self, Detail, PackageDatabase};

pub(in crate::policy) mod dependency;
mod fate;
mod generated;
mod hide;
mod links;
mod list;
mod mark;
mod names;
mod needs;
mod pattern;
pub(in crate::policy) mod places;
#[cfg(test)]
mod property_tests;
pub(in crate::policy) mod record;
mod site;
#[cfg(test)]
mod tests;

use fate::Verdict;
use mark::Mark;
use names::Names;
use places::Places;
use record::Record;
pub use site::ListFile;

/// Most names that are hidden. A data base that asks for more is made to do harm.
const NAMES_MAX: usize = 100_000;

/// What becomes of private filesets.
///
/// # Errors
/// Those of reading the source.
pub(super) fn decide(situation: &Situation<'_>) -> Result<Decisions, FsError> {
    if situation.controls.preserve_private {
        return Ok(Decisions::default());
    }
    match packages::read(situation.files, Detail::Paths) {
        Ok(Some(database)) => decide_in(situation, &database),
        Ok(None) => Ok(Decisions::default()),
        Err(error) => {
            let mut decisions = Decisions::default();
            let note = format!("all filesets stay visible: {error}");
            decisions.view.notes.push(note);
            Ok(decisions)
        }
    }
}

/// The same for who has read the data base of the source, with paths.
///
/// # Errors
/// Those of reading the source.
pub(super) fn decide_in(
    situation: &Situation<'_>,
    database: &PackageDatabase,
) -> Result<Decisions, FsError> {
    let mut decisions = Decisions::default();
    if situation.controls.preserve_private {
        return Ok(decisions);
    }
    let mut site = site::Site::read(situation.private_lists, situation.files)?;
    decisions.view.notes.append(&mut site.notes);
    let marks = mark::marks(database, &site);
    if marks.iter().all(Option::is_none) {
        return Ok(decisions);
    }
    let Ok(verdicts) = fate::verdicts(database, &marks) else {
        let note = "all filesets stay visible: the package data base says more than any does";
        decisions.view.notes.push(note.to_owned());
        return Ok(decisions);
    };
    let hidden: BTreeSet<usize> = verdicts
        .iter()
        .filter(|(_, verdict)| verdict.fate != FilesetFate::Kept)
        .map(|(index, _)| *index)
        .collect();
    let is_boot = |index: &usize| {
        let mark = marks.get(*index).and_then(Option::as_ref);
        mark.is_some_and(|mark| mark.of_boot)
    };
    let of_boot = hidden.iter().any(is_boot);
    let mut places = Places::new(situation.files);
    let mut names = names_of(database, &hidden, of_boot, &mut places)?;
    let record = Record {
        database,
        marks: &marks,
        verdicts: &verdicts,
        places: &mut places,
        names: &mut names,
        edits: Vec::new(),
        notes: Vec::new(),
    };
    let (edits, mut notes) = record.make()?;
    let (rules, unspeakable) = names.finish();
    if rules.len() > NAMES_MAX {
        let note = "all filesets stay visible: the private ones own more names than any have";
        decisions.view.notes.push(note.to_owned());
        return Ok(decisions);
    }
    decisions.view.hidden = rules;
    decisions.view.notes.append(&mut notes);
    if unspeakable > 0 {
        decisions.view.notes.push(format!(
            "{unspeakable} names of hidden filesets stay visible: they are not UTF-8, or no paths"
        ));
    }
    add_filesets(&mut decisions.view, database, &marks, &verdicts);
    decisions.edits = edits;
    Ok(decisions)
}

/// The names that go with the hidden packages.
fn names_of(
    database: &PackageDatabase,
    hidden: &BTreeSet<usize>,
    of_boot: bool,
    places: &mut Places<'_>,
) -> Result<Names, FsError> {
    let mut names = Names::default();
    if hidden.is_empty() {
        return Ok(names);
    }
    let mut generated = generated::Places::find(places)?;
    hide::owned(database, hidden, places, &mut names, &mut generated)?;
    if of_boot {
        generated.hide(places, &mut names)?;
    }
    hide::compiled(places, &mut names)?;
    links::hide(places, &mut names)?;
    Ok(names)
}

/// Lists the private filesets in the view, in the order of the data base: by name and architecture.
fn add_filesets(
    view: &mut View,
    database: &PackageDatabase,
    marks: &[Option<Mark>],
    verdicts: &HashMap<usize, Verdict>,
) {
    for (index, _) in marks.iter().enumerate().filter(|(_, mark)| mark.is_some()) {
        if let (Some(package), Some(verdict)) = (database.packages.get(index), verdicts.get(&index))
        {
            view.filesets.push(Fileset {
                name: package.name.clone(),
                architecture: package.architecture.clone(),
                version: package.version.clone(),
                size: package.size,
                fate: verdict.fate,
                reason: verdict.reason.clone(),
            });
        }
    }
}
