//! The results: a table for people, JSON for programs.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

use crate::Fallible;
use crate::bytes::human;
use crate::machine::Machine;
use crate::stats::Summary;
use crate::suite::target::Bound;

/// One quantity of one side.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// The quantity.
    pub(crate) what: String,
    /// Whose.
    pub(crate) side: String,
    /// `ms`, `bytes` or `1/s`.
    pub(crate) unit: &'static str,
    /// In short.
    pub(crate) summary: Summary,
    /// Every measurement, in the order of the runs.
    values: Vec<f64>,
}

impl Row {
    pub(crate) fn new(what: &str, side: &str, unit: &'static str, values: &[f64]) -> Self {
        Self {
            what: what.to_owned(),
            side: side.to_owned(),
            unit,
            summary: Summary::of(values),
            values: values.to_vec(),
        }
    }

    /// A value of this row for people.
    pub(crate) fn show(&self, value: f64) -> String {
        match self.unit {
            "bytes" => human(value),
            "ms" if value >= 10_000.0 => format!("{:.1} s", value / 1000.0),
            "ms" if value >= 100.0 => format!("{value:.0} ms"),
            "ms" => format!("{value:.1} ms"),
            _ => format!("{value:.0}"),
        }
    }
}

/// A ratio of two medians.
#[derive(Clone, Debug, Serialize)]
struct Ratio {
    what: String,
    numerator: String,
    denominator: String,
    value: f64,
}

/// A bound that was promised for a ratio of two medians.
#[derive(Clone, Debug, Serialize)]
struct Promise {
    /// What is above and below the line: quantity and side.
    numerator: (String, String),
    denominator: (String, String),
    bound: Bound,
    value: f64,
    met: bool,
}

/// All results of a case.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    case: String,
    date: String,
    machine: Machine,
    image: String,
    image_bytes: u64,
    rows: Vec<Row>,
    ratios: Vec<Ratio>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    promises: Vec<Promise>,
    notes: Vec<String>,
}

impl Report {
    pub(crate) fn new(case: &str, machine: Machine, image: &Path) -> Self {
        let name = image
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        Self {
            case: case.to_owned(),
            date: today(),
            machine,
            // Only its name: where it lies is nobody's affair.
            image: name.unwrap_or_default(),
            image_bytes: std::fs::metadata(image).map_or(0, |meta| meta.len()),
            rows: Vec::new(),
            ratios: Vec::new(),
            promises: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn case(&self) -> &str {
        &self.case
    }

    pub(crate) fn image(&self) -> &str {
        &self.image
    }

    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    pub(crate) fn row(&self, what: &str, side: &str) -> Option<&Row> {
        self.rows
            .iter()
            .find(|row| row.what == what && row.side == side)
    }

    /// Notes how many times the median of `one` is that of `other`.
    pub(crate) fn compare(&mut self, what: &str, one: &str, other: &str) {
        let (Some(above), Some(below)) = (self.row(what, one), self.row(what, other)) else {
            return;
        };
        let value = above.summary.median / below.summary.median;
        if !value.is_finite() {
            return;
        }
        self.ratios.push(Ratio {
            what: what.to_owned(),
            numerator: one.to_owned(),
            denominator: other.to_owned(),
            value,
        });
    }

    /// Promised: the median of `one` (quantity, side) is at most `times` that of `other`.
    pub(crate) fn at_most(&mut self, times: f64, one: (&str, &str), other: (&str, &str)) {
        self.promise(Bound::AtMost(times), one, other);
    }

    /// Promised: the median of `one` (quantity, side) is at least `times` that of `other`.
    pub(crate) fn at_least(&mut self, times: f64, one: (&str, &str), other: (&str, &str)) {
        self.promise(Bound::AtLeast(times), one, other);
    }

    fn promise(&mut self, bound: Bound, one: (&str, &str), other: (&str, &str)) {
        let (Some(above), Some(below)) = (self.row(one.0, one.1), self.row(other.0, other.1))
        else {
            return;
        };
        let value = above.summary.median / below.summary.median;
        if !value.is_finite() {
            return;
        }
        let owned = |pair: (&str, &str)| (pair.0.to_owned(), pair.1.to_owned());
        self.promises.push(Promise {
            numerator: owned(one),
            denominator: owned(other),
            bound,
            value,
            met: match bound {
                Bound::AtMost(most) => value <= most,
                Bound::AtLeast(least) => value >= least,
            },
        });
    }

    pub(crate) fn json(&self) -> Fallible<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// The report in Markdown. Writing to a string cannot fail.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "## {} of {} ({}), {}\n",
            self.case,
            self.image,
            human(self.image_bytes as f64),
            self.date
        );
        let _ = writeln!(text, "{}.\n", self.machine.sentence());
        let _ = writeln!(
            text,
            "| | side | median | middle half | all | runs |\n|---|---|---:|---|---|---:|"
        );
        for row in &self.rows {
            let s = row.summary;
            let show = |value| row.show(value);
            let _ = writeln!(
                text,
                "| {} | {} | **{}** | {} to {} | {} to {} | {} |",
                row.what,
                row.side,
                show(s.median),
                show(s.lower),
                show(s.upper),
                show(s.min),
                show(s.max),
                s.runs
            );
        }
        if !self.ratios.is_empty() {
            text.push('\n');
        }
        for ratio in &self.ratios {
            let _ = writeln!(
                text,
                "- {}: {} is {:.2} times {}",
                ratio.what, ratio.numerator, ratio.value, ratio.denominator
            );
        }
        for promise in &self.promises {
            let _ = writeln!(text, "- {}", promise.sentence());
        }
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        text
    }
}

