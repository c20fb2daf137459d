//! The root file system of a WPAR that is started: the mount and its daemon.
//!
//! The daemon takes the longest of all to get ready, so it is started first, and what else a WPAR
//! needs (control groups, namespaces) is made meanwhile.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::{Doing, LaunchError};
use super::fault;
use super::held::Held;
use super::message::Report;
use super::revive::Line;
use super::root::Root;
use super::supervisor::{Supervisor, open_log};
use super::{ProcessId, RootSource, state};
use crate::mountd_client::{Daemon, Inheritance};

impl Supervisor {
    /// Makes the mount and starts its daemon, and waits for neither.
    pub(super) fn begin_mount(&mut self) -> Result<(), LaunchError> {
        let log = self.daemon_log();
        let point = &self.spec.mount_point;
        let root = match &self.spec.root {
            RootSource::Directory(directory) | RootSource::Shifted(directory) => {
                Root::directory(directory, point)?
            }
            RootSource::Mount(_) => Root::fuse(point)?,
        };
        let root = self.root.insert(root);
        let (RootSource::Mount(spec), Some(connection)) = (&self.spec.root, root.connection())
        else {
            return Ok(());
        };
        let log = open_log(&log).doing(format!("open {}", log.display()))?;
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
        Ok(())
    }

    /// Waits until the daemon serves the mount, and attaches it.
    pub(super) fn finish_mount(&mut self) -> Result<(), LaunchError> {
        if self.daemon.is_some() {
            let log = self.daemon_log();
            self.wait_for_daemon(&log)?;
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

    fn daemon_log(&self) -> PathBuf {
        self.spec.run_dir.join(state::DAEMON_LOG)
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
}
