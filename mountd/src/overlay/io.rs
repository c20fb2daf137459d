//! The data of files. Addressed by inode, not by handle: whoever reads sees what was last
//! written, whenever and however the file was opened.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use crate::upper::calls::{self as fs, FallocateFlags, SeekFrom};
use rustix::io::Errno;

use super::attr::{SetAttr, without_set_ids};
use super::caches::{NO_PRIVILEGES, OpenFile, UNKNOWN_PRIVILEGES};
use super::copy_up::READ_WRITE;
use super::quota::Need;
use super::{Overlay, acl};
use crate::error::{FsError, FsResult};
use crate::lower::LowerNode;
use crate::types::{FileKind, Ino};
use crate::upper::data::{read_full, write_all};
use crate::upper::object::UpperObject;
use crate::upper::{guest_xattr, symlink};

/// How `fallocate` changes a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocateMode {
    /// Give it space; the file grows.
    Grow,
    /// Give it space; the size stays.
    KeepSize,
    /// Make it a hole.
    PunchHole,
    /// Make it zeros; the file grows.
    Zero,
    /// Make it zeros; the size stays.
    ZeroKeepSize,
}

/// What `lseek` looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The next byte of data.
    Data,
    /// The next byte of a hole; the end of the file is one.
    Hole,
}

impl Overlay {
    /// Reads into `buffer` from `offset`; returns how many bytes, fewer only at the end.
    ///
    /// # Errors
    /// Those of the layers.
    pub fn read(&self, ino: Ino, buffer: &mut [u8], offset: u64) -> FsResult<usize> {
        let opened = self.open_file(ino);
        match &*opened.map_err(|error| self.when_stale(ino, error))? {
            OpenFile::Lower(file) => {
                let lower = LowerNode(ino.0);
                self.living.reads(ino, || self.lower.attr(lower));
                file.read_at(buffer, offset)
            }
            OpenFile::Upper { file, .. } => read_full(file.as_fd(), buffer, offset),
            OpenFile::Partial { file, .. } => file.read(buffer, offset),
        }
    }

    /// Writes all of `data` at `offset`, or as much of it as the quota has room for, and returns how
    /// much. With `kill_privileges` set-id bits and capabilities go.
    ///
    /// # Errors
    /// Those of the store; a part may then have been written, as by any write that fails.
    pub fn write(
        &self,
        ino: Ino,
        data: &[u8],
        offset: u64,
        kill_privileges: bool,
    ) -> FsResult<usize> {
        if kill_privileges {
            self.kill_privileges(ino)?;
        }
        let opened = self.open_for_writing(ino)?;
        let end = offset.saturating_add(data.len() as u64);
        let room = match opened.room(offset..end, Need::Some) {
            Err(FsError::Layer(Errno::NOSPC)) => {
                self.await_forgotten(data.len() as u64);
                opened.room(offset..end, Need::Some)?
            }
            room => room?,
        };
        let fits = usize::try_from(room.length).unwrap_or(usize::MAX);
        let data = data.get(..fits).unwrap_or(data);
        match &*opened {
            OpenFile::Upper { file, .. } => write_all(file.as_fd(), data, offset)?,
            OpenFile::Partial { file, .. } => file.write(data, offset)?,
            OpenFile::Lower(_) => return Err(FsError::Stale),
        }
        Ok(data.len())
    }

