//! Backup images as lower layers: tar archives, plain or compressed, read in place.
//!
//! An archive is scanned once ([`ensure_index`]); what is found goes into an index beside it, which
//! later opens only map ([`TarIndex`]). [`TarLower`] answers from the index and reads contents from
//! the archive. Nothing is ever extracted, and no name of an archive is ever a name of the host.
//!
//! # What is read
//! v7, ustar, PAX, GNU and star archives, in any mixture: long names and links, base-256 numbers, hard
//! links, devices, pipes; times in nanoseconds, extended attributes of GNU tar (`SCHILY.xattr.*`)
//! and bsdtar (`LIBARCHIVE.xattr.*`), ACLs in text form, SELinux labels; sparse files of old GNU
//! tar, of star and of PAX 0.0, 0.1 and 1.0. And backups by name of AIX, whose scanner and packed
//! members are in [`super::aix`]. All of it plain, or within gzip or zstd, which is found out
//! from the contents.
//!
//! # What the tree is
//! * `./`, leading and double `/` do not count. A name with `..` is left out, with a warning.
//! * A later entry of the same name replaces the earlier one; a directory that exists already only
//!   gets the later one's attributes. A directory that is not empty is replaced by nothing.
//! * Directories without an entry of their own belong to root, have mode 0755, and the archive's
//!   time of modification.
//! * An entry below a symbolic link to a directory lands where the link leads, as it would in a
//!   running system with the image as its root: an absolute target begins at the image's root, `..`
//!   ends there, and after 40 links there is nothing. Nothing of the host is ever looked at. GNU tar
//!   follows relative targets in the same way; of targets that are absolute or have `..` in them it
//!   makes an empty file first and the link at its end (a defence that is not needed here), so that
//!   it cannot extract entries below them. The engines of containers follow all, as we do.
//! * An entry below anything else that is no directory is left out, with a warning.
//! * A directory in the place of a link replaces it, as with GNU tar without
//!   `--keep-directory-symlink` and in layers of containers.
//! * A hard link names an inode of an earlier entry, or is left out. So there are no cycles.
//! * A name has at most 255 bytes, a path at most 1024 components, an attribute 64 KiB, the target of
//!   a symbolic link 4095 bytes; what is longer is left out, with a warning.
//! * Attributes and ACLs that the kernel would let no inode of that type have are left out. Of an ACL
//!   that names users whom the image does not know, all other entries stay.
//! * A header for all entries gives them no attributes, ACLs, holes or long names.
//! * A tree takes at most 256 MiB or 64 times the size of its archives together, whichever is more, most
//!   of it in files without names beside the index; what would take more is refused.
//! * A directory's `nlink` is 2 and its subdirectories, as on most file systems.
//! * `atime` and `ctime` are the time of modification where the archive does not store them.
//! * An archive whose end mark is missing is shown, with a warning; one that ends within an entry
//!   is refused. What follows the end mark is not read, as by tar, with a warning.
//!
//! # Container images and other wrappings
//! Found by contents, never by name (`plan` says how):
//! * Images of `docker save` and OCI image layouts, in a directory or in an archive, also one that is
//!   compressed. One of several is named by `IMAGE#NAME`; of several platforms, this machine's is
//!   taken. Layers are laid over one another when the index is made (`tree::layers`), so that many
//!   cost no more than one. Digests of manifests and of compressed layers are checked; a plain layer
//!   is not, for that would mean to read all of it, where now only its headers are read.
//! * A compressed layer within a compressed archive is stored again, decoded, in the seekable copy. A
//!   plain one is read from where it is.
//! * The `rootfs` of an image or a backup of LXD and Incus is the root.
//! * Backups of ReaR that lie in one directory are laid over one another (`chain`); what was removed
//!   between them is still there, of which a warning tells.
//! * An Amanda dump is read behind its header. An archive that has nothing but the image of a disk
//!   in it is refused, with the command that makes it usable.
//!
//! # Numbers
//! The root is 1. All other inodes are numbered from 2 on in the order in which they first appear
//! in the archive, a directory without an entry when the first name below it does. So an index that
//! is built again gives the same numbers, and records that carry them stay true. A number whose
//! inode was replaced is not used again. [`crate::lower::LowerLayer::first_free`] is one more than
//! the last.
//!
//! # Compressed archives
//! The stream is divided into chunks that can be decoded on their own: gzip with the 32 KiB before
//! each, kept in the index; zstd at frames, xz and bzip2 at blocks, lz4 at blocks, with the 64 KiB
//! before those that are linked. Decoded chunks are cached, those behind a chunk that was read
//! after the one before it are decoded ahead, and each carries a hash, so that damage shows as an
//! error of the reads that meet it. A stream with more than 16 MiB in one piece (zstd as the
//! command line tool packs it: one frame; xz likewise, and with threads in blocks of 24 MiB and
//! more) cannot be divided; the scan then writes a seekable copy of it beside the index.
//!
//! # Writing
//! [`save`] writes archives of our own, with the index inside: `docs/mksysb-format.md`.
//!
//! # The index
//! `docs/index-format.md` describes the file. It is versioned, little-endian, and made of records of
//! fixed size; names of a directory are sorted and lie together, so that a lookup is a binary search
//! and a listing a slice. Names and inodes are apart: a hard link is another name. It is written
//! under no name and renamed when it is complete, never changed afterwards, and of no use for any
//! other archive: size, time of modification and hashes of samples must match.

mod acl;
mod ahead;
mod atomic;
mod attributes;
mod bits;
mod build;
mod bzip2;
mod cache;
mod chain;
mod chunks;
#[cfg(any(test, fuzzing))]
pub(crate) mod codec_fuzzing;
mod codecs;
mod container;
mod contents;
mod copies;
mod entries;
mod error;
mod explain;
mod fingerprint;
mod format;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod glance;
mod gzip;
mod header;
mod image;
mod index;
mod input;
mod inside;
mod keeping;
mod layer;
mod layered;
mod lz4;
mod lz4_chunk;
mod lz4_frame;
mod magic;
mod making;
mod member;
mod name;
mod number;
mod order;
mod others;
mod parallel;
mod part_reader;
mod pass;
mod path;
mod pax;
mod plan;
mod progress;
mod readahead;
mod recognise;
pub mod save;
mod scan;
mod seekable;
mod shared_chunks;
mod sidecar;
mod source;
mod sparse;
mod star;
mod stored;
mod stream;
mod tree;
mod window_ahead;
mod wrapping;
mod write;
mod xz;
mod xz_table;
mod zstandard;
mod zstd_frames;

pub(in crate::lower) use entries::Entries;
pub use error::{ImageError, IndexFault};
pub(in crate::lower) use error::{ScanError, quoted};
pub use format::{ArchiveKind, Codec};
pub use glance::{AixBackup, aix_backup};
pub use index::TarIndex;
pub use layer::TarLower;
pub use making::index_stream;
pub(in crate::lower) use member::{Member, MemberData, MemberKind, encode_device};
pub use name::ImageName;
pub use progress::{Progress, Silent};
pub use recognise::begins_like_tar;
pub(in crate::lower) use scan::ArchiveEnd;
pub use shared_chunks::shared_file;
pub use sidecar::{BuildReason, IndexReport, ensure_index, main_file, side_file};
pub(in crate::lower) use source::Source;
pub(crate) use source::read_full;
