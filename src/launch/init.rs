//! Which init a root file system has, seen from inside it, and what each kind is told.
//!
//! Everything here runs after the root was changed: paths are the WPAR's own, and a symbolic
//! link cannot lead out of it.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::LaunchSpec;

/// What runs as process 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InitKind {
    /// systemd.
    Systemd,
    /// System V init.
    Sysvinit,
    /// OpenRC, under its own init or that of System V.
    Openrc,
    /// busybox, or an init that understands its signals.
    Busybox,
    /// Some other init.
    Other,
    /// None in the image, or a single command: the built-in one, which only reaps.
    Builtin,
}

impl InitKind {
    /// Whether it announces by itself that the system is up.
    pub fn announces_ready(self) -> bool {
        self == Self::Systemd
    }
}

/// Where inits are, in the kernel's own order.
const CANDIDATES: [&str; 3] = ["/sbin/init", "/etc/init", "/bin/init"];

/// The path of an init to execute and its kind; `None` if the file system has none.
pub(crate) fn detect() -> Option<(PathBuf, InitKind)> {
    CANDIDATES.iter().find_map(|candidate| {
        let real = std::fs::canonicalize(candidate).ok()?;
        real.is_file()
            .then(|| (PathBuf::from(candidate), classify(&real)))
    })
}

/// The kind of init that the file `real`, free of links, is.
fn classify(real: &Path) -> InitKind {
    match real.file_name().and_then(|name| name.to_str()) {
        Some("systemd") => InitKind::Systemd,
        Some("busybox" | "busybox.static") => InitKind::Busybox,
        Some("openrc-init") => InitKind::Openrc,
        Some("init") if Path::new("/sbin/openrc").exists() => InitKind::Openrc,
        Some("init") if Path::new("/etc/inittab").exists() => InitKind::Sysvinit,
        _ => InitKind::Other,
    }
}

/// Search path of programs inside, for root.
pub(crate) const ROOT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where the notify socket is inside.
pub(crate) const NOTIFY_SOCKET: &str = "/run/host/notify";

/// Becomes the init at `path`; returns only if that fails.
pub(crate) fn execute(path: &Path, spec: &LaunchSpec) -> io::Error {
    Command::new(path)
        .env_clear()
        .env("PATH", ROOT_PATH)
        // A console that never answers questions: systemd would wait for each answer.
        .env("TERM", "dumb")
        .env("NOTIFY_SOCKET", NOTIFY_SOCKET)
        .envs(container_environment(spec))
        .exec()
}

/// What tells a program that it runs in a container. The name is one that OpenRC knows too.
pub(crate) fn container_environment(spec: &LaunchSpec) -> [(&'static str, String); 2] {
    [
        ("container", "lxc".to_owned()),
        ("container_uuid", as_uuid(&spec.machine_id)),
    ]
}

/// 32 hexadecimal digits in the form 8-4-4-4-12.
fn as_uuid(id: &str) -> String {
    if id.len() != 32 || !id.is_ascii() {
        return id.to_owned();
    }
    [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inits_are_known_by_the_file_that_they_are() {
        for (path, kind) in [
            ("/usr/lib/systemd/systemd", InitKind::Systemd),
            ("/lib/systemd/systemd", InitKind::Systemd),
            ("/bin/busybox", InitKind::Busybox),
            ("/usr/sbin/openrc-init", InitKind::Openrc),
            ("/usr/sbin/runit-init", InitKind::Other),
        ] {
            assert_eq!(classify(Path::new(path)), kind, "{path}");
        }
    }

    #[test]
    fn machine_ids_become_uuids() {
        let uuid = as_uuid("0123456789abcdef0123456789abcdef");
        assert_eq!(uuid, "01234567-89ab-cdef-0123-456789abcdef");
        assert_eq!(as_uuid("short"), "short");
    }
}
