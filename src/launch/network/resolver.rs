//! The WPAR's `/etc/resolv.conf`, written inside before its init starts.
//!
//! One that names a server elsewhere is its administrator's and stays; one that is missing, leads
//! nowhere yet, or names servers of the machine that it was copied from is replaced. What was written
//! here is written anew at each start, because the host's servers change.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, openat, openat2, renameat, statat, unlinkat,
};
use rustix::io::Errno;

use crate::source::resolver::has_server_elsewhere;

/// First line of a file that was written here.
pub const MARK: &str = "# wpar: from the host, at each start";

/// Longest file that is looked at.
const LONGEST: usize = 64 << 10;

const NAME: &str = "resolv.conf";
const NEW: &str = ".resolv.conf.wpar";

/// Writes `text` into the system whose root is `root`, if it has no resolver of its own.
///
/// # Errors
/// Those of its file system. A system without `/etc` needs none.
pub(crate) fn write(root: BorrowedFd<'_>, text: &str) -> io::Result<()> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let etc = match openat2(root, "etc", flags, Mode::empty(), resolve) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        etc => etc?,
    };
    let old = read(etc.as_fd())?;
    if !replaces(old.as_deref()) || old.as_deref() == Some(text.as_bytes()) {
        return Ok(());
    }
    match unlinkat(&etc, NEW, AtFlags::empty()) {
        Err(Errno::NOENT) | Ok(()) => {}
        Err(error) => return Err(error.into()),
    }
    let file = openat(
        &etc,
        NEW,
        OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::from_raw_mode(0o644),
    )?;
    io::Write::write_all(&mut std::fs::File::from(file), text.as_bytes())?;
    Ok(renameat(&etc, NEW, &etc, NAME)?)
}

/// The beginning of the file; `None` if there is none, or none that is a file: a link in a system that
/// has not started leads to what a program of it has yet to write.
fn read(etc: BorrowedFd<'_>) -> io::Result<Option<Vec<u8>>> {
    match statat(etc, NAME, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(None),
        Ok(found) if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile => {
            return Ok(None);
        }
        found => drop(found?),
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = std::fs::File::from(openat(etc, NAME, flags, Mode::empty())?);
    let mut text = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, LONGEST as u64), &mut text)?;
    Ok(Some(text))
}

/// Whether a file with these contents is replaced.
fn replaces(old: Option<&[u8]>) -> bool {
    old.is_none_or(|text| text.starts_with(MARK.as_bytes()) || !has_server_elsewhere(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn written(etc: &std::path::Path, text: &str) -> String {
        let root = fs::File::open(etc.parent().unwrap()).unwrap();
        write(root.as_fd(), text).unwrap();
        fs::read_to_string(etc.join(NAME)).unwrap()
    }

    #[test]
    fn only_what_is_of_no_use_is_replaced() {
        let temp = tempfile::tempdir().unwrap();
        let etc = temp.path().join("etc");
        fs::create_dir(&etc).unwrap();
        let ours = format!("{MARK}\nnameserver 192.0.2.53\n");
        assert_eq!(written(&etc, &ours), ours);
        let newer = format!("{MARK}\nnameserver 192.0.2.54\n");
        assert_eq!(written(&etc, &newer), newer);
        let own = "nameserver 198.51.100.1\n";
        fs::write(etc.join(NAME), own).unwrap();
        assert_eq!(written(&etc, &ours), own);
        fs::write(etc.join(NAME), "nameserver 127.0.0.53\n").unwrap();
        assert_eq!(written(&etc, &ours), ours);
    }

    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let temp = tempfile::tempdir().unwrap();
        let etc = temp.path().join("root/etc");
        fs::create_dir_all(&etc).unwrap();
        let outside = temp.path().join("outside");
        fs::write(&outside, "precious").unwrap();
        std::os::unix::fs::symlink(&outside, etc.join(NAME)).unwrap();
        let ours = format!("{MARK}\nnameserver 192.0.2.53\n");
        assert_eq!(written(&etc, &ours), ours);
        assert_eq!(fs::read_to_string(&outside).unwrap(), "precious");
        // Neither is a link in place of /etc.
        let other = temp.path().join("other");
        fs::create_dir(&other).unwrap();
        std::os::unix::fs::symlink(&etc, other.join("etc")).unwrap();
        let root = fs::File::open(&other).unwrap();
        fs::write(etc.join(NAME), "").unwrap();
        write(root.as_fd(), &ours).unwrap();
        assert_eq!(fs::read_to_string(etc.join(NAME)).unwrap(), "");
    }
}
