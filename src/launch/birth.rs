//! The supervisor's part of bringing init to its `exec`: it makes the process, gives it what it needs
//! and hears how far it is. What that process does is in `stage` and `inside`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, waitpid};

use super::error::{Doing, LaunchError};
use super::fault;
use super::message::{FromInit, Report, ToInit};
use super::notify::NotifySocket;
use super::root::Root;
use super::stage::{self, Plan};
use super::supervisor::{Init, Stage, Supervisor};
use super::watch::Watch;
use super::{InitKind, Payload, ProcessId, network, userns};
use crate::mountd_client::Daemon;
use crate::sys::process::{Birth, spawn};

impl Supervisor {
    /// Brings init to its `exec`.
    pub(super) fn launch(&mut self) -> Result<(), LaunchError> {
        if let Some(own) = &self.spec.own_addresses {
            network::share(&self.spec.run_dir, own)?;
        }
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
        if !self.root.as_ref().is_some_and(Root::is_attached) {
            self.finish_mount()?;
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

    /// Waits for `descriptor` during a start, which is given up if the starter is; false if the
    /// daemon ended instead.
    pub(super) fn wait_for(&self, descriptor: BorrowedFd<'_>) -> Result<bool, LaunchError> {
        loop {
            let mut watch = Watch::default();
            let wanted = watch.add(descriptor);
            let daemon = self.daemon.as_ref();
            let daemon = watch.add_optional(daemon.map(Daemon::process_descriptor));
            // Later it may leave. What it says is heard when this is over.
            let is_needed = !self.state.executed && self.state.restarts == 0;
            let starter = self.starter.as_ref().filter(|_| is_needed);
            let starter = watch.add_end(starter.map(AsFd::as_fd));
            let signals = watch.add(self.signals.as_fd());
            watch.wait(None).doing("wait")?;
            if watch.hung_up(starter) {
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
}
