//! Filesets that are not visible: kernel, boot loader, arrays; and those that somebody needs.

use std::path::{Path, PathBuf};

use crate::common::fixtures::fixture;
use crate::common::run::Run;
use crate::common::skip::need;
use crate::common::world::World;
use crate::trees::{needs, system};

/// What becomes of the filesets of a machine, as (name, fate).
fn fates(world: &World, name: &str) -> Vec<(String, String)> {
    let output = world.wpar(["lswpar", "--filesets", "--json", name]).ok();
    let listed: serde_json::Value = serde_json::from_str(output.text()).expect("JSON");
    let filesets = listed[0]["filesets"].as_array().expect("a list").iter();
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    filesets
        .map(|fileset| (text(&fileset["name"]), text(&fileset["fate"])))
        .collect()
}

/// A repository with newer versions of a machine's packages, in which apt looks.
const REPOSITORY: &str = "mkdir -p /srv/new && cd /srv/new && : >Packages
    for name in linux-image-cloud-amd64 linux-image-6.2.0-1-cloud-amd64 grub-common initramfs-tools \
        lvm2 mdadm smartmontools; do
        printf 'Package: %s\\nVersion: 999\\nArchitecture: amd64\\nMaintainer: x <x@example.org>\\n' $name
        printf 'Filename: ./%s.deb\\nSize: 1\\nSHA256: %064d\\nDescription: x\\n\\n' $name 0
    done >Packages
    rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
    echo 'deb [trusted=yes] file:/srv/new ./' >/etc/apt/sources.list
    apt-get -o APT::Sandbox::User=root -qq update >&2";

#[test]
fn a_machine_becomes_a_wpar_without_kernel_boot_loader_and_arrays() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-full"));
    let made = world.mkwpar(&image, "wpar1");
    assert!(
        made.complaint().contains("11 filesets are not visible (")
            && made
                .complaint()
                .contains("1 fileset is kept because needed"),
        "{made}"
    );
    let fates = fates(&world, "wpar1");
    let fate = |name: &str| {
        let found = fates.iter().find(|(known, _)| known == name);
        found.map(|(_, fate)| fate.as_str())
    };
    for (name, expected) in [
        ("grub-common", Some("hidden")),
        ("initramfs-tools", Some("hidden")),
        ("linux-image-cloud-amd64", Some("hidden")),
        ("lvm2", Some("hidden")),
        ("mdadm", Some("ghost")),
        ("smartmontools", Some("kept")),
        ("udev", None),
        ("kmod", None),
    ] {
        assert_eq!(fate(name), expected, "{name}: {fates:?}");
    }
    let table = world.wpar(["lswpar", "--filesets", "-q", "wpar1"]).ok();
    let kept = table.text().lines().find(|line| line.contains("kept"));
    assert!(
        kept.is_some_and(|line| line.ends_with("needed by disk-report")),
        "{table}"
    );
    world.ok("startwpar wpar1");
    assert_eq!(world.wait_for_systemd("wpar1"), "running");
    assert_nothing_left(&world);
    assert_kept_out(&world);
    world.remove_all();
}

/// Neither files nor records of hidden packages are there, and dpkg and apt are content.
fn assert_nothing_left(world: &World) {
    let left = "ls -A /boot /lib/modules; ls -d /vmlinuz* /initrd.img* 2>/dev/null
        for name in grub-install update-initramfs mdadm lvm; do command -v $name; done
        find /etc/systemd /etc/rc?.d -xtype l ! -lname '/dev/null' | grep -E 'mdadm|lvm|dm-event'
        ls /var/lib/dpkg/info | grep -E '^(grub|linux-image|initramfs|lvm2)'; true";
    assert_eq!(world.inside("wpar1", left), "/boot:\n\n/lib/modules:");
    let content = "dpkg --audit; dpkg --verify; apt-get -qq check";
    assert_eq!(world.inside("wpar1", content), "");
    let needed = "for name in smartctl disk-report sshd cron; do command -v $name; done | wc -l";
    assert_eq!(world.inside("wpar1", needed), "4");
    // What was hidden can be made anew, and has nothing of what was hidden in it.
    let anew = "mkdir /etc/lvm && ls -A /etc/lvm && echo x >/boot/vmlinuz && ls /boot";
    assert_eq!(world.inside("wpar1", anew), "vmlinuz");
}

