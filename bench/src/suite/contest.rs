//! One workload on all subjects, in turns.

use std::time::{Duration, Instant};

use super::interrupt::Interrupt;
use super::progress;
use super::stage::Stage;
use super::turn::Sample;
use crate::Fallible;
use crate::subject::{Shows, Subject};
use crate::workload::Workload;

/// Runs that a slow subject gets as well, unless it is very slow.
const LEAST_RUNS: usize = 3;
/// How many times the patience a very slow subject may use up before it gets no more runs at all.
const VERY_SLOW: u32 = 4;

/// How often, and how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Runs of each subject.
    pub(super) runs: usize,
    /// Time after which a subject is slow.
    pub(super) patience: Duration,
    /// Whether there is a run before the first that makes what is kept, and is not counted.
    pub(super) prepare: bool,
}

/// A subject and how it does.
struct Standing<'a> {
    subject: &'a dyn Subject,
    spent: Duration,
    runs: usize,
    failed: bool,
}

impl Standing<'_> {
    /// Whether it gets another run.
    fn goes_on(&self, rules: Rules) -> bool {
        let slow = self.spent > rules.patience && self.runs >= LEAST_RUNS;
        let very = self.spent > rules.patience * VERY_SLOW && self.runs > 0;
        !(self.failed || slow || very)
    }
}

/// What a turn came to, for who keeps the results.
pub(super) enum Outcome {
    /// What was measured.
    Measured(Vec<Sample>),
    /// The subject failed, and is out of this workload.
    Failed(String),
}

/// Runs `workload` on each of the subjects that can, and tells of each turn.
///
/// # Errors
/// Only that the user interrupted it.
pub(super) fn run(
    workload: &dyn Workload,
    stage: &Stage,
    subjects: &[Box<dyn Subject>],
    rules: Rules,
    interrupt: &Interrupt,
    tell: &mut dyn FnMut(&dyn Subject, Outcome),
) -> Fallible<()> {
    let able = subjects.iter().filter(|subject| can(&***subject, workload));
    let mut standings: Vec<_> = able
        .map(|subject| Standing {
            subject: &**subject,
            spent: Duration::ZERO,
            runs: 0,
            failed: false,
        })
        .collect();
    let runs = workload
        .needs()
        .most_runs
        .unwrap_or(usize::MAX)
        .min(rules.runs);
    for run in usize::from(!rules.prepare)..=runs {
        for standing in &mut standings {
            if !standing.goes_on(rules) {
                continue;
            }
            let subject = standing.subject;
            progress(format_args!(
                "{}: run {run} of {runs}, {}",
                workload.name(),
                subject.name()
            ));
            let begin = Instant::now();
            let ended = match run {
                0 => stage
                    .prepare(subject, workload.needs().writes)
                    .map(|()| None),
                _ => stage.turn(subject, workload, interrupt).map(Some),
            };
            standing.spent += begin.elapsed();
            interrupt.check()?;
            match ended {
                Ok(None) => {}
                Ok(Some(samples)) => {
                    standing.runs += 1;
                    tell(subject, Outcome::Measured(samples));
                }
                Err(error) => {
                    standing.failed = true;
                    tell(subject, Outcome::Failed(error.to_string()));
                }
            }
        }
        // Who went first goes last in the next run.
        if let Some(last) = standings.len().checked_sub(1) {
            standings.rotate_left(1.min(last));
        }
    }
    Ok(())
}

/// Whether a subject can take part in a workload at all.
pub(super) fn can(subject: &dyn Subject, workload: &dyn Workload) -> bool {
    let needs = workload.needs();
    let shown = match subject.shows() {
        Shows::Directory => !needs.only_archives,
        Shows::Archive => needs.archives || needs.only_archives,
    };
    shown && (subject.writes() || !needs.writes)
}
