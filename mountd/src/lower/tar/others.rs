//! Magic numbers of what is no archive, and how to make it usable.
//!
//! They are those of the formats' own descriptions and of `file(1)`.

use super::magic::{Magic, magic};

/// Shown by the kernel, without an index.
const KERNEL: &str = "it needs no index: root can have it shown as it is";
const MOUNT: &str =
    "mount it read-only (\"mount -o loop,ro IMAGE DIR\") and use that directory as the source";
const UNPACK: &str = "unpack it into a directory and use that directory as the source";
const FOREIGN: &str = "no Linux system is kept in one; name the backup of a system";
const PXAR: &str = "run \"pxar extract IMAGE DIR\" as root and use that directory as the source";
/// An image of a virtual disk.
pub(super) const CONVERT: &str = "run \"qemu-img convert -O raw IMAGE NEW.img\" and use that";

const AIX: &str = "make it anew by name on its own system, with mksysb or \"find . -print | \
                   backup -i -f FILE\"";

/// Everything else that is known.
pub(super) const OTHERS: &[Magic] = &[
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
