//! What follows from changes of a base, for files that the WPAR has or has not changed.

use super::*;
use crate::policy::system_copy::fake_tree::FakeTree;

fn sum(text: &str) -> String {
    Digest::sha256(text.as_bytes()).to_string()
}

fn package(name: &str, version: &str, config: &[(&str, &str)]) -> SyncedPackage {
    SyncedPackage {
        name: name.to_owned(),
        architecture: "all".to_owned(),
        version: version.to_owned(),
        config: config
            .iter()
            .map(|(path, text)| ((*path).to_owned(), sum(text)))
            .collect(),
    }
}

fn synced(packages: Vec<SyncedPackage>, made: &[&str]) -> Synced {
    Synced {
        packages,
        made: made.iter().map(|path| (*path).to_owned()).collect(),
    }
}

/// A root part with these files of packages.
fn part(now: Synced, items: &[(&str, &str)]) -> RootPart {
    let item = |(path, owner): &(&str, &str)| {
        let what = match path.strip_suffix('/') {
            Some(_) => RootWhat::Directory,
            None => RootWhat::Same,
        };
        let item = RootItem {
            what,
            package: Some(format!("{owner}:all")),
        };
        (path.trim_end_matches('/').to_owned(), item)
    };
    RootPart {
        items: items.iter().map(item).collect(),
        notes: Vec::new(),
        synced: now,
    }
}

fn ask(
    before: &Synced,
    now: &RootPart,
    base: &[(&str, &str)],
    own: &[(&str, &str)],
    wish: Wish,
) -> Plan {
    plan(&Question {
        family: Family::Dpkg,
        before,
        now,
        base: &FakeTree::new(base),
        own: &FakeTree::new(own),
        wish,
    })
    .unwrap()
}

fn written(plan: &Plan) -> Vec<(&str, &RootWhat)> {
    let items = plan.items.iter();
    items
        .map(|(path, item)| (path.as_str(), &item.what))
        .collect()
}

const FORCE: Wish = Wish {
    add_only: false,
    force: true,
};

#[test]
fn configuration_files_follow_the_rule_of_the_distribution() {
    // What the WPAR has, whether the package's file is new, and what becomes of it.
    let path = "etc/x.conf";
    let beside = RootWhat::Other(path.to_owned());
    for (own, old, new, expected, forced) in [
        (
            Some("one"),
            Some("one"),
            "two",
            Some((path, &RootWhat::Same)),
            true,
        ),
        (
            Some("mine"),
            Some("one"),
            "two",
            Some(("etc/x.conf.dpkg-dist", &beside)),
            true,
        ),
        (Some("mine"), Some("one"), "one", None, true),
        (Some("two"), Some("one"), "two", None, false),
        (Some("one"), Some("one"), "one", None, false),
        (None, Some("one"), "two", None, true),
        (None, None, "two", Some((path, &RootWhat::Same)), true),
        (
            Some("mine"),
            None,
            "two",
            Some(("etc/x.conf.dpkg-dist", &beside)),
            true,
        ),
        (
            Some("->/dev/null"),
            Some("one"),
            "two",
            Some(("etc/x.conf.dpkg-dist", &beside)),
            true,
        ),
    ] {
        let config: Vec<_> = old.iter().map(|text| (path, *text)).collect();
        let before = synced(vec![package("x", "1", &config)], &[]);
        let now = part(
            synced(vec![package("x", "2", &[(path, new)])], &[]),
            &[("etc/", "x"), (path, "x")],
        );
        let base = [(path, new)];
        let mut files = vec![("etc/other", "")];
        files.extend(own.map(|text| (path, text)));
        let plan = ask(&before, &now, &base, &files, Wish::default());
        let expected: Vec<_> = expected.into_iter().collect();
        assert_eq!(written(&plan), expected, "{own:?} {old:?} {new}");
        let plan = ask(&before, &now, &base, &files, FORCE);
        let all = match forced {
            true => vec![(path, &RootWhat::Same)],
            false => vec![],
        };
        assert_eq!(written(&plan), all, "forced: {own:?} {old:?} {new}");
    }
}

