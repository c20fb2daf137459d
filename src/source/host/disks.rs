//! Which disks a file system lies on, by `/sys` (sysfs(5), and `block/` in the kernel's ABI).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::Mount;

/// Devices that lie on each other, at most.
const DEEPEST: usize = 8;

/// What a file system lies on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disks {
    /// The volume group or pool that it is part of, in words.
    pub volume: Option<String>,
    /// The disks, by the kernel's names; none where that cannot be told.
    pub disks: BTreeSet<String>,
}

impl Disks {
    /// Whether what lies on `other` belongs to this: the same volume group or, where there is none,
    /// no other disks.
    pub fn include(&self, other: &Self) -> bool {
        match (&self.volume, &other.volume) {
            (None, None) => !other.disks.is_empty() && other.disks.is_subset(&self.disks),
            (ours, theirs) => ours == theirs,
        }
    }
}

/// The disks of `mount`. `sys` and `dev` are where the kernel's and udev's files are.
pub(super) fn of(mount: &Mount, sys: &Path, dev: &Path) -> Disks {
    if mount.fs_type == "zfs" {
        let pool = mount.source.split('/').next().unwrap_or_default();
        return Disks {
            volume: Some(format!("zpool {pool}")),
            disks: BTreeSet::new(),
        };
    }
    let (major, minor) = mount.device;
    let by_number = sys.join(format!("dev/block/{major}:{minor}"));
    // The numbers of a btrfs are no device's.
    let block = fs::canonicalize(by_number)
        .ok()
        .or_else(|| by_name(mount, sys, dev));
    let mut found = Disks::default();
    if let Some(block) = block {
        walk(&block, &mut found, 0);
    }
    found
}

fn by_name(mount: &Mount, sys: &Path, dev: &Path) -> Option<PathBuf> {
    // Of bcachefs all devices, divided by colons.
    let first = mount.source.split(':').next()?;
    let device = fs::canonicalize(dev.join(Path::new(first).strip_prefix("/dev").ok()?)).ok()?;
    fs::canonicalize(sys.join("class/block").join(device.file_name()?)).ok()
}

/// Goes from a block device to what it is a part of.
fn walk(block: &Path, found: &mut Disks, depth: usize) {
    let uuid = fs::read_to_string(block.join("dm/uuid")).unwrap_or_default();
    if let Some(rest) = uuid.strip_prefix("LVM-") {
        // The first half of the name is the group's, the second the volume's.
        let group = rest.get(..32).unwrap_or(rest);
        found.volume = Some(format!("volume group {group}"));
        return;
    }
    let parent = block.parent().filter(|_| block.join("partition").exists());
    if let Some(disk) = parent
        && depth < DEEPEST
    {
        return walk(disk, found, depth + 1);
    }
    // All paths of a multipath device are one disk, and it has a name of its own.
    let below = match uuid.starts_with("mpath-") {
        true => Vec::new(),
        false => below(block),
    };
    if below.is_empty() || depth >= DEEPEST {
        let name = block.file_name().unwrap_or_default();
        found.disks.insert(name.to_string_lossy().into_owned());
        return;
    }
    for device in below {
        walk(&device, found, depth + 1);
    }
}

