//! What programs see of files without a name, of whiteouts and of long names of attributes: on a
//! mount the same as in a plain directory.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, XattrFlags, getxattr, linkat, listxattr,
    lremovexattr, lsetxattr, mknodat, open, removexattr, renameat_with, setxattr,
};
use rustix::io::Errno;
use wpar_mountd::wire::Transport;

use super::{Fixture, fixture};
use crate::TRANSPORT;

/// A default ACL: owner `rwx`, user 1000 `rwx`, group `r-x`, mask `rwx`, others nothing.
const DEFAULT_ACL: [u8; 44] = {
    let mut acl = [0; 44];
    let entries: [(u8, u8, u32); 5] = [
        (0x01, 7, u32::MAX),
        (0x02, 7, 1000),
        (0x04, 5, u32::MAX),
        (0x10, 7, u32::MAX),
        (0x20, 0, u32::MAX),
    ];
    acl[0] = 2;
    let mut at = 0;
    while at < entries.len() {
        let (tag, permissions, id) = entries[at];
        let id = id.to_le_bytes();
        let start = 4 + 8 * at;
        acl[start] = tag;
        acl[start + 2] = permissions;
        acl[start + 4] = id[0];
        acl[start + 5] = id[1];
        acl[start + 6] = id[2];
        acl[start + 7] = id[3];
        at += 1;
    }
    acl
};

/// A mount, and a plain directory beside it that has the same in it.
struct Pair {
    fixture: Fixture,
    plain: tempfile::TempDir,
}

impl Pair {
    /// Runs the same in both; what it tells must be the same.
    fn both(&self, what: &str, tell: impl Fn(&Path) -> Vec<String>) {
        assert_eq!(
            tell(&self.fixture.root()),
            tell(self.plain.path()),
            "{what}"
        );
    }
}

