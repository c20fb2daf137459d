//! Entries from a tree of files that may change meanwhile, by somebody who may mean harm.
//!
//! Each file is opened by its path below the directory that is copied, no link followed, and then
//! asked through that descriptor alone: what it is, what it holds.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, StatxFlags, fstatfs, getxattr, listxattr, open, openat,
    readlinkat, statx,
};

use super::attributes;
use super::entry::{Entry, Kind, LONGEST_PATH, Time, joined};
use super::ids::NOBODY;
use super::place::{Located, name_below};
use super::transfer::{CopyError, Receiver, Source};

/// The most that is taken of a file that tells no size, as those of /proc.
const LONGEST_UNSIZED: u64 = 4 * 1024 * 1024;
/// The longest value of an extended attribute and list of them, by Linux.
const LONGEST_ATTRIBUTE: usize = 64 * 1024;

/// Types of file systems that show the kernel and not files (`linux/magic.h`).
const KERNELS: [u32; 8] = [
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x6367_7270, // cgroup2
    0x0027_e0eb, // cgroup
    0x1cd1,      // devpts
    0x1980_0202, // mqueue
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
];

/// A file, or a directory with all that is below it.
#[derive(Debug)]
pub(crate) struct TreeSource {
    from: Located,
    /// Path of the copy; empty if contents of a directory are copied.
    top: Vec<u8>,
    /// Directory that is left out: the one that is copied to.
    avoid: Option<(u64, u64)>,
}

impl TreeSource {
    /// What is at `from`, to go under the name `top`. The directory with this device and inode is
    /// left out.
    pub(crate) fn new(from: Located, top: &[u8], avoid: Option<(u64, u64)>) -> Self {
        Self {
            from,
            top: top.to_vec(),
            avoid,
        }
    }
}

/// A directory that is being read.
struct Level {
    /// Its path below the directory of the source.
    from: Vec<u8>,
    /// Path of its copy.
    to: Vec<u8>,
    names: std::vec::IntoIter<Vec<u8>>,
    device: u64,
}

/// A file that was opened to be looked at.
struct Found {
    file: OwnedFd,
    entry: Entry,
    device: u64,
    identity: Option<(u64, u64)>,
}

impl Source for TreeSource {
    fn feed(&mut self, receiver: &mut dyn Receiver) -> Result<(), CopyError> {
        let mut links = HashMap::new();
        let mut levels: Vec<Level> = Vec::new();
        let (first, top) = (self.from.path(b""), self.top.clone());
        if let Some(level) = self.visit(first, top, None, &mut links, receiver)? {
            levels.push(level);
        }
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.names.next() else {
                levels.pop();
                continue;
            };
            let (from, to) = (joined(&level.from, &name), joined(&level.to, &name));
            let device = Some(level.device);
            if let Some(level) = self.visit(from, to, device, &mut links, receiver)? {
                levels.push(level);
            }
        }
        Ok(())
    }
}

impl TreeSource {
    /// Hands one file over; its names, if it is a directory to enter.
    fn visit(
        &self,
        from: Vec<u8>,
        to: Vec<u8>,
        above: Option<u64>,
        links: &mut HashMap<(u64, u64), Vec<u8>>,
        receiver: &mut dyn Receiver,
    ) -> Result<Option<Level>, CopyError> {
        if from.len().max(to.len()) > LONGEST_PATH {
            let error = io::Error::from_raw_os_error(libc::ENAMETOOLONG);
            return receiver.trouble(&to, &error).map(|()| None);
        }
        let mut found = match self.look(&from, &to) {
            Ok(found) => found,
            // It was there when the directory was read.
            Err(error) if above.is_some() && error.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => return receiver.trouble(&to, &error).map(|()| None),
        };
        if let Some(identity) = found.identity {
            if let Some(path) = links.get(&identity) {
                found.entry.kind = Kind::HardLink(path.clone());
                found.entry.size = 0;
            } else {
                links.insert(identity, to.clone());
            }
        }
        match found.entry.kind {
            Kind::Directory => self.enter(found, from, to, above, receiver),
            Kind::File => {
                let (entry, mut content) = match opened(&found.file, found.entry) {
                    Ok(opened) => opened,
                    Err(error) => return receiver.trouble(&to, &error).map(|()| None),
                };
                receiver.take(entry, &mut content).map(|()| None)
            }
            _ => receiver.take(found.entry, &mut io::empty()).map(|()| None),
        }
    }

