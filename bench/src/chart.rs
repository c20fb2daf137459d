//! The chart of the README: bars of time and of space, as an SVG that reads well on light and on
//! dark ground.

use std::fmt::Write;

use crate::report::Report;
use crate::svg::{self, escape};

const WIDTH: f64 = 760.0;
/// Where bars begin, and how long the longest may be.
const LEFT: f64 = 110.0;
const ROOM: f64 = 500.0;
const BAR: f64 = 26.0;

/// One bar: a label, its parts, and what stands at its end.
struct Bar<'a> {
    side: &'a str,
    parts: Vec<(&'a str, f64)>,
    end: String,
}

/// A chart of a report of the case `start`; none of others.
pub(crate) fn draw(report: &Report) -> Option<String> {
    let sides = ["wpar", "full copy"];
    let time = |side| {
        let parts = ["create", "start", "first command"].map(|what| {
            let class = what.split(' ').next().unwrap_or_default();
            report
                .row(what, side)
                .map(|row| (class, row.summary.median))
        });
        let total = report.row("create, start, first command", side)?;
        let parts = parts.into_iter().collect::<Option<Vec<_>>>()?;
        Some(Bar {
            side,
            parts,
            end: total.show(total.summary.median),
        })
    };
    let space = |side| {
        let row = report.row("disk used", side)?;
        Some(Bar {
            side,
            parts: vec![("disk", row.summary.median)],
            end: row.show(row.summary.median),
        })
    };
    let times = sides.into_iter().map(time).collect::<Option<Vec<_>>>()?;
    let spaces = sides.into_iter().map(space).collect::<Option<Vec<_>>>()?;
    let mut body = String::new();
    let title = format!(
        "From {} to the end of a first command inside",
        report.image()
    );
    let y = panel(&mut body, 30.0, &title, &times);
    let y = legend(&mut body, y);
    let y = panel(
        &mut body,
        y + 24.0,
        "Space that it takes on the disk",
        &spaces,
    );
    Some(svg::page(WIDTH, y, STYLE, DARK, &body))
}

/// Draws one group of bars from `y` down; gives where it ends. Writing to a string cannot fail.
fn panel(body: &mut String, mut y: f64, title: &str, bars: &[Bar<'_>]) -> f64 {
    let length = |bar: &Bar<'_>| bar.parts.iter().map(|(_, value)| value).sum::<f64>();
    let longest = bars.iter().map(length).fold(f64::MIN_POSITIVE, f64::max);
    let _ = writeln!(
        body,
        r#"<text x="12" y="{y}" class="title">{}</text>"#,
        escape(title)
    );
    y += 14.0;
    for bar in bars {
        let middle = y + BAR / 2.0 + 5.0;
        let _ = writeln!(
            body,
            r#"<text x="12" y="{middle}">{}</text>"#,
            escape(bar.side)
        );
        let mut x = LEFT;
        for (class, value) in &bar.parts {
            // A bar that is there can be seen, however short it is.
            let width = (value / longest * ROOM).max(1.0);
            let _ = writeln!(
                body,
                r#"<rect x="{x:.1}" y="{y}" width="{width:.1}" height="{BAR}" class="{class}"/>"#
            );
            x += width;
        }
        let _ = writeln!(
            body,
            r#"<text x="{:.1}" y="{middle}" class="end">{}</text>"#,
            x + 8.0,
            escape(&bar.end)
        );
        y += BAR + 8.0;
    }
    y
}

fn legend(body: &mut String, y: f64) -> f64 {
    for (place, (class, word)) in [
        ("create", "create"),
        ("start", "start"),
        ("first", "first command"),
    ]
    .iter()
    .enumerate()
    {
        let x = LEFT + place as f64 * 110.0;
        let _ = writeln!(
            body,
            r#"<rect x="{x}" y="{y}" width="12" height="12" class="{class}"/>"#
        );
        let _ = writeln!(
            body,
            r#"<text x="{}" y="{}" class="small">{word}</text>"#,
            x + 18.0,
            y + 11.0
        );
    }
    y + 20.0
}

const STYLE: &str = "\
.title { font-weight: 600 } .end { font-weight: 600 } .small { font-size: 12px }
.create { fill: #0969da } .start { fill: #1a7f37 } .first { fill: #9a6700 } .disk { fill: #8250df }";
const DARK: &str = "\
.create { fill: #4493f8 } .start { fill: #3fb950 } .first { fill: #d29922 } .disk { fill: #ab7df8 }";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::machine::Machine;
    use crate::report::Row;

    fn report() -> Report {
        let mut report = Report::new("start", Machine::here(Path::new("/")), Path::new("a<b.tar"));
        for (side, factor) in [("wpar", 1.0), ("full copy", 30.0)] {
            for what in [
                "create",
                "start",
                "first command",
                "create, start, first command",
            ] {
                report.add(Row::new(what, side, "ms", &[20.0 * factor]));
            }
            report.add(Row::new("disk used", side, "bytes", &[1e6 * factor]));
        }
        report
    }

    #[test]
    fn the_longest_bar_fills_the_room_and_the_others_are_in_proportion() {
        let svg = draw(&report()).unwrap();
        assert!(
            svg.contains(r#"width="500.0" height="26" class="disk""#),
            "{svg}"
        );
        assert!(
            svg.contains(r#"width="16.7" height="26" class="disk""#),
            "{svg}"
        );
        assert!(svg.contains("a&lt;b.tar"), "{svg}");
        assert_eq!(svg.matches("<svg").count(), svg.matches("</svg>").count());
    }

    #[test]
    fn a_report_without_the_figures_has_no_chart() {
        let empty = Report::new("index", Machine::here(Path::new("/")), Path::new("x.tar"));
        assert!(draw(&empty).is_none());
    }
}
