//! What must be true of a store after a loss of power.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use wpar_mountd::types::{EntryName, Ino};

use crate::program::{Step, Synced};
use crate::tree::{self, Facts, Tree};

/// Checks the store on a disk that surely has the log up to `durable`, and nothing behind `now`.
pub(crate) fn disk(steps: &[Step], mounted: &Path, durable: u64, now: u64) -> Result<(), String> {
    if !mounted.join("store/store.json").exists() {
        let synced = steps.iter().any(|step| step.answered <= durable);
        return if synced {
            Err("no store".into())
        } else {
            Ok(())
        };
    }
    let core = tree::open(mounted).map_err(|error| format!("opening: {error}"))?;
    let seen = tree::take(&core).map_err(|error| format!("reading: {error}"))?;
    let begun = steps.iter().take_while(|step| step.begun <= now).count();
    let possible = steps.get(..begun).unwrap_or(steps);
    let answered = |step: &&Step| step.answered <= durable;
    let first = possible
        .iter()
        .rposition(|step| answered(&step) && step.synced == Synced::All)
        .unwrap_or(0);
    names(possible, first, durable, &seen)?;
    for (&ino, data) in &seen.data {
        contents(possible, durable, ino, data)?;
    }
    for part in ["work", "orphans"] {
        let left = std::fs::read_dir(mounted.join("store").join(part)).unwrap();
        if left.count() > 0 {
            return Err(format!("{part} is not empty"));
        }
    }
    // And it can be used.
    let name = EntryName::new(b"after").unwrap();
    let root = wpar_mountd::types::Ino::ROOT;
    let used = core
        .rename(
            (root, EntryName::new(b"a").unwrap()),
            (root, name),
            wpar_mountd::overlay::RenameMode::NoReplace,
        )
        .and_then(|()| core.sync_all());
    match used {
        Ok(()) | Err(wpar_mountd::error::FsError::NotFound) => Ok(()),
        Err(error) => Err(format!("using: {error}")),
    }
}

/// The names must be those of one moment, and not older than what was synced.
fn names(possible: &[Step], first: usize, durable: u64, seen: &Tree) -> Result<(), String> {
    let matching: Vec<usize> = (first..possible.len())
        .filter(|&at| possible[at].tree.names == seen.names)
        .collect();
    if matching.is_empty() {
        let nearest = possible[first..]
            .iter()
            .map(|step| difference(&step.tree, seen))
            .min_by_key(Vec::len)
            .unwrap_or_default();
        return Err(format!(
            "the names of no moment since \"{}\": {}",
            possible[first].words,
            nearest.join("; ")
        ));
    }
    // What was synced of one directory, or file, must be so at that moment or later.
    for (at, step) in possible.iter().enumerate() {
        if step.answered > durable {
            break;
        }
        let kept = match step.synced {
            Synced::Nothing | Synced::All => continue,
            Synced::Directory(ino) => entries(&seen.names, ino).map(|seen| {
                let mut later = possible[at..].iter();
                later.any(|step| entries(&step.tree.names, ino).as_ref() == Some(&seen))
            }),
            Synced::File(ino) => Some(
                seen.data.contains_key(&ino)
                    || possible[at..]
                        .iter()
                        .any(|step| !step.tree.data.contains_key(&ino)),
            ),
        };
        let gone = possible[at..].iter().any(|step| {
            !step.tree.names.values().any(|facts| match step.synced {
                Synced::Directory(ino) | Synced::File(ino) => facts.ino == ino,
                _ => true,
            })
        });
        if kept == Some(false) && !gone {
            return Err(format!("lost what was synced by \"{}\"", step.words));
        }
    }
    Ok(())
}

fn difference(expected: &Tree, seen: &Tree) -> Vec<String> {
    let paths = expected.names.keys().chain(seen.names.keys());
    let paths: std::collections::BTreeSet<_> = paths.collect();
    paths
        .into_iter()
        .filter(|path| expected.names.get(*path) != seen.names.get(*path))
        .map(|path| {
            let (seen, expected) = (seen.names.get(path), expected.names.get(path));
            format!("{path} is {seen:?}, expected {expected:?}")
        })
        .collect()
}

/// Names and inodes in a directory; `None` if it is not there.
fn entries(names: &BTreeMap<String, Facts>, dir: Ino) -> Option<BTreeMap<String, Ino>> {
    let (above, _) = names.iter().find(|(_, facts)| facts.ino == dir)?;
    let inside = names.iter().filter_map(|(path, facts)| {
        let (parent, name) = path.rsplit_once('/')?;
        (parent == above).then(|| (name.to_owned(), facts.ino))
    });
    Some(inside.collect())
}

/// Each byte must be one that the file had there since it was synced.
fn contents(possible: &[Step], durable: u64, ino: Ino, data: &[u8]) -> Result<(), String> {
    let synced = possible.iter().rposition(|step| {
        let of_it = step.synced == Synced::All || step.synced == Synced::File(ino);
        of_it && step.answered <= durable && step.tree.data.contains_key(&ino)
    });
    let since = synced.unwrap_or(0);
    let mut versions: Vec<&Arc<Vec<u8>>> = possible[since..]
        .iter()
        .filter_map(|step| step.tree.data.get(&ino))
        .collect();
    versions.dedup_by(|a, b| Arc::ptr_eq(a, b));
    let empty = Arc::new(Vec::new());
    if synced.is_none() && !possible[0].tree.data.contains_key(&ino) {
        // It was new, and nothing of it was synced.
        versions.push(&empty);
    }
    let lengths = || versions.iter().map(|version| version.len());
    let (shortest, longest) = (lengths().min().unwrap_or(0), lengths().max().unwrap_or(0));
    let told = || format!("{ino} since \"{}\"", possible[since].words);
    if !(shortest..=longest).contains(&data.len()) {
        return Err(format!(
            "{} has {} bytes, not {shortest} to {longest}",
            told(),
            data.len()
        ));
    }
    for (at, &byte) in data.iter().enumerate() {
        let known = versions.iter().any(|version| match version.get(at) {
            Some(&had) => had == byte,
            None => byte == 0,
        });
        if !known {
            return Err(format!("{}: byte {at} of {} is {byte}", told(), data.len()));
        }
    }
    Ok(())
}
