//! A mounted WPAR for other runtimes: a bundle of the Open Container Initiative, a directory with
//! `config.json` and the root file system, as crun, runc and others start it.
//!
//! The files are those of the WPAR, whose own mount stays and is served as before. The bundle has
//! another mount of them, with the ids mapped to the range of the WPAR, because no runtime maps those
//! of a root file system by itself. The run directory has the list of bundles: while one is there the
//! mount cannot be taken off.

mod config;

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{MountAttrFlags, OpenTreeFlags, UnmountFlags, open_tree, unmount};

use super::adopt::read_spec;
use super::error::{Doing, LaunchError};
use super::stage::attach;
use super::state::{RunState, replace};
use super::{LaunchSpec, mountinfo, userns};
use crate::sys::mount::{Change, set_attributes};
use config::{Facts, Node, config};

/// The directory of the root file system in a bundle.
const ROOT: &str = "rootfs";
const CONFIG: &str = "config.json";
/// The list of bundles in a run directory, a path a line.
const LIST: &str = "bundles";

/// What a bundle is to run.
#[derive(Clone, Debug, Default)]
pub(crate) struct BundleCommand {
    /// The program and its arguments; the init inside if there are none, or a shell.
    pub(crate) arguments: Vec<String>,
    /// Whether it has a terminal.
    pub(crate) terminal: bool,
}

/// Makes the directory `directory` a bundle of the WPAR of `run_dir`, which is mounted for
/// maintenance.
///
/// # Errors
/// [`LaunchError::NotActive`] if it is not; what failed. Nothing is left then.
pub(crate) fn make_bundle(
    run_dir: &Path,
    directory: &Path,
    command: &BundleCommand,
) -> Result<(), LaunchError> {
    let state = RunState::read(run_dir).filter(|state| state.maintenance && state.executed);
    state.ok_or(LaunchError::NotActive)?;
    let spec = read_spec(run_dir)?;
    let known = bundles(run_dir);
    let fresh = !directory.exists();
    let made = make(&spec, directory, command).and_then(|()| {
        let mut list: Vec<_> = known.iter().map(|path| line(path)).collect();
        list.push(line(directory));
        replace(&run_dir.join(LIST), list.concat().as_bytes()).doing("note the bundle down")
    });
    if made.is_err() {
        let _ = remove_bundle(directory);
        if fresh {
            let _ = fs::remove_dir(directory);
        }
    }
    made
}

fn line(path: &Path) -> String {
    format!("{}\n", path.display())
}

fn make(spec: &LaunchSpec, directory: &Path, command: &BundleCommand) -> Result<(), LaunchError> {
    let shown = directory.display();
    let root = directory.join(ROOT);
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o755).recursive(true);
    builder
        .create(&root)
        .doing(format!("make {}", root.display()))?;
    if mountinfo::is_mounted(&root) {
        return Err(LaunchError::other(format!("{shown} is a bundle already")));
    }
    let user_namespace = userns::create(spec.ids)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = open_tree(CWD, &spec.mount_point, flags)
        .doing(format!("copy the mount on {}", spec.mount_point.display()))?;
    let change = Change {
        set: MountAttrFlags::MOUNT_ATTR_NODEV,
        clear: MountAttrFlags::MOUNT_ATTR_NOSUID,
        id_map: Some(user_namespace.as_fd()),
        private: true,
        ..Change::default()
    };
    set_attributes(mount.as_fd(), &change).doing("map the ids of the root file system")?;
    let facts = facts(spec, &mount, command)?;
    attach(mount.as_fd(), CWD, &root.display().to_string())
        .doing(format!("mount on {}", root.display()))?;
    let text = serde_json::to_vec_pretty(&config(spec, &facts)).map_err(io::Error::from);
    text.and_then(|text| replace(&directory.join(CONFIG), &text))
        .doing(format!("write {shown}/{CONFIG}"))
}

fn facts(
    spec: &LaunchSpec,
    root: &impl AsFd,
    command: &BundleCommand,
) -> Result<Facts, LaunchError> {
    let mut arguments = command.arguments.clone();
    if arguments.is_empty() {
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
        let resolve = rustix::fs::ResolveFlags::IN_ROOT | rustix::fs::ResolveFlags::NO_MAGICLINKS;
        let init = "/sbin/init";
        let found = rustix::fs::openat2(root, init, flags, rustix::fs::Mode::empty(), resolve);
        arguments.push(if found.is_ok() { init } else { "/bin/sh" }.to_owned());
    }
    let device = |name: &String| -> Result<Node, LaunchError> {
        let path = Path::new("/dev").join(name);
        let facts = fs::metadata(&path).doing(format!("look at {}", path.display()))?;
        Ok(Node {
            name: name.clone(),
            block: facts.file_type().is_block_device(),
            major: rustix::fs::major(facts.rdev()),
            minor: rustix::fs::minor(facts.rdev()),
        })
    };
    Ok(Facts {
        arguments,
        terminal: command.terminal,
        devices: spec.devices.iter().map(device).collect::<Result<_, _>>()?,
    })
}

/// The bundles of the WPAR of `run_dir` that are there.
pub(crate) fn bundles(run_dir: &Path) -> Vec<PathBuf> {
    let list = fs::read_to_string(run_dir.join(LIST)).unwrap_or_default();
    let mounted = |path: &PathBuf| mountinfo::is_mounted(&path.join(ROOT));
    list.lines().map(PathBuf::from).filter(mounted).collect()
}

/// Makes a bundle an empty directory. What still uses its files keeps them until it ends.
///
/// # Errors
/// What cannot be removed.
pub(crate) fn remove_bundle(directory: &Path) -> Result<(), LaunchError> {
    let root = directory.join(ROOT);
    if mountinfo::is_mounted(&root) {
        unmount(&root, UnmountFlags::DETACH).doing(format!("unmount {}", root.display()))?;
    }
    let gone = |removed: io::Result<()>, path: &Path| match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).doing(format!("remove {}", path.display()))
        }
        _ => Ok(()),
    };
    gone(
        fs::remove_file(directory.join(CONFIG)),
        &directory.join(CONFIG),
    )?;
    gone(fs::remove_dir(&root), &root)
}
