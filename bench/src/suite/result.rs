//! The results of a run, as they are recorded: JSON of version 1.

use serde::Serialize;

use super::target::{Target, Verdict};
use super::turn::Sample;
use crate::Fallible;
use crate::bytes::human;
use crate::machine::Machine;
use crate::stats::Summary;
use crate::workload::{Measure, Unit, Workload};

/// What the JSON calls itself, and the version of what is in it.
const FORMAT: &str = "wpar-bench suite";
const VERSION: u32 = 1;

/// One quantity of one subject.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// The workload.
    pub(crate) workload: String,
    /// The measure.
    pub(crate) what: String,
    /// Of how much, in a curve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<u64>,
    /// Whose it is.
    pub(crate) subject: String,
    /// The unit: `us`, `ms`, `GB/s`, `1/s` or `bytes`.
    pub(crate) unit: &'static str,
    /// In short.
    pub(crate) summary: Summary,
    /// Every value, in the order of the runs.
    pub(crate) values: Vec<f64>,
}

/// Somebody or something, and a line about it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Said {
    /// Its name.
    pub(crate) name: String,
    /// The line.
    pub(crate) about: String,
}

/// A workload, as it was run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Done {
    /// Its name.
    pub(crate) name: String,
    /// Its group.
    pub(crate) group: String,
    /// What is done.
    pub(crate) about: String,
    /// The measures, in order.
    pub(crate) measures: Vec<String>,
    /// Seconds that all turns took, with what is not counted.
    pub(crate) seconds: f64,
}

/// A subject that failed at a workload, and is out of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Failure {
    /// The workload.
    pub(crate) workload: String,
    /// The subject.
    pub(crate) subject: String,
    /// What happened.
    pub(crate) why: String,
}

/// All of a run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Results {
    format: &'static str,
    version: u32,
    /// When, in UTC.
    pub(crate) date: String,
    /// On what.
    pub(crate) machine: Machine,
    /// Load of the last minute at the end.
    pub(crate) load_at_end: f64,
    /// Seconds that it took.
    pub(crate) seconds: f64,
    /// The trees were small: the figures mean nothing.
    pub(crate) short: bool,
    /// Who took part.
    pub(crate) subjects: Vec<Said>,
    /// Who and what did not, and why.
    pub(crate) absent: Vec<Said>,
    /// What was done.
    pub(crate) workloads: Vec<Done>,
    /// What came out.
    pub(crate) rows: Vec<Row>,
    /// What of our promises was held.
    pub(crate) verdicts: Vec<Verdict>,
    /// What failed.
    pub(crate) failures: Vec<Failure>,
}

