//! What a file seems to be, from its first bytes, and how to make it usable.
//!
//! The magic numbers are those of the formats' own descriptions and of `file(1)`.

use std::fs::File;
use std::io;

use super::format::Codec;
use super::header::{BLOCK_LENGTH, checksum_holds};
use super::source::read_full;

/// How far into a file there is something to look at (btrfs has its magic at 64 KiB).
const LOOK: usize = 72 * 1024;

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

const MOUNT: &str =
    "mount it read-only (\"mount -o loop,ro IMAGE DIR\") and use that directory as the source";
const UNPACK: &str = "unpack it into a directory and use that directory as the source";
const DISK: &str = "attach it (\"losetup -fP --show IMAGE\" or \"qemu-nbd -rc /dev/nbd0 IMAGE\"), \
                    mount its root file system read-only and use that directory as the source";

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
        b"\x1f\x9d",
        "it is packed with compress",
        "run \"gzip -dc IMAGE | zstd -o NEW.tar.zst\"",
    ),
    magic(
        0,
        b"Salted__",
        "it is encrypted by openssl",
        "decrypt it with \"openssl enc -d\" first",
    ),
    magic(
        0,
        b"age-encryption.org",
        "it is encrypted by age",
        "decrypt it with \"age -d\" first",
    ),
    magic(
        0,
        b"-----BEGIN PGP",
        "it is encrypted by PGP",
        "decrypt it with \"gpg -d\" first",
    ),
];

const OTHERS: &[Magic] = &[
    magic(0, b"hsqs", "looks like a squashfs file system", MOUNT),
    magic(
        1024,
        b"\xe2\xe1\xf5\xe0",
        "looks like an EROFS file system",
        MOUNT,
    ),
    magic(
        1080,
        b"\x53\xef",
        "looks like an ext2, ext3 or ext4 file system",
        MOUNT,
    ),
    magic(0, b"XFSB", "looks like an XFS file system", MOUNT),
    magic(65600, b"_BHRfS_M", "looks like a btrfs file system", MOUNT),
    magic(32769, b"CD001", "looks like an ISO 9660 file system", MOUNT),
    magic(0, b"QFI\xfb", "looks like a qcow2 disk image", DISK),
    magic(0, b"KDMV", "looks like a VMware disk image", DISK),
    magic(
        0,
        b"LUKS\xba\xbe",
        "looks like an encrypted (LUKS) volume",
        "open it with \"cryptsetup open IMAGE NAME\" and mount that",
    ),
    magic(
        512,
        b"EFI PART",
        "looks like a disk image with a partition table",
        DISK,
    ),
    magic(0, b"PK\x03\x04", "looks like a zip archive", UNPACK),
    magic(0, b"7z\xbc\xaf\x27\x1c", "looks like a 7z archive", UNPACK),
    magic(0, b"Rar!", "looks like a RAR archive", UNPACK),
    magic(
        0,
        b"07070",
        "looks like a cpio archive",
        "unpack it with \"cpio -idm\" into a directory and use that as the source",
    ),
    magic(
        0,
        b"\xc7\x71",
        "looks like an old cpio archive",
        "unpack it with \"cpio -idm\" into a directory and use that as the source",
    ),
    magic(
        0,
        b"\x09\x00\x6b\xea",
        "looks like an AIX backup by name (a mksysb)",
        "its programs are for POWER and do not run here; make the backup of a Linux system",
    ),
    magic(
        0,
        b"\x09\x00\x6f\xea",
        "looks like a packed AIX backup (a mksysb)",
        "its programs are for POWER and do not run here; make the backup of a Linux system",
    ),
    magic(
        24,
        b"\x6c\xea\x00\x00",
        "looks like a dump(8) of a file system",
        "unpack it with \"restore -rf IMAGE\" into a directory and use that as the source",
    ),
    magic(
        0,
        b"\x00\x00\x00\x7b",
        "looks like a dar archive",
        "unpack it with \"dar -x\" into a directory and use that as the source",
    ),
    magic(
        12,
        b"BB02",
        "looks like a Bacula or Bareos volume",
        "unpack it with \"bextract\" into a directory and use that as the source",
    ),
    magic(
        0,
        b"AMANDA: ",
        "looks like an Amanda dump",
        "cut off its header with \"dd if=IMAGE of=NEW bs=32k skip=1\"",
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
        DISK,
    ),
];

/// Looks at the contents of `file`, never at its name.
pub(super) fn recognise(file: &File) -> io::Result<Found> {
    let mut buffer = vec![0; LOOK];
    let count = read_full(file, &mut buffer, 0)?;
    buffer.truncate(count);
    Ok(recognise_bytes(&buffer))
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

fn recognise_bytes(bytes: &[u8]) -> Found {
    if let Some((_, codec)) = CODECS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Found::Archive(*codec);
    }
    let skippable = |magic: &[u8]| magic[0] & 0xf0 == 0x50 && magic[1..] == *b"\x2a\x4d\x18";
    if bytes.get(..4).is_some_and(skippable) {
        return Found::Archive(behind_skippable(bytes));
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
