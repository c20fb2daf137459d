//! What is told about an index, for people and in JSON.

use std::path::Path;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;
use wpar_mountd::lower::tar::{ArchiveKind, Codec, IndexReport};

use crate::cli::prepared::index_notes;

/// What is told about an index.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    image: String,
    index: String,
    kind: String,
    compression: String,
    entries: u64,
    archive_bytes: u64,
    stream_bytes: u64,
    index_bytes: u64,
    seekable_copy_bytes: Option<u64>,
    extended_attributes: bool,
    device_nodes: bool,
    built: bool,
    checked: bool,
    milliseconds: u128,
    notes: Vec<String>,
    warnings: Vec<String>,
    warning_count: u64,
}

/// What `report` says of `image`.
pub(super) fn told(image: &Path, report: IndexReport, checked: bool, took: Duration) -> Told {
    let mut notes = report.notes.clone();
    notes.extend(index_notes(&report));
    Told {
        image: image.display().to_string(),
        index: report.path.display().to_string(),
        kind: kind(report.kind),
        compression: compression(report.codec),
        entries: report.entries,
        archive_bytes: report.archive_bytes,
        stream_bytes: report.stream_bytes,
        index_bytes: report.index_bytes,
        seekable_copy_bytes: report.seekable_copy,
        extended_attributes: report.carries_xattrs,
        device_nodes: report.carries_devices,
        built: report.built,
        checked,
        milliseconds: took.as_millis(),
        notes,
        warnings: report.warnings,
        warning_count: report.warning_count,
    }
}

fn kind(kind: ArchiveKind) -> String {
    match kind {
        ArchiveKind::Tar => "tar archive",
        ArchiveKind::AixBackup => "AIX backup by name",
        ArchiveKind::Layers => "layers of tar archives",
    }
    .to_owned()
}

/// The name of a compression is that of its program.
fn compression(codec: Codec) -> String {
    format!("{codec:?}").to_lowercase()
}

/// One image for people.
pub(super) fn paragraph(told: &Told) -> String {
    let bytes = |bytes: u64| HumanBytes(bytes).to_string();
    let rate = |bytes: u64| {
        let rate = u128::from(bytes) * 1000 / told.milliseconds.max(1);
        HumanBytes(u64::try_from(rate).unwrap_or(u64::MAX)).to_string()
    };
    let done = match (told.built, told.checked) {
        (true, _) => format!(
            "made in {} ms, {}/s",
            told.milliseconds,
            rate(told.stream_bytes)
        ),
        (false, true) => "checked, whole".to_owned(),
        (false, false) => "was there".to_owned(),
    };
    let mut lines = vec![
        ("Image", told.image.clone()),
        ("Kind", format!("{}, {}", told.kind, told.compression)),
        ("Entries", HumanCount(told.entries).to_string()),
        (
            "Size",
            format!(
                "{}, {} without compression",
                bytes(told.archive_bytes),
                bytes(told.stream_bytes)
            ),
        ),
        (
            "Index",
            format!("{} ({}), {done}", told.index, bytes(told.index_bytes)),
        ),
    ];
    if let Some(copy) = told.seekable_copy_bytes {
        let why = "the compression allows to read only from the beginning";
        lines.push(("Seekable copy", format!("{}: {why}", bytes(copy))));
    }
    lines.extend(told.notes.iter().map(|note| ("Note", note.clone())));
    lines.extend(told.warnings.iter().map(|text| ("Warning", text.clone())));
    let hidden = told
        .warning_count
        .saturating_sub(told.warnings.len() as u64);
    if hidden > 0 {
        lines.push(("Warning", format!("and {hidden} more")));
    }
    lines
        .iter()
        .map(|(key, value)| format!("{:<15}{value}\n", format!("{key}:")))
        .collect()
}
