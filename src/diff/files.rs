//! How one file differs.

use wpar_mountd::types::{Attr, FileKind, Timestamp};

/// One way in which a file can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Aspect {
    /// What kind of file it is.
    Type,
    /// Contents.
    Content,
    /// Target of a symbolic link.
    Target,
    /// Device number.
    Device,
    /// Permissions, set-id and sticky bits.
    Mode,
    /// Owner or group.
    Owner,
    /// Extended attributes, access control lists and capabilities among them.
    Attributes,
    /// Which other names are the same file.
    Links,
    /// Time of modification.
    Time,
}

impl Aspect {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Content => "content",
            Self::Target => "target",
            Self::Device => "device",
            Self::Mode => "mode",
            Self::Owner => "owner",
            Self::Attributes => "attributes",
            Self::Links => "links",
            Self::Time => "time",
        }
    }
}

/// What is known of a file on one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileState {
    /// Its kind.
    pub kind: FileKind,
    /// Permission, set-id and sticky bits.
    pub permissions: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Time of modification.
    pub mtime: Timestamp,
    /// Value of `security.capability`; of a file that changed only where that was looked at.
    pub capability: Option<Vec<u8>>,
}

impl FileState {
    pub(super) fn new(attr: &Attr) -> Self {
        Self {
            kind: attr.kind,
            permissions: attr.permissions,
            uid: attr.uid,
            gid: attr.gid,
            size: attr.size,
            mtime: attr.mtime,
            capability: None,
        }
    }
}

/// A file that is different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    /// Its path, without a leading `/`.
    pub path: Vec<u8>,
    /// What it is in A; `None` if it was added.
    pub before: Option<FileState>,
    /// What it is in B; `None` if it was removed.
    pub after: Option<FileState>,
    /// How it differs, if it is in both.
    pub aspects: Vec<Aspect>,
    /// The package that it belongs to in B, else in A.
    pub package: Option<String>,
    /// Whether a change of that package explains it.
    pub explained: bool,
}

impl FileChange {
    /// What it is now, or was.
    pub fn state(&self) -> Option<&FileState> {
        self.after.as_ref().or(self.before.as_ref())
    }

    /// Whether it differs like this.
    pub fn has(&self, aspect: Aspect) -> bool {
        self.aspects.contains(&aspect)
    }
}

/// The word for a kind of file.
pub fn kind_name(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Regular => "file",
        FileKind::Directory => "directory",
        FileKind::Symlink => "symbolic link",
        FileKind::Fifo => "named pipe",
        FileKind::Socket => "socket",
        FileKind::CharDevice => "character device",
        FileKind::BlockDevice => "block device",
    }
}
