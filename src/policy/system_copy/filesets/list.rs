//! The private list: which filesets are private by their names, and why.
//!
//! Private is what acts on the kernel, the boot or physical hardware by itself. What merely can talk
//! to hardware stays (ipmitool, pciutils, kpartx). The difference between the images that
//! distributions make for machines and those that they make for containers is about this list.

use crate::model::pattern::matches;
use crate::packages::Family;

/// Filesets that are private for the same reason.
#[derive(Debug)]
pub(super) struct Group {
    /// What they are, and why they are private.
    pub(super) reason: &'static str,
    /// Whether they belong to the kernel or the boot: with one of them hidden, what they generate is
    /// hidden too.
    pub(super) of_boot: bool,
    dpkg: &'static [&'static str],
    rpm: &'static [&'static str],
    apk: &'static [&'static str],
    pacman: &'static [&'static str],
}

impl Group {
    /// Its patterns in the words of a family.
    pub(super) fn patterns(&self, family: Family) -> &'static [&'static str] {
        match family {
            Family::Dpkg => self.dpkg,
            Family::Rpm => self.rpm,
            Family::Apk => self.apk,
            Family::Pacman => self.pacman,
        }
    }
}

/// The private list.
#[rustfmt::skip]
pub(super) const GROUPS: &[Group] = &[
    Group {
        reason: "kernel: a WPAR runs on that of the host",
        of_boot: true,
        dpkg: &["linux-image-*", "linux-modules-*", "linux-headers-*", "linux-kbuild-*",
            "linux-generic*", "linux-virtual*", "linux-cloud-*", "linux-aws*", "linux-azure*",
            "linux-gcp*", "linux-kvm*", "linux-oem*", "*-dkms", "dkms"],
        rpm: &["kernel", "kernel-core", "kernel-modules*", "kernel-uki*", "kernel-devel*",
            "kernel-default*", "kernel-rt*", "kernel-64k*", "kmod-*", "akmod-*", "*-kmp-*"],
        apk: &["linux-lts", "linux-virt", "linux-edge", "linux-rpi*", "linux-lts-dev",
            "linux-virt-dev", "linux-edge-dev"],
        pacman: &["linux", "linux-lts", "linux-zen", "linux-hardened", "linux-rt*",
            "linux-headers", "linux-lts-headers", "linux-zen-headers", "linux-hardened-headers",
            "*-dkms", "dkms"],
    },
    Group {
        reason: "firmware: only the host loads it",
        of_boot: false,
        dpkg: &["firmware-*", "linux-firmware*", "intel-microcode", "amd64-microcode",
            "iucode-tool", "wireless-regdb"],
        rpm: &["linux-firmware*", "*-firmware", "kernel-firmware-*", "microcode_ctl",
            "ucode-intel", "ucode-amd"],
        apk: &["linux-firmware*", "intel-ucode", "amd-ucode"],
        pacman: &["linux-firmware*", "intel-ucode", "amd-ucode"],
    },
    Group {
        reason: "boot loader: would write to disks of the host",
        of_boot: true,
        dpkg: &["grub-*", "grub2-*", "shim-*", "mokutil", "efibootmgr", "systemd-boot*", "lilo",
            "flash-kernel", "raspi-firmware", "os-prober", "memtest86+"],
        rpm: &["grub2-*", "grubby", "shim-*", "mokutil", "efibootmgr", "systemd-boot*",
            "perl-Bootloader", "pbl", "sdbootutil", "memtest86+", "os-prober"],
        apk: &["grub*", "syslinux", "efibootmgr"],
        pacman: &["grub", "refind", "efibootmgr", "syslinux", "limine"],
    },
    Group {
        reason: "initial file system of the boot: made anew with every library",
        of_boot: true,
        dpkg: &["initramfs-tools*", "dracut*", "tiny-initramfs*", "cryptsetup-initramfs",
            "cloud-initramfs-*", "busybox-initramfs"],
        rpm: &["dracut*", "mkinitrd"],
        apk: &["mkinitfs"],
        pacman: &["mkinitcpio*", "dracut", "booster"],
    },
    Group {
        reason: "crash dumps: take memory from the host",
        of_boot: false,
        dpkg: &["kdump-tools", "kexec-tools", "makedumpfile"],
        rpm: &["kexec-tools", "kdump-utils", "makedumpfile"],
        apk: &["kexec-tools"],
        pacman: &["kexec-tools"],
    },
    Group {
        reason: "disks: arrays, volumes and paths are assembled by the host",
        of_boot: false,
        // The library is of no use to anybody but lvm2 and its daemon, and asks for that.
        dpkg: &["mdadm", "dmraid", "multipath-tools*", "open-iscsi", "lvm2", "dmeventd",
            "liblvm2cmd*", "bcache-tools", "zfs-dkms", "zfs-initramfs", "zfs-zed"],
        rpm: &["mdadm", "dmraid", "device-mapper-multipath*", "iscsi-initiator-utils*",
            "open-iscsi", "lvm2", "lvm2-dbusd", "fcoe-utils", "ledmon"],
        apk: &["mdadm", "lvm2", "multipath-tools", "open-iscsi"],
        pacman: &["mdadm", "lvm2", "dmraid", "multipath-tools", "open-iscsi"],
    },
    Group {
        reason: "state and power of real hardware",
        of_boot: false,
        dpkg: &["smartmontools", "irqbalance", "mcelog", "rasdaemon", "acpid", "acpi-support*",
            "thermald", "tlp", "power-profiles-daemon", "fwupd*", "bolt", "lm-sensors",
            "fancontrol", "ledmon", "watchdog", "hdparm"],
        rpm: &["smartmontools", "irqbalance", "mcelog", "rasdaemon", "acpid", "thermald",
            "fwupd*", "bolt", "lm_sensors", "watchdog", "biosdevname"],
        apk: &["smartmontools", "irqbalance", "acpi", "acpid"],
        pacman: &["smartmontools", "irqbalance", "mcelog", "rasdaemon", "acpid", "thermald",
            "tlp", "power-profiles-daemon", "fwupd*", "bolt", "lm_sensors", "watchdog"],
    },
    Group {
        reason: "agent of a virtual machine: would answer for the host",
        of_boot: false,
        dpkg: &["qemu-guest-agent", "open-vm-tools*", "virtualbox-guest-*", "hyperv-daemons",
            "xe-guest-utilities", "spice-vdagent", "cloud-guest-utils", "walinuxagent",
            "google-guest-agent"],
        rpm: &["qemu-guest-agent", "open-vm-tools*", "hyperv-daemons", "hypervkvpd",
            "spice-vdagent", "WALinuxAgent", "google-guest-agent", "cloud-utils-growpart"],
        apk: &["qemu-guest-agent", "open-vm-tools*", "hvtools", "cloud-utils-growpart"],
        pacman: &["qemu-guest-agent", "open-vm-tools", "virtualbox-guest-utils*", "hyperv",
            "spice-vdagent", "cloud-guest-utils"],
    },
    Group {
        reason: "splash screens and virtual consoles: a WPAR has none",
        of_boot: false,
        dpkg: &["plymouth*", "console-setup*", "keyboard-configuration", "kbd", "gpm"],
        rpm: &["plymouth*", "gpm"],
        apk: &["kbd", "kbd-bkeymaps"],
        pacman: &["plymouth", "gpm"],
    },
];

