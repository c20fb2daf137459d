//! The files below a directory of the host, each path resolved as by `chroot`: for a few small files
//! of a system that is there as a directory, the running one above all.
//!
//! Nothing in the tree is trusted: no link leads out of it, nothing but regular files is read, and
//! none of them can make the reader wait.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, openat2, readlinkat, statat};
use rustix::io::Errno;
use wpar_mountd::error::{FsError, FsResult};
use wpar_mountd::types::FileKind;

use super::files::{Files, split};

/// Resolved below the root, whatever its links say.
const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// How often a look-up is tried that something else on the host disturbs.
const ATTEMPTS: u32 = 10_000;

/// A directory as the root of a system.
#[derive(Debug)]
pub struct Below<F = OwnedFd>(F);

impl Below {
    /// The system at `path`.
    ///
    /// # Errors
    /// Those of opening the directory.
    pub fn open(path: &Path) -> FsResult<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }
}

impl<F: AsFd> Below<F> {
    /// The system at an open directory.
    pub(super) fn new(root: F) -> Self {
        Self(root)
    }

    /// Whether there is a directory of that path.
    pub(super) fn is_directory(&self, path: &str) -> bool {
        matches!(
            self.find(path.as_bytes(), OFlags::PATH | OFlags::DIRECTORY),
            Ok(Some(_))
        )
    }

