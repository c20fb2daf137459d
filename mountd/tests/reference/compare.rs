//! Comparing the whole tree of the core with the model.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wpar_mountd::overlay::{DirectoryEntry, DirectorySink, Extent, LookedUp};
use wpar_mountd::types::{Attr, FileKind, Ino};

use crate::model::{Id, Inode, ROOT, Time};
use crate::world::{Verdict, World};

/// What a listing told: name, number, type and position.
type Listed = Vec<(Vec<u8>, Ino, FileKind, u64)>;

/// Takes at most `room` entries at a time, as a buffer does.
struct Sink {
    listed: Listed,
    room: usize,
    looked_up: Vec<(Ino, Attr)>,
}

impl DirectorySink for Sink {
    fn push(&mut self, entry: &DirectoryEntry<'_>, inode: Option<LookedUp<'_>>) -> bool {
        if self.room == 0 {
            return false;
        }
        self.room -= 1;
        self.listed
            .push((entry.name.to_vec(), entry.ino, entry.kind, entry.position));
        // The count of the lookup goes back at once.
        self.looked_up
            .extend(inode.map(|inode| (inode.ino(), *inode.attr())));
        true
    }
}

impl World {
    /// Compares everything that can be reached, by name or because it is held.
    pub(crate) fn compare(&mut self) -> Verdict {
        self.compare_inode(ROOT, Ino::ROOT, "the root")?;
        for (id, ino) in self.held.clone() {
            self.compare_inode(id, ino, &format!("held {ino}"))?;
        }
        Ok(())
    }

    fn compare_inode(&mut self, id: Id, ino: Ino, path: &str) -> Verdict {
        let here = |error: String| format!("{path}: {error}");
        self.same(id, ino).map_err(here)?;
        let expected = self.model.inodes[id].clone();
        let told = self
            .core()
            .attr(ino)
            .map_err(|error| here(error.to_string()))?;
        attr(&expected, &told).map_err(here)?;
        self.compare_xattrs(&expected, ino).map_err(here)?;
        self.same_birth(id, ino).map_err(here)?;
        match expected.kind {
            FileKind::Directory => self.compare_directory(&expected, ino, path),
            FileKind::Regular => self.compare_data(&expected.data, ino).map_err(here),
            FileKind::Symlink => match self.core().read_link(ino) {
                Ok(target) if target == expected.target => Ok(()),
                other => Err(here(format!("its target is {other:?}"))),
            },
            _ => Ok(()),
        }
    }

    fn compare_xattrs(&self, expected: &Inode, ino: Ino) -> Verdict {
        let mut told = BTreeMap::new();
        let names = self
            .core()
            .xattr_names(ino)
            .map_err(|error| error.to_string())?;
        for name in names {
            let value = self
                .core()
                .xattr(ino, &name)
                .map_err(|error| error.to_string())?;
            told.insert(name, value);
        }
        if told == expected.xattrs {
            return Ok(());
        }
        let words = |xattrs: &BTreeMap<Vec<u8>, Vec<u8>>| -> Vec<String> {
            let words = |(name, value): (&Vec<u8>, &Vec<u8>)| {
                format!("{}={}", name.escape_ascii(), value.escape_ascii())
            };
            xattrs.iter().map(words).collect()
        };
        let (told, expected) = (words(&told), words(&expected.xattrs));
        Err(format!(
            "has the attributes {told:?}, expected {expected:?}"
        ))
    }

    fn compare_data(&self, expected: &[u8], ino: Ino) -> Verdict {
        let mut buffer = vec![0xee; expected.len() + 1];
        let read = self
            .core()
            .read(ino, &mut buffer, 0)
            .map_err(|error| error.to_string())?;
        if buffer[..read] != *expected {
            let at = buffer
                .iter()
                .zip(expected)
                .position(|(told, expected)| told != expected);
            let length = expected.len();
            return Err(format!(
                "{read} bytes, expected {length}; first difference at {at:?}"
            ));
        }
        let mut at = 0;
        while at < expected.len() {
            // A hole must be one; data may be zeros.
            let data = self.core().seek(ino, at as u64, Extent::Data);
            let end = data.map_or(expected.len(), |offset| offset as usize);
            if end < at || end > expected.len() || expected[at..end].iter().any(|&byte| byte != 0) {
                return Err(format!("no hole from {at} to {end}"));
            }
            if data.is_err() {
                break;
            }
            let hole = self.core().seek(ino, end as u64, Extent::Hole);
            match hole {
                Ok(hole) if hole as usize > end => at = hole as usize,
                other => return Err(format!("after the data at {end} the hole is {other:?}")),
            }
        }
        Ok(())
    }

