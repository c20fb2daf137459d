//! The record of a WPAR: all that is kept about it between commands.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wpar_mountd::lower::filesystem::{FileSystemKind, Region};

use super::{
    Base, CopyControls, DeviceName, Hostname, IdRange, Level, Network, Privileges, Resources,
    SpaceLimits, WparName,
};

/// Newest version of the format of a [`WparRecord`]. A newer one is refused, not guessed. A record
/// has the oldest version that can say what it says ([`WparRecord::needed_version`]).
pub const RECORD_VERSION: u32 = 4;

/// One WPAR on record. Its state is not in here: see [`super::WparState::derive`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WparRecord {
    /// Version of its format, at most [`RECORD_VERSION`].
    pub version: u32,
    /// Its name.
    pub name: WparName,
    /// Its own identity, in the usual form with dashes; without them it is the machine-id.
    pub uuid: String,
    /// Its host name.
    pub hostname: Hostname,
    /// System or application.
    pub kind: WparKind,
    /// Base directory: where its root is seen on the host while it runs.
    pub directory: PathBuf,
    /// Whether the base directory was made for it and goes with it.
    pub directory_created: bool,
    /// What it is a copy of.
    pub source: Source,
    /// The system whose `/usr` and `/opt` it has, if they are not its source's. Since version 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// What the copy takes along.
    #[serde(default)]
    pub copy_controls: CopyControls,
    /// What it may take of the host's disk.
    #[serde(default, skip_serializing_if = "SpaceLimits::is_none")]
    pub limits: SpaceLimits,
    /// Devices of the host that it has, too. Since version 3.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceName>,
    /// What it may use of the host. Since version 4.
    #[serde(default, skip_serializing_if = "Resources::is_default")]
    pub resources: Resources,
    /// How it is connected. Since version 4.
    #[serde(default, skip_serializing_if = "Network::is_default")]
    pub network: Network,
    /// What its programs may do that others may not. Since version 4.
    #[serde(default, skip_serializing_if = "Privileges::is_default")]
    pub privileges: Privileges,
    /// User and group numbers of the host that stand for its own.
    pub ids: IdRange,
    /// Started with the host.
    #[serde(default)]
    pub auto: bool,
    /// Whether it may run at a level of its own. Since version 3.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub versioned: bool,
    /// The level that it was at when it was last looked at. Since version 3; a WPAR of an older
    /// record starts at any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// The host's script that is run when it starts and stops. Since version 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<PathBuf>,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// The command that it lives and dies with, for a throw-away one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
}

impl WparRecord {
    /// The oldest version of the format that knows everything in this record.
    pub fn needed_version(&self) -> u32 {
        let own = if !self.resources.is_default()
            || !self.network.is_default()
            || !self.privileges.is_default()
            || self.script.is_some()
        {
            4
        } else if self.versioned || self.level.is_some() || !self.devices.is_empty() {
            3
        } else {
            1
        };
        let base = if self.base.is_some() { 4 } else { 1 };
        self.source.record_version().max(own).max(base)
    }

    /// The same with this level.
    #[must_use]
    pub fn with_level(&self, level: Level) -> Self {
        let mut record = self.clone();
        record.level = Some(level);
        record.version = record.needed_version();
        record
    }

    /// Whether its `/usr` and `/opt` are its own, to change as it likes.
    pub fn has_private_usr(&self) -> bool {
        self.base.as_ref().is_none_or(|base| base.private)
    }

    /// AIX's letter for its type: `L` for a versioned WPAR.
    pub fn type_letter(&self) -> char {
        match self.kind {
            WparKind::System if self.versioned => 'L',
            kind => kind.letter(),
        }
    }

    /// The machine-id: the UUID as 32 hexadecimal digits.
    pub fn machine_id(&self) -> String {
        self.uuid.chars().filter(char::is_ascii_hexdigit).collect()
    }
}

/// Type of a WPAR, with AIX's letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WparKind {
    /// `S`: a whole system, made by `mkwpar`.
    System,
    /// `A`: runs one command and goes with it, made by `wparexec`.
    Application,
}

