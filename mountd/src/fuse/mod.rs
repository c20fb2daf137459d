//! The kernel's side: requests in, answers out, through `fuser`.
//!
//! Only conversion and negotiation live here. Every method calls one of the core and answers with
//! what it returned; nothing here decides anything about files. The core does not know this
//! module, so another transport can stand beside it: `crate::wire`, which is agreed on here, in
//! the greeting, and keeps the same rules.
//!
//! How the kernel is told to work, and why:
//! * No OPEN, no RELEASE, no OPENDIR (they are answered with "not implemented" once, after which
//!   the kernel stops asking): the core's data is addressed by inode, so an open file is no state
//!   here, and the page cache stays over opens. Files are therefore made by MKNOD.
//! * Entries, attributes and absences may be remembered for a day where only we can change them,
//!   and for a short while over a living host.
//! * No O_TMPFILE over the device: fuser 0.18 has no such operation and answers "not implemented",
//!   which programs see as "not supported"; they all know how to do without. Over rings there is.
//! * The umask is ours to apply, because a default ACL replaces it.
//! * Set-id bits are ours to take away when told so (`HANDLE_KILLPRIV_V2`): otherwise each write
//!   asks for `security.capability` first.

mod convert;
pub mod session;

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, Generation, INodeNo,
    InitFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs,
    ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use parking_lot::Mutex;
use rustix::fs::XattrFlags;

use convert::{caller, errno, file_attr, file_type, no_attr, permissions, rename_mode, set_time};

use crate::error::{FsError, FsResult};
use crate::overlay::{
    AllocateMode, Attempt, DirectoryEntry, DirectorySink, Extent, LookedUp, NewInode, Overlay,
    SetAttr, whole_if,
};
use crate::spec::Access;
use crate::takeover::{Agreement, Kept, Placing};
use crate::trail::Recorder;
use crate::types::{EntryName, FileKind, Ino, NAME_MAX};
use crate::wire::Transport;
use crate::wire::notify::RESENT;
use crate::wire::uring::Rings;

/// How long the kernel may remember what only we can change.
const OURS: Duration = Duration::from_secs(24 * 60 * 60);

/// How long it may remember what a living host can change under us: long enough for a program that
/// looks at one thing again and again, short enough for an old size not to be met with new contents.
const LIVING: Duration = Duration::from_secs(1);

/// Numbers are never used for another inode, so one generation does.
const GENERATION: Generation = Generation(0);

/// Largest read, and read-ahead, in bytes: the most that one answer can carry.
const REQUEST_SIZE: u32 = 1 << 20;

/// Largest write, in bytes. Less, for rings have this much memory for each slot ready at any time.
const WRITE_SIZE: u32 = 128 << 10;

/// The most that a request, and an answer, carry beside their headers.
const LENGTHS: (usize, usize) = (WRITE_SIZE as usize, REQUEST_SIZE as usize);

const WANTED: InitFlags = InitFlags::FUSE_ASYNC_READ
    .union(InitFlags::FUSE_BIG_WRITES)
    .union(InitFlags::FUSE_DONT_MASK)
    .union(InitFlags::FUSE_DO_READDIRPLUS)
    .union(InitFlags::FUSE_ASYNC_DIO)
    .union(InitFlags::FUSE_NO_OPEN_SUPPORT)
    .union(InitFlags::FUSE_NO_OPENDIR_SUPPORT)
    .union(InitFlags::FUSE_PARALLEL_DIROPS)
    .union(InitFlags::FUSE_POSIX_ACL)
    .union(InitFlags::FUSE_MAX_PAGES)
    .union(InitFlags::FUSE_CACHE_SYMLINKS)
    .union(InitFlags::FUSE_HANDLE_KILLPRIV_V2)
    .union(InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP)
    .union(InitFlags::FUSE_ALLOW_IDMAP);

/// What makes the kernel check permissions, or is only to be had where it does.
const CHECKED: InitFlags = InitFlags::FUSE_POSIX_ACL.union(InitFlags::FUSE_ALLOW_IDMAP);

