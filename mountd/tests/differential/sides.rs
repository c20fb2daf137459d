//! The three places where each call is made, and the comparison.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Once;

use rustix::fs::{
    self as host, Access, AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, RenameFlags, Stat,
    Timespec, Timestamps, XattrFlags,
};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;
use wpar_mountd::fuse::session::{self, Mounted};
use wpar_mountd::overlay::CopyUp;
use wpar_mountd::source;
use wpar_mountd::spec::{LowerSpec, MountSpec, SpaceLimits};
use wpar_mountd::wire::Transport;

use crate::calls::{Call, SLOTS};

/// What a call says: something that can be compared, or an error.
type Answer = Result<String, Errno>;

/// Times from here on are the present.
const PRESENT: i64 = 1_000_000_000;

/// Bits that changes of contents may take away.
const SET_IDS: u32 = 0o6000;

/// A tree in which the calls are made.
struct Side {
    name: &'static str,
    root: Option<OwnedFd>,
    slots: [Option<Slot>; SLOTS],
    /// A descriptor opened for reading stays at the lower file when that is copied up.
    stale_readers: bool,
}

struct Slot {
    file: OwnedFd,
    reads_only: bool,
}

/// All sides; the plain directory comes first.
pub(crate) struct World {
    directory: TempDir,
    transport: Transport,
    sides: Vec<Side>,
    mounted: Option<Mounted>,
    overlayfs: bool,
}

impl World {
    pub(crate) fn new(transport: Transport) -> Self {
        let directory = TempDir::new_in("/dev/shm")
            .or_else(|_| TempDir::new())
            .unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in ["plain", "lower", "ours", "kernels", "upper", "work"] {
            fs::create_dir(path(name)).unwrap();
        }
        for name in ["plain", "lower"] {
            fill(&path(name));
        }
        // The root of an overlayfs is that of its upper layer.
        set_times(CWD, &path("upper"), 1234).unwrap();
        let overlayfs = mount_overlayfs(directory.path());
        let mut world = Self {
            directory,
            transport,
            sides: Vec::new(),
            mounted: None,
            overlayfs,
        };
        let names = ["plain", "ours", "kernels"];
        for name in names.into_iter().take(if overlayfs { 3 } else { 2 }) {
            world.sides.push(Side {
                name,
                root: None,
                slots: [const { None }; SLOTS],
                stale_readers: name == "kernels",
            });
        }
        world.remount();
        world
    }

    fn remount(&mut self) {
        for side in &mut self.sides {
            (side.slots, side.root) = ([const { None }; SLOTS], None);
        }
        self.mounted = None;
        let path = |name: &str| self.directory.path().join(name);
        let spec = MountSpec {
            lower: LowerSpec::Directory {
                path: path("lower"),
            },
            store: Some(path("store")),
            hidden: Vec::new(),
            limits: SpaceLimits::default(),
            access: Default::default(),
        };
        let copy_up = CopyUp {
            whole: 3000,
            whole_of_living: 3000,
            block_size: 4096,
        };
        let overlay = source::open(&spec).unwrap().with_copy_up(copy_up);
        let mounted = session::mount_over(overlay, &path("ours"), self.transport).unwrap();
        assert_eq!(mounted.transport(), self.transport);
        self.mounted = Some(mounted);
        for side in &mut self.sides {
            let path = self.directory.path().join(side.name);
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            side.root = Some(host::open(path, flags, Mode::empty()).unwrap());
        }
    }

    /// Makes the call everywhere.
    pub(crate) fn call(&mut self, call: &Call) -> Result<(), String> {
        if matches!(call, Call::Remount) {
            self.remount();
            return Ok(());
        }
        let mut answers = Vec::new();
        for side in &mut self.sides {
            answers.push((side.name, side.answer(call), side.is_stale(call)));
        }
        let (_, expected, _) = &answers[0];
        for (name, answer, stale) in &answers[1..] {
            if answer != expected && !stale {
                return Err(format!(
                    "{name} answers {answer:?}, a plain directory {expected:?}"
                ));
            }
        }
        Ok(())
    }

    /// Compares all that there is.
    pub(crate) fn compare(&mut self) -> Result<(), String> {
        let pictures: Vec<_> = self
            .sides
            .iter()
            .map(|side| (side.name, picture(&self.directory.path().join(side.name))))
            .collect();
        let (_, expected) = &pictures[0];
        for (name, picture) in &pictures[1..] {
            for (line, wanted) in picture.lines().zip(expected.lines()) {
                if line != wanted {
                    return Err(format!("{name} has\n{line}\na plain directory\n{wanted}"));
                }
            }
            if picture.lines().count() != expected.lines().count() {
                return Err(format!(
                    "{name} has\n{picture}\na plain directory\n{expected}"
                ));
            }
        }
        Ok(())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.sides.clear();
        self.mounted = None;
        if self.overlayfs {
            let _ = unmount(self.directory.path().join("kernels"), UnmountFlags::DETACH);
        }
    }
}

