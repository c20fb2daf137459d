//! A tree of files with a root that no path leads out of, and how the kernel finds a path in it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::entry::joined;
use super::ids::Ids;

/// How often a path is looked up again that somebody changes under our hands.
const PATIENCE: u32 = 100;

/// Only to name a file, not to read it.
const NAME_ONLY: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// A tree of files.
#[derive(Debug)]
pub(crate) struct Place {
    /// `None` is the host's, as the administrator sees it.
    root: Option<OwnedFd>,
    ids: Ids,
}

/// A file in a place, or one that could be there.
#[derive(Debug)]
pub(crate) struct Located {
    /// Its directory; the file itself if that has no name.
    pub(super) directory: OwnedFd,
    /// Its name there; empty if `directory` is meant.
    pub(super) name: Vec<u8>,
    pub(super) ids: Ids,
}

/// Opens `path` below `directory` as `openat2(2)` does it with `resolve`.
fn look_up(
    directory: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    resolve: ResolveFlags,
) -> io::Result<OwnedFd> {
    let mut patience = PATIENCE;
    loop {
        match openat2(directory, path, flags, Mode::empty(), resolve) {
            // Something was renamed on the way, and the kernel will not swear that it stayed inside.
            Err(Errno::AGAIN | Errno::INTR) if patience > 0 => patience -= 1,
            result => return Ok(result?),
        }
    }
}

/// Opens `path` below `directory`, with no link on the way or at its end followed.
pub(super) fn open_below(
    directory: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let path = if path.is_empty() { b"." } else { path };
    look_up(directory, path, flags | OFlags::CLOEXEC, resolve)
}

/// Names the file `path` below `directory`, a link too.
pub(super) fn name_below(directory: BorrowedFd<'_>, path: &[u8]) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let (parent, name) = super::entry::split(path);
    let parent = open_below(directory, parent, NAME_ONLY | OFlags::DIRECTORY)?;
    look_up(parent.as_fd(), name, NAME_ONLY | OFlags::NOFOLLOW, resolve)
}

/// The name at the end of a path as a user gives it; `None` for `/`, `.` and `..`, which have none.
pub(crate) fn last_name(path: &[u8]) -> Option<&[u8]> {
    let end = path.iter().rposition(|byte| *byte != b'/')? + 1;
    let (_, name) = super::entry::split(path.get(..end)?);
    (name != b"." && name != b"..").then_some(name)
}

/// The path of the directory that the file `path`, which has a name, is in.
fn directory_of(path: &[u8]) -> Vec<u8> {
    let end = path.iter().rposition(|byte| *byte != b'/');
    let path = end.and_then(|end| path.get(..=end)).unwrap_or(path);
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) => b"/".to_vec(),
        Some(at) => path.get(..at).unwrap_or_default().to_vec(),
        None => b".".to_vec(),
    }
}

impl Place {
    /// The host.
    pub(crate) fn host() -> Self {
        Self {
            root: None,
            ids: Ids::PLAIN,
        }
    }

    /// The tree below `root`, in which the ids `ids` of the host are those of the system.
    pub(crate) fn inside(root: OwnedFd, ids: Ids) -> Self {
        Self {
            root: Some(root),
            ids,
        }
    }

    /// The directory `path`, wherever links lead in this place.
    ///
    /// # Errors
    /// As `open(2)`.
    pub(crate) fn directory(&self, path: &[u8]) -> io::Result<OwnedFd> {
        self.resolve(path, NAME_ONLY | OFlags::DIRECTORY)
    }

    fn resolve(&self, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
        match &self.root {
            // Where the administrator's own links lead is the administrator's affair.
            None => look_up(CWD, path, flags, ResolveFlags::empty()),
            Some(root) => look_up(
                root.as_fd(),
                // A relative path begins at the root, too: nobody has a working directory there.
                &[b"/", path].concat(),
                flags,
                ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
            ),
        }
    }

    /// The file `path`, which is there. A link at its end is the file, unless `follow` or a slash
    /// behind it says otherwise.
    ///
    /// # Errors
    /// As `open(2)`.
    pub(crate) fn file(&self, path: &[u8], follow: bool) -> io::Result<Located> {
        let found = match last_name(path) {
            Some(name) if !follow && !path.ends_with(b"/") => {
                let found = Located {
                    directory: self.directory(&directory_of(path))?,
                    name: name.to_vec(),
                    ids: self.ids,
                };
                name_below(found.directory.as_fd(), &found.name)?;
                found
            }
            _ => Located {
                directory: self.resolve(path, NAME_ONLY)?,
                name: Vec::new(),
                ids: self.ids,
            },
        };
        Ok(found)
    }

