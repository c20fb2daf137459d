//! A directory as an AIX backup.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::writer::{Entry, Tail, Writer, pack};

/// What a real archive's clusters are.
const CLUSTER: usize = 51_200;

/// The backup of a directory; with `packed`, every file that gets shorter by it is packed. Second is
/// how many entries it has.
pub(crate) fn backup(directory: &Path, packed: bool) -> io::Result<(Vec<u8>, u64)> {
    let mut backup = Backup {
        writer: Writer::new(),
        packed,
        directories: 0,
        links: HashMap::new(),
        entries: 0,
    };
    backup.directory(directory, b"./")?;
    Ok((backup.writer.finish(Tail::Stale(CLUSTER)), backup.entries))
}

struct Backup {
    writer: Writer,
    packed: bool,
    directories: u32,
    /// Numbers given to files with several names.
    links: HashMap<(u64, u64), u32>,
    entries: u64,
}

impl Backup {
    fn directory(&mut self, path: &Path, name: &[u8]) -> io::Result<()> {
        self.entry(path, name)?;
        let mut below: Vec<_> = fs::read_dir(path)?.collect::<Result<_, _>>()?;
        below.sort_by_key(|entry| entry.file_name());
        for entry in below {
            let mut name = name.to_vec();
            if !name.ends_with(b"/") {
                name.push(b'/');
            }
            name.extend(entry.file_name().as_bytes());
            if entry.file_type()?.is_dir() {
                self.directory(&entry.path(), &name)?;
            } else {
                self.entry(&entry.path(), &name)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, name: &[u8]) -> io::Result<()> {
        let metadata = fs::symlink_metadata(path)?;
        let data = match metadata.file_type() {
            kind if kind.is_file() => fs::read(path)?,
            kind if kind.is_symlink() => fs::read_link(path)?.into_os_string().into_encoded_bytes(),
            _ => Vec::new(),
        };
        if u32::try_from(data.len()).is_err() || name.len() > 1900 {
            return Err(io::Error::other(format!("{} is too long", path.display())));
        }
        let is_shorter = || !data.is_empty() && pack(&data).len() < data.len();
        let directory_mode = if metadata.is_dir() { 0x1_0000 } else { 0 };
        let (device, rdev) = (metadata.dev(), metadata.rdev());
        let numbers = |device| (rustix::fs::major(device), rustix::fs::minor(device));
        let inode = self.number(&metadata);
        self.writer.add(&Entry {
            name,
            mode: metadata.mode() | directory_mode,
            nlink: u16::try_from(metadata.nlink()).unwrap_or(u16::MAX),
            inode,
            uid: metadata.uid(),
            gid: metadata.gid(),
            times: [metadata.atime(), metadata.mtime(), metadata.ctime()].map(|time| time as u32),
            device: numbers(device),
            rdev: numbers(rdev),
            stored: metadata.is_dir().then_some(256),
            packed: self.packed && metadata.is_file() && is_shorter(),
            data: &data,
            ..Entry::default()
        });
        self.entries += 1;
        Ok(())
    }

    fn number(&mut self, metadata: &Metadata) -> u32 {
        if metadata.is_dir() {
            self.directories += 1;
            return u32::MAX - (self.directories - 1);
        }
        if metadata.nlink() < 2 {
            return 0;
        }
        let next = self.links.len() as u32 + 1;
        *self
            .links
            .entry((metadata.dev(), metadata.ino()))
            .or_insert(next)
    }
}
