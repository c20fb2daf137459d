//! A tree of the running system, read by descriptors: no path is resolved twice, no link followed.
//!
//! A directory is opened from the one above it (`openat(2)` with `O_NOFOLLOW`), so whoever renames
//! things meanwhile can make names appear twice or not at all, but never lead out of the tree. Of
//! other mounts only those that the caller named are entered, and of those that might not answer
//! nothing is asked.

mod file;
mod stat;
mod xattr;

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, Mode, OFlags, Statx};
use rustix::io::Errno;
use wpar_mountd::lower::host::attr::{attr_of, unknown_directory};
use wpar_mountd::lower::tar::save::SaveError;
use wpar_mountd::types::FileKind;

use self::file::HostFile;
use self::stat::{STAT_FLAGS, STAT_MASK, identity, stat};
use self::xattr::collect;
use super::tree::{Found, ROOT, Verdict, Visitor, Xattrs, with_name};

/// Deepest directory that is entered: an index takes no deeper ones, and each is a descriptor.
const DEPTH_LIMIT: usize = 900;

/// A tree of this host.
#[derive(Debug)]
pub struct HostTree {
    root: OwnedFd,
    /// Mount points that are entered.
    members: HashSet<Vec<u8>>,
    /// Mount points whose file systems may not answer.
    silent: HashSet<Vec<u8>>,
    xattrs: bool,
}

