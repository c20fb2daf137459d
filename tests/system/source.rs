//! The source is read and never written; the store holds what the system itself wrote.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::common::fixtures::{fixture, sha256, unpack};
use crate::common::manifest::{Change, Manifest, Times, list};
use crate::common::skip::need;
use crate::common::world::World;

/// Paths that a Debian system writes while it boots, idles and halts, each with who does it.
/// A pattern that ends in `/` covers everything below it.
const WRITTEN_BY_BOOT: &[(&str, &str)] = &[
    ("etc/hostname", "mkwpar: the WPAR's identity"),
    ("etc/hosts", "mkwpar: the WPAR's identity"),
    ("etc/machine-id", "mkwpar, systemd: the WPAR's identity"),
    ("etc/resolv.conf", "mkwpar: the WPAR's network"),
    ("etc/mtab", "startwpar"),
    ("etc/.pwd.lock", "systemd-sysusers"),
    ("etc/.updated", "systemd-update-done"),
    ("var/.updated", "systemd-update-done"),
    (
        "etc/ld.so.cache",
        "ldconfig.service: /usr is newer than /etc/.updated",
    ),
    ("etc/udev/hwdb.bin", "systemd-hwdb-update: the same"),
    ("usr/lib/udev/hwdb.bin", "systemd-hwdb-update: the same"),
    ("var/cache/ldconfig/", "ldconfig.service"),
    ("var/cache/private/", "systemd-tmpfiles"),
    ("var/lib/private/", "systemd-tmpfiles"),
    (
        "var/lib/systemd/",
        "systemd: random seed, catalog, timers, linger",
    ),
    ("var/lib/dbus/machine-id", "systemd-tmpfiles"),
    ("var/lib/sudo/", "systemd-tmpfiles"),
    ("var/log/journal/", "systemd-journald"),
    ("var/log/private/", "systemd-tmpfiles"),
    ("var/log/README", "systemd-tmpfiles"),
    ("var/log/wtmp", "systemd-update-utmp, login"),
    ("var/log/btmp", "systemd-tmpfiles, login"),
    ("var/log/lastlog", "login"),
    (
        "var/tmp/",
        "systemd-tmpfiles: private directories of services",
    ),
    ("var/lib/apt/daily_lock", "apt-daily.timer"),
    ("var/lib/apt/periodic/", "apt-daily.timer"),
    ("var/lib/dpkg/lock", "apt-daily.timer"),
    ("var/lib/dpkg/lock-frontend", "apt-daily.timer"),
    ("var/backups/", "dpkg-db-backup.timer"),
    ("root/.ssh/", "systemd-tmpfiles: credentials"),
    // Directories over which a file system of the WPAR is mounted.
    ("dev/", "startwpar: mount points"),
    ("proc/", "startwpar: mount points"),
    ("sys/", "startwpar: mount points"),
    ("run/", "startwpar: mount points"),
    ("tmp/", "startwpar, systemd-tmpfiles"),
];

/// Whether the system itself is known to write `path`.
fn written_by_boot(path: &Path) -> bool {
    let path = path.to_string_lossy();
    WRITTEN_BY_BOOT.iter().any(|(pattern, _)| {
        path == pattern.trim_end_matches('/')
            || (pattern.ends_with('/') && path.starts_with(pattern))
    })
}

/// Changes that nothing in [`WRITTEN_BY_BOOT`] explains. A directory whose times changed because
/// an explained name came or went in it is explained by that.
fn unexplained(changes: &[Change]) -> Vec<Change> {
    let parents: BTreeSet<&Path> = changes
        .iter()
        .filter(|change| written_by_boot(change.path()))
        .filter_map(|change| change.path().parent())
        .map(|parent| {
            if parent == Path::new("") {
                Path::new(".")
            } else {
                parent
            }
        })
        .collect();
    let by_a_child = |change: &Change| match change {
        Change::Changed(path, old, new) => {
            parents.contains(path.as_path())
                && (old.mode, old.uid, old.gid) == (new.mode, new.uid, new.gid)
        }
        _ => false,
    };
    changes
        .iter()
        .filter(|change| !written_by_boot(change.path()) && !by_a_child(change))
        .cloned()
        .collect()
}

/// Space in use below `dir`, in bytes.
fn usage(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut total = 0;
    let mut todo = vec![dir.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            total += meta.blocks() * 512;
            if meta.is_dir() {
                todo.push(entry.path());
            }
        }
    }
    total
}

/// The view of a WPAR from the host, without what the running system keeps in memory.
fn view(base: &Path) -> Manifest {
    Manifest::of(base, Times::Seconds, |_| false)
}

