//! A tree written down: one record for each name, comparable and printable.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What is recorded of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Type and permissions (`st_mode`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size; 0 for a directory, whose size is its file system's affair.
    pub size: u64,
    /// Device number of a device node.
    pub rdev: u64,
    /// Last change of the contents, seconds and nanoseconds.
    pub mtime: (i64, i64),
    /// Last change of the inode; `None` where two different file systems are compared.
    pub ctime: Option<(i64, i64)>,
    /// Target of a symbolic link.
    pub target: Option<PathBuf>,
}

/// Which parts of a record count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// All: is it the very same, untouched tree?
    All,
    /// Whole seconds of mtime only: is it the same system in another file system?
    Seconds,
}

/// Records of all names below a directory, by their path relative to it; `.` is itself.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Manifest(pub BTreeMap<PathBuf, Record>);

impl Manifest {
    /// Walks `root`, of one file system, without following links. Names for which `skip` holds
    /// (relative to `root`) are left out with all below them.
    ///
    /// # Panics
    /// If the tree cannot be read.
    #[track_caller]
    pub fn of(root: &Path, times: Times, skip: impl Fn(&Path) -> bool) -> Self {
        let mut found = BTreeMap::new();
        let top = fs::symlink_metadata(root).unwrap_or_else(|e| panic!("{}: {e}", root.display()));
        let mut todo = vec![PathBuf::new()];
        found.insert(PathBuf::from("."), Record::of(root, &top, times));
        while let Some(dir) = todo.pop() {
            let full = root.join(&dir);
            let listing = fs::read_dir(&full).unwrap_or_else(|e| panic!("{}: {e}", full.display()));
            for entry in listing {
                let entry = entry.unwrap_or_else(|e| panic!("{}: {e}", full.display()));
                let path = dir.join(entry.file_name());
                if skip(&path) {
                    continue;
                }
                let meta = match entry.metadata() {
                    Ok(meta) => meta,
                    // a living tree may lose a name while it is walked
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                    Err(e) => panic!("{}: {e}", root.join(&path).display()),
                };
                found.insert(path.clone(), Record::of(&root.join(&path), &meta, times));
                if meta.is_dir() && meta.dev() == top.dev() {
                    todo.push(path);
                }
            }
        }
        Self(found)
    }

    /// Names that differ between `self` (before) and `after`, in order.
    pub fn changes(&self, after: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (path, old) in &self.0 {
            match after.0.get(path) {
                None => changes.push(Change::Gone(path.clone())),
                Some(new) if new != old => {
                    changes.push(Change::Changed(path.clone(), old.clone(), new.clone()));
                }
                Some(_) => {}
            }
        }
        let new = after.0.keys().filter(|path| !self.0.contains_key(*path));
        changes.extend(new.cloned().map(Change::New));
        changes.sort_by(|a, b| a.path().cmp(b.path()));
        changes
    }

    /// Asserts that `after` is the same tree.
    #[track_caller]
    pub fn assert_unchanged(&self, after: &Self, what: &str) {
        let changes = self.changes(after);
        assert!(changes.is_empty(), "{what} changed:\n{}", list(&changes));
    }
}

impl Record {
    fn of(path: &Path, meta: &fs::Metadata, times: Times) -> Self {
        Self {
            mode: meta.mode(),
            uid: meta.uid(),
            gid: meta.gid(),
            size: if meta.is_dir() { 0 } else { meta.size() },
            rdev: meta.rdev(),
            mtime: match times {
                Times::All => (meta.mtime(), meta.mtime_nsec()),
                Times::Seconds => (meta.mtime(), 0),
            },
            ctime: (times == Times::All).then(|| (meta.ctime(), meta.ctime_nsec())),
            target: if meta.is_symlink() {
                fs::read_link(path).ok()
            } else {
                None
            },
        }
    }
}

/// One difference between two trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Only afterwards.
    New(PathBuf),
    /// Only before.
    Gone(PathBuf),
    /// Another record.
    Changed(PathBuf, Record, Record),
}

impl Change {
    /// The name.
    pub fn path(&self) -> &Path {
        match self {
            Self::New(path) | Self::Gone(path) | Self::Changed(path, ..) => path,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path().as_os_str().as_bytes().escape_ascii();
        match self {
            Self::New(_) => write!(f, "+ {path}"),
            Self::Gone(_) => write!(f, "- {path}"),
            Self::Changed(_, old, new) => write!(f, "~ {path}\n    {old:?}\n    {new:?}"),
        }
    }
}

/// The changes, one a line.
pub fn list(changes: &[Change]) -> String {
    changes.iter().map(|change| format!("{change}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_change_is_seen() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path();
        fs::create_dir(root.join("sub")).expect("mkdir");
        for name in ["kept", "gone", "longer", "mode", "sub/touched"] {
            fs::write(root.join(name), name).expect("a file");
        }
        let before = Manifest::of(root, Times::All, |_| false);
        before.assert_unchanged(&Manifest::of(root, Times::All, |_| false), "an idle tree");
        fs::remove_file(root.join("gone")).expect("unlink");
        fs::write(root.join("longer"), "longer than before").expect("a write");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(root.join("mode"), mode).expect("chmod");
        let touched = fs::File::open(root.join("sub/touched")).expect("open");
        touched
            .set_modified(std::time::SystemTime::UNIX_EPOCH)
            .expect("utimes");
        fs::write(root.join("new"), "").expect("a file");
        let changes = before.changes(&Manifest::of(root, Times::All, |_| false));
        let names: Vec<_> = changes
            .iter()
            .map(|change| change.path().to_str())
            .collect();
        let expected = [".", "gone", "longer", "mode", "new", "sub/touched"].map(Some);
        assert_eq!(names, expected, "{}", list(&changes));
    }
}
