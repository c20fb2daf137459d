//! Snapshots of the running system's file systems: planned, taken back to back, removed.
//!
//! What always holds:
//! * A plan is noted ([`crate::model::view`]) before anything is taken, and says where everything will
//!   be: so what a killed command left is found and removed by the next.
//! * All file systems of a copy have snapshots, or none.
//! * Everything is named `wpar-NAME-TIME`, and nothing else is ever removed.
//!
//! Which file systems those are is decided in [`crate::policy::root_group`]. What is done to a file
//! system is behind [`Ground`].

mod ground;
mod plan;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::time::Instant;

use thiserror::Error;
use wpar_mountd::spec::RootMark;

pub use ground::RealGround;
pub use plan::{Planned, Wanted, given, plan};

use crate::model::Frozen;
use crate::model::frozen::{DIRECTORY, Snapshot, SnapshotKind};

/// What can be done to file systems.
pub trait Ground {
    /// Runs a program and returns what it printed.
    ///
    /// # Errors
    /// What it complained of.
    fn run(&self, program: &str, arguments: &[&str]) -> io::Result<String>;

    /// Makes a read-only snapshot of the btrfs subvolume at `of`, as `to`.
    ///
    /// # Errors
    /// Those of the kernel.
    fn snapshot_btrfs(&self, of: &Path, to: &Path) -> io::Result<()>;

    /// Deletes the btrfs subvolume at `path`.
    ///
    /// # Errors
    /// Those of the kernel.
    fn delete_btrfs(&self, path: &Path) -> io::Result<()>;

