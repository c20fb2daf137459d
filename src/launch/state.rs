//! The run directory: what outlives the supervisor, and what can be observed through it.
//!
//! `run.json` is replaced as a whole at each step, so that it is true at any moment, after a
//! SIGKILL of the supervisor too. Facts that change by themselves (whether a process lives) are
//! looked at, never stored.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::cgroup::Groups;
use super::error::{Doing, LaunchError};
use super::{Confinement, IdRange, InitKind, LaunchSpec, Payload, ProcessId, StopMode, mountinfo};

/// Names in the run directory.
pub(crate) const RUN_FILE: &str = "run.json";
pub(crate) const SPEC_FILE: &str = "spec.json";
pub(crate) const CONTROL_SOCKET: &str = "control";
pub(crate) const NOTIFY_SOCKET: &str = "notify";
pub(crate) const SUPERVISOR_LOG: &str = "supervisor.log";
pub(crate) const DAEMON_LOG: &str = "mountd.log";

/// What the supervisor has written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunState {
    pub(crate) name: String,
    pub(crate) mount_point: PathBuf,
    pub(crate) cgroup: String,
    pub(crate) ids: IdRange,
    /// Address space of each process in bytes.
    #[serde(default)]
    pub(crate) process_memory: Option<u64>,
    /// How its programs are confined. Not in the files of older versions.
    #[serde(default)]
    pub(crate) confinement: Confinement,
    pub(crate) supervisor: ProcessId,
    pub(crate) daemon: Option<ProcessId>,
    pub(crate) init: Option<ProcessId>,
    pub(crate) init_kind: Option<InitKind>,
    /// Whether nothing of its own runs, for maintenance.
    #[serde(default)]
    pub(crate) maintenance: bool,
    /// Whether init was executed.
    pub(crate) executed: bool,
    pub(crate) ready: bool,
    pub(crate) stopping: bool,
    /// What was asked for then.
    #[serde(default)]
    pub(crate) asked: Option<Asked>,
    /// Seconds since 1970.
    pub(crate) started_at: u64,
    pub(crate) restarts: u32,
    /// What init said last about itself.
    pub(crate) status: Option<String>,
    /// Why it came to an end that nobody asked for.
    pub(crate) failure: Option<String>,
}

/// How a WPAR was told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) mode: StopMode,
    /// Whether it is to start again.
    pub(crate) restart: bool,
}

impl RunState {
    /// The state of a WPAR that this process is about to start.
    pub(crate) fn new(spec: &LaunchSpec) -> Result<Self, LaunchError> {
        let this = ProcessId::of(std::process::id())
            .ok_or_else(|| LaunchError::other("cannot read /proc/self/stat"))?;
        Ok(Self {
            name: spec.name.clone(),
            mount_point: spec.mount_point.clone(),
            cgroup: spec.cgroup.clone(),
            ids: spec.ids,
            process_memory: spec.limits.process_memory,
            confinement: spec.confinement,
            supervisor: this,
            daemon: None,
            init: None,
            init_kind: None,
            maintenance: spec.payload == Payload::Maintenance,
            executed: false,
            ready: false,
            stopping: false,
            asked: None,
            started_at: now(),
            restarts: 0,
            status: None,
            failure: None,
        })
    }

    /// Reads what stands in `run_dir`, if anything does.
    pub(crate) fn read(run_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(run_dir.join(RUN_FILE)).ok()?).ok()
    }

    /// Replaces what stands in `run_dir`.
    pub(crate) fn write(&self, run_dir: &Path) -> Result<(), LaunchError> {
        write_atomically(run_dir, RUN_FILE, self)
            .doing(format!("write {}", run_dir.join(RUN_FILE).display()))
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Writes `value` as JSON under a temporary name, then renames it.
pub(crate) fn write_atomically<T: Serialize>(dir: &Path, name: &str, value: &T) -> io::Result<()> {
    replace(&dir.join(name), &serde_json::to_vec_pretty(value)?)
}

/// Replaces `file` as a whole, or not at all.
pub(crate) fn replace(file: &Path, contents: &[u8]) -> io::Result<()> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    // Several supervisors may write the same file; others may write to the same directory.
    let temporary = file.with_file_name(format!(".{name}.{}", std::process::id()));
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut new = File::create_new(&temporary)?;
    let result = new
        .write_all(contents)
        .and_then(|()| fs::rename(&temporary, file));
    if result.is_err() {
        let _ = fs::remove_file(temporary);
    }
    result
}