impl WparKind {
    /// AIX's letter.
    pub fn letter(self) -> char {
        match self {
            Self::System => 'S',
            Self::Application => 'A',
        }
    }
}

/// What a WPAR is a copy of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Source {
    /// The running system.
    Host,
    /// A backup image.
    Image {
        /// The archive, absolute and without symbolic links.
        path: PathBuf,
        /// Its index.
        index: PathBuf,
        /// The archive as it was when the WPAR was made. The numbers in the WPAR's store are
        /// those of this archive and of no other.
        fingerprint: Fingerprint,
    },
    /// A file system in an image, which the kernel shows. Since version 2.
    FileSystem(FileSystemSource),
    /// A directory of the host. Since version 2.
    Tree {
        /// The directory, absolute and without symbolic links.
        path: PathBuf,
        /// The directory as it was when the WPAR was made: the numbers in the WPAR's store are
        /// those of its file system.
        root: TreeMark,
    },
    /// Nothing: its root part was made from the packages of its base. Since version 4.
    Fresh,
}

/// A file system in an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSystemSource {
    /// The image, absolute and without symbolic links.
    pub path: PathBuf,
    /// Which file system it is.
    pub format: FileSystemKind,
    /// Where in the image it is.
    #[serde(default)]
    pub region: Region,
    /// The sub-volume of a btrfs that is the root, if it is not the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subvolume: Option<String>,
    /// The image as it was when the WPAR was made.
    pub fingerprint: Fingerprint,
}

/// By what a directory is known that was removed and made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeMark {
    /// Its inode number.
    pub inode: u64,
    /// When it was made, in seconds since 1970 and nanoseconds after them, where the file system
    /// says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub born: Option<(i64, u32)>,
}

impl Source {
    /// The path of the image or directory; `None` for the running system.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Host | Self::Fresh => None,
            Self::Image { path, .. } | Self::Tree { path, .. } => Some(path),
            Self::FileSystem(source) => Some(&source.path),
        }
    }

    /// The oldest version of the record's format that knows this.
    pub fn record_version(&self) -> u32 {
        match self {
            Self::Host | Self::Image { .. } => 1,
            Self::FileSystem(_) | Self::Tree { .. } => 2,
            Self::Fresh => 4,
        }
    }

    /// Whether a store above `other` can be used above this: the same archive, wherever its index
    /// is.
    pub fn is_same(&self, other: &Source) -> bool {
        match (self, other) {
            (Self::Host, Self::Host) | (Self::Fresh, Self::Fresh) => true,
            (
                Self::Image {
                    path, fingerprint, ..
                },
                Self::Image {
                    path: other_path,
                    fingerprint: other_fingerprint,
                    ..
                },
            ) => path == other_path && fingerprint == other_fingerprint,
            (Self::FileSystem(one), Self::FileSystem(other)) => one == other,
            (Self::Tree { .. }, Self::Tree { .. }) => self == other,
            _ => false,
        }
    }
}

/// By what a changed archive is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// Its size.
    pub bytes: u64,
    /// Its time of modification, in seconds since 1970.
    pub modified: i64,
    /// And nanoseconds after them.
    pub nanoseconds: i64,
}

