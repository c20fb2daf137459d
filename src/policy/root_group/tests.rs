//! Hosts as they are installed: what of them is in a copy, and what is not.

use std::collections::BTreeMap;

use wpar_mountd::spec::{HiddenExtent, RootMark};

use super::*;
use crate::source::host::parse_mountinfo;

/// A host by its mounts (as in mountinfo), with what its devices lie on.
struct Host {
    mounts: Vec<Mount>,
    disks: Vec<(&'static str, &'static str)>,
    nested: Vec<(&'static str, &'static str)>,
    marks: BTreeMap<PathBuf, u64>,
    files: Vec<&'static str>,
}

/// `disks` are pairs of a source and what it lies on: disks, or with `=` a volume group.
fn host(mountinfo: &str, disks: &[(&'static str, &'static str)]) -> Host {
    let mounts = parse_mountinfo(mountinfo.as_bytes());
    assert_eq!(
        mounts.len(),
        mountinfo.lines().count(),
        "all lines make sense"
    );
    Host {
        marks: (1000..)
            .zip(&mounts)
            .map(|(number, mount)| (mount.point.clone(), number))
            .collect(),
        mounts,
        disks: disks.to_vec(),
        nested: Vec::new(),
        files: Vec::new(),
    }
}

impl HostFacts for Host {
    fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    fn swap_files(&self) -> &[PathBuf] {
        &[]
    }

    fn resolve(&self, path: &Path) -> Option<(PathBuf, PathKind)> {
        let is_file = self.files.iter().any(|file| Path::new(file) == path);
        let kind = if is_file {
            PathKind::Other
        } else {
            PathKind::Directory
        };
        Some((path.to_owned(), kind))
    }

    fn disks(&self, mount: &Mount) -> Disks {
        let found = self
            .disks
            .iter()
            .find(|(source, _)| *source == mount.source);
        match found.map(|(_, on)| *on) {
            Some(on) if on.starts_with('=') => Disks {
                volume: Some(on.to_owned()),
                ..Disks::default()
            },
            on => Disks {
                volume: None,
                disks: on
                    .into_iter()
                    .flat_map(str::split_whitespace)
                    .map(str::to_owned)
                    .collect(),
            },
        }
    }

    fn mark(&self, point: &Path) -> Option<RootMark> {
        let inode = *self.marks.get(point)?;
        Some(RootMark {
            inode,
            born: None,
            id: None,
        })
    }

    fn subvolumes(&self, mount: &Mount) -> Vec<PathBuf> {
        let here = self
            .nested
            .iter()
            .filter(|(at, _)| mount.point == Path::new(at));
        here.map(|(_, path)| PathBuf::from(path)).collect()
    }
}

fn points(group: &RootGroup) -> Vec<&str> {
    group.parts.iter().map(|part| part.point.as_str()).collect()
}

fn out(group: &RootGroup) -> Vec<String> {
    let line = |out: &LeftOut| format!("{}: {}", out.point, out.reason);
    group.left_out.iter().map(line).collect()
}

fn divided(host: &Host) -> RootGroup {
    divide(host, &[], &Selection::default()).unwrap()
}

fn selection(include: &[&str], exclude: &[&str]) -> Selection {
    let own = |paths: &[&str]| paths.iter().map(|&path| path.to_owned()).collect();
    Selection {
        include: own(include),
        exclude: own(exclude),
        ..Selection::default()
    }
}

/// What every host has besides its disks.
const KERNEL: &str = "\
900 1 0:21 / /proc rw - proc proc rw
901 1 0:22 / /sys rw - sysfs sysfs rw
902 1 0:6 / /dev rw - devtmpfs udev rw
903 902 0:24 / /dev/pts rw - devpts devpts rw
904 1 0:25 / /run rw - tmpfs tmpfs rw
905 900 0:30 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw
906 901 0:31 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw
907 904 0:40 / /run/user/1000 rw - tmpfs tmpfs rw
";

#[test]
fn one_file_system() {
    let host = host(
        &format!(
            "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n{KERNEL}2 1 8:15 / /boot/efi rw - vfat /dev/sda15 rw\n"
        ),
        &[("/dev/sda1", "sda"), ("/dev/sda15", "sda")],
    );
    let group = divided(&host);
    assert_eq!(points(&group), [""; 0]);
    assert_eq!(
        out(&group),
        ["boot/efi: vfat on /dev/sda15, what the host boots from"]
    );
}

