//! Which mounted file systems are the system: the root volume group.
//!
//! The root file system, whatever is mounted at or below the directories of the system, and what
//! else lies on the same disks as the root. File systems of servers and of other processes,
//! pseudo file systems, removable media, boot partitions and bind mounts are not.

use std::path::Path;

use crate::source::host::Mount;

/// Without these a system is none, whatever disk they are on.
const SYSTEM: &[&str] = &["/usr", "/var", "/opt", "/etc", "/root"];
/// What is mounted at or below these is not the system.
const ELSEWHERE: &[&str] = &[
    "/boot", "/efi", "/media", "/mnt", "/run", "/tmp", "/var/tmp", "/dev",
];

/// The mounts of a host, divided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeGroup {
    /// Mount points whose file systems belong to it, `/` among them, sorted.
    pub members: Vec<Mount>,
}

impl VolumeGroup {
    /// Divides `mounts`. `group_of` tells the group of disks that a mounted file system lies on.
    pub fn divide(mounts: &[Mount], group_of: &dyn Fn(&Mount) -> Option<String>) -> Self {
        let visible = visible(mounts);
        let root = visible.iter().find(|mount| mount.point == Path::new("/"));
        let root_group = root.and_then(|root| group_of(root));
        let mut found = Self::default();
        for mount in visible {
            let is_member = mount.point == Path::new("/")
                || (mount.is_whole
                    && is_disk(mount)
                    && !is_below(&mount.point, ELSEWHERE)
                    && (is_below(&mount.point, SYSTEM)
                        || (root_group.is_some() && group_of(mount) == root_group)));
            if is_member && parent_is_member(&found.members, mount, mounts) {
                found.members.push(mount.clone());
            }
        }
        found
    }
}

/// The mounts that can be seen: the last one at each point, sorted by point.
fn visible(mounts: &[Mount]) -> Vec<&Mount> {
    let mut seen: Vec<&Mount> = Vec::new();
    for mount in mounts {
        seen.retain(|other| other.point != mount.point);
        seen.push(mount);
    }
    seen.sort_by(|a, b| a.point.cmp(&b.point));
    seen
}

fn is_below(point: &Path, directories: &[&str]) -> bool {
    directories
        .iter()
        .any(|directory| point.starts_with(directory))
}

/// Whether it is a file system on a disk of this host.
fn is_disk(mount: &Mount) -> bool {
    mount.answers_locally() && mount.fs_type != "tmpfs"
}

/// A mount below one that is left out cannot be reached.
fn parent_is_member(members: &[Mount], mount: &Mount, all: &[Mount]) -> bool {
    let is_mount = |above: &&Path| all.iter().any(|other| other.point == **above);
    let nearest = mount.point.ancestors().skip(1).find(is_mount);
    nearest.is_none_or(|above| members.iter().any(|member| member.point == above))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(point: &str, fs_type: &str, source: &str) -> Mount {
        Mount {
            point: point.into(),
            fs_type: fs_type.into(),
            source: source.into(),
            is_whole: true,
            ..Mount::default()
        }
    }

    /// `/dev/sda1` lies on the disk `/dev/sda`.
    fn disk(mount: &Mount) -> Option<String> {
        mount.source.starts_with("/dev/").then(|| {
            mount
                .source
                .trim_end_matches(|c: char| c.is_ascii_digit())
                .to_owned()
        })
    }

    fn points(mounts: &[Mount]) -> Vec<&str> {
        mounts
            .iter()
            .map(|mount| mount.point.to_str().unwrap())
            .collect()
    }

    #[test]
    fn the_disks_of_the_root_and_the_directories_of_the_system() {
        let bind = Mount {
            is_whole: false,
            ..mount("/srv/bind", "ext4", "/dev/sda1")
        };
        let mounts = [
            mount("/", "ext4", "/dev/sda1"),
            mount("/proc", "proc", "proc"),
            mount("/home", "xfs", "/dev/sda2"),
            mount("/data", "xfs", "/dev/sdb1"),
            mount("/data/a", "xfs", "/dev/sda5"),
            mount("/usr", "ext4", "/dev/sdc1"),
            mount("/boot", "ext4", "/dev/sda3"),
            mount("/var/lib/nfs/x", "nfs4", "s:/"),
            mount("/var/lib/pg", "xfs", "/dev/sdd1"),
            mount("/mnt/stick", "ext4", "/dev/sda4"),
            mount("/snap/x", "squashfs", "/dev/loop0"),
            mount("/tmp", "tmpfs", "tmpfs"),
            bind,
        ];
        let group = VolumeGroup::divide(&mounts, &disk);
        assert_eq!(
            points(&group.members),
            ["/", "/home", "/usr", "/var/lib/pg"]
        );
    }

    #[test]
    fn of_mounts_on_one_point_the_last_is_seen() {
        let mounts = [
            mount("/", "rootfs", "none"),
            mount("/", "ext4", "/dev/sda1"),
            mount("/home", "ext4", "/dev/sda2"),
            mount("/home", "nfs", "s:/home"),
        ];
        let group = VolumeGroup::divide(&mounts, &disk);
        assert_eq!(points(&group.members), ["/"]);
        assert_eq!(group.members[0].fs_type, "ext4");
    }

    #[test]
    fn without_known_disks_only_the_root_and_the_system() {
        let mounts = [
            mount("/", "zfs", "rpool/ROOT"),
            mount("/home", "ext4", "/dev/sda1"),
            mount("/var", "ext4", "/dev/sda2"),
        ];
        let group = VolumeGroup::divide(&mounts, &|_| None);
        assert_eq!(points(&group.members), ["/", "/var"]);
    }
}