    /// Owner, group and permissions of what `path` leads to; `None` if there is nothing.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn owner(&self, path: &[u8]) -> FsResult<Option<(u32, u32, u16)>> {
        let Some(found) = self.find(path, OFlags::PATH)? else {
            return Ok(None);
        };
        let stat = rustix::fs::fstat(&found)?;
        let permissions = u16::try_from(stat.st_mode & 0o7777).unwrap_or(0o600);
        Ok(Some((stat.st_uid, stat.st_gid, permissions)))
    }

    fn find(&self, path: &[u8], flags: OFlags) -> FsResult<Option<OwnedFd>> {
        let path = if path.is_empty() { b"." } else { path };
        for _ in 0..ATTEMPTS {
            match openat2(
                self.0.as_fd(),
                path,
                flags | OFlags::CLOEXEC,
                Mode::empty(),
                INSIDE,
            ) {
                Ok(found) => return Ok(Some(found)),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
                // Something was renamed or mounted anywhere on the host meanwhile, and the way led
                // through "..": the kernel cannot tell that it did not lead out.
                Err(Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Errno::AGAIN.into())
    }
}

fn kind(file_type: FileType) -> Option<FileKind> {
    Some(match file_type {
        FileType::RegularFile => FileKind::Regular,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        FileType::CharacterDevice => FileKind::CharDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::Unknown => return None,
    })
}

/// Where an open file is, by the kernel's word.
fn path_of(file: BorrowedFd<'_>) -> FsResult<Vec<u8>> {
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(std::fs::read_link(link)?.as_os_str().as_bytes().to_vec())
}

impl<F: AsFd> Files for Below<F> {
    fn read(&self, path: &[u8], limit: u64) -> FsResult<Option<Vec<u8>>> {
        let Some(file) = self.find(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?
        else {
            return Ok(None);
        };
        let file = File::from(file);
        if !file.metadata()?.is_file() {
            return Ok(None);
        }
        let mut contents = Vec::new();
        file.take(limit.saturating_add(1))
            .read_to_end(&mut contents)?;
        match contents.len() as u64 > limit {
            true => Err(FsError::FileTooBig),
            false => Ok(Some(contents)),
        }
    }

    fn names(&self, path: &[u8]) -> FsResult<Vec<(Vec<u8>, FileKind)>> {
        let Some(dir) = self.find(path, OFlags::RDONLY | OFlags::DIRECTORY)? else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        for entry in Dir::read_from(&dir)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            let file_type = match entry.file_type() {
                FileType::Unknown => statat(&dir, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
                    .map_or(FileType::Unknown, |stat| {
                        FileType::from_raw_mode(stat.st_mode)
                    }),
                known => known,
            };
            if let Some(kind) = kind(file_type).filter(|_| !matches!(name, b"." | b"..")) {
                names.push((name.to_vec(), kind));
            }
        }
        names.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(names)
    }

    fn link(&self, path: &[u8]) -> FsResult<Option<Vec<u8>>> {
        let (above, name) = split(path);
        let Some(dir) = self.find(above, OFlags::PATH | OFlags::DIRECTORY)? else {
            return Ok(None);
        };
        match readlinkat(&dir, name, Vec::new()) {
            Ok(target) => Ok(Some(target.into_bytes())),
            Err(Errno::NOENT | Errno::INVAL | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn real(&self, path: &[u8]) -> FsResult<Option<(Vec<u8>, FileKind)>> {
        let Some(found) = self.find(path, OFlags::PATH)? else {
            return Ok(None);
        };
        let stat = rustix::fs::fstat(&found)?;
        let Some(kind) = kind(FileType::from_raw_mode(stat.st_mode)) else {
            return Ok(None);
        };
        let whole = path_of(found.as_fd())?;
        let root = path_of(self.0.as_fd())?;
        let below = whole.strip_prefix(root.as_slice()).unwrap_or(&whole);
        Ok(Some((
            below.strip_prefix(b"/").unwrap_or(below).to_vec(),
            kind,
        )))
    }

    fn modified(&self, path: &[u8]) -> FsResult<Option<i64>> {
        let Some(found) = self.find(path, OFlags::PATH)? else {
            return Ok(None);
        };
        Ok(Some(rustix::fs::fstat(&found)?.st_mtime))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_are_found_inside_and_nowhere_else() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("usr/lib")).unwrap();
        fs::write(temp.path().join("usr/lib/os-release"), "ID=x\n").unwrap();
        symlink("usr/lib", temp.path().join("lib")).unwrap();
        symlink(
            "../../../../lib/os-release",
            temp.path().join("usr/release"),
        )
        .unwrap();
        symlink("/etc/passwd", temp.path().join("out")).unwrap();
        let files = Below::open(temp.path()).unwrap();
        assert_eq!(files.read(b"/usr/release", 64).unwrap().unwrap(), b"ID=x\n");
        assert_eq!(
            files.read(b"out", 1 << 20).unwrap(),
            None,
            "the host's /etc/passwd"
        );
        assert_eq!(files.read(b"usr/release", 2), Err(FsError::FileTooBig));
        let real = files.real(b"usr/release").unwrap();
        assert_eq!(
            real,
            Some((b"usr/lib/os-release".to_vec(), FileKind::Regular))
        );
        assert_eq!(files.link(b"lib").unwrap().unwrap(), b"usr/lib");
        assert_eq!(files.link(b"usr").unwrap(), None);
        let names = files.names(b"/").unwrap();
        let names: Vec<_> = names.iter().map(|(name, _)| name.as_slice()).collect();
        assert_eq!(names, [&b"lib"[..], b"out", b"usr"]);
        assert!(files.modified(b"usr/release").unwrap().unwrap() > 1_600_000_000);
        assert_eq!(files.modified(b"none").unwrap(), None);
    }

    #[test]
    fn a_rename_elsewhere_does_not_fail_a_look_up() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("a/b/c")).unwrap();
        fs::write(temp.path().join("a/file"), "x").unwrap();
        symlink("../../../a/b/../file", temp.path().join("a/b/c/link")).unwrap();
        let files = Below::open(temp.path()).unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        let (one, two) = (temp.path().join("one"), temp.path().join("two"));
        fs::create_dir(&one).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    fs::rename(&one, &two).unwrap();
                    fs::rename(&two, &one).unwrap();
                }
            });
            for _ in 0..20_000 {
                let found = files.read(b"a/b/c/link", 64);
                if found.as_ref().map(Option::is_some) != Ok(true) {
                    done.store(true, std::sync::atomic::Ordering::Relaxed);
                    panic!("{found:?}");
                }
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }
}
