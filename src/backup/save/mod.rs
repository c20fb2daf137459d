//! From the objects of a tree to an image: what is left out, hard links, files that change while
//! they are read.

mod read;
mod selection;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;

use wpar_mountd::lower::tar::save::{
    Entry, EntryKind, ImageWriter, SaveError, SaveReport, Written,
};
use wpar_mountd::types::{Attr, FileKind, Timestamp};

use self::read::{Watched, has_holes, ranges, read_to_end, same};
pub use self::selection::Selection;
use super::tree::{Found, OpenFile, Verdict, Visitor};

/// Files up to this size are read before they are written, so that they can be read again if they
/// change meanwhile.
const SMALL: u64 = 1 << 20;
/// How often a small file is read until it stands still.
const ATTEMPTS: u32 = 4;

/// Watches a backup.
pub trait Watcher {
    /// An entry was written (or, in a preview, would be).
    fn entry(&mut self, path: &[u8], size: u64);

    /// So many entries, and so many bytes of the stream, are done.
    fn advance(&mut self, entries: u64, bytes: u64);

    /// Whether to stop.
    fn interrupted(&self) -> bool;
}

/// What became of a backup.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Entries, those at the beginning included.
    pub entries: u64,
    /// Bytes of regular files.
    pub bytes: u64,
    /// Files that changed while they were read.
    pub torn: Vec<String>,
    /// Objects that could not be read, or not to their end.
    pub unreadable: Vec<String>,
    /// Names that were gone when their turn came.
    pub vanished: u64,
    /// Sockets, which no archive has.
    pub sockets: u64,
    /// What the administrator should know of the patterns.
    pub remarks: Vec<String>,
    /// What was written; `None` in a preview.
    pub written: Option<SaveReport>,
}

impl Outcome {
    /// Whether all that was wanted is in the image, and as it was.
    pub fn is_whole(&self) -> bool {
        self.torn.is_empty() && self.unreadable.is_empty()
    }
}

/// A backup under way.
pub struct Saver<'w> {
    writer: Option<ImageWriter>,
    path: PathBuf,
    selection: Selection,
    watcher: &'w mut dyn Watcher,
    /// First names of inodes that have several.
    linked: HashMap<(u64, u64), Vec<u8>>,
    outcome: Outcome,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Saver<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Saver")
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

impl<'w> Saver<'w> {
    /// Saves into `writer`, which becomes the image `path`; without a writer this is a preview.
    pub fn new(
        writer: Option<ImageWriter>,
        path: PathBuf,
        selection: Selection,
        watcher: &'w mut dyn Watcher,
    ) -> Self {
        Self {
            writer,
            path,
            selection,
            watcher,
            linked: HashMap::new(),
            outcome: Outcome::default(),
            buffer: Vec::new(),
        }
    }

    /// Writes the files that describe the image, which come before all others and can be read
    /// without them.
    ///
    /// # Errors
    /// Those of writing.
    pub fn describe(&mut self, files: &[(&str, String)], time: Timestamp) -> Result<(), SaveError> {
        for (name, text) in files {
            let path = format!("./{name}");
            let entry = Entry {
                path: path.as_bytes(),
                kind: EntryKind::File(text.len() as u64),
                permissions: 0o600,
                uid: 0,
                gid: 0,
                mtime: time,
                xattrs: &[],
            };
            self.count(path.as_bytes(), text.len() as u64)?;
            if let Some(writer) = &mut self.writer {
                writer.add_file(&entry, None, &mut text.as_bytes())?;
            }
            // One of the tree's own would take its place.
            self.selection.hide(path.into_bytes());
        }
        match &mut self.writer {
            Some(writer) => writer.cut(),
            None => Ok(()),
        }
    }

    /// Completes the image.
    ///
    /// # Errors
    /// Those of writing, and an interruption that came late.
    pub fn finish(mut self) -> Result<Outcome, SaveError> {
        self.check_interrupt()?;
        self.outcome.remarks = self.selection.remarks();
        self.outcome.written = self.writer.map(ImageWriter::finish).transpose()?;
        Ok(self.outcome)
    }

    fn check_interrupt(&self) -> Result<(), SaveError> {
        if self.watcher.interrupted() {
            return Err(SaveError::Interrupted {
                path: self.path.clone(),
            });
        }
        Ok(())
    }

    fn count(&mut self, path: &[u8], size: u64) -> Result<(), SaveError> {
        self.check_interrupt()?;
        self.outcome.entries += 1;
        self.outcome.bytes += size;
        self.watcher.entry(path, size);
        let done = match &self.writer {
            Some(writer) => writer.position().0,
            None => self.outcome.bytes,
        };
        self.watcher.advance(self.outcome.entries, done);
        Ok(())
    }

    /// If this is another name of an inode that was written, writes that.
    fn is_link(&mut self, found: &Found<'_>) -> Result<bool, SaveError> {
        if found.attr.nlink < 2 || found.identity == (0, 0) {
            return Ok(false);
        }
        let Some(first) = self.linked.get(&found.identity) else {
            self.linked.insert(found.identity, found.path.to_vec());
            return Ok(false);
        };
        if let Some(writer) = &mut self.writer {
            let entry = Entry {
                xattrs: &[],
                ..entry(found, EntryKind::HardLink(first))
            };
            writer.add(&entry)?;
        }
        self.count(found.path, 0)?;
        Ok(true)
    }

