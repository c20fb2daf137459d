//! The supervisor's loop while a WPAR runs.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::error::{Doing, LaunchError};
use super::message::{Answer, Control, FromInit, Order, Report};
use super::note::note;
use super::notify::Announcement;
use super::supervisor::{Supervisor, reap};
use super::watch::Watch;
use super::{ExitStatus, Payload, StopMode};
use crate::sys::process::send_signal;

/// A terminal that nobody has open inside says so at every look; this is between two looks.
const CONSOLE_PAUSE: Duration = Duration::from_millis(200);

/// Why the loop ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The WPAR is to stay down.
    Over(ExitStatus),
    /// It is to start again.
    Restart,
}

/// What happened since the last look.
#[derive(Debug, Default)]
struct Events {
    init_ended: bool,
    daemon_ended: bool,
    announced: bool,
    console: bool,
    control: bool,
    signal: bool,
    order: bool,
    starter_left: bool,
    command: bool,
    trail: bool,
}

fn answer(result: Result<(), LaunchError>) -> Answer {
    match result {
        Ok(()) => Answer::Done,
        Err(error) => Answer::Failed(error.to_failure()),
    }
}

impl Supervisor {
    /// Watches over init until it ends.
    pub(super) fn watch_over(&mut self) -> Result<End, LaunchError> {
        let mut console_from = None;
        let mut command_status = None;
        loop {
            let events = self.wait_for_events(console_from)?;
            if console_from.is_some_and(|from| from <= Instant::now()) {
                console_from = None;
            }
            if events.announced || events.init_ended {
                self.hear_announcements();
            }
            if events.console && !self.read_console() {
                console_from = Some(Instant::now() + CONSOLE_PAUSE);
            }
            while events.init_ended && self.read_console() {}
            if events.command {
                command_status = self.hear_command().or(command_status);
            }
            if events.init_ended {
                return Ok(self.judge_end(command_status));
            }
            if events.daemon_ended {
                self.revive()?;
            }
            self.serve(&events);
            self.check_stop();
            self.check_recording(false);
        }
    }

    fn wait_for_events(&self, console_from: Option<Instant>) -> Result<Events, LaunchError> {
        let mut watch = Watch::default();
        let init = self.init.as_ref();
        let process = watch.add_optional(init.map(|init| init.process.as_fd()));
        let console = init
            .and_then(|init| init.console.as_ref())
            .filter(|_| console_from.is_none());
        let console = watch.add_optional(console.map(AsFd::as_fd));
        let reports = init.and_then(|init| init.reports.as_ref());
        let reports = watch.add_optional(reports.map(AsFd::as_fd));
        let daemon = self.daemon.as_ref();
        let daemon = watch.add_optional(daemon.map(|daemon| daemon.process_descriptor()));
        let notify = watch.add_optional(self.notify.as_ref().map(AsFd::as_fd));
        let control = watch.add_optional(self.control.as_ref().map(AsFd::as_fd));
        let starter = watch.add_optional(self.starter.as_ref().map(AsFd::as_fd));
        let teller = watch.add_optional(self.teller());
        let signals = watch.add(self.signals.as_fd());
        let due = self
            .stopping
            .as_ref()
            .and_then(super::stop::Stopping::deadline);
        watch
            .wait(
                due.into_iter()
                    .chain(console_from)
                    .chain(self.recording_due())
                    .min(),
            )
            .doing("wait for events")?;
        Ok(Events {
            init_ended: watch.happened(process),
            daemon_ended: watch.happened(daemon),
            announced: watch.happened(notify),
            console: watch.happened(console),
            control: watch.happened(control),
            signal: watch.happened(signals),
            order: watch.readable(starter),
            starter_left: watch.hung_up(starter),
            command: watch.happened(reports),
            trail: watch.happened(teller),
        })
    }

