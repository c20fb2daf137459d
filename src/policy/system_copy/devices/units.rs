//! Units of systemd that act on hardware, the clock or the boot, and do not notice by themselves that
//! they are in a container: they are masked, by the links that `systemctl mask` makes.
//!
//! Only what the source has is masked. Units with a condition that no WPAR fulfils need nothing
//! (`systemd-udevd`, `systemd-sysctl`, `smartmontools` and many more): the launcher withholds what the
//! conditions ask for.

use std::collections::BTreeSet;

use wpar_mountd::error::FsError;
use wpar_mountd::types::FileKind;

use super::super::draft::Draft;
use crate::model::pattern::matches;

/// Where an administrator's units and masks are.
const OWN: &str = "etc/systemd/system";

/// Where units of packages are.
const DIRECTORIES: [&str; 4] = [
    "usr/lib/systemd/system",
    "lib/systemd/system",
    "usr/local/lib/systemd/system",
    OWN,
];

/// Why, and which units.
const MASKED: &[(&str, &[&str])] = &[
    (
        "the disks are the host's",
        &[
            "mdmonitor*",
            "mdcheck_*.timer",
            "mdmon@.service",
            "mdadm.service",
            "mdadm-waitidle.service",
            "mdadm-shutdown.service",
            "lvm2-monitor.service",
            "lvm2-lvmpolld.*",
            "lvm2-activation*",
            "lvm2-pvscan@.service",
            "blk-availability.service",
            "dm-event.*",
            "bcache*",
            "zfs-import*",
            "zfs-mount.service",
            "zfs-share.service",
            "zfs-volume-wait.service",
            "zfs-zed.service",
            "iscsid.*",
            "iscsi*",
            "open-iscsi.service",
            "nvmf-autoconnect.service",
            "nvmefc-boot-connections.service",
            "ledmon.service",
            "udisks2.service",
            "e2scrub_all.timer",
            "xfs_scrub_all.timer",
            "xfs_healer@.service",
            "swap.target",
            "*.swap",
            "systemd-remount-fs.service",
        ],
    ),
    (
        "the hardware is the host's",
        &[
            "kdump*",
            "lm-sensors.service",
            "lm_sensors.service",
            "fancontrol.service",
            "rasdaemon.service",
            "ras-mc-ctl.service",
            "mcelog.service",
            "watchdog.service",
            "wd_keepalive.service",
            "rngd.service",
            "rng-tools*.service",
            "haveged.service",
            "tuned.service",
            "upower.service",
            "apcupsd.service",
            "display-manager.service",
            "console-setup.service",
            "keyboard-setup.service",
            "setvtrgb.service",
            "systemd-vconsole-setup.service",
            "serial-getty@.service",
            "gpm.service",
        ],
    ),
    (
        "the virtual machine is the host's",
        &[
            "qemu-guest-agent.service",
            "qemu-ga.service",
            "hv-*-daemon.service",
            "hv*_daemon.service",
            "vmtoolsd.service",
            "open-vm-tools.service",
            "vboxadd*",
            "vboxservice.service",
            "xe-daemon.service",
            "google-*",
            "waagent.service",
            "walinuxagent*",
            "cloud-init*",
            "cloud-config.*",
            "cloud-final.service",
            "amazon-ssm-agent.service",
        ],
    ),
    (
        "the clock is the host's",
        &[
            "chrony.service",
            "chronyd.service",
            "chrony-wait.service",
            "ntp.service",
            "ntpd.service",
            "ntpsec.service",
            "openntpd.service",
            "systemd-timesyncd.service",
            "fake-hwclock*",
            "hwclock*",
        ],
    ),
    (
        "the kernel is the host's",
        &[
            "auditd.service",
            "audit-rules.service",
            "apparmor.service",
            "snapd.apparmor.service",
            "snapd.seeded.service",
            "dev-hugepages.mount",
            "proc-sys-fs-binfmt_misc.automount",
            "systemd-binfmt.service",
            "binfmt-support.service",
            "systemd-boot-update.service",
            "systemd-boot-random-seed.service",
            "systemd-tpm2-setup*",
            "systemd-pcr*",
        ],
    ),
    (
        "what it makes is there already",
        &[
            "colord.service",
            "systemd-firstboot.service",
            "systemd-hwdb-update.service",
        ],
    ),
    (
        "it would wait for a network that comes from outside",
        &[
            "systemd-networkd-wait-online.service",
            "NetworkManager-wait-online.service",
            "ifupdown-wait-online.service",
        ],
    ),
    (
        "it would wait for devices",
        &["systemd-udev-settle.service", "ifupdown-pre.service"],
    ),
];

