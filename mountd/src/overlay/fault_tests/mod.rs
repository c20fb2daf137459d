//! The core when the host fails, and when everything ends, at any call.
//!
//! Each *trial* is one operation on things of some kind. It is first done undisturbed, to know what
//! the world looks like before and after. Then, again and again in a new world, call number 0, 1,
//! 2 ... of all that the core makes to the store's file system fails; and at call number 0, 1, 2 ...
//! of those that change something the daemon dies. What is seen afterwards, at once and when the
//! store is opened again, must be the world before or after, whole; the operation must be
//! repeatable; and the store must have nothing left over.
//!
//! `WPAR_FAULTS=all` tries all combinations of things, not some.

mod regressions;
mod snapshot;
mod trial;
mod world;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use parking_lot::Mutex;

use super::{AllocateMode, RenameMode, SetAttr, SetTime};
use crate::error::{FsError, FsResult};
use crate::types::{Caller, FileKind, Timestamp};
use trial::Trial;
use world::{FROM, TO, Thing, World, acl};

/// An operation on [`FROM`], or from there to [`TO`].
#[derive(Clone, Copy, Debug)]
enum Act {
    Create(FileKind),
    /// Makes a file without a name and then gives it one.
    CreateUnnamed,
    Link,
    Unlink,
    RemoveDirectory,
    Rename(RenameMode),
    Write(u64, usize),
    Truncate(u64),
    Allocate(AllocateMode, u64, u64),
    CopyRange(u64),
    Complete,
    Sync,
    SyncAll,
    Chmod,
    Chown,
    Touch,
    SetXattr,
    RemoveXattr,
    SetAcl,
    SetMinimalAcl,
    SetDefaultAcl,
}

impl Act {
    fn apply(self, world: &mut World) -> FsResult<()> {
        match self {
            Self::Create(kind) => world.create(FROM, kind),
            Self::CreateUnnamed => world.create_unnamed(FROM),
            Self::Link => world.link(FROM, TO),
            Self::Unlink => world.unlink(FROM),
            Self::RemoveDirectory => world.remove_directory(FROM),
            Self::Rename(mode) => world.rename(FROM, TO, mode),
            Self::Write(at, length) => world.write(FROM, at, &vec![b'W'; length]),
            Self::Truncate(size) => world.set_attr(
                FROM,
                SetAttr {
                    size: Some(size),
                    ..SetAttr::default()
                },
            ),
            Self::Allocate(mode, at, length) => {
                let ino = world.ino(FROM)?;
                world.core().allocate(ino, at, length, mode)
            }
            Self::CopyRange(at) => {
                let (from, to) = (world.ino(TO)?, world.ino(FROM)?);
                match world.core().copy_range((from, 3), (to, at), 100) {
                    Err(FsError::Layer(rustix::io::Errno::XDEV)) => Ok(()),
                    other => other.map(drop),
                }
            }
            Self::Complete => {
                let ino = world.ino(FROM)?;
                world.core().complete(ino)
            }
            Self::Sync => {
                let ino = world.ino(FROM)?;
                world.core().sync(ino, false)
            }
            Self::SyncAll => world.core().sync_all(),
            Self::Chmod => world.set_attr(
                FROM,
                SetAttr {
                    permissions: Some(0o4710),
                    ..SetAttr::default()
                },
            ),
            Self::Chown => world.set_attr(
                FROM,
                SetAttr {
                    uid: Some(77),
                    gid: Some(78),
                    ..SetAttr::default()
                },
            ),
            Self::Touch => world.set_attr(
                FROM,
                SetAttr {
                    mtime: Some(SetTime::To(Timestamp {
                        seconds: 5,
                        nanoseconds: 6,
                    })),
                    ..SetAttr::default()
                },
            ),
            Self::SetXattr => world.set_xattr(FROM, "user.k", b"other"),
            Self::RemoveXattr => {
                let ino = world.ino(FROM)?;
                world.core().remove_xattr(ino, b"user.k")
            }
            Self::SetAcl => world.set_xattr(FROM, "system.posix_acl_access", &acl()),
            Self::SetMinimalAcl => {
                let mut minimal = acl();
                // Without the named user and the mask.
                minimal.drain(28..36);
                minimal.drain(12..20);
                world.set_xattr(FROM, "system.posix_acl_access", &minimal)
            }
            Self::SetDefaultAcl => world.set_xattr(FROM, "system.posix_acl_default", &acl()),
        }
    }

    /// Whether a failure may leave a part of it done, in the inode that it is about.
    fn may_tear(self) -> bool {
        !matches!(
            self,
            Self::Create(_)
                | Self::CreateUnnamed
                | Self::Link
                | Self::Unlink
                | Self::RemoveDirectory
                | Self::Rename(_)
                | Self::Complete
                | Self::Sync
                | Self::SyncAll
                | Self::SetXattr
                | Self::RemoveXattr
                | Self::SetDefaultAcl
        )
    }
}

const FILES: [Thing; 11] = [
    Thing::LowerFile,
    Thing::LowerBig,
    Thing::CopiedFile,
    Thing::CopiedBig,
    Thing::NewFile,
    Thing::NewOverWhiteout,
    Thing::LowerLinked,
    Thing::LastLowerName,
    Thing::CopiedLinked,
    Thing::NewLinked,
    Thing::NewSymlink,
];

const DIRECTORIES: [Thing; 6] = [
    Thing::LowerDirectory,
    Thing::LowerEmpty,
    Thing::Merged,
    Thing::Emptied,
    Thing::Moved,
    Thing::NewDirectory,
];

