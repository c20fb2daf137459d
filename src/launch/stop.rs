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
use super::{InitKind, StopMode};
use crate::sys::process::send_signal;

/// After a hard stop began: how long until everything is killed.
const HARD_PATIENCE: Duration = Duration::from_secs(10);
/// After the supervisor itself was told to end: how long until everything is killed.
const TERM_PATIENCE: Duration = Duration::from_secs(90);

/// After so many looks at an init that seems to ignore a signal it is sent all the same: one that
/// waits in `sigtimedwait(2)`, as that of busybox does, looks like that.
const PATIENCE: u32 = 10;

/// Between two looks whether init takes a signal by now.
const RETRY: Duration = Duration::from_millis(10);

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
    signal: Option<Told>,
    clients: Vec<Waiting>,
    /// A shutdown command that runs inside.
    command: Option<(Child, Asker)>,
}

/// A signal to init. One that comes right after an `exec` can be lost: process 1 ignores what it
/// has no handler for, and its C library blocks, for a moment now and then, what it has none for.
#[derive(Clone, Copy, Debug)]
struct Told {
    number: i32,
    /// What was seen at the last look.
    seen: Reception,
    /// As what it was sent; absent as long as it was not.
    sent: Option<Reception>,
    /// How often in a row it looked as if it would be lost.
    ignored: u32,
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
        let retry = self.signal.map(|_| Instant::now() + RETRY);
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
                stopping.signal = Some(Told {
                    number,
                    seen: Reception::Ignored,
                    sent: None,
                    ignored: 0,
                });
                self.repeat_signal()
            }
            _ => Ok(()),
        }
    }

    /// Sends the signal if it was not, or may have got lost.
    fn repeat_signal(&mut self) -> Result<(), LaunchError> {
        let told = self
            .stopping
            .as_mut()
            .and_then(|stopping| stopping.signal.as_mut());
        let (Some(init), Some(told)) = (&self.init, told) else {
            return Ok(());
        };
        let now = reception(init.pid.as_raw_nonzero().get(), told.number);
        let before = std::mem::replace(&mut told.seen, now);
        let send = match now {
            Reception::Pending => false,
            Reception::Ignored => {
                told.sent = None;
                told.ignored += 1;
                told.ignored % PATIENCE == 0
            }
            // Blocked twice in a row is no passing moment.
            Reception::Blocked => told.sent.is_none() && before == Reception::Blocked,
            Reception::Caught => told.sent != Some(Reception::Caught),
        };
        if send {
            told.sent = Some(now);
            send_signal(init.process.as_fd(), told.number).doing("signal init")?;
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

/// What a process does about a signal at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reception {
    /// It waits to be taken.
    Pending,
    /// There is a handler.
    Caught,
    /// It would wait until it is read or let through.
    Blocked,
    /// To process 1 of a PID namespace it would be lost.
    Ignored,
}

/// Looks at the signal masks of a process, see proc_pid_status(5).
fn reception(pid: i32, signal: i32) -> Reception {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let is_in = |names: &[&str]| {
        status
            .lines()
            .filter_map(|line| line.split_once(":\t"))
            .filter(|(name, _)| names.contains(name))
            .filter_map(|(_, mask)| u64::from_str_radix(mask, 16).ok())
            .any(|mask| mask & (1 << (signal - 1)) != 0)
    };
    if is_in(&["SigPnd", "ShdPnd"]) {
        Reception::Pending
    } else if is_in(&["SigCgt"]) {
        Reception::Caught
    } else if is_in(&["SigBlk"]) {
        Reception::Blocked
    } else {
        Reception::Ignored
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::signals::SignalDescriptor;

    #[test]
    fn a_signal_is_blocked_then_pending_until_it_is_read() {
        // The mask is that of a thread, which the kernel shows under its own number.
        let thread = rustix::thread::gettid();
        let look = || reception(thread.as_raw_nonzero().get(), SYSTEMD_HALT);
        assert_eq!(look(), Reception::Ignored);
        let signals = SignalDescriptor::new(&[SYSTEMD_HALT]).unwrap();
        assert_eq!(look(), Reception::Blocked);
        signals.raise(SYSTEMD_HALT).unwrap();
        assert_eq!(look(), Reception::Pending);
        assert_eq!(signals.next(), Some(SYSTEMD_HALT));
        assert_eq!(look(), Reception::Blocked);
        drop(signals);
        assert_eq!(look(), Reception::Ignored);
    }
}
