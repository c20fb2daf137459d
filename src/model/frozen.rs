//! Snapshots that a copy of the running system is made of.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use wpar_mountd::spec::RootMark;

/// The directory for snapshots in a file system that the tool itself is not on.
pub const DIRECTORY: &str = ".wpar-snapshots";

/// The running system as it was at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frozen {
    /// The moment, in seconds since 1970.
    pub taken: u64,
    /// Milliseconds from the first snapshot to the last.
    #[serde(default)]
    pub spread: u64,
    /// The snapshot of `/`, and then of each part of the view, in their order.
    pub snapshots: Vec<Snapshot>,
}

/// A file system as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Mount point of what it is of, without the leading `/`.
    pub point: String,
    /// What made it.
    pub kind: SnapshotKind,
    /// Where its root directory is.
    pub path: PathBuf,
    /// What it is of, in the words of its kind: a path, `VG/LV`, a data set.
    pub of: String,
    /// What it is called.
    pub name: String,
    /// Type of the file system.
    pub fs_type: String,
    /// What tells it from any other; `None` until it was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<RootMark>,
}

/// What makes snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotKind {
    /// A read-only subvolume.
    Btrfs,
    /// A thin volume.
    Lvm,
    /// A snapshot of a data set.
    Zfs,
    /// The administrator has made it, and will remove it.
    Given,
}

impl SnapshotKind {
    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Btrfs => "btrfs",
            Self::Lvm => "LVM",
            Self::Zfs => "ZFS",
            Self::Given => "given",
        }
    }
}