const FREE: [Thing; 4] = [
    Thing::Absent,
    Thing::Whiteout,
    Thing::FileRemains,
    Thing::DirectoryRemains,
];

/// Every `step`th trial: another one in each row of a table.
fn choose(trials: Vec<Trial>, step: usize) -> Vec<Trial> {
    trials
        .into_iter()
        .step_by(if tries_all() { 1 } else { step })
        .collect()
}

fn tries_all() -> bool {
    std::env::var_os("WPAR_FAULTS").is_some_and(|value| value == "all")
}

/// Tries all of them; if these are all that there are, on every processor, and tells how far it is:
/// the renames alone are over 700 trials of some hundred worlds each.
fn run(trials: Vec<Trial>) {
    assert!(!trials.is_empty());
    let workers = if tries_all() {
        thread::available_parallelism().map_or(1, usize::from)
    } else {
        1
    };
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(trial) = trials.get(next.fetch_add(1, Ordering::Relaxed)) {
            let begun = Instant::now();
            let failed = trial.run();
            failures.lock().extend(failed);
            if tries_all() {
                let (taken, of) = (begun.elapsed(), trials.len());
                let number = next.load(Ordering::Relaxed).min(of);
                eprintln!("{number} of {of}: {trial:?}, {taken:.1?}");
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..workers {
            scope.spawn(work);
        }
        work();
    });
    let failures: Vec<String> = failures.into_inner();
    assert!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        failures[..failures.len().min(12)].join("\n")
    );
}

#[test]
fn making_and_linking_are_done_whole_or_not_at_all() {
    let mut trials = Vec::new();
    for free in FREE {
        for kind in [
            FileKind::Regular,
            FileKind::Directory,
            FileKind::Symlink,
            FileKind::CharDevice,
        ] {
            trials.push(Trial::new(free, Thing::Absent, Act::Create(kind)));
        }
        trials.push(Trial::new(free, Thing::Absent, Act::CreateUnnamed));
    }
    for thing in FILES {
        for free in FREE {
            trials.push(Trial::new(thing, free, Act::Link));
        }
    }
    trials.push(Trial::new(Thing::LowerFile, Thing::NewFile, Act::Link));
    run(choose(trials, 2));
}

#[test]
fn removing_is_done_whole_or_not_at_all() {
    let mut trials = Vec::new();
    for thing in FILES {
        let trial = Trial::new(thing, Thing::Absent, Act::Unlink);
        trials.extend([trial, trial.unseen(), trial.held()]);
    }
    for thing in DIRECTORIES {
        let trial = Trial::new(thing, Thing::Absent, Act::RemoveDirectory);
        trials.extend([trial, trial.unseen(), trial.held()]);
    }
    run(choose(trials, 2));
}

#[test]
fn renaming_is_done_whole_or_not_at_all() {
    let mut trials = Vec::new();
    for (from_at, from) in FILES.into_iter().chain(DIRECTORIES).enumerate() {
        for (to_at, to) in FREE.into_iter().chain(FILES).chain(DIRECTORIES).enumerate() {
            let mode = match (from_at * 5 + to_at) % 7 {
                0 => RenameMode::NoReplace,
                1 | 2 => RenameMode::Exchange,
                _ => RenameMode::Replace,
            };
            let trial = Trial::new(from, to, Act::Rename(mode));
            trials.push(if (from_at + to_at) % 3 == 0 {
                trial.unseen()
            } else {
                trial
            });
        }
    }
    run(choose(trials, 9));
}

#[test]
fn renaming_with_a_whiteout_is_done_whole_or_not_at_all() {
    let mut trials = Vec::new();
    for (from_at, from) in FILES.into_iter().chain(DIRECTORIES).enumerate() {
        for (to_at, to) in FREE.into_iter().chain(FILES).chain(DIRECTORIES).enumerate() {
            let mode = RenameMode::Whiteout {
                caller: Caller { uid: 7, gid: 8 },
                replace: (from_at + to_at) % 5 > 0,
            };
            let trial = Trial::new(from, to, Act::Rename(mode));
            trials.push(if (from_at + to_at) % 3 == 0 {
                trial.unseen()
            } else {
                trial
            });
        }
    }
    run(choose(trials, 11));
}

#[test]
fn attributes_are_changed_whole_or_not_at_all() {
    let mut trials = Vec::new();
    for thing in FILES.into_iter().chain(DIRECTORIES) {
        for act in [
            Act::Chmod,
            Act::Chown,
            Act::Touch,
            Act::SetXattr,
            Act::RemoveXattr,
            Act::SetAcl,
            Act::SetMinimalAcl,
            Act::SetDefaultAcl,
        ] {
            trials.push(Trial::new(thing, Thing::Absent, act));
        }
    }
    run(choose(trials, 4));
}

#[test]
fn data_are_old_or_new() {
    let mut trials = Vec::new();
    for thing in FILES
        .into_iter()
        .filter(|&thing| thing != Thing::NewSymlink)
    {
        for act in [
            Act::Write(10, 3),
            Act::Write(100, 10_000),
            Act::Truncate(0),
            Act::Truncate(70),
            Act::Truncate(5000),
            Act::Allocate(AllocateMode::Grow, 1000, 1000),
            Act::Allocate(AllocateMode::KeepSize, 1000, 1000),
            Act::Allocate(AllocateMode::PunchHole, 30, 100),
            Act::CopyRange(30),
            Act::Complete,
            Act::Sync,
            Act::SyncAll,
        ] {
            trials.push(Trial::new(thing, Thing::NewFile, act));
        }
    }
    run(choose(trials, 3));
}
