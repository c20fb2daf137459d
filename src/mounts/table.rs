//! Which mounts there are, and taking one off.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use thiserror::Error;

use super::{KEEPER, fusermount};
use crate::launch::ProcessId;
use crate::launch::mountinfo;
use crate::launch::watch::wait_readable;

/// Type of our mounts in the kernel's list.
const KIND: &str = "fuse.wpar";
/// Source of those that are roots of WPARs.
const OF_WPAR: &str = "wpar";

/// How long a daemon may take to write its store after the mount is gone.
const PATIENCE: Duration = Duration::from_secs(60);

/// A mount that `wpar mount` made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// Path of the image.
    pub source: String,
    /// Where it is mounted.
    pub point: PathBuf,
    /// Whether nothing can be written to it.
    pub read_only: bool,
}

/// Why a mount was not taken off.
#[derive(Debug, Error)]
pub enum UnmountProblem {
    /// There is none of ours there.
    #[error("{} is no mount of an image", point.display())]
    NotOurs {
        /// The directory.
        point: PathBuf,
    },
    /// It is the root of a WPAR.
    #[error("{} is the root of a workload partition", point.display())]
    OfWpar {
        /// The directory.
        point: PathBuf,
    },
    /// Somebody uses it.
    #[error("{} is in use", point.display())]
    Busy {
        /// The directory.
        point: PathBuf,
    },
    /// The kernel, or the helper, refuses.
    #[error("cannot unmount {}: {why}", point.display())]
    Refused {
        /// The directory.
        point: PathBuf,
        /// What it said.
        why: String,
    },
    /// It is off, but what was written to it is not yet on the disk.
    #[error("{} is unmounted, but its process {pid} has not ended yet", point.display())]
    Unfinished {
        /// The directory.
        point: PathBuf,
        /// The process.
        pid: u32,
    },
}

/// The mounts of images that this process sees, oldest first.
///
/// # Errors
/// Those of reading `/proc/self/mountinfo`.
pub fn list() -> io::Result<Vec<Mounted>> {
    let ours = |mount: &mountinfo::Mount| mount.kind == KIND && mount.source != OF_WPAR;
    let mounts = mountinfo::read()?.into_iter().filter(ours);
    Ok(mounts
        .map(|mount| Mounted {
            read_only: mount.options.split(',').any(|option| option == "ro"),
            source: mount.source,
            point: mount.point,
        })
        .collect())
}

/// `directory` as the list of mounts has it, also if what is mounted there does not answer.
pub fn point_of(directory: &Path) -> PathBuf {
    let real = |path: &Path| fs::canonicalize(path).ok();
    let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let by_parent = || {
        let parent = real(absolute.parent()?)?;
        Some(parent.join(absolute.file_name()?))
    };
    // The parent first: to look at the root of a dead mount is an error, at best.
    let ends_in_name = directory.file_name().is_some();
    let is_link = fs::symlink_metadata(&absolute).is_ok_and(|found| found.is_symlink());
    match by_parent().filter(|_| ends_in_name && !is_link) {
        Some(point) => point,
        None => real(directory).unwrap_or(absolute),
    }
}

/// Takes the mount on `point` off and waits until what was written to it is on the disk; with
/// `force` also one that is in use, which then lives on for those who use it.
///
/// # Errors
/// See [`UnmountProblem`].
pub fn unmount(point: &Path, force: bool) -> Result<(), UnmountProblem> {
    let here = || point.to_owned();
    let top = mountinfo::read()
        .unwrap_or_default()
        .into_iter()
        .rfind(|mount| mount.point == point);
    match top {
        Some(mount) if mount.kind == KIND && mount.source == OF_WPAR => {
            return Err(UnmountProblem::OfWpar { point: here() });
        }
        Some(mount) if mount.kind == KIND => {}
        _ => return Err(UnmountProblem::NotOurs { point: here() }),
    }
    let keeper = keeper_of(point);
    match take_off(point, force) {
        Ok(()) => {}
        Err(Refusal::Busy) => return Err(UnmountProblem::Busy { point: here() }),
        Err(Refusal::Other(why)) => {
            return Err(UnmountProblem::Refused { point: here(), why });
        }
    }
    match keeper {
        // Those who use it may go on for any time.
        Some((pid, process)) if !force => match wait_readable(process.as_fd(), Some(PATIENCE)) {
            Ok(true) => Ok(()),
            _ => Err(UnmountProblem::Unfinished { point: here(), pid }),
        },
        _ => Ok(()),
    }
}

