//! Changing a WPAR while it runs: what a command asks of its supervisor.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};

use super::control::ask;
use super::error::{Doing, LaunchError};
use super::message::{Answer, Control};
use super::network::Plan;
use super::note::note;
use super::supervisor::Supervisor;
use super::{Limits, network, state};

impl Supervisor {
    /// Holds the WPAR to `limits`, now and after its restarts. If the kernel refuses, to what it was
    /// held to before.
    pub(super) fn change_limits(&mut self, limits: Limits) -> Result<(), LaunchError> {
        if let Some(groups) = &self.groups
            && let Err(error) = groups.limit(&limits)
        {
            let _ = groups.limit(&self.spec.limits);
            return Err(error);
        }
        let before = std::mem::replace(&mut self.spec.limits, limits);
        if let Err(error) = self.limit_disks() {
            self.spec.limits = before;
            if let Some(groups) = &self.groups {
                let _ = groups.limit(&self.spec.limits);
            }
            let _ = self.limit_disks();
            return Err(error);
        }
        self.state.process_memory = self.spec.limits.process_memory;
        self.record();
        self.record_spec()
    }

    /// Connects the WPAR like this, now and after its restarts. If that fails, as before.
    pub(super) fn change_network(&mut self, plan: Option<Plan>) -> Result<(), LaunchError> {
        if self.spec.host_network {
            return Err(LaunchError::other(
                "its network is the host's as long as it runs; stop it first",
            ));
        }
        let before = std::mem::replace(&mut self.spec.network, plan);
        if let Err(error) = self.connect() {
            self.spec.network = before;
            if let Err(second) = self.connect() {
                note(second);
            }
            return Err(error);
        }
        self.record_spec()
    }

    /// Makes the network of the running init, in place of what there is.
    pub(super) fn connect(&self) -> Result<(), LaunchError> {
        let run_dir = &self.spec.run_dir;
        let (Some(plan), Some(init)) = (&self.spec.network, self.state.init) else {
            return network::disconnect(run_dir).map(drop);
        };
        let namespace = open(
            format!("/proc/{}/ns/net", init.pid),
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .doing("open the network namespace")?;
        network::connect(run_dir, plan, namespace.as_fd())
    }

    /// Writes down what it is held to.
    fn record_spec(&self) -> Result<(), LaunchError> {
        state::write_atomically(&self.spec.run_dir, state::SPEC_FILE, &self.spec)
            .doing("write the specification")
    }
}

/// Holds a running WPAR to `limits`. Address space and terminals are those of processes and starts to
/// come.
///
/// # Errors
/// [`LaunchError::NotActive`], or why the kernel refused; nothing is changed then.
pub fn limit(run_dir: &Path, limits: Limits) -> Result<(), LaunchError> {
    request(run_dir, &Control::Limit(Box::new(limits)))
}

/// Connects a running WPAR like this; not at all without a plan.
///
/// # Errors
/// [`LaunchError::NotActive`], or what failed; it is connected as before then.
pub fn connect(run_dir: &Path, plan: Option<Plan>) -> Result<(), LaunchError> {
    request(run_dir, &Control::Connect(plan.map(Box::new)))
}

/// Asks, and waits until it is done.
fn request(run_dir: &Path, control: &Control) -> Result<(), LaunchError> {
    let channel = ask(run_dir, control)?;
    match channel.receive().doing("hear from the supervisor")? {
        Some((Answer::Done, _)) => Ok(()),
        Some((Answer::Failed(failure), _)) => Err(LaunchError::Remote(failure)),
        // One of an earlier version does not know the request.
        Some((Answer::Timeout | Answer::Console, _)) | None => Err(LaunchError::Lost("supervisor")),
    }
}
