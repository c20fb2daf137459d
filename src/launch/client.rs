//! The administrator's side: starting, entering and stopping.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wpar_mountd::wire;

use super::adopt::adopt_command;
use super::channel::Channel;
use super::cleanup::clean_up;
use super::control::ask;
use super::error::{Doing, LaunchError};
use super::fault;
use super::foreground;
use super::message::{Answer, Control, Order, Report};
use super::state::RunState;
use super::terminal::Size;
use super::watch::{Watch, wait_readable};
use super::{
    ExitStatus, InitKind, LaunchSpec, Payload, SESSION, SUPERVISOR, Session, StartEvent, StopMode,
    TerminalChoice,
};
use crate::sys::descriptors::pass;
use crate::sys::process::send_signal;

/// How long a supervisor gets to obey a forced stop before it is killed itself.
const FORCE_PATIENCE: Duration = Duration::from_secs(20);

/// How long a start is waited for between two looks at whether it is still wanted.
const GLANCE: Duration = Duration::from_millis(100);

/// Starts and enters WPARs with one executable in the helping roles.
#[derive(Clone, Debug)]
pub struct Launcher {
    executable: PathBuf,
}

impl Default for Launcher {
    /// With the executable of this process.
    fn default() -> Self {
        Self {
            executable: PathBuf::from("/proc/self/exe"),
        }
    }
}

/// Starts a WPAR. See [`Launcher::start`].
///
/// # Errors
/// Those of [`Launcher::start`].
pub fn start(
    spec: &LaunchSpec,
    progress: &mut dyn FnMut(StartEvent),
) -> Result<Started, LaunchError> {
    Launcher::default().start(spec, progress)
}

/// Runs a command in a running WPAR. See [`Launcher::enter`].
///
/// # Errors
/// Those of [`Launcher::enter`].
pub fn enter(run_dir: &Path, session: &Session) -> Result<ExitStatus, LaunchError> {
    Launcher::default().enter(run_dir, session)
}

impl Launcher {
    /// With another executable, which must be `wpar`: for programs that embed this.
    pub fn new(executable: impl Into<PathBuf>) -> Self {
        Self {
            executable: executable.into(),
        }
    }

    /// Starts a WPAR in a supervisor of its own; returns once its first process, or the command,
    /// has been executed. If this process ends before that, everything is undone.
    ///
    /// # Errors
    /// The step that failed. Nothing is left then, unless the error says so.
    pub fn start(
        &self,
        spec: &LaunchSpec,
        progress: &mut dyn FnMut(StartEvent),
    ) -> Result<Started, LaunchError> {
        self.start_unless(spec, progress, &|| false)
    }

    /// As [`Self::start`], and gives it up when `unwanted` says so, at which is looked now and then.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_unless(
        &self,
        spec: &LaunchSpec,
        progress: &mut dyn FnMut(StartEvent),
        unwanted: &dyn Fn() -> bool,
    ) -> Result<Started, LaunchError> {
        // The supervisor looks again; from here the answer is of a kind that can be told apart.
        super::state::check_free(&spec.run_dir)?;
        let (channel, theirs) = Asker::pair().doing("make a channel")?;
        let child = supervisor_command(&self.executable, theirs)
            .spawn()
            .doing("start the supervisor")?;
        let mut started = Started {
            pid: 0,
            kind: InitKind::Builtin,
            channel,
            terminal: None,
            supervisor: child,
            run_dir: spec.run_dir.clone(),
        };
        let (input, output, error) = (io::stdin(), io::stdout(), io::stderr());
        let files = match spec.payload {
            Payload::Command {
                terminal: false, ..
            } => {
                vec![input.as_fd(), output.as_fd(), error.as_fd()]
            }
            _ => vec![],
        };
        let order = Order::Start {
            spec: Box::new(spec.clone()),
            size: Size::of_standard_output(),
        };
        started
            .channel
            .send_with(&order, &files)
            .doing("talk to the supervisor")?;
        loop {
            while !wait_readable(started.channel.as_fd(), Some(GLANCE))? {
                if unwanted() {
                    return Err(started.give_up());
                }
            }
            match started.next_event()? {
                Some(event @ StartEvent::Executed { pid, kind }) => {
                    (started.pid, started.kind) = (pid, kind);
                    progress(event);
                    return Ok(started);
                }
                Some(event) => progress(event),
                None => return Err(LaunchError::Lost("WPAR")),
            }
        }
    }

    /// Runs a command in a running WPAR and waits for its end.
    ///
    /// # Errors
    /// [`LaunchError::NotActive`], or why the command could not be started;
    /// [`LaunchError::exit_code`] tells the latter apart.
    pub fn enter(&self, run_dir: &Path, session: &Session) -> Result<ExitStatus, LaunchError> {
        let running = RunState::read(run_dir).is_some_and(|state| {
            state.executed && state.init.is_some_and(super::ProcessId::is_alive)
        });
        if !running {
            return Err(LaunchError::NotActive);
        }
        let terminal = match session.terminal {
            TerminalChoice::Always => true,
            TerminalChoice::Never => false,
            TerminalChoice::Auto => {
                rustix::termios::isatty(io::stdin()) && rustix::termios::isatty(io::stdout())
            }
        };
        let (channel, theirs) = Asker::pair().doing("make a channel")?;
        let mut command = Command::new(&self.executable);
        session_command(&mut command, theirs.into_socket());
        if terminal {
            command.stdin(Stdio::null()).stdout(Stdio::null());
        }
        let mut child = command.spawn().doing("start a session")?;
        drop(command);
        let order = Order::Enter {
            run_dir: std::path::absolute(run_dir).doing("find the run directory")?,
            user: session.user.clone(),
            terminal,
            size: Size::of_standard_output(),
            terminal_type: std::env::var("TERM").ok(),
            arguments: session
                .argv
                .iter()
                .map(|part| part.as_bytes().to_vec())
                .collect(),
        };
        channel.send(&order).doing("talk to the session")?;
        let result = await_session(&channel);
        let _ = child.wait();
        result
    }
}

