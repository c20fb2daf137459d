//! `git status`, and `git checkout` from one commit to another, in a repository of many files.
//!
//! The repository is made by `git fast-import`, so that all its object names are the same each
//! time. Git is told not to mind inode numbers and change times: the subjects differ in them, and
//! reading 20,000 files again because a copy has new ones says nothing about a file system.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Fallible;
use crate::workload::real::program::{command, run, set_times};
use crate::workload::real::sources;

/// What it needs.
pub(crate) const NEEDS: &[&str] = &["git"];

/// Two commits; between them every tenth file changes, every hundredth goes, and as many come.
const BRANCHES: [&str; 2] = ["one", "two"];

/// Makes the repository with `files` files, the first commit checked out.
pub(crate) fn set_up(lower: &Path, files: usize) -> Fallible<()> {
    let repository = repository(lower);
    fs::create_dir_all(&repository)?;
    run(git(&repository).args(["init", "--quiet", "--initial-branch=one"]))?;
    for (key, value) in [
        ("core.checkStat", "minimal"),
        ("core.trustctime", "false"),
        ("gc.auto", "0"),
        ("maintenance.auto", "false"),
    ] {
        run(git(&repository).args(["config", key, value]))?;
    }
    let mut import = git(&repository);
    let mut child = import
        .args(["fast-import", "--quiet"])
        .stdin(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(history(files).as_bytes())?;
    }
    let status = child.wait()?;
    if !status.success() {
        return Err(format!("git fast-import: {status}").into());
    }
    run(git(&repository).args(["reset", "--quiet", "--hard", "one"]))?;
    // Older than the index: else git does not trust them and reads each again.
    for entry in fs::read_dir(&repository)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with(".git") {
            set_times(&path)?;
        }
    }
    run(git(&repository).args(["update-index", "--refresh"]))?;
    Ok(())
}

/// `git status`.
pub(crate) fn status(root: &Path) -> Fallible<Duration> {
    let (time, output) = run(git(&repository(root)).args(["status", "--porcelain"]))?;
    match output.lines().next() {
        None => Ok(time),
        Some(line) => Err(format!("git sees a change that nobody made: {line}").into()),
    }
}

/// `git checkout` of the commit that is not checked out.
pub(crate) fn checkout(root: &Path) -> Fallible<Duration> {
    let repository = repository(root);
    let (_, now) = run(git(&repository).args(["branch", "--show-current"]))?;
    let other = BRANCHES.iter().find(|branch| **branch != now);
    let other = other.copied().unwrap_or("one");
    let (time, _) = run(git(&repository).args(["checkout", "--quiet", other]))?;
    Ok(time)
}

fn repository(root: &Path) -> PathBuf {
    root.join("repository")
}

fn git(repository: &Path) -> Command {
    let mut git = command("git");
    git.arg("-C")
        .arg(repository)
        .env("GIT_OPTIONAL_LOCKS", "1")
        // Owners are as they are; the repository is ours.
        .args(["-c", "safe.directory=*"]);
    git
}

/// The stream of `git fast-import`.
fn history(files: usize) -> String {
    let mut stream = String::new();
    for (mark, branch) in BRANCHES.iter().enumerate() {
        let _ = write!(
            stream,
            "commit refs/heads/{branch}\nmark :{}\n\
             committer bench <bench@localhost> {} +0000\ndata 4\n{branch}\n",
            mark + 1,
            1_767_225_600 + mark
        );
        if mark == 1 {
            stream.push_str("from :1\n");
        }
        for number in 0..files {
            let name = sources::name(number);
            match (mark, number % 100) {
                (0, _) | (1, 10 | 20 | 30 | 40 | 50 | 60 | 70 | 80 | 90) => {
                    add(&mut stream, &name, &sources::text(number, mark));
                }
                (1, 0) => {
                    let _ = writeln!(stream, "D {name}");
                    add(
                        &mut stream,
                        &format!("{name}.new"),
                        &sources::text(number, 2),
                    );
                }
                _ => {}
            }
        }
    }
    stream
}

fn add(stream: &mut String, name: &str, text: &str) {
    let _ = write!(
        stream,
        "M 100644 inline {name}\ndata {}\n{text}\n",
        text.len()
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::real::program::missing;

    #[test]
    fn a_repository_is_looked_at_and_checked_out_there_and_back() {
        if let Some(reason) = missing(NEEDS) {
            return crate::workload::real::skipped(&reason);
        }
        let dir = tempfile::tempdir().unwrap();
        set_up(dir.path(), 300).unwrap();
        status(dir.path()).unwrap();
        let changed = repository(dir.path()).join(sources::name(10));
        let gone = repository(dir.path()).join(sources::name(100));
        let read = || fs::read_to_string(&changed).unwrap();
        checkout(dir.path()).unwrap();
        assert!(read().contains("version 1") && !gone.exists());
        status(dir.path()).unwrap();
        checkout(dir.path()).unwrap();
        assert!(read().contains("version 0") && gone.exists());
        fs::write(&changed, "mine").unwrap();
        assert!(status(dir.path()).is_err(), "a change goes unnoticed");
    }

    #[test]
    fn the_commits_are_the_same_each_time() {
        if let Some(reason) = missing(NEEDS) {
            return crate::workload::real::skipped(&reason);
        }
        let dir = tempfile::tempdir().unwrap();
        set_up(dir.path(), 120).unwrap();
        let (_, name) = run(git(&repository(dir.path())).args(["rev-parse", "two"])).unwrap();
        assert_eq!(name, "260224055052bb1a8f4f7efaabed1fbdaeb61b99");
    }
}
