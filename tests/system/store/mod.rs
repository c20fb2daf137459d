//! The store holds what the system itself wrote, and nothing else.

mod listing;
mod rule;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use wpar_mountd::types::{FileKind, Ino, Timestamp};
use wpar_mountd::upper::record::Record;

use self::listing::{Entry, Held, entries, list};
use self::rule::{Viewed, missing, unexplained};
use crate::common::fixtures::{fixture, unpack};
use crate::common::manifest::{self, Manifest, Times};
use crate::common::skip::need;
use crate::common::world::World;

#[test]
fn after_boot_the_store_holds_only_what_the_system_wrote() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-systemd"));
    let copy = world.scratch().join("copy");
    fs::create_dir(&copy).expect("a directory to unpack into");
    unpack(&image, &copy);
    let original = Manifest::of(&copy, Times::Seconds, |_| false);
    let store = world.root().join("var/lib/wpar/stores/wpar1");

    world.mkwpar(&image, "wpar1");
    world.ok("startwpar wpar1");
    assert_eq!(world.wait_for_systemd("wpar1"), "running");
    let changes = original.changes(&Manifest::of(&world.base("wpar1"), Times::Seconds, |_| {
        false
    }));
    let held = entries(&store, &original);

    let view = Viewed::read(&world.root().join("var/lib/wpar/views/wpar1.json"));
    let strange = unexplained(&held, &original, &view);
    assert!(
        strange.is_empty(),
        "nobody is known to write:\n{}\nthe whole store:\n{}",
        list(&strange),
        list(&held)
    );
    assert_eq!(
        missing(&held),
        [""; 0],
        "written by every boot\n{}",
        list(&held)
    );
    // What the merged tree shows is the oracle of the listing: all that differs is in the store.
    let known: BTreeSet<&Path> = held.iter().map(|entry| entry.path.as_path()).collect();
    let unlisted: Vec<_> = changes
        .into_iter()
        .filter(|change| {
            let path = change.path();
            path != Path::new(".") && !known.contains(path) && !view.hides(path)
        })
        .collect();
    assert!(
        unlisted.is_empty(),
        "seen in the WPAR but not in its store:\n{}",
        manifest::list(&unlisted)
    );
    assert_eq!(names_in(&store.join("links")), [""; 0]);
    assert_eq!(names_in(&store.join("work")), [""; 0]);

    // The same look at the same store does see a stranger's work, each kind of it.
    world.inside(
        "wpar1",
        "set -e; chmod g+w /usr/bin/env /usr/bin/perl; rm /etc/motd; mv /usr/share/perl /usr/share/lrep
         cp /etc/passwd /etc/new; mv /etc/new /etc/passwd; chmod 700 /var/lib; echo >/etc/added",
    );
    let strange: Vec<_> = unexplained(&entries(&store, &original), &original, &view)
        .into_iter()
        .map(|entry| (entry.held, entry.path))
        .collect();
    let expected = [
        (Held::New, "etc/added"),
        (Held::Whiteout, "etc/motd"),
        (Held::Replaced, "etc/passwd"),
        (Held::CopiedUp, "usr"),
        (Held::CopiedUp, "usr/bin"),
        (Held::CopiedUp, "usr/bin/env"),
        (Held::CopiedUp, "usr/share"),
        (Held::Moved, "usr/share/lrep"),
        (Held::Whiteout, "usr/share/perl"),
        (Held::CopiedUp, "var/lib"),
    ]
    .map(|(held, path)| (held, PathBuf::from(path)));
    assert_eq!(strange, expected);
    // Perl has two names in the image: its inode is copied up without either.
    assert_eq!(names_in(&store.join("links")).len(), 1);

    world.ok("stopwpar wpar1");
    for part in ["orphans", "work"] {
        assert_eq!(
            names_in(&store.join(part)),
            [""; 0],
            "{part} of a stopped WPAR"
        );
    }
    world.remove_all();
}

#[track_caller]
fn names_in(dir: &Path) -> Vec<String> {
    let listing = fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    listing
        .map(|entry| {
            entry
                .expect("a name")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

#[test]
fn the_rule_of_what_boot_writes_is_no_rubber_stamp() {
    let temp = tempfile::tempdir().expect("a directory");
    let image = temp.path();
    for dir in ["etc", "var/log/journal", "var/lib/dpkg", "usr/bin", "tmp"] {
        fs::create_dir_all(image.join(dir)).expect("mkdir");
    }
    for file in [
        "etc/hostname",
        "var/log/wtmp",
        "var/lib/dpkg/status",
        "usr/bin/perl",
    ] {
        fs::write(image.join(file), "").expect("a file");
    }
    let image = Manifest::of(image, Times::Seconds, |_| false);
    let wtmp = || entry(&image, "var/log/wtmp", Held::CopiedUp);
    let moved_mode = |path: &str| {
        let mut entry = entry(&image, path, Held::CopiedUp);
        if let Some(record) = &mut entry.record {
            record.permissions ^= 0o020;
        }
        entry
    };
    let with_owner = |path: &str| {
        let mut entry = entry(&image, path, Held::CopiedUp);
        if let Some(record) = &mut entry.record {
            record.uid += 1;
        }
        entry
    };
    let plain = |path: &str, held| entry(&image, path, held);
    for (case, allowed) in [
        (plain("etc/hostname", Held::CopiedUp), true),
        (plain("etc/hostname", Held::Whiteout), false),
        (plain("etc/hostname~", Held::New), false),
        (plain("etc", Held::CopiedUp), false),
        (plain("usr/bin/perl", Held::CopiedUp), false),
        (plain("usr/bin/perl", Held::Whiteout), false),
        (plain("var/lib/dpkg/status", Held::Replaced), false),
        (
            plain("var/lib/systemd/timers/stamp-x.timer", Held::New),
            true,
        ),
        (
            plain("var/lib/systemd/timers/stamp-x.service", Held::New),
            false,
        ),
        (plain("var/log", Held::CopiedUp), true),
        (plain("var/log", Held::Moved), false),
        (plain("var/log", Held::Replaced), false),
        (moved_mode("var/log"), false),
        (with_owner("var"), false),
        // Its mode is what systemd changes.
        (moved_mode("var/log/journal"), true),
        (plain("tmp/.X11-unix", Held::New), true),
        (plain("tmp/file", Held::New), false),
        (
            plain("tmp/systemd-private-1-a.service-2/tmp/file", Held::New),
            false,
        ),
    ] {
        // The way to wtmp is explained; that there is anything else on it is not.
        let strange = unexplained(&[wtmp(), case.clone()], &image, &Viewed::default());
        assert_eq!(strange.is_empty(), allowed, "{case}");
    }
}

/// An entry like `path` of the image, or like a file if there is none.
fn entry(image: &Manifest, path: &str, held: Held) -> Entry {
    let original = image.0.get(Path::new(path));
    let mode = original.map_or(0o100_644, |original| original.mode);
    let record = Record {
        kind: FileKind::from_mode(mode).expect("a type"),
        permissions: u16::try_from(mode & 0o7777).expect("16 bits"),
        uid: original.map_or(0, |original| original.uid),
        gid: original.map_or(0, |original| original.gid),
        rdev: 0,
        ino: Ino(2),
        nlink: 0,
        opaque: false,
        linked: false,
        partial: false,
        unnamed: false,
        pristine: false,
        birth: Timestamp {
            seconds: 0,
            nanoseconds: 0,
        },
    };
    Entry {
        path: path.into(),
        held,
        record: (held != Held::Whiteout).then_some(record),
    }
}
