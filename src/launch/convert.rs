//! The conversion of a system copy: programs that run once inside, before its first init.
//!
//! Software that is in a copy was never installed in a WPAR. Its owners, and the host's
//! administrator, can drop programs that make it fit into `/usr/lib/wpars/wparconvert.d`, below
//! `usr` and `root`: as in AIX they run in the order of the C locale, those of `usr` first. The
//! host's come before the copy's own.
//!
//! They run as root of the WPAR, confined as everything in it, with nothing else running. What they
//! write goes to the console's log. One that fails is reported and holds nothing up; one that takes
//! too long is killed; what one leaves running is killed, too.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::io::ioctl_fionbio;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, wait, waitpid};
use serde::{Deserialize, Serialize};

use super::confine::confine;
use super::error::{Doing, LaunchError};
use super::message::FromInit;
use super::reaper::exit_status;
use super::stage::Plan;
use super::watch::Watch;
use super::{ExitStatus, execute, init, terminal};
use crate::model::generation;
use crate::sys::process::signal_all;

/// What is done once before init.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conversion {
    /// Whether the programs of `wparconvert.d` are run.
    pub programs: bool,
    /// Whether packages that came from the host are set up, before all else.
    pub synchronization: bool,
    /// Directory of the host with programs to run before the copy's own.
    pub host_programs: Option<PathBuf>,
    /// Whether SSH host keys are made, if there are none.
    pub host_keys: bool,
    /// Whether it is a copy of the running system, not of an image.
    pub of_running_system: bool,
}

/// Where the host's programs are seen inside meanwhile.
pub(super) const HOST_PROGRAMS: &str = "run/host/wparconvert.d";

/// Where the copy's own are.
const OWN_PROGRAMS: &str = "/usr/lib/wpars/wparconvert.d";

/// AIX's two parts of a system, in their order.
const PARTS: [&str; 2] = ["usr", "root"];

/// How long one program may run.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long setting up packages may take: a whole system of them can be new.
const LONG_PATIENCE: Duration = Duration::from_secs(7200);

/// The most programs that are run of one directory: an image may hold any number.
const MOST_PROGRAMS: usize = 1000;

/// A program and its arguments.
struct Step {
    program: PathBuf,
    arguments: &'static [&'static str],
    patience: Duration,
}

/// Runs as process 1: does what is to be done.
pub(super) fn run(plan: &Plan, conversion: &Conversion) {
    for step in steps(conversion) {
        let shown = shown(&step.program);
        say(plan, format!("wpar: runs {shown}\n").as_bytes());
        if let Err(error) = run_step(plan, conversion, &step) {
            let text = format!("the conversion program {shown} failed: {error}");
            say(plan, format!("wpar: {text}\n").as_bytes());
            let _ = plan.channel.send(&FromInit::Trouble(text));
        }
    }
}

/// A path as it can be shown: it may be an image's.
fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().take(200).collect()
}

fn say(plan: &Plan, what: &[u8]) {
    let _ = plan.channel.send(&FromInit::Said(what.to_vec()));
}

fn steps(conversion: &Conversion) -> Vec<Step> {
    let mut steps = Vec::new();
    if conversion.synchronization {
        steps.push(Step {
            program: Path::new("/").join(generation::PROGRAM),
            arguments: &[],
            patience: LONG_PATIENCE,
        });
    }
    if conversion.host_keys {
        steps.push(Step {
            program: PathBuf::from("/usr/bin/ssh-keygen"),
            arguments: &["-A"],
            patience: PATIENCE,
        });
    }
    if !conversion.programs {
        return steps;
    }
    let host = Path::new("/").join(HOST_PROGRAMS);
    for part in PARTS {
        for base in [&host, Path::new(OWN_PROGRAMS)] {
            steps.extend(programs(&base.join(part)).into_iter().map(|program| Step {
                program,
                arguments: &[],
                patience: PATIENCE,
            }));
        }
    }
    steps
}

