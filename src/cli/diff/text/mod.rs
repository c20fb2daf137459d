//! The differences for people: the two systems, a line for each section, then the sections.

use std::fmt::Write;

use super::operand::System;
use crate::diff::files::FileChange;
use crate::diff::packages_changed::PackageChangeKind;
use crate::diff::{Difference, Section, escape};

mod lines;

/// Everything, or nothing if there is no difference.
pub(super) fn render(
    systems: &[System; 2],
    found: &Difference,
    sections: &[Section],
    all_files: bool,
) -> String {
    if found.is_empty() {
        return String::new();
    }
    let mut out = String::new();
    for (letter, system) in ["A", "B"].into_iter().zip(systems) {
        let runs = if system.kind == "wpar" && system.runs {
            " (runs)"
        } else {
            ""
        };
        let facts = escape::text(&system.facts.describe());
        let _ = writeln!(out, "{letter}  {}{runs}: {facts}", system.name);
    }
    out.push('\n');
    let shown: Vec<_> = sections
        .iter()
        .map(|&section| (section, summary(section, found)))
        .filter(|(_, summary)| !summary.is_empty())
        .collect();
    for (section, summary) in &shown {
        let _ = writeln!(out, "{:<12}{summary}", section.name());
    }
    for (section, _) in &shown {
        let lines = lines::lines(*section, found, all_files);
        if !lines.is_empty() {
            let _ = write!(out, "\n{}:\n{lines}", section.name());
        }
    }
    out
}

/// Numbers with words, without those that are 0.
fn counts(counts: &[(usize, &str)]) -> String {
    let shown: Vec<_> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    shown.join(", ")
}

/// Numbers of added, removed and changed things.
fn count_sides<T>(all: &[T], sides: impl Fn(&T) -> (bool, bool)) -> String {
    let count = |wanted| all.iter().filter(|one| sides(one) == wanted).count();
    counts(&[
        (count((false, true)), "added"),
        (count((true, false)), "removed"),
        (count((true, true)), "changed"),
    ])
}

fn summary(section: Section, found: &Difference) -> String {
    match section {
        Section::Identity => {
            let names: Vec<_> = found.identity.iter().map(|change| &*change.what).collect();
            names.join(", ")
        }
        Section::Packages => packages_summary(found),
        Section::Users => count_sides(&found.users, |user| (user.before, user.after)),
        Section::Services => count_sides(&found.services, |service| {
            (service.before.is_some(), service.after.is_some())
        }),
        Section::Privileges => count_sides(&found.privileges, |change| {
            (change.before.is_some(), change.after.is_some())
        }),
        Section::Config => count_sides(&found.config, |change| {
            (change.before.is_some(), change.after.is_some())
        }),
        Section::Kernels => match &found.kernels {
            None => String::new(),
            Some(change) => format!(
                "{} -> {} kernels, {} -> {} module trees",
                change.before.kernels,
                change.after.kernels,
                change.before.modules,
                change.after.modules
            ),
        },
        Section::Files => {
            let sides = |file: &FileChange| (file.before.is_some(), file.after.is_some());
            let mut text = count_sides(&found.files, sides);
            let explained = found.files.iter().filter(|file| file.explained).count();
            if explained > 0 {
                let _ = write!(text, "; {explained} of them by changed packages");
            }
            text
        }
    }
}

fn packages_summary(found: &Difference) -> String {
    let count = |kind| {
        let of_kind = found.packages.iter().filter(|change| change.kind == kind);
        of_kind.count()
    };
    let mut text = counts(&[
        (count(PackageChangeKind::Added), "added"),
        (count(PackageChangeKind::Removed), "removed"),
        (count(PackageChangeKind::Upgraded), "upgraded"),
        (count(PackageChangeKind::Downgraded), "downgraded"),
        (count(PackageChangeKind::Changed), "changed"),
    ]);
    if let (Some(a), Some(b)) = found.families
        && a != b
        && !text.is_empty()
    {
        let _ = write!(
            text,
            " (A has {a}, B has {b}: versions have no common order)"
        );
    }
    text
}
