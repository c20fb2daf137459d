//! The launcher's side of the file system daemon: making the mount, starting the daemon on it.
//!
//! The mount is made here, not by the daemon, and a second descriptor of its connection stays
//! with the supervisor. The daemon's command line and its one line of answer are the whole
//! interface: `wpar-mountd --fuse-fd N --spec-fd N --ready-fd N --kept-fd N`; the [`MountSpec`] as
//! JSON on the second; `ready` or `error: TEXT` and a newline on the third. The fourth is what one
//! daemon leaves to the next: kept here, understood there ([`Kept`]). Each `--hold-fd N` behind them
//! is only kept open there, for a supervisor that finds the daemon again ([`adopt()`]).

mod adopt;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::fs::{MemfdFlags, Mode, OFlags, memfd_create, open};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};
use rustix::process::{Pid, PidfdFlags, getegid, geteuid, pidfd_open};
use wpar_mountd::spec::{Access, MountSpec};
use wpar_mountd::takeover::Kept;
use wpar_mountd::trail::{self, Trail};
use wpar_mountd::wire::{self, Transport};

use crate::launch::identity::ended_as;
use crate::launch::watch::wait_readable;
use crate::sys::descriptors::pass;
use crate::sys::process::send_signal;

pub(crate) use adopt::{Adopted, adopt};

/// The name under which the executable is the daemon.
pub const DAEMON: &str = "wpar-mountd";

/// The longest answer of the daemon that is read.
const LONGEST_ANSWER: u64 = 16 * 1024;

/// The option in front of what a daemon only keeps open: the connection, the kept state, and what
/// the supervisor wants to be found again.
const HOLD: &str = "--hold-fd";

/// How long a daemon that was killed may take to be gone.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// A FUSE mount that is attached nowhere yet.
#[derive(Debug)]
pub struct FuseMount {
    /// The mount, to be attached with `move_mount(2)`.
    pub mount: OwnedFd,
    /// The connection: the daemon reads requests from it.
    pub connection: OwnedFd,
}

/// What a mount is to be like.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// What the list of mounts calls it.
    pub source: &'a str,
    /// Who may use it.
    pub access: Access,
    /// Whether the kernel itself refuses to write to it.
    pub read_only: bool,
}

/// The root of a WPAR.
impl Default for Wanted<'_> {
    fn default() -> Self {
        Self {
            source: "wpar",
            access: Access::Checked,
            read_only: false,
        }
    }
}

/// Makes a mount that waits for a daemon. For the host, set-user-ID bits and devices in it have
/// no effect: a file of a WPAR must never lend its owner's rights outside.
///
/// # Errors
/// Those of `/dev/fuse` and of the mount calls.
pub fn mount(wanted: &Wanted<'_>) -> io::Result<FuseMount> {
    // What is offered to the daemon is settled when the mount is made.
    Transport::preferred().request();
    let connection = open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let context = fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let (user, group) = (geteuid().to_string(), getegid().to_string());
    for (key, value) in [
        ("source", wanted.source),
        ("subtype", "wpar"),
        ("rootmode", "40000"),
        ("user_id", &user),
        ("group_id", &group),
    ] {
        fsconfig_set_string(&context, key, value)?;
    }
    // The number as text is what kernels of every age take.
    fsconfig_set_string(&context, "fd", connection.as_raw_fd().to_string())?;
    if wanted.access == Access::Checked {
        // The kernel checks permissions: a condition of id-mapped mounts.
        for flag in ["allow_other", "default_permissions"] {
            fsconfig_set_flag(&context, flag)?;
        }
    }
    let mut flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    if wanted.read_only {
        fsconfig_set_flag(&context, "ro")?;
        flags |= MountAttrFlags::MOUNT_ATTR_RDONLY;
    }
    fsconfig_create(&context)?;
    let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags)?;
    Ok(FuseMount { mount, connection })
}

/// What all daemons of a mount are started with, one after the other.
#[derive(Debug)]
pub struct Inheritance {
    spec: File,
    kept: Kept,
    /// Kept open by each daemon.
    held: Vec<OwnedFd>,
}

impl Inheritance {
    /// For a mount of what `spec` describes, that no daemon served yet.
    ///
    /// # Errors
    /// Those of making files in memory.
    pub fn new(spec: &MountSpec) -> io::Result<Self> {
        Ok(Self {
            spec: spec_file(spec)?,
            kept: Kept::new()?,
            held: Vec::new(),
        })
    }

    /// Lets each daemon keep `held` open, too.
    pub(crate) fn hold(&mut self, held: Vec<OwnedFd>) {
        self.held = held;
    }
}

/// `spec` as a daemon reads it.
fn spec_file(spec: &MountSpec) -> io::Result<File> {
    let mut file = File::from(memfd_create("wpar-mount-spec", MemfdFlags::CLOEXEC)?);
    file.write_all(&serde_json::to_vec(spec)?)?;
    Ok(file)
}

/// A daemon that was started.
#[derive(Debug)]
pub struct Daemon {
    handle: Handle,
    process: OwnedFd,
    answer: UnixStream,
    /// What came of its trail.
    trail: Vec<u8>,
}

