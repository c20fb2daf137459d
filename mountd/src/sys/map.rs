//! A file in memory, read-only.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Deref;

use memmap2::{Mmap, MmapOptions};

/// A read-only, shared mapping of a file that nobody writes in place.
///
/// Only files that come to be by rename and are never changed afterwards (indexes) may be mapped:
/// a file that is truncated under its mapping ends the process with SIGBUS. Image archives, which
/// belong to the user, are read with `pread` instead.
#[derive(Debug)]
pub(crate) struct FileMap(Mmap);

impl FileMap {
    /// Maps the whole of `file`, which must not be empty.
    pub(crate) fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the mapping is read-only and its bytes are only ever looked at as `u8` with
        // checked bounds; index files are written under another name, renamed into place and not
        // modified after that, which is the condition that memmap2 asks for.
        let map = unsafe { MmapOptions::new().map(file) }?;
        Ok(Self(map))
    }
}

impl Deref for FileMap {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
