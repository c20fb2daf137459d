//! A difference, as [`super::merged_tree`] tells it, put into the store of a WPAR again.
//!
//! Everything goes through the core of the file system: nothing of the image is ever a name of the
//! host.

use std::collections::HashMap;

use rustix::fs::XattrFlags;
use thiserror::Error;
use wpar_mountd::error::{FsError, FsResult};
use wpar_mountd::lower::{LowerLayer, LowerNode};
use wpar_mountd::overlay::{
    DirectoryEntry, DirectorySink, LookedUp, NewInode, Overlay, SetAttr, SetTime,
};
use wpar_mountd::types::{Attr, Caller, EntryName, FileKind, Ino};

use super::merged_tree::WHITEOUT;

/// Bytes copied at a time.
const STRETCH: usize = 1 << 20;

/// Why a difference could not be put back.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// At this name.
    #[error("cannot put back /{path}: {source}")]
    At {
        /// The name.
        path: String,
        /// Why.
        source: FsError,
    },
    /// The caller asked to stop.
    #[error("putting back was interrupted")]
    Interrupted,
}

/// Makes `overlay` differ from what is underneath it as `difference` says. Names in `passed_over`,
/// in its root, are no part of that. `go_on` is asked before each entry.
///
/// # Errors
/// The first entry that failed; what came before it is done.
pub fn apply(
    overlay: &Overlay,
    difference: &dyn LowerLayer,
    passed_over: &[&str],
    go_on: &dyn Fn() -> bool,
) -> Result<(), ApplyError> {
    let mut job = Job {
        overlay,
        difference,
        passed_over,
        go_on,
        made: HashMap::new(),
    };
    let mut path = Vec::new();
    job.directory(LowerNode::ROOT, Ino::ROOT, &mut path)?;
    let root = difference.attr(LowerNode::ROOT);
    root.and_then(|attr| job.attributes(Ino::ROOT, LowerNode::ROOT, &attr))
        .map_err(|error| at(&path, error))
}

struct Job<'j> {
    overlay: &'j Overlay,
    difference: &'j dyn LowerLayer,
    passed_over: &'j [&'j str],
    go_on: &'j dyn Fn() -> bool,
    /// What was made of inodes with several names; held, so that the numbers stay known.
    made: HashMap<LowerNode, LookedUp<'j>>,
}

fn at(path: &[u8], source: FsError) -> ApplyError {
    ApplyError::At {
        path: path.escape_ascii().to_string(),
        source,
    }
}

impl<'j> Job<'j> {
    fn directory(
        &mut self,
        from: LowerNode,
        to: Ino,
        path: &mut Vec<u8>,
    ) -> Result<(), ApplyError> {
        let mut entries = Vec::new();
        self.difference
            .entries(from, &mut |entry| {
                entries.push((entry.name.to_vec(), entry.node))
            })
            .map_err(|error| at(path, error))?;
        for (name, node) in entries {
            if !(self.go_on)() {
                return Err(ApplyError::Interrupted);
            }
            let passed_over = self
                .passed_over
                .iter()
                .any(|known| known.as_bytes() == name);
            if path.is_empty() && passed_over {
                continue;
            }
            let length = path.len();
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            self.entry(&name, node, to, path)?;
            path.truncate(length);
        }
        Ok(())
    }

    fn entry(
        &mut self,
        name: &[u8],
        node: LowerNode,
        to: Ino,
        path: &mut Vec<u8>,
    ) -> Result<(), ApplyError> {
        if let Some(gone) = name.strip_prefix(WHITEOUT) {
            let removed = EntryName::new(gone).and_then(|gone| remove(self.overlay, to, gone));
            return removed.map_err(|error| at(path, error));
        }
        let made = EntryName::new(name).and_then(|name| {
            let attr = self.difference.attr(node)?;
            Ok((attr, self.make(name, node, &attr, to)?))
        });
        let (attr, made) = made.map_err(|error| at(path, error))?;
        let Some(made) = made else { return Ok(()) };
        if attr.kind == FileKind::Directory {
            self.directory(node, made.ino(), path)?;
        }
        // After what is in it, which changes its times.
        self.attributes(made.ino(), node, &attr)
            .map_err(|error| at(path, error))?;
        if attr.nlink > 1 && attr.kind != FileKind::Directory {
            self.made.insert(node, made);
        }
        Ok(())
    }

