//! The suite: every workload on every subject, in turns.
//!
//! | module | what |
//! |---|---|
//! | [`turn`] | one turn of one subject at one workload |
//! | [`stage`] | where a workload finds its tree, the archive of it, and the subjects their places |
//! | [`tree`] | trees that are always the same |
//! | [`target`] | what is promised, and whether it is held |
//! | [`result`], [`table`] | what came out, for programs and for people |
//! | [`interrupt`] | Ctrl-C |
//!
//! In each run all subjects have their turn, and the order moves on by one from run to run, so that
//! what else the machine does falls on all. Whoever fails at a workload is out of it, and the report
//! says so. Nothing is left out of the results, and nothing is left mounted.

pub(crate) mod interrupt;
pub(crate) mod result;
mod stage;
mod table;
pub(crate) mod target;
pub(crate) mod tree;
pub(crate) mod turn;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;

use self::interrupt::Interrupt;
use self::result::{Failure, Key, Results, Said};
use self::stage::Stage;
use self::turn::Sample;
use crate::Fallible;
use crate::machine::{self, Machine};
use crate::subject::{self, Programs, Shows, Subject};
use crate::workload::{self, Scale, Unit, Workload};

/// Name of the measure that every workload has of those subjects that are programs.
const MEMORY: &str = "memory";
/// Runs that every subject gets, however slow it is.
const LEAST_RUNS: usize = 3;

#[derive(Debug, Args)]
pub(crate) struct SuiteOptions {
    /// Only these workloads, or groups of them, as in walk,data
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,
    /// Only these subjects, as in ours,overlayfs
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    subjects: Vec<String>,
    /// Runs of each workload
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Seconds after which a slow subject gets no more runs of a workload than three
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
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

/// Runs what the options choose.
pub(crate) fn run(options: &SuiteOptions) -> Fallible<()> {
    let scale = if options.short {
        Scale::Short
    } else {
        Scale::Full
    };
    let wpar = match &options.wpar {
        Some(program) => program.clone(),
        None => std::env::current_exe()?.with_file_name("wpar"),
    };
    let programs = Programs {
        wpar,
        fuse_overlayfs_2: options.fuse_overlayfs_2.clone(),
        ratarmount: options.ratarmount.clone(),
    };
    let subjects = subject::all(&programs);
    let workloads = workload::all(scale);
    if options.list {
        print!("{}", table::list(&subjects, &workloads));
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        return Err("mounting needs root".into());
    }
    let mut results = Results::new(Machine::here(&options.work), options.short);
    let subjects = choose_subjects(options, subjects, &mut results)?;
    let workloads = choose_workloads(options, workloads, &mut results)?;
    let begin = Instant::now();
    let interrupt = Interrupt::install()?;
    let work = tempfile::Builder::new()
        .prefix("wpar-bench-")
        .tempdir_in(&options.work)?;
    let mut suite = Suite {
        options,
        subjects,
        interrupt,
        results,
    };
    let ended = suite.all(&workloads, work.path());
    work.close()?;
    ended?;
    suite.results.seconds = begin.elapsed().as_secs_f64();
    suite.results.load_at_end = machine::load();
    finish(options, &suite.results)
}

fn choose_subjects(
    options: &SuiteOptions,
    all: Vec<Box<dyn Subject>>,
    results: &mut Results,
) -> Fallible<Vec<Box<dyn Subject>>> {
    let known: Vec<_> = all.iter().map(|subject| subject.name()).collect();
    check("subject", &options.subjects, &known)?;
    let wanted =
        |name: &str| options.subjects.is_empty() || options.subjects.iter().any(|s| s == name);
    let mut chosen = Vec::new();
    for subject in all {
        let name = subject.name();
        match subject.missing() {
            _ if !wanted(name) => {}
            Some(why) => results.absent.push(Said {
                name: name.to_owned(),
                about: why,
            }),
            None => {
                results.subjects.push(Said {
                    name: name.to_owned(),
                    about: subject.about(),
                });
                chosen.push(subject);
            }
        }
    }
    Ok(chosen)
}

fn choose_workloads(
    options: &SuiteOptions,
    all: Vec<Box<dyn Workload>>,
    results: &mut Results,
) -> Fallible<Vec<Box<dyn Workload>>> {
    let known = all
        .iter()
        .flat_map(|workload| [workload.name(), workload.group()]);
    check("workload", &options.only, &known.collect::<Vec<_>>())?;
    let named = |word: &str| options.only.iter().any(|only| only == word);
    let mut chosen = Vec::new();
    for workload in all {
        let wanted = match options.only.is_empty() {
            true => !workload.needs().on_request,
            false => named(workload.name()) || named(workload.group()),
        };
        match workload.missing() {
            _ if !wanted => {}
            Some(why) => results.absent.push(Said {
                name: workload.name().to_owned(),
                about: why,
            }),
            None => chosen.push(workload),
        }
    }
    Ok(chosen)
}

/// That every word is known.
fn check(kind: &str, words: &[String], known: &[&str]) -> Fallible<()> {
    match words.iter().find(|word| !known.contains(&word.as_str())) {
        None => Ok(()),
        Some(word) => Err(format!("there is no {kind} {word}; --list names them all").into()),
    }
}

/// Prints the results, and keeps them if they are wanted.
fn finish(options: &SuiteOptions, results: &Results) -> Fallible<()> {
    let text = table::markdown(results);
    print!("{text}");
    let Some(dir) = &options.record else {
        return Ok(());
    };
    fs::create_dir_all(dir)?;
    fs::write(dir.join("suite.md"), text)?;
    fs::write(dir.join("suite.json"), results.json()?)?;
    eprintln!("recorded in {}", dir.display());
    Ok(())
}

/// A run of the suite.
struct Suite<'a> {
    options: &'a SuiteOptions,
    subjects: Vec<Box<dyn Subject>>,
    interrupt: Interrupt,
    results: Results,
}

