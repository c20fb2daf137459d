//! What a file seems to be, from its first bytes, and how to make it usable.
//!
//! The magic numbers are those of the formats' own descriptions and of `file(1)`.

use std::fs::File;
use std::io;

use super::format::Codec;
use super::header::{BLOCK_LENGTH, checksum_holds};
use super::source::read_full;

/// How far into a file there is something to look at (btrfs has its magic at 64 KiB).
pub(super) const LOOK: usize = 72 * 1024;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// An archive that can be scanned, if what is inside the compression is one.
    Archive(Codec),
    /// A compression that is not read here.
    Compression {
        what: &'static str,
        remedy: &'static str,
    },
    /// Something else.
    Other {
        what: &'static str,
        remedy: &'static str,
    },
}

struct Magic {
    offset: usize,
    bytes: &'static [u8],
    what: &'static str,
    remedy: &'static str,
}

const fn magic(
    offset: usize,
    bytes: &'static [u8],
    what: &'static str,
    remedy: &'static str,
) -> Magic {
    Magic {
        offset,
        bytes,
        what,
        remedy,
    }
}

/// Shown by the kernel, without an index.
const KERNEL: &str = "it needs no index: root can have it shown as it is";
const MOUNT: &str =
    "mount it read-only (\"mount -o loop,ro IMAGE DIR\") and use that directory as the source";
const UNPACK: &str = "unpack it into a directory and use that directory as the source";
const FOREIGN: &str = "no Linux system is kept in one; name the backup of a system";
const PXAR: &str = "run \"pxar extract IMAGE DIR\" as root and use that directory as the source";
const CONVERT: &str = "run \"qemu-img convert -O raw IMAGE NEW.img\" and use that";

const AIX: &str = "make it anew by name on its own system, with mksysb or \"find . -print | \
                   backup -i -f FILE\"";
const CODECS: &[(&[u8], Codec)] = &[
    (b"\x1f\x8b", Codec::Gzip),
    (b"\x28\xb5\x2f\xfd", Codec::Zstd),
    (b"\xfd7zXZ\0", Codec::Xz),
    (b"BZh", Codec::Bzip2),
    (b"\x04\x22\x4d\x18", Codec::Lz4),
    (b"\x02\x21\x4c\x18", Codec::Lz4),
];

const COMPRESSIONS: &[Magic] = &[
    magic(
        0,
        b"\x89LZO\0\r\n\x1a\n",
        "it is lzop-compressed",
        "run \"lzop -dc IMAGE | zstd -o NEW.tar.zst\"",
    ),
    magic(
        0,
        b"LZIP",
        "it is lzip-compressed",
        "run \"lzip -dc IMAGE | zstd -o NEW.tar.zst\"",
    ),
    magic(
        0,
        b"LRZI",
        "it is lrzip-compressed",
        "run \"lrzip -q -d -o - IMAGE | zstd -o NEW.tar.zst\"",
    ),
    magic(
        0,
        b"\x5d\0\0\x80\0",
        "it is lzma-compressed",
        "run \"xz -dc --format=lzma IMAGE | zstd -o NEW.tar.zst\"",
    ),
    magic(
        0,
        b"\x1f\x9d",
        "it is packed with compress",
        "run \"gzip -dc IMAGE | zstd -o NEW.tar.zst\"",
    ),
    magic(
        0,
        b"Salted__",
        "it is encrypted by openssl",
        "decrypt it with \"openssl enc -d -CIPHER -pbkdf2 -in IMAGE -out NEW\" (ReaR: the cipher \
         of BACKUP_PROG_CRYPT_OPTIONS) and use that",
    ),
    magic(
        0,
        b"age-encryption.org",
        "it is encrypted by age",
        "decrypt it with \"age -d -o NEW IMAGE\" and use that",
    ),
    magic(
        0,
        b"-----BEGIN AGE ENCRYPTED FILE",
        "it is encrypted by age",
        "decrypt it with \"age -d -o NEW IMAGE\" and use that",
    ),
    magic(
        0,
        b"-----BEGIN PGP",
        "it is encrypted by PGP",
        "decrypt it with \"gpg -o NEW -d IMAGE\" and use that",
    ),
];

