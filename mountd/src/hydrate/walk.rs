//! A walk through the merged tree that leaves everything that it met in the store.
//!
//! Directories that wait are in a list, not on the stack: how deep a host goes is not ours to say. A
//! directory is closed after all in it was met; what cannot be copied stays the lower's, and so do the
//! directories above it stay open.

use super::settle;
use crate::error::{FsError, FsResult};
use crate::overlay::{
    DirectoryEntry, DirectorySink, GIVEN_UP, Hydrated, Hydrator, LookedUp, Overlay,
};
use crate::types::{EntryName, FileKind, Ino, Timestamp};

/// How many copies wait for each other, and their bytes.
const WAITING: (usize, u64) = (128, 32 << 20);

/// How often a directory is looked through in which names appear all the time. Later ones are of a
/// later moment than the copy.
const ROUNDS: u32 = 3;

/// Is told what happens, and says whether it is to go on.
pub(super) trait Witness {
    /// Whether to go on.
    fn go_on(&self) -> bool;
    /// A copy was made. An error ends the walk.
    fn copied(&mut self, path: &[u8], bytes: u64, changed: Timestamp, torn: bool) -> FsResult<()>;
    /// Something stays the lower's. An error ends the walk.
    fn failed(&mut self, path: &[u8], error: FsError) -> FsResult<()>;
}

/// What a walk found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Whether everything below, but not the place itself, is in the store and closed.
    pub(super) complete: bool,
    /// Whether anything was not, before.
    pub(super) changed: bool,
}

struct Frame<'a> {
    /// What keeps the directory known; `None` for the root.
    _inode: Option<LookedUp<'a>>,
    ino: Ino,
    path: Vec<u8>,
    names: std::vec::IntoIter<(Box<[u8]>, FileKind)>,
    complete: bool,
    rounds: u32,
}

/// Walks through the directory `top`, a name in the root, or through everything. Of directories that
/// are closed only the directories are looked at if `is_repeated`.
pub(super) fn walk(
    overlay: &Overlay,
    top: Option<&str>,
    is_repeated: bool,
    witness: &mut dyn Witness,
) -> FsResult<Found> {
    let first = match top {
        None => Frame::new(overlay, None, Vec::new())?,
        Some(name) => {
            let looked_up = overlay.lookup(Ino::ROOT, EntryName::new(name.as_bytes())?)?;
            match looked_up.filter(|inode| inode.attr().kind == FileKind::Directory) {
                Some(inode) => {
                    let mut hydrator = Hydrator::new(overlay);
                    let name = EntryName::new(name.as_bytes())?;
                    if let Err(error) = hydrator.add(Ino::ROOT, name, &|| true) {
                        witness.failed(name.as_bytes(), error)?;
                        return Ok(Found::default());
                    }
                    Frame::new(overlay, Some(inode), name.as_bytes().to_vec())?
                }
                None => return Ok(Found::default()),
            }
        }
    };
    let mut walk = Walk {
        overlay,
        hydrator: Hydrator::new(overlay),
        is_repeated,
        found: Found::default(),
        witness,
    };
    let mut frames = vec![first];
    while let Some(frame) = frames.last_mut() {
        if !walk.witness.go_on() {
            return Err(GIVEN_UP);
        }
        let next = match frame.names.next() {
            Some((name, kind)) => walk.visit(frame, &name, kind)?,
            None if walk.finish(frame)? => {
                let done = frames.pop().is_none_or(|frame| frame.complete);
                settle(overlay);
                match frames.last_mut() {
                    Some(above) => above.complete &= done,
                    None => walk.found.complete = done,
                }
                None
            }
            None => None,
        };
        frames.extend(next);
    }
    Ok(walk.found)
}

impl<'a> Frame<'a> {
    fn new(overlay: &'a Overlay, inode: Option<LookedUp<'a>>, path: Vec<u8>) -> FsResult<Self> {
        let ino = inode.as_ref().map_or(Ino::ROOT, LookedUp::ino);
        Ok(Self {
            _inode: inode,
            ino,
            path,
            names: names_of(overlay, ino)?,
            complete: true,
            rounds: 0,
        })
    }

    fn path_of(&self, name: &[u8]) -> Vec<u8> {
        if self.path.is_empty() {
            return name.to_vec();
        }
        [&self.path, &b"/"[..], name].concat()
    }
}