    /// Makes a directory that only root can enter, unless it is there.
    ///
    /// # Errors
    /// Those of the kernel.
    fn make_directory(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory, if it is there.
    ///
    /// # Errors
    /// Those of the kernel.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;

    /// Whether something is mounted at `path`.
    fn is_mounted(&self, path: &Path) -> bool;

    /// What tells the file system whose root is at `path` from any other; `None` if it is not there.
    fn mark(&self, path: &Path) -> Option<RootMark>;
}

/// A snapshot that cannot be taken, seen or removed.
#[derive(Debug, Error)]
#[error("cannot {action} the {} snapshot {name} of {of}: {why}", kind.word())]
pub struct SnapshotError {
    action: &'static str,
    kind: SnapshotKind,
    name: String,
    of: String,
    why: String,
}

impl SnapshotError {
    fn new(action: &'static str, snapshot: &Snapshot, error: &io::Error) -> Self {
        let is_swap =
            snapshot.kind == SnapshotKind::Btrfs && error.raw_os_error() == Some(libc::ETXTBSY);
        Self {
            action,
            kind: snapshot.kind,
            name: snapshot.name.clone(),
            of: snapshot.of.clone(),
            why: match is_swap {
                true => "an active swap file is in it, and btrfs takes no snapshot of such a \
                         subvolume; keep the swap file in a subvolume of its own"
                    .to_owned(),
                false => error.to_string(),
            },
        }
    }
}

/// Takes all that is planned, and notes when, and what they are. After an error nothing is left.
///
/// # Errors
/// The first that could not be taken.
pub fn take(ground: &dyn Ground, frozen: &mut Frozen) -> Result<(), SnapshotError> {
    let result = take_all(ground, frozen);
    if result.is_err() {
        // What stays is found by the note.
        let _ = remove(ground, frozen);
    }
    result
}

fn take_all(ground: &dyn Ground, frozen: &mut Frozen) -> Result<(), SnapshotError> {
    for snapshot in &frozen.snapshots {
        prepare(ground, snapshot)
            .map_err(|error| SnapshotError::new("prepare", snapshot, &error))?;
    }
    // From here on every millisecond counts.
    let begun = Instant::now();
    for snapshot in &frozen.snapshots {
        take_one(ground, snapshot).map_err(|error| SnapshotError::new("take", snapshot, &error))?;
    }
    frozen.spread = match frozen.snapshots.len() {
        0 | 1 => 0,
        _ => u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    };
    attach(ground, frozen)?;
    for snapshot in &mut frozen.snapshots {
        snapshot.mark = ground.mark(&snapshot.path);
        if snapshot.mark.is_none() {
            let error = io::Error::from(io::ErrorKind::NotFound);
            return Err(SnapshotError::new("look at", snapshot, &error));
        }
    }
    Ok(())
}

fn prepare(ground: &dyn Ground, snapshot: &Snapshot) -> io::Result<()> {
    match snapshot.kind {
        SnapshotKind::Btrfs => match snapshot.path.parent() {
            Some(directory) => ground.make_directory(directory),
            None => Ok(()),
        },
        SnapshotKind::Lvm => {
            if let Some(directory) = snapshot.path.parent() {
                ground.make_directory(directory)?;
            }
            ground.make_directory(&snapshot.path)
        }
        SnapshotKind::Zfs | SnapshotKind::Given => Ok(()),
    }
}

fn take_one(ground: &dyn Ground, snapshot: &Snapshot) -> io::Result<()> {
    let Snapshot { of, name, .. } = snapshot;
    match snapshot.kind {
        SnapshotKind::Btrfs => ground.snapshot_btrfs(Path::new(of), &snapshot.path),
        // Not skipped at activation, as thin snapshots are otherwise.
        SnapshotKind::Lvm => ground
            .run("lvcreate", &["-s", "-kn", "-pr", "-n", name, of])
            .map(drop),
        SnapshotKind::Zfs => {
            let snapshot = format!("{of}@{name}");
            ground.run("zfs", &["snapshot", &snapshot]).map(drop)
        }
        SnapshotKind::Given => Ok(()),
    }
}

/// Makes all snapshots seen where they are to be: after a boot of the host some are not mounted.
///
/// # Errors
/// The first that cannot be seen.
pub fn attach(ground: &dyn Ground, frozen: &Frozen) -> Result<(), SnapshotError> {
    for snapshot in &frozen.snapshots {
        if snapshot.kind == SnapshotKind::Lvm {
            mount_lvm(ground, snapshot)
                .map_err(|error| SnapshotError::new("mount", snapshot, &error))?;
        }
    }
    Ok(())
}

fn mount_lvm(ground: &dyn Ground, snapshot: &Snapshot) -> io::Result<()> {
    if ground.is_mounted(&snapshot.path) {
        return Ok(());
    }
    let volume = volume(snapshot);
    ground.run("lvchange", &["-ay", "-K", &volume])?;
    ground.make_directory(&snapshot.path)?;
    let device = format!("/dev/{volume}");
    // It has the UUID of the original; and a journal cannot be replayed on a volume that nobody may
    // write, which the snapshot of a file system that was frozen for it does not need.
    let options = match snapshot.fs_type.as_str() {
        "xfs" => "ro,nouuid,norecovery",
        "ext3" | "ext4" => "ro,noload",
        _ => "ro",
    };
    let point = snapshot.path.to_string_lossy();
    let arguments = ["-t", &snapshot.fs_type, "-o", options, &device, &point];
    ground.run("mount", &arguments).map(drop)
}

/// The volume of an LVM snapshot: that of its origin's group.
fn volume(snapshot: &Snapshot) -> String {
    let group = snapshot.of.split('/').next().unwrap_or_default();
    format!("{group}/{}", snapshot.name)
}

/// Removes all that there is of them.
///
/// # Errors
/// The first that could not be removed; the others were tried.
pub fn remove(ground: &dyn Ground, frozen: &Frozen) -> Result<(), SnapshotError> {
    let mut result = Ok(());
    for snapshot in frozen.snapshots.iter().rev() {
        let is_ours = snapshot.name.starts_with("wpar-");
        if let Err(error) = remove_one(ground, snapshot, is_ours) {
            let error = SnapshotError::new("remove", snapshot, &error);
            result = result.and(Err(error));
        }
    }
    result
}

fn remove_one(ground: &dyn Ground, snapshot: &Snapshot, is_ours: bool) -> io::Result<()> {
    match snapshot.kind {
        SnapshotKind::Btrfs if is_ours => {
            match ground.delete_btrfs(&snapshot.path) {
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) => {}
                deleted => deleted?,
            }
            let directory = snapshot.path.parent();
            if let Some(directory) = directory.filter(|path| path.ends_with(DIRECTORY)) {
                // The snapshots of others may be in it.
                let _ = ground.remove_directory(directory);
            }
            Ok(())
        }
        SnapshotKind::Lvm if is_ours => {
            if ground.is_mounted(&snapshot.path) {
                ground.run("umount", &[&snapshot.path.to_string_lossy()])?;
            }
            ground.remove_directory(&snapshot.path)?;
            let volume = volume(snapshot);
            // By selection: one that is not there is no error, and an error is that nobody knows.
            let which = format!("lv_full_name=\"{volume}\"");
            let found = ground.run("lvs", &["--noheadings", "-o", "lv_name", "-S", &which])?;
            match found.trim().is_empty() {
                true => Ok(()),
                false => ground.run("lvremove", &["-y", &volume]).map(drop),
            }
        }
        SnapshotKind::Zfs if is_ours => {
            let name = format!("{}@{}", snapshot.of, snapshot.name);
            let exists = ground.run("zfs", &["list", "-H", "-t", "snapshot", &name]);
            match exists {
                Ok(_) => ground.run("zfs", &["destroy", &name]).map(drop),
                Err(error) => or_gone(error, &["does not exist", "could not find"]),
            }
        }
        _ => Ok(()),
    }
}

/// An error of a program that was asked for a snapshot is none if it says, in one of these ways, that
/// there is no such one. Any other may be over soon, and the snapshot still there.
fn or_gone(error: io::Error, gone: &[&str]) -> io::Result<()> {
    let said = error.to_string();
    match gone.iter().any(|words| said.contains(words)) {
        true => Ok(()),
        false => Err(error),
    }
}