const OTHERS: &[Magic] = &[
    magic(0, b"hsqs", "looks like a squashfs file system", KERNEL),
    magic(
        1024,
        b"\xe2\xe1\xf5\xe0",
        "looks like an EROFS file system",
        KERNEL,
    ),
    magic(
        1080,
        b"\x53\xef",
        "looks like an ext2, ext3 or ext4 file system",
        KERNEL,
    ),
    magic(0, b"XFSB", "looks like an XFS file system", KERNEL),
    magic(65600, b"_BHRfS_M", "looks like a btrfs file system", KERNEL),
    magic(
        0,
        b"sqsh",
        "looks like a big-endian squashfs file system",
        "run \"unsquashfs -d DIR IMAGE\" and use that directory as the source",
    ),
    magic(32769, b"CD001", "looks like an ISO 9660 file system", MOUNT),
    magic(
        1024,
        b"\x10\x20\xf5\xf2",
        "looks like an F2FS file system",
        MOUNT,
    ),
    magic(
        4120,
        b"\xc6\x85\x73\xf6\x66\xce\x90\xa9",
        "looks like a bcachefs file system",
        MOUNT,
    ),
    magic(32768, b"JFS1", "looks like a JFS file system", MOUNT),
    magic(
        65588,
        b"ReIsEr2Fs",
        "looks like a ReiserFS file system",
        MOUNT,
    ),
    magic(3, b"NTFS    ", "looks like an NTFS file system", FOREIGN),
    magic(82, b"FAT32   ", "looks like a FAT file system", FOREIGN),
    magic(0, b"QFI\xfb", "looks like a qcow2 disk image", CONVERT),
    magic(0, b"QED\0", "looks like a QED disk image", CONVERT),
    magic(0, b"KDMV", "looks like a VMware disk image", CONVERT),
    magic(
        0,
        b"# Disk DescriptorFile",
        "looks like the description of a VMware disk image",
        CONVERT,
    ),
    magic(
        0,
        b"conectix",
        "looks like a VHD disk image (Hyper-V, Azure)",
        CONVERT,
    ),
    magic(
        0,
        b"vhdxfile",
        "looks like a VHDX disk image (Hyper-V)",
        CONVERT,
    ),
    magic(
        64,
        b"\x7f\x10\xda\xbe",
        "looks like a VirtualBox disk image",
        CONVERT,
    ),
    magic(
        0,
        b"WithoutFreeSpace",
        "looks like a Parallels disk image",
        CONVERT,
    ),
    magic(
        0,
        b"WithouFreSpacExt",
        "looks like a Parallels disk image",
        CONVERT,
    ),
    magic(
        0,
        b"\x3a\xff\x26\xed",
        "looks like a sparse image of Android",
        "run \"simg2img IMAGE NEW.img\" and use that",
    ),
    magic(
        0,
        b"LUKS\xba\xbe",
        "looks like an encrypted (LUKS) volume",
        "open it with \"cryptsetup open --readonly IMAGE NAME\", mount /dev/mapper/NAME read-only \
         and use that directory as the source",
    ),
    magic(
        512,
        b"LABELONE",
        "looks like a physical volume of LVM",
        "activate it with \"losetup -rf IMAGE && vgchange -ay\", mount its root read-only and use \
         that directory as the source",
    ),
    magic(
        0,
        b"VMA\0",
        "looks like a vzdump of a virtual machine (VMA)",
        "run \"vma extract IMAGE DIR\" and use the .raw file of its disk",
    ),
    magic(
        0,
        b"partclone-image",
        "looks like a partclone image (Clonezilla)",
        "run \"partclone.restore -C -s IMAGE -O NEW.img\" and use that",
    ),
    magic(
        0,
        b"\0ntfsclone-image",
        "looks like an ntfsclone image",
        FOREIGN,
    ),
    magic(
        0,
        b"FsA0",
        "looks like an archive of fsarchiver",
        "run \"fsarchiver restfs IMAGE id=0,dest=DEVICE\", mount that read-only and use that \
         directory as the source",
    ),
    magic(
        0,
        b"\xef\xac\x88\xe5\x74\x64\x95\xd5",
        "looks like a Proxmox archive (pxar)",
        PXAR,
    ),
    magic(
        0,
        b"\x0d\xa4\x16\xdf\x75\x6c\x0f\x73",
        "looks like a Proxmox archive (pxar)",
        PXAR,
    ),
    magic(
        0,
        b"\xd2\x4e\x4a\x19\xc2\x68\x4c\x83",
        "looks like a part of a split Proxmox archive (pxar)",
        PXAR,
    ),
    magic(
        512,
        b"EFI PART",
        "looks like a disk image with a partition table",
        KERNEL,
    ),
    magic(
        4096,
        b"EFI PART",
        "looks like a disk image with a partition table",
        KERNEL,
    ),
    magic(
        0,
        b"btrfs-stream\0",
        "looks like a stream of \"btrfs send\"",
        "run \"btrfs receive -f IMAGE DIR\" and use that directory as the source",
    ),
    magic(
        8,
        b"\xac\xcb\xba\xf5\x02\0\0\0",
        "looks like a stream of \"zfs send\"",
        "run \"zfs receive POOL/NAME <IMAGE\" and use its directory as the source",
    ),
    magic(
        0,
        b"xFSdump0",
        "looks like a dump of an XFS file system",
        "run \"xfsrestore -f IMAGE DIR\" and use that directory as the source",
    ),
    magic(0, b"MSWIM\0\0\0", "looks like a Windows image", FOREIGN),
    magic(0, b"PK\x03\x04", "looks like a zip archive", UNPACK),
    magic(0, b"7z\xbc\xaf\x27\x1c", "looks like a 7z archive", UNPACK),
    magic(0, b"Rar!", "looks like a RAR archive", UNPACK),
    magic(
        0,
        b"07070",
        "looks like a cpio archive",
        "run \"mkdir DIR && cd DIR && cpio -idm --no-absolute-filenames <IMAGE\" as root and use that \
         directory as the source",
    ),
    magic(
        0,
        b"\xc7\x71",
        "looks like an old cpio archive",
        "run \"mkdir DIR && cd DIR && cpio -idm --no-absolute-filenames <IMAGE\" as root and use that \
         directory as the source",
    ),
    magic(
        0,
        b"\x09\x00\x6d\xea",
        "looks like an AIX backup with the magic number 0xEA6D, of which no description is known",
        AIX,
    ),
    magic(
        0,
        b"\x09\x00\x6f\xea",
        "looks like an AIX backup with the magic number 0xEA6F, of which no description is known",
        AIX,
    ),
    magic(
        24,
        b"\x00\x00\xea\x6b",
        "looks like an AIX backup by i-node",
        AIX,
    ),
    magic(
        24,
        b"\x00\x00\xea\x6d",
        "looks like an AIX backup by i-node",
        AIX,
    ),
    magic(
        24,
        b"\x00\x00\xea\x6c",
        "looks like an AIX backup by i-node, or a dump(8) of another system",
        AIX,
    ),
    magic(
        0,
        b"\x71\xc7",
        "looks like an old cpio archive",
        "run \"mkdir DIR && cd DIR && cpio -idm --no-absolute-filenames <IMAGE\" as root and use that \
         directory as the source",
    ),
    magic(
        24,
        b"\x6c\xea\x00\x00",
        "looks like a dump(8) of a file system",
        "run \"mkdir DIR && cd DIR && restore -rf IMAGE\" as root and use that directory as the source",
    ),
    magic(
        0,
        b"\x00\x00\x00\x7b",
        "looks like a dar archive",
        "run \"dar -x BASENAME -R DIR\" as root (the name without .1.dar) and use that directory as \
         the source",
    ),
    magic(
        12,
        b"BB02",
        "looks like a Bacula or Bareos volume",
        "run \"bextract -V VOLUME IMAGE DIR\" and use that directory as the source",
    ),
    magic(
        0,
        b"AMANDA: ",
        "looks like an Amanda dump",
        "cut off its header with \"dd if=IMAGE of=NEW bs=32k skip=1\" and use that",
    ),
    magic(
        0,
        b"\xed\xab\xee\xdb",
        "looks like an RPM package",
        "it holds one package, not a system",
    ),
    magic(
        0,
        b"!<arch>\n",
        "looks like a Debian package or an ar archive",
        "it holds one package, not a system",
    ),
    magic(
        0,
        b"\x7fELF",
        "looks like a program",
        "name the backup of a system",
    ),
    magic(
        510,
        b"\x55\xaa",
        "looks like a disk image with a boot sector",
        KERNEL,
    ),
];

