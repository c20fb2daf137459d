//! Starting, watching, entering and stopping WPARs.
//!
//! Four kinds of processes take part, all from this one executable:
//! * the *starter*, a command of the administrator, which calls [`Launcher::start`];
//! * the *supervisor* (`supervisor`), one per running WPAR, outside of it, which owns all that
//!   the WPAR is made of: control groups, the mount, the daemon, init. It undoes everything in
//!   reverse order when the WPAR ends or when a step fails;
//! * the process that becomes init (`stage`, `inside`), for the few milliseconds before its
//!   `exec`;
//! * the *session* (`session`), which enters a running WPAR for one command.
//!
//! A supervisor that died is followed by another one (`adopt`), which the next command starts; what
//! it needs and nobody could open again the file system daemon holds (`held`).
//!
//! A fifth (`ahead`) reads, for some milliseconds, what the last start of the same source read.
//!
//! They talk in typed messages (`message`); what must survive the supervisor stands in the run
//! directory (`state`). Nothing of the WPAR's contents is ever interpreted outside of it, and
//! nothing inside is reached by a path that the WPAR could have bent.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use wpar_mountd::spec::MountSpec;

mod account;
mod adopt;
mod ahead;
mod cgroup;
mod change;
pub(crate) mod channel;
mod cleanup;
mod client;
mod confine;
mod console;
mod control;
mod convert;
mod devices;
mod error;
mod errors;
mod execute;
mod fault;
mod foreground;
mod freeze;
mod held;
pub(crate) mod identity;
mod init;
pub(crate) mod inquiry;
mod inside;
mod life;
mod limits;
mod message;
pub(crate) mod mountinfo;
pub mod network;
pub(crate) mod note;
mod notify;
mod reaper;
mod remedy;
pub(crate) mod revive;
mod root;
mod seccomp;
mod session;
mod stage;
mod state;
mod stop;
mod supervisor;
mod terminal;
mod usage;
mod userns;
pub(crate) mod watch;

pub use adopt::adopt;
pub use change::{connect, limit};
pub use cleanup::clean_up;
pub use client::{Launcher, Started, enter, reboot, start, stop};
pub use confine::Confinement;
pub use convert::Conversion;
pub use error::{Failure, LaunchError};
pub(crate) use errors::{append as keep_error, last as last_errors, path as error_log};
pub use freeze::{pause, resume};
pub use identity::ProcessId;
pub use init::InitKind;
pub use limits::{Limits, TASKS};
pub use remedy::{Remedy, remedy};
pub use session::session_main;
pub use state::{Leftover, Observation, observe};
pub use supervisor::supervisor_main;
pub use usage::{Usage, usage};

/// The name under which the executable is a supervisor.
pub const SUPERVISOR: &str = "wpar-supervisor";
/// The name under which the executable enters a WPAR.
pub const SESSION: &str = "wpar-session";

/// Everything needed to start one WPAR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaunchSpec {
    /// Its name, for messages and process names.
    pub name: String,
    /// Its host name. A file `/etc/hostname` inside wins with most inits.
    pub hostname: String,
    /// Machine id: 32 hexadecimal digits. Told as `container_uuid`.
    pub machine_id: String,
    /// Where its files come from.
    pub root: RootSource,
    /// Where the host sees its files while it runs. Must be an existing directory.
    pub mount_point: PathBuf,
    /// Directory for its running state, `/run/wpar/NAME`: made with mode 0700 at the start, gone
    /// at the end.
    pub run_dir: PathBuf,
    /// File that what init writes to its console is appended to; bounded, with one predecessor
    /// (`.1`).
    pub console_log: PathBuf,
    /// Path of its control group below the root of each hierarchy, as in `wpar/NAME`.
    pub cgroup: String,
    /// User and group ids of the host that are its ids 0 and up.
    pub ids: IdRange,
    /// What runs in it.
    pub payload: Payload,
    /// Directories inside that get an empty temporary file system, as in `/tmp`.
    #[serde(default)]
    pub tmpfs: Vec<String>,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
    /// How it is connected; `None` for the loopback interface alone.
    #[serde(default)]
    pub network: Option<network::Plan>,
    /// Whether it has the host's network instead of one of its own.
    #[serde(default)]
    pub host_network: bool,
    /// File that keeps what a start of the same source reads first, for the next one to be ahead.
    #[serde(default)]
    pub trail: Option<PathBuf>,
    /// Devices of the host that are its own, too, by their names below `/dev`.
    #[serde(default)]
    pub devices: Vec<String>,
    /// What its programs may do.
    #[serde(default)]
    pub confinement: Confinement,
    /// What is done inside before init, at this start only.
    #[serde(default)]
    pub conversion: Option<Conversion>,
}

/// Where the files of a WPAR come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RootSource {
    /// The copy-on-write file system.
    Mount(MountSpec),
    /// A directory of the host, changed in place.
    Directory(PathBuf),
    /// The same, where all owners are ids of the WPAR's range already: for file systems that cannot
    /// map ids, as the kernel's overlay.
    Shifted(PathBuf),
}

/// A range of user and group ids of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// The host's id that is 0 inside.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// What runs in a WPAR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Payload {
    /// Its own init; the built-in one, which only reaps, if it has none.
    Init,
    /// Nothing but the built-in init: for those who look after the WPAR by logging in.
    Maintenance,
    /// One command; the WPAR ends with it.
    Command {
        /// The program, looked up in `PATH` inside, and its arguments.
        argv: Vec<OsString>,
        /// Variables to add to the environment.
        env: Vec<(OsString, OsString)>,
        /// Working directory inside.
        cwd: PathBuf,
        /// On a terminal of the WPAR's own instead of the starter's standard files.
        terminal: bool,
    },
}

/// How to end a WPAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StopMode {
    /// Its init shuts the system down.
    Soft,
    /// Its processes are told to end and, some seconds later, killed.
    Hard,
    /// Its processes are killed at once.
    Force,
}

/// A command to run in a running WPAR.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// User of the WPAR who runs it; root if absent.
    pub user: Option<String>,
    /// The command; empty for the user's login shell.
    pub argv: Vec<OsString>,
    /// Whether it gets a terminal.
    pub terminal: TerminalChoice,
}

/// Whether a session has a terminal of the WPAR's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TerminalChoice {
    /// If standard input and output are terminals.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never: the command gets this process's standard files.
    Never,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExitStatus {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

impl ExitStatus {
    /// The status in the manner of shells: 128 and the signal's number if one ended it.
    pub fn code(self) -> u8 {
        let code = match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => 128 + signal,
        };
        (code & 0xff) as u8
    }
}

/// What happens while a WPAR starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartEvent {
    /// Its files are there.
    Mounted,
    /// Its first process, or the command, has been executed.
    Executed {
        /// Process of its init as the host numbers it.
        pid: u32,
        /// What it is.
        kind: InitKind,
    },
    /// What its init says that it is doing. Untrusted text, one line, printable.
    Status(String),
    /// Its init says that the system is up.
    Ready,
    /// Something went wrong that does not stop the start. Untrusted text, one line, printable.
    Trouble(String),
}
