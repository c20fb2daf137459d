//! Files out of an image, into a directory of the host.
//!
//! Nothing outside that directory is ever written: each directory is opened from the one above it
//! without following links, and what stands in the way under a name is replaced, never written
//! through.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{
    self, AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;
use wpar_mountd::error::FsError;
use wpar_mountd::lower::{LowerLayer, LowerNode};
use wpar_mountd::types::{Attr, FileKind, Timestamp};

/// Bytes copied at a time.
const STRETCH: usize = 1 << 20;

/// What was restored.
#[derive(Debug, Default)]
pub struct Restored {
    /// Entries.
    pub entries: u64,
    /// What could not be restored, or not with all its attributes, and why.
    pub troubles: Vec<String>,
}

/// Restores what is in `names` (paths without a leading `/`; everything below a directory), or
/// all if there are none, below `target`. `told` hears of each entry; if it answers false, this
/// ends.
///
/// # Errors
/// Those of the directory itself. What fails for one entry is in [`Restored::troubles`].
pub fn restore(
    layer: &dyn LowerLayer,
    target: &Path,
    names: &[Vec<u8>],
    told: &mut dyn FnMut(&[u8], &Attr) -> bool,
) -> io::Result<Restored> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut job = Job {
        layer,
        names,
        told,
        linked: HashMap::new(),
        root: fs::open(target, flags, Mode::empty())?,
        done: Restored::default(),
        stopped: false,
    };
    let root = job.root.try_clone()?;
    job.directory(LowerNode::ROOT, &mut Vec::new(), Place::Open(root.as_fd()));
    Ok(job.done)
}

/// Where the directory of the image is on the host.
#[derive(Clone, Copy)]
enum Place<'f> {
    /// It is open.
    Open(BorrowedFd<'f>),
    /// Nothing of it was wanted so far.
    Unneeded,
}

struct Job<'j> {
    layer: &'j dyn LowerLayer,
    names: &'j [Vec<u8>],
    told: &'j mut dyn FnMut(&[u8], &Attr) -> bool,
    /// First restored names of inodes with several.
    linked: HashMap<LowerNode, Vec<u8>>,
    root: OwnedFd,
    done: Restored,
    stopped: bool,
}

/// How a path stands to the names that are wanted.
#[derive(PartialEq, Eq)]
enum Wanted {
    Yes,
    /// Something below it may be.
    Above,
    No,
}

