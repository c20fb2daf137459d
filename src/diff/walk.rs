//! The walk through two trees at once, name by name.
//!
//! Both sides of a directory are listed and merged by name. Directories that wait are kept in a list,
//! not on the stack: how deep an image goes is not ours to say. What both stores have nothing of,
//! above the same lower, is not looked into at all.

use std::collections::{BTreeMap, HashMap};

use wpar_mountd::error::{FsError, FsResult};
use wpar_mountd::overlay::{DirectoryEntry, DirectorySink, LookedUp, Overlay};
use wpar_mountd::types::{Attr, EntryName, FileKind, Ino};

use super::files::{Aspect, FileChange, FileState};
use super::same::Same;
use super::{DiffError, Options, Problem};
use crate::source::files::{join, settle};

const CAPABILITY: &[u8] = b"security.capability";

/// How much memory the changes may take, in bytes: an archive of millions of deep paths is small.
const CHANGES_MAX: usize = 1 << 30;

pub(super) fn walk(
    a: &Overlay,
    b: &Overlay,
    options: &Options,
    go_on: &dyn Fn() -> bool,
) -> Result<(Vec<FileChange>, Vec<Problem>), DiffError> {
    // A hard link to a changed file may be anywhere.
    let skips = options.same_lower && !a.has_linked()? && !b.has_linked()?;
    let mut walk = Walk {
        sides: [a, b],
        options,
        skips,
        same: Same::new(a, b),
        first_names: Default::default(),
        room: CHANGES_MAX,
        changes: Vec::new(),
        problems: Vec::new(),
    };
    let root = Pair {
        path: Vec::new(),
        inodes: [Some(a.root()?), Some(b.root()?)],
    };
    let mut levels: Vec<_> = walk.visit(root).into_iter().collect();
    while let Some(level) = levels.last_mut().filter(|_| walk.room > 0) {
        match level.names.next() {
            Some(pair) => levels.extend(walk.visit(pair)),
            None => {
                levels.pop();
                // What is still on a level stays known: it was not dropped.
                settle(a);
                settle(b);
                if !go_on() {
                    return Err(DiffError::Interrupted);
                }
            }
        }
    }
    Ok((walk.changes, walk.problems))
}

/// One name, in A and in B.
struct Pair<'t> {
    path: Vec<u8>,
    inodes: [Option<LookedUp<'t>>; 2],
}

/// The names of a directory that are still to be looked at.
struct Level<'t> {
    names: std::vec::IntoIter<Pair<'t>>,
    /// The directory's own, which stay known as long as it is walked.
    _inodes: [Option<LookedUp<'t>>; 2],
}

struct Walk<'t, 'o> {
    sides: [&'t Overlay; 2],
    options: &'o Options,
    skips: bool,
    same: Same<'t>,
    /// The name under which an inode with several was first met, on each side.
    first_names: [HashMap<Ino, Vec<u8>>; 2],
    /// Bytes that more changes may take.
    room: usize,
    changes: Vec<FileChange>,
    problems: Vec<Problem>,
}

impl<'t> Walk<'t, '_> {
    /// Notes what is different of a pair; the names below it, if they have to be looked at.
    fn visit(&mut self, pair: Pair<'t>) -> Option<Level<'t>> {
        let is_directory = |inode: &Option<LookedUp<'_>>| {
            inode
                .as_ref()
                .is_some_and(|inode| inode.attr().kind == FileKind::Directory)
        };
        match &pair.inodes {
            [Some(a), Some(b)] => {
                let known = self.is_known_same(a, b);
                if known && self.skips && a.attr().kind == FileKind::Directory {
                    return None;
                }
                match self.compare(&pair.path, a, b, known) {
                    Ok(aspects) if aspects.is_empty() => {}
                    Ok(aspects) => self.note(&pair, aspects),
                    // A living system changed it meanwhile.
                    Err(FsError::Stale) if self.is_alive() => {
                        self.note(&pair, vec![Aspect::Content]);
                    }
                    Err(error) => self.complain(&pair.path, error),
                }
            }
            [None, None] => return None,
            _ => self.note(&pair, Vec::new()),
        }
        pair.inodes
            .iter()
            .any(is_directory)
            .then(|| self.enter(pair))
    }

    fn is_alive(&self) -> bool {
        self.sides.iter().any(|side| !side.is_immutable())
    }

    /// Whether an inode must be the same on both sides because nothing of it is in a store, or because
    /// nothing has changed it since it was of the source.
    fn is_known_same(&self, a: &LookedUp<'_>, b: &LookedUp<'_>) -> bool {
        let is_of_lower = |(side, inode): (&Overlay, &LookedUp<'_>)| {
            side.is_of_lower(inode.ino()).unwrap_or(false)
        };
        let when = |attr: &Attr| (attr.kind, attr.size, attr.mtime, attr.ctime);
        let is_untouched = || when(a.attr()) == when(b.attr());
        a.ino() == b.ino()
            && (self.options.same_lower && self.sides.into_iter().zip([a, b]).all(is_of_lower)
                || self.options.same_numbers && is_untouched())
    }

    fn compare(
        &mut self,
        path: &[u8],
        a: &LookedUp<'_>,
        b: &LookedUp<'_>,
        known: bool,
    ) -> FsResult<Vec<Aspect>> {
        let mut aspects = Vec::new();
        let links = self.is_linked_otherwise(path, a, b);
        if !known {
            self.compare_attributes(a.attr(), b.attr(), &mut aspects);
            if a.attr().kind == b.attr().kind {
                self.same.compare(a, b, &mut aspects)?;
            }
        }
        if links {
            aspects.push(Aspect::Links);
        }
        aspects.sort_unstable();
        Ok(aspects)
    }

