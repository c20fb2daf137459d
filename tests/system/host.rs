//! A copy of the running host.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::common::manifest::{Manifest, Times};
use crate::common::skip::need;
use crate::common::world::World;
use crate::common::{Run, fixtures};

/// A tree of the host's root file system with one of each kind of file in it.
fn sample(world: &World) -> std::path::PathBuf {
    let dir = world.scratch().join("sample");
    let script = r#"
        set -e
        mkdir -p "$1/deep/er" && cd "$1"
        echo original >file
        echo to be removed >victim
        ln file hard-link
        ln -s file soft-link
        ln -s nowhere dangling
        mkfifo pipe
        mknod null c 1 3
        printf 'x' | dd of=sparse bs=1 seek=10000000 2>/dev/null
        echo run >setuid && chmod 4755 setuid
        echo theirs >deep/theirs && chown 1000:1000 deep/theirs && chmod 600 deep/theirs
        echo old >old && touch -d '1999-12-31 23:59:59.123456789' old
    "#;
    Run::new("sh", ["-c", script, "sh"]).arg(&dir).ok();
    dir
}

#[test]
fn the_running_host_becomes_a_wpar() {
    let world = need!(World::in_view_of_the_host());
    fs::write(world.scratch().join("seen"), "").expect("a file");
    world.ok("mkwpar -t -s -n clone1");
    let table = world.table();
    assert_eq!(table.len(), 1, "{table:?}");
    assert_eq!(table[0][..4], ["clone1", "A", "S", "clone1"]);

    let passwd = world.wpar(["clogin", "clone1", "cat", "/etc/passwd"]).ok();
    assert_eq!(
        passwd.stdout,
        fs::read("/etc/passwd").expect("/etc/passwd"),
        "{passwd}"
    );
    assert_eq!(world.inside("clone1", "hostname"), "clone1");
    if let Ok(own) = fs::read_to_string("/etc/machine-id") {
        assert_ne!(
            world.inside("clone1", "cat /etc/machine-id"),
            own.trim(),
            "an identity of its own"
        );
    }

    // What has to be the WPAR's own, and what must not be seen.
    assert_eq!(world.inside("clone1", "stat -f -c %T /tmp"), "tmpfs");
    assert_eq!(world.inside("clone1", "stat -f -c %T /run"), "tmpfs");
    assert_eq!(world.inside("clone1", "stat -f -c %T /proc"), "proc");
    assert_eq!(
        world.inside("clone1", "ls -A /wpars 2>/dev/null || true"),
        ""
    );
    let store = world.root();
    let beside = world.inside("clone1", &format!("ls {}", world.scratch().display()));
    assert_eq!(
        beside, "seen",
        "the test would see nothing of the root either way"
    );
    // The root is a directory like any other; what the tool keeps in it is not.
    let look = format!(
        "cd {} && find . ! -type d -o -name 'clone1*'",
        store.display()
    );
    assert_eq!(
        world.inside("clone1", &look),
        "",
        "the tool's own store is in the view"
    );
    let links = world.inside("clone1", "ls /sys/class/net");
    assert_eq!(links, "lo", "the network is loopback only");

    world.ok("stopwpar clone1");
    world.ok("startwpar clone1");
    assert_eq!(world.inside("clone1", "hostname"), "clone1");
    world.ok("stopwpar clone1");
    world.ok("rmwpar clone1");
    world.assert_gone("clone1");
    world.assert_empty();
}

#[test]
fn nothing_that_a_copy_does_reaches_the_host() {
    let world = need!(World::in_view_of_the_host());
    let dir = sample(&world);
    let before = Manifest::of(&dir, Times::All, |_| false);
    let system = host_manifest();

    world.ok("mkwpar -t -s -n clone1");
    let path = dir.display();
    world.inside(
        "clone1",
        &format!(
            "set -e; cd {path}
         echo changed >>file; test \"$(cat hard-link)\" = \"$(cat file)\"
         rm victim; mv deep deeper; chmod 700 setuid; chown 7:7 old; touch -h soft-link
         echo data >sparse; ln file another; mkdir new; rm null pipe; echo x >null
         test -e deeper/theirs && test ! -e deep"
        ),
    );
    world.inside(
        "clone1",
        "echo changed >>/etc/profile; rm -f /etc/motd; useradd -m wpar-test-user",
    );
    world.ok("stopwpar clone1");
    world.ok("rmwpar clone1");

    before.assert_unchanged(
        &Manifest::of(&dir, Times::All, |_| false),
        "the host's tree",
    );
    assert_eq!(
        fs::read_to_string(dir.join("file")).expect("file"),
        "original\n"
    );
    assert_eq!(fs::metadata(dir.join("file")).expect("file").nlink(), 2);
    system.assert_unchanged(&host_manifest(), "the host's system");
    world.assert_empty();
}

/// The parts of the host that no test and nobody else ought to change meanwhile.
fn host_manifest() -> Manifest {
    let mut all = Manifest::default();
    for dir in [
        "/etc",
        "/usr/bin",
        "/usr/sbin",
        "/usr/lib/systemd",
        "/home",
        "/var/lib/dpkg",
    ] {
        if Path::new(dir).is_dir() {
            let one = Manifest::of(Path::new(dir), Times::All, |_| false);
            let named = one
                .0
                .into_iter()
                .map(|(name, record)| (Path::new(dir).join(name), record));
            all.0.extend(named);
        }
    }
    all
}

#[test]
fn a_throw_away_copy_of_the_host_shows_the_same_system() {
    let world = need!(World::in_view_of_the_host());
    let own = Run::new("sh", ["-c", "cat /etc/os-release; id; ls /usr/bin | wc -l"]).ok();
    let copy = world
        .wpar([
            "wparexec",
            "-t",
            "--",
            "/bin/sh",
            "-c",
            "cat /etc/os-release; id; ls /usr/bin | wc -l",
        ])
        .ok();
    let lines = |output: &crate::common::Output| {
        output.text().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let (own, copy) = (lines(&own), lines(&copy));
    // `id` may show other supplementary groups; everything else is the same.
    let without_id = |lines: &[String]| {
        lines
            .iter()
            .filter(|line| !line.starts_with("uid="))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(without_id(&copy), without_id(&own));
    world.assert_empty();
}

#[test]
fn a_big_file_of_the_host_is_read_true() {
    let world = need!(World::in_view_of_the_host());
    let file = world.scratch().join("random");
    Run::new("sh", ["-c", "head -c 33554433 /dev/urandom >\"$1\"", "sh"])
        .arg(&file)
        .ok();
    let sum = world
        .wpar(["wparexec", "-t", "--", "sha256sum"])
        .arg(&file)
        .ok();
    assert!(sum.text().starts_with(&fixtures::sha256(&file)), "{sum}");
    world.assert_empty();
}