#[test]
fn packages_come_change_and_go() {
    let before = synced(
        vec![
            package("changed", "2", &[]),
            package("gone", "1", &[]),
            package("same", "1", &[]),
        ],
        &[],
    );
    let now = part(
        synced(
            vec![
                package("changed", "1", &[]),
                package("new", "1", &[]),
                package("same", "1", &[]),
            ],
            &[],
        ),
        &[
            ("var/lib/new/", "new"),
            ("var/lib/new/data", "new"),
            ("etc/same", "same"),
        ],
    );
    let base = [("var/lib/new/data", "x"), ("etc/same", "x")];
    let plan = ask(&before, &now, &base, &[("var/lib/", "")], Wish::default());
    let changes: Vec<_> = plan
        .packages
        .iter()
        .map(|(key, change)| (key.as_str(), change.clone()))
        .collect();
    assert_eq!(
        changes,
        [
            ("changed:all", Change::Changed("2".into(), "1".into())),
            ("gone:all", Change::Gone("1".into())),
            ("new:all", Change::New("1".into())),
        ]
    );
    assert_eq!(
        written(&plan),
        [
            ("var/lib/new", &RootWhat::Directory),
            ("var/lib/new/data", &RootWhat::Same)
        ]
    );
    assert_eq!(plan.synced, now.synced);
}

#[test]
fn only_adding_leaves_what_is_older_or_gone_on_record() {
    let before = synced(
        vec![
            package("down", "2", &[]),
            package("gone", "1", &[]),
            package("up", "1", &[]),
        ],
        &[],
    );
    let now = part(
        synced(
            vec![package("down", "1", &[]), package("up", "2", &[])],
            &[],
        ),
        &[],
    );
    let wish = Wish {
        add_only: true,
        force: false,
    };
    let plan = ask(&before, &now, &[], &[], wish);
    assert_eq!(plan.packages.keys().collect::<Vec<_>>(), ["up:all"]);
    assert_eq!(
        plan.skipped.iter().collect::<Vec<_>>(),
        ["down:all", "gone:all"]
    );
    let versions: Vec<_> = plan
        .synced
        .packages
        .iter()
        .map(|one| (one.key(), one.version.clone()))
        .collect();
    let expected = [("down:all", "2"), ("gone:all", "1"), ("up:all", "2")];
    assert_eq!(
        versions,
        expected.map(|(key, version)| (key.to_owned(), version.to_owned()))
    );
}

#[test]
fn links_of_scripts_come_and_go_and_what_was_removed_stays_away() {
    let before = synced(
        vec![],
        &[
            "etc/alternatives/gone",
            "etc/alternatives/mine",
            "etc/alternatives/off",
        ],
    );
    let made = [
        "etc/alternatives/new",
        "etc/alternatives/off",
        "etc/ld.so.cache",
    ];
    let now = part(synced(vec![], &made), &[]);
    let base = [
        ("etc/alternatives/new", "->/usr/bin/new"),
        ("etc/alternatives/off", "->/usr/bin/off"),
        ("etc/ld.so.cache", "new"),
        ("usr/bin/new", ""),
    ];
    let own = [
        ("etc/alternatives/gone", "->/usr/bin/gone"),
        ("etc/alternatives/mine", "->/etc/mine"),
        ("etc/mine", ""),
        ("etc/ld.so.cache", "old"),
        ("usr/bin/new", ""),
    ];
    let plan = ask(&before, &now, &base, &own, Wish::default());
    assert_eq!(
        written(&plan),
        [
            ("etc/alternatives/new", &RootWhat::Same),
            ("etc/ld.so.cache", &RootWhat::Same)
        ]
    );
    assert_eq!(plan.removed, ["etc/alternatives/gone"]);
    let wish = Wish {
        add_only: true,
        force: false,
    };
    let plan = ask(&before, &now, &base, &own, wish);
    assert!(plan.removed.is_empty());
    assert!(
        plan.synced
            .made
            .contains(&"etc/alternatives/gone".to_owned())
    );
}

#[test]
fn without_changes_nothing_is_done() {
    let known = synced(vec![package("x", "1", &[("etc/x", "one")])], &["etc/link"]);
    let now = part(known.clone(), &[("etc/x", "x")]);
    let base = [("etc/x", "one"), ("etc/link", "->x")];
    let plan = ask(
        &known,
        &now,
        &base,
        &[("etc/x", "mine"), ("etc/other", "")],
        Wish::default(),
    );
    assert!(plan.is_empty() && plan.notes.is_empty());
    assert_eq!(plan.synced, known);
}
