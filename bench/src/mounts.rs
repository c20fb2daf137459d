//! The two sides of the case `image`: `wpar` and `ratarmount`, each by its commands.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Fallible;
use crate::process;

/// Longest that a mount may take.
const PATIENCE: Duration = Duration::from_secs(1800);

/// A program that indexes and mounts archives.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) name: &'static str,
    program: PathBuf,
    /// What its commands begin with, to index and to mount.
    index: &'static [&'static str],
    mount: &'static [&'static str],
    /// Endings of what it keeps beside an archive.
    kept: &'static [&'static str],
    /// Where it may keep things.
    root: PathBuf,
}

impl Side {
    /// Our side.
    pub(crate) fn wpar(program: &Path, root: &Path) -> Self {
        Self {
            name: "wpar",
            program: program.to_owned(),
            index: &["index"],
            mount: &["mount", "--foreground"],
            kept: &[".wparidx", ".wparidx.zst", ".wparidx.trail"],
            root: root.join("wpar"),
        }
    }

    /// The other one, which may use all processors.
    pub(crate) fn ratarmount(program: &Path, root: &Path) -> Self {
        Self {
            name: "ratarmount",
            program: program.to_owned(),
            index: &["-P", "0", "--no-mount"],
            mount: &["-P", "0", "--foreground"],
            kept: &[".index.sqlite"],
            root: root.join("ratarmount"),
        }
    }

    fn command(&self, first: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(first)
            .env("WPAR_ROOT", &self.root)
            .env("HOME", &self.root)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// What is kept beside an archive.
    pub(crate) fn beside(&self, archive: &Path) -> impl Iterator<Item = PathBuf> {
        self.kept.iter().map(move |ending| {
            let mut name = OsString::from(archive);
            name.push(ending);
            PathBuf::from(name)
        })
    }

    /// Indexes an archive anew: time, and peak memory in bytes.
    pub(crate) fn index(&self, archive: &Path) -> Fallible<(Duration, u64)> {
        fs::create_dir_all(&self.root)?;
        for file in self.beside(archive) {
            let _ = fs::remove_file(file);
        }
        let begin = Instant::now();
        let mut child = self.command(self.index).arg(archive).spawn()?;
        let (status, peak) = process::wait(&mut child)?;
        if !status.success() {
            return Err(format!("{}: indexing failed: {status}", self.name).into());
        }
        Ok((begin.elapsed(), peak))
    }

    /// Space of what is kept beside an archive, in bytes.
    pub(crate) fn index_bytes(&self, archive: &Path) -> u64 {
        let sizes = self
            .beside(archive)
            .filter_map(|file| fs::metadata(file).ok());
        sizes.map(|metadata| metadata.len()).sum()
    }

    /// Mounts an archive; answers when its root can be looked at.
    pub(crate) fn mount(&self, archive: &Path, directory: &Path) -> Fallible<(Mounted, Duration)> {
        fs::create_dir_all(directory)?;
        let outside = fs::metadata(directory)?.dev();
        let begin = Instant::now();
        let child = self
            .command(self.mount)
            .arg(archive)
            .arg(directory)
            .spawn()?;
        let mut mounted = Mounted {
            child,
            directory: directory.to_owned(),
        };
        loop {
            if fs::metadata(directory).is_ok_and(|metadata| metadata.dev() != outside) {
                return Ok((mounted, begin.elapsed()));
            }
            let ended = mounted.child.try_wait()?;
            if ended.is_some() || begin.elapsed() > PATIENCE {
                return Err(format!("{}: no mount: {ended:?}", self.name).into());
            }
            sleep(Duration::from_micros(200));
        }
    }
}

/// An archive that is mounted, as long as this lives.
#[derive(Debug)]
pub(crate) struct Mounted {
    child: Child,
    directory: PathBuf,
}

impl Mounted {
    /// Where.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Memory of the processes that serve it, in bytes: all that is resident, and what of it is
    /// not a file.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let pids = process::tree(self.child.id());
        (
            process::sum(&pids, "VmRSS:"),
            process::sum(&pids, "RssAnon:"),
        )
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.directory).status();
        let begin = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if begin.elapsed() > Duration::from_secs(20) {
                let _ = self.child.kill();
            }
            sleep(Duration::from_millis(2));
        }
    }
}