thread_local! {
    /// What a read is answered from. Kept, because fresh memory costs more than the read itself.
    static READ_BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The merged tree, as `fuser` wants a file system.
#[derive(Debug)]
struct Adapter {
    overlay: Arc<Overlay>,
    remember: Duration,
    access: Access,
    transport: Transport,
    kept: Kept,
    /// What a daemon before this one agreed on; then the greeting is only for `fuser`.
    inherited: Option<Agreement>,
    /// Rings whose use was agreed with the kernel, for the session to start.
    rings: Arc<Mutex<Option<Rings>>>,
    recorder: Arc<Recorder>,
}

impl Adapter {
    fn new(
        overlay: Overlay,
        access: Access,
        transport: Transport,
        kept: Kept,
        inherited: Option<Agreement>,
    ) -> Self {
        let remember = if overlay.is_immutable() { OURS } else { LIVING };
        Self {
            overlay: Arc::new(overlay),
            remember,
            access,
            transport,
            kept,
            inherited,
            rings: Arc::default(),
            recorder: Arc::default(),
        }
    }

    /// Agrees on rings if they are wanted, offered, and can be had; returns their placing.
    fn agree_on_rings(&self, config: &mut KernelConfig) -> Vec<Placing> {
        let flag = InitFlags::FUSE_OVER_IO_URING;
        if self.transport != Transport::Rings {
            return Vec::new();
        }
        if !config.capabilities().contains(flag) {
            log::info!("the kernel does not offer FUSE over io_uring; using the device");
            return Vec::new();
        }
        match Rings::prepare(LENGTHS, &self.kept) {
            Ok((rings, placings)) if config.add_capabilities(flag).is_ok() => {
                *self.rings.lock() = Some(rings);
                placings
            }
            Ok(_) => Vec::new(),
            Err(error) => {
                log::warn!("cannot use io_uring: {error}; using the device");
                Vec::new()
            }
        }
    }

    /// Notes what was agreed on, for a daemon after this one.
    fn note_agreement(&self, config: &KernelConfig, workers: Vec<Placing>) {
        let offered = config.capabilities().bits();
        let agreement = Agreement::new(config.kernel_abi().1, offered, workers);
        if let Err(error) = self.kept.agree(&agreement) {
            log::error!("if this daemon dies, its mount does too: {error}");
        }
    }

    fn reply_entry(&self, entry: FsResult<LookedUp<'_>>, reply: ReplyEntry) {
        match entry {
            Ok(entry) => {
                let (ino, attr) = entry.hand_over();
                reply.entry(&self.remember, &file_attr(ino, &attr), GENERATION);
            }
            Err(error) => reply.error(errno(error)),
        }
    }

    fn make(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new: &NewInode<'_>,
        reply: ReplyEntry,
    ) {
        let made = EntryName::new(name.as_bytes())
            .and_then(|name| self.attempt(request).create(ino(parent), name, new));
        self.reply_entry(made, reply);
    }

    fn attempt(&self, request: &Request) -> Attempt<'_> {
        let number = request.unique().0;
        self.overlay.attempt(number & !RESENT, number & RESENT != 0)
    }
}

fn ino(number: INodeNo) -> Ino {
    Ino(number.0)
}

fn reply_empty(result: FsResult<()>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(errno(error)),
    }
}

fn reply_xattr(value: FsResult<Vec<u8>>, size: u32, reply: ReplyXattr) {
    match value {
        Ok(value) if size == 0 => reply.size(u32::try_from(value.len()).unwrap_or(u32::MAX)),
        Ok(value) if value.len() > size as usize => reply.error(errno(FsError::Range)),
        Ok(value) => reply.data(&value),
        Err(error) => reply.error(errno(error)),
    }
}

struct Names(ReplyDirectory);

