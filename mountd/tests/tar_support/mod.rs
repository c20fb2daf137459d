//! What the tests of tar images share: source trees, archives by other programs, and the
//! comparison of a layer with a directory that GNU tar extracted.
#![allow(dead_code, unreachable_pub)]

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use tempfile::TempDir;
use wpar_mountd::lower::tar::{ImageError, Silent, TarLower, ensure_index};
use wpar_mountd::lower::{LowerLayer, LowerNode};
use wpar_mountd::types::{EntryName, FileKind};

/// Numbers that look random and are the same every time (xorshift64*).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(1))
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Bytes that a compressor can do something with.
    pub fn text(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let word = self.below(5000);
            bytes.extend(format!("{word:x} ").bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

/// Runs a program, which must succeed.
pub fn run<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Output {
    let mut command = Command::new(program);
    command.args(arguments);
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Runs a line of shell in a directory; it must succeed.
pub fn shell(directory: &Path, line: &str) {
    let output = Command::new("sh")
        .arg("-ec")
        .arg(line)
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Whether a program is there; says loudly what is not tested if it is not.
pub fn have(program: &str) -> bool {
    let found = Command::new("sh")
        .arg("-c")
        .arg(format!("command -v {program}"))
        .output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("SKIPPED: {program} is not installed, what it makes is not tested");
    }
    found
}

/// Whether this process is root; says loudly what is not tested if it is not.
pub fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: only root can make and extract devices, owners and trusted attributes");
    }
    root
}

/// Indexes an image beside it and opens it.
pub fn open(image: &Path) -> Result<TarLower, ImageError> {
    let cache = image.parent().unwrap();
    let report = ensure_index(image, cache, &mut Silent)?;
    TarLower::open(image, &report.path)
}

/// The node at a path without `.` or links in it.
pub fn resolve(layer: &TarLower, path: &str) -> Option<LowerNode> {
    path.split('/')
        .filter(|name| !name.is_empty())
        .try_fold(LowerNode::ROOT, |dir, name| {
            let name = EntryName::new(name.as_bytes()).unwrap();
            layer.lookup(dir, name).unwrap().map(|(node, _)| node)
        })
}

/// Contents of a regular file of the layer.
pub fn contents(layer: &TarLower, path: &str) -> Vec<u8> {
    let node = resolve(layer, path).unwrap_or_else(|| panic!("no {path}"));
    read_all(layer, node)
}

/// Contents of a regular file of the layer, read in pieces of an odd size.
pub fn read_all(layer: &TarLower, node: LowerNode) -> Vec<u8> {
    let file = layer.open(node).unwrap();
    let mut bytes = Vec::new();
    let mut piece = vec![0; 70_001];
    loop {
        let count = file.read_at(&mut piece, bytes.len() as u64).unwrap();
        if count == 0 {
            return bytes;
        }
        bytes.extend_from_slice(&piece[..count]);
    }
}

/// What a source tree may hold, since not every format can store everything.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// What v7 can express: short names, no devices.
    Old,
    /// What ustar can express: names up to 255 bytes with a slash in the right place, devices.
    Ustar,
    /// Everything but extended attributes.
    Long,
    /// Everything.
    Attributes,
}

