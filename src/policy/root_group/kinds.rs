//! What is known of file systems by their type and by where they are mounted.

use std::path::Path;

use crate::source::host::Mount;

/// Without these a system is none, whatever disk they are on.
const SYSTEM: &[&str] = &["/usr", "/var", "/opt", "/etc", "/root"];

/// Of these, what nothing starts without.
const VITAL: &[&str] = &["/usr", "/var", "/etc"];

/// Places of what is no part of the system, and what it is.
const ELSEWHERE: &[(&str, &str)] = &[
    ("/boot", "what the host boots from"),
    ("/efi", "what the host boots from"),
    ("/dev", "devices of the host"),
    ("/media", "a removable medium"),
    ("/mnt", "mounted for a while"),
    ("/run", "state of this boot of the host"),
    ("/sys", "belongs to the kernel"),
    ("/proc", "belongs to the kernel"),
    ("/tmp", "temporary files of the running system"),
    ("/var/tmp", "temporary files of the running system"),
];

/// Types whose files are on a server, or shared with other hosts.
const NETWORK: &[&str] = &[
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "coda",
    "gfs2",
    "glusterfs",
    "gpfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "ocfs2",
    "orangefs",
    "smb3",
    "smbfs",
    "virtiofs",
];

/// Whether it is at or below one of the directories of the system.
pub(super) fn is_system(mount: &Mount) -> bool {
    SYSTEM.iter().any(|top| mount.point.starts_with(top))
}

/// Whether nothing starts without it.
pub(super) fn is_vital(mount: &Mount) -> bool {
    VITAL.iter().any(|top| mount.point == Path::new(top))
}

/// Whether it has files that somebody could miss. The images of programs (snaps) can be had again.
pub(super) fn keeps_files(mount: &Mount) -> bool {
    mount.is_storage() || mount.fs_type == "squashfs" && by_type(mount).is_none()
}

/// Why what is mounted there is no part of the system, by where it is.
pub(super) fn by_place(point: &Path) -> Option<&'static str> {
    // Below /mnt, not at it: some keep their data there.
    let is_there = |top: &str| point.starts_with(top) && (top != "/mnt" || point != Path::new(top));
    let place = ELSEWHERE.iter().find(|(top, _)| is_there(top));
    let snapshots = point.iter().any(|name| name == ".snapshots");
    place
        .map(|(_, reason)| *reason)
        .or(snapshots.then_some("snapshots"))
}

/// Why it is no part of the system, by its type.
pub(super) fn by_type(mount: &Mount) -> Option<&'static str> {
    let fs_type = mount.fs_type.as_str();
    let is_image = matches!(fs_type, "squashfs" | "erofs" | "iso9660" | "udf");
    if NETWORK.contains(&fs_type) {
        Some("not on a disk of this host")
    } else if matches!(fs_type, "overlay" | "aufs" | "unionfs" | "ecryptfs") {
        Some("made of other directories")
    } else if fs_type == "fuse" || fs_type.starts_with("fuse.") {
        Some("served by a process of the host")
    } else if is_image && mount.source.starts_with("/dev/loop") {
        Some("an image in a file of the host")
    } else {
        None
    }
}

/// A file system in words.
pub(super) fn describe(mount: &Mount) -> String {
    format!("{} on {}", mount.fs_type, mount.source)
}
