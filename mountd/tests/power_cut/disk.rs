//! A disk that writes down what is written to it: one file in a FUSE file system.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite,
    Request, WriteFlags,
};

const TTL: Duration = Duration::from_secs(3600);
const DISK: INodeNo = INodeNo(2);

/// What happened to the disk.
#[derive(Debug)]
pub(crate) enum Event {
    Write { offset: u64, data: Vec<u8> },
    Flush,
}

struct Disk {
    image: File,
    size: u64,
    log: Mutex<File>,
}

/// Serves `place/image` as `place/fuse/disk` until it is killed, or all has taken too long.
pub(crate) fn serve(place: &Path) {
    std::thread::spawn(|| {
        std::thread::sleep(crate::patience());
        std::process::exit(1);
    });
    let open = |name: &str| {
        let mut options = File::options();
        let options = options.read(true).write(true).create(true).truncate(false);
        options.open(place.join(name)).unwrap()
    };
    let image = open("image");
    let disk = Disk {
        size: image.metadata().unwrap().len(),
        image,
        log: Mutex::new(open("log")),
    };
    fuser::mount(disk, place.join("fuse"), &Config::default()).unwrap();
}

/// Reads the log of a disk: events, each with the length of the log behind it.
pub(crate) fn read_log(place: &Path) -> Vec<(u64, Event)> {
    let mut log = File::open(place.join("log")).unwrap();
    let mut events = Vec::new();
    let mut at = 0;
    let mut head = [0; 16];
    while log.read_exact(&mut head).is_ok() {
        let [offset, length] = [0, 8].map(|at| {
            let mut field = [0; 8];
            field.copy_from_slice(&head[at..at + 8]);
            u64::from_le_bytes(field)
        });
        let mut data = vec![0; length as usize];
        log.read_exact(&mut data).unwrap();
        at += 16 + length;
        let event = match length {
            0 => Event::Flush,
            _ => Event::Write { offset, data },
        };
        events.push((at, event));
    }
    events
}

impl Disk {
    fn note(&self, offset: u64, data: &[u8]) {
        let mut record = offset.to_le_bytes().to_vec();
        record.extend((data.len() as u64).to_le_bytes());
        record.extend(data);
        self.log.lock().unwrap().write_all(&record).unwrap();
    }

    fn attr(&self, ino: INodeNo) -> FileAttr {
        let is_root = ino == INodeNo::ROOT;
        FileAttr {
            ino,
            size: if is_root { 0 } else { self.size },
            blocks: self.size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if is_root {
                FileType::Directory
            } else {
                FileType::RegularFile
            },
            perm: 0o700,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

impl Filesystem for Disk {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == "disk" {
            reply.entry(&TTL, &self.attr(DISK), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&TTL, &self.attr(ino));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // Nothing waits in the page cache: what the loop device writes comes here at once.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut data = vec![0; size as usize];
        let end = self.size.saturating_sub(offset).min(size.into());
        data.truncate(end as usize);
        match self.image.read_exact_at(&mut data, offset) {
            Ok(()) => reply.data(&data),
            Err(_) => reply.error(Errno::EIO),
        }
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        self.note(offset, data);
        match self.image.write_all_at(data, offset) {
            Ok(()) => reply.written(data.len() as u32),
            Err(_) => reply.error(Errno::EIO),
        }
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.note(0, &[]);
        reply.ok();
    }
}
