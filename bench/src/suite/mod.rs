//! The suite: every workload on every subject, in turns.
//!
//! | module | what |
//! |---|---|
//! | [`choice`] | which of them take part |
//! | [`contest`] | one workload on all subjects, in turns |
//! | [`stage`] | where a workload finds its tree, the archive of it, and the subjects their places |
//! | [`turn`] | one turn of one subject at one workload |
//! | [`tree`] | trees that are always the same |
//! | [`target`] | what is promised, and whether it is held |
//! | [`result`] | what came out, for programs; [`table`], [`dots`], [`curves`] for people |
//! | [`interrupt`], [`leftovers`] | Ctrl-C, and what is left when that was not enough |
//!
//! In each run all subjects have their turn, and the order moves on by one from run to run, so that
//! what else the machine does falls on all. Whoever fails at a workload is out of it, and the report
//! says so. Nothing is left out of the results, and nothing is left mounted.

mod choice;
mod contest;
mod curves;
mod dots;
pub(crate) mod interrupt;
mod leftovers;
pub(crate) mod result;
pub(crate) mod stage;
mod table;
pub(crate) mod target;
pub(crate) mod tree;
pub(crate) mod turn;

use std::fmt::Arguments;
use std::fs;
use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;

use self::contest::{Outcome, Rules};
use self::interrupt::Interrupt;
use self::leftovers::Workplace;
use self::result::Results;
use self::stage::Stage;
use crate::Fallible;
use crate::machine::{self, Machine};
use crate::subject::{self, Programs, Subject};
use crate::workload::{self, Scale, Workload};

/// Name of the measure that every workload has of those subjects that are programs.
const MEMORY: &str = "memory";

#[derive(Debug, Args)]
pub(crate) struct SuiteOptions {
    /// Only these workloads, or groups of them, as in walk,data
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,
    /// Only these subjects, as in ours,overlayfs
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    subjects: Vec<String>,
    /// Runs of each workload; by default 5, and 1 of small trees
    #[arg(long)]
    runs: Option<usize>,
    /// Seconds after which a slow subject gets no more than three runs of a workload
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    patience: u64,
    /// Small trees, to see that all works: below a minute, and the figures mean nothing
    #[arg(long)]
    pub(crate) short: bool,
    /// List workloads and subjects, and whether they can take part here
    #[arg(long)]
    list: bool,
    /// Where to work: must be a disk, not a memory file system
    #[arg(long, default_value = "/var/tmp")]
    work: PathBuf,
    /// The wpar to measure; by default the one built beside this program
    #[arg(long)]
    wpar: Option<PathBuf>,
    /// The ratarmount to compare with
    #[arg(long, default_value = "ratarmount")]
    ratarmount: PathBuf,
    /// A fuse-overlayfs of version 2 to compare with
    #[arg(long, value_name = "PATH")]
    fuse_overlayfs_2: Option<PathBuf>,
    /// Directory to record the results in, as in bench/runs/2026-01-31-laptop
    #[arg(long)]
    record: Option<PathBuf>,
}

impl SuiteOptions {
    fn scale(&self) -> Scale {
        match self.short {
            true => Scale::Short,
            false => Scale::Full,
        }
    }

    fn programs(&self) -> Fallible<Programs> {
        Ok(Programs {
            wpar: match &self.wpar {
                Some(program) => program.clone(),
                None => std::env::current_exe()?.with_file_name("wpar"),
            },
            fuse_overlayfs_2: self.fuse_overlayfs_2.clone(),
            ratarmount: self.ratarmount.clone(),
        })
    }
}

