//! Puts the figures of a recorded run into the README, so that nobody copies them by hand.

use std::fmt::Write;
use std::path::Path;

use crate::Fallible;
use crate::report::Report;

const BEGIN: &str = "<!-- bench: begin (written by wpar-bench --readme) -->\n";
const END: &str = "<!-- bench: end -->";

/// Replaces what stands between the two marks of the file `readme` by the chart and the medians
/// of `report`, which is recorded in `record`.
pub(crate) fn update(readme: &Path, record: &Path, report: &Report) -> Fallible<()> {
    let text = std::fs::read_to_string(readme)?;
    let base = readme.parent().unwrap_or(Path::new(""));
    let from_readme = record.strip_prefix(base).unwrap_or(record);
    let new = replaced(&text, &block(from_readme, report)).ok_or_else(|| {
        format!(
            "{} has no place between marks for the figures",
            readme.display()
        )
    })?;
    std::fs::write(readme, new)?;
    Ok(())
}

/// `text` with `block` between the marks.
fn replaced(text: &str, block: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{block}{END}{after}"))
}

/// Chart, table of medians, and where they come from.
fn block(record: &Path, report: &Report) -> String {
    let record = record.display();
    let case = report.case();
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "![Time and space, wpar against a full copy]({record}/{case}.svg)\n"
    );
    let _ = writeln!(
        text,
        "| {} | wpar | full copy | ratio |\n|---|---:|---:|---:|",
        report.image()
    );
    for what in [
        "create",
        "start",
        "first command",
        "create, start, first command",
        "READY=1",
        "disk used",
    ] {
        let (Some(ours), Some(copy)) = (report.row(what, "wpar"), report.row(what, "full copy"))
        else {
            continue;
        };
        let (o, c) = (ours.summary.median, copy.summary.median);
        let _ = writeln!(
            text,
            "| {what} | {} | {} | {:.2} |",
            ours.show(o),
            copy.show(c),
            c / o
        );
    }
    let _ = writeln!(
        text,
        "\nMedians, both started by the same launcher in turns; READY=1 is when systemd inside says \
         that it is up. [All figures and the machine]({record}/{case}.md); \
         [the method](bench/README.md)."
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;
    use crate::report::Row;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let text = format!("above\n{BEGIN}old\n{END}\nbelow\n");
        assert_eq!(
            replaced(&text, "new\n").unwrap(),
            format!("above\n{BEGIN}new\n{END}\nbelow\n")
        );
        assert!(replaced("no marks", "new").is_none());
    }

    #[test]
    fn the_readme_of_this_project_has_the_place() {
        let readme = include_str!("../../README.md");
        assert!(replaced(readme, "").is_some());
    }

    #[test]
    fn ratios_say_how_many_times_the_copy_is_ours() {
        let mut report = Report::new("start", Machine::here(Path::new("/")), Path::new("a.tar"));
        report.add(Row::new("create", "wpar", "ms", &[20.0]));
        report.add(Row::new("create", "full copy", "ms", &[3000.0]));
        let text = block(Path::new("bench/runs/x"), &report);
        assert!(
            text.contains("| create | 20.0 ms | 3000 ms | 150.00 |"),
            "{text}"
        );
        assert!(text.contains("(bench/runs/x/start.svg)"), "{text}");
    }
}
