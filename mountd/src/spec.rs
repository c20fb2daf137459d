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

impl MountSpec {
    /// The grafts of the lower.
    pub fn grafts(&self) -> &[Graft] {
        match &self.lower {
            LowerSpec::Grafted { grafts, .. } | LowerSpec::Joined { grafts, .. } => grafts,
            _ => &[],
        }
    }

    /// The same with everything to be changed, for who prepares the tree from outside.
    #[must_use]
    pub fn all_writable(mut self) -> Self {
        if let LowerSpec::Grafted { grafts, .. } | LowerSpec::Joined { grafts, .. } =
            &mut self.lower
        {
            for graft in grafts {
                graft.read_only = false;
            }
        }
        self
    }
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
    /// Directories of this host in the tree of another lower.
    Joined {
        /// The tree, its inode numbers below 2^48. `None`: nothing but the directories
        /// that lead to the grafts.
        root: Option<Box<LowerSpec>>,
        /// What is shown in it, as of a `Grafted`. There need be no directory in its place if that
        /// which it would be in exists.
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
    /// A merged tree in which listed names come from another tree.
    Rebased {
        /// The merged tree: a lower, and a store that nobody writes any more.
        below: Box<Below>,
        /// The other tree.
        other: Box<LowerSpec>,
        /// The file that lists the names: [`crate::lower::rebased::list`].
        list: PathBuf,
    },
}

/// A merged tree below another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Below {
    /// What is shown underneath.
    pub lower: LowerSpec,
    /// Names of that which do not exist.
    #[serde(default)]
    pub hidden: Vec<HiddenName>,
    /// The store above it.
    pub store: PathBuf,
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
    /// Whether nothing in it can be changed: every attempt is answered with `EROFS`, as on a mount of
    /// its own that is read-only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
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
