//! What can be wrong with an image or its index, in words for the administrator.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::entries::AMPLIFICATION;

/// Why an image cannot be used: what failed, on which file, why, and what to do next.
#[derive(Debug, Error)]
pub enum ImageError {
    /// There is nothing at the path.
    #[error("image {}: no such file; check the path", path.display())]
    NoSuchFile {
        /// The image.
        path: PathBuf,
    },
    /// The path names a directory.
    #[error(
        "image {} is a directory, not an archive; pack it with \"tar --one-file-system \
         --numeric-owner --xattrs --xattrs-include='*' --acls -cpf IMAGE.tar -C {} .\"",
        path.display(), path.display()
    )]
    Directory {
        /// The image.
        path: PathBuf,
    },
    /// The path names a device, a pipe or a socket.
    #[error(
        "image {} is not a regular file; copy its contents to a file first, since an image is \
         read at random", path.display()
    )]
    NotRegular {
        /// The image.
        path: PathBuf,
    },
    /// Nothing is in the file, or nothing but the end mark is in the archive.
    #[error("image {} is empty: {what}; make the backup again", path.display())]
    Empty {
        /// The image.
        path: PathBuf,
        /// "it has no bytes", "the archive has no entries".
        what: &'static str,
    },
    /// The contents are not a tar archive.
    #[error("image {} is not a tar archive: it {what}; {remedy}", path.display())]
    NotArchive {
        /// The image.
        path: PathBuf,
        /// What it seems to be, as "looks like a squashfs file system".
        what: String,
        /// The one command that makes it usable.
        remedy: String,
    },
    /// A tar archive behind a compression that cannot be read here.
    #[error("image {} cannot be read directly: {what}; {remedy}", path.display())]
    UnsupportedCompression {
        /// The image.
        path: PathBuf,
        /// The compression or the parameter of it.
        what: String,
        /// The one command that makes it usable.
        remedy: String,
    },
    /// The archive has a feature that cannot be shown.
    #[error("image {}: {what} at byte {offset}; {remedy}", path.display())]
    Unsupported {
        /// The image.
        path: PathBuf,
        /// The feature.
        what: &'static str,
        /// Where, in bytes of the (uncompressed) archive.
        offset: u64,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The archive ends before its last entry does.
    #[error(
        "image {} is cut off at byte {offset}: the last complete entry is {last_entry}; fetch or \
         make the backup again", path.display()
    )]
    Truncated {
        /// The image.
        path: PathBuf,
        /// Where it ends, in bytes of the file.
        offset: u64,
        /// The last good entry's name, quoted, or "none".
        last_entry: String,
    },
    /// An archive that was being made was not made to its end.
    #[error(
        "image {} was not made: after {bytes} bytes there was no end mark of an archive, so the \
         program that makes it has failed; nothing was kept", path.display()
    )]
    Unfinished {
        /// The image.
        path: PathBuf,
        /// How much had come.
        bytes: u64,
    },
    /// Bytes in the archive make no sense.
    #[error(
        "image {} is damaged at byte {offset}: {why}; the last good entry is {last_entry}; fetch \
         or make the backup again", path.display()
    )]
    Corrupt {
        /// The image.
        path: PathBuf,
        /// Where, in bytes of the uncompressed archive (of the file for a damaged compression).
        offset: u64,
        /// What is wrong there.
        why: String,
        /// The last good entry's name, quoted, or "none".
        last_entry: String,
    },
    /// More entries than an index can count.
    #[error("image {} has more than {limit} entries; split it", path.display())]
    TooManyEntries {
        /// The image.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// What the archive says of its entries is out of all proportion to its size.
    #[error(
        "image {} would take over {mebibytes} MiB of memory and disk to index, {AMPLIFICATION} times its own \
         size: it seems to be made to exhaust memory; do not trust where it comes from",
        path.display()
    )]
    TooMuchMemory {
        /// The image.
        path: PathBuf,
        /// The limit, in MiB.
        mebibytes: u64,
    },
    /// The archive is not the one that was indexed.
    #[error(
        "image {} has changed since it was indexed: {what}; index it again, and do not start a \
         WPAR made from the old contents on the new ones", path.display()
    )]
    Changed {
        /// The image.
        path: PathBuf,
        /// Which mark of it differs.
        what: &'static str,
    },
    /// The index is not there, or cannot be used as it is.
    #[error("index {} {fault}; index the image again", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// What is wrong with it.
        fault: IndexFault,
    },
    /// The index can be written nowhere.
    #[error(
        "index {} cannot be written: {source}; make its directory writable or name another one",
        path.display()
    )]
    IndexNotWritable {
        /// The index.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// No room for the index (or for the seekable copy that goes with it).
    #[error(
        "no space left for index {}: nothing was kept; free some space there or name another \
         directory", path.display()
    )]
    DiskFull {
        /// The index.
        path: PathBuf,
    },
    /// An archive that can be read, but does not hold a system as it is.
    #[error("image {} cannot be used as it is: {what}; {remedy}", path.display())]
    Unusable {
        /// The image.
        path: PathBuf,
        /// What is in it or missing from it.
        what: String,
        /// What to do about it.
        remedy: String,
    },
    /// The caller asked to stop.
    #[error("indexing of image {} was interrupted; nothing was kept", path.display())]
    Interrupted {
        /// The image.
        path: PathBuf,
    },
    /// The kernel refuses the file.
    #[error("image {} cannot be read: {source}; check its permissions and its disk", path.display())]
    Read {
        /// The image.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// Why an index cannot be used.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum IndexFault {
    /// No file of that name.
    #[error("does not exist")]
    Missing,
    /// The kernel refuses it.
    #[error("cannot be read: {0}")]
    Unreadable(io::ErrorKind),
    /// It is of another version of the format.
    #[error("has format version {0}, which this program does not read")]
    OtherVersion(u32),
    /// Header, sections or sizes do not fit together.
    #[error("is damaged ({0})")]
    Damaged(&'static str),
    /// The seekable copy that it points into is not the one it was made with.
    #[error("has lost its seekable copy ({0})")]
    Copy(&'static str),
}

impl ImageError {
    /// The error for a file of the index that could not be written.
    pub(super) fn writing(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::IndexNotWritable { path, source },
        }
    }

    /// The error for an image that could not be opened or read.
    pub(super) fn reading(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::NoSuchFile { path },
            _ => Self::Read { path, source },
        }
    }
}

