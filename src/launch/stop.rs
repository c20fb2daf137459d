//! How a WPAR is made to end.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::client::{Asker, prepare_session};
use super::control::Client;
use super::error::{Doing, LaunchError};
use super::fault;
use super::message::Answer;
use super::note::note;
use super::state::Asked;
use super::supervisor::Supervisor;
use super::telling::{Telling, reception};
use super::{InitKind, StopMode};
use crate::sys::process::send_signal;

/// After a hard stop began: how long until everything is killed.
const HARD_PATIENCE: Duration = Duration::from_secs(10);
/// After the supervisor itself was told to end: how long until everything is killed.
const TERM_PATIENCE: Duration = Duration::from_secs(90);

// systemd(1), section SIGNALS. SIGRTMIN is 34 for every C library but one that reserves one more.
const SYSTEMD_HALT: i32 = 37;
const SYSTEMD_REBOOT: i32 = 39;
const SYSTEMD_HALT_NOW: i32 = 47;
const SYSTEMD_REBOOT_NOW: i32 = 49;

/// A stop that is going on.
#[derive(Debug)]
pub(super) struct Stopping {
    pub(super) mode: StopMode,
    /// Whether the WPAR is to be started again.
    pub(super) restart: bool,
    /// When everything is killed.
    kill_at: Option<Instant>,
    /// The signal that tells init to end.
    signal: Option<Telling>,
    clients: Vec<Waiting>,
    /// A shutdown command that runs inside.
    command: Option<(Child, Asker)>,
}

/// Somebody who waits for the end.
#[derive(Debug)]
struct Waiting {
    client: Client,
    deadline: Option<Instant>,
}

impl Stopping {
    /// When something is due if nothing else happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let clients = self.clients.iter().filter_map(|waiting| waiting.deadline);
        let retry = self.signal.as_ref().and_then(Telling::due);
        clients.chain(self.kill_at).chain(retry).min()
    }

    /// Answers everybody.
    pub(super) fn answer(self, result: Result<(), &LaunchError>) {
        for waiting in self.clients {
            let answer = match result {
                Ok(()) => Answer::Done,
                Err(error) => Answer::Failed(error.to_failure()),
            };
            let _ = waiting.client.send(&answer);
        }
        if let Some((mut command, asker)) = self.command {
            drop(asker);
            let _ = command.wait();
        }
    }
}

impl Supervisor {
    /// Begins to stop, or goes on with another mode.
    pub(super) fn begin_stop(
        &mut self,
        mode: StopMode,
        restart: bool,
        client: Option<(Client, Option<Duration>)>,
    ) {
        let now = Instant::now();
        if let Some(groups) = &self.groups
            && groups.is_frozen()
            && let Err(error) = groups.freeze(false)
        {
            note(format_args!("cannot let the processes go on: {error}"));
        }
        let mut stopping = self.stopping.take().unwrap_or(Stopping {
            mode,
            restart,
            kill_at: None,
            signal: None,
            clients: Vec::new(),
            command: None,
        });
        stopping.mode = mode;
        stopping.restart = restart;
        match (mode, &client) {
            (StopMode::Hard, _) => stopping.kill_at = Some(now + HARD_PATIENCE),
            (StopMode::Soft, None) => stopping.kill_at = Some(now + TERM_PATIENCE),
            _ => {}
        }
        let clients = client.map(|(client, timeout)| Waiting {
            client,
            deadline: timeout.map(|timeout| now + timeout),
        });
        stopping.clients.extend(clients);
        self.stopping = Some(stopping);
        self.state.stopping = true;
        self.state.asked = Some(Asked { mode, restart });
        self.record();
        fault::point("stop-noted");
        if let Err(error) = self.tell_to_end(mode, restart) {
            self.fail_stop(&error);
        }
        fault::point("stop-told");
    }

    /// Goes on with what the supervisor before this one was asked for.
    pub(super) fn take_up_stop(&mut self) {
        let Some(Asked { mode, restart }) = self.state.asked else {
            return;
        };
        // It may have told init already; to tell it twice does no harm.
        match mode {
            StopMode::Soft => self.begin_stop(mode, restart, None),
            StopMode::Hard | StopMode::Force => self.begin_stop(StopMode::Hard, restart, None),
        }
        if let Some(stopping) = &mut self.stopping
            && mode == StopMode::Soft
        {
            // Whoever asked set no limit.
            stopping.kill_at = None;
        }
    }

