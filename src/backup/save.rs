//! From the objects of a tree to an image: what is left out, hard links, files that change while
//! they are read.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;

use wpar_mountd::lower::tar::save::{
    Contents, DataRange, Entry, EntryKind, ImageWriter, SaveError, SaveReport, Written,
};
use wpar_mountd::spec::{HiddenExtent, HiddenName};
use wpar_mountd::types::{Attr, FileKind, Timestamp};

use super::exclude::Excludes;
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

/// What is to be left out.
#[derive(Debug, Default)]
pub struct Selection {
    /// Names that are no part of the system.
    hidden: HashMap<Vec<u8>, HiddenExtent>,
    /// Patterns of the administrator.
    excludes: Excludes,
}

impl Selection {
    /// Leaves these out.
    pub fn new(hidden: &[HiddenName], excludes: Excludes) -> Self {
        let path = |name: &HiddenName| [b"./", name.path.as_bytes()].concat();
        Self {
            hidden: hidden
                .iter()
                .map(|name| (path(name), name.extent))
                .collect(),
            excludes,
        }
    }

    fn verdict(&mut self, path: &[u8]) -> Verdict {
        match self.hidden.get(path) {
            Some(HiddenExtent::Name) => return Verdict::Leave,
            Some(HiddenExtent::Contents) => return Verdict::Empty,
            None => {}
        }
        if self.excludes.matches(path) {
            Verdict::Leave
        } else {
            Verdict::Take
        }
    }
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
            self.selection
                .hidden
                .insert(path.into_bytes(), HiddenExtent::Name);
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
        self.outcome.remarks = self.selection.excludes.remarks();
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

/// A large file that is read while somebody watches.
struct Watched<'a> {
    open: &'a mut dyn OpenFile,
    watcher: &'a mut dyn Watcher,
    entries: u64,
    done: u64,
}

impl Contents for Watched<'_> {
    fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.watcher.interrupted() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = self.open.read_at(buffer, offset)?;
        self.done += count as u64;
        self.watcher.advance(self.entries, self.done);
        Ok(count)
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

fn has_holes(attr: &Attr) -> bool {
    attr.blocks.saturating_mul(512) < attr.size
}

/// Where a file has data, if it has holes that are worth it.
fn ranges(attr: &Attr, open: &mut dyn OpenFile) -> Option<Vec<DataRange>> {
    if !has_holes(attr) {
        return None;
    }
    let ranges = open.data_ranges(attr.size).ok()?;
    let whole = [DataRange {
        offset: 0,
        length: attr.size,
    }];
    (ranges != whole).then_some(ranges)
}

/// Whether nothing happened to a file between two looks.
fn same(before: &Attr, after: &Attr) -> bool {
    before.size == after.size && before.mtime == after.mtime && before.ctime == after.ctime
}

/// Reads a whole file of about `size` bytes.
fn read_to_end(open: &mut dyn OpenFile, size: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
    // One byte more, so that the end shows without another look in the usual case.
    let room = usize::try_from(size.min(SMALL)).unwrap_or(0) + 1;
    buffer.clear();
    buffer.resize(room, 0);
    let mut filled = 0;
    while filled < buffer.len() {
        let count = match open.read_at(&mut buffer[filled..], filled as u64) {
            Ok(count) => count,
            Err(error) => {
                buffer.truncate(size as usize);
                return Err(error);
            }
        };
        filled += count;
        // A file that does not end where it should has grown; what is more waits for another turn.
        if count == 0 || filled as u64 >= size {
            break;
        }
    }
    buffer.truncate(filled.min(usize::try_from(size).unwrap_or(usize::MAX)));
    Ok(())
}

fn shown(path: &[u8]) -> String {
    let path = path.strip_prefix(b".").unwrap_or(path);
    path.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that changes between looks as a script says.
    struct Restless {
        looks: Vec<(u64, i64)>,
        byte: u8,
    }

    fn attr(size: u64, seconds: i64) -> Attr {
        let time = Timestamp {
            seconds,
            nanoseconds: 0,
        };
        Attr {
            kind: FileKind::Regular,
            permissions: 0o644,
            uid: 0,
            gid: 0,
            rdev: 0,
            nlink: 1,
            size,
            blocks: size.div_ceil(512),
            atime: time,
            mtime: time,
            ctime: time,
        }
    }

    impl Contents for Restless {
        fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let size = self.looks.first().map_or(0, |look| look.0);
            let count = buffer.len().min(size.saturating_sub(offset) as usize);
            buffer[..count].fill(self.byte);
            Ok(count)
        }
    }

    impl OpenFile for Restless {
        fn attr(&mut self) -> io::Result<Attr> {
            if self.looks.len() > 1 {
                self.looks.remove(0);
                self.byte += 1;
            }
            Ok(attr(self.looks[0].0, self.looks[0].1))
        }

        fn data_ranges(&mut self, size: u64) -> io::Result<Vec<DataRange>> {
            Ok(vec![DataRange {
                offset: 0,
                length: size,
            }])
        }
    }

    #[derive(Default)]
    struct Quiet;

    impl Watcher for Quiet {
        fn entry(&mut self, _path: &[u8], _size: u64) {}
        fn advance(&mut self, _entries: u64, _bytes: u64) {}
        fn interrupted(&self) -> bool {
            false
        }
    }

    fn read(looks: &[(u64, i64)]) -> (Vec<u8>, Attr, Vec<String>) {
        let mut quiet = Quiet;
        let mut saver = Saver::new(None, PathBuf::new(), Selection::default(), &mut quiet);
        let first = attr(looks[0].0, looks[0].1);
        let found = Found {
            path: b"./f",
            attr: &first,
            identity: (1, 2),
            target: &[],
            xattrs: &[],
        };
        let mut file = Restless {
            looks: looks.to_vec(),
            byte: b'a',
        };
        let settled = saver.read_small(&found, &mut file).unwrap();
        (saver.buffer, settled, saver.outcome.torn)
    }

    #[test]
    fn a_file_that_stands_still_is_read_once() {
        let (bytes, attr, torn) = read(&[(5, 1), (5, 1)]);
        assert_eq!((bytes.as_slice(), attr.size), (&b"aaaaa"[..], 5));
        assert!(torn.is_empty());
    }

    #[test]
    fn a_file_that_changes_is_read_again() {
        let (bytes, attr, torn) = read(&[(5, 1), (7, 2), (7, 2)]);
        assert_eq!((bytes.as_slice(), attr.size), (&b"bbbbbbb"[..], 7));
        assert!(torn.is_empty());
        let (bytes, attr, torn) = read(&[(5, 1), (2, 2), (2, 2)]);
        assert_eq!((bytes.as_slice(), attr.size), (&b"bb"[..], 2));
        assert!(torn.is_empty());
    }

    #[test]
    fn a_file_that_never_stands_still_is_listed() {
        let (_, _, torn) = read(&[(5, 1), (5, 2), (5, 3), (5, 4), (5, 5), (5, 6)]);
        assert_eq!(torn, ["/f"]);
    }

    #[test]
    fn device_numbers_are_taken_apart_as_the_kernel_does() {
        assert_eq!(device(0x103), (1, 3));
        assert_eq!(device(0x10_082c), (8, 300));
    }
}
