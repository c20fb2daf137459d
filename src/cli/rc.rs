//! `wpar rc`: what the host does with its WPARs when it comes up and goes down.
//!
//! Each WPAR is started or stopped by the command for that, in a process of its own, some at a time
//! and in the order of their names. One that fails keeps no other from its turn.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::context::Context;
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::lifecycle;
use super::verbs::{Arguments, Verb, Words};
use crate::model::{WparName, WparState};
use crate::registry::Registry;

pub(super) const VERB: Verb = Verb::own::<RcArguments>(Words {
    name: "rc",
    about: "Start and stop workload partitions with the host",
    description: "'wpar rc start' starts those that 'mkwpar -A' or 'chwpar -A' marked and that do \
        not run. 'wpar rc stop' stops all that run, marked or not, in the opposite order: by their own \
        init, and by force if that takes longer than -t. Some are worked on at a time. A unit for \
        systemd and a script for OpenRC that call this are in contrib. The status is 0 if all \
        went well; one that fails keeps no other from its turn.",
    examples: &[
        ("When the host comes up", "wpar rc start"),
        (
            "Before it goes down, with a minute for each",
            "wpar rc stop -t 60",
        ),
    ],
    compatibility: "AIX has /etc/rc.wpars for the start.",
});

/// The most that are worked on at a time, if nobody says otherwise.
const MOST: usize = 8;

/// Between two looks at what runs.
const PAUSE: Duration = Duration::from_millis(20);

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Action {
    Start,
    Stop,
}

/// Arguments of `wpar rc`.
#[derive(Debug, clap::Args)]
pub(super) struct RcArguments {
    /// What to do
    #[arg(value_name = "start|stop", hide_possible_values = true)]
    action: Action,

    /// With stop: after so many seconds, by force
    #[arg(
        short = 't',
        long = "timeout",
        value_name = "SECONDS",
        default_value_t = 90
    )]
    timeout: u32,

    /// How many at a time [default: the number of processors, at most 8]
    #[arg(short = 'j', long = "jobs", value_name = "NUMBER")]
    jobs: Option<usize>,
}

impl Arguments for RcArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        let registry = context.registry()?;
        let mut exit = Exit::Success;
        let (names, unreadable) = concerned(context, &registry, self.action)?;
        if unreadable {
            exit = Exit::Failure;
        }
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = self.jobs.unwrap_or(processors.min(MOST)).max(1);
        let steps = match self.action {
            Action::Start => vec![vec!["startwpar".to_owned()]],
            Action::Stop => vec![
                vec![
                    "stopwpar".to_owned(),
                    "-t".to_owned(),
                    self.timeout.to_string(),
                ],
                vec!["stopwpar".to_owned(), "-F".to_owned()],
            ],
        };
        let mut waiting = names.into_iter();
        let mut running: Vec<Turn> = Vec::new();
        loop {
            while running.len() < jobs
                && let Some(name) = waiting.next()
            {
                running.extend(Turn::begin(context, name, steps.clone()));
            }
            if running.is_empty() {
                return Ok(exit);
            }
            if let Err(interrupt) = context.interrupts.check_saying("interrupted") {
                running.into_iter().for_each(Turn::give_up);
                return Err(interrupt);
            }
            let mut left = Vec::new();
            for turn in running {
                match turn.look(context) {
                    Progress::Goes(turn) => left.push(turn),
                    Progress::Ended { well: true } => {}
                    Progress::Ended { well: false } => exit = Exit::Failure,
                }
            }
            running = left;
            sleep(PAUSE);
        }
    }
}

/// The WPARs whose turn it is, in their order; and whether the record of one cannot be read.
fn concerned(
    context: &Context,
    registry: &Registry,
    action: Action,
) -> CliResult<(Vec<WparName>, bool)> {
    let (mut names, mut unreadable) = (Vec::new(), false);
    for name in registry.names()? {
        let record = match registry.load(&name) {
            Ok(Some(record)) => record,
            Ok(None) => continue,
            Err(error) => {
                context.note(CliError::from(error));
                unreadable = true;
                continue;
            }
        };
        let state = lifecycle::look(registry, &record, false).state;
        let wanted = match action {
            Action::Start => record.auto && state != WparState::Active,
            Action::Stop => state != WparState::Defined,
        };
        names.extend(wanted.then_some(name));
    }
    names.sort();
    if action == Action::Stop {
        names.reverse();
    }
    Ok((names, unreadable))
}

/// What is being done with one WPAR.
struct Turn {
    name: WparName,
    child: Child,
    /// What comes next if this fails.
    steps: Vec<Vec<String>>,
}

enum Progress {
    Goes(Turn),
    Ended { well: bool },
}

impl Turn {
    /// Begins with the first of `steps`; says so if it cannot, and then there is none.
    fn begin(context: &Context, name: WparName, mut steps: Vec<Vec<String>>) -> Option<Self> {
        let step = if steps.is_empty() {
            return None;
        } else {
            steps.remove(0)
        };
        let spawned = Command::new("/proc/self/exe")
            .arg0("wpar")
            .args(step)
            .arg(name.as_str())
            .env("WPAR_ROOT", context.layout.root())
            .stdin(Stdio::null())
            .spawn();
        match spawned {
            Ok(child) => Some(Self { name, child, steps }),
            Err(error) => {
                context.note(CliError::io(
                    format!("cannot start a command for {name}"),
                    &error,
                ));
                None
            }
        }
    }

    fn look(mut self, context: &Context) -> Progress {
        match self.child.try_wait() {
            Ok(None) => Progress::Goes(self),
            Ok(Some(status)) if status.success() => Progress::Ended { well: true },
            // It has said why.
            _ => match Self::begin(context, self.name, self.steps) {
                Some(next) => Progress::Goes(next),
                None => Progress::Ended { well: false },
            },
        }
    }

    /// Lets the command undo what it began.
    fn give_up(mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}