/// How its end is heard of.
#[derive(Debug)]
enum Handle {
    /// It is a child of this process.
    Child(Child),
    /// Another process started it, which is gone.
    Foreign(u32),
}

impl Daemon {
    /// Starts the daemon of `executable` on `connection`; what it prints goes to `log`. If there
    /// was one before, which has ended, it goes on where that was.
    ///
    /// # Errors
    /// Those of starting a process.
    pub fn spawn(
        executable: &Path,
        connection: BorrowedFd<'_>,
        inheritance: &Inheritance,
        log: File,
    ) -> io::Result<Self> {
        let (answer, ready) = UnixStream::pair()?;
        let mut command = Command::new(executable);
        command.arg0(DAEMON);
        let kept = inheritance.kept.as_fd();
        // What it serves itself it holds as well: those numbers stay what they are.
        let held = [connection, kept]
            .into_iter()
            .chain(inheritance.held.iter().map(OwnedFd::as_fd));
        let held = held.map(|fd| fd.try_clone_to_owned());
        let held = held.collect::<io::Result<Vec<_>>>()?;
        let held = held.into_iter().map(|fd| (HOLD, fd));
        for (option, fd) in [
            ("--fuse-fd", connection.try_clone_to_owned()?),
            ("--spec-fd", OwnedFd::from(inheritance.spec.try_clone()?)),
            ("--ready-fd", OwnedFd::from(ready)),
            ("--kept-fd", kept.try_clone_to_owned()?),
        ]
        .into_iter()
        .chain(held)
        {
            let number = pass(&mut command, fd);
            command.arg(option).arg(number.to_string());
        }
        let mut child = command
            .env_clear()
            .envs(wire::environment())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let process = pid
            .ok_or(io::ErrorKind::InvalidData.into())
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from));
        match process {
            Ok(process) => Ok(Self {
                handle: Handle::Child(child),
                process,
                answer,
                trail: Vec::new(),
            }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        match &self.handle {
            Handle::Child(child) => child.id(),
            Handle::Foreign(pid) => *pid,
        }
    }

    /// Reads its answer, which must be readable: `Ok` if it serves the mount.
    ///
    /// # Errors
    /// Its reason in words, if it gave one before it ended.
    pub fn answer(&mut self) -> Result<(), Option<String>> {
        let mut line = Vec::new();
        // Nothing comes behind the line before it is asked for.
        let read = BufReader::new(&mut self.answer)
            .take(LONGEST_ANSWER)
            .read_until(b'\n', &mut line);
        let text = read
            .map(|_| String::from_utf8_lossy(&line))
            .unwrap_or_default();
        let text = text.trim_end();
        match text.split_once("error: ") {
            _ if text == "ready" => Ok(()),
            Some(("", reason)) => Err(Some(reason.to_owned())),
            _ => Err(None),
        }
    }

    /// Descriptor of its answer, and then of its trail: readable once there is one, or it has ended.
    pub fn answer_descriptor(&self) -> BorrowedFd<'_> {
        self.answer.as_fd()
    }

    /// Asks what was read since the mount was made.
    ///
    /// # Errors
    /// Those of `shutdown(2)`.
    pub fn ask_for_trail(&self) -> io::Result<()> {
        self.answer.set_nonblocking(true)?;
        self.answer.shutdown(Shutdown::Write)
    }

    /// Says that nobody will ask for its trail: it need not listen any more.
    pub fn decline_trail(&self) {
        let _ = self.answer.shutdown(Shutdown::Both);
    }

    /// Reads what there is of the trail that was asked for: `Some` when that was all, with nothing
    /// in it if it is no trail. Never waits.
    pub fn hear_trail(&mut self) -> Option<Option<Trail>> {
        let room = (trail::LONGEST + 1).saturating_sub(self.trail.len() as u64);
        match (&mut self.answer).take(room).read_to_end(&mut self.trail) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Ok(_) if self.trail.len() as u64 <= trail::LONGEST => {
                Some(Trail::decode(&std::mem::take(&mut self.trail)))
            }
            Ok(_) | Err(_) => Some(None),
        }
    }

    /// Descriptor of its process: readable once it has ended.
    pub fn process_descriptor(&self) -> BorrowedFd<'_> {
        self.process.as_fd()
    }

    /// Waits for its end, which has come, and says how it ended: with success, if the mount did.
    ///
    /// # Errors
    /// Those of `waitpid(2)`.
    pub fn end(mut self) -> io::Result<ExitStatus> {
        match self.handle {
            Handle::Child(ref mut child) => child.wait(),
            Handle::Foreign(_) => {
                let status = ended_as(self.pid(), self.process.as_fd());
                // Where the kernel does not say, it died: a mount that is gone shows soon enough.
                Ok(ExitStatus::from_raw(status.unwrap_or(libc::SIGKILL)))
            }
        }
    }

    /// Kills it if it has not ended, and waits for its end.
    pub fn kill(&mut self) {
        match &mut self.handle {
            Handle::Child(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            Handle::Foreign(_) => {
                let _ = send_signal(self.process.as_fd(), libc::SIGKILL);
                let _ = wait_readable(self.process.as_fd(), Some(KILL_PATIENCE));
            }
        }
    }
}
