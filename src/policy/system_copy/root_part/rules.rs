//! What of a system's files outside `/usr` and `/opt` a fresh one has: tables, and what they say of one
//! path.

use wpar_mountd::types::FileKind;

use crate::model::base::USR_PARTS;
use crate::model::pattern::matches;
use crate::packages::Family;

/// Directories at the root that every system has.
pub(super) const SKELETON: [&str; 17] = [
    "bin", "boot", "dev", "etc", "home", "lib", "media", "mnt", "proc", "root", "run", "sbin",
    "srv", "sys", "tmp", "var", "var/tmp",
];

/// Where only directories and links are of the packages; files in them are this system's own.
const STATE: [&str; 15] = [
    "boot",
    "dev",
    "home",
    "media",
    "mnt",
    "proc",
    "root",
    "run",
    "srv",
    "sys",
    "tmp",
    "var/cache",
    "var/log",
    "var/spool",
    "var/tmp",
];

/// The identity and secrets of a machine, and what its administrator has set up of disks and networks,
/// whoever owns the names.
const NEVER: [&str; 14] = [
    "etc/.pwd.lock",
    "etc/adjtime",
    "etc/crypttab",
    "etc/fstab",
    "etc/hostname",
    "etc/krb5.keytab",
    "etc/machine-id",
    "etc/resolv.conf",
    "etc/ssh/ssh_host_*",
    "etc/ssl/private/*",
    "etc/pki/tls/private/*",
    "var/lib/dbus/machine-id",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/credential.secret",
];

/// Files that scripts of packages make, in no list of any: patterns for one component each.
pub(super) const GENERATED: [&str; 19] = [
    "etc/ca-certificates.conf",
    "etc/default/locale",
    "etc/environment",
    "etc/inittab",
    "etc/ld.so.cache",
    "etc/ld.so.conf",
    "etc/locale.conf",
    "etc/locale.gen",
    "etc/localtime",
    "etc/mtab",
    "etc/nsswitch.conf",
    "etc/os-release",
    "etc/pam.d/common-*",
    "etc/profile",
    "etc/shells",
    "etc/ssl/certs/*",
    "etc/timezone",
    "etc/xml/*",
    "etc/sgml/*",
];

/// Directories in which such scripts remember what they did.
pub(super) const REMEMBERED: [&str; 6] = [
    "var/lib/pam",
    "var/lib/systemd/deb-systemd-helper-enabled",
    "var/lib/systemd/deb-systemd-helper-masked",
    "var/lib/systemd/deb-systemd-user-helper-enabled",
    "var/lib/systemd/deb-systemd-user-helper-masked",
    "var/lib/ucf",
];

/// Files that a script copies from `/usr` and the administrator may have changed since.
pub(super) const MASTERS: [(&str, &str); 6] = [
    ("etc/ssh/sshd_config", "usr/share/openssh/sshd_config"),
    ("etc/inittab", "usr/share/sysvinit/inittab"),
    ("etc/motd", "usr/share/base-files/motd"),
    ("etc/profile", "usr/share/base-files/profile"),
    ("root/.bashrc", "usr/share/base-files/dot.bashrc"),
    ("root/.profile", "usr/share/base-files/dot.profile"),
];

/// Files of a machine's own, as an installer makes them.
pub(super) const FRESH: [(&str, &str); 2] = [
    (
        "etc/fstab",
        "# Nothing is mounted by this workload partition itself.\n",
    ),
    (
        "etc/hosts",
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n",
    ),
];

/// Whether `path` is `directory` or in it.
pub(super) fn is_in(path: &str, directory: &str) -> bool {
    let rest = path.strip_prefix(directory);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether `path` is in `/usr` or `/opt`.
pub(in crate::policy) fn is_usr(path: &str) -> bool {
    USR_PARTS.iter().any(|usr| is_in(path, usr))
}

/// Whether a pattern with `*` in components is that of `path`.
fn names(pattern: &str, path: &str) -> bool {
    pattern.split('/').count() == path.split('/').count()
        && pattern
            .split('/')
            .zip(path.split('/'))
            .all(|(p, c)| matches(p, c))
}

/// Whether a name that a package of `family` owns, or that a script made, is in a fresh system.
pub(super) fn is_taken(family: Family, path: &str, kind: FileKind) -> bool {
    if NEVER.iter().any(|pattern| names(pattern, path)) {
        return false;
    }
    match kind {
        FileKind::Directory | FileKind::Symlink => true,
        FileKind::Regular => {
            // The data base of rpm names files that programs make (ghosts) like all others.
            let is_state = STATE.iter().any(|state| is_in(path, state));
            let is_ghost = family == Family::Rpm && is_in(path, "var");
            !is_state && !is_ghost
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_system_has_made_itself_is_not_taken() {
        let taken = |path: &str| is_taken(Family::Dpkg, path, FileKind::Regular);
        for path in [
            "etc/ssh/sshd_config",
            "bin/busybox",
            "var/lib/misc/x",
            "etc/profile",
        ] {
            assert!(taken(path), "{path}");
        }
        for path in [
            "etc/ssh/ssh_host_rsa_key",
            "etc/machine-id",
            "etc/ssl/private/web.key",
            "var/log/dpkg.log",
            "root/.ssh",
            "var/cache/apt/pkgcache.bin",
            "tmp/x",
        ] {
            assert!(!taken(path), "{path}");
        }
        assert!(is_taken(Family::Dpkg, "var/log/apt", FileKind::Directory));
        assert!(!is_taken(Family::Rpm, "var/lib/x/ghost", FileKind::Regular));
        assert!(!is_taken(Family::Dpkg, "etc/x.socket", FileKind::Socket));
        assert!(is_usr("usr/bin") && is_usr("opt") && !is_usr("usrx") && !is_usr("var/opt"));
    }
}