/// Filesets that no rule of ours makes private, whatever they own.
const NEVER: &[&str] = &[
    // What every system is built on: a rule that hit one of these would be a mistake of ours.
    "base-files",
    "base-passwd",
    "filesystem",
    "alpine-base*",
    "bash",
    "coreutils",
    "dpkg",
    "rpm*",
    "apt",
    "apk-tools",
    "pacman",
    "libc6",
    "glibc*",
    "musl*",
    "busybox",
    "systemd",
    "util-linux",
    // Images for containers keep them too; without devices they do nothing.
    "udev",
    "systemd-udev",
    "eudev",
    "kmod",
    "libkmod2",
    "linux-base",
    // The kernel's interfaces for programs that are compiled.
    "linux-libc-dev",
    "kernel-headers",
    "linux-headers",
    "linux-api-headers",
    // They work on files as well as on disks.
    "cryptsetup",
    "cryptsetup-bin",
    "e2fsprogs",
    "xfsprogs",
    "btrfs-progs",
    "btrfsprogs",
    "kpartx",
    "device-mapper",
    "device-mapper-libs",
    "libdevmapper*",
];

/// Whether no rule of ours makes the fileset private. On Arch, `linux-headers` is the kernel's own.
pub(super) fn is_never_private(family: Family, name: &str) -> bool {
    let arch_kernel = family == Family::Pacman && name == "linux-headers";
    !arch_kernel && NEVER.iter().any(|pattern| matches(pattern, name))
}

/// The group and the pattern that name a fileset.
pub(super) fn find(family: Family, name: &str) -> Option<(&'static Group, &'static str)> {
    GROUPS.iter().find_map(|group| {
        let mut patterns = group.patterns(family).iter();
        let found = patterns.find(|pattern| matches(pattern, name))?;
        Some((group, *found))
    })
}

#[cfg(test)]
mod tests {
    use super::super::pattern::Pattern;
    use super::*;

    const FAMILIES: [Family; 4] = [Family::Dpkg, Family::Rpm, Family::Apk, Family::Pacman];

    #[test]
    fn every_pattern_of_ours_is_one() {
        for group in GROUPS {
            for family in FAMILIES {
                for pattern in group.patterns(family) {
                    assert!(Pattern::new(pattern).is_ok(), "{pattern}");
                }
            }
        }
    }

    #[test]
    fn names_of_real_systems_are_where_they_belong() {
        for (family, name, private) in [
            (Family::Dpkg, "linux-image-6.1.0-40-cloud-amd64", true),
            (Family::Dpkg, "linux-image-amd64", true),
            (Family::Dpkg, "linux-headers-6.1.0-40-common", true),
            (Family::Dpkg, "linux-libc-dev", false),
            (Family::Dpkg, "linux-base", false),
            (Family::Dpkg, "grub-efi-amd64-signed", true),
            (Family::Dpkg, "udev", false),
            (Family::Dpkg, "kmod", false),
            (Family::Dpkg, "libdevmapper1.02.1", false),
            (Family::Dpkg, "console-setup-linux", true),
            (Family::Dpkg, "qemu-utils", false),
            (Family::Rpm, "kernel-core", true),
            (Family::Rpm, "kernel-headers", false),
            (Family::Rpm, "kernel-srpm-macros", false),
            (Family::Rpm, "kbd", false),
            (Family::Rpm, "iwl7260-firmware", true),
            (Family::Rpm, "systemd-udev", false),
            (Family::Rpm, "nvidia-open-kmp-default", true),
            (Family::Apk, "linux-lts", true),
            (Family::Apk, "linux-headers", false),
            (Family::Apk, "linux-pam", false),
            (Family::Pacman, "linux", true),
            (Family::Pacman, "linux-headers", true),
            (Family::Pacman, "linux-api-headers", false),
        ] {
            let found = !is_never_private(family, name) && find(family, name).is_some();
            assert_eq!(found, private, "{family} {name}");
        }
    }
}
