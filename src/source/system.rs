//! Whether a tree is the root of a system, and of which.
//!
//! Nothing in the tree is trusted: each path is resolved within it, as by `chroot`.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

/// Resolved below the tree's root, whatever its links say.
const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

fn open(root: impl AsFd, path: &str, flags: OFlags) -> Option<File> {
    let flags = flags | OFlags::CLOEXEC;
    let opened = openat2(root.as_fd(), path, flags, Mode::empty(), INSIDE);
    opened.ok().map(File::from)
}

/// Whether the directory `root` has what every system has: `etc` and `usr`.
pub(super) fn is_system_at(root: impl AsFd) -> bool {
    let root = root.as_fd();
    let directory = OFlags::PATH | OFlags::DIRECTORY;
    ["etc", "usr"]
        .iter()
        .all(|name| open(root, name, directory).is_some())
}

/// What the system at `root` calls itself (`PRETTY_NAME` of os-release(5)).
pub(super) fn name_at(root: impl AsFd) -> Option<String> {
    const LONGEST: u64 = 64 << 10;
    let root = root.as_fd();
    let file = ["etc/os-release", "usr/lib/os-release"]
        .into_iter()
        .find_map(|path| open(root, path, OFlags::RDONLY | OFlags::NONBLOCK))?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    let value = value.trim().trim_matches(['"', '\'']);
    let printable = |c: &char| !c.is_control();
    Some(value.chars().filter(printable).take(80).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn this_system_is_one() {
        assert!(is_system_at(File::open("/").unwrap()));
    }

    #[test]
    fn links_do_not_lead_out_of_the_tree() {
        let temp = tempfile::tempdir().unwrap();
        let root = File::open(temp.path()).unwrap();
        symlink("/usr", temp.path().join("etc")).unwrap();
        symlink("../../../..", temp.path().join("usr")).unwrap();
        // `usr` is the tree itself; there is no `/usr/usr` for `etc` to lead to but that.
        assert!(is_system_at(&root));
        fs::remove_file(temp.path().join("usr")).unwrap();
        assert!(!is_system_at(&root), "the host's own /usr");
        assert_eq!(name_at(&root), None);
        fs::create_dir_all(temp.path().join("usr/lib")).unwrap();
        let text = "NAME=x\nPRETTY_NAME=\"Debian \u{1b}[1m12\"\n";
        fs::write(temp.path().join("usr/lib/os-release"), text).unwrap();
        assert_eq!(name_at(&root).unwrap(), "Debian [1m12");
    }
}