/// What an encrypted volume, an array or the like consists of.
fn below(block: &Path) -> Vec<PathBuf> {
    let slaves = fs::read_dir(block.join("slaves")).into_iter().flatten();
    slaves
        .filter_map(|slave| fs::canonicalize(slave.ok()?.path()).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    /// A machine's `/sys` and `/dev`.
    struct Machine(TempDir);

    impl Machine {
        fn new() -> Self {
            let this = Self(TempDir::new().unwrap());
            for dir in ["sys/dev/block", "sys/class/block", "dev/mapper"] {
                fs::create_dir_all(this.0.path().join(dir)).unwrap();
            }
            this
        }

        /// A device at `place` below `/sys/devices` with this number, on `slaves`.
        fn device(&self, place: &str, number: &str, slaves: &[&str]) -> PathBuf {
            let sys = self.0.path().join("sys");
            let path = sys.join("devices").join(place);
            fs::create_dir_all(path.join("slaves")).unwrap();
            let name = path.file_name().unwrap();
            symlink(&path, sys.join("dev/block").join(number)).unwrap();
            symlink(&path, sys.join("class/block").join(name)).unwrap();
            fs::write(self.0.path().join("dev").join(name), "").unwrap();
            for slave in slaves {
                let to = fs::canonicalize(sys.join("class/block").join(slave)).unwrap();
                symlink(to, path.join("slaves").join(slave)).unwrap();
            }
            path
        }

        fn partition(&self, disk: &str, name: &str, number: &str) {
            let path = self.device(&format!("{disk}/{name}"), number, &[]);
            fs::write(path.join("partition"), "1\n").unwrap();
        }

        fn mapped(&self, name: &str, number: &str, uuid: &str, slaves: &[&str]) {
            let path = self.device(&format!("virtual/{name}"), number, slaves);
            fs::create_dir(path.join("dm")).unwrap();
            fs::write(path.join("dm/uuid"), format!("{uuid}\n")).unwrap();
        }

        fn disks(&self, fs_type: &str, source: &str, device: (u32, u32)) -> Disks {
            let mount = Mount {
                fs_type: fs_type.to_owned(),
                source: source.to_owned(),
                device,
                ..Mount::default()
            };
            of(
                &mount,
                &self.0.path().join("sys"),
                &self.0.path().join("dev"),
            )
        }
    }

    fn on(disks: &[&str]) -> Disks {
        Disks {
            volume: None,
            disks: disks.iter().map(|&disk| disk.to_owned()).collect(),
        }
    }

    #[test]
    fn partitions_arrays_and_encrypted_volumes_lead_to_disks() {
        let machine = Machine::new();
        for (disk, number) in [("sda", "8:0"), ("sdb", "8:16"), ("sdc", "8:32")] {
            machine.device(disk, number, &[]);
        }
        machine.partition("sda", "sda1", "8:1");
        machine.partition("sda", "sda2", "8:2");
        machine.partition("sdb", "sdb1", "8:17");
        machine.device("virtual/md0", "9:0", &["sda1", "sdb1"]);
        machine.mapped("dm-0", "253:0", "CRYPT-LUKS2-0123-home", &["md0"]);
        machine.mapped("dm-1", "253:1", "mpath-3600508b4", &["sdb", "sdc"]);
        assert_eq!(machine.disks("ext4", "/dev/root", (8, 1)), on(&["sda"]));
        let array = machine.disks("ext4", "/dev/md0", (9, 0));
        assert_eq!(array, on(&["sda", "sdb"]));
        let encrypted = machine.disks("xfs", "/dev/mapper/home", (253, 0));
        assert_eq!(encrypted, array);
        assert_eq!(machine.disks("xfs", "x", (253, 1)), on(&["dm-1"]));
        assert_eq!(machine.disks("ext4", "nothing", (8, 99)), on(&[]));
        // The number of a btrfs is nobody's, its name leads further.
        assert_eq!(machine.disks("btrfs", "/dev/sda2", (0, 40)), on(&["sda"]));
        assert!(array.include(&on(&["sda"])) && !on(&["sda"]).include(&array));
        assert!(!array.include(&on(&[])));
    }

    #[test]
    fn volume_groups_and_pools_are_told_apart() {
        let machine = Machine::new();
        machine.device("sda", "8:0", &[]);
        let system = "LVM-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let data = "LVM-BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";
        let volume = |name: &str, number: &str, group: &str, last: char| {
            let uuid = format!("{group}{}", last.to_string().repeat(32));
            machine.mapped(name, number, &uuid, &["sda"]);
        };
        volume("dm-0", "253:0", system, 'a');
        volume("dm-1", "253:1", system, 'b');
        volume("dm-2", "253:2", data, 'c');
        machine.mapped("dm-3", "253:3", "CRYPT-LUKS2-x", &["dm-1"]);
        let [root, home, data, secret] =
            [0, 1, 2, 3].map(|minor| machine.disks("xfs", "x", (253, minor)));
        assert!(root.include(&home) && root.include(&secret) && !root.include(&data));
        assert!(!root.include(&on(&["sda"])), "beside the group");
        let zfs = |source| machine.disks("zfs", source, (0, 30));
        assert!(zfs("rpool/ROOT/debian").include(&zfs("rpool/home")));
        assert!(!zfs("rpool/ROOT/debian").include(&zfs("tank")));
    }
}