    /// Answers those outside.
    fn serve(&mut self, events: &Events) {
        if events.control
            && let Some((client, request)) =
                self.control.as_ref().and_then(|control| control.accept())
        {
            match request {
                Control::Stop {
                    mode,
                    timeout,
                    restart,
                } => self.begin_stop(
                    mode,
                    restart,
                    Some((client, timeout.map(Duration::from_millis))),
                ),
                Control::Limit(limits) => {
                    // Who asked may have left; what was asked for holds all the same.
                    let _ = client.send(&answer(self.change_limits(*limits)));
                }
                Control::Attach { past } => self.attach(&client, past),
                Control::Connect(plan) => {
                    let changed = self.change_network(plan.map(|plan| *plan));
                    let _ = client.send(&answer(changed));
                }
            }
        }
        if events.starter_left {
            self.starter = None;
            // A command in the foreground ends with whoever started it.
            if matches!(self.spec.payload, Payload::Command { .. }) && self.stopping.is_none() {
                self.begin_stop(StopMode::Hard, false, None);
            }
        } else if events.order {
            self.obey_starter();
        }
        if events.trail {
            self.hear_trail();
        }
        if events.signal {
            self.inquiries.retain(|inquiry| !inquiry.is_over());
        }
        while events.signal
            && let Some(signal) = self.signals.next()
        {
            if signal != libc::SIGCHLD && self.stopping.is_none() {
                self.begin_stop(StopMode::Soft, false, None);
            }
        }
    }

    fn obey_starter(&mut self) {
        let order = self.starter.as_ref().map(|starter| starter.receive());
        match order {
            Some(Ok(Some((Order::Signal(number), _)))) => {
                if let Some(init) = &self.init {
                    let _ = send_signal(init.process.as_fd(), number);
                }
            }
            _ => self.starter = None,
        }
    }

    fn hear_announcements(&mut self) {
        let init = self.state.init.map_or(0, |init| init.pid);
        let heard = self
            .notify
            .as_ref()
            .map(|notify| notify.announcements(init));
        for announcement in heard.unwrap_or_default() {
            match announcement {
                Announcement::Ready => {
                    self.state.ready = true;
                    self.check_recording(true);
                    self.report(&Report::Ready);
                }
                Announcement::Status(text) => {
                    self.report(&Report::Status(text.clone()));
                    self.state.status = Some(text);
                }
            }
            self.record();
        }
    }

    /// Moves what is on the console to the log; `false` if there was nothing.
    fn read_console(&mut self) -> bool {
        let Some(console) = self.init.as_ref().and_then(|init| init.console.as_ref()) else {
            return false;
        };
        let mut buffer = [0; 16 * 1024];
        match rustix::io::read(console, &mut buffer) {
            Ok(0) | Err(_) => false,
            Ok(length) => {
                self.write_console(buffer.get(..length).unwrap_or_default());
                true
            }
        }
    }

    /// Appends to the console's log, and shows it to those who look. A full disk must not stop the WPAR, which would wait.
    pub(super) fn write_console(&mut self, text: &[u8]) {
        self.viewers.show(text);
        if let Some(log) = &mut self.console_log
            && let Err(error) = log.append(text)
        {
            note(format_args!("cannot write the console's log: {error}"));
        }
    }

    /// The status of the command, from the built-in init that runs it.
    fn hear_command(&mut self) -> Option<ExitStatus> {
        let init = self.init.as_mut()?;
        match init.reports.as_ref()?.receive() {
            Ok(Some((FromInit::CommandEnded(status), _))) => Some(status),
            _ => {
                init.reports = None;
                None
            }
        }
    }

    /// What the end of init means.
    fn judge_end(&mut self, command_status: Option<ExitStatus>) -> End {
        let command_status = command_status.or_else(|| self.hear_command());
        let Some(init) = self.init.take() else {
            return End::Over(ExitStatus::Exited(0));
        };
        let status = reap(&init);
        // reboot(2) in a PID namespace shows as the signal that ends process 1.
        match (&self.stopping, status) {
            (Some(stopping), _) if stopping.restart => End::Restart,
            (None, ExitStatus::Signaled(libc::SIGHUP)) => End::Restart,
            (_, ExitStatus::Signaled(libc::SIGINT)) => End::Over(ExitStatus::Exited(0)),
            _ => End::Over(command_status.unwrap_or(status)),
        }
    }
}
