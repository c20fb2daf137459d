//! `wpar diff` on real systems.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::common::fixtures::{fixture, unpack};
use crate::common::manifest::{Manifest, Record, Times};
use crate::common::skip::need;
use crate::common::world::World;

/// What a day with a package manager and an administrator does to a system.
const CHANGES: &str = r#"
    set -e
    dpkg -i /root/new.deb >/dev/null
    dpkg --force-all -P tzdata >/dev/null 2>&1
    useradd -m -s /bin/sh carol
    chmod u+s /usr/bin/env
    echo '# local' >>/etc/adduser.conf
    ln -s /dev/null /etc/systemd/system/fstrim.timer
    ln /usr/bin/env /usr/bin/second-env
    mv /usr/share/doc /usr/share/documents
    printf x >"/srv/$(printf 'a\033[2J\377')"
"#;

fn diff(world: &World, args: &[&str]) -> Value {
    let output = world.wpar([&["diff", "--json"], args].concat()).output();
    assert_eq!(output.code(), 1, "{output}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Members of a list, each as the value of `key`.
fn column<'a>(found: &'a Value, key: &str) -> Vec<&'a str> {
    let list = found.as_array().expect("a list");
    list.iter().filter_map(|one| one[key].as_str()).collect()
}

/// Without what a system changes by itself while it starts, runs and stops.
fn settled(mut found: Value) -> Value {
    let is_kept = |file: &Value| {
        let path = file["path"].as_str().unwrap_or_default();
        let own = [
            "var/log",
            "var/lib/systemd",
            "var/cache",
            "tmp",
            "run",
            "var/tmp",
            "root",
        ];
        !own.iter()
            .any(|own| path == *own || path.starts_with(&format!("{own}/")))
    };
    let files = found["files"].as_array_mut().expect("files");
    files.retain(is_kept);
    for side in ["a", "b"] {
        found[side]["runs"] = Value::Null;
    }
    found
}

#[test]
fn what_was_done_in_a_wpar_is_told_while_it_runs_and_after() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-systemd"));
    let package = need!(fixture("hello-wpar"));
    world.mkwpar(&image, "w1");
    world.ok("startwpar w1");
    let into = world.base("w1").join("root/new.deb");
    fs::copy(&package, into).expect("a package inside");
    world.inside("w1", CHANGES);
    let image = image.display().to_string();

    let running = diff(&world, &[&image, "w1"]);
    assert_eq!(running["b"]["runs"], true);
    expect_changes(&running);
    world.ok("stopwpar w1");
    let stopped = diff(&world, &[&image, "w1"]);
    assert_eq!(stopped["b"]["runs"], false);
    assert_eq!(
        settled(running),
        settled(stopped),
        "both ways to read a WPAR say the same"
    );

    // Nothing was left or taken by it.
    world.ok("startwpar w1");
    assert_eq!(world.inside("w1", "hostname"), "w1");
    world.ok("stopwpar w1");
    world.ok("rmwpar w1");
    world.assert_empty();
}

#[track_caller]
fn expect_changes(found: &Value) {
    let packages = &found["packages"]["changes"];
    assert!(
        column(packages, "name").contains(&"hello-wpar"),
        "{packages}"
    );
    assert!(
        column(packages, "change").contains(&"removed"),
        "{packages}"
    );
    assert!(
        column(&found["users"], "name").contains(&"carol"),
        "{}",
        found["users"]
    );
    let privileges = &found["privileges"];
    assert!(
        column(privileges, "path").contains(&"usr/bin/env"),
        "{privileges}"
    );
    let config = found["config"].as_array().expect("config");
    let adduser = config
        .iter()
        .find(|file| file["path"] == "etc/adduser.conf");
    let adduser = adduser.expect("etc/adduser.conf");
    assert_eq!(
        (&adduser["before"], &adduser["after"]),
        (&"packaged".into(), &"edited".into())
    );
    let services = column(&found["services"], "name");
    assert!(services.contains(&"fstrim.timer"), "{services:?}");
    let files = found["files"].as_array().expect("files");
    let file = |path: &str| {
        let found = files.iter().find(|file| file["path"] == path);
        found.unwrap_or_else(|| panic!("no {path}"))
    };
    assert_eq!(file("srv/a\\u{1b}[2J\\xff")["change"], "added");
    assert_eq!(file("usr/share/doc")["change"], "removed");
    assert_eq!(file("usr/share/documents")["change"], "added");
    assert_eq!(file("usr/bin/second-env")["change"], "added");
    assert_eq!(found["problems"], Value::Array(vec![]));
    // What nobody touched is not told.
    assert!(!files.iter().any(|file| file["path"] == "usr/bin/ls"));
}

/// Paths that differ between two directories, by reading both: contents, kinds, modes, owners, targets.
fn differences(a: &Path, b: &Path) -> BTreeSet<String> {
    let [a_all, b_all] = [a, b].map(|root| Manifest::of(root, Times::Seconds, |_| false));
    let name = |path: &Path| match path.to_str() {
        Some(".") => String::new(),
        Some(path) => path.to_owned(),
        None => panic!("{} in a fixture", path.display()),
    };
    let is_same = |path: &Path, before: &Record| {
        let Some(after) = b_all.0.get(path) else {
            return false;
        };
        let mut before = before.clone();
        before.mtime = after.mtime;
        before == *after
            && (before.mode & 0o170_000 != 0o100_000
                || fs::read(a.join(path)).unwrap() == fs::read(b.join(path)).unwrap())
    };
    let gone = a_all
        .0
        .iter()
        .filter(|(path, record)| !is_same(path, record));
    let new = b_all.0.keys().filter(|path| !a_all.0.contains_key(*path));
    gone.map(|(path, _)| path)
        .chain(new)
        .map(|path| name(path))
        .collect()
}

#[test]
fn the_files_are_those_in_which_two_extractions_differ() {
    let world = need!(World::new());
    let a = need!(fixture("debian12-minbase"));
    let b = need!(fixture("debian12-sysvinit"));
    let dirs = ["a", "b"].map(|name| world.scratch().join(name));
    for (image, dir) in [&a, &b].into_iter().zip(&dirs) {
        fs::create_dir(dir).unwrap();
        unpack(image, dir);
    }
    let expected = differences(&dirs[0], &dirs[1]);
    assert!(expected.len() > 100, "the fixtures are nearly the same");
    let ways = [
        (&a, &b, "images"),
        (&dirs[0], &b, "a directory and an image"),
        (&dirs[0], &dirs[1], "directories"),
    ];
    for (a, b, what) in ways {
        let [a, b] = [a, b].map(|path| path.display().to_string());
        let found = diff(&world, &["--only", "files", &a, &b]);
        let list = found["files"].as_array().expect("files").iter();
        // What the other comparison does not look at.
        let only = |file: &&Value, unseen: &str| {
            let aspects = file["aspects"].as_array().expect("aspects");
            !aspects.is_empty() && aspects.iter().all(|aspect| *aspect == unseen)
        };
        let seen = list.filter(|file| !only(file, "links") && !only(file, "attributes"));
        let paths = seen.map(|file| file["path"].as_str().unwrap().to_owned());
        let paths: BTreeSet<String> = paths.collect();
        let odd: Vec<_> = paths.symmetric_difference(&expected).collect();
        assert!(odd.is_empty(), "{what}: {odd:#?}");
        assert_eq!(found["problems"], Value::Array(vec![]), "{what}");
    }
}
