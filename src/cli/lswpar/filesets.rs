//! The private filesets of WPARs: which there are, what became of them, and why.

use serde::Serialize;

use super::table::{line, widths};
use crate::cli::error::{CliError, CliResult};
use crate::cli::filesets::fate;
use crate::model::view::Fileset;
use crate::model::{View, WparName};

const HEADINGS: [&str; 5] = ["WPAR", "Fileset", "Version", "Fate", "Reason"];

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    filesets: &'a [Fileset],
}

/// A table, one line for each fileset; nothing if there are none.
pub(super) fn table(views: &[(WparName, View)], heading: bool) -> String {
    let row = |name: &WparName, fileset: &Fileset| {
        vec![
            name.to_string(),
            fileset.name.clone(),
            fileset.version.clone(),
            fate(fileset.fate).to_owned(),
            fileset.reason.clone(),
        ]
    };
    let cells: Vec<Vec<String>> = views
        .iter()
        .flat_map(|(name, view)| view.filesets.iter().map(move |fileset| row(name, fileset)))
        .collect();
    if cells.is_empty() {
        return String::new();
    }
    let widths = widths(&HEADINGS, &cells, heading);
    let mut text = String::new();
    if heading {
        text.push_str(&line(&HEADINGS, &widths));
        let gaps = 2 * widths.len().saturating_sub(1);
        text.push_str(&"-".repeat(widths.iter().sum::<usize>() + gaps + 1));
        text.push('\n');
    }
    for row in &cells {
        text.push_str(&line(row, &widths));
    }
    text
}

/// A list of objects, one for each WPAR.
pub(super) fn json(views: &[(WparName, View)]) -> CliResult<String> {
    let listed: Vec<_> = views
        .iter()
        .map(|(name, view)| Listed {
            name: name.as_str(),
            filesets: &view.filesets,
        })
        .collect();
    let text = serde_json::to_string_pretty(&listed)
        .map_err(|error| CliError::new(format!("cannot write the list as JSON: {error}")))?;
    Ok(text + "\n")
}
