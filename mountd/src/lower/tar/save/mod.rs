//! Writing a backup image that stock tools read and that opens here without a scan.
//!
//! An image is a PAX tar archive in zstd frames, with its own index and zstd's seek table in
//! skippable frames at the end: `docs/mksysb-format.md`. It appears under its name whole or not at
//! all. The index is made by the very code that scans archives: each header that is written is
//! read back by [`Scanner`] and added to a [`Tree`], so that it says what a scan would.
//!
//! What is saved, and how it is found, is the caller's business ([`Entry`], [`Contents`]).

mod acl;
mod embedded;
mod entry;
mod frames;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod header;
mod verify;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::atomic::{AtomicFile, directory_of};
use super::entries::Entries;
use super::error::ScanError;
use super::format::{Codec, FilePlace, FileRecord, Fingerprint, IndexHeader};
use super::header::BLOCK;
use super::scan::Scanner;
use super::source::Source;
use super::stored::{Stored, StoredPlace};
use super::tree::Tree;
use super::write::{IndexWriter, Texts};
use crate::types::Timestamp;

pub(super) use embedded::unpack;
pub use entry::{Contents, DataRange, Entry, EntryKind, Written};
use frames::{Finished, StreamWriter};
pub use verify::{VerifyReport, verify};

/// zstd's own default, and what `zstd -3` is.
pub const DEFAULT_LEVEL: i32 = 3;
/// Most warnings that an index keeps.
const WARNINGS_KEPT: usize = 100;

/// Why an image could not be written.
#[derive(Debug, Error)]
pub enum SaveError {
    /// No room for it.
    #[error("no space left for {}: nothing was kept; free some space there or name another file", path.display())]
    DiskFull {
        /// The image.
        path: PathBuf,
    },
    /// The kernel refuses something.
    #[error("cannot write {}: {source}; nothing was kept", path.display())]
    Write {
        /// The image.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The caller asked to stop.
    #[error("writing of {} was interrupted; nothing was kept", path.display())]
    Interrupted {
        /// The image.
        path: PathBuf,
    },
    /// More entries than an index can count.
    #[error("{}: there are more entries than an image can have; leave some out", path.display())]
    TooMany {
        /// The image.
        path: PathBuf,
    },
}

/// How an image is written.
#[derive(Clone, Copy, Debug)]
pub struct SaveOptions {
    /// Level of zstd; `None` writes a plain tar archive without an index.
    pub level: Option<i32>,
    /// Threads that compress.
    pub threads: usize,
    /// Permissions of the file.
    pub permissions: u32,
    /// Time of the backup, which directories get that have no entry.
    pub time: Timestamp,
}

/// What was written.
#[derive(Clone, Copy, Debug)]
pub struct SaveReport {
    /// Entries.
    pub entries: u64,
    /// Length of the tar stream.
    pub stream_bytes: u64,
    /// Size of the file.
    pub file_bytes: u64,
    /// What the index takes of it.
    pub index_bytes: u64,
}

/// An image that is being written.
pub struct ImageWriter {
    target: AtomicFile,
    path: PathBuf,
    options: SaveOptions,
    stream: StreamWriter,
    tree: Tree,
    entries: u64,
    warnings: Vec<String>,
    warning_count: u64,
    /// Room for the blocks of a header, used again and again.
    head: Vec<u8>,
}

impl std::fmt::Debug for ImageWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageWriter")
            .field("path", &self.path)
            .field("entries", &self.entries)
            .finish_non_exhaustive()
    }
}

impl ImageWriter {
    /// Begins an image that is to be `path`.
    ///
    /// # Errors
    /// Those of the file system, and of starting threads.
    pub fn create(path: &Path, options: SaveOptions) -> Result<Self, SaveError> {
        let failed = |error| failure(path, error);
        let target = AtomicFile::create(path, options.permissions).map_err(failed)?;
        let file = target.file().try_clone().map_err(failed)?;
        let stream = StreamWriter::new(file, options.level, options.threads).map_err(failed)?;
        Ok(Self {
            target,
            path: path.to_path_buf(),
            options,
            stream,
            tree: Tree::new(options.time, Some(directory_of(path))),
            entries: 0,
            warnings: Vec::new(),
            warning_count: 0,
            head: Vec::new(),
        })
    }

    /// Length of the stream so far, and how much of the file is written.
    pub fn position(&self) -> (u64, u64) {
        (self.stream.position(), self.stream.stored())
    }

    /// Adds an entry that has no data; of a file, only one that is empty.
    ///
    /// # Errors
    /// Those of writing.
    pub fn add(&mut self, entry: &Entry<'_>) -> Result<(), SaveError> {
        self.head(entry, None)
    }

    /// Adds a regular file. With `ranges`, in order and apart, only those are stored and what they
    /// leave out is a hole.
    ///
    /// # Errors
    /// Those of writing, and `Interrupted` if `contents` answered that. Trouble with the contents
    /// is no error: see [`Written`].
    pub fn add_file(
        &mut self,
        entry: &Entry<'_>,
        ranges: Option<&[DataRange]>,
        contents: &mut dyn Contents,
    ) -> Result<Written, SaveError> {
        let EntryKind::File(size) = entry.kind else {
            self.head(entry, None)?;
            return Ok(Written::Whole);
        };
        self.head(entry, ranges)?;
        let whole = [DataRange {
            offset: 0,
            length: size,
        }];
        let mut outcome = Written::Whole;
        let mut stored = 0;
        for range in ranges.unwrap_or(&whole) {
            let written = self.stream.contents(contents, range.offset, range.length);
            let written = written.map_err(|error| failure(&self.path, error))?;
            if !matches!(written, Written::Whole) && matches!(outcome, Written::Whole) {
                outcome = written;
            }
            stored += range.length;
        }
        let padding = self.stream.zeros(header::padding(stored));
        padding.map_err(|error| failure(&self.path, error))?;
        Ok(outcome)
    }

