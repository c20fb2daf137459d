//! Images with other inits, and with none.

use crate::common::fixtures::fixture;
use crate::common::run::{Run, eventually};
use crate::common::skip::need;
use crate::common::world::{BOOT, World};

/// Start, look, write, stop, start again, remove.
fn life(world: &World, image: &std::path::Path, name: &str, is_up: &str) {
    world.mkwpar(image, name);
    world.ok(&format!("startwpar {name}"));
    assert_eq!(world.state(name).as_deref(), Some("A"));
    eventually(is_up, BOOT, || {
        world
            .wpar(["clogin", name, "/bin/sh", "-c", is_up])
            .output()
            .status
            .success()
    });
    assert_eq!(world.inside(name, "hostname"), name);
    world.inside(name, "echo kept >/root/note; sync");
    world.ok(&format!("stopwpar {name}"));
    assert_eq!(world.state(name).as_deref(), Some("D"));
    world.ok(&format!("startwpar {name}"));
    assert_eq!(world.inside(name, "cat /root/note"), "kept");
    world.ok(&format!("rmwpar -s {name}"));
    world.assert_gone(name);
    world.assert_empty();
}

#[test]
fn sysvinit_boots_and_halts() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-sysvinit"));
    life(
        &world,
        &image,
        "sysv",
        "runlevel | grep -q 'N 2' && pgrep -x cron",
    );
}

#[test]
fn openrc_boots_and_halts() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-openrc"));
    life(
        &world,
        &image,
        "openrc",
        "rc-status -r | grep -q default && pgrep -x cron",
    );
}

#[test]
fn busybox_boots_and_halts() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    life(&world, &image, "bb", "test -e /run/rcS");
}

#[test]
fn busybox_is_told_to_shut_down() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "bb");
    world.ok("startwpar bb");
    eventually("rcS has run", BOOT, || {
        world.inside("bb", "ls /run").contains("rcS")
    });
    world.ok("stopwpar bb");
    world.ok("startwpar bb");
    let log = world.inside("bb", "cat /var/log/boot");
    assert!(
        log.starts_with("rcS\nrcK\n"),
        "its shutdown action ran: {log:?}"
    );
    world.remove_all();
}

#[test]
fn an_image_without_init_runs_under_the_built_in_one() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-minbase"));
    life(&world, &image, "bare", "test -d /proc/1");
}

#[test]
fn the_built_in_init_reaps_orphans() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-minbase"));
    world.mkwpar(&image, "bare");
    world.ok("startwpar bare");
    world.inside(
        "bare",
        "for i in 1 2 3 4 5; do (sleep 0.1 & ) ; done; sleep 0.5",
    );
    let zombies = "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l";
    eventually("no zombies are left", BOOT, || {
        world.inside("bare", zombies) == "0"
    });
    world.remove_all();
}

#[test]
fn compressed_images_are_the_same_system() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    let dir = world.scratch();
    for (name, program) in [("busybox.tar.gz", "gzip"), ("busybox.tar.zst", "zstd -q")] {
        let packed = dir.join(name);
        let command = format!("{program} -c <\"$1\" >\"$2\"");
        Run::new("sh", ["-c", &command, "sh"])
            .arg(&image)
            .arg(&packed)
            .ok();
        let sums = "find bin etc home -xdev -type f ! -path etc/hostname ! -path etc/hosts ! -path etc/machine-id | sort | xargs sha256sum";
        let run = |image: &std::path::Path| {
            world
                .wpar(["wparexec", "-t", "-B"])
                .arg(image)
                .args(["--", "sh", "-c", &format!("cd /; {sums}")])
                .ok()
        };
        let (plain, other) = (run(&image), run(&packed));
        assert!(plain.text().contains("bin/busybox"), "{plain}");
        assert_eq!(other.text(), plain.text(), "{name}");
    }
    world.assert_empty();
}

/// What Relax-and-Recover leaves in its directory (`NETFS`, `BACKUP_TYPE=incremental`).
#[test]
fn backups_of_rear_in_their_directory_start_as_one_system() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    let made = std::process::Command::new("sh")
        .current_dir(directory.path())
        .env("IMAGE", &image)
        .args([
            "-ec",
            "mkdir host more more/root; cd host
             gzip -c $IMAGE >2026-11-01-0100-F.tar.gz
             echo increment >../more/root/later; tar -C ../more -czf 2026-11-02-0100-I.tar.gz root
             echo 2026-11-01-0100-F.tar.gz >basebackup.txt; echo 2026-11-01 >timestamp.txt
             touch rear-host.iso README VERSION 2026-11-02-0100-I.log",
        ])
        .status()
        .unwrap();
    assert!(made.success());
    let host = directory.path().join("host");
    world.mkwpar(&host, "rear");
    world.ok("startwpar rear");
    eventually("rcS has run", BOOT, || {
        world.inside("rear", "ls /run").contains("rcS")
    });
    assert_eq!(world.inside("rear", "cat /root/later"), "increment");
    world.remove_all();
}
