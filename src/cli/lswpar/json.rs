//! The list for programs. Names and values here are a promise, as those of `-c` are.

use serde::Serialize;

use super::fields;
use super::row::Row;
use crate::cli::error::{CliError, CliResult};
use crate::model::{CopyControls, IdRange, Level, SpaceLimits};

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    /// AIX' letter.
    state: String,
    /// The word for it.
    state_name: &'a str,
    #[serde(flatten)]
    record: Option<Recorded<'a>>,
    /// Process 1 of the WPAR as the host numbers it, while it is active.
    init: Option<u32>,
    /// Whether its init said that the system is up.
    ready: bool,
    operation: Option<Operation<'a>>,
}

#[derive(Serialize)]
struct Recorded<'a> {
    r#type: String,
    hostname: &'a str,
    directory: String,
    rootvgwpar: bool,
    auto: bool,
    uuid: &'a str,
    /// The image, or `/`.
    source: String,
    copy_controls: CopyControls,
    /// File systems of the running system, besides that of /, that are in a copy of it.
    included: Vec<FileSystem<'a>>,
    /// Those that are not.
    left_out: Vec<FileSystem<'a>>,
    /// In bytes and inodes; null for none.
    limits: SpaceLimits,
    ids: IdRange,
    /// What its programs may do.
    privileges: Vec<&'static str>,
    /// Whether it may run at a level of its own.
    versioned: bool,
    /// The level that it was at when it was last looked at; null if that is not on record.
    level: Option<&'a Level>,
    /// RFC 3339.
    created: String,
}

#[derive(Serialize)]
struct FileSystem<'a> {
    directory: String,
    reason: &'a str,
}

#[derive(Serialize)]
struct Operation<'a> {
    verb: &'a str,
    pid: u32,
}

/// A list of objects, also for no rows.
pub(super) fn render(rows: &[Row]) -> CliResult<String> {
    let listed: Vec<_> = rows.iter().map(listed).collect();
    let text = serde_json::to_string_pretty(&listed)
        .map_err(|error| CliError::new(format!("cannot write the list as JSON: {error}")))?;
    Ok(text + "\n")
}

fn listed(row: &Row) -> Listed<'_> {
    Listed {
        name: row.name.as_str(),
        state: row.state.letter().to_string(),
        state_name: row.state.word(),
        record: row.record.as_ref().map(|record| Recorded {
            r#type: record.type_letter().to_string(),
            hostname: record.hostname.as_str(),
            directory: record.directory.display().to_string(),
            rootvgwpar: false,
            auto: record.auto,
            uuid: &record.uuid,
            source: fields::source(record),
            copy_controls: record.copy_controls,
            included: file_systems(row.view.parts.iter().map(|p| (&p.point, &p.reason))),
            left_out: file_systems(row.view.left_out.iter().map(|o| (&o.point, &o.reason))),
            limits: record.limits,
            ids: record.ids,
            privileges: record.privileges.names(),
            versioned: record.versioned,
            level: record.level.as_ref(),
            created: fields::created(record),
        }),
        init: row.observation.init,
        ready: row.observation.ready,
        operation: row
            .operation
            .as_ref()
            .map(|(pid, verb)| Operation { verb, pid: *pid }),
    }
}

fn file_systems<'a>(list: impl Iterator<Item = (&'a String, &'a String)>) -> Vec<FileSystem<'a>> {
    let shown = |(point, reason): (&String, &'a String)| FileSystem {
        directory: format!("/{point}"),
        reason,
    };
    list.map(shown).collect()
}
