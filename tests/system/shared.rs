//! Standard WPARs and shared copies: `/usr` of another system, a root part of their own, and `syncwpar`.
//!
//! A tree of Debian stands in for the host, so that packages can come, change and go there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::trees::shell;
use crate::common::fixtures::{fixture, unpack};
use crate::common::skip::need;
use crate::common::world::World;

/// A system that stands in for the host: of Debian with systemd, that people and programs have used.
fn golden(world: &World) -> Result<PathBuf, String> {
    let image = fixture("debian12-systemd")?;
    let tree = world.scratch().join("golden");
    fs::create_dir(&tree).unwrap();
    unpack(&image, &tree);
    for (path, text) in [
        ("etc/mine.conf", "custom"),
        ("etc/ssh/ssh_host_rsa_key", "secret"),
        ("home/anna/note", "secret"),
        ("root/secret", "secret"),
        ("var/log/old.log", "log"),
        ("srv/site", "site"),
        ("tmp/left", "left"),
    ] {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    shell(
        "chroot \"$1\" useradd -m bob; echo 'root:$1$x$y:1::::::' >\"$1/etc/shadow.new\"
         grep -v ^root: \"$1/etc/shadow\" >>\"$1/etc/shadow.new\"; mv \"$1/etc/shadow.new\" \"$1/etc/shadow\"
         echo 'CRON=changed' >>\"$1/etc/default/cron\"",
        &[&tree],
    );
    Ok(tree)
}

/// Lets it start on a host of another release, too.
fn startable(world: &World, name: &str) {
    let image = fixture("debian12-systemd").unwrap();
    if !world.is_at_level_of_host(&image) {
        world.ok(&format!("chwpar -C {name}"));
    }
}

/// A package of this name and version with two configuration files, and a script of it.
fn package(world: &World, tree: &Path, name: &str, version: &str, script: &str) {
    let directory = world.scratch().join(format!("{name}-{version}"));
    shell(
        "mkdir -p \"$1/DEBIAN\" \"$1/etc/$3\" \"$1/usr/bin\" \"$1/var/lib/$3\"; cd \"$1\"
         printf 'Package: %s\\nVersion: %s\\nArchitecture: all\\nMaintainer: x <x@example.org>\\nDescription: x\\n' \
            \"$3\" \"$4\" >DEBIAN/control
         for file in main other; do echo \"$4\" >\"etc/$3/$file.conf\"; echo \"/etc/$3/$file.conf\"; done >DEBIAN/conffiles
         echo \"$4\" >\"usr/bin/$3-program\"
         printf '#!/bin/sh\\nset -e\\necho \"$1 $2\" >>/var/lib/%s/configured\\n%s\\n' \"$3\" \"$5\" >DEBIAN/postinst
         chmod 755 DEBIAN/postinst; dpkg-deb --root-owner-group -b . \"$2/tmp/$3.deb\" >/dev/null
         DEBIAN_FRONTEND=noninteractive chroot \"$2\" dpkg --force-confnew -i \"/tmp/$3.deb\"",
        &[
            &directory,
            tree,
            Path::new(name),
            Path::new(version),
            Path::new(script),
        ],
    );
}

fn purge(tree: &Path, name: &str) {
    shell(
        "chroot \"$1\" dpkg --purge \"$2\"",
        &[tree, Path::new(name)],
    );
}

#[test]
fn a_standard_wpar_shares_usr_and_has_a_root_part_of_its_own() {
    let world = need!(World::new());
    let tree = need!(golden(&world));
    let made = world.ok(&format!("mkwpar -n one --usr-from {}", tree.display()));
    assert!(
        made.complaint()
            .contains("are taken as they are there: /etc/default/cron"),
        "{made}"
    );
    startable(&world, "one");
    world.ok("startwpar one");
    assert_eq!(world.wait_for_systemd("one"), "running");
    let inside = |script: &str| world.inside("one", script);
    // What no package brought is not there.
    for path in [
        "/etc/mine.conf",
        "/home/anna",
        "/home/bob",
        "/root/secret",
        "/var/log/old.log",
        "/srv/site",
        "/tmp/left",
    ] {
        assert_eq!(
            inside(&format!("ls -d {path} 2>/dev/null || true")),
            "",
            "{path}"
        );
    }
    assert_eq!(inside("getent passwd bob anna || true"), "");
    assert_eq!(inside("grep ^root: /etc/shadow | cut -d : -f 2"), "*");
    assert_ne!(inside("cat /etc/ssh/ssh_host_rsa_key"), "secret");
    assert_eq!(inside("tail -n 1 /etc/default/cron"), "CRON=changed");
    assert_eq!(inside("hostname; grep -c localhost /etc/hosts"), "one\n2");
    // The package manager has nothing to complain of.
    assert_eq!(
        inside("dpkg --audit; dpkg --verify | grep -v /etc/default/cron || true"),
        ""
    );
    inside("apt-get check");
    // /usr is the other system's, and cannot be changed by any way.
    for script in [
        "touch /usr/new",
        "echo x >>/usr/bin/ls",
        "chmod 700 /usr/bin",
        "ln /usr/bin/ls /usr/bin/ls2",
        "mkdir /opt/new",
    ] {
        let refused = inside(&format!("{{ {script}; }} 2>&1 || true"));
        assert!(
            refused.contains("Read-only file system"),
            "{script}: {refused}"
        );
    }
    // Nor past the mount that says so: the file system itself refuses.
    let refused = inside("{ umount -l /usr && touch /usr/new; } 2>&1 || true");
    assert!(refused.contains("Read-only file system"), "{refused}");
    let seen = world.base("one").join("usr/new");
    let error = fs::write(&seen, "x").unwrap_err();
    assert_eq!(
        error.raw_os_error(),
        Some(libc::EROFS),
        "from the host: {error}"
    );
    fs::write(tree.join("usr/share/later"), "later").unwrap();
    assert_eq!(inside("cat /usr/share/later"), "later", "it is shared");
    let listed = world
        .ok("lswpar -qc -a type,privateusr one")
        .text()
        .to_owned();
    assert!(listed.ends_with(":no"), "{listed}");
    let mounts = world.ok("lswpar -M one").text().to_owned();
    assert!(
        mounts.contains("namefs") && mounts.contains(" ro"),
        "{mounts}"
    );
    world.ok("stopwpar one");
    world.refused("chwpar -l one", &["shares its /usr", "cannot be changed"]);
    world.refused("syncwpar -D one", &["syncwpar one"]);
    world.remove_all();
}

#[test]
fn a_private_standard_wpar_changes_a_usr_of_its_own() {
    let world = need!(World::new());
    let tree = need!(golden(&world));
    world.ok(&format!("mkwpar -l -n one --usr-from {}", tree.display()));
    startable(&world, "one");
    world.ok("startwpar one");
    assert_eq!(world.wait_for_systemd("one"), "running");
    world.inside(
        "one",
        "echo mine >/usr/new; rm /usr/bin/apt; mv /usr/bin/ls /root/ls",
    );
    assert_eq!(
        world.inside("one", "cat /usr/new; /root/ls -d /"),
        "mine\n/"
    );
    assert!(!tree.join("usr/new").exists() && tree.join("usr/bin/apt").exists());
    assert_eq!(
        world.inside("one", "ls -d /home/anna 2>/dev/null || true"),
        ""
    );
    let listed = world.ok("lswpar -qc -a privateusr one").text().to_owned();
    assert_eq!(listed, "yes");
    world.ok("stopwpar one");
    world.refused("syncwpar one", &["has a /usr of its own"]);
    world.remove_all();
}

#[test]
fn syncwpar_follows_packages_that_came_changed_and_went() {
    let world = need!(World::new());
    let tree = need!(golden(&world));
    package(&world, &tree, "kept", "1", "");
    package(&world, &tree, "gone", "1", "");
    world.ok(&format!("mkwpar -n one --usr-from {}", tree.display()));
    startable(&world, "one");
    world.ok("startwpar one");
    world.inside("one", "echo mine >/etc/kept/main.conf");
    // What writes to /usr has no effect there, and is no reason to fail.
    package(
        &world,
        &tree,
        "kept",
        "2",
        "echo x >/usr/share/made-by-kept",
    );
    package(
        &world,
        &tree,
        "fresh",
        "1",
        "useradd --system fresh-user 2>/dev/null || id fresh-user",
    );
    purge(&tree, "gone");
    let behind = "behind";
    assert!(world.ok("lswpar").complaint().contains(behind));
    world.refused("syncwpar one", &["one is not stopped"]);
    world.ok("stopwpar one");
    let preview = world.ok("syncwpar -p one");
    for line in [
        "new: fresh:all 1",
        "changed: kept:all 1 -> 2",
        "gone: gone:all 1",
        "write: /etc/kept/other.conf",
        "write: /etc/kept/main.conf.dpkg-dist",
        "Returns Status = SUCCESS",
    ] {
        assert!(preview.text().contains(line), "{line}: {preview}");
    }
    assert!(
        world.ok("lswpar").complaint().contains(behind),
        "a preview changes nothing"
    );
    let done = world.ok("syncwpar one");
    assert!(
        done.text().ends_with("one: Returns Status = SUCCESS"),
        "{done}"
    );
    assert!(!world.ok("lswpar").complaint().contains(behind));
    world.ok("startwpar one");
    assert_eq!(world.wait_for_systemd("one"), "running");
    let inside = |script: &str| world.inside("one", script);
    assert_eq!(
        inside("cat /etc/kept/main.conf /etc/kept/other.conf /etc/kept/main.conf.dpkg-dist"),
        "mine\n2\n2"
    );
    assert_eq!(inside("cat /var/lib/kept/configured"), "configure 1");
    assert_eq!(inside("cat /var/lib/fresh/configured").trim(), "configure");
    assert_eq!(
        inside("getent passwd fresh-user | cut -d : -f 1,3"),
        shell(
            "grep ^fresh-user: \"$1/etc/passwd\" | cut -d : -f 1,3",
            &[&tree]
        )
        .trim(),
        "files in /usr may be theirs"
    );
    assert_eq!(
        inside(
            "dpkg-query -W -f '${Package} ${db:Status-Abbrev}\\n' fresh gone kept | sed 's/ *$//'"
        ),
        "fresh ii\ngone rc\nkept ii"
    );
    assert_eq!(
        inside("ls /etc/gone"),
        "main.conf\nother.conf",
        "its configuration stays"
    );
    assert_eq!(inside("dpkg --audit"), "");
    inside("apt-get check");
    assert!(inside("touch /usr/x 2>&1 || true").contains("Read-only"));
    world.ok("stopwpar one");
    // Once more, when nothing has changed, and when more has.
    let again = world.ok("syncwpar -v one");
    assert!(
        again
            .text()
            .contains("0 packages are new, 0 changed, 0 gone"),
        "{again}"
    );
    purge(&tree, "fresh");
    world.ok("syncwpar -A");
    world.ok("startwpar one");
    assert_eq!(inside("dpkg --audit 2>&1"), "");
    inside("dpkg --purge gone fresh");
    assert_eq!(inside("ls -d /etc/gone/main.conf 2>/dev/null || true"), "");
    world.remove_all();
}

/// Whatever place it dies at, the WPAR is told to be behind until the command was given again, and then has
/// all that it would have got at once.
#[test]
fn a_synchronization_of_a_root_part_that_is_killed_is_made_good_by_the_next() {
    let world = need!(World::new());
    let tree = need!(golden(&world));
    package(&world, &tree, "kept", "1", "");
    package(&world, &tree, "gone", "1", "");
    let places = [
        "sync-items",
        "sync-removed",
        "sync-restored",
        "sync-edits",
        "sync-durable",
        "sync-view",
    ];
    let names: Vec<_> = (0..=places.len()).map(|at| format!("victim{at}")).collect();
    for name in &names {
        world.ok(&format!("mkwpar -n {name} --usr-from {}", tree.display()));
    }
    package(&world, &tree, "kept", "2", "");
    package(&world, &tree, "fresh", "1", "");
    purge(&tree, "gone");
    // The last one is not disturbed.
    for (name, place) in names.iter().zip(places) {
        let died = world
            .wpar(["syncwpar", name])
            .env("WPAR_DIE_AT", place)
            .output();
        assert!(!died.text().contains("SUCCESS"), "{place}: {died}");
        assert_ne!(died.code(), 0, "{place}: {died}");
        let listed = world.ok(&format!("lswpar {name}")).complaint();
        assert!(listed.contains("behind"), "{place}: {listed}");
    }
    world.ok("syncwpar -A");
    assert!(!world.ok("lswpar").complaint().contains("behind"));
    let of = |name: &String| {
        startable(&world, name);
        world.ok(&format!("startwpar {name}"));
        assert_eq!(world.wait_for_systemd(name), "running");
        let inside = |script: &str| world.inside(name, script);
        let found = inside(
            "dpkg --audit; cat /etc/kept/*.conf* /etc/fresh/*.conf /var/lib/*/configured
             dpkg-query -W -f '${Package} ${Version} ${Status}\n'; ls -A /etc /etc/kept
             ls -A /var/lib/dpkg/info; find / -xdev -name '.wpar-*'",
        );
        world.ok(&format!("stopwpar {name}"));
        found
    };
    let undisturbed = of(&names[places.len()]);
    assert!(undisturbed.contains("configure 1"), "{undisturbed}");
    for (name, place) in names.iter().zip(places) {
        assert_eq!(of(name), undisturbed, "{place}");
    }
    world.remove_all();
}

#[test]
fn a_backup_without_usr_shares_that_of_a_system_with_the_same_packages() {
    let world = need!(World::new());
    let tree = need!(golden(&world));
    let image = world.scratch().join("root-part.tar");
    let whole = world.scratch().join("whole.tar");
    shell(
        "tar -C \"$1\" --numeric-owner --exclude=./usr --exclude=./opt -cf \"$2\" .; tar -C \"$1\" --numeric-owner -cf \"$3\" .",
        &[&tree, &image, &whole],
    );
    let from = format!("--usr-from {}", tree.display());
    world.refused(
        &format!("mkwpar -t -B {} -n one -l", image.display()),
        &["has no /usr"],
    );
    let line = format!("mkwpar -t -B {} -n one {from}", image.display());
    world.ok(&line);
    startable(&world, "one");
    world.ok("startwpar one");
    assert_eq!(world.wait_for_systemd("one"), "running");
    let inside = |script: &str| world.inside("one", script);
    assert_eq!(inside("cat /etc/mine.conf /home/anna/note"), "customsecret");
    assert_eq!(inside("dpkg --audit"), "");
    assert!(inside("touch /usr/x 2>&1 || true").contains("Read-only"));
    world.ok("stopwpar one");
    // With other packages there, it is no copy any more.
    package(&world, &tree, "other", "1", "");
    world.refused(
        &line.replace("-n one", "-n two"),
        &["has no /usr", "lacks other 1"],
    );
    let private = world.ok(&format!("mkwpar -t -B {} -n two {from}", whole.display()));
    assert!(
        private.complaint().contains("its own /usr, because"),
        "{private}"
    );
    assert_eq!(world.ok("lswpar -qc -a privateusr two").text(), "yes");
    // But one that was made before follows.
    world.ok("syncwpar one");
    world.ok("startwpar one");
    assert_eq!(inside("cat /etc/other/main.conf; dpkg --audit"), "1");
    world.remove_all();
}

#[test]
fn a_tree_that_lends_usr_is_told_of_and_another_one_in_its_place_refused() {
    let world = need!(World::new());
    let tree = world.scratch().join("golden");
    let image = need!(fixture("busybox"));
    let fill = || {
        fs::create_dir(&tree).unwrap();
        unpack(&image, &tree);
        fs::create_dir_all(tree.join("usr/bin")).unwrap();
        fs::create_dir_all(tree.join("etc")).unwrap();
        let _ = symlink("usr/bin", tree.join("ubin"));
    };
    fill();
    world.ok(&format!("mkwpar -n one --usr-from {}", tree.display()));
    let told = world.ok("explain one /usr/bin");
    assert!(told.text().contains(&tree.display().to_string()), "{told}");
    let target = world.scratch().join("one.diff");
    world.refused(
        &format!("savewpar --difference -f {} one", target.display()),
        &["has the /usr of another system"],
    );
    fs::rename(&tree, world.scratch().join("before")).unwrap();
    fill();
    world.refused("startwpar one", &["is not the directory any more", "of"]);
    world.remove_all();
}

#[test]
fn a_standard_wpar_of_this_host_has_nothing_of_its_people() {
    let world = need!(World::in_view_of_the_host());
    world.ok("mkwpar -n one");
    let listed = world
        .ok("lswpar -qc -a type,privateusr one")
        .text()
        .to_owned();
    assert_eq!(listed, "S:no");
    world.ok("startwpar one");
    let inside = |script: &str| world.inside("one", script);
    assert_eq!(inside("ls /home /srv"), "/home:\n\n/srv:");
    assert!(inside("touch /usr/new 2>&1 || true").contains("Read-only"));
    let people = "awk -F : '$3 >= 1000 && $3 != 65534' /etc/passwd";
    assert_eq!(inside(people), "");
    world.remove_all();
}
