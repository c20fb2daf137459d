//! The keeper: the one process that stays with a mount, beside its daemon.
//!
//! It lets another daemon go on where one died, as the supervisor of a WPAR does. If none can, the
//! mount stays and answers with errors: what reads it must not take the empty directory
//! underneath for the image. Asked to end by a signal, it takes the mount off first.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::setsid;

use super::begun::Begun;
use super::table::take_off;
use super::{KEEPER, MountOrder};
use crate::launch::channel::Channel;
use crate::launch::inquiry::{Inquiry, prompt};
use crate::launch::note::note;
use crate::launch::revive::{Line, successors};
use crate::launch::watch::{Watch, wait_readable};
use crate::mountd_client::{Daemon, Inheritance};
use crate::sys::descriptors::close_others;
use crate::sys::signals::SignalDescriptor;

/// How long a daemon may take to write its store after the mount is gone.
const DAEMON_PATIENCE: Duration = Duration::from_secs(60);

/// Those that ask for the end, and the one that tells that a child has ended.
const SIGNALS: [i32; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGCHLD];

/// What the keeper says once: that the mount is there, or why not.
pub(super) type Report = Result<(), String>;

/// Entry point of the executable under the name [`KEEPER`]. Standard input is the channel to the
/// command; the arguments are only for those who list processes.
pub fn keeper_main() -> ExitCode {
    let (starter, order) = match receive_order() {
        Ok(received) => received,
        Err(error) => {
            note(format_args!("{KEEPER}: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match Keeper::make(starter, order).and_then(Keeper::live) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(format_args!("{KEEPER}: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn receive_order() -> io::Result<(Channel<Report, MountOrder>, MountOrder)> {
    let socket = fcntl_dupfd_cloexec(io::stdin(), 3)?;
    rustix::stdio::dup2_stdin(&File::open("/dev/null")?)?;
    // What else the user's shell had open would live as long as the mount.
    close_others(&[socket.as_fd()])?;
    rustix::process::chdir("/")?;
    let _ = rustix::thread::set_name(c"wpar-keeper");
    let starter = Channel::from_socket(socket);
    match starter.receive()? {
        Some((order, _)) => Ok((starter, order)),
        None => Err(io::Error::other("nobody says what to mount")),
    }
}

/// A mount and what serves it.
struct Keeper {
    order: MountOrder,
    connection: OwnedFd,
    daemon: Daemon,
    line: Line,
    /// Held back to the end of the process: one that comes late must not be what it ends by.
    signals: ManuallyDrop<SignalDescriptor>,
    inquiries: Vec<Inquiry>,
    /// Only if the mount is to end with the command.
    starter: Option<Channel<Report, MountOrder>>,
}

/// What ends the life of a mount, or of its daemon.
enum Event {
    DaemonEnded,
    Asked,
}

impl Keeper {
    /// Makes the mount, tells the starter.
    fn make(starter: Channel<Report, MountOrder>, order: MountOrder) -> Result<Self, String> {
        if !order.foreground {
            let _ = setsid();
        }
        let made = Self::try_make(&starter, order);
        let report = made.as_ref().map(drop).map_err(Clone::clone);
        if starter.send(&report).is_err()
            && let Ok(keeper) = &made
        {
            // The command was interrupted and will not say that there is a mount.
            let _ = take_off(&keeper.order.point, true);
        }
        made.map(|keeper| Self {
            starter: keeper.order.foreground.then_some(starter),
            ..keeper
        })
    }

    fn try_make(starter: &Channel<Report, MountOrder>, order: MountOrder) -> Result<Self, String> {
        let text = |error: io::Error| error.to_string();
        let signals = SignalDescriptor::new(&SIGNALS).map_err(text)?;
        let inheritance = Inheritance::new(&order.spec).map_err(text)?;
        let begun = Begun::new(&order)?;
        let mut daemon = Daemon::spawn(
            Path::new("/proc/self/exe"),
            begun.connection(),
            &inheritance,
            log().map_err(text)?,
        )
        .map_err(|error| format!("cannot start the file system daemon: {error}"))?;
        let line = Line::new(inheritance);
        let answer = await_answer(&daemon, &signals, starter).and_then(|()| {
            let answer = daemon.answer();
            answer.map_err(|reason| reason.unwrap_or_else(|| "the file system daemon ended".into()))
        });
        let attached = answer.and_then(|()| begun.finish(&order.point));
        match attached {
            Ok(connection) => {
                daemon.decline_trail();
                Ok(Self {
                    order,
                    connection,
                    daemon,
                    line,
                    signals: ManuallyDrop::new(signals),
                    inquiries: Vec::new(),
                    starter: None,
                })
            }
            Err(error) => {
                daemon.kill();
                Err(error)
            }
        }
    }

    /// Waits for the end of the mount.
    fn live(mut self) -> Result<(), String> {
        loop {
            match self.wait()? {
                Event::DaemonEnded => match self.revive()? {
                    Some(successor) => self = successor,
                    None => return Ok(()),
                },
                Event::Asked => return self.end(),
            }
        }
    }

    fn wait(&mut self) -> Result<Event, String> {
        loop {
            let mut watch = Watch::default();
            let daemon = watch.add(self.daemon.process_descriptor());
            watch.add(self.signals.as_fd());
            let starter = watch.add_optional(self.starter.as_ref().map(AsFd::as_fd));
            watch.wait(None).map_err(|error| error.to_string())?;
            let (ended, left) = (watch.happened(daemon), watch.happened(starter));
            self.inquiries.retain(|inquiry| !inquiry.is_over());
            if ended {
                return Ok(Event::DaemonEnded);
            }
            if is_asked(&self.signals) || left {
                return Ok(Event::Asked);
            }
        }
    }

    /// Takes the mount off, at once for new users of it, and lets the daemon write what it has.
    fn end(mut self) -> Result<(), String> {
        let taken = take_off(&self.order.point, true);
        drop(self.connection);
        let _ = wait_readable(self.daemon.process_descriptor(), Some(DAEMON_PATIENCE));
        self.daemon.kill();
        taken.map_err(|refusal| format!("cannot unmount: {refusal:?}"))
    }

    /// The daemon has ended: `None` if the mount has too, else this with another one.
    fn revive(mut self) -> Result<Option<Self>, String> {
        let ended = self.daemon.end().map_err(|error| error.to_string())?;
        if ended.success() {
            return Ok(None);
        }
        for executable in successors() {
            if !self.line.may_go_on() {
                break;
            }
            let log = log().map_err(|error| error.to_string())?;
            match self.line.follow(&executable, self.connection.as_fd(), log) {
                Ok(daemon) => {
                    note(format_args!(
                        "the file system daemon died ({ended}); process {} went on in its place",
                        daemon.pid()
                    ));
                    self.inquiries.extend(wake(&self.order.point));
                    daemon.decline_trail();
                    return Ok(Some(Self { daemon, ..self }));
                }
                Err(error) => note(format_args!(
                    "{} cannot go on: {error}",
                    executable.display()
                )),
            }
        }
        Err(format!(
            "the file system daemon died ({ended}) and nothing could go on in its place; \
             'wpar umount {}' takes the dead mount away",
            self.order.point.display()
        ))
    }
}

/// Asks for something on each processor, for requests that wait in the kernel for others.
fn wake(point: &Path) -> Option<Inquiry> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open(point, flags, Mode::empty()).ok()?;
    Inquiry::start(root, prompt).ok()
}

/// Where the daemon's words go: to this process' own standard error.
fn log() -> io::Result<File> {
    rustix::io::fcntl_dupfd_cloexec(io::stderr(), 3)
        .map(File::from)
        .map_err(io::Error::from)
}

/// Whether a signal asks for the end; that a child has ended does not.
fn is_asked(signals: &SignalDescriptor) -> bool {
    let mut asked = false;
    while let Some(signal) = signals.next() {
        asked |= signal != libc::SIGCHLD;
    }
    asked
}

/// Waits for the daemon's answer, or its end; fails if nobody wants the mount any more.
fn await_answer(
    daemon: &Daemon,
    signals: &SignalDescriptor,
    starter: &Channel<Report, MountOrder>,
) -> Result<(), String> {
    loop {
        let mut watch = Watch::default();
        let answer = watch.add(daemon.answer_descriptor());
        watch.add(signals.as_fd());
        let starter = watch.add(starter.as_fd());
        watch.wait(None).map_err(|error| error.to_string())?;
        if is_asked(signals) || watch.hung_up(starter) {
            return Err("interrupted".to_owned());
        }
        if watch.happened(answer) {
            return Ok(());
        }
    }
}