/// An upgrade of everything brings none of them back, but upgrades what was kept.
fn assert_kept_out(world: &World) {
    world.inside("wpar1", REPOSITORY);
    let upgraded = world.inside(
        "wpar1",
        "apt-get -s dist-upgrade | grep ^Inst | cut -d' ' -f2",
    );
    assert_eq!(upgraded, "smartmontools");
    // It is the file that does it, and who deletes it can have them.
    let without = "rm /etc/apt/preferences.d/00wpar-private
        apt-get -s install linux-image-cloud-amd64 | grep ^Inst | cut -d' ' -f2";
    assert_eq!(world.inside("wpar1", without), "linux-image-cloud-amd64");
}

#[test]
fn preserve_private_keeps_every_fileset() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-full"));
    world
        .wpar([
            "mkwpar",
            "-t",
            "-n",
            "all",
            "-T",
            "preserve_private=yes",
            "-B",
        ])
        .arg(&image)
        .ok();
    assert!(fates(&world, "all").is_empty());
    let look =
        "ls /boot | grep -c vmlinuz; ls /lib/modules | wc -l; command -v mdadm; command -v lvm
        dpkg -s grub-common | grep ^Status; ls /etc/apt/preferences.d; dpkg --verify";
    world.ok("startwpar all");
    world.wait_for_systemd("all");
    let seen = world.inside("all", look);
    assert_eq!(
        seen,
        "1\n1\n/sbin/mdadm\n/sbin/lvm\nStatus: install ok installed".replace("/sbin", "/usr/sbin")
    );
    world.remove_all();
}

/// Writes a file below `root`, and the directories above it.
fn write(root: &Path, path: &str, contents: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().expect("a directory")).expect("directories");
    std::fs::write(path, contents).expect("a file");
}

#[test]
fn the_site_says_what_is_private_and_what_never_is() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-full"));
    write(
        &world.root(),
        "etc/wpars/private.d/site.list",
        "# ours\ncron\n!lvm2\ntwo words\n",
    );
    let made = world.mkwpar(&image, "wpar1");
    assert!(
        made.complaint()
            .contains("site.list: line 4, 'two words', is passed over"),
        "{made}"
    );
    let fates = fates(&world, "wpar1");
    let names: Vec<_> = fates.iter().map(|(name, _)| name.as_str()).collect();
    assert!(
        names.contains(&"cron") && !names.contains(&"lvm2"),
        "{names:?}"
    );
    // What lvm2 needs is kept, because it is visible.
    assert!(
        fates.contains(&("dmeventd".to_owned(), "kept".to_owned())),
        "{fates:?}"
    );
    world.remove_all();
}

/// A system of busybox with a data base of pacman: a kernel, what makes its initial file system, and a
/// metapackage that asks for mdadm.
fn arch(directory: &Path) -> Result<PathBuf, String> {
    let tree = system(directory)?;
    write(&tree, "var/lib/pacman/local/ALPM_DB_VERSION", "9\n");
    write(&tree, "etc/pacman.conf", "[options]\nArchitecture = auto\n");
    for (name, needs, file) in [
        ("base", "", "etc/arch-release"),
        ("linux", "mkinitcpio", "usr/lib/modules/6.6/vmlinuz"),
        ("mdadm", "base", "usr/bin/mdadm"),
        ("mkinitcpio", "base", "usr/bin/mkinitcpio"),
        ("server", "mdadm", ""),
    ] {
        let at = format!("var/lib/pacman/local/{name}-1-1");
        let mut description = format!("%NAME%\n{name}\n\n%VERSION%\n1-1\n\n%ARCH%\nx86_64\n\n");
        if !needs.is_empty() {
            description += &format!("%DEPENDS%\n{needs}\n\n");
        }
        write(&tree, &format!("{at}/desc"), &description);
        write(&tree, &format!("{at}/files"), &format!("%FILES%\n{file}\n"));
        if !file.is_empty() {
            write(&tree, file, name);
        }
    }
    Ok(tree)
}

#[test]
fn pacman_is_content_without_the_private_filesets() {
    need!(needs(&["pacman"]));
    let world = need!(World::new());
    let tree = need!(arch(&world.scratch()));
    world.mkwpar(&tree, "wpar1");
    world.ok("startwpar wpar1");
    let base = world.base("wpar1");
    let pacman = |options: &[&str]| {
        let run = Run::new("pacman", ["--config", "/dev/null", "--root"]).arg(&base);
        let run = run.arg("--dbpath").arg(base.join("var/lib/pacman"));
        run.args(options).ok().text().to_owned()
    };
    assert_eq!(pacman(&["-Q"]), "base 1-1\nmdadm 1-1\nserver 1-1");
    pacman(&["-Dk"]);
    pacman(&["-Qk"]);
    let left = "ls /usr/lib/modules; ls /usr/bin | grep -E 'mdadm|mkinitcpio'; true";
    assert_eq!(world.inside("wpar1", left), "");
    world.remove_all();
}
