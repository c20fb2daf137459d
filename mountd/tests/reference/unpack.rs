//! A tree in memory as real files, for the layer that shows a directory of the host.

use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};
use wpar_mountd::lower::{LowerLayer, LowerNode};
use wpar_mountd::types::{Attr, EntryName, FileKind, Timestamp};

/// Makes all of `lower` in the empty directory `root`.
pub(crate) fn unpack(lower: &dyn LowerLayer, root: &Path) {
    let attr = lower.attr(LowerNode::ROOT).unwrap();
    let mut names = HashMap::new();
    fill(lower, LowerNode::ROOT, root, &mut names);
    finish(lower, LowerNode::ROOT, &attr, root);
}

/// Makes what is in the directory `dir`; `names` has where each inode already is.
fn fill(
    lower: &dyn LowerLayer,
    dir: LowerNode,
    at: &Path,
    names: &mut HashMap<LowerNode, PathBuf>,
) {
    let mut entries = Vec::new();
    let mut sink = |entry: wpar_mountd::lower::LowerEntry<'_>| entries.push(entry.name.to_vec());
    lower.entries(dir, &mut sink).unwrap();
    for name in entries {
        let path = at.join(std::ffi::OsStr::from_bytes(&name));
        let (node, attr) = lower
            .lookup(dir, EntryName::new(&name).unwrap())
            .unwrap()
            .unwrap();
        if let Some(first) = names.get(&node) {
            fs::hard_link(first, &path).unwrap();
            continue;
        }
        names.insert(node, path.clone());
        make(lower, node, &attr, &path);
        if attr.kind == FileKind::Directory {
            fill(lower, node, &path, names);
        }
        finish(lower, node, &attr, &path);
    }
}

fn make(lower: &dyn LowerLayer, node: LowerNode, attr: &Attr, path: &Path) {
    match attr.kind {
        FileKind::Directory => fs::create_dir(path).unwrap(),
        FileKind::Symlink => {
            let target = lower.read_link(node).unwrap();
            symlink(std::ffi::OsStr::from_bytes(&target), path).unwrap();
        }
        FileKind::Regular => {
            let file = File::create_new(path).unwrap();
            let source = lower.open(node).unwrap();
            let mut offset = 0;
            while let Some((start, end)) = source.next_data(offset).unwrap() {
                let mut bytes = vec![0; (end - start) as usize];
                source.read_at(&mut bytes, start).unwrap();
                file.write_all_at(&bytes, start).unwrap();
                offset = end;
            }
            file.set_len(attr.size).unwrap();
        }
        _ => {
            let device = rustix::fs::makedev(attr.rdev >> 8, attr.rdev & 0xff);
            let kind = FileType::CharacterDevice;
            rustix::fs::mknodat(CWD, path, kind, Mode::RUSR, device).unwrap();
        }
    }
}

/// Everything but contents; for a directory when all in it is made.
fn finish(lower: &dyn LowerLayer, node: LowerNode, attr: &Attr, path: &Path) {
    if attr.kind != FileKind::Symlink {
        let permissions = Permissions::from_mode(attr.permissions.into());
        fs::set_permissions(path, permissions).unwrap();
    }
    for name in lower.xattr_names(node).unwrap() {
        let value = lower.xattr(node, &name).unwrap().unwrap();
        rustix::fs::lsetxattr(path, name, &value, XattrFlags::empty()).unwrap();
    }
    let spec = |time: Timestamp| Timespec {
        tv_sec: time.seconds,
        tv_nsec: time.nanoseconds.into(),
    };
    let times = Timestamps {
        last_access: spec(attr.atime),
        last_modification: spec(attr.mtime),
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}
