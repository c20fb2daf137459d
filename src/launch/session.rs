//! A session: a process that enters a running WPAR and runs one command there.
//!
//! The process itself joins the namespaces but neither the control groups nor, by its number, the
//! PID namespace: it is invisible inside and outlives a kill, so that it can always report. Its
//! child is a process of the WPAR like any other.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use rustix::fs::{Gid, Uid};
use rustix::process::{DumpableBehavior, Pid, Signal, WaitOptions, set_dumpable_behavior, waitpid};
use rustix::thread::{
    ThreadNameSpaceType, move_into_thread_name_spaces, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

use super::account::Account;
use super::cgroup::Groups;
use super::channel::Channel;
use super::confine::{Confinement, confine};
use super::error::{Doing, LaunchError};
use super::foreground::PASSED_ON;
use super::inside::become_root;
use super::message::{Order, Report};
use super::note::note;
use super::reaper::exit_status;
use super::stage::set_process_limits;
use super::state::RunState;
use super::terminal::{self, Pair};
use super::watch::Watch;
use super::{ExitStatus, InitKind, execute, init};
use crate::sys::descriptors::close_others;
use crate::sys::namespace::new_session_keyring;
use crate::sys::signals::SignalDescriptor;

/// The group of cgroup2 that sessions are in: the WPAR's own is not a leaf once its init has
/// arranged groups below it.
const LEAF: &str = "clogin";

/// Search path of programs inside, for users but root.
const USER_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

type Asker = Channel<Report, Order>;

/// Entry point of the executable under the name [`super::SESSION`]. Its one argument is the
/// number of the descriptor to be ordered by.
pub fn session_main() -> ExitCode {
    let Some(asker) = take_channel() else {
        note(format_args!(
            "{}: this is started by wpar, not by hand",
            super::SESSION
        ));
        return ExitCode::from(125);
    };
    match serve(&asker) {
        Ok(status) => {
            let _ = asker.send(&Report::Ended(status));
            ExitCode::from(status.code())
        }
        Err(error) => {
            let _ = asker.send(&Report::Failed(error.to_failure()));
            ExitCode::from(error.exit_code())
        }
    }
}

fn take_channel() -> Option<Asker> {
    let number = std::env::args().nth(1)?.parse().ok()?;
    crate::sys::descriptors::take(number).map(Asker::from_socket)
}

/// What is to be run, and by whom.
struct Task {
    account: Account,
    arguments: Vec<OsString>,
    terminal_type: Option<String>,
    pair: Option<Pair>,
    groups: Vec<File>,
    confinement: Confinement,
}

fn serve(asker: &Asker) -> Result<ExitStatus, LaunchError> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).doing("protect the process")?;
    // Whatever the administrator's shell has open besides is not for the WPAR.
    close_others(&[asker.as_fd()]).doing("close files")?;
    // A terminal sends them to this process, too, which passes on what it is told and must outlive
    // the command.
    let _held = SignalDescriptor::new(&PASSED_ON).doing("hold signals")?;
    let order = asker.receive().doing("receive the order")?;
    let Some((
        Order::Enter {
            run_dir,
            user,
            terminal,
            size,
            terminal_type,
            arguments,
        },
        _,
    )) = order
    else {
        return Err(LaunchError::Lost("command that asked for the session"));
    };
    set_process_limits(RunState::read(&run_dir).and_then(|state| state.process_memory));
    let (groups, confinement, pid, kind) = join(&run_dir)?;
    become_root()?;
    let pair = terminal
        .then(|| Pair::open(size))
        .transpose()
        .doing("open a terminal inside")?;
    let task = Task {
        account: Account::find(user.as_deref().unwrap_or("root"))?,
        arguments: arguments.into_iter().map(OsString::from_vec).collect(),
        terminal_type,
        pair,
        groups,
        confinement,
    };
    let child = execute::start(&task.name(), || task.execute())?;
    let fds: Vec<_> = task.pair.iter().map(|pair| pair.master.as_fd()).collect();
    asker
        .send_with(&Report::Executed { pid, kind }, &fds)
        .doing("report")?;
    let has_terminal = task.pair.is_some();
    // The copies here would keep the other ends from noticing the command's end.
    drop(task);
    terminal::silence().doing("open /dev/null")?;
    wait_for_end(asker, child, has_terminal)
}

