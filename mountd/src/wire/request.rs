//! What the kernel asks: header, fields of the operation and payload, made into one value.
//!
//! Pure, and safe against anything: what is too short, or says what cannot be, is an error
//! (`EIO` to whoever waits), never a panic.

use super::abi::{
    FSYNC_DATA_ONLY, Fields, STATX_BIRTH, WRITE_CACHE, WRITE_KILL_SUIDGID, opcode, valid,
};
use crate::error::{FsError, FsResult};
use crate::overlay::{SetAttr, SetTime};
use crate::types::{Caller, Ino, Timestamp};

const NANOSECONDS: u32 = 1_000_000_000;

/// The header that all requests have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// What is asked for.
    pub(super) opcode: u32,
    /// Number of the request.
    pub(super) unique: u64,
    /// The inode that it is about; for names, their directory.
    pub(super) node: Ino,
    /// Who asks. On an id-mapped mount only right where something is made.
    pub(super) caller: Caller,
}

impl Header {
    /// Reads `struct fuse_in_header`.
    pub(super) fn decode(bytes: &[u8]) -> FsResult<Self> {
        let mut fields = Fields::new(bytes);
        let _length = fields.u32()?;
        let opcode = fields.u32()?;
        let unique = fields.u64()?;
        let node = Ino(fields.u64()?);
        let caller = Caller {
            uid: fields.u32()?,
            gid: fields.u32()?,
        };
        let _process_and_padding = fields.u64()?;
        Ok(Self {
            opcode,
            unique,
            node,
            caller,
        })
    }
}

/// One request. Names are as the kernel sent them, not yet checked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operation<'a> {
    Lookup {
        name: &'a [u8],
    },
    GetAttr,
    Statx {
        birth: bool,
    },
    SetAttr(SetAttr),
    ReadLink,
    MakeLink {
        name: &'a [u8],
        target: &'a [u8],
    },
    MakeNode {
        name: &'a [u8],
        mode: u32,
        umask: u32,
        device: u32,
    },
    MakeDirectory {
        name: &'a [u8],
        mode: u32,
        umask: u32,
    },
    MakeUnnamed {
        mode: u32,
        umask: u32,
    },
    Unlink {
        name: &'a [u8],
    },
    RemoveDirectory {
        name: &'a [u8],
    },
    Rename {
        name: &'a [u8],
        new_parent: Ino,
        new_name: &'a [u8],
        flags: u32,
    },
    Link {
        node: Ino,
        name: &'a [u8],
    },
    Read {
        offset: u64,
        size: u32,
    },
    Write {
        offset: u64,
        kill_privileges: bool,
        from_cache: bool,
        data: &'a [u8],
    },
    Space,
    Sync {
        data_only: bool,
    },
    SyncAll,
    SetXattr {
        name: &'a [u8],
        value: &'a [u8],
        flags: u32,
    },
    Xattr {
        name: &'a [u8],
        size: u32,
    },
    XattrNames {
        size: u32,
    },
    RemoveXattr {
        name: &'a [u8],
    },
    ReadDirectory {
        position: u64,
        size: u32,
        with_inodes: bool,
    },
    Allocate {
        offset: u64,
        length: u64,
        mode: u32,
    },
    Seek {
        offset: u64,
        whence: u32,
    },
    CopyRange(CopyRange),
    /// Device controls: there are none on files.
    Control,
    /// What nobody here knows, or what is refused once so that it is never asked again.
    Unknown,
}

/// A copy from the header's inode to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CopyRange {
    pub(super) from_offset: u64,
    pub(super) to: Ino,
    pub(super) to_offset: u64,
    pub(super) length: u64,
    /// The answer is a 64-bit count.
    pub(super) wide: bool,
}