impl DirectorySink for Names {
    fn push(&mut self, entry: &DirectoryEntry<'_>, _inode: Option<LookedUp<'_>>) -> bool {
        let name = OsStr::from_bytes(entry.name);
        !self.0.add(
            INodeNo(entry.ino.0),
            entry.position,
            file_type(entry.kind),
            name,
        )
    }
}

struct NamesWithInodes {
    reply: ReplyDirectoryPlus,
    remember: Duration,
}

impl DirectorySink for NamesWithInodes {
    fn push(&mut self, entry: &DirectoryEntry<'_>, inode: Option<LookedUp<'_>>) -> bool {
        let attr = match &inode {
            Some(inode) => file_attr(inode.ino(), inode.attr()),
            // Of `.` and `..` the kernel takes number and type and counts no lookup.
            None => fuser::FileAttr {
                ino: INodeNo(entry.ino.0),
                kind: file_type(entry.kind),
                ..no_attr()
            },
        };
        let name = OsStr::from_bytes(entry.name);
        let full = self.reply.add(
            attr.ino,
            entry.position,
            name,
            &self.remember,
            &attr,
            GENERATION,
        );
        if !full && let Some(inode) = inode {
            inode.hand_over();
        }
        !full
    }
}

impl Filesystem for Adapter {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // What this kernel lacks is left out; nothing of it is needed for right answers but
        // FUSE_DONT_MASK, which every kernel since 2.6.30 has.
        let wanted = match self.access {
            Access::Checked => WANTED,
            Access::Owner => WANTED.difference(CHECKED),
        };
        let usable = config.capabilities() & wanted;
        if let Err(refused) = config.add_capabilities(usable) {
            log::warn!("the kernel refuses the FUSE features {refused:?}");
        }
        for (what, result) in [
            ("read-ahead", config.set_max_readahead(REQUEST_SIZE)),
            ("write size", config.set_max_write(WRITE_SIZE)),
        ] {
            if let Err(most) = result {
                log::debug!("{what} is at most {most} bytes here");
            }
        }
        match &self.inherited {
            None => {
                let placings = self.agree_on_rings(config);
                self.note_agreement(config, placings);
            }
            Some(agreement) if agreement.workers.is_empty() => {}
            Some(agreement) => {
                let rings = Rings::prepare_again(LENGTHS, &self.kept, &agreement.workers)?;
                *self.rings.lock() = Some(rings);
            }
        }
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found =
            EntryName::new(name.as_bytes()).and_then(|name| self.overlay.lookup(ino(parent), name));
        match found {
            Ok(Some(entry)) => self.reply_entry(Ok(entry), reply),
            Ok(None) => reply.entry(&self.remember, &no_attr(), GENERATION),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn forget(&self, _request: &Request, node: INodeNo, count: u64) {
        self.overlay.forget(ino(node), count);
    }

    fn getattr(
        &self,
        _request: &Request,
        node: INodeNo,
        _handle: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        match self.overlay.attr(ino(node)) {
            Ok(attr) => reply.attr(&self.remember, &file_attr(ino(node), &attr)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn setattr(
        &self,
        request: &Request,
        node: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let set = SetAttr {
            permissions: mode.map(permissions),
            uid,
            gid,
            size,
            atime: atime.map(set_time),
            mtime: mtime.map(set_time),
            // fuser does not pass the kernel's flag on. Taking too much away is the safe side;
            // root keeps what it cuts, as on any file system.
            kill_privileges: size.is_some() && request.uid() != 0,
        };
        match self.overlay.set_attr(ino(node), &set) {
            Ok(attr) => reply.attr(&self.remember, &file_attr(ino(node), &attr)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn readlink(&self, _request: &Request, node: INodeNo, reply: ReplyData) {
        match self.overlay.read_link(ino(node)) {
            Ok(target) => reply.data(&target),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        let new = NewInode {
            kind: FileKind::from_mode(mode).unwrap_or(FileKind::Regular),
            permissions: permissions(mode),
            umask: permissions(umask),
            rdev,
            target: b"",
            caller: caller(request),
        };
        self.make(request, parent, name, &new, reply);
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let new = NewInode {
            kind: FileKind::Directory,
            permissions: permissions(mode),
            umask: permissions(umask),
            rdev: 0,
            target: b"",
            caller: caller(request),
        };
        self.make(request, parent, name, &new, reply);
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let new = NewInode {
            kind: FileKind::Symlink,
            permissions: 0o777,
            umask: 0,
            rdev: 0,
            target: target.as_os_str().as_bytes(),
            caller: caller(request),
        };
        self.make(request, parent, name, &new, reply);
    }

    fn link(
        &self,
        request: &Request,
        node: INodeNo,
        parent: INodeNo,
        name: &OsStr,
        reply: ReplyEntry,
    ) {
        let linked = EntryName::new(name.as_bytes())
            .and_then(|name| self.attempt(request).link(ino(node), ino(parent), name));
        self.reply_entry(linked, reply);
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = EntryName::new(name.as_bytes())
            .and_then(|name| self.attempt(request).unlink(ino(parent), name));
        reply_empty(removed, reply);
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = EntryName::new(name.as_bytes())
            .and_then(|name| self.attempt(request).remove_directory(ino(parent), name));
        reply_empty(removed, reply);
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let Some(mode) = rename_mode(flags, caller(request)) else {
            return reply.error(errno(FsError::InvalidArgument));
        };
        let renamed = EntryName::new(name.as_bytes()).and_then(|name| {
            let new_name = EntryName::new(new_name.as_bytes())?;
            self.attempt(request)
                .rename((ino(parent), name), (ino(new_parent), new_name), mode)
        });
        reply_empty(renamed, reply);
    }

    fn open(&self, _request: &Request, _node: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    fn opendir(&self, _request: &Request, _node: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    fn read(
        &self,
        _request: &Request,
        node: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.recorder.read(ino(node), offset, size.into());
        READ_BUFFER.with_borrow_mut(|buffer| {
            let size = size.min(REQUEST_SIZE) as usize;
            if buffer.len() < size {
                buffer.resize(size, 0);
            }
            let part = buffer.get_mut(..size).unwrap_or(&mut []);
            match self.overlay.read(ino(node), part, offset) {
                Ok(read) => reply.data(part.get(..read).unwrap_or(&[])),
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    fn write(
        &self,
        _request: &Request,
        node: INodeNo,
        _handle: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let kills = write_flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID);
        let from_cache = write_flags.contains(WriteFlags::FUSE_WRITE_CACHE);
        let written = self.overlay.write(ino(node), data, offset, kills);
        match written.and_then(|written| whole_if(from_cache, written, data)) {
            Ok(written) => reply.written(u32::try_from(written).unwrap_or(u32::MAX)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn fsync(
        &self,
        _request: &Request,
        node: INodeNo,
        _handle: FileHandle,
        data_only: bool,
        reply: ReplyEmpty,
    ) {
        reply_empty(self.overlay.sync(ino(node), data_only), reply);
    }

    fn fsyncdir(
        &self,
        _request: &Request,
        node: INodeNo,
        _handle: FileHandle,
        data_only: bool,
        reply: ReplyEmpty,
    ) {
        reply_empty(self.overlay.sync(ino(node), data_only), reply);
    }

    fn readdir(
        &self,
        _request: &Request,
        node: INodeNo,
        _handle: FileHandle,
        position: u64,
        reply: ReplyDirectory,
    ) {
        self.recorder.list(ino(node));
        let mut names = Names(reply);
        match self
            .overlay
            .read_directory(ino(node), position, false, &mut names)
        {
            Ok(()) => names.0.ok(),
            Err(error) => names.0.error(errno(error)),
        }
    }

    fn readdirplus(
        &self,
        _request: &Request,
        node: INodeNo,
        _handle: FileHandle,
        position: u64,
        reply: ReplyDirectoryPlus,
    ) {
        self.recorder.list(ino(node));
        let mut names = NamesWithInodes {
            reply,
            remember: self.remember,
        };
        match self
            .overlay
            .read_directory(ino(node), position, true, &mut names)
        {
            Ok(()) => names.reply.ok(),
            Err(error) => names.reply.error(errno(error)),
        }
    }

    fn statfs(&self, _request: &Request, _node: INodeNo, reply: ReplyStatfs) {
        match self.overlay.space() {
            Ok(space) => reply.statfs(
                space.f_blocks,
                space.f_bfree,
                space.f_bavail,
                space.f_files,
                space.f_ffree,
                u32::try_from(space.f_bsize).unwrap_or(4096),
                NAME_MAX as u32,
                u32::try_from(space.f_frsize).unwrap_or(4096),
            ),
            // A read-only view is full, as read-only media are.
            Err(FsError::ReadOnly) => reply.statfs(0, 0, 0, 0, 0, 4096, NAME_MAX as u32, 4096),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn setxattr(
        &self,
        request: &Request,
        node: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        let flags = XattrFlags::from_bits_truncate(flags.cast_unsigned());
        reply_empty(
            self.attempt(request)
                .set_xattr(ino(node), name.as_bytes(), value, flags),
            reply,
        );
    }

    fn getxattr(
        &self,
        _request: &Request,
        node: INodeNo,
        name: &OsStr,
        size: u32,
        reply: ReplyXattr,
    ) {
        reply_xattr(self.overlay.xattr(ino(node), name.as_bytes()), size, reply);
    }

    fn listxattr(&self, _request: &Request, node: INodeNo, size: u32, reply: ReplyXattr) {
        let names = self.overlay.xattr_names(ino(node)).map(|names| {
            let mut list = Vec::new();
            for name in names {
                list.extend_from_slice(&name);
                list.push(0);
            }
            list
        });
        reply_xattr(names, size, reply);
    }

    fn removexattr(&self, request: &Request, node: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_empty(
            self.attempt(request)
                .remove_xattr(ino(node), name.as_bytes()),
            reply,
        );
    }

    fn fallocate(
        &self,
        _request: &Request,
        node: INodeNo,
        _handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        const KEEP_SIZE: i32 = libc::FALLOC_FL_KEEP_SIZE;
        const PUNCH: i32 = libc::FALLOC_FL_PUNCH_HOLE | KEEP_SIZE;
        const ZERO: i32 = libc::FALLOC_FL_ZERO_RANGE;
        const ZERO_KEEP: i32 = ZERO | KEEP_SIZE;
        let mode = match mode {
            0 => AllocateMode::Grow,
            KEEP_SIZE => AllocateMode::KeepSize,
            PUNCH => AllocateMode::PunchHole,
            ZERO => AllocateMode::Zero,
            ZERO_KEEP => AllocateMode::ZeroKeepSize,
            _ => return reply.error(errno(FsError::NotSupported)),
        };
        reply_empty(
            self.overlay.allocate(ino(node), offset, length, mode),
            reply,
        );
    }

    fn lseek(
        &self,
        _request: &Request,
        node: INodeNo,
        _handle: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let extent = match whence {
            libc::SEEK_DATA => Extent::Data,
            libc::SEEK_HOLE => Extent::Hole,
            _ => return reply.error(errno(FsError::InvalidArgument)),
        };
        let found = u64::try_from(offset)
            .map_err(|_| FsError::InvalidArgument)
            .and_then(|offset| self.overlay.seek(ino(node), offset, extent));
        match found {
            Ok(at) => reply.offset(i64::try_from(at).unwrap_or(i64::MAX)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn copy_file_range(
        &self,
        _request: &Request,
        from: INodeNo,
        _from_handle: FileHandle,
        from_offset: u64,
        to: INodeNo,
        _to_handle: FileHandle,
        to_offset: u64,
        length: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        let copied =
            self.overlay
                .copy_range((ino(from), from_offset), (ino(to), to_offset), length);
        match copied {
            Ok(copied) => reply.written(u32::try_from(copied).unwrap_or(u32::MAX)),
            Err(error) => reply.error(errno(error)),
        }
    }
}
