//! One object of the store, open: a plain file or directory of the host and its record.
//!
//! Works on descriptors only, so nothing here can be redirected by a name.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::upper::calls::{self as fs, Stat, XattrFlags};
use rustix::io::Errno;

use super::record::{RECORD_LENGTH, RECORD_XATTR, Record};
use crate::error::{FsError, FsResult};
use crate::types::{Attr, Timestamp};

/// The attribute that says which directory of the lower a moved directory shows, or of which file
/// of the lower a partly copied one has blocks: a path, components separated by `/`.
pub const REDIRECT_XATTR: &str = "user.wpar.redirect";

/// An open object of the store with the record that it had when it was opened. The descriptor may be
/// shared with who keeps it open: nothing here has a position in a file.
#[derive(Debug)]
pub struct UpperObject {
    file: Arc<OwnedFd>,
    record: Record,
}

impl UpperObject {
    /// Takes an open file or directory; `None` if it carries no record, that is, if its creation
    /// was never completed.
    ///
    /// # Errors
    /// `Damaged` if there is a record that cannot be read.
    pub fn from_fd(file: impl Into<Arc<OwnedFd>>) -> FsResult<Option<Self>> {
        let file = file.into();
        Ok(read_record(file.as_fd())?.map(|record| Self { file, record }))
    }

    /// Makes `file` an object by writing its record.
    ///
    /// # Errors
    /// Those of the host's file system.
    pub fn establish(file: impl Into<Arc<OwnedFd>>, record: Record) -> FsResult<Self> {
        let file = file.into();
        write_record(file.as_fd(), &record)?;
        Ok(Self { file, record })
    }

    /// The record.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Replaces the record because the WPAR changes something: the inode is not pristine any more.
    ///
    /// # Errors
    /// Those of the host's file system; the old record then stands.
    pub fn set_record(&mut self, record: Record) -> FsResult<()> {
        self.keep_record(Record {
            pristine: false,
            ..record
        })
    }

    /// Replaces the record for a reason of the store's own, of which the WPAR sees nothing.
    ///
    /// # Errors
    /// As [`Self::set_record`].
    pub fn keep_record(&mut self, record: Record) -> FsResult<()> {
        write_record(self.file.as_fd(), &record)?;
        self.record = record;
        Ok(())
    }

    /// Notes that the inode is about to be changed, if it is as the lower had it.
    ///
    /// # Errors
    /// As [`Self::set_record`].
    pub fn touch(&mut self) -> FsResult<()> {
        if self.record.pristine {
            self.set_record(self.record)?;
        }
        Ok(())
    }

    /// The host's attributes of the file behind the object.
    ///
    /// # Errors
    /// Those of the host's file system.
    pub fn stat(&self) -> FsResult<Stat> {
        Ok(fs::fstat(&*self.file)?)
    }

    /// The attributes as the WPAR sees them, with `nlink` as the caller knows it.
    ///
    /// # Errors
    /// Those of the host's file system.
    pub fn attr(&self, nlink: u32) -> FsResult<Attr> {
        Ok(attr_of(&self.record, &self.stat()?, nlink))
    }

    /// The path below the lower's root that a moved directory shows, if it was moved.
    ///
    /// # Errors
    /// Those of the host's file system.
    pub fn redirect(&self) -> FsResult<Option<Vec<u8>>> {
        read_xattr(self.file.as_fd(), REDIRECT_XATTR)
    }

    /// Says which directory of the lower this one shows, wherever it is moved.
    ///
    /// # Errors
    /// Those of the host's file system; `Range` and the like for absurdly long paths.
    pub fn set_redirect(&self, path: &[u8]) -> FsResult<()> {
        Ok(fs::fsetxattr(
            &*self.file,
            REDIRECT_XATTR,
            path,
            XattrFlags::empty(),
        )?)
    }

    /// The descriptor, to be kept beside the object.
    pub fn share_fd(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.file)
    }

    /// The descriptor, to be kept.
    pub fn into_fd(self) -> Arc<OwnedFd> {
        self.file
    }
}

impl AsFd for UpperObject {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Puts a record and the host's attributes together.
pub fn attr_of(record: &Record, stat: &Stat, nlink: u32) -> Attr {
    Attr {
        kind: record.kind,
        permissions: record.permissions,
        uid: record.uid,
        gid: record.gid,
        rdev: record.rdev,
        nlink,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        blocks: u64::try_from(stat.st_blocks).unwrap_or(0),
        atime: timestamp(stat.st_atime, stat.st_atime_nsec),
        mtime: timestamp(stat.st_mtime, stat.st_mtime_nsec),
        ctime: timestamp(stat.st_ctime, stat.st_ctime_nsec),
    }
}

/// Times of last access and modification.
pub fn times_of(stat: &Stat) -> (Timestamp, Timestamp) {
    (
        timestamp(stat.st_atime, stat.st_atime_nsec),
        timestamp(stat.st_mtime, stat.st_mtime_nsec),
    )
}

#[allow(clippy::unnecessary_fallible_conversions, clippy::useless_conversion)]
fn timestamp(seconds: i64, nanoseconds: impl TryInto<u32>) -> Timestamp {
    Timestamp {
        seconds,
        nanoseconds: nanoseconds.try_into().unwrap_or(0),
    }
}

/// Reads the record of an open file, if it has one.
///
/// # Errors
/// `Damaged` if it cannot be understood, else those of the host's file system.
pub fn read_record(file: BorrowedFd<'_>) -> FsResult<Option<Record>> {
    // One byte more than a record, so that a longer one is seen to be none.
    let mut buffer = [0_u8; RECORD_LENGTH + 1];
    match fs::fgetxattr(file, RECORD_XATTR, &mut buffer) {
        Ok(length) => Record::decode(buffer.get(..length).unwrap_or(&[])).map(Some),
        Err(Errno::NODATA) => Ok(None),
        Err(Errno::RANGE) => Err(FsError::Damaged),
        Err(errno) => Err(errno.into()),
    }
}

fn write_record(file: BorrowedFd<'_>, record: &Record) -> FsResult<()> {
    Ok(fs::fsetxattr(
        file,
        RECORD_XATTR,
        &record.encode(),
        XattrFlags::empty(),
    )?)
}

/// Reads a whole extended attribute of any size; `None` if there is none.
///
/// # Errors
/// Those of the host's file system.
pub fn read_xattr<N: rustix::path::Arg + Copy>(
    file: BorrowedFd<'_>,
    name: N,
) -> FsResult<Option<Vec<u8>>> {
    let mut buffer = vec![0; 256];
    loop {
        match fs::fgetxattr(file, name, &mut buffer[..]) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(Some(buffer));
            }
            Err(Errno::NODATA) => return Ok(None),
            // 64 KiB is the most that Linux ever stores in one attribute.
            Err(Errno::RANGE) if buffer.len() < 1 << 16 => buffer.resize(1 << 16, 0),
            Err(errno) => return Err(errno.into()),
        }
    }
}