    fn compare_attributes(&self, a: &Attr, b: &Attr, aspects: &mut Vec<Aspect>) {
        if a.kind != b.kind {
            aspects.push(Aspect::Type);
        }
        // Those of a link have no meaning.
        if a.permissions != b.permissions && a.kind != FileKind::Symlink {
            aspects.push(Aspect::Mode);
        }
        if (a.uid, a.gid) != (b.uid, b.gid) {
            aspects.push(Aspect::Owner);
        }
        if self.options.times && a.mtime != b.mtime {
            aspects.push(Aspect::Time);
        }
    }

    /// Whether the name stands with other names for one file in A than in B. Both sides are walked in
    /// one order, so that is so if the first of these names are not the same.
    fn is_linked_otherwise(&mut self, path: &[u8], a: &LookedUp<'_>, b: &LookedUp<'_>) -> bool {
        let firsts = [a, b].map(|inode| (inode.ino(), inode.attr()));
        let mut found = [path.to_vec(), path.to_vec()];
        for ((known, (ino, attr)), found) in self.first_names.iter_mut().zip(firsts).zip(&mut found)
        {
            if attr.nlink > 1 && attr.kind != FileKind::Directory {
                found.clone_from(known.entry(ino).or_insert_with(|| path.to_vec()));
            }
        }
        found[0] != found[1]
    }

    fn note(&mut self, pair: &Pair<'_>, aspects: Vec<Aspect>) {
        // Twice the path: it is also a key of the search for owners.
        let needed = size_of::<FileChange>() + 2 * pair.path.len();
        self.room = self.room.saturating_sub(needed);
        if self.room == 0 {
            let why = "too much is different; what comes behind it is not compared";
            return self.problems.push(Problem::new(&pair.path, why));
        }
        let is_new = aspects.is_empty();
        let looks = is_new
            || aspects.iter().any(|aspect| {
                matches!(
                    aspect,
                    Aspect::Attributes | Aspect::Content | Aspect::Mode | Aspect::Type
                )
            });
        let [before, after] = [0, 1].map(|side| {
            let inode = pair.inodes.get(side)?.as_ref()?;
            let overlay = self.sides.get(side)?;
            let mut state = FileState::new(inode.attr());
            if looks && state.kind == FileKind::Regular {
                state.capability = overlay.xattr(inode.ino(), CAPABILITY).ok();
            }
            if is_new && inode.attr().nlink > 1 && state.kind != FileKind::Directory {
                let known = self.first_names.get_mut(side)?;
                known
                    .entry(inode.ino())
                    .or_insert_with(|| pair.path.clone());
            }
            Some(state)
        });
        self.changes.push(FileChange {
            path: pair.path.clone(),
            before,
            after,
            aspects,
            package: None,
            explained: false,
        });
    }

    fn complain(&mut self, path: &[u8], error: FsError) {
        self.room = self.room.saturating_sub(size_of::<Problem>() + path.len());
        self.problems.push(Problem::new(path, error));
    }

    /// The names below a pair of which one at least is a directory. What cannot be read on one side
    /// is not compared: it would seem to be removed.
    fn enter(&mut self, pair: Pair<'t>) -> Level<'t> {
        let names = match self.merged_names(&pair) {
            Ok(names) => names,
            Err(error) => {
                self.complain(&pair.path, error);
                BTreeMap::new()
            }
        };
        let mut level = Vec::with_capacity(names.len());
        for (name, there) in names {
            let path = join(&pair.path, &name);
            match self.find(&pair, &name, there) {
                Ok(inodes) => level.push(Pair { path, inodes }),
                Err(error) => self.complain(&path, error),
            }
        }
        Level {
            names: level.into_iter(),
            _inodes: pair.inodes,
        }
    }

    /// Names of both sides, sorted, and which sides have them.
    fn merged_names(&self, pair: &Pair<'t>) -> FsResult<BTreeMap<Vec<u8>, [bool; 2]>> {
        let mut merged: BTreeMap<Vec<u8>, [bool; 2]> = BTreeMap::new();
        for (side, (overlay, inode)) in self.sides.iter().zip(&pair.inodes).enumerate() {
            let Some(inode) = inode else { continue };
            if inode.attr().kind != FileKind::Directory {
                continue;
            }
            let mut names = Names(Vec::new());
            overlay.read_directory(inode.ino(), 0, false, &mut names)?;
            for name in names.0 {
                let there = merged.entry(name).or_default();
                there
                    .iter_mut()
                    .skip(side)
                    .take(1)
                    .for_each(|there| *there = true);
            }
        }
        Ok(merged)
    }

    /// The inodes of a name on the sides that have it. Gone since it was listed: only a living
    /// system does that.
    fn find(
        &self,
        pair: &Pair<'t>,
        name: &[u8],
        there: [bool; 2],
    ) -> FsResult<[Option<LookedUp<'t>>; 2]> {
        let mut found = [None, None];
        let sides = self.sides.iter().zip(&pair.inodes).zip(there);
        for (((overlay, dir), is_there), found) in sides.zip(&mut found) {
            if let (Some(dir), true) = (dir, is_there) {
                *found = overlay.lookup(dir.ino(), EntryName::new(name)?)?;
            }
        }
        Ok(found)
    }
}

struct Names(Vec<Vec<u8>>);

impl DirectorySink for Names {
    fn push(&mut self, entry: &DirectoryEntry<'_>, _inode: Option<LookedUp<'_>>) -> bool {
        if entry.name != b"." && entry.name != b".." {
            self.0.push(entry.name.to_vec());
        }
        true
    }
}
