//! An open file of the tree.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{self, SeekFrom, Statx};
use rustix::io::Errno;
use wpar_mountd::lower::host::attr::attr_of;
use wpar_mountd::lower::tar::save::{Contents, DataRange, SaveError};
use wpar_mountd::types::Attr;

use super::stat::{identity, stat};
use crate::backup::tree::{Found, OpenFile, Visitor, Xattrs};

/// A regular file, opened.
pub(super) struct HostFile {
    pub(super) file: File,
    pub(super) stat: Statx,
    pub(super) xattrs: Xattrs,
}

impl HostFile {
    /// Shows it to `visitor`.
    pub(super) fn show(&mut self, path: &[u8], visitor: &mut dyn Visitor) -> Result<(), SaveError> {
        let (stat, xattrs) = (self.stat, std::mem::take(&mut self.xattrs));
        let Ok(attr) = attr_of(&stat) else {
            return Ok(());
        };
        let found = Found {
            path,
            attr: &attr,
            identity: identity(&stat),
            target: &[],
            xattrs: &xattrs,
        };
        visitor.file(&found, self)
    }
}

impl Contents for HostFile {
    fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.file.read_at(buffer, offset) {
                // To whoever writes the image, this word means that the user wants to stop.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

impl OpenFile for HostFile {
    fn attr(&mut self) -> io::Result<Attr> {
        let stat = stat(self.file.as_fd())?;
        attr_of(&stat).map_err(|_| io::Error::other("its type is not known"))
    }

    fn data_ranges(&mut self, size: u64) -> io::Result<Vec<DataRange>> {
        let mut ranges = Vec::new();
        let mut at = 0;
        while at < size {
            let offset = match fs::seek(&self.file, SeekFrom::Data(at)) {
                Ok(offset) => offset,
                Err(Errno::NXIO) => break,
                Err(error) => return Err(error.into()),
            };
            let end = fs::seek(&self.file, SeekFrom::Hole(offset))?.min(size);
            if end <= offset {
                break;
            }
            ranges.push(DataRange {
                offset,
                length: end - offset,
            });
            at = end;
        }
        Ok(ranges)
    }
}
