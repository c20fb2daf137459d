//! What to mount: the daemon's whole input, written by the launcher, read once at its start.
//!
//! Pure data. Paths are the host's; nothing of an image's contents ever appears here.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::lower::filesystem::FileSystemImage;

/// One mount: a lower, a store above it, and what is not to be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MountSpec {
    /// What is shown underneath.
    pub lower: LowerSpec,
    /// Directory of the upper store; `None` makes the view read-only.
    pub store: Option<PathBuf>,
    /// Names of the lower that do not exist for the WPAR.
    #[serde(default)]
    pub hidden: Vec<HiddenName>,
    /// What the store may take.
    #[serde(default, skip_serializing_if = "SpaceLimits::is_none")]
    pub limits: SpaceLimits,
    /// Who may use the mount, and who decides that.
    #[serde(default, skip_serializing_if = "Access::is_checked")]
    pub access: Access,
}

/// Who may use a mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Everybody, as owners, modes and ACLs say; the kernel checks them.
    #[default]
    Checked,
    /// Whoever made it, and nobody else; owners and modes are shown and mean nothing. For users
    /// without privileges, who can read the whole image anyway.
    Owner,
}

impl Access {
    fn is_checked(&self) -> bool {
        *self == Self::Checked
    }
}

/// Limits of what a store takes of its host's file system; `None` for no limit but the host's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpaceLimits {
    /// Space in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Number of inodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inodes: Option<u64>,
}

impl SpaceLimits {
    /// Whether nothing is limited.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// The source underneath.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum LowerSpec {
    /// A directory tree of this host, of one file system (mounts below it are not entered).
    Directory {
        /// Its root.
        path: PathBuf,
    },
    /// Several file systems of this host in one tree.
    Grafted {
        /// Its root, as of a `Directory`.
        path: PathBuf,
        /// What else is mounted in it. The place in the list is part of each inode number: what is
        /// no longer there keeps its place.
        grafts: Vec<Graft>,
    },
    /// The same of snapshots, which nobody changes while they are shown.
    Frozen {
        /// The root.
        path: PathBuf,
        /// As of `Grafted`.
        #[serde(default)]
        grafts: Vec<Graft>,
    },
    /// A file system of the kernel's in a file.
    FileSystem(FileSystemImage),
    /// A tar image, plain or compressed, through its index.
    Image {
        /// The archive.
        path: PathBuf,
        /// Its index, built beforehand.
        index: PathBuf,
        /// The file in which its mounts share what they decode; `None`: each for itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shared: Option<PathBuf>,
    },
}

/// A file system that is shown at its mount point in another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graft {
    /// Where it is shown: a directory below the root, as in [`HiddenName::path`].
    pub point: String,
    /// The directory of this host that it is; `None` if it is gone, and an empty place is kept for
    /// its numbers.
    pub from: Option<PathBuf>,
    /// What is expected there; `None` if it is taken for what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<RootMark>,
}

/// What tells the root of one file system from that of another, also after a boot of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootMark {
    /// Number of its inode.
    pub inode: u64,
    /// Seconds and nanoseconds of its birth since 1970, where the file system notes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub born: Option<(i64, u32)>,
    /// What the file system calls itself, where that outlives a boot. (An installer makes several in
    /// one second, and ext4 counts no finer.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
}

/// A name of the lower that is left out, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HiddenName {
    /// Path below the lower's root, without a leading `/`; no component may be `.` or `..`. It is
    /// looked up without following symbolic links.
    pub path: String,
    /// What of it is hidden.
    #[serde(default)]
    pub extent: HiddenExtent,
    /// Why, in words for the administrator.
    pub reason: String,
}

/// How much of a [`HiddenName`] is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HiddenExtent {
    /// The name itself, with everything below it.
    #[default]
    Name,
    /// Everything below the directory; the directory itself stays, empty.
    Contents,
}