impl Promise {
    fn sentence(&self) -> String {
        let (what, side) = &self.numerator;
        let (what_other, other) = &self.denominator;
        let than = match what == what_other {
            true => other.clone(),
            false => format!("{other}, {what_other}"),
        };
        let bound = match self.bound {
            Bound::AtMost(times) => format!("at most {times}"),
            Bound::AtLeast(times) => format!("at least {times}"),
        };
        let met = if self.met { "met" } else { "**not met**" };
        format!(
            "{what}: {side} is {:.2} times {than}; promised is {bound}: {met}",
            self.value
        )
    }
}

/// Today's date in UTC, as in 2026-01-31.
pub(crate) fn today() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let days = since.map_or(0, |time| time.as_secs() / 86_400);
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Year, month and day of the Gregorian calendar, `days` after 1970-01-01.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| {
        (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400)
    };
    let mut year = 1970;
    loop {
        let length = if leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // by date(1) -u
        for (days, date) in [
            (0, (1970, 1, 1)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (20_453, (2025, 12, 31)),
            (20_819, (2027, 1, 1)),
        ] {
            assert_eq!(civil(days), date, "{days}");
        }
    }

    #[test]
    fn promises_are_held_or_not() {
        let here = Machine::here(Path::new("/"));
        let mut report = Report::new("sizes", here, Path::new("/no/image.tar"));
        report.add(Row::new("x", "a", "ms", &[10.0]));
        report.add(Row::new("y", "a", "ms", &[20.0]));
        report.add(Row::new("x", "b", "ms", &[900.0]));
        report.at_least(100.0, ("x", "b"), ("x", "a"));
        report.at_most(2.0, ("y", "a"), ("x", "a"));
        report.at_most(2.0, ("y", "missing"), ("x", "a"));
        let text = report.markdown();
        for line in [
            "x: b is 90.00 times a; promised is at least 100: **not met**",
            "y: a is 2.00 times a, x; promised is at most 2: met",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert!(!text.contains("missing"), "{text}");
    }

    #[test]
    fn ratios_are_of_medians() {
        let mut report = Report::new(
            "start",
            Machine::here(Path::new("/")),
            Path::new("/no/image.tar"),
        );
        report.add(Row::new("x", "a", "ms", &[10.0, 20.0, 30.0]));
        report.add(Row::new("x", "b", "ms", &[2.0]));
        report.compare("x", "a", "b");
        report.compare("x", "a", "missing");
        let text = report.markdown();
        assert!(text.contains("x: a is 10.00 times b"), "{text}");
        assert!(
            text.contains("| x | a | **20.0 ms** | 15.0 ms to 25.0 ms |"),
            "{text}"
        );
        assert!(
            !text.contains("/no/"),
            "a path of the machine got in\n{text}"
        );
        assert!(report.json().unwrap().contains("\"median\": 20.0"));
    }
}
