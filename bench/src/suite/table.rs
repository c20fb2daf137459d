//! The results for people: Markdown.

use std::fmt::Write;

use super::result::{Done, Results, Row};
use super::target::{Bound, Verdict};
use crate::subject::Subject;
use crate::workload::Workload;

/// Whom ratios are of.
pub(super) const BASE: &str = "overlayfs";

/// The report; `charts` are names of files beside it. Writing to a string cannot fail.
pub(super) fn markdown(results: &Results, charts: &[&str]) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "# File systems and work on them, {}\n", results.date);
    if results.short {
        let _ = writeln!(
            text,
            "**Small trees, to see that all works: the figures mean nothing.**\n"
        );
    }
    let _ = writeln!(
        text,
        "{}; load {:.2} at the end, after {:.0} s.\n",
        results.machine.sentence(),
        results.load_at_end,
        results.seconds
    );
    summary(&mut text, results);
    medians(&mut text, results, charts);
    spreads(&mut text, results);
    people(&mut text, results);
    text
}

/// What is promised and not held, first of all.
fn summary(text: &mut String, results: &Results) {
    let verdicts = &results.verdicts;
    if verdicts.is_empty() || results.short {
        return;
    }
    let missed: Vec<_> = verdicts.iter().filter(|verdict| !verdict.met).collect();
    let _ = writeln!(
        text,
        "**{} of {} targets are met.**{}\n",
        verdicts.len() - missed.len(),
        verdicts.len(),
        if missed.is_empty() { "" } else { " Not met:" }
    );
    for verdict in &missed {
        let _ = writeln!(
            text,
            "- {} {}: {} is {} times {}, and should be {}",
            verdict.workload,
            verdict.what,
            verdict.target.subject,
            times(verdict.ratio),
            verdict.target.against,
            bound(verdict)
        );
    }
    if !missed.is_empty() {
        text.push('\n');
    }
}

/// A ratio, with as many digits as a small one needs.
fn times(ratio: f64) -> String {
    match ratio {
        ratio if ratio < 0.1 => format!("{ratio:.4}"),
        ratio => format!("{ratio:.2}"),
    }
}

fn bound(verdict: &Verdict) -> String {
    match verdict.target.bound {
        Bound::AtMost(times) => format!("at most {times}"),
        Bound::AtLeast(times) => format!("at least {times}"),
    }
}

/// What came of the targets of a measure, for the end of its line.
fn verdicts(results: &Results, workload: &str, what: &str) -> String {
    let all = results.verdicts.iter();
    let of_measure = all.filter(|verdict| verdict.workload == workload && verdict.what == what);
    let words: Vec<_> = of_measure
        .map(|verdict| {
            format!(
                "{}: {} {} of {}, {}",
                if verdict.met { "met" } else { "**not met**" },
                verdict.target.subject,
                times(verdict.ratio),
                verdict.target.against,
                bound(verdict)
            )
        })
        .collect();
    words.join("<br>")
}

/// One table of medians for each group.
fn medians(text: &mut String, results: &Results, charts: &[&str]) {
    for group in results
        .workloads
        .chunk_by(|one, other| one.group == other.group)
    {
        let Some(first) = group.first() else { continue };
        let _ = writeln!(text, "## {}, medians\n", first.group);
        for done in group {
            let _ = writeln!(
                text,
                "- **{}**: {} ({:.0} s in all)",
                done.name, done.about, done.seconds
            );
        }
        let lines = lines(results, group);
        let subjects = subjects(results, &lines);
        let targets = if results.short { "" } else { " targets |" };
        let _ = writeln!(text, "\n| | {} |{targets}", subjects.join(" | "));
        let more = if results.short { "" } else { "---|" };
        let _ = writeln!(text, "|---|{}{more}", "---:|".repeat(subjects.len()));
        for (done, what, at) in lines {
            let cell = |subject: &&str| match results.row(&done.name, what, at, subject) {
                Some(row) => row.show(row.summary.median),
                None => String::new(),
            };
            let cells: Vec<_> = subjects.iter().map(cell).collect();
            let _ = write!(
                text,
                "| {} | {} |",
                title(done, what, at),
                cells.join(" | ")
            );
            if !results.short && at.is_none() {
                let _ = write!(text, " {} |", verdicts(results, &done.name, what));
            } else if !results.short {
                text.push_str(" |");
            }
            text.push('\n');
        }
        text.push('\n');
        let own = |chart: &&&str| {
            let begins = |name: &str| {
                chart.strip_prefix("suite-").is_some_and(|rest| {
                    rest.strip_prefix(name)
                        .is_some_and(|rest| rest.starts_with(['-', '.']))
                })
            };
            begins(&first.group) || group.iter().any(|done| begins(&done.name))
        };
        for chart in charts.iter().filter(own) {
            let _ = writeln!(text, "![{}]({chart})\n", first.group);
        }
    }
}

