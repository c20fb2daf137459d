//! The results for people: Markdown.

use std::fmt::Write;

use super::result::{Done, Results, Row};
use super::target::{Bound, Verdict};
use crate::subject::Subject;
use crate::workload::Workload;

/// Whom ratios in the tables are of.
const BASE: &str = "overlayfs";

/// The report. Writing to a string cannot fail.
pub(super) fn markdown(results: &Results) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "# File systems and work on them, {}\n", results.date);
    if results.short {
        let _ = writeln!(text, "**Small trees: the figures mean nothing.**\n");
    }
    let _ = writeln!(
        text,
        "{}; load {:.2} at the end, after {:.0} s.\n",
        results.machine.sentence(),
        results.load_at_end,
        results.seconds
    );
    targets(&mut text, &results.verdicts);
    medians(&mut text, results);
    spreads(&mut text, results);
    people(&mut text, results);
    text
}

fn targets(text: &mut String, verdicts: &[Verdict]) {
    if verdicts.is_empty() {
        return;
    }
    let met = verdicts.iter().filter(|verdict| verdict.met).count();
    let _ = writeln!(text, "## Targets: {met} of {} met\n", verdicts.len());
    let _ = writeln!(text, "| | | target | ratio | |\n|---|---|---|---:|---|");
    for verdict in verdicts {
        let bound = match verdict.target.bound {
            Bound::AtMost(times) => format!("at most {times}"),
            Bound::AtLeast(times) => format!("at least {times}"),
        };
        let _ = writeln!(
            text,
            "| {} | {} | {}: {bound} times {} | {:.2} | {} |",
            verdict.workload,
            verdict.what,
            verdict.target.subject,
            verdict.target.against,
            verdict.ratio,
            if verdict.met { "met" } else { "**not met**" }
        );
    }
    text.push('\n');
}

/// One table of medians for each group.
fn medians(text: &mut String, results: &Results) {
    let mut subjects: Vec<&str> = results
        .subjects
        .iter()
        .map(|subject| subject.name.as_str())
        .collect();
    for row in &results.rows {
        if !subjects.contains(&row.subject.as_str()) {
            subjects.push(&row.subject);
        }
    }
    for group in results
        .workloads
        .chunk_by(|one, other| one.group == other.group)
    {
        let Some(first) = group.first() else { continue };
        let _ = writeln!(text, "## {}, medians\n", first.group);
        for done in group {
            let _ = writeln!(text, "- **{}**: {}", done.name, done.about);
        }
        let _ = writeln!(text, "\n| | {} |", subjects.join(" | "));
        let _ = writeln!(text, "|---|{}", "---:|".repeat(subjects.len()));
        for (done, what, at) in lines(results, group) {
            let cell = |subject: &&str| match results.row(&done.name, what, at, subject) {
                Some(row) => row.show(row.summary.median),
                None => String::new(),
            };
            let cells: Vec<_> = subjects.iter().map(cell).collect();
            let _ = writeln!(
                text,
                "| {} | {} |",
                title(done, what, at),
                cells.join(" | ")
            );
        }
        text.push('\n');
    }
}

/// Every line of the tables of a group: measures in order, and each point of a curve.
fn lines<'a>(results: &'a Results, group: &'a [Done]) -> Vec<(&'a Done, &'a str, Option<u64>)> {
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

fn title(done: &Done, what: &str, at: Option<u64>) -> String {
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
        .map_or_else(String::new, |ratio| format!("{ratio:.2}"))
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
