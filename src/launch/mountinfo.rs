//! `/proc/self/mountinfo`: what is mounted, told without touching any of it.

use std::io;
use std::path::{Path, PathBuf};

/// One mount.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Where it is.
    pub(crate) point: PathBuf,
    /// Type of its file system.
    pub(crate) kind: String,
    /// What is mounted, as the file system names it.
    pub(crate) source: String,
    /// Options of its superblock.
    pub(crate) options: String,
}

/// All mounts of this process's namespace, in their order.
pub(crate) fn read() -> io::Result<Vec<Mount>> {
    let text = std::fs::read("/proc/self/mountinfo")?;
    // A name that is no UTF-8 is none of ours, and must not hide the others.
    Ok(String::from_utf8_lossy(&text)
        .lines()
        .filter_map(parse)
        .collect())
}

/// Whether something is mounted on `point`.
pub(crate) fn is_mounted(point: &Path) -> bool {
    let point = std::path::absolute(point).unwrap_or_else(|_| point.to_owned());
    read().is_ok_and(|mounts| mounts.iter().any(|mount| mount.point == point))
}

/// One line, see proc_pid_mountinfo(5).
fn parse(line: &str) -> Option<Mount> {
    let (mount, file_system) = line.split_once(" - ")?;
    let point = mount.split(' ').nth(4)?;
    let mut fields = file_system.split(' ');
    Some(Mount {
        point: PathBuf::from(unescape(point)),
        kind: fields.next()?.to_owned(),
        source: unescape(fields.next()?),
        options: fields.next()?.to_owned(),
    })
}

/// Resolves the octal escapes of blanks and backslashes.
fn unescape(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        result.push_str(&rest[..at]);
        let code = rest
            .get(at + 1..at + 4)
            .and_then(|code| u8::from_str_radix(code, 8).ok());
        let Some(code) = code.filter(u8::is_ascii) else {
            result.push('\\');
            rest = &rest[at + 1..];
            continue;
        };
        result.push(char::from(code));
        rest = &rest[at + 4..];
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_escapes_and_optional_fields() {
        let line =
            "36 35 98:0 / /mnt\\040a\\134b rw,noatime shared:1 master:2 - fuse.wpar wpar rw,x";
        let mount = parse(line).unwrap();
        assert_eq!(mount.point, Path::new("/mnt a\\b"));
        assert_eq!(mount.kind, "fuse.wpar");
        assert_eq!(mount.source, "wpar");
        assert_eq!(mount.options, "rw,x");
        assert_eq!(parse("nonsense"), None);
        assert_eq!(unescape("a\\"), "a\\");
        assert_eq!(unescape("\\9x"), "\\9x");
    }

    #[test]
    fn proc_is_mounted_and_a_file_is_not() {
        assert!(is_mounted(Path::new("/proc")));
        assert!(!is_mounted(Path::new("/proc/self/mountinfo")));
    }
}
