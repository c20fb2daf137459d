//! The devices of the source are not the copy's: it boots without them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::Run;
use crate::common::fixtures::{fixture, unpack};
use crate::common::skip::need;
use crate::common::world::{BOOT, World};
use crate::trees::{needs, shell};

/// What an administrator sets up on a server with disks: `$1` is its root.
const SERVER: &str = r#"
    cd "$1"
    cat >etc/fstab <<'END'
UUID=0a1b2c3d-0000-4000-8000-000000000001 / ext4 errors=remount-ro 0 1
/dev/mapper/vg0-home /home xfs defaults 0 2
LABEL=DATA /data ext4 defaults 0 2
/swapfile none swap sw 0 0
/data/www /srv none bind 0 0
files:/export /mnt nfs defaults 0 0
tmpfs /var/cache/app tmpfs size=16m 0 0
END
    mkdir -p data etc/keys etc/iscsi/nodes/one var/cache/app etc/mdadm
    head -c 65536 /dev/zero >swapfile
    echo 'data UUID=0a1b2c3d-0000-4000-8000-000000000002 /etc/keys/data luks' >etc/crypttab
    echo secret >etc/keys/data
    echo InitiatorName=iqn.1993-08.org.debian:01:abc >etc/iscsi/initiatorname.iscsi
    echo 'ARRAY /dev/md0 UUID=0a1b2c3d' >etc/mdadm/mdadm.conf
    printf 'auto eth0\niface eth0 inet static\n    address 192.0.2.10/24\n' >etc/network/interfaces
    units=lib/systemd/system
    printf '[Service]\nType=oneshot\nExecStart=/bin/false\n[Install]\nWantedBy=multi-user.target\n' >$units/mdmonitor.service
    cp $units/mdmonitor.service $units/lvm2-monitor.service
    cp $units/mdmonitor.service $units/keepalived.service
    sed -i s/false/true/ $units/keepalived.service
    for unit in mdmonitor lvm2-monitor keepalived; do
        ln -s /$units/$unit.service etc/systemd/system/multi-user.target.wants/
    done
    mkdir -p etc/systemd/system/getty.target.wants
    ln -s /$units/serial-getty@.service etc/systemd/system/getty.target.wants/serial-getty@ttyS0.service
    printf '[Mount]\nWhat=/dev/sdz1\nWhere=/opt/disk\n' >etc/systemd/system/opt-disk.mount
    mkdir -p etc/systemd/system/local-fs.target.requires
    ln -s ../opt-disk.mount etc/systemd/system/local-fs.target.requires/
"#;

/// A server with disks in `scratch`.
fn server(scratch: &Path) -> Result<PathBuf, String> {
    let tree = scratch.join("server");
    let image = fixture("debian12-systemd")?;
    fs::create_dir(&tree).expect("a directory");
    unpack(&image, &tree);
    shell(SERVER, &[&tree]);
    Ok(tree)
}

#[test]
fn a_server_with_disks_boots_without_them() {
    let world = need!(World::new());
    let tree = need!(server(&world.scratch()));
    let made = world.mkwpar(&tree, "web");
    for note in [
        "starts with the WPAR: keepalived",
        "/etc/fstab: /mnt",
        "opt-disk.mount",
    ] {
        assert!(made.complaint().contains(note), "{note}\n{made}");
    }
    world.ok("startwpar web");
    assert_eq!(
        world.wait_for_systemd("web"),
        "running",
        "{}",
        world.inside(
            "web",
            "systemctl --failed --no-pager; systemctl list-jobs --no-pager"
        )
    );
    let fstab = world.inside(
        "web",
        "grep -v ^# /etc/fstab; mount | grep -c /var/cache/app",
    );
    assert_eq!(fstab, "tmpfs /var/cache/app tmpfs size=16m 0 0\n1");
    assert_eq!(
        world.inside("web", "grep -vc ^# /etc/crypttab || true"),
        "0"
    );
    assert_eq!(
        world.inside("web", "grep '^#wpar# UUID=.* / ext4' /etc/fstab | wc -l"),
        "1",
        "what the source had can still be read"
    );
    assert_eq!(
        world.inside(
            "web",
            "ls /swapfile /etc/keys/data /etc/iscsi/initiatorname.iscsi /etc/mdadm/mdadm.conf \
             /boot/* /etc/systemd/system/opt-disk.mount 2>/dev/null || true"
        ),
        ""
    );
    assert_eq!(
        world.inside("web", "grep -E '^(auto|iface)' /etc/network/interfaces"),
        "auto lo\niface lo inet loopback"
    );
    assert_eq!(
        world.inside(
            "web",
            "systemctl is-enabled mdmonitor lvm2-monitor ssh || true"
        ),
        "masked\nmasked\nenabled"
    );
    // An image moves to another place, and its identity with it.
    let keys = "cat /etc/ssh/ssh_host_*";
    let theirs = shell("cat \"$1\"/etc/ssh/ssh_host_*", &[&tree]);
    assert_eq!(world.inside("web", keys), theirs.trim_end());

    // It is all the administrator's to change.
    world.inside(
        "web",
        "systemctl unmask mdmonitor && echo '# mine' >/etc/fstab",
    );
    world.ok("stopwpar web");
    world.ok("startwpar web");
    assert_eq!(world.inside("web", "cat /etc/fstab"), "# mine");
    world.remove_all();
}

