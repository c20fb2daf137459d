//! A chart of each group: one line for each measure, one dot for each subject, on a scale of times
//! the kernel's overlay. Further right is always worse, also where more is better.

use std::fmt::Write;

use super::result::{Results, Row};
use super::table::{BASE, lines, title};
use crate::svg::{self, escape};

const WIDTH: f64 = 860.0;
/// Where the scale begins and ends.
const LEFT: f64 = 190.0;
const RIGHT: f64 = WIDTH - 30.0;
const LINE: f64 = 22.0;

const STYLE: &str = ".title { font-weight: 600 } .small { font-size: 12px } .grid { stroke: #d1d9e0 } .base { stroke: #57606a; stroke-width: 1.5 }";
const DARK: &str = ".grid { stroke: #3d444d } .base { stroke: #9198a1 }";

/// A line of the chart: its name, and for each subject how many times the base it takes.
struct Line {
    title: String,
    times: Vec<(usize, f64)>,
}

/// One chart for each group that there is something to compare in: names of files, and contents.
pub(super) fn draw(results: &Results) -> Vec<(String, String)> {
    let groups = results
        .workloads
        .chunk_by(|one, other| one.group == other.group);
    groups
        .filter_map(|group| {
            let name = &group.first()?.group;
            let lines: Vec<_> = lines(results, group)
                .into_iter()
                .filter(|(_, what, at)| at.is_none() && *what != super::MEMORY)
                .filter_map(|(done, what, at)| {
                    let base = results.row(&done.name, what, at, BASE)?;
                    Some(Line {
                        title: title(done, what, at),
                        times: results
                            .subjects
                            .iter()
                            .enumerate()
                            .filter_map(|(number, subject)| {
                                let row = results.row(&done.name, what, at, &subject.name)?;
                                Some((number, times(row, base)?))
                            })
                            .collect(),
                    })
                })
                .collect();
            let enough = !lines.is_empty();
            enough.then(|| (format!("suite-{name}.svg"), chart(results, name, &lines)))
        })
        .collect()
}

/// How many times the base something takes, in time, whatever its unit is.
fn times(row: &Row, base: &Row) -> Option<f64> {
    let ratio = match row.unit {
        "GB/s" | "1/s" => base.summary.median / row.summary.median,
        _ => row.summary.median / base.summary.median,
    };
    (ratio.is_finite() && ratio > 0.0).then_some(ratio)
}

/// Writing to a string cannot fail.
fn chart(results: &Results, group: &str, lines: &[Line]) -> String {
    let all = || {
        lines
            .iter()
            .flat_map(|line| &line.times)
            .map(|(_, times)| *times)
    };
    let low = all().fold(0.5, f64::min).log10().floor();
    let high = all().fold(2.0, f64::max).log10().ceil();
    let x = |times: f64| LEFT + (times.log10() - low) / (high - low) * (RIGHT - LEFT);
    let mut body = String::new();
    let _ = writeln!(
        body,
        r#"<text x="12" y="24" class="title">{}: time, as a multiple of {BASE} (left is faster)</text>"#,
        escape(group)
    );
    let mut y = legend(&mut body, results, 44.0);
    let bottom = y + lines.len() as f64 * LINE + 6.0;
    for power in low as i32..=high as i32 {
        let place = x(10f64.powi(power));
        let class = if power == 0 { "base" } else { "grid" };
        let _ = writeln!(
            body,
            r#"<line x1="{place:.1}" x2="{place:.1}" y1="{y:.1}" y2="{bottom:.1}" class="{class}"/><text x="{place:.1}" y="{:.1}" class="small" text-anchor="middle">{}</text>"#,
            bottom + 16.0,
            10f64.powi(power)
        );
    }
    for line in lines {
        let middle = y + LINE / 2.0;
        let _ = writeln!(
            body,
            r#"<text x="12" y="{:.1}" class="small">{}</text><line x1="{LEFT}" x2="{RIGHT}" y1="{middle:.1}" y2="{middle:.1}" class="grid"/>"#,
            middle + 4.0,
            escape(&line.title)
        );
        // Ours is on top of others in the same place.
        let is_ours = |number: usize| {
            let subject = results.subjects.get(number);
            subject.is_some_and(|subject| subject.name == "ours")
        };
        let (ours, others): (Vec<_>, Vec<_>) = line
            .times
            .iter()
            .copied()
            .partition(|(number, _)| is_ours(*number));
        for (number, times) in others.into_iter().chain(ours) {
            let _ = writeln!(
                body,
                r#"<circle cx="{:.1}" cy="{middle:.1}" r="5" class="c{}" fill-opacity="0.85"/>"#,
                x(times),
                svg::class(number)
            );
        }
        y += LINE;
    }
    let (light, dark) = svg::colours();
    let page = |style: &str, colours: String| format!("{style}\n{colours}");
    svg::page(
        WIDTH,
        bottom + 26.0,
        &page(STYLE, light),
        &page(DARK, dark),
        &body,
    )
}

/// Who has which colour, from `y` down; gives where it ends.
pub(super) fn legend(body: &mut String, results: &Results, mut y: f64) -> f64 {
    let mut x = 12.0;
    for (number, subject) in results.subjects.iter().enumerate() {
        let width = 34.0 + subject.name.len() as f64 * 7.5;
        if x + width > RIGHT {
            x = 12.0;
            y += 20.0;
        }
        let _ = writeln!(
            body,
            r#"<circle cx="{:.1}" cy="{:.1}" r="5" class="c{}"/><text x="{:.1}" y="{y:.1}" class="small">{}</text>"#,
            x + 5.0,
            y - 4.0,
            svg::class(number),
            x + 16.0,
            escape(&subject.name)
        );
        x += width;
    }
    y + 14.0
}