    /// Makes an entry with its contents; `None` if it is another name of one that was made.
    fn make(
        &mut self,
        name: EntryName<'_>,
        node: LowerNode,
        attr: &Attr,
        to: Ino,
    ) -> FsResult<Option<LookedUp<'j>>> {
        let overlay = self.overlay;
        if let Some(there) = overlay.lookup(to, name)? {
            let both = FileKind::Directory;
            if attr.kind == both && there.attr().kind == both {
                return Ok(Some(there));
            }
            drop(there);
            remove(overlay, to, name)?;
        }
        if let Some(first) = self.made.get(&node) {
            overlay.link(first.ino(), to, name)?;
            return Ok(None);
        }
        let target = match attr.kind {
            FileKind::Symlink => self.difference.read_link(node)?,
            _ => Vec::new(),
        };
        let made = overlay.create(
            to,
            name,
            &NewInode {
                kind: attr.kind,
                permissions: attr.permissions,
                umask: 0,
                rdev: attr.rdev,
                target: &target,
                caller: Caller {
                    uid: attr.uid,
                    gid: attr.gid,
                },
            },
        )?;
        if attr.kind == FileKind::Regular {
            self.contents(node, made.ino(), attr.size)?;
        }
        Ok(Some(made))
    }

    fn contents(&self, from: LowerNode, to: Ino, size: u64) -> FsResult<()> {
        let file = self.difference.open(from)?;
        let mut buffer = vec![0; STRETCH.min(usize::try_from(size).unwrap_or(STRETCH))];
        let mut offset = 0;
        while let Some((start, end)) = file.next_data(offset)? {
            offset = start;
            while offset < end {
                let length = usize::try_from(end - offset)
                    .unwrap_or(STRETCH)
                    .min(STRETCH);
                let room = buffer.get_mut(..length).unwrap_or_default();
                let count = file.read_at(room, offset)?;
                let data = room.get(..count).unwrap_or_default();
                let written = self.overlay.write(to, data, offset, false)?;
                if written == 0 {
                    return Err(FsError::Damaged);
                }
                offset += written as u64;
            }
            if end >= size {
                break;
            }
        }
        let whole = SetAttr {
            size: Some(size),
            ..SetAttr::default()
        };
        self.overlay.set_attr(to, &whole).map(drop)
    }

    /// Owner first, then permissions, which a change of the owner may cut; attributes; times last.
    fn attributes(&self, to: Ino, from: LowerNode, attr: &Attr) -> FsResult<()> {
        let owner = SetAttr {
            uid: Some(attr.uid),
            gid: Some(attr.gid),
            ..SetAttr::default()
        };
        self.overlay.set_attr(to, &owner)?;
        for name in self.overlay.xattr_names(to)? {
            if self.difference.xattr(from, &name)?.is_none() {
                self.overlay.remove_xattr(to, &name)?;
            }
        }
        for name in self.difference.xattr_names(from)? {
            if let Some(value) = self.difference.xattr(from, &name)? {
                self.overlay
                    .set_xattr(to, &name, &value, XattrFlags::empty())?;
            }
        }
        let rest = SetAttr {
            permissions: (attr.kind != FileKind::Symlink).then_some(attr.permissions),
            mtime: Some(SetTime::To(attr.mtime)),
            ..SetAttr::default()
        };
        self.overlay.set_attr(to, &rest).map(drop)
    }
}

/// Takes a name away, with all that is below it; that there is none is no error.
fn remove(overlay: &Overlay, parent: Ino, name: EntryName<'_>) -> FsResult<()> {
    let Some(found) = overlay.lookup(parent, name)? else {
        return Ok(());
    };
    if found.attr().kind != FileKind::Directory {
        return overlay.unlink(parent, name);
    }
    let mut names = Names::default();
    overlay.read_directory(found.ino(), 0, false, &mut names)?;
    for inner in names.0 {
        remove(overlay, found.ino(), EntryName::new(&inner)?)?;
    }
    overlay.remove_directory(parent, name)
}

#[derive(Default)]
struct Names(Vec<Vec<u8>>);

impl DirectorySink for Names {
    fn push(&mut self, entry: &DirectoryEntry<'_>, _inode: Option<LookedUp<'_>>) -> bool {
        if entry.name != b"." && entry.name != b".." {
            self.0.push(entry.name.to_vec());
        }
        true
    }
}
