//! The tree that every tool is given: one of everything that a file system can hold, and the odd
//! things of each.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

use crate::tar_support::{Random, shell};

/// Makes the tree below the empty directory `root`.
pub fn make(root: &Path) {
    modes_and_owners(root);
    names(root);
    sizes(root);
    links(root);
    nodes(root);
    sparse(root);
    attributes(root);
    times(root);
}

fn file(root: &Path, name: &[u8], bytes: &[u8]) -> std::path::PathBuf {
    let path = root.join(OsStr::from_bytes(name));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

fn modes_and_owners(root: &Path) {
    let passwd =
        b"root:x:0:0::/:/bin/sh\ndaemon:x:1:1::/:/bin/false\nlisa:x:4711:4712::/:/bin/sh\n";
    file(root, b"etc/passwd", passwd);
    file(
        root,
        b"etc/group",
        b"root:x:0:\ndaemon:x:1:\nlisa:x:4712:\n",
    );
    for mode in [0o000, 0o400, 0o644, 0o1644, 0o2755, 0o4755, 0o6711, 0o7777] {
        let path = file(root, format!("modes/{mode:04o}").as_bytes(), b"x");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let path = root.join(format!("modes/dir-{mode:04o}"));
        fs::create_dir(&path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    for id in [
        1,
        65_534,
        0o7_777_777,
        0o10_000_000,
        3_000_000,
        4_294_967_294,
    ] {
        let path = file(root, format!("owners/{id}").as_bytes(), b"x");
        // A change of owner takes set-id bits away, so this mode comes after.
        std::os::unix::fs::chown(&path, Some(id), Some(id - 1)).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o4750)).unwrap();
    }
    let link = root.join("owners/link");
    symlink("1", &link).unwrap();
    std::os::unix::fs::lchown(link, Some(77), Some(88)).unwrap();
}

fn names(root: &Path) {
    let odd: [&[u8]; 16] = [
        b"-leading-dash",
        b"--checkpoint-action=exec=false",
        b"trailing space ",
        b" ",
        b"new\nline",
        b"tab\tbell\x07",
        b"back\\slash",
        b"\"quotes\" 'and' `more`",
        b"percent%00 %n",
        b"...",
        b".hidden",
        b"\xff\xfe\x80",
        "\u{e9}\u{4e16}\u{1f600}".as_bytes(),
        b"e\xcc\x81",
        b".wh.not-a-whiteout",
        b"a=b,c;d*?[x]{y}~",
    ];
    for name in odd {
        file(root, &[b"odd/", name].concat(), name);
    }
    fs::create_dir(root.join(OsStr::from_bytes(b"odd/dir with \n"))).unwrap();
    for length in [99, 100, 101, 154, 155, 156, 254, 255] {
        file(
            root,
            format!("lengths/{}", "n".repeat(length)).as_bytes(),
            b"x",
        );
    }
    // What a ustar header can divide into prefix and name, and what it cannot.
    file(
        root,
        format!("{}p/{}", "p/".repeat(74), "n".repeat(99)).as_bytes(),
        b"prefix",
    );
    file(
        root,
        format!("{}/{}", "d".repeat(155), "n".repeat(100)).as_bytes(),
        b"just",
    );
    file(
        root,
        format!(
            "{}/{}/{}",
            "d".repeat(200),
            "e".repeat(255),
            "f".repeat(255)
        )
        .as_bytes(),
        b"",
    );
    let deep = "deep-directory/".repeat(250);
    fs::create_dir_all(root.join(&deep)).unwrap();
    file(root, format!("{deep}file").as_bytes(), b"deep down");
    for number in 0..40 {
        file(
            root,
            format!("many/{}", number * 7919 % 1000).as_bytes(),
            b"",
        );
    }
    fs::create_dir_all(root.join("empty/also empty")).unwrap();
}

fn sizes(root: &Path) {
    let mut random = Random::new(1);
    for size in [0, 1, 511, 512, 513, 1023, 1024, 10_239, 10_240, 100_000] {
        file(root, format!("sizes/{size}").as_bytes(), &random.text(size));
    }
    // What looks like a header, an end mark, a whole archive.
    file(root, b"sizes/zeros", &[0; 20_480]);
    let mut header = tar::Header::new_ustar();
    header.set_path("not/a/member").unwrap();
    header.set_size(0);
    header.set_cksum();
    let mut archive = header.as_bytes().repeat(3);
    archive.resize(4096, 0);
    file(root, b"sizes/archive.tar", &archive);
}

fn links(root: &Path) {
    let text = file(root, b"links/a/one", b"several names");
    for other in ["links/a/two", "links/b/three", "aaa-first", "zzz-last"] {
        fs::create_dir_all(root.join(other).parent().unwrap()).unwrap();
        fs::hard_link(&text, root.join(other)).unwrap();
    }
    let long = format!("links/{}", "l".repeat(150));
    fs::hard_link(&text, root.join(&long)).unwrap();
    let empty = file(root, b"links/empty", b"");
    fs::hard_link(empty, root.join("links/empty2")).unwrap();
    for (name, target) in [
        ("relative", "a/one"),
        ("absolute", "/etc/passwd"),
        ("dangling", "nowhere/at all"),
        ("up", "../../../../../etc"),
        ("itself", "itself"),
        ("dot", "."),
        ("directory", "a/"),
        ("odd", "new\nline \\ \u{e9} "),
    ] {
        symlink(target, root.join("links").join(name)).unwrap();
    }
    let non_utf8 = OsStr::from_bytes(b"\xff\xfe");
    symlink(non_utf8, root.join("links/non-utf8")).unwrap();
    for length in [99, 100, 101, 255, 4095] {
        symlink("t".repeat(length), root.join(format!("links/to-{length}"))).unwrap();
    }
    fs::hard_link(root.join("links/relative"), root.join("links/relative2")).unwrap();
}

fn nodes(root: &Path) {
    fs::create_dir(root.join("dev")).unwrap();
    let node = |name: &str, kind, mode, major, minor| {
        let (path, device) = (
            root.join("dev").join(name),
            rustix::fs::makedev(major, minor),
        );
        rustix::fs::mknodat(CWD, &path, kind, Mode::from_raw_mode(mode), device).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    node("null", FileType::CharacterDevice, 0o666, 1, 3);
    node("whiteout-like", FileType::CharacterDevice, 0o000, 0, 0);
    node("high", FileType::CharacterDevice, 0o600, 259, 70_000);
    node("highest", FileType::BlockDevice, 0o600, 4095, 0xf_ffff);
    node("disk", FileType::BlockDevice, 0o4660, 8, 300);
    node("pipe", FileType::Fifo, 0o622, 0, 0);
    fs::hard_link(root.join("dev/null"), root.join("dev/null2")).unwrap();
    fs::hard_link(root.join("dev/pipe"), root.join("dev/pipe2")).unwrap();
}

/// Names of the files whose size is beyond what octal digits can say.
pub const HUGE: &[&str] = &["sparse/huge-hole", "sparse/huge-end"];

fn sparse(root: &Path) {
    let make = |name: &str, data: &[(u64, usize)], size: u64| {
        let file = File::create(file(root, format!("sparse/{name}").as_bytes(), b"")).unwrap();
        for (offset, length) in data {
            let text = Random::new(*offset).text(*length);
            file.write_all_at(&text, *offset).unwrap();
        }
        file.set_len(size).unwrap();
    };
    make("only-hole", &[], 1 << 20);
    make("one-byte-hole", &[], 1);
    make("middle", &[(0, 4096), (1 << 18, 4096)], 1 << 19);
    make("begin", &[(8192, 5000)], 13_192);
    make("end", &[(0, 5000)], 100_000);
    make(
        "four",
        &[(0, 1), (16_384, 1), (32_768, 1), (49_152, 1)],
        65_536,
    );
    let many: Vec<_> = (0..60).map(|number| (number * 16_384, 4096)).collect();
    make("many", &many, 60 * 16_384 + 1);
    make("huge-hole", &[], 9 << 30);
    make("huge-end", &[(0, 10), ((10 << 30) - 100, 100)], 10 << 30);
}

fn attributes(root: &Path) {
    let set = |path: &str, name: &str, value: &[u8]| {
        rustix::fs::lsetxattr(root.join(path), name, value, XattrFlags::empty()).unwrap();
    };
    file(root, b"xattr/file", b"x");
    set("xattr/file", "user.plain", b"value");
    set("xattr/file", "user.bytes", b"\0\n=\xff\n12 x=y\n\0");
    set("xattr/file", "user.empty", b"");
    set("xattr/file", "user.100%=x y%41", b"escaped");
    set("xattr/file", "user.\u{e9}", b"not ASCII");
    set("xattr/file", &format!("user.{}", "n".repeat(250)), b"long");
    set("xattr/file", "user.large", &[7; 60_000]);
    set("xattr/file", "trusted.overlay.opaque", b"y");
    set("xattr/file", "security.ima", b"\x01\x02\x03");
    set("xattr", "trusted.directory", b"yes");
    set("links/dangling", "trusted.link", b"on the link itself");
    set("dev/null", "trusted.device", b"on a device");
    set("links/a/one", "user.linked", b"on all names");
    // CAP_NET_RAW in revision 2; CAP_NET_ADMIN of a user namespace, revision 3.
    let revision_2 = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    file(root, b"xattr/ping", b"x");
    set("xattr/ping", "security.capability", &revision_2);
    file(root, b"xattr/namespaced", b"x");
    let revision_3 = [
        &[0, 0, 0, 3, 0, 16][..],
        &[0; 14],
        &100_000_u32.to_le_bytes(),
    ]
    .concat();
    set("xattr/namespaced", "security.capability", &revision_3);
    for name in ["numbers", "names", "mask", "with-user-attribute"] {
        file(root, format!("acl/{name}").as_bytes(), b"x");
    }
    set("acl/with-user-attribute", "user.x", b"y");
    shell(
        root,
        "cd acl; mkdir default both minimal
         setfacl -m u:12345:rw,u:4000000000:r,g:54321:rx,m::rx numbers
         setfacl -m u:daemon:rwx,g:daemon:r names
         chmod 640 mask; setfacl -m u:1:rwx,m::r mask
         setfacl -m u:7:r with-user-attribute
         setfacl -d -m u:77:rwx,g:78:x,o::r default
         setfacl -m u:77:rwx both; setfacl -d -m u:78:r,o::- both
         setfacl -d -m u::rwx,g::r,o::- minimal",
    );
}

fn times(root: &Path) {
    let at = |name: &str, seconds: i64, nanoseconds: i64| {
        let time = Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds,
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        let path = root.join(name);
        rustix::fs::utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    };
    for (name, seconds, nanoseconds) in [
        ("epoch", 0, 0),
        ("nanosecond", 1_234_567_890, 1),
        ("almost", 1_234_567_890, 999_999_999),
        ("before", -1, 0),
        ("just-before", -1, 999_999_999),
        ("day-before", -86_400, 250_000_000),
        ("before-1901", -3_000_000_000, 500_000_000),
        ("after-2038", 1 << 31, 123_456_789),
        ("after-2106", 1 << 32, 0),
        ("most-of-octal", (1 << 33) - 1, 0),
        ("beyond-octal", 1 << 33, 0),
        ("far", 1 << 36, 987_654_321),
    ] {
        file(root, format!("times/{name}").as_bytes(), b"x");
        at(&format!("times/{name}"), seconds, nanoseconds);
    }
    at("links/relative", 1_000_000_000, 7);
    at("dev/pipe", 1_000_000_001, 8);
    at("xattr", 1_000_000_002, 9);
    for name in ["odd", "links/a", "links", "empty/also empty", "empty", "."] {
        at(name, 1_111_111_111, 111_111_111);
    }
}
