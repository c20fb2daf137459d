//! The store of a WPAR, listed as it lies on the host, with what the record of each file says.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use wpar_mountd::types::FileKind;
use wpar_mountd::upper::object::REDIRECT_XATTR;
use wpar_mountd::upper::record::{RECORD_LENGTH, RECORD_XATTR, Record};

use crate::common::manifest::Manifest;

/// What the store has under a name, compared with the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Held {
    /// The name of the source is hidden.
    Whiteout,
    /// The source has no such name.
    New,
    /// An inode of the source with contents or attributes of its own.
    CopiedUp,
    /// Another inode under a name of the source, of which nothing shows any more.
    Replaced,
    /// A directory of the source under another name than there.
    Moved,
}

/// One name of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Path as the WPAR sees it, without a `/` before it.
    pub(super) path: PathBuf,
    /// What it is.
    pub(super) held: Held,
    /// Its record; a whiteout has none.
    pub(super) record: Option<Record>,
}

impl Entry {
    /// Whether the record has type, permissions and owner of `path` in the source.
    pub(super) fn is_like(&self, source: &Manifest) -> bool {
        match (&self.record, source.0.get(&self.path)) {
            (Some(record), Some(original)) => {
                let mode = u32::from(record.kind as u8) << 12 | u32::from(record.permissions);
                (mode, record.uid, record.gid) == (original.mode, original.uid, original.gid)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.as_os_str().as_bytes().escape_ascii();
        write!(f, "{:?} {path}", self.held)?;
        match &self.record {
            Some(record) => write!(f, " {record:?}"),
            None => Ok(()),
        }
    }
}

/// The entries, one a line.
pub(super) fn list(entries: &[Entry]) -> String {
    entries.iter().map(|entry| format!("{entry}\n")).collect()
}

/// All names in `tree` of the store at `store`, above the tree `source`, in order.
///
/// # Panics
/// If the store cannot be read, or has a file without a valid record, which no WPAR can see.
#[track_caller]
pub(super) fn entries(store: &Path, source: &Manifest) -> Vec<Entry> {
    let tree = store.join("tree");
    let mut found = Vec::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(dir) = todo.pop() {
        let full = tree.join(&dir);
        let listing = fs::read_dir(&full).unwrap_or_else(|e| panic!("{}: {e}", full.display()));
        for entry in listing {
            let entry = entry.unwrap_or_else(|e| panic!("{}: {e}", full.display()));
            let path = dir.join(entry.file_name());
            let kind = entry.file_type().expect("a type");
            if kind.is_symlink() {
                found.push(Entry {
                    path,
                    held: Held::Whiteout,
                    record: None,
                });
                continue;
            }
            let record = record(&entry.path());
            assert_eq!(
                kind.is_dir(),
                record.kind == FileKind::Directory,
                "{}: {record:?}",
                entry.path().display()
            );
            if kind.is_dir() {
                todo.push(path.clone());
            }
            let moved = has_xattr(&entry.path(), REDIRECT_XATTR);
            found.push(Entry {
                held: if moved { Held::Moved } else { Held::New },
                path,
                record: Some(record),
            });
        }
    }
    compare(&mut found, source);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Tells what is new from what is the source's. New inodes have numbers above all of the source.
fn compare(entries: &mut [Entry], source: &Manifest) {
    let number = |entry: &Entry| entry.record.as_ref().map(|record| record.ino);
    let in_source: BTreeSet<PathBuf> = source.0.keys().cloned().collect();
    let first_new = entries
        .iter()
        .filter(|entry| entry.held == Held::New && !in_source.contains(&entry.path))
        .filter_map(number)
        .min();
    for entry in entries
        .iter_mut()
        .filter(|entry| entry.held == Held::New && in_source.contains(&entry.path))
    {
        let opaque = entry.record.as_ref().is_some_and(|record| record.opaque);
        let numbered_later = first_new.is_some() && number(entry) >= first_new;
        entry.held = if opaque || numbered_later {
            Held::Replaced
        } else {
            Held::CopiedUp
        };
    }
}

#[track_caller]
fn record(path: &Path) -> Record {
    let mut bytes = [0; RECORD_LENGTH + 1];
    let length = rustix::fs::lgetxattr(path, RECORD_XATTR, &mut bytes)
        .unwrap_or_else(|e| panic!("{}: no record: {e}", path.display()));
    Record::decode(&bytes[..length]).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn has_xattr(path: &Path, name: &str) -> bool {
    rustix::fs::lgetxattr(path, name, &mut [0_u8; 0]).is_ok()
}
