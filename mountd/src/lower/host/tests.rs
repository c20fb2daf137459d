//! The layer against a real directory: the standard library and the kernel are the oracle.

use std::collections::BTreeMap;
use std::fs::{self as std_fs, File, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, FileType, Mode, RenameFlags, Timespec, Timestamps, XattrFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
use tempfile::TempDir;

use super::*;
use crate::types::Timestamp;

/// Both ways to open the tree; each promise holds in both unless a test says otherwise.
fn open_both(path: &Path) -> Vec<HostLower> {
    let plain = Root::open_unsealed(path).unwrap();
    let mut all = vec![HostLower::from_root(plain, path).unwrap()];
    let lower = HostLower::open(path).unwrap();
    if lower.root.sealed {
        all.push(lower);
    } else {
        eprintln!("SKIPPED: a private clone of the mount needs CAP_SYS_ADMIN; half a test");
    }
    all
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: making devices and mounts needs root");
    }
    root
}

fn name(text: &str) -> EntryName<'_> {
    EntryName::new(text.as_bytes()).unwrap()
}

fn find(lower: &HostLower, path: &str) -> FsResult<Option<(LowerNode, Attr)>> {
    let mut at = (LowerNode::ROOT, lower.attr(LowerNode::ROOT)?);
    for component in path.split('/') {
        match lower.lookup(at.0, name(component))? {
            Some(found) => at = found,
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

fn node(lower: &HostLower, path: &str) -> LowerNode {
    find(lower, path).unwrap().unwrap().0
}

fn list(lower: &HostLower, dir: LowerNode) -> BTreeMap<Vec<u8>, (LowerNode, FileKind)> {
    let mut all = BTreeMap::new();
    let mut sink = |entry: LowerEntry<'_>| {
        let before = all.insert(entry.name.to_vec(), (entry.node, entry.kind));
        assert_eq!(before, None);
    };
    lower.entries(dir, &mut sink).unwrap();
    all
}

fn contents(lower: &HostLower, file: LowerNode) -> FsResult<Vec<u8>> {
    let size = lower.attr(file)?.size as usize;
    let mut buffer = vec![0; size + 10];
    let length = lower.open(file)?.read_at(&mut buffer, 0)?;
    buffer.truncate(length);
    Ok(buffer)
}

fn expected_attr(metadata: &Metadata) -> Attr {
    let time = |seconds, nanoseconds: i64| Timestamp {
        seconds,
        nanoseconds: nanoseconds as u32,
    };
    Attr {
        kind: FileKind::from_mode(metadata.mode()).unwrap(),
        permissions: (metadata.mode() & 0o7777) as u16,
        uid: metadata.uid(),
        gid: metadata.gid(),
        // For numbers this small both encodings are one.
        rdev: metadata.rdev() as u32,
        nlink: metadata.nlink() as u32,
        size: metadata.size(),
        blocks: metadata.blocks(),
        atime: time(metadata.atime(), metadata.atime_nsec()),
        mtime: time(metadata.mtime(), metadata.mtime_nsec()),
        ctime: time(metadata.ctime(), metadata.ctime_nsec()),
    }
}

/// Compares everything below `dir` with what the host says; returns all nodes below.
fn compare(lower: &HostLower, dir: LowerNode, path: &Path) -> Vec<LowerNode> {
    let mut listed = list(lower, dir);
    let mut nodes = Vec::new();
    for entry in std_fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let last = path.file_name().unwrap().as_bytes();
        let metadata = std_fs::symlink_metadata(&path).unwrap();
        let entry_name = EntryName::new(last).unwrap();
        let (found, attr) = lower.lookup(dir, entry_name).unwrap().unwrap();
        assert_eq!(attr, expected_attr(&metadata), "{path:?}");
        assert_eq!(found.0, metadata.ino());
        assert_eq!(lower.attr(found).unwrap(), attr);
        assert_eq!(listed.remove(last), Some((found, attr.kind)));
        assert_eq!(lower.location(found).unwrap(), Some((dir, last.into())));
        nodes.push(found);
        match attr.kind {
            FileKind::Directory => nodes.extend(compare(lower, found, &path)),
            FileKind::Regular => {
                assert_eq!(
                    contents(lower, found).unwrap(),
                    std_fs::read(&path).unwrap()
                );
            }
            FileKind::Symlink => {
                let target = std_fs::read_link(&path).unwrap();
                assert_eq!(
                    lower.read_link(found).unwrap(),
                    target.as_os_str().as_bytes()
                );
            }
            _ => {}
        }
        if attr.kind != FileKind::Regular {
            assert!(lower.open(found).is_err());
        }
        if attr.kind != FileKind::Symlink {
            assert_eq!(lower.read_link(found), Err(FsError::InvalidArgument));
        }
    }
    assert_eq!(listed, BTreeMap::new(), "listed, but not there");
    nodes
}

/// A tree with every type of file.
fn make_tree() -> TempDir {
    let dir = TempDir::new().unwrap();
    let root = dir.path();
    std_fs::create_dir_all(root.join("sub/deep")).unwrap();
    std_fs::write(root.join("file"), "contents").unwrap();
    std_fs::write(root.join("sub/empty"), "").unwrap();
    std_fs::hard_link(root.join("file"), root.join("sub/hard")).unwrap();
    std_fs::write(root.join(std::ffi::OsStr::from_bytes(b"\xff\nodd")), "odd").unwrap();
    std_fs::write(root.join("x".repeat(255)), "long").unwrap();
    let odd = PermissionsExt::from_mode(0o6751);
    std_fs::set_permissions(root.join("file"), odd).unwrap();
    symlink("/etc/passwd", root.join("link")).unwrap();
    symlink("nowhere", root.join("sub/dangling")).unwrap();
    std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    make_node(&root.join("fifo"), FileType::Fifo, 0);
    if is_root() {
        make_node(&root.join("null"), FileType::CharacterDevice, 0x103);
        make_node(&root.join("block"), FileType::BlockDevice, 0x702);
        std::os::unix::fs::chown(root.join("sub/empty"), Some(123), Some(456)).unwrap();
    }
    dir
}

fn make_node(path: &Path, kind: FileType, device: u64) {
    rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(0o640), device).unwrap();
}

