//! From a request to an answer: the core is called, nothing is decided here.
//!
//! The same rules as in the other adapter (`crate::fuse`): what may be remembered for how long,
//! which operations do not exist. A request lies in the buffer that its answer is taken from, so
//! it is carried out first, giving an [`Outcome`], and told afterwards.

use std::time::Duration;

use rustix::fs::{StatVfs, XattrFlags};
use rustix::io::Errno;

use super::reply;
use super::request::{CopyRange, Header, Operation};
use crate::error::{FsError, FsResult};
use crate::overlay::{AllocateMode, Extent, LookedUp, NewInode, Overlay, RenameMode, whole_if};
use crate::trail::Recorder;
use crate::types::{Attr, Caller, EntryName, FileKind, Ino, Timestamp};

/// Answers requests about one merged tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answerer<'o> {
    pub(super) overlay: &'o Overlay,
    /// How long the kernel may remember names, absences and attributes.
    pub(super) remember: Duration,
    /// Who listens.
    pub(super) recorder: &'o Recorder,
    /// Another daemon may have carried the request out already.
    pub(super) again: bool,
}

/// Where an answer is, and how long it is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Where the payload of the request was.
    InPlace(usize),
    /// In the staging part.
    Staged(usize),
}

/// What is to be told.
enum Outcome<'o> {
    Entry(LookedUp<'o>),
    /// An inode that was made and is open.
    Opened(LookedUp<'o>),
    Absent,
    Attr(Attr),
    Statx(Attr, Option<Timestamp>),
    Bytes(Vec<u8>),
    Count(usize),
    Number(u64),
    Space(Option<StatVfs>),
    Done,
    /// The core is not asked for these.
    Refused(Errno),
    Read {
        offset: u64,
        size: u32,
    },
    List {
        position: u64,
        size: u32,
        with_inodes: bool,
    },
}

impl<'o> Answerer<'o> {
    /// Answers the request of `header`, whose fields are `fields` and whose payload is the first
    /// `length` bytes of `buffer`. An answer is put to `staging` unless the payload has nothing
    /// that would be needed to answer again.
    pub(super) fn answer(
        &self,
        header: &Header,
        fields: &[u8],
        buffer: &mut [u8],
        length: usize,
        staging: &mut [u8],
    ) -> Result<Told, Errno> {
        let payload = buffer.get(..length).ok_or(Errno::IO)?;
        Operation::decode(header.opcode, fields, payload)
            .and_then(|operation| self.carry_out(header, &operation))
            .map_err(FsError::errno)
            .and_then(|outcome| match outcome {
                Outcome::Read { .. } | Outcome::List { .. } => {
                    self.tell(header.node, outcome, buffer).map(Told::InPlace)
                }
                _ => self.tell(header.node, outcome, staging).map(Told::Staged),
            })
    }

    fn carry_out(&self, header: &Header, operation: &Operation<'_>) -> FsResult<Outcome<'o>> {
        let node = header.node;
        let overlay = self.overlay;
        Ok(match *operation {
            Operation::Lookup { name } => match overlay.lookup(node, EntryName::new(name)?)? {
                Some(found) => Outcome::Entry(found),
                None => Outcome::Absent,
            },
            Operation::GetAttr => Outcome::Attr(overlay.attr(node)?),
            Operation::Statx { birth } => {
                let birth = if birth {
                    Some(overlay.birth(node)?)
                } else {
                    None
                };
                Outcome::Statx(overlay.attr(node)?, birth)
            }
            Operation::SetAttr(set) => Outcome::Attr(overlay.set_attr(node, &set)?),
            Operation::ReadLink => Outcome::Bytes(overlay.read_link(node)?),
            Operation::Read { offset, size } => {
                self.recorder.read(node, offset, size.into());
                Outcome::Read { offset, size }
            }
            Operation::ReadDirectory {
                position,
                size,
                with_inodes,
            } => {
                self.recorder.list(node);
                Outcome::List {
                    position,
                    size,
                    with_inodes,
                }
            }
            Operation::Write {
                offset,
                kill_privileges,
                from_cache,
                data,
            } => {
                let written = overlay.write(node, data, offset, kill_privileges)?;
                Outcome::Count(whole_if(from_cache, written, data)?)
            }
            Operation::Space => match overlay.space() {
                Ok(space) => Outcome::Space(Some(space)),
                Err(FsError::ReadOnly) => Outcome::Space(None),
                Err(error) => return Err(error),
            },
            Operation::Sync { data_only } => done(overlay.sync(node, data_only))?,
            Operation::SyncAll => done(overlay.sync_all())?,
            Operation::Allocate {
                offset,
                length,
                mode,
            } => match allocate_mode(mode) {
                Some(mode) => done(overlay.allocate(node, offset, length, mode))?,
                None => return Err(FsError::NotSupported),
            },
            Operation::Seek { offset, whence } => self.seek(node, offset, whence)?,
            Operation::CopyRange(copy) => self.copy(node, &copy)?,
            Operation::Control => Outcome::Refused(Errno::NOTTY),
            Operation::Unknown => Outcome::Refused(Errno::NOSYS),
            Operation::SetXattr { .. }
            | Operation::Xattr { .. }
            | Operation::XattrNames { .. }
            | Operation::RemoveXattr { .. } => self.xattr(header, operation)?,
            _ => self.names(header, operation)?,
        })
    }

    /// The operations that make, move or remove a name.
    fn names(&self, header: &Header, operation: &Operation<'_>) -> FsResult<Outcome<'o>> {
        let parent = header.node;
        let attempt = self.overlay.attempt(header.unique, self.again);
        let make = |name, new: &NewInode<'_>| {
            let name = EntryName::new(name)?;
            attempt.create(parent, name, new).map(Outcome::Entry)
        };
        let new = NewInode {
            kind: FileKind::Symlink,
            permissions: 0o777,
            umask: 0,
            rdev: 0,
            target: b"",
            caller: header.caller,
        };
        match *operation {
            Operation::MakeLink { name, target } => make(name, &NewInode { target, ..new }),
            Operation::MakeNode {
                name,
                mode,
                umask,
                device,
            } => {
                let kind = FileKind::from_mode(mode).unwrap_or(FileKind::Regular);
                let (permissions, umask) = (permissions(mode), permissions(umask));
                make(
                    name,
                    &NewInode {
                        kind,
                        permissions,
                        umask,
                        rdev: device,
                        ..new
                    },
                )
            }
            Operation::MakeDirectory { name, mode, umask } => {
                let kind = FileKind::Directory;
                let (permissions, umask) = (permissions(mode), permissions(umask));
                make(
                    name,
                    &NewInode {
                        kind,
                        permissions,
                        umask,
                        ..new
                    },
                )
            }
            Operation::MakeUnnamed { mode, umask } => {
                let new = NewInode {
                    kind: FileKind::from_mode(mode).unwrap_or(FileKind::Regular),
                    permissions: permissions(mode),
                    umask: permissions(umask),
                    ..new
                };
                let made = self.overlay.create_unnamed(parent, &new)?;
                Ok(Outcome::Opened(made))
            }
            Operation::Link { node, name } => {
                let name = EntryName::new(name)?;
                attempt.link(node, parent, name).map(Outcome::Entry)
            }
            Operation::Unlink { name } => done(attempt.unlink(parent, EntryName::new(name)?)),
            Operation::RemoveDirectory { name } => {
                done(attempt.remove_directory(parent, EntryName::new(name)?))
            }
            Operation::Rename {
                name,
                new_parent,
                new_name,
                flags,
            } => {
                let mode = rename_mode(flags, header.caller).ok_or(FsError::InvalidArgument)?;
                let from = (parent, EntryName::new(name)?);
                let to = (new_parent, EntryName::new(new_name)?);
                done(attempt.rename(from, to, mode))
            }
            _ => Ok(Outcome::Refused(Errno::NOSYS)),
        }
    }

    fn xattr(&self, header: &Header, operation: &Operation<'_>) -> FsResult<Outcome<'o>> {
        let node = header.node;
        let attempt = self.overlay.attempt(header.unique, self.again);
        match *operation {
            Operation::SetXattr { name, value, flags } => {
                let flags = XattrFlags::from_bits_truncate(flags);
                done(attempt.set_xattr(node, name, value, flags))
            }
            Operation::Xattr { name, size } => sized(self.overlay.xattr(node, name)?, size),
            Operation::XattrNames { size } => {
                let mut list = Vec::new();
                for name in self.overlay.xattr_names(node)? {
                    list.extend_from_slice(&name);
                    list.push(0);
                }
                sized(list, size)
            }
            Operation::RemoveXattr { name } => done(attempt.remove_xattr(node, name)),
            _ => Ok(Outcome::Refused(Errno::NOSYS)),
        }
    }

    fn seek(&self, node: Ino, offset: u64, whence: u32) -> FsResult<Outcome<'o>> {
        let extent = match whence.cast_signed() {
            libc::SEEK_DATA => Extent::Data,
            libc::SEEK_HOLE => Extent::Hole,
            _ => return Err(FsError::InvalidArgument),
        };
        // A position is a signed number everywhere else.
        if i64::try_from(offset).is_err() {
            return Err(FsError::InvalidArgument);
        }
        Ok(Outcome::Number(self.overlay.seek(node, offset, extent)?))
    }

    fn copy(&self, node: Ino, copy: &CopyRange) -> FsResult<Outcome<'o>> {
        let from = (node, copy.from_offset);
        let copied = self
            .overlay
            .copy_range(from, (copy.to, copy.to_offset), copy.length)?;
        Ok(if copy.wide {
            Outcome::Number(copied as u64)
        } else {
            Outcome::Count(copied)
        })
    }

    /// Writes an outcome to `buffer`; of reads and listings this is all the work.
    fn tell(&self, node: Ino, outcome: Outcome<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
        let remember = self.remember;
        let told = match outcome {
            Outcome::Entry(entry) => {
                let told = reply::entry(buffer, Some((entry.ino(), entry.attr())), remember);
                if told.is_ok() {
                    entry.hand_over();
                }
                told
            }
            Outcome::Opened(entry) => {
                let told = reply::opened(buffer, (entry.ino(), entry.attr()), remember);
                if told.is_ok() {
                    entry.hand_over();
                }
                told
            }
            Outcome::Absent => reply::entry(buffer, None, remember),
            Outcome::Attr(attr) => reply::attr(buffer, node, &attr, remember),
            Outcome::Statx(attr, birth) => reply::statx(buffer, node, &attr, birth, remember),
            Outcome::Bytes(bytes) => reply::data(buffer, &bytes),
            Outcome::Count(count) => reply::count(buffer, count),
            Outcome::Number(number) => reply::number(buffer, number),
            Outcome::Space(space) => reply::space(buffer, space.as_ref()),
            Outcome::Done => Ok(0),
            Outcome::Refused(errno) => return Err(errno),
            Outcome::Read { offset, size } => {
                let room = first(buffer, size);
                self.overlay.read(node, room, offset)
            }
            Outcome::List {
                position,
                size,
                with_inodes,
            } => {
                let room = first(buffer, size);
                let mut entries = reply::Entries::new(room, with_inodes, remember);
                self.overlay
                    .read_directory(node, position, with_inodes, &mut entries)
                    .map(|()| entries.used())
            }
        };
        told.map_err(FsError::errno)
    }
}

/// The first `size` bytes of `buffer`, or all.
fn first(buffer: &mut [u8], size: u32) -> &mut [u8] {
    let size = buffer.len().min(size as usize);
    buffer.get_mut(..size).unwrap_or(&mut [])
}

fn done<'o>(result: FsResult<()>) -> FsResult<Outcome<'o>> {
    result.map(|()| Outcome::Done)
}

/// A value for a caller whose buffer has `size` bytes; one without a buffer asks for its length.
fn sized<'o>(value: Vec<u8>, size: u32) -> FsResult<Outcome<'o>> {
    match size {
        0 => Ok(Outcome::Count(value.len())),
        _ if value.len() > size as usize => Err(FsError::Range),
        _ => Ok(Outcome::Bytes(value)),
    }
}

/// Permission bits of the kernel's mode.
fn permissions(mode: u32) -> u16 {
    (mode & 0o7777) as u16
}

/// What the flags of `renameat2` ask for, if they make sense together.
pub(super) fn rename_mode(flags: u32, caller: Caller) -> Option<RenameMode> {
    const WHITEOUT: u32 = libc::RENAME_WHITEOUT;
    const WHITEOUT_NOREPLACE: u32 = WHITEOUT | libc::RENAME_NOREPLACE;
    let whiteout = |replace| RenameMode::Whiteout { caller, replace };
    match flags {
        0 => Some(RenameMode::Replace),
        libc::RENAME_NOREPLACE => Some(RenameMode::NoReplace),
        libc::RENAME_EXCHANGE => Some(RenameMode::Exchange),
        WHITEOUT => Some(whiteout(true)),
        WHITEOUT_NOREPLACE => Some(whiteout(false)),
        _ => None,
    }
}

fn allocate_mode(mode: u32) -> Option<AllocateMode> {
    const KEEP_SIZE: i32 = libc::FALLOC_FL_KEEP_SIZE;
    const PUNCH: i32 = libc::FALLOC_FL_PUNCH_HOLE | KEEP_SIZE;
    const ZERO: i32 = libc::FALLOC_FL_ZERO_RANGE;
    const ZERO_KEEP: i32 = ZERO | KEEP_SIZE;
    match mode.cast_signed() {
        0 => Some(AllocateMode::Grow),
        KEEP_SIZE => Some(AllocateMode::KeepSize),
        PUNCH => Some(AllocateMode::PunchHole),
        ZERO => Some(AllocateMode::Zero),
        ZERO_KEEP => Some(AllocateMode::ZeroKeepSize),
        _ => None,
    }
}
