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

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::subject::{Place, Raised};
    use crate::workload::{Measure, Needs, Scale, Turn, Unit};

    struct Fake(&'static str);

    struct Root(PathBuf);

    impl Raised for Root {
        fn root(&self) -> &Path {
            &self.0
        }
    }

    impl Subject for Fake {
        fn name(&self) -> &'static str {
            self.0
        }

        fn about(&self) -> String {
            String::new()
        }

        fn raise(&self, place: &Place) -> Fallible<Box<dyn Raised>> {
            Ok(Box::new(Root(place.lower.clone())))
        }
    }

    /// Fails on the subject `bad`.
    struct Nothing(Needs);

    impl Workload for Nothing {
        fn name(&self) -> &'static str {
            "nothing"
        }

        fn group(&self) -> &'static str {
            "tests"
        }

        fn about(&self) -> String {
            String::new()
        }

        fn needs(&self) -> Needs {
            self.0
        }

        fn measures(&self) -> Vec<Measure> {
            vec![Measure::new("one", Unit::Milliseconds)]
        }

        fn tree(&self) -> String {
            "none".to_owned()
        }

        fn set_up(&self, _tree: &Path) -> Fallible<()> {
            Ok(())
        }

        fn run(&self, turn: &mut Turn<'_>) -> Fallible<()> {
            if turn.subject() == "bad" {
                return Err("it is bad".into());
            }
            turn.note("one", 1.0);
            Ok(())
        }
    }

    /// Who had a turn, in order, and how it ended.
    fn contest(names: &[&'static str], rules: Rules, needs: Needs) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let subjects: Vec<_> = names
            .iter()
            .map(|name| Box::new(Fake(name)) as Box<dyn Subject>)
            .collect();
        let workload: Box<dyn Workload> = Box::new(Nothing(needs));
        let workloads = [workload];
        let stage = Stage::new(&dir.path().join("0"), &workloads, &subjects, Scale::Short).unwrap();
        let mut turns = Vec::new();
        let mut tell = |subject: &dyn Subject, outcome| {
            turns.push(match outcome {
                Outcome::Measured(samples) => format!("{} {}", subject.name(), samples.len()),
                Outcome::Failed(why) => format!("{}: {why}", subject.name()),
            });
        };
        let [workload] = &workloads;
        let interrupt = Interrupt::default();
        run(&**workload, &stage, &subjects, rules, &interrupt, &mut tell).unwrap();
        turns
    }

    fn rules(runs: usize) -> Rules {
        Rules {
            runs,
            patience: Duration::from_secs(3600),
            prepare: true,
        }
    }

    #[test]
    fn everybody_goes_first_in_turn() {
        assert_eq!(
            contest(&["a", "b", "c"], rules(3), Needs::default()),
            [
                "b 1", "c 1", "a 1", "c 1", "a 1", "b 1", "a 1", "b 1", "c 1"
            ]
        );
    }

    #[test]
    fn who_fails_is_out_and_the_others_go_on() {
        assert_eq!(
            contest(&["a", "bad"], rules(2), Needs::default()),
            ["bad: it is bad", "a 1", "a 1"]
        );
    }

    #[test]
    fn a_workload_may_want_less_runs_and_the_slow_get_three() {
        let few = Needs {
            most_runs: Some(1),
            ..Needs::default()
        };
        assert_eq!(contest(&["a"], rules(5), few), ["a 1"]);
        let standing = |spent, runs, failed| Standing {
            subject: &Fake("a"),
            spent: Duration::from_secs(spent),
            runs,
            failed,
        };
        let rules = Rules {
            patience: Duration::from_secs(10),
            ..rules(9)
        };
        for (spent, runs, failed, goes_on) in [
            (5, 8, false, true),
            (5, 1, true, false),
            (20, 2, false, true),
            (20, 3, false, false),
            (41, 0, false, true),
            (41, 1, false, false),
        ] {
            assert_eq!(
                standing(spent, runs, failed).goes_on(rules),
                goes_on,
                "{spent} {runs}"
            );
        }
    }

    #[test]
    fn archives_take_part_only_where_that_makes_sense() {
        struct Archive;
        impl Subject for Archive {
            fn name(&self) -> &'static str {
                "archive"
            }
            fn about(&self) -> String {
                String::new()
            }
            fn shows(&self) -> Shows {
                Shows::Archive
            }
            fn writes(&self) -> bool {
                false
            }
            fn raise(&self, _place: &Place) -> Fallible<Box<dyn Raised>> {
                Err("no".into())
            }
        }
        let workload = |archives, only_archives, writes| {
            Nothing(Needs {
                archives,
                only_archives,
                writes,
                ..Needs::default()
            })
        };
        for (archives, only, writes, directory, archive) in [
            (false, false, false, true, false),
            (true, false, false, true, true),
            (true, false, true, true, false),
            (false, true, false, false, true),
        ] {
            let workload = workload(archives, only, writes);
            assert_eq!(can(&Fake("a"), &workload), directory, "{:?}", workload.0);
            assert_eq!(can(&Archive, &workload), archive, "{:?}", workload.0);
        }
    }
}
