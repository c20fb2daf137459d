//! Archives and indexes of any bytes: they are refused, or every part of the tree answers or fails.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::cell::OnceCell;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use super::format::{HEADER_BYTES, HEADER_HASH, hash};
use super::{Silent, TarLower, ensure_index};
use crate::fuzzing::scratch;
use crate::lower::{LowerLayer, LowerNode};
use crate::types::{EntryName, FileKind};

/// Most inodes that are looked at.
const INODES: usize = 2000;
/// Deepest that a tree of an archive can be, and some more.
const DEPTH: usize = 1100;

const PLAIN: &[u8] = include_bytes!("../../../tests/data/golden.tar");
const GZIP: &[u8] = include_bytes!("../../../tests/data/golden.tar.gz");

/// An image of docker save: a plain layer, and a packed one over it with whiteouts.
const LAYERS: &[u8] = include_bytes!("../../../tests/data/golden-layers.tar");

/// Indexes `data` as an image and uses the tree that comes of it.
pub(crate) fn archive(data: &[u8]) {
    scratch::emptied(|directory| {
        let image = directory.join("image");
        fs::write(&image, data).unwrap();
        let made = |allowed: &[&str]| {
            for entry in fs::read_dir(directory).unwrap() {
                let name = entry.unwrap().file_name();
                let expected = allowed.iter().any(|allowed| name == *allowed);
                assert!(expected, "made {}", name.display());
            }
        };
        match ensure_index(&image, directory, &mut Silent) {
            Ok(report) => {
                let layer = TarLower::open(&image, &report.path).unwrap();
                layer
                    .index()
                    .verify()
                    .expect("an index that was just written");
                use_all(&layer, true);
                made(&["image", "image.wparidx", "image.wparidx.zst"]);
            }
            Err(_) => made(&["image"]),
        }
    });
}

/// Uses an index of these bytes with the archive that it might belong to.
pub(crate) fn index(data: &[u8]) {
    scratch::emptied(|directory| {
        let images = [("plain", PLAIN), ("gzip", GZIP), ("layers", LAYERS)];
        for (name, bytes) in images {
            let image = directory.join(name);
            fs::write(&image, bytes).unwrap();
            File::open(&image).unwrap().set_modified(time()).unwrap();
            let index = directory.join("index");
            fs::write(&index, data).unwrap();
            if let Ok(layer) = TarLower::open(&image, &index) {
                let _ = layer.index().verify();
                let _ = layer.index().warnings();
                use_all(&layer, false);
            }
        }
    });
}

/// When the images of [`index`] were changed.
fn time() -> SystemTime {
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000)
}

/// Uses everything of a tree, which must make sense if it is `sound`.
pub(super) fn use_all(layer: &TarLower, sound: bool) {
    let mut seen = HashSet::new();
    let mut waiting = vec![LowerNode::ROOT];
    while let Some(node) = waiting.pop() {
        if !seen.insert(node) || seen.len() > INODES {
            continue;
        }
        assert!(!sound || node.0 < layer.first_free(), "a number too high");
        go_up(layer, node, sound);
        use_inode(layer, node);
        let mut entries = Vec::new();
        let listed = layer.entries(node, &mut |entry| {
            entries.push((entry.name.to_vec(), entry.node));
        });
        let kind = layer.attr(node).map(|attr| attr.kind);
        assert!(!sound || listed.is_ok() == (kind == Ok(FileKind::Directory)));
        for (name, below) in entries {
            waiting.push(below);
            match EntryName::new(&name) {
                Ok(name) => {
                    let found = layer.lookup(node, name);
                    let found = found.map(|found| found.map(|(node, _)| node));
                    assert!(!sound || found == Ok(Some(below)), "{name:?}: {found:?}");
                }
                Err(_) => assert!(!sound, "no name: {}", name.escape_ascii()),
            }
        }
    }
}

/// From a node to the root, by one of its names each time.
fn go_up(layer: &TarLower, node: LowerNode, sound: bool) {
    let mut at = node;
    for _ in 0..DEPTH {
        match layer.location(at) {
            Ok(Some((parent, _))) => at = parent,
            Ok(None) => break,
            Err(error) => {
                assert!(!sound, "{error}");
                break;
            }
        }
    }
    assert!(!sound || at == LowerNode::ROOT, "not below the root");
}

fn use_inode(layer: &TarLower, node: LowerNode) {
    let _ = layer.read_link(node);
    for name in layer.xattr_names(node).unwrap_or_default() {
        let _ = layer.xattr(node, &name);
    }
    let (Ok(attr), Ok(file)) = (layer.attr(node), layer.open(node)) else {
        return;
    };
    let size = attr.size;
    let mut buffer = vec![0; 5000];
    for offset in [0, 100, size / 2, size.saturating_sub(1), size, u64::MAX - 1] {
        let _ = file.read_at(&mut buffer, offset);
    }
    let mut offset = 0;
    for _ in 0..100 {
        match file.next_data(offset) {
            Ok(Some((start, end))) => {
                assert!(start >= offset && end > start && end <= size);
                offset = end;
            }
            _ => break,
        }
    }
}

