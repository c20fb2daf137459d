//! The one place that knows the launcher's interface: starts a directory, as `startwpar` starts
//! the mount of a WPAR, with the same program in the helping roles.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use wpar::launch::{
    self, IdRange, LaunchError, LaunchSpec, Launcher, Limits, Payload, RootSource, Session,
    Started, StopMode, TerminalChoice,
};

use crate::Fallible;

/// How long anything may take before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(120);

/// Ids of the copy: the last range that `mkwpar` would ever give away.
pub(crate) const IDS: IdRange = IdRange {
    first: 0x6fff_0000,
    count: 65_536,
};

/// A directory that is started and stopped.
#[derive(Debug)]
pub(crate) struct Directory {
    launcher: Launcher,
    spec: LaunchSpec,
    started: Option<Started>,
}

impl Directory {
    /// The system in `root`; its running state is kept in `dir`. `program` is `wpar`.
    pub(crate) fn new(program: &Path, root: &Path, dir: &Path) -> Self {
        Self::of(program, RootSource::Directory(root.to_owned()), dir)
    }

    /// The system in `root`, all of whose files belong to ids from [`IDS`].
    pub(crate) fn shifted(program: &Path, root: &Path, dir: &Path) -> Self {
        Self::of(program, RootSource::Shifted(root.to_owned()), dir)
    }

    fn of(program: &Path, root: RootSource, dir: &Path) -> Self {
        let spec = LaunchSpec {
            name: "copy".to_owned(),
            hostname: "copy".to_owned(),
            machine_id: "c0".repeat(16),
            root,
            mount_point: dir.join("mount"),
            run_dir: dir.join("run"),
            console_log: dir.join("console.log"),
            cgroup: format!("wpar/bench-{}", std::process::id()),
            ids: IDS,
            payload: Payload::Init,
            tmpfs: Vec::new(),
            limits: Limits::default(),
            network: None,
            host_network: false,
            trail: None,
            devices: Vec::new(),
            confinement: wpar::launch::Confinement::default(),
            conversion: None,
        };
        Self {
            launcher: Launcher::new(program),
            spec,
            started: None,
        }
    }

    /// Where its running state is.
    pub(crate) fn run_dir(&self) -> PathBuf {
        self.spec.run_dir.clone()
    }

    /// Starts it; returns when its init has been executed.
    pub(crate) fn start(&mut self) -> Fallible<()> {
        fs::create_dir_all(&self.spec.mount_point)?;
        self.started = Some(self.launcher.start(&self.spec, &mut |_| {})?);
        Ok(())
    }

    /// Runs `/bin/true` inside.
    pub(crate) fn first_command(&self) -> Fallible<()> {
        let session = Session {
            user: None,
            argv: vec![OsString::from("/bin/true")],
            terminal: TerminalChoice::Never,
        };
        let status = self.launcher.enter(&self.spec.run_dir, &session)?;
        match status.code() {
            0 => Ok(()),
            code => Err(format!("the first command in the copy ended with {code}").into()),
        }
    }

    /// Ends it; nothing happens if it does not run.
    pub(crate) fn stop(&mut self) -> Fallible<()> {
        match launch::stop(&self.spec.run_dir, StopMode::Force, Some(PATIENCE)) {
            Ok(()) | Err(LaunchError::NotActive) => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(started) = self.started.take() {
            // How it ended is known: by force. This only reaps the supervisor.
            let _ = started.wait();
        }
        Ok(())
    }
}

/// Waits until the init of the system with this run directory says READY=1; how long after
/// `begin` that was, to a few milliseconds: looking more often would slow down what is looked at.
pub(crate) fn ready(run_dir: &Path, begin: Instant) -> Fallible<Duration> {
    while !launch::observe(run_dir).ready {
        if begin.elapsed() > PATIENCE {
            return Err(format!("no READY=1 within {} s", PATIENCE.as_secs()).into());
        }
        sleep(Duration::from_millis(4));
    }
    Ok(begin.elapsed())
}

/// Process of the file system daemon, as a name below `/proc`.
pub(crate) fn daemon(run_dir: &Path) -> Option<String> {
    launch::observe(run_dir).daemon.map(|pid| pid.to_string())
}