#[test]
fn every_type_of_file_is_what_the_host_says() {
    let dir = make_tree();
    for lower in open_both(dir.path()) {
        let metadata = std_fs::metadata(dir.path()).unwrap();
        let root = lower.attr(LowerNode::ROOT).unwrap();
        assert_eq!(root, expected_attr(&metadata));
        assert_eq!(lower.location(LowerNode::ROOT).unwrap(), None);
        let mut nodes = compare(&lower, LowerNode::ROOT, dir.path());
        assert_eq!(node(&lower, "file"), node(&lower, "sub/hard"));
        assert_eq!(lower.lookup(LowerNode::ROOT, name("none")).unwrap(), None);
        let file = node(&lower, "file");
        assert_eq!(
            lower.lookup(file, name("x")).unwrap_err(),
            FsError::NotDirectory
        );
        assert_eq!(
            lower.open(LowerNode::ROOT).unwrap_err(),
            FsError::IsDirectory
        );

        nodes.sort_unstable();
        nodes.dedup();
        assert_eq!(lower.known_nodes(), nodes.len());
        for node in nodes {
            lower.forget(node);
            lower.forget(node);
        }
        assert_eq!(lower.known_nodes(), 0);
        assert_eq!(lower.attr(file), Err(FsError::Stale));
        assert_eq!(lower.attr(LowerNode(1 << 47 | 5)), Err(FsError::Stale));
        compare(&lower, LowerNode::ROOT, dir.path());
    }
}

#[test]
fn listing_does_not_fill_the_table() {
    let dir = TempDir::new().unwrap();
    for number in 0..3000 {
        File::create(dir.path().join(format!("file{number}"))).unwrap();
    }
    for lower in open_both(dir.path()) {
        assert_eq!(list(&lower, LowerNode::ROOT).len(), 3000);
        assert_eq!(lower.known_nodes(), 0);
    }
}