    /// Ends the frame, so that what follows can be read without what was before.
    ///
    /// # Errors
    /// Those of writing.
    pub fn cut(&mut self) -> Result<(), SaveError> {
        self.stream
            .cut()
            .map_err(|error| failure(&self.path, error))
    }

    /// Writes the header of an entry, and takes it into the tree as a scan would.
    fn head(&mut self, entry: &Entry<'_>, ranges: Option<&[DataRange]>) -> Result<(), SaveError> {
        let mut head = std::mem::take(&mut self.head);
        head.clear();
        header::encode(entry, ranges, &mut head);
        let at = self.stream.position();
        let written = self.stream.write(&head);
        written.map_err(|error| failure(&self.path, error))?;
        let mut source = HeadSource { at, bytes: &head };
        let added = read_back(&mut source, at, &mut self.tree);
        self.head = head;
        self.entries += 1;
        match added {
            Ok(None) => Ok(()),
            Ok(Some(remark)) => {
                self.warning_count += 1;
                if self.warnings.len() < WARNINGS_KEPT {
                    let name = super::error::quoted(entry.path);
                    self.warnings.push(format!("{name} {remark}"));
                }
                Ok(())
            }
            Err(ScanError::TooMany) => Err(SaveError::TooMany {
                path: self.path.clone(),
            }),
            Err(_) => Err(failure(
                &self.path,
                io::Error::other("an entry cannot be read back"),
            )),
        }
    }

    /// Writes the end mark, the index and the seek table, and gives the file its name.
    ///
    /// # Errors
    /// Those of writing.
    pub fn finish(self) -> Result<SaveReport, SaveError> {
        let path = self.path.clone();
        self.finish_all().map_err(|error| failure(&path, error))
    }

    fn finish_all(mut self) -> io::Result<SaveReport> {
        self.stream.zeros(2 * BLOCK)?;
        let stream_bytes = self.stream.position();
        let finished = self.stream.finish()?;
        let mut report = SaveReport {
            entries: self.entries,
            stream_bytes,
            file_bytes: finished.stored_bytes,
            index_bytes: 0,
        };
        if self.options.level.is_some() {
            // ACLs are numbers here: no name is left to be looked up.
            let tables = Default::default();
            self.tree.settle_acls(&tables, &tables);
            let header = IndexHeader {
                codec: Codec::Zstd,
                image_bytes: finished.stored_bytes,
                entries: self.entries,
                warnings: self.warning_count,
                ..Default::default()
            };
            let texts = Texts {
                warnings: self.warnings.join("\n"),
                notes: String::new(),
            };
            let stored = stored(self.target.file(), stream_bytes, &finished)?;
            // Never committed, so it vanishes.
            let scratch = AtomicFile::create(&self.path, 0o600)?;
            let index = IndexWriter::new(scratch.file().try_clone()?)?;
            index.finish(self.tree, &stored, &texts, header)?;
            report.index_bytes = embedded::append(self.target.file(), scratch.file(), &finished)?;
            report.file_bytes = self.target.file().metadata()?.len();
        }
        self.target.commit()?;
        Ok(report)
    }
}

/// One file and one part, as a scan makes of an archive.
fn stored(file: &File, stream_bytes: u64, finished: &Finished) -> io::Result<Stored> {
    let mut stored = Stored::default();
    let main = FileRecord {
        place: FilePlace::Image,
        fingerprint: Fingerprint::of_prefix(file, finished.stored_bytes)?,
        ..Default::default()
    };
    stored.files.push((main, Vec::new()));
    let place = StoredPlace {
        file: 0,
        codec: Codec::Zstd,
        offset: 0,
        bytes: finished.stored_bytes,
    };
    stored.add_part(place, stream_bytes, finished.chunks.clone());
    Ok(stored)
}

fn failure(path: &Path, source: io::Error) -> SaveError {
    let path = path.to_path_buf();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SaveError::DiskFull { path },
        io::ErrorKind::Interrupted => SaveError::Interrupted { path },
        _ => SaveError::Write { path, source },
    }
}

/// The blocks that were written last, as the stream that they are part of.
struct HeadSource<'h> {
    at: u64,
    bytes: &'h [u8],
}

impl Source for HeadSource<'_> {
    fn bytes(&mut self, offset: u64, length: usize) -> Result<&[u8], ScanError> {
        let from = offset
            .checked_sub(self.at)
            .and_then(|from| usize::try_from(from).ok());
        let rest = from
            .and_then(|from| self.bytes.get(from..))
            .unwrap_or_default();
        Ok(rest.get(..length).unwrap_or(rest))
    }

    fn end(&self) -> Option<u64> {
        None
    }

    fn position(&self) -> u64 {
        self.at
    }
}

/// Reads the entry whose header is at `at`, and adds it to the tree; answers what is odd about it.
fn read_back(
    source: &mut HeadSource<'_>,
    at: u64,
    tree: &mut Tree,
) -> Result<Option<String>, ScanError> {
    let Some(member) = Scanner::resume(source, at).next()? else {
        return Err(ScanError::NotTar);
    };
    let remark = member.remarks.first().map(|remark| (*remark).to_owned());
    Ok(tree.add(member)?.err().or(remark))
}