/// A directory with one of everything.
pub fn make_tree(root: &Path, contents: Contents) {
    let mut random = Random::new(1);
    let file = |name: &str, bytes: &[u8], mode: u32| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    };
    file(
        "etc/passwd",
        b"root:x:0:0::/:/bin/sh\ndaemon:x:1:1::/:/bin/false\n",
        0o644,
    );
    file("etc/group", b"root:x:0:\ndaemon:x:1:\n", 0o644);
    file("etc/empty", b"", 0o000);
    file("etc/shadow", b"secret", 0o600);
    file("bin/su", &random.text(33_333), 0o4755);
    file("bin/wall", &random.text(512), 0o2755);
    file("odd/new\nline", b"1", 0o644);
    file("odd/ space ", b"2", 0o644);
    file("odd/...", b"3", 0o644);
    file("odd/\u{e9}\u{4e16}", b"4", 0o644);
    for size in [1, 511, 512, 513, 1023, 1024, 100_000] {
        file(&format!("sizes/{size}"), &random.text(size), 0o640);
    }
    for number in 0..150 {
        file(&format!("many/{}", number * 7919 % 1000), &[], 0o644);
    }
    fs::write(root.join(OsStr::from_bytes(b"odd/\xff\xfe")), b"5").unwrap();
    fs::hard_link(root.join("bin/su"), root.join("bin/su2")).unwrap();
    fs::hard_link(root.join("bin/su"), root.join("etc/su3")).unwrap();
    symlink("etc/passwd", root.join("relative")).unwrap();
    symlink("/etc/passwd", root.join("absolute")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    fs::create_dir(root.join("tmp")).unwrap();
    fs::set_permissions(root.join("tmp"), Permissions::from_mode(0o1777)).unwrap();
    fs::create_dir_all(root.join("deep/er/and/deeper")).unwrap();
    if contents != Contents::Old {
        let mknod = |name: &str, kind, mode, major, minor| {
            let device = rustix::fs::makedev(major, minor);
            rustix::fs::mknodat(
                CWD,
                root.join(name),
                kind,
                Mode::from_raw_mode(mode),
                device,
            )
            .unwrap();
        };
        mknod("null", FileType::CharacterDevice, 0o666, 1, 3);
        mknod("high", FileType::CharacterDevice, 0o600, 259, 70_000);
        mknod("disk", FileType::BlockDevice, 0o660, 8, 300);
        mknod("pipe", FileType::Fifo, 0o600, 0, 0);
        fs::hard_link(root.join("null"), root.join("null2")).unwrap();
        file(
            &format!("{}/{}", "p/".repeat(74) + "p", "n".repeat(99)),
            b"prefix",
            0o644,
        );
    }
    if matches!(contents, Contents::Long | Contents::Attributes) {
        let directory = format!("{}/{}", "d".repeat(200), "e".repeat(255));
        file(&format!("{directory}/{}", "f".repeat(255)), b"long", 0o644);
        fs::hard_link(
            root.join(format!("{directory}/{}", "f".repeat(255))),
            root.join(format!("{directory}/link")),
        )
        .unwrap();
        symlink("t".repeat(1000), root.join("long-target")).unwrap();
        make_sparse(
            &root.join("sparse/middle"),
            &[(0, 4096), (1 << 20, 4096)],
            3 << 20,
        );
        make_sparse(&root.join("sparse/hole"), &[], 1 << 25);
        make_sparse(&root.join("sparse/end"), &[(8192, 5000)], 13_192);
        let many: Vec<_> = (0..200).map(|number| (number * 16_384, 4096)).collect();
        make_sparse(&root.join("sparse/many"), &many, 200 * 16_384 + 1);
        std::os::unix::fs::lchown(
            root.join("etc/shadow"),
            Some(3_000_000),
            Some(4_000_000_000),
        )
        .unwrap();
    }
    if contents == Contents::Attributes {
        make_attributes(root);
    }
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_234_567_890, 123_456_789);
    File::open(root.join("bin/su"))
        .unwrap()
        .set_modified(time)
        .unwrap();
    if contents == Contents::Long || contents == Contents::Attributes {
        let before = std::time::UNIX_EPOCH - std::time::Duration::new(86_400, 250_000_000);
        File::open(root.join("bin/wall"))
            .unwrap()
            .set_modified(before)
            .unwrap();
    }
}

fn make_sparse(path: &Path, data: &[(u64, usize)], size: u64) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = File::create(path).unwrap();
    for (offset, length) in data {
        file.write_all_at(&Random::new(*offset).text(*length), *offset)
            .unwrap();
    }
    file.set_len(size).unwrap();
}