impl Results {
    /// Nothing was measured yet.
    pub(crate) fn new(machine: Machine, short: bool) -> Self {
        Self {
            format: FORMAT,
            version: VERSION,
            date: crate::report::today(),
            machine,
            load_at_end: 0.0,
            seconds: 0.0,
            short,
            subjects: Vec::new(),
            absent: Vec::new(),
            workloads: Vec::new(),
            rows: Vec::new(),
            verdicts: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// A row, if it is there.
    pub(crate) fn row(
        &self,
        workload: &str,
        what: &str,
        at: Option<u64>,
        subject: &str,
    ) -> Option<&Row> {
        self.rows.iter().find(|row| {
            row.workload == workload && row.what == what && row.at == at && row.subject == subject
        })
    }

    /// The points of a curve, or `[None]` if the measure is none.
    pub(crate) fn points(&self, workload: &str, what: &str) -> Vec<Option<u64>> {
        let rows = self.rows.iter();
        let rows = rows.filter(|row| row.workload == workload && row.what == what);
        let mut points: Vec<_> = rows.map(|row| row.at).collect();
        points.sort_unstable();
        points.dedup();
        points
    }

    /// Adds what a subject measured in a turn at a workload.
    pub(super) fn take(&mut self, workload: &dyn Workload, subject: &str, samples: &[Sample]) {
        let measures = workload.measures();
        for sample in samples {
            let measure = measures.iter().find(|measure| measure.what == sample.what);
            let key = Key {
                workload: workload.name(),
                what: sample.what,
                at: sample.at.or(workload.at()),
                subject: sample.instead.unwrap_or(subject),
                // What is no measure of the workload is memory.
                unit: measure.map_or(Unit::Bytes, |measure| measure.unit),
            };
            self.add(key, sample.value);
        }
    }

    /// Notes that a workload cannot be run here.
    pub(super) fn left_out(&mut self, workload: &str, why: String) {
        self.absent.push(Said {
            name: workload.to_owned(),
            about: why,
        });
    }

    /// Notes that a subject failed.
    pub(super) fn failed(&mut self, workload: &str, subject: &str, why: String) {
        self.failures.push(Failure {
            workload: workload.to_owned(),
            subject: subject.to_owned(),
            why,
        });
    }

    /// Adds one more value to a row.
    fn add(&mut self, key: Key<'_>, value: f64) {
        let Key {
            workload,
            what,
            at,
            subject,
            unit,
        } = key;
        let same = |row: &&mut Row| {
            row.workload == workload && row.what == what && row.at == at && row.subject == subject
        };
        let row = match self.rows.iter_mut().find(same) {
            Some(row) => row,
            None => {
                self.rows.push(Row {
                    workload: workload.to_owned(),
                    what: what.to_owned(),
                    at,
                    subject: subject.to_owned(),
                    unit: unit.word(),
                    summary: Summary::of(&[]),
                    values: Vec::new(),
                });
                let Some(row) = self.rows.last_mut() else {
                    return;
                };
                row
            }
        };
        row.values.push(value);
        row.summary = Summary::of(&row.values);
    }

    /// Holds what was measured against what is promised of it.
    fn judge(&mut self, workload: &str, measures: &[Measure]) {
        for measure in measures {
            let rivals = [("ours", "fuse-overlayfs"), ("ours-tar", "ratarmount")];
            let faster = rivals.map(|(subject, rival)| match measure.unit.more_is_better() {
                true => Target::at_least(1.0, rival).of(subject),
                false => Target::at_most(1.0, rival).of(subject),
            });
            for target in measure.targets.iter().chain(&faster) {
                let row = |subject| self.row(workload, measure.what, None, subject);
                if let (Some(ours), Some(other)) = (row(target.subject), row(target.against)) {
                    self.verdicts.extend(target.judge(ours, other));
                }
            }
        }
    }

    /// Notes what a workload did, when it is done, and judges it.
    pub(super) fn done(&mut self, workload: &dyn Workload, seconds: f64) {
        // A curve may be several workloads of one name.
        let mut known = self.workloads.iter_mut();
        if let Some(done) = known.find(|done| done.name == workload.name()) {
            done.seconds += seconds;
            return;
        }
        let measures = workload.measures();
        self.judge(workload.name(), &measures);
        self.workloads.push(Done {
            name: workload.name().to_owned(),
            group: workload.group().to_owned(),
            about: workload.about(),
            measures: measures
                .iter()
                .map(|measure| measure.what.to_owned())
                .collect(),
            seconds,
        });
    }

    /// Brings workloads of the same group together; groups are in the order of their first one. They
    /// were run in an order that saves trees.
    pub(super) fn arrange(&mut self) {
        let mut groups: Vec<String> = Vec::new();
        for done in &self.workloads {
            if !groups.contains(&done.group) {
                groups.push(done.group.clone());
            }
        }
        let place = |done: &Done| groups.iter().position(|group| *group == done.group);
        self.workloads.sort_by_key(place);
    }

    /// As JSON.
    ///
    /// # Errors
    /// None that is known.
    pub(crate) fn json(&self) -> Fallible<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

/// Which row a value belongs to.
#[derive(Clone, Copy, Debug)]
struct Key<'a> {
    workload: &'a str,
    what: &'a str,
    at: Option<u64>,
    subject: &'a str,
    unit: Unit,
}

impl Row {
    /// A value of this row for people.
    pub(crate) fn show(&self, value: f64) -> String {
        match self.unit {
            "bytes" => human(value),
            "us" if value >= 1e6 => format!("{:.2} s", value / 1e6),
            "us" if value >= 10_000.0 => format!("{:.1} ms", value / 1000.0),
            "us" => format!("{} us", digits(value)),
            "ms" if value >= 10_000.0 => format!("{:.1} s", value / 1000.0),
            "ms" => format!("{} ms", digits(value)),
            "GB/s" => format!("{value:.2} GB/s"),
            unit => format!("{} {unit}", digits(value)),
        }
    }
}

/// Three digits that matter.
fn digits(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

impl Unit {
    /// Its sign.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Microseconds => "us",
            Self::Milliseconds => "ms",
            Self::GigabytesPerSecond => "GB/s",
            Self::PerSecond => "1/s",
            Self::Bytes => "bytes",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::table;
    use crate::workload::Needs;

    struct Walk;

    impl Workload for Walk {
        fn name(&self) -> &'static str {
            "walk"
        }

        fn group(&self) -> &'static str {
            "metadata"
        }

        fn about(&self) -> String {
            "all of it".to_owned()
        }

        fn needs(&self) -> Needs {
            Needs::default()
        }

        fn measures(&self) -> Vec<Measure> {
            vec![
                Measure::new("first", Unit::Microseconds).target(Target::at_most(1.2, "overlayfs")),
                Measure::new("speed", Unit::GigabytesPerSecond),
                Measure::new("grown", Unit::Microseconds),
            ]
        }

        fn tree(&self) -> String {
            String::new()
        }

        fn set_up(&self, _tree: &std::path::Path) -> Fallible<()> {
            Ok(())
        }

        fn run(&self, _turn: &mut crate::workload::Turn<'_>) -> Fallible<()> {
            Ok(())
        }
    }

    fn results() -> Results {
        let mut results = Results::new(Machine::here(std::path::Path::new("/")), false);
        for name in ["overlayfs", "fuse-overlayfs", "ours"] {
            results.subjects.push(Said {
                name: name.to_owned(),
                about: format!("about {name}"),
            });
        }
        let sample = |what, at, value| Sample {
            what,
            at,
            instead: None,
            value,
        };
        for (subject, times) in [("overlayfs", 1.0), ("fuse-overlayfs", 4.0), ("ours", 2.0)] {
            for more in [0.0, 1.0, 2.0] {
                let samples = [
                    sample("first", None, 10.0 * times + more),
                    sample("speed", None, 8.0 / times),
                    sample("grown", Some(10), times),
                    sample("grown", Some(100), 3.0 * times),
                    sample("memory", None, 1e6 * times),
                ];
                results.take(&Walk, subject, &samples);
            }
        }
        results.failed("walk", "unionfs", "it broke".to_owned());
        results.done(&Walk, 2.5);
        results.arrange();
        results
    }

    #[test]
    fn every_measure_is_also_held_against_fuse_overlayfs_in_the_right_direction() {
        let results = results();
        let verdicts: Vec<_> = results
            .verdicts
            .iter()
            .map(|verdict| (verdict.what.as_str(), verdict.target.against, verdict.met))
            .collect();
        assert_eq!(
            verdicts,
            [
                ("first", "overlayfs", false),
                ("first", "fuse-overlayfs", true),
                ("speed", "fuse-overlayfs", true),
            ]
        );
    }

    #[test]
    fn the_report_says_who_lost_and_who_failed() {
        let text = table::markdown(&results(), &["suite-metadata.svg", "suite-data.svg"]);
        for line in [
            "**2 of 3 targets are met.** Not met:",
            "- walk first: ours is 1.91 times overlayfs, and should be at most 1.2",
            "| walk first | 11.0 us | 41.0 us | 21.0 us | **not met**: ours 1.91 of overlayfs, at most 1.2<br>met",
            "| walk first | ours | **21.0 us** | 20.5 us to 21.5 us | 20.0 us to 22.0 us | 3 | 1.91 |",
            "| walk grown, 100 | 3.00 us | 12.0 us | 6.00 us | |",
            "- **unionfs failed** at walk, and is out of it: it broke",
            "![metadata](suite-metadata.svg)",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains("suite-data.svg"), "{text}");
    }

    #[test]
    fn the_json_has_its_version_and_every_value() {
        let json: serde_json::Value = serde_json::from_str(&results().json().unwrap()).unwrap();
        assert_eq!(json["format"], FORMAT);
        assert_eq!(json["version"], VERSION);
        let first = &json["rows"][0];
        assert_eq!(first["values"], serde_json::json!([10.0, 11.0, 12.0]));
        assert_eq!(first["summary"]["median"], 11.0);
        assert_eq!(first.get("at"), None);
        assert_eq!(json["verdicts"][0]["target"]["bound"]["at_most"], 1.2);
    }

    #[test]
    fn charts_are_drawn_of_what_can_be_compared_and_of_what_grows() {
        let charts = [
            super::super::dots::draw(&results()),
            super::super::curves::draw(&results()),
        ];
        let names: Vec<_> = charts
            .iter()
            .flatten()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(names, ["suite-metadata.svg", "suite-walk-grown.svg"]);
        for (name, svg) in charts.iter().flatten() {
            assert!(
                !svg.contains("NaN") && !svg.contains("inf"),
                "{name}\n{svg}"
            );
        }
        // Less speed is further right, as more time is.
        let dots = &charts[0][0].1;
        let places: Vec<f64> = dots
            .lines()
            .filter(|line| line.contains("fill-opacity"))
            .map(|line| line.split('"').nth(1).unwrap().parse().unwrap())
            .collect();
        let [overlay, fuse, ours, overlay_speed, fuse_speed, ours_speed] = places[..] else {
            panic!("{places:?}");
        };
        assert!(overlay < ours && ours < fuse, "{places:?}");
        assert!(
            overlay_speed < ours_speed && ours_speed < fuse_speed,
            "{places:?}"
        );
    }

    #[test]
    fn figures_have_three_digits_that_matter() {
        let row = |unit| Row {
            workload: String::new(),
            what: String::new(),
            at: None,
            subject: String::new(),
            unit,
            summary: Summary::of(&[]),
            values: Vec::new(),
        };
        for (unit, value, shown) in [
            ("us", 1.234, "1.23 us"),
            ("us", 123.4, "123 us"),
            ("us", 12_345.0, "12.3 ms"),
            ("us", 2_340_000.0, "2.34 s"),
            ("ms", 12_345.0, "12.3 s"),
            ("GB/s", 21.234, "21.23 GB/s"),
            ("bytes", 4_200_000.0, "4.2 MB"),
            ("1/s", 1234.0, "1234 1/s"),
        ] {
            assert_eq!(row(unit).show(value), shown);
        }
    }
}
