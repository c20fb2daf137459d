//! Which file system is in a file, from its superblock.
//!
//! Offsets and magic numbers are those of the kernel's own headers: `squashfs_fs.h`, `erofs_fs.h`,
//! `ext4.h`, `xfs_format.h`, `btrfs_tree.h`. Nothing else of a superblock is believed here.

use std::fs::File;
use std::io;

use serde::{Deserialize, Serialize};

use super::Region;
use crate::lower::tar::read_full;

/// A file system that the kernel can show without writing to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileSystemKind {
    /// squashfs 4: root file systems of LXD and Incus, live media.
    Squashfs,
    /// EROFS.
    Erofs,
    /// ext2, ext3 or ext4, by the driver of the last.
    Ext4,
    /// XFS.
    Xfs,
    /// btrfs.
    Btrfs,
}

impl FileSystemKind {
    /// Its name, as the kernel and people have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Squashfs => "squashfs",
            Self::Erofs => "erofs",
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }
}

/// What its journal says of a file system that was not unmounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journal {
    /// There is none, or nothing is in it.
    Empty,
    /// It holds changes that are not yet in their places. They are not seen.
    Pending,
    /// That cannot be told from the superblock.
    Unknown,
}

/// A file system that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Which.
    pub kind: FileSystemKind,
    /// Whether changes wait in its journal.
    pub journal: Journal,
}

/// How far into it a file system says what it is: btrfs at 64 KiB, and 4 KiB of it.
const LOOK: usize = 68 << 10;

/// The file system in `region` of `file`, if there is one.
///
/// # Errors
/// Those of reading.
pub fn examine(file: &File, region: Region) -> io::Result<Option<Superblock>> {
    let mut bytes = vec![0; LOOK];
    let length = match region.bytes {
        0 => LOOK,
        bytes => LOOK.min(usize::try_from(bytes).unwrap_or(LOOK)),
    };
    let count = read_full(file, &mut bytes[..length], region.offset)?;
    bytes.truncate(count);
    Ok(examine_bytes(&bytes))
}

fn examine_bytes(bytes: &[u8]) -> Option<Superblock> {
    let has = |offset: usize, magic: &[u8]| {
        bytes
            .get(offset..)
            .is_some_and(|bytes| bytes.starts_with(magic))
    };
    let (kind, journal) = if has(0, b"hsqs") {
        (FileSystemKind::Squashfs, Journal::Empty)
    } else if has(1024, b"\xe2\xe1\xf5\xe0") {
        (FileSystemKind::Erofs, Journal::Empty)
    } else if has(0, b"XFSB") {
        (FileSystemKind::Xfs, Journal::Unknown)
    } else if has(0x1_0040, b"_BHRfS_M") {
        (FileSystemKind::Btrfs, btrfs_journal(bytes))
    } else if has(1080, b"\x53\xef") {
        (FileSystemKind::Ext4, ext4_journal(bytes))
    } else {
        return None;
    };
    Some(Superblock { kind, journal })
}

/// `EXT4_FEATURE_INCOMPAT_RECOVER` in `s_feature_incompat`.
fn ext4_journal(bytes: &[u8]) -> Journal {
    const RECOVER: u8 = 4;
    match bytes.get(1024 + 0x60) {
        Some(flags) if flags & RECOVER != 0 => Journal::Pending,
        _ => Journal::Empty,
    }
}

/// `log_root`, the address of the tree log.
fn btrfs_journal(bytes: &[u8]) -> Journal {
    match bytes.get(0x1_0060..0x1_0068) {
        Some(root) if root.iter().any(|byte| *byte != 0) => Journal::Pending,
        _ => Journal::Empty,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(parts: &[(usize, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; LOOK];
        for (offset, part) in parts {
            bytes[*offset..offset + part.len()].copy_from_slice(part);
        }
        bytes
    }

    #[test]
    fn each_is_known_by_its_superblock_and_the_state_of_its_journal() {
        use FileSystemKind::{Btrfs, Erofs, Ext4, Squashfs, Xfs};
        let (btrfs, ext4) = ((0x1_0040, &b"_BHRfS_M"[..]), (1080, &b"\x53\xef"[..]));
        for (parts, kind, journal) in [
            (&[(0, &b"hsqs"[..])][..], Squashfs, Journal::Empty),
            (&[(1024, b"\xe2\xe1\xf5\xe0")], Erofs, Journal::Empty),
            (&[(0, b"XFSB")], Xfs, Journal::Unknown),
            (&[btrfs], Btrfs, Journal::Empty),
            (&[btrfs, (0x1_0060, b"\0\0\x10")], Btrfs, Journal::Pending),
            (&[ext4], Ext4, Journal::Empty),
            (&[ext4, (1024 + 0x60, b"\xc6")], Ext4, Journal::Pending),
        ] {
            let found = examine_bytes(&image(parts));
            assert_eq!(found, Some(Superblock { kind, journal }));
        }
        assert_eq!(examine_bytes(&image(&[])), None);
        assert_eq!(examine_bytes(b"hsq"), None);
        assert_eq!(examine_bytes(b""), None);
    }

    #[test]
    fn a_region_ends_where_it_ends() {
        use std::os::unix::fs::FileExt;
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&image(&[(1080, b"\x53\xef")]), 4096)
            .unwrap();
        let within = |bytes| {
            let region = Region {
                offset: 4096,
                bytes,
            };
            examine(&file, region).unwrap().is_some()
        };
        assert!(within(0) && within(2048));
        assert!(!within(1080));
        assert_eq!(examine(&file, Region::default()).unwrap(), None);
    }
}
