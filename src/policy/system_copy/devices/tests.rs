//! The rules on systems as they are.

use std::collections::BTreeMap;

use wpar_mountd::spec::{HiddenExtent, HiddenName};

use super::super::fake_tree::FakeTree;
use super::*;
use crate::model::{CopyControls, Hostname, Put};

fn decided(files: &[(&str, &str)], of_running_system: bool) -> Decisions {
    decided_after(files, of_running_system, Decisions::default())
}

fn decided_after(
    files: &[(&str, &str)],
    of_running_system: bool,
    mut decisions: Decisions,
) -> Decisions {
    let situation = Situation {
        files: &FakeTree::new(files),
        of_running_system,
        controls: CopyControls::default(),
        hostname: &Hostname::new("wpar1").unwrap(),
        private_lists: &[],
        resolver: Some(b"nameserver 192.0.2.53\n"),
    };
    decide(&situation, &mut decisions).unwrap();
    decisions
}

/// What is hidden, with `/*` for contents.
fn hidden(decisions: &Decisions) -> Vec<String> {
    let text = |name: &HiddenName| match name.extent {
        HiddenExtent::Name => name.path.clone(),
        HiddenExtent::Contents => format!("{}/*", name.path),
    };
    decisions.view.hidden.iter().map(text).collect()
}

/// What is written, links as `-> TARGET`.
fn written(decisions: &Decisions) -> BTreeMap<&str, String> {
    let text = |what: &Put| match what {
        Put::File { contents, .. } => String::from_utf8(contents.clone()).unwrap(),
        Put::Link(target) => format!("-> {target}"),
    };
    let edits = decisions.edits.iter();
    edits
        .map(|edit| (edit.path.as_str(), text(&edit.what)))
        .collect()
}

/// A Debian server with disks of every kind.
const SERVER: &[(&str, &str)] = &[
    ("boot/vmlinuz-6.1.0-18-amd64", ""),
    ("boot/grub/grub.cfg", ""),
    ("bin", "->usr/bin"),
    ("lib", "->usr/lib"),
    ("sbin", "->usr/sbin"),
    ("etc/crypttab", "data UUID=0a /etc/keys/data luks\n"),
    ("etc/keys/data", "secret"),
    (
        "etc/fstab",
        "UUID=0b / ext4 defaults 0 1\n/swap/file none swap sw 0 0\n",
    ),
    ("swap/file", ""),
    (
        "etc/iscsi/initiatorname.iscsi",
        "InitiatorName=iqn.1993-08.org.debian:01:abc",
    ),
    ("etc/iscsi/nodes/iqn.x/send_targets", ""),
    ("etc/lvm/lvm.conf", ""),
    ("etc/lvm/archive/vg_00000.vg", ""),
    ("etc/lvm/backup/vg", ""),
    ("etc/mdadm/mdadm.conf", "ARRAY /dev/md0 UUID=0c"),
    ("etc/mtab", "/dev/sda1 / ext4 rw 0 0\n"),
    (
        "etc/network/interfaces",
        "auto eth0\niface eth0 inet static\n",
    ),
    ("etc/network/interfaces.d/dmz", "auto eth1\n"),
    ("etc/netplan/50-cloud-init.yaml", ""),
    (
        "etc/resolv.conf",
        "->../run/systemd/resolve/stub-resolv.conf",
    ),
    ("etc/ssh/ssh_host_ed25519_key", "secret"),
    ("etc/ssh/ssh_host_ed25519_key.pub", ""),
    ("etc/ssh/sshd_config", ""),
    ("etc/udev/rules.d/70-persistent-net.rules", ""),
    ("etc/udev/rules.d/99-local.rules", ""),
    (
        "etc/systemd/system/sysinit.target.wants/lvm2-monitor.service",
        "->/lib/systemd/system/lvm2-monitor.service",
    ),
    (
        "etc/systemd/system/chronyd.service",
        "->/lib/systemd/system/chrony.service",
    ),
    (
        "etc/systemd/system/mdmonitor.service",
        "[Service]\nExecStart=/root/my-monitor\n",
    ),
    ("etc/systemd/system/haveged.service", "->/dev/null"),
    (
        "etc/systemd/system/srv-disk.mount",
        "[Mount]\nWhat=/dev/sdc1\nWhere=/srv/disk\n",
    ),
    (
        "etc/systemd/system/srv-disk.automount",
        "[Automount]\nWhere=/srv/disk\n",
    ),
    (
        "etc/systemd/system/srv-temp.mount",
        "[Mount]\nWhat = tmpfs\nWhere=/srv/temp\nType = tmpfs\n",
    ),
    ("usr/lib/systemd/systemd", ""),
    ("usr/lib/systemd/system/chrony.service", ""),
    ("usr/lib/systemd/system/haveged.service", ""),
    ("usr/lib/systemd/system/lvm2-monitor.service", ""),
    ("usr/lib/systemd/system/mdmonitor.service", ""),
    ("usr/lib/systemd/system/ssh.service", ""),
    (
        "usr/lib/systemd/system/keyboard-setup.service",
        "->/dev/null",
    ),
    ("etc/init.d/mdadm", ""),
    ("usr/bin/ssh-keygen", ""),
    ("usr/sbin/init", "->/lib/systemd/systemd"),
    ("usr/sbin/sshd", ""),
    ("var/lib/systemd/random-seed", ""),
];