/// A process of the host, told apart from a later one with the same number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// Process number.
    pub pid: u32,
    /// Its start, in clock ticks since the host's boot (`/proc/PID/stat`, field 22).
    pub started: u64,
    /// The boot of the host that it lived in (`/proc/sys/kernel/random/boot_id`).
    pub boot: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The format on disk, as version 1 wrote it. It must be readable for ever.
    const VERSION_1: &str = r#"{
        "version": 1, "name": "wpar1", "uuid": "6f2c1c0e-8a51-4a5e-9d4e-2f3c5a7b9e01",
        "hostname": "wpar1", "kind": "system", "directory": "/wpars/wpar1",
        "directory_created": true,
        "source": {"kind": "image", "path": "/b/d12.tar", "index": "/b/d12.tar.wparidx",
            "fingerprint": {"bytes": 10240, "modified": 1700000000, "nanoseconds": 5}},
        "copy_controls": {"preserve_private": false, "preserve_wpars": true},
        "ids": {"first": 1073741824, "count": 65536}, "auto": false, "created": 1700000000
    }"#;

    #[test]
    fn version_1_is_read_and_written_back() {
        let record: WparRecord = serde_json::from_str(VERSION_1).unwrap();
        assert_eq!(record.name.as_str(), "wpar1");
        assert!(record.copy_controls.preserve_wpars);
        assert_eq!(record.machine_id(), "6f2c1c0e8a514a5e9d4e2f3c5a7b9e01");
        assert!(matches!(&record.source, Source::Image { path, .. } if path.ends_with("d12.tar")));
        let written = serde_json::to_string(&record).unwrap();
        assert_eq!(
            serde_json::from_str::<WparRecord>(&written).unwrap(),
            record
        );
    }

    /// What version 2 added.
    const VERSION_2: [&str; 2] = [
        r#"{"kind": "filesystem", "path": "/b/d12.img", "format": "btrfs",
            "region": {"offset": 1048576, "bytes": 4194304}, "subvolume": "@",
            "fingerprint": {"bytes": 10240, "modified": 1700000000, "nanoseconds": 5}}"#,
        r#"{"kind": "tree", "path": "/b/d12", "root": {"inode": 77, "born": [1700000000, 5]}}"#,
    ];

    #[test]
    fn version_2_is_read_and_written_back_and_no_other_is_written_without_need() {
        for text in VERSION_2 {
            let source: Source = serde_json::from_str(text).unwrap();
            assert_eq!(source.record_version(), 2);
            assert!(source.path().unwrap().starts_with("/b"));
            let written = serde_json::to_value(&source).unwrap();
            let expected: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(written, expected);
        }
        let old: WparRecord = serde_json::from_str(VERSION_1).unwrap();
        assert_eq!(old.source.record_version(), 1);
    }

    #[test]
    fn a_store_goes_with_one_source_only() {
        let [image, tree] = VERSION_2.map(|text| serde_json::from_str::<Source>(text).unwrap());
        assert!(image.is_same(&image) && tree.is_same(&tree));
        assert!(!image.is_same(&tree) && !tree.is_same(&Source::Host));
        let Source::Tree { path, mut root } = tree.clone() else {
            panic!("it is a tree")
        };
        root.inode += 1;
        assert!(!tree.is_same(&Source::Tree { path, root }));
    }

    #[test]
    fn limits_are_read_and_left_out_if_there_are_none() {
        let plain: WparRecord = serde_json::from_str(VERSION_1).unwrap();
        assert!(plain.limits.is_none());
        assert!(!serde_json::to_string(&plain).unwrap().contains("limits"));
        let limits = "{\"limits\": {\"size\": 10737418240, \"inodes\": 200000},";
        let text = VERSION_1.replacen('{', limits, 1);
        let record: WparRecord = serde_json::from_str(&text).unwrap();
        let expected = SpaceLimits {
            size: Some(10 << 30),
            inodes: Some(200_000),
        };
        assert_eq!(record.limits, expected);
        let written = serde_json::to_string(&record).unwrap();
        assert_eq!(
            serde_json::from_str::<WparRecord>(&written).unwrap(),
            record
        );
    }

    #[test]
    fn the_level_is_version_3_and_older_records_have_none() {
        let old: WparRecord = serde_json::from_str(VERSION_1).unwrap();
        assert_eq!((old.needed_version(), old.type_letter()), (1, 'S'));
        assert!(!serde_json::to_string(&old).unwrap().contains("level"));
        let level = r#""versioned": true, "level": {"id": "debian", "version_id": "12",
            "architecture": "x86_64", "point": "12.11", "built": 1746748800, "abi":
            {"glibc": [2, 36], "kernel": [3, 2, 0], "isa": 1, "systemd": 252}},"#;
        let text = VERSION_1.replacen('{', &format!("{{{level}"), 1);
        let record: WparRecord = serde_json::from_str(&text).unwrap();
        assert_eq!((record.needed_version(), record.type_letter()), (3, 'L'));
        let level = record.level.clone().unwrap();
        assert_eq!(level.service_pack(), "1200-11-00-2519");
        assert_eq!(old.with_level(level).version, 3);
        let written = serde_json::to_string(&record).unwrap();
        assert_eq!(
            serde_json::from_str::<WparRecord>(&written).unwrap(),
            record
        );
    }

    #[test]
    fn devices_are_read_and_left_out_if_there_are_none() {
        let plain: WparRecord = serde_json::from_str(VERSION_1).unwrap();
        assert!(!serde_json::to_string(&plain).unwrap().contains("devices"));
        let text = VERSION_1.replacen('{', "{\"devices\": [\"/dev/net/tun\"],", 1);
        let record: WparRecord = serde_json::from_str(&text).unwrap();
        assert_eq!(record.devices, [DeviceName::new("net/tun").unwrap()]);
        let written = serde_json::to_string(&record).unwrap();
        assert_eq!(
            serde_json::from_str::<WparRecord>(&written).unwrap(),
            record
        );
        let outside = VERSION_1.replacen('{', "{\"devices\": [\"/dev/../etc\"],", 1);
        assert!(serde_json::from_str::<WparRecord>(&outside).is_err());
    }

    #[test]
    fn the_base_is_version_4_and_older_records_have_none() {
        let old: WparRecord = serde_json::from_str(VERSION_1).unwrap();
        assert!(old.has_private_usr() && !serde_json::to_string(&old).unwrap().contains("base"));
        let base = r#"{"base": {"system": {"kind": "tree", "path": "/srv/golden",
            "root": {"inode": 7}}, "private": false, "points": ["usr", "opt", "var/lib/dpkg"],
            "packages": {"all": "00", "usr": "11"}},"#;
        let text = VERSION_1.replacen('{', base, 1);
        let record: WparRecord = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (record.needed_version(), record.has_private_usr()),
            (4, false)
        );
        let written = serde_json::to_string(&record).unwrap();
        assert_eq!(
            serde_json::from_str::<WparRecord>(&written).unwrap(),
            record
        );
        assert_eq!(Source::Fresh.record_version(), 4);
        let fresh: Source = serde_json::from_str(r#"{"kind": "fresh"}"#).unwrap();
        assert!(fresh.is_same(&Source::Fresh) && fresh.path().is_none());
    }

    #[test]
    fn resource_controls_are_version_4_and_left_out_if_there_are_none() {
        let plain: WparRecord = serde_json::from_str(VERSION_1).unwrap();
        assert!(!serde_json::to_string(&plain).unwrap().contains("resources"));
        let controls = r#"{"resources": {"active": true, "rset": "0-1", "cpu":
            {"min": 0, "soft": 50, "hard": 60}, "memory": {"bytes": 1073741824},
            "processes": {"at": 400}, "threads": 900},"#;
        let record: WparRecord =
            serde_json::from_str(&VERSION_1.replacen('{', controls, 1)).unwrap();
        assert_eq!(record.needed_version(), 4);
        assert_eq!(record.resources.value("memory", None), "1GB");
        let written = serde_json::to_string(&record).unwrap();
        assert_eq!(
            serde_json::from_str::<WparRecord>(&written).unwrap(),
            record
        );
    }

    #[test]
    fn privileges_are_version_4_and_left_out_if_they_are_the_default() {
        let plain: WparRecord = serde_json::from_str(VERSION_1).unwrap();
        assert_eq!(plain.needed_version(), 1);
        assert!(
            !serde_json::to_string(&plain)
                .unwrap()
                .contains("privileges")
        );
        let removed = r#"{"privileges": {"removed": ["PV_NET_PORT"]},"#;
        let text = VERSION_1.replacen('{', removed, 1);
        let record: WparRecord = serde_json::from_str(&text).unwrap();
        assert_eq!(record.needed_version(), 4);
        assert!(!record.privileges.names().contains(&"PV_NET_PORT"));
        let written = serde_json::to_string(&record).unwrap();
        assert_eq!(
            serde_json::from_str::<WparRecord>(&written).unwrap(),
            record
        );
    }

    #[test]
    fn a_record_with_an_unknown_field_is_refused() {
        let text = VERSION_1.replacen('{', "{\"surprise\": 1,", 1);
        assert!(serde_json::from_str::<WparRecord>(&text).is_err());
    }
}
