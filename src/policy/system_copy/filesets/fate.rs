//! What becomes of the private filesets: who is needed stays.
//!
//! A private fileset that something visible cannot do without, and that nothing visible stands in
//! for, stays visible. Keeping one can keep others, so this is done until nothing changes. A
//! metapackage owns nothing, so its needs are none: what it asks for is hidden all the same, with a
//! record left that keeps the package manager content (a ghost).

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::mark::{Mark, leaves};
use super::needs::{self, Need, TooMuch};
use crate::model::view::FilesetFate;
use crate::packages::{Family, Package, PackageDatabase};

/// What became of a private fileset, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) fate: FilesetFate,
    pub(super) reason: String,
}

/// The verdict about each private fileset, by its place in the data base.
///
/// # Errors
/// If the data base says more than any does.
pub(super) fn verdicts(
    database: &PackageDatabase,
    marks: &[Option<Mark>],
) -> Result<HashMap<usize, Verdict>, TooMuch> {
    let marked = marks.iter().enumerate();
    let mut hidden: BTreeSet<usize> = marked
        .filter_map(|(index, mark)| mark.is_some().then_some(index))
        .collect();
    let needs = needs::of_marked(database, &hidden)?;
    let mut verdicts = needed(database, &needs, &mut hidden);
    for (index, mark) in marks.iter().enumerate() {
        let Some(mark) = mark else { continue };
        let verdict = verdicts.entry(index).or_insert_with(|| Verdict {
            fate: FilesetFate::Hidden,
            reason: String::new(),
        });
        verdict.reason = match verdict.fate {
            FilesetFate::Hidden => mark.reason.clone(),
            FilesetFate::Ghost => format!("{}; {}", mark.reason, verdict.reason),
            FilesetFate::Kept => verdict.reason.clone(),
        };
    }
    Ok(verdicts)
}

/// Takes those that are needed out of `hidden`, and says which are kept or become ghosts.
fn needed(
    database: &PackageDatabase,
    needs: &[Need],
    hidden: &mut BTreeSet<usize>,
) -> HashMap<usize, Verdict> {
    let mut of: HashMap<usize, Vec<&Need>> = HashMap::new();
    for need in needs {
        of.entry(need.who).or_default().push(need);
    }
    let mut is_list: HashMap<usize, bool> = HashMap::new();
    let mut verdicts: HashMap<usize, Verdict> = HashMap::new();
    // What somebody hidden needs matters when that one is kept.
    let visible = needs.iter().filter(|need| !hidden.contains(&need.who));
    let mut todo: VecDeque<&Need> = visible.collect();
    while let Some(need) = todo.pop_front() {
        let is_met = need.givers.iter().any(|giver| !hidden.contains(giver));
        let Some(&giver) = need.givers.first().filter(|_| !is_met) else {
            continue;
        };
        let Some(who) = database.packages.get(need.who) else {
            continue;
        };
        let is_metapackage = *is_list
            .entry(need.who)
            .or_insert_with(|| is_metapackage(database.family, who));
        if !is_metapackage {
            hidden.remove(&giver);
            let reason = format!("needed by {}", who.name);
            let fate = FilesetFate::Kept;
            verdicts.insert(giver, Verdict { fate, reason });
            todo.extend(of.get(&giver).into_iter().flatten());
        } else if !need.givers.iter().any(|giver| verdicts.contains_key(giver)) {
            let reason = format!("the metapackage {} asks for it", who.name);
            let fate = FilesetFate::Ghost;
            verdicts.insert(giver, Verdict { fate, reason });
        }
    }
    verdicts
}

