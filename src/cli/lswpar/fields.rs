//! The fields of a WPAR by AIX's names.

use std::path::Path;

use super::row::Row;
use crate::cli::error::{CliError, CliResult};
use crate::model::network::Mode;
use crate::model::space_limits::Size;
use crate::model::{Generation, WparRecord};

/// One field.
#[derive(Debug)]
pub(super) struct Field {
    /// Its name, for `-a` and in the heading of `-c`.
    pub(super) name: &'static str,
    /// Its heading in a table and key in a paragraph.
    pub(super) heading: &'static str,
    value: Value,
}

#[derive(Debug)]
enum Value {
    /// The same for every WPAR.
    Fixed(&'static str),
    /// Known without the record.
    OfRow(fn(&Row) -> String),
    /// From the record.
    OfRecord(fn(&WparRecord) -> String),
}

impl Field {
    /// The value for a WPAR; empty if its record cannot be read.
    pub(super) fn value(&self, row: &Row) -> String {
        match self.value {
            Value::OfRow(value) => value(row),
            Value::OfRecord(value) => row.record.as_ref().map(value).unwrap_or_default(),
            Value::Fixed(value) => row
                .record
                .as_ref()
                .map(|_| value.to_owned())
                .unwrap_or_default(),
        }
    }
}

const fn fixed(name: &'static str, heading: &'static str, value: &'static str) -> Field {
    Field {
        name,
        heading,
        value: Value::Fixed(value),
    }
}

const fn of_row(name: &'static str, heading: &'static str, value: fn(&Row) -> String) -> Field {
    Field {
        name,
        heading,
        value: Value::OfRow(value),
    }
}

const fn of_record(
    name: &'static str,
    heading: &'static str,
    value: fn(&WparRecord) -> String,
) -> Field {
    Field {
        name,
        heading,
        value: Value::OfRecord(value),
    }
}

fn yes_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

/// All fields: those of `-G` in AIX's order, then our own.
static ALL: &[Field] = &[
    of_row("name", "Name", |row| row.name.to_string()),
    of_row("state", "State", |row| row.state.letter().to_string()),
    of_record("type", "Type", |record| record.type_letter().to_string()),
    fixed("rootvgwpar", "RootVG WPAR", "no"),
    of_record("hostname", "Hostname", |record| record.hostname.to_string()),
    of_record("routing", "WPAR-Specific Routing", |record| {
        yes_no(has_own_routes(record))
    }),
    fixed("vipwpar", "Virtual IP WPAR", ""),
    of_record("directory", "Directory", |record| {
        record.directory.display().to_string()
    }),
    fixed("owner", "Owner", "root"),
    of_record("script", "Start/Stop Script", |record| {
        let script = record.script.as_ref();
        script.map_or_else(String::new, |path| path.display().to_string())
    }),
    of_record("auto", "Auto", |record| yes_no(record.auto)),
    of_record("privateusr", "Private /usr", |record| {
        yes_no(record.has_private_usr())
    }),
    fixed("checkpointable", "Checkpointable", "no"),
    fixed("application", "Application", ""),
    fixed("ostype", "OStype", "0"),
    fixed("xwparipc", "Cross-WPAR IPC", "no"),
    fixed("architecture", "Architecture", std::env::consts::ARCH),
    of_record("uuid", "UUID", |record| record.uuid.clone()),
    of_record("source", "Source", source),
    of_record("created", "Created", created),
    of_record("size", "Size Limit", |record| {
        limit(record.limits.size.map(Size))
    }),
    of_record("network", "Network", |record| {
        record.network.mode().to_string()
    }),
    of_record("publish", "Published Ports", published),
    of_record("level", "Level", |record| {
        record
            .level
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default()
    }),
    of_row("consistency", "Consistency", |row| {
        row.consistency
            .map(|word| word.to_string())
            .unwrap_or_default()
    }),
    of_record("inodes", "Inode Limit", |record| {
        limit(record.limits.inodes)
    }),
    of_row("synchronized", "Synchronized From", synchronized),
];

/// Those that AIX does not have.
const OWN: &[&str] = &[
    "source",
    "created",
    "network",
    "publish",
    "level",
    "size",
    "inodes",
    "synchronized",
    "consistency",
];

/// The order of AIX's `-L`, which is not that of `-c`.
const PARAGRAPH: &[&str] = &[
    "type",
    "rootvgwpar",
    "owner",
    "hostname",
    "routing",
    "vipwpar",
    "directory",
    "script",
    "auto",
    "privateusr",
    "checkpointable",
    "application",
    "ostype",
    "xwparipc",
    "architecture",
    "uuid",
];

const DEFAULT: &[&str] = &[
    "name",
    "state",
    "type",
    "hostname",
    "directory",
    "rootvgwpar",
];

/// Whether its routes are not the host's: without any connection, too.
fn has_own_routes(record: &WparRecord) -> bool {
    record.network.routing || record.network.mode() == Mode::None
}

/// Its ports of the host, as `publish` takes them.
fn published(record: &WparRecord) -> String {
    let ports = record.network.published.iter().map(ToString::to_string);
    ports.collect::<Vec<_>>().join(",")
}

/// Where the files come from: the image, the directory, or `/`.
pub(super) fn source(record: &WparRecord) -> String {
    let path = record.source.path().unwrap_or(Path::new("/"));
    path.display().to_string()
}

/// When it was made, in the form of RFC 3339.
pub(super) fn created(record: &WparRecord) -> String {
    time(record.created)
}

/// Seconds since 1970 in the form of RFC 3339.
pub(super) fn time(seconds: u64) -> String {
    let time = std::time::UNIX_EPOCH.checked_add(std::time::Duration::from_secs(seconds));
    time.map(|time| humantime::format_rfc3339_seconds(time).to_string())
        .unwrap_or_default()
}

/// The levels that it was at before it was brought to that of the host, the first one first.
fn synchronized(row: &Row) -> String {
    let from = |generation: &Generation| {
        let level = generation.from.as_ref().map(|level| level.service_pack());
        level.unwrap_or_else(|| "unknown".to_owned())
    };
    let all: Vec<_> = row.view.generations.iter().map(from).collect();
    all.join(",")
}

fn limit(limit: Option<impl ToString>) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
}

