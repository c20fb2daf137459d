//! Backup images as lower layers: tar archives, plain or compressed, read in place.
//!
//! An archive is scanned once ([`ensure_index`]); what is found goes into an index beside it, which
//! later opens only map ([`TarIndex`]). [`TarLower`] answers from the index and reads contents from
//! the archive. Nothing is ever extracted, and no name of an archive is ever a name of the host.
//!
//! # What is read
//! v7, ustar, PAX and GNU archives, in any mixture: long names and links, base-256 numbers, hard
//! links, devices, pipes; times in nanoseconds, extended attributes of GNU tar (`SCHILY.xattr.*`)
//! and bsdtar (`LIBARCHIVE.xattr.*`), ACLs in text form, SELinux labels; sparse files of old GNU
//! tar and of PAX 0.0, 0.1 and 1.0. All of it plain, or within gzip or zstd, which is found out
//! from the contents.
//!
//! # What the tree is
//! * `./`, leading and double `/` do not count. A name with `..` is left out, with a warning.
//! * A later entry of the same name replaces the earlier one; a directory that exists already only
//!   gets the later one's attributes. A directory that is not empty is replaced by nothing.
//! * Directories without an entry of their own belong to root, have mode 0755, and the archive's
//!   time of modification.
//! * An entry below something that is no directory, be it a symbolic link to one, is left out with
//!   a warning: links are never followed. (GNU tar does follow them when it extracts, and that is
//!   how archives write where they should not.)
//! * A hard link names an inode of an earlier entry, or is left out. So there are no cycles.
//! * A name has at most 255 bytes, a path at most 1024 components, an attribute 64 KiB.
//! * A directory's `nlink` is 2 and its subdirectories, as on most file systems.
//! * `atime` and `ctime` are the time of modification where the archive does not store them.
//! * An archive whose end mark is missing is shown, with a warning; one that ends within an entry
//!   is refused. What follows the end mark is not read, as by tar, with a warning.
//!
//! # Numbers
//! The root is 1. All other inodes are numbered from 2 on in the order in which they first appear
//! in the archive, a directory without an entry when the first name below it does. So an index that
//! is built again gives the same numbers, and records that carry them stay true. A number whose
//! inode was replaced is not used again. [`crate::lower::LowerLayer::first_free`] is one more than
//! the last.
//!
//! # Compressed archives
//! The stream is divided into chunks of some MiB that can be decoded on their own: gzip with the
//! 32 KiB before each, kept in the index; zstd at frame boundaries. Decoded chunks are cached, and
//! each carries a hash, so that damage shows as an error of the reads that meet it. A stream with
//! more than 16 MiB in one piece (zstd as the command line tool packs it: one frame) cannot be
//! divided; the scan then writes a seekable copy of it beside the index.
//!
//! # The index
//! `docs/index-format.md` describes the file. It is versioned, little-endian, and made of records of
//! fixed size; names of a directory are sorted and lie together, so that a lookup is a binary search
//! and a listing a slice. Names and inodes are apart: a hard link is another name. It is written
//! under no name and renamed when it is complete, never changed afterwards, and of no use for any
//! other archive: size, time of modification and hashes of samples must match.

mod acl;
pub(super) mod atomic;
mod build;
mod chunks;
mod error;
mod fingerprint;
mod format;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gzip;
mod header;
mod index;
mod layer;
mod member;
mod number;
mod path;
mod pax;
mod progress;
mod recognise;
mod scan;
mod seekable;
mod shared_chunks;
mod sidecar;
mod source;
mod sparse;
mod stream;
mod tree;
mod write;
mod zstandard;

pub use error::{ImageError, IndexFault};
pub use format::Codec;
pub use index::TarIndex;
pub use layer::TarLower;
pub use progress::{Progress, Silent};
pub use sidecar::{BuildReason, IndexReport, ensure_index, side_file};
