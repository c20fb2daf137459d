//! Tables in the form of AIX, and the form for programs.

use super::fields::Field;
use super::row::Row;

/// Columns with two blanks between them, under a heading and a rule. Nothing for no rows.
pub(super) fn columns(fields: &[&Field], rows: &[Row], heading: bool) -> String {
    let headings: Vec<&str> = fields.iter().map(|field| field.heading).collect();
    columns_of(&headings, &cells(fields, rows), heading)
}

fn cells(fields: &[&Field], rows: &[Row]) -> Vec<Vec<String>> {
    rows.iter()
        .map(|row| fields.iter().map(|field| field.value(row)).collect())
        .collect()
}

/// As [`columns`], of any cells.
pub(super) fn columns_of(headings: &[&str], cells: &[Vec<String>], heading: bool) -> String {
    if cells.is_empty() {
        return String::new();
    }
    let widths = widths(headings, cells, heading);
    let mut text = String::new();
    if heading {
        text.push_str(&line(headings, &widths));
        // AIX' rule is one longer than the heading.
        let gaps = 2 * widths.len().saturating_sub(1);
        text.push_str(&"-".repeat(widths.iter().sum::<usize>() + gaps + 1));
        text.push('\n');
    }
    for row in cells {
        text.push_str(&line(row, &widths));
    }
    text
}

/// Width of each column: that of its widest cell.
pub(super) fn widths(headings: &[&str], cells: &[Vec<String>], heading: bool) -> Vec<usize> {
    let length = |text: &str| text.chars().count();
    headings
        .iter()
        .enumerate()
        .map(|(column, text)| {
            let cells = cells
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| length(cell));
            cells
                .chain(heading.then(|| length(text)))
                .max()
                .unwrap_or(0)
        })
        .collect()
}

/// One line of cells, without blanks at its end.
pub(super) fn line<T: AsRef<str>>(cells: &[T], widths: &[usize]) -> String {
    let padded = cells
        .iter()
        .zip(widths)
        .map(|(cell, &width)| format!("{:width$}", cell.as_ref()));
    let joined = padded.collect::<Vec<_>>().join("  ");
    format!("{}\n", joined.trim_end())
}

/// One line for each row, its fields separated by `delimiter`; before them the names of the
/// fields after a `#`. Nothing for no rows.
pub(super) fn delimited(fields: &[&Field], rows: &[Row], delimiter: &str, heading: bool) -> String {
    let names: Vec<_> = fields.iter().map(|field| field.name).collect();
    delimited_of(&names, &cells(fields, rows), delimiter, heading)
}

/// As [`delimited`], of any cells.
pub(super) fn delimited_of(
    names: &[&str],
    cells: &[Vec<String>],
    delimiter: &str,
    heading: bool,
) -> String {
    if cells.is_empty() {
        return String::new();
    }
    let mut text = String::new();
    if heading {
        text.push_str(&format!("#{}\n", names.join(delimiter)));
    }
    for row in cells {
        text.push_str(&row.join(delimiter));
        text.push('\n');
    }
    text
}
