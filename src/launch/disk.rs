//! Holding a WPAR to its part of the host's disks.
//!
//! What a WPAR reads and writes, its file system daemon does for it. So that has a group of its own beside
//! the WPAR's, in the hierarchies that control disks, with the same limits; the WPAR's group has them for
//! what its processes do themselves, such as reading without the daemon. The group is there only if
//! disks are limited, and stays until the daemon has ended.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::cgroup::{Groups, Hierarchy, create_below, remove_group, write};
use super::error::{Doing, LaunchError};
use super::limits::{IoLimits, Setting};
use super::supervisor::Supervisor;

/// What the group's name has behind that of the WPAR; no WPAR has this in its name.
const SUFFIX: &str = ":files";

impl Groups {
    /// Holds the WPAR and the process of its daemon to `limits`.
    ///
    /// # Errors
    /// The first value that the kernel refused, or that no hierarchy of this host can hold it to that.
    pub(super) fn limit_disks(
        &self,
        limits: &IoLimits,
        daemon: Option<u32>,
    ) -> Result<(), LaunchError> {
        let mut held = Vec::new();
        for hierarchy in self.hierarchies.iter().filter(|one| one.controls_disks()) {
            let files = hierarchy.root.join(self.path_of_files());
            if limits.is_none() && !files.is_dir() {
                continue;
            }
            let path = self.path_of_files();
            create_below(hierarchy, &path).doing(format!("make {}", files.display()))?;
            for group in [files.clone(), self.group(hierarchy)] {
                let before = limited(&group);
                let settings = match hierarchy.unified {
                    true => limits.unified(&before),
                    false => limits.legacy(&before),
                };
                for setting in settings {
                    held.extend(apply(&group, &setting)?.then_some(setting.need).flatten());
                }
            }
            if let Some(daemon) = daemon {
                write(&files.join("cgroup.procs"), &daemon.to_string())
                    .doing("put the file system daemon into its control group")?;
            }
        }
        match limits.needs().into_iter().find(|need| !held.contains(need)) {
            None => Ok(()),
            Some(missing) => Err(missing.refusal()),
        }
    }

    /// Removes the group of the daemon, which has ended.
    ///
    /// # Errors
    /// [`LaunchError::Stuck`] with a group that stays.
    pub(super) fn remove_disks(&self) -> Result<(), LaunchError> {
        let hierarchies = self.hierarchies.iter();
        let mut groups = hierarchies.map(|one| one.root.join(self.path_of_files()));
        groups.try_for_each(|group| match group.is_dir() {
            true => remove_group(&group),
            false => Ok(()),
        })
    }

    fn path_of_files(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(SUFFIX);
        path.into()
    }
}

impl Hierarchy {
    fn controls_disks(&self) -> bool {
        match self.unified {
            true => fs::read_to_string(self.root.join("cgroup.controllers"))
                .is_ok_and(|list| list.split_whitespace().any(|one| one == "io")),
            false => self.root.join("blkio.throttle.read_bps_device").exists(),
        }
    }
}

/// The disks that are limited now: the first word of each line.
fn limited(group: &Path) -> Vec<String> {
    let mut disks = Vec::new();
    for file in [
        "io.max",
        "blkio.throttle.read_bps_device",
        "blkio.throttle.write_bps_device",
    ] {
        let text = fs::read_to_string(group.join(file)).unwrap_or_default();
        let words = text.lines().filter_map(|line| line.split(' ').next());
        disks.extend(words.map(str::to_owned));
    }
    disks.sort();
    disks.dedup();
    disks
}

/// Whether the group has the file; a disk that is gone is no error.
fn apply(group: &Path, setting: &Setting) -> Result<bool, LaunchError> {
    let path = group.join(setting.file);
    if !path.exists() {
        return Ok(false);
    }
    match write(&path, &setting.value) {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(true),
        written => {
            written
                .map(|()| true)
                .doing(format!("write {} to {}", setting.value, path.display()))
        }
    }
}

impl Supervisor {
    /// Holds what runs now to the limits of disks.
    pub(super) fn limit_disks(&self) -> Result<(), LaunchError> {
        let Some(groups) = &self.groups else {
            return Ok(());
        };
        let daemon = self.daemon.as_ref().map(crate::mountd_client::Daemon::pid);
        groups.limit_disks(&self.spec.limits.io, daemon)
    }
}

/// Bytes that a process has had read from disks and written to them, of `/proc/PID/io` (proc(5)).
pub(super) fn of_process(pid: u32) -> io::Result<(Option<u64>, Option<u64>)> {
    let text = fs::read_to_string(format!("/proc/{pid}/io"))?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse().ok()
    };
    Ok((field("read_bytes:"), field("write_bytes:")))
}