/// The tree that the cases begin with: on the mount it is the lower's.
fn pair() -> Option<Pair> {
    let fixture = fixture(|tree| {
        tree.file("dir/a", "a")
            .file("dir/b", "b")
            .file("dir/sub/x", "x")
            .directory("dir/empty")
            .file("linked", "linked")
            .hard_link("linked", "dir/linked")
            .symlink("dir/link", "nowhere")
            .directory("shared")
            .attributes("shared", |attr| {
                (attr.permissions, attr.gid) = (0o2775, 100)
            })
            .directory("acl")
            .xattr("acl", "system.posix_acl_default", DEFAULT_ACL)
    })?;
    let plain = tempfile::tempdir().unwrap();
    let path = |name: &str| plain.path().join(name);
    for name in ["dir", "dir/sub", "dir/empty", "shared", "acl"] {
        fs::create_dir(path(name)).unwrap();
        fs::set_permissions(path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    for (name, text) in [
        ("dir/a", "a"),
        ("dir/b", "b"),
        ("dir/sub/x", "x"),
        ("linked", "linked"),
    ] {
        fs::write(path(name), text).unwrap();
        fs::set_permissions(path(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    fs::hard_link(path("linked"), path("dir/linked")).unwrap();
    symlink("nowhere", path("dir/link")).unwrap();
    std::os::unix::fs::chown(path("shared"), None, Some(100)).unwrap();
    fs::set_permissions(path("shared"), fs::Permissions::from_mode(0o2775)).unwrap();
    let acl = setxattr(
        path("acl"),
        "system.posix_acl_default",
        &DEFAULT_ACL,
        XattrFlags::empty(),
    );
    acl.unwrap();
    Some(Pair { fixture, plain })
}

fn say<T: std::fmt::Debug>(what: &str, result: Result<T, Errno>) -> String {
    match result {
        Ok(_) => format!("{what}: done"),
        Err(errno) => format!("{what}: {errno:?}"),
    }
}

/// One line for each name below `directory`.
fn tree(directory: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut names: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    for path in names {
        let attr = fs::symlink_metadata(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let kind = attr.file_type();
        let (links, contents) = if kind.is_dir() {
            (0, String::new())
        } else if kind.is_file() {
            (attr.nlink(), fs::read_to_string(&path).unwrap())
        } else {
            (attr.nlink(), String::new())
        };
        lines.push(format!(
            "{name} mode {:o} {links} links, owner {}:{}, device {:x}: {contents}",
            attr.mode(),
            attr.uid(),
            attr.gid(),
            attr.rdev(),
        ));
        if kind.is_dir() {
            let below = tree(&path).into_iter().map(|line| format!("{name}/{line}"));
            lines.extend(below);
        }
    }
    lines
}

fn unnamed(directory: &Path, more: OFlags, mode: u32) -> Result<File, Errno> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC | more;
    open(directory, flags, Mode::from_raw_mode(mode)).map(File::from)
}

/// Gives an open file a name, as `open(2)` says that it is to be done.
fn name_it(file: &File, path: &Path) -> Result<(), Errno> {
    let open = format!("/proc/self/fd/{}", file.as_raw_fd());
    linkat(CWD, open, CWD, path, AtFlags::SYMLINK_FOLLOW)
}

fn about(file: &File) -> String {
    let attr = file.metadata().unwrap();
    format!(
        "mode {:o}, {} links, owner {}:{}, {} bytes",
        attr.mode(),
        attr.nlink(),
        attr.uid(),
        attr.gid(),
        attr.len()
    )
}

#[test]
fn a_file_without_a_name_is_as_on_any_file_system() {
    let Some(mut pair) = pair() else { return };
    if TRANSPORT == Transport::Device {
        // fuser 0.18 answers ENOSYS; the kernel makes that EOPNOTSUPP, and does not ask again.
        for _ in 0..2 {
            let made = unnamed(&pair.fixture.path("dir"), OFlags::empty(), 0o600);
            assert_eq!(made.unwrap_err(), Errno::OPNOTSUPP);
        }
        return;
    }
    pair.both("unnamed", |root| {
        let mut told = Vec::new();
        let dir = root.join("dir");
        let before = fs::metadata(&dir).unwrap();
        let mut file = unnamed(&dir, OFlags::empty(), 0o666).unwrap();
        told.push(about(&file));
        file.write_all(b"some text").unwrap();
        file.sync_all().unwrap();
        file.set_permissions(fs::Permissions::from_mode(0o640))
            .unwrap();
        rustix::fs::fchown(&file, Some(rustix::fs::Uid::from_raw(7)), None).unwrap();
        rustix::fs::fsetxattr(&file, "user.a", b"value", XattrFlags::empty()).unwrap();
        told.push(about(&file));
        let after = fs::metadata(&dir).unwrap();
        assert_eq!(
            (before.mtime(), before.mtime_nsec()),
            (after.mtime(), after.mtime_nsec())
        );
        told.push(say("over a name", name_it(&file, &dir.join("a"))));
        told.push(about(&file));
        told.push(say("first", name_it(&file, &dir.join("first"))));
        assert!(fs::metadata(&dir).unwrap().mtime() >= after.mtime());
        told.push(about(&file));
        file.write_at(b"SOME", 0).unwrap();
        told.push(say("second", name_it(&file, &root.join("second"))));
        told.push(about(&file));
        let number = file.metadata().unwrap().ino();
        assert_eq!(fs::metadata(dir.join("first")).unwrap().ino(), number);
        assert_eq!(fs::metadata(root.join("second")).unwrap().ino(), number);
        let mut value = [0; 9];
        let length = getxattr(root.join("second"), "user.a", &mut value).unwrap();
        told.push(format!("{:?}", &value[..length]));
        fs::remove_file(dir.join("first")).unwrap();
        fs::remove_file(root.join("second")).unwrap();
        told.push(about(&file));
        told.push(say("after its last", name_it(&file, &dir.join("again"))));
        told
    });
    pair.both("refused", |root| {
        let mut told = Vec::new();
        let file = unnamed(&root.join("dir"), OFlags::EXCL, 0o600).unwrap();
        told.push(say("exclusive", name_it(&file, &root.join("dir/x"))));
        told.push(say(
            "in a file",
            unnamed(&root.join("dir/a"), OFlags::EXCL, 0o600),
        ));
        told.push(say(
            "in none",
            unnamed(&root.join("none"), OFlags::EXCL, 0o600),
        ));
        let reading = OFlags::TMPFILE | OFlags::RDONLY;
        told.push(say("read-only", open(root, reading, Mode::RUSR)));
        let lost = File::open(root.join("dir/b")).unwrap();
        fs::remove_file(root.join("dir/b")).unwrap();
        told.push(say("unlinked", name_it(&lost, &root.join("dir/x"))));
        told
    });
    pair.both("inherited", |root| {
        let mut told = Vec::new();
        for name in ["shared", "acl"] {
            let mut file = unnamed(&root.join(name), OFlags::empty(), 0o6664).unwrap();
            told.push(about(&file));
            writeln!(file, "in {name}").unwrap();
            name_it(&file, &root.join(name).join("kept")).unwrap();
            let mut acl = [0; 100];
            let acl = rustix::fs::fgetxattr(&file, "system.posix_acl_access", &mut acl)
                .map(|length| acl[..length].to_vec());
            told.push(format!("{acl:?}"));
        }
        told
    });
    // Into a place where the lower had a name, and where a directory has another inode of it.
    pair.both("over a whiteout", |root| {
        fs::remove_file(root.join("dir/a")).unwrap();
        let mut file = unnamed(&root.join("dir/sub"), OFlags::empty(), 0o600).unwrap();
        file.write_all(b"new").unwrap();
        name_it(&file, &root.join("dir/a")).unwrap();
        vec![about(&file)]
    });
    for _ in 0..2 {
        pair.both("the tree", tree);
        pair.fixture.mount();
    }
}

#[test]
fn files_without_a_name_leave_nothing() {
    if TRANSPORT == Transport::Device {
        eprintln!("SKIPPED: over the device there are none");
        return;
    }
    let Some(mut pair) = pair() else { return };
    let orphans = pair.fixture.directory.path().join("store/orphans");
    let make = |count: usize| -> Vec<File> {
        let dir = pair.fixture.path("dir");
        let make = |_| unnamed(&dir, OFlags::empty(), 0o600).unwrap();
        (0..count).map(make).collect()
    };
    let mut files = make(20);
    files[3].write_all(b"text").unwrap();
    assert_eq!(super::names(&orphans).len(), 20);
    let kept = files.pop().unwrap();
    drop(files);
    name_it(&kept, &pair.fixture.path("kept")).unwrap();
    drop(kept);
    // The kernel forgets in its own time.
    for _ in 0..1000 {
        if super::names(&orphans).is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(super::names(&orphans), [""; 0]);
    pair.fixture.mount();
    assert_eq!(fs::read_to_string(pair.fixture.path("kept")).unwrap(), "");
}

fn whiteout(root: &Path, from: &str, to: &str, more: RenameFlags) -> String {
    let flags = RenameFlags::WHITEOUT | more;
    let renamed = renameat_with(CWD, root.join(from), CWD, root.join(to), flags);
    say(&format!("{from} to {to}"), renamed)
}

#[test]
fn a_rename_leaves_a_whiteout_of_the_guest() {
    let Some(mut pair) = pair() else { return };
    let no = RenameFlags::empty();
    pair.both("renames", |root| {
        fs::write(root.join("own"), "own").unwrap();
        fs::create_dir(root.join("owndir")).unwrap();
        let told = [
            // Out of the lower, over nothing; a directory; a link.
            whiteout(root, "dir/a", "dir/a2", no),
            whiteout(root, "dir/sub", "moved", no),
            whiteout(root, "dir/link", "dir/link2", no),
            // Over another file, over an empty directory, over a name of several.
            whiteout(root, "dir/a2", "dir/b", no),
            whiteout(root, "owndir", "dir/empty", no),
            whiteout(root, "own", "dir/linked", no),
            // One of several names.
            whiteout(root, "linked", "shared/linked", no),
            // What the whiteout itself is: a file like any other.
            whiteout(root, "own", "own2", no),
            whiteout(root, "own2", "own3", RenameFlags::NOREPLACE),
            whiteout(root, "own3", "moved/x", RenameFlags::NOREPLACE),
            whiteout(root, "own3", "own2", RenameFlags::EXCHANGE),
            whiteout(root, "none", "none2", no),
            whiteout(root, "dir/b", "moved", no),
            whiteout(root, "moved", "dir/b", no),
            whiteout(root, "moved", "dir", no),
        ];
        told.to_vec()
    });
    for _ in 0..2 {
        pair.both("the tree", tree);
        pair.fixture.mount();
    }
    let device = fs::symlink_metadata(pair.fixture.path("dir/a")).unwrap();
    assert!(device.file_type().is_char_device());
    assert_eq!((device.rdev(), device.mode() & 0o7777), (0, 0));
    pair.both("removed", |root| {
        // Whatever stood there before does not show again.
        for name in ["dir/a", "dir/sub", "dir/link", "linked"] {
            fs::remove_file(root.join(name)).unwrap();
        }
        Vec::new()
    });
    for _ in 0..2 {
        pair.both("the tree without", tree);
        pair.fixture.mount();
    }
}

#[test]
fn a_whiteout_of_the_guest_is_none_of_ours() {
    let Some(mut pair) = pair() else { return };
    pair.both("made by hand", |root| {
        let make = |name: &str| {
            let mode = Mode::from_raw_mode(0o600);
            let made = mknodat(CWD, root.join(name), FileType::CharacterDevice, mode, 0);
            say(name, made)
        };
        fs::remove_file(root.join("dir/b")).unwrap();
        vec![make("dir/new"), make("dir/b"), make("dir/a")]
    });
    for _ in 0..2 {
        pair.both("the tree", tree);
        pair.fixture.mount();
    }
    let stored = fs::symlink_metadata(pair.fixture.upper("dir/new")).unwrap();
    assert!(stored.is_file(), "nothing of it is real on the host");
}

fn attribute(length: usize, prefix: &str, last: char) -> String {
    let middle = "n".repeat(length - prefix.len() - 1);
    format!("{prefix}{middle}{last}")
}

fn attributes_of(path: &Path) -> Vec<String> {
    let mut buffer = vec![0; 1 << 16];
    let length = listxattr(path, &mut buffer[..]).unwrap();
    let mut told: Vec<_> = buffer[..length]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = [0; 100];
            let length = getxattr(path, CString::new(name).unwrap(), &mut value).unwrap();
            let name = String::from_utf8_lossy(name);
            format!("{name} = {}", value[..length].escape_ascii())
        })
        .collect();
    told.sort();
    told
}

#[test]
fn names_of_attributes_may_be_as_long_as_anywhere() {
    let Some(mut pair) = pair() else { return };
    pair.both("set", |root| {
        let mut told = Vec::new();
        let path = root.join("dir/a");
        for (length, prefix) in [
            (243, "user."),
            (244, "user."),
            (255, "user."),
            (255, "trusted."),
            (256, "user."),
        ] {
            for last in ['1', '2'] {
                let name = attribute(length, prefix, last);
                let value = format!("{length}{last}");
                let set = |flags| setxattr(&path, &name, value.as_bytes(), flags);
                told.push(say("replaced", set(XattrFlags::REPLACE)));
                told.push(say("made", set(XattrFlags::CREATE)));
                told.push(say("made again", set(XattrFlags::CREATE)));
                told.push(say("set", set(XattrFlags::empty())));
            }
        }
        told.push(say(
            "gone",
            removexattr(&path, attribute(255, "user.", '1')),
        ));
        told.push(say(
            "gone",
            removexattr(&path, attribute(255, "user.", '1')),
        ));
        // Not of a link, as everywhere; but `trusted.` ones.
        let link = root.join("dir/link");
        let long = attribute(255, "user.", '1');
        told.push(say(
            "link",
            lsetxattr(&link, &long, b"", XattrFlags::empty()),
        ));
        let long = attribute(255, "trusted.", '1');
        told.push(say(
            "link",
            lsetxattr(&link, &long, b"", XattrFlags::empty()),
        ));
        told.push(say("link", lremovexattr(&link, &long)));
        told
    });
    for _ in 0..2 {
        pair.both("listed", |root| attributes_of(&root.join("dir/a")));
        pair.fixture.mount();
    }
}

#[test]
fn long_names_of_attributes_are_copied_up() {
    let names = [250, 255].map(|length| attribute(length, "user.", '1'));
    let Some(mut fixture) = fixture(|tree| {
        names
            .iter()
            .fold(tree.file("dir/file", "text"), |tree, name| {
                tree.xattr("dir/file", name, "of a file")
                    .xattr("dir", name, "of a directory")
            })
    }) else {
        return;
    };
    let told = |fixture: &Fixture| {
        let all = ["dir", "dir/file"].map(|name| attributes_of(&fixture.path(name)));
        all.concat()
    };
    let before = told(&fixture);
    assert_eq!(before.len(), 4);
    fs::write(fixture.path("dir/file"), "changed").unwrap();
    for _ in 0..2 {
        assert_eq!(told(&fixture), before);
        fixture.mount();
    }
}
