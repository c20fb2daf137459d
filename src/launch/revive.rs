//! A daemon that died is followed by another one; what runs in the WPAR sees a pause.
//!
//! The mount stays, because its connection is open here, and so does what the daemon kept for the
//! one after it. The same way another version of the daemon comes into service: where the file
//! that this process runs was replaced, the new one is started.

use std::fs::{self, File};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::ProcessId;
use super::ahead::Recording;
use super::error::{Doing, LaunchError};
use super::errors;
use super::inquiry::{Inquiry, prompt};
use super::note::note;
use super::state;
use super::supervisor::{Supervisor, open_log};
use super::watch::wait_readable;
use crate::mountd_client::{Daemon, Inheritance};

/// The executable that this process runs, even if its file is gone.
const THIS: &str = "/proc/self/exe";

/// How long a daemon may take to go on where another one was.
const PATIENCE: Duration = Duration::from_secs(30);

/// A daemon that lived shorter than this has probably died of what it was asked.
const SHORT: Duration = Duration::from_millis(250);

/// After so many short lives in succession, there is no use in another try.
const MOST_SHORT: u32 = 10;

/// What the daemons of a mount have in common.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) inheritance: Inheritance,
    born: Instant,
    short_lives: u32,
}

impl Line {
    /// One begins now.
    pub(crate) fn new(inheritance: Inheritance) -> Self {
        Self {
            inheritance,
            born: Instant::now(),
            short_lives: 0,
        }
    }

    /// Counts a death; whether another one may follow.
    pub(crate) fn may_go_on(&mut self) -> bool {
        if self.born.elapsed() < SHORT {
            self.short_lives += 1;
        } else {
            self.short_lives = 0;
        }
        self.short_lives < MOST_SHORT
    }

    /// Starts `executable` as the next daemon on `connection` and waits until it serves; what it
    /// prints goes to `log`.
    ///
    /// # Errors
    /// If it does not start, or not serve in time; it is killed then.
    pub(crate) fn follow(
        &mut self,
        executable: &Path,
        connection: BorrowedFd<'_>,
        log: File,
    ) -> Result<Daemon, LaunchError> {
        let mut daemon = Daemon::spawn(executable, connection, &self.inheritance, log)
            .doing("start the file system daemon")?;
        let answer = match wait_readable(daemon.answer_descriptor(), Some(PATIENCE)) {
            Ok(true) => daemon
                .answer()
                .map_err(|reason| reason.unwrap_or_else(|| "it ended".to_owned())),
            Ok(false) => Err("it does not answer".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(reason) = answer {
            daemon.kill();
            return Err(LaunchError::other(reason));
        }
        self.born = Instant::now();
        Ok(daemon)
    }
}

/// What can be started as the next daemon, the best first.
pub(crate) fn successors() -> impl Iterator<Item = PathBuf> {
    [replacement(), Some(PathBuf::from(THIS))]
        .into_iter()
        .flatten()
}

impl Supervisor {
    /// The daemon has ended: lets another one go on.
    ///
    /// # Errors
    /// If none can; then the mount is given up, so that nobody waits for an answer.
    pub(super) fn revive(&mut self) -> Result<(), LaunchError> {
        let died = Instant::now();
        self.recording = Recording::Off;
        let ended = match self.daemon.take().map(Daemon::end) {
            Some(Ok(status)) if status.success() => {
                return Err(LaunchError::other("somebody took the mount away"));
            }
            Some(Ok(status)) => status.to_string(),
            Some(Err(error)) => error.to_string(),
            None => return Err(LaunchError::Lost("file system daemon")),
        };
        let mut why = ended.clone();
        for executable in successors() {
            if !self.line.as_mut().is_some_and(Line::may_go_on) {
                break;
            }
            match self.follow(&executable) {
                Ok(pid) => {
                    let what = format!(
                        "the file system daemon died ({ended}); process {pid} went on in its \
                         place after {} ms",
                        died.elapsed().as_millis()
                    );
                    errors::keep(&self.spec, what);
                    return Ok(());
                }
                Err(error) => {
                    note(format_args!(
                        "{} cannot go on: {error}",
                        executable.display()
                    ));
                    why = format!("{ended}; nothing can go on in its place: {error}");
                }
            }
        }
        if let Some(root) = &mut self.root {
            root.abort();
        }
        Err(LaunchError::other(format!(
            "the file system daemon died: {why}"
        )))
    }

    /// Starts `executable` as the daemon and waits until it serves; returns its process.
    fn follow(&mut self, executable: &Path) -> Result<u32, LaunchError> {
        let log = self.spec.run_dir.join(state::DAEMON_LOG);
        let log: File = open_log(&log).doing(format!("open {}", log.display()))?;
        let (Some(line), Some(root)) = (&mut self.line, &self.root) else {
            return Err(LaunchError::Lost("mount"));
        };
        let connection = root.connection().ok_or(LaunchError::Lost("mount"))?;
        let daemon = line.follow(executable, connection, log)?;
        let prompter = root.copy().and_then(|root| Inquiry::start(root, prompt));
        match prompter {
            Ok(inquiry) => self.inquiries.push(inquiry),
            Err(error) => note(format_args!("requests may wait for others: {error}")),
        }
        daemon.decline_trail();
        let pid = daemon.pid();
        self.state.daemon = ProcessId::of(pid);
        self.daemon = Some(daemon);
        self.record();
        if let Err(error) = self.limit_disks() {
            note(error);
        }
        Ok(pid)
    }
}

/// The file that is now where this process was started from, if it is another one.
fn replacement() -> Option<PathBuf> {
    const GONE: &[u8] = b" (deleted)";
    let mut path = fs::read_link(THIS).ok()?.into_os_string().into_vec();
    if !path.ends_with(GONE) {
        return None;
    }
    path.truncate(path.len() - GONE.len());
    let path = PathBuf::from(std::ffi::OsString::from_vec(path));
    path.is_file().then_some(path)
}