#[test]
fn a_home_of_its_own_on_the_same_disk_and_a_data_disk() {
    let host = host(
        &format!(
            "1 0 259:2 / / rw - ext4 /dev/nvme0n1p2 rw\n{KERNEL}\
             2 1 259:3 / /home rw - ext4 /dev/nvme0n1p3 rw\n\
             3 1 259:8 / /data rw - xfs /dev/nvme1n1 rw\n\
             4 3 259:4 / /data/fast rw - xfs /dev/nvme0n1p4 rw\n\
             5 1 0:50 / /srv/share rw - nfs4 nas:/share rw\n\
             6 1 259:5 / /mnt rw - ext4 /dev/nvme0n1p5 rw\n\
             7 6 8:1 / /mnt/stick rw - ext4 /dev/sdx1 rw\n"
        ),
        &[
            ("/dev/nvme0n1p2", "nvme0n1"),
            ("/dev/nvme0n1p3", "nvme0n1"),
            ("/dev/nvme0n1p4", "nvme0n1"),
            ("/dev/nvme0n1p5", "nvme0n1"),
            ("/dev/nvme1n1", "nvme1n1"),
        ],
    );
    let group = divided(&host);
    assert_eq!(points(&group), ["home", "mnt"]);
    assert_eq!(
        group.parts[0].reason,
        "ext4 on /dev/nvme0n1p3, in the root volume group"
    );
    assert_eq!(
        out(&group),
        [
            "data: xfs on /dev/nvme1n1, not in the root volume group",
            "data/fast: xfs on /dev/nvme0n1p4, mounted in something that is left out",
            "mnt/stick: ext4 on /dev/sdx1, mounted for a while",
            "srv/share: nfs4 on nas:/share, not on a disk of this host",
        ]
    );
    let asked = divide(&host, &[], &selection(&["/data"], &["/home"])).unwrap();
    assert_eq!(points(&asked), ["data", "data/fast", "mnt"]);
    assert!(out(&asked)[0].starts_with("home: ext4 on /dev/nvme0n1p3, left out by"));
}

#[test]
fn two_volume_groups() {
    let host = host(
        &format!(
            "1 0 253:0 / / rw - xfs /dev/mapper/rhel-root rw\n{KERNEL}\
             2 1 253:2 / /home rw - xfs /dev/mapper/rhel-home rw\n\
             3 1 253:3 / /var rw - xfs /dev/mapper/rhel-var rw\n\
             4 3 253:5 / /var/lib/pgsql rw - xfs /dev/mapper/data-pg rw\n\
             5 1 253:6 / /srv rw - xfs /dev/mapper/data-srv rw\n\
             6 1 8:1 / /boot rw - xfs /dev/sda1 rw\n\
             7 1 253:7 / /opt/oracle rw - xfs /dev/mapper/data-oracle rw\n"
        ),
        &[
            ("/dev/mapper/rhel-root", "=rhel"),
            ("/dev/mapper/rhel-home", "=rhel"),
            ("/dev/mapper/rhel-var", "=rhel"),
            ("/dev/mapper/data-pg", "=data"),
            ("/dev/mapper/data-srv", "=data"),
            ("/dev/mapper/data-oracle", "=data"),
            ("/dev/sda1", "sda"),
        ],
    );
    let group = divided(&host);
    assert_eq!(
        points(&group),
        ["home", "opt/oracle", "var", "var/lib/pgsql"]
    );
    assert_eq!(
        out(&group),
        [
            "boot: xfs on /dev/sda1, what the host boots from",
            "srv: xfs on /dev/mapper/data-srv, not in the root volume group",
        ]
    );
}

