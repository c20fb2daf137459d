//! Mounts that a program serves in the foreground: ours, and those of others.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::mount::{UnmountFlags, unmount};

use super::Raised;
use crate::{Fallible, process};

/// Longest that a mount may take: somebody may index an archive first.
const PATIENCE: Duration = Duration::from_secs(1800);
/// Longest that a program may take to end when its mount is gone.
const END_PATIENCE: Duration = Duration::from_secs(30);

/// A mount, and the program that serves it.
pub(super) struct Served {
    child: Child,
    point: PathBuf,
}

/// Starts `command`, which serves a mount on the directory `point` in the foreground and writes what
/// it has to say to `log`; answers when the root can be looked at.
pub(super) fn serve(command: &mut Command, point: &Path, log: &Path) -> Fallible<Box<dyn Raised>> {
    let outside = fs::metadata(point)?.dev();
    let words = File::create(log)?;
    let child = command
        .stdin(Stdio::null())
        .stdout(words.try_clone()?)
        .stderr(words)
        .process_group(0)
        .spawn()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let mut served = Served {
        child,
        point: point.to_owned(),
    };
    let begin = Instant::now();
    loop {
        if fs::metadata(point).is_ok_and(|found| found.dev() != outside) {
            return Ok(Box::new(served));
        }
        let ended = served.child.try_wait()?;
        if ended.is_some() || begin.elapsed() > PATIENCE {
            let said = fs::read_to_string(log).unwrap_or_default();
            let last = said.lines().rfind(|line| !line.trim().is_empty());
            return Err(
                format!("{command:?}: no mount: {}", last.unwrap_or("nothing said")).into(),
            );
        }
        sleep(Duration::from_micros(200));
    }
}

impl Raised for Served {
    fn root(&self) -> &Path {
        &self.point
    }

    fn memory(&self) -> Option<u64> {
        Some(process::sum(&process::tree(self.child.id()), "RssAnon:"))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if unmount(&self.point, UnmountFlags::empty()).is_err() {
            let _ = unmount(&self.point, UnmountFlags::DETACH);
        }
        let begin = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if begin.elapsed() > END_PATIENCE {
                let _ = self.child.kill();
            }
            sleep(Duration::from_millis(1));
        }
    }
}
