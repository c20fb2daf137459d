//! What keeps package managers inside from installing hidden filesets again, at an upgrade of all.
//!
//! Plain files that the administrator of the WPAR may change or delete. They name patterns of the
//! private list that hid something, so that the next kernel, which has another name, is kept out too;
//! a pattern that also matches something visible is replaced by the names, because that one must be
//! upgraded.

use std::collections::{BTreeSet, HashMap};

use wpar_mountd::error::FsError;

use super::Record;
use crate::model::pattern::matches;
use crate::model::view::FilesetFate;
use crate::packages::Family;
use crate::policy::system_copy::filesets::pattern::Pattern;
use crate::policy::system_copy::filesets::places::lenient;

const REASON: &str = "keeps hidden filesets from being installed again";
const BEGINNING: &str = "# Written by wpar when this workload partition was made: filesets that act on kernel, boot or\n\
    # hardware are not visible in it, and must not come back at an upgrade. Delete this to allow it.\n";

const APT: &str = "etc/apt/preferences.d/00wpar-private";
const DNF5_DIRECTORY: &[u8] = b"etc/dnf/libdnf5.conf.d";
const DNF5_PROGRAM: &[u8] = b"usr/bin/dnf5";
const DNF5: &str = "etc/dnf/libdnf5.conf.d/00wpar-private.conf";
const DNF4: &[u8] = b"etc/dnf/dnf.conf";
const ZYPPER: &[u8] = b"etc/zypp/locks";
const ZYPPER_DIRECTORY: &[u8] = b"etc/zypp";
const PACMAN: &[u8] = b"etc/pacman.conf";

pub(super) fn make(record: &mut Record<'_, '_>) -> Result<(), FsError> {
    let names = pins(record);
    if names.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    match record.database.family {
        Family::Dpkg => {
            let text = format!(
                "{BEGINNING}Package: {}\nPin: release *\nPin-Priority: -1\n",
                names.join(" ")
            );
            record.write(APT.as_bytes(), text.into_bytes(), REASON)?;
        }
        Family::Rpm => of_rpm(record, &names)?,
        // `!NAME` in `world` was enough.
        Family::Apk => {}
        Family::Pacman => {
            let line = format!(
                "{BEGINNING}IgnorePkg = {}\nNoExtract = boot/* usr/lib/modules/*\n",
                names.join(" ")
            );
            if let Some((real, text)) = record.read(PACMAN)?
                && let Some(text) = in_section(&text, b"[options]", &line)
            {
                record.write(&real, text, REASON)?;
            }
        }
    }
    Ok(())
}

fn of_rpm(record: &mut Record<'_, '_>, names: &[&str]) -> Result<(), FsError> {
    let lines = format!("{BEGINNING}excludepkgs={}\n", names.join(","));
    let has = |record: &Record<'_, '_>, path| -> Result<bool, FsError> {
        Ok(lenient(record.places.files().real(path))?.is_some())
    };
    if has(record, DNF5_DIRECTORY)? || has(record, DNF5_PROGRAM)? {
        let text = format!("[main]\n{lines}");
        record.write(DNF5.as_bytes(), text.into_bytes(), REASON)?;
    } else if let Some((real, text)) = record.read(DNF4)?
        && let Some(text) = in_section(&text, b"[main]", &lines)
    {
        record.write(&real, text, REASON)?;
    }
    if has(record, ZYPPER_DIRECTORY)? {
        let mut text = record
            .read(ZYPPER)?
            .map(|(_, text)| text)
            .unwrap_or_default();
        for name in names {
            let lock = format!(
                "\ntype: package\nmatch_type: glob\ncase_sensitive: on\nsolvable_name: {name}\n"
            );
            text.extend_from_slice(lock.as_bytes());
        }
        record.write(ZYPPER, text, REASON)?;
    }
    Ok(())
}

/// What is to be kept out: patterns, and names where a pattern would say too much.
fn pins(record: &Record<'_, '_>) -> BTreeSet<String> {
    let packages = &record.database.packages;
    let is_hidden = |index: usize| {
        let verdict = record.verdicts.get(&index);
        verdict.is_some_and(|verdict| verdict.fate != FilesetFate::Kept)
    };
    let matches_visible = |pattern: &str| {
        let mut all = packages.iter().enumerate();
        all.any(|(index, package)| !is_hidden(index) && matches(pattern, &package.name))
    };
    let mut too_wide: HashMap<&str, bool> = HashMap::new();
    let mut pins = BTreeSet::new();
    for (index, package) in packages.iter().enumerate() {
        if !is_hidden(index) {
            continue;
        }
        let mark = record.marks.get(index).and_then(Option::as_ref);
        let pattern = mark.and_then(|mark| mark.pattern);
        match pattern.filter(|pattern| {
            !*too_wide
                .entry(pattern)
                .or_insert_with(|| matches_visible(pattern))
        }) {
            Some(pattern) => pins.insert(pattern.to_owned()),
            // A name that is no plain word would change the meaning of the file.
            None if Pattern::new(&package.name).is_ok()
                && !package.name.contains(['*', ',', '?', '[']) =>
            {
                pins.insert(package.name.clone())
            }
            None => false,
        };
    }
    pins
}

/// A file of sections with `lines` at the beginning of one of them; `None` if it has no such section.
fn in_section(text: &[u8], section: &[u8], lines: &str) -> Option<Vec<u8>> {
    let mut end = 0;
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        end += line.len();
        if line.trim_ascii() == section {
            let (before, after) = text.split_at_checked(end)?;
            let gap: &[u8] = if before.ends_with(b"\n") { b"" } else { b"\n" };
            return Some([before, gap, lines.as_bytes(), after].concat());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_where_their_section_begins() {
        let text = in_section(b"# x\n[main]\ngpgcheck=1\n", b"[main]", "a=1\n").unwrap();
        assert_eq!(text, b"# x\n[main]\na=1\ngpgcheck=1\n");
        assert_eq!(
            in_section(b"[main]", b"[main]", "a=1\n").unwrap(),
            b"[main]\na=1\n"
        );
        assert!(in_section(b"[other]\n", b"[main]", "a=1\n").is_none());
    }
}
