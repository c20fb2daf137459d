//! The built-in init: process 1 of a WPAR whose files have none, or that is one command.
//!
//! It reaps, passes signals on, and nothing else.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitOptions, WaitStatus, set_parent_process_death_signal, wait};

use super::confine::confine;
use super::error::{Doing, LaunchError};
use super::message::FromInit;
use super::stage::Plan;
use super::terminal::{self, Pair};
use super::{ExitStatus, Payload, execute, init};
use crate::sys::descriptors::close_others;
use crate::sys::process::signal_all;
use crate::sys::signals::SignalDescriptor;

/// Signals that the command gets, too.
const FORWARDED: [i32; 7] = [
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGWINCH,
];
/// How long processes may take to end once told to.
const PATIENCE: Duration = Duration::from_secs(3);

/// Process 1 without anything to run: ends when it is told to, after telling everybody else.
pub(super) fn run_idle(plan: &Plan) -> Result<i32, LaunchError> {
    let events = prepare(plan, true)?;
    loop {
        while let Some(signal) = events.next() {
            if matches!(signal, libc::SIGTERM | libc::SIGINT) {
                return Ok(end_everybody(&events));
            }
        }
        reap(None);
        sleep_until_event(&events, None)?;
    }
}

/// Process 1 with one command, whose end is its own.
pub(super) fn run_command(plan: &Plan) -> Result<i32, LaunchError> {
    let Payload::Command {
        argv,
        env,
        cwd,
        terminal,
    } = &plan.spec.payload
    else {
        return Err(LaunchError::other("there is no command to run"));
    };
    let pair = terminal
        .then(|| Pair::open(plan.size))
        .transpose()
        .doing("open a terminal")?;
    if let Some(pair) = &pair {
        plan.channel
            .send_with(&FromInit::Terminal, &[pair.master.as_fd()])
            .doing("report to the supervisor")?;
    }
    let job = Job {
        argv,
        env,
        cwd,
        pair: pair.as_ref(),
        plan,
    };
    let name = argv
        .first()
        .map_or_else(Default::default, |name| name.to_string_lossy());
    let child = execute::start(&name, || job.execute())?;
    drop(pair);
    let events = prepare(plan, false)?;
    plan.channel
        .send(&FromInit::CommandRuns)
        .doing("report to the supervisor")?;
    let status = watch_command(&events, child)?;
    let _ = plan.channel.send(&FromInit::CommandEnded(status));
    Ok(status.code().into())
}

/// The command and its surroundings.
struct Job<'a> {
    argv: &'a [OsString],
    env: &'a [(OsString, OsString)],
    cwd: &'a Path,
    pair: Option<&'a Pair>,
    plan: &'a Plan,
}

impl Job<'_> {
    /// Becomes the command; returns only if that fails.
    fn execute(&self) -> io::Error {
        let Some((program, arguments)) = self.argv.split_first() else {
            return io::ErrorKind::InvalidInput.into();
        };
        if let Err(error) = self.prepare() {
            return error;
        }
        Command::new(program)
            .args(arguments)
            .env_clear()
            .env("PATH", init::ROOT_PATH)
            .env("HOME", "/root")
            .envs(init::container_environment(&self.plan.spec))
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .exec()
    }

    fn prepare(&self) -> io::Result<()> {
        match (self.pair, self.plan.standard_files.as_slice()) {
            (Some(pair), _) => pair.become_controlling()?,
            (None, [input, output, error]) => {
                // Without the session, a starter's terminal would take orders from inside.
                rustix::process::setsid()?;
                terminal::use_as_standard([input.as_fd(), output.as_fd(), error.as_fd()])?;
            }
            (None, _) => terminal::silence()?,
        }
        rustix::process::chdir(self.cwd)?;
        confine(self.plan.spec.confinement)
    }
}

/// Leaves everything of the supervisor behind. Signals are taken before that is known outside.
fn prepare(plan: &Plan, alone: bool) -> Result<SignalDescriptor, LaunchError> {
    let mut all = vec![libc::SIGCHLD];
    all.extend(FORWARDED);
    let signals = SignalDescriptor::new(&all).doing("take signals")?;
    terminal::silence().doing("open /dev/null")?;
    let mut keep = vec![signals.as_fd()];
    if !alone {
        keep.push(plan.channel.as_fd());
    }
    close_others(&keep).doing("close files")?;
    let _ = rustix::thread::set_name(c"wpar-init");
    // Another supervisor may follow this one.
    set_parent_process_death_signal(None).doing("untie from the supervisor")?;
    Ok(signals)
}

fn watch_command(events: &SignalDescriptor, child: Pid) -> Result<ExitStatus, LaunchError> {
    loop {
        if let Some(status) = reap(Some(child)) {
            return Ok(status);
        }
        sleep_until_event(events, None)?;
        while let Some(signal) = events.next() {
            if FORWARDED.contains(&signal)
                && let Some(signal) = rustix::process::Signal::from_named_raw(signal)
            {
                let _ = rustix::process::kill_process(child, signal);
            }
        }
    }
}

/// Takes the status of every process that has ended; returns that of `wanted`, if it is one.
fn reap(wanted: Option<Pid>) -> Option<ExitStatus> {
    let mut found = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if Some(pid) == wanted {
            found = Some(exit_status(status));
        }
    }
    found
}

/// The status in this package's own words.
pub(super) fn exit_status(status: WaitStatus) -> ExitStatus {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => ExitStatus::Exited(code),
        (None, signal) => ExitStatus::Signaled(signal.unwrap_or(0)),
    }
}

/// How a process ended, from its status as `waitpid(2)` gives it.
pub(super) fn of_wait_status(status: i32) -> ExitStatus {
    let status = std::process::ExitStatus::from_raw(status);
    match (status.code(), status.signal()) {
        (Some(code), _) => ExitStatus::Exited(code),
        (None, signal) => ExitStatus::Signaled(signal.unwrap_or(0)),
    }
}

/// Tells all processes to end and waits a while for them. Those that remain die with process 1.
fn end_everybody(events: &SignalDescriptor) -> i32 {
    let deadline = Instant::now() + PATIENCE;
    let _ = signal_all(libc::SIGTERM);
    let _ = signal_all(libc::SIGCONT);
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) if Instant::now() < deadline => {
                let rest = deadline.saturating_duration_since(Instant::now());
                let _ = sleep_until_event(events, Some(rest));
                while events.next().is_some() {}
            }
            Ok(None) | Err(_) => return 0,
        }
    }
}

fn sleep_until_event(
    events: &SignalDescriptor,
    patience: Option<Duration>,
) -> Result<(), LaunchError> {
    super::watch::wait_readable(events.as_fd(), patience).map(drop)
}
