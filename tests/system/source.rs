//! The source is shown as it is, and read but never written.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::common::fixtures::{fixture, sha256, unpack};
use crate::common::skip::need;
use crate::common::world::World;

/// Files of an image that `mkwpar` replaces, and what the start mounts over.
const OWN: &[&str] = &[
    "etc/hostname",
    "etc/hosts",
    "etc/machine-id",
    "var/lib/dbus/machine-id",
    "dev",
    "proc",
    "run",
    "sys",
    "tmp",
];

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
                !path.is_empty() && path != "etc" && path != "var/lib/dbus" && !OWN.contains(&path)
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