/// Why a scan stopped, before it is known on which image.
#[derive(Debug)]
pub(in crate::lower) enum ScanError {
    /// The kernel failed to read the image.
    Read(io::Error),
    /// The index or the copy could not be written.
    Write(io::Error),
    /// The file ends too early.
    Truncated,
    /// Nonsense here.
    Corrupt { offset: u64, why: String },
    /// The archive changed while it was scanned.
    Changed(&'static str),
    /// Not one entry.
    Empty,
    /// The very first bytes are not a tar header.
    NotTar,
    /// A thing that no index can show.
    Unsupported {
        offset: u64,
        what: &'static str,
        remedy: &'static str,
    },
    /// The compression has a parameter out of bounds.
    Compression { what: String, remedy: &'static str },
    /// Too long a stretch without a point to start reading at: a seekable copy is needed.
    NeedsCopy,
    /// What is in it is no system, or not all of one. The remedy may name `IMAGE`.
    Unusable { what: String, remedy: String },
    /// More entries than can be counted.
    TooMany,
    /// More memory than this, in bytes.
    TooMuchMemory(u64),
    /// The caller asked to stop.
    Interrupted,
}

/// A name of an archive in a message: quoted, of bounded length, without control characters.
pub(in crate::lower) fn quoted(name: &[u8]) -> String {
    const LONGEST: usize = 200;
    let text = String::from_utf8_lossy(name.get(..LONGEST).unwrap_or(name));
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        if character.is_control() {
            quoted.extend(character.escape_default());
        } else {
            quoted.push(character);
        }
    }
    if name.len() > LONGEST {
        quoted.push_str("...");
    }
    quoted.push('"');
    quoted
}
