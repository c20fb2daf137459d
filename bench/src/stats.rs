//! Medians and spreads.

use std::time::Duration;

use serde::Serialize;

/// What many measurements of one thing come to. The unit is the measurements'.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// Number of measurements.
    pub(crate) runs: usize,
    /// The middle one.
    pub(crate) median: f64,
    /// Smallest.
    pub(crate) min: f64,
    /// A quarter is below this.
    pub(crate) lower: f64,
    /// A quarter is above this.
    pub(crate) upper: f64,
    /// Largest.
    pub(crate) max: f64,
}

impl Summary {
    /// Sums up `values`; of none, all is zero.
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Self {
            runs: sorted.len(),
            median: quantile(&sorted, 0.5),
            min: quantile(&sorted, 0.0),
            lower: quantile(&sorted, 0.25),
            upper: quantile(&sorted, 0.75),
            max: quantile(&sorted, 1.0),
        }
    }
}

/// The value below which the share `share` of `sorted` lies, between two of them in proportion.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    let place = share * last as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    match (sorted.get(below), sorted.get(above)) {
        (Some(low), Some(high)) => low + (high - low) * (place - place.floor()),
        _ => 0.0,
    }
}

/// Milliseconds, as a number to count with.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(Summary::of(&[3.0, 1.0, 2.0]).median, 2.0);
        assert_eq!(Summary::of(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Summary::of(&[]).median, 0.0);
        assert_eq!(Summary::of(&[7.0]).upper, 7.0);
    }

    #[test]
    fn the_spread_is_in_order() {
        let summary = Summary::of(&[5.0, 9.0, 1.0, 3.0, 7.0]);
        assert_eq!(
            (
                summary.min,
                summary.lower,
                summary.median,
                summary.upper,
                summary.max
            ),
            (1.0, 3.0, 5.0, 7.0, 9.0)
        );
    }
}