/// The options of the file system, as `-M` takes them.
pub(super) fn options(record: &WparRecord) -> String {
    let limits = record.limits;
    let size = limits.size.map(|size| format!(",size={}", Size(size)));
    let inodes = limits.inodes.map(|inodes| format!(",inodes={inodes}"));
    format!(
        "rw{}{}",
        size.unwrap_or_default(),
        inodes.unwrap_or_default()
    )
}

/// The fields of the default table.
pub(super) fn default() -> Vec<&'static Field> {
    named(DEFAULT)
}

/// The fields of `-G` with `-c`.
pub(super) fn general() -> Vec<&'static Field> {
    ALL.iter()
        .filter(|field| !OWN.contains(&field.name))
        .collect()
}

/// The fields of the paragraph GENERAL.
pub(super) fn paragraph() -> Vec<&'static Field> {
    named(PARAGRAPH)
}

/// The field of that name.
pub(super) fn find(name: &str) -> CliResult<&'static Field> {
    ALL.iter().find(|field| field.name == name).ok_or_else(|| {
        let names: Vec<_> = ALL.iter().map(|field| field.name).collect();
        CliError::usage(format!("there is no field '{name}'"))
            .hint(format!("there are {}", names.join(", ")))
    })
}

fn named(names: &[&str]) -> Vec<&'static Field> {
    names
        .iter()
        .filter_map(|name| ALL.iter().find(|field| field.name == *name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_name_fields_that_exist() {
        assert_eq!(default().len(), DEFAULT.len());
        assert_eq!(paragraph().len(), PARAGRAPH.len());
    }

    #[test]
    fn the_fields_of_general_are_those_of_aix_in_its_order() {
        let names: Vec<_> = general().iter().map(|field| field.name).collect();
        assert_eq!(
            names.join(":"),
            "name:state:type:rootvgwpar:hostname:routing:vipwpar:directory:owner:script:auto:\
             privateusr:checkpointable:application:ostype:xwparipc:architecture:uuid"
        );
    }
}
