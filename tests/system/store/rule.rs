//! What a booting Debian 12 may have in its store, name by name.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::listing::{Entry, Held};
use crate::common::manifest::Manifest;

/// The names that match `pattern` may be in the store in one of the ways `held`, because of `by`.
struct Rule {
    /// Path; a `*` stands for any part of one component.
    pattern: &'static str,
    held: &'static [Held],
    /// Who writes it. For readers only.
    #[allow(dead_code)]
    by: &'static str,
}

const fn rule(pattern: &'static str, held: &'static [Held], by: &'static str) -> Rule {
    Rule { pattern, held, by }
}

const NEW: &[Held] = &[Held::New];
const COPIED_UP: &[Held] = &[Held::CopiedUp];
/// An image may have the file or not, and a program may write it in place or anew.
const WRITTEN: &[Held] = &[Held::New, Held::CopiedUp, Held::Replaced];

/// All that may be there, but the directories of the image on the way to it.
const RULES: &[Rule] = &[
    rule("etc/hostname", WRITTEN, "mkwpar: identity"),
    rule("etc/hosts", WRITTEN, "mkwpar: identity"),
    rule("etc/machine-id", WRITTEN, "mkwpar: identity"),
    rule("var/lib/dbus/machine-id", WRITTEN, "mkwpar: identity"),
    rule("tmp/.*-unix", NEW, "systemd-tmpfiles: x11.conf"),
    rule("tmp/systemd-private-*", NEW, "systemd: PrivateTmp="),
    rule("tmp/systemd-private-*/tmp", NEW, "systemd: PrivateTmp="),
    rule("var/tmp/systemd-private-*", NEW, "systemd: PrivateTmp="),
    rule("var/tmp/systemd-private-*/tmp", NEW, "systemd: PrivateTmp="),
    rule("var/log/wtmp", COPIED_UP, "systemd-update-utmp, login"),
    rule("var/log/journal", COPIED_UP, "systemd-tmpfiles: group, ACL"),
    rule("var/log/journal/*", NEW, "systemd-journald: its machine-id"),
    rule("var/log/journal/*/system*.journal", NEW, "systemd-journald"),
    rule("var/lib/systemd/linger", NEW, "systemd-logind"),
    rule("var/lib/systemd/timers", NEW, "systemd: Persistent="),
    rule("var/lib/systemd/timers/stamp-*.timer", NEW, "the same"),
    rule(
        "var/backups/dpkg.*",
        NEW,
        "dpkg-db-backup.timer, at midnight",
    ),
];

/// Names without which this was no boot: a listing that lacks one has not looked.
const EXPECTED: &[&str] = &[
    "etc/hostname",
    "etc/hosts",
    "etc/machine-id",
    "var/log/journal/*/system*.journal",
    "var/lib/systemd/timers/stamp-*.timer",
];

/// What the rules of a system copy decided, as the tool keeps it for `wpar explain`.
#[derive(Default)]
pub(super) struct Viewed {
    /// Files that `mkwpar` wrote.
    pub(super) written: BTreeSet<PathBuf>,
    /// Names that are hidden, with all below them.
    pub(super) hidden: BTreeSet<PathBuf>,
}

impl Viewed {
    /// Reads `views/NAME.json`.
    pub(super) fn read(path: &Path) -> Self {
        let text = std::fs::read(path).expect("a view");
        let view: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let paths = |key: &str| {
            let names = view[key].as_array().expect("a list").iter();
            names
                .map(|name| PathBuf::from(name["path"].as_str().expect("a path")))
                .collect()
        };
        Self {
            written: paths("written"),
            hidden: paths("hidden"),
        }
    }

    /// Whether `path` or something above it is hidden.
    pub(super) fn hides(&self, path: &Path) -> bool {
        path.ancestors().any(|above| self.hidden.contains(above))
    }
}

/// Entries of `entries` that no rule allows and that `view` does not name.
///
/// A directory of the image on the way to an allowed name is allowed too, as long as it is just
/// copied up, with owner and permissions as in the image.
pub(super) fn unexplained(entries: &[Entry], image: &Manifest, view: &Viewed) -> Vec<Entry> {
    let by_rule = |entry: &&Entry| {
        let by_view = view.written.contains(&entry.path) && WRITTEN.contains(&entry.held);
        by_view
            || RULES
                .iter()
                .any(|rule| matches(rule.pattern, &entry.path) && rule.held.contains(&entry.held))
    };
    let on_the_way: BTreeSet<&Path> = entries
        .iter()
        .filter(by_rule)
        .flat_map(|entry| entry.path.ancestors().skip(1))
        .collect();
    let passed = |entry: &&Entry| {
        entry.held == Held::CopiedUp
            && on_the_way.contains(entry.path.as_path())
            && entry.is_like(image)
    };
    entries
        .iter()
        .filter(|entry| !by_rule(entry) && !passed(entry))
        .cloned()
        .collect()
}

/// Patterns of names that every boot writes and `entries` lack.
pub(super) fn missing(entries: &[Entry]) -> Vec<&'static str> {
    let there = |pattern: &&str| entries.iter().any(|entry| matches(pattern, &entry.path));
    EXPECTED.iter().copied().filter(|p| !there(p)).collect()
}

fn matches(pattern: &str, path: &Path) -> bool {
    let pattern: Vec<&str> = pattern.split('/').collect();
    let path: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    pattern.len() == path.len()
        && pattern
            .iter()
            .zip(&path)
            .all(|(glob, part)| match glob.split_once('*') {
                Some((begin, end)) => {
                    part.len() >= begin.len() + end.len()
                        && part.starts_with(begin)
                        && part.ends_with(end)
                }
                None => glob == part,
            })
}

#[test]
fn a_star_is_part_of_one_component() {
    for (pattern, path, expected) in [
        ("etc/hosts", "etc/hosts", true),
        ("etc/hosts", "etc/hosts.allow", false),
        ("etc/hosts", "etc", false),
        ("a/x-*", "a/x-1", true),
        ("a/x-*", "a/x-", true),
        ("a/x-*", "a/x-1/deeper", false),
        ("a/*.d/c", "a/b.d/c", true),
        ("a/ab*bc", "a/abc", false),
    ] {
        assert_eq!(
            matches(pattern, &PathBuf::from(path)),
            expected,
            "{pattern} {path}"
        );
    }
}
