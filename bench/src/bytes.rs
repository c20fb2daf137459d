//! Bytes: on the disk, and written on the way there.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Space that the tree below `dir` takes on its own file system, in bytes (`st_blocks`). A hard
/// link counts once; other file systems mounted below are not entered.
pub(crate) fn disk_usage(dir: &Path) -> u64 {
    let Ok(top) = fs::symlink_metadata(dir) else {
        return 0;
    };
    let mut total = top.blocks() * 512;
    let mut linked = std::collections::HashSet::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.dev() != top.dev()
                || (meta.nlink() > 1 && meta.is_file() && !linked.insert(meta.ino()))
            {
                continue;
            }
            total += meta.blocks() * 512;
            if meta.is_dir() {
                todo.push(entry.path());
            }
        }
    }
    total
}

/// Bytes that a process and all its children that it has waited for have caused to be written to
/// a disk, now or later (`write_bytes` less `cancelled_write_bytes` of proc(5)).
pub(crate) fn written_by(process: &str) -> u64 {
    let table = fs::read_to_string(format!("/proc/{process}/io")).unwrap_or_default();
    let field = |name: &str| {
        let line = table.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim().parse::<u64>().ok())
            .unwrap_or(0)
    };
    field("write_bytes:").saturating_sub(field("cancelled_write_bytes:"))
}

/// A number of bytes for people.
pub(crate) fn human(bytes: f64) -> String {
    match bytes {
        b if b >= 1e9 => format!("{:.2} GB", b / 1e9),
        b if b >= 1e6 => format!("{:.1} MB", b / 1e6),
        b if b >= 1e3 => format!("{:.1} kB", b / 1e3),
        b => format!("{b:.0} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hard_link_takes_no_space() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        fs::write(&file, vec![1; 1 << 20]).unwrap();
        fs::File::open(&file).unwrap().sync_all().unwrap();
        let before = disk_usage(dir.path());
        assert!(before >= 1 << 20, "{before}");
        fs::hard_link(&file, dir.path().join("b")).unwrap();
        assert_eq!(disk_usage(dir.path()), before);
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(human(999.0), "999 B");
        assert_eq!(human(249_484_800.0), "249.5 MB");
        assert_eq!(human(2.5e9), "2.50 GB");
    }
}
