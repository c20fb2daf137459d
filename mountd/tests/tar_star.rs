//! Archives of star, made by hand after its documentation, as GNU tar understands them.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::MetadataExt;

use wpar_mountd::lower::LowerLayer;
use wpar_mountd::types::FileKind;

mod tar_support;
use tar_support::{contents, extract, have, is_root, open, resolve};

/// A header of star with the parts that ustar has, too.
struct StarHeader([u8; 512]);

impl StarHeader {
    fn new(kind: u8, name: &str, size: u64) -> Self {
        let mut header = Self([0; 512]);
        let prefix = name.len().saturating_sub(100);
        let (prefix, name) = match prefix {
            0 => ("", name),
            least => {
                let at = least + name[least..].find('/').unwrap();
                (&name[..at], &name[at + 1..])
            }
        };
        header.put(0, name.as_bytes());
        header.octal(100, 7, 0o640);
        header.octal(108, 7, 5);
        header.octal(116, 7, 6);
        header.octal(124, 11, size);
        header.octal(136, 11, 1_000_000_001);
        header.0[156] = kind;
        header.put(257, b"ustar\x0000");
        header.put(265, b"root");
        header.put(345, prefix.as_bytes());
        header.time(476, 1_000_000_002);
        header.time(488, 1_000_000_003);
        header.put(508, b"tar\0");
        header
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn octal(&mut self, at: usize, digits: usize, value: u64) {
        self.put(at, format!("{value:0digits$o}").as_bytes());
    }

    fn time(&mut self, at: usize, seconds: u64) {
        self.octal(at, 11, seconds);
        self.0[at + 11] = b' ';
    }

    fn stretch(&mut self, number: usize, offset: u64, length: u64) {
        self.time(356 + number * 24, offset);
        self.time(356 + number * 24 + 12, length);
    }

    fn sealed(mut self) -> [u8; 512] {
        self.put(148, b"        ");
        let sum: u64 = self.0.iter().map(|byte| u64::from(*byte)).sum();
        self.octal(148, 6, sum);
        self.put(154, b"\0 ");
        self.0
    }
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// An archive of `xstar` headers: a long name, a device, and a sparse file with an extension header.
fn archive() -> Vec<u8> {
    let mut bytes = Vec::new();
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(90));
    bytes.extend(StarHeader::new(b'0', "plain", 5).sealed());
    bytes.extend(padded(b"plain"));
    bytes.extend(StarHeader::new(b'0', &long, 4).sealed());
    bytes.extend(padded(b"long"));
    let mut device = StarHeader::new(b'3', "null", 0);
    device.octal(329, 7, 1);
    device.octal(337, 7, 3);
    bytes.extend(device.sealed());
    let data: Vec<u8> = (0..6 * 512).map(|at| (at / 512) as u8 + b'a').collect();
    let mut sparse = StarHeader::new(b'S', "sparse", data.len() as u64);
    // Of the prefix, only the first byte is left.
    sparse.0[345..476].fill(0);
    sparse.0[355] = 1;
    for number in 0..4 {
        sparse.stretch(number, number as u64 * 8192, 512);
    }
    sparse.octal(452, 11, 100_000);
    let mut extension = StarHeader([0; 512]);
    for (number, offset) in [(0, 40_960), (1, 99_488)] {
        extension.time(number * 24, offset);
        extension.time(number * 24 + 12, 512);
    }
    bytes.extend(sparse.sealed());
    bytes.extend(extension.0);
    bytes.extend(data);
    bytes.extend(StarHeader::new(b'0', "last", 3).sealed());
    bytes.extend(padded(b"end"));
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

#[test]
fn headers_of_star_are_read_as_gnu_tar_reads_them() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("star.tar");
    fs::write(&image, archive()).unwrap();
    let layer = open(&image).unwrap();
    assert_eq!(
        layer.index().warning_count(),
        0,
        "{:?}",
        layer.index().warnings()
    );
    let node = |path: &str| resolve(&layer, path).unwrap();
    let plain = layer.attr(node("plain")).unwrap();
    assert_eq!((plain.uid, plain.gid, plain.permissions), (5, 6, 0o640));
    let times = [plain.mtime, plain.atime, plain.ctime].map(|time| time.seconds);
    assert_eq!(times, [1_000_000_001, 1_000_000_002, 1_000_000_003]);
    let null = layer.attr(node("null")).unwrap();
    assert_eq!((null.kind, null.rdev), (FileKind::CharDevice, 0x103));
    assert_eq!(contents(&layer, "last"), b"end");
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(90));
    assert_eq!(contents(&layer, &long), b"long");
    let sparse = contents(&layer, "sparse");
    assert_eq!(
        (sparse.len(), sparse[8191], sparse[8192]),
        (100_000, 0, b'b')
    );
    if !(have("tar") && is_root()) {
        return;
    }
    let root = directory.path().join("tree");
    extract(&image, &root);
    assert!(fs::read(root.join("sparse")).unwrap() == sparse);
    for path in ["plain", "last", &long] {
        assert_eq!(fs::read(root.join(path)).unwrap(), contents(&layer, path));
        let mtime = fs::metadata(root.join(path)).unwrap().mtime();
        assert_eq!(mtime, layer.attr(node(path)).unwrap().mtime.seconds);
    }
}

/// A prefix of ustar that goes over where star has its times is a name.
#[test]
fn a_long_prefix_of_ustar_is_no_time() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("ustar.tar");
    let mut header = StarHeader::new(b'0', "file", 0);
    let prefix = format!("{}/{}", "p".repeat(130), "0".repeat(20));
    header.put(345, &[0; 155]);
    header.put(345, prefix.as_bytes());
    header.put(508, &[0; 4]);
    let mut bytes = header.sealed().to_vec();
    bytes.resize(1536, 0);
    fs::write(&image, bytes).unwrap();
    let layer = open(&image).unwrap();
    let node = resolve(&layer, &format!("{prefix}/file")).unwrap();
    let attr = layer.attr(node).unwrap();
    assert_eq!(attr.atime, attr.mtime);
}