impl Suite<'_> {
    /// All workloads, those of one tree after the other.
    fn all(&mut self, workloads: &[Box<dyn Workload>], work: &Path) -> Fallible<()> {
        for (number, group) in workloads
            .chunk_by(|one, other| one.tree() == other.tree())
            .enumerate()
        {
            let Some(first) = group.first() else { continue };
            self.interrupt.check()?;
            eprint!("\r{}: making the tree \x1b[K", first.name());
            let archives = |subject: &dyn Subject| subject.shows() == Shows::Archive;
            let archive = group.iter().any(|workload| workload.needs().archives)
                && self.subjects.iter().any(|subject| archives(&**subject));
            let stage = Stage::new(&work.join(number.to_string()), &**first, archive)?;
            for workload in group {
                self.one(&**workload, &stage)?;
            }
            stage.remove()?;
        }
        eprintln!("\rdone \x1b[K");
        Ok(())
    }

    /// One workload on all subjects, in turns.
    fn one(&mut self, workload: &dyn Workload, stage: &Stage) -> Fallible<()> {
        let needs = workload.needs();
        let subjects = std::mem::take(&mut self.subjects);
        let able = |subject: &&Box<dyn Subject>| {
            (subject.writes() || !needs.writes)
                && (subject.shows() == Shows::Directory || needs.archives)
        };
        let mut order: Vec<&dyn Subject> = subjects
            .iter()
            .filter(able)
            .map(|subject| &**subject)
            .collect();
        let runs = needs.most_runs.unwrap_or(usize::MAX).min(self.options.runs);
        let mut spent: HashMap<&str, Duration> = HashMap::new();
        let mut result: Fallible<()> = Ok(());
        'runs: for run in 0..=runs {
            for subject in order.clone() {
                let patience = Duration::from_secs(self.options.patience);
                let slow = spent
                    .get(subject.name())
                    .is_some_and(|spent| *spent > patience);
                if run > LEAST_RUNS && slow {
                    continue;
                }
                eprint!(
                    "\r{}: run {run} of {runs}, {} \x1b[K",
                    workload.name(),
                    subject.name()
                );
                let begin = Instant::now();
                // The first time only makes what is kept: copies, indexes, stores.
                let ended = match run {
                    0 => stage.prepare(subject, needs.writes).map(|()| None),
                    _ => stage.turn(subject, workload, &self.interrupt).map(Some),
                };
                *spent.entry(subject.name()).or_default() += begin.elapsed();
                match ended {
                    _ if self.interrupt.pending() => {
                        result = Err("interrupted".into());
                        break 'runs;
                    }
                    Ok(Some(samples)) => self.take(workload, subject, samples),
                    Ok(None) => {}
                    Err(error) => {
                        self.results.failures.push(Failure {
                            workload: workload.name().to_owned(),
                            subject: subject.name().to_owned(),
                            why: error.to_string(),
                        });
                        order.retain(|other| other.name() != subject.name());
                    }
                }
            }
            if run > 0 && !order.is_empty() {
                order.rotate_left(1);
            }
        }
        drop(order);
        self.subjects = subjects;
        result?;
        self.results.done(workload);
        self.results.judge(workload.name(), &workload.measures());
        Ok(())
    }

    fn take(&mut self, workload: &dyn Workload, subject: &dyn Subject, samples: Vec<Sample>) {
        let measures = workload.measures();
        for sample in samples {
            let measure = measures.iter().find(|measure| measure.what == sample.what);
            let key = Key {
                workload: workload.name(),
                what: sample.what,
                at: sample.at,
                subject: sample.instead.unwrap_or(subject.name()),
                unit: measure.map_or(Unit::Bytes, |measure| measure.unit),
            };
            self.results.add(key, sample.value);
        }
    }
}
