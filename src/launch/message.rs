//! The words that the launcher's processes exchange, one type for each direction.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::Failure;
use super::init::InitKind;
use super::network::Plan;
use super::terminal::Size;
use super::{ExitStatus, LaunchSpec, Limits, StopMode};

/// From whoever starts or enters a WPAR to the process that does it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Start this WPAR. With a command without a terminal, three descriptors follow: its
    /// standard input, output and error.
    Start {
        /// The WPAR.
        spec: Box<LaunchSpec>,
        /// Size of the terminal outside.
        size: Size,
    },
    /// Look after this WPAR, whose supervisor died.
    Adopt {
        /// Where its state is.
        run_dir: PathBuf,
        /// Whether who asks waits for its end, as for that of a command.
        waits: bool,
    },
    /// Run a command inside a running WPAR.
    Enter {
        /// Where its state is.
        run_dir: PathBuf,
        /// Who runs it; root if nobody is named.
        user: Option<String>,
        /// On a terminal of the WPAR's own.
        terminal: bool,
        /// Size of the terminal outside.
        size: Size,
        /// Value of `TERM` outside.
        terminal_type: Option<String>,
        /// The command, bytes as they were typed; empty for the user's shell.
        arguments: Vec<Vec<u8>>,
    },
    /// Send this signal to the command.
    Signal(i32),
}

/// From the process that starts or enters a WPAR back to whoever asked for it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The root file system is there.
    Mounted,
    /// The first process, or the command, has been executed. With a terminal, its master side
    /// follows.
    Executed {
        /// Process of the WPAR's init as the host numbers it.
        pid: u32,
        /// What it is.
        kind: InitKind,
    },
    /// What init says that it is doing.
    Status(String),
    /// Init says that the system is up.
    Ready,
    /// Something went wrong that does not stop the start.
    Trouble(String),
    /// The command, or the whole WPAR, ended.
    Ended(ExitStatus),
    /// It did not work; everything is undone.
    Failed(Failure),
}

/// From the supervisor to the process that becomes init.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToInit {
    /// Two descriptors follow: the root file system, detached, and the user namespace.
    Root,
    /// The network is there.
    Connected,
}

/// From the process that becomes init to the supervisor. The end of the conversation without a
/// failure is the `exec`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromInit {
    /// The first process of the WPAR exists; its number on the host.
    Born(u32),
    /// The master side of its terminal follows.
    Terminal,
    /// This is what will be executed.
    Executing(InitKind),
    /// A program that runs before init has written this.
    Said(Vec<u8>),
    /// Something went wrong that does not stop the start.
    Trouble(String),
    /// The command runs, under the built-in init.
    CommandRuns,
    /// The command ended, and the built-in init ends with it.
    CommandEnded(ExitStatus),
    /// It did not work.
    Failed(Failure),
}

/// From an administrator's command to the supervisor of a running WPAR.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Control {
    /// End the WPAR.
    Stop {
        /// How.
        mode: StopMode,
        /// For how long to try, in milliseconds; for ever if absent.
        timeout: Option<u64>,
        /// Start it again afterwards.
        restart: bool,
    },
    /// Hold it to these limits from now on.
    Limit(Box<Limits>),
    /// Let somebody look at its console.
    Attach {
        /// With what was printed last before; else with what was since init was started or the
        /// supervisor took over, for one who was cut off by that.
        past: bool,
    },
    /// Connect it like this from now on; not at all without a plan.
    Connect(Option<Box<Plan>>),
}

/// The supervisor's answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// Done: nothing is left, or it runs again.
    Done,
    /// The master side of the console follows, to type; and what is printed on it, to read.
    Console,
    /// Not in the time given; it still tries to.
    Timeout,
    /// It did not work.
    Failed(Failure),
}
