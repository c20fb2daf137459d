//! What a backup says about the system that it is of: read from the kernel and from its files.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::describe::{BackupFacts, FileSystem};
use crate::source::host::Mount;
use crate::source::os_release::value;

/// Longest file that is read for a fact.
pub const LONGEST: u64 = 64 << 10;

/// A text file of a system, by its path from the root of that system.
pub type ReadText<'a> = &'a dyn Fn(&str) -> Option<Vec<u8>>;

/// Reads files below a directory; links in it are followed as they would be if it were the root.
pub fn below(root: &Path) -> impl Fn(&str) -> Option<Vec<u8>> + use<> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, flags, Mode::empty()).ok();
    move |path| read_below(root.as_ref()?, path)
}

fn read_below(root: &OwnedFd, path: &str) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT).ok()?;
    let file = File::from(file);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text).ok()?;
    Some(text)
}

/// The facts about a system whose files `read` gives, on this kernel.
pub fn gather(read: ReadText<'_>) -> BackupFacts {
    let kernel = rustix::system::uname();
    let word = |word: &std::ffi::CStr| word.to_string_lossy().into_owned();
    let release = read("etc/os-release").or_else(|| read("usr/lib/os-release"));
    let release = release.unwrap_or_default();
    let line = |path: &str| {
        let text = read(path)?;
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().next()?.trim().to_owned();
        (!line.is_empty()).then_some(line)
    };
    let locale = read("etc/default/locale").or_else(|| read("etc/locale.conf"));
    let locale = locale.unwrap_or_default();
    BackupFacts {
        seconds: now(),
        hostname: line("etc/hostname").unwrap_or_else(|| word(kernel.nodename())),
        kernel: [
            word(kernel.sysname()),
            word(kernel.release()),
            word(kernel.version()),
        ],
        machine: word(kernel.machine()),
        id: value(&release, "ID").unwrap_or_else(|| "linux".to_owned()),
        version: value(&release, "VERSION_ID"),
        point: line("etc/debian_version"),
        name: value(&release, "PRETTY_NAME"),
        machine_id: line("etc/machine-id"),
        language: value(&locale, "LANG"),
        file_systems: Vec::new(),
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}

/// How full the file systems of these mounts are; those that do not answer are left out.
pub fn file_systems(mounts: &[Mount]) -> Vec<FileSystem> {
    let look = |mount: &Mount| {
        let stat = rustix::fs::statvfs(&mount.point).ok()?;
        Some(FileSystem {
            name: mount.point.clone(),
            fs_type: mount.fs_type.clone(),
            source: mount.source.clone(),
            bytes: stat.f_blocks * stat.f_frsize,
            used: (stat.f_blocks - stat.f_bfree.min(stat.f_blocks)) * stat.f_frsize,
        })
    };
    mounts.iter().filter_map(look).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_nowhere_else() {
        let temp = tempfile::tempdir().unwrap();
        let etc = temp.path().join("etc");
        std::fs::create_dir_all(temp.path().join("usr/lib")).unwrap();
        std::fs::create_dir(&etc).unwrap();
        std::fs::write(
            temp.path().join("usr/lib/os-release"),
            "ID=test\nVERSION_ID=\"7\"\n",
        )
        .unwrap();
        std::os::unix::fs::symlink("/usr/lib/os-release", etc.join("os-release")).unwrap();
        std::os::unix::fs::symlink("../../../../../../etc/passwd", etc.join("hostname")).unwrap();
        let facts = gather(&below(temp.path()));
        assert_eq!(
            (facts.id.as_str(), facts.version.as_deref()),
            ("test", Some("7"))
        );
        assert_eq!(facts.machine_id, None);
        assert!(!facts.hostname.contains(':'), "{}", facts.hostname);
    }
}
