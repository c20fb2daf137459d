//! The supervisor: one process per running WPAR, outside of it, which owns all that it is made
//! of and undoes it in reverse order.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{
    DumpableBehavior, Pid, PidfdFlags, WaitOptions, pidfd_open, set_dumpable_behavior, setsid,
    waitpid,
};

use super::ahead::Recording;
use super::cgroup::Groups;
use super::channel::Channel;
use super::console::ConsoleLog;
use super::control::ControlSocket;
use super::error::{Doing, LaunchError};
use super::errors;
use super::fault;
use super::held::Held;
use super::identity::ended_as;
use super::inquiry::Inquiry;
use super::message::{FromInit, Order, Report, ToInit};
use super::note::note;
use super::notify::NotifySocket;
use super::reaper::{exit_status, of_wait_status};
use super::revive::Line;
use super::root::Root;
use super::stage::{self, Plan};
use super::state::{self, RunState};
use super::stop::Stopping;
use super::terminal::Size;
use super::watch::{Watch, wait_readable};
use super::{
    ExitStatus, InitKind, LaunchSpec, Payload, ProcessId, RootSource, cleanup, devices, network,
    terminal, userns,
};
use crate::mountd_client::{Daemon, Inheritance};
use crate::sys::descriptors::close_others;
use crate::sys::process::{Birth, spawn};
use crate::sys::signals::SignalDescriptor;

/// How long the daemon may take to write its store after the mount is gone.
const DAEMON_PATIENCE: Duration = Duration::from_secs(30);

