//! Running programs: whether they are there, how long they take, and away from the rest of the
//! machine where they must see another root or leave processes behind.

use std::fs::{self, File, FileTimes};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use crate::Fallible;

/// 2026-01-01: the time that all files of a tree get, long before anything that is done to it.
const THEN: Duration = Duration::from_secs(1_767_225_600);

/// Where the shell would find a program.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// Says which of `programs` is not installed.
pub(crate) fn missing(programs: &[&str]) -> Option<String> {
    let missing: Vec<_> = programs
        .iter()
        .copied()
        .filter(|program| find(program).is_none())
        .collect();
    (!missing.is_empty()).then(|| format!("{} not installed", missing.join(", ")))
}

/// Says so if this is not root.
pub(crate) fn not_root() -> Option<String> {
    (!rustix::process::geteuid().is_root()).then(|| "needs root".to_owned())
}

/// A program that depends on nothing that the user has set up.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "C.UTF-8")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env_remove("MAKEFLAGS")
        .stdin(Stdio::null());
    command
}

/// Runs `command` to its end; how long it took, and what it printed.
pub(crate) fn run(command: &mut Command) -> Fallible<(Duration, String)> {
    let begin = Instant::now();
    let output = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let time = begin.elapsed();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok((time, text(&output.stdout)));
    }
    let complaint = text(&output.stderr);
    let lines: Vec<_> = complaint.lines().rev().take(5).collect();
    let lines: Vec<_> = lines.into_iter().rev().collect();
    Err(format!("{command:?}: {}: {}", output.status, lines.join("; ")).into())
}

/// Runs `command` to its end and throws away what it prints, as it comes; how long it took.
pub(crate) fn drain(command: &mut Command) -> Fallible<(Duration, u64)> {
    let begin = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut bytes = 0;
    if let Some(mut output) = child.stdout.take() {
        bytes = io::copy(&mut output, &mut io::sink())?;
    }
    let status = child.wait()?;
    let time = begin.elapsed();
    match status.success() {
        true => Ok((time, bytes)),
        false => Err(format!("{command:?}: {status}").into()),
    }
}

/// A shell script with `arguments` in mount and process namespaces of its own: what it mounts
/// nobody else sees, and what it leaves running ends with it, even if it is killed.
pub(crate) fn apart(script: &str, arguments: &[&Path]) -> Command {
    let mut command = command("unshare");
    command
        .args(["--mount", "--propagation", "private", "--pid", "--fork"])
        .args(["--kill-child", "--mount-proc", "sh", "-euc", script, "sh"])
        .args(arguments);
    command
}

/// Gives everything below `dir` the same times.
pub(crate) fn set_times(dir: &Path) -> Fallible<()> {
    let then = SystemTime::UNIX_EPOCH + THEN;
    let times = FileTimes::new().set_accessed(then).set_modified(then);
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            set_times(&entry.path())?;
        } else if kind.is_file() {
            File::open(entry.path())?.set_times(times)?;
        }
    }
    File::open(dir)?.set_times(times)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_the_program_said() {
        let error = run(command("sh").args(["-c", "echo no luck >&2; exit 3"])).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("no luck") && text.contains('3'), "{text}");
        assert!(find("sh").is_some());
        assert_eq!(
            missing(&["sh", "no-such-program"]),
            Some("no-such-program not installed".to_owned())
        );
        let (_, bytes) = drain(command("head").args(["-c", "100000", "/dev/zero"])).unwrap();
        assert_eq!(bytes, 100_000);
    }
}
