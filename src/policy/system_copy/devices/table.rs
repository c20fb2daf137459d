//! The names that are only hidden, and why: most of what is device information.
//!
//! Patterns are paths without a leading `/`. A name that no source has costs nothing but a look.

use wpar_mountd::error::FsError;

use super::super::Situation;
use super::super::draft::Draft;

/// Why, and which names.
type Group = (&'static str, &'static [&'static str]);

/// Hidden themselves.
const NAMES: &[Group] = &[
    (
        "arrays of the source's disks",
        &["etc/mdadm.conf", "etc/mdadm/*"],
    ),
    (
        "world-wide names of the source's disks",
        &["etc/multipath.conf", "etc/lvm/devices/*"],
    ),
    (
        "identity of the source in a storage network: it must not be there twice",
        &[
            "etc/iscsi/initiatorname.iscsi",
            "etc/nvme/hostnqn",
            "etc/nvme/hostid",
            "etc/nvme/discovery.conf",
            "etc/fcoe",
        ],
    ),
    (
        "pools of the source's disks",
        &["etc/zfs/zpool.cache", "etc/zfs/zfs-list.cache"],
    ),
    (
        "names after hardware addresses and serial numbers",
        &[
            "etc/udev/rules.d/*persistent*",
            "etc/udev/rules.d/75-*-generator*",
            "etc/udev/rules.d/*eno-fix.rules",
            "etc/udev/hwdb.bin",
            "etc/systemd/network/*.link",
        ],
    ),
    (
        "what was known of the source's hardware",
        &[
            "etc/blkid.conf",
            "etc/blkid.tab*",
            "etc/blkid",
            "etc/sysconfig/hw-uuid",
            "etc/smolt",
            "etc/X11/xorg.conf",
            "etc/X11/xorg.conf.d/*nvidia*",
            "etc/systemd/zram-generator.conf",
        ],
    ),
    (
        "swap space of the source",
        &["swapfile", "swap.img", "swap.file"],
    ),
    (
        "state of a running source",
        &[
            "tmp/.X11-unix",
            "tmp/.X*-lock",
            "tmp/systemd-private-*",
            "var/tmp/systemd-private-*",
            "fastboot",
            "forcefsck",
        ],
    ),
    (
        "found by a check of the source's file systems",
        &["lost+found", "home/lost+found", "var/lost+found"],
    ),
    (
        "would relabel every file; labels are the host's affair",
        &[".autorelabel"],
    ),
    (
        "consoles that a workload partition does not have",
        &[
            "etc/init/tty?.conf",
            "etc/init/ttyS*.conf",
            "etc/init/serial.conf",
            "etc/init/start-ttys.conf",
        ],
    ),
    (
        "must be random, and so not the same twice",
        &[
            "var/lib/systemd/random-seed",
            "var/lib/systemd/credential.secret",
            "var/lib/random-seed",
            "var/lib/seedrng",
            "var/lib/urandom/random-seed",
        ],
    ),
];

/// Directories that stay and are empty.
const CONTENTS: &[Group] = &[
    (
        "descriptions of the source's volume groups",
        &["etc/lvm/archive", "etc/lvm/backup", "etc/lvm/cache"],
    ),
    ("world-wide names of the source's disks", &["etc/multipath"]),
    (
        "sessions of the source in a storage network",
        &[
            "etc/iscsi/nodes",
            "etc/iscsi/send_targets",
            "etc/iscsi/ifaces",
            "var/lib/iscsi",
        ],
    ),
    (
        "volumes on the source's disks",
        &["etc/drbd.d", "var/lib/ceph/osd"],
    ),
    (
        "state of the source's devices",
        &[
            "var/lib/systemd/backlight",
            "var/lib/systemd/rfkill",
            "var/lib/systemd/coredump",
        ],
    ),
];

/// The boot loader and its kernels, which start nothing in a workload partition.
const BOOT: &str = "boot";

/// What a clone of a running system must not share with it.
const OF_A_CLONE: &[Group] = &[(
    "the running system keeps its own; this one makes new ones",
    &[
        "etc/ssh/ssh_host_*key",
        "etc/ssh/ssh_host_*key.pub",
        "etc/dropbear/dropbear_*_host_key",
    ],
)];

pub(super) fn apply(draft: &mut Draft<'_>, situation: &Situation<'_>) -> Result<(), FsError> {
    let of_a_clone: &[Group] = match situation.of_running_system {
        true => OF_A_CLONE,
        false => &[],
    };
    for (reason, patterns) in NAMES.iter().chain(of_a_clone) {
        for pattern in *patterns {
            draft.hide(pattern, reason)?;
        }
    }
    for (reason, directories) in CONTENTS {
        for directory in *directories {
            draft.hide_contents(directory, reason)?;
        }
    }
    // Who keeps the private filesets keeps the kernel, and with it what belongs to that.
    if !situation.controls.preserve_private {
        draft.hide_contents(BOOT, "starts the source's own machine")?;
    }
    if draft.listing("etc/cloud")?.names.is_empty() {
        return Ok(());
    }
    draft.write(
        "etc/cloud/cloud-init.disabled",
        Vec::new(),
        "cloud-init would look for its data source, and give the copy another identity",
    )
}