/// Whose values there are in these lines: the subjects in their order, then others.
fn subjects<'a>(results: &'a Results, lines: &[(&Done, &str, Option<u64>)]) -> Vec<&'a str> {
    let within = |row: &&Row| {
        lines
            .iter()
            .any(|(done, what, at)| row.workload == done.name && row.what == *what && row.at == *at)
    };
    let rows: Vec<_> = results.rows.iter().filter(within).collect();
    let mut names: Vec<&str> = results
        .subjects
        .iter()
        .map(|subject| subject.name.as_str())
        .filter(|name| rows.iter().any(|row| row.subject == *name))
        .collect();
    for row in rows {
        if !names.contains(&row.subject.as_str()) {
            names.push(&row.subject);
        }
    }
    names
}

/// Every line of the tables of a group: measures in order, and each point of a curve.
pub(super) fn lines<'a>(
    results: &'a Results,
    group: &'a [Done],
) -> Vec<(&'a Done, &'a str, Option<u64>)> {
    let mut lines = Vec::new();
    for done in group {
        for what in done
            .measures
            .iter()
            .map(String::as_str)
            .chain([super::MEMORY])
        {
            let points = results.points(&done.name, what);
            lines.extend(points.into_iter().map(|at| (done, what, at)));
        }
    }
    lines
}

/// What a line is called.
pub(super) fn title(done: &Done, what: &str, at: Option<u64>) -> String {
    match at {
        Some(at) => format!("{} {what}, {at}", done.name),
        None => format!("{} {what}", done.name),
    }
}

/// Every row with its spread.
fn spreads(text: &mut String, results: &Results) {
    let _ = writeln!(text, "## All figures\n");
    let _ = writeln!(
        text,
        "| | subject | median | middle half | all | runs | times {BASE} |\n|---|---|---:|---|---|---:|---:|"
    );
    for (done, what, at) in lines(results, &results.workloads) {
        let base = results.row(&done.name, what, at, BASE);
        let rows = results.rows.iter();
        let rows = rows.filter(|row| row.workload == done.name && row.what == what && row.at == at);
        for row in rows {
            let s = row.summary;
            let show = |value| row.show(value);
            let _ = writeln!(
                text,
                "| {} | {} | **{}** | {} to {} | {} to {} | {} | {} |",
                title(done, what, at),
                row.subject,
                show(s.median),
                show(s.lower),
                show(s.upper),
                show(s.min),
                show(s.max),
                s.runs,
                ratio(row, base),
            );
        }
    }
    text.push('\n');
}

fn ratio(row: &Row, base: Option<&Row>) -> String {
    base.map(|base| row.summary.median / base.summary.median)
        .filter(|ratio| ratio.is_finite())
        .map_or_else(String::new, times)
}

/// Who took part, who did not, and who failed.
fn people(text: &mut String, results: &Results) {
    let _ = writeln!(text, "## Who took part\n");
    for subject in &results.subjects {
        let _ = writeln!(text, "- **{}**: {}", subject.name, subject.about);
    }
    for absent in &results.absent {
        let _ = writeln!(text, "- {} did not: {}", absent.name, absent.about);
    }
    for failure in &results.failures {
        let _ = writeln!(
            text,
            "- **{} failed** at {}, and is out of it: {}",
            failure.subject, failure.workload, failure.why
        );
    }
}

/// What there is to choose from.
pub(super) fn list(subjects: &[Box<dyn Subject>], workloads: &[Box<dyn Workload>]) -> String {
    let mut text = String::from("Workloads (by --only):\n");
    let mut names = Vec::new();
    for workload in workloads.iter() {
        if names.contains(&workload.name()) {
            continue;
        }
        names.push(workload.name());
        let when = if workload.needs().on_request {
            ", only by name"
        } else {
            ""
        };
        let why = workload
            .missing()
            .map_or_else(String::new, |why| format!(" [not here: {why}]"));
        let _ = writeln!(
            text,
            "  {:<14} ({}{when}) {}{why}",
            workload.name(),
            workload.group(),
            workload.about()
        );
    }
    text.push_str("Subjects (by --subjects):\n");
    for subject in subjects {
        let about = match subject.missing() {
            Some(why) => format!("[not here: {why}]"),
            None => subject.about(),
        };
        let _ = writeln!(text, "  {:<18} {about}", subject.name());
    }
    text
}
