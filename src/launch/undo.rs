//! The end of a WPAR: everything is taken away in the reverse order of its making, and whoever waits
//! for that is told.

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{WaitOptions, waitpid};

use super::error::{Doing, LaunchError};
use super::errors;
use super::fault;
use super::inquiry::Inquiry;
use super::message::Report;
use super::note::note;
use super::supervisor::Supervisor;
use super::watch::wait_readable;
use super::{ExitStatus, cleanup, network};

/// How long the daemon may take to write its store after the mount is gone.
const DAEMON_PATIENCE: Duration = Duration::from_secs(30);

impl Supervisor {
    pub(super) fn finish(mut self, outcome: Result<ExitStatus, LaunchError>) -> ExitCode {
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
            keep(groups.remove_disks());
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
}