/// Gives every block that was a header its checksum again.
pub(crate) fn mend_archive(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(512) {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

/// Where the header has the length of the whole file.
const LENGTH: std::ops::Range<usize> = 16..24;

/// Gives the header its length and its hash again.
pub(crate) fn mend_index(bytes: &mut [u8]) {
    let length = bytes.len() as u64;
    if let Some(header) = bytes.first_chunk_mut::<HEADER_BYTES>() {
        header[LENGTH].copy_from_slice(&length.to_le_bytes());
        let sum = hash(&header[..HEADER_HASH]);
        header[HEADER_HASH..].copy_from_slice(&sum.to_le_bytes());
    }
}

pub(crate) fn archives() -> Vec<Vec<u8>> {
    let zstd = zstd::encode_all(PLAIN, 3).unwrap();
    let mut many = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    for name in ["a", "a/b", "a/b/c", "a", "../up", "/abs", "a/../b", "./a"] {
        header.set_size(1);
        // The library refuses some of these names, which an archive may have.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        many.append(&header, &b"x"[..]).unwrap();
    }
    let pax = b"30 mtime=1234567890.123456789\n18 path=some/name\n25 SCHILY.xattr.user.a=b\n";
    let mut extended = tar::Header::new_ustar();
    extended.set_entry_type(tar::EntryType::XHeader);
    extended.set_size(pax.len() as u64);
    extended.set_cksum();
    many.append(&extended, &pax[..]).unwrap();
    header.set_size(0);
    header.set_cksum();
    many.append(&header, &b""[..]).unwrap();
    let mut many = many.into_inner().unwrap();
    many.flush().unwrap();
    let mut seeds = vec![PLAIN.to_vec(), GZIP.to_vec(), zstd, many];
    seeds.extend([LAYERS.to_vec(), zstd::encode_all(LAYERS, 3).unwrap()]);
    seeds.push(layout());
    seeds.push(wrapped());
    seeds
}

/// An archive of named files.
fn archive_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, contents) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(contents.len() as u64);
        archive.append_data(&mut header, name, *contents).unwrap();
    }
    archive.into_inner().unwrap()
}

/// An archive of an OCI layout, with an index in its index.
fn layout() -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let hex = |bytes: &[u8]| {
        let digest = Sha256::digest(bytes);
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let name = |bytes: &[u8]| -> String { hex(bytes) };
    let layer = archive_of(&[("a/.wh..wh..opq", b""), (".wh.x", b""), ("a/b", b"c")]);
    let platform = serde_json::json!({"os": "linux", "architecture": "amd64"});
    let config = platform.to_string().into_bytes();
    let reference = |bytes: &[u8]| {
        serde_json::json!({"digest": format!("sha256:{}", name(bytes)), "size": bytes.len(),
            "platform": platform, "annotations": {"org.opencontainers.image.ref.name": "x:1"}})
    };
    let manifest = serde_json::json!({"config": reference(&config),
        "layers": [reference(&layer), reference(&layer)]});
    let manifest = manifest.to_string().into_bytes();
    let inner = serde_json::json!({"manifests": [reference(&manifest)]});
    let inner = inner.to_string().into_bytes();
    let index = serde_json::json!({"manifests": [reference(&inner)]}).to_string();
    let path = |bytes: &[u8]| format!("blobs/sha256/{}", name(bytes));
    archive_of(&[
        ("oci-layout", b"{}"),
        (&path(&layer), &layer),
        (&path(&config), &config),
        (&path(&manifest), &manifest),
        (&path(&inner), &inner),
        ("index.json", index.as_bytes()),
    ])
}

/// A dump of Amanda with an image of Incus in it.
fn wrapped() -> Vec<u8> {
    let mut dump = b"AMANDA: FILE 20261127 host / lev 1 comp N program tar\n".to_vec();
    dump.resize(32 << 10, 0);
    dump.extend(archive_of(&[
        ("metadata.yaml", b"x"),
        ("rootfs/etc/hostname", b"h"),
    ]));
    dump
}

pub(crate) fn indexes() -> Vec<Vec<u8>> {
    thread_local! {
        static MADE: OnceCell<Vec<Vec<u8>>> = const { OnceCell::new() };
    }
    MADE.with(|made| made.get_or_init(make_indexes).clone())
}

fn make_indexes() -> Vec<Vec<u8>> {
    let build = |directory: &Path, bytes: &[u8]| {
        let image = directory.join("image");
        fs::write(&image, bytes).unwrap();
        File::open(&image).unwrap().set_modified(time()).unwrap();
        let report = ensure_index(&image, directory, &mut Silent).unwrap();
        fs::read(report.path).unwrap()
    };
    [PLAIN, GZIP, LAYERS]
        .map(|bytes| scratch::emptied(|directory| build(directory, bytes)))
        .to_vec()
}
