//! The first half of becoming init: outside, in the host's user namespace.
//!
//! The root file system is attached here, in a private mount namespace of the host's user
//! namespace, and copied from there into the WPAR's. That crossing is what locks `nodev` on it:
//! a mount that was first attached inside could be remounted without. This process also joins
//! the control groups (the wait for that overlaps the making of the mount) and then makes the
//! WPAR's process 1, as a child of the supervisor, and ends.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, OFlags, open};
use rustix::mount::{MountAttrFlags, MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use rustix::process::{Resource, Rlimit, fchdir, setrlimit};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use super::channel::Channel;
use super::devices;
use super::error::{Doing, LaunchError};
use super::inside;
use super::message::{FromInit, ToInit};
use super::terminal::Size;
use super::{LaunchSpec, RootSource};
use crate::sys::descriptors::close_others;
use crate::sys::mount::{Change, set_attributes};
use crate::sys::namespace::unshare;
use crate::sys::process::{Birth, spawn};

/// Devices that the WPAR shares with the host.
pub(super) const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// What the process that becomes init is given by the supervisor, by being its copy.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) spec: LaunchSpec,
    pub(crate) channel: Channel<FromInit, ToInit>,
    /// Files to join the control groups by.
    pub(crate) groups: Vec<File>,
    /// Socket that init announces itself on.
    pub(crate) notify: PathBuf,
    /// Standard files of a command without a terminal.
    pub(crate) standard_files: Vec<OwnedFd>,
    /// Size of a command's terminal, and of the console.
    pub(crate) size: Size,
}

/// What is carried on into the WPAR.
#[derive(Debug)]
pub(super) struct Luggage {
    /// Mounts of single device nodes of the host, in the order of [`DEVICES`].
    pub(super) devices: Vec<OwnedFd>,
    /// Mounts of nodes of the granted devices, by their names below `/dev`.
    pub(super) granted: Vec<(String, OwnedFd)>,
    /// Mount of the notify socket.
    pub(super) notify: OwnedFd,
    /// Mount of the host's `/sys`, if its network is the host's: the kernel makes none for those who do
    /// not own the network.
    pub(super) system: Option<OwnedFd>,
    /// Mount of the host's programs for the conversion, if there are such.
    pub(super) programs: Option<OwnedFd>,
}

/// Runs the first stage in a fresh child of the supervisor; returns its exit status.
pub(crate) fn run(plan: Plan) -> i32 {
    match try_run(&plan) {
        Ok(()) => 0,
        Err(error) => {
            let _ = plan.channel.send(&FromInit::Failed(error.to_failure()));
            1
        }
    }
}

fn try_run(plan: &Plan) -> Result<(), LaunchError> {
    keep_only(plan)?;
    unshare(UnshareFlags::NEWNS).doing("make a mount namespace")?;
    let top = open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).doing("open /")?;
    let private = Change {
        private: true,
        recursive: true,
        ..Change::default()
    };
    set_attributes(top.as_fd(), &private).doing("separate the mount namespace")?;
    set_process_limits(plan.spec.limits.process_memory);
    for group in &plan.groups {
        (&*group).write_all(b"0").doing("join the control groups")?;
    }
    let mut luggage = Luggage {
        devices: DEVICES
            .iter()
            .map(|name| detached(&format!("/dev/{name}")))
            .collect::<Result<_, _>>()?,
        notify: detached(&plan.notify.display().to_string())?,
        granted: Vec::new(),
        system: plan
            .spec
            .host_network
            .then(|| detached("/sys"))
            .transpose()?,
        programs: None,
    };
    let granted = devices::nodes(&plan.spec)?;
    luggage.granted = granted.nodes;
    for error in granted.missing {
        let trouble = FromInit::Trouble(error.to_string());
        plan.channel
            .send(&trouble)
            .doing("report to the supervisor")?;
    }
    let (root, user_namespace) = receive_root(plan)?;
    luggage.programs = host_programs(&plan.spec, user_namespace.as_fd())?;
    attach_root(plan, root, user_namespace.as_fd())?;
    // From here on nothing of the host can be gained, only carried along.
    move_into_link_name_space(user_namespace.as_fd(), Some(LinkNameSpaceType::User))
        .doing("enter the user namespace")?;
    let mut namespaces = UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWCGROUP;
    if !plan.spec.host_network {
        namespaces |= UnshareFlags::NEWNET;
    }
    unshare(namespaces).doing("make the namespaces")?;
    let pid = spawn(Birth::Sibling, || inside::run(plan, luggage)).doing("make process 1")?;
    let pid = pid.as_raw_nonzero().get().cast_unsigned();
    plan.channel
        .send(&FromInit::Born(pid))
        .doing("report to the supervisor")
}