#[test]
fn the_subvolumes_of_ubuntu_fedora_and_opensuse() {
    let btrfs = |id: u32, volume: &str, point: &str| {
        let parent = if point == "/" { 0 } else { 1 };
        format!("{id} {parent} 0:40 {volume} {point} rw - btrfs /dev/sda2 rw,subvol={volume}\n")
    };
    let ubuntu = btrfs(1, "/@", "/") + KERNEL + &btrfs(2, "/@home", "/home");
    let fedora = btrfs(1, "/root", "/") + KERNEL + &btrfs(2, "/home", "/home");
    let mut opensuse = btrfs(1, "/@/.snapshots/1/snapshot", "/") + KERNEL;
    let mut expected = Vec::new();
    for (id, name) in (2..).zip(["home", "opt", "root", "srv", "usr/local", "var"]) {
        opensuse += &btrfs(id, &format!("/@/{name}"), &format!("/{name}"));
        expected.push(name);
    }
    opensuse += &btrfs(20, "/@/.snapshots", "/.snapshots");
    opensuse += &btrfs(21, "/@/boot/grub2/x86_64-efi", "/boot/grub2/x86_64-efi");
    // All of it, as administrators mount it.
    opensuse += &btrfs(22, "/", "/all");
    for (mounts, expected) in [
        (ubuntu, vec!["home"]),
        (fedora, vec!["home"]),
        (opensuse, expected),
    ] {
        let mut host = host(&mounts, &[]);
        host.nested = vec![
            ("/", "/var/lib/portables"),
            ("/var", "/var/lib/portables"),
            ("/", "/home"),
            ("/home", "/home/.snapshots"),
        ];
        host.marks.insert("/var/lib/portables".into(), 256);
        host.marks.insert("/home/.snapshots".into(), 256);
        let group = divided(&host);
        let mut expected = expected;
        expected.push("var/lib/portables");
        assert_eq!(points(&group), expected);
        assert!(group.parts.last().unwrap().nested);
        if group.parts.len() > 2 {
            assert_eq!(
                out(&group),
                [
                    ".snapshots: btrfs on /dev/sda2, snapshots",
                    "all: btrfs on /dev/sda2, which shows / once more",
                    "boot/grub2/x86_64-efi: btrfs on /dev/sda2, what the host boots from",
                ]
            );
        }
    }
}

#[test]
fn arrays_under_encryption() {
    let host = host(
        "1 0 253:0 / / rw - ext4 /dev/mapper/root_crypt rw\n\
         2 1 253:1 / /home rw - ext4 /dev/mapper/home_crypt rw\n\
         3 1 9:9 / /backup rw - ext4 /dev/md9 rw\n",
        &[
            ("/dev/mapper/root_crypt", "sda sdb"),
            ("/dev/mapper/home_crypt", "sda sdb"),
            ("/dev/md9", "sdb sdc"),
        ],
    );
    let group = divided(&host);
    assert_eq!(points(&group), ["home"]);
    assert_eq!(
        out(&group),
        ["backup: ext4 on /dev/md9, not in the root volume group"]
    );
}

#[test]
fn images_containers_and_processes() {
    let host = host(
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
         2 1 7:0 / /snap/core/1 ro - squashfs /dev/loop0 ro\n\
         3 1 0:60 / /var/lib/docker/overlay2/aa/merged rw - overlay overlay rw\n\
         4 1 0:61 / /var/lib/docker/containers/x/mounts/shm rw - tmpfs shm rw\n\
         5 1 0:62 / /home/ann/remote rw - fuse.sshfs host:/ rw\n\
         6 1 8:1 /var/lib/docker /var/lib/docker rw - ext4 /dev/sda1 rw\n\
         7 1 0:63 / /var/lib/lxcfs rw - fuse.lxcfs lxcfs rw\n\
         8 1 0:64 / /home/bob rw - cifs //nas/bob rw\n",
        &[("/dev/sda1", "sda")],
    );
    let hidden = [HiddenName {
        path: "var/lib/docker".to_owned(),
        extent: HiddenExtent::Contents,
        reason: "store of another engine's partitions".to_owned(),
    }];
    let group = divide(&host, &hidden, &Selection::default()).unwrap();
    assert_eq!(points(&group), [""; 0]);
    assert_eq!(
        out(&group),
        [
            "home/ann/remote: fuse.sshfs on host:/, served by a process of the host",
            "home/bob: cifs on //nas/bob, not on a disk of this host",
            "var/lib/lxcfs: fuse.lxcfs on lxcfs, served by a process of the host",
        ]
    );
    let error = divide(&host, &hidden, &selection(&["/var/lib/docker"], &[])).unwrap_err();
    assert!(error.to_string().contains("another engine"), "{error}");
}

