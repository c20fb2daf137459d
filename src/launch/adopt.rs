//! Another supervisor for a WPAR whose supervisor died: it takes over what runs.
//!
//! Init and the daemon go on by themselves. What the dead supervisor had of them is found again by
//! facts, never by numbers alone: the processes by number and time of birth, the daemon's
//! descriptors in the daemon, the mount where it is attached. Until all of it is there nothing is
//! changed; an adoption that fails leaves the WPAR as it was.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Child;

use rustix::fs::{FlockOperation, flock};
use rustix::process::Pid;

use super::ahead::Recording;
use super::cgroup::Groups;
use super::client::{Asker, supervisor_command};
use super::console::ConsoleLog;
use super::control::ControlSocket;
use super::error::{Doing, LaunchError};
use super::errors;
use super::held::Held;
use super::message::{Order, Report};
use super::note::note;
use super::notify::NotifySocket;
use super::revive::Line;
use super::root::Root;
use super::state::{self, RunState};
use super::supervisor::{Init, Starter, Supervisor, open_log};
use super::terminal::Size;
use super::{LaunchSpec, Payload, ProcessId, RootSource, mountinfo};
use crate::mountd_client::{self, Adopted};

/// Lets another supervisor take over the WPAR of `run_dir`, whose supervisor died.
///
/// # Errors
/// [`LaunchError::AlreadyActive`] if it has one; why none can take over.
pub fn adopt(run_dir: &Path) -> Result<(), LaunchError> {
    ask_adoption(run_dir, false).map(drop)
}

/// As [`adopt`], for one who waits for the end of the command in it, which is heard on the channel.
pub(super) fn adopt_command(run_dir: &Path) -> Result<(Asker, Child), LaunchError> {
    ask_adoption(run_dir, true)
}

fn ask_adoption(run_dir: &Path, waits: bool) -> Result<(Asker, Child), LaunchError> {
    let (channel, theirs) = Asker::pair().doing("make a channel")?;
    let mut child = supervisor_command(Path::new("/proc/self/exe"), theirs)
        .spawn()
        .doing("start the supervisor")?;
    let run_dir = std::path::absolute(run_dir).doing("find the run directory")?;
    channel
        .send(&Order::Adopt { run_dir, waits })
        .doing("talk to the supervisor")?;
    match channel.receive().doing("hear from the supervisor")? {
        Some((Report::Executed { .. }, _)) => Ok((channel, child)),
        Some((Report::Failed(failure), _)) => {
            let _ = child.wait();
            Err(LaunchError::Remote(failure))
        }
        _ => {
            let _ = child.wait();
            Err(LaunchError::Lost("supervisor"))
        }
    }
}

impl Supervisor {
    /// Takes over the WPAR of `run_dir`.
    ///
    /// # Errors
    /// What is missing. Nothing is changed then.
    pub(super) fn adopt(
        starter: &Starter,
        run_dir: &Path,
        waits: bool,
    ) -> Result<Self, LaunchError> {
        // One at a time: the second finds the first one alive.
        let claim = File::open(run_dir).doing(format!("open {}", run_dir.display()))?;
        flock(&claim, FlockOperation::NonBlockingLockExclusive)
            .doing("claim the WPAR, which another supervisor may be about to do")?;
        let state = RunState::read(run_dir).ok_or(LaunchError::NotActive)?;
        if state.supervisor.is_alive() {
            return Err(LaunchError::AlreadyActive(state.supervisor.pid));
        }
        let spec = read_spec(run_dir)?;
        let is_command = matches!(spec.payload, Payload::Command { .. });
        if is_command != waits {
            return Err(LaunchError::other(
                "a single command ends with the one who waited for it",
            ));
        }
        let mut new = Self::found(spec, state)?;
        let log = open_log(&run_dir.join(state::SUPERVISOR_LOG)).doing("open the log")?;
        rustix::stdio::dup2_stderr(&log).doing("open the log")?;
        // Nothing can fail any more that would leave it with neither.
        new.control = Some(listen_again(run_dir)?);
        new.state.supervisor = ProcessId::of(std::process::id())
            .ok_or_else(|| LaunchError::other("cannot read /proc/self/stat"))?;
        new.state.write(run_dir)?;
        new.hold();
        new.take_up_stop();
        let (pid, kind) = match (&new.init, new.state.init_kind) {
            (Some(init), Some(kind)) => (init.pid.as_raw_nonzero().get().cast_unsigned(), kind),
            _ => return Err(LaunchError::NotActive),
        };
        let what = format!(
            "the supervisor died; process {} went on in its place",
            std::process::id()
        );
        errors::keep(&new.spec, what);
        let _ = starter.send(&Report::Executed { pid, kind });
        Ok(new)
    }

