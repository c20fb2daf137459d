//! A tree written down: what there is to know of each name, from a directory or from a layer.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{SeekFrom, seek};
use wpar_mountd::lower::tar::TarLower;
use wpar_mountd::lower::{LowerLayer, LowerNode};
use wpar_mountd::types::FileKind;

/// What is compared, by the words that the table of explained differences uses.
pub type Facts = BTreeMap<&'static str, String>;
/// Facts by path, relative to the root, which is `.`.
pub type Tree = BTreeMap<Vec<u8>, Facts>;

/// Holes and data are compared in units of a page, the least that a file system leaves out.
const PAGE: u64 = 4096;

/// One fact of one name that is not the same on both sides.
#[derive(Debug)]
pub struct Difference {
    pub path: Vec<u8>,
    pub fact: &'static str,
    pub ours: String,
    pub theirs: String,
}

/// All differences, in the order of the paths. A name that only one side has counts as one.
pub fn differences(ours: &Tree, theirs: &Tree) -> Vec<Difference> {
    let mut found = Vec::new();
    let none = Facts::new();
    let paths = ours
        .keys()
        .chain(theirs.keys().filter(|path| !ours.contains_key(*path)));
    for path in paths {
        let (here, there) = (ours.get(path), theirs.get(path));
        let mut add = |fact, ours: &str, theirs: &str| {
            found.push(Difference {
                path: path.clone(),
                fact,
                ours: ours.to_owned(),
                theirs: theirs.to_owned(),
            });
        };
        match (here, there) {
            (None, _) => add("name", "not there", "there"),
            (_, None) => add("name", "there", "not there"),
            (Some(here), Some(there)) => {
                for (fact, value) in here {
                    let other = there.get(fact).map_or("", String::as_str);
                    if value != other {
                        add(fact, value, other);
                    }
                }
                for (fact, value) in there.iter().filter(|(fact, _)| !here.contains_key(*fact)) {
                    add(fact, none.get(fact).map_or("", String::as_str), value);
                }
            }
        }
    }
    found
}

/// What both sides say of an inode, whatever it is.
struct Basics<'b> {
    kind: FileKind,
    mode: u32,
    owner: (u32, u32),
    nlink: u64,
    size: u64,
    mtime: (i64, i64),
    device: (u32, u32),
    attributes: BTreeMap<Vec<u8>, Vec<u8>>,
    path: &'b [u8],
    identity: u64,
}

fn write_down(basics: Basics<'_>, links: &mut HashMap<u64, Vec<u8>>) -> Facts {
    let mut facts = Facts::new();
    facts.insert("kind", format!("{:?}", basics.kind));
    facts.insert("mode", format!("{:04o}", basics.mode));
    facts.insert("owner", format!("{}:{}", basics.owner.0, basics.owner.1));
    let (seconds, nanoseconds) = basics.mtime;
    facts.insert("time", format!("{seconds}.{nanoseconds:09}"));
    if matches!(basics.kind, FileKind::CharDevice | FileKind::BlockDevice) {
        facts.insert("device", format!("{}:{}", basics.device.0, basics.device.1));
    }
    if basics.kind != FileKind::Directory {
        facts.insert("links", basics.nlink.to_string());
        facts.insert("size", basics.size.to_string());
        let first = links
            .entry(basics.identity)
            .or_insert_with(|| basics.path.to_vec());
        facts.insert("inode of", first.escape_ascii().to_string());
    }
    for (name, value) in basics.attributes {
        // The name is part of the fact's value, so that a table entry can say "attributes".
        let text = format!("{}={} ", name.escape_ascii(), value.escape_ascii());
        let fact = match name.as_slice() {
            b"security.capability" => "capability",
            name if name.starts_with(b"system.posix_acl") => "acl",
            _ => "attributes",
        };
        facts.entry(fact).or_default().push_str(&text);
    }
    facts
}

/// A hash of the contents, and where there is data, in pages.
fn contents(
    mut next_data: impl FnMut(u64) -> Option<(u64, u64)>,
    mut read: impl FnMut(&mut [u8], u64) -> usize,
    facts: &mut Facts,
) {
    let (mut hasher, mut ranges, mut offset) = (DefaultHasher::new(), Vec::new(), 0);
    let mut buffer = vec![0; 64 * PAGE as usize];
    while let Some((start, end)) = next_data(offset) {
        let (first, last) = (start / PAGE, end.div_ceil(PAGE));
        match ranges.last_mut() {
            Some((_, known)) if *known >= first => *known = last,
            _ => ranges.push((first, last)),
        }
        // Zeros are the same, stored or not.
        offset = offset.max(first * PAGE);
        while offset < end {
            let count = read(&mut buffer, offset);
            assert!(count > 0, "nothing to read at {offset}, before {end}");
            for (number, page) in buffer[..count].chunks(PAGE as usize).enumerate() {
                if let Some(last) = page.iter().rposition(|byte| *byte != 0) {
                    hasher.write_u64(offset / PAGE + number as u64);
                    hasher.write(&page[..=last]);
                }
            }
            offset += count as u64;
        }
    }
    facts.insert("contents", format!("{:016x}", hasher.finish()));
    facts.insert("data", format!("{ranges:?}"));
}

