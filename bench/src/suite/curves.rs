//! Charts of what grows: one for each measure of each curve, a line for each subject, both scales
//! logarithmic.

use std::fmt::Write;

use super::dots::legend;
use super::result::{Results, Row};
use crate::svg::{self, escape};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 260.0;
/// Where the axes cross and end.
const LEFT: f64 = 90.0;
const RIGHT: f64 = WIDTH - 40.0;

const STYLE: &str =
    ".title { font-weight: 600 } .small { font-size: 12px } .grid { stroke: #d1d9e0 }";
const DARK: &str = ".grid { stroke: #3d444d }";

/// One chart for each curve: names of files, and contents.
pub(super) fn draw(results: &Results) -> Vec<(String, String)> {
    let mut charts = Vec::new();
    for done in &results.workloads {
        for what in done
            .measures
            .iter()
            .map(String::as_str)
            .chain([super::MEMORY])
        {
            let points = results.points(&done.name, what);
            let points: Vec<u64> = points.into_iter().flatten().collect();
            if points.len() > 1 {
                let name = format!("suite-{}-{}.svg", done.name, what.replace(' ', "-"));
                charts.push((name, chart(results, &done.name, what, &points)));
            }
        }
    }
    charts
}

/// Lowest and highest power of ten of values.
fn powers(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let positive = values.filter(|value| *value > 0.0);
    let low = positive.clone().fold(f64::INFINITY, f64::min);
    let high = positive.fold(0.0, f64::max);
    match low.is_finite() {
        true => (
            low.log10().floor(),
            high.log10().ceil().max(low.log10().floor() + 1.0),
        ),
        false => (0.0, 1.0),
    }
}

/// Writing to a string cannot fail.
fn chart(results: &Results, workload: &str, what: &str, points: &[u64]) -> String {
    let rows: Vec<&Row> = results
        .rows
        .iter()
        .filter(|row| row.workload == workload && row.what == what && row.at.is_some())
        .collect();
    let mut body = String::new();
    let _ = writeln!(
        body,
        r#"<text x="12" y="24" class="title">{}</text>"#,
        escape(&format!("{workload}: {what}"))
    );
    let top = legend(&mut body, results, 44.0);
    let bottom = top + HEIGHT;
    // There is more than one point, and they are in order.
    let ends = [points.first(), points.last()].map(|at| at.map_or(0.0, |at| (*at as f64).log10()));
    let [left, right] = ends;
    let (low, high) = powers(rows.iter().map(|row| row.summary.median));
    let x = |at: f64| LEFT + (at.log10() - left) / (right - left) * (RIGHT - LEFT);
    let y = |value: f64| bottom - (value.log10() - low) / (high - low) * HEIGHT;
    for power in low as i32..=high as i32 {
        let value = 10f64.powi(power);
        let label = rows.first().map_or_else(String::new, |row| row.show(value));
        let _ = writeln!(
            body,
            r#"<line x1="{LEFT}" x2="{RIGHT}" y1="{0:.1}" y2="{0:.1}" class="grid"/><text x="{1}" y="{2:.1}" class="small" text-anchor="end">{3}</text>"#,
            y(value),
            LEFT - 8.0,
            y(value) + 4.0,
            escape(&label)
        );
    }
    for at in points {
        let place = x(*at as f64);
        let _ = writeln!(
            body,
            r#"<line x1="{place:.1}" x2="{place:.1}" y1="{top:.1}" y2="{bottom:.1}" class="grid"/><text x="{place:.1}" y="{:.1}" class="small" text-anchor="middle">{at}</text>"#,
            bottom + 16.0
        );
    }
    for (number, subject) in results.subjects.iter().enumerate() {
        let mut line: Vec<_> = rows
            .iter()
            .filter(|row| row.subject == subject.name && row.summary.median > 0.0)
            .filter_map(|row| Some((x(row.at? as f64), y(row.summary.median))))
            .collect();
        line.sort_by(|one, other| one.0.total_cmp(&other.0));
        let class = svg::class(number);
        let path: Vec<_> = line.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            body,
            r#"<polyline points="{}" class="l{class}"/>"#,
            path.join(" ")
        );
        for (x, y) in line {
            let _ = writeln!(
                body,
                r#"<circle cx="{x:.1}" cy="{y:.1}" r="4" class="c{class}"/>"#
            );
        }
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
