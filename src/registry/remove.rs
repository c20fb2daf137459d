//! Removing a tree, never anything beyond it.
//!
//! Stores hold whatever programs in a WPAR made, also a directory a million levels deep, and are
//! removed by root. So: symbolic links are never followed, mounts are never entered, and depth
//! costs neither stack nor file descriptors: a directory's sub-directories are moved up to the
//! top before it is removed.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, openat2, renameat, unlinkat,
};
use rustix::io::Errno;

/// Removes `path` with all that is below it. That it does not exist is no error.
///
/// # Errors
/// `EXDEV` or `EBUSY` if something is mounted in it (what is not mounted may be gone by then),
/// else those of the file system.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    match unlinkat(CWD, path, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // EISDIR on Linux, EPERM by POSIX.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    let top = open_directory(CWD, path, ResolveFlags::empty())?;
    let mut moved = 0u64;
    // What is moved up during a pass is found by the next one.
    while empty_once(&top, &mut moved)? {}
    Ok(unlinkat(CWD, path, AtFlags::REMOVEDIR)?)
}

/// Removes what is in `top` now; true if there may be more.
fn empty_once(top: &OwnedFd, moved: &mut u64) -> io::Result<bool> {
    let mut found = false;
    for entry in Dir::read_from(top)? {
        let entry = entry?;
        if is_dots(entry.file_name()) {
            continue;
        }
        found = true;
        if is_directory(top.as_fd(), entry.file_name(), entry.file_type())? {
            flatten(top, entry.file_name(), moved)?;
            unlinkat(top, entry.file_name(), AtFlags::REMOVEDIR)?;
        } else {
            unlinkat(top, entry.file_name(), AtFlags::empty())?;
        }
    }
    Ok(found)
}

/// Empties the directory `name` of `top`: its files are removed, its directories moved to `top`.
fn flatten(top: &OwnedFd, name: &CStr, moved: &mut u64) -> io::Result<()> {
    let dir = open_directory(top.as_fd(), name, ResolveFlags::NO_XDEV)?;
    for entry in Dir::read_from(&dir)? {
        let entry = entry?;
        if is_dots(entry.file_name()) {
            continue;
        }
        if is_directory(dir.as_fd(), entry.file_name(), entry.file_type())? {
            move_up(&dir, entry.file_name(), top, moved)?;
        } else {
            unlinkat(&dir, entry.file_name(), AtFlags::empty())?;
        }
    }
    Ok(())
}

fn move_up(dir: &OwnedFd, name: &CStr, top: &OwnedFd, moved: &mut u64) -> io::Result<()> {
    loop {
        *moved += 1;
        let target = format!(".removed-{moved}");
        // Onto an empty directory of that name a rename is allowed, and harmless.
        match renameat(dir, name, top, target.as_str()) {
            Ok(()) => return Ok(()),
            Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => continue,
            Err(error) => return Err(error.into()),
        }
    }
}

fn is_dots(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

fn is_directory(dir: BorrowedFd<'_>, name: &CStr, kind: FileType) -> io::Result<bool> {
    match kind {
        FileType::Unknown => {
            let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
            Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
        }
        known => Ok(known == FileType::Directory),
    }
}

fn open_directory<P: rustix::path::Arg>(
    dir: BorrowedFd<'_>,
    path: P,
    resolve: ResolveFlags,
) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat2(dir, path, flags, Mode::empty(), resolve)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_tree_goes_and_what_its_links_point_to_stays() {
        let temp = tempfile::tempdir().unwrap();
        let outside = temp.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("keep"), "").unwrap();
        let tree = temp.path().join("tree");
        fs::create_dir_all(tree.join("a/b/c")).unwrap();
        fs::create_dir_all(tree.join(".removed-1/x")).unwrap();
        fs::write(
            tree.join(".removed-2"),
            "a file with the name that a directory would get",
        )
        .unwrap();
        fs::write(tree.join("a/b/file"), "").unwrap();
        symlink(&outside, tree.join("a/b/link")).unwrap();
        symlink(&outside, tree.join("link")).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        assert!(outside.join("keep").exists());
    }

    #[test]
    fn a_missing_tree_and_a_single_file_are_no_trouble() {
        let temp = tempfile::tempdir().unwrap();
        remove_tree(&temp.path().join("none")).unwrap();
        let file = temp.path().join("file");
        fs::write(&file, "").unwrap();
        remove_tree(&file).unwrap();
        assert!(!file.exists());
    }

    /// Deeper than `PATH_MAX` and than the usual limit of open files.
    #[test]
    fn a_tree_of_any_depth_goes() {
        let temp = tempfile::tempdir().unwrap();
        let tree = temp.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let mut dir = open_directory(CWD, &tree, ResolveFlags::empty()).unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&dir, "dd", Mode::RWXU).unwrap();
            dir = open_directory(dir.as_fd(), "dd", ResolveFlags::empty()).unwrap();
        }
        drop(dir);
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
    }
}