/// Makes the run directory. That it can be made is the lock against a second start.
///
/// # Errors
/// [`LaunchError::AlreadyActive`] or [`LaunchError::LeftOver`] if it is there.
pub(crate) fn create_run_dir(run_dir: &Path) -> Result<(), LaunchError> {
    if let Some(parent) = run_dir.parent() {
        fs::create_dir_all(parent).doing(format!("make {}", parent.display()))?;
    }
    match fs::DirBuilder::new().mode(0o700).create(run_dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        result => return result.doing(format!("make {}", run_dir.display())),
    }
    check_free(run_dir)?;
    Err(LaunchError::LeftOver(run_dir.display().to_string()))
}

/// Checks that no WPAR uses `run_dir`.
///
/// # Errors
/// [`LaunchError::AlreadyActive`] or [`LaunchError::LeftOver`] if it is there.
pub(crate) fn check_free(run_dir: &Path) -> Result<(), LaunchError> {
    match RunState::read(run_dir) {
        Some(state) if state.supervisor.is_alive() => {
            Err(LaunchError::AlreadyActive(state.supervisor.pid))
        }
        None if !run_dir.exists() => Ok(()),
        _ => Err(LaunchError::LeftOver(run_dir.display().to_string())),
    }
}

/// Something of a WPAR that exists although nothing watches over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// The run directory.
    RunDirectory(PathBuf),
    /// The mount of its files.
    Mount(PathBuf),
    /// A control group.
    Group(PathBuf),
    /// The file system daemon.
    Daemon(u32),
    /// Processes inside.
    Processes,
}

/// Facts about a WPAR's running state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// Whether anything is written down about it: it is active, or was and did not end well.
    pub recorded: bool,
    /// Process of its supervisor, if that lives.
    pub supervisor: Option<u32>,
    /// Process of its file system daemon, if that lives.
    pub daemon: Option<u32>,
    /// Process of its init as the host numbers it, if that lives.
    pub init: Option<u32>,
    /// What its init is.
    pub init_kind: Option<InitKind>,
    /// Whether its init was executed.
    pub executed: bool,
    /// Whether its init has announced that the system is up, or is one that never does.
    pub ready: bool,
    /// Whether it was told to end.
    pub stopping: bool,
    /// Whether nothing of its own runs, for maintenance.
    pub maintenance: bool,
    /// Whether all its processes stand still.
    pub frozen: bool,
    /// Whether its files are mounted.
    pub mounted: bool,
    /// Whether any process is in its control group.
    pub populated: bool,
    /// Start, in seconds since 1970.
    pub started_at: Option<u64>,
    /// How often it was restarted since.
    pub restarts: u32,
    /// What its init said last about itself. Untrusted text, one line, printable.
    pub status: Option<String>,
    /// Why it came to an end that nobody asked for.
    pub failure: Option<String>,
    /// What exists although its supervisor is gone.
    pub leftovers: Vec<Leftover>,
}

/// Looks at the WPAR whose run directory this is. Never blocks, never touches its files.
pub fn observe(run_dir: &Path) -> Observation {
    let Some(state) = RunState::read(run_dir) else {
        let leftovers = run_dir
            .is_dir()
            .then(|| Leftover::RunDirectory(run_dir.to_owned()));
        return Observation {
            leftovers: leftovers.into_iter().collect(),
            ..Default::default()
        };
    };
    let groups = Groups::open(&state.cgroup).ok();
    let alive = |process: Option<ProcessId>| {
        process
            .filter(|process| process.is_alive())
            .map(|process| process.pid)
    };
    let mut observation = Observation {
        recorded: true,
        supervisor: alive(Some(state.supervisor)),
        daemon: alive(state.daemon),
        init: alive(state.init),
        init_kind: state.init_kind,
        executed: state.executed,
        ready: state.ready,
        stopping: state.stopping,
        maintenance: state.maintenance,
        frozen: groups.as_ref().is_some_and(Groups::is_frozen),
        mounted: mountinfo::is_mounted(&state.mount_point),
        populated: groups.as_ref().is_some_and(Groups::is_populated),
        started_at: Some(state.started_at),
        restarts: state.restarts,
        status: state.status,
        failure: state.failure,
        leftovers: Vec::new(),
    };
    if observation.supervisor.is_none() {
        let mut leftovers = vec![Leftover::RunDirectory(run_dir.to_owned())];
        if observation.mounted {
            leftovers.push(Leftover::Mount(state.mount_point));
        }
        leftovers.extend(observation.daemon.map(Leftover::Daemon));
        if observation.populated {
            leftovers.push(Leftover::Processes);
        }
        let existing = groups.map(|groups| groups.existing()).unwrap_or_default();
        leftovers.extend(existing.into_iter().map(Leftover::Group));
        observation.leftovers = leftovers;
    }
    observation
}