/// Makes what is at `$1` the root of the processes of a mount namespace, as if it ran.
const BECOME_ROOT: &str = r#"
    mount --make-rprivate /
    mount --bind "$1" "$1"
    mount -t proc proc "$1/proc"
    mount --rbind /sys "$1/sys"
    mount --rbind /dev "$1/dev"
    mount -t tmpfs tmpfs "$1/run"
    mount -t tmpfs tmpfs "$1/tmp"
    cd "$1"
    pivot_root . mnt
    umount -l /mnt
    cd /
"#;

#[test]
fn a_clone_of_a_running_system_makes_ssh_host_keys_of_its_own() {
    let world = need!(World::new());
    need!(needs(&["unshare", "pivot_root"]));
    let tree = need!(server(&world.scratch()));
    fs::copy(env!("CARGO_BIN_EXE_wpar"), tree.join("usr/bin/wpar")).expect("a copy of wpar");
    let script = format!(
        r#"{BECOME_ROOT}
        unset WPAR_ROOT
        wpar mkwpar -t -s -n clone >&2
        trap 'wpar rmwpar -F clone >&2' EXIT
        n=0
        until [ "$(wpar clogin clone systemctl is-active ssh)" = active ]; do
            n=$((n + 1)); [ $n -lt 100 ] || break; sleep 0.3
        done
        wpar clogin clone systemctl is-active ssh
        wpar clogin clone sh -c 'ls /etc/ssh/ssh_host_*_key | wc -l'
        wpar clogin clone sh -c 'cat /etc/ssh/ssh_host_*.pub' >/tmp/clone
        wpar stopwpar clone >&2 && wpar startwpar clone >&2
        wpar clogin clone sh -c 'cat /etc/ssh/ssh_host_*.pub' >/tmp/later
        cmp /tmp/clone /tmp/later && echo the same later
        cat /etc/ssh/ssh_host_*.pub | grep -vcFf /tmp/clone"#
    );
    let output = Run::new("unshare", ["-m", "sh", "-ec", &script, "sh"])
        .arg(&tree)
        .env("PATH", crate::trees::path())
        .timeout(2 * BOOT)
        .ok();
    assert_eq!(
        output.text(),
        "active\n3\nthe same later\n3",
        "sshd runs, with three keys, for good, that are not the host's\n{output}"
    );
}

#[test]
fn a_device_that_the_list_names_is_given_and_no_other() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    let image = image.to_str().expect("a plain path");
    let make = |words: &str| format!("mkwpar -t -B {image} -n given {words}");
    world.refused(
        &make("-D devname=/dev/fuse"),
        &["/dev/fuse may not be exported", "etc/wpars/devexports"],
    );
    let lists = world.root().join("etc/wpars");
    fs::create_dir_all(&lists).expect("a directory");
    let list = "name:\n\tvalue = \"/dev/fus?\"\n\tauto = \"no\"\n\
        name:\n\tvalue = \"/dev/missing\"\n\tauto = \"no\"\n";
    fs::write(lists.join("devexports"), list).expect("a file");
    for (words, says) in [
        ("-D devname=/dev/missing", "there is no device /dev/missing"),
        ("-D devname=/dev/mem", "/dev/mem may not be exported"),
        ("-D devname=../dev/fuse", "is no device below /dev"),
        ("-D export=yes", "devname comes first"),
    ] {
        let output = world.wpar(crate::common::run::words(&make(words))).output();
        assert!(output.complaint().contains(says), "{words}\n{output}");
        assert!(!output.status.success(), "{words}\n{output}");
    }
    world.ok(&make("-D devname=fuse export=yes"));
    let other = lists.join("others");
    fs::write(&other, "name:\n value = \"/dev/fuse\"\n").expect("a file");
    world.ok(&format!(
        "mkwpar -t -B {image} -n automatic -b {}",
        other.display()
    ));
    world.ok(&format!(
        "mkwpar -t -B {image} -n without -b {} -D devname=fuse export=no",
        other.display()
    ));
    for (name, expected) in [
        ("given", "0 0 10 229\nopened"),
        ("automatic", "0 0 10 229\nopened"),
        ("without", "none"),
    ] {
        world.ok(&format!("startwpar {name}"));
        let look = "test -e /dev/fuse || { echo none; exit; }; \
            set -- $(ls -ln /dev/fuse | tr -d ,); echo $3 $4 $5 $6; (exec 3<>/dev/fuse) && echo opened";
        assert_eq!(world.inside(name, look), expected, "{name}");
    }
    // It is given at each start, and its node is no way to others.
    world.ok("stopwpar given");
    world.ok("startwpar given");
    assert_eq!(
        world.inside("given", "(exec 3<>/dev/fuse) && echo opened"),
        "opened"
    );
    let made = world.inside(
        "given",
        "mknod /dev/mine c 10 229 2>/dev/null && echo made || echo refused",
    );
    assert_eq!(made, "refused");
    fs::remove_dir_all(world.root().join("etc")).expect("removing the lists");
    world.remove_all();
}