impl HostTree {
    /// Opens the tree below `root`. `members` and `silent` are mount points as paths of the host.
    ///
    /// # Errors
    /// Those of opening the root.
    pub fn open(
        root: &Path,
        members: impl IntoIterator<Item = PathBuf>,
        silent: impl IntoIterator<Item = PathBuf>,
        xattrs: bool,
    ) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = fs::open(root, flags, Mode::empty())?;
        let inner = |point: PathBuf| {
            let below = point.strip_prefix(root).ok()?.as_os_str().as_bytes();
            Some([ROOT, below].concat())
        };
        Ok(Self {
            root: opened,
            members: members.into_iter().filter_map(inner).collect(),
            silent: silent.into_iter().filter_map(inner).collect(),
            xattrs,
        })
    }

    /// Shows all of it to `visitor`.
    ///
    /// # Errors
    /// Those of the visitor. What cannot be read is told to it.
    pub fn walk(&self, visitor: &mut dyn Visitor) -> Result<(), SaveError> {
        let mut path = ROOT.to_vec();
        match open_directory(self.root.as_fd(), b".") {
            Ok(root) => self.directory(root, &mut path, 0, Verdict::Take, visitor),
            Err(error) => {
                visitor.trouble(&path, &error.into());
                Ok(())
            }
        }
    }

    /// Shows an open directory, and what is in it.
    fn directory(
        &self,
        directory: OwnedFd,
        path: &mut Vec<u8>,
        depth: usize,
        verdict: Verdict,
        visitor: &mut dyn Visitor,
    ) -> Result<(), SaveError> {
        let (stat, xattrs) = match self.look_at(directory.as_fd()) {
            Ok(found) => found,
            Err(error) => {
                visitor.trouble(path, &error.into());
                return Ok(());
            }
        };
        show(path, &stat, &[], &xattrs, visitor)?;
        if verdict != Verdict::Take {
            return Ok(());
        }
        if depth >= DEPTH_LIMIT {
            visitor.trouble(
                path,
                &io::Error::other("too many directories inside each other"),
            );
            return Ok(());
        }
        let names = match names(directory.as_fd()) {
            Ok(names) => names,
            Err(error) => {
                visitor.trouble(path, &error.into());
                return Ok(());
            }
        };
        for name in names {
            with_name(path, &name, |path| {
                self.entry(
                    directory.as_fd(),
                    stat.stx_mnt_id,
                    &name,
                    path,
                    depth,
                    visitor,
                )
            })?;
        }
        Ok(())
    }

    fn entry(
        &self,
        parent: BorrowedFd<'_>,
        mount: u64,
        name: &[u8],
        path: &mut Vec<u8>,
        depth: usize,
        visitor: &mut dyn Visitor,
    ) -> Result<(), SaveError> {
        let verdict = visitor.verdict(path);
        if verdict == Verdict::Leave {
            return Ok(());
        }
        if self.silent.contains(path.as_slice()) {
            let found = Found {
                path,
                attr: &unknown_directory(),
                identity: (0, 0),
                target: &[],
                xattrs: &[],
            };
            return visitor.object(&found);
        }
        let stat = match fs::statx(parent, name, STAT_FLAGS, STAT_MASK) {
            Ok(stat) => stat,
            Err(error) => {
                visitor.trouble(path, &error.into());
                return Ok(());
            }
        };
        let shown = match FileKind::from_mode(u32::from(stat.stx_mode)) {
            Some(FileKind::Directory) => match open_directory(parent, name) {
                Ok(inner) => {
                    let entered =
                        stat.stx_mnt_id == mount || self.members.contains(path.as_slice());
                    let verdict = if entered { verdict } else { Verdict::Empty };
                    return self.directory(inner, path, depth + 1, verdict, visitor);
                }
                Err(error) => Err(error),
            },
            Some(FileKind::Regular) => match self.open_file(parent, name) {
                Ok(mut file) => return file.show(path, visitor),
                Err(error) => Err(error),
            },
            _ => self.special(parent, name),
        };
        match shown {
            Ok((stat, target, xattrs)) => show(path, &stat, &target, &xattrs, visitor),
            Err(error) => {
                visitor.trouble(path, &error.into());
                Ok(())
            }
        }
    }

    /// A link, device, pipe or socket, held by a descriptor that does not open it.
    fn special(
        &self,
        parent: BorrowedFd<'_>,
        name: &[u8],
    ) -> Result<(Statx, Vec<u8>, Xattrs), Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let object = fs::openat(parent, name, flags, Mode::empty())?;
        let stat = stat(object.as_fd())?;
        let target = match FileKind::from_mode(u32::from(stat.stx_mode)) {
            Some(FileKind::Symlink) => fs::readlinkat(&object, "", Vec::new())?.into_bytes(),
            _ => Vec::new(),
        };
        // By path: fgetxattr(2) refuses a descriptor that does not open its object.
        let own = format!("/proc/self/fd/{}", object.as_raw_fd());
        let xattrs = if self.xattrs {
            collect(
                |buffer| fs::listxattr(own.as_str(), buffer),
                |name, buffer| fs::getxattr(own.as_str(), name, buffer),
            )
        } else {
            Ok(Xattrs::new())
        };
        Ok((stat, target, xattrs?))
    }

    fn open_file(&self, parent: BorrowedFd<'_>, name: &[u8]) -> Result<HostFile, Errno> {
        // Not blocking: it may have become a pipe since it was looked at.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let opened = match fs::openat(parent, name, flags | OFlags::NOATIME, Mode::empty()) {
            Err(Errno::PERM) => fs::openat(parent, name, flags, Mode::empty()),
            opened => opened,
        }?;
        let (stat, xattrs) = self.look_at(opened.as_fd())?;
        if FileKind::from_mode(u32::from(stat.stx_mode)) != Some(FileKind::Regular) {
            // It was replaced in between: as good as gone.
            return Err(Errno::NOENT);
        }
        Ok(HostFile {
            file: opened.into(),
            stat,
            xattrs,
        })
    }

    fn look_at(&self, object: BorrowedFd<'_>) -> Result<(Statx, Xattrs), Errno> {
        let stat = stat(object)?;
        if !self.xattrs {
            return Ok((stat, Xattrs::new()));
        }
        let xattrs = collect(
            |buffer| fs::flistxattr(object, buffer),
            |name, buffer| fs::fgetxattr(object, name, buffer),
        )?;
        Ok((stat, xattrs))
    }
}

fn open_directory(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match fs::openat(parent, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => fs::openat(parent, name, flags, Mode::empty()),
        opened => opened,
    }
}

/// The names in a directory, sorted: two backups of one tree have one order.
fn names(directory: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in fs::Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn show(
    path: &[u8],
    stat: &Statx,
    target: &[u8],
    xattrs: &[(Vec<u8>, Vec<u8>)],
    visitor: &mut dyn Visitor,
) -> Result<(), SaveError> {
    let Ok(attr) = attr_of(stat) else {
        visitor.trouble(path, &io::Error::other("its type is not known"));
        return Ok(());
    };
    visitor.object(&Found {
        path,
        attr: &attr,
        identity: identity(stat),
        target,
        xattrs,
    })
}
