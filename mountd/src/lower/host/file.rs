//! The contents of a regular file of the host.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, SeekFrom};
use rustix::io::{self, Errno};

use crate::error::FsResult;
use crate::lower::LowerFile;

/// A regular file opened for reading only.
#[derive(Debug)]
pub(super) struct HostFile {
    fd: OwnedFd,
}

impl HostFile {
    /// Takes a descriptor that was checked to be a regular file.
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

impl LowerFile for HostFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> FsResult<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match io::pread(&self.fd, &mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(done)
    }

    fn next_data(&self, offset: u64) -> FsResult<Option<(u64, u64)>> {
        match fs::seek(&self.fd, SeekFrom::Data(offset)) {
            Ok(start) => match fs::seek(&self.fd, SeekFrom::Hole(start)) {
                Ok(end) if end > start => Ok(Some((start, end))),
                // Truncated or punched between the two calls.
                Ok(_) | Err(Errno::NXIO) => Ok(None),
                Err(error) => Err(error.into()),
            },
            Err(Errno::NXIO) => Ok(None),
            // A file system that does not tell its holes: all is data.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => {
                let size = fs::fstat(&self.fd)?.st_size as u64;
                Ok((offset < size).then_some((offset, size)))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn backing(&self) -> Option<BorrowedFd<'_>> {
        Some(self.fd.as_fd())
    }
}
