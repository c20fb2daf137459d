//! The record of a WPAR: all that is kept about it between commands.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{CopyControls, Hostname, IdRange, SpaceLimits, WparName};

/// Version of the format that [`WparRecord`] is written in. A newer one is refused, not guessed.
pub const RECORD_VERSION: u32 = 1;

/// One WPAR on record. Its state is not in here: see [`super::WparState::derive`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WparRecord {
    /// [`RECORD_VERSION`] of the writer.
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
    /// What the copy takes along.
    #[serde(default)]
    pub copy_controls: CopyControls,
    /// What it may take of the host's disk.
    #[serde(default, skip_serializing_if = "SpaceLimits::is_none")]
    pub limits: SpaceLimits,
    /// User and group numbers of the host that stand for its own.
    pub ids: IdRange,
    /// Started with the host.
    #[serde(default)]
    pub auto: bool,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// The command that it lives and dies with, for a throw-away one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
}

impl WparRecord {
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
}

impl Source {
    /// Whether a store above `other` can be used above this: the same archive, wherever its index
    /// is.
    pub fn is_same(&self, other: &Source) -> bool {
        match (self, other) {
            (Self::Host, Self::Host) => true,
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
    fn a_record_with_an_unknown_field_is_refused() {
        let text = VERSION_1.replacen('{', "{\"surprise\": 1,", 1);
        assert!(serde_json::from_str::<WparRecord>(&text).is_err());
    }
}
