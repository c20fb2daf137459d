//! Paragraphs about each WPAR, in the form of AIX' `lswpar -L`.

use super::fields;
use super::row::Row;
use super::table::{line, widths};
use crate::launch::Limits;

/// Width of the rules.
const RULE: usize = 65;

/// Column of the values.
const VALUE_COLUMN: usize = 25;

/// What a WPAR finds in its `/dev`, whatever its source has there.
const DEVICES: &[(&str, &str)] = &[
    ("/dev/full", "pseudo"),
    ("/dev/null", "pseudo"),
    ("/dev/ptmx", "pseudo"),
    ("/dev/random", "pseudo"),
    ("/dev/tty", "pseudo"),
    ("/dev/urandom", "pseudo"),
    ("/dev/zero", "pseudo"),
];

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

fn long(row: &Row, heading: bool) -> String {
    let sections = [
        general_section(row),
        table(
            "NETWORK",
            &["Interface", "Address(6)", "Mask/Prefix", "Broadcast"],
            &[],
        ),
        table(
            "USER-SPECIFIED ROUTES",
            &["Type", "Destination", "Gateway", "Interface"],
            &[],
        ),
        file_systems(row),
        resource_controls(),
        operation(row),
        format!("SECURITY SETTINGS\n{}\n", property("Privileges", "")),
        devices(),
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
    format!("GENERAL\n{}\n", lines.collect::<String>())
}

fn file_systems(row: &Row) -> String {
    let device = row.record.as_ref().map(fields::source).unwrap_or_default();
    let root = [
        "/".to_owned(),
        device,
        "wpar".to_owned(),
        String::new(),
        row.record
            .as_ref()
            .map_or_else(|| "rw".to_owned(), fields::options),
    ];
    table(
        "FILE SYSTEMS",
        &["MountPoint", "Device", "Vfs", "Nodename", "Options"],
        &[root.to_vec()],
    )
}

fn resource_controls() -> String {
    let unlimited = || "unlimited".to_owned();
    let processes = Limits::default()
        .processes
        .map_or_else(unlimited, |count| count.to_string());
    let values = [
        ("Active", "yes"),
        ("Resource Set", ""),
        ("CPU Shares", "unlimited"),
        ("CPU Limits", "0%-100%,100%"),
        ("Memory Shares", "unlimited"),
        ("Memory Limits", "0%-100%,100%"),
        ("Per-Process Virtual Memory Limit", "unlimited"),
        ("Total Virtual Memory Limit", "unlimited"),
        ("Total Processes", &processes),
        ("Total Threads", "unlimited"),
        ("Total PTYs", "unlimited"),
        ("Total Large Pages", "unlimited"),
        ("Max Message Queue IDs", "100%"),
        ("Max Semaphore IDs", "100%"),
        ("Max Shared Memory IDs", "100%"),
        ("Max Pinned Memory", "100%"),
    ];
    // The longest keys do not fit: the values of all stand behind them, as in AIX.
    let width = values
        .iter()
        .map(|(key, _)| key.len() + 2)
        .max()
        .unwrap_or(VALUE_COLUMN);
    let lines = values.iter().map(|(key, value)| {
        format!(
            "{}\n",
            format!("{:width$}{value}", format!("{key}:")).trim_end()
        )
    });
    format!("RESOURCE CONTROLS\n{}\n", lines.collect::<String>())
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

fn devices() -> String {
    let row = |(name, kind): &(&str, &str)| {
        vec![
            (*name).to_owned(),
            (*kind).to_owned(),
            String::new(),
            String::new(),
            "EXPORTED".to_owned(),
        ]
    };
    let rows: Vec<_> = DEVICES.iter().map(row).collect();
    table(
        "DEVICE EXPORTS",
        &["Name", "Type", "Virtual Device", "RootVG", "Status"],
        &rows,
    )
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
