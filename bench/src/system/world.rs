//! Where a case works: a directory, and in it all that the tool keeps. It goes with everything in it
//! when the case ends, also by an error or Ctrl-C.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::SystemOptions;
use crate::Fallible;
use crate::suite::interrupt::Interrupt;

/// A root of its own for the tool, and room beside it.
pub(super) struct World {
    program: PathBuf,
    dir: tempfile::TempDir,
    interrupt: Interrupt,
}

impl World {
    /// A new one, as the options want it.
    pub(super) fn new(options: &SystemOptions) -> Fallible<Self> {
        if !rustix::process::geteuid().is_root() {
            return Err("starting systems needs root".into());
        }
        let program = match &options.wpar {
            Some(program) => fs::canonicalize(program)?,
            None => std::env::current_exe()?.with_file_name("wpar"),
        };
        if !program.is_file() {
            return Err(format!(
                "{}: not built; 'cargo build --release' builds it, --wpar names another",
                program.display()
            )
            .into());
        }
        let dir = tempfile::Builder::new()
            .prefix("wpar-bench-")
            .tempdir_in(fs::canonicalize(&options.work)?)?;
        Ok(Self {
            program,
            dir,
            interrupt: Interrupt::install()?,
        })
    }

    /// The directory.
    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The program that is measured.
    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// Where the running state of a WPAR is.
    pub(super) fn run_dir(&self, name: &str) -> PathBuf {
        self.root().join("run/wpar").join(name)
    }

    /// What the tool keeps.
    pub(super) fn root(&self) -> PathBuf {
        self.dir().join("ours")
    }

    /// A command of the tool.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).env("WPAR_ROOT", self.root());
        command
    }

    /// Runs a command of the tool to its end; how long it took.
    pub(super) fn wpar(&self, words: &[&str]) -> Fallible<Duration> {
        self.check()?;
        time(&mut self.command(words))
    }

    /// Makes a WPAR of an image.
    pub(super) fn create(&self, image: &Path, name: &str) -> Fallible<Duration> {
        self.check()?;
        let mut command = self.command(&["mkwpar", "-t", "-C", "-n", name, "-B"]);
        time(command.arg(image))
    }

    /// That nobody wants it to end.
    pub(super) fn check(&self) -> Fallible<()> {
        self.interrupt.check()
    }

    /// Room on the disk, in bytes.
    pub(super) fn room(&self) -> Fallible<u64> {
        let disk = rustix::fs::statvfs(self.dir())?;
        Ok(disk.f_bavail * disk.f_frsize)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let listed = self.command(&["lswpar", "-q", "-a", "name"]).output();
        let listed = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        for name in listed.unwrap_or_default().split_whitespace() {
            if let Err(error) = time(&mut self.command(&["rmwpar", "-F", name])) {
                eprintln!("wpar-bench: {name} is left: {error}");
            }
        }
    }
}

/// Runs a command to its end, in a process group of its own so that Ctrl-C is for us to handle; how
/// long it took.
pub(super) fn time(command: &mut Command) -> Fallible<Duration> {
    command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let begin = Instant::now();
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let time = begin.elapsed();
    if output.status.success() {
        return Ok(time);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let last = complaint.trim().lines().last().unwrap_or_default();
    Err(format!("{command:?}: {}: {last}", output.status).into())
}