#[test]
fn holes_are_told_and_read_as_zeros() {
    let dir = TempDir::new().unwrap();
    let file = File::create(dir.path().join("sparse")).unwrap();
    file.write_all_at(b"one", 1 << 20).unwrap();
    file.write_all_at(b"two", 3 << 20).unwrap();
    file.set_len(5 << 20).unwrap();
    let plain = std_fs::read(dir.path().join("sparse")).unwrap();
    for lower in open_both(dir.path()) {
        let sparse = node(&lower, "sparse");
        assert!(contents(&lower, sparse).unwrap() == plain);
        let file = lower.open(sparse).unwrap();
        let (mut offset, mut ranges) = (0, Vec::new());
        while let Some((start, end)) = file.next_data(offset).unwrap() {
            assert!(start >= offset && end > start);
            ranges.push(start..end);
            offset = end;
        }
        assert!(ranges.len() <= 2, "{ranges:?}");
        for (at, &byte) in plain.iter().enumerate() {
            let at = at as u64;
            assert!(byte == 0 || ranges.iter().any(|range| range.contains(&at)));
        }
        assert_eq!(file.next_data(5 << 20).unwrap(), None);
        let backing = File::from(file.backing().unwrap().try_clone_to_owned().unwrap());
        let mut three = [0; 3];
        backing.read_exact_at(&mut three, 3 << 20).unwrap();
        assert_eq!(&three, b"two");
        assert!(
            backing.write_at(b"x", 0).is_err(),
            "opened for reading only"
        );
    }
}

#[test]
fn extended_attributes_of_all_types_are_read() {
    if !is_root() {
        return;
    }
    let dir = make_tree();
    // version 2, then owner rwx, user 5 r, group none, mask rwx, others none.
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, permission, id) in [
        (1_u16, 7_u16, !0_u32),
        (2, 4, 5),
        (4, 0, !0),
        (0x10, 7, !0),
        (0x20, 0, !0),
    ] {
        acl.extend(
            tag.to_le_bytes()
                .into_iter()
                .chain(permission.to_le_bytes()),
        );
        acl.extend(id.to_le_bytes());
    }
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let large = vec![b'v'; 3000];
    let set: &[(&str, &str, &[u8])] = &[
        ("file", "security.capability", &capability),
        ("file", "system.posix_acl_access", &acl),
        ("file", "user.empty", b""),
        ("sub", "system.posix_acl_default", &acl),
        ("sub/empty", "user.large", &large),
        ("link", "trusted.link", b"of the link itself"),
        ("fifo", "trusted.fifo", b"1"),
        ("null", "trusted.device", b"2"),
        ("socket", "trusted.socket", b"3"),
    ];
    for (path, key, value) in set {
        let path = dir.path().join(path);
        rustix::fs::lsetxattr(&path, *key, value, XattrFlags::empty()).unwrap();
    }
    for lower in open_both(dir.path()) {
        for (path, key, value) in set {
            let node = node(&lower, path);
            let found = lower.xattr(node, key.as_bytes()).unwrap();
            assert_eq!(found.as_deref(), Some(*value), "{path} {key}");
            let names = lower.xattr_names(node).unwrap();
            assert!(names.contains(&key.as_bytes().to_vec()), "{path} {key}");
            assert_eq!(lower.xattr(node, b"user.none").unwrap(), None);
            assert_eq!(lower.xattr(node, b"nonsense\0").unwrap(), None);
        }
        assert_eq!(lower.xattr_names(node(&lower, "file")).unwrap().len(), 3);
        assert!(lower.xattr_names(LowerNode::ROOT).unwrap().is_empty());
    }
}