/// Whether a package is only a list of others.
fn is_metapackage(family: Family, package: &Package) -> bool {
    const PAPERS: [&[u8]; 3] = [
        b"usr/share/doc",
        b"usr/share/lintian",
        b"usr/share/licenses",
    ];
    if package.paths.is_empty() {
        // A dpkg package has its papers at least: without any paths its list was lost.
        return family != Family::Dpkg;
    }
    leaves(&package.paths).all(|path| PAPERS.iter().any(|papers| path.starts_with(papers)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::{Dependency, Relation, Status};

    /// `NAME: DEPENDS`, with `*` before a private one and `(meta)` before a metapackage.
    fn database(lines: &[&str]) -> (PackageDatabase, Vec<Option<Mark>>) {
        let mut marks = Vec::new();
        let mut packages = Vec::new();
        for line in lines {
            let (name, depends) = line.split_once(": ").unwrap_or((line, ""));
            let mark = name.starts_with('*').then(|| Mark {
                reason: "private".to_owned(),
                of_boot: false,
                pattern: None,
            });
            let (name, is_meta) = match name.trim_start_matches('*').strip_prefix("(meta)") {
                Some(name) => (name, true),
                None => (name.trim_start_matches('*'), false),
            };
            let (depends, provides) = depends.split_once(" gives ").unwrap_or((depends, ""));
            let relate = |relation, on: &str| Dependency {
                relation,
                on: on.to_owned(),
            };
            let path = if is_meta {
                "usr/share/doc/"
            } else {
                "usr/bin/"
            };
            packages.push(Package {
                name: name.to_owned(),
                version: "1".to_owned(),
                paths: vec![format!("{path}{name}").into_bytes()],
                dependencies: vec![
                    relate(Relation::Requires, depends),
                    relate(Relation::Provides, provides),
                ],
                ..Package::default()
            });
            marks.push(mark);
        }
        let database = PackageDatabase {
            family: Family::Dpkg,
            packages,
            damaged: 0,
        };
        (database, marks)
    }

    fn judge(lines: &[&str]) -> Vec<String> {
        let (database, marks) = database(lines);
        let verdicts = verdicts(&database, &marks).unwrap();
        let mut found: Vec<_> = verdicts
            .iter()
            .map(|(index, verdict)| {
                let name = &database.packages[*index].name;
                format!("{name} {:?}: {}", verdict.fate, verdict.reason)
            })
            .collect();
        found.sort();
        found
    }

    #[test]
    fn nobody_needs_it() {
        assert_eq!(
            judge(&["*grub: *grub-common", "*grub-common", "cron"]),
            ["grub Hidden: private", "grub-common Hidden: private"]
        );
    }

    #[test]
    fn needs_are_followed_to_the_end() {
        assert_eq!(
            judge(&[
                "*dmeventd",
                "libguestfs0: lvm2 (>= 1)",
                "*lvm2: dmeventd",
                "*mdadm"
            ]),
            [
                "dmeventd Kept: needed by lvm2",
                "lvm2 Kept: needed by libguestfs0",
                "mdadm Hidden: private"
            ]
        );
    }

    #[test]
    fn another_that_gives_the_same_is_enough() {
        assert_eq!(
            judge(&["live: initramfs-tools | tiny", "*initramfs-tools", "tiny"]),
            ["initramfs-tools Hidden: private"]
        );
        assert_eq!(
            judge(&[
                "live: maker",
                "*initramfs-tools:  gives maker",
                "tiny:  gives maker"
            ]),
            ["initramfs-tools Hidden: private"]
        );
        assert_eq!(
            judge(&["live: maker", "*initramfs-tools:  gives maker"]),
            ["initramfs-tools Kept: needed by live"]
        );
    }

    #[test]
    fn the_first_of_several_private_alternatives_stays() {
        assert_eq!(
            judge(&["live: tiny | dracut", "*dracut", "*tiny"]),
            ["dracut Hidden: private", "tiny Kept: needed by live"]
        );
    }

    #[test]
    fn a_metapackage_gets_a_ghost_unless_somebody_else_needs_it() {
        assert_eq!(
            judge(&[
                "(meta)server: mdadm, lvm2",
                "*lvm2",
                "*mdadm",
                "guests: lvm2"
            ]),
            [
                "lvm2 Kept: needed by guests",
                "mdadm Ghost: private; the metapackage server asks for it"
            ]
        );
    }

    #[test]
    fn what_was_removed_already_needs_nothing() {
        let (mut database, marks) = database(&["guests: lvm2", "*lvm2"]);
        database.packages[0].status = Status::Removed;
        assert_eq!(
            verdicts(&database, &marks).unwrap()[&1].fate,
            FilesetFate::Hidden
        );
    }
}