    fn compare_directory(&mut self, expected: &Inode, ino: Ino, path: &str) -> Verdict {
        let here = |error: String| format!("{path}: {error}");
        let all = self.list(ino, usize::MAX, false).map_err(here)?;
        for (room, with_inodes) in [(usize::MAX, true), (1, false), (2, true)] {
            if self.list(ino, room, with_inodes).map_err(here)? != all {
                return Err(here(format!(
                    "read {room} at a time, it lists other entries"
                )));
            }
        }
        let names: Vec<_> = all.iter().map(|(name, ..)| name.clone()).collect();
        let unique: BTreeSet<_> = names.iter().collect();
        if unique.len() != names.len() || !expected.entries.keys().eq(unique) {
            let told: Vec<_> = names
                .iter()
                .map(|name| name.escape_ascii().to_string())
                .collect();
            let expected: Vec<_> = expected
                .entries
                .keys()
                .map(|name| name.escape_ascii().to_string())
                .collect();
            return Err(here(format!("lists {told:?}, expected {expected:?}")));
        }
        for (name, listed, kind, _) in all {
            let path = format!("{path}/{}", name.escape_ascii());
            let found = self.look_up(ino, &name)?;
            let (found, attr) = found.ok_or_else(|| format!("{path}: listed, but not found"))?;
            if (found, attr.kind) != (listed, kind) {
                return Err(format!(
                    "{path}: listed as {listed} {kind:?}, found as {found}"
                ));
            }
            let id = expected.entries[&name];
            self::attr(&self.model.inodes[id], &attr).map_err(|e| format!("{path}: {e}"))?;
            self.compare_inode(id, found, &path)?;
        }
        for number in 0..7 {
            let name = crate::operation::any_name(number);
            if !expected.entries.contains_key(&name) && self.look_up(ino, &name)?.is_some() {
                let name = name.escape_ascii();
                return Err(here(format!("{name} is not listed, but found")));
            }
        }
        Ok(())
    }

    /// All entries of a directory but `.` and `..`, read `room` at a time.
    fn list(&self, ino: Ino, room: usize, with_inodes: bool) -> Verdict<Listed> {
        let mut all: Listed = Vec::new();
        loop {
            let mut sink = Sink {
                listed: Vec::new(),
                room,
                looked_up: Vec::new(),
            };
            let position = all.last().map_or(0, |last| last.3);
            let read = self
                .core()
                .read_directory(ino, position, with_inodes, &mut sink);
            read.map_err(|error| format!("cannot be listed: {error}"))?;
            if sink.listed.is_empty() {
                break;
            }
            if with_inodes && room == usize::MAX && sink.looked_up.len() + 2 != sink.listed.len() {
                return Err("an entry came without its inode".into());
            }
            all.extend(sink.listed);
        }
        if !all.is_sorted_by(|a, b| a.3 < b.3) {
            return Err(format!("positions do not rise: {all:?}"));
        }
        let dots: Vec<_> = all.drain(..2).map(|entry| entry.0).collect();
        if dots != [b".".to_vec(), b"..".to_vec()] {
            return Err(format!("begins with {dots:?}"));
        }
        Ok(all)
    }
}

/// Compares attributes.
pub(crate) fn attr(expected: &Inode, told: &Attr) -> Verdict {
    let size = match expected.kind {
        FileKind::Regular => expected.data.len() as u64,
        FileKind::Symlink => expected.target.len() as u64,
        _ => told.size,
    };
    let nlink = if expected.is_directory() {
        told.nlink
    } else {
        expected.nlink()
    };
    let mtime = match expected.mtime {
        Time::Exactly(time) => time,
        Time::Fresh if is_fresh(told) => told.mtime,
        Time::Fresh => return Err(format!("{told:?}: its mtime is not of this test")),
        Time::Any => told.mtime,
    };
    let whole = Attr {
        kind: expected.kind,
        permissions: expected.permissions,
        uid: expected.uid,
        gid: expected.gid,
        rdev: expected.rdev,
        nlink,
        size,
        mtime,
        ..*told
    };
    if whole == *told {
        Ok(())
    } else {
        Err(format!("is {told:?}, expected {whole:?}"))
    }
}

/// No case lasts an hour.
fn is_fresh(told: &Attr) -> bool {
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    let hour_ago = hour_ago.duration_since(UNIX_EPOCH).unwrap_or_default();
    told.mtime.seconds >= hour_ago.as_secs() as i64
}
