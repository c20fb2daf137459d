//! Names in a directory of the store: looking up, listing, whiteouts, removal.
//!
//! Every access is one checked name below an open directory and never follows a link.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::upper::calls::{
    self as fs, AtFlags, FileType, Mode, OFlags, RenameFlags, Timespec, Timestamps,
};
use rustix::io::Errno;

pub(crate) use super::draft::temporary_name;
use super::object::UpperObject;
use crate::error::FsResult;
use crate::types::{EntryName, Timestamp};

/// Target of a whiteout, for the eyes of a person only.
const WHITEOUT_TARGET: &[u8] = b"whiteout";

/// How directories of the store are opened.
pub const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOATIME);

/// What a directory of the store has under a name.
#[derive(Debug)]
pub enum UpperName {
    /// Nothing: the lower's name, if any, shows.
    Absent,
    /// What a crash left of a creation. It counts as nothing, but is in the way of another one.
    Remains,
    /// The name of the lower does not exist for the WPAR.
    Whiteout,
    /// An inode, opened for reading.
    Object(UpperObject),
}

/// What listing a directory of the store says of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListedKind {
    /// See [`UpperName::Whiteout`].
    Whiteout,
    /// A file or directory, which may turn out to have no record.
    Object,
}

/// Looks `name` up in `dir`.
///
/// # Errors
/// Those of the host's file system; `Damaged` for a record that cannot be read.
pub fn look_up(dir: BorrowedFd<'_>, name: EntryName<'_>) -> FsResult<UpperName> {
    match open(dir, name, OFlags::RDONLY) {
        Ok(file) => Ok(match UpperObject::from_fd(file)? {
            Some(object) => UpperName::Object(object),
            None => UpperName::Remains,
        }),
        Err(Errno::NOENT) => Ok(UpperName::Absent),
        Err(Errno::LOOP) => Ok(UpperName::Whiteout),
        Err(errno) => Err(errno.into()),
    }
}

/// Opens the file or directory `name` of `dir`; a whiteout answers `LOOP`.
///
/// # Errors
/// Those of the host's file system.
pub fn open(dir: BorrowedFd<'_>, name: EntryName<'_>, access: OFlags) -> Result<OwnedFd, Errno> {
    let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    fs::openat(dir, name.as_bytes(), flags, Mode::empty())
}

/// Calls `sink` for each name in `dir`.
///
/// # Errors
/// Those of the host's file system.
pub fn list(dir: BorrowedFd<'_>, sink: &mut dyn FnMut(&[u8], ListedKind)) -> FsResult<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => file_type(dir, entry.file_name())?,
            known => known,
        };
        let listed = match kind {
            FileType::Symlink => ListedKind::Whiteout,
            _ => ListedKind::Object,
        };
        sink(name, listed);
    }
    Ok(())
}

fn file_type(dir: BorrowedFd<'_>, name: &CStr) -> FsResult<FileType> {
    let stat = fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

/// Puts a whiteout in place of whatever file or whiteout `dir` has under `name`. Not for a
/// directory: see [`exchange`].
///
/// # Errors
/// Those of the host's file system.
pub fn put_whiteout(
    work: BorrowedFd<'_>,
    dir: BorrowedFd<'_>,
    name: EntryName<'_>,
) -> FsResult<()> {
    match fs::symlinkat(WHITEOUT_TARGET, dir, name.as_bytes()) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => replace_symlink(work, WHITEOUT_TARGET, dir, name.as_bytes()),
        Err(errno) => Err(errno.into()),
    }
}

/// Makes a whiteout under a temporary name in `work` and returns that name.
///
/// # Errors
/// Those of the host's file system.
pub fn draft_whiteout(work: BorrowedFd<'_>) -> FsResult<String> {
    let name = temporary_name();
    fs::symlinkat(WHITEOUT_TARGET, work, name.as_str())?;
    Ok(name)
}

/// Atomically makes `name` in `dir` a symbolic link to `target`.
///
/// # Errors
/// Those of the host's file system.
pub fn replace_symlink<N: rustix::path::Arg + Copy>(
    work: BorrowedFd<'_>,
    target: &[u8],
    dir: BorrowedFd<'_>,
    name: N,
) -> FsResult<()> {
    let temporary = temporary_name();
    fs::symlinkat(target, work, temporary.as_str())?;
    if let Err(errno) = fs::renameat(work, temporary.as_str(), dir, name) {
        remove_quietly(work, &temporary);
        return Err(errno.into());
    }
    Ok(())
}

/// Swaps two names atomically.
///
/// # Errors
/// Those of the host's file system.
pub fn exchange<A: rustix::path::Arg, B: rustix::path::Arg>(
    from: BorrowedFd<'_>,
    from_name: A,
    to: BorrowedFd<'_>,
    to_name: B,
) -> FsResult<()> {
    Ok(fs::renameat_with(
        from,
        from_name,
        to,
        to_name,
        RenameFlags::EXCHANGE,
    )?)
}

/// Removes a name in `work` whose loss of removal costs nothing: the next opening of the store
/// sweeps it.
pub fn remove_quietly(work: BorrowedFd<'_>, name: &str) {
    if let Err(errno) = remove_tree(work, name) {
        log::debug!("left {name} in the work directory: {errno}");
    }
}

/// Takes a name back that was just made, because what it was made for failed.
pub fn remove_again(dir: BorrowedFd<'_>, name: &str) {
    if let Err(error) = remove_tree(dir, name) {
        log::error!("cannot remove {name} from the store again: {error}");
    }
}

/// Removes `name` in `dir`, with all below it if it is a directory.
///
/// # Errors
/// Those of the host's file system.
pub fn remove_tree<N: rustix::path::Arg + Copy>(dir: BorrowedFd<'_>, name: N) -> FsResult<()> {
    match fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let child = fs::openat(dir, name, DIRECTORY, Mode::empty())?;
    remove_all_below(child.as_fd())?;
    Ok(fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?)
}

/// Empties `dir`.
///
/// # Errors
/// Those of the host's file system.
pub fn remove_all_below(dir: BorrowedFd<'_>) -> FsResult<()> {
    let mut found = Vec::new();
    list(dir, &mut |name, _| found.push(name.to_vec()))?;
    for name in found {
        remove_tree(dir, &name[..])?;
    }
    Ok(())
}

/// Sets the times of an open file; `None` leaves one as it is.
///
/// # Errors
/// Those of the host's file system.
pub fn set_times(
    file: BorrowedFd<'_>,
    access: Option<Timestamp>,
    modification: Option<Timestamp>,
) -> FsResult<()> {
    let spec = |time: Option<Timestamp>| match time {
        Some(time) => Timespec {
            tv_sec: time.seconds,
            tv_nsec: time.nanoseconds.into(),
        },
        None => Timespec {
            tv_sec: 0,
            tv_nsec: fs::UTIME_OMIT,
        },
    };
    let times = Timestamps {
        last_access: spec(access),
        last_modification: spec(modification),
    };
    Ok(fs::futimens(file, &times)?)
}
