//! AIX backups by name (`backup -i`, `mksysb`, `savevg`, installp packages), to be looked into.
//!
//! `docs/aix-backup-format.md` describes the format, what of it was seen in real archives, and what
//! is not known. Here are the parts that differ from [`super::tar`]: a scanner of headers, ACLs as
//! text, and the unpacking of members that are packed. What a scan finds goes into the same tree
//! and the same index as a tar archive's entries, and is read through the same layer; such an image
//! may also be compressed as a whole.
//!
//! # What the tree is
//! As that of a tar archive ([`super::tar`]), and:
//! * Records whose checksum does not hold are passed over up to the next one whose does, with a
//!   warning. If there is none, or another archive begins before it, the archive is refused.
//! * Names that share an inode number of their device are hard links, if type, size and owner agree.
//! * An ACL with extended permissions is shown as `user.aix.acl`, with numbers in place of names, in
//!   the words of AIX' `aclget`. It grants and denies nothing here. Others are counted in a warning.
//! * Privileges (PCL) are not shown. Times are whole seconds, before 1970 if negative in 32 bits.
//! * What follows the end record is not read and not reported: it is what the buffer of the program
//!   that wrote it held before, whole records among it.
//!
//! # What is refused
//! Volumes other than the first and only one, backups by i-node, and the magic numbers 0xEA6D and
//! 0xEA6F, of which no description is known.

mod acl;
mod checksum;
mod entry;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod header;
mod layout;
mod links;
mod packed;
mod scan;
#[cfg(test)]
mod scan_tests;
mod unpack;
#[cfg(any(test, fuzzing))]
#[path = "../../../tests/aix_support/writer.rs"]
pub(crate) mod writer;

pub(in crate::lower) use header::{MAGIC_BYTES, is_volume};
pub(in crate::lower) use packed::{PackedStore, Place, whole};
pub(in crate::lower) use scan::Scanner;
