//! Container images made by hand, for the tests of layers.
#![allow(dead_code, unreachable_pub)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};
use tar::{EntryType, Header};
use wpar_mountd::lower::tar::TarLower;
use wpar_mountd::lower::{LowerLayer, LowerNode};
use wpar_mountd::types::FileKind;

use crate::tar_support::read_all;

/// A tar archive, entry by entry.
#[derive(Clone, Default)]
pub struct LayerTar(Vec<Vec<u8>>);

impl LayerTar {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn entry(
        mut self,
        kind: EntryType,
        name: &str,
        link: &str,
        data: &[u8],
        change: impl FnOnce(&mut Header),
    ) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(if kind == EntryType::Directory {
            0o755
        } else {
            0o644
        });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header.set_size(data.len() as u64);
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkname[..link.len()].copy_from_slice(link.as_bytes());
        change(&mut header);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        self.0.push(bytes);
        self
    }

    pub fn bytes(self, name: &str, data: &[u8]) -> Self {
        self.entry(EntryType::Regular, name, "", data, |_| {})
    }

    pub fn file(self, name: &str, data: &str) -> Self {
        self.bytes(name, data.as_bytes())
    }

    pub fn directory(self, name: &str) -> Self {
        self.directory_with_mode(name, 0o755)
    }

    pub fn directory_with_mode(self, name: &str, mode: u32) -> Self {
        self.entry(EntryType::Directory, name, "", b"", |header| {
            header.set_mode(mode);
        })
    }

    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name, target, b"", |_| {})
    }

    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Link, name, target, b"", |_| {})
    }

    pub fn device(self, name: &str, major: u32, minor: u32) -> Self {
        self.entry(EntryType::Char, name, "", b"", |header| {
            header.set_device_major(major).unwrap();
            header.set_device_minor(minor).unwrap();
        })
    }

    /// The same entries, the last one first.
    pub fn reversed(&self) -> Self {
        Self(self.0.iter().rev().cloned().collect())
    }

    pub fn finish(&self) -> Vec<u8> {
        let mut bytes = self.0.concat();
        bytes.resize(bytes.len() + 1024, 0);
        bytes
    }
}

/// How a layer is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    fn suffix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Gzip => "+gzip",
            Self::Zstd => "+zstd",
        }
    }
}

pub fn pack(bytes: &[u8], packing: Packing) -> Vec<u8> {
    match packing {
        Packing::Plain => bytes.to_vec(),
        Packing::Zstd => zstd::encode_all(bytes, 1).unwrap(),
        Packing::Gzip => {
            let mut child = Command::new("gzip")
                .arg("-nc")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut stdin = child.stdin.take().unwrap();
            let bytes = bytes.to_vec();
            let writer = std::thread::spawn(move || stdin.write_all(&bytes).unwrap());
            let output = child.wait_with_output().unwrap();
            writer.join().unwrap();
            assert!(output.status.success());
            output.stdout
        }
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

pub fn descriptor(bytes: &[u8]) -> serde_json::Value {
    serde_json::json!({
        "mediaType": "application/octet-stream",
        "digest": format!("sha256:{}", sha256(bytes)),
        "size": bytes.len(),
    })
}

fn typed(mut descriptor: serde_json::Value, kind: &str) -> serde_json::Value {
    descriptor["mediaType"] = format!("application/vnd.oci.image.{kind}").into();
    descriptor
}

pub fn write_blob(root: &Path, bytes: &[u8]) {
    let directory = root.join("blobs/sha256");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join(sha256(bytes)), bytes).unwrap();
}

/// Writes the files of an image into a layout; answers its manifest.
pub fn manifest(root: &Path, layers: &[Vec<u8>], packing: Packing, machine: &str) -> Vec<u8> {
    let plain = layers
        .iter()
        .map(|layer| format!("sha256:{}", sha256(layer)));
    let config = serde_json::json!({
        "os": "linux",
        "architecture": machine,
        "rootfs": {"type": "layers", "diff_ids": plain.collect::<Vec<_>>()},
    })
    .to_string();
    write_blob(root, config.as_bytes());
    let layers: Vec<_> = layers
        .iter()
        .map(|layer| {
            let bytes = pack(layer, packing);
            write_blob(root, &bytes);
            typed(
                descriptor(&bytes),
                &format!("layer.v1.tar{}", packing.suffix()),
            )
        })
        .collect();
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": typed(descriptor(config.as_bytes()), "config.v1+json"),
        "layers": layers,
    })
    .to_string()
    .into_bytes();
    write_blob(root, &manifest);
    manifest
}

/// Makes an OCI image layout of one image, called `latest`.
pub fn oci_layout(root: &Path, layers: &[Vec<u8>], packing: Packing) {
    fs::create_dir_all(root).unwrap();
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let manifest = manifest(root, layers, packing, machine);
    let mut found = descriptor(&manifest);
    found = typed(found, "manifest.v1+json");
    found["annotations"] = serde_json::json!({"org.opencontainers.image.ref.name": "latest"});
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [found]}).to_string();
    fs::write(root.join("index.json"), index).unwrap();
    fs::write(
        root.join("oci-layout"),
        "{\"imageLayoutVersion\":\"1.0.0\"}",
    )
    .unwrap();
}

/// Makes an archive as `docker save` did before version 25, with its manifest at the end.
pub fn docker_archive(path: &Path, layers: &[Vec<u8>], tags: &[&str], packing: Packing) {
    let mut archive = LayerTar::new();
    let mut names = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let name = format!("{number:064x}/layer.tar");
        archive = archive
            .directory(&format!("{number:064x}"))
            .bytes(&name, &pack(layer, packing));
        names.push(name);
    }
    let manifest =
        serde_json::json!([{"Config": "config.json", "RepoTags": tags, "Layers": names}]);
    let archive = archive
        .file(
            "config.json",
            "{\"os\":\"linux\",\"architecture\":\"amd64\"}",
        )
        .file("manifest.json", &manifest.to_string());
    fs::write(path, archive.finish()).unwrap();
}

/// All nodes but the root, by their paths.
pub fn nodes(layer: &TarLower) -> Vec<(String, LowerNode)> {
    let mut found = Vec::new();
    walk(layer, LowerNode::ROOT, "", &mut found);
    found
}

fn walk(layer: &TarLower, node: LowerNode, path: &str, found: &mut Vec<(String, LowerNode)>) {
    let mut entries = Vec::new();
    layer
        .entries(node, &mut |entry| {
            entries.push((
                String::from_utf8_lossy(entry.name).into_owned(),
                entry.node,
                entry.kind,
            ));
        })
        .unwrap();
    for (name, node, kind) in entries {
        let path = format!("{path}{name}");
        found.push((path.clone(), node));
        if kind == FileKind::Directory {
            walk(layer, node, &format!("{path}/"), found);
        }
    }
}

/// The whole tree, a line each: `directory/`, `file=contents`, `link -> target`.
pub fn listing(layer: &TarLower) -> Vec<String> {
    nodes(layer)
        .into_iter()
        .map(|(path, node)| match layer.attr(node).unwrap().kind {
            FileKind::Directory => format!("{path}/"),
            FileKind::Symlink => {
                let target = layer.read_link(node).unwrap();
                format!("{path} -> {}", String::from_utf8_lossy(&target))
            }
            FileKind::Regular => {
                let contents = read_all(layer, node);
                format!("{path}={}", String::from_utf8_lossy(&contents))
            }
            kind => format!("{path} {kind:?}"),
        })
        .collect()
}