fn make_attributes(root: &Path) {
    let set = |path: &str, name: &str, value: &[u8]| {
        rustix::fs::lsetxattr(root.join(path), name, value, XattrFlags::empty()).unwrap();
    };
    set("etc/passwd", "user.plain", b"value");
    set("etc/passwd", "user.bytes", b"\0\n=\xff\n12 x=y\n");
    set("etc/passwd", "user.empty", b"");
    set("etc/passwd", "user.100%=x", b"escaped");
    set("etc", "trusted.directory", b"yes");
    set("dangling", "trusted.link", b"on the link itself");
    // CAP_NET_RAW, permitted and effective, revision 2.
    let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    set("bin/wall", "security.capability", &capability);
    let acl = |line: &str| shell(root, line);
    acl("setfacl -m u:1:rw,u:12345:r,g:54321:rx,m::rx etc/shadow");
    acl("setfacl -d -m u:77:rwx,o::r tmp");
    acl("setfacl -d -m u::rwx,g::r,o::- deep");
}

/// Extracts an archive as root with GNU tar, with all it can restore.
pub fn extract(image: &Path, root: &Path) {
    fs::create_dir(root).unwrap();
    let (image, root) = (image.to_str().unwrap(), root.to_str().unwrap());
    run(
        "tar",
        [
            "--xattrs",
            "--xattrs-include=*",
            "--acls",
            "--numeric-owner",
            "-xpf",
            image,
            "-C",
            root,
        ],
    );
}

/// Compares everything that the layer shows with a directory, both ways.
pub struct Comparison<'c> {
    layer: &'c TarLower,
    /// The inodes of hard links on both sides.
    links: HashMap<u64, LowerNode>,
    /// Whether times are exact; else only whole seconds count.
    exact_times: bool,
    /// Whether holes are compared.
    holes: bool,
    pub objects: usize,
}

impl<'c> Comparison<'c> {
    pub fn new(layer: &'c TarLower, exact_times: bool, holes: bool) -> Self {
        Self {
            layer,
            links: HashMap::new(),
            exact_times,
            holes,
            objects: 0,
        }
    }

    pub fn run(mut self, root: &Path) -> usize {
        self.node(root, LowerNode::ROOT);
        self.objects
    }

    fn node(&mut self, path: &Path, node: LowerNode) {
        self.objects += 1;
        let at = path.display();
        let metadata = fs::symlink_metadata(path).unwrap();
        let attr = self.layer.attr(node).unwrap();
        assert_eq!(
            FileKind::from_mode(metadata.mode()),
            Some(attr.kind),
            "{at}"
        );
        assert_eq!(
            metadata.mode() & 0o7777,
            u32::from(attr.permissions),
            "{at}"
        );
        assert_eq!(
            (metadata.uid(), metadata.gid()),
            (attr.uid, attr.gid),
            "{at}"
        );
        assert_eq!(metadata.nlink(), u64::from(attr.nlink), "nlink of {at}");
        assert_eq!(metadata.mtime(), attr.mtime.seconds, "{at}");
        if self.exact_times {
            assert_eq!(
                metadata.mtime_nsec(),
                i64::from(attr.mtime.nanoseconds),
                "{at}"
            );
        }
        let device = rustix::fs::makedev(
            (attr.rdev >> 8) & 0xfff,
            (attr.rdev & 0xff) | ((attr.rdev >> 12) & 0xf_ff00),
        );
        assert_eq!(metadata.rdev(), device, "{at}");
        self.attributes(path, node);
        if attr.kind != FileKind::Directory {
            let known = self.links.insert(metadata.ino(), node);
            assert!(
                known.is_none_or(|known| known == node),
                "{at} is another inode"
            );
        }
        match attr.kind {
            FileKind::Directory => self.directory(path, node),
            FileKind::Symlink => {
                let target = fs::read_link(path).unwrap();
                assert_eq!(
                    self.layer.read_link(node).unwrap(),
                    target.as_os_str().as_bytes()
                );
                assert_eq!(attr.size, metadata.size(), "{at}");
            }
            FileKind::Regular => self.file(path, node),
            _ => assert!(self.layer.open(node).is_err()),
        }
    }

