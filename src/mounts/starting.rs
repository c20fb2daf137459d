//! The command's side of a keeper.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use wpar_mountd::wire;

use super::keeper::Report;
use super::{KEEPER, MountOrder};
use crate::launch::channel::Channel;
use crate::launch::watch::wait_readable;

/// A keeper that was started, as its command sees it.
#[derive(Debug)]
pub struct Keeping {
    child: Child,
    /// Its closing ends a mount in the foreground.
    channel: Channel<MountOrder, Report>,
}

/// Starts a keeper for `order`, whose daemon writes to `log`, and waits until the mount can be used
/// or `interrupted` says that nobody wants it any more.
///
/// # Errors
/// In words, why there is no mount.
pub fn start(
    order: &MountOrder,
    log: Stdio,
    interrupted: &dyn Fn() -> bool,
) -> Result<Keeping, String> {
    let failed = |error: io::Error| format!("cannot start a process for the mount: {error}");
    let (channel, theirs) = Channel::<MountOrder, Report>::pair().map_err(failed)?;
    let child = Command::new("/proc/self/exe")
        .arg0(KEEPER)
        .arg(&order.point)
        .arg(&order.source)
        .env_clear()
        .envs(wire::environment())
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .stdin(Stdio::from(theirs.into_socket()))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(failed)?;
    let mut keeping = Keeping { child, channel };
    match keeping.begin(order, interrupted) {
        Ok(()) => Ok(keeping),
        Err(error) => {
            keeping.tell(Signal::TERM);
            let _ = keeping.child.wait();
            Err(error)
        }
    }
}

/// How often a command looks for a signal while it waits.
const SIGNAL_CHECK: Duration = Duration::from_millis(50);

impl Keeping {
    fn begin(&self, order: &MountOrder, interrupted: &dyn Fn() -> bool) -> Result<(), String> {
        let text = |error: io::Error| error.to_string();
        self.channel.send(order).map_err(text)?;
        while !wait_readable(self.channel.as_fd(), Some(SIGNAL_CHECK))
            .map_err(|error| error.to_string())?
        {
            if interrupted() {
                return Err("interrupted".to_owned());
            }
        }
        match self.channel.receive().map_err(text)? {
            Some((report, _)) => report,
            None => Err("the process that keeps the mount has ended".to_owned()),
        }
    }

    /// Waits for the end of a mount in the foreground, and ends it when `interrupted` says so.
    ///
    /// # Errors
    /// That it did not end well.
    pub fn attend(mut self, interrupted: &dyn Fn() -> bool) -> Result<(), String> {
        let mut told = false;
        loop {
            match self.child.try_wait().map_err(|error| error.to_string())? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("the mount has ended ({status})")),
                None => {}
            }
            if interrupted() && !told {
                told = true;
                self.tell(Signal::TERM);
            }
            std::thread::sleep(SIGNAL_CHECK);
        }
    }

    fn tell(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok();
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }
}