    /// Reads a small file until it stands still; answers its attributes then.
    fn read_small(
        &mut self,
        found: &Found<'_>,
        open: &mut dyn OpenFile,
    ) -> Result<Attr, io::Error> {
        let mut before = *found.attr;
        for attempt in 1.. {
            read_to_end(open, before.size, &mut self.buffer)?;
            let after = open.attr()?;
            if same(&before, &after) && self.buffer.len() as u64 == after.size {
                break;
            }
            if attempt == ATTEMPTS || after.size > SMALL {
                self.torn(found.path);
                return Ok(after);
            }
            before = after;
        }
        Ok(before)
    }

    fn torn(&mut self, path: &[u8]) {
        self.outcome.torn.push(shown(path));
    }

    fn unreadable(&mut self, path: &[u8], error: &io::Error) {
        let why = error.to_string();
        let why = why
            .split(" (os error")
            .next()
            .unwrap_or_default()
            .to_lowercase();
        self.outcome
            .unreadable
            .push(format!("{}: {why}", shown(path)));
    }

    fn small_file(&mut self, found: &Found<'_>, open: &mut dyn OpenFile) -> Result<(), SaveError> {
        let attr = match self.read_small(found, open) {
            Ok(attr) => attr,
            Err(error) => {
                self.unreadable(found.path, &error);
                *found.attr
            }
        };
        let size = self.buffer.len() as u64;
        if let Some(writer) = &mut self.writer {
            let found = Found {
                attr: &attr,
                ..*found
            };
            let entry = entry(&found, EntryKind::File(size));
            writer.add_file(&entry, None, &mut self.buffer.as_slice())?;
        }
        self.count(found.path, size)
    }

    fn large_file(&mut self, found: &Found<'_>, open: &mut dyn OpenFile) -> Result<(), SaveError> {
        let size = found.attr.size;
        let ranges = ranges(found.attr, open);
        let (entries, watcher) = (self.outcome.entries, &mut *self.watcher);
        let Some(writer) = &mut self.writer else {
            return self.count(found.path, size);
        };
        let done = writer.position().0;
        let mut contents = Watched {
            open,
            watcher,
            entries,
            done,
        };
        let entry = entry(found, EntryKind::File(size));
        let written = writer.add_file(&entry, ranges.as_deref(), &mut contents)?;
        match (written, open.attr()) {
            (Written::Whole, Ok(after)) if same(found.attr, &after) => {}
            (Written::Whole | Written::Short(_), Ok(_)) => self.torn(found.path),
            (Written::Unreadable(_, error), _) | (_, Err(error)) => {
                self.unreadable(found.path, &error);
            }
        }
        self.count(found.path, size)
    }
}

impl Visitor for Saver<'_> {
    fn verdict(&mut self, path: &[u8]) -> Verdict {
        self.selection.verdict(path)
    }

    fn object(&mut self, found: &Found<'_>) -> Result<(), SaveError> {
        let (major, minor) = device(found.attr.rdev);
        let kind = match found.attr.kind {
            FileKind::Directory => EntryKind::Directory,
            FileKind::Symlink => EntryKind::Symlink(found.target),
            FileKind::CharDevice => EntryKind::CharDevice(major, minor),
            FileKind::BlockDevice => EntryKind::BlockDevice(major, minor),
            FileKind::Fifo => EntryKind::Fifo,
            FileKind::Regular => EntryKind::File(0),
            FileKind::Socket => {
                self.outcome.sockets += 1;
                return Ok(());
            }
        };
        if found.attr.kind != FileKind::Directory && self.is_link(found)? {
            return Ok(());
        }
        if let Some(writer) = &mut self.writer {
            // A directory's name ends in a slash, as tar has it.
            let slashed = [found.path, b"/"].concat();
            let is_inner = matches!(kind, EntryKind::Directory) && !found.path.ends_with(b"/");
            let path = if is_inner { &slashed } else { found.path };
            writer.add(&Entry {
                path,
                ..entry(found, kind)
            })?;
        }
        self.count(found.path, 0)
    }

    fn file(&mut self, found: &Found<'_>, open: &mut dyn OpenFile) -> Result<(), SaveError> {
        if self.is_link(found)? {
            return Ok(());
        }
        let small = found.attr.size <= SMALL && !has_holes(found.attr);
        if small && self.writer.is_some() {
            self.small_file(found, open)
        } else {
            self.large_file(found, open)
        }
    }

    fn trouble(&mut self, path: &[u8], error: &io::Error) {
        if error.kind() == io::ErrorKind::NotFound {
            self.outcome.vanished += 1;
        } else {
            self.unreadable(path, error);
        }
    }
}

fn entry<'a>(found: &Found<'a>, kind: EntryKind<'a>) -> Entry<'a> {
    Entry {
        path: found.path,
        kind,
        permissions: found.attr.permissions,
        uid: found.attr.uid,
        gid: found.attr.gid,
        mtime: found.attr.mtime,
        xattrs: found.xattrs,
    }
}

/// Major and minor number in the kernel's 32-bit encoding (`new_decode_dev`).
fn device(rdev: u32) -> (u32, u32) {
    (
        (rdev >> 8) & 0xfff,
        (rdev & 0xff) | ((rdev >> 12) & 0xf_ff00),
    )
}

fn shown(path: &[u8]) -> String {
    let path = path.strip_prefix(b".").unwrap_or(path);
    path.escape_ascii().to_string()
}