/// The tree below a directory.
pub fn of_directory(root: &Path) -> Tree {
    let (mut tree, mut links) = (Tree::new(), HashMap::new());
    let mut waiting = vec![PathBuf::from(".")];
    while let Some(path) = waiting.pop() {
        let metadata = fs::symlink_metadata(root.join(&path)).unwrap();
        if metadata.is_dir() {
            let mut names: Vec<_> = fs::read_dir(root.join(&path))
                .unwrap()
                .map(|entry| path.join(entry.unwrap().file_name()))
                .collect();
            names.sort_unstable();
            waiting.extend(names.into_iter().rev());
        }
        let name = path.as_os_str().as_bytes().to_vec();
        let facts = of_file(&root.join(&path), &name, &metadata, &mut links);
        tree.insert(name, facts);
    }
    tree
}

fn of_file(
    file: &Path,
    path: &[u8],
    metadata: &fs::Metadata,
    links: &mut HashMap<u64, Vec<u8>>,
) -> Facts {
    let kind = FileKind::from_mode(metadata.mode()).unwrap();
    let device = metadata.rdev();
    let basics = Basics {
        kind,
        mode: metadata.mode() & 0o7777,
        owner: (metadata.uid(), metadata.gid()),
        nlink: metadata.nlink(),
        size: metadata.size(),
        mtime: (metadata.mtime(), metadata.mtime_nsec()),
        device: (rustix::fs::major(device), rustix::fs::minor(device)),
        attributes: attributes(file),
        path,
        identity: metadata.ino(),
    };
    let mut facts = write_down(basics, links);
    match kind {
        FileKind::Symlink => {
            let target = fs::read_link(file).unwrap();
            facts.insert(
                "target",
                target.as_os_str().as_bytes().escape_ascii().to_string(),
            );
        }
        FileKind::Regular => {
            let open = File::open(file).unwrap();
            contents(
                |from| {
                    let start = seek(&open, SeekFrom::Data(from)).ok()?;
                    Some((start, seek(&open, SeekFrom::Hole(start)).unwrap()))
                },
                |buffer, offset| open.read_at(buffer, offset).unwrap(),
                &mut facts,
            );
        }
        _ => {}
    }
    facts
}

fn attributes(file: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut list = vec![0; 65_536];
    let length = rustix::fs::llistxattr(file, &mut list[..]).unwrap();
    let names = list[..length].split(|byte| *byte == 0);
    names
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0; 65_536];
            let length = rustix::fs::lgetxattr(file, OsStr::from_bytes(name), &mut value[..]);
            value.truncate(length.unwrap());
            (name.to_vec(), value)
        })
        .collect()
}

/// The tree that a layer shows.
pub fn of_layer(layer: &TarLower) -> Tree {
    let (mut tree, mut links) = (Tree::new(), HashMap::new());
    let mut waiting = vec![(b".".to_vec(), LowerNode::ROOT)];
    while let Some((path, node)) = waiting.pop() {
        let mut below = Vec::new();
        let attr = layer.attr(node).unwrap();
        if attr.kind == FileKind::Directory {
            let mut add = |name: &[u8], node| {
                let at = Path::new(OsStr::from_bytes(&path)).join(OsStr::from_bytes(name));
                below.push((at.into_os_string().into_encoded_bytes(), node));
            };
            layer
                .entries(node, &mut |entry| add(entry.name, entry.node))
                .unwrap();
        }
        below.sort_unstable();
        waiting.extend(below.into_iter().rev());
        let facts = of_node(layer, node, &path, &mut links);
        tree.insert(path, facts);
    }
    tree
}

fn of_node(
    layer: &TarLower,
    node: LowerNode,
    path: &[u8],
    links: &mut HashMap<u64, Vec<u8>>,
) -> Facts {
    let attr = layer.attr(node).unwrap();
    let names = layer.xattr_names(node).unwrap();
    let attributes = names.into_iter().map(|name| {
        let value = layer.xattr(node, &name).unwrap().unwrap();
        (name, value)
    });
    let basics = Basics {
        kind: attr.kind,
        mode: attr.permissions.into(),
        owner: (attr.uid, attr.gid),
        nlink: attr.nlink.into(),
        size: attr.size,
        mtime: (attr.mtime.seconds, attr.mtime.nanoseconds.into()),
        device: (
            (attr.rdev >> 8) & 0xfff,
            (attr.rdev & 0xff) | ((attr.rdev >> 12) & 0xf_ff00),
        ),
        attributes: attributes.collect(),
        path,
        identity: node.0,
    };
    let mut facts = write_down(basics, links);
    match attr.kind {
        FileKind::Symlink => {
            let target = layer.read_link(node).unwrap();
            facts.insert("target", target.escape_ascii().to_string());
        }
        FileKind::Regular => {
            let file = layer.open(node).unwrap();
            contents(
                |from| file.next_data(from).unwrap(),
                |buffer, offset| file.read_at(buffer, offset).unwrap(),
                &mut facts,
            );
        }
        _ => {}
    }
    facts
}
