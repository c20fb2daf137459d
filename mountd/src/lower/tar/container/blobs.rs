//! The files that a container image is made of, in an archive or in a directory.

use std::fs::File;
use std::io;

use super::{TEXT_LIMIT, unusable};
use crate::lower::tar::error::ScanError;
use crate::lower::tar::format::{FilePlace, FileRecord, Fingerprint};
use crate::lower::tar::image::Image;
use crate::lower::tar::source::{StoredBytes, read_full};
use crate::lower::tar::tree::{StoredFile, Tree};

/// A file of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::lower::tar) struct Blob {
    pub(in crate::lower::tar) place: BlobPlace,
    pub(in crate::lower::tar) bytes: u64,
}

/// Where a file of an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::lower::tar) enum BlobPlace {
    /// In the archive, from this offset on.
    Archive(u64),
    /// It is the file with this number.
    File(u32),
}

/// Finds files of an image by their paths.
pub(in crate::lower::tar) trait Blobs {
    /// The regular file at a path, if there is one.
    ///
    /// # Errors
    /// Those of reading.
    fn find(&mut self, path: &str) -> Result<Option<Blob>, ScanError>;

    /// The contents of a file, which has at most 4 MiB.
    ///
    /// # Errors
    /// Those of reading.
    fn read(&self, blob: &Blob) -> Result<Vec<u8>, ScanError>;
}

/// In an archive that was scanned.
pub(in crate::lower::tar) struct ArchiveBlobs<'a> {
    pub(in crate::lower::tar) tree: &'a Tree,
    pub(in crate::lower::tar) bytes: &'a dyn StoredBytes,
}

impl Blobs for ArchiveBlobs<'_> {
    fn find(&mut self, path: &str) -> Result<Option<Blob>, ScanError> {
        match self.tree.find_file(path.as_bytes()) {
            None => Ok(None),
            Some(StoredFile::Whole { offset, bytes }) => Ok(Some(Blob {
                place: BlobPlace::Archive(offset),
                bytes,
            })),
            Some(StoredFile::InPieces) => Err(unusable(
                format!("its {path:?} is stored with holes"),
                "pack the image again, without \"tar --sparse\"",
            )),
        }
    }

    fn read(&self, blob: &Blob) -> Result<Vec<u8>, ScanError> {
        let BlobPlace::Archive(offset) = blob.place else {
            return Ok(Vec::new());
        };
        read_text(blob.bytes, |buffer| self.bytes.read(buffer, offset))
    }
}

/// A file that the index names.
#[derive(Debug)]
pub(in crate::lower::tar) struct NamedFile {
    pub(in crate::lower::tar) file: File,
    pub(in crate::lower::tar) record: FileRecord,
    pub(in crate::lower::tar) path: Vec<u8>,
}

/// In a directory.
pub(in crate::lower::tar) struct DirectoryBlobs<'d> {
    pub(in crate::lower::tar) image: &'d Image,
    /// The files that were found so far.
    pub(in crate::lower::tar) files: Vec<NamedFile>,
}

impl Blobs for DirectoryBlobs<'_> {
    fn find(&mut self, path: &str) -> Result<Option<Blob>, ScanError> {
        let known = |named: &NamedFile| named.path == path.as_bytes();
        if let Some(number) = self.files.iter().position(known) {
            return Ok(Some(Blob {
                place: BlobPlace::File(number as u32),
                bytes: self.files[number].record.fingerprint.size,
            }));
        }
        let file = match self.image.beside(path.as_bytes()) {
            Ok(file) => file,
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => return Err(ScanError::Read(error)),
        };
        let fingerprint = Fingerprint::of(&file).map_err(ScanError::Read)?;
        self.files.push(NamedFile {
            file,
            record: FileRecord {
                place: FilePlace::Beside,
                fingerprint,
                ..Default::default()
            },
            path: path.as_bytes().to_vec(),
        });
        Ok(Some(Blob {
            place: BlobPlace::File(self.files.len() as u32 - 1),
            bytes: fingerprint.size,
        }))
    }

    fn read(&self, blob: &Blob) -> Result<Vec<u8>, ScanError> {
        let BlobPlace::File(number) = blob.place else {
            return Ok(Vec::new());
        };
        let Some(named) = self.files.get(number as usize) else {
            return Ok(Vec::new());
        };
        read_text(blob.bytes, |buffer| read_full(&named.file, buffer, 0))
    }
}

/// A name that cannot be one, or that leads out of the image, is as good as none.
fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, NotADirectory, NotFound};
    matches!(error.kind(), InvalidInput | NotADirectory | NotFound)
        || error.raw_os_error() == Some(rustix::io::Errno::XDEV.raw_os_error())
        || error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

fn read_text(
    bytes: u64,
    read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
) -> Result<Vec<u8>, ScanError> {
    let mut text = vec![0; bytes.min(TEXT_LIMIT) as usize];
    let count = read(&mut text).map_err(ScanError::Read)?;
    text.truncate(count);
    Ok(text)
}