#[test]
fn symbolic_links_lead_nowhere() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("root");
    std_fs::create_dir_all(root.join("real")).unwrap();
    std_fs::create_dir(dir.path().join("outside")).unwrap();
    std_fs::write(dir.path().join("outside/secret"), "secret").unwrap();
    std_fs::write(root.join("real/secret"), "public").unwrap();
    symlink("../outside", root.join("link")).unwrap();
    for lower in open_both(&root) {
        let link = node(&lower, "link");
        assert_eq!(
            lower.lookup(link, name("secret")).unwrap_err(),
            FsError::NotDirectory
        );
        assert!(lower.entries(link, &mut |_| {}).is_err());
        assert!(lower.open(link).is_err());

        // A directory that became a link: its number is stale, the link is only a link.
        let real = node(&lower, "real");
        let secret = node(&lower, "real/secret");
        std_fs::rename(root.join("real"), root.join("away")).unwrap();
        symlink("../outside", root.join("real")).unwrap();
        lower.directories.close(real);
        assert_eq!(
            lower.lookup(real, name("secret")).unwrap_err(),
            FsError::Stale
        );
        assert_eq!(lower.entries(real, &mut |_| {}), Err(FsError::Stale));
        assert_eq!(lower.open(secret).unwrap_err(), FsError::Stale);
        assert_eq!(lower.attr(real), Err(FsError::Stale));
        assert_eq!(
            find(&lower, "real").unwrap().unwrap().1.kind,
            FileKind::Symlink
        );
        // Found again under its new name, it is served again.
        assert_eq!(node(&lower, "away"), real);
        assert_eq!(
            contents(&lower, node(&lower, "away/secret")).unwrap(),
            b"public"
        );
        std_fs::remove_file(root.join("real")).unwrap();
        std_fs::rename(root.join("away"), root.join("real")).unwrap();
    }
}

#[test]
fn what_was_replaced_is_stale_and_never_another() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    for lower in open_both(dir.path()) {
        std_fs::write(path("file"), "old").unwrap();
        let old = node(&lower, "file");
        // The old inode lives on, so that its number is not given to the new file.
        std_fs::rename(path("file"), path("kept")).unwrap();
        std_fs::write(path("file"), "new").unwrap();
        for result in [
            lower.attr(old).map(drop),
            lower.open(old).map(drop),
            lower.xattr_names(old).map(drop),
            lower.read_link(old).map(drop),
        ] {
            assert_eq!(result, Err(FsError::Stale));
        }
        let new = node(&lower, "file");
        assert_ne!(new, old);
        assert_eq!(contents(&lower, new).unwrap(), b"new");
        assert_eq!(node(&lower, "kept"), old);
        assert_eq!(contents(&lower, old).unwrap(), b"old");

        // A pipe in its place is not opened: that would wait, or wake whoever writes to it.
        std_fs::remove_file(path("file")).unwrap();
        make_node(&path("file"), FileType::Fifo, 0);
        assert_eq!(lower.open(new).unwrap_err(), FsError::Stale);
        let fifo = node(&lower, "file");
        assert_eq!(lower.open(fifo).unwrap_err(), FsError::InvalidArgument);
        std_fs::remove_file(path("file")).unwrap();
        std_fs::remove_file(path("kept")).unwrap();
        assert_eq!(lower.attr(old), Err(FsError::Stale));
        assert_eq!(find(&lower, "file").unwrap(), None);
    }
}

#[test]
fn a_host_that_renames_all_the_time_never_shows_one_file_as_another() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    for sub in ["a", "b"] {
        std_fs::create_dir(path(sub)).unwrap();
        std_fs::write(path(sub).join("file"), "").unwrap();
        let inode = std_fs::metadata(path(sub).join("file")).unwrap().ino();
        std_fs::write(path(sub).join("file"), inode.to_string()).unwrap();
    }
    for lower in open_both(dir.path()) {
        let stop = AtomicBool::new(false);
        let (mut served, mut stale) = (0, 0);
        std::thread::scope(|scope| {
            // Also when an assertion fails, else the scope would wait for ever.
            let _stopper = Stopper(&stop);
            scope.spawn(|| {
                let swap = |from: &str, to: &str| {
                    let (from, to) = (path(from), path(to));
                    rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE)
                };
                while !stop.load(Ordering::Relaxed) {
                    swap("a", "b").unwrap();
                    swap("a/file", "b/file").unwrap();
                }
            });
            for _ in 0..1_000_000 {
                if served >= 300 && stale >= 30 {
                    break;
                }
                let file = match find(&lower, "a/file") {
                    Ok(Some((file, _))) => file,
                    Ok(None) | Err(FsError::Stale) => {
                        stale += 1;
                        continue;
                    }
                    Err(error) => panic!("{error}"),
                };
                match contents(&lower, file) {
                    Ok(text) => {
                        assert_eq!(text, file.0.to_string().as_bytes());
                        served += 1;
                    }
                    Err(error) => {
                        assert_eq!(error, FsError::Stale);
                        stale += 1;
                    }
                }
                lower.directories.close(node_of_parent(&lower, file));
            }
        });
        assert!(served >= 300, "{served} served, {stale} stale");
    }
}