impl<'a> Operation<'a> {
    /// Reads the `fields` of operation `code`, and its `payload`.
    ///
    /// # Errors
    /// `Damaged` for a message that is too short or holds impossible values.
    pub(super) fn decode(code: u32, fields: &'a [u8], payload: &'a [u8]) -> FsResult<Self> {
        let mut fields = Fields::new(fields);
        let mut payload = Fields::new(payload);
        Ok(match code {
            opcode::LOOKUP => Self::Lookup {
                name: payload.name()?,
            },
            opcode::GETATTR => Self::GetAttr,
            opcode::STATX => {
                fields.skip(20)?;
                let mask = fields.u32()?;
                Self::Statx {
                    birth: mask & STATX_BIRTH != 0,
                }
            }
            opcode::SETATTR => Self::SetAttr(set_attr(fields)?),
            opcode::READLINK => Self::ReadLink,
            opcode::READ => read(fields)?,
            opcode::READDIR => read_directory(fields, false)?,
            opcode::READDIRPLUS => read_directory(fields, true)?,
            opcode::WRITE => write(fields, payload)?,
            opcode::STATFS => Self::Space,
            opcode::FSYNC | opcode::FSYNCDIR => {
                fields.skip(8)?;
                Self::Sync {
                    data_only: fields.u32()? & FSYNC_DATA_ONLY != 0,
                }
            }
            opcode::SYNCFS => Self::SyncAll,
            opcode::FALLOCATE => {
                fields.skip(8)?;
                Self::Allocate {
                    offset: fields.u64()?,
                    length: fields.u64()?,
                    mode: fields.u32()?,
                }
            }
            opcode::LSEEK => {
                fields.skip(8)?;
                Self::Seek {
                    offset: fields.u64()?,
                    whence: fields.u32()?,
                }
            }
            opcode::COPY_FILE_RANGE => copy_range(fields, false)?,
            opcode::COPY_FILE_RANGE_64 => copy_range(fields, true)?,
            opcode::IOCTL => Self::Control,
            opcode::SETXATTR | opcode::GETXATTR | opcode::LISTXATTR | opcode::REMOVEXATTR => {
                xattr(code, fields, payload)?
            }
            _ => return names(code, fields, payload),
        })
    }
}

/// The operations that make, move or remove a name.
fn names<'a>(
    code: u32,
    mut fields: Fields<'a>,
    mut payload: Fields<'a>,
) -> FsResult<Operation<'a>> {
    Ok(match code {
        opcode::SYMLINK => Operation::MakeLink {
            name: payload.name()?,
            target: payload.name()?,
        },
        opcode::MKNOD => {
            let (mode, device, umask) = (fields.u32()?, fields.u32()?, fields.u32()?);
            Operation::MakeNode {
                name: payload.name()?,
                mode,
                umask,
                device,
            }
        }
        opcode::MKDIR => {
            let (mode, umask) = (fields.u32()?, fields.u32()?);
            Operation::MakeDirectory {
                name: payload.name()?,
                mode,
                umask,
            }
        }
        // `struct fuse_create_in`. There is a payload, a name that nobody will ever see.
        opcode::TMPFILE => {
            let _open_flags = fields.u32()?;
            let (mode, umask) = (fields.u32()?, fields.u32()?);
            fields.skip(4)?;
            Operation::MakeUnnamed { mode, umask }
        }
        opcode::UNLINK => Operation::Unlink {
            name: payload.name()?,
        },
        opcode::RMDIR => Operation::RemoveDirectory {
            name: payload.name()?,
        },
        opcode::RENAME | opcode::RENAME2 => {
            let new_parent = Ino(fields.u64()?);
            let flags = if code == opcode::RENAME2 {
                fields.u32()?
            } else {
                0
            };
            let (name, new_name) = (payload.name()?, payload.name()?);
            Operation::Rename {
                name,
                new_parent,
                new_name,
                flags,
            }
        }
        opcode::LINK => Operation::Link {
            node: Ino(fields.u64()?),
            name: payload.name()?,
        },
        _ => Operation::Unknown,
    })
}

