//! What is installed in an image, in the layout of `lslpp`.

use std::fmt::Write;

use crate::packages::{Detail, Package, PackageDatabase, PackageError, Status, read};
use crate::source::files::Files;

/// Reads the packages of a system; none if it has no data base that is known.
pub(super) fn of(files: &dyn Files) -> Result<Option<PackageDatabase>, PackageError> {
    read(files, Detail::Packages)
}

/// A table: name, level, state, description.
pub(super) fn table(found: &PackageDatabase) -> String {
    let widths = (
        width(found, |p| &p.name, "Package"),
        width(found, |p| &p.version, "Level"),
    );
    let mut table = String::new();
    row(
        &mut table,
        widths,
        ["Package", "Level", "State", "Description"],
    );
    let rule = "-".repeat(widths.0 + widths.1 + 40);
    let _ = writeln!(table, "{rule}");
    for package in &found.packages {
        let cells = [
            &*package.name,
            &*package.version,
            state(package),
            &*package.summary,
        ];
        row(&mut table, widths, cells);
    }
    table
}

fn width(found: &PackageDatabase, cell: impl Fn(&Package) -> &String, heading: &str) -> usize {
    let widths = found
        .packages
        .iter()
        .map(|package| cell(package).chars().count());
    widths.max().unwrap_or(0).max(heading.len())
}

fn row(table: &mut String, widths: (usize, usize), cells: [&str; 4]) {
    let [name, level, state, text] = cells.map(plain);
    let (first, second) = widths;
    let line = format!("{name:first$}  {level:second$}  {state:9}  {text}");
    let _ = writeln!(table, "{}", line.trim_end());
}

/// What an image says goes to a terminal without its control characters.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// The words of `lslpp`.
fn state(package: &Package) -> &'static str {
    match package.status {
        Status::Installed => "COMMITTED",
        Status::Incomplete => "BROKEN",
        Status::Removed => "REMOVED",
    }
}

/// A heading and one line for each package, divided by colons.
pub(super) fn colons(found: &PackageDatabase) -> String {
    let mut text = "#name:level:architecture:state:description\n".to_owned();
    for package in &found.packages {
        let cells = [
            &*package.name,
            &*package.version,
            &*package.architecture,
            state(package),
            &*package.summary,
        ];
        let _ = writeln!(text, "{}", cells.map(plain).join(":"));
    }
    text
}

/// A list of objects.
pub(super) fn json(found: &PackageDatabase) -> serde_json::Value {
    let package = |package: &Package| {
        serde_json::json!({
            "name": package.name,
            "level": package.version,
            "architecture": package.architecture,
            "state": state(package),
            "description": package.summary,
        })
    };
    found.packages.iter().map(package).collect()
}