fn mount_overlayfs(directory: &Path) -> bool {
    static TOLD: Once = Once::new();
    let path = |name: &str| directory.join(name).display().to_string();
    let options = format!(
        "lowerdir={},upperdir={},workdir={},redirect_dir=on,index=on,xino=on",
        path("lower"),
        path("upper"),
        path("work")
    );
    let options = std::ffi::CString::new(options).unwrap();
    let flags = MountFlags::empty();
    match mount(
        "overlay",
        directory.join("kernels"),
        "overlay",
        flags,
        &*options,
    ) {
        Ok(()) => true,
        Err(errno) => {
            TOLD.call_once(|| eprintln!("SKIPPED: no comparison with overlayfs: {errno}"));
            false
        }
    }
}

/// What is there before the first call.
fn fill(root: &Path) {
    for name in ["a/a", "a/b", "b/a"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    let contents =
        |length: usize| -> Vec<u8> { (0..length).map(|at| b'A' + (at / 7 % 26) as u8).collect() };
    for (name, length) in [
        ("c", 100),
        ("a/c", 50_000),
        ("a/a/a", 2999),
        ("b/a/d", 9000),
        ("a/b/b", 0),
    ] {
        fs::write(root.join(name), contents(length)).unwrap();
    }
    for (from, to) in [("c", "a/d"), ("a/c", "b/c"), ("a/c", "a/b/c")] {
        fs::hard_link(root.join(from), root.join(to)).unwrap();
    }
    std::os::unix::fs::symlink("a/c", root.join("d")).unwrap();
    let flags = XattrFlags::empty();
    host::setxattr(root.join("a"), "user.a", b"of the lower", flags).unwrap();
    host::setxattr(root.join("c"), "trusted.c", b"of the lower", flags).unwrap();
    host::chmodat(
        CWD,
        root.join("c"),
        Mode::from_raw_mode(0o4755),
        AtFlags::empty(),
    )
    .unwrap();
    let mut all = vec![root.to_path_buf()];
    while let Some(path) = all.pop() {
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            all.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
        set_times(CWD, &path, 1234).unwrap();
    }
}

fn set_times(dir: impl AsFd, path: &Path, seconds: i64) -> rustix::io::Result<()> {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: 5,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    host::utimensat(dir, path, &times, AtFlags::SYMLINK_NOFOLLOW)
}

impl Side {
    fn root(&self) -> &OwnedFd {
        self.root.as_ref().unwrap()
    }

    fn file(&self, slot: usize) -> Result<&OwnedFd, Errno> {
        self.slots[slot]
            .as_ref()
            .map(|slot| &slot.file)
            .ok_or(Errno::BADF)
    }

    fn is_stale(&self, call: &Call) -> bool {
        let slot = match call {
            Call::Read { slot, .. } | Call::Status { slot } => *slot,
            Call::CopyRange { from, .. } => from.0,
            _ => return false,
        };
        self.stale_readers
            && self.slots[slot]
                .as_ref()
                .is_some_and(|slot| slot.reads_only)
    }

    fn answer(&mut self, call: &Call) -> Answer {
        match call {
            Call::Open { slot, path, flags } => {
                self.slots[*slot] = None;
                let mode = Mode::from_raw_mode(0o640);
                let file = host::openat(self.root(), path, open_flags(flags), mode)?;
                let reads_only = *flags == "r";
                self.slots[*slot] = Some(Slot { file, reads_only });
                done()
            }
            Call::Close { slot } => {
                self.slots[*slot] = None;
                done()
            }
            Call::Write { .. }
            | Call::Read { .. }
            | Call::SetSize { .. }
            | Call::Allocate { .. }
            | Call::CopyRange { .. }
            | Call::Status { .. }
            | Call::Sync { .. } => self.on_descriptor(call),
            Call::MakeDirectory { .. }
            | Call::MakeNode { .. }
            | Call::MakeLink { .. }
            | Call::Link { .. }
            | Call::Unlink { .. }
            | Call::RemoveDirectory { .. }
            | Call::Rename { .. } => self.on_names(call),
            _ => self.on_inode(call),
        }
    }

    fn on_descriptor(&self, call: &Call) -> Answer {
        match *call {
            Call::Write {
                slot,
                offset,
                length,
                byte,
            } => {
                let written = rustix::io::pwrite(self.file(slot)?, &vec![byte; length], offset)?;
                Ok(written.to_string())
            }
            Call::Read {
                slot,
                offset,
                length,
            } => {
                let mut buffer = vec![0; length];
                let read = rustix::io::pread(self.file(slot)?, &mut buffer, offset)?;
                Ok(format!("{read} bytes {}", sum(&buffer[..read])))
            }
            Call::SetSize { slot, size } => {
                host::ftruncate(self.file(slot)?, size)?;
                done()
            }
            Call::Allocate {
                slot,
                mode,
                offset,
                length,
            } => {
                let mode = match mode {
                    "keep" => FallocateFlags::KEEP_SIZE,
                    "punch" => FallocateFlags::KEEP_SIZE | FallocateFlags::PUNCH_HOLE,
                    "zero" => FallocateFlags::ZERO_RANGE,
                    "collapse" => FallocateFlags::COLLAPSE_RANGE,
                    _ => FallocateFlags::empty(),
                };
                host::fallocate(self.file(slot)?, mode, offset, length)?;
                done()
            }
            Call::CopyRange { from, to, length } => {
                let (mut at, mut to_at) = (from.1, to.1);
                let (from, to) = (self.file(from.0)?, self.file(to.0)?);
                let copied =
                    host::copy_file_range(from, Some(&mut at), to, Some(&mut to_at), length)?;
                Ok(copied.to_string())
            }
            Call::Status { slot } => Ok(told(&host::fstat(self.file(slot)?)?)),
            Call::Sync { slot } => {
                host::fsync(self.file(slot)?)?;
                done()
            }
            _ => unreachable!("not on a descriptor"),
        }
    }

    fn on_names(&self, call: &Call) -> Answer {
        let root = self.root();
        match call {
            Call::MakeDirectory { path, mode } => {
                host::mkdirat(root, path, Mode::from_raw_mode(*mode))?;
            }
            Call::MakeNode { path, kind } => {
                let (kind, device) = match *kind {
                    "fifo" => (FileType::Fifo, 0),
                    "socket" => (FileType::Socket, 0),
                    "character" => (FileType::CharacterDevice, host::makedev(1, 3)),
                    _ => (FileType::RegularFile, 0),
                };
                host::mknodat(root, path, kind, Mode::from_raw_mode(0o640), device)?;
            }
            Call::MakeLink { path, target } => host::symlinkat(target, root, path)?,
            Call::Link { from, to } => host::linkat(root, from, root, to, AtFlags::empty())?,
            Call::Unlink { path } => host::unlinkat(root, path, AtFlags::empty())?,
            Call::RemoveDirectory { path } => host::unlinkat(root, path, AtFlags::REMOVEDIR)?,
            Call::Rename { from, to, mode } => {
                let flags = match *mode {
                    "noreplace" => RenameFlags::NOREPLACE,
                    "exchange" => RenameFlags::EXCHANGE,
                    _ => RenameFlags::empty(),
                };
                host::renameat_with(root, from, root, to, flags)?;
            }
            _ => unreachable!("not on names"),
        }
        done()
    }

    /// These have no calls relative to a directory, or a magic link serves as well.
    fn full(&self, path: &str) -> String {
        use std::os::fd::AsRawFd;
        format!("/proc/self/fd/{}/{path}", self.root().as_raw_fd())
    }

    fn on_inode(&self, call: &Call) -> Answer {
        let root = self.root();
        match call {
            Call::Chmod { path, mode } => {
                host::chmodat(root, path, Mode::from_raw_mode(*mode), AtFlags::empty())?;
            }
            Call::Chown { path, uid, gid } => {
                let uid = uid.map(host::Uid::from_raw);
                let gid = gid.map(host::Gid::from_raw);
                host::chownat(root, path, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            Call::SetTimes { path, seconds } => set_times(root, Path::new(path), *seconds)?,
            Call::Truncate { path, size } => {
                let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
                let file = host::openat(root, path, flags, Mode::empty())?;
                host::ftruncate(file, *size)?;
            }
            Call::SetXattr {
                path,
                name,
                value,
                mode,
            } => {
                let flags = match *mode {
                    "create" => XattrFlags::CREATE,
                    "replace" => XattrFlags::REPLACE,
                    _ => XattrFlags::empty(),
                };
                host::lsetxattr(self.full(path), *name, value, flags)?;
            }
            Call::RemoveXattr { path, name } => host::lremovexattr(self.full(path), *name)?,
            Call::Xattr { path, name, room } => {
                let mut value = vec![0; *room];
                let length = host::lgetxattr(self.full(path), *name, &mut value[..])?;
                return Ok(format!("{length} {}", sum(&value)));
            }
            Call::ReadDirectory { path } => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let directory = host::openat(root, path, flags, Mode::empty())?;
                let mut names = Vec::new();
                for entry in host::Dir::new(directory)? {
                    let entry = entry?;
                    names.push(format!("{:?} {:?}", entry.file_name(), entry.file_type()));
                }
                names.sort();
                return Ok(names.join(" "));
            }
            Call::ReadLink { path } => {
                let target = host::readlinkat(root, path, Vec::new())?;
                return Ok(format!("{target:?}"));
            }
            Call::Stat { path, follow } => {
                let flags = if *follow {
                    AtFlags::empty()
                } else {
                    AtFlags::SYMLINK_NOFOLLOW
                };
                return Ok(told(&host::statat(root, path, flags)?));
            }
            Call::Access { path } => {
                host::accessat(root, path, Access::EXEC_OK, AtFlags::empty())?;
            }
            _ => unreachable!("not on an inode"),
        }
        done()
    }
}

fn done() -> Answer {
    Ok("done".into())
}

fn open_flags(words: &str) -> OFlags {
    let flags = words.split(' ').map(|word| match word {
        "r" => OFlags::RDONLY,
        "w" => OFlags::WRONLY,
        "rw" => OFlags::RDWR,
        "create" => OFlags::CREATE,
        "excl" => OFlags::EXCL,
        "trunc" => OFlags::TRUNC,
        "directory" => OFlags::DIRECTORY,
        "nofollow" => OFlags::NOFOLLOW,
        other => panic!("{other}"),
    });
    // A pipe must not be waited for.
    flags.fold(OFlags::CLOEXEC | OFlags::NONBLOCK, |all, flag| all | flag)
}

/// A number that other data would hardly have.
fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// What of attributes can be compared.
fn told(stat: &Stat) -> String {
    let kind = FileType::from_raw_mode(stat.st_mode);
    let directory = kind == FileType::Directory;
    let mut mode = stat.st_mode;
    if kind == FileType::RegularFile {
        mode &= !SET_IDS;
    }
    let mut words = format!("{mode:o} {}:{}", stat.st_uid, stat.st_gid);
    if !directory {
        let _ = write!(
            words,
            " links {} size {} device {:x}",
            stat.st_nlink, stat.st_size, stat.st_rdev
        );
    }
    if stat.st_mtime < PRESENT {
        let _ = write!(words, " of {}.{}", stat.st_mtime, stat.st_mtime_nsec);
    }
    words
}

/// Everything in a tree, a line for each name.
fn picture(root: &Path) -> String {
    let mut lines = String::new();
    draw(root, "", &mut HashMap::new(), &mut lines);
    lines
}

fn draw(root: &Path, path: &str, first: &mut HashMap<u64, String>, lines: &mut String) {
    let full = root.join(path);
    let stat = host::lstat(&full).unwrap();
    let _ = write!(lines, "/{path}: {}", told(&stat));
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind != FileType::Directory {
        let same = first.entry(stat.st_ino).or_insert_with(|| path.to_owned());
        let _ = write!(lines, " is /{same}");
    }
    if kind == FileType::RegularFile {
        let _ = write!(lines, " data {}", sum(&fs::read(&full).unwrap()));
    }
    if kind == FileType::Symlink {
        let _ = write!(lines, " to {:?}", fs::read_link(&full).unwrap());
    }
    for (name, value) in xattrs(&full) {
        let _ = write!(lines, " {name}={}", sum(&value));
    }
    lines.push('\n');
    if kind == FileType::Directory {
        let entries = fs::read_dir(&full).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        for name in names {
            let below = if path.is_empty() {
                name
            } else {
                format!("{path}/{name}")
            };
            draw(root, &below, first, lines);
        }
    }
}

/// Attributes in order of their names.
fn xattrs(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut buffer = vec![0; 4096];
    let length = host::llistxattr(path, &mut buffer[..]).unwrap_or(0);
    let names = buffer[..length].split(|&byte| byte == 0);
    let mut all = Vec::new();
    for name in names.filter(|name| !name.is_empty()) {
        let name = String::from_utf8(name.to_vec()).unwrap();
        let mut value = vec![0; 4096];
        let length = host::lgetxattr(path, name.as_str(), &mut value[..]).unwrap();
        value.truncate(length);
        all.push((name, value));
    }
    all.sort();
    all
}
