//! The administrator's script for a WPAR (`mkwpar -u`): run on the host when the WPAR starts and
//! before it is stopped.
//!
//! It is called `SCRIPT start NAME` and `SCRIPT stop NAME`, as root, in `/`, with nothing on standard
//! input. Nothing of the WPAR's contents is among its arguments or its environment. It must be a
//! file that only root can change.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use super::context::Context;
use super::error::{CliError, CliResult};
use crate::model::WparRecord;

/// Between two looks whether it has ended.
const PAUSE: Duration = Duration::from_millis(10);

/// When it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// The WPAR's first process runs.
    Start,
    /// Its processes are going to be told to end.
    Stop,
}

impl Occasion {
    fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }
}

/// Checks that a script can be one.
///
/// # Errors
/// If it is no executable file, or others than root could change it.
pub(super) fn check(path: &Path) -> CliResult<()> {
    let shown = path.display();
    if !path.is_absolute() {
        return Err(CliError::usage(format!(
            "the script {shown} must be an absolute path"
        )));
    }
    let found = path
        .metadata()
        .map_err(|error| CliError::io(format!("cannot use the script {shown}"), &error))?;
    if !found.is_file() || found.mode() & 0o111 == 0 {
        return Err(
            CliError::new(format!("the script {shown} is no executable file"))
                .hint(format!("see 'ls -l {shown}'")),
        );
    }
    if found.uid() != 0 || found.mode() & 0o022 != 0 {
        return Err(CliError::new(format!(
            "the script {shown} is run as root, and others than root can change it"
        ))
        .hint(format!("'chown root {shown}; chmod go-w {shown}'")));
    }
    Ok(())
}

/// Runs the script of a WPAR, if it has one, and waits for its end. `init` is the number of its
/// first process on the host.
///
/// # Errors
/// That it cannot be run or has failed.
pub(super) fn run(
    context: &Context,
    record: &WparRecord,
    occasion: Occasion,
    init: Option<u32>,
) -> CliResult<()> {
    let Some(path) = &record.script else {
        return Ok(());
    };
    check(path)?;
    let shown = path.display();
    let mut child = Command::new(path)
        .arg(occasion.word())
        .arg(record.name.as_str())
        .env("WPAR_NAME", record.name.as_str())
        .env("WPAR_HOSTNAME", record.hostname.to_string())
        .env("WPAR_DIRECTORY", &record.directory)
        .env("WPAR_UUID", &record.uuid)
        .envs(init.map(|pid| ("WPAR_PID", pid.to_string())))
        .current_dir("/")
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| CliError::io(format!("cannot run the script {shown}"), &error))?;
    loop {
        let ended = child
            .try_wait()
            .map_err(|error| CliError::io(format!("cannot wait for the script {shown}"), &error))?;
        match ended {
            Some(status) if status.success() => return Ok(()),
            Some(status) => {
                return Err(CliError::new(format!(
                    "the script '{shown} {} {}' failed: {status}",
                    occasion.word(),
                    record.name
                )));
            }
            None => {}
        }
        if let Err(interrupt) = context.interrupts.check() {
            let _ = child.kill();
            let _ = child.wait();
            return Err(interrupt);
        }
        sleep(PAUSE);
    }
}