    fn enter(
        &self,
        found: Found,
        from: Vec<u8>,
        to: Vec<u8>,
        above: Option<u64>,
        receiver: &mut dyn Receiver,
    ) -> Result<Option<Level>, CopyError> {
        let Found {
            file,
            entry,
            device,
            ..
        } = found;
        let here = statx(&file, "", AtFlags::EMPTY_PATH, StatxFlags::INO);
        if self.avoid.is_some() && here.ok().map(|here| (device, here.stx_ino)) == self.avoid {
            if above.is_none() {
                let error = io::Error::other("it is the directory that is copied to");
                return receiver.trouble(&to, &error).map(|()| None);
            }
            receiver.remark(&to, "the directory that is copied to is left out");
            return Ok(None);
        }
        receiver.take(entry, &mut io::empty())?;
        if above.is_some_and(|above| above != device)
            && fstatfs(&file).is_ok_and(|facts| KERNELS.contains(&low_word(facts.f_type)))
        {
            receiver.remark(&to, "what the kernel shows there is not copied");
            return Ok(None);
        }
        match names(&file) {
            Ok(names) => Ok(Some(Level {
                from,
                to,
                names: names.into_iter(),
                device,
            })),
            Err(error) => receiver.trouble(&to, &error).map(|()| None),
        }
    }

    /// Opens and describes the file at `from`.
    fn look(&self, from: &[u8], to: &[u8]) -> io::Result<Found> {
        let file = match from {
            b"" => self.from.directory.try_clone()?,
            from => name_below(self.from.directory.as_fd(), from)?,
        };
        let wanted = StatxFlags::BASIC_STATS;
        let facts = statx(&file, "", AtFlags::EMPTY_PATH, wanted)?;
        let kind = match FileType::from_raw_mode(facts.stx_mode.into()) {
            FileType::Directory => Kind::Directory,
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Symlink(readlinkat(&file, "", Vec::new())?.into_bytes()),
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
            _ => Kind::Device,
        };
        let device = rustix::fs::makedev(facts.stx_dev_major, facts.stx_dev_minor);
        // What is not copied can have no other name there.
        let linked =
            facts.stx_nlink > 1 && !matches!(kind, Kind::Directory | Kind::Device | Kind::Socket);
        let attributes = match kind {
            Kind::File | Kind::Directory => self.attributes(&file)?,
            _ => Vec::new(),
        };
        let ids = self.from.ids;
        Ok(Found {
            entry: Entry {
                path: to.to_vec(),
                mode: u32::from(facts.stx_mode) & 0o7777,
                uid: ids.inward(facts.stx_uid).unwrap_or(NOBODY),
                gid: ids.inward(facts.stx_gid).unwrap_or(NOBODY),
                mtime: Time {
                    seconds: facts.stx_mtime.tv_sec,
                    nanoseconds: facts.stx_mtime.tv_nsec,
                },
                attributes,
                size: if kind == Kind::File {
                    facts.stx_size
                } else {
                    0
                },
                sparse: facts.stx_blocks.saturating_mul(512) < facts.stx_size,
                kind,
            },
            file,
            device,
            identity: linked.then_some((device, facts.stx_ino)),
        })
    }

    fn attributes(&self, file: &OwnedFd) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let path = own_path(file);
        let mut buffer = vec![0; LONGEST_ATTRIBUTE];
        let length = match listxattr(&path, buffer.as_mut_slice()) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => 0,
            length => length?,
        };
        let list = buffer.get(..length).unwrap_or_default().to_vec();
        let mut found = Vec::new();
        for name in list
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
        {
            // One that is gone by now, or that is not for us to read, is none.
            let Ok(length) = getxattr(&path, name, buffer.as_mut_slice()) else {
                continue;
            };
            let value = buffer.get(..length).unwrap_or_default();
            if let Some(value) = attributes::inward(name, value, self.from.ids) {
                found.push((name.to_vec(), value));
            }
        }
        Ok(found)
    }
}

/// The lower half of what a kernel says as a word of its own size.
fn low_word(value: impl TryInto<u64>) -> u32 {
    (value.try_into().unwrap_or(0) & u64::from(u32::MAX)) as u32
}

/// The path by which this process opens again what it has open.
fn own_path(file: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// The contents of a file that is known to be a regular one.
fn opened(file: &OwnedFd, mut entry: Entry) -> io::Result<(Entry, Box<dyn Read>)> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let mut content = File::from(open(own_path(file), flags, Mode::empty())?);
    if entry.size > 0 {
        let size = entry.size;
        return Ok((entry, Box::new(content.take(size))));
    }
    let mut bytes = Vec::new();
    (&mut content)
        .take(LONGEST_UNSIZED + 1)
        .read_to_end(&mut bytes)?;
    entry.size = bytes.len() as u64;
    if entry.size > LONGEST_UNSIZED {
        return Err(io::Error::other("it tells no size and has no end"));
    }
    Ok((entry, Box::new(Cursor::new(bytes))))
}

/// The names in a directory, in the order of their bytes.
fn names(directory: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let readable = openat(directory, ".", flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::read_from(readable)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}