    /// Where a copy called `name` goes if `path` is what the user named: into it if it is a
    /// directory, else under its name into the directory where it is. Without a `name`, contents of a
    /// directory are copied.
    ///
    /// # Errors
    /// As `open(2)`; [`io::ErrorKind::NotADirectory`] if contents of a directory, or a directory,
    /// would go to a file.
    pub(crate) fn target(
        &self,
        path: &[u8],
        name: Option<&[u8]>,
        is_directory: bool,
    ) -> io::Result<Located> {
        match self.directory(path) {
            Ok(directory) => Ok(Located {
                directory,
                name: name.map(<[u8]>::to_vec).unwrap_or_default(),
                ids: self.ids,
            }),
            Err(error) => {
                let replaces = matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                );
                let there = self.file(path, false).is_ok();
                match last_name(path) {
                    Some(name)
                        if replaces
                            && (is_directory && !there
                                || !is_directory && !path.ends_with(b"/")) =>
                    {
                        Ok(Located {
                            directory: self.directory(&directory_of(path))?,
                            name: name.to_vec(),
                            ids: self.ids,
                        })
                    }
                    _ => Err(error),
                }
            }
        }
    }
}

impl Located {
    /// Its name in the directory where it is; empty if it is that directory.
    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    /// The path of `below` in [`Self::directory`].
    pub(super) fn path(&self, below: &[u8]) -> Vec<u8> {
        match below {
            b"" => self.name.clone(),
            below => joined(&self.name, below),
        }
    }

    /// Whether it is a directory.
    ///
    /// # Errors
    /// As `stat(2)`.
    pub(crate) fn is_directory(&self) -> io::Result<bool> {
        let file = match self.name.as_slice() {
            b"" => self.directory.try_clone()?,
            name => name_below(self.directory.as_fd(), name)?,
        };
        let mode = rustix::fs::fstat(&file)?.st_mode;
        Ok(rustix::fs::FileType::from_raw_mode(mode) == rustix::fs::FileType::Directory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn names_are_found_in_what_a_user_types() {
        for (path, name, directory) in [
            ("a", Some("a"), "."),
            ("a/b", Some("b"), "a"),
            ("/a", Some("a"), "/"),
            ("/a/b/", Some("b"), "/a"),
            ("/", None, "/"),
            ("a/.", None, "a"),
            ("..", None, "."),
        ] {
            let found = last_name(path.as_bytes());
            assert_eq!(found, name.map(str::as_bytes), "{path}");
            assert_eq!(
                directory_of(path.as_bytes()),
                directory.as_bytes(),
                "{path}"
            );
        }
    }

    fn tree() -> (tempfile::TempDir, Place) {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "host").unwrap();
        let root = outside.path().join("root");
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(root.join("etc/passwd"), "inside").unwrap();
        symlink("/etc", root.join("link")).unwrap();
        symlink("../../../secret", root.join("etc/up")).unwrap();
        symlink(outside.path(), root.join("out")).unwrap();
        let fd = rustix::fs::open(&root, NAME_ONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        (outside, Place::inside(fd, Ids::PLAIN))
    }

    #[test]
    fn no_path_leads_out_of_a_place() {
        let (_keep, place) = tree();
        for path in [
            "link/passwd",
            "/etc/passwd",
            "../../etc/passwd",
            "etc/../link/passwd",
        ] {
            assert!(place.file(path.as_bytes(), true).is_ok(), "{path}");
        }
        for path in ["etc/up", "../secret", "out/secret", "out"] {
            assert!(place.file(path.as_bytes(), true).is_err(), "{path}");
        }
        // The link itself can be had.
        assert!(place.file(b"etc/up", false).is_ok());
    }

    #[test]
    fn a_copy_goes_where_cp_would_put_it() {
        let (_keep, place) = tree();
        let into = place.target(b"/etc", Some(b"x"), false).unwrap();
        assert_eq!(into.name, b"x");
        let onto = place.target(b"/etc/passwd", Some(b"x"), false).unwrap();
        assert_eq!(onto.name, b"passwd");
        let new = place.target(b"/etc/new", Some(b"x"), true).unwrap();
        assert_eq!(new.name, b"new");
        for (path, is_directory) in [
            ("/etc/passwd", true),
            ("/no/where", false),
            ("/new/", false),
        ] {
            let refused = place.target(path.as_bytes(), Some(b"x"), is_directory);
            assert!(refused.is_err(), "{path}");
        }
    }
}
