//! Paragraphs about each WPAR, in the form of AIX' `lswpar -L`.

use super::fields;
use super::row::Row;
use super::table::{line, widths};
use super::views::{self, View};

/// Width of the rules.
const RULE: usize = 65;

/// Column of the values.
const VALUE_COLUMN: usize = 25;

/// Column of the lines that a long list goes on in.
const CONTINUED_COLUMN: usize = 14;

/// Length of a line of a list.
const LONGEST_LIST: usize = 50;

/// All paragraphs of all rows.
pub(super) fn all(rows: &[Row], heading: bool) -> String {
    rows.iter().map(|row| long(row, heading)).collect()
}

/// Only the general ones.
pub(super) fn general(rows: &[Row], heading: bool) -> String {
    rows.iter()
        .map(|row| format!("{}{}", title(row, heading), general_section(row)))
        .collect()
}

/// Only those of one kind.
pub(super) fn of_view(view: &View, rows: &[Row], heading: bool) -> String {
    rows.iter()
        .map(|row| format!("{}{}", title(row, heading), properties(view, row)))
        .collect()
}

fn long(row: &Row, heading: bool) -> String {
    let sections = [
        general_section(row),
        objects(
            &views::NETWORK,
            row,
            &["interface", "address", "mask_prefix", "broadcast"],
        ),
        objects(
            &views::ROUTES,
            row,
            &["rttype", "rtdest", "rtgateway", "rtinterface"],
        ),
        objects(
            &views::FILE_SYSTEMS,
            row,
            &["mountpoint", "device", "vfs", "nodename", "options"],
        ),
        properties(&views::RESOURCES, row),
        operation(row),
        properties(&views::SECURITY, row),
        devices(row),
    ];
    format!("{}{}", title(row, heading), sections.concat())
}

fn title(row: &Row, heading: bool) -> String {
    let rule = "=".repeat(RULE);
    if heading {
        format!("{rule}\n{} - {}\n{rule}\n", row.name, row.state.word())
    } else {
        String::new()
    }
}

fn property(key: &str, value: &str) -> String {
    let line = format!("{:VALUE_COLUMN$}{value}", format!("{key}:"));
    format!("{}\n", line.trim_end())
}

fn general_section(row: &Row) -> String {
    let lines = fields::paragraph()
        .into_iter()
        .map(|field| property(field.heading, &field.value(row)));
    let consistency = row
        .consistency
        .map(|word| property("Consistency", &word.to_string()));
    format!(
        "GENERAL\n{}{}\n",
        lines.collect::<String>(),
        consistency.unwrap_or_default()
    )
}

/// A section that is a table of these columns.
fn objects(view: &View, row: &Row, columns: &[&str]) -> String {
    let columns: Vec<_> = columns.iter().map(|name| (*name).to_owned()).collect();
    // The names are constants: that one is wrong is found by the golden test.
    let places = view.places(&columns).unwrap_or_default();
    let cells = view.cells(std::slice::from_ref(row), &places);
    table(view.title, &view.headings(&places), &cells)
}

/// A section of keys and values.
fn properties(view: &View, row: &Row) -> String {
    let values = view.properties(row);
    // The longest keys do not fit: the values of all stand behind them, as in AIX.
    let longest = values
        .iter()
        .map(|(key, _)| key.len() + 2)
        .max()
        .unwrap_or(0);
    let width = longest.max(VALUE_COLUMN);
    let lines = values.iter().map(|(key, value)| {
        let value = wrapped(value, LONGEST_LIST);
        let line = format!("{:width$}{value}", format!("{key}:"));
        format!("{}\n", line.trim_end())
    });
    format!("{}\n{}\n", view.title, lines.collect::<String>())
}

/// A list divided by commas, on lines of at most `longest` characters where its words allow that.
/// What goes on stands further to the left, as in AIX.
fn wrapped(list: &str, longest: usize) -> String {
    let gap = format!("\n{}", " ".repeat(CONTINUED_COLUMN));
    let mut lines = String::new();
    let mut length = 0;
    for word in list.split_inclusive(',') {
        if length > 0 && length + word.len() > longest {
            lines.push_str(&gap);
            length = 0;
        }
        lines.push_str(word);
        length += word.len();
    }
    lines
}

fn operation(row: &Row) -> String {
    let (verb, pid) = match &row.operation {
        Some((pid, verb)) => (verb.as_str(), pid.to_string()),
        None => ("none", String::new()),
    };
    format!(
        "OPERATION\n{}{}{}\n",
        property("Operation", verb),
        property("Process ID", &pid),
        property("Start Time", "")
    )
}

/// In the order that `-L` has, which is not that of `-D`; of no column that is empty programs expect
/// a value.
fn devices(row: &Row) -> String {
    let view = &views::DEVICE_EXPORTS;
    let columns = ["devname", "devtype", "vdevname", "devstatus"].map(str::to_owned);
    let places = view.places(&columns).unwrap_or_default();
    let rows: Vec<_> = view
        .cells(std::slice::from_ref(row), &places)
        .into_iter()
        .map(|mut cells| {
            cells.insert(3, String::new());
            cells
        })
        .collect();
    let headings = ["Name", "Type", "Virtual Device", "RootVG", "Status"];
    table(view.title, &headings, &rows)
}

/// A section that is a table, with a blank line after it.
fn table(title: &str, headings: &[&str], rows: &[Vec<String>]) -> String {
    let widths = widths(headings, rows, true);
    let rows: String = rows.iter().map(|row| line(row, &widths)).collect();
    format!(
        "{title}\n{}{}\n{rows}\n",
        line(headings, &widths),
        "-".repeat(RULE)
    )
}
