//! The supervisor: one process per running WPAR, outside of it, which owns all that it is made
//! of and undoes it in reverse order.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{DumpableBehavior, Pid, WaitOptions, set_dumpable_behavior, setsid, waitpid};

use super::ahead::Recording;
use super::bpf::DeviceRule;
use super::cgroup::{Groups, Terms};
use super::channel::Channel;
use super::console::ConsoleLog;
use super::control::ControlSocket;
use super::error::{Doing, LaunchError};
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
use super::state::{self, RunState};
use super::stop::Stopping;
use super::terminal::Size;
use super::viewers::Viewers;
use super::{ExitStatus, InitKind, LaunchSpec, devices, network, terminal};
use crate::mountd_client::Daemon;
use crate::sys::descriptors::close_others;
use crate::sys::signals::SignalDescriptor;

/// Entry point of the executable under the name [`super::SUPERVISOR`]. Standard input is the
/// channel to the starter.
pub fn supervisor_main() -> ExitCode {
    match receive_order() {
        Ok(Asked::Start(asked)) => {
            Supervisor::new(asked).map_or(ExitCode::FAILURE, Supervisor::run)
        }
        Ok(Asked::Adopt {
            starter,
            run_dir,
            waits,
        }) => match Supervisor::adopt(&starter, &run_dir, waits) {
            Ok(mut adopted) => {
                adopted.starter = waits.then_some(starter);
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
    Adopt {
        starter: Starter,
        run_dir: PathBuf,
        /// Whether the starter waits for its end.
        waits: bool,
    },
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
        Some((Order::Adopt { run_dir, waits }, _)) => Ok(Asked::Adopt {
            starter,
            run_dir,
            waits,
        }),
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
    pub(super) standard_files: Vec<OwnedFd>,
    pub(super) size: Size,
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
    pub(super) viewers: Viewers,
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
            viewers: Viewers::default(),
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

    /// Makes what lives as long as the WPAR does, through its restarts. Of the mount, only that it
    /// is begun.
    fn make(&mut self) -> Result<(), LaunchError> {
        self.make_run_dir()?;
        self.begin_mount()?;
        let groups = Groups::open(&self.spec.cgroup)?;
        // From here on they are undone, however far this came.
        let groups = self.groups.insert(groups);
        groups.create(&terms(&self.spec, &devices::rules(&self.spec)))?;
        self.limit_disks()?;
        fault::point("groups");
        Ok(())
    }

    /// Fills the run directory.
    fn make_run_dir(&mut self) -> Result<(), LaunchError> {
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
        fault::point("sockets");
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

    fn prepare_restart(&mut self) -> Result<(), LaunchError> {
        // The next one has another console.
        self.viewers.clear();
        self.kill()?;
        if let Err(error) = network::disconnect(&self.spec.run_dir) {
            // The next one is made in its place.
            note(error);
        }
        fault::point("restart-killed");
        if let Some(groups) = &self.groups {
            groups.remove()?;
            groups.create(&terms(&self.spec, &devices::rules(&self.spec)))?;
            self.limit_disks()?;
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

/// What its groups are made with.
fn terms<'a>(spec: &'a LaunchSpec, devices: &'a [DeviceRule]) -> Terms<'a> {
    Terms {
        limits: &spec.limits,
        ids: spec.ids,
        devices,
        addresses: spec.own_addresses.as_ref(),
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
