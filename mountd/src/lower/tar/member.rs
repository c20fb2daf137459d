//! One entry of an archive, with all that its headers said put together.

use crate::types::{FileKind, Timestamp};

use super::sparse::Extent;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::lower) enum MemberKind {
    /// A new inode of this type.
    Node(FileKind),
    /// Another name of an earlier entry.
    HardLink,
}

/// Where the contents of a regular file are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::lower) struct MemberData {
    /// Size of the file.
    pub(in crate::lower) size: u64,
    /// Where its bytes begin in the tar stream.
    pub(in crate::lower) offset: u64,
    /// The stretches of a sparse file.
    pub(in crate::lower) extents: Option<Vec<Extent>>,
    /// How many bytes are stored of a file that is packed by itself (pack(1)); it has no extents.
    pub(in crate::lower) packed: Option<u64>,
}

impl MemberData {
    /// Moves it to where its archive begins in the stream.
    pub(super) fn shift(&mut self, base: u64) {
        self.offset = self.offset.saturating_add(base);
        for extent in self.extents.iter_mut().flatten() {
            extent.data_offset = extent.data_offset.saturating_add(base);
        }
    }
}

/// One entry.
#[derive(Clone, Debug)]
pub(in crate::lower) struct Member {
    /// Its name, as stored.
    pub(in crate::lower) path: Vec<u8>,
    /// Target of a symbolic or hard link, as stored.
    pub(in crate::lower) link: Vec<u8>,
    pub(in crate::lower) kind: MemberKind,
    pub(in crate::lower) permissions: u16,
    pub(in crate::lower) uid: u32,
    pub(in crate::lower) gid: u32,
    /// In the kernel's 32-bit encoding.
    pub(in crate::lower) rdev: u32,
    pub(in crate::lower) mtime: Timestamp,
    /// Those that the archive does not store are the time of modification.
    pub(in crate::lower) atime: Timestamp,
    pub(in crate::lower) ctime: Timestamp,
    pub(in crate::lower) data: MemberData,
    pub(in crate::lower) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// ACLs as text: for access, and the default for new files.
    pub(in crate::lower) acl: [Option<Vec<u8>>; 2],
    /// What of it could not be kept.
    pub(in crate::lower) remarks: Vec<&'static str>,
}

/// The kernel's 32-bit encoding of a device number (`new_encode_dev`), `None` if it does not fit
/// its 12 and 20 bits.
pub(in crate::lower) fn encode_device(major: u32, minor: u32) -> Option<u32> {
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