/// Whether `file` begins with a tar header, which goes before all that may follow in it.
///
/// # Errors
/// Those of reading.
pub fn begins_like_tar(file: &File) -> io::Result<bool> {
    let mut block = [0; BLOCK_LENGTH];
    let count = read_full(file, &mut block, 0)?;
    Ok(count == BLOCK_LENGTH && checksum_holds(&block))
}

/// Looks at the contents of `file` from `start` on, never at its name.
pub(super) fn recognise(file: &File, start: u64) -> io::Result<Found> {
    let mut buffer = vec![0; LOOK];
    let count = read_full(file, &mut buffer, start)?;
    buffer.truncate(count);
    let found = recognise_bytes(&buffer);
    if matches!(found, Found::Other { .. }) && has_vhd_footer(file)? {
        return Ok(Found::Other {
            what: "looks like a VHD disk image (Hyper-V, Azure)",
            remedy: CONVERT,
        });
    }
    Ok(found)
}

/// The compression behind skippable frames, which zstd and lz4 both have; zstd if they go on for
/// longer than was looked.
fn behind_skippable(bytes: &[u8]) -> Codec {
    let mut rest = bytes;
    while let [low, 0x2a, 0x4d, 0x18, a, b, c, d, ..] = *rest
        && low & 0xf0 == 0x50
    {
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        rest = rest
            .get(8..)
            .and_then(|rest| rest.get(length..))
            .unwrap_or_default();
    }
    match CODECS.iter().find(|(magic, _)| rest.starts_with(magic)) {
        Some((_, Codec::Lz4)) => Codec::Lz4,
        _ => Codec::Zstd,
    }
}