fn await_session(channel: &Asker) -> Result<ExitStatus, LaunchError> {
    match channel.receive().doing("hear from the session")? {
        Some((Report::Executed { .. }, fds)) => foreground::attend(channel, fds.into_iter().next()),
        Some((Report::Failed(failure), _)) => Err(LaunchError::Remote(failure)),
        _ => Err(LaunchError::Lost("session")),
    }
}

/// Makes `command` a session that has the channel's end `socket`.
fn session_command(command: &mut Command, socket: OwnedFd) {
    let number = pass(command, socket);
    command.arg0(SESSION).arg(number.to_string()).env_clear();
}

/// A supervisor with the end `theirs` of its channel.
pub(super) fn supervisor_command(executable: &Path, theirs: Channel<Report, Order>) -> Command {
    let mut command = Command::new(executable);
    command
        .arg0(SUPERVISOR)
        .env_clear()
        // It starts the file system's daemon, which is told by this.
        .envs(wire::environment())
        .envs(fault::environment())
        .stdin(Stdio::from(theirs.into_socket()))
        .stdout(Stdio::null());
    command
}

/// The end of a session's channel that orders.
pub(super) type Asker = Channel<Order, Report>;

/// Makes `command` a session that runs `argv`. It runs as long as what is returned is kept.
pub(super) fn prepare_session(
    command: &mut Command,
    run_dir: &Path,
    argv: &[&str],
) -> io::Result<Asker> {
    let (channel, theirs) = Asker::pair()?;
    session_command(command, theirs.into_socket());
    channel.send(&Order::Enter {
        run_dir: run_dir.to_owned(),
        user: None,
        terminal: false,
        size: Size::default(),
        terminal_type: None,
        arguments: argv
            .iter()
            .map(|part| OsStr::new(part).as_bytes().to_vec())
            .collect(),
    })?;
    Ok(channel)
}

/// A WPAR that was started. Dropping this leaves it running, except that a single command ends
/// with its starter's process.
#[derive(Debug)]
pub struct Started {
    pid: u32,
    kind: InitKind,
    channel: Asker,
    terminal: Option<OwnedFd>,
    supervisor: Child,
    run_dir: PathBuf,
}

impl Started {
    /// Ends a start that is not over; nothing is left then.
    fn give_up(self) -> LaunchError {
        let Self {
            channel,
            mut supervisor,
            ..
        } = self;
        drop(channel);
        let _ = supervisor.wait();
        LaunchError::other("the start was given up")
    }

    /// Process of its init as the host numbers it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What its init is.
    pub fn kind(&self) -> InitKind {
        self.kind
    }