#[test]
fn a_new_wpar_is_the_image_name_by_name() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-systemd"));
    let copy = world.scratch().join("copy");
    fs::create_dir(&copy).expect("a directory to unpack into");
    unpack(&image, &copy);
    // No init runs in a throw-away one: what it sees is what the image has.
    let listing = "cd / && find . -xdev -path ./dev -prune -o -path ./proc -prune -o -path ./sys \
                   -prune -o -path ./run -prune -o -path ./tmp -prune -o \
                   -printf '%P %y %#m %U %G %n %l ' \\( -type f -printf '%s %T@' , -true \\) -printf '\\n' | sort";
    let inside = world
        .wpar(["wparexec", "-t", "-B"])
        .arg(&image)
        .args(["--", "/bin/sh", "-c", listing])
        .ok();
    let outside = crate::common::Run::new(
        "sh",
        ["-c", &listing.replacen("cd /", "cd \"$1\"", 1), "sh"],
    )
    .arg(&copy)
    .ok();
    let split = |output: &crate::common::Output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines()
            .filter(|line| {
                let path = line.split(' ').next().unwrap_or_default();
                // the root directory has no stable times; the identity is the WPAR's own
                !path.is_empty() && path != "etc" && !written_by_boot(Path::new(path))
            })
            // the link count of a directory is its file system's affair
            .map(|line| line.to_owned())
            .collect::<BTreeSet<String>>()
    };
    let (inside, outside) = (split(&inside), split(&outside));
    assert!(
        outside.len() > 8_000,
        "the oracle saw only {} names",
        outside.len()
    );
    let without_directory_links = |lines: &BTreeSet<String>| -> BTreeSet<String> {
        lines
            .iter()
            .map(|line| {
                let fields: Vec<&str> = line.split(' ').collect();
                match fields[..] {
                    [path, "d", mode, uid, gid, _links, ..] => {
                        format!("{path} d {mode} {uid} {gid}")
                    }
                    _ => line.clone(),
                }
            })
            .collect()
    };
    let (inside, outside) = (
        without_directory_links(&inside),
        without_directory_links(&outside),
    );
    let missing: Vec<_> = outside.difference(&inside).collect();
    let strange: Vec<_> = inside.difference(&outside).collect();
    assert!(
        missing.is_empty() && strange.is_empty(),
        "not shown as in the image: {missing:#?}\nshown instead: {strange:#?}"
    );
    world.assert_empty();
}

#[test]
fn the_contents_of_every_file_are_those_of_the_image() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-minbase"));
    let copy = world.scratch().join("copy");
    fs::create_dir(&copy).expect("a directory to unpack into");
    unpack(&image, &copy);
    let sums = "cd / && find bin sbin etc home lib opt root srv usr var -xdev -type f ! -path etc/hostname \
                ! -path etc/hosts ! -path etc/machine-id ! -path etc/resolv.conf -print0 | \
                sort -z | xargs -0 sha256sum";
    let inside = world
        .wpar(["wparexec", "-t", "-B"])
        .arg(&image)
        .args(["--", "sh", "-c", sums])
        .ok();
    let outside =
        crate::common::Run::new("sh", ["-c", &sums.replacen("cd /", "cd \"$1\"", 1), "sh"])
            .arg(&copy)
            .ok();
    assert!(
        outside.text().lines().count() > 5_000,
        "the oracle saw too little"
    );
    let (inside, outside) = (inside.text().lines(), outside.text().lines());
    let outside: BTreeSet<_> = outside.collect();
    let inside: BTreeSet<_> = inside.collect();
    let wrong: Vec<_> = inside.symmetric_difference(&outside).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_image_is_never_written() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-systemd"));
    let before = (sha256(&image), stat(&image));
    world.mkwpar(&image, "wpar1");
    world.ok("startwpar wpar1");
    world.wait_for_systemd("wpar1");
    world.inside(
        "wpar1",
        "echo x >>/etc/passwd; rm -r /usr/share/doc; chmod 700 /usr/bin/perl; mv /opt /tpo",
    );
    world.ok("stopwpar wpar1");
    world.ok("rmwpar wpar1");
    assert_eq!(
        (sha256(&image), stat(&image)),
        before,
        "contents, size, mode, mtime, ctime"
    );
    world.assert_empty();
}

fn stat(file: &Path) -> (u64, u32, i64, i64, i64, i64) {
    use std::os::unix::fs::MetadataExt;
    let meta = fs::metadata(file).expect("the image");
    (
        meta.size(),
        meta.mode(),
        meta.mtime(),
        meta.mtime_nsec(),
        meta.ctime(),
        meta.ctime_nsec(),
    )
}

#[test]
fn after_boot_the_store_holds_only_what_the_system_wrote() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-systemd"));
    let copy = world.scratch().join("copy");
    fs::create_dir(&copy).expect("a directory to unpack into");
    unpack(&image, &copy);
    let original = view(&copy);

    world.mkwpar(&image, "wpar1");
    world.ok("startwpar wpar1");
    assert_eq!(world.wait_for_systemd("wpar1"), "running");
    let changes = original.changes(&view(&world.base("wpar1")));
    let strange = unexplained(&changes);
    assert!(
        strange.is_empty(),
        "changed by something unknown:\n{}\nall changes:\n{}",
        list(&strange),
        list(&changes)
    );
    assert!(
        changes
            .iter()
            .any(|change| change.path().starts_with("var/log/journal")
                || change.path() == Path::new("var/log/wtmp")),
        "a system that boots writes something; this test saw nothing:\n{}",
        list(&changes)
    );
    // A file may be copied up without any change that the view shows; its space shows it.
    let store = usage(&world.root().join("var/lib/wpar/stores/wpar1"));
    assert!(store > 0, "where is the store?");
    assert!(
        store < 48 << 20,
        "the store of a freshly booted system uses {store} bytes"
    );
    world.remove_all();
}

#[test]
fn the_rule_of_what_boot_writes_is_no_rubber_stamp() {
    assert!(written_by_boot(Path::new("var/lib/systemd/random-seed")));
    assert!(written_by_boot(Path::new("etc/machine-id")));
    assert!(!written_by_boot(Path::new("etc/machine-identity")));
    assert!(!written_by_boot(Path::new("usr/bin/perl")));
    assert!(!written_by_boot(Path::new("var/log/dpkg.log")));
    assert!(!written_by_boot(Path::new("etc")));
}
