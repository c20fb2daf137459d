//! What we promise of a measure, and whether it is held.

use serde::Serialize;

use super::result::Row;

/// A bound of how a measure of one subject may compare with that of another. A bound says how many times
/// the other's median ours may be at most or, where more is better, must be at least.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Target {
    /// Whose measure is held against it: ours.
    pub(crate) subject: &'static str,
    /// Whose it is compared with.
    pub(crate) against: &'static str,
    /// The bound.
    pub(crate) bound: Bound,
}

/// A limit for a ratio of two medians, ours divided by the other's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    /// The ratio is this or less.
    AtMost(f64),
    /// The ratio is this or more.
    AtLeast(f64),
}

/// How ours came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Verdict {
    /// The workload.
    pub(crate) workload: String,
    /// The measure.
    pub(crate) what: String,
    /// What was promised.
    pub(crate) target: Target,
    /// Our median divided by the other's.
    pub(crate) ratio: f64,
    /// Whether it was held.
    pub(crate) met: bool,
}

impl Target {
    /// `ours` is at most `times` as much as `against`.
    pub(crate) fn at_most(times: f64, against: &'static str) -> Self {
        Self {
            subject: "ours",
            against,
            bound: Bound::AtMost(times),
        }
    }

    /// `ours` is at least `times` as much as `against`.
    pub(crate) fn at_least(times: f64, against: &'static str) -> Self {
        Self {
            bound: Bound::AtLeast(times),
            ..Self::at_most(times, against)
        }
    }

    /// The same for another of our subjects.
    pub(crate) fn of(self, subject: &'static str) -> Self {
        Self { subject, ..self }
    }

    /// The verdict on two rows of one measure; none if nothing was measured.
    pub(crate) fn judge(&self, ours: &Row, other: &Row) -> Option<Verdict> {
        let ratio = ours.summary.median / other.summary.median;
        ratio.is_finite().then(|| Verdict {
            workload: ours.workload.clone(),
            what: ours.what.clone(),
            target: self.clone(),
            ratio,
            met: match self.bound {
                Bound::AtMost(most) => ratio <= most,
                Bound::AtLeast(least) => ratio >= least,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Summary;

    fn row(subject: &str, values: &[f64]) -> Row {
        Row {
            workload: "walk".to_owned(),
            what: "first".to_owned(),
            at: None,
            subject: subject.to_owned(),
            unit: "us",
            summary: Summary::of(values),
            values: values.to_vec(),
        }
    }

    #[test]
    fn a_bound_is_of_medians_and_holds_at_its_edge() {
        let (ours, other) = (row("ours", &[1.0, 3.0, 90.0]), row("overlayfs", &[2.0]));
        for (target, met) in [
            (Target::at_most(1.5, "overlayfs"), true),
            (Target::at_most(1.4, "overlayfs"), false),
            (Target::at_least(1.5, "overlayfs"), true),
            (Target::at_least(1.6, "overlayfs"), false),
        ] {
            let verdict = target.judge(&ours, &other).unwrap();
            assert_eq!((verdict.ratio, verdict.met), (1.5, met), "{target:?}");
        }
    }

    #[test]
    fn nothing_is_judged_by_nothing() {
        let target = Target::at_most(1.0, "overlayfs");
        assert_eq!(
            target.judge(&row("ours", &[]), &row("overlayfs", &[])),
            None
        );
        assert_eq!(
            target.judge(&row("ours", &[1.0]), &row("overlayfs", &[0.0])),
            None
        );
    }
}