    /// The clients get an error, and the WPAR is as if it had not been told to end.
    fn fail_stop(&mut self, error: &LaunchError) {
        if let Some(stopping) = self.stopping.take() {
            stopping.answer(Err(error));
        }
        self.state.stopping = false;
        self.state.asked = None;
        self.record();
    }

    fn tell_to_end(&mut self, mode: StopMode, restart: bool) -> Result<(), LaunchError> {
        let Some(init) = &self.init else {
            return Ok(());
        };
        match (mode, init.kind) {
            (StopMode::Soft, InitKind::Systemd) => self.signal_init(if restart {
                SYSTEMD_REBOOT
            } else {
                SYSTEMD_HALT
            }),
            (StopMode::Soft, InitKind::Busybox) => self.signal_init(libc::SIGUSR2),
            (StopMode::Soft, InitKind::Builtin) => self.signal_init(libc::SIGTERM),
            (StopMode::Soft, InitKind::Sysvinit | InitKind::Openrc | InitKind::Other) => {
                let command = run_inside(&self.spec.run_dir, &["/sbin/shutdown", "-h", "now"])
                    .doing("run shutdown inside")?;
                if let Some(stopping) = &mut self.stopping {
                    stopping.command = Some(command);
                }
                Ok(())
            }
            (StopMode::Hard, InitKind::Systemd) => self.signal_init(if restart {
                SYSTEMD_REBOOT_NOW
            } else {
                SYSTEMD_HALT_NOW
            }),
            (StopMode::Hard, _) => {
                if let Some(groups) = &self.groups {
                    groups.signal(libc::SIGTERM);
                    groups.signal(libc::SIGCONT);
                }
                Ok(())
            }
            (StopMode::Force, _) => self.kill(),
        }
    }

    /// Sends init a signal, as soon as it takes it.
    fn signal_init(&mut self, number: i32) -> Result<(), LaunchError> {
        match (&self.init, &mut self.stopping) {
            // It has taken signals since before it was told to be executed.
            (Some(init), _) if init.kind == InitKind::Builtin => {
                send_signal(init.process.as_fd(), number).doing("signal init")
            }
            (Some(_), Some(stopping)) => {
                stopping.signal = Some(Telling::new(number));
                self.repeat_signal()
            }
            _ => Ok(()),
        }
    }

    /// Sends the signal if it was not, or may have got lost.
    fn repeat_signal(&mut self) -> Result<(), LaunchError> {
        let telling = self
            .stopping
            .as_mut()
            .and_then(|stopping| stopping.signal.as_mut());
        let (Some(init), Some(telling)) = (&self.init, telling) else {
            return Ok(());
        };
        let now = Instant::now();
        if !telling.is_due(now) {
            return Ok(());
        }
        let seen = reception(init.pid.as_raw_nonzero().get(), telling.number);
        if telling.look(seen, now) {
            send_signal(init.process.as_fd(), telling.number).doing("signal init")?;
        }
        Ok(())
    }

    /// Does what is due: kills, and tells clients whose time is up.
    pub(super) fn check_stop(&mut self) {
        let now = Instant::now();
        let due = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        let Some(stopping) = &mut self.stopping else {
            return;
        };
        let kill = due(stopping.kill_at);
        if kill {
            stopping.kill_at = None;
        }
        stopping.clients.retain(|waiting| {
            let late = due(waiting.deadline);
            if late {
                let _ = waiting.client.send(&Answer::Timeout);
            }
            !late
        });
        let ended = stopping
            .command
            .as_mut()
            .and_then(|(command, _)| command.try_wait().ok().flatten());
        if let Some(status) = ended {
            stopping.command = None;
            // Killed with everything else, it has done its work.
            let failed = status.code().is_some_and(|code| (1..128).contains(&code));
            if failed && stopping.mode == StopMode::Soft {
                let error =
                    LaunchError::other("the shutdown command inside failed; use a hard stop");
                self.fail_stop(&error);
                return;
            }
        }
        let repeated = self.repeat_signal();
        if let Err(error) = repeated.and_then(|()| if kill { self.kill() } else { Ok(()) }) {
            self.fail_stop(&error);
        }
    }
}

/// Starts a command inside, through a session of its own, without waiting for it.
fn run_inside(run_dir: &Path, argv: &[&str]) -> io::Result<(Child, Asker)> {
    let mut command = Command::new("/proc/self/exe");
    let asker = prepare_session(&mut command, run_dir, argv)?;
    Ok((
        command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?,
        asker,
    ))
}
