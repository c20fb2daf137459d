//! Entries become files below a directory.
//!
//! A file is written under a name of its own and renamed when it is complete, so that nothing is
//! written through a link or into a file that somebody has open. Directories get their modes and
//! times at the end.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags,
    chownat, fchmod, fchown, fsetxattr, futimens, linkat, mkdirat, mknodat, openat, renameat,
    statx, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::attributes;
use super::entry::{Entry, Kind, split};
use super::guise::Guise;
use super::ids::Ids;
use super::place::{Located, open_below};
use super::transfer::Sink;

/// Bytes that are moved at once.
const CHUNK: usize = 128 * 1024;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// A directory that files are put into.
#[derive(Debug)]
pub(crate) struct TreeSink {
    base: OwnedFd,
    ids: Ids,
    /// What directories get at the end.
    directories: Vec<Entry>,
    made: u64,
    buffer: Vec<u8>,
    _guise: Option<Guise>,
}

impl TreeSink {
    /// Puts files below the directory of `target`.
    ///
    /// # Errors
    /// If the process cannot act for the system that the directory belongs to.
    pub(crate) fn new(target: &Located) -> io::Result<Self> {
        let ids = target.ids;
        let guise = (!ids.is_plain()).then(|| Guise::put_on(ids.first()));
        Ok(Self {
            base: target.directory.try_clone()?,
            ids,
            directories: Vec::new(),
            made: 0,
            buffer: vec![0; CHUNK],
            _guise: guise.transpose()?,
        })
    }

    /// Device and inode of the directory `path` below, if it is there.
    pub(crate) fn identity(&self, path: &[u8]) -> Option<(u64, u64)> {
        let directory =
            open_below(self.base.as_fd(), path, OFlags::PATH | OFlags::DIRECTORY).ok()?;
        let wanted = rustix::fs::StatxFlags::INO;
        let facts = statx(&directory, "", AtFlags::EMPTY_PATH, wanted).ok()?;
        let device = rustix::fs::makedev(facts.stx_dev_major, facts.stx_dev_minor);
        Some((device, facts.stx_ino))
    }

    fn parent(&self, path: &[u8]) -> io::Result<OwnedFd> {
        open_below(self.base.as_fd(), path, DIRECTORY)
    }