/// Runs what the options choose.
pub(crate) fn run(options: &SuiteOptions) -> Fallible<()> {
    let scale = options.scale();
    let subjects = subject::all(&options.programs()?);
    let workloads = workload::all(scale);
    if options.list {
        print!("{}", table::list(&subjects, &workloads));
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        return Err("mounting needs root".into());
    }
    let interrupt = Interrupt::install()?;
    let left = leftovers::remove(&options.work)?;
    if left > 0 {
        eprintln!("removed what {left} killed run(s) had left");
    }
    let begin = Instant::now();
    let mut results = Results::new(Machine::here(&options.work), options.short);
    let subjects = choice::subjects(options, subjects, &mut results)?;
    let workloads = choice::workloads(options, workloads, &mut results)?;
    let mut suite = Suite {
        scale,
        rules: Rules {
            runs: options.runs.unwrap_or(scale.of(5, 1)),
            patience: Duration::from_secs(options.patience),
            prepare: scale == Scale::Full,
        },
        subjects,
        interrupt,
        results,
    };
    let workplace = Workplace::new(&options.work)?;
    let ended = suite.all(&workloads, workplace.path());
    workplace.close()?;
    suite.results.seconds = begin.elapsed().as_secs_f64();
    suite.results.load_at_end = machine::load();
    suite.results.arrange();
    if ended.is_err() {
        // Better than nothing, but nothing to keep.
        print!("{}", table::markdown(&suite.results, &[]));
        return ended;
    }
    finish(options, &suite.results)
}

/// Prints the results, and keeps them if they are wanted.
fn finish(options: &SuiteOptions, results: &Results) -> Fallible<()> {
    let charts = charts(results);
    print!("{}", table::markdown(results, &[]));
    let Some(dir) = &options.record else {
        return Ok(());
    };
    fs::create_dir_all(dir)?;
    for (name, svg) in &charts {
        fs::write(dir.join(name), svg)?;
    }
    let names: Vec<_> = charts.iter().map(|(name, _)| name.as_str()).collect();
    fs::write(dir.join("suite.md"), table::markdown(results, &names))?;
    fs::write(dir.join("suite.json"), results.json()?)?;
    eprintln!("recorded in {}", dir.display());
    Ok(())
}

/// Charts of the results: names of files, and what is in them.
fn charts(results: &Results) -> Vec<(String, String)> {
    let mut charts = dots::draw(results);
    charts.extend(curves::draw(results));
    charts
}

/// Says what is being done, to who looks on.
fn progress(what: Arguments<'_>) {
    if stderr().is_terminal() {
        eprint!("\r{what}\x1b[K");
    }
}

/// A run of the suite.
struct Suite {
    scale: Scale,
    rules: Rules,
    subjects: Vec<Box<dyn Subject>>,
    interrupt: Interrupt,
    results: Results,
}

impl Suite {
    /// All workloads; those with the same tree that follow each other share it.
    fn all(&mut self, workloads: &[Box<dyn Workload>], work: &Path) -> Fallible<()> {
        let groups = workloads.chunk_by(|one, other| one.tree() == other.tree());
        for (number, group) in groups.enumerate() {
            let Some(first) = group.first() else { continue };
            self.interrupt.check()?;
            progress(format_args!("{}: making the tree", first.name()));
            let dir = work.join(number.to_string());
            let stage = match Stage::new(&dir, group, &self.subjects, self.scale) {
                Ok(stage) => stage,
                Err(error) => {
                    for workload in group {
                        self.results.left_out(workload.name(), error.to_string());
                    }
                    let _ = fs::remove_dir_all(&dir);
                    continue;
                }
            };
            for workload in group {
                self.one(&**workload, &stage)?;
            }
            stage.remove()?;
        }
        progress(format_args!("done\n"));
        Ok(())
    }

    fn one(&mut self, workload: &dyn Workload, stage: &Stage) -> Fallible<()> {
        let results = &mut self.results;
        let mut tell = |subject: &dyn Subject, outcome| match outcome {
            Outcome::Measured(samples) => results.take(workload, subject.name(), &samples),
            Outcome::Failed(why) => results.failed(workload.name(), subject.name(), why),
        };
        let begin = Instant::now();
        let ended = contest::run(
            workload,
            stage,
            &self.subjects,
            self.rules,
            &self.interrupt,
            &mut tell,
        );
        self.results.done(workload, begin.elapsed().as_secs_f64());
        ended
    }
}