/// The files in `directory` that can be executed, in the order of their names' bytes.
fn programs(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<OsString> = entries
        .filter(|entry| {
            let metadata = fs::metadata(entry.path());
            metadata.is_ok_and(|metadata| metadata.is_file() && metadata.mode() & 0o111 != 0)
        })
        .map(|entry| entry.file_name())
        .take(MOST_PROGRAMS)
        .collect();
    names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    names.into_iter().map(|name| directory.join(name)).collect()
}

fn run_step(plan: &Plan, conversion: &Conversion, step: &Step) -> Result<(), LaunchError> {
    let (output, input) = pipe_with(PipeFlags::CLOEXEC).doing("make a pipe")?;
    ioctl_fionbio(&output, true).doing("set up a pipe")?;
    let name = shown(&step.program);
    let child = execute::start(&name, || {
        become_program(plan, conversion, step, input.as_fd())
    })?;
    drop(input);
    let result = attend(plan, child, output, step.patience);
    // The next one, and init, find an empty system.
    let _ = signal_all(libc::SIGKILL);
    while wait(WaitOptions::empty()).is_ok() {}
    match result? {
        Some(ExitStatus::Exited(0)) => Ok(()),
        Some(ExitStatus::Exited(code)) => Err(LaunchError::other(format!("exit status {code}"))),
        Some(ExitStatus::Signaled(signal)) => {
            Err(LaunchError::other(format!("ended by signal {signal}")))
        }
        None => Err(LaunchError::other(format!(
            "killed, because it ran for more than {} minutes",
            step.patience.as_secs() / 60
        ))),
    }
}

/// Becomes the program; returns only if that fails.
fn become_program(
    plan: &Plan,
    conversion: &Conversion,
    step: &Step,
    output: BorrowedFd<'_>,
) -> io::Error {
    let prepare = || -> io::Result<()> {
        rustix::process::setsid()?;
        let nothing = File::open("/dev/null")?;
        terminal::use_as_standard([nothing.as_fd(), output, output])?;
        confine(plan.spec.confinement)
    };
    if let Err(error) = prepare() {
        return error;
    }
    let source = if conversion.of_running_system {
        "system"
    } else {
        "image"
    };
    Command::new(&step.program)
        .args(step.arguments)
        .env_clear()
        .env("PATH", init::ROOT_PATH)
        .env("HOME", "/root")
        .env("LC_ALL", "C")
        .env("INUWPAR", "1")
        .env("WPAR_NAME", &plan.spec.name)
        .env("WPAR_SOURCE", source)
        .envs(init::container_environment(&plan.spec))
        .exec()
}

/// Passes on what the child says until it ends; `None` if it takes too long.
fn attend(
    plan: &Plan,
    child: Pid,
    output: OwnedFd,
    patience: Duration,
) -> Result<Option<ExitStatus>, LaunchError> {
    let deadline = Instant::now() + patience;
    let process = pidfd_open(child, PidfdFlags::empty()).doing("watch a program")?;
    let mut output = Some(File::from(output));
    loop {
        let mut watch = Watch::default();
        let ended = watch.add(process.as_fd());
        let speaks = watch.add_optional(output.as_ref().map(AsFd::as_fd));
        watch.wait(Some(deadline)).doing("wait for a program")?;
        let (ended, speaks) = (watch.happened(ended), watch.happened(speaks));
        if let Some(file) = &output
            && (speaks || ended)
            && !pass_on(plan, file, ended)
        {
            output = None;
        }
        if ended {
            let status = waitpid(Some(child), WaitOptions::empty()).doing("wait for a program")?;
            return Ok(status.map(|(_, status)| exit_status(status)));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
    }
}

/// Passes on what is there, all of it or one piece; `false` at its end.
fn pass_on(plan: &Plan, mut output: &File, all: bool) -> bool {
    let mut buffer = [0; 2048];
    // A descendant could go on for ever after the program's end.
    let pieces = if all { 512 } else { 1 };
    for _ in 0..pieces {
        match output.read(&mut buffer) {
            Ok(0) => return false,
            Ok(length) => say(plan, buffer.get(..length).unwrap_or_default()),
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
    true
}
