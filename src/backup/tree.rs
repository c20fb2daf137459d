//! What a tree is to a backup, wherever it comes from: objects one after the other.

use std::io;

use wpar_mountd::lower::tar::save::{Contents, DataRange, SaveError};
use wpar_mountd::types::Attr;

/// Extended attributes by their full names.
pub type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// One object, under one of its names.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// Its name, beginning with `./`; the root is `./`.
    pub path: &'a [u8],
    /// Its attributes.
    pub attr: &'a Attr,
    /// What its other names have in common with it, within this tree.
    pub identity: (u64, u64),
    /// Target, if it is a symbolic link.
    pub target: &'a [u8],
    /// Extended attributes, ACLs among them in the kernel's encoding.
    pub xattrs: &'a [(Vec<u8>, Vec<u8>)],
}

/// An open regular file.
pub trait OpenFile: Contents {
    /// Its attributes now.
    ///
    /// # Errors
    /// Those of its source.
    fn attr(&mut self) -> io::Result<Attr>;

    /// Where it has data, up to `size`, in order; what is left out is a hole.
    ///
    /// # Errors
    /// Those of its source.
    fn data_ranges(&mut self, size: u64) -> io::Result<Vec<DataRange>>;
}

/// What is to be done with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It belongs to the backup.
    Take,
    /// It does not, and nothing below it.
    Leave,
    /// It does, but nothing below it.
    Empty,
}

/// Takes the objects of a tree. A directory comes before what is in it.
pub trait Visitor {
    /// Whether a name is wanted. Asked before anything else is done with it.
    fn verdict(&mut self, path: &[u8]) -> Verdict;

    /// Takes an object that is no regular file.
    ///
    /// # Errors
    /// An error ends the walk.
    fn object(&mut self, found: &Found<'_>) -> Result<(), SaveError>;

    /// Takes a regular file.
    ///
    /// # Errors
    /// An error ends the walk.
    fn file(&mut self, found: &Found<'_>, open: &mut dyn OpenFile) -> Result<(), SaveError>;

    /// An object could not be looked at; the walk goes on.
    fn trouble(&mut self, path: &[u8], error: &io::Error);
}

/// Appends a name to a path, runs `then`, and takes it off again.
pub(super) fn with_name<T>(
    path: &mut Vec<u8>,
    name: &[u8],
    then: impl FnOnce(&mut Vec<u8>) -> T,
) -> T {
    let length = path.len();
    if path.last() != Some(&b'/') {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    let result = then(path);
    path.truncate(length);
    result
}

/// The path of the root.
pub(super) const ROOT: &[u8] = b"./";