impl Job<'_> {
    fn wanted(&self, path: &[u8]) -> Wanted {
        if self.names.is_empty() {
            return Wanted::Yes;
        }
        let below = |inner: &[u8], outer: &[u8]| {
            outer.is_empty()
                || inner == outer
                || (inner.starts_with(outer) && inner.get(outer.len()) == Some(&b'/'))
        };
        if self.names.iter().any(|name| below(path, name)) {
            Wanted::Yes
        } else if self.names.iter().any(|name| below(name, path)) {
            Wanted::Above
        } else {
            Wanted::No
        }
    }

    fn trouble(&mut self, path: &[u8], error: impl Into<io::Error>) {
        let why = error.into().to_string();
        let why = why
            .split(" (os error")
            .next()
            .unwrap_or_default()
            .to_lowercase();
        self.done
            .troubles
            .push(format!("./{}: {why}", path.escape_ascii()));
    }

    fn directory(&mut self, node: LowerNode, path: &mut Vec<u8>, place: Place<'_>) {
        let mut entries = Vec::new();
        let listed = self.layer.entries(node, &mut |entry| {
            entries.push((entry.name.to_vec(), entry.node));
        });
        if let Err(error) = listed {
            return self.trouble(path, error.errno());
        }
        for (name, node) in entries {
            if self.stopped {
                return;
            }
            let length = path.len();
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            self.entry(&name, node, path, place);
            path.truncate(length);
        }
    }

    fn entry(&mut self, name: &[u8], node: LowerNode, path: &mut Vec<u8>, place: Place<'_>) {
        let wanted = self.wanted(path);
        if wanted == Wanted::No {
            return;
        }
        let attr = match self.layer.attr(node) {
            Ok(attr) => attr,
            Err(error) => return self.trouble(path, error.errno()),
        };
        if wanted == Wanted::Yes {
            self.done.entries += 1;
            if !(self.told)(path, &attr) {
                self.stopped = true;
                return;
            }
        }
        if attr.kind == FileKind::Directory {
            return self.enter(name, node, &attr, path, place, wanted);
        }
        if wanted != Wanted::Yes {
            return;
        }
        let opened;
        let parent = match place {
            Place::Open(parent) => parent,
            Place::Unneeded => match self.parents(path) {
                Ok(parent) => {
                    opened = parent;
                    opened.as_fd()
                }
                Err(error) => return self.trouble(path, error),
            },
        };
        if let Err(error) = self.make(parent, name, node, &attr, path) {
            self.trouble(path, error);
        }
    }

    fn enter(
        &mut self,
        name: &[u8],
        node: LowerNode,
        attr: &Attr,
        path: &mut Vec<u8>,
        place: Place<'_>,
        wanted: Wanted,
    ) {
        if wanted != Wanted::Yes {
            return self.directory(node, path, Place::Unneeded);
        }
        let made = match place {
            Place::Open(parent) => make_directory(parent, name),
            Place::Unneeded => self
                .parents(path)
                .and_then(|parent| make_directory(parent.as_fd(), name)),
        };
        let directory = match made {
            Ok(directory) => directory,
            Err(error) => return self.trouble(path, error),
        };
        self.directory(node, path, Place::Open(directory.as_fd()));
        // Last, so that neither its time nor its permissions are in the way of what it holds.
        if let Err(error) = self.attributes(directory.as_fd(), node, attr) {
            self.trouble(path, error);
        }
    }

    /// The directory that `path` is in, made as far as it is missing.
    fn parents(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let parent = match path.iter().rposition(|byte| *byte == b'/') {
            Some(at) => path.get(..at).unwrap_or_default(),
            None => &[],
        };
        let names = parent
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty());
        let root = rustix::io::fcntl_dupfd_cloexec(&self.root, 0)?;
        names
            .into_iter()
            .try_fold(root, |above, name| make_directory(above.as_fd(), name))
    }

    fn make(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        node: LowerNode,
        attr: &Attr,
        path: &[u8],
    ) -> io::Result<()> {
        match fs::unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        if attr.nlink > 1 {
            if let Some(first) = self.linked.get(&node) {
                let above = self.parents(first)?;
                let last = first
                    .rsplit(|byte| *byte == b'/')
                    .next()
                    .unwrap_or_default();
                return Ok(fs::linkat(above, last, parent, name, AtFlags::empty())?);
            }
            self.linked.insert(node, path.to_vec());
        }
        match attr.kind {
            FileKind::Regular => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
                let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?;
                self.contents(&File::from(file.try_clone()?), node, attr.size)?;
                self.attributes(file.as_fd(), node, attr)
            }
            FileKind::Symlink => {
                let target = self.layer.read_link(node).map_err(plain)?;
                fs::symlinkat(target, parent, name)?;
                self.by_name(parent, name, node, attr)
            }
            kind => {
                let kind = match kind {
                    FileKind::CharDevice => FileType::CharacterDevice,
                    FileKind::BlockDevice => FileType::BlockDevice,
                    _ => FileType::Fifo,
                };
                let (major, minor) = (
                    (attr.rdev >> 8) & 0xfff,
                    (attr.rdev & 0xff) | ((attr.rdev >> 12) & 0xf_ff00),
                );
                let mode = Mode::from_raw_mode(u32::from(attr.permissions));
                fs::mknodat(parent, name, kind, mode, fs::makedev(major, minor))?;
                self.by_name(parent, name, node, attr)
            }
        }
    }

    fn contents(&self, file: &File, node: LowerNode, size: u64) -> io::Result<()> {
        let from = self.layer.open(node).map_err(plain)?;
        let mut buffer = vec![0; STRETCH.min(usize::try_from(size).unwrap_or(STRETCH))];
        let mut at = 0;
        while let Some((start, end)) = from.next_data(at).map_err(plain)? {
            let mut offset = start;
            while offset < end.min(size) {
                let length = (end.min(size) - offset).min(STRETCH as u64) as usize;
                let room = buffer.get_mut(..length).unwrap_or_default();
                let count = from.read_at(room, offset).map_err(plain)?;
                if count == 0 {
                    break;
                }
                file.write_all_at(room.get(..count).unwrap_or_default(), offset)?;
                offset += count as u64;
            }
            if end <= at || end >= size {
                break;
            }
            at = end;
        }
        file.set_len(size)
    }

    /// Owner, permissions, extended attributes, times of an open object, in this order: each may
    /// undo what comes before.
    fn attributes(&self, object: BorrowedFd<'_>, node: LowerNode, attr: &Attr) -> io::Result<()> {
        fs::fchown(
            object,
            Some(Uid::from_raw(attr.uid)),
            Some(Gid::from_raw(attr.gid)),
        )?;
        fs::fchmod(object, Mode::from_raw_mode(u32::from(attr.permissions)))?;
        for name in self.layer.xattr_names(node).map_err(plain)? {
            if let Some(value) = self.layer.xattr(node, &name).map_err(plain)? {
                fs::fsetxattr(object, name.as_slice(), &value, XattrFlags::empty())?;
            }
        }
        Ok(fs::futimens(object, &times(attr))?)
    }

    /// The same for what cannot be opened.
    fn by_name(
        &self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        node: LowerNode,
        attr: &Attr,
    ) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(attr.uid), Gid::from_raw(attr.gid));
        fs::chownat(
            parent,
            name,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let held = fs::openat(parent, name, flags, Mode::empty())?;
        let own = format!("/proc/self/fd/{}", held.as_raw_fd());
        if attr.kind != FileKind::Symlink {
            fs::chmodat(
                rustix::fs::CWD,
                own.as_str(),
                Mode::from_raw_mode(u32::from(attr.permissions)),
                AtFlags::empty(),
            )?;
        }
        for name in self.layer.xattr_names(node).map_err(plain)? {
            if let Some(value) = self.layer.xattr(node, &name).map_err(plain)? {
                fs::setxattr(own.as_str(), name.as_slice(), &value, XattrFlags::empty())?;
            }
        }
        Ok(fs::utimensat(
            parent,
            name,
            &times(attr),
            AtFlags::SYMLINK_NOFOLLOW,
        )?)
    }
}

/// Opens a directory, which is made if there is none.
fn make_directory(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    match fs::mkdirat(parent, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(parent, name, flags, Mode::empty())
}

fn times(attr: &Attr) -> Timestamps {
    let time = |time: Timestamp| Timespec {
        tv_sec: time.seconds,
        tv_nsec: i64::from(time.nanoseconds),
    };
    Timestamps {
        last_access: time(attr.atime),
        last_modification: time(attr.mtime),
    }
}

fn plain(error: FsError) -> io::Error {
    io::Error::from(error.errno())
}
