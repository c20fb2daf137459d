//! What went wrong with a WPAR, kept for `wparerr`: one line each, beside its console log, bounded.
//!
//! It outlives the run directory. Texts from inside have been made harmless before they get here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::LaunchSpec;
use super::note::note;
use super::state::replace;

/// Bytes that are kept.
const LONGEST: usize = 4096;

/// Where the errors of the WPAR with this console log are.
pub(crate) fn path(console_log: &Path) -> PathBuf {
    console_log.with_file_name("errors.log")
}

/// Keeps `what`, with the time, and tells it to this process's own log.
pub(super) fn keep(spec: &LaunchSpec, what: impl std::fmt::Display) {
    note(&what);
    if let Err(error) = append(&path(&spec.console_log), &what.to_string()) {
        note(format_args!("this cannot be kept: {error}"));
    }
}

/// Appends one line; old ones go.
pub(crate) fn append(path: &Path, what: &str) -> io::Result<()> {
    let before = match fs::read_to_string(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        read => read.unwrap_or_default(),
    };
    let now = humantime::format_rfc3339_seconds(SystemTime::now());
    let what = what.replace(['\n', '\r'], " ");
    let all = format!("{before}{now} {what}\n");
    replace(path, last(&all, LONGEST).as_bytes())
}

/// The last whole lines of `text` that have at most `bytes` together.
pub(crate) fn last(text: &str, bytes: usize) -> &str {
    let mut rest = text;
    while rest.len() > bytes {
        match rest.split_once('\n') {
            Some((_, after)) => rest = after,
            None => return "",
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_are_kept_and_each_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let file = path(&directory.path().join("console.log"));
        for number in 0..100 {
            append(
                &file,
                &format!("error {number:03}: {}\nmore", "x".repeat(70)),
            )
            .unwrap();
        }
        let text = fs::read_to_string(&file).unwrap();
        assert!(
            text.len() <= LONGEST && text.len() > LONGEST - 200,
            "{}",
            text.len()
        );
        assert!(
            text.lines()
                .all(|line| line.contains("Z error ") && line.ends_with("more"))
        );
        assert!(text.lines().next_back().unwrap().contains("error 099"));
        assert_eq!(last("a\nbb\n", 3), "bb\n");
        assert_eq!(last("abc", 2), "");
    }
}