/// Closes what the supervisor has open for itself.
fn keep_only(plan: &Plan) -> Result<(), LaunchError> {
    let mut keep = vec![plan.channel.as_fd()];
    keep.extend(plan.groups.iter().map(AsFd::as_fd));
    keep.extend(plan.standard_files.iter().map(AsFd::as_fd));
    close_others(&keep).doing("close files")
}

/// A mount of one file of the host, attached nowhere.
fn detached(path: &str) -> Result<OwnedFd, LaunchError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    open_tree(CWD, path, flags).doing(format!("open {path}"))
}

/// The host's programs for the conversion: read-only, and root's inside where the file system can
/// do that; else those can be run that everybody may run.
fn host_programs(
    spec: &LaunchSpec,
    user_namespace: BorrowedFd<'_>,
) -> Result<Option<OwnedFd>, LaunchError> {
    let conversion = spec.conversion.as_ref();
    let Some(directory) = conversion.and_then(|conversion| conversion.host_programs.as_ref())
    else {
        return Ok(None);
    };
    if !directory.is_dir() {
        return Ok(None);
    }
    let mount = detached(&directory.display().to_string())?;
    let change = Change {
        set: MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV,
        private: true,
        ..Change::default()
    };
    set_attributes(mount.as_fd(), &change).doing("set the flags of a mount")?;
    let mapped = Change {
        id_map: Some(user_namespace),
        ..Change::default()
    };
    let _ = set_attributes(mount.as_fd(), &mapped);
    Ok(Some(mount))
}

/// The mount of the root file system and the user namespace.
fn receive_root(plan: &Plan) -> Result<(OwnedFd, OwnedFd), LaunchError> {
    let received = plan
        .channel
        .receive()
        .doing("wait for the root file system")?;
    let Some((ToInit::Root, fds)) = received else {
        return Err(LaunchError::Lost("supervisor"));
    };
    let mut fds = fds.into_iter();
    fds.next()
        .zip(fds.next())
        .ok_or(LaunchError::Lost("supervisor"))
}

/// Maps the ids of the root file system and makes it the working directory, attached where only
/// this namespace sees it.
fn attach_root(
    plan: &Plan,
    root: OwnedFd,
    user_namespace: BorrowedFd<'_>,
) -> Result<(), LaunchError> {
    let shifted = matches!(plan.spec.root, RootSource::Shifted(_));
    let change = Change {
        set: MountAttrFlags::MOUNT_ATTR_NODEV,
        clear: MountAttrFlags::MOUNT_ATTR_NOSUID,
        id_map: (!shifted).then_some(user_namespace),
        ..Change::default()
    };
    set_attributes(root.as_fd(), &change).doing(
        "map the ids of the root file system (this needs Linux 6.12, and a file system that \
         supports id-mapped mounts)",
    )?;
    attach(root.as_fd(), CWD, &plan.spec.run_dir.display().to_string())
        .doing("attach the root file system")?;
    fchdir(&root).doing("enter the root file system")
}

/// Attaches a detached mount.
pub(super) fn attach(
    mount: BorrowedFd<'_>,
    at: BorrowedFd<'_>,
    path: &str,
) -> rustix::io::Result<()> {
    let mut flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    if path.is_empty() {
        flags |= MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    }
    move_mount(mount, "", at, path, flags)
}

/// Limits that a system expects at its start, whatever the starter's were. A host may forbid
/// raising them; that is no reason not to start.
pub(super) fn set_process_limits(address_space: Option<u64>) {
    let limit = |current, maximum| Rlimit {
        current: Some(current),
        maximum: Some(maximum),
    };
    let _ = setrlimit(Resource::Nofile, limit(1024, 524_288));
    let _ = setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: None,
        },
    );
    if let Some(bytes) = address_space {
        let _ = setrlimit(Resource::As, limit(bytes, bytes));
    }
    let _ = std::fs::write("/proc/self/oom_score_adj", "0");
}
