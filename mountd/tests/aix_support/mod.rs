//! What the tests of AIX backups share.
#![allow(dead_code, unreachable_pub)]

pub mod directory;
pub mod writer;

use writer::{Acl, AclEntry, Entry, LinkLayout};

/// Extended permissions as in a sample of a real system.
pub const ACL: Acl<'static> = Acl {
    mode: 0x0200_0800,
    permissions: [7, 5, 0],
    entries: &[
        AclEntry {
            kind: 1,
            permissions: 6,
            ids: &[(2, 214)],
        },
        AclEntry {
            kind: 2,
            permissions: 7,
            ids: &[(1, 204), (2, 21_800)],
        },
    ],
};

/// What `image.data` of the golden archive says.
pub const IMAGE_DATA: &[u8] = b"image_data:\n\tIMAGE_TYPE= bff\n\
    \tDATE_TIME= Fri Mar  1 10:00:00 CET 2024\n\tUNAME_INFO= AIX host1 1 7 00F60FEF4C00\n\
    \tPRODUCT_TAPE= no\n\tUSERVG_LIST= \n\tOSLEVEL= 7.1.2.0\n\nlogical_volume_policy:\n\
    \tSHRINK= no\n\tEXACT_FIT= no\n\nfs_data:\n\tFS_NAME= /\n\tFS_SIZE= 524288\n\n\
    fs_data:\n\tFS_NAME= /usr\n\tFS_SIZE= 4194304\n";

/// A packed file's contents.
pub fn motd() -> Vec<u8> {
    let lines = (0..200).map(|line| format!("{line}: Welcome to AIX Version 7.1!\n"));
    lines.collect::<String>().into_bytes()
}

/// A directory with the number that it has in real archives.
pub fn directory_entry(name: &'static [u8], number: u32) -> Entry<'static> {
    Entry {
        name,
        mode: 0x1_41ed,
        nlink: 2,
        inode: u32::MAX - number,
        uid: 2,
        gid: 2,
        times: [1_709_283_600, 1_709_283_601, 1_709_283_602],
        device: (10, 4),
        stored: Some(256),
        ..Entry::default()
    }
}

/// A file.
pub fn file<'a>(name: &'a [u8], data: &'a [u8]) -> Entry<'a> {
    Entry {
        name,
        mode: 0o100_644,
        nlink: 1,
        times: [1_709_283_600, 1_709_283_601, 1_709_283_602],
        device: (10, 4),
        data,
        ..Entry::default()
    }
}

/// The entries of the golden archive: of everything something, in the order of a mksysb.
pub fn golden(motd: &[u8]) -> Vec<Entry<'_>> {
    let link = |name, target, link_layout| Entry {
        mode: 0o120_777,
        link_layout,
        ..file(name, target)
    };
    vec![
        file(b"./bosinst.data", b"control_flow:\n"),
        Entry {
            packed: true,
            ..file(b"./image.data", IMAGE_DATA)
        },
        directory_entry(b"./", 0),
        directory_entry(b"./etc", 1),
        Entry {
            garbage: 0xf100,
            stale: b"old/name/of/a/longer/entry",
            ..file(b"./etc/passwd", b"root:!:0:0::/:/usr/bin/ksh\n")
        },
        Entry {
            packed: true,
            ..file(b"./etc/motd", motd)
        },
        file(b"./etc/empty", b""),
        link(b"./bin", b"/usr/bin", LinkLayout::Bare),
        link(b"./lib", b"usr/lib", LinkLayout::BeforeAcl),
        link(b"./u", b"home", LinkLayout::AfterAcl),
        directory_entry(b"./usr", 2),
        directory_entry(b"./usr/bin", 3),
        Entry {
            mode: 0x0200_0000 | 0o104_750,
            uid: 388_113,
            gid: 21_803,
            acl: Some(ACL),
            ..file(b"./usr/bin/su", b"\x01\xf7 not really a program")
        },
        Entry {
            nlink: 2,
            inode: 4711,
            ..file(b"./usr/bin/vi", b"an editor")
        },
        Entry {
            nlink: 2,
            inode: 4711,
            ..file(b"./usr/bin/view", b"an editor")
        },
        directory_entry(b"./dev", 4),
        Entry {
            mode: 0o060_660,
            rdev: (10, 5),
            ..file(b"./dev/hd2", b"")
        },
        Entry {
            mode: 0o020_666,
            rdev: (2, 2),
            ..file(b"./dev/null", b"")
        },
        Entry {
            mode: 0o020_666,
            rdev: (0x8000_0011, 0),
            ..file(b"./dev/far", b"")
        },
        Entry {
            mode: 0o010_600,
            ..file(b"./dev/fifo", b"")
        },
        Entry {
            mode: 0o140_600,
            ..file(b"./dev/log", b"")
        },
        file(b"./../outside", b"not to be seen"),
        file(b"/etc/absolute", b"below the image's root"),
        file(b"./etc/empty", b"no longer: the later one counts"),
    ]
}