/// Entry point of the executable under the name [`super::SUPERVISOR`]. Standard input is the
/// channel to the starter.
pub fn supervisor_main() -> ExitCode {
    match receive_order() {
        Ok(Asked::Start(asked)) => {
            Supervisor::new(asked).map_or(ExitCode::FAILURE, Supervisor::run)
        }
        Ok(Asked::Adopt(starter, run_dir)) => match Supervisor::adopt(&starter, &run_dir) {
            Ok(adopted) => {
                drop(starter);
                adopted.go_on()
            }
            Err(error) => {
                let _ = starter.send(&Report::Failed(error.to_failure()));
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            note(format_args!("{}: {error}", super::SUPERVISOR));
            ExitCode::FAILURE
        }
    }
}

pub(super) type Starter = Channel<Report, Order>;

/// What the supervisor was started for.
enum Asked {
    Start(Box<Start>),
    /// To look after the WPAR of this run directory.
    Adopt(Starter, PathBuf),
}

/// A WPAR to start.
struct Start {
    starter: Starter,
    spec: LaunchSpec,
    size: Size,
    /// Standard files for a command.
    files: Vec<OwnedFd>,
}

fn receive_order() -> Result<Asked, LaunchError> {
    let _ = setsid();
    let _ = rustix::thread::set_name(c"wpar-supervisor");
    set_dumpable_behavior(DumpableBehavior::NotDumpable).doing("protect the process")?;
    let socket = fcntl_dupfd_cloexec(io::stdin(), 3).doing("use standard input")?;
    terminal::silence().doing("open /dev/null")?;
    // What else the administrator's shell had open would live as long as the WPAR.
    close_others(&[socket.as_fd()]).doing("close files")?;
    rustix::process::chdir("/").doing("enter /")?;
    let starter = Starter::from_socket(socket);
    match starter.receive().doing("receive the order")? {
        Some((Order::Start { spec, size }, files)) => Ok(Asked::Start(Box::new(Start {
            starter,
            spec: *spec,
            size,
            files,
        }))),
        Some((Order::Adopt { run_dir }, _)) => Ok(Asked::Adopt(starter, run_dir)),
        _ => Err(LaunchError::Lost("starter")),
    }
}

/// A running init.
#[derive(Debug)]
pub(super) struct Init {
    pub(super) kind: InitKind,
    pub(super) process: OwnedFd,
    pub(super) pid: Pid,
    /// Master side of its console.
    pub(super) console: Option<OwnedFd>,
    /// The built-in init reports the command's end here.
    pub(super) reports: Option<Stage>,
}

/// The supervisor's end of the channel to what becomes init.
pub(super) type Stage = Channel<ToInit, FromInit>;

/// All that a WPAR is made of, in the order of its making.
#[derive(Debug)]
pub(super) struct Supervisor {
    pub(super) spec: LaunchSpec,
    pub(super) state: RunState,
    pub(super) starter: Option<Starter>,
    standard_files: Vec<OwnedFd>,
    size: Size,
    pub(super) signals: SignalDescriptor,
    pub(super) control: Option<ControlSocket>,
    pub(super) notify: Option<NotifySocket>,
    pub(super) groups: Option<Groups>,
    pub(super) root: Option<Root>,
    pub(super) daemon: Option<Daemon>,
    pub(super) line: Option<Line>,
    pub(super) held: Option<Held>,
    pub(super) init: Option<Init>,
    pub(super) console_log: Option<ConsoleLog>,
    pub(super) stopping: Option<Stopping>,
    pub(super) inquiries: Vec<Inquiry>,
    pub(super) recording: Recording,
}

impl Supervisor {
    fn new(asked: Box<Start>) -> Result<Self, LaunchError> {
        let state = RunState::new(&asked.spec)?;
        let starter = Some(asked.starter);
        Self::bare(asked.spec, state, starter, asked.files, asked.size)
    }

    /// One that has nothing yet.
    pub(super) fn bare(
        spec: LaunchSpec,
        state: RunState,
        starter: Option<Starter>,
        standard_files: Vec<OwnedFd>,
        size: Size,
    ) -> Result<Self, LaunchError> {
        let signals =
            SignalDescriptor::new(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGCHLD])
                .doing("take signals")?;
        Ok(Self {
            state,
            spec,
            starter,
            standard_files,
            size,
            signals,
            control: None,
            notify: None,
            groups: None,
            root: None,
            daemon: None,
            line: None,
            held: None,
            init: None,
            console_log: None,
            stopping: None,
            inquiries: Vec::new(),
            recording: Recording::Off,
        })
    }

    /// The whole life of the WPAR.
    fn run(mut self) -> ExitCode {
        if let Err(error) = state::create_run_dir(&self.spec.run_dir) {
            self.report(&Report::Failed(error.to_failure()));
            return ExitCode::FAILURE;
        }
        fault::point("run-directory");
        let outcome = self.make().and_then(|()| self.live());
        self.finish(outcome)
    }

    /// The rest of the life of a WPAR that runs.
    fn go_on(mut self) -> ExitCode {
        let outcome = self.live();
        self.finish(outcome)
    }

    fn finish(mut self, outcome: Result<ExitStatus, LaunchError>) -> ExitCode {
        fault::point("ended");
        let undone = self.undo();
        let asked = self.stopping.take();
        match self.close(outcome, undone) {
            Ok(status) => {
                self.report(&Report::Ended(status));
                asked
                    .into_iter()
                    .for_each(|stopping| stopping.answer(Ok(())));
                ExitCode::SUCCESS
            }
            Err(error) => {
                errors::keep(&self.spec, &error);
                self.report(&Report::Failed(error.to_failure()));
                asked
                    .into_iter()
                    .for_each(|stopping| stopping.answer(Err(&error)));
                ExitCode::FAILURE
            }
        }
    }

    /// Makes what lives as long as the WPAR does, through its restarts; not yet the mount.
    fn make(&mut self) -> Result<(), LaunchError> {
        let run_dir = &self.spec.run_dir;
        self.state.write(run_dir)?;
        fault::point("state");
        super::root::check_point(&self.spec.mount_point)?;
        let log = open_log(&run_dir.join(state::SUPERVISOR_LOG)).doing("open the log")?;
        rustix::stdio::dup2_stderr(&log).doing("open the log")?;
        state::write_atomically(run_dir, state::SPEC_FILE, &self.spec)
            .doing("write the specification")?;
        let control = ControlSocket::listen(run_dir).doing("listen for commands")?;
        self.control = Some(control);
        let notify = NotifySocket::bind(&run_dir.join(state::NOTIFY_SOCKET));
        self.notify = Some(notify.doing("listen for init")?);
        let log = &self.spec.console_log;
        let log = ConsoleLog::open(log).doing(format!("open {}", log.display()))?;
        self.console_log = Some(log);
        let groups = Groups::open(&self.spec.cgroup)?;
        fault::point("sockets");
        // From here on they are undone, however far this came.
        let groups = self.groups.insert(groups);
        groups.create(
            &self.spec.limits,
            self.spec.ids,
            &devices::rules(&self.spec),
        )?;
        fault::point("groups");
        Ok(())
    }

    /// Starts init, again and again while it wants that; returns how the last one ended.
    fn live(&mut self) -> Result<ExitStatus, LaunchError> {
        loop {
            if self.init.is_none() {
                self.launch()?;
                self.begin_life();
            }
            match self.watch_over()? {
                super::life::End::Over(status) => return Ok(status),
                super::life::End::Restart => self.prepare_restart()?,
            }
        }
    }

    /// Init runs, for the first time or again.
    fn begin_life(&mut self) {
        self.spec.conversion = None;
        let stopping = self.stopping.take();
        self.state.stopping = false;
        self.state.asked = None;
        // First: who is answered may look at once.
        self.record();
        if let Some(stopping) = stopping {
            stopping.answer(Ok(()));
        }
        fault::point("answered");
    }

    /// Kills everything in the WPAR, with its daemon if that lets nobody die.
    pub(super) fn kill(&mut self) -> Result<(), LaunchError> {
        let Some(groups) = &self.groups else {
            return Ok(());
        };
        let result = groups.kill(cleanup::DAEMON_PATIENCE);
        let (Some(root), Some(daemon), Err(_)) = (&mut self.root, &mut self.daemon, &result) else {
            return result;
        };
        note("the file system daemon does not answer");
        root.abort();
        daemon.kill();
        groups.kill(cleanup::KILL_PATIENCE)
    }

    fn prepare_restart(&mut self) -> Result<(), LaunchError> {
        self.kill()?;
        if let Err(error) = network::disconnect(&self.spec.run_dir) {
            // The next one is made in its place.
            note(error);
        }
        fault::point("restart-killed");
        if let Some(groups) = &self.groups {
            groups.remove()?;
            groups.create(
                &self.spec.limits,
                self.spec.ids,
                &devices::rules(&self.spec),
            )?;
        }
        self.state.restarts += 1;
        self.state.init = None;
        self.state.executed = false;
        self.state.ready = false;
        self.state.status = None;
        self.state.started_at = state::now();
        self.record();
        fault::point("restart-noted");
        Ok(())
    }

    /// Brings init to its `exec`.
    fn launch(&mut self) -> Result<(), LaunchError> {
        let (channel, theirs) = Stage::pair().doing("make a channel")?;
        let groups = self
            .groups
            .as_ref()
            .map(|groups| groups.entrances(None))
            .transpose()?;
        let plan = Plan {
            spec: self.spec.clone(),
            channel: theirs,
            groups: groups.unwrap_or_default(),
            notify: self
                .notify
                .as_ref()
                .map(NotifySocket::path)
                .unwrap_or(Path::new(""))
                .to_owned(),
            standard_files: std::mem::take(&mut self.standard_files),
            size: self.size,
        };
        let first = spawn(Birth::Child, move || stage::run(plan)).doing("make a process")?;
        let result = self.accompany(channel);
        if result.is_err() {
            let _ = rustix::process::kill_process(first, rustix::process::Signal::KILL);
        }
        waitpid(Some(first), WaitOptions::empty()).doing("wait for a process")?;
        result
    }

    /// The supervisor's part of [`Self::launch`]: gives what the process needs, hears how far it
    /// is.
    fn accompany(&mut self, channel: Stage) -> Result<(), LaunchError> {
        // All this while the process waits for its place in the control groups.
        let user_namespace = userns::create(self.spec.ids)?;
        if self.root.is_none() {
            self.mount()?;
        }
        let root = self
            .root
            .as_ref()
            .ok_or(LaunchError::Lost("mount"))?
            .copy()?;
        let fds = [root.as_fd(), user_namespace.as_fd()];
        channel
            .send_with(&ToInit::Root, &fds)
            .doing("talk to a new process")?;
        drop((root, user_namespace));
        fault::point("root-given");
        let (mut born, mut kind, mut terminal, mut over) = (None, None, None, false);
        let mut reports = false;
        while !(over || reports && born.is_some()) {
            if !self.wait_for(channel.as_fd())? {
                self.revive()?;
                continue;
            }
            match channel.receive().doing("hear from a new process")? {
                Some((FromInit::Born(pid), _)) => {
                    born = Some(self.note_birth(pid)?);
                    if self.spec.network.is_some() {
                        self.connect()?;
                        channel
                            .send(&ToInit::Connected)
                            .doing("talk to a new process")?;
                    }
                }
                Some((FromInit::Terminal, fds)) => terminal = fds.into_iter().next(),
                Some((FromInit::Executing(what), _)) => kind = Some(what),
                Some((FromInit::CommandRuns, _)) => reports = true,
                Some((FromInit::Said(text), _)) => self.write_console(&text),
                Some((FromInit::Trouble(text), _)) => self.report(&Report::Trouble(text)),
                Some((FromInit::Failed(failure), _)) => return Err(LaunchError::Remote(failure)),
                // Of a command so short that its end overtook the word of its birth.
                Some((FromInit::CommandEnded(_), _)) => {}
                None => over = true,
            }
        }
        let (Some((pid, process)), Some(kind)) = (born, kind) else {
            return Err(LaunchError::Lost("process that becomes init"));
        };
        if let Some(terminal) = &terminal {
            // The log must never wait for the console; a starter sets its own mode.
            rustix::io::ioctl_fionbio(terminal, true).doing("set up the console")?;
        }
        let reports = reports.then_some(channel);
        self.init = Some(Init {
            kind,
            process,
            pid,
            console: terminal,
            reports,
        });
        fault::point("executed");
        // Before it counts as executed: an adopted one has its console.
        self.hold();
        self.note_execution(kind)
    }

    fn note_birth(&mut self, pid: u32) -> Result<(Pid, OwnedFd), LaunchError> {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let number = number.ok_or(LaunchError::Lost("process that becomes init"))?;
        let process = pidfd_open(number, PidfdFlags::empty()).doing("open the new process")?;
        fault::point("born");
        self.state.init = ProcessId::of(pid);
        self.record();
        fault::point("birth-noted");
        Ok((number, process))
    }

    fn note_execution(&mut self, kind: InitKind) -> Result<(), LaunchError> {
        self.state.executed = true;
        self.state.init_kind = Some(kind);
        self.state.ready = !kind.announces_ready();
        self.state.write(&self.spec.run_dir)?;
        fault::point("execution-noted");
        let pid = self.state.init.map_or(0, |init| init.pid);
        // A command's terminal is its starter's; the console of a system is the log's.
        let terminal = match self.spec.payload {
            Payload::Command { .. } => self.init.as_mut().and_then(|init| init.console.take()),
            Payload::Init | Payload::Maintenance => None,
        };
        let fds: Vec<_> = terminal.iter().map(AsFd::as_fd).collect();
        if let Some(starter) = &self.starter {
            let _ = starter.send_with(&Report::Executed { pid, kind }, &fds);
        }
        if self.state.ready {
            self.report(&Report::Ready);
        }
        Ok(())
    }

    /// Makes the root file system and starts its daemon.
    fn mount(&mut self) -> Result<(), LaunchError> {
        let point = &self.spec.mount_point;
        let root = match &self.spec.root {
            RootSource::Directory(directory) | RootSource::Shifted(directory) => {
                Root::directory(directory, point)?
            }
            RootSource::Mount(_) => Root::fuse(point)?,
        };
        let root = self.root.insert(root);
        if let (RootSource::Mount(spec), Some(connection)) = (&self.spec.root, root.connection()) {
            let path = self.spec.run_dir.join(state::DAEMON_LOG);
            let log = open_log(&path).doing(format!("open {}", path.display()))?;
            let held = Held::new().doing("make a channel")?;
            let mut inheritance = Inheritance::new(spec).doing("describe the mount")?;
            inheritance.hold(held.descriptors().doing("copy a descriptor")?);
            self.held = Some(held);
            let this = Path::new("/proc/self/exe");
            let daemon = Daemon::spawn(this, connection, &inheritance, log)
                .doing("start the file system daemon")?;
            fault::point("daemon");
            self.line = Some(Line::new(inheritance));
            self.state.daemon = ProcessId::of(daemon.pid());
            self.daemon = Some(daemon);
            self.record();
            self.wait_for_daemon(&path)?;
            self.go_ahead();
            fault::point("daemon-ready");
        }
        if let Some(root) = &mut self.root {
            root.attach()?;
        }
        fault::point("mounted");
        self.report(&Report::Mounted);
        Ok(())
    }

    fn wait_for_daemon(&mut self, log: &Path) -> Result<(), LaunchError> {
        if let Some(daemon) = &self.daemon {
            self.wait_for(daemon.answer_descriptor())?;
        }
        let Some(daemon) = &mut self.daemon else {
            return Ok(());
        };
        daemon.answer().map_err(|reason| {
            let text = fs::read_to_string(log).unwrap_or_default();
            let last = text
                .lines()
                .rfind(|line| !line.is_empty())
                .unwrap_or("no reason given");
            LaunchError::other(reason.unwrap_or_else(|| {
                format!("the file system daemon ended before it was ready: {last}")
            }))
        })
    }

    /// Waits for `descriptor` during a start, which is given up if the starter is; false if the
    /// daemon ended instead.
    fn wait_for(&self, descriptor: std::os::fd::BorrowedFd<'_>) -> Result<bool, LaunchError> {
        loop {
            let mut watch = Watch::default();
            let wanted = watch.add(descriptor);
            let daemon = self.daemon.as_ref();
            let daemon = watch.add_optional(daemon.map(Daemon::process_descriptor));
            let starter = watch.add_optional(self.starter.as_ref().map(AsFd::as_fd));
            let signals = watch.add(self.signals.as_fd());
            watch.wait(None).doing("wait")?;
            if watch.hung_up(starter) && !self.state.executed && self.state.restarts == 0 {
                return Err(LaunchError::Lost("command that asked for the start"));
            }
            if watch.happened(wanted) {
                return Ok(true);
            }
            if watch.happened(daemon) {
                return Ok(false);
            }
            while watch.happened(signals)
                && let Some(signal) = self.signals.next()
            {
                if signal != libc::SIGCHLD {
                    return Err(LaunchError::other("interrupted while starting"));
                }
            }
        }
    }

    /// Takes everything away again, in reverse order. Goes on after an error; returns the first.
    fn undo(&mut self) -> Result<(), LaunchError> {
        let mut first = Ok(());
        let mut keep = |result: Result<(), LaunchError>| {
            if first.is_ok() {
                first = result;
            }
        };
        self.inquiries.iter().for_each(Inquiry::kill);
        keep(self.kill());
        keep(network::disconnect(&self.spec.run_dir).map(drop));
        fault::point("killed");
        if let Some(init) = self.init.take() {
            let _ = waitpid(Some(init.pid), WaitOptions::NOHANG);
        }
        if let Some(root) = self.root.take() {
            keep(root.unmount(|| {
                if let Some(daemon) = &mut self.daemon {
                    daemon.kill();
                }
            }));
        }
        fault::point("unmounted");
        if let Some(mut daemon) = self.daemon.take() {
            // The mount's end is the daemon's, after it has written what it holds.
            let _ = wait_readable(daemon.process_descriptor(), Some(DAEMON_PATIENCE));
            daemon.kill();
        }
        self.inquiries.drain(..).for_each(Inquiry::wait);
        if let Some(groups) = self.groups.take() {
            keep(groups.remove().map(drop));
        }
        self.control = None;
        self.notify = None;
        fault::point("undone");
        first
    }

    /// Removes the run directory, or leaves the reason in it why things are not as they should be.
    fn close(
        &mut self,
        outcome: Result<ExitStatus, LaunchError>,
        undone: Result<(), LaunchError>,
    ) -> Result<ExitStatus, LaunchError> {
        let ran = self.state.executed || self.state.restarts > 0;
        let to_be_told = match (&outcome, &undone) {
            (_, Err(error)) => Some(error),
            (Err(error), Ok(())) if ran => Some(error),
            _ => None,
        };
        if let Some(error) = to_be_told {
            self.state.failure = Some(error.to_string());
            self.record();
            return undone.and(outcome);
        }
        let run_dir = &self.spec.run_dir;
        let removed = fs::remove_dir_all(run_dir).doing(format!("remove {}", run_dir.display()));
        outcome.and_then(|status| removed.map(|()| status))
    }

    /// Writes the state down; an error of that is no reason to end a running system.
    pub(super) fn record(&self) {
        if let Err(error) = self.state.write(&self.spec.run_dir) {
            note(error);
        }
    }

    /// Tells the starter, if it still listens.
    pub(super) fn report(&mut self, report: &Report) {
        if let Some(starter) = &self.starter
            && starter.send(report).is_err()
        {
            self.starter = None;
        }
    }
}

/// The status of init, which has ended.
pub(super) fn reap(init: &Init) -> ExitStatus {
    match waitpid(Some(init.pid), WaitOptions::empty()) {
        Ok(Some((_, status))) => exit_status(status),
        // Of one that was adopted, the kernel alone knows.
        _ => ended_as(
            init.pid.as_raw_nonzero().get().cast_unsigned(),
            init.process.as_fd(),
        )
        .map_or(ExitStatus::Exited(0), of_wait_status),
    }
}

pub(super) fn open_log(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}