    fn attributes(&self, path: &Path, node: LowerNode) {
        let mut list = vec![0; 65_536];
        let length = rustix::fs::llistxattr(path, &mut list[..]).unwrap();
        let mut expected: Vec<_> = list[..length]
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
            .collect();
        let mut found = self.layer.xattr_names(node).unwrap();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected, "attributes of {}", path.display());
        for name in expected {
            let mut value = vec![0; 65_536];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
            value.truncate(length);
            assert_eq!(
                self.layer.xattr(node, name).unwrap(),
                Some(value),
                "{} of {}",
                name.escape_ascii(),
                path.display()
            );
        }
        assert_eq!(self.layer.xattr(node, b"user.none").unwrap(), None);
    }

    fn directory(&mut self, path: &Path, node: LowerNode) {
        let mut names: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort_unstable();
        let mut found = Vec::new();
        self.layer
            .entries(node, &mut |entry| {
                found.push((entry.name.to_vec(), entry.node, entry.kind))
            })
            .unwrap();
        let found_names: Vec<_> = found
            .iter()
            .map(|(name, ..)| OsStr::from_bytes(name))
            .collect();
        assert_eq!(found_names, names, "entries of {}", path.display());
        for (name, child, kind) in &found {
            let looked_up = self
                .layer
                .lookup(node, EntryName::new(name).unwrap())
                .unwrap();
            let (same, attr) = looked_up.unwrap();
            assert_eq!((same, attr.kind), (*child, *kind));
            let (parent, location) = self.layer.location(*child).unwrap().unwrap();
            let back = self
                .layer
                .lookup(parent, EntryName::new(&location).unwrap())
                .unwrap();
            assert_eq!(back.unwrap().0, *child);
            self.node(&path.join(OsStr::from_bytes(name)), *child);
        }
        let none = EntryName::new(b"no such name").unwrap();
        assert!(self.layer.lookup(node, none).unwrap().is_none());
    }

    fn file(&self, path: &Path, node: LowerNode) {
        let at = path.display();
        let file = self.layer.open(node).unwrap();
        let size = fs::metadata(path).unwrap().len();
        assert_eq!(self.layer.attr(node).unwrap().size, size, "{at}");
        let original = File::open(path);
        let Ok(original) = original else {
            panic!("{at}")
        };
        let mut ranges = Vec::new();
        let mut offset = 0;
        while let Some((start, end)) = file.next_data(offset).unwrap() {
            assert!(
                start >= offset && start < end && end <= size,
                "{at}: {start}..{end}"
            );
            ranges.push((start, end));
            offset = end;
        }
        if self.holes {
            assert_eq!(ranges, data_of(&original, size), "data of {at}");
        }
        let data: u64 = ranges
            .iter()
            .map(|(start, end)| (end - start).div_ceil(512))
            .sum();
        assert_eq!(self.layer.attr(node).unwrap().blocks, data, "{at}");
        // A huge hole is looked at around its edges only.
        let (mut here, mut there) = (vec![1; 65_537], vec![2; 65_537]);
        let mut offset = 0;
        while offset < size {
            let count = file.read_at(&mut here, offset).unwrap();
            let expected = original.read_at(&mut there, offset).unwrap();
            assert_eq!(here[..count], there[..expected], "{at} at {offset}");
            offset += count as u64;
            let next = file
                .next_data(offset)
                .unwrap()
                .map_or(size, |(start, _)| start);
            offset = offset.max(next.saturating_sub(70_000));
        }
        assert_eq!(file.read_at(&mut here, size).unwrap(), 0);
        assert_eq!(file.read_at(&mut here, u64::MAX).unwrap(), 0);
    }
}

fn data_of(file: &File, size: u64) -> Vec<(u64, u64)> {
    use rustix::fs::{SeekFrom, seek};
    let mut ranges = Vec::new();
    let mut offset = 0;
    while let Ok(start) = seek(file, SeekFrom::Data(offset)) {
        let end = seek(file, SeekFrom::Hole(start)).unwrap().min(size);
        ranges.push((start, end));
        offset = end;
    }
    ranges
}

/// A temporary directory, and the path of a name in it.
pub fn scratch(name: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    (directory, path)
}
