//! The same for inits that have no masks: the links by which a runlevel starts a service on hardware
//! are hidden.
//!
//! OpenRC's services with `keyword -lxc` leave themselves out; the links to them do no harm.

use wpar_mountd::error::FsError;

use super::super::draft::Draft;
use super::units::has_systemd;
use crate::model::pattern::matches;

const REASON: &str = "acts on hardware, the clock or the boot, which are the host's";

/// Services of System V. Those that a boot waits for or a shutdown needs (`checkroot.sh`, `umountfs`, `halt`) and
/// those that make `/run` and `/tmp` usable are not among them.
const SERVICES: &[&str] = &[
    "acpid",
    "apparmor",
    "auditd",
    "binfmt",
    "checkfs.sh",
    "chrony",
    "chronyd",
    "cloud-*",
    "console-setup.sh",
    "consolefont",
    "cryptdisks",
    "cryptdisks-early",
    "dmcrypt",
    "fancontrol",
    "fsck",
    "haveged",
    "hwclock",
    "hwclock.sh",
    "hwclockfirst.sh",
    "hwdrivers",
    "hv-*",
    "irqbalance",
    "iscsid",
    "kdump*",
    "kexec*",
    "keyboard-setup*",
    "keymaps",
    "kmod",
    "lm-sensors",
    "loadkmap",
    "lvm",
    "lvm2*",
    "mcelog",
    "mdadm*",
    "mdmonitor",
    "module-init-tools",
    "modules",
    "multipath*",
    "multipathd",
    "ntp",
    "ntpd",
    "ntpsec",
    "numlock",
    "open-iscsi",
    "open-vm-tools",
    "plymouth*",
    "qemu-guest-agent",
    "rngd",
    "root",
    "smartd",
    "smartmontools",
    "swap",
    "swap-boot",
    "udev",
    "udev-*",
    "udev-finish",
    "umountiscsi.sh",
    "waagent",
    "watchdog",
    "wd_keepalive",
];

/// Services of OpenRC that do not leave themselves out.
const OPENRC: &[&str] = &[
    "acpid",
    "chronyd",
    "dmcrypt",
    "iscsid",
    "lvm",
    "mdadm*",
    "multipath*",
    "ntpd",
    "smartd",
    "swap",
    "zfs-import",
    "zfs-mount",
    "zfs-zed",
];

pub(super) fn apply(draft: &mut Draft<'_>) -> Result<(), FsError> {
    // There they are none but for scripts without a unit, and those are masked.
    if has_systemd(draft)? {
        return Ok(());
    }
    for (path, _) in draft.expand("etc/rc?.d/???*")? {
        let name = path.rsplit('/').next().unwrap_or_default();
        let service = name
            .strip_prefix(['S', 'K'])
            .and_then(|rest| rest.get(2..))
            .unwrap_or_default();
        if SERVICES.iter().any(|pattern| matches(pattern, service)) {
            draft.hide(&path, REASON)?;
        }
    }
    for service in OPENRC {
        draft.hide(&format!("etc/runlevels/*/{service}"), REASON)?;
    }
    Ok(())
}