    /// Waits until its init says that the system is up; `false` if it has not within `timeout`.
    /// An init that never says so counts as up at once.
    ///
    /// # Errors
    /// If the WPAR ends instead.
    pub fn wait_ready(
        &mut self,
        timeout: Option<Duration>,
        progress: &mut dyn FnMut(StartEvent),
    ) -> Result<bool, LaunchError> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            let mut watch = Watch::default();
            let slot = watch.add(self.channel.as_fd());
            watch.wait(deadline).doing("wait for the system")?;
            if !watch.happened(slot) {
                return Ok(false);
            }
            match self.next_event()? {
                Some(event) => {
                    let ready = event == StartEvent::Ready;
                    progress(event);
                    if ready {
                        return Ok(true);
                    }
                }
                None => return Err(LaunchError::NotActive),
            }
        }
    }

    /// Waits for the end, in the foreground: a command's terminal is this process's terminal,
    /// signals that end a command are passed on to it. If the supervisor dies, another one follows.
    ///
    /// # Errors
    /// If the WPAR does not come to an end of its own.
    pub fn wait(mut self) -> Result<ExitStatus, LaunchError> {
        let mut terminal = self.terminal.take();
        loop {
            let again = terminal.as_ref().map(OwnedFd::try_clone);
            let result = foreground::attend(&self.channel, terminal);
            let _ = self.supervisor.wait();
            if !matches!(result, Err(LaunchError::Lost(_))) {
                return result;
            }
            // If that has ended, too, nobody knows how.
            let Ok(next) = adopt_command(&self.run_dir) else {
                return result;
            };
            (self.channel, self.supervisor) = next;
            terminal = again.transpose().doing("copy the terminal")?;
        }
    }

    /// The next thing that happens; `None` if the WPAR ended.
    fn next_event(&mut self) -> Result<Option<StartEvent>, LaunchError> {
        let report = self.channel.receive().doing("hear from the supervisor")?;
        let Some((report, fds)) = report else {
            let _ = self.supervisor.wait();
            return Err(LaunchError::Lost("supervisor"));
        };
        Ok(match report {
            Report::Mounted => Some(StartEvent::Mounted),
            Report::Executed { pid, kind } => {
                self.terminal = fds.into_iter().next();
                Some(StartEvent::Executed { pid, kind })
            }
            Report::Status(text) => Some(StartEvent::Status(text)),
            Report::Ready => Some(StartEvent::Ready),
            Report::Trouble(text) => Some(StartEvent::Trouble(text)),
            Report::Ended(_) => None,
            Report::Failed(failure) => {
                let _ = self.supervisor.wait();
                return Err(LaunchError::Remote(failure));
            }
        })
    }
}

/// Ends a WPAR and waits until nothing of it is left, at most for `timeout`.
///
/// # Errors
/// [`LaunchError::NotActive`]; [`LaunchError::Timeout`], in which case it goes on trying;
/// [`LaunchError::Stuck`] if something survives even force.
pub fn stop(run_dir: &Path, how: StopMode, timeout: Option<Duration>) -> Result<(), LaunchError> {
    if how == StopMode::Force {
        return force(run_dir, timeout);
    }
    request(run_dir, how, timeout, false)
}

/// Ends a WPAR and starts it again, as one step for its supervisor: its mount stays.
///
/// # Errors
/// As [`stop`].
pub fn reboot(run_dir: &Path, how: StopMode, timeout: Option<Duration>) -> Result<(), LaunchError> {
    request(run_dir, how, timeout, true)
}

fn request(
    run_dir: &Path,
    mode: StopMode,
    timeout: Option<Duration>,
    restart: bool,
) -> Result<(), LaunchError> {
    let milliseconds =
        timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
    let channel = ask(
        run_dir,
        &Control::Stop {
            mode,
            timeout: milliseconds,
            restart,
        },
    )?;
    match channel.receive().doing("hear from the supervisor")? {
        Some((Answer::Done, _)) => Ok(()),
        Some((Answer::Timeout, _)) => Err(LaunchError::Timeout(timeout.unwrap_or_default())),
        Some((Answer::Failed(failure), _)) => Err(LaunchError::Remote(failure)),
        Some((Answer::Console, _)) | None => Err(LaunchError::Lost("supervisor")),
    }
}

/// A forced stop: by the supervisor if it can, else without it.
fn force(run_dir: &Path, timeout: Option<Duration>) -> Result<(), LaunchError> {
    let Some(state) = RunState::read(run_dir) else {
        return Err(LaunchError::NotActive);
    };
    let patience = timeout.unwrap_or(FORCE_PATIENCE).min(FORCE_PATIENCE);
    if let Ok(channel) = ask(
        run_dir,
        &Control::Stop {
            mode: StopMode::Force,
            timeout: None,
            restart: false,
        },
    ) && wait_readable(channel.as_fd(), Some(patience))?
        && let Ok(Some((Answer::Done, _))) = channel.receive()
    {
        return Ok(());
    }
    if let Some(supervisor) = state.supervisor.open() {
        send_signal(supervisor.as_fd(), libc::SIGKILL).doing("kill the supervisor")?;
        if !wait_readable(supervisor.as_fd(), Some(patience))? {
            return Err(LaunchError::Stuck(format!(
                "process {}",
                state.supervisor.pid
            )));
        }
    }
    clean_up(run_dir, &state.mount_point, &state.cgroup).map(drop)
}