    /// Takes set-id bits and capabilities away, if there are any.
    fn kill_privileges(&self, ino: Ino) -> FsResult<()> {
        let opened = self.open_for_writing(ino)?;
        let (file, privileges) = match &*opened {
            OpenFile::Upper {
                file, privileges, ..
            } => (file.as_fd(), privileges),
            OpenFile::Partial { file, privileges } => (file.map().data(), privileges),
            OpenFile::Lower(_) => return Err(FsError::Stale),
        };
        if privileges.load(Ordering::Relaxed) == NO_PRIVILEGES {
            return Ok(());
        }
        let object = UpperObject::from_fd(file.try_clone_to_owned()?)?.ok_or(FsError::Stale)?;
        let has_some = without_set_ids(object.record()) != object.record().permissions
            || guest_xattr::get(object.as_fd(), acl::CAPABILITY)?.is_some();
        if has_some {
            let set = SetAttr {
                kill_privileges: true,
                ..SetAttr::default()
            };
            self.set_attr(ino, &set)?;
        } else {
            privileges.store(NO_PRIVILEGES, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Makes the data, and unless `data_only` the attributes, safe against a crash of the host.
    ///
    /// # Errors
    /// Those of the store.
    pub fn sync(&self, ino: Ino, data_only: bool) -> FsResult<()> {
        let names = self.names.read();
        let node = self.node(ino)?;
        // What was never changed is as safe as the lower is.
        let Some(place) = &node.place else {
            return Ok(());
        };
        let object = self.object(ino, place)?;
        drop(names);
        if object.record().partial
            && let OpenFile::Partial { file, .. } = &*self.open_file(ino)?
        {
            return file.map().sync(data_only);
        }
        // Where data are put, and so what they take, is decided now at the latest.
        let _watched = self.watch(ino, &object)?;
        if data_only {
            fs::fdatasync(&object)?
        } else {
            fs::fsync(&object)?
        }
        Ok(())
    }

    /// Gives, or takes away, the space of a range.
    ///
    /// # Errors
    /// Those of the store.
    pub fn allocate(&self, ino: Ino, offset: u64, length: u64, mode: AllocateMode) -> FsResult<()> {
        self.kill_privileges(ino)?;
        let opened = self.open_for_writing(ino)?;
        let need = match mode {
            AllocateMode::PunchHole => Need::Nothing,
            _ => Need::All,
        };
        let _room = opened.room(offset..offset.saturating_add(length), need)?;
        match &*opened {
            OpenFile::Upper { file, .. } => {
                Ok(fs::fallocate(file, host_flags(mode), offset, length)?)
            }
            OpenFile::Partial { file, .. } => file.allocate(offset, length, mode),
            OpenFile::Lower(_) => Err(FsError::Stale),
        }
    }

    /// Target of a symbolic link.
    ///
    /// # Errors
    /// `InvalidArgument` if the inode is none.
    pub fn read_link(&self, ino: Ino) -> FsResult<Vec<u8>> {
        let _names = self.names.read();
        let node = self.node(ino)?;
        let Some(place) = &node.place else {
            return self.lower.read_link(LowerNode(ino.0));
        };
        let object = self.object(ino, place)?;
        if object.record().kind != FileKind::Symlink {
            return Err(FsError::InvalidArgument);
        }
        symlink::read(&object)
    }

    /// Where, from `offset` on, the next data or hole is.
    ///
    /// # Errors
    /// `ENXIO` past the end, as `lseek` has it.
    pub fn seek(&self, ino: Ino, offset: u64, extent: Extent) -> FsResult<u64> {
        match &*self.open_file(ino)? {
            OpenFile::Upper { file, .. } => {
                let whence = match extent {
                    Extent::Data => SeekFrom::Data(offset),
                    Extent::Hole => SeekFrom::Hole(offset),
                };
                Ok(fs::seek(file, whence)?)
            }
            OpenFile::Partial { file, .. } => file.seek(offset, extent),
            OpenFile::Lower(file) => {
                let size = self.attr(ino)?.size;
                if offset >= size {
                    return Err(FsError::Layer(Errno::NXIO));
                }
                let mut at = offset;
                while let Some((start, end)) = file.next_data(at)? {
                    match extent {
                        Extent::Data => return Ok(start),
                        Extent::Hole if start > at => return Ok(at),
                        Extent::Hole if end <= at => break,
                        Extent::Hole => at = end,
                    }
                    if at >= size {
                        break;
                    }
                }
                match extent {
                    Extent::Data => Err(FsError::Layer(Errno::NXIO)),
                    Extent::Hole => Ok(at.min(size)),
                }
            }
        }
    }

    /// Copies a range from one file to another without the data passing through the caller.
    ///
    /// # Errors
    /// `EXDEV` unless the store has all of the range: the caller then reads and writes.
    pub fn copy_range(
        &self,
        (from, from_offset): (Ino, u64),
        (to, to_offset): (Ino, u64),
        length: u64,
    ) -> FsResult<usize> {
        let source = self.open_file(from)?;
        let end = from_offset.saturating_add(length);
        let source = match &*source {
            OpenFile::Upper { file, .. } => file.as_fd(),
            OpenFile::Partial { file, .. } if file.map().has(from_offset..end) => file.map().data(),
            _ => return Err(FsError::Layer(Errno::XDEV)),
        };
        self.kill_privileges(to)?;
        let target = self.open_for_writing(to)?;
        let room = target.room(to_offset..to_offset.saturating_add(length), Need::Some)?;
        let length = usize::try_from(room.length).unwrap_or(usize::MAX);
        let target = match &*target {
            OpenFile::Upper { file, .. } => file.as_fd(),
            OpenFile::Partial { file, .. } => {
                return file.copy_from(source, from_offset, to_offset, length);
            }
            OpenFile::Lower(_) => return Err(FsError::Stale),
        };
        let mut from_offset = from_offset;
        let mut to_offset = to_offset;
        let copied = fs::copy_file_range(
            source,
            Some(&mut from_offset),
            target,
            Some(&mut to_offset),
            length,
        )?;
        Ok(copied)
    }

    /// The data of a file, to be changed in the store.
    pub(super) fn open_for_writing(&self, ino: Ino) -> FsResult<Arc<OpenFile>> {
        self.store_for(ino)?;
        let opened = match self.files.get(ino) {
            Some(opened) if !matches!(*opened, OpenFile::Lower(_)) => opened,
            _ => {
                self.copy_up(ino, u64::MAX)?;
                self.open_file(ino)?
            }
        };
        if let OpenFile::Upper { file, pristine, .. } = &*opened
            && pristine.load(Ordering::Acquire)
        {
            // Before the first change: a crash in between must not leave a changed file marked.
            let _names = self.names.write();
            let mut object = UpperObject::from_fd(Arc::clone(file))?.ok_or(FsError::Stale)?;
            object.touch()?;
            pristine.store(false, Ordering::Release);
        }
        Ok(opened)
    }

    /// The data of a file, wherever it is.
    pub(super) fn open_file(&self, ino: Ino) -> FsResult<Arc<OpenFile>> {
        if let Some(opened) = self.files.get(ino) {
            return Ok(opened);
        }
        let opened = self.open_file_anew(ino)?;
        if matches!(*opened, OpenFile::Partial { .. }) {
            self.trim_partials(ino);
        }
        Ok(opened)
    }

    fn open_file_anew(&self, ino: Ino) -> FsResult<Arc<OpenFile>> {
        // Under `names` to the end: see the module of the core.
        let _names = self.names.read();
        let node = self.node(ino)?;
        let opened = match &node.place {
            None => OpenFile::Lower(self.lower.open(LowerNode(ino.0))?),
            Some(place) => {
                let file = self.open_upper(ino, place, READ_WRITE)?;
                let object = UpperObject::from_fd(file)?.ok_or(FsError::Stale)?;
                if object.record().kind != FileKind::Regular {
                    return Err(FsError::InvalidArgument);
                }
                let privileges = AtomicU8::new(UNKNOWN_PRIVILEGES);
                if object.record().partial {
                    let file = self.partial(ino, object)?;
                    OpenFile::Partial { file, privileges }
                } else {
                    let charge = self.charge(ino, object.as_fd())?;
                    let pristine = AtomicBool::new(object.record().pristine);
                    let file = object.into_fd();
                    OpenFile::Upper {
                        file,
                        privileges,
                        pristine,
                        charge,
                    }
                }
            }
        };
        let opened = Arc::new(opened);
        self.files.put(ino, Arc::clone(&opened));
        Ok(opened)
    }
}

/// How much was written, for an answer. Of data `from_cache`, which were written by way of a mapping,
/// it has to be all: the kernel takes a short count for success.
///
/// # Errors
/// `NOSPC`, for that is why a write is short.
pub fn whole_if(from_cache: bool, written: usize, data: &[u8]) -> FsResult<usize> {
    if from_cache && written < data.len() {
        return Err(FsError::Layer(Errno::NOSPC));
    }
    Ok(written)
}

/// What `mode` is for the host.
pub(super) fn host_flags(mode: AllocateMode) -> FallocateFlags {
    match mode {
        AllocateMode::Grow => FallocateFlags::empty(),
        AllocateMode::KeepSize => FallocateFlags::KEEP_SIZE,
        AllocateMode::PunchHole => FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
        AllocateMode::Zero => FallocateFlags::ZERO_RANGE,
        AllocateMode::ZeroKeepSize => FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE,
    }
}
