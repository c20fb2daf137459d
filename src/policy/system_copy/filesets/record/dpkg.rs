//! dpkg and apt: stanzas, the files in `info`, triggers, diversions, overrides and alternatives.

use std::collections::{HashMap, HashSet};

use wpar_mountd::error::FsError;

use super::{Fates, Record, dpkg_alternatives, dpkg_diversions, dpkg_stanzas, without_lines};
use crate::model::Put;
use crate::model::view::FilesetFate;
use crate::policy::system_copy::filesets::{links, places::lenient};
use crate::source::files::join;

const STANZAS: [&[u8]; 4] = [
    b"var/lib/dpkg/status",
    b"var/lib/dpkg/status-old",
    b"var/lib/dpkg/available",
    b"var/lib/apt/extended_states",
];
const STATUS_DIRECTORY: &[u8] = b"var/lib/dpkg/status.d";
const INFO: &[u8] = b"var/lib/dpkg/info";
const TRIGGERS: &[u8] = b"var/lib/dpkg/triggers";
const DIVERSIONS: &[u8] = b"var/lib/dpkg/diversions";
const OVERRIDES: &[u8] = b"var/lib/dpkg/statoverride";
const ALTERNATIVES: &[u8] = b"var/lib/dpkg/alternatives";

pub(super) fn make(record: &mut Record<'_, '_>) -> Result<(), FsError> {
    let fates = record.fates();
    for path in STANZAS {
        record.rewrite(path, |text| dpkg_stanzas::filter(text, &fates))?;
    }
    info(record, &fates)?;
    triggers(record, &fates)?;
    diversions(record, &fates)?;
    overrides(record)?;
    alternatives(record)
}

/// Hides what `info` and `status.d` have of the packages; a ghost gets an empty list, and digests of no
/// files, without which `dpkg --audit` complains.
fn info(record: &mut Record<'_, '_>, fates: &Fates) -> Result<(), FsError> {
    let names = record.places.names(INFO)?;
    let mut owners: HashMap<Vec<u8>, FilesetFate> = HashMap::new();
    for ((name, architecture), fate) in &fates.known {
        // Of packages that can be there in several architectures, names have that too. If one of two
        // architectures without it in the name were hidden, both would be.
        owners.insert(name.clone().into_bytes(), *fate);
        owners.insert(format!("{name}:{architecture}").into_bytes(), *fate);
    }
    for (file, _) in &names {
        let Some(dot) = file.iter().rposition(|&byte| byte == b'.') else {
            continue;
        };
        let (owner, kind) = file.split_at(dot);
        match owners.get(owner) {
            Some(FilesetFate::Ghost) if kind == b".list" => {
                let path = join(INFO, file);
                record.write(&path, b"/.\n".to_vec(), super::REASON)?;
                let sums = join(INFO, &[owner, b".md5sums"].concat());
                record.write(&sums, Vec::new(), super::REASON)?;
            }
            Some(FilesetFate::Ghost) if kind == b".md5sums" => {}
            Some(_) => record.hide(&join(INFO, file))?,
            None => {}
        }
    }
    for (file, _) in record.places.names(STATUS_DIRECTORY)? {
        let owner = file.strip_suffix(b".md5sums").unwrap_or(&file);
        if owners.contains_key(owner) {
            record.hide(&join(STATUS_DIRECTORY, &file))?;
        }
    }
    Ok(())
}

/// `File` has lines `PATH PACKAGE`, `Unincorp` `TRIGGER PACKAGE...`; every other file is one trigger's,
/// with a package in each line. A package can be followed by `/noawait`.
fn triggers(record: &mut Record<'_, '_>, fates: &Fates) -> Result<(), FsError> {
    let is_hidden = |word: &[u8]| {
        let name = word.split(|&byte| byte == b'/').next();
        fates.hides(name.unwrap_or_default())
    };
    for (name, _) in record.places.names(TRIGGERS)? {
        let path = join(TRIGGERS, &name);
        match &name[..] {
            b"Lock" | b"Unincorp" => {}
            b"File" => record.rewrite(&path, |text| {
                without_lines(text, |line| {
                    line.rsplit(|&byte| byte == b' ')
                        .next()
                        .is_some_and(is_hidden)
                })
            })?,
            _ => {
                let Some((_, text)) = record.read(&path)? else {
                    continue;
                };
                // A trigger that nobody is interested in has no file.
                if without_lines(&text, is_hidden).trim_ascii().is_empty() && !text.is_empty() {
                    record.hide(&path)?;
                } else {
                    record.rewrite(&path, |text| without_lines(text, is_hidden))?;
                }
            }
        }
    }
    Ok(())
}

/// Where a hidden package put a file of its own in place of another's, that one is seen again.
fn diversions(record: &mut Record<'_, '_>, fates: &Fates) -> Result<(), FsError> {
    let Some((real, text)) = record.read(DIVERSIONS)? else {
        return Ok(());
    };
    let dropped = dpkg_diversions::filter(&text, fates);
    if dropped.diversions.is_empty() {
        return Ok(());
    }
    for (from, to) in &dropped.diversions {
        let relative = |path: &[u8]| path.strip_prefix(b"/").unwrap_or(path).to_vec();
        let from = record.places.name(&relative(from))?;
        let diverted = record.places.name(&relative(to))?;
        let is_there = lenient(record.places.files().real(&diverted))?.is_some();
        let (Ok(path), Ok(target)) = (String::from_utf8(from), str::from_utf8(to)) else {
            continue;
        };
        if is_there && !record.names.covers(&diverted) && record.names.covers(path.as_bytes()) {
            let link = Put::Link(target.to_owned());
            record.put(path.as_bytes(), link, "was diverted by a hidden fileset")?;
        }
    }
    record.write(&real, dropped.rest, super::REASON)?;
    Ok(())
}

/// Lines of owner, group, mode and path.
fn overrides(record: &mut Record<'_, '_>) -> Result<(), FsError> {
    let Some((real, text)) = record.read(OVERRIDES)? else {
        return Ok(());
    };
    let mut gone = HashSet::new();
    for line in text.split(|&byte| byte == b'\n') {
        let path = line.splitn(4, |&byte| byte == b' ').nth(3);
        if let Some(path) = path.and_then(|path| path.strip_prefix(b"/")) {
            let place = record.places.name(path)?;
            if record.names.covers(&place) {
                gone.insert(line);
            }
        }
    }
    if !gone.is_empty() {
        let rest = without_lines(&text, |line| gone.contains(line));
        record.write(&real, rest, super::REASON)?;
    }
    Ok(())
}

/// Hides the links that lead to hidden choices, and the record if no other choice is left.
fn alternatives(record: &mut Record<'_, '_>) -> Result<(), FsError> {
    for (name, _) in record.places.names(ALTERNATIVES)? {
        let path = join(ALTERNATIVES, &name);
        let Some((_, text)) = record.read(&path)? else {
            continue;
        };
        let found = dpkg_alternatives::parse(&text);
        let mut hidden = 0;
        for choice in &found.choices {
            let place = choice.strip_prefix(b"/").unwrap_or(choice);
            let place = record.places.name(place)?;
            hidden += usize::from(record.names.covers(&place));
        }
        if hidden == 0 {
            continue;
        }
        for link in &found.links {
            let place = link.strip_prefix(b"/").unwrap_or(link);
            let place = record.places.name(place)?;
            links::hide_link(place, record.places, record.names)?;
        }
        if hidden == found.choices.len() {
            record.hide(&path)?;
        }
    }
    Ok(())
}
