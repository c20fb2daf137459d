//! Where a case works: a directory, and in it all that the tool keeps. It goes with everything in it
//! when the case ends, also by an error or Ctrl-C.

use std::fs;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::SystemOptions;
use crate::Fallible;
use crate::suite::interrupt::Interrupt;

/// How long any command may take: the copy of a large image on a slow disk.
const PATIENCE: Duration = Duration::from_secs(1800);

/// Whether the user wants the end, for all that wait.
static INTERRUPT: OnceLock<Interrupt> = OnceLock::new();

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
        let interrupt = Interrupt::install()?;
        let _ = INTERRUPT.set(interrupt.clone());
        Ok(Self {
            program,
            dir,
            interrupt,
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
            let mut remove = self.command(&["rmwpar", "-F", name]);
            remove
                .process_group(0)
                .stdin(Stdio::null())
                .stdout(Stdio::null());
            if !remove.status().is_ok_and(|status| status.success()) {
                eprintln!("wpar-bench: {name} is left in {}", self.root().display());
                self.dir.disable_cleanup(true);
            }
        }
    }
}

/// Runs a command to its end; how long it took. It is in a process group of its own, so that Ctrl-C is
/// for us to handle: then, and when it takes longer than anything may, the group is killed.
pub(super) fn time(command: &mut Command) -> Fallible<Duration> {
    // No pipe: what the command leaves running could keep it open.
    let said = tempfile::tempfile()?;
    command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said.try_clone()?);
    let begin = Instant::now();
    let mut child = command
        .spawn()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let ended = wait(&child, begin);
    let time = begin.elapsed();
    if ended.is_err()
        && let Some(group) = Pid::from_raw(i32::try_from(child.id())?)
    {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let status = child.wait()?;
    ended.map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() {
        return Ok(time);
    }
    let complaint = complaint(said);
    Err(format!("{command:?}: {status}: {complaint}").into())
}

/// Waits until a child has ended.
fn wait(child: &Child, begin: Instant) -> Fallible<()> {
    let pid = Pid::from_raw(i32::try_from(child.id())?).ok_or("a process without a number")?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let second = rustix::time::Timespec {
        tv_sec: 1,
        tv_nsec: 0,
    };
    loop {
        let mut fds = [PollFd::new(&process, PollFlags::IN)];
        match poll(&mut fds, Some(&second)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        if let Some(interrupt) = INTERRUPT.get() {
            interrupt.check()?;
        }
        if begin.elapsed() > PATIENCE {
            return Err(format!("has not ended within {} s", PATIENCE.as_secs()).into());
        }
    }
}

/// The last line that a command said.
fn complaint(mut said: fs::File) -> String {
    let mut text = Vec::new();
    let read = said.rewind().and_then(|()| said.read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    let last = text.trim().lines().last().unwrap_or_default();
    read.map_or_else(|error| error.to_string(), |_| last.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_leaves_running_is_not_waited_for() {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "sleep 600 & echo first >&2; echo no luck $! >&2; exit 3",
        ]);
        let error = time(&mut command).unwrap_err().to_string();
        assert!(
            error.contains("no luck") && !error.ends_with("first"),
            "{error}"
        );
        let left = error.rsplit(' ').next().and_then(|pid| pid.parse().ok());
        let left = left.and_then(Pid::from_raw).unwrap();
        rustix::process::kill_process(left, Signal::KILL).unwrap();
    }
}