pub(super) fn apply(draft: &mut Draft<'_>) -> Result<(), FsError> {
    if !has_systemd(draft)? {
        return Ok(());
    }
    for unit in units(draft)? {
        if let Some(reason) = reason(&unit) {
            mask(draft, &unit, reason)?;
        }
    }
    Ok(())
}

/// Whether systemd can be the source's init.
pub(super) fn has_systemd(draft: &Draft<'_>) -> Result<bool, FsError> {
    for path in ["usr/lib/systemd/systemd", "lib/systemd/systemd"] {
        if draft.leads_somewhere(path)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The names of all units, with those that systemd makes of init scripts.
fn units(draft: &mut Draft<'_>) -> Result<BTreeSet<String>, FsError> {
    let mut units = BTreeSet::new();
    for directory in DIRECTORIES {
        let listing = draft.listing(directory)?;
        let names = listing.names.iter();
        let files = names.filter(|(_, kind)| *kind != FileKind::Directory);
        units.extend(files.map(|(name, _)| name.clone()));
    }
    let scripts = draft.listing("etc/init.d")?;
    units.extend(
        scripts
            .names
            .iter()
            .map(|(name, _)| format!("{}.service", name.trim_end_matches(".sh"))),
    );
    Ok(units)
}

fn reason(unit: &str) -> Option<&'static str> {
    MASKED
        .iter()
        .find(|(_, patterns)| patterns.iter().any(|pattern| matches(pattern, unit)))
        .map(|(reason, _)| *reason)
}

/// Masks a unit, unless an administrator has written one of that name.
fn mask(draft: &mut Draft<'_>, unit: &str, reason: &str) -> Result<(), FsError> {
    let path = format!("{OWN}/{unit}");
    match draft.find(&path)? {
        Some((_, FileKind::Symlink)) if draft.link(&path)?.as_deref() == Some("/dev/null") => {
            return Ok(());
        }
        Some((_, FileKind::Symlink)) | None => {}
        Some(_) => {
            draft.note(format!(
                "{unit} is this system's own and stays, although {reason}; \
                 'systemctl mask' does not go over it: move /{path} away if it fails"
            ));
            return Ok(());
        }
    }
    for directory in DIRECTORIES {
        let listing = draft.listing(directory)?;
        if listing.kind(unit) == Some(FileKind::Symlink)
            && draft.link(&listing.join(unit))?.as_deref() == Some("/dev/null")
        {
            return Ok(());
        }
    }
    draft.write_link(&path, "/dev/null", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_that_a_system_needs_are_not_masked() {
        for unit in [
            "ssh.service",
            "sshd.service",
            "cron.service",
            "dbus.service",
            "getty@.service",
            "console-getty.service",
            "container-getty@.service",
            "systemd-logind.service",
            "systemd-networkd.service",
            "systemd-resolved.service",
            "NetworkManager.service",
            "networking.service",
            "nftables.service",
            "local-fs.target",
            "remote-fs.target",
            "systemd-tmpfiles-setup.service",
            "systemd-udevd.service",
            "snapd.service",
            "postgresql.service",
            "cloudflared.service",
        ] {
            assert_eq!(reason(unit), None, "{unit}");
        }
        for unit in ["mdmonitor.service", "mdcheck_start.timer", "dev-sda2.swap"] {
            assert_eq!(reason(unit), Some("the disks are the host's"), "{unit}");
        }
        assert_eq!(reason("chronyd.service"), Some("the clock is the host's"));
    }
}