#[test]
fn a_server_loses_its_devices_and_nothing_else() {
    let decisions = decided(SERVER, false);
    assert_eq!(
        hidden(&decisions),
        [
            "boot/*",
            "etc/iscsi/initiatorname.iscsi",
            "etc/iscsi/nodes/*",
            "etc/keys/data",
            "etc/lvm/archive/*",
            "etc/lvm/backup/*",
            "etc/mdadm/mdadm.conf",
            "etc/netplan/50-cloud-init.yaml",
            "etc/network/interfaces.d/*",
            "etc/systemd/system/srv-disk.automount",
            "etc/systemd/system/srv-disk.mount",
            "etc/udev/rules.d/70-persistent-net.rules",
            "swap/file",
            "var/lib/systemd/random-seed",
        ]
    );
    assert!(
        decisions
            .view
            .hidden
            .iter()
            .all(|name| !name.reason.is_empty())
    );
    let written = written(&decisions);
    assert!(
        written["etc/fstab"].contains("\n#wpar# UUID=0b / ext4"),
        "{written:?}"
    );
    assert!(
        written["etc/crypttab"].contains("#wpar# data"),
        "{written:?}"
    );
    assert!(written["etc/network/interfaces"].ends_with("auto lo\niface lo inet loopback\n"));
    assert_eq!(written["etc/resolv.conf"], "nameserver 192.0.2.53\n");
    assert_eq!(written["etc/mtab"], "-> ../proc/self/mounts");
    let masked: Vec<_> = written
        .iter()
        .filter(|(_, text)| *text == "-> /dev/null")
        .filter_map(|(path, _)| path.strip_prefix("etc/systemd/system/"))
        .collect();
    assert_eq!(
        masked,
        [
            "chrony.service",
            "chronyd.service",
            "lvm2-monitor.service",
            "mdadm.service"
        ]
    );
    assert_eq!(written.len(), 5 + masked.len(), "{written:?}");
    let [own, disk] = &decisions.view.notes[..] else {
        panic!("{:?}", decisions.view.notes)
    };
    assert!(
        own.contains("/dev/sdc1") && disk.contains("mdmonitor.service"),
        "{own} {disk}"
    );
}

#[test]
fn an_image_keeps_its_ssh_host_keys_and_a_clone_makes_new_ones_before_sshd_starts() {
    let image = decided(SERVER, false);
    assert!(!hidden(&image).iter().any(|path| path.contains("ssh")));
    let clone = decided(SERVER, true);
    let keys: Vec<_> = hidden(&clone)
        .into_iter()
        .filter(|path| path.contains("ssh"))
        .collect();
    assert_eq!(
        keys,
        [
            "etc/ssh/ssh_host_ed25519_key",
            "etc/ssh/ssh_host_ed25519_key.pub"
        ]
    );
    let written = written(&clone);
    assert!(written["etc/systemd/system/wpar-ssh-host-keys.service"].contains("ssh-keygen -A"));
    assert_eq!(
        written["etc/systemd/system/ssh.service.wants/wpar-ssh-host-keys.service"],
        "-> ../wpar-ssh-host-keys.service"
    );
    assert!(!clone.view.conversion.host_keys, "the unit makes them");
    let without_systemd: Vec<_> = SERVER
        .iter()
        .copied()
        .filter(|(path, _)| *path != "usr/lib/systemd/systemd")
        .collect();
    let other = decided(&without_systemd, true);
    assert!(other.view.conversion.host_keys);
    let other_init: Vec<_> = SERVER
        .iter()
        .map(|&(path, text)| match path {
            "usr/sbin/init" => (path, ""),
            _ => (path, text),
        })
        .collect();
    let both = decided(&other_init, true);
    assert!(
        both.view.conversion.host_keys,
        "systemd is there, but not init"
    );
    assert!(
        !other.edits.iter().any(|edit| edit.path.contains("systemd")),
        "no use for masks"
    );
}

