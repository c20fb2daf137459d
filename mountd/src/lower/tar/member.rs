//! One entry of an archive, with all that its headers said put together.

use crate::types::{FileKind, Timestamp};

use super::sparse::Extent;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemberKind {
    /// A new inode of this type.
    Node(FileKind),
    /// Another name of an earlier entry.
    HardLink,
}

/// Where the contents of a regular file are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MemberData {
    /// Size of the file.
    pub(super) size: u64,
    /// Where its bytes begin in the tar stream.
    pub(super) offset: u64,
    /// The stretches of a sparse file.
    pub(super) extents: Option<Vec<Extent>>,
    /// How many bytes are stored of a file that is packed by itself (pack(1)); it has no extents.
    pub(super) packed: Option<u64>,
}

/// One entry.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// Its name, as stored.
    pub(super) path: Vec<u8>,
    /// Target of a symbolic or hard link, as stored.
    pub(super) link: Vec<u8>,
    pub(super) kind: MemberKind,
    pub(super) permissions: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// In the kernel's 32-bit encoding.
    pub(super) rdev: u32,
    pub(super) mtime: Timestamp,
    /// Those that the archive does not store are the time of modification.
    pub(super) atime: Timestamp,
    pub(super) ctime: Timestamp,
    pub(super) data: MemberData,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// ACLs as text: for access, and the default for new files.
    pub(super) acl: [Option<Vec<u8>>; 2],
    /// What of it could not be kept.
    pub(super) remarks: Vec<&'static str>,
}

/// The kernel's 32-bit encoding of a device number (`new_encode_dev`), `None` if it does not fit
/// its 12 and 20 bits.
pub(super) fn encode_device(major: u32, minor: u32) -> Option<u32> {
    (major < 1 << 12 && minor < 1 << 20)
        .then_some((minor & 0xff) | (major << 8) | ((minor & !0xff) << 12))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_in_the_kernels_encoding() {
        assert_eq!(encode_device(1, 3), Some(0x103));
        assert_eq!(encode_device(8, 300), Some(0x10_082c));
        assert_eq!(encode_device(4095, 0xf_ffff), Some(0xffff_ffff));
        assert_eq!(encode_device(4096, 0), None);
        assert_eq!(encode_device(0, 1 << 20), None);
    }
}