struct Stopper<'a>(&'a AtomicBool);

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn node_of_parent(lower: &HostLower, node: LowerNode) -> LowerNode {
    lower.location(node).unwrap().unwrap().0
}

#[test]
fn more_directories_than_are_kept_open_are_all_served() {
    let dir = TempDir::new().unwrap();
    let mut path = dir.path().to_owned();
    for number in 0..300 {
        let wide = dir.path().join(format!("wide{number}"));
        std_fs::create_dir(&wide).unwrap();
        std_fs::write(wide.join("file"), number.to_string()).unwrap();
        path.push("d");
    }
    std_fs::create_dir_all(&path).unwrap();
    std_fs::write(path.join("bottom"), "reached").unwrap();
    for lower in open_both(dir.path()) {
        let bottom = node(&lower, &format!("{}bottom", "d/".repeat(300)));
        let files: Vec<_> = (0..300)
            .map(|number| node(&lower, &format!("wide{number}/file")))
            .collect();
        for (number, file) in files.into_iter().enumerate() {
            assert_eq!(
                contents(&lower, file).unwrap(),
                number.to_string().as_bytes()
            );
        }
        assert_eq!(contents(&lower, bottom).unwrap(), b"reached");
    }
}

#[test]
fn reading_leaves_no_trace_on_the_host() {
    let dir = make_tree();
    let old = Timespec {
        tv_sec: 1000,
        tv_nsec: 0,
    };
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: rustix::fs::UTIME_OMIT,
    };
    let times = Timestamps {
        last_access: old,
        last_modification: now,
    };
    let everything = [
        "",
        "sub",
        "sub/deep",
        "file",
        "link",
        "fifo",
        "sub/empty",
        "control",
    ];
    let path = |name: &&str| dir.path().join(name);
    std_fs::write(path(&"control"), "control").unwrap();
    for name in &everything {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::utimensat(CWD, path(name), &times, flags).unwrap();
    }
    let state = |name: &&str| {
        let metadata = std_fs::symlink_metadata(path(name)).unwrap();
        let access = (metadata.atime(), metadata.atime_nsec());
        (
            name.to_string(),
            access,
            metadata.mtime_nsec(),
            metadata.ctime_nsec(),
        )
    };
    let before: Vec<_> = everything.iter().map(state).collect();
    for lower in open_both(dir.path()) {
        for (name, (node, kind)) in list(&lower, LowerNode::ROOT) {
            lower
                .lookup(LowerNode::ROOT, EntryName::new(&name).unwrap())
                .unwrap();
            lower.xattr_names(node).unwrap();
            match kind {
                FileKind::Regular => drop(contents(&lower, node).unwrap()),
                FileKind::Directory => drop(list(&lower, node)),
                // Only a mount of our own can keep a link's access time.
                FileKind::Symlink if lower.root.sealed => drop(lower.read_link(node).unwrap()),
                _ => {}
            }
        }
        if lower.root.sealed {
            // As the kernel does it for a file passed through: without O_NOATIME.
            let file = lower.open(node(&lower, "file")).unwrap();
            let fd = std::os::fd::AsRawFd::as_raw_fd(&file.backing().unwrap());
            std_fs::read(format!("/proc/self/fd/{fd}")).unwrap();
        }
        let after: Vec<_> = everything.iter().map(state).collect();
        assert_eq!(after, before);
    }
    std_fs::read(path(&"control")).unwrap();
    if state(&"control") == before[7] {
        eprintln!("SKIPPED: this file system keeps no access times; nothing was shown");
    }
}