#[test]
fn a_system_without_devices_is_left_alone() {
    let files = [
        ("etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
        ("etc/fstab", "# none\n"),
        ("etc/resolv.conf", "nameserver 198.51.100.1\n"),
        ("usr/lib/systemd/systemd", ""),
        ("usr/lib/systemd/system/ssh.service", ""),
    ];
    assert_eq!(decided(&files, false), Decisions::default());
}

#[test]
fn what_is_hidden_already_is_not_masked_and_covers_what_lies_below() {
    let mut before = Decisions::default();
    for (path, extent) in [
        (
            "usr/lib/systemd/system/lvm2-monitor.service",
            HiddenExtent::Name,
        ),
        ("etc/lvm", HiddenExtent::Name),
        ("boot", HiddenExtent::Name),
    ] {
        before.view.hidden.push(HiddenName {
            path: path.to_owned(),
            extent,
            reason: "private".to_owned(),
        });
    }
    let decisions = decided_after(SERVER, false, before);
    let names = hidden(&decisions);
    assert!(names.contains(&"etc/lvm".to_owned()) && names.contains(&"boot".to_owned()));
    assert!(
        !names.iter().any(|path| path.starts_with("etc/lvm/")),
        "{names:?}"
    );
    assert!(!written(&decisions).contains_key("etc/systemd/system/lvm2-monitor.service"));
}

#[test]
fn a_hostile_image_is_no_obstacle() {
    let long = "x".repeat(2 << 20);
    let decisions = decided(
        &[
            ("etc/fstab", &long),
            ("etc/crypttab", "->crypttab"),
            ("etc/inittab/", ""),
            ("etc/mtab/", ""),
            ("etc/network", "a file"),
            ("etc/netplan", "->/etc/netplan"),
            ("etc/resolv.conf", "->resolv.conf"),
            ("etc/systemd", "->../../../../../proc/self/root/etc/systemd"),
            ("usr/lib/systemd/systemd", ""),
            ("usr/lib/systemd/system/mdmonitor.service", ""),
            ("lib", "->lib"),
        ],
        true,
    );
    assert_eq!(hidden(&decisions), ["etc/fstab"]);
    assert!(
        decisions.view.notes[0].contains("/etc/fstab"),
        "{:?}",
        decisions.view.notes
    );
    let masks: Vec<_> = written(&decisions).into_keys().collect();
    assert_eq!(masks, ["etc/systemd/system/mdmonitor.service"]);
    let blocked = decided(
        &[
            ("etc/systemd", "a file"),
            ("usr/lib/systemd/systemd", ""),
            ("usr/lib/systemd/system/mdmonitor.service", ""),
        ],
        false,
    );
    assert!(blocked.edits.is_empty());
    assert!(blocked.view.notes[0].contains("/etc/systemd is no directory"));
}

#[test]
fn links_above_a_hidden_name_are_followed_within_the_source() {
    let decisions = decided(
        &[
            ("etc/mdadm", "->/opt/mdadm"),
            ("opt/mdadm/mdadm.conf", ""),
            ("etc/rc3.d", "->rc.d/rc3.d"),
            ("etc/rc.d/rc3.d/S25mdmonitor", "->../init.d/mdmonitor"),
            ("etc/rc.d/rc3.d/S55sshd", "->../init.d/sshd"),
        ],
        false,
    );
    assert_eq!(
        hidden(&decisions),
        ["etc/rc.d/rc3.d/S25mdmonitor", "opt/mdadm/mdadm.conf"]
    );
}

#[test]
fn what_a_wpar_has_been_made_into_is_not_decided_again() {
    let network = "auto lo\niface lo inet loopback\nauto eth0\niface eth0 inet dhcp\n";
    let decided = |kind: &str| {
        let data = format!("wpar_data:\n\tVERSION = 1\n\tKIND = {kind}\n");
        let files = [
            ("etc/network/interfaces", network),
            ("wpar.data", data.as_str()),
            ("boot/mine", ""),
        ];
        let situation = Situation {
            private_lists: &[],
            files: &FakeTree::new(&files),
            of_running_system: false,
            controls: CopyControls::default(),
            hostname: &Hostname::new("wpar1").unwrap(),
            resolver: None,
        };
        super::super::decide(&situation).unwrap()
    };
    assert_eq!(decided("wpar"), Decisions::default());
    let machine = decided("system");
    assert!(written(&machine).contains_key("etc/network/interfaces"));
    assert!(machine.view.conversion.programs);
}
