//! What a world shows, and what is in its store that should not be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::world::World;
use crate::error::FsResult;
use crate::overlay::{DirectoryEntry, DirectorySink, LookedUp};
use crate::types::{FileKind, Ino};
use crate::upper::object;

/// Later than any time in a lower of these tests.
const FRESH: i64 = 1_000_000_000;

/// What is seen of one inode. Of new ones not the number itself, but which of them it is.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) number: String,
    pub(super) kind: FileKind,
    pub(super) owner: (u32, u32),
    pub(super) permissions: u16,
    pub(super) rdev: u32,
    pub(super) nlink: u32,
    /// `None` for the present. Of directories it is not looked at: one in which something was
    /// tried may be newer.
    pub(super) mtime: Option<i64>,
    /// Of a file its contents, of a link its target.
    pub(super) data: Vec<u8>,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {:?} {:o} {:?} nlink {} mtime {:?} {} bytes {}.. xattrs",
            self.number,
            self.kind,
            self.permissions,
            self.owner,
            self.nlink,
            self.mtime,
            self.data.len(),
            self.data.get(..8).unwrap_or(&self.data).escape_ascii()
        )?;
        for (name, value) in &self.xattrs {
            write!(f, " {}={}", name.escape_ascii(), value.escape_ascii())?;
        }
        Ok(())
    }
}

/// All paths, and the files that are held open.
pub(super) type Snapshot = BTreeMap<String, Facts>;

struct Names(Vec<(Vec<u8>, Ino)>);

impl DirectorySink for Names {
    fn push(&mut self, entry: &DirectoryEntry<'_>, _: Option<LookedUp<'_>>) -> bool {
        if entry.name != b"." && entry.name != b".." {
            self.0.push((entry.name.to_vec(), entry.ino));
        }
        true
    }
}

/// Takes down everything; an error is one of the core's, and never right.
pub(super) fn take(world: &mut World) -> FsResult<Snapshot> {
    let mut snapshot = Snapshot::new();
    let mut numbers = Vec::new();
    walk(world, "", Ino::ROOT, &mut numbers, &mut snapshot)?;
    for (at, ino) in world.held.clone().into_iter().enumerate() {
        let facts = facts(world, ino, &mut numbers)?;
        snapshot.insert(format!("held {at}"), facts);
    }
    world.forget_all();
    Ok(snapshot)
}

fn walk(
    world: &mut World,
    path: &str,
    ino: Ino,
    numbers: &mut Vec<Ino>,
    snapshot: &mut Snapshot,
) -> FsResult<()> {
    let facts = facts(world, ino, numbers)?;
    let kind = facts.kind;
    snapshot.insert(path.to_owned(), facts);
    if kind != FileKind::Directory {
        return Ok(());
    }
    let mut names = Names(Vec::new());
    world.core().read_directory(ino, 0, false, &mut names)?;
    names.0.sort();
    for (name, listed) in names.0 {
        let found = world.look_up(ino, &name)?;
        assert_eq!(found, Some(listed), "what is listed is found");
        let below = format!("{path}/{}", name.escape_ascii());
        walk(world, &below, listed, numbers, snapshot)?;
    }
    Ok(())
}

fn facts(world: &World, ino: Ino, numbers: &mut Vec<Ino>) -> FsResult<Facts> {
    let core = world.core();
    let attr = core.attr(ino)?;
    let is_directory = attr.kind == FileKind::Directory;
    let number = if world.is_new(ino) {
        if !numbers.contains(&ino) {
            numbers.push(ino);
        }
        format!("new {:?}", numbers.iter().position(|&seen| seen == ino))
    } else {
        ino.to_string()
    };
    let data = match attr.kind {
        FileKind::Regular => {
            let mut data = vec![0; attr.size as usize];
            assert_eq!(core.read(ino, &mut data, 0)?, data.len());
            data
        }
        FileKind::Symlink => core.read_link(ino)?,
        _ => Vec::new(),
    };
    let mut xattrs = BTreeMap::new();
    for name in core.xattr_names(ino)? {
        let value = core.xattr(ino, &name)?;
        xattrs.insert(name, value);
    }
    Ok(Facts {
        number,
        kind: attr.kind,
        owner: (attr.uid, attr.gid),
        permissions: attr.permissions,
        rdev: attr.rdev,
        nlink: if is_directory { 0 } else { attr.nlink },
        mtime: Some(attr.mtime.seconds).filter(|&time| time < FRESH && !is_directory),
        data,
        xattrs,
    })
}

/// What is in a store, that nobody has open, for nothing.
pub(super) fn leftovers(world: &World, snapshot: &Snapshot) -> Vec<String> {
    let store = world.store();
    let mut found = Vec::new();
    for part in ["work", "orphans"] {
        for path in list(&store.join(part)) {
            found.push(path.display().to_string());
        }
    }
    let mut partial = BTreeSet::new();
    let mut pending = vec![store.join("tree"), store.join("links")];
    while let Some(directory) = pending.pop() {
        for path in list(&directory) {
            let kind = std::fs::symlink_metadata(&path).unwrap();
            if kind.is_symlink() {
                continue;
            }
            let file = std::fs::File::open(&path).unwrap();
            match object::read_record(file.as_fd()).unwrap() {
                None => found.push(format!("{} has no record", path.display())),
                Some(record) if record.partial => drop(partial.insert(record.ino.0.to_string())),
                Some(_) => {
                    let state = rustix::fs::fgetxattr(&file, "user.wpar.blocks", &mut [0; 99][..]);
                    if state != Err(Errno::NODATA) {
                        found.push(format!("{} still has a state", path.display()));
                    }
                }
            }
            if kind.is_dir() {
                pending.push(path);
            }
        }
    }
    for path in list(&store.join("maps")) {
        if !partial.contains(&name_of(&path)) {
            found.push(path.display().to_string());
        }
    }
    for path in list(&store.join("links")) {
        let number = name_of(&path).parse().map(Ino).unwrap();
        let names = snapshot
            .values()
            .filter(|facts| facts.number == number.to_string());
        // New inodes have no number of their own in a snapshot; each has as many names as it says.
        if !world.is_new(number) && names.count() == 0 {
            found.push(path.display().to_string());
        }
        if world.is_new(number) && rustix::fs::stat(&path).unwrap().st_nlink < 2 {
            found.push(format!("{} has no other name", path.display()));
        }
    }
    found
}

/// Inodes whose names are not as many as they say.
pub(super) fn miscounted(snapshot: &Snapshot) -> Vec<String> {
    let counted = |facts: &Facts| {
        let same = snapshot
            .iter()
            .filter(|(path, other)| !path.starts_with("held") && other.number == facts.number);
        same.count() as u32
    };
    snapshot
        .iter()
        .filter(|(_, facts)| facts.kind != FileKind::Directory && counted(facts) != facts.nlink)
        .map(|(path, facts)| format!("{path}: {facts:?}"))
        .collect()
}

fn list(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}