    /// All that the dead supervisor had.
    fn found(spec: LaunchSpec, state: RunState) -> Result<Self, LaunchError> {
        let (Some(init), Some(kind), true) = (state.init, state.init_kind, state.executed) else {
            return Err(LaunchError::NotActive);
        };
        let number = i32::try_from(init.pid).ok().and_then(Pid::from_raw);
        let pid = number.ok_or(LaunchError::NotActive)?;
        let process = init.open().ok_or(LaunchError::NotActive)?;
        let RootSource::Mount(files) = &spec.root else {
            return Err(LaunchError::other("its files are a directory of the host"));
        };
        let daemon = state
            .daemon
            .ok_or(LaunchError::Lost("file system daemon"))?;
        let daemon_process = daemon
            .open()
            .ok_or(LaunchError::Lost("file system daemon"))?;
        if !mountinfo::is_mounted(&spec.mount_point) {
            return Err(LaunchError::Lost("mount"));
        }
        let Adopted {
            daemon,
            connection,
            mut inheritance,
            held,
        } = mountd_client::adopt(files, daemon.pid, daemon_process)
            .doing("take over the file system daemon")?;
        let held = Held::from_descriptors(held)
            .ok_or_else(|| LaunchError::other("the file system daemon holds nothing for others"))?
            .doing("use what the file system daemon holds")?;
        let for_others = held.descriptors().doing("copy a descriptor")?;
        inheritance.hold(for_others);
        let root = Root::attached(&spec.mount_point, connection)?;
        let groups = Groups::open(&spec.cgroup)?;
        let log = &spec.console_log;
        let console_log = ConsoleLog::open(log).doing(format!("open {}", log.display()))?;
        let is_command = matches!(spec.payload, Payload::Command { .. });
        let mut new = Self::bare(spec, state, None, Vec::new(), Size::default())?;
        let taken = held.take_back();
        let path = new.spec.run_dir.join(state::NOTIFY_SOCKET);
        new.notify = match taken.notify {
            Some(socket) => Some(NotifySocket::from_descriptor(socket, path)),
            None => {
                remove_stale(&path)?;
                Some(NotifySocket::bind(&path).doing("listen for init")?)
            }
        };
        new.console_log = Some(console_log);
        new.groups = Some(groups);
        new.root = Some(root);
        new.daemon = Some(daemon);
        new.line = Some(Line::new(inheritance));
        new.held = Some(held);
        new.recording = Recording::Off;
        new.init = Some(Init {
            kind,
            process,
            pid,
            // That of a command is its starter's.
            console: taken.console.filter(|_| !is_command),
            reports: None,
        });
        Ok(new)
    }

    /// Lets the daemon hold what the next supervisor would need.
    pub(super) fn hold(&self) {
        let Some(held) = &self.held else {
            return;
        };
        let notify = self.notify.as_ref().map(AsFd::as_fd);
        let console = self.init.as_ref().and_then(|init| init.console.as_ref());
        if let Err(error) = held.hold(notify, console.map(AsFd::as_fd)) {
            note(format_args!(
                "the console will be lost if the supervisor dies: {error}"
            ));
        }
    }
}

pub(super) fn read_spec(run_dir: &Path) -> Result<LaunchSpec, LaunchError> {
    let path = run_dir.join(state::SPEC_FILE);
    let step = format!("read {}", path.display());
    let text = fs::read(&path).doing(&step)?;
    serde_json::from_slice(&text)
        .map_err(io::Error::from)
        .doing(&step)
}

fn listen_again(run_dir: &Path) -> Result<ControlSocket, LaunchError> {
    remove_stale(&run_dir.join(state::CONTROL_SOCKET))?;
    ControlSocket::listen(run_dir).doing("listen for commands")
}

fn remove_stale(socket: &Path) -> Result<(), LaunchError> {
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).doing(format!("remove {}", socket.display()))
        }
        _ => Ok(()),
    }
}