    /// The directory `path`, made if an archive forgot it.
    fn parent_made(&self, path: &[u8]) -> io::Result<OwnedFd> {
        match self.parent(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        let mut directory = self.parent(b"")?;
        for part in path.split(|byte| *byte == b'/') {
            match mkdirat(&directory, part, Mode::from_raw_mode(0o755)) {
                Err(Errno::EXIST) | Ok(()) => {}
                Err(error) => return Err(error.into()),
            }
            directory = open_below(directory.as_fd(), part, DIRECTORY)?;
        }
        Ok(directory)
    }

    fn owner(&self, entry: &Entry) -> (Option<Uid>, Option<Gid>) {
        let uid = self.ids.outward(entry.uid).map(Uid::from_raw);
        (uid, self.ids.outward(entry.gid).map(Gid::from_raw))
    }

    /// Makes a directory, or takes the one that is there.
    fn directory(&mut self, parent: &OwnedFd, name: &[u8], entry: &Entry) -> io::Result<()> {
        match mkdirat(parent, name, Mode::from_raw_mode(0o700)) {
            Ok(()) => {}
            Err(Errno::EXIST) => drop(open_below(parent.as_fd(), name, DIRECTORY)?),
            Err(error) => return Err(error.into()),
        }
        self.directories.push(entry.clone());
        Ok(())
    }

    /// Makes a file under the name `temporary`, complete with all it has.
    fn make(
        &mut self,
        parent: BorrowedFd<'_>,
        temporary: &str,
        entry: &Entry,
        content: &mut dyn Read,
    ) -> io::Result<()> {
        let (uid, gid) = self.owner(entry);
        match &entry.kind {
            Kind::Symlink(to) => symlinkat(to.as_slice(), parent, temporary)?,
            Kind::HardLink(first) => {
                let (directory, name) = split(first);
                let directory = self.parent(directory)?;
                linkat(directory, name, parent, temporary, AtFlags::empty())?;
                return Ok(());
            }
            Kind::Fifo => {
                // Nothing sets it later that would not follow a link in its place.
                let before = rustix::process::umask(Mode::empty());
                let mode = Mode::from_raw_mode(entry.mode & 0o777);
                let made = mknodat(parent, temporary, FileType::Fifo, mode, 0);
                rustix::process::umask(before);
                made?;
            }
            Kind::File => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let mut file = File::from(openat(
                    parent,
                    temporary,
                    flags,
                    Mode::from_raw_mode(0o600),
                )?);
                self.fill(&mut file, entry, content)?;
                return self.finish_file(file.as_fd(), entry);
            }
            Kind::Directory | Kind::Device | Kind::Socket => {
                return Err(io::ErrorKind::Unsupported.into());
            }
        }
        chownat(parent, temporary, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        utimensat(parent, temporary, &times(entry), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }

    fn fill(&mut self, file: &mut File, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        let mut length: u64 = 0;
        loop {
            let read = content.read(&mut self.buffer)?;
            let Some(chunk @ [_, ..]) = self.buffer.get(..read) else {
                break;
            };
            if entry.sparse && chunk.iter().all(|byte| *byte == 0) {
                file.seek(SeekFrom::Current(i64::try_from(read).unwrap_or(i64::MAX)))?;
            } else {
                file.write_all(chunk)?;
            }
            length += read as u64;
        }
        if entry.sparse {
            file.set_len(length)?;
        }
        Ok(())
    }

    /// Owner, mode, attributes and times of an open file, in this order: each would undo a later one.
    fn finish_file(&self, file: BorrowedFd<'_>, entry: &Entry) -> io::Result<()> {
        let (uid, gid) = self.owner(entry);
        fchown(file, uid, gid)?;
        fchmod(file, Mode::from_raw_mode(entry.mode))?;
        for (name, value) in &entry.attributes {
            let Some(value) = attributes::outward(name, value, self.ids) else {
                continue;
            };
            match fsetxattr(file, name.as_slice(), &value, XattrFlags::empty()) {
                // A file system without them has none to keep.
                Err(Errno::OPNOTSUPP) | Ok(()) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(futimens(file, &times(entry))?)
    }
}

fn times(entry: &Entry) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: entry.mtime.seconds,
            tv_nsec: entry.mtime.nanoseconds.into(),
        },
    }
}

impl Sink for TreeSink {
    fn put(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        if entry.path.is_empty() {
            // The directory that the user named stays as it is.
            return Ok(());
        }
        let (directory, name) = split(&entry.path);
        let parent = self.parent_made(directory)?;
        if entry.kind == Kind::Directory {
            return self.directory(&parent, name, entry);
        }
        self.made += 1;
        let temporary = format!(".wpar-cp.{}.{}", std::process::id(), self.made);
        let made = self
            .make(parent.as_fd(), &temporary, entry, content)
            .and_then(|()| Ok(renameat(&parent, temporary.as_str(), &parent, name)?));
        // Left over after a failure, and after a rename between two names of one file.
        if made.is_err() || matches!(entry.kind, Kind::HardLink(_)) {
            let _ = unlinkat(&parent, temporary.as_str(), AtFlags::empty());
        }
        made
    }

    fn finish(&mut self) -> Vec<(Vec<u8>, io::Error)> {
        let mut troubles = Vec::new();
        // The innermost first, while those above let us in.
        for entry in std::mem::take(&mut self.directories).into_iter().rev() {
            let finished = open_below(self.base.as_fd(), &entry.path, DIRECTORY)
                .and_then(|directory| self.finish_file(directory.as_fd(), &entry));
            if let Err(error) = finished {
                troubles.push((entry.path, error));
            }
        }
        troubles
    }
}