#[test]
fn bind_mounts_are_followed_only_where_the_system_needs_them() {
    let mut host = host(
        "1 0 8:1 /deploy/1 / rw - xfs /dev/sda1 rw\n\
         2 1 8:1 /deploy/var /var rw - xfs /dev/sda1 rw\n\
         3 1 8:1 /deploy/1/usr /usr ro - xfs /dev/sda1 rw\n\
         4 1 8:1 / /sysroot rw - xfs /dev/sda1 rw\n\
         5 1 8:1 /deploy/1/srv/www /home/www rw - xfs /dev/sda1 rw\n\
         6 1 8:1 /deploy/1/srv/opt /opt rw - xfs /dev/sda1 rw\n\
         7 1 8:1 /deploy/hosts /etc/hosts rw - xfs /dev/sda1 rw\n\
         8 1 8:1 /elsewhere /home/else rw - xfs /dev/sda1 rw\n",
        &[("/dev/sda1", "sda")],
    );
    host.files = vec!["/etc/hosts"];
    let group = divided(&host);
    assert_eq!(points(&group), ["opt", "var"]);
    assert!(group.parts[0].reason.contains("/srv/opt shows the same"));
    assert_eq!(
        out(&group),
        [
            "etc/hosts: a file of another place (xfs on /dev/sda1)",
            "home/else: xfs on /dev/sda1, a part of something that is not mounted itself",
            "home/www: xfs on /dev/sda1, which shows /srv/www once more",
            "sysroot: xfs on /dev/sda1, which shows / once more",
        ]
    );
    let seen = visible(&host.mounts);
    assert!(is_transparent(Path::new("/usr"), &seen));
    assert!(!is_transparent(Path::new("/var"), &seen));
}

#[test]
fn a_system_that_cannot_be_complete_is_refused() {
    for (mount, word) in [
        ("2 1 0:50 / /usr ro - nfs4 server:/usr ro", "server:/usr"),
        ("2 1 0:51 / /etc rw - overlay overlay rw", "overlay"),
        ("2 1 0:52 / /var rw - tmpfs tmpfs rw", "memory"),
    ] {
        let host = host(
            &format!("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n{mount}\n"),
            &[],
        );
        let error = divide(&host, &[], &Selection::default()).unwrap_err();
        assert!(matches!(error, PolicyError::SystemElsewhere { .. }));
        assert!(error.to_string().contains(word), "{error}");
        let path = host.mounts[1].point.to_str().unwrap();
        let asked = divide(&host, &[], &selection(&[path], &[])).unwrap();
        assert_eq!(asked.parts.len(), 1);
    }
}

#[test]
fn a_system_on_an_image_of_its_own_device_is_taken() {
    let host = host(
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
         2 1 253:0 / /usr ro - squashfs /dev/mapper/usr ro\n\
         3 1 253:1 / /opt/app ro - erofs /dev/mapper/app ro\n",
        &[],
    );
    assert_eq!(points(&divided(&host)), ["opt/app", "usr"]);
}

#[test]
fn what_is_no_file_system_cannot_be_taken_in() {
    let host = host(
        &format!("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n{KERNEL}"),
        &[],
    );
    let refused = |path: &str| divide(&host, &[], &selection(&[path], &[])).unwrap_err();
    assert!(matches!(refused("/data"), PolicyError::NoMount { .. }));
    assert!(matches!(
        refused("/proc"),
        PolicyError::CannotInclude { .. }
    ));
}

#[test]
fn what_was_in_must_be_there_and_be_the_same() {
    let mounts = "1 0 0:40 / / rw - btrfs /dev/sda1 rw,subvol=/\n\
                  2 1 8:2 / /home rw - ext4 /dev/sda2 rw\n";
    let make = || {
        let mut host = host(mounts, &[("/dev/sda1", "sda"), ("/dev/sda2", "sda")]);
        host.nested = vec![("/", "/srv/sub")];
        host.marks.insert("/srv/sub".into(), 77);
        host
    };
    let parts = divided(&make()).parts;
    let from = |host: &Host| -> Vec<_> {
        let grafts = grafts(&parts, host).unwrap();
        grafts.into_iter().map(|graft| graft.from).collect()
    };
    let both = [Some("/home".into()), Some("/srv/sub".into())];
    assert_eq!(from(&make()), both);
    // The device may be called otherwise after a boot.
    let mut renamed = make();
    renamed.mounts[1].source = "/dev/sdb2".to_owned();
    assert_eq!(from(&renamed), both);
    // A subvolume that was deleted, or deleted and made again.
    let mut deleted = make();
    deleted.marks.remove(Path::new("/srv/sub"));
    assert_eq!(from(&deleted), [Some("/home".into()), None]);
    deleted.marks.insert("/srv/sub".into(), 78);
    assert_eq!(from(&deleted), [Some("/home".into()), None]);
    let mut missing = make();
    missing.mounts.pop();
    let error = grafts(&parts, &missing).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("/home is not mounted; ext4 on /dev/sda2")
    );
    let mut other = make();
    other.marks.insert("/home".into(), 5);
    assert!(matches!(
        grafts(&parts, &other),
        Err(PolicyError::PartChanged { .. })
    ));
    let mut over = make();
    over.mounts[1].fs_type = "nfs4".to_owned();
    assert!(grafts(&parts, &over).is_err());
}