/// Why [`take_off`] failed.
#[derive(Debug)]
pub(super) enum Refusal {
    Busy,
    Other(String),
}

/// Takes the top mount on `point` off, by the kernel or by the helper.
pub(super) fn take_off(point: &Path, lazily: bool) -> Result<(), Refusal> {
    let mut flags = UnmountFlags::NOFOLLOW;
    if lazily {
        flags |= UnmountFlags::DETACH;
    }
    match rustix::mount::unmount(point, flags) {
        Ok(()) => Ok(()),
        Err(Errno::BUSY) => Err(Refusal::Busy),
        Err(Errno::PERM) => fusermount::unmount(point, lazily).map_err(|why| {
            if why.ends_with("Device or resource busy") {
                Refusal::Busy
            } else {
                Refusal::Other(why)
            }
        }),
        Err(errno) => Err(Refusal::Other(io::Error::from(errno).to_string())),
    }
}

/// The process that keeps the mount on `point`, if it is one that this user can see.
fn keeper_of(point: &Path) -> Option<(u32, OwnedFd)> {
    use std::os::unix::ffi::OsStrExt;
    let wanted = point.as_os_str().as_bytes();
    processes().find_map(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let mut words = line.split(|byte| *byte == 0);
        let is_keeper = words.next()? == KEEPER.as_bytes() && words.next()? == wanted;
        // The same path may be a mount of others elsewhere.
        let namespace = |of: &str| fs::read_link(format!("/proc/{of}/ns/mnt")).ok();
        let is_keeper = is_keeper && namespace(&pid.to_string())? == namespace("self")?;
        let process = is_keeper.then(|| ProcessId::of(pid)).flatten()?;
        Some((pid, process.open()?))
    })
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Processes that have something below `point` open, or are in it: numbers and names.
pub fn holders(point: &Path) -> Vec<(u32, String)> {
    let own = std::process::id();
    processes()
        .filter(|pid| *pid != own && holds(*pid, point))
        .map(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            (pid, name.trim_end().to_owned())
        })
        .collect()
}

fn holds(pid: u32, point: &Path) -> bool {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let below = |link: PathBuf| fs::read_link(link).is_ok_and(|target| target.starts_with(point));
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten();
    ["cwd", "root", "exe"]
        .iter()
        .any(|name| below(process.join(name)))
        || descriptors.flatten().any(|entry| below(entry.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_is_named_without_being_looked_at() {
        let temp = tempfile::tempdir().unwrap();
        let temp = fs::canonicalize(temp.path()).unwrap();
        fs::create_dir(temp.join("d")).unwrap();
        std::os::unix::fs::symlink("d", temp.join("link")).unwrap();
        for name in ["d", "d/", "d/.", "link", "d/../d"] {
            assert_eq!(point_of(&temp.join(name)), temp.join("d"), "{name}");
        }
        assert_eq!(point_of(&temp.join("gone")), temp.join("gone"));
    }

    #[test]
    fn this_process_is_no_holder_but_its_child_is() {
        let temp = tempfile::tempdir().unwrap();
        let temp = fs::canonicalize(temp.path()).unwrap();
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .current_dir(&temp)
            .spawn()
            .unwrap();
        let found = holders(&temp);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.iter().any(|(pid, _)| *pid == child.id()), "{found:?}");
    }

    #[test]
    fn what_is_not_ours_stays() {
        let error = unmount(Path::new("/proc"), true).unwrap_err();
        assert!(matches!(error, UnmountProblem::NotOurs { .. }), "{error}");
    }
}