struct Walk<'a, 'w> {
    overlay: &'a Overlay,
    hydrator: Hydrator<'a>,
    is_repeated: bool,
    found: Found,
    witness: &'w mut dyn Witness,
}

impl<'a> Walk<'a, '_> {
    /// Looks after one name; a directory is to be walked through next.
    fn visit(
        &mut self,
        frame: &mut Frame<'a>,
        name: &[u8],
        kind: FileKind,
    ) -> FsResult<Option<Frame<'a>>> {
        let is_seen = self.is_repeated && kind != FileKind::Directory;
        if is_seen && self.overlay.is_closed_directory(frame.ino)? {
            return Ok(None);
        }
        let name = EntryName::new(name)?;
        let path = frame.path_of(name.as_bytes());
        let witness = &*self.witness;
        match self.hydrator.add(frame.ino, name, &|| witness.go_on()) {
            Ok(Hydrated::Directory) => {
                // What waits belongs to this round of this directory.
                self.publish(frame)?;
                let inode = self.overlay.lookup(frame.ino, name);
                let entered = inode.and_then(|inode| match inode {
                    Some(inode) if inode.attr().kind == FileKind::Directory => {
                        Frame::new(self.overlay, Some(inode), path.clone()).map(Some)
                    }
                    _ => Ok(None),
                });
                match entered {
                    Err(FsError::Stale | FsError::NotFound) => Ok(None),
                    Err(error) => self.note_failure(frame, &path, error),
                    entered => entered,
                }
            }
            Ok(Hydrated::Ready {
                bytes,
                changed,
                torn,
            }) => {
                self.found.changed = true;
                self.witness.copied(&path, bytes, changed, torn)?;
                let (count, bytes) = self.hydrator.waiting();
                if count >= WAITING.0 || bytes >= WAITING.1 {
                    self.publish(frame)?;
                }
                Ok(None)
            }
            Ok(Hydrated::Ours | Hydrated::Gone) => Ok(None),
            Err(GIVEN_UP) => Err(GIVEN_UP),
            Err(error) => self.note_failure(frame, &path, error),
        }
    }

    fn note_failure(
        &mut self,
        frame: &mut Frame<'a>,
        path: &[u8],
        error: FsError,
    ) -> FsResult<Option<Frame<'a>>> {
        frame.complete = false;
        self.witness.failed(path, error)?;
        Ok(None)
    }

    fn publish(&mut self, frame: &mut Frame<'a>) -> FsResult<()> {
        let is_last = frame.rounds + 1 >= ROUNDS;
        if let Err(error) = self.hydrator.publish(is_last) {
            let path = frame.path.clone();
            self.note_failure(frame, &path, error)?;
        }
        Ok(())
    }

    /// All names of a directory were met: closes it, unless others came meanwhile. True if it is done
    /// with. The root is left open.
    fn finish(&mut self, frame: &mut Frame<'a>) -> FsResult<bool> {
        self.publish(frame)?;
        if frame.ino == Ino::ROOT
            || !frame.complete
            || self.overlay.is_closed_directory(frame.ino)?
        {
            return Ok(true);
        }
        frame.rounds += 1;
        match self
            .overlay
            .close_directory(frame.ino, frame.rounds >= ROUNDS)
        {
            Ok(true) => {
                self.found.changed = true;
                Ok(true)
            }
            Ok(false) => {
                frame.names = names_of(self.overlay, frame.ino)?;
                Ok(false)
            }
            // Removed meanwhile.
            Err(FsError::Stale | FsError::NotFound) => Ok(true),
            Err(error) => {
                let path = frame.path.clone();
                self.note_failure(frame, &path, error)?;
                Ok(true)
            }
        }
    }
}

/// The names in a directory, files first.
pub(super) fn names_of(
    overlay: &Overlay,
    ino: Ino,
) -> FsResult<std::vec::IntoIter<(Box<[u8]>, FileKind)>> {
    struct Names(Vec<(Box<[u8]>, FileKind)>);
    impl DirectorySink for Names {
        fn push(&mut self, entry: &DirectoryEntry<'_>, _: Option<LookedUp<'_>>) -> bool {
            if entry.name != b"." && entry.name != b".." {
                self.0.push((entry.name.into(), entry.kind));
            }
            true
        }
    }
    let mut names = Names(Vec::new());
    overlay.read_directory(ino, 0, false, &mut names)?;
    names
        .0
        .sort_by_key(|(_, kind)| *kind == FileKind::Directory);
    Ok(names.0.into_iter())
}
