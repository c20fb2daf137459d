//! Which files the processes of this host have open for writing.
//!
//! Told by `/proc`, so it is what was true a moment ago, and of processes that could be looked at.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files that are noted at most.
const MOST: usize = 4096;

/// A file that a process has open for writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenFile {
    /// The process.
    pub pid: u32,
    /// What it runs, as the kernel calls it.
    pub program: String,
    /// The file.
    pub path: PathBuf,
}

/// Regular files that processes that see the same mounts as this one have open for writing.
pub fn open_for_writing() -> Vec<OpenFile> {
    let own = fs::read_link("/proc/self/ns/mnt").ok();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let process = entry.path();
        if pid == std::process::id() || fs::read_link(process.join("ns/mnt")).ok() != own {
            continue;
        }
        let program = fs::read_to_string(process.join("comm")).unwrap_or_default();
        for descriptor in fs::read_dir(process.join("fd"))
            .into_iter()
            .flatten()
            .flatten()
        {
            if found.len() >= MOST {
                return found;
            }
            let number = descriptor.file_name();
            let info = fs::read_to_string(process.join("fdinfo").join(number)).unwrap_or_default();
            let Ok(path) = fs::read_link(descriptor.path()) else {
                continue;
            };
            if is_for_writing(&info) && path.is_absolute() && is_same(&descriptor.path(), &path) {
                found.push(OpenFile {
                    pid,
                    program: program.trim_end().to_owned(),
                    path,
                });
            }
        }
    }
    found
}

/// Whether the flags in a `/proc/PID/fdinfo/N` say that it can be written.
fn is_for_writing(info: &str) -> bool {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & 3 != 0)
}

/// Whether the regular file that is open is the one of that name.
fn is_same(open: &Path, path: &Path) -> bool {
    let (Ok(open), Ok(named)) = (fs::metadata(open), fs::symlink_metadata(path)) else {
        return false;
    };
    named.is_file() && (open.dev(), open.ino()) == (named.dev(), named.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_octal() {
        assert!(is_for_writing("pos:\t0\nflags:\t0100002\nmnt_id:\t29\n"));
        assert!(is_for_writing("pos:\t0\nflags:\t02101\n"));
        assert!(!is_for_writing("pos:\t0\nflags:\t0100000\n"));
        assert!(!is_for_writing(""));
    }

    #[test]
    fn what_a_child_writes_is_found() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("log");
        let file = fs::File::create(&path).unwrap();
        let mut child = std::process::Command::new("sleep")
            .arg("100")
            .stdout(file)
            .spawn()
            .unwrap();
        let found = open_for_writing();
        child.kill().unwrap();
        child.wait().unwrap();
        let real = fs::canonicalize(&path).unwrap();
        assert!(
            found
                .iter()
                .any(|open| open.pid == child.id() && open.path == real)
        );
    }
}