#[test]
fn a_path_that_cannot_be_shown_says_why() {
    let dir = make_tree();
    for (name, why) in [("none", Errno::NOENT), ("file", Errno::NOTDIR)] {
        let path = dir.path().join(name);
        let error = HostLower::open(&path).unwrap_err();
        assert_eq!(error, HostError::Open { path, why });
    }
}

/// Set for the process that the next test starts in a mount namespace of its own.
const IN_NAMESPACE: &str = "WPAR_TEST_IN_NAMESPACE";

#[test]
fn mounts_below_are_not_entered() {
    if std::env::var_os(IN_NAMESPACE).is_some() {
        return mounts_in_own_namespace();
    }
    if !is_root() {
        return;
    }
    let program = std::env::current_exe().unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(program)
        .args([
            "--exact",
            "--nocapture",
            "lower::host::tests::mounts_below_are_not_entered",
        ])
        .env(IN_NAMESPACE, "1")
        .output();
    match output {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(error) => eprintln!("SKIPPED: unshare(1) could not be started: {error}"),
    }
}

fn mounts_in_own_namespace() {
    let dir = TempDir::new().unwrap();
    let root = dir.path();
    for sub in ["shadowed", "bound", "later", "plain"] {
        std_fs::create_dir(root.join(sub)).unwrap();
        std_fs::write(root.join(sub).join("below"), "").unwrap();
    }
    std_fs::write(root.join("file"), "covered").unwrap();
    std_fs::write(root.join("other"), "covers").unwrap();
    // As on a host: what is mounted appears in all copies of a shared mount.
    mount_bind(root, root).unwrap();
    mount_change(root, MountPropagationFlags::SHARED).unwrap();
    let below = std_fs::metadata(root.join("shadowed")).unwrap().ino();
    let tmpfs = |sub: &str| {
        let path = root.join(sub);
        mount("none", &path, "tmpfs", MountFlags::empty(), None).unwrap();
        std_fs::write(path.join("inside"), "").unwrap();
    };
    tmpfs("shadowed");
    mount_bind(root.join("plain"), root.join("bound")).unwrap();
    mount_bind(root.join("other"), root.join("file")).unwrap();

    let [plain, sealed] = open_both(root).try_into().unwrap();
    tmpfs("later");
    let names = |lower: &HostLower, path: &str| -> Vec<_> {
        list(lower, node(lower, path)).into_keys().collect()
    };
    for sub in ["shadowed", "bound", "later", "plain"] {
        assert_eq!(names(&sealed, sub), [b"below"], "{sub}");
    }
    assert_eq!(node(&sealed, "shadowed").0, below);
    assert_eq!(
        contents(&sealed, node(&sealed, "file")).unwrap(),
        b"covered"
    );

    for sub in ["shadowed", "bound", "later"] {
        let (foreign, attr) = find(&plain, sub).unwrap().unwrap();
        assert!(plain.numbering.is_foreign(foreign));
        assert_eq!(attr.kind, FileKind::Directory);
        assert_eq!(plain.attr(foreign).unwrap(), attr);
        assert!(list(&plain, foreign).is_empty());
        assert_eq!(plain.lookup(foreign, name("inside")).unwrap(), None);
        assert!(plain.xattr_names(foreign).unwrap().is_empty());
        let listed = list(&plain, LowerNode::ROOT);
        assert_eq!(listed[sub.as_bytes()], (foreign, FileKind::Directory));
    }
    assert_eq!(node(&plain, "shadowed").0, 1 << 47 | below);
    assert_eq!(names(&plain, "plain"), [b"below"]);
    assert_eq!(
        find(&plain, "file").unwrap_err(),
        FsError::Layer(Errno::XDEV)
    );
}