fn set_attr(mut fields: Fields<'_>) -> FsResult<SetAttr> {
    let present = fields.u32()?;
    let has = |flag: u32| present & flag != 0;
    fields.skip(12)?;
    let size = fields.u64()?;
    fields.skip(8)?;
    let (atime, mtime, _ctime) = (fields.u64()?, fields.u64()?, fields.u64()?);
    let (atime_nanoseconds, mtime_nanoseconds) = (fields.u32()?, fields.u32()?);
    fields.skip(4)?;
    let mode = fields.u32()?;
    fields.skip(4)?;
    let (uid, gid) = (fields.u32()?, fields.u32()?);
    fields.skip(4)?;
    let time = |set: u32, now: u32, seconds: u64, nanoseconds: u32| match (has(set), has(now)) {
        (false, _) => Ok(None),
        (true, true) => Ok(Some(SetTime::Now)),
        // More would be a special value to the host's kernel.
        (true, false) if nanoseconds >= NANOSECONDS => Err(FsError::InvalidArgument),
        (true, false) => Ok(Some(SetTime::To(Timestamp {
            seconds: seconds.cast_signed(),
            nanoseconds,
        }))),
    };
    Ok(SetAttr {
        permissions: has(valid::MODE).then_some((mode & 0o7777) as u16),
        uid: has(valid::UID).then_some(uid),
        gid: has(valid::GID).then_some(gid),
        size: has(valid::SIZE).then_some(size),
        atime: time(valid::ATIME, valid::ATIME_NOW, atime, atime_nanoseconds)?,
        mtime: time(valid::MTIME, valid::MTIME_NOW, mtime, mtime_nanoseconds)?,
        kill_privileges: has(valid::KILL_SUIDGID),
    })
}

fn read(mut fields: Fields<'_>) -> FsResult<Operation<'_>> {
    fields.skip(8)?;
    Ok(Operation::Read {
        offset: fields.u64()?,
        size: fields.u32()?,
    })
}

fn read_directory(mut fields: Fields<'_>, with_inodes: bool) -> FsResult<Operation<'_>> {
    fields.skip(8)?;
    let (position, size) = (fields.u64()?, fields.u32()?);
    Ok(Operation::ReadDirectory {
        position,
        size,
        with_inodes,
    })
}

fn write<'a>(mut fields: Fields<'a>, mut payload: Fields<'a>) -> FsResult<Operation<'a>> {
    fields.skip(8)?;
    let (offset, size, flags) = (fields.u64()?, fields.u32()?, fields.u32()?);
    Ok(Operation::Write {
        offset,
        kill_privileges: flags & WRITE_KILL_SUIDGID != 0,
        from_cache: flags & WRITE_CACHE != 0,
        data: payload.bytes(size as usize)?,
    })
}

fn copy_range(mut fields: Fields<'_>, wide: bool) -> FsResult<Operation<'_>> {
    fields.skip(8)?;
    let (from_offset, to) = (fields.u64()?, Ino(fields.u64()?));
    fields.skip(8)?;
    let (to_offset, length) = (fields.u64()?, fields.u64()?);
    Ok(Operation::CopyRange(CopyRange {
        from_offset,
        to,
        to_offset,
        length,
        wide,
    }))
}

/// The operations on extended attributes. A SETXATTR has two fields only: the longer form has to
/// be asked for (`FUSE_SETXATTR_EXT`), and is not.
fn xattr<'a>(
    code: u32,
    mut fields: Fields<'a>,
    mut payload: Fields<'a>,
) -> FsResult<Operation<'a>> {
    Ok(match code {
        opcode::SETXATTR => {
            let (size, flags) = (fields.u32()?, fields.u32()?);
            let name = payload.name()?;
            Operation::SetXattr {
                name,
                value: payload.bytes(size as usize)?,
                flags,
            }
        }
        opcode::GETXATTR => Operation::Xattr {
            size: fields.u32()?,
            name: payload.name()?,
        },
        opcode::LISTXATTR => Operation::XattrNames {
            size: fields.u32()?,
        },
        _ => Operation::RemoveXattr {
            name: payload.name()?,
        },
    })
}