/// A VHD of fixed size is the disk and one sector behind it.
fn has_vhd_footer(file: &File) -> io::Result<bool> {
    const FOOTER: u64 = 512;
    let mut magic = [0; 8];
    let offset = file.metadata()?.len().saturating_sub(FOOTER);
    Ok(read_full(file, &mut magic, offset)? == magic.len() && magic == *b"conectix")
}

/// What the first bytes of a file seem to be.
pub(super) fn recognise_bytes(bytes: &[u8]) -> Found {
    if let Some((_, codec)) = CODECS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Found::Archive(*codec);
    }
    let skippable = |magic: &[u8]| magic[0] & 0xf0 == 0x50 && magic[1..] == *b"\x2a\x4d\x18";
    if bytes.get(..4).is_some_and(skippable) {
        return Found::Archive(behind_skippable(bytes));
    }
    if crate::lower::aix::is_volume(bytes) {
        return Found::Archive(Codec::Plain);
    }
    // A header with a good checksum is a header, whatever its file's name looks like.
    let is_tar = bytes
        .first_chunk::<BLOCK_LENGTH>()
        .is_some_and(|block| checksum_holds(block) || block.iter().all(|byte| *byte == 0));
    let found = |table: &'static [Magic]| {
        table.iter().find(|magic| {
            bytes
                .get(magic.offset..)
                .is_some_and(|bytes| bytes.starts_with(magic.bytes))
        })
    };
    // File systems may begin with zeros, so that only an archive's checksum goes before them.
    let has_header = bytes
        .first_chunk::<BLOCK_LENGTH>()
        .is_some_and(checksum_holds);
    if !has_header {
        if let Some(&Magic { what, remedy, .. }) = found(COMPRESSIONS) {
            return Found::Compression { what, remedy };
        }
        if let Some(&Magic { what, remedy, .. }) = found(OTHERS) {
            return Found::Other { what, remedy };
        }
    }
    if is_tar {
        return Found::Archive(Codec::Plain);
    }
    Found::Other {
        what: "does not begin with a tar header",
        remedy: "check with \"file IMAGE\" what it is; a system is backed up with \
                 \"tar --one-file-system --numeric-owner --xattrs --xattrs-include='*' --acls \
                 -cpf IMAGE.tar -C / .\"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_known_by_their_contents() {
        let at = |offset: usize, magic: &[u8]| {
            let mut bytes = vec![0; LOOK];
            bytes[0] = b'?';
            bytes[offset..offset + magic.len()].copy_from_slice(magic);
            bytes
        };
        for entry in COMPRESSIONS {
            let expected = Found::Compression {
                what: entry.what,
                remedy: entry.remedy,
            };
            assert_eq!(recognise_bytes(&at(entry.offset, entry.bytes)), expected);
        }
        for entry in OTHERS {
            let expected = Found::Other {
                what: entry.what,
                remedy: entry.remedy,
            };
            assert_eq!(recognise_bytes(&at(entry.offset, entry.bytes)), expected);
        }
        for (magic, codec) in CODECS {
            assert_eq!(recognise_bytes(magic), Found::Archive(*codec));
        }
        assert_eq!(
            recognise_bytes(b"\x50\x2a\x4d\x18\x01\0\0\0x\x04\x22\x4d\x18"),
            Found::Archive(Codec::Lz4)
        );
        assert_eq!(
            recognise_bytes(b"\x5e\x2a\x4d\x18"),
            Found::Archive(Codec::Zstd)
        );
        assert_eq!(recognise_bytes(&[0; 1024]), Found::Archive(Codec::Plain));
        assert!(matches!(recognise_bytes(b"hello"), Found::Other { .. }));
    }

    #[test]
    fn a_tar_header_goes_before_any_magic() {
        let mut header = ::tar::Header::new_ustar();
        header.set_path("07070/PK").unwrap();
        header.set_size(0);
        header.set_cksum();
        assert_eq!(
            recognise_bytes(header.as_bytes()),
            Found::Archive(Codec::Plain)
        );
    }
}