/// Enters the namespaces of the WPAR; returns what its control groups are entered by
/// and how its programs are confined.
fn join(run_dir: &Path) -> Result<(Vec<File>, Confinement, u32, InitKind), LaunchError> {
    let state = RunState::read(run_dir).ok_or(LaunchError::NotActive)?;
    let (Some(init), Some(kind), true) = (state.init, state.init_kind, state.executed) else {
        return Err(LaunchError::NotActive);
    };
    let process = init.open().ok_or(LaunchError::NotActive)?;
    let groups = Groups::open(&state.cgroup)?.entrances(Some((LEAF, state.ids)))?;
    let namespaces = ThreadNameSpaceType::USER
        | ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::PROCESS_ID
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::NETWORK
        | ThreadNameSpaceType::CONTROL_GROUP;
    move_into_thread_name_spaces(process.as_fd(), namespaces).doing("enter the namespaces")?;
    Ok((groups, state.confinement, init.pid, kind))
}

impl Task {
    /// Name of the program, for messages.
    fn name(&self) -> String {
        self.arguments.first().map_or_else(
            || self.account.shell.display().to_string(),
            |program| program.to_string_lossy().into_owned(),
        )
    }

    /// Becomes the program, as the user; returns only if that fails.
    fn execute(&self) -> io::Error {
        if let Err(error) = self.prepare() {
            return error;
        }
        let account = &self.account;
        let mut command = match self.arguments.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments);
                command
            }
            None => {
                let mut shell = Command::new(&account.shell);
                let name = account.shell.file_name().unwrap_or_default();
                // The mark of a login shell.
                let mut dashed = OsString::from("-");
                dashed.push(name);
                shell.arg0(dashed);
                shell
            }
        };
        command
            .env_clear()
            .env(
                "PATH",
                if account.uid == 0 {
                    init::ROOT_PATH
                } else {
                    USER_PATH
                },
            )
            .env("HOME", &account.home)
            .env("SHELL", &account.shell)
            .env("USER", &account.name)
            .env("LOGNAME", &account.name);
        if let Some(name) = &self.terminal_type {
            command.env("TERM", name);
        }
        command.exec()
    }

    fn prepare(&self) -> io::Result<()> {
        for group in &self.groups {
            (&*group).write_all(b"0")?;
        }
        let _ = new_session_keyring();
        match &self.pair {
            Some(pair) => {
                let owner = Some(Uid::from_raw(self.account.uid));
                rustix::fs::fchown(&pair.slave, owner, None)?;
                pair.become_controlling()?;
            }
            // Without it, the administrator's terminal would take orders from inside.
            None => drop(rustix::process::setsid()?),
        }
        confine(self.confinement)?;
        let groups: Vec<_> = self
            .account
            .groups
            .iter()
            .copied()
            .map(Gid::from_raw)
            .collect();
        let (uid, gid) = (
            Uid::from_raw(self.account.uid),
            Gid::from_raw(self.account.gid),
        );
        set_thread_groups(&groups)?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
        rustix::process::chdir(&self.account.home).or_else(|_| rustix::process::chdir("/"))?;
        Ok(())
    }
}

/// Waits for the command and passes signals on to it. If nobody asks any more, the command is
/// told so, as by a terminal that was closed.
fn wait_for_end(asker: &Asker, child: Pid, has_terminal: bool) -> Result<ExitStatus, LaunchError> {
    let ends = SignalDescriptor::new(&[libc::SIGCHLD]).doing("take signals")?;
    let mut asked = true;
    loop {
        // Only after the signal is taken from the descriptor, else an end could be missed.
        while ends.next().is_some() {}
        if let Some((_, status)) =
            waitpid(Some(child), WaitOptions::NOHANG).doing("wait for the command")?
        {
            return Ok(exit_status(status));
        }
        let mut watch = Watch::default();
        let orders = watch.add_optional(asked.then(|| asker.as_fd()));
        watch.add(ends.as_fd());
        watch.wait(None).doing("wait for the command")?;
        if watch.happened(orders) {
            let signal = match asker.receive() {
                Ok(Some((Order::Signal(number), _))) => Signal::from_named_raw(number),
                _ => {
                    asked = false;
                    (!has_terminal).then_some(Signal::HUP)
                }
            };
            if let Some(signal) = signal {
                let _ = rustix::process::kill_process_group(child, signal);
            }
        }
    }
}
