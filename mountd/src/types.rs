//! The words of the core: inode numbers, names, attributes.
//!
//! Three things stay apart here and everywhere above: the *identity* of an object in its layer
//! ([`crate::lower::LowerNode`], or a file of the upper store), its *names* (a parent and an
//! [`EntryName`]), and its *number* ([`Ino`]), which is what the kernel and `stat(2)` see.
//! Nothing in this file does I/O or knows FUSE.

use std::fmt;

use crate::error::FsError;

/// Number of an inode: what `st_ino` shows and what the kernel calls the node by.
///
/// It is the same for the life of the store: across copy-up, rename, remount and restart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ino(pub u64);

impl Ino {
    /// The root directory, by FUSE's rule.
    pub const ROOT: Ino = Ino(1);
}

impl fmt::Debug for Ino {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Display for Ino {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Longest name of a directory entry, in bytes (`NAME_MAX`).
pub const NAME_MAX: usize = 255;

/// A checked name of a directory entry: 1 to 255 bytes, no `/`, no NUL, neither `.` nor `..`.
///
/// Only a value of this type is ever handed to a layer, so no layer can be led out of its root
/// by a name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryName<'a>(&'a [u8]);

impl<'a> EntryName<'a> {
    /// Checks `name`.
    ///
    /// # Errors
    /// [`FsError::NameTooLong`] over 255 bytes, [`FsError::InvalidArgument`] for anything else
    /// that is not the name of an entry.
    pub fn new(name: &'a [u8]) -> Result<Self, FsError> {
        if name.len() > NAME_MAX {
            return Err(FsError::NameTooLong);
        }
        if name.is_empty()
            || name == b"."
            || name == b".."
            || name.iter().any(|&byte| byte == b'/' || byte == 0)
        {
            return Err(FsError::InvalidArgument);
        }
        Ok(Self(name))
    }

    /// The bytes of the name.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

impl fmt::Debug for EntryName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// Type of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FileKind {
    /// A named pipe.
    Fifo = 1,
    /// A character device.
    CharDevice = 2,
    /// A directory.
    Directory = 4,
    /// A block device.
    BlockDevice = 6,
    /// A regular file.
    Regular = 8,
    /// A symbolic link.
    Symlink = 10,
    /// A socket.
    Socket = 12,
}

impl FileKind {
    /// The kind that a directory tells, if it tells one.
    pub fn of(file_type: rustix::fs::FileType) -> Option<Self> {
        Self::from_mode(file_type.as_raw_mode())
    }

    /// The kind whose `S_IFMT` bits stand in `mode` (`st_mode`), if they name one.
    pub fn from_mode(mode: u32) -> Option<Self> {
        Self::from_code(((mode >> 12) & 0xf) as u8)
    }

    /// The kind with this `S_IFMT` nibble (`st_mode >> 12`, equal to the kernel's `d_type`).
    pub fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Fifo,
            2 => Self::CharDevice,
            4 => Self::Directory,
            6 => Self::BlockDevice,
            8 => Self::Regular,
            10 => Self::Symlink,
            12 => Self::Socket,
            _ => return None,
        })
    }

    /// The `S_IFMT` bits of this kind.
    pub fn mode_bits(self) -> u32 {
        u32::from(self as u8) << 12
    }
}

/// A time of a file: seconds since 1970, which may be negative, and nanoseconds after them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp {
    /// Whole seconds since the epoch, rounded down.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

/// Attributes of an inode as a program in the WPAR sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    /// Type of the file.
    pub kind: FileKind,
    /// Permission, set-id and sticky bits: `st_mode & 07777`.
    pub permissions: u16,
    /// Owner, as the image or the host counts it.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device node as Linux' 32-bit `st_rdev` encoding in FUSE, else 0.
    pub rdev: u32,
    /// Number of names.
    pub nlink: u32,
    /// Size in bytes.
    pub size: u64,
    /// Space in use, in units of 512 bytes.
    pub blocks: u64,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of the contents.
    pub mtime: Timestamp,
    /// Last change of the inode.
    pub ctime: Timestamp,
}

impl Attr {
    /// When the inode was born, as far as a layer that does not tell can be asked: the earliest
    /// change that it remembers.
    pub fn assumed_birth(&self) -> Timestamp {
        self.ctime.min(self.mtime)
    }
}

/// Who asks: the credentials that a new file belongs to.
///
/// Permission itself is checked by the kernel (`default_permissions`): on an id-mapped mount the
/// numbers are known only on the calls that create something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Owner of what is created.
    pub uid: u32,
    /// Group of what is created, unless the directory's set-group-ID bit decides.
    pub gid: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_entries_are_refused() {
        for bad in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0"] {
            assert_eq!(
                EntryName::new(bad).unwrap_err(),
                FsError::InvalidArgument,
                "{bad:?}"
            );
        }
        assert_eq!(
            EntryName::new(&[b'x'; 256]).unwrap_err(),
            FsError::NameTooLong
        );
        assert!(EntryName::new(&[b'x'; 255]).is_ok());
        assert!(EntryName::new(b"...").is_ok());
        assert!(EntryName::new(b"\xff\n").is_ok());
    }

    #[test]
    fn kinds_are_the_nibbles_of_st_mode() {
        for code in 0..=15 {
            if let Some(kind) = FileKind::from_code(code) {
                assert_eq!(kind as u8, code);
                assert_eq!(FileKind::from_mode(kind.mode_bits() | 0o7777), Some(kind));
            }
        }
        assert_eq!(FileKind::from_mode(0o100_644), Some(FileKind::Regular));
        assert_eq!(FileKind::from_mode(0o644), None);
    }
}
